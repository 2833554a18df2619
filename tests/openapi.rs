//! `/openapi.json` and the routes say the same: each route that is described is served, no other is, and what the
//! server answers is what the document says, by the judgement of programs that others wrote.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use firmware_fixtures::attach::VirtualBus;
use fobd::http::openapi;
use fobd::rpc::methods::METHODS;
use serde_json::{Value as Json, json};

use crate::openrpc::world::World;
use crate::support::client::{ADMIN, PASSWORD};
use crate::support::in_process::InProcess;
use crate::support::program::{client_script, feed, python_tool};
use crate::support::raw::{Raw, basic};

const VERBS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];

fn paths() -> impl Iterator<Item = (&'static String, &'static Json)> {
    openapi::document()["paths"].as_object().expect("paths").iter()
}

/// What the validator says of a document.
fn check(document: &Json) -> (bool, String) {
    let mut python = python_tool("python");
    python.arg(client_script("openapi_check.py"));
    feed(&mut python, document.to_string().as_bytes())
}

#[test]
fn the_document_is_one_of_openapi_3_1_to_others_and_a_wrong_one_is_not() {
    assert_eq!(check(openapi::document()), (true, String::new()));
    let mut wrong = openapi::document().clone();
    wrong["paths"]["/provision/{link}"]["get"]["parameters"] = json!([]);
    wrong["paths"]["/healthz"]["get"]["summary"] = json!(7);
    let (passed, said) = check(&wrong);
    assert!(!passed && said.contains("link") && said.contains("summary"), "{said}");
}

#[test]
fn every_method_has_a_path_and_every_reference_leads_somewhere() {
    let document = openapi::document();
    for method in METHODS {
        let operation = &document["paths"][format!("/das5/rest/{}", method.name)]["post"];
        assert_eq!(
            (&operation["summary"], &operation["operationId"]),
            (&json!(method.about), &json!(method.name))
        );
    }
    let text = document.to_string();
    let references = text.split('"').filter(|word| word.starts_with("#/"));
    assert!(references.clone().count() > METHODS.len());
    for reference in references {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
}

#[test]
fn calls_that_may_be_sent_again_say_by_which_header() {
    let document = openapi::document();
    let named = |path: &str| {
        let parameters = document["paths"][path]["post"]["parameters"].as_array().unwrap();
        parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key")
    };
    for path in ["/rpc", "/das5/rest/auth/verify", "/das5/rest/token/syncToken"] {
        assert!(named(path), "{path}");
    }
    assert!(!named("/das5/rest/token/get"));
}

#[test]
fn exactly_what_is_described_is_served() {
    let server = InProcess::start(VirtualBus::new());
    for (path, item) in paths() {
        // Words in place of names, which fit no object.
        let asked = path.replace(['{', '}'], "");
        for verb in VERBS {
            let described = item.get(verb.to_ascii_lowercase()).is_some();
            // Nobody can read that to its end.
            if described && path == "/rpc/device/events" {
                continue;
            }
            // A path that is not there at all would be 404 for a verb that is not described.
            let mut connection = Raw::connect(&server.client.base);
            let login = basic(ADMIN, PASSWORD);
            let head = format!(
                "{verb} {asked} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {login}\r\nContent-Length: 0\r\n\r\n"
            );
            connection.send(head).expect("it is sent");
            // No more than the status: some answers are long, or no text.
            let mut line = String::new();
            BufReader::new(connection.0).read_line(&mut line).expect("a status line");
            let status: u16 = line.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
            assert_eq!(status != 405, described, "{verb} {path}: {status}");
        }
    }
}

#[test]
fn no_route_is_made_but_from_the_tables_that_the_document_is_made_of() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let makers =
        [".route(", ".route_service(", ".nest(", ".nest_service(", ".fallback(", ".fallback_service("];
    let mut found = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if makers.iter().any(|word| fs::read_to_string(&path).unwrap().contains(word)) {
                found.push(path);
            }
        }
    }
    // That one makes them of the list that the document is made of.
    assert_eq!(found, [folder.join("http/routes.rs")]);
}

#[test]
fn schemathesis_finds_nothing_that_the_document_does_not_say() {
    let world = World::make();
    let client = &world.server.client;
    // A login that is remembered is not locked out by the wrong ones that are tried.
    assert!(client.is_let_in());
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut schemathesis = python_tool("schemathesis");
    schemathesis
        .args(["--no-color", "--config-file"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi/schemathesis.toml"))
        .args(["run", "--auth", &format!("{ADMIN}:{PASSWORD}"), &format!("{}/openapi.json", client.base)])
        .env("SCHEMATHESIS_HOOKS", client_script("schemathesis_hooks.py"))
        .env("no_proxy", "127.0.0.1")
        // It leaves what it remembers where it runs.
        .current_dir(scratch.path());
    let (passed, said) = feed(&mut schemathesis, b"");
    assert!(passed, "{said}");
    // All but the stream that never ends, and the document itself, which it has read already.
    let operations = paths().map(|(_, item)| item.as_object().expect("operations").len()).sum::<usize>();
    assert!(said.contains(&format!("Tested: {}", operations - 2)), "{said}");
    assert!(client.is_let_in(), "the admin is still let in");
}
