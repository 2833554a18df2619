//! Devices and provisioning jobs through the whole server, with emulated keys on a virtual bus.

mod by_hand;
mod crash;
mod interfaces;
mod numbered;
mod sweep;

use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::{Human, VirtualCard, Waits};
use firmware_fixtures::credential::{Credential, Kind};
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::firmware::Firmware;
use fobd::devices::DeviceState;
use fobd_drivers::token::LockCode;
use serde_json::{Value as Json, json};

use crate::support::client::Client;
use crate::support::in_process::InProcess;
use crate::support::{alice, alice_is_let_in, furnish, product, token_is_let_in, wait_for_job};

/// What the test clock shows, as a TOTP step of 30 s.
const STEP: u64 = 1_767_225_600 / 30;
/// The same on the wire.
const NOW: &str = "2026-01-01T00:00:00Z";

fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    server
}

/// A server whose devices take their time, so that a test can look at a job half done.
fn server_in_real_time() -> InProcess {
    let server = InProcess::start(VirtualBus::with_waits(Waits::Real));
    furnish(&server.client);
    server
}

fn yubikey() -> VirtualCard {
    VirtualCard::new(Firmware::YUBIKEY_5_4_3, 12_345_678)
}

/// Programs a new token and waits for the end of the job.
fn program(client: &Client, code: &str, more: &Json) -> Json {
    client.ok("device/program", with(json!({"product": product(code), "wait": 30}), more))
}

/// The parameters for the key, and those of the test on top.
fn with(mut params: Json, more: &Json) -> Json {
    let object = params.as_object_mut().expect("parameters are an object");
    object.entry("device").or_insert_with(|| "ykoath:12345678".into());
    object.extend(more.as_object().expect("parameters are an object").clone());
    params
}

fn shown(client: &Client, serial: &str, wanted: &[&str]) -> Json {
    client.ok("token/get", json!({"token": {"serial": serial}, "return": wanted}))
}

/// How many tokens and jobs there are.
fn stored(client: &Client) -> (Json, Json) {
    let total = |method| client.ok(method, json!({}))["total"].clone();
    (total("token/search"), total("job/search"))
}

#[test]
fn a_key_is_listed_with_what_it_can_do_until_it_is_pulled_out() {
    let server = server();
    let nothing = json!({"total": 0, "rows": [], "buses": [{"name": "virtual", "error": null}]});
    assert_eq!(server.client.ok("device/list", json!({})), nothing);
    let card = yubikey();
    server.plug_in(&card);
    let row = json!({
        "id": "ykoath:12345678", "driver": "ykoath", "serial": "12345678", "maker": "Yubico",
        "model": "YubiKey 5 NFC", "firmware": "5.4.3", "transport": "virtual", "station": null,
        "place": "Yubico YubiKey OTP+FIDO+CCID 00 00", "state": "ready", "slots": 32, "error": null,
        "capabilities": {
            "algorithms": ["SHA1", "SHA256", "SHA512"], "digits": [6, 7, 8],
            "hotp": true, "totp": true, "calculate": true, "hotpByHand": false, "touch": true, "timers": [],
            "clock": false, "numbers": null,
        },
        "interfaces": [{
            "transport": "virtual", "place": "Yubico YubiKey OTP+FIDO+CCID 00 00", "kind": "contact",
            "state": "ready", "error": null,
        }],
    });
    let listed = server.client.ok("device/list", json!({}));
    assert_eq!((&listed["total"], &listed["rows"]), (&json!(1), &json!([row])));
    server.pull_out(&card);
    assert_eq!(server.client.ok("device/list", json!({})), nothing);
    let error = server.client.error("device/slots", json!({"device": "ykoath:12345678"}));
    assert_eq!((error.kind.as_str(), error.code), ("device.not_found", 1025));
}

