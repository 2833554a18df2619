//! One JSON-RPC call to a server that is known by the fingerprint of its certificate, and by nothing else: what an agent
//! sends when it registers, and, with its own certificate, when it renews.
//!
//! The handshake proves that the server holds the key of that certificate. Names, issuer and dates in it do not count:
//! an admin has read the fingerprint off the server itself. `ureq` has no way to say that, so this is `hyper` over
//! `rustls`.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::client::ClientError;
use super::error::CliError;

/// How long the whole call may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest answer taken.
const LONGEST_ANSWER: usize = 1 << 20;

/// SHA-256 of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl std::str::FromStr for Fingerprint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let mut bytes = [0; 32];
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err("a fingerprint has 64 hexadecimal digits, with or without colons");
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).unwrap_or_default();
            *byte = u8::from_str_radix(pair, 16).unwrap_or_default();
        }
        Ok(Self(bytes))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            let colon = if position == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

/// Who calls: a certificate and its key, in PEM.
pub(super) struct Identity<'a> {
    pub(super) certificate: &'a str,
    pub(super) key: &'a str,
}

/// Calls a method and returns its result.
pub(super) fn call(
    server: &str,
    fingerprint: Fingerprint,
    identity: Option<&Identity<'_>>,
    method: &str,
    params: &Value,
) -> Result<Value, CliError> {
    let failed = |problem: String| CliError::NoAnswer { server: server.to_owned(), problem };
    let uri: Uri = server.parse().map_err(|_| failed("it is no address".to_owned()))?;
    if uri.scheme_str() != Some("https") || uri.host().is_none() {
        return Err(CliError::NotHttps { server: server.to_owned() });
    }
    let verifier = Arc::new(Pin { expected: fingerprint, seen: OnceLock::new(), provider: provider() });
    let config = config(&verifier, identity).map_err(failed)?;
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let outcome = runtime.block_on(async {
        let exchange = exchange(&uri, Arc::new(config), request);
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    });
    let outcome = outcome.map_err(|problem| match verifier.seen.get() {
        Some(seen) if *seen != fingerprint => {
            CliError::OtherServer { server: server.to_owned(), seen: seen.to_string() }
        }
        _ => failed(problem),
    });
    let (status, body) = outcome?;
    let odd = |problem| ClientError::NotUnderstood { server: server.to_owned(), status, problem };
    if status == 401 {
        return Err(ClientError::Unauthorised {
            server: server.to_owned(),
            operator: "this agent".to_owned(),
        }
        .into());
    }
    let mut reply: Value = serde_json::from_slice(&body).map_err(|_| odd("no JSON"))?;
    if let Some(error) = reply.get("error") {
        let code = error["code"].as_i64().ok_or_else(|| odd("an error without a code"))?;
        let message = error["message"].as_str().unwrap_or("refused").to_owned();
        let kind = error.pointer("/data/kind").and_then(Value::as_str).map(str::to_owned);
        return Err(ClientError::Refused { method: method.to_owned(), code, message, kind }.into());
    }
    Ok(reply.get_mut("result").map(Value::take).ok_or_else(|| odd("neither result nor error"))?)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn config(verifier: &Arc<Pin>, identity: Option<&Identity<'_>>) -> Result<ClientConfig, String> {
    let verifier: Arc<dyn ServerCertVerifier> = Arc::<Pin>::clone(verifier);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some(identity) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect();
    let chain = chain.map_err(|error| format!("the agent's certificate: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
        .map_err(|error| format!("the agent's key: {error}"))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| format!("the agent's certificate: {error}"))
}

async fn exchange(uri: &Uri, config: Arc<ClientConfig>, body: String) -> Result<(u16, Vec<u8>), String> {
    let said = |error: &dyn std::error::Error| error.to_string();
    let host = uri.host().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(443);
    let stream = TcpStream::connect((literal, port)).await.map_err(|error| said(&error))?;
    let name = ServerName::try_from(literal.to_owned()).map_err(|error| said(&error))?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| said(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| said(&error))?;
    tokio::spawn(connection);
    let path = format!("{}/rpc", uri.path().trim_end_matches('/'));
    let request = Request::post(path)
        .header(HOST, uri.authority().map_or(host, |authority| authority.as_str()))
        .header(CONTENT_TYPE, "application/json")
        .body(body)
        .map_err(|error| said(&error))?;
    let response = sender.send_request(request).await.map_err(|error| said(&error))?;
    Ok((response.status().as_u16(), read(response).await?))
}

async fn read(response: Response<Incoming>) -> Result<Vec<u8>, String> {
    let mut body = pin!(response.into_body());
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|error| error.to_string())?;
        bytes.extend_from_slice(frame.data_ref().map(|data| &data[..]).unwrap_or_default());
        if bytes.len() > LONGEST_ANSWER {
            return Err("the answer is too long".to_owned());
        }
    }
    Ok(bytes)
}

/// Believes one certificate.
#[derive(Debug)]
struct Pin {
    expected: Fingerprint,
    seen: OnceLock<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = *self.seen.get_or_init(|| Fingerprint(Sha256::digest(certificate).into()));
        if seen == self.expected {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_openssl_prints_it_and_without_colons() {
        let text = (0..32).map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
        let read: Fingerprint = text.parse().unwrap();
        assert_eq!(read.to_string(), text);
        assert_eq!(text.replace(':', "").to_lowercase().parse(), Ok(read));
        for bad in ["", "00", &text[1..], &text.replace('0', "x")] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_sent_in_the_clear() {
        let pin = Fingerprint([0; 32]);
        let error = call("http://127.0.0.1:1", pin, None, "agent/register", &json!({})).unwrap_err();
        assert!(matches!(error, CliError::NotHttps { .. }), "{error}");
    }
}
