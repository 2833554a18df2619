//! The commands of a Molto2. Multi-byte numbers are big-endian; `pp` is a profile.
//!
//! | command | APDU | data |
//! |---|---|---|
//! | GET INFO | `80 41 00 00 00` | |
//! | GET PROFILE | `80 41 00 pp 01 70`, never with Le | |
//! | DELETE SEED | `80 E6 00 pp 00` | |
//! | FACTORY RESET | `80 56 00 00 00` | |
//! | SET SEED | `84 C5 01 pp` | secret, padded, encrypted |
//! | SET TITLE | `84 D5 00 pp` | 1 to 12 bytes of UTF-8, padded, encrypted |
//! | SET CONFIG | `84 D4 01 pp` | `81 14 { 1F 01 display, 0F 04 clock, 86 09 { 0A 01 hash, 0B 01 digits, 0D 01 step } }` |
//! | SET CLOCK | `84 D4 01 pp` | `81 06 { 0F 04 clock }` |
//! | SET CUSTOMER KEY | `84 D7 00 00` | 00, SM4 key, padded, encrypted |
//!
//! Class 84 carries a MAC behind the data. 9060 says that the token asks its user to press ▲ first.

use zeroize::Zeroizing;

use super::customer_key::CustomerKey;
use crate::error::Error;
use crate::iso7816::status::StatusWord;
use crate::iso7816::{Command, Malformed, nothing, tlv};
use crate::token::{Algorithm, Kind, SlotId, SlotInfo};
use crate::token2_wire::{Body, Cipher, DISPLAY_TIMEOUT_30_S, DeviceInfo, PLAIN, Parameters};

/// "No such data": the profile has no seed.
const NO_SEED: u16 = 0x6A83;
/// Done as soon as ▲ is pressed.
const AWAITS_BUTTON: StatusWord = StatusWord(0x9060);

/// What a wrong customer key means: 63Cn counts what is left, as seen on a token; the maker's document has the plain
/// number. 6300 says nothing.
pub(super) fn wrong_key(status: StatusWord) -> Option<Error> {
    const BLOCKED: Error = Error::Blocked { way_out: "a factory reset, confirmed on the token, erases it" };
    match status.0 {
        0x63C0 | 0x6983 => Some(BLOCKED),
        0x63C1..=0x63CF => Some(Error::WrongLockCode { attempts_left: u8::try_from(status.0 & 0x0F).ok() }),
        0x6301..=0x630F => Some(Error::WrongLockCode { attempts_left: u8::try_from(status.0 & 0x0F).ok() }),
        0x6300..=0x63FF => Some(Error::WrongLockCode { attempts_left: None }),
        _ => None,
    }
}

/// GET INFO.
#[derive(Clone, Copy, Debug)]
pub(super) struct GetInfo;

impl Command for GetInfo {
    const NAME: &'static str = "GET INFO";
    const CLA: u8 = PLAIN;
    const INS: u8 = 0x41;
    type Response = DeviceInfo;

    fn decode(data: &[u8]) -> Result<DeviceInfo, Malformed> {
        DeviceInfo::parse(data)
    }
}

/// GET PROFILE.
#[derive(Clone, Copy, Debug)]
pub(super) struct GetProfile {
    pub(super) profile: u8,
}

/// What a token tells of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    /// UTF-8, without the zeros behind it.
    pub(super) title: Vec<u8>,
    hash: u8,
    time_step: u8,
    digits: u8,
    pub(super) has_seed: bool,
}

impl Profile {
    /// The same in the words of the trait. Of an empty profile the token tells parameters that mean nothing.
    pub(super) fn slot_info(&self, profile: u8) -> SlotInfo {
        let told = self.has_seed;
        let algorithm = match self.hash {
            1 => Some(Algorithm::Sha1),
            2 => Some(Algorithm::Sha256),
            _ => None,
        };
        SlotInfo {
            slot: SlotId::Index(profile),
            in_use: told,
            kind: told.then_some(Kind::Totp),
            algorithm: algorithm.filter(|_| told),
            digits: told.then_some(self.digits),
            time_step: told.then_some(u32::from(self.time_step)),
            touch: told.then_some(false),
        }
    }
}

