//! The same drivers behind a real pcscd: libpcsclite, its events, its error codes. Cards enter by vpcd.
//!
//! libpcsclite reads the socket's path from the environment of the process, which a test must not change under
//! the others running beside it. So each test starts this binary again for itself alone, with
//! `PCSCLITE_CSOCK_NAME` set to where its own pcscd will listen ([`with_pcscd`]). A child that hangs is killed.
//!
//! Without pcscd and vpcd installed the tests print so and pass; with `RIG_REQUIRED=1` they fail.

mod suite;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use firmware_fixtures::card::{Human, VirtualCard};
use firmware_fixtures::credential::Credential;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::firmware::Firmware;
use firmware_fixtures::pcscd::{PcscdError, PrivatePcscd, Setup};
use firmware_fixtures::vpcd::VpcdCard;
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{MovingFactor, SecretBytes, SlotConfig, Unattended};
use fobd_drivers::transport::pcsc::PcscBus;
use fobd_drivers::transport::{Bus, Candidate, CardConnection, Connection, TransportError, Watch};

use crate::bench::{Bench, calculate, error, hotp, slot, totp};
use crate::conformance::{conformance, yubikeys};

/// Longest a child may take.
const CHILD: Duration = Duration::from_secs(120);

/// Longest that pcscd may take to notice a card or a reader; it looks every 0.4 s.
const NOTICE: Duration = Duration::from_secs(10);

/// Runs `test` with a private pcscd in a process of its own. `name` is the test's own name.
fn with_pcscd(name: &str, readers: &[&str], test: impl FnOnce(PrivatePcscd)) {
    const MARK: &str = "FOBD_PCSCD_TEST";
    if std::env::var(MARK).as_deref() == Ok(name) {
        let socket = std::env::var("PCSCLITE_CSOCK_NAME").unwrap();
        let dir = Path::new(&socket).ancestors().nth(2).unwrap().to_owned();
        let readers = readers.iter().map(|name| (*name).to_owned()).collect();
        match PrivatePcscd::start_with(Setup { dir: Some(dir), readers, ..Setup::default() }) {
            Ok(pcscd) => return test(pcscd),
            Err(missing @ PcscdError::Missing { .. }) => {
                let required = std::env::var("RIG_REQUIRED").is_ok_and(|value| value == "1");
                assert!(!required, "{missing}");
                println!("skipped: {missing}");
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
    static CHILDREN: AtomicU32 = AtomicU32::new(0);
    let number = CHILDREN.fetch_add(1, Ordering::Relaxed);
    let dir = format!("/tmp/fobd-{}-{number}", std::process::id());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(MARK, name)
        .env("PCSCLITE_CSOCK_NAME", format!("{dir}/run/pcscd.comm"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipes: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
    let (done, all_read) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        for pipe in &mut pipes {
            let _ = pipe.read_to_string(&mut text);
        }
        let _ = done.send(());
        text
    });
    // The pipes close when the child ends.
    let in_time = all_read.recv_timeout(CHILD).is_ok();
    if !in_time {
        let _ = child.kill();
    }
    let status = child.wait().unwrap();
    let output = reader.join().unwrap();
    println!("{output}");
    assert!(in_time, "{name} hung");
    assert!(status.success() && output.contains("1 passed"), "{name} failed in its child: {status}");
}

/// Waits on the watch until `found` finds something among the candidates.
fn wait<T>(watch: &mut dyn Watch, what: &str, mut found: impl FnMut(&[Candidate]) -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        let candidates = watch.candidates().unwrap();
        if let Some(found) = found(&candidates) {
            return found;
        }
        let left = NOTICE.checked_sub(start.elapsed()).unwrap_or_else(|| panic!("never seen: {what}"));
        watch.wait_for_change(left).unwrap();
    }
}

fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Transport(TransportError::Gone { .. }))
}

