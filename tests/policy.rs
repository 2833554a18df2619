//! Policies through the whole server: levels and versions, and what they decide. PINs, the resync by two passcodes
//! in a row, and clocks have files of their own.

mod clocks;
mod pins;
mod resync;

use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use fobd::otp::algorithm::Algorithm;
use serde_json::{Value as Json, json};

use crate::otp_oracle::passcode;
use crate::support::client::Client;
use crate::support::in_process::InProcess;
use crate::support::{alice, alice_is_let_in, furnish, give_alice_a_token, product};

const SECRET: &[u8] = b"12345678901234567890";

/// A server where alice has the token 1001 (HOTP, secret of the RFC) with the PIN 1234.
fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    give_alice_a_token(&server.client, "1001");
    server
}

/// The passcode of a moving factor.
fn code(factor: u64) -> String {
    passcode(SECRET, Algorithm::Sha1, 6, factor)
}

/// PIN and passcode.
fn typed(pin: &str, factor: u64) -> String {
    format!("{pin}{}", code(factor))
}

fn token() -> Json {
    json!({"serial": "1001"})
}

fn set(client: &Client, attrs: Json) -> i64 {
    client.ok("policy/set", json!({ "attrs": attrs }))["version"].as_i64().unwrap()
}

/// How the last decisions ended, newest first, with what their rows say.
fn decided(client: &Client, action: &str, max: u32) -> Vec<(String, String)> {
    let rows = client.ok("audit/search", json!({"action": action, "max": max}))["rows"].clone();
    let text = |row: &Json, name: &str| row[name].as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(|row| (text(row, "outcome"), text(row, "detail"))).collect()
}

#[test]
fn a_token_s_policy_lies_over_its_product_s_and_that_over_the_server_s() {
    let server = server();
    let client = &server.client;
    let levels = [
        (json!({}), json!({"maxFailures": 5, "totpAccept": 3, "hotpLookAhead": 7})),
        (json!({"product": product("OH")}), json!({"totpAccept": 4, "hotpLookAhead": 8})),
        (json!({"token": token()}), json!({"hotpLookAhead": 9})),
    ];
    for (target, attrs) in &levels {
        let mut params = target.clone();
        params["attrs"] = attrs.clone();
        client.ok("policy/set", params);
    }
    let of = |target: &Json| {
        let shown = client.ok("policy/get", target.clone());
        let values =
            ["maxFailures", "totpAccept", "hotpLookAhead", "firstLock"].map(|n| shown["settings"][n].clone());
        (json!(values), shown["own"].clone(), shown["level"].clone())
    };
    let (values, _, level) = of(&json!({}));
    assert_eq!((values, level), (json!([5, 3, 7, 60]), json!("server")));
    assert_eq!(of(&levels[1].0), (json!([5, 4, 8, 60]), levels[1].1.clone(), json!("product")));
    assert_eq!(of(&levels[2].0), (json!([5, 4, 9, 60]), levels[2].1.clone(), json!("token")));
    assert_eq!(of(&json!({"product": product("OT")})), (json!([5, 3, 7, 60]), json!({}), json!("product")));
    // What is left to the level above comes from there.
    client.ok("policy/set", json!({"token": token(), "attrs": {"hotpLookAhead": null}}));
    assert_eq!(of(&levels[2].0), (json!([5, 4, 8, 60]), json!({}), json!("token")));
    client.ok("policy/set", json!({"attrs": {"maxFailures": null}}));
    assert_eq!(of(&json!({})).0, json!([10, 3, 7, 60]), "above the server is the program");
}

#[test]
fn every_change_makes_a_version_and_the_old_ones_stay_readable() {
    let server = server();
    let client = &server.client;
    assert_eq!(client.ok("policy/get", json!({}))["version"], 1);
    assert_eq!([set(client, json!({"maxFailures": 5})), set(client, json!({"maxFailures": 6}))], [2, 3]);
    client.ok("policy/set", json!({"token": token(), "attrs": {"maxFailures": 7}}));
    for (version, of_server, of_token) in [(1, 10, 10), (2, 5, 5), (3, 6, 6), (4, 6, 7)] {
        let at = |mut params: Json| {
            params["version"] = json!(version);
            client.ok("policy/get", params)["settings"]["maxFailures"].clone()
        };
        assert_eq!((at(json!({})), at(json!({"token": token()}))), (json!(of_server), json!(of_token)));
    }
    let rows = client.ok("policy/search", json!({}))["rows"].clone();
    let versions: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["version"].clone()).collect();
    assert_eq!(versions, [3, 2, 1]);
    assert_eq!((&rows[0]["operator"], &rows[2]["operator"]), (&json!("admin"), &json!("")));
    assert_eq!(client.ok("policy/search", json!({"token": token()}))["total"], 1);
    for version in [0, 5, -1] {
        let refused = client.error("policy/get", json!({ "version": version }));
        assert_eq!(
            (&*refused.kind, &*refused.message),
            ("request.invalid", "`version` must be one from 1 to 4")
        );
    }
    let changes = decided(client, "policy/set", 1);
    assert_eq!(changes[0].1, "policy 4 of t1: maxFailures 7");
}

