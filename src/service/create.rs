//! Making domains, users, products, repositories and tokens.

use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::assign::{Grant, assign_in};
use super::error::{Error, Kind};
use super::inventory::Selector;
use super::random;
use crate::access::Caller;
use crate::model::id::{DomainId, ProductId, RepositoryId, UserId};
use crate::otp::credential::Credential;
use crate::store::catalogue::{DEFAULT_REPOSITORY, NewProduct};
use crate::store::directory::{NewDomain, NewUser};
use crate::store::objects::{self, Condition, FindError, Object};
use crate::store::tokens::NewToken;
use crate::store::{Reader, Store, Tx};

/// Longest name, serial or code, in characters.
const MOST_CHARS: usize = 255;

/// Makes a domain.
///
/// # Errors
/// [`Kind::Exists`] if the name is taken.
pub async fn domain(
    store: &Store,
    caller: &Caller,
    domain: NewDomain,
    wanted: Vec<Json>,
) -> Result<Json, Error> {
    check_name("attrs.name", &domain.name)?;
    check_text("attrs.description", &domain.description)?;
    let caller = caller.clone();
    store
        .write(move |tx| {
            refuse_taken(tx, &objects::DOMAIN, &[("name", domain.name.as_str())])?;
            let id = tx.insert_domain(&domain)?;
            made(tx, &caller, "domain/create", id);
            show(tx, &objects::DOMAIN, id.0, wanted)
        })
        .await
}

/// Makes a user in the domain that `domain` names.
///
/// # Errors
/// [`Kind::Exists`] if the login name is taken in that domain, [`Kind::DomainNotFound`].
pub async fn user(
    store: &Store,
    caller: &Caller,
    domain: Selector,
    mut user: NewUser,
    wanted: Vec<Json>,
) -> Result<Json, Error> {
    check_login_name(&user.login_name)?;
    let texts = [
        ("attrs.firstName", &user.first_name),
        ("attrs.lastName", &user.last_name),
        ("attrs.email", &user.email),
        ("attrs.mobile", &user.mobile),
        ("attrs.telephone", &user.telephone),
        ("attrs.userPrincipalName", &user.principal_name),
    ];
    for (field, text) in texts {
        check_text(field, text)?;
    }
    let caller = caller.clone();
    store
        .write(move |tx| {
            user.domain = DomainId(domain.find(tx.reader(), &objects::DOMAIN)?);
            let in_domain = user.domain.to_string();
            refuse_taken(
                tx,
                &objects::USER,
                &[("loginName", user.login_name.as_str()), ("domain.id", in_domain.as_str())],
            )?;
            let id = tx.insert_user(&user)?;
            let mut entry = caller.did("user/create");
            (entry.user, entry.outcome) = (Some(id), "created");
            tx.audit(entry);
            show(tx, &objects::USER, id.0, wanted)
        })
        .await
}

/// Makes a product.
///
/// # Errors
/// [`Kind::Exists`] if its pair of codes is taken; [`Kind::Invalid`] for a software product with a driver.
pub async fn product(
    store: &Store,
    caller: &Caller,
    product: NewProduct,
    wanted: Vec<Json>,
) -> Result<Json, Error> {
    check_name("attrs.name", &product.name)?;
    check_name("attrs.manufacturerCode", &product.manufacturer_code)?;
    check_name("attrs.productCode", &product.product_code)?;
    check_driver(&product.driver)?;
    if product.software {
        check_no_driver(&product.driver)?;
    }
    let caller = caller.clone();
    store
        .write(move |tx| {
            refuse_taken(
                tx,
                &objects::PRODUCT,
                &[
                    ("manufacturerCode", product.manufacturer_code.as_str()),
                    ("productCode", product.product_code.as_str()),
                ],
            )?;
            let id = tx.insert_product(&product)?;
            made(tx, &caller, "product/create", id);
            show(tx, &objects::PRODUCT, id.0, wanted)
        })
        .await
}

