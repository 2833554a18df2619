//! The inside of an emulated card, without threads, time or wires: bytes in, bytes out.
//!
//! It selects applets by AID (ISO/IEC 7816-4:2005 §5.3.1.3, also by the first bytes of it), takes command
//! APDUs apart, and sends long responses in chunks: `61 xx` says that more is there, the applet's own
//! instruction fetches it, and any other command throws it away. Command chaining, secure messaging and
//! logical channels are refused.

use std::any::Any;

use crate::apdu::Command;
use crate::applets::admin::{CanoKeyAdmin, SoloAdmin};
use crate::applets::management::Management;
use crate::applets::otp::Otp;
use crate::applets::ykoath::YkOath;
use crate::applets::{Applet, Refusal, Touch};
use crate::card::Face;
use crate::firmware::{Firmware, Maker};
use crate::status::Status;
use crate::ykotp::Flash;
use crate::ykotp::slots::OtpSlots;

const SELECT: u8 = 0xA4;
const SELECT_BY_NAME: u8 = 0x04;

/// What the card does about a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// It answers: data, then SW1 and SW2.
    Answer(Vec<u8>),
    /// It waits for a touch and has changed nothing yet. Transmit again with the outcome.
    TouchNeeded,
}

/// A card: applets and what is selected.
pub struct Chip {
    face: Face,
    applets: Vec<Box<dyn Applet>>,
    selected: Option<usize>,
    pending: Vec<u8>,
    /// The first applet is the whole card: nothing is selected, and every class is its own.
    whole: bool,
}

impl Chip {
    /// A card with the OATH applet as it leaves the factory.
    #[must_use]
    pub fn new(firmware: Firmware, serial: u32) -> Self {
        Self::with_otp(firmware, serial, Flash::new(OtpSlots::new(firmware, serial)))
    }

    /// The same with OTP slots that another interface of the key shows as well.
    #[must_use]
    pub fn with_otp(firmware: Firmware, serial: u32, slots: Flash) -> Self {
        let mut applets: Vec<Box<dyn Applet>> = vec![Box::new(YkOath::new(firmware, u64::from(serial)))];
        match firmware.maker {
            Maker::Yubico => applets.push(Box::new(Management::new(firmware, serial))),
            Maker::CanoKeys => applets.push(Box::new(CanoKeyAdmin::new(serial))),
            Maker::SoloKeys => applets.push(Box::new(SoloAdmin::new(serial, firmware.version))),
            Maker::VivoKey => {}
        }
        if let Some(otp) = Otp::with_flash(firmware, slots) {
            applets.push(Box::new(otp));
        }
        Self::with_applets(firmware.face(), applets)
    }

    /// A card with these applets.
    #[must_use]
    pub fn with_applets(face: Face, applets: Vec<Box<dyn Applet>>) -> Self {
        Self { face, applets, selected: None, pending: Vec::new(), whole: false }
    }

    /// A card that is one program: it takes every command as it is, without SELECT.
    #[must_use]
    pub fn whole(face: Face, program: Box<dyn Applet>) -> Self {
        Self { whole: true, ..Self::with_applets(face, vec![program]) }
    }

    /// What a reader sees of it.
    #[must_use]
    pub fn face(&self) -> &Face {
        &self.face
    }

    /// Reset, or power off and on: nothing is selected, volatile state is gone, flash stays.
    pub fn reset(&mut self) {
        self.selected = None;
        self.pending.clear();
        for applet in &mut self.applets {
            applet.deselect();
        }
    }

    /// One command APDU in, one response APDU out. Malformed commands get a status.
    pub fn transmit(&mut self, command: &[u8], touch: Touch) -> Reply {
        if self.whole {
            return self.run_whole(command, touch);
        }
        match Command::parse(command, self.face.extended_length) {
            Ok(parsed) => {
                let asked = parsed.asked(command);
                self.run(&parsed, asked, touch)
            }
            Err(status) => Reply::Answer(status.bytes().to_vec()),
        }
    }

    /// The applet that shows a question on its screen.
    pub(crate) fn asking(&mut self) -> Option<&mut dyn Applet> {
        self.applets.iter_mut().find(|applet| applet.asks()).map(AsMut::as_mut)
    }

