//! Records, as they are written and as they are told.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | type: 00 HOTP, 01 TOTP |
//! | 1 | hash: C1 SHA-1, C2 SHA-256 |
//! | 2 | time step in seconds, most significant byte first |
//! | 1 | digits, 4 to 10 |
//! | 1 | 1 if each passcode wants the button |
//! | 1 + n, 1 + n | names of application and account |
//! | 1 + n | written: the seed, 1 to 64 bytes |
//! | 1 + n | told: the passcode; in a list only of TOTP without the button |
//!
//! In a page of a list bit 7 of the very first byte says that more pages follow. To delete a record, one is written
//! with six zeros in front and no seed. There is no counter in it: HOTP starts at 0.

use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::name::Names;
use crate::error::Error;
use crate::iso7816::Malformed;
use crate::token::{Algorithm, Capabilities, FactorConfig, Kind, Passcode, SlotConfig, SlotId, SlotInfo};

/// Block length of SHA-1 and SHA-256: an HMAC key that is longer is hashed first (RFC 2104 §2).
const BLOCK: usize = 64;

/// A record without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) names: Names,
    pub(super) kind: Kind,
    pub(super) algorithm: Algorithm,
    /// In seconds; without meaning for HOTP.
    pub(super) time_step: u16,
    pub(super) digits: u8,
    pub(super) touch: bool,
}

impl Entry {
    /// What programming would write, checked against what the key can do.
    ///
    /// # Errors
    /// [`Error::Unsupported`] or [`Error::Invalid`], which name the field.
    pub(super) fn check(names: Names, config: &SlotConfig, can: &Capabilities) -> Result<Self, Error> {
        let (kind, time_step) = match config.factor {
            FactorConfig::Hotp { counter: 0 } => (Kind::Hotp, 0),
            FactorConfig::Hotp { .. } => return Err(invalid("counter", "the token starts at 0")),
            FactorConfig::Totp { .. } if !can.totp => {
                let needs = "a key whose configuration says so".to_owned();
                return Err(Error::Unsupported { what: "TOTP", needs });
            }
            FactorConfig::Totp { time_step: 0 } => return Err(invalid("time_step", "0 seconds")),
            FactorConfig::Totp { time_step } => {
                let step = u16::try_from(time_step)
                    .map_err(|_| invalid("time_step", "the token has 65535 seconds at most"))?;
                (Kind::Totp, step)
            }
        };
        if !can.digits.contains(&config.digits) {
            return Err(invalid("digits", "the token makes passcodes of 4 to 10 digits"));
        }
        check_secret(config)?;
        let (Algorithm::Sha1 | Algorithm::Sha256) = config.algorithm else {
            let needs = "SHA-1 or SHA-256".to_owned();
            return Err(Error::Unsupported { what: "this hash function", needs });
        };
        Ok(Self {
            names,
            kind,
            algorithm: config.algorithm,
            time_step,
            digits: config.digits,
            touch: config.touch,
        })
    }

    /// Clear text that writes this record with its secret.
    pub(super) fn written(&self, config: &SlotConfig) -> Zeroizing<Vec<u8>> {
        let seed = seed(config);
        let mut clear = Zeroizing::new(Vec::with_capacity(9 + 2 * 64 + BLOCK));
        clear.push(match self.kind {
            Kind::Hotp => 0x00,
            Kind::Totp => 0x01,
        });
        clear.push(match self.algorithm {
            Algorithm::Sha1 => 0xC1,
            Algorithm::Sha256 | Algorithm::Sha512 => 0xC2,
        });
        clear.extend_from_slice(&self.time_step.to_be_bytes());
        clear.extend_from_slice(&[self.digits, u8::from(self.touch)]);
        self.names.encode(&mut clear);
        clear.push(u8::try_from(seed.len()).unwrap_or(u8::MAX));
        clear.extend_from_slice(&seed);
        clear
    }

