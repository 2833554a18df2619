//! The services' side: asynchronous calls on devices by address.
//!
//! Each call has a deadline that includes its time in the queue. When it passes, or when the caller drops the
//! future, the attendant's `cancelled` turns true and a call still queued is never started; one that runs keeps
//! its device busy until the driver really returns.
//!
//! `program` is the exception: once started it is never cancelled for want of a caller, only by the caller's own
//! attendant, because a write that takes several exchanges must not end in the middle. Its caller learns
//! whether the slot may have changed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use fobd_drivers::error::{Error, ProgramError, SlotState};
use fobd_drivers::token::{
    Attendant, Driver, LockCode, MovingFactor, Passcode, SlotConfig, SlotId, SlotInfo, Token, Unattended,
};
use fobd_drivers::transport::trace::Trace;
use fobd_drivers::transport::{Bus, TransportError};
use tokio::sync::{oneshot, watch};

use super::events::Listener;
use super::queue::{Aftermath, Job, Ticket, Work};
use super::shared::Shared;
use super::watcher::Watcher;
use super::{BusView, DeviceError, DeviceId, DeviceView, ProgramFailure};

/// How a call reaches the people around the device, from another thread.
pub type SharedAttendant = Arc<dyn Attendant + Send + Sync>;

/// How long calls may take, the time in the queue included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Calls that need nobody.
    pub plain: Duration,
    /// Calls that may wait for a touch.
    pub touch: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { plain: Duration::from_secs(10), touch: Duration::from_secs(45) }
    }
}

/// How long [`Devices::stop`] waits for threads.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// All devices. Clones share them; when the last one is dropped, the threads end by themselves.
#[derive(Clone)]
pub struct Devices {
    owner: Arc<Owner>,
    deadlines: Deadlines,
}

/// Ends the threads with the last handle.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.begin_stop();
    }
}

