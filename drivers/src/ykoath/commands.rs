//! The commands of the OATH applet (YKOATH) and their replies.
//!
//! | command | INS | data | reply |
//! |---|---|---|---|
//! | SELECT | A4, P1 04 | AID | `79` version, `71` id, and if there is an access code `74` challenge |
//! | LIST | A1 | | per credential `72`: type and algorithm, name |
//! | PUT | 01 | `71` name, `73` key, `78 pp` property, `7A` counter | |
//! | DELETE | 02 | `71` name | |
//! | RESET | 04, P1 P2 DEAD | | |
//!
//! Source: YKOATH protocol specification <https://developers.yubico.com/OATH/YKOATH_Protocol.html>. Access codes
//! are in `access.rs`, passcodes in `calculate.rs`.

use super::name::Entry;
use crate::error::Error;
use crate::iso7816::status::StatusWord;
use crate::iso7816::{Command, Malformed, nothing, tlv};
use crate::token::{Algorithm, Kind};
use crate::yubikey::Version;

/// Application identifier of the applet.
const AID: &[u8] = &[0xA0, 0x00, 0x00, 0x05, 0x27, 0x21, 0x01];

/// SEND REMAINING, which this applet uses where ISO/IEC 7816-4 has GET RESPONSE.
pub(super) const SEND_REMAINING: u8 = 0xA5;

pub(super) mod tag {
    pub(in super::super) const NAME: u8 = 0x71;
    pub(in super::super) const NAME_LIST: u8 = 0x72;
    pub(in super::super) const KEY: u8 = 0x73;
    pub(in super::super) const CHALLENGE: u8 = 0x74;
    pub(in super::super) const RESPONSE: u8 = 0x75;
    pub(in super::super) const TRUNCATED: u8 = 0x76;
    pub(in super::super) const HOTP: u8 = 0x77;
    pub(in super::super) const PROPERTY: u8 = 0x78;
    pub(in super::super) const VERSION: u8 = 0x79;
    pub(in super::super) const COUNTER: u8 = 0x7A;
    pub(in super::super) const TOUCH: u8 = 0x7C;
}

/// Property bit: each calculation needs a touch.
const REQUIRE_TOUCH: u8 = 0x02;

/// What SELECT tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) version: Version,
    /// 8 random bytes, constant until RESET; the salt of the access key. Absent on other makers' applets.
    pub(super) id: Option<[u8; 8]>,
    /// Present if the applet has an access code: what VALIDATE has to answer to.
    pub(super) challenge: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Select;

impl Select {
    /// Whether this refusal of SELECT says that there is no such applet. NEO firmware has the first four ways to say
    /// it; cards that are no ISO cards at all refuse the class or the parameters. A Nitrokey 3 keeps back an answer
    /// that was not asked for with Le, and has none to SEND REMAINING (6985).
    pub(super) fn means_absent(error: &Error) -> bool {
        matches!(
            error,
            Error::Refused { status: 0x6A82 | 0x6999 | 0x6D00 | 0x6B00 | 0x6E00 | 0x6A86 | 0x6985, .. }
        )
    }
}

impl Command for Select {
    const NAME: &'static str = "SELECT";
    const INS: u8 = 0xA4;
    type Response = Selected;

    fn p1_p2(&self) -> (u8, u8) {
        (0x04, 0x00)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(AID);
    }

    fn decode(data: &[u8]) -> Result<Selected, Malformed> {
        let (mut version, mut id, mut challenge) = (None, None, None);
        let mut foreign = false;
        let mut reader = tlv::Reader::new(data);
        loop {
            let offset = reader.offset();
            let Some((tag, value)) = reader.read()? else { break };
            match tag {
                tag::VERSION => {
                    version =
                        Some(Version::parse(value).ok_or(Malformed::new("version is not 3 bytes", offset))?);
                }
                tag::NAME => {
                    id = Some(value.try_into().map_err(|_| Malformed::new("id is not 8 bytes", offset))?);
                }
                tag::CHALLENGE => challenge = Some(value.to_vec()),
                // Attempts left for a PIN, and a serial: the secrets app of the Nitrokey 3.
                0x82 | 0x8F => foreign = true,
                // 7B is the algorithm of the access code, always HMAC-SHA-1; others belong to other makers.
                _ => {}
            }
        }
        let version = version.ok_or(Malformed::new("version is missing", 0))?;
        Ok(Selected { version, id: id.filter(|_| !foreign), challenge })
    }
}

/// Type in the high nibble, algorithm in the low one.
fn type_algorithm(kind: Kind, algorithm: Algorithm) -> u8 {
    let kind = match kind {
        Kind::Hotp => 0x10,
        Kind::Totp => 0x20,
    };
    let algorithm = match algorithm {
        Algorithm::Sha1 => 0x01,
        Algorithm::Sha256 => 0x02,
        Algorithm::Sha512 => 0x03,
    };
    kind | algorithm
}