/// Makes a repository.
///
/// # Errors
/// [`Kind::Exists`] if the name is taken.
pub async fn repository(
    store: &Store,
    caller: &Caller,
    name: String,
    description: String,
    parent: Option<Selector>,
    wanted: Vec<Json>,
) -> Result<Json, Error> {
    check_name("attrs.name", &name)?;
    check_text("attrs.description", &description)?;
    let caller = caller.clone();
    store
        .write(move |tx| {
            refuse_taken(tx, &objects::REPOSITORY, &[("name", name.as_str())])?;
            let parent = find_optional(tx.reader(), &objects::REPOSITORY, parent.as_ref())?.map(RepositoryId);
            let id = tx.insert_repository(&name, &description, parent)?;
            made(tx, &caller, "repository/create", id);
            show(tx, &objects::REPOSITORY, id.0, wanted)
        })
        .await
}

/// A token to make, as the API names its parts.
pub struct TokenRequest {
    /// Its model.
    pub product: Selector,
    /// Its stock; the default one if none is named.
    pub repository: Option<Selector>,
    /// Its serial; one is made if none is given.
    pub serial: Option<String>,
    /// The maker's identifier; the serial if none is given.
    pub identifier: Option<String>,
    /// Free text.
    pub description: String,
    /// Who gets it.
    pub user: Option<Selector>,
    /// The PIN of that assignment.
    pub pin: Option<Zeroizing<String>>,
}

/// Makes a token: of a hardware product without a secret, as stock until it is programmed or imported; of a
/// software product with one, which can be handed out.
///
/// # Errors
/// [`Kind::Exists`] if the serial is taken; the not-found kinds of what it names.
pub async fn token(
    store: &Store,
    caller: &Caller,
    request: TokenRequest,
    wanted: Vec<Json>,
) -> Result<Json, Error> {
    if let Some(serial) = &request.serial {
        check_name("attrs.serial", serial)?;
    }
    if let Some(identifier) = &request.identifier {
        check_name("attrs.identifier", identifier)?;
    }
    check_text("attrs.description", &request.description)?;
    if request.pin.is_some() && request.user.is_none() {
        return Err(Error::invalid("attrs.pin", "needs `attrs.user`: a PIN belongs to an assignment"));
    }
    let caller = caller.clone();
    store
        .write(move |tx| {
            let product = ProductId(request.product.find(tx.reader(), &objects::PRODUCT)?);
            let repository = repository_or_default(tx.reader(), request.repository.as_ref())?;
            let serial = match request.serial {
                Some(serial) if tx.reader().has_serial(&serial)? => {
                    return Err(serial_taken(&serial));
                }
                Some(serial) => serial,
                None => made_serial(tx, product)?,
            };
            let token = tx.insert_token(&NewToken {
                identifier: request.identifier.unwrap_or_else(|| serial.clone()),
                serial,
                product,
                repository,
                description: request.description,
                import: None,
            })?;
            let model = tx.reader().product(product)?.ok_or_else(|| Error::not_found("product"))?;
            if model.software {
                let secret = random::secret(model.parameters.algorithm, usize::MAX)?;
                tx.put_credential(token, &Credential { secret, parameters: model.parameters }, 0)?;
            }
            let mut entry = caller.did("token/create");
            (entry.token, entry.outcome) = (Some(token), "created");
            tx.audit(entry);
            if let Some(user) = request.user {
                let user = UserId(user.find(tx.reader(), &objects::USER)?);
                let grant = Grant { token, user, pin: request.pin, shared: false };
                assign_in(tx, &caller, "token/create", &grant)?;
            }
            show(tx, &objects::TOKEN, token.0, wanted)
        })
        .await
}

/// The named repository, or the one for everything that names none.
pub(super) fn repository_or_default(
    reader: &Reader<'_>,
    named: Option<&Selector>,
) -> Result<RepositoryId, Error> {
    let default =
        || Selector::Attributes(std::iter::once(("name".into(), DEFAULT_REPOSITORY.into())).collect());
    let selector = named.cloned().unwrap_or_else(default);
    Ok(RepositoryId(selector.find(reader, &objects::REPOSITORY)?))
}

pub(super) fn serial_taken(serial: &str) -> Error {
    Error::new(Kind::Exists, format!("there is a token with serial {serial} already"))
}

