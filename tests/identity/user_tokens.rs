//! User tokens, asked for by `curl` with the lines that their document prints.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::server;
use crate::support::client::{Client, PASSWORD};
use crate::support::in_process::InProcess;
use crate::support::program::run;

/// Runs a printed line with the real server and password in it. Returns status and body.
fn paste(server: &InProcess, line: &str) -> (u16, String) {
    let pairs = [
        ("iq-server-user:my-secret", format!("helpdesk:{PASSWORD}")),
        ("admin:admin123", format!("admin:{PASSWORD}")),
        ("http://localhost:8070", server.client.base.clone()),
        ("curl ", "curl -q -s --noproxy '*' -w '\\n%{http_code}' ".to_owned()),
    ];
    let line = pairs.iter().fold(line.to_owned(), |line, (printed, real)| line.replace(printed, real));
    let said = run(Command::new("sh").args(["-euc", &line]));
    let (body, status) = said.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), body.trim_end().to_owned())
}

fn json_of((status, body): (u16, String)) -> Json {
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

const CREATE: &str =
    "curl -u iq-server-user:my-secret -X POST http://localhost:8070/api/v2/userTokens/currentUser";
const DELETE: &str =
    "curl -u iq-server-user:my-secret -X DELETE http://localhost:8070/api/v2/userTokens/currentUser";
const ALL: &str = "curl -u admin:admin123 -X GET http://localhost:8070/api/v2/userTokens";
const PURGE: &str = "curl -u admin:admin123 -X DELETE http://localhost:8070/api/v2/userTokens/purge";
const BY_CODE: &str =
    "curl -u admin:admin123 -X DELETE http://localhost:8070/api/v2/userTokens/userCode/NFWIevo8";

/// The pair of a new token.
fn create(server: &InProcess) -> (String, String) {
    let made = json_of(paste(server, CREATE));
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("userCode"), text("passCode"))
}

fn get(client: &Client, path: &str) -> (u16, Json) {
    let (status, text) = client.raw_as("GET", path, &[], "");
    (status, serde_json::from_str(&text).unwrap_or_else(|_| text.into()))
}

#[test]
fn the_printed_lines_do_what_is_printed_below_them() {
    let server = server();
    let made = json_of(paste(&server, CREATE));
    let (code, pass) = (made["userCode"].as_str().unwrap(), made["passCode"].as_str().unwrap());
    assert_eq!((code.len(), pass.len()), (8, 44));
    assert!(code.bytes().chain(pass.bytes()).all(|byte| byte.is_ascii_alphanumeric()));
    let expected = json!({
        "userCode": code, "passCode": pass, "username": "helpdesk", "realm": "Internal",
        "createTime": "2026-01-01T00:00:00Z",
    });
    assert_eq!(made, expected);
    assert_eq!(paste(&server, CREATE), (409, "there is a user token already: delete it first".to_owned()));
    let listed = json!([{"userCode": code, "username": "helpdesk", "realm": "Internal"}]);
    assert_eq!(json_of(paste(&server, ALL)), listed);
    assert_eq!(paste(&server, PURGE), (204, String::new()));
    assert_eq!(json_of(paste(&server, ALL)), listed, "nobody is gone");
    assert_eq!(paste(&server, DELETE), (204, String::new()));
    assert_eq!(paste(&server, DELETE).0, 404);
    assert_eq!(paste(&server, BY_CODE).0, 404);
    let (code, _) = create(&server);
    assert_eq!(paste(&server, &BY_CODE.replace("NFWIevo8", &code)), (204, String::new()));
    assert_eq!(json_of(paste(&server, ALL)), json!([]));
}

#[test]
fn the_pair_opens_every_api_with_the_permissions_its_owner_has_at_the_time() {
    let server = server();
    let (code, pass) = create(&server);
    let program = Client::as_operator(&server.client.base, &code, &pass);
    assert_eq!(program.ok("user/search", json!({}))["total"], 0);
    assert_eq!(program.das5("token/search", &json!({}))["error"], 0);
    assert_eq!(program.error("operator/search", json!({})).kind, "permission.denied");
    assert_eq!(
        get(&program, "/api/v2/userTokens/currentUser/hasToken"),
        (200, json!({"userTokenExists": true}))
    );
    let role = |role: &str| json!({"operator": {"name": "helpdesk"}, "attrs": {"role": role}});
    server.client.ok("operator/set", role("verifier"));
    assert_eq!(program.error("user/search", json!({})).kind, "permission.denied");
    server.client.ok("operator/disable", json!({"operator": {"name": "helpdesk"}}));
    assert!(!program.is_let_in());
    server.client.ok("operator/enable", json!({"operator": {"name": "helpdesk"}}));
    assert!(program.is_let_in(), "it is the owner who was switched off");
    assert!(!Client::as_operator(&server.client.base, &code, "wrong").is_let_in());
    // A session is for who knows the password.
    let body = json!({"Username": code, "Password": pass, "AgentId": ""}).to_string();
    let headers = [("Content-Type", "application/json")];
    assert_eq!(server.client.raw("POST", "/Authentication/V1/Tokens", &headers, &body).0, 401);
}

