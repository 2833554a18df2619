//! `fobd token`: the inventory, and the helpdesk's repairs.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::ask::{self, PinArgs};
use super::clock::{self, SetClockArgs};
use super::error::{CliError, Outcome};
use super::find::{FindArgs, SolveArgs};
use super::output::{self, Column, column};
use super::selector::{self, Product, User};
use super::session::{PageArgs, Session, equal, put};

/// The largest file that fits into a request of 16 MiB once it is a JSON string.
const LARGEST_FILE: usize = 15 << 20;

const TOKENS: &[Column] = &[
    column("SERIAL", "serial"),
    column("PRODUCT", "product.name"),
    column("REPOSITORY", "repository.name"),
    column("STATUS", "status"),
    column("PROGRAMMED", "programmed"),
    column("DEVICE", "device"),
    column("SLOT", "slot"),
];

/// `fobd token`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum TokenCommand {
    /// List tokens.
    #[command(after_help = "Example:\n  fobd token list --product DN/ST --status ACTIVE")]
    List {
        /// Only tokens of this product.
        #[arg(long, value_name = "MANUFACTURER/CODE")]
        product: Option<Product>,
        /// Only tokens of this repository.
        #[arg(long, value_name = "NAME")]
        repository: Option<String>,
        /// Only tokens with this status: ACTIVE, DISABLED or DECEASED.
        #[arg(long)]
        status: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show all that is known of a token.
    #[command(after_help = "Example:\n  fobd token show 10000042")]
    Show {
        /// Its serial.
        serial: String,
    },
    /// Import tokens with their secrets from a file. All of them, or none.
    #[command(after_help = "Example:\n  fobd token import batch7.xml --product DN/ST --repository stock")]
    Import {
        /// The file: PSKC, CSV or another that the server knows.
        file: PathBuf,
        /// The product that they are of.
        #[arg(long, value_name = "MANUFACTURER/CODE")]
        product: Option<Product>,
        /// The repository to put them into.
        #[arg(long, value_name = "NAME")]
        repository: Option<String>,
        #[command(flatten)]
        way: WayArgs,
    },
    /// Find a token again that has run away, by consecutive passcodes.
    #[command(after_help = "Example:\n  fobd token sync 10000042 287082 359152")]
    Sync {
        /// Its serial.
        serial: String,
        /// Two or three consecutive passcodes; they are spent by this. Without them, two lines are asked for.
        #[arg(num_args = 2..=3, value_name = "PASSCODE")]
        passcodes: Vec<String>,
        /// The user that it must be assigned to.
        #[arg(long, value_name = "DOMAIN\\LOGIN")]
        user: Option<User>,
    },
    /// Tell why the last attempts with a token failed, and what to do.
    #[command(after_help = "Example:\n  fobd token explain 10000042")]
    Explain {
        /// Its serial.
        serial: String,
    },
    /// Find the token that shows a passcode.
    Find(FindArgs),
    /// Find out how the seed of an imported token was meant whose passcodes do not fit.
    Solve(SolveArgs),
    /// Clear failures, lock and drift of a token.
    #[command(after_help = "Example:\n  fobd token reset 10000042")]
    Reset {
        /// Its serial.
        serial: String,
        /// Set the counter too. A lower one needs a permission of its own, and the token must be synced then.
        #[arg(long, value_name = "N")]
        counter: Option<u64>,
    },
    /// Show what is known of the clock of a TOTP token.
    #[command(after_help = "Example:\n  fobd token clock 10000042")]
    Clock {
        /// Its serial.
        serial: String,
    },
    /// Set, freeze or forget what is known of the clock of a TOTP token.
    SetClock(SetClockArgs),
    /// Assign a token to a user.
    #[command(after_help = "Example:\n  fobd token assign 10000042 'acme\\alice' --ask-pin")]
    Assign {
        /// Its serial.
        serial: String,
        /// The user.
        #[arg(value_name = "DOMAIN\\LOGIN")]
        user: User,
        #[command(flatten)]
        pin: PinArgs,
    },
}

/// How a file is read, where it does not say so itself: what `token solve` finds out.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct WayArgs {
    /// How its seeds are written, such as base32 [default: hex]
    #[arg(long, value_name = "READING")]
    reading: Option<String>,
    /// What its tokens compute: 'OATH HOTP' or 'OATH TOTP'.
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<String>,
    /// Hash under the HMAC: SHA1, SHA256 or SHA512.
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
    /// Length of a passcode.
    #[arg(long, value_name = "N")]
    digits: Option<u8>,
    /// Length of a time step in seconds.
    #[arg(long, value_name = "SECONDS", requires = "algorithm")]
    timer: Option<u32>,
}

impl WayArgs {
    fn put(&self, attrs: &mut Map<String, Value>) {
        put(attrs, "reading", self.reading.as_deref());
        put(attrs, "algorithm", self.algorithm.as_deref());
        put(attrs, "hash", self.hash.as_deref());
        put(attrs, "digits", self.digits);
        put(attrs, "timer", self.timer);
    }
}

