//! `token/explain` through the whole server: each thing that may go wrong is told to the helpdesk, and nothing of it to
//! who asked, to a file or to a log.

use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::VirtualCard;
use firmware_fixtures::credential::Credential;
use firmware_fixtures::firmware::Firmware;
use serde_json::{Value as Json, json};

use crate::support::client::{Client, PASSWORD};
use crate::support::in_process::InProcess;
use crate::support::{RFC_SECRET_HEX, alice, eventually, furnish, give_alice_a_token, import_hotp, product};

const STEP: u64 = 1_767_225_600 / 30;

fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    server
}

/// The passcode of the RFC's secret.
fn rfc(factor: u64) -> String {
    let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 1);
    card.install(Credential::totp("oracle", b"12345678901234567890"));
    card.show("oracle", factor).expect("the emulated device computes")
}

/// A user with an HOTP token of the RFC's secret; without a PIN unless one is given.
fn user_with_token(client: &Client, login: &str, serial: &str, pin: Option<&str>) -> Json {
    let user = json!({"domain": {"name": "acme"}, "loginName": login});
    client.ok("user/create", json!({"attrs": {"domain.name": "acme", "loginName": login}}));
    import_hotp(client, &format!("{serial},{RFC_SECRET_HEX}\n"));
    let mut params = json!({"token": {"serial": serial}, "user": user});
    if let Some(pin) = pin {
        params["attrs"] = json!({ "pin": pin });
    }
    client.ok("token/assign", params);
    user
}

fn totp(client: &Client, serial: &str) {
    let data = format!("{serial},{RFC_SECRET_HEX},totp,6,30\n");
    client.ok("token/import", json!({"attrs": {"product": product("OT"), "data": data}}));
}

/// Asks; the answer must be the one neutral one.
fn refused(client: &Client, mut question: Json, typed: &str) {
    question["credential"] = json!({ "otp": typed });
    assert_eq!(client.ok("auth/verify", question), json!({"accepted": false}));
}

fn accepted(client: &Client, mut question: Json, typed: &str) {
    question["credential"] = json!({ "otp": typed });
    assert_eq!(client.ok("auth/verify", question)["accepted"], true);
}

/// The newest row, once there are so many. The worker looks after the reply, so this waits.
fn newest(client: &Client, whose: &Json, rows: u64) -> Json {
    eventually("the attempt is explained", || {
        let found = client.ok("token/explain", whose.clone());
        (found["total"].as_u64()? >= rows).then(|| found["rows"][0].clone())
    })
}

fn of(serial: &str) -> Json {
    json!({"token": {"serial": serial}})
}

fn check(row: &Json, expected: &Json) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&row[name], value, "{name} of {row}");
    }
}

#[test]
fn a_wrong_pin_is_told_from_a_wrong_passcode_and_from_what_holds_no_passcode() {
    let server = server();
    let client = &server.client;
    for (login, typed, expected) in [
        (
            "pin",
            format!("4321{}", rfc(0)),
            json!({"cause": "wrong_pin", "pin": "wrong", "outcome": "wrong_pin", "ahead": 0}),
        ),
        (
            "passcode",
            "1234000000".to_owned(),
            json!({"cause": "wrong_passcode", "pin": "right", "ahead": null}),
        ),
        ("both", "4321000000".to_owned(), json!({"cause": "wrong_passcode", "pin": "wrong"})),
        ("words", "let me in".to_owned(), json!({"cause": "no_passcode", "pin": null})),
    ] {
        let user = user_with_token(client, login, login, Some("1234"));
        refused(client, json!({ "user": user }), &typed);
        let row = newest(client, &of(login), 1);
        check(&row, &expected);
        check(
            &row,
            &json!({"token": login, "user": format!("acme\\{login}"), "time": "2026-01-01T00:00:00Z"}),
        );
        assert!(!row["advice"].as_str().unwrap().is_empty());
        assert!(row["policy"].as_str().unwrap().starts_with("policy "));
    }
    let user = user_with_token(client, "bare", "bare", None);
    refused(client, json!({ "user": user }), &format!("1234{}", rfc(0)));
    check(&newest(client, &of("bare"), 1), &json!({"cause": "wrong_pin", "pin": "unexpected"}));
}

