//! `kill -9` at random moments of a change of keys, under load: every start opens the database, the change comes to its
//! end, every token still verifies, and no passcode is accepted twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::rotate::wait_until_idle;
use super::{hotp, is_accepted, with_tokens};
use crate::support::client::Client;
use crate::support::program::Installation;

const ROUNDS: u64 = 6;
/// So many that sealing them anew takes longer than the longest pause.
const TOKENS: usize = 4000;
/// Those that are verified.
const VERIFIED: usize = 12;

#[test]
fn a_kill_9_while_keys_are_changed_loses_no_token() {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let installation = Installation::new();
    let mut server = with_tokens(&installation, TOKENS);
    let mut next = [0_u64; VERIFIED];
    let mut cut_off = 0;
    for round in 0..ROUNDS {
        let killed = AtomicBool::new(false);
        let pause = Duration::from_millis((u64::from(seed) / 1000 * (round + 1) * 7919) % 400);
        let base = server.client.base.clone();
        std::thread::scope(|scope| {
            for (number, next) in next.iter_mut().enumerate() {
                let (base, killed) = (&base, &killed);
                scope.spawn(move || {
                    let client = Client::new(base);
                    let serial = format!("S{}", number + 1);
                    loop {
                        let question =
                            json!({"token": {"serial": serial}, "credential": {"otp": hotp(*next)}});
                        match client.try_call("auth/verify", &question) {
                            Ok(answer) => {
                                assert_eq!(answer, Ok(json!({"accepted": true})), "{serial}: {next}")
                            }
                            Err(error) => {
                                assert!(killed.load(Ordering::SeqCst), "{error}");
                                // Spent or not, nobody knows; the one after it is good in any case.
                                *next += 1;
                                return;
                            }
                        }
                        *next += 1;
                    }
                });
            }
            let client = Client::new(&base);
            scope.spawn(move || drop(client.try_call("key/rotate", &json!({}))));
            std::thread::sleep(pause);
            killed.store(true, Ordering::SeqCst);
            server.kill_9();
        });
        // A second crash, somewhere in the start that goes on with it.
        let mut starting = installation.spawn();
        std::thread::sleep(pause / 4);
        starting.kill().expect("kill");
        starting.wait().expect("wait");
        server = installation.start();
        cut_off += usize::from(server.client.ok("key/status", json!({}))["state"] != "idle");
        wait_until_idle(&server.client);
        for (number, next) in next.iter_mut().enumerate() {
            let serial = format!("S{}", number + 1);
            if let Some(last) = next.checked_sub(2) {
                assert!(!is_accepted(&server.client, &serial, &hotp(last)), "{serial}: {last} again");
            }
            assert!(is_accepted(&server.client, &serial, &hotp(*next)), "{serial}: {next} is fresh");
            *next += 1;
        }
        assert!(is_accepted(&server.client, &format!("S{TOKENS}"), &hotp(round)), "the last one");
    }
    println!("{ROUNDS} crashes, {cut_off} of them found a change of keys under way");
    server.stop();
    crate::audit::assert_intact(&installation.database());
}