    /// In the words of the trait.
    pub(super) fn info(&self) -> SlotInfo {
        SlotInfo {
            slot: SlotId::Name(self.names.address()),
            in_use: true,
            kind: Some(self.kind),
            algorithm: Some(self.algorithm),
            digits: Some(self.digits),
            time_step: (self.kind == Kind::Totp).then_some(u32::from(self.time_step)),
            touch: Some(self.touch),
        }
    }
}

/// Clear text that deletes a record.
pub(super) fn deleted(names: &Names) -> Zeroizing<Vec<u8>> {
    let mut clear = Zeroizing::new(vec![0; 6]);
    names.encode(&mut clear);
    clear.push(0x00);
    clear
}

/// Clear text for the button's slot. It knows SHA-1 and 6 or 8 digits only, and it is always touched.
///
/// # Errors
/// [`Error::Unsupported`] or [`Error::Invalid`], which name the field.
pub(super) fn button(config: &SlotConfig) -> Result<Zeroizing<Vec<u8>>, Error> {
    let unsupported = |what, needs: &str| Err(Error::Unsupported { what, needs: needs.to_owned() });
    match (config.factor, config.algorithm, config.digits) {
        (FactorConfig::Totp { .. }, ..) => return unsupported("TOTP in the button's slot", "a named slot"),
        (_, Algorithm::Sha256 | Algorithm::Sha512, _) => {
            return unsupported("this hash function in the button's slot", "SHA-1");
        }
        (FactorConfig::Hotp { counter: 1.. }, ..) => return Err(invalid("counter", "the token starts at 0")),
        (_, _, 6 | 8) => {}
        _ => return Err(invalid("digits", "the button types 6 or 8 digits")),
    }
    check_secret(config)?;
    let seed = seed(config);
    let mut clear = Zeroizing::new(Vec::with_capacity(2 + BLOCK));
    clear.extend_from_slice(&[config.digits, u8::try_from(seed.len()).unwrap_or(u8::MAX)]);
    clear.extend_from_slice(&seed);
    Ok(clear)
}

fn check_secret(config: &SlotConfig) -> Result<(), Error> {
    if config.secret.expose().is_empty() { Err(invalid("secret", "it is empty")) } else { Ok(()) }
}

/// The secret, hashed if it is longer than the key has room for: the HMAC is the same.
fn seed(config: &SlotConfig) -> Zeroizing<Vec<u8>> {
    let secret = config.secret.expose();
    Zeroizing::new(match config.algorithm {
        _ if secret.len() <= BLOCK => secret.to_vec(),
        Algorithm::Sha1 => Sha1::digest(secret).to_vec(),
        Algorithm::Sha256 | Algorithm::Sha512 => Sha256::digest(secret).to_vec(),
    })
}

/// One page of a list, and whether more follow. Passcodes in it are skipped.
///
/// # Errors
/// [`Malformed`] if it does not follow the table above.
pub(super) fn parse_page(page: &[u8]) -> Result<(Vec<Entry>, bool), Malformed> {
    let mut reader = Reader { data: page, at: 0, first_mask: 0x7F };
    let more = page.first().ok_or(Malformed::new("page is empty", 0))? & 0x80 != 0;
    let mut entries = Vec::new();
    while reader.at < page.len() {
        let entry = reader.entry()?;
        if entry.kind == Kind::Totp && !entry.touch {
            reader.text()?;
        }
        entries.push(entry);
    }
    Ok((entries, more))
}

/// One record with its passcode.
///
/// # Errors
/// [`Malformed`] if it does not follow the table above, or the passcode is not of its digits.
pub(super) fn parse_one(data: &[u8]) -> Result<(Entry, Passcode), Malformed> {
    let mut reader = Reader { data, at: 0, first_mask: 0xFF };
    let entry = reader.entry()?;
    let at = reader.at;
    let code = reader.text()?;
    if code.len() != usize::from(entry.digits) || !code.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::new("passcode is not of its digits", at));
    }
    let text = String::from_utf8_lossy(code).into_owned();
    if reader.at < data.len() {
        return Err(Malformed::new("data after the end", reader.at));
    }
    Ok((entry, Passcode::new(text)))
}

struct Reader<'d> {
    data: &'d [u8],
    at: usize,
    /// For the byte that says besides its type whether more pages follow.
    first_mask: u8,
}

