//! Verification: decides about what a user typed, and changes the state to match.
//!
//! What was typed is read from the right, per candidate: the last `digits` characters are the passcode, before them
//! stands the identifier that some tokens type themselves, the rest is the PIN (mirrored where policy has it behind; in
//! a field of its own, it ends with a separator).
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
//! - where policy has the automatic resync, a passcode further off than what is accepted, with the right PIN, is
//!   remembered; a second one in the next attempt that shows the device at the same place wins, and both are spent.
//!
//! While user or source is locked, nothing is searched, counted or spent; a locked candidate is passed over.
//! Every call costs the same: per candidate, and at least once, one PIN MAC and one search of the whole window, with
//! stand-ins where there is nothing to judge; how large a window is depends on policy and on how long the token lay
//! idle, never on what was typed. User and source are counted by the policy of the server, each token by its own. The
//! [`Rejection`] is for the audit row: the caller of the API learns
//! accepted or rejected.

use std::hint::black_box;
use std::sync::Arc;

use super::credential::{Credential, Kind, Parameters};
use super::factor::{FactorState, Pending};
use super::hotp::Generator;
use super::passcode::{Digits, Passcode};
use super::pin::{PinKey, PinRecord};
use super::policy::{PIN_END, PinPlacement, Policy};
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
    pub token_identifier: Option<Box<str>>,
    /// What was typed lately.
    pub repeats: Repeats,
    /// Whether status and dates of the assignment allow its use now.
    pub usable: bool,
    /// Whether the request named this token.
    pub named: bool,
    /// Whether it goes by time, and the server's clock cannot be trusted: then it is not judged.
    pub clock_suspect: bool,
    /// The policy of this token, if it is not that of the server.
    pub policy: Option<Arc<Policy>>,
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
            policy: None,
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
    /// PIN and passcode fit, and the passcode is further off than what is accepted. Counted; a second one is awaited.
    OutOfSync,
    /// Not right, and typed within the last minute already: not counted again.
    Repeated,
}

/// Decides about `typed`, at the time `now`, and changes `subject` to match. See the module for the rules.
pub fn verify(subject: &mut Subject, typed: &str, now: Timestamp, keys: &Keys, policy: &Policy) -> Verdict {
    judge(subject, typed, now, keys, policy).0
}

/// The same, and what each candidate had to say to it, in their order.
pub fn judge(
    subject: &mut Subject,
    typed: &str,
    now: Timestamp,
    keys: &Keys,
    policy: &Policy,
) -> (Verdict, Vec<Finding>) {
    let attempt = Attempt { typed, mac: keys.repeat.mac(typed), now, server: policy };
    shorten_locks(subject, now, policy);
    let barred = is_locked(subject.user, now) || is_locked(subject.source, now);
    let findings: Vec<_> =
        subject.candidates.iter().map(|candidate| attempt.examine(candidate, barred, keys)).collect();
    if findings.is_empty() {
        black_box(attempt.examine(&Candidate::new(0, None, FactorState::default()), barred, keys));
    }
    if barred {
        return (Verdict::Rejected(Rejection::Locked), findings);
    }
    let winner =
        findings.iter().enumerate().find_map(|(index, finding)| Some((index, finding.winning_factor()?)));
    let verdict = match winner {
        Some((candidate, factor)) => {
            attempt.accept(subject, candidate, factor);
            attempt.forget_firsts(subject, &findings, candidate);
            Verdict::Accepted { candidate, factor }
        }
        None => Verdict::Rejected(attempt.refuse(subject, &findings)),
    };
    (verdict, findings)
}

/// No lock outlives the longest one because the clock ran ahead when it was made.
fn shorten_locks(subject: &mut Subject, now: Timestamp, server: &Policy) {
    let Subject { user, source, candidates } = subject;
    for throttle in [user, source].into_iter().flatten() {
        throttle.shorten(now, server);
    }
    for candidate in candidates {
        candidate.throttle.shorten(now, candidate.policy.as_deref().unwrap_or(server));
    }
}

pub(super) fn is_locked(throttle: Option<Throttle>, now: Timestamp) -> bool {
    throttle.is_some_and(|throttle| throttle.locked(now).is_some())
}

/// What one candidate has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
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
        /// The moving factor of a passcode that is further off than what is accepted, but not too far to be the
        /// first of two.
        beyond: Option<u64>,
        /// Whether the PIN fits; without one, whether none was typed.
        pin_fits: bool,
    },
}

impl Finding {
    const fn winning_factor(self) -> Option<u64> {
        match self {
            Self::Judged { factor, pin_fits: true, .. } => factor,
            _ => None,
        }
    }

