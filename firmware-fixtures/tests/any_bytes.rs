//! Whatever bytes arrive, a card answers with a status.

use firmware_fixtures::applets::{feitian, pinplus};
use firmware_fixtures::card::{Exchange, VirtualCard, Waits};
use firmware_fixtures::credential::Credential;
use firmware_fixtures::firmware::Firmware;
use firmware_fixtures::molto2::{Molto2Firmware, Molto2Specimen};
use firmware_fixtures::single_profile::{SingleProfileModel, SingleProfileSpecimen};
use proptest::prelude::*;

const PINPLUS_AID: &[u8] = &[0xF0, 0, 0, 1, 0x4F, 0x74, 0x70, 1];
const FEITIAN_AID: &[u8] = &[0xD1, 0x56, 0, 1, 0x32, 0x83, 0x26, 1, 1];

const SELECTS: [&[u8]; 5] = [
    &[0, 0xA4, 4, 0, 7, 0xA0, 0, 0, 5, 0x27, 0x21, 1],
    &[0, 0xA4, 4, 0, 8, 0xA0, 0, 0, 5, 0x27, 0x47, 0x11, 0x17],
    &[0, 0xA4, 4, 0, 7, 0xA0, 0, 0, 5, 0x27, 0x20, 1],
    &[0, 0xA4, 4, 0, 5, 0xF0, 0, 0, 0, 0],
    &[0, 0xA4, 4, 0, 9, 0xA0, 0, 0, 8, 0x47, 0, 0, 0, 1],
];

/// Commands that get past the length check, with fields that get past the first tag.
fn likely_command() -> impl Strategy<Value = Vec<u8>> {
    let ins = prop::sample::select(vec![1u8, 2, 3, 5, 0x1D, 0x32, 0x62, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5]);
    let field = (0x71u8..=0x7C, prop::collection::vec(any::<u8>(), 0..24)).prop_map(|(tag, value)| {
        let mut field = vec![tag, value.len() as u8];
        field.extend(value);
        field
    });
    let fields = prop::collection::vec(field, 0..4).prop_map(|fields| fields.concat());
    (ins, 0u8..2, fields).prop_map(|(ins, p2, data)| {
        let mut command = vec![0, ins, 0, p2];
        if !data.is_empty() {
            command.push(data.len() as u8);
        }
        command.extend(data);
        command
    })
}

fn commands() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let any_bytes = prop::collection::vec(any::<u8>(), 0..300);
    prop::collection::vec(prop_oneof![any_bytes, likely_command()], 1..12)
}

/// Commands of Token2's tokens, with any data.
fn token2_command() -> impl Strategy<Value = Vec<u8>> {
    let ins = prop::sample::select(vec![0x41u8, 0x4B, 0xCE, 0xE6, 0x56, 0xD8, 0xC5, 0xD5, 0xD4, 0xD7]);
    let cla = prop::sample::select(vec![0x80u8, 0x84]);
    let p1 = prop::sample::select(vec![0u8, 1, 8, 0x0C]);
    (cla, ins, p1, any::<u8>(), prop::collection::vec(any::<u8>(), 0..90)).prop_map(
        |(cla, ins, p1, p2, data)| [&[cla, ins, p1, p2, data.len() as u8], data.as_slice()].concat(),
    )
}

/// Commands of Token2's FIDO keys and of Feitian's applet that get past the first checks.
fn fido_key_command() -> impl Strategy<Value = Vec<u8>> {
    let pinplus =
        (prop::sample::select(vec![0u8, 1, 2, 3, 5]), 0u8..10, prop::collection::vec(any::<u8>(), 0..80))
            .prop_map(|(p1, p2, data)| [&[0x80, 0xC5, p1, p2, data.len() as u8], data.as_slice()].concat());
    let zeros = prop::sample::select(vec![4usize, 9, 41])
        .prop_map(|n| [&[0x80, 0xC5, 5, 4, n as u8][..], &vec![0; n]].concat());
    let field = (0x51u8..=0x5C, prop::collection::vec(any::<u8>(), 0..24))
        .prop_map(|(tag, value)| [&[tag, value.len() as u8], value.as_slice()].concat());
    let feitian = (
        prop::sample::select(vec![7u8, 8, 9, 0x17, 0xA2, 0xE6, 0xE7]),
        prop::sample::select(vec![0u8, 1, 0xF0]),
        prop::collection::vec(field, 0..4).prop_map(|fields| fields.concat()),
    )
        .prop_map(|(ins, p2, data)| [&[0, ins, 0, p2, data.len() as u8], data.as_slice()].concat());
    prop_oneof![pinplus, zeros, feitian, prop::collection::vec(any::<u8>(), 0..300)]
}

proptest! {
    #[test]
    fn no_sequence_of_bytes_leaves_a_fido_key_without_an_answer(
        which in 0usize..4,
        commands in prop::collection::vec(fido_key_command(), 1..30),
    ) {
        let (card, select): (VirtualCard, &[u8]) = match which {
            0 => (feitian::Model::A9.card(), FEITIAN_AID),
            1 => (feitian::Model::EPASS.card(), FEITIAN_AID),
            2 => (pinplus::Model::R3_3.card(), PINPLUS_AID),
            _ => (pinplus::Model::R3_4.card(), PINPLUS_AID),
        };
        card.with_applet(|key: &mut pinplus::PinPlus| {
            key.install(pinplus::Record::hotp("corp", "hotp", b"12345678901234567890", u64::MAX));
            key.set_pin(Some((b"1357924", 3)));
        });
        card.power_on();
        let select = [&[0, 0xA4, 4, 0, select.len() as u8], select].concat();
        prop_assert!(matches!(card.exchange(&select, Waits::Virtual), Exchange::Answer(answer) if answer.ends_with(&[0x90, 0])));
        for command in commands {
            match card.exchange(&command, Waits::Virtual) {
                Exchange::Answer(answer) => prop_assert!(answer.len() >= 2),
                other => prop_assert!(false, "{other:?} to {command:02X?}"),
            }
        }
    }

    #[test]
    fn no_sequence_of_bytes_leaves_a_token2_without_an_answer(
        molto2 in any::<bool>(),
        commands in prop::collection::vec(token2_command(), 1..30),
    ) {
        let card = if molto2 {
            Molto2Specimen::new(Molto2Firmware::MOLTO2_V2_1, "1").card().clone()
        } else {
            SingleProfileSpecimen::new(SingleProfileModel::C302, 1).card().clone()
        };
        card.power_on();
        for command in commands {
            match card.exchange(&command, Waits::Virtual) {
                Exchange::Answer(answer) => prop_assert!(answer.len() >= 2),
                other => prop_assert!(false, "{other:?} to {command:02X?}"),
            }
        }
    }

    #[test]
    fn no_sequence_of_bytes_leaves_a_card_without_an_answer(
        model in prop::sample::select(Firmware::ALL.to_vec()),
        applet in 0usize..5,
        commands in commands(),
    ) {
        let card = VirtualCard::new(model, 7);
        card.install(Credential::hotp("corp", b"12345678901234567890", u64::MAX));
        card.power_on();
        card.exchange(SELECTS[applet], Waits::Virtual);
        for command in commands {
            match card.exchange(&command, Waits::Virtual) {
                Exchange::Answer(answer) => prop_assert!(answer.len() >= 2),
                other => prop_assert!(false, "{other:?} to {command:02X?}"),
            }
        }
    }
}
