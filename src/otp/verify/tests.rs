use super::*;
use crate::otp::algorithm::Algorithm;
use crate::otp::secret::Secret;
use crate::otp::totp::TimeStep;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const SECRET: &[u8] = b"12345678901234567890";
const OTHER_SECRET: &[u8] = b"another secret of 26 bytes";
const ACCEPTED: fn(u64) -> Verdict = |factor| Verdict::Accepted { candidate: 0, factor };

fn keys() -> Keys {
    Keys { pin: PinKey::new([1; 32]), repeat: RepeatKey::new([2; 32]) }
}

fn credential(secret: &[u8], parameters: Parameters) -> Credential {
    Credential { secret: Secret::new(secret.to_vec()).unwrap(), parameters }
}

fn hotp(next: u64) -> Candidate {
    Candidate::new(1, Some(credential(SECRET, Parameters::HOTP)), FactorState::starting_at(next))
}

fn totp(next: u64) -> Candidate {
    Candidate::new(2, Some(credential(SECRET, Parameters::TOTP)), FactorState::starting_at(next))
}

fn with_pin(mut candidate: Candidate, pin: &str) -> Candidate {
    candidate.pin = Some(keys().pin.record(candidate.pin_label, [9; 16], pin));
    candidate
}

fn subject(candidates: Vec<Candidate>) -> Subject {
    Subject { user: Some(Throttle::default()), source: Some(Throttle::default()), candidates }
}

/// The passcode of the candidate at a factor.
fn code(candidate: &Candidate, factor: u64) -> String {
    candidate.credential.as_ref().unwrap().generator().at(factor).as_str().to_owned()
}

fn type_in(subject: &mut Subject, typed: &str) -> Verdict {
    verify(subject, typed, NOW, &keys(), &Policy::default())
}

fn failures(subject: &Subject) -> (Option<u32>, Option<u32>, Vec<u32>) {
    let count = |throttle: Option<Throttle>| throttle.map(|throttle| throttle.failures);
    let tokens = subject.candidates.iter().map(|candidate| candidate.throttle.failures).collect();
    (count(subject.user), count(subject.source), tokens)
}

#[test]
fn the_first_passcode_of_the_rfc_is_accepted_and_spent() {
    let mut subject = subject(vec![hotp(0)]);
    assert_eq!(type_in(&mut subject, "755224"), ACCEPTED(0));
    assert_eq!(subject.candidates[0].factor, FactorState::starting_at(1));
}

#[test]
fn a_replayed_passcode_is_rejected_and_not_counted_when_it_comes_at_once() {
    let mut subject = subject(vec![hotp(0)]);
    assert_eq!(type_in(&mut subject, "755224"), ACCEPTED(0));
    assert_eq!(type_in(&mut subject, "755224"), Verdict::Rejected(Rejection::Repeated));
    assert_eq!(failures(&subject), (Some(0), Some(0), vec![0]));
    let later = NOW.saturating_add(Policy::default().repeat_window);
    let verdict = verify(&mut subject, "755224", later, &keys(), &Policy::default());
    assert_eq!(verdict, Verdict::Rejected(Rejection::WrongPasscode));
    assert_eq!(failures(&subject), (Some(1), Some(1), vec![1]));
}

#[test]
fn while_the_clock_is_suspect_time_is_not_judged_and_alone_it_counts_nothing() {
    let suspect = |mut candidate: Candidate| {
        candidate.clock_suspect = true;
        candidate
    };
    let step = TimeStep::SECONDS_30.step_at(NOW);
    let right = code(&totp(0), step);
    let mut alone = subject(vec![suspect(totp(0))]);
    let before = alone.clone();
    for typed in [right.as_str(), "000000"] {
        assert_eq!(type_in(&mut alone, typed), Verdict::Rejected(Rejection::ClockSuspect));
        assert_eq!(alone, before);
    }
    let mut both = subject(vec![suspect(totp(0)), hotp(0)]);
    assert_eq!(type_in(&mut both, &right), Verdict::Rejected(Rejection::ClockSuspect));
    assert_eq!(
        failures(&both),
        (Some(1), Some(1), vec![0, 0]),
        "the counter was guessed at, no token is meant"
    );
    assert_eq!(type_in(&mut both, "755224"), Verdict::Accepted { candidate: 1, factor: 0 });
    let mut locked = subject(vec![suspect(totp(0))]);
    locked.user = Some(Throttle { failures: 10, locked_until: Some(Timestamp::MAX) });
    assert_eq!(type_in(&mut locked, &right), Verdict::Rejected(Rejection::Locked));
}

