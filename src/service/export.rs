//! Handing out the secret of a software token: as a link that works once, as a QR code, or as it is.
//!
//! Only tokens that were made exportable can be handed out at all, and none that is confined. A link is 256 random
//! bits, valid for ten minutes; only its hash is kept, and the commit that spends it comes before the answer.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::error::{Error, Kind};
use super::inventory::Selector;
use super::random;
use super::shown::CredentialShown;
use crate::access::Caller;
use crate::app::App;
use crate::formats::key_uri::{key_uri, qr_png};
use crate::model::id::{AssignmentId, TokenId, UserId};
use crate::otp::credential::{Credential, Kind as Otp};
use crate::store::downloads::LIFE as LINK_LIFE;
use crate::store::{Reader, objects};

/// Whose secret is asked for.
pub struct Whose {
    /// The token.
    pub token: Selector,
    /// Its user, for the label in the app.
    pub user: Option<Selector>,
}

impl Whose {
    fn find(&self, reader: &Reader<'_>) -> Result<(TokenId, Option<UserId>), Error> {
        let token = TokenId(self.token.find(reader, &objects::TOKEN)?);
        let user = match &self.user {
            Some(user) => {
                let user = UserId(user.find(reader, &objects::USER)?);
                reader.assignment_of(token, user)?.ok_or_else(|| Error::not_found("tokenAssignment"))?;
                Some(user)
            }
            None => None,
        };
        Ok((token, user))
    }
}

/// Makes a link by which the secret can be fetched once. `base` is the address in front of it.
///
/// # Errors
/// [`Kind::NotExportable`], [`Kind::Confined`], [`Kind::NoSecret`].
pub async fn link(app: &App, caller: &Caller, whose: Whose, base: Option<String>) -> Result<String, Error> {
    let base = base.or_else(|| app.public_url.get().cloned()).unwrap_or_default();
    let link = URL_SAFE_NO_PAD.encode(random::bytes::<32>()?);
    let (hash, caller) = (hash(&link), caller.clone());
    app.store
        .write(move |tx| {
            let (token, user) = whose.find(tx.reader())?;
            may_have(tx.reader(), token)?;
            tx.insert_download(&hash, token, user, tx.now().saturating_add(LINK_LIFE))?;
            let mut entry = caller.did("token/getDownloadUrl");
            (entry.token, entry.user, entry.outcome) = (Some(token), user, "link_made");
            tx.audit(entry);
            Ok::<_, Error>(())
        })
        .await?;
    Ok(format!("{}/provision/{link}", base.trim_end_matches('/')))
}

/// Spends a link and hands the secret out.
///
/// # Errors
/// [`Kind::LinkInvalid`] for one that is spent, too old or unknown, or whose user no longer has the token;
/// [`Kind::Confined`], and it is spent then.
pub async fn fetch(app: &App, link: &str) -> Result<Json, Error> {
    let hash = hash(link);
    app.store
        .write(move |tx| {
            let Some((token, user)) = tx.take_download(&hash)? else {
                return Ok(Err(link_invalid()));
            };
            // Who has the token by now must not share its secret with whom it was taken from.
            let outcome = match user {
                Some(user) if tx.reader().assignment_of(token, user)?.is_none() => Err(link_invalid()),
                _ => hand_out(tx.reader(), token, user),
            };
            let mut entry = Caller::by_link().did("token/download");
            (entry.token, entry.user) = (Some(token), user);
            entry.outcome = if outcome.is_ok() { "handed_out" } else { "refused" };
            tx.audit(entry);
            // An error that shall spend the link all the same must not undo the change.
            Ok::<_, Error>(outcome)
        })
        .await?
}

/// Hands the secret out at once.
///
/// # Errors
/// As [`link`].
pub async fn retrieve(app: &App, caller: &Caller, whose: Whose) -> Result<Json, Error> {
    let caller = caller.clone();
    app.store
        .write(move |tx| {
            let (token, user) = whose.find(tx.reader())?;
            let credential = hand_out(tx.reader(), token, user)?;
            let mut entry = caller.did("token/retrieveCredential");
            (entry.token, entry.user, entry.outcome) = (Some(token), user, "handed_out");
            tx.audit(entry);
            Ok(credential)
        })
        .await
}

/// Hands the secret out as a QR code: a PNG in base64.
///
/// # Errors
/// As [`link`]; [`Kind::AssignmentNotFound`].
pub async fn qr_code(app: &App, caller: &Caller, assignment: Selector) -> Result<String, Error> {
    let caller = caller.clone();
    let uri = app
        .store
        .write(move |tx| {
            let id = AssignmentId(assignment.find(tx.reader(), &objects::ASSIGNMENT)?);
            let (token, user) = tx.reader().assigned(id)?;
            let uri = may_have(tx.reader(), token)?.uri(tx.reader(), Some(user))?;
            let mut entry = caller.did("tokenAssignment/getTokenQRCode");
            (entry.token, entry.user, entry.outcome) = (Some(token), Some(user), "handed_out");
            tx.audit(entry);
            Ok::<_, Error>(uri)
        })
        .await?;
    let picture = qr_png(&uri).map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
    Ok(STANDARD.encode(&*picture))
}

fn hand_out(reader: &Reader<'_>, token: TokenId, user: Option<UserId>) -> Result<Json, Error> {
    let held = may_have(reader, token)?;
    let uri = held.uri(reader, user)?;
    let parameters = held.credential.parameters;
    let (algorithm, timer, counter) = match parameters.kind {
        Otp::Hotp => ("OATH HOTP", None, Some(held.counter)),
        Otp::Totp { time_step } => ("OATH TOTP", Some(time_step.as_secs()), None),
    };
    let secret = held.credential.secret.expose();
    Ok(json!(CredentialShown {
        algorithm,
        hash: parameters.algorithm.as_str(),
        digits: parameters.digits.get(),
        timer,
        counter,
        secret: base32::encode(base32::Alphabet::Rfc4648 { padding: false }, secret),
        uri: uri.as_str(),
        serial: held.serial,
    }))
}

/// A secret that may be handed out.
struct Held {
    serial: String,
    credential: Credential,
    counter: u64,
}

impl Held {
    /// As a key URI, labelled for its user.
    fn uri(&self, reader: &Reader<'_>, user: Option<UserId>) -> Result<Zeroizing<String>, Error> {
        let (issuer, account) = match user {
            Some(user) => reader.domain_and_login_of(user)?,
            None => ("fobd".to_owned(), self.serial.clone()),
        };
        Ok(key_uri(&issuer, &account, &self.credential, self.counter))
    }
}

/// The secret of a token, if it may be handed out.
fn may_have(reader: &Reader<'_>, token: TokenId) -> Result<Held, Error> {
    let custody = reader.custody_of(token)?;
    let serial = reader.serial_of(token)?;
    if !custody.exportable {
        let text = format!("token {serial} is hardware: its secret is never handed out");
        return Err(Error::new(Kind::NotExportable, text));
    }
    if custody.confined {
        return Err(Error::new(Kind::Confined, format!("token {serial} is confined: release it first")));
    }
    let no_secret = || Error::new(Kind::NoSecret, "the token has no secret");
    let (credential, counter) = reader.credential_of(token)?.ok_or_else(no_secret)?;
    Ok(Held { serial, credential, counter })
}

fn link_invalid() -> Error {
    Error::new(Kind::LinkInvalid, "the link is spent, too old or unknown")
}

fn hash(link: &str) -> [u8; 32] {
    Sha256::digest(link.as_bytes()).into()
}
