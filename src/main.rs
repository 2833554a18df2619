//! The program `fobd`: reads the command line and hands over.

use std::process::ExitCode;

use clap::Parser as _;
use fobd::cli::log::LogArgs;
use fobd::cli::{self, bench, init, restore, serve};

/// A hardware OTP token server: programs the tokens it verifies.
#[derive(clap::Parser)]
#[command(version, propagate_version = true, after_help = cli::EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
// Read once at the start: its size matters to nobody.
#[allow(clippy::large_enum_variant)]
enum Command {
    Init(init::InitArgs),
    Serve(serve::ServeArgs),
    Restore(restore::RestoreArgs),
    /// Measures what this machine can do.
    Bench(bench::BenchArgs),
    #[command(flatten)]
    Client(cli::Command),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let log = match &arguments.command {
        Command::Serve(args) => args.log,
        Command::Init(_) | Command::Restore(_) | Command::Bench(_) | Command::Client(_) => LogArgs::default(),
    };
    log.start();
    let outcome = match &arguments.command {
        Command::Init(args) => init::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Restore(args) => restore::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Client(command) => return cli::run(command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// The message and its causes, down to the first that is in the text already: many messages tell their own.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if text.contains(&cause) {
            break;
        }
        text = format!("{text}: {cause}");
    }
    text
}
