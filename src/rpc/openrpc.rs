//! The description of the API for programs: an OpenRPC 1.3 document (spec.open-rpc.org).
//!
//! It is built from the method table, the types of the parameters, the table of objects and that of the errors. Schemas
//! are of JSON Schema draft 7, and describe the form that the normaliser makes: nested, not dotted. It needs no login:
//! it says what the program can do, and nothing of what this server holds.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value as Json, json};

use super::jsonrpc;
use super::methods::{GENERAL_ERRORS, Gives, METHODS, Method};
use super::streams::{STREAMS, Stream};
use crate::model::role::{Permission, Role};
use crate::service::error::Kind;
use crate::store::objects::{self, Kind as Attribute, Object};

/// The name of the method that answers with the document.
pub const DISCOVER: &str = "rpc.discover";

/// The document.
#[must_use]
pub fn document() -> &'static Json {
    static DOCUMENT: LazyLock<Json> = LazyLock::new(build);
    &DOCUMENT
}

fn build() -> Json {
    let mut settings = SchemaSettings::draft07();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let methods: Vec<Json> = METHODS.iter().map(|method| describe(method, &mut generator)).collect();
    let streams: Vec<Json> = STREAMS.iter().map(|stream| describe_stream(stream, &mut generator)).collect();
    let mut schemas = generator.take_definitions(true);
    schemas.extend(objects::ALL.iter().map(|object| (object.name.to_owned(), schema_of(object))));
    let errors: Map<String, Json> = Kind::ALL.iter().map(|kind| (kind.name().into(), error(*kind))).collect();
    let mut document = json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "fobd",
            "description": "A hardware OTP token server. `POST /rpc` takes JSON-RPC 2.0 with HTTP Basic; \
                            docs/api.md says the same for people.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "name": "this server", "url": "/rpc" }],
        "methods": methods,
        "x-streams": streams,
        "components": { "schemas": schemas, "errors": errors },
    });
    drop_null_defaults(&mut document["methods"]);
    drop_null_defaults(&mut document["components"]["schemas"]);
    document
}

fn describe(method: &Method, generator: &mut SchemaGenerator) -> Json {
    let example = (method.example)();
    let given = example.params.as_object().cloned().unwrap_or_default();
    let params: Vec<Json> =
        given.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let errors: Vec<Json> = GENERAL_ERRORS
        .iter()
        .chain(method.errors)
        .map(|kind| json!({ "$ref": format!("#/components/errors/{}", kind.name()) }))
        .collect();
    json!({
        "name": method.name,
        "summary": method.about,
        "paramStructure": "by-name",
        "params": descriptors((method.params)(generator)),
        "result": { "name": "result", "required": true, "schema": result(&method.gives, generator) },
        "errors": errors,
        "examples": [{
            "name": method.about,
            "params": params,
            "result": { "name": "result", "value": example.result },
        }],
        "x-permission": format!("{:?}", method.permission),
        "x-roles": roles_with(method.permission),
    })
}

/// The names of the roles that have a permission.
pub(crate) fn roles_with(permission: Permission) -> Vec<&'static str> {
    Role::ALL.iter().filter(|(role, _)| role.grants(permission)).map(|(_, name)| *name).collect()
}

/// OpenRPC knows calls only, so that streams are an extension of it.
fn describe_stream(stream: &Stream, generator: &mut SchemaGenerator) -> Json {
    let events = stream
        .events
        .iter()
        .map(|event| json!({ "name": event.name, "summary": event.about, "data": (event.data)(generator) }));
    json!({
        "name": stream.name,
        "path": stream.path,
        "summary": stream.about,
        "events": events.collect::<Vec<_>>(),
        "x-permission": format!("{:?}", stream.permission),
        "x-roles": roles_with(stream.permission),
    })
}

