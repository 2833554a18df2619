//! The numbers that verification is run with. The default of each is the recommended one.
//!
//! Which of them can be set, in which range, and under which name is in [`settings`]. A window costs two hash
//! compressions per factor and request, so every window has an upper bound there.

pub mod settings;

use std::time::Duration;

use super::pin_rules::PinRules;

/// Where the PIN stands in what is typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PinPlacement {
    /// PIN, then passcode.
    #[default]
    Prefix,
    /// Passcode, then PIN.
    Suffix,
    /// Not among what is typed as the passcode, but in a field of its own: PIN, [`PIN_END`], passcode.
    Field,
}

/// Ends a PIN that came in a field of its own: the unit separator of ASCII, which no keyboard types.
pub const PIN_END: char = '\u{1f}';

/// The numbers that verification is run with.
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
    /// TOTP: steps either side of the forecast in which a passcode asks for a second one, and which the accepted
    /// ones never exceed however long a token lay idle. Less than `totp_accept` counts as that.
    pub totp_check: u32,
    /// TOTP: steps either side of the forecast that a resync searches.
    pub totp_sync_window: u32,
    /// A passcode beyond what is accepted, and a second one in the next attempt that agrees with it, are a resync.
    pub auto_resync: bool,
    /// How long the second one may take.
    pub auto_resync_within: Duration,
    /// The clock of a token is followed by a model. Without it the offset of the last success is all there is.
    pub clock_model: bool,
    /// The failure with this number locks, and each one after it (T in RFC 4226 §7.3). 0 counts as 1.
    pub max_failures: u32,
    /// How long the first lock lasts; each further one lasts twice as long.
    pub first_lock: Duration,
    /// What a lock grows to at most.
    pub longest_lock: Duration,
    /// From the failure with this number on a user or a token is locked until somebody unlocks it; 0 for never. A
    /// source is never locked for good: nobody could unlock it, and it may be the gateway of everybody.
    pub permanent_lock_after: u32,
    /// The same text typed again within this time is not counted again.
    pub repeat_window: Duration,
    /// Where the PIN stands.
    pub pin_placement: PinPlacement,
    /// A right passcode with a wrong PIN is spent, so that one observed passcode buys one guess of the PIN.
    pub spend_on_wrong_pin: bool,
    /// What a new PIN must be like.
    pub pin_rules: PinRules,
    /// Days after which a PIN must be changed; 0 for never.
    pub pin_lifetime_days: u32,
}

impl Policy {
    /// Steps either side of the forecast beyond which nothing but a resync reaches.
    #[must_use]
    pub fn totp_outermost(&self) -> u32 {
        self.totp_check.max(self.totp_accept)
    }

    /// How long a PIN is good for, if it ages.
    #[must_use]
    pub fn pin_lifetime(&self) -> Option<Duration> {
        let days = u64::from(self.pin_lifetime_days);
        (days > 0).then(|| Duration::from_secs(days * 24 * 3600))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            hotp_look_ahead: 10,
            hotp_look_ahead_without_pin: 5,
            hotp_sync_window: 1000,
            totp_accept: 2,
            totp_check: 10,
            totp_sync_window: 120,
            auto_resync: false,
            auto_resync_within: Duration::from_secs(300),
            clock_model: true,
            max_failures: 10,
            first_lock: Duration::from_secs(60),
            longest_lock: Duration::from_secs(3600),
            permanent_lock_after: 0,
            repeat_window: Duration::from_secs(60),
            pin_placement: PinPlacement::Prefix,
            spend_on_wrong_pin: true,
            pin_rules: PinRules::default(),
            pin_lifetime_days: 0,
        }
    }
}
