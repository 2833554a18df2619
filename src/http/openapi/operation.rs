//! An Operation Object of OpenAPI (spec.openapis.org, 3.1, §4.8.10), put together piece by piece.

use serde_json::{Map, Value as Json, json};

use crate::model::role::Permission;
use crate::rpc::openrpc::roles_with;

/// Text without a form.
pub(in crate::http) const TEXT: &str = "text/plain";
/// JSON.
pub(in crate::http) const JSON: &str = "application/json";

/// What is said of one method of one path.
pub(in crate::http) struct Operation(Map<String, Json>);

/// A media type and the schema of what is of that type.
pub(in crate::http) type Content = (&'static str, Json);

impl Operation {
    /// Begins with a sentence; the tag says with what it belongs together.
    pub(in crate::http) fn new(tag: &str, summary: &str) -> Self {
        let start =
            json!({ "tags": [tag], "summary": summary, "parameters": [], "responses": {}, "security": [] });
        Self(start.as_object().cloned().unwrap_or_default())
    }

    /// More sentences.
    pub(in crate::http) fn more(mut self, text: &str) -> Self {
        self.0.insert("description".to_owned(), text.into());
        self
    }

    /// It wants a login, by any of the ways in.
    pub(in crate::http) fn login(mut self) -> Self {
        self.0.insert("security".to_owned(), json!([{ "basic": [] }, { "bearer": [] }, { "session": [] }]));
        self.answer(401, "Not let in.", &[]).answer(
            503,
            "Too busy, or the disk refuses: try again later.",
            &[],
        )
    }

    /// It wants a permission.
    pub(in crate::http) fn permission(mut self, permission: Permission) -> Self {
        self.0.insert("x-permission".to_owned(), format!("{permission:?}").into());
        self.0.insert("x-roles".to_owned(), json!(roles_with(permission)));
        self
    }

    /// A part of the path.
    pub(in crate::http) fn path(self, name: &str, about: &str) -> Self {
        let schema = json!({ "type": "string", "minLength": 1 });
        self.parameter("path", name, about, true, &schema)
    }

    /// A part of the query.
    pub(in crate::http) fn query(self, name: &str, about: &str, schema: &Json) -> Self {
        self.parameter("query", name, about, false, schema)
    }

    /// A part of the query that must be there.
    pub(in crate::http) fn needs_query(self, name: &str, about: &str, schema: &Json) -> Self {
        self.parameter("query", name, about, true, schema)
    }

    /// A header field.
    pub(in crate::http) fn header(self, name: &str, about: &str, schema: &Json) -> Self {
        self.parameter("header", name, about, false, schema)
    }

    /// Its calls may be sent again under the name of the first time.
    pub(in crate::http) fn idempotency_key(self) -> Self {
        let printable = json!({ "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[ -~]+$" });
        let about =
            "Names the call as `requestId` does: sent again within a minute, it gets the same answer.";
        self.header("Idempotency-Key", about, &printable)
    }

    fn parameter(mut self, place: &str, name: &str, about: &str, required: bool, schema: &Json) -> Self {
        let parameter = json!({ "in": place, "name": name, "description": about, "required": required, "schema": schema });
        if let Some(parameters) = self.0.get_mut("parameters").and_then(Json::as_array_mut) {
            parameters.push(parameter);
        }
        self
    }

    /// It takes a body.
    pub(in crate::http) fn body(mut self, contents: &[Content]) -> Self {
        self.0.insert("requestBody".to_owned(), json!({ "required": true, "content": content(contents) }));
        self.answer(408, "The body did not come in time.", &[(TEXT, text())]).answer(
            413,
            "The body is too large.",
            &[(TEXT, text())],
        )
    }

    /// An example of its body, as JSON.
    pub(in crate::http) fn example(mut self, example: Json) -> Self {
        if let Some(body) = self.0.get_mut("requestBody") {
            body["content"][JSON]["example"] = example;
        }
        self
    }

    /// One of its answers. Another one with the same status adds to what the first one may look like.
    pub(in crate::http) fn answer(mut self, status: u16, about: &str, contents: &[Content]) -> Self {
        let Some(answers) = self.0.get_mut("responses").and_then(Json::as_object_mut) else { return self };
        let answer = answers.entry(status.to_string()).or_insert_with(|| {
            let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/RequestId" } });
            if status == 401 {
                headers["WWW-Authenticate"] = json!({ "$ref": "#/components/headers/Challenge" });
            }
            json!({ "headers": headers })
        });
        answer["description"] = about.into();
        if !contents.is_empty() {
            let mut all = answer["content"].as_object().cloned().unwrap_or_default();
            all.extend(content(contents));
            answer["content"] = all.into();
        }
        self
    }

    /// It as JSON, under a name.
    pub(super) fn finish(mut self, id: &str) -> Json {
        self.0.insert("operationId".to_owned(), id.into());
        self.0.into()
    }
}

fn content(contents: &[Content]) -> Map<String, Json> {
    contents.iter().map(|(media, schema)| ((*media).to_owned(), json!({ "schema": schema }))).collect()
}

/// The schema of a text.
pub(in crate::http) fn text() -> Json {
    json!({ "type": "string" })
}

/// The schema of a refusal beside the methods: the number and the text of the table of errors.
pub(in crate::http) fn refusal() -> Json {
    json!({ "$ref": "#/components/schemas/Refusal" })
}
