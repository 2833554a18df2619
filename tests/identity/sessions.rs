//! The session API, asked as its document and its published clients ask.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::server;
use crate::support::client::{ADMIN, Client, PASSWORD};
use crate::support::in_process::InProcess;
use crate::support::program::{client_script, node_tool, python_tool, run};

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn login(server: &InProcess, path: &str, body: &Json) -> (u16, String) {
    server.client.raw("POST", path, &[JSON], &body.to_string())
}

fn good() -> Json {
    json!({"Username": ADMIN, "Password": PASSWORD, "AgentId": ""})
}

/// A session token of the admin.
fn token(server: &InProcess) -> String {
    let (status, text) = login(server, "/Authentication/V1/Tokens", &good());
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("a bare text")
}

#[test]
fn a_login_is_answered_by_a_bare_text_that_opens_every_api_as_fcf_and_as_bearer() {
    let server = server();
    for path in ["/Authentication/V1/Tokens", "/authentication/v1/tokens/", "/Authentication/v1/Tokens"] {
        let (status, text) = login(&server, path, &good());
        assert_eq!(status, 200, "{path}");
        let token: String = serde_json::from_str(&text).unwrap();
        assert_eq!(token.len(), 43);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
    }
    let token = token(&server);
    for scheme in ["FCF", "Bearer", "fcf"] {
        let client = Client::with_authorization(&server.client.base, &format!("{scheme} {token}"));
        assert_eq!(client.ok("operator/search", json!({"match": [["name", "=", "admin"]]}))["total"], 1);
        assert_eq!(client.das5("device/list", &json!({}))["error"], 0);
        let (status, text) = client.raw_as("GET", "/api/v2/userTokens", &[], "");
        assert_eq!((status, &*text), (200, "[]"));
    }
    let wrong = Client::with_authorization(&server.client.base, &format!("FCF {token}x"));
    assert!(!wrong.is_let_in());
}

#[test]
fn what_a_token_stands_for_is_told_to_whoever_has_it_for_an_hour() {
    let server = server();
    let token = token(&server);
    let details = |path: &str| server.client.raw("GET", path, &[], "");
    let expected =
        json!({"Username": ADMIN, "AgentId": "", "ExpiresTimestamp": 1_767_225_600_000_i64 + 3_600_000});
    for path in [format!("/Authentication/V1/Tokens/{token}"), format!("/authentication/v1/tokens/{token}/")]
    {
        let (status, text) = details(&path);
        assert_eq!((status, serde_json::from_str::<Json>(&text).unwrap()), (200, expected.clone()));
    }
    let client = Client::with_authorization(&server.client.base, &format!("FCF {token}"));
    server.clock.advance(Duration::from_secs(3599));
    assert!(client.is_let_in());
    server.clock.advance(Duration::from_secs(1));
    assert!(!client.is_let_in(), "an hour is over");
    let path = format!("/Authentication/V1/Tokens/{token}");
    assert_eq!(details(&path).0, 400);
    assert_eq!(details("/Authentication/V1/Tokens/unknown").0, 400);
    assert_eq!(details("/Authentication/V1/Tokens").0, 405, "nobody can list them");
}

#[test]
fn a_session_ends_with_the_change_of_its_operator() {
    let server = server();
    let attrs = json!({"name": "second", "role": "admin", "password": "quite another password"});
    server.client.ok("operator/create", json!({ "attrs": attrs }));
    let body = json!({"Username": "ACME\\second", "Password": "quite another password", "AgentId": ""});
    let (status, text) = login(&server, "/Authentication/V1/Tokens", &body);
    assert_eq!(status, 200, "a domain in front of the name says nothing");
    let token: String = serde_json::from_str(&text).unwrap();
    let client = Client::with_authorization(&server.client.base, &format!("FCF {token}"));
    assert!(client.is_let_in());
    server.client.ok("operator/set", json!({"operator": {"name": "second"}, "attrs": {"role": "helpdesk"}}));
    assert!(!client.is_let_in());
    assert_eq!(server.client.raw("GET", &format!("/Authentication/V1/Tokens/{token}"), &[], "").0, 400);
}

#[test]
fn what_is_malformed_is_400_and_what_is_wrong_is_401_without_a_hint() {
    let server = server();
    let with = |name: &str, value: Json| {
        let mut body = good();
        body[name] = value;
        body
    };
    let mut missing = good();
    missing.as_object_mut().unwrap().remove("AgentId");
    let denied = (401, String::new());
    for body in [
        with("Password", "wrong".into()),
        with("Password", "".into()),
        with("Username", "".into()),
        with("Username", "nobody".into()),
        with("AgentId", "bot".into()),
        // Nobody but an admin is let in without an agent.
        with("Username", "helpdesk".into()),
    ] {
        assert_eq!(login(&server, "/Authentication/V1/Tokens", &body), denied, "{body}");
    }
    for body in [missing, with("Password", 1.into()), json!([]), json!("x")] {
        assert_eq!(login(&server, "/Authentication/V1/Tokens", &body), (400, String::new()), "{body}");
    }
    let post = |kind: &str, body: &str| {
        server.client.raw("POST", "/Authentication/V1/Tokens", &[("Content-Type", kind)], body).0
    };
    assert_eq!(post("application/json", "{"), 400);
    assert_eq!(post("application/xml", "<a>"), 400);
    assert_eq!(post("text/plain", &good().to_string()), 415, "no form of another site");
    assert_eq!(post("application/json", &format!("{{\"x\": \"{}\"}}", "x".repeat(70_000))), 413);
}

#[test]
fn who_asks_for_xml_gets_xml() {
    let server = server();
    let body = format!(
        "<Credentials xmlns=\"urn:x\"><AgentId/><Password>{PASSWORD}</Password><Username>{ADMIN}</Username></Credentials>"
    );
    let headers = [("Content-Type", "application/xml; charset=utf-8"), ("Accept", "application/xml")];
    let (status, text) = server.client.raw("POST", "/Authentication/V1/Tokens", &headers, &body);
    let start = "<string xmlns=\"http://schemas.microsoft.com/2003/10/Serialization/\">";
    let token = text.strip_prefix(start).and_then(|rest| rest.strip_suffix("</string>"));
    let token = token.unwrap_or_else(|| panic!("{status} {text}"));
    let (_, text) =
        server.client.raw("GET", &format!("/Authentication/V1/Tokens/{token}"), &headers[1..], "");
    let expected = "<TokenDetails xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\"><AgentId></AgentId>\
                    <ExpiresTimestamp>1767229200000</ExpiresTimestamp><Username>admin</Username></TokenDetails>";
    assert_eq!(text, expected);
}

/// Runs a client that logs in, asks what its token stands for, and uses it.
fn replay(server: &InProcess, mut client: Command) {
    let said = run(client.args([&server.client.base, ADMIN, PASSWORD]).env("no_proxy", "127.0.0.1"));
    assert_eq!(
        said,
        "token of 43 characters\nadmin, agent \"\", until 2026-01-01T01:00:00\ndevices: 0\nwrong: 401\n"
    );
}

#[test]
fn a_client_in_python_logs_in_and_uses_its_token() {
    let server = server();
    let mut python = python_tool("python");
    python.arg(client_script("session.py"));
    replay(&server, python);
}

#[test]
fn a_client_in_javascript_logs_in_and_uses_its_token() {
    let server = server();
    replay(&server, node_tool("session.mjs"));
}
