//! The in-process door: what a program sees that opens, shares and loses emulated cards.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::{Human, VirtualCard, Waits};
use firmware_fixtures::credential::Credential;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::firmware::Firmware;
use fobd_drivers::transport::{Bus, Candidate, CardConnection, Connection, Interface, TransportError};

const SELECT: &[u8] = &[0, 0xA4, 4, 0, 7, 0xA0, 0, 0, 5, 0x27, 0x21, 1];
const LIST: &[u8] = &[0, 0xA1, 0, 0];
const CALCULATE_CORP: &[u8] = &[0, 0xA2, 0, 1, 8, 0x71, 4, b'c', b'o', b'r', b'p', 0x74, 0];
const SEED: &[u8] = b"12345678901234567890";
const LONG: Duration = Duration::from_secs(20);

fn key() -> VirtualCard {
    let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 12_345_678);
    card.install(Credential::hotp("corp", SEED, 0));
    card
}

fn open(bus: &VirtualBus) -> Box<dyn CardConnection> {
    let candidate = bus.candidates().pop().unwrap();
    let Connection::Card(connection) = bus.open(&candidate).unwrap() else { panic!("not a card") };
    connection
}

fn gone<T: std::fmt::Debug>(result: Result<T, TransportError>) -> bool {
    matches!(result, Err(TransportError::Gone { .. }))
}

#[test]
fn a_card_can_be_listed_opened_and_used() {
    let (bus, card) = (VirtualBus::new(), key());
    let reader = bus.attach(&card);
    assert_eq!(reader, "Yubico YubiKey OTP+FIDO+CCID 00 00");
    let atr = Firmware::YUBIKEY_5_4_3.atr.to_vec();
    assert_eq!(bus.candidates(), [Candidate::Card { reader, atr, insertion: 1 }]);

    let mut connection = open(&bus);
    assert_eq!(connection.interface(), Interface::Contact);
    let mut transaction = connection.begin().unwrap();
    assert_eq!(transaction.transmit(SELECT).unwrap()[..5], [0x79, 3, 5, 4, 3]);
    assert_eq!(transaction.transmit(CALCULATE_CORP).unwrap(), [0x76, 5, 6, 0x4C, 0x93, 0xCF, 0x18, 0x90, 0]);
    assert_eq!(card.credential("corp"), Some(Credential::hotp("corp", SEED, 1)));
    assert_eq!(card.press("corp").as_deref(), Some("287082"));
    assert_eq!(card.exchanges(), 2);
}

#[test]
fn two_keys_of_one_model_get_different_readers_and_a_pulled_one_frees_its_own() {
    let (bus, first, second) = (VirtualBus::new(), key(), key());
    bus.attach(&first);
    assert_eq!(bus.attach(&second), "Yubico YubiKey OTP+FIDO+CCID 01 00");
    assert!(bus.detach(&first));
    assert!(!bus.detach(&first));
    assert_eq!(bus.attach(&first), "Yubico YubiKey OTP+FIDO+CCID 00 00");
}

#[test]
fn flash_survives_an_unplug_and_the_connection_does_not() {
    let (bus, card) = (VirtualBus::new(), key());
    bus.attach(&card);
    let old = bus.candidates().pop().unwrap();
    let mut connection = open(&bus);
    {
        let mut transaction = connection.begin().unwrap();
        transaction.transmit(SELECT).unwrap();
        bus.detach(&card);
        assert!(gone(transaction.transmit(LIST)));
    }
    bus.attach(&card);
    assert!(gone(connection.begin().map(drop)));
    assert!(gone(bus.open(&old).map(drop)), "the insertion counter tells the old candidate from the new");
    let mut connection = open(&bus);
    let mut transaction = connection.begin().unwrap();
    assert_eq!(transaction.transmit(LIST).unwrap(), [0x6D, 0], "nothing is selected after power off");
    assert_eq!(card.credential("corp"), Some(Credential::hotp("corp", SEED, 0)));
}

