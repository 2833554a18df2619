//! Where an OATH applet differs from that of a YubiKey 5, as data. Sources: the published sources of ykneo-oath
//! (NEO and other JavaCards), apex-totp (VivoKey), canokey-core and oath-authenticator (Solo 2), and what
//! yubikey-manager expects of FIPS keys.

use crate::status::Status;

/// Who made a device, and by which other applet it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// Management applet, or on a NEO the OTP applet.
    Yubico,
    /// Admin applet `F000000000`: a serial of 4 bytes.
    CanoKeys,
    /// Admin applet `A00000084700000001`: a UUID and the firmware version.
    SoloKeys,
    /// A card with nothing but the OATH applet of VivoKey.
    VivoKey,
}

/// What erases everything at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetRule {
    /// RESET, by anybody.
    Anybody,
    /// RESET, by who gave the access code.
    Unlocked,
    /// There is no RESET.
    Missing,
}

/// What DELETE says of a name that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteMissing {
    /// It is refused like any other command.
    Refused,
    /// It is done.
    Done,
}

/// The differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// PUT writes over a credential of the same name; otherwise 6985.
    pub overwrites: bool,
    /// HOTP counts on before it computes: the first passcode is that of IMF + 1.
    pub counts_first: bool,
    /// Bytes of the counter that go into the HMAC: 8 by RFC 4226.
    pub counter_bytes: usize,
    /// Shortest and longest passcode that PUT takes.
    pub digits: (u8, u8),
    /// PUT takes an IMF with TOTP, and ignores it.
    pub imf_for_totp: bool,
    /// The touch bit is taken and has no effect.
    pub ignores_touch: bool,
    /// What erases everything.
    pub reset: ResetRule,
    /// What a locked applet answers.
    pub locked: Status,
    /// What stands for "no such credential".
    pub missing: Status,
    /// The same for DELETE.
    pub delete_missing: DeleteMissing,
    /// SET CODE with a wrong response.
    pub code_mismatch: Status,
    /// VALIDATE without an access code.
    pub no_code: Status,
    /// VALIDATE unlocks the next command only.
    pub unlocks_once: bool,
    /// SELECT of the applet that is selected already leaves it unlocked.
    pub stays_unlocked: bool,
    /// What SELECT tells as algorithm of the access code; `None` if nothing, the byte as written if 0.
    pub code_algorithm: Option<u8>,
    /// CALCULATE knows full responses (P2 00).
    pub full_responses: bool,
    /// CALCULATE ALL tells the passcode length of HOTP credentials.
    pub tells_hotp_digits: bool,
    /// Responses in parts are cut between data objects, and the hint is always FF.
    pub cuts_between_objects: bool,
    /// The instruction that fetches the next part.
    pub continuation: u8,
    /// PUT reads past the end of its data, into what an earlier command or response left in the buffer, where
    /// property and IMF are missing.
    pub reads_past_the_end: bool,
    /// PUT is refused until there is an access code, which then cannot be removed. Both statuses are assumed.
    pub needs_code: bool,
}

impl Quirks {
    /// A YubiKey 5.
    pub const NONE: Self = Self {
        overwrites: true,
        counts_first: false,
        counter_bytes: 8,
        digits: (0, u8::MAX),
        imf_for_totp: true,
        ignores_touch: false,
        reset: ResetRule::Anybody,
        locked: Status::SECURITY,
        missing: Status::NO_SUCH_OBJECT,
        delete_missing: DeleteMissing::Refused,
        code_mismatch: Status::NO_SUCH_OBJECT,
        no_code: Status::NO_SUCH_OBJECT,
        unlocks_once: false,
        stays_unlocked: false,
        code_algorithm: Some(0),
        full_responses: true,
        tells_hotp_digits: true,
        cuts_between_objects: false,
        continuation: 0xA5,
        reads_past_the_end: false,
        needs_code: false,
    };
}
