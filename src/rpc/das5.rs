//! The envelope of the system that the `token/*` API comes from: the method in the path, the parameters as the
//! body, and `{"error", "message", "result"}` as the answer, always with status 200.
//!
//! A refused verify is one number with one text, whatever was wrong, also where the PIN must be changed first: this
//! envelope has no room for more.

use serde_json::{Map, Value as Json, json};

use super::methods;
use super::{Answer, Context, Reply};
use crate::service::error::{Error, Kind};

/// Answers a call of `object/verb`.
pub async fn answer(context: Context, name: &str, body: &[u8]) -> Answer {
    let value = match run(context, name, body).await {
        Ok(Reply::Done | Reply::Accepted(None)) => json!({ "error": 0 }),
        Ok(Reply::Result(result) | Reply::Accepted(Some(result))) => json!({ "error": 0, "result": result }),
        Ok(Reply::Text(text)) => match Answer::with_text(text, json!({ "error": 0 })) {
            Ok(answer) => return answer,
            Err(_) => failure(&Error::new(Kind::Internal, "internal fault")),
        },
        Ok(Reply::Rejected | Reply::PinChangeDue) => {
            failure(&Error::new(Kind::IncorrectCredentials, "Incorrect credentials"))
        }
        Err(error) => failure(&error),
    };
    value.into()
}

async fn run(context: Context, name: &str, body: &[u8]) -> Result<Reply, Error> {
    let method =
        methods::find(name).ok_or_else(|| Error::new(Kind::UnknownMethod, "there is no such method"))?;
    let params = if body.is_empty() {
        Map::new()
    } else {
        match serde_json::from_slice(body) {
            Ok(Json::Object(params)) => params,
            Ok(_) => return Err(Error::new(Kind::Malformed, "the body must be a JSON object")),
            // Where it stopped, and not what it found there: that may be a PIN.
            Err(error) => {
                let place = format!("parse error at line {}, column {}", error.line(), error.column());
                return Err(Error::new(Kind::Malformed, place));
            }
        }
    };
    methods::call(method, context, params).await
}

fn failure(error: &Error) -> Json {
    json!({
        "error": error.kind.code(),
        "message": error.message,
        "severity": "ERROR",
        "data": error.data(),
    })
}

/// Whether an answer says that the caller may not do what it asked.
#[must_use]
pub fn is_forbidden(answer: &Answer) -> bool {
    *answer.member("error") == Kind::Forbidden.code()
}
