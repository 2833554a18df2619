//! Other makers' applets, by what their published sources and a run of them say.

use super::*;

/// HOTP, SHA-1, the secret of RFC 4226.
fn hotp(name: &str, rest: &str) -> String {
    let name: String = name.bytes().map(|byte| format!("{byte:02X}")).collect();
    let data =
        format!("71{:02X}{name} 73161106 3132333435363738393031323334353637383930 {rest}", name.len() / 2);
    format!("00010000{:02X} {data}", hex(&data).len())
}

const CALCULATE_A: &str = "00A2000105 710161 7400";

#[test]
fn a_canokey_counts_before_it_computes() {
    let mut canokey = Device::new(Firmware::CANOKEY);
    canokey.expect(SELECT, "7903060000 71080102030405060708 9000");
    canokey.expect(&hotp("a", ""), "9000");
    canokey.expect(CALCULATE_A, "76050641397EEA 9000");
    assert_eq!(canokey.oath().credentials()[0].counter, 2);
    // Its makers' own test: the secret JBSWY3DPEHPK3PXP.
    canokey.expect("0001000012 71024831 730C1106 48656C6C6F21DEADBEEF", "9000");
    assert_eq!(canokey.oath().press(b"H1").unwrap(), "996554");
}

#[test]
fn a_canokey_writes_over_nothing_and_has_no_reset() {
    let mut canokey = Device::new(Firmware::CANOKEY);
    canokey.expect(&hotp("a", "7A0400000004"), "9000");
    let before = canokey.oath().credentials().to_vec();
    canokey.expect(&hotp("a", ""), "6985");
    canokey.expect("0004DEAD00", "6D00");
    canokey.expect("0005000006 710161 710161", "6985");
    canokey.expect("00A1010000", "6A86");
    for (digits, status) in [("03", "6A80"), ("04", "9000"), ("08", "9000"), ("09", "6A80")] {
        canokey.expect(&format!("000100000C 71027E{digits} 730621{digits} 31323334"), status);
    }
    canokey.expect("0001000011 710162 73062106 31323334 7A0400000001", "6A80");
    assert_eq!(canokey.oath().credentials()[0], before[0]);
}

#[test]
fn a_canokey_locks_after_set_code_and_not_at_every_select() {
    let mut canokey = Device::new(Firmware::CANOKEY);
    canokey.expect(SET_CODE, "9000");
    canokey.expect("00A10000", "6982");
    canokey.expect(SELECT, "7903060000 71080102030405060708 7408090A0B0C0D0E0F10 7B0101 9000");
    canokey.expect(VALIDATE, "7514C3441C8AB342D445A0EE63B83623A6A4F859148C 9000");
    canokey.send(SELECT);
    canokey.expect("00A10000", "9000");
    canokey.expect(VALIDATE, "6A80");
    canokey.expect("00A10000", "6982");
}

#[test]
fn a_canokey_cuts_long_responses_between_entries() {
    let mut canokey = Device::new(Firmware::CANOKEY);
    for number in 0..15 {
        canokey.oath().install(Credential::totp(&format!("{number:020}"), b"12345678901234567890"));
    }
    let first = canokey.send("00A1000000");
    assert_eq!((first.len() / 2, &first[first.len() - 4..]), (11 * 23 + 2, "61FF"));
    assert_eq!(canokey.send("00A5000000").len() / 2, 4 * 23 + 2);
    canokey.expect("00A5000000", "6985");
    let first = canokey.send("00A400010A 74080000000000000001");
    assert_eq!(first.len() / 2, 8 * 29 + 2, "a name is not parted from its passcode");
}

#[test]
fn a_solo_2_forgets_with_each_command_that_it_was_unlocked() {
    let mut solo = Device::new(Firmware::SOLO_2);
    solo.expect(SELECT, "7903040404 71080102030405060708 9000");
    solo.expect(&hotp("a", ""), "9000");
    solo.expect("00A400010A 74080000000000000001", "710161 7700 9000");
    solo.expect(SET_CODE, "9000");
    solo.expect("00A10000", "6985");
    // The second of the scripted values is the challenge of this SELECT.
    let selected = solo.send(SELECT);
    assert!(selected.starts_with("790304040471080102030405060708 7408".replace(' ', "").as_str()));
    assert!(!selected.contains("7B01"));
    solo.oath().challenge = Some(CHALLENGE);
    solo.expect(VALIDATE, "7514C3441C8AB342D445A0EE63B83623A6A4F859148C 9000");
    solo.expect("00A10000", "72021161 9000");
    solo.expect("00A10000", "6985");
    solo.expect(VALIDATE, "6A80");
    solo.expect("0004DEAD00", "9000");
    solo.expect(VALIDATE, "6985");
}

#[test]
fn a_solo_2_hashes_four_bytes_of_its_counter() {
    let mut solo = Device::new(Firmware::SOLO_2);
    solo.expect(&hotp("a", ""), "9000");
    // HMAC-SHA-1 of 00000000, by Python.
    solo.expect(CALCULATE_A, "760506213C803A 9000");
    solo.expect("00A2000105 710162 7400", "6A82");
    solo.expect("0002000003 710162", "9000");
    solo.expect("00A2000005 710161 7400", "6D00");
    solo.expect("00A5000000", "6D00");
    // It takes the touch bit and never waits for one.
    solo.expect(&hotp("t", "7802"), "9000");
    assert!(!solo.oath().credentials()[1].touch);
}

#[test]
fn the_applet_of_vivokey_is_reset_by_who_has_the_code_only() {
    let mut vivokey = Device::new(Firmware::VIVOKEY);
    vivokey.expect(SELECT, "7903000102 71080102030405060708 9000");
    vivokey.expect(SET_CODE, "9000");
    vivokey.expect("0004DEAD00", "6982");
    vivokey.send(SELECT);
    vivokey.expect(VALIDATE, "7514C3441C8AB342D445A0EE63B83623A6A4F859148C 9000");
    vivokey.expect("0004DEAD00", "9000");
    vivokey.expect("00A10000", "9000");
}

#[test]
fn a_javacard_takes_what_lies_behind_a_put_for_its_end() {
    let mut neo = Device::new(Firmware::YUBIKEY_NEO_3_4_9);
    neo.expect(&hotp("a", "7A0400000009"), "9000");
    // The same command without its end: the end is still in the buffer.
    neo.expect(&hotp("a", ""), "9000");
    assert_eq!(neo.oath().credentials()[0].counter, 9);
    // A list of names behind which a PUT finds "z": it is refused after the credential was switched off.
    let z = "z".repeat(40);
    neo.oath().install(Credential::totp(&z, b"12345678901234"));
    neo.send("00A1000000");
    neo.expect(&hotp("a", ""), "6A80");
    let names: Vec<_> = neo.oath().credentials().iter().map(|c| c.name().into_owned()).collect();
    assert_eq!(names, [z]);
    neo.send(SELECT);
    neo.expect(&hotp("a", ""), "9000");
}

#[test]
fn a_fips_key_takes_no_credential_without_a_code() {
    let mut key = Device::new(Firmware::YUBIKEY_5_7_4_FIPS);
    key.expect(&hotp("a", ""), "6985");
    key.expect(SET_CODE, "9000");
    key.expect(&hotp("a", ""), "9000");
    key.expect("0003000002 7300", "6985");
}
