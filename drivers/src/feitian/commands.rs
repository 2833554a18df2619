//! The commands of the applet.
//!
//! | command | INS | data | reply |
//! |---|---|---|---|
//! | SELECT | A4, P1 04 | AID | `59` version, `51` id |
//! | RESET | 07 | | |
//! | DELETE | 08 | `51` name | |
//! | PUT | 09 | `53` hash kind digits secret, `51` name, `5C` touch, `5A` counter | |
//! | LIST | 17 | | per credential `52`: kind and hash, name |
//! | CALCULATE | A2 | `54` challenge, `51` name | `55` digits, HMAC; with P1 01 `76` digits, 4 bytes |
//! | GET DEFAULT | E6 | | nothing, or 3 bytes and a name |
//!
//! P2 is the slot. The length of `53` in PUT is one too small: so two clients write it and real keys take it. A9-3301
//! was recorded with Le after SELECT's data and without Le elsewhere; the client of the ePass gives LIST an Le. That
//! client's value of `5C` is 01, the recorded one 5C.

use zeroize::Zeroizing;

use crate::error::Error;
use crate::iso7816::apdu::Form;
use crate::iso7816::status::StatusWord;
use crate::iso7816::{Command, Malformed, nothing, tlv};
use crate::token::{Algorithm, Kind};

/// Application identifier.
const AID: &[u8] = &[0xD1, 0x56, 0x00, 0x01, 0x32, 0x83, 0x26, 0x01, 0x01];

/// Bytes of a `HyperFIDO`'s secret.
pub(super) const HYPERFIDO_SECRET: usize = 20;

mod tag {
    pub(super) const NAME: u8 = 0x51;
    pub(super) const NAME_LIST: u8 = 0x52;
    pub(super) const KEY: u8 = 0x53;
    pub(super) const CHALLENGE: u8 = 0x54;
    pub(super) const RESPONSE: u8 = 0x55;
    pub(super) const VERSION: u8 = 0x59;
    pub(super) const COUNTER: u8 = 0x5A;
    pub(super) const TOUCH: u8 = 0x5C;
    pub(super) const TRUNCATED: u8 = 0x76;
}

/// Commands end where their data ends.
const FORM: Form = Form { le: None, ..Form::ISO };

/// What statuses mean to every command.
fn general(status: StatusWord) -> Option<Error> {
    match status.0 {
        0x6982 => Some(Error::Locked),
        0x6984 => Some(Error::TouchTimedOut),
        _ => None,
    }
}

/// What SELECT tells; the id is another one after each reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) version: Option<[u8; 3]>,
}

/// SELECT, with Le after the data (`true`, as recorded over a card) or without.
#[derive(Clone, Copy, Debug)]
pub(super) struct Select<const LE: bool>;

impl<const LE: bool> Command for Select<LE> {
    const NAME: &'static str = "SELECT";
    const INS: u8 = 0xA4;
    const FORM: Form = Form { le_after_data: if LE { Some(0x00) } else { None }, ..FORM };
    type Response = Selected;

    fn p1_p2(&self) -> (u8, u8) {
        (0x04, 0x00)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(AID);
    }

    fn decode(data: &[u8]) -> Result<Selected, Malformed> {
        let mut version = None;
        let mut reader = tlv::Reader::new(data);
        loop {
            let offset = reader.offset();
            let Some((tag, value)) = reader.read()? else { break };
            if tag == tag::VERSION {
                let told = value.try_into().map_err(|_| Malformed::new("version is not 3 bytes", offset))?;
                version = Some(told);
            }
        }
        Ok(Selected { version })
    }
}

/// RESET: every credential goes, in all slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reset;

impl Command for Reset {
    const NAME: &'static str = "RESET";
    const INS: u8 = 0x07;
    const FORM: Form = FORM;
    type Response = ();

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        general(status)
    }
}

/// DELETE, by the name as stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delete<'a> {
    pub(super) p2: u8,
    pub(super) name: &'a [u8],
}

impl Command for Delete<'_> {
    const NAME: &'static str = "DELETE";
    const INS: u8 = 0x08;
    const FORM: Form = FORM;
    type Response = ();

    fn p1_p2(&self) -> (u8, u8) {
        (0x00, self.p2)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        tlv::push(data, tag::NAME, self.name);
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        general(status)
    }
}

