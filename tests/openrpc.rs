//! The description of the API and the server itself say the same: every example is called, over both envelopes; the
//! document is held against the OpenRPC meta-schema; `docs/api.md` is what the tables make of it.

mod reference;
pub mod world;

use std::fs;
use std::path::Path;

use firmware_fixtures::attach::VirtualBus;
use fobd::rpc::methods::{Example, METHODS, Method};
use fobd::rpc::openrpc;
use serde_json::{Value as Json, json};

use self::world::World;
use crate::support::in_process::InProcess;
use crate::support::program::{feed, python_tool};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Calls every example in the order of the table. Returns method, expected and given result.
fn call_all(ask: impl Fn(&World, &Method, &Json) -> Json) -> Vec<(&'static str, Json, Json)> {
    let world = World::make();
    let mut answers = Vec::new();
    for method in METHODS {
        let Example { mut params, result } = (method.example)();
        world.fill_in(method.name, &mut params);
        answers.push((method.name, result, ask(&world, method, &params)));
    }
    answers
}

/// Whether an answer is as an example says: ids may have another number, and `…` stands for any text.
fn is_as_said(given: &Json, said: &Json) -> bool {
    match (given, said) {
        (Json::Object(given), Json::Object(said)) => {
            given.len() == said.len()
                && said
                    .iter()
                    .all(|(name, said)| given.get(name).is_some_and(|given| is_as_said(given, said)))
        }
        (Json::Array(given), Json::Array(said)) => {
            given.len() == said.len() && given.iter().zip(said).all(|(given, said)| is_as_said(given, said))
        }
        (Json::String(given), Json::String(said)) => match said.split_once('…') {
            Some((before, after)) => {
                given.len() > before.len() + after.len()
                    && given.starts_with(before)
                    && given.ends_with(after)
            }
            None => given == said || id_letter(given).is_some_and(|letter| id_letter(said) == Some(letter)),
        },
        _ => given == said,
    }
}

/// The letter of a text that is an id.
fn id_letter(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let letter = chars.next().filter(char::is_ascii_lowercase)?;
    let digits = chars.as_str();
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(letter)
}

/// The answer in the DualShield envelope to what `/rpc` answers with `result`.
fn in_das5(method: &Method, result: Json) -> Json {
    use fobd::rpc::methods::Gives;
    let result = match (&method.gives, result) {
        (Gives::Nothing, _) => Json::Null,
        (Gives::Verdict, Json::Object(mut shown)) => {
            shown.remove("accepted");
            if shown.is_empty() { Json::Null } else { shown.into() }
        }
        (_, result) => result,
    };
    if result.is_null() { json!({"error": 0}) } else { json!({"error": 0, "result": result}) }
}

#[test]
fn an_answer_is_compared_whole_but_for_the_numbers_of_ids() {
    let said = json!({"id": "t1", "rows": ["x", "…", "a…z"], "total": 2});
    assert!(is_as_said(&json!({"id": "t77", "rows": ["x", "anything", "abcz"], "total": 2}), &said));
    for wrong in [
        json!({"id": "u1", "rows": ["x", "y", "abcz"], "total": 2}),
        json!({"id": "t1", "rows": ["x", "", "abcz"], "total": 2}),
        json!({"id": "t1", "rows": ["x", "y", "abc"], "total": 2}),
        json!({"id": "t1", "rows": ["x", "y"], "total": 2}),
        json!({"id": "t1", "rows": ["x", "y", "abcz"], "total": 3}),
        json!({"id": "t1", "rows": ["x", "y", "abcz"], "total": 2, "more": null}),
    ] {
        assert!(!is_as_said(&wrong, &said), "{wrong}");
    }
}

#[test]
fn every_example_gives_what_it_says_over_json_rpc_and_fits_the_schemas() {
    let answers = call_all(|world, method, params| world.client(method.name).ok(method.name, params.clone()));
    for (method, said, given) in &answers {
        assert!(is_as_said(given, said), "{method} gives {given}");
    }
    let answers: serde_json::Map<String, Json> =
        answers.into_iter().map(|(method, _, given)| (method.to_owned(), given)).collect();
    let checked = check_by_others(&json!({"document": openrpc::document(), "answers": answers}));
    assert_eq!(checked, (true, format!("{} methods\n", METHODS.len())));
}

