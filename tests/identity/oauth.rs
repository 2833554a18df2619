//! Tokens by client credentials (RFC 6749 §4.4), asked for by `curl` among others.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::server;
use crate::support::client::Client;
use crate::support::in_process::InProcess;
use crate::support::program::run;

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const GRANT: &str = "grant_type=client_credentials";

fn made(server: &InProcess) -> String {
    let attrs = json!({"name": "vpn.gateway", "operator": {"name": "verifier"}});
    let made = server.client.ok("client/create", json!({ "attrs": attrs }));
    assert_eq!(made["clientId"], "vpn.gateway");
    made["clientSecret"].as_str().unwrap().to_owned()
}

fn ask(server: &InProcess, body: &str) -> (u16, Json) {
    let (status, text) = server.client.raw("POST", "/das5/rest/oauth/token", &[FORM], body);
    (status, serde_json::from_str(&text).unwrap_or_default())
}

#[test]
fn curl_gets_a_token_for_an_hour_that_has_the_role_of_its_operator() {
    let server = server();
    let secret = made(&server);
    let curl = |words: &[&str]| -> Json {
        let mut curl = Command::new("curl");
        curl.args(["-q", "-s", "--noproxy", "*"]).args(words);
        serde_json::from_str(&run(&mut curl)).unwrap()
    };
    let url = format!("{}/das5/rest/oauth/token", server.client.base);
    let by_header = curl(&["-u", &format!("vpn.gateway:{secret}"), "-d", GRANT, &url]);
    let by_form =
        curl(&["-d", GRANT, "-d", "client_id=vpn.gateway", "-d", &format!("client_secret={secret}"), &url]);
    for answer in [by_header, by_form] {
        assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(3600)));
        let token = answer["access_token"].as_str().unwrap();
        let client = Client::with_authorization(&server.client.base, &format!("Bearer {token}"));
        let question = json!({"user": {"loginName": "nobody"}, "credential": {"otp": "000000"}});
        assert_eq!(client.ok("auth/verify", question), json!({"accepted": false}));
        assert_eq!(client.error("token/search", json!({})).kind, "permission.denied");
        let path = format!("/Authentication/V1/Tokens/{token}");
        assert_eq!(server.client.raw("GET", &path, &[], "").0, 400, "it is no session");
    }
    let (_, answer) = ask(&server, &format!("{GRANT}&client_id=vpn.gateway&client_secret={secret}"));
    let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());
    let client = Client::with_authorization(&server.client.base, &bearer);
    server.clock.advance(Duration::from_secs(3600));
    assert!(!client.is_let_in());
}

#[test]
fn refusals_are_those_of_the_standard() {
    let server = server();
    let secret = made(&server);
    let good = format!("{GRANT}&client_id=vpn.gateway&client_secret={secret}");
    let cases = [
        (good.replace(&secret, "wrong"), 401, "invalid_client"),
        (good.replace("vpn.gateway", "nobody"), 401, "invalid_client"),
        (GRANT.to_owned(), 401, "invalid_client"),
        (good.replace("client_credentials", "password"), 400, "unsupported_grant_type"),
        (format!("{good}&scope=all"), 400, "invalid_scope"),
        (format!("{good}&{GRANT}"), 400, "invalid_request"),
        (good.replace(GRANT, ""), 400, "invalid_request"),
    ];
    for (body, status, error) in cases {
        assert_eq!(ask(&server, &body), (status, json!({ "error": error })), "{body}");
    }
    server.client.ok("operator/disable", json!({"operator": {"name": "verifier"}}));
    assert_eq!(ask(&server, &good), (401, json!({"error": "invalid_client"})));
}

#[test]
fn a_client_that_guesses_is_locked_out_and_then_the_right_secret_does_not_help() {
    let server = server();
    let secret = made(&server);
    let good = format!("{GRANT}&client_id=vpn.gateway&client_secret={secret}");
    for _ in 0..10 {
        ask(&server, &good.replace(&secret, "wrong"));
    }
    assert_eq!(ask(&server, &good).0, 401);
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(ask(&server, &good).0, 200);
}
