//! Groups, pre-auth tokens and agents for tests.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value as Json, json};

use super::client::{Client, RpcError};

/// Makes a group; returns its hash.
pub fn group(client: &Client, name: &str) -> String {
    let made = client.ok("group/create", json!({"attrs": {"name": name}}));
    made["hash"].as_str().expect("a hash").to_owned()
}

/// Makes a pre-auth token; returns its id.
pub fn preauth(client: &Client, group: &str, owner: &str, ttl: Option<&str>) -> String {
    let body = json!({"ownerX500Name": owner, "ttl": ttl}).to_string();
    let (status, text) = client.raw_as("POST", &format!("/api/v5_4/mgm/{group}/preauthtoken"), &[], &body);
    assert_eq!(status, 200, "{text}");
    let made: Json = serde_json::from_str(&text).expect("JSON");
    made["id"].as_str().expect("an id").to_owned()
}

/// A certificate request for a key, which claims to come from somebody else.
pub fn request(key: &KeyPair) -> String {
    let mut params = CertificateParams::new(["evil.example".to_owned()]).expect("parameters");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "somebody else");
    params.serialize_request(key).and_then(|request| request.pem()).expect("a request")
}

/// What a registration has given, and the key that it is for.
pub struct Registered {
    /// The id of the agent.
    pub agent: String,
    /// Its certificate.
    pub certificate: String,
    /// Its key.
    pub key: KeyPair,
}

impl Registered {
    /// A client that shows the certificate to a server.
    pub fn client(&self, base: &str) -> Client {
        Client::with_certificate(base, &self.certificate, &self.key.serialize_pem())
    }
}

/// Registers as somebody without a login.
pub fn register(base: &str, group: &str, name: &str, token: &str) -> Result<Registered, RpcError> {
    let key = KeyPair::generate().expect("a key");
    let params = json!({"group": group, "name": name, "token": token, "request": request(&key)});
    let made = Client::stranger(base).call("agent/register", params)?;
    let text = |member: &str| made[member].as_str().expect("a text").to_owned();
    Ok(Registered { agent: text("agent"), certificate: text("certificate"), key })
}
