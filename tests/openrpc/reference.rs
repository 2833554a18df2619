//! `docs/api.md`: the document of the API, for people.

use std::fmt::Write as _;

use fobd::rpc::jsonrpc;
use fobd::rpc::methods::{GENERAL_ERRORS, METHODS, Method};
use fobd::rpc::streams::STREAMS;
use fobd::service::error::Kind;
use fobd::store::objects::{self, Object};
use serde_json::{Value as Json, json};

/// The whole page.
pub fn text(document: &Json) -> String {
    let mut out = include_str!("head.md").to_owned();
    out.push_str("\n## Objects\n");
    for object in objects::ALL {
        attributes(&mut out, object, document);
    }
    methods(&mut out, document);
    streams(&mut out, document);
    errors(&mut out);
    out
}

fn attributes(out: &mut String, object: &Object, document: &Json) {
    let schema = &document["components"]["schemas"][object.name];
    let _ = write!(
        out,
        "\n### `{}`\n\n{}\n\n| attribute | type | meaning |\n|---|---|---|\n",
        object.name, object.about
    );
    for attribute in object.attributes {
        let kind = type_of(&schema["properties"][attribute.name]);
        let _ = writeln!(out, "| `{}` | {kind} | {} |", attribute.name, attribute.about);
    }
    for link in object.links {
        let _ = writeln!(
            out,
            "| `{}` | [{}](#{}) | {} |",
            link.name,
            link.target.name,
            anchor(link.target.name),
            link.about
        );
    }
    for collection in object.collections {
        let target = collection.target.name;
        let _ = writeln!(
            out,
            "| `{}` | collection of [{target}](#{}) | {} |",
            collection.name,
            anchor(target),
            collection.about
        );
    }
}

fn methods(out: &mut String, document: &Json) {
    out.push_str("\n## Methods\n\nThe examples are calls that a test makes, one after another; `…` stands for what differs each time.\n\n");
    let mut object = "";
    for method in METHODS {
        let (of, verb) = method.name.split_once('/').expect("a method has an object and a verb");
        let start = if of == object { ", " } else { "\n- " };
        object = of;
        let label = if start == ", " { verb } else { method.name };
        let _ = write!(
            out,
            "{}[`{label}`](#{})",
            if out.ends_with("\n\n") { "- " } else { start },
            anchor(method.name)
        );
    }
    out.push('\n');
    for (method, described) in METHODS.iter().zip(document["methods"].as_array().expect("methods")) {
        describe(out, method, described, document);
    }
}

fn describe(out: &mut String, method: &Method, described: &Json, document: &Json) {
    let roles: Vec<&str> =
        described["x-roles"].as_array().expect("roles").iter().filter_map(Json::as_str).collect();
    let _ = write!(out, "\n### `{}`\n\n{} For: {}.\n\n", method.name, method.about, roles.join(", "));
    let params = described["params"].as_array().expect("parameters");
    if params.is_empty() {
        out.push_str("No parameters.\n");
    } else {
        out.push_str("| parameter | type | meaning |\n|---|---|---|\n");
        for param in params {
            row(out, "", param["name"].as_str().expect("a name"), param, &param["schema"], document);
        }
    }
    let _ = writeln!(out, "\nResult: {}", result(&described["result"]["schema"], document));
    let own: Vec<String> =
        method.errors.iter().map(|kind| format!("{} `{}`", kind.code(), kind.name())).collect();
    if !own.is_empty() {
        let _ = writeln!(out, "\nErrors: {}.", own.join(", "));
    }
    let example = (method.example)();
    let params = on_one_line(&example.params);
    let _ = write!(
        out,
        "\n```\nPOST /rpc\n{{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"{}\", \"params\": {params}}}\n\
         {{\"jsonrpc\": \"2.0\", \"id\": 1, \"result\": {}}}\n\nPOST /das5/rest/{}\n{params}\n{}\n```\n",
        method.name,
        on_one_line(&example.result),
        method.name,
        on_one_line(&super::in_das5(method, example.result.clone())),
    );
}

fn streams(out: &mut String, document: &Json) {
    out.push_str("\n## Streams\n\n");
    out.push_str(include_str!("streams.md"));
    for (stream, described) in STREAMS.iter().zip(document["x-streams"].as_array().expect("streams")) {
        let roles: Vec<&str> =
            described["x-roles"].as_array().expect("roles").iter().filter_map(Json::as_str).collect();
        let _ = write!(
            out,
            "\n### `{}`\n\n{} For: {}.\n\n```\ncurl -N -u alice:PASSWORD http://127.0.0.1:8480{}\n```\n\n\
             | event | meaning | data |\n|---|---|---|\n",
            stream.name,
            stream.about,
            roles.join(", "),
            stream.path
        );
        for event in described["events"].as_array().expect("events") {
            let members = resolve(&event["data"], document)["properties"].as_object().into_iter().flatten();
            let data = match reference(&event["data"]) {
                Some("DeviceShown") => format!("a row of [`device/list`](#{})", anchor("device/list")),
                Some("JobShown") => format!("as of [`job/get`](#{})", anchor("job/get")),
                _ => members.map(|(member, _)| format!("`{member}`")).collect::<Vec<_>>().join(", "),
            };
            let text = |name: &str| event[name].as_str().expect("a text");
            let _ = writeln!(out, "| `{}` | {} | {data} |", text("name"), text("summary"));
        }
    }
}

/// JSON on one line, with a blank after each `:` and `,`.
fn on_one_line(value: &Json) -> String {
    match value {
        Json::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{}: {}", json!(name), on_one_line(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        Json::Array(items) => {
            format!("[{}]", items.iter().map(on_one_line).collect::<Vec<_>>().join(", "))
        }
        simple => simple.to_string(),
    }
}

