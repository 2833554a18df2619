//! `fobd policy`: what verification is run with.

use serde_json::{Map, Value, json};

use super::error::{CliError, Outcome};
use super::output::{self, Column, column};
use super::selector::{self, Product};
use super::session::Session;

const VERSIONS: &[Column] = &[
    column("VERSION", "version"),
    column("MADE", "dateCreated"),
    column("BY", "operator"),
    column("SETTINGS", "own"),
];

/// `fobd policy`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum PolicyCommand {
    /// Show every setting with the value that holds.
    #[command(
        after_help = "Examples:\n  fobd policy show\n  fobd policy show --product DN/ST\n  fobd policy show --token 10000042 --version 3"
    )]
    Show {
        #[command(flatten)]
        target: TargetArgs,
        /// As it was at this version; audit rows name the version that decided.
        #[arg(long, value_name = "N")]
        version: Option<i64>,
    },
    /// Change settings. `NAME=default` leaves one to the level above: product, server, this program.
    #[command(
        after_help = "Examples:\n  fobd policy set maxFailures=5 pinMinLength=6\n  fobd policy set --product DN/ST autoResync=true totpAccept=1\n  fobd policy set --token 10000042 totpAccept=default"
    )]
    Set {
        #[command(flatten)]
        target: TargetArgs,
        /// What to change; `fobd policy show` lists the names.
        #[arg(required = true, value_name = "NAME=VALUE", value_parser = setting)]
        settings: Vec<(String, Value)>,
    },
    /// List the versions, newest first.
    #[command(after_help = "Example:\n  fobd policy history --product DN/ST")]
    History {
        #[command(flatten)]
        target: TargetArgs,
        /// Show at most this many.
        #[arg(long, default_value_t = 100, value_name = "N")]
        max: u32,
    },
}

/// What a policy is for; the server if nothing is named.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(multiple = false)]
pub struct TargetArgs {
    /// For the tokens of this product.
    #[arg(long, value_name = "MANUFACTURER/CODE")]
    product: Option<Product>,
    /// For this token, by its serial.
    #[arg(long, value_name = "SERIAL")]
    token: Option<String>,
}

impl TargetArgs {
    fn params(&self) -> Value {
        let mut params = Map::new();
        if let Some(product) = &self.product {
            params.insert("product".to_owned(), product.selector());
        }
        if let Some(serial) = &self.token {
            params.insert("token".to_owned(), selector::token(serial));
        }
        params.into()
    }
}

impl PolicyCommand {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::Show { target, version } => {
                let mut params = target.params();
                if let Some(version) = version {
                    params["version"] = json!(version);
                }
                let result = session.call("policy/get", &params)?;
                Ok(session.show(&result, shown))
            }
            Self::Set { target, settings } => {
                let mut params = target.params();
                params["attrs"] = settings.iter().cloned().collect::<Map<_, _>>().into();
                let result = session.call("policy/set", &params)?;
                Ok(session.show(&result, |made| format!("policy {} holds from now on\n", made["version"])))
            }
            Self::History { target, max } => {
                let mut params = target.params();
                params["max"] = json!(max);
                let result = session.call("policy/search", &params)?;
                session.table("policy/search", &result, VERSIONS)
            }
        }
    }
}

/// Every setting on a line; those that this level itself says are marked.
fn shown(policy: &Value) -> String {
    let members = policy["settings"].as_object().cloned().unwrap_or_default();
    let width = members.keys().map(String::len).max().unwrap_or(0);
    let mut text =
        format!("policy {} ({})\n", policy["version"], output::printable(&plain(&policy["level"])));
    for (name, value) in &members {
        let mark = if policy["own"].get(name).is_some() { "*" } else { " " };
        let line = format!("{mark} {name:<width$}  {}", plain(value));
        text.push_str(&output::printable(&line));
        text.push('\n');
    }
    text
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Reads `NAME=VALUE`; the server knows what the name stands for.
fn setting(text: &str) -> Result<(String, Value), &'static str> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    let value = match value {
        "default" => Value::Null,
        "true" => true.into(),
        "false" => false.into(),
        text => text.parse::<u64>().map_or_else(|_| text.into(), Value::from),
    };
    Ok((name.to_owned(), value))
}
