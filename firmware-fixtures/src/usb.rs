//! The door through the kernel's USB core: a whole USB device, with one or more HID interfaces and a smart card
//! behind a CCID interface, plugged into a port of `vhci_hcd`.
//!
//! usbhid, hidraw, libusb, libccid and pcscd all take it for a device on a cable. The kernel's side of that cable is
//! a socket on which it asks for transfers (see `wire`); no USB/IP server or tool takes part. Interfaces are told by
//! descriptors (see `descriptors`) and served by threads of their own, so that a touch awaited on the card holds up no
//! report, and pulling the device out ends everything.
//!
//! Planned faults strike as in process. A stall is a stall, silence ends in the host's own time limit, and an unplug
//! is one: what the host then says is what it says of hardware.
//!
//! Needs root, in a kernel that has `vhci_hcd`.

mod ccid;
mod descriptors;
mod wire;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::card::{VirtualCard, Waits};
use crate::hid::{Transfer, VirtualHid};
use descriptors::{Descriptors, Endpoints};
use wire::{EPIPE, Urb, Wire};

/// The controller with its ports.
const CONTROLLER: &str = "/sys/devices/platform/vhci_hcd.0";

/// `USB_SPEED_FULL`, as the tokens have it.
const FULL_SPEED: u32 = 2;

/// A port to which nothing is attached (`VDEV_ST_NULL`).
const FREE: &str = "004";

/// How long an input thread looks for a report before it looks around.
const LOOK: Duration = Duration::from_millis(100);

/// What a USB device is made of.
#[derive(Clone, Debug)]
pub struct UsbDevice {
    /// idVendor.
    pub vendor_id: u16,
    /// idProduct.
    pub product_id: u16,
    /// bcdDevice.
    pub release: u16,
    /// iManufacturer; empty if there is none.
    pub manufacturer: String,
    /// iProduct; empty if there is none.
    pub product: String,
    /// iSerialNumber, if there is one.
    pub serial: Option<String>,
    /// HID interfaces, with the numbers that their faces tell.
    pub hids: Vec<VirtualHid>,
    /// The card behind the CCID interface, which has the number after the highest of these.
    pub card: Option<VirtualCard>,
}

impl UsbDevice {
    /// The device of one HID interface, with its ids and texts.
    #[must_use]
    pub fn of_hid(hid: &VirtualHid) -> Self {
        let face = hid.face();
        Self {
            vendor_id: face.vendor_id,
            product_id: face.product_id,
            release: face.release,
            manufacturer: face.manufacturer.to_owned(),
            product: face.product.to_owned(),
            serial: face.serial.clone(),
            hids: vec![hid.clone()],
            card: None,
        }
    }

    /// The device that is only a card in its reader, with texts from the reader's name.
    #[must_use]
    pub fn of_card(card: &VirtualCard, vendor_id: u16, product_id: u16, release: u16) -> Self {
        let (manufacturer, product) = card.face().reader.split_once(' ').unwrap_or_default();
        Self {
            vendor_id,
            product_id,
            release,
            manufacturer: manufacturer.to_owned(),
            product: product.to_owned(),
            serial: None,
            hids: Vec::new(),
            card: Some(card.clone()),
        }
    }

    /// The same with one more HID interface.
    #[must_use]
    pub fn and_hid(mut self, hid: &VirtualHid) -> Self {
        self.hids.push(hid.clone());
        self
    }

    /// The same with a card.
    #[must_use]
    pub fn and_card(mut self, card: &VirtualCard) -> Self {
        self.card = Some(card.clone());
        self
    }

