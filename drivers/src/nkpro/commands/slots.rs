//! Commands about slots. On the wire HOTP slots are 10 to 12 and TOTP slots 20 to 2E (hexadecimal).
//!
//! Configuration: bit 0 says 8 digits; the others are about typing and stay 0. A name has 15 bytes and is never
//! empty. From 0.8 (Storage 0.54) name and secret are sent ahead with `SEND_OTP_DATA`, which repeats what it has
//! gathered, and `WRITE_TO_SLOT` stores it; before, one command writes all.

use super::{Command, malformed};
use crate::error::Error;
use crate::nkpro::frame::{Payload, Request};
use crate::nkpro::pin::Temporary;
use crate::token::SecretBytes;

/// Bytes of a secret in one `SEND_OTP_DATA`.
pub(in crate::nkpro) const PIECE: usize = 30;

/// Bytes of a name.
pub(in crate::nkpro) const NAME: usize = 15;

const EIGHT_DIGITS: u8 = 1;

/// Which piece `SEND_OTP_DATA` carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::nkpro) enum Piece {
    /// The name.
    Name,
    /// Bytes 0 to 29 of the secret.
    First,
    /// Bytes 30 to 39.
    Second,
}

/// `SEND_OTP_DATA`: name and secret on their way, in RAM until `WRITE_TO_SLOT`.
pub(in crate::nkpro) struct SendOtpData<'a> {
    pub(in crate::nkpro) temporary: &'a Temporary,
    pub(in crate::nkpro) piece: Piece,
    pub(in crate::nkpro) data: &'a [u8],
}

impl Command for SendOtpData<'_> {
    const NAME: &'static str = "SEND_OTP_DATA";
    const ID: u8 = 0x17;
    /// Whether bytes lie behind the first piece: left there by somebody who sent more and wrote nothing.
    type Response = bool;

    fn fill(&self, request: &mut Request) {
        let (kind, id) = match self.piece {
            Piece::Name => (b'N', 0),
            Piece::First => (b'S', 0),
            Piece::Second => (b'S', 1),
        };
        request.put(1, self.temporary.expose());
        request.put(26, &[kind, id]);
        request.put(28, self.data.get(..PIECE).unwrap_or(self.data));
    }

    fn changes(&self) -> bool {
        // Sent again, it writes the same to the same place.
        false
    }

    fn decode(&self, payload: &Payload) -> Result<bool, Error> {
        if payload.is_zero() && self.data.iter().any(|byte| *byte != 0) {
            // A Storage that hides refusals repeats nothing.
            return Err(Error::Locked);
        }
        let gathered: [u8; 40] = payload.array(0);
        let (at, length) = match self.piece {
            Piece::Name => (0, NAME),
            Piece::First => (0, PIECE),
            Piece::Second => (PIECE, 40 - PIECE),
        };
        let padded = self.data.iter().copied().chain(std::iter::repeat(0));
        if !gathered.iter().copied().skip(at).take(length).eq(padded.take(length)) {
            return Err(malformed::<Self>("not what was sent", at));
        }
        Ok(self.piece == Piece::First && gathered.iter().skip(PIECE).any(|byte| *byte != 0))
    }
}

/// `WRITE_TO_SLOT` from 0.8 (Storage 0.54): stores what was sent ahead.
pub(in crate::nkpro) struct WriteToSlot<'a> {
    pub(in crate::nkpro) temporary: &'a Temporary,
    pub(in crate::nkpro) slot: u8,
    /// HOTP: the counter. TOTP: seconds in a step.
    pub(in crate::nkpro) number: u64,
    pub(in crate::nkpro) eight_digits: bool,
}

impl Command for WriteToSlot<'_> {
    const NAME: &'static str = "WRITE_TO_SLOT";
    const ID: u8 = 0x01;
    type Response = ();

    fn fill(&self, request: &mut Request) {
        request.put(1, self.temporary.expose());
        request.put(26, &[self.slot]);
        request.put(27, &self.number.to_le_bytes());
        request.put(35, &[u8::from(self.eight_digits) * EIGHT_DIGITS]);
    }

    fn changes(&self) -> bool {
        true
    }

    fn decode(&self, _payload: &Payload) -> Result<(), Error> {
        Ok(())
    }
}

/// `WRITE_TO_SLOT` up to 0.7 (Storage 0.53): everything at once.
pub(in crate::nkpro) struct WriteAtOnce<'a> {
    pub(in crate::nkpro) slot: u8,
    pub(in crate::nkpro) name: &'a [u8],
    pub(in crate::nkpro) secret: &'a SecretBytes,
    pub(in crate::nkpro) eight_digits: bool,
    /// HOTP: the counter. TOTP: seconds in a step. As the device wants it.
    pub(in crate::nkpro) number: [u8; 8],
}

