//! The core against a reference model, over random histories of users, thieves and helpdesk.
//!
//! After every step verdict and state must equal the model's, a factor must never be accepted twice, a floor must
//! not sink except by a rewind, and whatever is locked must not change.

mod model;

use std::cell::RefCell;
use std::collections::HashSet;
use std::time::Duration;

use fobd::otp::algorithm::Algorithm;
use fobd::otp::credential::{Credential, Kind, Parameters};
use fobd::otp::factor::FactorState;
use fobd::otp::passcode::Digits;
use fobd::otp::pin::PinKey;
use fobd::otp::policy::{PinPlacement, Policy};
use fobd::otp::repeats::{RepeatKey, Repeats};
use fobd::otp::resync::{ResyncSubject, SyncRejection, resync};
use fobd::otp::secret::Secret;
use fobd::otp::throttle::Throttle;
use fobd::otp::time::Timestamp;
use fobd::otp::totp::TimeStep;
use fobd::otp::verify::{Candidate, Keys, Rejection, Subject, Verdict, verify};
use model::{Answer, Count, SyncAnswer, Token, World};
use proptest::prelude::*;

/// What happens next. Offsets count from where the server expects the token.
#[derive(Clone, Debug)]
enum Step {
    Type {
        token: usize,
        offset: i128,
        pin: Pin,
        named: bool,
    },
    TypeAgain {
        back: usize,
    },
    TypeText {
        text: String,
    },
    Sync {
        token: usize,
        offset: i128,
        gaps: Vec<i128>,
    },
    Wait {
        millis: i64,
    },
    /// `token/reset` without a counter.
    Reset {
        token: usize,
    },
    Rewind {
        token: usize,
        by: i128,
    },
    Toggle {
        token: usize,
    },
}

#[derive(Clone, Debug)]
enum Pin {
    Right,
    Wrong,
    Missing,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let token = 0..3_usize;
    let pin = prop_oneof![6 => Just(Pin::Right), 2 => Just(Pin::Wrong), 1 => Just(Pin::Missing)];
    // Near ones mostly, so that histories get somewhere, and those around each edge.
    let offset = prop_oneof![4 => 0..=2_i128, 3 => -4..=7_i128, 1 => 8..=14_i128];
    let sync = prop_oneof![3 => 0..=4_i128, 2 => -12..=12_i128, 1 => 24..=32_i128];
    let gaps = prop_oneof![
        4 => Just(vec![1]), 2 => Just(vec![1, 1]), 1 => Just(vec![0]), 1 => Just(vec![2]), 1 => Just(vec![-1]),
        1 => Just(vec![1, 2])
    ];
    let millis = prop_oneof![
        3 => 0..=2_000_i64, 3 => 20_000..=40_000_i64, 2 => 60_000..=130_000_i64, 1 => 0..=4_000_000_i64,
        1 => -30_000..=-1_i64
    ];
    let text = prop_oneof![Just(String::new()), "[0-9]{5,9}", "12340[0-9]{5}", "\\PC{0,12}"];
    let step = prop_oneof![
        12 => (token.clone(), offset, pin, any::<bool>())
            .prop_map(|(token, offset, pin, named)| Step::Type { token, offset, pin, named }),
        3 => (0..6_usize).prop_map(|back| Step::TypeAgain { back }),
        2 => text.prop_map(|text| Step::TypeText { text }),
        3 => (token.clone(), sync, gaps).prop_map(|(token, offset, gaps)| Step::Sync { token, offset, gaps }),
        5 => millis.prop_map(|millis| Step::Wait { millis }),
        1 => token.clone().prop_map(|token| Step::Reset { token }),
        1 => (token.clone(), -3..=9_i128).prop_map(|(token, by)| Step::Rewind { token, by }),
        1 => token.prop_map(|token| Step::Toggle { token }),
    ];
    prop::collection::vec(step, 1..60)
}

fn policies() -> impl Strategy<Value = Policy> {
    (1..=10_u32, 0..=10_u32, 0..=2_u32, any::<bool>(), any::<bool>()).prop_map(
        |(max_failures, hotp_look_ahead, totp_accept, suffix, spend_on_wrong_pin)| Policy {
            max_failures,
            hotp_look_ahead,
            totp_accept,
            hotp_sync_window: 30,
            totp_sync_window: 10,
            clock_model: false,
            pin_placement: if suffix { PinPlacement::Suffix } else { PinPlacement::Prefix },
            spend_on_wrong_pin,
            ..Policy::default()
        },
    )
}

