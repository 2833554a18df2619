//! A token at a server, what is asked for, and all that is written down meanwhile.

use super::rows::{Code, Row};
use crate::support::client::{Client, RpcError};
use crate::support::in_process::InProcess;
use crate::support::token_is_let_in;
use firmware_fixtures::attach::hid::VirtualHidBus;
use firmware_fixtures::card::Human;
use firmware_fixtures::specimen::{Door, Specimen, Stored};
use fobd::devices::DeviceState;
use fobd_drivers::models::products::{PRODUCTS, Product};
use fobd_drivers::token::Kind;
use serde_json::{Value as Json, json};
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// A PIN that is nowhere else.
pub const PIN: &str = "pin-7351-of-alice";

/// What is written into, and read by whoever looks for what must not be there.
#[derive(Clone, Default)]
pub struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub fn read(&self) -> Vec<u8> {
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
pub fn log() -> &'static Paper {
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
pub struct Wanted {
    pub codes: (String, String),
    pub driver: &'static str,
    pub kind: Kind,
    pub seconds: u64,
    pub digits: u8,
}

impl Wanted {
    /// The products of a driver, and each with 8 digits as well.
    pub fn of(driver: &str) -> Vec<Self> {
        let products = PRODUCTS.iter().filter(|product| product.driver == driver);
        products.flat_map(|product| [Self::new(product, product.digits), Self::new(product, 8)]).collect()
    }

    pub fn new(product: &Product, digits: u8) -> Self {
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

    pub fn selector(&self) -> Json {
        json!({"manufacturerCode": self.codes.0, "productCode": self.codes.1})
    }

    /// Adds it, if it did not come with the server.
    pub fn furnish(&self, client: &Client) {
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
pub struct Bench<'s> {
    pub row: &'s Row,
    pub server: &'s InProcess,
    pub hid: &'s VirtualHidBus,
    pub specimen: Box<dyn Specimen>,
    pub door: Door,
    pub device: String,
    /// Everything the server answered.
    pub answers: Mutex<String>,
    /// Everything that must be nowhere, with a name.
    pub secrets: Mutex<Vec<(String, Vec<u8>)>>,
}

impl<'s> Bench<'s> {
    pub fn new(row: &'s Row, server: &'s InProcess, hid: &'s VirtualHidBus) -> Self {
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

    pub fn plug_in(&self) {
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

    pub fn pull_out(&self) {
        match &self.door {
            Door::Card(card) => self.server.bus.detach(card),
            Door::Hid(hid) => self.hid.detach(hid),
        };
        self.server.wait_for_devices(|devices| devices.is_empty());
        self.door.clear_faults();
    }

    /// Asks, with the device and its access code in the parameters.
    pub fn ask(&self, method: &str, params: &Json) -> Result<Json, RpcError> {
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
    pub fn keep(&self, slot: &str, secret: &[u8]) {
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

    pub fn ok(&self, method: &str, params: Json) -> Json {
        self.ask(method, &params).unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    pub fn now(&self) -> u64 {
        use fobd::otp::time::Clock as _;
        u64::try_from(self.server.clock.now().as_secs()).unwrap()
    }

    pub fn advance(&self, wanted: &Wanted) {
        self.server.clock.advance(Duration::from_secs(wanted.seconds));
    }

    /// What lies in a slot, but for the counter.
    pub fn held(&self, slot: &str) -> Option<Stored> {
        let mut found = self.specimen.stored().into_iter().filter(|(name, _)| name == slot);
        found.next().map(|(_, stored)| Stored { counter: 0, ..stored })
    }

    /// The next passcode as somebody reads it off the token, of as many digits as the product has.
    pub fn read_off(&self, wanted: &Wanted, slot: &str) -> String {
        let digits = usize::from(wanted.digits);
        let typed = self.specimen.read_off(slot, self.now()).expect("the slot holds something");
        match self.held(slot).and_then(|held| held.digits) {
            Some(_) => typed,
            // The length is for the host to know.
            None => typed[typed.len() - digits..].to_owned(),
        }
    }

    pub fn is_let_in(&self, serial: &str, typed: &str) -> bool {
        token_is_let_in(&self.server.client, serial, typed)
    }

    /// The next passcode is let in, and not again.
    pub fn logs_in(&self, wanted: &Wanted, serial: &str, slot: &str) {
        self.advance(wanted);
        let typed = self.read_off(wanted, slot);
        assert_eq!(typed.len(), usize::from(wanted.digits));
        assert!(self.is_let_in(serial, &typed), "the next passcode");
        assert!(!self.is_let_in(serial, &typed), "a replay");
    }

    /// Brings a job to its end: by the device, or by somebody who reads a passcode off it.
    pub fn prove(&self, wanted: &Wanted, job: &Json) -> (String, String) {
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

    pub fn program(&self, wanted: &Wanted, more: Json) -> Result<Json, RpcError> {
        let mut params = json!({"wait": 30});
        if more.get("token").is_none() {
            params["product"] = wanted.selector();
        }
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ask("device/program", &params)
    }
}
