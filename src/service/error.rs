//! What goes wrong in a use case, and the one table of error numbers.
//!
//! The numbers are the `error` of the DualShield envelope and the `code` of a JSON-RPC error. They are never
//! renumbered. 0 means success; 101 and 242 are that system's own, ours start at 1000.

use std::fmt;

use fobd_drivers::error::Error as DriverError;
use serde_json::{Value as Json, json};

use crate::devices::DeviceError;
use crate::store::StoreError;
use crate::store::objects::{FindError, QueryError};

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $name:literal;)*) => {
        /// What went wrong, for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[doc = $doc])+ $variant,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number on the wire.
            #[must_use]
            pub fn code(self) -> i64 {
                match self { $(Self::$variant => $code,)* }
            }

            /// The name on the wire, in `data.kind`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, for the documentation.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)* }
            }
        }
    };
}

kinds! {
    /// No such user.
    UserNotFound = 101, "user.not_found";
    /// No such domain.
    DomainNotFound = 242, "domain.not_found";
    /// A fault of the server; its log says which.
    Internal = 1000, "internal";
    /// The server has too much to do, or its disk refuses: try again later.
    Unavailable = 1001, "unavailable";
    /// No such method.
    UnknownMethod = 1002, "method.unknown";
    /// The body is no JSON object.
    Malformed = 1003, "request.malformed";
    /// A member of the request is missing or wrong.
    Invalid = 1004, "request.invalid";
    /// An attribute that the object does not have.
    UnknownAttribute = 1005, "attribute.unknown";
    /// A selector that fits more than one object.
    Ambiguous = 1006, "selector.ambiguous";
    /// A search that would take too long.
    TooSlow = 1008, "search.too_slow";
    /// The answers of a batch became too large: the rest of its calls was not made.
    TooLarge = 1009, "answer.too_large";
    /// The caller has asked this too often: wait a little.
    TooOften = 1011, "caller.too_often";
    /// The caller's role does not allow it.
    Forbidden = 1007, "permission.denied";
    /// A verify was refused. Never says why.
    IncorrectCredentials = 1010, "credentials.incorrect";
    /// No such product.
    ProductNotFound = 1020, "product.not_found";
    /// No such repository.
    RepositoryNotFound = 1021, "repository.not_found";
    /// No such token.
    TokenNotFound = 1022, "token.not_found";
    /// No such assignment.
    AssignmentNotFound = 1023, "assignment.not_found";
    /// No such job.
    JobNotFound = 1024, "job.not_found";
    /// No such device is plugged in.
    DeviceNotFound = 1025, "device.not_found";
    /// There is one of that name, code or serial already.
    Exists = 1030, "object.exists";
    /// Something else still needs it.
    InUse = 1031, "object.in_use";
    /// The token has no secret yet: it is stock until it is programmed or imported.
    NoSecret = 1040, "token.no_secret";
    /// The passcodes do not follow each other within the sync window.
    SyncFailed = 1041, "token.sync_failed";
    /// Too many failures: wait, or reset the token.
    Locked = 1042, "token.locked";
    /// The token's secret must not be handed out: it belongs to hardware.
    NotExportable = 1043, "token.not_exportable";
    /// The token is confined: its secret is handed out no more until it is released.
    Confined = 1044, "token.confined";
    /// The clock of the server is suspect: nothing that goes by time is judged until it is right or accepted.
    ClockSuspect = 1048, "clock.suspect";
    /// The name of the request was given to another one within the last minute.
    RequestReused = 1047, "request.reused";
    /// The link is spent, too old, or never was one.
    LinkInvalid = 1045, "link.invalid";
    /// Not exactly one reading of the seed shows these passcodes, or it is read right already: nothing was changed.
    NotSolved = 1046, "token.not_solved";
    /// Rows of the batch are wrong; the message names each with its line and field.
    BatchRefused = 1051, "batch.refused";
    /// The import file is wrong; the message names the line and field.
    ImportRefused = 1050, "import.refused";
    /// The device was unplugged, or its reader.
    DeviceGone = 1060, "device.gone";
    /// The device works for somebody else.
    DeviceBusy = 1061, "device.busy";
    /// The device asks for its access code.
    DeviceLocked = 1062, "device.locked";
    /// The device refused or answered nonsense.
    DeviceFailed = 1063, "device.failed";
    /// The device did not answer in time.
    DeviceTimeout = 1064, "device.timeout";
    /// The device cannot do that.
    DeviceUnsupported = 1065, "device.unsupported";
    /// The device has no room left.
    DeviceFull = 1066, "device.full";
    /// The device refused its access code; `data.attemptsLeft` says how many more it takes, where it tells.
    DeviceCodeWrong = 1067, "device.wrong_code";
    /// The device has blocked itself after too many wrong access codes.
    DeviceBlocked = 1068, "device.blocked";
    /// The slot holds a credential that is not the token's.
    SlotInUse = 1070, "slot.in_use";
    /// The slot is empty.
    SlotEmpty = 1071, "slot.empty";
    /// The job is not in a state in which that can be done.
    JobState = 1080, "job.state";
    /// The passcode does not prove the new credential.
    NotProven = 1081, "job.not_proven";
    /// No such operator.
    OperatorNotFound = 1090, "operator.not_found";
    /// Without it there would be no admin left who is let in.
    LastAdmin = 1091, "operator.last_admin";
    /// No such client of OAuth 2.0.
    ClientNotFound = 1092, "client.not_found";
    /// No such group.
    GroupNotFound = 1110, "group.not_found";
    /// No such agent, or it is retired.
    AgentNotFound = 1111, "agent.not_found";
    /// A registration was declined. Never says why; the audit log does.
    RegistrationDeclined = 1112, "registration.declined";
    /// The file of the new master key cannot be used; the message says why, and what to do.
    KeyFile = 1120, "key.file";
    /// A change of keys is under way already.
    KeyRotating = 1121, "key.rotating";
    /// No change of keys waits for its master key.
    KeyNotWaiting = 1122, "key.not_waiting";
    /// A backup is being made already.
    BackupBusy = 1125, "backup.busy";
}

