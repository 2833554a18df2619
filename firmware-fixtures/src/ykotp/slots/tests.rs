//! What becomes of the status and of the flash.

use super::*;

const CODE: [u8; 6] = *b"123456";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A configuration with this new code and these flags (EXT, TKT, CFG), and the current code behind it.
fn write(flags: [u8; 3], new: [u8; 6], current: [u8; 6]) -> [u8; 64] {
    let mut payload = [0; 64];
    payload[16..20].copy_from_slice(b"7890");
    payload[22..38].copy_from_slice(b"1234567890123456");
    payload[38..44].copy_from_slice(&new);
    payload[45..48].copy_from_slice(&flags);
    let sum = !super::super::crc16(&payload[..50]);
    payload[50..52].copy_from_slice(&sum.to_le_bytes());
    payload[52..58].copy_from_slice(&current);
    payload
}

const HOTP: [u8; 3] = [0x34, 0x60, 0x40];
const HMAC: [u8; 3] = [0x24, 0x40, 0x26];

fn slots(version: [u8; 3]) -> OtpSlots {
    OtpSlots::new(Firmware { version, ..Firmware::YUBIKEY_5_4_3 }, 17_940_941)
}

/// Sequence and touch level after a command.
fn after(slots: &mut OtpSlots, command: u8, payload: &[u8; 64]) -> (u8, u8) {
    assert_eq!(slots.run(command, payload, Touch::NotAsked), Outcome::Status);
    let status = slots.status();
    (status[3], status[4])
}

#[test]
fn the_sequence_counts_writes_and_is_zero_without_a_slot_in_use() {
    let mut slots = slots([5, 4, 3]);
    assert_eq!(after(&mut slots, 0x01, &write(HOTP, NO_CODE, NO_CODE)), (1, 0x05));
    assert_eq!(after(&mut slots, 0x03, &write(HMAC, NO_CODE, NO_CODE)), (2, 0x07));
    assert_eq!(after(&mut slots, 0x06, &[0; 64]), (3, 0x0B));
    assert_eq!(after(&mut slots, 0x03, &[0; 64]), (4, 0x01));
    assert_eq!(after(&mut slots, 0x01, &[0; 64]), (0, 0));
    slots.set_sequence(255);
    assert_eq!(after(&mut slots, 0x01, &write(HOTP, NO_CODE, NO_CODE)), (1, 0x05));
}

#[test]
fn touch_bits_came_with_3_0_and_slot_bits_with_2_1() {
    for (version, level) in
        [([1, 3, 0], 0), ([2, 0, 2], 0), ([2, 1, 2], 0x01), ([2, 4, 2], 0x01), ([3, 0, 0], 0x05)]
    {
        let mut slots = slots(version);
        assert_eq!(
            after(&mut slots, 0x01, &write([0, 0x20, 0], NO_CODE, NO_CODE)),
            (1, level),
            "{version:?}"
        );
    }
}

#[test]
fn what_a_firmware_does_not_know_changes_nothing() {
    for (version, command, payload) in [
        ([1, 3, 0], 0x03, write([0, 0x20, 0], NO_CODE, NO_CODE)),
        ([2, 0, 2], 0x01, write(HOTP, NO_CODE, NO_CODE)),
        ([2, 1, 2], 0x01, write(HMAC, NO_CODE, NO_CODE)),
        ([2, 2, 3], 0x06, [0; 64]),
        ([5, 4, 3], 0x02, [0; 64]),
        ([5, 4, 3], 0x01, [1; 64]),
    ] {
        assert_eq!(after(&mut slots(version), command, &payload), (0, 0), "{version:?} {command:02X}");
    }
}

#[test]
fn an_access_code_keeps_every_write_of_its_slot_away() {
    let mut slots = slots([5, 4, 3]);
    let wrong = *b"123457";
    assert_eq!(after(&mut slots, 0x01, &write(HOTP, CODE, NO_CODE)), (1, 0x05));
    let mut ndef = [0; 64];
    ndef[..2].copy_from_slice(&[5, b'U']);
    let mut delete = [0; 64];
    for code in [NO_CODE, wrong] {
        ndef[56..62].copy_from_slice(&code);
        delete[52..58].copy_from_slice(&code);
        for (command, payload) in [
            (0x01, write(HMAC, NO_CODE, code)),
            (0x04, write([0x24, 0, 0], NO_CODE, code)),
            (0x01, delete),
            (0x06, [0; 64]),
            (0x08, ndef),
            (0x11, [0; 64]),
        ] {
            assert_eq!(after(&mut slots, command, &payload), (1, 0x05), "{command:02X}");
        }
    }
    assert_eq!(after(&mut slots, 0x03, &write(HMAC, NO_CODE, NO_CODE)), (2, 0x07), "the other slot is free");
    assert_eq!(after(&mut slots, 0x01, &write(HOTP, CODE, CODE)), (3, 0x07));
    assert_eq!(after(&mut slots, 0x01, &write(HOTP, NO_CODE, CODE)), (4, 0x07), "zeros remove it");
    assert_eq!(after(&mut slots, 0x01, &[0; 64]), (5, 0x02));
}

