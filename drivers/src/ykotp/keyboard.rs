//! The wire of feature reports: frames out, status, busy, touch and answers in.
//!
//! Byte 7 of a report from the key says what it is: 00 status, `80` a slice was not taken yet, `40` a slice of an
//! answer with its number, `20` waiting for a touch. A status has no sum, so what is decided by one is decided by
//! two that agree. An answer has one; a spoilt one is asked for again, once.
//!
//! Time: the key is looked at every 5 ms, every 100 ms while it waits for a touch. After 2 s without the touch flag it
//! is given up (the slowest write took 0.92 s). Behind a card interface that was used a moment ago a key swallows
//! commands for about 3 s; so a refusal there is believed only once the key answers something else.
//!
//! Sources: yubikey-manager, `yubikit/core/otp.py`; yubikey-personalization, `ykcore.c`.

use std::time::Duration;

use zeroize::Zeroizing;

use super::features::Features;
use super::frame::{ABORT, REPORT, SLICE, WRITE, is_whole, reports};
use super::status::{Effect, Status, Verdict, judge};
use super::wire::{Answer, Length, Plan, Request, Wire, Written, unchanged, unknown};
use crate::error::{Error, ProgramError};
use crate::iso7816::Malformed;
use crate::token::Attendant;
use crate::transport::HidConnection;
use crate::yubikey::Version;

const ANSWER: u8 = 0x40;
const TOUCH: u8 = 0x20;
const NUMBER: u8 = 0x1F;

const POLL: Duration = Duration::from_millis(5);
const TOUCH_POLL: Duration = Duration::from_millis(100);
/// Longest work without a touch.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest time a key can be told to wait for a touch, and some.
const TOUCH_PATIENCE: Duration = Duration::from_secs(300);
/// Pauses between two looks at whether a key listens again, and how many.
const RECLAIM: (Duration, u32) = (Duration::from_millis(500), 6);
/// Most spoilt reports in a row.
const SPOILT: u32 = 3;

/// What a report is.
enum Report {
    Status(Status),
    Busy,
    Touch,
    Slice(u8, Zeroizing<[u8; SLICE]>),
    Spoilt,
}

/// A key's keyboard interface.
pub(super) struct Keyboard {
    connection: Box<dyn HidConnection>,
    /// The version that every status has to name, once it is known.
    version: Option<Version>,
    /// Whether the key has other interfaces that may keep it from listening.
    composite: bool,
    /// Whether the key tells its serial, once that is known: then it can be asked whether it listens.
    tells_serial: Option<bool>,
}

/// What came of a question, this time.
enum Heard {
    Answer(Answer),
    /// The answer was spoilt.
    Spoilt(Error),
}

/// How often a key was looked at, and whether it is time to stop.
#[derive(Default)]
struct Patience {
    waited: Duration,
    spoilt: u32,
}

impl Patience {
    fn pause(&mut self, connection: &mut dyn HidConnection, name: &'static str) -> Result<(), Error> {
        if self.waited >= PATIENCE {
            return Err(Malformed::new("the key is never done", REPORT - 1).of(name));
        }
        self.waited += POLL;
        connection.pause(POLL);
        Ok(())
    }

    fn bear(&mut self, name: &'static str) -> Result<(), Error> {
        self.spoilt += 1;
        if self.spoilt > SPOILT {
            return Err(Malformed::new("not a report of this key", 0).of(name));
        }
        Ok(())
    }
}

impl Keyboard {
    /// Reads the version from two statuses that agree.
    pub(super) fn open(
        connection: Box<dyn HidConnection>,
        composite: bool,
        attendant: &dyn Attendant,
    ) -> Result<(Self, Status), Error> {
        let mut keyboard = Self { connection, version: None, composite, tells_serial: None };
        let status = keyboard.certain_status(attendant)?;
        keyboard.version = Some(status.version);
        Ok((keyboard, status))
    }

