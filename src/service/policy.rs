//! Policies: what verification is run with, for the server, a product or a token. A change makes a new version; the
//! audit rows of decisions name the one that was in force.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::error::{Error, Kind};
use super::inventory::Selector;
use crate::access::Caller;
use crate::model::id::{ProductId, TokenId};
use crate::otp::policy::Policy;
use crate::otp::policy::settings::{self, Overrides, SETTINGS, Setting, Value};
use crate::store::policies::{Level, PolicyVersion, read_value};
use crate::store::{Reader, Store, objects};

/// Most versions that are shown at once.
pub const MOST_VERSIONS: u32 = 1000;
/// So many if nothing is said.
const VERSIONS: u32 = 100;

/// What a policy is for: the server if neither is named.
pub struct Target {
    /// The tokens of a product.
    pub product: Option<Selector>,
    /// One token.
    pub token: Option<Selector>,
}

/// What is in force for something, or was.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PolicyShown {
    /// The version that this is about: what is in force as the audit log names it.
    version: i64,
    /// `server`, `product` or `token`.
    level: &'static str,
    /// Every setting with the value that holds.
    settings: Map<String, Json>,
    /// The settings that this level itself says.
    own: Map<String, Json>,
    /// The version in which this level was last changed; null if it never was.
    changed: Option<i64>,
}

/// The version that a change has made.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PolicyMade {
    /// Its number.
    version: i64,
}

/// The versions of one level.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PolicyVersions {
    /// Number of rows.
    total: usize,
    /// Newest first.
    rows: Vec<VersionShown>,
}

/// One version.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct VersionShown {
    /// Its number.
    version: i64,
    /// The settings that the level said from then on.
    own: Map<String, Json>,
    /// Who has made it.
    operator: String,
    /// When.
    #[serde(rename = "dateCreated")]
    date_created: String,
}

/// Shows what is in force, or what was at a version.
///
/// # Errors
/// The not-found kinds; [`Kind::Invalid`] for a version that there is not.
pub async fn get(store: &Store, target: Target, version: Option<i64>) -> Result<Json, Error> {
    store
        .read(move |reader| {
            let levels = target.levels(reader)?;
            let newest = reader.newest_policy()?;
            let version = version.unwrap_or(newest);
            if !(1..=newest).contains(&version) {
                let text = format!("`version` must be one from 1 to {newest}");
                return Err(Error::new(Kind::Invalid, text));
            }
            let own = match levels.last() {
                Some(level) => reader.policy_at(*level, version)?,
                None => None,
            };
            let policy = reader.merged(&levels, version)?;
            let shown = PolicyShown {
                version,
                level: ["server", "product", "token"].get(levels.len() - 1).copied().unwrap_or_default(),
                settings: map(&Overrides::from(&policy)),
                own: own.as_ref().map(|own| map(&own.says)).unwrap_or_default(),
                changed: own.map(|own| own.version),
            };
            Ok(json!(shown))
        })
        .await
}

/// Shows the versions of a level, newest first.
///
/// # Errors
/// The not-found kinds.
pub async fn search(store: &Store, target: Target, max: Option<u32>) -> Result<Json, Error> {
    let most = max.unwrap_or(VERSIONS);
    if most > MOST_VERSIONS {
        return Err(Error::invalid("max", &format!("may be at most {MOST_VERSIONS}")));
    }
    store
        .read(move |reader| {
            let levels = target.levels(reader)?;
            let level = levels.last().copied().unwrap_or(Level::Server);
            let rows: Vec<_> =
                reader.policy_versions(level, most)?.into_iter().map(VersionShown::from).collect();
            Ok::<_, Error>(json!(PolicyVersions { total: rows.len(), rows }))
        })
        .await
}

