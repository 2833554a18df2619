//! `fobd bench`: how fast this machine verifies, with its own disk, measured by the program itself.
//!
//! The server and the database are made for the measurement, in a directory of their own, and taken away after it:
//! nothing that exists is read or changed. `make bench` uses the same load ([`load`]).

pub mod load;
mod place;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use self::load::{Load, Population};
use self::place::Place;

/// Measures what this machine can do.
#[derive(clap::Args, Debug)]
pub struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

/// What is measured.
#[derive(clap::Subcommand, Debug)]
enum BenchCommand {
    /// Verifies with PIN, each durable before it is answered, against a server and a database made for it.
    Verify(VerifyBench),
}

/// `fobd bench verify`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  fobd bench verify
  fobd bench verify --connections 256 --seconds 30 --dir /var/lib/fobd

The load runs on the same machine and takes its part of the processors. A directory on a disk in memory says nothing of
how fast changes become durable: name one on the disk that the database will be on.")]
struct VerifyBench {
    /// Connections that ask at the same time, each for its own users
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
    /// How long to measure; for less than the time that a password is remembered
    #[arg(long, default_value_t = 10, value_name = "S", value_parser = clap::value_parser!(u16).range(1..=240))]
    seconds: u16,
    /// Tokens in the database, each with a user; asked for at random
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..=5_000_000))]
    tokens: u32,
    /// Where to make the directory for it [default: the system's directory for temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If the place for it cannot be made, the server does not start, or a passcode was not accepted.
pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    match &args.command {
        BenchCommand::Verify(args) => verify(args),
    }
}

fn verify(args: &VerifyBench) -> anyhow::Result<()> {
    let users = u64::from(args.tokens);
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    eprintln!("making a database of {users} tokens in {}", parent.display());
    let place = Place::make(&parent, users)?;
    let disk = fdatasync(place.path()).context("cannot measure the disk")?;
    let server = place.serve()?;
    let population = Population { domain: place::DOMAIN, pin: place::PIN, users, secret: place::secret };
    let login = (place::OPERATOR, place::PASSWORD);
    let mut load = Load::connect(&server.address, login, population, args.connections.into())?;
    eprintln!("measuring for {} s", args.seconds);
    // Not counted: the first verifies of a token are slower than all later ones.
    load.run(Duration::from_secs(2))?;
    let answers = load.run(Duration::from_secs(args.seconds.into()))?;
    let [p50, p99] = [0.5, 0.99].map(|part| answers.quantile(part).as_secs_f64() * 1e3);
    let disk = disk.as_secs_f64() * 1e3;
    let mut out = std::io::stdout();
    if args.json {
        let result = json!({
            "tokens": users,
            "connections": args.connections,
            "verifiesPerSecond": answers.rate(),
            "p50Milliseconds": p50,
            "p99Milliseconds": p99,
            "fdatasyncMilliseconds": disk,
        });
        writeln!(out, "{result}")?;
    } else {
        writeln!(
            out,
            "verifies        {:.0} per second, by {} connections",
            answers.rate(),
            args.connections
        )?;
        writeln!(out, "answered after  {p50:.2} ms (p50), {p99:.2} ms (p99)")?;
        writeln!(out, "the disk        {disk:.2} ms for 4 KiB (fdatasync, p50)")?;
    }
    Ok(())
}

/// Median of appending 4 KiB to a file and waiting for the disk.
///
/// # Errors
/// If the directory cannot be written.
pub fn fdatasync(dir: &std::path::Path) -> std::io::Result<Duration> {
    let path = dir.join("fdatasync");
    let mut file = std::fs::File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    std::fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}
