//! X.500 names: any text is read or refused, and what is read has one form.

use fobd::model::duration;
use fobd::model::x500::X500Name;
use proptest::prelude::*;

/// A value as somebody may write it: quoted, or with every character of the syntax escaped.
fn written(value: &str, quoted: bool) -> String {
    let mut text = String::new();
    for character in value.chars() {
        let special = if quoted { "\"\\" } else { ",=+<>#;\\\" " };
        if special.contains(character) {
            text.push('\\');
        }
        text.push(character);
    }
    if quoted { format!("\"{text}\"") } else { text }
}

/// A value that is not blank and keeps its length when blanks round it go.
fn value() -> impl Strategy<Value = String> {
    "[!-~äß漢]([ -~äß漢]{0,20}[!-~äß漢])?".prop_filter("no blank ends", |text| text.trim() == text)
}

proptest! {
    #[test]
    fn a_name_means_the_same_in_any_order_and_any_writing(
        (organisation, place, unit) in (value(), value(), prop::option::of(value())),
        order in Just(vec![0, 1, 2, 3]).prop_shuffle(),
        quoted in any::<[bool; 3]>(),
        divider in prop::sample::select(vec![",", ", ", ";", " ; "]),
    ) {
        let mut parts = vec![
            format!("O={}", written(&organisation, quoted[0])),
            format!("l = {}", written(&place, quoted[1])),
            "C=DE".to_owned(),
        ];
        parts.extend(unit.as_ref().map(|unit| format!("Ou={}", written(unit, quoted[2]))));
        let shuffled: Vec<&str> = order.iter().filter_map(|at| parts.get(*at)).map(String::as_str).collect();
        let name: X500Name = shuffled.join(divider).parse().unwrap();
        let mut expected: Vec<(&str, &str)> = Vec::new();
        expected.extend(unit.as_deref().map(|unit| ("OU", unit)));
        expected.extend([("O", &*organisation), ("L", &*place), ("C", "DE")]);
        prop_assert_eq!(name.attributes().collect::<Vec<_>>(), expected);
        prop_assert_eq!(name.to_string().parse::<X500Name>().unwrap(), name);
    }

    #[test]
    fn any_text_is_refused_or_has_one_form(text in "(O=|L=|C=|GB|, |;|\\+|\\\\|\"|#|CN=|[ -~]|\\PC){0,24}") {
        if let Ok(name) = text.parse::<X500Name>() {
            let form = name.to_string();
            prop_assert_eq!(form.parse::<X500Name>().unwrap().to_string(), form);
        }
    }

    #[test]
    fn any_text_is_a_duration_or_none(text in "[-+]?P?([-+]?[0-9.,]{0,20}[DTHMSWYdhms]?){0,6}|\\PC{0,20}") {
        let _ = duration::parse(&text);
    }

    #[test]
    fn a_duration_is_the_sum_of_its_parts(
        (days, hours, minutes, seconds) in (-10_000_i64..10_000, any::<i32>(), any::<i32>(), any::<i32>()),
        nanos in 0_u32..1_000_000_000,
    ) {
        let whole = i128::from(days) * 86_400 + i128::from(hours) * 3600 + i128::from(minutes) * 60;
        let sign = if seconds < 0 { -1 } else { 1 };
        let expected = (whole + i128::from(seconds)) * 1_000_000_000 + sign * i128::from(nanos);
        let text = format!("P{days}DT{hours}H{minutes}M{seconds}.{nanos:09}S");
        prop_assert_eq!(duration::parse(&text), Some(expected));
    }
}
