//! JSON-RPC 2.0 over POST to `/rpc` of a server, and its stream of events, logged in by HTTP Basic.
//!
//! Goes to the named server only: no proxy from the environment, no redirects, since each request carries a
//! password. Over plain HTTP it refuses servers on other machines unless told that this is wanted. Over TLS a server's
//! certificate must come from a public authority, or be (or be signed by) one in a given file.

use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ureq::Body;
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use zeroize::Zeroizing;

use super::events::Stream;

/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an answer may take: longer than any deadline of the server, imports included.
const ANSWER: Duration = Duration::from_secs(600);

/// The longest answer taken.
const LONGEST_ANSWER: u64 = 256 << 20;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address of the server is none.
    #[error("`{server}` is not the address of a server: {problem}")]
    BadServer {
        /// What was given.
        server: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Secrets would cross a network in the open.
    #[error("{server} is on another machine, and passwords would go there in the open")]
    PlainHttp {
        /// The server.
        server: String,
    },
    /// No answer.
    #[error("cannot reach {server}: {source}")]
    Unreachable {
        /// The server.
        server: String,
        /// What the HTTP client said.
        #[source]
        source: Box<ureq::Error>,
    },
    /// Name or password are wrong.
    #[error("{server} does not let {operator} in: name or password are wrong")]
    Unauthorised {
        /// The server.
        server: String,
        /// The name.
        operator: String,
    },
    /// The role does not allow it.
    #[error("{operator} may not call {method}")]
    Forbidden {
        /// The name.
        operator: String,
        /// The method.
        method: String,
    },
    /// The server says no.
    #[error("{method}: {message} ({code}{})", .kind.as_ref().map(|kind| format!(", {kind}")).unwrap_or_default())]
    Refused {
        /// The method.
        method: String,
        /// The server's number for it.
        code: i64,
        /// The server's words.
        message: String,
        /// The server's name for it, for example `token.not_found`.
        kind: Option<String>,
    },
    /// Too much to do, or going down.
    #[error("{server} has too much to do at present (HTTP {status})")]
    Overloaded {
        /// The server.
        server: String,
        /// HTTP status.
        status: u16,
    },
    /// The answer is no JSON-RPC.
    #[error("{server} does not answer as a fobd server (HTTP {status}: {problem})")]
    NotUnderstood {
        /// The server.
        server: String,
        /// HTTP status.
        status: u16,
        /// What is wrong with the answer.
        problem: &'static str,
    },
}

impl ClientError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::PlainHttp { .. } => {
                "let the server speak TLS (https://), tunnel it (`ssh -L 8480:127.0.0.1:8480 HOST`), or give --plain-http"
            }
            Self::Unreachable { .. } => {
                "is the server running (`fobd serve`)? --server or FOBD_SERVER say where it is"
            }
            Self::Unauthorised { .. } => {
                "see --operator and --password-file, or FOBD_USER and FOBD_PASSWORD_FILE"
            }
            Self::Overloaded { .. } => "try again in a moment",
            Self::NotUnderstood { .. } => "--server or FOBD_SERVER may point at something else",
            Self::BadServer { .. } => "an address looks like http://127.0.0.1:8480",
            Self::Forbidden { .. } | Self::Refused { .. } => return None,
        };
        Some(text.to_owned())
    }

    /// The server's name for its refusal.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        match self {
            Self::Refused { kind, .. } => kind.as_deref(),
            _ => None,
        }
    }
}

/// A checked address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    server: String,
}