/// The members of a parameter type, those that must be there first.
fn descriptors(schema: Schema) -> Vec<Json> {
    let schema = schema.to_value();
    let required = |name: &str| {
        schema["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name))
    };
    let members = schema["properties"].as_object().cloned().unwrap_or_default();
    let (must, may): (Vec<_>, Vec<_>) = members.into_iter().partition(|(name, _)| required(name));
    let descriptor = |(name, mut schema): (String, Json), required: bool| {
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let mut descriptor = json!({ "name": name, "required": required, "schema": schema });
        if let (Some(about), Some(descriptor)) = (about, descriptor.as_object_mut()) {
            descriptor.insert("description".to_owned(), about);
        }
        descriptor
    };
    let must = must.into_iter().map(|member| descriptor(member, true));
    must.chain(may.into_iter().map(|member| descriptor(member, false))).collect()
}

pub(crate) fn result(gives: &Gives, generator: &mut SchemaGenerator) -> Json {
    let reference = |object: &Object| json!({ "$ref": format!("#/components/schemas/{}", object.name) });
    match gives {
        Gives::Nothing => json!({ "type": "object", "additionalProperties": false }),
        Gives::Made(object) => json!({ "allOf": [reference(object)], "required": ["id"] }),
        Gives::Shown(object) => reference(object),
        Gives::Rows(object) => json!({
            "type": "object",
            "properties": {
                "total": { "type": "integer", "minimum": 0 },
                "rows": { "type": "array", "items": reference(object) },
            },
            "required": ["total", "rows"],
            "additionalProperties": false,
        }),
        Gives::Verdict => json!({
            "type": "object",
            "properties": {
                "accepted": { "type": "boolean" },
                "pinChangeRequired": {
                    "description": "There, and true, if PIN and passcode were right, but the PIN must be changed: \
                                    type the next passcode, with a `newPin`.",
                    "const": true,
                },
            },
            "required": ["accepted"],
        }),
        Gives::Typed(schema) => schema(generator).to_value(),
    }
}

/// The schema of an object: which of its members are there, `return` decides. Dotted names come on top.
pub(crate) fn schema_of(object: &Object) -> Json {
    let mut members = Map::new();
    for attribute in object.attributes {
        let mut schema = match attribute.kind {
            Attribute::Id(letter) => json!({ "type": "string", "pattern": format!("^{letter}[0-9]+$") }),
            Attribute::Text | Attribute::AnyCase(_) => json!({ "type": ["string", "null"] }),
            Attribute::Integer => json!({ "type": ["integer", "null"] }),
            Attribute::Unsigned => json!({ "type": ["integer", "null"], "minimum": 0 }),
            Attribute::Bool => json!({ "type": ["boolean", "null"] }),
            Attribute::Time => json!({ "type": ["string", "null"], "format": "date-time" }),
        };
        schema["description"] = attribute.about.into();
        members.insert(attribute.name.to_owned(), schema);
    }
    let reference = |target: &Object| json!({ "$ref": format!("#/components/schemas/{}", target.name) });
    for link in object.links {
        let schema = json!({ "description": link.about, "allOf": [reference(link.target)] });
        members.insert(link.name.to_owned(), schema);
    }
    for collection in object.collections {
        let elements = json!({ "type": "array", "items": reference(collection.target), "maxItems": 100 });
        let schema = json!({
            "description": collection.about,
            "type": "object",
            "properties": { "elements": elements },
            "required": ["elements"],
            "additionalProperties": false,
        });
        members.insert(collection.name.to_owned(), schema);
    }
    json!({
        "description": object.about,
        "type": "object",
        "properties": members,
        "patternProperties": { "\\.": {} },
        "additionalProperties": false,
    })
}

fn error(kind: Kind) -> Json {
    json!({
        "code": jsonrpc::code_of(kind),
        "message": kind.meaning(),
        "data": { "kind": kind.name(), "severity": "ERROR" },
    })
}

/// An optional member has no default: that it is absent says so already, and `null` can mean something else.
pub(crate) fn drop_null_defaults(value: &mut Json) {
    match value {
        Json::Object(members) => {
            if members.get("default") == Some(&Json::Null) {
                members.remove("default");
            }
            members.values_mut().for_each(drop_null_defaults);
        }
        Json::Array(items) => items.iter_mut().for_each(drop_null_defaults),
        _ => {}
    }
}