/// Longest message, in characters.
const MOST_CHARS: usize = 500;

/// A use case failed; nothing was changed unless the message says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// For programs.
    pub kind: Kind,
    /// For people: names the field, row or device.
    pub message: String,
    /// The rows that are wrong, where a request has rows.
    pub rows: Vec<BadRow>,
    /// How many more wrong access codes the device takes, if it said so.
    pub attempts_left: Option<u8>,
}

/// A row of a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct BadRow {
    /// Line of the text, from 1.
    pub line: u64,
    /// The field and what is wrong with it.
    pub problem: String,
}

impl Error {
    /// Makes an error. Messages repeat names that the caller gave, and those may be megabytes long.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(MOST_CHARS) {
            message.truncate(end);
            message.push('…');
        }
        Self { kind, message, rows: Vec::new(), attempts_left: None }
    }

    /// What programs may want to know besides the number.
    #[must_use]
    pub fn data(&self) -> Json {
        let mut data = json!({ "kind": self.kind.name() });
        if !self.rows.is_empty() {
            data["rows"] = json!(self.rows);
        }
        if let Some(left) = self.attempts_left {
            data["attemptsLeft"] = left.into();
        }
        data
    }

    /// A member of the request is missing or wrong.
    #[must_use]
    pub fn invalid(field: &str, problem: &str) -> Self {
        Self::new(Kind::Invalid, format!("`{field}` {problem}"))
    }

    /// The object is not there.
    #[must_use]
    pub fn not_found(object: &str) -> Self {
        let kind = match object {
            "user" => Kind::UserNotFound,
            "domain" => Kind::DomainNotFound,
            "product" => Kind::ProductNotFound,
            "repository" => Kind::RepositoryNotFound,
            "tokenAssignment" => Kind::AssignmentNotFound,
            "job" => Kind::JobNotFound,
            "operator" => Kind::OperatorNotFound,
            "client" => Kind::ClientNotFound,
            "group" => Kind::GroupNotFound,
            "agent" => Kind::AgentNotFound,
            "device" => Kind::DeviceNotFound,
            _ => Kind::TokenNotFound,
        };
        // The first of these two texts is what existing clients of that number know.
        Self::new(kind, format!("{object} not found."))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        if error.is_passing() {
            tracing::warn!(%error, "the store refused");
            return Self::new(Kind::Unavailable, "the server cannot save changes right now: try again later");
        }
        match error {
            StoreError::OutOfScope(object) => return Self::not_found(object),
            StoreError::Narrowed(object) => {
                let text = format!(
                    "you see some objects of the kind {object} only, so you cannot make more of them"
                );
                return Self::new(Kind::Forbidden, text);
            }
            _ => {}
        }
        if matches!(error, StoreError::TooSlow) {
            let advice = "the search takes too long: narrow it by serial, status or product";
            return Self::new(Kind::TooSlow, advice);
        }
        // What the database said is for the log, not for the caller.
        tracing::error!(%error, "the store failed");
        Self::new(Kind::Internal, "the server has an internal fault: its log says more")
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Store(error) => error.into(),
            error @ QueryError::UnknownAttribute { .. } => {
                Self::new(Kind::UnknownAttribute, error.to_string())
            }
            error => Self::new(Kind::Invalid, error.to_string()),
        }
    }
}

impl From<FindError> for Error {
    fn from(error: FindError) -> Self {
        match error {
            FindError::None(object) => Self::not_found(object),
            FindError::Query(error) => error.into(),
            error @ FindError::Ambiguous(_) => Self::new(Kind::Ambiguous, error.to_string()),
        }
    }
}

impl From<DeviceError> for Error {
    fn from(error: DeviceError) -> Self {
        let attempts_left = match &error {
            DeviceError::Driver { source: DriverError::WrongLockCode { attempts_left }, .. } => {
                *attempts_left
            }
            _ => None,
        };
        let kind = crate::service::device::kind_of(&error);
        Self { attempts_left, ..Self::new(kind, error.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_number_and_name_is_used_once() {
        let numbers: HashSet<i64> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        let names: HashSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!((numbers.len(), names.len()), (Kind::ALL.len(), Kind::ALL.len()));
        assert!(numbers.iter().all(|code| matches!(code, 101 | 242) || *code >= 1000));
        assert_eq!(Kind::UserNotFound.meaning(), "No such user.");
    }
}