fn tokens() -> impl Strategy<Value = Vec<Token>> {
    let algorithm = prop::sample::select(&[Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512][..]);
    let pin = prop_oneof![Just(None), Just(Some("1234")), Just(Some("0é9"))];
    let step = prop_oneof![Just(None), Just(Some(30)), Just(Some(60))];
    let next = prop_oneof![3 => 0..100_i128, 1 => i128::from(u64::MAX) - 12..=i128::from(u64::MAX)];
    let token = (algorithm, 6..=8_u32, step, pin, next, 0..20_u32).prop_map(
        |(algorithm, digits, step, pin, next, luck)| Token {
            secret: (luck != 0).then(Vec::new),
            algorithm,
            digits,
            step,
            pin: pin.map(str::to_owned),
            usable: true,
            next: if step.is_some() { 0 } else { next },
            offset: 0,
            needs_sync: luck == 1,
            count: Count::default(),
            typed: Vec::new(),
            codes: RefCell::default(),
        },
    );
    prop::collection::vec(token, 0..=3).prop_map(|mut tokens| {
        for (index, token) in tokens.iter_mut().enumerate() {
            token.secret = token.secret.take().map(|_| format!("secret of token {index}").into_bytes());
        }
        tokens
    })
}

/// Server and model side by side.
struct Both {
    subject: Subject,
    world: World,
    policy: Policy,
    keys: Keys,
    /// Milliseconds.
    now: i64,
    typed: Vec<(String, Option<usize>)>,
    /// Token, how often it was rewound, factor.
    accepted: HashSet<(usize, u32, u64)>,
    rewinds: Vec<u32>,
}

