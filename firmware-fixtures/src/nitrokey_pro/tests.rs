//! The device against frames that libnitrokey 3.7 sent and took, and against what firmware sources say.

use proptest::prelude::*;

use super::commands::status;
use super::*;
use crate::card::Waits;
use crate::hid::Transfer;
use std::time::Duration;

/// Command, request and its CRC, answer and its CRC; bytes without zeros up to the 60th. Driven by libnitrokey 3.7
/// with the admin PIN `12345678`, temporary password `TMPPW`, card serial 0600005F.
const FRAMES: &[(&str, &str, &str, &str, &str)] = &[
    ("GET_STATUS", "00", "dfb76eef", "0000dfb76eef000f005f000006ffffff", "c6171fad"),
    (
        "FIRST_AUTH",
        "0731323334353637380000000000000000000000000000000000544d505057",
        "a1478ef1",
        "0007a1478ef1",
        "f9fdbcb5",
    ),
    (
        "SEND_OTP_DATA",
        "17544d50505700000000000000000000000000000000000000004e00726663",
        "4c2b0e18",
        "00174c2b0e1800726663",
        "6788aa56",
    ),
    (
        "SEND_OTP_DATA",
        "17544d505057000000000000000000000000000000000000000053003132333435363738393031323334353637383930",
        "ef2644ef",
        "0017ef2644ef003132333435363738393031323334353637383930",
        "b0ddab3e",
    ),
    (
        "WRITE_TO_SLOT",
        "01544d505057000000000000000000000000000000000000000010000000000000000001",
        "652e3455",
        "0001652e3455",
        "1ad38022",
    ),
    ("GET_CODE", "0410", "c67f0275", "0004c67f02750018430d0501", "25021c5d"),
    ("GET_CODE", "0410", "c67f0275", "0004c67f027500eab49e0501", "3cb10c63"),
    (
        "SEND_OTP_DATA",
        "17544d50505700000000000000000000000000000000000000004e00746f74703430",
        "00f07944",
        "001700f0794400746f74703430",
        "36241f8c",
    ),
    (
        "SEND_OTP_DATA",
        "17544d50505700000000000000000000000000000000000000005300313131313131313131313131313131313131313131313131313131313131",
        "66c1b9e5",
        "001766c1b9e500313131313131313131313131313131313131313131313131313131313131",
        "7dedd826",
    ),
    (
        "SEND_OTP_DATA",
        "17544d5050570000000000000000000000000000000000000000530131313131313131313131",
        "81bec0b8",
        "001781bec0b80031313131313131313131313131313131313131313131313131313131313131313131313131313131",
        "ce1a6936",
    ),
    (
        "WRITE_TO_SLOT",
        "01544d5050570000000000000000000000000000000000000000221e",
        "861ccb99",
        "0001861ccb99",
        "37ea567d",
    ),
    ("SET_TIME", "0b01c5353a42", "59db8ac9", "000b59db8ac9", "0b6db504"),
    ("GET_CODE", "0422", "75485d86", "000475485d8600297905", "7be2b7e6"),
    ("READ_SLOT_NAME", "0210", "3ae26197", "00023ae2619700726663", "c2981a6a"),
    ("WRITE_CONFIG", "0500ffff0000544d505057", "5397cc2e", "00055397cc2e", "62ef1f52"),
    ("GET_STATUS", "00", "dfb76eef", "0000dfb76eef000f005f00000600ffff", "794f29fc"),
    ("ERASE_SLOT", "0610544d505057", "a6d66362", "0006a6d66362", "cf1a349d"),
    ("GET_CODE", "0410", "c67f0275", "0004c67f027503", "e50c8348"),
    (
        "FIRST_AUTH",
        "0777726f6e670000000000000000000000000000000000000000544d505057",
        "22e7f574",
        "000722e7f57404",
        "2cb48033",
    ),
    ("GET_PASSWORD_RETRY_COUNT", "09", "92c23abc", "000992c23abc0002", "2b5b1448"),
    ("ERASE_SLOT", "0610544d505057", "a6d66362", "0006a6d6636205", "165bf127"),
    ("LOCK_DEVICE", "12", "455dc649", "0012455dc649", "bc35dc6a"),
];

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn report(body: &[u8]) -> Vec<u8> {
    let mut report = body.to_vec();
    report.resize(60, 0);
    let sum = chip::crc(&report);
    report.extend(sum.to_le_bytes());
    report
}

