//! Verification: decides about what a user typed, and changes the state to match.
//!
//! What was typed is read from the right, per candidate: the last `digits` characters are the passcode, before them
//! stands the identifier that some tokens type themselves, the rest is the PIN (mirrored where policy has it behind).
//! The first candidate in priority order whose passcode and PIN both fit wins, and only it advances.
//!
//! If none wins:
//! - a right passcode with a wrong PIN is spent, so that one observed passcode buys one guess of the PIN;
//! - the failure counts once on the user, once on the source, and on a token only if it can be meant: it was named,
//!   it is the only one, or its own PIN or passcode was typed. The other tokens of a user stay out of it;
//! - the same text within a minute is not counted twice;
//! - a credential that waits for a resync is not judged; the attempt counts on user and source like any other;
//! - one that goes by time is not judged while the server's clock is suspect. If there was nothing else to judge,
//!   nothing is counted either: whoever typed the right passcode must not be locked for it.
//!
//! While user or source is locked, nothing is searched, counted or spent; a locked candidate is passed over.
//! Every call costs the same: per candidate, and at least once, one PIN MAC and one search of the whole window, with
//! stand-ins where there is nothing to judge. The [`Rejection`] is for the audit row: the caller of the API learns
//! accepted or rejected.

use std::hint::black_box;

use super::clock_model;
use super::credential::{Credential, Kind, Parameters};
use super::factor::FactorState;
use super::hotp::Generator;
use super::passcode::{Digits, Passcode};
use super::pin::{PinKey, PinRecord};
use super::policy::{PinPlacement, Policy};
use super::repeats::{MAX_TYPED_BYTES, RepeatKey, Repeats};
use super::throttle::Throttle;
use super::time::Timestamp;
use super::window::Window;

/// A token that may have made the passcode. One token must not stand twice in one [`Subject`]: its state would be
/// spent in one copy only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The caller's name for it, for example a row id. Not looked at.
    pub label: i64,
    /// `None` for a token in stock whose secret is not known.
    pub credential: Option<Credential>,
    /// The moving part.
    pub factor: FactorState,
    /// Failures of this token.
    pub throttle: Throttle,
    /// What is kept of the PIN. Without one nothing but the passcode may be typed.
    pub pin: Option<PinRecord>,
    /// The assignment that the PIN is bound to.
    pub pin_label: i64,
    /// What the token types before each passcode, for example `ubhe` (OATH token identifier), in either case.
    pub token_identifier: Option<String>,
    /// What was typed lately.
    pub repeats: Repeats,
    /// Whether status and dates of the assignment allow its use now.
    pub usable: bool,
    /// Whether the request named this token.
    pub named: bool,
    /// Whether it goes by time, and the server's clock cannot be trusted: then it is not judged.
    pub clock_suspect: bool,
}

impl Candidate {
    /// A usable candidate without PIN, history or failures.
    #[must_use]
    pub fn new(label: i64, credential: Option<Credential>, factor: FactorState) -> Self {
        Self {
            label,
            credential,
            factor,
            throttle: Throttle::default(),
            pin: None,
            pin_label: label,
            token_identifier: None,
            repeats: Repeats::default(),
            usable: true,
            named: false,
            clock_suspect: false,
        }
    }
}

/// Whom a passcode is verified for, and with which tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Failures of the user; `None` if nobody of that name is known, or none was named.
    pub user: Option<Throttle>,
    /// Failures of the client address that the request came from, if known.
    pub source: Option<Throttle>,
    /// In priority order.
    pub candidates: Vec<Candidate>,
}

/// The keys that a verification needs.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The key of the PINs.
    pub pin: PinKey,
    /// The key of the repeats.
    pub repeat: RepeatKey,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Right. The state has advanced; make it durable before anybody hears of it.
    Accepted {
        /// Index into [`Subject::candidates`].
        candidate: usize,
        /// The moving factor, spent.
        factor: u64,
    },
    /// Not accepted.
    Rejected(Rejection),
}

/// Why not. For the audit row only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// There is no usable candidate with a secret. Counted on user and source.
    NobodyToAsk,
    /// The user, the source or every usable candidate is locked. Nothing changed.
    Locked,
    /// All that is left waits for a resync. Counted on user and source.
    NeedsSync,
    /// A passcode fits, its PIN does not. The passcode is spent, unless policy says otherwise.
    WrongPin,
    /// No passcode fits.
    WrongPasscode,
    /// A token that goes by time cannot be judged now, and no other passcode fits. Counted on user and source only if
    /// there was another one to judge.
    ClockSuspect,
    /// Not right, and typed within the last minute already: not counted again.
    Repeated,
}

