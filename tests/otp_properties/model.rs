//! A reference model of verification: slow, in wide integers and whole sets, written from the rules and not from the
//! server. It knows tokens by their secret, computes passcodes with the oracle, and keeps what was typed as text.
//!
//! Where a clock is thought to be it takes from the clock model of the core, which has a reference of its own
//! (`src/otp/clock_model/tests.rs`); without the clock model it keeps the offset itself.

use std::cell::RefCell;
use std::collections::HashMap;

use fobd::otp::algorithm::Algorithm;
use fobd::otp::clock_model::ClockState;
use fobd::otp::policy::{PIN_END, PinPlacement, Policy};
use fobd::otp::time::Timestamp;
use fobd::otp::totp::TimeStep;

use crate::otp_oracle;

/// The one value no factor may take: nothing would be left above it.
const NEVER: i128 = u64::MAX as i128;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Count {
    pub(super) failures: u32,
    /// Milliseconds.
    pub(super) until: Option<i64>,
}

impl Count {
    fn locked(&self, now: i64) -> bool {
        matches!(self.until, Some(until) if until > now || until == i64::MAX)
    }

    /// A lock that is longer than any lock was made while the clock was ahead: it ends as the longest one would.
    fn shorten(&mut self, now: i64, policy: &Policy) {
        let longest = now + policy.longest_lock.as_millis() as i64;
        if matches!(self.until, Some(until) if until > longest && until != i64::MAX) {
            self.until = Some(longest);
        }
    }

    /// `for_good`: whether it is a thing that can be locked for good.
    fn failed(&mut self, now: i64, policy: &Policy, for_good: bool) {
        self.failures += 1;
        if self.failures >= policy.max_failures {
            let mut lock = policy.first_lock;
            for _ in policy.max_failures..self.failures {
                lock = (lock * 2).min(policy.longest_lock);
            }
            self.until = Some(now + lock.min(policy.longest_lock).as_millis() as i64);
        }
        if for_good && policy.permanent_lock_after != 0 && self.failures >= policy.permanent_lock_after {
            self.until = Some(i64::MAX);
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) secret: Option<Vec<u8>>,
    pub(super) algorithm: Algorithm,
    pub(super) digits: u32,
    /// Seconds; `None` for HOTP.
    pub(super) step: Option<i64>,
    pub(super) pin: Option<String>,
    pub(super) usable: bool,
    pub(super) next: i128,
    pub(super) clock: ClockState,
    pub(super) needs_sync: bool,
    /// A passcode that was too far off, and when it was typed.
    pub(super) pending: Option<(i128, i64)>,
    pub(super) count: Count,
    /// By user: text and when it was first typed, oldest first.
    pub(super) typed: [Vec<(String, i64)>; 2],
    /// Its own policy.
    pub(super) policy: Option<Policy>,
    pub(super) codes: RefCell<HashMap<u64, String>>,
}

impl Token {
    pub(super) fn code(&self, factor: i128) -> String {
        let factor = factor.clamp(0, i128::from(u64::MAX)) as u64;
        let secret = self.secret.as_deref().unwrap_or(b"nobody has it");
        let make = || otp_oracle::passcode(secret, self.algorithm, self.digits, factor);
        self.codes.borrow_mut().entry(factor).or_insert_with(make).clone()
    }

    fn rules<'p>(&'p self, server: &'p Policy) -> &'p Policy {
        self.policy.as_ref().unwrap_or(server)
    }

    /// Where the device is thought to be, and how far around that is accepted.
    pub(super) fn expected(&self, now: i64, server: &Policy) -> (i128, i128) {
        let policy = self.rules(server);
        let Some(step) = self.step else {
            let ahead = match &self.pin {
                Some(_) => policy.hotp_look_ahead,
                None => policy.hotp_look_ahead_without_pin,
            };
            return (self.next, i128::from(ahead));
        };
        if !policy.clock_model {
            let there = i128::from(now.max(0)) + i128::from(self.clock.offset_ms);
            return ((there / i128::from(step * 1000)).max(0), i128::from(policy.totp_accept));
        }
        let forecast = self.clock.forecast(time_step(step), Timestamp::from_millis(now), policy);
        let (least, most) = (policy.totp_accept, policy.totp_accept.max(policy.totp_check));
        assert!((least..=most).contains(&forecast.reach), "{forecast:?} is wider than it may be");
        (i128::from(forecast.step), i128::from(forecast.reach))
    }