    fn read(&mut self) -> Result<Report, Error> {
        let report = Zeroizing::new(self.connection.get_feature(REPORT)?);
        let Some((&flags, bytes)) = report.split_last().filter(|_| report.len() == REPORT) else {
            return Ok(Report::Spoilt);
        };
        Ok(match flags {
            0 => match bytes.split_first().and_then(|(_, status)| Status::parse(status)) {
                Some(status) if self.version.is_none_or(|known| known == status.version) => {
                    Report::Status(status)
                }
                _ => Report::Spoilt,
            },
            _ if flags & WRITE != 0 => Report::Busy,
            _ if flags & ANSWER != 0 => {
                let mut slice = Zeroizing::new([0; SLICE]);
                slice.copy_from_slice(bytes);
                Report::Slice(flags & NUMBER, slice)
            }
            _ if flags & TOUCH != 0 => Report::Touch,
            // Other makers say "processing" so.
            _ => Report::Busy,
        })
    }

    fn abort(&mut self) -> Result<(), Error> {
        Ok(self.connection.set_feature(&ABORT)?)
    }

    /// Waits until the key has nothing to do. What another program left behind is thrown away, once.
    fn idle(&mut self, attendant: &dyn Attendant) -> Result<Status, Error> {
        const NAME: &str = "STATUS";
        let (mut patience, mut aborted) = (Patience::default(), false);
        loop {
            if attendant.cancelled() {
                return Err(Error::Cancelled);
            }
            match self.read()? {
                Report::Status(status) => return Ok(status),
                Report::Touch | Report::Slice(..) if !aborted => {
                    self.abort()?;
                    aborted = true;
                }
                Report::Spoilt => patience.bear(NAME)?,
                Report::Busy | Report::Touch | Report::Slice(..) => {
                    patience.pause(self.connection.as_mut(), NAME)?;
                }
            }
        }
    }

    /// Two statuses in a row that agree.
    fn certain_status(&mut self, attendant: &dyn Attendant) -> Result<Status, Error> {
        let mut last = self.idle(attendant)?;
        for _ in 0..=SPOILT {
            let next = self.idle(attendant)?;
            if next == last {
                return Ok(next);
            }
            last = next;
        }
        Err(Malformed::new("the status changes all the time", 4).of("STATUS"))
    }

    /// Sends all of a command but the report that runs it, and returns that one with the status before it.
    fn prepare<T: AsRef<Request>>(
        &mut self,
        plan: Plan<'_, T>,
        attendant: &dyn Attendant,
    ) -> Result<(T, Status, Zeroizing<[u8; REPORT]>), Error> {
        let mut before = self.idle(attendant)?;
        for _ in 0..=SPOILT {
            let order = plan(before)?;
            let request = order.as_ref();
            let mut frame = reports(request.command, &request.payload);
            let Some(last) = frame.pop() else {
                return Err(request.malformed("a frame without reports", 0));
            };
            let mut seen = Some(before);
            let mut certain = false;
            for report in frame {
                self.connection.set_feature(&*report)?;
                let status = self.ready(request.name, attendant)?;
                certain = status.is_some() && status == seen;
                seen = status;
            }
            // The first report of a frame is never its last, so one more status has been seen, if none was spoilt.
            let now = if certain { before } else { self.certain_status(attendant)? };
            if now == before {
                return Ok((order, before, last));
            }
            // What was planned was planned for another status.
            before = now;
        }
        Err(Malformed::new("the status changes all the time", 4).of("STATUS"))
    }

    /// Waits until a slice was taken; the status that was seen then.
    fn ready(&mut self, name: &'static str, attendant: &dyn Attendant) -> Result<Option<Status>, Error> {
        let mut patience = Patience::default();
        loop {
            if attendant.cancelled() {
                self.abort()?;
                return Err(Error::Cancelled);
            }
            match self.read()? {
                Report::Status(status) => return Ok(Some(status)),
                Report::Busy => patience.pause(self.connection.as_mut(), name)?,
                Report::Touch | Report::Slice(..) | Report::Spoilt => return Ok(None),
            }
        }
    }