impl TokenCommand {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::List { product, repository, status, page } => {
                let mut matches = Vec::new();
                if let Some(Value::Object(codes)) = product.as_ref().map(Product::selector) {
                    matches.extend(
                        codes.into_iter().map(|(name, code)| equal(&format!("product.{name}"), code)),
                    );
                }
                matches.extend(repository.as_ref().map(|name| equal("repository.name", name.as_str())));
                matches.extend(status.as_ref().map(|status| equal("status", status.to_uppercase())));
                session.search("token/search", &matches, &page.sorted_by("serial"), TOKENS)
            }
            Self::Show { serial } => {
                let users = json!({ "users": [{ "elements": ["loginName", "domain.name"] }] });
                let wanted = json!(["*", "product.name", "repository.name", users]);
                let params = json!({ "match": [equal("serial", serial.as_str())], "return": wanted });
                let result = session.call("token/get", &params)?;
                let first = ["serial", "product.name", "repository.name", "status", "users"];
                Ok(session.show(&result, |token| output::details(token, &first)))
            }
            Self::Import { file, product, repository, way } => {
                import(session, file, product.as_ref(), repository.as_deref(), way)
            }
            Self::Sync { serial, passcodes, user } => sync(session, serial, passcodes, user.as_ref()),
            Self::Explain { serial } => {
                super::explain::run(session, &json!({ "token": selector::token(serial) }))
            }
            Self::Find(args) => args.run(session),
            Self::Solve(args) => args.run(session),
            Self::Reset { serial, counter } => {
                let mut params = json!({ "token": selector::token(serial) });
                if let Some(counter) = counter {
                    params["attrs"] = json!({ "counter": counter });
                }
                let result = session.call("token/reset", &params)?;
                Ok(session.show(&result, |_| format!("token {serial} is reset\n")))
            }
            Self::Clock { serial } => clock::show(session, serial),
            Self::SetClock(args) => args.run(session),
            Self::Assign { serial, user, pin } => {
                let mut params = json!({ "token": selector::token(serial), "user": user.selector() });
                if let Some(pin) = pin.read(session.ask)? {
                    params["attrs"] = json!({ "pin": pin.as_str() });
                }
                let result = session.call("token/assign", &params)?;
                let done = format!("token {serial} is assigned to {}\\{}\n", user.domain(), user.login());
                Ok(session.show(&result, |_| done))
            }
        }
    }
}

fn import(
    session: &mut Session<'_>,
    file: &Path,
    product: Option<&Product>,
    repository: Option<&str>,
    way: &WayArgs,
) -> Result<Outcome, CliError> {
    let text = ask::text_file(file)?;
    if text.is_empty() {
        return Err(CliError::Empty { what: "file to import" });
    }
    if text.len() > LARGEST_FILE {
        return Err(CliError::TooLarge { path: file.to_owned(), bytes: text.len() });
    }
    let mut attrs = Map::new();
    put(&mut attrs, "product", product.map(Product::selector));
    put(&mut attrs, "repository", repository.map(selector::named));
    put(&mut attrs, "data", Some(text.as_str()));
    way.put(&mut attrs);
    let method = "token/import";
    let result = session.call(method, &json!({ "attrs": attrs, "return": ["id", "serial"] }))?;
    let total = result["total"].as_u64().ok_or(CliError::Reply { method, member: "total" })?;
    let outcome = session.show(&result, |_| format!("{total} tokens imported\n"));
    session.note(&format!("{} holds their secrets: it is no longer needed", file.display()));
    Ok(outcome)
}

fn sync(
    session: &mut Session<'_>,
    serial: &str,
    given: &[String],
    user: Option<&User>,
) -> Result<Outcome, CliError> {
    let mut passcodes = given.to_vec();
    while passcodes.len() < 2 {
        let question = if passcodes.is_empty() { "Passcode: " } else { "Next passcode: " };
        let line = session.ask.line(question).map_err(CliError::Input)?;
        let typed = ask::not_empty("passcode", line.unwrap_or_default())?;
        passcodes.push(typed.trim().to_owned());
    }
    let mut params = json!({ "token": selector::token(serial), "credential": passcodes.join(",") });
    if let Some(user) = user {
        params["user"] = user.selector();
    }
    match session.call("token/syncToken", &params) {
        Ok(result) => Ok(session.show(&result, |_| format!("token {serial} is in sync\n"))),
        Err(error) if error.kind() == Some("token.sync_failed") => {
            let refused = json!({ "accepted": false });
            let line = output::printable(&format!("rejected: {error}"));
            session.show(&refused, |_| line + "\n");
            Ok(Outcome::Rejected)
        }
        Err(error) => Err(error.into()),
    }
}
