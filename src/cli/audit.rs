//! `fobd audit`: who did what, and whether the log of it is what it was.
//!
//! `verify`, and `key` of a file, work on files and need no server.

pub mod verify;

use std::io::{BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use self::verify::VerifyArgs;
use super::error::{CliError, Outcome};
use super::output::{self, Column, column};
use super::selector::User;
use super::session::{Session, put};
use crate::audit::{SignedHead, hex};
use crate::store::audit::copy::AuditCopy;

const ROWS: &[Column] = &[
    column("ROW", "sequence"),
    column("TIME", "time"),
    column("OPERATOR", "operator"),
    column("ACTION", "action"),
    column("TOKEN", "token"),
    column("USER", "user"),
    column("OUTCOME", "outcome"),
    column("DETAIL", "detail"),
];

/// `fobd audit`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum AuditCommand {
    /// Show rows of the log, the newest first.
    #[command(
        after_help = "Examples:\n  fobd audit search --token 12345678 --max 20\n  fobd audit search --by alice --from 2026-11-01T00:00:00Z"
    )]
    Search(SearchArgs),
    /// Write the whole log as lines of JSON, signed heads included.
    #[command(after_help = "Example:\n  fobd audit export --output audit.jsonl")]
    Export {
        /// Begin after this row: what an earlier export ended with.
        #[arg(long, value_name = "ROW")]
        after: Option<u64>,
        /// File to write, which must not be there yet [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Sign the end of the log and show that head: to be kept elsewhere.
    #[command(after_help = "Example:\n  fobd audit head >> heads.jsonl")]
    Head,
    /// Show the public key of the log.
    #[command(after_help = "Examples:\n  fobd audit key\n  fobd audit key fobd.db")]
    Key {
        /// A database file; without it the server is asked.
        file: Option<PathBuf>,
    },
    /// Check a copy of the database, or an export.
    #[command(
        after_help = "Examples:\n  fobd audit verify copy.db --head heads.jsonl --key key.txt\n  fobd audit export | fobd audit verify - --head heads.jsonl"
    )]
    Verify(VerifyArgs),
    /// Take old rows out of the log. The hash of the newest of them stays, signed.
    #[command(after_help = "Example:\n  fobd audit prune --before 2026-01-01T00:00:00Z --yes")]
    Prune {
        /// Rows from before this time go.
        #[arg(long, value_name = "TIME")]
        before: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// What to look for; all that is given must hold.
#[derive(Clone, Debug, clap::Args)]
pub struct SearchArgs {
    /// Rows from this time on, such as 2026-11-21T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Rows before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Rows of this operator.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Rows of this method, such as auth/verify.
    #[arg(long, value_name = "METHOD")]
    action: Option<String>,
    /// Rows about the token with this serial.
    #[arg(long, value_name = "SERIAL")]
    token: Option<String>,
    /// Rows about this user.
    #[arg(long, value_name = "DOMAIN\\LOGIN")]
    user: Option<User>,
    /// Rows that ended so, such as rejected.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// The oldest first.
    #[arg(long)]
    oldest_first: bool,
    /// Show at most this many.
    #[arg(long, default_value_t = 100, value_name = "N")]
    max: u32,
    /// Go on where an earlier answer ended.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl SearchArgs {
    fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        let mut params = Map::new();
        let texts = [
            ("from", &self.from),
            ("until", &self.until),
            ("operator", &self.by),
            ("action", &self.action),
            ("outcome", &self.outcome),
            ("cursor", &self.cursor),
        ];
        for (name, value) in texts {
            put(&mut params, name, value.clone());
        }
        put(&mut params, "token", self.token.as_ref().map(|serial| json!({ "serial": serial })));
        put(&mut params, "user", self.user.as_ref().map(User::selector));
        put(&mut params, "order", self.oldest_first.then_some("asc"));
        put(&mut params, "max", Some(self.max));
        let result = session.call("audit/search", &Value::Object(params))?;
        let outcome = session.table("audit/search", &result, ROWS)?;
        if let Some(cursor) = result["cursor"].as_str() {
            session.note(&format!("there are more: --cursor {cursor}"));
        }
        Ok(outcome)
    }
}