#[test]
fn the_first_token_on_a_key_takes_its_serial_and_the_next_a_number_behind_it() {
    let server = server();
    let client = &server.client;
    server.plug_in(&yubikey());
    let first = program(client, "OH", &json!({}));
    assert_eq!(
        first,
        json!({
            "job": "j1", "action": "program", "state": "ready", "step": "ready",
            "device": "ykoath:12345678", "slot": "fobd:12345678",
            "token": {"id": "t1", "serial": "12345678"}, "error": null, "operator": "admin",
            "dateCreated": NOW, "lastUpdated": NOW,
        })
    );
    let second = program(client, "OT", &json!({}));
    assert_eq!(
        (&second["state"], &second["slot"], &second["token"]),
        (&json!("ready"), &json!("fobd:12345678-2"), &json!({"id": "t2", "serial": "12345678-2"}))
    );
    let slot = |serial: &str, id: &str, kind: &str, touch: Json, timer: Json| {
        json!({
            "slot": format!("fobd:{serial}"), "name": format!("fobd:{serial}"), "type": kind,
            "algorithm": "SHA1", "digits": 6, "timer": timer, "touch": touch, "inUse": true,
            "token": {"id": id, "serial": serial},
        })
    };
    let rows = [
        slot("12345678", "t1", "HOTP", json!(false), json!(null)),
        slot("12345678-2", "t2", "TOTP", json!(false), json!(30)),
    ];
    let slots = client.ok("device/slots", json!({"device": "ykoath:12345678"}));
    assert_eq!(slots, json!({"total": 2, "rows": rows}));
}

#[test]
fn the_passcode_that_proves_an_hotp_token_is_spent() {
    let server = server();
    let client = &server.client;
    let card = yubikey();
    server.plug_in(&card);
    program(client, "OH", &json!({}));
    let written = card.credential("fobd:12345678").expect("the key holds it");
    assert_eq!((written.kind, written.counter, written.touch), (Kind::Hotp, 1, false));
    assert_eq!(
        shown(client, "12345678", &["counter", "programmed", "device", "slot"]),
        json!({"counter": 1, "programmed": true, "device": "ykoath:12345678", "slot": "fobd:12345678"})
    );
    card.install(Credential { counter: 0, ..written.clone() });
    let proof = card.press("fobd:12345678").expect("a passcode");
    assert!(!token_is_let_in(client, "12345678", &proof), "the proof");
    let next = card.press("fobd:12345678").expect("a passcode");
    assert!(token_is_let_in(client, "12345678", &next));
}

#[test]
fn a_key_that_counts_before_it_computes_is_started_where_it_can_start() {
    let server = server();
    let client = &server.client;
    let card = VirtualCard::new(Firmware::CANOKEY, 12_345_678);
    server.plug_in(&card);
    program(client, "OH", &json!({"device": "ykoath:00BC614E"}));
    let written = card.credential("fobd:00BC614E").expect("the key holds it");
    assert_eq!((written.kind, written.counter), (Kind::Hotp, 2), "counter 1 was the proof");
    assert_eq!(
        shown(client, "00BC614E", &["counter", "programmed"]),
        json!({"counter": 2, "programmed": true})
    );
    let next = card.press("fobd:00BC614E").expect("a passcode");
    assert!(token_is_let_in(client, "00BC614E", &next));
}

#[test]
fn the_proof_of_a_totp_token_is_a_step_behind_so_that_the_current_passcode_still_logs_in() {
    let server = server();
    let client = &server.client;
    let card = yubikey();
    server.plug_in(&card);
    program(client, "OT", &json!({}));
    let show = |step| card.show("fobd:12345678", step).expect("a passcode");
    assert!(!token_is_let_in(client, "12345678", &show(STEP - 1)), "the proof");
    assert!(token_is_let_in(client, "12345678", &show(STEP)));
    assert!(!token_is_let_in(client, "12345678", &show(STEP)), "replayed");
}

#[test]
fn a_product_decides_hash_digits_and_time_step_of_what_is_written() {
    let server = server();
    let client = &server.client;
    let card = yubikey();
    server.plug_in(&card);
    let attrs = json!({
        "name": "long", "manufacturerCode": "YK", "productCode": "L8", "algorithm": "OATH TOTP",
        "hash": "SHA512", "digits": 8, "timer": 60, "driver": "ykoath",
    });
    client.ok("product/create", json!({ "attrs": attrs }));
    let job = program(client, "L8", &json!({}));
    assert_eq!((&job["state"], &job["slot"]), (&json!("ready"), &json!("fobd:12345678")));
    let passcode = card.show("60/fobd:12345678", STEP / 2).expect("a passcode");
    assert_eq!(passcode.len(), 8);
    assert!(token_is_let_in(client, "12345678", &passcode));
}

