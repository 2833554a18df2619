//! Resynchronisation (RFC 4226 §7.4): finds a device far outside its window by two or three consecutive passcodes.
//!
//! A token that types an identifier before each passcode may do so here; who reads the passcodes aloud leaves it out.
//! HOTP searches from the counter to 1000 ahead, TOTP 120 steps either side of the forecast; all passcodes must lie
//! in there and above the floor. The passcodes must differ, so that one code typed twice never passes for a pair.
//! A match spends all of them, learns where the clock is from the last one (it is on the display now) and lets the credential
//! be used again. The device is proven then, but no PIN: only the token's own throttle is cleared. Clearing the
//! user's as well would let a thief of the device buy more guesses of the PIN with every resync.
//! A mismatch counts once on user, source and token like any wrong passcode, the same pair typed again included.

use std::sync::Arc;

use super::credential::{Credential, Kind};
use super::factor::FactorState;
use super::passcode::Passcode;
use super::policy::Policy;
use super::throttle::Throttle;
use super::time::Timestamp;
use super::verify::{bare, is_locked};
use super::window::Window;

/// Whose token is resynchronised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResyncSubject {
    /// Failures of the user, if the token has one.
    pub user: Option<Throttle>,
    /// Failures of the client address that the request came from, if known.
    pub source: Option<Throttle>,
    /// `None` for a token in stock whose secret is not known.
    pub credential: Option<Credential>,
    /// What the token types before each passcode, in either case.
    pub token_identifier: Option<Box<str>>,
    /// The moving part.
    pub factor: FactorState,
    /// Failures of the token.
    pub throttle: Throttle,
    /// Whether the server's clock cannot be trusted: then nothing that goes by time is judged.
    pub clock_suspect: bool,
    /// The policy of the token, if it is not that of the server.
    pub policy: Option<Arc<Policy>>,
}

/// Why a resync failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SyncRejection {
    /// User, source or token is locked. Nothing changed.
    #[error("locked after too many failures")]
    Locked,
    /// There must be two or three passcodes. Nothing changed.
    #[error("two or three consecutive passcodes are needed")]
    WrongCount,
    /// The passcodes are not consecutive ones of this token within the window. Counted.
    #[error("the passcodes do not fit")]
    Mismatch,
    /// The token has no secret yet. Nothing changed.
    #[error("the token has no secret")]
    NoSecret,
    /// The token goes by time, and the server's clock is suspect. Nothing changed.
    #[error("the server's clock is suspect")]
    ClockSuspect,
}

/// Looks for two or three consecutive passcodes and, if they fit, goes on from the last of them. User and source are
/// counted by the policy of the server, the token by its own.
///
/// # Errors
/// [`SyncRejection`] says why not, and whether that was counted.
pub fn resync(
    subject: &mut ResyncSubject,
    passcodes: &[&str],
    now: Timestamp,
    server: &Policy,
) -> Result<(), SyncRejection> {
    if !matches!(passcodes.len(), 2 | 3) {
        return Err(SyncRejection::WrongCount);
    }
    let Some(credential) = &subject.credential else { return Err(SyncRejection::NoSecret) };
    let own = subject.policy.clone();
    let policy = own.as_deref().unwrap_or(server);
    for throttle in [subject.user.as_mut(), subject.source.as_mut()].into_iter().flatten() {
        throttle.shorten(now, server);
    }
    subject.throttle.shorten(now, policy);
    let token = Some(subject.throttle);
    if [subject.user, subject.source, token].into_iter().any(|throttle| is_locked(throttle, now)) {
        return Err(SyncRejection::Locked);
    }
    let kind = credential.parameters.kind;
    if subject.clock_suspect && matches!(kind, Kind::Totp { .. }) {
        return Err(SyncRejection::ClockSuspect);
    }
    let Some(last) = search(subject, credential, passcodes, now, policy) else {
        if let Some(user) = &mut subject.user {
            user.fail(now, server);
        }
        if let Some(source) = &mut subject.source {
            source.fail_for_a_while(now, server);
        }
        subject.throttle.fail(now, policy);
        subject.factor.pending = None;
        return Err(SyncRejection::Mismatch);
    };
    subject.factor.spend(last);
    subject.factor.needs_sync = false;
    if let Kind::Totp { time_step } = kind {
        subject.factor.clock.resync(last, time_step, now, policy);
    }
    subject.factor.pending = None;
    subject.throttle.clear();
    Ok(())
}

/// The moving factor of the last passcode.
fn search(
    subject: &ResyncSubject,
    credential: &Credential,
    passcodes: &[&str],
    now: Timestamp,
    policy: &Policy,
) -> Option<u64> {
    let digits = credential.parameters.digits;
    let identifier = subject.token_identifier.as_deref().unwrap_or_default();
    let parse = |text: &&str| Passcode::parse(bare(text, digits, identifier), digits);
    let typed: Vec<_> = passcodes.iter().map(parse).collect::<Option<_>>()?;
    if typed.iter().enumerate().any(|(index, one)| typed.iter().skip(index + 1).any(|other| one == other)) {
        return None;
    }
    let window = Window::resync(credential.parameters.kind, &subject.factor, now, policy);
    window.search(&credential.generator(), &typed)
}

#[cfg(test)]
mod tests;
