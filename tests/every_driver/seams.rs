//! Where devices differ and the server must not care: refusals in the middle, and keys that are several tokens.

use firmware_fixtures::card::{Human, OathSpecimen, VirtualCard};
use firmware_fixtures::firmware::Firmware;
use firmware_fixtures::molto2::{Molto2Firmware, Molto2Specimen};
use firmware_fixtures::nitrokey3::{Nitrokey3, Nitrokey3Specimen, SecretsFirmware, Wire};
use firmware_fixtures::yubikey::{Model, YubiKey};
use fobd_drivers::token::Kind;

use super::*;

fn server() -> (InProcess, VirtualHidBus) {
    let hid = VirtualHidBus::new();
    let server = InProcess::start_with(VirtualBus::new(), &[Arc::new(hid.clone())], fobd_drivers::DRIVERS);
    furnish(&server.client);
    (server, hid)
}

fn wait_for(server: &InProcess, id: &str, interfaces: usize) {
    server.wait_for_devices(|devices| {
        devices.iter().any(|device| {
            device.id.to_string() == id
                && matches!(device.state, DeviceState::Ready | DeviceState::Locked)
                && device.interfaces.len() == interfaces
        })
    });
}

fn product(codes: &str) -> Json {
    let (maker, code) = codes.split_once('/').unwrap();
    json!({"manufacturerCode": maker, "productCode": code})
}

#[test]
fn a_refused_erase_leaves_the_job_that_waits_for_a_passcode() {
    let (server, _) = server();
    let client = &server.client;
    let token = Molto2Specimen::new(Molto2Firmware::MOLTO2, "37806840");
    server.bus.attach(token.card());
    let device = "molto2:37806840";
    wait_for(&server, device, 1);
    let code = std::str::from_utf8(Molto2Specimen::FACTORY_CODE).unwrap();
    let job = client.ok(
        "device/program",
        json!({"device": device, "product": product("T2/MOLTO2"), "accessCode": code, "wait": 30}),
    );
    assert_eq!(job["state"], "awaiting_passcode");
    let erase =
        |code: &str| client.call("device/erase", json!({"device": device, "slot": "0", "accessCode": code}));
    assert_eq!(erase("BARLEY-OPEN-0001").unwrap_err().kind, "device.wrong_code");
    assert_eq!(client.ok("job/get", json!({"job": job["job"]})), job);
    let typed = token.read_off("0", 1_767_225_600).unwrap();
    let confirmed = client.ok("job/confirm", json!({"job": job["job"], "passcode": typed}));
    assert_eq!(confirmed["state"], "ready");
    assert_eq!(erase(code).unwrap()["state"], "ready");
}

#[test]
fn a_slot_that_nobody_touched_to_erase_it_is_as_it_was() {
    let (server, hid) = server();
    let client = &server.client;
    let key = Nitrokey3::new(SecretsFirmware::V4_14, [0xDE, 0xAD, 0xBE, 0xEF]);
    let specimen = Nitrokey3Specimen::new(&key, Wire::CtapHid);
    hid.attach(&key.hid());
    let device = "nk3:deadbeef";
    wait_for(&server, device, 1);
    let program = json!({"device": device, "product": product("NK/3-HOTP"), "wait": 30});
    assert_eq!(client.ok("device/program", program)["state"], "ready");
    let before = specimen.stored();
    specimen.door().set_human(Human::NeverTouches);
    let erase = json!({"device": device, "slot": "fobd:deadbeef"});
    assert_eq!(client.error("device/erase", erase).kind, "device.timeout");
    assert_eq!(specimen.stored(), before);
    let jobs = client.ok("job/search", json!({"match": [["action", "=", "erase"]], "return": ["state"]}));
    assert_eq!(jobs["rows"], json!([{"state": "undone"}]));
}

#[test]
fn a_key_is_a_device_for_each_of_its_protocols_and_one_for_both_of_its_interfaces() {
    // The slots of a YubiKey 5 on USB are left to its keyboard interface.
    for (model, interfaces) in [(Model::YUBIKEY_4_3_5, 2), (Model::YUBIKEY_5_7_1, 1)] {
        is_two_devices(&YubiKey::new(model, 4242), interfaces);
    }
}

