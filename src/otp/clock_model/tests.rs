use super::*;

const STEP: TimeStep = TimeStep::SECONDS_30;
/// 2023-11-14.
const START: i64 = 1_700_000_000;
const DAY: i64 = 86_400;

/// A device, and what the server knows of it.
struct Fob {
    clock: ClockState,
    policy: Policy,
    /// How far it is ahead, in seconds, so many seconds after the start.
    ahead: Box<dyn Fn(i64) -> f64>,
}

impl Fob {
    fn new(ahead: impl Fn(i64) -> f64 + 'static) -> Self {
        Self { clock: ClockState::default(), policy: Policy::default(), ahead: Box::new(ahead) }
    }

    /// One that was right at first and gains so many ppm.
    fn gaining(ppm: f64) -> Self {
        Self::new(move |seconds| ppm * 1e-6 * seconds as f64)
    }

    /// The step that it shows.
    fn shows(&self, seconds: i64) -> u64 {
        ((START + seconds) as f64 + (self.ahead)(seconds)) as u64 / 30
    }

    /// How far the forecast is off, in steps, and how many are accepted.
    fn off_by(&self, seconds: i64) -> (u64, u64) {
        let forecast = self.clock.forecast(STEP, Timestamp::from_secs(START + seconds), &self.policy);
        (forecast.step.abs_diff(self.shows(seconds)), u64::from(forecast.reach))
    }

    /// Whether its passcode is accepted; if so, it is learned from.
    fn log_in(&mut self, seconds: i64) -> bool {
        let (off, reach) = self.off_by(seconds);
        let accepted = off <= reach;
        if accepted {
            let now = Timestamp::from_secs(START + seconds);
            self.clock.learn(self.shows(seconds), STEP, now, &self.policy);
        }
        accepted
    }

    /// Logs in every so many days, at a time of the day that varies.
    fn used(&mut self, from: i64, to: i64, every: i64) {
        for day in (from..to).step_by(every as usize) {
            assert!(self.log_in(day * DAY + (day * 7_919) % 40_000), "day {day}: {:?}", self.clock);
        }
    }

    fn resync(&mut self, seconds: i64) {
        let now = Timestamp::from_secs(START + seconds);
        self.clock.resync(self.shows(seconds), STEP, now, &self.policy);
    }
}

#[test]
fn a_device_that_was_ahead_is_expected_ahead() {
    let (mut clock, policy) = (ClockState::default(), Policy::default());
    clock.learn(103, STEP, Timestamp::from_secs(3000), &policy);
    assert_eq!(clock.drift_steps, 3);
    assert_eq!(clock.step_at(STEP, Timestamp::from_secs(6000), &policy), 203);
    clock.learn(198, STEP, Timestamp::from_secs(6000), &policy);
    assert_eq!(clock.drift_steps, -2);
    assert_eq!(clock.step_at(STEP, Timestamp::from_secs(30), &policy), 0);
}

#[test]
fn absurd_offsets_and_times_saturate() {
    let (mut clock, policy) = (ClockState::default(), Policy::default());
    clock.learn(u64::MAX, STEP, Timestamp::from_secs(0), &policy);
    assert_eq!((clock.drift_steps, clock.offset_ms), (i64::MAX, MOST_OFFSET_MS));
    clock.learn(0, STEP, Timestamp::MAX, &policy);
    assert_eq!(clock.offset_ms, -MOST_OFFSET_MS);
    assert_eq!(clock.step_at(STEP, Timestamp::from_secs(-5), &policy), 0);
    clock.set_offset(i64::MAX, Timestamp::MAX);
    clock.set_rate(i32::MIN, Timestamp::MAX);
    assert_eq!((clock.offset_ms, clock.rate_ppb), (MOST_OFFSET_MS, -MOST_RATE_PPB));
    assert!(clock.forecast(STEP, Timestamp::MAX, &policy).reach <= 10);
}

#[test]
fn a_fob_50_ppm_fast_is_let_in_at_once_after_18_months_in_a_drawer() {
    for (ppm, every) in [(50.0, 1), (50.0, 7), (-50.0, 7), (20.0, 3)] {
        let mut fob = Fob::gaining(ppm);
        fob.used(0, 180, every);
        let later = (180 + 548) * DAY;
        let (off, reach) = fob.off_by(later);
        assert!(off <= 3 && off <= reach, "{ppm} ppm, every {every} days: off by {off}, {:?}", fob.clock);
        // A window around the last offset, as others have it, does not reach there.
        let at_last = (START + later) / 30 + fob.clock.drift_steps;
        assert!(at_last.abs_diff(fob.shows(later) as i64) > 30, "{ppm} ppm");
        assert!(fob.log_in(later));
    }
}

