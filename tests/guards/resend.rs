//! Requests that are sent again because the answer got lost.

use std::sync::Barrier;
use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use serde_json::{Value as Json, json};

use super::{code, count, state};
use crate::support::client::Client;
use crate::support::in_process::InProcess;
use crate::support::{alice, furnish, give_alice_a_token};

fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    give_alice_a_token(&server.client, "1001");
    server
}

fn question(typed: &str, id: &str) -> Json {
    json!({"user": alice(), "credential": {"otp": typed}, "requestId": id})
}

fn right(counter: u64) -> String {
    format!("1234{}", code(counter))
}

#[test]
fn the_same_request_gets_the_same_answer_and_spends_nothing_more() {
    let server = server();
    let client = &server.client;
    let mut asked = question(&right(0), "r-1");
    asked["return"] = json!(["serial"]);
    let yes = json!({"accepted": true, "serial": "1001"});
    assert_eq!(client.ok("auth/verify", asked.clone()), yes);
    assert_eq!(client.ok("auth/verify", asked.clone()), yes);
    assert_eq!(client.das5("auth/verify", &asked), json!({"error": 0, "result": {"serial": "1001"}}));
    assert_eq!(state(client, "1001"), (1, 0));
    server.clock.advance(Duration::from_millis(59_999));
    assert_eq!(client.ok("auth/verify", asked.clone()), yes);
    assert_eq!((count(client, "auth/verify", "accepted"), count(client, "auth/verify", "resent")), (1, 3));
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(client.ok("auth/verify", asked)["accepted"], false, "after a minute it is a replay");
}

#[test]
fn a_rejection_is_told_again_without_counting() {
    let server = server();
    let client = &server.client;
    for _ in 0..3 {
        assert_eq!(client.ok("auth/verify", question("1234000000", "r-1"))["accepted"], false);
    }
    assert_eq!((state(client, "1001"), count(client, "auth/verify", "wrong_passcode")), ((0, 1), 1));
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(client.ok("auth/verify", question("1234000000", "r-1"))["accepted"], false);
    assert_eq!(state(client, "1001"), (0, 2));
}

#[test]
fn the_name_of_another_request_is_an_error_and_nothing_is_judged() {
    let server = server();
    let client = &server.client;
    let nobody = json!({"domain": {"name": "acme"}, "loginName": "nobody"});
    let of_nobody = |typed: &str| json!({"user": nobody, "credential": {"otp": typed}, "requestId": "r-2"});
    client.ok("auth/verify", question("1234000000", "r-1"));
    client.ok("auth/verify", of_nobody("1234000000"));
    let known = client.error("auth/verify", question(&right(0), "r-1"));
    let unknown = client.error("auth/verify", of_nobody(&right(0)));
    assert_eq!((known.code, known.kind.as_str()), (1047, "request.reused"));
    assert_eq!(known, unknown, "it does not tell who exists");
    assert!(known.message.starts_with("`requestId` was used for another request"), "{}", known.message);
    let mut elsewhere = question("1234000000", "r-1");
    elsewhere["source"] = "192.0.2.1".into();
    assert_eq!(client.error("auth/verify", elsewhere).kind, "request.reused");
    assert_eq!(state(client, "1001"), (0, 1));
    assert_eq!(client.ok("auth/verify", question(&right(0), "r-3"))["accepted"], true);
}

#[test]
fn a_resync_that_is_sent_again_is_told_again() {
    let server = server();
    let client = &server.client;
    let sync = |first: u64, id: &str| {
        let pair = format!("{},{}", code(first), code(first + 1));
        let params = json!({"token": {"serial": "1001"}, "credential": pair, "requestId": id});
        client.call("token/syncToken", params).map_err(|error| error.kind)
    };
    for _ in 0..2 {
        assert_eq!(sync(50, "s-1"), Ok(json!({})));
        assert_eq!(sync(5_000, "s-2"), Err("token.sync_failed".to_owned()));
    }
    assert_eq!(state(client, "1001"), (52, 1));
    assert_eq!(sync(60, "s-1"), Err("request.reused".to_owned()));
    let reused = client.error("auth/verify", question(&right(52), "s-1"));
    assert_eq!(reused.kind, "request.reused", "a name is for one method");
    assert_eq!(count(client, "token/syncToken", "resent"), 2);
}

