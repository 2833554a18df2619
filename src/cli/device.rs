//! `fobd device`: what is plugged in, and the closed loop from a new secret to a proven token.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::ask::{AccessCodeArgs, PinArgs};
use super::doctor::DoctorArgs;
use super::error::{CliError, Outcome};
use super::output::{self, Column, column};
use super::selector::{self, Product, User};
use super::session::{Session, put};
use super::{events, job};

const DEVICES: &[Column] = &[
    column("DEVICE", "id"),
    column("MODEL", "model"),
    column("FIRMWARE", "firmware"),
    column("BUS", "transport"),
    column("STATION", "station"),
    column("PLACE", "place"),
    column("STATE", "state"),
    column("ERROR", "error"),
];

const SLOTS: &[Column] = &[
    column("SLOT", "slot"),
    column("IN USE", "inUse"),
    column("TYPE", "type"),
    column("ALGORITHM", "algorithm"),
    column("DIGITS", "digits"),
    column("SECONDS", "timer"),
    column("TOUCH", "touch"),
    column("TOKEN", "token"),
];

/// `fobd device`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum DeviceCommand {
    /// List what is plugged in.
    #[command(after_help = "Example:\n  fobd device list")]
    List,
    /// List the slots of a device.
    #[command(after_help = "Example:\n  fobd device slots ykoath:12345678")]
    Slots {
        /// The device, as `device list` names it.
        device: String,
        #[command(flatten)]
        access_code: AccessCodeArgs,
    },
    /// Make a secret in the server, write it into a device and prove it.
    Program(ProgramArgs),
    /// Tell what happens to devices and jobs, until Ctrl-C; with --json a line of JSON for each event.
    #[command(
        after_help = "Example:\n  fobd device watch --json | jq -r 'select(.event == \"touch\").data.device'"
    )]
    Watch,
    /// Say why each token can or cannot be reached from this machine, and what to do.
    Doctor(DoctorArgs),
    /// Let a device compute a passcode. An HOTP slot counts on.
    #[command(after_help = "Example:\n  fobd device calculate ykoath:12345678 acme-7")]
    Calculate {
        /// The device, as `device list` names it.
        device: String,
        /// The slot, as `device slots` names it.
        slot: String,
        #[command(flatten)]
        access_code: AccessCodeArgs,
    },
    /// Empty a slot of a device.
    #[command(after_help = "Example:\n  fobd device erase ykoath:12345678 acme-7 --yes")]
    Erase {
        /// The device, as `device list` names it.
        device: String,
        /// The slot, as `device slots` names it.
        slot: String,
        /// Do not ask whether that is meant.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        access_code: AccessCodeArgs,
    },
}

const PROGRAM_EXAMPLES: &str = "\
Examples:
  fobd device program ykoath:12345678 --product YK/HOTP --user 'acme\\alice' --ask-pin
  fobd device program ykoath:12345678 --token 10000042 --slot vpn --touch

Ctrl-C leaves the job to the server; `fobd job show JOB` tells how it stands.";

/// `fobd device program`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = PROGRAM_EXAMPLES)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["product", "token"]))]
pub struct ProgramArgs {
    /// The device, as `device list` names it.
    device: String,
    /// Make a new token of this product.
    #[arg(long, value_name = "MANUFACTURER/CODE")]
    product: Option<Product>,
    /// Program this token of the inventory.
    #[arg(long, value_name = "SERIAL")]
    token: Option<String>,
    /// The slot to write, a name or a number as the device has them; the server chooses a free one without this.
    #[arg(long, value_name = "SLOT")]
    slot: Option<String>,
    /// Assign the token to this user.
    #[arg(long, value_name = "DOMAIN\\LOGIN")]
    user: Option<User>,
    /// Have the token ask for a touch before each passcode.
    #[arg(long)]
    touch: bool,
    /// Follow the job for at most this long; to its end without this.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    #[command(flatten)]
    pin: PinArgs,
    #[command(flatten)]
    access_code: AccessCodeArgs,
}

impl DeviceCommand {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::List => {
                let result = session.call("device/list", &json!({}))?;
                let outcome = session.table("device/list", &result, DEVICES)?;
                for bus in result["buses"].as_array().into_iter().flatten() {
                    if let (Some(name), Some(error)) = (bus["name"].as_str(), bus["error"].as_str()) {
                        session.note(&format!("nothing can be seen over {name}: {error}"));
                    }
                }
                Ok(outcome)
            }
            Self::Slots { device, access_code } => {
                let result = session.call("device/slots", &params(device, None, access_code)?)?;
                session.table("device/slots", &result, SLOTS)
            }
            Self::Program(args) => args.run(session),
            Self::Watch => events::watch(session),
            Self::Doctor(doctor) => Ok(session.examine(doctor)),
            Self::Calculate { device, slot, access_code } => {
                let method = "device/calculate";
                let params = params(device, Some(slot), access_code)?;
                let result = session.call_prompting(method, &params, device)?;
                let passcode =
                    result["passcode"].as_str().ok_or(CliError::Reply { method, member: "passcode" })?;
                let line = format!("{}\n", output::printable(passcode));
                Ok(session.show(&result, |_| line))
            }
            Self::Erase { device, slot, yes, access_code } => {
                if !yes {
                    confirm(session, &format!("Erase slot {slot} of {device}? Type yes: "))?;
                }
                let method = "device/erase";
                let params = params(device, Some(slot), access_code)?;
                let job = session.call_prompting(method, &params, device)?;
                let done = format!("erased slot {slot} of {device}\n");
                job::follow(session, method, job, job::Following::default(), |_| done)
            }
        }
    }
}

impl ProgramArgs {
    fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        let mut attrs = Map::new();
        put(&mut attrs, "user", self.user.as_ref().map(User::selector));
        put(&mut attrs, "pin", self.pin.read(session.ask)?.map(|pin| pin.to_string()));
        put(&mut attrs, "touch", self.touch.then_some(true));
        let mut params = params(&self.device, self.slot.as_deref(), &self.access_code)?;
        // The server answers as soon as the job is on disk, so that its states can be told as they come.
        params["wait"] = 0.into();
        if let Some(product) = &self.product {
            params["product"] = product.selector();
        }
        if let Some(serial) = &self.token {
            params["token"] = selector::token(serial);
        }
        if !attrs.is_empty() {
            params["attrs"] = Value::Object(attrs);
        }
        let method = "device/program";
        // Listens before it asks, so that nothing is missed.
        let ear = session.ear();
        let job = session.call(method, &params)?;
        let following = job::Following { ear, patience: self.wait.map(Duration::from_secs) };
        job::follow(session, method, job, following, |job| {
            format!("ready: token {}\n", output::printable(job["token"]["serial"].as_str().unwrap_or("?")))
        })
    }
}

fn params(device: &str, slot: Option<&str>, access_code: &AccessCodeArgs) -> Result<Value, CliError> {
    let mut params = json!({ "device": device });
    if let Some(slot) = slot {
        params["slot"] = slot.into();
    }
    if let Some(code) = access_code.read()? {
        params["accessCode"] = code.as_str().into();
    }
    Ok(params)
}

pub(super) fn confirm(session: &mut Session<'_>, question: &str) -> Result<(), CliError> {
    if !session.ask.attended() {
        return Err(CliError::NotConfirmed);
    }
    let answer = session.ask.line(question).map_err(CliError::Input)?;
    match answer {
        Some(answer) if answer.trim().eq_ignore_ascii_case("yes") => Ok(()),
        _ => Err(CliError::NotConfirmed),
    }
}
