//! Finding and showing objects: selectors to ids, `get` and `search`.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json};

use super::error::Error;
use crate::store::objects::{self, Condition, Object, Search};
use crate::store::{Reader, Store};

/// A selector: attributes that together name one object. On the wire an object, or just an id.
#[derive(Clone, Debug, PartialEq)]
pub enum Selector {
    /// An id.
    Id(String),
    /// Attributes of the object and of those it links to.
    Attributes(Map<String, Json>),
}

/// By hand: what serde makes for such an enum keeps a copy of the value, and tries one form after the other.
impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Selector;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id, or an object of attributes")
            }

            fn visit_str<E: de::Error>(self, id: &str) -> Result<Selector, E> {
                Ok(Selector::Id(id.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, attributes: A) -> Result<Selector, A::Error> {
                Map::deserialize(MapAccessDeserializer::new(attributes)).map(Selector::Attributes)
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

impl From<Selector> for Json {
    fn from(selector: Selector) -> Self {
        match selector {
            Selector::Id(id) => id.into(),
            Selector::Attributes(attributes) => attributes.into(),
        }
    }
}

impl Selector {
    /// Finds the id of the one object that fits.
    ///
    /// # Errors
    /// The object's not-found kind, `selector.ambiguous`, `attribute.unknown` or `request.invalid`.
    pub fn find(&self, reader: &Reader<'_>, object: &'static Object) -> Result<i64, Error> {
        let conditions = match self {
            Self::Id(id) => vec![Condition::equal("id", Json::from(id.as_str()))],
            Self::Attributes(attributes) => {
                let mut conditions = Vec::new();
                flatten(attributes, "", &mut conditions);
                for condition in &mut conditions {
                    // `"user": "u7"` names a linked object by its id.
                    if object.has_link(&condition.path) && condition.value.is_string() {
                        condition.path.push_str(".id");
                    }
                }
                split_login_name(&mut conditions);
                conditions
            }
        };
        if conditions.is_empty() {
            return Err(Error::invalid(object.name, "must name at least one attribute"));
        }
        match objects::find_one(reader, object, &conditions) {
            Ok(id) => Ok(id),
            Err(objects::FindError::None(_)) => Err(nothing_fits(reader, object, &conditions)?),
            Err(error) => Err(error.into()),
        }
    }
}

/// Says which object is missing: a user may be missing because its domain is.
fn nothing_fits(
    reader: &Reader<'_>,
    object: &'static Object,
    conditions: &[Condition],
) -> Result<Error, Error> {
    let of_domain: Vec<Condition> = conditions
        .iter()
        .filter_map(|condition| {
            let path = condition.path.strip_prefix("domain.").filter(|_| object.has_link("domain"))?;
            Some(Condition { path: path.to_owned(), ..condition.clone() })
        })
        .collect();
    if !of_domain.is_empty()
        && let Err(objects::FindError::None(missing)) =
            objects::find_one(reader, &objects::DOMAIN, &of_domain)
    {
        return Ok(Error::not_found(missing));
    }
    Ok(Error::not_found(object.name))
}

/// `{"product": {"name": "x"}}` means `product.name = x`.
fn flatten(attributes: &Map<String, Json>, prefix: &str, conditions: &mut Vec<Condition>) {
    for (name, value) in attributes {
        match value {
            Json::Object(inner) => flatten(inner, &format!("{prefix}{name}."), conditions),
            value => conditions.push(Condition::equal(&format!("{prefix}{name}"), value.clone())),
        }
    }
}

/// `DOMAIN\\user` as a login name means the domain too, unless one is named.
fn split_login_name(conditions: &mut Vec<Condition>) {
    let Some(at) = conditions.iter().position(|condition| condition.path.ends_with("loginName")) else {
        return;
    };
    let prefix = conditions[at].path.trim_end_matches("loginName").to_owned();
    if conditions.iter().any(|condition| condition.path.starts_with(&format!("{prefix}domain."))) {
        return;
    }
    let parts = conditions[at].value.as_str().and_then(|text| text.split_once('\\'));
    let Some((domain, login)) = parts.map(|(domain, login)| (Json::from(domain), Json::from(login))) else {
        return;
    };
    conditions[at].value = login;
    conditions.push(Condition::equal(&format!("{prefix}domain.name"), domain));
}

/// Searches.
///
/// # Errors
/// `attribute.unknown` or `request.invalid` if the search names what the object does not have.
pub async fn search(store: &Store, object: &'static Object, search: Search) -> Result<Json, Error> {
    store.read(move |reader| Ok(objects::search(reader, object, &search)?)).await
}

/// Shows one object.
///
/// # Errors
/// The object's not-found kind, and as [`search`].
pub async fn get(
    store: &Store,
    object: &'static Object,
    which: Which,
    wanted: Vec<Json>,
) -> Result<Json, Error> {
    store
        .read(move |reader| {
            let id = match which {
                Which::Selector(selector) => selector.find(reader, object)?,
                Which::Match(conditions) => objects::find_one(reader, object, &conditions)?,
            };
            Ok(objects::get(reader, object, id, &wanted)?)
        })
        .await
}

/// How a `get` names its object.
pub enum Which {
    /// By a selector.
    Selector(Selector),
    /// By a `match` list.
    Match(Vec<Condition>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(selector: Json) -> Vec<(String, Json)> {
        let Json::Object(attributes) = selector else { panic!("not an object") };
        let mut conditions = Vec::new();
        flatten(&attributes, "", &mut conditions);
        split_login_name(&mut conditions);
        let mut pairs: Vec<_> = conditions.into_iter().map(|c| (c.path, c.value)).collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs
    }

    #[test]
    fn a_login_name_with_a_domain_in_front_means_both() {
        let meant = vec![("domain.name".into(), "acme".into()), ("loginName".into(), "john.smith".into())];
        assert_eq!(conditions(serde_json::json!({"loginName": "acme\\john.smith"})), meant);
        let nested = serde_json::json!({"domain": {"name": "acme"}, "loginName": "john.smith"});
        assert_eq!(conditions(nested), meant);
    }

    #[test]
    fn a_named_domain_leaves_the_login_name_as_it_is() {
        let both = serde_json::json!({"domain": {"id": "d1"}, "loginName": "a\\b"});
        assert_eq!(
            conditions(both),
            [("domain.id".into(), "d1".into()), ("loginName".into(), "a\\b".into())]
        );
    }
}