#[test]
fn a_pin_is_changed_once_however_often_the_request_is_sent() {
    let server = server();
    let client = &server.client;
    let attrs = json!({"mustChangePin": true});
    client.ok("tokenAssignment/set", json!({"token": {"serial": "1001"}, "user": alice(), "attrs": attrs}));
    let due = client.ok("auth/verify", question(&right(0), "p-1"));
    assert_eq!(due["accepted"], false);
    assert_eq!(
        client.ok("auth/verify", question(&right(0), "p-1")),
        due,
        "whoever was told so is told again"
    );
    let mut change = question(&right(1), "p-2");
    change["newPin"] = "8426".into();
    for _ in 0..2 {
        assert_eq!(client.ok("auth/verify", change.clone())["accepted"], true);
    }
    change["newPin"] = "8427".into();
    assert_eq!(client.error("auth/verify", change).kind, "request.reused");
    let with_new_pin = format!("8426{}", code(2));
    assert_eq!(client.ok("auth/verify", question(&with_new_pin, "p-3"))["accepted"], true);
    assert_eq!(count(client, "auth/verify", "accepted_with_new_pin"), 1);
}

#[test]
fn each_caller_has_names_of_its_own() {
    let server = server();
    let gate = server.with_role("verifier");
    assert_eq!(server.client.ok("auth/verify", question(&right(0), "r-1"))["accepted"], true);
    assert_eq!(gate.ok("auth/verify", question(&right(0), "r-1"))["accepted"], false, "a replay");
    assert_eq!(gate.ok("auth/verify", question(&right(0), "r-1"))["accepted"], false);
    assert_eq!(server.client.ok("auth/verify", question(&right(0), "r-1"))["accepted"], true);
}

#[test]
fn the_header_names_a_request_and_each_call_of_a_batch() {
    let server = server();
    let client = &server.client;
    let call = |counter| {
        let params = json!({"user": alice(), "credential": {"otp": right(counter)}});
        json!({"jsonrpc": "2.0", "id": counter, "method": "auth/verify", "params": params})
    };
    let send = |key: &str, body: Json| {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        let (status, text) = client.raw_as("POST", "/rpc", &headers, &body.to_string());
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Json>(&text).unwrap()
    };
    for _ in 0..2 {
        assert_eq!(send("k-1", call(0))["result"], json!({"accepted": true}));
        let answers = send("k-2", json!([call(1), call(2)]));
        let accepted: Vec<_> = (0..2).map(|at| answers[at]["result"]["accepted"].clone()).collect();
        assert_eq!(accepted, [true, true]);
    }
    assert_eq!(state(client, "1001"), (3, 0));
    assert_eq!(send("k-1", call(4))["error"]["code"], json!(1047));
    let bad = &send(&"k".repeat(129), call(4))["error"]["message"];
    assert_eq!(*bad, json!("`Idempotency-Key` must be 1 to 128 printable characters of ASCII"));
    for id in ["", "ä", "a\nb", &"r".repeat(129)] {
        assert_eq!(client.error("auth/verify", question(&right(4), id)).kind, "request.invalid", "{id:?}");
    }
    assert_eq!(state(client, "1001"), (3, 0), "what is refused is not judged");
}

#[test]
fn resends_that_arrive_while_the_first_is_under_way_are_one_decision() {
    const CONNECTIONS: usize = 32;
    let server = server();
    let (ready, base) = (Barrier::new(CONNECTIONS), &server.client.base);
    let accepted = std::thread::scope(|scope| {
        let ask = || {
            let client = Client::new(base);
            assert_eq!(client.get("/healthz").expect("an answer").0, 200);
            ready.wait();
            client.ok("auth/verify", question(&right(0), "r-1"))["accepted"] == json!(true)
        };
        let asked: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(ask)).collect();
        asked
            .into_iter()
            .filter(|_| true)
            .map(|asked| asked.join().unwrap())
            .filter(|accepted| *accepted)
            .count()
    });
    assert_eq!((accepted, state(&server.client, "1001")), (CONNECTIONS, (1, 0)));
    assert_eq!(count(&server.client, "auth/verify", "accepted"), 1);
}

#[test]
fn nothing_of_a_named_request_can_be_read_from_the_files() {
    let server = server();
    let client = &server.client;
    let name = "a-name-to-be-looked-for";
    client.ok("auth/verify", question(&right(0), name));
    let files = server.files();
    let holds = |text: &str| files.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("auth/verify"));
    for text in [name, &right(0), &code(0)] {
        assert!(!holds(text), "{text}");
    }
}
