//! Where the clock of a TOTP device is thought to be, learned from its successes (RFC 6238 §6).
//!
//! For now the model is the offset at the last success, in whole steps; a rate fitted over months belongs here too.
//! Nothing outside this module knows how the forecast comes about.

use super::factor::FactorState;
use super::time::Timestamp;
use super::totp::TimeStep;

/// The step the device is thought to show now: the centre of the window.
#[must_use]
pub fn forecast(state: &FactorState, time_step: TimeStep, now: Timestamp) -> u64 {
    time_step.step_at(now).saturating_add_signed(state.drift_steps)
}

/// Learns from a step that the device has just shown.
pub fn learn(state: &mut FactorState, accepted: u64, time_step: TimeStep, now: Timestamp) {
    let offset = i128::from(accepted) - i128::from(time_step.step_at(now));
    state.drift_steps = i64::try_from(offset).unwrap_or(if offset < 0 { i64::MIN } else { i64::MAX });
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: TimeStep = TimeStep::SECONDS_30;

    #[test]
    fn a_device_that_was_ahead_is_expected_ahead() {
        let mut state = FactorState::default();
        learn(&mut state, 103, STEP, Timestamp::from_secs(3000));
        assert_eq!(state.drift_steps, 3);
        assert_eq!(forecast(&state, STEP, Timestamp::from_secs(6000)), 203);
        learn(&mut state, 198, STEP, Timestamp::from_secs(6000));
        assert_eq!(state.drift_steps, -2);
        assert_eq!(forecast(&state, STEP, Timestamp::from_secs(30)), 0);
    }

    #[test]
    fn absurd_offsets_saturate() {
        let mut state = FactorState::default();
        learn(&mut state, u64::MAX, STEP, Timestamp::from_secs(0));
        assert_eq!(state.drift_steps, i64::MAX);
        assert_eq!(forecast(&state, STEP, Timestamp::MAX), i64::MAX as u64 + i64::MAX as u64 / 30_000);
        state.drift_steps = i64::MIN;
        assert_eq!(forecast(&state, STEP, Timestamp::MAX), 0);
    }
}
