//! The seam between drivers and wires: bytes only, one trait per kind of wire.
//!
//! Real transports live below this module (`pcsc` behind a feature); emulated tokens enter by the
//! same traits. Listing disturbs nobody; opening may.

#[cfg(feature = "hid")]
pub mod hid;
#[cfg(feature = "pcsc")]
pub mod pcsc;
pub mod trace;

use std::fmt;
use std::time::Duration;

/// One way of reaching tokens, for example all PC/SC readers of this machine.
pub trait Bus: Send + Sync {
    /// Short name for logs and for the API, for example `pcsc`.
    fn name(&self) -> &'static str;

    /// Starts to watch. The watch has its own handle to the system, so that it may block while tokens work.
    ///
    /// # Errors
    /// [`TransportError::ServiceUnavailable`] or [`TransportError::AccessDenied`] if the system cannot be asked.
    fn watch(&self) -> Result<Box<dyn Watch>, TransportError>;

    /// Opens one candidate with a handle of its own. Called on the thread that will use the connection.
    ///
    /// # Errors
    /// [`TransportError::Gone`] if it was unplugged since it was listed, [`TransportError::Busy`] if another
    /// program holds it.
    fn open(&self, candidate: &Candidate) -> Result<Connection, TransportError>;
}

/// A running observation of a bus. After an error it is dropped and a new one is started.
pub trait Watch: Send {
    /// Lists what is plugged in now, without opening anything.
    ///
    /// # Errors
    /// Any [`TransportError`]; the watch is then of no more use.
    fn candidates(&mut self) -> Result<Vec<Candidate>, TransportError>;

    /// Blocks until something may have changed (`true`) or `timeout` has passed (`false`).
    ///
    /// # Errors
    /// Any [`TransportError`]; the watch is then of no more use.
    fn wait_for_change(&mut self, timeout: Duration) -> Result<bool, TransportError>;
}

/// Something that could be opened. It says where a thing is, not which thing it is: only an open token
/// knows its serial.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Candidate {
    /// A smart card in a reader.
    Card {
        /// PC/SC reader name, for example `Yubico YubiKey OTP+FIDO+CCID 00 00`.
        reader: String,
        /// Answer to reset (ISO/IEC 7816-3), at most 33 bytes.
        atr: Vec<u8>,
        /// Counts insertions into this reader, so that a card swapped between two looks is another candidate.
        insertion: u32,
    },
    /// One HID interface of a USB device: one top-level collection.
    Hid(HidCandidate),
}

/// A HID interface as the system lists it (USB HID 1.11, USB 2.0 §9.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HidCandidate {
    /// Device node, for example `/dev/hidraw3`.
    pub path: String,
    /// USB vendor id.
    pub vendor_id: u16,
    /// USB product id.
    pub product_id: u16,
    /// bcdDevice, for example `0x0543`.
    pub release: u16,
    /// Usage page of the top-level collection.
    pub usage_page: u16,
    /// Usage of the top-level collection.
    pub usage: u16,
    /// bInterfaceNumber, where the device is on USB and the system tells.
    pub interface: Option<u8>,
    /// iSerialNumber, if there is one.
    pub serial: Option<String>,
    /// iProduct; empty if there is none.
    pub product: String,
    /// Counts attachments to this node, so that a token swapped between two looks is another candidate.
    pub attachment: u32,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Card { reader, .. } => f.write_str(reader),
            Self::Hid(hid) => f.write_str(&hid.path),
        }
    }
}

/// An open wire to one candidate.
pub enum Connection {
    /// A smart card that takes APDUs.
    Card(Box<dyn CardConnection>),
    /// A HID interface that takes reports.
    Hid(Box<dyn HidConnection>),
}

/// An open HID interface. Reports are given and told without the leading report id: no token here numbers its
/// reports, so the transport adds and takes away the 0 that the system wants.
pub trait HidConnection: Send {
    /// Sends a feature report (`SET_REPORT`, USB HID 1.11 §7.2.2).
    ///
    /// # Errors
    /// [`TransportError::Gone`] if the token was unplugged, [`TransportError::Failed`] if it stalled; the report
    /// may have reached it all the same.
    fn set_feature(&mut self, report: &[u8]) -> Result<(), TransportError>;

    /// Fetches the feature report (`GET_REPORT`, USB HID 1.11 §7.2.1), at most `length` bytes. It may be shorter.
    ///
    /// # Errors
    /// As [`HidConnection::set_feature`].
    fn get_feature(&mut self, length: usize) -> Result<Vec<u8>, TransportError>;

    /// Sends an output report.
    ///
    /// # Errors
    /// As [`HidConnection::set_feature`].
    fn write(&mut self, report: &[u8]) -> Result<(), TransportError>;

    /// Waits for an input report; `None` if none came in that time.
    ///
    /// # Errors
    /// As [`HidConnection::set_feature`].
    fn read(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError>;

    /// Leaves the token alone for a while, as protocols that are polled demand. An emulated token makes its own
    /// time pass instead, so no driver sleeps by itself.
    fn pause(&mut self, time: Duration);
}

/// Whether a card touches the reader's contacts (USB keys included) or its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// ISO/IEC 7816 contacts; USB keys count as these.
    Contact,
    /// ISO/IEC 14443 (NFC).
    Contactless,
}

/// An open smart card. Between two transactions other programs may use it.
pub trait CardConnection: Send {
    /// Contacts or field.
    fn interface(&self) -> Interface;

    /// Takes the card for this program alone until the transaction is dropped. Never resumes after a reset by
    /// itself: applet state is lost then, so the caller has to select again.
    ///
    /// # Errors
    /// [`TransportError::Reset`] once after another program reset the card (a second `begin` heals it),
    /// [`TransportError::Gone`] if the connection is dead for good.
    fn begin(&mut self) -> Result<Box<dyn CardTransaction + '_>, TransportError>;

    /// Leaves the card alone for a while between two transactions, for the few that have to be asked again. An
    /// emulated card makes its own time pass instead, so no driver sleeps by itself.
    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Exclusive use of a card. Ends when dropped and leaves the card powered.
pub trait CardTransaction {
    /// Asks that the card be reset when this transaction ends, so that an applet forgets what was unlocked.
    /// The next [`CardConnection::begin`] then succeeds as usual. A transport that cannot reset does nothing.
    fn reset_at_end(&mut self) {}

    /// One command APDU out, one response APDU in, status word included: always 2 bytes or more.
    /// No chaining here.
    ///
    /// # Errors
    /// [`TransportError`]; the command may have reached the card all the same.
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError>;
}

/// What the system or the wire said. Each variant names what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The token was unplugged, or the card taken away. The connection is dead.
    #[error("the token is gone ({detail})")]
    Gone {
        /// What the system said, for example `SCARD_W_REMOVED_CARD`.
        detail: String,
    },
    /// Another program reset the card: what was selected and unlocked is lost. Begin again.
    #[error("another program reset the card")]
    Reset,
    /// Another program holds the token exclusively.
    #[error("another program is using the token")]
    Busy,
    /// The system service (pcscd) is not running, or was restarted. The connection is dead.
    #[error("the smart card service is not available ({detail})")]
    ServiceUnavailable {
        /// What the system said, for example `SCARD_E_NO_SERVICE`.
        detail: String,
    },
    /// This process may not use the token (device node, polkit).
    #[error("access to the token is denied ({detail})")]
    AccessDenied {
        /// What the system said.
        detail: String,
    },
    /// Anything else. The connection should be dropped.
    #[error("{call}: {detail}")]
    Failed {
        /// The system call or protocol step.
        call: &'static str,
        /// What the system said.
        detail: String,
    },
}
