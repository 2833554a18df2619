//! The shipped program is killed in the middle of a job and started again: the state of the job afterwards is
//! true of the key, and the job can be brought to an end.

use std::time::Duration;

use firmware_fixtures::card::{Human, VirtualCard};
use firmware_fixtures::credential::Credential;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::pcscd::PrivatePcscd;
use firmware_fixtures::vpcd::VpcdCard;
use serde_json::{Value as Json, json};

use super::yubikey;
use crate::support::program::{Installation, Server};
use crate::support::{furnish, product, token_is_let_in, wait_for_device, wait_for_job};

const DEVICE: &str = "ykoath:12345678";
const SLOT: &str = "fobd:12345678";
/// Longer than the test.
const FOR_EVER: Duration = Duration::from_secs(600);
/// Exchanges of a programming on an empty key: SELECT and LIST to look, then SELECT, LIST, PUT, SELECT, CALCULATE.
const PUT: u64 = 4;
const CALCULATE: u64 = 6;

/// A key behind a real pcscd, and an installation that sees it.
struct Bench {
    installation: Installation,
    pcscd: PrivatePcscd,
    card: VirtualCard,
    inserted: VpcdCard,
}

impl Bench {
    fn new() -> Self {
        let pcscd = PrivatePcscd::start(&["Yubico YubiKey OTP+FIDO+CCID 0"]).expect("a pcscd of its own");
        let card = yubikey();
        let inserted = VpcdCard::insert(&card, pcscd.port(0)).expect("the card goes in");
        let installation = Installation::new().environment("PCSCLITE_CSOCK_NAME", pcscd.socket());
        Self { installation, pcscd, card, inserted }
    }

    /// Starts the server and waits for the key.
    fn start(&self) -> Server {
        let server = self.installation.start();
        wait_for_device(&server.client, DEVICE);
        server
    }

    /// Pulls the key, which ends whatever it is held in, and puts it back. pcscd starts anew, because it takes a
    /// key that comes back within its 0.4 s between two looks for a mute one.
    fn replug(mut self) -> Self {
        self.inserted.remove();
        self.card.clear_faults();
        self.pcscd.restart().expect("pcscd starts again");
        let inserted = VpcdCard::insert(&self.card, self.pcscd.port(0)).expect("the card goes in");
        Self { inserted, ..self }
    }

    /// Starts the server and a job, and kills it once the job stands there.
    fn kill_at(&self, state: &str, params: Json) -> Json {
        let server = self.start();
        furnish(&server.client);
        let before = self.card.exchanges();
        let mut held_at = None;
        if state != "awaiting_touch" {
            let at = if state == "writing" { PUT } else { CALCULATE };
            self.card.plan(Fault { at, kind: FaultKind::Delay(FOR_EVER) });
            held_at = Some(before + at + 1);
        }
        let job = server.client.ok("device/program", params)["job"].clone();
        wait_for_job(&server.client, &job, state);
        match held_at {
            Some(count) => assert!(self.card.wait_for_exchanges(count, Duration::from_secs(20))),
            None => assert!(self.card.wait_for_touch_requests(1, Duration::from_secs(20))),
        }
        server.kill_9();
        job
    }
}

fn new_token(attrs: Json) -> Json {
    json!({"device": DEVICE, "product": product("OH"), "attrs": attrs})
}

fn program_again(server: &Server) {
    let params = json!({"device": DEVICE, "token": {"serial": "12345678"}, "wait": 30});
    assert_eq!(server.client.ok("device/program", params)["state"], "ready");
}

#[test]
fn a_job_killed_while_it_writes_may_have_left_either_secret_and_is_done_over() {
    let bench = Bench::new();
    let job = bench.kill_at("writing", new_token(json!({})));
    let bench = bench.replug();
    assert_eq!(bench.card.credential(SLOT), None, "this time the key never saw it");
    let server = bench.start();
    let found = server.client.ok("job/get", json!({ "job": job }));
    assert_eq!(
        (&found["state"], &found["error"], &found["token"]["serial"]),
        (&json!("wipe_before_use"), &json!("the server stopped before the job was done"), &json!("12345678"))
    );
    let confirm = json!({"job": job, "passcode": "123456"});
    assert_eq!(server.client.error("job/confirm", confirm).kind, "job.state");
    program_again(&server);
    assert!(token_is_let_in(&server.client, "12345678", &bench.card.press(SLOT).expect("a passcode")));
    server.stop();
}

#[test]
fn a_job_killed_before_it_writes_is_undone() {
    let bench = Bench::new();
    let job = bench.kill_at("writing", new_token(json!({})));
    // One commit earlier the job was `reserved`; no key can hold it there.
    let database = rusqlite::Connection::open(bench.installation.database()).expect("the database");
    database.execute("UPDATE jobs SET state = 'reserved'", []).expect("one commit earlier");
    drop(database);
    let bench = bench.replug();
    let server = bench.start();
    let found = server.client.ok("job/get", json!({ "job": job }));
    assert_eq!((&found["state"], &found["token"]), (&json!("undone"), &json!(null)));
    assert_eq!(server.client.ok("token/search", json!({}))["total"], 0);
    let params = json!({"device": DEVICE, "product": product("OH"), "wait": 30});
    let again = server.client.ok("device/program", params);
    assert_eq!((&again["state"], &again["slot"]), (&json!("ready"), &json!(SLOT)));
}