/// PUT writes over what is in the slot, or over what has the same name.
pub(super) struct Put<'a> {
    pub(super) p2: u8,
    pub(super) name: &'a [u8],
    pub(super) kind: Kind,
    pub(super) algorithm: Algorithm,
    pub(super) digits: u8,
    /// 64 bytes at most.
    pub(super) secret: &'a [u8],
    /// Value of the object that asks for a touch at each calculation, if it does.
    pub(super) touch: Option<u8>,
    /// First counter value, where it is written.
    pub(super) counter: Option<u32>,
}

impl Command for Put<'_> {
    const NAME: &'static str = "PUT";
    const INS: u8 = 0x09;
    const FORM: Form = FORM;
    type Response = ();

    fn p1_p2(&self) -> (u8, u8) {
        (0x00, self.p2)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        let mut key = Zeroizing::new(Vec::with_capacity(3 + self.secret.len()));
        key.extend_from_slice(&[algorithm_byte(self.algorithm), kind_byte(self.kind), self.digits]);
        key.extend_from_slice(self.secret);
        // 67 at most; one less is written than there is.
        data.extend_from_slice(&[tag::KEY, u8::try_from(key.len().saturating_sub(1)).unwrap_or(u8::MAX)]);
        data.extend_from_slice(&key);
        tlv::push(data, tag::NAME, self.name);
        if let Some(value) = self.touch {
            tlv::push(data, tag::TOUCH, &[value]);
        }
        if let Some(counter) = self.counter {
            tlv::push(data, tag::COUNTER, &counter.to_be_bytes());
        }
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        (status.0 == 0x6A84).then_some(Error::Full).or_else(|| general(status))
    }
}

/// One credential of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// The name as stored.
    pub(super) stored: Vec<u8>,
    /// `None` for typed passwords and challenge-response.
    pub(super) kind: Option<Kind>,
    pub(super) algorithm: Option<Algorithm>,
}

/// LIST, with Le (`true`) or without.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<const LE: bool> {
    pub(super) p2: u8,
}

impl<const LE: bool> Command for List<LE> {
    const NAME: &'static str = "LIST";
    const INS: u8 = 0x17;
    const FORM: Form = Form { le: if LE { Some(0x00) } else { None }, ..FORM };
    type Response = Vec<Listed>;

    fn p1_p2(&self) -> (u8, u8) {
        (0x00, self.p2)
    }

    fn decode(data: &[u8]) -> Result<Vec<Listed>, Malformed> {
        let mut listed = Vec::new();
        let mut reader = tlv::Reader::new(data);
        while reader.offset() < data.len() {
            let offset = reader.offset();
            let (&first, name) = reader
                .expect(tag::NAME_LIST)?
                .split_first()
                .ok_or(Malformed::new("kind and hash are missing", offset))?;
            let kind = match first & 0xF0 {
                0x10 => Some(Kind::Hotp),
                0x20 => Some(Kind::Totp),
                _ => None,
            };
            let algorithm = match first & 0x0F {
                0x01 => Some(Algorithm::Sha1),
                0x02 => Some(Algorithm::Sha256),
                _ => None,
            };
            listed.push(Listed { stored: name.to_vec(), kind, algorithm });
        }
        Ok(listed)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        general(status)
    }
}

/// GET DEFAULT of a `HyperFIDO`: whether its slot is filled. It answers 3 bytes and the name, or nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct GetDefault;

impl Command for GetDefault {
    const NAME: &'static str = "GET DEFAULT";
    const INS: u8 = 0xE6;
    const FORM: Form = FORM;
    type Response = bool;

    fn decode(data: &[u8]) -> Result<bool, Malformed> {
        match data.len() {
            0 => Ok(false),
            4.. => Ok(true),
            _ => Err(Malformed::new("name is cut off", 0)),
        }
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        general(status)
    }
}

/// A value after dynamic truncation (RFC 4226 §5.3), with its length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Truncated {
    digits: u8,
    value: u32,
}

impl Truncated {
    /// The passcode as text, leading zeros included.
    pub(super) fn passcode(self) -> String {
        let modulus = 10_u64.pow(u32::from(self.digits));
        format!("{:0width$}", u64::from(self.value) % modulus, width = usize::from(self.digits))
    }
}

