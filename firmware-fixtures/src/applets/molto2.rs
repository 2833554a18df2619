//! The program of a Token2 Molto2.
//!
//! | command | asks for | answers |
//! |---|---|---|
//! | `80 41 00 00 00` | serial and clock | 3 bytes, length, serial, 2 bytes, clock |
//! | `80 41 00 pp 01 70` | a profile, without its seed | `95 1F 70 1D` and 29 bytes; 6FFB if Le is given |
//! | `80 4B 08 00 00`, `80 CE 00 00 10 ..` | authentication | 8 bytes; 9000 or 63Cn |
//! | `84 C5 01 pp`, `84 D5 00 pp`, `84 D4 01 pp` | seed, title, configuration or clock | 9000 |
//! | `80 E6 00 pp 00` | deletion of a seed | 9000, or 6A83 if there is none; the title stays |
//! | `84 D7 00 00`, `80 56 00 00 00` | another customer key, factory reset | 9060, done when ▲ is pressed |
//! | `80 D8 0C 02 00`, `80 D8 0C 02 01 01` | screen locked, unlocked | 9000 |
//!
//! The SM4 key is the first 16 bytes of SHA-1 of the customer key. Sources: Token2, "Molto2v2 Wire Protocol
//! Specification"; keyroost 0.15 (crates.io), where it tells what was seen on a token: 9060, 63Cn, 6FFB, 6A83.
//!
//! The maker's own program goes on asking for serial and clock while the token asks to press ▲.
//!
//! Assumed: that the question on the screen outlives a loss of power over USB (the token has a battery); 6982 for a host that is not authenticated, 6983 for a wrong MAC or a locked token, 6A86 for a
//! profile that is not there; that authentication survives everything but a new challenge and a reset.

use sha1::{Digest, Sha1};

use super::sm4_messaging::{Cipher, Handshake, unpad};
use crate::apdu::Command;
use crate::applets::{Applet, Refusal, Touch};
use crate::credential::Hash;
use crate::entropy::Entropy;
use crate::molto2::Molto2Firmware;
use crate::status::Status;

const NO_SEED: Status = Status(0x6A83);
const LE_NOT_WANTED: Status = Status(0x6FFB);
const BLOCKED: Status = Status(0x6983);
const AWAITS_BUTTON: Status = Status(0x9060);

/// What the two time fields of a profile said on the one token whose answer is published.
const TIME_FIELDS: [u8; 8] = [0x00, 0x00, 0x0E, 0x10, 0x00, 0x01, 0x51, 0x80];

/// One profile in flash.
#[derive(Clone, PartialEq, Eq)]
pub struct Profile {
    /// The secret, 1 to 63 bytes.
    pub seed: Option<Vec<u8>>,
    /// UTF-8, zeros behind it.
    pub title: [u8; 16],
    /// Whether anything was ever written to it.
    pub written: bool,
    /// The hash under the HMAC.
    pub hash: Hash,
    /// 4, 6, 8 or 10.
    pub digits: u8,
    /// 30 or 60 seconds.
    pub step: u8,
    /// 0 to 3: 15, 30, 60, 120 seconds until the display goes dark.
    pub display_timeout: Option<u8>,
    /// The clock as last set through this profile, Unix time.
    pub clock: Option<u32>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile")
            .field("seed", &self.seed.as_ref().map(Vec::len))
            .field("title", &self.title_text())
            .field("hash", &self.hash)
            .field("digits", &self.digits)
            .field("step", &self.step)
            .field("display_timeout", &self.display_timeout)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// What waits for the button.
#[derive(Clone, Copy)]
enum Question {
    Key([u8; 16]),
    Reset,
}

/// The whole token.
pub struct Molto2 {
    firmware: Molto2Firmware,
    serial: String,
    key: [u8; 16],
    attempts: u8,
    clock: u32,
    screen_locked: bool,
    profiles: Vec<Profile>,
    handshake: Handshake,
    question: Option<Question>,
}

/// The SM4 key that a customer key stands for.
pub(crate) fn customer_key(code: &[u8]) -> [u8; 16] {
    Sha1::digest(code).first_chunk().copied().unwrap_or_default()
}

impl Molto2 {
    /// A token as it leaves the factory, but empty.
    pub(crate) fn new(firmware: Molto2Firmware, serial: &str) -> Self {
        let seed = serial.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        Self {
            firmware,
            serial: serial.to_owned(),
            key: customer_key(b"TOKEN2MOLTO1-KEY"),
            attempts: firmware.attempts,
            clock: 1_700_000_000,
            screen_locked: false,
            profiles: vec![Profile::unused(); usize::from(firmware.profiles)],
            handshake: Handshake::new(Entropy::from_seed(seed)),
            question: None,
        }
    }

