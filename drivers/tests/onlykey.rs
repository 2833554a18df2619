//! OnlyKey: what crosses the wire, what it cannot do, and what it is never made to do.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firmware_fixtures::attach::hid::VirtualHidBus;
use firmware_fixtures::card::Waits;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::hid::VirtualHid;
use firmware_fixtures::onlykey::{OnlyKey, OnlyKeyModel, Pin, Slot};
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::onlykey::OnlyKeyDriver;
use fobd_drivers::token::{
    Addressing, Algorithm, Driver, MovingFactor, SecretBytes, SlotConfig, SlotId, Token, Unattended, UnixTime,
};
use fobd_drivers::transport::{Bus, Candidate, Connection, HidCandidate, HidConnection, TransportError};
use proptest::prelude::*;

use crate::bench::{Watcher, error, hotp, totp};

const NOW: u64 = 1_700_000_000;

/// Everything that went over the wire: `true` is to the token.
type Traffic = Arc<Mutex<Vec<(bool, Vec<u8>)>>>;

/// A wire that is listened to.
struct Tapped(Box<dyn HidConnection>, Traffic);

impl HidConnection for Tapped {
    fn set_feature(&mut self, _: &[u8]) -> Result<(), TransportError> {
        panic!("OnlyKey has no feature report here")
    }

    fn get_feature(&mut self, _: usize) -> Result<Vec<u8>, TransportError> {
        panic!("OnlyKey has no feature report here")
    }

    fn write(&mut self, report: &[u8]) -> Result<(), TransportError> {
        self.1.lock().unwrap().push((true, report.to_vec()));
        self.0.write(report)
    }

    fn read(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        let report = self.0.read(timeout)?;
        self.1.lock().unwrap().extend(report.clone().map(|report| (false, report)));
        Ok(report)
    }

    fn pause(&mut self, time: Duration) {
        self.0.pause(time);
    }
}

struct Bench {
    device: VirtualHid,
    bus: VirtualHidBus,
    traffic: Traffic,
}

impl Bench {
    fn new(model: OnlyKeyModel) -> Self {
        let device = OnlyKey::plug(model);
        let bus = VirtualHidBus::new();
        bus.attach(&device);
        Self { device, bus, traffic: Traffic::default() }
    }

    fn open(&self) -> Box<dyn Token> {
        let candidate = self.bus.candidates().remove(0);
        assert!(OnlyKeyDriver.matches(&candidate));
        let Connection::Hid(inner) = self.bus.open(&candidate).unwrap() else { panic!("not HID") };
        let tapped = Connection::Hid(Box::new(Tapped(inner, self.traffic.clone())));
        OnlyKeyDriver.open(&candidate, tapped).unwrap().expect("not taken for an OnlyKey")
    }

    fn chip<T>(&self, reach: impl FnOnce(&mut OnlyKey) -> T) -> T {
        self.device.with_chip(reach).unwrap()
    }

    fn slot(&self, number: usize) -> Slot {
        self.chip(|chip| chip.slots()[number - 1].clone())
    }

    /// What was sent since the last look, without the zeros at the end.
    fn sent(&self) -> Vec<String> {
        let traffic = std::mem::take(&mut *self.traffic.lock().unwrap());
        let sent = traffic.into_iter().filter(|(out, _)| *out).map(|(_, report)| {
            assert_eq!(report.len(), 64);
            let end = report.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            report[..end].iter().map(|byte| format!("{byte:02x}")).collect()
        });
        sent.collect()
    }
}

fn config(label: Option<&str>) -> SlotConfig {
    SlotConfig { label: label.map(str::to_owned), now: UnixTime(NOW), ..totp(30) }
}

fn labelled(bench: &Bench, number: u8, label: &[u8]) {
    let mut label = label.to_vec();
    label.resize(16, 0);
    bench.chip(|chip| chip.slot_mut(number).unwrap().label = label);
}

const KEY: &str = "3132333435363738393031323334353637383930";