    /// Plugs it into the first free port and gives it power. Nodes and readers come up a moment later. What was
    /// plugged in before must be dropped first: it takes the power with it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] without `vhci_hcd`, [`io::ErrorKind::ResourceBusy`] if all ports are taken,
    /// [`io::ErrorKind::InvalidInput`] if two interfaces have one number.
    pub fn plug_in(&self) -> io::Result<PluggedIn> {
        let numbers: BTreeSet<u8> = self.hids.iter().map(|hid| hid.face().interface).collect();
        if numbers.len() != self.hids.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let descriptors = Descriptors::of(self);
        let (wire, socket) = Wire::pair()?;
        let wire = Arc::new(wire);
        for hid in &self.hids {
            hid.power_on();
        }
        let mut plugged = PluggedIn { device: self.clone(), wire, threads: Vec::new() };
        let (to_firmware, requests) = channel();
        let mut to_ccid = None;
        if let Some(card) = &self.card {
            let (sender, messages) = channel();
            to_ccid = Some(sender);
            let (wire, card, bulk) = (Arc::clone(&plugged.wire), card.clone(), descriptors.endpoints.bulk());
            plugged.run("CCID", move || ccid::serve(&wire, bulk, &card, &messages))?;
        }
        let firmware = Firmware { device: self.clone(), wire: Arc::clone(&plugged.wire), descriptors };
        let endpoints = firmware.descriptors.endpoints;
        for (number, hid) in self.hids.iter().enumerate() {
            let (wire, hid) = (Arc::clone(&plugged.wire), hid.clone());
            plugged.run("input", move || give_input(&wire, endpoints.hid_in(number), &hid))?;
        }
        plugged.run("requests", move || firmware.serve(&requests))?;
        let wire = Arc::clone(&plugged.wire);
        plugged.run("bus", move || dispatch(&wire, endpoints, &to_firmware, to_ccid.as_ref()))?;
        attach(socket)?;
        Ok(plugged)
    }

    fn card_interface(&self) -> u8 {
        self.hids.iter().map(|hid| hid.face().interface + 1).max().unwrap_or_default()
    }

    fn hid(&self, interface: u8) -> Option<&VirtualHid> {
        self.hids.iter().find(|hid| hid.face().interface == interface)
    }

    /// Pulls the plug, which ends every wait.
    fn lose_power(&self, wire: &Wire) {
        wire.close();
        for hid in &self.hids {
            hid.power_off();
        }
        if let Some(card) = &self.card {
            card.power_off();
        }
    }
}

/// A device in a port. Dropping it pulls the device out.
pub struct PluggedIn {
    device: UsbDevice,
    wire: Arc<Wire>,
    threads: Vec<JoinHandle<()>>,
}

impl PluggedIn {
    fn run(&mut self, what: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let (device, wire) = (self.device.clone(), Arc::clone(&self.wire));
        let thread = thread::Builder::new().name(format!("USB {what}")).spawn(move || {
            work();
            // Whatever ended it, the device is out.
            device.lose_power(&wire);
        });
        self.threads.push(thread?);
        Ok(())
    }

    /// Whether the device is still in: a fault pulls it.
    #[must_use]
    pub fn is_plugged_in(&self) -> bool {
        !self.wire.is_closed()
    }

    /// Pulls the device out and returns when it is out. It can be plugged in again.
    pub fn pull_out(self) {}
}

