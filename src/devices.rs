//! The running side of the drivers: what is plugged in, and calls on it.
//!
//! One watcher thread per bus only lists. Each candidate that some driver matches is a place and has a worker thread
//! with a queue of its own, so that a slow touch on one token delays no other. A place holds a token for each driver
//! that opens there: one key may speak several protocols. [`registry`] is the pure part in the middle: listings and
//! reports go in, the current list and the changes come out. Services see [`handle::Devices`] only, and hear of
//! changes through [`events::Listener`].
//!
//! A device is addressed by driver and serial, never by where it is plugged in. Two interfaces of one USB key are one
//! device; otherwise the same serial at two places of one driver is refused at both: one of them is a copy. A token
//! that tells no serial is addressed by `driver:?number`; numbers are given out at each attachment and never again, so
//! that such an address dies with the plug instead of moving on to the next token in that reader.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::models;
use fobd_drivers::token::TokenInfo;
use fobd_drivers::transport::{Candidate, Connection, Interface};

pub mod events;
#[cfg(test)]
pub(crate) mod fake;
pub mod handle;
mod queue;
pub mod registry;
#[cfg(test)]
mod scenarios;
mod shared;
mod watcher;
mod worker;

/// The address of a device, written `driver:serial`, or `driver:?number` for a token that tells no serial.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId {
    driver: String,
    name: Name,
}

/// The part after the colon.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Name {
    Serial(String),
    Position(u64),
}

impl DeviceId {
    /// Addresses a token by its serial. `None` if the text cannot be one: empty, blank or control characters
    /// in it, or a leading `?`, which is what positions begin with.
    #[must_use]
    pub fn by_serial(driver: &str, serial: &str) -> Option<Self> {
        let fits = !serial.is_empty()
            && !serial.starts_with('?')
            && !serial.chars().any(|c| c.is_whitespace() || c.is_control());
        fits.then(|| Self { driver: driver.to_owned(), name: Name::Serial(serial.to_owned()) })
    }

    /// Addresses whatever is plugged in at this position, for tokens that tell no serial.
    #[must_use]
    pub fn by_position(driver: &str, position: u64) -> Self {
        Self { driver: driver.to_owned(), name: Name::Position(position) }
    }

    /// The driver's short name.
    #[must_use]
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// The serial, unless this is a position.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        match &self.name {
            Name::Serial(serial) => Some(serial),
            Name::Position(_) => None,
        }
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Serial(serial) => write!(f, "{}:{serial}", self.driver),
            Name::Position(position) => write!(f, "{}:?{position}", self.driver),
        }
    }
}

/// A text is not the address of a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a device is addressed as `driver:serial`, for example `ykoath:12345678`")]
pub struct ParseDeviceIdError;

impl FromStr for DeviceId {
    type Err = ParseDeviceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (driver, name) = text.split_once(':').ok_or(ParseDeviceIdError)?;
        if driver.is_empty() || !driver.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err(ParseDeviceIdError);
        }
        match name.strip_prefix('?') {
            Some(number) if number.bytes().all(|b| b.is_ascii_digit()) => number
                .parse()
                .map(|position| Self::by_position(driver, position))
                .map_err(|_| ParseDeviceIdError),
            Some(_) => Err(ParseDeviceIdError),
            None => Self::by_serial(driver, name).ok_or(ParseDeviceIdError),
        }
    }
}

/// What a device is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceState {
    /// Seen, and being asked what it is.
    Opening,
    /// Takes calls.
    Ready,
    /// Works on a call; further calls queue.
    Busy,
    /// Takes calls that bring the lock code.
    Locked,
    /// Its serial is plugged in twice; takes no calls.
    Ambiguous,
    /// Could not be opened, or broke down. If it was known before, the next call tries again.
    Failed,
}

impl DeviceState {
    /// The word for it in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Locked => "locked",
            Self::Ambiguous => "ambiguous",
            Self::Failed => "failed",
        }
    }
}

/// How the tokens at a place are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// A HID interface of a USB device.
    Hid,
    /// A card by its contacts; the card interface of a USB key counts as that.
    Contact,
    /// A card in a field (NFC).
    Contactless,
}

impl Reach {
    /// The word for it in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hid => "hid",
            Self::Contact => "contact",
            Self::Contactless => "contactless",
        }
    }

    /// How an open connection reaches its token.
    #[must_use]
    pub fn of(candidate: &Candidate, connection: &Connection) -> Self {
        match connection {
            Connection::Hid(_) => Self::Hid,
            Connection::Card(_) if models::is_key_itself(candidate) => Self::Contact,
            Connection::Card(card) => match card.interface() {
                Interface::Contact => Self::Contact,
                Interface::Contactless => Self::Contactless,
            },
        }
    }
}

