//! Every operation, with every kind of fault at every exchange: no panic, no hang, other slots untouched, and
//! whatever is reported of the slot is true of the flash. Afterwards the token works as if nothing had been.

use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::VirtualCard;
use firmware_fixtures::credential::Credential;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::firmware::Firmware;
use fobd_drivers::DRIVERS;
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{MovingFactor, SecretBytes, SlotConfig, Token, Unattended};
use fobd_drivers::transport::{
    Candidate, CardConnection, CardTransaction, Connection, Interface, TransportError,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::bench::{Bench, calculate, hotp, slot, totp};

/// What an operation says of itself.
#[derive(Debug)]
enum Outcome {
    Done,
    Failed(Error),
    /// Programming failed, with what it says of the slot.
    NotProgrammed(SlotState, Error),
}

impl Outcome {
    fn error(&self) -> Option<&Error> {
        match self {
            Self::Done => None,
            Self::Failed(error) | Self::NotProgrammed(_, error) => Some(error),
        }
    }
}

/// The slot that the operations are about. Others are there to be left alone.
const SLOT: &str = "Acme:bob";

struct Operation {
    name: &'static str,
    /// Credential in the slot before, as stored.
    before: Option<Credential>,
    locked: bool,
    run: fn(&mut dyn Token) -> Outcome,
}

fn code() -> SecretBytes {
    SecretBytes::new(b"access code".to_vec())
}

fn program(token: &mut dyn Token, config: &SlotConfig) -> Outcome {
    match token.program(&slot(SLOT), config, &Unattended) {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::NotProgrammed(error.slot, error.source),
    }
}

fn outcome<T>(result: Result<T, Error>) -> Outcome {
    result.map_or_else(Outcome::Failed, |_| Outcome::Done)
}

fn operations() -> Vec<Operation> {
    const OLD: &[u8] = b"the old secret 12345";
    let old_hotp = || Some(Credential::hotp(SLOT, OLD, 0));
    let old_totp = |name: &str| Some(Credential::totp(name, OLD));
    let operation = |name, before, locked, run| Operation { name, before, locked, run };
    vec![
        operation("program an empty slot", None, false, |t| program(t, &hotp(7))),
        operation("program over a slot", old_hotp(), false, |t| program(t, &totp(30))),
        operation("program another time step", old_totp("60/Acme:bob"), false, |t| program(t, &totp(90))),
        operation("program a locked token", old_hotp(), true, |t| program(t, &hotp(7))),
        operation("erase", old_totp("60/Acme:bob"), false, |t| outcome(t.erase(&slot(SLOT), &Unattended))),
        operation("calculate TOTP", old_totp(SLOT), true, |t| {
            outcome(calculate(t, SLOT, MovingFactor::TimeStep(1)))
        }),
        operation("calculate HOTP", old_hotp(), false, |t| {
            outcome(calculate(t, SLOT, MovingFactor::OnToken))
        }),
        operation("list", old_totp("60/Acme:bob"), true, |t| outcome(t.slots())),
        operation("set a code", old_hotp(), false, |t| outcome(t.set_lock_code(Some(&code())))),
        operation("remove the code", old_hotp(), true, |t| outcome(t.set_lock_code(None))),
        operation("unlock", old_hotp(), true, |t| outcome(t.unlock(&code()))),
    ]
}

fn faults() -> Vec<FaultKind> {
    let mut faults = FaultKind::all();
    faults.extend((3..16).map(|seed| FaultKind::Garble { seed }));
    faults.extend(
        [0x6982, 0x6984, 0x6985, 0x6A80, 0x6A82, 0x6A84, 0x6D00, 0x6581, 0x61FF, 0x6C10]
            .map(FaultKind::Status),
    );
    faults.extend([0x6581, 0x0000, 0xFFFF].map(FaultKind::StatusAfter));
    faults
}

struct Scene {
    bench: Bench,
    bus: VirtualBus,
    token: Box<dyn Token>,
    reader: String,
}

impl Scene {
    fn set(operation: &Operation) -> Self {
        let (bench, bus) = Bench::in_process(Firmware::YUBIKEY_5_4_3);
        bench.card.install(Credential::hotp("other", b"12345678901234567890", 5));
        bench.card.install(Credential::totp("Acme:bobby", b"12345678901234567890"));
        if let Some(credential) = &operation.before {
            bench.card.install(credential.clone());
        }
        let mut token = bench.open();
        if operation.locked {
            token.set_lock_code(Some(&code())).unwrap();
        }
        let reader = bench.candidate.to_string();
        Self { bench, bus, token, reader }
    }

    /// The token as somebody finds it who plugs it in again.
    fn afresh(self) -> (VirtualCard, Box<dyn Token>) {
        let Self { mut bench, bus, token, reader } = self;
        drop(token);
        bench.card.clear_faults();
        bus.attach_to(&reader, &bench.card);
        bench.candidate = bus.candidates().remove(0);
        (bench.card.clone(), bench.open())
    }
}

/// The credentials in this slot, whatever their time step, and all the others.
fn split(credentials: Vec<Credential>) -> (Vec<Credential>, Vec<Credential>) {
    credentials.into_iter().partition(|credential| {
        let name = credential.name();
        name == SLOT || name.split_once('/').is_some_and(|(_, name)| name == SLOT)
    })
}

fn check(operation: &Operation, at: u64, kind: FaultKind) {
    let what = format!("{}, {kind:?} at exchange {at}", operation.name);
    let mut scene = Scene::set(operation);
    let (slot_before, others) = split(scene.bench.card.credentials());
    let exchanges = scene.bench.card.exchanges();
    scene.bench.card.plan(Fault { at, kind });
    let outcome = (operation.run)(&mut *scene.token);
    assert_eq!(scene.bench.card.faults_left(), 0, "{what}: not reached");
    let taken = scene.bench.card.exchanges() - exchanges;
    assert!(taken < 600, "{what}: {taken} exchanges");

    let (slot_after, others_after) = split(scene.bench.card.credentials());
    assert_eq!(others_after, others, "{what}: another slot changed");
    assert!(!slot_before.is_empty() || slot_after.len() < 2, "{what}");
    let (ok, unchanged) = (matches!(outcome, Outcome::Done), slot_after == slot_before);
    match &outcome {
        Outcome::NotProgrammed(SlotState::Unchanged, error) => {
            assert!(unchanged, "{what}: said to be unchanged ({error})");
        }
        Outcome::NotProgrammed(SlotState::Unknown, _) => {
            for credential in &slot_after {
                let old = slot_before.contains(credential);
                assert!(old || credential.secret == b"12345678901234567890", "{what}: neither old nor new");
            }
            assert!(!slot_after.is_empty() || slot_before.is_empty(), "{what}: lost");
        }
        Outcome::Done | Outcome::Failed(_) => {}
    }
    match operation.name {
        // A garbled list may hide the old credential from the driver; that it wrote is true all the same.
        name if name.starts_with("program") && ok => {
            assert!(slot_after.iter().any(|new| new.secret == b"12345678901234567890"), "{what}");
        }
        "erase" if ok => assert!(slot_after.is_empty(), "{what}"),
        "calculate HOTP" => {
            let used = slot_after[0].counter - slot_before[0].counter;
            assert!(used <= 1, "{what}: counted on {used} times");
            assert!(!ok || used == 1, "{what}");
        }
        "calculate TOTP" | "list" | "set a code" | "remove the code" | "unlock" => {
            assert!(unchanged, "{what}");
        }
        _ => {}
    }
    check_cause(&outcome, kind, &what);

    // Plugged in again, the token is programmed as if nothing had been.
    let (card, mut token) = scene.afresh();
    if token.info().locked {
        token.unlock(&code()).unwrap();
    }
    token
        .program(&slot(SLOT), &totp(45), &Unattended)
        .unwrap_or_else(|error| panic!("{what}, then: {error}"));
    assert_eq!(calculate(&mut *token, SLOT, MovingFactor::TimeStep(1)).unwrap(), "287082", "{what}");
    let (slot_after, others_after) = split(card.credentials());
    assert_eq!(others_after, others, "{what}: another slot changed in the end");
    assert_eq!(slot_after.len(), 1, "{what}: {slot_after:?}");
}

/// The error names the cause.
fn check_cause(outcome: &Outcome, kind: FaultKind, what: &str) {
    let error = outcome.error();
    match kind {
        FaultKind::Delay(_) => assert!(error.is_none(), "{what}: {error:?}"),
        FaultKind::UnplugBefore | FaultKind::UnplugAfter => {
            assert!(
                matches!(error, Some(Error::Transport(TransportError::Gone { .. }))),
                "{what}: {error:?}"
            );
        }
        // Healed, unless the command must not be sent twice.
        FaultKind::Reset => {
            assert!(
                matches!(error, None | Some(Error::Transport(TransportError::Reset))),
                "{what}: {error:?}"
            );
        }
        FaultKind::Silence | FaultKind::Truncate(0 | 1) => {
            assert!(
                matches!(error, Some(Error::Transport(TransportError::Failed { .. }))),
                "{what}: {error:?}"
            );
        }
        _ => {}
    }
}

#[test]
fn every_fault_at_every_exchange_leaves_the_old_or_the_new() {
    let mut checked = 0;
    for operation in operations() {
        let mut scene = Scene::set(&operation);
        let before = scene.bench.card.exchanges();
        let clean = (operation.run)(&mut *scene.token);
        assert!(matches!(clean, Outcome::Done), "{}: {clean:?}", operation.name);
        for at in 0..scene.bench.card.exchanges() - before {
            for kind in faults() {
                check(&operation, at, kind);
                checked += 1;
            }
        }
    }
    assert!(checked > 1200, "only {checked} faults were checked");
}

#[test]
fn a_reset_before_anything_irreversible_is_healed() {
    for operation in operations() {
        let mut scene = Scene::set(&operation);
        scene.bench.card.plan(Fault { at: 0, kind: FaultKind::Reset });
        let outcome = (operation.run)(&mut *scene.token);
        assert!(matches!(outcome, Outcome::Done), "{}: {outcome:?}", operation.name);
    }
}

#[test]
fn two_resets_in_a_row_are_reported() {
    let (bench, _) = Bench::in_process(Firmware::YUBIKEY_5_4_3);
    let mut token = bench.open();
    // The second strikes while the first is being healed: SELECT, begin (refused), SELECT.
    bench.card.plan(Fault { at: 0, kind: FaultKind::Reset });
    bench.card.plan(Fault { at: 1, kind: FaultKind::Reset });
    let failure = token.slots().unwrap_err();
    assert!(matches!(failure, Error::Transport(TransportError::Reset)), "{failure}");
    assert_eq!(token.slots().unwrap(), []);
}

#[test]
fn a_token_that_fails_while_it_is_opened_says_so() {
    for at in 0..3 {
        for kind in faults() {
            let (bench, _) = Bench::in_process(Firmware::YUBIKEY_5_4_3);
            bench.card.plan(Fault { at, kind });
            let result = bench.try_open().map(|token| token.map(|token| token.info().clone()));
            match kind {
                FaultKind::UnplugBefore | FaultKind::UnplugAfter => {
                    assert!(
                        matches!(result, Err(Error::Transport(TransportError::Gone { .. }))),
                        "{result:?}"
                    );
                }
                FaultKind::Silence | FaultKind::Truncate(0 | 1) => {
                    assert!(
                        matches!(result, Err(Error::Transport(TransportError::Failed { .. }))),
                        "{result:?}"
                    );
                }
                FaultKind::Delay(_) | FaultKind::Reset => {
                    let info = result.unwrap().unwrap();
                    assert_eq!(info.serial.as_deref(), Some("4242"), "{kind:?} at {at}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_slow_token_is_waited_for() {
    let (bench, _) = Bench::in_process(Firmware::YUBIKEY_5_4_3);
    let mut token = bench.open();
    bench.card.plan(Fault { at: 1, kind: FaultKind::Delay(Duration::from_secs(3)) });
    assert_eq!(token.slots().unwrap(), []);
    assert_eq!(bench.card.waited(), Duration::from_secs(3));
}

/// A wire on which one command is executed, and a reset is told in place of its answer.
struct ResetAfter {
    inner: Box<dyn CardConnection>,
    ins: u8,
}

impl CardConnection for ResetAfter {
    fn interface(&self) -> Interface {
        self.inner.interface()
    }

    fn begin(&mut self) -> Result<Box<dyn CardTransaction + '_>, TransportError> {
        let ins = self.ins;
        self.inner.begin().map(|inner| Box::new(ResettingAfter { inner, ins }) as _)
    }
}

struct ResettingAfter<'a> {
    inner: Box<dyn CardTransaction + 'a>,
    ins: u8,
}

impl CardTransaction for ResettingAfter<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let response = self.inner.transmit(command)?;
        if command[1] == self.ins { Err(TransportError::Reset) } else { Ok(response) }
    }
}

#[test]
fn what_may_have_been_done_is_never_done_twice() {
    let scene = |ins| {
        let (bench, _) = Bench::in_process(Firmware::YUBIKEY_5_4_3);
        bench.card.install(Credential::hotp("a", b"12345678901234567890", 0));
        bench.card.install(Credential::totp("t", b"12345678901234567890"));
        let Connection::Card(inner) = bench.bus.open(&bench.candidate).unwrap() else { panic!("not a card") };
        let connection = Connection::Card(Box::new(ResetAfter { inner, ins }));
        let token = DRIVERS[0].open(&bench.candidate, connection).unwrap().unwrap();
        (bench.card.clone(), bench, token)
    };
    let is_reset = |error: &Error| matches!(error, Error::Transport(TransportError::Reset));
    let of_ins = |card: &VirtualCard, before: u64| card.exchanges() - before;

    let (card, _bench, mut token) = scene(0xA2);
    assert!(is_reset(&calculate(&mut *token, "a", MovingFactor::OnToken).unwrap_err()));
    assert_eq!(card.credential("a").unwrap().counter, 1);
    // TOTP counts nothing, so it is asked for once more.
    let before = card.exchanges();
    assert!(is_reset(&calculate(&mut *token, "t", MovingFactor::TimeStep(1)).unwrap_err()));
    assert_eq!(of_ins(&card, before), 4, "twice SELECT and CALCULATE");

    let (card, _bench, mut token) = scene(0x01);
    let before = card.exchanges();
    let failure = token.program(&slot("a"), &hotp(9), &Unattended).unwrap_err();
    assert!(is_reset(&failure.source) && failure.slot == SlotState::Unknown, "{failure}");
    assert_eq!(of_ins(&card, before), 3, "SELECT, LIST, PUT");

    let (card, _bench, mut token) = scene(0x02);
    assert!(is_reset(&token.erase(&slot("a"), &Unattended).unwrap_err()));
    assert_eq!(card.credential("a"), None);
}

/// A wire on which somebody else answers VALIDATE, without knowing the code.
struct Impostor(Box<dyn CardConnection>);

impl CardConnection for Impostor {
    fn interface(&self) -> Interface {
        self.0.interface()
    }

    fn begin(&mut self) -> Result<Box<dyn CardTransaction + '_>, TransportError> {
        self.0.begin().map(|inner| Box::new(Impersonating(inner)) as _)
    }
}

struct Impersonating<'a>(Box<dyn CardTransaction + 'a>);

