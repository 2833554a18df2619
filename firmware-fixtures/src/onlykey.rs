//! An emulated OnlyKey: passwords and TOTP behind six buttons, typed as a keyboard; only the raw HID side is here.
//!
//! Reports of 64 bytes, both ways. The host sends `FF FF FF FF type slot field payload`, the device answers in ASCII,
//! padded with zeros:
//!
//! | type | what | answers |
//! |---|---|---|
//! | E4 | connect, with the Unix time (4 bytes, most significant first) | `UNLOCKED` and the version, or `UNINITIALIZED` and the version |
//! | E5 | labels | one report per slot, 20 ms apart: number, `\|`, 16 bytes of label |
//! | E6 | set a field of a slot: 1 label, 5 password, 8 type of second factor, 9 TOTP key | `Successfully set ...` |
//! | E7 | wipe a slot, with everything in it | `Successfully wiped ...`, ten times |
//!
//! Numbers from 10 on are told with 6 added. The clock is set by the first E4 after power came, and by no later one.
//! A locked device answers E5 to E7 with `Error device locked`, E4 with nothing, and says `INITIALIZED` every second
//! by itself. The length of a TOTP key is not sent: it ends before the first four zeros in a row.
//!
//! Source: trustcrypto/libraries 20e1623, `onlykey/okcore.cpp`; OnlyKey-Firmware 9600daa.

use std::collections::VecDeque;
use std::time::Duration;

use crate::credential::Hash;
use crate::hid::{HidChip, Moment, Stall, VirtualHid};
use crate::otp;

pub use model::{OnlyKeyModel, Pin};
pub use specimen::OnlyKeySpecimen;

mod model;
mod specimen;
#[cfg(test)]
mod tests;

/// Bytes of a report.
const REPORT: usize = 64;
/// Bytes of a label.
const LABEL: usize = 16;
/// Type of second factor: TOTP.
const TOTP: u8 = b'g';
/// How often a locked device says so.
const BEAT: Duration = Duration::from_secs(1);

/// What one slot holds, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// 16 bytes; `FF` as long as nothing was written.
    pub label: Vec<u8>,
    /// `g` for TOTP, 0 for none.
    pub second_factor: u8,
    /// TOTP key, as long as the device took it to be.
    pub key: Vec<u8>,
    /// Password.
    pub password: Vec<u8>,
}

/// The inside of the device.
#[derive(Debug)]
pub struct OnlyKey {
    model: OnlyKeyModel,
    // Flash.
    slots: Vec<Slot>,
    pin: Pin,
    /// The owner wants config mode for every change of a slot.
    protects_keys: bool,
    // Volatile.
    unlocked: bool,
    config_mode: bool,
    /// Unix time minus the device's own.
    clock: Option<u64>,
    answers: VecDeque<(Duration, Vec<u8>)>,
    next_beat: Duration,
}

impl OnlyKey {
    /// An unlocked device with empty slots, plugged in.
    #[must_use]
    pub fn new(model: OnlyKeyModel) -> Self {
        let empty = Slot { label: vec![0xFF; LABEL], ..Slot::default() };
        Self {
            model,
            slots: vec![empty; model.slots],
            pin: model.pin,
            protects_keys: false,
            unlocked: true,
            config_mode: false,
            clock: None,
            answers: VecDeque::new(),
            next_beat: Duration::ZERO,
        }
    }

    /// The device as something to plug in.
    #[must_use]
    pub fn plug(model: OnlyKeyModel) -> VirtualHid {
        VirtualHid::new(model.face(), Box::new(Self::new(model)))
    }

