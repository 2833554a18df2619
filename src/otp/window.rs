//! The moving factors that are searched: always all of them, whatever is found, so that the time tells nothing.

use std::hint::black_box;

use super::credential::Kind;
use super::factor::FactorState;
use super::hotp::Generator;
use super::passcode::Passcode;
use super::policy::Policy;
use super::time::Timestamp;

/// A range of moving factors around the one thought most likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// The most likely factor; among several fits the nearest to it counts.
    centre: u64,
    /// Where the search begins.
    first: u64,
    /// How many factors are computed, those beyond `last` included.
    count: u64,
    /// The last factor that may fit.
    last: u64,
    /// The first factor that may fit.
    floor: u64,
}

impl Window {
    /// From the counter to so many presses ahead of it.
    pub(super) fn hotp(state: &FactorState, look_ahead: u32) -> Self {
        let (first, ahead) = (state.next, u64::from(look_ahead));
        Self { centre: first, first, count: ahead + 1, last: first.saturating_add(ahead), floor: first }
    }

    /// So many steps either side of the forecast, those already passed excluded.
    pub(super) fn totp(state: &FactorState, centre: u64, reach: u32) -> Self {
        let reach = u64::from(reach);
        Self {
            centre,
            first: centre.saturating_sub(reach),
            count: 2 * reach + 1,
            last: centre.saturating_add(reach),
            floor: state.next,
        }
    }

    /// So many factors before and behind the centre, accepted before or not: for those who only look.
    pub(super) fn open(centre: u64, behind: u64, ahead: u64) -> Self {
        let (first, last) = (centre.saturating_sub(behind), centre.saturating_add(ahead));
        Self { centre, first, count: (last - first).saturating_add(1), last, floor: 0 }
    }

    /// How many factors a search tries.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// What is accepted of a credential of this kind: from the counter as far as `look_ahead`, or around the forecast.
    pub(super) fn accepted(
        kind: Kind,
        state: &FactorState,
        now: Timestamp,
        look_ahead: u32,
        policy: &Policy,
    ) -> Self {
        match kind {
            Kind::Hotp => Self::hotp(state, look_ahead),
            Kind::Totp { time_step } => {
                let forecast = state.clock.forecast(time_step, now, policy);
                Self::totp(state, forecast.step, forecast.reach)
            }
        }
    }

    /// How far a passcode may lie for a second one to be asked; what is accepted lies in it.
    pub(super) fn asking(
        kind: Kind,
        state: &FactorState,
        now: Timestamp,
        look_ahead: u32,
        policy: &Policy,
    ) -> Self {
        let hotp = policy.hotp_sync_window.max(look_ahead);
        Self::around(kind, state, now, policy, hotp, policy.totp_outermost())
    }

    /// Where a resync searches.
    pub(super) fn resync(kind: Kind, state: &FactorState, now: Timestamp, policy: &Policy) -> Self {
        Self::around(kind, state, now, policy, policy.hotp_sync_window, policy.totp_sync_window)
    }

    fn around(
        kind: Kind,
        state: &FactorState,
        now: Timestamp,
        policy: &Policy,
        hotp: u32,
        totp: u32,
    ) -> Self {
        match kind {
            Kind::Hotp => Self::hotp(state, hotp),
            Kind::Totp { time_step } => Self::totp(state, state.clock.step_at(time_step, now, policy), totp),
        }
    }

    /// Where the second of two passcodes that are a resync may lie: right behind the first one, or as much later as
    /// it was typed later, give or take one step. Without a first one nothing fits, and the work is the same.
    pub(super) fn second(kind: Kind, state: &FactorState, now: Timestamp, policy: &Policy) -> Self {
        let live = state
            .pending
            .filter(|first| now.since(first.at).is_some_and(|ago| ago <= policy.auto_resync_within));
        let (factor, at) = live.map_or((state.next, now), |first| (first.factor, first.at));
        let (centre, slack) = match kind {
            Kind::Hotp => (factor.saturating_add(1), 0),
            Kind::Totp { time_step } => {
                let later = time_step.step_at(now).saturating_sub(time_step.step_at(at));
                (factor.saturating_add(later), 1)
            }
        };
        let floor = if live.is_some() { factor.saturating_add(1).max(state.next) } else { u64::MAX };
        Self {
            centre,
            first: centre.saturating_sub(slack),
            count: 2 * slack + 1,
            last: centre.saturating_add(slack),
            floor,
        }
    }

    /// Whether a factor that was found lies in this window too.
    pub(super) fn holds(&self, factor: u64) -> bool {
        self.floor <= factor && self.first <= factor && factor <= self.last
    }

