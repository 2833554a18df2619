//! Every driver behind the whole server: a row of the table is an emulated token, and each goes through everything
//! that people do with one. Nothing here knows a protocol; what lies in a token is looked up past it.
//!
//! list, slots, program (a new token, in a slot of the server's choice), prove, log in, replay, calculate, plug out and
//! in, program again, program in a chosen slot, pull out in the middle, erase; without its access code and with a
//! wrong one, where the token wants one.

mod rows;
mod seams;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::attach::hid::VirtualHidBus;
use firmware_fixtures::card::Human;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::specimen::{Door, Specimen, Stored};
use fobd::devices::DeviceState;
use fobd_drivers::models::products::{PRODUCTS, Product};
use fobd_drivers::token::Kind;
use fobd_drivers::transport::trace::Trace;
use serde_json::{Value as Json, json};

use self::rows::{Code, Row, rows};
use crate::support::client::{Client, RpcError};
use crate::support::in_process::InProcess;
use crate::support::{alice, furnish, token_is_let_in};

/// A PIN that is nowhere else.
const PIN: &str = "pin-7351-of-alice";

/// What is written into, and read by whoever looks for what must not be there.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn read(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The log of this process, that of other tests with it.
fn log() -> &'static Paper {
    static LOG: OnceLock<Paper> = OnceLock::new();
    LOG.get_or_init(|| {
        let paper = Paper::default();
        let writer = paper.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        paper
    })
}

/// What a product of the catalogue asks for, or one with longer passcodes.
#[derive(Clone, Debug)]
struct Wanted {
    codes: (String, String),
    driver: &'static str,
    kind: Kind,
    seconds: u64,
    digits: u8,
}

impl Wanted {
    /// The products of a driver, and each with 8 digits as well.
    fn of(driver: &str) -> Vec<Self> {
        let products = PRODUCTS.iter().filter(|product| product.driver == driver);
        products.flat_map(|product| [Self::new(product, product.digits), Self::new(product, 8)]).collect()
    }

    fn new(product: &Product, digits: u8) -> Self {
        let (maker, code) = product.codes.split_once('/').unwrap();
        let code = if digits == product.digits { code.to_owned() } else { format!("{code}-{digits}") };
        Self {
            codes: (maker.to_owned(), code),
            driver: product.driver,
            kind: product.kind,
            seconds: product.time_step.into(),
            digits,
        }
    }

    fn selector(&self) -> Json {
        json!({"manufacturerCode": self.codes.0, "productCode": self.codes.1})
    }

    /// Adds it, if it did not come with the server.
    fn furnish(&self, client: &Client) {
        let mut attrs = self.selector();
        attrs["name"] = format!("{} {}", self.codes.0, self.codes.1).into();
        attrs["driver"] = self.driver.into();
        attrs["digits"] = self.digits.into();
        attrs["algorithm"] = if self.kind == Kind::Hotp { "OATH HOTP" } else { "OATH TOTP" }.into();
        if self.kind == Kind::Totp {
            attrs["timer"] = self.seconds.into();
        }
        if let Err(error) = client.call("product/create", json!({ "attrs": attrs })) {
            assert_eq!(error.kind, "object.exists", "{error:?}");
        }
    }
}

/// A token at a server.
struct Bench<'s> {
    row: &'s Row,
    server: &'s InProcess,
    hid: &'s VirtualHidBus,
    specimen: Box<dyn Specimen>,
    door: Door,
    device: String,
    /// Everything the server answered.
    answers: Mutex<String>,
    /// Everything that must be nowhere, with a name.
    secrets: Mutex<Vec<(String, Vec<u8>)>>,
}

impl<'s> Bench<'s> {
    fn new(row: &'s Row, server: &'s InProcess, hid: &'s VirtualHidBus) -> Self {
        let specimen = (row.make)();
        let door = specimen.door();
        door.set_human(Human::TouchesAtOnce);
        let mut secrets = vec![("PIN".to_owned(), PIN.as_bytes().to_vec())];
        if let Code::Wanted(code, _) | Code::Taken(code) = row.code {
            specimen.set_lock_code(Some(code.as_bytes()));
            secrets.push(("access code".to_owned(), code.as_bytes().to_vec()));
        }
        let device = format!("{}:{}", row.driver, specimen.serial().unwrap_or_default());
        let (answers, secrets) = (Mutex::default(), Mutex::new(secrets));
        let bench = Self { row, server, hid, specimen, door, device, answers, secrets };
        bench.plug_in();
        bench
    }

