//! The status of the OTP application, and what it says of a write: nothing else does.
//!
//! | offset | field |
//! |---|---|
//! | 0 | version, 3 bytes |
//! | 3 | program sequence: counts writes, 0 while no slot is in use |
//! | 4 | touch level: 01, 02 slot 1, 2 in use (from 2.1); 04, 08 slot 1, 2 by touch (from 3.0); 10 light inverted |
//! | 5 | internal |
//!
//! A write was done if the sequence went up by one, or to 0 because the last slot in use was emptied. What follows
//! 255 is not documented: here 0 and 1 are taken for it. A refused write leaves the whole status as it was. Over the
//! card interface firmware 5.0.0 to 5.4.2 tells the touch level of before until the applet is selected again.

use super::features::Features;
use crate::yubikey::Version;

/// A slot, counted as the maker counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    One,
    Two,
}

impl Slot {
    pub(super) const BOTH: [Self; 2] = [Self::One, Self::Two];

    /// The number of the slot.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// What belongs to this slot of two.
    pub(super) fn of<T>(self, [one, two]: [T; 2]) -> T {
        match self {
            Self::One => one,
            Self::Two => two,
        }
    }
}

/// What a key tells of its OTP application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) version: Version,
    pub(super) sequence: u8,
    touch_level: u8,
}

impl Status {
    /// Length of a status; keys before the YubiKey 5 append more to it when the applet is selected.
    pub(super) const LENGTH: usize = 6;

    /// Reads six bytes or more.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [major, minor, patch, sequence, touch_level, _, ..] if major != 0 => {
                Some(Self { version: Version(major, minor, patch), sequence, touch_level })
            }
            _ => None,
        }
    }

    /// Whether a slot is in use. Before 2.1 a key does not tell which: then all are, unless none is.
    pub(super) fn in_use(self, slot: Slot, features: Features) -> bool {
        if features.hotp() { self.touch_level & slot.of([0x01, 0x02]) != 0 } else { self.sequence != 0 }
    }

    /// Whether a slot in use types, or wants a touch for each response; `None` if the key does not tell.
    pub(super) fn by_touch(self, slot: Slot, features: Features) -> Option<bool> {
        features.touch_bits().then_some(self.touch_level & slot.of([0x04, 0x08]) != 0)
    }

    fn is_empty(self) -> bool {
        self.touch_level & 0x03 == 0
    }
}

/// What a write makes of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is in use.
    Fills(Slot),
    /// It is empty.
    Empties(Slot),
    /// Nothing that the status shows.
    Hidden,
}

impl Effect {
    /// Whether the status shows it. Keys before 2.1 show nothing.
    pub(super) fn shows(self, status: Status, features: Features) -> bool {
        !features.hotp()
            || match self {
                Self::Fills(slot) => status.in_use(slot, features),
                Self::Empties(slot) => !status.in_use(slot, features),
                Self::Hidden => true,
            }
    }
}

/// What two statuses say of the write between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was done.
    Done,
    /// Nothing was done.
    Refused,
    /// Something was done, but not this: another program may have written as well.
    Unclear,
}

