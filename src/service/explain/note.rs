//! What is kept of an attempt that failed, and how it is said to people.
//!
//! Nothing of it tells what was typed: how far a passcode is off is told, and neither its digits nor a MAC of them; that
//! a PIN was wrong, and neither its length nor how much of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why an attempt failed at one token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::service) enum Cause {
    /// The token does not show the passcode anywhere near.
    #[default]
    WrongPasscode,
    /// The passcode was right, what stood beside it was not.
    WrongPin,
    /// There is no passcode of the right length where one must be.
    NoPasscode,
    /// The passcode is of another token of the user.
    OtherToken,
    /// An HOTP token was pressed too often in between.
    TooFarAhead,
    /// The clock of a TOTP token is off.
    ClockOff,
    /// The passcode, or a later one, was used before.
    Replayed,
    /// Too far off, and right otherwise: the next passcode would settle it.
    AwaitsSecond,
    /// The token is let in only after a resync.
    NeedsSync,
    /// User, token or client address was locked: nothing was looked at.
    Locked,
    /// Token, assignment or user is not in use.
    NotUsable,
    /// The user has no token that could be asked.
    NobodyToAsk,
    /// Resync: the passcodes do not follow each other.
    NotConsecutive,
}

/// What is kept of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Note {
    /// How the attempt ended, as the audit log has it.
    pub(super) outcome: String,
    pub(super) cause: Cause,
    /// `right`, `wrong`, `none` (none is set, none was typed) or `unexpected` (none is set, something was typed).
    pub(super) pin: Option<String>,
    /// Presses or steps ahead of what is expected; negative is behind.
    pub(super) ahead: Option<i64>,
    /// How many presses ahead, or steps off, are accepted.
    pub(super) reach: Option<u32>,
    /// TOTP: how far the clock of the token is ahead of the server's, in seconds.
    pub(super) clock_seconds: Option<i64>,
    /// TOTP: seconds of a step.
    pub(super) time_step: Option<u32>,
    /// When the passcode, or the last one after it, was accepted, in milliseconds since the Unix epoch.
    pub(super) used_at: Option<i64>,
    /// `user`, `token` or `source`.
    pub(super) locked: Option<String>,
    /// End of the lock after it, in milliseconds since the Unix epoch.
    pub(super) locked_until: Option<i64>,
    /// What is not in use, such as `token DISABLED`.
    pub(super) not_usable: Option<String>,
    /// The token that shows the passcode.
    pub(super) other: Option<i64>,
    /// The policies that decided.
    pub(super) policy: String,
}

/// Names that a note needs to be said, as far as the reader may know them.
#[derive(Default)]
pub(super) struct Names {
    /// Serial of the other token.
    pub(super) other: Option<String>,
    /// When the passcode was used.
    pub(super) used_at: Option<String>,
    /// End of the lock.
    pub(super) locked_until: Option<String>,
}

