//! The shipped program, asked by clients nobody here wrote: a JSON-RPC library from `PyPI`, one from npm, and `curl`.
//!
//! Both libraries are given the same list, `tests/clients/document.json`: the document's nine requests in their
//! repaired form, in order, with all leniences, a batch and errors. The clients compare the answers themselves.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use crate::support::RFC_SECRET_HEX;
use crate::support::client::{ADMIN, PASSWORD};
use crate::support::program::{Installation, client_script, node_tool, python_tool, run};

/// What the steps of the list are called.
fn steps() -> Vec<String> {
    let text = fs::read_to_string(client_script("document.json")).unwrap();
    let steps: Vec<Json> = serde_json::from_str(&text).unwrap();
    steps.iter().map(|step| step["what"].as_str().unwrap().to_owned()).collect()
}

/// Runs a client against a new server; it must have got the expected answer to every step.
fn replay(mut client: Command) {
    let installation = Installation::new();
    let server = installation.start();
    client.args([&server.client.base, ADMIN]).arg(installation.password_file());
    let said = run(client.env("no_proxy", "127.0.0.1"));
    assert_eq!(said.lines().collect::<Vec<_>>(), steps());
    server.stop();
}

#[test]
fn the_list_has_all_nine_requests_of_the_document_in_order() {
    let mut numbered: Vec<String> = steps()
        .iter()
        .filter_map(|what| what.split_once(": ").filter(|(_, rest)| rest.starts_with("token/")))
        .map(|(number, rest)| format!("{number} {}", rest.split(',').next().unwrap()))
        .collect();
    numbered.dedup();
    let expected = [
        "1 token/create",
        "2 token/create",
        "3 token/delete",
        "4 token/reset",
        "5 token/confine",
        "6 token/release",
        "7 token/import",
        "8 token/syncToken",
        "9 token/batchAssignTokens",
    ];
    assert_eq!(numbered, expected);
}

#[test]
fn a_python_library_gets_the_expected_answer_to_every_request_of_the_document() {
    let mut python = python_tool("python");
    python.arg(client_script("document.py"));
    replay(python);
}

#[test]
fn an_npm_library_gets_the_expected_answer_to_every_request_of_the_document() {
    replay(node_tool("document.mjs"));
}

/// The example of the README that calls `curl`: the command, and the answer that is printed below it.
fn example() -> (String, String) {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let mut examples = readme.split("```").skip(1).step_by(2).filter(|block| block.starts_with("\ncurl "));
    let example = examples.next().expect("the README calls curl");
    assert_eq!(examples.next(), None, "only one example is tested");
    let (command, answer) = example.trim().rsplit_once('\n').expect("a command and its answer");
    (command.to_owned(), answer.to_owned())
}

#[test]
fn curl_gets_the_answer_that_the_readme_prints() {
    let installation = Installation::new();
    let server = installation.start();
    let client = &server.client;
    client.ok("domain/create", json!({"attrs": {"name": "example.com"}}));
    let user = json!({"domain.name": "example.com", "loginName": "john.smith"});
    client.ok("user/create", json!({ "attrs": user }));
    let product = json!({"manufacturerCode": "OATH", "productCode": "HOTP"});
    let data = format!("1001,{RFC_SECRET_HEX}\n");
    client.ok("token/import", json!({"attrs": {"product": product, "data": data}}));
    client.ok("token/assign", json!({"token": {"serial": "1001"}, "user": user, "attrs": {"pin": "4711"}}));

    let (mut command, answer) = example();
    let here = [
        ("alice:PASSWORD", format!("{ADMIN}:{PASSWORD}")),
        ("http://127.0.0.1:8480/", format!("{}/", client.base)),
    ];
    for (printed, real) in here {
        assert_eq!(command.matches(printed).count(), 1, "{printed} in {command}");
        command = command.replace(printed, &real);
    }
    // As a shell runs what was pasted, without anybody's own settings for curl.
    let paste = || {
        let mut shell = Command::new("sh");
        shell.args(["-euc", &command]).env("HOME", installation.scratch()).env("no_proxy", "127.0.0.1");
        run(&mut shell)
    };
    assert_eq!(paste(), answer);
    assert_eq!(paste(), answer.replace("true", "false"), "the passcode is spent");
    server.stop();
}
