//! An emulated HID token and the hand that holds it.
//!
//! [`VirtualHid`] is a handle; clones mean the same device. One side is the wire: reports in and out, power. The
//! other side is what a test or a demo may do besides: decide what the human does, plan faults, reach into the
//! device. Reports have no report id in front; no token here numbers its reports.
//!
//! Each report that crosses the wire, either way, is one exchange. The device's time is either real, or virtual:
//! then only [`VirtualHid::pause`] and waiting for input make it pass, at once.

use std::any::Any;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::applets::Touch;
use crate::card::{Human, Waits};
use crate::fault::{Fault, FaultKind, FaultPlan, garble};

/// How long a token blinks before it gives up, unless set.
const TOUCH_TIMEOUT: Duration = Duration::from_secs(15);

/// What a host sees of a HID device before it sends a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HidFace {
    /// Name for command lines and test output, for example `nitrokey-pro-0.15`.
    pub model: &'static str,
    /// USB vendor id.
    pub vendor_id: u16,
    /// USB product id.
    pub product_id: u16,
    /// bcdDevice.
    pub release: u16,
    /// iManufacturer.
    pub manufacturer: &'static str,
    /// iProduct.
    pub product: &'static str,
    /// iSerialNumber, if there is one.
    pub serial: Option<String>,
    /// bInterfaceNumber.
    pub interface: u8,
    /// Usage page and usage of the top-level collection, as the descriptor says.
    pub usage: (u16, u16),
    /// Report descriptor (USB HID 1.11 §6.2.2).
    pub descriptor: &'static [u8],
    /// Length of the feature report, 0 if there is none.
    pub feature_length: usize,
    /// Length of input and output reports.
    pub report_length: usize,
}

impl HidFace {
    /// Whether the system takes it for a keyboard: its output reports are then lights.
    #[must_use]
    pub fn is_keyboard(&self) -> bool {
        self.usage == (1, 6)
    }
}

/// The inside of an emulated HID device, without threads and wires. It reads no clock: the [`Moment`] says how late
/// it is and what the human did.
pub trait HidChip: Any + Send {
    /// A feature report from the host.
    ///
    /// # Errors
    /// [`Stall`] if the device refuses the transfer.
    fn set_feature(&mut self, report: &[u8], moment: &mut Moment) -> Result<(), Stall> {
        let _ = (report, moment);
        Err(Stall)
    }

    /// The feature report as it is now.
    ///
    /// # Errors
    /// [`Stall`] if the device refuses the transfer.
    fn get_feature(&mut self, moment: &mut Moment) -> Result<Vec<u8>, Stall> {
        let _ = moment;
        Err(Stall)
    }

    /// An output report from the host.
    ///
    /// # Errors
    /// [`Stall`] if the device refuses the transfer.
    fn output(&mut self, report: &[u8], moment: &mut Moment) -> Result<(), Stall> {
        let _ = (report, moment);
        Err(Stall)
    }

    /// The input report that is due now, if one is.
    fn input(&mut self, moment: &mut Moment) -> Option<Vec<u8>> {
        let _ = moment;
        None
    }

    /// Power was lost or the bus reset: volatile state is gone, flash stays.
    fn reset(&mut self);
}

/// The device refuses a transfer (USB 2.0 §8.4.5 STALL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall;

/// How late it is for the device, and its button.
#[derive(Debug)]
pub struct Moment {
    /// Time since the device was made, power or not.
    pub now: Duration,
    human: Human,
    touch_timeout: Duration,
    /// When the running wait for a touch began.
    asked_at: Option<Duration>,
    pressed: bool,
    touch_requests: u64,
}

impl Moment {
    /// Asks for a touch, or how that goes on. [`Touch::NotAsked`] means: still waiting. An answer ends the wait, so
    /// that the next call begins another.
    pub fn touch(&mut self) -> Touch {
        let Some(asked_at) = self.asked_at else {
            self.asked_at = Some(self.now);
            self.touch_requests += 1;
            return Touch::NotAsked;
        };
        let waited = self.now.saturating_sub(asked_at);
        let due = match self.human {
            Human::TouchesAtOnce => true,
            Human::TouchesAfter(time) => waited >= time && time < self.touch_timeout,
            Human::NeverTouches => false,
        };
        let touch = match () {
            () if self.pressed || due => Touch::Given,
            () if waited >= self.touch_timeout => Touch::TimedOut,
            () => return Touch::NotAsked,
        };
        self.forget_touch();
        touch
    }

    /// Time until the device gives up waiting for the touch; zero if it does not wait.
    #[must_use]
    pub fn touch_time_left(&self) -> Duration {
        self.asked_at.map_or(Duration::ZERO, |asked| (asked + self.touch_timeout).saturating_sub(self.now))
    }

