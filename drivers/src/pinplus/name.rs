//! Names: what the key stores, and what a slot is called.
//!
//! A key knows a record by two names, of the application (0 to 64 bytes) and of the account (1 to 64), both ASCII.
//! A slot is called by both with a colon between, `Acme:bob`, or by the account alone if there is no application.
//! The first colon parts them. A pair that another program wrote and that cannot be said so is called by the
//! hexadecimal digits of both, `0x613a62:0x63`; the name `(button)` belongs to what the button types.
//!
//! [`Names::parse`] takes every name to one pair, and takes [`Names::address`] back to the pair it was made from, so
//! no two slots share a name.

use crate::error::Error;
use crate::token::SlotId;

/// The slot of what the button types.
pub(super) const BUTTON: &str = "(button)";

/// Longest name of either kind, in bytes.
const MAX_NAME: usize = 64;

/// Where a credential is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Record(Names),
    Button,
}

impl Place {
    /// Reads a slot id.
    ///
    /// # Errors
    /// [`Error::Invalid`] for numbers, and names that the key cannot store.
    pub(super) fn parse(slot: &SlotId) -> Result<Self, Error> {
        match slot {
            SlotId::Index(_) => Err(invalid("the slots of this token have names, not numbers")),
            SlotId::Name(name) if name == BUTTON => Ok(Self::Button),
            SlotId::Name(name) => {
                let names = Names::parse(name);
                names.check()?;
                Ok(Self::Record(names))
            }
        }
    }
}

/// The two names of a record, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) app: Vec<u8>,
    pub(super) account: Vec<u8>,
}

impl Names {
    /// The pair that a slot name means.
    pub(super) fn parse(name: &str) -> Self {
        let (app, account) = name.split_once(':').unwrap_or(("", name));
        if let (Some(app), Some(account)) = (unhex(app), unhex(account)) {
            return Self { app, account };
        }
        Self { app: app.into(), account: account.into() }
    }

    /// What the slot is called.
    pub(super) fn address(&self) -> String {
        if let (Ok(app), Ok(account)) = (std::str::from_utf8(&self.app), std::str::from_utf8(&self.account)) {
            let short = account.to_owned();
            let both = format!("{app}:{account}");
            let candidates = if app.is_empty() { [short, both] } else { [both, short] };
            let told = candidates.into_iter().find(|name| name != BUTTON && Self::parse(name) == *self);
            if let Some(name) = told {
                return name;
            }
        }
        format!("{}:{}", hex(&self.app), hex(&self.account))
    }

    fn check(&self) -> Result<(), Error> {
        if self.account.is_empty() {
            return Err(invalid("the name is empty, or has no account after its colon"));
        }
        for (what, name) in [("application", &self.app), ("account", &self.account)] {
            if name.len() > MAX_NAME {
                let problem =
                    format!("the {what} takes {} bytes, the token has room for {MAX_NAME}", name.len());
                return Err(Error::Invalid { field: "slot", problem });
            }
        }
        if !self.app.is_ascii() || !self.account.is_ascii() {
            return Err(invalid("the token stores ASCII only"));
        }
        Ok(())
    }

    /// Both names, each behind its length.
    pub(super) fn encode(&self, data: &mut Vec<u8>) {
        for name in [&self.app, &self.account] {
            // 64 at most was checked, and what the key told was 255 at most.
            data.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            data.extend_from_slice(name);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::from("0x");
    for byte in bytes {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    let value = |digit: &u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(value(high)? << 4 | value(low)?),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

fn invalid(problem: &str) -> Error {
    Error::Invalid { field: "slot", problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(app: &str, account: &str) -> Names {
        Names { app: app.into(), account: account.into() }
    }

    #[test]
    fn a_slot_is_called_by_both_names_or_by_the_account() {
        for (app, account, slot) in [
            ("Acme", "bob", "Acme:bob"),
            ("", "bob", "bob"),
            ("", "a:b", ":a:b"),
            ("Acme", "a:b", "Acme:a:b"),
            ("x:y", "z", "0x783a79:0x7a"),
            ("", "(button)", ":(button)"),
            ("0x61", "0x62", "0x30783631:0x30783632"),
            ("0x61", "b", "0x61:b"),
            ("", "", ""),
        ] {
            let pair = names(app, account);
            assert_eq!(pair.address(), slot);
            assert_eq!(Names::parse(slot), pair, "{slot}");
        }
        let binary = Names { app: vec![0xFF], account: vec![0x00] };
        assert_eq!(binary.address(), "0xff:0x00");
        assert_eq!(Place::parse(&SlotId::Name(BUTTON.to_owned())).unwrap(), Place::Button);
    }

    #[test]
    fn a_name_that_cannot_be_stored_is_refused_with_the_reason() {
        for (name, problem) in [
            (String::new(), "slot: the name is empty, or has no account after its colon"),
            ("Acme:".to_owned(), "slot: the name is empty, or has no account after its colon"),
            ("x".repeat(65), "slot: the account takes 65 bytes, the token has room for 64"),
            (
                format!("{}:a", "x".repeat(65)),
                "slot: the application takes 65 bytes, the token has room for 64",
            ),
            ("Zoë".to_owned(), "slot: the token stores ASCII only"),
        ] {
            assert_eq!(Place::parse(&SlotId::Name(name)).unwrap_err().to_string(), problem);
        }
        let numbered = Place::parse(&SlotId::Index(1)).unwrap_err().to_string();
        assert_eq!(numbered, "slot: the slots of this token have names, not numbers");
    }

    proptest! {
        #[test]
        fn an_address_means_the_pair_it_was_made_from(
            app in proptest::collection::vec(prop::sample::select(b"0x61:()\xFFbuton".to_vec()), 0..9),
            account in proptest::collection::vec(prop::sample::select(b"0x61:()\xFFbuton".to_vec()), 0..9),
        ) {
            let pair = Names { app, account };
            let address = pair.address();
            prop_assert_ne!(&address, BUTTON);
            prop_assert_eq!(Names::parse(&address), pair);
        }
    }
}
