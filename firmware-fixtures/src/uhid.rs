//! The door through the kernel's HID core: a HID device made by a program (`/dev/uhid`), with a hidraw node but no
//! USB beneath it.
//!
//! Events both ways are `struct uhid_event` of linux/uhid.h, packed, in native byte order: a type of four bytes, then
//! what belongs to it. Short ones may be written; the rest counts as zeros. Bytes of the structures used here:
//!
//! | event | fields, by offset |
//! |---|---|
//! | `CREATE2` | name, 128 bytes, 4; phys, 64, 132; uniq, 64, 196; `rd_size` u16 260; bus u16 262; vendor u32 264; product u32 268; version u32 272; country u32 276; `rd_data` 280 |
//! | `INPUT2` | size u16 4; data 6 |
//! | `OUTPUT` | data, 4096 bytes, 4; size u16 4100; rtype u8 4102 |
//! | `GET_REPORT` | id u32 4; rnum u8 8; rtype u8 9 |
//! | `GET_REPORT_REPLY` | id u32 4; err u16 8; size u16 10; data 12 |
//! | `SET_REPORT` | id u32 4; rnum u8 8; rtype u8 9; size u16 10; data 12 |
//! | `SET_REPORT_REPLY` | id u32 4; err u16 8 |
//!
//! Feature reports pass as they are between hidraw and program, so it is the program that adds and takes away the
//! report id 0, as usbhid does for devices on USB. A refusal reaches the host as EIO whatever the error was; so does
//! an unplug, and silence after 5 s. Who needs better plugs the device in by [`crate::usb`].
//!
//! Needs write access to `/dev/uhid`: root, in a kernel that has it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::card::Waits;
use crate::hid::{Transfer, VirtualHid};

const NODE: &str = "/dev/uhid";

const DESTROY: u32 = 1;
const STOP: u32 = 3;
const OPEN: u32 = 4;
const CLOSE: u32 = 5;
const OUTPUT: u32 = 6;
const GET_REPORT: u32 = 9;
const GET_REPORT_REPLY: u32 = 10;
const CREATE2: u32 = 11;
const INPUT2: u32 = 12;
const SET_REPORT: u32 = 13;
const SET_REPORT_REPLY: u32 = 14;

/// Longest event.
const EVENT_SIZE: usize = 4380;
const MAX_REPORT: usize = 4096;

/// `UHID_FEATURE_REPORT`.
const FEATURE: u8 = 0;

/// `BUS_USB`. hidapi lists the buses of real devices only.
const BUS: u16 = 3;

/// The device does not support the request (EPIPE, as usbhid says it).
const STALLED: u16 = 32;

/// How long the input thread looks for a report before it looks around.
const LOOK: Duration = Duration::from_millis(100);

/// A device in the kernel. Dropping it pulls the device out.
pub struct UhidDevice {
    wire: Arc<Wire>,
    threads: Vec<JoinHandle<()>>,
}

struct Wire {
    device: VirtualHid,
    node: File,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Somebody has opened the device, so input is wanted.
    open: bool,
    openings: u64,
    gone: bool,
}

impl UhidDevice {
    /// Attaches a device and gives it power. Its node comes up a moment later. What was attached before must be
    /// dropped first: it takes the power with it.
    ///
    /// # Errors
    /// What opening or writing `/dev/uhid` said, for example that there is none.
    pub fn attach(device: &VirtualHid) -> io::Result<Self> {
        let node = File::options().read(true).write(true).open(NODE)?;
        device.power_on();
        (&node).write_all(&create(device))?;
        let wire = Wire { device: device.clone(), node, state: Mutex::default(), changed: Condvar::new() };
        let wire = Arc::new(wire);
        let mut attached = Self { wire, threads: Vec::new() };
        attached.run("requests", |wire| {
            // Whatever ended it, the device is out.
            let _ = wire.serve();
            wire.pull_out();
        })?;
        attached.run("input", Wire::give_input)?;
        Ok(attached)
    }

    fn run(&mut self, what: &str, work: fn(&Wire)) -> io::Result<()> {
        let wire = Arc::clone(&self.wire);
        let name = format!("uhid {what} of {}", wire.device.face().model);
        self.threads.push(thread::Builder::new().name(name).spawn(move || work(&wire))?);
        Ok(())
    }

    /// Whether the device is still in: a fault pulls it.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        !self.wire.state().gone
    }

    /// How often anybody has opened the device while nobody else had it open.
    #[must_use]
    pub fn openings(&self) -> u64 {
        self.wire.state().openings
    }

    /// Blocks until it was opened so often, or until `timeout` has passed (`false`).
    #[must_use]
    pub fn wait_for_openings(&self, count: u64, timeout: Duration) -> bool {
        let wire = &self.wire;
        let waited = wire.changed.wait_timeout_while(wire.state(), timeout, |state| state.openings < count);
        waited.unwrap_or_else(PoisonError::into_inner).0.openings >= count
    }

    /// Pulls the device out and returns when it is out. It can be attached again.
    pub fn detach(self) {}
}