    /// Whether it may be the first of two passcodes that are a resync.
    const fn is_first(&self) -> bool {
        matches!(self, Self::Judged { factor: None, beyond: Some(_), pin_fits: true })
    }
}

/// One request.
struct Attempt<'a> {
    typed: &'a str,
    mac: [u8; 32],
    now: Timestamp,
    server: &'a Policy,
}

impl<'a> Attempt<'a> {
    fn policy_of<'p>(&'p self, candidate: &'p Candidate) -> &'p Policy {
        candidate.policy.as_deref().unwrap_or(self.server)
    }

    /// Judges one candidate, or does the same work on stand-ins if it is not to be judged.
    fn examine(&self, candidate: &Candidate, barred: bool, keys: &Keys) -> Finding {
        let credential = candidate.credential.as_ref().filter(|_| candidate.usable);
        let locked = barred || candidate.throttle.locked(self.now).is_some();
        let judged =
            credential.filter(|_| !locked && !candidate.factor.needs_sync && !candidate.clock_suspect);

        let policy = self.policy_of(candidate);
        let parameters = candidate.credential.as_ref().map_or(Parameters::HOTP, |known| known.parameters);
        let generator = judged.map_or_else(
            || Generator::stand_in(parameters.algorithm, parameters.digits),
            Credential::generator,
        );
        let identifier = candidate.token_identifier.as_deref();
        let (passcode, rest) = self.split(parameters.digits, identifier, policy.pin_placement);
        let (factor, beyond) = self.search(candidate, parameters.kind, &generator, passcode);
        let pin_fits = {
            let record = candidate.pin.filter(|_| judged.is_some());
            let equal = keys.pin.matches(candidate.pin_label, &record.unwrap_or(PinRecord::STAND_IN), rest);
            black_box(equal) & record.is_some() | candidate.pin.is_none() & rest.is_empty()
        };
        match (judged, credential) {
            (Some(_), _) => Finding::Judged { factor, beyond, pin_fits },
            (None, None) => Finding::Absent,
            (None, Some(_)) if locked => Finding::Locked,
            (None, Some(_)) if candidate.clock_suspect => Finding::ClockSuspect,
            (None, Some(_)) => Finding::NeedsSync,
        }
    }

    /// The moving factor of the passcode: of one that is accepted, or of one that is further off.
    fn search(
        &self,
        candidate: &Candidate,
        kind: Kind,
        generator: &Generator,
        passcode: Passcode,
    ) -> (Option<u64>, Option<u64>) {
        let (policy, state) = (self.policy_of(candidate), &candidate.factor);
        let look_ahead = match candidate.pin {
            Some(_) => policy.hotp_look_ahead,
            None => policy.hotp_look_ahead_without_pin,
        };
        let accepted = Window::accepted(kind, state, self.now, look_ahead, policy);
        if !policy.auto_resync {
            return (accepted.search(generator, &[passcode]), None);
        }
        let second = Window::second(kind, state, self.now, policy).search(generator, &[passcode]);
        let asking = Window::asking(kind, state, self.now, look_ahead, policy).search(generator, &[passcode]);
        match asking.filter(|factor| accepted.holds(*factor)) {
            Some(factor) => (Some(factor), None),
            None => (second, asking),
        }
    }

    /// Takes what was typed apart, into the passcode and the rest. What cannot be taken apart gives a passcode that
    /// never fits.
    fn split(
        &self,
        digits: Digits,
        identifier: Option<&str>,
        placement: PinPlacement,
    ) -> (Passcode, &'a str) {
        let typed = if self.typed.len() > MAX_TYPED_BYTES { "" } else { self.typed };
        split(typed, digits, identifier.unwrap_or_default(), placement)
            .unwrap_or((Passcode::impossible(digits), typed))
    }

    /// The winner advances; user, source and its token are in the clear.
    fn accept(&self, subject: &mut Subject, index: usize, factor: u64) {
        for throttle in [&mut subject.user, &mut subject.source].into_iter().flatten() {
            throttle.clear();
        }
        let Some(winner) = subject.candidates.get_mut(index) else { return };
        let own = winner.policy.clone();
        let policy = own.as_deref().unwrap_or(self.server);
        winner.factor.spend(factor);
        if let Some(Parameters { kind: Kind::Totp { time_step }, .. }) =
            winner.credential.as_ref().map(|credential| credential.parameters)
        {
            winner.factor.clock.learn(factor, time_step, self.now, policy);
        }
        winner.factor.pending = None;
        winner.throttle.clear();
        // A form sent twice is a replay the second time, and must not count as a failure.
        winner.repeats.seen_recently(self.mac, self.now, policy.repeat_window);
    }

