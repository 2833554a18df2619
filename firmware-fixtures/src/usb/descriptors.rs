//! What a device says of itself when it is plugged in (USB 2.0 §9.6; USB HID 1.11 §6.2.1; USB CCID 1.1 §5.1).
//!
//! Endpoints: the n-th HID interface has number n, counted from 1, in both directions; the card has two more, for bulk transfers and for
//! interrupts. A keyboard has no endpoint for output reports: they come by `SET_REPORT`.

use super::UsbDevice;
use super::wire::IN;

/// Longest packet of an interrupt or bulk endpoint at full speed.
const MAX_PACKET: usize = 64;

/// English (United States).
const LANGUAGE: [u8; 2] = [0x09, 0x04];

/// The addresses of the endpoints.
#[derive(Clone, Copy)]
pub(super) struct Endpoints {
    hids: usize,
}

impl Endpoints {
    /// Input reports of a HID interface.
    pub(super) fn hid_in(self, number: usize) -> u8 {
        (number as u8 + 1) | IN
    }

    /// The HID interface whose output reports come here.
    pub(super) fn hid_of_out(self, endpoint: u8) -> Option<usize> {
        let number = usize::from(endpoint).checked_sub(1)?;
        (number < self.hids).then_some(number)
    }

    /// The card's commands and responses.
    pub(super) fn bulk(self) -> (u8, u8) {
        let number = self.hids as u8 + 1;
        (number, number | IN)
    }

    fn card_interrupt(self) -> u8 {
        self.bulk().1 + 1
    }
}

/// All descriptors of a device but those of reports.
pub(super) struct Descriptors {
    pub(super) endpoints: Endpoints,
    device: Vec<u8>,
    configuration: Vec<u8>,
    /// Manufacturer, product, serial.
    texts: [String; 3],
}

impl Descriptors {
    pub(super) fn of(device: &UsbDevice) -> Self {
        let endpoints = Endpoints { hids: device.hids.len() };
        let serial = device.serial.clone().unwrap_or_default();
        let texts = [device.manufacturer.clone(), device.product.clone(), serial];
        Self {
            endpoints,
            device: device_descriptor(device, &texts),
            configuration: configuration(device, endpoints),
            texts,
        }
    }

    /// A descriptor by type and index.
    pub(super) fn get(&self, kind: u8, index: u8) -> Option<Vec<u8>> {
        match (kind, index) {
            (1, 0) => Some(self.device.clone()),
            (2, 0) => Some(self.configuration.clone()),
            (3, 0) => Some([&[4, 3], LANGUAGE.as_slice()].concat()),
            (3, index) => {
                let text = self.texts.get(usize::from(index) - 1).filter(|text| !text.is_empty())?;
                let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).take(252).collect();
                Some([&[units.len() as u8 + 2, 3], units.as_slice()].concat())
            }
            _ => None,
        }
    }
}

fn device_descriptor(device: &UsbDevice, texts: &[String; 3]) -> Vec<u8> {
    // Length, type, USB 2.0, class by interface, packets of 64 bytes on endpoint 0.
    let mut descriptor = vec![18, 1, 0x00, 0x02, 0, 0, 0, MAX_PACKET as u8];
    for number in [device.vendor_id, device.product_id, device.release] {
        descriptor.extend_from_slice(&number.to_le_bytes());
    }
    let index = |(index, text): (u8, &String)| if text.is_empty() { 0 } else { index };
    descriptor.extend((1..).zip(texts).map(index));
    descriptor.push(1);
    descriptor
}

fn configuration(device: &UsbDevice, endpoints: Endpoints) -> Vec<u8> {
    let interfaces = device.hids.len() + usize::from(device.card.is_some());
    // Bus-powered, 30 mA. The total length comes last.
    let mut all = vec![9, 2, 0, 0, interfaces as u8, 1, 0, 0x80, 15];
    for (number, hid) in device.hids.iter().enumerate() {
        let face = hid.face();
        let keyboard = u8::from(face.is_keyboard());
        let out = !face.is_keyboard();
        // HID; boot interface and keyboard, or neither.
        all.extend([9, 4, face.interface, 0, 1 + u8::from(out), 3, keyboard, keyboard, 0]);
        // HID 1.11, no country, one report descriptor.
        all.extend([9, 0x21, 0x11, 0x01, 0, 1, 0x22]);
        all.extend((face.descriptor.len() as u16).to_le_bytes());
        let packet = face.report_length.clamp(8, MAX_PACKET) as u8;
        all.extend(endpoint(endpoints.hid_in(number), 3, packet, 10));
        if out {
            all.extend(endpoint(endpoints.hid_in(number) & !IN, 3, packet, 10));
        }
    }
    if device.card.is_some() {
        // Smart card, no subclass, bulk transfers.
        all.extend([9, 4, device.card_interface(), 0, 3, 0x0B, 0, 0, 0]);
        all.extend(CCID);
        all.extend(endpoint(endpoints.bulk().0, 2, MAX_PACKET as u8, 0));
        all.extend(endpoint(endpoints.bulk().1, 2, MAX_PACKET as u8, 0));
        all.extend(endpoint(endpoints.card_interrupt(), 3, 8, 32));
    }
    let length = (all.len() as u16).to_le_bytes();
    all[2..4].copy_from_slice(&length);
    all
}

/// Kind 2 is bulk, 3 interrupt; the interval is in milliseconds.
fn endpoint(address: u8, kind: u8, packet: u8, interval: u8) -> [u8; 7] {
    [7, 5, address, kind, packet, 0, interval]
}

/// One slot, 5 V to 1.8 V, T=1, 4 MHz, 307200 bit/s, IFSD 2038; everything automatic, extended APDUs; messages of
/// at most 3072 bytes.
#[rustfmt::skip]
const CCID: [u8; 54] = [
    54, 0x21, 0x10, 0x01, 0, 7, 2, 0, 0, 0,
    0xA0, 0x0F, 0, 0, 0xA0, 0x0F, 0, 0, 0,
    0x00, 0xB0, 0x04, 0, 0x00, 0xB0, 0x04, 0, 0,
    0xF6, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0xFE, 0x00, 0x04, 0x00,
    0x00, 0x0C, 0, 0, 0xFF, 0xFF, 0, 0, 0, 1,
];
