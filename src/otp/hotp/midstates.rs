//! HMAC (RFC 2104) of one moving factor, from the two states of the hash after the padded key.
//!
//! A moving factor has 8 bytes, so that message and padding fit into one block, and so does the hash of the inner half:
//! each factor costs two compressions, and nothing is set up, copied or padded at run time but 8 bytes. The `hmac` crate
//! does the same compressions, and twice as much beside them. The states are as good as the secret: they are wiped.

use sha1::block_api::compress;
use sha2::block_api::{compress256, compress512};
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroize as _;

use sha1::Sha1;

use super::super::algorithm::Algorithm;

const INNER: u8 = 0x36;
const OUTER: u8 = 0x5c;

/// State of a hash before the first block (FIPS 180-4 §5.3).
const SHA1: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
const SHA256: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
const SHA512: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// The states after the key with the inner and with the outer padding.
#[derive(Clone)]
pub(super) enum Midstates {
    Sha1([[u32; 5]; 2]),
    Sha256([[u32; 8]; 2]),
    Sha512([[u64; 8]; 2]),
}

impl Drop for Midstates {
    fn drop(&mut self) {
        match self {
            Self::Sha1(states) => states.zeroize(),
            Self::Sha256(states) => states.zeroize(),
            Self::Sha512(states) => states.zeroize(),
        }
    }
}

/// The key, filled up to a block; one that is longer is hashed first.
fn block<const BLOCK: usize>(key: &[u8], hashed: impl FnOnce() -> Vec<u8>, pad: u8) -> [u8; BLOCK] {
    let long;
    let key = if key.len() > BLOCK {
        long = zeroize::Zeroizing::new(hashed());
        &long[..]
    } else {
        key
    };
    let mut block = [pad; BLOCK];
    block.iter_mut().zip(key).for_each(|(place, byte)| *place ^= byte);
    block
}

/// A block with a message and its padding, where one block of the key came before it (FIPS 180-4 §5.1).
fn padded<const BLOCK: usize, const LENGTH: usize>(message: [u8; LENGTH]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let bits = 8 * (BLOCK + LENGTH) as u64;
    // There is room for all three in any block that is asked for, so that none of these looks is left at run time.
    if let Some((start, rest)) = block.split_first_chunk_mut() {
        *start = message;
        if let Some(mark) = rest.first_mut() {
            *mark = 0x80;
        }
    }
    if let Some(end) = block.last_chunk_mut() {
        *end = bits.to_be_bytes();
    }
    block
}

macro_rules! words {
    ($state:expr, $bytes:literal) => {{
        let mut bytes = [0; $bytes];
        let places = bytes.chunks_exact_mut($bytes / $state.len());
        places.zip(&$state).for_each(|(place, word)| place.copy_from_slice(&word.to_be_bytes()));
        bytes
    }};
}

/// Two compressions: the inner hash of the factor, and the outer one of that.
macro_rules! hmac {
    ($compress:ident, $states:expr, $factor:expr, $block:literal, $bytes:literal) => {{
        let [mut inner, mut outer] = *$states;
        $compress(&mut inner, &[padded::<$block, 8>($factor.to_be_bytes())]);
        $compress(&mut outer, &[padded::<$block, $bytes>(words!(inner, $bytes))]);
        truncate(&words!(outer, $bytes))
    }};
}

macro_rules! keyed {
    ($compress:ident, $start:ident, $hash:ty, $key:expr, $block:literal) => {
        [INNER, OUTER].map(|pad| {
            let mut state = $start;
            let mut block = block::<$block>($key, || <$hash>::digest($key).to_vec(), pad);
            $compress(&mut state, &[block]);
            block.zeroize();
            state
        })
    };
}

impl Midstates {
    pub(super) fn keyed(key: &[u8], algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(keyed!(compress, SHA1, Sha1, key, 64)),
            Algorithm::Sha256 => Self::Sha256(keyed!(compress256, SHA256, Sha256, key, 64)),
            Algorithm::Sha512 => Self::Sha512(keyed!(compress512, SHA512, Sha512, key, 128)),
        }
    }

    /// The truncated HMAC of a factor: 31 bits.
    pub(super) fn number(&self, factor: u64) -> u32 {
        match self {
            Self::Sha1(states) => hmac!(compress, states, factor, 64, 20),
            Self::Sha256(states) => hmac!(compress256, states, factor, 64, 32),
            Self::Sha512(states) => hmac!(compress512, states, factor, 128, 64),
        }
    }
}

/// Dynamic truncation (RFC 4226 §5.3): the low four bits of the last byte say where the 31 bits begin.
pub(super) fn truncate(hmac: &[u8]) -> u32 {
    let offset = hmac.last().map_or(0, |last| usize::from(last & 0x0f));
    // The shortest HMAC has 20 bytes and the offset is at most 15, so the four bytes are always there.
    let four = hmac.get(offset..).and_then(|tail| tail.first_chunk()).copied().unwrap_or_default();
    u32::from_be_bytes(four) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};

    use super::*;

    /// The HMAC of RFC 4226 §5.4.
    const EXAMPLE: [u8; 20] = [
        0x1f, 0x86, 0x98, 0x69, 0x0e, 0x02, 0xca, 0x16, 0x61, 0x85, 0x50, 0xef, 0x7f, 0x19, 0xda, 0x8e, 0x94,
        0x5b, 0x55, 0x5a,
    ];

    #[test]
    fn truncation_follows_the_example_of_the_rfc() {
        assert_eq!(truncate(&EXAMPLE), 0x50ef_7f19);
    }

    #[test]
    fn truncation_masks_the_sign_and_reaches_the_last_offset() {
        let mut hmac = EXAMPLE;
        hmac[19] = 0xff;
        hmac[15] = 0x80;
        assert_eq!(truncate(&hmac), 0x0094_5b55);
    }

    #[test]
    fn the_numbers_are_those_of_the_hmac_crate_for_keys_of_every_length() {
        macro_rules! reference {
            ($hash:ty, $key:expr, $factor:expr) => {
                truncate(
                    &Hmac::<$hash>::new_from_slice($key)
                        .unwrap()
                        .chain_update($factor.to_be_bytes())
                        .finalize()
                        .into_bytes(),
                )
            };
        }
        for length in 0..=200_u8 {
            let key: Vec<u8> = (0..length).map(|place| place.wrapping_mul(37) ^ length).collect();
            for factor in [0, 1, u64::from(length) << 20, u64::MAX] {
                let number = |algorithm| Midstates::keyed(&key, algorithm).number(factor);
                assert_eq!(number(Algorithm::Sha1), reference!(Sha1, &key, factor));
                assert_eq!(number(Algorithm::Sha256), reference!(Sha256, &key, factor));
                assert_eq!(number(Algorithm::Sha512), reference!(Sha512, &key, factor));
            }
        }
    }
}
