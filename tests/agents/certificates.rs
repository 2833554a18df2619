//! The certificates of agents: what openssl sees in them, and what they are good for.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rcgen::KeyPair;
use serde_json::{Value as Json, json};

use super::{HELPDESK, agents, server};
use crate::support::client::{ADMIN, Client, PASSWORD};
use crate::support::program::{Installation, run};

/// A way to make a key with openssl.
const KEYS: [&[&str]; 5] = [
    &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"],
    &["ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out"],
    &["genpkey", "-algorithm", "ed25519", "-out"],
    &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"],
    &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072", "-out"],
];

#[test]
fn a_request_of_openssl_is_answered_by_a_certificate_that_openssl_verifies_and_curl_logs_in_with() {
    let installation = Installation::new().argument("--tls");
    let server = installation.start();
    let base = &server.client.base;
    let path = |name: &str| installation.scratch().join(name);
    let openssl =
        |words: &[&str]| run(Command::new("openssl").current_dir(installation.scratch()).args(words));
    let curl = |words: &[&str]| {
        let mut curl = Command::new("curl");
        curl.current_dir(installation.scratch()).args(["-sS", "-k", "--max-time", "20"]).args(words);
        run(&mut curl)
    };
    let login = format!("{ADMIN}:{PASSWORD}");
    let rpc = |words: &[&str], method: &str, params: Json| -> Json {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let url = format!("{base}/rpc");
        let all = ["-H", "Content-Type: application/json", "-d", &call, &url];
        let text = curl(&[words, &all].concat());
        serde_json::from_str(&text).unwrap_or_else(|_| json!({ "text": text }))
    };
    let group =
        rpc(&["-u", &login], "group/create", json!({"attrs": {"name": "O=Head Office, L=London, C=GB"}}));
    let hash = group["result"]["hash"].as_str().unwrap().to_owned();
    for (number, make_key) in KEYS.iter().enumerate() {
        let (key, csr, crt) = (format!("{number}.key"), format!("{number}.csr"), format!("{number}.crt"));
        let name = format!("CN=Desk {number}, OU=IT, O=\"Acme, Inc.\", L=London, ST=Greater London, C=GB");
        openssl(&[make_key, &[&key[..]][..]].concat());
        // Its subject and extensions are somebody else's.
        let extension = "basicConstraints=critical,CA:TRUE";
        openssl(&["req", "-new", "-key", &key, "-subj", "/CN=admin", "-addext", extension, "-out", &csr]);
        let url = format!("{base}/api/v5_4/mgm/{hash}/preauthtoken");
        let body = json!({ "ownerX500Name": name }).to_string();
        let token: Json = serde_json::from_str(&curl(&["-u", &login, "-d", &body, &url])).unwrap();
        let request = fs::read_to_string(path(&csr)).unwrap();
        let params = json!({"group": hash, "name": name, "token": token["id"], "request": request});
        let made = rpc(&[], "agent/register", params);
        let text = |member: &str| made["result"][member].as_str().unwrap_or_else(|| panic!("{made}"));
        fs::write(path(&crt), text("certificate")).unwrap();
        fs::write(path("ca.crt"), text("authority")).unwrap();

        openssl(&["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "ca.crt", &crt]);
        let shown = openssl(&["x509", "-in", &crt, "-noout", "-subject", "-issuer", "-text"]);
        for line in [
            format!(
                "subject=C = GB, ST = Greater London, L = London, O = \"Acme, Inc.\", OU = IT, CN = Desk {number}"
            ),
            "issuer=C = GB, L = London, O = Head Office".to_owned(),
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} is not in {shown}");
        }
        assert!(shown.contains("CA:FALSE") && shown.contains("TLS Web Client Authentication"), "{shown}");
        assert!(!shown.contains("CA:TRUE"), "{shown}");
        openssl(&["x509", "-in", &crt, "-noout", "-checkend", &(90 * 86_400 - 600).to_string()]);
        let over = Command::new("openssl")
            .current_dir(installation.scratch())
            .args(["x509", "-in", &crt, "-noout", "-checkend", &(90 * 86_400 + 60).to_string()])
            .output()
            .unwrap();
        assert_eq!(over.status.code(), Some(1), "90 days and no more");

        let identity = ["--cert", &crt, "--key", &key];
        let renewed = rpc(&identity, "agent/renew", json!({ "request": request }));
        assert_eq!(renewed["result"]["agent"], text("agent"), "{renewed}");
        let refused = rpc(&identity, "operator/search", json!({}));
        assert_eq!(refused["error"]["code"], 1007, "{refused}");
        // TLS 1.2 proves the key in another way.
        let older = [&identity[..], &["--tls-max", "1.2"]].concat();
        assert_eq!(
            rpc(&older, "agent/renew", json!({ "request": request }))["result"]["agent"],
            text("agent")
        );
        // A header counts, if there is one.
        let both = [&identity[..], &["-u", &login]].concat();
        assert!(rpc(&both, "operator/search", json!({}))["result"].is_object());
        let wrong = [&identity[..], &["-u", "admin:wrong-horse-battery"]].concat();
        assert_eq!(rpc(&wrong, "agent/renew", json!({ "request": request })), json!({ "text": "" }));

        let agent = json!({"agent": text("agent")});
        assert!(rpc(&["-u", &login], "agent/retire", agent)["result"].is_object());
        assert_eq!(rpc(&identity, "agent/renew", json!({ "request": request })), json!({ "text": "" }));
    }
    // One that says the same and that the group's authority has not signed.
    openssl(&["req", "-x509", "-key", "0.key", "-subj", "/C=GB/L=London/O=Helpdesk", "-out", "own.crt"]);
    let own = rpc(&["--cert", "own.crt", "--key", "0.key"], "agent/renew", json!({ "request": "x" }));
    assert_eq!(own, json!({ "text": "" }));
    server.stop();
}

fn renew(client: &Client, key: &KeyPair) -> (u16, Json) {
    let request = agents::request(key);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "agent/renew", "params": {"request": request}});
    client.post("/rpc", &call.to_string()).unwrap()
}

