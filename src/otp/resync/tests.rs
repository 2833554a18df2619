use super::*;
use crate::otp::credential::Parameters;
use crate::otp::secret::Secret;
use crate::otp::totp::TimeStep;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn subject(parameters: Parameters, next: u64) -> ResyncSubject {
    let failed = Throttle { failures: 3, locked_until: None };
    ResyncSubject {
        user: Some(failed),
        source: Some(failed),
        credential: Some(Credential {
            secret: Secret::new(b"12345678901234567890".to_vec()).unwrap(),
            parameters,
        }),
        token_identifier: None,
        factor: FactorState { needs_sync: true, ..FactorState::starting_at(next) },
        throttle: failed,
        clock_suspect: false,
        policy: None,
    }
}

/// Resynchronises with the passcodes of these factors.
fn sync(subject: &mut ResyncSubject, factors: &[u64]) -> Result<(), SyncRejection> {
    let generator = subject.credential.as_ref().unwrap().generator();
    let codes: Vec<_> = factors.iter().map(|&factor| generator.at(factor)).collect();
    let texts: Vec<_> = codes.iter().map(Passcode::as_str).collect();
    resync(subject, &texts, NOW, &Policy::default())
}

fn counts(subject: &ResyncSubject) -> [u32; 3] {
    [subject.user.unwrap().failures, subject.source.unwrap().failures, subject.throttle.failures]
}

#[test]
fn two_consecutive_passcodes_revive_an_hotp_token_and_are_spent() {
    let mut subject = subject(Parameters::HOTP, 100);
    assert_eq!(sync(&mut subject, &[137, 138]), Ok(()));
    assert_eq!(subject.factor, FactorState::starting_at(139));
    assert_eq!(sync(&mut subject, &[137, 138]), Err(SyncRejection::Mismatch));
    assert_eq!(sync(&mut subject, &[138, 139]), Err(SyncRejection::Mismatch));
    assert_eq!(subject.factor, FactorState::starting_at(139));
}

#[test]
fn an_identifier_before_a_passcode_is_taken_off_in_either_case_and_a_passcode_like_it_stays_whole() {
    for (identifier, typed, expected) in [
        ("ubhe11032475", ["ubhe11032475755224", "UBHE11032475287082"], Ok(())),
        ("ubhe11032475", ["755224", "ubhe11032475287082"], Ok(())),
        ("75", ["755224", "287082"], Ok(())),
        ("75", ["75755224", "75287082"], Ok(())),
        ("ubhe11032475", ["755224", "ubhe11032475755224"], Err(SyncRejection::Mismatch)),
        ("ubhe11032475", ["ubhe11032476755224", "287082"], Err(SyncRejection::Mismatch)),
        ("", ["ubhe11032475755224", "287082"], Err(SyncRejection::Mismatch)),
        ("ub", ["é755224", "287082"], Err(SyncRejection::Mismatch)),
    ] {
        let mut subject = subject(Parameters::HOTP, 0);
        subject.token_identifier = Some(identifier.into());
        assert_eq!(resync(&mut subject, &typed, NOW, &Policy::default()), expected, "{identifier} {typed:?}");
    }
}

#[test]
fn the_hotp_window_ends_1000_ahead_of_the_counter() {
    for (factors, expected) in [
        (&[100, 101][..], Ok(())),
        (&[1099, 1100], Ok(())),
        (&[1098, 1099, 1100], Ok(())),
        (&[99, 100], Err(SyncRejection::Mismatch)),
        (&[1100, 1101], Err(SyncRejection::Mismatch)),
        (&[1099, 1100, 1101], Err(SyncRejection::Mismatch)),
    ] {
        assert_eq!(sync(&mut subject(Parameters::HOTP, 100), factors), expected, "{factors:?}");
    }
}

#[test]
fn passcodes_must_be_consecutive_in_order_and_different() {
    for factors in
        [&[100, 102][..], &[101, 100], &[100, 100], &[100, 101, 101], &[100, 101, 103], &[100, 101, 100]]
    {
        let mut subject = subject(Parameters::HOTP, 100);
        assert_eq!(sync(&mut subject, factors), Err(SyncRejection::Mismatch), "{factors:?}");
        assert_eq!(counts(&subject), [4, 4, 4]);
        assert_eq!(subject.factor.next, 100);
        assert!(subject.factor.needs_sync);
    }
}

