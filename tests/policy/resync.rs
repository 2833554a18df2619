//! Two right passcodes in a row that bring a token back, where policy has it.

use std::time::Duration;

use serde_json::json;

use super::{code, decided, server, set, token, typed};
use crate::support::{RFC_SECRET_HEX, alice_is_let_in, product, token_is_let_in};

/// 2026-01-01T00:00:00Z, when the clock of a test starts, as a number of steps of 30 s.
const START: u64 = 1_767_225_600 / 30;

#[test]
fn two_passcodes_in_a_row_bring_a_runaway_counter_back_and_both_are_spent() {
    let server = server();
    let client = &server.client;
    set(client, json!({"autoResync": true}));
    assert!(!alice_is_let_in(client, &typed("1234", 700)));
    assert_eq!(decided(client, "auth/verify", 1)[0].0, "out_of_sync");
    assert!(alice_is_let_in(client, &typed("1234", 701)));
    for spent in [700, 701, 11, 0] {
        assert!(!alice_is_let_in(client, &typed("1234", spent)), "{spent}");
    }
    assert!(alice_is_let_in(client, &typed("1234", 702)));
    let shown = client.ok("token/get", json!({"token": token(), "return": ["counter", "failCount"]}));
    assert_eq!(shown, json!({"counter": 703, "failCount": 0}));
}

#[test]
fn it_is_off_unless_policy_says_otherwise() {
    let server = server();
    assert!(!alice_is_let_in(&server.client, &typed("1234", 700)));
    assert!(!alice_is_let_in(&server.client, &typed("1234", 701)));
    assert_eq!(decided(&server.client, "auth/verify", 1)[0].0, "wrong_passcode");
}

#[test]
fn nothing_may_come_between_the_two_and_they_must_follow_each_other() {
    let server = server();
    let client = &server.client;
    set(client, json!({"autoResync": true, "maxFailures": 100}));
    let let_in = |typed: &str| alice_is_let_in(client, typed);
    // A wrong passcode, a wrong PIN or a gap between them; or a pair that is backwards.
    for between in ["1234000000".to_owned(), typed("1235", 901)] {
        assert!(!let_in(&typed("1234", 700)));
        assert!(!let_in(&between));
        assert!(!let_in(&typed("1234", 701)), "{between}");
    }
    assert!(!let_in(&typed("1234", 703)), "not the next one after 701");
    assert!(!let_in(&typed("1234", 702)), "not after 703");
    // The wrong PIN with a passcode that is too far off spends nothing: the counter is where it was.
    let counter = client.ok("token/get", json!({"token": token(), "return": ["counter"]}));
    assert_eq!(counter, json!({"counter": 0}));
    assert!(let_in(&typed("1234", 703)), "the one after 702");
}

#[test]
fn the_second_one_comes_within_five_minutes() {
    for (seconds, fits) in [(300, true), (301, false)] {
        let server = server();
        set(&server.client, json!({"autoResync": true}));
        assert!(!alice_is_let_in(&server.client, &typed("1234", 700)));
        server.clock.advance(Duration::from_secs(seconds));
        assert_eq!(alice_is_let_in(&server.client, &typed("1234", 701)), fits, "{seconds} s");
    }
}

#[test]
fn a_clock_comes_back_by_two_passcodes_that_agree_on_where_it_is() {
    let server = server();
    let client = &server.client;
    client.ok(
        "token/import",
        json!({"attrs": {"product": product("OT"), "data": format!("2001,{RFC_SECRET_HEX},totp,6,30\n")}}),
    );
    set(client, json!({"autoResync": true, "maxFailures": 100}));
    let let_in = |step: u64| token_is_let_in(client, "2001", &code(step));
    let advance = |seconds| server.clock.advance(Duration::from_secs(seconds));
    assert!(!let_in(START + 11), "beyond what is checked");
    assert!(!let_in(START + 12));
    assert!(!let_in(START - 7), "three and a half minutes slow");
    advance(60);
    assert!(!let_in(START + 2 + 5), "the second one says that it is fast");
    advance(60);
    assert!(let_in(START + 4 + 6), "fast, and within one step of what the one before said");
    for spent in [START + 7, START + 10, START + 2] {
        assert!(!let_in(spent), "{spent}");
    }
    advance(60);
    assert!(let_in(START + 6 + 6), "the forecast is there now");
}

#[test]
fn a_reset_and_a_rewind_forget_the_first_one() {
    for (method, attrs) in [("token/reset", json!({})), ("token/reset", json!({"counter": 0}))] {
        let server = server();
        let client = &server.client;
        set(client, json!({"autoResync": true}));
        assert!(!alice_is_let_in(client, &typed("1234", 700)));
        client.ok(method, json!({"token": token(), "attrs": attrs}));
        assert!(!alice_is_let_in(client, &typed("1234", 701)), "{attrs}");
    }
}

#[test]
fn a_token_that_was_set_back_comes_back_by_no_login() {
    let server = server();
    let client = &server.client;
    set(client, json!({"autoResync": true}));
    assert!(alice_is_let_in(client, &typed("1234", 3)));
    client.ok("token/reset", json!({"token": token(), "attrs": {"counter": 0}}));
    for counter in [1, 2, 3, 4, 50, 51] {
        assert!(!alice_is_let_in(client, &typed("1234", counter)), "{counter}");
    }
}
