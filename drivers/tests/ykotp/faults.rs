//! Faults at what the suite for all drivers does not do: tasks, and codes. And keys that babble.

use std::collections::VecDeque;
use std::time::Duration;

use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::ykotp::slots::Slot;
use fobd_drivers::DRIVERS;
use fobd_drivers::error::ProgramError;
use fobd_drivers::token::task::{NdefRecord, Task, Typing};
use fobd_drivers::transport::{
    Candidate, CardConnection, CardTransaction, Connection, HidCandidate, HidConnection, Interface,
    TransportError,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Everything that a write may change.
#[derive(Clone, Debug, PartialEq)]
struct Contents([Option<Slot>; 2], Option<Vec<u8>>);

fn contents(specimen: &OtpSpecimen) -> Contents {
    let flash = specimen.key().flash().open();
    Contents([1, 2].map(|slot| flash.slot(slot).cloned()), flash.ndef(2).map(<[u8]>::to_vec))
}

type Work = fn(&mut dyn Token) -> Result<(), ProgramError>;

const WORKS: [(&str, Work); 4] = [
    ("update", |token| {
        let typing = Typing { enter: false, ..Typing::default() };
        token.configure(&Task::UpdateTyping { slot: ONE, typing }, &Unattended)
    }),
    ("swap", |token| token.configure(&Task::Swap, &Unattended)),
    ("NDEF", |token| {
        let record = NdefRecord::Uri("https://example.com/".to_owned());
        token.configure(&Task::Ndef { slot: TWO, record }, &Unattended)
    }),
    ("program with a code", |token| {
        token.unlock(&code(CODE)).unwrap();
        token.program(&ONE, &hotp(16), &Unattended)
    }),
];

/// A key with something in both slots.
fn prepared(specimen: &OtpSpecimen, name: &str) -> Contents {
    with(specimen, |_, token| {
        program(token, &ONE, &hotp(0));
        program(token, &TWO, &totp());
    });
    if name.contains("code") {
        specimen.set_lock_code(Some(CODE));
    }
    contents(specimen)
}

#[test]
fn what_is_said_of_a_task_is_true_whatever_goes_wrong() {
    for (model, by_card) in [(Model::YUBIKEY_5_7_1, false), (Model::YUBIKEY_5_2_7_NFC, true)] {
        let make = || if by_card { applet(model) } else { keyboard(model) };
        for (name, work) in WORKS {
            let specimen = make();
            prepared(&specimen, name);
            let (exchanges, new) = with(&specimen, |subject, token| {
                let (exchanges, result) = subject.exchanges(|| work(token));
                result.unwrap_or_else(|error| panic!("{name}: {error}"));
                (exchanges, contents(&specimen))
            });
            for at in 0..exchanges {
                for kind in FaultKind::all() {
                    let what = format!("{name}, {}, {kind:?} at {at}", specimen.model());
                    let specimen = make();
                    let old = prepared(&specimen, name);
                    with(&specimen, |subject, token| {
                        subject.door.plan(Fault { at, kind });
                        let result = work(token);
                        assert_eq!(subject.door.faults_left(), 0, "{what}: not reached");
                        let now = contents(&specimen);
                        match result {
                            Ok(()) => assert_eq!(now, new, "{what}: said to be done"),
                            Err(ProgramError { slot: SlotState::Unchanged, source }) => {
                                assert_eq!(now, old, "{what}: said to be unchanged ({source})");
                            }
                            Err(_) => assert!(now == old || now == new, "{what}: {now:?}"),
                        }
                    });
                }
            }
        }
    }
}

/// A wire on which anything at all is said.
struct Babble(VecDeque<Vec<u8>>);

impl Babble {
    fn next(&mut self) -> Result<Vec<u8>, TransportError> {
        self.0.pop_front().ok_or(TransportError::Gone { detail: "said everything".to_owned() })
    }
}

impl HidConnection for Babble {
    fn set_feature(&mut self, _: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }

    fn get_feature(&mut self, _: usize) -> Result<Vec<u8>, TransportError> {
        self.next()
    }

    fn write(&mut self, _: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }

    fn read(&mut self, _: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        Ok(None)
    }

    fn pause(&mut self, _: Duration) {}
}

impl CardConnection for Babble {
    fn interface(&self) -> Interface {
        Interface::Contactless
    }

    fn begin(&mut self) -> Result<Box<dyn CardTransaction + '_>, TransportError> {
        Ok(Box::new(Babbling(self)))
    }
}

