//! What devices, slots, jobs and handed-out secrets look like on the wire. Members that are `null` are not known or
//! do not apply. The schemas of the API are read from these types.

use schemars::JsonSchema;
use serde::Serialize;

/// A list that is shown whole.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct List<T> {
    /// Number of rows.
    total: usize,
    /// The rows.
    rows: Vec<T>,
}

impl<T> List<T> {
    /// A list of these rows.
    pub(super) fn of(rows: Vec<T>) -> Self {
        Self { total: rows.len(), rows }
    }
}

/// What is plugged in, and where nothing can be seen.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DevicesShown<'a> {
    /// Number of devices.
    pub(super) total: usize,
    /// The devices.
    pub(super) rows: Vec<DeviceShown<'a>>,
    /// The ways by which devices are reached.
    pub(super) buses: Vec<BusShown<'a>>,
}

/// A way by which devices are reached.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct BusShown<'a> {
    /// Its name, for example `pcsc`.
    pub(super) name: &'a str,
    /// Why nothing can be seen there; `null` if all is well.
    pub(super) error: Option<&'a str>,
}

/// A token, by its names.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TokenShown {
    /// Id of the token.
    pub(super) id: String,
    /// Its serial number.
    pub(super) serial: String,
}

/// A device that is plugged in.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DeviceShown<'a> {
    /// Its driver and serial number, such as `ykoath:12345678`.
    pub(super) id: String,
    /// Driver.
    pub(super) driver: &'a str,
    /// Serial number, once it has told one.
    pub(super) serial: Option<&'a str>,
    /// Who made it.
    pub(super) maker: Option<&'a str>,
    /// Its model.
    pub(super) model: Option<&'a str>,
    /// Version of its firmware.
    pub(super) firmware: Option<&'a str>,
    /// The bus by which its calls go, such as `pcsc`.
    pub(super) transport: &'a str,
    /// The workstation that lends the port; null for the server itself.
    pub(super) station: Option<&'a str>,
    /// Where it is plugged in on that bus, in the words of the system.
    pub(super) place: &'a str,
    /// `opening`, `ready`, `busy`, `locked` (it asks for its access code), `ambiguous` (two of one serial) or `failed`.
    pub(super) state: &'a str,
    /// Most credentials that it holds.
    pub(super) slots: Option<u16>,
    /// What it can do.
    pub(super) capabilities: Option<CapabilitiesShown<'a>>,
    /// Every way by which it is reached; the first one serves its calls.
    pub(super) interfaces: Vec<InterfaceShown<'a>>,
    /// Why it failed.
    pub(super) error: Option<&'a str>,
}

/// One of the ways by which a device is reached. Two interfaces of one USB key are one device.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct InterfaceShown<'a> {
    /// The bus, such as `pcsc`.
    pub(super) transport: &'a str,
    /// Where it is plugged in, in the words of the system.
    pub(super) place: &'a str,
    /// `hid`, `contact` (the card interface of a USB key is one) or `contactless`.
    pub(super) kind: Option<&'a str>,
    /// As that of a device.
    pub(super) state: &'a str,
    /// Why it failed.
    pub(super) error: Option<&'a str>,
}

/// What a device can do.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct CapabilitiesShown<'a> {
    /// Hash functions: `SHA1`, `SHA256`, `SHA512`.
    pub(super) algorithms: Vec<&'a str>,
    /// Lengths of passcodes.
    pub(super) digits: &'a [u8],
    /// Whether it does HOTP (RFC 4226).
    pub(super) hotp: bool,
    /// Whether it does TOTP (RFC 6238).
    pub(super) totp: bool,
    /// Whether it computes passcodes for the server; else it shows or types them to people, and a job asks for one.
    pub(super) calculate: bool,
    /// Whether that is true of TOTP only.
    pub(super) hotp_by_hand: bool,
    /// Whether it can ask for a touch.
    pub(super) touch: bool,
    /// Time steps of TOTP in seconds; empty if it takes any.
    pub(super) timers: &'a [u32],
    /// Whether it has a clock of its own, which programming sets.
    pub(super) clock: bool,
    /// The numbers of its slots; null if slots have names that the caller chooses.
    pub(super) numbers: Option<NumbersShown>,
}

/// The numbers of the slots of a device, as its maker counts them.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NumbersShown {
    /// First and last number that takes HOTP; null if there is none.
    pub(super) hotp: Option<(u8, u8)>,
    /// First and last number that takes TOTP; null if there is none.
    pub(super) totp: Option<(u8, u8)>,
}

