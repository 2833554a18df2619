//! Groups: made and shown by an admin. A group cannot be removed: its agents would lose what vouches for them.

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::create::refuse_taken_by_another;
use super::error::{Error, Kind};
use super::inventory::Selector;
use super::random;
use super::shown::GroupShown;
use crate::access::Caller;
use crate::access::certificates::{Authority, CertificateError};
use crate::app::App;
use crate::model::id::GroupId;
use crate::model::x500::X500Name;
use crate::store::groups::Group;
use crate::store::objects::{self, iso};

/// Hexadecimal digits of a holding identity hash.
pub const HASH_LENGTH: usize = 12;

/// Makes a group with an authority of its own.
///
/// # Errors
/// [`Kind::Invalid`] for what is no X.500 name, [`Kind::Exists`] if the name is taken.
pub async fn create(app: &App, caller: &Caller, name: &str) -> Result<Json, Error> {
    let name = read_name("attrs.name", name)?;
    let authority = Authority::make(&name, app.clock.now())?;
    let uuid = uuid()?;
    let (name, caller) = (name.to_string(), caller.clone());
    let hash = holding_identity(&name, &uuid);
    let group = app
        .store
        .write(move |tx| {
            refuse_taken_by_another(tx, &objects::GROUP, 0, &[("name", &name)])?;
            let id = tx.insert_group(&name, &uuid, &hash, &authority.certificate, &authority.key)?;
            let mut entry = caller.did("group/create");
            entry.outcome = "created";
            entry.detail = format!("{hash} {name}");
            tx.audit(entry);
            tx.reader().group(id)?.ok_or_else(|| Error::not_found("group"))
        })
        .await?;
    Ok(shown(app, &group))
}

/// Shows a group with what an agent needs to register.
///
/// # Errors
/// [`Kind::GroupNotFound`].
pub async fn get(app: &App, group: Selector) -> Result<Json, Error> {
    let group = app
        .store
        .read(move |reader| {
            let id = GroupId(group.find(reader, &objects::GROUP)?);
            reader.group(id)?.ok_or_else(|| Error::not_found("group"))
        })
        .await?;
    Ok(shown(app, &group))
}

fn shown(app: &App, group: &Group) -> Json {
    json!(GroupShown {
        id: group.id.to_string(),
        name: &group.name,
        hash: &group.hash,
        uuid: &group.uuid,
        authority: &group.authority,
        server_fingerprint: app.fingerprint(),
        date_created: iso(group.created),
    })
}

/// The hash by which a group is named: the first digits of SHA-256 of its name and its UUID, in capitals. That of an
/// agent is made of the agent's name and its group's UUID.
#[must_use]
pub fn holding_identity(name: &str, uuid: &str) -> String {
    let digest = Sha256::new().chain_update(name).chain_update(uuid).finalize();
    digest.iter().take(HASH_LENGTH / 2).map(|byte| format!("{byte:02X}")).collect()
}

/// Reads an X.500 name of a request.
pub(super) fn read_name(field: &str, text: &str) -> Result<X500Name, Error> {
    text.parse().map_err(|problem| Error::invalid(field, &format!("is not a valid X.500 name: {problem}")))
}

/// A new random UUID (RFC 9562, version 4).
pub(super) fn uuid() -> Result<String, Error> {
    Ok(uuid::Builder::from_random_bytes(random::bytes()?).into_uuid().hyphenated().to_string())
}

impl From<CertificateError> for Error {
    fn from(error: CertificateError) -> Self {
        tracing::error!(%error, "no certificate");
        Self::new(Kind::Internal, "the server has an internal fault: its log says more")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holding_identity_hash_is_what_sha256sum_says() {
        // printf 'O=Helpdesk, L=London, C=GB00000000-0000-4000-8000-000000000000' | sha256sum
        let hash = holding_identity("O=Helpdesk, L=London, C=GB", "00000000-0000-4000-8000-000000000000");
        assert_eq!(hash, "E6F7778FFD6F");
    }
}
