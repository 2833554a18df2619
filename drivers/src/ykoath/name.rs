//! Names of credentials: what the card stores, and what a slot is called (YKOATH, PUT).
//!
//! A card knows a credential by its name, 1 to 64 bytes of UTF-8. For TOTP, clients put the time step in
//! front when it is not 30 seconds: `60/Acme:bob`. The **slot** is called `Acme:bob` all the same; the prefix
//! is added and taken away here, and a name that looks prefixed by itself is stored with its `30/`.
//!
//! A slot is everything stored under its name, with whatever time step: writing or erasing `Acme:bob` replaces
//! or removes `60/Acme:bob` too. There is more than one only if another program wrote them, or if a write was
//! torn between PUT and DELETE. Each is then listed by its stored name, by which it can be erased alone.
//! [`plan`] refuses to write what would overwrite another slot.
//!
//! Bytes that are not UTF-8 are shown as `0x` and hexadecimal digits; such slots can be erased, not written.

use crate::error::Error;
use crate::token::{Algorithm, Kind, SlotId};

/// Longest stored name, in bytes.
pub(super) const MAX_NAME: usize = 64;

/// Time step of a TOTP credential whose name has no prefix, in seconds.
const DEFAULT_TIME_STEP: u32 = 30;

/// One credential as the card tells of it, and what else is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name as stored.
    pub(super) stored: Vec<u8>,
    /// HOTP or TOTP; `None` for types of other makers, or where the card does not tell.
    pub(super) kind: Option<Kind>,
    /// Hash function, if told.
    pub(super) algorithm: Option<Algorithm>,
    /// Passcode length, if told.
    pub(super) digits: Option<u8>,
    /// Whether it demands a touch, if told or remembered.
    pub(super) touch: Option<bool>,
}

impl Entry {
    /// The stored name as text.
    fn stored_text(&self) -> String {
        match std::str::from_utf8(&self.stored) {
            Ok(text) => text.to_owned(),
            Err(_) => {
                let mut text = String::from("0x");
                for byte in &self.stored {
                    text.push_str(&format!("{byte:02x}"));
                }
                text
            }
        }
    }

    /// The name without its time step.
    fn short_text(&self) -> String {
        let text = self.stored_text();
        match self.kind {
            Some(Kind::Hotp) => text,
            _ => match split_time_step(&text) {
                Some((_, name)) => name.to_owned(),
                None => text,
            },
        }
    }

    /// The time step in seconds, for TOTP.
    pub(super) fn time_step(&self) -> Option<u32> {
        (self.kind == Some(Kind::Totp)).then(|| {
            split_time_step(&self.stored_text()).map_or(DEFAULT_TIME_STEP, |(time_step, _)| time_step)
        })
    }
}

/// Splits `60/Acme:bob`. A prefix of zero, or with nothing behind it, is no prefix.
fn split_time_step(text: &str) -> Option<(u32, &str)> {
    let (digits, name) = text.split_once('/')?;
    if name.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let time_step = digits.parse().ok()?;
    (time_step != 0).then_some((time_step, name))
}

/// What the slot of this entry is called, among all entries of the card.
pub(super) fn address(entry: &Entry, all: &[Entry]) -> String {
    let short = entry.short_text();
    let shared = all
        .iter()
        .filter(|other| other.stored != entry.stored)
        .any(|other| other.short_text() == short || other.stored_text() == short);
    if shared { entry.stored_text() } else { short }
}

/// Everything in a slot; or, where credentials share a name, the one that is listed by this stored name.
pub(super) fn members<'e>(slot: &str, all: &'e [Entry]) -> Vec<&'e Entry> {
    let alone = |entry: &&Entry| {
        entry.stored_text() == slot && entry.short_text() != slot && address(entry, all) == slot
    };
    match all.iter().find(alone) {
        Some(entry) => vec![entry],
        None => all.iter().filter(|entry| entry.short_text() == slot).collect(),
    }
}

/// The credential in a slot.
///
/// # Errors
/// [`Error::SlotEmpty`]; [`Error::Invalid`] if there are several and none is listed by this name.
pub(super) fn find<'e>(slot: &str, all: &'e [Entry]) -> Result<&'e Entry, Error> {
    match *members(slot, all) {
        [] => Err(Error::SlotEmpty { slot: slot.to_owned() }),
        [entry] => Ok(entry),
        _ => all.iter().find(|entry| entry.stored_text() == slot).ok_or_else(|| {
            invalid("slot", "it holds credentials with several time steps; write or erase it")
        }),
    }
}

/// How a credential gets into its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The name to store.
    pub(super) stored: Vec<u8>,
    /// What else is in the slot now, to be deleted after writing.
    pub(super) remove: Vec<Vec<u8>>,
}