    /// A profile, to look into or to change.
    pub fn profile_mut(&mut self, number: u8) -> Option<&mut Profile> {
        self.profiles.get_mut(usize::from(number))
    }

    /// The SM4 key made from the customer key.
    #[must_use]
    pub fn key(&self) -> [u8; 16] {
        self.key
    }

    /// Another key, as another program would have set it.
    pub fn set_key(&mut self, key: [u8; 16]) {
        self.key = key;
        self.attempts = self.firmware.attempts;
    }

    /// Wrong customer keys that are still allowed.
    #[must_use]
    pub fn attempts_left(&self) -> u8 {
        self.attempts
    }

    /// Whether somebody locked the screen.
    #[must_use]
    pub fn screen_locked(&self) -> bool {
        self.screen_locked
    }

    fn profile(&mut self, number: u8) -> Result<&mut Profile, Status> {
        self.profile_mut(number).ok_or(Status::WRONG_P1_P2)
    }

    fn plain(&mut self, command: &Command<'_>) -> Result<Vec<u8>, Status> {
        match (command.ins, command.p1, command.p2, command.data) {
            (0x41, 0x00, 0x00, []) => Ok(self.tell_device()),
            (0x41, 0x00, number, [0x70]) => self.profile(number).map(|profile| tell_profile(profile)),
            (0x41, 0x00, ..) => Err(Status::WRONG_DATA),
            (0x4B, 0x08, 0x00, []) => Ok(self.handshake.challenge().to_vec()),
            (0xCE, 0x00, 0x00, answer) => self.authenticate(answer),
            (0xE6, 0x00, number, []) => {
                if self.firmware.delete_needs_key && !self.handshake.passed() {
                    return Err(Status::SECURITY);
                }
                self.profile(number)?.seed.take().map(|_| Vec::new()).ok_or(NO_SEED)
            }
            (0x56, 0x00, 0x00, []) => {
                self.question = Some(Question::Reset);
                Err(AWAITS_BUTTON)
            }
            (0xD8, 0x0C, 0x02, data @ ([] | [0x01])) if self.firmware.screen_lock => {
                if !self.handshake.passed() {
                    return Err(Status::SECURITY);
                }
                self.screen_locked = data.is_empty();
                Ok(Vec::new())
            }
            (0x4B | 0xCE | 0xE6 | 0x56 | 0xD8, ..) => Err(Status::WRONG_P1_P2),
            _ => Err(Status::WRONG_INS),
        }
    }

    fn authenticate(&mut self, answer: &[u8]) -> Result<Vec<u8>, Status> {
        if self.attempts == 0 {
            return Err(BLOCKED);
        }
        match self.handshake.answer(&Cipher::new(&self.key), answer) {
            None => Err(Status::CONDITIONS),
            Some(true) => {
                self.attempts = self.firmware.attempts;
                Ok(Vec::new())
            }
            Some(false) => {
                self.attempts -= 1;
                Err(Status(0x63C0 | u16::from(self.attempts)))
            }
        }
    }