impl Drop for UhidDevice {
    fn drop(&mut self) {
        self.wire.pull_out();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Wire {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the device out of the kernel, which then says STOP to whoever reads.
    fn pull_out(&self) {
        let was_gone = std::mem::replace(&mut self.state().gone, true);
        self.changed.notify_all();
        // Ends waits in the device.
        self.device.power_off();
        if !was_gone {
            let _ = (&self.node).write_all(&DESTROY.to_ne_bytes());
        }
    }

    fn serve(&self) -> io::Result<()> {
        let mut event = [0; EVENT_SIZE];
        loop {
            let length = (&self.node).read(&mut event)?;
            let bytes = event.get(..length).unwrap_or_default();
            let Some(kind) = field(bytes, 0).map(u32::from_ne_bytes) else { continue };
            match kind {
                STOP if self.state().gone => return Ok(()),
                OPEN | CLOSE => {
                    let mut state = self.state();
                    state.open = kind == OPEN;
                    state.openings += u64::from(state.open);
                    self.changed.notify_all();
                }
                OUTPUT => {
                    let size = field(bytes, 4 + MAX_REPORT).map_or(0, u16::from_ne_bytes);
                    let report = unnumbered(bytes, 4, size, self.device.face().report_length);
                    if !self.device.face().is_keyboard()
                        && self.device.output(report, Waits::Real) == Transfer::Unplugged
                    {
                        return Ok(());
                    }
                }
                GET_REPORT | SET_REPORT => match self.answer(kind, bytes) {
                    Transfer::Done(reply) => (&self.node).write_all(&reply)?,
                    Transfer::Stalled => (&self.node).write_all(&refusal(kind, bytes))?,
                    Transfer::Unplugged => return Ok(()),
                    Transfer::Silence => {}
                },
                _ => {}
            }
        }
    }

    /// The reply to a request for, or with, a feature report.
    fn answer(&self, kind: u32, event: &[u8]) -> Transfer<Vec<u8>> {
        if event.get(9) != Some(&FEATURE) {
            return Transfer::Stalled;
        }
        if kind == GET_REPORT {
            return self.device.get_feature(Waits::Real).map(|report| {
                let mut reply = reply(kind, event, 0);
                reply.extend_from_slice(&(report.len() as u16 + 1).to_ne_bytes());
                reply.push(0);
                reply.extend_from_slice(&report);
                reply
            });
        }
        let size = field(event, 10).map_or(0, u16::from_ne_bytes);
        let report = unnumbered(event, 12, size, self.device.face().feature_length);
        self.device.set_feature(report, Waits::Real).map(|()| reply(kind, event, 0))
    }

    /// Hands reports to the kernel while somebody listens; what comes while nobody does waits in the device.
    fn give_input(&self) {
        loop {
            let state = self.changed.wait_while(self.state(), |state| !state.open && !state.gone);
            if state.unwrap_or_else(PoisonError::into_inner).gone {
                return;
            }
            match self.device.input(LOOK, Waits::Real) {
                Transfer::Done(report) => {
                    let mut event = INPUT2.to_ne_bytes().to_vec();
                    event.extend_from_slice(&(report.len() as u16).to_ne_bytes());
                    event.extend_from_slice(&report);
                    if (&self.node).write_all(&event).is_err() {
                        return;
                    }
                }
                Transfer::Unplugged => return self.pull_out(),
                Transfer::Stalled | Transfer::Silence => {}
            }
        }
    }
}

fn create(device: &VirtualHid) -> Vec<u8> {
    let face = device.face();
    let mut event = CREATE2.to_ne_bytes().to_vec();
    push_text(&mut event, face.product, 128);
    push_text(&mut event, "", 64);
    push_text(&mut event, face.serial.as_deref().unwrap_or_default(), 64);
    event.extend_from_slice(&(face.descriptor.len() as u16).to_ne_bytes());
    event.extend_from_slice(&BUS.to_ne_bytes());
    for number in [u32::from(face.vendor_id), face.product_id.into(), face.release.into(), 0] {
        event.extend_from_slice(&number.to_ne_bytes());
    }
    event.extend_from_slice(face.descriptor);
    event
}

/// Text in a field of this length, which ends in a zero.
fn push_text(event: &mut Vec<u8>, text: &str, length: usize) {
    let end = event.len() + length;
    event.extend(text.bytes().take(length - 1));
    event.resize(end, 0);
}

/// A reply begins with its type, the request's id and the error.
fn reply(kind: u32, request: &[u8], error: u16) -> Vec<u8> {
    let kind = if kind == GET_REPORT { GET_REPORT_REPLY } else { SET_REPORT_REPLY };
    let id: [u8; 4] = field(request, 4).unwrap_or_default();
    [kind.to_ne_bytes().as_slice(), &id, &error.to_ne_bytes()].concat()
}

fn refusal(kind: u32, request: &[u8]) -> Vec<u8> {
    reply(kind, request, STALLED)
}

fn field<const N: usize>(event: &[u8], at: usize) -> Option<[u8; N]> {
    event.get(at..at + N)?.try_into().ok()
}

/// The report of so many bytes at `at`, without the report id if it has one: if it is one byte longer than reports
/// of this device are.
fn unnumbered(event: &[u8], at: usize, size: u16, length: usize) -> &[u8] {
    let report = event.get(at..at + usize::from(size)).unwrap_or_default();
    match report {
        [0, rest @ ..] if rest.len() == length => rest,
        _ => report,
    }
}