#[test]
fn a_success_clears_the_token_but_neither_user_nor_source() {
    let mut subject = subject(Parameters::HOTP, 100);
    assert_eq!(sync(&mut subject, &[100, 101, 102]), Ok(()));
    assert_eq!(counts(&subject), [3, 3, 0]);
}

#[test]
fn totp_reaches_120_steps_either_side_and_learns_the_drift_from_the_last() {
    let now = TimeStep::SECONDS_30.step_at(NOW);
    for (first, fits) in [(now - 121, false), (now - 120, true), (now + 119, true), (now + 120, false)] {
        let mut subject = subject(Parameters::TOTP, 0);
        assert_eq!(sync(&mut subject, &[first, first + 1]).is_ok(), fits);
        let drift_steps = (first + 1).cast_signed() - now.cast_signed();
        let expected = if fits { (first + 2, drift_steps, false) } else { (0, 0, true) };
        let FactorState { next, clock, needs_sync, .. } = subject.factor;
        assert_eq!((next, clock.drift_steps, needs_sync), expected);
    }
}

#[test]
fn totp_below_the_floor_does_not_sync() {
    let now = TimeStep::SECONDS_30.step_at(NOW);
    assert_eq!(sync(&mut subject(Parameters::TOTP, now), &[now - 1, now]), Err(SyncRejection::Mismatch));
    assert_eq!(sync(&mut subject(Parameters::TOTP, now), &[now, now + 1]), Ok(()));
}

#[test]
fn a_lock_anywhere_holds_and_changes_nothing() {
    let locked = Throttle { failures: 10, locked_until: Some(Timestamp::MAX) };
    let locks: [fn(&mut ResyncSubject, Throttle); 3] = [
        |subject, locked| subject.user = Some(locked),
        |subject, locked| subject.source = Some(locked),
        |subject, locked| subject.throttle = locked,
    ];
    for lock in locks {
        let mut subject = subject(Parameters::HOTP, 100);
        lock(&mut subject, locked);
        let before = subject.clone();
        assert_eq!(sync(&mut subject, &[100, 101]), Err(SyncRejection::Locked));
        assert_eq!(sync(&mut subject, &[100, 102]), Err(SyncRejection::Locked));
        assert_eq!(subject, before);
    }
}

#[test]
fn one_passcode_or_four_change_nothing() {
    for factors in [&[][..], &[100], &[100, 101, 102, 103]] {
        let mut subject = subject(Parameters::HOTP, 100);
        let before = subject.clone();
        assert_eq!(sync(&mut subject, factors), Err(SyncRejection::WrongCount));
        assert_eq!(subject, before);
    }
}

#[test]
fn a_token_without_a_secret_cannot_sync() {
    let mut subject = ResyncSubject::default();
    let result = resync(&mut subject, &["755224", "287082"], NOW, &Policy::default());
    assert_eq!(result, Err(SyncRejection::NoSecret));
    assert_eq!(subject, ResyncSubject::default());
}

#[test]
fn texts_that_are_no_passcodes_are_a_mismatch() {
    for passcodes in [["755224", ""], ["75522", "287082"], ["755224", "28708x"], ["1755224", "1287082"]] {
        let mut subject = subject(Parameters::HOTP, 0);
        let result = resync(&mut subject, &passcodes, NOW, &Policy::default());
        assert_eq!(result, Err(SyncRejection::Mismatch));
        assert_eq!(counts(&subject), [4, 4, 4]);
    }
}

#[test]
fn the_end_of_the_counter_is_reached_but_not_passed() {
    let mut near = subject(Parameters::HOTP, u64::MAX - 3);
    assert_eq!(sync(&mut near, &[u64::MAX - 1, u64::MAX]), Err(SyncRejection::Mismatch));
    assert_eq!(sync(&mut near, &[u64::MAX - 2, u64::MAX - 1]), Ok(()));
    assert_eq!(near.factor, FactorState::starting_at(u64::MAX));
}
