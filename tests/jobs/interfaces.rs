//! One key with two interfaces: a Nitrokey 3, by CTAPHID and as a card.

use std::sync::Arc;

use firmware_fixtures::attach::hid::VirtualHidBus;
use firmware_fixtures::nitrokey3::{Nitrokey3, SecretsFirmware};

use super::*;

const KEY: &str = "nk3:deadbeef";

/// A server, a bus for HID, and a key that is not plugged in yet.
fn with_key() -> (InProcess, VirtualHidBus, Nitrokey3) {
    let hid = VirtualHidBus::new();
    let server = InProcess::start_with(VirtualBus::new(), &[Arc::new(hid.clone())], fobd_drivers::DRIVERS);
    furnish(&server.client);
    (server, hid, Nitrokey3::new(SecretsFirmware::V4_14, [0xDE, 0xAD, 0xBE, 0xEF]))
}

/// Waits until the key is there with so many interfaces, and says how each is reached.
fn reached(server: &InProcess, interfaces: usize) -> Vec<String> {
    server.wait_for_devices(|devices| {
        devices.iter().any(|device| {
            device.id.to_string() == KEY
                && device.state == DeviceState::Ready
                && device.interfaces.len() == interfaces
        })
    });
    let rows = server.client.ok("device/list", json!({}))["rows"].clone();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    let ways = rows[0]["interfaces"].as_array().unwrap();
    ways.iter().map(|way| way["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_key_with_two_interfaces_is_one_device_and_outlives_either() {
    let (server, hid, key) = with_key();
    let client = &server.client;
    let (card, fido) = (key.card(), key.hid());
    server.bus.attach(&card);
    assert_eq!(reached(&server, 1), ["contact"]);
    hid.attach(&fido);
    assert_eq!(reached(&server, 2), ["hid", "contact"]);

    let params =
        json!({"device": KEY, "product": {"manufacturerCode": "NK", "productCode": "3-HOTP"}, "wait": 30});
    let job = client.ok("device/program", params);
    assert_eq!((&job["state"], &job["device"]), (&json!("ready"), &json!(KEY)));
    let (by_hid, by_card) = (fido.exchanges(), card.exchanges());

    // What was written over HID is there over the card as well.
    hid.detach(&fido);
    assert_eq!(reached(&server, 1), ["contact"]);
    let calculate = || client.ok("device/calculate", json!({"device": KEY, "slot": job["slot"]}));
    let passcode = calculate()["passcode"].as_str().unwrap().to_owned();
    assert!(token_is_let_in(client, "deadbeef", &passcode));
    assert!(card.exchanges() > by_card && fido.exchanges() == by_hid);

    hid.attach(&fido);
    assert_eq!(reached(&server, 2), ["hid", "contact"]);
    server.bus.detach(&card);
    assert_eq!(reached(&server, 1), ["hid"]);
    let passcode = calculate()["passcode"].as_str().unwrap().to_owned();
    assert!(token_is_let_in(client, "deadbeef", &passcode));
}

#[test]
fn two_keys_of_one_serial_are_refused_however_they_are_plugged_in() {
    let (server, hid, key) = with_key();
    let copy = Nitrokey3::new(SecretsFirmware::V4_14, [0xDE, 0xAD, 0xBE, 0xEF]);
    hid.attach(&key.hid());
    hid.attach(&copy.hid());
    server.wait_for_devices(|devices| {
        devices.iter().filter(|device| device.state == DeviceState::Ambiguous).count() == 2
    });
    let error = server.client.error("device/slots", json!({"device": KEY}));
    assert_eq!(error.kind, "selector.ambiguous");
}