#[test]
fn a_rate_counts_after_5_successes_over_30_days_and_not_before() {
    let mut eager = Fob::gaining(40.0);
    eager.used(0, 30, 1);
    assert!(!eager.clock.rate_counts(), "30 successes in 29 days");
    eager.used(30, 32, 1);
    assert!(eager.clock.rate_counts());
    let mut rare = Fob::gaining(5.0);
    rare.used(0, 40, 10);
    assert_eq!((rare.clock.successes, rare.clock.rate_counts()), (4, false), "4 successes in 30 days");
    rare.used(40, 41, 1);
    assert!(rare.clock.rate_counts());
}

#[test]
fn a_rate_that_does_not_count_moves_no_forecast() {
    let mut fob = Fob::gaining(40.0);
    fob.used(0, 20, 1);
    assert!(fob.clock.rate_ppb > 10_000, "it is learned meanwhile: {:?}", fob.clock);
    let later = Timestamp::from_secs(START + 50 * DAY);
    assert_eq!(fob.clock.offset_at(later, &fob.policy), fob.clock.offset_ms);
}

#[test]
fn no_rate_beyond_100_ppm_is_learned_or_used() {
    let mut fob = Fob::gaining(150.0);
    for day in 0..60 {
        fob.resync(day * DAY);
        assert!(fob.clock.rate_ppb <= MOST_RATE_PPB);
    }
    let wild = ClockState { rate_ppb: i32::MAX, rate_given: true, ..fob.clock };
    let at = fob.clock.at.unwrap();
    let later = Timestamp::from_millis(at.as_millis() + 1_000_000_000);
    assert_eq!(wild.offset_at(later, &fob.policy) - wild.offset_ms, 100_000);
}

#[test]
fn a_clock_that_wobbles_with_the_seasons_never_needs_the_helpdesk() {
    // 20 ppm slow, and 4 ppm either way over the year.
    let year = 365.25 * DAY as f64;
    let wobble = move |s: i64| {
        let turns = s as f64 * std::f64::consts::TAU / year;
        -20e-6 * s as f64 + 4e-6 * year / std::f64::consts::TAU * (1.0 - turns.cos())
    };
    for every in [1, 7, 30] {
        let mut fob = Fob::new(wobble);
        fob.used(0, 4 * 365, every);
    }
}

#[test]
fn idle_time_widens_the_window_and_a_success_narrows_it_again() {
    let mut fob = Fob::gaining(10.0);
    fob.used(0, 60, 2);
    let reach = |fob: &Fob, day: i64| fob.off_by(day * DAY).1;
    assert_eq!(reach(&fob, 60), 2);
    let widths: Vec<u64> = [60, 200, 400, 800, 1600, 5000].map(|day| reach(&fob, day)).to_vec();
    assert!(widths.is_sorted() && widths[3] > 2, "{widths:?}");
    assert_eq!(widths[5], 10, "and never past the check tier");
    assert!(fob.log_in(400 * DAY));
    assert_eq!(reach(&fob, 401), 2);
}

#[test]
fn a_token_that_was_never_used_gets_no_wider_window() {
    let policy = Policy::default();
    let fresh = ClockState::default();
    assert_eq!(fresh.forecast(STEP, Timestamp::from_secs(START), &policy).reach, 2);
    let mut set = fresh;
    set.set_offset(90_000, Timestamp::from_secs(START));
    let later = Timestamp::from_secs(START + 3000 * DAY);
    assert_eq!(set.forecast(STEP, later, &policy).reach, 2);
}

#[test]
fn without_the_model_the_last_offset_is_all_there_is() {
    let mut fob = Fob::gaining(20.0);
    fob.policy.clock_model = false;
    fob.used(0, 100, 1);
    let day = 100 * DAY;
    assert_eq!(
        fob.clock.offset_at(Timestamp::from_secs(START + 900 * DAY), &fob.policy),
        fob.clock.offset_ms
    );
    assert_eq!(fob.off_by(day + 900 * DAY).1, 2);
    assert_eq!(fob.clock.rate_ppb, 0);
}

#[test]
fn a_resync_that_jumps_starts_the_model_afresh() {
    let jump = 200 * DAY;
    // Somebody set the time of the device by an hour, and it goes on gaining 30 ppm.
    let mut fob = Fob::new(move |s| 30e-6 * s as f64 + if s < jump { 0.0 } else { 3_600.0 });
    fob.used(0, 200, 5);
    assert!(fob.clock.rate_counts());
    assert!(!fob.log_in(jump + 100));
    fob.resync(jump + 200);
    assert_eq!((fob.clock.successes, fob.clock.rate_ppb), (1, 0), "an hour in a day is no rate");
    assert!(fob.log_in(jump + 300), "the next passcode is good");
    fob.used(201, 260, 3);
    assert!(fob.clock.rate_counts());
    assert!((fob.clock.rate_ppb - 30_000).abs() < 5_000, "{:?}", fob.clock);
}

