//! JSON-RPC 2.0 (jsonrpc.org/specification): each rule in a good and a bad form, and a client nobody here wrote.

use firmware_fixtures::attach::VirtualBus;
use serde_json::{Value as Json, json};

use crate::support::client::{ADMIN, PASSWORD};
use crate::support::in_process::InProcess;
use crate::support::program::python_tool;

fn server() -> InProcess {
    InProcess::start(VirtualBus::new())
}

fn post(server: &InProcess, body: &str) -> (u16, Json) {
    server.client.post("/rpc", body).expect("the server answers")
}

fn post_json(server: &InProcess, body: &Json) -> (u16, Json) {
    post(server, &body.to_string())
}

/// The answer to one request, with status 200.
fn answer(server: &InProcess, body: &Json) -> Json {
    let (status, answer) = post_json(server, body);
    assert_eq!(status, 200, "{body}");
    assert_eq!(answer["jsonrpc"], "2.0", "{body}");
    let members = answer.as_object().expect("an object");
    assert_eq!(members.len(), 3, "jsonrpc, id and one of result and error: {answer}");
    answer
}

/// The id and the number of the error.
fn failure(answer: &Json) -> (Json, i64) {
    assert!(answer["error"]["message"].is_string(), "{answer}");
    (answer["id"].clone(), answer["error"]["code"].as_i64().expect("a number"))
}

fn domains(server: &InProcess) -> Json {
    server.client.ok("domain/search", json!({}))["total"].clone()
}

fn create(name: &str) -> Json {
    json!({"jsonrpc": "2.0", "method": "domain/create", "params": {"attrs": {"name": name}}})
}

