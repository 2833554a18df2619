//! Operators: what becomes of them takes effect at once.

use std::fs;

use serde_json::{Value as Json, json};

use super::server;
use crate::support::client::{ADMIN, Client, PASSWORD};
use crate::support::in_process::InProcess;
use crate::support::program::{Installation, fobd, run};

const OTHER: &str = "quite another password";

fn named(name: &str) -> Json {
    json!({"operator": {"name": name}})
}

/// Every way in of the operator `helpdesk`, but the user token, which is not a login.
fn logins(server: &InProcess) -> Vec<(&'static str, Client)> {
    let base = &server.client.base;
    let password = server.with_role("helpdesk");
    assert!(password.is_let_in());
    let made = server
        .client
        .ok("client/create", json!({"attrs": {"name": "desk", "operator": {"name": "helpdesk"}}}));
    let form = format!(
        "grant_type=client_credentials&client_id=desk&client_secret={}",
        made["clientSecret"].as_str().unwrap()
    );
    let (status, answer) = server.client.raw(
        "POST",
        "/das5/rest/oauth/token",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        &form,
    );
    assert_eq!(status, 200, "{answer}");
    let token: Json = serde_json::from_str(&answer).unwrap();
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    server.client.ok("client/delete", json!({"client": {"name": "desk"}}));
    // Its token went with it, so that one more is needed for what follows.
    assert!(!Client::with_authorization(base, &bearer).is_let_in(), "a client's token ends with it");
    let made = server
        .client
        .ok("client/create", json!({"attrs": {"name": "desk2", "operator": {"name": "helpdesk"}}}));
    let form = form.replace("client_id=desk&", "client_id=desk2&");
    let secret = form.rsplit_once('=').unwrap().0.to_owned() + "=" + made["clientSecret"].as_str().unwrap();
    let (_, answer) = server.client.raw(
        "POST",
        "/das5/rest/oauth/token",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        &secret,
    );
    let token: Json = serde_json::from_str(&answer).unwrap();
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    vec![("a remembered login", password), ("a token of OAuth", Client::with_authorization(base, &bearer))]
}

#[test]
fn every_change_of_an_operator_ends_what_it_was_given_before_it_is_answered() {
    let changes = [
        ("operator/set", json!({"operator": {"name": "helpdesk"}, "attrs": {"role": "auditor"}}), true),
        ("operator/set", json!({"operator": {"name": "helpdesk"}, "attrs": {"repositories": []}}), true),
        (
            "operator/setPassword",
            json!({"operator": {"name": "helpdesk"}, "attrs": {"password": OTHER}}),
            false,
        ),
        ("operator/disable", named("helpdesk"), false),
        ("operator/delete", named("helpdesk"), false),
    ];
    for (method, params, password_still_good) in changes {
        let server = server();
        let logins = logins(&server);
        assert!(logins.iter().all(|(_, client)| client.is_let_in()), "{method}");
        server.client.ok(method, params);
        for (what, client) in &logins {
            let expected = password_still_good && *what == "a remembered login";
            assert_eq!(client.is_let_in(), expected, "{method}: {what}");
        }
    }
}

#[test]
fn a_changed_role_counts_for_the_next_request() {
    let server = server();
    let desk = server.with_role("helpdesk");
    assert_eq!(desk.ok("user/search", json!({}))["total"], 0);
    server
        .client
        .ok("operator/set", json!({"operator": {"name": "helpdesk"}, "attrs": {"role": "verifier"}}));
    assert_eq!(desk.error("user/search", json!({})).kind, "permission.denied");
    server.client.ok("operator/disable", named("helpdesk"));
    assert!(!desk.is_let_in());
    server.client.ok("operator/enable", named("helpdesk"));
    assert!(desk.is_let_in());
    server
        .client
        .ok("operator/setPassword", json!({"operator": {"name": "helpdesk"}, "attrs": {"password": OTHER}}));
    assert!(!desk.is_let_in() && Client::as_operator(&server.client.base, "helpdesk", OTHER).is_let_in());
}

