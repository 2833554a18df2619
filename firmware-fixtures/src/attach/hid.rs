//! Emulated HID tokens as a [`Bus`], with the manners of hidraw: a node per interface, shared by whoever opens it,
//! dead after an unplug even if the same token comes back to the same node.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fobd_drivers::transport::{
    Bus, Candidate, Connection, HidCandidate, HidConnection, TransportError, Watch,
};

use crate::card::Waits;
use crate::hid::{Transfer, VirtualHid};

/// A machine with ports for emulated HID tokens. Clones mean the same machine.
#[derive(Clone)]
pub struct VirtualHidBus {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    waits: Waits,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<u32, Node>,
    /// Attachments per node; outlives the node.
    attachments: BTreeMap<u32, u32>,
    /// Counts everything a watcher wants to know.
    changes: u64,
}

struct Node {
    device: VirtualHid,
    attachment: u32,
    /// Opening is refused as if udev had not given access.
    forbidden: bool,
}

impl Default for VirtualHidBus {
    fn default() -> Self {
        Self::new()
    }
}

impl VirtualHidBus {
    /// A machine with nothing plugged in. Waits of the devices are virtual: nothing takes time.
    #[must_use]
    pub fn new() -> Self {
        Self::with_waits(Waits::Virtual)
    }

    /// The same, with the choice whether touches and delays take real time.
    #[must_use]
    pub fn with_waits(waits: Waits) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), waits }) }
    }

    /// Plugs a device in at the first free node and wakes the watchers. Returns the node's path.
    pub fn attach(&self, device: &VirtualHid) -> String {
        let mut state = self.shared.lock();
        let number = (0..).find(|number| !state.nodes.contains_key(number)).unwrap_or_default();
        let counter = state.attachments.entry(number).or_default();
        *counter = counter.wrapping_add(1);
        let attachment = *counter;
        device.power_on();
        state.nodes.insert(number, Node { device: device.clone(), attachment, forbidden: false });
        state.changes += 1;
        self.shared.changed.notify_all();
        path(number)
    }

    /// Pulls a device out. `false` if it was not there.
    pub fn detach(&self, device: &VirtualHid) -> bool {
        let mut state = self.shared.lock();
        let found = state.nodes.iter().find(|(_, node)| node.device.is(device)).map(|(number, _)| *number);
        let Some(number) = found else { return false };
        state.remove(number);
        self.shared.changed.notify_all();
        true
    }

    /// Takes away or gives back the permission to open a device.
    pub fn forbid(&self, device: &VirtualHid, forbidden: bool) {
        let mut state = self.shared.lock();
        for node in state.nodes.values_mut().filter(|node| node.device.is(device)) {
            node.forbidden = forbidden;
        }
    }

    /// What is plugged in now, as a watch would list it.
    #[must_use]
    pub fn candidates(&self) -> Vec<Candidate> {
        self.shared.lock().candidates()
    }
}

fn path(number: u32) -> String {
    format!("/dev/hidraw{number}")
}

fn gone() -> TransportError {
    TransportError::Gone { detail: "ENODEV".to_owned() }
}

