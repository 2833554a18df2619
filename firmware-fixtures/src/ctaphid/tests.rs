//! The packets of the protocol sheet, and what a host should not do.

use super::*;
use crate::card::{Human, Waits};
use crate::hid::{HidFace, Transfer, VirtualHid};

/// Answers vendor command 70 with what it got, backwards; 71 wants a touch first.
struct Mirror;

impl Handler for Mirror {
    fn message(&mut self, command: u8, message: &[u8], touch: Touch) -> Outcome {
        match (command, touch) {
            (0x70, _) | (0x71, Touch::Given) => Outcome::Answer(message.iter().rev().copied().collect()),
            (0x71, Touch::NotAsked) => Outcome::TouchNeeded,
            (0x71, Touch::TimedOut) => Outcome::Answer(vec![0x69, 0x82]),
            _ => Outcome::Error(error::INVALID_COMMAND),
        }
    }

    fn reset(&mut self) {}
}

const TRAITS: Traits = Traits {
    version: [1, 8, 0],
    capabilities: 0x05,
    keepalive: Some(Duration::from_millis(100)),
    longest: 3072,
};

fn device_with(traits: Traits) -> VirtualHid {
    let face = HidFace {
        model: "mirror",
        vendor_id: 1,
        product_id: 2,
        release: 0x0100,
        manufacturer: "",
        product: "",
        serial: None,
        interface: 0,
        usage: USAGE,
        descriptor: DESCRIPTOR,
        feature_length: 0,
        report_length: PACKET,
    };
    let device = VirtualHid::new(face, Box::new(CtapHid::new(traits, Mirror)));
    device.power_on();
    device
}

