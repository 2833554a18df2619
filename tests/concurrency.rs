//! Single use when many ask at once: real connections to the shipped program, all let go at the same moment.

use std::sync::Barrier;
use std::time::{SystemTime, UNIX_EPOCH};

use fobd::otp::algorithm::Algorithm;
use serde_json::{Value as Json, json};

use crate::otp_oracle::passcode;
use crate::support::client::Client;
use crate::support::program::{Installation, Server};
use crate::support::{RFC_SECRET_HEX, alice, furnish, give_alice_a_token, import_hotp};

const CONNECTIONS: usize = 64;
const SECRET: &[u8] = b"12345678901234567890";

fn server() -> (Installation, Server) {
    let installation = Installation::new();
    let server = installation.start();
    furnish(&server.client);
    (installation, server)
}

/// Asks all questions at once, each over a connection of its own that is open already. True for each that was
/// accepted; every second one goes in the other envelope if `mixed`.
fn ask_at_once(client: &Client, questions: &[Json], mixed: bool) -> Vec<bool> {
    let (ready, base) = (Barrier::new(questions.len()), client.base.as_str());
    std::thread::scope(|scope| {
        let ready = &ready;
        let asked: Vec<_> = questions
            .iter()
            .enumerate()
            .map(|(number, question)| {
                scope.spawn(move || {
                    let client = Client::new(base);
                    // Opens the connection.
                    assert_eq!(client.get("/healthz").expect("an answer").0, 200);
                    ready.wait();
                    if mixed && number % 2 == 1 {
                        let answer = client.das5("auth/verify", question);
                        match answer["error"].as_i64() {
                            Some(0) => true,
                            Some(1010) => false,
                            _ => panic!("{answer}"),
                        }
                    } else {
                        let answer = client.ok("auth/verify", question.clone());
                        answer["accepted"].as_bool().expect("accepted or not")
                    }
                })
            })
            .collect();
        asked.into_iter().map(|asked| asked.join().expect("the client ends well")).collect()
    })
}

fn accepted(answers: &[bool]) -> usize {
    answers.iter().filter(|accepted| **accepted).count()
}

/// Where the token stands.
fn counter_of(client: &Client, serial: &str) -> Json {
    client.ok("token/get", json!({"token": {"serial": serial}, "return": ["counter", "failCount"]}))
}

#[test]
fn one_passcode_sent_by_64_connections_at_once_is_accepted_once() {
    let (_installation, server) = server();
    give_alice_a_token(&server.client, "1001");
    for (counter, mixed) in [(0, false), (1, true)] {
        let typed = format!("1234{}", passcode(SECRET, Algorithm::Sha1, 6, counter));
        let question = json!({"user": alice(), "credential": {"otp": typed}});
        let answers = ask_at_once(&server.client, &vec![question; CONNECTIONS], mixed);
        assert_eq!(accepted(&answers), 1, "counter {counter}, mixed envelopes: {mixed}");
        let expected = json!({"counter": counter + 1, "failCount": 0});
        assert_eq!(counter_of(&server.client, "1001"), expected);
    }
    server.stop();
}

#[test]
fn one_totp_passcode_sent_by_64_connections_at_once_is_accepted_once() {
    let (_installation, server) = server();
    let product = json!({"manufacturerCode": "YK", "productCode": "OT"});
    let data = format!("2001,{RFC_SECRET_HEX},totp,6,30\n");
    server.client.ok("token/import", json!({"attrs": {"product": product, "data": data}}));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    // A step that ends meanwhile is still within the window, and still spent.
    let typed = passcode(SECRET, Algorithm::Sha1, 6, now / 30);
    let question = json!({"token": {"serial": "2001"}, "credential": {"otp": typed}});
    let answers = ask_at_once(&server.client, &vec![question; CONNECTIONS], true);
    assert_eq!(accepted(&answers), 1);
    server.stop();
}

#[test]
fn neighbouring_passcodes_sent_at_once_are_accepted_in_rising_order_only() {
    let (_installation, server) = server();
    give_alice_a_token(&server.client, "1001");
    let questions: Vec<Json> = (0..8_u64)
        .cycle()
        .take(CONNECTIONS)
        .map(|counter| {
            let typed = format!("1234{}", passcode(SECRET, Algorithm::Sha1, 6, counter));
            json!({"user": alice(), "credential": {"otp": typed}})
        })
        .collect();
    let answers = ask_at_once(&server.client, &questions, false);
    let mut let_in: Vec<usize> = (0..CONNECTIONS).filter(|n| answers[*n]).map(|n| n % 8).collect();
    let_in.sort_unstable();
    let once = let_in.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(once && !let_in.is_empty(), "each at most once: {let_in:?}");
    // The counter stands behind the last one that was let in, and so nothing older is.
    let last = let_in.last().expect("one was let in") + 1;
    assert_eq!(counter_of(&server.client, "1001")["counter"], json!(last));
    server.stop();
}