/// Changes settings of a level; `null` leaves one to the level above.
///
/// # Errors
/// [`Kind::Invalid`] names a setting that is unknown, out of range or at odds with another.
pub async fn set(
    store: &Store,
    caller: &Caller,
    target: Target,
    changes: Map<String, Json>,
) -> Result<Json, Error> {
    let changes =
        changes.into_iter().map(|(name, value)| change(&name, &value)).collect::<Result<Vec<_>, _>>()?;
    if changes.is_empty() {
        return Err(Error::invalid("attrs", "must name at least one setting"));
    }
    let caller = caller.clone();
    let version = store
        .write(move |tx| {
            let levels = target.levels(tx.reader())?;
            let level = levels.last().copied().unwrap_or(Level::Server);
            let mut says = tx.reader().policy_at(level, i64::MAX)?.map(|own| own.says).unwrap_or_default();
            for (setting, value) in &changes {
                match (value, level) {
                    (Some(value), _) => put(&mut says, setting, *value)?,
                    // Above the server is this program.
                    (None, Level::Server) => put(&mut says, setting, setting.of(&Policy::default()))?,
                    (None, _) => says.clear(setting),
                }
            }
            let version = tx.insert_policy(level, &says, &caller.name)?;
            for (_, policy) in tx.reader().policies()?.all() {
                settings::check_together(policy)
                    .map_err(|(name, problem)| Error::invalid(&format!("attrs.{name}"), problem))?;
            }
            let mut entry = caller.did("policy/set");
            if let Level::Token(token) = level {
                entry.token = Some(token);
            }
            entry.detail = described(level, version, &changes);
            tx.audit(entry);
            Ok::<_, Error>(version)
        })
        .await?;
    Ok(json!(PolicyMade { version }))
}

impl Target {
    /// The levels that count for it, the one that is named last.
    fn levels(&self, reader: &Reader<'_>) -> Result<Vec<Level>, Error> {
        match (&self.product, &self.token) {
            (None, None) => Ok(vec![Level::Server]),
            (Some(product), None) => {
                let product = ProductId(product.find(reader, &objects::PRODUCT)?);
                Ok(vec![Level::Server, Level::Product(product)])
            }
            (None, Some(token)) => {
                let token = TokenId(token.find(reader, &objects::TOKEN)?);
                let product = reader.product_of(token)?;
                Ok(vec![Level::Server, Level::Product(product), Level::Token(token)])
            }
            (Some(_), Some(_)) => Err(Error::invalid("product", "and `token` must not both be given")),
        }
    }
}

impl From<PolicyVersion> for VersionShown {
    fn from(version: PolicyVersion) -> Self {
        Self {
            version: version.version,
            own: map(&version.says),
            operator: version.operator,
            date_created: objects::iso(version.at),
        }
    }
}

type Change = (&'static Setting, Option<Value>);

fn change(name: &str, value: &Json) -> Result<Change, Error> {
    let field = format!("attrs.{name}");
    let setting = Setting::find(name).ok_or_else(|| Error::invalid(&field, "is no setting of a policy"))?;
    if value.is_null() {
        return Ok((setting, None));
    }
    let value = read_value(setting, value).filter(|value| setting.range.holds(*value));
    let refused = || Error::invalid(&field, &format!("must be {}", setting.range.in_words()));
    Ok((setting, Some(value.ok_or_else(refused)?)))
}

fn put(says: &mut Overrides, setting: &'static Setting, value: Value) -> Result<(), Error> {
    let refused = || Error::invalid(&format!("attrs.{}", setting.name), "is out of range");
    says.set(setting, value).then_some(()).ok_or_else(refused)
}

/// What was changed, for the audit log. No setting is a secret.
fn described(level: Level, version: i64, changes: &[Change]) -> String {
    let whose = match level {
        Level::Server => "server".to_owned(),
        Level::Product(product) => product.to_string(),
        Level::Token(token) => token.to_string(),
    };
    let changes: Vec<String> = changes
        .iter()
        .map(|(setting, value)| {
            format!(
                "{} {}",
                setting.name,
                value.map_or_else(|| "default".to_owned(), |v| wire(v).to_string())
            )
        })
        .collect();
    format!("policy {version} of {whose}: {}", changes.join(", "))
}

fn wire(value: Value) -> Json {
    match value {
        Value::Number(number) => number.into(),
        Value::Flag(flag) => flag.into(),
        Value::Word(word) => word.into(),
    }
}

/// In the order of the documentation, as far as a JSON object has one.
fn map(says: &Overrides) -> Map<String, Json> {
    let value_of = |setting: &Setting| says.iter().find(|(name, _)| *name == setting.name);
    SETTINGS
        .iter()
        .filter_map(|setting| value_of(setting).map(|(name, value)| (name.to_owned(), wire(value))))
        .collect()
}
