//! The program `fobd`: reads the command line and hands over.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
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
    // Colours are for people: a log in a file or a journal is read by programs.
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        // It would panic where it says that standard error takes nothing, for example on a full disk.
        .log_internal_errors(false)
        .init();
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
