//! Parameters of `policy/*`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::otp::policy::Policy;
use crate::otp::policy::settings::{Range, SETTINGS, Setting, Value};
use crate::service::inventory::Selector;

/// `policy/get`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct PolicyGet {
    /// What holds for the tokens of this product.
    pub(in crate::rpc) product: Option<Selector>,
    /// What holds for this token. Without it and `product`: for the server.
    pub(in crate::rpc) token: Option<Selector>,
    /// As it was at this version; as it is now if absent.
    pub(in crate::rpc) version: Option<i64>,
}

/// `policy/search`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct PolicySearch {
    /// The versions of this product's policy.
    pub(in crate::rpc) product: Option<Selector>,
    /// The versions of this token's policy. Without it and `product`: of the server's.
    pub(in crate::rpc) token: Option<Selector>,
    /// Most rows of the answer, at most 1000; 100 if absent.
    pub(in crate::rpc) max: Option<u32>,
}

/// `policy/set`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct PolicySet {
    /// For the tokens of this product.
    pub(in crate::rpc) product: Option<Selector>,
    /// For this token. Without it and `product`: for the server.
    pub(in crate::rpc) token: Option<Selector>,
    /// The settings to change; null leaves one to the level above: to the product, the server, this program.
    pub(in crate::rpc) attrs: PolicyAttrs,
}

/// Settings with their values. The service reads them, by the one table of settings.
#[derive(Deserialize)]
pub(in crate::rpc) struct PolicyAttrs(pub(in crate::rpc) Map<String, Json>);

impl JsonSchema for PolicyAttrs {
    fn schema_name() -> Cow<'static, str> {
        "PolicyAttrs".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let defaults = Policy::default();
        let member = |setting: &Setting| {
            let mut schema = match setting.range {
                Range::Number(least, most) => {
                    json!({ "type": ["integer", "null"], "minimum": least, "maximum": most })
                }
                Range::Flag => json!({ "type": ["boolean", "null"] }),
                Range::Words(words) => {
                    let words = words.iter().map(|word| Json::from(*word));
                    json!({ "enum": words.chain([Json::Null]).collect::<Vec<_>>() })
                }
            };
            let (unit, default) = match setting.of(&defaults) {
                Value::Number(number) => (format!(" In {}.", setting.unit), number.to_string()),
                Value::Flag(flag) => (String::new(), flag.to_string()),
                Value::Word(word) => (String::new(), format!("`{word}`")),
            };
            schema["description"] = format!("{}{unit} Default {default}.", setting.about).into();
            (setting.name.to_owned(), schema)
        };
        let members: Map<String, Json> = SETTINGS.iter().map(member).collect();
        json_schema!({ "type": "object", "properties": members, "additionalProperties": false })
    }
}
