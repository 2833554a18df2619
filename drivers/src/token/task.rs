//! What some tokens can be told besides holding an OATH credential: the typed tasks of
//! [`Token::configure`](super::Token::configure).
//!
//! Today these are the things that a slot of a token with a keyboard does: other things to type than a bare HOTP
//! passcode, plain challenge-response, and how it types. A token that cannot do a task answers
//! [`Error::Unsupported`](crate::error::Error::Unsupported) before the first exchange. Secrets are
//! [`SecretBytes`]; lengths are bytes, times milliseconds where a name says so.

use super::{SecretBytes, SlotConfig, SlotId};

/// One thing to do to a token.
#[derive(Clone, Debug)]
pub enum Task {
    /// Writes an HOTP credential that is typed with a token identifier before it, and says how it is typed.
    /// [`Token::program`](super::Token::program) does the same without identifier and with [`Typing::default`].
    TypedHotp {
        /// Where to.
        slot: SlotId,
        /// The credential; its factor must be HOTP.
        config: SlotConfig,
        /// What is typed before the passcode, for example `ubhe11032475`; empty for nothing. OATH token identifiers
        /// are a manufacturer (OMP) and type (TT) of two characters each and a number.
        identifier: String,
        /// How it is typed.
        typing: Typing,
    },
    /// Writes a Yubico OTP credential: AES, 44 modhex characters typed.
    YubicoOtp {
        /// Where to.
        slot: SlotId,
        /// Public identity, typed in clear before the passcode: at most 16 bytes.
        public_id: Vec<u8>,
        /// Private identity, inside the encrypted part: 6 bytes.
        private_id: SecretBytes,
        /// AES-128 key: 16 bytes.
        key: SecretBytes,
        /// How it is typed.
        typing: Typing,
    },
    /// Writes a password that is typed as it is.
    StaticPassword {
        /// Where to.
        slot: SlotId,
        /// What is typed.
        password: Password,
        /// How it is typed.
        typing: Typing,
    },
    /// Writes a key that answers challenges of the host and types nothing.
    ChallengeResponse {
        /// Where to.
        slot: SlotId,
        /// How a response is computed.
        method: ChallengeMethod,
        /// Whether each response needs a touch.
        touch: bool,
        /// The part of how it behaves that is not about typing; the rest is ignored.
        typing: Typing,
    },
    /// Changes how a slot types and leaves its secret and its counter. Everything in [`Typing`] is set: no token
    /// tells what it was.
    UpdateTyping {
        /// Which one.
        slot: SlotId,
        /// How it types from now on.
        typing: Typing,
    },
    /// Exchanges the contents of slots 1 and 2.
    Swap,
    /// Says what the token shows to a phone that it is held against (NDEF); the passcode of the slot is added to it.
    Ndef {
        /// Whose passcode.
        slot: SlotId,
        /// What it is added to.
        record: NdefRecord,
    },
}

/// A password and how it becomes keys.
#[derive(Clone, Debug)]
pub enum Password {
    /// Text (UTF-8) for a host with this keyboard layout.
    Text {
        /// The text.
        text: SecretBytes,
        /// The host's layout: a token presses keys, it cannot type letters.
        layout: Layout,
    },
    /// Keys as they are: HID usage codes (HID usage tables, page 7), `80` added for Shift.
    Scancodes(SecretBytes),
}

/// A keyboard layout of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Only the letters `cbdefghijklnrtuv`, which are on the same keys nearly everywhere.
    Modhex,
    /// US.
    Us,
}

/// How a response is computed from a challenge.
#[derive(Clone, Debug)]
pub enum ChallengeMethod {
    /// HMAC-SHA-1 of a challenge of at most 64 bytes.
    HmacSha1 {
        /// The key: at most 20 bytes, or more than 64, which are hashed first (RFC 2104).
        key: SecretBytes,
        /// Whether challenges may be shorter than 64 bytes. Should be on.
        variable_length: bool,
    },
    /// AES-128 over 6 bytes of challenge and what is peculiar to the token.
    YubicoOtp {
        /// Private identity: 6 bytes.
        private_id: SecretBytes,
        /// AES-128 key: 16 bytes.
        key: SecretBytes,
    },
}

/// What stands in an NDEF record before the passcode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NdefRecord {
    /// A URI to which the passcode is appended.
    Uri(String),
    /// A text to which the passcode is appended.
    Text {
        /// Language (RFC 5646), for example `en`.
        language: String,
        /// The text.
        text: String,
    },
}

/// How a slot types, and what else can be changed without touching its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typing {
    /// Enter after the passcode.
    pub enter: bool,
    /// Tab before everything.
    pub tab_first: bool,
    /// Tab after the identifier.
    pub tab_after_identifier: bool,
    /// Tab after the passcode.
    pub tab_after_passcode: bool,
    /// Half a second of pause after the identifier.
    pub pause_after_identifier: bool,
    /// Half a second of pause after the passcode.
    pub pause_after_passcode: bool,
    /// Extra time for each key, for slow hosts.
    pub pacing: Pacing,
    /// Digits from the numeric keypad.
    pub numeric_keypad: bool,
    /// Types on a short touch at once, if it is the only slot in use.
    pub fast_trigger: bool,
    /// Types nothing until this is changed again.
    pub dormant: bool,
    /// The flags here may be changed later ([`Task::UpdateTyping`]).
    pub updatable: bool,
    /// Where the serial may be seen.
    pub serial: SerialVisibility,
    /// The light is on where it would be off.
    pub inverted_light: bool,
    /// Slot 1 only: slot 2 may not be written any more.
    pub protect_second: bool,
}

impl Default for Typing {
    /// Enter at the end, at once, updatable later, the serial for programs.
    fn default() -> Self {
        Self {
            enter: true,
            tab_first: false,
            tab_after_identifier: false,
            tab_after_passcode: false,
            pause_after_identifier: false,
            pause_after_passcode: false,
            pacing: Pacing::None,
            numeric_keypad: false,
            fast_trigger: true,
            dormant: false,
            updatable: true,
            serial: SerialVisibility { programs: true, usb: false, button: false },
            inverted_light: false,
            protect_second: false,
        }
    }
}

/// Extra time for each key typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pacing {
    /// None.
    #[default]
    None,
    /// 10 ms.
    Ms10,
    /// 20 ms.
    Ms20,
    /// 30 ms.
    Ms30,
}

/// Where a token shows its serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerialVisibility {
    /// To programs that ask. Without it a server cannot tell the token from its like.
    pub programs: bool,
    /// In the USB descriptor (iSerialNumber).
    pub usb: bool,
    /// Typed, if the button is pressed while it is plugged in.
    pub button: bool,
}