/// Decides about `typed`, at the time `now`, and changes `subject` to match. See the module for the rules.
pub fn verify(subject: &mut Subject, typed: &str, now: Timestamp, keys: &Keys, policy: &Policy) -> Verdict {
    let attempt = Attempt { typed, mac: keys.repeat.mac(typed), now, policy };
    shorten_locks(subject, now, policy);
    let barred = is_locked(subject.user, now) || is_locked(subject.source, now);
    let findings: Vec<_> =
        subject.candidates.iter().map(|candidate| attempt.examine(candidate, barred, keys)).collect();
    if findings.is_empty() {
        black_box(attempt.examine(&Candidate::new(0, None, FactorState::default()), barred, keys));
    }
    if barred {
        return Verdict::Rejected(Rejection::Locked);
    }
    let winner =
        findings.iter().enumerate().find_map(|(index, finding)| Some((index, finding.winning_factor()?)));
    match winner {
        Some((candidate, factor)) => {
            attempt.accept(subject, candidate, factor);
            Verdict::Accepted { candidate, factor }
        }
        None => Verdict::Rejected(attempt.refuse(subject, &findings)),
    }
}

/// No lock outlives the longest one because the clock ran ahead when it was made.
fn shorten_locks(subject: &mut Subject, now: Timestamp, policy: &Policy) {
    let Subject { user, source, candidates } = subject;
    let tokens = candidates.iter_mut().map(|candidate| &mut candidate.throttle);
    for throttle in [user.as_mut(), source.as_mut()].into_iter().flatten().chain(tokens) {
        throttle.shorten(now, policy);
    }
}

pub(super) fn is_locked(throttle: Option<Throttle>, now: Timestamp) -> bool {
    throttle.is_some_and(|throttle| throttle.locked(now).is_some())
}

/// What one candidate has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// It is not usable, or has no secret.
    Absent,
    /// It is locked.
    Locked,
    /// It waits for a resync.
    NeedsSync,
    /// It goes by a clock that is suspect.
    ClockSuspect,
    /// It was judged.
    Judged {
        /// The moving factor of the passcode, if it fits.
        factor: Option<u64>,
        /// Whether the PIN fits; without one, whether none was typed.
        pin_fits: bool,
    },
}

impl Finding {
    const fn winning_factor(self) -> Option<u64> {
        match self {
            Self::Judged { factor, pin_fits: true } => factor,
            _ => None,
        }
    }
}

/// One request.
struct Attempt<'a> {
    typed: &'a str,
    mac: [u8; 32],
    now: Timestamp,
    policy: &'a Policy,
}