#[test]
fn a_client_that_nobody_here_wrote_understands_every_answer() {
    let server = server();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/jsonrpc_client.py");
    let output = python_tool("python")
        .args([script, &format!("{}/rpc", server.client.base), ADMIN, PASSWORD])
        .output()
        .expect("the client runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let expected = [
        "request",
        "id of text",
        "application error",
        "data of an error",
        "notification",
        "notification was served",
        "notification that fails",
        "batch",
        "batch in order",
        "batch goes on after an error",
        "batch of notifications",
        "parse error",
        "unparsable batch",
        "invalid request",
        "empty batch",
        "unknown method",
        "invalid params",
        "positional params",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_id_comes_back_as_it_was_sent() {
    let server = server();
    let big = json!(9_007_199_254_740_993_u64);
    for id in [json!(1), json!(-1), json!(1.5), json!(""), json!("abc"), json!(null), big] {
        let request = json!({"jsonrpc": "2.0", "method": "domain/search", "id": id});
        let answer = answer(&server, &request);
        assert_eq!((&answer["id"], &answer["result"]["total"]), (&id, &json!(0)));
        let unknown = json!({"jsonrpc": "2.0", "method": "x", "id": id});
        assert_eq!(failure(&self::answer(&server, &unknown)), (id, -32601));
    }
}

#[test]
fn an_id_of_another_type_is_an_invalid_request() {
    let server = server();
    for id in [json!(true), json!([1]), json!({"a": 1})] {
        let mut request = create("acme");
        request["id"] = id;
        assert_eq!(failure(&answer(&server, &request)), (json!(null), -32600));
    }
    assert_eq!(domains(&server), 0);
}

#[test]
fn a_request_without_id_is_never_answered_and_one_with_id_null_is() {
    let server = server();
    assert_eq!(post_json(&server, &create("acme")), (204, Json::Null));
    assert_eq!(post_json(&server, &create("acme")), (204, Json::Null), "although it fails");
    let mut request = create("beta");
    request["id"] = Json::Null;
    assert_eq!(answer(&server, &request)["result"], json!({"id": "d2"}));
    for silent in [
        json!({"jsonrpc": "2.0", "method": "no/such"}),
        json!({"jsonrpc": "2.0", "method": "domain/create", "params": ["positional"]}),
        json!({"jsonrpc": "2.0", "method": "domain/create", "params": {}}),
    ] {
        assert_eq!(post_json(&server, &silent), (204, Json::Null), "{silent}");
    }
    assert_eq!(domains(&server), 2);
}

#[test]
fn what_is_no_request_object_is_an_invalid_request() {
    let server = server();
    let bad = [
        json!(1),
        json!("text"),
        json!(null),
        json!(true),
        json!({}),
        json!({"method": "domain/search", "id": 1}),
        json!({"jsonrpc": "1.0", "method": "domain/search", "id": 1}),
        json!({"jsonrpc": 2.0, "method": "domain/search", "id": 1}),
        json!({"jsonrpc": "2.0", "id": 1}),
        json!({"jsonrpc": "2.0", "method": 1, "id": 1}),
        json!({"jsonrpc": "2.0", "method": "domain/search", "params": "bar", "id": 1}),
        json!({"jsonrpc": "2.0", "method": "domain/search", "params": 1, "id": 1}),
        json!({"jsonrpc": "2.0", "method": "domain/search", "params": null, "id": 1}),
    ];
    for body in bad {
        let (id, code) = failure(&answer(&server, &body));
        assert_eq!(code, -32600, "{body}");
        assert_eq!(id, body.get("id").cloned().unwrap_or_default(), "{body}");
    }
}

#[test]
fn what_is_no_json_is_a_parse_error_that_repeats_nothing_of_it() {
    let server = server();
    let deep = "[".repeat(100_000);
    let bad = [
        "",
        " ",
        "{",
        "nonsense 4711",
        "{\"pin\": \"4711\"",
        "[1,",
        "{\"a\": 4711 \"b\"}",
        "\u{FEFF}{}",
        &deep,
    ];
    for body in bad {
        let (status, answer) = post(&server, body);
        assert_eq!((status, failure(&answer)), (200, (json!(null), -32700)), "{answer}");
        assert!(!answer.to_string().contains("4711"), "{answer}");
    }
    let not_utf8 = server.client.post_bytes("/rpc", b"{\"jsonrpc\": \"\xFF\"}").expect("the server answers");
    assert_eq!(failure(&not_utf8.1), (json!(null), -32700));
}

#[test]
fn an_unknown_or_reserved_method_is_not_found() {
    let server = server();
    for method in ["foobar", "", "rpc.undiscover", "domain", "domain/", "/domain/search", "Domain/search"] {
        let request = json!({"jsonrpc": "2.0", "method": method, "id": 1});
        assert_eq!(failure(&answer(&server, &request)), (json!(1), -32601), "{method}");
    }
}

#[test]
fn parameters_are_taken_by_name_only() {
    let server = server();
    let request =
        |params: Json| json!({"jsonrpc": "2.0", "method": "domain/create", "params": params, "id": 1});
    for params in [json!(["acme"]), json!([{"attrs": {"name": "acme"}}])] {
        assert_eq!(failure(&answer(&server, &request(params))), (json!(1), -32602));
    }
    for params in [json!({}), json!({"attrs": {}}), json!({"attrs": {"name": 1}}), json!({"name": "acme"})] {
        assert_eq!(failure(&answer(&server, &request(params.clone()))), (json!(1), -32602), "{params}");
    }
    assert_eq!(domains(&server), 0);
    assert_eq!(answer(&server, &request(json!({"attrs": {"name": "acme"}})))["result"], json!({"id": "d1"}));
    // No parameters are no parameters, by name or by position.
    for none in [json!({}), json!([])] {
        let list = json!({"jsonrpc": "2.0", "method": "device/list", "params": none, "id": 1});
        assert_eq!(answer(&server, &list)["result"]["total"], 0);
    }
}

#[test]
fn an_application_error_has_its_own_number_outside_the_reserved_range() {
    let server = server();
    let request = |id: i64| {
        let mut request = create("acme");
        request["id"] = id.into();
        request
    };
    answer(&server, &request(1));
    let taken = answer(&server, &request(2));
    let expected = json!({
        "code": 1030, "message": "there is a domain `acme` already",
        "data": {"kind": "object.exists", "severity": "ERROR"},
    });
    assert_eq!(taken["error"], expected);
}

#[test]
fn a_batch_is_answered_call_by_call_without_its_notifications() {
    let server = server();
    let mut first = create("acme");
    first["id"] = 1.into();
    let search = json!({"jsonrpc": "2.0", "method": "domain/search", "id": "2"});
    let batch = json!([first, create("beta"), {"foo": "boo"}, 1, search, {"jsonrpc": "2.0", "method": "x", "id": null}]);
    let (status, answers) = post_json(&server, &batch);
    let answers = answers.as_array().expect("a list").clone();
    assert_eq!((status, answers.len()), (200, 5));
    assert_eq!((&answers[0]["id"], &answers[0]["result"]), (&json!(1), &json!({"id": "d1"})));
    assert_eq!(failure(&answers[1]), (json!(null), -32600));
    assert_eq!(failure(&answers[2]), (json!(null), -32600));
    assert_eq!((&answers[3]["id"], &answers[3]["result"]["total"]), (&json!("2"), &json!(2)));
    assert_eq!(failure(&answers[4]), (json!(null), -32601));
}

#[test]
fn a_batch_without_a_call_is_one_invalid_request_and_one_of_notifications_has_no_answer() {
    let server = server();
    assert_eq!(failure(&answer(&server, &json!([]))), (json!(null), -32600));
    let (status, answers) = post_json(&server, &json!([1, 2, 3]));
    let answers = answers.as_array().expect("a list").clone();
    assert_eq!((status, answers.len()), (200, 3));
    assert!(answers.iter().all(|answer| failure(answer) == (json!(null), -32600)));
    assert_eq!(failure(&post_json(&server, &json!([[]])).1[0]), (json!(null), -32600), "no batch in a batch");
    assert_eq!(post_json(&server, &json!([create("a"), create("b")])), (204, Json::Null));
    assert_eq!(domains(&server), 2);
    let too_many = Json::Array(vec![create("c"); 1001]);
    assert_eq!(failure(&answer(&server, &too_many)), (json!(null), -32600));
    assert_eq!(domains(&server), 2);
}

#[test]
fn a_caller_who_may_not_is_told_so_in_a_batch_too() {
    let server = server();
    let auditor = server.with_role("auditor");
    let mut request = create("acme");
    request["id"] = 1.into();
    let (status, single) = auditor.post("/rpc", &request.to_string()).expect("the server answers");
    assert_eq!((status, failure(&single)), (403, (json!(1), 1007)));
    let search = json!({"jsonrpc": "2.0", "method": "domain/search", "id": 2});
    let batch = json!([request, search]).to_string();
    let (status, answers) = auditor.post("/rpc", &batch).expect("the server answers");
    assert_eq!((status, failure(&answers[0])), (200, (json!(1), 1007)));
    assert_eq!(answers[1]["result"]["total"], 0);
}

#[test]
fn only_json_of_a_known_caller_is_read() {
    let server = server();
    let agent =
        ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
    let url = format!("{}/rpc", server.client.base);
    let mut request = create("acme");
    request["id"] = 1.into();
    let anonymous = agent.post(&url).header("Content-Type", "application/json").send(request.to_string());
    assert_eq!(anonymous.expect("the server answers").status(), 401);
    let form = server.client.post_as("/rpc", "text/plain", &request.to_string()).expect("the server answers");
    assert_eq!(form, 415);
    let charset = "application/json; charset=utf-8";
    let read = server.client.post_as("/rpc", charset, &request.to_string()).expect("the server answers");
    assert_eq!(read, 200);
    let got = server.client.get("/rpc").expect("the server answers");
    assert!(got.0 == 401 || got.0 == 405, "{got:?}");
    assert_eq!(domains(&server), 1);
}
