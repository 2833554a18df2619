//! JSON-RPC 2.0 (jsonrpc.org/specification): requests, notifications and batches, parameters by name.
//!
//! The calls of a batch run one after another, so that a later one may use what an earlier one made.

use serde_json::{Map, Value as Json, json};

use super::methods::{self, Method};
use super::{Answer, Context, Reply, openrpc};
use crate::service::error::Kind;

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;

/// Most calls of one batch.
const MOST_CALLS: usize = 1000;
/// Once the answers of a batch are larger than this, its other calls are refused: all of them lie in memory at once.
const MOST_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Answers a body. `None` where nothing may be answered: it held notifications only.
pub async fn answer(context: &Context, body: &[u8]) -> Option<Answer> {
    match serde_json::from_slice(body) {
        Ok(Json::Array(calls)) if calls.is_empty() => {
            Some(invalid(&Json::Null, "a batch must not be empty").into())
        }
        Ok(Json::Array(calls)) if calls.len() > MOST_CALLS => {
            Some(invalid(&Json::Null, "a batch may hold at most 1000 calls").into())
        }
        Ok(Json::Array(calls)) => {
            let (mut answers, mut size) = (Vec::new(), 0);
            for (place, call) in calls.into_iter().enumerate() {
                let answer = match call.get("id") {
                    Some(id) if size > MOST_ANSWER_BYTES => Some(too_large(id).into()),
                    _ => one(&context.at(place), call).await,
                };
                size += answer.as_ref().map_or(0, Answer::bytes);
                answers.extend(answer);
            }
            if answers.is_empty() { None } else { Some(Answer::Batch(answers)) }
        }
        Ok(call) => one(context, call).await,
        // Where it stopped, and not what it found there: that may be a PIN.
        Err(error) => {
            let place = format!("parse error at line {}, column {}", error.line(), error.column());
            Some(failure(&Json::Null, PARSE_ERROR, &place, "request.parse").into())
        }
    }
}

async fn one(context: &Context, call: Json) -> Option<Answer> {
    let Json::Object(mut call) = call else {
        return Some(invalid(&Json::Null, "a request must be an object").into());
    };
    let id = match call.get("id") {
        None => None,
        Some(id @ (Json::String(_) | Json::Number(_) | Json::Null)) => Some(id.clone()),
        Some(_) => return Some(invalid(&Json::Null, "`id` must be text, a number or null").into()),
    };
    // A request that cannot be told to be a notification is answered.
    let reply_to = id.clone().unwrap_or(Json::Null);
    if call.get("jsonrpc") != Some(&Json::from("2.0")) {
        return Some(invalid(&reply_to, "`jsonrpc` must be \"2.0\"").into());
    }
    let Some(Json::String(name)) = call.remove("method") else {
        return Some(invalid(&reply_to, "`method` must be text").into());
    };
    let params = match call.remove("params") {
        None => Ok(Map::new()),
        Some(Json::Object(params)) => Ok(params),
        Some(Json::Array(params)) if params.is_empty() => Ok(Map::new()),
        Some(Json::Array(_)) => Err("parameters are taken by name: `params` must be an object"),
        Some(_) => return Some(invalid(&reply_to, "`params` must be an object").into()),
    };
    let answer = match (methods::find(&name), params) {
        (None, Ok(params)) if name == openrpc::DISCOVER => discover(&params, &reply_to).into(),
        (None, _) => {
            failure(&reply_to, METHOD_NOT_FOUND, "method not found", Kind::UnknownMethod.name()).into()
        }
        (_, Err(problem)) => failure(&reply_to, INVALID_PARAMS, problem, Kind::Invalid.name()).into(),
        (Some(method), Ok(params)) => run(context, method, params, &reply_to).await,
    };
    id.map(|_| answer)
}

async fn run(context: &Context, method: &'static Method, params: Map<String, Json>, id: &Json) -> Answer {
    let result = match methods::call(method, context.clone(), params).await {
        Ok(Reply::Done) => json!({}),
        Ok(Reply::Result(result)) => result,
        Ok(Reply::Text(text)) => {
            let fault =
                |_| failure(id, Kind::Internal.code(), "internal fault", Kind::Internal.name()).into();
            return Answer::with_text(text, json!({ "jsonrpc": "2.0", "id": id })).unwrap_or_else(fault);
        }
        Ok(Reply::Rejected) => json!({ "accepted": false }),
        Ok(Reply::PinChangeDue) => json!({ "accepted": false, "pinChangeRequired": true }),
        Ok(Reply::Accepted(shown)) => {
            let mut result = json!({ "accepted": true });
            if let (Some(result), Some(Json::Object(shown))) = (result.as_object_mut(), shown) {
                result.extend(shown.into_iter().filter(|(name, _)| name != "accepted"));
            }
            result
        }
        Err(error) => return refusal(id, code_of(error.kind), &error.message, error.data()).into(),
    };
    json!({ "jsonrpc": "2.0", "result": result, "id": id }).into()
}

/// Whether a body is one call of a method that needs no login.
#[must_use]
pub fn is_for_anybody(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Named {
        method: String,
    }
    serde_json::from_slice::<Named>(body).is_ok_and(|named| methods::is_for_anybody(&named.method))
}

/// What this server can do is no secret: whoever may log in may ask.
fn discover(params: &Map<String, Json>, id: &Json) -> Json {
    match params.keys().next() {
        None => json!({ "jsonrpc": "2.0", "result": openrpc::document(), "id": id }),
        Some(_) => failure(id, INVALID_PARAMS, "rpc.discover takes no parameters", Kind::Invalid.name()),
    }
}

/// Faults of the request itself have the standard's numbers, all others those of the table.
#[must_use]
pub fn code_of(kind: Kind) -> i64 {
    match kind {
        Kind::Invalid => INVALID_PARAMS,
        Kind::UnknownMethod => METHOD_NOT_FOUND,
        kind => kind.code(),
    }
}

fn too_large(id: &Json) -> Json {
    let problem = "the answers of the batch are too large: this call was not made, send fewer at once";
    failure(id, Kind::TooLarge.code(), problem, Kind::TooLarge.name())
}

fn invalid(id: &Json, message: &str) -> Json {
    failure(id, INVALID_REQUEST, message, Kind::Malformed.name())
}

fn failure(id: &Json, code: i64, message: &str, kind: &str) -> Json {
    refusal(id, code, message, json!({ "kind": kind }))
}

fn refusal(id: &Json, code: i64, message: &str, mut data: Json) -> Json {
    data["severity"] = "ERROR".into();
    json!({ "jsonrpc": "2.0", "error": { "code": code, "message": message, "data": data }, "id": id })
}

/// Whether an answer says that the caller may not do what it asked; a batch has no such answer as a whole.
#[must_use]
pub fn is_forbidden(answer: &Answer) -> bool {
    answer.member("error")["code"] == Kind::Forbidden.code()
}
