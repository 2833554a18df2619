//! One normaliser in front of all methods: printed typos, dotted paths and lists of attributes become the one
//! form that the typed parameters know.
//!
//! - `"product.id": x` means `"product": {"id": x}`, at any depth of objects.
//! - `"attrs": [{..}, {..}]` means one object with the members of all.
//! - `"loginNam"` means `"loginName"`: every printed version of the document has that slip.
//!
//! A name may have 16 parts: each becomes an object within an object, and the stack is finite. A member that is
//! given twice with different values is an error. Lists are left alone: `match`, `return` and
//! `sort` name paths in texts.

use serde_json::{Map, Value as Json};

use crate::service::error::Error;

/// Most parts of a name, dotted or nested: as deep as the parser takes, with dots at each level, is too deep.
const MOST_PARTS: usize = 16;

/// Brings the parameters of a request into their one form.
///
/// # Errors
/// `request.invalid` names the member that contradicts itself.
pub fn normalise(params: Map<String, Json>) -> Result<Map<String, Json>, Error> {
    if !params.get("attrs").is_some_and(Json::is_array) && is_normal(&params, 0) {
        return Ok(params);
    }
    let mut out = Map::new();
    for (name, value) in params {
        let value = match (name.as_str(), value) {
            ("attrs", Json::Array(parts)) => merge_list(parts)?,
            (_, value) => value,
        };
        put(&mut out, &name, value, "")?;
    }
    Ok(out)
}

/// Whether an object at this depth has the one form already, as that of nearly every program has.
fn is_normal(object: &Map<String, Json>, depth: usize) -> bool {
    depth < MOST_PARTS
        && object.iter().all(|(name, value)| {
            name != "loginNam"
                && !name.contains('.')
                && value.as_object().is_none_or(|inner| is_normal(inner, depth + 1))
        })
}

fn merge_list(parts: Vec<Json>) -> Result<Json, Error> {
    let mut merged = Map::new();
    for part in parts {
        let Json::Object(members) = part else {
            return Err(Error::invalid("attrs", "must be an object, or a list of objects"));
        };
        for (name, value) in members {
            put(&mut merged, &name, value, "attrs.")?;
        }
    }
    Ok(Json::Object(merged))
}

/// Puts a member into an object, walking its dotted name and normalising its value.
fn put(object: &mut Map<String, Json>, name: &str, value: Json, place: &str) -> Result<(), Error> {
    if place.matches('.').count() + name.matches('.').count() >= MOST_PARTS {
        // The name itself may be as long as the request.
        let place = place.trim_end_matches('.');
        let member = if place.is_empty() { "params" } else { place };
        return Err(Error::invalid(member, &format!("has a name of more than {MOST_PARTS} parts")));
    }
    if let Some((first, rest)) = name.split_once('.') {
        let inner = object.entry(first).or_insert_with(|| Json::Object(Map::new()));
        let Json::Object(inner) = inner else { return Err(twice(place, first)) };
        return put(inner, rest, value, &format!("{place}{first}."));
    }
    let name = if name == "loginNam" { "loginName" } else { name };
    match (object.get_mut(name), value) {
        // Objects of the same name are one: a dotted and a nested form may be mixed.
        (Some(Json::Object(there)), Json::Object(more)) => {
            for (inner_name, inner) in more {
                put(there, &inner_name, inner, &format!("{place}{name}."))?;
            }
        }
        (Some(there), value) if *there != value => return Err(twice(place, name)),
        (Some(_), _) => {}
        (None, Json::Object(members)) => {
            let mut inner = Map::new();
            for (inner_name, value) in members {
                put(&mut inner, &inner_name, value, &format!("{place}{name}."))?;
            }
            object.insert(name.to_owned(), Json::Object(inner));
        }
        (None, value) => {
            object.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

fn twice(place: &str, name: &str) -> Error {
    Error::invalid(&format!("{place}{name}"), "is given twice, with different values")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn normal(params: Json) -> Result<Json, Error> {
        let Json::Object(params) = params else { panic!("not an object") };
        normalise(params).map(Json::Object)
    }

    #[test]
    fn dotted_and_nested_names_mean_the_same() {
        let nested =
            json!({"attrs": {"product": {"id": "p1"}, "user": {"domain": {"name": "a"}, "loginName": "j"}}});
        let dotted = json!({"attrs": {"product.id": "p1", "user": {"domain.name": "a", "loginNam": "j"}}});
        assert_eq!(normal(dotted), Ok(nested.clone()));
        let very_dotted =
            json!({"attrs.product.id": "p1", "attrs": {"user.domain.name": "a", "user": {"loginName": "j"}}});
        assert_eq!(normal(very_dotted), Ok(nested));
    }

    #[test]
    fn attributes_in_a_list_are_merged() {
        let list = json!({"attrs": [{"product.id": "p1"}, {"pin": "1234"}]});
        assert_eq!(normal(list), Ok(json!({"attrs": {"product": {"id": "p1"}, "pin": "1234"}})));
    }

    #[test]
    fn a_contradiction_is_refused_and_named_without_its_value() {
        let error = normal(json!({"attrs": {"user.id": "u1", "user": {"id": "u2"}}})).unwrap_err();
        assert_eq!(error.message, "`attrs.user.id` is given twice, with different values");
        assert!(normal(json!({"token": "t1", "token.id": "t1"})).is_err());
        assert_eq!(normal(json!({"a.b": 1, "a": {"b": 1}})), Ok(json!({"a": {"b": 1}})));
    }

    fn under_a(value: Json) -> Json {
        json!({ "a": value })
    }

    #[test]
    fn a_name_of_too_many_parts_is_refused_at_any_depth() {
        let name = |parts: usize| vec!["a"; parts].join(".");
        let under = |name: String| Json::Object(Map::from_iter([(name, json!(1))]));
        assert!(normal(under(name(16))).is_ok());
        let error = normal(under(name(17))).unwrap_err();
        assert_eq!(error.message, "`params` has a name of more than 16 parts");
        let error = normal(json!({"attrs": [under(name(1_000_000))]})).unwrap_err();
        assert_eq!(error.message, "`attrs` has a name of more than 16 parts");
        assert!(normal(json!({"a.a.a.a.a.a.a.a": under(name(8))})).is_ok());
        let deep = |levels: usize| (1..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
        assert_eq!(normal(under_a(deep(16))), Ok(under_a(deep(16))));
        assert_eq!(
            normal(under_a(deep(17))).unwrap_err().message,
            "`a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a` has a name of more than 16 parts"
        );
        let nested = (0..120).fold(json!(1), |inner, _| json!({ "a.a": inner }));
        assert!(normal(nested).is_err());
    }

    #[test]
    fn lists_are_left_alone() {
        let search =
            json!({"match": [["product.name", "=", "x"]], "return": ["product.name", {"user": ["id"]}]});
        assert_eq!(normal(search.clone()), Ok(search));
    }
}
