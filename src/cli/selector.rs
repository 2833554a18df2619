//! How objects are named on the command line, and the selectors of the API made of that.

use std::str::FromStr;

use serde_json::{Value, json};

/// A user, written `DOMAIN\LOGIN`, or `DOMAIN/LOGIN` where a backslash is hard to type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    domain: String,
    login: String,
}

impl User {
    /// The selector of the API.
    #[must_use]
    pub fn selector(&self) -> Value {
        json!({ "domain": { "name": self.domain }, "loginName": self.login })
    }

    /// The name of the domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The name in that domain.
    #[must_use]
    pub fn login(&self) -> &str {
        &self.login
    }
}

/// A text names no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseSelectorError {
    /// Not a user.
    #[error("a user is written DOMAIN\\LOGIN, for example 'acme\\alice'")]
    User,
    /// Not a product.
    #[error("a product is written MANUFACTURER/CODE, for example DN/ST")]
    Product,
}

impl FromStr for User {
    type Err = ParseSelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('\\').or_else(|| text.split_once('/'));
        match parts {
            Some((domain, login)) if !domain.is_empty() && !login.is_empty() => {
                Ok(Self { domain: domain.to_owned(), login: login.to_owned() })
            }
            _ => Err(ParseSelectorError::User),
        }
    }
}

/// A product, written `MANUFACTURER/CODE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    manufacturer: String,
    code: String,
}

impl Product {
    /// The selector of the API.
    #[must_use]
    pub fn selector(&self) -> Value {
        json!({ "manufacturerCode": self.manufacturer, "productCode": self.code })
    }
}

impl FromStr for Product {
    type Err = ParseSelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((manufacturer, code)) if !manufacturer.is_empty() && !code.is_empty() => {
                Ok(Self { manufacturer: manufacturer.to_owned(), code: code.to_owned() })
            }
            _ => Err(ParseSelectorError::Product),
        }
    }
}

/// A token, by its serial.
#[must_use]
pub fn token(serial: &str) -> Value {
    json!({ "serial": serial })
}

/// An object by its name, for example a repository.
#[must_use]
pub fn named(name: &str) -> Value {
    json!({ "name": name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_domain_and_login() {
        let selector = json!({"domain": {"name": "acme"}, "loginName": "alice"});
        for text in ["acme\\alice", "acme/alice"] {
            assert_eq!(text.parse::<User>().unwrap().selector(), selector);
        }
        let odd: User = "a/b\\c@d".parse().unwrap();
        assert_eq!((odd.domain(), odd.login()), ("a/b", "c@d"));
        for text in ["alice", "\\alice", "acme\\", "", "/"] {
            assert_eq!(text.parse::<User>(), Err(ParseSelectorError::User), "{text}");
        }
    }

    #[test]
    fn a_product_is_its_two_codes() {
        let selector = json!({"manufacturerCode": "DN", "productCode": "ST"});
        assert_eq!("DN/ST".parse::<Product>().unwrap().selector(), selector);
        for text in ["DN", "DN/", "/ST", ""] {
            assert_eq!(text.parse::<Product>(), Err(ParseSelectorError::Product), "{text}");
        }
    }
}