#[test]
fn presses_ahead_seconds_slow_and_the_time_of_a_replay_are_told() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let as_alice = json!({"user": alice()});
    refused(client, as_alice.clone(), &format!("1234{}", rfc(37)));
    let row = newest(client, &of("1001"), 1);
    check(
        &row,
        &json!({"cause": "too_far_ahead", "ahead": 37, "reach": 10, "pin": "right", "outcome": "wrong_passcode"}),
    );
    assert_eq!(row["text"], "the token is 37 presses ahead, 10 are accepted; the PIN was right");

    totp(client, "2001");
    refused(client, of("2001"), &rfc(STEP - 8));
    let row = newest(client, &of("2001"), 1);
    check(&row, &json!({"cause": "clock_off", "ahead": -8, "reach": 2, "clockSeconds": -240}));
    assert_eq!(row["text"], "the clock of the token is 240 s slow");

    let bob = user_with_token(client, "bob", "1002", Some("1234"));
    accepted(client, json!({ "user": bob }), &format!("1234{}", rfc(0)));
    server.clock.advance(Duration::from_secs(300));
    refused(client, json!({ "user": bob }), &format!("1234{}", rfc(0)));
    let row = newest(client, &of("1002"), 1);
    check(
        &row,
        &json!({"cause": "replayed", "ahead": -1, "usedAt": "2026-01-01T00:00:00Z", "time": "2026-01-01T00:05:00Z"}),
    );
    assert!(row["text"].as_str().unwrap().contains("used before, at 2026-01-01T00:00:00Z"));

    totp(client, "2002");
    accepted(client, of("2002"), &rfc(STEP + 10));
    server.clock.advance(Duration::from_secs(30));
    refused(client, of("2002"), &rfc(STEP + 10));
    check(&newest(client, &of("2002"), 1), &json!({"cause": "replayed", "usedAt": "2026-01-01T00:05:00Z"}));
}

#[test]
fn a_passcode_of_another_token_of_the_user_is_told_to_be_that() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let other = RFC_SECRET_HEX.replace("31", "39");
    import_hotp(client, &format!("1002,{other}\n"));
    client
        .ok("token/assign", json!({"token": {"serial": "1002"}, "user": alice(), "attrs": {"pin": "1234"}}));
    let named = json!({"token": {"serial": "1002"}, "user": alice()});
    refused(client, named, &format!("1234{}", rfc(3)));
    check(&newest(client, &of("1002"), 1), &json!({"cause": "other_token", "otherToken": "1001"}));
    // All tokens asked: each says what it has to say.
    eventually("the user's turn", || {
        refused(client, json!({"user": alice()}), &format!("1234{}", rfc(50)));
        let found = client.ok("token/explain", json!({"user": alice()}));
        let causes: Vec<(Json, Json)> = found["rows"]
            .as_array()?
            .iter()
            .map(|row| (row["token"].clone(), row["cause"].clone()))
            .collect();
        let pair = [(json!("1002"), json!("other_token")), (json!("1001"), json!("too_far_ahead"))];
        causes.windows(2).any(|rows| rows == pair).then_some(())
    });
}

