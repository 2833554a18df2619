//! The moving part of a credential: the floor below which nothing is ever accepted again, drift, and whether a
//! resync is due.
//!
//! `next` is the smallest moving factor that may still be accepted: the counter for HOTP, the last accepted step
//! plus one for TOTP. It only rises. The single exception is [`FactorState::rewind`], for a device that was set back
//! to the same secret; it silences the credential until [`super::resync`] has seen consecutive passcodes.
//! The last value of `u64` is never accepted: no floor could lie above it.

use super::credential::Kind;
use super::time::Timestamp;

/// What changes about a credential as it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FactorState {
    /// The smallest moving factor that may still be accepted.
    pub next: u64,
    /// TOTP: how many steps the device was ahead of the server (or behind, if negative) at its last success.
    pub drift_steps: i64,
    /// Accepts nothing until a resync.
    pub needs_sync: bool,
}

impl FactorState {
    /// A credential whose first acceptable moving factor is `next`.
    #[must_use]
    pub const fn starting_at(next: u64) -> Self {
        Self { next, drift_steps: 0, needs_sync: false }
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
    }

    /// What may be trusted of a state from a backup, at the time when that is restored: which factors were used up after
    /// the backup, it does not tell. Of HOTP nothing is left to go by, so it waits for a resync. Of TOTP everything is
    /// used up that may have been accepted by now, up to so many steps ahead of the time.
    #[must_use]
    pub fn after_restore(mut self, kind: Kind, now: Timestamp, ahead: u64) -> Self {
        match kind {
            Kind::Hotp => self.needs_sync = true,
            Kind::Totp { time_step } => self.spend(time_step.step_at(now).saturating_add(ahead)),
        }
        self
    }

    /// Forgets the drift and keeps the floor and a resync that is due.
    pub const fn forget_drift(&mut self) {
        self.drift_steps = 0;
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
        assert_eq!(state, FactorState { next: 7, drift_steps: 0, needs_sync: true });
        state.rewind(20);
        assert_eq!(state, FactorState { next: 20, drift_steps: 0, needs_sync: true });
    }

    #[test]
    fn a_restored_hotp_state_waits_for_a_resync_and_keeps_its_floor() {
        let restored = FactorState::starting_at(7).after_restore(Kind::Hotp, Timestamp::from_secs(900), 2);
        assert_eq!((restored.next, restored.needs_sync), (7, true));
    }

    #[test]
    fn a_restored_totp_state_accepts_no_step_that_may_have_been_accepted_by_now() {
        let kind = Kind::Totp { time_step: TimeStep::SECONDS_30 };
        let at = |next| FactorState::starting_at(next).after_restore(kind, Timestamp::from_secs(900), 2);
        assert_eq!(
            (at(5).next, at(5).needs_sync),
            (33, false),
            "step 30 is now, and 32 may have been accepted"
        );
        assert_eq!(at(50).next, 50, "never down");
        assert_eq!(at(u64::MAX).next, u64::MAX);
    }

    #[test]
    fn forgetting_the_drift_keeps_the_rest() {
        let mut state = FactorState { next: 7, drift_steps: -3, needs_sync: true };
        state.forget_drift();
        assert_eq!(state, FactorState { next: 7, drift_steps: 0, needs_sync: true });
    }
}
