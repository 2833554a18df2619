//! PINs: their rules, their age, and their change in the course of a login.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{code, decided, server, set, token, typed};
use crate::support::client::Client;
use crate::support::{alice, alice_is_let_in};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn must_change(client: &Client) {
    let params = json!({"token": token(), "user": alice(), "attrs": {"mustChangePin": true}});
    client.ok("tokenAssignment/set", params);
}

fn ask(client: &Client, typed: &str) -> Json {
    client.ok("auth/verify", json!({"user": alice(), "credential": {"otp": typed}}))
}

fn with_new_pin(typed: &str, new_pin: &str) -> Json {
    json!({"user": alice(), "credential": {"otp": typed}, "newPin": new_pin})
}

#[test]
fn a_new_pin_must_follow_the_rules_wherever_it_is_set() {
    let server = server();
    let client = &server.client;
    client.ok("policy/set", json!({"token": token(), "attrs": {"pinMinLength": 6, "pinMaxSequential": 3}}));
    let whose = json!({"token": token(), "user": alice()});
    let with = |attrs: Json| {
        let mut params = whose.clone();
        params["attrs"] = attrs;
        params
    };
    let short = "the PIN must have at least 6 characters";
    for (method, params, problem) in [
        ("token/setPin", with(json!({"pin": "48151"})), format!("`attrs.pin`: {short}")),
        ("token/assign", with(json!({"pin": "48151"})), format!("`attrs.pin`: {short}")),
        ("tokenAssignment/set", with(json!({"pin": "48151"})), format!("`attrs.pin`: {short}")),
        ("token/changePin", with(json!({"oldPin": "1234", "pin": "48151"})), format!("`attrs.pin`: {short}")),
        (
            "token/setPin",
            with(json!({"pin": "991234"})),
            "`attrs.pin`: the PIN must not hold a run of more than 3 characters such as 1234 or dcba"
                .to_owned(),
        ),
        ("token/setPin", with(json!({"pin": "ALICE"})), format!("`attrs.pin`: {short}")),
        ("auth/verify", with_new_pin(&typed("1234", 0), "48151"), format!("`newPin`: {short}")),
    ] {
        let refused = client.error(method, params);
        assert_eq!((&*refused.kind, refused.message), ("request.invalid", problem), "{method}");
    }
    assert!(alice_is_let_in(client, &typed("1234", 0)), "the old PIN holds, and nothing was spent");
    client.ok("policy/set", json!({"token": token(), "attrs": {"pinMinLength": 5}}));
    let name = client.error("token/setPin", with(json!({"pin": "ALICE"})));
    assert_eq!(name.message, "`attrs.pin`: the PIN must not be the login name");
    client.ok("token/setPin", with(json!({"pin": "48151"})));
    assert!(alice_is_let_in(client, &typed("48151", 1)));
}

#[test]
fn a_batch_names_the_line_whose_pin_breaks_a_rule() {
    let server = server();
    let client = &server.client;
    set(client, json!({"pinMinLength": 6}));
    crate::support::import_hotp(client, &format!("1002,{}\n", crate::support::RFC_SECRET_HEX));
    let csv = "domain,loginName,manufacturerCode,productCode,serial,status,pin\nacme,alice,YK,OH,1002,ACTIVE,48151\n";
    let refused = client.error("token/batchAssignTokens", json!({"attrs": {"csv": csv}}));
    assert_eq!(refused.kind, "batch.refused");
    assert!(refused.message.contains("line 2: pin: the PIN must have at least 6"), "{}", refused.message);
}

#[test]
fn a_pin_that_must_be_changed_lets_nobody_in_and_only_who_had_all_right_learns_why() {
    let server = server();
    let client = &server.client;
    must_change(client);
    let no = json!({"accepted": false});
    assert_eq!(ask(client, "1234000000"), no, "a wrong passcode");
    assert_eq!(ask(client, &typed("1235", 0)), no, "a wrong PIN");
    assert_eq!(ask(client, &typed("1234", 1)), json!({"accepted": false, "pinChangeRequired": true}));
    assert_eq!(decided(client, "auth/verify", 1)[0].0, "pin_change_due");
    assert_eq!(ask(client, &typed("1234", 1)), no, "that passcode is spent");
    let answer =
        client.das5("auth/verify", &json!({"user": alice(), "credential": {"otp": typed("1234", 2)}}));
    assert_eq!((&answer["error"], &answer["message"]), (&json!(1010), &json!("Incorrect credentials")));
    // The next passcode with the new PIN does both.
    assert_eq!(client.ok("auth/verify", with_new_pin(&typed("1234", 3), "4711")), json!({"accepted": true}));
    assert_eq!(decided(client, "auth/verify", 1)[0].0, "accepted_with_new_pin");
    assert!(!alice_is_let_in(client, &typed("1234", 4)), "the old PIN is gone");
    assert!(alice_is_let_in(client, &typed("4711", 5)));
}