#[test]
fn a_decision_follows_the_policy_of_its_moment_and_names_its_version() {
    let server = server();
    let client = &server.client;
    assert!(!alice_is_let_in(client, &typed("1234", 11)), "11 presses ahead");
    set(client, json!({"hotpLookAhead": 11}));
    assert!(alice_is_let_in(client, &typed("1234", 11)));
    let pair = format!("{},{}", code(20), code(21));
    client.ok("token/syncToken", json!({"token": token(), "credential": pair}));
    client.ok("policy/set", json!({"product": product("OH"), "attrs": {"hotpLookAhead": 0}}));
    assert!(!alice_is_let_in(client, &typed("1234", 23)));
    let verified = decided(client, "auth/verify", 3);
    let expected = [("wrong_passcode", "policy 3"), ("accepted", "policy 2"), ("wrong_passcode", "policy 1")];
    assert_eq!(verified, expected.map(|(outcome, detail)| (outcome.to_owned(), detail.to_owned())));
    assert_eq!(decided(client, "token/syncToken", 1)[0].1, "policy 2");
}

#[test]
fn a_setting_that_cannot_be_is_named_and_nothing_changes() {
    let server = server();
    let client = &server.client;
    for (attrs, problem) in [
        (json!({"totpAccept": 21}), "`attrs.totpAccept` must be a whole number from 0 to 20"),
        (json!({"totpAccept": -1}), "`attrs.totpAccept` must be a whole number from 0 to 20"),
        (json!({"totpAccept": 1.5}), "`attrs.totpAccept` must be a whole number from 0 to 20"),
        (
            json!({"hotpSyncWindow": 4_294_967_296_u64}),
            "`attrs.hotpSyncWindow` must be a whole number from 1 to 5000",
        ),
        (json!({"autoResync": 1}), "`attrs.autoResync` must be true or false"),
        (json!({"pinPlacement": "middle"}), "`attrs.pinPlacement` must be prefix or suffix or field"),
        (json!({"totpAcept": 1, "maxFailures": 5}), "`attrs.totpAcept` is no setting of a policy"),
        (
            json!({"pinMinLength": 9, "pinMaxLength": 8}),
            "`attrs.pinMinLength` must not be above `pinMaxLength`",
        ),
        (json!({"totpAccept": 11}), "`attrs.totpAccept` must not be above `totpCheck`"),
        (json!({"longestLock": 30}), "`attrs.firstLock` must not be above `longestLock`"),
        (json!({}), "`attrs` must name at least one setting"),
    ] {
        let refused = client.error("policy/set", json!({ "attrs": attrs }));
        assert_eq!((&*refused.kind, &*refused.message), ("request.invalid", problem), "{attrs}");
    }
    let both = json!({"product": product("OH"), "token": token(), "attrs": {"maxFailures": 5}});
    assert_eq!(client.error("policy/set", both).kind, "request.invalid");
    let nobody = json!({"token": {"serial": "none"}, "attrs": {"maxFailures": 5}});
    assert_eq!(client.error("policy/set", nobody).kind, "token.not_found");
    assert_eq!(client.ok("policy/get", json!({}))["version"], 1);
}

#[test]
fn a_change_above_that_contradicts_a_level_below_is_refused() {
    let server = server();
    let client = &server.client;
    client.ok("policy/set", json!({"product": product("OH"), "attrs": {"pinMinLength": 8}}));
    let refused = client.error("policy/set", json!({"attrs": {"pinMaxLength": 6}}));
    assert_eq!(refused.kind, "request.invalid");
    assert_eq!(client.ok("policy/get", json!({}))["settings"]["pinMaxLength"], 64);
}

#[test]
fn where_policy_says_so_a_lock_is_for_good_until_the_helpdesk_unlocks() {
    let server = server();
    let client = &server.client;
    set(client, json!({"permanentLockAfter": 3}));
    let from = |source: &str, typed: &str| {
        let question = json!({"user": alice(), "credential": {"otp": typed}, "source": source});
        client.ok("auth/verify", question)["accepted"] == json!(true)
    };
    for wrong in 0..3 {
        assert!(!from("10.0.0.1", &format!("1234{wrong:06}")));
    }
    server.clock.advance(Duration::from_secs(3600 * 24 * 3650));
    assert!(!from("10.0.0.2", &typed("1234", 0)), "locked for good");
    assert_eq!(decided(client, "auth/verify", 1)[0].0, "locked");
    let shown = client.ok("user/get", json!({"user": alice(), "return": ["lockedUntil", "failCount"]}));
    assert_eq!(shown, json!({"lockedUntil": "", "failCount": 3}), "no calendar has its end");
    let helpdesk = server.with_role("helpdesk");
    helpdesk.ok("token/unlock", json!({"token": token(), "user": alice()}));
    assert!(from("10.0.0.1", &typed("1234", 0)), "and the address was never locked for good");
}

#[test]
fn pins_stand_behind_the_passcode_where_the_product_says_so() {
    let server = server();
    let client = &server.client;
    client.ok("policy/set", json!({"product": product("OH"), "attrs": {"pinPlacement": "suffix"}}));
    assert!(!alice_is_let_in(client, &typed("1234", 0)));
    assert!(alice_is_let_in(client, &format!("{}1234", code(1))));
}

#[test]
fn pins_come_in_a_field_of_their_own_where_the_product_says_so() {
    let server = server();
    let client = &server.client;
    let let_in = |credential: Json| {
        client.ok("auth/verify", json!({"user": alice(), "credential": credential}))["accepted"] == true
    };
    assert!(!let_in(json!({"pin": "1234", "otp": code(0)})), "only by policy");
    client.ok("policy/set", json!({"product": product("OH"), "attrs": {"pinPlacement": "field"}}));
    assert!(!let_in(json!({"otp": typed("1234", 1)})));
    assert!(!let_in(json!({"pin": "1235", "otp": code(2)})));
    assert!(let_in(json!({"pin": "1234", "otp": code(3)})));
    assert!(!let_in(json!({"pin": "1234", "otp": code(3)})), "once");
}
