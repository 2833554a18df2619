//! Whom a login names: found in memory where that is certain, else in the file. That takes some microseconds more, which
//! nobody can tell in the time of an answer, so that it does not show who exists.

use serde_json::Value as Json;

use super::error::{Error, Kind};
use super::inventory::Selector;
use crate::store::names::Moment;
use crate::store::objects::{Object, TOKEN, USER};
use crate::store::{Reader, Store};

/// What a selector names: `None` if none was given, `Some(None)` if nothing fits.
pub type Named = Option<Option<i64>>;

/// Finds the user and the token that were named.
///
/// # Errors
/// `selector.ambiguous`, `attribute.unknown` or `request.invalid`.
pub async fn find(
    store: &Store,
    user: Option<&Selector>,
    token: Option<&Selector>,
) -> Result<(Named, Named), Error> {
    let user = Asked::recall(store, &USER, user);
    let token = Asked::recall(store, &TOKEN, token);
    if let (Asked::Known(user), Asked::Known(token)) = (&user, &token) {
        return Ok((*user, *token));
    }
    let remembering = store.clone();
    store
        .look_up(move |reader| {
            Ok::<_, Error>((
                user.find(&remembering, reader, &USER)?,
                token.find(&remembering, reader, &TOKEN)?,
            ))
        })
        .await
}

enum Asked {
    Known(Named),
    Open(Selector, Option<(String, Moment)>),
}

impl Asked {
    fn recall(store: &Store, object: &'static Object, selector: Option<&Selector>) -> Self {
        let Some(selector) = selector else { return Self::Known(None) };
        let Some(name) = unique_name(object, selector) else {
            return Self::Open(selector.clone(), None);
        };
        match store.recall(object, &name) {
            Ok(id) => Self::Known(Some(Some(id))),
            Err(moment) => Self::Open(selector.clone(), Some((name, moment))),
        }
    }

    fn find(self, store: &Store, reader: &Reader<'_>, object: &'static Object) -> Result<Named, Error> {
        let (selector, name) = match self {
            Self::Known(named) => return Ok(named),
            Self::Open(selector, name) => (selector, name),
        };
        match selector.find(reader, object) {
            Ok(id) => {
                if let Some((name, moment)) = name {
                    store.remember(object, name, id, moment);
                }
                Ok(Some(Some(id)))
            }
            Err(error)
                if matches!(error.kind, Kind::UserNotFound | Kind::DomainNotFound | Kind::TokenNotFound) =>
            {
                Ok(Some(None))
            }
            Err(error) => Err(error),
        }
    }
}

/// A selector as text, if no other object can ever fit it while this one is as it is: an id, a serial, or a login name
/// with its domain.
fn unique_name(object: &'static Object, selector: &Selector) -> Option<String> {
    let attributes = match selector {
        Selector::Id(id) => return Some(format!("id {id}")),
        Selector::Attributes(attributes) => attributes,
    };
    let text = |name: &str| attributes.get(name).and_then(Json::as_str);
    match (object.letter, attributes.len()) {
        ('t', 1) => Some(format!("serial {}", text("serial")?)),
        ('u', 2) => {
            let domain = attributes.get("domain")?.as_object().filter(|domain| domain.len() == 1)?;
            let (domain, login) = (domain.get("name")?.as_str()?, text("loginName")?);
            // With a backslash, the login name may have the domain in it.
            (!login.contains('\\')).then(|| format!("login {}\\{login}", domain))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name(object: &'static Object, selector: Json) -> Option<String> {
        unique_name(object, &serde_json::from_value(selector).unwrap())
    }

    #[test]
    fn only_what_names_one_object_for_ever_is_remembered() {
        let alice = json!({"domain": {"name": "acme"}, "loginName": "alice"});
        assert_eq!(name(&USER, alice).as_deref(), Some("login acme\\alice"));
        assert_eq!(name(&USER, json!("u7")).as_deref(), Some("id u7"));
        assert_eq!(name(&TOKEN, json!({"serial": "1"})).as_deref(), Some("serial 1"));
        for user in [
            json!({"loginName": "alice"}),
            json!({"domain": {"id": "d1"}, "loginName": "alice"}),
            json!({"domain": {"name": "acme", "id": "d1"}, "loginName": "alice"}),
            json!({"domain": {"name": "a"}, "loginName": "b\\alice"}),
            json!({"domain": {"name": "a"}, "loginName": "alice", "email": "x"}),
            json!({"email": "alice@acme.example"}),
        ] {
            assert_eq!(name(&USER, user.clone()), None, "{user}");
        }
        for token in [json!({"serial": 1}), json!({"product.name": "x"}), json!({"serial": "1", "slot": "x"})]
        {
            assert_eq!(name(&TOKEN, token.clone()), None, "{token}");
        }
    }
}
