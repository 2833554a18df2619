//! The moving part of a credential: the floor below which nothing is ever accepted again, what is known of its clock,
//! a resync that is half done, and whether one is due.
//!
//! `next` is the smallest moving factor that may still be accepted: the counter for HOTP, the last accepted step
//! plus one for TOTP. It only rises. The single exception is [`FactorState::rewind`], for a device that was set back
//! to the same secret; it silences the credential until [`super::resync`] has seen consecutive passcodes.
//! The last value of `u64` is never accepted: no floor could lie above it.

use super::clock_model::{ClockState, Forecast};
use super::credential::Kind;
use super::policy::Policy;
use super::time::Timestamp;

/// What changes about a credential as it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FactorState {
    /// The smallest moving factor that may still be accepted.
    pub next: u64,
    /// TOTP: what is known of the clock of the device.
    pub clock: ClockState,
    /// The first of two passcodes that together are a resync.
    pub pending: Option<Pending>,
    /// Accepts nothing until a resync.
    pub needs_sync: bool,
}

/// A right passcode outside of what is accepted, typed with the right PIN. It was not accepted; the next attempt
/// may show that the device is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pending {
    /// Its moving factor.
    pub factor: u64,
    /// When it was typed.
    pub at: Timestamp,
}

impl FactorState {
    /// A credential whose first acceptable moving factor is `next`.
    #[must_use]
    pub fn starting_at(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// Uses up a moving factor and all below it. Never lowers the floor.
    pub const fn spend(&mut self, factor: u64) {
        let above = factor.saturating_add(1);
        if above > self.next {
            self.next = above;
        }
    }

    /// Sets the floor to where the device is said to be. Going down, factors that were accepted before come within
    /// reach again, so the credential needs a resync first; going up or staying needs none.
    pub const fn rewind(&mut self, next: u64) {
        if next < self.next {
            self.needs_sync = true;
        }
        self.next = next;
        self.pending = None;
    }

    /// What may be trusted of a state from a backup, at the time when that is restored: which factors were used up after
    /// the backup, it does not tell. Of HOTP nothing is left to go by, so it waits for a resync. Of TOTP everything is
    /// used up that may have been accepted by now, by a device that is where it was thought to be or on time.
    #[must_use]
    pub fn after_restore(mut self, kind: Kind, now: Timestamp, policy: &Policy) -> Self {
        self.pending = None;
        match kind {
            Kind::Hotp => self.needs_sync = true,
            Kind::Totp { time_step } => {
                let Forecast { step, reach } = self.clock.forecast(time_step, now, policy);
                // The second of two passcodes may lie one step further than the first.
                let reach = if policy.auto_resync { policy.totp_outermost() + 1 } else { reach };
                self.spend(step.max(time_step.step_at(now)).saturating_add(reach.into()));
            }
        }
        self
    }

    /// Forgets the drift and half a resync, and keeps the floor and a resync that is due.
    pub fn forget_drift(&mut self) {
        self.clock.forget();
        self.pending = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otp::totp::TimeStep;

    #[test]
    fn spending_raises_the_floor_and_never_lowers_it() {
        let mut state = FactorState::starting_at(5);
        state.spend(9);
        assert_eq!(state, FactorState::starting_at(10));
        state.spend(3);
        assert_eq!(state, FactorState::starting_at(10));
        state.spend(u64::MAX);
        assert_eq!(state, FactorState::starting_at(u64::MAX));
    }

    #[test]
    fn going_down_needs_a_resync_and_going_up_does_not() {
        let mut state = FactorState::starting_at(5);
        state.rewind(5);
        assert_eq!(state, FactorState::starting_at(5));
        state.rewind(8);
        assert_eq!(state, FactorState::starting_at(8));
        state.rewind(7);
        assert_eq!(state, FactorState { needs_sync: true, ..FactorState::starting_at(7) });
        state.rewind(20);
        assert_eq!(state, FactorState { needs_sync: true, ..FactorState::starting_at(20) });
    }

    #[test]
    fn a_counter_that_is_set_ends_half_a_resync() {
        let pending = Some(Pending { factor: 50, at: Timestamp::from_secs(1) });
        for next in [3, 5, 8] {
            let mut state = FactorState { pending, ..FactorState::starting_at(5) };
            state.rewind(next);
            assert_eq!(state.pending, None);
        }
    }

    #[test]
    fn a_restored_hotp_state_waits_for_a_resync_and_keeps_its_floor() {
        let pending = Some(Pending { factor: 50, at: Timestamp::from_secs(1) });
        let restored = FactorState { pending, ..FactorState::starting_at(7) }.after_restore(
            Kind::Hotp,
            Timestamp::from_secs(900),
            &Policy::default(),
        );
        assert_eq!(restored, FactorState { needs_sync: true, ..FactorState::starting_at(7) });
    }

    #[test]
    fn a_restored_totp_state_accepts_no_step_that_may_have_been_accepted_by_now() {
        let kind = Kind::Totp { time_step: TimeStep::SECONDS_30 };
        let at = |next, offset_ms, auto_resync| {
            let clock = ClockState { offset_ms, ..ClockState::default() };
            let state = FactorState { clock, ..FactorState::starting_at(next) };
            let policy = Policy { auto_resync, ..Policy::default() };
            let restored = state.after_restore(kind, Timestamp::from_secs(900), &policy);
            assert!(!restored.needs_sync);
            restored.next
        };
        assert_eq!(at(5, 0, false), 33, "step 30 is now, and 32 may have been accepted");
        assert_eq!(at(5, 120_000, false), 37, "a device that is ahead");
        assert_eq!(at(5, -120_000, false), 33, "one that was behind may be on time by now");
        assert_eq!(at(5, 0, true), 42, "two passcodes may have moved it further");
        assert_eq!(at(50, 0, false), 50, "never down");
        assert_eq!(at(u64::MAX, 0, false), u64::MAX);
    }

    #[test]
    fn forgetting_the_drift_keeps_the_rest() {
        let clock = ClockState { drift_steps: -3, offset_ms: -90_000, ..ClockState::default() };
        let pending = Some(Pending { factor: 50, at: Timestamp::from_secs(1) });
        let mut state = FactorState { next: 7, clock, pending, needs_sync: true };
        state.forget_drift();
        assert_eq!(state, FactorState { needs_sync: true, ..FactorState::starting_at(7) });
        let frozen = ClockState { frozen: true, ..clock };
        let mut state = FactorState { clock: frozen, ..FactorState::starting_at(7) };
        state.forget_drift();
        assert_eq!(state.clock, frozen, "what an operator has set stays");
    }
}
