//! The commands of the OTP applet.
//!
//! | command | APDU | reply |
//! |---|---|---|
//! | GET ECDH PUBKEY | `80 C5 01 00 00` | X, Y; refused with 6A81 once a PIN is set |
//! | READ CONFIG | `80 C5 02 00 40` | 1 to 64 bytes, 10 as a rule; over a card perhaps 1 |
//! | WRITE HOTP SEED | `80 C5 00 00`, sealed | |
//! | ENUM CODES | `80 C5 05 00`, `03` time or `01` time names | a page, or one record |
//! | ENUM CODES CONTINUE | `80 C5 05 01`, time | the next page |
//! | WRITE SEED | `80 C5 05 02`, sealed or protected; nothing erases all | |
//! | READ SERIAL | `80 33 00 00`, `D1 10` and 16 zeros | `D1`, length, digits |
//!
//! Data of up to 255 bytes goes out in short form, which contact readers take over T=0; longer data in extended
//! form. Times are Unix seconds in 8 bytes. The commands of the PIN are in `pin.rs`.

use zeroize::Zeroizing;

use super::name::Names;
use super::seal::Point;
use crate::error::Error;
use crate::iso7816::apdu::Form;
use crate::iso7816::status::StatusWord;
use crate::iso7816::{Command, Malformed, nothing};

/// Application identifier of the OTP applet.
pub(super) const AID: &[u8] = &[0xF0, 0x00, 0x00, 0x01, 0x4F, 0x74, 0x70, 0x01];
/// Application identifier of FIDO.
pub(super) const FIDO_AID: &[u8] = &[0xA0, 0x00, 0x00, 0x06, 0x47, 0x2F, 0x00, 0x01];

/// Class of all commands.
pub(super) const CLA: u8 = 0x80;
/// Instruction of nearly all of them.
pub(super) const INS: u8 = 0xC5;
/// No Le, and extended rather than chained.
pub(super) const FORM: Form = Form { le: None, le_after_data: None, extended: true };

/// What a record looks like to the key that has no such one. In a list it says that there is none at all.
pub(super) fn is_not_found(status: StatusWord) -> bool {
    matches!(status.0, 0x6A80 | 0x6A83)
}

/// What statuses mean to every command.
pub(super) fn general(status: StatusWord) -> Option<Error> {
    match status.0 {
        0x6982 => Some(Error::Locked),
        0x6FF9 => Some(Error::TouchTimedOut),
        _ => None,
    }
}

/// The parts of READ CONFIG that matter here; `None` where it was cut short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Config {
    /// Whether the button's slot is filled.
    pub(super) button_set: Option<bool>,
    /// Whether the button can type HOTP.
    pub(super) button: Option<bool>,
    /// Whether the key computes TOTP.
    pub(super) totp: Option<bool>,
    /// Version of its FIDO side.
    pub(super) version: Option<[u8; 3]>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ReadConfig;

impl Command for ReadConfig {
    const NAME: &'static str = "READ CONFIG";
    const CLA: u8 = CLA;
    const INS: u8 = INS;
    const FORM: Form = Form { le: Some(0x40), ..FORM };
    type Response = Config;

    fn p1_p2(&self) -> (u8, u8) {
        (0x02, 0x00)
    }

