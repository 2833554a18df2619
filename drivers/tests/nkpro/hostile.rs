//! Devices and neighbours that misbehave: endless work, foreign answers, nonsense.

use std::collections::VecDeque;
use std::time::Duration;

use firmware_fixtures::nitrokey_pro::{NitrokeyFirmware, Pace};
use firmware_fixtures::specimen::{Specimen, Stored};
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::nkpro::NitrokeyProDriver;
use fobd_drivers::token::{Driver, MovingFactor, Unattended, UnixTime};
use fobd_drivers::transport::{Connection, HidConnection, TransportError};
use proptest::collection::vec;
use proptest::prelude::*;

use super::wire::{Scene, another_program, crc};
use super::{ADMIN, GENERATIONS, calculate, code, slot};
use crate::bench::{SECRET, Watcher, error, hotp, totp};

fn is_no_answer(error: &Error) -> bool {
    matches!(error, Error::Transport(TransportError::Failed { .. }))
}

#[test]
fn two_passcodes_in_a_row_are_two_even_if_the_old_answer_still_stands() {
    for firmware in GENERATIONS {
        let scene = Scene::new(firmware);
        scene.device.install("11", &Stored::hotp(&SECRET[..20], 0));
        let mut token = scene.open();
        // Longer than the first looks: a Storage shows the old answer meanwhile, and says that it is ready.
        let slow = Duration::from_millis(200);
        scene.device.set_pace(Pace { received: slow, ..Pace::default() });
        for passcode in ["755224", "287082", "359152"] {
            assert_eq!(calculate(&mut *token, 11, MovingFactor::OnToken).unwrap(), passcode);
        }
    }
}

#[test]
fn a_token_that_never_gets_ready_is_given_up() {
    for firmware in GENERATIONS {
        let scene = Scene::new(firmware);
        scene.device.install("11", &Stored::hotp(&SECRET[..20], 0));
        let mut token = scene.open();
        token.unlock(&code(ADMIN)).unwrap();
        scene.requests();
        let endless = Duration::from_secs(100_000);
        scene.device.set_pace(Pace { received: endless, busy: endless, card: endless });
        let waited = scene.device.hid().waited();
        assert!(
            is_no_answer(&error(calculate(&mut *token, 11, MovingFactor::OnToken))),
            "{}",
            firmware.model
        );
        assert_eq!(scene.commands(), [0x04], "what counts is sent once");
        let waited = scene.device.hid().waited() - waited;
        assert!((2..4).contains(&waited.as_secs()), "{waited:?}");
        assert!(is_no_answer(&error(token.slots())));
        assert_eq!(scene.commands(), [0x03; 3], "what only reads is sent again");
        assert!(scene.device.hid().exchanges() < 300);
    }
}

#[test]
fn an_answer_to_another_program_is_not_taken() {
    for firmware in GENERATIONS {
        let scene = Scene::new(firmware);
        scene.device.install("11", &Stored::hotp(&SECRET[..20], 0));
        scene.device.install("21", &Stored::totp(&SECRET[..20]));
        let mut token = scene.open();
        scene.requests();
        // Another program overwrites the answer to every other request.
        let mut turn = 0;
        scene.intrude(Some(Box::new(move |hid| {
            turn += 1;
            if turn % 2 == 1 {
                another_program(hid, 0x00, &[]);
            }
        })));
        let firmware_wants_one = calculate(&mut *token, 11, MovingFactor::OnToken);
        assert!(is_no_answer(&error(firmware_wants_one)), "{}", firmware.model);
        assert_eq!(scene.commands(), [0x04]);
        assert_eq!(scene.device.stored()[0].1.counter, 1);
        if firmware != NitrokeyFirmware::PRO_0_7 && firmware != NitrokeyFirmware::STORAGE_0_53 {
            assert_eq!(calculate(&mut *token, 21, MovingFactor::TimeStep(1)).unwrap(), "287082");
        }
        scene.intrude(None);
        assert_eq!(calculate(&mut *token, 11, MovingFactor::OnToken).unwrap(), "287082");
    }
}