#[test]
fn every_call_sends_what_it_needs_and_no_more() {
    let bench = Bench::new(OnlyKeyModel::COLOR);
    let mut token = bench.open();
    assert_eq!(bench.sent(), ["ffffffffe5"]);
    token.program(&SlotId::Index(7), &config(Some("rfc")), &Unattended).unwrap();
    assert_eq!(
        bench.sent(),
        ["ffffffffe46553f1".to_owned(), format!("ffffffffe60709{KEY}"), "ffffffffe60701726663".to_owned()]
    );
    assert_eq!(bench.chip(|chip| chip.types(7, 59)).unwrap(), "287082");
    let in_use: Vec<_> =
        token.slots().unwrap().into_iter().filter(|slot| slot.in_use).map(|slot| slot.slot).collect();
    assert_eq!((bench.sent(), in_use), (vec!["ffffffffe5".to_owned()], vec![SlotId::Index(7)]));
    token.erase(&SlotId::Index(7), &Unattended).unwrap();
    assert_eq!(bench.sent(), ["ffffffffe60709", "ffffffffe60708", "ffffffffe60701"]);
    token.set_clock(UnixTime(NOW)).unwrap();
    assert_eq!(bench.sent(), ["ffffffffe46553f1"]);
}

#[test]
fn only_an_opening_without_knowledge_waits_for_a_thirteenth_label() {
    for (model, waits) in [(OnlyKeyModel::COLOR, 320), (OnlyKeyModel::DUO, 460)] {
        let bench = Bench::new(model);
        let mut token = bench.open();
        assert_eq!(bench.device.waited(), Duration::from_millis(waits), "{}", model.model);
        let before = bench.device.waited();
        token.slots().unwrap();
        let labels = u32::try_from(model.slots).unwrap() - 1;
        assert_eq!(bench.device.waited() - before, Duration::from_millis(20) * labels);
    }
}

#[test]
fn models_are_told_by_their_slots_and_firmware_by_their_answer_to_the_time() {
    for (model, name, slots, serial, firmware) in [
        (OnlyKeyModel::COLOR, "OnlyKey", 12, None, "3.0.4-prod"),
        (OnlyKeyModel::ORIGINAL, "OnlyKey", 12, Some("2851340"), "0.2-beta.8"),
        (OnlyKeyModel::DUO, "OnlyKey Duo", 24, None, "3.0.4-prod"),
        (OnlyKeyModel::DUO_WITHOUT_PIN, "OnlyKey Duo", 24, None, "3.0.4-prod"),
    ] {
        let bench = Bench::new(model);
        let mut token = bench.open();
        let info = token.info();
        assert_eq!(
            (info.model.as_str(), info.serial.as_deref(), info.firmware.as_str()),
            (name, serial, "unknown")
        );
        let Addressing::Numbered { hotp, totp } = &info.capabilities.addressing else { panic!("named") };
        assert!(hotp.is_empty() && *totp == (1..=slots), "{totp:?}");
        token.set_clock(UnixTime(NOW)).unwrap();
        assert_eq!(token.info().firmware, firmware);
    }
}

#[test]
fn opening_and_listing_leave_the_clock_to_those_who_know_the_time() {
    let bench = Bench::new(OnlyKeyModel::COLOR);
    let mut token = bench.open();
    token.slots().unwrap();
    token.erase(&SlotId::Index(1), &Unattended).unwrap();
    assert!(!bench.chip(|chip| chip.has_time()));
    token.program(&SlotId::Index(1), &config(None), &Unattended).unwrap();
    assert!(bench.chip(|chip| chip.has_time()));
    let late = error(token.set_clock(UnixTime(1 << 32)));
    assert_eq!(late.to_string(), "now: its clock ends in the year 2106");
}