    fn plug_in(&self) {
        match &self.door {
            Door::Card(card) => {
                self.server.bus.attach(card);
            }
            Door::Hid(hid) => {
                self.hid.attach(hid);
            }
        }
        self.server.wait_for_devices(|devices| {
            devices.iter().any(|device| {
                device.id.driver() == self.row.driver
                    && matches!(device.state, DeviceState::Ready | DeviceState::Locked)
            })
        });
    }

    fn pull_out(&self) {
        match &self.door {
            Door::Card(card) => self.server.bus.detach(card),
            Door::Hid(hid) => self.hid.detach(hid),
        };
        self.server.wait_for_devices(|devices| devices.is_empty());
        self.door.clear_faults();
    }

    /// Asks, with the device and its access code in the parameters.
    fn ask(&self, method: &str, params: &Json) -> Result<Json, RpcError> {
        let mut asked = json!({"device": self.device});
        if let Code::Wanted(code, _) | Code::Taken(code) = self.row.code {
            asked["accessCode"] = code.into();
        }
        asked.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
        if method == "device/list" {
            asked = json!({});
        }
        let answer = self.server.client.call(method, asked);
        self.answers.lock().unwrap().push_str(&format!("{method} {answer:?}\n"));
        for (slot, stored) in self.specimen.stored() {
            self.keep(&slot, &stored.secret);
        }
        answer
    }

    /// From now on this is a secret that must be nowhere.
    fn keep(&self, slot: &str, secret: &[u8]) {
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let base32 = base32::encode(base32::Alphabet::Rfc4648 { padding: false }, secret);
        let mut secrets = self.secrets.lock().unwrap();
        let forms = [secret.to_vec(), hex[..20].into(), hex[..20].to_uppercase().into(), base32[..16].into()];
        for form in forms {
            if !secrets.iter().any(|(_, known)| *known == form) {
                secrets.push((format!("secret of slot {slot}"), form));
            }
        }
    }