#[test]
fn who_cancels_in_time_changes_nothing() {
    for firmware in GENERATIONS {
        // Asked before each command, and between looks at what only reads.
        for question in 0..40 {
            let scene = Scene::new(firmware);
            let mut token = scene.open();
            token.unlock(&code(ADMIN)).unwrap();
            let watcher = Watcher::cancelling_at(question);
            match token.program(&slot(11), &hotp(5), &watcher) {
                Ok(()) => {
                    assert!(question > 0);
                    assert_eq!(scene.device.stored().len(), 1);
                }
                Err(failure) => {
                    assert!(matches!(failure.source, Error::Cancelled), "{question}: {failure}");
                    assert_eq!((failure.slot, scene.device.stored()), (SlotState::Unchanged, vec![]));
                }
            }
            let cancelled = token.calculate(&slot(11), MovingFactor::OnToken, &Watcher::cancelling_at(0));
            assert!(matches!(cancelled, Err(Error::Cancelled)));
        }
    }
}

/// A device that says anything at all, some of it with the marks of an answer.
struct Babble {
    said: VecDeque<Said>,
    last: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Said {
    Anything(Vec<u8>),
    /// Status and payload of a well-formed answer.
    Answer(u8, Vec<u8>),
}

impl HidConnection for Babble {
    fn set_feature(&mut self, report: &[u8]) -> Result<(), TransportError> {
        self.last = report.to_vec();
        Ok(())
    }

    fn get_feature(&mut self, length: usize) -> Result<Vec<u8>, TransportError> {
        let gone = TransportError::Gone { detail: "said everything".to_owned() };
        let mut report = match self.said.pop_front().ok_or(gone)? {
            Said::Anything(report) => report,
            Said::Answer(status, payload) => {
                let mut report = vec![0, self.last[0]];
                report.extend(&self.last[60..64]);
                report.push(status);
                report.extend(payload);
                report.resize(60, 0);
                report.extend(crc(&report).to_le_bytes());
                report
            }
        };
        report.truncate(length);
        Ok(report)
    }

    fn write(&mut self, _report: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }

    fn read(&mut self, _timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        Ok(None)
    }

    fn pause(&mut self, _time: Duration) {}
}

fn said() -> impl Strategy<Value = Said> {
    let status = prop_oneof![6 => Just(0_u8), 1 => any::<u8>()];
    let payload = prop_oneof![
        Just(vec![3]),
        Just(vec![15, 0, 0x11, 0x5F, 0, 0]),
        Just([vec![0; 13], vec![1, 0x2E, 1, 0, 0, 0, 3]].concat()),
        vec(any::<u8>(), 0..53),
    ];
    prop_oneof![
        1 => vec(any::<u8>(), 0..80).prop_map(Said::Anything),
        8 => (status, payload).prop_map(|(status, payload)| Said::Answer(status, payload)),
    ]
}

proptest! {
    #[test]
    fn no_device_can_make_it_panic(
        firmware in prop::sample::select(NitrokeyFirmware::ALL.to_vec()),
        said in vec(said(), 0..60),
    ) {
        let candidate = Scene::new(firmware).candidate;
        let babble = Babble { said: said.into(), last: Vec::new() };
        let opened = NitrokeyProDriver.open(&candidate, Connection::Hid(Box::new(babble)));
        if let Ok(Some(mut token)) = opened {
            let _ = token.unlock(&code("12345678:123456"));
            let _ = token.program(&slot(11), &hotp(0), &Unattended);
            let _ = token.program(&slot(21), &totp(30), &Unattended);
            let _ = calculate(&mut *token, 21, MovingFactor::TimeStep(u64::MAX));
            let _ = calculate(&mut *token, 11, MovingFactor::OnToken);
            let _ = token.erase(&slot(11), &Unattended);
            let _ = token.set_clock(UnixTime(u64::MAX));
            let _ = token.slots();
            let _ = token.set_lock_code(Some(&code("another admin pin")));
            let _ = token.reset(&Unattended);
        }
    }
}