impl Both {
    fn new(tokens: Vec<Token>, policy: Policy, now: i64, known: (bool, bool)) -> Self {
        let keys = Keys { pin: PinKey::new([1; 32]), repeat: RepeatKey::new([2; 32]) };
        let candidates =
            tokens.iter().enumerate().map(|(index, token)| candidate(index, token, &keys)).collect();
        let throttle = |known: bool| known.then(Throttle::default);
        let count = |known: bool| known.then(Count::default);
        Self {
            subject: Subject { user: throttle(known.0), source: throttle(known.1), candidates },
            rewinds: vec![0; tokens.len()],
            world: World { user: count(known.0), source: count(known.1), tokens },
            policy,
            keys,
            now,
            typed: Vec::new(),
            accepted: HashSet::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        let token = match step {
            Step::Type { token, .. }
            | Step::Sync { token, .. }
            | Step::Reset { token }
            | Step::Rewind { token, .. }
            | Step::Toggle { token } => *token,
            Step::TypeAgain { .. } | Step::TypeText { .. } | Step::Wait { .. } => usize::MAX,
        };
        if token != usize::MAX && token >= self.world.tokens.len() {
            return;
        }
        match step {
            Step::Type { offset, pin, named, .. } => self.type_code(token, *offset, pin, *named),
            Step::TypeAgain { back } => {
                let Some((text, named)) = self.typed.iter().rev().nth(*back).cloned() else { return };
                self.type_text(text, named);
            }
            Step::TypeText { text } => self.type_text(text.clone(), None),
            Step::Sync { offset, gaps, .. } => self.sync(token, *offset, gaps),
            Step::Wait { millis } => self.now += millis,
            Step::Reset { .. } => {
                self.subject.candidates[token].throttle.clear();
                self.subject.candidates[token].factor.forget_drift();
                self.world.tokens[token].count = Count::default();
                self.world.tokens[token].offset = 0;
            }
            Step::Rewind { by, .. } => {
                let next = (self.world.tokens[token].next - by).clamp(0, i128::from(u64::MAX));
                self.subject.candidates[token].factor.rewind(next as u64);
                if next < self.world.tokens[token].next {
                    self.world.tokens[token].needs_sync = true;
                    self.rewinds[token] += 1;
                }
                self.world.tokens[token].next = next;
            }
            Step::Toggle { .. } => {
                self.subject.candidates[token].usable ^= true;
                self.world.tokens[token].usable ^= true;
            }
        }
        self.compare();
    }

    fn type_code(&mut self, index: usize, offset: i128, pin: &Pin, named: bool) {
        let token = &self.world.tokens[index];
        let code = token.code(token.centre(self.now) + offset);
        let pin = match pin {
            Pin::Right => token.pin.as_deref().unwrap_or_default(),
            Pin::Wrong => "1235",
            Pin::Missing => "",
        };
        let text = match self.policy.pin_placement {
            PinPlacement::Prefix => format!("{pin}{code}"),
            PinPlacement::Suffix => format!("{code}{pin}"),
        };
        self.type_text(text, named.then_some(index));
    }

    fn type_text(&mut self, text: String, named: Option<usize>) {
        for (index, candidate) in self.subject.candidates.iter_mut().enumerate() {
            candidate.named = named == Some(index);
        }
        let before = self.subject.clone();
        let now = Timestamp::from_millis(self.now);
        let verdict = verify(&mut self.subject, &text, now, &self.keys, &self.policy);
        let answer = self.world.verify(&text, named, self.now, &self.policy);
        assert_eq!(verdict, translated(&answer), "typed {text}");
        match answer {
            Answer::Yes { token, factor } => self.accept(token, factor),
            Answer::Locked => assert_eq!(self.subject, before, "locked, and yet something changed"),
            _ => {}
        }
        self.nothing_sank(&before);
        self.typed.push((text, named));
    }

    fn sync(&mut self, index: usize, offset: i128, gaps: &[i128]) {
        let token = &self.world.tokens[index];
        let mut factor = token.centre(self.now) + offset;
        let mut texts = vec![token.code(factor)];
        for gap in gaps {
            factor += gap;
            texts.push(token.code(factor));
        }
        let candidate = &self.subject.candidates[index];
        let mut subject = ResyncSubject {
            user: self.subject.user,
            source: self.subject.source,
            credential: candidate.credential.clone(),
            factor: candidate.factor,
            throttle: candidate.throttle,
            policy: None,
        };
        let (before, whole) = (subject.clone(), self.subject.clone());
        let texts_borrowed: Vec<_> = texts.iter().map(String::as_str).collect();
        let result = resync(&mut subject, &texts_borrowed, Timestamp::from_millis(self.now), &self.policy);
        let answer = self.world.sync(index, &texts, self.now, &self.policy);
        let expected = match answer {
            SyncAnswer::Yes { first, last } => {
                (first..=last).for_each(|factor| self.accept(index, factor));
                Ok(())
            }
            SyncAnswer::Locked => Err(SyncRejection::Locked),
            SyncAnswer::Mismatch => Err(SyncRejection::Mismatch),
            SyncAnswer::NoSecret => Err(SyncRejection::NoSecret),
        };
        assert_eq!(result, expected, "sync {texts:?}");
        if matches!(result, Err(SyncRejection::Locked | SyncRejection::NoSecret)) {
            assert_eq!(subject, before);
        }
        (self.subject.user, self.subject.source) = (subject.user, subject.source);
        let candidate = &mut self.subject.candidates[index];
        (candidate.factor, candidate.throttle) = (subject.factor, subject.throttle);
        self.nothing_sank(&whole);
    }

    fn accept(&mut self, token: usize, factor: u64) {
        assert!(
            self.accepted.insert((token, self.rewinds[token], factor)),
            "factor {factor} of token {token} was accepted twice"
        );
    }

    fn nothing_sank(&self, before: &Subject) {
        for (now, before) in self.subject.candidates.iter().zip(&before.candidates) {
            assert!(now.factor.next >= before.factor.next, "{before:?} sank to {now:?}");
        }
    }

    /// The whole state, server against model.
    fn compare(&self) {
        let throttle = |count: &Count| Throttle {
            failures: count.failures,
            locked_until: count.until.map(Timestamp::from_millis),
        };
        assert_eq!(self.subject.user, self.world.user.as_ref().map(throttle), "user");
        assert_eq!(self.subject.source, self.world.source.as_ref().map(throttle), "source");
        for (index, (candidate, token)) in self.subject.candidates.iter().zip(&self.world.tokens).enumerate()
        {
            let FactorState { next, clock, needs_sync, .. } = candidate.factor;
            let expected = (u64::try_from(token.next).unwrap(), token.offset, token.needs_sync);
            assert_eq!((next, i128::from(clock.offset_ms), needs_sync), expected, "token {index}");
            assert_eq!(candidate.throttle, throttle(&token.count), "token {index}");
        }
    }
}

fn candidate(index: usize, token: &Token, keys: &Keys) -> Candidate {
    let label = 100 + index as i64;
    let kind = match token.step {
        None => Kind::Hotp,
        Some(step) => Kind::Totp { time_step: TimeStep::from_secs(step as u32).unwrap() },
    };
    let parameters =
        Parameters { kind, algorithm: token.algorithm, digits: Digits::new(token.digits as u8).unwrap() };
    Candidate {
        label,
        credential: token
            .secret
            .as_ref()
            .map(|secret| Credential { secret: Secret::new(secret.clone()).unwrap(), parameters }),
        factor: FactorState { needs_sync: token.needs_sync, ..FactorState::starting_at(token.next as u64) },
        throttle: Throttle::default(),
        pin: token.pin.as_ref().map(|pin| keys.pin.record(label, [index as u8; 16], pin)),
        pin_label: label,
        token_identifier: None,
        repeats: Repeats::default(),
        usable: token.usable,
        named: false,
        policy: None,
    }
}

fn translated(answer: &Answer) -> Verdict {
    match answer {
        Answer::Yes { token, factor } => Verdict::Accepted { candidate: *token, factor: *factor },
        Answer::Nobody => Verdict::Rejected(Rejection::NobodyToAsk),
        Answer::Locked => Verdict::Rejected(Rejection::Locked),
        Answer::NeedsSync => Verdict::Rejected(Rejection::NeedsSync),
        Answer::WrongPin => Verdict::Rejected(Rejection::WrongPin),
        Answer::WrongPasscode => Verdict::Rejected(Rejection::WrongPasscode),
        Answer::Repeated => Verdict::Rejected(Rejection::Repeated),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_core_follows_the_reference_model(
        tokens in tokens(),
        policy in policies(),
        start in prop_oneof![3 => Just(1_700_000_000_000_i64), 1 => -100_000..=100_000_i64],
        known in (prop::bool::weighted(0.9), prop::bool::weighted(0.9)),
        steps in steps(),
    ) {
        let mut both = Both::new(tokens, policy, start, known);
        for step in &steps {
            both.step(step);
        }
    }
}

#[test]
fn random_histories_meet_every_verdict() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let (mut verdicts, mut syncs) = (HashSet::new(), HashSet::new());
    for _ in 0..300 {
        let (tokens, policy, steps) =
            (tokens(), policies(), steps()).new_tree(&mut runner).unwrap().current();
        let mut both = Both::new(tokens, policy, 1_700_000_000_000, (true, true));
        for step in &steps {
            let world = both.world.clone();
            both.step(step);
            match step {
                Step::Sync { token, .. } if *token < world.tokens.len() => {
                    syncs.insert(both.world.tokens[*token].next > world.tokens[*token].next);
                }
                Step::Type { .. } | Step::TypeText { .. } | Step::TypeAgain { .. } => {
                    let Some((text, named)) = both.typed.last() else { continue };
                    let answer = world.clone().verify(text, *named, both.now, &both.policy);
                    verdicts.insert(match translated(&answer) {
                        Verdict::Accepted { .. } => None,
                        Verdict::Rejected(rejection) => Some(rejection),
                    });
                }
                _ => {}
            }
        }
    }
    assert_eq!(verdicts.len(), 7, "a test that never gets that far proves nothing: {verdicts:?}");
    assert_eq!(syncs.len(), 2);
}

#[test]
fn a_year_of_daily_use_with_a_slow_clock_never_needs_the_helpdesk() {
    // 20 ppm slow is 1.7 s a day: out of a window that stood still after a month and a half.
    let keys = Keys { pin: PinKey::new([1; 32]), repeat: RepeatKey::new([2; 32]) };
    let secret = Secret::new(b"secret".to_vec()).unwrap();
    let credential = Credential { secret, parameters: Parameters::TOTP };
    let generator = credential.generator();
    let mut subject = Subject {
        user: None,
        source: None,
        candidates: vec![Candidate::new(1, Some(credential), FactorState::default())],
    };
    for day in 0..365_i64 {
        let now = Timestamp::from_secs(1_700_000_000 + day * 86_400);
        let device = now.saturating_sub(Duration::from_millis(day as u64 * 1_728));
        let typed = generator.at(TimeStep::SECONDS_30.step_at(device)).as_str().to_owned();
        let verdict = verify(&mut subject, &typed, now, &keys, &Policy::default());
        assert!(matches!(verdict, Verdict::Accepted { .. }), "day {day}: {verdict:?}");
    }
    assert!(subject.candidates[0].factor.clock.drift_steps <= -20);
}
