//! What the doctor looks at, as it was found. Nothing here is judged.

use fobd_drivers::transport::HidCandidate;
use fobd_drivers::transport::pcsc::readers::Reader;
use serde_json::Value;

/// Everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Devices on USB of which a driver needs something.
    pub(super) usb: Vec<UsbDevice>,
    /// HID interfaces that are in the table of models.
    pub(super) hid: Vec<HidNode>,
    /// What pcscd says.
    pub(super) readers: Readers,
    /// Programs that take readers for themselves, and are running: name and process id.
    pub(super) programs: Vec<(String, u32)>,
    /// Whether a socket of pcscd is there.
    pub(super) pcscd_socket: bool,
    /// Our udev rules that are installed, by their paths.
    pub(super) rules: Vec<String>,
    /// Who is asking.
    pub(super) me: Me,
    /// What a server says.
    pub(super) server: Server,
}

/// A device on USB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UsbDevice {
    /// Where it is plugged in, as the kernel counts, for example `1-2`.
    pub(super) port: String,
    /// idVendor.
    pub(super) vendor: u16,
    /// idProduct.
    pub(super) product: u16,
    /// iProduct; empty if there is none.
    pub(super) name: String,
    /// bInterfaceClass of each interface.
    pub(super) classes: Vec<u8>,
}

/// A hidraw node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HidNode {
    /// As a bus would list it.
    pub(super) candidate: HidCandidate,
    /// Whether it could be opened.
    pub(super) access: Access,
    /// Whom it belongs to, for example `root:root 0600`.
    pub(super) owner: String,
    /// Programs that have it open: name and process id.
    pub(super) holders: Vec<(String, u32)>,
}

/// Whether a node can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It can.
    Granted,
    /// It cannot.
    Denied,
    /// There is no node, although the kernel has one.
    Missing,
    /// Something else, in the words of the system.
    Failed(String),
}

/// What pcscd says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Its readers.
    Listed(Vec<Reader>),
    /// It does not answer.
    Silent(String),
    /// It lets nobody in.
    Denied(String),
}

impl Default for Readers {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

/// Who is asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Me {
    /// Name.
    pub(super) user: String,
    /// May do everything anyway.
    pub(super) root: bool,
    /// There is a group `fobd`.
    pub(super) group_exists: bool,
    /// This process is in it.
    pub(super) in_group: bool,
}

/// What a server says.
#[derive(Clone, Debug, Default)]
pub(super) enum Server {
    /// Nobody can log in, or nobody was to be asked.
    #[default]
    NotAsked,
    /// None answers.
    Absent,
    /// It does not tell.
    Refuses(String),
    /// The result of `device/list`.
    Tells(Value),
}