#[test]
fn a_token_shared_by_two_users_accepts_a_passcode_from_one_of_them() {
    let (_installation, server) = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let bob = json!({"domain": {"name": "acme"}, "loginName": "bob"});
    client.ok("user/create", json!({"attrs": bob}));
    let shared = json!({"token": {"serial": "1001"}, "user": bob, "pin": "5678", "isOwner": false});
    client.ok("tokenAssignment/create", json!({ "attrs": shared }));
    for counter in 0..4 {
        let code = passcode(SECRET, Algorithm::Sha1, 6, counter);
        let of =
            |user: &Json, pin: &str| json!({"user": user, "credential": {"otp": format!("{pin}{code}")}});
        let questions: Vec<Json> = (0..CONNECTIONS)
            .map(|n| if n % 2 == 0 { of(&alice(), "1234") } else { of(&bob, "5678") })
            .collect();
        assert_eq!(accepted(&ask_at_once(client, &questions, true)), 1, "counter {counter}");
    }
    server.stop();
}

#[test]
fn verifies_syncs_and_resets_at_once_spend_each_passcode_once() {
    let (_installation, server) = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    client.ok("policy/set", json!({"attrs": {"autoResync": true, "maxFailures": 100}}));
    let code = |counter| passcode(SECRET, Algorithm::Sha1, 6, counter);
    let token = json!({"serial": "1001"});
    for round in 0..6_u64 {
        // Far out of the window, so that only a resync of either kind reaches it.
        let first = 100 * (round + 1);
        let verify = |counter| {
            let credential = json!({"otp": format!("1234{}", code(counter))});
            ("auth/verify", json!({"user": alice(), "credential": credential}))
        };
        let pair = format!("{},{}", code(first), code(first + 1));
        let calls = [
            verify(first),
            verify(first + 1),
            ("token/syncToken", json!({"token": token, "credential": pair})),
            ("token/reset", json!({"token": token})),
        ];
        let (ready, base) = (Barrier::new(32), client.base.as_str());
        let spent: Vec<(usize, bool)> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..32)
                .map(|n| {
                    let (ready, (method, params)) = (&ready, calls[n % 4].clone());
                    scope.spawn(move || {
                        let client = Client::new(base);
                        assert_eq!(client.get("/healthz").expect("an answer").0, 200);
                        ready.wait();
                        let answer = client.call(method, params);
                        (n % 4, answer.is_ok_and(|answer| answer.get("accepted") != Some(&json!(false))))
                    })
                })
                .collect();
            asked.into_iter().map(|asked| asked.join().expect("the client ends well")).collect()
        });
        let times = |which: usize| spent.iter().filter(|(call, done)| *call == which && *done).count();
        // The second passcode is spent by a login that completes the pair, or by the sync: never by both. The first
        // one alone is never accepted.
        assert_eq!((times(0), times(1) + times(2)), (0, 1), "round {round}: {spent:?}");
        assert_eq!(counter_of(client, "1001")["counter"], json!(first + 2));
    }
    server.stop();
}

#[test]
fn the_tokens_of_64_users_are_each_accepted_once_whatever_the_others_do() {
    let (_installation, server) = server();
    let client = &server.client;
    let secrets: Vec<String> = (0..CONNECTIONS).map(|n| format!("{n:020}")).collect();
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let csv: String =
        secrets.iter().enumerate().map(|(n, secret)| format!("S{n},{}\n", hex(secret))).collect();
    import_hotp(client, &csv);
    let mut questions = Vec::new();
    for (n, secret) in secrets.iter().enumerate() {
        let user = json!({"domain": {"name": "acme"}, "loginName": format!("user{n}")});
        client.ok("user/create", json!({"attrs": user}));
        let pin = format!("{:04}", n + 1000);
        client.ok(
            "token/assign",
            json!({"token": {"serial": format!("S{n}")}, "user": user, "attrs": {"pin": pin}}),
        );
        let typed = format!("{pin}{}", passcode(secret.as_bytes(), Algorithm::Sha1, 6, 0));
        questions.push(json!({"user": user, "credential": {"otp": typed}}));
    }
    assert_eq!(accepted(&ask_at_once(client, &questions, false)), CONNECTIONS);
    assert_eq!(accepted(&ask_at_once(client, &questions, true)), 0, "each was spent");
    server.stop();
}
