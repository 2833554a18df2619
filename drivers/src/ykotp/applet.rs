//! The wire of APDUs: the OTP applet, selected anew for each call.
//!
//! | INS | command | P1 P2 | data | answer |
//! |---|---|---|---|---|
//! | A4 | SELECT | 04 00 | AID | status, on older keys 4 bytes more |
//! | 01 | API REQUEST | command 00 | its payload | status, an answer, or nothing |
//! | 03 | READ STATUS | 00 00 | | status |
//!
//! Keys mostly refuse a write with 9000 and a status as it was. Source: yubikey-manager, `yubikit/yubiotp.py`.

use zeroize::Zeroizing;

use super::features::Features;
use super::status::{Effect, Status, Verdict, judge};
use super::wire::{Answer, Length, Plan, Request, Wire, Written, unchanged, unknown};
use crate::error::{Error, ProgramError};
use crate::iso7816::card::{Card, GET_RESPONSE, Select};
use crate::iso7816::status::StatusWord;
use crate::iso7816::{Command, Malformed};
use crate::token::Attendant;
use crate::transport::{CardConnection, Interface, TransportError};
use crate::yubikey::Version;

const AID: &[u8] = &[0xA0, 0x00, 0x00, 0x05, 0x27, 0x20, 0x01];

/// A key's OTP applet.
pub(super) struct Applet {
    connection: Box<dyn CardConnection>,
    /// The version that every status has to name, once it is known.
    version: Option<Version>,
}

/// READ STATUS.
struct ReadStatus;

impl Command for ReadStatus {
    const NAME: &'static str = "READ STATUS";
    const INS: u8 = 0x03;
    type Response = Status;

    fn decode(data: &[u8]) -> Result<Status, Malformed> {
        status(data)
    }
}

/// API REQUEST: any command of the application.
struct ApiRequest<'r>(&'r Request);

impl Command for ApiRequest<'_> {
    const NAME: &'static str = "API REQUEST";
    const INS: u8 = 0x01;
    type Response = Zeroizing<Vec<u8>>;

    fn p1_p2(&self) -> (u8, u8) {
        (self.0.command, 0x00)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(self.0.payload.used());
    }

    fn decode(data: &[u8]) -> Result<Self::Response, Malformed> {
        Ok(Zeroizing::new(data.to_vec()))
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        Some(status.refused(self.0.name))
    }
}

fn status(data: &[u8]) -> Result<Status, Malformed> {
    Status::parse(data).ok_or(Malformed::new("no status", 0))
}

/// A selected applet.
struct Session<'c> {
    card: Card<'c>,
    version: Option<Version>,
    status: Status,
}

impl<'c> Session<'c> {
    fn select(mut card: Card<'c>, version: Option<Version>) -> Result<Self, Error> {
        let status = Self::ask_status(&mut card, version)?;
        Ok(Self { card, version, status })
    }

    fn ask_status(card: &mut Card<'c>, version: Option<Version>) -> Result<Status, Error> {
        let told =
            status(&card.call(&Select { aid: AID })?).map_err(|malformed| malformed.of(Select::NAME))?;
        check(told, version, Select::NAME)
    }

    /// What became of a write that answered this. A status has no sum, so a refusal is believed from two.
    fn settle(
        &mut self,
        told: &[u8],
        effect: Effect,
        features: Features,
        name: &'static str,
    ) -> Result<Written, Error> {
        let (before, stale) = (self.status, features.keeps_touch_level());
        if told.len() == Status::LENGTH
            && let Some(after) = Status::parse(told).filter(|after| self.version == Some(after.version))
            && judge(before, after, effect, features, stale) == Verdict::Done
        {
            return Ok(Written::Done(after));
        }
        let after = check(self.card.call(&ReadStatus)?, self.version, ReadStatus::NAME)?;
        match judge(before, after, effect, features, stale) {
            Verdict::Done => Ok(Written::Done(after)),
            Verdict::Refused => Ok(Written::Refused),
            Verdict::Unclear => Err(Malformed::new("another program sequence than expected", 3).of(name)),
        }
    }
}

/// A status of another key, or a spoilt one, is none.
fn check(told: Status, version: Option<Version>, name: &'static str) -> Result<Status, Error> {
    match version {
        Some(version) if version != told.version => {
            Err(Malformed::new("another version than before", 0).of(name))
        }
        _ => Ok(told),
    }
}