#[test]
fn a_slot_without_a_label_gets_one_and_a_label_is_kept() {
    let bench = Bench::new(OnlyKeyModel::COLOR);
    labelled(&bench, 2, b"GitHub");
    let mut token = bench.open();
    let mut program = |slot, label| token.program(&SlotId::Index(slot), &config(label), &Unattended).unwrap();
    program(1, None);
    program(1, None);
    program(2, None);
    program(3, Some("fobd:12345678 für alice"));
    program(4, Some(""));
    for (slot, label) in [(1, "TOTP"), (2, "GitHub"), (3, "fobd:12345678 f"), (4, "TOTP")] {
        assert_eq!(String::from_utf8_lossy(&bench.slot(slot).label).trim_end_matches('\0'), label);
    }
}

#[test]
fn what_else_lies_in_a_slot_survives() {
    let bench = Bench::new(OnlyKeyModel::COLOR);
    bench.chip(|chip| chip.slot_mut(3).unwrap().password = b"hunter2".to_vec());
    let mut token = bench.open();
    token.program(&SlotId::Index(3), &config(Some("a")), &Unattended).unwrap();
    token.erase(&SlotId::Index(3), &Unattended).unwrap();
    let expected =
        Slot { label: vec![0; 16], second_factor: 0, key: Vec::new(), password: b"hunter2".to_vec() };
    assert_eq!(bench.slot(3), expected);
    assert!(matches!(token.reset(&Unattended), Err(Error::Unsupported { .. })));
    assert!(bench.sent().iter().all(|sent| !sent.starts_with("ffffffffe7")), "nothing is ever wiped");
}

#[test]
fn a_locked_token_is_opened_and_says_so_at_every_call() {
    for (model, slots) in [(OnlyKeyModel::COLOR, 12), (OnlyKeyModel::DUO, 24)] {
        let bench = Bench::new(model);
        bench.chip(|chip| chip.set_unlocked(false));
        let mut token = bench.open();
        assert!(token.info().locked);
        assert!(matches!(token.slots(), Err(Error::Locked)));
        let failure = error(token.program(&SlotId::Index(12), &config(None), &Unattended));
        assert!(
            matches!((failure.slot, &failure.source), (SlotState::Unchanged, Error::Locked)),
            "{failure}"
        );
        assert!(matches!(token.erase(&SlotId::Index(1), &Unattended), Err(Error::Locked)));
        assert!(matches!(token.set_clock(UnixTime(NOW)), Err(Error::Locked)));
        let code = SecretBytes::new(b"1234567".to_vec());
        bench.sent();
        assert!(matches!(token.unlock(&code), Err(Error::Unsupported { .. })));
        assert!(matches!(token.set_lock_code(Some(&code)), Err(Error::Unsupported { .. })));
        assert_eq!(bench.sent(), Vec::<String>::new(), "a PIN is no host's business");
        // Its owner enters it; the next call finds the token open, and how many slots it has.
        bench.chip(|chip| chip.set_unlocked(true));
        assert_eq!(token.slots().unwrap().len(), usize::from(slots));
        assert!(!token.info().locked);
        token.program(&SlotId::Index(slots), &config(None), &Unattended).unwrap();
    }
}

#[test]
fn what_stands_in_the_way_is_said_and_nothing_is_changed() {
    let without_pin: fn(&mut OnlyKey) = |chip| chip.set_pin(Pin::NotSet);
    let protected: fn(&mut OnlyKey) = |chip| chip.set_protects_keys(true);
    let password: fn(&mut OnlyKey) = |chip| chip.slot_mut(1).unwrap().password = b"x".to_vec();
    for (model, prepare, needs) in [
        (OnlyKeyModel::COLOR, without_pin, "a PIN, which its owner sets first"),
        (OnlyKeyModel::COLOR, protected, "its config mode, since its owner protects the slots"),
        (OnlyKeyModel::DUO_WITHOUT_PIN, password, "a slot without a password, or a PIN on the token"),
    ] {
        let bench = Bench::new(model);
        bench.chip(prepare);
        let before = bench.slot(1);
        let mut token = bench.open();
        let failure = error(token.program(&SlotId::Index(1), &config(None), &Unattended));
        assert_eq!(failure.slot, SlotState::Unchanged);
        assert!(failure.to_string().ends_with(needs), "{failure}");
        assert!(matches!(token.erase(&SlotId::Index(1), &Unattended), Err(Error::Unsupported { .. })));
        assert_eq!(bench.slot(1), before);
    }
    // In config mode a protected token takes credentials, but no time.
    let bench = Bench::new(OnlyKeyModel::COLOR);
    bench.chip(|chip| {
        chip.set_protects_keys(true);
        chip.set_config_mode(true);
    });
    bench.open().program(&SlotId::Index(1), &config(None), &Unattended).unwrap();
    assert_eq!(bench.chip(|chip| chip.types(1, 59)).unwrap(), "NOTSET");
}

