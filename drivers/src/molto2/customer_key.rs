//! The customer key: the 16 bytes that a Molto2 wants before it is written to.
//!
//! As text it is 16 bytes of UTF-8, taken as they are, or 32 hexadecimal digits. SM4 is keyed with the first 16
//! bytes of its SHA-1.

use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::token2_wire::{Cipher, invalid};

/// What tokens are sold with.
const FACTORY: &[u8; 16] = b"TOKEN2MOLTO1-KEY";

/// A key for SM4, made from a customer key. Wiped on drop, never shown.
pub(super) struct CustomerKey(Zeroizing<[u8; 16]>);

impl CustomerKey {
    /// Reads it from a lock code.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is neither 16 bytes nor 32 hexadecimal digits.
    pub(super) fn parse(code: &[u8]) -> Result<Self, Error> {
        let key = match code.len() {
            16 => Some(Self::derive(code)),
            32 => unhex(code).map(|bytes| Self::derive(&bytes)),
            _ => None,
        };
        key.ok_or_else(|| invalid("code", "a customer key has 16 characters, or 32 hexadecimal digits"))
    }

    /// The key that tokens are sold with.
    pub(super) fn factory() -> Self {
        Self::derive(FACTORY)
    }

    fn derive(customer_key: &[u8]) -> Self {
        let digest = Zeroizing::new(Sha1::digest(customer_key).to_vec());
        // SHA-1 has 20 bytes.
        Self(Zeroizing::new(digest.first_chunk().copied().unwrap_or_default()))
    }

    /// The key, ready to use.
    pub(super) fn cipher(&self) -> Cipher {
        Cipher::new(&self.0)
    }

    /// The bytes, for the command that writes them.
    pub(super) fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

fn unhex(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    for [high, low] in digits.as_chunks::<2>().0 {
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTORY_SM4: u128 = 0x0992_50FD_B017_F442_DA42_9ECB_BEE1_7F79;

    #[test]
    fn a_customer_key_is_text_or_hexadecimal() {
        for code in [&b"TOKEN2MOLTO1-KEY"[..], b"544f4b454E324D4F4C544F312D4B4559"] {
            assert_eq!(*CustomerKey::parse(code).unwrap().expose(), FACTORY_SM4.to_be_bytes());
        }
        assert_eq!(*CustomerKey::factory().expose(), FACTORY_SM4.to_be_bytes());
        let zeros = CustomerKey::parse(b"00000000000000000000000000000000").unwrap();
        assert_eq!(*zeros.expose(), 0xE129_F27C_5103_BC5C_C44B_CDF0_A15E_160D_u128.to_be_bytes());
    }

    #[test]
    fn anything_else_is_no_customer_key() {
        for code in [&b""[..], b"short", &[b'a'; 17], &[b'0'; 31], &[b'g'; 32], &[b'0'; 64]] {
            let error = CustomerKey::parse(code).err().unwrap();
            assert!(matches!(error, Error::Invalid { field: "code", .. }), "{error}");
        }
    }
}
