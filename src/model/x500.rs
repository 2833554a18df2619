//! X.500 names of groups and agents, such as `O=Helpdesk, L=London, C=GB`.
//!
//! Read as `javax.security.auth.x500.X500Principal` reads them, which is what clients of the API of pre-auth tokens
//! write them for: RFC 1779 with the escapes of RFC 2253, attributes in any order and their keys in any case, parts
//! divided by commas or semicolons. Of these names, the rules of that API hold: some attributes only, each once, three
//! of them always, and values shorter than a limit. `x509-cert` reads RFC 4514 alone (no quotes, no semicolons, no
//! blanks round them) and any attribute, so names are read here by hand; what is in a certificate is none of this.
//!
//! A name has one form as text ([`X500Name`]'s `Display`), whatever the form it came in. Names are equal if their forms
//! are: in letters of the same case.

use std::fmt;
use std::str::FromStr;

use super::country;

/// The attributes, in the order of the one form, each with the length that it must not reach.
const ATTRIBUTES: [(&str, usize); 6] = [("CN", 64), ("OU", 64), ("O", 128), ("L", 64), ("ST", 64), ("C", 3)];

/// Places in [`ATTRIBUTES`] of those that every name has.
const REQUIRED: [(usize, &str); 3] = [(2, "an O"), (3, "an L"), (5, "a C")];

/// A country code that stands for none.
const NO_COUNTRY: &str = "ZZ";

/// Longest text that is read.
const MOST_BYTES: usize = 4096;

/// A name with an organisation, a place and a country.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct X500Name {
    values: [Option<String>; ATTRIBUTES.len()],
}

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It is not written as one.
    #[error("it is not written as an X.500 name (RFC 1779), for example \"O=Helpdesk, L=London, C=GB\"")]
    Syntax,
    /// An attribute that these names do not have.
    #[error("an attribute is none of CN, OU, O, L, ST and C: {0}")]
    Unsupported(String),
    /// An attribute is there twice.
    #[error("the attribute {0} is there more than once")]
    Twice(&'static str),
    /// Two attributes are joined by a plus.
    #[error("attributes joined by `+` are not supported")]
    Joined,
    /// An attribute is missing.
    #[error("it must have {0} attribute")]
    Missing(&'static str),
    /// An attribute has no value.
    #[error("the attribute {0} is blank")]
    Blank(&'static str),
    /// A value is too long.
    #[error("the attribute {attribute} must have fewer than {limit} characters")]
    TooLong {
        /// Which.
        attribute: &'static str,
        /// The length that it must not reach.
        limit: usize,
    },
    /// No such country.
    #[error("the country code is not one of ISO 3166: {0}")]
    Country(String),
}

impl X500Name {
    /// The attributes that it has, in the order of its one form, each with its key.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let named = ATTRIBUTES.iter().zip(&self.values);
        named.filter_map(|((key, _), value)| Some((*key, value.as_deref()?)))
    }
}

impl fmt::Display for X500Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (key, value)) in self.attributes().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{key}=")?;
            if !needs_quotes(value) {
                f.write_str(value)?;
                continue;
            }
            f.write_str("\"")?;
            for character in value.chars() {
                if matches!(character, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{character}")?;
            }
            f.write_str("\"")?;
        }
        Ok(())
    }
}

/// Whether a value would be read as something else without quotes.
fn needs_quotes(value: &str) -> bool {
    value.contains([',', '+', '=', '<', '>', '#', ';', '\\', '"']) || value.contains("  ")
}

impl FromStr for X500Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if text.len() > MOST_BYTES {
            return Err(BadName::Syntax);
        }
        let mut values: [Option<String>; ATTRIBUTES.len()] = Default::default();
        let mut rest = text;
        loop {
            let (key, after) = rest.split_once('=').ok_or(BadName::Syntax)?;
            let (value, end) = read_value(after)?;
            let place = place_of(key.trim_matches(' '))?;
            if values[place].replace(value).is_some() {
                return Err(BadName::Twice(ATTRIBUTES[place].0));
            }
            match end.chars().next() {
                None => break,
                Some('+') => return Err(BadName::Joined),
                // A comma or a semicolon; the value ends nowhere else.
                Some(_) => rest = &end[1..],
            }
        }
        check(&values)?;
        Ok(Self { values })
    }
}

