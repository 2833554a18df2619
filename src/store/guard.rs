//! Changes stay inside the scope of the caller: every function of the store that changes a row asks here first.
//!
//! Callers find rows by selectors, which see no further than their scope. This is what holds when a change reaches
//! rows that nobody named: the assignments that go with a token or a user, the token in a slot that is emptied.

use super::objects::{self, Object};
use super::{StoreError, Tx};
use crate::model::id::{AssignmentId, DomainId, RepositoryId, TokenId, UserId};

/// A row that somebody is about to change.
pub(super) trait Guarded: Copy {
    /// Its kind.
    const KIND: &'static Object;

    /// Its number.
    fn number(self) -> i64;
}

macro_rules! guarded {
    ($($id:ident = $kind:ident;)*) => {$(
        impl Guarded for $id {
            const KIND: &'static Object = &objects::$kind;

            fn number(self) -> i64 {
                self.0
            }
        }
    )*};
}

guarded! {
    DomainId = DOMAIN;
    UserId = USER;
    RepositoryId = REPOSITORY;
    TokenId = TOKEN;
    AssignmentId = ASSIGNMENT;
}

impl Tx<'_> {
    /// Refuses a row that the caller does not see.
    pub(super) fn guard<T: Guarded>(&self, row: T) -> Result<(), StoreError> {
        if self.reader.scope.is_all() || objects::sees(self.reader(), T::KIND, row.number())? {
            return Ok(());
        }
        Err(StoreError::OutOfScope(T::KIND.name))
    }

    /// Refuses an object that its maker would not see.
    pub(super) fn guard_new(&self, narrowed: bool, kind: &'static Object) -> Result<(), StoreError> {
        if narrowed { Err(StoreError::Narrowed(kind.name)) } else { Ok(()) }
    }
}
