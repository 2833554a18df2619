//! What a driver is told when something goes wrong on the wire, a sample of each kind of fault. The sweep over
//! whole operations is in process; here it is the kernel that says what happened.

use std::time::{Duration, Instant};

use firmware_fixtures::fault::{Fault, FaultKind};
use fobd_drivers::transport::{Bus, HidConnection, TransportError};

use super::guest::{Guest, PULL, is_gone, open, wait_for};
use super::parrot::{Parrot, WAYS, Way, bus, parrot};

type Call = (&'static str, fn(&mut dyn HidConnection) -> Result<Vec<u8>, TransportError>);

const CALLS: [Call; 4] = [
    ("set_feature", |wire| wire.set_feature(&[7; 8]).map(|()| Vec::new())),
    ("get_feature", |wire| wire.get_feature(8)),
    ("write", |wire| wire.write(&[7; 64]).map(|()| Vec::new())),
    ("read", |wire| {
        wire.write(&[7; 64])?;
        Ok(wire.read(Duration::from_secs(1))?.unwrap_or_default())
    }),
];

/// What a call said that a fault struck, at its second exchange if it has two, and what a sound call says afterwards.
fn struck(
    way: Way,
    call: &Call,
    kind: FaultKind,
) -> (Result<Vec<u8>, TransportError>, Result<Vec<u8>, TransportError>) {
    let bus = bus();
    let mut watch = bus.watch().unwrap();
    let device = parrot("1");
    let inserted = way.insert(&device).unwrap();
    let candidates = wait_for(&mut *watch, 1);
    let mut connection = open(&bus, &candidates[0]);
    device.with_chip(|parrot: &mut Parrot| parrot.feature = vec![7; 8]);
    device.plan(Fault { at: u64::from(call.0 == "read"), kind });
    let start = Instant::now();
    let told = call.1(&mut *connection);
    let took = start.elapsed();
    if matches!(kind, FaultKind::UnplugBefore | FaultKind::UnplugAfter) {
        println!("{way:?} {} {kind:?}: {took:?}", call.0);
        assert!(took < PULL, "{way:?} {} {kind:?} took {took:?}", call.0);
        // A request between the end of the wire and the removal of the node is lost in vhci_hcd, where hardware
        // would fail it.
        wait_for(&mut *watch, 0);
    }
    let then = connection.get_feature(8);
    // An output report to uhid is on its way only; the next request is served after it.
    assert_eq!(device.faults_left(), 0, "{way:?} {} {kind:?}: not reached", call.0);
    drop(inserted);
    wait_for(&mut *watch, 0);
    (told, then)
}

#[test]
fn a_token_pulled_in_mid_exchange_is_gone_at_once() {
    let _guest = Guest::enter();
    for way in WAYS {
        for call in &CALLS {
            for kind in [FaultKind::UnplugBefore, FaultKind::UnplugAfter] {
                let (told, then) = struck(way, call, kind);
                let lost = match (way, call.0) {
                    // uhid has no answer to an output report that could fail: the next call does.
                    (Way::Uhid, "write") => told.is_ok() || is_gone(&told),
                    _ => is_gone(&told),
                };
                assert!(lost && is_gone(&then), "{way:?} {} {kind:?}: {told:?}, {then:?}", call.0);
            }
        }
    }
}

#[test]
fn a_refused_transfer_is_a_failure_with_its_error_number() {
    let _guest = Guest::enter();
    for call in &CALLS[..2] {
        for kind in [FaultKind::Status(0), FaultKind::StatusAfter(0)] {
            let (told, then) = struck(Way::Usb, call, kind);
            let name = if call.0 == "set_feature" { "HIDIOCSFEATURE" } else { "HIDIOCGFEATURE" };
            assert_eq!(
                told,
                Err(TransportError::Failed { call: name, detail: "EPIPE".to_owned() }),
                "{}",
                call.0
            );
            // A stall is over with the next transfer.
            assert_eq!(then, Ok(vec![7; 8]), "{}", call.0);
        }
    }
}

#[test]
fn a_token_that_says_nothing_is_given_up_by_the_kernel() {
    let _guest = Guest::enter();
    for (call, name) in CALLS.iter().zip(["HIDIOCSFEATURE", "HIDIOCGFEATURE"]) {
        let (told, then) = struck(Way::Usb, call, FaultKind::Silence);
        assert_eq!(told, Err(TransportError::Failed { call: name, detail: "ETIMEDOUT".to_owned() }));
        assert_eq!(then, Ok(vec![7; 8]), "{name}");
    }
}

#[test]
fn late_short_and_garbled_reports_arrive_as_they_are() {
    let _guest = Guest::enter();
    let [_, get_feature, _, read] = &CALLS;
    for way in WAYS {
        for (call, length) in [(get_feature, 8), (read, 64)] {
            let sound = vec![7; length];
            let what = format!("{way:?} {}", call.0);
            let (late, _) = struck(way, call, FaultKind::Delay(Duration::from_millis(100)));
            assert_eq!(late.as_ref(), Ok(&sound), "{what}");
            let (garbled, then) = struck(way, call, FaultKind::Garble { seed: 1 });
            let garbled = garbled.unwrap();
            assert!(garbled.len() == length && garbled != sound, "{what}: {garbled:?}");
            assert_eq!(then, Ok(vec![7; 8]), "{what}");
        }
        let (short, _) = struck(way, get_feature, FaultKind::Truncate(5));
        assert_eq!(short, Ok(vec![7; 5]), "{way:?}");
        // Linux drops input reports that are too short; before 2026 it filled them up.
        let (short, _) = struck(way, read, FaultKind::Truncate(5));
        let short = short.unwrap();
        let filled = short.starts_with(&[7; 5]) && short[5..].iter().all(|byte| *byte == 0);
        assert!(short.is_empty() || filled, "{way:?}: {short:?}");
    }
}