impl AuditCommand {
    /// Runs a command that needs no server; `None` if it needs one.
    pub(super) fn offline(
        &self,
        as_json: bool,
        out: &mut dyn Write,
        notes: &mut dyn Write,
    ) -> Option<Result<Outcome, CliError>> {
        match self {
            Self::Verify(args) => Some(args.run(as_json, out, notes)),
            Self::Key { file: Some(file) } => Some(key_of(file, as_json, out)),
            _ => None,
        }
    }

    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::Search(args) => args.run(session),
            Self::Export { after, output } => export(session, *after, output.as_ref()),
            Self::Head => {
                let head = head(session)?;
                // One line in either form: it is to be added to a file.
                let line = serde_json::to_string(&head).unwrap_or_default();
                let _ = writeln!(session.out(), "{line}");
                Ok(Outcome::Done)
            }
            Self::Key { .. } => {
                let key = hex(&head(session)?.key.0);
                Ok(session.show(&json!({ "key": key }), |_| format!("{key}\n")))
            }
            Self::Prune { before, yes } => {
                if !yes {
                    let question = format!("Take all audit rows from before {before} away? [y/N] ");
                    let answer = session.ask.line(&question).map_err(CliError::Input)?.unwrap_or_default();
                    if !matches!(answer.trim(), "y" | "yes") {
                        return Err(CliError::NotConfirmed);
                    }
                }
                let result = session.call("audit/prune", &json!({ "before": before }))?;
                Ok(session.show(&result, |result| format!("{} rows are gone\n", result["removed"])))
            }
            // Done already, without a server.
            Self::Verify(_) => Ok(Outcome::Done),
        }
    }
}

/// The newest head, signed by now.
fn head(session: &Session<'_>) -> Result<SignedHead, CliError> {
    let missing = CliError::Reply { method: "/audit/head", member: "head" };
    let Some(mut answer) = session.get("/audit/head")? else { return Err(missing) };
    let mut text = String::new();
    answer.read_to_string(&mut text).map_err(|_| CliError::CutOff)?;
    serde_json::from_str(&text).map_err(|_| missing)
}

fn key_of(file: &Path, as_json: bool, out: &mut dyn Write) -> Result<Outcome, CliError> {
    let (start, _, _) = AuditCopy::open(file)?.begin()?;
    let keys: Vec<String> = start.nodes.iter().map(|node| hex(&node.key.0)).collect();
    let text = match (as_json, keys.last()) {
        (true, Some(key)) => format!("{:#}\n", json!({ "key": key })),
        (false, Some(key)) => format!("{key}\n"),
        (_, None) => return Err(CliError::Empty { what: "log" }),
    };
    let _ = out.write_all(text.as_bytes());
    Ok(Outcome::Done)
}

fn export(
    session: &mut Session<'_>,
    after: Option<u64>,
    output: Option<&PathBuf>,
) -> Result<Outcome, CliError> {
    let path =
        after.map_or_else(|| "/audit/export".to_owned(), |after| format!("/audit/export?after={after}"));
    let Some(mut lines) = session.get(&path)? else { return Err(CliError::CutOff) };
    let Some(file) = output else {
        return copy(&mut lines, session.out()).map(|()| Outcome::Done);
    };
    let failed = |source| CliError::Write { path: file.clone(), source };
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).open(file).map_err(failed)?;
    let mut writer = BufWriter::new(opened);
    copy(&mut lines, &mut writer)?;
    writer.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
    session.note(&format!("written to {}", output::printable(&file.display().to_string())));
    Ok(Outcome::Done)
}

/// Copies all lines. The last one says that it is the last.
fn copy(from: &mut impl std::io::Read, to: &mut dyn Write) -> Result<(), CliError> {
    let mut reader = std::io::BufReader::new(from);
    let (mut line, mut ended) = (Vec::new(), false);
    loop {
        line.clear();
        let read = std::io::BufRead::read_until(&mut reader, b'\n', &mut line);
        if read.map_err(|_| CliError::CutOff)? == 0 {
            break;
        }
        ended = line.starts_with(b"{\"type\":\"end\"");
        if to.write_all(&line).is_err() {
            // A reader who has seen enough (`| head`) is no error, and a full disk shows at the end.
            return Ok(());
        }
    }
    let _ = to.flush();
    if ended { Ok(()) } else { Err(CliError::CutOff) }
}
