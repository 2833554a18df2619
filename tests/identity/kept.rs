//! What lets somebody in is kept as its hash only, and is in no log: after one of each was made and used, none is in
//! any file of the server.

use std::fs;

use serde_json::{Value as Json, json};

use crate::support::agents;
use crate::support::client::{ADMIN, Client, PASSWORD};
use crate::support::program::Installation;

const NEW_PASSWORD: &str = "a-password-for-the-desk";

#[test]
fn no_token_no_pass_code_and_no_secret_of_a_client_is_in_any_file() {
    let installation = Installation::new();
    let server = installation.start();
    let client = &server.client;
    let operator = json!({"name": "desk", "role": "helpdesk", "password": NEW_PASSWORD});
    client.ok("operator/create", json!({ "attrs": operator }));
    let body = json!({"Username": ADMIN, "Password": PASSWORD, "AgentId": ""}).to_string();
    let json_type = [("Content-Type", "application/json")];
    let (_, session) = client.raw("POST", "/Authentication/V1/Tokens", &json_type, &body);
    let session: String = serde_json::from_str(&session).unwrap();
    let fcf = Client::with_authorization(&client.base, &format!("FCF {session}"));
    assert!(fcf.is_let_in());
    assert_eq!(client.raw("GET", &format!("/Authentication/V1/Tokens/{session}"), &[], "").0, 200);
    let (_, made) = client.raw_as("POST", "/api/v2/userTokens/currentUser", &[], "");
    let made: Json = serde_json::from_str(&made).unwrap();
    let (code, pass) = (made["userCode"].as_str().unwrap(), made["passCode"].as_str().unwrap());
    assert!(Client::as_operator(&client.base, code, pass).is_let_in());
    let made = client.ok("client/create", json!({"attrs": {"name": "vpn", "operator": {"name": "desk"}}}));
    let secret = made["clientSecret"].as_str().unwrap();
    let form = format!("grant_type=client_credentials&client_id=vpn&client_secret={secret}");
    let form_type = [("Content-Type", "application/x-www-form-urlencoded")];
    let (_, granted) = client.raw("POST", "/das5/rest/oauth/token", &form_type, &form);
    let granted: Json = serde_json::from_str(&granted).unwrap();
    let bearer = granted["access_token"].as_str().unwrap();
    assert!(Client::with_authorization(&client.base, &format!("Bearer {bearer}")).is_let_in());
    let group = agents::group(client, "O=Head Office, L=London, C=GB");
    let desk = "O=Helpdesk, L=London, C=GB";
    let (used, unused) =
        (agents::preauth(client, &group, desk, None), agents::preauth(client, &group, desk, None));
    agents::register(&client.base, &group, desk, &used).unwrap();
    assert!(agents::register(&client.base, &group, desk, &unused).is_err());
    // Wrong ones are of no use to the log either.
    let wrong = [format!("FCF {pass}"), format!("Bearer {secret}"), format!("Basic {bearer}")];
    for header in wrong {
        assert!(!Client::with_authorization(&client.base, &header).is_let_in());
    }
    server.kill_9();

    // The start of every private key of ECDSA on P-256 in PKCS#8: that of an authority is sealed.
    let authority =
        b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04";
    let key = rcgen::KeyPair::generate().unwrap().serialize_der();
    assert!(key.windows(authority.len()).any(|window| window == authority), "or these are not looked for");
    let secrets = [PASSWORD, NEW_PASSWORD, &session, pass, secret, bearer, &used, &unused];
    let secrets = secrets.map(str::as_bytes).into_iter().chain([&authority[..]]);
    let mut files: Vec<_> =
        fs::read_dir(installation.data_dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.push(installation.log_file());
    files.retain(|path| path.is_file());
    assert!(files.len() >= 3, "{files:?}");
    for path in files {
        let content = fs::read(&path).unwrap();
        for secret in secrets.clone() {
            let found = content.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{} holds a secret that begins with {:?}", path.display(), &secret[..3]);
        }
    }
}