    /// The factor of the last of these consecutive passcodes, all of which must lie in the window. The fit that is
    /// nearest to the centre counts, of two equally near ones the earlier.
    pub(super) fn search(&self, generator: &Generator, passcodes: &[Passcode]) -> Option<u64> {
        // run[k] says that the last k + 1 factors were those of the first k + 1 passcodes.
        let mut run = vec![false; passcodes.len()];
        let mut best: Option<(u64, u64)> = None;
        for offset in 0..self.count {
            let factor = self.first.saturating_add(offset);
            let passcode = generator.at(factor);
            // The last u64 is never accepted: nothing could be above it afterwards.
            let allowed = self.floor <= factor && factor <= self.last && factor < u64::MAX;
            let mut before = true;
            for (fits, expected) in run.iter_mut().zip(passcodes) {
                let fitted = *fits;
                *fits = before & allowed & (passcode == *expected);
                before = fitted;
            }
            if run.last() == Some(&true) {
                let distance = factor.abs_diff(self.centre);
                if best.is_none_or(|(nearest, _)| distance < nearest) {
                    best = Some((distance, factor));
                }
            }
        }
        black_box(best).map(|(_, factor)| factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otp::credential::Credential;
    use crate::otp::credential::Parameters;
    use crate::otp::secret::Secret;

    fn generator() -> Generator {
        let secret = Secret::new(b"12345678901234567890".to_vec()).unwrap();
        Credential { secret, parameters: Parameters::HOTP }.generator()
    }

    /// Which single factors a window finds, among those around it.
    fn found(window: Window, around: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let generator = generator();
        around
            .into_iter()
            .filter(|&factor| window.search(&generator, &[generator.at(factor)]) == Some(factor))
            .collect()
    }

    #[test]
    fn hotp_reaches_from_the_counter_to_the_look_ahead_inclusive() {
        let window = Window::hotp(&FactorState::starting_at(100), 10);
        assert_eq!(found(window, 80..130), (100..=110).collect::<Vec<_>>());
        assert_eq!(found(Window::hotp(&FactorState::starting_at(0), 0), 0..5), [0]);
    }

    #[test]
    fn totp_reaches_both_ways_down_to_the_floor() {
        let state = FactorState::starting_at(0);
        assert_eq!(found(Window::totp(&state, 100, 2), 90..110), [98, 99, 100, 101, 102]);
        assert_eq!(found(Window::totp(&state, 1, 2), 0..10), [0, 1, 2, 3]);
        let passed = FactorState::starting_at(101);
        assert_eq!(found(Window::totp(&passed, 100, 2), 90..110), [101, 102]);
        assert_eq!(found(Window::totp(&FactorState::starting_at(200), 100, 2), 90..110), [] as [u64; 0]);
    }

    #[test]
    fn the_last_u64_is_never_accepted_and_nothing_overflows() {
        let near = u64::MAX - 3;
        let window = Window::hotp(&FactorState::starting_at(near), 10);
        assert_eq!(found(window, near - 5..=u64::MAX), [near, near + 1, near + 2]);
        let spent = Window::hotp(&FactorState::starting_at(u64::MAX), 10);
        assert_eq!(found(spent, near..=u64::MAX), [] as [u64; 0]);
        let totp = Window::totp(&FactorState::starting_at(0), u64::MAX, 2);
        assert_eq!(found(totp, near..=u64::MAX), [u64::MAX - 2, u64::MAX - 1]);
    }

    #[test]
    fn the_search_always_computes_the_whole_window() {
        assert_eq!(Window::hotp(&FactorState::starting_at(u64::MAX), 10).count, 11);
        assert_eq!(Window::totp(&FactorState::starting_at(u64::MAX), 0, 2).count, 5);
    }

    #[test]
    fn a_run_must_be_consecutive_and_lie_inside() {
        let generator = generator();
        let window = Window::hotp(&FactorState::starting_at(100), 10);
        let run = |factors: &[u64]| {
            let passcodes: Vec<_> = factors.iter().map(|&factor| generator.at(factor)).collect();
            window.search(&generator, &passcodes)
        };
        assert_eq!(run(&[100, 101]), Some(101));
        assert_eq!(run(&[109, 110]), Some(110));
        assert_eq!(run(&[108, 109, 110]), Some(110));
        for factors in
            [&[110, 111][..], &[99, 100], &[101, 100], &[100, 102], &[100, 100], &[100, 101, 103], &[]]
        {
            assert_eq!(run(factors), None, "{factors:?}");
        }
    }

    #[test]
    fn of_several_fits_the_nearest_to_the_centre_counts() {
        // Found by search: with this secret the passcodes of six digits of these two factors are the same.
        let generator = generator();
        let (low, high) = collision(&generator);
        let passcode = [generator.at(low)];
        let reach = u32::try_from(high - low).unwrap();
        let open = FactorState::starting_at(0);
        assert_eq!(Window::totp(&open, low + 1, reach).search(&generator, &passcode), Some(low));
        assert_eq!(Window::totp(&open, high - 1, reach).search(&generator, &passcode), Some(high));
        assert_eq!(
            Window::hotp(&FactorState::starting_at(low), reach).search(&generator, &passcode),
            Some(low)
        );
        assert_eq!(
            Window::hotp(&FactorState::starting_at(low + 1), reach).search(&generator, &passcode),
            Some(high)
        );
    }

    /// The first two factors with the same passcode and nothing else between them.
    fn collision(generator: &Generator) -> (u64, u64) {
        let mut seen = std::collections::HashMap::new();
        (0..)
            .find_map(|factor| {
                seen.insert(generator.at(factor).as_str().to_owned(), factor).map(|first| (first, factor))
            })
            .unwrap()
    }
}