#[test]
fn a_certificate_is_good_for_ninety_days_and_is_renewed_by_itself_with_the_same_key_or_another() {
    let (server, hash) = server();
    let base = server.over_tls();
    let token = agents::preauth(&server.client, &hash, HELPDESK, None);
    let mut made = agents::register(&server.client.base, &hash, HELPDESK, &token).unwrap();
    let day = Duration::from_secs(86_400);
    server.clock.advance(day * 60);
    let old = made.client(&base);
    let other = KeyPair::generate().unwrap();
    let (status, answer) = renew(&old, &other);
    assert_eq!((status, &answer["result"]["expires"]), (200, &json!("2026-05-31T00:00:00Z")), "{answer}");
    made.certificate = answer["result"]["certificate"].as_str().unwrap().to_owned();
    made.key = other;
    let new = made.client(&base);
    assert_eq!(renew(&new, &made.key).0, 200);
    server.clock.advance(day * 30 - Duration::from_millis(1));
    assert_eq!(renew(&old, &made.key).0, 200, "good to its end");
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(renew(&old, &made.key).0, 401, "its 90 days are over");
    assert_eq!(renew(&new, &made.key).0, 200);
    let shown = json!({"agent": made.agent, "return": ["expires"]});
    assert_eq!(server.client.ok("agent/get", shown)["expires"], "2026-06-30T00:00:00Z");
    let rows = server.client.ok("audit/search", json!({"action": "agent/renew", "order": "asc", "max": 1}));
    let row = &rows["rows"][0];
    let expected = (json!(format!("agent:{HELPDESK}")), json!("n1, until 2026-05-31T00:00:00Z"));
    assert_eq!((row["operator"].clone(), row["detail"].clone()), expected);
    // Somebody without a certificate of an agent has nothing to renew.
    let request = agents::request(&made.key);
    assert_eq!(server.client.error("agent/renew", json!({ "request": request })).kind, "request.invalid");
}

#[test]
fn an_agent_sees_the_repositories_that_it_was_given_and_no_user() {
    let (server, hash) = server();
    let token = agents::preauth(&server.client, &hash, HELPDESK, None);
    let made = agents::register(&server.client.base, &hash, HELPDESK, &token).unwrap();
    let berlin = server.client.ok("repository/create", json!({"attrs": {"name": "Berlin"}}))["id"].clone();
    let scope = || {
        use rustls::pki_types::pem::PemObject as _;
        let pem = made.certificate.as_bytes();
        let der = rustls::pki_types::CertificateDer::from_pem_slice(pem).unwrap();
        let logins = &server.app.logins;
        let now = fobd::otp::time::Clock::now(&*server.clock);
        let found = server.block_on(logins.by_certificate(&server.app.store, &der, now));
        found.unwrap().expect("an agent").scope
    };
    let seen = |scope: &fobd::model::scope::Scope| -> Vec<String> {
        scope.repositories().unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!((scope().domains().unwrap().len(), seen(&scope())), (0, vec![]));
    let set = |names: Json| json!({"agent": made.agent, "attrs": {"repositories": names}});
    server.client.ok("agent/set", set(json!([{"name": "Berlin"}])));
    assert_eq!(seen(&scope()), [berlin.as_str().unwrap()]);
    assert_eq!(
        server.client.error("agent/set", set(json!([{"name": "Nowhere"}]))).kind,
        "repository.not_found"
    );
    assert_eq!(seen(&scope()).len(), 1, "nothing was changed");
    server.client.ok("repository/delete", json!({"repository": {"name": "Berlin"}}));
    assert_eq!((scope().is_all(), seen(&scope())), (false, vec![]), "smaller, never wider");
}