fn insert(watch: &mut dyn Watch, card: &VirtualCard, port: u16) -> (VpcdCard, Candidate) {
    let before = watch.candidates().unwrap();
    let inserted = VpcdCard::insert(card, port).unwrap();
    let new = |now: &[Candidate]| now.iter().find(|candidate| !before.contains(candidate)).cloned();
    let candidate = wait(watch, "an inserted card", new);
    (inserted, candidate)
}

fn bench_of(card: &VirtualCard, candidate: &Candidate) -> Bench {
    let (card, candidate) = (card.clone(), candidate.clone());
    Bench { bus: Box::new(PcscBus), card, firmware: Firmware::YUBIKEY_5_4_3, candidate }
}

fn bench(watch: &mut dyn Watch, firmware: Firmware, port: u16) -> (Bench, VpcdCard) {
    let card = VirtualCard::new(firmware, 4242);
    let (inserted, candidate) = insert(watch, &card, port);
    (Bench { bus: Box::new(PcscBus), card, firmware, candidate }, inserted)
}

const YUBIKEY: &[&str] = &["Yubico YubiKey OTP+FIDO+CCID"];

#[test]
fn every_firmware_conforms_behind_pcscd() {
    // pcscd finds a reader by its name, and numbers only what libccid brings: so they must differ.
    let firmwares = yubikeys();
    let names =
        firmwares.iter().enumerate().map(|(number, firmware)| format!("{} {number}", firmware.reader));
    let names: Vec<String> = names.collect();
    let readers: Vec<&str> = names.iter().map(String::as_str).collect();
    with_pcscd("pcscd::every_firmware_conforms_behind_pcscd", &readers, |pcscd| {
        let mut watch = PcscBus.watch().unwrap();
        for (reader, firmware) in (0..).zip(firmwares) {
            let (bench, inserted) = bench(&mut *watch, firmware, pcscd.port(reader));
            let Candidate::Card { reader, atr, .. } = &bench.candidate else { panic!("not a card") };
            assert!(reader.starts_with(firmware.reader) && atr == firmware.atr, "{reader}");
            conformance(&bench);
            assert!(inserted.is_inserted());
        }
    });
}

#[test]
fn programming_a_hundred_credentials_is_quick() {
    with_pcscd("pcscd::programming_a_hundred_credentials_is_quick", YUBIKEY, |pcscd| {
        let mut watch = PcscBus.watch().unwrap();
        let firmware = Firmware {
            capacity: firmware_fixtures::firmware::Capacity::Credentials(500),
            ..Firmware::YUBIKEY_5_4_3
        };
        let (bench, _inserted) = bench(&mut *watch, firmware, pcscd.port(0));
        let start = Instant::now();
        for number in 0..100 {
            let mut token = bench.open();
            token.program(&slot(&format!("{number}")), &hotp(0), &Unattended).unwrap();
            assert_eq!(
                calculate(&mut *token, &format!("{number}"), MovingFactor::OnToken).unwrap(),
                "755224"
            );
            token.erase(&slot(&format!("{number}")), &Unattended).unwrap();
        }
        let each = start.elapsed() / 100;
        println!("open, program, calculate and erase: {each:?} each");
        let mut token = bench.open();
        let start = Instant::now();
        for _ in 0..100 {
            token.program(&slot("again"), &hotp(0), &Unattended).unwrap();
        }
        println!("program: {:?} each", start.elapsed() / 100);
        token.set_lock_code(Some(&SecretBytes::new(b"code".to_vec()))).unwrap();
        let start = Instant::now();
        for _ in 0..100 {
            token.program(&slot("again"), &hotp(0), &Unattended).unwrap();
        }
        println!("program with an access code, reset included: {:?} each", start.elapsed() / 100);
        assert!(each < Duration::from_millis(500), "{each:?}: is somebody waiting for a delayed ACK?");
    });
}