/// One line of the list of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// Its address. While it is not open, or if it tells no serial, that is its position.
    pub id: DeviceId,
    /// What it is up to.
    pub state: DeviceState,
    /// What it said of itself when it was last opened.
    pub info: Option<TokenInfo>,
    /// Why it is [`DeviceState::Failed`].
    pub error: Option<String>,
    /// Where it is plugged in, the interface that serves its calls first; never empty.
    pub interfaces: Vec<InterfaceView>,
}

/// One of the places where a device is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceView {
    /// Number of this attachment.
    pub position: registry::Position,
    /// The bus it is on, for example `pcsc`.
    pub transport: &'static str,
    /// Where it is plugged in, in the words of the system, for example the reader's name.
    pub place: String,
    /// How it is reached, once it was open.
    pub reach: Option<Reach>,
    /// What it is up to.
    pub state: DeviceState,
    /// Why it is [`DeviceState::Failed`].
    pub error: Option<String>,
}

impl DeviceView {
    /// The bus over which its calls go.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        self.interfaces.first().map_or("", |interface| interface.transport)
    }

    /// Where the interface is that serves its calls.
    #[must_use]
    pub fn place(&self) -> &str {
        self.interfaces.first().map_or("", |interface| interface.place.as_str())
    }
}

/// One bus and whether it can be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusView {
    /// Its short name.
    pub name: &'static str,
    /// Why nothing is seen of it at present.
    pub error: Option<String>,
}

/// Why a call on a device came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Nothing with that address is plugged in, or it is not open yet.
    #[error("no device `{id}` is plugged in")]
    NoSuchDevice {
        /// The address asked for.
        id: DeviceId,
    },
    /// That serial is plugged in twice.
    #[error("device `{id}` is plugged in at {places} places at once")]
    Ambiguous {
        /// The address asked for.
        id: DeviceId,
        /// At how many places.
        places: usize,
    },
    /// It was unplugged before the call or in the middle of it.
    #[error("device `{id}` is gone ({detail})")]
    Gone {
        /// The device.
        id: DeviceId,
        /// What the system said.
        detail: String,
    },
    /// Too many calls wait for it.
    #[error("device `{id}` is busy: {waiting} calls are waiting for it")]
    QueueFull {
        /// The device.
        id: DeviceId,
        /// How many wait.
        waiting: usize,
    },
    /// The deadline passed.
    #[error("device `{id}` did not answer within {} s", .after.as_secs_f32())]
    TimedOut {
        /// The device.
        id: DeviceId,
        /// The deadline.
        after: Duration,
    },
    /// The driver says why.
    #[error("device `{id}`: {source}")]
    Driver {
        /// The device.
        id: DeviceId,
        /// Why.
        source: Error,
    },
    /// It is plugged in and cannot be opened.
    #[error("device `{id}` cannot be opened: {detail}")]
    Unusable {
        /// The device.
        id: DeviceId,
        /// What was said when it was opened last.
        detail: String,
    },
    /// The driver panicked. A defect of ours, which costs this call and no more.
    #[error("the driver of device `{id}` broke down")]
    DriverPanicked {
        /// The device.
        id: DeviceId,
    },
    /// The server is going down.
    #[error("the server is stopping")]
    Stopping,
}

/// Programming came to nothing, or to nobody knows what.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct ProgramFailure {
    /// Whether the slot may have changed.
    pub slot: SlotState,
    /// Why.
    #[source]
    pub source: DeviceError,
}

impl ProgramFailure {
    /// A failure from before the first byte.
    pub(crate) fn unchanged(source: impl Into<DeviceError>) -> Self {
        Self { slot: SlotState::Unchanged, source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_it_was_written() {
        for text in ["ykoath:12345678", "molto2:A-1:b", "ykoath:?7"] {
            assert_eq!(text.parse::<DeviceId>().unwrap().to_string(), text);
        }
        assert_eq!("ykoath:12345678".parse::<DeviceId>().unwrap().serial(), Some("12345678"));
        assert_eq!("ykoath:?7".parse::<DeviceId>().unwrap().serial(), None);
    }

    #[test]
    fn a_text_without_driver_or_serial_is_no_address() {
        for text in
            ["", "ykoath", ":1", "ykoath:", "ykoath:?", "ykoath:?x", "ykoath:?-1", "yk oath:1", "ykoath:1 2"]
        {
            assert_eq!(text.parse::<DeviceId>(), Err(ParseDeviceIdError), "{text}");
        }
    }

    #[test]
    fn a_serial_that_looks_like_a_position_is_none() {
        assert_eq!(DeviceId::by_serial("ykoath", "?7"), None);
        assert_eq!(DeviceId::by_serial("ykoath", "7\u{1b}[2J"), None);
    }
}
