//! The server's certificate: given as PEM files, or made on first start; read again when the files change.
//!
//! TLS 1.2 and 1.3 by rustls with its `ring` provider. A client may show a certificate: here it only proves that it
//! holds the key, and the store says whose it is. So a certificate of any issuer gets through the handshake, and none
//! of them is worth anything by itself.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName as Subject, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;

use crate::files;

/// Years that a certificate made here is good for.
const YEARS: i32 = 10;

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The chain in PEM, the server's own first.
    pub certificate: PathBuf,
    /// Its private key in PEM (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{}: {problem}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// Makes a key and a certificate signed by itself, unless both files are there. `true` if it did.
///
/// The key is written first and never over another one: a certificate without a key would be of no use, a key without
/// a certificate is used again.
///
/// # Errors
/// [`TlsError`].
pub fn make_unless_there(
    files: &Files,
    names: &[String],
    today: jiff::civil::Date,
) -> Result<bool, TlsError> {
    if files.certificate.exists() && files.key.exists() {
        return Ok(false);
    }
    let key = match fs::read_to_string(&files.key) {
        Ok(pem) => KeyPair::from_pem(&pem)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = KeyPair::generate()?;
            write_private(&files.key, key.serialize_pem().as_bytes())?;
            key
        }
        Err(source) => return Err(TlsError::File { path: files.key.clone(), source }),
    };
    let mut params = CertificateParams::new(names)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, names.first().map_or("fobd", String::as_str));
    params.distinguished_name = subject;
    let day = |years: i32| {
        let year = i32::from(today.year()) + years;
        // 29 February is not in every year.
        rcgen::date_time_ymd(year, today.month().unsigned_abs(), today.day().unsigned_abs().min(28))
    };
    (params.not_before, params.not_after) = (day(0), day(YEARS));
    let certificate = params.self_signed(&key)?;
    write_private(&files.certificate, certificate.pem().as_bytes())?;
    Ok(true)
}

/// Writes a file that only its owner reads, in a directory that may not be there yet.
fn write_private(path: &Path, content: &[u8]) -> Result<(), TlsError> {
    fs::create_dir_all(files::directory_of(path))
        .and_then(|()| files::write_private(path, content))
        .map_err(|source| TlsError::File { path: path.to_owned(), source })
}

/// The names that clients of this machine may use: this host's, the loopback's, and the address it listens on.
#[must_use]
pub fn own_names(listen: IpAddr) -> Vec<String> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let listen = if listen.is_unspecified() { String::new() } else { listen.to_string() };
    let all = [host.trim(), "localhost", "127.0.0.1", "::1", &listen];
    let mut names: Vec<String> = Vec::new();
    for name in all.into_iter().filter(|name| !name.is_empty()) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The certificate in use.
#[derive(Debug)]
pub struct Identity {
    files: Files,
    current: RwLock<Arc<CertifiedKey>>,
    /// When the files were written that `current` was read from.
    written: Mutex<[Option<SystemTime>; 2]>,
}

impl Identity {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(files: Files) -> Result<Arc<Self>, TlsError> {
        let written = Mutex::new(files.written());
        let current = RwLock::new(Arc::new(read(&files)?));
        Ok(Arc::new(Self { files, current, written }))
    }

    /// Reads the files again if they have changed. A pair that does not fit together is reported and not used: it
    /// may be half replaced.
    pub fn refresh(&self) {
        let now = self.files.written();
        {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::replace(&mut *written, now) == now {
                return;
            }
        }
        match read(&self.files) {
            Ok(fresh) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                tracing::info!(fingerprint = self.fingerprint(), "took a new certificate");
            }
            Err(error) => tracing::error!(%error, "the new certificate is not used"),
        }
    }

    /// SHA-256 of the server's own certificate, as browsers and openssl show it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.current().cert.first().map(|own| fingerprint(own)).unwrap_or_default()
    }

    /// A TLS side for accepted connections that always shows the newest certificate.
    #[must_use]
    pub fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let provider = provider();
        let verifier = Arc::new(AnyHolder { provider: Arc::clone(&provider) });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has TLS 1.2 and 1.3")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(Newest(Arc::clone(self))));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// SHA-256 of a certificate in DER: 32 bytes in hexadecimal, with colons.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> String {
    let mut text = String::new();
    for (position, byte) in Sha256::digest(certificate).iter().enumerate() {
        let colon = if position == 0 { "" } else { ":" };
        let _ = write!(text, "{colon}{byte:02X}");
    }
    text
}

impl Files {
    fn written(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|path| fs::metadata(path).and_then(|file| file.modified()).ok())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read(files: &Files) -> Result<CertifiedKey, TlsError> {
    let bytes =
        |path: &Path| fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source });
    let content = |path: &Path, problem: String| TlsError::Content { path: path.to_owned(), problem };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(&files.certificate)?).collect();
    let chain = chain.map_err(|error| content(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(content(&files.certificate, "no certificate in it".to_owned()));
    }
    let key = zeroize::Zeroizing::new(bytes(&files.key)?);
    // The library's words for a bad key say what kind of PEM it found, nothing of its content.
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| content(&files.key, error.to_string()))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| content(&files.key, error.to_string()))
}

/// Shows the newest certificate.
#[derive(Debug)]
struct Newest(Arc<Identity>);

impl ResolvesServerCert for Newest {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current())
    }
}

/// Takes a certificate of any issuer: the handshake proves that the client holds its key.
#[derive(Debug)]
struct AnyHolder {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyHolder {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[Subject] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
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
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn files(directory: &Path) -> Files {
        Files { certificate: directory.join("tls/certificate.pem"), key: directory.join("tls/key.pem") }
    }

    fn make(files: &Files) -> bool {
        let names = ["fobd.example".to_owned(), "127.0.0.1".to_owned()];
        make_unless_there(files, &names, jiff::civil::date(2028, 2, 29)).unwrap()
    }

    #[test]
    fn a_certificate_is_made_once_and_only_its_owner_reads_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        assert!(make(&files));
        let first = Identity::load(files.clone()).unwrap().fingerprint();
        assert_eq!((first.len(), first.matches(':').count()), (95, 31));
        assert!(!make(&files));
        assert_eq!(Identity::load(files.clone()).unwrap().fingerprint(), first);
        assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_replaced_pair_is_taken_and_half_a_pair_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        make(&files);
        let identity = Identity::load(files.clone()).unwrap();
        let first = identity.fingerprint();

        let other =
            Files { certificate: directory.path().join("c.pem"), key: directory.path().join("k.pem") };
        make(&other);
        let second = Identity::load(other.clone()).unwrap().fingerprint();
        fs::rename(&other.certificate, &files.certificate).unwrap();
        identity.refresh();
        assert_eq!(identity.fingerprint(), first, "its key is not there yet");
        fs::rename(&other.key, &files.key).unwrap();
        identity.refresh();
        assert_eq!(identity.fingerprint(), second);
    }

    #[test]
    fn what_is_no_certificate_is_named_by_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        make(&files);
        fs::write(&files.certificate, "nothing").unwrap();
        let said = Identity::load(files.clone()).unwrap_err().to_string();
        assert_eq!(said, format!("{}: no certificate in it", files.certificate.display()));
        fs::remove_file(&files.certificate).unwrap();
        assert!(Identity::load(files).unwrap_err().to_string().contains("certificate.pem: No such file"));
    }
}
