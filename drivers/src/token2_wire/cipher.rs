//! SM4 (GB/T 32907, ISO/IEC 18033-3) as these tokens use it: blocks of 16 bytes, one by one, and a MAC.
//!
//! What is encrypted is padded with 80 and zeros to whole blocks, always with one byte at least (ISO/IEC 9797-1,
//! padding method 2). The MAC over `80 INS P1 P2 Lb body` is CBC with a zero vector, cut to 4 bytes; there the
//! padding is left out if the message is whole blocks already. The class byte under the MAC is 80 although 84
//! goes out, and Lb counts the body without the MAC.

use sm4::Sm4;
use sm4::cipher::{BlockCipherEncrypt, KeyInit};
use zeroize::Zeroizing;

use crate::iso7816::apdu::Header;

const BLOCK: usize = 16;

/// Class byte under the MAC.
const MAC_CLASS: u8 = 0x80;

/// An SM4 key, ready to use; wiped on drop.
#[derive(Clone)]
pub(crate) struct Cipher(Sm4);

impl Cipher {
    pub(crate) fn new(key: &[u8; BLOCK]) -> Self {
        Self(Sm4::new(key.into()))
    }

    /// The answer to a challenge: it and 8 zeros, encrypted.
    pub(crate) fn answer(&self, challenge: [u8; 8]) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block.iter_mut().zip(challenge).for_each(|(to, from)| *to = from);
        self.0.encrypt_block((&mut block).into());
        block
    }

    /// The data with its padding, encrypted.
    pub(crate) fn encrypt_padded(&self, data: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut blocks = padded(data);
        for block in blocks.as_chunks_mut::<BLOCK>().0 {
            self.0.encrypt_block(block.into());
        }
        blocks
    }

    /// The MAC of a command with this body.
    pub(crate) fn mac(&self, header: Header, body: &[u8]) -> [u8; 4] {
        let Header { ins, p1, p2 } = header;
        // A body has 68 bytes at most.
        let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
        let mut message = Zeroizing::new(Vec::with_capacity(5 + body.len() + BLOCK));
        message.extend_from_slice(&[MAC_CLASS, ins, p1, p2, length]);
        message.extend_from_slice(body);
        if !message.len().is_multiple_of(BLOCK) {
            pad(&mut message);
        }
        let mut chain = [0; BLOCK];
        for block in message.as_chunks::<BLOCK>().0 {
            chain.iter_mut().zip(block).for_each(|(chained, byte)| *chained ^= byte);
            self.0.encrypt_block((&mut chain).into());
        }
        let [m0, m1, m2, m3, ..] = chain;
        [m0, m1, m2, m3]
    }
}

/// 80, then zeros up to whole blocks.
fn pad(data: &mut Vec<u8>) {
    data.push(0x80);
    data.resize(data.len().next_multiple_of(BLOCK), 0x00);
}

/// The data and its padding, in a buffer of its own.
fn padded(data: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut padded = Zeroizing::new(Vec::with_capacity(data.len() + BLOCK));
    padded.extend_from_slice(data);
    pad(&mut padded);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sm4_is_that_of_gb_t_32907() {
        let key: [u8; 16] = 0x0123_4567_89AB_CDEF_FEDC_BA98_7654_3210_u128.to_be_bytes();
        let encrypted = Cipher::new(&key).encrypt_padded(&key);
        assert_eq!(encrypted[..16], 0x681E_DF34_D206_965E_86B3_E94F_536E_4246_u128.to_be_bytes());
    }

    #[test]
    fn padding_is_always_there() {
        for (length, whole) in [(0, 16), (15, 16), (16, 32), (20, 32), (32, 48), (63, 64)] {
            let padded = padded(&vec![7; length]);
            assert_eq!((padded.len(), padded[length]), (whole, 0x80));
            assert!(padded[length + 1..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn a_message_of_whole_blocks_has_a_mac_without_padding() {
        let cipher = Cipher::new(&[7; 16]);
        let header = Header { ins: 0xD4, p1: 0x01, p2: 0x00 };
        let message = [0x80, 0xD4, 0x01, 0x00, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
        assert_eq!(cipher.mac(header, &message[5..]), cipher.encrypt_padded(&message)[..4]);
    }
}
