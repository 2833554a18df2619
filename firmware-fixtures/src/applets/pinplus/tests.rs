//! The worked exchange and vectors of the protocol sheet, then what it says in words. The host has the scalar
//! 0102...20, the key 4142...60.

use super::*;
use crate::chip::{Chip, Reply};
use crate::hid::{HidChip, Transfer, VirtualHid};

const SELECT: &str = "00A4040008F00000014F747001";
const HOST: &str = "515C3D6EB9E396B904D3FECA7F54FDCD0CC1E997BF375DCA515AD0A6C3B4035F
                    4536BE3A50F318FBF9A5475902A221502BEF0D57E08C53B2CC0A56F17D9F9354";
const DEVICE: &str = "261EFBD3550CF068EF013ED7366BA32F5D6FE557B4B2ABCE8ADE58CBA168A55E
                      1788A0B29A56A6ABEC4084C0C96BD3DCBCA6B507F35DBEA9E985708479D8BDC9";
const SEED: &[u8] = b"12345678901234567890";
const TIME_59: &str = "000000000000003B";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn plain(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The eight-byte pieces of 4142...60, as the key draws them.
fn scalar() -> Vec<[u8; 8]> {
    (0..4).map(|piece| std::array::from_fn(|at| 0x41 + piece * 8 + at as u8)).collect()
}

struct Device {
    chip: Chip,
    touch: Touch,
}

impl Device {
    fn new(model: Model, drawn: impl IntoIterator<Item = [u8; 8]>) -> Self {
        let key = PinPlus::with_entropy(model, Entropy::scripted(drawn));
        let applets: Vec<Box<dyn Applet>> = vec![Box::new(key), Box::new(fido::Fido(model))];
        let mut device = Self { chip: Chip::with_applets(model.face(), applets), touch: Touch::Given };
        device.expect(SELECT, "9000");
        device
    }

    fn send(&mut self, command: &str) -> String {
        let command = hex(command);
        let mut reply = self.chip.transmit(&command, Touch::NotAsked);
        if reply == Reply::TouchNeeded {
            reply = self.chip.transmit(&command, self.touch);
        }
        match reply {
            Reply::Answer(answer) => text(&answer),
            Reply::TouchNeeded => panic!("asks for a touch twice"),
        }
    }

    #[track_caller]
    fn expect(&mut self, command: &str, answer: &str) {
        assert_eq!(self.send(command), plain(answer), "to {command}");
    }

    fn key(&mut self) -> &mut PinPlus {
        self.chip.applet_mut().unwrap()
    }
}

#[test]
fn the_worked_seal_opens_and_computes() {
    let mut device = Device::new(Model::R3_4, scalar());
    device.expect("80C5010000", &format!("{DEVICE}9000"));
    device.expect(
        &format!(
            "80C5050270 {HOST}
             88E1726D3C2A4046E9D524F1273F5CD214219E6D9A50B6DCD128875B9870AFFAA2B5FEBD32FE1C9C102ADB6E148C8501"
        ),
        "9000",
    );
    assert_eq!(device.key().records(), [Record::totp("Test", "alice", SEED)]);
    device.expect(
        &format!("80C5050009 03{TIME_59}"),
        "01C1001E0600 0454657374 05616C696365 06323837303832 9000",
    );
    device.expect(
        &format!("80C5050014 01{TIME_59} 0454657374 05616C696365"),
        "01C1001E0600 0454657374 05616C696365 06323837303832 9000",
    );
    // The key was good for one seal.
    device.expect(&format!("80C5050270 {HOST} {}", "00".repeat(48)), "6985");
}

#[test]
fn session_keys_are_those_of_the_sheet() {
    let host = SecretKey::from_slice(&std::array::from_fn::<u8, 32, _>(|at| at as u8 + 1)).unwrap();
    assert_eq!(text(&cipher::point(&host)), plain(HOST));
    let shared = cipher::agree(&host, &hex(DEVICE)).unwrap();
    assert_eq!(text(&shared), "7434F2C52E0D08DC73394AAE3D2D55D5B88BC570F21CC2B8F8B80B273DDBF76F");
    let session = Session::new(&shared);
    assert_eq!(text(&session.mac), "3B3789C66E91BD7019360C367F286C8F709C00069B0275DBEAD016F968B63064");
    assert_eq!(text(&session.enc), "D8EE16E0025D1E3DA4679605AFF1B8EF5DB2AEA2CFF434F03114D070DCCDF9F7");
    let page = hex("01C1001E0600 0454657374 05616C696365 06323837303832");
    let iv = std::array::from_fn(|at| at as u8);
    let told = session.protect(&page, iv);
    assert_eq!(
        text(&told),
        plain(
            "000102030405060708090A0B0C0D0E0F
             2683BEC6D6E5953D3DB7A938306FFDC94F77F3803A3E3E3EBA37E3D1F681429C
             05FEE145410AE9A325C1DA5AFE198F67"
        )
    );
    assert_eq!(session.unprotect(&told).unwrap(), page);
}

/// Draws: the scalar of the agreement, nine blocks of signature, then what is given.
fn after_agreement(drawn: &[[u8; 16]]) -> Vec<[u8; 8]> {
    let blocks = [&[[0; 16]; 9], drawn].concat();
    let halves = blocks.iter().flat_map(|block| [0, 8].map(|at| std::array::from_fn(|i| block[at + i])));
    scalar().into_iter().chain(halves).collect()
}

#[test]
fn a_pin_is_set_verified_and_locked_as_in_the_sheet() {
    let mut device = Device::new(Model::R3_4, after_agreement(&[[0x42; 16]]));
    device.key().install(Record::totp("Test", "alice", SEED));
    device.expect("80C5050404 00000000", "07000000 9000");
    device.expect("80C5050409 000000000000000000", "070000000000010000 9000");
    let agreed = device.send(&format!("80C5050940 {HOST}"));
    assert_eq!((agreed.len(), &agreed[..128]), (2 * (64 + 132 + 2), plain(DEVICE).as_str()));
    let set = "80C5050530 000102030405060708090A0B0C0D0E0F 9E1653E528D3248CD9174F20AB06066D
               B8325769774BD7802EAA3C3CE90F5734";
    device.expect(set, "9000");
    assert_eq!(device.key().pin(), Some((&b"1357924"[..], 100)));
    device.expect(set, "6A81");
    device.expect("80C5010000", "6A81");
    device.expect(&format!("80C5050009 03{TIME_59}"), "6982");
    let flag = device.send(&format!("80C5050429 {}", "00".repeat(41)));
    assert_eq!((flag.len(), &flag[..18]), (2 * 43, "076407640000010000"));
    let verify = "80C5050620 000102030405060708090A0B0C0D0E0F BD6BB9CCB1EB267A98BC729BC91A2C8F";
    device.expect(verify, "9000");
    let page = device.send(&format!("80C5050009 03{TIME_59}"));
    assert_eq!(page.len(), 2 * (16 + 32 + 16 + 2));
    device.expect("80C5050601 00", "9000");
    device.expect(&format!("80C5050009 03{TIME_59}"), "6982");
    // The challenge is spent, so no attempt is.
    device.expect(verify, "6985");
    assert_eq!(device.key().pin().unwrap().1, 100);
}

#[test]
fn a_set_without_the_flag_read_is_refused() {
    let mut device = Device::new(Model::R3_4, after_agreement(&[]));
    device.send(&format!("80C5050940 {HOST}"));
    let set = "80C5050530 000102030405060708090A0B0C0D0E0F 9E1653E528D3248CD9174F20AB06066D
               B8325769774BD7802EAA3C3CE90F5734";
    device.expect(set, "6985");
    assert_eq!(device.key().pin(), None);
}

#[test]
fn wrong_pins_are_counted_and_the_last_one_blocks() {
    let mut device = Device::new(Model::R3_4, []);
    device.key().set_pin(Some((b"1357924", 2)));
    device.send("80C5050409 000000000000000000");
    for (retries, status) in [("02", "6982"), ("01", "6983")] {
        device.send(&format!("80C5050940 {HOST}"));
        let flag = device.send(&format!("80C5050429 {}", "00".repeat(41)));
        assert_eq!(&flag[2..4], retries);
        device.expect(&format!("80C5050620 {}", "00".repeat(32)), status);
    }
    assert_eq!(device.key().pin().unwrap().1, 0);
    // Erasing is the way out.
    device.expect("80C50502", "9000");
    assert_eq!(device.key().pin(), None);
}

#[test]
fn simple_pins_are_refused() {
    for (text, refused) in [
        ("135790", false),
        ("12345", true),
        ("123456", true),
        ("987654", true),
        ("111111", true),
        ("321123", true),
        ("711117", true),
        ("abcdefghij", true),
        ("Abcdefghi9", false),
        ("short1A", true),
        ("pässwörd-1", false),
    ] {
        assert_eq!(pin::is_too_simple(text.as_bytes()), refused, "{text}");
    }
}

#[test]
fn long_lists_come_in_pages_and_hotp_keeps_its_code() {
    let mut device = Device::new(Model::R3_3, []);
    device.expect(&format!("80C5050009 03{TIME_59}"), "6A80");
    let button = Record { button: true, ..Record::totp("", &"b".repeat(60), SEED) };
    for record in [Record::hotp("", &"a".repeat(60), SEED, 0), button, Record::totp("", "c", SEED)] {
        device.key().install(record);
    }
    let (a, b) = ("61".repeat(60), "62".repeat(60));
    // The first bit says that more follows; only TOTP without the button tells its code.
    device.expect(&format!("80C5050009 03{TIME_59}"), &format!("80C100000600 00 3C{a} 9000"));
    device.expect(
        &format!("80C5050108 {TIME_59}"),
        &format!("01C1001E0601 00 3C{b} 01C1001E0600 00 0163 06323837303832 9000"),
    );
    device.expect(&format!("80C5050108 {TIME_59}"), "6985");
}

#[test]
fn the_serial_is_told_after_the_configuration() {
    let serial = "80330000 12 D110 00000000000000000000000000000000";
    let mut mini = Device::new(Model::R3_1, []);
    mini.expect(serial, "6D00");
    mini.expect("80C5020040", "00 9000");
    mini.expect(serial, "6D00");
    mini.expect("80C50300 01 04", "9000");
    mini.expect(serial, &format!("D10E{}9000", text(b"72102935780528")));
    let mut bio = Device::new(Model::R3_2_BIO, []);
    bio.expect("80C502000A 00000000000000000000", "0014 00000000 010000 33 9000");
    bio.expect(serial, &format!("D10E{}9000", text(b"72103054095303")));
    let mut card = Device::new(Model::R2_NFC, []);
    card.expect(serial, "6D00");
    card.expect("00A4040008A0000006472F0001", "6A81");
    card.expect(serial, &format!("D10E{}9000", text(b"96105001234567")));
}

#[test]
fn the_button_types_hotp_where_there_is_one() {
    let mut device = Device::new(Model::R3_3, scalar());
    let seal = |clear: &[u8]| {
        let host = SecretKey::from_slice(&[1; 32]).unwrap();
        let key = cipher::sha256(&cipher::agree(&host, &hex(DEVICE)).unwrap());
        let mut padded = clear.to_vec();
        padded.resize(32, 32 - clear.len() as u8);
        let sealed = [&cipher::point(&host)[..], &cipher::encrypt(&key, &[0; 16], padded)].concat();
        format!("80C50000{:02X}{}", sealed.len(), text(&sealed))
    };
    device.send("80C5010000");
    let clear = [&[6, 20][..], SEED].concat();
    device.expect(&seal(&clear), "9000");
    assert_eq!(device.key().press().as_deref(), Some("755224"));
    assert_eq!(device.key().press().as_deref(), Some("287082"));
    Device::new(Model::R3_2_BIO, []).expect(&seal(&clear), "6A86");
}

#[test]
fn a_touch_that_does_not_come_is_told() {
    let mut device = Device::new(Model::R3_4, []);
    device.key().install(Record { button: true, ..Record::hotp("a", "b", SEED, 0) });
    device.touch = Touch::TimedOut;
    device.expect(&format!("80C505000D 01{TIME_59} 0161 0162"), "6FF9");
    device.expect("80C50502", "6FF9");
    device.touch = Touch::Given;
    device.expect(&format!("80C505000D 01{TIME_59} 0161 0162"), "00C100000601 0161 0162 06373535323234 9000");
}

#[test]
fn what_is_out_of_range_is_refused() {
    for wrong in [
        "02C1001E0600 0161 0162 0101",
        "01C3001E0600 0161 0162 0101",
        "01C100000600 0161 0162 0101",
        "01C1001E0300 0161 0162 0101",
        "01C1001E0B00 0161 0162 0101",
        "01C1001E0602 0161 0162 0101",
        "01C1001E0600 0161 00 0101",
        "01C1001E0600 0161 0162 0201",
        "01C1001E0600 0161 0162 00",
        "01C1001E0600 01FF 0162 0101",
    ] {
        assert_eq!(Record::parse(&hex(wrong)), None, "{wrong}");
    }
    assert!(Record::parse(&hex("000000000000 0161 0162 00")).is_some_and(|(_, deletes)| deletes));
    assert!(Record::parse(&hex("00C200000A01 00 0162 0101")).is_some());
}

fn output(hid: &VirtualHid, frame: &str) {
    let mut report = hex(frame);
    report.resize(64, 0);
    assert_eq!(hid.output(&report, crate::card::Waits::Virtual), Transfer::Done(()));
}

fn input(hid: &VirtualHid) -> Transfer<Vec<u8>> {
    hid.input(std::time::Duration::from_secs(20), crate::card::Waits::Virtual)
}

#[test]
fn frames_are_those_of_the_sheet() {
    let hid = Model::R3_4.hid();
    hid.power_on();
    output(&hid, &format!("21000E 80C5050009 03{TIME_59}"));
    let Transfer::Done(answer) = input(&hid) else { panic!("no answer") };
    assert_eq!((answer.len(), text(&answer[..6])), (64, "2100026A8300".to_owned()));
    output(&hid, "210005 80C5010000");
    let Transfer::Done(first) = input(&hid) else { panic!("no answer") };
    let Transfer::Done(second) = input(&hid) else { panic!("no second piece") };
    assert_eq!((text(&first[..3]), text(&second[..3])), ("21203D".to_owned(), "210105".to_owned()));
    assert_eq!(second[6..8], [0x90, 0x00]);
    // A command in two pieces: the first says that more follows.
    output(&hid, &format!("21203D 80C5050270 {}", "00".repeat(56)));
    output(&hid, &format!("210138 {}", "00".repeat(56)));
    let Transfer::Done(refused) = input(&hid) else { panic!("no answer") };
    assert_eq!(text(&refused[..5]), "2100026A80");
    assert_eq!(input(&hid), Transfer::Silence);
}

#[test]
fn the_key_says_that_it_waits_for_its_button() {
    let hid = Model::R3_4.hid();
    hid.power_on();
    hid.with_chip(|tunnel: &mut tunnel::Tunnel| {
        tunnel.key.install(Record { button: true, ..Record::totp("a", "b", SEED) });
    });
    hid.set_human(crate::card::Human::TouchesAfter(std::time::Duration::from_secs(1)));
    output(&hid, &format!("210012 80C505000D 01{TIME_59} 0161 0162"));
    let mut busy = 0;
    let answer = loop {
        match input(&hid) {
            Transfer::Done(report) if report[1] == 0xC0 => busy += 1,
            Transfer::Done(report) => break report,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((busy, &answer[..3], hid.touch_requests()), (9, &[0x21, 0, 0x13][..], 1));
    // Nonsense is thrown away, and what comes after it is heard.
    output(&hid, "FFFFFFFF86");
    output(&hid, "21053D");
    output(&hid, "210005 80C5020040");
    assert!(matches!(input(&hid), Transfer::Done(report) if report[2] == 12));
}

#[test]
fn power_off_forgets_what_was_verified() {
    let mut key = Model::R3_4.hid();
    key.power_on();
    let tunnel = |hid: &mut VirtualHid| hid.with_chip(|tunnel: &mut tunnel::Tunnel| tunnel.key.open).unwrap();
    key.with_chip(|tunnel: &mut tunnel::Tunnel| {
        tunnel.key.set_pin(Some((b"1357924", 3)));
        tunnel.key.open = true;
        HidChip::reset(tunnel);
    });
    assert!(!tunnel(&mut key));
}
