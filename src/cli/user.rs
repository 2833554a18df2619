//! `fobd user`: whom tokens are assigned to.

use serde_json::{Map, json};

use super::error::{CliError, Outcome};
use super::output::{Column, column};
use super::selector::{self, User};
use super::session::{PageArgs, Session, equal, put};

const USERS: &[Column] = &[
    column("DOMAIN", "domain.name"),
    column("LOGIN", "loginName"),
    column("FIRST NAME", "firstName"),
    column("LAST NAME", "lastName"),
    column("STATUS", "status"),
    column("FAILURES", "failCount"),
];

/// `fobd user`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum UserCommand {
    /// List users.
    #[command(after_help = "Example:\n  fobd user list --domain acme")]
    List {
        /// Only users of this domain.
        #[arg(long, value_name = "NAME")]
        domain: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Add a user.
    #[command(after_help = "Example:\n  fobd user add 'acme\\alice' --first-name Alice --last-name Liddell")]
    Add {
        /// Domain and login name.
        #[arg(value_name = "DOMAIN\\LOGIN")]
        user: User,
        /// First name.
        #[arg(long, value_name = "NAME")]
        first_name: Option<String>,
        /// Last name.
        #[arg(long, value_name = "NAME")]
        last_name: Option<String>,
        /// Mail address.
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
    },
    /// Tell why the last attempts of a user failed, and what to do.
    #[command(after_help = "Example:\n  fobd user explain 'acme\\alice'")]
    Explain {
        /// The user.
        #[arg(value_name = "DOMAIN\\LOGIN")]
        user: User,
    },
}

impl UserCommand {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::List { domain, page } => {
                let matches: Vec<_> =
                    domain.iter().map(|domain| equal("domain.name", domain.as_str())).collect();
                session.search("user/search", &matches, &page.sorted_by("loginName"), USERS)
            }
            Self::Explain { user } => super::explain::run(session, &json!({ "user": user.selector() })),
            Self::Add { user, first_name, last_name, email } => {
                let mut attrs = Map::new();
                put(&mut attrs, "domain", Some(selector::named(user.domain())));
                put(&mut attrs, "loginName", Some(user.login()));
                put(&mut attrs, "firstName", first_name.as_deref());
                put(&mut attrs, "lastName", last_name.as_deref());
                put(&mut attrs, "email", email.as_deref());
                session.create("user/create", attrs, &format!("user {}\\{}", user.domain(), user.login()))
            }
        }
    }
}