impl<'d> Reader<'d> {
    fn take(&mut self, length: usize) -> Result<&'d [u8], Malformed> {
        let end = self.at.saturating_add(length);
        let taken = self.data.get(self.at..end).ok_or(Malformed::new("record is cut off", self.at))?;
        self.at = end;
        Ok(taken)
    }

    fn text(&mut self) -> Result<&'d [u8], Malformed> {
        let length = self.take(1)?.first().copied().unwrap_or_default();
        self.take(usize::from(length))
    }

    fn entry(&mut self) -> Result<Entry, Malformed> {
        let begin = self.at;
        let &[kind, algorithm, high, low, digits, button] = self.take(6)? else {
            return Err(Malformed::new("record is cut off", begin));
        };
        let kind = match if begin == 0 { kind & self.first_mask } else { kind } {
            0x00 => Kind::Hotp,
            0x01 => Kind::Totp,
            _ => return Err(Malformed::new("type is neither HOTP nor TOTP", begin)),
        };
        let algorithm = match algorithm {
            0xC1 => Algorithm::Sha1,
            0xC2 => Algorithm::Sha256,
            _ => return Err(Malformed::new("hash is neither SHA-1 nor SHA-256", begin + 1)),
        };
        if button > 1 {
            return Err(Malformed::new("button is neither 0 nor 1", begin + 5));
        }
        let app = self.text()?.to_vec();
        let account = self.text()?.to_vec();
        let time_step = u16::from_be_bytes([high, low]);
        Ok(Entry { names: Names { app, account }, kind, algorithm, time_step, digits, touch: button == 1 })
    }
}

