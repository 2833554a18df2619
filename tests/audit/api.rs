//! The audit log over HTTP, the API and the command line: who may read it, search, export, verify, prune.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use serde_json::{Value as Json, json};

use crate::support::client::Client;
use crate::support::in_process::InProcess;
use crate::support::program::{Installation, Server, client_script, fobd, python_tool, run};
use crate::support::{alice, alice_is_let_in, eventually, furnish, give_alice_a_token};

fn cli(installation: &Installation, server: &Server, words: &[&str]) -> Output {
    fobd()
        .args(words)
        .args(["--server", &server.client.base, "--password-file"])
        .arg(installation.password_file())
        .output()
        .expect("fobd runs")
}

/// What a command that must succeed prints.
fn told(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn verify(file: &Path, words: &[&str]) -> (i32, Json) {
    let output =
        fobd().args(["audit", "verify", "--json"]).arg(file).args(words).output().expect("fobd runs");
    let code = output.status.code().expect("a code");
    let shown = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (code, shown)
}

#[test]
fn an_auditor_reads_the_log_and_nobody_else_does() {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    for path in ["/audit/head", "/audit/export"] {
        assert_eq!(server.client.get(path).expect("an answer"), (401, String::new()), "{path}");
        for (role, status) in
            [("admin", 200), ("auditor", 200), ("helpdesk", 403), ("verifier", 403), ("station", 403)]
        {
            assert_eq!(server.with_role(role).get_as(path).expect("an answer").0, status, "{role} {path}");
        }
    }
    let before = json!({"before": "2025-01-01T00:00:00Z"});
    for role in ["helpdesk", "verifier", "station"] {
        let client = server.with_role(role);
        assert_eq!(client.error("audit/search", json!({})).kind, "permission.denied", "{role}");
        assert_eq!(client.error("audit/prune", before.clone()).kind, "permission.denied", "{role}");
    }
    let auditor = server.with_role("auditor");
    assert_eq!(auditor.error("audit/prune", before).kind, "permission.denied");
    assert_eq!(auditor.ok("audit/search", json!({"max": 1}))["rows"][0]["action"], "product/create");
    assert_eq!(auditor.get_as("/audit/export?after=1000").unwrap().0, 400);
}

#[test]
fn an_auditor_of_a_part_does_not_read_the_log_of_all() {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    let password = "a long text of their own";
    let attrs = json!({
        "name": "part", "role": "auditor", "password": password, "domains": [{"name": "acme"}],
    });
    server.client.ok("operator/create", json!({ "attrs": attrs }));
    let part = Client::as_operator(&server.client.base, "part", password);
    assert_eq!(part.ok("domain/search", json!({}))["total"], 1);
    assert_eq!(part.error("audit/search", json!({})).kind, "permission.denied");
    for path in ["/audit/head", "/audit/export"] {
        assert_eq!(part.get_as(path).expect("an answer").0, 403, "{path}");
    }
}

fn sequences(client: &Client, params: Json) -> Vec<i64> {
    let found = client.ok("audit/search", params);
    found["rows"].as_array().unwrap().iter().map(|row| row["sequence"].as_i64().unwrap()).collect()
}

/// What the searches of the test below find.
fn all_searches(client: &Client) -> Vec<Vec<i64>> {
    let token = json!({"serial": "S1"});
    [
        json!({"max": 1000}),
        json!({"order": "asc", "max": 3}),
        json!({"token": token}),
        json!({"token": "t1", "outcome": "accepted"}),
        json!({"user": alice(), "action": "auth/verify"}),
        json!({"operator": "admin", "action": "domain/create"}),
        json!({"operator": "nobody"}),
        json!({"outcome": "accepted", "from": "2026-01-01T00:00:05Z"}),
        json!({"from": "2026-01-01T00:00:10Z", "until": "2026-01-01T00:00:20Z"}),
        json!({"action": "auth/verify", "until": "2026-01-01T00:00:10Z", "order": "asc"}),
    ]
    .into_iter()
    .map(|params| sequences(client, params))
    .collect()
}

#[test]
fn a_search_finds_the_same_rows_before_and_after_they_are_indexed() {
    let server = InProcess::start(VirtualBus::new());
    let client = &server.client;
    furnish(client);
    give_alice_a_token(client, "S1");
    for typed in ["1234755224", "1234755224", "1234287082", "1234000000"] {
        server.clock.advance(Duration::from_secs(5));
        alice_is_let_in(client, typed);
    }
    let fresh = all_searches(client);
    let all = fresh[0].len() as i64;
    assert!(fresh[0].iter().copied().eq((1..=all).rev()), "newest first: {:?}", fresh[0]);
    assert_eq!(fresh[1], [1, 2, 3]);
    assert_eq!(fresh[2].len(), fresh[4].len() + 1, "an assignment and four verifies");
    assert_eq!(fresh[3], [all - 1, all - 3]);
    assert_eq!(fresh[5], [1]);
    assert_eq!(fresh[6], Vec::<i64>::new());
    assert_eq!(fresh[8], [all - 1, all - 2]);
    assert_eq!(fresh[9], [all - 3]);
    let read = |reader: &fobd::store::Reader<'_>| reader.audit_progress("index");
    eventually("the index", || {
        let indexed = server.block_on(server.app.store.read(read)).unwrap();
        (indexed == Some(all)).then_some(())
    });
    assert_eq!(all_searches(client), fresh);
    // Page by page.
    let (mut paged, mut cursor) = (Vec::new(), Json::Null);
    loop {
        let mut params = json!({"max": 3});
        if cursor.is_string() {
            params["cursor"] = cursor;
        }
        let page = client.ok("audit/search", params);
        paged.extend(page["rows"].as_array().unwrap().iter().map(|row| row["sequence"].as_i64().unwrap()));
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(paged, fresh[0]);
    for (member, wrong) in [("cursor", "x"), ("from", "yesterday"), ("until", "")] {
        assert_eq!(client.error("audit/search", json!({member: wrong})).kind, "request.invalid", "{member}");
    }
    let row = &client.ok("audit/search", json!({"token": "t1", "max": 1}))["rows"][0];
    assert_eq!(
        (&row["token"], &row["user"]["loginName"]),
        (&json!({"id": "t1", "serial": "S1"}), &json!("alice"))
    );
}

#[test]
fn pruned_rows_are_gone_and_the_log_still_proves_itself() {
    let installation = Installation::new();
    let server = installation.start();
    furnish(&server.client);
    let newest = sequences(&server.client, json!({"max": 1}))[0];
    let between = jiff_now_after_a_moment();
    server.client.ok("domain/create", json!({"attrs": {"name": "later.example"}}));
    let head = told(&cli(&installation, &server, &["audit", "head"]));
    assert_eq!(
        server.client.error("audit/prune", json!({"before": "2999-01-01T00:00:00Z"})).message,
        "`before` must be past"
    );
    let pruned = cli(&installation, &server, &["audit", "prune", "--before", &between, "--yes", "--json"]);
    let pruned: Json = serde_json::from_str(&told(&pruned)).unwrap();
    assert_eq!(pruned, json!({"cut": newest, "removed": newest}));
    let rows = server.client.ok("audit/search", json!({"order": "asc"}))["rows"].clone();
    assert_eq!((&rows[0]["sequence"], &rows[0]["detail"]), (&json!(newest + 1), &rows[0]["detail"]));
    assert_eq!((&rows[1]["action"], &rows[1]["outcome"]), (&json!("audit/prune"), &json!("pruned")));
    let again = server.client.ok("audit/prune", json!({"before": between}));
    assert_eq!(again, json!({"cut": newest, "removed": 0}));
    let export = installation.scratch().join("export.jsonl");
    told(&cli(&installation, &server, &["audit", "export", "--output", export.to_str().unwrap()]));
    server.stop();
    // The heads that somebody kept before the cut was made still prove what is there.
    for file in [installation.database(), export] {
        let (code, report) = verify(&file, &["--head", &head]);
        assert_eq!(
            (code, &report["intact"], &report["proven"]),
            (0, &json!(true), &json!(newest + 1)),
            "{report}"
        );
    }
}

/// A time that all later rows are after.
fn jiff_now_after_a_moment() -> String {
    std::thread::sleep(Duration::from_millis(3));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    std::thread::sleep(Duration::from_millis(3));
    let millis = i64::try_from(now.as_millis()).unwrap();
    fobd::store::objects::iso(fobd::otp::time::Timestamp::from_millis(millis))
}

#[test]
fn a_copy_and_an_export_are_verified_and_exit_codes_tell_how_it_went() {
    let installation = Installation::new();
    let server = installation.start();
    furnish(&server.client);
    let key = told(&cli(&installation, &server, &["audit", "key"])).trim().to_owned();
    let head = told(&cli(&installation, &server, &["audit", "head"]));
    let export = installation.scratch().join("export.jsonl");
    let path = export.to_str().unwrap().to_owned();
    told(&cli(&installation, &server, &["audit", "export", "--output", &path]));
    let mut report = verify(&export, &["--head", &head, "--key", &key]);
    let rows = report.1["rows"].as_i64().unwrap();
    assert_eq!((report.0, &report.1["proven"]), (0, &json!(rows)));
    assert_eq!(verify(&export, &[]).0, 7);
    // An independent reading of docs/audit.md.
    let mut script = python_tool("python3");
    let said = run(script.arg(client_script("audit_check.py")).arg(&export).arg(&key));
    assert_eq!(said.trim(), format!("{rows} rows, signed"));
    // Beside the running server as well, and with what only its write-ahead log has.
    assert_eq!(verify(&installation.database(), &["--head", &head, "--key", &key]).0, 0);
    server.stop();
    let copy = installation.scratch().join("a copy?#.db");
    std::fs::copy(installation.database(), &copy).unwrap();
    assert_eq!(run(fobd().args(["audit", "key"]).arg(&copy)).trim(), key);
    let output = fobd().args(["audit", "verify"]).arg(&copy).args(["--key", &key]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("every row follows the one before") && said.contains("tail not proven"), "{said}");

    // One character of the export, and one line less at its end.
    let text = std::fs::read_to_string(&export).unwrap();
    std::fs::write(&export, text.replacen("\"detail\":\"", "\"detail\":\"x", 1)).unwrap();
    report = verify(&export, &["--head", &head]);
    assert_eq!(
        (report.0, &report.1["finding"]),
        (1, &json!({"row": 1, "fault": "changed", "message": "row 1 was changed"}))
    );
    let cut: Vec<&str> = text.lines().collect();
    std::fs::write(&export, cut[..cut.len() - 1].join("\n")).unwrap();
    assert_eq!(verify(&export, &[]).1["finding"]["fault"], "truncated");

    for (words, file) in [(["--key", "12"], &copy), (["--head", "{}"], &copy)] {
        let output = fobd().args(["audit", "verify"]).arg(file).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
    let output = fobd().args(["audit", "verify"]).arg(installation.password_file()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn curl_gets_the_head_and_an_export_that_goes_on_after_another_one() {
    let installation = Installation::new();
    let server = installation.start();
    furnish(&server.client);
    let login = format!("{}:{}", crate::support::client::ADMIN, crate::support::client::PASSWORD);
    let curl = |path: &str| {
        run(Command::new("curl").args(["-sSf", "-u", &login]).arg(format!("{}{path}", server.client.base)))
    };
    let head: Json = serde_json::from_str(&curl("/audit/head")).unwrap();
    let last = head["sequence"].as_i64().unwrap();
    let all = curl("/audit/export");
    let rest = curl("/audit/export?after=2");
    let rows = |text: &str| text.lines().filter(|line| line.contains("\"type\":\"row\"")).count() as i64;
    assert_eq!((rows(&all), rows(&rest)), (last, last - 2));
    let file = installation.scratch().join("rest.jsonl");
    std::fs::write(&file, rest).unwrap();
    assert_eq!(verify(&file, &["--head", &head.to_string()]).1["proven"], json!(last));
    server.stop();
}
