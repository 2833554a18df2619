//! Every number of a [`Policy`] that can be set: its name, its unit, its range and what it is for.
//!
//! A policy that is stored is a list of [`Overrides`] over the one above it: token over product over server over the
//! defaults of this program. Values outside their range are refused, never clamped.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{PinPlacement, Policy};

/// The value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A whole number in the unit of the setting.
    Number(u32),
    /// Yes or no.
    Flag(bool),
    /// One of a few words.
    Word(&'static str),
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// A whole number from the first to the last, both included.
    Number(u32, u32),
    /// Yes or no.
    Flag,
    /// One of these.
    Words(&'static [&'static str]),
}

impl Range {
    /// Whether a value is one of these.
    #[must_use]
    pub fn holds(self, value: Value) -> bool {
        match (self, value) {
            (Self::Number(least, most), Value::Number(number)) => (least..=most).contains(&number),
            (Self::Flag, Value::Flag(_)) => true,
            (Self::Words(words), Value::Word(word)) => words.contains(&word),
            _ => false,
        }
    }

    /// In words, for an error or a table.
    #[must_use]
    pub fn in_words(self) -> String {
        match self {
            Self::Number(least, most) => format!("a whole number from {least} to {most}"),
            Self::Flag => "true or false".to_owned(),
            Self::Words(words) => words.join(" or "),
        }
    }
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name on the wire.
    pub name: &'static str,
    /// What a number counts; empty for what is none.
    pub unit: &'static str,
    /// What it may be.
    pub range: Range,
    /// What it is for, in one sentence.
    pub about: &'static str,
    get: fn(&Policy) -> Value,
    set: fn(&mut Policy, Value),
}

impl Setting {
    /// Finds one by its name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// Its value in a policy.
    #[must_use]
    pub fn of(&self, policy: &Policy) -> Value {
        (self.get)(policy)
    }
}

/// What one level says; all else comes from the level above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides(BTreeMap<&'static str, Value>);

impl Overrides {
    /// Says a value. False, and nothing said, if it is outside its range.
    #[must_use]
    pub fn set(&mut self, setting: &'static Setting, value: Value) -> bool {
        let fits = setting.range.holds(value);
        if fits {
            self.0.insert(setting.name, value);
        }
        fits
    }

    /// Leaves a value to the level above.
    pub fn clear(&mut self, setting: &'static Setting) {
        self.0.remove(setting.name);
    }

    /// Whether everything comes from above.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is said, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Value)> {
        self.0.iter().map(|(name, value)| (*name, *value))
    }

    /// Writes what is said over a policy.
    pub fn apply(&self, policy: &mut Policy) {
        for setting in SETTINGS {
            if let Some(value) = self.0.get(setting.name) {
                (setting.set)(policy, *value);
            }
        }
    }
}

/// Says everything that a policy says.
impl From<&Policy> for Overrides {
    fn from(policy: &Policy) -> Self {
        Self(SETTINGS.iter().map(|setting| (setting.name, setting.of(policy))).collect())
    }
}

/// Why settings that are each in their range cannot be together.
///
/// # Errors
/// The name of the setting that is wrong, and the problem.
pub fn check_together(policy: &Policy) -> Result<(), (&'static str, &'static str)> {
    if policy.pin_rules.min_length > policy.pin_rules.max_length {
        return Err(("pinMinLength", "must not be above `pinMaxLength`"));
    }
    if policy.first_lock > policy.longest_lock {
        return Err(("firstLock", "must not be above `longestLock`"));
    }
    if policy.totp_accept > policy.totp_check {
        return Err(("totpAccept", "must not be above `totpCheck`"));
    }
    Ok(())
}

macro_rules! field {
    (number $($path:ident).+) => { (|p| Value::Number(p.$($path).+), |p, v| if let Value::Number(n) = v { p.$($path).+ = n; }) };
    (flag $($path:ident).+) => { (|p| Value::Flag(p.$($path).+), |p, v| if let Value::Flag(f) = v { p.$($path).+ = f; }) };
    (seconds $($path:ident).+) => { (
        |p| Value::Number(u32::try_from(p.$($path).+.as_secs()).unwrap_or(u32::MAX)),
        |p, v| if let Value::Number(n) = v { p.$($path).+ = Duration::from_secs(u64::from(n)); },
    ) };
}

