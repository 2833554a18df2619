//! An emulated card and the hand that holds it.
//!
//! [`VirtualCard`] is a handle; clones mean the same device. One side is the wire: [`VirtualCard::exchange`],
//! power on and off, reset. The other side is what a test or a demo may do besides: decide what the human
//! does, plan faults, read the flash, and let the device show a passcode without the program under test.
//!
//! Time is either real or virtual. With [`Waits::Virtual`] a touch that comes after 5 s comes at once, and the
//! 5 s are added to [`VirtualCard::waited`]; with [`Waits::Real`] the exchange blocks, and pulling the card out
//! or touching it ends the wait.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::applets::{Applet, Touch, admin};
use crate::chip::{Chip, Reply};
use crate::fault::{Fault, FaultKind, FaultPlan, garble};
use crate::firmware::{Firmware, Maker};
pub use face::Face;
pub use oath::OathSpecimen;

mod face;
mod flash;
mod oath;

/// How long a YubiKey blinks before it gives up (assumed).
const TOUCH_TIMEOUT: Duration = Duration::from_secs(15);

/// What the human beside the device does when it wants to be touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Human {
    /// Touches at once.
    TouchesAtOnce,
    /// Touches after this time, if the device still waits.
    TouchesAfter(Duration),
    /// Is not there.
    NeverTouches,
}

/// Whether the device's waits take time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// They are only counted.
    Virtual,
    /// The exchange blocks.
    Real,
}

/// How an exchange ended, seen from the wire.
#[derive(Debug, PartialEq, Eq)]
pub enum Exchange {
    /// The card answered. After a fault these may be fewer than the two bytes of a status.
    Answer(Vec<u8>),
    /// The card has no power (any more): it was pulled out.
    Unplugged,
    /// Another program reset the card; the command was not executed.
    Reset,
    /// The card says nothing, for good. With real waits the exchange blocks instead, until the card is pulled.
    Silence,
}

/// A handle to an emulated card.
#[derive(Clone)]
pub struct VirtualCard {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    face: Face,
    serial: String,
}

struct State {
    chip: Chip,
    powered: bool,
    /// Counts losses of power, so that a wait notices one that is already over.
    power_cycles: u64,
    exchanges: u64,
    faults: FaultPlan,
    human: Human,
    touch_timeout: Duration,
    touch_requests: u64,
    /// The device blinks, in a wait that takes time.
    blinking: bool,
    /// Since when it shows a question on its screen.
    asked_at: Option<Duration>,
    waited: Duration,
    started: Instant,
}

impl VirtualCard {
    /// A card with the OATH applet as it leaves the factory. Its OATH id and challenges follow from the serial, which
    /// each maker prints in its own way, if at all.
    #[must_use]
    pub fn new(firmware: Firmware, serial: u32) -> Self {
        let printed = match firmware.maker {
            Maker::Yubico => serial.to_string(),
            Maker::CanoKeys => format!("{serial:08X}"),
            Maker::SoloKeys => admin::uuid(serial).map(|byte| format!("{byte:02X}")).concat(),
            Maker::VivoKey => String::new(),
        };
        Self::with_chip(Chip::new(firmware, serial), &printed)
    }

    /// A card with other applets, and the serial printed on it.
    #[must_use]
    pub fn with_chip(chip: Chip, serial: &str) -> Self {
        let face = *chip.face();
        let state = State {
            chip,
            powered: false,
            power_cycles: 0,
            exchanges: 0,
            faults: FaultPlan::default(),
            human: Human::TouchesAtOnce,
            touch_timeout: TOUCH_TIMEOUT,
            touch_requests: 0,
            blinking: false,
            asked_at: None,
            waited: Duration::ZERO,
            started: Instant::now(),
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                changed: Condvar::new(),
                face,
                serial: serial.to_owned(),
            }),
        }
    }

    /// What a reader sees of it.
    #[must_use]
    pub fn face(&self) -> &Face {
        &self.shared.face
    }

    /// The serial printed on it; empty if there is none.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.shared.serial
    }

    /// Reaches past the protocol into the first applet of this type: no exchange, no fault, no power needed.
    /// `None` if there is no such applet.
    pub fn with_applet<A: Applet, T>(&self, reach: impl FnOnce(&mut A) -> T) -> Option<T> {
        self.state().chip.applet_mut().map(reach)
    }

    /// Whether two handles mean the same device.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere must not make the device unreadable.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wire.