#[test]
fn an_existing_token_is_programmed_into_the_slot_that_is_asked_for() {
    let server = server();
    let client = &server.client;
    let card = yubikey();
    server.plug_in(&card);
    client.ok("token/create", json!({"attrs": {"product": product("OH"), "serial": "A-1"}}));
    let job = client.ok(
        "device/program",
        with(json!({"token": {"serial": "A-1"}, "slot": "Acme:bob", "wait": 30}), &json!({})),
    );
    assert_eq!((&job["state"], &job["slot"]), (&json!("ready"), &json!("Acme:bob")));
    assert!(token_is_let_in(client, "A-1", &card.press("Acme:bob").expect("a passcode")));
    // Its place is known now: programming it again needs no slot, and another one is refused.
    let again =
        client.ok("device/program", with(json!({"token": {"serial": "A-1"}, "wait": 30}), &json!({})));
    assert_eq!((&again["state"], &again["slot"]), (&json!("ready"), &json!("Acme:bob")));
    assert!(token_is_let_in(client, "A-1", &card.press("Acme:bob").expect("a passcode")));
    let elsewhere = with(json!({"token": {"serial": "A-1"}, "slot": "other"}), &json!({}));
    assert_eq!(client.error("device/program", elsewhere).kind, "object.in_use");
    assert_eq!(card.credentials().len(), 1);
}

#[test]
fn a_token_programmed_for_a_user_logs_in_with_the_pin_only() {
    let server = server();
    let client = &server.client;
    let card = yubikey();
    server.plug_in(&card);
    let job = program(client, "OH", &json!({"attrs": {"user": alice(), "pin": "4711"}}));
    assert_eq!(job["state"], "ready");
    let press = || card.press("fobd:12345678").expect("a passcode");
    assert!(alice_is_let_in(client, &format!("4711{}", press())));
    assert!(!alice_is_let_in(client, &press()));
}

#[test]
fn a_job_that_is_undone_takes_its_assignment_back_and_none_that_was_there() {
    let server = server();
    let client = &server.client;
    let card = yubikey();
    server.plug_in(&card);
    client.ok("token/create", json!({"attrs": {"product": product("OH"), "serial": "A-1"}}));
    let program = |attrs: Json| {
        client.call(
            "device/program",
            with(json!({"token": {"serial": "A-1"}, "attrs": attrs, "wait": 30}), &json!({})),
        )
    };
    // The card is pulled as the job, after a look at the slots, selects the applet again.
    let undone = |attrs: Json| {
        card.plan(Fault {
            at: if card.credentials().is_empty() { 2 } else { 3 },
            kind: FaultKind::UnplugBefore,
        });
        let job = program(attrs).expect("a job");
        assert_eq!(job["state"], "undone", "{job}");
        server.pull_out(&card);
        server.plug_in(&card);
    };
    let holders = || {
        let wanted = json!({"elements": ["hasPin", {"user": ["loginName"]}]});
        client
            .ok("token/get", json!({"token": {"serial": "A-1"}, "return": [{"tokenAssignments": [wanted]}]}))
            ["tokenAssignments"]["elements"]
            .clone()
    };
    undone(json!({"user": alice(), "pin": "4711"}));
    assert_eq!(holders(), json!([]));
    assert_eq!(program(json!({"user": alice(), "pin": "4711"})).expect("a job")["state"], "ready");
    undone(json!({ "user": alice() }));
    assert_eq!(holders(), json!([{"hasPin": true, "user": {"loginName": "alice"}}]));
    let error =
        program(json!({"user": alice(), "pin": "0815"})).expect_err("the PIN could not be taken back");
    assert_eq!(error.kind, "request.invalid");
    assert!(alice_is_let_in(client, &format!("4711{}", card.press("fobd:A-1").expect("a passcode"))));
}

#[test]
fn a_slot_with_a_credential_of_another_program_is_refused_and_left_alone() {
    let server = server();
    let client = &server.client;
    let card = yubikey();
    card.install(Credential::hotp("Acme:bob", b"12345678901234567890", 7));
    card.install(Credential::totp("60/Acme:eve", b"12345678901234567890"));
    let before = card.credentials();
    server.plug_in(&card);
    for slot in ["Acme:bob", "Acme:eve"] {
        let params = with(json!({"product": product("OT"), "slot": slot}), &json!({}));
        let error = client.error("device/program", params);
        assert_eq!((error.kind.as_str(), error.code), ("slot.in_use", 1070), "{slot}");
    }
    assert_eq!(card.credentials(), before);
    assert_eq!(stored(client), (json!(0), json!(0)));
}

