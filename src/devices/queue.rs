//! The way to a worker: a bounded queue of calls, and the caller's hold on each of them.
//!
//! A call whose caller gives up while it is queued is never started, and makes room for others. A closed queue
//! drops what waits in it at once, also while the worker is stuck in a driver; a call dropped unanswered tells
//! its caller that the device is gone.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fobd_drivers::token::Token;

use super::{DeviceError, DeviceId};

/// Calls that may wait for one device.
const QUEUE_LIMIT: usize = 16;

/// A caller's hold on a call: whether it was started, and whether anybody still waits for it.
#[derive(Debug)]
pub(super) struct Ticket {
    phase: AtomicU8,
    stopping: Arc<AtomicBool>,
}

const QUEUED: u8 = 0;
const STARTED: u8 = 1;
const ABANDONED_QUEUED: u8 = 2;
const ABANDONED_STARTED: u8 = 3;

impl Ticket {
    pub(super) fn new(stopping: Arc<AtomicBool>) -> Self {
        Self { phase: AtomicU8::new(QUEUED), stopping }
    }

    /// The caller gives up. `true` if the call was not started and now never will be.
    pub(super) fn abandon(&self) -> bool {
        let abandoned = |phase| if phase == QUEUED { ABANDONED_QUEUED } else { phase | ABANDONED_STARTED };
        let step = |phase| (phase < ABANDONED_QUEUED).then(|| abandoned(phase));
        let _ = self.phase.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        self.phase.load(Ordering::Acquire) == ABANDONED_QUEUED
    }

    /// The worker starts the call. `false` if the caller was faster in giving up.
    pub(super) fn start(&self) -> bool {
        self.phase.compare_exchange(QUEUED, STARTED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Nobody waits for the result any more.
    pub(super) fn abandoned(&self) -> bool {
        self.phase.load(Ordering::Acquire) >= ABANDONED_QUEUED || self.stopping.load(Ordering::Acquire)
    }
}

/// What a call taught about the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Aftermath {
    /// It works on; `locked` if the call learnt whether it is.
    Fine {
        /// Whether the device wants its lock code.
        locked: Option<bool>,
    },
    /// The token must be dropped and opened again.
    Lost(String),
}

/// One call, with its reply channel inside. Dropped unanswered, it tells its caller that the device is gone.
pub(super) trait Work: Send {
    /// Does it. The result is kept until [`Work::answer`].
    fn perform(&mut self, token: &mut dyn Token) -> Aftermath;
    /// Sends the result.
    fn answer(self: Box<Self>);
    /// Sends a refusal instead; nothing was done.
    fn refuse(self: Box<Self>, error: DeviceError);
}

/// A call in a queue.
pub(super) struct Job {
    /// The device it was made for.
    pub(super) id: DeviceId,
    /// The caller's hold on it.
    pub(super) ticket: Arc<Ticket>,
    /// What to do.
    pub(super) work: Box<dyn Work>,
}

/// The way to a worker.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    recheck: bool,
    closed: bool,
}

/// What the worker has to do next.
pub(super) enum Next {
    /// Serve a call.
    Serve(Job),
    /// Open the device (again) and report what it is.
    Reopen,
    /// The candidate has left, or the server stops.
    End,
}

impl Queue {
    /// Puts a call behind the others.
    pub(super) fn push(&self, job: Job) -> Result<(), DeviceError> {
        let mut state = self.lock();
        if state.closed {
            return Err(DeviceError::Gone { id: job.id, detail: "unplugged".to_owned() });
        }
        state.jobs.retain(|waiting| !waiting.ticket.abandoned());
        if state.jobs.len() >= QUEUE_LIMIT {
            return Err(DeviceError::QueueFull { id: job.id, waiting: state.jobs.len() });
        }
        state.jobs.push_back(job);
        self.changed.notify_one();
        Ok(())
    }

    /// Puts a call in front that has waited elsewhere already; gives it back if the worker has ended.
    pub(super) fn take_over(&self, job: Job) -> Result<(), Job> {
        let mut state = self.lock();
        if state.closed {
            return Err(job);
        }
        state.jobs.push_front(job);
        self.changed.notify_one();
        Ok(())
    }

    /// Has the worker ask the device again what it is.
    pub(super) fn recheck(&self) {
        self.lock().recheck = true;
        self.changed.notify_one();
    }

    /// Ends the worker after its present call; what waits is dropped, and so answered.
    pub(super) fn close(&self) {
        let waiting = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.jobs)
        };
        self.changed.notify_one();
        drop(waiting);
    }

    /// Waits for something to do; [`Next::Reopen`] also after a pause in which nothing came.
    pub(super) fn next(&self, pause: Option<Duration>) -> Next {
        let until = pause.map(|pause| Instant::now() + pause);
        let mut state = self.lock();
        loop {
            if state.closed {
                return Next::End;
            }
            if std::mem::take(&mut state.recheck) {
                return Next::Reopen;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Next::Serve(job);
            }
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Next::Reopen,
                Some(left) => {
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
