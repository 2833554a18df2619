//! Registration: a token lets one agent of one name in, once, and nobody learns why not.

use std::sync::Barrier;
use std::time::Duration;

use rcgen::KeyPair;
use serde_json::{Value as Json, json};

use super::{HELPDESK, agents, ask, server};
use crate::support::client::{Client, RpcError};
use crate::support::in_process::InProcess;

const DECLINED: &str = "Invalid request. Please reach out to the network operator to find out the reason the request was declined.";

fn declined(outcome: Result<agents::Registered, RpcError>) {
    let error = outcome.err().expect("a registration that is declined");
    assert_eq!((error.code, &*error.kind, &*error.message), (1112, "registration.declined", DECLINED));
}

fn status_of(server: &InProcess, hash: &str, token: &str) -> (Json, Json) {
    let path = format!("preauthtoken?viewInactive=true&preAuthTokenId={token}");
    let (_, found) = ask(&server.client, "GET", hash, &path, "");
    (found[0]["status"].clone(), found[0]["removalRemark"].clone())
}

/// What the audit log says of registrations, oldest first.
fn log(server: &InProcess) -> Vec<(String, String)> {
    let rows = server.client.ok("audit/search", json!({"action": "agent/register", "order": "asc"}));
    let text = |row: &Json, member: &str| row[member].as_str().unwrap().to_owned();
    rows["rows"].as_array().unwrap().iter().map(|row| (text(row, "outcome"), text(row, "detail"))).collect()
}

#[test]
fn a_token_lets_its_owner_in_once() {
    let (server, hash) = server();
    let token = agents::preauth(&server.client, &hash, HELPDESK, Some("PT15M"));
    let made = agents::register(&server.client.base, &hash, "c=GB,o=Helpdesk,l=London", &token).unwrap();
    let wanted = json!(["name", "status", "expires", "group.name", "dateRetired"]);
    let shown = server.client.ok("agent/get", json!({"agent": made.agent, "return": wanted}));
    let expected = json!({
        "name": HELPDESK, "status": "ACTIVE", "expires": "2026-04-01T00:00:00Z",
        "group.name": "O=Head Office, L=London, C=GB", "dateRetired": null,
    });
    assert_eq!(shown, expected);
    let remark = json!("Token consumed at 2026-01-01T00:00:00Z");
    assert_eq!(status_of(&server, &hash, &token), (json!("CONSUMED"), remark));
    declined(agents::register(&server.client.base, &hash, HELPDESK, &token));
    // Nor once the name is free again.
    server.client.ok("agent/retire", json!({"agent": made.agent}));
    declined(agents::register(&server.client.base, &hash, HELPDESK, &token));
    let reason = "the pre-auth token is not an active one of this name";
    let expected = [
        ("created".to_owned(), format!("{} {HELPDESK} in {hash}", made.agent)),
        ("declined".to_owned(), format!("{HELPDESK} in {hash}: {reason}")),
        ("declined".to_owned(), format!("{HELPDESK} in {hash}: {reason}")),
    ];
    assert_eq!(log(&server), expected);
}

#[test]
fn whoever_is_declined_hears_one_reason_and_the_audit_log_has_the_other() {
    let (server, hash) = server();
    let client = &server.client;
    let other = agents::group(client, "O=Second Office, L=Paris, C=FR");
    let token = |ttl| agents::preauth(client, &hash, HELPDESK, ttl);
    let good = token(None);
    let expired = token(Some("PT1H"));
    let revoked = token(None);
    ask(client, "PUT", &hash, &format!("preauthtoken/revoke/{revoked}"), "");
    server.clock.advance(Duration::from_secs(3600));
    let unknown = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";
    let not_active = "the pre-auth token is not an active one of this name";
    for (group, name, token, reason) in [
        (&*hash, "O=Other, L=London, C=GB", &*good, not_active),
        (&hash, HELPDESK, unknown, not_active),
        (&hash, HELPDESK, "no id", not_active),
        (&hash, HELPDESK, "", not_active),
        (&hash, HELPDESK, &revoked, not_active),
        (&other, HELPDESK, &good, not_active),
        (&hash, HELPDESK, &expired, "the pre-auth token has expired"),
        ("000000000000", HELPDESK, &good, "there is no such group"),
        ("x", HELPDESK, &good, "there is no such group"),
    ] {
        declined(agents::register(&client.base, group, name, token));
        let (outcome, detail) = log(&server).pop().unwrap();
        assert_eq!((&*outcome, detail.ends_with(reason)), ("declined", true), "{detail}");
        assert!(!detail.contains(&good), "{detail}");
    }
    assert_eq!(status_of(&server, &hash, &good).0, "AVAILABLE");
    assert_eq!(client.ok("agent/search", json!({}))["total"], 0);
    // Nine failures: the tenth try is heard.
    agents::register(&client.base, &hash.to_lowercase(), HELPDESK, &good.to_uppercase()).unwrap();
}