#[test]
fn the_last_admin_who_is_let_in_stays() {
    let server = server();
    let last = |method: &str, params: Json| server.client.error(method, params).kind;
    assert_eq!(last("operator/delete", named(ADMIN)), "operator.last_admin");
    assert_eq!(last("operator/disable", named(ADMIN)), "operator.last_admin");
    let demote = json!({"operator": {"name": ADMIN}, "attrs": {"role": "auditor"}});
    assert_eq!(last("operator/set", demote.clone()), "operator.last_admin");
    assert!(server.client.is_let_in(), "nothing was changed");
    let second = json!({"attrs": {"name": "second", "role": "admin", "password": OTHER}});
    server.client.ok("operator/create", second);
    server.client.ok("operator/disable", named("second"));
    assert_eq!(
        last("operator/set", demote.clone()),
        "operator.last_admin",
        "one who is not let in does not count"
    );
    server.client.ok("operator/enable", named("second"));
    server.client.ok("operator/set", demote);
    let second = Client::as_operator(&server.client.base, "second", OTHER);
    assert_eq!(second.error("operator/delete", named("second")).kind, "operator.last_admin");
}

#[test]
fn a_name_and_a_password_must_be_fit_to_log_in_with() {
    let server = server();
    let create = |name: &str, role: &str, password: &str| {
        let attrs = json!({"name": name, "role": role, "password": password});
        server.client.call("operator/create", json!({ "attrs": attrs })).map_err(|error| error.message)
    };
    let long = "x".repeat(129);
    for (name, role, password, problem) in [
        ("a:b", "auditor", OTHER, "`attrs.name` must hold neither a colon nor a backslash"),
        ("a\\b", "auditor", OTHER, "`attrs.name` must hold neither a colon nor a backslash"),
        ("", "auditor", OTHER, "`attrs.name` must not be empty"),
        ("a", "root", OTHER, "`attrs.role` must be admin, helpdesk, auditor, verifier or station"),
        ("a", "auditor", "elevenchars", "`attrs.password` must have at least 12 characters"),
        ("a", "auditor", &long, "`attrs.password` must have at most 128 characters"),
        ("helpdesk", "auditor", OTHER, "there is an operator `helpdesk` already"),
    ] {
        assert_eq!(create(name, role, password), Err(problem.to_owned()));
    }
    assert!(create("äöü twelve!", "auditor", "zwölf Zeichen").is_ok());
    let client = Client::as_operator(&server.client.base, "äöü twelve!", "zwölf Zeichen");
    assert_eq!(client.ok("domain/search", json!({}))["total"], 0);
    let admin = json!({"attrs": {"name": "b", "role": "admin", "password": OTHER, "repositories": []}});
    assert_eq!(server.client.error("operator/create", admin).kind, "request.invalid");
}

#[test]
fn the_command_line_manages_operators_and_prints_a_made_password_once() {
    let installation = Installation::new();
    let server = installation.start();
    let command = |words: &[&str]| {
        let mut command = fobd();
        command.args(words).args(["--server", &server.client.base, "--operator", ADMIN, "--password-file"]);
        run(command.arg(installation.password_file()).env("HOME", installation.scratch()))
    };
    server.client.ok("domain/create", json!({"attrs": {"name": "acme"}}));
    let said = command(&["operator", "add", "desk", "--role", "helpdesk", "--domain", "acme"]);
    let (first, second) = said.trim().split_once('\n').expect("two lines");
    assert_eq!(first, "operator desk added");
    let password =
        second.strip_prefix("password  ").and_then(|text| text.strip_suffix("   (shown this once)"));
    let password = password.unwrap_or_else(|| panic!("{second}"));
    assert!(password.len() == 24 && Client::as_operator(&server.client.base, "desk", password).is_let_in());
    let file = installation.scratch().join("new");
    fs::write(&file, format!("{OTHER}\n")).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(
        command(&["operator", "password", "desk", "--new-password-file", file]),
        "operator desk has a new password\n"
    );
    let desk = Client::as_operator(&server.client.base, "desk", OTHER);
    assert!(desk.is_let_in());
    assert_eq!(command(&["operator", "disable", "desk"]), "operator desk disabled\n");
    assert!(!desk.is_let_in());
    command(&["operator", "enable", "desk"]);
    command(&["operator", "role", "desk", "verifier", "--all-domains"]);
    let listed: Json = serde_json::from_str(&command(&["operator", "list", "--json"])).unwrap();
    let rows: Vec<(&str, &str, bool)> = listed["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap();
            (text("name"), text("role"), row["allDomains"].as_bool().unwrap())
        })
        .collect();
    assert_eq!(rows, [(ADMIN, "admin", true), ("desk", "verifier", true)]);
    let said = command(&["client", "add", "vpn", "--acts-as", "desk"]);
    assert!(said.starts_with("client vpn added\nsecret  "), "{said}");
    command(&["client", "remove", "vpn"]);
    assert_eq!(command(&["operator", "remove", "desk"]), "operator desk removed\n");
    assert!(!desk.is_let_in() && Client::as_operator(&server.client.base, ADMIN, PASSWORD).is_let_in());
    server.stop();
}