    /// Another token won: what was the first of two passcodes of one that was judged too is followed by nothing.
    fn forget_firsts(&self, subject: &mut Subject, findings: &[Finding], winner: usize) {
        for (index, (candidate, finding)) in subject.candidates.iter_mut().zip(findings).enumerate() {
            if index != winner && matches!(finding, Finding::Judged { .. }) {
                candidate.factor.pending = None;
            }
        }
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
        self.remember_firsts(subject, findings);
        if repeated {
            return Rejection::Repeated;
        }
        self.count(subject, findings);
        if findings.iter().any(|finding| matches!(finding, Finding::Judged { factor: Some(_), .. })) {
            Rejection::WrongPin
        } else if findings.iter().any(|finding| finding.is_first()) {
            Rejection::OutOfSync
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
            let window = candidate.policy.as_deref().unwrap_or(self.server).repeat_window;
            repeated |= candidate.repeats.seen_recently(self.mac, self.now, window);
        }
        repeated
    }

    /// A passcode that is too far off is remembered with the token it may be of; any other attempt ends such a
    /// memory. The same passcode again, from a form that was sent twice, leaves it as it is.
    fn remember_firsts(&self, subject: &mut Subject, findings: &[Finding]) {
        for (candidate, finding) in subject.candidates.iter_mut().zip(findings) {
            let Finding::Judged { beyond, .. } = finding else { continue };
            let first = beyond.filter(|_| finding.is_first());
            if candidate.factor.pending.map(|pending| pending.factor) != first {
                candidate.factor.pending = first.map(|factor| Pending { factor, at: self.now });
            }
        }
    }

    /// Spends the passcodes that fit with a wrong PIN.
    fn spend(&self, subject: &mut Subject, findings: &[Finding]) {
        for (candidate, finding) in subject.candidates.iter_mut().zip(findings) {
            if let Finding::Judged { factor: Some(factor), .. } = finding
                && self.policy_of(candidate).spend_on_wrong_pin
            {
                candidate.factor.spend(*factor);
            }
        }
    }

    /// Counts the failure on user and source, and on each token that can be meant.
    fn count(&self, subject: &mut Subject, findings: &[Finding]) {
        if let Some(user) = &mut subject.user {
            user.fail(self.now, self.server);
        }
        if let Some(source) = &mut subject.source {
            source.fail_for_a_while(self.now, self.server);
        }
        let only = findings.iter().filter(|finding| **finding != Finding::Absent).count() == 1;
        for (candidate, finding) in subject.candidates.iter_mut().zip(findings) {
            let Finding::Judged { factor, pin_fits, .. } = finding else { continue };
            // Not having a PIN is no sign that this token was meant.
            let own_pin = *pin_fits && candidate.pin.is_some();
            if candidate.named || only || factor.is_some() || own_pin || finding.is_first() {
                let own = candidate.policy.clone();
                candidate.throttle.fail(self.now, own.as_deref().unwrap_or(self.server));
            }
        }
    }
}

/// Takes what was typed apart: the passcode, and the rest. `None` where no passcode can be.
pub(super) fn split<'t>(
    typed: &'t str,
    digits: Digits,
    identifier: &str,
    placement: PinPlacement,
) -> Option<(Passcode, &'t str)> {
    match placement {
        PinPlacement::Prefix => split_prefix(typed, digits, identifier),
        PinPlacement::Suffix => split_suffix(typed, digits, identifier),
        PinPlacement::Field => split_field(typed, digits, identifier),
    }
}

/// A passcode without a PIN, without the identifier if one was typed. It is told by the length: a passcode alone may
/// begin with the digits of an identifier.
pub(super) fn bare<'t>(typed: &'t str, digits: Digits, identifier: &str) -> &'t str {
    typed
        .split_at_checked(identifier.len())
        .filter(|(prefix, rest)| rest.len() == digits.length() && prefix.eq_ignore_ascii_case(identifier))
        .map_or(typed, |(_, passcode)| passcode)
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

/// PIN and its end, if there was one; identifier, passcode.
fn split_field<'t>(typed: &'t str, digits: Digits, identifier: &str) -> Option<(Passcode, &'t str)> {
    let (pin, shown) = typed.rsplit_once(PIN_END).unwrap_or(("", typed));
    let (passcode, rest) = split_prefix(shown, digits, identifier)?;
    rest.is_empty().then_some((passcode, pin))
}

#[cfg(test)]
mod tests;
