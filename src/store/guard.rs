//! Changes stay inside the scope of the caller: every function of the store that changes a row asks here first.
//!
//! Callers find rows by selectors, which see no further than their scope. This is what holds when a change reaches
//! rows that nobody named: the assignments that go with a token or a user, the token in a slot that is emptied.
//!
//! The guard also settles the row: what decisions have moved of it is folded into its table first, so that the change
//! sees it, and nothing of it comes over the change later ([`super::hot`]).

use super::hot::Key;
use super::objects::{self, Object};
use super::{StoreError, Tx};
use crate::model::id::{AssignmentId, DomainId, RepositoryId, TokenId, UserId};

/// A row that somebody is about to change.
pub(super) trait Guarded: Copy {
    /// Its kind.
    const KIND: &'static Object;

    /// Its number.
    fn number(self) -> i64;

    /// The state of the row that decisions move, if it has one.
    fn moving(self) -> Option<Key>;
}

macro_rules! guarded {
    ($($id:ident = $kind:ident, $moving:expr;)*) => {$(
        impl Guarded for $id {
            const KIND: &'static Object = &objects::$kind;

            fn number(self) -> i64 {
                self.0
            }

            fn moving(self) -> Option<Key> {
                let moving: fn(Self) -> Option<Key> = $moving;
                moving(self)
            }
        }
    )*};
}

guarded! {
    DomainId = DOMAIN, |_| None;
    UserId = USER, |id| Some(Key::User(id));
    RepositoryId = REPOSITORY, |_| None;
    TokenId = TOKEN, |id| Some(Key::Token(id));
    AssignmentId = ASSIGNMENT, |_| None;
}

impl Tx<'_> {
    /// Refuses a row that the caller does not see, and settles it.
    pub(super) fn guard<T: Guarded>(&self, row: T) -> Result<(), StoreError> {
        if !self.reader.scope.is_all() && !objects::sees(self.reader(), T::KIND, row.number())? {
            return Err(StoreError::OutOfScope(T::KIND.name));
        }
        let Some(key) = row.moving() else { return Ok(()) };
        if let Some(state) = self.unfolded.settle(self.connection(), &key)? {
            self.settled.borrow_mut().push((key, state));
        }
        Ok(())
    }

    /// Refuses an object that its maker would not see.
    pub(super) fn guard_new(&self, narrowed: bool, kind: &'static Object) -> Result<(), StoreError> {
        if narrowed { Err(StoreError::Narrowed(kind.name)) } else { Ok(()) }
    }
}
