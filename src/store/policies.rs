//! Policies: what verification is run with, by server, product and token, in versions.
//!
//! One row per change, numbered across all levels; the newest row of a level is in force and says only what differs
//! from the level above. So one number names a policy for good: what was in force for some token at version 12 are the
//! newest rows of its three levels that are not newer than 12. The writer keeps all that is in force in memory
//! ([`Policies`]) and reads it again after a change, in the same commit: SQLite tells it of rows of this table.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, Row};
use serde_json::{Map, Value as Json};

use super::{Reader, StoreError, Tx};
use crate::model::id::{ProductId, TokenId};
use crate::otp::policy::Policy;
use crate::otp::policy::settings::{Overrides, Range, Setting, Value};
use crate::otp::time::Timestamp;

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Everything.
    Server,
    /// The tokens of a product.
    Product(ProductId),
    /// One token.
    Token(TokenId),
}

impl Level {
    /// The columns `product_id` and `token_id`.
    fn columns(self) -> (Option<i64>, Option<i64>) {
        match self {
            Self::Server => (None, None),
            Self::Product(id) => (Some(id.0), None),
            Self::Token(id) => (None, Some(id.0)),
        }
    }
}

/// One version of the policy of a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Its number.
    pub version: i64,
    /// What it says.
    pub says: Overrides,
    /// Who has made it.
    pub operator: String,
    /// When.
    pub at: Timestamp,
}

/// All that is in force.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// The newest version of all.
    version: i64,
    server: Arc<Policy>,
    products: HashMap<ProductId, Arc<Policy>>,
    tokens: HashMap<TokenId, Arc<Policy>>,
}

impl Policies {
    /// How an audit row names what is in force now.
    #[must_use]
    pub fn name(&self) -> String {
        format!("policy {}", self.version)
    }

    /// The policy of the server: for users and sources, which have none of their own.
    #[must_use]
    pub fn server(&self) -> &Arc<Policy> {
        &self.server
    }

    /// The policy of a token.
    #[must_use]
    pub fn of(&self, token: TokenId, product: ProductId) -> &Arc<Policy> {
        let own = if self.tokens.is_empty() { None } else { self.tokens.get(&token) };
        own.or_else(|| self.products.get(&product)).unwrap_or(&self.server)
    }

    /// Everything that is in force, with what it is for.
    pub fn all(&self) -> impl Iterator<Item = (Level, &Policy)> {
        let products = self.products.iter().map(|(id, policy)| (Level::Product(*id), &**policy));
        let tokens = self.tokens.iter().map(|(id, policy)| (Level::Token(*id), &**policy));
        std::iter::once((Level::Server, &*self.server)).chain(products).chain(tokens)
    }
}

impl Tx<'_> {
    /// Writes the defaults of this program down as the first version, if there is none: another program may have
    /// others, and what decided must stay readable.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn add_first_policy(&self) -> Result<(), StoreError> {
        if self.reader().newest_policy()? == 0 {
            self.insert_policy(Level::Server, &Overrides::from(&Policy::default()), "")?;
        }
        Ok(())
    }

    /// Makes a new version of the policy of a level.
    ///
    /// # Errors
    /// [`StoreError::Narrowed`] for a caller who does not see all that it is for.
    pub fn insert_policy(&self, level: Level, says: &Overrides, operator: &str) -> Result<i64, StoreError> {
        match level {
            Level::Token(token) => self.guard(token)?,
            Level::Server | Level::Product(_) if self.reader.scope.is_all() => {}
            Level::Server | Level::Product(_) => return Err(StoreError::Narrowed("policy")),
        }
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO policies (product_id, token_id, settings, operator, created_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let (product, token) = level.columns();
        let at = self.now().as_millis();
        Ok(insert.insert((product, token, to_json(says).to_string(), operator, at))?)
    }
}