impl CardTransaction for Impersonating<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        if command[1] == 0xA3 {
            return Ok([&[0x75, 20][..], &[7; 20], &[0x90, 0x00]].concat());
        }
        self.0.transmit(command)
    }
}

#[test]
fn a_card_that_does_not_know_the_code_is_not_trusted() {
    let (bench, _) = Bench::in_process(Firmware::YUBIKEY_5_4_3);
    bench.open().set_lock_code(Some(&code())).unwrap();
    let Connection::Card(inner) = bench.bus.open(&bench.candidate).unwrap() else { panic!("not a card") };
    let mut token =
        DRIVERS[0].open(&bench.candidate, Connection::Card(Box::new(Impostor(inner)))).unwrap().unwrap();
    let failure = token.unlock(&code()).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "VALIDATE: malformed reply: the card does not know the access code itself at byte 2"
    );
    let failure = token.program(&slot("a"), &totp(30), &Unattended).unwrap_err();
    assert!(matches!((failure.slot, failure.source), (SlotState::Unchanged, Error::Locked)));
}

/// A card that says anything at all.
struct Babble(std::collections::VecDeque<Vec<u8>>);

impl CardConnection for Babble {
    fn interface(&self) -> Interface {
        Interface::Contact
    }

    fn begin(&mut self) -> Result<Box<dyn CardTransaction + '_>, TransportError> {
        Ok(Box::new(Babbling(self)))
    }
}

