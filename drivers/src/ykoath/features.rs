//! What an OATH applet can do, by its version: the one place that knows.
//!
//! Versions are those of the applet: 0.2 to 1.0 on the NEO, the firmware's own on `YubiKey` 4 and 5. Sources:
//! the YKOATH document, and the version gates of Yubico's own client where the document is silent.

use super::commands::Version;
use crate::token::{Addressing, Algorithm, Capabilities};

/// The facts that depend on the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    version: Version,
}

impl Features {
    pub(super) fn new(version: Version) -> Self {
        Self { version }
    }

    /// SHA-512 came with 4.3.1, and was left out of the `YubiKey` 4 FIPS (4.4.x).
    fn sha512(self) -> bool {
        let fips_4 = (Version(4, 4, 0)..Version(4, 5, 0)).contains(&self.version);
        self.version >= Version(4, 3, 1) && !fips_4
    }

    /// The document names 4.2.4; Yubico's client waits for 4.2.6, and so does this driver.
    pub(super) fn touch(self) -> bool {
        self.version >= Version(4, 2, 6)
    }

    /// A reply of more than 54 bytes swallows the next command, over USB. Cured by an empty command between.
    pub(super) fn drops_command_after_long_reply(self) -> bool {
        (Version(4, 2, 0)..=Version(4, 2, 6)).contains(&self.version)
    }

    /// Overwriting a credential whose name begins another one's damages the other. Cured in 4.3.5.
    pub(super) fn overwrite_harms_longer_names(self) -> bool {
        (Version(4, 0, 0)..Version(4, 3, 5)).contains(&self.version)
    }

    /// The NEO answers 6F00 where others answer 6A84.
    pub(super) fn says_full_as_6f00(self) -> bool {
        self.version < Version(4, 0, 0)
    }

    /// The same in the words of the trait.
    pub(super) fn capabilities(self) -> Capabilities {
        let mut algorithms = vec![Algorithm::Sha1, Algorithm::Sha256];
        if self.sha512() {
            algorithms.push(Algorithm::Sha512);
        }
        Capabilities {
            algorithms,
            digits: vec![6, 7, 8],
            hotp: true,
            totp: true,
            calculate: true,
            hotp_by_hand: false,
            touch: self.touch(),
            // A NEO holds what its memory holds.
            max_slots: match self.version {
                version if version >= Version(5, 7, 0) => Some(64),
                version if version >= Version(4, 0, 0) => Some(32),
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
            let features = Features::new(version);
            let capabilities = features.capabilities();
            assert_eq!(capabilities.algorithms.contains(&Algorithm::Sha512), sha512, "{version} SHA-512");
            assert_eq!(capabilities.touch, touch, "{version} touch");
            assert_eq!(features.drops_command_after_long_reply(), drops, "{version} drops");
            assert_eq!(features.overwrite_harms_longer_names(), harms, "{version} harms");
            assert_eq!(features.says_full_as_6f00(), full, "{version} full");
            assert_eq!(capabilities.max_slots, slots, "{version} slots");
        }
    }
}
