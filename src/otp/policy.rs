//! The numbers that verification is run with. The default of each is the recommended one.

use std::time::Duration;

/// Where the PIN stands in what is typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PinPlacement {
    /// PIN, then passcode.
    #[default]
    Prefix,
    /// Passcode, then PIN.
    Suffix,
}

/// The numbers that verification is run with. Windows cost two hash compressions per factor and request, so whoever
/// reads them from a configuration should bound them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// HOTP: how many passcodes may have been skipped (s in RFC 4226 §7.2).
    pub hotp_look_ahead: u32,
    /// The same for a candidate without a PIN, where a guess has only the passcode to hit.
    pub hotp_look_ahead_without_pin: u32,
    /// HOTP: how far ahead of the counter a resync searches.
    pub hotp_sync_window: u32,
    /// TOTP: steps either side of the forecast that are accepted.
    pub totp_accept: u32,
    /// TOTP: steps either side of the forecast that a resync searches.
    pub totp_sync_window: u32,
    /// The failure with this number locks, and each one after it (T in RFC 4226 §7.3). 0 counts as 1.
    pub max_failures: u32,
    /// How long the first lock lasts; each further one lasts twice as long.
    pub first_lock: Duration,
    /// What a lock grows to at most. `None`: the first lock already lasts until an administrator opens it.
    pub longest_lock: Option<Duration>,
    /// The same text typed again within this time is not counted again.
    pub repeat_window: Duration,
    /// Where the PIN stands.
    pub pin_placement: PinPlacement,
    /// A right passcode with a wrong PIN is spent, so that one observed passcode buys one guess of the PIN.
    pub spend_on_wrong_pin: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            hotp_look_ahead: 10,
            hotp_look_ahead_without_pin: 5,
            hotp_sync_window: 1000,
            totp_accept: 2,
            totp_sync_window: 120,
            max_failures: 10,
            first_lock: Duration::from_secs(60),
            longest_lock: Some(Duration::from_secs(3600)),
            repeat_window: Duration::from_secs(60),
            pin_placement: PinPlacement::Prefix,
            spend_on_wrong_pin: true,
        }
    }
}
