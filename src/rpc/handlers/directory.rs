//! Domains, users, products, repositories.

use super::super::params::{Create, DomainAttrs, ProductAttrs, RepositoryAttrs, SearchParams, UserAttrs};
use super::super::{Context, Reply};
use super::search;
use crate::model::id::DomainId;
use crate::model::status::UserStatus;
use crate::otp::algorithm::Algorithm;
use crate::otp::credential::{Kind, Parameters};
use crate::otp::passcode::Digits;
use crate::otp::totp::TimeStep;
use crate::service::create;
use crate::service::error::Error;
use crate::store::catalogue::NewProduct;
use crate::store::directory::{NewDomain, NewUser};
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
    let status = match attrs.status {
        None => UserStatus::Active,
        Some(text) => UserStatus::parse(&text)
            .ok_or_else(|| Error::invalid("attrs.status", "must be ACTIVE, INACTIVE, LOCKED or DISABLED"))?,
    };
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
    let parameters = Parameters {
        kind: kind(&attrs.algorithm, attrs.timer)?,
        algorithm: Algorithm::parse(&attrs.hash)
            .map_err(|_| Error::invalid("attrs.hash", "must be SHA1, SHA256 or SHA512"))?,
        digits: Digits::new(attrs.digits).map_err(|_| Error::invalid("attrs.digits", "must be 6 to 10"))?,
    };
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

fn kind(algorithm: &str, timer: Option<u32>) -> Result<Kind, Error> {
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