impl Command for WriteAtOnce<'_> {
    const NAME: &'static str = "WRITE_TO_SLOT";
    const ID: u8 = 0x01;
    type Response = ();

    fn fill(&self, request: &mut Request) {
        request.put(1, &[self.slot]);
        request.put(2, self.name.get(..NAME).unwrap_or(self.name));
        request.put(17, self.secret.expose().get(..20).unwrap_or(self.secret.expose()));
        request.put(37, &[u8::from(self.eight_digits) * EIGHT_DIGITS]);
        request.put(51, &self.number);
    }

    fn changes(&self) -> bool {
        true
    }

    fn decode(&self, _payload: &Payload) -> Result<(), Error> {
        Ok(())
    }
}

/// `READ_SLOT_NAME`, to learn whether a slot is programmed.
pub(in crate::nkpro) struct ReadSlotName {
    pub(in crate::nkpro) slot: u8,
}

impl Command for ReadSlotName {
    const NAME: &'static str = "READ_SLOT_NAME";
    const ID: u8 = 0x02;
    type Response = ();

    fn fill(&self, request: &mut Request) {
        request.put(1, &[self.slot]);
    }

    fn changes(&self) -> bool {
        false
    }

    fn decode(&self, _payload: &Payload) -> Result<(), Error> {
        Ok(())
    }
}

/// `READ_SLOT`: everything but the secret.
pub(in crate::nkpro) struct ReadSlot {
    pub(in crate::nkpro) slot: u8,
}

/// What `READ_SLOT` tells.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::nkpro) struct SlotRead {
    pub(in crate::nkpro) name: [u8; NAME],
    pub(in crate::nkpro) digits: u8,
    /// HOTP: the counter, where it is not told in digits. TOTP: seconds in a step.
    pub(in crate::nkpro) number: u64,
}

impl Command for ReadSlot {
    const NAME: &'static str = "READ_SLOT";
    const ID: u8 = 0x03;
    type Response = SlotRead;

    fn fill(&self, request: &mut Request) {
        // A Storage from 0.54 is asked for a binary counter; others do not look there.
        request.put(1, &[self.slot, 1]);
    }

    fn changes(&self) -> bool {
        false
    }

    fn decode(&self, payload: &Payload) -> Result<SlotRead, Error> {
        Ok(SlotRead { name: payload.array(0), digits: digits(payload.byte(15)), number: payload.u64(29) })
    }
}

fn digits(config: u8) -> u8 {
    if config & EIGHT_DIGITS == 0 { 6 } else { 8 }
}

/// `GET_CODE`: the next HOTP passcode, or the TOTP passcode by the device's clock.
pub(in crate::nkpro) struct GetCode<'a> {
    pub(in crate::nkpro) slot: u8,
    /// The device counts on, or lets itself be asked only once.
    pub(in crate::nkpro) once: bool,
    /// Stands in for the user PIN, from 0.8 (Storage 0.54).
    pub(in crate::nkpro) temporary: Option<&'a Temporary>,
}

/// A passcode as the device tells it.
pub(in crate::nkpro) struct Code {
    pub(in crate::nkpro) text: String,
    /// The reply is zeros only: 000000 from a slot without a configuration, or nothing at all.
    pub(in crate::nkpro) empty: bool,
}

impl Command for GetCode<'_> {
    const NAME: &'static str = "GET_CODE";
    const ID: u8 = 0x04;
    type Response = Code;

    fn fill(&self, request: &mut Request) {
        request.put(1, &[self.slot]);
        if let Some(temporary) = self.temporary {
            request.put(19, temporary.expose());
        }
    }

    fn changes(&self) -> bool {
        self.once
    }

    fn decode(&self, payload: &Payload) -> Result<Code, Error> {
        let (code, digits) = (payload.u32(0), digits(payload.byte(4)));
        let text = format!("{code:0width$}", width = usize::from(digits));
        if text.len() != usize::from(digits) {
            return Err(malformed::<Self>("a number with too many digits", 0));
        }
        Ok(Code { text, empty: payload.is_zero() })
    }
}

/// `ERASE_SLOT`.
pub(in crate::nkpro) struct EraseSlot<'a> {
    pub(in crate::nkpro) slot: u8,
    /// In the command from 0.8 (Storage 0.54).
    pub(in crate::nkpro) temporary: Option<&'a Temporary>,
}

