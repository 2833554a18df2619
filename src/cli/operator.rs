//! `fobd operator` and `fobd client`: who may call the API.

use serde_json::{Map, Value, json};
use std::path::PathBuf;
use zeroize::Zeroizing;

use super::ask::{self, Ask};
use super::error::{CliError, Outcome};
use super::output::{Column, column, printable};
use super::session::{PageArgs, Session, put};
use crate::service::random;

const OPERATORS: &[Column] = &[
    column("NAME", "name"),
    column("ROLE", "role"),
    column("DISABLED", "disabled"),
    column("ALL DOMAINS", "allDomains"),
    column("ALL REPOSITORIES", "allRepositories"),
    column("ADDED", "dateCreated"),
];

const CLIENTS: &[Column] =
    &[column("NAME", "name"), column("OPERATOR", "operator.name"), column("ADDED", "dateCreated")];

/// What an operator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RoleArg {
    /// May do everything.
    Admin,
    /// Hands out, repairs and takes back tokens.
    Helpdesk,
    /// Looks, and changes nothing.
    Auditor,
    /// A program that asks whether passcodes are right.
    Verifier,
    /// A workstation that lends its ports.
    Station,
    /// A program that collects metrics.
    Monitor,
}

impl RoleArg {
    fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Helpdesk => "helpdesk",
            Self::Auditor => "auditor",
            Self::Verifier => "verifier",
            Self::Station => "station",
            Self::Monitor => "monitor",
        }
    }
}

/// Where a new password comes from.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(multiple = false)]
pub struct PasswordArgs {
    /// Take the new password from this file; without one of these, a password is made and printed once.
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
    /// Ask for the new password at the terminal, twice.
    #[arg(long)]
    ask_password: bool,
}

impl PasswordArgs {
    /// The password, and whether it was made here.
    fn read(&self, ask: &mut dyn Ask) -> Result<(Zeroizing<String>, bool), CliError> {
        if let Some(path) = &self.new_password_file {
            return Ok((ask::secret_file(path)?, false));
        }
        if self.ask_password {
            let no_terminal =
                |_| CliError::NoTerminal { what: "new password", instead: "--new-password-file" };
            let password = ask.hidden("New password: ").map_err(no_terminal)?;
            if ask.hidden("Again: ").map_err(no_terminal)? != password {
                return Err(CliError::PasswordsDiffer);
            }
            return ask::not_empty("password", password).map(|password| (password, false));
        }
        let made = random::password().map_err(|_| CliError::NoRandom)?;
        Ok((Zeroizing::new(made), true))
    }
}

/// What an operator sees.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ScopeArgs {
    /// See only the users of this domain; may be given more than once.
    #[arg(long, value_name = "NAME")]
    domain: Vec<String>,
    /// See only the tokens of this repository; may be given more than once.
    #[arg(long, value_name = "NAME")]
    repository: Vec<String>,
}

impl ScopeArgs {
    fn put(&self, attrs: &mut Map<String, Value>) {
        for (member, names) in [("domains", &self.domain), ("repositories", &self.repository)] {
            if !names.is_empty() {
                let selectors: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
                attrs.insert(member.to_owned(), selectors.into());
            }
        }
    }
}

/// `fobd operator`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum OperatorCommand {
    /// List operators.
    #[command(after_help = "Example:\n  fobd operator list")]
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Add an operator.
    #[command(
        after_help = "Example:\n  fobd operator add berlin.desk --role helpdesk --domain acme --repository Berlin"
    )]
    Add {
        /// Its name.
        name: String,
        /// What it may do.
        #[arg(long, value_enum, value_name = "ROLE")]
        role: RoleArg,
        #[command(flatten)]
        scope: ScopeArgs,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Change what an operator may do and sees. Its sessions and tokens end.
    #[command(after_help = "Example:\n  fobd operator role berlin.desk auditor --all-domains")]
    Role {
        /// Its name.
        name: String,
        /// What it may do from now on.
        #[arg(value_enum, value_name = "ROLE")]
        role: RoleArg,
        #[command(flatten)]
        scope: ScopeArgs,
        /// See the users of all domains.
        #[arg(long, conflicts_with = "domain")]
        all_domains: bool,
        /// See the tokens of all repositories.
        #[arg(long, conflicts_with = "repository")]
        all_repositories: bool,
    },
    /// Give an operator another password. Its sessions and tokens end.
    #[command(after_help = "Example:\n  fobd operator password berlin.desk --ask-password")]
    Password {
        /// Its name.
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Let an operator in no more. Its sessions and tokens end.
    #[command(after_help = "Example:\n  fobd operator disable berlin.desk")]
    Disable {
        /// Its name.
        name: String,
    },
    /// Let an operator in again.
    #[command(after_help = "Example:\n  fobd operator enable berlin.desk")]
    Enable {
        /// Its name.
        name: String,
    },
    /// Remove an operator with its clients.
    #[command(after_help = "Example:\n  fobd operator remove berlin.desk")]
    Remove {
        /// Its name.
        name: String,
    },
}

/// `fobd client`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ClientCommand {
    /// List clients of OAuth 2.0.
    #[command(after_help = "Example:\n  fobd client list")]
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Add a client that acts as an operator. Its secret is printed once.
    #[command(after_help = "Example:\n  fobd client add vpn.gateway --acts-as vpn")]
    Add {
        /// Its client id.
        name: String,
        /// The operator.
        #[arg(long, value_name = "NAME")]
        acts_as: String,
    },
    /// Remove a client. Its tokens end.
    #[command(after_help = "Example:\n  fobd client remove vpn.gateway")]
    Remove {
        /// Its client id.
        name: String,
    },
}

