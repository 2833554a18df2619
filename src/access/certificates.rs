//! The certificates of agents: a group's own authority, requests for certificates (PKCS#10), and what is issued.
//!
//! Keys of authorities are ECDSA on P-256. Requests may be for keys of ECDSA on P-256 and P-384, Ed25519, and RSA of
//! 2048 to 8192 bits, and prove by their signature that their sender has the private key. Nothing else of a request
//! counts: the subject of a certificate is the name that was registered, and its extensions are ours.

use std::time::Duration;

use rcgen::string::PrintableString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber, SignatureAlgorithm,
};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use sha2::{Digest as _, Sha256};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{DecodePem as _, Encode as _};
use x509_cert::request::CertReq;
use zeroize::Zeroizing;

use crate::model::x500::X500Name;
use crate::otp::time::Timestamp;

/// How long an agent's certificate is good.
pub const LIFE: Duration = Duration::from_secs(90 * 86_400);
/// How long an authority is.
const AUTHORITY_LIFE: Duration = Duration::from_secs(30 * 365 * 86_400);
/// Longest request that is read.
const MOST_BYTES: usize = 16 * 1024;
/// Bytes of a serial number (RFC 5280 §4.1.2.2 takes up to 20).
const SERIAL_BYTES: usize = 16;

/// Why there is no certificate. None of these is the requester's fault.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The library refused.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The system gave no random bytes.
    #[error("the system's random generator failed: {0}")]
    Random(#[from] getrandom::Error),
}

/// A new authority.
pub struct Authority {
    /// Its certificate in PEM.
    pub certificate: String,
    /// Its private key, PKCS#8 in DER.
    pub key: Zeroizing<Vec<u8>>,
}

impl Authority {
    /// Makes the authority of a group.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn make(group: &X500Name, now: Timestamp) -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let mut params = authority_params(group)?;
        set_life(&mut params, now, now.saturating_add(AUTHORITY_LIFE));
        params.serial_number = Some(serial()?);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, key: Zeroizing::new(key.serialize_der()) })
    }
}

/// What its certificates say of an authority; must be the same whenever one is signed.
fn authority_params(group: &X500Name) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished(group)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// A certificate that was issued.
pub struct Issued {
    /// In PEM.
    pub certificate: String,
    /// SHA-256 of its DER, by which it is known again.
    pub fingerprint: [u8; 32],
    /// From then on it is no good.
    pub expires: Timestamp,
}

/// Issues a certificate to an agent for the key of a request.
///
/// # Errors
/// [`CertificateError`].
pub fn issue(
    group: &X500Name,
    authority_key: &[u8],
    agent: &X500Name,
    request: &Request,
    now: Timestamp,
) -> Result<Issued, CertificateError> {
    let key = KeyPair::try_from(authority_key)?;
    let issuer = Issuer::new(authority_params(group)?, key);
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished(agent)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial()?);
    let expires = now.saturating_add(LIFE);
    set_life(&mut params, now, expires);
    let certificate = params.signed_by(request, &issuer)?;
    Ok(Issued { certificate: certificate.pem(), fingerprint: fingerprint(certificate.der()), expires })
}

/// SHA-256 of a certificate in DER.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

