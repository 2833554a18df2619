//! CTAPHID messages to an emulated authenticator: the driver's packets against the emulation's.

use std::time::Duration;

use firmware_fixtures::applets::Touch;
use firmware_fixtures::attach::hid::VirtualHidBus;
use firmware_fixtures::card::Human;
use firmware_fixtures::ctaphid as emulated;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::hid::{HidFace, VirtualHid};
use fobd_drivers::ctaphid::{CtapHid, PATIENCE};
use fobd_drivers::error::Error;
use fobd_drivers::token::Unattended;
use fobd_drivers::transport::{Bus, Connection};

use crate::bench::Watcher;

/// Counts what it was told under command 70; 71 wants a touch first.
#[derive(Default)]
struct Counter {
    messages: u8,
}

impl emulated::Handler for Counter {
    fn message(&mut self, command: u8, message: &[u8], touch: Touch) -> emulated::Outcome {
        match (command, touch) {
            (0x71, Touch::NotAsked) => return emulated::Outcome::TouchNeeded,
            (0x71, Touch::TimedOut) => return emulated::Outcome::Answer(vec![0x69, 0x82]),
            _ => {}
        }
        self.messages += 1;
        emulated::Outcome::Answer([message, &[self.messages]].concat())
    }

    fn reset(&mut self) {}
}

const KEEPALIVES: Option<Duration> = Some(Duration::from_millis(100));

fn plug_in(keepalive: Option<Duration>) -> (VirtualHid, VirtualHidBus) {
    let traits = emulated::Traits { version: [1, 8, 0], capabilities: 5, keepalive, longest: 3072 };
    let face = HidFace {
        model: "counter",
        vendor_id: 0x20A0,
        product_id: 0x42B2,
        release: 0x0108,
        manufacturer: "",
        product: "",
        serial: None,
        interface: 1,
        usage: emulated::USAGE,
        descriptor: emulated::DESCRIPTOR,
        feature_length: 0,
        report_length: emulated::PACKET,
    };
    let device = VirtualHid::new(face, Box::new(emulated::CtapHid::new(traits, Counter::default())));
    let bus = VirtualHidBus::new();
    bus.attach(&device);
    (device, bus)
}

fn open(bus: &VirtualHidBus) -> CtapHid {
    let Connection::Hid(connection) = bus.open(&bus.candidates()[0]).unwrap() else { panic!("not HID") };
    CtapHid::open(connection, &Unattended).unwrap()
}

fn tell(channel: &mut CtapHid, message: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(channel.transact("COUNT", 0x70, message, PATIENCE, &Unattended)?.to_vec())
}

#[test]
fn messages_of_every_length_arrive_and_come_back() {
    let (device, bus) = plug_in(KEEPALIVES);
    let mut channel = open(&bus);
    for (number, length) in (1..).zip([0, 1, 56, 57, 58, 115, 116, 117, 1000, 3072]) {
        let message: Vec<u8> = (0..length).map(|index| index as u8).collect();
        assert_eq!(
            tell(&mut channel, &message).unwrap(),
            [&message[..], &[number]].concat(),
            "{length} bytes"
        );
    }
    assert_eq!(
        tell(&mut channel, &[0; 3073]).unwrap_err().to_string(),
        "COUNT refused: 0003 (invalid length)"
    );
    assert_eq!(device.waited(), Duration::ZERO);
}

#[test]
fn two_programs_take_turns() {
    let (_device, bus) = plug_in(KEEPALIVES);
    let (mut one, mut other) = (open(&bus), open(&bus));
    for number in 1..6 {
        assert_eq!(tell(&mut one, &[]).unwrap(), [2 * number - 1]);
        assert_eq!(tell(&mut other, &[]).unwrap(), [2 * number]);
    }
}

#[test]
fn a_touch_is_awaited_with_and_without_keepalives() {
    for (keepalive, prompts) in [(KEEPALIVES, 1), (None, 0)] {
        let (device, bus) = plug_in(keepalive);
        device.set_human(Human::TouchesAfter(Duration::from_secs(10)));
        let mut channel = open(&bus);
        let watcher = Watcher::default();
        let answer = channel.transact("TOUCH", 0x71, &[], Duration::from_secs(20), &watcher).unwrap();
        assert_eq!((answer.as_slice(), watcher.prompts.get()), (&[1][..], prompts));
    }
}

#[test]
fn a_cancelled_wait_ends_on_both_sides() {
    for keepalive in [KEEPALIVES, None] {
        let (device, bus) = plug_in(keepalive);
        device.set_human(Human::NeverTouches);
        let mut channel = open(&bus);
        let watcher = Watcher::cancelling_at(5);
        let answer = channel.transact("TOUCH", 0x71, &[], Duration::from_secs(20), &watcher).unwrap();
        assert_eq!(*answer, [0x69, 0x82]);
        assert!(device.waited() < Duration::from_secs(1), "{:?}", device.waited());
        assert_eq!(tell(&mut channel, &[]).unwrap(), [1]);
    }
}

#[test]
fn after_any_fault_the_same_channel_works_again() {
    let faults = FaultKind::all()
        .into_iter()
        .filter(|kind| !matches!(kind, FaultKind::UnplugBefore | FaultKind::UnplugAfter));
    for kind in faults {
        // Two packets out, two packets back.
        for at in 0..4 {
            let (device, bus) = plug_in(KEEPALIVES);
            let mut channel = open(&bus);
            device.plan(Fault { at, kind });
            let (message, what) = ([7; 80], format!("{kind:?} at packet {at}"));
            let outcome = channel.transact("COUNT", 0x70, &message, PATIENCE, &Unattended);
            assert_eq!(device.faults_left(), 0, "{what}");
            let counted = |device: &VirtualHid| {
                device.with_chip(|chip: &mut emulated::CtapHid<Counter>| chip.handler.messages).unwrap()
            };
            let before = counted(&device);
            if let Err(failure) = outcome {
                assert!(failure.carried_out || before == 0, "{what}: {failure}");
            }
            assert!(before <= 1, "{what}: carried out twice");
            assert_eq!(tell(&mut channel, &[]).unwrap(), [before + 1], "{what}");
        }
    }
}
