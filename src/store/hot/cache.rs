//! Rows that decisions have used lately, with their credentials open. All of it may be forgotten at any time; what is
//! here is as true as table and unfolded state together, because everything that changes the tables says so
//! ([`super::touched`]).

use std::collections::HashMap;
use std::hash::Hash;

use super::{AssignmentRow, TokenRow, UserRow};
use crate::model::id::{AssignmentId, TokenId, UserId};
use crate::otp::throttle::Throttle;

/// Entries of each kind that are kept for certain; twice as many are there at most.
const KEPT: usize = 65_536;

/// The rows.
#[derive(Default)]
pub(super) struct Cache {
    pub(super) users: Aging<UserId, UserRow>,
    pub(super) tokens: Aging<TokenId, Box<TokenRow>>,
    pub(super) assignments: Aging<AssignmentId, Box<AssignmentRow>>,
    /// The assignments of a user that may be seen, all of them.
    pub(super) of_user: Aging<UserId, Vec<AssignmentId>>,
    /// Those of a token.
    pub(super) of_token: Aging<TokenId, Vec<AssignmentId>>,
    /// Client addresses, which have no rows that anything else could change.
    pub(super) sources: Aging<String, Throttle>,
}

/// A map that forgets what was not used for a while: once the young half is full, it becomes the old one.
pub(super) struct Aging<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Aging<K, V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Eq + Hash, V> Aging<K, V> {
    /// Takes an entry out.
    pub(super) fn take(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    /// Puts an entry in, as the youngest.
    pub(super) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= KEPT {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut map = Aging::default();
        map.put(-1, ());
        map.put(-2, ());
        for number in 0..3 * KEPT as i64 {
            map.put(number, ());
            let used = map.take(&-1);
            assert_eq!(used, Some(()));
            map.put(-1, ());
            assert!(map.young.len() + map.old.len() <= 2 * KEPT + 1);
        }
        assert_eq!(map.take(&-2), None);
    }
}