#[test]
fn every_example_gives_what_it_says_over_das5() {
    let answers = call_all(|world, method, params| {
        let given = world.client(method.name).das5(method.name, params);
        let said = in_das5(method, (method.example)().result);
        assert!(is_as_said(&given, &said), "{} gives {given}", method.name);
        given
    });
    assert_eq!(answers.len(), METHODS.len());
}

/// The OpenRPC meta-schema (npm: @open-rpc/meta-schema 1.14.9, Apache-2.0) and the package `jsonschema`.
/// Whether they find nothing, and what they say.
fn check_by_others(given: &Json) -> (bool, String) {
    let mut checker = python_tool("python");
    checker
        .arg(root().join("tests/clients/openrpc_check.py"))
        .arg(root().join("tests/openrpc/meta-schema.json"));
    feed(&mut checker, given.to_string().as_bytes())
}

/// Makes something wrong in a document or in the answers.
type Spoil<'a> = &'a dyn Fn(&mut Json, &mut Json);

#[test]
fn a_document_that_is_wrong_does_not_pass() {
    let answers: serde_json::Map<String, Json> =
        METHODS.iter().map(|method| (method.name.to_owned(), (method.example)().result)).collect();
    let said = |spoil: Spoil<'_>| {
        let (mut document, mut answers) = (openrpc::document().clone(), Json::from(answers.clone()));
        spoil(&mut document, &mut answers);
        check_by_others(&json!({"document": document, "answers": answers}))
    };
    assert_eq!(said(&|_, _| {}), (true, format!("{} methods\n", METHODS.len())));
    let spoilers: [(&str, Spoil<'_>); 4] = [
        ("document: $.methods[0]", &|document, _| document["methods"][0]["errors"] = json!([{"code": "x"}])),
        ("domain/create: the example leaves out `attrs`", &|document, _| {
            document["methods"][0]["examples"][0]["params"] = json!([]);
        }),
        ("domain/create: example of `attrs`", &|document, _| {
            document["methods"][0]["examples"][0]["params"][0]["value"] = json!({"nam": "a"});
        }),
        ("device/list: answer", &|_, answers| answers["device/list"]["rows"][0]["more"] = json!(1)),
    ];
    for (expected, spoil) in spoilers {
        let (passed, said) = said(spoil);
        assert!(!passed && said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn the_document_is_served_to_everybody_and_rpc_discover_answers_the_same() {
    let server = InProcess::start(VirtualBus::new());
    let (status, text) = server.client.get("/openrpc.json").expect("the server answers");
    let document: Json = serde_json::from_str(&text).expect("JSON");
    assert_eq!((status, &document), (200, openrpc::document()));
    for role in ["admin", "verifier", "station"] {
        let found = server.with_role(role).ok("rpc.discover", json!({}));
        assert_eq!(&found, openrpc::document(), "{role}");
    }
    assert_eq!(server.client.error("rpc.discover", json!({"a": 1})).code, -32602);
    assert_eq!(server.client.das5("rpc/discover", &json!({}))["data"]["kind"], "method.unknown");
}

#[test]
fn every_parameter_and_every_member_of_an_attribute_list_says_what_it_is() {
    let document = openrpc::document();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let says = |schema: &Json| {
        let follow = |schema: &Json| {
            let reference = schema["$ref"].as_str().or_else(|| schema["anyOf"][0]["$ref"].as_str());
            let name = reference.and_then(|reference| reference.rsplit('/').next()).map(str::to_owned);
            name.is_some_and(|name| schemas[&name]["description"].is_string())
        };
        schema["description"].is_string() || follow(schema)
    };
    for method in document["methods"].as_array().expect("methods") {
        for param in method["params"].as_array().expect("parameters") {
            assert!(says(param) || says(&param["schema"]), "{}: {param}", method["name"]);
        }
    }
    for (name, schema) in schemas {
        for (member, schema) in schema["properties"].as_object().into_iter().flatten() {
            assert!(says(schema), "{name}.{member}");
        }
    }
}

#[test]
fn the_api_reference_is_what_the_tables_say() {
    let path = root().join("docs/api.md");
    let made = reference::text(openrpc::document());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &made).expect("docs/api.md is written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    let first = there.lines().zip(made.lines()).position(|(there, made)| there != made);
    assert!(
        there == made,
        "docs/api.md differs from line {first:?} on: UPDATE=1 cargo test --test main the_api_reference"
    );
}
