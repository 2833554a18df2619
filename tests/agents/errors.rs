//! Every error of the API of pre-auth tokens: status, title and details.

use serde_json::{Value as Json, json};

use super::{HELPDESK, agents, ask, server};
use crate::support::client::Client;

const UUID: &str = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";

/// Asserts status, title and the details that are named; `reason` may be the beginning of what is there.
fn check(what: &str, answer: (u16, Json), status: u16, title: &str, details: Json) {
    let (given, body) = answer;
    assert_eq!(
        (given, &body["status"], &body["title"]),
        (status, &json!(status), &json!(title)),
        "{what}: {body}"
    );
    let there = body["details"].as_object().unwrap();
    assert!(there.values().all(Json::is_string), "{what}: {body}");
    let named = details.as_object().unwrap();
    assert_eq!(there.len(), named.len(), "{what}: {body}");
    for (name, expected) in named {
        let (given, expected) = (there[name].as_str().unwrap(), expected.as_str().unwrap());
        assert!(
            given == expected || expected.strip_suffix('…').is_some_and(|start| given.starts_with(start)),
            "{what}: {body}"
        );
    }
    assert_eq!(body.as_object().unwrap().len(), 3, "{what}: {body}");
}

#[test]
fn every_error_is_the_one_that_clients_expect() {
    let (server, hash) = server();
    let client = &server.client;
    let post = |hash: &str, body: &str| ask(client, "POST", hash, "preauthtoken", body);
    let get = |hash: &str, query: &str| ask(client, "GET", hash, &format!("preauthtoken?{query}"), "");
    let put = |hash: &str, id: &str, body: &str| {
        ask(client, "PUT", hash, &format!("preauthtoken/revoke/{id}"), body)
    };
    let good = json!({ "ownerX500Name": HELPDESK }).to_string();

    // Names.
    let illegal = "java.lang.IllegalArgumentException";
    let title = "ownerX500Name is not a valid X500 name";
    for (name, reason) in [
        ("Alice", "The name: \"Alice\" in not a valid X500 name. An example…"),
        ("O=A, L=B, C=GB, DC=x", "The following attribute is not supported in Corda: DC"),
        ("L=B, C=GB", "Member X.500 names must include an O attribute"),
        ("O=A, C=GB", "Member X.500 names must include an L attribute"),
        ("O=A, L=B", "Member X.500 names must include a C attribute"),
        ("O=A, L=B, C=XX", "Invalid country code XX"),
    ] {
        let details = json!({"ownerX500Name": name, "cause": illegal, "reason": reason});
        // A wrong name comes before an unknown group.
        for hash in [&*hash, "000000000000", "x"] {
            let body = json!({ "ownerX500Name": name }).to_string();
            check(name, post(hash, &body), 400, title, details.clone());
        }
        check(name, get(&hash, &format!("ownerX500Name={}", super::encoded(name))), 400, title, details);
    }

    // Ids of tokens.
    let title = "tokenId is not a valid pre auth token.";
    let details = json!({"preAuthTokenId": "1-2", "cause": illegal, "reason": "Invalid UUID string: 1-2"});
    check("id", get(&hash, "preAuthTokenId=1-2"), 400, title, details.clone());
    check("id", put("x", "1-2", ""), 400, title, details);

    // Hashes.
    let cause = "net.corda.crypto.core.ShortHashException";
    let start = "Invalid holding identity short hash:";
    for (hash, reason) in [
        ("ABC", format!("{start} Hex string has length of 3 but should be 12 characters")),
        ("XYZXYZXYZXYZ", format!("{start} Not a hex string: 'XYZXYZXYZXYZ'")),
    ] {
        let details = json!({"cause": cause, "reason": reason});
        check(hash, post(hash, &good), 400, "ShortHashException", details.clone());
        check(hash, get(hash, ""), 400, "ShortHashException", details.clone());
        check(hash, put(hash, UUID, ""), 400, "ShortHashException", details);
    }

    // Who has the hash.
    let cause = "net.corda.membership.client.CouldNotFindEntityException";
    for answer in [post("ab00000000cd", &good), get("ab00000000cd", ""), put("ab00000000cd", UUID, "")] {
        let details = json!({"cause": cause, "reason": "Could not find virtual node: AB00000000CD"});
        check("nobody", answer, 404, "virtual node 'ab00000000cd' not found.", details);
    }
    let token = agents::preauth(client, &hash, HELPDESK, None);
    let agent = agents::register(&client.base, &hash, HELPDESK, &token).unwrap().agent;
    let shown = client.ok("agent/get", json!({"agent": agent, "return": ["hash"]}));
    let member = shown["hash"].as_str().unwrap();
    for answer in [post(member, &good), get(member, ""), put(member, UUID, "")] {
        let title = format!("Member with holding identity {member} is not an MGM.");
        check("an agent", answer, 400, &title, json!({"holdingIdentityShortHash": member}));
    }
    client.ok("agent/retire", json!({ "agent": agent }));
    let details = json!({"cause": cause, "reason": format!("Could not find member: {member}")});
    check("a retired agent", post(member, &good), 404, &format!("member '{member}' not found."), details);

    // Revocations.
    let start = "Exception thrown while processing membership persistence request: Pre Auth Token with ID";
    let exceptions = "net.corda.membership.lib.exceptions";
    let title = "NotFoundEntityPersistenceException";
    let details = json!({"cause": format!("{exceptions}.{title}"), "reason": format!("{start} '{UUID}' does not exist.")});
    check("unknown", put(&hash, UUID, ""), 404, title, details);
    let other = agents::group(client, "O=Second Office, L=Paris, C=FR");
    let foreign = agents::preauth(client, &other, HELPDESK, None);
    assert_eq!(put(&hash, &foreign, "").0, 404, "another group's");
    let title = "PersistenceRequestException";
    let reason = format!("{start} '{token}' cannot be revoked because it has status CONSUMED.");
    let details = json!({"cause": format!("{exceptions}.{title}"), "reason": reason});
    check("consumed", put(&hash, &token, ""), 409, title, details);
    assert_eq!(put(&other, &foreign, "").0, 200);
    assert_eq!(put(&other, &foreign, "").0, 409, "revoked");

    // Addresses.
    let url = format!("/api/v5_1/mgm/{hash}/reauthtoken");
    let answer = ask(client, "GET", &hash, "reauthtoken?viewInactive=true", "");
    check("a typo", answer, 404, "Not Found", json!({ "url": url }));
    check("a method", ask(client, "DELETE", &hash, "preauthtoken", ""), 405, "Method Not Allowed", json!({}));
}