impl Devices {
    /// Starts to watch the buses and to open what is plugged in.
    #[must_use]
    pub fn start(buses: Vec<Arc<dyn Bus>>, drivers: &'static [&'static dyn Driver]) -> Self {
        Self::start_with(buses, drivers, Deadlines::default(), None)
    }

    /// As [`Devices::start`], with other deadlines, and with a trace of what crosses the wires.
    #[must_use]
    pub fn start_with(
        buses: Vec<Arc<dyn Bus>>,
        drivers: &'static [&'static dyn Driver],
        deadlines: Deadlines,
        trace: Option<Arc<Trace>>,
    ) -> Self {
        let shared = Arc::new(Shared::new(&buses, drivers, trace));
        for (index, bus) in buses.into_iter().enumerate() {
            let name = bus.name();
            let watcher = Watcher { shared: Arc::clone(&shared), index, bus };
            if let Err(error) = shared.spawn(format!("bus-{name}"), move || watcher.run()) {
                tracing::error!(bus = name, %error, "cannot start a thread for a bus");
                shared
                    .report(|registry| registry.unwatched(index, format!("cannot start a thread: {error}")));
            }
        }
        Self { owner: Arc::new(Owner(shared)), deadlines }
    }

    /// What is plugged in, in the order of attachment.
    #[must_use]
    pub fn list(&self) -> Vec<DeviceView> {
        self.shared().read(|registry| registry.list())
    }

    /// The buses, and which of them cannot be watched.
    #[must_use]
    pub fn buses(&self) -> Vec<BusView> {
        self.shared().read(|registry| registry.buses())
    }

    /// Waits until the first sweep of every bus is over and everything found in it has opened or failed. A bus
    /// that cannot be watched counts as swept.
    pub async fn swept(&self) {
        let mut revision = self.shared().subscribe();
        let settled = |_: &u64| self.shared().read(|registry| registry.settled());
        // The sender lives as long as `self`.
        let _ = revision.wait_for(settled).await;
    }

    /// Says who is told of what happens from now on. Only the first one is.
    pub fn listen(&self, listener: Arc<dyn Listener>) {
        self.shared().listen(listener);
    }

    /// A counter that moves whenever the list may have changed.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared().subscribe()
    }

    /// Lists a device's slots; `None` if it tells nobody what it holds.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub async fn slots(
        &self,
        id: &DeviceId,
        unlock: Option<LockCode>,
    ) -> Result<Option<Vec<SlotInfo>>, DeviceError> {
        // An access code may want a touch as well.
        let deadline = if unlock.is_some() { self.deadlines.touch } else { self.deadlines.plain };
        let call = Call::plain(deadline, Arc::new(Unattended));
        let operate = |token: &mut dyn Token, _: &dyn Attendant| match token.slots() {
            Ok(slots) => Ok(Some(slots)),
            Err(Error::Unsupported { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        };
        self.call(id, unlock, call, operate).await.map_err(|failure| failure.source)
    }

    /// Writes a credential into a slot. Once started, it runs to its end even if the future is dropped.
    ///
    /// # Errors
    /// [`ProgramFailure`] says besides the cause whether the slot may have changed.
    pub async fn program(
        &self,
        id: &DeviceId,
        slot: SlotId,
        config: SlotConfig,
        unlock: Option<LockCode>,
        attendant: SharedAttendant,
    ) -> Result<(), ProgramFailure> {
        let call = Call { writes: true, ..Call::plain(self.deadlines.touch, attendant) };
        self.call(id, unlock, call, move |token, attendant| Ok(token.program(&slot, &config, attendant)?))
            .await
    }

    /// Lets a device compute a passcode of so many digits, where that is for its host to know. After an error an
    /// HOTP slot may have counted on.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub async fn calculate(
        &self,
        id: &DeviceId,
        slot: SlotId,
        (factor, digits): (MovingFactor, Option<u8>),
        unlock: Option<LockCode>,
        attendant: SharedAttendant,
    ) -> Result<Passcode, DeviceError> {
        let call = Call::plain(self.deadlines.touch, attendant);
        let operate = move |token: &mut dyn Token, attendant: &dyn Attendant| {
            if let Some(digits) = digits {
                token.expect_digits(&slot, digits);
            }
            Ok(token.calculate(&slot, factor, attendant)?)
        };
        self.call(id, unlock, call, operate).await.map_err(|failure| failure.source)
    }

    /// Empties a slot.
    ///
    /// # Errors
    /// [`ProgramFailure`] says besides the cause whether the slot may be empty all the same.
    pub async fn erase(
        &self,
        id: &DeviceId,
        slot: SlotId,
        unlock: Option<LockCode>,
        attendant: SharedAttendant,
    ) -> Result<(), ProgramFailure> {
        let call = Call::plain(self.deadlines.touch, attendant);
        let operate = move |token: &mut dyn Token, attendant: &dyn Attendant| {
            token
                .erase(&slot, attendant)
                .map_err(|source| Failure { slot: slot_after_erase(&source), source })
        };
        self.call(id, unlock, call, operate).await
    }

    /// Erases every slot and the lock code.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub async fn reset(&self, id: &DeviceId, attendant: SharedAttendant) -> Result<(), DeviceError> {
        let call = Call::plain(self.deadlines.touch, attendant);
        let operate = move |token: &mut dyn Token, attendant: &dyn Attendant| Ok(token.reset(attendant)?);
        self.call(id, None, call, operate).await.map_err(|failure| failure.source)
    }

    /// Sets, changes or (with `None`) removes the lock code. Like `program`, it runs to its end once started.
    ///
    /// # Errors
    /// [`ProgramFailure`] says besides the cause whether the lock code may have changed.
    pub async fn set_lock_code(
        &self,
        id: &DeviceId,
        code: Option<LockCode>,
        unlock: Option<LockCode>,
    ) -> Result<(), ProgramFailure> {
        let call = Call { writes: true, ..Call::plain(self.deadlines.plain, Arc::new(Unattended)) };
        let operate = move |token: &mut dyn Token, _: &dyn Attendant| match token.set_lock_code(code.as_ref())
        {
            Ok(()) => Ok(()),
            Err(source) => Err(Failure { slot: slot_after(&source), source }),
        };
        self.call(id, unlock, call, operate).await
    }

    /// Cancels what runs, ends all threads and waits for them, at most 5 s. Later calls are refused.
    pub fn stop(&self) {
        self.shared().begin_stop();
        let left = self.shared().wait_for_threads(STOP_LIMIT);
        if left > 0 {
            tracing::warn!(threads = left, "devices are still at work and left to themselves");
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.0
    }

    async fn call<T: Send + 'static>(
        &self,
        id: &DeviceId,
        unlock: Option<LockCode>,
        call: Call,
        operate: impl FnOnce(&mut dyn Token, &dyn Attendant) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, ProgramFailure> {
        let (id, after) = (id.clone(), call.deadline);
        let ticket = Arc::new(Ticket::new(Arc::clone(&self.shared().stopping)));
        let caller = Caller(Arc::clone(&ticket));
        let (reply, answer) = oneshot::channel();
        let steps = Some(Steps { unlock, operate });
        let operation = Operation {
            id: id.clone(),
            shared: Arc::clone(self.shared()),
            ticket: Arc::clone(&ticket),
            call,
            steps,
            outcome: None,
            reply,
        };
        let job = Job { id: id.clone(), ticket, work: Box::new(operation) };
        self.shared().submit(job).map_err(ProgramFailure::unchanged)?;
        match tokio::time::timeout(after, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) if self.shared().stopping() => Err(caller.give_up(DeviceError::Stopping)),
            Ok(Err(_)) => Err(caller.give_up(DeviceError::Gone { id, detail: "unplugged".to_owned() })),
            Err(_) => Err(caller.give_up(DeviceError::TimedOut { id, after })),
        }
    }
}

/// What kind of call it is.
struct Call {
    deadline: Duration,
    attendant: SharedAttendant,
    /// Must not be cancelled in the middle.
    writes: bool,
}

impl Call {
    fn plain(deadline: Duration, attendant: SharedAttendant) -> Self {
        Self { deadline, attendant, writes: false }
    }
}

/// The caller's end of a call; dropping it gives the call up.
struct Caller(Arc<Ticket>);

