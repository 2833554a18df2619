//! What the handle, the watchers and the workers have in common: the registry with a queue per attachment
//! under one lock, the stop signal, and the count of threads.
//!
//! The lock is held for moments only, never across a call to a bus, a driver or an attendant.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use fobd_drivers::token::Driver;
use fobd_drivers::transport::trace::Trace;
use fobd_drivers::transport::{Bus, Candidate};
use tokio::sync::watch;

use super::events::{DeviceEvent, Listener, between};
use super::queue::{Job, Queue};
use super::registry::{Change, Position, Registry, Sighting};
use super::worker::Worker;
use super::{DeviceError, DeviceId};

/// The middle of it all.
pub(super) struct Shared {
    pub(super) drivers: &'static [&'static dyn Driver],
    /// Where what crosses the wires is written down.
    pub(super) trace: Option<Arc<Trace>>,
    state: Mutex<State>,
    /// Counts changes of the list, for those who wait for one.
    revision: watch::Sender<u64>,
    /// Who is told what happens.
    listener: OnceLock<Arc<dyn Listener>>,
    pub(super) stopping: Arc<AtomicBool>,
    threads: Mutex<usize>,
    /// Signalled when the stop begins and when a thread ends.
    wake: Condvar,
}

struct State {
    registry: Registry,
    queues: HashMap<Position, Arc<Queue>>,
}

