//! Devices whose slots have numbers, and devices that show or type their passcodes to people only.

use std::ops::RangeInclusive;

use fobd_drivers::token::{Addressing, Capabilities};

use super::*;
use crate::support::scripted::{DRIVER, Scripted, capabilities};

/// Seconds of the test clock.
const SECONDS: u64 = 1_767_225_600;

/// A server with such a device, and products for it: HOTP, TOTP of 60 s, and oddities.
fn with_device(capabilities: Capabilities) -> (InProcess, Scripted) {
    let device = Scripted::new(capabilities);
    let server =
        InProcess::start_with(VirtualBus::new(), &[std::sync::Arc::new(device.clone())], device.drivers());
    furnish(&server.client);
    for (code, algorithm, digits, timer) in [
        ("H", "OATH HOTP", 6, json!(null)),
        ("T", "OATH TOTP", 8, json!(60)),
        ("T45", "OATH TOTP", 6, json!(45)),
        ("T7", "OATH TOTP", 7, json!(30)),
    ] {
        let mut attrs = json!({
            "name": code, "manufacturerCode": "AC", "productCode": code, "algorithm": algorithm,
            "digits": digits, "driver": DRIVER,
        });
        if !timer.is_null() {
            attrs["timer"] = timer;
        }
        server.client.ok("product/create", json!({ "attrs": attrs }));
    }
    server.wait_for_devices(|devices| devices.iter().any(|device| device.state == DeviceState::Ready));
    (server, device)
}

/// The parameters of a program call.
fn asking(code: &str, more: &Json) -> Json {
    let mut params = json!({"device": "ykoath:77", "product": {"manufacturerCode": "AC", "productCode": code}, "wait": 30});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    params
}

fn program(client: &Client, code: &str, more: Json) -> Json {
    client.ok("device/program", asking(code, &more))
}

fn refusal(client: &Client, code: &str, more: Json) -> (String, String) {
    let error = client.error("device/program", asking(code, &more));
    (error.kind, error.message)
}

fn slot_and_state(job: &Json) -> (&str, &str) {
    (job["slot"].as_str().unwrap(), job["state"].as_str().unwrap())
}

#[test]
fn the_first_free_number_of_the_right_kind_is_taken_until_none_is_left() {
    let (server, device) = with_device(capabilities());
    let client = &server.client;
    // Another program has filled the second one.
    assert_eq!(slot_and_state(&program(client, "H", json!({}))), ("1", "ready"));
    device.look(|memory| {
        let config = memory.slots[&1].0.clone();
        memory.slots.insert(2, (config, 0));
    });
    assert_eq!(slot_and_state(&program(client, "H", json!({}))), ("3", "ready"));
    assert_eq!(slot_and_state(&program(client, "T", json!({}))), ("16", "ready"));
    let before = stored(client);
    let full = ("device.full".to_owned(), "no slot for HOTP is free (1 to 3): erase one first".to_owned());
    assert_eq!(refusal(client, "H", json!({})), full);
    assert_eq!(stored(client), before);
    client.ok("device/erase", json!({"device": "ykoath:77", "slot": "1"}));
    assert_eq!(slot_and_state(&program(client, "H", json!({}))), ("1", "ready"));
}

#[test]
fn a_number_is_one_slot_however_it_is_written() {
    let (server, device) = with_device(capabilities());
    let client = &server.client;
    let job = program(client, "T", json!({"slot": "017"}));
    assert_eq!(slot_and_state(&job), ("17", "ready"));
    let kind = |slot: &str| refusal(client, "T", json!({ "slot": slot })).0;
    assert_eq!((kind("17"), kind("0017")), ("slot.in_use".to_owned(), "slot.in_use".to_owned()));
    let again = json!({"device": "ykoath:77", "token": {"serial": "77"}, "slot": "00017", "wait": 30});
    assert_eq!(slot_and_state(&client.ok("device/program", again)), ("17", "ready"));
    let passcode = |slot: &str| {
        client.ok("device/calculate", json!({"device": "ykoath:77", "slot": slot}))["passcode"].clone()
    };
    assert_eq!(passcode("017"), json!(device.press(17, SECONDS)));
    client.ok("device/erase", json!({"device": "ykoath:77", "slot": "017"}));
    assert_eq!(device.look(|memory| memory.slots.len()), 0);
    assert_eq!(shown(client, "77", &["slot", "programmed"]), json!({"slot": null, "programmed": false}));
}

