//! Domains, users, products, repositories.

use super::super::params::{
    Create, DomainAttrs, DomainDelete, DomainGet, DomainSet, ProductAttrs, ProductClocks, ProductDelete,
    ProductGet, ProductSet, RepositoryAttrs, RepositoryDelete, RepositoryGet, RepositorySet, SearchParams,
    UserAttrs, UserDelete, UserGet, UserSet,
};
use super::super::{Context, Reply};
use super::{get, search};
use crate::model::id::DomainId;
use crate::model::status::UserStatus;
use crate::otp::algorithm::Algorithm;
use crate::otp::credential::{Kind, Parameters};
use crate::otp::passcode::Digits;
use crate::otp::totp::TimeStep;
use crate::service::error::Error;
use crate::service::set::{self, RepositoryChange};
use crate::service::{clock, create, delete};
use crate::store::catalogue::{NewProduct, ProductChanges};
use crate::store::directory::{DomainChanges, NewDomain, NewUser, UserChanges};
use crate::store::objects;

pub(in crate::rpc) async fn create_domain(cx: Context, params: Create<DomainAttrs>) -> Result<Reply, Error> {
    let domain = NewDomain { name: params.attrs.name, description: params.attrs.description };
    Ok(Reply::Result(create::domain(&cx.app.store, &cx.caller, domain, params.wanted).await?))
}

pub(in crate::rpc) async fn search_domains(cx: Context, params: SearchParams) -> Result<Reply, Error> {
    search(cx, &objects::DOMAIN, params).await
}

pub(in crate::rpc) async fn create_user(cx: Context, params: Create<UserAttrs>) -> Result<Reply, Error> {
    let attrs = params.attrs;
    let status = attrs.status.as_deref().map_or(Ok(UserStatus::Active), user_status)?;
    let user = NewUser {
        // Found by its selector in the same commit.
        domain: DomainId(0),
        login_name: attrs.login_name,
        first_name: attrs.first_name,
        last_name: attrs.last_name,
        email: attrs.email,
        mobile: attrs.mobile,
        telephone: attrs.telephone,
        principal_name: attrs.user_principal_name,
        status,
    };
    Ok(Reply::Result(create::user(&cx.app.store, &cx.caller, attrs.domain, user, params.wanted).await?))
}

pub(in crate::rpc) async fn search_users(cx: Context, params: SearchParams) -> Result<Reply, Error> {
    search(cx, &objects::USER, params).await
}

pub(in crate::rpc) async fn create_product(
    cx: Context,
    params: Create<ProductAttrs>,
) -> Result<Reply, Error> {
    let attrs = params.attrs;
    let parameters = parameters(&attrs.algorithm, &attrs.hash, attrs.digits, attrs.timer)?;
    let product = NewProduct {
        name: attrs.name,
        manufacturer_code: attrs.manufacturer_code,
        product_code: attrs.product_code,
        parameters,
        driver: attrs.driver,
        software: attrs.software,
    };
    Ok(Reply::Result(create::product(&cx.app.store, &cx.caller, product, params.wanted).await?))
}

fn parameters(algorithm: &str, hash: &str, digits: u8, timer: Option<u32>) -> Result<Parameters, Error> {
    Ok(Parameters {
        kind: kind(algorithm, timer)?,
        algorithm: hash_function(hash)?,
        digits: digits_of(digits)?,
    })
}

pub(super) fn hash_function(name: &str) -> Result<Algorithm, Error> {
    Algorithm::parse(name).map_err(|_| Error::invalid("attrs.hash", "must be SHA1, SHA256 or SHA512"))
}

pub(super) fn digits_of(number: u8) -> Result<Digits, Error> {
    Digits::new(number).map_err(|_| Error::invalid("attrs.digits", "must be 6 to 10"))
}

pub(super) fn kind(algorithm: &str, timer: Option<u32>) -> Result<Kind, Error> {
    match (algorithm, timer) {
        ("OATH HOTP", None) => Ok(Kind::Hotp),
        ("OATH HOTP", Some(_)) => Err(Error::invalid("attrs.timer", "belongs to OATH TOTP")),
        ("OATH TOTP", timer) => {
            let time_step = TimeStep::from_secs(timer.unwrap_or(30))
                .map_err(|_| Error::invalid("attrs.timer", "must be at least 1 second"))?;
            Ok(Kind::Totp { time_step })
        }
        _ => Err(Error::invalid("attrs.algorithm", "must be `OATH HOTP` or `OATH TOTP`")),
    }
}