#[test]
fn a_job_killed_while_the_key_computes_is_confirmed_by_a_passcode() {
    let bench = Bench::new();
    let job = bench.kill_at("proving", new_token(json!({})));
    let bench = bench.replug();
    let server = bench.start();
    assert_eq!(server.client.ok("job/get", json!({ "job": job }))["state"], "awaiting_passcode");
    let press = || bench.card.press(SLOT).expect("a passcode");
    let proof = press();
    assert!(!token_is_let_in(&server.client, "12345678", &proof), "not proven yet");
    let confirm = json!({"job": job, "passcode": proof});
    assert_eq!(server.client.ok("job/confirm", confirm)["state"], "ready");
    assert!(!token_is_let_in(&server.client, "12345678", &proof), "spent");
    assert!(token_is_let_in(&server.client, "12345678", &press()));
}

#[test]
fn a_job_killed_while_the_key_waits_for_a_touch_is_confirmed_by_a_passcode() {
    let bench = Bench::new();
    bench.card.set_touch_timeout(FOR_EVER);
    bench.card.set_human(Human::NeverTouches);
    let job = bench.kill_at("awaiting_touch", new_token(json!({"touch": true})));
    // Somebody touches the key when nobody asks any more.
    bench.card.touch();
    let server = bench.start();
    assert_eq!(server.client.ok("job/get", json!({ "job": job }))["state"], "awaiting_passcode");
    let confirm = json!({"job": job, "passcode": bench.card.press(SLOT).expect("a passcode")});
    assert_eq!(server.client.ok("job/confirm", confirm)["state"], "ready");
    assert!(token_is_let_in(&server.client, "12345678", &bench.card.press(SLOT).expect("a passcode")));
}

#[test]
fn a_token_killed_while_it_is_programmed_again_verifies_with_the_secret_that_its_key_holds() {
    let bench = Bench::new();
    let server = bench.start();
    furnish(&server.client);
    let params = json!({"device": DEVICE, "product": product("OH"), "wait": 30});
    assert_eq!(server.client.ok("device/program", params)["state"], "ready");
    let before = bench.card.credential(SLOT);
    // With a credential on the key, the first look takes one exchange more.
    bench.card.plan(Fault { at: PUT + 1, kind: FaultKind::Delay(FOR_EVER) });
    let count = bench.card.exchanges() + PUT + 2;
    let again = json!({"device": DEVICE, "token": {"serial": "12345678"}});
    let job = server.client.ok("device/program", again)["job"].clone();
    wait_for_job(&server.client, &job, "writing");
    assert!(bench.card.wait_for_exchanges(count, Duration::from_secs(20)));
    server.kill_9();
    let bench = bench.replug();
    assert_eq!(bench.card.credential(SLOT), before, "this time the key never saw it");
    let server = bench.start();
    assert_eq!(server.client.ok("job/get", json!({ "job": job }))["state"], "wipe_before_use");
    assert!(token_is_let_in(&server.client, "12345678", &bench.card.press(SLOT).expect("a passcode")));
    program_again(&server);
    let same = |held: Option<Credential>| held.map(|held| held.secret);
    assert_ne!(same(bench.card.credential(SLOT)), same(before));
    assert!(token_is_let_in(&server.client, "12345678", &bench.card.press(SLOT).expect("a passcode")));
}

#[test]
fn an_erasure_that_is_killed_may_have_emptied_the_slot_and_is_done_over() {
    let bench = Bench::new();
    let server = bench.start();
    furnish(&server.client);
    let params = json!({"device": DEVICE, "product": product("OH"), "wait": 30});
    assert_eq!(server.client.ok("device/program", params)["state"], "ready");
    // SELECT and LIST, then DELETE.
    bench.card.plan(Fault { at: 2, kind: FaultKind::Delay(FOR_EVER) });
    let count = bench.card.exchanges() + 3;
    let client = server.client.clone();
    let erase = json!({"device": DEVICE, "slot": SLOT});
    let params = erase.clone();
    let call = std::thread::spawn(move || client.try_call("device/erase", &params).is_err());
    assert!(bench.card.wait_for_exchanges(count, Duration::from_secs(20)));
    server.kill_9();
    assert!(call.join().expect("the call returns"), "nobody answers");
    let bench = bench.replug();
    let server = bench.start();
    let found = server.client.ok("job/get", json!({"job": "j2"}));
    assert_eq!((&found["action"], &found["state"]), (&json!("erase"), &json!("wipe_before_use")));
    assert!(token_is_let_in(&server.client, "12345678", &bench.card.press(SLOT).expect("a passcode")));
    assert_eq!(server.client.ok("device/erase", erase)["state"], "ready");
    assert_eq!(bench.card.credentials(), []);
}