/// The place of a key in [`ATTRIBUTES`].
fn place_of(key: &str) -> Result<usize, BadName> {
    let known = ATTRIBUTES.iter().position(|(name, _)| name.eq_ignore_ascii_case(key));
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    match known {
        Some(place) => Ok(place),
        None if !key.is_empty() && key.bytes().all(is_key) => Err(BadName::Unsupported(key.to_owned())),
        None => Err(BadName::Syntax),
    }
}

fn check(values: &[Option<String>; ATTRIBUTES.len()]) -> Result<(), BadName> {
    for (place, what) in REQUIRED {
        if values[place].is_none() {
            return Err(BadName::Missing(what));
        }
    }
    for ((attribute, limit), value) in ATTRIBUTES.into_iter().zip(values) {
        let Some(value) = value else { continue };
        if value.is_empty() {
            return Err(BadName::Blank(attribute));
        }
        if attribute == "C" {
            if value != NO_COUNTRY && !country::is_code(value) {
                return Err(BadName::Country(value.clone()));
            }
        } else if value.encode_utf16().count() >= limit {
            return Err(BadName::TooLong { attribute, limit });
        }
    }
    Ok(())
}

/// Reads a value up to what ends it, and without the blanks round it. Returns it and the text from its end on.
fn read_value(text: &str) -> Result<(String, &str), BadName> {
    let text = text.trim_start_matches(' ');
    let (value, rest) = match text.strip_prefix('"') {
        Some(quoted) => {
            let (value, rest) = unescape(quoted, |c| c == '"', |_| false)?;
            let rest = rest.strip_prefix('"').ok_or(BadName::Syntax)?.trim_start_matches(' ');
            (value, rest)
        }
        // The bytes of a value in hexadecimal: nobody writes these names so.
        None if text.starts_with('#') => return Err(BadName::Syntax),
        None => unescape(text, |c| matches!(c, ',' | ';' | '+'), |c| matches!(c, '<' | '>' | '"'))?,
    };
    if !rest.is_empty() && !rest.starts_with([',', ';', '+']) {
        return Err(BadName::Syntax);
    }
    // A line end in a name would be one in whatever shows it.
    if value.contains(|c: char| c.is_control()) {
        return Err(BadName::Syntax);
    }
    Ok((value.trim().to_owned(), rest))
}