    /// The slots, from 1 on.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// One of the slots, from 1 on.
    pub fn slot_mut(&mut self, number: u8) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(number).checked_sub(1)?)
    }

    /// The human enters the PIN, or locks the device.
    pub fn set_unlocked(&mut self, unlocked: bool) {
        self.unlocked = unlocked;
    }

    /// The human takes the PIN away with everything else, or sets one.
    pub fn set_pin(&mut self, pin: Pin) {
        self.pin = pin;
    }

    /// The owner protects the keys: slots change in config mode only.
    pub fn set_protects_keys(&mut self, protects: bool) {
        self.protects_keys = protects;
    }

    /// The human enters config mode, or leaves it.
    pub fn set_config_mode(&mut self, config_mode: bool) {
        self.config_mode = config_mode;
    }

    /// Whether a host has told the time since power came.
    #[must_use]
    pub fn has_time(&self) -> bool {
        self.clock.is_some()
    }

    /// What the device types for the second factor of a slot at this Unix time, by a clock that runs well.
    #[must_use]
    pub fn types(&self, number: u8, now: u64) -> Option<String> {
        let slot = self.slots.get(usize::from(number).checked_sub(1)?)?;
        if slot.second_factor != TOTP {
            return None;
        }
        if self.clock.is_none() {
            return Some("NOTSET".to_owned());
        }
        let mac = otp::hmac(Hash::Sha1, &slot.key, &(now / 30).to_be_bytes());
        Some(otp::passcode(otp::truncate(&mac), 6))
    }

    fn say(&mut self, text: &str, moment: &Moment) {
        self.answer(text.as_bytes(), moment.now);
    }

    fn answer(&mut self, bytes: &[u8], due: Duration) {
        let mut report = bytes.to_vec();
        report.resize(REPORT, 0);
        self.answers.push_back((due, report));
    }

    fn is_uninitialized(&self) -> bool {
        self.pin == Pin::NotSet
    }

    fn connect(&mut self, report: &[u8; REPORT], moment: &Moment) {
        let version = self.model.version_text();
        if self.is_uninitialized() {
            self.say(&format!("UNINITIALIZED{version}"), moment);
        } else if self.unlocked {
            self.say(&format!("UNLOCKED{version}"), moment);
            if self.clock.is_none() && !self.config_mode {
                let [_, _, _, _, _, a, b, c, d, ..] = *report;
                let told = u64::from(u32::from_be_bytes([a, b, c, d]));
                self.clock = Some(told.wrapping_sub(moment.now.as_secs()));
            }
        }
    }

    fn tell_labels(&mut self, moment: &Moment) {
        let mut due = moment.now;
        for (index, slot) in (1_u8..).zip(self.slots.clone()) {
            let number = if index <= 9 { index } else { index + 6 };
            self.answer(&[&[number, b'|'], slot.label.as_slice()].concat(), due);
            due += Duration::from_millis(20);
        }
    }

    fn set_field(&mut self, report: &[u8; REPORT], moment: &Moment) {
        let [_, _, _, _, _, number, field, payload @ ..] = report;
        let length = length(payload);
        let without_pin = self.pin == Pin::None;
        let Some(slot) = self.slot_mut(*number) else { return };
        let said = match field {
            1 => {
                slot.label = payload[..LABEL].to_vec();
                "Successfully set Label"
            }
            5 if without_pin && slot.second_factor != 0 => {
                "Error MFA already enabled on this slot, device PIN required"
            }
            5 => {
                slot.password = payload[..length].to_vec();
                "Successfully set Password"
            }
            8 | 9 if without_pin && !slot.password.is_empty() => {
                "Error password already enabled on this slot, device PIN required"
            }
            8 => {
                slot.second_factor = payload[0];
                "Successfully set 2FA Type"
            }
            9 => {
                slot.key = payload[..length].to_vec();
                slot.second_factor = TOTP;
                "Successfully set 2FA Key"
            }
            _ => return,
        };
        self.say(said, moment);
    }

    fn wipe(&mut self, number: u8, moment: &Moment) {
        if let Some(slot) = self.slot_mut(number) {
            *slot = Slot { label: vec![0; LABEL], ..Slot::default() };
            for what in [
                "Label",
                "URL",
                "Additional Characters",
                "Delay 1",
                "Username",
                "Delay 2",
                "Password",
                "Delay 3",
                "2FA Type",
                "2FA Key",
            ] {
                self.say(&format!("Successfully wiped {what}"), moment);
            }
        }
    }
}

/// How long the device takes a payload to be: up to the first four zeros in a row. What lies behind the report is
/// assumed to be zero.
fn length(payload: &[u8]) -> usize {
    let zeros = |at: usize| payload.iter().skip(at).take(4).all(|byte| *byte == 0);
    (0..payload.len()).find(|at| zeros(*at)).unwrap_or(payload.len())
}

impl HidChip for OnlyKey {
    fn output(&mut self, report: &[u8], moment: &mut Moment) -> Result<(), Stall> {
        let Ok(report) = <&[u8; REPORT]>::try_from(report) else { return Err(Stall) };
        let [_, _, _, _, kind, number, field, ..] = *report;
        match kind {
            0xE4 => self.connect(report, moment),
            // Wipe mode and backup mode may be set before there is a PIN; they are not emulated.
            0xE6 if [12, 20].contains(&field) => {}
            0xE5..=0xE7 if self.is_uninitialized() => {
                self.say("Error OnlyKey must be initialized first", moment);
            }
            0xE5..=0xE7 if !self.unlocked => self.say("Error device locked", moment),
            // Key labels (`k`) are not emulated.
            0xE5 if number == b'k' => {}
            0xE5 => self.tell_labels(moment),
            0xE6 if self.protects_keys && !self.config_mode => self.say("Error not in config mode", moment),
            0xE6 => self.set_field(report, moment),
            0xE7 => self.wipe(number, moment),
            // FIDO and the rest.
            _ => {}
        }
        Ok(())
    }

    fn input(&mut self, moment: &mut Moment) -> Option<Vec<u8>> {
        if !self.unlocked && !self.is_uninitialized() && moment.now >= self.next_beat {
            self.next_beat = moment.now + BEAT;
            let said = if self.model.slots > 12 { "INITIALIZED-D" } else { "INITIALIZED" };
            self.answer(said.as_bytes(), moment.now);
        }
        let due = self.answers.front().is_some_and(|(due, _)| *due <= moment.now);
        if due { self.answers.pop_front().map(|(_, report)| report) } else { None }
    }

    /// Power was lost: the clock with it. That the PIN must be entered anew is left to the test.
    fn reset(&mut self) {
        self.clock = None;
        self.config_mode = false;
        self.answers.clear();
        self.next_beat = Duration::ZERO;
    }
}
