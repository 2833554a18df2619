//! Files that are not what they must be stop the start: with a message that names the file, and not a byte changed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fobd::cli::system_clock::SystemClock;
use fobd::store::{Location, Store, Synchronous};
use serde_json::json;

use crate::support::furnish;
use crate::support::program::{Installation, fobd};

/// An installation with some content. If it was killed, a part of that is in the write-ahead log only.
fn used(killed: bool) -> Installation {
    let installation = Installation::new();
    let server = installation.start();
    furnish(&server.client);
    if killed {
        server.kill_9();
        assert!(fs::metadata(log_of(&installation)).expect("the log").len() > 0);
    } else {
        server.stop();
    }
    installation
}

fn log_of(installation: &Installation) -> PathBuf {
    installation.data_dir().join("fobd.db-wal")
}

/// Database and write-ahead log, byte for byte. No log is as good as an empty one.
fn content(installation: &Installation) -> (Vec<u8>, Vec<u8>) {
    let database = fs::read(installation.database()).expect("the database");
    (database, fs::read(log_of(installation)).unwrap_or_default())
}

/// The server must not start, say that, and leave the files as they are.
#[track_caller]
fn assert_refused(installation: &Installation, expected: &str) {
    let before = content(installation);
    let said = installation.refused();
    let last = said.lines().last().expect("it says something");
    assert_eq!(last, format!("error: {expected}"));
    assert!(content(installation) == before, "the files have changed");
}

fn overwrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    fs::write(path, bytes).expect("a file");
}

#[test]
fn the_key_of_another_database_stops_the_start() {
    let (installation, other) = (used(true), Installation::new());
    let id = |database: PathBuf| -> String {
        let select = "SELECT CAST(value AS TEXT) FROM meta WHERE key = 'master_key_id'";
        rusqlite::Connection::open(database).unwrap().query_row(select, [], |row| row.get(0)).unwrap()
    };
    // To look into the database itself would fold its log.
    let copy = installation.scratch().join("copy.db");
    fs::copy(installation.database(), &copy).unwrap();
    let expected = format!(
        "key file {} does not belong to this database: it needs the key with id {}, this is {}",
        other.key_file().display(),
        id(copy),
        id(other.database()),
    );
    assert_refused(&installation.argument("--key-file").argument(other.key_file()), &expected);
}

