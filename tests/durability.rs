//! Durability, seen from the system calls of the shipped program: `kill -9` keeps the page cache, a power cut does
//! not, and only the order of write, fdatasync and send tells whether an answer could outlive what it promised.
//!
//! The same check runs over a server that never syncs and over traces written by hand, and must object to them.

mod trace;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use fobd::otp::algorithm::Algorithm;
use serde_json::json;

use self::trace::{Trace, Violation, check};
use crate::otp_oracle::passcode;
use crate::support::client::{ADMIN, Client};
use crate::support::program::{Installation, Server, fobd};
use crate::support::{RFC_SECRET_HEX, furnish, import_hotp};

const SECRET: &[u8] = b"12345678901234567890";
/// How long strace may take to write the end of a trace.
const PATIENCE: Duration = Duration::from_secs(20);
/// What may carry data to a file, a disk or a client, and what brings requests.
const CALLS: &str = "trace=read,readv,recvfrom,recvmsg,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,\
                     fsync,fdatasync,sync_file_range,rename,renameat,renameat2";

/// The words that run a program under strace.
fn strace(trace: &Path) -> Vec<String> {
    let probe = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    let probe = probe.expect("strace is missing: run `make setup`");
    assert!(
        probe.status.success(),
        "strace may not trace here, and without it nothing shows that answers wait for the disk: {}",
        String::from_utf8_lossy(&probe.stderr)
    );
    let trace = trace.to_str().expect("a path in UTF-8");
    // -D: the child of this test is the traced program, and gets its signals.
    ["strace", "-D", "-f", "-yy", "-s", "400", "-e", CALLS, "-e", "signal=none", "-o", trace]
        .map(str::to_owned)
        .to_vec()
}

/// Reads a trace once the traced program has come to its end in it.
fn read_trace(path: &Path, pid: u32) -> Trace {
    // Short process ids are padded.
    let end = format!("{pid:<5} +++ exited with 0 +++\n");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).expect("a trace");
        if text.ends_with(&end) {
            return Trace::parse(&text);
        }
        let last = text.lines().last();
        assert!(Instant::now() < deadline, "the trace does not end as it must, but with {last:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the audit of a run needs: how many were let in, and the trace.
struct Run {
    let_in: usize,
    trace: Trace,
}

/// Runs a server under strace, lets in six alone and then three times sixteen at once, and stops it.
fn run(unsafe_no_sync: bool) -> Run {
    let mut installation = Installation::new();
    let path = installation.scratch().join("trace");
    installation = installation.wrapper(strace(&path));
    if unsafe_no_sync {
        installation = installation.argument("--unsafe-no-sync");
    }
    let server = installation.start();
    let pid = server.pid();
    let let_in = ask(&server);
    server.stop();
    Run { let_in, trace: read_trace(&path, pid) }
}

fn ask(server: &Server) -> usize {
    const AT_ONCE: usize = 16;
    const BURSTS: u64 = 3;
    let client = &server.client;
    furnish(client);
    import_hotp(client, &(0..AT_ONCE).map(|n| format!("S{n},{RFC_SECRET_HEX}\n")).collect::<String>());
    let verify = |client: &Client, token: usize, counter: u64| {
        let typed = passcode(SECRET, Algorithm::Sha1, 6, counter);
        let question = json!({"token": {"serial": format!("S{token}")}, "credential": {"otp": typed}});
        assert_eq!(client.ok("auth/verify", question), json!({"accepted": true}));
    };
    for token in 0..6 {
        verify(client, token, 0);
    }
    let start = Barrier::new(AT_ONCE);
    std::thread::scope(|scope| {
        for token in 0..AT_ONCE {
            let (start, verify) = (&start, &verify);
            let client = Client::new(&client.base);
            scope.spawn(move || {
                for counter in 1..=BURSTS {
                    start.wait();
                    verify(&client, token, counter);
                }
            });
        }
    });
    6 + AT_ONCE * BURSTS as usize
}

#[test]
fn no_acceptance_leaves_before_its_change_is_on_the_disk() {
    let Run { let_in, trace } = run(false);
    assert_eq!(check(&trace), Ok(let_in));
}

#[test]
fn a_server_that_does_not_sync_is_caught_by_the_same_check() {
    let Run { trace, .. } = run(true);
    assert_eq!(check(&trace), Err(Violation::NotSynced));
}

#[test]
fn init_has_keys_and_database_on_the_disk_before_it_says_so() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (data, path) = (dir.path().join("data"), dir.path().join("trace"));
    let mut words = strace(&path);
    // Here strace may be the parent: it hands on the exit status.
    words.retain(|word| word != "-D");
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(fobd().get_program());
    command.args(["init", "--admin", ADMIN, "--data-dir"]).arg(&data);
    let made = command.output().expect("strace runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let trace = Trace::parse(&fs::read_to_string(&path).expect("a trace"));
    let said = trace.first_write_to_stdout().expect("it says what it made");
    for (file, unfinished) in [("keys/master.key", "keys/master.key.new"), ("fobd.db", "fobd.new")] {
        let (file, unfinished) = (data.join(file), data.join(unfinished));
        let written = trace.last_write_to(&unfinished).expect("it is written");
        let synced = trace.sync_after(&unfinished, written).expect("it is synced after its last write");
        let renamed = trace.rename(&unfinished, &file).expect("it gets its name when it is whole");
        assert!(synced < renamed, "{}", file.display());
        let parent = file.parent().expect("a directory");
        let name_synced = trace.sync_after(parent, renamed).expect("its name is synced");
        assert!(name_synced < said, "{}", file.display());
    }
    // The directories themselves are names too.
    for made in [data.join("keys"), data.clone()] {
        let parent = made.parent().expect("a directory");
        let synced = trace.sync_after(parent, 0).expect("the name of a new directory is synced");
        assert!(synced < said, "{}", made.display());
    }
}

#[test]
fn a_second_init_changes_nothing_and_says_why() {
    let installation = Installation::new();
    installation.start().stop();
    let content = |installation: &Installation| {
        ["fobd.db", "keys/master.key"]
            .map(|name| fs::read(installation.data_dir().join(name)).expect("a file"))
    };
    let names = |installation: &Installation| {
        let mut names: Vec<_> = walk(&installation.data_dir());
        names.sort();
        names
    };
    let (before, names_before) = (content(&installation), names(&installation));
    let elsewhere = installation.scratch().join("elsewhere/master.key");
    let again = fobd()
        .args(["init", "--admin", "mallory", "--data-dir"])
        .arg(installation.data_dir())
        .arg("--key-file")
        .arg(&elsewhere)
        .output()
        .expect("fobd init runs");
    assert_eq!(again.status.code(), Some(1));
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    let expected =
        format!("error: {} is there already: nothing was changed\n", installation.database().display());
    assert_eq!((said, again.stdout), (expected, Vec::new()));
    assert_eq!((content(&installation), names(&installation)), (before, names_before));
    assert!(!elsewhere.exists() && !installation.scratch().join("elsewhere").exists());
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found
}