#[test]
fn a_watcher_is_woken_by_insertion_and_removal() {
    let (bus, card) = (VirtualBus::new(), key());
    let mut watch = bus.watch().unwrap();
    assert_eq!(watch.candidates().unwrap(), []);
    assert!(!watch.wait_for_change(Duration::ZERO).unwrap());
    let (events, seen) = mpsc::channel();
    let watcher = thread::spawn(move || {
        for _ in 0..2 {
            assert!(watch.wait_for_change(LONG).unwrap());
            events.send(watch.candidates().unwrap().len()).unwrap();
        }
    });
    bus.attach(&card);
    assert_eq!(seen.recv_timeout(LONG), Ok(1));
    bus.detach(&card);
    assert_eq!(seen.recv_timeout(LONG), Ok(0));
    watcher.join().unwrap();
}

#[test]
fn a_second_transaction_waits_for_the_first() {
    let (bus, card) = (VirtualBus::new(), key());
    bus.attach(&card);
    let (mut first, mut second) = (open(&bus), open(&bus));
    let mut transaction = first.begin().unwrap();
    let (order, seen) = mpsc::channel();
    let other = {
        let order = order.clone();
        thread::spawn(move || {
            let mut transaction = second.begin().unwrap();
            order.send("second").unwrap();
            transaction.transmit(SELECT).unwrap();
        })
    };
    transaction.transmit(SELECT).unwrap();
    order.send("first").unwrap();
    drop(transaction);
    other.join().unwrap();
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["first", "second"]);
}

#[test]
fn a_transaction_that_waits_learns_that_the_card_was_pulled() {
    let (bus, card) = (VirtualBus::new(), key());
    bus.attach(&card);
    let (mut first, mut second) = (open(&bus), open(&bus));
    let _transaction = first.begin().unwrap();
    let other = thread::spawn(move || gone(second.begin().map(drop)));
    bus.detach(&card);
    assert!(other.join().unwrap());
}

#[test]
fn a_reset_by_another_program_is_told_once_at_begin_and_costs_the_selection() {
    let (bus, card) = (VirtualBus::new(), key());
    bus.attach(&card);
    let mut connection = open(&bus);
    connection.begin().unwrap().transmit(SELECT).unwrap();
    bus.reset(&card);
    assert_eq!(connection.begin().map(drop), Err(TransportError::Reset));
    assert_eq!(connection.begin().unwrap().transmit(LIST).unwrap(), [0x6D, 0]);
}

#[test]
fn a_seized_card_is_busy() {
    let (bus, card) = (VirtualBus::new(), key());
    bus.attach(&card);
    let candidate = bus.candidates().pop().unwrap();
    bus.seize(&card, true);
    assert!(matches!(bus.open(&candidate), Err(TransportError::Busy)));
    bus.seize(&card, false);
    assert!(bus.open(&candidate).is_ok());
}

#[test]
fn a_restarted_service_needs_new_watches_and_connections() {
    let (bus, card) = (VirtualBus::new(), key());
    bus.attach(&card);
    let (mut watch, mut connection) = (bus.watch().unwrap(), open(&bus));
    let down = |result: Result<(), _>| matches!(result, Err(TransportError::ServiceUnavailable { .. }));
    bus.stop_service();
    assert!(down(watch.wait_for_change(LONG).map(drop)));
    assert!(down(bus.watch().map(drop)));
    bus.start_service();
    assert!(down(watch.candidates().map(drop)));
    assert!(down(connection.begin().map(drop)));
    open(&bus).begin().unwrap().transmit(SELECT).unwrap();
}

/// Arms one fault at a CALCULATE and tells what came back and whether the counter moved.
fn struck(kind: FaultKind) -> (Result<Vec<u8>, TransportError>, u64, VirtualBus, VirtualCard) {
    let (bus, card) = (VirtualBus::new(), key());
    bus.attach(&card);
    let mut connection = open(&bus);
    let mut transaction = connection.begin().unwrap();
    card.plan(Fault { at: 1, kind });
    transaction.transmit(SELECT).unwrap();
    let result = transaction.transmit(CALCULATE_CORP);
    assert_eq!(card.faults_left(), 0);
    drop(transaction);
    let counter = card.credential("corp").unwrap().counter;
    (result, counter, bus, card)
}

