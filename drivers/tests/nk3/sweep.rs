//! Faults in what the general sweep does not know: everything about the PIN. Other entries stay as they are, a right
//! PIN costs no attempt, and what is said of a slot is true of the flash.

use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::nitrokey3::{Entry, SecretsFirmware, Wire};
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{MovingFactor, Token, Unattended};
use fobd_drivers::transport::TransportError;

use super::{BOTH, Desk, OTHER, SEED, desk, encrypted, pin};
use crate::bench::{calculate, hotp, slot};

/// What an operation says of itself: of the slot if it writes one, and the error if there is one.
type Said = (Option<SlotState>, Option<Error>);

struct Operation {
    name: &'static str,
    /// A PIN is set, and given before.
    unlocked: bool,
    run: fn(&mut dyn Token) -> Said,
}

fn said<T>(result: Result<T, Error>) -> Said {
    (None, result.err())
}

const OPERATIONS: [Operation; 7] = [
    Operation { name: "set the PIN", unlocked: false, run: |t| said(t.set_lock_code(Some(&pin("5678")))) },
    Operation { name: "change the PIN", unlocked: true, run: |t| said(t.set_lock_code(Some(&pin("5678")))) },
    Operation { name: "unlock", unlocked: true, run: |t| said(t.unlock(&pin("1234"))) },
    Operation { name: "calculate", unlocked: true, run: |t| said(calculate(t, "a", MovingFactor::OnToken)) },
    Operation { name: "erase", unlocked: true, run: |t| said(t.erase(&slot("a"), &Unattended)) },
    Operation {
        name: "program",
        unlocked: true,
        run: |t| match t.program(&slot("a"), &hotp(7), &Unattended) {
            Ok(()) => (None, None),
            Err(error) => (Some(error.slot), Some(error.source)),
        },
    },
    Operation { name: "reset", unlocked: true, run: |t| said(t.reset(&Unattended)) },
];

fn scene(operation: &Operation, firmware: SecretsFirmware, wire: Wire) -> (Desk, Box<dyn Token>) {
    let desk = desk(firmware, wire);
    desk.install(Entry::hotp("other", SEED, 5));
    desk.install(Entry { secret: OTHER.to_vec(), ..encrypted("a") });
    let mut token = desk.open();
    if operation.unlocked {
        desk.set_pin("1234");
        desk.install(encrypted("hidden"));
        token.unlock(&pin("1234")).unwrap();
    }
    (desk, token)
}

fn check(operation: &Operation, firmware: SecretsFirmware, wire: Wire, fault: Fault) {
    let what = format!("{}, {} over {wire:?}, {fault:?}", operation.name, firmware.model);
    let (desk, mut token) = scene(operation, firmware, wire);
    let entries = |desk: &Desk| ["other", "hidden"].map(|name| desk.entry(name));
    let (others, before) = (entries(&desk), desk.entry("a").unwrap());
    let exchanges = desk.door.exchanges();
    desk.door.plan(fault);
    let (state, error) = (operation.run)(&mut *token);
    assert_eq!(desk.door.faults_left(), 0, "{what}: not reached");
    assert!(desk.door.exchanges() - exchanges < 200, "{what}");
    let after = desk.entry("a");
    if operation.name == "reset" {
        assert!(error.is_some() || after.is_none(), "{what}");
        return;
    }
    assert_eq!(entries(&desk), others, "{what}: another entry changed");
    let is_new = after.as_ref().is_some_and(|after| after.secret == SEED && after.pin);
    match operation.name {
        "program" => match state {
            None => assert!(is_new, "{what}"),
            Some(SlotState::Unchanged) => assert_eq!(after, Some(before), "{what}: {error:?}"),
            Some(SlotState::Unknown) => {
                assert!(is_new || after.is_none() || after == Some(before), "{what}");
            }
        },
        "erase" => {
            assert!(after.is_none() || after == Some(before), "{what}");
            assert!(error.is_some() || after.is_none(), "{what}");
        }
        "calculate" => {
            let used = after.unwrap().counter - before.counter;
            assert!(used <= 1 && (error.is_some() || used == 1), "{what}: counted on {used} times");
        }
        _ => assert_eq!(after, Some(before), "{what}"),
    }
    let (code, retries) = desk.key.with_app(|app| {
        let pin = app.pin_mut().clone();
        pin.map_or((Vec::new(), 8), |pin| (pin.code, pin.retries))
    });
    assert_eq!(retries, 8, "{what}: an attempt was lost");
    let old: &[u8] = if operation.unlocked { b"1234" } else { b"" };
    if operation.name.ends_with("the PIN") {
        assert!(code == old || code == b"5678", "{what}");
        assert!(error.is_some() || code == b"5678", "{what}");
    } else {
        assert_eq!(code, old, "{what}");
    }
    if matches!(fault.kind, FaultKind::UnplugBefore | FaultKind::UnplugAfter) {
        let gone = matches!(error, Some(Error::Transport(TransportError::Gone { .. })));
        assert!(gone, "{what}: {error:?}");
    }
}

#[test]
fn every_fault_around_a_pin_leaves_the_old_or_the_new_or_says_so() {
    let mut faults = FaultKind::all();
    faults.extend((3..8).map(|seed| FaultKind::Garble { seed }));
    faults.extend([0x6982, 0x6983, 0x6A82, 0x6A84, 0x6300, 0x61FF].map(FaultKind::Status));
    let mut checked = 0;
    for firmware in [SecretsFirmware::V4_14, SecretsFirmware::V4_10] {
        for wire in BOTH {
            for operation in &OPERATIONS {
                let (desk, mut token) = scene(operation, firmware, wire);
                let before = desk.door.exchanges();
                let (_, error) = (operation.run)(&mut *token);
                assert!(error.is_none(), "{}: {error:?}", operation.name);
                for at in 0..desk.door.exchanges() - before {
                    for kind in &faults {
                        check(operation, firmware, wire, Fault { at, kind: *kind });
                        checked += 1;
                    }
                }
            }
        }
    }
    assert!(checked > 1000, "only {checked} faults were checked");
}