impl Note {
    /// What happened, in a sentence, and what to do.
    pub(super) fn words(&self, names: &Names) -> (String, &'static str) {
        let ahead = self.ahead.unwrap_or_default();
        let presses = |count: u64| if count == 1 { "1 press".to_owned() } else { format!("{count} presses") };
        let (text, advice) = match self.cause {
            Cause::WrongPin if self.pin.as_deref() == Some("unexpected") => (
                "the passcode was right, but something stood beside it and no PIN is set".to_owned(),
                "type the passcode alone, or set a PIN",
            ),
            Cause::WrongPin => (
                "the passcode was right, the PIN was wrong; the passcode is spent".to_owned(),
                "try again with the next passcode; set a new PIN if it is forgotten",
            ),
            Cause::WrongPasscode => (
                "the passcode is none of this token's".to_owned(),
                "look whether it is this token; then sync it",
            ),
            Cause::NoPasscode => (
                "there was no passcode of this token's length where one must be".to_owned(),
                "type the PIN and then the whole passcode, in one line",
            ),
            Cause::OtherToken => {
                let other = names
                    .other
                    .as_deref()
                    .map_or("another token".to_owned(), |serial| format!("token {serial}"));
                (format!("the passcode was one of {other} of the same user"), "use the token that was meant")
            }
            Cause::TooFarAhead => {
                let reach = self.reach.unwrap_or_default();
                let text =
                    format!("the token is {} ahead, {reach} are accepted", presses(ahead.unsigned_abs()));
                (text, "sync the token by the next two passcodes")
            }
            Cause::ClockOff => {
                let seconds = self.clock_seconds.unwrap_or_default();
                let how = if seconds < 0 { "slow" } else { "fast" };
                let text = format!("the clock of the token is {} s {how}", seconds.unsigned_abs());
                (text, "sync the token by two consecutive passcodes")
            }
            Cause::Replayed => {
                let text = match &names.used_at {
                    Some(time) => format!("the passcode was used before, at {time}"),
                    None => "the passcode, or a later one, was used before".to_owned(),
                };
                (text, "wait for the next passcode, or press again")
            }
            Cause::AwaitsSecond => (
                "the passcode is further off than what is accepted; the next one would settle it".to_owned(),
                "log in again with the next passcode, within a few minutes",
            ),
            Cause::NeedsSync => (
                "the token is let in only after a resync".to_owned(),
                "sync the token by two consecutive passcodes",
            ),
            Cause::Locked => {
                let what = match self.locked.as_deref() {
                    Some("user") => "the user",
                    Some("source") => "the client address",
                    _ => "the token",
                };
                let until =
                    names.locked_until.as_deref().map_or(String::new(), |time| format!(" until {time}"));
                (
                    format!("{what} was locked{until}: nothing was looked at"),
                    "wait until the lock ends, or unlock",
                )
            }
            Cause::NotUsable => {
                let what = self.not_usable.as_deref().unwrap_or("token or assignment");
                (format!("not in use: {what}"), "put that right, or use another token")
            }
            Cause::NobodyToAsk => ("the user has no token that could be asked".to_owned(), "assign a token"),
            Cause::NotConsecutive => (
                "the passcodes are this token's, but do not follow each other".to_owned(),
                "give two passcodes one right after the other, in their order",
            ),
        };
        let pin = match (self.cause, self.pin.as_deref()) {
            (Cause::WrongPin | Cause::NoPasscode, _) => "",
            (_, Some("right")) => "; the PIN was right",
            (_, Some("wrong")) => "; the PIN was wrong",
            (_, Some("unexpected")) => "; no PIN is set, and something stood beside the passcode",
            _ => "",
        };
        let locked = match &names.locked_until {
            Some(time) if self.cause != Cause::Locked => format!("; locked since then until {time}"),
            _ => String::new(),
        };
        (format!("{text}{pin}{locked}"), advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(note: Note) -> String {
        note.words(&Names::default()).0
    }

    #[test]
    fn a_note_is_said_in_a_sentence() {
        let far = Note { cause: Cause::TooFarAhead, ahead: Some(37), reach: Some(10), ..Note::default() };
        assert_eq!(said(far), "the token is 37 presses ahead, 10 are accepted");
        let slow = Note { cause: Cause::ClockOff, clock_seconds: Some(-240), ..Note::default() };
        assert_eq!(
            said(Note { pin: Some("wrong".into()), ..slow }),
            "the clock of the token is 240 s slow; the PIN was wrong"
        );
        let unset = Note { cause: Cause::WrongPin, pin: Some("unexpected".into()), ..Note::default() };
        assert_eq!(said(unset), "the passcode was right, but something stood beside it and no PIN is set");
    }

    #[test]
    fn a_note_survives_the_table_and_one_of_an_older_program_is_read() {
        let note = Note { cause: Cause::Replayed, ahead: Some(-1), used_at: Some(7), ..Note::default() };
        let text = serde_json::to_string(&note).unwrap();
        assert_eq!(serde_json::from_str::<Note>(&text).unwrap(), note);
        assert_eq!(serde_json::from_str::<Note>("{}").unwrap(), Note::default());
    }
}
