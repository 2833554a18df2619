//! The exchange that Yubico's published applet really had, then what the sheet says in words.

use super::*;
use crate::chip::{Chip, Reply};

mod makers;

const SALT: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
const CHALLENGE: [u8; 8] = [9, 10, 11, 12, 13, 14, 15, 16];
const SELECT: &str = "00A4040007A0000005272101";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A device whose id and challenges are those of the recording.
struct Device {
    chip: Chip,
    touch: Touch,
}

impl Device {
    fn new(firmware: Firmware) -> Self {
        let oath = YkOath::with_entropy(firmware, Entropy::scripted([SALT, CHALLENGE]));
        let mut device =
            Self { chip: Chip::with_applets(firmware.face(), vec![Box::new(oath)]), touch: Touch::Given };
        device.send(SELECT);
        device
    }

    /// Sends a command in hex and returns the answer; a touch comes if it is asked for.
    fn send(&mut self, command: &str) -> String {
        let command = hex(command);
        let mut reply = self.chip.transmit(&command, Touch::NotAsked);
        if reply == Reply::TouchNeeded {
            reply = self.chip.transmit(&command, self.touch);
        }
        match reply {
            Reply::Answer(answer) => answer.iter().map(|byte| format!("{byte:02X}")).collect(),
            Reply::TouchNeeded => panic!("asks for a touch twice"),
        }
    }

    #[track_caller]
    fn expect(&mut self, command: &str, answer: &str) {
        let answer: String = answer.split_whitespace().collect();
        assert_eq!(self.send(command), answer, "to {command}");
    }

    fn oath(&mut self) -> &mut YkOath {
        self.chip.applet_mut().unwrap()
    }
}

const ALICE: &str =
    "0001000027 710D4578616D706C653A616C696365 73162106 3132333435363738393031323334353637383930";
const BOB: &str = "0001000031 710B36302F41636D653A626F62 73222208
    3132333435363738393031323334353637383930313233343536373839303132";
const CORP: &str = "0001000029 7109436F72703A686F7470 73161106
    3132333435363738393031323334353637383930 7A0400000005";
const CALCULATE_CORP: &str = "00A200010D 7109436F72703A686F7470 7400";
const SET_CODE: &str = "0003000033 731121ED1B5A43D3A86504DD13C9DA7606BD35 7408A1A2A3A4A5A6A7A8
    7514D6725FB0119B3CE7EA6070D702B54E9935C4BB6F";
const VALIDATE: &str = "00A3000020 75146718D28D79E08F2F1703079E9230DF097320D887 7408B1B2B3B4B5B6B7B8";

#[test]
fn the_recorded_exchange_of_the_published_applet_is_repeated_byte_for_byte() {
    let mut neo = Device::new(Firmware::YUBIKEY_NEO_3_4_9);
    neo.expect(SELECT, "7903010002 71080102030405060708 9000");
    neo.expect(ALICE, "9000");
    neo.expect(BOB, "9000");
    neo.expect(CORP, "9000");
    neo.expect(
        "00A1000000",
        "720E214578616D706C653A616C696365 720C2236302F41636D653A626F62 720A11436F72703A686F7470 9000",
    );
    let alice_at_1 = "710D4578616D706C653A616C696365 74080000000000000001";
    neo.expect(&format!("00A2000119 {alice_at_1}"), "76050641397EEA 9000");
    neo.expect(&format!("00A2000019 {alice_at_1}"), "75150675A48A19D4CBE100644E8AC1397EEA747A2D33AB 9000");
    neo.expect(CALCULATE_CORP, "76050633C083D4 9000");
    neo.expect(CALCULATE_CORP, "7605067256C032 9000");
    neo.expect(
        "00A400010A 74080000000000000001",
        "710D4578616D706C653A616C696365 76050641397EEA 710B36302F41636D653A626F62 7605082C78E04E
         7109436F72703A686F7470 770106 9000",
    );
    neo.expect("00A2000110 71046E6F7065 74080000000000000001", "6984");
    neo.expect(SET_CODE, "9000");
    neo.expect("00A1000000", "6982");
    neo.expect(SELECT, "7903010002 71080102030405060708 7408090A0B0C0D0E0F10 7B0121 9000");
    neo.expect(VALIDATE, "7514C3441C8AB342D445A0EE63B83623A6A4F859148C 9000");
    neo.expect("0003000002 7300", "9000");
    neo.expect("0004DEAD00", "9000");
    neo.expect("00A1010000", "6B00");
    neo.expect("00FF000000", "6D00");
    assert_ne!(neo.oath().id(), SALT);
    assert_eq!(neo.oath().credentials(), []);
}