impl VirtualCard {
    /// Gives it power; volatile state starts anew.
    pub fn power_on(&self) {
        let mut state = self.state();
        state.chip.reset();
        state.powered = true;
        self.shared.changed.notify_all();
    }

    /// Takes its power; a command that waits for a touch is never executed.
    pub fn power_off(&self) {
        let mut state = self.state();
        state.lose_power();
        self.shared.changed.notify_all();
    }

    /// Resets it: nothing is selected any more.
    pub fn reset(&self) {
        self.state().chip.reset();
    }

    /// One command in, one answer out, with whatever fault is due.
    pub fn exchange(&self, command: &[u8], waits: Waits) -> Exchange {
        let mut state = self.state();
        if !state.powered {
            return Exchange::Unplugged;
        }
        let number = state.exchanges;
        let fault = state.faults.strike(number);
        state.exchanges += 1;
        state.settle_question(waits);
        self.shared.changed.notify_all();
        match fault {
            Some(FaultKind::UnplugBefore) => {
                state.lose_power();
                return Exchange::Unplugged;
            }
            Some(FaultKind::Reset) => {
                state.chip.reset();
                return Exchange::Reset;
            }
            Some(FaultKind::Status(status)) => return Exchange::Answer(status.to_be_bytes().to_vec()),
            Some(FaultKind::Silence) if waits == Waits::Virtual => return Exchange::Silence,
            Some(FaultKind::Silence) => {
                let endless = self.pause(state, Duration::MAX, waits);
                return if endless.is_some() { Exchange::Silence } else { Exchange::Unplugged };
            }
            Some(FaultKind::Delay(time)) => match self.pause(state, time, waits) {
                Some(back) => state = back,
                None => return Exchange::Unplugged,
            },
            _ => {}
        }
        let (mut state, mut answer) = match self.execute(state, command, waits) {
            Some(done) => done,
            None => return Exchange::Unplugged,
        };
        state.settle_question(waits);
        self.shared.changed.notify_all();
        match fault {
            Some(FaultKind::UnplugAfter) => {
                state.lose_power();
                return Exchange::Unplugged;
            }
            Some(FaultKind::StatusAfter(status)) => answer = status.to_be_bytes().to_vec(),
            Some(FaultKind::Truncate(length)) => answer.truncate(length),
            Some(FaultKind::Garble { seed }) => garble(&mut answer, seed),
            _ => {}
        }
        Exchange::Answer(answer)
    }

    /// The host leaves the card alone for this time.
    pub fn let_pass(&self, time: Duration, waits: Waits) {
        match waits {
            Waits::Virtual => self.state().waited += time,
            Waits::Real => std::thread::sleep(time),
        }
    }

    /// Runs a command, touch included. `None` if the card was pulled out while it waited.
    fn execute<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        command: &[u8],
        waits: Waits,
    ) -> Option<(MutexGuard<'a, State>, Vec<u8>)> {
        let mut touch = Touch::NotAsked;
        loop {
            match state.chip.transmit(command, touch) {
                Reply::Answer(answer) => return Some((state, answer)),
                Reply::TouchNeeded => {
                    state.touch_requests += 1;
                    self.shared.changed.notify_all();
                    (state, touch) = self.ask_human(state, waits)?;
                }
            }
        }
    }

    fn ask_human<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        waits: Waits,
    ) -> Option<(MutexGuard<'a, State>, Touch)> {
        let timeout = state.touch_timeout;
        if waits == Waits::Virtual {
            let (time, touch) = match state.human {
                Human::TouchesAtOnce => (Duration::ZERO, Touch::Given),
                Human::TouchesAfter(time) if time < timeout => (time, Touch::Given),
                Human::TouchesAfter(_) | Human::NeverTouches => (timeout, Touch::TimedOut),
            };
            state.waited += time;
            return Some((state, touch));
        }
        let (start, cycles) = (Instant::now(), state.power_cycles);
        state.blinking = true;
        loop {
            let elapsed = start.elapsed();
            let due = match state.human {
                Human::TouchesAtOnce => Duration::ZERO,
                Human::TouchesAfter(time) => time,
                Human::NeverTouches => Duration::MAX,
            };
            if state.power_cycles != cycles {
                return None;
            }
            // `touch` puts the light out.
            if !state.blinking || elapsed >= due.min(timeout) {
                let given = !state.blinking || due < timeout;
                state.blinking = false;
                return Some((state, if given { Touch::Given } else { Touch::TimedOut }));
            }
            let left = due.min(timeout) - elapsed;
            (state, _) =
                self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets time pass. `None` if the card was pulled out meanwhile.
    fn pause<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        time: Duration,
        waits: Waits,
    ) -> Option<MutexGuard<'a, State>> {
        if waits == Waits::Virtual {
            state.waited += time;
            return Some(state);
        }
        let cycles = state.power_cycles;
        let (state, result) = self
            .shared
            .changed
            .wait_timeout_while(state, time, |state| state.power_cycles == cycles)
            .unwrap_or_else(PoisonError::into_inner);
        result.timed_out().then_some(state)
    }
}