#[test]
fn a_name_with_an_active_agent_is_declined_until_that_is_retired_and_its_token_is_not_spent() {
    let (server, hash) = server();
    let base = &server.client.base;
    let first = agents::preauth(&server.client, &hash, HELPDESK, None);
    let second = agents::preauth(&server.client, &hash, HELPDESK, None);
    let agent = agents::register(base, &hash, HELPDESK, &first).unwrap().agent;
    declined(agents::register(base, &hash, HELPDESK, &second));
    assert_eq!(status_of(&server, &hash, &second).0, "AVAILABLE");
    assert!(log(&server)[1].1.ends_with("an agent of this name is active"));
    // In another group the name is free.
    let other = agents::group(&server.client, "O=Second Office, L=Paris, C=FR");
    let elsewhere = agents::preauth(&server.client, &other, HELPDESK, None);
    agents::register(base, &other, HELPDESK, &elsewhere).unwrap();
    server.client.ok("agent/retire", json!({ "agent": agent }));
    let again = agents::register(base, &hash, HELPDESK, &second).unwrap().agent;
    assert_ne!(again, agent);
    let error = server.client.error("agent/retire", json!({ "agent": agent }));
    assert_eq!((error.code, &*error.message), (1111, "the agent is retired"));
}

#[test]
fn of_many_who_race_for_one_token_one_wins() {
    let (server, hash) = server();
    let base = &server.client.base;
    for round in 0..5 {
        let name = format!("O=Desk {round}, L=London, C=GB");
        let token = agents::preauth(&server.client, &hash, &name, None);
        let start = Barrier::new(8);
        // From operators, for eight strangers who fail would be made to wait.
        let outcomes: Vec<Result<Json, RpcError>> = std::thread::scope(|scope| {
            let race = || {
                let request = agents::request(&KeyPair::generate().unwrap());
                let params = json!({"group": hash, "name": name, "token": token, "request": request});
                start.wait();
                if round % 2 == 0 { Client::stranger(base) } else { server.client.clone() }
                    .call("agent/register", params)
            };
            let racers: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(won, 1, "{outcomes:?}");
        let lost = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        assert!(lost.map(|error| &*error.kind).all(|kind| kind == "registration.declined"));
        let named = json!({"match": [["name", "=", name]]});
        assert_eq!(server.client.ok("agent/search", named)["total"], 1);
        server.clock.advance(Duration::from_secs(3600));
    }
}

#[test]
fn ten_failures_make_their_address_wait_also_with_a_good_token() {
    let (server, hash) = server();
    let base = &server.client.base;
    let token = agents::preauth(&server.client, &hash, HELPDESK, None);
    for _ in 0..10 {
        declined(agents::register(base, &hash, HELPDESK, "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"));
    }
    declined(agents::register(base, &hash, HELPDESK, &token));
    assert_eq!(log(&server).len(), 10, "nobody looked at it");
    server.clock.advance(Duration::from_millis(59_999));
    declined(agents::register(base, &hash, HELPDESK, &token));
    server.clock.advance(Duration::from_millis(1));
    agents::register(base, &hash, HELPDESK, &token).unwrap();
}

#[test]
fn what_is_no_request_for_a_certificate_is_refused_by_name_and_spends_nothing() {
    let (server, hash) = server();
    let client = Client::stranger(&server.client.base);
    let token = agents::preauth(&server.client, &hash, HELPDESK, None);
    let good = agents::request(&KeyPair::generate().unwrap());
    let unreadable = "`request` must be a certificate request (PKCS#10) in PEM";
    // One bit of the signature, which is at the end.
    let forged = {
        let lines: Vec<&str> = good.trim().lines().collect();
        let body: String = lines[1..lines.len() - 1].concat();
        use base64::Engine as _;
        let mut der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
        *der.last_mut().unwrap() ^= 1;
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        let wrapped: Vec<&str> =
            body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("{}\n{}\n{}\n", lines[0], wrapped.join("\n"), lines[lines.len() - 1])
    };
    let p521 = include_str!("p521.csr.pem");
    for (request, problem) in [
        ("", unreadable),
        ("x", unreadable),
        (&good[..good.len() / 2], unreadable),
        (&good.replace("CERTIFICATE REQUEST", "CERTIFICATE"), unreadable),
        (&"x".repeat(20_000), unreadable),
        (&forged, "`request` is not signed by the key that it is for"),
        (
            p521,
            "`request` must be for a key of ECDSA (P-256, P-384), Ed25519 or RSA (2048 bits or more), signed with SHA-2",
        ),
    ] {
        let params = json!({"group": hash, "name": HELPDESK, "token": token, "request": request});
        let error = client.error("agent/register", params);
        assert_eq!(error.message, problem);
    }
    let params = json!({"group": hash, "name": "Helpdesk", "token": token, "request": good});
    let error = client.error("agent/register", params);
    assert!(error.message.starts_with("`name` is not a valid X.500 name: "), "{error:?}");
    assert_eq!(status_of(&server, &hash, &token).0, "AVAILABLE");
    assert_eq!(log(&server), []);
    let params = json!({"group": hash, "name": HELPDESK, "token": token, "request": good});
    assert_eq!(client.das5("agent/register", &params)["error"], 0, "over the other envelope too");
}

#[test]
fn a_stranger_can_do_nothing_else() {
    let (server, hash) = server();
    let client = Client::stranger(&server.client.base);
    let denied = |path: &str, body: &str| {
        // Who is denied before its body was read loses its connection.
        let client = Client::stranger(&server.client.base);
        let (status, text) = client.raw("POST", path, &[("Content-Type", "application/json")], body);
        assert_eq!((status, &*text), (401, ""), "{path} {}", &body[..body.len().min(80)]);
    };
    let call = |method: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}).to_string();
    for method in fobd::rpc::methods::METHODS.iter().map(|method| method.name) {
        if method != "agent/register" {
            denied("/rpc", &call(method));
            denied(&format!("/das5/rest/{method}"), "{}");
        }
    }
    denied("/rpc", &call("rpc.discover"));
    denied("/rpc", &format!("[{}]", call("agent/register")));
    denied("/rpc", "{}");
    denied("/rpc", "");
    // A long body is not read to its end, so that the answer may get lost on the way.
    let long = json!({"method": "agent/register", "x": "x".repeat(70_000)}).to_string();
    for path in ["/rpc", "/das5/rest/agent/register"] {
        let client = Client::stranger(&server.client.base);
        assert!(client.post(path, &long).map_or(true, |(status, _)| status == 401), "{path}");
    }
    let (status, _) = client.raw("GET", "/rpc/device/events", &[], "");
    assert_eq!(status, 401);
    // A form of another site, or of no site at all, is not taken for JSON.
    let (status, _) = client.raw("POST", "/rpc", &[("Content-Type", "text/plain")], &call("agent/register"));
    assert_eq!(status, 415);
    // Who shows something wrong is not taken for a stranger.
    let wrong = Client::with_authorization(&server.client.base, "FCF wrong");
    assert_eq!(wrong.post("/rpc", &call("agent/register")).unwrap().0, 401);
    assert_eq!(client.error("agent/register", json!({ "group": hash })).kind, "request.invalid");
}
