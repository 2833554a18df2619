//! What the applet computes with: P-256 (SEC 1), AES-256-CBC (NIST SP 800-38A), PKCS#7 padding by its own code,
//! HMAC-SHA-256. Points are X and Y without the leading 04.

use aes::Aes256;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{PublicKey, SecretKey};
use sha2::{Digest, Sha256};

use crate::credential::Hash;
use crate::entropy::Entropy;
use crate::otp::hmac;

/// IV of a sealed record; the button's slot has zeros instead. The key is new for each seal.
pub(super) const SEAL_IV: [u8; 16] =
    [0x9D, 0xD8, 0x91, 0x8E, 0x34, 0xF3, 0xCC, 0xAB, 0x08, 0xCB, 0x75, 0x18, 0xF7, 0x19, 0x38, 0xF1];

pub(super) fn new_key(entropy: &mut Entropy) -> SecretKey {
    loop {
        // Fails for one number in 2^32 only.
        let scalar = [entropy.block(), entropy.block()].concat();
        if let Ok(key) = SecretKey::from_slice(&scalar) {
            return key;
        }
    }
}

pub(super) fn point(key: &SecretKey) -> [u8; 64] {
    let point = key.public_key().to_sec1_point(false);
    point.as_bytes().last_chunk().copied().unwrap_or([0; 64])
}

/// The X coordinate of the shared point. `None` if the other point is not on the curve.
pub(super) fn agree(own: &SecretKey, other: &[u8]) -> Option<[u8; 32]> {
    let other = PublicKey::from_sec1_bytes(&[&[0x04], other].concat()).ok()?;
    Some((*own.diffie_hellman(&other).raw_secret_bytes()).into())
}

pub(super) fn sha256(data: &[u8]) -> [u8; 32] {
    Sha256::digest(data).into()
}

/// CBC over whole blocks.
pub(super) fn encrypt(key: &[u8; 32], iv: &[u8; 16], mut data: Vec<u8>) -> Vec<u8> {
    let length = data.len();
    let done = cbc::Encryptor::<Aes256>::new(&(*key).into(), &(*iv).into())
        .encrypt_padded::<NoPadding>(&mut data, length);
    if done.is_err() {
        data.clear();
    }
    data
}

/// CBC over whole blocks; `None` if there are none.
pub(super) fn decrypt(key: &[u8; 32], iv: &[u8; 16], data: &[u8]) -> Option<Vec<u8>> {
    let mut data = data.to_vec();
    cbc::Decryptor::<Aes256>::new(&(*key).into(), &(*iv).into())
        .decrypt_padded::<NoPadding>(&mut data)
        .ok()
        .filter(|clear| !clear.is_empty())?;
    Some(data)
}

/// Decrypts and takes the padding away.
pub(super) fn open(key: &[u8; 32], iv: &[u8; 16], data: &[u8]) -> Option<Vec<u8>> {
    let mut clear = decrypt(key, iv, data)?;
    let pad = usize::from(*clear.last()?);
    let length = clear.len().checked_sub(pad).filter(|_| (1..=16).contains(&pad))?;
    let padding = clear.split_off(length);
    padding.iter().all(|byte| usize::from(*byte) == pad).then_some(clear)
}

fn padded(mut clear: Vec<u8>) -> Vec<u8> {
    let pad = 16 - clear.len() % 16;
    clear.resize(clear.len() + pad, pad as u8);
    clear
}

/// The keys that both sides of an agreement share.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) enc: [u8; 32],
    pub(super) mac: [u8; 32],
}

impl Session {
    pub(super) fn new(shared: &[u8; 32]) -> Self {
        let first = hmac(Hash::Sha256, &[0; 32], shared);
        let derive = |label: &[u8]| {
            let key = hmac(Hash::Sha256, &first, &[label, &[1]].concat());
            key.first_chunk().copied().unwrap_or_default()
        };
        Self { enc: derive(b"TOTP AES key"), mac: derive(b"TOTP HMAC key") }
    }

    pub(super) fn tag(&self, data: &[u8]) -> [u8; 16] {
        hmac(Hash::Sha256, &self.mac, data).first_chunk().copied().unwrap_or_default()
    }

    /// IV, ciphertext, tag.
    pub(super) fn protect(&self, clear: &[u8], iv: [u8; 16]) -> Vec<u8> {
        let text = encrypt(&self.enc, &iv, padded(clear.to_vec()));
        [&iv[..], &text, &self.tag(&text)].concat()
    }

    /// Checks the tag first.
    pub(super) fn unprotect(&self, data: &[u8]) -> Option<Vec<u8>> {
        let (iv, rest) = data.split_first_chunk::<16>()?;
        let (text, tag) = rest.split_last_chunk::<16>()?;
        if self.tag(text) != *tag {
            return None;
        }
        open(&self.enc, iv, text)
    }
}