impl State {
    /// What the human does about a question on the device's screen, which goes on working meanwhile.
    fn settle_question(&mut self, waits: Waits) {
        let real = if waits == Waits::Real { self.started.elapsed() } else { Duration::ZERO };
        let now = self.waited + real;
        let Some(asking) = self.chip.asking() else {
            self.asked_at = None;
            return;
        };
        if self.asked_at.is_none() {
            self.touch_requests += 1;
        }
        let elapsed = now.saturating_sub(*self.asked_at.get_or_insert(now));
        let yes = match self.human {
            Human::TouchesAtOnce => true,
            Human::TouchesAfter(time) => time < self.touch_timeout && elapsed >= time,
            Human::NeverTouches => false,
        };
        if yes || elapsed >= self.touch_timeout {
            asking.answer(yes);
            self.asked_at = None;
        }
    }

    fn lose_power(&mut self) {
        self.chip.reset();
        self.powered = false;
        self.blinking = false;
        self.power_cycles += 1;
    }
}

/// The human, and what goes wrong.
impl VirtualCard {
    /// Decides what the human does from now on, also about a touch that the device waits for already.
    pub fn set_human(&self, human: Human) {
        self.state().human = human;
        self.shared.changed.notify_all();
    }

    /// Touches the device now. Nothing happens unless it waits for it.
    pub fn touch(&self) {
        let mut state = self.state();
        state.blinking = false;
        if let Some(asking) = state.chip.asking() {
            asking.answer(true);
        }
        self.shared.changed.notify_all();
    }

    /// How long the device waits for a touch; 15 s unless set.
    pub fn set_touch_timeout(&self, timeout: Duration) {
        self.state().touch_timeout = timeout;
    }

    /// How often the device asked to be touched.
    #[must_use]
    pub fn touch_requests(&self) -> u64 {
        self.state().touch_requests
    }

    /// Blocks until the device has asked `count` times to be touched, or until `timeout` has passed (`false`).
    #[must_use]
    pub fn wait_for_touch_requests(&self, count: u64, timeout: Duration) -> bool {
        self.wait_for(timeout, |state| state.touch_requests >= count)
    }

    /// Blocks until `count` commands have reached the card, or until `timeout` has passed (`false`).
    #[must_use]
    pub fn wait_for_exchanges(&self, count: u64, timeout: Duration) -> bool {
        self.wait_for(timeout, |state| state.exchanges >= count)
    }

    /// Blocks until a reader has powered the card, or until `timeout` has passed (`false`).
    #[must_use]
    pub fn wait_until_powered(&self, timeout: Duration) -> bool {
        self.wait_for(timeout, |state| state.powered)
    }

    fn wait_for(&self, timeout: Duration, met: impl Fn(&State) -> bool) -> bool {
        let waited = self.shared.changed.wait_timeout_while(self.state(), timeout, |state| !met(state));
        met(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Time that passed virtually: delays and touches.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.state().waited
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

    /// How many commands have reached the card, faults included.
    #[must_use]
    pub fn exchanges(&self) -> u64 {
        self.state().exchanges
    }
}

impl std::fmt::Debug for VirtualCard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VirtualCard({} {})", self.shared.face.model, self.shared.serial)
    }
}
