//! Remembers what was typed lately, so that a form sent twice or a client that retries is not counted twice.
//!
//! Only MACs are kept, under a key that lives as long as the process, at most four per candidate and each for the
//! window of the policy (60 s). The time is that of the first sight and repeating does not renew it: a guess that is
//! repeated to be tried against later time steps is counted again once a window.

use std::fmt;
use std::time::Duration;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::mac::{Tag, hmac_sha256};
use super::time::Timestamp;

/// Most texts remembered per candidate.
pub const MAX_REPEATS: usize = 4;

/// Longer than anything that could be right: 64 characters of PIN, an identifier and 10 digits.
pub(super) const MAX_TYPED_BYTES: usize = 512;

/// The key of the MACs, made at random when the process starts.
#[derive(Clone)]
pub struct RepeatKey(Zeroizing<[u8; 32]>);

impl RepeatKey {
    /// Takes the key over.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The MAC of what was typed. Of an endless text only the beginning and the length are covered, so that it costs
    /// no more than any other.
    #[must_use]
    pub fn mac(&self, typed: &str) -> [u8; 32] {
        let bytes = typed.as_bytes();
        let head = bytes.get(..MAX_TYPED_BYTES).unwrap_or(bytes);
        hmac_sha256(&self.0, &[head, &(bytes.len() as u64).to_be_bytes()])
    }
}

impl fmt::Debug for RepeatKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RepeatKey([redacted])")
    }
}

/// What was typed lately against one candidate, oldest first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Repeats(Vec<(Tag, Timestamp)>);

impl Repeats {
    /// Whether this was typed within the window before `now`; if not, it is remembered from now on.
    pub fn seen_recently(&mut self, mac: [u8; 32], now: Timestamp, window: Duration) -> bool {
        // A time ahead of now comes from a clock that was set back: it is not recent.
        self.0.retain(|(_, at)| now.since(*at).is_some_and(|ago| ago < window));
        if self.0.iter().any(|(seen, _)| seen.ct_eq(&mac).into()) {
            return true;
        }
        if self.0.len() >= MAX_REPEATS {
            self.0.remove(0);
        }
        self.0.push((mac, now));
        false
    }

    /// Whether all that is remembered is older than the window.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp, window: Duration) -> bool {
        self.0.iter().all(|(_, at)| now.since(*at).is_none_or(|ago| ago >= window))
    }
}

impl fmt::Debug for Repeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repeats({} remembered)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn the_same_text_is_seen_within_the_window_and_not_after_it() {
        let mut repeats = Repeats::default();
        assert!(!repeats.seen_recently([1; 32], at(0), WINDOW));
        assert!(repeats.seen_recently([1; 32], at(59), WINDOW));
        assert!(!repeats.seen_recently([2; 32], at(59), WINDOW));
        assert!(!repeats.seen_recently([1; 32], at(60), WINDOW), "repeating did not renew it");
        assert!(repeats.seen_recently([1; 32], at(61), WINDOW));
    }

    #[test]
    fn four_texts_are_remembered_and_the_oldest_goes_first() {
        let mut repeats = Repeats::default();
        for text in 0..5 {
            assert!(!repeats.seen_recently([text; 32], at(i64::from(text)), WINDOW));
        }
        assert!(repeats.seen_recently([1; 32], at(5), WINDOW));
        assert!(!repeats.seen_recently([0; 32], at(5), WINDOW));
        assert_eq!(format!("{repeats:?}"), "Repeats(4 remembered)");
    }

    #[test]
    fn a_clock_set_back_forgets() {
        let mut repeats = Repeats::default();
        assert!(!repeats.seen_recently([1; 32], at(1000), WINDOW));
        assert!(!repeats.seen_recently([1; 32], at(999), WINDOW));
    }

    #[test]
    fn the_mac_depends_on_text_length_and_key() {
        let key = RepeatKey::new([1; 32]);
        assert_eq!(key.mac("1234755224"), key.mac("1234755224"));
        assert_ne!(key.mac("1234755224"), key.mac("1234755225"));
        assert_ne!(key.mac("1234755224"), RepeatKey::new([2; 32]).mac("1234755224"));
        assert_ne!(key.mac(&"x".repeat(600)), key.mac(&"x".repeat(601)));
        assert_eq!(format!("{key:?}"), "RepeatKey([redacted])");
    }
}
