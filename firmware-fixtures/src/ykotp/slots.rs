//! The two slots of a key and the commands on them, whichever door they come by.
//!
//! | command | name | payload | answer |
//! |---|---|---|---|
//! | 01, 03 | CONFIG 1, 2 | configuration (zeros: delete), then the current access code | |
//! | 04, 05 | UPDATE 1, 2 | the same; only some flags and the code are taken | |
//! | 06 | SWAP | | |
//! | 08, 09 | NDEF 1, 2 | length, type, 54 bytes, access code | |
//! | 10 | DEVICE SERIAL | | 4 bytes |
//! | 11 | DEVICE CONFIG | mode, challenge timeout, eject timeout (2) | |
//! | 12 | SCAN MAP | 45 codes, access code | |
//! | 13 | DEVICE INFO | page | length and data objects |
//! | 14 | FIPS MODE | | 1 byte |
//! | 15 | SET DEVICE INFO | length and data objects | |
//! | 30, 38 | CHALLENGE HMAC 1, 2 | 64 bytes | 20 bytes |
//!
//! Not here: 02 (navigation of the YubiKey 1) and 20, 28 (AES challenges). A write that is refused changes nothing.
//!
//! Assumed: a slot without access code takes zeros only as the current one; slots are not swapped while one has a
//! code; after 255 the program sequence goes on with 1; a record or a scan map counts as a write if a slot is in use;
//! the serial is told if no slot is in use or one of them allows it; flags that a firmware is too old for are ignored.

use super::config::{CODE_LENGTH, Config, Function, LENGTH, cfg, ext, tkt};
use super::generation::Generation;
use super::keys;
use crate::applets::Touch;
use crate::applets::management;
use crate::firmware::Firmware;

const NO_CODE: [u8; CODE_LENGTH] = [0; CODE_LENGTH];

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to tell: the status shows what became of it.
    Status,
    /// An answer.
    Answer(Vec<u8>),
    /// It wants to be touched first; call again with the outcome.
    TouchNeeded,
}

/// A slot in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// As the host wrote it.
    pub config: Config,
    /// HOTP: the moving factor of the next passcode.
    pub counter: u64,
}

impl Slot {
    fn new(config: Config) -> Self {
        Self { counter: config.initial_counter(), config }
    }
}

/// The flash of the OTP application of one key.
pub struct OtpSlots {
    firmware: Firmware,
    generation: Generation,
    serial: u32,
    slots: [Option<Slot>; 2],
    sequence: u8,
    ndef: [Option<Vec<u8>>; 2],
    scan_map: Option<Vec<u8>>,
    device_config: Option<[u8; 4]>,
    device_info: Vec<u8>,
}

impl OtpSlots {
    /// Empty slots.
    #[must_use]
    pub fn new(firmware: Firmware, serial: u32) -> Self {
        Self {
            firmware,
            generation: Generation::of(firmware.version),
            serial,
            slots: [None, None],
            sequence: 0,
            ndef: [None, None],
            scan_map: None,
            device_config: None,
            device_info: Vec::new(),
        }
    }

    /// What this firmware can do.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// A slot by its number, 1 or 2; `None` if it is empty.
    #[must_use]
    pub fn slot(&self, number: u8) -> Option<&Slot> {
        self.slots.get(usize::from(number).checked_sub(1)?)?.as_ref()
    }