    /// Every factor that may be accepted, of those so far ahead of the counter or either side of the forecast.
    fn open(&self, centre: i128, reach: i128) -> Vec<i128> {
        let from = if self.step.is_some() { centre - reach } else { centre };
        (from.max(0)..=centre + reach).filter(|factor| *factor >= self.next && *factor < NEVER).collect()
    }

    /// Where the second of two passcodes that are a resync may be.
    fn seconds(&self, now: i64, policy: &Policy) -> (i128, Vec<i128>) {
        let live = |at: i64| at <= now && now - at <= policy.auto_resync_within.as_millis() as i64;
        let Some((first, _)) = self.pending.filter(|(_, at)| live(*at)) else { return (0, Vec::new()) };
        let at = self.pending.map_or(0, |(_, at)| at);
        let (centre, slack) = match self.step {
            None => (first + 1, 0),
            Some(step) => (first + i128::from(now.max(0) / 1000 / step - at.max(0) / 1000 / step), 1),
        };
        let fits = |factor: &i128| *factor > first && *factor >= self.next && *factor < NEVER;
        (centre, (centre - slack..=centre + slack).filter(fits).collect())
    }

    /// The one of these factors whose passcode this is, the nearest one to the centre.
    fn fit(&self, factors: Vec<i128>, centre: i128, is: impl Fn(&str) -> bool) -> Option<i128> {
        let fitting = factors.into_iter().filter(|factor| is(&self.code(*factor)));
        fitting.min_by_key(|factor| ((factor - centre).abs(), *factor))
    }

    fn learn(&mut self, factor: i128, now: i64, server: &Policy, resync: bool) {
        self.next = self.next.max(factor + 1);
        self.pending = None;
        let Some(step) = self.step else { return };
        let policy = self.policy.clone().unwrap_or_else(|| server.clone());
        let at = Timestamp::from_millis(now);
        match resync {
            true => self.clock.resync(factor as u64, time_step(step), at, &policy),
            false => self.clock.learn(factor as u64, time_step(step), at, &policy),
        }
        if !policy.clock_model && (resync || !self.clock.frozen) {
            let step = i128::from(step * 1000);
            let offset = factor * step + step / 2 - i128::from(now.max(0));
            assert_eq!(i128::from(self.clock.offset_ms), offset, "the offset of the last success");
        }
    }

    fn asked(&self, now: i64) -> bool {
        self.usable && self.secret.is_some() && !self.count.locked(now)
    }

    /// Whether the text was typed lately; it is known from now on.
    fn known(&mut self, user: usize, text: &str, now: i64, server: &Policy) -> bool {
        let window = self.rules(server).repeat_window.as_millis() as i64;
        let typed = &mut self.typed[user];
        typed.retain(|(_, at)| *at <= now && now < at + window);
        if typed.iter().any(|(known, _)| known == text) {
            return true;
        }
        typed.push((text.to_owned(), now));
        if typed.len() > 4 {
            typed.remove(0);
        }
        false
    }
}

fn time_step(seconds: i64) -> TimeStep {
    TimeStep::from_secs(seconds as u32).unwrap()
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// `first`: the passcode before it, with which it was a resync.
    Yes {
        token: usize,
        factor: u64,
        first: Option<u64>,
    },
    Nobody,
    Locked,
    NeedsSync,
    WrongPin,
    WrongPasscode,
    OutOfSync,
    Repeated,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum SyncAnswer {
    Yes { first: u64, last: u64 },
    Locked,
    Mismatch,
    NoSecret,
}

/// What one token says to a text.
struct Judged {
    token: usize,
    /// The factor, if the passcode fits.
    factor: Option<i128>,
    /// Whether it fits only as the second of two.
    second: bool,
    /// The factor of one that is too far off.
    beyond: Option<i128>,
    pin: bool,
}

impl Judged {
    fn first(&self) -> Option<i128> {
        self.beyond.filter(|_| self.factor.is_none() && self.pin)
    }
}

/// Two users who share all tokens, and two addresses that they come from.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) users: [Option<Count>; 2],
    pub(super) sources: [Option<Count>; 2],
    pub(super) tokens: Vec<Token>,
}

/// Who types, from where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    pub(super) user: usize,
    pub(super) source: usize,
}