    /// The first applet of this type.
    pub fn applet_mut<A: Applet>(&mut self) -> Option<&mut A> {
        self.applets.iter_mut().find_map(|applet| {
            let any: &mut dyn Any = applet.as_mut();
            any.downcast_mut()
        })
    }

    fn run_whole(&mut self, command: &[u8], touch: Touch) -> Reply {
        if let Some(answer) = self.applets.first_mut().and_then(|program| program.frame(command)) {
            return Reply::Answer(answer);
        }
        let extended = self.face.extended_length;
        match self.applets.first_mut().map(|program| program.call_whole(command, extended, touch)) {
            Some(Ok(data)) => self.send(data, usize::MAX),
            Some(Err(Refusal::Status(status))) => Reply::Answer(status.bytes().to_vec()),
            Some(Err(Refusal::TouchNeeded)) => Reply::TouchNeeded,
            None => Reply::Answer(Status::WRONG_INS.bytes().to_vec()),
        }
    }

    fn run(&mut self, command: &Command<'_>, asked: usize, touch: Touch) -> Reply {
        // Over a short APDU no more than 256 bytes come back, whatever the card would like.
        let most = if command.extended { self.face.chunk } else { self.face.chunk.min(256) }.max(1);
        let pending = std::mem::take(&mut self.pending);
        let continuation = self.selected_applet().map(|applet| applet.continuation());
        if !pending.is_empty() && command.cla == 0 && Some(command.ins) == continuation {
            return self.send(pending, self.most(asked, most));
        }
        match self.dispatch(command, touch) {
            Ok(data) => self.send(data, self.most(asked, most)),
            Err(Refusal::Status(status)) => Reply::Answer(status.bytes().to_vec()),
            Err(Refusal::TouchNeeded) => Reply::TouchNeeded,
        }
    }

    /// How much may go out at once to a command whose Le asks for so much.
    fn most(&self, asked: usize, most: usize) -> usize {
        let applet = self.selected.and_then(|selected| self.applets.get(selected));
        if applet.is_some_and(|applet| applet.answers_what_le_asks()) { asked } else { most }
    }

    fn dispatch(&mut self, command: &Command<'_>, touch: Touch) -> Result<Vec<u8>, Refusal> {
        if command.cla == 0x00 && command.ins == SELECT && command.p1 == SELECT_BY_NAME {
            return Ok(self.select(command)?);
        }
        match command.cla {
            cla if self.selected_applet().map_or(cla == 0, |applet| applet.knows_class(cla)) => {}
            0x10 => return Err(Status::NO_COMMAND_CHAINING.into()),
            _ => return Err(Status::WRONG_CLA.into()),
        }
        match self.selected_applet() {
            Some(applet) => applet.call(command, touch),
            None => Err(Status::WRONG_INS.into()),
        }
    }

    /// The applet in use stays selected if the wanted one is not there.
    fn select(&mut self, command: &Command<'_>) -> Result<Vec<u8>, Status> {
        if command.p2 != 0 {
            return Err(Status::WRONG_P1_P2);
        }
        let wanted = command.data;
        let found = self.applets.iter().position(|a| !wanted.is_empty() && a.aid().starts_with(wanted));
        let found = found.ok_or(Status::NOT_FOUND)?;
        if self.selected == Some(found) {
            return self.selected_applet().ok_or(Status::NOT_FOUND)?.reselect();
        }
        if let Some(applet) = self.selected_applet() {
            applet.deselect();
        }
        self.selected = Some(found);
        self.selected_applet().ok_or(Status::NOT_FOUND)?.select()
    }

    fn selected_applet(&mut self) -> Option<&mut Box<dyn Applet>> {
        self.applets.get_mut(self.selected?)
    }

