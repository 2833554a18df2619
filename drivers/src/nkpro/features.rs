//! What model and firmware can do, all differences in one place.
//!
//! | | Pro, Librem Key 0.7 | 0.8 and later | Storage 0.53 | 0.54 and later |
//! |---|---|---|---|---|
//! | may a command run | AUTHORIZE names its CRC, once per PIN | temporary password in it | AUTHORIZE names its CRC | temporary password in it |
//! | secret | 20 bytes | 40 bytes | 20 bytes | 40 bytes |
//! | secret that counts as none | first byte 0 | all 0 | | all 0 |
//! | HOTP counter | 8 bytes | 8 bytes | decimal digits | 8 bytes |
//! | TOTP slots | 15 | 15 | 15 | 14: the last one is never written |
//! | clock | 64 bits | 64 bits | 31 bits | 64 bits |
//! | refusals may look like OK | | | | yes, once any program has sent AUTHORIZE |
//!
//! Read in the maker's firmware (Nitrokey/nitrokey-pro-firmware and nitrokey-storage-firmware, all tags from 0.7 and
//! 0.53 on); the maker's library decides by the same versions.

use std::ops::RangeInclusive;

use crate::token::{Addressing, Algorithm, Capabilities};

/// Longest time step: firmware computes with 16 bits of it.
pub(super) const LONGEST_STEP: u32 = u16::MAX as u32;

/// Shortest time step: the device's clock may tick once between setting it and computing.
pub(super) const SHORTEST_STEP: u32 = 2;

/// Model and firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    /// A Nitrokey Storage; else a Pro or a Librem Key.
    pub(super) storage: bool,
    /// Minor version, of a development build that of the release after it; the major one is 0.
    pub(super) minor: u8,
}

impl Features {
    /// AUTHORIZE has to name the CRC of a command first; else the temporary password is in the command.
    pub(super) fn authorizes_by_crc(self) -> bool {
        self.minor <= if self.storage { 53 } else { 7 }
    }

    /// One AUTHORIZE uses the temporary password up.
    pub(super) fn uses_password_up(self) -> bool {
        self.authorizes_by_crc() && !self.storage
    }

    /// A refusal for lack of a password may come as OK.
    pub(super) fn hides_refusals(self) -> bool {
        self.storage && !self.authorizes_by_crc()
    }

    /// HOTP counters are decimal digits, up to 8.
    pub(super) fn counts_in_digits(self) -> bool {
        self.storage && self.authorizes_by_crc()
    }

    /// The latest time that the clock can show, in Unix time: 31 bits on a Storage up to 0.53.
    pub(super) fn latest_time(self) -> u64 {
        if self.counts_in_digits() { i32::MAX as u64 } else { u64::MAX }
    }

    /// Bytes of a secret.
    pub(super) fn secret_length(self) -> usize {
        if self.authorizes_by_crc() { 20 } else { 40 }
    }

    /// Whether the device would take this secret for none and keep the one in the slot.
    pub(super) fn takes_for_none(self, secret: &[u8]) -> bool {
        let is_zero = secret.iter().all(|byte| *byte == 0);
        is_zero || (self.uses_password_up() && secret.first() == Some(&0))
    }

    /// The longest PIN that every command takes.
    pub(super) fn longest_pin(self) -> usize {
        if self.storage { 20 } else { 25 }
    }

    /// Slot numbers for HOTP.
    pub(super) fn hotp_slots(self) -> RangeInclusive<u8> {
        11..=13
    }

    /// Slot numbers for TOTP.
    pub(super) fn totp_slots(self) -> RangeInclusive<u8> {
        if self.hides_refusals() { 21..=34 } else { 21..=35 }
    }

    pub(super) fn capabilities(self) -> Capabilities {
        let (hotp, totp) = (self.hotp_slots(), self.totp_slots());
        Capabilities {
            algorithms: vec![Algorithm::Sha1],
            digits: vec![6, 8],
            hotp: true,
            totp: true,
            calculate: true,
            hotp_by_hand: false,
            first_counter: 0,
            touch: false,
            max_slots: u16::try_from(hotp.len() + totp.len()).ok(),
            max_secret_bytes: self.secret_length(),
            addressing: Addressing::Numbered { hotp, totp },
            time_steps: Vec::new(),
            clock: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_decide() {
        let pro = |minor| Features { storage: false, minor };
        let storage = |minor| Features { storage: true, minor };
        let told = [pro(7), pro(8), pro(15), storage(53), storage(54)].map(|features| {
            (
                features.authorizes_by_crc(),
                features.uses_password_up(),
                features.hides_refusals(),
                features.counts_in_digits(),
                features.secret_length(),
                *features.totp_slots().end(),
            )
        });
        assert_eq!(
            told,
            [
                (true, true, false, false, 20, 35),
                (false, false, false, false, 40, 35),
                (false, false, false, false, 40, 35),
                (true, false, false, true, 20, 35),
                (false, false, true, false, 40, 34),
            ]
        );
    }

    #[test]
    fn secrets_that_a_device_would_not_write_are_known() {
        let (old, new) = (Features { storage: false, minor: 7 }, Features { storage: false, minor: 8 });
        assert!(old.takes_for_none(&[0, 1]) && !new.takes_for_none(&[0, 1]));
        assert!(old.takes_for_none(&[0; 20]) && new.takes_for_none(&[0; 20]));
        assert!(!old.takes_for_none(&[1, 0]));
    }
}
