//! The `Authorization` header: `Basic` (RFC 7617), `Bearer` (RFC 6750), and `FCF`, which is how clients of the session
//! API send their token.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Longest name that is looked up, and longest token.
const MOST_BYTES: usize = 256;

/// What a caller shows.
pub enum Presented {
    /// Name and password, or userCode and passCode.
    Basic(Credentials),
    /// A token of a session or of OAuth 2.0.
    Token(Zeroizing<String>),
}

/// Name and password as a caller sent them.
pub struct Credentials {
    /// The operator's name.
    pub name: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic(_) => "Basic(..)",
            Self::Token(_) => "Token(..)",
        })
    }
}

/// Reads the value of the header. `None` if it is none of the forms.
#[must_use]
pub fn read(header: &str) -> Option<Presented> {
    let (scheme, value) = header.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("basic") {
        return basic(value).map(Presented::Basic);
    }
    let is_token = ["bearer", "fcf"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    (is_token && !value.is_empty() && value.len() <= MOST_BYTES)
        .then(|| Presented::Token(Zeroizing::new(value.to_owned())))
}

/// Reads the value of `Basic`: base64 of `name:password` in UTF-8.
#[must_use]
pub fn basic(encoded: &str) -> Option<Credentials> {
    let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let (name, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    (name.len() <= MOST_BYTES)
        .then(|| Credentials { name: name.to_owned(), password: Zeroizing::new(password.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_hold_a_colon_and_umlauts() {
        let encoded = STANDARD.encode("admin:a:ß");
        let Some(Presented::Basic(sent)) = read(&format!("basic {encoded}")) else { panic!("not read") };
        assert_eq!((sent.name.as_str(), sent.password.as_str()), ("admin", "a:ß"));
        for bad in ["Basic !!", "Basic", "Basic YWRtaW4=", ""] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_token_comes_as_bearer_or_fcf_and_shows_in_no_debug_text() {
        for header in ["Bearer abc-_1", "FCF abc-_1", "fcf  abc-_1 "] {
            let Some(presented) = read(header) else { panic!("{header} was not read") };
            assert_eq!(format!("{presented:?}"), "Token(..)");
            let Presented::Token(token) = presented else { panic!("{header} is no token") };
            assert_eq!(token.as_str(), "abc-_1");
        }
        assert!(read("Bearer ").is_none() && read("Digest abc").is_none());
        assert!(read(&format!("FCF {}", "x".repeat(257))).is_none());
    }
}