#[test]
fn a_lock_made_by_a_clock_that_ran_ahead_ends_within_the_hour() {
    let mut subject = subject(vec![hotp(0)]);
    let ahead = NOW.saturating_add(std::time::Duration::from_secs(365 * 86_400));
    subject.user = Some(Throttle { failures: 10, locked_until: Some(ahead) });
    assert_eq!(type_in(&mut subject, "755224"), Verdict::Rejected(Rejection::Locked));
    let later = NOW.saturating_add(std::time::Duration::from_secs(3600));
    assert_eq!(verify(&mut subject, "755224", later, &keys(), &Policy::default()), ACCEPTED(0));
}

#[test]
fn skipped_presses_are_accepted_up_to_the_look_ahead_only() {
    for (pin, look_ahead) in [("1234", 10), ("", 5)] {
        let fresh = if pin.is_empty() { hotp(100) } else { with_pin(hotp(100), pin) };
        let typed = |factor| format!("{pin}{}", code(&fresh, factor));
        for factor in [99, 100 + look_ahead + 1] {
            let mut subject = subject(vec![fresh.clone()]);
            let verdict = type_in(&mut subject, &typed(factor));
            assert_eq!(verdict, Verdict::Rejected(Rejection::WrongPasscode), "{factor}");
            assert_eq!(subject.candidates[0].factor, FactorState::starting_at(100));
        }
        for factor in [100, 100 + look_ahead] {
            let mut subject = subject(vec![fresh.clone()]);
            assert_eq!(type_in(&mut subject, &typed(factor)), ACCEPTED(factor));
            assert_eq!(subject.candidates[0].factor, FactorState::starting_at(factor + 1));
        }
    }
}

#[test]
fn totp_is_accepted_two_steps_either_side_and_never_at_or_below_the_floor() {
    let now = TimeStep::SECONDS_30.step_at(NOW);
    for (floor, step, fits) in [
        (0, now - 3, false),
        (0, now - 2, true),
        (0, now + 2, true),
        (0, now + 3, false),
        (now, now - 1, false),
        (now, now, true),
        (now + 3, now + 2, false),
    ] {
        let mut subject = subject(vec![totp(floor)]);
        let typed = code(&subject.candidates[0], step);
        let accepted = type_in(&mut subject, &typed) == ACCEPTED(step);
        assert_eq!(accepted, fits, "floor {floor}, step {step}, now {now}");
        let drift_steps = if fits { step.cast_signed() - now.cast_signed() } else { 0 };
        let next = if fits { step + 1 } else { floor };
        let factor = subject.candidates[0].factor;
        assert_eq!((factor.next, factor.clock.drift_steps, factor.needs_sync), (next, drift_steps, false));
    }
}

#[test]
fn the_window_follows_a_device_whose_clock_runs_ahead() {
    let now = TimeStep::SECONDS_30.step_at(NOW);
    let mut subject = subject(vec![totp(0)]);
    subject.candidates[0].factor.clock.set_offset(50 * 30_000, NOW);
    let typed = code(&subject.candidates[0], now + 52);
    assert_eq!(type_in(&mut subject, &typed), ACCEPTED(now + 52));
    let factor = subject.candidates[0].factor;
    assert_eq!((factor.next, factor.clock.drift_steps), (now + 53, 52));
}

#[test]
fn a_right_passcode_with_a_wrong_pin_is_spent() {
    let mut subject = subject(vec![with_pin(hotp(0), "1234")]);
    assert_eq!(type_in(&mut subject, "1235755224"), Verdict::Rejected(Rejection::WrongPin));
    assert_eq!(subject.candidates[0].factor, FactorState::starting_at(1));
    assert_eq!(failures(&subject), (Some(1), Some(1), vec![1]));
    assert_eq!(type_in(&mut subject, "1234755224"), Verdict::Rejected(Rejection::WrongPasscode));
}

#[test]
fn policy_can_leave_the_passcode_unspent() {
    let policy = Policy { spend_on_wrong_pin: false, ..Policy::default() };
    let mut subject = subject(vec![with_pin(hotp(0), "1234")]);
    let verdict = verify(&mut subject, "1235755224", NOW, &keys(), &policy);
    assert_eq!(verdict, Verdict::Rejected(Rejection::WrongPin));
    assert_eq!(verify(&mut subject, "1234755224", NOW, &keys(), &policy), ACCEPTED(0));
}