#[test]
fn a_new_battery_costs_one_resync_and_the_rate_is_learned_anew() {
    let swap = 150 * DAY;
    let mut fob =
        Fob::new(move |s| if s < swap { -40e-6 * s as f64 } else { -90.0 + 15e-6 * (s - swap) as f64 });
    fob.used(0, 150, 3);
    fob.resync(swap + 60);
    fob.used(151, 400, 3);
    assert!((fob.clock.rate_ppb - 15_000).abs() < 2_000, "{:?}", fob.clock);
}

#[test]
fn a_resync_where_the_clock_was_expected_keeps_the_rate() {
    let mut fob = Fob::gaining(50.0);
    fob.used(0, 120, 2);
    let before = fob.clock.rate_ppb;
    fob.resync(121 * DAY);
    assert!(fob.clock.rate_counts() && (fob.clock.rate_ppb - before).abs() < 1_000);
}

#[test]
fn a_frozen_clock_learns_nothing_and_follows_only_a_resync() {
    let mut fob = Fob::gaining(50.0);
    fob.used(0, 60, 2);
    fob.clock.frozen = true;
    let before = fob.clock;
    assert!(fob.log_in(61 * DAY));
    assert_eq!(ClockState { drift_steps: before.drift_steps, ..fob.clock }, before);
    let later = 400 * DAY;
    fob.ahead = Box::new(|_| 7_200.0);
    fob.resync(later);
    assert_eq!((fob.clock.rate_ppb, fob.clock.frozen), (before.rate_ppb, true));
    assert_eq!(fob.off_by(later), (0, 2));
    fob.clock.forget();
    assert!(fob.clock.frozen, "a reset does not undo what an operator has set");
}

#[test]
fn what_is_set_by_hand_holds_at_once() {
    let (mut clock, policy) = (ClockState::default(), Policy::default());
    let now = Timestamp::from_secs(START);
    clock.set_offset(-120_000, now);
    clock.set_rate(50_000, now);
    assert!(clock.rate_counts());
    // 50 ppm over 10^9 s are 50000 s.
    let later = Timestamp::from_secs(START + 1_000_000_000);
    assert_eq!(clock.offset_at(later, &policy), 50_000_000 - 120_000);
    // A first success says more of the offset than the hand did; the rate stays.
    clock.learn((START as u64 + 300) / 30, STEP, now, &policy);
    assert!((clock.rate_ppb - 50_000).abs() < 100 && clock.rate_counts());
    assert!((285_000..=315_000).contains(&clock.offset_ms), "{clock:?}");
}