    fn secured(&mut self, command: &Command<'_>) -> Result<Vec<u8>, Status> {
        let cipher = Cipher::new(&self.key);
        let body = cipher.open(command).ok_or(BLOCKED)?;
        if !self.handshake.passed() {
            return Err(Status::SECURITY);
        }
        match (command.ins, command.p1, command.p2) {
            (0xC5, 0x01, number) => {
                let clear =
                    cipher.decrypt(body).filter(|clear| clear.len() <= 64).ok_or(Status::WRONG_LENGTH)?;
                let profile = self.profile(number)?;
                // Nothing but zeros, padding included, is the maker's way to clear a profile.
                profile.seed = match unpad(&clear) {
                    Some(seed) if !seed.is_empty() => Some(seed.to_vec()),
                    _ if !clear.is_empty() && clear.iter().all(|byte| *byte == 0) => None,
                    _ => return Err(Status::WRONG_DATA),
                };
                profile.written = true;
            }
            (0xD5, 0x00, number) => {
                let clear =
                    cipher.decrypt(body).filter(|clear| clear.len() == 16).ok_or(Status::WRONG_LENGTH)?;
                let title = unpad(&clear).filter(|title| (1..=12).contains(&title.len()));
                let title = title.ok_or(Status::WRONG_DATA)?;
                let profile = self.profile(number)?;
                profile.title = [0; 16];
                profile.title[..title.len()].copy_from_slice(title);
                profile.written = true;
            }
            (0xD4, 0x01, number) => self.configure(number, body)?,
            (0xD7, 0x00, 0x00) => {
                let clear = cipher.decrypt(body).ok_or(Status::WRONG_LENGTH)?;
                let key = match unpad(&clear) {
                    Some([0x00, key @ ..]) if clear.len() == 32 => key.try_into().ok(),
                    _ => None,
                };
                self.question = Some(Question::Key(key.ok_or(Status::WRONG_DATA)?));
                return Err(AWAITS_BUTTON);
            }
            (0xC5 | 0xD5 | 0xD4 | 0xD7, ..) => return Err(Status::WRONG_P1_P2),
            _ => return Err(Status::WRONG_INS),
        }
        Ok(Vec::new())
    }

    /// The whole configuration, or the clock alone.
    fn configure(&mut self, number: u8, body: &[u8]) -> Result<(), Status> {
        let clock = match *body {
            [0x81, 0x06, 0x0F, 0x04, c0, c1, c2, c3] => [c0, c1, c2, c3],
            [
                0x81,
                0x14,
                0x1F,
                0x01,
                timeout @ 0..=3,
                0x0F,
                0x04,
                c0,
                c1,
                c2,
                c3,
                0x86,
                0x09,
                0x0A,
                0x01,
                hash @ (1 | 2),
                0x0B,
                0x01,
                digits @ (4 | 6 | 8 | 10),
                0x0D,
                0x01,
                step @ (30 | 60),
            ] => {
                let profile = self.profile(number)?;
                profile.display_timeout = Some(timeout);
                profile.hash = if hash == 1 { Hash::Sha1 } else { Hash::Sha256 };
                profile.digits = digits;
                profile.step = step;
                profile.written = true;
                [c0, c1, c2, c3]
            }
            _ => return Err(Status::WRONG_DATA),
        };
        let clock = u32::from_be_bytes(clock);
        self.profile(number)?.clock = Some(clock);
        self.clock = clock;
        Ok(())
    }

    fn tell_device(&self) -> Vec<u8> {
        let mut told = vec![0; 3];
        told.push(u8::try_from(self.serial.len()).unwrap_or(u8::MAX));
        told.extend(self.serial.bytes());
        told.extend([0; 2]);
        told.extend(self.clock.to_be_bytes());
        told
    }
}

fn tell_profile(profile: &Profile) -> Vec<u8> {
    let mut told = vec![0x95, 0x1F, 0x70, 0x1D, if profile.written { 0x20 } else { 0x00 }];
    told.extend(profile.title);
    told.extend(TIME_FIELDS);
    let hash = if profile.hash == Hash::Sha256 { 2 } else { 1 };
    told.extend([hash, profile.step, profile.digits, u8::from(profile.seed.is_some())]);
    told
}

impl Applet for Molto2 {
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

    fn asks(&self) -> bool {
        self.question.is_some()
    }

    /// ▲, or nothing.
    fn answer(&mut self, yes: bool) {
        match self.question.take().filter(|_| yes) {
            Some(Question::Key(key)) => self.set_key(key),
            Some(Question::Reset) => {
                let fresh = Self::new(self.firmware, &self.serial);
                self.set_key(fresh.key);
                self.profiles = fresh.profiles;
                self.screen_locked = false;
            }
            None => {}
        }
    }

