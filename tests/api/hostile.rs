//! Requests that mean harm: SQL in every place that takes text, and sizes that nobody needs.

use serde_json::{Map, Value as Json, json};

use super::{kind, server, totals};
use crate::support::{alice, alice_is_let_in, give_alice_a_token, product};

const INJECTIONS: [&str; 8] = [
    "' OR '1'='1",
    "'; DROP TABLE tokens; --",
    "\"; DELETE FROM tokens; --",
    "x' UNION SELECT secret FROM credentials --",
    "id) OR 1=1 --",
    "?1",
    "serial--",
    "%",
];

#[test]
fn sql_in_a_value_is_a_value() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let before = totals(client);
    for text in INJECTIONS {
        let found = client.ok("token/search", json!({"match": [["serial", "=", text]]}));
        assert_eq!(found, json!({"total": 0, "rows": []}), "{text}");
        assert_eq!(client.ok("token/search", json!({"match": [["serial", "in", [text]]]}))["total"], 0);
        assert_eq!(kind(client, "token/get", &json!({ "id": text })), "token.not_found");
        assert_eq!(kind(client, "token/get", &json!({"token": {"serial": text}})), "token.not_found");
        assert_eq!(kind(client, "job/get", &json!({ "job": text })), "job.not_found");
        let user = json!({"domain.name": "acme", "loginName": text});
        let verify = json!({"user": user, "credential": {"otp": text}, "source": text});
        assert_eq!(client.ok("auth/verify", verify), json!({"accepted": false}));
    }
    assert_eq!(totals(client), before);
    // As a name they are names, and are found again.
    for text in INJECTIONS {
        let made = client.ok("domain/create", json!({"attrs": {"name": text, "description": text}}));
        let found = client
            .ok("domain/search", json!({"match": [["name", "=", text]], "return": ["id", "description"]}));
        assert_eq!(found["rows"], json!([{"id": made["id"], "description": text}]));
        client.ok("token/create", json!({"attrs": {"product": product("OH"), "serial": text}}));
        assert_eq!(
            client.ok("token/get", json!({"token": {"serial": text}, "return": ["serial"]}))["serial"],
            text
        );
    }
    assert!(alice_is_let_in(client, "1234755224"));
}

#[test]
fn sql_in_a_name_is_an_unknown_name() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let before = totals(client);
    for text in INJECTIONS {
        let named = Json::Object(Map::from_iter([(text.to_owned(), json!("x"))]));
        for params in [
            json!({"match": [[text, "=", "x"]]}),
            json!({"match": [[format!("product.{text}"), "=", "x"]]}),
            json!({"match": [[format!("{text}.id"), "=", "x"]]}),
            json!({"sort": text}),
            json!({"return": [text]}),
            json!({"return": [{"product": [text]}]}),
            json!({"return": [{"users": [{"elements": [text]}]}]}),
        ] {
            assert_eq!(kind(client, "token/search", &params), "attribute.unknown", "{params}");
        }
        assert_eq!(kind(client, "token/get", &json!({ "token": named })), "attribute.unknown", "{text}");
        for params in [json!({"match": [["serial", text, "x"]]}), json!({ "order": text })] {
            assert_eq!(kind(client, "token/search", &params), "request.invalid", "{params}");
        }
    }
    assert_eq!(totals(client), before);
    assert!(alice_is_let_in(client, "1234755224"));
}

#[test]
fn a_request_beyond_all_bounds_is_refused_as_such_and_the_server_lives() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let many = |count: usize, item: Json| Json::Array(vec![item; count]);
    let path = |step: &str, count: usize| format!("{}name", step.repeat(count));
    let mut nested = json!(["name"]);
    for _ in 0..50 {
        nested = json!([{ "parent": nested }]);
    }
    let name = path("a.", 200_000);
    let dotted = Json::Object(Map::from_iter([(name, json!(1))]));
    let calls = [
        ("token/search", json!({"match": many(5000, json!(["serial", "=", "x"]))})),
        ("token/search", json!({"match": [["serial", "in", many(40_000, json!("x"))]]})),
        ("token/search", json!({"return": many(3000, json!("serial"))})),
        ("token/search", json!({"return": many(200, json!("*"))})),
        ("token/search", json!({"return": many(5000, json!("users"))})),
        ("token/search", json!({"match": [["serial", "like", "%a".repeat(60_000)]]})),
        ("repository/search", json!({"match": [[path("parent.", 100), "=", "x"]]})),
        ("repository/search", json!({"sort": path("parent.", 100)})),
        ("repository/search", json!({"return": [path("parent.", 100)]})),
        ("repository/search", json!({ "return": nested })),
        ("token/search", dotted.clone()),
        ("token/get", json!({ "token": dotted })),
        ("token/create", json!({ "attrs": dotted })),
        ("token/create", json!({"attrs": [{"product": "p1"}, dotted]})),
    ];
    for (method, params) in calls {
        let shown: String = params.to_string().chars().take(80).collect();
        assert_eq!(kind(client, method, &params), "request.invalid", "{method} {shown}");
    }
    // What is still reasonable works.
    let conditions = many(50, json!(["serial", "=", "1001"]));
    let list = many(1000, json!("1001"));
    assert_eq!(client.ok("token/search", json!({ "match": conditions }))["total"], 1);
    assert_eq!(client.ok("token/search", json!({"match": [["serial", "in", list]]}))["total"], 1);
    let deep = json!({"return": [path("parent.", 5)]});
    assert_eq!(client.ok("repository/search", deep)["total"], 1);
    assert!(alice_is_let_in(client, "1234755224"));
}

#[test]
fn a_passcode_of_any_size_and_kind_is_only_wrong() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let long = "1".repeat(1_000_000);
    for otp in
        ["", " ", "1234", "755224", "1234 755224", "1234755224 ", "１２３４７５５２２４", "\u{0}", &long]
    {
        let question = json!({"user": alice(), "credential": {"otp": otp}});
        assert_eq!(client.ok("auth/verify", question), json!({"accepted": false}), "{}", otp.len());
    }
    // Those that ended in the right passcode have spent it.
    assert!(alice_is_let_in(client, "1234287082"), "fewer than ten failures");
}