#[test]
fn a_card_pulled_at_any_exchange_is_gone_and_its_slot_is_old_or_new() {
    with_pcscd("pcscd::a_card_pulled_at_any_exchange_is_gone_and_its_slot_is_old_or_new", YUBIKEY, |pcscd| {
        let mut watch = PcscBus.watch().unwrap();
        let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 4242);
        let old = Credential::totp("60/bob", b"the old secret 12345");
        // SELECT, LIST, PUT, DELETE.
        for at in 0..4 {
            for kind in [FaultKind::UnplugBefore, FaultKind::UnplugAfter] {
                card.install(old.clone());
                let (inserted, candidate) = insert(&mut *watch, &card, pcscd.port(0));
                let bench = bench_of(&card, &candidate);
                let mut token = bench.open();
                card.plan(Fault { at, kind });
                let failure = error(token.program(&slot("bob"), &totp(30), &Unattended));
                let what = format!("{kind:?} at {at}: {failure}");
                assert!(is_gone(&failure.source), "{what}");
                assert!(is_gone(&error(token.slots())), "{what}");
                assert!(is_gone(&error(bench.try_open().map(|_| ()))), "{what}");
                let executed = at + u64::from(kind == FaultKind::UnplugAfter);
                let unknown = at >= 2;
                assert_eq!(failure.slot == SlotState::Unknown, unknown, "{what}");
                let secrets: Vec<_> =
                    card.credentials().into_iter().map(|credential| credential.secret).collect();
                let new = b"12345678901234567890".to_vec();
                let expected = match executed {
                    0..=2 => vec![old.secret.clone()],
                    3 => vec![old.secret.clone(), new],
                    _ => vec![new],
                };
                assert_eq!(secrets, expected, "{what}");
                drop(inserted);
                wait(&mut *watch, "the card going", |now| (!now.contains(&candidate)).then_some(()));

                // Plugged in again, writing heals it.
                let (inserted, candidate) = insert(&mut *watch, &card, pcscd.port(0));
                let bench = bench_of(&card, &candidate);
                let mut token = bench.open();
                token.program(&slot("bob"), &totp(30), &Unattended).unwrap();
                assert_eq!(card.credentials().len(), 1, "{what}");
                token.erase(&slot("bob"), &Unattended).unwrap();
                inserted.remove();
                wait(&mut *watch, "the card going", |now| now.is_empty().then_some(()));
            }
        }
    });
}

#[test]
fn a_swapped_card_is_another_candidate() {
    with_pcscd("pcscd::a_swapped_card_is_another_candidate", YUBIKEY, |pcscd| {
        let mut watch = PcscBus.watch().unwrap();
        let (first, inserted) = bench(&mut *watch, Firmware::YUBIKEY_5_4_3, pcscd.port(0));
        let mut token = first.open();
        inserted.remove();
        let second = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 4343);
        let _inserted = VpcdCard::insert(&second, pcscd.port(0)).unwrap();
        let candidate = wait(&mut *watch, "the second card", |now| {
            now.iter().find(|candidate| **candidate != first.candidate).cloned()
        });
        // Neither the open token nor the old candidate reaches the other card.
        assert!(is_gone(&error(token.slots())));
        assert!(is_gone(&error(first.try_open().map(|_| ()))));
        assert_eq!(second.exchanges(), 0);
        let bench = bench_of(&second, &candidate);
        assert_eq!(bench.open().info().serial.as_deref(), Some("4343"));
    });
}

/// Another program with the same card open, spoken to by hand.
fn other_program(candidate: &Candidate) -> Box<dyn CardConnection> {
    let Connection::Card(connection) = PcscBus.open(candidate).unwrap() else { panic!("not a card") };
    connection
}