struct Babbling<'a>(&'a mut Babble);

impl CardTransaction for Babbling<'_> {
    fn transmit(&mut self, _command: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.0.0.pop_front().ok_or(TransportError::Gone { detail: "said everything".to_owned() })
    }
}

/// Data as the applet might send it, and nonsense.
fn babble() -> impl Strategy<Value = Vec<u8>> {
    let object = (0x70_u8..0x80, vec(any::<u8>(), 0..10))
        .prop_map(|(tag, value)| [&[tag, value.len() as u8], value.as_slice()].concat());
    let select = Just([&[0x79, 3, 5, 4, 3, 0x71, 8][..], &[7; 8]].concat());
    let data =
        prop_oneof![vec(object, 0..4).prop_map(|objects| objects.concat()), select, vec(any::<u8>(), 0..30)];
    let status =
        prop_oneof![8 => Just(vec![0x90, 0x00]), 1 => Just(vec![0x61, 0x10]), 1 => vec(any::<u8>(), 0..3)];
    (data, status).prop_map(|(data, status)| [data, status].concat())
}

proptest! {
    #[test]
    fn no_card_can_make_a_driver_panic(said in vec(babble(), 0..40)) {
        let candidate = Candidate::Card { reader: "Babble 00 00".to_owned(), atr: Vec::new(), insertion: 1 };
        for driver in DRIVERS {
            let connection = Connection::Card(Box::new(Babble(said.clone().into())));
            let Ok(Some(mut token)) = driver.open(&candidate, connection) else { continue };
            let _ = token.slots();
            let _ = token.program(&slot(SLOT), &totp(30), &Unattended);
            let _ = token.unlock(&code());
            let _ = calculate(&mut *token, SLOT, MovingFactor::TimeStep(1));
            let _ = calculate(&mut *token, "a", MovingFactor::OnToken);
            let _ = token.set_lock_code(Some(&code()));
            let _ = token.erase(&slot(SLOT), &Unattended);
            let _ = token.reset(&Unattended);
        }
    }
}