/// Judges a write. `stale`: the touch level may still be that of before.
pub(super) fn judge(
    before: Status,
    after: Status,
    effect: Effect,
    features: Features,
    stale: bool,
) -> Verdict {
    let counted = match before.sequence.checked_add(1) {
        Some(next) => after.sequence == next,
        None => after.sequence <= 1,
    };
    let none_left = if stale { matches!(effect, Effect::Empties(_)) } else { after.is_empty() };
    let emptied = after.sequence == 0 && before.sequence > 0 && none_left;
    if (counted || emptied) && (stale || effect.shows(after, features)) {
        Verdict::Done
    } else if after == before {
        Verdict::Refused
    } else {
        Verdict::Unclear
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(version: [u8; 3], sequence: u8, touch_level: u8) -> Status {
        let [major, minor, patch] = version;
        Status::parse(&[major, minor, patch, sequence, touch_level, 0]).unwrap()
    }

    #[test]
    fn recorded_statuses_are_read() {
        for (bytes, one, two, touch) in [
            (&[4, 3, 7, 3, 7, 0][..], true, true, Some(true)),
            (&[5, 3, 1, 5, 5, 0], true, false, Some(true)),
            (&[3, 2, 0, 3, 7, 5, 2, 15, 0, 0], true, true, Some(true)),
            (&[2, 2, 3, 1, 2, 0], false, true, None),
        ] {
            let status = Status::parse(bytes).unwrap();
            let features = Features::new(status.version, false);
            let told = (
                status.in_use(Slot::One, features),
                status.in_use(Slot::Two, features),
                status.by_touch(Slot::One, features),
            );
            assert_eq!(told, (one, two, touch), "{bytes:?}");
        }
        assert_eq!(Status::parse(&[5, 4, 3, 0, 0]), None);
        assert_eq!(Status::parse(&[0; 6]), None);
    }

    #[test]
    fn a_key_before_2_1_tells_only_whether_any_slot_is_in_use() {
        let features = Features::new(Version(1, 3, 0), false);
        assert!(!status([1, 3, 0], 0, 0).in_use(Slot::One, features));
        assert!(status([1, 3, 0], 4, 0).in_use(Slot::One, features));
    }

    #[test]
    fn a_write_is_done_only_if_the_sequence_says_so() {
        let (five, fills, empties) = ([5, 4, 3], Effect::Fills(Slot::One), Effect::Empties(Slot::One));
        for (before, after, effect, verdict) in [
            ((0, 0), (1, 5), fills, Verdict::Done),
            ((4, 5), (5, 5), fills, Verdict::Done),
            ((255, 5), (0, 5), fills, Verdict::Done),
            ((255, 5), (1, 5), fills, Verdict::Done),
            ((4, 7), (5, 2), empties, Verdict::Done),
            ((4, 5), (0, 0), empties, Verdict::Done),
            ((4, 5), (4, 5), fills, Verdict::Refused),
            ((0, 0), (0, 0), empties, Verdict::Refused),
            ((4, 5), (6, 5), fills, Verdict::Unclear),
            ((4, 5), (0, 5), fills, Verdict::Unclear),
            ((0, 0), (1, 2), fills, Verdict::Unclear),
            ((4, 5), (5, 5), empties, Verdict::Unclear),
            ((4, 2), (4, 3), fills, Verdict::Unclear),
        ] {
            let (before, after) = (status(five, before.0, before.1), status(five, after.0, after.1));
            let told = judge(before, after, effect, Features::new(before.version, false), false);
            assert_eq!(told, verdict, "{before:?} {after:?} {effect:?}");
        }
    }

    #[test]
    fn a_stale_touch_level_says_nothing() {
        let features = Features::new(Version(5, 2, 7), true);
        let status = |sequence, level| status([5, 2, 7], sequence, level);
        let (fills, empties) = (Effect::Fills(Slot::One), Effect::Empties(Slot::One));
        for (before, after, effect, verdict) in [
            (status(0, 0), status(1, 0), fills, Verdict::Done),
            (status(3, 7), status(4, 7), empties, Verdict::Done),
            (status(3, 5), status(0, 5), empties, Verdict::Done),
            (status(3, 5), status(0, 5), fills, Verdict::Unclear),
            (status(3, 5), status(3, 5), empties, Verdict::Refused),
        ] {
            assert_eq!(judge(before, after, effect, features, true), verdict, "{before:?} {after:?}");
        }
    }

    #[test]
    fn before_2_1_the_sequence_alone_counts() {
        let features = Features::new(Version(2, 0, 2), false);
        let status = |sequence| status([2, 0, 2], sequence, 0);
        let fills = Effect::Fills(Slot::Two);
        assert_eq!(judge(status(0), status(1), fills, features, false), Verdict::Done);
        assert_eq!(judge(status(1), status(1), fills, features, false), Verdict::Refused);
        assert_eq!(judge(status(1), status(0), Effect::Empties(Slot::Two), features, false), Verdict::Done);
    }
}
