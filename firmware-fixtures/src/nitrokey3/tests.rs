//! The golden commands of Nitrokey's own SDK, over both wires, and what the firmware's source says of the rest.

use super::*;
use crate::card::{Exchange, Human, Waits};
use crate::hid::Transfer;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

const SEED: &str = "3132333435363738393031323334353637383930";
const SELECT: &str = "00a4040007a0000005272101";
const LIST: &str = "00a100000101";
const OK: &str = "9000";

fn device(firmware: SecretsFirmware) -> Nitrokey3 {
    let device = Nitrokey3::new(firmware, [0xDE, 0xAD, 0xBE, 0xEF]);
    device.hid().power_on();
    device.card().power_on();
    let packet = [&hex("ffffffff 86 0008 0102030405060708")[..], &[0; 49]].concat();
    device.hid().output(&packet, Waits::Virtual);
    device.hid().input(Duration::from_secs(1), Waits::Virtual);
    device
}

/// One command over CTAPHID, as channel 1.
fn tell(device: &Nitrokey3, command: &str) -> Vec<u8> {
    let (message, hid) = (hex(command), device.hid());
    let (first, rest) = message.split_at(message.len().min(57));
    let mut packets = vec![[&hex("00000001 f0 00")[..], &[message.len() as u8], first].concat()];
    packets.extend(rest.chunks(59).zip(0..).map(|(part, at)| [&hex("00000001")[..], &[at], part].concat()));
    for mut packet in packets {
        packet.resize(64, 0);
        assert_eq!(hid.output(&packet, Waits::Virtual), Transfer::Done(()));
    }
    let read = || match hid.input(Duration::from_secs(20), Waits::Virtual) {
        Transfer::Done(packet) => packet,
        other => panic!("{command}: {other:?}"),
    };
    let first = read();
    assert_eq!(first[..5], hex("00000001 f0"), "{command}");
    let length = usize::from(u16::from_be_bytes([first[5], first[6]]));
    let mut answer = first[7..].to_vec();
    while answer.len() < length {
        answer.extend(&read()[5..]);
    }
    answer.truncate(length);
    answer
}

fn transmit(device: &Nitrokey3, command: &str) -> Vec<u8> {
    match device.card().exchange(&hex(command), Waits::Virtual) {
        Exchange::Answer(answer) => answer,
        other => panic!("{command}: {other:?}"),
    }
}

fn put(name: &str, kind: &str) -> String {
    let body = format!("71{:02x}{} 7316 {kind}06 {SEED}", name.len(), text(name));
    format!("00010000{:02x}{body}", hex(&body).len())
}

