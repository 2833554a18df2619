//! What can go wrong with a token, in terms of what it means. Each keeps what the device itself said.

use crate::transport::TransportError;

/// Why a call on a token failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The wire failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The device refused a command with a status that has no better name here.
    #[error("{command} refused: {status:04X} ({meaning})")]
    Refused {
        /// The command in the words of the protocol, for example `CALCULATE`.
        command: &'static str,
        /// Status word (ISO/IEC 7816-4 §5.6).
        status: u16,
        /// The standard's words for it.
        meaning: &'static str,
    },
    /// The device did not do it and gave no status: nothing in it changed.
    #[error("{command} rejected: {meaning}")]
    Rejected {
        /// The command in the words of the protocol, for example `UPDATE SLOT`.
        command: &'static str,
        /// What may be in the way, for example `the slot does not allow updates`.
        meaning: &'static str,
    },
    /// The reply does not follow the protocol.
    #[error("{command}: malformed reply: {what} at byte {offset}")]
    Malformed {
        /// The command in the words of the protocol.
        command: &'static str,
        /// What is wrong.
        what: &'static str,
        /// Where in the reply, counted from 0.
        offset: usize,
    },
    /// The device wants its lock code first.
    #[error("the token is locked: it asks for its access code")]
    Locked,
    /// The lock code was refused.
    #[error("the token refused the access code{}", attempts(*attempts_left))]
    WrongLockCode {
        /// How many more refusals until the device blocks itself, if it counts and tells.
        attempts_left: Option<u8>,
    },
    /// The device blocked itself after too many wrong lock codes. Only the maker's way out helps, if there is one.
    #[error("the token has blocked itself after too many wrong access codes: {way_out}")]
    Blocked {
        /// What helps, for example `a factory reset erases it`.
        way_out: &'static str,
    },
    /// Nothing is in that slot.
    #[error("slot `{slot}` is empty")]
    SlotEmpty {
        /// The slot.
        slot: String,
    },
    /// The device has no room left.
    #[error("the token is full")]
    Full,
    /// Nobody touched the device in time.
    #[error("nobody touched the token in time")]
    TouchTimedOut,
    /// The attendant cancelled.
    #[error("cancelled")]
    Cancelled,
    /// This model or firmware cannot do it.
    #[error("this token cannot do {what}: {needs}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// What it would take.
        needs: String,
    },
    /// What was asked for cannot be said in this protocol, for example a name that is too long.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field, for example `slot`.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

fn attempts(left: Option<u8>) -> String {
    match left {
        Some(1) => ": 1 attempt is left".to_owned(),
        Some(left) => format!(": {left} attempts are left"),
        None => String::new(),
    }
}

/// Whether a slot may have changed when programming failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// The writing command was never sent, or the device refused it: the slot is as it was.
    Unchanged,
    /// The writing command was sent and its answer never came: old or new, only a passcode can tell. On a token that
    /// cannot write over a credential the slot may also be empty, because the old one has to be deleted first.
    Unknown,
}

/// Programming failed.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct ProgramError {
    /// Whether the slot may have changed.
    pub slot: SlotState,
    /// Why.
    #[source]
    pub source: Error,
}
