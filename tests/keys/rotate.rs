//! A change of keys: all is sealed anew, the old keys are good for nothing, and wherever it is cut off it goes on.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fobd::cli::system_clock::SystemClock;
use fobd::store::rotation::Cursor;
use fobd::store::sealing::MasterKey;
use fobd::store::{Location, Store, StoreError, Synchronous};
use rusqlite::Connection;
use serde_json::json;

use super::{cli, hotp, is_accepted, with_tokens};
use crate::support::client::Client;
use crate::support::program::{Installation, Server};
use crate::support::wait_until;

/// The data keys that the sealed values of a database name, and those that it holds.
fn data_keys(installation: &Installation) -> (Vec<i64>, Vec<String>) {
    let database = Connection::open(installation.database()).unwrap();
    let mut numbers = database
        .prepare(
            "SELECT DISTINCT hex(substr(value, 2, 4)) FROM (SELECT secret AS value FROM credentials
             UNION ALL SELECT secret FROM jobs WHERE secret IS NOT NULL UNION ALL SELECT signing_key FROM audit_nodes)",
        )
        .unwrap();
    let numbers = numbers.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let numbers = numbers.map(|number| i64::from_str_radix(&number.unwrap(), 16).unwrap()).collect();
    let mut names = database.prepare("SELECT key FROM meta ORDER BY key").unwrap();
    let names = names.query_map([], |row| row.get(0)).unwrap();
    (numbers, names.map(Result::unwrap).collect())
}

fn meta(number: u32) -> Vec<String> {
    [&*format!("data_key_{number}"), "master_key_check", "master_key_id", "pin_key"]
        .map(str::to_owned)
        .to_vec()
}

/// Waits until no change is under way.
pub(super) fn wait_until_idle(client: &Client) {
    wait_until("the end of the change of keys", || {
        (client.ok("key/status", json!({}))["state"] == "idle").then_some(())
    });
}

/// What the log says of changes of keys, oldest first.
fn told(client: &Client) -> Vec<(String, String)> {
    let found = client.ok("audit/search", json!({"action": "key/rotate", "order": "asc"}));
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let rows = found["rows"].as_array().expect("rows").iter();
    rows.map(|row| (text(&row["outcome"]), text(&row["operator"]))).collect()
}

fn rotate(installation: &Installation, server: &Server) {
    let (code, result, said) = cli(installation, server, &["key", "rotate", "--yes"]);
    assert_eq!((code, &result["state"]), (0, &json!("idle")), "{said}");
}

#[test]
fn rotating_under_load_seals_all_anew_and_makes_the_old_key_good_for_nothing() {
    let installation = Installation::new();
    let server = with_tokens(&installation, 400);
    let old = installation.scratch().join("old.key");
    fs::copy(installation.key_file(), &old).expect("the old key");
    assert!(is_accepted(&server.client, "S1", &hotp(0)));
    let over = AtomicBool::new(false);
    let accepted = std::thread::scope(|scope| {
        let verify = scope.spawn(|| {
            let client = Client::new(&server.client.base);
            let mut next = 0;
            while !over.load(Ordering::SeqCst) {
                assert!(is_accepted(&client, "S2", &hotp(next)), "S2 at {next}");
                next += 1;
            }
            next
        });
        rotate(&installation, &server);
        over.store(true, Ordering::SeqCst);
        verify.join().expect("every verify is accepted")
    });
    assert!(accepted > 0);
    let all = ["begun", "adopted", "done"].map(|outcome| (outcome.to_owned(), "admin".to_owned()));
    assert_eq!(told(&server.client), all);
    assert!(is_accepted(&server.client, "S400", &hotp(0)), "without a restart");
    rotate(&installation, &server);
    server.stop();
    assert_eq!(data_keys(&installation), (vec![3], meta(3)));
    crate::audit::assert_intact(&installation.database());
    let server = installation.start();
    assert!(is_accepted(&server.client, "S1", &hotp(1)) && !is_accepted(&server.client, "S1", &hotp(0)));
    server.stop();
    let said = installation.argument("--key-file").argument(old).refused();
    assert!(said.contains("does not belong to this database"), "{said}");
}