fn device() -> VirtualHid {
    device_with(TRAITS)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn padded(text: &str) -> Vec<u8> {
    let mut bytes = hex(text);
    bytes.resize(PACKET, 0);
    bytes
}

fn write(device: &VirtualHid, packet: &str) {
    assert_eq!(device.output(&padded(packet), Waits::Virtual), Transfer::Done(()));
}

fn read(device: &VirtualHid) -> Vec<u8> {
    match device.input(Duration::from_secs(1), Waits::Virtual) {
        Transfer::Done(packet) => packet,
        other => panic!("{other:?}"),
    }
}

fn silent(device: &VirtualHid) -> bool {
    device.input(Duration::from_millis(50), Waits::Virtual) == Transfer::Silence
}

const INIT: &str = "ffffffff 86 0008 0102030405060708";

#[test]
fn channels_are_given_out_one_after_another() {
    let device = device();
    write(&device, INIT);
    assert_eq!(read(&device), padded("ffffffff 86 0011 0102030405060708 00000001 02 01 08 00 05"));
    write(&device, INIT);
    assert_eq!(read(&device), padded("ffffffff 86 0011 0102030405060708 00000002 02 01 08 00 05"));
    write(&device, "00000001 86 0008 a1a2a3a4a5a6a7a8");
    assert_eq!(read(&device), padded("00000001 86 0011 a1a2a3a4a5a6a7a8 00000001 02 01 08 00 05"));
    assert!(silent(&device));
}

#[test]
fn a_message_may_take_several_packets_both_ways() {
    let device = device();
    write(&device, INIT);
    read(&device);
    write(&device, "00000001 f0 0006 00a100000101");
    assert_eq!(read(&device), padded("00000001 f0 0006 01010000a100"));
    write(&device, &format!("00000001 f0 004f {}", "11".repeat(57)));
    write(&device, &format!("00000001 00 {}", "22".repeat(22)));
    let first = format!("00000001 f0 004f {} {}", "22".repeat(22), "11".repeat(35));
    assert_eq!(read(&device), padded(&first));
    assert_eq!(read(&device), padded(&format!("00000001 00 {}", "11".repeat(22))));
    assert!(silent(&device));
}

#[test]
fn ping_and_wink_are_answered_by_the_front() {
    let device = device();
    write(&device, INIT);
    read(&device);
    write(&device, "00000001 81 0003 414243");
    assert_eq!(read(&device), padded("00000001 81 0003 414243"));
    write(&device, "00000001 88 0000");
    assert_eq!(read(&device), padded("00000001 88 0000"));
}

#[test]
fn what_the_host_does_wrong_it_is_told() {
    let device = device();
    write(&device, INIT);
    read(&device);
    for (packets, answer) in [
        (&["00000001 90 0001 04"][..], "00000001 bf 0001 01"),
        (&["00000001 f0 0c01"], "00000001 bf 0001 03"),
        (&["00000001 86 0007"], "00000001 bf 0001 03"),
        (&["00000002 f0 0000"], "00000002 bf 0001 0b"),
        (&["00000000 86 0008"], "00000000 bf 0001 0b"),
        (&["ffffffff f0 0000"], "ffffffff bf 0001 0b"),
        (&["00000001 f0 0080", "00000001 01"], "00000001 bf 0001 04"),
        (&["00000001 f0 0080", "00000001 f0 0001 01"], "00000001 bf 0001 04"),
    ] {
        for packet in packets {
            write(&device, packet);
        }
        assert_eq!(read(&device), padded(answer), "{packets:?}");
        assert!(silent(&device), "{packets:?}");
    }
    write(&device, "00000001 00 0102");
    assert!(silent(&device), "a continuation of nothing");
    assert_eq!(device.output(&[0, 0, 0, 1, 0xF0], Waits::Virtual), Transfer::Done(()));
    assert!(silent(&device), "a short report");
}

#[test]
fn a_message_that_is_not_finished_is_given_up() {
    let device = device();
    write(&device, INIT);
    read(&device);
    write(&device, "00000001 f0 0080");
    assert_eq!(read(&device), padded("00000001 bf 0001 05"));
    assert_eq!(device.waited(), MESSAGE_TIMEOUT);
}

#[test]
fn a_touch_is_awaited_with_keepalives() {
    for (human, answer, keepalives) in [
        (Human::TouchesAtOnce, "00000001 f1 0001 07", 1),
        (Human::TouchesAfter(Duration::from_millis(250)), "00000001 f1 0001 07", 3),
        (Human::NeverTouches, "00000001 f1 0002 6982", 150),
    ] {
        let device = device();
        device.set_human(human);
        write(&device, INIT);
        read(&device);
        write(&device, "00000001 f1 0001 07");
        let mut told = 0;
        let last = loop {
            let packet = read(&device);
            if packet != padded("00000001 bb 0001 02") {
                break packet;
            }
            told += 1;
        };
        assert_eq!((last, told), (padded(answer), keepalives), "{human:?}");
        assert_eq!(device.touch_requests(), 1);
    }
}

#[test]
fn firmware_without_keepalives_waits_in_silence() {
    let device = device_with(Traits { keepalive: None, ..TRAITS });
    device.set_human(Human::TouchesAfter(Duration::from_millis(800)));
    write(&device, INIT);
    read(&device);
    write(&device, "00000001 f1 0001 07");
    assert!(silent(&device));
    assert_eq!(read(&device), padded("00000001 f1 0001 07"));
}

#[test]
fn other_channels_are_told_that_it_is_busy_and_the_own_may_cancel() {
    let device = device_with(Traits { keepalive: None, ..TRAITS });
    device.set_human(Human::NeverTouches);
    write(&device, INIT);
    write(&device, INIT);
    read(&device);
    read(&device);
    write(&device, "00000001 f1 0001 07");
    write(&device, "00000002 f0 0001 07");
    assert_eq!(read(&device), padded("00000002 bf 0001 06"));
    write(&device, "00000002 91 0000");
    assert!(silent(&device), "not its own message");
    write(&device, "00000001 91 0000");
    assert_eq!(read(&device), padded("00000001 f1 0002 6982"));
    // INIT on the channel ends the wait without an answer.
    write(&device, "00000001 f1 0001 07");
    write(&device, "00000001 86 0008 0102030405060708");
    assert_eq!(read(&device)[4], 0x86);
    write(&device, "00000002 f0 0001 07");
    assert_eq!(read(&device), padded("00000002 f0 0001 07"));
    assert!(silent(&device));
}

#[test]
fn a_reset_forgets_channels_and_answers() {
    let device = device();
    write(&device, INIT);
    read(&device);
    write(&device, "00000001 81 0001 41");
    device.power_on();
    assert!(silent(&device));
    write(&device, "00000001 81 0001 41");
    assert_eq!(read(&device), padded("00000001 bf 0001 0b"));
}
