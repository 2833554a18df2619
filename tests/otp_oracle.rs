//! Passcodes computed the slow way, straight from RFC 2104 and RFC 4226, sharing nothing with the server but the
//! hash functions.

use fobd::otp::algorithm::Algorithm;
use sha1::Digest;

/// The passcode of a moving factor.
pub(crate) fn passcode(secret: &[u8], algorithm: Algorithm, digits: u32, factor: u64) -> String {
    let mac = match algorithm {
        Algorithm::Sha1 => hmac::<sha1::Sha1>(64, secret, factor),
        Algorithm::Sha256 => hmac::<sha2::Sha256>(64, secret, factor),
        Algorithm::Sha512 => hmac::<sha2::Sha512>(128, secret, factor),
    };
    let at = usize::from(mac[mac.len() - 1] % 16);
    let number =
        mac[at..at + 4].iter().fold(0_u64, |number, byte| number * 256 + u64::from(*byte)) % (1 << 31);
    let text = format!("{number:0>20}");
    text[text.len() - digits as usize..].to_owned()
}

fn hmac<H: Digest>(block: usize, key: &[u8], message: u64) -> Vec<u8> {
    let mut padded = if key.len() > block { H::digest(key).to_vec() } else { key.to_vec() };
    padded.resize(block, 0);
    let keyed = |pad: u8| padded.iter().map(|byte| byte ^ pad).collect::<Vec<_>>();
    let inner = H::digest([keyed(0x36), (0..8).map(|n| (message >> (56 - 8 * n)) as u8).collect()].concat());
    H::digest([keyed(0x5c), inner.to_vec()].concat()).to_vec()
}