impl Caller {
    fn give_up(self, source: DeviceError) -> ProgramFailure {
        let never_started = self.0.abandon();
        let slot = if never_started { SlotState::Unchanged } else { SlotState::Unknown };
        ProgramFailure { slot, source }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// What a driver said, with the state of the slot where that matters.
struct Failure {
    slot: SlotState,
    source: Error,
}

impl From<Error> for Failure {
    fn from(source: Error) -> Self {
        Self { slot: SlotState::Unknown, source }
    }
}

impl From<ProgramError> for Failure {
    fn from(error: ProgramError) -> Self {
        Self { slot: error.slot, source: error.source }
    }
}

/// Whether a write may have happened that failed like this: not if the device, or the driver, refused it.
fn slot_after(error: &Error) -> SlotState {
    match error {
        Error::Transport(_) | Error::Malformed { .. } => SlotState::Unknown,
        _ => SlotState::Unchanged,
    }
}

/// The same of an erasure, which may take several commands: a refusal in general can come in the middle.
fn slot_after_erase(error: &Error) -> SlotState {
    match error {
        Error::SlotEmpty { .. }
        | Error::Locked
        | Error::WrongLockCode { .. }
        | Error::Blocked { .. }
        | Error::Unsupported { .. }
        | Error::Invalid { .. }
        | Error::TouchTimedOut => SlotState::Unchanged,
        _ => SlotState::Unknown,
    }
}

/// A call on its way through the worker.
struct Operation<T, F> {
    id: DeviceId,
    shared: Arc<Shared>,
    ticket: Arc<Ticket>,
    call: Call,
    steps: Option<Steps<F>>,
    outcome: Option<Result<T, ProgramFailure>>,
    reply: oneshot::Sender<Result<T, ProgramFailure>>,
}

/// What to do with the token.
struct Steps<F> {
    unlock: Option<LockCode>,
    operate: F,
}

/// The attendant of the caller, who may have left.
struct Bystander<'a> {
    id: &'a DeviceId,
    shared: &'a Shared,
    call: &'a Call,
    ticket: &'a Ticket,
    /// Drivers that poll may say it more than once.
    told: Cell<bool>,
}

impl Attendant for Bystander<'_> {
    fn touch_needed(&self) {
        if !self.told.replace(true) {
            self.shared.touch_needed(self.id);
        }
        self.call.attendant.touch_needed();
    }

    fn cancelled(&self) -> bool {
        self.call.attendant.cancelled() || (!self.call.writes && self.ticket.abandoned())
    }
}

impl<T, F> Work for Operation<T, F>
where
    T: Send,
    F: FnOnce(&mut dyn Token, &dyn Attendant) -> Result<T, Failure> + Send,
{
    fn perform(&mut self, token: &mut dyn Token) -> Aftermath {
        let Some(steps) = self.steps.take() else { return Aftermath::Fine { locked: None } };
        let (id, shared) = (&self.id, self.shared.as_ref());
        let attendant =
            Bystander { id, shared, call: &self.call, ticket: &self.ticket, told: Cell::new(false) };
        let worked = catch_unwind(AssertUnwindSafe(|| {
            if let Some(code) = &steps.unlock {
                if token.unlocks_by_touch() {
                    attendant.touch_needed();
                }
                token.unlock(code).map_err(|source| Failure { slot: SlotState::Unchanged, source })?;
            }
            (steps.operate)(token, &attendant)
        }));
        // Whoever comes next has to know the code as well.
        let worked = worked.and_then(|outcome| {
            catch_unwind(AssertUnwindSafe(|| token.forget_code()))?;
            Ok(outcome)
        });
        let (outcome, aftermath) = match worked {
            Ok(Ok(value)) => (Ok(value), Aftermath::Fine { locked: Some(token.info().locked) }),
            Ok(Err(failure)) => {
                let aftermath = aftermath(&failure.source);
                let source = DeviceError::of_driver(failure.source, self.id.clone());
                (Err(ProgramFailure { slot: failure.slot, source }), aftermath)
            }
            Err(_) => {
                let source = DeviceError::DriverPanicked { id: self.id.clone() };
                let lost = Aftermath::Lost(source.to_string());
                (Err(ProgramFailure { slot: SlotState::Unknown, source }), lost)
            }
        };
        self.outcome = Some(outcome);
        aftermath
    }

    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // A caller who left does not want it.
            let _ = self.reply.send(outcome);
        }
    }

    fn refuse(self: Box<Self>, error: DeviceError) {
        let _ = self.reply.send(Err(ProgramFailure::unchanged(error)));
    }
}

fn aftermath(error: &Error) -> Aftermath {
    match error {
        Error::Transport(TransportError::Reset | TransportError::Busy) => Aftermath::Fine { locked: None },
        Error::Transport(error) => Aftermath::Lost(error.to_string()),
        Error::Locked | Error::WrongLockCode { .. } | Error::Blocked { .. } => {
            Aftermath::Fine { locked: Some(true) }
        }
        _ => Aftermath::Fine { locked: None },
    }
}