    fn ok(&self, method: &str, params: Json) -> Json {
        self.ask(method, &params).unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    fn now(&self) -> u64 {
        use fobd::otp::time::Clock as _;
        u64::try_from(self.server.clock.now().as_secs()).unwrap()
    }

    fn advance(&self, wanted: &Wanted) {
        self.server.clock.advance(Duration::from_secs(wanted.seconds));
    }

    /// What lies in a slot, but for the counter.
    fn held(&self, slot: &str) -> Option<Stored> {
        let mut found = self.specimen.stored().into_iter().filter(|(name, _)| name == slot);
        found.next().map(|(_, stored)| Stored { counter: 0, ..stored })
    }

    /// The next passcode as somebody reads it off the token, of as many digits as the product has.
    fn read_off(&self, wanted: &Wanted, slot: &str) -> String {
        let digits = usize::from(wanted.digits);
        let typed = self.specimen.read_off(slot, self.now()).expect("the slot holds something");
        match self.held(slot).and_then(|held| held.digits) {
            Some(_) => typed,
            // The length is for the host to know.
            None => typed[typed.len() - digits..].to_owned(),
        }
    }

    fn is_let_in(&self, serial: &str, typed: &str) -> bool {
        token_is_let_in(&self.server.client, serial, typed)
    }

    /// The next passcode is let in, and not again.
    fn logs_in(&self, wanted: &Wanted, serial: &str, slot: &str) {
        self.advance(wanted);
        let typed = self.read_off(wanted, slot);
        assert_eq!(typed.len(), usize::from(wanted.digits));
        assert!(self.is_let_in(serial, &typed), "the next passcode");
        assert!(!self.is_let_in(serial, &typed), "a replay");
    }

    /// Brings a job to its end: by the device, or by somebody who reads a passcode off it.
    fn prove(&self, wanted: &Wanted, job: &Json) -> (String, String) {
        let text = |value: &Json| value.as_str().unwrap_or_else(|| panic!("{job}")).to_owned();
        let (slot, serial) = (text(&job["slot"]), text(&job["token"]["serial"]));
        let calculates = self.row.calculates(wanted.kind);
        assert_eq!(job["state"], if calculates { "ready" } else { "awaiting_passcode" }, "{job}");
        if !calculates {
            let confirm = |passcode: &str| {
                let params = json!({"job": job["job"], "passcode": passcode});
                self.server.client.call("job/confirm", params)
            };
            let mut wrong = self.read_off(wanted, &slot).into_bytes();
            self.advance(wanted);
            wrong.reverse();
            if wrong.iter().rev().ne(wrong.iter()) {
                let refused = confirm(std::str::from_utf8(&wrong).unwrap());
                assert_eq!(refused.unwrap_err().kind, "job.not_proven");
            }
            assert_eq!(confirm(&self.read_off(wanted, &slot)).unwrap()["state"], "ready");
        }
        (slot, serial)
    }

    fn program(&self, wanted: &Wanted, more: Json) -> Result<Json, RpcError> {
        let mut params = json!({"wait": 30});
        if more.get("token").is_none() {
            params["product"] = wanted.selector();
        }
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ask("device/program", &params)
    }
}

#[test]
fn every_driver_does_the_main_job_through_the_server() {
    log();
    // All of them are told, not the first alone: they have many hands.
    let mut failed = Vec::new();
    for row in rows() {
        let model = (row.make)().model();
        let wanted = Wanted::of(row.driver);
        let (wanted, case): (_, Case) = match (row.make)().serial() {
            Some(_) => (&wanted[..], does_the_main_job),
            None => (&wanted[..1], is_refused_by_name),
        };
        for wanted in wanted {
            let name = format!("{} {model} {}/{}", row.driver, wanted.codes.0, wanted.codes.1);
            println!("{name}");
            if catch_unwind(AssertUnwindSafe(|| with_server(&row, wanted, case))).is_err() {
                failed.push(name);
            }
        }
    }
    assert_eq!(failed, Vec::<String>::new());
}

#[test]
fn every_driver_that_programs_has_a_row() {
    for driver in fobd_drivers::DRIVERS.iter().filter(|driver| driver.name() != "slim") {
        assert!(rows().iter().any(|row| row.driver == driver.name()), "{}", driver.name());
    }
}

type Case = fn(&Bench<'_>, &Wanted);

/// A letter for each byte: texts are searched by the optimised standard library, and these are long.
fn letters(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Runs a case at a server of its own, and then looks for secrets in all that was written down.
fn with_server(row: &Row, wanted: &Wanted, case: Case) {
    let (hid, trace) = (VirtualHidBus::new(), Paper::default());
    let logged = log().read().len();
    let traced = Trace::new(Box::new(trace.clone()));
    let server = InProcess::start_traced(VirtualBus::new(), &[Arc::new(hid.clone())], traced);
    furnish(&server.client);
    wanted.furnish(&server.client);
    let bench = Bench::new(row, &server, &hid);
    case(&bench, wanted);
    let answers = bench.answers.lock().unwrap().clone().into_bytes();
    let written = [
        ("answers", answers),
        ("trace", trace.read()),
        ("log", log().read().split_off(logged)),
        ("files", server.files()),
    ];
    for (what, text) in written {
        assert!(!text.is_empty(), "nothing in the {what}");
        let text = letters(&text);
        for (name, secret) in bench.secrets.lock().unwrap().iter() {
            assert!(!text.contains(&letters(secret)), "{name} is in the {what}");
        }
    }
}

fn is_refused_by_name(bench: &Bench<'_>, wanted: &Wanted) {
    let list = bench.ok("device/list", json!({}));
    let row = list["rows"].as_array().unwrap().iter().find(|row| row["driver"] == wanted.driver).unwrap();
    let id = row["id"].as_str().unwrap();
    assert_eq!((&row["serial"], id.contains('?')), (&json!(null), true));
    for (method, params) in [
        ("device/program", json!({"device": id, "product": wanted.selector()})),
        ("device/erase", json!({"device": id, "slot": "1"})),
    ] {
        let error = bench.server.client.error(method, params);
        let expected = format!("{id} tells no serial: only devices with one can be programmed");
        assert_eq!((error.kind, error.message), ("device.unsupported".to_owned(), expected));
    }
}

fn does_the_main_job(bench: &Bench<'_>, wanted: &Wanted) {
    let listed = bench.ok("device/list", json!({}));
    let found = |row: &&Json| row["id"] == bench.device;
    let listed = listed["rows"].as_array().unwrap().iter().find(found).expect("it is listed").clone();
    assert_eq!(listed["serial"].as_str(), bench.specimen.serial().as_deref());
    let can = &listed["capabilities"];
    let kind = if wanted.kind == Kind::Hotp { "hotp" } else { "totp" };
    let digits = can["digits"].as_array().unwrap().contains(&wanted.digits.into());
    if can[kind] != true || !digits {
        let refused = bench.program(wanted, json!({})).unwrap_err();
        assert_eq!(refused.kind, "device.unsupported", "{refused:?}");
        assert!(refused.message.contains(listed["model"].as_str().unwrap()), "{refused:?}");
        assert_eq!(bench.specimen.stored(), []);
        return;
    }
    without_its_code_nothing_changes(bench, wanted);
    let slots = bench.ok("device/slots", json!({}));
    assert!(slots["rows"].as_array().unwrap().iter().all(|slot| slot["inUse"] == false), "{slots}");

    let user = json!({"attrs": {"user": alice(), "pin": PIN}});
    let job = bench.program(wanted, user).unwrap();
    let (slot, serial) = bench.prove(wanted, &job);
    assert_eq!(Some(&serial), bench.specimen.serial().as_ref());
    assert_eq!(bench.specimen.stored().len(), 1);
    assert!(bench.held(&slot).is_some_and(|held| held.secret.len() >= 16), "{slot}");
    bench.advance(wanted);
    let typed = bench.read_off(wanted, &slot);
    let ask = json!({"user": alice(), "credential": {"otp": format!("{PIN}{typed}")}});
    assert_eq!(bench.server.client.ok("auth/verify", ask.clone())["accepted"], true);
    assert_eq!(bench.server.client.ok("auth/verify", ask)["accepted"], false);
    assigned_is_asked_no_pin(bench, &serial);
    bench.logs_in(wanted, &serial, &slot);
    calculates_or_says_that_it_cannot(bench, wanted, &serial, &slot);
    bench.pull_out();
    bench.plug_in();
    calculates_or_says_that_it_cannot(bench, wanted, &serial, &slot);
    shows_its_token(bench, &slot, &serial);

    let before = bench.held(&slot);
    let again = bench.program(wanted, json!({"token": {"serial": serial}})).unwrap();
    assert_eq!(bench.prove(wanted, &again), (slot.clone(), serial.clone()));
    assert_ne!(bench.held(&slot), before);
    bench.logs_in(wanted, &serial, &slot);

    if wanted.digits == 6 {
        pulled_out_in_the_middle(bench, wanted, &serial, &slot);
    }
    in_a_chosen_slot(bench, wanted, can, &slot);
    erased(bench, &serial, &slot);
}

/// Takes the assignment away, so that passcodes go without a PIN from now on.
fn assigned_is_asked_no_pin(bench: &Bench<'_>, serial: &str) {
    bench.server.client.ok("token/unassign", json!({"token": {"serial": serial}, "user": alice()}));
}

fn without_its_code_nothing_changes(bench: &Bench<'_>, wanted: &Wanted) {
    let Code::Wanted(_, wrong) = bench.row.code else { return };
    for (code, kind) in [(json!(null), "device.locked"), (json!(wrong), "device.wrong_code")] {
        let refused = bench.program(wanted, json!({"accessCode": code}));
        let said = match refused {
            Err(error) => {
                assert_eq!(error.kind, kind, "{error:?}");
                error.message
            }
            // Where the slots can be looked at without it, it is the write that is refused.
            Ok(job) => {
                assert_eq!(job["state"], "undone", "{job}");
                job["error"].as_str().unwrap().to_owned()
            }
        };
        assert!(said.contains("access code"), "{said}");
        assert_eq!(bench.specimen.stored(), []);
        assert_eq!(bench.server.client.ok("token/search", json!({}))["total"], 0);
    }
}

fn calculates_or_says_that_it_cannot(bench: &Bench<'_>, wanted: &Wanted, serial: &str, slot: &str) {
    bench.advance(wanted);
    let asked = bench.ask("device/calculate", &json!({"slot": slot}));
    if bench.row.calculates(wanted.kind) {
        let passcode = asked.unwrap()["passcode"].as_str().unwrap().to_owned();
        assert_eq!(passcode.len(), usize::from(wanted.digits));
        assert!(bench.is_let_in(serial, &passcode), "what the device calculates");
    } else {
        let refused = asked.unwrap_err();
        assert_eq!(refused.kind, "device.unsupported", "{refused:?}");
        assert!(refused.message.contains(&bench.device), "{refused:?}");
    }
}

fn shows_its_token(bench: &Bench<'_>, slot: &str, serial: &str) {
    let slots = bench.ok("device/slots", json!({}));
    let row = slots["rows"].as_array().unwrap().iter().find(|row| row["slot"] == slot).expect("its slot");
    assert_eq!((&row["inUse"], &row["token"]["serial"]), (&json!(true), &json!(serial)), "{row}");
}

fn in_a_chosen_slot(bench: &Bench<'_>, wanted: &Wanted, can: &Json, home: &str) {
    let kind = if wanted.kind == Kind::Hotp { "hotp" } else { "totp" };
    let chosen = match &can["numbers"] {
        Json::Null => "Acme:bob".to_owned(),
        numbers => numbers[kind][1].to_string(),
    };
    if chosen == home {
        let taken = bench.program(wanted, json!({"slot": chosen})).unwrap_err();
        assert_eq!(taken.kind, "slot.in_use");
        return;
    }
    let before = bench.held(home);
    let job = bench.program(wanted, json!({"slot": chosen})).unwrap();
    let (slot, serial) = bench.prove(wanted, &job);
    assert_eq!(slot, chosen);
    assert_eq!(bench.held(home), before, "the other slot");
    bench.logs_in(wanted, &serial, &slot);
    shows_its_token(bench, &slot, &serial);
}

/// Pulled out at some of the exchanges of a programming, before or after they reach the token: what the job says is
/// true.
fn pulled_out_in_the_middle(bench: &Bench<'_>, wanted: &Wanted, serial: &str, slot: &str) {
    let again = || bench.program(wanted, json!({"token": {"serial": serial}}));
    let before = bench.door.exchanges();
    bench.prove(wanted, &again().unwrap());
    let exchanges = bench.door.exchanges() - before;
    let step = exchanges.div_ceil(5);
    // Whether the server knows what the token holds.
    let mut knows = true;
    for at in (0..exchanges).rev().step_by(usize::try_from(step).unwrap()) {
        for kind in [FaultKind::UnplugBefore, FaultKind::UnplugAfter] {
            bench.advance(wanted);
            bench.pull_out();
            bench.plug_in();
            let before = bench.held(slot);
            bench.door.plan(Fault { at, kind });
            let outcome = again();
            let what = format!("{kind:?} at {at} of {exchanges}: {outcome:?}");
            let state = match &outcome {
                Err(error) => {
                    assert!(error.kind.starts_with("device."), "{what}");
                    assert!(error.message.contains(&bench.device), "{what}");
                    "undone"
                }
                Ok(job) => job["state"].as_str().unwrap(),
            };
            let is_as_before = bench.held(slot) == before;
            match state {
                "undone" => assert!(is_as_before, "{what}"),
                "wipe_before_use" => knows &= is_as_before,
                "ready" | "awaiting_passcode" => {
                    assert!(!is_as_before, "{what}");
                    knows = true;
                }
                other => panic!("{other}: {what}"),
            }
            bench.advance(wanted);
            if state == "awaiting_passcode" {
                let typed = bench.read_off(wanted, slot);
                let confirm = json!({"job": outcome.as_ref().unwrap()["job"], "passcode": typed});
                assert_eq!(bench.server.client.ok("job/confirm", confirm)["state"], "ready", "{what}");
                bench.advance(wanted);
            }
            if knows {
                assert!(bench.is_let_in(serial, &bench.read_off(wanted, slot)), "{what}");
            }
        }
    }
    bench.pull_out();
    bench.plug_in();
    bench.prove(wanted, &again().unwrap());
    bench.logs_in(wanted, serial, slot);
}

fn erased(bench: &Bench<'_>, serial: &str, slot: &str) {
    let before = bench.held(slot);
    let outcome = bench.ask("device/erase", &json!({"slot": slot}));
    if !bench.row.erases {
        let error = outcome.unwrap_err();
        assert_eq!((error.kind.as_str(), bench.held(slot)), ("device.unsupported", before));
        assert!(error.message.contains(&bench.device), "{error:?}");
        return;
    }
    assert_eq!(outcome.unwrap()["state"], "ready");
    assert_eq!(bench.held(slot), None);
    let shown = json!({"token": {"serial": serial}, "return": ["programmed", "device", "slot"]});
    let stock = json!({"programmed": false, "device": null, "slot": null});
    assert_eq!(bench.server.client.ok("token/get", shown), stock);
    let twice = bench.ask("device/erase", &json!({"slot": slot}));
    if let Err(error) = twice {
        assert_eq!(error.kind, "slot.empty", "{error:?}");
    }
}
