//! The access code of the OATH applet: SET CODE and VALIDATE (YKOATH).
//!
//! The code is any text. The applet keeps a 16-byte key made from it: PBKDF2-HMAC-SHA-1 over the bytes of the
//! code, salted with the applet's 8-byte id, 1000 iterations (RFC 8018 §5.2). Either side proves with HMAC-SHA-1
//! that it knows the key: VALIDATE answers the card's challenge, and the card answers the host's. A wrong
//! answer is `6A80`; there is no retry counter.

use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::commands::tag;
use crate::error::Error;
use crate::iso7816::status::StatusWord;
use crate::iso7816::{Command, Malformed, nothing, tlv};

/// PBKDF2 iterations, fixed by the protocol.
const ITERATIONS: u32 = 1000;

/// Type and algorithm of the key in SET CODE, as Yubico's own client writes it (TOTP, SHA-1).
const KEY_TYPE: u8 = 0x21;

/// An access key, tied to the applet id it was made for. Wiped when dropped, and not `Debug`.
#[derive(Clone)]
pub(super) struct AccessKey {
    id: [u8; 8],
    key: Zeroizing<[u8; 16]>,
}

impl AccessKey {
    /// Derives the key.
    pub(super) fn derive(code: &[u8], id: [u8; 8]) -> Self {
        let prf = hmac_sha1_under(code);
        let mut block = prf.clone();
        block.update(&id);
        block.update(&1_u32.to_be_bytes());
        // The key is shorter than one hash, so only the first block of PBKDF2 is needed.
        let mut turn: Zeroizing<[u8; 20]> = Zeroizing::new(block.finalize().into_bytes().into());
        let mut sum = turn.clone();
        for _ in 1..ITERATIONS {
            let mut next = prf.clone();
            next.update(&*turn);
            turn = Zeroizing::new(next.finalize().into_bytes().into());
            for (sum, turn) in sum.iter_mut().zip(turn.iter()) {
                *sum ^= turn;
            }
        }
        let mut key = Zeroizing::new([0; 16]);
        for (key, sum) in key.iter_mut().zip(sum.iter()) {
            *key = *sum;
        }
        Self { id, key }
    }

    /// Whether the key belongs to this applet id. A RESET changes the id, and makes every key useless.
    pub(super) fn fits(&self, id: Option<[u8; 8]>) -> bool {
        id == Some(self.id)
    }

    /// HMAC-SHA-1 of a challenge under this key.
    fn answer(&self, challenge: &[u8]) -> [u8; 20] {
        let mut mac = hmac_sha1_under(&*self.key);
        mac.update(challenge);
        mac.finalize().into_bytes().into()
    }

    /// Whether a card's answer to our challenge shows that it has the key. Takes the same time either way.
    pub(super) fn is_proven_by(&self, answer: &[u8], challenge: &[u8]) -> bool {
        let mut mac = hmac_sha1_under(&*self.key);
        mac.update(challenge);
        mac.verify_slice(answer).is_ok()
    }
}

/// HMAC-SHA-1 with a key of any length (RFC 2104 §2): longer than a block is hashed, shorter is padded.
fn hmac_sha1_under(key: &[u8]) -> Hmac<Sha1> {
    let mut block = Zeroizing::new([0; 64]);
    let hashed: [u8; 20];
    let bytes = if key.len() > block.len() {
        hashed = Sha1::digest(key).into();
        &hashed[..]
    } else {
        key
    };
    for (slot, byte) in block.iter_mut().zip(bytes) {
        *slot = *byte;
    }
    Hmac::new(&(*block).into())
}

/// SET CODE: sets the access key, or removes it. The host proves that it has the key it sets.
pub(super) struct SetCode<'a> {
    pub(super) key: Option<&'a AccessKey>,
    pub(super) challenge: [u8; 8],
}

impl Command for SetCode<'_> {
    const NAME: &'static str = "SET CODE";
    const INS: u8 = 0x03;
    type Response = ();

    fn encode(&self, data: &mut Vec<u8>) {
        let Some(key) = self.key else {
            tlv::push(data, tag::KEY, &[]);
            return;
        };
        let mut typed = Zeroizing::new(Vec::with_capacity(17));
        typed.push(KEY_TYPE);
        typed.extend_from_slice(&*key.key);
        tlv::push(data, tag::KEY, &typed);
        tlv::push(data, tag::CHALLENGE, &self.challenge);
        tlv::push(data, tag::RESPONSE, &key.answer(&self.challenge));
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        (status == StatusWord::SECURITY).then_some(Error::Locked)
    }
}