impl Applet {
    /// Selects the applet. `None` if the card has none.
    pub(super) fn open(connection: Box<dyn CardConnection>) -> Result<Option<(Self, Status)>, Error> {
        let mut applet = Self { connection, version: None };
        match applet.visit(|session| Ok(session.status)) {
            Ok(status) => {
                applet.version = Some(status.version);
                Ok(Some((applet, status)))
            }
            // Something answered to the AID, but not in this protocol; or nothing did.
            Err(Error::Malformed { command: "SELECT", .. }) => Ok(None),
            Err(Error::Refused { command: "SELECT", status, .. }) if means_absent(status) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Selects the applet and works with it, in one transaction. What only asks is started over once after another
    /// program's reset.
    fn visit<T>(&mut self, mut work: impl FnMut(&mut Session<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let mut resets = 2;
        loop {
            let result = self.try_visit(&mut work);
            match result {
                Err(Error::Transport(TransportError::Reset)) if resets > 0 => resets -= 1,
                result => return result,
            }
        }
    }

    fn try_visit<T>(
        &mut self,
        work: &mut impl FnMut(&mut Session<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let transaction = self.connection.begin()?;
        let mut session = Session::select(Card::new(transaction, GET_RESPONSE), self.version)?;
        work(&mut session)
    }
}

/// What cards say of an application that they do not have.
fn means_absent(status: u16) -> bool {
    matches!(status, 0x6A82 | 0x6999 | 0x6D00 | 0x6B00 | 0x6A86 | 0x6E00)
}

impl Wire for Applet {
    fn status(&mut self, _features: Features, attendant: &dyn Attendant) -> Result<Status, Error> {
        if attendant.cancelled() {
            return Err(Error::Cancelled);
        }
        // Two that agree, as over the other wire.
        self.visit(|session| {
            let again = check(session.card.call(&ReadStatus)?, session.version, ReadStatus::NAME)?;
            if again != session.status {
                return Err(Malformed::new("another status than before", 3).of(ReadStatus::NAME));
            }
            Ok(again)
        })
    }

    fn ask(
        &mut self,
        features: Features,
        plan: Plan<'_, Request>,
        length: Length,
        attendant: &dyn Attendant,
    ) -> Result<Answer, Error> {
        if attendant.cancelled() {
            return Err(Error::Cancelled);
        }
        let waits = features.touch();
        self.visit(|session| {
            let request = plan(session.status)?;
            if attendant.cancelled() {
                return Err(Error::Cancelled);
            }
            let by_touch = |slot| session.status.by_touch(slot, features) != Some(false);
            let may_touch = waits && request.challenged.is_some_and(by_touch);
            if may_touch {
                attendant.touch_needed();
            }
            let answer = session.card.call(&ApiRequest(&request))?;
            match length.of(&answer) {
                _ if answer.is_empty() && may_touch => Err(Error::TouchTimedOut),
                _ if answer.is_empty() => Ok(Answer::Nothing),
                Some(whole) if whole == answer.len() => Ok(Answer::Data(answer)),
                _ => Err(request.malformed("another length than expected", answer.len())),
            }
        })
    }

    fn write(
        &mut self,
        features: Features,
        plan: Plan<'_, (Request, Effect)>,
        attendant: &dyn Attendant,
    ) -> Result<Written, ProgramError> {
        if attendant.cancelled() {
            return Err(unchanged(Error::Cancelled));
        }
        // What went wrong after the command was sent is told inside: `visit` starts nothing over then.
        let written = self.visit(|session| {
            let (request, effect) = plan(session.status)?;
            if attendant.cancelled() {
                return Err(Error::Cancelled);
            }
            let answer = match session.card.call(&ApiRequest(&request)) {
                Ok(answer) => answer,
                Err(Error::Refused { status, .. }) if StatusWord(status) == StatusWord::SECURITY => {
                    return Ok(Ok(Written::Refused));
                }
                Err(error @ Error::Refused { status, .. }) if StatusWord(status).is_clean_refusal() => {
                    return Err(error);
                }
                Err(error) => return Ok(Err(error)),
            };
            Ok(session.settle(&answer, effect, features, request.name))
        });
        written.map_err(unchanged)?.map_err(unknown)
    }

    fn is_contactless(&self) -> bool {
        self.connection.interface() == Interface::Contactless
    }
}