macro_rules! settings {
    ($($name:literal $unit:literal $range:expr; $kind:ident $($path:ident).+; $about:literal)*) => {
        /// Every setting, in the order of the documentation.
        pub const SETTINGS: &[Setting] = &[$({
            const ACCESS: (fn(&Policy) -> Value, fn(&mut Policy, Value)) = field!($kind $($path).+);
            Setting { name: $name, unit: $unit, range: $range, about: $about, get: ACCESS.0, set: ACCESS.1 }
        },)*
        Setting {
            name: "pinPlacement",
            unit: "",
            range: Range::Words(&[PREFIX, SUFFIX, FIELD]),
            about: "Where the PIN stands: in what is typed, before the passcode or behind it, or in a field of its own.",
            get: |policy| Value::Word(match policy.pin_placement {
                PinPlacement::Prefix => PREFIX,
                PinPlacement::Suffix => SUFFIX,
                PinPlacement::Field => FIELD,
            }),
            set: |policy, value| {
                policy.pin_placement = match value {
                    Value::Word(SUFFIX) => PinPlacement::Suffix,
                    Value::Word(FIELD) => PinPlacement::Field,
                    _ => PinPlacement::Prefix,
                };
            },
        }];
    };
}

const PREFIX: &str = "prefix";
const SUFFIX: &str = "suffix";
const FIELD: &str = "field";

