//! HOTP values as the device computes them (RFC 4226 §5.3, with the hashes of RFC 6238 §1.2).

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::credential::Hash;

/// HMAC of a message under a key of any length.
pub(crate) fn hmac(hash: Hash, key: &[u8], message: &[u8]) -> Vec<u8> {
    fn compute<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
        // HMAC takes keys of any length (RFC 2104 §2), so the error has no case.
        <M as KeyInit>::new_from_slice(key)
            .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
            .unwrap_or_default()
    }
    match hash {
        Hash::Sha1 => compute::<Hmac<Sha1>>(key, message),
        Hash::Sha256 => compute::<Hmac<Sha256>>(key, message),
        Hash::Sha512 => compute::<Hmac<Sha512>>(key, message),
    }
}

/// Dynamic truncation to 31 bits: the four bytes at the offset that the last nibble names.
pub(crate) fn truncate(mac: &[u8]) -> u32 {
    let offset = usize::from(mac.last().copied().unwrap_or(0) & 0x0F);
    let word = mac.get(offset..).and_then(|tail| tail.first_chunk().copied()).unwrap_or([0; 4]);
    u32::from_be_bytes(word) & 0x7FFF_FFFF
}

/// The passcode as text: the last `digits` decimal digits, leading zeros included.
pub(crate) fn passcode(truncated: u32, digits: u8) -> String {
    let digits = usize::from(digits.clamp(1, 10));
    let text = format!("{truncated:010}");
    text.get(text.len() - digits..).unwrap_or_default().to_owned()
}

/// PBKDF2-HMAC-SHA-1, the first 16 bytes (RFC 8018 §5.2): less than one block, so there is only the first.
pub(crate) fn pbkdf2_sha1(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 16] {
    let mut round = hmac(Hash::Sha1, password, &[salt, &[0, 0, 0, 1]].concat());
    let mut sum = round.clone();
    for _ in 1..iterations {
        round = hmac(Hash::Sha1, password, &round);
        sum.iter_mut().zip(&round).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &[u8] = b"12345678901234567890";

    #[test]
    fn the_values_are_those_of_rfc_4226_appendix_d() {
        let shown: Vec<String> = (0u64..10)
            .map(|counter| passcode(truncate(&hmac(Hash::Sha1, SEED, &counter.to_be_bytes())), 6))
            .collect();
        let expected = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
            "520489",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn derived_keys_are_those_of_rfc_6070() {
        let hex = |key: [u8; 16]| key.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(hex(pbkdf2_sha1(b"password", b"salt", 1)), "0c60c80f961f0e71f3a9b524af601206");
        assert_eq!(hex(pbkdf2_sha1(b"password", b"salt", 4096)), "4b007901b765489abead49d926f721d0");
    }

    #[test]
    fn the_values_are_those_of_rfc_6238_appendix_b() {
        let seed = |length| SEED.iter().copied().cycle().take(length).collect::<Vec<u8>>();
        let show =
            |hash, length, step: u64| passcode(truncate(&hmac(hash, &seed(length), &step.to_be_bytes())), 8);
        assert_eq!(show(Hash::Sha1, 20, 1), "94287082");
        assert_eq!(show(Hash::Sha256, 32, 1), "46119246");
        assert_eq!(show(Hash::Sha512, 64, 1), "90693936");
        assert_eq!(show(Hash::Sha1, 20, 0x0235_23EC), "07081804");
    }
}