#[test]
fn a_server_that_may_not_write_its_key_goes_on_when_it_is_started_with_the_new_one() {
    let installation = Installation::new();
    let server = with_tokens(&installation, 3);
    // In the way of the file that is to follow.
    fs::create_dir(installation.data_dir().join("keys/master.key.next.new")).expect("a directory");
    let (code, _, said) = cli(&installation, &server, &["key", "rotate", "--yes"]);
    assert!(code == 3 && said.contains("fobd key new FILE"), "{said}");
    let new = installation.scratch().join("new.key");
    let (code, made, said) = cli(&installation, &server, &["key".as_ref(), "new".as_ref(), new.as_os_str()]);
    assert_eq!(code, 0, "{said}");
    let (code, ..) = cli(&installation, &server, &["key".as_ref(), "new".as_ref(), new.as_os_str()]);
    assert_eq!(code, 2, "a key is never written over");
    let words = ["key", "rotate", "--yes", "--new-key-file", new.to_str().unwrap()];
    let (code, result, said) = cli(&installation, &server, &words);
    assert_eq!((code, &result["state"], &result["keyId"]), (6, &json!("waiting"), &made["keyId"]), "{said}");
    assert_eq!(server.client.error("key/rotate", json!({})).kind, "key.rotating");
    server.stop();
    // Both keys open it; with the old one it goes on waiting, and may be given up.
    let server = installation.start();
    let status = server.client.ok("key/status", json!({}));
    assert_eq!((&status["state"], &status["nextKeyId"]), (&json!("waiting"), &made["keyId"]));
    assert_eq!(cli(&installation, &server, &["key", "abandon"]).0, 0);
    assert_eq!(server.client.error("key/rotate", json!({"abandon": true})).kind, "key.not_waiting");
    assert_eq!(cli(&installation, &server, &words).0, 6);
    server.stop();
    let installation = installation.argument("--key-file").argument(&new);
    let server = installation.start();
    wait_until_idle(&server.client);
    assert_eq!(server.client.ok("key/status", json!({}))["keyId"], made["keyId"]);
    assert!(is_accepted(&server.client, "S1", &hotp(0)));
    server.stop();
    assert_eq!(data_keys(&installation), (vec![2], meta(2)));
    let old = Location { data_dir: installation.data_dir(), key_file: installation.key_file() };
    let refused =
        Store::open(&old, Synchronous::Full, Arc::new(SystemClock)).err().expect("the old key is no good");
    assert!(refused.to_string().contains("does not belong to this database"), "{refused}");
}

#[test]
fn a_key_that_is_none_or_the_present_one_is_refused_and_nothing_changes() {
    let installation = Installation::new();
    let server = installation.start();
    let own = installation.key_file();
    let error = server.client.error("key/rotate", json!({"newKeyFile": own.to_str()}));
    assert_eq!(error.kind, "request.invalid");
    for file in [installation.password_file(), installation.scratch().join("missing")] {
        assert_eq!(server.client.error("key/rotate", json!({"newKeyFile": file.to_str()})).kind, "key.file");
    }
    assert_eq!(server.client.ok("key/status", json!({}))["state"], "idle");
    server.stop();
    assert_eq!(data_keys(&installation), (vec![1], meta(1)));
}

#[test]
fn a_value_that_does_not_open_stays_and_keeps_its_data_key() {
    let installation = Installation::new();
    with_tokens(&installation, 3).stop();
    let damage = "UPDATE credentials SET secret = CAST(substr(secret, 1, 30) || zeroblob(20) AS BLOB) WHERE token_id = 2";
    Connection::open(installation.database()).unwrap().execute(damage, []).unwrap();
    let server = installation.start();
    let (code, result, said) = cli(&installation, &server, &["key", "rotate", "--yes"]);
    assert_eq!((code, &result["damaged"]), (1, &json!(1)), "{said}");
    assert!(is_accepted(&server.client, "S1", &hotp(0)) && is_accepted(&server.client, "S3", &hotp(0)));
    server.stop();
    let (_, held) = data_keys(&installation);
    assert!(held.contains(&"data_key_1".to_owned()) && held.contains(&"data_key_2".to_owned()), "{held:?}");
    let server = installation.start();
    assert!(is_accepted(&server.client, "S1", &hotp(1)));
}

/// Cuts a change off after one of its steps, as a crash there would.
fn cut_off(installation: &Installation, steps: usize) {
    let location = Location { data_dir: installation.data_dir(), key_file: installation.key_file() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = Store::open(&location, Synchronous::Full, Arc::new(SystemClock)).expect("the store");
    let next = Arc::new(MasterKey::make_successor(&location.key_file).expect("a key"));
    runtime.block_on(async move {
        if steps > 0 {
            let key = Arc::clone(&next);
            store.write(move |tx| tx.begin_rotation(&key, "admin")).await.expect("begun");
        }
        if steps > 1 {
            MasterKey::install_successor(&location.key_file).expect("in its place");
        }
        if steps > 2 {
            let key = Arc::clone(&next);
            let adopted = store.write(move |tx| tx.adopt_master(&key)).await.expect("adopted");
            store.take_data_key(adopted);
        }
        if steps > 3 {
            let piece = store.write(|tx| tx.reseal(Cursor::START, Duration::ZERO)).await.expect("a piece");
            assert!(piece.values > 0 && piece.next.is_some());
            let refused = store.write(move |tx| tx.begin_rotation(&next, "other")).await;
            assert!(matches!(refused, Err(StoreError::Sqlite(_))), "a second one meanwhile");
        }
    });
}

#[test]
fn a_change_that_was_cut_off_after_any_step_is_gone_on_with_by_the_next_start() {
    for steps in 0..=4 {
        let installation = Installation::new();
        with_tokens(&installation, 50).stop();
        cut_off(&installation, steps);
        let server = installation.start();
        wait_until_idle(&server.client);
        for serial in ["S1", "S25", "S50"] {
            assert!(is_accepted(&server.client, serial, &hotp(0)), "{serial} after {steps} steps");
        }
        server.stop();
        let number = if steps == 0 { 1 } else { 2 };
        assert_eq!(data_keys(&installation), (vec![number.into()], meta(number)), "after {steps} steps");
        let server = installation.start();
        assert!(is_accepted(&server.client, "S25", &hotp(1)), "after {steps} steps");
    }
}