#[test]
fn a_token_whose_owner_is_gone_is_deleted_when_it_is_used_and_when_they_are_purged() {
    for purged in [false, true] {
        let server = server();
        let (code, pass) = create(&server);
        server.client.ok("operator/delete", json!({"operator": {"name": "helpdesk"}}));
        assert_eq!(json_of(paste(&server, ALL)).as_array().unwrap().len(), 1);
        let program = Client::as_operator(&server.client.base, &code, &pass);
        assert!(!Client::as_operator(&server.client.base, &code, "wrong").is_let_in());
        assert_eq!(json_of(paste(&server, ALL)).as_array().unwrap().len(), 1, "a guess deletes nothing");
        if purged {
            assert_eq!(paste(&server, PURGE).0, 204);
        } else {
            assert!(!program.is_let_in());
        }
        assert_eq!(json_of(paste(&server, ALL)), json!([]));
    }
}

#[test]
fn tokens_are_found_by_day_realm_and_name() {
    let server = server();
    create(&server);
    server.clock.advance(Duration::from_secs(86_400));
    server.with_role("auditor").raw_as("POST", "/api/v2/userTokens/currentUser", &[], "");
    let names = |query: &str| -> Vec<String> {
        let (status, found) = get(&server.client, &format!("/api/v2/userTokens{query}"));
        assert_eq!(status, 200, "{query}: {found}");
        let rows = found.as_array().unwrap();
        rows.iter().map(|row| row["username"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(""), ["helpdesk", "auditor"]);
    assert_eq!(names("?createdAfter=2026-01-01&createdBefore=2026-01-02"), ["helpdesk"]);
    assert_eq!(names("?createdAfter=2026-01-02"), ["auditor"]);
    assert_eq!(names("?createdBefore=2026-01-01"), Vec::<String>::new());
    assert_eq!(names("?realm=Internal"), ["helpdesk", "auditor"]);
    assert_eq!(names("?realm=SAML"), Vec::<String>::new());
    for query in ["?createdAfter=01.01.2026", "?createdBefore=2026-02-30", "?realm=LDAP"] {
        assert_eq!(get(&server.client, &format!("/api/v2/userTokens{query}")).0, 400, "{query}");
    }
    assert_eq!(get(&server.client, "/api/v2/userTokens/auditor").1["username"], "auditor");
    for path in ["/nobody", "/helpdesk?realm=Crowd", "/purge", "/currentUser", "/userCode"] {
        assert_eq!(get(&server.client, &format!("/api/v2/userTokens{path}")).0, 404, "{path}");
    }
    let time = get(&server.with_role("auditor"), "/api/v2/userTokens/currentUser/createTime");
    assert_eq!(time, (200, json!("2026-01-02T00:00:00Z")));
    assert_eq!(get(&server.client, "/api/v2/userTokens/currentUser/createTime").0, 404);
    assert_eq!(
        get(&server.client, "/api/v2/userTokens/currentUser/hasToken"),
        (200, json!({"userTokenExists": false}))
    );
}

#[test]
fn an_operator_whose_name_is_a_word_of_the_routes_is_found_by_it() {
    let server = server();
    for name in ["purge", "currentUser", "userCode"] {
        let attrs = json!({"name": name, "role": "auditor", "password": "quite another password"});
        server.client.ok("operator/create", json!({ "attrs": attrs }));
        let own = Client::as_operator(&server.client.base, name, "quite another password");
        assert_eq!(own.raw_as("POST", "/api/v2/userTokens/currentUser", &[], "").0, 200);
        let (status, found) = get(&server.client, &format!("/api/v2/userTokens/{name}"));
        assert_eq!((status, &found["username"]), (200, &json!(name)));
    }
}

#[test]
fn a_token_is_good_as_long_as_was_set_when_it_was_made() {
    let server = server();
    let admin = &server.client;
    let config = "/api/v2/config/userTokens";
    let days = |days: Json| json!({ "userTokenDefaultExpirationDays": days });
    assert_eq!(get(admin, config), (200, days(Json::Null)));
    let put = |body: &str| admin.raw_as("PUT", config, &[("Content-Type", "application/json")], body);
    for bad in [
        "{}",
        "",
        "[]",
        "{\"userTokenDefaultExpirationDays\": -1}",
        "{\"userTokenDefaultExpirationDays\": 40000}",
    ] {
        assert_eq!(put(bad).0, 400, "{bad}");
    }
    assert_eq!(put(&days(2.into()).to_string()).0, 200);
    assert_eq!(get(admin, config), (200, days(2.into())));
    let made = json_of(paste(&server, CREATE));
    assert_eq!(made["expirationDate"], "2026-01-03T00:00:00Z");
    let (code, pass) = (made["userCode"].as_str().unwrap(), made["passCode"].as_str().unwrap());
    let program = Client::as_operator(&admin.base, code, pass);
    server.clock.advance(Duration::from_secs(2 * 86_400 - 1));
    assert!(program.is_let_in());
    server.clock.advance(Duration::from_secs(1));
    assert!(!program.is_let_in());
    assert_eq!(json_of(paste(&server, ALL)), json!([]));
    let delete = |query: &str| admin.raw_as("DELETE", &format!("{config}{query}"), &[], "").0;
    assert_eq!((delete(""), delete("?property=other")), (400, 400));
    assert_eq!(delete("?property=userTokenDefaultExpirationDays"), 200);
    assert_eq!(get(admin, config), (200, days(Json::Null)));
    assert_eq!(json_of(paste(&server, CREATE)).get("expirationDate"), None);
}
