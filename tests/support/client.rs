//! An HTTP client for tests: one connection pool, name and password with each request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value as Json, json};

/// Name of the first admin of every test server.
pub const ADMIN: &str = "admin";
/// Password of that admin.
pub const PASSWORD: &str = "correct-horse-battery";
/// Largest answer that a test takes.
const MOST_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// Calls one server.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    /// `http://127.0.0.1:PORT`.
    pub base: String,
    authorization: String,
}

/// A JSON-RPC error as the caller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// The number.
    pub code: i64,
    /// `data.kind`.
    pub kind: String,
    /// The text.
    pub message: String,
    /// `data.rows`: the rows that are wrong.
    pub rows: Json,
}

static CALLS: AtomicU64 = AtomicU64::new(1);

impl Client {
    /// A client that logs in as the admin.
    pub fn new(base: &str) -> Self {
        Self::as_operator(base, ADMIN, PASSWORD)
    }

    /// A client that logs in with that name and password.
    pub fn as_operator(base: &str, name: &str, password: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(90)))
            .build();
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        Self { agent: config.into(), base: base.to_owned(), authorization: format!("Basic {encoded}") }
    }

    /// Posts a body; returns status and answer (`null` for none). An error is one of the connection.
    pub fn post(&self, path: &str, body: &str) -> Result<(u16, Json), ureq::Error> {
        self.post_bytes(path, body.as_bytes())
    }

    /// The same for a body that need not be text.
    pub fn post_bytes(&self, path: &str, body: &[u8]) -> Result<(u16, Json), ureq::Error> {
        let mut answer = self.send(path, "application/json", body)?;
        let text = answer.body_mut().with_config().limit(MOST_ANSWER_BYTES).read_to_string()?;
        Ok((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Json::Null)))
    }

    /// Posts a body of another type; returns the status.
    pub fn post_as(&self, path: &str, content_type: &str, body: &str) -> Result<u16, ureq::Error> {
        Ok(self.send(path, content_type, body.as_bytes())?.status().as_u16())
    }

    fn send(
        &self,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let mut request =
            self.agent.post(format!("{}{path}", self.base)).header("Content-Type", content_type);
        if !self.authorization.is_empty() {
            request = request.header("Authorization", &self.authorization);
        }
        request.send(body)
    }

    /// A client that shows nothing.
    pub fn stranger(base: &str) -> Self {
        Self::with_authorization(base, "")
    }

    /// A client that shows a certificate (PEM) and nothing else, and believes any server.
    pub fn with_certificate(base: &str, certificate: &str, key: &str) -> Self {
        use ureq::tls::{Certificate, ClientCert, PrivateKey, TlsConfig};
        let certificate = Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
        let key = PrivateKey::from_pem(key.as_bytes()).expect("a key");
        let identity = ClientCert::new_with_certs(&[certificate], key);
        let tls = TlsConfig::builder().disable_verification(true).client_cert(Some(identity)).build();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(90)))
            .tls_config(tls)
            .build();
        Self { agent: config.into(), ..Self::stranger(base) }
    }

    /// A client that sends that `Authorization` header.
    pub fn with_authorization(base: &str, authorization: &str) -> Self {
        Self { authorization: authorization.to_owned(), ..Self::new(base) }
    }

    /// Sends a request without a body as that operator, whose answer need not be text; returns the status.
    pub fn status_of(&self, method: &str, path: &str) -> u16 {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request = request.header("Authorization", &self.authorization).body(()).expect("a request");
        self.agent.run(request).expect("an answer").status().as_u16()
    }

    /// Its `Authorization` header.
    pub fn authorization(&self) -> String {
        self.authorization.clone()
    }

    /// Sends any request; returns status and text. Without an `Authorization` header of its own.
    pub fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = if body.is_empty() {
            self.agent.run(request.body(()).expect("a request"))
        } else {
            self.agent.run(request.body(body.to_owned()).expect("a request"))
        };
        let mut answer = sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        (answer.status().as_u16(), answer.body_mut().read_to_string().expect("a text"))
    }

    /// The same with the client's own `Authorization` header.
    pub fn raw_as(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut all = vec![("Authorization", self.authorization.as_str())];
        all.extend(headers);
        self.raw(method, path, &all, body)
    }

    /// Whether the server knows who this is.
    pub fn is_let_in(&self) -> bool {
        let (status, _) = self.post("/rpc", "{}").expect("an answer");
        assert!(status == 200 || status == 401, "status {status}");
        status == 200
    }

    /// Gets a page; returns status and text.
    pub fn get(&self, path: &str) -> Result<(u16, String), ureq::Error> {
        let mut answer = self.agent.get(format!("{}{path}", self.base)).call()?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
    }

    /// Gets a page as that operator; returns status and text.
    pub fn get_as(&self, path: &str) -> Result<(u16, String), ureq::Error> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let mut answer = request.header("Authorization", &self.authorization).call()?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
    }

    /// Calls a method over JSON-RPC. An outer error is one of the connection.
    pub fn try_call(&self, method: &str, params: &Json) -> Result<Result<Json, RpcError>, ureq::Error> {
        let id = CALLS.fetch_add(1, Ordering::Relaxed);
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let (status, answer) = self.post("/rpc", &request.to_string())?;
        assert!(status == 200 || status == 403, "{method}: status {status}");
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(id)), "{method}");
        Ok(match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(RpcError {
                code: answer["error"]["code"].as_i64().expect("an error has a code"),
                kind: answer["error"]["data"]["kind"].as_str().expect("an error has a kind").to_owned(),
                message: answer["error"]["message"].as_str().expect("an error has a text").to_owned(),
                rows: answer["error"]["data"]["rows"].clone(),
            }),
        })
    }

    /// Calls a method that must be answered.
    pub fn call(&self, method: &str, params: Json) -> Result<Json, RpcError> {
        self.try_call(method, &params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Calls a method that must succeed.
    pub fn ok(&self, method: &str, params: Json) -> Json {
        self.call(method, params).unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    /// Calls a method that must fail.
    pub fn error(&self, method: &str, params: Json) -> RpcError {
        match self.call(method, params) {
            Err(error) => error,
            Ok(result) => panic!("{method} must fail, it answered {result}"),
        }
    }

    /// Calls a method in the DualShield envelope.
    pub fn das5(&self, method: &str, params: &Json) -> Json {
        let (status, answer) = self
            .post(&format!("/das5/rest/{method}"), &params.to_string())
            .unwrap_or_else(|error| panic!("{method}: {error}"));
        assert!(status == 200 || status == 403, "{method}: status {status}");
        answer
    }
}