pub(in crate::rpc) async fn search_products(cx: Context, params: SearchParams) -> Result<Reply, Error> {
    search(cx, &objects::PRODUCT, params).await
}

pub(in crate::rpc) async fn create_repository(
    cx: Context,
    params: Create<RepositoryAttrs>,
) -> Result<Reply, Error> {
    let RepositoryAttrs { name, description, parent } = params.attrs;
    let made =
        create::repository(&cx.app.store, &cx.caller, name, description, parent, params.wanted).await?;
    Ok(Reply::Result(made))
}

pub(in crate::rpc) async fn search_repositories(cx: Context, params: SearchParams) -> Result<Reply, Error> {
    search(cx, &objects::REPOSITORY, params).await
}

pub(in crate::rpc) async fn get_domain(cx: Context, params: DomainGet) -> Result<Reply, Error> {
    get(cx, &objects::DOMAIN, params.which()?).await
}

pub(in crate::rpc) async fn delete_domain(cx: Context, params: DomainDelete) -> Result<Reply, Error> {
    delete::domain(&cx.app.store, &cx.caller, params.which()?).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn get_user(cx: Context, params: UserGet) -> Result<Reply, Error> {
    get(cx, &objects::USER, params.which()?).await
}

pub(in crate::rpc) async fn delete_user(cx: Context, params: UserDelete) -> Result<Reply, Error> {
    delete::user(&cx.app.store, &cx.caller, params.which()?).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn get_product(cx: Context, params: ProductGet) -> Result<Reply, Error> {
    get(cx, &objects::PRODUCT, params.which()?).await
}

pub(in crate::rpc) async fn product_clocks(cx: Context, params: ProductClocks) -> Result<Reply, Error> {
    Ok(Reply::Result(clock::survey(&cx.app.store, params.product).await?))
}

pub(in crate::rpc) async fn delete_product(cx: Context, params: ProductDelete) -> Result<Reply, Error> {
    delete::product(&cx.app.store, &cx.caller, params.which()?).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn get_repository(cx: Context, params: RepositoryGet) -> Result<Reply, Error> {
    get(cx, &objects::REPOSITORY, params.which()?).await
}

pub(in crate::rpc) async fn delete_repository(cx: Context, params: RepositoryDelete) -> Result<Reply, Error> {
    delete::repository(&cx.app.store, &cx.caller, params.which()?).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn set_domain(cx: Context, params: DomainSet) -> Result<Reply, Error> {
    let (domain, attrs) = params.which()?;
    let changes = DomainChanges { name: attrs.name, description: attrs.description };
    set::domain(&cx.app.store, &cx.caller, domain, changes).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn set_user(cx: Context, params: UserSet) -> Result<Reply, Error> {
    let (user, attrs) = params.which()?;
    let changes = UserChanges {
        login_name: attrs.login_name,
        first_name: attrs.first_name,
        last_name: attrs.last_name,
        email: attrs.email,
        mobile: attrs.mobile,
        telephone: attrs.telephone,
        principal_name: attrs.user_principal_name,
        status: attrs.status.as_deref().map(user_status).transpose()?,
    };
    set::user(&cx.app.store, &cx.caller, user, changes).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn set_product(cx: Context, params: ProductSet) -> Result<Reply, Error> {
    let (product, attrs) = params.which()?;
    let parameters = match (&attrs.algorithm, &attrs.hash, attrs.digits, attrs.timer) {
        (None, None, None, None) => None,
        (Some(algorithm), hash, digits, timer) => {
            Some(parameters(algorithm, hash.as_deref().unwrap_or("SHA1"), digits.unwrap_or(6), timer)?)
        }
        _ => {
            return Err(Error::invalid(
                "attrs.algorithm",
                "must be given with hash, digits and timer: they go together",
            ));
        }
    };
    let changes = ProductChanges { name: attrs.name, driver: attrs.driver, parameters };
    set::product(&cx.app.store, &cx.caller, product, changes).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn set_repository(cx: Context, params: RepositorySet) -> Result<Reply, Error> {
    let (repository, attrs) = params.which()?;
    let change = RepositoryChange { name: attrs.name, description: attrs.description, parent: attrs.parent };
    set::repository(&cx.app.store, &cx.caller, repository, change).await?;
    Ok(Reply::Done)
}

fn user_status(text: &str) -> Result<UserStatus, Error> {
    UserStatus::parse(text)
        .ok_or_else(|| Error::invalid("attrs.status", "must be ACTIVE, INACTIVE, LOCKED or DISABLED"))
}
