//! `fobd domain`, `fobd product` and `fobd repository`: what has to be there before tokens and users.

use serde_json::Map;

use super::error::{CliError, Outcome};
use super::output::{Column, column};
use super::session::{PageArgs, Session, put};

const NAMED: &[Column] = &[column("NAME", "name"), column("DESCRIPTION", "description")];

const PRODUCTS: &[Column] = &[
    column("MANUFACTURER", "manufacturerCode"),
    column("CODE", "productCode"),
    column("NAME", "name"),
    column("ALGORITHM", "algorithm"),
    column("HASH", "hash"),
    column("DIGITS", "digits"),
    column("SECONDS", "timer"),
    column("DRIVER", "driver"),
];

/// `fobd domain`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum DomainCommand {
    /// List domains.
    #[command(after_help = "Example:\n  fobd domain list")]
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Add a domain.
    #[command(after_help = "Example:\n  fobd domain add acme")]
    Add(Named),
}

/// `fobd repository`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum RepositoryCommand {
    /// List repositories.
    #[command(after_help = "Example:\n  fobd repository list")]
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Add a repository.
    #[command(after_help = "Example:\n  fobd repository add stock")]
    Add(Named),
}

/// Something new with a name.
#[derive(Clone, Debug, clap::Args)]
pub struct Named {
    /// Its name.
    name: String,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// `fobd product`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ProductCommand {
    /// List products.
    #[command(after_help = "Example:\n  fobd product list")]
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Add a product.
    Add(ProductArgs),
    /// Report how the clocks of a product's tokens run, and which batches leave the curve.
    #[command(after_help = "Example:\n  fobd product clocks DN/ST")]
    Clocks {
        /// Its codes.
        #[arg(value_name = "MANUFACTURER/CODE")]
        codes: super::selector::Product,
    },
}

/// `fobd product add`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  fobd product add YK/HOTP 'YubiKey HOTP' --type hotp --driver ykoath")]
pub struct ProductArgs {
    /// Its codes.
    #[arg(value_name = "MANUFACTURER/CODE")]
    codes: super::selector::Product,
    /// Its name.
    name: String,
    /// What its tokens compute.
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    kind: Kind,
    /// Hash under the HMAC: SHA1, SHA256 or SHA512.
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
    /// Length of a passcode.
    #[arg(long, value_name = "N")]
    digits: Option<u8>,
    /// Length of a time step in seconds.
    #[arg(long, value_name = "SECONDS")]
    timer: Option<u32>,
    /// Driver that programs its tokens.
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
}

/// HOTP or TOTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// By a counter (RFC 4226).
    Hotp,
    /// By the time (RFC 6238).
    Totp,
}

impl Kind {
    /// The API's words for it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Hotp => "OATH HOTP",
            Self::Totp => "OATH TOTP",
        }
    }
}

impl DomainCommand {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::List { page } => session.search("domain/search", &[], &page.sorted_by("name"), NAMED),
            Self::Add(named) => named.create(session, "domain/create", "domain"),
        }
    }
}

impl RepositoryCommand {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::List { page } => session.search("repository/search", &[], &page.sorted_by("name"), NAMED),
            Self::Add(named) => named.create(session, "repository/create", "repository"),
        }
    }
}

impl Named {
    fn create(
        &self,
        session: &mut Session<'_>,
        method: &'static str,
        what: &str,
    ) -> Result<Outcome, CliError> {
        let mut attrs = Map::new();
        put(&mut attrs, "name", Some(self.name.as_str()));
        put(&mut attrs, "description", self.description.as_deref());
        session.create(method, attrs, &format!("{what} {}", self.name))
    }
}

impl ProductCommand {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::List { page } => session.search("product/search", &[], &page.sorted_by("name"), PRODUCTS),
            Self::Add(args) => args.create(session),
            Self::Clocks { codes } => super::clock::survey(session, codes),
        }
    }
}

impl ProductArgs {
    fn create(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        let mut attrs = match self.codes.selector() {
            serde_json::Value::Object(codes) => codes,
            _ => Map::new(),
        };
        put(&mut attrs, "name", Some(self.name.as_str()));
        put(&mut attrs, "algorithm", Some(self.kind.as_str()));
        put(&mut attrs, "hash", self.hash.as_deref());
        put(&mut attrs, "digits", self.digits);
        put(&mut attrs, "timer", self.timer);
        put(&mut attrs, "driver", self.driver.as_deref());
        session.create("product/create", attrs, &format!("product {}", self.name))
    }
}