/// The name under which a credential is stored. `time_step` is `None` for HOTP.
///
/// # Errors
/// [`Error::Invalid`] if the name is empty or too long.
pub(super) fn stored_name(slot: &str, time_step: Option<u32>) -> Result<String, Error> {
    let stored = match time_step {
        Some(0) => return Err(invalid("time_step", "0 seconds")),
        Some(DEFAULT_TIME_STEP) if split_time_step(slot).is_none() => slot.to_owned(),
        Some(time_step) => format!("{time_step}/{slot}"),
        None => slot.to_owned(),
    };
    if slot.is_empty() {
        return Err(invalid("slot", "the name is empty"));
    }
    if stored.len() > MAX_NAME {
        return Err(Error::Invalid {
            field: "slot",
            problem: format!("the name takes {} bytes, the token has room for {MAX_NAME}", stored.len()),
        });
    }
    Ok(stored)
}

/// Plans a write, given what is on the card.
///
/// # Errors
/// [`Error::Invalid`] if another slot would be overwritten, or would share its name with this one afterwards.
pub(super) fn plan(slot: &str, kind: Kind, stored: &str, all: &[Entry]) -> Result<Plan, Error> {
    let replaced = members(slot, all);
    let others = all.iter().filter(|entry| !replaced.contains(entry));
    let new = Entry {
        stored: stored.as_bytes().to_vec(),
        kind: Some(kind),
        algorithm: None,
        digits: None,
        touch: None,
    };
    let mut after: Vec<Entry> = others.cloned().collect();
    let overwrites_another = after.iter().any(|entry| entry.stored == new.stored);
    after.push(new.clone());
    if overwrites_another || address(&new, &after) != slot {
        return Err(invalid("slot", "another credential on this token goes by that name"));
    }
    let remove = replaced.into_iter().map(|entry| entry.stored.clone());
    Ok(Plan { remove: remove.filter(|stored| *stored != new.stored).collect(), stored: new.stored })
}

/// The name in a slot id.
///
/// # Errors
/// [`Error::Invalid`] for a number.
pub(super) fn slot_name(slot: &SlotId) -> Result<&str, Error> {
    match slot {
        SlotId::Name(name) => Ok(name),
        SlotId::Index(_) => Err(invalid("slot", "the slots of this token have names, not numbers")),
    }
}