fn device(firmware: NitrokeyFirmware) -> NitrokeyPro {
    let device = NitrokeyPro::new(firmware, 0x0600_005F);
    device.hid.power_on();
    device
}

/// Sends a whole report and waits long enough.
fn exchange(device: &NitrokeyPro, request: &[u8]) -> Vec<u8> {
    assert_eq!(device.hid.set_feature(request, Waits::Virtual), Transfer::Done(()));
    device.hid.pause(Duration::from_millis(400), Waits::Virtual);
    let Transfer::Done(answer) = device.hid.get_feature(Waits::Virtual) else { panic!("no answer") };
    answer
}

/// Sends a command; its status and payload.
fn ask(device: &NitrokeyPro, body: &[u8]) -> (u8, Vec<u8>) {
    let answer = exchange(device, &report(body));
    assert_eq!((answer[0], answer[1]), (0, body[0]));
    (answer[6], answer[7..60].to_vec())
}

/// A command with fields at offsets.
fn body(command: u8, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut body = vec![0; 60];
    body[0] = command;
    for (at, field) in fields {
        body[*at..at + field.len()].copy_from_slice(field);
    }
    body
}

const TEMPORARY: &[u8] = b"TMPPW";

fn authenticate(device: &NitrokeyPro, pin: &[u8]) -> u8 {
    ask(device, &body(0x07, &[(1, pin), (26, TEMPORARY)])).0
}

fn write_hotp(device: &NitrokeyPro, number: u8, secret: &[u8]) -> u8 {
    let send =
        |kind: u8, data: &[u8]| ask(device, &body(0x17, &[(1, TEMPORARY), (26, &[kind]), (28, data)])).0;
    assert_eq!((send(b'N', b"name"), send(b'S', secret)), (status::OK, status::OK));
    ask(device, &body(0x01, &[(1, TEMPORARY), (26, &[number])])).0
}

#[test]
fn the_recorded_frames_are_repeated_byte_for_byte() {
    let device = device(NitrokeyFirmware::PRO_0_15);
    for (name, request, request_crc, answer, answer_crc) in FRAMES {
        let mut sent = hex(request);
        sent.resize(60, 0);
        sent.extend(hex(request_crc));
        let mut expected = hex(answer);
        expected.resize(60, 0);
        expected.extend(hex(answer_crc));
        assert_eq!(exchange(&device, &sent), expected, "{name} {request}");
    }
}

#[test]
fn an_answer_comes_when_the_work_is_done() {
    let device = device(NitrokeyFirmware::PRO_0_15);
    let get = || match device.hid.get_feature(Waits::Virtual) {
        Transfer::Done(answer) => answer,
        other => panic!("{other:?}"),
    };
    ask(&device, &[0x00]);
    device.hid.set_feature(&report(&[0x09]), Waits::Virtual);
    let mut told = vec![(get()[0], get()[1])];
    // What comes meanwhile is dropped.
    device.hid.set_feature(&report(&[0x0F]), Waits::Virtual);
    for wait in [10, 1000] {
        device.hid.pause(Duration::from_millis(wait), Waits::Virtual);
        told.push((get()[0], get()[1]));
    }
    assert_eq!(told, [(3, 0x00), (1, 0x09), (0, 0x09)]);
}

