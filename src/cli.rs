//! The command line as a client of a running server: one JSON-RPC call, or a few, per command.
//!
//! Results go to standard output, as tables for people or, with `--json`, as the result object of the call;
//! everything else goes to standard error. Passwords, PINs and access codes come from files, standard input or
//! a prompt, never from arguments, which other users of the machine can read. Passcodes may be arguments where
//! the server spends them at once, and where a fob in somebody's hand is looked for.
//!
//! The server's own commands are here too ([`init`], [`serve`], [`restore`], [`bench`]): these work on files and ports,
//! not on the API, and have none of the client's options.

pub mod agent;
mod ask;
pub mod audit;
pub mod backup;
pub mod bench;
pub mod call;
pub mod catalogue;
pub mod client;
pub mod clock;
pub mod device;
pub mod doctor;
pub mod enrol;
pub mod error;
mod events;
pub mod find;
pub mod group;
pub mod init;
pub mod job;
pub mod key;
pub mod log;
pub mod operator;
mod output;
pub mod pinned;
#[cfg(test)]
mod playback;
pub mod policy;
pub mod restore;
pub mod selector;
pub mod serve;
pub mod server_clock;
mod session;
pub mod system_clock;
pub mod token;
pub mod user;
pub mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use self::ask::{Ask as _, Terminal};
use self::client::{Client, Endpoint, Trusted};
use self::device::DeviceCommand;
use self::error::{CliError, Outcome};
use self::session::Session;

/// The exit codes, for the help texts.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done; the passcode was accepted
  1  the passcode was rejected; the doctor found something; the audit log is not intact; the
     clock is suspect
  2  the command line, a file named in it or an answer to a prompt is wrong
  3  the server or the device refused
  4  the server cannot be reached or is not understood
  5  name or password are wrong, or the role does not allow it
  6  a job goes on in the server, or waits for somebody
  7  the audit log is intact, and nothing proves that its end is there";

/// Where the server is and who asks.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Globals {
    /// Address of the server.
    #[arg(
        long,
        global = true,
        env = "FOBD_SERVER",
        default_value = "http://127.0.0.1:8480",
        value_name = "URL"
    )]
    pub server: String,
    /// Operator to log in as.
    #[arg(long, global = true, env = "FOBD_USER", default_value = "admin", value_name = "NAME", value_parser = operator_name)]
    pub operator: String,
    /// File with the operator's password; without one, a terminal is asked.
    #[arg(long, global = true, env = "FOBD_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// File with the certificate (PEM) of the server, or of who signed it; for one that it made itself
    #[arg(long, global = true, env = "FOBD_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Send passwords and PINs over plain HTTP to a server on another machine.
    #[arg(long, global = true, env = "FOBD_PLAIN_HTTP")]
    pub plain_http: bool,
    /// Print the result as JSON, and errors as JSON on standard error.
    #[arg(long, global = true)]
    pub json: bool,
}

/// Everything a client can ask for.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Devices that are plugged in.
    Device(Noun<DeviceCommand>),
    /// Jobs: what became of `device program` and `device erase`.
    Job(Noun<job::JobCommand>),
    /// Tokens of the inventory.
    Token(Noun<token::TokenCommand>),
    /// Users whom tokens are assigned to.
    User(Noun<user::UserCommand>),
    /// Domains that users are in.
    Domain(Noun<catalogue::DomainCommand>),
    /// Products: models of tokens.
    Product(Noun<catalogue::ProductCommand>),
    /// Repositories: stocks of tokens.
    Repository(Noun<catalogue::RepositoryCommand>),
    /// Policies: what verification is run with.
    Policy(Noun<policy::PolicyCommand>),
    /// Operators: who may call the API.
    Operator(Noun<operator::OperatorCommand>),
    /// Clients of OAuth 2.0: programs that act as an operator.
    Client(Noun<operator::ClientCommand>),
    /// Groups that agents register in.
    Group(Noun<group::GroupCommand>),
    /// Agents: registered clients of the API, and stations.
    Agent(Noun<agent::AgentCommand>),
    /// Verify a user's passcode.
    Verify(Verb<verify::VerifyArgs>),
    /// The server's own clock: status, accept.
    Clock(Noun<server_clock::ClockCommand>),
    /// The audit log: search, export, verify, prune.
    Audit(Noun<audit::AuditCommand>),
    /// The keys that seal the database: make, change.
    Key(Noun<key::KeyCommand>),
    /// Take a copy of the database, while the server runs.
    Backup(Verb<backup::BackupArgs>),
    /// Call any method of the API.
    Call(Verb<call::CallArgs>),
}

