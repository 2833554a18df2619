//! `token/import` of 100,000 tokens in CSV over HTTP: rows a second, and what the server needs of memory.
//!
//! The reference is the least that such a row costs: three INSERTs by rusqlite into the same tables with the same
//! indices, in transactions of 250 rows, without parsing, sealing, checks and counters.

use std::time::Instant;

use fobd::store::Location;
use rusqlite::Connection;
use serde_json::json;

use crate::caller::Caller;
use crate::data::Data;
use crate::server::Server;
use crate::table::{Limit, Table};
use crate::verify::csv;

/// Tokens of the file.
const ROWS: u64 = 100_000;

/// Prints its rows.
pub fn run(data: &Data, table: &mut Table) {
    let reference = bare(&data.copy());
    let server = Server::start(&data.copy());
    let mut caller = Caller::connect(&server.address, "admin");
    // A search, so that what every server has in memory counts as idle.
    caller.call("token/search", &json!({"max": 1}));
    let idle = server.memory("VmRSS");
    let params = json!({"attrs": {"product": "p1", "data": csv(0, ROWS)}, "return": ["id"]});
    let begun = Instant::now();
    let answer = caller.call("token/import", &params);
    let rate = ROWS as f64 / begun.elapsed().as_secs_f64();
    assert_eq!(answer["total"], json!(ROWS));
    table.row(
        &format!("import: CSV of {ROWS} tokens"),
        "rows/s",
        rate,
        Some(reference),
        Limit::AtLeast(50_000.0),
    );
    table.row("import: memory of the idle server", "MiB", idle, None, Limit::AtMost(30.0));
    let most = server.memory("VmHWM") - idle;
    table.row("import: memory above idle at most", "MiB", most, None, Limit::AtMost(64.0));
}

fn bare(location: &Location) -> f64 {
    let mut database = Connection::open(location.database()).unwrap();
    database.pragma_update(None, "synchronous", "FULL").unwrap();
    let begun = Instant::now();
    for first in (0..ROWS).step_by(250) {
        let transaction = database.transaction().unwrap();
        for number in first..first + 250 {
            let id = transaction
                .prepare_cached(
                    "INSERT INTO tokens (serial, identifier, product_id, repository_id, status, description,
                     created_ms, updated_ms, import_id) VALUES (?1, ?1, 1, 1, 'ACTIVE', '', 0, 0, 9)",
                )
                .unwrap()
                .insert([format!("IM{number:08}")])
                .unwrap();
            transaction
                .prepare_cached(
                    "INSERT INTO token_states (token_id, next_factor, drift_steps, needs_sync, failures)
                     VALUES (?1, 0, 0, 0, 0)",
                )
                .unwrap()
                .execute([id])
                .unwrap();
            transaction
                .prepare_cached(
                    "INSERT INTO credentials (token_id, kind, hash, digits, secret)
                     VALUES (?1, 'HOTP', 'SHA1', 6, ?2)",
                )
                .unwrap()
                .execute((id, [7; 53]))
                .unwrap();
        }
        transaction.commit().unwrap();
    }
    ROWS as f64 / begun.elapsed().as_secs_f64()
}
