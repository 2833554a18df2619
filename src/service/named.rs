//! Whom a login names: found in memory where that is certain, else in the file. That takes some microseconds more, which
//! nobody can tell in the time of an answer, so that it does not show who exists.

use serde_json::Value as Json;

use super::error::{Error, Kind};
use super::inventory::Selector;
use crate::model::id::{TokenId, UserId, from_wire};
use crate::store::names::{Moment, Name};
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
            Ok::<_, Error>((user.find(&remembering, reader)?, token.find(&remembering, reader)?))
        })
        .await
}

enum Asked {
    Known(Named),
    /// By a name that was not remembered.
    Named(Name, Moment),
    Described(Selector, &'static Object),
}

impl Asked {
    fn recall(store: &Store, object: &'static Object, selector: Option<&Selector>) -> Self {
        let Some(selector) = selector else { return Self::Known(None) };
        // Who sees only a part of the inventory must not find more by a name.
        let name = if store.sees_all() { unique_name(object, selector) } else { None };
        let Some(name) = name else { return Self::Described(selector.clone(), object) };
        match store.recall(&name) {
            Ok(id) => Self::Known(Some(Some(id))),
            Err(moment) => Self::Named(name, moment),
        }
    }

    fn find(self, store: &Store, reader: &Reader<'_>) -> Result<Named, Error> {
        match self {
            Self::Known(named) => Ok(named),
            Self::Named(name, moment) => {
                let found = reader.named(&name)?;
                if let Some(id) = found {
                    store.remember(name, id, moment);
                }
                Ok(Some(found))
            }
            Self::Described(selector, object) => match selector.find(reader, object) {
                Ok(id) => Ok(Some(Some(id))),
                Err(error)
                    if matches!(
                        error.kind,
                        Kind::UserNotFound | Kind::DomainNotFound | Kind::TokenNotFound
                    ) =>
                {
                    Ok(Some(None))
                }
                Err(error) => Err(error),
            },
        }
    }
}

/// What a selector says, if no other object can ever fit it while this one is as it is: an id, a serial, or a login name
/// with its domain.
fn unique_name(object: &'static Object, selector: &Selector) -> Option<Name> {
    let attributes = match selector {
        Selector::Id(id) => {
            let id = from_wire(object.letter, id)?;
            return match object.letter {
                'u' => Some(Name::User(UserId(id))),
                't' => Some(Name::Token(TokenId(id))),
                _ => None,
            };
        }
        Selector::Attributes(attributes) => attributes,
    };
    let text = |name: &str| attributes.get(name).and_then(Json::as_str);
    match (object.letter, attributes.len()) {
        ('t', 1) => Some(Name::Serial(text("serial")?.to_owned())),
        ('u', 2) => {
            let domain = attributes.get("domain")?.as_object().filter(|domain| domain.len() == 1)?;
            let (domain, login) = (domain.get("name")?.as_str()?, text("loginName")?);
            // With a backslash, the login name may have the domain in it.
            let plain = !login.contains('\\');
            plain.then(|| Name::Login { domain: domain.to_owned(), login: login.to_owned() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name(object: &'static Object, selector: Json) -> Option<Name> {
        unique_name(object, &serde_json::from_value(selector).unwrap())
    }

    #[test]
    fn only_what_names_one_object_for_ever_is_remembered() {
        let alice = json!({"domain": {"name": "acme"}, "loginName": "alice"});
        let (domain, login) = ("acme".to_owned(), "alice".to_owned());
        assert_eq!(name(&USER, alice), Some(Name::Login { domain, login }));
        assert_eq!(name(&USER, json!("u7")), Some(Name::User(UserId(7))));
        assert_eq!(name(&TOKEN, json!("t7")), Some(Name::Token(TokenId(7))));
        assert_eq!(name(&TOKEN, json!({"serial": "1"})), Some(Name::Serial("1".to_owned())));
        assert_eq!((name(&USER, json!("t7")), name(&TOKEN, json!("t0x7"))), (None, None));
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