impl State {
    fn remove(&mut self, number: u32) {
        if let Some(node) = self.nodes.remove(&number) {
            node.device.power_off();
            self.changes += 1;
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let candidate = |(number, node): (&u32, &Node)| {
            let face = node.device.face();
            Candidate::Hid(HidCandidate {
                path: path(*number),
                vendor_id: face.vendor_id,
                product_id: face.product_id,
                release: face.release,
                usage_page: face.usage.0,
                usage: face.usage.1,
                interface: Some(face.interface),
                serial: face.serial.clone(),
                product: face.product.to_owned(),
                attachment: node.attachment,
            })
        };
        self.nodes.iter().map(candidate).collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bus for VirtualHidBus {
    fn name(&self) -> &'static str {
        "virtual-hid"
    }

    fn watch(&self) -> Result<Box<dyn Watch>, TransportError> {
        let seen = self.shared.lock().changes;
        Ok(Box::new(VirtualWatch { shared: Arc::clone(&self.shared), seen }))
    }

    fn open(&self, candidate: &Candidate) -> Result<Connection, TransportError> {
        let Candidate::Hid(wanted) = candidate else { return Err(gone()) };
        let state = self.shared.lock();
        let found = state
            .nodes
            .iter()
            .find(|(number, node)| path(**number) == wanted.path && node.attachment == wanted.attachment);
        let (number, node) = found.ok_or_else(gone)?;
        if node.forbidden {
            return Err(TransportError::AccessDenied { detail: format!("{}: EACCES", wanted.path) });
        }
        Ok(Connection::Hid(Box::new(VirtualConnection {
            shared: Arc::clone(&self.shared),
            device: node.device.clone(),
            number: *number,
            attachment: node.attachment,
        })))
    }
}

struct VirtualWatch {
    shared: Arc<Shared>,
    seen: u64,
}

impl Watch for VirtualWatch {
    fn candidates(&mut self) -> Result<Vec<Candidate>, TransportError> {
        let state = self.shared.lock();
        self.seen = state.changes;
        Ok(state.candidates())
    }

    fn wait_for_change(&mut self, timeout: Duration) -> Result<bool, TransportError> {
        let seen = self.seen;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.shared.lock(), timeout, |state| state.changes == seen);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        self.seen = state.changes;
        Ok(state.changes != seen)
    }
}

struct VirtualConnection {
    shared: Arc<Shared>,
    device: VirtualHid,
    number: u32,
    attachment: u32,
}

impl VirtualConnection {
    fn check(&self) -> Result<(), TransportError> {
        let state = self.shared.lock();
        let here = state.nodes.get(&self.number).is_some_and(|node| node.attachment == self.attachment);
        if here { Ok(()) } else { Err(gone()) }
    }

    /// Runs a transfer without holding the machine's lock, and tells it as hidraw would.
    fn transfer<T>(
        &self,
        call: &'static str,
        run: impl FnOnce(&VirtualHid, Waits) -> Transfer<T>,
    ) -> Result<Option<T>, TransportError> {
        self.check()?;
        match run(&self.device, self.shared.waits) {
            Transfer::Done(value) => Ok(Some(value)),
            Transfer::Silence => Ok(None),
            Transfer::Stalled => Err(TransportError::Failed { call, detail: "EPIPE".to_owned() }),
            Transfer::Unplugged => {
                let mut state = self.shared.lock();
                if state.nodes.get(&self.number).is_some_and(|node| node.attachment == self.attachment) {
                    state.remove(self.number);
                    self.shared.changed.notify_all();
                }
                Err(gone())
            }
        }
    }

    fn timed_out(call: &'static str) -> TransportError {
        TransportError::Failed { call, detail: "ETIMEDOUT".to_owned() }
    }
}

impl HidConnection for VirtualConnection {
    fn set_feature(&mut self, report: &[u8]) -> Result<(), TransportError> {
        const CALL: &str = "HIDIOCSFEATURE";
        self.transfer(CALL, |device, waits| device.set_feature(report, waits))?
            .ok_or_else(|| Self::timed_out(CALL))
    }

    fn get_feature(&mut self, length: usize) -> Result<Vec<u8>, TransportError> {
        const CALL: &str = "HIDIOCGFEATURE";
        let report = self.transfer(CALL, VirtualHid::get_feature)?;
        let mut report = report.ok_or_else(|| Self::timed_out(CALL))?;
        report.truncate(length);
        Ok(report)
    }

    fn write(&mut self, report: &[u8]) -> Result<(), TransportError> {
        const CALL: &str = "write";
        self.transfer(CALL, |device, waits| device.output(report, waits))?
            .ok_or_else(|| Self::timed_out(CALL))
    }

    fn read(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        self.transfer("read", |device, waits| device.input(timeout, waits))
    }

    fn pause(&mut self, time: Duration) {
        self.device.pause(time, self.shared.waits);
    }
}
