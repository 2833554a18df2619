//! HMAC keyed with anything from no bytes upwards, in the one place that has to know that this cannot fail.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A MAC of HMAC-SHA-256.
pub(super) type Tag = [u8; 32];

/// Keys a MAC; HMAC hashes long keys and pads short ones (RFC 2104 §2), so every length will do.
pub(super) fn keyed<M: KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"))
}

/// HMAC-SHA-256 over the parts, each preceded by its length in bytes, so that no two lists of parts look alike.
pub(super) fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> Tag {
    let mut mac: Hmac<Sha256> = keyed(key);
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_part_ends_and_the_next_begins_matters() {
        let key = [7; 32];
        assert_ne!(hmac_sha256(&key, &[b"ab", b"c"]), hmac_sha256(&key, &[b"a", b"bc"]));
        assert_ne!(hmac_sha256(&key, &[b"a"]), hmac_sha256(&key, &[b"a", b""]));
        assert_ne!(hmac_sha256(&key, &[b"a"]), hmac_sha256(&[8; 32], &[b"a"]));
    }

    #[test]
    fn keys_of_every_length_are_taken() {
        for length in [0, 1, 64, 65, 128, 200] {
            let _: Hmac<Sha256> = keyed(&vec![1; length]);
        }
    }
}