#[test]
fn a_storage_never_says_that_it_is_busy_in_the_first_byte() {
    let device = device(NitrokeyFirmware::STORAGE_0_57);
    let get = || match device.hid.get_feature(Waits::Virtual) {
        Transfer::Done(answer) => (answer[0], answer[1], answer[22]),
        other => panic!("{other:?}"),
    };
    ask(&device, &[0x00]);
    device.hid.set_feature(&report(&[0x2E]), Waits::Virtual);
    let mut told = vec![get()];
    for wait in [10, 1000] {
        device.hid.pause(Duration::from_millis(wait), Waits::Virtual);
        told.push(get());
    }
    assert_eq!(told, [(0, 0x00, 0), (0, 0x2E, 2), (0, 0x2E, 1)]);
}

#[test]
fn the_status_of_a_storage_is_read_once() {
    let device = device(NitrokeyFirmware::STORAGE_0_57);
    let first = exchange(&device, &report(&[0x2E]));
    let Transfer::Done(second) = device.hid.get_feature(Waits::Virtual) else { panic!("no answer") };
    assert_eq!((first[26], &first[47..53]), (3, &[3, 3, 0x5F, 0, 0, 6][..]));
    assert_eq!((second[26], &second[47..53]), (0, &[0; 6][..]));
}

#[test]
fn a_request_with_a_wrong_crc_does_nothing() {
    let device = device(NitrokeyFirmware::PRO_0_15);
    let mut request = report(&body(0x07, &[(1, b"12345678"), (26, TEMPORARY)]));
    request[60] ^= 1;
    assert_eq!(exchange(&device, &request)[6], 1);
    assert_eq!(ask(&device, &body(0x06, &[(1, &[0x10]), (2, TEMPORARY)])).0, status::NOT_AUTHORIZED);
}

#[test]
fn wrong_pins_are_counted_until_none_helps() {
    let device = device(NitrokeyFirmware::PRO_0_15);
    for left in [2, 1, 0, 0] {
        assert_eq!(authenticate(&device, b"wrong"), status::WRONG_PASSWORD);
        assert_eq!(device.retries(), (left, 3));
    }
    assert_eq!(authenticate(&device, b"12345678"), status::WRONG_PASSWORD);
    device.set_retries(1, 3);
    assert_eq!(authenticate(&device, b"12345678"), status::OK);
    assert_eq!(device.retries(), (3, 3));
}

#[test]
fn a_temporary_password_of_0_7_is_good_for_one_command() {
    let device = device(NitrokeyFirmware::PRO_0_7);
    let erase = body(0x06, &[(1, &[0x10])]);
    let crc = &report(&erase)[60..64];
    let allow = || ask(&device, &body(0x08, &[(1, crc), (5, TEMPORARY)])).0;
    assert_eq!(authenticate(&device, b"12345678"), status::OK);
    assert_eq!((allow(), ask(&device, &erase).0), (status::OK, status::OK));
    // Without a password AUTHORIZE says OK, and the command is refused.
    assert_eq!((allow(), ask(&device, &erase).0), (status::OK, status::NOT_AUTHORIZED));
}

#[test]
fn a_slot_of_0_7_is_written_at_once() {
    let device = device(NitrokeyFirmware::PRO_0_7);
    let write = |secret: &[u8]| {
        let write = body(0x01, &[(1, &[0x10]), (2, b"name"), (17, secret), (37, &[1]), (51, &[7, 0, 0, 0])]);
        assert_eq!(authenticate(&device, b"12345678"), status::OK);
        ask(&device, &body(0x08, &[(1, &report(&write)[60..64]), (5, TEMPORARY)]));
        assert_eq!(ask(&device, &write).0, status::OK);
        device.stored().remove(0)
    };
    let first = Stored { digits: Some(8), ..Stored::hotp(b"12345678901234567890", 7) };
    assert_eq!(write(b"12345678901234567890"), ("11".to_owned(), first.clone()));
    // A secret that begins with 0 leaves the old one in place.
    assert_eq!(write(b"\x002345678901234567890"), ("11".to_owned(), first));
    assert_eq!(device.name("11").unwrap(), b"name");
}