fn parse_type_algorithm(byte: u8) -> (Option<Kind>, Option<Algorithm>) {
    let kind = match byte >> 4 {
        1 => Some(Kind::Hotp),
        2 => Some(Kind::Totp),
        _ => None,
    };
    let algorithm = match byte & 0x0F {
        1 => Some(Algorithm::Sha1),
        2 => Some(Algorithm::Sha256),
        3 => Some(Algorithm::Sha512),
        _ => None,
    };
    (kind, algorithm)
}

/// The access code has not been given. (If there is none, or it has been, the session knows better.)
pub(super) fn locked(status: StatusWord) -> Option<Error> {
    (status == StatusWord::SECURITY).then_some(Error::Locked)
}

/// No credential of that name; some applets say it as 6A82.
pub(super) fn empty(status: StatusWord, name: &[u8]) -> Option<Error> {
    matches!(status.0, 0x6984 | 0x6A82)
        .then(|| Error::SlotEmpty { slot: String::from_utf8_lossy(name).into_owned() })
}

#[derive(Clone, Copy, Debug)]
pub(super) struct List;

impl Command for List {
    const NAME: &'static str = "LIST";
    const INS: u8 = 0xA1;
    type Response = Vec<Entry>;

    fn decode(data: &[u8]) -> Result<Vec<Entry>, Malformed> {
        let mut entries = Vec::new();
        let mut reader = tlv::Reader::new(data);
        while reader.offset() < data.len() {
            let offset = reader.offset();
            let (&first, name) = reader
                .expect(tag::NAME_LIST)?
                .split_first()
                .ok_or(Malformed::new("type and algorithm are missing", offset))?;
            let (kind, algorithm) = parse_type_algorithm(first);
            entries.push(Entry { stored: name.to_vec(), kind, algorithm, digits: None, touch: None });
        }
        Ok(entries)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        locked(status)
    }
}

/// PUT writes a credential over any of the same name. The parts of its data must come in this order.
#[derive(Clone, Copy)]
pub(super) struct Put<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: Kind,
    pub(super) algorithm: Algorithm,
    pub(super) digits: u8,
    /// 14 bytes or more.
    pub(super) secret: &'a [u8],
    pub(super) touch: bool,
    /// Initial moving factor; 0 is left out.
    pub(super) imf: u32,
    /// Whether nothing is left out, for applets that look behind the end of the data for it.
    pub(super) in_full: bool,
}

impl Command for Put<'_> {
    const NAME: &'static str = "PUT";
    const INS: u8 = 0x01;
    type Response = ();

    fn encode(&self, data: &mut Vec<u8>) {
        tlv::push(data, tag::NAME, self.name);
        let mut key = zeroize::Zeroizing::new(Vec::with_capacity(2 + self.secret.len()));
        key.push(type_algorithm(self.kind, self.algorithm));
        key.push(self.digits);
        key.extend_from_slice(self.secret);
        tlv::push(data, tag::KEY, &key);
        if self.touch || self.in_full {
            // Not a data object: the property byte follows its tag without a length.
            data.extend_from_slice(&[tag::PROPERTY, if self.touch { REQUIRE_TOUCH } else { 0 }]);
        }
        if self.imf != 0 || self.in_full {
            tlv::push(data, tag::COUNTER, &self.imf.to_be_bytes());
        }
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        match status.0 {
            0x6A84 => Some(Error::Full),
            _ => locked(status),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Delete<'a> {
    pub(super) name: &'a [u8],
}

impl Command for Delete<'_> {
    const NAME: &'static str = "DELETE";
    const INS: u8 = 0x02;
    type Response = ();

    fn encode(&self, data: &mut Vec<u8>) {
        tlv::push(data, tag::NAME, self.name);
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        empty(status, self.name).or_else(|| locked(status))
    }
}

/// RESET: every credential and the access code are gone, the id changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reset;

impl Command for Reset {
    const NAME: &'static str = "RESET";
    const INS: u8 = 0x04;
    type Response = ();

