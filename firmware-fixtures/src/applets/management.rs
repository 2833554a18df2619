//! The management applet: which key this is (Yubico, "Management application").
//!
//! SELECT answers text with the firmware version. READ CONFIG (`00 1D page 00`) answers one byte of length and
//! then fields: 01/03 USB capabilities supported and enabled, 02 serial, 04 form factor, 05 version, 06 to 08
//! settings, 0A locked, 0D/0E the same for NFC, 10 says that another page follows. Keys before 4.1 know no
//! READ CONFIG. Writing is not emulated.

use crate::apdu::Command;
use crate::applets::{Applet, Refusal, Touch};
use crate::firmware::{DeviceConfig, Firmware};
use crate::status::Status;
use crate::tlv::push;

const READ_CONFIG: u8 = 0x1D;
const MORE_PAGES: u8 = 0x10;

/// The applet that tells serial and version.
#[derive(Debug)]
pub struct Management {
    firmware: Firmware,
    serial: u32,
}

impl Management {
    /// The applet of one key.
    #[must_use]
    pub fn new(firmware: Firmware, serial: u32) -> Self {
        Self { firmware, serial }
    }
}

/// What READ CONFIG answers for a page: one byte of length and then fields. `None` if there is no such page.
#[must_use]
pub fn device_info(firmware: Firmware, serial: u32, page: u8) -> Option<Vec<u8>> {
    let config = firmware.config?;
    let fields = match page {
        0 => first_page(&config, firmware.version, serial),
        1 if config.second_page => second_page(firmware.version),
        _ => return None,
    };
    let mut out = vec![fields.len() as u8];
    out.extend(fields);
    Some(out)
}

fn first_page(config: &DeviceConfig, version: [u8; 3], serial: u32) -> Vec<u8> {
    let mut fields = Vec::new();
    push(&mut fields, 0x01, &config.usb.to_be_bytes());
    push(&mut fields, 0x02, &serial.to_be_bytes());
    push(&mut fields, 0x03, &config.usb.to_be_bytes());
    if let Some(form_factor) = config.form_factor {
        push(&mut fields, 0x04, &[form_factor]);
        push(&mut fields, 0x05, &version);
    }
    push(&mut fields, 0x06, &[0, 0]);
    push(&mut fields, 0x07, &[15]);
    push(&mut fields, 0x08, &[0]);
    push(&mut fields, 0x0A, &[0]);
    if let Some(nfc) = config.nfc {
        push(&mut fields, 0x0D, &nfc.to_be_bytes());
        push(&mut fields, 0x0E, &nfc.to_be_bytes());
    }
    if config.second_page {
        push(&mut fields, MORE_PAGES, &[1]);
    }
    fields
}

/// No bit of FIPS capability (14) or approval (15), PIN complexity (16) off, nothing blocked (18), and the
/// version qualifier (19) of a final release: version, type 2, iteration 0.
fn second_page(version: [u8; 3]) -> Vec<u8> {
    let mut qualifier = Vec::new();
    push(&mut qualifier, 0x01, &version);
    push(&mut qualifier, 0x02, &[2]);
    push(&mut qualifier, 0x03, &[0, 0, 0, 0]);
    let mut fields = Vec::new();
    push(&mut fields, 0x14, &[0, 0]);
    push(&mut fields, 0x15, &[0, 0]);
    push(&mut fields, 0x16, &[0]);
    push(&mut fields, 0x18, &[0, 0]);
    push(&mut fields, 0x19, &qualifier);
    fields
}

impl Applet for Management {
    fn aid(&self) -> &'static [u8] {
        &[0xA0, 0x00, 0x00, 0x05, 0x27, 0x47, 0x11, 0x17]
    }

    fn select(&mut self) -> Result<Vec<u8>, Status> {
        Ok(format!("Virtual mgr - FW version {}", self.firmware.version_text()).into_bytes())
    }

    fn deselect(&mut self) {}

    fn call(&mut self, command: &Command<'_>, _touch: Touch) -> Result<Vec<u8>, Refusal> {
        if command.ins != READ_CONFIG || self.firmware.config.is_none() {
            return Err(Status::WRONG_INS.into());
        }
        let page = device_info(self.firmware, self.serial, command.p1).filter(|_| command.p2 == 0);
        Ok(page.ok_or(self.firmware.wrong_parameters)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(firmware: Firmware, page: u8) -> Result<Vec<u8>, Refusal> {
        let command = Command { cla: 0, ins: READ_CONFIG, p1: page, p2: 0, data: &[], extended: false };
        Management::new(firmware, 0x0102_0304).call(&command, Touch::NotAsked)
    }

    #[test]
    fn the_first_page_tells_serial_version_and_capabilities() {
        let expected = [
            0x2C, 1, 2, 0x03, 0x3B, 2, 4, 1, 2, 3, 4, 3, 2, 0x03, 0x3B, 4, 1, 1, 5, 3, 5, 4, 3, 6, 2, 0, 0,
            7, 1, 15, 8, 1, 0, 0x0A, 1, 0, 0x0D, 2, 0x03, 0x3B, 0x0E, 2, 0x03, 0x3B,
        ];
        let page = read(Firmware::YUBIKEY_5_4_3, 0).unwrap();
        assert_eq!(page[1..], expected[1..]);
        assert_eq!(usize::from(page[0]), page.len() - 1);
    }

    #[test]
    fn firmware_5_7_announces_its_second_page() {
        let first = read(Firmware::YUBIKEY_5_7_1, 0).unwrap();
        assert!(first.ends_with(&[MORE_PAGES, 1, 1]));
        let second = read(Firmware::YUBIKEY_5_7_1, 1).unwrap();
        assert_eq!(usize::from(second[0]), second.len() - 1);
        let refused = Err(Refusal::Status(Status::WRONG_PARAMETERS));
        assert_eq!(read(Firmware::YUBIKEY_5_7_1, 2), refused);
        assert_eq!(read(Firmware::YUBIKEY_5_4_3, 1), refused);
    }

    #[test]
    fn a_neo_has_no_read_config_but_tells_its_version() {
        let refused = Err(Refusal::Status(Status::WRONG_INS));
        assert_eq!(read(Firmware::YUBIKEY_NEO_3_4_9, 0), refused);
        let mut applet = Management::new(Firmware::YUBIKEY_NEO_3_4_9, 1);
        assert_eq!(applet.select().unwrap(), b"Virtual mgr - FW version 3.4.9");
    }
}
