//! `GET /metrics`: who may read it, that it counts what happens, and that docs/operations.md has what it has.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::VirtualCard;
use firmware_fixtures::firmware::Firmware;
use serde_json::json;

use crate::support::client::{Client, PASSWORD};
use crate::support::in_process::InProcess;
use crate::support::program::{Installation, client_script, feed, python_tool};
use crate::support::raw::Raw;
use crate::support::{alice_is_let_in, furnish, give_alice_a_token};

fn text(client: &Client) -> String {
    let (status, text) = client.get_as("/metrics").expect("an answer");
    assert_eq!(status, 200, "{text}");
    text
}

/// The numbers by name and labels.
fn numbers(client: &Client) -> BTreeMap<String, f64> {
    let text = text(client);
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, number) = line.rsplit_once(' ').expect("a name and a number");
        (name.to_owned(), number.parse().expect("a number"))
    };
    samples.map(sample).collect()
}

#[test]
fn metrics_are_for_admins_auditors_and_monitors_who_see_everything() {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    assert_eq!(server.client.get("/metrics").expect("an answer").0, 401);
    for (role, status) in [
        ("admin", 200),
        ("auditor", 200),
        ("monitor", 200),
        ("helpdesk", 403),
        ("verifier", 403),
        ("station", 403),
    ] {
        assert_eq!(server.with_role(role).get_as("/metrics").expect("an answer").0, status, "{role}");
    }
    let attrs =
        json!({"name": "narrow", "role": "monitor", "password": PASSWORD, "domains": [{"name": "acme"}]});
    server.client.ok("operator/create", json!({ "attrs": attrs }));
    let narrow = Client::as_operator(&server.client.base, "narrow", PASSWORD);
    assert_eq!(
        narrow.get_as("/metrics").expect("an answer"),
        (403, r#"{"error":1007,"message":"you are not allowed to do that"}"#.to_owned())
    );
}

#[test]
fn metrics_count_what_happens_and_name_nobody() {
    let server = InProcess::start(VirtualBus::new());
    let client = &server.client;
    furnish(client);
    give_alice_a_token(client, "SERIAL-1");
    let before = numbers(client);
    for typed in ["1234755224", "1234755224", "1234000000", "9999287082"] {
        alice_is_let_in(client, typed);
    }
    client.error("token/get", json!({"token": {"serial": "NONE"}}));
    let mut connection = Raw::connect(&client.base);
    connection.send("BREW /no/where HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is sent");
    assert_eq!(connection.answer().status, 404);
    server.plug_in(&VirtualCard::new(Firmware::YUBIKEY_5_4_3, 12_345_678));
    client.ok("token/disable", json!({"token": {"serial": "SERIAL-1"}}));
    let after = numbers(client);
    let grown = |name: &str| {
        after.get(name).copied().unwrap_or_default() - before.get(name).copied().unwrap_or_default()
    };
    let verified = |result: &str, outcome: &str| {
        grown(&format!("fobd_verifications_total{{result=\"{result}\",outcome=\"{outcome}\"}}"))
    };
    assert_eq!(verified("accepted", "accepted"), 1.0);
    let refused = ["repeated", "wrong_passcode", "wrong_pin"].map(|outcome| verified("rejected", outcome));
    assert_eq!(refused, [1.0, 1.0, 1.0]);
    assert_eq!(grown("fobd_verify_seconds_count"), 4.0);
    assert!(grown("fobd_verify_seconds_sum") > 0.0);
    let requests = |route: &str, method: &str, status: &str| {
        grown(&format!(
            "fobd_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}"
        ))
    };
    assert_eq!(requests("/rpc", "POST", "2xx"), 6.0);
    assert_eq!(requests("none", "other", "4xx"), 1.0);
    assert_eq!(requests("/metrics", "GET", "2xx"), 1.0);
    // Five changes, and nobody else is there to share a commit.
    assert_eq!([grown("fobd_commit_requests_sum"), grown("fobd_audit_rows_total")], [5.0, 5.0]);
    assert!(grown("fobd_commit_seconds_count") >= 5.0);
    assert_eq!(after["fobd_commits_failed_total"], 0.0);
    assert_eq!(after["fobd_tokens{product=\"YK/OH\",status=\"DISABLED\"}"], 1.0);
    assert_eq!(after["fobd_devices{driver=\"ykoath\",state=\"ready\"}"], 1.0);
    // 2026-01-01T00:00:00Z, when this server's clock stands still.
    assert_eq!(after["process_start_time_seconds"], 1_767_225_600.0);
    assert_eq!((after["fobd_readable"], after["fobd_writable"]), (1.0, 1.0));
    let text = text(client);
    for word in ["alice", "acme", "SERIAL-1", "NONE", "/no/where", "12345678", "BREW"] {
        assert!(!text.contains(word), "{word} is in {text}");
    }
}

#[test]
fn jobs_are_counted_by_state() {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    let device = server.plug_in(&VirtualCard::new(Firmware::YUBIKEY_5_4_3, 12_345_678));
    let product = json!({"manufacturerCode": "YK", "productCode": "OH"});
    server.client.ok("device/program", json!({"device": device, "product": product, "wait": 30}));
    let numbers = numbers(&server.client);
    assert_eq!(numbers["fobd_jobs{state=\"ready\"}"], 1.0);
    assert_eq!(numbers["fobd_tokens{product=\"YK/OH\",status=\"ACTIVE\"}"], 1.0);
}

#[test]
fn a_database_that_cannot_be_read_or_written_is_told_and_the_rest_too() {
    let installation = Installation::new();
    let server = installation.start();
    furnish(&server.client);
    assert_eq!(numbers(&server.client)["fobd_readable"], 1.0);
    let database = rusqlite::Connection::open(installation.database()).unwrap();
    database.execute_batch("ALTER TABLE jobs RENAME TO hidden").unwrap();
    let hidden = numbers(&server.client);
    assert_eq!(hidden["fobd_readable"], 0.0);
    assert!(hidden["fobd_http_requests_total{route=\"/rpc\",method=\"POST\",status=\"2xx\"}"] >= 4.0);
    assert!(hidden.keys().all(|name| !name.starts_with("fobd_tokens")), "{hidden:?}");
    database.execute_batch("ALTER TABLE hidden RENAME TO jobs").unwrap();
    assert_eq!(numbers(&server.client)["fobd_readable"], 1.0);
    server.stop();

    let server = InProcess::start(VirtualBus::new());
    assert!(server.client.is_let_in());
    server.app.store.stop();
    assert_eq!(numbers(&server.client)["fobd_writable"], 0.0);
}

/// The table of docs/operations.md: name, labels, meaning, of all that this server has.
fn table(text: &str) -> String {
    let mut rows = Vec::new();
    for line in text.lines() {
        let Some((name, about)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) else {
            continue;
        };
        let kind =
            text.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).expect("a type");
        let labels = text.lines().filter_map(|line| {
            let labels = line.strip_prefix(name)?.strip_prefix('{')?.split_once('}')?.0;
            Some(
                labels
                    .split(',')
                    .filter_map(|label| label.split_once('='))
                    .map(|(label, _)| label)
                    .collect::<Vec<_>>(),
            )
        });
        let labels = labels.max_by_key(Vec::len).unwrap_or_default();
        let shown: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        rows.push(format!("| `{name}` | {kind} | {} | {about} |\n", shown.join(", ")));
    }
    rows.concat()
}

