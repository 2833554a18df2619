//! The HID transport on hidraw: listing, reports, plugging.

use std::collections::BTreeSet;
use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use firmware_fixtures::uhid::UhidDevice;
use fobd_drivers::transport::{Bus, Candidate, HidCandidate, TransportError};

use super::guest::{Guest, at_once, hid, is_gone, open, refusal, wait, wait_for};
use super::parrot::{Parrot, RELEASE, WAYS, Way, bus, keyboard, parrot, wide_parrot};

#[test]
fn a_token_is_listed_with_what_it_says_of_itself() {
    let _guest = Guest::enter();
    let bus = bus();
    let mut watch = bus.watch().unwrap();
    for way in WAYS {
        let _inserted = way.insert(&parrot("000042")).unwrap();
        let candidates = wait_for(&mut *watch, 1);
        let found = hid(&candidates[0]);
        let expected = HidCandidate {
            path: found.path.clone(),
            vendor_id: 0x1209,
            product_id: 0x0001,
            // Only USB has these.
            release: if way == Way::Usb { RELEASE } else { 0 },
            interface: (way == Way::Usb).then_some(0),
            usage_page: 0xFF00,
            usage: 1,
            serial: Some("000042".to_owned()),
            product: "Parrot".to_owned(),
            attachment: found.attachment,
        };
        assert_eq!(*found, expected, "{way:?}");
        assert!(found.path.starts_with("/dev/hidraw"), "{}", found.path);
        drop(_inserted);
        wait_for(&mut *watch, 0);
    }
}

#[test]
fn reports_cross_both_ways_unchanged() {
    let _guest = Guest::enter();
    let bus = bus();
    let mut watch = bus.watch().unwrap();
    for way in WAYS {
        for device in [parrot("1"), wide_parrot("2")] {
            let length = device.face().feature_length;
            let inserted = way.insert(&device).unwrap();
            let candidates = wait_for(&mut *watch, 1);
            let mut connection = open(&bus, &candidates[0]);
            // Reports that begin with 0, the id of those that have none, lose nothing.
            for first in [0_u8, 1, 0xFF] {
                let feature: Vec<u8> = (0..length as u8).map(|byte| byte.wrapping_add(first)).collect();
                connection.set_feature(&feature).unwrap();
                assert_eq!(device.with_chip(|parrot: &mut Parrot| parrot.feature.clone()).unwrap(), feature);
                assert_eq!(connection.get_feature(length).unwrap(), feature, "{way:?}");

                let report: Vec<u8> = (0..64_u8).map(|byte| byte.wrapping_add(first)).collect();
                connection.write(&report).unwrap();
                assert_eq!(connection.read(Duration::from_secs(5)).unwrap(), Some(report.clone()), "{way:?}");
                let heard = device.with_chip(|parrot: &mut Parrot| parrot.heard.pop()).unwrap();
                assert_eq!(heard, Some(report), "{way:?}");
            }
            let start = Instant::now();
            assert_eq!(connection.read(Duration::from_millis(30)).unwrap(), None);
            assert!(start.elapsed() >= Duration::from_millis(30));
            drop(inserted);
            wait_for(&mut *watch, 0);
        }
    }
}

#[test]
fn many_exchanges_are_quick() {
    let _guest = Guest::enter();
    let bus = bus();
    let mut watch = bus.watch().unwrap();
    for way in WAYS {
        let _inserted = way.insert(&parrot("1")).unwrap();
        let candidates = wait_for(&mut *watch, 1);
        let mut connection = open(&bus, &candidates[0]);
        let start = Instant::now();
        for number in 0..=255 {
            connection.set_feature(&[number; 8]).unwrap();
            assert_eq!(connection.get_feature(8).unwrap(), [number; 8]);
        }
        let features = start.elapsed() / 256;
        let start = Instant::now();
        for number in 0..=255 {
            connection.write(&[number; 64]).unwrap();
            assert_eq!(connection.read(Duration::from_secs(5)).unwrap(), Some(vec![number; 64]));
        }
        println!(
            "{way:?}: {features:?} per feature out and in, {:?} per report out and in",
            start.elapsed() / 256
        );
        assert!(features < Duration::from_millis(20), "{way:?}: {features:?}");
        drop(_inserted);
        wait_for(&mut *watch, 0);
    }
}