#[test]
fn a_server_clock_that_was_set_back_makes_no_time_pass() {
    let mut fob = Fob::gaining(0.0);
    fob.used(0, 60, 2);
    let before = fob.clock.offset_at(Timestamp::from_secs(START + 10 * DAY), &fob.policy);
    assert_eq!(before, fob.clock.offset_ms);
    assert!(fob.log_in(59 * DAY));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn any_clock() -> impl Strategy<Value = ClockState> {
        let time = || prop::option::of(any::<i64>().prop_map(Timestamp::from_millis));
        let spread = (any::<i64>(), any::<i64>(), any::<i64>()).prop_map(|(offset, both, rate)| Spread {
            offset,
            both,
            rate,
        });
        (any::<i64>(), any::<i64>(), any::<i32>(), time(), time(), any::<u32>(), spread, any::<[bool; 2]>())
            .prop_map(|(drift_steps, offset_ms, rate_ppb, at, since, successes, spread, flags)| ClockState {
                drift_steps,
                offset_ms,
                rate_ppb,
                at,
                since,
                successes,
                spread,
                frozen: flags[0],
                rate_given: flags[1],
            })
    }

    fn any_step() -> impl Strategy<Value = TimeStep> {
        prop_oneof![Just(30), Just(60), 1..=u32::MAX]
            .prop_map(|seconds| TimeStep::from_secs(seconds).unwrap())
    }

    proptest! {
        /// Whatever is stored and however long a token lies idle, a thief finds no more steps open than these.
        #[test]
        fn no_window_is_wider_than_the_check_tier(
            clock in any_clock(), step in any_step(), now in any::<i64>(), accept in 0..20_u32, check in 0..60_u32,
        ) {
            let policy = Policy { totp_accept: accept, totp_check: check, ..Policy::default() };
            let forecast = clock.forecast(step, Timestamp::from_millis(now), &policy);
            prop_assert!(forecast.reach >= accept && forecast.reach <= accept.max(check));
        }

        /// The centre of the window moves by at most 100 ppm of the time since the last success.
        #[test]
        fn no_forecast_runs_away(mut clock in any_clock(), idle in 0..10_000_000_000_000_i64) {
            clock.at = Some(Timestamp::from_secs(START));
            clock.offset_ms = clock.offset_ms.clamp(-MOST_OFFSET_MS / 2, MOST_OFFSET_MS / 2);
            let now = Timestamp::from_millis(START * 1000 + idle);
            let moved = clock.offset_at(now, &Policy::default()) - clock.offset_ms;
            prop_assert!(moved.abs() <= idle / 10_000 + 1, "{moved} in {idle}");
        }

        /// What was accepted just now is accepted at the same moment by the new forecast, whatever was known before.
        #[test]
        fn a_success_is_in_the_window_that_it_leads_to(
            mut clock in any_clock(), step in (1..=86_400_u32).prop_map(|s| TimeStep::from_secs(s).unwrap()),
            now in 0..4_000_000_000_000_i64, off in -10..=10_i64,
            accept in 0..3_u32,
        ) {
            clock.frozen = false;
            let policy = Policy { totp_accept: accept, ..Policy::default() };
            let now = Timestamp::from_millis(now);
            let accepted = step.step_at(now).saturating_add_signed(off);
            clock.learn(accepted, step, now, &policy);
            prop_assert!(clock.step_at(step, now, &policy).abs_diff(accepted) <= u64::from(accept));
            prop_assert!(clock.rate_ppb.abs() <= MOST_RATE_PPB && clock.offset_ms.abs() <= MOST_OFFSET_MS);
        }

        /// The filter against what it is a recursive form of: the whole history at once, with the covariance of every
        /// pair of measurements, solved by elimination.
        #[test]
        fn the_filter_follows_the_solution_of_the_whole_history(
            ppm in -60.0..60.0_f64,
            visits in prop::collection::vec((1..40_i64, -9_000..9_000_i64), 2..25),
        ) {
            let mut clock = ClockState::default();
            let (mut seconds, mut history) = (0_i64, Vec::new());
            for (days, error) in visits {
                seconds += days * DAY;
                let measured = (ppm * seconds as f64 / 1000.0) as i64 + error;
                let now = Timestamp::from_secs(START + seconds);
                if history.is_empty() {
                    clock.start(measured, STEP, now);
                } else {
                    prop_assert!(clock.update(measured, STEP, now));
                }
                history.push((seconds as f64 / 1e6, measured as f64));
            }
            let (offset, rate) = solved(&history);
            prop_assert!((clock.offset_ms as f64 - offset).abs() < 100.0, "{} and {offset}", clock.offset_ms);
            prop_assert!((f64::from(clock.rate_ppb) - rate).abs() < 30.0, "{} and {rate}", clock.rate_ppb);
        }
    }

    /// Offset and rate at the last of these measurements (Ms, ms), as the mean of a Gaussian process: the offset at
    /// first is what was measured, give or take the noise; the rate at first is 0 give or take 20 ppm, and wanders.
    fn solved(history: &[(f64, f64)]) -> (f64, f64) {
        let (start, first) = history[0];
        let points: Vec<(f64, f64)> = history[1..].iter().map(|(at, y)| (at - start, y - first)).collect();
        let (noise, unknown) = (noise(STEP), RATE_UNKNOWN * RATE_UNKNOWN);
        let offsets = |s: f64, t: f64| {
            let (early, late) = (s.min(t), s.max(t));
            noise + unknown * s * t + WANDER * early * early * (3.0 * late - early) / 6.0
        };
        let end = points[points.len() - 1].0;
        let size = points.len();
        let mut rows: Vec<Vec<f64>> = (0..size)
            .map(|i| {
                let mut row: Vec<f64> = (0..size).map(|j| offsets(points[i].0, points[j].0)).collect();
                row[i] += noise;
                row.push(points[i].1);
                row
            })
            .collect();
        for pivot in 0..size {
            for below in pivot + 1..size {
                let factor = rows[below][pivot] / rows[pivot][pivot];
                let upper = rows[pivot].clone();
                for (value, above) in rows[below].iter_mut().zip(&upper).skip(pivot) {
                    *value -= factor * above;
                }
            }
        }
        let mut weights = vec![0.0; size];
        for row in (0..size).rev() {
            let known: f64 = (row + 1..size).map(|column| rows[row][column] * weights[column]).sum();
            weights[row] = (rows[row][size] - known) / rows[row][row];
        }
        let sum = |with_end: &dyn Fn(f64) -> f64| -> f64 {
            points.iter().zip(&weights).map(|((at, _), weight)| with_end(*at) * weight).sum()
        };
        let offset = first + sum(&|at| offsets(at, end));
        let rate = sum(&|at| unknown * at + WANDER * at * at / 2.0);
        (offset, rate)
    }
}
