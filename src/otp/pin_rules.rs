//! What a new PIN must be like. An old one that no longer fits stays good until it is changed.
//!
//! The rules look at characters, not at bytes. A refusal names the rule and never quotes the PIN.

use super::pin::{self, MAX_PIN_CHARS, PinError};

/// What a new PIN must be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PinRules {
    /// Fewest characters.
    pub min_length: u32,
    /// Most characters.
    pub max_length: u32,
    /// How many of the four classes (small letters, capital letters, digits, all others) must occur.
    pub classes: u32,
    /// How often the same character may stand in a row; 0 for no limit.
    pub max_repeated: u32,
    /// How long a run such as `1234` or `dcba` may be; 0 for no limit.
    pub max_sequential: u32,
    /// Whether the PIN may be the login name of its user, in any case, forwards or backwards.
    pub login_name: bool,
}

impl Default for PinRules {
    fn default() -> Self {
        Self {
            min_length: 4,
            max_length: MAX_PIN_CHARS as u32,
            classes: 1,
            max_repeated: 0,
            max_sequential: 0,
            login_name: false,
        }
    }
}

/// Why a text cannot be the PIN. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinRefusal {
    /// It can be nobody's PIN.
    #[error(transparent)]
    Never(#[from] PinError),
    /// Too few characters.
    #[error("the PIN must have at least {0} characters")]
    TooShort(u32),
    /// Too many characters.
    #[error("the PIN must have at most {0} characters")]
    TooLong(u32),
    /// Too few classes of characters.
    #[error("the PIN must mix {0} of: small letters, capital letters, digits, other characters")]
    TooPlain(u32),
    /// The same character too often in a row.
    #[error("the PIN must not hold the same character more than {0} times in a row")]
    Repeated(u32),
    /// A run of neighbours.
    #[error("the PIN must not hold a run of more than {0} characters such as 1234 or dcba")]
    Sequential(u32),
    /// The name of the user.
    #[error("the PIN must not be the login name")]
    LoginName,
}

impl PinRules {
    /// Checks a new PIN of the user with that login name.
    ///
    /// # Errors
    /// [`PinRefusal`] says which rule it breaks first.
    pub fn check(&self, new_pin: &str, login_name: Option<&str>) -> Result<(), PinRefusal> {
        pin::check(new_pin)?;
        let length = u32::try_from(new_pin.chars().count()).unwrap_or(u32::MAX);
        if length < self.min_length {
            return Err(PinRefusal::TooShort(self.min_length));
        }
        if length > self.max_length {
            return Err(PinRefusal::TooLong(self.max_length));
        }
        if classes_in(new_pin) < self.classes {
            return Err(PinRefusal::TooPlain(self.classes));
        }
        if self.max_repeated > 0 && longest_run(new_pin, &[0]) > self.max_repeated {
            return Err(PinRefusal::Repeated(self.max_repeated));
        }
        if self.max_sequential > 0 && longest_run(new_pin, &[1, -1]) > self.max_sequential {
            return Err(PinRefusal::Sequential(self.max_sequential));
        }
        if !self.login_name && login_name.is_some_and(|name| is_name(new_pin, name)) {
            return Err(PinRefusal::LoginName);
        }
        Ok(())
    }
}

fn classes_in(pin: &str) -> u32 {
    let has = |class: fn(char) -> bool| u32::from(pin.chars().any(class));
    has(char::is_lowercase)
        + has(char::is_uppercase)
        + has(|c| c.is_ascii_digit())
        + has(|c| !c.is_lowercase() && !c.is_uppercase() && !c.is_ascii_digit())
}

/// Length of the longest part in which each character follows the one before it at one of these distances, the same
/// distance throughout.
fn longest_run(pin: &str, distances: &[i64]) -> u32 {
    let of = |distance: &i64| {
        let (mut longest, mut run, mut before) = (0, 0, None);
        for character in pin.chars() {
            let number = i64::from(u32::from(character));
            run = if before == Some(number - distance) { run + 1 } else { 1 };
            before = Some(number);
            longest = u32::max(longest, run);
        }
        longest
    };
    distances.iter().map(of).max().unwrap_or(0)
}

fn is_name(pin: &str, name: &str) -> bool {
    let (pin, name) = (pin.to_lowercase(), name.to_lowercase());
    pin == name || pin.chars().rev().eq(name.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: PinRules = PinRules {
        min_length: 6,
        max_length: 8,
        classes: 2,
        max_repeated: 2,
        max_sequential: 3,
        login_name: false,
    };

    #[test]
    fn each_rule_is_named_by_its_refusal() {
        for (pin, refusal) in [
            ("", PinRefusal::Never(PinError::Empty)),
            ("a\tb456", PinRefusal::Never(PinError::ControlCharacter)),
            ("a1b2c", PinRefusal::TooShort(6)),
            ("a1b2c3d4e", PinRefusal::TooLong(8)),
            ("135792", PinRefusal::TooPlain(2)),
            ("a111b2", PinRefusal::Repeated(2)),
            ("a1234b", PinRefusal::Sequential(3)),
            ("4321ab", PinRefusal::Sequential(3)),
            ("xdcba1", PinRefusal::Sequential(3)),
            ("Alice7", PinRefusal::LoginName),
            ("7ecilA", PinRefusal::LoginName),
        ] {
            assert_eq!(STRICT.check(pin, Some("alice7")), Err(refusal), "{pin}");
        }
        for pin in ["a11b22", "a123b4", "ab1978", "ö1ö2ö3", "A-A-A-"] {
            assert_eq!(STRICT.check(pin, Some("alice7")), Ok(()), "{pin}");
        }
    }

    #[test]
    fn the_default_takes_what_a_keypad_gives_and_not_the_login_name() {
        let rules = PinRules::default();
        for pin in ["1234", "0000", "π🔑 x", &"ü".repeat(64)] {
            assert_eq!(rules.check(pin, Some("john")), Ok(()), "{pin}");
        }
        assert_eq!(rules.check("123", None), Err(PinRefusal::TooShort(4)));
        assert_eq!(rules.check(&"1".repeat(65), None), Err(PinRefusal::Never(PinError::TooLong)));
        assert_eq!(rules.check("JOHN", Some("john")), Err(PinRefusal::LoginName));
        assert_eq!(rules.check("JOHN", None), Ok(()));
    }

    #[test]
    fn characters_count_and_not_bytes() {
        let rules = PinRules { min_length: 4, max_length: 4, ..PinRules::default() };
        assert_eq!(rules.check("äöüß", None), Ok(()));
        assert_eq!(rules.check("äöü", None), Err(PinRefusal::TooShort(4)));
    }

    #[test]
    fn a_refusal_does_not_show_the_pin() {
        let refusal = STRICT.check("secret-pin-of-mine", None).unwrap_err();
        assert_eq!(refusal.to_string(), "the PIN must have at most 8 characters");
    }
}
