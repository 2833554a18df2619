//! Devices and provisioning jobs.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretText;
use crate::rpc::schemas::Secret;
use crate::service::inventory::Selector;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::rpc) struct DeviceSlots {
    /// Id of the device, such as `ykoath:12345678`.
    pub(in crate::rpc) device: String,
    /// The access code of the device, if it asks for one.
    #[schemars(with = "Option<Secret>")]
    pub(in crate::rpc) access_code: Option<SecretText>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::rpc) struct DeviceProgram {
    /// Id of the device, such as `ykoath:12345678`.
    pub(in crate::rpc) device: String,
    /// Slot to write; the driver's choice if absent.
    pub(in crate::rpc) slot: Option<String>,
    /// The token to program. It or `product` must be given.
    pub(in crate::rpc) token: Option<Selector>,
    /// Make a new token of this model.
    pub(in crate::rpc) product: Option<Selector>,
    /// More about the token.
    #[serde(default)]
    pub(in crate::rpc) attrs: ProgramAttrs,
    /// Seconds to wait for the end of the job, 0 to 60.
    #[serde(default)]
    pub(in crate::rpc) wait: f64,
    /// The access code of the device, if it asks for one.
    #[schemars(with = "Option<Secret>")]
    pub(in crate::rpc) access_code: Option<SecretText>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct ProgramAttrs {
    /// The PIN of that user for it, 1 to 64 characters; needs `user`.
    #[schemars(with = "Option<Secret>")]
    pub(in crate::rpc) pin: Option<SecretText>,
    /// Who gets the token; nobody if absent.
    pub(in crate::rpc) user: Option<Selector>,
    /// Stock of a new token; the default one if absent.
    pub(in crate::rpc) repository: Option<Selector>,
    /// Whether each passcode needs a touch of the device.
    #[serde(default)]
    pub(in crate::rpc) touch: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::rpc) struct DeviceCalculate {
    /// Id of the device, such as `ykoath:12345678`.
    pub(in crate::rpc) device: String,
    /// Slot of the device.
    pub(in crate::rpc) slot: String,
    /// Seconds since the Unix epoch.
    pub(in crate::rpc) time: Option<i64>,
    /// The access code of the device, if it asks for one.
    #[schemars(with = "Option<Secret>")]
    pub(in crate::rpc) access_code: Option<SecretText>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::rpc) struct DeviceErase {
    /// Id of the device, such as `ykoath:12345678`.
    pub(in crate::rpc) device: String,
    /// Slot of the device.
    pub(in crate::rpc) slot: String,
    /// The access code of the device, if it asks for one.
    #[schemars(with = "Option<Secret>")]
    pub(in crate::rpc) access_code: Option<SecretText>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct JobGet {
    /// Id of the job, `j` and a number.
    pub(in crate::rpc) job: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct JobConfirm {
    /// Id of the job, `j` and a number.
    pub(in crate::rpc) job: String,
    /// A passcode of the new credential, read off the device.
    #[schemars(with = "Secret")]
    pub(in crate::rpc) passcode: SecretText,
}
