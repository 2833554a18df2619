//! Bodies that are no request: too large, too deep, of another kind. Each gets a clear answer and harms nobody.

use serde_json::{Value as Json, json};

use crate::support::client::{ADMIN, PASSWORD};
use crate::support::program::Installation;
use crate::support::raw::{Raw, basic, post};

const MIB: usize = 1024 * 1024;
const MOST: usize = 16 * MIB;
const PATHS: [&str; 2] = ["/rpc", "/das5/rest/domain/search"];

#[test]
fn a_body_that_is_not_called_json_is_415() {
    let installation = Installation::new();
    let server = installation.start();
    let body = r#"{"jsonrpc": "2.0", "id": 1, "method": "domain/search"}"#;
    let cases = [
        (None, 415),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("application/jsonp"), 415),
        (Some("application/json; charset=utf-8"), 200),
        (Some("Application/JSON"), 200),
    ];
    for path in PATHS {
        for (kind, expected) in cases {
            let kind = kind.map_or_else(String::new, |kind| format!("Content-Type: {kind}\r\n"));
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nContent-Length: {}\r\n{kind}\r\n",
                basic(ADMIN, PASSWORD),
                body.len()
            );
            let mut connection = Raw::connect(&server.client.base);
            connection.send(format!("{head}{body}")).unwrap();
            assert_eq!(connection.answer().status, expected, "{path} {kind}");
        }
    }
    server.stop();
}

#[test]
fn a_body_of_more_than_16_mib_is_413_even_for_a_client_that_sends_all_before_it_listens() {
    let installation = Installation::new();
    let server = installation.start();
    for path in PATHS {
        for (length, expected) in [(MOST, 200), (MOST + 1, 413), (4 * MOST, 413)] {
            let (status, _) = server.client.post(path, &" ".repeat(length)).expect("an answer");
            assert_eq!(status, expected, "{path} {length}");
        }
    }
    server.stop();
}

#[test]
fn a_body_whose_length_is_absurd_is_413_before_it_is_sent() {
    let installation = Installation::new();
    let server = installation.start();
    for length in [1024 * MOST, usize::MAX / 4] {
        let mut connection = Raw::connect(&server.client.base);
        connection.send(post("/rpc", ADMIN, PASSWORD, length)).unwrap();
        assert_eq!(connection.answer().status, 413, "{length}");
    }
    server.stop();
}

#[test]
fn an_endless_body_in_chunks_is_413() {
    let installation = Installation::new();
    let server = installation.start();
    let mut connection = Raw::connect(&server.client.base);
    let head = post("/rpc", ADMIN, PASSWORD, 0).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    connection.send(head).unwrap();
    let chunk = [b"100000\r\n".to_vec(), vec![b' '; MIB], b"\r\n".to_vec()].concat();
    for _ in 0..17 {
        if connection.send(&chunk).is_err() {
            // It has refused already.
            break;
        }
    }
    assert_eq!(connection.answer().status, 413);
    server.stop();
}

#[test]
fn json_of_any_depth_is_refused_and_the_server_goes_on() {
    let installation = Installation::new();
    let server = installation.start();
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(1_000_000), close.repeat(1_000_000));
    let dotted = vec!["a"; 5_000_000].join(".");
    let params = [
        nested("[", "]"),
        nested("{\"a\":", "}"),
        "[".repeat(10_000_000),
        format!("{{\"{dotted}\": 1}}"),
        format!("{{\"attrs\": {{\"{dotted}\": 1}}}}"),
        format!("{{\"attrs\": [{{\"{dotted}\": 1}}]}}"),
        format!("{{\"match\": [[\"{dotted}\", \"=\", 1]]}}"),
        format!("{{\"return\": [\"{dotted}\"]}}"),
        format!("{{\"sort\": \"{dotted}\"}}"),
        // As deep as the parser takes, with dots at each level.
        (0..120).fold("1".to_owned(), |inner, _| format!("{{\"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p\": {inner}}}")),
    ];
    for params in params {
        let start = params.get(..40).unwrap_or_default().to_owned();
        let request =
            format!(r#"{{"jsonrpc": "2.0", "id": 1, "method": "user/search", "params": {params}}}"#);
        let (status, answer) = server.client.post("/rpc", &request).expect(&start);
        assert_eq!((status, answer["result"].is_null()), (200, true), "{start}");
        let said = answer.to_string();
        assert!(said.len() < 1000, "{start}: an answer of {} bytes", said.len());
        assert!(is_the_callers_fault(answer["error"]["code"].as_i64()), "{start}: {said}");
        let (status, answer) = server.client.post("/das5/rest/user/search", &params).expect(&start);
        assert_eq!(status, 200, "{start}");
        assert!(is_the_callers_fault(answer["error"].as_i64()), "{start}: {answer}");
    }
    server.stop();
}

fn is_the_callers_fault(code: Option<i64>) -> bool {
    matches!(code, Some(-32700 | -32602 | 1003 | 1004 | 1005))
}

#[test]
fn broken_json_is_refused_in_the_words_of_its_envelope_and_not_repeated() {
    let installation = Installation::new();
    let server = installation.start();
    let body = r#"{"jsonrpc": "2.0", "params": {"credential": {"otp": "1234755224" broken"#;
    let place = "parse error at line 1, column 66";
    let (status, answer) = server.client.post("/rpc", body).unwrap();
    let error = json!({
        "code": -32700, "message": place, "data": {"kind": "request.parse", "severity": "ERROR"},
    });
    assert_eq!((status, answer), (200, json!({"jsonrpc": "2.0", "id": null, "error": error})));
    let (status, answer) = server.client.post("/das5/rest/auth/verify", body).unwrap();
    let expected = json!({
        "error": 1003, "message": place, "severity": "ERROR", "data": {"kind": "request.malformed"},
    });
    assert_eq!((status, answer), (200, expected));
    let (status, answer) = server.client.post("/das5/rest/auth/verify", "[1]").unwrap();
    assert_eq!((status, &answer["error"]), (200, &json!(1003)));
    assert_eq!(server.client.post("/rpc", "").unwrap().1["error"]["code"], Json::from(-32700));
    server.stop();
}
