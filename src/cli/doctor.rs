//! `fobd device doctor`: why each known token can or cannot be reached, and what to do.
//!
//! `collect` looks (sysfs, device nodes, pcscd, processes, a server if one runs) and changes nothing; `diagnose`
//! judges what was found, and is pure. Permissions are those of whoever runs it: to learn what a server may, run it as
//! the server's user. Of a server it asks only what `device/list` tells.

mod collect;
mod diagnose;
mod facts;

use std::io::Write;
use std::path::PathBuf;

use fobd_drivers::models::udev::{Access, rules};
use serde_json::{Value, json};

use self::collect::Collector;
use self::diagnose::{Finding, Verdict, diagnose};
use self::facts::Server;
use super::client::{Client, ClientError};
use super::error::Outcome;
use super::output::printable;

/// `fobd device doctor`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  fobd device doctor
  sudo -u fobd fobd device doctor --json
  fobd device doctor --udev-rules group | sudo tee /etc/udev/rules.d/70-fobd.rules

Exit code 1: something is in the way. A running server is asked what it sees if --password-file is given.")]
pub struct DoctorArgs {
    /// Print the udev rules that open HID tokens, and do nothing else.
    #[arg(long, value_name = "WHOM", value_enum)]
    udev_rules: Option<Whom>,
    /// Look below this directory instead of at the machine itself; for tests.
    #[arg(long, hide = true, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Whom rules give access to.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Whom {
    /// The group fobd.
    Group,
    /// Whoever sits at the machine.
    Seat,
}

impl DoctorArgs {
    /// Looks and reports. The client is one for a server that may or may not be there; `None` if nobody can log in.
    pub(super) fn run(&self, client: Option<&Client>, as_json: bool, out: &mut dyn Write) -> Outcome {
        if let Some(whom) = self.udev_rules {
            let access = match whom {
                Whom::Group => Access::Group,
                Whom::Seat => Access::Seat,
            };
            let _ = out.write_all(rules(access).as_bytes());
            return Outcome::Done;
        }
        let mut facts = match &self.root {
            Some(root) => Collector::below(root).collect(),
            None => Collector::of_this_machine().collect(),
        };
        facts.server = ask(client);
        let findings = diagnose(&facts);
        let well = findings.iter().all(|finding| finding.verdict != Verdict::Problem);
        let shown = if as_json { format!("{:#}\n", as_object(&findings, well)) } else { as_text(&findings) };
        let _ = out.write_all(shown.as_bytes()).and_then(|()| out.flush());
        if well { Outcome::Done } else { Outcome::Trouble }
    }
}

/// What a server says of its devices, if there is one and it lets us in.
fn ask(client: Option<&Client>) -> Server {
    let Some(client) = client else { return Server::NotAsked };
    match client.call("device/list", &json!({})) {
        Ok(list) => Server::Tells(list),
        Err(ClientError::Unreachable { .. }) => Server::Absent,
        Err(error) => Server::Refuses(error.to_string()),
    }
}

fn as_object(findings: &[Finding], well: bool) -> Value {
    let rows: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "about": finding.about,
                "verdict": finding.verdict.as_str(),
                "code": finding.code,
                "what": finding.what,
                "help": finding.help,
            })
        })
        .collect();
    json!({ "well": well, "findings": rows })
}

fn as_text(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let mark = match finding.verdict {
            Verdict::Well => "ok  ",
            Verdict::Note => "note",
            Verdict::Problem => "BAD ",
        };
        let help = finding.help.as_ref().map(|help| format!("     -> {}\n", printable(help)));
        format!(
            "{mark} {}: {}\n{}",
            printable(&finding.about),
            printable(&finding.what),
            help.unwrap_or_default()
        )
    };
    findings.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