#[test]
fn a_yubikey_5_tells_its_own_version_and_stays_unlocked_after_set_code() {
    let mut key = Device::new(Firmware::YUBIKEY_5_4_3);
    key.expect(SELECT, "7903050403 71080102030405060708 9000");
    key.expect(SET_CODE, "9000");
    key.expect("00A10000", "9000");
    key.expect(SELECT, "7903050403 71080102030405060708 7408090A0B0C0D0E0F10 7B0121 9000");
    key.expect("00A10000", "6982");
}

#[test]
fn the_challenge_is_new_at_every_select_and_the_id_is_not() {
    let mut key = Device::new(Firmware::YUBIKEY_5_4_3);
    key.oath().set_access_key(Some([7; 16]));
    let (first, second) = (key.send(SELECT), key.send(SELECT));
    assert_eq!(first[..30], second[..30]);
    assert_ne!(first[34..50], second[34..50]);
}

#[test]
fn a_locked_applet_only_takes_validate_and_reset() {
    let mut key = Device::new(Firmware::YUBIKEY_5_4_3);
    key.oath().set_access_key(Some([7; 16]));
    key.send(SELECT);
    for command in [ALICE, "0002000003710161", "0003000002 7300", "0005000006 710161 710162", "00A10000"] {
        key.expect(command, "6982");
    }
    for command in [CALCULATE_CORP, "00A400010A 74080000000000000001", "00A5000000"] {
        key.expect(command, "6982");
    }
    key.expect(VALIDATE, "6A80");
    key.expect("00A10000", "6982");
    key.expect("0004DEAD", "9000");
    key.expect("00A10000", "9000");
}

#[test]
fn validate_without_a_code_and_set_code_with_a_wrong_answer_get_6984() {
    let mut key = Device::new(Firmware::YUBIKEY_5_4_3);
    key.expect(VALIDATE, "6984");
    key.expect(&SET_CODE.replace("BB6F", "BB60"), "6984");
    assert_eq!(key.oath().access_key(), None);
}

#[test]
fn an_unlocked_applet_locks_again_on_select_and_on_reset() {
    let mut key = Device::new(Firmware::YUBIKEY_5_4_3);
    key.expect(SET_CODE, "9000");
    key.send(SELECT);
    key.expect(VALIDATE, "7514C3441C8AB342D445A0EE63B83623A6A4F859148C 9000");
    key.expect("00A10000", "9000");
    key.send(SELECT);
    key.expect("00A10000", "6982");
    key.chip.reset();
    key.expect("00A10000", "6D00");
}

#[test]
fn putting_a_name_again_overwrites_silently_and_in_place() {
    let mut key = Device::new(Firmware::YUBIKEY_5_4_3);
    for command in [CORP, ALICE, CALCULATE_CORP, CORP] {
        key.send(command);
    }
    let corp = Credential::hotp("Corp:hotp", b"12345678901234567890", 5);
    let alice = Credential::totp("Example:alice", b"12345678901234567890");
    assert_eq!(key.oath().credentials(), [corp, alice]);
}

#[test]
fn a_full_device_takes_no_new_name_but_still_overwrites() {
    let capacity = crate::firmware::Capacity::Credentials(2);
    let mut key = Device::new(Firmware { capacity, ..Firmware::YUBIKEY_5_4_3 });
    key.expect(ALICE, "9000");
    key.expect(BOB, "9000");
    key.expect(CORP, "6A84");
    key.expect(ALICE, "9000");
}

#[test]
fn a_neo_is_full_when_its_list_is() {
    let mut neo = Device::new(Firmware::YUBIKEY_NEO_3_4_9);
    let put =
        |number| format!("0001000059 7140 {:02X}{} 73152106 {}", number, "61".repeat(63), "31".repeat(19));
    for number in 0..28 {
        neo.expect(&put(number), "9000");
    }
    neo.expect(&put(28), "6A84");
}

