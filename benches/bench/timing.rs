//! Whether the time of an answer tells why a verify was refused: medians of five kinds of refusals, asked in turn beside
//! 64 connections that verify, and each kind twice, which shows what is noise.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fobd::cli::bench::load::{Load, Population};
use fobd::otp::credential::{Credential, Parameters};
use fobd::otp::secret::Secret;
use serde_json::{Value as Json, json};

use crate::caller::Caller;
use crate::data::{self, Data, PASSWORD, PIN};
use crate::server::Server;
use crate::table::{Limit, Table, quantile};

/// Questions of each kind, twice.
const TIMES: u64 = 300;
const KINDS: [&str; 5] = ["unknown user", "wrong PIN", "wrong passcode", "locked", "replayed"];

/// Prints its rows.
pub fn run(data: &Data, table: &mut Table) {
    let server = Server::start(&data.copy());
    // The last users are ours, the others those of the load.
    let others = data.users() / 2;
    let population = Population { domain: "bench", pin: PIN, users: others, secret: data::secret };
    let mut load = Load::connect(&server.address, ("verifier", PASSWORD), population, 64).unwrap();
    load.run(Duration::from_secs(1)).unwrap();
    let done = AtomicBool::new(false);
    let times = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                load.run(Duration::from_millis(500)).unwrap();
            }
        });
        let times = Questions::new(&server.address, others, data.users()).ask_all();
        done.store(true, Ordering::Relaxed);
        times
    });
    let medians = times.map(|twice| {
        twice.map(|mut times| {
            times.sort_by(f64::total_cmp);
            quantile(&times, 0.5)
        })
    });
    for (kind, [first, second]) in KINDS.into_iter().zip(medians) {
        table.row(&format!("timing: {kind}, p50, twice"), "ms", first, Some(second), Limit::None);
    }
    let means = medians.map(|[first, second]| f64::midpoint(first, second));
    let gap = means.iter().copied().fold(0.0, f64::max) - means.iter().copied().fold(f64::INFINITY, f64::min);
    let noise = medians.map(|[first, second]| (first - second).abs()).into_iter().fold(0.0, f64::max);
    table.row("timing: largest gap between kinds, beside the noise", "ms", gap, Some(noise), Limit::None);
}

struct Questions {
    caller: Caller,
    fresh: std::ops::RangeInclusive<u64>,
    locked: u64,
}

impl Questions {
    fn new(address: &str, others: u64, last: u64) -> Self {
        let mut this =
            Self { caller: Caller::connect(address, "verifier"), fresh: others + 1..=last - 1, locked: last };
        for number in 0..10 {
            this.ask(&question(last, &format!("{PIN}00000{number}")));
        }
        this
    }

    /// Every kind once in each round, and twice as many rounds as there are times, so that nothing but the kind differs.
    fn ask_all(mut self) -> [[Vec<f64>; 2]; 5] {
        let mut times: [[Vec<f64>; 2]; 5] = Default::default();
        for round in 0..2 * TIMES {
            for (kind, twice) in times.iter_mut().enumerate() {
                twice[round as usize % 2].push(self.refused(kind));
            }
        }
        times
    }

    fn refused(&mut self, kind: usize) -> f64 {
        let user = self.fresh.next().unwrap();
        let right = passcode(user);
        let wrong: String = right.bytes().map(|digit| char::from(b'0' + (digit - b'0' + 1) % 10)).collect();
        let asked = match kind {
            0 => question(10_000_000 + user, &format!("{PIN}{right}")),
            1 => question(user, &format!("9999{right}")),
            2 => question(user, &format!("{PIN}{wrong}")),
            3 => question(self.locked, &format!("{PIN}{right}")),
            _ => {
                let asked = question(user, &format!("{PIN}{right}"));
                assert!(self.ask(&asked).1, "the first time it is right");
                asked
            }
        };
        let (took, accepted) = self.ask(&asked);
        assert!(!accepted, "{}", KINDS[kind]);
        took
    }

    fn ask(&mut self, params: &Json) -> (f64, bool) {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "auth/verify", "params": params}).to_string();
        let begun = Instant::now();
        let answer = self.caller.post(&body);
        let took = begun.elapsed().as_secs_f64() * 1e3;
        let answer: Json = serde_json::from_slice(&answer).unwrap();
        (took, answer["result"]["accepted"].as_bool().unwrap())
    }
}

fn question(user: u64, typed: &str) -> Json {
    json!({"user": {"domain": {"name": "bench"}, "loginName": format!("u{user}")}, "credential": {"otp": typed}})
}

fn passcode(user: u64) -> String {
    let secret = Secret::new(data::secret(user)).unwrap();
    Credential { secret, parameters: Parameters::HOTP }.generator().at(0).as_str().to_owned()
}