/// Takes the backslashes out of a text up to a character that `ends` it. `\,` is a comma; two hexadecimal digits are a
/// byte, and the bytes together must be UTF-8.
fn unescape(
    text: &str,
    ends: impl Fn(char) -> bool,
    is_wrong: impl Fn(char) -> bool,
) -> Result<(String, &str), BadName> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next().filter(|c| !ends(*c)) {
        rest = &rest[character.len_utf8()..];
        if is_wrong(character) {
            return Err(BadName::Syntax);
        }
        if character != '\\' {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let hex = rest.get(..2).filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        if let Some(byte) = hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            bytes.push(byte);
            rest = &rest[2..];
        } else {
            let escaped =
                rest.chars().next().filter(|c| ",=+<>#;\\\" ".contains(*c)).ok_or(BadName::Syntax)?;
            bytes.push(escaped as u8);
            rest = &rest[1..];
        }
    }
    Ok((String::from_utf8(bytes).map_err(|_| BadName::Syntax)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, BadName> {
        text.parse::<X500Name>().map(|name| name.to_string())
    }

    #[test]
    fn a_name_has_one_form_whatever_the_form_it_came_in() {
        let form = "CN=Desk 1, OU=IT, O=Helpdesk, L=London, ST=Greater London, C=GB";
        for text in [
            form,
            "C=GB,ST=Greater London,L=London,O=Helpdesk,OU=IT,CN=Desk 1",
            "  cn = Desk 1 ; ou=IT;o=Helpdesk ;L=  London, st=Greater London  , c=GB ",
            "CN=\"Desk 1\", OU=\\49\\54, O=Help\\64esk, L=London, ST=Greater London, C=\"GB\"",
        ] {
            assert_eq!(read(text).as_deref(), Ok(form), "{text}");
        }
        assert_eq!(read("O=Alice, L=London, C=GB").as_deref(), Ok("O=Alice, L=London, C=GB"));
        assert_eq!(read("O=A, L=London, C=ZZ").as_deref(), Ok("O=A, L=London, C=ZZ"));
    }

    #[test]
    fn values_with_characters_of_the_syntax_are_quoted() {
        for (text, form) in [
            ("O=Acme\\, Inc., L=London, C=GB", "O=\"Acme, Inc.\", L=London, C=GB"),
            ("O=\"Acme, Inc.\", L=London, C=GB", "O=\"Acme, Inc.\", L=London, C=GB"),
            ("O=say \\\"hi\\\", L=a\\\\b, C=GB", "O=\"say \\\"hi\\\"\", L=\"a\\\\b\", C=GB"),
            ("O=a=b, L=München, C=DE", "O=\"a=b\", L=München, C=DE"),
            ("O=a\\+b, L=M\\C3\\BCnchen, C=DE", "O=\"a+b\", L=München, C=DE"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(form), "{text}");
            assert_eq!(read(form).as_deref(), Ok(form));
        }
    }

    #[test]
    fn what_is_no_name_says_why() {
        let long = |length: usize| "x".repeat(length);
        for (text, expected) in [
            ("".to_owned(), BadName::Syntax),
            ("Alice".to_owned(), BadName::Syntax),
            ("O=A, L=B, C=GB,".to_owned(), BadName::Syntax),
            ("O=A, , L=B, C=GB".to_owned(), BadName::Syntax),
            ("=A, L=B, C=GB".to_owned(), BadName::Syntax),
            ("O=\"A, L=B, C=GB".to_owned(), BadName::Syntax),
            ("O=\"A\"x, L=B, C=GB".to_owned(), BadName::Syntax),
            ("O=A\"b, L=B, C=GB".to_owned(), BadName::Syntax),
            ("O=A<b, L=B, C=GB".to_owned(), BadName::Syntax),
            ("O=A\\x, L=B, C=GB".to_owned(), BadName::Syntax),
            ("O=A\\, L=B, C=GB".to_owned(), BadName::Missing("an L")),
            ("O=A\\FF, L=B, C=GB".to_owned(), BadName::Syntax),
            ("O=A\\0AB, L=B, C=GB".to_owned(), BadName::Syntax),
            ("O=#0401, L=B, C=GB".to_owned(), BadName::Syntax),
            ("O=A, L=B, C=GB\\".to_owned(), BadName::Syntax),
            ("O=A, L=B, C=GB, DC=x".to_owned(), BadName::Unsupported("DC".to_owned())),
            ("O=A, L=B, C=GB, 2.5.4.5=x".to_owned(), BadName::Unsupported("2.5.4.5".to_owned())),
            ("O=A, L=B, C=GB, o=x".to_owned(), BadName::Twice("O")),
            ("O=A+OU=x, L=B, C=GB".to_owned(), BadName::Joined),
            ("L=B, C=GB".to_owned(), BadName::Missing("an O")),
            ("O=A, C=GB".to_owned(), BadName::Missing("an L")),
            ("O=A, L=B".to_owned(), BadName::Missing("a C")),
            ("O= , L=B, C=GB".to_owned(), BadName::Blank("O")),
            ("O=A, L=B, C=GB, CN=\"  \"".to_owned(), BadName::Blank("CN")),
            ("O=A, L=B, C=UK".to_owned(), BadName::Country("UK".to_owned())),
            ("O=A, L=B, C=gb".to_owned(), BadName::Country("gb".to_owned())),
            (format!("O={}, L=B, C=GB", long(128)), BadName::TooLong { attribute: "O", limit: 128 }),
            (format!("O=A, L={}, C=GB", long(64)), BadName::TooLong { attribute: "L", limit: 64 }),
            (format!("O=A, L=B, C={}", long(64)), BadName::Country(long(64))),
            (format!("O=A, L=B, C=GB, CN={}", long(5000)), BadName::Syntax),
        ] {
            assert_eq!(read(&text), Err(expected), "{text}");
        }
        assert!(read(&format!("O={}, L={}, C=GB", long(127), long(63))).is_ok());
    }
}