struct Babbling<'a>(&'a mut Babble);

impl CardTransaction for Babbling<'_> {
    fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.0.next()
    }
}

fn use_it(candidate: &Candidate, connection: Connection) {
    let driver = DRIVERS.iter().find(|driver| driver.name() == "ykotp").unwrap();
    let Ok(Some(mut token)) = driver.open(candidate, connection) else { return };
    let _ = token.slots();
    let _ = token.program(&ONE, &hotp(0), &Unattended);
    let _ = token.unlock(&code(CODE));
    let _ = totp_at(&mut *token, &TWO, 1);
    for (_, work) in WORKS {
        let _ = work(&mut *token);
    }
    let _ = token.set_lock_code(Some(&code(CODE)));
    let _ = token.erase(&ONE, &Unattended);
    let _ = token.reset(&Unattended);
}

/// Reports as a key might send them, and nonsense.
fn report() -> impl Strategy<Value = Vec<u8>> {
    let status = (0_u8..4, 0_u8..16).prop_map(|(sequence, level)| vec![0, 5, 4, 3, sequence, level, 0, 0]);
    let slice = (vec(any::<u8>(), 7), 0x40_u8..0x48).prop_map(|(slice, flags)| [slice, vec![flags]].concat());
    let flags = (vec(any::<u8>(), 7), any::<u8>()).prop_map(|(slice, flags)| [slice, vec![flags]].concat());
    prop_oneof![8 => status, 2 => slice, 1 => flags, 1 => vec(any::<u8>(), 0..12)]
}

fn response() -> impl Strategy<Value = Vec<u8>> {
    let status = (0_u8..4, 0_u8..16).prop_map(|(sequence, level)| vec![5, 4, 3, sequence, level, 0]);
    let data = prop_oneof![4 => status, 1 => vec(any::<u8>(), 0..30)];
    let word = prop_oneof![8 => Just(vec![0x90, 0]), 1 => vec(any::<u8>(), 0..3)];
    (data, word).prop_map(|(data, word)| [data, word].concat())
}

proptest! {
    #[test]
    fn no_keyboard_makes_the_driver_panic_or_wait_for_ever(said in vec(report(), 0..400)) {
        let candidate = Candidate::Hid(HidCandidate {
            path: "/dev/hidraw0".to_owned(),
            vendor_id: 0x1050,
            product_id: 0x0407,
            release: 0x0543,
            usage_page: 1,
            usage: 6,
            interface: Some(0),
            serial: None,
            product: String::new(),
            attachment: 1,
        });
        use_it(&candidate, Connection::Hid(Box::new(Babble(said.into()))));
    }

    #[test]
    fn no_applet_makes_the_driver_panic(said in vec(response(), 0..60)) {
        let candidate = Candidate::Card { reader: "Babble 00 00".to_owned(), atr: Vec::new(), insertion: 1 };
        use_it(&candidate, Connection::Card(Box::new(Babble(said.into()))));
    }
}

#[test]
fn a_key_that_is_never_done_is_given_up_after_a_while() {
    struct Busy(u32);
    impl HidConnection for Busy {
        fn set_feature(&mut self, _: &[u8]) -> Result<(), TransportError> {
            Ok(())
        }

        fn get_feature(&mut self, _: usize) -> Result<Vec<u8>, TransportError> {
            self.0 += 1;
            assert!(self.0 < 2000, "it is asked for ever");
            Ok(vec![0, 0, 0, 0, 0, 0, 0, 0x9F])
        }

        fn write(&mut self, _: &[u8]) -> Result<(), TransportError> {
            Ok(())
        }

        fn read(&mut self, _: Duration) -> Result<Option<Vec<u8>>, TransportError> {
            Ok(None)
        }

        fn pause(&mut self, _: Duration) {}
    }
    let candidate = Candidate::Card { reader: String::new(), atr: Vec::new(), insertion: 1 };
    let driver = DRIVERS.iter().find(|driver| driver.name() == "ykotp").unwrap();
    let failure = driver.open(&candidate, Connection::Hid(Box::new(Busy(0)))).map(drop).unwrap_err();
    assert_eq!(failure.to_string(), "STATUS: malformed reply: the key is never done at byte 7");
}