#[test]
fn a_slot_with_a_job_at_work_takes_no_second_one() {
    let server = server_in_real_time();
    let client = &server.client;
    let card = yubikey();
    card.set_human(Human::NeverTouches);
    server.plug_in(&card);
    let params =
        with(json!({"product": product("OH"), "slot": "s", "attrs": {"touch": true}}), &json!({"wait": 0}));
    let job = client.ok("device/program", params)["job"].clone();
    wait_for_job(client, &job, "awaiting_touch");
    let same_slot = with(json!({"product": product("OT"), "slot": "s"}), &json!({}));
    let same_token = with(json!({"token": {"serial": "12345678"}}), &json!({}));
    // The key is busy until it is touched: nobody has to wait for it to learn this.
    assert_eq!(client.error("device/program", same_slot).kind, "slot.in_use");
    assert_eq!(client.error("device/program", same_token).kind, "slot.in_use");
    assert_eq!(client.error("device/erase", with(json!({"slot": "s"}), &json!({}))).kind, "slot.in_use");
    assert_eq!(client.error("job/confirm", json!({"job": job, "passcode": "000000"})).kind, "job.state");
    let token = json!({"serial": "12345678"});
    let set = |status: &str| client.ok("token/set", json!({"token": token, "attrs": {"status": status}}));
    set("DECEASED");
    assert_eq!(client.error("token/delete", json!({ "token": token })).kind, "object.in_use");
    assert!(card.wait_for_touch_requests(1, Duration::from_secs(20)));
    card.touch();
    wait_for_job(client, &job, "ready");
    assert_eq!(stored(client), (json!(1), json!(1)));
    let passcode = card.press("s").expect("a passcode");
    assert!(!token_is_let_in(client, "12345678", &passcode), "DECEASED is for good");
}

#[test]
fn what_a_key_cannot_do_is_refused_before_anything_is_stored() {
    let server = server();
    let client = &server.client;
    let odd = [("D10", 10, "SHA1"), ("S512", 6, "SHA512"), ("D9", 9, "SHA1")];
    for (code, digits, hash) in odd {
        let attrs = json!({
            "name": code, "manufacturerCode": "YK", "productCode": code, "algorithm": "OATH HOTP",
            "hash": hash, "digits": digits, "driver": "ykoath",
        });
        client.ok("product/create", json!({ "attrs": attrs }));
    }
    let other = json!({
        "name": "paper", "manufacturerCode": "XX", "productCode": "P", "algorithm": "OATH HOTP",
    });
    client.ok("product/create", json!({ "attrs": other }));
    server.plug_in(&VirtualCard::new(Firmware::YUBIKEY_5_4_3, 1));
    server.plug_in(&VirtualCard::new(Firmware::YUBIKEY_NEO_3_4_9, 2));
    let refused = |device: &str, product: Json, attrs: Json| {
        let params = json!({"device": device, "product": product, "attrs": attrs, "wait": 30});
        let error = client.error("device/program", params);
        assert_eq!(error.kind, "device.unsupported", "{error:?}");
        error.message
    };
    let plain = json!({});
    assert_eq!(
        refused("ykoath:1", product("D10"), plain.clone()),
        "`digits` is 10, and YubiKey 5 NFC (5.4.3) can do 6, 7, 8"
    );
    refused("ykoath:1", product("D9"), plain.clone());
    refused("ykoath:2", product("S512"), plain.clone());
    refused("ykoath:2", product("OH"), json!({"touch": true}));
    refused("ykoath:1", json!({"manufacturerCode": "XX", "productCode": "P"}), plain);
    assert_eq!(stored(client), (json!(0), json!(0)));
}

