//! Every operation, with every kind of fault at every exchange: no panic, no hang, other slots untouched, and
//! whatever is reported of the slot is true of the flash. Afterwards the token works as if nothing had been.

use firmware_fixtures::card::Human;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::specimen::{Specimen, Stored};
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{Kind, LockCode, MovingFactor, SlotId, Token, Unattended};
use fobd_drivers::transport::TransportError;

use super::{Socket, Subject, config, kinds, other_config, slots_for};

/// No operation of any token takes more exchanges than this, whatever goes wrong.
const MOST_EXCHANGES: u64 = 5000;

/// What an operation says of itself.
#[derive(Debug)]
enum Outcome {
    Done,
    Failed(Error),
    /// Programming failed, with what it says of the slot.
    NotProgrammed(SlotState, Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Open,
    ProgramEmpty(Kind),
    ProgramOver(Kind),
    Erase(Kind),
    Calculate(Kind),
    List,
    Unlock,
    SetLockCode,
}

impl Operation {
    fn kind(self, first: Kind) -> Kind {
        match self {
            Self::ProgramEmpty(kind)
            | Self::ProgramOver(kind)
            | Self::Erase(kind)
            | Self::Calculate(kind) => kind,
            Self::Open | Self::List | Self::Unlock | Self::SetLockCode => first,
        }
    }
}

/// A token with a credential in another slot, the one at hand filled if the operation wants that.
struct Scene<'a> {
    subject: Subject<'a>,
    operation: Operation,
    kind: Kind,
    slot: SlotId,
    token: Option<Box<dyn Token>>,
}

impl<'a> Scene<'a> {
    fn set(
        driver: &'static str,
        specimen: &'a dyn Specimen,
        socket: &'a mut dyn Socket,
        operation: Operation,
    ) -> Self {
        if operation == Operation::Unlock && specimen.lock_code().is_none() {
            specimen.set_lock_code(specimen.spare_lock_code().as_deref());
        }
        let subject = Subject::new(driver, specimen, socket);
        subject.door.set_human(Human::TouchesAtOnce);
        let mut token = subject.open_unlocked();
        let can = token.info().capabilities.clone();
        let kind = operation.kind(kinds(&can)[0]);
        let slots = slots_for(&can, kind);
        for other in &slots[1..] {
            token.program(other, &other_config(&can, kind), &Unattended).unwrap();
        }
        if !matches!(operation, Operation::ProgramEmpty(_)) {
            token.program(&slots[0], &other_config(&can, kind), &Unattended).unwrap();
        }
        drop(token);
        // A token kept open from before would know more than one that was just opened.
        let token = match operation {
            Operation::Open => None,
            Operation::Unlock => Some(subject.open()),
            _ => Some(subject.open_unlocked()),
        };
        Self { subject, operation, kind, slot: slots[0].clone(), token }
    }

    fn run(&mut self) -> Outcome {
        let Some(token) = &mut self.token else {
            return match self.subject.try_open() {
                Ok(_) => Outcome::Done,
                Err(error) => Outcome::Failed(error),
            };
        };
        let can = token.info().capabilities.clone();
        let result = match self.operation {
            Operation::ProgramEmpty(kind) | Operation::ProgramOver(kind) => {
                return match token.program(&self.slot, &config(&can, kind), &Unattended) {
                    Ok(()) => Outcome::Done,
                    Err(error) => Outcome::NotProgrammed(error.slot, error.source),
                };
            }
            Operation::Open => return Outcome::Done,
            Operation::Erase(_) => token.erase(&self.slot, &Unattended),
            Operation::Calculate(Kind::Hotp) => {
                token.calculate(&self.slot, MovingFactor::OnToken, &Unattended).map(drop)
            }
            Operation::Calculate(Kind::Totp) => {
                token.calculate(&self.slot, MovingFactor::TimeStep(1), &Unattended).map(drop)
            }
            Operation::List => token.slots().map(drop),
            Operation::Unlock => {
                let code = self.subject.specimen.lock_code().unwrap_or_default();
                token.unlock(&LockCode::new(code))
            }
            Operation::SetLockCode => {
                let code = self.subject.specimen.spare_lock_code().unwrap_or_default();
                token.set_lock_code(Some(&LockCode::new(code)))
            }
        };
        result.map_or_else(Outcome::Failed, |()| Outcome::Done)
    }

    fn split(&self) -> (Option<Stored>, Vec<(String, Stored)>) {
        let mine = self.slot.to_string();
        let others = self.subject.specimen.stored().into_iter().filter(|(slot, _)| *slot != mine).collect();
        (self.subject.stored(&self.slot), others)
    }
}

/// Faults of every kind, more of those whose effect depends on chance or on a number.
fn faults() -> Vec<FaultKind> {
    let mut faults = FaultKind::all();
    faults.extend((3..10).map(|seed| FaultKind::Garble { seed }));
    faults.extend(
        [0x6982, 0x6983, 0x6985, 0x6A80, 0x6A82, 0x6A84, 0x6D00, 0x6300, 0x61FF].map(FaultKind::Status),
    );
    faults.push(FaultKind::StatusAfter(0x6581));
    faults
}

/// How thorough a sweep is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Every fault at every exchange.
    Full,
    /// Programming over a slot, a fault of each kind, at another exchange each: for wires where each run takes
    /// long. A token that says nothing is left out: there the driver waits as long as the system does.
    #[cfg_attr(not(feature = "pcsc"), allow(dead_code))]
    Sample,
}

