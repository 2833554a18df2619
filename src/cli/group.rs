//! `fobd group`: what agents register in.

use serde_json::{Value, json};

use super::error::{CliError, Outcome};
use super::output::{self, Column, column, printable};
use super::session::{PageArgs, Session};
use crate::model::x500::X500Name;

const GROUPS: &[Column] = &[column("HASH", "hash"), column("NAME", "name"), column("ADDED", "dateCreated")];

/// `fobd group`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum GroupCommand {
    /// List groups.
    #[command(after_help = "Example:\n  fobd group list")]
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Make a group, and print what its agents need to register.
    #[command(after_help = "Example:\n  fobd group create --name \"O=Head Office, L=London, C=GB\"

The hash names the group: it is the first 12 hexadecimal digits of SHA-256 of its name and its UUID. The fingerprint
is that of the certificate of the server: whoever registers compares it.")]
    Create {
        /// Its X.500 name: O, L and C, and CN, OU and ST if wanted.
        #[arg(long, value_name = "NAME")]
        name: X500Name,
    },
    /// Show a group, and what its agents need to register.
    #[command(after_help = "Example:\n  fobd group show 3F0C5A1B77D2")]
    Show {
        /// Its hash or its name.
        group: String,
    },
}

impl GroupCommand {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::List { page } => session.search("group/search", &[], &page.sorted_by("name"), GROUPS),
            Self::Create { name } => {
                let result =
                    session.call("group/create", &json!({ "attrs": { "name": name.to_string() } }))?;
                Ok(show(session, &result))
            }
            Self::Show { group } => {
                let result = session.call("group/get", &json!({ "group": selector(group) }))?;
                Ok(show(session, &result))
            }
        }
    }
}

fn show(session: &mut Session<'_>, group: &Value) -> Outcome {
    let first = ["name", "hash", "serverFingerprint", "id", "uuid", "dateCreated"];
    session.show(group, |group| {
        let mut members = group.clone();
        // A certificate is some lines by itself.
        let authority = members.as_object_mut().and_then(|members| members.remove("authority"));
        let lines = authority.as_ref().and_then(Value::as_str).unwrap_or_default().lines();
        let authority: String = lines.map(|line| format!("{}\n", printable(line))).collect();
        format!("{}{authority}", output::details(&members, &first))
    })
}

/// A group by its hash, else by its name.
fn selector(text: &str) -> Value {
    match text.parse::<X500Name>() {
        Ok(name) => json!({ "name": name.to_string() }),
        Err(_) => json!({ "hash": text.to_ascii_uppercase() }),
    }
}
