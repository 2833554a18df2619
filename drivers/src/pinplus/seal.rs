//! What protects a record on its way: P-256 agreement (SEC 1 §3.3.1, the X coordinate), AES-256-CBC with PKCS#7
//! padding, HMAC-SHA-256.
//!
//! | | without PIN: a seal | with PIN: a session |
//! |---|---|---|
//! | keys | SHA-256 of X | `enc`, `mac` by HMAC from X |
//! | IV | fixed | random, in front |
//! | in front | the host's point | |
//! | behind | | HMAC of the ciphertext under `mac`, 16 bytes |
//!
//! The host's scalar is new each time, so a fixed IV meets each key once. Points are X and Y, 64 bytes.

use aes::Aes256;
use cbc::cipher::block_padding::{NoPadding, Padding, Pkcs7};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{PublicKey, SecretKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::iso7816::Malformed;
use crate::transport::TransportError;

/// IV of a sealed record.
pub(super) const RECORD_IV: [u8; 16] =
    [0x9D, 0xD8, 0x91, 0x8E, 0x34, 0xF3, 0xCC, 0xAB, 0x08, 0xCB, 0x75, 0x18, 0xF7, 0x19, 0x38, 0xF1];
/// IV of the sealed seed of the button's slot.
pub(super) const BUTTON_IV: [u8; 16] = [0; 16];

/// A point, X and Y.
pub(super) type Point = [u8; 64];
type Key = Zeroizing<[u8; 32]>;

/// The host's half of an agreement.
pub(super) struct Agreement(SecretKey);

impl Agreement {
    /// A new one from the operating system's random numbers.
    ///
    /// # Errors
    /// [`Error::Transport`] if there are none.
    pub(super) fn new() -> Result<Self, Error> {
        loop {
            let scalar: Key = Zeroizing::new(random()?);
            // Fails for one number in 2^32 only.
            if let Ok(key) = SecretKey::from_slice(&*scalar) {
                return Ok(Self(key));
            }
        }
    }

    /// The host's point.
    pub(super) fn point(&self) -> Point {
        let point = self.0.public_key().to_sec1_point(false);
        point.as_bytes().last_chunk().copied().unwrap_or([0; 64])
    }

    /// The X coordinate of the shared point.
    fn with(&self, device: &Point) -> Result<Key, Malformed> {
        let mut sec1 = [0x04; 65];
        for (byte, told) in sec1.iter_mut().skip(1).zip(device) {
            *byte = *told;
        }
        let device =
            PublicKey::from_sec1_bytes(&sec1).map_err(|_| Malformed::new("point is not on the curve", 0))?;
        Ok(Zeroizing::new((*self.0.diffie_hellman(&device).raw_secret_bytes()).into()))
    }

    /// Seals a record for the key with this point.
    ///
    /// # Errors
    /// [`Malformed`] if the point is none.
    pub(super) fn seal(&self, device: &Point, iv: &[u8; 16], clear: &[u8]) -> Result<Vec<u8>, Malformed> {
        let shared = self.with(device)?;
        let key: Key = Zeroizing::new(Sha256::digest(shared.as_slice()).into());
        let mut sealed = self.point().to_vec();
        sealed.extend_from_slice(&encrypt::<Pkcs7>(&key, iv, clear));
        Ok(sealed)
    }

    /// The keys of a session with the key that has this point.
    ///
    /// # Errors
    /// [`Malformed`] if the point is none.
    pub(super) fn session(&self, device: &Point) -> Result<Session, Malformed> {
        let shared = self.with(device)?;
        let first = hmac(&[0; 32], &[&*shared]);
        Ok(Session {
            enc: hmac(&first, &[b"TOTP AES key", &[0x01]]),
            mac: hmac(&first, &[b"TOTP HMAC key", &[0x01]]),
        })
    }
}

/// The keys of a session. Wiped when dropped, and not `Debug`.
pub(super) struct Session {
    enc: Key,
    mac: Key,
}

impl Session {
    /// IV, ciphertext, tag.
    pub(super) fn protect(&self, iv: &[u8; 16], clear: &[u8]) -> Vec<u8> {
        let text = encrypt::<Pkcs7>(&self.enc, iv, clear);
        let mut data = iv.to_vec();
        data.extend_from_slice(&text);
        data.extend_from_slice(&self.tag(&[&text]));
        data
    }

    /// Checks the tag, which takes the same time wherever it is wrong, and decrypts.
    ///
    /// # Errors
    /// [`Malformed`] if the tag or the padding is wrong.
    pub(super) fn unprotect(&self, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        let short = Malformed::new("protected data is too short", 0);
        let (iv, rest) = data.split_first_chunk::<16>().ok_or(short)?;
        let (text, tag) = rest.split_last_chunk::<16>().ok_or(short)?;
        let mut mac = hmac_under(&self.mac);
        mac.update(text);
        mac.verify_truncated_left(tag)
            .map_err(|_| Malformed::new("tag of protected data is wrong", 16 + text.len()))?;
        decrypt::<Pkcs7>(&self.enc, iv, text).ok_or(Malformed::new("padding of protected data is wrong", 16))
    }

    /// A block as it is, without padding.
    pub(super) fn encrypt_block(&self, iv: &[u8; 16], block: &[u8; 16]) -> Zeroizing<Vec<u8>> {
        encrypt::<NoPadding>(&self.enc, iv, block)
    }

    /// Text with padding, without a tag.
    pub(super) fn encrypt(&self, iv: &[u8; 16], clear: &[u8]) -> Zeroizing<Vec<u8>> {
        encrypt::<Pkcs7>(&self.enc, iv, clear)
    }

    /// A block as it is.
    pub(super) fn decrypt_block(&self, iv: &[u8; 16], block: &[u8; 16]) -> Option<Zeroizing<[u8; 16]>> {
        let clear = decrypt::<NoPadding>(&self.enc, iv, block)?;
        Some(Zeroizing::new(*clear.first_chunk()?))
    }

    /// The tag over all parts.
    pub(super) fn tag(&self, parts: &[&[u8]]) -> [u8; 16] {
        hmac(&self.mac, parts).first_chunk().copied().unwrap_or_default()
    }
}

/// One block under another key.
pub(super) fn encrypt_block(key: &[u8; 32], iv: &[u8; 16], block: &[u8; 16]) -> Zeroizing<[u8; 16]> {
    let text = encrypt::<NoPadding>(key, iv, block);
    Zeroizing::new(text.first_chunk().copied().unwrap_or_default())
}

/// Random bytes from the operating system.
///
/// # Errors
/// [`Error::Transport`] if there are none.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| TransportError::Failed { call: "getrandom", detail: error.to_string() })?;
    Ok(bytes)
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Key {
    let mut mac = hmac_under(key);
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// HMAC-SHA-256 under a key shorter than a block, which is padded (RFC 2104 §2).
fn hmac_under(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    for (slot, byte) in block.iter_mut().zip(key) {
        *slot = *byte;
    }
    Hmac::new(&(*block).into())
}

fn encrypt<P: Padding>(key: &[u8; 32], iv: &[u8; 16], clear: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut buffer = Zeroizing::new(clear.to_vec());
    buffer.resize(clear.len() + 16, 0);
    let cipher = cbc::Encryptor::<Aes256>::new(&(*key).into(), &(*iv).into());
    // There is room for one block more, and what goes without padding is whole blocks.
    let length = cipher.encrypt_padded::<P>(&mut buffer, clear.len()).map_or(0, <[u8]>::len);
    buffer.truncate(length);
    buffer
}

fn decrypt<P: Padding>(key: &[u8; 32], iv: &[u8; 16], text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut buffer = Zeroizing::new(text.to_vec());
    let cipher = cbc::Decryptor::<Aes256>::new(&(*key).into(), &(*iv).into());
    let length = cipher.decrypt_padded::<P>(&mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// The host's scalar of the sheet's vectors: 0102...20.
    fn host() -> Agreement {
        Agreement(SecretKey::from_slice(&std::array::from_fn::<u8, 32, _>(|at| at as u8 + 1)).unwrap())
    }

    const HOST: &str = "515C3D6EB9E396B904D3FECA7F54FDCD0CC1E997BF375DCA515AD0A6C3B4035F
                        4536BE3A50F318FBF9A5475902A221502BEF0D57E08C53B2CC0A56F17D9F9354";

    fn device() -> Point {
        hex("261efbd3550cf068ef013ed7366ba32f5d6fe557b4b2abce8ade58cba168a55e
             1788a0b29a56a6abec4084c0c96bd3dcbca6b507f35dbea9e985708479d8bdc9")
        .try_into()
        .unwrap()
    }

    pub(in super::super) fn session() -> Session {
        host().session(&device()).unwrap()
    }

    pub(in super::super) fn counting_iv() -> [u8; 16] {
        std::array::from_fn(|at| at as u8)
    }

    #[test]
    fn both_sides_agree_on_the_x_of_the_sheet() {
        assert_eq!(host().point().to_vec(), hex(HOST));
        let shared = host().with(&device()).unwrap();
        assert_eq!(shared.to_vec(), hex("7434f2c52e0d08dc73394aae3d2d55d5b88bc570f21cc2b8f8b80b273ddbf76f"));
        assert_eq!(
            session().mac.to_vec(),
            hex("3b3789c66e91bd7019360c367f286c8f709c00069b0275dbead016f968b63064")
        );
        assert_eq!(
            session().enc.to_vec(),
            hex("d8ee16e0025d1e3da4679605aff1b8ef5db2aea2cff434f03114d070dccdf9f7")
        );
    }

    #[test]
    fn the_worked_record_is_sealed_byte_for_byte() {
        let clear = hex("01c1001e0600045465737405616c69636514 3132333435363738393031323334353637383930");
        let expected = format!(
            "{HOST} 88E1726D3C2A4046E9D524F1273F5CD214219E6D9A50B6DCD128875B9870AFFA
             A2B5FEBD32FE1C9C102ADB6E148C8501"
        );
        assert_eq!(host().seal(&device(), &RECORD_IV, &clear).unwrap(), hex(&expected));
        let off_curve = host().seal(&[7; 64], &RECORD_IV, &clear).unwrap_err();
        assert_eq!(off_curve.what, "point is not on the curve");
    }

    #[test]
    fn the_worked_page_is_protected_and_opened() {
        let clear = hex("01C1001E0600 04 54657374 05 616c696365 06 323837303832");
        let data = hex("000102030405060708090a0b0c0d0e0f
                        2683bec6d6e5953d3db7a938306ffdc94f77f3803a3e3e3eba37e3d1f681429c
                        05fee145410ae9a325c1da5afe198f67");
        assert_eq!(session().protect(&counting_iv(), &clear), data);
        assert_eq!(*session().unprotect(&data).unwrap(), clear);
    }

    #[test]
    fn what_was_touched_on_its_way_is_not_opened() {
        let data = session().protect(&counting_iv(), b"a page");
        for at in 16..data.len() {
            let mut touched = data.clone();
            touched[at] ^= 1;
            let error = session().unprotect(&touched).unwrap_err();
            assert_eq!(error.what, "tag of protected data is wrong", "byte {at}");
        }
        assert_eq!(session().unprotect(&[0; 31]).unwrap_err().what, "protected data is too short");
        let empty = [&[0; 16][..], &session().tag(&[&[]])].concat();
        assert_eq!(session().unprotect(&empty).unwrap_err().what, "padding of protected data is wrong");
    }

    #[test]
    fn two_agreements_are_never_the_same() {
        assert_ne!(Agreement::new().unwrap().point(), Agreement::new().unwrap().point());
    }
}