/// A serial of the product's codes and the first number that is free.
fn made_serial(tx: &Tx<'_>, product: ProductId) -> Result<String, Error> {
    let code = tx.reader().product(product)?.ok_or_else(|| Error::not_found("product"))?.code;
    let mut number = tx.reader().last_token_id()? + 1;
    loop {
        let serial = format!("{code}{number:06}");
        if !tx.reader().has_serial(&serial)? {
            return Ok(serial);
        }
        number += 1;
    }
}

/// An audit row for an object that is neither token nor user.
fn made(tx: &Tx<'_>, caller: &Caller, action: &'static str, id: impl std::fmt::Display) {
    let mut entry = caller.did(action);
    entry.outcome = "created";
    entry.detail = id.to_string();
    tx.audit(entry);
}

/// What `create` answers: the id, and what the caller wants to see besides.
fn show(tx: &Tx<'_>, object: &'static Object, id: i64, mut wanted: Vec<Json>) -> Result<Json, Error> {
    wanted.insert(0, "id".into());
    Ok(objects::get(tx.reader(), object, id, &wanted)?)
}

fn refuse_taken(tx: &Tx<'_>, object: &'static Object, named: &[(&str, &str)]) -> Result<(), Error> {
    // No row has id 0: anything that is found is another one.
    refuse_taken_by_another(tx, object, 0, named)
}

/// Refuses a name that an object other than `id` has.
pub(super) fn refuse_taken_by_another(
    tx: &Tx<'_>,
    object: &'static Object,
    id: i64,
    named: &[(&str, &str)],
) -> Result<(), Error> {
    let conditions: Vec<Condition> =
        named.iter().map(|(path, value)| Condition::equal(path, (*value).into())).collect();
    match objects::find_one(&tx.reader().whole(), object, &conditions) {
        Err(FindError::None(_)) => Ok(()),
        Ok(found) if found == id => Ok(()),
        Ok(_) | Err(FindError::Ambiguous(_)) => {
            let (_, first) = named.first().copied().unwrap_or_default();
            let article = if object.name.starts_with(['a', 'o']) { "an" } else { "a" };
            Err(Error::new(Kind::Exists, format!("there is {article} {} `{first}` already", object.name)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Finds what an optional selector names.
pub(super) fn find_optional(
    reader: &Reader<'_>,
    object: &'static Object,
    selector: Option<&Selector>,
) -> Result<Option<i64>, Error> {
    selector.map(|selector| selector.find(reader, object)).transpose()
}

/// A driver must be one that is here, or none.
pub(super) fn check_driver(name: &str) -> Result<(), Error> {
    let mut known = fobd_drivers::DRIVERS.iter().map(|driver| driver.name());
    if name.is_empty() || known.any(|driver| driver == name) {
        return Ok(());
    }
    let names: Vec<&str> = fobd_drivers::DRIVERS.iter().map(|driver| driver.name()).collect();
    Err(Error::invalid("attrs.driver", &format!("must be empty or one of {}", names.join(", "))))
}

/// A software product has none: what is in a device is never handed out.
pub(super) fn check_no_driver(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Ok(());
    }
    Err(Error::invalid("attrs.driver", "must be empty: the secrets of a software product can be handed out"))
}

/// A name must say something and fit on a line.
pub(super) fn check_name(field: &str, text: &str) -> Result<(), Error> {
    if text.trim().is_empty() {
        return Err(Error::invalid(field, "must not be empty"));
    }
    if text.trim() != text {
        return Err(Error::invalid(field, "must not start or end with a blank"));
    }
    check_text(field, text)
}

/// A login name must be a name, and no domain with a name.
pub(super) fn check_login_name(name: &str) -> Result<(), Error> {
    check_name("attrs.loginName", name)?;
    if name.contains('\\') {
        return Err(Error::invalid(
            "attrs.loginName",
            "must not contain a backslash: it parts domain and name",
        ));
    }
    Ok(())
}

/// What is kept must not be as long as a request may be.
pub(super) fn check_length(field: &str, text: &str) -> Result<(), Error> {
    if text.chars().count() > MOST_CHARS {
        return Err(Error::invalid(field, &format!("must have at most {MOST_CHARS} characters")));
    }
    Ok(())
}

/// Free text must fit on a line.
pub(super) fn check_text(field: &str, text: &str) -> Result<(), Error> {
    check_length(field, text)?;
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(field, "must not contain control characters"));
    }
    Ok(())
}