    /// Asks once.
    fn ask_once(
        &mut self,
        plan: Plan<'_, Request>,
        length: Length,
        attendant: &dyn Attendant,
    ) -> Result<Heard, Error> {
        let (request, _, last) = self.prepare(plan, attendant)?;
        self.connection.set_feature(&*last)?;
        let heard = self.hear(&request, length, attendant)?;
        if !matches!(heard, Heard::Answer(Answer::Nothing)) {
            self.abort()?;
        }
        Ok(heard)
    }

    fn hear(&mut self, request: &Request, length: Length, attendant: &dyn Attendant) -> Result<Heard, Error> {
        // Room for the longest answer and its sum, so that nothing is copied about.
        let mut answer = Zeroizing::new(Vec::with_capacity(300));
        let spoilt = |what, offset| Ok(Heard::Spoilt(request.malformed(what, offset)));
        let (mut patience, mut expected, mut silent) = (Patience::default(), 0_u8, false);
        let mut touch: Option<Duration> = None;
        loop {
            match self.read()? {
                Report::Slice(number, _) if number != expected => {
                    return spoilt("a slice of an answer is missing", answer.len());
                }
                Report::Slice(_, slice) => {
                    answer.extend_from_slice(&*slice);
                    expected = (expected + 1) & NUMBER;
                    let Some(whole) = length.of(&answer).filter(|whole| answer.len() >= whole + 2) else {
                        continue;
                    };
                    if !answer.get(..whole + 2).is_some_and(is_whole) {
                        return spoilt("wrong sum", whole);
                    }
                    answer.truncate(whole);
                    return Ok(Heard::Answer(Answer::Data(answer)));
                }
                _ if !answer.is_empty() => return spoilt("the answer ends early", answer.len()),
                Report::Status(_) if touch.is_some() => return Err(Error::TouchTimedOut),
                Report::Status(_) if silent => return Ok(Heard::Answer(Answer::Nothing)),
                Report::Status(_) => silent = true,
                Report::Touch => {
                    if touch.is_none() {
                        attendant.touch_needed();
                    }
                    let waited = touch.unwrap_or_default();
                    if waited >= TOUCH_PATIENCE || attendant.cancelled() {
                        self.abort()?;
                        let gave_up = waited >= TOUCH_PATIENCE;
                        return Err(if gave_up { Error::TouchTimedOut } else { Error::Cancelled });
                    }
                    self.connection.pause(TOUCH_POLL);
                    touch = Some(waited + TOUCH_POLL);
                }
                Report::Busy => {
                    if attendant.cancelled() {
                        self.abort()?;
                        return Err(Error::Cancelled);
                    }
                    patience.pause(self.connection.as_mut(), request.name)?;
                }
                Report::Spoilt => patience.bear(request.name)?,
            }
        }
    }

    /// Whether the key did not listen a moment ago, and does now.
    fn woke(&mut self, features: Features, attendant: &dyn Attendant) -> Result<bool, Error> {
        if !self.composite || (self.tells_serial == Some(false) && !features.device_info()) {
            return Ok(false);
        }
        let (pause, most) = RECLAIM;
        for tries in 0..=most {
            let heard = if features.device_info() {
                self.ask_once(&mut |_| Ok(Request::device_info(0)), Length::Told, attendant)?
            } else {
                self.ask_once(&mut |_| Ok(Request::serial()), Length::Of(4), attendant)?
            };
            match heard {
                Heard::Answer(Answer::Nothing) if tries < most => self.connection.pause(pause),
                Heard::Answer(Answer::Nothing) => {}
                // Spoilt or not, it spoke.
                Heard::Answer(Answer::Data(_)) | Heard::Spoilt(_) => {
                    self.tells_serial = Some(true);
                    return Ok(tries > 0);
                }
            }
        }
        self.tells_serial = Some(self.tells_serial.unwrap_or(false));
        Ok(false)
    }