settings! {
    "hotpLookAhead" "presses" Range::Number(0, 100); number hotp_look_ahead;
    "HOTP: how many passcodes may have been skipped."
    "hotpLookAheadWithoutPin" "presses" Range::Number(0, 100); number hotp_look_ahead_without_pin;
    "The same where no PIN is set, and a guess has only the passcode to hit."
    "hotpSyncWindow" "presses" Range::Number(1, 5000); number hotp_sync_window;
    "HOTP: how far ahead of the counter a resync searches."
    "totpAccept" "time steps" Range::Number(0, 20); number totp_accept;
    "TOTP: steps either side of the forecast that are accepted."
    "totpCheck" "time steps" Range::Number(0, 60); number totp_check;
    "TOTP: steps either side of the forecast in which `autoResync` asks for a second passcode; an idle token's window grows up to here."
    "totpSyncWindow" "time steps" Range::Number(1, 1000); number totp_sync_window;
    "TOTP: steps either side of the forecast that a resync searches."
    "autoResync" "" Range::Flag; flag auto_resync;
    "Whether two right passcodes in a row, the first of them outside of what is accepted, bring a token back. With HOTP each verify then searches the whole sync window: where that must not show by its time whose token has it, say it for the server and not for a product."
    "autoResyncWithin" "seconds" Range::Number(30, 900); seconds auto_resync_within;
    "How long the second of them may take."
    "clockModel" "" Range::Flag; flag clock_model;
    "Whether offset and rate of a token's clock are learned from its successes; if not, the offset of the last one is all there is."
    "maxFailures" "failures" Range::Number(1, 100); number max_failures;
    "The failure with this number locks, and each one after it."
    "firstLock" "seconds" Range::Number(1, 86_400); seconds first_lock;
    "How long the first lock lasts; each further one lasts twice as long."
    "longestLock" "seconds" Range::Number(1, 2_592_000); seconds longest_lock;
    "What a lock grows to at most."
    "permanentLockAfter" "failures" Range::Number(0, 1000); number permanent_lock_after;
    "From the failure with this number on a user or token is locked until it is unlocked; 0 for never."
    "repeatWindow" "seconds" Range::Number(0, 600); seconds repeat_window;
    "The same text typed again within this time is not counted again."
    "spendOnWrongPin" "" Range::Flag; flag spend_on_wrong_pin;
    "Whether a right passcode with a wrong PIN is spent."
    "pinMinLength" "characters" Range::Number(1, 64); number pin_rules.min_length;
    "Fewest characters of a new PIN."
    "pinMaxLength" "characters" Range::Number(1, 64); number pin_rules.max_length;
    "Most characters of a new PIN."
    "pinClasses" "classes" Range::Number(1, 4); number pin_rules.classes;
    "How many of small letters, capital letters, digits and other characters a new PIN must mix."
    "pinMaxRepeated" "characters" Range::Number(0, 64); number pin_rules.max_repeated;
    "How often a new PIN may hold the same character in a row; 0 for no limit."
    "pinMaxSequential" "characters" Range::Number(0, 64); number pin_rules.max_sequential;
    "How long a run such as 1234 in a new PIN may be; 0 for no limit."
    "pinMayBeLoginName" "" Range::Flag; flag pin_rules.login_name;
    "Whether a new PIN may be the login name of its user."
    "pinLifetimeDays" "days" Range::Number(0, 3650); number pin_lifetime_days;
    "Days after which a PIN must be changed; 0 for never."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_one_name_and_holds_its_default() {
        let names: std::collections::HashSet<_> = SETTINGS.iter().map(|setting| setting.name).collect();
        assert_eq!(names.len(), SETTINGS.len());
        for setting in SETTINGS {
            assert!(setting.range.holds(setting.of(&Policy::default())), "{}", setting.name);
            assert!(setting.about.ends_with('.'), "{}", setting.name);
        }
    }

    #[test]
    fn each_setting_changes_its_own_field_and_no_other() {
        for setting in SETTINGS {
            let before = setting.of(&Policy::default());
            let other = match (before, setting.range) {
                (Value::Flag(flag), _) => Value::Flag(!flag),
                (Value::Number(number), Range::Number(least, most)) => {
                    Value::Number(if number == least { most } else { least })
                }
                (Value::Word(word), Range::Words(words)) => {
                    Value::Word(words.iter().find(|other| **other != word).unwrap())
                }
                _ => panic!("{} has another kind than its range", setting.name),
            };
            let mut overrides = Overrides::default();
            assert!(overrides.set(setting, other));
            let mut changed = Policy::default();
            overrides.apply(&mut changed);
            assert_eq!(setting.of(&changed), other, "{}", setting.name);
            for still in SETTINGS.iter().filter(|still| still.name != setting.name) {
                assert_eq!(
                    still.of(&changed),
                    still.of(&Policy::default()),
                    "{} moved {}",
                    setting.name,
                    still.name
                );
            }
        }
    }

    #[test]
    fn all_of_a_policy_survives_the_table() {
        let policy = Policy {
            totp_accept: 1,
            longest_lock: Duration::from_secs(7200),
            pin_placement: PinPlacement::Suffix,
            auto_resync: true,
            ..Policy::default()
        };
        let mut again = Policy { hotp_look_ahead: 77, ..Policy::default() };
        Overrides::from(&policy).apply(&mut again);
        assert_eq!(again, policy);
    }

    #[test]
    fn what_is_out_of_range_or_of_another_kind_is_not_taken() {
        let mut overrides = Overrides::default();
        let accept = Setting::find("totpAccept").unwrap();
        for value in [Value::Number(21), Value::Flag(true), Value::Word("prefix")] {
            assert!(!overrides.set(accept, value), "{value:?}");
        }
        let placement = Setting::find("pinPlacement").unwrap();
        assert!(!overrides.set(placement, Value::Word("middle")));
        assert!(overrides.is_empty());
        assert!(overrides.set(accept, Value::Number(20)));
        overrides.clear(accept);
        assert!(overrides.is_empty());
        assert_eq!(accept.range.in_words(), "a whole number from 0 to 20");
    }

    #[test]
    fn settings_that_contradict_each_other_are_named() {
        assert_eq!(check_together(&Policy::default()), Ok(()));
        let locks = Policy { first_lock: Duration::from_secs(7200), ..Policy::default() };
        assert_eq!(check_together(&locks).unwrap_err().0, "firstLock");
        let windows = Policy { totp_accept: 11, ..Policy::default() };
        assert_eq!(check_together(&windows).unwrap_err().0, "totpAccept");
        let mut pins = Policy::default();
        pins.pin_rules.max_length = 3;
        assert_eq!(check_together(&pins).unwrap_err().0, "pinMinLength");
    }
}
