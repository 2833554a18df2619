//! HID interfaces through hidraw on Linux. The only file that names the `hidapi` crate.
//!
//! Listing reads sysfs and opens nothing. Only interfaces in the table of models are listed, and `open` refuses all
//! others: a HID interface may be anybody's keyboard. A bus keeps an advisory lock (`flock`) on the node of every
//! interface that it has open, so that a second fobd finds it busy instead of mixing its reports into the first one's;
//! clients of other makers do not ask for that lock.
//!
//! hidapi has no notification of changes. The kernel makes and removes nodes in `/dev`, so the watch waits for that
//! with inotify (see `nodes`): no polling, and no privilege needed as some containers demand for netlink.
//!
//! An attachment is told by the number that the kernel gives each HID device once and never again (see `nodes`), so
//! a token replugged into the same node is another candidate however quick that was.
//!
//! hidraw wants a report id in front of each report, 0 where reports are not numbered
//! (Documentation/hid/hidraw.rst); it is added and taken away here.

mod failure;
mod nodes;

use std::ffi::CString;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use hidapi::{DeviceInfo, HidApi, HidDevice};
use zeroize::Zeroizing;

use failure::{errno, failure, said};
use nodes::{Changes, attachment, attachments};

use super::{Bus, Candidate, Connection, HidCandidate, HidConnection, TransportError, Watch};
use crate::models::{MODELS, Model};

/// How long an open waits for udev to give access to a node. The kernel makes nodes for root alone, and rules are
/// applied a moment later.
const ACCESS_PATIENCE: Duration = Duration::from_secs(1);

/// Room for one input report; USB at full speed has 64 bytes.
const REPORT_ROOM: usize = 1024;

/// All hidraw nodes of this machine that belong to known tokens.
#[derive(Default)]
pub struct HidBus {
    models: Option<&'static [Model]>,
    /// The crate enumerates when this is made, so it is made once.
    api: OnceLock<HidApi>,
    /// Locked nodes that are open, by attachment.
    locks: Mutex<Vec<(u32, Weak<File>)>>,
}

impl HidBus {
    /// The tokens of the table of models.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The tokens of another table.
    #[must_use]
    pub fn of_models(models: &'static [Model]) -> Self {
        Self { models: Some(models), ..Self::default() }
    }

    fn models(&self) -> &'static [Model] {
        self.models.unwrap_or(MODELS)
    }

    fn api(&self) -> Result<&HidApi, TransportError> {
        if let Some(api) = self.api.get() {
            return Ok(api);
        }
        let api = HidApi::new().map_err(|error| failure("hid_init", &said(&error)))?;
        Ok(self.api.get_or_init(|| api))
    }

    /// The lock on this node: the one that another connection of this bus holds, or a new one.
    fn lock(&self, hid: &HidCandidate) -> Result<Arc<File>, TransportError> {
        // Before the list is taken, since this may take a while.
        let node = open_node(&hid.path)?;
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|(_, lock)| lock.strong_count() > 0);
        let held = locks.iter().find(|(attachment, _)| *attachment == hid.attachment);
        if let Some(lock) = held.and_then(|(_, lock)| lock.upgrade()) {
            return Ok(lock);
        }
        match node.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(TransportError::Busy),
            Err(TryLockError::Error(error)) => return Err(failure("flock", &errno(&error))),
        }
        let lock = Arc::new(node);
        locks.push((hid.attachment, Arc::downgrade(&lock)));
        Ok(lock)
    }
}

impl Bus for HidBus {
    fn name(&self) -> &'static str {
        "hid"
    }

    fn watch(&self) -> Result<Box<dyn Watch>, TransportError> {
        let changes = Changes::of_nodes()?;
        let api = HidApi::new().map_err(|error| failure("hid_init", &said(&error)))?;
        Ok(Box::new(HidWatch { models: self.models(), changes, api }))
    }

    fn open(&self, candidate: &Candidate) -> Result<Connection, TransportError> {
        let Candidate::Hid(hid) = candidate else { return Err(gone("not a HID interface")) };
        if !is_known(self.models(), candidate) {
            return Err(TransportError::AccessDenied { detail: format!("{} is no known token", hid.path) });
        }
        let path = CString::new(hid.path.as_str()).map_err(|_| gone("node with a zero byte"))?;
        let lock = self.lock(hid)?;
        let device = self.api()?.open_path(&path).map_err(|error| failure("open", &said(&error)))?;
        // The node may have changed hands since it was listed. Its number never comes back, so if it is here now, it
        // was here when the node was opened.
        if attachment(&hid.path) != Some(hid.attachment) {
            return Err(gone("another device is at this node"));
        }
        Ok(Connection::Hid(Box::new(HidrawConnection { device, _lock: lock })))
    }
}

/// Opens a node, and waits a little for access to it.
fn open_node(path: &str) -> Result<File, TransportError> {
    let start = Instant::now();
    let mut access: Option<Changes> = None;
    loop {
        let error = match File::options().read(true).write(true).open(path) {
            Ok(file) => return Ok(file),
            Err(error) => error,
        };
        if error.kind() != ErrorKind::PermissionDenied {
            return Err(failure("open", &errno(&error)));
        }
        let denied = || TransportError::AccessDenied { detail: format!("{path}: EACCES") };
        match &mut access {
            // Then it is tried again: access may have come just before the watch.
            None => access = Some(Changes::of_access().map_err(|_| denied())?),
            Some(access) => {
                let left = ACCESS_PATIENCE.saturating_sub(start.elapsed());
                if left.is_zero() || !access.wait(left).map_err(|_| denied())? {
                    return Err(denied());
                }
            }
        }
    }
}