    fn call(&mut self, command: &Command<'_>, _touch: Touch) -> Result<Vec<u8>, Refusal> {
        let answer = match command.cla {
            0x80 => self.plain(command),
            0x84 => self.secured(command),
            _ => Err(Status::WRONG_CLA),
        };
        Ok(answer?)
    }

    fn call_whole(&mut self, bytes: &[u8], extended: bool, touch: Touch) -> Result<Vec<u8>, Refusal> {
        if let [0x80, 0x41, _, _, 0x01, _, _] = bytes {
            return Err(LE_NOT_WANTED.into());
        }
        self.call(&Command::parse(bytes, extended)?, touch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// A token whose challenge is the one of the published exchanges, authenticated if wanted.
    fn molto2(authenticated: bool) -> Molto2 {
        let mut token = Molto2::new(Molto2Firmware::MOLTO2_V2_1, "1234");
        let challenge = 0x1122_3344_5566_7788_u64.to_be_bytes();
        token.handshake = Handshake::new(Entropy::scripted([challenge; 8]));
        if authenticated {
            assert_eq!(send(&mut token, "804B080000"), "11223344556677889000");
            assert_eq!(send(&mut token, "80CE000010 550EC1328F963EB02972BB141E1CF521"), "9000");
        }
        token
    }

    fn send(token: &mut Molto2, command: &str) -> String {
        let answer = match token.call_whole(&hex(command), false, Touch::NotAsked) {
            Ok(data) => [data, Status::OK.bytes().to_vec()].concat(),
            Err(Refusal::Status(status)) => status.bytes().to_vec(),
            Err(Refusal::TouchNeeded) => panic!("wants a touch"),
        };
        answer.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    #[test]
    fn the_default_key_is_the_published_one() {
        assert_eq!(customer_key(b"TOKEN2MOLTO1-KEY").to_vec(), hex("099250FDB017F442DA429ECBBEE17F79"));
    }

    #[test]
    fn device_and_profile_are_told_as_published() {
        let mut token = molto2(false);
        assert_eq!(send(&mut token, "8041000000"), "000000043132333400006553F1009000");
        let profile = token.profile_mut(9).unwrap();
        profile.title[..9].copy_from_slice(b"KRPROBE99");
        (profile.written, profile.seed) = (true, Some(vec![1]));
        assert_eq!(
            send(&mut token, "80410009 01 70"),
            "951F701D204B5250524F4245393900000000000000\
             00000E1000015180011E06019000"
        );
        assert_eq!(send(&mut token, "80410009 01 70 00"), "6FFB");
        assert_eq!(send(&mut token, "80410064 01 70"), "6A86");
    }

    #[test]
    fn the_published_seeds_are_taken_and_show_the_codes_of_rfc_6238() {
        let mut token = molto2(true);
        for (command, number, seed) in [
            (
                "84C5010024 5D848C69EB8E884E7D20591FF89ADEFF31FD80354BF08248E60D457774BBF06E 915C34AB",
                0,
                &b"12345678901234567890"[..],
            ),
            (
                "84C5010734 5D848C69EB8E884E7D20591FF89ADEFF381D65B0547F2F6AEDB2EE32AA2947E5
                 9D199F6663A6F7234F37AD5487AFF272 E3E94A8F",
                7,
                &b"12345678901234567890123456789012"[..],
            ),
            (
                "84C5010724 5D848C69EB8E884E7D20591FF89ADEFF9D199F6663A6F7234F37AD5487AFF272 DF1C5291",
                7,
                &b"1234567890123456"[..],
            ),
        ] {
            assert_eq!(send(&mut token, command), "9000");
            assert_eq!(token.profile_mut(number).unwrap().seed.as_deref(), Some(seed));
        }
        token.profile_mut(2).unwrap().seed = Some(vec![1]);
        let clear = "84C5010224 14CC24B0CC984DA7612C0799D350E38C14CC24B0CC984DA7612C0799D350E38C B66DD5B3";
        assert_eq!(send(&mut token, clear), "9000");
        assert_eq!(token.profile_mut(2).unwrap().seed, None);
    }

    #[test]
    fn the_published_title_and_configuration_are_taken() {
        let mut token = molto2(true);
        assert_eq!(send(&mut token, "84D5000314 AA6492E824DF9E2BE60917D1226AE896 5AF94611"), "9000");
        assert_eq!(token.profile_mut(3).unwrap().title_text(), "hello");
        let config = "84D401021A 81141F01020F046553F10086090A01010B01060D011E 1D87EC54";
        assert_eq!(send(&mut token, config), "9000");
        let profile = token.profile_mut(2).unwrap();
        assert_eq!((profile.display_timeout, profile.clock), (Some(2), Some(1_700_000_000)));
        assert_eq!((profile.hash, profile.digits, profile.step), (Hash::Sha1, 6, 30));
        assert_eq!(send(&mut token, "84D401000C 81060F0466123456 42304790"), "9000");
        assert_eq!(token.clock, 0x6612_3456);
    }

    #[test]
    fn another_key_waits_for_the_button() {
        let command = "84D7000024 D42E83EC1BB82944A85FCE676BD0FD22E7577A25916244DCC4EC7412D665AF4B 67821C80";
        let old = customer_key(b"TOKEN2MOLTO1-KEY");
        for (yes, expected) in [(true, customer_key(&[0; 16])), (false, old)] {
            let mut token = molto2(true);
            assert_eq!(send(&mut token, command), "9060");
            token.deselect();
            assert_eq!(send(&mut token, "8041000000"), "000000043132333400006553F1009000");
            assert_eq!((token.asks(), token.key()), (true, old));
            token.answer(yes);
            assert_eq!((token.asks(), token.key()), (false, expected));
        }
        assert_eq!(customer_key(&[0; 16]).to_vec(), hex("E129F27C5103BC5CC44BCDF0A15E160D"));
    }

    #[test]
    fn wrong_keys_are_counted_until_the_token_locks_itself_and_a_reset_helps() {
        let mut token = molto2(false);
        for left in (0..8).rev() {
            assert_eq!(send(&mut token, "804B080000"), "11223344556677889000");
            let answer = send(&mut token, "80CE000010 000102030405060708090A0B0C0D0E0F");
            assert_eq!(answer, format!("63C{left}"));
        }
        send(&mut token, "804B080000");
        assert_eq!(send(&mut token, "80CE000010 550EC1328F963EB02972BB141E1CF521"), "6983");
        token.profile_mut(5).unwrap().seed = Some(vec![1]);
        assert_eq!(send(&mut token, "8056000000"), "9060");
        token.answer(true);
        assert_eq!(token.attempts_left(), 8);
        assert_eq!(token.profile_mut(5).unwrap().seed, None);
    }

    #[test]
    fn a_secured_command_needs_authentication_and_a_right_mac() {
        let title = "84D5000314 AA6492E824DF9E2BE60917D1226AE896 5AF94611";
        assert_eq!(send(&mut molto2(false), title), "6982");
        assert_eq!(send(&mut molto2(true), &title.replace("4611", "4612")), "6983");
        let mut token = molto2(true);
        token.deselect();
        assert_eq!(send(&mut token, title), "6982");
    }

    #[test]
    fn a_seed_is_deleted_once_and_the_title_stays() {
        let mut token = molto2(false);
        let profile = token.profile_mut(3).unwrap();
        (profile.seed, profile.title[0]) = (Some(vec![1]), b'x');
        assert_eq!(
            (send(&mut token, "80E6000300"), send(&mut token, "80E6000300")),
            ("9000".into(), "6A83".into())
        );
        assert_eq!(token.profile_mut(3).unwrap().title_text(), "x");
        let mut strict = Molto2::new(Molto2Firmware::MOLTO2_V2_STRICT, "1");
        assert_eq!(send(&mut strict, "80E6000300"), "6982");
    }

    #[test]
    fn the_screen_is_locked_from_2_1_on() {
        let mut token = molto2(true);
        assert_eq!(send(&mut token, "80D80C0200"), "9000");
        assert!(token.screen_locked());
        assert_eq!(send(&mut token, "80D80C020101"), "9000");
        assert!(!token.screen_locked());
        assert_eq!(send(&mut Molto2::new(Molto2Firmware::MOLTO2_V2, "1"), "80D80C0200"), "6A86");
    }
}
