//! Backups of a running server: consistent, checked, private, and never half there.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use firmware_fixtures::attach::VirtualBus;
use fobd::model::role::Role;
use fobd::store::backup::check;
use serde_json::json;
use sha2::Digest as _;

use super::{cli, hotp, is_accepted, with_tokens};
use crate::support::client::Client;
use crate::support::in_process::InProcess;
use crate::support::program::{Installation, fobd};

#[test]
fn a_backup_under_load_is_whole_private_and_without_the_master_key() {
    let installation = Installation::new();
    let server = with_tokens(&installation, 500);
    let file = installation.scratch().join("one.backup");
    let words = ["backup".as_ref(), file.as_os_str()];
    let over = AtomicBool::new(false);
    let (code, result, said) = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let client = Client::new(&server.client.base);
            let mut next = 0;
            while !over.load(Ordering::SeqCst) {
                assert!(is_accepted(&client, "S1", &hotp(next)));
                next += 1;
            }
        });
        let ended = cli(&installation, &server, &words);
        over.store(true, Ordering::SeqCst);
        load.join().expect("every verify is accepted");
        ended
    });
    assert_eq!(code, 0, "{said}");
    let about = check(&file).expect("a sound file");
    let report = crate::audit::assert_intact(&file);
    assert_eq!((result["auditRow"].as_i64(), &result["keyId"]), (report.last, &json!(about.master_key)));
    assert_eq!(result["bytes"], json!(fs::metadata(&file).unwrap().len()));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = fs::read_to_string(installation.key_file()).expect("the key");
    let digits = key.trim().as_bytes();
    let raw: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&key[2 * i..2 * i + 2], 16).unwrap()).collect();
    let content = fs::read(&file).expect("the backup");
    assert!(!content.windows(64).any(|part| part == digits) && !content.windows(32).any(|part| part == raw));
    let rows = server.client.ok("audit/search", json!({"action": "database/backup", "order": "asc"}));
    let outcomes: Vec<&str> =
        rows["rows"].as_array().unwrap().iter().map(|row| row["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["begun", "made"]);
    assert!(rows["rows"][1]["detail"].as_str().unwrap().ends_with(result["sha256"].as_str().unwrap()));
    // Never over another file.
    let (code, ..) = cli(&installation, &server, &words);
    assert_eq!((code, fs::read(&file).unwrap() == content), (2, true));
    let left = |dir: &std::path::Path| -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("backup")).collect()
    };
    assert_eq!(
        (left(installation.scratch()), left(&installation.data_dir())),
        (vec!["one.backup".into()], vec![])
    );
}

#[test]
fn only_an_admin_gets_a_backup() {
    let server = InProcess::start(VirtualBus::new());
    for (role, name) in Role::ALL.iter().filter(|(role, _)| *role != Role::Admin) {
        let (status, text) = server.with_role(name).raw_as("POST", "/backup", &[], "");
        assert!(status == 403 && text.contains("not allowed"), "{role:?}: {status} {text}");
    }
    assert_eq!(server.client.raw("POST", "/backup", &[], "").0, 401);
    assert_eq!(server.client.raw_as("GET", "/backup", &[], "").0, 405);
    let found = server.client.ok("audit/search", json!({"action": "database/backup"}));
    assert_eq!(found["rows"], json!([]));
}

#[test]
fn what_a_crash_left_of_a_backup_or_a_restore_is_taken_away_at_the_start() {
    let installation = Installation::new();
    let names = ["fobd.backup", "fobd.backup-journal", "fobd.restoring", "fobd.restoring-wal"];
    for name in names {
        fs::write(installation.data_dir().join(name), "half").expect("a file");
    }
    let server = installation.start();
    assert!(names.iter().all(|name| !installation.data_dir().join(name).exists()));
    let file = installation.scratch().join("fresh.backup");
    assert_eq!(cli(&installation, &server, &["backup".as_ref(), file.as_os_str()]).0, 0);
}

/// A server that answers one request with that.
fn answering(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut head = BufReader::new(stream.try_clone().expect("the stream")).lines();
        while head.next().is_some_and(|line| !line.expect("a line").is_empty()) {}
        drop(stream.write_all(&answer));
    });
    url
}

#[test]
fn what_does_not_come_whole_never_gets_the_name() {
    let installation = Installation::new();
    let digest = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(bytes));
    let answer = |length: usize, digest: &str, body: &[u8]| {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nRepr-Digest: sha-256=:{digest}:\r\n\r\n");
        [head.as_bytes(), body].concat()
    };
    let cases = [
        ("cut off", answer(1000, &digest(b"half"), b"half"), "the answer was cut off"),
        ("changed", answer(4, &digest(b"whole"), b"othr"), "the answer was cut off"),
        ("no database", answer(4, &digest(b"text"), b"text"), "cannot be used"),
    ];
    for (case, answer, why) in cases {
        let dir = installation.scratch().join(case.replace(' ', "-"));
        fs::create_dir(&dir).expect("a directory");
        let mut command = fobd();
        command.arg("backup").arg(dir.join("x.backup")).args(["--server", &answering(answer)]);
        let output =
            command.arg("--password-file").arg(installation.password_file()).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{case}: {said}");
        assert_eq!(fs::read_dir(&dir).expect("the directory").count(), 0, "{case}");
    }
}
