//! Slots by what a device calls them: names that the caller chooses, or the maker's numbers. Pure.
//!
//! A slot is a text on the wire and in the journal; of a number it is the shortest form, so that `07` and `7` are one
//! slot. Numbers that the device does not have are refused before anything is asked of it.

use std::ops::RangeInclusive;

use fobd_drivers::token::{Addressing, Kind as Factor, SlotId};

use super::create;
use super::error::{Error, Kind};

/// The slot that a text means on a device.
///
/// # Errors
/// [`Kind::Invalid`] names the valid numbers.
pub(super) fn parse(addressing: &Addressing, text: &str) -> Result<SlotId, Error> {
    let Addressing::Numbered { hotp, totp } = addressing else {
        // Not more: a slot that another program has filled may have any name.
        create::check_length("slot", text)?;
        return Ok(SlotId::Name(text.to_owned()));
    };
    let number = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match number.and_then(|text| text.parse::<u8>().ok()) {
        Some(number) if hotp.contains(&number) || totp.contains(&number) => Ok(SlotId::Index(number)),
        _ => {
            Err(Error::invalid("slot", &format!("must be a number of this device: {}", numbers(hotp, totp))))
        }
    }
}

/// The same for a slot that is to be written: a new name must be fit to be shown, a number must take such
/// credentials.
///
/// # Errors
/// [`Kind::Invalid`].
pub(super) fn parse_for(addressing: &Addressing, factor: Factor, text: &str) -> Result<SlotId, Error> {
    let slot = parse(addressing, text)?;
    match (&slot, addressing) {
        (SlotId::Index(number), Addressing::Numbered { hotp, totp })
            if !range(hotp, totp, factor).contains(number) =>
        {
            let (what, others) = (name(factor), numbers(hotp, totp));
            Err(Error::invalid("slot", &format!("{number} takes no {what}; the numbers are {others}")))
        }
        _ => {
            create::check_name("slot", text)?;
            Ok(slot)
        }
    }
}

/// The slot for a credential that nobody chose one for: named after its token, or the lowest free number.
///
/// # Errors
/// [`Kind::DeviceFull`] if every number is taken; whatever `is_free` says.
pub(super) fn choose(
    addressing: &Addressing,
    factor: Factor,
    serial: &str,
    mut is_free: impl FnMut(&str) -> Result<bool, Error>,
) -> Result<SlotId, Error> {
    let Addressing::Numbered { hotp, totp } = addressing else {
        return Ok(SlotId::Name(format!("fobd:{serial}")));
    };
    let numbers = range(hotp, totp, factor);
    for number in numbers.clone() {
        if is_free(&number.to_string())? {
            return Ok(SlotId::Index(number));
        }
    }
    let (what, numbers) = (name(factor), one_range(numbers));
    Err(Error::new(Kind::DeviceFull, format!("no slot for {what} is free ({numbers}): erase one first")))
}

fn range<'a>(
    hotp: &'a RangeInclusive<u8>,
    totp: &'a RangeInclusive<u8>,
    factor: Factor,
) -> &'a RangeInclusive<u8> {
    match factor {
        Factor::Hotp => hotp,
        Factor::Totp => totp,
    }
}

fn name(factor: Factor) -> &'static str {
    match factor {
        Factor::Hotp => "HOTP",
        Factor::Totp => "TOTP",
    }
}

/// The numbers of a device as people are told of them.
fn numbers(hotp: &RangeInclusive<u8>, totp: &RangeInclusive<u8>) -> String {
    if hotp == totp {
        return one_range(hotp);
    }
    let kinds = [(hotp, Factor::Hotp), (totp, Factor::Totp)];
    let some = kinds.iter().filter(|(range, _)| !range.is_empty());
    some.map(|(range, factor)| format!("{} ({})", one_range(range), name(*factor)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn one_range(range: &RangeInclusive<u8>) -> String {
    match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first} to {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: RangeInclusive<u8> = RangeInclusive::new(1, 0);

    fn split() -> Addressing {
        Addressing::Numbered { hotp: 1..=3, totp: 16..=30 }
    }

    fn refusal(result: Result<SlotId, Error>) -> (Kind, String) {
        let error = result.unwrap_err();
        (error.kind, error.message)
    }

    #[test]
    fn a_named_slot_is_its_name_and_a_numbered_one_its_number() {
        let name = |text: &str| SlotId::Name(text.to_owned());
        assert_eq!(parse(&Addressing::Named, "07").unwrap(), name("07"));
        assert_eq!(parse_for(&Addressing::Named, Factor::Hotp, "Acme:bob").unwrap(), name("Acme:bob"));
        for text in ["7", "07", "007"] {
            let slot = parse(&Addressing::Numbered { hotp: NONE, totp: 0..=99 }, text).unwrap();
            assert_eq!((slot.to_string().as_str(), slot), ("7", SlotId::Index(7)));
        }
    }

    #[test]
    fn a_number_that_the_device_does_not_have_is_refused_with_those_it_has() {
        let expected = "`slot` must be a number of this device: 1 to 3 (HOTP), 16 to 30 (TOTP)";
        for text in ["0", "4", "31", "256", "99999999999", "-1", "+1", " 1", "1.0", "vpn", ""] {
            assert_eq!(refusal(parse(&split(), text)), (Kind::Invalid, expected.to_owned()), "{text}");
        }
        let told = |hotp, totp| refusal(parse(&Addressing::Numbered { hotp, totp }, "x")).1;
        assert!(told(1..=2, 1..=2).ends_with(": 1 to 2"), "{}", told(1..=2, 1..=2));
        assert!(told(NONE, 0..=99).ends_with(": 0 to 99 (TOTP)"));
        assert!(told(1..=1, NONE).ends_with(": 1 (HOTP)"));
    }

    #[test]
    fn a_number_of_the_other_kind_is_refused_for_writing_only() {
        assert_eq!(parse(&split(), "2").unwrap(), SlotId::Index(2));
        let expected = "`slot` 2 takes no TOTP; the numbers are 1 to 3 (HOTP), 16 to 30 (TOTP)";
        let refused = refusal(parse_for(&split(), Factor::Totp, "2"));
        assert_eq!(refused, (Kind::Invalid, expected.to_owned()));
        assert_eq!(parse_for(&split(), Factor::Totp, "16").unwrap(), SlotId::Index(16));
    }

    #[test]
    fn without_a_choice_it_is_the_lowest_free_number_of_the_kind_or_the_name_of_the_token() {
        let choose = |taken: &[&str], factor| {
            choose(&split(), factor, "S-1", |slot| Ok(!taken.contains(&slot))).map(|slot| slot.to_string())
        };
        assert_eq!(choose(&[], Factor::Hotp).unwrap(), "1");
        assert_eq!(choose(&["1", "2", "17"], Factor::Hotp).unwrap(), "3");
        assert_eq!(choose(&["16", "17"], Factor::Totp).unwrap(), "18");
        let full = choose(&["1", "2", "3"], Factor::Hotp).unwrap_err();
        let text = "no slot for HOTP is free (1 to 3): erase one first";
        assert_eq!((full.kind, full.message.as_str()), (Kind::DeviceFull, text));
        let named = super::choose(&Addressing::Named, Factor::Hotp, "S-1", |_| panic!("nobody is asked"));
        assert_eq!(named.unwrap().to_string(), "fobd:S-1");
    }
}
