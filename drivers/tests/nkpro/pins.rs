//! PINs: how often they are sent, what a wrong one costs, and who loses a session.

use firmware_fixtures::nitrokey_pro::NitrokeyFirmware;
use firmware_fixtures::specimen::{Specimen, Stored};
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{MovingFactor, Unattended};

use super::wire::{Scene, another_program};
use super::{ADMIN, GENERATIONS, calculate, code, slot};
use crate::bench::{SECRET, error, hotp};

/// A PIN that is in no secret.
const OTHER: &str = "another admin pin";

fn holds(request: &[u8], text: &str) -> bool {
    request.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn the_pin_is_on_the_wire_once_and_something_random_stands_in_for_it() {
    let stand_in = || {
        let scene = Scene::new(NitrokeyFirmware::PRO_0_15);
        scene.device.set_lock_code(Some(OTHER.as_bytes()));
        let mut token = scene.open();
        token.unlock(&code(OTHER)).unwrap();
        for _ in 0..3 {
            token.program(&slot(11), &hotp(0), &Unattended).unwrap();
            calculate(&mut *token, 11, MovingFactor::OnToken).unwrap();
            token.erase(&slot(11), &Unattended).unwrap();
        }
        let requests = scene.requests();
        assert_eq!(requests.iter().filter(|request| holds(request, OTHER)).count(), 1);
        requests.iter().find(|request| request[0] == 0x07).unwrap()[26..51].to_vec()
    };
    let (first, second) = (stand_in(), stand_in());
    assert_ne!(first, second);
    assert_ne!(first, [0; 25]);
}

#[test]
fn firmware_0_7_wants_the_pin_for_each_command_that_writes() {
    let scene = Scene::new(NitrokeyFirmware::PRO_0_7);
    scene.device.set_lock_code(Some(OTHER.as_bytes()));
    let mut token = scene.open();
    token.unlock(&code(OTHER)).unwrap();
    for _ in 0..3 {
        token.program(&slot(11), &hotp(0), &Unattended).unwrap();
    }
    let requests = scene.requests();
    assert_eq!(requests.iter().filter(|request| holds(request, OTHER)).count(), 3);
    assert_eq!(requests.iter().filter(|request| request[0] == 0x09).count(), 3, "attempts are read first");
}

#[test]
fn a_wrong_pin_is_sent_once_and_tells_what_is_left() {
    for firmware in GENERATIONS {
        let scene = Scene::new(firmware);
        let mut token = scene.open();
        scene.requests();
        let failure = error(token.unlock(&code("wrong pin")));
        assert!(matches!(failure, Error::WrongLockCode { attempts_left: Some(2) }), "{failure}");
        assert_eq!((scene.commands(), scene.device.retries()), (vec![0x09, 0x07], (2, 3)));
        let failure = error(token.unlock(&code("wrong pin")));
        assert_eq!(failure.to_string(), "the token refused the access code: 1 attempt is left");
        scene.requests();

        // The last one is not spent, not even on the right PIN.
        for pin in ["wrong pin", ADMIN] {
            let failure = error(token.unlock(&code(pin)));
            assert!(failure.to_string().starts_with("code: one attempt is left"), "{failure}");
            assert_eq!((scene.commands(), scene.device.retries()), (vec![0x09], (1, 3)));
        }
        scene.device.set_retries(0, 3);
        let failure = error(token.unlock(&code(ADMIN)));
        assert!(matches!(failure, Error::Blocked { .. }), "{failure}");
        assert_eq!(scene.commands(), [0x09]);
    }
}

#[test]
fn what_cannot_be_a_pin_is_not_sent() {
    let scene = Scene::new(NitrokeyFirmware::PRO_0_15);
    let mut token = scene.open();
    scene.requests();
    for text in ["", ":", "a:b:c", "a\0b", "a pin of twenty-six letters"] {
        assert!(matches!(error(token.unlock(&code(text))), Error::Invalid { field: "code", .. }), "{text:?}");
    }
    assert_eq!(scene.commands(), []);
}

#[test]
fn passcodes_want_the_user_pin_where_the_token_says_so() {
    for firmware in GENERATIONS {
        let scene = Scene::new(firmware);
        scene.device.install("11", &Stored::hotp(&SECRET[..20], 0));
        scene.device.install("21", &Stored::totp(&SECRET[..20]));
        scene.device.set_user_pin_needed(true);
        let mut token = scene.open();
        for pin in [None, Some(ADMIN)] {
            if let Some(pin) = pin {
                token.unlock(&code(pin)).unwrap();
            }
            let hotp = calculate(&mut *token, 11, MovingFactor::OnToken);
            let totp = calculate(&mut *token, 21, MovingFactor::TimeStep(1));
            assert!(matches!((hotp, totp), (Err(Error::Locked), Err(Error::Locked))), "{}", firmware.model);
        }
        for pins in [":123456", "12345678:123456"] {
            token.unlock(&code(pins)).unwrap();
            assert_eq!(calculate(&mut *token, 21, MovingFactor::TimeStep(1)).unwrap(), "287082");
            for _ in 0..2 {
                calculate(&mut *token, 11, MovingFactor::OnToken).unwrap();
            }
        }
        assert_eq!(scene.device.stored()[0].1.counter, 4, "{}", firmware.model);
        token.unlock(&code(":123456")).unwrap();
        let failure = error(token.program(&slot(12), &hotp(0), &Unattended));
        assert!(matches!((failure.slot, failure.source), (SlotState::Unchanged, Error::Locked)));

        let failure = error(token.unlock(&code("12345678:wrong!")));
        assert!(matches!(failure, Error::WrongLockCode { attempts_left: Some(2) }), "{failure}");
        assert_eq!(scene.device.retries(), (3, 2));
        let failure = error(token.program(&slot(12), &hotp(0), &Unattended));
        assert!(matches!(failure.source, Error::Locked), "a refused code is kept in part");
    }
}

#[test]
fn a_session_that_another_program_ended_is_begun_again_once() {
    for firmware in GENERATIONS {
        let scene = Scene::new(firmware);
        scene.device.install("12", &Stored::hotp(&SECRET[..20], 0));
        scene.device.set_user_pin_needed(true);
        let mut token = scene.open();
        token.unlock(&code("12345678:123456")).unwrap();
        let hid = scene.device.hid().clone();
        let end = || {
            another_program(&hid, 0x07, &[(1, ADMIN.as_bytes()), (26, b"TMPPW")]);
            another_program(&hid, 0x0E, &[(1, b"123456"), (26, b"TMPPW")]);
        };
        end();
        token.program(&slot(11), &hotp(0), &Unattended).unwrap();
        end();
        token.erase(&slot(11), &Unattended).unwrap();
        end();
        assert_eq!(calculate(&mut *token, 12, MovingFactor::OnToken).unwrap(), "755224");

        // Now the PIN is another one, too: one attempt shows it, and no more are made.
        end();
        scene.device.set_lock_code(Some(OTHER.as_bytes()));
        let failure = error(token.program(&slot(11), &hotp(0), &Unattended));
        let told = (failure.slot, &failure.source);
        let wrong = matches!(told, (SlotState::Unchanged, Error::WrongLockCode { attempts_left: Some(2) }));
        assert!(wrong, "{}: {failure}", firmware.model);
        assert_eq!(scene.device.retries().0, 2);
        let failure = error(token.program(&slot(11), &hotp(0), &Unattended));
        assert!(matches!(failure.source, Error::Locked), "{failure}");
        assert_eq!(scene.device.retries().0, 2);
        assert_eq!(scene.device.stored().len(), 1);
    }
}

#[test]
fn a_storage_that_hides_refusals_is_found_out() {
    let scene = Scene::new(NitrokeyFirmware::STORAGE_0_57);
    scene.device.install("11", &Stored::hotp(&SECRET[..20], 0));
    scene.device.set_user_pin_needed(true);
    let hid = scene.device.hid().clone();
    // From now on every refusal for lack of a password is answered with OK.
    another_program(&hid, 0x08, &[]);
    let mut token = scene.open();
    assert!(matches!(calculate(&mut *token, 11, MovingFactor::OnToken), Err(Error::Locked)));
    token.unlock(&code("12345678:123456")).unwrap();
    assert_eq!(calculate(&mut *token, 11, MovingFactor::OnToken).unwrap(), "755224");

    // The session goes after the n-th request of ours: the next one is refused, and nobody says so.
    for at in 1..=2 {
        let device = scene.device.clone();
        let mut seen = 0;
        scene.intrude(Some(Box::new(move |_| {
            seen += 1;
            if seen == at {
                device.end_sessions();
            }
        })));
        token.program(&slot(12), &hotp(7), &Unattended).unwrap();
        scene.intrude(None);
        assert_eq!(scene.device.stored()[1].1.counter, 7, "after request {at}");
        token.erase(&slot(12), &Unattended).unwrap();
    }
    another_program(&hid, 0x12, &[]);
    token.erase(&slot(11), &Unattended).unwrap();
    assert_eq!(scene.device.stored(), []);
}

#[test]
fn the_admin_pin_can_be_changed_and_nothing_else() {
    for firmware in GENERATIONS {
        let scene = Scene::new(firmware);
        let mut token = scene.open();
        scene.requests();
        assert!(matches!(token.set_lock_code(Some(&code("new admin pin"))), Err(Error::Locked)));
        token.unlock(&code(ADMIN)).unwrap();
        scene.requests();
        assert!(matches!(token.set_lock_code(None), Err(Error::Unsupported { .. })));
        assert!(matches!(
            token.set_lock_code(Some(&code("12345678:654321"))),
            Err(Error::Unsupported { .. })
        ));
        for text in ["", "short", "a pin of twenty-six letters"] {
            let failure = error(token.set_lock_code(Some(&code(text))));
            assert!(matches!(failure, Error::Invalid { field: "code", .. }), "{text:?}: {failure}");
        }
        assert_eq!(scene.commands(), []);
        token.set_lock_code(Some(&code("new admin pin"))).unwrap();
        let storage = firmware.is_storage();
        assert_eq!(scene.commands(), if storage { vec![0x09, 0x32, 0x33] } else { vec![0x09, 0x15] });
        assert_eq!(scene.device.lock_code().unwrap(), b"new admin pin");
        for _ in 0..2 {
            token.program(&slot(11), &hotp(0), &Unattended).unwrap();
        }
        token.reset(&Unattended).unwrap();
        assert_eq!(scene.device.lock_code().unwrap(), ADMIN.as_bytes());
        assert!(matches!(token.reset(&Unattended), Err(Error::Locked)), "the PIN is another one now");
    }
}

#[test]
fn a_reset_wants_the_admin_pin() {
    for firmware in GENERATIONS {
        let scene = Scene::new(firmware);
        scene.device.install("11", &Stored::hotp(&SECRET[..20], 0));
        let mut token = scene.open();
        scene.requests();
        assert!(matches!(token.reset(&Unattended), Err(Error::Locked)));
        assert_eq!((scene.commands(), scene.device.stored().len()), (vec![], 1));
        token.unlock(&code(ADMIN)).unwrap();
        scene.device.set_retries(1, 3);
        assert!(matches!(token.reset(&Unattended), Err(Error::Invalid { field: "code", .. })));
        scene.device.set_retries(3, 3);
        token.reset(&Unattended).unwrap();
        assert_eq!(scene.device.stored(), []);
    }
}

#[test]
fn no_pin_is_said_in_an_error() {
    let scene = Scene::new(NitrokeyFirmware::PRO_0_15);
    let mut token = scene.open();
    for text in ["geheimnis:123456:x", "geheimnis", "geheimnis:geheimnis-und-noch-laenger-als-erlaubt"] {
        let failure = error(token.unlock(&code(text)));
        let said = format!("{failure} {failure:?}");
        assert!(!said.contains("geheimnis"), "{said}");
    }
}
