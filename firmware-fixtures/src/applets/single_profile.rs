//! The program of a single-profile token.
//!
//! | command | asks for | answers |
//! |---|---|---|
//! | `80 41` | serial and clock | 3 bytes, length, serial, 2 bytes, clock |
//! | `80 4B 08` | a challenge | 8 bytes |
//! | `80 CE`, 16 bytes | authentication | 9000, or 6983 |
//! | `84 C5 01 00`, seed, MAC | a seed of 0 to 63 bytes | 9000 |
//! | `84 D4`, 19 bytes, MAC | configuration: display, clock, hash, time step | 9000 |
//!
//! One key is in all of these tokens, and published. A challenge is good for one answer, and asking for another ends
//! what the last one was good for. What is not authenticated, and a wrong MAC, get 6983 as well.
//!
//! Source: the maker's own firmware, token2/openT2OTP, `firmware/src/token2.c`, whose quirks are kept: P2 and
//! surplus bytes are not looked at, and no value of the configuration is checked.

use super::sm4_messaging::{Cipher, Handshake, unpad};
use crate::apdu::Command;
use crate::applets::{Applet, Refusal, Touch};
use crate::credential::Hash;
use crate::entropy::Entropy;
use crate::single_profile::SingleProfileModel;
use crate::status::Status;

const REFUSED: Status = Status(0x6983);

/// The key of all of them.
const KEY: [u8; 16] =
    [0x8A, 0xD2, 0x06, 0x88, 0x3C, 0xA3, 0x69, 0x48, 0x2A, 0xB2, 0x71, 0x82, 0xB6, 0xE8, 0x32, 0x24];

/// The whole token.
pub struct SingleProfile {
    model: SingleProfileModel,
    serial: String,
    /// The secret, up to 63 bytes.
    pub seed: Option<Vec<u8>>,
    /// The hash under the HMAC.
    pub hash: Hash,
    /// As it was written: seconds, or minutes if the upper two bits are 01.
    pub step: u8,
    /// 0 to 3: 15, 30, 60, 120 seconds until the display goes dark.
    pub display_timeout: u8,
    /// As last set, Unix time.
    pub clock: u32,
    /// It refuses every answer from now on.
    pub locked: bool,
    handshake: Handshake,
    cipher: Cipher,
}

impl SingleProfile {
    /// A token without a seed.
    pub(crate) fn new(model: SingleProfileModel, serial: &str) -> Self {
        let entropy = Entropy::from_seed(serial.parse().unwrap_or(0));
        Self {
            model,
            serial: serial.to_owned(),
            seed: None,
            hash: Hash::Sha1,
            step: 30,
            display_timeout: 1,
            clock: 1_700_000_000,
            locked: false,
            handshake: Handshake::new(entropy),
            cipher: Cipher::new(&KEY),
        }
    }

    /// Length of a time step in seconds.
    #[must_use]
    pub fn time_step(&self) -> u32 {
        let count = u32::from(self.step & 0x3F);
        if self.step >> 6 == 1 { count * 60 } else { count }
    }

    fn plain(&mut self, command: &Command<'_>) -> Result<Vec<u8>, Status> {
        match (command.ins, command.p1) {
            (0x41, _) => {
                let mut told = vec![0, 0, 0, u8::try_from(self.serial.len()).unwrap_or(u8::MAX)];
                told.extend(self.serial.bytes());
                told.extend([0, 0]);
                told.extend(self.clock.to_be_bytes());
                Ok(told)
            }
            (0x4B, 0x08) => Ok(self.handshake.challenge().to_vec()),
            (0xCE, _) if self.locked => Err(REFUSED),
            (0xCE, _) => match self.handshake.answer(&self.cipher, command.data) {
                Some(true) => Ok(Vec::new()),
                Some(false) => {
                    self.locked = self.model.locks;
                    Err(REFUSED)
                }
                None => Err(Status::WRONG_DATA),
            },
            _ => Err(Status::WRONG_INS),
        }
    }

    fn secured(&mut self, command: &Command<'_>) -> Result<Vec<u8>, Status> {
        if command.data.len() < 4 {
            return Err(Status::WRONG_LENGTH);
        }
        let body = self.cipher.open(command).ok_or(REFUSED)?;
        match (command.ins, command.p1) {
            (0xC5, 0x01) | (0xD4, _) if !self.handshake.passed() => Err(REFUSED),
            (0xC5, 0x01) => {
                let clear = self.cipher.decrypt(body).filter(|clear| clear.len() <= 64);
                let clear = clear.ok_or(Status::WRONG_DATA)?;
                let seed = unpad(&clear).ok_or(Status::WRONG_DATA)?;
                self.seed = (!seed.is_empty()).then(|| seed.to_vec());
                Ok(Vec::new())
            }
            (0xD4, _) => self.configure(body),
            _ => Err(Status::WRONG_INS),
        }
    }

    fn configure(&mut self, body: &[u8]) -> Result<Vec<u8>, Status> {
        let [
            0x81,
            0x11,
            0x1F,
            0x01,
            timeout,
            0x0F,
            0x04,
            c0,
            c1,
            c2,
            c3,
            0x86,
            0x06,
            0x0A,
            0x01,
            hash,
            0x0D,
            0x01,
            step,
        ] = *body
        else {
            return Err(Status::WRONG_DATA);
        };
        self.display_timeout = timeout;
        self.clock = u32::from_be_bytes([c0, c1, c2, c3]);
        self.hash = if hash == 2 { Hash::Sha256 } else { Hash::Sha1 };
        self.step = step;
        if !self.model.keeps_seed {
            self.seed = None;
        }
        Ok(Vec::new())
    }
}