impl World {
    pub(super) fn verify(
        &mut self,
        who: Who,
        text: &str,
        named: Option<usize>,
        now: i64,
        policy: &Policy,
    ) -> Answer {
        self.shorten_locks(who, now, policy);
        for token in &mut self.tokens {
            let own = token.rules(policy).clone();
            token.count.shorten(now, &own);
        }
        if self.is_locked(who, now) {
            return Answer::Locked;
        }
        let judged: Vec<Judged> = (0..self.tokens.len())
            .filter(|index| self.tokens[*index].asked(now) && !self.tokens[*index].needs_sync)
            .map(|index| self.judge(index, text, now, policy))
            .collect();

        if let Some(won) = judged.iter().find(|judged| judged.factor.is_some() && judged.pin) {
            let factor = won.factor.unwrap();
            let first = self.tokens[won.token].pending.filter(|_| won.second).map(|(first, _)| first as u64);
            for other in &judged {
                self.tokens[other.token].pending = None;
            }
            let token = &mut self.tokens[won.token];
            token.learn(factor, now, policy, false);
            token.count = Count::default();
            token.known(who.user, text, now, policy);
            for count in [&mut self.users[who.user], &mut self.sources[who.source]].into_iter().flatten() {
                *count = Count::default();
            }
            return Answer::Yes { token: won.token, factor: factor as u64, first };
        }

        let alive: Vec<_> = (0..self.tokens.len())
            .filter(|i| self.tokens[*i].usable && self.tokens[*i].secret.is_some())
            .collect();
        if !alive.is_empty() && alive.iter().all(|index| self.tokens[*index].count.locked(now)) {
            return Answer::Locked;
        }
        let mut known = false;
        for index in &alive {
            if self.tokens[*index].asked(now) {
                known |= self.tokens[*index].known(who.user, text, now, policy);
            }
        }
        for judged in &judged {
            let token = &mut self.tokens[judged.token];
            if let Some(factor) = judged.factor
                && token.rules(policy).spend_on_wrong_pin
            {
                token.next = token.next.max(factor + 1);
            }
            // The same passcode once more changes nothing; anything else ends the memory or begins a new one.
            if token.pending.map(|(factor, _)| factor) != judged.first() {
                token.pending = judged.first().map(|factor| (factor, now));
            }
        }
        if known {
            return Answer::Repeated;
        }
        self.count(who, now, policy);
        for judged in &judged {
            let token = &mut self.tokens[judged.token];
            let meant = named == Some(judged.token)
                || alive.len() == 1
                || judged.factor.is_some()
                || judged.first().is_some()
                || (judged.pin && token.pin.is_some());
            if meant {
                let own = token.rules(policy).clone();
                token.count.failed(now, &own, true);
            }
        }
        if judged.iter().any(|judged| judged.factor.is_some()) {
            Answer::WrongPin
        } else if judged.iter().any(|judged| judged.first().is_some()) {
            Answer::OutOfSync
        } else if !judged.is_empty() {
            Answer::WrongPasscode
        } else if !alive.is_empty() {
            Answer::NeedsSync
        } else {
            Answer::Nobody
        }
    }

    fn shorten_locks(&mut self, who: Who, now: i64, server: &Policy) {
        for count in [&mut self.users[who.user], &mut self.sources[who.source]].into_iter().flatten() {
            count.shorten(now, server);
        }
    }