#[test]
fn a_token_replugged_is_another_candidate_even_at_the_same_node() {
    let _guest = Guest::enter();
    let bus = bus();
    let mut watch = bus.watch().unwrap();
    for way in WAYS {
        let device = parrot("7");
        let mut seen = BTreeSet::new();
        let mut inserted = way.insert(&device).unwrap();
        let mut candidates = wait_for(&mut *watch, 1);
        for _ in 0..3 {
            assert!(seen.insert(hid(&candidates[0]).attachment), "{candidates:?} in {seen:?}");
            let mut connection = open(&bus, &candidates[0]);
            connection.set_feature(&[1; 8]).unwrap();
            drop(inserted);
            inserted = way.insert(&device).unwrap();
            let next = wait(&mut *watch, "the token again", |now| {
                (now.len() == 1 && now != candidates).then(|| now.to_vec())
            });
            // Neither what was open nor what was listed reaches the token as it is now.
            assert!(is_gone(&connection.get_feature(8)), "{way:?}");
            let old = Candidate::Hid(HidCandidate {
                path: hid(&next[0]).path.clone(),
                ..hid(&candidates[0]).clone()
            });
            assert!(is_gone::<()>(&Err(refusal(&bus, &old))), "{way:?}");
            candidates = next;
        }
        drop(inserted);
        wait_for(&mut *watch, 0);
        assert!(is_gone::<()>(&Err(refusal(&bus, &candidates[0]))), "{way:?}");
    }
}

#[test]
fn an_idle_connection_hears_of_the_pull() {
    let _guest = Guest::enter();
    let bus = bus();
    let mut watch = bus.watch().unwrap();
    for way in WAYS {
        let inserted = way.insert(&parrot("1")).unwrap();
        let candidates = wait_for(&mut *watch, 1);
        let mut connection = open(&bus, &candidates[0]);
        thread::scope(|scope| {
            let reading = scope.spawn(|| connection.read(Duration::from_secs(60)));
            drop(inserted);
            at_once("the pull reaches a read", || assert!(is_gone(&reading.join().unwrap()), "{way:?}"));
        });
        assert!(is_gone(&connection.set_feature(&[0; 8])));
        assert!(is_gone(&connection.get_feature(8)));
        assert!(is_gone(&connection.write(&[0; 64])));
        assert!(is_gone(&connection.read(Duration::from_secs(60))));
        wait_for(&mut *watch, 0);
    }
}

#[test]
fn tokens_beside_each_other_are_kept_apart() {
    let _guest = Guest::enter();
    let bus = bus();
    let mut watch = bus.watch().unwrap();
    let devices: Vec<_> = (0..7).map(|number| parrot(&number.to_string())).collect();
    let ways = WAYS.iter().cycle();
    let mut inserted: Vec<_> =
        devices.iter().zip(ways).map(|(device, way)| way.insert(device).unwrap()).collect();
    let candidates = wait_for(&mut *watch, 7);
    let places: BTreeSet<_> = candidates.iter().map(|candidate| hid(candidate).path.clone()).collect();
    let attachments: BTreeSet<_> = candidates.iter().map(|candidate| hid(candidate).attachment).collect();
    assert_eq!((places.len(), attachments.len()), (7, 7), "{candidates:?}");

    let mut connections: Vec<_> = candidates.iter().map(|candidate| open(&bus, candidate)).collect();
    let number = |candidate: &Candidate| hid(candidate).serial.as_deref().unwrap().parse::<u8>().unwrap();
    for (connection, candidate) in connections.iter_mut().zip(&candidates) {
        connection.set_feature(&[number(candidate); 8]).unwrap();
    }
    for (number, device) in (0..).zip(&devices) {
        assert_eq!(device.with_chip(|parrot: &mut Parrot| parrot.feature.clone()).unwrap(), [number; 8]);
    }

    // One is pulled out, and only that one.
    inserted.remove(3);
    let left = wait_for(&mut *watch, 6);
    assert!(left.iter().all(|candidate| candidates.contains(candidate) && number(candidate) != 3));
    for (connection, candidate) in connections.iter_mut().zip(&candidates) {
        match number(candidate) {
            3 => assert!(is_gone(&connection.get_feature(8))),
            number => assert_eq!(connection.get_feature(8).unwrap(), [number; 8]),
        }
    }
    drop(inserted);
    wait_for(&mut *watch, 0);
}

