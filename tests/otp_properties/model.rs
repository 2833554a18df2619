//! A reference model of verification: slow, in wide integers and whole sets, written from the rules and not from the
//! server. It knows tokens by their secret, computes passcodes with the oracle, and keeps what was typed as text.

use std::cell::RefCell;
use std::collections::HashMap;

use fobd::otp::algorithm::Algorithm;
use fobd::otp::policy::{PinPlacement, Policy};

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
        matches!(self.until, Some(until) if until > now)
    }

    fn failed(&mut self, now: i64, policy: &Policy) {
        self.failures += 1;
        if self.failures >= policy.max_failures {
            let mut lock = policy.first_lock;
            for _ in policy.max_failures..self.failures {
                lock = (lock * 2).min(policy.longest_lock);
            }
            self.until = Some(now + lock.min(policy.longest_lock).as_millis() as i64);
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
    /// Milliseconds that the device is ahead.
    pub(super) offset: i128,
    pub(super) needs_sync: bool,
    pub(super) count: Count,
    /// Text and when it was first typed, oldest first.
    pub(super) typed: Vec<(String, i64)>,
    pub(super) codes: RefCell<HashMap<u64, String>>,
}

impl Token {
    pub(super) fn code(&self, factor: i128) -> String {
        let factor = factor.clamp(0, i128::from(u64::MAX)) as u64;
        let secret = self.secret.as_deref().unwrap_or(b"nobody has it");
        let make = || otp_oracle::passcode(secret, self.algorithm, self.digits, factor);
        self.codes.borrow_mut().entry(factor).or_insert_with(make).clone()
    }

    /// Where the device is thought to be.
    pub(super) fn centre(&self, now: i64) -> i128 {
        match self.step {
            None => self.next,
            Some(step) => ((i128::from(now.max(0)) + self.offset) / i128::from(step * 1000)).max(0),
        }
    }

    /// Every factor that may be accepted, given how far a window reaches for either kind.
    fn open(&self, now: i64, hotp: u32, totp: u32) -> Vec<i128> {
        let centre = self.centre(now);
        let (from, to) = match self.step {
            None => (centre, centre + i128::from(hotp)),
            Some(_) => (centre - i128::from(totp), centre + i128::from(totp)),
        };
        (from.max(0)..=to).filter(|factor| *factor >= self.next && *factor < NEVER).collect()
    }

    fn learn(&mut self, factor: i128, now: i64) {
        self.next = self.next.max(factor + 1);
        if let Some(step) = self.step {
            let step = i128::from(step * 1000);
            self.offset = factor * step + step / 2 - i128::from(now.max(0));
        }
    }

    fn asked(&self, now: i64) -> bool {
        self.usable && self.secret.is_some() && !self.count.locked(now)
    }

    /// Whether the text was typed lately; it is known from now on.
    fn known(&mut self, text: &str, now: i64, policy: &Policy) -> bool {
        let window = policy.repeat_window.as_millis() as i64;
        self.typed.retain(|(_, at)| *at <= now && now < at + window);
        if self.typed.iter().any(|(known, _)| known == text) {
            return true;
        }
        self.typed.push((text.to_owned(), now));
        if self.typed.len() > 4 {
            self.typed.remove(0);
        }
        false
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Yes { token: usize, factor: u64 },
    Nobody,
    Locked,
    NeedsSync,
    WrongPin,
    WrongPasscode,
    Repeated,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum SyncAnswer {
    Yes { first: u64, last: u64 },
    Locked,
    Mismatch,
    NoSecret,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) user: Option<Count>,
    pub(super) source: Option<Count>,
    pub(super) tokens: Vec<Token>,
}

impl World {
    pub(super) fn verify(&mut self, text: &str, named: Option<usize>, now: i64, policy: &Policy) -> Answer {
        if [&self.user, &self.source].into_iter().flatten().any(|count| count.locked(now)) {
            return Answer::Locked;
        }
        // (token, its factor if the passcode fits, whether the PIN fits)
        let judged: Vec<(usize, Option<i128>, bool)> = (0..self.tokens.len())
            .filter(|index| self.tokens[*index].asked(now) && !self.tokens[*index].needs_sync)
            .map(|index| self.judge(index, text, now, policy))
            .collect();

        for (index, factor, pin) in &judged {
            if let (Some(factor), true) = (factor, pin) {
                let token = &mut self.tokens[*index];
                token.learn(*factor, now);
                token.count = Count::default();
                token.known(text, now, policy);
                self.user = self.user.as_ref().map(|_| Count::default());
                self.source = self.source.as_ref().map(|_| Count::default());
                return Answer::Yes { token: *index, factor: *factor as u64 };
            }
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
                known |= self.tokens[*index].known(text, now, policy);
            }
        }
        if policy.spend_on_wrong_pin {
            for (index, factor, _) in &judged {
                if let Some(factor) = factor {
                    self.tokens[*index].next = self.tokens[*index].next.max(factor + 1);
                }
            }
        }
        if known {
            return Answer::Repeated;
        }
        for count in [&mut self.user, &mut self.source].into_iter().flatten() {
            count.failed(now, policy);
        }
        for (index, factor, pin) in &judged {
            let meant = named == Some(*index)
                || alive.len() == 1
                || factor.is_some()
                || (*pin && self.tokens[*index].pin.is_some());
            if meant {
                self.tokens[*index].count.failed(now, policy);
            }
        }
        match (judged.is_empty(), judged.iter().any(|(_, factor, _)| factor.is_some()), alive.is_empty()) {
            (false, true, _) => Answer::WrongPin,
            (false, false, _) => Answer::WrongPasscode,
            (true, _, false) => Answer::NeedsSync,
            (true, _, true) => Answer::Nobody,
        }
    }

    fn judge(&self, index: usize, text: &str, now: i64, policy: &Policy) -> (usize, Option<i128>, bool) {
        let token = &self.tokens[index];
        let ahead =
            if token.pin.is_some() { policy.hotp_look_ahead } else { policy.hotp_look_ahead_without_pin };
        let around = |code: &str| match policy.pin_placement {
            PinPlacement::Prefix => text.strip_suffix(code),
            PinPlacement::Suffix => text.strip_prefix(code),
        };
        let centre = token.centre(now);
        let fit = token
            .open(now, ahead, policy.totp_accept)
            .into_iter()
            .filter(|factor| around(&token.code(*factor)).is_some())
            .min_by_key(|factor| ((factor - centre).abs(), *factor));
        // Without a fit the PIN still matters: it says which token was meant.
        let pin = match &token.pin {
            None => text.chars().count() == token.digits as usize,
            Some(pin) => match policy.pin_placement {
                PinPlacement::Prefix => text.strip_prefix(pin.as_str()),
                PinPlacement::Suffix => text.strip_suffix(pin.as_str()),
            }
            .is_some_and(|code| {
                code.len() == token.digits as usize && code.chars().all(|c| c.is_ascii_digit())
            }),
        };
        (index, fit, pin)
    }

    pub(super) fn sync(&mut self, index: usize, texts: &[String], now: i64, policy: &Policy) -> SyncAnswer {
        let token = &self.tokens[index];
        if token.secret.is_none() {
            return SyncAnswer::NoSecret;
        }
        let counts = [self.user.as_ref(), self.source.as_ref(), Some(&token.count)];
        if counts.into_iter().flatten().any(|count| count.locked(now)) {
            return SyncAnswer::Locked;
        }
        let different = texts.iter().collect::<std::collections::HashSet<_>>().len() == texts.len();
        let open = token.open(now, policy.hotp_sync_window, policy.totp_sync_window);
        let centre = token.centre(now);
        let last = open
            .windows(texts.len())
            .filter(|run| {
                different && run.iter().zip(texts).all(|(factor, text)| token.code(*factor) == *text)
            })
            .map(|run| run[run.len() - 1])
            .min_by_key(|last| ((last - centre).abs(), *last));
        let Some(last) = last else {
            for count in [&mut self.user, &mut self.source].into_iter().flatten() {
                count.failed(now, policy);
            }
            self.tokens[index].count.failed(now, policy);
            return SyncAnswer::Mismatch;
        };
        let token = &mut self.tokens[index];
        token.learn(last, now);
        token.needs_sync = false;
        token.count = Count::default();
        SyncAnswer::Yes { first: (last - texts.len() as i128 + 1) as u64, last: last as u64 }
    }
}