#[test]
fn what_older_firmware_does_not_know_is_refused() {
    let mut neo = Device::new(Firmware::YUBIKEY_NEO_3_4_9);
    let sha512 = "0001000015 710161 73102306 3132333435363738393031323334";
    let touch = "0001000017 710161 73102106 3132333435363738393031323334 7802";
    neo.expect(sha512, "6A80");
    neo.expect(touch, "9000");
    assert!(!neo.oath().credentials()[0].touch, "the applet of the NEO looks at one bit only");
    neo.expect("0005000006 710161 710162", "6D00");
    neo.expect("00A1000000 0000", "6700");
    let mut key = Device::new(Firmware::YUBIKEY_5_4_3);
    key.expect(sha512, "9000");
    key.expect(touch, "9000");
    key.expect("0005000006 710161 710162", "9000");
    key.expect("00A1000000 0000", "72022162 9000");
}

#[test]
fn a_touch_credential_answers_only_after_a_touch() {
    let mut key = Device::new(Firmware::YUBIKEY_5_4_3);
    let put = "000100002B 7109436F72703A686F7470 73161106
        3132333435363738393031323334353637383930 7802 7A0400000005";
    key.expect(put, "9000");
    let command = hex(CALCULATE_CORP);
    assert_eq!(key.chip.transmit(&command, Touch::NotAsked), Reply::TouchNeeded);
    assert_eq!(key.oath().credentials()[0].counter, 5, "asking for a touch costs no counter");
    key.touch = Touch::TimedOut;
    key.expect(CALCULATE_CORP, "6982");
    assert_eq!(key.oath().credentials()[0].counter, 5, "nor does a touch that never came");
    key.touch = Touch::Given;
    key.expect(CALCULATE_CORP, "76050633C083D4 9000");
    assert_eq!(key.oath().credentials()[0].counter, 6);
}

#[test]
fn calculate_all_names_touch_credentials_without_computing_them() {
    let mut key = Device::new(Firmware::YUBIKEY_5_4_3);
    key.expect("0001000017 710161 73102108 3132333435363738393031323334 7802", "9000");
    key.expect("00A400010A 74080000000000000001", "710161 7C0108 9000");
}

#[test]
fn a_challenge_that_may_only_increase_never_goes_down() {
    let mut key = Device::new(Firmware::YUBIKEY_5_4_3);
    key.expect("0001000017 710161 73102106 3132333435363738393031323334 7801", "9000");
    let at = |step: u64| format!("00A200010D 710161 7408{step:016X}");
    for (step, status) in [(256, "9000"), (256, "9000"), (255, "6982"), (257, "9000")] {
        assert!(key.send(&at(step)).ends_with(status), "step {step}");
    }
    key.expect("00A400010A 7408 0000000000000001", "6982");
}

#[test]
fn malformed_data_gets_6a80_and_changes_nothing() {
    let mut key = Device::new(Firmware::YUBIKEY_5_4_3);
    let secret = "3132333435363738393031323334";
    for data in [
        format!("7100 73102106{secret}"),
        format!("73102106{secret} 710161"),
        format!("710161 73102406{secret}"),
        format!("710161 73102106{secret} 7804"),
        format!("710161 73102106{secret} 7A020005"),
        format!("710161 73102106{secret} 7A0400000005 7801"),
        format!("710161 73102106{secret} 00"),
        "710161 730F2106 31323334353637383930313233".to_owned(),
        format!("710161 73432106{}", "31".repeat(65)),
        format!("7141{} 73102106{secret}", "61".repeat(65)),
        format!("71810161 73102106{secret}"),
    ] {
        let length = hex(&data).len();
        key.expect(&format!("00010000{length:02X}{data}"), "6A80");
    }
    assert_eq!(key.oath().credentials(), []);
    key.expect("0002000003710161", "6984");
}

#[test]
fn renaming_to_a_name_in_use_or_from_a_missing_one_gets_6984() {
    let mut key = Device::new(Firmware::YUBIKEY_5_4_3);
    key.oath().install(Credential::totp("a", b"12345678901234"));
    key.oath().install(Credential::totp("b", b"12345678901234"));
    key.expect("0005000006 710161 710162", "6984");
    key.expect("0005000006 710163 710164", "6984");
    key.expect("0005000006 710161 710163", "9000");
    let names: Vec<_> = key.oath().credentials().iter().map(|c| c.name().into_owned()).collect();
    assert_eq!(names, ["c", "b"]);
}
