//! A restored database knows less than was promised: nothing that was good after the backup is good twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fobd::store::backup::check;
use rusqlite::Connection;
use serde_json::{Value as Json, json};

use super::{cli, ended, hotp, import_totp, is_accepted, step_now, with_tokens};
use crate::support::agents;
use crate::support::client::{ADMIN, Client, PASSWORD};
use crate::support::program::{Installation, Server, fobd};

const HELPDESK: &str = "O=Helpdesk, L=London, C=GB";

fn backup(installation: &Installation, server: &Server) -> PathBuf {
    let file = installation.scratch().join("kept.backup");
    let (code, _, said) = cli(installation, server, &["backup".as_ref(), file.as_os_str()]);
    assert_eq!(code, 0, "{said}");
    file
}

/// `fobd restore` with the installation's key, into its directory unless another one is given.
fn restore_command(installation: &Installation, file: &Path, data_dir: &Path) -> Command {
    let mut command = fobd();
    command.arg("restore").arg(file).arg("--data-dir").arg(data_dir).arg("--json");
    command.arg("--key-file").arg(installation.key_file());
    command
}

fn restore(installation: &Installation, file: &Path, words: &[&str]) -> (i32, Json, String) {
    let mut command = restore_command(installation, file, &installation.data_dir());
    ended(command.args(words).output().expect("fobd restore runs"))
}

/// All files of a directory but the lock, with what is in them.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file() && !path.ends_with("fobd.lock"));
    files.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

fn session(client: &Client) -> Client {
    let body = json!({"Username": ADMIN, "Password": PASSWORD, "AgentId": ""}).to_string();
    let kind = ("Content-Type", "application/json");
    let (status, text) = client.raw("POST", "/Authentication/V1/Tokens", &[kind], &body);
    assert_eq!(status, 200, "{text}");
    let token: String = serde_json::from_str(&text).expect("a token");
    Client::with_authorization(&client.base, &format!("FCF {token}"))
}

