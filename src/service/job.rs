//! Provisioning jobs: how they stand, and how they come to their end.

use serde_json::{Value as Json, json};
use zeroize::Zeroizing;

use super::error::{Error, Kind};
use super::server_clock;
use super::shown::{JobShown, TokenShown};
use crate::access::Caller;
use crate::app::App;
use crate::model::id::{JobId, TokenId};
use crate::model::status::JobState;
use crate::otp::credential::{Credential, Kind as Otp};
use crate::otp::passcode::Passcode;
use crate::store::{Reader, Store, Tx};

/// Shows a job.
///
/// # Errors
/// [`Kind::JobNotFound`].
pub async fn show(app: &App, job: JobId) -> Result<Json, Error> {
    show_in(&app.store, job).await
}

/// Shows a job to who has just started it: one without a token belongs to no scope.
pub(super) async fn show_own(app: &App, job: JobId) -> Result<Json, Error> {
    show_in(&app.store.whole(), job).await
}

async fn show_in(store: &Store, job: JobId) -> Result<Json, Error> {
    let row = store.read(move |reader| Ok::<_, Error>(reader.job_row(job)?)).await?;
    if row.is_null() { Err(Error::not_found("job")) } else { Ok(json!(shown(&row))) }
}

/// The form of a job on the wire.
pub(super) fn shown(row: &Json) -> JobShown<'_> {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let of_token = |name: &str| row["token"][name].as_str().map(str::to_owned);
    JobShown {
        job: text("id"),
        action: text("action"),
        state: text("state"),
        step: text("state"),
        device: text("device"),
        slot: text("slot"),
        token: of_token("id").zip(of_token("serial")).map(|(id, serial)| TokenShown { id, serial }),
        error: Some(text("error")).filter(|text| !text.is_empty()),
        operator: text("operator"),
        date_created: text("dateCreated"),
        last_updated: text("lastUpdated"),
    }
}

/// Confirms a job by a passcode that somebody read off the device.
///
/// # Errors
/// [`Kind::JobState`] if no passcode is awaited, [`Kind::NotProven`] if it is not one of the new credential;
/// [`Kind::ClockSuspect`] if it goes by time, while the server's clock cannot be trusted.
pub async fn confirm(
    app: &App,
    caller: &Caller,
    job: JobId,
    typed: Zeroizing<String>,
) -> Result<Json, Error> {
    let caller = caller.clone();
    let clock = app.guards.clock.check(&app.store).await;
    app.store
        .write(move |tx| {
            let found = tx.reader().job(job)?.ok_or_else(|| Error::not_found("job"))?;
            if found.state != JobState::AwaitingPasscode {
                let text = format!("the job is {}: it awaits no passcode", found.state.as_str());
                return Err(Error::new(Kind::JobState, text));
            }
            let (Some(token), Some(credential)) = (found.token, found.credential) else {
                return Err(Error::not_found("token"));
            };
            let policy = tx.reader().policy_of(token)?;
            let window = match credential.parameters.kind {
                Otp::Hotp => 0..=u64::from(policy.hotp_look_ahead),
                Otp::Totp { .. } if !clock.trusts(tx.now()) => return Err(server_clock::suspect()),
                Otp::Totp { time_step } => {
                    let step = time_step.step_at(tx.now());
                    let reach = u64::from(policy.totp_accept);
                    step.saturating_sub(reach)..=step.saturating_add(reach)
                }
            };
            let factor = fitting(&credential, &typed, window).ok_or_else(|| {
                Error::new(Kind::NotProven, "this passcode is not one of the new credential")
            })?;
            prove(tx, &caller, job, token, &credential, factor)?;
            Ok(())
        })
        .await?;
    show(app, job).await
}

pub(super) fn refuse_busy_slot(reader: &Reader<'_>, device: &str, slot: &str) -> Result<(), Error> {
    match reader.unfinished_job_at(device, slot)? {
        Some((job, JobState::AwaitingPasscode)) => {
            let text = format!(
                "job {job} waits for a passcode of slot `{slot}` of {device}: confirm the job, or erase the slot"
            );
            Err(Error::new(Kind::SlotInUse, text))
        }
        Some((job, _)) => {
            let text = format!("job {job} is at work on slot `{slot}` of {device}");
            Err(Error::new(Kind::SlotInUse, text))
        }
        None => Ok(()),
    }
}

pub(super) fn end(
    tx: &Tx<'_>,
    caller: &Caller,
    job: JobId,
    token: TokenId,
    state: JobState,
    error: &str,
) -> Result<(), Error> {
    tx.move_job(job, state, error)?;
    journal(tx, caller, job, Some(token), state.as_str());
    Ok(())
}

/// The new secret is proven: it becomes the token's, the proof is spent, the job is done.
pub(super) fn prove(
    tx: &Tx<'_>,
    caller: &Caller,
    job: JobId,
    token: TokenId,
    credential: &Credential,
    factor: u64,
) -> Result<(), Error> {
    tx.put_credential(token, credential, factor.saturating_add(1))?;
    end(tx, caller, job, token, JobState::Ready, "")
}

pub(super) fn journal(
    tx: &Tx<'_>,
    caller: &Caller,
    job: JobId,
    token: Option<TokenId>,
    outcome: &'static str,
) {
    let mut entry = caller.did("device/program");
    (entry.token, entry.outcome) = (token, outcome);
    entry.detail = format!("job {job}");
    tx.audit(entry);
}

/// The moving factor in the window whose passcode was given. The whole window is searched whatever is found.
pub(super) fn fitting(
    credential: &Credential,
    typed: &str,
    window: std::ops::RangeInclusive<u64>,
) -> Option<u64> {
    let typed = Passcode::parse(typed, credential.parameters.digits)?;
    let generator = credential.generator();
    window.fold(None, |found, factor| if generator.at(factor) == typed { Some(factor) } else { found })
}