/// A row for a member, and rows for the members of an attribute list.
fn row(out: &mut String, prefix: &str, name: &str, param: &Json, schema: &Json, document: &Json) {
    let target = resolve(schema, document);
    let about = [param, schema, target].into_iter().find_map(|schema| schema["description"].as_str());
    let mut about = about.unwrap_or_default().to_owned();
    let default = &schema["default"];
    if !default.is_null() && *default != json!("") && *default != json!([]) && !default.is_object() {
        let _ = write!(about, " Default: `{default}`.");
    }
    let must = param["required"] == true;
    // `return` and `match` are the same everywhere, and the page says at its top how they are.
    let about = match name {
        "return" if prefix.is_empty() => "What to show: see [conventions](#conventions).".to_owned(),
        "match" if prefix.is_empty() => {
            "Comparisons that must all hold: see [conventions](#conventions).".to_owned()
        }
        _ => about,
    };
    let kind = format!("{}{}", kind_of(schema, document), if must { ", required" } else { "" });
    let _ = writeln!(out, "| `{prefix}{name}` | {kind} | {} |", about.replace('|', "\\|"));
    let is_required =
        |member: &str| target["required"].as_array().is_some_and(|names| names.contains(&json!(member)));
    let mut members: Vec<(&String, &Json)> = target["properties"].as_object().into_iter().flatten().collect();
    members.sort_by_key(|(member, _)| !is_required(member));
    for (member, inner) in members {
        // What a result always has, it is not asked to have.
        let in_result = param["result"] == true;
        let required = !in_result && is_required(member);
        let param = json!({"required": required, "result": in_result, "description": inner["description"]});
        row(out, &format!("{prefix}{name}."), member, &param, inner, document);
    }
}

/// Follows a reference, also one that stands beside others in `allOf` or `anyOf`.
fn resolve<'a>(schema: &'a Json, document: &'a Json) -> &'a Json {
    match reference(schema) {
        Some(name) => &document["components"]["schemas"][name],
        None => schema,
    }
}

fn reference(schema: &Json) -> Option<&str> {
    let inner = [schema, &schema["allOf"][0], &schema["anyOf"][0]];
    inner.iter().find_map(|schema| schema["$ref"].as_str()?.rsplit('/').next())
}

fn kind_of(schema: &Json, document: &Json) -> String {
    match reference(schema) {
        Some("Selector") => "[selector](#conventions)".to_owned(),
        Some(object) if objects::ALL.iter().any(|known| known.name == object) => {
            format!("[{object}](#{})", anchor(object))
        }
        _ => type_of(resolve(schema, document)),
    }
}

fn type_of(schema: &Json) -> String {
    if schema["format"] == "date-time" {
        return "time".to_owned();
    }
    if schema["format"] == "password" {
        return "secret text".to_owned();
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        return words.join(" or ");
    }
    let word = |kind: &Json| match kind.as_str() {
        Some("string") => "text",
        Some("integer") => "integer",
        Some("number") => "number",
        Some("boolean") => "boolean",
        Some("array") => "list",
        Some("object") => "object",
        _ => "any",
    };
    match &schema["type"] {
        Json::Array(kinds) => {
            let kinds: Vec<&str> = kinds.iter().filter(|kind| **kind != json!("null")).map(word).collect();
            kinds.join(" or ")
        }
        kind => word(kind).to_owned(),
    }
}

fn result(schema: &Json, document: &Json) -> String {
    if schema["additionalProperties"] == false && schema["properties"].is_null() {
        return "none.".to_owned();
    }
    let rows = &schema["properties"]["rows"]["items"];
    if !rows.is_null() {
        return format!("`total`, and as `rows` what `return` names of each {}.", kind_of(rows, document));
    }
    if schema["properties"]["accepted"].is_object() {
        return "`accepted`, and with it what `return` names of the token that was accepted.".to_owned();
    }
    if let Some(name) = reference(schema)
        && objects::ALL.iter().any(|object| object.name == name)
    {
        let id = if schema["required"].is_array() { "`id`, and " } else { "" };
        return format!("{id}what `return` names of the {}.", kind_of(schema, document));
    }
    let target = resolve(schema, document);
    if target["type"] == "string" {
        return "a text.".to_owned();
    }
    let (lead, target) = match &target["properties"]["rows"]["items"] {
        Json::Null => ("an object. What does not apply is null.\n", target),
        items => (
            "`total`, and `rows` with these members. What does not apply is null.\n",
            resolve(items, document),
        ),
    };
    let mut out = lead.to_owned();
    out.push_str("\n| member | type | meaning |\n|---|---|---|\n");
    for (member, inner) in target["properties"].as_object().into_iter().flatten() {
        row(&mut out, "", member, &json!({"result": true}), inner, document);
    }
    out.trim_end().to_owned()
}

fn errors(out: &mut String) {
    out.push_str("\n## Errors\n\nNumbers are never renumbered, and a number that is given up is not used again. `kind` stands in `data.kind`.\n\n");
    let general: Vec<String> = GENERAL_ERRORS.iter().map(|kind| kind.code().to_string()).collect();
    let _ = write!(
        out,
        "Every method may answer {}. A mistake in a request changes nothing.\n\n| number | over `/rpc` | kind | meaning |\n|---|---|---|---|\n",
        general.join(", ")
    );
    let mut kinds = Kind::ALL.to_vec();
    kinds.sort_by_key(|kind| kind.code());
    for kind in kinds {
        let code = jsonrpc::code_of(kind);
        let _ = writeln!(out, "| {} | {code} | `{}` | {} |", kind.code(), kind.name(), kind.meaning());
    }
    out.push_str("\nOver `/rpc` there are also -32700 for a body that is no JSON and -32600 for one that is no request.\n");
}

/// The name that a heading has in a link.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect()
}