#[test]
fn a_missing_pin_fails_and_so_does_one_that_was_never_set() {
    let mut guarded = subject(vec![with_pin(hotp(0), "1234")]);
    assert_eq!(type_in(&mut guarded, "755224"), Verdict::Rejected(Rejection::WrongPin));
    let mut open = subject(vec![hotp(0)]);
    assert_eq!(type_in(&mut open, "1234755224"), Verdict::Rejected(Rejection::WrongPin));
}

#[test]
fn the_pin_stands_where_policy_says() {
    let suffix = Policy { pin_placement: PinPlacement::Suffix, ..Policy::default() };
    for (policy, typed) in [(Policy::default(), "0987755224"), (suffix, "7552240987")] {
        let mut subject = subject(vec![with_pin(hotp(0), "0987")]);
        let mirrored: String = if typed.starts_with("0987") { "7552240987" } else { "0987755224" }.into();
        let verdict = verify(&mut subject, &mirrored, NOW, &keys(), &policy);
        assert_eq!(verdict, Verdict::Rejected(Rejection::WrongPasscode));
        assert_eq!(verify(&mut subject, typed, NOW, &keys(), &policy), ACCEPTED(0));
    }
}

#[test]
fn a_pin_in_a_field_of_its_own_is_taken_from_nowhere_else() {
    let policy = Policy { pin_placement: PinPlacement::Field, ..Policy::default() };
    for pin in ["0987", "755224", "a\u{1f}b"] {
        let mut subject = subject(vec![with_pin(hotp(0), pin)]);
        let guesses = [
            format!("{pin}755224"),
            format!("755224{pin}"),
            "755224".to_owned(),
            "\u{1f}755224".to_owned(),
            format!("{pin}\u{1f}0755224"),
            format!("{pin}\u{1f}75522"),
        ];
        for wrong in guesses {
            subject.candidates[0].factor = FactorState::starting_at(0);
            let verdict = verify(&mut subject, &wrong, NOW, &keys(), &policy);
            assert!(matches!(verdict, Verdict::Rejected(_)), "{wrong:?}");
        }
        subject.candidates[0].factor = FactorState::starting_at(0);
        let typed = format!("{pin}\u{1f}755224");
        assert_eq!(verify(&mut subject, &typed, NOW, &keys(), &policy), ACCEPTED(0), "{typed:?}");
        let refused =
            verify(&mut subject, &typed.replace("755224", "287082"), NOW, &keys(), &Policy::default());
        assert_eq!(refused, Verdict::Rejected(Rejection::WrongPin), "only by policy");
    }
    let mut open = subject(vec![hotp(0)]);
    assert_eq!(verify(&mut open, "755224", NOW, &keys(), &policy), ACCEPTED(0));
}

#[test]
fn a_pin_may_be_any_text() {
    for pin in ["ü", "755224", "ubhe", "π🔑 x"] {
        let mut subject = subject(vec![with_pin(hotp(0), pin)]);
        assert_eq!(type_in(&mut subject, &format!("{pin}755224")), ACCEPTED(0), "{pin}");
    }
}

#[test]
fn an_identifier_stands_before_the_passcode_and_is_required() {
    let suffix = Policy { pin_placement: PinPlacement::Suffix, ..Policy::default() };
    for (policy, typed) in [(Policy::default(), "1234UBHE755224"), (suffix, "ubhe7552241234")] {
        let mut subject = subject(vec![with_pin(hotp(0), "1234")]);
        subject.candidates[0].token_identifier = Some("ubhe".into());
        for wrong in ["1234755224", "7552241234", "1234ubhf755224", "1234éhe755224"] {
            let verdict = verify(&mut subject, wrong, NOW, &keys(), &policy);
            assert!(matches!(verdict, Verdict::Rejected(_)), "{wrong}");
        }
        assert_eq!(verify(&mut subject, typed, NOW, &keys(), &policy), ACCEPTED(0), "{typed}");
    }
}

#[test]
fn texts_that_hold_no_passcode_are_wrong_and_counted() {
    let long = "1".repeat(100_000);
    for typed in ["", "1", "12345", "75522４", "ééé", "\u{1f511}", "abcdef", long.as_str()] {
        let mut subject = subject(vec![hotp(0)]);
        assert_eq!(type_in(&mut subject, typed), Verdict::Rejected(Rejection::WrongPasscode));
        assert_eq!(failures(&subject), (Some(1), Some(1), vec![1]));
        assert_eq!(subject.candidates[0].factor, FactorState::starting_at(0));
    }
}