    fn decode(data: &[u8]) -> Result<Config, Malformed> {
        let device = data.get(1);
        let extension = data.get(9);
        if data.is_empty() {
            return Err(Malformed::new("configuration is empty", 0));
        }
        Ok(Config {
            button_set: device.map(|bits| bits & 0x80 != 0),
            button: extension.map(|bits| bits & 0x20 == 0),
            totp: extension.map(|bits| bits & 0x01 != 0),
            version: data.get(6..9).and_then(|version| version.try_into().ok()),
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ReadSerial;

impl Command for ReadSerial {
    const NAME: &'static str = "READ SERIAL";
    const CLA: u8 = CLA;
    const INS: u8 = 0x33;
    const FORM: Form = FORM;
    type Response = String;

    fn encode(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(&[0xD1, 0x10]);
        data.extend_from_slice(&[0; 16]);
    }

    fn decode(data: &[u8]) -> Result<String, Malformed> {
        let [0xD1, length, serial @ ..] = data else {
            return Err(Malformed::new("serial has another tag", 0));
        };
        if serial.len() != usize::from(*length) || serial.is_empty() {
            return Err(Malformed::new("serial has another length than it says", 1));
        }
        match std::str::from_utf8(serial) {
            Ok(text) if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => Ok(text.to_owned()),
            _ => Err(Malformed::new("serial is no text", 2)),
        }
    }
}

/// What R3.1 wants before it tells its serial.
#[derive(Clone, Copy, Debug)]
pub(super) struct SerialPrelude;

impl Command for SerialPrelude {
    const NAME: &'static str = "GET INFO";
    const CLA: u8 = CLA;
    const INS: u8 = INS;
    const FORM: Form = FORM;
    type Response = ();

    fn p1_p2(&self) -> (u8, u8) {
        (0x03, 0x00)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.push(0x04);
    }

    fn decode(_data: &[u8]) -> Result<(), Malformed> {
        Ok(())
    }
}

/// Asks for the point to seal the next record for.
#[derive(Clone, Copy, Debug)]
pub(super) struct GetEcdhPubkey;

impl Command for GetEcdhPubkey {
    const NAME: &'static str = "GET ECDH PUBKEY";
    const CLA: u8 = CLA;
    const INS: u8 = INS;
    const FORM: Form = Form { le: Some(0x00), ..FORM };
    type Response = Point;

    fn p1_p2(&self) -> (u8, u8) {
        (0x01, 0x00)
    }

    fn decode(data: &[u8]) -> Result<Point, Malformed> {
        data.try_into().map_err(|_| Malformed::new("point is not 64 bytes", 0))
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        // Not allowed in this state: a PIN is set.
        (status.0 == 0x6A81).then_some(Error::Locked).or_else(|| general(status))
    }
}

/// WRITE SEED of a record that is sealed or protected.
pub(super) struct WriteSeed<'a> {
    pub(super) data: &'a [u8],
}

impl Command for WriteSeed<'_> {
    const NAME: &'static str = "WRITE SEED";
    const CLA: u8 = CLA;
    const INS: u8 = INS;
    const FORM: Form = FORM;
    type Response = ();

    fn p1_p2(&self) -> (u8, u8) {
        (0x05, 0x02)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(self.data);
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        (status.0 == 0x6A84).then_some(Error::Full).or_else(|| general(status))
    }
}

/// WRITE HOTP SEED: what the button types.
pub(super) struct WriteHotpSeed<'a> {
    pub(super) data: &'a [u8],
}

impl Command for WriteHotpSeed<'_> {
    const NAME: &'static str = "WRITE HOTP SEED";
    const CLA: u8 = CLA;
    const INS: u8 = INS;
    const FORM: Form = FORM;
    type Response = ();

    fn encode(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(self.data);
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        let no_button =
            || Error::Unsupported { what: "HOTP typed by the button", needs: "a key that types".to_owned() };
        (status.0 == 0x6A86).then(no_button).or_else(|| general(status))
    }
}

/// WRITE SEED without data: every record goes, and the PIN. Wants a touch.
#[derive(Clone, Copy, Debug)]
pub(super) struct EraseAll;

impl Command for EraseAll {
    const NAME: &'static str = "WRITE SEED";
    const CLA: u8 = CLA;
    const INS: u8 = INS;
    const FORM: Form = FORM;
    type Response = ();

    fn p1_p2(&self) -> (u8, u8) {
        (0x05, 0x02)
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        general(status)
    }
}

/// The first page of the list. TOTP passcodes come with it, for a time nobody is interested in.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadAll;

impl Command for ReadAll {
    const NAME: &'static str = "ENUM CODES";
    const CLA: u8 = CLA;
    const INS: u8 = INS;
    const FORM: Form = FORM;
    /// A page, perhaps protected.
    type Response = Zeroizing<Vec<u8>>;