#[test]
fn a_request_that_contradicts_itself_is_refused_before_anything_is_stored() {
    let server = server();
    let client = &server.client;
    server.plug_in(&yubikey());
    let kind = |params: Json| client.error("device/program", with(params, &json!({}))).kind;
    let invalid = [
        json!({}),
        json!({"product": product("OH"), "token": {"serial": "1"}}),
        json!({"product": product("OH"), "attrs": {"pin": "1234"}}),
        json!({"product": product("OH"), "attrs": {"user": alice(), "pin": ""}}),
        json!({"product": product("OH"), "slot": ""}),
        json!({"product": product("OH"), "slot": "a\u{7}"}),
        json!({"product": product("OH"), "wait": 61}),
        json!({"product": product("OH"), "wait": -1}),
        json!({"product": product("OH"), "device": "12345678"}),
        json!({"product": product("OH"), "attrs": {"secret": "00"}}),
    ];
    for params in invalid {
        assert_eq!(kind(params.clone()), "request.invalid", "{params}");
    }
    assert_eq!(kind(json!({"product": product("NO")})), "product.not_found");
    assert_eq!(kind(json!({"token": {"serial": "NO"}})), "token.not_found");
    let nobody = json!({"domain.name": "acme", "loginName": "nobody"});
    assert_eq!(kind(json!({"product": product("OH"), "attrs": {"user": nobody}})), "user.not_found");
    assert_eq!(kind(json!({"product": product("OH"), "device": "ykoath:9"})), "device.not_found");
    assert_eq!(stored(client), (json!(0), json!(0)));
}

#[test]
fn a_key_with_an_access_code_takes_calls_that_bring_it() {
    let server = server();
    let client = &server.client;
    let card = yubikey();
    let id = server.plug_in(&card).parse().expect("an id");
    let code = LockCode::new(b"open sesame".to_vec());
    server.block_on(server.app.devices.set_lock_code(&id, Some(code), None)).expect("a code is set");
    server.pull_out(&card);
    server.plug_in(&card);
    assert_eq!(client.ok("device/list", json!({}))["rows"][0]["state"], "locked");
    let call = |method: &str, code: Option<&str>| {
        let mut params = with(json!({}), &json!({}));
        if method == "device/program" {
            params["product"] = product("OH");
            params["wait"] = 30.into();
        }
        if let Some(code) = code {
            params["accessCode"] = code.into();
        }
        client.call(method, params)
    };
    for method in ["device/slots", "device/program"] {
        let refusals = [(None, ("device.locked", 1062)), (Some("wrong"), ("device.wrong_code", 1067))];
        for (code, expected) in refusals {
            let error = call(method, code).expect_err("the key is locked");
            assert_eq!((error.kind.as_str(), error.code), expected, "{method} {code:?}");
        }
    }
    assert_eq!(stored(client), (json!(0), json!(0)));
    assert_eq!(call("device/program", Some("open sesame")).expect("programmed")["state"], "ready");
    assert_eq!(call("device/slots", Some("open sesame")).expect("listed")["total"], 1);
    assert!(token_is_let_in(client, "12345678", &card.press("fobd:12345678").expect("a passcode")));
}

#[test]
fn a_serial_that_is_plugged_in_twice_is_refused_at_both_places() {
    let server = server();
    let client = &server.client;
    server.plug_in(&yubikey());
    server.bus.attach(&yubikey());
    server.wait_for_devices(|devices| {
        devices.iter().filter(|device| device.state.as_str() == "ambiguous").count() == 2
    });
    let product = product("OH");
    let calls = [
        ("device/slots", json!({})),
        ("device/program", json!({ "product": product })),
        ("device/calculate", json!({"slot": "x"})),
        ("device/erase", json!({"slot": "x"})),
    ];
    for (method, params) in calls {
        let error = client.error(method, with(params, &json!({})));
        assert_eq!(error.kind, "selector.ambiguous", "{method}: {}", error.message);
    }
    assert_eq!(stored(client), (json!(0), json!(0)));
}

#[test]
fn a_key_that_is_not_there_is_not_found_by_any_method() {
    let server = server();
    let client = &server.client;
    let card = yubikey();
    server.plug_in(&card);
    server.pull_out(&card);
    let product = product("OH");
    let calls = [
        ("device/slots", json!({})),
        ("device/program", json!({ "product": product })),
        ("device/calculate", json!({"slot": "x"})),
        ("device/erase", json!({"slot": "x"})),
    ];
    for (method, params) in calls {
        assert_eq!(client.error(method, with(params, &json!({}))).kind, "device.not_found", "{method}");
    }
    assert_eq!(stored(client), (json!(0), json!(0)));
}