#[test]
fn six_to_ten_digits_and_all_three_hashes_verify() {
    for digits in 6..=10 {
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512] {
            let parameters = Parameters { kind: Kind::Hotp, algorithm, digits: Digits::new(digits).unwrap() };
            let candidate =
                Candidate::new(1, Some(credential(SECRET, parameters)), FactorState::starting_at(3));
            let candidate = with_pin(candidate, "77");
            let typed = format!("77{}", code(&candidate, 4));
            assert_eq!(typed.len(), 2 + usize::from(digits));
            assert_eq!(type_in(&mut subject(vec![candidate]), &typed), ACCEPTED(4));
        }
    }
}

#[test]
fn the_first_candidate_that_fits_wins_and_only_it_advances() {
    let second =
        Candidate::new(5, Some(credential(OTHER_SECRET, Parameters::HOTP)), FactorState::starting_at(7));
    let typed = code(&second, 9);
    let mut subject = subject(vec![hotp(0), second, totp(0)]);
    subject.user = Some(Throttle { failures: 4, locked_until: None });
    for candidate in &mut subject.candidates {
        candidate.throttle.failures = 2;
    }
    assert_eq!(type_in(&mut subject, &typed), Verdict::Accepted { candidate: 1, factor: 9 });
    let floors: Vec<_> = subject.candidates.iter().map(|candidate| candidate.factor.next).collect();
    assert_eq!(floors, [0, 10, 0]);
    assert_eq!(failures(&subject), (Some(0), Some(0), vec![2, 0, 2]));
}

#[test]
fn a_fit_with_a_wrong_pin_is_not_spent_if_another_candidate_wins() {
    let guarded = with_pin(hotp(0), "1234");
    let mut open = hotp(0);
    open.label = 2;
    let mut subject = subject(vec![guarded, open]);
    assert_eq!(type_in(&mut subject, "755224"), Verdict::Accepted { candidate: 1, factor: 0 });
    assert_eq!(subject.candidates[0].factor, FactorState::starting_at(0));
}

#[test]
fn the_other_tokens_of_a_user_do_not_slide_into_lockout() {
    let other =
        Candidate::new(5, Some(credential(OTHER_SECRET, Parameters::HOTP)), FactorState::starting_at(0));
    let pair = vec![with_pin(hotp(0), "1234"), with_pin(other, "5678")];
    let counted = |candidates: Vec<Candidate>, typed: &str| {
        let mut subject = subject(candidates);
        type_in(&mut subject, typed);
        failures(&subject)
    };
    let (user, source) = (Some(1), Some(1));
    assert_eq!(counted(pair.clone(), "0000000000"), (user, source, vec![0, 0]), "nothing fits");
    assert_eq!(counted(pair.clone(), "5678000000"), (user, source, vec![0, 1]), "its PIN");
    assert_eq!(counted(pair.clone(), "0000755224"), (user, source, vec![1, 0]), "its passcode");
    let mut named = pair.clone();
    named[1].named = true;
    assert_eq!(counted(named, "0000000000"), (user, source, vec![0, 1]), "it was named");
    let mut only = pair;
    only[1].usable = false;
    assert_eq!(counted(only, "0000000000"), (user, source, vec![1, 0]), "it is the only one");
    assert_eq!(counted(vec![hotp(0), totp(0)], "000000"), (user, source, vec![0, 0]), "no PINs at all");
}

#[test]
fn the_same_text_is_counted_once_a_minute() {
    let mut subject = subject(vec![hotp(0)]);
    assert_eq!(type_in(&mut subject, "000000"), Verdict::Rejected(Rejection::WrongPasscode));
    assert_eq!(type_in(&mut subject, "000000"), Verdict::Rejected(Rejection::Repeated));
    assert_eq!(type_in(&mut subject, "000001"), Verdict::Rejected(Rejection::WrongPasscode));
    assert_eq!(failures(&subject), (Some(2), Some(2), vec![2]));
}

#[test]
fn ten_failures_lock_and_while_locked_nothing_changes() {
    let mut subject = subject(vec![hotp(0)]);
    for guess in 0..10 {
        type_in(&mut subject, &format!("{guess:06}"));
    }
    assert_eq!(failures(&subject), (Some(10), Some(10), vec![10]));
    let before = subject.clone();
    for typed in ["755224", "000077", ""] {
        assert_eq!(type_in(&mut subject, typed), Verdict::Rejected(Rejection::Locked));
        assert_eq!(subject, before);
    }
    let after = NOW.saturating_add(Policy::default().first_lock);
    assert_eq!(verify(&mut subject, "755224", after, &keys(), &Policy::default()), ACCEPTED(0));
    assert_eq!(failures(&subject), (Some(0), Some(0), vec![0]));
}