#[test]
fn another_programs_selection_and_reset_are_survived() {
    with_pcscd("pcscd::another_programs_selection_and_reset_are_survived", YUBIKEY, |pcscd| {
        let mut watch = PcscBus.watch().unwrap();
        let (bench, _inserted) = bench(&mut *watch, Firmware::YUBIKEY_5_4_3, pcscd.port(0));
        let mut token = bench.open();
        token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
        token.set_lock_code(Some(&SecretBytes::new(b"code".to_vec()))).unwrap();
        let mut other = other_program(&bench.candidate);
        for passcode in ["755224", "287082", "359152"] {
            assert_eq!(calculate(&mut *token, "a", MovingFactor::OnToken).unwrap(), passcode);
            // Ours ended with a reset, because it was unlocked: the other one is told once, then goes on.
            assert_eq!(error(other.begin().map(|_| ())), TransportError::Reset);
            let mut transaction = other.begin().unwrap();
            let nothing_selected = [0x6D, 0x00];
            assert_eq!(transaction.transmit(&[0x00, 0xA1, 0x00, 0x00, 0x00]).unwrap(), nothing_selected);
            let management = [0x00, 0xA4, 0x04, 0x00, 0x08, 0xA0, 0x00, 0x00, 0x05, 0x27, 0x47, 0x11, 0x17];
            assert!(transaction.transmit(&management).unwrap().ends_with(&[0x90, 0x00]));
        }
        token.set_lock_code(None).unwrap();
        // Now the other one resets, and ours heals without a word.
        assert_eq!(error(other.begin().map(|_| ())), TransportError::Reset);
        other.begin().unwrap().reset_at_end();
        assert_eq!(calculate(&mut *token, "a", MovingFactor::OnToken).unwrap(), "969429");
    });
}

#[test]
fn a_transaction_of_another_program_is_waited_for() {
    with_pcscd("pcscd::a_transaction_of_another_program_is_waited_for", YUBIKEY, |pcscd| {
        let mut watch = PcscBus.watch().unwrap();
        let (bench, _inserted) = bench(&mut *watch, Firmware::YUBIKEY_5_4_3, pcscd.port(0));
        let mut token = bench.open();
        let mut other = other_program(&bench.candidate);
        let transaction = other.begin().unwrap();
        let exchanges = bench.card.exchanges();
        let card = bench.card.clone();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| token.slots().map(|slots| slots.len()));
            assert!(!card.wait_for_exchanges(exchanges + 1, Duration::from_millis(300)), "it did not wait");
            drop(transaction);
            assert_eq!(waiting.join().unwrap().unwrap(), 0);
        });
    });
}

#[test]
fn a_card_held_exclusively_is_busy() {
    with_pcscd("pcscd::a_card_held_exclusively_is_busy", YUBIKEY, |pcscd| {
        let mut watch = PcscBus.watch().unwrap();
        let (bench, _inserted) = bench(&mut *watch, Firmware::YUBIKEY_5_4_3, pcscd.port(0));
        let Candidate::Card { reader, .. } = &bench.candidate else { panic!("not a card") };
        let reader = std::ffi::CString::new(reader.as_str()).unwrap();
        let context = pcsc::Context::establish(pcsc::Scope::User).unwrap();
        let other = context.connect(&reader, pcsc::ShareMode::Exclusive, pcsc::Protocols::ANY).unwrap();
        let failure = error(bench.try_open().map(|_| ()));
        assert!(matches!(failure, Error::Transport(TransportError::Busy)), "{failure}");
        other.disconnect(pcsc::Disposition::LeaveCard).unwrap_or_else(|(_, error)| panic!("{error}"));
        assert_eq!(bench.open().slots().unwrap(), []);
    });
}

#[test]
fn a_touch_outlasts_the_wait_and_a_pull_ends_it() {
    with_pcscd("pcscd::a_touch_outlasts_the_wait_and_a_pull_ends_it", YUBIKEY, |pcscd| {
        let mut watch = PcscBus.watch().unwrap();
        let (bench, inserted) = bench(&mut *watch, Firmware::YUBIKEY_5_4_3, pcscd.port(0));
        let mut token = bench.open();
        token.program(&slot("h"), &SlotConfig { touch: true, ..hotp(0) }, &Unattended).unwrap();
        bench.card.set_human(Human::NeverTouches);
        let card = bench.card.clone();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| calculate(&mut *token, "h", MovingFactor::OnToken));
            assert!(card.wait_for_touch_requests(1, NOTICE));
            card.touch();
            assert_eq!(waiting.join().unwrap().unwrap(), "755224");
        });
        thread::scope(|scope| {
            let waiting = scope.spawn(|| calculate(&mut *token, "h", MovingFactor::OnToken));
            assert!(card.wait_for_touch_requests(2, NOTICE));
            inserted.remove();
            assert!(is_gone(&error(waiting.join().unwrap())));
        });
        assert_eq!(card.credential("h").unwrap().counter, 1);
    });
}

