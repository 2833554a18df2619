//! Where the clock of a TOTP device is thought to be, learned from its successes (RFC 6238 §6).
//!
//! Each success says where the clock was to within half a time step. From these a Kalman filter of two states, offset
//! and rate, is kept: the recursive form of least squares with a forgetting that follows from how fast the rate of a
//! crystal wanders. Its state is whole numbers, so that it is stored exactly; the arithmetic in between uses only
//! operations whose results IEEE 754 fixes.
//!
//! - The forecast, offset plus rate times the time since the last success, is the centre of the window.
//! - The rate counts only after 5 successes over 30 days (or if an operator has set it), and never beyond 100 ppm.
//! - Time without a success widens the window by what the uncertainty of the rate adds up to, and never past
//!   [`Policy::totp_outermost`]. A token that was never used, or whose model is off, gets no wider window.
//! - What the rate cannot explain (a battery was changed, a resync found the device far away) starts the model afresh
//!   at the new offset: two points of different clocks give no rate.
//! - A frozen clock learns nothing; only a resync moves its offset.
//!
//! Units: offsets in milliseconds, positive if the device is ahead; rates in parts per billion; inside, time in Ms
//! (10^6 s), since 1 ppb over 1 Ms is 1 ms. Without [`Policy::clock_model`] the offset at the last success is all
//! that is kept.

pub mod survey;

use super::policy::Policy;
use super::time::Timestamp;
use super::totp::TimeStep;

/// A rate that is learned or set is at most this, in parts per billion: 100 ppm, five times what the quartz of a
/// wrist watch is sold with.
pub const MOST_RATE_PPB: i32 = 100_000;
/// A rate counts from this many successes on...
pub const SUCCESSES_FOR_A_RATE: u32 = 5;
/// ...over at least this time.
pub const DAYS_FOR_A_RATE: i64 = 30;
/// An offset is at most this, in milliseconds: a hundred years. Only absurd clocks come near.
pub const MOST_OFFSET_MS: i64 = 100 * 365 * 86_400_000;

/// How far the rate of an unknown crystal is from right, in ppb (one standard deviation).
const RATE_UNKNOWN: f64 = 20_000.0;
/// How far a rate that an operator has set may be from right, in ppb.
const RATE_SET: f64 = 2_000.0;
/// How fast a rate wanders with age and temperature: 1 ppm in three months, as ppb² per Ms.
const WANDER: f64 = 130_000.0;
/// How long people take to type a passcode, give or take, in milliseconds.
const TYPING_MS: f64 = 5_000.0;
/// A success further from its forecast than so many standard deviations comes from another clock.
const SURPRISE: f64 = 4.0;
/// The window is widened by so many standard deviations of what the rate may have added up to.
const WIDENED_BY: f64 = 2.0;

/// How sure the model is: the covariance of offset and rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spread {
    /// Variance of the offset, ms².
    pub offset: i64,
    /// Covariance of the two, ms·ppb.
    pub both: i64,
    /// Variance of the rate, ppb².
    pub rate: i64,
}

/// What is known of a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClockState {
    /// How many time steps the device was ahead of the server (or behind, if negative) at its last success.
    pub drift_steps: i64,
    /// How far the device is thought to have been ahead at `at`, in milliseconds.
    pub offset_ms: i64,
    /// How much it gains, in parts per billion.
    pub rate_ppb: i32,
    /// When the offset was learned or set.
    pub at: Option<Timestamp>,
    /// The first of the successes that are counted.
    pub since: Option<Timestamp>,
    /// Successes that the model was learned from.
    pub successes: u32,
    /// How sure it is.
    pub spread: Spread,
    /// Learns nothing.
    pub frozen: bool,
    /// The rate was set by an operator and counts from the start.
    pub rate_given: bool,
}

/// Where the device is thought to be now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The step that it is thought to show: the centre of the window.
    pub step: u64,
    /// Steps either side of it that are accepted.
    pub reach: u32,
}

impl ClockState {
    /// Whether the rate is used.
    #[must_use]
    pub fn rate_counts(&self) -> bool {
        let long = self.at.zip(self.since).is_some_and(|(at, since)| {
            at.as_millis().saturating_sub(since.as_millis()) >= DAYS_FOR_A_RATE * 86_400_000
        });
        self.rate_given || long && self.successes >= SUCCESSES_FOR_A_RATE
    }

