//! Parameters of `key/*`.

use schemars::JsonSchema;
use serde::Deserialize;

/// `key/status`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct KeyStatus {}

/// `key/rotate`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct KeyRotate {
    /// File on the server with the next master key, where the server may not write its own: it goes on once it is
    /// started with this one.
    #[serde(rename = "newKeyFile")]
    pub(in crate::rpc) new_key_file: Option<String>,
    /// Gives up a change that waits for such a start instead.
    #[serde(default)]
    pub(in crate::rpc) abandon: bool,
}
