//! Tokens that show or type their passcodes, from an empty slot to a login: a Molto2's display, a YubiKey's keyboard.

use std::sync::Arc;

use firmware_fixtures::attach::hid::VirtualHidBus;
use firmware_fixtures::molto2::{Molto2Firmware, Molto2Specimen};
use firmware_fixtures::specimen::{Door, Specimen as _};
use firmware_fixtures::yubikey::{Model, YubiKey};

use super::*;

/// Seconds of the test clock.
const SECONDS: u64 = 1_767_225_600;

fn wait_for(server: &InProcess, id: &str) {
    server.wait_for_devices(|devices| {
        devices.iter().any(|device| {
            device.id.to_string() == id && matches!(device.state, DeviceState::Ready | DeviceState::Locked)
        })
    });
}

fn programmed(client: &Client, device: &str, codes: (&str, &str), more: &Json) -> Json {
    let product = json!({"manufacturerCode": codes.0, "productCode": codes.1});
    let mut params = json!({"device": device, "product": product, "wait": 30});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.ok("device/program", params)
}

#[test]
fn a_display_is_read_by_a_person_and_then_its_passcodes_log_in() {
    let server = server();
    let client = &server.client;
    let specimen = Molto2Specimen::new(Molto2Firmware::MOLTO2_V2_1, "37806840");
    let Door::Card(card) = specimen.door() else { panic!("a Molto2 is a card") };
    server.bus.attach(&card);
    let device = "molto2:37806840";
    wait_for(&server, device);
    let code = json!({"accessCode": std::str::from_utf8(Molto2Specimen::FACTORY_CODE).unwrap()});
    let job = programmed(client, device, ("T2", "MOLTO2"), &code);
    assert_eq!((&job["state"], &job["slot"]), (&json!("awaiting_passcode"), &json!("0")), "{job}");
    let shown = |now| specimen.read_off("0", now).expect("it shows one");
    let confirm = json!({"job": job["job"], "passcode": shown(SECONDS)});
    assert_eq!(client.ok("job/confirm", confirm)["state"], "ready");
    assert!(!token_is_let_in(client, "37806840", &shown(SECONDS)), "the proof is spent");
    assert!(token_is_let_in(client, "37806840", &shown(SECONDS + 30)));
    // The next one goes beside it.
    let next = programmed(client, device, ("T2", "MOLTO2-60"), &code);
    assert_eq!((&next["slot"], &next["token"]["serial"]), (&json!("1"), &json!("37806840-2")));
}

#[test]
fn a_keyboard_types_the_proof_and_answers_for_totp() {
    let hid = VirtualHidBus::new();
    let server = InProcess::start_with(VirtualBus::new(), &[Arc::new(hid.clone())], fobd_drivers::DRIVERS);
    furnish(&server.client);
    let client = &server.client;
    let key = YubiKey::new(Model::YUBIKEY_5_7_1, 4242);
    hid.attach(key.hid().expect("a keyboard"));
    let device = "ykotp:4242";
    wait_for(&server, device);
    let job = programmed(client, device, ("YK", "SLOT-HOTP"), &json!({}));
    assert_eq!((&job["state"], &job["slot"]), (&json!("awaiting_passcode"), &json!("1")), "{job}");
    // It presses Enter as well, which ends the line of whoever reads it.
    let typed = || key.press(1).expect("it types").trim_end().to_owned();
    let confirm = json!({"job": job["job"], "passcode": typed()});
    assert_eq!(client.ok("job/confirm", confirm)["state"], "ready");
    assert!(token_is_let_in(client, "4242", &typed()));
    let totp = programmed(client, device, ("YK", "SLOT-TOTP"), &json!({}));
    assert_eq!((&totp["state"], &totp["slot"]), (&json!("ready"), &json!("2")), "{totp}");
    // What the key does not tell of a slot, the server knows.
    let calculated = client.ok("device/calculate", json!({"device": device, "slot": "2"}));
    let passcode = calculated["passcode"].as_str().expect("a passcode");
    assert!(token_is_let_in(client, "4242-2", passcode));
    let params = json!({"device": device, "product": {"manufacturerCode": "YK", "productCode": "SLOT-HOTP"}});
    assert_eq!(client.error("device/program", params).kind, "device.full");
}