#[test]
fn a_lock_is_told_with_the_attempts_that_led_to_it() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    for wrong in 0..10 {
        refused(client, json!({"user": alice()}), &format!("1234{wrong:06}"));
        server.clock.advance(Duration::from_secs(1));
    }
    let locks = client.ok("token/explain", json!({"user": alice()}))["locks"].clone();
    let kinds: Vec<&str> =
        locks.as_array().unwrap().iter().map(|lock| lock["what"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["token", "user"]);
    check(&locks[1], &json!({"name": "acme\\alice", "until": "2026-01-01T00:01:09Z", "failures": 10}));
    let attempts = locks[1]["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[9]["time"]), (10, &json!("2026-01-01T00:00:00Z")));
    check(
        &attempts[0],
        &json!({"operator": "admin", "outcome": "wrong_passcode", "time": "2026-01-01T00:00:09Z"}),
    );

    // While it is locked nothing is looked at, and so nothing of the passcode is told.
    let locked = eventually("a locked attempt", || {
        refused(client, json!({"user": alice()}), &format!("1234{}", rfc(0)));
        let row = client.ok("token/explain", of("1001"))["rows"][0].clone();
        (row["cause"] == "locked").then_some(row)
    });
    check(
        &locked,
        &json!({"ahead": null, "pin": null, "locked": "user", "lockedUntil": "2026-01-01T00:01:09Z"}),
    );
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(client.ok("token/explain", json!({"user": alice()}))["locks"], json!([]));
}

#[test]
fn what_is_not_in_use_is_told_with_the_reason() {
    let server = server();
    let client = &server.client;
    for (login, change) in [
        ("off", ("token/disable", json!({"token": {"serial": "off"}}))),
        (
            "late",
            (
                "tokenAssignment/set",
                json!({"token": {"serial": "late"}, "attrs": {"expires": "2025-12-31T00:00:00Z"}}),
            ),
        ),
        ("rewound", ("token/reset", json!({"token": {"serial": "rewound"}, "attrs": {"counter": 1}}))),
    ] {
        let user = user_with_token(client, login, login, None);
        if login == "rewound" {
            accepted(client, json!({ "user": user }), &rfc(3));
        }
        let (method, mut params) = change;
        if method.starts_with("tokenAssignment") {
            params["user"] = user.clone();
        }
        client.ok(method, params);
        refused(client, json!({ "user": user }), &rfc(4));
    }
    check(&newest(client, &of("off"), 1), &json!({"cause": "not_usable", "notUsable": "token DISABLED"}));
    let late = "assignment, since it expired at 2025-12-31T00:00:00Z";
    check(&newest(client, &of("late"), 1), &json!({"cause": "not_usable", "notUsable": late}));
    check(&newest(client, &of("rewound"), 1), &json!({"cause": "needs_sync", "ahead": 3}));
    refused(client, json!({"user": alice()}), "1234000000");
    check(&newest(client, &json!({"user": alice()}), 1), &json!({"cause": "nobody_to_ask", "token": null}));
}

#[test]
fn a_resync_that_failed_is_explained_too() {
    let server = server();
    let client = &server.client;
    for (serial, typed, expected) in [
        ("apart", format!("{},{}", rfc(20), rfc(22)), json!({"cause": "not_consecutive"})),
        ("used", format!("{},{}", rfc(1), rfc(2)), json!({"cause": "replayed"})),
        ("other", "000000,111111".to_owned(), json!({"cause": "wrong_passcode"})),
    ] {
        import_hotp(client, &format!("{serial},{RFC_SECRET_HEX}\n"));
        client.ok("token/reset", json!({"token": {"serial": serial}, "attrs": {"counter": 10}}));
        let sync = json!({"token": {"serial": serial}, "credential": typed});
        assert_eq!(client.error("token/syncToken", sync).kind, "token.sync_failed");
        let row = newest(client, &of(serial), 1);
        check(&row, &expected);
        check(&row, &json!({"action": "token/syncToken", "outcome": "not_synced"}));
    }
}

#[test]
fn it_touches_nothing_and_keeps_nothing_of_what_was_typed() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let typed = [format!("1234{}", rfc(37)), format!("2468{}", rfc(5)), "hunter2-is-my-password".to_owned()];
    refused(client, json!({"user": alice()}), &typed[0]);
    newest(client, &of("1001"), 1);
    let state = || {
        client.ok(
            "token/get",
            json!({"token": {"serial": "1001"}, "return": ["counter", "failCount", "needsSync", "drift"]}),
        )
    };
    assert_eq!(state(), json!({"counter": 0, "failCount": 1, "needsSync": false, "drift": 0}));
    accepted(client, json!({"user": alice()}), &format!("1234{}", rfc(0)));
    for (seen, typed) in typed.iter().enumerate().skip(1) {
        // One token is looked at once a second.
        eventually("the next turn", || {
            refused(client, json!({"user": alice()}), typed);
            let total = client.ok("token/explain", of("1001"))["total"].as_u64()?;
            (total > seen as u64).then_some(())
        });
    }
    let (files, said) = (server.files(), client.ok("token/explain", of("1001")).to_string());
    for text in typed.iter().map(String::as_str).chain(["hunter2", &rfc(37), &rfc(5)]) {
        assert!(!files.windows(text.len()).any(|window| window == text.as_bytes()), "{text} is in a file");
        assert!(!said.contains(text), "{text} is in {said}");
    }
}

