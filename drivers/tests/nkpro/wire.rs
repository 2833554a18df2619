//! A wire that is listened to, and into which others may speak.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use firmware_fixtures::attach::hid::VirtualHidBus;
use firmware_fixtures::card::Waits;
use firmware_fixtures::hid::{Transfer, VirtualHid};
use firmware_fixtures::nitrokey_pro::{NitrokeyFirmware, NitrokeyPro};
use fobd_drivers::nkpro::NitrokeyProDriver;
use fobd_drivers::token::{Driver, Token};
use fobd_drivers::transport::{Bus, Candidate, Connection, HidConnection, TransportError};

/// What another program does right after our request.
pub(crate) type Intruder = Box<dyn FnMut(&VirtualHid) + Send>;

/// A token, plugged in and listened to.
pub(crate) struct Scene {
    pub(crate) device: NitrokeyPro,
    bus: VirtualHidBus,
    pub(crate) candidate: Candidate,
    log: Arc<Mutex<Vec<Vec<u8>>>>,
    intruder: Arc<Mutex<Option<Intruder>>>,
}

impl Scene {
    pub(crate) fn new(firmware: NitrokeyFirmware) -> Self {
        let device = NitrokeyPro::new(firmware, 0x5F11);
        let bus = VirtualHidBus::new();
        bus.attach(device.hid());
        let candidate = bus.candidates().remove(0);
        Self { device, bus, candidate, log: Arc::default(), intruder: Arc::default() }
    }

    pub(crate) fn open(&self) -> Box<dyn Token> {
        let Connection::Hid(inner) = self.bus.open(&self.candidate).unwrap() else { panic!("not HID") };
        let tap = Tap {
            inner,
            hid: self.device.hid().clone(),
            log: Arc::clone(&self.log),
            intruder: Arc::clone(&self.intruder),
        };
        NitrokeyProDriver.open(&self.candidate, Connection::Hid(Box::new(tap))).unwrap().unwrap()
    }

    /// Lets another program speak from now on.
    pub(crate) fn intrude(&self, intruder: Option<Intruder>) {
        *self.intruder.lock().unwrap() = intruder;
    }

    /// The requests since the last time.
    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    /// Their commands.
    pub(crate) fn commands(&self) -> Vec<u8> {
        self.requests().iter().map(|request| request[0]).collect()
    }
}

struct Tap {
    inner: Box<dyn HidConnection>,
    hid: VirtualHid,
    log: Arc<Mutex<Vec<Vec<u8>>>>,
    intruder: Arc<Mutex<Option<Intruder>>>,
}

impl HidConnection for Tap {
    fn set_feature(&mut self, report: &[u8]) -> Result<(), TransportError> {
        self.log.lock().unwrap().push(report.to_vec());
        self.inner.set_feature(report)?;
        if let Some(intruder) = &mut *self.intruder.lock().unwrap() {
            intruder(&self.hid);
        }
        Ok(())
    }

    fn get_feature(&mut self, length: usize) -> Result<Vec<u8>, TransportError> {
        self.inner.get_feature(length)
    }

    fn write(&mut self, report: &[u8]) -> Result<(), TransportError> {
        self.inner.write(report)
    }

    fn read(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        self.inner.read(timeout)
    }

    fn pause(&mut self, time: Duration) {
        self.inner.pause(time);
    }
}

/// What another program sends: a whole request, once the device is ready. Its answer.
pub(crate) fn another_program(hid: &VirtualHid, command: u8, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut report = vec![0; 60];
    report[0] = command;
    for (at, field) in fields {
        report[*at..at + field.len()].copy_from_slice(field);
    }
    report.extend(crc(&report).to_le_bytes());
    hid.pause(Duration::from_millis(500), Waits::Virtual);
    assert_eq!(hid.set_feature(&report, Waits::Virtual), Transfer::Done(()));
    hid.pause(Duration::from_millis(500), Waits::Virtual);
    match hid.get_feature(Waits::Virtual) {
        Transfer::Done(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// A third reading of the STM32's CRC: CRC-32/MPEG-2 with the bytes of each word swapped.
pub(crate) fn crc(body: &[u8]) -> u32 {
    let swapped = body.chunks(4).flat_map(|word| word.iter().rev());
    swapped.fold(u32::MAX, |mut crc, byte| {
        for bit in (0..8).rev() {
            let feedback = (crc >> 31) ^ u32::from(byte >> bit & 1);
            crc = crc << 1 ^ if feedback == 1 { 0x04C1_1DB7 } else { 0 };
        }
        crc
    })
}
