//! `auth/verify` over HTTP by 16 connections: alone, and while the same server writes 50,000 rows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fobd::cli::bench::fdatasync;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value as Json, json};
use sha1::Sha1;

use crate::caller::Caller;
use crate::data::{self, Data, PIN};
use crate::server::Server;
use crate::table::{Limit, Table, quantile};

/// Connections.
const CONNECTIONS: u64 = 16;
/// How long verifies run alone.
const ALONE: Duration = Duration::from_secs(5);
/// Rows of the work beside.
const ROWS: u64 = 50_000;
/// How often that work is done.
const TIMES: u64 = 3;

/// Prints its rows.
pub fn run(data: &Data, table: &mut Table) {
    let location = data.copy();
    table.row(
        "fdatasync of 4 KiB, p50",
        "ms",
        fdatasync(&location.data_dir).unwrap().as_secs_f64() * 1e3,
        None,
        Limit::None,
    );
    let server = Server::start(&location);
    let mut load = Load::new(data, &server.address);
    load.run(|| std::thread::sleep(Duration::from_millis(500)));
    let alone = load.run(|| std::thread::sleep(ALONE));
    let (p50, p99) = (quantile(&alone, 0.5), quantile(&alone, 0.99));
    let rate = alone.len() as f64 / ALONE.as_secs_f64();
    table.row("verify: 16 connections, alone", "per s", rate, None, Limit::None);
    table.row("verify: p50 alone", "ms", p50, None, Limit::None);
    table.row("verify: p99 alone", "ms", p99, None, Limit::None);
    // Each `run` has its own connections beside those of the load.
    let admin = |method: &str, params: Json| Caller::connect(&server.address, "admin").call(method, &params);
    let import = load.run(|| {
        for time in 0..TIMES {
            let params =
                json!({"attrs": {"product": "p1", "data": csv(time * ROWS, ROWS)}, "return": ["id"]});
            admin("token/import", params);
        }
    });
    rows(table, "token/import", &import, (p50, p99));
    admin("user/create", json!({"attrs": {"domain.name": "bench", "loginName": "stock"}}));
    let assign = load.run(|| {
        for time in 0..TIMES {
            admin("token/batchAssignTokens", json!({"attrs": {"csv": assignments(time * ROWS, ROWS)}}));
        }
    });
    rows(table, "token/batchAssignTokens", &assign, (p50, p99));
}

fn rows(table: &mut Table, beside: &str, times: &[f64], (p50, p99): (f64, f64)) {
    let name = |what: &str| format!("verify: {what} during {beside} of {ROWS} [{}]", times.len());
    table.row(&name("p50"), "ms", quantile(times, 0.5), Some(p50), Limit::None);
    table.row(&name("p99"), "ms", quantile(times, 0.99), Some(p99), Limit::TimesAtMost(3.0));
}

/// Lines for `token/import`: serials `IM<number>`.
pub fn csv(first: u64, rows: u64) -> String {
    let line = |number: u64| {
        let key: String = data::secret(number).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("IM{number:08},{key}\n")
    };
    (first..first + rows).map(line).collect()
}

/// Lines that assign what [`csv`] makes to one user.
fn assignments(first: u64, rows: u64) -> String {
    let mut text = "domain,loginName,manufacturerCode,productCode,serial,status,pin\n".to_owned();
    text.extend((first..first + rows).map(|number| format!("bench,stock,M1,C1,IM{number:08},ACTIVE,1234\n")));
    text
}

/// Connections that ask for users at random, each connection for its own.
struct Load {
    workers: Vec<Worker>,
}

struct Worker {
    caller: Caller,
    number: u64,
    users: u64,
    counters: HashMap<u64, u64>,
    dice: u64,
}

impl Load {
    fn new(data: &Data, address: &str) -> Self {
        let worker = |number| Worker {
            caller: Caller::connect(address, "verifier"),
            number,
            users: data.users() / CONNECTIONS,
            counters: HashMap::new(),
            dice: number,
        };
        Self { workers: (0..CONNECTIONS).map(worker).collect() }
    }

    /// Asks for as long as `beside` takes; returns the sorted times of all answers in milliseconds.
    fn run(&mut self, beside: impl FnOnce()) -> Vec<f64> {
        let stop = AtomicBool::new(false);
        let mut times: Vec<f64> = std::thread::scope(|scope| {
            let workers: Vec<_> = self
                .workers
                .iter_mut()
                .map(|worker| {
                    let stop = &stop;
                    scope.spawn(move || {
                        let mut times = Vec::new();
                        while !stop.load(Ordering::Relaxed) {
                            times.push(worker.verify());
                        }
                        times
                    })
                })
                .collect();
            beside();
            stop.store(true, Ordering::Relaxed);
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        times.sort_by(f64::total_cmp);
        times
    }
}

impl Worker {
    fn verify(&mut self) -> f64 {
        self.dice = data::scatter(self.dice.wrapping_add(self.number));
        let user = 1 + self.number * self.users + self.dice % self.users;
        let counter = self.counters.entry(user).or_default();
        let passcode = hotp(&data::secret(user), *counter);
        *counter += 1;
        let params = json!({
            "user": {"domain": {"name": "bench"}, "loginName": format!("u{user}")},
            "credential": {"otp": format!("{PIN}{passcode}")},
        });
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "auth/verify", "params": params}).to_string();
        let begun = Instant::now();
        let answer = self.caller.post(&body);
        let took = begun.elapsed().as_secs_f64() * 1e3;
        let answer: Json = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["result"]["accepted"], json!(true), "user {user}: {answer}");
        took
    }
}

/// RFC 4226, six digits.
fn hotp(secret: &[u8], counter: u64) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).unwrap();
    mac.update(&counter.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash[19] & 15);
    let four: [u8; 4] = hash[offset..offset + 4].try_into().unwrap();
    format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000)
}
