//! The core against a reference model, over random histories of users, thieves, helpdesk and admins.
//!
//! After every step verdict and state must equal the model's, a factor must never be accepted twice, a floor must
//! not sink except by a rewind, and whatever is locked must not change.
//!
//! `FOBD_STEPS=1000000` makes that many steps in one run; `SEED=` repeats one whose seed was printed.

mod model;

use std::cell::RefCell;
use std::collections::HashSet;
use std::time::Duration;

use fobd::otp::algorithm::Algorithm;
use fobd::otp::clock_model::ClockState;
use fobd::otp::credential::{Credential, Kind, Parameters};
use fobd::otp::factor::{FactorState, Pending};
use fobd::otp::passcode::Digits;
use fobd::otp::pin::PinKey;
use fobd::otp::policy::{PIN_END, PinPlacement, Policy};
use fobd::otp::repeats::{RepeatKey, Repeats};
use fobd::otp::resync::{ResyncSubject, SyncRejection, resync};
use fobd::otp::secret::Secret;
use fobd::otp::throttle::Throttle;
use fobd::otp::time::Timestamp;
use fobd::otp::totp::TimeStep;
use fobd::otp::verify::{Candidate, Keys, Rejection, Subject, Verdict, verify};
use model::{Answer, Count, SyncAnswer, Token, Who, World};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// What happens next. Offsets count from where the server expects the token.
#[derive(Clone, Debug)]
enum Step {
    Type {
        who: Who,
        token: usize,
        offset: i128,
        pin: Pin,
        named: bool,
    },
    TypeAgain {
        who: Who,
        back: usize,
    },
    TypeText {
        who: Who,
        text: String,
    },
    /// Two passcodes in a row, the second one as much later as it is typed later, but for a slip.
    Pair {
        who: Who,
        token: usize,
        offset: i128,
        wait: i64,
        slip: i128,
        pin: Pin,
    },
    Sync {
        who: Who,
        token: usize,
        offset: i128,
        gaps: Vec<i128>,
    },
    /// Also over months, and backwards: somebody sets the clock of the server.
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
    Enable {
        token: usize,
        usable: bool,
    },
    /// `token/unlock`, or a helpdesk that resets.
    Unlock {
        user: usize,
        token: usize,
    },
    SetPin {
        token: usize,
        pin: Option<&'static str>,
    },
    Freeze {
        token: usize,
    },
    SetClock {
        token: usize,
        offset_ms: i64,
        rate_ppb: Option<i32>,
    },
    /// Of the server, or of one token; that may get none of its own again.
    Policy {
        token: Option<usize>,
        policy: Option<Policy>,
    },
}

#[derive(Clone, Debug)]
enum Pin {
    Right,
    Wrong,
    Missing,
}

const PINS: [Option<&str>; 4] = [None, Some("1234"), Some("0é9"), Some("1235")];

fn who() -> impl Strategy<Value = Who> {
    (0..2_usize, 0..2_usize).prop_map(|(user, source)| Who { user, source })
}