    /// Ends the wait for a touch without an answer.
    pub fn forget_touch(&mut self) {
        self.asked_at = None;
        self.pressed = false;
    }
}

/// How a transfer ended, seen from the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transfer<T> {
    /// It took place.
    Done(T),
    /// The device refused it.
    Stalled,
    /// The device was pulled out.
    Unplugged,
    /// The device says nothing, for good: the system gives up.
    Silence,
}

/// A handle to an emulated HID device.
#[derive(Clone)]
pub struct VirtualHid {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    face: HidFace,
}

struct State {
    chip: Box<dyn HidChip>,
    moment: Moment,
    /// What virtual time has passed.
    virtual_time: Duration,
    /// Since when real time passes, once a transfer was real.
    real_since: Option<Instant>,
    powered: bool,
    exchanges: u64,
    faults: FaultPlan,
}

impl VirtualHid {
    /// A device with this inside.
    #[must_use]
    pub fn new(face: HidFace, chip: Box<dyn HidChip>) -> Self {
        let moment = Moment {
            now: Duration::ZERO,
            human: Human::TouchesAtOnce,
            touch_timeout: TOUCH_TIMEOUT,
            asked_at: None,
            pressed: false,
            touch_requests: 0,
        };
        let state = State {
            chip,
            moment,
            virtual_time: Duration::ZERO,
            real_since: None,
            powered: false,
            exchanges: 0,
            faults: FaultPlan::default(),
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), face }) }
    }

    /// What a host sees of it.
    #[must_use]
    pub fn face(&self) -> &HidFace {
        &self.shared.face
    }

    /// Whether two handles mean the same device.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Reaches past the protocol into the chip: no exchange, no fault, no power needed. `None` if it is of another
    /// type.
    pub fn with_chip<C: HidChip, T>(&self, reach: impl FnOnce(&mut C) -> T) -> Option<T> {
        let mut state = self.state();
        let any: &mut dyn Any = state.chip.as_mut();
        any.downcast_mut().map(reach)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere must not make the device unreadable.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wire.
impl VirtualHid {
    /// Gives it power; volatile state starts anew.
    pub fn power_on(&self) {
        let mut state = self.state();
        state.lose_power();
        state.powered = true;
        self.shared.changed.notify_all();
    }

    /// Takes its power.
    pub fn power_off(&self) {
        self.state().lose_power();
        self.shared.changed.notify_all();
    }

    /// `SET_REPORT` of the feature report.
    pub fn set_feature(&self, report: &[u8], waits: Waits) -> Transfer<()> {
        self.transfer(waits, |chip, moment| chip.set_feature(report, moment)).map(|_| ())
    }

    /// `GET_REPORT` of the feature report.
    pub fn get_feature(&self, waits: Waits) -> Transfer<Vec<u8>> {
        self.transfer(waits, |chip, moment| chip.get_feature(moment))
    }

    /// An output report.
    pub fn output(&self, report: &[u8], waits: Waits) -> Transfer<()> {
        self.transfer(waits, |chip, moment| chip.output(report, moment)).map(|_| ())
    }

    /// Waits for an input report. [`Transfer::Silence`] if none comes in that time. Only a report that comes is an
    /// exchange, so no fault strikes a wait in vain.
    pub fn input(&self, timeout: Duration, waits: Waits) -> Transfer<Vec<u8>> {
        // Fine enough for a device that counts in milliseconds, coarse enough to be quick.
        const TICK: Duration = Duration::from_millis(5);
        let mut state = self.state();
        let until = state.tick(waits) + timeout;
        loop {
            if !state.powered {
                return Transfer::Unplugged;
            }
            let now = state.tick(waits);
            let State { chip, moment, .. } = &mut *state;
            if let Some(report) = chip.input(moment) {
                return self.deliver(state, report);
            }
            if now >= until {
                return Transfer::Silence;
            }
            let step = TICK.min(until - now);
            match waits {
                Waits::Virtual => state.virtual_time += step,
                Waits::Real => {
                    let waited = self.shared.changed.wait_timeout(state, step);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// The host leaves the device alone for a while.
    pub fn pause(&self, time: Duration, waits: Waits) {
        match waits {
            Waits::Virtual => self.state().virtual_time += time,
            Waits::Real => std::thread::sleep(time),
        }
    }

    fn transfer<T: Report>(
        &self,
        waits: Waits,
        run: impl FnOnce(&mut dyn HidChip, &mut Moment) -> Result<T, Stall>,
    ) -> Transfer<Vec<u8>> {
        let mut state = self.state();
        if !state.powered {
            return Transfer::Unplugged;
        }
        let fault = state.strike();
        self.shared.changed.notify_all();
        match fault {
            Some(FaultKind::UnplugBefore) => {
                state.lose_power();
                return Transfer::Unplugged;
            }
            Some(FaultKind::Status(_)) => return Transfer::Stalled,
            Some(FaultKind::Silence) => return Transfer::Silence,
            // Another program resets the device; then the transfer goes ahead.
            Some(FaultKind::Reset) => state.bus_reset(),
            Some(FaultKind::Delay(time)) => {
                state.virtual_time += time;
                if waits == Waits::Real {
                    state.virtual_time -= time;
                    drop(state);
                    std::thread::sleep(time);
                    state = self.state();
                }
            }
            _ => {}
        }
        state.tick(waits);
        let State { chip, moment, .. } = &mut *state;
        let Ok(report) = run(chip.as_mut(), moment) else { return Transfer::Stalled };
        let mut report = report.bytes();
        match fault {
            Some(FaultKind::UnplugAfter) => {
                state.lose_power();
                return Transfer::Unplugged;
            }
            Some(FaultKind::StatusAfter(_)) => return Transfer::Stalled,
            Some(FaultKind::Truncate(length)) => report.truncate(length),
            Some(FaultKind::Garble { seed }) => garble(&mut report, seed),
            _ => {}
        }
        Transfer::Done(report)
    }

    /// An input report on its way to the host, with whatever fault is due.
    fn deliver(&self, mut state: MutexGuard<'_, State>, mut report: Vec<u8>) -> Transfer<Vec<u8>> {
        let fault = state.strike();
        self.shared.changed.notify_all();
        match fault {
            Some(FaultKind::UnplugBefore | FaultKind::UnplugAfter) => {
                state.lose_power();
                return Transfer::Unplugged;
            }
            Some(FaultKind::Status(_) | FaultKind::StatusAfter(_) | FaultKind::Silence) => {
                return Transfer::Silence;
            }
            Some(FaultKind::Reset) => {
                state.bus_reset();
                return Transfer::Silence;
            }
            Some(FaultKind::Truncate(length)) => report.truncate(length),
            Some(FaultKind::Garble { seed }) => garble(&mut report, seed),
            Some(FaultKind::Delay(time)) => state.virtual_time += time,
            None => {}
        }
        Transfer::Done(report)
    }
}

/// What a transfer brings back: a report, or nothing.
trait Report {
    fn bytes(self) -> Vec<u8>;
}

impl Report for () {
    fn bytes(self) -> Vec<u8> {
        Vec::new()
    }
}

impl Report for Vec<u8> {
    fn bytes(self) -> Vec<u8> {
        self
    }
}

impl<T> Transfer<T> {
    /// The same transfer with something else brought back.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Transfer<U> {
        match self {
            Self::Done(value) => Transfer::Done(map(value)),
            Self::Stalled => Transfer::Stalled,
            Self::Unplugged => Transfer::Unplugged,
            Self::Silence => Transfer::Silence,
        }
    }
}

impl State {
    /// Brings the device's time up to date.
    fn tick(&mut self, waits: Waits) -> Duration {
        let real = match waits {
            Waits::Virtual => Duration::ZERO,
            Waits::Real => self.real_since.get_or_insert_with(Instant::now).elapsed(),
        };
        self.moment.now = self.moment.now.max(self.virtual_time + real);
        self.moment.now
    }

    fn strike(&mut self) -> Option<FaultKind> {
        let number = self.exchanges;
        self.exchanges += 1;
        self.faults.strike(number)
    }

    fn bus_reset(&mut self) {
        self.chip.reset();
        self.moment.forget_touch();
    }

    fn lose_power(&mut self) {
        self.bus_reset();
        self.powered = false;
    }
}

/// The human, and what goes wrong.
impl VirtualHid {
    /// Decides what the human does from now on, also about a touch that the device waits for already.
    pub fn set_human(&self, human: Human) {
        self.state().moment.human = human;
        self.shared.changed.notify_all();
    }

    /// Touches the device now. Nothing happens unless it waits for it.
    pub fn touch(&self) {
        let mut state = self.state();
        state.moment.pressed = state.moment.asked_at.is_some();
        self.shared.changed.notify_all();
    }

    /// How long the device waits for a touch; 15 s unless set.
    pub fn set_touch_timeout(&self, timeout: Duration) {
        self.state().moment.touch_timeout = timeout;
    }

    /// How often the device asked to be touched.
    #[must_use]
    pub fn touch_requests(&self) -> u64 {
        self.state().moment.touch_requests
    }

    /// Blocks until the device has asked `count` times to be touched, or until `timeout` has passed (`false`).
    #[must_use]
    pub fn wait_for_touch_requests(&self, count: u64, timeout: Duration) -> bool {
        self.wait_for(timeout, |state| state.moment.touch_requests >= count)
    }

    /// Blocks until `count` reports have crossed the wire, or until `timeout` has passed (`false`).
    #[must_use]
    pub fn wait_for_exchanges(&self, count: u64, timeout: Duration) -> bool {
        self.wait_for(timeout, |state| state.exchanges >= count)
    }

    fn wait_for(&self, timeout: Duration, met: impl Fn(&State) -> bool) -> bool {
        let waited = self.shared.changed.wait_timeout_while(self.state(), timeout, |state| !met(state));
        met(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// The device's virtual time.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.state().virtual_time
    }

    /// Lets a fault strike once.
    pub fn plan(&self, fault: Fault) {
        let mut state = self.state();
        let next = state.exchanges;
        state.faults.arm(fault, next);
    }

    /// How many planned faults have not struck yet.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        self.state().faults.left()
    }

    /// Forgets the faults that have not struck yet.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// How many reports have crossed the wire, faults included.
    #[must_use]
    pub fn exchanges(&self) -> u64 {
        self.state().exchanges
    }
}

impl std::fmt::Debug for VirtualHid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VirtualHid({})", self.shared.face.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers the last report, and wants a touch before it gives it back as input.
    #[derive(Default)]
    struct Echo {
        feature: Vec<u8>,
        waiting: Option<Vec<u8>>,
    }

    impl HidChip for Echo {
        fn set_feature(&mut self, report: &[u8], _: &mut Moment) -> Result<(), Stall> {
            self.feature = report.to_vec();
            Ok(())
        }

        fn get_feature(&mut self, _: &mut Moment) -> Result<Vec<u8>, Stall> {
            Ok(self.feature.clone())
        }

        fn output(&mut self, report: &[u8], moment: &mut Moment) -> Result<(), Stall> {
            self.waiting = Some(report.to_vec());
            assert_eq!(moment.touch(), Touch::NotAsked);
            Ok(())
        }

        fn input(&mut self, moment: &mut Moment) -> Option<Vec<u8>> {
            self.waiting.as_ref()?;
            (moment.touch() == Touch::Given).then(|| self.waiting.take()).flatten()
        }

        fn reset(&mut self) {
            *self = Self::default();
        }
    }

    fn device() -> VirtualHid {
        let face = HidFace {
            model: "echo",
            vendor_id: 1,
            product_id: 2,
            release: 0x0100,
            manufacturer: "",
            product: "",
            serial: None,
            interface: 0,
            usage: (0xFF00, 1),
            descriptor: &[],
            feature_length: 2,
            report_length: 2,
        };
        let device = VirtualHid::new(face, Box::new(Echo::default()));
        device.power_on();
        device
    }

    #[test]
    fn faults_strike_reports_both_ways() {
        let device = device();
        let set = |byte| device.set_feature(&[byte, byte], Waits::Virtual);
        let get = || device.get_feature(Waits::Virtual);
        assert_eq!(set(1), Transfer::Done(()));
        device.plan(Fault { at: 0, kind: FaultKind::Status(0) });
        device.plan(Fault { at: 1, kind: FaultKind::StatusAfter(0) });
        device.plan(Fault { at: 2, kind: FaultKind::Truncate(1) });
        assert_eq!((set(2), set(3), get()), (Transfer::Stalled, Transfer::Stalled, Transfer::Done(vec![3])));
        device.plan(Fault { at: 0, kind: FaultKind::Reset });
        assert_eq!(get(), Transfer::Done(vec![]));
        device.plan(Fault { at: 0, kind: FaultKind::UnplugAfter });
        assert_eq!((set(4), get()), (Transfer::Unplugged, Transfer::Unplugged));
        assert_eq!((device.exchanges(), device.faults_left()), (6, 0));
    }

    #[test]
    fn a_touch_comes_when_the_human_wants_or_never() {
        for (human, expected) in [
            (Human::TouchesAtOnce, Transfer::Done(vec![7])),
            (Human::TouchesAfter(Duration::from_secs(2)), Transfer::Done(vec![7])),
            (Human::TouchesAfter(Duration::from_secs(20)), Transfer::Silence),
            (Human::NeverTouches, Transfer::Silence),
        ] {
            let device = device();
            device.set_human(human);
            assert_eq!(device.output(&[7], Waits::Virtual), Transfer::Done(()));
            assert_eq!(device.input(Duration::from_secs(10), Waits::Virtual), expected, "{human:?}");
            assert_eq!(device.touch_requests(), 1);
        }
    }

    #[test]
    fn pulling_the_device_out_ends_a_wait_for_input() {
        let device = device();
        let other = device.clone();
        let waiting = std::thread::spawn(move || other.input(Duration::from_secs(60), Waits::Real));
        device.power_off();
        assert_eq!(waiting.join().unwrap(), Transfer::Unplugged);
    }
}