impl Command for EraseSlot<'_> {
    const NAME: &'static str = "ERASE_SLOT";
    const ID: u8 = 0x06;
    type Response = ();

    fn fill(&self, request: &mut Request) {
        request.put(1, &[self.slot]);
        if let Some(temporary) = self.temporary {
            request.put(2, temporary.expose());
        }
    }

    fn changes(&self) -> bool {
        true
    }

    fn decode(&self, _payload: &Payload) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nkpro::commands::tests::{frame_of, owned, reply_to};

    fn send(piece: Piece, data: &[u8], body: &str, crc: &str, reply: (&str, &str)) -> Result<bool, String> {
        let temporary = &Temporary::from_text("TMPPW");
        let command = SendOtpData { temporary, piece, data };
        assert_eq!(frame_of(&command), owned((body, crc)));
        reply_to(&command, reply.0, reply.1)
    }

    #[test]
    fn name_and_secret_are_sent_ahead_and_repeated() {
        let sent = send(
            Piece::Name,
            b"rfc",
            "17544d50505700000000000000000000000000000000000000004e00726663",
            "4c2b0e18",
            ("00174c2b0e1800726663", "6788aa56"),
        );
        assert_eq!(sent, Ok(false));
        let sent = send(
            Piece::First,
            b"12345678901234567890",
            "17544d505057000000000000000000000000000000000000000053003132333435363738393031323334353637383930",
            "ef2644ef",
            ("0017ef2644ef003132333435363738393031323334353637383930", "b0ddab3e"),
        );
        assert_eq!(sent, Ok(false));
        let sent = send(
            Piece::Second,
            &[0x31; 10],
            "17544d5050570000000000000000000000000000000000000000530131313131313131313131",
            "81bec0b8",
            (
                "001781bec0b80031313131313131313131313131313131313131313131313131313131313131313131313131313131",
                "ce1a6936",
            ),
        );
        assert_eq!(sent, Ok(false));
    }

    #[test]
    fn a_repetition_that_differs_is_not_taken() {
        let temporary = &Temporary::from_text("TMPPW");
        let sent = |piece, data, repeated: &[u8]| {
            let told = SendOtpData { temporary, piece, data }.decode(&Payload::of(repeated));
            told.map_err(|error| error.to_string())
        };
        let another = "SEND_OTP_DATA: malformed reply: not what was sent at byte 7".to_owned();
        assert_eq!(sent(Piece::Name, b"rf", b"rfc"), Err(another.clone()));
        assert_eq!(sent(Piece::First, b"rfc", b"rf"), Err(another));
        let locked = "the token is locked: it asks for its access code".to_owned();
        assert_eq!(sent(Piece::Name, b"rfc", b""), Err(locked));
        // Ten bytes of somebody else's secret.
        let left = [&[b's'; 30][..], &[b'o'; 10]].concat();
        assert_eq!(sent(Piece::First, &[b's'; 30], &left), Ok(true));
        assert_eq!(sent(Piece::Second, &[], &[b's'; 30]), Ok(false));
    }

    #[test]
    fn slots_are_written_as_the_maker_s_library_writes_them() {
        let temporary = &Temporary::from_text("TMPPW");
        let hotp = WriteToSlot { temporary, slot: 0x10, number: 0, eight_digits: true };
        let frame = "01544d505057000000000000000000000000000000000000000010000000000000000001";
        assert_eq!(frame_of(&hotp), owned((frame, "652e3455")));
        assert_eq!(reply_to(&hotp, "0001652e3455", "1ad38022"), Ok(()));
        let totp = WriteToSlot { temporary, slot: 0x22, number: 30, eight_digits: false };
        let frame = "01544d5050570000000000000000000000000000000000000000221e";
        assert_eq!(frame_of(&totp), owned((frame, "861ccb99")));
    }

    #[test]
    fn a_slot_of_0_7_is_written_in_one_command() {
        let secret = SecretBytes::new(b"12345678901234567890".to_vec());
        let number = 7_u64.to_le_bytes();
        let write = WriteAtOnce { slot: 0x10, name: b"rfc", secret: &secret, eight_digits: true, number };
        let frame = "0110726663000000000000000000000000\
                     3132333435363738393031323334353637383930\
                     010000000000000000000000000007";
        assert_eq!(frame_of(&write).0, frame);
    }

    #[test]
    fn passcodes_keep_their_zeros() {
        let get = GetCode { slot: 0x10, once: true, temporary: None };
        assert_eq!(frame_of(&get), owned(("0410", "c67f0275")));
        let code = |body, crc| reply_to(&get, body, crc).map(|code| code.text);
        assert_eq!(code("0004c67f02750018430d0501", "25021c5d").as_deref(), Ok("84755224"));
        assert_eq!(code("0004c67f027500eab49e0501", "3cb10c63").as_deref(), Ok("94287082"));
        let empty = "GET_CODE refused: 0003 (slot not programmed)".to_owned();
        assert_eq!(code("0004c67f027503", "e50c8348"), Err(empty));
        let totp = GetCode { slot: 0x22, once: false, temporary: None };
        assert_eq!(frame_of(&totp), owned(("0422", "75485d86")));
        let told = reply_to(&totp, "000475485d8600297905", "7be2b7e6").map(|code| (code.text, code.empty));
        assert_eq!(told, Ok(("358697".to_owned(), false)));
    }

    #[test]
    fn slots_are_read_and_erased() {
        assert_eq!(frame_of(&ReadSlotName { slot: 0x10 }), owned(("0210", "3ae26197")));
        let name = reply_to(&ReadSlotName { slot: 0x10 }, "00023ae2619700726663", "c2981a6a");
        assert_eq!(name, Ok(()));
        let temporary = Temporary::from_text("TMPPW");
        let erase = EraseSlot { slot: 0x10, temporary: Some(&temporary) };
        assert_eq!(frame_of(&erase), owned(("0610544d505057", "a6d66362")));
        assert_eq!(reply_to(&erase, "0006a6d66362", "cf1a349d"), Ok(()));
        let refused = "the token is locked: it asks for its access code".to_owned();
        assert_eq!(reply_to(&erase, "0006a6d6636205", "165bf127"), Err(refused));
    }
}
