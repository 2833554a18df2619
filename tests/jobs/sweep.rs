//! Every fault at every exchange of a programming: whatever happens, the state of the job is true of the key.
//!
//! | state | the slot of the key | the server |
//! |---|---|---|
//! | the call itself failed | as before | no token, no job |
//! | `undone` | as before | reservation taken back |
//! | `ready` | the new secret | verifies what the key computes |
//! | `awaiting_passcode` | the new secret | a passcode of the key makes it `ready` |
//! | `wipe_before_use` | either | the old secret still verifies if the key has it |
//!
//! Afterwards, plugged in again, each token can be programmed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use firmware_fixtures::card::VirtualCard;
use firmware_fixtures::credential::Credential;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::firmware::Firmware;
use serde_json::{Value as Json, json};

use super::{STEP, server, stored};
use crate::support::client::RpcError;
use crate::support::in_process::InProcess;
use crate::support::{product, token_is_let_in};

/// A job may take so long, whatever its device does. No wait in here takes real time.
const DEADLINE: Duration = Duration::from_secs(10);

/// One kind of programming.
#[derive(Clone, Copy)]
struct Case {
    /// Code of the product.
    product: &'static str,
    /// Whether the token has been programmed before.
    again: bool,
}

/// A key on which the fault is to strike, and its token.
struct Bench<'s> {
    server: &'s InProcess,
    case: Case,
    card: VirtualCard,
    device: String,
    slot: String,
}

impl<'s> Bench<'s> {
    /// A new key; programmed already, if the case says so.
    fn new(server: &'s InProcess, case: Case, serial: u32) -> Self {
        let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, serial);
        let device = server.plug_in(&card);
        let bench = Self { server, case, card, device, slot: format!("fobd:{serial}") };
        if case.again {
            let job = bench.program(&json!({"product": product(case.product)})).expect("programmed");
            assert_eq!(job["state"], "ready");
        }
        bench
    }

    fn serial(&self) -> String {
        self.card.serial().to_string()
    }

    fn program(&self, target: &Json) -> Result<Json, RpcError> {
        let mut params = target.clone();
        params["device"] = self.device.as_str().into();
        params["wait"] = 30.into();
        self.server.client.call("device/program", params)
    }

    /// The programming on which the fault strikes.
    fn run(&self) -> Result<Json, RpcError> {
        match self.case.again {
            true => self.program(&json!({"token": {"serial": self.serial()}})),
            false => self.program(&json!({"product": product(self.case.product)})),
        }
    }

    /// What the key holds in the slot, but for the counter.
    fn held(&self) -> Option<Credential> {
        self.card.credential(&self.slot).map(|held| Credential { counter: 0, ..held })
    }

    /// A passcode as a human reads it off the key, not used so far.
    fn passcode(&self) -> String {
        match self.case.product {
            "OH" => self.card.press(&self.slot),
            _ => self.card.show(&self.slot, STEP),
        }
        .expect("the key holds a credential")
    }

    fn verifies(&self) -> bool {
        token_is_let_in(&self.server.client, &self.serial(), &self.passcode())
    }

    fn token(&self) -> Result<Json, RpcError> {
        let wanted = ["programmed", "device", "slot"];
        self.server.client.call("token/get", json!({"token": {"serial": self.serial()}, "return": wanted}))
    }

    /// The key holds what it held and the server knows what it knew.
    fn is_as_before(&self, before: &Option<Credential>) {
        assert_eq!(self.held(), *before);
        let token = self.token();
        if self.case.again {
            let home = json!({"programmed": true, "device": self.device, "slot": self.slot});
            assert_eq!(token, Ok(home));
            assert!(self.verifies(), "the old secret");
        } else {
            assert_eq!(token.map_err(|error| error.kind), Err("token.not_found".to_owned()));
        }
    }

    /// Holds the outcome against what is true. Returns the state in which the job ended.
    fn judge(&self, outcome: Result<Json, RpcError>, before: &Option<Credential>, jobs: &Json) -> String {
        let job = match outcome {
            Err(error) => {
                assert!(error.kind.starts_with("device."), "{error:?}");
                assert_eq!(stored(&self.server.client).1, *jobs, "no job");
                self.is_as_before(before);
                return error.kind;
            }
            Ok(job) => job,
        };
        let state = job["state"].as_str().expect("a state").to_owned();
        assert_eq!(job["error"].is_null(), state == "ready", "{job}");
        match state.as_str() {
            "undone" => self.is_as_before(before),
            "ready" => {
                assert_ne!(self.held(), *before);
                assert!(self.verifies(), "the new secret");
            }
            "awaiting_passcode" => {
                assert_ne!(self.held(), *before);
                let confirm = json!({"job": job["job"], "passcode": self.passcode()});
                assert_eq!(self.server.client.ok("job/confirm", confirm)["state"], "ready");
                if self.case.product == "OH" {
                    assert!(self.verifies(), "the new secret");
                }
            }
            "wipe_before_use" => {
                if self.case.again && self.held() == *before {
                    assert!(self.verifies(), "the old secret");
                }
            }
            other => panic!("the job ended in {other}"),
        }
        state
    }

    /// Plugged in again, the token is programmed without a fault.
    fn heals(&self) {
        self.card.clear_faults();
        self.server.pull_out(&self.card);
        self.server.plug_in(&self.card);
        let target = match self.token() {
            Ok(_) => json!({"token": {"serial": self.serial()}}),
            Err(_) => json!({"product": product(self.case.product)}),
        };
        let job = self.program(&target).expect("programmed");
        assert_eq!((&job["state"], &job["slot"]), (&json!("ready"), &json!(self.slot)), "{job}");
        assert!(self.verifies(), "healed");
        self.server.pull_out(&self.card);
    }
}

