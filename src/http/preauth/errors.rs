//! The errors of the API of pre-auth tokens. Titles, causes and reasons are those that its clients know: they read
//! them, so they are part of the API and not of our wording.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::model::x500::BadName;
use crate::service::error::Kind;
use crate::service::preauth::Refusal;

/// What a reason of the store begins with.
const PERSISTENCE: &str = "Exception thrown while processing membership persistence request:";
/// What the reason for a wrong hash begins with.
const HASH: &str = "Invalid holding identity short hash:";

/// An error.
pub(super) struct Problem {
    status: StatusCode,
    title: String,
    details: BTreeMap<&'static str, String>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "title": self.title, "status": self.status.as_u16(), "details": self.details });
        (self.status, Json(body)).into_response()
    }
}

impl Problem {
    /// An error without details.
    pub(super) fn titled(status: StatusCode, title: impl Into<String>) -> Self {
        Self { status, title: title.into(), details: BTreeMap::new() }
    }

    /// An error that is named by its status.
    pub(super) fn plain(status: StatusCode) -> Self {
        Self::titled(status, status.canonical_reason().unwrap_or_default())
    }

    /// A body that cannot be read.
    pub(super) fn parameter(name: &str, cause: &str, reason: impl Into<String>) -> Self {
        Self::titled(StatusCode::BAD_REQUEST, format!("Unable to parse parameter '{name}'"))
            .because(cause, reason)
    }

    /// A hash that is not even text.
    pub(super) fn unreadable_hash() -> Self {
        Self::hash(format!("{HASH} Not a hex string: ''"))
    }

    fn hash(reason: String) -> Self {
        Self::titled(StatusCode::BAD_REQUEST, "ShortHashException")
            .because("net.corda.crypto.core.ShortHashException", reason)
    }

    fn not_found(title: String, what: &str, hash: &str) -> Self {
        Self::titled(StatusCode::NOT_FOUND, title).because(
            "net.corda.membership.client.CouldNotFindEntityException",
            format!("Could not find {what}: {}", hash.to_ascii_uppercase()),
        )
    }

    fn because(self, cause: &str, reason: impl Into<String>) -> Self {
        self.with("cause", cause).with("reason", reason)
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.insert(name, value.into());
        self
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let bad = |title: &str| Self::titled(StatusCode::BAD_REQUEST, title);
        let illegal = "java.lang.IllegalArgumentException";
        match refusal {
            Refusal::Name(name, problem) => bad("ownerX500Name is not a valid X500 name")
                .because(illegal, name_reason(&name, &problem))
                .with("ownerX500Name", name),
            Refusal::Life => {
                Self::parameter("request", "InvalidFormatException", "`ttl` ends where no calendar reaches")
            }
            Refusal::TokenId(id) => bad("tokenId is not a valid pre auth token.")
                .because(illegal, format!("Invalid UUID string: {id}"))
                .with("preAuthTokenId", id),
            Refusal::HashLength(length) => {
                Self::hash(format!("{HASH} Hex string has length of {length} but should be 12 characters"))
            }
            Refusal::HashDigits(text) => Self::hash(format!("{HASH} Not a hex string: '{text}'")),
            Refusal::NoGroup(hash) => {
                Self::not_found(format!("virtual node '{hash}' not found."), "virtual node", &hash)
            }
            Refusal::NoMember(hash) => {
                Self::not_found(format!("member '{hash}' not found."), "member", &hash)
            }
            Refusal::IsMember(hash) => bad(&format!("Member with holding identity {hash} is not an MGM."))
                .with("holdingIdentityShortHash", hash),
            Refusal::NoToken(id) => {
                let reason = format!("{PERSISTENCE} Pre Auth Token with ID '{id}' does not exist.");
                Self::titled(StatusCode::NOT_FOUND, "NotFoundEntityPersistenceException")
                    .because("net.corda.membership.lib.exceptions.NotFoundEntityPersistenceException", reason)
            }
            Refusal::Ended(id, status) => {
                let status = status.as_str();
                let reason = format!(
                    "{PERSISTENCE} Pre Auth Token with ID '{id}' cannot be revoked because it has status {status}."
                );
                Self::titled(StatusCode::CONFLICT, "PersistenceRequestException")
                    .because("net.corda.membership.lib.exceptions.PersistenceRequestException", reason)
            }
            Refusal::Server(error) if error.kind == Kind::Unavailable => {
                Self::plain(StatusCode::SERVICE_UNAVAILABLE).with("reason", error.message)
            }
            Refusal::Server(error) => {
                Self::plain(StatusCode::INTERNAL_SERVER_ERROR).with("reason", error.message)
            }
        }
    }
}

/// Why a name is none, in the words that clients know.
fn name_reason(name: &str, problem: &BadName) -> String {
    let example = "CN=Alice, OU=Accounting, O=R3, L=Seattle, ST=Washington, C=US";
    match problem {
        BadName::Syntax => format!(
            "The name: \"{name}\" in not a valid X500 name. An example of a valid X500 name can be \"{example}\". See \
             RFC 1779 for details."
        ),
        BadName::Unsupported(key) => format!("The following attribute is not supported in Corda: {key}"),
        BadName::Missing(what) => format!("Member X.500 names must include {what} attribute"),
        BadName::Country(code) => format!("Invalid country code {code}"),
        BadName::Twice(_) | BadName::Joined | BadName::Blank(_) | BadName::TooLong { .. } => {
            problem.to_string()
        }
    }
}
