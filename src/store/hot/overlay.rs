//! Unfolded states for those who read: what stands after the last commit, over tables that are older.
//!
//! A reader comes in before its transaction begins and goes after it ended. A state that was folded stays for the readers
//! who were in before that, whose tables are still the old ones, and those who come later do not see it: the table may
//! have been changed since.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::columns::{self, Key, State};
use super::journal::Moves;
use super::views::Newer;

/// The states that readers see.
#[derive(Default)]
pub(in crate::store) struct Overlay {
    shown: Mutex<Shown>,
    /// Whether there are any: on an idle server nobody need look for each column of each row.
    any: AtomicBool,
}

#[derive(Default)]
struct Shown {
    states: HashMap<Key, Version>,
    /// Counts the commits that folded something.
    epoch: u64,
    /// Readers by the epoch in which they came.
    readers: BTreeMap<u64, usize>,
    /// What was folded, by epoch.
    folded: VecDeque<(u64, Key)>,
}

struct Version {
    state: State,
    /// Readers of this epoch and later find the table as it must be.
    folded: Option<u64>,
}

impl Overlay {
    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a reader in. Its transaction must begin after this.
    pub(in crate::store) fn enter(self: &Arc<Self>) -> Visit {
        let mut shown = self.lock();
        let epoch = shown.epoch;
        *shown.readers.entry(epoch).or_default() += 1;
        Visit { overlay: Arc::clone(self), epoch }
    }

    /// Looks at a state, if the table is too old for a reader of this epoch.
    fn look<R>(&self, epoch: u64, key: &Key, look: impl FnOnce(&State) -> Option<R>) -> Option<R> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let shown = self.lock();
        let version = shown.states.get(key)?;
        if version.folded.is_some_and(|folded| folded <= epoch) {
            return None;
        }
        look(&version.state)
    }

    /// Shows what a commit has moved, and what it has folded.
    pub(super) fn publish(&self, moves: Moves, folded: impl IntoIterator<Item = Key>) {
        let mut shown = self.lock();
        let mut ended: Vec<Key> = folded.into_iter().collect();
        for (key, state) in moves {
            match state {
                Some(state) => _ = shown.states.insert(key, Version { state, folded: None }),
                None => ended.push(key),
            }
        }
        if !ended.is_empty() {
            shown.end(ended);
        }
        self.forget(&mut shown);
    }

    /// All tables are as they must be.
    pub(super) fn end_all(&self) {
        let mut shown = self.lock();
        let open = shown.states.iter().filter(|(_, version)| version.folded.is_none());
        let open: Vec<Key> = open.map(|(key, _)| key.clone()).collect();
        shown.end(open);
        self.forget(&mut shown);
    }

    /// Forgets what no reader needs any more, while nobody looks.
    fn forget(&self, shown: &mut Shown) {
        shown.forget();
        self.any.store(!shown.states.is_empty(), Ordering::Release);
    }
}

impl Shown {
    fn end(&mut self, keys: Vec<Key>) {
        self.epoch += 1;
        let epoch = self.epoch;
        for key in keys {
            if let Some(version) = self.states.get_mut(&key) {
                version.folded = Some(epoch);
                self.folded.push_back((epoch, key));
            }
        }
    }

    /// Forgets what no reader needs any more.
    fn forget(&mut self) {
        let oldest = self.readers.keys().next().copied().unwrap_or(self.epoch);
        while let Some((epoch, key)) = self.folded.pop_front_if(|(epoch, _)| *epoch <= oldest) {
            // It may have moved again since.
            if self.states.get(&key).is_some_and(|version| version.folded == Some(epoch)) {
                self.states.remove(&key);
            }
        }
    }
}

/// What a connection for readers sees of it: its epoch is that of the reader who uses it now.
#[derive(Clone)]
pub(in crate::store) struct ReaderView {
    pub(in crate::store) overlay: Arc<Overlay>,
    pub(in crate::store) epoch: Arc<AtomicU64>,
}

impl Newer for ReaderView {
    fn column(&self, key: &Key, number: usize) -> Option<Option<i64>> {
        let epoch = self.epoch.load(Ordering::Relaxed);
        self.overlay.look(epoch, key, |state| columns::column(state, number))
    }

    fn state(&self, key: &Key) -> Option<State> {
        self.overlay.look(self.epoch.load(Ordering::Relaxed), key, |state| Some(state.clone()))
    }
}

/// A reader that is in.
pub(in crate::store) struct Visit {
    overlay: Arc<Overlay>,
    /// When it came.
    pub(in crate::store) epoch: u64,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut shown = self.overlay.lock();
        if let Some(count) = shown.readers.get_mut(&self.epoch) {
            *count -= 1;
            if *count == 0 {
                shown.readers.remove(&self.epoch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::encode;
    use super::*;
    use crate::model::id::TokenId;

    fn key(number: i64) -> Key {
        Key::Token(TokenId(number))
    }

    fn moved(number: i64, value: i64) -> Moves {
        Moves::from([(key(number), Some(encode(&[Some(value)])))])
    }

    fn seen(overlay: &Overlay, visit: &Visit, number: i64) -> Option<i64> {
        overlay.look(visit.epoch, &key(number), |state| columns::column(state, 0)).flatten()
    }

    #[test]
    fn a_reader_sees_the_newest_state_until_its_table_has_it() {
        let overlay = Arc::new(Overlay::default());
        overlay.publish(moved(1, 5), []);
        let early = overlay.enter();
        assert_eq!(seen(&overlay, &early, 1), Some(5));
        overlay.publish(moved(1, 9), []);
        overlay.publish(Moves::new(), [key(1)]);
        let late = overlay.enter();
        // The table of the first is as old as it was; that of the second may be newer than 9.
        assert_eq!((seen(&overlay, &early, 1), seen(&overlay, &late, 1)), (Some(9), None));
        drop(early);
        overlay.publish(moved(2, 1), []);
        assert_eq!(overlay.lock().states.len(), 1, "nobody needs the folded one");
        drop(late);
        assert!(overlay.lock().readers.is_empty());
    }

    #[test]
    fn what_moves_again_after_it_was_folded_is_seen_by_all() {
        let overlay = Arc::new(Overlay::default());
        overlay.publish(moved(1, 5), []);
        let early = overlay.enter();
        overlay.publish(Moves::from([(key(1), None)]), []);
        overlay.publish(moved(1, 6), []);
        drop(early);
        overlay.publish(Moves::new(), []);
        assert_eq!(seen(&overlay, &overlay.enter(), 1), Some(6));
        overlay.end_all();
        assert_eq!(seen(&overlay, &overlay.enter(), 1), None);
    }
}