#[test]
fn a_storage_of_0_53_takes_counters_as_decimal_digits() {
    let device = device(NitrokeyFirmware::STORAGE_0_53);
    let write = body(0x01, &[(1, &[0x11]), (2, b"name"), (17, b"12345678901234567890"), (51, b"12345678")]);
    assert_eq!(authenticate(&device, b"12345678"), status::OK);
    for _ in 0..2 {
        ask(&device, &body(0x08, &[(1, &report(&write)[60..64]), (5, TEMPORARY)]));
        assert_eq!(ask(&device, &write).0, status::OK, "the temporary password stays");
    }
    assert_eq!(device.stored()[0].1.counter, 12_345_678);
    assert_eq!(&ask(&device, &[0x03, 0x11]).1[29..37], b"1234567\0");
}

#[test]
fn the_rest_of_an_abandoned_secret_stays_in_the_buffer() {
    let device = device(NitrokeyFirmware::PRO_0_15);
    authenticate(&device, b"12345678");
    let send = |id: u8, data: &[u8]| {
        ask(&device, &body(0x17, &[(1, TEMPORARY), (26, b"S"), (27, &[id]), (28, data)])).1
    };
    send(1, b"0123456789");
    assert_eq!(&send(0, b"short")[28..42], b"\0\x000123456789\0\0");
    assert_eq!(write_hotp(&device, 0x10, b"12345678901234567890"), status::OK);
    assert_eq!(device.stored()[0].1.secret, b"12345678901234567890\0\0\0\0\0\0\0\0\0\x000123456789");
}

#[test]
fn a_storage_that_was_asked_to_authorize_hides_refusals() {
    let device = device(NitrokeyFirmware::STORAGE_0_57);
    let erase = body(0x06, &[(1, &[0x10]), (2, TEMPORARY)]);
    assert_eq!(ask(&device, &erase).0, status::NOT_AUTHORIZED);
    ask(&device, &body(0x08, &[]));
    assert_eq!(ask(&device, &erase).0, status::OK);
    assert_eq!(ask(&NitrokeyPro::clone(&device), &[0x10]).0, status::OK);
}

#[test]
fn a_storage_loses_its_last_totp_slot_without_a_word() {
    let device = device(NitrokeyFirmware::STORAGE_0_54);
    authenticate(&device, b"12345678");
    assert_eq!(write_hotp(&device, 0x2E, b"12345678901234567890"), status::OK);
    assert_eq!(write_hotp(&device, 0x2D, b"12345678901234567890"), status::OK);
    let numbers: Vec<_> = device.stored().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, ["34"]);
}

#[test]
fn codes_want_the_user_pin_where_that_is_set() {
    for firmware in [NitrokeyFirmware::PRO_0_15, NitrokeyFirmware::STORAGE_0_57] {
        let device = device(firmware);
        device.install("11", &Stored::hotp(b"12345678901234567890", 0));
        device.set_user_pin_needed(true);
        let get = body(0x04, &[(1, &[0x10]), (19, TEMPORARY)]);
        assert_eq!(ask(&device, &get).0, status::NOT_AUTHORIZED);
        assert_eq!(ask(&device, &body(0x0E, &[(1, b"123456"), (26, TEMPORARY)])).0, status::OK);
        assert_eq!(
            ask(&device, &get),
            (status::OK, {
                let mut payload = 755_224_u32.to_le_bytes().to_vec();
                payload.resize(53, 0);
                payload
            })
        );
    }
}