    fn p1_p2(&self) -> (u8, u8) {
        (0x05, 0x00)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.push(0x03);
        data.extend_from_slice(&[0; 8]);
    }

    fn decode(data: &[u8]) -> Result<Self::Response, Malformed> {
        Ok(Zeroizing::new(data.to_vec()))
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        let empty = || Error::SlotEmpty { slot: String::new() };
        is_not_found(status).then(empty).or_else(|| general(status))
    }
}

/// The next page of the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadMore;

impl Command for ReadMore {
    const NAME: &'static str = "ENUM CODES CONTINUE";
    const CLA: u8 = CLA;
    const INS: u8 = INS;
    const FORM: Form = FORM;
    /// A page, perhaps protected.
    type Response = Zeroizing<Vec<u8>>;

    fn p1_p2(&self) -> (u8, u8) {
        (0x05, 0x01)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(&[0; 8]);
    }

    fn decode(data: &[u8]) -> Result<Self::Response, Malformed> {
        Ok(Zeroizing::new(data.to_vec()))
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        general(status)
    }
}

/// One record with its passcode. HOTP counts on by it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadOne<'a> {
    /// Unix seconds.
    pub(super) time: u64,
    pub(super) names: &'a Names,
}

impl Command for ReadOne<'_> {
    const NAME: &'static str = "ENUM CODES";
    const CLA: u8 = CLA;
    const INS: u8 = INS;
    const FORM: Form = FORM;
    /// A record, perhaps protected.
    type Response = Zeroizing<Vec<u8>>;

    fn p1_p2(&self) -> (u8, u8) {
        (0x05, 0x00)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.push(0x01);
        data.extend_from_slice(&self.time.to_be_bytes());
        self.names.encode(data);
    }

    fn decode(data: &[u8]) -> Result<Self::Response, Malformed> {
        Ok(Zeroizing::new(data.to_vec()))
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        let empty = || Error::SlotEmpty { slot: self.names.address() };
        is_not_found(status).then(empty).or_else(|| general(status))
    }
}

/// READ OTP PIN FLAG of 4, 9 or 41 bytes; the data has as many zeros.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadFlag<const N: usize>;

/// What the flag tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flag {
    /// How many more wrong PINs until the key blocks them.
    pub(super) retries: u8,
    /// How many there are after a right one.
    pub(super) max: u8,
    /// Length of the PIN; 0 if none is set.
    length: u8,
    /// IV and an encrypted random block, in the longest form.
    pub(super) challenge: Option<([u8; 16], [u8; 16])>,
}

impl Flag {
    pub(super) fn is_set(self) -> bool {
        self.length != 0
    }
}

impl<const N: usize> Command for ReadFlag<N> {
    const NAME: &'static str = "READ OTP PIN FLAG";
    const CLA: u8 = CLA;
    const INS: u8 = INS;
    const FORM: Form = FORM;
    type Response = Flag;

    fn p1_p2(&self) -> (u8, u8) {
        (0x05, 0x04)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.resize(N, 0x00);
    }

    fn decode(data: &[u8]) -> Result<Flag, Malformed> {
        if data.len() != N {
            return Err(Malformed::new("flag has another length than asked for", 0));
        }
        let &[_algorithm, retries, length, max, ref rest @ ..] = data else {
            return Err(Malformed::new("flag is cut off", 0));
        };
        // Between the two are five bytes of the key that signs agreements, and whether there is a fingerprint.
        let challenge = rest.get(5..).and_then(|rest| {
            let (iv, block) = rest.split_first_chunk()?;
            Some((*iv, block.try_into().ok()?))
        });
        Ok(Flag { retries, max, length, challenge })
    }
}

#[cfg(test)]
mod tests {
    use super::super::seal::tests::hex;
    use super::*;
    use crate::iso7816::apdu::{Header, encode_in};
    use proptest::prelude::*;

