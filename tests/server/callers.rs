//! Who is let in, who is locked out, and on whose behalf nobody may call.

use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use serde_json::json;

use crate::support::client::{ADMIN, PASSWORD};
use crate::support::furnish;
use crate::support::in_process::InProcess;
use crate::support::raw::{Answer, Raw, basic};

const BODY: &str = r#"{"jsonrpc": "2.0", "id": 1, "method": "domain/search"}"#;

fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    server
}

/// Posts a search with these fields besides the usual ones.
fn search(server: &InProcess, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut head = format!("POST {path} HTTP/1.1\r\nHost: fobd.test\r\nContent-Length: {}\r\n", BODY.len());
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut connection = Raw::connect(&server.client.base);
    connection.send(format!("{head}\r\n{BODY}")).expect("the request is taken");
    connection.answer()
}

fn status_as(server: &InProcess, name: &str, password: &str) -> u16 {
    let fields = [("Authorization", &*basic(name, password)), ("Content-Type", "application/json")];
    search(server, "/rpc", &fields).status
}

#[test]
fn without_the_right_credentials_the_answer_is_401_and_says_how_to_log_in() {
    let server = server();
    let wrong = [
        None,
        Some(basic(ADMIN, "wrong-horse-battery")),
        Some(basic("nobody", PASSWORD)),
        Some(basic("", "")),
        Some("Basic !!!".to_owned()),
        Some(format!("Bearer {PASSWORD}")),
        Some("Basic".to_owned()),
    ];
    for path in ["/rpc", "/das5/rest/domain/search"] {
        for authorization in &wrong {
            let mut fields = vec![("Content-Type", "application/json")];
            fields.extend(authorization.iter().map(|value| ("Authorization", value.as_str())));
            let answer = search(&server, path, &fields);
            let challenge = answer.fields.get("www-authenticate").map(String::as_str);
            let expected = (401, Some(r#"Basic realm="fobd", charset="UTF-8""#), "");
            assert_eq!((answer.status, challenge, &*answer.body), expected, "{path} {authorization:?}");
        }
    }
    assert_eq!(status_as(&server, ADMIN, PASSWORD), 200);
}

#[test]
fn ten_failures_lock_a_name_for_a_minute_also_for_the_right_password() {
    let server = server();
    for _ in 0..10 {
        assert_eq!(status_as(&server, "helpdesk", "wrong-horse-battery"), 401);
    }
    assert_eq!(status_as(&server, "helpdesk", PASSWORD), 401, "locked");
    server.clock.advance(Duration::from_millis(59_999));
    assert_eq!(status_as(&server, "helpdesk", PASSWORD), 401, "locked for a minute");
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(status_as(&server, "helpdesk", PASSWORD), 200);
    // A success forgets all failures.
    for _ in 0..9 {
        assert_eq!(status_as(&server, "helpdesk", "wrong-horse-battery"), 401);
    }
    server.clock.advance(Duration::from_secs(5 * 60));
    assert_eq!(status_as(&server, "helpdesk", PASSWORD), 200);
}

#[test]
fn an_operator_who_is_remembered_is_not_locked_out_by_the_failures_of_others() {
    let server = server();
    assert_eq!(status_as(&server, "verifier", PASSWORD), 403, "a verifier does not search");
    for _ in 0..10 {
        assert_eq!(status_as(&server, "verifier", "wrong-horse-battery"), 401);
    }
    assert_eq!(status_as(&server, "verifier", PASSWORD), 403, "logged in before");
}

#[test]
fn what_a_role_does_not_grant_is_403_in_both_envelopes() {
    let server = server();
    let user = json!({"attrs": {"domain.name": "acme", "loginName": "bob"}});
    for role in ["auditor", "verifier", "station"] {
        let client = server.with_role(role);
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "user/create", "params": user});
        let (status, answer) = client.post("/rpc", &request.to_string()).unwrap();
        let error = json!({
            "code": 1007, "message": "you are not allowed to do that",
            "data": {"kind": "permission.denied", "severity": "ERROR"},
        });
        let expected = json!({"jsonrpc": "2.0", "id": 1, "error": error});
        assert_eq!((status, answer), (403, expected), "{role}");
        let (status, answer) = client.post("/das5/rest/user/create", &user.to_string()).unwrap();
        assert_eq!((status, &answer["error"]), (403, &json!(1007)), "{role}");
        // In a batch each call has its own answer.
        let (status, answer) = client.post("/rpc", &format!("[{request}]")).unwrap();
        assert_eq!((status, &answer[0]["error"]["code"]), (200, &json!(1007)), "{role}");
    }
    let found = server.client.ok("user/search", json!({"return": ["loginName"]}));
    assert_eq!(found["rows"], json!([{"loginName": "alice"}]));
}

#[test]
fn a_page_of_another_site_is_refused_whoever_is_logged_in() {
    let server = server();
    let authorization = basic(ADMIN, PASSWORD);
    let usual = [("Authorization", &*authorization), ("Content-Type", "application/json")];
    let cases = [
        (("Origin", "https://evil.example"), 403),
        (("Origin", "null"), 403),
        (("Origin", "http://fobd.test.evil.example"), 403),
        (("Sec-Fetch-Site", "cross-site"), 403),
        (("Origin", "https://fobd.test"), 200),
        (("Sec-Fetch-Site", "same-origin"), 200),
    ];
    for path in ["/rpc", "/das5/rest/domain/search"] {
        for (field, expected) in cases {
            let mut fields = usual.to_vec();
            fields.push(field);
            let answer = search(&server, path, &fields);
            // The other envelope takes no envelope as parameters, and says so with its usual status.
            assert_eq!(answer.status, expected, "{path} {field:?}");
        }
    }
}

#[test]
fn many_who_send_one_password_at_once_wait_for_one_look_at_it() {
    let server = server();
    // Nothing is remembered any more, as every five minutes.
    server.clock.advance(Duration::from_secs(6 * 60));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..64).map(|_| scope.spawn(|| status_as(&server, ADMIN, PASSWORD))).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(statuses, [200; 64]);
}