#[test]
fn a_slot_that_the_device_does_not_have_is_refused_with_those_it_has() {
    let (server, device) = with_device(capabilities());
    let client = &server.client;
    let numbers = "1 to 3 (HOTP), 16 to 18 (TOTP)";
    let none = |text: String| ("request.invalid".to_owned(), text);
    for slot in ["0", "4", "vpn", "-1", "1000"] {
        let text = format!("`slot` must be a number of this device: {numbers}");
        assert_eq!(refusal(client, "H", json!({ "slot": slot })), none(text.clone()), "{slot}");
        for method in ["device/erase", "device/calculate"] {
            let error = client.error(method, json!({"device": "ykoath:77", "slot": slot}));
            assert_eq!((error.kind, error.message), none(text.clone()), "{method} {slot}");
        }
    }
    let wrong_kind = none(format!("`slot` 2 takes no TOTP; the numbers are {numbers}"));
    assert_eq!(refusal(client, "T", json!({"slot": "2"})), wrong_kind);
    assert_eq!((stored(client), device.look(|memory| memory.calls.len())), ((json!(0), json!(0)), 0));
}

#[test]
fn two_jobs_at_once_get_two_numbers_and_one_number_takes_one_job() {
    let (server, device) = with_device(capabilities());
    let client = &server.client;
    let at_once = |params: [Json; 3]| -> Vec<Result<Json, String>> {
        std::thread::scope(|scope| {
            let calls: Vec<_> = params
                .into_iter()
                .map(|params| scope.spawn(|| client.call("device/program", params).map_err(|e| e.kind)))
                .collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        })
    };
    let any = || asking("H", &json!({}));
    let mut slots: Vec<_> =
        at_once([any(), any(), any()]).into_iter().map(|job| job.unwrap()["slot"].clone()).collect();
    slots.sort_by_key(ToString::to_string);
    assert_eq!(slots, [json!("1"), json!("2"), json!("3")]);
    let one = || asking("T", &json!({"slot": "18"}));
    let outcomes = at_once([one(), one(), one()]);
    let (done, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(
        (done.len(), refused),
        (1, vec![Err("slot.in_use".to_owned()), Err("slot.in_use".to_owned())])
    );
    assert_eq!(device.look(|memory| memory.slots.len()), 4);
}

#[test]
fn a_token_that_shows_its_passcodes_is_proven_by_one_that_a_person_reads() {
    // A display with a clock, as a Molto2 has.
    let (server, device) = with_device(Capabilities {
        hotp: false,
        calculate: false,
        clock: true,
        time_steps: vec![30, 60],
        addressing: Addressing::Numbered { hotp: RangeInclusive::new(1, 0), totp: 0..=99 },
        ..capabilities()
    });
    let client = &server.client;
    let job = program(client, "T", json!({}));
    assert_eq!(slot_and_state(&job), ("0", "awaiting_passcode"));
    assert_eq!(device.look(|memory| memory.calls.clone()), ["program"], "it was not asked to compute");
    let (config, _) = device.look(|memory| memory.slots[&0].clone());
    assert_eq!((config.now.0, config.digits, config.label.as_deref()), (SECONDS, 8, Some("77")));
    let read = device.press(0, SECONDS);
    assert!(!token_is_let_in(client, "77", &read), "it is not proven yet");
    let confirm =
        |passcode: &str| client.call("job/confirm", json!({"job": job["job"], "passcode": passcode}));
    assert_eq!(confirm("00000000").expect_err("no such passcode").kind, "job.not_proven");
    assert_eq!(confirm(&device.press(0, SECONDS + 86_400)).expect_err("of tomorrow").kind, "job.not_proven");
    assert_eq!(confirm(&read).expect("the proof")["state"], "ready");
    assert!(!token_is_let_in(client, "77", &read), "the proof is spent");
    assert!(token_is_let_in(client, "77", &device.press(0, SECONDS + 60)));
    let computed = client.error("device/calculate", json!({"device": "ykoath:77", "slot": "0"}));
    assert_eq!(computed.kind, "device.unsupported");
}

#[test]
fn a_token_that_types_its_passcodes_is_proven_by_one_of_the_first() {
    // A keyboard, as the slots of a YubiKey are.
    let (server, device) = with_device(Capabilities {
        hotp_by_hand: true,
        addressing: Addressing::Numbered { hotp: 1..=2, totp: 1..=2 },
        ..capabilities()
    });
    let client = &server.client;
    let job = program(client, "H", json!({"slot": "2"}));
    assert_eq!(slot_and_state(&job), ("2", "awaiting_passcode"));
    let spilt = device.press(2, 0);
    let typed = device.press(2, 0);
    let confirmed = client.ok("job/confirm", json!({"job": job["job"], "passcode": typed}));
    assert_eq!(confirmed["state"], "ready");
    assert!(!token_is_let_in(client, "77", &spilt) && !token_is_let_in(client, "77", &typed));
    assert!(token_is_let_in(client, "77", &device.press(2, 0)));
    // Its TOTP slots answer the server.
    assert_eq!(slot_and_state(&program(client, "T", json!({}))), ("1", "ready"));
    let hotp = client.error("device/calculate", json!({"device": "ykoath:77", "slot": "2"}));
    assert_eq!(hotp.kind, "device.unsupported");
}

#[test]
fn a_token_with_a_clock_that_computes_is_proven_by_the_step_of_now() {
    let (server, device) = with_device(Capabilities { clock: true, ..capabilities() });
    let client = &server.client;
    assert_eq!(slot_and_state(&program(client, "T", json!({}))), ("16", "ready"));
    assert!(!token_is_let_in(client, "77", &device.press(16, SECONDS)), "the proof is spent");
    assert!(token_is_let_in(client, "77", &device.press(16, SECONDS + 60)));
}

#[test]
fn what_the_product_asks_for_and_the_device_cannot_do_is_named_before_anything_is_written() {
    let (server, device) =
        with_device(Capabilities { hotp: false, time_steps: vec![30, 60], ..capabilities() });
    let client = &server.client;
    for (code, expected) in [
        ("H", "`algorithm` is OATH HOTP, and Fob (1.0) can do OATH TOTP"),
        ("T45", "`timer` is 45, and Fob (1.0) can do 30, 60"),
        ("T7", "`digits` is 7, and Fob (1.0) can do 6, 8"),
    ] {
        let refused = refusal(client, code, json!({}));
        assert_eq!(refused, ("device.unsupported".to_owned(), expected.to_owned()));
    }
    let touch = refusal(client, "T", json!({"attrs": {"touch": true}}));
    assert_eq!(touch.0, "device.unsupported");
    assert_eq!((stored(client), device.look(|memory| memory.calls.len())), ((json!(0), json!(0)), 0));
}

#[test]
fn a_secret_is_no_longer_than_its_device_takes() {
    let (server, device) = with_device(Capabilities { max_secret_bytes: 16, ..capabilities() });
    assert_eq!(program(&server.client, "H", json!({}))["state"], "ready");
    assert_eq!(device.look(|memory| memory.slots[&1].0.secret.expose().len()), 16);
}

#[test]
fn a_wrong_access_code_says_how_many_are_left_and_a_blocked_device_what_helps() {
    let (server, device) = with_device(capabilities());
    let client = &server.client;
    device.look(|memory| memory.lock = Some((b"31415".to_vec(), 2)));
    let attempt = |code: Json| {
        let (_, answer) = client
            .post(
                "/rpc",
                &json!({"jsonrpc": "2.0", "id": 1, "method": "device/program",
                    "params": asking("H", &json!({"accessCode": code}))})
                .to_string(),
            )
            .unwrap();
        let error = &answer["error"];
        (error["code"].clone(), error["data"]["kind"].clone(), error["data"]["attemptsLeft"].clone())
    };
    assert_eq!(attempt(json!(null)), (json!(1062), json!("device.locked"), json!(null)));
    assert_eq!(attempt(json!("27182")), (json!(1067), json!("device.wrong_code"), json!(1)));
    assert_eq!(attempt(json!("27182")), (json!(1067), json!("device.wrong_code"), json!(0)));
    assert_eq!(attempt(json!("31415")), (json!(1068), json!("device.blocked"), json!(null)));
    assert_eq!((stored(client), device.look(|memory| memory.calls.len())), ((json!(0), json!(0)), 0));
    // A refused code leaves the slot as it was, and no job that says otherwise.
    let erase = json!({"device": "ykoath:77", "slot": "1", "accessCode": "27182"});
    assert_eq!(client.error("device/erase", erase).kind, "device.blocked");
    let jobs = client.ok("job/search", json!({"return": ["state"]}));
    assert_eq!(jobs["rows"], json!([{"state": "undone"}]));
}
