//! `token/find`: a fob by its passcode among 100,000, and what a login feels of it meanwhile.
//!
//! The reference is one core that computes as many passcodes, without a database.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fobd::otp::credential::{Credential, Parameters};
use fobd::otp::secret::Secret;
use serde_json::{Value as Json, json};

use crate::caller::Caller;
use crate::data::{self, Data};
use crate::server::Server;
use crate::table::{Limit, Table, quantile};

/// Tokens that are searched at most, for the figure that has a limit.
const TOKENS: u64 = 100_000;
/// How long that may take, in milliseconds.
const LIMIT: Limit = Limit::AtMost(300.0);
/// Presses ahead.
const WINDOW: u64 = 10;

/// Prints its rows.
pub fn run(data: &Data, table: &mut Table) {
    let location = data.copy();
    let server = Server::start(&location);
    let tokens = TOKENS.min(data.tokens);
    let number = tokens / 2;
    let credential =
        Credential { secret: Secret::new(data::secret(number)).unwrap(), parameters: Parameters::HOTP };
    let passcode = credential.generator().at(3).as_str().to_owned();
    // Ids follow the numbers.
    let params = json!({
        "credential": passcode, "window": WINDOW, "match": [["id", "<=", format!("t{tokens}")]],
    });
    let reference = on_one_core(&credential, tokens);
    let mut caller = Caller::connect(&server.address, "admin");
    let mut times = Vec::new();
    for _ in 0..9 {
        let begun = Instant::now();
        let answer = caller.call("token/find", &params);
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        assert_eq!(answer["searched"], tokens);
        let rows = answer["rows"].as_array().unwrap();
        assert!(rows.iter().any(|row| row["serial"] == data::serial(number)), "{answer}");
    }
    times.sort_by(f64::total_cmp);
    let what = format!("find: {tokens} tokens x window {WINDOW}, p50");
    table.row(&what, "ms", quantile(&times, 0.5), Some(reference), LIMIT);
    beside(&server, &params, table);
}

/// The same number of passcodes, one after the other.
fn on_one_core(credential: &Credential, tokens: u64) -> f64 {
    let begun = Instant::now();
    for _ in 0..tokens {
        let generator = credential.generator();
        for counter in 0..=WINDOW {
            std::hint::black_box(generator.at(counter));
        }
    }
    begun.elapsed().as_secs_f64() * 1e3
}

/// Verifies on one connection, without and with searches beside them.
fn beside(server: &Server, params: &Json, table: &mut Table) {
    let mut verifier = Caller::connect(&server.address, "verifier");
    let mut verify = |count: usize| {
        let question =
            json!({"user": {"domain.name": "bench", "loginName": "u1"}, "credential": {"otp": "x"}});
        let mut times: Vec<f64> = (0..count)
            .map(|_| {
                let begun = Instant::now();
                verifier.call("auth/verify", &question);
                begun.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        (quantile(&times, 0.5), quantile(&times, 0.99))
    };
    let alone = verify(500);
    let over = AtomicBool::new(false);
    let beside = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut caller = Caller::connect(&server.address, "admin");
            for _ in 0..10 {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                caller.call("token/find", params);
            }
        });
        std::thread::sleep(Duration::from_millis(50));
        let beside = verify(200);
        over.store(true, Ordering::Relaxed);
        beside
    });
    table.row("find: one verify beside it, p50", "ms", beside.0, Some(alone.0), Limit::None);
    table.row("find: one verify beside it, p99", "ms", beside.1, Some(alone.1), Limit::None);
}
