//! The methods of the table as paths: `POST /das5/rest/{object}/{verb}`, in the envelope of that surface.

use schemars::SchemaGenerator;
use serde_json::{Map, Value as Json, json};

use super::operation::{JSON, Operation};
use crate::model::role::Permission;
use crate::rpc::methods::{GENERAL_ERRORS, Gives, METHODS, Method};
use crate::rpc::openrpc;
use crate::service::error::Kind;

/// Adds a path for each method.
pub(super) fn add(paths: &mut Map<String, Json>, generator: &mut SchemaGenerator) {
    for method in METHODS {
        let described = describe(method, generator).finish(method.name);
        super::add(paths, &format!("/das5/rest/{}", method.name), "post", described);
    }
}

fn describe(method: &Method, generator: &mut SchemaGenerator) -> Operation {
    let object = method.name.split('/').next().unwrap_or_default();
    let params = (method.params)(generator).to_value();
    let known = GENERAL_ERRORS.iter().chain(method.errors).copied();
    let codes: Vec<i64> = known.filter(|kind| *kind != Kind::Forbidden).map(Kind::code).collect();
    let failed = json!({
        "allOf": [{ "$ref": "#/components/schemas/Failure" }],
        "properties": { "error": { "enum": codes } },
    });
    let answer = json!({ "anyOf": [done(&method.gives, generator), failed] });
    let forbidden = json!({
        "allOf": [{ "$ref": "#/components/schemas/Failure" }],
        "properties": { "error": { "const": Kind::Forbidden.code() } },
    });
    let operation = Operation::new(object, method.about);
    let operation = match method.permission {
        // Who shows something wrong is not let in here either.
        Permission::Anybody => {
            operation.answer(401, "Not let in.", &[]).answer(503, "Too busy: try again later.", &[])
        }
        _ => operation.login(),
    };
    let operation = if takes_a_name(&params, generator) { operation.idempotency_key() } else { operation };
    operation
        .permission(method.permission)
        .body(&[(JSON, params)])
        .example((method.example)().params)
        .answer(200, "Done if `error` is 0; else why not.", &[(JSON, answer)])
        .answer(403, "The role does not allow it.", &[(JSON, forbidden)])
        .answer(415, "The body is not said to be JSON.", &[])
}

/// Whether calls may have a name, by which they can be sent again.
fn takes_a_name(params: &Json, generator: &SchemaGenerator) -> bool {
    let name = params["$ref"].as_str().and_then(|place| place.rsplit('/').next());
    let schema = name.and_then(|name| generator.definitions().get(name)).unwrap_or(params);
    schema["properties"].get("requestId").is_some()
}

/// The envelope of what was done.
fn done(gives: &Gives, generator: &mut SchemaGenerator) -> Json {
    let mut properties = json!({ "error": { "const": 0 } });
    let required = match gives {
        Gives::Nothing => vec!["error"],
        // What `return` asked for of the token, if anything.
        Gives::Verdict => {
            properties["result"] = json!({ "$ref": "#/components/schemas/token" });
            vec!["error"]
        }
        gives => {
            properties["result"] = openrpc::result(gives, generator);
            vec!["error", "result"]
        }
    };
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}