/// VALIDATE: answers the card's challenge and asks it to answer ours.
pub(super) struct Validate<'a> {
    pub(super) key: &'a AccessKey,
    /// What SELECT gave.
    pub(super) theirs: &'a [u8],
    pub(super) ours: [u8; 8],
}

impl Command for Validate<'_> {
    const NAME: &'static str = "VALIDATE";
    const INS: u8 = 0xA3;
    /// The card's answer, still to be checked.
    type Response = Vec<u8>;

    fn encode(&self, data: &mut Vec<u8>) {
        tlv::push(data, tag::RESPONSE, &self.key.answer(self.theirs));
        tlv::push(data, tag::CHALLENGE, &self.ours);
    }

    fn decode(data: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut reader = tlv::Reader::new(data);
        let answer = reader.expect(tag::RESPONSE)?.to_vec();
        reader.finish()?;
        Ok(answer)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        (status.0 == 0x6A80).then_some(Error::WrongLockCode { attempts_left: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn keys_are_derived_as_the_card_expects() {
        for (code, key) in [
            ("password", "ed1b5a43d3a86504dd13c9da7606bd35"),
            ("pässwörd", "48202fb796ac715dd26e3642dbecdb1a"),
        ] {
            assert_eq!(hex(&*AccessKey::derive(code.as_bytes(), ID).key), key, "{code}");
        }
    }

    #[test]
    fn set_code_is_encoded_byte_for_byte() {
        let key = AccessKey::derive(b"password", ID);
        let challenge = [0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8];
        let mut data = Vec::new();
        SetCode { key: Some(&key), challenge }.encode(&mut data);
        assert_eq!(
            hex(&data),
            "731121ed1b5a43d3a86504dd13c9da7606bd357408a1a2a3a4a5a6a7a8\
             7514d6725fb0119b3ce7ea6070d702b54e9935c4bb6f"
        );
        data.clear();
        SetCode { key: None, challenge }.encode(&mut data);
        assert_eq!(hex(&data), "7300");
    }

    #[test]
    fn validate_proves_both_sides() {
        let key = AccessKey::derive(b"password", ID);
        let theirs = [0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x10];
        let ours = [0xB1, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8];
        let mut data = Vec::new();
        Validate { key: &key, theirs: &theirs, ours }.encode(&mut data);
        assert_eq!(hex(&data), "75146718d28d79e08f2f1703079e9230df097320d8877408b1b2b3b4b5b6b7b8");
        let mut reply = vec![0x75, 0x14];
        reply.extend_from_slice(&[
            0xC3, 0x44, 0x1C, 0x8A, 0xB3, 0x42, 0xD4, 0x45, 0xA0, 0xEE, 0x63, 0xB8, 0x36, 0x23, 0xA6, 0xA4,
            0xF8, 0x59, 0x14, 0x8C,
        ]);
        let answer = Validate::decode(&reply).unwrap();
        assert!(key.is_proven_by(&answer, &ours));
        assert!(!key.is_proven_by(&answer, &theirs));
        assert!(!key.is_proven_by(&answer[..19], &ours));
        assert!(!key.is_proven_by(&[], &ours));
    }

    #[test]
    fn a_code_longer_than_a_hash_block_is_hashed_first() {
        // RFC 2202, test case 6: an 80-byte key.
        let mut mac = hmac_sha1_under(&[0xAA; 80]);
        mac.update(b"Test Using Larger Than Block-Size Key - Hash Key First");
        let bytes: [u8; 20] = mac.finalize().into_bytes().into();
        assert_eq!(hex(&bytes), "aa4ae5e15272d00e95705637ce8a3b55ed402112");
    }

    #[test]
    fn a_key_fits_only_the_id_it_was_made_for() {
        let key = AccessKey::derive(b"password", ID);
        assert!(key.fits(Some(ID)));
        assert!(!key.fits(Some([0; 8])));
        assert!(!key.fits(None));
    }
}
