//! `fobd job`: following what the server does to a device.
//!
//! A job belongs to the server: it goes on when the client goes away, by Ctrl-C or otherwise. The client hears of its
//! states from the stream of events, or asks for them four times a second where there is none, tells each new state
//! once, and asks for the passcode where the device cannot tell it to the server.

use std::sync::Once;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::error::{CliError, Outcome};
use super::events::{Ear, Heard};
use super::output;
use super::session::{Session, TOUCH_NOW};

/// Between two looks at a job that is listened to.
const LOOK: Duration = Duration::from_secs(5);

/// How often somebody may mistype the passcode of a new credential.
const TRIES: u32 = 3;

/// `fobd job`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum JobCommand {
    /// Show how a job stands.
    #[command(after_help = "Example:\n  fobd job show j12")]
    Show {
        /// The job.
        job: String,
    },
    /// Confirm a job by a passcode of the new credential.
    #[command(after_help = "Example:\n  fobd job confirm j12 755224")]
    Confirm {
        /// The job.
        job: String,
        /// The passcode that the device shows; it is spent by this. Without it, it is asked for.
        passcode: Option<String>,
    },
}

impl JobCommand {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        match self {
            Self::Show { job } => {
                let result = session.call("job/get", &json!({ "job": job }))?;
                let first = ["job", "state", "device", "slot", "token", "error"];
                Ok(session.show(&result, |job| output::details(job, &first)))
            }
            Self::Confirm { job, passcode: Some(passcode) } => {
                let result = session.call("job/confirm", &json!({ "job": job, "passcode": passcode }))?;
                Ok(session.show(&result, state_line))
            }
            Self::Confirm { job, passcode: None } => match confirm_by_asking(session, job)? {
                Some(result) => Ok(session.show(&result, state_line)),
                None => Err(CliError::Empty { what: "passcode" }),
            },
        }
    }
}

fn state_line(result: &Value) -> String {
    format!("{}\n", output::printable(result["state"].as_str().unwrap_or("done")))
}

/// How a job is followed.
#[derive(Default)]
pub(super) struct Following {
    /// What hears of it, opened before the job was begun.
    pub(super) ear: Option<Ear>,
    /// How long; to its end without this.
    pub(super) patience: Option<Duration>,
}

/// Follows a job from the reply that named it to its end, or until `patience` is over.
pub(super) fn follow(
    session: &mut Session<'_>,
    method: &'static str,
    mut job: Value,
    following: Following,
    done: impl FnOnce(&Value) -> String,
) -> Result<Outcome, CliError> {
    let Following { mut ear, patience } = following;
    let id = job["job"].as_str().ok_or(CliError::Reply { method, member: "job" })?.to_owned();
    leave_on_ctrl_c(&id);
    let until = patience.map(|patience| Instant::now() + patience);
    let mut told = String::new();
    // What was heard before the reply came tells the same and what was before it, in order.
    let mut heard_already = ear.is_some();
    loop {
        let state = job["state"].as_str().ok_or(CliError::Reply { method, member: "state" })?.to_owned();
        match state.as_str() {
            "ready" => return Ok(session.show(&job, done)),
            "undone" | "wipe_before_use" => {
                let detail = job["error"].as_str().unwrap_or(meaning(&state)).to_owned();
                return Err(CliError::Job { job: id, state, detail });
            }
            _ => {}
        }
        let news = !std::mem::take(&mut heard_already);
        if news && state != told {
            session.progress(&state, meaning(&state));
            told.clone_from(&state);
        }
        if news && state == "awaiting_passcode" {
            if confirm_by_asking(session, &id)?.is_none() {
                session.note(&format!("job {id} waits for a passcode: fobd job confirm {id}"));
                return Ok(Outcome::Unfinished);
            }
        } else if until.is_some_and(|until| Instant::now() >= until) {
            session.note(&format!("job {id} goes on in the server: fobd job show {id}"));
            return Ok(Outcome::Unfinished);
        } else if let Some(heard) = listen(session, &mut ear, &job, until, &mut told) {
            job = heard;
            continue;
        }
        job =
            session.call("job/get", &json!({ "job": id })).map_err(|source| following_failed(&id, source))?;
    }
}

/// Waits until the job is heard to have moved on; `None` if it has to be asked for.
fn listen(
    session: &mut Session<'_>,
    ear: &mut Option<Ear>,
    job: &Value,
    until: Option<Instant>,
    told: &mut String,
) -> Option<Value> {
    let Some(open) = ear else {
        std::thread::sleep(session.poll);
        return None;
    };
    // Looks by itself now and then, whatever it hears.
    let patience = until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()).min(LOOK));
    loop {
        match open.next(patience) {
            Heard::Event(message) if message.event == "job" && message.data["job"] == job["job"] => {
                return Some(message.data);
            }
            Heard::Event(message) if message.is_touch_of(job["device"].as_str().unwrap_or_default()) => {
                // The journal says the same a moment later, unless the device is being written.
                if told != "awaiting_touch" {
                    session.progress("awaiting_touch", TOUCH_NOW);
                    "awaiting_touch".clone_into(told);
                }
            }
            Heard::Event(message) if message.event == "snapshot" && message.data["reason"] != "start" => {
                return None;
            }
            Heard::Event(_) | Heard::Answer(_) => {}
            Heard::Silence => return None,
            Heard::Over => {
                *ear = None;
                return None;
            }
        }
    }
}

fn following_failed(job: &str, source: super::client::ClientError) -> CliError {
    CliError::Following { job: job.to_owned(), source }
}

/// The states as people are told of them.
fn meaning(state: &str) -> &str {
    match state {
        "writing" => "writing to the token",
        "proving" => "proving: the token computes a passcode",
        "awaiting_touch" => TOUCH_NOW,
        "awaiting_passcode" => "the token cannot tell its passcode to the server",
        "undone" => "nothing was changed",
        "wipe_before_use" => "nobody knows what is in the slot now",
        other => other,
    }
}

/// Asks for a passcode and sends it; `None` if there is nobody to answer. A mistyped one is asked for again.
fn confirm_by_asking(session: &mut Session<'_>, job: &str) -> Result<Option<Value>, CliError> {
    let tries = if session.ask.attended() { TRIES } else { 1 };
    let mut left = tries;
    loop {
        left -= 1;
        let typed = session.ask.line("Passcode that the token shows: ").map_err(CliError::Input)?;
        let Some(passcode) = typed.map(|typed| Zeroizing::new(typed.trim().to_owned())) else {
            return Ok(None);
        };
        if passcode.is_empty() {
            return Ok(None);
        }
        match session.call("job/confirm", &json!({ "job": job, "passcode": passcode.as_str() })) {
            Ok(result) => return Ok(Some(result)),
            Err(error) if left > 0 && error.kind() == Some("job.not_proven") => {
                session.note(&error.to_string())
            }
            Err(error) => return Err(following_failed(job, error)),
        }
    }
}

/// From now on Ctrl-C leaves the job to the server and says how to find it again. Without signals (a runtime that
/// cannot start) it just ends the client, and the job goes on all the same.
fn leave_on_ctrl_c(job: &str) {
    static ONCE: Once = Once::new();
    let farewell = format!("\njob {job} goes on in the server: fobd job show {job}");
    ONCE.call_once(|| {
        let wait = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime
                && runtime.block_on(tokio::signal::ctrl_c()).is_ok()
            {
                eprintln!("{farewell}");
                std::process::exit(6);
            }
        };
        // Nobody joins it: it lives as long as the client.
        drop(std::thread::Builder::new().name("ctrl-c".to_owned()).spawn(wait));
    });
}