#[test]
fn calculate_tells_a_passcode_that_verifies_and_only_an_admin_may_ask() {
    let server = server();
    let client = &server.client;
    let card = yubikey();
    server.plug_in(&card);
    program(client, "OH", &json!({"slot": "h"}));
    program(client, "OT", &json!({"slot": "t"}));
    let calculate =
        |params: Json| client.ok("device/calculate", with(params, &json!({})))["passcode"].clone();
    let passcode = |json: Json| json.as_str().expect("text").to_owned();
    assert!(token_is_let_in(client, "12345678", &passcode(calculate(json!({"slot": "h"})))));
    assert_eq!(card.credential("h").expect("it is there").counter, 2, "the key counted once");
    assert_eq!(calculate(json!({"slot": "t"})), json!(card.show("t", STEP)), "now");
    let at = calculate(json!({"slot": "t", "time": 59}));
    assert_eq!(at, json!(card.show("t", 1)));
    let empty = client.error("device/calculate", with(json!({"slot": "none"}), &json!({})));
    assert_eq!((empty.kind.as_str(), empty.code), ("slot.empty", 1071));
    for role in ["helpdesk", "auditor", "verifier", "station"] {
        let error = server.with_role(role).error("device/calculate", with(json!({"slot": "h"}), &json!({})));
        assert_eq!(error.kind, "permission.denied", "{role}");
    }
    assert_eq!(card.credential("h").expect("it is there").counter, 2, "who may not ask moves nothing");
}

#[test]
fn an_erased_slot_is_empty_and_its_token_is_stock_again() {
    let server = server();
    let client = &server.client;
    let card = yubikey();
    card.install(Credential::totp("Acme:bob", b"12345678901234567890"));
    server.plug_in(&card);
    program(client, "OH", &json!({"attrs": {"user": alice()}}));
    let passcode = card.press("fobd:12345678").expect("a passcode");
    let delete = json!({"token": {"serial": "12345678"}});
    assert_eq!(client.error("token/delete", delete.clone()).kind, "object.in_use");
    let erase = |slot: &str| client.call("device/erase", with(json!({ "slot": slot }), &json!({})));
    let job = erase("fobd:12345678").expect("erased");
    assert_eq!(
        job,
        json!({
            "job": "j2", "action": "erase", "state": "ready", "step": "ready",
            "device": "ykoath:12345678", "slot": "fobd:12345678",
            "token": {"id": "t1", "serial": "12345678"}, "error": null, "operator": "admin",
            "dateCreated": NOW, "lastUpdated": NOW,
        })
    );
    assert!(!alice_is_let_in(client, &passcode));
    let stock = json!({"programmed": false, "device": null, "slot": null});
    assert_eq!(shown(client, "12345678", &["programmed", "device", "slot"]), stock);
    let names: Vec<String> = card.credentials().iter().map(|held| held.name().into_owned()).collect();
    assert_eq!(names, ["Acme:bob"]);
    assert_eq!(erase("fobd:12345678").expect_err("it is empty").kind, "slot.empty");
    assert_eq!(erase("Acme:bob").expect("erased")["token"], json!(null));
    assert_eq!(card.credentials(), []);
    client.ok("token/delete", delete);
}

#[test]
fn a_key_that_nobody_touches_waits_for_a_passcode_that_somebody_reads_off_it() {
    let server = server();
    let client = &server.client;
    let card = yubikey();
    card.set_human(Human::NeverTouches);
    server.plug_in(&card);
    let job = program(client, "OH", &json!({"attrs": {"touch": true}}));
    assert_eq!(
        (&job["state"], &job["error"]),
        (
            &json!("awaiting_passcode"),
            &json!(
                "device `ykoath:12345678`: nobody touched the token in time: confirm the job with a passcode of the device"
            )
        )
    );
    assert_eq!(shown(client, "12345678", &["programmed"]), json!({"programmed": false}));
    let confirm =
        |passcode: &str| client.call("job/confirm", json!({"job": job["job"], "passcode": passcode}));
    let press = || card.press("fobd:12345678").expect("a passcode");
    for wrong in ["", "12345", "1234567", "abcdef"] {
        assert_eq!(confirm(wrong).expect_err("not proven").kind, "job.not_proven", "{wrong}");
    }
    let skipped = press();
    let proof = press();
    assert_eq!(confirm(&proof).expect("confirmed")["state"], "ready");
    assert_eq!(confirm(&proof).expect_err("done").kind, "job.state");
    for spent in [skipped, proof] {
        assert!(!token_is_let_in(client, "12345678", &spent));
    }
    assert!(token_is_let_in(client, "12345678", &press()));
}

