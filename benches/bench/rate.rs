//! Durable verifies over HTTP with PIN, beside the limit of this machine: the least of what an empty handler answers on
//! the same connections, what the disk makes durable for so many connections, and what a bare loop writes of it.
//!
//! The load is that of `fobd bench verify`, for the reference as well. The bare loop commits as many at a time as the
//! server did, as it counts them itself.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use fobd::cli::bench::fdatasync;
use fobd::cli::bench::load::{Answers, Load, Population};
use fobd::store::Location;
use rusqlite::Connection;

use crate::caller::Caller;
use crate::data::{self, Data, PASSWORD, PIN};
use crate::server::Server;
use crate::table::{Limit, Table};

/// How long each is measured, after [`WARM`].
const MEASURED: Duration = Duration::from_secs(8);
const WARM: Duration = Duration::from_secs(3);
/// Part of the limit that must be reached.
const PART: f64 = 0.4;
/// Tokens of the small database.
const FEW: u64 = 1000;

/// Prints its rows.
pub fn run(data: &Data, table: &mut Table) {
    let location = data.copy();
    let disk = fdatasync(&location.data_dir).unwrap();
    let empty = empty_handler();
    for connections in [64, 256] {
        let handler = load(&empty, data.users(), connections, Duration::from_secs(4)).rate();
        let synced = connections as f64 / disk.as_secs_f64();
        let server = Server::start(&data.copy());
        let (answers, batch) = measured(&server, data.users(), connections);
        drop(server);
        let bare = bare(&data.copy(), data.users(), batch);
        let limit = handler.min(synced).min(bare);
        let name = |what: &str| format!("rate: {what}, {connections} connections");
        for (what, rate) in [("empty handler", handler), ("fdatasync", synced), ("bare SQLite", bare)] {
            table.row(&name(what), "per s", rate, None, Limit::None);
        }
        table.row(&name("verifies in a commit"), "", batch as f64, None, Limit::None);
        table.row(&name("durable verify"), "per s", answers.rate(), Some(limit), Limit::TimesAtLeast(PART));
        for (what, part) in [("p50", 0.5), ("p99", 0.99)] {
            table.row(&name(what), "ms", millis(answers.quantile(part)), None, Limit::None);
        }
    }
    let few = Data::prepare(FEW);
    let [small, large] = [&few, data].map(|data| {
        let server = Server::start(&data.copy());
        millis(load(&server.address, data.users(), 64, MEASURED).quantile(0.5))
    });
    let what = format!("rate: p50 with {} tokens, {} in use, beside {FEW}", data.tokens, data.users());
    table.row(&what, "ms", large, Some(small), Limit::TimesAtMost(1.3));
    let server = Server::start(&data.copy());
    let alone = millis(load(&server.address, data.users(), 1, MEASURED).quantile(0.5));
    let disk = millis(disk);
    table.row("rate: p50 of one connection alone", "ms", alone, Some(disk), Limit::AtMost(disk + 1.0));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The answers of a server that is warm, and how many verifies shared a commit meanwhile.
fn measured(server: &Server, users: u64, connections: u64) -> (Answers, u64) {
    let mut load = connect(&server.address, users, connections);
    load.run(WARM).unwrap();
    let mut caller = Caller::connect(&server.address, "admin");
    let mut committed =
        || ["sum", "count"].map(|part| caller.figure(&format!("fobd_commit_requests_{part}")));
    let [requests, commits] = committed();
    let answers = load.run(MEASURED).unwrap();
    let [requests, commits] = {
        let after = committed();
        [after[0] - requests, after[1] - commits]
    };
    (answers, (requests / commits).round().max(1.0) as u64)
}

fn load(address: &str, users: u64, connections: u64, lasting: Duration) -> Answers {
    let mut load = connect(address, users, connections);
    load.run(WARM).unwrap();
    load.run(lasting).unwrap()
}

fn connect(address: &str, users: u64, connections: u64) -> Load {
    let population = Population { domain: "bench", pin: PIN, users, secret: data::secret };
    Load::connect(address, ("verifier", PASSWORD), population, connections).unwrap()
}

/// A server that says yes to everything.
fn empty_handler() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let yes = || async { "{\"jsonrpc\":\"2.0\",\"result\":{\"accepted\":true},\"id\":1}" };
            let routes = Router::new().route("/rpc", post(yes));
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), routes).await.unwrap();
        });
    });
    address
}

/// One UPDATE of a token picked at random and one INSERT for each verify, so many in a transaction, and nothing else.
fn bare(location: &Location, users: u64, batch: u64) -> f64 {
    let mut database = Connection::open(location.database()).unwrap();
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    database.pragma_update(None, "synchronous", "FULL").unwrap();
    let (mut dice, mut done) = (1, 0);
    let begun = Instant::now();
    while begun.elapsed() < WARM {
        let transaction = database.transaction().unwrap();
        for _ in 0..batch {
            dice = data::scatter(dice);
            let id = (1 + dice % users) as i64;
            let update = "UPDATE token_states SET next_factor = next_factor + 1 WHERE token_id = ?1";
            transaction.prepare_cached(update).unwrap().execute([id]).unwrap();
            transaction
                .prepare_cached(
                    "INSERT INTO audit (at_ms, operator, action, token_id, user_id, outcome, detail, hash)
                     VALUES (1767225600000, 'verifier', 'auth/verify', ?1, ?1, 'accepted', '', ?2)",
                )
                .unwrap()
                .execute((id, [7_u8; 32]))
                .unwrap();
            done += 1;
        }
        transaction.commit().unwrap();
    }
    f64::from(done) / begun.elapsed().as_secs_f64()
}
