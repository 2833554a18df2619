//! A source that tries a few passcodes on each of many users.

use std::time::{Duration, Instant};

use firmware_fixtures::attach::VirtualBus;
use serde_json::{Value as Json, json};

use super::{code, count, outcomes, state};
use crate::support::client::Client;
use crate::support::in_process::InProcess;
use crate::support::{RFC_SECRET_HEX, furnish, give_alice_a_token, import_hotp};

const SPRAYER: &str = "192.0.2.66";

/// With alice's token 1001 and bob's 1002, both with the PIN 1234.
fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    give_alice_a_token(&server.client, "1001");
    server.client.ok("user/create", json!({"attrs": {"domain.name": "acme", "loginName": "bob"}}));
    import_hotp(&server.client, &format!("1002,{RFC_SECRET_HEX}\n"));
    let assign = json!({"token": {"serial": "1002"}, "user": user("bob"), "attrs": {"pin": "1234"}});
    server.client.ok("token/assign", assign);
    server
}

fn user(login: &str) -> Json {
    json!({"domain": {"name": "acme"}, "loginName": login})
}

fn is_let_in(client: &Client, source: &str, login: &str, typed: &str) -> bool {
    let question = json!({"user": user(login), "credential": {"otp": typed}, "source": source});
    client.ok("auth/verify", question)["accepted"].as_bool().expect("accepted or not")
}

fn failures_of(client: &Client, login: &str) -> Json {
    client.ok("user/get", json!({"user": user(login), "return": ["failCount"]}))["failCount"].clone()
}

/// Lets thirty users fail from one source, which locks the source for a minute, and waits for that to end.
fn spray(server: &InProcess) {
    for number in 0..30 {
        assert!(!is_let_in(&server.client, SPRAYER, &format!("nobody{number}"), "1234000000"));
    }
    server.clock.advance(Duration::from_secs(60));
}

#[test]
fn thirty_failed_users_of_one_source_raise_one_alarm_whether_they_exist_or_not() {
    let server = server();
    let client = &server.client;
    for number in 0..29 {
        is_let_in(client, SPRAYER, &format!("nobody{number}"), "1234000000");
        is_let_in(client, "192.0.2.1", "alice", "1234000000");
    }
    assert_eq!((count(client, "auth/verify", "spraying"), server.app.guards.sprays.slowed()), (0, 0));
    for number in 0..15 {
        is_let_in(client, SPRAYER, "bob", &format!("1234{number:06}"));
    }
    let alarms: Vec<_> =
        outcomes(client, "auth/verify").into_iter().filter(|(outcome, _)| outcome == "spraying").collect();
    let words =
        "source 192.0.2.66: 30 users failed within 10 minutes, 0 of 30 attempts were accepted; it is slowed";
    assert_eq!(alarms, [("spraying".to_owned(), words.to_owned())]);
    assert_eq!((server.app.guards.sprays.slowed(), server.app.guards.sprays.alarms()), (1, 1));
    server.clock.advance(Duration::from_secs(600));
    assert_eq!(server.app.guards.sprays.slowed(), 0, "it ends by itself");
}

#[test]
fn a_spraying_source_locks_none_of_its_users_and_gets_no_more_guesses_than_others() {
    let server = server();
    let client = &server.client;
    spray(&server);
    let mut own = 0;
    for guess in 0..14 {
        // Every few guesses its own token takes the lock off the source. Time passes, so that nobody waits.
        if guess % 5 == 0 {
            assert!(is_let_in(client, SPRAYER, "alice", &format!("1234{}", code(own))));
            own += 1;
            server.clock.advance(Duration::from_secs(2));
        }
        assert!(!is_let_in(client, SPRAYER, "bob", &format!("1234{guess:06}")));
        server.clock.advance(Duration::from_secs(2));
    }
    assert_eq!(count(client, "auth/verify", "wrong_passcode"), 10, "ten guesses");
    assert_eq!(count(client, "auth/verify", "slowed"), 4, "and no more");
    assert_eq!((failures_of(client, "bob"), state(client, "1002").1), (json!(0), 0));
    assert!(!is_let_in(client, SPRAYER, "bob", &format!("1234{}", code(0))), "not even the right one");
    assert!(is_let_in(client, "198.51.100.9", "bob", &format!("1234{}", code(0))), "and it was not spent");
}

#[test]
fn a_slowed_source_waits_its_turn_and_holds_up_nobody_else() {
    let server = server();
    let client = &server.client;
    spray(&server);
    let started = Instant::now();
    assert!(is_let_in(client, SPRAYER, "alice", &format!("1234{}", code(0))), "right is right");
    let base = &client.base;
    std::thread::scope(|scope| {
        let late = scope.spawn(|| {
            let accepted = is_let_in(&Client::new(base), SPRAYER, "alice", &format!("1234{}", code(1)));
            (accepted, started.elapsed())
        });
        let others =
            (2..12).map(|counter| is_let_in(client, "192.0.2.1", "bob", &format!("1234{}", code(counter))));
        assert_eq!(others.filter(|accepted| *accepted).count(), 10);
        assert!(!late.is_finished(), "the others were answered while it waited");
        let (accepted, waited) = late.join().unwrap();
        assert!(accepted);
        assert!(waited >= Duration::from_secs(2), "{waited:?}");
    });
}

#[test]
fn more_than_a_few_waiting_attempts_of_a_source_are_turned_away_at_once() {
    let server = server();
    spray(&server);
    let base = &server.client.base;
    let waited: Vec<Duration> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..9)
            .map(|number| {
                scope.spawn(move || {
                    let (client, started) = (Client::new(base), Instant::now());
                    assert!(!is_let_in(&client, SPRAYER, &format!("other{number}"), "1234000000"));
                    started.elapsed()
                })
            })
            .collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(count(&server.client, "auth/verify", "slowed"), 3, "six of nine take their turns");
    assert!(waited.iter().max().unwrap() >= &Duration::from_secs(10), "{waited:?}");
}
