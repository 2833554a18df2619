//! The API of pre-auth tokens, asked as its document asks.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{HELPDESK, agents, ask, encoded, server};
use crate::support::client::{ADMIN, PASSWORD};
use crate::support::program::Installation;

const ALICE: &str = "O=Alice, L=London, C=GB";

#[test]
fn the_curl_lines_of_the_document_work_as_printed() {
    let installation = Installation::new().argument("--tls");
    let server = installation.start();
    let curl = |line: &str, variables: &[(&str, &str)]| -> Json {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).envs(variables.iter().copied());
        let output = shell.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{line}: {text}{}", String::from_utf8_lossy(&output.stderr)))
    };
    let rpc = r#"curl -sS -k -u "$REST_API_USER:$REST_API_PASSWORD" -H 'Content-Type: application/json' -d "$CALL" $REST_API_URL/../../rpc"#;
    for version in ["v1", "v5_1", "v5_2", "v5_3", "v5_4"] {
        let url = format!("{}/api/{version}", server.client.base);
        let login = [("REST_API_USER", ADMIN), ("REST_API_PASSWORD", PASSWORD), ("REST_API_URL", &url)];
        let name = format!("O={version}, L=London, C=GB");
        let call =
            json!({"jsonrpc": "2.0", "id": 1, "method": "group/create", "params": {"attrs": {"name": name}}});
        let made = curl(rpc, &[&login[..], &[("CALL", &call.to_string())]].concat());
        let hash = made["result"]["hash"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        let known = [&login[..], &[("MGM_HOLDING_ID", &*hash)]].concat();

        let line = r#"curl -k -u $REST_API_USER:$REST_API_PASSWORD -X POST -d '{"ownerX500Name": "O=Alice, L=London, C=GB"}' $REST_API_URL/mgm/$MGM_HOLDING_ID/preauthtoken"#;
        let token = curl(line, &known);
        let id = token["id"].as_str().unwrap();
        let expected = json!({
            "id": id, "ownerX500Name": ALICE, "ttl": null, "status": "AVAILABLE", "creationRemark": null,
            "removalRemark": null,
        });
        assert_eq!(token, expected);

        // Printed with `/reauthtoken`, with one quote too few and without those that keep a shell from the `&`.
        let line = r#"curl -k -u $REST_API_USER:$REST_API_PASSWORD "$REST_API_URL/mgm/$MGM_HOLDING_ID/preauthtoken?viewInactive=true&preAuthTokenId=$TOKEN_ID&ownerX500Name=$OWNER_X500""#;
        let owner = encoded(ALICE);
        let asked = [&known[..], &[("TOKEN_ID", id), ("OWNER_X500", &*owner)]].concat();
        assert_eq!(curl(line, &asked), json!([token]));

        let line = r#"curl -k -u $REST_API_USER:$REST_API_PASSWORD -X PUT -d '{"remarks":"Additional authentication required."}' $REST_API_URL/mgm/$MGM_HOLDING_ID/preauthtoken/revoke/$TOKEN_ID"#;
        let mut revoked = expected;
        revoked["status"] = "REVOKED".into();
        revoked["removalRemark"] = "Additional authentication required.".into();
        assert_eq!(curl(line, &asked), revoked);
        let line =
            "curl -k -u $REST_API_USER:$REST_API_PASSWORD $REST_API_URL/mgm/$MGM_HOLDING_ID/preauthtoken";
        assert_eq!(curl(line, &known), json!([]), "only what is active");
    }
    server.stop();
}