impl Command for GetProfile {
    const NAME: &'static str = "GET PROFILE";
    const CLA: u8 = PLAIN;
    const INS: u8 = 0x41;
    type Response = Profile;

    fn p1_p2(&self) -> (u8, u8) {
        (0x00, self.profile)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.push(0x70);
    }

    /// `95 1F { 70 1D { flag, title 16, 8 bytes about time, hash, step, digits, seed present } }`.
    fn decode(data: &[u8]) -> Result<Profile, Malformed> {
        let mut outer = tlv::Reader::new(data);
        let mut inner = tlv::Reader::new(outer.expect(0x95)?);
        let value = inner.expect(0x70)?;
        inner.finish()?;
        outer.finish()?;
        let wrong = Malformed::new("profile has not 29 bytes", 4);
        let (title, rest) = match value.split_first().and_then(|(_flag, rest)| rest.split_at_checked(16)) {
            Some(split) => split,
            None => return Err(wrong),
        };
        let [_, _, _, _, _, _, _, _, hash, time_step, digits, seed] = *rest else { return Err(wrong) };
        let has_seed = match seed {
            0 => false,
            1 => true,
            _ => return Err(Malformed::new("seed neither present nor absent", 32)),
        };
        let end = title.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Ok(Profile { title: title.iter().take(end).copied().collect(), hash, time_step, digits, has_seed })
    }
}

/// DELETE SEED.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeleteSeed {
    pub(super) profile: u8,
}

impl Command for DeleteSeed {
    const NAME: &'static str = "DELETE SEED";
    const CLA: u8 = PLAIN;
    const INS: u8 = 0xE6;
    type Response = ();

    fn p1_p2(&self) -> (u8, u8) {
        (0x00, self.profile)
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        match status {
            StatusWord(NO_SEED) => Some(Error::SlotEmpty { slot: self.profile.to_string() }),
            StatusWord::SECURITY => Some(Error::Locked),
            _ => None,
        }
    }
}

/// FACTORY RESET.
#[derive(Clone, Copy, Debug)]
pub(super) struct FactoryReset;

impl Command for FactoryReset {
    const NAME: &'static str = "FACTORY RESET";
    const CLA: u8 = PLAIN;
    const INS: u8 = 0x56;
    type Response = ();

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn succeeds(status: StatusWord) -> bool {
        matches!(status, StatusWord::SUCCESS | AWAITS_BUTTON)
    }
}

/// SET SEED: 1 to 63 bytes, not all of them zero.
pub(super) struct Seed<'a>(pub(super) &'a [u8]);

impl Body for Seed<'_> {
    const NAME: &'static str = "SET SEED";
    const INS: u8 = 0xC5;
    const P1: u8 = 0x01;

    fn write(&self, cipher: &Cipher) -> Zeroizing<Vec<u8>> {
        cipher.encrypt_padded(self.0)
    }
}

/// SET TITLE: 1 to 12 bytes.
pub(super) struct Title<'a>(pub(super) &'a str);

impl Body for Title<'_> {
    const NAME: &'static str = "SET TITLE";
    const INS: u8 = 0xD5;
    const P1: u8 = 0x00;

    fn write(&self, cipher: &Cipher) -> Zeroizing<Vec<u8>> {
        cipher.encrypt_padded(self.0.as_bytes())
    }
}

/// SET CONFIG.
pub(super) struct Config {
    pub(super) parameters: Parameters,
    /// 4, 6, 8 or 10.
    pub(super) digits: u8,
}

impl Body for Config {
    const NAME: &'static str = "SET CONFIG";
    const INS: u8 = 0xD4;
    const P1: u8 = 0x01;

