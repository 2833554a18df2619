//! The `token/*` API: one method table behind two envelopes.
//!
//! A request goes envelope ([`jsonrpc`], [`das5`]) -> [`normalise`] -> [`methods`] -> a typed handler ->
//! a use case of [`crate::service`]. Handlers touch no raw JSON but what they pass through (`return` lists and
//! selectors). [`openrpc`] describes the table to programs. [`streams`] is the table of what can be listened to.

pub mod das5;
mod handlers;
pub mod jsonrpc;
pub mod methods;
pub mod normalise;
pub mod openrpc;
mod params;
mod schemas;
pub mod streams;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::access::Caller;
use crate::app::App;

/// Who asks, and whom.
#[derive(Clone)]
pub struct Context {
    /// The server, as the caller sees it.
    app: Arc<App>,
    /// The caller.
    caller: Caller,
    /// What the caller named the request, beside its parameters (header `Idempotency-Key`).
    named: Option<String>,
    /// Which call of a batch it is.
    place: Option<usize>,
}

impl Context {
    /// What a caller asks of the server, of which it sees what its scope holds.
    #[must_use]
    pub fn new(app: &Arc<App>, caller: Caller) -> Self {
        Self { app: app.seen_by(&caller.scope), caller, named: None, place: None }
    }

    /// The same for a request that the caller has named.
    #[must_use]
    pub fn named(self, named: Option<String>) -> Self {
        Self { named, ..self }
    }

    /// The same for one call of a batch.
    fn at(&self, place: usize) -> Self {
        Self { place: Some(place), ..self.clone() }
    }
}

/// What a method answers. The envelopes differ in how they say it.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Done; there is nothing to tell.
    Done,
    /// Done, with a result.
    Result(Json),
    /// Done, with a large result, as JSON text.
    Text(String),
    /// A verify was accepted; with what the caller asked to see.
    Accepted(Option<Json>),
    /// A verify was rejected, and nobody is told why.
    Rejected,
    /// PIN and passcode were right, but nobody is let in before the PIN was changed.
    PinChangeDue,
}

/// An answer in its envelope.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// What nearly all are.
    Value(Json),
    /// One with a large result, which is not taken apart.
    Text(BTreeMap<&'static str, Box<RawValue>>),
    /// Those of a batch.
    Batch(Vec<Answer>),
}

impl From<Json> for Answer {
    fn from(value: Json) -> Self {
        Self::Value(value)
    }
}

impl Answer {
    /// Puts a large result beside the other members of its envelope.
    fn with_text(result: String, members: Json) -> serde_json::Result<Self> {
        let mut all = BTreeMap::from([("result", RawValue::from_string(result)?)]);
        for name in ["jsonrpc", "id", "error"] {
            if let Some(member) = members.get(name) {
                all.insert(name, serde_json::value::to_raw_value(member)?);
            }
        }
        Ok(Self::Text(all))
    }

    /// How long it is as a text, near enough.
    fn bytes(&self) -> usize {
        match self {
            Self::Value(value) => value.to_string().len(),
            Self::Text(members) => members.values().map(|member| member.get().len()).sum(),
            Self::Batch(answers) => answers.iter().map(Self::bytes).sum(),
        }
    }

    /// A member of the envelope; `null` where it is none of a single answer.
    fn member(&self, name: &str) -> &Json {
        match self {
            Self::Value(value) => &value[name],
            Self::Text(_) | Self::Batch(_) => &Json::Null,
        }
    }
}