impl Reader<'_> {
    /// All that is in force.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn policies(&self) -> Result<Policies, StoreError> {
        load(self.connection)
    }

    /// The newest version of all: the one that names what is in force.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn newest_policy(&self) -> Result<i64, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT coalesce(max(version), 0) FROM policies")?;
        Ok(select.query_row([], |row| row.get(0))?)
    }

    /// What a level said at a version; nothing if it has never said anything by then.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn policy_at(&self, level: Level, version: i64) -> Result<Option<PolicyVersion>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT version, settings, operator, created_ms FROM policies
             WHERE product_id IS ?1 AND token_id IS ?2 AND version <= ?3 ORDER BY version DESC LIMIT 1",
        )?;
        let (product, token) = level.columns();
        Ok(select.query_row((product, token, version), read_version).optional()?)
    }

    /// The versions of a level, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn policy_versions(&self, level: Level, most: u32) -> Result<Vec<PolicyVersion>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT version, settings, operator, created_ms FROM policies
             WHERE product_id IS ?1 AND token_id IS ?2 ORDER BY version DESC LIMIT ?3",
        )?;
        let (product, token) = level.columns();
        let found = select.query_map((product, token, most), read_version)?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// The policy of a token, as it is now.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such token.
    pub fn policy_of(&self, token: TokenId) -> Result<Policy, StoreError> {
        let product = self.product_of(token)?;
        self.merged(&[Level::Server, Level::Product(product), Level::Token(token)], i64::MAX)
    }

    /// What these levels together said at a version, the first one first.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn merged(&self, levels: &[Level], version: i64) -> Result<Policy, StoreError> {
        let mut policy = Policy::default();
        for level in levels {
            if let Some(found) = self.policy_at(*level, version)? {
                found.says.apply(&mut policy);
            }
        }
        Ok(policy)
    }
}

/// Reads all that is in force.
pub(super) fn load(connection: &rusqlite::Connection) -> Result<Policies, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT p.product_id, p.token_id, p.settings, t.product_id FROM policies p LEFT JOIN tokens t ON t.id = p.token_id
         WHERE p.version IN (SELECT max(version) FROM policies GROUP BY product_id, token_id)
         AND (p.token_id IS NULL OR t.id IS NOT NULL)
         ORDER BY p.token_id IS NOT NULL, p.product_id IS NOT NULL",
    )?;
    let newest: i64 =
        connection.query_row("SELECT coalesce(max(version), 0) FROM policies", [], |row| row.get(0))?;
    let mut policies = Policies { version: newest, ..Policies::default() };
    // The server comes first, then the products, then the tokens: each finds the level above.
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let says = from_json(&row.get::<_, String>(2)?);
        if says.is_empty() {
            continue;
        }
        match (row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?) {
            (_, Some(token)) => {
                let product = ProductId(row.get(3)?);
                let mut policy = Policy::clone(policies.products.get(&product).unwrap_or(&policies.server));
                says.apply(&mut policy);
                policies.tokens.insert(TokenId(token), Arc::new(policy));
            }
            (Some(product), None) => {
                let mut policy = Policy::clone(&policies.server);
                says.apply(&mut policy);
                policies.products.insert(ProductId(product), Arc::new(policy));
            }
            (None, None) => {
                let mut policy = Policy::default();
                says.apply(&mut policy);
                policies.server = Arc::new(policy);
            }
        }
    }
    Ok(policies)
}

fn read_version(row: &Row<'_>) -> rusqlite::Result<PolicyVersion> {
    Ok(PolicyVersion {
        version: row.get(0)?,
        says: from_json(&row.get::<_, String>(1)?),
        operator: row.get(2)?,
        at: Timestamp::from_millis(row.get(3)?),
    })
}

fn to_json(says: &Overrides) -> Json {
    let member = |(name, value): (&str, Value)| {
        let value = match value {
            Value::Number(number) => number.into(),
            Value::Flag(flag) => flag.into(),
            Value::Word(word) => word.into(),
        };
        (name.to_owned(), value)
    };
    Json::Object(says.iter().map(member).collect())
}

/// What another version of this program has written may have names that this one does not know, or values that it
/// would not take: those are left to the level above.
fn from_json(text: &str) -> Overrides {
    let mut says = Overrides::default();
    for (name, value) in serde_json::from_str::<Map<String, Json>>(text).unwrap_or_default() {
        let known = Setting::find(&name).zip(Setting::find(&name).and_then(|s| read_value(s, &value)));
        if !known.is_some_and(|(setting, value)| says.set(setting, value)) {
            tracing::warn!(setting = name, "a setting of a policy is not known, or out of range: not used");
        }
    }
    says
}

/// Reads the value of a setting. `None` if it has the wrong type; its range is not looked at.
#[must_use]
pub fn read_value(setting: &Setting, value: &Json) -> Option<Value> {
    match (setting.range, value) {
        (Range::Number(..), Json::Number(number)) => {
            Some(Value::Number(u32::try_from(number.as_u64()?).ok()?))
        }
        (Range::Flag, Json::Bool(flag)) => Some(Value::Flag(*flag)),
        (Range::Words(words), Json::String(text)) => {
            words.iter().find(|word| **word == text.as_str()).map(|word| Value::Word(word))
        }
        _ => None,
    }
}