    fn write(&self, _: &Cipher) -> Zeroizing<Vec<u8>> {
        let Parameters { hash, time_step, clock } = self.parameters;
        let [c0, c1, c2, c3] = clock.to_be_bytes();
        let objects = [
            [0x81, 0x14].as_slice(),
            &[0x1F, 0x01, DISPLAY_TIMEOUT_30_S],
            &[0x0F, 0x04, c0, c1, c2, c3],
            &[0x86, 0x09, 0x0A, 0x01, hash, 0x0B, 0x01, self.digits, 0x0D, 0x01, time_step],
        ];
        Zeroizing::new(objects.concat())
    }
}

/// SET CLOCK: SET CONFIG with nothing but the clock, in Unix time.
pub(super) struct Clock(pub(super) u32);

impl Body for Clock {
    const NAME: &'static str = "SET CLOCK";
    const INS: u8 = 0xD4;
    const P1: u8 = 0x01;

    fn write(&self, _: &Cipher) -> Zeroizing<Vec<u8>> {
        let [c0, c1, c2, c3] = self.0.to_be_bytes();
        Zeroizing::new(vec![0x81, 0x06, 0x0F, 0x04, c0, c1, c2, c3])
    }
}

/// SET CUSTOMER KEY.
pub(super) struct NewKey<'a>(pub(super) &'a CustomerKey);

