//! The server's own clock: whether it can be trusted, and an admin's word that it can.
//!
//! [`crate::otp::server_clock`] decides. While the clock is suspect, nothing that goes by time is verified,
//! resynchronised or programmed. It is looked at with each question that depends on it, and once a second. A change is written down before whoever
//! noticed it goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use super::error::{Error, Kind};
use crate::access::Caller;
use crate::app::App;
use crate::otp::credential::Kind as Otp;
use crate::otp::server_clock::{Check, Kept, Reading, Suspicion, Trust};
use crate::otp::time::{Clock, Timestamp};
use crate::store::audit::Entry;
use crate::store::objects::iso;
use crate::store::{Store, StoreError};

/// Between two looks when nobody asks.
const LOOK: Duration = Duration::from_secs(1);

/// Watches the clock.
pub struct Watch {
    clock: Arc<dyn Clock>,
    boot_id: Option<String>,
    state: Mutex<State>,
}

struct State {
    trust: Trust,
    /// What is wrong, since when.
    suspicion: Option<(Suspicion, Timestamp)>,
    /// Whether the log says that the clock is suspect.
    told: bool,
}

/// How the clock stands.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ServerClockShown {
    /// What the clock says.
    time: String,
    /// Whether it is trusted. If not, time-based passcodes are refused.
    trusted: bool,
    /// What is wrong with it.
    problem: Option<String>,
    /// Since when, by the same clock.
    since: Option<String>,
}

impl Watch {
    /// Goes on from what an earlier start has kept.
    pub(super) async fn begin(store: &Store, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let (kept, written) =
            store.read(|reader| Ok::<_, Error>((reader.server_clock()?, reader.newest_times()?))).await?;
        let (boot_id, reading) = (clock.boot_id(), Reading::of(&*clock));
        let trust = Trust::resume(kept.as_ref(), boot_id.as_deref(), &written, reading);
        let state = Mutex::new(State { trust, suspicion: None, told: false });
        let this = Self { clock, boot_id, state };
        this.check(store).await;
        let kept = this.kept(this.state().trust);
        store.write(move |tx| Ok::<_, Error>(tx.keep_server_clock(&kept)?)).await?;
        Ok(this)
    }

    /// Looks at the clock. What has changed is written down first.
    pub async fn check(&self, store: &Store) -> Check {
        let (check, change) = self.look();
        if let Some((entry, kept)) = change {
            let suspect = check.suspect;
            let written = store.write(move |tx| {
                tx.keep_server_clock(&kept)?;
                tx.audit(entry);
                Ok::<_, StoreError>(())
            });
            if let Err(error) = written.await {
                tracing::error!(%error, "the state of the clock cannot be written down");
                // The next look tries again.
                self.state().told = !suspect;
            }
        }
        check
    }

    /// Refuses what goes by time while the clock is suspect.
    pub(super) async fn refuse_suspect(&self, store: &Store, kind: Otp) -> Result<(), Error> {
        if matches!(kind, Otp::Totp { .. }) && self.check(store).await.suspect {
            return Err(suspect());
        }
        Ok(())
    }

    /// What is wrong with the clock right now, in words.
    pub async fn problem(&self, store: &Store) -> Option<String> {
        self.check(store).await;
        self.state().suspicion.map(|(suspicion, _)| suspicion.to_string())
    }

    /// Looks at the clock, without writing anything down: what it says, and what is to be written.
    fn look(&self) -> (Check, Option<(Entry, Kept)>) {
        let mut state = self.state();
        let reading = Reading::of(&*self.clock);
        let suspicion = state.trust.check(reading);
        let since = state.suspicion.map_or(reading.wall, |(_, since)| since);
        state.suspicion = suspicion.map(|suspicion| (suspicion, since));
        let check = Check { wall: reading.wall, suspect: suspicion.is_some() };
        if state.told == check.suspect {
            return (check, None);
        }
        state.told = check.suspect;
        let (outcome, detail) = match suspicion {
            Some(suspicion) => {
                tracing::error!(
                    "the clock is suspect: {suspicion}; time-based passcodes are refused until it is right \
                     again or an admin says `fobd clock accept`"
                );
                ("clock_suspect", suspicion.to_string())
            }
            None => {
                tracing::warn!("the clock is right again");
                ("clock_right", String::new())
            }
        };
        (check, Some((entry_of_the_server(outcome, detail), self.kept(state.trust))))
    }

    fn kept(&self, trust: Trust) -> Kept {
        Kept { boot_id: self.boot_id.clone(), anchor: trust.anchor, newest: trust.newest }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry_of_the_server(outcome: &'static str, detail: String) -> Entry {
    Entry { operator: "(server)".to_owned(), action: "clock/check", token: None, user: None, outcome, detail }
}

/// What staff are told who ask for something that goes by time.
pub(super) fn suspect() -> Error {
    let text =
        "the clock of the server is suspect, so nothing that goes by time is judged: see `fobd clock status`";
    Error::new(Kind::ClockSuspect, text)
}

/// Shows how the clock stands.
pub async fn get(app: &App) -> Json {
    let watch = &app.guards.clock;
    watch.check(&app.store).await;
    let state = watch.state();
    json!(ServerClockShown {
        time: iso(app.clock.now()),
        trusted: state.suspicion.is_none(),
        problem: state.suspicion.map(|(suspicion, _)| suspicion.to_string()),
        since: state.suspicion.map(|(_, since)| iso(since)),
    })
}

/// An admin says that the clock is right as it is.
///
/// # Errors
/// If that cannot be written down: then nothing has changed.
pub async fn accept(app: &App, caller: &Caller) -> Result<Json, Error> {
    let watch = &app.guards.clock;
    watch.check(&app.store).await;
    let trust = Trust::accepting(Reading::of(&*watch.clock));
    let kept = watch.kept(trust);
    let mut entry = caller.did("clock/accept");
    "accepted".clone_into(&mut entry.detail);
    if let Some((suspicion, _)) = watch.state().suspicion {
        entry.detail = suspicion.to_string();
    }
    app.store
        .write(move |tx| {
            tx.keep_server_clock(&kept)?;
            tx.audit(entry);
            Ok::<_, Error>(())
        })
        .await?;
    *watch.state() = State { trust, suspicion: None, told: false };
    tracing::warn!(operator = caller.name, "the clock was accepted as it is");
    Ok(get(app).await)
}

/// Looks at the clock until told to stop.
pub async fn run(app: Arc<App>, mut stopping: watch::Receiver<bool>) {
    while tokio::time::timeout(LOOK, stopping.wait_for(|stop| *stop)).await.is_err() {
        app.guards.clock.check(&app.store).await;
    }
}
