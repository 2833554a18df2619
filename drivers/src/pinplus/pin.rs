//! The OTP PIN of firmware R3.4: its session and its commands.
//!
//! | command | P2 | data |
//! |---|---|---|
//! | READ AGREEMENT PUBKEY | 09 | the host's point; answers the key's and 132 bytes of signature |
//! | SET OTP PIN | 05 | IV, encrypted `07 64 length PIN`, tag |
//! | VERIFY OTP PIN | 06 | IV, encrypted proof; `00` locks again |
//! | CHANGE OTP PIN | 08 | as SET, tag over both texts, encrypted hash of the old PIN; length 0 removes |
//!
//! The flag is read before the agreement: SET is refused with 6985 otherwise. The proof is a random block of the
//! key's, encrypted under the SHA-256 of the PIN, with the SHA-256 of the block as IV. 6982 is a wrong PIN, 6983 one
//! too many. A PIN is 6 digits or more that are no run, no palindrome, and no digit four times; or at least 10
//! characters of two classes.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::commands::{CLA, FORM, INS, general};
use super::seal::{Point, Session, encrypt_block};
use crate::error::Error;
use crate::iso7816::apdu::Form;
use crate::iso7816::status::StatusWord;
use crate::iso7816::{Command, Malformed, nothing};

/// What helps when the PIN is blocked.
pub(super) const WAY_OUT: &str = "a reset erases every credential and the PIN";

/// Longest PIN that one command carries in short form.
const MAX_PIN: usize = 172;

/// AES-256, and the attempts that a new PIN gets: the numbers of the maker's clients.
const NEW_PIN: [u8; 2] = [0x07, 0x64];

/// Checks a new PIN before the key does.
///
/// # Errors
/// [`Error::Invalid`] that says what is wrong with it, never the PIN.
pub(super) fn check_new(pin: &[u8]) -> Result<(), Error> {
    let refuse = |problem: &str| Err(Error::Invalid { field: "code", problem: problem.to_owned() });
    if pin.is_empty() {
        return refuse("it is empty; no code at all removes it");
    }
    if pin.len() > MAX_PIN {
        return refuse("it is longer than 172 bytes");
    }
    let Ok(text) = std::str::from_utf8(pin) else { return refuse("it is no text") };
    if pin.iter().all(u8::is_ascii_digit) {
        let by_one = |from: u8, to: u8| from.checked_add(1) == Some(to);
        let pairs = || pin.iter().zip(pin.iter().skip(1));
        let most = (b'0'..=b'9').map(|digit| pin.iter().filter(|byte| **byte == digit).count()).max();
        return match () {
            () if pin.len() < 6 => refuse("digits alone have to be 6 at least"),
            () if pairs().all(|(a, b)| by_one(*a, *b)) => refuse("its digits count up"),
            () if pairs().all(|(a, b)| by_one(*b, *a)) => refuse("its digits count down"),
            () if pin.iter().eq(pin.iter().rev()) => refuse("it is the same backwards"),
            () if most > Some(3) => refuse("it has a digit more than three times"),
            () => Ok(()),
        };
    }
    let classes: [fn(char) -> bool; 4] = [
        |c| c.is_ascii_uppercase(),
        |c| c.is_ascii_lowercase(),
        |c| c.is_ascii_digit(),
        |c| !c.is_ascii_alphanumeric() && !c.is_whitespace(),
    ];
    let used = classes.into_iter().filter(|class| text.chars().any(class)).count();
    if text.chars().count() < 10 || used < 2 {
        return refuse("it has to be 6 digits, or 10 characters of two classes (upper, lower, digit, other)");
    }
    Ok(())
}

/// Data of SET.
pub(super) fn set_data(session: &Session, iv: &[u8; 16], pin: &[u8]) -> Vec<u8> {
    session.protect(iv, &new_pin(pin))
}

/// Data of VERIFY.
pub(super) fn verify_data(session: &Session, iv: &[u8; 16], pin: &[u8], rand: &[u8; 16]) -> Vec<u8> {
    let secret: Zeroizing<[u8; 32]> = Zeroizing::new(Sha256::digest(pin).into());
    let rand_hash: [u8; 32] = Sha256::digest(rand).into();
    let inner_iv = rand_hash.first_chunk().copied().unwrap_or_default();
    let proof = encrypt_block(&secret, &inner_iv, rand);
    let mut data = iv.to_vec();
    data.extend_from_slice(&session.encrypt_block(iv, &proof));
    data
}

/// Data of CHANGE; an empty new PIN removes it.
pub(super) fn change_data(session: &Session, iv: &[u8; 16], old: &[u8], new: &[u8]) -> Vec<u8> {
    let hash: Zeroizing<[u8; 32]> = Zeroizing::new(Sha256::digest(old).into());
    let half = Zeroizing::new(hash.first_chunk().copied().unwrap_or_default());
    let text = session.encrypt(iv, &new_pin(new));
    let old = session.encrypt_block(iv, &half);
    let mut data = iv.to_vec();
    data.extend_from_slice(&text);
    data.extend_from_slice(&session.tag(&[&text, &old]));
    data.extend_from_slice(&old);
    data
}