#[test]
fn what_it_cannot_do_costs_no_report() {
    let bench = Bench::new(OnlyKeyModel::COLOR);
    let mut token = bench.open();
    bench.sent();
    let secret = |bytes: &[u8]| SlotConfig { secret: SecretBytes::new(bytes.to_vec()), ..config(None) };
    for (slot, config) in [
        (1, SlotConfig { now: UnixTime(NOW), ..hotp(0) }),
        (1, SlotConfig { algorithm: Algorithm::Sha256, ..config(None) }),
        (1, SlotConfig { digits: 8, ..config(None) }),
        (1, SlotConfig { touch: true, ..config(None) }),
        (1, SlotConfig { now: UnixTime(1 << 32), ..config(None) }),
        (1, totp(60)),
        (0, config(None)),
        (13, config(None)),
        (1, secret(&[0; 20])),
        (1, secret(&[7; 54])),
        (1, secret(b"four zeros \0\0\0\0 inside")),
    ] {
        let failure = error(token.program(&SlotId::Index(slot), &config, &Unattended));
        assert_eq!(failure.slot, SlotState::Unchanged);
        assert!(matches!(failure.source, Error::Unsupported { .. } | Error::Invalid { .. }), "{failure}");
    }
    assert!(token.calculate(&SlotId::Index(1), MovingFactor::TimeStep(1), &Unattended).is_err());
    assert_eq!(bench.sent(), Vec::<String>::new());
    // A secret that is longer than the hash's block goes as its hash.
    token.program(&SlotId::Index(1), &secret(&[b'A'; 65]), &Unattended).unwrap();
    assert_eq!(bench.slot(1).key.len(), 20);
}

#[test]
fn a_call_is_cancelled_until_it_has_written() {
    for (question, sent) in [(0, 0), (1, 1)] {
        let bench = Bench::new(OnlyKeyModel::COLOR);
        let mut token = bench.open();
        bench.sent();
        let failure =
            error(token.program(&SlotId::Index(1), &config(None), &Watcher::cancelling_at(question)));
        assert!(matches!((failure.slot, failure.source), (SlotState::Unchanged, Error::Cancelled)));
        assert_eq!(bench.sent().len(), sent);
    }
    let bench = Bench::new(OnlyKeyModel::COLOR);
    bench.open().program(&SlotId::Index(1), &config(Some("a")), &Watcher::cancelling_at(2)).unwrap();
    assert_eq!(bench.slot(1).label[0], b'a');
}

#[test]
fn a_lost_answer_leaves_the_slot_unknown_and_the_next_call_in_step() {
    // Connect, its answer, the key, its answer, the label, its answer.
    for (at, state, key) in
        [(1, SlotState::Unchanged, 0), (3, SlotState::Unknown, 20), (5, SlotState::Unknown, 20)]
    {
        let bench = Bench::new(OnlyKeyModel::COLOR);
        let mut token = bench.open();
        bench.device.plan(Fault { at, kind: FaultKind::Silence });
        let failure = error(token.program(&SlotId::Index(1), &config(Some("a")), &Unattended));
        assert_eq!((failure.slot, bench.slot(1).key.len()), (state, key), "{failure}");
        assert!(matches!(failure.source, Error::Transport(TransportError::Failed { .. })), "{failure}");
        assert_eq!(token.slots().unwrap().len(), 12);
    }
}