/// A command with commands of its own.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Noun<C: clap::Subcommand> {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: C,
}

/// A command by itself.
#[derive(Clone, Debug, clap::Args)]
pub struct Verb<A: clap::Args> {
    #[command(flatten)]
    args: A,
    #[command(flatten)]
    globals: Globals,
}

/// HTTP Basic cannot say a name with a colon (RFC 7617 §2).
fn operator_name(name: &str) -> Result<String, &'static str> {
    if name.contains(':') { Err("a name cannot hold a colon") } else { Ok(name.to_owned()) }
}

/// Carries a command out and reports on the standard streams.
#[must_use]
pub fn run(command: &Command) -> ExitCode {
    let globals = command.globals();
    let mut terminal = Terminal;
    let (mut out, mut notes) = (std::io::stdout(), std::io::stderr());
    // The doctor works without a server, and asks nobody for a password.
    if let Command::Device(Noun { command: DeviceCommand::Doctor(doctor), .. }) = command
        && globals.password_file.is_none()
    {
        return doctor.run(None, globals.json, &mut out).exit_code();
    }
    let offline = match command {
        Command::Audit(noun) => noun.command.offline(globals.json, &mut out, &mut notes),
        Command::Key(noun) => noun.command.offline(globals.json, &mut out),
        Command::Agent(noun) => noun.command.offline(globals, &mut out),
        _ => None,
    };
    let online = || {
        let client = connect(globals, &mut terminal)?;
        let mut session = Session::new(client, &mut out, &mut notes, &mut terminal, globals.json);
        command.run(&mut session)
    };
    match offline.unwrap_or_else(online) {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            output::report(&error, globals.json, &mut notes);
            error.exit_code()
        }
    }
}

fn connect(globals: &Globals, terminal: &mut Terminal) -> Result<Client, CliError> {
    let endpoint = Endpoint::parse(&globals.server, globals.plain_http)?;
    let password = match &globals.password_file {
        Some(path) => ask::secret_file(path)?,
        None => terminal
            .hidden(&format!("Password of {}: ", globals.operator))
            .map_err(|_| CliError::NoTerminal { what: "password", instead: "--password-file" })?,
    };
    let trusted = match &globals.ca_file {
        Some(path) => {
            let pem = ask::text_file(path)?;
            let none = || CliError::NoCertificate { path: path.clone() };
            Trusted::only(pem.as_bytes()).ok_or_else(none)?
        }
        None => Trusted::public(),
    };
    Ok(Client::new(endpoint, &globals.operator, &password, trusted))
}

impl Command {
    fn globals(&self) -> &Globals {
        match self {
            Self::Device(noun) => &noun.globals,
            Self::Job(noun) => &noun.globals,
            Self::Token(noun) => &noun.globals,
            Self::User(noun) => &noun.globals,
            Self::Domain(noun) => &noun.globals,
            Self::Product(noun) => &noun.globals,
            Self::Repository(noun) => &noun.globals,
            Self::Policy(noun) => &noun.globals,
            Self::Operator(noun) => &noun.globals,
            Self::Client(noun) => &noun.globals,
            Self::Group(noun) => &noun.globals,
            Self::Agent(noun) => &noun.globals,
            Self::Verify(verb) => &verb.globals,
            Self::Clock(noun) => &noun.globals,
            Self::Audit(noun) => &noun.globals,
            Self::Key(noun) => &noun.globals,
            Self::Backup(verb) => &verb.globals,
            Self::Call(verb) => &verb.globals,
        }
    }

    fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::Device(noun) => noun.command.run(session),
            Self::Job(noun) => noun.command.run(session),
            Self::Token(noun) => noun.command.run(session),
            Self::User(noun) => noun.command.run(session),
            Self::Domain(noun) => noun.command.run(session),
            Self::Product(noun) => noun.command.run(session),
            Self::Repository(noun) => noun.command.run(session),
            Self::Policy(noun) => noun.command.run(session),
            Self::Operator(noun) => noun.command.run(session),
            Self::Client(noun) => noun.command.run(session),
            Self::Group(noun) => noun.command.run(session),
            Self::Agent(noun) => noun.command.run(session),
            Self::Verify(verb) => verb.args.run(session),
            Self::Clock(noun) => noun.command.run(session),
            Self::Audit(noun) => noun.command.run(session),
            Self::Key(noun) => noun.command.run(session),
            Self::Backup(verb) => verb.args.run(session),
            Self::Call(verb) => verb.args.run(session),
        }
    }
}

#[cfg(test)]
mod tests;
