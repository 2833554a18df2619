//! The frames of the makers' client, and what the firmware's source makes of them.

use super::*;
use crate::card::Waits;
use crate::hid::Transfer;

fn frame(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    let mut bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.resize(REPORT, 0);
    bytes
}

fn device(model: OnlyKeyModel) -> VirtualHid {
    let device = OnlyKey::plug(model);
    device.power_on();
    device
}

fn send(device: &VirtualHid, text: &str) -> Option<String> {
    assert_eq!(device.output(&frame(text), Waits::Virtual), Transfer::Done(()));
    hear(device)
}

fn hear(device: &VirtualHid) -> Option<String> {
    match device.input(Duration::from_millis(100), Waits::Virtual) {
        Transfer::Done(report) => {
            assert_eq!(report.len(), REPORT);
            let end = report.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            Some(String::from_utf8(report[..end].to_vec()).unwrap())
        }
        _ => None,
    }
}

const CONNECT: &str = "ffffffff e4 6553f100";
const SECRET: &str = "3132333435363738393031323334353637383930";

#[test]
fn a_slot_is_set_by_the_frames_of_the_makers_client() {
    let device = device(OnlyKeyModel::COLOR);
    assert_eq!(send(&device, CONNECT).unwrap(), "UNLOCKEDv3.0.4-prodc");
    assert_eq!(send(&device, "ffffffff e6 01 01 726663").unwrap(), "Successfully set Label");
    let key = format!("ffffffff e6 01 09 {SECRET}");
    assert_eq!(send(&device, &key).unwrap(), "Successfully set 2FA Key");
    assert_eq!(send(&device, "ffffffff e6 01 08 67").unwrap(), "Successfully set 2FA Type");
    let slot = device.with_chip(|chip: &mut OnlyKey| chip.slots()[0].clone()).unwrap();
    assert_eq!((&slot.label[..4], slot.key.as_slice()), (&b"rfc\0"[..], &b"12345678901234567890"[..]));
    let types = |now| device.with_chip(|chip: &mut OnlyKey| chip.types(1, now)).unwrap().unwrap();
    assert_eq!((types(59), types(1_111_111_109)), ("287082".to_owned(), "081804".to_owned()));
    assert_eq!(send(&device, "ffffffff e7 01").unwrap(), "Successfully wiped Label");
    assert_eq!(device.with_chip(|chip: &mut OnlyKey| chip.types(1, 59)), Some(None));
}

#[test]
fn labels_come_one_by_one_and_numbers_skip_six() {
    for (model, last) in [(OnlyKeyModel::COLOR, 18), (OnlyKeyModel::DUO, 30)] {
        let device = device(model);
        device.with_chip(|chip: &mut OnlyKey| {
            chip.slots.iter_mut().for_each(|slot| slot.label = vec![0; LABEL]);
        });
        let mut told = vec![send(&device, "ffffffff e5").unwrap()];
        told.extend(std::iter::from_fn(|| hear(&device)));
        assert_eq!(told.len(), model.slots);
        assert_eq!((told[8].as_bytes(), told[9].as_bytes()), (&[9, b'|'][..], &[16, b'|'][..]));
        assert_eq!(told[model.slots - 1].as_bytes(), [last, b'|']);
    }
}

#[test]
fn the_time_is_taken_once_and_not_in_config_mode() {
    let device = device(OnlyKeyModel::COLOR);
    let chip = |reach: &mut dyn FnMut(&mut OnlyKey)| device.with_chip(|chip| reach(chip)).unwrap();
    send(&device, &format!("ffffffff e6 01 09 {SECRET}"));
    chip(&mut |chip| assert_eq!(chip.types(1, 59).unwrap(), "NOTSET"));
    chip(&mut |chip| chip.set_config_mode(true));
    send(&device, CONNECT);
    chip(&mut |chip| assert!(!chip.has_time()));
    chip(&mut |chip| chip.set_config_mode(false));
    send(&device, CONNECT);
    let clock = device.with_chip(|chip: &mut OnlyKey| chip.clock).unwrap();
    send(&device, "ffffffff e4 00000001");
    assert_eq!(device.with_chip(|chip: &mut OnlyKey| chip.clock), Some(clock));
    device.power_off();
    device.power_on();
    chip(&mut |chip| assert!(!chip.has_time()));
}

#[test]
fn a_locked_device_says_so_by_itself_and_when_asked() {
    let device = device(OnlyKeyModel::COLOR);
    device.with_chip(|chip: &mut OnlyKey| chip.set_unlocked(false));
    assert_eq!(hear(&device).unwrap(), "INITIALIZED");
    assert_eq!(hear(&device), None);
    assert_eq!(send(&device, "ffffffff e5").unwrap(), "Error device locked");
    assert_eq!(send(&device, CONNECT), None);
    device.pause(BEAT, Waits::Virtual);
    assert_eq!(hear(&device).unwrap(), "INITIALIZED");
}

#[test]
fn what_stands_in_the_way_is_said_in_words() {
    let locked = "Error device locked";
    let uninitialized = "Error OnlyKey must be initialized first";
    type Prepare = fn(&mut OnlyKey);
    let (lock, forget, protect): (Prepare, Prepare, Prepare) = (
        |chip| chip.set_unlocked(false),
        |chip| chip.set_pin(Pin::NotSet),
        |chip| chip.set_protects_keys(true),
    );
    let cases = [(lock, locked), (forget, uninitialized), (protect, "Error not in config mode")];
    for (prepare, said) in cases {
        let device = device(OnlyKeyModel::COLOR);
        device.with_chip(prepare);
        device.output(&frame("ffffffff e6 01 01 726663"), Waits::Virtual);
        let heard: Vec<String> = std::iter::from_fn(|| hear(&device)).take(2).collect();
        assert!(heard.iter().any(|heard| heard == said), "{heard:?}");
        let label = device.with_chip(|chip: &mut OnlyKey| chip.slots()[0].label.clone());
        assert_eq!(label, Some(vec![0xFF; LABEL]));
    }
    let duo = device(OnlyKeyModel::DUO_WITHOUT_PIN);
    assert_eq!(send(&duo, CONNECT).unwrap(), "UNLOCKEDv3.0.4-prodn");
    assert_eq!(send(&duo, "ffffffff e6 18 05 70617373").unwrap(), "Successfully set Password");
    assert_eq!(
        send(&duo, &format!("ffffffff e6 18 09 {SECRET}")).unwrap(),
        "Error password already enabled on this slot, device PIN required"
    );
}

#[test]
fn a_key_ends_before_four_zeros() {
    for (key, taken) in [("01020000", 2), ("0100000000ff", 1), ("010000000f", 5), ("00000000ff", 0), ("", 0)]
    {
        let device = device(OnlyKeyModel::COLOR);
        send(&device, &format!("ffffffff e6 02 09 {key}"));
        let stored = device.with_chip(|chip: &mut OnlyKey| chip.slots()[1].key.len());
        assert_eq!(stored, Some(taken), "{key}");
    }
}
