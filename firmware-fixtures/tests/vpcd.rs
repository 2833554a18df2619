//! The door through vpcd: its wire protocol against a listener of the test's own, then a real pcscd.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use firmware_fixtures::card::{Human, VirtualCard};
use firmware_fixtures::credential::Credential;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::firmware::Firmware;
use firmware_fixtures::pcscd::{PcscdError, PrivatePcscd};
use firmware_fixtures::vpcd::VpcdCard;

const SELECT: &[u8] = &[0, 0xA4, 4, 0, 7, 0xA0, 0, 0, 5, 0x27, 0x21, 1];
const CALCULATE_CORP: &[u8] = &[0, 0xA2, 0, 1, 8, 0x71, 4, b'c', b'o', b'r', b'p', 0x74, 0];
const LONG: Duration = Duration::from_secs(20);

/// The reader's end of the wire.
struct Reader(TcpStream);

impl Reader {
    /// Inserts a card into a reader that the test plays.
    fn with(card: &VirtualCard) -> (Self, VpcdCard) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inserted = VpcdCard::insert(card, listener.local_addr().unwrap().port()).unwrap();
        let stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(LONG)).unwrap();
        (Self(stream), inserted)
    }

    fn send(&mut self, message: &[u8]) {
        // Length and bytes apart, as vpcd does.
        self.0.write_all(&(message.len() as u16).to_be_bytes()).unwrap();
        self.0.write_all(message).unwrap();
    }

    /// `None` once the card is out.
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 2];
        self.0.read_exact(&mut length).ok()?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.0.read_exact(&mut message).ok()?;
        Some(message)
    }

    fn exchange(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        self.send(message);
        self.receive()
    }
}

fn key() -> VirtualCard {
    let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 12_345_678);
    card.install(Credential::hotp("corp", b"12345678901234567890", 0));
    card
}

#[test]
fn the_card_tells_its_atr_and_forgets_its_selection_with_the_power() {
    let card = key();
    let (mut reader, inserted) = Reader::with(&card);
    assert_eq!(reader.exchange(&[4]).as_deref(), Some(Firmware::YUBIKEY_5_4_3.atr));
    for control in [[1], [2]] {
        reader.send(&control);
        assert_eq!(reader.exchange(CALCULATE_CORP).unwrap(), [0x6D, 0]);
        assert_eq!(reader.exchange(SELECT).unwrap()[..5], [0x79, 3, 5, 4, 3]);
    }
    assert_eq!(reader.exchange(CALCULATE_CORP).unwrap(), [0x76, 5, 6, 0x4C, 0x93, 0xCF, 0x18, 0x90, 0]);
    inserted.remove();
    assert_eq!(reader.receive(), None);
    assert_eq!(card.credential("corp").unwrap().counter, 1);
}

#[test]
fn a_fault_pulls_the_card_out_during_a_command() {
    let card = key();
    let (mut reader, _inserted) = Reader::with(&card);
    reader.send(&[1]);
    card.plan(Fault { at: 1, kind: FaultKind::UnplugAfter });
    reader.exchange(SELECT).unwrap();
    assert_eq!(reader.exchange(CALCULATE_CORP), None);
    assert_eq!(card.credential("corp").unwrap().counter, 1);
}

#[test]
fn pulling_the_card_ends_a_wait_for_a_touch() {
    let card = key();
    card.install(Credential { touch: true, ..card.credential("corp").unwrap() });
    card.set_human(Human::NeverTouches);
    card.set_touch_timeout(LONG * 100);
    let (mut reader, inserted) = Reader::with(&card);
    reader.send(&[1]);
    reader.exchange(SELECT).unwrap();
    reader.send(CALCULATE_CORP);
    assert!(card.wait_for_touch_requests(1, LONG));
    inserted.remove();
    assert_eq!(reader.receive(), None);
    assert_eq!(card.credential("corp").unwrap().counter, 0);
}

/// A private pcscd, or `None` where it is not installed and nobody insists on it.
fn pcscd() -> Option<PrivatePcscd> {
    match PrivatePcscd::start(&[Firmware::YUBIKEY_5_4_3.reader]) {
        Err(error @ PcscdError::Missing { .. }) if std::env::var_os("RIG_REQUIRED").is_none() => {
            println!("skipped: {error}");
            None
        }
        started => Some(started.unwrap()),
    }
}

#[test]
fn a_real_pcscd_powers_the_card_also_after_it_was_killed_and_started_again() {
    let Some(mut pcscd) = pcscd() else { return };
    let card = key();
    let inserted = VpcdCard::insert(&card, pcscd.port(0)).unwrap();
    assert!(card.wait_until_powered(LONG));

    pcscd.kill();
    assert!(UnixStream::connect(pcscd.socket()).is_err());
    drop(inserted);
    pcscd.restart().unwrap();
    let _inserted = VpcdCard::insert(&card, pcscd.port(0)).unwrap();
    assert!(card.wait_until_powered(LONG));

    let socket = pcscd.socket();
    drop(pcscd);
    assert!(!socket.ancestors().nth(2).unwrap().exists(), "its directory is gone");
}

#[test]
fn a_pcscd_that_cannot_be_started_says_why() {
    assert!(matches!(PrivatePcscd::start(&[]), Err(PcscdError::Names | PcscdError::Missing { .. })));
    let quoted = PrivatePcscd::start(&["a\"b"]);
    assert!(matches!(quoted, Err(PcscdError::Names | PcscdError::Missing { .. })));
}
