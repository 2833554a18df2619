//! `kill -9` between a request and its repetition: decision and memory are of one commit.

use std::time::Duration;

use serde_json::json;

use super::{code, count};
use crate::support::client::Client;
use crate::support::program::Installation;
use crate::support::{alice, furnish, give_alice_a_token};

const ROUNDS: u64 = 12;

/// Wherever the kill hits, the client that asks again is let in: either nothing was decided, or it is told what was.
#[test]
fn who_asks_again_after_a_crash_is_let_in_whenever_it_came() {
    let installation = Installation::new();
    let mut server = installation.start();
    furnish(&server.client);
    give_alice_a_token(&server.client, "1001");
    for round in 0..ROUNDS {
        let typed = format!("1234{}", code(round));
        let question =
            json!({"user": alice(), "credential": {"otp": typed}, "requestId": format!("r-{round}")});
        let base = server.client.base.clone();
        // Logs in first, so that the password is remembered and the question is answered at once.
        server.client.ok("token/get", json!({"token": {"serial": "1001"}}));
        let asked = std::thread::spawn({
            let question = question.clone();
            move || Client::new(&base).try_call("auth/verify", &question).map(|answer| answer.is_ok()).is_ok()
        });
        match round {
            // Certainly after the commit.
            0 => assert!(asked.join().unwrap()),
            // Wherever it is by then; only this moment is given, not what is waited for.
            _ => std::thread::sleep(Duration::from_micros(400 * round)),
        }
        server.kill_9();
        server = installation.start();
        let again = server.client.ok("auth/verify", question);
        assert_eq!(again["accepted"], true, "round {round}");
    }
    let decided = count(&server.client, "auth/verify", "accepted");
    let told_again = count(&server.client, "auth/verify", "resent");
    assert_eq!(decided as u64, ROUNDS, "each was accepted once");
    assert!(told_again >= 1, "the first was decided before the kill");
    server.stop();
}
