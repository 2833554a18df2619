//! A disk that takes no more: nobody is told a change that was not saved, and the server says that it is not ready.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fobd::otp::algorithm::Algorithm;
use serde_json::{Value as Json, json};

use crate::otp_oracle::passcode;
use crate::support::client::Client;
use crate::support::program::{Installation, Server};
use crate::support::{RFC_SECRET_HEX, furnish, import_hotp};

/// Moves the data directory onto a file system of 3 MiB that only the server sees, and runs the server.
const ON_A_SMALL_DISK: &str = r#"
set -e
data=$1; shift
mkdir "$data.disk"
mount -t tmpfs -o size=3m,mode=700 tmpfs "$data.disk"
cp -a "$data/." "$data.disk"
mount --bind "$data.disk" "$data"
exec "$@"
"#;

fn question(counter: u64) -> Json {
    let typed = passcode(b"12345678901234567890", Algorithm::Sha1, 6, counter);
    json!({"token": {"serial": "S1"}, "credential": {"otp": typed}})
}

fn is_accepted(client: &Client, counter: u64) -> bool {
    client.ok("auth/verify", question(counter))["accepted"] == json!(true)
}

fn ready(client: &Client) -> (u16, String) {
    client.get("/readyz").expect("an answer")
}

/// Nothing can be saved: every change is refused as such in both envelopes, and what is there can be read.
fn assert_that_nothing_is_saved(client: &Client) {
    let said = "the server cannot save changes right now: try again later";
    for _ in 0..3 {
        let error = client.error("auth/verify", question(1));
        assert_eq!((error.code, &*error.kind, &*error.message), (1001, "unavailable", said));
    }
    let answer = client.das5("auth/verify", &question(1));
    assert_eq!((&answer["error"], &answer["data"]["kind"]), (&json!(1001), &json!("unavailable")));
    let user = json!({"attrs": {"domain.name": "acme", "loginName": "bob"}});
    assert_eq!(client.error("user/create", user).kind, "unavailable");
    assert_eq!(ready(client), (503, "changes cannot be saved\n".to_owned()));
    assert_eq!(client.get("/healthz").expect("an answer").0, 200);
    let users = client.ok("user/search", json!({"return": ["loginName"]}));
    assert_eq!(users["rows"], json!([{"loginName": "alice"}]));
    assert_eq!(counter(client), json!({"counter": 1}));
}

fn counter(client: &Client) -> Json {
    client.ok("token/get", json!({"token": {"serial": "S1"}, "return": ["counter"]}))
}

fn prepare(server: &Server) {
    furnish(&server.client);
    import_hotp(&server.client, &format!("S1,{RFC_SECRET_HEX}\n"));
    assert!(is_accepted(&server.client, 0));
    assert_eq!(ready(&server.client), (200, "ready\n".to_owned()));
}

fn on_a_small_disk() -> Installation {
    let installation = Installation::new();
    let data_dir = installation.data_dir();
    // Root needs no user namespace, and in a chroot it could not have one.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let unshare = if is_root { "-m" } else { "-rm" };
    let words = ["unshare", unshare, "sh", "-c", ON_A_SMALL_DISK, "sh"].map(PathBuf::from);
    installation.wrapper(words.into_iter().chain([data_dir]))
}

/// A file on the disk that only the server sees.
fn ballast(installation: &Installation, server: &Server) -> PathBuf {
    let data_dir = installation.data_dir();
    let inside = data_dir.strip_prefix("/").expect("an absolute path");
    Path::new("/proc").join(server.pid().to_string()).join("root").join(inside).join("ballast")
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut ballast = File::create(path).expect("the ballast");
    let refused = (0..10_000).find_map(|_| ballast.write_all(&[0; 4096]).err()).expect("a small disk");
    assert_eq!(refused.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn a_full_disk_is_reported_and_once_there_is_space_again_everything_goes_on() {
    let installation = on_a_small_disk();
    let server = installation.start();
    let client = &server.client;
    prepare(&server);

    let ballast = ballast(&installation, &server);
    fill(&ballast);
    assert_that_nothing_is_saved(client);

    fs::remove_file(&ballast).expect("space again");
    // Nobody sends changes to a server that is not ready, so it has to find out without.
    assert_eq!(ready(client), (200, "ready\n".to_owned()));
    assert!(is_accepted(client, 1), "what was refused was not spent");
    assert!(!is_accepted(client, 1));
    assert_eq!(counter(client), json!({"counter": 2}));
    server.stop();
}

#[test]
fn a_backup_that_would_fill_the_disk_is_not_made_and_logins_go_on() {
    let installation = on_a_small_disk();
    let server = installation.start();
    let client = &server.client;
    prepare(&server);
    let ballast = ballast(&installation, &server);
    fill(&ballast);
    let file = File::options().write(true).open(&ballast).expect("the ballast");
    let full = file.metadata().expect("its length").len();
    file.set_len(full - 150_000).expect("a little space");
    let (status, text) = client.raw_as("POST", "/backup", &[], "");
    assert!(status == 503 && text.contains("no room for the copy"), "{status}: {text}");
    assert!(is_accepted(client, 1));
    // Nothing is free as long as it is open.
    drop(file);
    fs::remove_file(&ballast).expect("space again");
    assert_eq!(client.status_of("POST", "/backup"), 200);
    server.stop();
}

#[test]
fn a_disk_that_fails_stops_all_changes_until_the_next_start_even_if_the_log_cannot_be_written() {
    // A limit on the size of files makes writes fail with EFBIG, which SQLite takes for a failing disk. The log is
    // a file as well.
    let installation = Installation::new().wrapper(["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    let server = installation.start();
    let client = &server.client;
    prepare(&server);

    limit_files(&server, "0");
    assert_that_nothing_is_saved(client);
    limit_files(&server, "unlimited");
    // After a failed write nobody knows what is on the disk, whatever a second try says.
    assert_that_nothing_is_saved(client);
    let log = fs::read_to_string(installation.log_file()).expect("the log");
    assert!(log.contains("the store refused"), "{log}");
    server.stop();

    let server = installation.start();
    assert_eq!(ready(&server.client), (200, "ready\n".to_owned()));
    assert_eq!(counter(&server.client), json!({"counter": 1}));
    assert!(is_accepted(&server.client, 1));
    assert!(!is_accepted(&server.client, 1));
    server.stop();
}

fn limit_files(server: &Server, bytes: &str) {
    let pid = server.pid().to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status();
    assert!(limited.expect("prlimit runs").success());
}