impl Body for NewKey<'_> {
    const NAME: &'static str = "SET CUSTOMER KEY";
    const INS: u8 = 0xD7;
    const P1: u8 = 0x00;

    fn write(&self, cipher: &Cipher) -> Zeroizing<Vec<u8>> {
        let clear = Zeroizing::new([&[0x00][..], self.0.expose()].concat());
        cipher.encrypt_padded(&clear)
    }

    fn succeeds(status: StatusWord) -> bool {
        matches!(status, StatusWord::SUCCESS | AWAITS_BUTTON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso7816::apdu;
    use crate::token::UnixTime;
    use crate::token2_wire::{Answer, GetChallenge, Secured};

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// The APDU of a command.
    fn sent<C: Command>(command: &C) -> Vec<u8> {
        let mut data = Vec::new();
        command.encode(&mut data);
        let (p1, p2) = command.p1_p2();
        let apdus = apdu::encode_as(C::CLA, apdu::Header { ins: C::INS, p1, p2 }, &data);
        assert_eq!(apdus.len(), 1);
        apdus[0].to_vec()
    }

    fn secured<B: Body>(profile: u8, body: B) -> Vec<u8> {
        let cipher = CustomerKey::factory().cipher();
        sent(&Secured { cipher: &cipher, p2: profile, body })
    }

    #[test]
    fn plain_commands_are_those_of_the_document() {
        assert_eq!(sent(&GetInfo), hex("80 41 00 00 00"));
        assert_eq!(sent(&GetProfile { profile: 99 }), hex("80 41 00 63 01 70"));
        assert_eq!(sent(&DeleteSeed { profile: 7 }), hex("80 E6 00 07 00"));
        assert_eq!(sent(&FactoryReset), hex("80 56 00 00 00"));
        assert_eq!(sent(&GetChallenge { data: &[] }), hex("80 4B 08 00 00"));
        let challenge = 0x1122_3344_5566_7788_u64.to_be_bytes();
        let answer = CustomerKey::factory().cipher().answer(challenge);
        let expected = hex("80 CE 00 00 10 550EC1328F963EB02972BB141E1CF521");
        assert_eq!(sent(&Answer { answer, refusal: wrong_key }), expected);
    }

    #[test]
    fn secured_commands_are_the_published_ones() {
        let published = [
            (
                secured(0, Seed(b"12345678901234567890")),
                "84C5010024 5D848C69EB8E884E7D20591FF89ADEFF31FD80354BF08248E60D457774BBF06E 915C34AB",
            ),
            (
                secured(7, Seed(b"12345678901234567890123456789012")),
                "84C5010734 5D848C69EB8E884E7D20591FF89ADEFF381D65B0547F2F6AEDB2EE32AA2947E5
                 9D199F6663A6F7234F37AD5487AFF272 E3E94A8F",
            ),
            (
                secured(7, Seed(b"1234567890123456")),
                "84C5010724 5D848C69EB8E884E7D20591FF89ADEFF9D199F6663A6F7234F37AD5487AFF272 DF1C5291",
            ),
            (secured(3, Title("hello")), "84D5000314 AA6492E824DF9E2BE60917D1226AE896 5AF94611"),
            (secured(0, Clock(0x6612_3456)), "84D401000C 81060F0466123456 42304790"),
            (
                secured(0, NewKey(&CustomerKey::parse(&[b'0'; 32]).unwrap())),
                "84D7000024 D42E83EC1BB82944A85FCE676BD0FD22E7577A25916244DCC4EC7412D665AF4B 67821C80",
            ),
        ];
        for (sent, published) in published {
            assert_eq!(sent, hex(published));
        }
    }

    #[test]
    fn a_configuration_is_the_published_one_but_for_the_display() {
        let parameters = Parameters::new(Algorithm::Sha1, 30, UnixTime(1_700_000_000)).unwrap();
        let sent = secured(2, Config { parameters, digits: 6 });
        let published = hex("84D401021A 81141F01020F046553F10086090A01010B01060D011E 1D87EC54");
        let (body, mac) = sent.split_at(sent.len() - 4);
        let mut expected = published[..published.len() - 4].to_vec();
        expected[9] = 0x01;
        assert_eq!(body, expected);
        // The MAC of the published one, made by the same function.
        let header = apdu::Header { ins: 0xD4, p1: 0x01, p2: 0x02 };
        let cipher = CustomerKey::factory().cipher();
        assert_eq!(cipher.mac(header, &published[5..published.len() - 4]), published[published.len() - 4..]);
        assert_eq!(cipher.mac(header, &body[5..]), mac);
    }

    #[test]
    fn a_profile_is_read() {
        let told = hex("951F701D 20 4B5250524F4245393900000000000000 00000E10 00015180 01 1E 06 01");
        let profile = GetProfile::decode(&told).unwrap();
        assert_eq!(profile.title, b"KRPROBE99");
        let expected = SlotInfo {
            slot: SlotId::Index(9),
            in_use: true,
            kind: Some(Kind::Totp),
            algorithm: Some(Algorithm::Sha1),
            digits: Some(6),
            time_step: Some(30),
            touch: Some(false),
        };
        assert_eq!(profile.slot_info(9), expected);
        let mut empty = told.clone();
        empty[32] = 0;
        let expected = SlotInfo {
            in_use: false,
            kind: None,
            algorithm: None,
            digits: None,
            time_step: None,
            touch: None,
            ..expected
        };
        assert_eq!(GetProfile::decode(&empty).unwrap().slot_info(9), expected);
    }

    #[test]
    fn a_profile_of_another_shape_is_refused() {
        let told = hex("951F701D 20 4B5250524F4245393900000000000000 00000E10 00015180 01 1E 06 01");
        for length in 0..told.len() {
            assert!(GetProfile::decode(&told[..length]).is_err(), "{length} bytes");
        }
        assert!(GetProfile::decode(&[&told[..], &[0]].concat()).is_err());
        for (at, byte) in [(0, 0x94), (2, 0x71), (3, 0x1C), (32, 2)] {
            let mut wrong = told.clone();
            wrong[at] = byte;
            assert!(GetProfile::decode(&wrong).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_wrong_key_is_told_with_what_is_left() {
        let left = |status| match wrong_key(StatusWord(status)) {
            Some(Error::WrongLockCode { attempts_left }) => attempts_left.map(i32::from).unwrap_or(-1),
            Some(Error::Blocked { .. }) => 0,
            Some(error) => panic!("{error}"),
            None => -2,
        };
        for (status, expected) in
            [(0x63C7, 7), (0x63C0, 0), (0x6303, 3), (0x6300, -1), (0x6381, -1), (0x6983, 0), (0x6A80, -2)]
        {
            assert_eq!(left(status), expected, "{status:04X}");
        }
    }
}