#[test]
fn the_table_of_the_documentation_is_what_the_server_has() {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    give_alice_a_token(&server.client, "SERIAL-1");
    alice_is_let_in(&server.client, "1234755224");
    let device = server.plug_in(&VirtualCard::new(Firmware::YUBIKEY_5_4_3, 12_345_678));
    let product = json!({"manufacturerCode": "YK", "productCode": "OH"});
    server.client.ok("device/program", json!({"device": device, "product": product, "wait": 30}));
    let made = table(&text(&server.client));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(&path).expect("docs/operations.md");
    let (start, rest) = page.split_once("|---|---|---|---|\n").expect("the table begins");
    let (there, end) = rest.split_once("\n\n").expect("the table ends");
    let there = format!("{there}\n");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{start}|---|---|---|---|\n{made}\n{end}")).expect("it is written");
    } else {
        assert_eq!(there, made, "UPDATE=1 cargo test --test main the_table_of_the_documentation");
    }
}

#[test]
fn a_library_of_prometheus_reads_them() {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    give_alice_a_token(&server.client, "SERIAL-1");
    alice_is_let_in(&server.client, "1234755224");
    let mut python = python_tool("python");
    python.arg(client_script("metrics_check.py"));
    let (passed, said) = feed(&mut python, text(&server.client).as_bytes());
    assert!(passed, "{said}");
    for family in ["fobd_verifications counter 1", "fobd_verify_seconds histogram 18", "fobd_tokens gauge 1"]
    {
        assert!(said.lines().any(|line| line == family), "{family}: {said}");
    }
}