#[test]
fn talk_of_others_is_not_taken_for_an_answer() {
    let bench = Bench::new(OnlyKeyModel::COLOR);
    let mut token = bench.open();
    // Another program asks for labels and goes away.
    let mut question = vec![0xFF; 4];
    question.push(0xE5);
    question.resize(64, 0);
    bench.device.output(&question, Waits::Virtual);
    bench.device.pause(Duration::from_secs(1), Waits::Virtual);
    token.program(&SlotId::Index(1), &config(Some("a")), &Unattended).unwrap();
    assert_eq!(bench.slot(1).key.len(), 20);
}

#[test]
fn one_of_its_two_interfaces_is_chosen_as_its_client_does() {
    let hid = |ids: (u16, u16), usage_page, usage, serial: Option<&str>| {
        OnlyKeyDriver.matches(&Candidate::Hid(HidCandidate {
            path: "/dev/hidraw0".to_owned(),
            vendor_id: ids.0,
            product_id: ids.1,
            release: 0,
            usage_page,
            usage,
            interface: None,
            serial: serial.map(str::to_owned),
            product: String::new(),
            attachment: 1,
        }))
    };
    let (new, old) = ((0x1D50, 0x60FC), (0x16C0, 0x0486));
    assert!(hid(new, 0xFFAB, 2, Some("1000000000")) && !hid(new, 0xF1D0, 1, Some("1000000000")));
    assert!(hid(old, 0xF1D0, 1, Some("2851340")) && !hid(old, 0xFFAB, 2, Some("2851340")));
    assert!(hid(old, 0xF1D0, 1, None) && !hid(old, 0xFFAB, 2, None));
    // The keyboard, and any other Teensy.
    assert!(!hid(new, 0x0001, 6, Some("1000000000")) && !hid(old, 0xFFAB, 0x0200, None));
}

/// A token that says anything at all.
struct Babble(VecDeque<Option<Vec<u8>>>);

impl HidConnection for Babble {
    fn set_feature(&mut self, _: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }

    fn get_feature(&mut self, _: usize) -> Result<Vec<u8>, TransportError> {
        Ok(Vec::new())
    }

    fn write(&mut self, _: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }

    fn read(&mut self, _: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        self.0.pop_front().ok_or(TransportError::Gone { detail: "said everything".to_owned() })
    }

    fn pause(&mut self, _: Duration) {}
}

fn babble() -> impl Strategy<Value = Vec<Option<Vec<u8>>>> {
    let text = prop::sample::select(vec![
        "UNLOCKEDv3.0.4-prodc",
        "INITIALIZED",
        "Error device locked",
        "Error not in config mode",
        "Successfully set 2FA Key",
        "Successfully set Label",
        "é",
    ]);
    let padded = |mut bytes: Vec<u8>| {
        bytes.resize(64, 0);
        vec![Some(bytes)]
    };
    let labels = (1_u8..30).prop_map(move |count| {
        let label = |number: u8| padded(vec![if number < 10 { number } else { number + 6 }, b'|', b'x']);
        std::iter::once(None).chain((1..=count).flat_map(label)).collect()
    });
    prop_oneof![
        2 => labels,
        4 => text.prop_map(move |text| padded(text.as_bytes().to_vec())),
        1 => Just(vec![None]),
        1 => prop::collection::vec(any::<u8>(), 0..80).prop_map(|bytes| vec![Some(bytes)]),
    ]
}

proptest! {
    #[test]
    fn no_device_can_make_it_panic(said in prop::collection::vec(babble(), 1..12)) {
        let candidate = Bench::new(OnlyKeyModel::COLOR).bus.candidates().remove(0);
        let said: VecDeque<_> = std::iter::once(None).chain(said.concat()).collect();
        let opened = OnlyKeyDriver.open(&candidate, Connection::Hid(Box::new(Babble(said))));
        if let Ok(Some(mut token)) = opened {
            let _ = token.slots();
            let _ = token.program(&SlotId::Index(1), &config(None), &Unattended);
            let _ = token.erase(&SlotId::Index(2), &Unattended);
            let _ = token.set_clock(UnixTime(NOW));
            let _ = token.slots();
        }
    }
}