#[test]
fn what_was_accepted_after_the_backup_is_never_accepted_again() {
    let installation = Installation::new();
    let server = with_tokens(&installation, 2);
    import_totp(&server.client, "T1");
    assert!(is_accepted(&server.client, "S1", &hotp(0)));
    let open = session(&server.client);
    assert!(open.is_let_in());
    let group = agents::group(&server.client, "O=Head Office, L=London, C=GB");
    let token = agents::preauth(&server.client, &group, HELPDESK, None);
    let head = server.client.get_as("/audit/head").expect("a head").1;
    let file = backup(&installation, &server);
    agents::register(&server.client.base, &group, HELPDESK, &token).expect("an agent");
    assert!(is_accepted(&server.client, "S1", &hotp(1)) && is_accepted(&server.client, "S1", &hotp(2)));
    // A device that is ahead: the furthest step that the window takes.
    let step = step_now() + 2;
    assert!(is_accepted(&server.client, "T1", &hotp(step)));
    let later = server.client.get_as("/audit/head").expect("a head").1;
    server.stop();

    let heads = installation.scratch().join("heads");
    fs::write(&heads, format!("{head}\n{later}\n")).expect("the heads");
    let (code, result, said) =
        restore(&installation, &file, &["--replace", "--head", heads.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(
        (&result["toResync"], &result["totp"], &result["sessionsEnded"], &result["preAuthTokensEnded"]),
        (&json!(2), &json!(1), &json!(1), &json!(1))
    );
    let (head, later): (Json, Json) =
        (serde_json::from_str(&head).unwrap(), serde_json::from_str(&later).unwrap());
    assert_eq!((&result["proven"], &result["lostUntil"]), (&head["sequence"], &later["sequence"]));

    let server = installation.start();
    let client = &server.client;
    for counter in 0..4 {
        assert!(!is_accepted(client, "S1", &hotp(counter)), "counter {counter}");
    }
    for step in step - 4..=step {
        assert!(!is_accepted(client, "T1", &hotp(step)), "step {step}");
    }
    assert!(!Client::with_authorization(&client.base, &open.authorization()).is_let_in());
    assert!(agents::register(&client.base, &group, HELPDESK, &token).is_err(), "it was used");
    client.ok(
        "token/syncToken",
        json!({"token": {"serial": "S1"}, "credential": format!("{},{}", hotp(5), hotp(6))}),
    );
    assert!(is_accepted(client, "S1", &hotp(7)) && !is_accepted(client, "S1", &hotp(6)));
    let told = client.ok("audit/search", json!({"action": "database/restore"}));
    assert_eq!(told["rows"][0]["operator"], "restore");
    server.stop();

    // The log goes on over the seam, as another node.
    crate::audit::assert_intact(&installation.database());
    let database = Connection::open(installation.database()).unwrap();
    let nodes: i64 = database.query_row("SELECT count(*) FROM audit_nodes", [], |row| row.get(0)).unwrap();
    assert_eq!(nodes, 2);
    let kept = PathBuf::from(result["replaced"].as_str().expect("the old one"));
    check(&kept).expect("the old database is whole");
}

#[test]
fn what_is_wrong_with_backup_key_or_directory_is_said_and_nothing_changes() {
    let (installation, other) = (Installation::new(), Installation::new());
    let server = with_tokens(&installation, 200);
    let file = backup(&installation, &server);
    let (code, _, said) = restore(&installation, &file, &["--replace"]);
    assert!(code == 1 && said.contains("one server at a time"), "{said}");
    server.stop();
    let before = content(&installation.data_dir());
    let refused = |file: &Path, words: &[&str], why: &str| {
        let (code, _, said) = restore(&installation, file, words);
        assert!(code == 1 && said.contains(why), "{why}: {said}");
        assert!(content(&installation.data_dir()) == before, "{why}: the files have changed");
    };
    refused(&file, &[], "is there already");
    refused(&installation.password_file(), &["--replace"], "cannot be used");
    let edited = |name: &str, edit: &dyn Fn(&Path)| {
        let path = installation.scratch().join(name);
        fs::copy(&file, &path).expect("a copy");
        edit(&path);
        path
    };
    let sql =
        |sql: &'static str| move |path: &Path| Connection::open(path).unwrap().execute_batch(sql).unwrap();
    let cut = edited("cut", &|path| {
        let half = fs::metadata(path).unwrap().len() / 2;
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(half).unwrap();
    });
    refused(&cut, &["--replace"], "cannot be used");
    let blot = edited("blot", &|path| {
        // Of a table that is not needed to open the file, so that only the check of all pages can find it.
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'credentials'";
        let page: i64 = Connection::open(path).unwrap().query_row(root, [], |row| row.get(0)).unwrap();
        let page = usize::try_from(page).unwrap();
        let mut bytes = fs::read(path).unwrap();
        bytes[(page - 1) * 4096..page * 4096].fill(0xff);
        fs::write(path, bytes).unwrap();
    });
    refused(&blot, &["--replace"], "damaged");
    refused(&edited("newer", &sql("PRAGMA user_version = 99")), &["--replace"], "use a newer fobd");
    let tampered = edited("tampered", &sql("UPDATE audit SET detail = 'x' WHERE sequence = 3"));
    refused(&tampered, &["--replace"], "not intact: row 3 was changed");
    let ahead = edited("ahead", &sql("UPDATE audit SET at_ms = at_ms + 86400000"));
    refused(&ahead, &["--replace"], "set the clock first");
    fs::write(installation.scratch().join("kept.backup-wal"), "x").expect("a log");
    refused(&file, &["--replace"], "and no backup");
    fs::remove_file(installation.scratch().join("kept.backup-wal")).expect("the log");

    let mut command = fobd();
    command.arg("restore").arg(&file).arg("--replace").arg("--data-dir").arg(installation.data_dir());
    let (code, _, said) = ended(command.arg("--key-file").arg(other.key_file()).output().unwrap());
    assert!(code == 1 && said.contains("does not belong to this database"), "{said}");
    assert!(content(&installation.data_dir()) == before, "the files have changed");

    let (code, result, said) = restore(&installation, &tampered, &["--replace", "--despite-audit"]);
    assert_eq!((code, &result["finding"]), (0, &json!("row 3 was changed")), "{said}");
    installation.start().stop();
}

#[test]
fn a_kill_9_in_the_middle_leaves_no_half_database() {
    let installation = Installation::new();
    let server = with_tokens(&installation, 2000);
    let file = backup(&installation, &server);
    server.stop();
    let dir = installation.scratch().join("restored");
    let mut killed = 0;
    for round in 0..12_u64 {
        let mut running =
            restore_command(&installation, &file, &dir).arg("--replace").spawn().expect("a restore");
        std::thread::sleep(Duration::from_millis(25 * round));
        running.kill().expect("kill");
        killed += usize::from(!running.wait().expect("wait").success());
        let database = dir.join("fobd.db");
        if database.exists() {
            check(&database).expect("a whole database");
            let database = Connection::open(&database).unwrap();
            let done = "SELECT count(*) FROM token_states WHERE needs_sync";
            assert_eq!(database.query_row(done, [], |row| row.get::<_, i64>(0)).unwrap(), 2000);
        }
    }
    let (code, result, said) =
        ended(restore_command(&installation, &file, &dir).arg("--replace").output().expect("a restore"));
    assert_eq!((code, &result["toResync"]), (0, &json!(2000)), "{said}");
    assert!(!dir.join("fobd.restoring").exists());
    println!("{killed} of 12 were cut off");
    assert!(killed > 0);
}
