//! The check after a cut: all that a client was told is there, what was not told is there wholly or not at all, and no
//! passcode that was accepted is accepted again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value as Json, json};

use super::guest::{Guest, verify_log};
use super::history::{Deed, Fault, History, Known, Line, Made};
use super::load::FILE_ROWS;
use super::tokens::Token;
use crate::client::{ADMIN, PASSWORD};
use crate::program::fobd;

/// How many tokens are looked at at once.
const AT_ONCE: usize = 6;

/// Compares the server with what its clients were told. What it finds becomes lines.
pub fn check(guest: &Guest) {
    let tokens = Mutex::new(Token::all());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let next = || tokens.lock().unwrap().next();
                while let Some(token) = next() {
                    check_token(guest, token);
                }
            });
        }
    });
    check_names(guest);
    check_log(guest);
}

fn check_token(guest: &Guest, token: Token) {
    let known = guest.known(token);
    let serial = token.serial();
    let show = json!({"token": token.selector(), "return": ["counter"]});
    let counter = guest.client.ok("token/get", show)["counter"].as_u64().expect("a counter");
    let Known { told, asked, .. } = known;
    if counter < told {
        guest.found(Fault::Lost, format!("{serial}: {told} was told, the counter is {counter}"));
    }
    if counter > asked {
        guest.found(
            Fault::Wrong,
            format!("{serial}: nothing from {asked} on was sent, the counter is {counter}"),
        );
    }
    if known.used {
        replay(guest, token, &known, counter);
    }
    guest.say(Line::Seen { token, floor: counter });
    log_in(guest, token, &known, counter);
}

/// Types passcodes that were accepted. Ten failures would lock the token: it is a few of them, and what is accepted
/// after this shows that it was not locked.
fn replay(guest: &Guest, token: Token, known: &Known, counter: u64) {
    let mut spent: BTreeSet<u64> = known.accepted.last().copied().into_iter().collect();
    // One that the server has forgotten, if there is any.
    spent.extend(known.accepted.iter().copied().find(|factor| *factor >= counter));
    // That of the last resync or reset.
    spent.extend(known.told.checked_sub(1));
    for factor in spent {
        for pin in [Some(&known.pin), known.asked_pin.as_ref()].into_iter().flatten() {
            if guest.is_accepted(token, pin, factor) {
                guest.found(Fault::AcceptedTwice, format!("{}: {factor} again", token.serial()));
            }
        }
    }
}

/// Logs in with fresh passcodes, after the PINs that are not the right ones: a wrong PIN spends a passcode.
fn log_in(guest: &Guest, token: Token, known: &Known, counter: u64) {
    // The next two steps of time are within reach.
    let Some(mut factor) = token.next_factor(counter, 2) else { return };
    let serial = token.serial();
    if let Some(asked) = &known.asked_pin {
        if guest.is_let_in(token, asked, factor) {
            return guest.say(Line::Told(Deed::Pin { token, pin: asked.clone() }));
        }
        factor += 1;
    } else if let Some(former) = &known.former_pin {
        if guest.is_let_in(token, former, factor) {
            return guest.found(Fault::Lost, format!("{serial} has its former PIN"));
        }
        factor += 1;
    }
    if !guest.is_let_in(token, &known.pin, factor) {
        guest.found(Fault::Wrong, format!("{serial} is not let in with its PIN and {factor}"));
    }
    // What was not told has not been done.
    if known.asked_pin.is_some() {
        guest.say(Line::Told(Deed::Pin { token, pin: known.pin.clone() }));
    }
}

/// Compares the names of what was made since the disk was.
fn check_names(guest: &Guest) {
    let found = guest.client.ok("token/search", json!({"return": ["serial"], "max": 10_000}));
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(found["total"], json!(rows.len()), "all rows are on one page");
    let (mut files, mut created) = (BTreeMap::<u64, u64>::new(), BTreeSet::new());
    for serial in rows.iter().map(|row| row["serial"].as_str().expect("a serial")) {
        let number = |text: &str| text.parse::<u64>().expect("a number");
        if let Some((file, _)) = serial.strip_prefix('I').and_then(|name| name.split_once('-')) {
            *files.entry(number(file)).or_default() += 1;
        } else if let Some(name) = serial.strip_prefix('C') {
            created.insert(number(name));
        }
    }
    for (file, there) in files.iter().filter(|(_, there)| **there != FILE_ROWS) {
        guest.found(Fault::Wrong, format!("{there} of {FILE_ROWS} rows of import {file}"));
    }
    let (imports, creations) = guest.recall(|all| (all.imports.clone(), all.creations.clone()));
    compare(guest, "import", &imports, &files.into_keys().collect());
    compare(guest, "new token", &creations, &created);
}

fn compare(guest: &Guest, what: &str, made: &Made, there: &BTreeSet<u64>) {
    for number in made.told.difference(there) {
        guest.found(Fault::Lost, format!("{what} {number}"));
    }
    for number in there.difference(&made.asked) {
        guest.found(Fault::Wrong, format!("nobody asked for {what} {number}"));
    }
}

/// Takes the audit log out of the server, has it verified, and looks for a row for each thing that was told.
fn check_log(guest: &Guest) {
    let (password, file) = (Path::new("/run/password"), Path::new("/run/audit.jsonl"));
    std::fs::write(password, PASSWORD).expect("the password");
    // Before the export: what is told meanwhile need not be in it.
    let history = guest.recall(History::clone);
    let mut export = fobd();
    export.args(["audit", "export", "--server", &guest.client.base, "--operator", ADMIN, "--password-file"]);
    let output = export.arg(password).arg("--output").arg(file).output().expect("fobd audit export runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    if let Err(said) = verify_log(file, &history) {
        guest.found(Fault::Lost, format!("fobd audit verify of an export: {said}"));
    }
    let rows = count_rows(guest, &std::fs::read_to_string(file).expect("the export"));
    for token in Token::all() {
        let known = &history.tokens[token.0];
        for (action, outcome, told) in [
            ("auth/verify", "accepted", known.accepted.len()),
            ("token/syncToken", "synced", known.synced),
            ("token/reset", "reset", known.reset),
        ] {
            let there =
                rows.get(&(token, action.to_owned(), outcome.to_owned())).copied().unwrap_or_default();
            if there < told {
                let serial = token.serial();
                guest
                    .found(Fault::Lost, format!("{serial}: {there} rows of {told} times {action} {outcome}"));
            }
        }
    }
}

/// How many rows of an export there are for each token, action and outcome.
fn count_rows(guest: &Guest, export: &str) -> HashMap<(Token, String, String), usize> {
    let of_prefix = json!({"return": ["id", "serial"], "match": [["serial", "like", "T%"]]});
    let found = guest.client.ok("token/search", of_prefix);
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let tokens: HashMap<String, Token> = found["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| Some((text(&row["id"]), Token::of_serial(row["serial"].as_str()?)?)))
        .collect();
    let mut counts = HashMap::new();
    for line in export.lines() {
        let row: Json = serde_json::from_str(line).expect("JSON");
        let Some(token) = tokens.get(&text(&row["token"])) else { continue };
        *counts.entry((*token, text(&row["action"]), text(&row["outcome"]))).or_default() += 1;
    }
    counts
}
