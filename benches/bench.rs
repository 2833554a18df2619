//! `make bench`: how fast fobd is, each figure beside a reference measured in the same run.
//!
//! A ratio between two figures of one run holds on any machine; a figure alone holds on none. Environment:
//! - `BENCH_TOKENS` (1000000): tokens in the database. It is filled once and kept under `target/bench-data`.
//! - `BENCH_ONLY`: runs only the parts whose name has this text: `search`, `verify`, `find`, `import`,
//!   `program`, `window`, `rate`, `timing`, `start`.
//!
//! The exit code says whether every figure with a limit keeps it.

// No product code: what fails here has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// Modules of a program have no outside.
#![allow(unreachable_pub)]

#[path = "bench/caller.rs"]
mod caller;
#[path = "bench/data.rs"]
mod data;
#[path = "bench/find.rs"]
mod find;
#[path = "bench/import.rs"]
mod import;
#[path = "bench/program.rs"]
mod program;
#[path = "bench/rate.rs"]
mod rate;
#[path = "bench/search.rs"]
mod search;
#[path = "bench/server.rs"]
mod server;
#[path = "bench/start.rs"]
mod start;
#[path = "bench/table.rs"]
mod table;
#[path = "bench/timing.rs"]
mod timing;
#[path = "bench/verify.rs"]
mod verify;
#[path = "bench/window.rs"]
mod window;

use std::process::ExitCode;

use data::Data;
use table::Table;

type Part = fn(&Data, &mut Table);

fn main() -> ExitCode {
    let tokens = match std::env::var("BENCH_TOKENS") {
        Ok(text) => text.parse().expect("BENCH_TOKENS must be a number"),
        Err(_) => 1_000_000,
    };
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let data = Data::prepare(tokens);
    let mut table = Table::start();
    let parts: [(&str, Part); 9] = [
        ("window", window::run),
        ("start", start::run),
        ("rate", rate::run),
        ("timing", timing::run),
        ("search", search::run),
        ("verify", verify::run),
        ("find", find::run),
        ("import", import::run),
        ("program", program::run),
    ];
    for (_, run) in parts.iter().filter(|(name, _)| name.contains(&only)) {
        run(&data, &mut table);
    }
    if table.all_kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