#[test]
fn a_slot_whose_job_waits_for_a_passcode_can_be_erased_instead() {
    let server = server();
    let client = &server.client;
    let card = yubikey();
    card.set_human(Human::NeverTouches);
    server.plug_in(&card);
    let job = program(client, "OH", &json!({"attrs": {"touch": true}}));
    assert_eq!(job["state"], "awaiting_passcode");
    let again = client.error("device/program", with(json!({"token": {"serial": "12345678"}}), &json!({})));
    assert_eq!(
        (again.kind.as_str(), again.message.as_str()),
        (
            "slot.in_use",
            "job j1 waits for a passcode of slot `fobd:12345678` of ykoath:12345678: confirm the job, or erase \
             the slot"
        )
    );
    let erased = client.ok("device/erase", with(json!({"slot": "fobd:12345678"}), &json!({})));
    assert_eq!(erased["state"], "ready");
    let job = client.ok("job/get", json!({"job": job["job"]}));
    assert_eq!(
        (&job["state"], &job["error"]),
        (&json!("wipe_before_use"), &json!("given up when the slot was to be erased"))
    );
    let again =
        client.ok("device/program", with(json!({"token": {"serial": "12345678"}, "wait": 30}), &json!({})));
    assert_eq!(again["state"], "ready");
    assert!(token_is_let_in(client, "12345678", &card.press("fobd:12345678").expect("a passcode")));
}

#[test]
fn jobs_are_found_by_state_and_an_unknown_one_is_not_found() {
    let server = server();
    let client = &server.client;
    server.plug_in(&yubikey());
    program(client, "OH", &json!({}));
    program(client, "OT", &json!({}));
    let search = json!({
        "match": [["state", "=", "ready"], ["token.serial", "=", "12345678-2"]],
        "return": ["id", "device", "slot", {"token": ["serial"]}],
    });
    let row = json!({
        "id": "j2", "device": "ykoath:12345678", "slot": "fobd:12345678-2", "token": {"serial": "12345678-2"},
    });
    assert_eq!(client.ok("job/search", search), json!({"total": 1, "rows": [row]}));
    for id in ["j9", "t1", "", "j-1"] {
        assert_eq!(client.error("job/get", json!({"job": id})).kind, "job.not_found", "{id}");
        let confirm = json!({"job": id, "passcode": "123456"});
        assert_eq!(client.error("job/confirm", confirm).kind, "job.not_found", "{id}");
    }
    let auditor = server.with_role("auditor");
    assert_eq!(auditor.ok("job/get", json!({"job": "j1"}))["state"], "ready");
    let product = product("OH");
    let denied = [
        ("device/program", json!({"device": "ykoath:12345678", "product": product})),
        ("device/erase", json!({"device": "ykoath:12345678", "slot": "fobd:12345678"})),
        ("job/confirm", json!({"job": "j1", "passcode": "123456"})),
    ];
    for (method, params) in denied {
        assert_eq!(auditor.error(method, params).kind, "permission.denied", "{method}");
    }
}

#[test]
fn a_slot_that_is_empty_already_gives_its_token_back_to_stock() {
    let server = server();
    let client = &server.client;
    let card = yubikey();
    server.plug_in(&card);
    assert_eq!(program(client, "OH", &json!({}))["state"], "ready");
    // SELECT, LIST, DELETE: the key empties the slot and is gone before it can say so.
    card.plan(Fault { at: 2, kind: FaultKind::UnplugAfter });
    let erase = json!({"device": "ykoath:12345678", "slot": "fobd:12345678"});
    client.error("device/erase", erase.clone());
    assert!(card.credential("fobd:12345678").is_none(), "the key did empty it");
    assert_eq!(shown(client, "12345678", &["programmed"]), json!({"programmed": true}));

    server.pull_out(&card);
    server.plug_in(&card);
    assert_eq!(client.ok("device/erase", erase.clone())["state"], "ready");
    let stock = json!({"programmed": false, "device": null, "slot": null});
    assert_eq!(shown(client, "12345678", &["programmed", "device", "slot"]), stock);
    assert_eq!(client.error("device/erase", erase).kind, "slot.empty", "nobody lives there any more");
    client.ok("token/delete", json!({"token": {"serial": "12345678"}}));
}
