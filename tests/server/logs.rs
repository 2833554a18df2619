//! What is in the log of each request: its id, which the answer has too, the template of its route, how it ended; and
//! never what was asked for.

use std::fs;

use serde_json::{Value as Json, json};

use crate::support::program::Installation;
use crate::support::raw::{Answer, Raw};

/// Gets a page with one more header field.
fn get(base: &str, path: &str, field: &str) -> Answer {
    let mut connection = Raw::connect(base);
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n")).expect("it is sent");
    connection.answer()
}

fn id(answer: &Answer) -> &str {
    answer.fields.get("x-request-id").expect("an answer names its request")
}

/// The log as objects.
fn lines(installation: &Installation) -> Vec<Json> {
    let log = fs::read_to_string(installation.log_file()).expect("the log");
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

fn installation(level: &str) -> Installation {
    Installation::new().argument("--log-format").argument("json").argument("--log-level").argument(level)
}

#[test]
fn each_request_has_an_id_of_its_own_or_that_of_the_client_if_it_is_short_and_plain() {
    let installation = installation("info");
    let server = installation.start();
    let base = &server.client.base;
    let first = get(base, "/healthz", "");
    let second = get(base, "/nowhere", "");
    assert_eq!((first.status, second.status), (200, 404));
    assert_ne!(id(&first), id(&second));
    assert_eq!(id(&get(base, "/healthz", "X-Request-Id: Trace-1.2_3\r\n")), "Trace-1.2_3");
    let long = format!("X-Request-Id: {}\r\n", "x".repeat(65));
    for field in ["X-Request-Id: a b\r\n", "X-Request-Id: \"a\"\r\n", "X-Request-Id:\r\n", &long] {
        let answer = get(base, "/healthz", field);
        assert!(id(&answer).contains('-') && !field.contains(id(&answer)), "{field}: {answer:?}");
    }
    server.stop();
}

#[test]
fn every_line_that_a_request_causes_names_it_and_its_route_but_not_what_was_asked_for() {
    let installation = installation("debug");
    let server = installation.start();
    let base = server.client.base.clone();
    get(&base, "/provision/not-a-link-of-ours?and=more", "X-Request-Id: one\r\n");
    let wrong = "X-Request-Id: two\r\nAuthorization: Basic bm9ib2R5OndyaXR0ZW4tZG93bg==\r\n";
    get(&base, "/audit/export?after=7", wrong);
    get(&base, "/some/where?else", "X-Request-Id: three\r\n");
    server.stop();
    let lines = lines(&installation);
    let of = |id: &str| -> Vec<&Json> { lines.iter().filter(|line| line["span"]["id"] == id).collect() };
    let told = |line: &Json| {
        (line["level"].clone(), line["fields"]["message"].clone(), line["fields"]["status"].clone())
    };
    let span = |route: &str, id: &str| json!({"name": "request", "method": "GET", "route": route, "id": id});

    let one = of("one");
    assert_eq!(one.len(), 1, "{one:?}");
    assert_eq!(told(one[0]), (json!("INFO"), json!("answered"), json!(410)));
    assert_eq!(one[0]["span"], span("/provision/{link}", "one"));
    assert!(one[0]["fields"]["ms"].as_f64().is_some_and(|ms| ms > 0.0), "{one:?}");

    let two = of("two");
    let refused = (json!("WARN"), json!("a login was refused"), Json::Null);
    let answered = (json!("INFO"), json!("answered"), json!(401));
    assert_eq!(two.iter().map(|line| told(line)).collect::<Vec<_>>(), [refused, answered]);
    assert!(two.iter().all(|line| line["span"] == span("/audit/export", "two")), "{two:?}");

    assert_eq!(of("three")[0]["span"], span("none", "three"));
    let log = fs::read_to_string(installation.log_file()).expect("the log");
    for word in ["not-a-link", "and=more", "after=7", "/some/where", "written-down", "bm9ib2R5"] {
        assert!(!log.contains(word), "{word} is in the log: {log}");
    }
}

#[test]
fn a_level_says_what_is_left_out() {
    let heard = |level: &str| {
        let installation = installation(level);
        let server = installation.start();
        get(&server.client.base, "/healthz", "");
        get(&server.client.base, "/nowhere", "");
        server.stop();
        lines(&installation)
    };
    let count = |lines: &[Json], message: &str| {
        lines.iter().filter(|line| line["fields"]["message"] == message).count()
    };
    let (debug, info, warn) = (heard("debug"), heard("info"), heard("warn"));
    assert_eq!(["serving", "answered"].map(|message| count(&debug, message)), [1, 2]);
    assert_eq!(["serving", "answered"].map(|message| count(&info, message)), [1, 1]);
    assert_eq!(["serving", "answered"].map(|message| count(&warn, message)), [0, 0]);
}