    /// Makes a NEO look at its slots: until a command reaches them the status is an old one.
    fn refresh(&mut self, features: Features, attendant: &dyn Attendant) -> Result<(), Error> {
        if !features.keeps_hid_status() {
            return Ok(());
        }
        let (_, _, last) = self.prepare(&mut |_| Ok(Request::refresh()), attendant)?;
        self.connection.set_feature(&*last)?;
        self.idle(attendant).map(drop)
    }

    /// What became of a write.
    fn settle(
        &mut self,
        name: &'static str,
        before: Status,
        effect: Effect,
        features: Features,
    ) -> Result<Written, Error> {
        let (mut patience, mut last) = (Patience::default(), None);
        loop {
            match self.read()? {
                Report::Status(after) => match judge(before, after, effect, features, false) {
                    Verdict::Done => return Ok(Written::Done(after)),
                    // Twice the same is no slip of the wire.
                    Verdict::Refused if last == Some(after) => return Ok(Written::Refused),
                    Verdict::Unclear if last == Some(after) => {
                        return Err(Malformed::new("another program sequence than expected", 4).of(name));
                    }
                    Verdict::Refused | Verdict::Unclear => {
                        patience.bear(name)?;
                        last = Some(after);
                    }
                },
                Report::Busy => patience.pause(self.connection.as_mut(), name)?,
                Report::Touch | Report::Slice(..) | Report::Spoilt => patience.bear(name)?,
            }
        }
    }

    fn write_once(
        &mut self,
        features: Features,
        plan: Plan<'_, (Request, Effect)>,
        attendant: &dyn Attendant,
    ) -> Result<Written, ProgramError> {
        self.refresh(features, attendant).map_err(unchanged)?;
        let mut planned = |status| plan(status).map(Order);
        let (Order((request, effect)), before, last) =
            self.prepare(&mut planned, attendant).map_err(unchanged)?;
        if attendant.cancelled() {
            self.abort().map_err(unchanged)?;
            return Err(unchanged(Error::Cancelled));
        }
        self.connection.set_feature(&*last).map_err(|error| unknown(error.into()))?;
        self.settle(request.name, before, effect, features).map_err(unknown)
    }
}

/// A write on its way.
struct Order((Request, Effect));

impl AsRef<Request> for Order {
    fn as_ref(&self) -> &Request {
        &self.0.0
    }
}

impl AsRef<Request> for Request {
    fn as_ref(&self) -> &Request {
        self
    }
}

impl Wire for Keyboard {
    fn status(&mut self, features: Features, attendant: &dyn Attendant) -> Result<Status, Error> {
        self.refresh(features, attendant)?;
        self.certain_status(attendant)
    }

    fn ask(
        &mut self,
        features: Features,
        plan: Plan<'_, Request>,
        length: Length,
        attendant: &dyn Attendant,
    ) -> Result<Answer, Error> {
        let mut again = true;
        loop {
            match self.ask_once(plan, length, attendant)? {
                Heard::Answer(Answer::Nothing) if again && self.woke(features, attendant)? => again = false,
                Heard::Answer(answer) => return Ok(answer),
                Heard::Spoilt(_) if again => again = false,
                Heard::Spoilt(error) => return Err(error),
            }
        }
    }

    fn write(
        &mut self,
        features: Features,
        plan: Plan<'_, (Request, Effect)>,
        attendant: &dyn Attendant,
    ) -> Result<Written, ProgramError> {
        let written = self.write_once(features, plan, attendant)?;
        if written == Written::Refused && self.woke(features, attendant).map_err(unchanged)? {
            return self.write_once(features, plan, attendant);
        }
        Ok(written)
    }
}