#[test]
fn attempts_for_nobody_leave_nothing_and_what_is_outside_is_not_told() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let nobody = json!({"domain": {"name": "acme"}, "loginName": "nobody"});
    refused(client, json!({ "user": nobody }), "1234000000");
    refused(client, json!({"user": alice()}), "1234000000");
    // The queue is worked off in order: once alice's attempt is there, nobody's was looked at.
    newest(client, &of("1001"), 1);
    assert_eq!(client.error("token/explain", json!({ "user": nobody })).kind, "user.not_found");
    client.ok("user/create", json!({"attrs": {"domain.name": "acme", "loginName": "nobody"}}));
    assert_eq!(client.ok("token/explain", json!({ "user": nobody }))["total"], 0);

    client.ok("repository/create", json!({"attrs": {"name": "Berlin"}}));
    let attrs = json!({
        "name": "berlin", "role": "helpdesk", "password": PASSWORD, "domains": [{"name": "acme"}],
        "repositories": [{"name": "Berlin"}],
    });
    client.ok("operator/create", json!({ "attrs": attrs }));
    let berlin = Client::as_operator(&client.base, "berlin", PASSWORD);
    assert_eq!(berlin.error("token/explain", of("1001")).kind, "token.not_found");
    assert_eq!(berlin.ok("token/explain", json!({"user": alice()}))["total"], 0);
}

#[test]
fn twenty_attempts_of_a_token_are_kept_and_they_go_with_it() {
    use fobd::model::id::TokenId;
    use fobd::otp::time::Timestamp;
    use fobd::store::StoreError;
    use fobd::store::findings::Finding;
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let token = Some(TokenId(1));
    let keep = move |at: i64| Finding {
        at: Timestamp::from_secs(at),
        action: "auth/verify".to_owned(),
        token,
        user: None,
        note: "{}".to_owned(),
    };
    let kept = server.app.store.write(move |tx| {
        for at in 0..30 {
            tx.keep_finding(&keep(at))?;
        }
        tx.keep_finding(&Finding { token: Some(TokenId(999)), ..keep(99) })
    });
    let kept: Result<(), StoreError> = server.block_on(kept);
    kept.unwrap();
    let found = client.ok("token/explain", of("1001"));
    assert_eq!((&found["total"], &found["rows"][0]["time"]), (&json!(20), &json!("1970-01-01T00:00:29Z")));
    let swept = server.app.store.write(|tx| tx.sweep_findings(Timestamp::from_secs(25)));
    let swept: Result<bool, StoreError> = server.block_on(swept);
    assert!(swept.unwrap());
    assert_eq!(client.ok("token/explain", of("1001"))["total"], 5);
    client.ok("token/unassign", json!({"token": {"serial": "1001"}, "user": alice()}));
    client.ok("token/delete", json!({"token": {"serial": "1001"}}));
    let left = server.block_on(server.app.store.read(|reader| reader.findings_of_token(TokenId(1))));
    let left: Result<Vec<Finding>, StoreError> = left;
    assert_eq!(left.unwrap(), []);
}