/// A slot of a device.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct SlotShown<'a> {
    /// What the methods call it.
    pub(super) slot: String,
    /// What the device calls it.
    pub(super) name: String,
    /// `HOTP` or `TOTP`.
    #[serde(rename = "type")]
    pub(super) kind: Option<&'a str>,
    /// `SHA1`, `SHA256` or `SHA512`.
    pub(super) algorithm: Option<&'a str>,
    /// Digits of a passcode.
    pub(super) digits: Option<u8>,
    /// Time step of TOTP in seconds.
    pub(super) timer: Option<u32>,
    /// Whether each passcode needs a touch.
    pub(super) touch: Option<bool>,
    /// Whether it holds a credential.
    pub(super) in_use: bool,
    /// The token whose credential it holds; null if it is none of ours.
    pub(super) token: Option<TokenShown>,
}

/// A job.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct JobShown<'a> {
    /// Its id.
    pub(super) job: &'a str,
    /// `program` or `erase`.
    pub(super) action: &'a str,
    /// `reserved`, `writing`, `proving`, `awaiting_passcode`, `awaiting_touch`, `ready`, `undone` or `wipe_before_use`.
    pub(super) state: &'a str,
    /// The same.
    pub(super) step: &'a str,
    /// The device.
    pub(super) device: &'a str,
    /// The slot.
    pub(super) slot: &'a str,
    /// Its token.
    pub(super) token: Option<TokenShown>,
    /// Why it is not ready.
    pub(super) error: Option<&'a str>,
    /// Who started it.
    pub(super) operator: &'a str,
    /// When it was started.
    pub(super) date_created: &'a str,
    /// When its state last changed.
    pub(super) last_updated: &'a str,
}

/// What a device computed.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PasscodeShown<'a> {
    /// The passcode.
    pub passcode: &'a str,
}

/// The secret of a software token, handed out.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CredentialShown<'a> {
    /// Serial number of the token.
    pub(super) serial: String,
    /// `OATH HOTP` or `OATH TOTP`.
    pub(super) algorithm: &'a str,
    /// `SHA1`, `SHA256` or `SHA512`.
    pub(super) hash: &'a str,
    /// Digits of a passcode.
    pub(super) digits: u8,
    /// Time step of TOTP in seconds.
    pub(super) timer: Option<u32>,
    /// HOTP: the next counter.
    pub(super) counter: Option<u64>,
    /// The secret in base 32.
    pub(super) secret: String,
    /// All of it as an `otpauth:` address, as apps read it.
    pub(super) uri: &'a str,
}

/// Everything as it is now, for whoever begins to follow or has missed something. What comes after it may repeat what is
/// in it.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SnapshotShown<'a> {
    /// `start`; `missed` if the server no longer knows what followed the last event seen; `lagged` if events came faster
    /// than they were read.
    pub(super) reason: &'a str,
    /// What is plugged in, as `device/list` shows it.
    pub(super) devices: DevicesShown<'a>,
    /// The jobs that are not at their end, as `job/get` shows them.
    pub(super) jobs: Vec<JobShown<'a>>,
}

/// Something is plugged in, and being asked what it is.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct AttachedShown<'a> {
    /// The bus, such as `pcsc`.
    pub(super) transport: &'a str,
    /// Where it is plugged in, in the words of the system.
    pub(super) place: &'a str,
}

/// Something is no longer plugged in.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DetachedShown<'a> {
    /// The bus, such as `pcsc`.
    pub(super) transport: &'a str,
    /// Where it was, in the words of the system.
    pub(super) place: &'a str,
    /// The ids of the devices that are gone with it.
    pub(super) devices: Vec<String>,
}

/// A device waits for a touch.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TouchShown {
    /// Its id.
    pub(super) device: String,
}

/// A new client of OAuth 2.0.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ClientShown<'a> {
    /// Its id.
    pub(super) id: String,
    /// What it names itself at `/das5/rest/oauth/token`: its name.
    pub(super) client_id: &'a str,
    /// Its secret, shown this once.
    pub(super) client_secret: &'a str,
}

/// A group, with what an agent needs to register in it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct GroupShown<'a> {
    /// Id of the group.
    pub(super) id: String,
    /// Its X.500 name, in its one form.
    pub(super) name: &'a str,
    /// Its holding identity hash: the first 12 hexadecimal digits of SHA-256 of its name and its UUID.
    pub(super) hash: &'a str,
    /// Its UUID.
    pub(super) uuid: &'a str,
    /// The certificate of its authority, in PEM.
    pub(super) authority: &'a str,
    /// SHA-256 of the certificate that this server shows; null if it speaks plain HTTP.
    pub(super) server_fingerprint: Option<String>,
    /// When it was made.
    pub(super) date_created: String,
}

/// What an agent gets.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct AgentCertificateShown<'a> {
    /// Id of the agent.
    pub(super) agent: String,
    /// Its certificate, in PEM.
    pub(super) certificate: &'a str,
    /// The certificate of its group's authority, in PEM.
    pub(super) authority: &'a str,
    /// From then on the certificate is no good.
    pub(super) expires: String,
}