/// Returns how many jobs ended in which state.
fn sweep(case: Case) -> BTreeMap<String, usize> {
    let server = server();
    let mut serials = 1_u32..;
    let mut next = || Bench::new(&server, case, serials.next().expect("a serial"));
    let counted = next();
    let before = counted.card.exchanges();
    assert_eq!(counted.run().expect("programmed")["state"], "ready");
    let exchanges = counted.card.exchanges() - before;
    assert!((7..=9).contains(&exchanges), "{exchanges} exchanges");
    server.pull_out(&counted.card);

    let mut ends = BTreeMap::new();
    for at in 0..exchanges {
        for kind in FaultKind::all() {
            let bench = next();
            let (before, jobs) = (bench.held(), stored(&server.client).1);
            bench.card.plan(Fault { at, kind });
            let start = Instant::now();
            let outcome = bench.run();
            assert!(start.elapsed() < DEADLINE, "{kind:?} at exchange {at}: {:?}", start.elapsed());
            assert_eq!(bench.card.faults_left(), 0, "{kind:?} at exchange {at} never struck");
            let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let end = bench.judge(outcome.clone(), &before, &jobs);
                bench.heals();
                end
            }));
            match judged {
                Ok(end) => *ends.entry(end).or_default() += 1,
                Err(panic) => {
                    eprintln!("{kind:?} at exchange {at} of {exchanges}: {outcome:?}");
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
    ends
}

/// The sweep has seen each way in which a job can end.
fn sees_every_end(ends: &BTreeMap<String, usize>) {
    for end in ["undone", "ready", "wipe_before_use", "awaiting_passcode"] {
        assert!(ends.contains_key(end), "{end} is missing in {ends:?}");
    }
    eprintln!("{ends:?}");
}

#[test]
fn whatever_happens_to_a_new_hotp_token_its_job_tells_the_truth() {
    sees_every_end(&sweep(Case { product: "OH", again: false }));
}

#[test]
fn whatever_happens_to_a_new_totp_token_its_job_tells_the_truth() {
    sees_every_end(&sweep(Case { product: "OT", again: false }));
}

#[test]
fn whatever_happens_to_an_hotp_token_programmed_again_its_job_tells_the_truth() {
    sees_every_end(&sweep(Case { product: "OH", again: true }));
}

#[test]
fn whatever_happens_to_a_totp_token_programmed_again_its_job_tells_the_truth() {
    sees_every_end(&sweep(Case { product: "OT", again: true }));
}