#[test]
fn a_key_file_that_is_missing_open_to_others_or_no_key_stops_the_start() {
    let installation = used(true);
    let key = installation.key_file();
    let good = fs::read(&key).expect("the key");
    let named = |problem: &str| format!("key file {}: {problem}", key.display());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("chmod");
    assert_refused(&installation, &named("it may be read by others than its owner (chmod 600 it)"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("chmod");
    fs::write(&key, &good[..63]).expect("half a key");
    assert_refused(&installation, &named("it must hold 64 hexadecimal digits"));
    fs::remove_file(&key).expect("no key");
    assert_refused(&installation, &named("No such file or directory (os error 2)"));
    fs::write(&key, &good).expect("the key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("chmod");
    let server = installation.start();
    let found = server.client.ok("user/search", json!({"return": ["loginName"]}));
    assert_eq!(found["rows"], json!([{"loginName": "alice"}]), "nothing was lost over all this");
    server.stop();
}

#[test]
fn a_database_of_a_later_version_stops_the_start() {
    let installation = used(false);
    let database = rusqlite::Connection::open(installation.database()).unwrap();
    let known: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    database.pragma_update(None, "user_version", known + 1).unwrap();
    database.close().unwrap();
    let path = installation.database();
    let expected = format!(
        "{} has schema version {}, this program knows up to {known}: use a newer fobd",
        path.display(),
        known + 1
    );
    assert_refused(&installation, &expected);
}

#[test]
fn a_file_that_is_no_fobd_database_stops_the_start() {
    let installation = used(false);
    let path = installation.database();
    let whole = fs::read(&path).expect("the database");
    let no_fobd = format!("{}: it is not a fobd database", path.display());
    let refused_by_sqlite =
        |why: &str| format!("{} cannot be used: {why}; nothing of it was changed", path.display());

    fs::write(&path, b"").expect("an empty file");
    assert_refused(&installation, &no_fobd);

    fs::remove_file(&path).expect("no file");
    let foreign = rusqlite::Connection::open(&path).unwrap();
    foreign.execute_batch("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')").unwrap();
    foreign.close().unwrap();
    assert_refused(&installation, &no_fobd);

    fs::write(&path, b"To do: back up the token server.\n".repeat(200)).expect("a text");
    assert_refused(&installation, &refused_by_sqlite("file is not a database"));

    fs::write(&path, &whole[..whole.len() / 2]).expect("half a database");
    assert_refused(&installation, &refused_by_sqlite("database disk image is malformed"));

    fs::write(&path, &whole).expect("the database");
    overwrite(&path, |bytes| bytes[..16].fill(0));
    assert_refused(&installation, &refused_by_sqlite("file is not a database"));

    fs::write(&path, &whole).expect("the database");
    installation.start().stop();
}

#[test]
fn no_file_at_all_stops_the_start_and_makes_none() {
    let installation = used(false);
    let path = installation.database();
    fs::remove_file(&path).expect("no file");
    let said = installation.refused();
    assert_eq!(said, format!("error: {} is missing: make it with `fobd init`\n", path.display()));
    assert!(!path.exists());
}

#[test]
fn whatever_part_of_the_header_is_overwritten_a_refused_file_is_named_and_not_touched() {
    let installation = used(false);
    let location = Location { data_dir: installation.data_dir(), key_file: installation.key_file() };
    let path = installation.database();
    let whole = fs::read(&path).expect("the database");
    let mut refused_at = Vec::new();
    for at in (0..100).step_by(4) {
        for filler in [0x00, 0xff] {
            fs::write(&path, &whole).expect("the database");
            overwrite(&path, |bytes| bytes[at..at + 4].fill(filler));
            let damaged = fs::read(&path).expect("the database");
            // Parts that SQLite makes no use of do no harm.
            let Err(error) = Store::open(&location, Synchronous::Full, Arc::new(SystemClock)) else {
                continue;
            };
            let said = error.to_string();
            assert!(said.starts_with(&path.display().to_string()), "{said}");
            assert!(fs::read(&path).expect("the database") == damaged, "changed at {at}: {said}");
            refused_at.push(at);
        }
    }
    refused_at.dedup();
    println!("{refused_at:?}");
    // Magic, page size, format numbers, encoding, version of the tables.
    for at in [0, 4, 8, 12, 16, 20, 44, 56, 60] {
        assert!(refused_at.contains(&at), "{at} of {refused_at:?}");
    }
}

#[test]
fn a_second_server_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let installation = Installation::new();
    let server = installation.start();
    furnish(&server.client);
    let expected =
        format!("{} is held by another fobd: one server at a time", installation.data_dir().display());
    assert_refused(&installation, &expected);
    server.client.ok("user/create", json!({"attrs": {"domain.name": "acme", "loginName": "bob"}}));
    server.stop();
}

#[test]
fn an_address_that_is_not_this_machines_is_named() {
    let installation = Installation::new();
    let refused = fobd()
        .args(["serve", "--listen", "192.0.2.1:8480", "--data-dir"])
        .arg(installation.data_dir())
        .env("PCSCLITE_CSOCK_NAME", "/nonexistent")
        .output()
        .expect("fobd serve runs");
    let said = String::from_utf8(refused.stderr).expect("text");
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.lines().last().unwrap().starts_with("error: cannot listen on 192.0.2.1:8480: "), "{said}");
    assert_eq!(refused.stdout, b"");
}

#[test]
fn a_server_looks_for_readers_and_for_hid_interfaces() {
    let installation = Installation::new();
    let server = installation.start();
    let buses = server.client.ok("device/list", json!({}))["buses"].clone();
    // The installation of a test is led away from the machine's own pcscd.
    assert_eq!((&buses[0]["name"], &buses[0]["error"].is_string()), (&json!("pcsc"), &true));
    assert_eq!(buses[1], json!({"name": "hid", "error": null}));
    server.stop();
}