/// Sets from when until when a certificate is good. The calendar of certificates ends with the year 9999.
fn set_life(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    const LAST_SECOND: u64 = 253_402_300_799;
    let at = |time: Timestamp| {
        let seconds = u64::try_from(time.as_millis() / 1000).unwrap_or(0).min(LAST_SECOND);
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    (params.not_before, params.not_after) = (at(from), at(until));
}

fn serial() -> Result<SerialNumber, CertificateError> {
    let mut bytes = [0; SERIAL_BYTES];
    getrandom::fill(&mut bytes)?;
    // Positive, and as long as it is.
    bytes[0] = bytes[0] & 0x3F | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// A name as certificates have it, the widest part first.
fn distinguished(name: &X500Name) -> Result<DistinguishedName, CertificateError> {
    let mut made = DistinguishedName::new();
    let attributes: Vec<_> = name.attributes().collect();
    for (key, value) in attributes.into_iter().rev() {
        match key {
            // The standard has this one as a PrintableString.
            "C" => {
                made.push(DnType::CountryName, DnValue::PrintableString(PrintableString::try_from(value)?));
            }
            "ST" => made.push(DnType::StateOrProvinceName, value),
            "L" => made.push(DnType::LocalityName, value),
            "O" => made.push(DnType::OrganizationName, value),
            "OU" => made.push(DnType::OrganizationalUnitName, value),
            _ => made.push(DnType::CommonName, value),
        }
    }
    Ok(made)
}

/// A kind of key and of signature.
struct Algorithm {
    signature: ObjectIdentifier,
    key: ObjectIdentifier,
    curve: Option<ObjectIdentifier>,
    verify: &'static dyn VerificationAlgorithm,
    public_key: &'static SignatureAlgorithm,
}

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const EC_KEY: ObjectIdentifier = oid("1.2.840.10045.2.1");
const P_256: ObjectIdentifier = oid("1.2.840.10045.3.1.7");
const P_384: ObjectIdentifier = oid("1.3.132.0.34");
const RSA_KEY: ObjectIdentifier = oid("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = oid("1.3.101.112");

const fn ec(
    signature: &str,
    curve: ObjectIdentifier,
    verify: &'static dyn VerificationAlgorithm,
    public_key: &'static SignatureAlgorithm,
) -> Algorithm {
    Algorithm { signature: oid(signature), key: EC_KEY, curve: Some(curve), verify, public_key }
}

const fn rsa(
    signature: &str,
    verify: &'static dyn VerificationAlgorithm,
    public_key: &'static SignatureAlgorithm,
) -> Algorithm {
    Algorithm { signature: oid(signature), key: RSA_KEY, curve: None, verify, public_key }
}

/// RFC 5758, RFC 4055 and RFC 8410.
fn algorithms() -> [Algorithm; 8] {
    let (p256, p384) = (&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384);
    let any_rsa = &rcgen::PKCS_RSA_SHA256;
    let ed25519 = Algorithm {
        signature: ED25519,
        key: ED25519,
        curve: None,
        verify: &signature::ED25519,
        public_key: &rcgen::PKCS_ED25519,
    };
    [
        ec("1.2.840.10045.4.3.2", P_256, &signature::ECDSA_P256_SHA256_ASN1, p256),
        ec("1.2.840.10045.4.3.3", P_256, &signature::ECDSA_P256_SHA384_ASN1, p256),
        ec("1.2.840.10045.4.3.2", P_384, &signature::ECDSA_P384_SHA256_ASN1, p384),
        ec("1.2.840.10045.4.3.3", P_384, &signature::ECDSA_P384_SHA384_ASN1, p384),
        rsa("1.2.840.113549.1.1.11", &signature::RSA_PKCS1_2048_8192_SHA256, any_rsa),
        rsa("1.2.840.113549.1.1.12", &signature::RSA_PKCS1_2048_8192_SHA384, any_rsa),
        rsa("1.2.840.113549.1.1.13", &signature::RSA_PKCS1_2048_8192_SHA512, any_rsa),
        ed25519,
    ]
}

/// Why a text is no request that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// Not a request at all.
    #[error("must be a certificate request (PKCS#10) in PEM")]
    Unreadable,
    /// A key or signature of another kind.
    #[error(
        "must be for a key of ECDSA (P-256, P-384), Ed25519 or RSA (2048 bits or more), signed with SHA-2"
    )]
    Unsupported,
    /// Signed by another key.
    #[error("is not signed by the key that it is for")]
    Signature,
}

/// The public key of a request whose sender has the private one.
pub struct Request {
    key: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

impl Request {
    /// Reads a request in PEM and checks its signature.
    ///
    /// # Errors
    /// [`BadRequest`].
    pub fn read(pem: &str) -> Result<Self, BadRequest> {
        let pem = pem.trim();
        if pem.len() > MOST_BYTES {
            return Err(BadRequest::Unreadable);
        }
        let request = CertReq::from_pem(pem).map_err(|_| BadRequest::Unreadable)?;
        let key = &request.info.public_key;
        let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.decode_as().ok());
        let fits = |known: &Algorithm| {
            known.signature == request.algorithm.oid
                && known.key == key.algorithm.oid
                && (known.curve.is_none() || known.curve == curve)
        };
        let known = algorithms().into_iter().find(fits).ok_or(BadRequest::Unsupported)?;
        let bits = key.subject_public_key.as_bytes().ok_or(BadRequest::Unreadable)?;
        let signed = request.info.to_der().map_err(|_| BadRequest::Unreadable)?;
        let signature = request.signature.as_bytes().ok_or(BadRequest::Unreadable)?;
        UnparsedPublicKey::new(known.verify, bits)
            .verify(&signed, signature)
            .map_err(|_| BadRequest::Signature)?;
        Ok(Self { key: bits.to_vec(), algorithm: known.public_key })
    }
}

impl PublicKeyData for Request {
    fn der_bytes(&self) -> &[u8] {
        &self.key
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}