/// CALCULATE. The challenge is the number of the time step as 8 bytes, and empty for HOTP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calculate<'a> {
    /// Whether the key truncates; otherwise the whole HMAC comes.
    pub(super) truncate: bool,
    pub(super) p2: u8,
    pub(super) challenge: &'a [u8],
    pub(super) name: &'a [u8],
}

impl Command for Calculate<'_> {
    const NAME: &'static str = "CALCULATE";
    const INS: u8 = 0xA2;
    const FORM: Form = FORM;
    type Response = Truncated;

    fn p1_p2(&self) -> (u8, u8) {
        (u8::from(self.truncate), self.p2)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        tlv::push(data, tag::CHALLENGE, self.challenge);
        tlv::push(data, tag::NAME, self.name);
    }

    fn decode(data: &[u8]) -> Result<Truncated, Malformed> {
        let mut reader = tlv::Reader::new(data);
        let (tag, value) = reader.read()?.ok_or(Malformed::new("response is empty", 0))?;
        reader.finish()?;
        let (digits, word) = match (tag, value) {
            (tag::TRUNCATED, &[digits, a, b, c, d]) => (digits, [a, b, c, d]),
            (tag::RESPONSE, [digits, hash @ ..]) if matches!(hash.len(), 20 | 32) => {
                let offset = usize::from(hash.last().copied().unwrap_or_default() & 0x0F);
                let word = hash.get(offset..).and_then(|rest| rest.first_chunk().copied());
                (*digits, word.ok_or(Malformed::new("hash is too short", 3))?)
            }
            _ => return Err(Malformed::new("neither a hash nor a truncated one", 0)),
        };
        if !matches!(digits, 6 | 8) {
            return Err(Malformed::new("passcode length is neither 6 nor 8", 2));
        }
        // The top bit belongs to the hash, not to the passcode.
        Ok(Truncated { digits, value: u32::from_be_bytes(word) & 0x7FFF_FFFF })
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        let empty = || Error::SlotEmpty { slot: String::from_utf8_lossy(self.name).into_owned() };
        matches!(status.0, 0x6A80 | 0x6A82 | 0x6A88).then(empty).or_else(|| general(status))
    }
}

fn kind_byte(kind: Kind) -> u8 {
    match kind {
        Kind::Hotp => 0x10,
        Kind::Totp => 0x20,
    }
}

