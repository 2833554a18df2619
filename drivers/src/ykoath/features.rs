//! What an OATH applet can do, by its maker and version: the one place that knows.
//!
//! Versions are those of the applet: 0.2 to 1.0 on the NEO, the firmware's own on `YubiKey` 4 and 5. Sources: the
//! YKOATH document, the version gates of Yubico's own client where it is silent, and the published applets of the
//! NEO (ykneo-oath), of CanoKey (canokey-core), Solo 2 (oath-authenticator) and `VivoKey` (apex-totp).
//!
//! | | `YubiKey` | CanoKey | Solo 2 | NEO, JavaCard |
//! |---|---|---|---|---|
//! | PUT over a name in use | replaces it | `6985` | replaces it | replaces it |
//! | first HOTP passcode | counter IMF | counter IMF + 1 | not as RFC 4226 | counter IMF |
//! | passcode lengths | 6 to 8 | 4 to 8 | 6 to 8 | 6 to 8 |
//! | RESET | by anybody | none | by anybody | by anybody (`VivoKey`: needs VALIDATE) |
//! | VALIDATE unlocks | until deselected | until deselected | one command | until deselected |
//! | rest of a long response | `A5` | `A5` | `C0` | `A5` |

use crate::token::{Addressing, Algorithm, Capabilities};
use crate::yubikey::Version;

/// Whose applet it is, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// `YubiKey` 4 and 5.
    YubiKey,
    /// `YubiKey` 5 FIPS from firmware 5.7 on, which enforces its rules: no credential without an access code, and
    /// over NFC nothing without a secure channel.
    YubiKeyFips,
    /// `YubiKey` NEO.
    Neo,
    CanoKey,
    Solo,
    /// The published applet of the NEO on another card, or a fork of it.
    JavaCard,
    /// Nobody knows: treated as a `YubiKey` of that version.
    Unknown,
}

/// What empties the applet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Emptying {
    /// RESET, by whoever holds the token.
    Reset,
    /// RESET, by who knows the access code.
    ResetWhenUnlocked,
    /// There is no RESET: one credential after the other, by who knows the access code.
    OneByOne,
}

/// The facts that depend on maker and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    family: Family,
    version: Version,
}

impl Features {
    pub(super) fn new(family: Family, version: Version) -> Self {
        Self { family, version }
    }

    fn is_javacard(self) -> bool {
        matches!(self.family, Family::Neo | Family::JavaCard)
    }

    /// SHA-512 came with 4.3.1, and was left out of the `YubiKey` 4 FIPS (4.4.x). Solo 2 crashes on it, and says
    /// 4.4.4.
    fn sha512(self) -> bool {
        let fips_4 = (Version(4, 4, 0)..Version(4, 5, 0)).contains(&self.version);
        self.version >= Version(4, 3, 1) && !fips_4
    }

    /// Solo 2 hashes 4 bytes of the counter where RFC 4226 §5.2 has 8, so its passcodes are of no use.
    fn hotp(self) -> bool {
        self.family != Family::Solo
    }

    /// The document names 4.2.4; Yubico's client waits for 4.2.6, and so does this driver. Solo 2 takes the wish for
    /// a touch and ignores it.
    pub(super) fn touch(self) -> bool {
        self.version >= Version(4, 2, 6) && self.family != Family::Solo
    }

    /// A reply of more than 54 bytes swallows the next command, over USB. Cured by an empty command between.
    pub(super) fn drops_command_after_long_reply(self) -> bool {
        (Version(4, 2, 0)..=Version(4, 2, 6)).contains(&self.version)
    }

    /// Overwriting a credential whose name begins another one's damages the other. Cured in 4.3.5.
    pub(super) fn overwrite_harms_longer_names(self) -> bool {
        (Version(4, 0, 0)..Version(4, 3, 5)).contains(&self.version)
    }

    /// PUT refuses a name in use, so the old credential has to be deleted first.
    pub(super) fn never_overwrites(self) -> bool {
        self.family == Family::CanoKey
    }

    /// The lowest counter that the first passcode can have.
    pub(super) fn first_counter(self) -> u64 {
        u64::from(self.family == Family::CanoKey)
    }

    /// The highest. The counter to start from has 32 bits; before 0.2.1 the NEO ignored most of them.
    pub(super) fn last_counter(self) -> u64 {
        match self.family {
            Family::Neo if self.version < Version(0, 2, 1) => 0,
            _ => u64::from(u32::MAX) + self.first_counter(),
        }
    }

    /// PUT reads on behind its data, so it has to end with what it could otherwise find there; and it switches the old
    /// credential off before it has checked everything.
    pub(super) fn reads_past_the_end(self) -> bool {
        self.is_javacard()
    }

    /// The NEO answers 6F00 where others answer 6A84.
    pub(super) fn says_full_as_6f00(self) -> bool {
        self.version < Version(4, 0, 0)
    }

    /// A key of SHA-512 may be longer than 64 bytes. Nobody documents it for the `YubiKey`; CanoKey refuses it.
    pub(super) fn takes_long_keys(self) -> bool {
        self.family != Family::CanoKey
    }