#[test]
fn a_keyboard_that_is_no_token_is_never_opened() {
    let _guest = Guest::enter();
    let bus = bus();
    let mut watch = bus.watch().unwrap();
    // A stranger's, and one with the ids of a token.
    for (vendor, product) in [(0x046D, 0xC31C), (0x1209, 0x0001)] {
        let inserted = UhidDevice::attach(&keyboard(vendor, product)).unwrap();
        assert!(watch.wait_for_change(Duration::from_secs(20)).unwrap(), "its node never came");
        assert_eq!(watch.candidates().unwrap(), []);
        let node = hidraw_node();
        let forged = Candidate::Hid(HidCandidate {
            path: node.clone(),
            vendor_id: vendor,
            product_id: product,
            release: 0,
            usage_page: 1,
            usage: 6,
            interface: None,
            serial: None,
            product: "Keyboard".to_owned(),
            attachment: 1,
        });
        assert!(matches!(refusal(&bus, &forged), TransportError::AccessDenied { .. }));
        // The kernel counts in order: had anybody opened it before, this would not be the first.
        let opened = File::open(&node).unwrap();
        assert!(inserted.wait_for_openings(1, Duration::from_secs(20)));
        drop(opened);
        assert_eq!(inserted.openings(), 1);
        drop(inserted);
        assert!(watch.wait_for_change(Duration::from_secs(20)).unwrap(), "its node never went");
    }
}

/// The only hidraw node there is.
fn hidraw_node() -> String {
    let names =
        std::fs::read_dir("/dev").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let nodes: Vec<_> = names.filter(|name| name.starts_with("hidraw")).collect();
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    format!("/dev/{}", nodes[0])
}

#[test]
fn a_watch_tells_of_tokens_and_of_nothing_else() {
    let _guest = Guest::enter();
    let bus = bus();
    let mut watch = bus.watch().unwrap();
    assert_eq!(watch.candidates().unwrap(), []);
    let start = Instant::now();
    // Another node comes and goes meanwhile.
    File::create("/dev/not-a-token").unwrap();
    std::fs::remove_file("/dev/not-a-token").unwrap();
    assert!(!watch.wait_for_change(Duration::from_millis(100)).unwrap());
    assert!(start.elapsed() >= Duration::from_millis(100));

    let device = parrot("1");
    for _ in 0..3 {
        let start = Instant::now();
        let inserted = Way::Uhid.insert(&device).unwrap();
        assert!(watch.wait_for_change(Duration::from_secs(20)).unwrap());
        println!("noticed after {:?}", start.elapsed());
        let candidates = wait_for(&mut *watch, 1);
        // Opening, working and closing is no change.
        open(&bus, &candidates[0]).set_feature(&[0; 8]).unwrap();
        assert!(!watch.wait_for_change(Duration::from_millis(50)).unwrap());
        drop(inserted);
        assert!(watch.wait_for_change(Duration::from_secs(20)).unwrap());
        wait_for(&mut *watch, 0);
    }
}
