//! The care of what must not be lost and not leak: keys are changed, backups made and restored.

mod backup;
mod restore;
mod rotate;
mod rotate_crash;

use std::ffi::OsStr;
use std::fs;
use std::process::Output;
use std::time::{SystemTime, UNIX_EPOCH};

use fobd::otp::algorithm::Algorithm;
use serde_json::{Value as Json, json};

use crate::otp_oracle::passcode;
use crate::support::client::Client;
use crate::support::program::{Installation, Server, fobd};
use crate::support::{RFC_SECRET_HEX, furnish, import_hotp, product};

/// Runs the command line as the admin; exit code, output and what else is said.
fn cli<A: AsRef<OsStr>>(installation: &Installation, server: &Server, words: &[A]) -> (i32, Json, String) {
    let mut command = fobd();
    command.args(words).args(["--json", "--server", &server.client.base, "--password-file"]);
    ended(command.arg(installation.password_file()).output().expect("fobd runs"))
}

fn ended(output: Output) -> (i32, Json, String) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().unwrap_or_else(|| panic!("{}: {said}", output.status));
    (code, serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

/// What an HOTP token with the secret of the RFC shows.
fn hotp(counter: u64) -> String {
    passcode(b"12345678901234567890", Algorithm::Sha1, 6, counter)
}

fn is_accepted(client: &Client, serial: &str, typed: &str) -> bool {
    let question = json!({"token": {"serial": serial}, "credential": {"otp": typed}});
    client.ok("auth/verify", question)["accepted"] == json!(true)
}

/// A server with the HOTP tokens `S1` to `Sn` of the RFC.
fn with_tokens(installation: &Installation, count: usize) -> Server {
    let server = installation.start();
    furnish(&server.client);
    let rows: String = (1..=count).map(|number| format!("S{number},{RFC_SECRET_HEX}\n")).collect();
    import_hotp(&server.client, &rows);
    server
}

/// Imports TOTP tokens with the secret of the RFC.
fn import_totp(client: &Client, serial: &str) {
    let data = format!("{serial},{RFC_SECRET_HEX}\n");
    client.ok("token/import", json!({"attrs": {"product": product("OT"), "data": data}}));
}

/// The time step that it is.
fn step_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs() / 30
}

#[test]
fn serve_warns_while_the_master_key_lies_beside_the_database() {
    const WARNING: &str = "the master key lies beside the database";
    let installation = Installation::new();
    installation.start().stop();
    let log = fs::read_to_string(installation.log_file()).expect("the log");
    assert!(log.contains(WARNING), "{log}");
    let elsewhere = installation.scratch().join("elsewhere.key");
    fs::rename(installation.key_file(), &elsewhere).expect("the key");
    fs::remove_file(installation.log_file()).expect("the log");
    let installation = installation.argument("--key-file").argument(elsewhere);
    installation.start().stop();
    let log = fs::read_to_string(installation.log_file()).expect("the log");
    assert!(!log.contains(WARNING), "{log}");
}