    pub(super) fn emptying(self) -> Emptying {
        match (self.family, self.version) {
            (Family::CanoKey, _) => Emptying::OneByOne,
            (Family::JavaCard, Version(0, 1, 2)) => Emptying::ResetWhenUnlocked,
            _ => Emptying::Reset,
        }
    }

    /// VALIDATE holds for one command.
    pub(super) fn unlocks_once(self) -> bool {
        self.family == Family::Solo
    }

    /// The rest of a long response is fetched as ISO/IEC 7816-4 says, not as the document does.
    pub(super) fn uses_get_response(self) -> bool {
        self.family == Family::Solo
    }

    /// No credential is taken without an access code, which then can be changed but not removed.
    pub(super) fn needs_code(self) -> bool {
        self.family == Family::YubiKeyFips
    }

    /// The same in the words of the trait.
    pub(super) fn capabilities(self) -> Capabilities {
        let mut algorithms = vec![Algorithm::Sha1, Algorithm::Sha256];
        if self.sha512() {
            algorithms.push(Algorithm::Sha512);
        }
        let shortest = if self.family == Family::CanoKey { 4 } else { 6 };
        Capabilities {
            algorithms,
            digits: (shortest..=8).collect(),
            hotp: self.hotp(),
            totp: true,
            calculate: true,
            hotp_by_hand: false,
            first_counter: self.first_counter(),
            touch: self.touch(),
            max_slots: match (self.family, self.version) {
                (Family::CanoKey, _) => Some(100),
                // They hold what their memory holds.
                (Family::Solo | Family::Neo | Family::JavaCard, _) => None,
                (_, version) if version >= Version(5, 7, 0) => Some(64),
                (_, version) if version >= Version(4, 0, 0) => Some(32),
                _ => None,
            },
            // Longer ones are hashed to this or less, except under SHA-512, where Yubico documents no limit
            // and 64 bytes are what every known applet stores.
            max_secret_bytes: 64,
            addressing: Addressing::Named,
            time_steps: Vec::new(),
            clock: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_begin_and_end_with_their_firmware() {
        for (version, sha512, touch, drops, harms, full, slots) in [
            (Version(1, 0, 2), false, false, false, false, true, None),
            (Version(4, 1, 9), false, false, false, true, false, Some(32)),
            (Version(4, 2, 0), false, false, true, true, false, Some(32)),
            (Version(4, 2, 6), false, true, true, true, false, Some(32)),
            (Version(4, 2, 7), false, true, false, true, false, Some(32)),
            (Version(4, 3, 1), true, true, false, true, false, Some(32)),
            (Version(4, 3, 5), true, true, false, false, false, Some(32)),
            (Version(4, 4, 5), false, true, false, false, false, Some(32)),
            (Version(5, 4, 3), true, true, false, false, false, Some(32)),
            (Version(5, 7, 1), true, true, false, false, false, Some(64)),
        ] {
            let features = Features::new(Family::YubiKey, version);
            let capabilities = features.capabilities();
            assert_eq!(capabilities.algorithms.contains(&Algorithm::Sha512), sha512, "{version} SHA-512");
            assert_eq!(capabilities.touch, touch, "{version} touch");
            assert_eq!(features.drops_command_after_long_reply(), drops, "{version} drops");
            assert_eq!(features.overwrite_harms_longer_names(), harms, "{version} harms");
            assert_eq!(features.says_full_as_6f00(), full, "{version} full");
            assert_eq!(capabilities.max_slots, slots, "{version} slots");
            assert!(!features.never_overwrites() && !features.unlocks_once() && !features.needs_code());
        }
    }

    #[test]
    fn makers_differ_where_their_applets_do() {
        let canokey = Features::new(Family::CanoKey, Version(6, 0, 0));
        assert_eq!((canokey.first_counter(), canokey.last_counter()), (1, 1 << 32));
        assert_eq!(canokey.emptying(), Emptying::OneByOne);
        let told = canokey.capabilities();
        assert_eq!((told.digits, told.max_slots, told.touch), (vec![4, 5, 6, 7, 8], Some(100), true));
        let solo = Features::new(Family::Solo, Version(4, 4, 4));
        assert_eq!(solo.capabilities().algorithms, [Algorithm::Sha1, Algorithm::Sha256]);
        assert_eq!((solo.capabilities().hotp, solo.capabilities().touch), (false, false));
        assert!(solo.unlocks_once() && solo.uses_get_response());
        let vivokey = Features::new(Family::JavaCard, Version(0, 1, 2));
        assert_eq!(vivokey.emptying(), Emptying::ResetWhenUnlocked);
        assert_eq!((vivokey.first_counter(), vivokey.last_counter()), (0, u64::from(u32::MAX)));
        for (version, last) in [(Version(0, 2, 0), 0), (Version(0, 2, 1), u64::from(u32::MAX))] {
            let neo = Features::new(Family::Neo, version);
            assert_eq!((neo.last_counter(), neo.emptying()), (last, Emptying::Reset), "{version}");
        }
    }
}
