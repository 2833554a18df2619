//! `fobd agent register` and `fobd agent renew`: this machine becomes an agent, and stays one.
//!
//! A directory holds what an agent is: `key.pem`, made here and sent nowhere, `certificate.pem`, `authority.pem`, and
//! `agent.json`, which names the server. The key is on the disk before a token is spent on it; each file is written
//! whole or not at all, and only its owner reads them. Renewing keeps the key, so that there is no moment at which key
//! and certificate do not fit together.

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::ask;
use super::error::{CliError, Outcome};
use super::output::printable;
use super::pinned::{self, Fingerprint, Identity};
use crate::files::write_private;
use crate::model::x500::X500Name;

const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";
const AUTHORITY: &str = "authority.pem";
const ABOUT: &str = "agent.json";

/// `fobd agent register`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:
  fobd agent register --server https://fobd.example:8443 --fingerprint AB:CD:... --group 3F0C5A1B77D2 \\
    --name \"O=Helpdesk, L=London, C=GB\" --token-file token --out /var/lib/fobd-agent

`fobd group show` prints the hash of the group and the fingerprint of the server. The token is the `id` that
`POST /api/v5_4/mgm/HASH/preauthtoken` answers. The certificate is good for 90 days.")]
pub struct RegisterArgs {
    /// The hash of the group.
    #[arg(long, value_name = "HASH")]
    group: String,
    /// The X.500 name of this agent: that which the pre-auth token was made for.
    #[arg(long, value_name = "NAME")]
    name: X500Name,
    /// File with the pre-auth token.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// SHA-256 of the certificate of the server.
    #[arg(long, value_name = "SHA256")]
    fingerprint: Fingerprint,
    /// Directory for key and certificate; made if missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// `fobd agent renew`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  fobd agent renew --dir /var/lib/fobd-agent")]
pub struct RenewArgs {
    /// Directory that `fobd agent register` has filled.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// SHA-256 of the certificate of the server, if that was replaced.
    #[arg(long, value_name = "SHA256")]
    fingerprint: Option<Fingerprint>,
}

impl RegisterArgs {
    pub(super) fn run(&self, server: &str, as_json: bool, out: &mut dyn Write) -> Result<Outcome, CliError> {
        let token = ask::secret_file(&self.token_file)?;
        let unusable = |problem: &'static str| CliError::Unusable { path: self.out.clone(), problem };
        if self.out.join(CERTIFICATE).exists() {
            return Err(unusable("it holds the certificate of an agent already"));
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.out);
        made.map_err(|source| CliError::Write { path: self.out.clone(), source })?;
        let path = self.out.join(KEY);
        // Left by a registration that did not come to its end.
        let key = if path.exists() { read_key(&path)? } else { make_key(&path)? };
        let params = json!({
            "group": self.group,
            "name": self.name.to_string(),
            "token": token.trim(),
            "request": request(&key, &path)?,
        });
        let result = pinned::call(server, self.fingerprint, None, "agent/register", &params)?;
        let about = json!({
            "agent": result["agent"],
            "group": self.group,
            "name": self.name.to_string(),
            "server": server,
            "fingerprint": self.fingerprint.to_string(),
        });
        let agent = text_of(&result, "agent/register", "agent")?.to_owned();
        write_file(&self.out.join(ABOUT), format!("{about:#}\n").as_bytes())?;
        keep(&self.out, "agent/register", &result)?;
        tell(out, as_json, &result, &format!("registered as agent {agent}"));
        Ok(Outcome::Done)
    }
}

impl RenewArgs {
    pub(super) fn run(&self, as_json: bool, out: &mut dyn Write) -> Result<Outcome, CliError> {
        let path = self.dir.join(ABOUT);
        let about: Value = serde_json::from_str(&ask::text_file(&path)?).unwrap_or_default();
        let unusable = || CliError::Unusable { path: path.clone(), problem: "it does not say which server" };
        let server = about["server"].as_str().ok_or_else(unusable)?;
        let pinned = || about["fingerprint"].as_str().and_then(|text| text.parse().ok());
        let fingerprint = self.fingerprint.or_else(pinned).ok_or_else(unusable)?;
        let path = self.dir.join(KEY);
        let (pem, key) = (ask::text_file(&path)?, read_key(&path)?);
        let certificate = ask::text_file(&self.dir.join(CERTIFICATE))?;
        let identity = Identity { certificate: &certificate, key: &pem };
        let params = json!({ "request": request(&key, &path)? });
        let result = pinned::call(server, fingerprint, Some(&identity), "agent/renew", &params)?;
        keep(&self.dir, "agent/renew", &result)?;
        tell(out, as_json, &result, "the certificate was renewed");
        Ok(Outcome::Done)
    }
}

fn make_key(path: &Path) -> Result<KeyPair, CliError> {
    let unusable = |_| CliError::Unusable { path: path.to_owned(), problem: "no key can be made for it" };
    let key = KeyPair::generate().map_err(unusable)?;
    write_file(path, Zeroizing::new(key.serialize_pem()).as_bytes())?;
    Ok(key)
}

fn read_key(path: &Path) -> Result<KeyPair, CliError> {
    let unusable =
        |_| CliError::Unusable { path: path.to_owned(), problem: "it holds no key that can be used" };
    KeyPair::from_pem(&ask::text_file(path)?).map_err(unusable)
}

/// A certificate request. What it says of its sender does not count, so it says nothing.
fn request(key: &KeyPair, path: &Path) -> Result<String, CliError> {
    let unusable = |_| CliError::Unusable { path: path.to_owned(), problem: "its key signs nothing" };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serialize_request(key).and_then(|request| request.pem()).map_err(unusable)
}

/// Keeps what the server has answered; the certificate last, for with it the directory is complete.
fn keep(directory: &Path, method: &'static str, result: &Value) -> Result<(), CliError> {
    let (authority, certificate) =
        (text_of(result, method, "authority")?, text_of(result, method, "certificate")?);
    write_file(&directory.join(AUTHORITY), authority.as_bytes())?;
    write_file(&directory.join(CERTIFICATE), certificate.as_bytes())
}

fn text_of<'a>(result: &'a Value, method: &'static str, member: &'static str) -> Result<&'a str, CliError> {
    result[member].as_str().ok_or(CliError::Reply { method, member })
}

fn tell(out: &mut dyn Write, as_json: bool, result: &Value, done: &str) {
    let expires = result["expires"].as_str().unwrap_or("?");
    let text = if as_json {
        format!("{result:#}\n")
    } else {
        format!("{}; its certificate is good until {}\n", printable(done), printable(expires))
    };
    // A reader who has seen enough is no error.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn write_file(path: &Path, content: &[u8]) -> Result<(), CliError> {
    write_private(path, content).map_err(|source| CliError::Write { path: path.to_owned(), source })
}
