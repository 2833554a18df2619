//! From start to ready, and what an idle server needs of memory.

use std::time::Instant;

use crate::caller::Caller;
use crate::data::Data;
use crate::server::Server;
use crate::table::{Limit, Table};

/// Prints its rows.
pub fn run(data: &Data, table: &mut Table) {
    let location = data.copy();
    let begun = Instant::now();
    let server = Server::start(&location);
    let ready = begun.elapsed().as_secs_f64();
    let what = format!("start: to ready with {} tokens", data.tokens);
    table.row(&what, "s", ready, None, Limit::AtMost(0.5));
    Caller::connect(&server.address, "admin").call("token/search", &serde_json::json!({"max": 1}));
    let what = format!("start: memory of the idle server with {} tokens", data.tokens);
    table.row(&what, "MiB", server.memory("VmRSS"), None, Limit::AtMost(30.0));
}