impl OperatorCommand {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::List { page } => session.search("operator/search", &[], &page.sorted_by("name"), OPERATORS),
            Self::Add { name, role, scope, password } => {
                let (password, made) = password.read(session.ask)?;
                let mut attrs = Map::new();
                put(&mut attrs, "name", Some(name.as_str()));
                put(&mut attrs, "role", Some(role.as_str()));
                put(&mut attrs, "password", Some(password.as_str()));
                scope.put(&mut attrs);
                let mut result =
                    session.call("operator/create", &json!({ "attrs": attrs, "return": ["id"] }))?;
                Ok(tell(session, &mut result, &format!("operator {name} added"), made.then_some(&password)))
            }
            Self::Role { name, role, scope, all_domains, all_repositories } => {
                let mut attrs = Map::new();
                put(&mut attrs, "role", Some(role.as_str()));
                scope.put(&mut attrs);
                for (member, all) in [("domains", all_domains), ("repositories", all_repositories)] {
                    if *all {
                        attrs.insert(member.to_owned(), Value::Null);
                    }
                }
                change(
                    session,
                    "operator/set",
                    &named(name, Some(attrs.into())),
                    &format!("operator {name} changed"),
                )
            }
            Self::Password { name, password } => {
                let (password, made) = password.read(session.ask)?;
                let attrs = json!({ "password": password.as_str() });
                let mut result = session.call("operator/setPassword", &named(name, Some(attrs)))?;
                Ok(tell(
                    session,
                    &mut result,
                    &format!("operator {name} has a new password"),
                    made.then_some(&password),
                ))
            }
            Self::Disable { name } => {
                change(session, "operator/disable", &named(name, None), &format!("operator {name} disabled"))
            }
            Self::Enable { name } => {
                change(session, "operator/enable", &named(name, None), &format!("operator {name} enabled"))
            }
            Self::Remove { name } => {
                change(session, "operator/delete", &named(name, None), &format!("operator {name} removed"))
            }
        }
    }
}

impl ClientCommand {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::List { page } => session.search("client/search", &[], &page.sorted_by("name"), CLIENTS),
            Self::Add { name, acts_as } => {
                let attrs = json!({ "name": name, "operator": { "name": acts_as } });
                let result = session.call("client/create", &json!({ "attrs": attrs }))?;
                let missing = CliError::Reply { method: "client/create", member: "clientSecret" };
                let secret = result.get("clientSecret").and_then(Value::as_str).ok_or(missing)?;
                let text = format!(
                    "client {} added\nsecret  {}   (shown this once)\n",
                    printable(name),
                    printable(secret)
                );
                Ok(session.show(&result, |_| text))
            }
            Self::Remove { name } => {
                let params = json!({ "client": { "name": name } });
                change(session, "client/delete", &params, &format!("client {name} removed"))
            }
        }
    }
}

fn named(name: &str, attrs: Option<Value>) -> Value {
    let mut params = json!({ "operator": { "name": name } });
    if let Some(attrs) = attrs {
        params["attrs"] = attrs;
    }
    params
}

fn change(session: &mut Session<'_>, method: &str, params: &Value, done: &str) -> Result<Outcome, CliError> {
    let result = session.call(method, params)?;
    let text = format!("{}\n", printable(done));
    Ok(session.show(&result, |_| text))
}

/// Tells what was done, and the password if nobody knows it yet.
fn tell(
    session: &mut Session<'_>,
    result: &mut Value,
    done: &str,
    password: Option<&Zeroizing<String>>,
) -> Outcome {
    let mut text = format!("{}\n", printable(done));
    if let Some(password) = password {
        result["password"] = password.as_str().into();
        text.push_str(&format!("password  {}   (shown this once)\n", password.as_str()));
    }
    session.show(result, |_| text)
}
