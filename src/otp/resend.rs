//! Resends: who asks again, because the answer got lost, is told the same again.
//!
//! A caller names its request; the same caller, name and content within a minute get the decision that stands,
//! without spending or counting a second time. What is kept is a MAC of caller and name and one of the content, under
//! a key that the database has only sealed: neither PIN nor passcode can be tried against it.

use std::fmt;
use std::time::Duration;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::mac::{Tag, hmac_sha256};
use super::pin::PinKey;
use super::repeats::MAX_TYPED_BYTES;
use super::time::Timestamp;

/// How long a decision is kept for whoever asks again.
pub const KEPT: Duration = Duration::from_secs(60);

/// Keeps these MACs apart from whatever else the key is used for.
const PURPOSE: &[u8] = b"fobd resend, version 1";

/// The key of the MACs: the same after a restart.
#[derive(Clone)]
pub struct ResendKey(Zeroizing<[u8; 32]>);

impl ResendKey {
    /// Derives it from the key of the PINs.
    #[must_use]
    pub fn of(pin_key: &PinKey) -> Self {
        Self(Zeroizing::new(pin_key.derive(PURPOSE)))
    }

    /// Marks a request: by its caller and the name that the caller gave it, and by what it asks.
    #[must_use]
    pub fn mark(&self, caller: &[&[u8]], name: &str, content: &[&[u8]], typed: &str) -> Mark {
        // Of an endless text only the beginning and the length are covered; it is judged as wrong in any case.
        let typed = typed.as_bytes();
        let head = typed.get(..MAX_TYPED_BYTES).unwrap_or(typed);
        let length = (typed.len() as u64).to_be_bytes();
        let request = [&[b"request".as_slice()], caller, &[name.as_bytes()]].concat();
        let content = [&[b"content".as_slice()], content, &[head, length.as_slice()]].concat();
        Mark { request: hmac_sha256(&self.0, &request), content: hmac_sha256(&self.0, &content) }
    }
}

impl fmt::Debug for ResendKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResendKey([redacted])")
    }
}

/// A request, by its MACs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Of caller and name.
    pub request: Tag,
    /// Of the content.
    pub content: Tag,
}

/// A decision that is kept for whoever asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept<D> {
    /// The content that was decided about.
    pub content: Tag,
    /// When.
    pub at: Timestamp,
    /// What was decided.
    pub decision: D,
}

/// What a request is to one that was kept under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resend<D> {
    /// The same again.
    Same(D),
    /// Another one.
    Other,
}

impl<D: Copy> Kept<D> {
    /// Compares a request of the same name; `None` if what was kept is too old, or of a clock that was set back.
    #[must_use]
    pub fn compare(&self, mark: &Mark, now: Timestamp) -> Option<Resend<D>> {
        now.since(self.at).filter(|ago| *ago < KEPT)?;
        Some(match bool::from(self.content.ct_eq(&mark.content)) {
            true => Resend::Same(self.decision),
            false => Resend::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ResendKey {
        ResendKey::of(&PinKey::new([3; 32]))
    }

    #[test]
    fn the_same_request_is_known_for_a_minute() {
        let mark = key().mark(&[b"gate"], "r1", &[b"u1"], "1234755224");
        let at = Timestamp::from_secs(1_000);
        let kept = Kept { content: mark.content, at, decision: true };
        let after = |millis| at.saturating_add(Duration::from_millis(millis));
        assert_eq!(kept.compare(&mark, at), Some(Resend::Same(true)));
        assert_eq!(kept.compare(&mark, after(59_999)), Some(Resend::Same(true)));
        assert_eq!(kept.compare(&mark, after(60_000)), None);
        assert_eq!(kept.compare(&mark, Timestamp::from_secs(999)), None, "the clock was set back");
        let other = key().mark(&[b"gate"], "r1", &[b"u1"], "1234755225");
        assert_eq!(other.request, mark.request);
        assert_eq!(kept.compare(&other, at), Some(Resend::Other));
    }

    #[test]
    fn callers_names_and_contents_are_told_apart() {
        let mark = key().mark(&[b"gate"], "r1", &[b"u1", b"t1"], "1");
        assert_ne!(key().mark(&[b"gat"], "er1", &[b"u1", b"t1"], "1").request, mark.request);
        assert_ne!(key().mark(&[b"gate"], "r2", &[b"u1", b"t1"], "1").request, mark.request);
        assert_ne!(key().mark(&[b"gate"], "r1", &[b"u1t1", b""], "1").content, mark.content);
        let long = |chars: usize| key().mark(&[b"gate"], "r1", &[], &"x".repeat(chars)).content;
        assert_ne!(long(600), long(601));
        assert_ne!(ResendKey::of(&PinKey::new([4; 32])).mark(&[b"gate"], "r1", &[b"u1", b"t1"], "1"), mark);
        assert_eq!(format!("{:?}", key()), "ResendKey([redacted])");
    }
}