    fn p1_p2(&self) -> (u8, u8) {
        (0xDE, 0xAD)
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        match status.0 {
            0x6D00 => Some(Error::Unsupported {
                what: "erasing everything at once",
                needs: "an applet with RESET".to_owned(),
            }),
            _ => locked(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso7816::apdu::{Header, encode};
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
        let apdus = encode(Header { ins: C::INS, p1, p2 }, &data);
        assert_eq!(apdus.len(), 1, "{} is short", C::NAME);
        apdus[0].to_vec()
    }

    // The hexadecimal below is a worked exchange with Yubico's own ykneo-oath applet, salt 0102030405060708.

    #[test]
    fn select_names_the_applet_and_learns_version_and_id() {
        assert_eq!(apdu(&Select), hex("00A40400 07 A0000005272101"));
        assert_eq!(
            Select::decode(&hex("7903010002 71080102030405060708")),
            Ok(Selected { version: Version(1, 0, 2), id: Some([1, 2, 3, 4, 5, 6, 7, 8]), challenge: None })
        );
        let locked =
            Select::decode(&hex("7903010002 71080102030405060708 7408090A0B0C0D0E0F10 7B0121")).unwrap();
        assert_eq!(locked.challenge, Some(vec![9, 10, 11, 12, 13, 14, 15, 16]));
    }

    #[test]
    fn a_nitrokey_has_no_id() {
        for reply in ["7903041000 71080102030405060708 8F04DEADBEEF", "7903041000 820108 8F04DEADBEEF"] {
            assert_eq!(Select::decode(&hex(reply)).unwrap().id, None, "{reply}");
        }
    }

    #[test]
    fn select_refuses_what_it_cannot_use() {
        assert_eq!(Select::decode(&[]), Err(Malformed::new("version is missing", 0)));
        assert_eq!(Select::decode(&hex("79020102")), Err(Malformed::new("version is not 3 bytes", 0)));
        assert_eq!(Select::decode(&hex("7903010203 710101")), Err(Malformed::new("id is not 8 bytes", 5)));
    }

    #[test]
    fn put_is_encoded_byte_for_byte() {
        let alice = Put {
            name: b"Example:alice",
            kind: Kind::Totp,
            algorithm: Algorithm::Sha1,
            digits: 6,
            secret: SEED,
            touch: false,
            imf: 0,
            in_full: false,
        };
        assert_eq!(
            apdu(&alice),
            hex("0001000027710D4578616D706C653A616C696365731621063132333435363738393031323334353637383930")
        );
        let hotp = Put { name: b"Corp:hotp", kind: Kind::Hotp, imf: 5, ..alice };
        let seed = "3132333435363738393031323334353637383930";
        assert_eq!(
            apdu(&hotp),
            hex(&format!("0001000029 7109436F72703A686F7470 73161106{seed} 7A0400000005"))
        );
        let touch = Put { touch: true, ..hotp };
        assert_eq!(
            apdu(&touch),
            hex(&format!("000100002B 7109436F72703A686F7470 73161106{seed} 7802 7A0400000005"))
        );
        let full = Put { imf: 0, in_full: true, ..hotp };
        assert_eq!(
            apdu(&full),
            hex(&format!("000100002B 7109436F72703A686F7470 73161106{seed} 7800 7A0400000000"))
        );
    }

    #[test]
    fn the_longest_put_still_fits_one_short_apdu() {
        let longest = Put {
            name: &[b'x'; 64],
            kind: Kind::Hotp,
            algorithm: Algorithm::Sha512,
            digits: 8,
            secret: &[0xAA; 128],
            touch: true,
            imf: u32::MAX,
            in_full: true,
        };
        assert_eq!(apdu(&longest).len(), 5 + 66 + 3 + 130 + 2 + 6);
    }

    #[test]
    fn list_tells_type_algorithm_and_name() {
        assert_eq!(apdu(&List), hex("00A1000000"));
        let entries = List::decode(&hex(
            "720E214578616D706C653A616C696365 720C2236302F41636D653A626F62 720A11436F72703A686F7470",
        ))
        .unwrap();
        let told: Vec<_> =
            entries.iter().map(|entry| (entry.stored.as_slice(), entry.kind, entry.algorithm)).collect();
        assert_eq!(
            told,
            [
                (&b"Example:alice"[..], Some(Kind::Totp), Some(Algorithm::Sha1)),
                (b"60/Acme:bob", Some(Kind::Totp), Some(Algorithm::Sha256)),
                (b"Corp:hotp", Some(Kind::Hotp), Some(Algorithm::Sha1)),
            ]
        );
        assert_eq!(List::decode(&hex("7200")).unwrap_err().what, "type and algorithm are missing");
        assert_eq!(List::decode(&hex("7101FF")).unwrap_err().what, "another tag than expected");
    }

    #[test]
    fn a_status_means_what_its_command_says() {
        let delete = Delete { name: b"x" };
        let put = Put {
            name: b"x",
            kind: Kind::Totp,
            algorithm: Algorithm::Sha1,
            digits: 6,
            secret: SEED,
            touch: false,
            imf: 0,
            in_full: false,
        };
        assert!(matches!(delete.refusal(StatusWord(0x6984)), Some(Error::SlotEmpty { .. })));
        assert!(matches!(delete.refusal(StatusWord(0x6982)), Some(Error::Locked)));
        assert!(matches!(put.refusal(StatusWord(0x6A84)), Some(Error::Full)));
        assert!(put.refusal(StatusWord(0x6984)).is_none());
        assert!(matches!(Reset.refusal(StatusWord(0x6D00)), Some(Error::Unsupported { .. })));
    }

    #[test]
    fn types_and_algorithms_come_back_from_their_byte() {
        for kind in [Kind::Hotp, Kind::Totp] {
            for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512] {
                let byte = type_algorithm(kind, algorithm);
                assert_eq!(parse_type_algorithm(byte), (Some(kind), Some(algorithm)));
            }
        }
        assert_eq!(parse_type_algorithm(0xF6), (None, None));
    }

    proptest! {
        #[test]
        fn no_reply_makes_a_decoder_panic(data in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Select::decode(&data);
            let _ = List::decode(&data);
        }
    }
}