impl Applet for SingleProfile {
    /// It has no name: it is all there is on the card.
    fn aid(&self) -> &'static [u8] {
        &[]
    }

    fn select(&mut self) -> Result<Vec<u8>, Status> {
        Err(Status::NOT_FOUND)
    }

    fn deselect(&mut self) {
        self.handshake.forget();
    }

    fn call(&mut self, command: &Command<'_>, _touch: Touch) -> Result<Vec<u8>, Refusal> {
        let answer = match command.cla {
            0x80 => self.plain(command),
            0x84 => self.secured(command),
            _ => Err(Status::WRONG_CLA),
        };
        Ok(answer?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    const ANSWER: &str = "80CE000010 8B7450F22721BC29985C2C460B65045D";

    fn token(model: SingleProfileModel) -> SingleProfile {
        let mut token = SingleProfile::new(model, "86596220000001");
        token.handshake = Handshake::new(Entropy::scripted([0x1122_3344_5566_7788_u64.to_be_bytes(); 4]));
        token
    }

    fn send(token: &mut SingleProfile, command: &str) -> String {
        let answer = match token.call_whole(&hex(command), false, Touch::NotAsked) {
            Ok(data) => [data, Status::OK.bytes().to_vec()].concat(),
            Err(Refusal::Status(status)) => status.bytes().to_vec(),
            Err(Refusal::TouchNeeded) => panic!("wants a touch"),
        };
        answer.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    fn authenticated(model: SingleProfileModel) -> SingleProfile {
        let mut token = token(model);
        assert_eq!(send(&mut token, "804B08000100"), "11223344556677889000");
        assert_eq!(send(&mut token, ANSWER), "9000");
        token
    }

    #[test]
    fn serial_and_clock_are_told_as_published() {
        let told = "0000000E383635393632323030303030303100006553F1009000";
        assert_eq!(send(&mut token(SingleProfileModel::OTPC_P2), "80410000020211"), told);
    }

    #[test]
    fn the_published_seeds_are_taken() {
        let ascending: Vec<u8> = (0x10..0x30).collect();
        for (command, seed) in [
            (
                "84C5010024 5E5856092FD3228D4D33EEE3DAAC4B55CE37D18D332B7AC6A40E8661FA23042A F47B0153",
                &b"12345678901234567890"[..],
            ),
            (
                "84C5010024 5E5856092FD3228D4D33EEE3DAAC4B55D219EFC9972FED9191DF027FD36A80B0 442EE403",
                b"1234567890123456",
            ),
            (
                "84C5010034 B830899CFE9DE292CD26D3C7439215CE18503D57AC31735AFA60EBA20F64D6F7
                 D219EFC9972FED9191DF027FD36A80B0 880D59FA",
                &ascending,
            ),
        ] {
            let mut token = authenticated(SingleProfileModel::C302);
            assert_eq!(send(&mut token, command), "9000");
            assert_eq!(token.seed.as_deref(), Some(seed));
        }
    }

    #[test]
    fn a_configuration_takes_the_seed_along_on_most_models() {
        let config = "84D4000017 81111F01020F046543210086060A01020D013C 37A18BF9";
        for model in SingleProfileModel::ALL {
            let mut token = authenticated(model);
            token.seed = Some(vec![1]);
            assert_eq!(send(&mut token, config), "9000");
            assert_eq!((token.hash, token.time_step(), token.display_timeout), (Hash::Sha256, 60, 2));
            assert_eq!((token.clock, token.seed.is_some()), (0x6543_2100, model.keeps_seed), "{model:?}");
        }
        let other = "84D4000017 81111F01010F046553F10086060A01010D011E 4FFDC288";
        assert_eq!(send(&mut authenticated(SingleProfileModel::C302), other), "9000");
    }

    #[test]
    fn a_wrong_answer_locks_an_old_token_for_good() {
        for (model, after) in
            [(SingleProfileModel::OTPC_P2_BEFORE_2025, "6983"), (SingleProfileModel::OTPC_P2, "9000")]
        {
            let mut token = token(model);
            send(&mut token, "804B080000");
            assert_eq!(send(&mut token, &ANSWER.replace("5D", "5C")), "6983");
            token.deselect();
            send(&mut token, "804B080000");
            assert_eq!(send(&mut token, ANSWER), after);
        }
    }

    #[test]
    fn nothing_is_written_without_authentication_or_with_a_wrong_mac() {
        let config = "84D4000017 81111F01010F046553F10086060A01010D011E 4FFDC288";
        assert_eq!(send(&mut token(SingleProfileModel::C302), config), "6983");
        let mut token = authenticated(SingleProfileModel::C302);
        assert_eq!(send(&mut token, &config.replace("C288", "C289")), "6983");
        assert_eq!(send(&mut token, "84D4000003 811100"), "6700");
        assert_eq!(send(&mut token, ANSWER), "6A80", "no challenge is open");
        assert_eq!(send(&mut token, "00A4040000"), "6E00");
        assert_eq!(send(&mut token, "8042000000"), "6D00");
    }

    #[test]
    fn a_time_step_may_be_minutes() {
        let mut token = token(SingleProfileModel::C302);
        for (step, seconds) in [(0x1E, 30), (0x3C, 60), (0x41, 60), (0x42, 120)] {
            token.step = step;
            assert_eq!(token.time_step(), seconds);
        }
    }
}