impl Attempt<'_> {
    /// Judges one candidate, or does the same work on stand-ins if it is not to be judged.
    fn examine(&self, candidate: &Candidate, barred: bool, keys: &Keys) -> Finding {
        let credential = candidate.credential.as_ref().filter(|_| candidate.usable);
        let locked = barred || candidate.throttle.locked(self.now).is_some();
        let judged =
            credential.filter(|_| !locked && !candidate.factor.needs_sync && !candidate.clock_suspect);

        let parameters = candidate.credential.as_ref().map_or(Parameters::HOTP, |known| known.parameters);
        let generator = judged.map_or_else(
            || Generator::stand_in(parameters.algorithm, parameters.digits),
            Credential::generator,
        );
        let (passcode, rest) = self.split(parameters.digits, candidate.token_identifier.as_deref());
        let factor = self.window(candidate, parameters.kind).search(&generator, &[passcode]);
        let pin_fits = {
            let record = candidate.pin.filter(|_| judged.is_some());
            let equal = keys.pin.matches(candidate.pin_label, &record.unwrap_or(PinRecord::STAND_IN), rest);
            black_box(equal) & record.is_some() | candidate.pin.is_none() & rest.is_empty()
        };
        match (judged, credential) {
            (Some(_), _) => Finding::Judged { factor, pin_fits },
            (None, None) => Finding::Absent,
            (None, Some(_)) if locked => Finding::Locked,
            (None, Some(_)) if candidate.clock_suspect => Finding::ClockSuspect,
            (None, Some(_)) => Finding::NeedsSync,
        }
    }

    fn window(&self, candidate: &Candidate, kind: Kind) -> Window {
        let look_ahead = match candidate.pin {
            Some(_) => self.policy.hotp_look_ahead,
            None => self.policy.hotp_look_ahead_without_pin,
        };
        Window::of(kind, &candidate.factor, self.now, look_ahead, self.policy.totp_accept)
    }

    /// Takes what was typed apart, into the passcode and the rest. What cannot be taken apart gives a passcode that
    /// never fits.
    fn split(&self, digits: Digits, identifier: Option<&str>) -> (Passcode, &str) {
        let typed = if self.typed.len() > MAX_TYPED_BYTES { "" } else { self.typed };
        let apart = match self.policy.pin_placement {
            PinPlacement::Prefix => split_prefix(typed, digits, identifier.unwrap_or_default()),
            PinPlacement::Suffix => split_suffix(typed, digits, identifier.unwrap_or_default()),
        };
        apart.unwrap_or((Passcode::impossible(digits), typed))
    }

    /// The winner advances; user, source and its token are in the clear.
    fn accept(&self, subject: &mut Subject, index: usize, factor: u64) {
        for throttle in [&mut subject.user, &mut subject.source].into_iter().flatten() {
            throttle.clear();
        }
        let Some(winner) = subject.candidates.get_mut(index) else { return };
        winner.factor.spend(factor);
        if let Some(Parameters { kind: Kind::Totp { time_step }, .. }) =
            winner.credential.as_ref().map(|credential| credential.parameters)
        {
            clock_model::learn(&mut winner.factor, factor, time_step, self.now);
        }
        winner.throttle.clear();
        // A form sent twice is a replay the second time, and must not count as a failure.
        winner.repeats.seen_recently(self.mac, self.now, self.policy.repeat_window);
    }

    /// Nobody won: spends, counts and says why.
    fn refuse(&self, subject: &mut Subject, findings: &[Finding]) -> Rejection {
        let has = |wanted: Finding| findings.contains(&wanted);
        let judged = findings.iter().any(|finding| matches!(finding, Finding::Judged { .. }));
        if !judged && has(Finding::ClockSuspect) {
            return Rejection::ClockSuspect;
        }
        if !judged && !has(Finding::NeedsSync) && has(Finding::Locked) {
            return Rejection::Locked;
        }
        let repeated = self.repeated(subject, findings);
        self.spend(subject, findings);
        if repeated {
            return Rejection::Repeated;
        }
        self.count(subject, findings);
        if findings.iter().any(|finding| matches!(finding, Finding::Judged { factor: Some(_), .. })) {
            Rejection::WrongPin
        } else if has(Finding::ClockSuspect) {
            Rejection::ClockSuspect
        } else if judged {
            Rejection::WrongPasscode
        } else if has(Finding::NeedsSync) {
            Rejection::NeedsSync
        } else {
            Rejection::NobodyToAsk
        }
    }

    /// Whether this was typed lately; remembers it with every candidate that was asked.
    fn repeated(&self, subject: &mut Subject, findings: &[Finding]) -> bool {
        let asked = |finding: &Finding| matches!(finding, Finding::Judged { .. } | Finding::NeedsSync);
        let mut repeated = false;
        for (candidate, _) in subject.candidates.iter_mut().zip(findings).filter(|(_, f)| asked(f)) {
            repeated |= candidate.repeats.seen_recently(self.mac, self.now, self.policy.repeat_window);
        }
        repeated
    }

    /// Spends the passcodes that fit with a wrong PIN.
    fn spend(&self, subject: &mut Subject, findings: &[Finding]) {
        if !self.policy.spend_on_wrong_pin {
            return;
        }
        for (candidate, finding) in subject.candidates.iter_mut().zip(findings) {
            if let Finding::Judged { factor: Some(factor), .. } = finding {
                candidate.factor.spend(*factor);
            }
        }
    }

    /// Counts the failure on user and source, and on each token that can be meant.
    fn count(&self, subject: &mut Subject, findings: &[Finding]) {
        for throttle in [&mut subject.user, &mut subject.source].into_iter().flatten() {
            throttle.fail(self.now, self.policy);
        }
        let only = findings.iter().filter(|finding| **finding != Finding::Absent).count() == 1;
        for (candidate, finding) in subject.candidates.iter_mut().zip(findings) {
            let Finding::Judged { factor, pin_fits } = finding else { continue };
            // Not having a PIN is no sign that this token was meant.
            let own_pin = *pin_fits && candidate.pin.is_some();
            if candidate.named || only || factor.is_some() || own_pin {
                candidate.throttle.fail(self.now, self.policy);
            }
        }
    }
}

/// PIN, identifier, passcode.
fn split_prefix<'t>(typed: &'t str, digits: Digits, identifier: &str) -> Option<(Passcode, &'t str)> {
    let (rest, passcode) = typed.split_at_checked(typed.len().checked_sub(digits.length())?)?;
    let (pin, prefix) = rest.split_at_checked(rest.len().checked_sub(identifier.len())?)?;
    prefix.eq_ignore_ascii_case(identifier).then_some((Passcode::parse(passcode, digits)?, pin))
}

/// Identifier, passcode, PIN.
fn split_suffix<'t>(typed: &'t str, digits: Digits, identifier: &str) -> Option<(Passcode, &'t str)> {
    let (prefix, rest) = typed.split_at_checked(identifier.len())?;
    let (passcode, pin) = rest.split_at_checked(digits.length())?;
    prefix.eq_ignore_ascii_case(identifier).then_some((Passcode::parse(passcode, digits)?, pin))
}

#[cfg(test)]
mod tests;
