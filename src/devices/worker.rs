//! One thread per candidate: opens it, reports what it is, then serves calls one after another.
//!
//! A token that is gone, or whose service went away, is dropped; while its candidate is still listed, the next
//! call opens it again. Whatever is open then must answer to the address the call was made for, else the call
//! is refused. A candidate that could not be opened because of the wire (busy reader, no permission yet) is
//! tried again after a growing pause.
//!
//! A driver that panics costs its call and its token, nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use fobd_drivers::error::Error;
use fobd_drivers::token::{Driver, Token};
use fobd_drivers::transport::{Bus, Candidate, TransportError};

use super::queue::{Aftermath, Job, Next, Queue};
use super::registry::{Change, Position};
use super::shared::Shared;
use super::{DeviceError, DeviceId};

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

/// What the thread of one candidate knows.
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
        let mut token = self.open_unasked(&mut trouble);
        loop {
            match self.queue.next(trouble.pause) {
                Next::End => break,
                Next::Reopen => {
                    discard(token.take());
                    token = self.open_unasked(&mut trouble);
                }
                Next::Serve(job) => token = self.serve(job, token, &mut trouble),
            }
        }
        discard(token);
    }

    /// Opens without being asked to by a call. Only here a failure of the wire leads to another attempt by the
    /// clock: nobody can call a device that was never open.
    fn open_unasked(&self, trouble: &mut Trouble) -> Option<Box<dyn Token>> {
        match self.open() {
            Ok(token) => {
                *trouble = Trouble::default();
                Some(token)
            }
            Err(error) => {
                self.report_unusable(&error, trouble);
                trouble.back_off(&error);
                None
            }
        }
    }

    fn serve(
        &self,
        mut job: Job,
        token: Option<Box<dyn Token>>,
        trouble: &mut Trouble,
    ) -> Option<Box<dyn Token>> {
        if job.ticket.abandoned() {
            return token;
        }
        let mut token = match token.map_or_else(|| self.open(), Ok) {
            Ok(token) => token,
            Err(error) => {
                self.report_unusable(&error, trouble);
                job.work.refuse(refusal(error, job.id));
                return None;
            }
        };
        *trouble = Trouble::default();
        // What was opened again may be another token by now, or have got a twin.
        if let Err(error) = self.shared.confirm(&job.id, self.position) {
            job.work.refuse(error);
            return Some(token);
        }
        if !job.ticket.start() {
            return Some(token);
        }
        self.shared.report(|registry| registry.busy(self.position));
        let aftermath = job.work.perform(token.as_mut());
        let kept = match aftermath {
            Aftermath::Fine { locked } => {
                self.shared.report(|registry| registry.idle(self.position, locked));
                Some(token)
            }
            Aftermath::Lost(error) => {
                tracing::warn!(device = %job.id, place = %self.candidate, %error, "device lost");
                self.shared.report(|registry| registry.failed(self.position, error));
                discard(Some(token));
                None
            }
        };
        job.work.answer();
        kept
    }

    fn report_unusable(&self, error: &OpenError, trouble: &mut Trouble) {
        let text = error.to_string();
        if trouble.said.as_ref() != Some(&text) {
            tracing::warn!(place = %self.candidate, error = %text, "cannot open");
            trouble.said = Some(text.clone());
        }
        self.shared.report(|registry| registry.failed(self.position, text));
    }

    /// Tries the drivers in order and reports what was found.
    fn open(&self) -> Result<Box<dyn Token>, OpenError> {
        self.shared.report(|registry| registry.opening(self.position));
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let (driver, token) = self.first_match()?;
            let info = token.info().clone();
            Ok((driver, token, info))
        }));
        let (driver, token, info) = opened.unwrap_or(Err(OpenError::Panicked))?;
        let change = self.shared.report(|registry| registry.opened(self.position, driver, info));
        if let Some(Change::Opened { id, .. }) = change {
            tracing::info!(device = %id, place = %self.candidate, "opened");
        }
        Ok(token)
    }

    /// A driver that cannot make sense of the device leaves it to the next; a dead wire is dead for all.
    fn first_match(&self) -> Result<(&'static str, Box<dyn Token>), OpenError> {
        let mut first_error = None;
        for driver in matching(self.shared.drivers, &self.candidate) {
            let connection = self.bus.open(&self.candidate).map_err(Error::Transport)?;
            match driver.open(&self.candidate, connection) {
                Ok(Some(token)) => return Ok((driver.name(), token)),
                Ok(None) => {}
                Err(Error::Transport(error)) => return Err(OpenError::Driver(error.into())),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.map_or(OpenError::Unrecognised, OpenError::Driver))
    }
}

/// The drivers that want to try a candidate, in order.
pub(super) fn matching(
    drivers: &'static [&'static dyn Driver],
    candidate: &Candidate,
) -> impl Iterator<Item = &'static dyn Driver> {
    drivers.iter().copied().filter(move |driver| driver.matches(candidate))
}

/// Drops a token; the driver's own clean-up may panic like the rest of it.
fn discard(token: Option<Box<dyn Token>>) {
    if catch_unwind(AssertUnwindSafe(|| drop(token))).is_err() {
        tracing::error!("a driver broke down while letting go of its token");
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
            other => Self::Driver(other),
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