fn text(name: &str) -> String {
    name.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_commands_of_the_sdk_are_understood() {
    let device = device(SecretsFirmware::V4_14);
    let said = |command: &str, answer: &str| assert_eq!(tell(&device, command), hex(answer), "{command}");
    let select = tell(&device, SELECT);
    assert_eq!(select[..9], hex("9000 7903040e00 7108"));
    assert_eq!(select[17..], hex("8f04deadbeef"));
    said(LIST, OK);
    said(&format!("0001000025 7103726663 7316 1106 {SEED} 7800 7a0400000000"), OK);
    said(&format!("000100001d 710174 7316 2208 {SEED} 7802"), OK);
    said("00b4000006 8004 31323334", OK);
    assert_eq!(tell(&device, SELECT), hex("9000 7903040e00 820108 8f04deadbeef"));
    said("00b2000006 8004 31323334", OK);
    said(&format!("000100002b 7109484f545020436f6465 7316 3106 {SEED} 7804 7a0400000001"), OK);
    said(&format!("0001000024 71027077 7316 f106 {} 7800 830175 840170", "30".repeat(20)), OK);
    said(&format!("0001000025 7109486d6163536c6f7431 7316 4106 {SEED} 7800"), OK);
    said("00a200010f 7103726663 7408 0000000000000000", "9000 7605064c93cf18");
    said("00a200010f 7103726663 7408 0000000000000000", "9000 76050641397eea");
    said("00a200010d 710174 7408 0000000000000001", "9000 7605084f687b4e");
    said("00b1000011 7109484f545020436f6465 7504 000b8618", "6a82");
    said("00b2000006 8004 31323334", OK);
    // 287082 is what counter 1 gives.
    said("00b1000011 7109484f545020436f6465 7504 0004616a", "9000 7700");
    said("00b5000004 71027077", "9000 7801f1 71027077 830175 840170");
    said("00b700000c 71027077 7103707732 780102", OK);
    said("00b300000c 8004 31323334 8104 35363738", OK);
    said("0002000005 7103726663", OK);
    said("0002000005 7103726663", "6a82");
    said("0004dead", OK);
    assert_eq!(device.with_app(|app| (app.entries().len(), app.pin_mut().is_none())), (0, true));
}

#[test]
fn the_list_is_in_the_order_of_the_files_and_tells_properties_if_asked() {
    let device = device(SecretsFirmware::V4_14);
    for name in ["rfc", "t", "pw"] {
        device.with_app(|app| app.install(Entry::hotp(name, b"k", 0)));
    }
    device.with_app(|app| {
        app.entry_mut("t").unwrap().touch = true;
        app.entry_mut("pw").unwrap().safe[0] = Some(b"u".to_vec());
        app.set_pin(Some(b"1"));
        app.entry_mut("rfc").unwrap().pin = true;
    });
    // SHA-256 of "pw" begins with 30, of "rfc" with 7a, of "t" with e3.
    let all = tell(&device, "00a100000101");
    assert_eq!(all, hex("9000 7204 11 7077 04 7203 11 74 01"));
    assert_eq!(tell(&device, "00a10000"), hex("9000 7203 11 7077 7202 11 74"));
    assert_eq!(tell(&device, "00b2000003 800131"), hex(OK));
    assert_eq!(tell(&device, LIST).len(), all.len() + 7);
    assert_eq!(tell(&device, LIST), all, "the PIN opens one command");
}

#[test]
fn old_firmware_tells_less_and_overwrites() {
    let device = device(SecretsFirmware::V4_10);
    assert_eq!(tell(&device, SELECT)[..9], hex("9000 7903040a00 7108"));
    assert_eq!(tell(&device, SELECT).len(), 2 + 5 + 10);
    assert_eq!(tell(&device, &put("a", "11")), hex(OK));
    assert_eq!(tell(&device, &put("a", "21")), hex(OK));
    assert_eq!(tell(&device, LIST), hex("9000 7202 21 61"));
    assert_eq!(tell(&device, "00b700000671016171016278"), hex("6d00"));
    assert_eq!(tell(&device, "0002000003 710161"), hex(OK));
    assert_eq!(device.hid().touch_requests(), 0);
}

#[test]
fn new_firmware_never_overwrites_and_deletes_by_touch() {
    let device = device(SecretsFirmware::V4_13);
    assert_eq!(tell(&device, &put("a", "11")), hex(OK));
    assert_eq!(tell(&device, &put("a", "21")), hex("6983"));
    device.hid().set_human(Human::NeverTouches);
    assert_eq!(tell(&device, "0002000003 710161"), hex("6982"));
    device.hid().set_human(Human::TouchesAtOnce);
    assert_eq!(tell(&device, "0002000003 710161"), hex(OK));
    assert_eq!(device.hid().touch_requests(), 2);
    assert_eq!(tell(&device, &put("b", "31")), hex("6982"), "reverse HOTP wants the PIN first");
}

#[test]
fn the_fifty_first_entry_is_refused() {
    let device = device(SecretsFirmware::V4_14);
    for number in 10..60 {
        assert_eq!(tell(&device, &put(&number.to_string(), "11")), hex(OK));
    }
    assert_eq!(tell(&device, &put("x", "11")), hex("6a84"));
}

#[test]
fn a_wrong_pin_costs_an_attempt_and_the_last_one_blocks() {
    let device = device(SecretsFirmware::V4_14);
    device.with_app(|app| app.set_pin(Some(b"right")));
    for left in (0..8).rev() {
        assert_eq!(tell(&device, "00b2000007 80057772 6f6e67"), hex("6300"));
        assert_eq!(tell(&device, SELECT)[7..10], [0x82, 1, left]);
    }
    assert_eq!(tell(&device, "00b2000007 80057269676874"), hex("6300"), "the right one is refused as well");
}

#[test]
fn a_long_list_goes_in_parts_over_ctaphid_and_is_cut_over_ccid() {
    let device = device(SecretsFirmware::V4_14);
    for number in 0..50 {
        device.with_app(|app| app.install(Entry::hotp(&format!("{number:070}"), b"k", 0)));
    }
    let first = tell(&device, LIST);
    assert_eq!((&first[..2], (first.len() - 2) % 74), (&hex("61ff")[..], 0));
    let rest = tell(&device, "00a50000");
    assert_eq!((&rest[..2], first.len() + rest.len() - 4), (&hex("9000")[..], 50 * 74));
    assert_eq!(tell(&device, "00a50000"), hex("6985"));
    transmit(&device, &format!("{SELECT}00"));
    assert_eq!(transmit(&device, "00a10000010100"), hex("61ff"));
}

#[test]
fn the_card_answers_no_more_than_le_asks_for() {
    let device = device(SecretsFirmware::V4_14);
    assert_eq!(transmit(&device, SELECT), hex("6115"));
    assert_eq!(transmit(&device, "00c0000005"), hex("7903040e00 6110"));
    assert_eq!(transmit(&device, "00c0000000").len(), 16 + 2);
    assert_eq!(transmit(&device, &format!("{SELECT}00")).len(), 21 + 2);
    for number in 0..10 {
        device.with_app(|app| app.install(Entry::hotp(&format!("{number:030}"), b"k", 0)));
    }
    let first = transmit(&device, "00a10000010100");
    assert_eq!((first.len(), &first[256..]), (258, &hex("6154")[..]));
    assert_eq!(transmit(&device, "00c0000000").len(), 340 - 256 + 2);
}

#[test]
fn both_wires_lead_to_the_same_flash() {
    let device = device(SecretsFirmware::V4_14);
    transmit(&device, SELECT);
    assert_eq!(transmit(&device, &put("a", "11")), hex(OK));
    assert_eq!(tell(&device, LIST), hex("9000 7203 11 61 00"));
}

#[test]
fn challenge_response_is_that_of_a_yubikey_with_other_padding() {
    let device = device(SecretsFirmware::V4_14);
    let entry = Entry { kind: EntryKind::Hmac, ..Entry::hotp("HmacSlot1", &[0x0B; 20], 0) };
    device.with_app(|app| app.install(entry));
    // RFC 2202, test case 1.
    let challenge = format!("0001300040 {} {}", text("Hi There"), "38".repeat(56));
    assert_eq!(tell(&device, &challenge), hex("9000 b617318655057264e28bc0b6fb378c8ef146be00"));
    assert_eq!(tell(&device, &challenge.replacen("30", "38", 1)), hex("6a82"));
    assert_eq!(tell(&device, "00030000"), hex("9000 040e00 424242"));
    assert_eq!(tell(&device, "00011000"), hex("9000 deadbeef"));
}

#[test]
fn what_is_no_command_is_refused() {
    let device = device(SecretsFirmware::V4_14);
    for (command, answer) in [
        ("00ff0000", "6d00"),
        ("00a10100", "6d00"),
        ("0003000001 00", "9000 040e00 424242"),
        ("00a3000000", "6d00"),
        ("80a10000", "6e00"),
        ("0001000003 710161", "6a80"),
        ("00a2000103 710161", "6a80"),
        ("00a200010d 710161 7408 0000000000000000", "6a82"),
    ] {
        assert_eq!(tell(&device, command), hex(answer), "{command}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let device = device(SecretsFirmware::V4_14);
    device.with_app(|app| {
        app.install(Entry::hotp("a", b"top secret", 0));
        app.set_pin(Some(b"4711"));
    });
    let shown = format!("{device:?} {:?}", device.with_app(|app| app.entries().to_vec()));
    assert!(
        !shown.contains("4711") && !shown.contains("116, 111") && !shown.contains("top secret"),
        "{shown}"
    );
}
