//! The commands of a single-profile token. Multi-byte numbers are big-endian.
//!
//! | command | APDU | data |
//! |---|---|---|
//! | GET INFO | `80 41 00 00` | `02 11` |
//! | SET CONFIG | `84 D4 00 00` | `81 11 { 1F 01 display, 0F 04 clock, 86 06 { 0A 01 hash, 0D 01 step } }` |
//! | SET SEED | `84 C5 01 00` | secret, padded, encrypted |
//!
//! SET CONFIG has to have all its fields. The time step is in seconds as long as its upper two bits are 0; 30 and 60
//! are what the maker's program writes. Secrets of fewer than 20 bytes are filled up with zeros, as that program
//! does: HMAC does not change (RFC 2104 §2).

use zeroize::Zeroizing;

use crate::iso7816::{Command, Malformed};
use crate::token2_wire::{Body, Cipher, DISPLAY_TIMEOUT_30_S, DeviceInfo, GetChallenge, PLAIN, Parameters};

/// What the display shows.
pub(super) const DIGITS: u8 = 6;

/// Shortest secret that the maker's program writes.
const MIN_SECRET: usize = 20;

/// The key in all of these tokens. The maker publishes it, as no secret.
const KEY: u128 = 0x8AD2_0688_3CA3_6948_2AB2_7182_B6E8_3224;

/// The cipher with that key.
pub(super) fn cipher() -> Cipher {
    Cipher::new(&KEY.to_be_bytes())
}

/// GET CHALLENGE in this token's form.
pub(super) const GET_CHALLENGE: GetChallenge = GetChallenge { data: &[0x00] };

/// GET INFO.
#[derive(Clone, Copy, Debug)]
pub(super) struct GetInfo;

impl Command for GetInfo {
    const NAME: &'static str = "GET INFO";
    const CLA: u8 = PLAIN;
    const INS: u8 = 0x41;
    type Response = DeviceInfo;

    fn encode(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(&[0x02, 0x11]);
    }

    fn decode(data: &[u8]) -> Result<DeviceInfo, Malformed> {
        DeviceInfo::parse(data)
    }
}

/// SET CONFIG.
pub(super) struct Config(pub(super) Parameters);

impl Body for Config {
    const NAME: &'static str = "SET CONFIG";
    const INS: u8 = 0xD4;
    const P1: u8 = 0x00;

    fn write(&self, _: &Cipher) -> Zeroizing<Vec<u8>> {
        let Parameters { hash, time_step, clock } = self.0;
        let [c0, c1, c2, c3] = clock.to_be_bytes();
        let objects = [
            [0x81, 0x11].as_slice(),
            &[0x1F, 0x01, DISPLAY_TIMEOUT_30_S],
            &[0x0F, 0x04, c0, c1, c2, c3],
            &[0x86, 0x06, 0x0A, 0x01, hash, 0x0D, 0x01, time_step],
        ];
        Zeroizing::new(objects.concat())
    }
}

/// SET SEED: 1 to 63 bytes.
pub(super) struct Seed<'a>(pub(super) &'a [u8]);

impl Body for Seed<'_> {
    const NAME: &'static str = "SET SEED";
    const INS: u8 = 0xC5;
    const P1: u8 = 0x01;

    fn write(&self, cipher: &Cipher) -> Zeroizing<Vec<u8>> {
        cipher.encrypt_padded(self.0)
    }
}

/// The secret with zeros behind it, if it is shorter than what the maker's program writes.
pub(super) fn filled_up(secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut filled = Zeroizing::new(Vec::with_capacity(secret.len().max(MIN_SECRET)));
    filled.extend_from_slice(secret);
    filled.resize(secret.len().max(MIN_SECRET), 0x00);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso7816::apdu;
    use crate::token::{Algorithm, UnixTime};
    use crate::token2_wire::{Answer, Secured};

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn sent<C: Command>(command: &C) -> Vec<u8> {
        let mut data = Vec::new();
        command.encode(&mut data);
        let (p1, p2) = command.p1_p2();
        let apdus = apdu::encode_as(C::CLA, apdu::Header { ins: C::INS, p1, p2 }, &data);
        assert_eq!(apdus.len(), 1);
        apdus[0].to_vec()
    }

    fn secured<B: Body>(body: B) -> Vec<u8> {
        sent(&Secured { cipher: &cipher(), p2: 0x00, body })
    }

    #[test]
    fn commands_are_the_published_ones() {
        assert_eq!(sent(&GetInfo), hex("80 41 00 00 02 02 11"));
        assert_eq!(sent(&GET_CHALLENGE), hex("80 4B 08 00 01 00"));
        let answer = cipher().answer(0x1122_3344_5566_7788_u64.to_be_bytes());
        let expected = hex("80 CE 00 00 10 8B7450F22721BC29985C2C460B65045D");
        assert_eq!(sent(&Answer { answer, refusal: |_| None }), expected);
        let config = Parameters::new(Algorithm::Sha1, 30, UnixTime(1_700_000_000)).unwrap();
        let published = "84D4000017 81111F01010F046553F10086060A01010D011E 4FFDC288";
        assert_eq!(secured(Config(config)), hex(published));
        let ascending: Vec<u8> = (0x10..0x30).collect();
        for (seed, published) in [
            (
                &b"12345678901234567890"[..],
                "84C5010024 5E5856092FD3228D4D33EEE3DAAC4B55CE37D18D332B7AC6A40E8661FA23042A F47B0153",
            ),
            (
                b"1234567890123456",
                "84C5010024 5E5856092FD3228D4D33EEE3DAAC4B55D219EFC9972FED9191DF027FD36A80B0 442EE403",
            ),
            (
                &ascending,
                "84C5010034 B830899CFE9DE292CD26D3C7439215CE18503D57AC31735AFA60EBA20F64D6F7
                 D219EFC9972FED9191DF027FD36A80B0 880D59FA",
            ),
        ] {
            assert_eq!(secured(Seed(seed)), hex(published));
        }
    }

    #[test]
    fn another_configuration_has_the_published_mac() {
        let published = hex("84D4000017 81111F01020F046543210086060A01020D013C 37A18BF9");
        let parameters = Parameters::new(Algorithm::Sha256, 60, UnixTime(0x6543_2100)).unwrap();
        let mut display_60_s = Config(parameters).write(&cipher()).to_vec();
        display_60_s[4] = 0x02;
        assert_eq!(display_60_s, published[5..24]);
        let header = apdu::Header { ins: 0xD4, p1: 0x00, p2: 0x00 };
        assert_eq!(cipher().mac(header, &display_60_s), published[24..]);
    }

    #[test]
    fn short_secrets_are_filled_up_to_20_bytes() {
        assert_eq!(*filled_up(&[7; 19]), [&[7; 19][..], &[0]].concat());
        assert_eq!(*filled_up(&[7; 20]), [7; 20]);
        assert_eq!(*filled_up(&[7; 63]), [7; 63]);
    }
}