/// Sweeps over all operations of a token; returns how many faults were checked.
pub(crate) fn sweep(
    driver: &'static str,
    make: &dyn Fn() -> Box<dyn Specimen>,
    socket: &mut dyn Socket,
    depth: Depth,
) -> usize {
    let mut checked = 0;
    for operation in operations(driver, &*make(), socket) {
        if depth == Depth::Sample && !matches!(operation, Operation::ProgramOver(_)) {
            continue;
        }
        let specimen = make();
        let mut scene = Scene::set(driver, &*specimen, socket, operation);
        let before = scene.subject.door.exchanges();
        let clean = scene.run();
        if let Outcome::Failed(Error::Unsupported { .. }) = &clean {
            continue;
        }
        assert!(matches!(clean, Outcome::Done), "{}, {operation:?}: {clean:?}", specimen.model());
        let exchanges = scene.subject.door.exchanges() - before;
        drop(scene);
        match depth {
            Depth::Full => {
                for at in 0..exchanges {
                    for kind in faults() {
                        check(driver, &*make(), socket, operation, Fault { at, kind });
                        checked += 1;
                    }
                }
            }
            Depth::Sample => {
                let endless = [FaultKind::Silence, FaultKind::Truncate(0)];
                let kinds = FaultKind::all().into_iter().filter(|kind| !endless.contains(kind));
                for (number, kind) in (0..).zip(kinds) {
                    let at = number * 7 % exchanges.max(1);
                    check(driver, &*make(), socket, operation, Fault { at, kind });
                    checked += 1;
                }
            }
        }
    }
    checked
}

fn operations(driver: &'static str, specimen: &dyn Specimen, socket: &mut dyn Socket) -> Vec<Operation> {
    let can = Subject::new(driver, specimen, socket).open().info().capabilities.clone();
    let mut operations = vec![Operation::Open, Operation::List];
    for kind in kinds(&can) {
        operations.extend([
            Operation::ProgramEmpty(kind),
            Operation::ProgramOver(kind),
            Operation::Erase(kind),
            Operation::Calculate(kind),
        ]);
    }
    if specimen.lock_code().or(specimen.spare_lock_code()).is_some() {
        operations.push(Operation::Unlock);
    }
    if specimen.spare_lock_code().is_some() {
        operations.push(Operation::SetLockCode);
    }
    operations
}

fn check(
    driver: &'static str,
    specimen: &dyn Specimen,
    socket: &mut dyn Socket,
    operation: Operation,
    fault: Fault,
) {
    let what =
        format!("{driver}, {}, {operation:?}, {:?} at exchange {}", specimen.model(), fault.kind, fault.at);
    let mut scene = Scene::set(driver, specimen, socket, operation);
    let (before, others) = scene.split();
    let exchanges = scene.subject.door.exchanges();
    scene.subject.door.plan(fault);
    let outcome = scene.run();
    assert_eq!(scene.subject.door.faults_left(), 0, "{what}: not reached");
    let taken = scene.subject.door.exchanges() - exchanges;
    assert!(taken < MOST_EXCHANGES, "{what}: {taken} exchanges");

    let (after, others_after) = scene.split();
    assert_eq!(others_after, others, "{what}: another slot changed");
    check_slot(operation, &outcome, before.as_ref(), after.as_ref(), &what);
    check_cause(&outcome, fault.kind, &what);

    // Plugged in again, the token is programmed as if nothing had been.
    scene.token = None;
    scene.subject.replug();
    let mut token = scene.subject.open_unlocked();
    let can = token.info().capabilities.clone();
    token
        .program(&scene.slot, &config(&can, scene.kind), &Unattended)
        .unwrap_or_else(|error| panic!("{what}, then: {error}"));
    let (after, others_after) = scene.split();
    assert_eq!(others_after, others, "{what}: another slot changed in the end");
    assert_eq!(after.unwrap().secret, config(&can, scene.kind).secret.expose(), "{what}");
}

fn check_slot(
    operation: Operation,
    outcome: &Outcome,
    before: Option<&Stored>,
    after: Option<&Stored>,
    what: &str,
) {
    let done = matches!(outcome, Outcome::Done);
    match operation {
        Operation::ProgramEmpty(_) | Operation::ProgramOver(_) => {
            let is_new = after.is_some_and(|after| after.secret.starts_with(b"1234567890"));
            match outcome {
                Outcome::NotProgrammed(SlotState::Unchanged, error) => {
                    assert_eq!(after, before, "{what}: said to be unchanged ({error})");
                }
                Outcome::NotProgrammed(SlotState::Unknown, _) => {
                    assert!(is_new || after == before || after.is_none(), "{what}: {after:?}");
                }
                Outcome::Done | Outcome::Failed(_) => assert!(is_new, "{what}: {after:?}"),
            }
        }
        Operation::Erase(_) => {
            assert!(after.is_none() || after == before, "{what}: {after:?}");
            assert!(!done || after.is_none(), "{what}: said to be empty");
        }
        Operation::Calculate(Kind::Hotp) => {
            let counter = |stored: Option<&Stored>| stored.map(|stored| stored.counter).unwrap_or_default();
            let used = counter(after) - counter(before);
            assert!(used <= 1, "{what}: counted on {used} times");
            assert!(!done || used == 1, "{what}");
        }
        Operation::Calculate(Kind::Totp)
        | Operation::Open
        | Operation::List
        | Operation::Unlock
        | Operation::SetLockCode => assert_eq!(after, before, "{what}"),
    }
}

/// The error names the cause.
fn check_cause(outcome: &Outcome, kind: FaultKind, what: &str) {
    let error = match outcome {
        Outcome::Done => None,
        Outcome::Failed(error) | Outcome::NotProgrammed(_, error) => Some(error),
    };
    if matches!(kind, FaultKind::UnplugBefore | FaultKind::UnplugAfter) {
        assert!(matches!(error, Some(Error::Transport(TransportError::Gone { .. }))), "{what}: {error:?}");
    }
}
