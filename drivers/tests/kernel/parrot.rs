//! A HID device without a protocol: it keeps its last feature report, and says what it is told.

use std::collections::VecDeque;
use std::io;

use firmware_fixtures::hid::{HidChip, HidFace, Moment, Stall, VirtualHid};
use firmware_fixtures::uhid::UhidDevice;
use firmware_fixtures::usb::{PluggedIn, UsbDevice};
use fobd_drivers::models::{Model, Sight};
use fobd_drivers::transport::hid::HidBus;

const VENDOR: u16 = 0x1209;
const PRODUCT: u16 = 0x0001;
pub(super) const RELEASE: u16 = 0x0543;

/// The table that knows parrots, and nothing else.
const TABLE: &[Model] = &[Model {
    maker: "Example",
    model: "Parrot",
    driver: "parrot",
    sight: Sight::Hid { vendor: VENDOR, products: &[PRODUCT], usage: (0xFF00, 1) },
}];

pub(super) fn bus() -> HidBus {
    HidBus::of_models(TABLE)
}

/// Vendor-defined; 64 bytes in, 64 out, 8 as a feature.
#[rustfmt::skip]
const DESCRIPTOR: &[u8] = &[
    0x06, 0x00, 0xFF, 0x09, 0x01, 0xA1, 0x01,
    0x15, 0x00, 0x26, 0xFF, 0x00, 0x75, 0x08,
    0x09, 0x02, 0x95, 64, 0x81, 0x02,
    0x09, 0x03, 0x95, 64, 0x91, 0x02,
    0x09, 0x04, 0x95, 8, 0xB1, 0x02,
    0xC0,
];

/// The same with 64 bytes as a feature.
#[rustfmt::skip]
const WIDE_DESCRIPTOR: &[u8] = &[
    0x06, 0x00, 0xFF, 0x09, 0x01, 0xA1, 0x01,
    0x15, 0x00, 0x26, 0xFF, 0x00, 0x75, 0x08,
    0x09, 0x02, 0x95, 64, 0x81, 0x02,
    0x09, 0x03, 0x95, 64, 0x91, 0x02,
    0x09, 0x04, 0x95, 64, 0xB1, 0x02,
    0xC0,
];

/// A boot keyboard (USB HID 1.11 appendix B.1).
#[rustfmt::skip]
const KEYBOARD: &[u8] = &[
    0x05, 0x01, 0x09, 0x06, 0xA1, 0x01,
    0x05, 0x07, 0x19, 0xE0, 0x29, 0xE7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02,
    0x95, 0x01, 0x75, 0x08, 0x81, 0x01,
    0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x01,
    0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x25, 0x65, 0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x81, 0x00,
    0xC0,
];

/// What the parrot keeps.
#[derive(Default)]
pub(super) struct Parrot {
    pub(super) feature: Vec<u8>,
    pub(super) heard: Vec<Vec<u8>>,
    to_say: VecDeque<Vec<u8>>,
}

impl HidChip for Parrot {
    fn set_feature(&mut self, report: &[u8], _: &mut Moment) -> Result<(), Stall> {
        self.feature = report.to_vec();
        Ok(())
    }

    fn get_feature(&mut self, _: &mut Moment) -> Result<Vec<u8>, Stall> {
        Ok(self.feature.clone())
    }

    fn output(&mut self, report: &[u8], _: &mut Moment) -> Result<(), Stall> {
        self.heard.push(report.to_vec());
        self.to_say.push_back(report.to_vec());
        Ok(())
    }

    fn input(&mut self, _: &mut Moment) -> Option<Vec<u8>> {
        self.to_say.pop_front()
    }

    fn reset(&mut self) {
        self.to_say.clear();
    }
}

fn device(face: HidFace) -> VirtualHid {
    let parrot = Parrot { feature: vec![0; face.feature_length], ..Parrot::default() };
    VirtualHid::new(face, Box::new(parrot))
}

fn face(serial: &str) -> HidFace {
    HidFace {
        model: "parrot",
        vendor_id: VENDOR,
        product_id: PRODUCT,
        release: RELEASE,
        manufacturer: "Example",
        product: "Parrot",
        serial: Some(serial.to_owned()),
        interface: 0,
        usage: (0xFF00, 1),
        descriptor: DESCRIPTOR,
        feature_length: 8,
        report_length: 64,
    }
}

pub(super) fn parrot(serial: &str) -> VirtualHid {
    device(face(serial))
}

/// A parrot with feature reports of 64 bytes.
pub(super) fn wide_parrot(serial: &str) -> VirtualHid {
    device(HidFace { descriptor: WIDE_DESCRIPTOR, feature_length: 64, ..face(serial) })
}

/// Somebody's keyboard, with the ids and the usage that are asked for.
pub(super) fn keyboard(vendor_id: u16, product_id: u16) -> VirtualHid {
    device(HidFace {
        model: "keyboard",
        vendor_id,
        product_id,
        product: "Keyboard",
        usage: (1, 6),
        descriptor: KEYBOARD,
        report_length: 8,
        ..face("")
    })
}

/// By which door a device enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Uhid,
    Usb,
}

pub(super) const WAYS: [Way; 2] = [Way::Uhid, Way::Usb];

/// A device that is in; dropping it pulls it out.
pub(super) enum Inserted {
    Uhid(#[expect(dead_code, reason = "held")] UhidDevice),
    Usb(#[expect(dead_code, reason = "held")] PluggedIn),
}

impl Way {
    pub(super) fn insert(self, device: &VirtualHid) -> io::Result<Inserted> {
        match self {
            Self::Uhid => UhidDevice::attach(device).map(Inserted::Uhid),
            Self::Usb => UsbDevice::of_hid(device).plug_in().map(Inserted::Usb),
        }
    }
}