    /// Where the device is thought to be.
    #[must_use]
    pub fn forecast(&self, time_step: TimeStep, now: Timestamp, policy: &Policy) -> Forecast {
        let step = self.step_at(time_step, now, policy);
        let widened = if policy.clock_model { self.widened_steps(time_step, now) } else { 0 };
        let reach = policy.totp_accept.saturating_add(widened).min(policy.totp_outermost());
        Forecast { step, reach }
    }

    /// The step that the device is thought to show.
    #[must_use]
    pub fn step_at(&self, time_step: TimeStep, now: Timestamp, policy: &Policy) -> u64 {
        let there = since_epoch(now).saturating_add(self.offset_at(now, policy));
        u64::try_from(there).unwrap_or(0) / step_ms(time_step)
    }

    /// How far the device is thought to be ahead, in milliseconds.
    #[must_use]
    pub fn offset_at(&self, now: Timestamp, policy: &Policy) -> i64 {
        let gained = match policy.clock_model && self.rate_counts() {
            true => f64::from(self.rate_ppb.clamp(-MOST_RATE_PPB, MOST_RATE_PPB)) * self.idle(now),
            false => 0.0,
        };
        clamp(self.offset_ms as f64 + gained, MOST_OFFSET_MS)
    }

    /// Learns from a step that the device has just shown.
    pub fn learn(&mut self, accepted: u64, time_step: TimeStep, now: Timestamp, policy: &Policy) {
        self.drift_steps = steps_ahead(accepted, time_step, now);
        if self.frozen {
            return;
        }
        let measured = measured(accepted, time_step, now);
        if !policy.clock_model || self.successes == 0 || !self.update(measured, time_step, now) {
            self.start(measured, time_step, now);
        }
        // A forecast that would refuse what was just accepted is none.
        if self.step_at(time_step, now, policy).abs_diff(accepted) > u64::from(policy.totp_accept) {
            self.start(measured, time_step, now);
        }
    }

    /// Learns from a step that a resync has found, wherever it is.
    pub fn resync(&mut self, found: u64, time_step: TimeStep, now: Timestamp, policy: &Policy) {
        if self.frozen {
            self.drift_steps = steps_ahead(found, time_step, now);
            (self.offset_ms, self.at) = (measured(found, time_step, now), Some(now));
        } else {
            self.learn(found, time_step, now, policy);
        }
    }

    /// Sets the offset by hand.
    pub fn set_offset(&mut self, offset_ms: i64, now: Timestamp) {
        let frozen = self.frozen;
        let (rate_ppb, rate_given) = (self.rate_ppb, self.rate_given);
        *self = Self { frozen, ..Self::default() };
        self.offset_ms = offset_ms.clamp(-MOST_OFFSET_MS, MOST_OFFSET_MS);
        self.at = Some(now);
        if rate_given {
            self.set_rate(rate_ppb, now);
        }
    }

    /// Sets the rate by hand. It holds from the last success on.
    pub fn set_rate(&mut self, rate_ppb: i32, now: Timestamp) {
        self.at = self.at.or(Some(now));
        self.rate_ppb = rate_ppb.clamp(-MOST_RATE_PPB, MOST_RATE_PPB);
        self.rate_given = true;
        (self.spread.both, self.spread.rate) = (0, (RATE_SET * RATE_SET) as i64);
    }

    /// Forgets what was learned. What an operator has frozen stays as it was set.
    pub fn forget(&mut self) {
        if !self.frozen {
            *self = Self::default();
        }
    }

    /// How uncertain the rate is, in ppb (one standard deviation).
    #[must_use]
    pub fn rate_spread_ppb(&self) -> u32 {
        match self.successes == 0 && !self.rate_given {
            true => RATE_UNKNOWN as u32,
            false => (self.spread.rate.max(0) as f64).sqrt().min(f64::from(u32::MAX)) as u32,
        }
    }

    /// Time since the last success, in Ms. A clock that was set back makes none.
    fn idle(&self, now: Timestamp) -> f64 {
        let idle = self.at.and_then(|at| now.since(at)).unwrap_or_default();
        idle.as_millis() as f64 / 1e9
    }