fn is_known(models: &[Model], candidate: &Candidate) -> bool {
    models.iter().any(|model| model.looks_like(candidate))
}

struct HidWatch {
    models: &'static [Model],
    changes: Changes,
    api: HidApi,
}

impl Watch for HidWatch {
    fn candidates(&mut self) -> Result<Vec<Candidate>, TransportError> {
        // What happens from here on wakes the next wait.
        self.changes.forget()?;
        let before = attachments();
        self.api.refresh_devices().map_err(|error| failure("hid_enumerate", &said(&error)))?;
        let mut candidates = Vec::new();
        for (path, attachment) in before {
            // What came or went in between is left to the next listing, so that nobody gets another one's number.
            if nodes::attachment(&path) != Some(attachment) {
                continue;
            }
            let interfaces = self.api.device_list().filter(|info| info.path().to_bytes() == path.as_bytes());
            let interfaces = interfaces.map(|info| Candidate::Hid(candidate(&path, attachment, info)));
            candidates.extend(interfaces.filter(|candidate| is_known(self.models, candidate)));
        }
        Ok(candidates)
    }

    fn wait_for_change(&mut self, timeout: Duration) -> Result<bool, TransportError> {
        self.changes.wait(timeout)
    }
}

fn candidate(path: &str, attachment: u32, info: &DeviceInfo) -> HidCandidate {
    HidCandidate {
        path: path.to_owned(),
        vendor_id: info.vendor_id(),
        product_id: info.product_id(),
        release: info.release_number(),
        usage_page: info.usage_page(),
        usage: info.usage(),
        // -1 where there is no USB interface.
        interface: u8::try_from(info.interface_number()).ok(),
        serial: info.serial_number().filter(|serial| !serial.is_empty()).map(str::to_owned),
        product: info.product_string().unwrap_or_default().to_owned(),
        attachment,
    }
}

struct HidrawConnection {
    device: HidDevice,
    /// Holds the advisory lock.
    _lock: Arc<File>,
}

/// A report with the id in front that says "not numbered". It may carry a secret.
fn numbered(report: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut numbered = Zeroizing::new(Vec::with_capacity(report.len() + 1));
    numbered.push(0);
    numbered.extend_from_slice(report);
    numbered
}

impl HidConnection for HidrawConnection {
    fn set_feature(&mut self, report: &[u8]) -> Result<(), TransportError> {
        let sent = self.device.send_feature_report(&numbered(report));
        sent.map_err(|error| failure("HIDIOCSFEATURE", &said(&error)))
    }

    fn get_feature(&mut self, length: usize) -> Result<Vec<u8>, TransportError> {
        let mut room = Zeroizing::new(vec![0; length + 1]);
        let got = self.device.get_feature_report(&mut room);
        let got = got.map_err(|error| failure("HIDIOCGFEATURE", &said(&error)))?;
        Ok(room.get(1..got).unwrap_or_default().to_vec())
    }

    fn write(&mut self, report: &[u8]) -> Result<(), TransportError> {
        let numbered = numbered(report);
        let sent = self.device.write(&numbered).map_err(|error| failure("write", &said(&error)))?;
        if sent == numbered.len() {
            return Ok(());
        }
        let detail = format!("{sent} of {} bytes were taken", numbered.len());
        Err(TransportError::Failed { call: "write", detail })
    }

    fn read(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        let start = Instant::now();
        let mut room = Zeroizing::new(vec![0; REPORT_ROOM]);
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            match self.device.read_timeout(&mut room, nodes::milliseconds(left)) {
                Ok(0) => return Ok(None),
                Ok(got) => return Ok(Some(room.get(..got).unwrap_or_default().to_vec())),
                Err(error) => match said(&error) {
                    // A signal came.
                    said if said == "EINTR" => {}
                    said => return Err(failure("read", &said)),
                },
            }
        }
    }

    fn pause(&mut self, time: Duration) {
        thread::sleep(time);
    }
}

fn gone(detail: &str) -> TransportError {
    TransportError::Gone { detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Sight;

    const TABLE: &[Model] = &[Model {
        maker: "Example",
        model: "Example Token",
        driver: "example",
        sight: Sight::Hid { vendor: 0x1209, products: &[0x0001], usage: (0xFF00, 1) },
    }];

    fn keyboard() -> Candidate {
        Candidate::Hid(HidCandidate {
            path: "/dev/null".to_owned(),
            vendor_id: 0x046D,
            product_id: 0xC31C,
            release: 0x0110,
            usage_page: 1,
            usage: 6,
            interface: Some(0),
            serial: None,
            product: "USB Keyboard".to_owned(),
            attachment: 1,
        })
    }

    #[test]
    fn what_is_in_no_row_is_never_opened() {
        let Err(refusal) = HidBus::of_models(TABLE).open(&keyboard()) else { panic!("opened") };
        assert_eq!(
            refusal,
            TransportError::AccessDenied { detail: "/dev/null is no known token".to_owned() }
        );
    }

    #[test]
    fn a_node_that_is_not_there_is_gone() {
        assert_eq!(open_node("/dev/no-such-node").err(), Some(gone("open: ENOENT")));
    }

    #[test]
    fn reports_go_out_with_the_id_of_those_that_have_none() {
        assert_eq!(*numbered(&[1, 2]), [0, 1, 2]);
    }
}