impl Endpoint {
    /// Reads an address, for example `http://127.0.0.1:8480`.
    ///
    /// # Errors
    /// [`ClientError::BadServer`], or [`ClientError::PlainHttp`] for another machine without `plain_http`.
    pub fn parse(server: &str, plain_http: bool) -> Result<Self, ClientError> {
        let server = server.trim_end_matches('/');
        // A name or password in the address must not show up in an error.
        let bad = |problem| {
            let shown = if server.contains('@') { "…@…" } else { server };
            ClientError::BadServer { server: shown.to_owned(), problem }
        };
        let uri: Uri = server.parse().map_err(|_| bad("it cannot be read"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it names no host"))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            _ => return Err(bad("it must begin with https:// or http://")),
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(bad("names and passwords do not belong into it"));
        }
        if uri.query().is_some() {
            return Err(bad("it must end with the path"));
        }
        if uri.scheme_str() == Some("http") && !plain_http && !is_this_machine(host) {
            return Err(ClientError::PlainHttp { server: server.to_owned() });
        }
        Ok(Self { server: server.to_owned() })
    }
}

fn is_this_machine(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whose certificates are believed.
pub struct Trusted(RootCerts);

impl Trusted {
    /// The authorities that browsers know.
    #[must_use]
    pub fn public() -> Self {
        Self(RootCerts::WebPki)
    }

    /// Nobody but these certificates in PEM, and whom they signed. `None` if there is none.
    #[must_use]
    pub fn only(pem: &[u8]) -> Option<Self> {
        let certificate = |item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        };
        let certificates: Vec<Certificate<'static>> = parse_pem(pem).filter_map(certificate).collect();
        (!certificates.is_empty()).then(|| Self(RootCerts::new_with_certs(&certificates)))
    }
}

/// A logged-in way to a server.
pub struct Client {
    agent: ureq::Agent,
    endpoint: Endpoint,
    operator: String,
    authorization: Zeroizing<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).field("operator", &self.operator).finish()
    }
}

/// A file that the server made.
pub(super) struct Download<R> {
    /// Its length.
    pub(super) bytes: u64,
    /// What its SHA-256 must be.
    pub(super) sha256: [u8; 32],
    /// Its content.
    pub(super) reader: R,
}

impl Client {
    /// Nothing is sent yet.
    #[must_use]
    pub fn new(endpoint: Endpoint, operator: &str, password: &str, trusted: Trusted) -> Self {
        let tls = TlsConfig::builder().root_certs(trusted.0).build();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .user_agent(concat!("fobd/", env!("CARGO_PKG_VERSION")))
            .build();
        let credentials = Zeroizing::new(format!("{operator}:{password}"));
        let authorization = Zeroizing::new(format!("Basic {}", STANDARD.encode(credentials.as_bytes())));
        Self { agent: config.new_agent(), endpoint, operator: operator.to_owned(), authorization }
    }