    /// What the uncertainty of the rate adds up to since the last success, in whole steps.
    fn widened_steps(&self, time_step: TimeStep, now: Timestamp) -> u32 {
        if self.successes == 0 && !self.rate_given {
            return 0;
        }
        let idle = self.idle(now);
        // A rate that does not count yet is left out of the forecast, so all of it is uncertain.
        let ignored = if self.rate_counts() { 0.0 } else { f64::from(self.rate_ppb) };
        let rate = self.spread.rate.max(0) as f64 + ignored * ignored;
        let variance =
            2.0 * idle * self.spread.both as f64 + idle * idle * rate + WANDER * idle * idle * idle / 3.0;
        let steps = WIDENED_BY * variance.max(0.0).sqrt() / step_ms(time_step) as f64;
        // Saturates, and what is below one whole step widens nothing.
        steps as u32
    }

    /// One step of the filter. False, and nothing changed, if the success cannot be of this clock.
    fn update(&mut self, measured: i64, time_step: TimeStep, now: Timestamp) -> bool {
        let idle = self.idle(now);
        let Spread { offset, both, rate } = self.spread;
        let (offset, both, rate) = (offset as f64, both as f64, rate as f64);
        let forecast = self.offset_ms as f64 + f64::from(self.rate_ppb) * idle;
        let offset = offset + 2.0 * idle * both + idle * idle * rate + WANDER * idle * idle * idle / 3.0;
        let both = both + idle * rate + WANDER * idle * idle / 2.0;
        let rate = rate + WANDER * idle;
        let all = offset + noise(time_step);
        let surprise = measured as f64 - forecast;
        if surprise * surprise > SURPRISE * SURPRISE * all {
            return false;
        }
        let (by_offset, by_rate) = (offset / all, both / all);
        self.offset_ms = clamp(forecast + by_offset * surprise, MOST_OFFSET_MS);
        let most = i64::from(MOST_RATE_PPB);
        // Within an i32, as the bound is.
        self.rate_ppb = clamp(f64::from(self.rate_ppb) + by_rate * surprise, most) as i32;
        self.spread = Spread {
            offset: clamp((1.0 - by_offset) * offset, i64::MAX),
            both: clamp((1.0 - by_offset) * both, i64::MAX),
            rate: clamp(rate - by_rate * both, i64::MAX),
        };
        self.at = Some(now);
        self.successes = self.successes.saturating_add(1);
        true
    }

    /// Begins anew with one success. A rate that was set stays.
    fn start(&mut self, measured: i64, time_step: TimeStep, now: Timestamp) {
        self.offset_ms = measured;
        (self.at, self.since, self.successes) = (Some(now), Some(now), 1);
        self.spread = Spread { offset: noise(time_step) as i64, both: 0, rate: 0 };
        if self.rate_given {
            self.set_rate(self.rate_ppb, now);
        } else {
            self.rate_ppb = 0;
            self.spread.rate = (RATE_UNKNOWN * RATE_UNKNOWN) as i64;
        }
    }
}

/// Variance of one measurement, ms²: anywhere in a time step, and how long people take.
fn noise(time_step: TimeStep) -> f64 {
    let step = step_ms(time_step) as f64;
    step * step / 12.0 + TYPING_MS * TYPING_MS
}

/// How far a device is ahead that shows this step, taken at the middle of the step.
fn measured(step: u64, time_step: TimeStep, now: Timestamp) -> i64 {
    let step_ms = i128::from(step_ms(time_step));
    let middle = i128::from(step) * step_ms + step_ms / 2;
    let most = i128::from(MOST_OFFSET_MS);
    let ahead = (middle - i128::from(since_epoch(now))).clamp(-most, most);
    i64::try_from(ahead).unwrap_or(0)
}

fn steps_ahead(step: u64, time_step: TimeStep, now: Timestamp) -> i64 {
    let ahead = i128::from(step) - i128::from(time_step.step_at(now));
    i64::try_from(ahead).unwrap_or(if ahead < 0 { i64::MIN } else { i64::MAX })
}

fn step_ms(time_step: TimeStep) -> u64 {
    u64::from(time_step.as_secs()) * 1000
}

/// Times before the epoch lie in the first step, at its beginning.
fn since_epoch(now: Timestamp) -> i64 {
    now.as_millis().max(0)
}

/// Rounded to the nearest whole number within plus and minus `most`.
fn clamp(value: f64, most: i64) -> i64 {
    // `as` saturates.
    (value.round() as i64).clamp(-most, most)
}

#[cfg(test)]
mod tests;
