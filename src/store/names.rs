//! Ids of users and tokens by what callers name them with, remembered until something is changed that could make one
//! untrue: most logins need no look at the file before they are decided.
//!
//! Only what names one object for ever, unless somebody changes or deletes it, may be remembered. What is remembered
//! carries the count of such changes from before it was read; the writer counts one once its commit stands and before
//! anybody is told of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Store;
use super::objects::Object;

/// Most names that are remembered; then all are forgotten.
const MOST: usize = 200_000;

/// The names.
#[derive(Default)]
pub(super) struct Names {
    changes: AtomicU64,
    known: Mutex<HashMap<(char, String), Known>>,
}

struct Known {
    id: i64,
    changes: u64,
}

impl Names {
    /// Something was changed.
    pub(super) fn forget(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}

/// A moment before which a change may have been made.
#[derive(Clone, Copy, Debug)]
pub struct Moment(u64);

impl Store {
    /// Recalls the id of an object by a name of it. Otherwise `Err`, with what [`Self::remember`] needs once it was read.
    /// Whoever sees only a part of the inventory has nothing here.
    ///
    /// # Errors
    /// If it must be looked for.
    pub fn recall(&self, object: &'static Object, name: &str) -> Result<i64, Moment> {
        let names = &self.file.names;
        let changes = names.changes.load(Ordering::Acquire);
        if !self.scope.is_all() {
            return Err(Moment(changes));
        }
        let known = names.known.lock().unwrap_or_else(PoisonError::into_inner);
        // The key is owned, so this copies the name; it is short.
        match known.get(&(object.letter, name.to_owned())) {
            Some(known) if known.changes == changes => Ok(known.id),
            _ => Err(Moment(changes)),
        }
    }

    /// Remembers the id of an object, which was read after the moment.
    pub fn remember(&self, object: &'static Object, name: String, id: i64, Moment(changes): Moment) {
        if !self.scope.is_all() {
            return;
        }
        let mut known = self.file.names.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert((object.letter, name), Known { id, changes });
    }
}
