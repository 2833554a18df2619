//! Verify, sync, reset and PIN through the whole server, with a clock that the test moves.

mod identifier;

use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use serde_json::json;

use crate::support::in_process::InProcess;
use crate::support::{RFC_SECRET_HEX, alice, alice_is_let_in, furnish, give_alice_a_token};

/// Passcodes of RFC 4226 appendix D, by counter.
const RFC: [&str; 10] =
    ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];

fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    server
}

#[test]
fn a_replayed_passcode_is_rejected() {
    let server = server();
    give_alice_a_token(&server.client, "1001");
    assert!(alice_is_let_in(&server.client, &format!("1234{}", RFC[0])));
    assert!(!alice_is_let_in(&server.client, &format!("1234{}", RFC[0])));
    assert!(alice_is_let_in(&server.client, &format!("1234{}", RFC[1])));
}

#[test]
fn the_right_passcode_with_a_wrong_pin_is_rejected_and_spent() {
    let server = server();
    give_alice_a_token(&server.client, "1001");
    assert!(!alice_is_let_in(&server.client, &format!("1235{}", RFC[0])));
    assert!(!alice_is_let_in(&server.client, &format!("1234{}", RFC[0])));
    assert!(!alice_is_let_in(&server.client, RFC[1]));
    assert!(alice_is_let_in(&server.client, &format!("1234{}", RFC[2])));
}

#[test]
fn ten_failures_lock_for_a_minute_and_each_further_one_for_twice_as_long() {
    let server = server();
    give_alice_a_token(&server.client, "1001");
    for wrong in 0..10 {
        assert!(!alice_is_let_in(&server.client, &format!("1234{wrong:06}")));
    }
    assert!(!alice_is_let_in(&server.client, &format!("1234{}", RFC[0])), "locked");
    server.clock.advance(Duration::from_secs(60));
    assert!(!alice_is_let_in(&server.client, "1234000011"));
    server.clock.advance(Duration::from_secs(119));
    assert!(!alice_is_let_in(&server.client, &format!("1234{}", RFC[0])), "locked for two minutes");
    server.clock.advance(Duration::from_secs(1));
    assert!(
        alice_is_let_in(&server.client, &format!("1234{}", RFC[0])),
        "what came while locked spent nothing"
    );
}

#[test]
fn a_runaway_token_comes_back_by_two_consecutive_passcodes_and_they_are_spent() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let far = fobd_test_passcode(500);
    assert!(!alice_is_let_in(client, &format!("1234{far}")), "out of the window");
    let pair = format!("{far},{}", fobd_test_passcode(501));
    let swapped = format!("{},{far}", fobd_test_passcode(501));
    let sync = |credential: &str| {
        client.call("token/syncToken", json!({"token": {"serial": "1001"}, "credential": credential}))
    };
    assert_eq!(sync(&swapped).unwrap_err().kind, "token.sync_failed");
    assert_eq!(sync(&far).unwrap_err().kind, "request.invalid");
    assert_eq!(sync(&pair), Ok(json!({})));
    assert!(!alice_is_let_in(client, &format!("1234{far}")));
    assert!(!alice_is_let_in(client, &format!("1234{}", fobd_test_passcode(501))));
    assert!(alice_is_let_in(client, &format!("1234{}", fobd_test_passcode(502))));
}

#[test]
fn a_reset_unlocks_and_keeps_the_counter() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    assert!(alice_is_let_in(client, &format!("1234{}", RFC[0])));
    for wrong in 0..10 {
        assert!(!alice_is_let_in(client, &format!("1234{wrong:06}")));
    }
    client.ok("token/reset", json!({"token": {"serial": "1001"}}));
    assert!(alice_is_let_in(client, &format!("1234{}", RFC[1])), "the lock is off the user too");
    let shown = client.ok(
        "token/get",
        json!({"token": {"serial": "1001"}, "return": ["counter", "failCount", "needsSync"]}),
    );
    assert_eq!(shown, json!({"counter": 2, "failCount": 0, "needsSync": false}));
}

#[test]
fn only_an_admin_sets_a_counter_back_and_only_a_sync_revives_the_token() {
    let server = server();
    give_alice_a_token(&server.client, "1001");
    assert!(alice_is_let_in(&server.client, &format!("1234{}", RFC[4])));
    let rewind = json!({"token": {"serial": "1001"}, "attrs": {"counter": 0}});
    assert_eq!(server.with_role("helpdesk").error("token/reset", rewind.clone()).kind, "permission.denied");
    server.client.ok("token/reset", rewind);
    assert!(!alice_is_let_in(&server.client, &format!("1234{}", RFC[0])), "needs a sync");
    let pair = format!("{},{}", RFC[0], RFC[1]);
    server.client.ok("token/syncToken", json!({"token": {"serial": "1001"}, "credential": pair}));
    assert!(alice_is_let_in(&server.client, &format!("1234{}", RFC[2])));
}

#[test]
fn an_unknown_user_is_answered_like_a_wrong_passcode_in_both_envelopes() {
    let server = server();
    give_alice_a_token(&server.client, "1001");
    let nobody = json!({"domain": {"name": "acme"}, "loginName": "nobody"});
    for user in [nobody, alice()] {
        let question = json!({"user": user, "credential": {"otp": "1234000000"}});
        assert_eq!(server.client.ok("auth/verify", question.clone()), json!({"accepted": false}));
        let answer = server.client.das5("auth/verify", &question);
        assert_eq!((&answer["error"], &answer["message"]), (&json!(1010), &json!("Incorrect credentials")));
    }
}

#[test]
fn a_totp_passcode_is_accepted_once_and_within_two_steps_only() {
    let server = server();
    let client = &server.client;
    let product = json!({"manufacturerCode": "YK", "productCode": "OT"});
    let data = format!("2001,{RFC_SECRET_HEX},totp,6,30\n");
    client.ok("token/import", json!({"attrs": {"product": product, "data": data}}));
    let now = 1_767_225_600 / 30;
    let is_let_in = |step: u64| {
        let question = json!({"token": {"serial": "2001"}, "credential": {"otp": fobd_test_passcode(step)}});
        client.ok("auth/verify", question)["accepted"] == json!(true)
    };
    assert!(!is_let_in(now + 3), "three steps ahead");
    assert!(is_let_in(now));
    assert!(!is_let_in(now), "replayed");
    assert!(!is_let_in(now - 1), "older than an accepted one");
    assert!(is_let_in(now + 2));
}

/// The HOTP passcode of the RFC secret, 6 digits, computed by the emulated device's own code.
fn fobd_test_passcode(counter: u64) -> String {
    use firmware_fixtures::card::VirtualCard;
    use firmware_fixtures::credential::Credential;
    use firmware_fixtures::firmware::Firmware;
    let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 1);
    card.install(Credential::totp("oracle", b"12345678901234567890"));
    card.show("oracle", counter).expect("the emulated device computes")
}
