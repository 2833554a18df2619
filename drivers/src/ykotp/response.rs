//! Challenges and what becomes of the response.
//!
//! A key for challenges of any length gets 64 bytes and takes away the run of equal bytes at their end. So a challenge
//! of at most 63 bytes is padded with zeros, or with ones if it ends with a zero itself. The response is an HMAC, of
//! which the host makes a passcode (RFC 4226 §5.3).

use zeroize::Zeroizing;

/// Length of a challenge with its padding.
pub(super) const CHALLENGE: usize = 64;

/// Pads a challenge of at most 63 bytes.
pub(super) fn pad(challenge: &[u8]) -> Zeroizing<[u8; CHALLENGE]> {
    let mut padded = Zeroizing::new([u8::from(challenge.last() == Some(&0)); CHALLENGE]);
    for (place, byte) in padded.iter_mut().zip(challenge) {
        *place = *byte;
    }
    padded
}

/// The passcode: dynamic truncation, then the last `digits` decimal digits, leading zeros included.
pub(super) fn passcode(response: &[u8], digits: u8) -> String {
    let offset = usize::from(response.last().copied().unwrap_or_default() & 0x0F);
    let word = response.get(offset..).and_then(|tail| tail.first_chunk().copied()).unwrap_or_default();
    let text = Zeroizing::new(format!("{:010}", u32::from_be_bytes(word) & 0x7FFF_FFFF));
    text.get(text.len().saturating_sub(usize::from(digits))..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_differs_from_the_last_byte() {
        assert_eq!(pad(b"abc")[..5], *b"abc\0\0");
        assert_eq!(pad(b"abc\0")[..6], *b"abc\0\x01\x01");
        assert_eq!(*pad(b""), [0; 64]);
        assert_eq!(pad(&[7; 63])[62..], [7, 0]);
    }

    #[test]
    fn a_response_becomes_the_passcode_of_rfc_6238() {
        let response = [
            0x75, 0xA4, 0x8A, 0x19, 0xD4, 0xCB, 0xE1, 0x00, 0x64, 0x4E, 0x8A, 0xC1, 0x39, 0x7E, 0xEA, 0x74,
            0x7A, 0x2D, 0x33, 0xAB,
        ];
        assert_eq!((passcode(&response, 6), passcode(&response, 8)), ("287082".into(), "94287082".into()));
        assert_eq!(passcode(&[], 6), "000000");
    }
}
