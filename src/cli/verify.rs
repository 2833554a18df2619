//! `fobd verify`: what a login would get.

use std::path::PathBuf;

use serde_json::json;

use super::EXIT_CODES;
use super::ask;
use super::error::{CliError, Outcome};
use super::selector::{self, User};
use super::session::Session;

const EXAMPLES: &str = "\
Examples:
  fobd verify 'acme\\alice'
  printf '1234755224\\n' | fobd verify 'acme\\alice' --token 10000042
  fobd verify 'acme\\alice' --new-pin-file new.pin";

/// `fobd verify`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct VerifyArgs {
    /// The user. PIN and passcode are read as one line from standard input, or asked for.
    #[arg(value_name = "DOMAIN\\LOGIN")]
    user: User,
    /// Only this token, by its serial.
    #[arg(long, value_name = "SERIAL")]
    token: Option<String>,
    /// The PIN is in this file, and only the passcode is read: for tokens whose policy says `pinPlacement=field`.
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Change the PIN as well, to the one in this file, if what is typed is right.
    #[arg(long, value_name = "FILE")]
    new_pin_file: Option<PathBuf>,
}

impl VerifyArgs {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        let what = if self.pin_file.is_some() { "passcode" } else { "PIN and passcode" };
        let typed = if session.ask.attended() {
            let no_terminal = |_| CliError::NoTerminal { what, instead: "standard input" };
            session.ask.hidden(&format!("{what}: ")).map_err(no_terminal)?
        } else {
            session.ask.line("").map_err(CliError::Input)?.unwrap_or_default()
        };
        let typed = ask::not_empty(what, typed)?;
        let mut params = json!({ "user": self.user.selector(), "credential": { "otp": typed.as_str() } });
        if let Some(path) = &self.pin_file {
            params["credential"]["pin"] = json!(ask::secret_file(path)?.as_str());
        }
        if let Some(serial) = &self.token {
            params["token"] = selector::token(serial);
        }
        if let Some(path) = &self.new_pin_file {
            params["newPin"] = json!(ask::secret_file(path)?.as_str());
        }
        let method = "auth/verify";
        let result = session.call(method, &params)?;
        let accepted = result["accepted"].as_bool().ok_or(CliError::Reply { method, member: "accepted" })?;
        let word = if accepted { "accepted\n" } else { "rejected\n" };
        if result["pinChangeRequired"] == true {
            session.note("the PIN must be changed first: the next passcode, with --new-pin-file");
        }
        session.show(&result, |_| word.to_owned());
        Ok(if accepted { Outcome::Done } else { Outcome::Rejected })
    }
}