#[test]
fn each_fault_strikes_as_it_says() {
    let right = [0x76, 5, 6, 0x4C, 0x93, 0xCF, 0x18, 0x90, 0];
    let failed = |result| matches!(result, Err(TransportError::Failed { .. }));

    let (result, counter, bus, _) = struck(FaultKind::UnplugBefore);
    assert!(gone(result) && counter == 0 && bus.candidates().is_empty());
    let (result, counter, bus, _) = struck(FaultKind::UnplugAfter);
    assert!(gone(result) && counter == 1 && bus.candidates().is_empty());

    let (result, counter, bus, _) = struck(FaultKind::Reset);
    assert_eq!((result, counter), (Err(TransportError::Reset), 0));
    assert_eq!(bus.candidates().len(), 1);

    let (result, counter, ..) = struck(FaultKind::Status(0x6F00));
    assert_eq!((result, counter), (Ok(vec![0x6F, 0]), 0));
    let (result, counter, ..) = struck(FaultKind::StatusAfter(0x6F00));
    assert_eq!((result, counter), (Ok(vec![0x6F, 0]), 1));
    let (result, counter, ..) = struck(FaultKind::Truncate(4));
    assert_eq!((result, counter), (Ok(right[..4].to_vec()), 1));
    let (result, counter, ..) = struck(FaultKind::Truncate(1));
    assert!(failed(result) && counter == 1);
    let (result, counter, ..) = struck(FaultKind::Garble { seed: 3 });
    let garbled = result.unwrap();
    assert!(garbled.len() == right.len() && garbled != right && counter == 1);

    let (result, counter, _, card) = struck(FaultKind::Delay(LONG));
    assert_eq!((result, counter, card.waited()), (Ok(right.to_vec()), 1, LONG));
    let (result, counter, ..) = struck(FaultKind::Silence);
    assert!(failed(result) && counter == 0);
}

fn key_with_touch() -> VirtualCard {
    let card = key();
    card.install(Credential { touch: true, ..Credential::hotp("corp", SEED, 0) });
    card
}

#[test]
fn a_touch_in_virtual_time_is_only_counted() {
    let (bus, card) = (VirtualBus::new(), key_with_touch());
    bus.attach(&card);
    let mut connection = open(&bus);
    let mut transaction = connection.begin().unwrap();
    transaction.transmit(SELECT).unwrap();
    let status = |answer: Vec<u8>| answer[answer.len() - 2..].to_vec();
    assert_eq!(status(transaction.transmit(CALCULATE_CORP).unwrap()), [0x90, 0]);
    card.set_human(Human::TouchesAfter(Duration::from_secs(5)));
    assert_eq!(status(transaction.transmit(CALCULATE_CORP).unwrap()), [0x90, 0]);
    card.set_human(Human::NeverTouches);
    assert_eq!(transaction.transmit(CALCULATE_CORP).unwrap(), [0x69, 0x82]);
    assert_eq!((card.touch_requests(), card.waited()), (3, Duration::from_secs(20)));
    assert_eq!(card.credential("corp").unwrap().counter, 2);
}

#[test]
fn a_touch_in_real_time_ends_the_wait_and_so_does_pulling_the_key() {
    let (bus, card) = (VirtualBus::with_waits(Waits::Real), key_with_touch());
    card.set_human(Human::NeverTouches);
    card.set_touch_timeout(LONG * 100);
    bus.attach(&card);
    let calculate = |bus: &VirtualBus| {
        let mut connection = open(bus);
        thread::spawn(move || {
            let mut transaction = connection.begin().unwrap();
            transaction.transmit(SELECT).unwrap();
            transaction.transmit(CALCULATE_CORP)
        })
    };
    let touched = calculate(&bus);
    assert!(card.wait_for_touch_requests(1, LONG));
    card.touch();
    assert_eq!(touched.join().unwrap().unwrap()[..3], [0x76, 5, 6]);

    let pulled = calculate(&bus);
    assert!(card.wait_for_touch_requests(2, LONG));
    bus.detach(&card);
    assert!(gone(pulled.join().unwrap()));
    assert_eq!(card.credential("corp").unwrap().counter, 1, "the pulled key never executed the command");
}

#[test]
fn silence_in_real_time_lasts_until_the_key_is_pulled() {
    let (bus, card) = (VirtualBus::with_waits(Waits::Real), key());
    bus.attach(&card);
    card.plan(Fault { at: 0, kind: FaultKind::Silence });
    let mut connection = open(&bus);
    let silent = thread::spawn(move || connection.begin().unwrap().transmit(SELECT));
    assert!(card.wait_for_exchanges(1, LONG));
    bus.detach(&card);
    assert!(gone(silent.join().unwrap()));
}