    fn send(&mut self, mut data: Vec<u8>, most: usize) -> Reply {
        if data.len() > most {
            let cut = self.selected_applet().map(|applet| applet.cut(&data, most));
            let (length, hint) = cut.unwrap_or((most, u8::MAX));
            self.pending = data.split_off(length.clamp(most.min(1), most));
            data.extend([0x61, hint]);
        } else {
            data.extend(Status::OK.bytes());
        }
        Reply::Answer(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::Credential;

    const SELECT_OATH: &[u8] = &[0, 0xA4, 4, 0, 7, 0xA0, 0, 0, 5, 0x27, 0x21, 1];
    const LIST: &[u8] = &[0, 0xA1, 0, 0];
    const SEND_REMAINING: &[u8] = &[0, 0xA5, 0, 0, 0];

    fn answer(chip: &mut Chip, command: &[u8]) -> Vec<u8> {
        match chip.transmit(command, Touch::NotAsked) {
            Reply::Answer(answer) => answer,
            Reply::TouchNeeded => panic!("wants a touch"),
        }
    }

    fn chip_with_chunks_of(chunk: usize) -> Chip {
        let mut chip = Chip::new(Firmware { chunk, ..Firmware::YUBIKEY_5_4_3 }, 1);
        let oath: &mut YkOath = chip.applet_mut().unwrap();
        oath.install(Credential::totp("alice", b"12345678901234567890"));
        oath.install(Credential::hotp("bob", b"12345678901234567890", 0));
        chip
    }

    #[test]
    fn a_long_response_comes_in_chunks_that_may_split_a_field() {
        let mut chip = chip_with_chunks_of(7);
        assert_eq!(answer(&mut chip, SELECT_OATH)[7..], [0x61, 8]);
        assert_eq!(answer(&mut chip, LIST), [0x72, 6, 0x21, b'a', b'l', b'i', b'c', 0x61, 7]);
        assert_eq!(answer(&mut chip, SEND_REMAINING), [b'e', 0x72, 4, 0x11, b'b', b'o', b'b', 0x90, 0]);
        assert_eq!(answer(&mut chip, SEND_REMAINING), [0x69, 0x85]);
    }

    #[test]
    fn another_command_throws_the_rest_away() {
        let mut chip = chip_with_chunks_of(7);
        answer(&mut chip, SELECT_OATH);
        answer(&mut chip, LIST);
        answer(&mut chip, &[0, 0xFF, 0, 0]);
        assert_eq!(answer(&mut chip, SEND_REMAINING), [0x69, 0x85]);
    }

    #[test]
    fn more_than_256_bytes_go_out_only_over_an_extended_command() {
        let mut chip = chip_with_chunks_of(2000);
        let oath: &mut YkOath = chip.applet_mut().unwrap();
        for number in 0..10 {
            oath.install(Credential::totp(&format!("{number:060}"), b"12345678901234567890"));
        }
        answer(&mut chip, SELECT_OATH);
        assert_eq!(answer(&mut chip, LIST).len(), 256 + 2);
        assert_eq!(answer(&mut chip, &[0, 0xA1, 0, 0, 0, 0, 0]).len(), 8 + 6 + 10 * 63 + 2);
    }

    #[test]
    fn part_of_an_aid_selects_and_an_unknown_one_does_not() {
        let mut chip = Chip::new(Firmware::YUBIKEY_5_4_3, 1);
        assert_eq!(answer(&mut chip, &[0, 0xA4, 4, 0, 5, 0xA0, 0, 0, 5, 0x27])[0], 0x79);
        assert_eq!(answer(&mut chip, &[0, 0xA4, 4, 0, 3, 0xA0, 0, 9]), [0x6A, 0x82]);
        assert_eq!(answer(&mut chip, LIST), [0x90, 0], "the last applet stays selected");
        assert_eq!(answer(&mut chip, &[0, 0xA4, 4, 0]), [0x6A, 0x82]);
    }

    #[test]
    fn nothing_is_selected_after_a_reset() {
        let mut chip = Chip::new(Firmware::YUBIKEY_5_4_3, 1);
        answer(&mut chip, SELECT_OATH);
        chip.reset();
        assert_eq!(answer(&mut chip, LIST), [0x6D, 0]);
    }

    #[test]
    fn what_the_card_does_not_speak_gets_a_status() {
        let mut chip = Chip::new(Firmware::YUBIKEY_5_4_3, 1);
        assert_eq!(answer(&mut chip, &[]), [0x67, 0]);
        assert_eq!(answer(&mut chip, &[0x80, 0xA1, 0, 0]), [0x6E, 0]);
        assert_eq!(answer(&mut chip, &[0x10, 0x01, 0, 0, 1, 0x71]), [0x68, 0x84]);
    }
}
