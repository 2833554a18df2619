//! Turns: who shows the same name and password as another request that is being looked at waits for that one, and is
//! then known by what was remembered of it. Without this, all connections of a program pay for argon2 at once each time
//! its login is no longer remembered, and those beyond the queue are sent away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

/// A MAC of what is shown.
type Key = [u8; 32];

/// Who waits for whom. Empty while nobody is being looked at.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<Key, Arc<Lock<()>>>>);

/// A turn, or a place in the queue for it; dropping it lets the next one have it.
pub(super) struct Turn<'t> {
    turns: &'t Turns,
    key: Key,
    lock: Option<Arc<Lock<()>>>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until nobody else with this key is being looked at.
    pub(super) async fn take(&self, key: Key) -> Turn<'_> {
        let lock = Arc::clone(self.queues().entry(key).or_default());
        // It is there before the wait begins, so that one who gives up leaves nothing behind.
        let mut turn = Turn { turns: self, key, lock: Some(Arc::clone(&lock)), held: None };
        turn.held = Some(lock.lock_owned().await);
        turn
    }

    fn queues(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Lock<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queues = self.turns.queues();
        (self.held, self.lock) = (None, None);
        if queues.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            queues.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_has_the_turn_of_a_key_and_nothing_is_left_behind() {
        let turns = Turns::default();
        let first = turns.take([1; 32]).await;
        let other = turns.take([2; 32]).await;
        let gave_up = timeout(Duration::ZERO, turns.take([1; 32])).await;
        assert!(gave_up.is_err(), "the turn is taken");
        drop(first);
        let next = timeout(Duration::ZERO, turns.take([1; 32])).await.expect("the turn is free");
        assert_eq!(turns.queues().len(), 2);
        drop((next, other));
        assert_eq!(turns.queues().len(), 0);
    }
}