    /// Calls a method and returns its result.
    ///
    /// # Errors
    /// [`ClientError`], but for the address, which is checked already.
    pub fn call(&self, method: &str, params: &Value) -> Result<Value, ClientError> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let unreachable = |source: ureq::Error| ClientError::Unreachable {
            server: self.endpoint.server.clone(),
            source: Box::new(source),
        };
        let mut response = self
            .agent
            .post(format!("{}/rpc", self.endpoint.server))
            .header("Authorization", self.authorization.as_str())
            .header("Accept", "application/json")
            .send_json(&request)
            .map_err(unreachable)?;
        let status = response.status().as_u16();
        let body =
            response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec().map_err(unreachable)?;
        match status {
            401 => Err(ClientError::Unauthorised {
                server: self.endpoint.server.clone(),
                operator: self.operator.clone(),
            }),
            403 => Err(ClientError::Forbidden { operator: self.operator.clone(), method: method.to_owned() }),
            _ => self.read(method, status, &body),
        }
    }

    /// Follows what happens to devices and jobs, from now on.
    ///
    /// # Errors
    /// [`ClientError`], but for the address, which is checked already.
    pub(super) fn follow(&self) -> Result<Stream<impl Read + Send + use<>>, ClientError> {
        const METHOD: &str = "device/events";
        let server = || self.endpoint.server.clone();
        let response = self
            .agent
            .get(format!("{}/rpc/{METHOD}", self.endpoint.server))
            .header("Authorization", self.authorization.as_str())
            .header("Accept", "text/event-stream")
            .call()
            .map_err(|source| ClientError::Unreachable { server: server(), source: Box::new(source) })?;
        let status = response.status().as_u16();
        match status {
            200 if response.body().mime_type() == Some("text/event-stream") => {
                Ok(Stream::new(response.into_body().into_reader()))
            }
            401 => Err(ClientError::Unauthorised { server: server(), operator: self.operator.clone() }),
            403 => Err(ClientError::Forbidden { operator: self.operator.clone(), method: METHOD.to_owned() }),
            429 | 503 => Err(ClientError::Overloaded { server: server(), status }),
            _ => Err(ClientError::NotUnderstood { server: server(), status, problem: "no stream of events" }),
        }
    }

    /// Gets a page and returns what there is to read; `None` if the server has nothing to say.
    ///
    /// # Errors
    /// [`ClientError`]. What breaks off later is an error of the reader.
    pub fn get(&self, path: &str) -> Result<Option<impl Read + use<>>, ClientError> {
        let request = self.agent.get(format!("{}{path}", self.endpoint.server));
        let sent = request.header("Authorization", self.authorization.as_str()).call();
        Ok(self.page(path, sent)?.map(|response| response.into_body().into_reader()))
    }

    /// Asks for a file that the server makes, with its length and digest (RFC 9530).
    ///
    /// # Errors
    /// [`ClientError`]. What breaks off later is an error of the reader.
    pub(super) fn download(&self, path: &str) -> Result<Download<impl Read + use<>>, ClientError> {
        let request = self.agent.post(format!("{}{path}", self.endpoint.server));
        let sent = request.header("Authorization", self.authorization.as_str()).send_empty();
        let odd = |problem| ClientError::NotUnderstood {
            server: self.endpoint.server.clone(),
            status: 200,
            problem,
        };
        let response = self.page(path, sent)?.ok_or_else(|| odd("nothing"))?;
        let header = |name: &str| response.headers().get(name)?.to_str().ok();
        let bytes = header("content-length").and_then(|length| length.parse().ok());
        let sha256 = header("repr-digest")
            .and_then(|digest| digest.strip_prefix("sha-256=:")?.strip_suffix(':'))
            .and_then(|digest| STANDARD.decode(digest).ok()?.try_into().ok());
        let (Some(bytes), Some(sha256)) = (bytes, sha256) else {
            return Err(odd("a file without length or digest"));
        };
        Ok(Download { bytes, sha256, reader: response.into_body().into_reader() })
    }

    /// What a page is answered with: the answer, `None` for nothing to say, or an error.
    fn page(
        &self,
        path: &str,
        sent: Result<Response<Body>, ureq::Error>,
    ) -> Result<Option<Response<Body>>, ClientError> {
        let server = || self.endpoint.server.clone();
        let unreachable =
            |source: ureq::Error| ClientError::Unreachable { server: server(), source: Box::new(source) };
        let mut response = sent.map_err(unreachable)?;
        let (operator, method) = (self.operator.clone(), path.to_owned());
        match response.status().as_u16() {
            200 => Ok(Some(response)),
            204 => Ok(None),
            401 => Err(ClientError::Unauthorised { server: server(), operator }),
            403 => Err(ClientError::Forbidden { operator, method }),
            status => {
                let body = response.body_mut().read_to_vec().map_err(unreachable)?;
                let reply: Value = serde_json::from_slice(&body).unwrap_or_default();
                match (reply["error"].as_i64(), reply["message"].as_str()) {
                    (Some(code), Some(message)) => {
                        Err(ClientError::Refused { method, code, message: message.to_owned(), kind: None })
                    }
                    _ if matches!(status, 429 | 503) => {
                        Err(ClientError::Overloaded { server: server(), status })
                    }
                    _ => {
                        Err(ClientError::NotUnderstood { server: server(), status, problem: "no such page" })
                    }
                }
            }
        }
    }

    /// An error object counts with any HTTP status, a result with 200 only.
    fn read(&self, method: &str, status: u16, body: &[u8]) -> Result<Value, ClientError> {
        let server = || self.endpoint.server.clone();
        let odd = |problem| ClientError::NotUnderstood { server: server(), status, problem };
        let overloaded = || ClientError::Overloaded { server: server(), status };
        let no_json = |_| if matches!(status, 429 | 503) { overloaded() } else { odd("no JSON") };
        let mut reply: Value = serde_json::from_slice(body).map_err(no_json)?;
        if reply.get("jsonrpc") != Some(&json!("2.0")) {
            return Err(odd("no JSON-RPC"));
        }
        if let Some(error) = reply.get("error").filter(|error| !error.is_null()) {
            let code =
                error.get("code").and_then(Value::as_i64).ok_or_else(|| odd("an error without a code"))?;
            let message = error.get("message").and_then(Value::as_str).unwrap_or("refused").to_owned();
            let kind = error.pointer("/data/kind").and_then(Value::as_str).map(str::to_owned);
            if kind.as_deref() == Some("permission.denied") {
                let (operator, method) = (self.operator.clone(), method.to_owned());
                return Err(ClientError::Forbidden { operator, method });
            }
            return Err(ClientError::Refused { method: method.to_owned(), code, message, kind });
        }
        let result =
            reply.get_mut("result").map(Value::take).ok_or_else(|| odd("neither result nor error"))?;
        if status == 200 { Ok(result) } else { Err(odd("a result with this status")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::playback::{Playback, reply};

    fn client(server: &Playback) -> Client {
        Client::new(Endpoint::parse(&server.url(), false).unwrap(), "admin", "a:b", Trusted::public())
    }

    fn call(replies: Vec<String>) -> Result<Value, ClientError> {
        let server = Playback::start(replies);
        client(&server).call("token/get", &json!({"x": 1}))
    }

    #[test]
    fn a_call_is_one_logged_in_post_and_gives_the_result() {
        let server = Playback::start(vec![reply(200, r#"{"jsonrpc":"2.0","id":1,"result":{"id":"t1"}}"#)]);
        assert_eq!(client(&server).call("token/get", &json!({"x": 1})).unwrap(), json!({"id": "t1"}));
        let request = server.requests().remove(0);
        assert!(request.head.starts_with("POST /rpc HTTP/1.1\r\n"), "{}", request.head);
        let head = request.head.to_lowercase();
        assert!(head.contains("authorization: basic ywrtaw46ytpi"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "token/get", "params": {"x": 1}});
        assert_eq!(request.body, body);
    }

    #[test]
    fn an_error_object_keeps_its_number_name_and_words() {
        let body = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1022,"message":"token not found.",
            "data":{"kind":"token.not_found","severity":"ERROR"}}}"#;
        for status in [200, 404] {
            let error = call(vec![reply(status, body)]).unwrap_err();
            assert_eq!(error.to_string(), "token/get: token not found. (1022, token.not_found)");
            assert_eq!(error.kind(), Some("token.not_found"));
        }
    }

    #[test]
    fn a_refused_login_and_a_refused_role_are_told_apart() {
        let error = call(vec![reply(401, "")]).unwrap_err();
        assert!(
            matches!(error, ClientError::Unauthorised { ref operator, .. } if operator == "admin"),
            "{error}"
        );
        let error = call(vec![reply(403, "")]).unwrap_err();
        assert_eq!(error.to_string(), "admin may not call token/get");
        let body = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1007,"message":"no","data":{"kind":"permission.denied"}}}"#;
        assert!(matches!(call(vec![reply(200, body)]), Err(ClientError::Forbidden { .. })));
    }

    #[test]
    fn a_closed_port_is_unreachable_and_says_where_to_look() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = Client::new(Endpoint::parse(&url, false).unwrap(), "admin", "secret", Trusted::public());
        let error = client.call("token/get", &json!({})).unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
        assert!(error.hint().unwrap().contains("FOBD_SERVER"));
        assert!(!format!("{error} {error:?} {client:?}").contains("secret"));
    }

    #[test]
    fn a_server_with_too_much_to_do_is_no_stranger() {
        for status in [429, 503] {
            let error = call(vec![reply(status, "later")]).unwrap_err();
            assert!(matches!(error, ClientError::Overloaded { .. }), "{error}");
        }
    }

    #[test]
    fn what_is_no_json_rpc_is_not_understood() {
        for (status, body) in [
            (200, "<html>"),
            (200, "{}"),
            (200, r#"{"jsonrpc":"2.0","id":1}"#),
            (502, "bad gateway"),
            (500, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
            (302, ""),
        ] {
            let error = call(vec![reply(status, body)]).unwrap_err();
            assert!(matches!(error, ClientError::NotUnderstood { .. }), "{status} {body}: {error}");
        }
    }

    #[test]
    fn only_this_machine_gets_passwords_in_the_open() {
        for server in
            ["http://127.0.0.1:8480/", "http://localhost:1", "http://[::1]:8480", "http://127.9.9.9"]
        {
            assert!(Endpoint::parse(server, false).is_ok(), "{server}");
        }
        for server in ["http://fobd.example:8480", "http://192.0.2.1", "http://127.0.0.1.example"] {
            assert!(matches!(Endpoint::parse(server, false), Err(ClientError::PlainHttp { .. })), "{server}");
            assert!(Endpoint::parse(server, true).is_ok(), "{server}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused_without_repeating_a_password() {
        for server in ["", "fobd", "ftp://127.0.0.1", "http://", "http://127.0.0.1/?a=b"] {
            assert!(matches!(Endpoint::parse(server, true), Err(ClientError::BadServer { .. })), "{server}");
        }
        let error = Endpoint::parse("http://me:hush@127.0.0.1", true).unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}