fn new_pin(pin: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut clear = Zeroizing::new(Vec::with_capacity(3 + pin.len()));
    clear.extend_from_slice(&NEW_PIN);
    // 172 at most was checked.
    clear.push(u8::try_from(pin.len()).unwrap_or(u8::MAX));
    clear.extend_from_slice(pin);
    clear
}

/// READ AGREEMENT PUBKEY.
pub(super) struct ReadAgreement<'a> {
    pub(super) point: &'a Point,
}

impl Command for ReadAgreement<'_> {
    const NAME: &'static str = "READ AGREEMENT PUBKEY";
    const CLA: u8 = CLA;
    const INS: u8 = INS;
    const FORM: Form = FORM;
    type Response = Point;

    fn p1_p2(&self) -> (u8, u8) {
        (0x05, 0x09)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(self.point);
    }

    fn decode(data: &[u8]) -> Result<Point, Malformed> {
        data.first_chunk().copied().ok_or(Malformed::new("point is not 64 bytes", 0))
    }
}

/// SET, VERIFY or CHANGE OTP PIN.
pub(super) struct PinCommand<'a, const P2: u8> {
    pub(super) data: &'a [u8],
}

pub(super) type SetPin<'a> = PinCommand<'a, 0x05>;
pub(super) type VerifyPin<'a> = PinCommand<'a, 0x06>;
pub(super) type ChangePin<'a> = PinCommand<'a, 0x08>;

/// VERIFY OTP PIN with the data that locks again.
pub(super) const LOCK: VerifyPin<'static> = PinCommand { data: &[0x00] };

impl<const P2: u8> Command for PinCommand<'_, P2> {
    const NAME: &'static str = match P2 {
        0x05 => "SET OTP PIN",
        0x06 => "VERIFY OTP PIN",
        _ => "CHANGE OTP PIN",
    };
    const CLA: u8 = CLA;
    const INS: u8 = INS;
    const FORM: Form = FORM;
    type Response = ();

    fn p1_p2(&self) -> (u8, u8) {
        (0x05, P2)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(self.data);
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        match status.0 {
            0x6982 => Some(Error::WrongLockCode { attempts_left: None }),
            0x6983 => Some(Error::Blocked { way_out: WAY_OUT }),
            // What was asked for is no longer so: another program has set or removed the PIN meanwhile.
            0x6A81 => Some(Error::Locked),
            _ => general(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::seal::tests::{counting_iv, hex, session};
    use super::*;

    #[test]
    fn set_and_verify_are_those_of_the_sheet() {
        let set = set_data(&session(), &counting_iv(), b"1357924");
        assert_eq!(
            set,
            hex("000102030405060708090a0b0c0d0e0f 9e1653e528d3248cd9174f20ab06066d
                 b8325769774bd7802eaa3c3ce90f5734")
        );
        let verify = verify_data(&session(), &counting_iv(), b"1357924", &[0x42; 16]);
        assert_eq!(verify, hex("000102030405060708090a0b0c0d0e0f bd6bb9ccb1eb267a98bc729bc91a2c8f"));
    }

    #[test]
    fn change_has_its_parts_in_order() {
        let data = change_data(&session(), &counting_iv(), b"1357924", b"Correct horse");
        assert_eq!(data.len(), 16 + 32 + 16 + 16);
        let (text, rest) = data[16..].split_at(32);
        let (tag, old) = rest.split_at(16);
        assert_eq!(tag, session().tag(&[text, old]));
        let hash = Sha256::digest(b"1357924");
        let block = session().decrypt_block(&counting_iv(), old.try_into().unwrap()).unwrap();
        assert_eq!(*block, hash[..16]);
    }

    #[test]
    fn a_pin_that_the_key_would_refuse_is_refused_before() {
        let refused = |pin: &str| check_new(pin.as_bytes()).err().map(|error| error.to_string());
        for (pin, problem) in [
            ("", "code: it is empty; no code at all removes it"),
            ("12357", "code: digits alone have to be 6 at least"),
            ("123456", "code: its digits count up"),
            ("987654", "code: its digits count down"),
            ("321123", "code: it is the same backwards"),
            ("7177127", "code: it has a digit more than three times"),
        ] {
            assert_eq!(refused(pin).as_deref(), Some(problem), "{pin}");
        }
        for pin in ["short1A", "abcdefghij", "ABCDEFGHIJ", "pass word"] {
            assert!(refused(pin).is_some_and(|problem| problem.contains("two classes")), "{pin}");
        }
        assert_eq!(refused(&"1a".repeat(87)).as_deref(), Some("code: it is longer than 172 bytes"));
        for pin in ["135790", "1357924", "Abcdefghi9", "correct horse?", "pässwörd-1"] {
            assert_eq!(refused(pin), None, "{pin}");
        }
        assert!(check_new(&[0xFF; 12]).is_err());
    }

    #[test]
    fn the_longest_pin_fits_a_short_command() {
        let pin = [b'x'; MAX_PIN];
        assert!(change_data(&session(), &counting_iv(), b"1", &pin).len() <= 255);
    }
}
