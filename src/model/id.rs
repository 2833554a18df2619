//! Ids: integers in the tables, opaque text on the wire.
//!
//! On the wire an id is a letter for its kind and a number (`t12`, `u7`), so that an id of the wrong kind is
//! told from one that does not exist. Clients must treat it as opaque. Numbers are never used twice.

use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $letter:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl $name {
            /// The letter in front of the number on the wire.
            pub const LETTER: char = $letter;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_wire(Self::LETTER, self.0))
            }
        }
    )*};
}

ids! {
    /// A domain.
    DomainId = 'd';
    /// A user.
    UserId = 'u';
    /// A product (token model).
    ProductId = 'p';
    /// A repository (stock).
    RepositoryId = 'r';
    /// A token.
    TokenId = 't';
    /// An assignment of a token to a user.
    AssignmentId = 'a';
    /// A provisioning job.
    JobId = 'j';
    /// A client of OAuth 2.0.
    ClientId = 'c';
    /// An operator: somebody who may call the API.
    OperatorId = 'o';
    /// A group that agents are in.
    GroupId = 'g';
    /// An agent: a registered client of the API, or a station.
    AgentId = 'n';
    /// A pre-auth token. Its number is for the audit log; on the wire it has an id of its own.
    PreauthId = 'x';
}

/// The wire form of row `number` of the kind with that letter.
#[must_use]
pub fn to_wire(letter: char, number: i64) -> String {
    format!("{letter}{number}")
}

/// Reads a wire id of the kind with that letter; `None` if it is not one.
#[must_use]
pub fn from_wire(letter: char, text: &str) -> Option<i64> {
    let digits = text.strip_prefix(letter)?;
    // One form only: no sign, no leading zero, so that equal ids are equal texts.
    if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_wire() {
        assert_eq!(TokenId(12).to_string(), "t12");
        assert_eq!(from_wire('t', "t12"), Some(12));
    }

    #[test]
    fn an_id_of_another_kind_or_form_is_not_read() {
        for text in ["u12", "t", "12", "t012", "t+1", "t-1", "t1 ", "t99999999999999999999"] {
            assert_eq!(from_wire('t', text), None, "{text}");
        }
    }
}