#[test]
fn the_reserved_slot_is_for_verification_only() {
    let device = device(NitrokeyFirmware::PRO_0_9);
    authenticate(&device, b"12345678");
    assert_eq!(write_hotp(&device, 0x13, b"12345678901234567890"), status::OK);
    assert_eq!(ask(&device, &[0x04, 0x13]).0, status::WRONG_SLOT);
    let verify = |code: u32| ask(&device, &body(0x18, &[(1, &code.to_le_bytes())])).1[..2].to_vec();
    assert_eq!((verify(969_429), verify(969_429), verify(338_314)), (vec![1, 3], vec![0, 0xFE], vec![1, 0]));
    assert_eq!(device.stored(), []);
}

#[test]
fn time_goes_on_from_where_it_was_set() {
    let device = device(NitrokeyFirmware::PRO_0_15);
    device.install("23", &Stored::totp(b"12345678901234567890"));
    let set = |reset: u8, time: u64| ask(&device, &body(0x0B, &[(1, &[reset]), (2, &time.to_le_bytes())])).0;
    let code = || u32::from_le_bytes(ask(&device, &[0x04, 0x22]).1[..4].try_into().unwrap());
    assert_eq!(set(1, 1_111_111_080), status::OK);
    assert_eq!(code(), 81_804);
    device.hid.pause(Duration::from_secs(30), Waits::Virtual);
    assert_eq!(code(), 50_471);
    assert_eq!(set(0, 1_111_111_080), status::OK, "the same minute");
    assert_eq!(set(0, 1_111_111_000), status::TIMESTAMP);
}

#[test]
fn a_factory_reset_empties_slots_and_sets_the_pins_back() {
    for firmware in NitrokeyFirmware::ALL {
        let device = device(firmware);
        device.install("12", &Stored::hotp(b"12345678901234567890", 0));
        device.set_lock_code(Some(b"another admin pin"));
        assert_eq!(ask(&device, &body(0x13, &[(1, b"12345678")])).0, status::WRONG_PASSWORD);
        assert_eq!(ask(&device, &body(0x13, &[(1, b"another admin pin")])).0, status::OK);
        assert_eq!((device.stored(), device.lock_code().unwrap()), (vec![], b"12345678".to_vec()));
    }
}

#[test]
fn pins_are_changed_by_who_knows_them() {
    let device = device(NitrokeyFirmware::PRO_0_15);
    let change = |command: u8, old: &[u8], new: &[u8]| ask(&device, &body(command, &[(1, old), (26, new)])).0;
    assert_eq!(change(0x15, b"12345678", b"short"), status::ADMIN_PIN);
    assert_eq!(change(0x15, b"12345678", b"another admin pin"), status::OK);
    assert_eq!(change(0x15, b"12345678", b"87654321"), status::WRONG_PASSWORD);
    assert_eq!(change(0x14, b"123456", b"654321"), status::OK);
    device.set_retries(3, 0);
    assert_eq!(change(0x11, b"another admin pin", b"123456"), status::OK);
    assert_eq!((device.retries(), device.lock_code().unwrap()), ((3, 3), b"another admin pin".to_vec()));
}

proptest! {
    #[test]
    fn whatever_arrives_is_answered(
        firmware in prop::sample::select(NitrokeyFirmware::ALL.to_vec()),
        requests in prop::collection::vec((0_u8..0x40, prop::collection::vec(any::<u8>(), 0..59)), 1..12),
        noise in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let device = device(firmware);
        device.hid.set_feature(&noise, Waits::Virtual);
        device.hid.pause(Duration::from_secs(1), Waits::Virtual);
        device.install("11", &Stored::hotp(b"12345678901234567890", u64::MAX));
        device.install("21", &Stored { time_step: Some(0), ..Stored::totp(b"12345678901234567890") });
        authenticate(&device, b"12345678");
        for (command, mut rest) in requests {
            rest.insert(0, command);
            rest.resize(60, 0);
            let answer = exchange(&device, &report(&rest));
            prop_assert_eq!((answer.len(), answer[0], answer[1]), (64, 0, command));
        }
    }
}
