//! What a method is, how it is found and how it is called. The table is the one list of them:
//! both envelopes, the permission check, `/openrpc.json` and `docs/api.md` read it.

mod table;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

pub use self::table::METHODS;
use super::normalise::normalise;
use super::{Context, Reply};
use crate::model::role::Permission;
use crate::service::error::{Error, Kind};
use crate::store::objects::Object;

type Answer = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>;

/// One method.
pub struct Method {
    /// `object/verb`.
    pub name: &'static str,
    /// What the caller must be allowed.
    pub permission: Permission,
    /// One sentence.
    pub about: &'static str,
    /// The schema of the type that the handler reads its parameters into.
    pub params: fn(&mut SchemaGenerator) -> Schema,
    /// What it answers.
    pub gives: Gives,
    /// What may go wrong besides [`GENERAL_ERRORS`].
    pub errors: &'static [Kind],
    /// A call and its result, as on `/rpc`. A test makes it.
    pub example: fn() -> Example,
    run: fn(Context, Map<String, Json>) -> Answer,
}

/// Errors that every method may answer.
pub const GENERAL_ERRORS: &[Kind] = &[
    Kind::Internal,
    Kind::Unavailable,
    Kind::Malformed,
    Kind::Invalid,
    Kind::UnknownAttribute,
    Kind::Ambiguous,
    Kind::Forbidden,
    Kind::TooSlow,
    Kind::TooLarge,
];

/// A call and its result.
pub struct Example {
    /// Parameters.
    pub params: Json,
    /// The result. `…` in a text stands for what differs from one call to the next.
    pub result: Json,
}

/// The kinds of results.
pub enum Gives {
    /// Nothing: an empty object.
    Nothing,
    /// What `return` asked for of a new object, its id at least.
    Made(&'static Object),
    /// What `return` asked for of an object.
    Shown(&'static Object),
    /// The same of many objects, and their number.
    Rows(&'static Object),
    /// Whether a passcode was accepted; if it was, what `return` asked for of its token.
    Verdict,
    /// A value of a type of its own.
    Typed(fn(&mut SchemaGenerator) -> Schema),
}

const fn typed_result<T: JsonSchema>() -> Gives {
    Gives::Typed(schema_of::<T>)
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Finds a method by name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Method> {
    static BY_NAME: LazyLock<HashMap<&str, &Method>> =
        LazyLock::new(|| METHODS.iter().map(|method| (method.name, method)).collect());
    BY_NAME.get(name).copied()
}

/// Whether there is a method of that name that needs no login.
#[must_use]
pub fn is_for_anybody(name: &str) -> bool {
    find(name).is_some_and(|method| method.permission == Permission::Anybody)
}

/// Calls a method for a caller who may.
///
/// # Errors
/// [`Kind::Forbidden`] if the caller may not; else what the method says.
pub async fn call(
    method: &'static Method,
    context: Context,
    params: Map<String, Json>,
) -> Result<Reply, Error> {
    if !context.caller.role.grants(method.permission) {
        return Err(Error::new(Kind::Forbidden, "you are not allowed to do that"));
    }
    (method.run)(context, normalise(params)?).await
}

/// Reads typed parameters.
fn typed<P: DeserializeOwned>(params: Map<String, Json>) -> Result<P, Error> {
    // The text of the error names members and types; of a wrong value it may repeat a part, so that goes.
    serde_path_to_error::deserialize(Json::Object(params)).map_err(|error| {
        let path = error.path().to_string();
        let problem = describe(&error.into_inner().to_string());
        let message = if path == "." { format!("params: {problem}") } else { format!("`{path}`: {problem}") };
        Error::new(Kind::Invalid, message)
    })
}

/// Drops what serde repeats of a value, for it might be a PIN, and the names of Rust's own types.
fn describe(text: &str) -> String {
    let about_value = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "];
    if !about_value.iter().any(|start| text.starts_with(start)) {
        return text.to_owned();
    }
    match text.rsplit_once("expected ") {
        Some((_, expected)) => format!("must be {}", plain(expected)),
        None => "has the wrong type".to_owned(),
    }
}

/// What serde expected, in the words of JSON.
fn plain(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "i64" => "a whole number",
        "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "an object",
        "a tuple of size 3" => "a list of three: attribute, comparison, value",
        expected if expected.starts_with("struct ") => "an object",
        expected => expected,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;
    use crate::rpc::params;

    #[test]
    fn every_method_has_one_name_and_a_sentence() {
        let names: HashSet<&str> = METHODS.iter().map(|method| method.name).collect();
        assert_eq!(names.len(), METHODS.len());
        assert!(METHODS.iter().all(|method| method.about.ends_with('.') && method.name.contains('/')));
    }

    #[test]
    fn a_wrong_member_is_named_and_its_value_is_not_repeated() {
        let problem = |params: Json| {
            let Json::Object(params) = params else { panic!("not an object") };
            match typed::<params::TokenAssign>(params) {
                Err(error) => error.message,
                Ok(_) => panic!("was read"),
            }
        };
        let pin = json!({"token": "t1", "user": "u1", "attrs": {"pin": 4711}});
        assert_eq!(problem(pin), "`attrs.pin`: must be a string");
        let typo = json!({"token": "t1", "user": "u1", "atrs": {}});
        assert_eq!(problem(typo), "`atrs`: unknown field `atrs`, expected one of `token`, `user`, `attrs`");
        assert_eq!(problem(json!({"token": "t1"})), "params: missing field `user`");
        let number = json!({"token": 4711, "user": "u1"});
        assert_eq!(problem(number), "`token`: must be an id, or an object of attributes");
        assert_eq!(
            problem(json!({"token": "t1", "user": "u1", "attrs": "4711"})),
            "`attrs`: must be an object"
        );
        assert_eq!(describe("unknown variant `4711`, expected `asc` or `desc`"), "must be `asc` or `desc`");
    }
}
