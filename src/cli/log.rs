//! What the program writes to standard error, and in which form.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;

/// The log of `fobd serve`.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct LogArgs {
    /// Form of the log: `text` for people, `json` for programs, a line for each
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    pub log_format: Format,
    /// What is logged: this and what is worse. `debug` has a line for each request
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t)]
    pub log_level: Level,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A line of text.
    #[default]
    Text,
    /// A JSON object on a line.
    Json,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Level {
    /// The server cannot do what it should.
    Error,
    /// Somebody should look.
    Warn,
    /// Starts, stops and refused requests.
    #[default]
    Info,
    /// Each request.
    Debug,
    /// Everything.
    Trace,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

impl LogArgs {
    /// Sets the log of this process up, once.
    pub fn start(self) {
        let log = tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_max_level(LevelFilter::from(self.log_level))
            // It would panic where it says that standard error takes nothing, for example on a full disk.
            .log_internal_errors(false);
        match self.log_format {
            // Colours are for people: a log in a file or a journal is read by programs.
            Format::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
            // The span says it all; the list of spans would say it twice.
            Format::Json => log.json().with_span_list(false).init(),
        }
    }
}
