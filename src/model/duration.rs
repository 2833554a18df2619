//! Durations as the API of pre-auth tokens takes them: `PnDTnHnMn.nS` of ISO 8601, by the rules of `java.time.Duration`.
//!
//! Days are 24 hours. Letters are the same in any case, each number may have a sign of its own and the whole one in
//! front, seconds may have up to nine decimals. Years, months and weeks are not in it. `jiff` reads other forms (weeks,
//! fractions of hours, no signs of single numbers), so this is read by hand.

/// Nanoseconds of a second.
const SECOND: i128 = 1_000_000_000;

/// Reads a duration, in nanoseconds. `None` if it is none, or has more seconds than an `i64` holds.
#[must_use]
pub fn parse(text: &str) -> Option<i128> {
    let (negative, rest) = sign(text);
    let rest = strip(rest, 'P')?;
    let (date, time) = match rest.find(['T', 't']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let mut total = 0;
    if !date.is_empty() {
        let (days, rest) = number(date)?;
        if !strip(rest, 'D')?.is_empty() {
            return None;
        }
        total += days * 86_400 * SECOND;
    }
    match time {
        // A `T` must be followed by something, and so must a `P`.
        None if date.is_empty() => return None,
        None => {}
        Some(time) => total += time_part(time)?,
    }
    let total = if negative { -total } else { total };
    i64::try_from(total.div_euclid(SECOND)).is_ok().then_some(total)
}

/// Reads hours, minutes and seconds, each at most once and in this order.
fn time_part(text: &str) -> Option<i128> {
    if text.is_empty() {
        return None;
    }
    let (mut rest, mut total) = (text, 0);
    for (letter, seconds) in [('H', 3600), ('M', 60)] {
        if let Some((count, behind)) = number(rest)
            && let Some(behind) = strip(behind, letter)
        {
            (rest, total) = (behind, total + count * seconds * SECOND);
        }
    }
    if rest.is_empty() {
        return Some(total);
    }
    let (count, behind) = number(rest)?;
    let (fraction, behind) = match behind.strip_prefix(['.', ',']) {
        Some(behind) => {
            let digits = behind.len() - behind.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            (&behind[..digits], &behind[digits..])
        }
        None => ("", behind),
    };
    if fraction.len() > 9 || !strip(behind, 'S')?.is_empty() {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse::<i128>().ok()?;
    // The sign of `-0.5` is that of its fraction.
    let nanos = if rest.starts_with('-') { -nanos } else { nanos };
    Some(total + count * SECOND + nanos)
}

/// A sign, and what is behind it.
fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// A whole number with or without a sign, as an `i64` holds it, and what is behind it.
fn number(text: &str) -> Option<(i128, &str)> {
    let (negative, unsigned) = sign(text);
    let digits = unsigned.len() - unsigned.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let value: i64 = unsigned[..digits].parse().ok()?;
    let value = i128::from(value);
    Some((if negative { -value } else { value }, &unsigned[digits..]))
}

/// What is behind a letter in any case.
fn strip(text: &str, letter: char) -> Option<&str> {
    text.strip_prefix(letter).or_else(|| text.strip_prefix(letter.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_hours_minutes_and_seconds_are_read_as_java_reads_them() {
        let seconds = [
            ("PT15M", 900),
            ("P4D", 345_600),
            ("P1DT2H2M", 93_720),
            ("pt1h", 3600),
            ("PT0S", 0),
            ("-PT1H", -3600),
            ("PT-1H", -3600),
            ("-PT-6H+3M", 21_420),
            ("+P1D", 86_400),
            ("P1DT-24H", 0),
            ("PT20.000S", 20),
        ];
        for (text, seconds) in seconds {
            assert_eq!(parse(text), Some(seconds * SECOND), "{text}");
        }
        assert_eq!(parse("PT1.5S"), Some(1_500_000_000));
        assert_eq!(parse("PT-0,5S"), Some(-500_000_000));
        assert_eq!(parse("PT0.000000001S"), Some(1));
        assert_eq!(parse("PT1.S"), Some(SECOND));
    }

    #[test]
    fn what_is_no_duration_is_not_read() {
        for text in [
            "",
            "P",
            "PT",
            "P1DT",
            "P1Y",
            "P1M",
            "P1W",
            "1D",
            "PT1",
            "P1",
            "PT1D",
            "PTS",
            "PT.5S",
            "PT1M1H",
            "PT1H1H",
            "PT1.5M",
            "PT1.0123456789S",
            " PT1H",
            "PT1H ",
            "PT1S1S",
            "P1D1H",
            "--PT1H",
            "PT1ä",
            "PT9223372036854775808S",
            "P9223372036854775807D",
            "PT٣S",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("PT9223372036854775807S"), Some(i128::from(i64::MAX) * SECOND));
    }
}
