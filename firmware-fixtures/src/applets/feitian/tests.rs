//! What a real A9-3301 (version 1.0.2) answered over CCID, then what the sheet says in words.

use super::*;
use crate::card::Waits;
use crate::hid::Transfer;

const SEED: &str = "3132333435363738393031323334353637383930";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Device {
    chip: Chip,
    touch: Touch,
}

impl Device {
    fn new(model: Model) -> Self {
        let mut device = Self { chip: model.chip(), touch: Touch::Given };
        device.send("00a4040009d15600013283260101 00");
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
        let answer: String = answer.split_whitespace().collect();
        assert_eq!(self.send(command), answer, "to {command}");
    }
}

/// A command with its Lc.
fn apdu(head: &str, data: &str) -> String {
    let data = hex(data);
    format!("{head}{:02x}{}", data.len(), text(&data))
}

/// The name that a recording uses.
fn name(text: &str) -> String {
    format!("51{:02x}{}", text.len(), text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[test]
fn what_a_real_key_answered_is_answered() {
    let mut key = Device::new(Model::A9);
    let selected = key.send("00a4040009d15600013283260101 00");
    assert_eq!((selected.len(), &selected[..14]), (2 * 17, "59030100025108"));
    key.expect("00070000", "9000");
    key.expect("00e60000", "9000");
    for p2 in ["00", "01", "f0"] {
        key.expect(&format!("001700{p2}"), "9000");
    }
    let test = name("rfc6238-test-01");
    key.expect(&format!("0009000033 5316 012008 {SEED} {test} 5c015c 5a0400000000"), "9000");
    key.expect("00170000", "521021726663363233382d746573742d3031 9000");
    key.expect("00170001", "9000");
    key.expect(
        &format!("00a200001b 5408 0000000000000001 {test}"),
        "5515 08 75a48a19d4cbe100644e8ac1397eea747a2d33ab 9000",
    );
    // Another name in the same slot: the first one is gone.
    let test = name("rfc6238-test-02");
    key.expect(
        &format!("000900003f 5322 022008 {SEED}313233343536373839303132 {test} 5c015c 5a0400000000"),
        "9000",
    );
    key.expect("00170000", "521022726663363233382d746573742d3032 9000");
    let test = name("rfc4226-test-01");
    key.expect(&format!("0009000033 5316 011006 {SEED} {test} 5c015c 5a0400000001"), "9000");
    key.expect("00170000", "521011726663343232362d746573742d3031 9000");
    key.expect("00e70000", "9000");
    key.expect("00170000", "9000");
}

#[test]
fn hotp_counts_from_where_it_was_put() {
    let mut key = Device::new(Model::A9);
    let test = name("test");
    key.expect(&format!("0009000128 5316 011006 {SEED} {test} 5c015c 5a0400000001"), "9000");
    // RFC 4226 appendix D, counter 1 and 2.
    key.expect(&format!("00a2000108 5400 {test}"), "5515 06 75a48a19d4cbe100644e8ac1397eea747a2d33ab 9000");
    key.expect(&format!("00a2010108 5400 {test}"), "7605 06 082fef30 9000");
}

#[test]
fn the_length_of_the_key_is_one_too_small() {
    let mut key = Device::new(Model::A9);
    let test = name("test");
    key.expect(&apdu("00090000", &format!("5317 011006 {SEED} {test} 5c015c")), "6a80");
    key.expect(&apdu("00090000", &format!("5316 011006 {SEED} {test} 5c015c")), "9000");
    assert!(Feitian::new(Model::A9).credentials().0[0].is_none());
}

#[test]
fn what_is_out_of_range_is_refused() {
    let mut key = Device::new(Model::A9);
    for wrong in ["031006", "013006", "014006", "011007", "011005"] {
        key.expect(&apdu("00090000", &format!("5316 {wrong} {SEED} {}", name("test"))), "6a80");
    }
    key.expect(&apdu("00090002", &format!("5316 011006 {SEED} {}", name("test"))), "6b00");
    key.expect("0017000f", "6b00");
}

#[test]
fn names_are_many_and_want_touches() {
    let mut key = Device::new(Model::EPASS);
    let (bob, eve) = (name("30:Acme_#_bob"), name("eve1"));
    key.expect(&apdu("000900f0", &format!("5316 012006 {SEED} {bob}")), "9000");
    key.expect(&apdu("000900f0", &format!("5316 011006 {SEED} {eve} 5c0101")), "9000");
    key.expect("001700f000", "520e21 33303a41636d655f235f626f62 520511 65766531 9000");
    key.expect(&apdu("00a201f0", &format!("5408 0000000000000001 {bob}")), "7605 06 41397eea 9000");
    key.touch = Touch::TimedOut;
    key.expect(&apdu("00a201f0", &format!("5400 {eve}")), "6984");
    key.expect(&apdu("000800f0", &eve), "6984");
    key.expect("00070000", "6984");
    key.touch = Touch::Given;
    key.expect(&apdu("000800f0", &eve), "9000");
    key.expect(&apdu("000800f0", &eve), "6a80");
    key.expect("001700f000", "520e21 33303a41636d655f235f626f62 9000");
}

#[test]
fn a_hyperfido_is_spoken_to_in_messages() {
    let hid = Model::HYPERFIDO.hid();
    hid.power_on();
    let send = |command: u8, channel: &str, message: &str| {
        let message = hex(message);
        let head = format!("{channel}{:02x}{:04x}", command | 0x80, message.len());
        let mut report = [hex(&head), message].concat();
        report.resize(64, 0);
        assert_eq!(hid.output(&report, Waits::Virtual), Transfer::Done(()));
        match hid.input(std::time::Duration::from_secs(20), Waits::Virtual) {
            Transfer::Done(report) => text(&report[4..]),
            other => panic!("{other:?}"),
        }
    };
    let told = send(0x06, "ffffffff", "cd4b74bd895ea500");
    assert_eq!(&told[..30], "860011cd4b74bd895ea50000000001");
    let channel = "00000001";
    assert!(send(0x03, channel, "00a4040009d15600013283260101").ends_with(&"00".repeat(20)));
    // Not programmed: only a status.
    assert!(send(0x03, channel, "00e60000").starts_with("830002900000"));
    let put = format!("0009000023 5316 01 10 06 {SEED} 5108 3132333435363738");
    assert_eq!(hex(&put).len(), 40);
    assert!(send(0x03, channel, &put).starts_with("8300029000"));
    // Three bytes, eight of name; what the tool looks at is the first byte of the status.
    let status = send(0x03, channel, "00e60000");
    assert_eq!(&status[..32], "83000d52091131323334353637389000");
    assert!(send(0x03, channel, "00070000").starts_with("8300029000"));
    assert!(send(0x03, channel, "00e60000").starts_with("8300029000"));
}
