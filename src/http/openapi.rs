//! `GET /openapi.json`: every route of this server, for programs (OpenAPI 3.1, spec.openapis.org).
//!
//! It is built from the tables of routes of this room and from the method table: `/das5/rest/{object}/{verb}` becomes
//! a path for each method. Schemas are of JSON Schema 2020-12; parameters are described in the form that the
//! normaliser makes. It needs no login: it says what the program can do, and nothing of what this server holds.

mod methods;
pub(super) mod operation;

use std::sync::LazyLock;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};

use super::routes::{self, Route};
use super::token_api::DAS5;
use crate::rpc::openrpc;
use crate::service::error::Kind;
use crate::store::objects;

/// The template of a route as a text that lives for ever.
pub(super) fn template(path: &str) -> Option<&'static str> {
    routes::all().map(|route| route.path).find(|known| *known == path)
}

/// The document.
#[must_use]
pub fn document() -> &'static Json {
    static DOCUMENT: LazyLock<Json> = LazyLock::new(build);
    &DOCUMENT
}

fn build() -> Json {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in routes::all() {
        if route.path == DAS5 {
            methods::add(&mut paths, &mut generator);
        } else {
            let described = (route.about)(&mut generator).finish(&id_of(route));
            add(&mut paths, route.path, route.verb.word(), described);
        }
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "fobd",
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas(&mut generator),
            "securitySchemes": {
                "basic": {
                    "type": "http", "scheme": "basic",
                    "description": "Name and password of an operator, or userCode and passCode of a user token.",
                },
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "A token of a session or of OAuth 2.0.",
                },
                "session": {
                    "type": "apiKey", "in": "header", "name": "Authorization",
                    "description": "`FCF ` and a token of a session.",
                },
            },
            "headers": {
                "RequestId": {
                    "description": "Names the request in the server's log: what the client sent under this name, if \
                                    that has 1 to 64 letters, digits, `-`, `_` and `.`.",
                    "schema": { "type": "string", "pattern": "^[-_.A-Za-z0-9]{1,64}$" },
                },
                "Challenge": {
                    "description": "How to log in (RFC 7617); not with every 401.",
                    "schema": { "type": "string" },
                },
            },
        },
    });
    openrpc::drop_null_defaults(&mut document["components"]["schemas"]);
    openrpc::drop_null_defaults(&mut document["paths"]);
    document
}

const ABOUT: &str = "A hardware OTP token server. This document has every route; docs/api.md says the same of the \
                     methods for people, and `/openrpc.json` for clients of JSON-RPC. Requests that a browser sends on \
                     behalf of another web site are answered with 403 everywhere.";

fn add(paths: &mut Map<String, Json>, path: &str, word: &str, operation: Json) {
    paths.entry(path).or_insert_with(|| json!({}))[word] = operation;
}

/// A name for an operation, such as `get_audit_head`.
fn id_of(route: &Route) -> String {
    let words =
        route.path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(route.verb.word().to_owned(), |id, word| format!("{id}_{word}"))
}

fn schemas(generator: &mut SchemaGenerator) -> Map<String, Json> {
    let mut schemas = generator.take_definitions(true);
    schemas.extend(objects::ALL.iter().map(|object| (object.name.to_owned(), openrpc::schema_of(object))));
    let codes: Vec<i64> = Kind::ALL.iter().map(|kind| kind.code()).collect();
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let refusal = json!({
        "description": "Why it was not done.",
        "type": "object",
        "properties": { "error": { "enum": codes }, "message": { "type": "string" } },
        "required": ["error", "message"],
        "additionalProperties": false,
    });
    let failure = json!({
        "description": "A method was not done, and nothing was changed unless the message says so.",
        "type": "object",
        "properties": {
            "error": { "enum": codes },
            "message": { "type": "string" },
            "severity": { "const": "ERROR" },
            "data": {
                "type": "object",
                "properties": {
                    "kind": { "enum": kinds },
                    "rows": {
                        "description": "The rows of the request that are wrong.",
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": { "line": { "type": "integer" }, "problem": { "type": "string" } },
                            "required": ["line", "problem"],
                            "additionalProperties": false,
                        },
                    },
                    "attemptsLeft": {
                        "description": "How many more wrong access codes the device takes.",
                        "type": "integer",
                    },
                },
                "required": ["kind"],
                "additionalProperties": false,
            },
        },
        "required": ["error", "message", "severity", "data"],
        "additionalProperties": false,
    });
    schemas.insert("Refusal".to_owned(), refusal);
    schemas.insert("Failure".to_owned(), failure);
    schemas
}
