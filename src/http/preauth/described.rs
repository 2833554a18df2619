//! What `/openapi.json` says of the API of pre-auth tokens.

use serde_json::{Value as Json, json};

use super::super::openapi::operation::{JSON, Operation, TEXT, text};
use crate::model::role::Permission;

/// `POST .../preauthtoken`.
pub(super) fn create() -> Operation {
    about("Makes a pre-auth token, by which one agent of one name can register once.")
        .body(&[(JSON, new_token())])
        .example(json!({ "ownerX500Name": "O=Helpdesk, L=London, C=GB", "ttl": "PT15M" }))
        .answer(200, "The token.", &[(JSON, token())])
}

/// `GET .../preauthtoken`.
pub(super) fn list() -> Operation {
    let text = json!({ "type": "string" });
    about("Lists pre-auth tokens.")
        .more("Names of the query are the same in any case.")
        .query("ownerX500Name", "Only those for this name.", &text)
        .query("preAuthTokenId", "Only the one with this id.", &text)
        .query("viewInactive", "`true` shows also those that let nobody in any more.", &text)
        .answer(200, "The tokens.", &[(JSON, json!({ "type": "array", "items": token() }))])
}

/// `PUT .../preauthtoken/revoke/{token}`.
pub(super) fn revoke() -> Operation {
    let remarks = json!({ "remarks": { "type": ["string", "null"] } });
    let object = json!({
        "type": "object", "properties": remarks, "required": ["remarks"], "additionalProperties": false,
    });
    about("Takes a pre-auth token back.")
        .more("The body may be left out.")
        .path("token", "The id of the token.")
        .body(&[(JSON, object)])
        .answer(200, "The token.", &[(JSON, token())])
        .answer(409, "The token is not available any more.", &[(JSON, problem())])
}

fn about(summary: &str) -> Operation {
    Operation::new("preauth", summary)
        .login()
        .permission(Permission::OperatorManage)
        .path("hash", "The holding identity hash of the group.")
        .answer(
            400,
            "Something is not what it must be; `title` and `details` say what.",
            &[(JSON, problem())],
        )
        .answer(401, "Not let in.", &[(JSON, problem())])
        .answer(403, "The role does not allow it.", &[(JSON, problem())])
        .answer(404, "There is no such group or token.", &[(JSON, problem())])
        .answer(408, "The body did not come in time.", &[(TEXT, text())])
        .answer(413, "The body is too large.", &[(TEXT, text())])
}

fn new_token() -> Json {
    json!({
        "type": "object",
        "properties": {
            "ownerX500Name": { "type": "string", "description": "The name of whoever may register by it." },
            "ttl": {
                "type": ["string", "null"],
                "description": "How long it is good: PnDTnHnMn.nS of ISO 8601; null for until it is used or taken back.",
            },
            "remarks": { "type": ["string", "null"], "description": "Anything." },
        },
        "required": ["ownerX500Name"],
        "additionalProperties": false,
    })
}

fn token() -> Json {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let or_null = |about: &str| json!({ "type": ["string", "null"], "description": about });
    let members = json!({
        "id": text("Its id, which is its secret."),
        "ownerX500Name": text("The name of whoever may register by it, in its one form."),
        "ttl": or_null("When its time is over."),
        "status": { "enum": ["AVAILABLE", "REVOKED", "CONSUMED", "AUTO_INVALIDATED"] },
        "creationRemark": or_null("What was said when it was made."),
        "removalRemark": or_null("What was said when it ended."),
    });
    let names: Vec<&String> = members.as_object().into_iter().flat_map(|members| members.keys()).collect();
    json!({ "type": "object", "properties": members, "required": names, "additionalProperties": false })
}

fn problem() -> Json {
    json!({
        "type": "object",
        "properties": {
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "details": { "type": "object", "additionalProperties": { "type": "string" } },
        },
        "required": ["title", "status", "details"],
        "additionalProperties": false,
    })
}
