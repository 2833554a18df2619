//! PINs as an access code gives them, and the temporary passwords that stand in for them.
//!
//! An access code is a text: `ADMIN`, `ADMIN:USER` or `:USER`, each part a PIN in UTF-8, as `NITROCLI_ADMIN_PIN` and
//! `NITROCLI_USER_PIN` give them to the maker's program. The admin PIN is for writing, the user PIN only for
//! passcodes, and only where the token was told to ask for it. A colon or backslash that belongs to a PIN has a
//! backslash before it.

use zeroize::Zeroizing;

use crate::error::Error;
use crate::token::{LockCode, SecretBytes};
use crate::transport::TransportError;

/// A PIN goes out as a C string in a field of this size.
pub(super) const FIELD: usize = 25;

/// The shortest admin PIN that the card inside takes.
pub(super) const SHORTEST_ADMIN: usize = 8;

/// The PINs in an access code.
pub(super) struct Pins {
    pub(super) admin: Option<SecretBytes>,
    pub(super) user: Option<SecretBytes>,
}

impl Pins {
    /// Takes an access code apart.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is none, or holds a PIN that no token can have.
    pub(super) fn parse(code: &LockCode, longest: usize) -> Result<Self, Error> {
        let (mut admin, mut user) = (Zeroizing::new(Vec::new()), None);
        let mut bytes = code.expose().iter().copied();
        while let Some(byte) = bytes.next() {
            let byte = match byte {
                b'\\' => bytes.next().ok_or_else(|| invalid("it ends with a backslash"))?,
                b':' if user.is_some() => return Err(invalid("more than one colon without a backslash")),
                b':' => {
                    user = Some(Zeroizing::new(Vec::new()));
                    continue;
                }
                byte => byte,
            };
            user.as_mut().unwrap_or(&mut admin).push(byte);
        }
        let admin = check(admin, longest)?;
        let user = user.map(|user| check(user, longest)).transpose()?.flatten();
        if admin.is_none() && user.is_none() {
            return Err(invalid("it is empty"));
        }
        Ok(Self { admin, user })
    }
}

fn check(pin: Zeroizing<Vec<u8>>, longest: usize) -> Result<Option<SecretBytes>, Error> {
    if pin.len() > longest {
        return Err(invalid(&format!("a PIN has at most {longest} bytes")));
    }
    if pin.contains(&0) {
        return Err(invalid("a PIN has no zero byte"));
    }
    Ok((!pin.is_empty()).then(|| SecretBytes::new(pin.to_vec())))
}

pub(super) fn invalid(problem: &str) -> Error {
    Error::Invalid { field: "code", problem: problem.to_owned() }
}

/// A password that the device was given in place of a PIN: random, so that it tells nothing. Wiped on drop.
#[derive(Clone)]
pub(super) struct Temporary(Zeroizing<[u8; FIELD]>);

impl Temporary {
    pub(super) fn random() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; FIELD]);
        getrandom::fill(&mut *bytes)
            .map_err(|error| TransportError::Failed { call: "getrandom", detail: error.to_string() })?;
        Ok(Self(bytes))
    }

    pub(super) fn expose(&self) -> &[u8] {
        &*self.0
    }

    #[cfg(test)]
    pub(super) fn from_text(text: &str) -> Self {
        let mut bytes = [0; FIELD];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Self(Zeroizing::new(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Option<String>, Option<String>), String> {
        let pin = |pin: SecretBytes| String::from_utf8(pin.expose().to_vec()).unwrap();
        Pins::parse(&SecretBytes::new(text.as_bytes().to_vec()), 25)
            .map(|pins| (pins.admin.map(pin), pins.user.map(pin)))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_access_code_holds_one_pin_or_two() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parse("12345678"), Ok((some("12345678"), None)));
        assert_eq!(parse("12345678:123456"), Ok((some("12345678"), some("123456"))));
        assert_eq!(parse(":123456"), Ok((None, some("123456"))));
        assert_eq!(parse("12345678:"), Ok((some("12345678"), None)));
        assert_eq!(parse(r"a\:b\\:\:c"), Ok((some(r"a:b\"), some(":c"))));
        assert_eq!(parse("pässwörd"), Ok((some("pässwörd"), None)));
    }

    #[test]
    fn what_is_no_access_code_is_refused() {
        for (text, problem) in [
            ("", "it is empty"),
            (":", "it is empty"),
            ("a:b:c", "more than one colon without a backslash"),
            ("a\\", "it ends with a backslash"),
            ("a\0b", "a PIN has no zero byte"),
            ("12345678901234567890123456", "a PIN has at most 25 bytes"),
        ] {
            assert_eq!(parse(text), Err(format!("code: {problem}")), "{text:?}");
        }
    }

    #[test]
    fn temporary_passwords_are_never_the_same() {
        assert_ne!(Temporary::random().unwrap().expose(), Temporary::random().unwrap().expose());
    }
}
