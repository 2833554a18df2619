//! `fobd agent`: registered clients of the API, and stations.

use serde_json::{Value, json};
use std::io::Write;

use super::Globals;
use super::enrol::{RegisterArgs, RenewArgs};
use super::error::{CliError, Outcome};
use super::output::{self, Column, column, printable};
use super::session::{PageArgs, Session, equal};
use crate::model::id::{self, AgentId};
use crate::model::x500::X500Name;

const AGENTS: &[Column] = &[
    column("AGENT", "id"),
    column("NAME", "name"),
    column("GROUP", "group.name"),
    column("STATUS", "status"),
    column("EXPIRES", "expires"),
];

/// `fobd agent`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum AgentCommand {
    /// List agents.
    #[command(after_help = "Example:\n  fobd agent list --all")]
    List {
        /// Also those that are retired.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show an agent.
    #[command(after_help = "Example:\n  fobd agent show n1")]
    Show {
        /// Its id, or its name if it is active.
        agent: String,
    },
    /// Retire an agent for good. Its certificates and all sessions for it end.
    #[command(after_help = "Example:\n  fobd agent retire \"O=Helpdesk, L=London, C=GB\"")]
    Retire {
        /// Its id or its name.
        agent: String,
    },
    /// Say which repositories an agent sees when it calls by its certificate.
    #[command(after_help = "Example:\n  fobd agent see n1 --repository Berlin --repository Paris")]
    See {
        /// Its id or its name.
        agent: String,
        /// See the tokens of this repository; may be given more than once. Without any, it sees none.
        #[arg(long, value_name = "NAME")]
        repository: Vec<String>,
    },
    /// The operators who may open sessions for an agent.
    #[command(subcommand)]
    User(AgentUserCommand),
    /// Register this machine as an agent: make a key, and trade a pre-auth token for a certificate. Needs no login.
    Register(RegisterArgs),
    /// Renew the certificate of this machine before it is over.
    Renew(RenewArgs),
}

/// `fobd agent user`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum AgentUserCommand {
    /// Let an operator open sessions for an agent.
    #[command(after_help = "Example:\n  fobd agent user add n1 berlin.desk")]
    Add {
        /// The id of the agent, or its name.
        agent: String,
        /// The name of the operator.
        name: String,
    },
    /// Take that back. The operator's sessions for the agent end.
    #[command(after_help = "Example:\n  fobd agent user remove n1 berlin.desk")]
    Remove {
        /// The id of the agent, or its name.
        agent: String,
        /// The name of the operator.
        name: String,
    },
}

impl AgentCommand {
    /// What an agent does itself, without an operator.
    pub(super) fn offline(
        &self,
        globals: &Globals,
        out: &mut dyn Write,
    ) -> Option<Result<Outcome, CliError>> {
        match self {
            Self::Register(register) => Some(register.run(&globals.server, globals.json, out)),
            Self::Renew(renew) => Some(renew.run(globals.json, out)),
            _ => None,
        }
    }

    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::List { all, page } => {
                let active = [equal("status", "ACTIVE")];
                let matches = if *all { &active[..0] } else { &active[..] };
                session.search("agent/search", matches, &page.sorted_by("name"), AGENTS)
            }
            Self::Show { agent } => {
                let wanted = json!([
                    "*",
                    "group.name",
                    { "operators": [{ "elements": ["name"] }] },
                    { "repositories": [{ "elements": ["name"] }] },
                ]);
                let result =
                    session.call("agent/get", &json!({ "agent": selector(agent), "return": wanted }))?;
                let first = ["id", "name", "group.name", "status", "expires"];
                Ok(session.show(&result, |agent| output::details(agent, &first)))
            }
            Self::Retire { agent } => {
                let params = json!({ "agent": selector(agent) });
                change(session, "agent/retire", &params, &format!("agent {agent} retired"))
            }
            Self::See { agent, repository } => {
                let repositories: Vec<Value> =
                    repository.iter().map(|name| json!({ "name": name })).collect();
                let params = json!({ "agent": selector(agent), "attrs": { "repositories": repositories } });
                change(session, "agent/set", &params, &format!("agent {agent} changed"))
            }
            Self::User(AgentUserCommand::Add { agent, name }) => {
                let done = format!("{name} may act for agent {agent}");
                change(session, "agent/addOperator", &with_operator(agent, name), &done)
            }
            Self::User(AgentUserCommand::Remove { agent, name }) => {
                let done = format!("{name} may act for agent {agent} no more");
                change(session, "agent/removeOperator", &with_operator(agent, name), &done)
            }
            // These were carried out before anybody was asked for a password.
            Self::Register(_) | Self::Renew(_) => Ok(Outcome::Done),
        }
    }
}

fn with_operator(agent: &str, name: &str) -> Value {
    json!({ "agent": selector(agent), "operator": { "name": name } })
}

/// An agent by its id, else the one that is active by its name.
fn selector(text: &str) -> Value {
    if id::from_wire(AgentId::LETTER, text).is_some() {
        return text.into();
    }
    let name = text.parse::<X500Name>().map_or_else(|_| text.to_owned(), |name| name.to_string());
    json!({ "name": name, "status": "ACTIVE" })
}

fn change(session: &mut Session<'_>, method: &str, params: &Value, done: &str) -> Result<Outcome, CliError> {
    let result = session.call(method, params)?;
    let text = format!("{}\n", printable(done));
    Ok(session.show(&result, |_| text))
}
