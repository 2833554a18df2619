//! A job under way: write, let the device compute, compare.

use std::ops::RangeInclusive;
use std::sync::Arc;

use fobd_drivers::error::SlotState;
use fobd_drivers::token::{
    self as driver, Capabilities, LockCode, MovingFactor, SecretBytes, SlotConfig, SlotId,
};

use super::fit;
use super::reserve::Reserved;
use crate::access::Caller;
use crate::app::App;
use crate::devices::{DeviceError, DeviceId};
use crate::model::id::{JobId, TokenId};
use crate::model::status::JobState;
use crate::otp::credential::{Credential, Kind as Otp};
use crate::otp::time::Timestamp;
use crate::service::device::{Watching, to_driver};
use crate::service::error::Error;
use crate::service::job::{end, fitting, journal, prove};

/// A job under way.
pub(super) struct Run {
    pub(super) app: Arc<App>,
    pub(super) device: DeviceId,
    pub(super) capabilities: Capabilities,
    pub(super) unlock: Option<LockCode>,
    pub(super) touch: bool,
    pub(super) caller: Caller,
}

impl Run {
    pub(super) async fn finish(self, reserved: Reserved) {
        let job = reserved.job;
        if let Err(error) = self.write_and_prove(reserved).await {
            // The journal itself cannot be written: the next start settles the job by where it stands.
            tracing::error!(%job, %error, "the job cannot be journalled");
        }
    }

    async fn write_and_prove(&self, reserved: Reserved) -> Result<(), Error> {
        let Reserved { job, token, serial, slot, credential } = reserved;
        self.move_job(job, JobState::Writing, String::new()).await?;
        let counter = self.capabilities.first_counter;
        let config = slot_config(&credential, counter, self.touch, serial, self.app.clock.now());
        let attendant = Arc::new(Watching::default());
        let written = self
            .app
            .devices
            .program(&self.device, slot.clone(), config, self.unlock.clone(), attendant.clone())
            .await;
        if let Err(failure) = written {
            let text = failure.source.to_string();
            return match failure.slot {
                SlotState::Unchanged => self.undo(job, token, text).await,
                SlotState::Unknown => {
                    let text = format!("{text}: the slot may hold the old or the new secret, or none");
                    self.end(job, token, JobState::WipeBeforeUse, text).await
                }
            };
        }
        if !self.capabilities.calculates(fit::factor(&credential.parameters)) {
            let text =
                "the device shows its passcodes to people only: confirm the job with the next one".to_owned();
            return self.end(job, token, JobState::AwaitingPasscode, text).await;
        }
        if let Err(error) =
            self.app.guards.clock.refuse_suspect(&self.app.store, credential.parameters.kind).await
        {
            let text = format!("{error}: confirm the job with a passcode of the device once it is right");
            return self.end(job, token, JobState::AwaitingPasscode, text).await;
        }
        self.move_job(job, JobState::Proving, String::new()).await?;
        let (factor, expected) = self.proof(&credential);
        let digits = Some(credential.parameters.digits.get());
        match self.ask(job, slot, (factor, digits)).await {
            Ok(passcode) => {
                let caller = self.caller.clone();
                self.app
                    .store
                    .write(move |tx| match fitting(&credential, passcode.expose(), expected) {
                        Some(factor) => prove(tx, &caller, job, token, &credential, factor),
                        None => {
                            let text = "the device computes other passcodes than the new secret gives";
                            end(tx, &caller, job, token, JobState::WipeBeforeUse, text)
                        }
                    })
                    .await
            }
            // The device confirmed the write, so a passcode that somebody reads off it settles the job.
            Err(error) => {
                let text = format!("{error}: confirm the job with a passcode of the device");
                self.end(job, token, JobState::AwaitingPasscode, text).await
            }
        }
    }

    /// Which passcode proves the secret, and which moving factors it may have.
    fn proof(&self, credential: &Credential) -> (MovingFactor, RangeInclusive<u64>) {
        let Otp::Totp { time_step } = credential.parameters.kind else {
            let counter = self.capabilities.first_counter;
            return (MovingFactor::OnToken, counter..=counter);
        };
        let step = time_step.step_at(self.app.clock.now());
        if self.capabilities.clock {
            // It computes by a clock of its own, which the write has set; a step may have passed since.
            return (MovingFactor::TimeStep(step), step.saturating_sub(1)..=step.saturating_add(1));
        }
        // The step before this one: proving spends it, and the user can log in with the current one.
        let step = step.saturating_sub(1);
        (MovingFactor::TimeStep(step), step..=step)
    }

    /// Lets the device compute, and journals that it waits for a touch if it does.
    async fn ask(
        &self,
        job: JobId,
        slot: SlotId,
        factor: (MovingFactor, Option<u8>),
    ) -> Result<driver::Passcode, DeviceError> {
        let attendant = Arc::new(Watching::default());
        let asked =
            self.app.devices.calculate(&self.device, slot, factor, self.unlock.clone(), attendant.clone());
        tokio::pin!(asked);
        let touch = attendant.wanted.notified();
        tokio::select! {
            answer = &mut asked => return answer,
            () = touch => {}
        }
        if let Err(error) = self.move_job(job, JobState::AwaitingTouch, String::new()).await {
            tracing::warn!(%job, %error, "the prompt for a touch could not be journalled");
        }
        asked.await
    }

    async fn move_job(&self, job: JobId, state: JobState, error: String) -> Result<(), Error> {
        self.app.store.write(move |tx| Ok(tx.move_job(job, state, &error)?)).await
    }

    async fn undo(&self, job: JobId, token: TokenId, error: String) -> Result<(), Error> {
        let caller = self.caller.clone();
        self.app
            .store
            .write(move |tx| {
                tx.undo_job(job, &error)?;
                journal(tx, &caller, job, Some(token), "undone");
                Ok(())
            })
            .await
    }

    async fn end(&self, job: JobId, token: TokenId, state: JobState, error: String) -> Result<(), Error> {
        let caller = self.caller.clone();
        self.app.store.write(move |tx| end(tx, &caller, job, token, state, &error)).await
    }
}

/// From the server's terms to a driver's. The two stay apart: RFC limits here, what a firmware can hold there.
fn slot_config(
    credential: &Credential,
    counter: u64,
    touch: bool,
    serial: String,
    now: Timestamp,
) -> SlotConfig {
    SlotConfig {
        factor: match credential.parameters.kind {
            Otp::Hotp => driver::FactorConfig::Hotp { counter },
            Otp::Totp { time_step } => driver::FactorConfig::Totp { time_step: time_step.as_secs() },
        },
        algorithm: to_driver(credential.parameters.algorithm),
        digits: credential.parameters.digits.get(),
        secret: SecretBytes::new(credential.secret.expose().to_vec()),
        touch,
        label: Some(serial),
        now: driver::UnixTime(u64::try_from(now.as_secs()).unwrap_or(0)),
    }
}
