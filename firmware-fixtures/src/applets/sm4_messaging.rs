//! What the programs of Token2's Molto2 and single-profile tokens have in common: SM4, padding, MAC, challenge.
//!
//! SM4 (GB/T 32907) encrypts in blocks of 16 bytes, one by one. Padding is 80 and then zeros, always at least one
//! byte. A secured command (class 84) is `84 INS P1 P2 Lc body mac`: the MAC is the first 4 bytes of the last block
//! of SM4-CBC with a zero vector over `80 INS P1 P2 Lb body`, Lb without the MAC, padded only if it is not whole
//! blocks. The answer to a challenge of 8 bytes is the challenge and 8 zeros, encrypted.
//!
//! Sources: Token2, "Molto2v2 Wire Protocol Specification"; token2/openT2OTP, `firmware/src/token2.c`.

use sm4::Sm4;
use sm4::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

use crate::apdu::Command;
use crate::entropy::Entropy;

const BLOCK: usize = 16;
const MAC: usize = 4;

/// A key, ready to use.
pub(crate) struct Cipher(Sm4);

impl Cipher {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self(Sm4::new(&(*key).into()))
    }

    pub(crate) fn encrypt(&self, mut block: [u8; BLOCK]) -> [u8; BLOCK] {
        self.0.encrypt_block((&mut block).into());
        block
    }

    /// `None` unless these are whole blocks.
    pub(crate) fn decrypt(&self, data: &[u8]) -> Option<Vec<u8>> {
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        if !rest.is_empty() {
            return None;
        }
        let mut clear = Vec::with_capacity(data.len());
        for block in blocks {
            let mut block = *block;
            self.0.decrypt_block((&mut block).into());
            clear.extend(block);
        }
        Some(clear)
    }

    fn mac(&self, command: &Command<'_>, body: &[u8]) -> [u8; MAC] {
        let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
        let mut message = vec![0x80, command.ins, command.p1, command.p2, length];
        message.extend(body);
        if !message.len().is_multiple_of(BLOCK) {
            message.push(0x80);
            message.resize(message.len().next_multiple_of(BLOCK), 0);
        }
        let last = message.as_chunks::<BLOCK>().0.iter().fold([0; BLOCK], |chain, block| {
            let mut mixed = *block;
            mixed.iter_mut().zip(chain).for_each(|(byte, chained)| *byte ^= chained);
            self.encrypt(mixed)
        });
        last.first_chunk().copied().unwrap_or_default()
    }

    /// The body of a secured command, if its MAC is right.
    pub(crate) fn open<'a>(&self, command: &Command<'a>) -> Option<&'a [u8]> {
        let (body, mac) = command.data.split_last_chunk::<MAC>()?;
        (self.mac(command, body) == *mac).then_some(body)
    }
}

/// Takes the padding off: everything from the last 80, if only zeros follow it.
pub(crate) fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    (padded.get(end) == Some(&0x80)).then(|| padded.get(..end))?
}

/// Who is at the other end: nobody known, until the challenge was answered.
pub(crate) struct Handshake {
    entropy: Entropy,
    challenge: Option<[u8; 8]>,
    passed: bool,
}

impl Handshake {
    pub(crate) fn new(entropy: Entropy) -> Self {
        Self { entropy, challenge: None, passed: false }
    }

    /// A new challenge; what was passed before counts no more.
    pub(crate) fn challenge(&mut self) -> [u8; 8] {
        let challenge = self.entropy.draw();
        self.challenge = Some(challenge);
        self.passed = false;
        challenge
    }

    /// Takes an answer. A challenge is good for one. `None` if there was none, or the answer has another length.
    pub(crate) fn answer(&mut self, cipher: &Cipher, answer: &[u8]) -> Option<bool> {
        let answer: &[u8; BLOCK] = answer.try_into().ok()?;
        let challenge = self.challenge.take()?;
        let mut block = [0; BLOCK];
        block[..8].copy_from_slice(&challenge);
        self.passed = cipher.encrypt(block) == *answer;
        Some(self.passed)
    }

    pub(crate) fn passed(&self) -> bool {
        self.passed
    }

    /// Power is gone.
    pub(crate) fn forget(&mut self) {
        self.challenge = None;
        self.passed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sm4_is_that_of_gb_t_32907() {
        let key = 0x0123_4567_89AB_CDEF_FEDC_BA98_7654_3210_u128.to_be_bytes();
        let cipher = Cipher::new(&key);
        let secret = 0x681E_DF34_D206_965E_86B3_E94F_536E_4246_u128.to_be_bytes();
        assert_eq!(cipher.encrypt(key), secret);
        assert_eq!(cipher.decrypt(&secret), Some(key.to_vec()));
        assert_eq!(cipher.decrypt(&secret[1..]), None);
    }

    #[test]
    fn padding_ends_at_the_last_80_with_only_zeros_behind_it() {
        assert_eq!(unpad(&[1, 2, 0x80, 0, 0]), Some(&[1, 2][..]));
        assert_eq!(unpad(&[1, 0x80, 0x80]), Some(&[1, 0x80][..]));
        assert_eq!(unpad(&[0x80, 0]), Some(&[][..]));
        assert_eq!(unpad(&[1, 0x80, 2]), None);
        assert_eq!(unpad(&[0, 0]), None);
    }

    #[test]
    fn a_challenge_is_good_for_one_answer() {
        let cipher = Cipher::new(&[7; 16]);
        let mut handshake = Handshake::new(Entropy::scripted([[0; 8], [0; 8]]));
        let right = cipher.encrypt([0; 16]);
        assert_eq!(handshake.answer(&cipher, &right), None, "nobody asked");
        handshake.challenge();
        assert_eq!(handshake.answer(&cipher, &right), Some(true));
        assert!(handshake.passed());
        assert_eq!(handshake.answer(&cipher, &right), None, "spent");
        handshake.challenge();
        assert!(!handshake.passed());
        assert_eq!(handshake.answer(&cipher, &[0; 16]), Some(false));
    }
}