#[test]
fn a_restarted_pcscd_needs_a_new_watch_and_a_new_connection_only() {
    with_pcscd(
        "pcscd::a_restarted_pcscd_needs_a_new_watch_and_a_new_connection_only",
        YUBIKEY,
        |mut pcscd| {
            let mut watch = PcscBus.watch().unwrap();
            let (mut bench, inserted) = bench(&mut *watch, Firmware::YUBIKEY_5_4_3, pcscd.port(0));
            let mut token = bench.open();
            token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
            pcscd.kill();
            let dead = |error: &TransportError| matches!(error, TransportError::ServiceUnavailable { .. });
            for _ in 0..2 {
                let failure = error(token.slots());
                assert!(matches!(&failure, Error::Transport(error) if dead(error)), "{failure}");
            }
            let failure = error(watch.wait_for_change(NOTICE));
            assert!(dead(&failure), "{failure}");
            let failure = error(watch.candidates());
            assert!(dead(&failure), "{failure}");
            assert!(dead(&error(PcscBus.watch().map(|_| ()))));
            assert!(dead(&error(PcscBus.open(&bench.candidate).map(|_| ()))));
            drop(inserted);

            pcscd.restart().unwrap();
            let failure = error(token.slots());
            assert!(matches!(&failure, Error::Transport(error) if dead(error)), "{failure}");
            let mut watch = PcscBus.watch().unwrap();
            let (_inserted, candidate) = insert(&mut *watch, &bench.card, pcscd.port(0));
            bench.candidate = candidate;
            assert_eq!(calculate(&mut *bench.open(), "a", MovingFactor::OnToken).unwrap(), "755224");
        },
    );
}

#[test]
fn as_many_readers_as_pcscd_has_room_for_are_watched() {
    let names: Vec<String> = (0..8).map(|number| format!("Reader {number}")).collect();
    let readers: Vec<&str> = names.iter().map(String::as_str).collect();
    with_pcscd("pcscd::as_many_readers_as_pcscd_has_room_for_are_watched", &readers, |pcscd| {
        let mut watch = PcscBus.watch().unwrap();
        assert_eq!(watch.candidates().unwrap(), []);
        assert!(!watch.wait_for_change(Duration::from_millis(10)).unwrap());
        let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 4242);
        let (_inserted, candidate) = insert(&mut *watch, &card, pcscd.port(7));
        assert!(candidate.to_string().starts_with("Reader 7"), "{candidate}");
    });
}

#[test]
fn a_watch_waits_no_longer_than_asked_and_sees_every_change() {
    with_pcscd("pcscd::a_watch_waits_no_longer_than_asked_and_sees_every_change", YUBIKEY, |pcscd| {
        let mut watch = PcscBus.watch().unwrap();
        assert_eq!(watch.candidates().unwrap(), []);
        let start = Instant::now();
        assert!(!watch.wait_for_change(Duration::from_millis(200)).unwrap());
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        let mut insertions = Vec::new();
        for _ in 0..3 {
            let (bench, inserted) = bench(&mut *watch, Firmware::YUBIKEY_5_4_3, pcscd.port(0));
            let Candidate::Card { insertion, .. } = bench.candidate else { panic!("not a card") };
            insertions.push(insertion);
            // Opening, working and closing is no change that a watch should tell.
            assert_eq!(watch.candidates().unwrap().len(), 1);
            bench.open().slots().unwrap();
            assert!(!watch.wait_for_change(Duration::from_millis(600)).unwrap());
            inserted.remove();
            wait(&mut *watch, "the card going", |now| now.is_empty().then_some(()));
        }
        insertions.dedup();
        assert_eq!(insertions.len(), 3, "{insertions:?}");
    });
}
