//! One thread per place: opens what is there, reports what it is, then serves calls one after another.
//!
//! Every driver that matches the candidate is asked, and each that recognises it holds a token with a connection of
//! its own. A card in the table of models is asked by the drivers of its rows; an unknown one by the card drivers in
//! order until one recognises it, and then by those that share a model with that one. A HID interface speaks one
//! protocol, and is held by whoever opened it: it is asked until one driver recognises it.
//!
//! Tokens that are gone, or whose service went away, are dropped; while their candidate is still listed, the next
//! call opens them again. Whatever is open then must answer to the address the call was made for; if it does not, or
//! cannot be opened, the call goes to another interface of the same device, or is refused. A candidate that could
//! not be opened because of the wire (busy reader, no permission yet) is tried again after a growing pause.
//!
//! A driver that panics costs its call and the tokens at its place, nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use fobd_drivers::error::Error;
use fobd_drivers::models;
use fobd_drivers::token::{Driver, Token};
use fobd_drivers::transport::{Bus, Candidate, TransportError};

use super::queue::{Aftermath, Job, Next, Queue};
use super::registry::{Found, Position};
use super::shared::Shared;
use super::{DeviceError, DeviceId, Reach};

/// First and longest pause before a candidate is opened again that could not be opened.
const REOPEN_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Why a candidate did not become a token.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Driver(#[from] Error),
    #[error("no driver recognises it")]
    Unrecognised,
    #[error("the driver broke down")]
    Panicked,
}

/// A token that is open, and the driver that opened it.
struct Held {
    driver: &'static str,
    token: Box<dyn Token>,
}

/// What asking the drivers came to.
struct Opened {
    reach: Reach,
    held: Vec<Held>,
    /// What each of them found, for the registry.
    found: Vec<Found>,
}

/// What the thread of one place knows.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) position: Position,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) candidate: Candidate,
    pub(super) queue: Arc<Queue>,
}

impl Worker {
    /// Works until the queue is closed.
    pub(super) fn run(self) {
        let mut trouble = Trouble::default();
        let mut held = self.open_unasked(&mut trouble);
        loop {
            match self.queue.next(trouble.pause) {
                Next::End => break,
                Next::Reopen => {
                    discard(held);
                    held = self.open_unasked(&mut trouble);
                }
                Next::Serve(job) => held = self.serve(job, held, &mut trouble),
            }
        }
        discard(held);
    }

    /// Opens without being asked to by a call.
    fn open_unasked(&self, trouble: &mut Trouble) -> Vec<Held> {
        match self.open() {
            Ok(held) => {
                *trouble = Trouble::default();
                held
            }
            Err(error) => {
                self.report_unusable(&error, trouble);
                trouble.back_off(&error);
                Vec::new()
            }
        }
    }

    fn serve(&self, mut job: Job, held: Vec<Held>, trouble: &mut Trouble) -> Vec<Held> {
        if job.ticket.abandoned() {
            return held;
        }
        let held = if held.is_empty() { self.open() } else { Ok(held) };
        let mut held = match held {
            Ok(held) => held,
            Err(error) => {
                self.report_unusable(&error, trouble);
                if let Err(job) = self.shared.detour(job, self.position) {
                    let id = job.id.clone();
                    job.work.refuse(refusal(error, id));
                } else {
                    // Calls go the other way from now on, so that none will show when this one works again.
                    trouble.back_off(&error);
                }
                return Vec::new();
            }
        };
        *trouble = Trouble::default();
        // What was opened again may be another token by now, or have got a twin.
        if let Err(error) = self.shared.confirm(&job.id, self.position) {
            job.work.refuse(error);
            return held;
        }
        let Some(token) = held.iter_mut().find(|held| held.driver == job.id.driver()) else {
            job.work.refuse(DeviceError::NoSuchDevice { id: job.id });
            return held;
        };
        if !job.ticket.start() {
            return held;
        }
        self.shared.report(|registry| registry.busy(self.position));
        match job.work.perform(token.token.as_mut()) {
            Aftermath::Fine { locked } => {
                let info = token.token.info();
                self.shared.report(|registry| registry.idle(self.position, &job.id, locked, info));
            }
            Aftermath::Lost(error) => {
                tracing::warn!(device = %job.id, place = %self.candidate, %error, "device lost");
                self.shared.report(|registry| registry.lost(self.position, error));
                discard(std::mem::take(&mut held));
            }
        }
        job.work.answer();
        held
    }

    fn report_unusable(&self, error: &OpenError, trouble: &mut Trouble) {
        let text = error.to_string();
        if trouble.said.as_ref() != Some(&text) {
            tracing::warn!(place = %self.candidate, error = %text, "cannot open");
            trouble.said = Some(text.clone());
        }
        self.shared.report(|registry| registry.failed(self.position, text));
    }