#[test]
fn any_lock_that_covers_the_attempt_holds() {
    let locked = Throttle { failures: 10, locked_until: Some(Timestamp::MAX) };
    let of = |user: Throttle, source: Throttle, token: Throttle| {
        let mut subject = Subject { user: Some(user), source: Some(source), candidates: vec![hotp(0)] };
        subject.candidates[0].throttle = token;
        type_in(&mut subject, "755224")
    };
    let free = Throttle::default();
    assert_eq!(of(locked, free, free), Verdict::Rejected(Rejection::Locked));
    assert_eq!(of(free, locked, free), Verdict::Rejected(Rejection::Locked));
    assert_eq!(of(free, free, locked), Verdict::Rejected(Rejection::Locked));
    assert_eq!(of(free, free, free), ACCEPTED(0));
}

#[test]
fn a_locked_candidate_is_passed_over_and_left_alone() {
    let mut locked = with_pin(hotp(0), "1234");
    locked.throttle = Throttle { failures: 10, locked_until: Some(Timestamp::MAX) };
    let mut subject = subject(vec![locked.clone(), totp(0)]);
    assert_eq!(type_in(&mut subject, "1234755224"), Verdict::Rejected(Rejection::WrongPasscode));
    assert_eq!(subject.candidates[0], locked);
    assert_eq!(failures(&subject), (Some(1), Some(1), vec![10, 0]));
    let typed = code(&subject.candidates[1], TimeStep::SECONDS_30.step_at(NOW));
    assert!(matches!(type_in(&mut subject, &typed), Verdict::Accepted { candidate: 1, .. }));
}

#[test]
fn a_credential_that_waits_for_a_resync_accepts_nothing_and_spends_nothing() {
    let mut waiting = hotp(0);
    waiting.factor.needs_sync = true;
    let mut subject = subject(vec![waiting]);
    assert_eq!(type_in(&mut subject, "755224"), Verdict::Rejected(Rejection::NeedsSync));
    assert_eq!(subject.candidates[0].factor, FactorState { needs_sync: true, ..FactorState::default() });
    assert_eq!(failures(&subject), (Some(1), Some(1), vec![0]));
    assert_eq!(type_in(&mut subject, "755224"), Verdict::Rejected(Rejection::Repeated));
}

#[test]
fn nobody_to_ask_counts_on_whom_there_is() {
    let unusable = Candidate { usable: false, ..hotp(0) };
    let stock = Candidate::new(3, None, FactorState::default());
    for candidates in [vec![], vec![unusable], vec![stock]] {
        let none = vec![0; candidates.len()];
        let mut subject = Subject { user: None, source: Some(Throttle::default()), candidates };
        assert_eq!(type_in(&mut subject, "755224"), Verdict::Rejected(Rejection::NobodyToAsk));
        assert_eq!(failures(&subject), (None, Some(1), none));
    }
}

#[test]
fn the_last_moving_factor_is_never_accepted() {
    let mut subject = subject(vec![with_pin(hotp(u64::MAX - 1), "1")]);
    let last = format!("1{}", code(&subject.candidates[0], u64::MAX));
    let last_but_one = format!("1{}", code(&subject.candidates[0], u64::MAX - 1));
    assert_eq!(type_in(&mut subject, &last), Verdict::Rejected(Rejection::WrongPasscode));
    assert_eq!(type_in(&mut subject, &last_but_one), ACCEPTED(u64::MAX - 1));
    assert_eq!(type_in(&mut subject, &last_but_one), Verdict::Rejected(Rejection::Repeated));
    assert_eq!(type_in(&mut subject, &last), Verdict::Rejected(Rejection::Repeated));
    assert_eq!(subject.candidates[0].factor.next, u64::MAX);
}

#[test]
fn a_time_before_the_epoch_is_in_the_first_step() {
    let mut subject = subject(vec![totp(0)]);
    let typed = code(&subject.candidates[0], 0);
    let verdict = verify(&mut subject, &typed, Timestamp::from_secs(-5), &keys(), &Policy::default());
    assert_eq!(verdict, ACCEPTED(0));
}

#[test]
fn nothing_that_is_shown_gives_anything_away() {
    let mut subject = subject(vec![with_pin(hotp(0), "1234")]);
    type_in(&mut subject, "4321755224");
    let shown = format!("{subject:?} {:?}", keys());
    for secret in ["12345678901234567890", "49, 50, 51", "1234", "4321", "755224"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