    fn apdu<C: Command>(command: &C) -> Vec<u8> {
        let mut data = Vec::new();
        command.encode(&mut data);
        let (p1, p2) = command.p1_p2();
        let apdus = encode_in(C::FORM, C::CLA, Header { ins: C::INS, p1, p2 }, &data);
        assert_eq!(apdus.len(), 1);
        apdus[0].to_vec()
    }

    #[test]
    fn commands_are_those_of_the_sheet() {
        assert_eq!(apdu(&GetEcdhPubkey), hex("80C5010000"));
        assert_eq!(apdu(&ReadConfig), hex("80C5020040"));
        assert_eq!(apdu(&ReadAll), hex("80C5050009 03 0000000000000000"));
        assert_eq!(apdu(&ReadMore), hex("80C5050108 0000000000000000"));
        let names = Names::parse("Test:alice");
        assert_eq!(
            apdu(&ReadOne { time: 59, names: &names }),
            hex("80C5050014 01 000000000000003b 0454657374 05616c696365")
        );
        assert_eq!(apdu(&EraseAll), hex("80C50502"));
        assert_eq!(apdu(&ReadSerial), hex("8033000012 D110 00000000000000000000000000000000"));
        assert_eq!(apdu(&SerialPrelude), hex("80C5030001 04"));
        assert_eq!(apdu(&ReadFlag::<4>), hex("80C5050404 00000000"));
        assert_eq!(apdu(&ReadFlag::<41>).len(), 5 + 41);
        assert_eq!(apdu(&WriteSeed { data: &[7; 112] })[..6], hex("80C5050270 07"));
        // Long names and a long seed do not fit a short command.
        assert_eq!(apdu(&WriteSeed { data: &[7; 272] })[..8], hex("80C50502 000110 07"));
        assert_eq!(apdu(&WriteHotpSeed { data: &[7; 96] })[..6], hex("80C5000060 07"));
    }

    #[test]
    fn the_configuration_is_read_as_far_as_it_goes() {
        assert_eq!(ReadConfig::decode(&[0x02]), Ok(Config::default()));
        let whole = hex("00 84 00000000 010203 33");
        let told = Config {
            button_set: Some(true),
            button: Some(false),
            totp: Some(true),
            version: Some([1, 2, 3]),
        };
        assert_eq!(ReadConfig::decode(&whole), Ok(told));
        assert!(ReadConfig::decode(&[]).is_err());
    }

    #[test]
    fn the_serial_is_text() {
        assert_eq!(
            ReadSerial::decode(&hex("D10E 3732313032393335373830353238")),
            Ok("72102935780528".to_owned())
        );
        for (data, what) in [
            ("D00131", "serial has another tag"),
            ("D1", "serial has another tag"),
            ("D10231", "serial has another length than it says"),
            ("D100", "serial has another length than it says"),
            ("D10100", "serial is no text"),
        ] {
            assert_eq!(ReadSerial::decode(&hex(data)).unwrap_err().what, what);
        }
    }

    #[test]
    fn the_flag_tells_of_the_pin() {
        let flag = ReadFlag::<4>::decode(&hex("07 05 06 0A")).unwrap();
        assert_eq!((flag.is_set(), flag.retries, flag.challenge), (true, 5, None));
        assert!(!ReadFlag::<4>::decode(&hex("07 00 00 00")).unwrap().is_set());
        let long = format!("07050600 00 0000 0001 {} {}", "AA".repeat(16), "BB".repeat(16));
        let flag = ReadFlag::<41>::decode(&hex(&long)).unwrap();
        assert_eq!(flag.challenge, Some(([0xAA; 16], [0xBB; 16])));
        assert!(ReadFlag::<41>::decode(&hex("07 05 06 0A")).is_err());
    }

    proptest! {
        #[test]
        fn no_reply_makes_a_decoder_panic(data in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = ReadConfig::decode(&data);
            let _ = ReadSerial::decode(&data);
            let _ = GetEcdhPubkey::decode(&data);
            let _ = ReadFlag::<4>::decode(&data);
            let _ = ReadFlag::<9>::decode(&data);
            let _ = ReadFlag::<41>::decode(&data);
        }
    }
}