    fn is_locked(&self, who: Who, now: i64) -> bool {
        [&self.users[who.user], &self.sources[who.source]]
            .into_iter()
            .flatten()
            .any(|count| count.locked(now))
    }

    fn count(&mut self, who: Who, now: i64, policy: &Policy) {
        if let Some(user) = &mut self.users[who.user] {
            user.failed(now, policy, true);
        }
        if let Some(source) = &mut self.sources[who.source] {
            source.failed(now, policy, false);
        }
    }

    fn judge(&self, index: usize, text: &str, now: i64, server: &Policy) -> Judged {
        let token = &self.tokens[index];
        let policy = token.rules(server);
        let is = |code: &str| match policy.pin_placement {
            PinPlacement::Prefix => text.ends_with(code),
            PinPlacement::Suffix => text.starts_with(code),
            PinPlacement::Field => text.rsplit(PIN_END).next() == Some(code),
        };
        let (centre, reach) = token.expected(now, server);
        let near = token.open(centre, reach);
        let (mut factor, mut second, mut beyond) = (token.fit(near, centre, is), false, None);
        if policy.auto_resync && factor.is_none() {
            let far = match token.step {
                None => policy.hotp_sync_window.max(u32::try_from(reach).unwrap()),
                Some(_) => policy.totp_check.max(policy.totp_accept),
            };
            beyond = token.fit(token.open(centre, i128::from(far)), centre, is);
            let (centre, factors) = token.seconds(now, policy);
            factor = token.fit(factors, centre, is);
            second = factor.is_some();
        }
        // Without a fit the PIN still matters: it says which token was meant.
        let pin = match &token.pin {
            None => text.chars().count() == token.digits as usize,
            Some(pin) => match policy.pin_placement {
                PinPlacement::Prefix => text.strip_prefix(pin.as_str()),
                PinPlacement::Suffix => text.strip_suffix(pin.as_str()),
                PinPlacement::Field => {
                    text.strip_prefix(pin.as_str()).and_then(|rest| rest.strip_prefix(PIN_END))
                }
            }
            .is_some_and(|code| {
                code.len() == token.digits as usize && code.chars().all(|c| c.is_ascii_digit())
            }),
        };
        Judged { token: index, factor, second, beyond, pin }
    }

    pub(super) fn sync(
        &mut self,
        who: Who,
        index: usize,
        texts: &[String],
        now: i64,
        server: &Policy,
    ) -> SyncAnswer {
        if self.tokens[index].secret.is_none() {
            return SyncAnswer::NoSecret;
        }
        self.shorten_locks(who, now, server);
        let own = self.tokens[index].rules(server).clone();
        self.tokens[index].count.shorten(now, &own);
        let token = &self.tokens[index];
        let policy = token.rules(server);
        if self.is_locked(who, now) || token.count.locked(now) {
            return SyncAnswer::Locked;
        }
        let different = texts.iter().collect::<std::collections::HashSet<_>>().len() == texts.len();
        let (centre, _) = token.expected(now, server);
        let far = if token.step.is_some() { policy.totp_sync_window } else { policy.hotp_sync_window };
        let last = token
            .open(centre, i128::from(far))
            .windows(texts.len())
            .filter(|run| {
                different && run.iter().zip(texts).all(|(factor, text)| token.code(*factor) == *text)
            })
            .map(|run| run[run.len() - 1])
            .min_by_key(|last| ((last - centre).abs(), *last));
        let Some(last) = last else {
            self.count(who, now, server);
            let token = &mut self.tokens[index];
            let own = token.rules(server).clone();
            token.count.failed(now, &own, true);
            token.pending = None;
            return SyncAnswer::Mismatch;
        };
        let token = &mut self.tokens[index];
        token.learn(last, now, server, true);
        token.needs_sync = false;
        token.count = Count::default();
        SyncAnswer::Yes { first: (last - texts.len() as i128 + 1) as u64, last: last as u64 }
    }
}