fn algorithm_byte(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Sha1 => 0x01,
        Algorithm::Sha256 | Algorithm::Sha512 => 0x02,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso7816::apdu::{Header, encode_in};
    use proptest::prelude::*;

    const SEED: &[u8] = b"12345678901234567890";

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn apdu<C: Command>(command: &C) -> Vec<u8> {
        let mut data = Vec::new();
        command.encode(&mut data);
        let (p1, p2) = command.p1_p2();
        let apdus = encode_in(C::FORM, C::CLA, Header { ins: C::INS, p1, p2 }, &data);
        assert_eq!(apdus.len(), 1);
        apdus[0].to_vec()
    }

    fn put<'a>(name: &'a str, kind: Kind) -> Put<'a> {
        Put {
            p2: 0,
            name: name.as_bytes(),
            kind,
            algorithm: Algorithm::Sha1,
            digits: 6,
            secret: SEED,
            touch: Some(0x5C),
            counter: Some(0),
        }
    }

    // What follows was recorded on a real A9-3301 over CCID, and taken by it.

    #[test]
    fn commands_are_those_that_a_real_key_took() {
        assert_eq!(apdu(&Select::<true>), hex("00a4040009 d15600013283260101 00"));
        assert_eq!(
            apdu(&put("rfc4226-test-00", Kind::Hotp)),
            hex("0009000033 5316 01 10 06 3132333435363738393031323334353637383930
                 510f726663343232362d746573742d3030 5c015c 5a0400000000")
        );
        let counter = Put { counter: Some(1), ..put("rfc4226-test-01", Kind::Hotp) };
        assert!(apdu(&counter).ends_with(&hex("5a0400000001")));
        assert_eq!(
            apdu(&Put { digits: 8, ..put("rfc6238-test-01", Kind::Totp) }),
            hex("0009000033 5316 01 20 08 3132333435363738393031323334353637383930
                 510f726663363233382d746573742d3031 5c015c 5a0400000000")
        );
        let long = [SEED, b"123456789012"].concat();
        let sha256 = Put {
            digits: 8,
            algorithm: Algorithm::Sha256,
            secret: &long,
            ..put("rfc6238-test-02", Kind::Totp)
        };
        assert_eq!(apdu(&sha256)[..10], hex("000900003f 5322 02 20 08"));
        assert_eq!(apdu(&List::<false> { p2: 0 }), hex("00170000"));
        let calculate =
            Calculate { truncate: false, p2: 0, challenge: &1_u64.to_be_bytes(), name: b"rfc6238-test-01" };
        assert_eq!(
            apdu(&calculate),
            hex("00a200001b 5408 0000000000000001 510f726663363233382d746573742d3031")
        );
        assert_eq!(apdu(&Reset), hex("00070000"));
        assert_eq!(apdu(&GetDefault), hex("00e60000"));
    }

    #[test]
    fn answers_of_a_real_key_are_read() {
        let selected = Select::<true>::decode(&hex("5903010002 51080102030405060708")).unwrap();
        assert_eq!(selected.version, Some([1, 0, 2]));
        let listed = List::<false>::decode(&hex("5210 21 726663363233382d746573742d3031")).unwrap();
        let expected = Listed {
            stored: b"rfc6238-test-01".to_vec(),
            kind: Some(Kind::Totp),
            algorithm: Some(Algorithm::Sha1),
        };
        assert_eq!(listed, [expected]);
        assert_eq!(List::<false>::decode(&[]), Ok(Vec::new()));
        let told = Calculate::decode(&hex("5515 08 75a48a19d4cbe100644e8ac1397eea747a2d33ab")).unwrap();
        assert_eq!(told.passcode(), "94287082");
        assert_eq!(GetDefault::decode(&[]), Ok(false));
    }

    // The rest is from published clients.

    #[test]
    fn a_hyperfido_gets_the_frame_of_its_tool() {
        let program = Put { touch: None, counter: None, ..put("12345678", Kind::Hotp) };
        assert_eq!(
            apdu(&program),
            hex("0009000023 5316 01 10 06 3132333435363738393031323334353637383930 5108 3132333435363738")
        );
        assert_eq!(apdu(&Select::<false>), hex("00a4040009 d15600013283260101"));
        assert_eq!(GetDefault::decode(&hex("520911 3132333435363738")), Ok(true));
        assert!(GetDefault::decode(&hex("5209")).is_err());
    }

    #[test]
    fn names_are_asked_for_as_the_other_client_does() {
        assert_eq!(apdu(&List::<true> { p2: 0xF0 }), hex("001700f000"));
        assert_eq!(apdu(&Delete { p2: 0xF0, name: b"eve1" }), hex("000800f006 5104 65766531"));
        let calculate = Calculate { truncate: true, p2: 0xF0, challenge: &[], name: b"eve1" };
        assert_eq!(apdu(&calculate), hex("00a201f008 5400 5104 65766531"));
        assert_eq!(Calculate::decode(&hex("7605 06 c1397eea")).unwrap().passcode(), "287082");
        let listed = List::<true>::decode(&hex("5202 31 61 5202 13 62")).unwrap();
        assert_eq!((listed[0].kind, listed[1].algorithm), (None, None));
    }

    #[test]
    fn malformed_answers_are_refused() {
        for (reply, what) in [
            ("", "response is empty"),
            ("7604 06 41397e", "neither a hash nor a truncated one"),
            ("7605 07 41397eea", "passcode length is neither 6 nor 8"),
            ("5502 06 00", "neither a hash nor a truncated one"),
            ("7606 06 41397eea", "data object is cut off"),
            ("7605 06 41397eea 00", "data after the end"),
            ("7605 06 41397eea 5100", "data after the end"),
        ] {
            assert_eq!(Calculate::decode(&hex(reply)).err().map(|error| error.what), Some(what), "{reply}");
        }
        assert_eq!(List::<true>::decode(&hex("5200")).unwrap_err().what, "kind and hash are missing");
        assert_eq!(Select::<true>::decode(&hex("590101")).unwrap_err().what, "version is not 3 bytes");
    }

    proptest! {
        #[test]
        fn no_reply_makes_a_decoder_panic(data in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Select::<true>::decode(&data);
            let _ = List::<true>::decode(&data);
            let _ = GetDefault::decode(&data);
            let _ = Calculate::decode(&data).map(Truncated::passcode);
        }
    }
}