#[test]
fn a_token_has_the_name_in_its_one_form_and_ends_after_its_duration() {
    let (server, hash) = server();
    let body = json!({"ownerX500Name": "c=GB;l=London, o=\"Alice\"", "ttl": "PT15M", "remarks": "for Alice"});
    let (status, token) = ask(&server.client, "POST", &hash, "preauthtoken", &body.to_string());
    let expected = json!({
        "id": token["id"], "ownerX500Name": ALICE, "ttl": "2026-01-01T00:15:00Z", "status": "AVAILABLE",
        "creationRemark": "for Alice", "removalRemark": null,
    });
    assert_eq!((status, &token), (200, &expected));
    let id = token["id"].as_str().unwrap();
    let shape: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!((shape, &id[14..15]), (vec![8, 4, 4, 4, 12], "4"), "{id}");
    assert_eq!(id, id.to_lowercase());

    let listed = |query: &str| ask(&server.client, "GET", &hash, &format!("preauthtoken{query}"), "").1;
    server.clock.advance(Duration::from_millis(899_999));
    assert_eq!(listed(""), json!([expected]));
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(listed(""), json!([]), "its time is over");
    assert_eq!(listed("?viewInactive=true"), json!([expected]), "and its status is what it was");
    let revoke = format!("preauthtoken/revoke/{}", id.to_uppercase());
    let (status, revoked) = ask(&server.client, "PUT", &hash, &revoke, "");
    assert_eq!(
        (status, &revoked["status"], &revoked["removalRemark"]),
        (200, &json!("REVOKED"), &Json::Null)
    );

    for (ttl, expected) in [
        ("PT0S", "2026-01-01T00:15:00Z"),
        ("-PT1H", "2025-12-31T23:15:00Z"),
        ("P1DT2H2M", "2026-01-02T02:17:00Z"),
        ("PT0.0015S", "2026-01-01T00:15:00.001Z"),
    ] {
        // The wrapped form, which one of the clients sends.
        let body = json!({"request": {"ownerX500Name": ALICE, "ttl": ttl}}).to_string();
        let (status, token) = ask(&server.client, "POST", &hash, "preauthtoken", &body);
        assert_eq!((status, &token["ttl"]), (200, &json!(expected)), "{ttl}");
    }
}

#[test]
fn filters_work_in_any_combination_and_their_names_in_any_case() {
    let (server, hash) = server();
    let client = &server.client;
    let other = agents::group(client, "O=Second Office, L=Paris, C=FR");
    let a1 = agents::preauth(client, &hash, ALICE, None);
    let a2 = agents::preauth(client, &hash, ALICE, None);
    let b1 = agents::preauth(client, &hash, HELPDESK, Some("PT1H"));
    let c1 = agents::preauth(client, &other, ALICE, None);
    ask(client, "PUT", &hash, &format!("preauthtoken/revoke/{a2}"), r#""not needed""#);
    let ids = |hash: &str, query: &str| -> Vec<String> {
        let (status, found) = ask(client, "GET", hash, &format!("preauthtoken?{query}"), "");
        assert_eq!(status, 200, "{query}: {found}");
        let rows = found.as_array().unwrap();
        assert!(rows.iter().all(|row| row.as_object().unwrap().len() == 6), "{found}");
        rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let alice = encoded("L=London,C=GB,O=Alice");
    assert_eq!(ids(&hash, ""), [a1.as_str(), b1.as_str()]);
    assert_eq!(ids(&hash.to_lowercase(), "viewinactive=TRUE"), [a1.as_str(), a2.as_str(), b1.as_str()]);
    assert_eq!(ids(&hash, "viewInactive=1"), [a1.as_str(), b1.as_str()], "anything but true is false");
    assert_eq!(ids(&hash, &format!("OWNERX500NAME={alice}")), [a1.as_str()]);
    assert_eq!(ids(&hash, &format!("ownerX500Name={alice}&viewInactive=true")), [a1.as_str(), a2.as_str()]);
    assert_eq!(ids(&hash, &format!("preauthtokenid={}", b1.to_uppercase())), [b1.as_str()]);
    assert_eq!(ids(&hash, &format!("preAuthTokenId={b1}&ownerX500Name={alice}")), [""; 0]);
    assert_eq!(ids(&hash, &format!("preAuthTokenId={a2}")), [""; 0]);
    assert_eq!(ids(&hash, &format!("preAuthTokenId={a2}&viewInactive=true")), [a2.as_str()]);
    // What belongs to another group is not there.
    assert_eq!(ids(&hash, &format!("preAuthTokenId={c1}&viewInactive=true")), [""; 0]);
    assert_eq!(ids(&other, "viewInactive=true"), [c1.as_str()]);
}

#[test]
fn the_fixed_parts_of_the_path_are_the_same_in_any_case_and_the_media_type_does_not_matter() {
    let (server, hash) = server();
    let body = json!({"ownerX500Name": ALICE}).to_string();
    for kind in ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"] {
        let path = format!("/API/V5_3/Mgm/{hash}/PreAuthToken");
        let (status, text) = server.client.raw_as("POST", &path, &[("Content-Type", kind)], &body);
        assert_eq!(status, 200, "{kind}: {text}");
    }
    let path = format!("/api/v1/mgm/{hash}/preauthtoken");
    let multipart = [("Content-Type", "multipart/form-data; boundary=x")];
    assert_eq!(server.client.raw_as("POST", &path, &multipart, &body).0, 400);
    let (status, _) =
        server.client.raw_as("GET", &format!("/API/v1/MGM/{hash}/PREAUTHTOKEN?viewinactive=true"), &[], "");
    assert_eq!(status, 200);
}
