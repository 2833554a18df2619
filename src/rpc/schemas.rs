//! JSON Schemas of what the parameters of many methods share, where no derived one would say enough: selectors,
//! secrets, `return` and `match`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::service::inventory::Selector;

impl JsonSchema for Selector {
    fn schema_name() -> Cow<'static, str> {
        "Selector".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Names one object: its id as text, or an object of attributes that together fit only it. \
                            Attributes of linked objects are nested or dotted: `{\"domain.name\": \"example.com\", \
                            \"loginName\": \"john.smith\"}`.",
            "anyOf": [{ "type": "string" }, { "type": "object", "minProperties": 1 }],
        })
    }
}

/// A schema without a Rust value.
macro_rules! form {
    ($(#[$doc:meta])* $name:ident $schema:tt) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

form! {
    /// A text that is never shown again.
    Secret {
        "description": "A secret text: never logged, never shown.",
        "type": "string",
        "format": "password",
    }
}

form! {
    /// The same, or `null` for none.
    SecretOrNull {
        "description": "A secret text, or null for none.",
        "type": ["string", "null"],
        "format": "password",
    }
}

form! {
    /// A `return` list.
    Return {
        "description": "What to show: names of attributes, dotted through links (`product.name`); `*` for all simple \
                        attributes; `{\"product\": [\"id\", \"name\"]}` for parts of a linked object; \
                        `{\"users\": [{\"elements\": [\"loginName\"]}]}` for a collection, of which at most 100 \
                        elements are shown. Empty means the id.",
        "type": "array",
        "items": { "type": ["string", "object"] },
    }
}

form! {
    /// A `match` list.
    Match {
        "description": "Comparisons that must all hold, each as `[attribute, operator, value]`. Operators: `=`, `!=`, \
                        `<`, `<=`, `>`, `>=`, `like` (`%` and `_` are wildcards, `\\` escapes them), `in` (the value \
                        is a list).",
        "type": "array",
        "items": {
            "type": "array",
            "prefixItems": [{ "type": "string" }, { "enum": ["=", "!=", "<", "<=", ">", ">=", "like", "in"] }, true],
            "minItems": 3,
            "maxItems": 3,
        },
    }
}