fn is_two_devices(key: &YubiKey, interfaces: usize) {
    let (server, hid) = server();
    let client = &server.client;
    hid.attach(key.hid().expect("a keyboard"));
    server.bus.attach(key.card().expect("a card"));
    wait_for(&server, "ykoath:4242", 1);
    wait_for(&server, "ykotp:4242", interfaces);
    let list = client.ok("device/list", json!({}));
    let mut ids: Vec<&str> =
        list["rows"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["ykoath:4242", "ykotp:4242"]);
    for (device, codes, slot, serial) in
        [("ykotp:4242", "YK/SLOT-TOTP", "1", "4242"), ("ykoath:4242", "YK/TOTP", "fobd:4242-2", "4242-2")]
    {
        let program = json!({"device": device, "product": product(codes), "wait": 30});
        let job = client.ok("device/program", program);
        let told = (&job["state"], &job["slot"], &job["token"]["serial"]);
        assert_eq!(told, (&json!("ready"), &json!(slot), &json!(serial)));
        let passcode = client.ok("device/calculate", json!({"device": device, "slot": slot}));
        assert!(token_is_let_in(client, serial, passcode["passcode"].as_str().unwrap()), "{device}");
    }
    hid.detach(key.hid().expect("a keyboard"));
    if interfaces == 1 {
        server.wait_for_devices(|devices| devices.len() == 1);
        assert_eq!(client.error("device/slots", json!({"device": "ykotp:4242"})).kind, "device.not_found");
        return;
    }
    wait_for(&server, "ykotp:4242", 1);
    let slots = client.ok("device/slots", json!({"device": "ykotp:4242"}));
    assert_eq!(slots["rows"][0]["token"]["serial"], "4242", "{slots}");
}

#[test]
fn a_proof_that_did_not_come_can_be_asked_of_the_device_later() {
    let (server, hid) = server();
    let client = &server.client;
    let key = YubiKey::new(Model::YUBIKEY_5_7_1, 4242);
    let wire = key.hid().expect("a keyboard");
    hid.attach(wire);
    wait_for(&server, "ykotp:4242", 1);
    let wanted =
        Wanted::of("ykotp").into_iter().find(|wanted| (wanted.kind, wanted.digits) == (Kind::Totp, 8));
    let wanted = wanted.unwrap();
    wanted.furnish(client);
    wire.set_human(Human::NeverTouches);
    let program = json!({
        "device": "ykotp:4242", "product": wanted.selector(), "attrs": {"touch": true}, "wait": 30,
    });
    let job = client.ok("device/program", program);
    assert_eq!(job["state"], "awaiting_passcode", "{job}");
    wire.set_human(Human::TouchesAtOnce);
    hid.detach(wire);
    server.wait_for_devices(<[_]>::is_empty);
    hid.attach(wire);
    wait_for(&server, "ykotp:4242", 1);
    let passcode = client.ok("device/calculate", json!({"device": "ykotp:4242", "slot": "1"}));
    let confirm = json!({"job": job["job"], "passcode": passcode["passcode"]});
    assert_eq!(client.ok("job/confirm", confirm)["state"], "ready");
}

#[test]
fn an_access_code_that_the_key_asks_a_touch_for_is_waited_for() {
    let (server, hid) = server();
    let client = &server.client;
    let key = Nitrokey3::new(SecretsFirmware::V4_14, [0xDE, 0xAD, 0xBE, 0xEF]);
    let specimen = Nitrokey3Specimen::new(&key, Wire::CtapHid);
    specimen.set_lock_code(Some(b"Sesame, open!"));
    hid.attach(&key.hid());
    wait_for(&server, "nk3:deadbeef", 1);
    let slots = json!({"device": "nk3:deadbeef", "accessCode": "Sesame, open!"});
    assert_eq!(client.ok("device/slots", slots.clone())["total"], 0);
    assert_eq!(specimen.door().touch_requests(), 1);
    specimen.door().set_human(Human::NeverTouches);
    assert_eq!(client.error("device/slots", slots).kind, "device.timeout");
}

#[test]
fn a_locked_key_is_listed_as_locked_and_says_so() {
    let (server, _) = server();
    let client = &server.client;
    let specimen = OathSpecimen::new(&VirtualCard::new(Firmware::YUBIKEY_5_4_3, 4242));
    specimen.set_lock_code(Some(b"Sesame, open!"));
    let Door::Card(card) = specimen.door() else { panic!("a card") };
    server.bus.attach(&card);
    wait_for(&server, "ykoath:4242", 1);
    let error = client.error("device/slots", json!({"device": "ykoath:4242"}));
    let expected = "device `ykoath:4242`: the token is locked: it asks for its access code";
    assert_eq!((error.kind.as_str(), error.message.as_str()), ("device.locked", expected));
}