#[test]
fn a_body_that_cannot_be_read_is_named_by_its_parameter_and_makes_nothing() {
    let (server, hash) = server();
    let client = &server.client;
    let with = |name: &str, value: Json| json!({"ownerX500Name": HELPDESK, name: value}).to_string();
    for (body, cause) in [
        (String::new(), "JsonParseException"),
        ("{".to_owned(), "JsonParseException"),
        ("[]".to_owned(), "MismatchedInputException"),
        ("{}".to_owned(), "MissingKotlinParameterException"),
        (r#"{"ownerX500Name": null}"#.to_owned(), "MissingKotlinParameterException"),
        (r#"{"request": {}}"#.to_owned(), "MissingKotlinParameterException"),
        (r#"{"ownerX500Name": 7}"#.to_owned(), "MismatchedInputException"),
        (with("remark", "x".into()), "UnrecognizedPropertyException"),
        (with("ttl", "P1W".into()), "InvalidFormatException"),
        (with("ttl", "P1Y".into()), "InvalidFormatException"),
        (with("ttl", "15".into()), "InvalidFormatException"),
        (with("ttl", 15.into()), "MismatchedInputException"),
        (with("ttl", "PT9223372036854775807S".into()), "InvalidFormatException"),
        (with("remarks", json!({})), "MismatchedInputException"),
    ] {
        let answer = ask(client, "POST", &hash, "preauthtoken", &body);
        let details = json!({"cause": cause, "reason": "…"});
        check(&body, answer, 400, "Unable to parse parameter 'request'", details);
    }
    assert_eq!(ask(client, "GET", &hash, "preauthtoken?viewInactive=true", ""), (200, json!([])));
    let token = agents::preauth(client, &hash, HELPDESK, None);
    let revoke = format!("preauthtoken/revoke/{token}");
    for body in
        ["{}", "{", "[]", "7", r#"{"remarks": 7}"#, r#"{"remark": "x"}"#, r#"{"remarks": "x", "y": 1}"#]
    {
        let cause = if body == "{" { "JsonParseException" } else { "MismatchedInputException" };
        let answer = ask(client, "PUT", &hash, &revoke, body);
        let details = json!({"cause": cause, "reason": "…"});
        check(body, answer, 400, "Unable to parse parameter 'remarks'", details);
    }
    assert_eq!(ask(client, "PUT", &hash, &revoke, r#"{"remarks": null}"#).0, 200);
    let (status, _) =
        client.raw_as("POST", &format!("/api/v1/mgm/{hash}/preauthtoken"), &[], &"x".repeat(70_000));
    assert_eq!(status, 413);
}

#[test]
fn only_an_admin_is_let_in_and_everybody_else_is_told_so_in_the_words_of_this_api() {
    let (server, hash) = server();
    let token = agents::preauth(&server.client, &hash, HELPDESK, None);
    let calls = [
        ("POST", "preauthtoken".to_owned()),
        ("GET", "preauthtoken".to_owned()),
        ("PUT", format!("preauthtoken/revoke/{token}")),
        ("GET", "nothing".to_owned()),
    ];
    for role in ["helpdesk", "auditor", "verifier", "station"] {
        for (method, path) in &calls {
            let answer = ask(&server.with_role(role), method, &hash, path, "");
            check(role, answer, 403, "User not authorized.", json!({}));
        }
    }
    let wrong = Client::as_operator(&server.client.base, "admin", "wrong-horse-battery");
    for (method, path) in &calls {
        check(
            "wrong",
            ask(&wrong, method, &hash, path, ""),
            401,
            "Error during user authentication",
            json!({}),
        );
        let path = format!("/api/v1/mgm/{hash}/{path}");
        let (status, text) = server.client.raw(method, &path, &[], "");
        let answer = (status, serde_json::from_str(&text).unwrap());
        check("nobody", answer, 401, "User credentials are empty or cannot be resolved", json!({}));
    }
    let mut connection = crate::support::raw::Raw::connect(&server.client.base);
    connection.send(format!("GET /api/v1/mgm/{hash}/preauthtoken HTTP/1.1\r\nHost: x\r\n\r\n")).unwrap();
    assert!(connection.answer().fields["www-authenticate"].starts_with("Basic "));
    assert_eq!(ask(&server.client, "GET", &hash, "preauthtoken", "").1.as_array().unwrap().len(), 1);
}