fn invalid(field: &'static str, problem: &str) -> Error {
    Error::Invalid { field, problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{SecretBytes, UnixTime};
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn totp(secret: &[u8]) -> SlotConfig {
        SlotConfig {
            factor: FactorConfig::Totp { time_step: 30 },
            algorithm: Algorithm::Sha1,
            digits: 6,
            secret: SecretBytes::new(secret.to_vec()),
            touch: false,
            label: None,
            now: UnixTime(0),
        }
    }

    fn alice() -> Entry {
        Entry {
            names: Names::parse("Test:alice"),
            kind: Kind::Totp,
            algorithm: Algorithm::Sha1,
            time_step: 30,
            digits: 6,
            touch: false,
        }
    }

    #[test]
    fn the_worked_record_is_written_byte_for_byte() {
        let clear = alice().written(&totp(b"Hello"));
        assert_eq!(*clear, hex("01c1001e0600 0454657374 05616c696365 0548656c6c6f"));
        let deleted = deleted(&Names::parse("Test:alice"));
        assert_eq!(*deleted, hex("000000000000 0454657374 05616c696365 00"));
    }

    #[test]
    fn the_worked_page_is_read() {
        let record = "01c1001e0600 0454657374 05616c696365 06373535323234";
        assert_eq!(parse_page(&hex(record)), Ok((vec![alice()], false)));
        let more = record.replacen("01", "81", 1);
        let hotp = "00c200000801 00 0162";
        let told = parse_page(&hex(&format!("{more}{hotp}{record}"))).unwrap();
        let bob = Entry {
            names: Names::parse("b"),
            kind: Kind::Hotp,
            algorithm: Algorithm::Sha256,
            time_step: 0,
            digits: 8,
            touch: true,
        };
        assert_eq!(told, (vec![alice(), bob, alice()], true));
        let (entry, code) = parse_one(&hex(record)).unwrap();
        assert_eq!((entry, code.expose()), (alice(), "755224"));
    }

    #[test]
    fn what_does_not_follow_the_table_is_refused_at_its_place() {
        for (page, what, offset) in [
            ("", "page is empty", 0),
            ("01c1", "record is cut off", 0),
            ("02c1001e0600 00 0161 00", "type is neither HOTP nor TOTP", 0),
            ("01c3001e0600 00 0161 00", "hash is neither SHA-1 nor SHA-256", 1),
            ("01c1001e0602 00 0161 00", "button is neither 0 nor 1", 5),
            ("01c1001e0600 00 0561", "record is cut off", 8),
            ("01c1001e0600 00 0161", "record is cut off", 9),
            ("01c1001e0600 00 0161 00 81c1001e0600 00 0161 00", "type is neither HOTP nor TOTP", 10),
        ] {
            assert_eq!(parse_page(&hex(page)), Err(Malformed::new(what, offset)), "{page}");
        }
        for (one, what) in [
            ("01c1001e0600 00 0161 05 3131313131", "passcode is not of its digits"),
            ("01c1001e0600 00 0161 06 31313131313a", "passcode is not of its digits"),
            ("01c1001e0600 00 0161 06 313131313131 00", "data after the end"),
            ("81c1001e0600 00 0161 06 313131313131", "type is neither HOTP nor TOTP"),
        ] {
            assert_eq!(parse_one(&hex(one)).err().map(|error| error.what), Some(what), "{one}");
        }
    }

    #[test]
    fn what_the_key_cannot_do_is_refused() {
        let can = super::super::capabilities(super::super::Config::default());
        let refused = |config: SlotConfig| {
            Entry::check(Names::parse("a"), &config, &can).expect_err("accepted").to_string()
        };
        let with = |factor| SlotConfig { factor, ..totp(b"1") };
        assert_eq!(refused(with(FactorConfig::Hotp { counter: 1 })), "counter: the token starts at 0");
        assert_eq!(refused(with(FactorConfig::Totp { time_step: 0 })), "time_step: 0 seconds");
        assert_eq!(
            refused(with(FactorConfig::Totp { time_step: 65_536 })),
            "time_step: the token has 65535 seconds at most"
        );
        assert_eq!(refused(totp(b"")), "secret: it is empty");
        assert_eq!(
            refused(SlotConfig { digits: 3, ..totp(b"1") }),
            "digits: the token makes passcodes of 4 to 10 digits"
        );
        assert_eq!(
            refused(SlotConfig { algorithm: Algorithm::Sha512, ..totp(b"1") }),
            "this token cannot do this hash function: SHA-1 or SHA-256"
        );
        let old = Capabilities { totp: false, ..can.clone() };
        let error = Entry::check(Names::parse("a"), &totp(b"1"), &old).unwrap_err().to_string();
        assert_eq!(error, "this token cannot do TOTP: a key whose configuration says so");
    }

    #[test]
    fn the_button_types_six_or_eight_digits_of_sha_1() {
        let hotp = SlotConfig { factor: FactorConfig::Hotp { counter: 0 }, ..totp(b"Hello") };
        assert_eq!(*button(&hotp).unwrap(), hex("06 05 48656c6c6f"));
        let refused = |config: SlotConfig| button(&config).expect_err("accepted").to_string();
        assert_eq!(
            refused(SlotConfig { digits: 7, ..hotp.clone() }),
            "digits: the button types 6 or 8 digits"
        );
        assert_eq!(refused(totp(b"Hello")), "this token cannot do TOTP in the button's slot: a named slot");
        assert_eq!(
            refused(SlotConfig { algorithm: Algorithm::Sha256, ..hotp.clone() }),
            "this token cannot do this hash function in the button's slot: SHA-1"
        );
        let counter = SlotConfig { factor: FactorConfig::Hotp { counter: 1 }, ..hotp };
        assert_eq!(refused(counter), "counter: the token starts at 0");
    }

    #[test]
    fn a_secret_longer_than_a_block_is_hashed_first() {
        assert_eq!(seed(&totp(&[7; 64])).len(), 64);
        assert_eq!(*seed(&totp(&[7; 65])), Sha1::digest([7; 65]).to_vec());
        let longer = SlotConfig { algorithm: Algorithm::Sha256, ..totp(&[7; 65]) };
        assert_eq!(*seed(&longer), Sha256::digest([7; 65]).to_vec());
    }

    proptest! {
        #[test]
        fn no_reply_makes_a_decoder_panic(data in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_page(&data);
            let _ = parse_one(&data);
        }
    }
}