    /// Asks the drivers and reports what they found.
    fn open(&self) -> Result<Vec<Held>, OpenError> {
        self.shared.report(|registry| registry.opening(self.position));
        let asked = catch_unwind(AssertUnwindSafe(|| self.ask()));
        let Opened { reach, held, found } = asked.unwrap_or(Err(OpenError::Panicked))?;
        for Found { driver, token } in &found {
            if let Err(error) = token {
                tracing::warn!(driver, place = %self.candidate, %error, "opened by other drivers only");
            }
        }
        for id in self.shared.report(|registry| registry.opened(self.position, reach, found)) {
            tracing::info!(device = %id, place = %self.candidate, "opened");
        }
        Ok(held)
    }

    /// Asks one driver after another. One that cannot make sense of the device leaves it to the next; a wire that is
    /// dead at the first is dead for all.
    fn ask(&self) -> Result<Opened, OpenError> {
        let known = models::of(&self.candidate).next().is_some();
        let mut reach = None;
        let mut held: Vec<Held> = Vec::new();
        let mut found = Vec::new();
        let mut first_error = None;
        for driver in matching(self.shared.drivers, &self.candidate) {
            if held.first().is_some_and(|first| self.is_enough(first.driver, driver.name(), known)) {
                continue;
            }
            match self.ask_one(driver, &mut reach) {
                Ok(Some(token)) => {
                    let info = token.info().clone();
                    found.push(Found { driver: driver.name(), token: Ok(info) });
                    held.push(Held { driver: driver.name(), token });
                }
                Ok(None) => {}
                Err(Error::Transport(error)) if held.is_empty() || is_dead(&error) => {
                    return Err(OpenError::Driver(error.into()));
                }
                Err(error) => {
                    // Of an unknown card it is no news that a driver can make nothing of it.
                    if known {
                        found.push(Found { driver: driver.name(), token: Err(error.to_string()) });
                    }
                    first_error = first_error.or(Some(error));
                }
            }
        }
        match reach {
            Some(reach) if !held.is_empty() => Ok(Opened { reach, held, found }),
            _ => Err(first_error.map_or(OpenError::Unrecognised, OpenError::Driver)),
        }
    }

    /// Whether one driver need not be asked since another one recognised the candidate.
    fn is_enough(&self, recognised_by: &str, driver: &str, known: bool) -> bool {
        match self.candidate {
            Candidate::Hid(_) => true,
            Candidate::Card { .. } => !known && !models::are_akin(recognised_by, driver),
        }
    }

    fn ask_one(
        &self,
        driver: &'static dyn Driver,
        reach: &mut Option<Reach>,
    ) -> Result<Option<Box<dyn Token>>, Error> {
        let connection = self.bus.open(&self.candidate).map_err(Error::Transport)?;
        *reach = Some(Reach::of(&self.candidate, &connection));
        let connection = match &self.shared.trace {
            Some(trace) => trace.wrap(driver.name(), driver.disclosure(), &self.candidate, connection),
            None => connection,
        };
        driver.open(&self.candidate, connection)
    }
}

/// Whether nobody has to be asked any more over this wire.
fn is_dead(error: &TransportError) -> bool {
    matches!(error, TransportError::Gone { .. } | TransportError::ServiceUnavailable { .. })
}

/// The drivers that want to try a candidate, in order.
pub(super) fn matching(
    drivers: &'static [&'static dyn Driver],
    candidate: &Candidate,
) -> impl Iterator<Item = &'static dyn Driver> {
    drivers.iter().copied().filter(move |driver| driver.matches(candidate))
}

/// Drops tokens; the driver's own clean-up may panic like the rest of it.
fn discard(held: Vec<Held>) {
    for held in held {
        if catch_unwind(AssertUnwindSafe(|| drop(held.token))).is_err() {
            tracing::error!(driver = held.driver, "a driver broke down while letting go of its token");
        }
    }
}

fn refusal(error: OpenError, id: DeviceId) -> DeviceError {
    match error {
        OpenError::Driver(error) => DeviceError::of_driver(error, id),
        OpenError::Panicked => DeviceError::DriverPanicked { id },
        OpenError::Unrecognised => DeviceError::Unusable { id, detail: error.to_string() },
    }
}

impl DeviceError {
    /// Tells a token that is gone from what else a driver may say.
    pub(super) fn of_driver(error: Error, id: DeviceId) -> Self {
        match error {
            Error::Transport(TransportError::Gone { detail }) => Self::Gone { id, detail },
            source => Self::Driver { id, source },
        }
    }
}

/// A candidate that cannot be opened: when to try again by the clock, and what was logged of it.
#[derive(Debug, Default)]
struct Trouble {
    pause: Option<Duration>,
    said: Option<String>,
}

impl Trouble {
    fn back_off(&mut self, error: &OpenError) {
        let (first, longest) = REOPEN_PAUSE;
        let next = self.pause.map_or(first, |pause| (pause * 2).min(longest));
        self.pause = matches!(error, OpenError::Driver(Error::Transport(_))).then_some(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_wire_is_tried_again_after_growing_pauses_and_a_strange_token_is_not() {
        let mut trouble = Trouble::default();
        let pauses: Vec<_> = (0..7)
            .map(|_| {
                trouble.back_off(&OpenError::Driver(TransportError::Busy.into()));
                trouble.pause.map(|pause| pause.as_secs())
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30].map(Some));
        trouble.back_off(&OpenError::Unrecognised);
        assert_eq!(trouble.pause, None);
    }
}