pub(super) fn invalid(field: &'static str, problem: &str) -> Error {
    Error::Invalid { field, problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(stored: &str, kind: Kind) -> Entry {
        Entry { stored: stored.into(), kind: Some(kind), algorithm: None, digits: None, touch: None }
    }

    const HOTP: Kind = Kind::Hotp;
    const TOTP: Kind = Kind::Totp;

    #[test]
    fn a_time_step_other_than_30_stands_before_the_name() {
        assert_eq!(stored_name("Acme:bob", Some(30)).unwrap(), "Acme:bob");
        assert_eq!(stored_name("Acme:bob", Some(60)).unwrap(), "60/Acme:bob");
        assert_eq!(stored_name("Acme:bob", None).unwrap(), "Acme:bob");
        assert_eq!(stored_name("60/Acme:bob", Some(30)).unwrap(), "30/60/Acme:bob");
        assert_eq!(stored_name("60/Acme:bob", None).unwrap(), "60/Acme:bob");
    }

    #[test]
    fn the_time_step_is_read_from_totp_names_only() {
        for (stored, kind, time_step, slot) in [
            ("Acme:bob", TOTP, Some(30), "Acme:bob"),
            ("60/Acme:bob", TOTP, Some(60), "Acme:bob"),
            ("060/Acme:bob", TOTP, Some(60), "Acme:bob"),
            ("30/60/Acme:bob", TOTP, Some(30), "60/Acme:bob"),
            ("60/", TOTP, Some(30), "60/"),
            ("0/x", TOTP, Some(30), "0/x"),
            ("99999999999/x", TOTP, Some(30), "99999999999/x"),
            ("/x", TOTP, Some(30), "/x"),
            ("60/Acme:bob", HOTP, None, "60/Acme:bob"),
        ] {
            let all = [entry(stored, kind)];
            assert_eq!(all[0].time_step(), time_step, "{stored}");
            assert_eq!(address(&all[0], &all), slot, "{stored}");
        }
    }

    #[test]
    fn names_are_measured_in_bytes_with_their_time_step() {
        assert!(stored_name(&"x".repeat(64), Some(30)).is_ok());
        assert!(stored_name(&"x".repeat(65), Some(30)).is_err());
        assert!(stored_name(&"ü".repeat(32), None).is_ok());
        assert!(stored_name(&"ü".repeat(33), None).is_err());
        assert!(stored_name(&"x".repeat(61), Some(60)).is_ok());
        let error = stored_name(&"x".repeat(62), Some(60)).unwrap_err();
        assert_eq!(error.to_string(), "slot: the name takes 65 bytes, the token has room for 64");
        assert_eq!(stored_name("", None).unwrap_err().to_string(), "slot: the name is empty");
        assert_eq!(stored_name("x", Some(0)).unwrap_err().to_string(), "time_step: 0 seconds");
    }

    #[test]
    fn two_credentials_of_one_name_are_called_by_their_stored_names() {
        let all = [entry("bob", TOTP), entry("60/bob", TOTP), entry("eve", HOTP)];
        let addresses: Vec<String> = all.iter().map(|entry| address(entry, &all)).collect();
        assert_eq!(addresses, ["bob", "60/bob", "eve"]);
    }

    #[test]
    fn a_new_time_step_replaces_the_old_credential_after_writing() {
        let all = [entry("60/bob", TOTP)];
        let plan = plan("bob", TOTP, "bob", &all).unwrap();
        assert_eq!(plan, Plan { stored: b"bob".to_vec(), remove: vec![b"60/bob".to_vec()] });
    }

    #[test]
    fn the_same_stored_name_is_simply_overwritten() {
        let all = [entry("60/bob", TOTP)];
        assert_eq!(
            plan("bob", TOTP, "60/bob", &all).unwrap(),
            Plan { stored: b"60/bob".to_vec(), remove: Vec::new() }
        );
    }

    #[test]
    fn a_slot_is_everything_under_its_name() {
        let all = [entry("bob", TOTP), entry("60/bob", TOTP), entry("bobby", TOTP)];
        let plan = plan("bob", TOTP, "90/bob", &all).unwrap();
        assert_eq!(plan.remove, [b"bob".to_vec(), b"60/bob".to_vec()]);
        assert_eq!(members("bob", &all), [&all[0], &all[1]]);
        assert_eq!(members("60/bob", &all), [&all[1]]);
        assert_eq!(find("bob", &all).unwrap(), &all[0]);
        let torn = [entry("60/bob", TOTP), entry("90/bob", TOTP)];
        assert_eq!(
            find("bob", &torn).unwrap_err().to_string(),
            "slot: it holds credentials with several time steps; write or erase it"
        );
        assert_eq!(find("90/bob", &torn).unwrap(), &torn[1]);
    }

    #[test]
    fn a_listed_name_means_what_it_was_listed_for() {
        // The first would be called `60/a` if the others did not need that name.
        let all = [entry("1/60/a", TOTP), entry("1/a", TOTP), entry("60/a", TOTP)];
        for entry in &all {
            assert_eq!(find(&address(entry, &all), &all).unwrap(), entry);
        }
    }

    #[test]
    fn another_slot_is_never_overwritten() {
        // An HOTP credential's name has no time step, whatever it looks like.
        let all = [entry("60/bob", HOTP)];
        let error = plan("bob", TOTP, "60/bob", &all).unwrap_err();
        assert_eq!(error.to_string(), "slot: another credential on this token goes by that name");
        assert!(plan("bob", TOTP, "bob", &all).is_ok());
    }

    #[test]
    fn names_that_are_not_utf_8_have_addresses_too() {
        let all = [
            Entry { stored: vec![0xFF, 0x00], ..entry("", HOTP) },
            Entry { stored: vec![0xFF, 0x01], ..entry("", HOTP) },
        ];
        assert_eq!(find("0xff01", &all).unwrap(), &all[1]);
    }

    prop_compose! {
        fn entries()(names in proptest::collection::btree_set("(1|30|60)?/?(30|60)?/?[ab]{0,1}", 0..6),
                     hotp in proptest::collection::vec(any::<bool>(), 6)) -> Vec<Entry> {
            names.iter().zip(hotp).map(|(name, hotp)| entry(name, if hotp { HOTP } else { TOTP })).collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn addresses_are_unique_and_found_again(all in entries()) {
            for entry in &all {
                prop_assert_eq!(find(&address(entry, &all), &all).unwrap(), entry);
            }
        }

        #[test]
        fn a_planned_write_changes_its_own_slot_and_no_other(
            all in entries(), slot in "(30|60)?/?[ab]{1,2}", hotp: bool, step in prop::sample::select(vec![30u32, 60])
        ) {
            let (kind, time_step) = if hotp { (HOTP, None) } else { (TOTP, Some(step)) };
            let stored = stored_name(&slot, time_step).unwrap();
            if let Ok(plan) = plan(&slot, kind, &stored, &all) {
                let inside = members(&slot, &all);
                let others: Vec<&Entry> = all.iter().filter(|entry| !inside.contains(entry)).collect();
                let mut after: Vec<Entry> = all.iter()
                    .filter(|entry| entry.stored != plan.stored && !plan.remove.contains(&entry.stored))
                    .cloned().collect();
                prop_assert!(others.iter().all(|other| after.contains(other)));
                after.push(Entry { stored: plan.stored, ..entry("", kind) });
                let written = find(&slot, &after).unwrap();
                prop_assert_eq!(written.time_step(), time_step);
                prop_assert_eq!(&written.stored, stored.as_bytes());
            }
        }
    }
}
