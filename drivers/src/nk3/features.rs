//! What a secrets app can do, by its version: the one place that knows.
//!
//! SELECT tells 4, then the minor version and patch of the app. Older firmware asked for the PIN before each command
//! (4.7 to 4.9, shipped for a month) or had an access code (before that); neither is supported.
//!
//! | version | firmware | what came |
//! |---|---|---|
//! | 4.10 | 1.4.0 | entries with and without PIN |
//! | 4.11 | 1.5.0 | serial, properties in LIST, at most 50 entries |
//! | 4.12 | none | touch for DELETE, and with it for PUT |
//! | 4.13 | 1.6.0 | PUT overwrites nothing; UPDATE CREDENTIAL |

use std::fmt;

use crate::error::Error;
use crate::token::{Addressing, Algorithm, Capabilities};

/// Version of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u8, pub(super) u8, pub(super) u8);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The facts that depend on the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    version: Version,
}

impl Features {
    /// What this version can do.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is too old. The first versions called themselves `444`, in letters.
    pub(super) fn of(version: Version) -> Result<Self, Error> {
        if version < Version(4, 10, 0) || version.0 > 4 {
            return Err(Error::Unsupported {
                what: "anything with this version of its secrets app",
                needs: format!("version 4.10 (Nitrokey 3 firmware 1.4.0), and this says {version}"),
            });
        }
        Ok(Self { version })
    }

    /// LIST tells touch, PIN and passwords.
    pub(super) fn properties(self) -> bool {
        self.version >= Version(4, 11, 0)
    }

    /// DELETE wants a touch.
    pub(super) fn touch_to_delete(self) -> bool {
        self.version >= Version(4, 12, 0)
    }

    /// PUT wants a touch, whatever the entry says: it deletes first.
    pub(super) fn touch_to_put(self) -> bool {
        self.touch_to_delete() && !self.refuses_to_overwrite()
    }

    /// PUT refuses a name in use.
    pub(super) fn refuses_to_overwrite(self) -> bool {
        self.version >= Version(4, 13, 0)
    }

    /// The same in the words of the trait.
    pub(super) fn capabilities(self) -> Capabilities {
        Capabilities {
            // SHA-512 is taken by PUT and refused by CALCULATE.
            algorithms: vec![Algorithm::Sha1, Algorithm::Sha256],
            digits: vec![6, 7, 8],
            hotp: true,
            totp: true,
            calculate: true,
            hotp_by_hand: false,
            first_counter: 0,
            touch: true,
            max_slots: self.properties().then_some(50),
            // Longer ones are hashed to this or less.
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
    fn features_begin_with_their_version() {
        for (version, properties, delete, put, refuses, slots) in [
            (Version(4, 10, 0), false, false, false, false, None),
            (Version(4, 11, 0), true, false, false, false, Some(50)),
            (Version(4, 12, 0), true, true, true, false, Some(50)),
            (Version(4, 13, 0), true, true, false, true, Some(50)),
            (Version(4, 16, 2), true, true, false, true, Some(50)),
        ] {
            let features = Features::of(version).unwrap();
            assert_eq!(features.properties(), properties, "{version} properties");
            assert_eq!(features.touch_to_delete(), delete, "{version} touch to delete");
            assert_eq!(features.touch_to_put(), put, "{version} touch to put");
            assert_eq!(features.refuses_to_overwrite(), refuses, "{version} refuses");
            assert_eq!(features.capabilities().max_slots, slots, "{version} slots");
        }
    }

    #[test]
    fn what_came_before_a_pin_for_each_entry_is_refused() {
        for version in [Version(4, 9, 0), Version(4, 4, 4), Version(1, 0, 0), Version(0x34, 0x34, 0x34)] {
            let error = Features::of(version).unwrap_err().to_string();
            assert!(error.contains("needs") || error.contains("4.10"), "{error}");
            assert!(error.ends_with(&format!("this says {version}")), "{error}");
        }
    }
}