#[test]
fn changing_a_pin_without_a_login_ends_the_duty_too() {
    let server = server();
    let client = &server.client;
    must_change(client);
    let change = json!({"token": token(), "user": alice(), "attrs": {"oldPin": "1234", "pin": "4711"}});
    client.ok("token/changePin", change);
    assert!(alice_is_let_in(client, &typed("4711", 0)));
}

#[test]
fn an_old_pin_must_be_changed_unless_it_never_expires() {
    let server = server();
    let client = &server.client;
    set(client, json!({"pinLifetimeDays": 30}));
    server.clock.advance(DAY * 30 - Duration::from_secs(1));
    assert!(alice_is_let_in(client, &typed("1234", 0)));
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(ask(client, &typed("1234", 1))["pinChangeRequired"], true);
    let never = json!({"token": token(), "user": alice(), "attrs": {"pinNeverExpires": true}});
    client.ok("tokenAssignment/set", never);
    assert!(alice_is_let_in(client, &typed("1234", 2)));
    let ages = json!({"token": token(), "user": alice(), "attrs": {"pinNeverExpires": false}});
    client.ok("tokenAssignment/set", ages);
    client.ok("auth/verify", with_new_pin(&typed("1234", 3), "4711"));
    server.clock.advance(DAY * 29);
    assert!(alice_is_let_in(client, &typed("4711", 4)));
}

#[test]
fn a_new_pin_that_is_no_good_spends_nothing_and_counts_nothing() {
    let server = server();
    let client = &server.client;
    for (new_pin, problem) in [
        ("1", "`newPin`: the PIN must have at least 4 characters"),
        ("1234", "`newPin` must be another PIN than the old one"),
    ] {
        let refused = client.error("auth/verify", with_new_pin(&typed("1234", 0), new_pin));
        assert_eq!((&*refused.kind, &*refused.message), ("request.invalid", problem));
        assert_eq!(decided(client, "auth/verify", 1)[0].0, "new_pin_refused");
    }
    set(client, json!({"pinMinLength": 5}));
    let by_token = json!({"token": token(), "credential": {"otp": typed("1234", 0)}, "newPin": "Alice"});
    let refused = client.error("auth/verify", by_token);
    assert_eq!(refused.message, "`newPin`: the PIN must not be the login name", "whoever has the token");
    assert_eq!(client.ok("auth/verify", with_new_pin(&typed("1234", 0), "47110")), json!({"accepted": true}));
}

#[test]
fn a_wrong_credential_with_a_new_pin_counts_like_any_other_and_changes_no_pin() {
    let server = server();
    let client = &server.client;
    let no = json!({"accepted": false});
    assert_eq!(client.ok("auth/verify", with_new_pin(&typed("1235", 0), "4711")), no, "a wrong PIN");
    assert_eq!(client.ok("auth/verify", with_new_pin("1234000000", "4711")), no, "a wrong passcode");
    assert_eq!(
        client.ok("auth/verify", with_new_pin(&typed("1235", 1), "1")),
        no,
        "whatever the new one is like"
    );
    let shown = client.ok("token/get", json!({"token": token(), "return": ["failCount", "counter"]}));
    assert_eq!(shown, json!({"failCount": 3, "counter": 2}), "and right passcodes are spent");
    for wrong in 1..8 {
        client.ok("auth/verify", with_new_pin(&format!("1234{wrong:06}"), "4711"));
    }
    assert_eq!(client.ok("auth/verify", with_new_pin(&typed("1234", 2), "4711")), no, "locked");
    server.clock.advance(Duration::from_secs(60));
    assert!(alice_is_let_in(client, &typed("1234", 2)));
}

#[test]
fn where_no_pin_is_set_a_login_sets_none() {
    let server = server();
    let client = &server.client;
    client.ok("token/setPin", json!({"token": token(), "user": alice(), "attrs": {"pin": null}}));
    let refused = client.error("auth/verify", with_new_pin(&code(0), "4711"));
    assert!(refused.message.starts_with("`newPin` must be left out"), "{}", refused.message);
    must_change(client);
    assert!(alice_is_let_in(client, &code(0)), "and there is none to change");
}

#[test]
fn no_pin_reaches_the_audit_log_or_an_answer() {
    let server = server();
    let client = &server.client;
    let new_pin = "zebra-4711-zebra";
    set(client, json!({"pinMaxLength": 8}));
    let refused = client.error("auth/verify", with_new_pin(&typed("1234", 0), new_pin));
    client.ok("auth/verify", with_new_pin(&typed("1234", 0), "zebra471"));
    let rows = client.ok("audit/search", json!({}));
    let told = format!("{rows} {}", refused.message);
    assert!(!told.contains("zebra"), "{told}");
    let files = server.files();
    assert!(!files.windows(5).any(|part| part == b"zebra"));
}