    /// A slot by its number, to change it past the protocol.
    pub fn slot_mut(&mut self, number: u8) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(number).checked_sub(1)?)?.as_mut()
    }

    /// Writes a slot as another program would have. Numbers other than 1 and 2 mean nothing.
    pub fn install(&mut self, number: u8, config: Config) {
        if let Some(slot) = usize::from(number).checked_sub(1).and_then(|index| self.slots.get_mut(index)) {
            *slot = Some(Slot::new(config));
            self.count_write();
        }
    }

    /// Sets the program sequence, to see how a host takes its end.
    pub fn set_sequence(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// The NDEF record of a slot, as the host wrote it without the access code.
    #[must_use]
    pub fn ndef(&self, number: u8) -> Option<&[u8]> {
        self.ndef.get(usize::from(number).checked_sub(1)?)?.as_deref()
    }

    /// The scan map, if one was written.
    #[must_use]
    pub fn scan_map(&self) -> Option<&[u8]> {
        self.scan_map.as_deref()
    }

    /// Mode and timeouts, if they were written.
    #[must_use]
    pub fn device_config(&self) -> Option<[u8; 4]> {
        self.device_config
    }

    /// The data objects of the last SET DEVICE INFO. They are kept and have no effect.
    #[must_use]
    pub fn device_info_written(&self) -> &[u8] {
        &self.device_info
    }

    /// A human presses the button for a slot: what is typed, Enter and all. An HOTP slot counts on. `None` if the
    /// slot types nothing that is emulated.
    pub fn press(&mut self, number: u8) -> Option<Vec<u8>> {
        let slot = self.slot_mut(number)?;
        let Slot { config, counter } = slot;
        if config.ext & ext::DORMANT != 0 {
            return None;
        }
        let mut typed = Vec::new();
        let has = |flag: u8| config.tkt & flag != 0;
        if has(tkt::TAB_FIRST) {
            typed.push(keys::TAB);
        }
        match config.function() {
            Function::Hotp => {
                typed.extend(keys::of_text(&config.identifier()));
                if has(tkt::APPEND_TAB1) {
                    typed.push(keys::TAB);
                }
                typed.extend(keys::of_text(&config.hotp(*counter)));
                *counter += 1;
            }
            Function::ScanCodes => typed.extend(config.scan_codes()),
            _ => return None,
        }
        if has(tkt::APPEND_TAB2) {
            typed.push(keys::TAB);
        }
        if has(tkt::APPEND_CR) {
            typed.push(keys::ENTER);
        }
        Some(typed)
    }

    /// A human reads the next HOTP passcode off the screen that it was typed to; the slot counts on.
    pub fn read_hotp(&mut self, number: u8) -> Option<String> {
        let slot = self.slot_mut(number).filter(|slot| slot.config.function() == Function::Hotp)?;
        let passcode = slot.config.hotp(slot.counter);
        slot.counter += 1;
        Some(passcode)
    }

    /// The six bytes of status: version, program sequence, touch level.
    #[must_use]
    pub fn status(&self) -> [u8; 6] {
        let [major, minor, patch] = self.firmware.version;
        [major, minor, patch, self.sequence, self.touch_level(), 0]
    }

    fn touch_level(&self) -> u8 {
        let mut level = 0;
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(slot) = slot else { continue };
            if self.generation.hotp {
                level |= 1 << index;
            }
            if self.generation.touch_bits && slot.config.wants_touch() {
                level |= 4 << index;
            }
            if self.generation.inverts_light && slot.config.ext & ext::LED_INV != 0 {
                level |= 0x10;
            }
        }
        level
    }

    /// Runs a command. `payload` is padded to 64 bytes; `touch` says what the human did about it so far.
    pub fn run(&mut self, command: u8, payload: &[u8; 64], touch: Touch) -> Outcome {
        let now = self.generation;
        match command {
            0x01 | 0x03 => self.configure(usize::from(command >> 1), payload),
            0x04 | 0x05 if now.updates => self.update(usize::from(command & 1), payload),
            0x06 if now.updates => self.swap(),
            0x08 | 0x09 if usize::from(command & 1) < now.ndef => {
                self.write_ndef(usize::from(command & 1), payload);
            }
            0x10 if now.challenges => return self.tell_serial(),
            0x11 if now.touch_bits => self.set_device_config(payload),
            0x12 if now.touch_bits => self.write_scan_map(payload),
            0x13 if now.device_info => return self.tell_device_info(payload[0]),
            0x14 if now.fips => {
                let protected = |slot: &Option<Slot>| slot.as_ref().is_some_and(|s| s.config.code != NO_CODE);
                return Outcome::Answer(vec![u8::from(self.slots.iter().all(protected))]);
            }
            0x15 if now.writes_device_info => self.set_device_info(payload),
            0x30 | 0x38 if now.challenges => {
                return self.challenge(usize::from(command == 0x38), payload, touch);
            }
            _ => {}
        }
        Outcome::Status
    }

    fn count_write(&mut self) {
        self.sequence = match self.slots {
            [None, None] => 0,
            _ => self.sequence.checked_add(1).unwrap_or(1),
        };
    }

    /// Whether this code opens what is in the slot.
    fn opens(&self, index: usize, code: &[u8]) -> bool {
        self.slots.get(index).is_some_and(|slot| match slot {
            Some(slot) => slot.config.code == code,
            None => true,
        })
    }

    /// Whether slot 1 keeps others from writing slot 2.
    fn is_kept_by_first(&self, index: usize) -> bool {
        let protects =
            |slot: &Option<Slot>| slot.as_ref().is_some_and(|s| s.config.tkt & tkt::PROTECT_CFG2 != 0);
        index == 1 && protects(&self.slots[0]) && !protects(&self.slots[1])
    }

    fn configure(&mut self, index: usize, payload: &[u8; 64]) {
        let (config, code) = (&payload[..LENGTH], &payload[LENGTH..LENGTH + CODE_LENGTH]);
        if index >= self.generation.slots || !self.opens(index, code) || self.is_kept_by_first(index) {
            return;
        }
        if config.iter().all(|byte| *byte == 0) {
            self.slots[index] = None;
        } else if let Some(config) = Config::parse(config).filter(|config| self.knows(config)) {
            self.slots[index] = Some(Slot::new(config));
        } else {
            return;
        }
        self.count_write();
    }

    /// Whether this firmware has what the configuration asks for.
    fn knows(&self, config: &Config) -> bool {
        match config.function() {
            Function::YubicoOtp | Function::StaticTicket => true,
            Function::ScanCodes => self.generation.slots == 2,
            Function::Hotp => self.generation.hotp,
            Function::HmacChallenge | Function::YubicoChallenge => self.generation.challenges,
        }
    }

    fn update(&mut self, index: usize, payload: &[u8; 64]) {
        let (config, code) = (&payload[..LENGTH], &payload[LENGTH..LENGTH + CODE_LENGTH]);
        let Some(new) = Config::parse(config) else { return };
        if !self.opens(index, code) || self.is_kept_by_first(index) {
            return;
        }
        let updates_code = self.generation.updates_code;
        let Some(Slot { config: old, .. }) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if old.ext & (ext::ALLOW_UPDATE | ext::DORMANT) == 0 {
            return;
        }
        old.ext = new.ext;
        old.tkt = (old.tkt & !tkt::UPDATE) | (new.tkt & tkt::UPDATE);
        old.cfg = (old.cfg & !cfg::UPDATE) | (new.cfg & cfg::UPDATE);
        if updates_code {
            old.code = new.code;
        }
        self.count_write();
    }

    fn swap(&mut self) {
        if self.opens(0, &NO_CODE) && self.opens(1, &NO_CODE) {
            self.slots.swap(0, 1);
            self.count_write();
        }
    }

    fn write_ndef(&mut self, index: usize, payload: &[u8; 64]) {
        let (record, code) = (&payload[..56], &payload[56..56 + CODE_LENGTH]);
        let is_known = matches!(record, [0..=54, b'U' | b'T', ..]);
        if is_known && self.opens(index, code) {
            self.ndef[index] = Some(record.to_vec());
            self.count_write();
        }
    }

    fn tell_serial(&self) -> Outcome {
        let mut used = self.slots.iter().flatten().peekable();
        let told = used.peek().is_none() || used.any(|s| s.config.ext & ext::SERIAL_API_VISIBLE != 0);
        if told { Outcome::Answer(self.serial.to_be_bytes().to_vec()) } else { Outcome::Status }
    }

    fn set_device_config(&mut self, payload: &[u8; 64]) {
        if self.opens(0, &NO_CODE) && self.opens(1, &NO_CODE) {
            self.device_config = payload.first_chunk().copied();
            self.count_write();
        }
    }

    fn write_scan_map(&mut self, payload: &[u8; 64]) {
        let (map, code) = (&payload[..45], &payload[45..45 + CODE_LENGTH]);
        if code == NO_CODE && self.opens(0, code) && self.opens(1, code) {
            self.scan_map = Some(map.to_vec());
            self.count_write();
        }
    }

    fn tell_device_info(&self, page: u8) -> Outcome {
        match management::device_info(self.firmware, self.serial, page) {
            Some(info) => Outcome::Answer(info),
            None => Outcome::Status,
        }
    }

    fn set_device_info(&mut self, payload: &[u8; 64]) {
        let (length, fields) = (usize::from(payload[0]), &payload[1..]);
        if let Some(fields) = fields.get(..length) {
            self.device_info = fields.to_vec();
            self.count_write();
        }
    }

    fn challenge(&self, index: usize, payload: &[u8; 64], touch: Touch) -> Outcome {
        let Some(slot) = self.slots.get(index).and_then(Option::as_ref) else { return Outcome::Status };
        if slot.config.function() != Function::HmacChallenge {
            return Outcome::Status;
        }
        match touch {
            Touch::NotAsked if slot.config.wants_touch() => Outcome::TouchNeeded,
            Touch::TimedOut => Outcome::Status,
            Touch::NotAsked | Touch::Given => Outcome::Answer(slot.config.respond(payload)),
        }
    }
}

#[cfg(test)]
mod tests;
