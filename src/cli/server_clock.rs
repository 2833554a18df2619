//! `fobd clock`: whether the server trusts its own clock, and an admin's word that it can.

use serde_json::{Value, json};

use super::device::confirm;
use super::error::{CliError, Outcome};
use super::output;
use super::session::Session;

/// `fobd clock`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ClockCommand {
    /// Show what the server's clock says and whether it is trusted.
    #[command(after_help = "Example:\n  fobd clock status || echo 'look at the clock of the server'")]
    Status,
    /// Say that the server's clock is right as it is. Compare it with another one first.
    #[command(after_help = "Example:\n  fobd clock accept")]
    Accept {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

impl ClockCommand {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        let method = match self {
            Self::Status => "clock/get",
            Self::Accept { yes } => {
                let clock = session.call("clock/get", &json!({}))?;
                let time = output::printable(clock["time"].as_str().unwrap_or_default());
                if !yes {
                    confirm(
                        session,
                        &format!("Is {time} the right time, within a second or two? Type yes: "),
                    )?;
                }
                "clock/accept"
            }
        };
        let result = session.call(method, &json!({}))?;
        let trusted = result["trusted"].as_bool().ok_or(CliError::Reply { method, member: "trusted" })?;
        session.show(&result, words);
        Ok(if trusted { Outcome::Done } else { Outcome::Trouble })
    }
}

fn words(clock: &Value) -> String {
    let text = |name: &str| output::printable(clock[name].as_str().unwrap_or_default());
    match clock["problem"].as_str() {
        None => format!("{}: the clock is trusted\n", text("time")),
        Some(_) => format!(
            "{}: the clock is suspect: {} (noticed at {})\nTime-based passcodes are refused until it is right again. \
             If this is the right time: fobd clock accept\n",
            text("time"),
            text("problem"),
            text("since")
        ),
    }
}
