//! The Protectimus Slim NFC, as far as it is published: INFO, READ OTP and SET TIME, in frames `86 LEN DATA XOR`
//! answered by `AA LEN DATA XOR` (proxmark3, `hf_14a_protectimus_nfc.lua`; SYSS-2021-007).
//!
//! Assumed: the ATR, the answer to SET TIME (the command code), that what it does not understand gets 6E00 as from
//! any card, and the bytes of INFO that nobody has explained (zero).

use crate::apdu::Command;
use crate::applets::{Applet, Refusal, Touch};
use crate::card::{Face, VirtualCard};
use crate::chip::Chip;
use crate::status::Status;

/// A token whose seed its maker's application has written.
#[derive(Clone, Debug)]
pub struct Slim {
    /// 30 or 60 seconds.
    pub time_step: u8,
    /// Its clock, Unix time in seconds, as last set.
    pub clock: u64,
}

impl Slim {
    /// A card of this kind in the field of a reader.
    #[must_use]
    pub fn card(time_step: u8) -> VirtualCard {
        let face = Face {
            model: "protectimus-slim-nfc",
            atr: &[0x3B, 0x80, 0x80, 0x01, 0x01],
            reader: "ACS ACR1252 Dual Reader",
            contactless: true,
            chunk: 256,
            extended_length: false,
        };
        VirtualCard::with_chip(Chip::whole(face, Box::new(Self { time_step, clock: 0 })), "")
    }

    fn answer_to(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        match data {
            [0x10] => {
                let interval = if self.time_step == 60 { 0x10 } else { 0x00 };
                Some(vec![0x10, 0, 70, 10, 1, 0, 1, 0, interval, 0])
            }
            [0x12, 0x00, 0x00, step, a, b, c, d, rest] if rest < step => {
                self.time_step = *step;
                let steps = u32::from_be_bytes([*a, *b, *c, *d]);
                self.clock = u64::from(steps) * u64::from(*step) + u64::from(*rest);
                Some(vec![0x12])
            }
            _ => None,
        }
    }
}

impl Applet for Slim {
    fn aid(&self) -> &'static [u8] {
        &[]
    }

    fn select(&mut self) -> Result<Vec<u8>, Status> {
        Err(Status::NOT_FOUND)
    }

    fn deselect(&mut self) {}

    fn call(&mut self, _command: &Command<'_>, _touch: Touch) -> Result<Vec<u8>, Refusal> {
        Err(Status::WRONG_CLA.into())
    }

    fn frame(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let [0x86, length, data @ .., sum] = bytes else { return None };
        let xor = |data: &[u8]| data.iter().fold(0, |sum, byte| sum ^ byte);
        if usize::from(*length) != data.len() + 1 || *sum != xor(data) {
            return None;
        }
        let data = self.answer_to(data)?;
        let length = u8::try_from(data.len() + 1).ok()?;
        Some([&[0xAA, length][..], &data, &[xor(&data)]].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::{Exchange, Waits};

    fn answer(card: &VirtualCard, command: &[u8]) -> Vec<u8> {
        match card.exchange(command, Waits::Virtual) {
            Exchange::Answer(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_published_frames_are_understood() {
        let card = Slim::card(60);
        card.power_on();
        let info = [0xAA, 0x0B, 0x10, 0, 70, 10, 1, 0, 1, 0, 0x10, 0, 0x10 ^ 70 ^ 10 ^ 1 ^ 1 ^ 0x10];
        assert_eq!(answer(&card, &[0x86, 0x02, 0x10, 0x10]), info);
        let set = [0x86, 0x0A, 0x12, 0x00, 0x00, 0x1E, 0x03, 0x60, 0xAA, 0x2A, 0x14, 0xFB];
        assert_eq!(answer(&card, &set), [0xAA, 0x02, 0x12, 0x12]);
        assert_eq!(card.with_applet(|slim: &mut Slim| slim.clock), Some(1_700_000_000));
    }

    #[test]
    fn what_is_no_frame_is_refused_as_by_any_card() {
        let card = Slim::card(30);
        card.power_on();
        for command in [&[0x86, 0x02, 0x10, 0x11][..], &[0x86, 0x03, 0x10, 0x10], &[0x00, 0xA4, 0x04, 0x00]] {
            assert_eq!(answer(&card, command), [0x6E, 0x00]);
        }
    }
}
