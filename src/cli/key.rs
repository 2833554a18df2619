//! `fobd key`: the keys that seal the database, and their change.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::error::{CliError, Outcome};
use super::output::printable;
use super::session::{Session, put};
use crate::store::StoreError;
use crate::store::sealing::MasterKey;

/// `fobd key`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Make a file with a new master key. Needs no server.
    #[command(after_help = "Example:\n  fobd key new /etc/fobd/master-2.key")]
    New {
        /// The file, which must not be there yet.
        file: PathBuf,
    },
    /// Change master key and data key, and seal all secrets anew, while logins go on.
    #[command(after_help = "Examples:
  fobd key rotate
      the server puts the new master key into the place of the old one
  fobd key new /etc/fobd/master-2.key
  fobd key rotate --new-key-file /etc/fobd/master-2.key
      where the server may not write its key file: it goes on once it is started with the new one

Backups that were made before open with the old master key only: keep a copy of that key with them.")]
    Rotate(RotateArgs),
    /// Show which master key is in use, and how a change stands.
    #[command(after_help = "Example:\n  fobd key status")]
    Status,
    /// Give up a change that waits for a start with the new key.
    #[command(after_help = "Example:\n  fobd key abandon")]
    Abandon,
}

/// How keys are changed.
#[derive(Clone, Debug, clap::Args)]
pub struct RotateArgs {
    /// File on the server's machine with the new master key; the server only reads it.
    #[arg(long, value_name = "FILE")]
    new_key_file: Option<PathBuf>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Do not wait for the end.
    #[arg(long)]
    no_wait: bool,
}

impl KeyCommand {
    /// Runs a command that needs no server; `None` if it needs one.
    pub(super) fn offline(&self, as_json: bool, out: &mut dyn Write) -> Option<Result<Outcome, CliError>> {
        match self {
            Self::New { file } => Some(new_key(file, as_json, out)),
            _ => None,
        }
    }

    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::Rotate(args) => args.run(session),
            Self::Status => {
                let status = session.call("key/status", &json!({}))?;
                Ok(session.show(&status, |status| format!("{}\n", lines(status))))
            }
            Self::Abandon => {
                let result = session.call("key/rotate", &json!({ "abandon": true }))?;
                Ok(session.show(&result, |result| format!("master key {} stays\n", text(result, "oldKeyId"))))
            }
            // Done already, without a server.
            Self::New { .. } => Ok(Outcome::Done),
        }
    }
}

fn new_key(file: &Path, as_json: bool, out: &mut dyn Write) -> Result<Outcome, CliError> {
    if file.exists() {
        let source = std::io::ErrorKind::AlreadyExists.into();
        return Err(CliError::Write { path: file.to_owned(), source });
    }
    let id = MasterKey::make(file).map_err(StoreError::from)?.id();
    let file = file.display().to_string();
    let text = if as_json {
        format!("{:#}\n", json!({ "keyId": id, "keyFile": file }))
    } else {
        format!("master key {id} is in {}: keep a copy of it elsewhere\n", printable(&file))
    };
    let _ = out.write_all(text.as_bytes());
    Ok(Outcome::Done)
}

impl RotateArgs {
    fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        if !self.yes {
            let question = "Backups made until now open with the present master key only: keep a copy of it with \
                            them. Change the keys? [y/N] ";
            let answer = session.ask.line(question).map_err(CliError::Input)?.unwrap_or_default();
            if !matches!(answer.trim(), "y" | "yes") {
                return Err(CliError::NotConfirmed);
            }
        }
        let mut params = Map::new();
        put(&mut params, "newKeyFile", self.new_key_file.as_ref().map(|file| file.display().to_string()));
        let begun = session.call("key/rotate", &Value::Object(params))?;
        if begun["state"] == "waiting" {
            session.note(&format!(
                "both keys open the database now; the change goes on once the server is started with {}",
                text(&begun, "keyFile")
            ));
            session.show(&begun, |_| String::new());
            return Ok(Outcome::Unfinished);
        }
        session.note(&format!(
            "master key {} is in {}: keep a copy of it elsewhere",
            text(&begun, "keyId"),
            text(&begun, "keyFile")
        ));
        if self.no_wait {
            session.show(&begun, |_| String::new());
            return Ok(Outcome::Unfinished);
        }
        follow(session)
    }
}

/// Waits for the end of a change, and tells how far it is.
fn follow(session: &mut Session<'_>) -> Result<Outcome, CliError> {
    let mut told = String::new();
    loop {
        let status = session.call("key/status", &json!({}))?;
        if status["state"] == "idle" {
            let outcome = session.show(&status, |status| format!("{}\n", lines(status)));
            return Ok(if status["damaged"] == 0 { outcome } else { Outcome::Trouble });
        }
        let line = lines(&status);
        if line != told {
            session.progress("working", &line);
            told = line;
        }
        std::thread::sleep(session.poll);
    }
}

fn text(value: &Value, member: &str) -> String {
    printable(value[member].as_str().unwrap_or_default())
}

fn lines(status: &Value) -> String {
    let key = format!("master key {}", text(status, "keyId"));
    let (done, total) = (&status["done"], &status["total"]);
    let damaged = match &status["damaged"] {
        count if *count == 0 => String::new(),
        count => format!("; {count} do not open, and stay as they were, with the old data key"),
    };
    match status["state"].as_str() {
        Some("working") => format!("{done} of {total} values sealed anew{damaged}"),
        Some("waiting") => format!("{key}; {} waits for a start with it", text(status, "nextKeyId")),
        _ if *total == 0 => key,
        _ => format!("{key}; {done} of {total} values were sealed anew{damaged}"),
    }
}