impl Shared {
    pub(super) fn new(
        buses: &[Arc<dyn Bus>],
        drivers: &'static [&'static dyn Driver],
        trace: Option<Arc<Trace>>,
    ) -> Self {
        let registry = Registry::new(buses.iter().map(|bus| bus.name()));
        Self {
            drivers,
            trace,
            state: Mutex::new(State { registry, queues: HashMap::new() }),
            revision: watch::Sender::new(0),
            listener: OnceLock::new(),
            stopping: Arc::new(AtomicBool::new(false)),
            threads: Mutex::new(0),
            wake: Condvar::new(),
        }
    }

    /// Reads the registry.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Registry) -> T) -> T {
        look(&self.lock().registry)
    }

    /// Changes the registry, tells the listener and wakes those who wait for a change.
    pub(super) fn report<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        let result = self.change(&mut self.lock().registry, change);
        self.revision.send_modify(|revision| *revision += 1);
        result
    }

    /// Told with the registry locked, so that the order of events is the order of changes.
    fn change<T>(&self, registry: &mut Registry, change: impl FnOnce(&mut Registry) -> T) -> T {
        let Some(listener) = self.listener.get() else { return change(registry) };
        let before = registry.list();
        let result = change(registry);
        between(&before, &registry.list()).into_iter().for_each(|event| listener.heard(event));
        result
    }

    /// Says who is told from now on; once.
    pub(super) fn listen(&self, listener: Arc<dyn Listener>) {
        let _state = self.lock();
        let _ = self.listener.set(listener);
    }

    /// A driver says that its device waits for a touch.
    pub(super) fn touch_needed(&self, id: &DeviceId) {
        if let Some(listener) = self.listener.get() {
            let _state = self.lock();
            listener.heard(DeviceEvent::Touch(id.clone()));
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Takes a complete listing of a bus: starts, wakes and ends workers as needed.
    pub(super) fn seen(self: &Arc<Self>, bus: (usize, &Arc<dyn Bus>), sightings: &[Sighting], fresh: bool) {
        let mut closed = Vec::new();
        let mut unstarted = Vec::new();
        {
            let mut state = self.lock();
            if self.stopping() {
                return;
            }
            let changes = self.change(&mut state.registry, |registry| registry.seen(bus.0, sightings, fresh));
            for change in changes {
                match change {
                    Change::Attached { position, candidate } => {
                        tracing::info!(bus = bus.1.name(), place = %candidate, position, "attached");
                        let queue = Arc::new(Queue::default());
                        state.queues.insert(position, Arc::clone(&queue));
                        unstarted.push((position, candidate, queue));
                    }
                    Change::Detached { position } => {
                        tracing::info!(bus = bus.1.name(), position, "detached");
                        closed.extend(state.queues.remove(&position));
                    }
                    Change::Recheck { position } => {
                        if let Some(queue) = state.queues.get(&position) {
                            queue.recheck();
                        }
                    }
                    Change::Swept { .. } => {}
                }
            }
        }
        closed.iter().for_each(|queue| queue.close());
        for (position, candidate, queue) in unstarted {
            self.start_worker(bus.1, position, candidate, queue);
        }
        self.revision.send_modify(|revision| *revision += 1);
    }

    fn start_worker(
        self: &Arc<Self>,
        bus: &Arc<dyn Bus>,
        position: Position,
        candidate: Candidate,
        queue: Arc<Queue>,
    ) {
        let worker = Worker { shared: Arc::clone(self), position, bus: Arc::clone(bus), candidate, queue };
        if let Err(error) = self.spawn(format!("device-{position}"), move || worker.run()) {
            tracing::error!(position, %error, "cannot start a thread for a device");
            self.report(|registry| registry.failed(position, format!("cannot start a thread: {error}")));
        }
    }

    /// Queues a call at the device it is for.
    pub(super) fn submit(&self, job: Job) -> Result<(), DeviceError> {
        let queue = {
            let state = self.lock();
            if self.stopping() {
                return Err(DeviceError::Stopping);
            }
            let position = state.registry.resolve(&job.id)?;
            state.queues.get(&position).cloned()
        };
        match queue {
            Some(queue) => queue.push(job),
            None => Err(DeviceError::NoSuchDevice { id: job.id }),
        }
    }

    /// Hands a call that was not started on to another interface of its device; gives it back if there is none.
    pub(super) fn detour(&self, job: Job, position: Position) -> Result<(), Job> {
        let queue = {
            let state = self.lock();
            let other = state.registry.detour(&job.id, position);
            other.and_then(|other| state.queues.get(&other).cloned())
        };
        let Some(queue) = queue else { return Err(job) };
        queue.take_over(job)
    }

    /// Whether an address is reached at this place, and not at another's as well.
    pub(super) fn confirm(&self, id: &DeviceId, position: Position) -> Result<(), DeviceError> {
        self.read(|registry| registry.confirm(id, position))
    }

    /// Starts a counted thread.
    pub(super) fn spawn(
        self: &Arc<Self>,
        name: String,
        body: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<()> {
        *self.threads() += 1;
        let counted = Counted(Arc::clone(self));
        let body = move || {
            let _counted = counted;
            body();
        };
        std::thread::Builder::new().name(name).spawn(body).map(drop)
    }

    pub(super) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Waits that long, or until the stop begins.
    pub(super) fn pause(&self, length: Duration) {
        let until = Instant::now() + length;
        let mut threads = self.threads();
        while !self.stopping() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            threads = self.wake.wait_timeout(threads, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Begins the stop: no new calls, waiting calls dropped, running ones cancelled.
    pub(super) fn begin_stop(&self) {
        let queues: Vec<_> = {
            let mut state = self.lock();
            self.stopping.store(true, Ordering::Release);
            state.queues.drain().map(|(_, queue)| queue).collect()
        };
        queues.iter().for_each(|queue| queue.close());
        drop(self.threads());
        self.wake.notify_all();
    }

    /// Waits for the threads to end; the number of those that did not in that time.
    pub(super) fn wait_for_threads(&self, at_most: Duration) -> usize {
        let until = Instant::now() + at_most;
        let mut threads = self.threads();
        while *threads > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            threads = self.wake.wait_timeout(threads, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *threads
    }

    fn threads(&self) -> MutexGuard<'_, usize> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One running thread.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        *self.0.threads() -= 1;
        self.0.wake.notify_all();
    }
}
