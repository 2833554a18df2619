//! The OTP PIN of firmware R3.4: its session, how it is set, verified, changed, and which PINs are too simple.
//!
//! Each wrong PIN costs an attempt, a right one gives them all back; with none left only erasing helps. SET
//! wants the flag to have been read and the agreement made (`6985` otherwise), and no PIN to be set (`6A81`).
//! That CHANGE without a PIN is `6A81` too, and that the flag without a PIN tells its algorithm, is assumed.

use super::{PinPlus, Session, cipher, status};
use crate::status::Status;

/// AES-256, the only algorithm.
const ALGORITHM: u8 = 0x07;

pub(super) struct Pin {
    pub(super) text: Vec<u8>,
    pub(super) retries: u8,
    pub(super) max: u8,
}

impl PinPlus {
    pub(super) fn pin_command(&mut self, p2: u8, data: &[u8]) -> Result<Vec<u8>, Status> {
        match p2 {
            0x04 => self.read_flag(data),
            0x05 => self.set(data),
            0x06 if data == [0x00] => {
                self.open = false;
                Ok(Vec::new())
            }
            0x06 => self.verify(data),
            0x08 => self.change(data),
            _ => self.read_agreement(data),
        }
    }

    fn read_flag(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        if !matches!(data.len(), 4 | 9 | 41) || data.iter().any(|byte| *byte != 0) {
            return Err(status::FRAMING);
        }
        let (retries, length, max) =
            self.pin.as_ref().map_or((0, 0, 0), |pin| (pin.retries, pin.text.len() as u8, pin.max));
        let mut flag = vec![ALGORITHM, retries, length, max];
        if data.len() == 4 {
            return Ok(flag);
        }
        self.flag_read = true;
        flag.extend([0, 0, 1, 0, 0]);
        if data.len() == 41 {
            let session = self.session.clone().ok_or(Status::CONDITIONS)?;
            let (rand, iv) = (self.entropy.block(), self.entropy.block());
            self.rand = Some(rand);
            flag.extend(iv);
            flag.extend(cipher::encrypt(&session.enc, &iv, rand.to_vec()));
        }
        Ok(flag)
    }

    fn read_agreement(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        if data.len() != 64 {
            return Err(Status::WRONG_LENGTH);
        }
        let key = cipher::new_key(&mut self.entropy);
        let shared = cipher::agree(&key, data).ok_or(Status::WRONG_DATA)?;
        self.session = Some(Session::new(&shared));
        self.open = false;
        self.rand = None;
        // The signature is over both points, by a key nobody outside knows.
        let mut signature: Vec<u8> = (0..9).flat_map(|_| self.entropy.block()).collect();
        signature.truncate(132);
        Ok([&cipher::point(&key)[..], &signature].concat())
    }

    fn set(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        if self.pin.is_some() {
            return Err(status::NOT_IN_THIS_STATE);
        }
        let session = self.session.clone().filter(|_| self.flag_read).ok_or(Status::CONDITIONS)?;
        let clear = session.unprotect(data).ok_or(Status::WRONG_DATA)?;
        self.pin = Some(parse(&clear)?.ok_or(Status::WRONG_DATA)?);
        self.flag_read = false;
        Ok(Vec::new())
    }

    fn verify(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        let session = self.session.clone().ok_or(Status::CONDITIONS)?;
        let pin = self.usable_pin()?;
        let secret = cipher::sha256(&pin.text);
        let rand = self.rand.take().ok_or(Status::CONDITIONS)?;
        let (iv, outer) = data.split_first_chunk::<16>().ok_or(Status::WRONG_LENGTH)?;
        let inner = cipher::decrypt(&session.enc, iv, outer).ok_or(Status::WRONG_LENGTH)?;
        let iv: [u8; 16] = cipher::sha256(&rand).first_chunk().copied().unwrap_or_default();
        let right = cipher::encrypt(&secret, &iv, rand.to_vec());
        self.judge(inner == right)?;
        self.open = true;
        Ok(Vec::new())
    }

    fn change(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        let session = self.session.clone().ok_or(Status::CONDITIONS)?;
        let pin = self.usable_pin()?;
        let old_hash = cipher::sha256(&pin.text);
        let (iv, rest) = data.split_first_chunk::<16>().ok_or(Status::WRONG_LENGTH)?;
        let (rest, old) = rest.split_last_chunk::<16>().ok_or(Status::WRONG_LENGTH)?;
        let (text, tag) = rest.split_last_chunk::<16>().ok_or(Status::WRONG_LENGTH)?;
        if session.tag(&[text, old].concat()) != *tag {
            return Err(Status::WRONG_DATA);
        }
        let clear = cipher::open(&session.enc, iv, text).ok_or(Status::WRONG_DATA)?;
        let told = cipher::decrypt(&session.enc, iv, old).ok_or(Status::WRONG_DATA)?;
        self.judge(old_hash.get(..16) == Some(&told))?;
        self.open = false;
        self.pin = parse(&clear)?;
        Ok(Vec::new())
    }

    /// The PIN, if one is set and not blocked.
    fn usable_pin(&self) -> Result<&Pin, Status> {
        let pin = self.pin.as_ref().ok_or(status::NOT_IN_THIS_STATE)?;
        if pin.retries == 0 { Err(status::BLOCKED) } else { Ok(pin) }
    }

    /// Counts an attempt.
    fn judge(&mut self, right: bool) -> Result<(), Status> {
        let Some(pin) = self.pin.as_mut() else { return Err(status::NOT_IN_THIS_STATE) };
        if right {
            pin.retries = pin.max;
            return Ok(());
        }
        pin.retries = pin.retries.saturating_sub(1);
        Err(if pin.retries == 0 { status::BLOCKED } else { Status::SECURITY })
    }
}

/// A new PIN: algorithm, attempts, length, text. `None` for length 0.
fn parse(clear: &[u8]) -> Result<Option<Pin>, Status> {
    let &[ALGORITHM, max, length, ref text @ ..] = clear else { return Err(Status::WRONG_DATA) };
    if text.len() != usize::from(length) {
        return Err(Status::WRONG_DATA);
    }
    if length == 0 {
        return Ok(None);
    }
    if is_too_simple(text) {
        return Err(Status::WRONG_DATA);
    }
    Ok(Some(Pin { text: text.to_vec(), retries: max, max }))
}

/// Digits: at least 6, neither up nor down by one each, no palindrome, none more than three times. Other texts:
/// at least 10 characters of two of the classes upper, lower, digit, anything else.
pub(super) fn is_too_simple(text: &[u8]) -> bool {
    if text.iter().all(u8::is_ascii_digit) {
        let steps: Vec<i16> = text.windows(2).map(|pair| i16::from(pair[1]) - i16::from(pair[0])).collect();
        let run = steps.iter().all(|step| *step == 1) || steps.iter().all(|step| *step == -1);
        let palindrome = text.iter().eq(text.iter().rev());
        let worn = (b'0'..=b'9').any(|digit| text.iter().filter(|byte| **byte == digit).count() > 3);
        return text.len() < 6 || run || palindrome || worn;
    }
    let classes: [fn(&u8) -> bool; 4] =
        [u8::is_ascii_uppercase, u8::is_ascii_lowercase, u8::is_ascii_digit, |byte| {
            !byte.is_ascii_alphanumeric() && !byte.is_ascii_whitespace()
        }];
    let used = classes.iter().filter(|class| text.iter().any(class)).count();
    text.len() < 10 || used < 2
}
