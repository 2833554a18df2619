//! A record of the OTP applet, as it is written and told.
//!
//! | bytes | written | told |
//! |---|---|---|
//! | 1 | type: 00 HOTP, 01 TOTP | the same |
//! | 1 | hash: C1 SHA-1, C2 SHA-256 | the same |
//! | 2 | time step in seconds | the same |
//! | 1 | digits, 4 to 10 | the same |
//! | 1 | whether each passcode wants the button | the same |
//! | 1 + 0..64, 1 + 1..64 | name of the application, of the account: ASCII | the same |
//! | 1 + 1..64 | seed; length 0 with six zeros in front deletes | never |

use crate::credential::{Hash, Kind};

/// A record in flash.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Name of the application, up to 64 bytes.
    pub app: Vec<u8>,
    /// Name of the account, 1 to 64 bytes.
    pub account: Vec<u8>,
    /// HOTP or TOTP.
    pub kind: Kind,
    /// The hash under the HMAC: SHA-1 or SHA-256.
    pub hash: Hash,
    /// Length of a time step in seconds.
    pub step: u16,
    /// Passcode length.
    pub digits: u8,
    /// Whether each passcode wants the button.
    pub button: bool,
    /// The key of the HMAC.
    pub seed: Vec<u8>,
    /// HOTP: the moving factor of the next passcode.
    pub counter: u64,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [&self.app, &self.account].map(|name| String::from_utf8_lossy(name));
        write!(f, "{names:?} {:?} {:?} {} {} ", self.kind, self.hash, self.step, self.digits)?;
        write!(f, "[redacted, {} bytes] {} {}", self.seed.len(), self.counter, self.button)
    }
}

impl Record {
    /// Six-digit HOTP with SHA-1.
    #[must_use]
    pub fn hotp(app: &str, account: &str, seed: &[u8], counter: u64) -> Self {
        Self {
            app: app.into(),
            account: account.into(),
            kind: Kind::Hotp,
            hash: Hash::Sha1,
            step: 0,
            digits: 6,
            button: false,
            seed: seed.to_vec(),
            counter,
        }
    }

    /// Six-digit TOTP with SHA-1 and a step of 30 s.
    #[must_use]
    pub fn totp(app: &str, account: &str, seed: &[u8]) -> Self {
        Self { kind: Kind::Totp, step: 30, ..Self::hotp(app, account, seed, 0) }
    }

    /// Whether it goes by these names.
    #[must_use]
    pub fn is_called(&self, app: &[u8], account: &[u8]) -> bool {
        (self.app.as_slice(), self.account.as_slice()) == (app, account)
    }

    /// Reads what is written, and whether it deletes. `None` for what the applet refuses.
    pub(super) fn parse(clear: &[u8]) -> Option<(Self, bool)> {
        let (&[kind, hash, high, low, digits, button], rest) = clear.split_first_chunk()?;
        let (app, rest) = text(rest)?;
        let (account, rest) = text(rest)?;
        let (&length, seed) = rest.split_first()?;
        let step = u16::from_be_bytes([high, low]);
        let named = !account.is_empty() && seed.len() == usize::from(length) && length <= 64;
        let deletes = length == 0;
        let record = Self {
            app: app.to_vec(),
            account: account.to_vec(),
            kind: if kind == 0x01 { Kind::Totp } else { Kind::Hotp },
            hash: if hash == 0xC2 { Hash::Sha256 } else { Hash::Sha1 },
            step,
            digits,
            button: button == 0x01,
            seed: seed.to_vec(),
            counter: 0,
        };
        let in_range = match kind {
            0x00 => true,
            0x01 => step > 0,
            _ => false,
        } && matches!(hash, 0xC1 | 0xC2)
            && (4..=10).contains(&digits)
            && button <= 1;
        let zeros = (kind, hash, step, digits, button) == (0, 0, 0, 0, 0);
        (named && if deletes { zeros } else { in_range }).then_some((record, deletes))
    }

    /// What is told of it, without a code.
    pub(super) fn told(&self) -> Vec<u8> {
        let kind = u8::from(self.kind == Kind::Totp);
        let hash = if self.hash == Hash::Sha256 { 0xC2 } else { 0xC1 };
        let [high, low] = self.step.to_be_bytes();
        let mut told = vec![kind, hash, high, low, self.digits, u8::from(self.button)];
        for name in [&self.app, &self.account] {
            told.push(name.len() as u8);
            told.extend(name);
        }
        told
    }
}

/// A length and so many bytes of ASCII, 64 at most; and what follows.
pub(super) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(length))?;
    (length <= 64 && text.is_ascii()).then_some((text, rest))
}