#[test]
fn an_update_takes_masked_flags_and_the_code_and_leaves_the_secret() {
    for (version, code) in [([4, 3, 1], CODE), ([4, 3, 5], NO_CODE), ([4, 3, 6], CODE)] {
        let mut slots = slots(version);
        after(&mut slots, 0x01, &write(HOTP, NO_CODE, NO_CODE));
        slots.press(1);
        let old = slots.slot(1).unwrap().clone();
        assert_eq!(after(&mut slots, 0x04, &write([0xA4, 0xFF, 0xFF], CODE, NO_CODE)), (2, 0x15));
        let expected = Config { ext: 0xA4, tkt: 0x7F, cfg: 0x4C, code, ..old.config };
        assert_eq!(slots.slot(1), Some(&Slot { config: expected, counter: 1 }), "{version:?}");
    }
    let mut slots = slots([5, 4, 3]);
    after(&mut slots, 0x01, &write([0x04, 0x60, 0], NO_CODE, NO_CODE));
    assert_eq!(after(&mut slots, 0x04, &write([0x24, 0, 0], NO_CODE, NO_CODE)), (1, 0x05), "not allowed");
    assert_eq!(after(&mut slots, 0x05, &write([0x24, 0, 0], NO_CODE, NO_CODE)), (1, 0x05), "empty");
}

#[test]
fn slot_1_may_keep_slot_2() {
    let mut slots = slots([5, 4, 3]);
    after(&mut slots, 0x01, &write([0x34, 0xE0, 0x40], NO_CODE, NO_CODE));
    assert_eq!(after(&mut slots, 0x03, &write(HMAC, NO_CODE, NO_CODE)), (1, 0x05));
}

#[test]
fn the_serial_is_hidden_if_every_slot_hides_it() {
    let mut slots = slots([5, 4, 3]);
    let told = Outcome::Answer(hex("0111C1CD"));
    assert_eq!(slots.run(0x10, &[0; 64], Touch::NotAsked), told);
    after(&mut slots, 0x01, &write([0, 0x60, 0], NO_CODE, NO_CODE));
    assert_eq!(slots.run(0x10, &[0; 64], Touch::NotAsked), Outcome::Status);
    after(&mut slots, 0x03, &write(HMAC, NO_CODE, NO_CODE));
    assert_eq!(slots.run(0x10, &[0; 64], Touch::NotAsked), told);
}

#[test]
fn a_scan_map_of_nonsense_is_refused() {
    let mut slots = slots([3, 4, 9]);
    after(&mut slots, 0x01, &write(HOTP, NO_CODE, NO_CODE));
    let mut nonsense = [0; 64];
    nonsense[..51].fill(b'c');
    assert_eq!(after(&mut slots, 0x12, &nonsense), (1, 0x05));
    nonsense[45..].fill(0);
    assert_eq!(after(&mut slots, 0x12, &nonsense), (2, 0x05));
    assert_eq!(slots.scan_map(), Some(&[b'c'; 45][..]));
}

#[test]
fn a_button_types_identifier_passcode_and_enter() {
    let mut slots = slots([5, 4, 3]);
    let mut payload = write([0x34, 0x60, 0x40], NO_CODE, NO_CODE);
    payload[..6].copy_from_slice(&hex("E16311032475"));
    payload[44] = 6;
    let sum = !super::super::crc16(&payload[..50]);
    payload[50..52].copy_from_slice(&sum.to_le_bytes());
    after(&mut slots, 0x01, &payload);
    assert_eq!(keys::text(&slots.press(1).unwrap()), "ubhe11032475755224\n");
    assert_eq!(slots.read_hotp(1).as_deref(), Some("287082"));
    after(&mut slots, 0x03, &write(HMAC, NO_CODE, NO_CODE));
    assert_eq!((slots.press(2), slots.press(3), slots.read_hotp(2)), (None, None, None));
}

#[test]
fn a_slot_asks_for_a_touch_only_if_it_is_told_to() {
    let mut slots = slots([5, 4, 3]);
    after(&mut slots, 0x01, &write(HMAC, NO_CODE, NO_CODE));
    after(&mut slots, 0x03, &write([0x24, 0x40, 0x2E], NO_CODE, NO_CODE));
    let answer = slots.run(0x30, &[0; 64], Touch::NotAsked);
    assert!(matches!(&answer, Outcome::Answer(mac) if mac.len() == 20));
    assert_eq!(slots.run(0x38, &[0; 64], Touch::NotAsked), Outcome::TouchNeeded);
    assert_eq!(slots.run(0x38, &[0; 64], Touch::TimedOut), Outcome::Status);
    assert_eq!(slots.run(0x38, &[0; 64], Touch::Given), answer);
    assert_eq!(slots.status()[4], 0x0B);
}
