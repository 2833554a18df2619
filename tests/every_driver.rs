//! Every driver behind the whole server: a row of the table is an emulated token, and each goes through everything
//! that people do with one. Nothing here knows a protocol; what lies in a token is looked up past it.
//!
//! list, slots, program (a new token, in a slot of the server's choice), prove, log in, replay, calculate, plug out and
//! in, program again, program in a chosen slot, pull out in the middle, erase; without its access code and with a
//! wrong one, where the token wants one.

mod bench;
mod rows;
mod seams;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::attach::hid::VirtualHidBus;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::specimen::{Door, Specimen};
use fobd::devices::DeviceState;
use fobd_drivers::token::Kind;
use fobd_drivers::transport::trace::Trace;
use serde_json::{Value as Json, json};

use self::bench::{Bench, PIN, Paper, Wanted, log};
use self::rows::{Code, Row, rows};
use crate::support::in_process::InProcess;
use crate::support::{alice, furnish, token_is_let_in};

/// How many tokens are gone through at once.
const WORKERS: usize = 4;

#[test]
fn every_driver_does_the_main_job_through_the_server() {
    log();
    let mut known = HashSet::new();
    let rows: Vec<_> = rows().into_iter().map(|row| (known.insert(row.driver), row)).collect();
    // All failures are told, not the first alone. Most of the time goes into waiting for the disk.
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((is_first, row)) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    failed.lock().unwrap().extend(failures(row, *is_first));
                }
            });
        }
    });
    assert_eq!(failed.into_inner().unwrap(), Vec::<String>::new());
}

/// Takes a token through all products of its driver; the first of a driver through longer passcodes as well.
fn failures(row: &Row, is_first: bool) -> Vec<String> {
    let specimen = (row.make)();
    let mut wanted = Wanted::of(row.driver);
    // What of the passcode is its host's business differs between slots, not between models.
    wanted.retain(|wanted| wanted.digits == 6 || is_first);
    let case: Case = if specimen.serial().is_some() {
        does_the_main_job
    } else {
        wanted.truncate(1);
        is_refused_by_name
    };
    let name = |wanted: &Wanted| {
        format!("{} {} {}/{}", row.driver, specimen.model(), wanted.codes.0, wanted.codes.1)
    };
    let fails = |wanted: &&Wanted| {
        println!("{}", name(wanted));
        catch_unwind(AssertUnwindSafe(|| with_server(row, wanted, case))).is_err()
    };
    wanted.iter().filter(fails).map(name).collect()
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