impl Drop for PluggedIn {
    fn drop(&mut self) {
        self.device.lose_power(&self.wire);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Gives the kernel its end of the wire.
fn attach(socket: std::os::unix::net::UnixStream) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // Two threads must not choose one port.
    static CHOOSING: Mutex<()> = Mutex::new(());
    let _chosen = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
    let status = fs::read_to_string(format!("{CONTROLLER}/status"))?;
    // Columns: hub, port, state; the ports of hub `hs` are for USB 2.
    let ports = status.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (hub, port, state) = (words.next()?, words.next()?, words.next()?);
        (hub == "hs" && state == FREE).then(|| port.parse::<u32>().ok()).flatten()
    });
    let mut refusal = io::Error::from(io::ErrorKind::ResourceBusy);
    for port in ports {
        // The device id is ours to choose.
        let line = format!("{port} {} {} {FULL_SPEED}", socket.as_raw_fd(), port + 1);
        match fs::write(format!("{CONTROLLER}/attach"), line) {
            Ok(()) => return Ok(()),
            // Another program may have taken it meanwhile.
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// Takes what the kernel asks for to whom it concerns. Transfers towards the host stay with the wire until there is
/// something to tell.
fn dispatch(wire: &Wire, endpoints: Endpoints, firmware: &Sender<Urb>, ccid: Option<&Sender<Vec<u8>>>) {
    while let Ok(urb) = wire.receive() {
        let taken = match (urb.endpoint, ccid) {
            (endpoint, Some(ccid)) if endpoint == endpoints.bulk().0 => {
                let taken = ccid.send(urb.data.clone()).is_ok();
                wire.complete(&urb, Ok(Vec::new()));
                taken
            }
            (endpoint, _) if endpoint & wire::IN != 0 && endpoint != wire::IN => true,
            _ => firmware.send(urb).is_ok(),
        };
        if !taken {
            return;
        }
    }
}

/// Hands reports to the host while it asks for them; what comes while it does not waits in the device.
fn give_input(wire: &Wire, endpoint: u8, hid: &VirtualHid) {
    while wire.wait_for_reader(endpoint) {
        match hid.input(LOOK, Waits::Real) {
            Transfer::Done(report) => wire.push(endpoint, report),
            Transfer::Unplugged => return,
            Transfer::Stalled | Transfer::Silence => {}
        }
    }
}

/// Endpoint 0, and reports that the host sends.
struct Firmware {
    device: UsbDevice,
    wire: Arc<Wire>,
    descriptors: Descriptors,
}

impl Firmware {
    fn serve(&self, requests: &Receiver<Urb>) {
        for urb in requests {
            let done = match self.descriptors.endpoints.hid_of_out(urb.endpoint) {
                Some(number) => output(self.device.hids.get(number), &urb.data),
                None => self.control(&urb),
            };
            match done {
                Transfer::Done(data) => self.wire.complete(&urb, Ok(data)),
                Transfer::Stalled => self.wire.complete(&urb, Err(EPIPE)),
                Transfer::Unplugged => return,
                // The host gives up by itself.
                Transfer::Silence => {}
            }
        }
    }

    /// A request on endpoint 0 (USB 2.0 §9.3; USB HID 1.11 §7.2; USB CCID 1.1 §5.3).
    fn control(&self, urb: &Urb) -> Transfer<Vec<u8>> {
        let [request_type, request, value_low, value_high, index, ..] = urb.setup;
        let hid = self.device.hid(index);
        let nothing = Transfer::Done(Vec::new());
        match (request_type, request) {
            // GET_DESCRIPTOR of the device and of an interface.
            (0x80, 6) => {
                self.descriptors.get(value_high, value_low).map_or(Transfer::Stalled, Transfer::Done)
            }
            (0x81, 6) => match hid {
                Some(hid) if value_high == 0x22 => Transfer::Done(hid.face().descriptor.to_vec()),
                _ => Transfer::Stalled,
            },
            // GET_STATUS; CLEAR_FEATURE, SET_FEATURE, SET_CONFIGURATION, SET_INTERFACE.
            (0x80..=0x82, 0) => Transfer::Done(vec![0, 0]),
            (0x00..=0x02, 1 | 3 | 9 | 11) => nothing,
            // ABORT of the CCID interface: no command is ever stuck.
            (0x21, 1) if self.device.card.is_some() && index == self.device.card_interface() => nothing,
            // SET_IDLE, SET_PROTOCOL.
            (0x21, 0x0A | 0x0B) if hid.is_some() => nothing,
            // GET_REPORT and SET_REPORT: 2 is an output report, 3 a feature report.
            (0xA1, 1) if value_high == 3 => hid.map_or(Transfer::Stalled, |hid| hid.get_feature(Waits::Real)),
            (0x21, 9) if value_high == 3 => match hid {
                Some(hid) => hid.set_feature(&urb.data, Waits::Real).map(|()| Vec::new()),
                None => Transfer::Stalled,
            },
            (0x21, 9) if value_high == 2 => output(hid, &urb.data),
            _ => Transfer::Stalled,
        }
    }
}

fn output(hid: Option<&VirtualHid>, report: &[u8]) -> Transfer<Vec<u8>> {
    match hid {
        // The lights of a keyboard.
        Some(hid) if hid.face().is_keyboard() => Transfer::Done(Vec::new()),
        Some(hid) => hid.output(report, Waits::Real).map(|()| Vec::new()),
        None => Transfer::Stalled,
    }
}