fn step() -> impl Strategy<Value = Step> {
    let token = || 0..3_usize;
    let pin = || prop_oneof![6 => Just(Pin::Right), 2 => Just(Pin::Wrong), 1 => Just(Pin::Missing)];
    // Near ones mostly, so that histories get somewhere, and those around each edge.
    let offset = || prop_oneof![4 => 0..=2_i128, 3 => -4..=7_i128, 1 => 8..=14_i128];
    let far = prop_oneof![2 => 3..=10_i128, 2 => -10..=-3_i128, 1 => 10..=40_i128];
    let slip = prop_oneof![4 => Just(0), 1 => -2..=2_i128];
    let sync = prop_oneof![3 => 0..=4_i128, 2 => -12..=12_i128, 1 => 24..=32_i128];
    let gaps = prop_oneof![
        4 => Just(vec![1]), 2 => Just(vec![1, 1]), 1 => Just(vec![0]), 1 => Just(vec![2]), 1 => Just(vec![-1]),
        1 => Just(vec![1, 2])
    ];
    let millis = prop_oneof![
        6 => 0..=2_000_i64, 6 => 20_000..=40_000_i64, 4 => 60_000..=130_000_i64, 3 => 0..=4_000_000_i64, 2 => 3_600_000..=4_000_000_i64,
        2 => -30_000..=-1_i64, 1 => 86_400_000..=2_000_000_000_i64, 1 => -4_000_000..=-1_i64
    ];
    let wait = prop_oneof![4 => 0..=100_000_i64, 1 => 290_000..=310_000_i64];
    let text = prop_oneof![Just(String::new()), "[0-9]{5,9}", "12340[0-9]{5}", "\\PC{0,12}"];
    let rate = prop::option::of(-120_000..=120_000_i32);
    let one = || prop::option::of(token());
    prop_oneof![
        24 => (who(), token(), offset(), pin(), any::<bool>())
            .prop_map(|(who, token, offset, pin, named)| Step::Type { who, token, offset, pin, named }),
        6 => (who(), 0..6_usize).prop_map(|(who, back)| Step::TypeAgain { who, back }),
        4 => (who(), text).prop_map(|(who, text)| Step::TypeText { who, text }),
        6 => (who(), token(), far, wait, slip, pin())
            .prop_map(|(who, token, offset, wait, slip, pin)| Step::Pair { who, token, offset, wait, slip, pin }),
        6 => (who(), token(), sync, gaps)
            .prop_map(|(who, token, offset, gaps)| Step::Sync { who, token, offset, gaps }),
        10 => millis.prop_map(|millis| Step::Wait { millis }),
        2 => token().prop_map(|token| Step::Reset { token }),
        1 => (token(), -3..=9_i128).prop_map(|(token, by)| Step::Rewind { token, by }),
        2 => (token(), prop::bool::weighted(0.8)).prop_map(|(token, usable)| Step::Enable { token, usable }),
        6 => (0..2_usize, token()).prop_map(|(user, token)| Step::Unlock { user, token }),
        2 => (token(), prop::sample::select(&PINS[..])).prop_map(|(token, pin)| Step::SetPin { token, pin }),
        1 => token().prop_map(|token| Step::Freeze { token }),
        1 => (token(), -400_000..=400_000_i64, rate)
            .prop_map(|(token, offset_ms, rate_ppb)| Step::SetClock { token, offset_ms, rate_ppb }),
        1 => (one(), prop::option::of(policies())).prop_map(|(token, policy)| Step::Policy { token, policy }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..60)
}

fn policies() -> impl Strategy<Value = Policy> {
    let windows = (0..=10_u32, 0..=2_u32, 0..=12_u32);
    let placements =
        prop::sample::select(vec![PinPlacement::Prefix, PinPlacement::Suffix, PinPlacement::Field]);
    let flags = any::<[bool; 3]>();
    (1..=20_u32, windows, placements, flags, prop_oneof![7 => Just(0), 1 => 1..=30_u32]).prop_map(
        |(
            max_failures,
            (hotp_look_ahead, totp_accept, totp_check),
            pin_placement,
            flags,
            permanent_lock_after,
        )| Policy {
            max_failures,
            hotp_look_ahead,
            totp_accept,
            totp_check,
            hotp_sync_window: 30,
            totp_sync_window: 10,
            pin_placement,
            spend_on_wrong_pin: flags[0],
            auto_resync: flags[1],
            clock_model: flags[2],
            permanent_lock_after,
            ..Policy::default()
        },
    )
}

fn tokens() -> impl Strategy<Value = Vec<Token>> {
    let algorithm = prop::sample::select(&[Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512][..]);
    let pin = prop::sample::select(&PINS[..3]);
    let step = prop_oneof![Just(None), Just(Some(30)), Just(Some(60))];
    let next = prop_oneof![3 => 0..100_i128, 1 => i128::from(u64::MAX) - 12..=i128::from(u64::MAX)];
    let own = prop::option::of(policies());
    let token = (algorithm, 6..=8_u32, step, pin, next, 0..20_u32, own).prop_map(
        |(algorithm, digits, step, pin, next, luck, policy)| Token {
            secret: (luck != 0).then(Vec::new),
            algorithm,
            digits,
            step,
            pin: pin.map(str::to_owned),
            usable: true,
            next: if step.is_some() { 0 } else { next },
            clock: ClockState::default(),
            needs_sync: luck == 1,
            pending: None,
            count: Count::default(),
            typed: Default::default(),
            policy,
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
    /// Whose turn it is is put in before each question.
    subject: Subject,
    users: [Option<Throttle>; 2],
    sources: [Option<Throttle>; 2],
    /// By user and token.
    repeats: [Vec<Repeats>; 2],
    world: World,
    policy: Policy,
    keys: Keys,
    /// Milliseconds.
    now: i64,
    typed: Vec<(String, Option<usize>)>,
    /// Token, how often it was rewound, factor.
    accepted: HashSet<(usize, u32, u64)>,
    rewinds: Vec<u32>,
    /// What was seen, for the test of these tests.
    verdicts: HashSet<Option<Rejection>>,
    syncs: HashSet<bool>,
    pairs: usize,
}

impl Both {
    fn new(tokens: Vec<Token>, policy: Policy, now: i64, known: (bool, bool)) -> Self {
        let keys = Keys { pin: PinKey::new([1; 32]), repeat: RepeatKey::new([2; 32]) };
        let candidates: Vec<_> =
            tokens.iter().enumerate().map(|(index, token)| candidate(index, token, &keys)).collect();
        let throttles = |known: bool| [known.then(Throttle::default); 2];
        let counts = |known: bool| [known.then(Count::default), known.then(Count::default)];
        let repeats = vec![Repeats::default(); tokens.len()];
        Self {
            subject: Subject { user: None, source: None, candidates },
            users: throttles(known.0),
            sources: throttles(known.1),
            repeats: [repeats.clone(), repeats],
            rewinds: vec![0; tokens.len()],
            world: World { users: counts(known.0), sources: counts(known.1), tokens },
            policy,
            keys,
            now,
            typed: Vec::new(),
            accepted: HashSet::new(),
            verdicts: HashSet::new(),
            syncs: HashSet::new(),
            pairs: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        let token = match step {
            Step::Type { token, .. }
            | Step::Pair { token, .. }
            | Step::Sync { token, .. }
            | Step::Reset { token }
            | Step::Rewind { token, .. }
            | Step::Enable { token, .. }
            | Step::Unlock { token, .. }
            | Step::SetPin { token, .. }
            | Step::Freeze { token }
            | Step::SetClock { token, .. }
            | Step::Policy { token: Some(token), .. } => *token,
            _ => 0,
        };
        let about_one = !matches!(
            step,
            Step::TypeAgain { .. }
                | Step::TypeText { .. }
                | Step::Wait { .. }
                | Step::Policy { token: None, .. }
        );
        if about_one && self.world.tokens.is_empty() {
            return;
        }
        let token = token % self.world.tokens.len().max(1);
        match step {
            Step::Type { who, offset, pin, named, .. } => {
                let (centre, _) = self.world.tokens[token].expected(self.now, &self.policy);
                let text = self.text(token, centre + offset, pin);
                self.type_text(*who, text, named.then_some(token));
            }
            Step::TypeAgain { who, back } => {
                let Some((text, named)) = self.typed.iter().rev().nth(*back).cloned() else { return };
                self.type_text(*who, text, named);
            }
            Step::TypeText { who, text } => self.type_text(*who, text.clone(), None),
            Step::Pair { who, offset, wait, slip, pin, .. } => {
                let (centre, _) = self.world.tokens[token].expected(self.now, &self.policy);
                let first = centre + offset;
                let text = self.text(token, first, &Pin::Right);
                self.type_text(*who, text, None);
                self.compare();
                let before = self.now.max(0);
                self.now += wait;
                let later = match self.world.tokens[token].step {
                    None => 1,
                    Some(step) => i128::from(self.now.max(0) / 1000 / step - before / 1000 / step),
                };
                let text = self.text(token, first + later + slip, pin);
                self.type_text(*who, text, None);
            }
            Step::Sync { who, offset, gaps, .. } => self.sync(*who, token, *offset, gaps),
            Step::Wait { millis } => self.now += millis,
            _ => self.look_after(step, token),
        }
        self.compare();
    }

    /// What helpdesk and admins do.
    fn look_after(&mut self, step: &Step, index: usize) {
        if let Step::Policy { token: None, policy } = step {
            self.policy = policy.clone().unwrap_or_default();
            return;
        }
        let (candidate, token) = (&mut self.subject.candidates[index], &mut self.world.tokens[index]);
        match step {
            Step::Reset { .. } => {
                candidate.throttle.clear();
                candidate.factor.forget_drift();
                token.count = Count::default();
                token.pending = None;
                if !token.clock.frozen {
                    token.clock = ClockState::default();
                }
            }
            Step::Rewind { by, .. } => {
                let next = (token.next - by).clamp(0, i128::from(u64::MAX));
                candidate.factor.rewind(next as u64);
                if next < token.next {
                    token.needs_sync = true;
                    self.rewinds[index] += 1;
                }
                (token.next, token.pending) = (next, None);
            }
            Step::Enable { usable, .. } => (candidate.usable, token.usable) = (*usable, *usable),
            Step::Unlock { user, .. } => {
                candidate.throttle.clear();
                token.count = Count::default();
                if let Some(throttle) = &mut self.users[*user] {
                    throttle.clear();
                }
                self.world.users[*user] = self.world.users[*user].as_ref().map(|_| Count::default());
            }
            Step::SetPin { pin, .. } => {
                candidate.pin = pin.map(|pin| self.keys.pin.record(candidate.pin_label, [9; 16], pin));
                token.pin = pin.map(str::to_owned);
            }
            Step::Freeze { .. } => {
                candidate.factor.clock.frozen ^= true;
                token.clock.frozen ^= true;
            }
            Step::SetClock { offset_ms, rate_ppb, .. } => {
                let now = Timestamp::from_millis(self.now);
                for clock in [&mut candidate.factor.clock, &mut token.clock] {
                    clock.set_offset(*offset_ms, now);
                    if let Some(rate_ppb) = rate_ppb {
                        clock.set_rate(*rate_ppb, now);
                    }
                }
            }
            Step::Policy { policy, .. } => {
                candidate.policy = policy.clone().map(Into::into);
                token.policy = policy.clone();
            }
            _ => unreachable!("{step:?}"),
        }
    }

    /// PIN and passcode as somebody types them.
    fn text(&self, index: usize, factor: i128, pin: &Pin) -> String {
        let token = &self.world.tokens[index];
        let code = token.code(factor);
        let pin = match pin {
            Pin::Right => token.pin.as_deref().unwrap_or_default(),
            Pin::Wrong => "1239",
            Pin::Missing => "",
        };
        match token.policy.as_ref().unwrap_or(&self.policy).pin_placement {
            PinPlacement::Prefix => format!("{pin}{code}"),
            PinPlacement::Suffix => format!("{code}{pin}"),
            PinPlacement::Field if pin.is_empty() => code,
            PinPlacement::Field => format!("{pin}{PIN_END}{code}"),
        }
    }

    fn type_text(&mut self, who: Who, text: String, named: Option<usize>) {
        (self.subject.user, self.subject.source) = (self.users[who.user], self.sources[who.source]);
        for (index, candidate) in self.subject.candidates.iter_mut().enumerate() {
            candidate.named = named == Some(index);
            candidate.repeats = self.repeats[who.user][index].clone();
        }
        let mut before = self.subject.clone();
        let now = Timestamp::from_millis(self.now);
        // The one change that is made while locked: a lock of a clock that ran ahead becomes shorter.
        for throttle in [&mut before.user, &mut before.source].into_iter().flatten() {
            throttle.shorten(now, &self.policy);
        }
        for candidate in &mut before.candidates {
            candidate.throttle.shorten(now, candidate.policy.as_deref().unwrap_or(&self.policy));
        }
        let verdict = verify(&mut self.subject, &text, now, &self.keys, &self.policy);
        let answer = self.world.verify(who, &text, named, self.now, &self.policy);
        assert_eq!(verdict, translated(&answer), "typed {text}");
        self.verdicts.insert(match verdict {
            Verdict::Accepted { .. } => None,
            Verdict::Rejected(rejection) => Some(rejection),
        });
        match answer {
            Answer::Yes { token, factor, first } => {
                self.pairs += usize::from(first.is_some());
                first.into_iter().chain([factor]).for_each(|factor| self.accept(token, factor));
            }
            Answer::Locked => assert_eq!(self.subject, before, "locked, and yet something changed"),
            _ => {}
        }
        self.nothing_sank(&before);
        (self.users[who.user], self.sources[who.source]) = (self.subject.user, self.subject.source);
        for (index, candidate) in self.subject.candidates.iter().enumerate() {
            self.repeats[who.user][index] = candidate.repeats.clone();
        }
        self.typed.push((text, named));
    }

    fn sync(&mut self, who: Who, index: usize, offset: i128, gaps: &[i128]) {
        let token = &self.world.tokens[index];
        let mut factor = token.expected(self.now, &self.policy).0 + offset;
        let mut texts = vec![token.code(factor)];
        for gap in gaps {
            factor += gap;
            texts.push(token.code(factor));
        }
        let candidate = &self.subject.candidates[index];
        let mut subject = ResyncSubject {
            user: self.users[who.user],
            source: self.sources[who.source],
            credential: candidate.credential.clone(),
            token_identifier: candidate.token_identifier.clone(),
            factor: candidate.factor,
            throttle: candidate.throttle,
            clock_suspect: false,
            policy: candidate.policy.clone(),
        };
        let (mut before, whole) = (subject.clone(), self.subject.clone());
        if before.credential.is_some() {
            let now = Timestamp::from_millis(self.now);
            for throttle in [&mut before.user, &mut before.source].into_iter().flatten() {
                throttle.shorten(now, &self.policy);
            }
            before.throttle.shorten(now, before.policy.as_deref().unwrap_or(&self.policy));
        }
        let texts_borrowed: Vec<_> = texts.iter().map(String::as_str).collect();
        let result = resync(&mut subject, &texts_borrowed, Timestamp::from_millis(self.now), &self.policy);
        let answer = self.world.sync(who, index, &texts, self.now, &self.policy);
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
        self.syncs.insert(result.is_ok());
        if matches!(result, Err(SyncRejection::Locked | SyncRejection::NoSecret)) {
            assert_eq!(subject, before);
        }
        (self.users[who.user], self.sources[who.source]) = (subject.user, subject.source);
        let candidate = &mut self.subject.candidates[index];
        (candidate.factor, candidate.throttle) = (subject.factor, subject.throttle);
        self.nothing_sank(&whole);
    }

    fn accept(&mut self, token: usize, factor: u64) {
        assert!(
            self.accepted.insert((token, self.rewinds[token], factor)),
            "factor {factor} of token {token} was accepted twice"
        );
        let next = self.subject.candidates[token].factor.next;
        assert!(self.world.tokens[token].next > i128::from(factor), "{factor} is still open below {next}");
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
        for who in 0..2 {
            assert_eq!(self.users[who], self.world.users[who].as_ref().map(throttle), "user {who}");
            assert_eq!(self.sources[who], self.world.sources[who].as_ref().map(throttle), "source {who}");
        }
        for (index, (candidate, token)) in self.subject.candidates.iter().zip(&self.world.tokens).enumerate()
        {
            let pending = token
                .pending
                .map(|(factor, at)| Pending { factor: factor as u64, at: Timestamp::from_millis(at) });
            let factor = FactorState {
                next: u64::try_from(token.next).unwrap(),
                clock: token.clock,
                pending,
                needs_sync: token.needs_sync,
            };
            assert_eq!(candidate.factor, factor, "token {index}");
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
    let credential = token
        .secret
        .as_ref()
        .map(|secret| Credential { secret: Secret::new(secret.clone()).unwrap(), parameters });
    let factor = FactorState { needs_sync: token.needs_sync, ..FactorState::starting_at(token.next as u64) };
    Candidate {
        pin: token.pin.as_ref().map(|pin| keys.pin.record(label, [index as u8; 16], pin)),
        usable: token.usable,
        policy: token.policy.clone().map(Into::into),
        ..Candidate::new(label, credential, factor)
    }
}

fn translated(answer: &Answer) -> Verdict {
    match answer {
        Answer::Yes { token, factor, .. } => Verdict::Accepted { candidate: *token, factor: *factor },
        Answer::Nobody => Verdict::Rejected(Rejection::NobodyToAsk),
        Answer::Locked => Verdict::Rejected(Rejection::Locked),
        Answer::NeedsSync => Verdict::Rejected(Rejection::NeedsSync),
        Answer::WrongPin => Verdict::Rejected(Rejection::WrongPin),
        Answer::WrongPasscode => Verdict::Rejected(Rejection::WrongPasscode),
        Answer::OutOfSync => Verdict::Rejected(Rejection::OutOfSync),
        Answer::Repeated => Verdict::Rejected(Rejection::Repeated),
    }
}

fn starts() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(1_700_000_000_000_i64), 1 => -100_000..=100_000_i64]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_core_follows_the_reference_model(
        tokens in tokens(),
        policy in policies(),
        start in starts(),
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
fn no_passcode_is_accepted_twice_in_so_many_steps() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let wanted = number("FOBD_STEPS").unwrap_or(10_000);
    let seed = number("SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_nanos() as u64
    });
    println!("SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut made, mut accepted, mut pairs) = (0, 0, 0);
    while made < wanted {
        let history = (tokens(), policies(), starts(), prop::collection::vec(step(), 200..400));
        let (tokens, policy, start, steps) = history.new_tree(&mut runner).unwrap().current();
        let mut both = Both::new(tokens, policy, start, (true, true));
        for step in &steps {
            both.step(step);
        }
        made += steps.len() as u64;
        accepted += both.accepted.len();
        pairs += both.pairs;
    }
    println!("{made} steps, {accepted} factors accepted, {pairs} resyncs by two passcodes in a row");
    assert!(accepted > 0, "nothing was ever accepted");
}

#[test]
fn random_histories_meet_every_verdict() {
    let mut runner = TestRunner::deterministic();
    let (mut verdicts, mut syncs, mut pairs) = (HashSet::new(), HashSet::new(), 0);
    for _ in 0..300 {
        let (tokens, policy, steps) =
            (tokens(), policies(), steps()).new_tree(&mut runner).unwrap().current();
        let mut both = Both::new(tokens, policy, 1_700_000_000_000, (true, true));
        for step in &steps {
            both.step(step);
        }
        verdicts.extend(both.verdicts);
        syncs.extend(both.syncs);
        pairs += both.pairs;
    }
    assert_eq!(verdicts.len(), 8, "a test that never gets that far proves nothing: {verdicts:?}");
    assert_eq!(syncs.len(), 2);
    assert!(pairs > 0, "no token came back by two passcodes in a row");
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
