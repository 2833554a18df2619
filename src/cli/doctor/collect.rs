//! Looking: sysfs, device nodes, processes, pcscd. Changes nothing. A node is opened for a moment to learn whether it
//! may be; nothing is sent.
//!
//! Everything that is a file is looked for below one directory, so that a test can make a machine of files. What cannot
//! be read is taken as not there: a doctor that fails helps nobody.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use fobd_drivers::models;
use fobd_drivers::models::usb::needs;
use fobd_drivers::transport::pcsc::readers::readers;
use fobd_drivers::transport::{Candidate, HidCandidate, TransportError};

use super::facts::{Access, Facts, HidNode, Me, Readers, Server, UsbDevice};

/// Programs that take a reader for themselves.
const TAKERS: [&str; 2] = ["scdaemon", "yubikey-agent"];

/// Our rules, and where udev looks for them.
const RULE_FILES: [&str; 2] = ["70-fobd.rules", "71-fobd-desktop.rules"];
const RULE_FOLDERS: [&str; 4] =
    ["etc/udev/rules.d", "run/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d"];

/// The sockets of pcscd.
const PCSCD_SOCKETS: [&str; 2] = ["run/pcscd/pcscd.comm", "var/run/pcscd/pcscd.comm"];

/// `O_NONBLOCK`, as on every architecture that this runs on: opening must not wait for anything.
const NONBLOCK: i32 = 0o4000;

/// Where to look.
pub(super) struct Collector {
    root: PathBuf,
    /// Whether pcscd is asked: that of this machine knows nothing of a machine of files.
    asks_pcscd: bool,
}

impl Collector {
    pub(super) fn of_this_machine() -> Self {
        Self { root: PathBuf::from("/"), asks_pcscd: true }
    }

    /// A machine of files.
    pub(super) fn below(root: &Path) -> Self {
        Self { root: root.to_owned(), asks_pcscd: false }
    }

    /// Looks at everything but a server.
    pub(super) fn collect(&self) -> Facts {
        let processes = self.processes();
        let takers = processes.iter().filter(|(name, _)| TAKERS.contains(&name.as_str()));
        let sockets = std::env::var_os("PCSCLITE_CSOCK_NAME").filter(|_| self.asks_pcscd);
        Facts {
            usb: self.usb(),
            hid: self.hid(&processes),
            readers: if self.asks_pcscd { ask_pcscd() } else { Readers::default() },
            programs: takers.cloned().collect(),
            pcscd_socket: match sockets {
                Some(socket) => Path::new(&socket).exists(),
                None => PCSCD_SOCKETS.iter().any(|socket| self.path(socket).exists()),
            },
            rules: self.rules(),
            me: self.me(),
            server: Server::NotAsked,
        }
    }

    fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root.join(below)
    }

    /// The devices on USB of which a driver needs something.
    fn usb(&self) -> Vec<UsbDevice> {
        let folder = self.path("sys/bus/usb/devices");
        let mut devices = Vec::new();
        for port in names(&folder) {
            let (vendor, product) =
                (hex(&folder.join(&port).join("idVendor")), hex(&folder.join(&port).join("idProduct")));
            let (Some(vendor), Some(product)) = (vendor, product) else { continue };
            if needs(vendor, product).is_empty() {
                continue;
            }
            // Interfaces are called `PORT:CONFIGURATION.INTERFACE`.
            let of_this = format!("{port}:");
            let classes = names(&folder).into_iter().filter(|name| name.starts_with(&of_this));
            let classes = classes.filter_map(|name| hex(&folder.join(name).join("bInterfaceClass")));
            devices.push(UsbDevice {
                name: text(&folder.join(&port).join("product")).unwrap_or_default(),
                classes: classes.filter_map(|class| u8::try_from(class).ok()).collect(),
                port,
                vendor,
                product,
            });
        }
        devices
    }

    /// The HID interfaces that are in the table of models.
    fn hid(&self, processes: &[(String, u32)]) -> Vec<HidNode> {
        let folder = self.path("sys/class/hidraw");
        let mut nodes = Vec::new();
        for name in names(&folder) {
            let device = folder.join(&name).join("device");
            let Some((vendor_id, product_id)) = text(&device.join("uevent")).as_deref().and_then(hid_id)
            else {
                continue;
            };
            let descriptor = fs::read(device.join("report_descriptor")).unwrap_or_default();
            for (usage_page, usage) in collections(&descriptor) {
                let candidate = HidCandidate {
                    path: format!("/dev/{name}"),
                    vendor_id,
                    product_id,
                    release: 0,
                    usage_page,
                    usage,
                    interface: None,
                    serial: None,
                    product: String::new(),
                    attachment: 0,
                };
                if models::of(&Candidate::Hid(candidate.clone())).next().is_some() {
                    let (access, owner) = self.access(&name);
                    let holders = self.holders(&name, processes);
                    nodes.push(HidNode { candidate, access, owner, holders });
                }
            }
        }
        nodes
    }

    fn access(&self, name: &str) -> (Access, String) {
        let path = self.path("dev").join(name);
        let owner = fs::metadata(&path).map_or_else(
            |_| String::new(),
            |meta| {
                let (user, group) = (self.user(meta.uid()), self.group(meta.gid()));
                format!("{user}:{group} {:04o}", meta.mode() & 0o7777)
            },
        );
        let opened = File::options().read(true).write(true).custom_flags(NONBLOCK).open(&path);
        let access = match opened.map_err(|error| (error.kind(), error)) {
            Ok(_) => Access::Granted,
            Err((ErrorKind::PermissionDenied, _)) => Access::Denied,
            Err((ErrorKind::NotFound, _)) => Access::Missing,
            Err((_, error)) => Access::Failed(error.to_string()),
        };
        (access, owner)
    }

    /// Programs that have a node open, as far as one may look.
    fn holders(&self, name: &str, processes: &[(String, u32)]) -> Vec<(String, u32)> {
        let node = Path::new("/dev").join(name);
        let holds = |process: u32| {
            let files = self.path(format!("proc/{process}/fd"));
            names(&files)
                .iter()
                .any(|file| fs::read_link(files.join(file)).is_ok_and(|target| target == node))
        };
        let others = processes.iter().filter(|(_, process)| *process != std::process::id());
        others.filter(|(_, process)| holds(*process)).cloned().collect()
    }

    /// Name and id of every process.
    fn processes(&self) -> Vec<(String, u32)> {
        let ids = names(&self.path("proc")).into_iter().filter_map(|name| name.parse().ok());
        ids.filter_map(|id: u32| Some((text(&self.path(format!("proc/{id}/comm")))?, id))).collect()
    }

    fn rules(&self) -> Vec<String> {
        let files = RULE_FOLDERS.iter().flat_map(|folder| RULE_FILES.iter().map(move |file| (folder, file)));
        let paths = files.map(|(folder, file)| format!("{folder}/{file}"));
        paths.filter(|path| self.path(path).exists()).map(|path| format!("/{path}")).collect()
    }

    fn me(&self) -> Me {
        let status = text(&self.path("proc/self/status")).unwrap_or_default();
        let numbers = |field: &str| -> Vec<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            line.unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).collect()
        };
        let user = numbers("Uid:").get(1).copied();
        let groups = [numbers("Gid:"), numbers("Groups:")].concat();
        let ours = self.lookup("etc/group", |fields| fields.first() == Some(&"fobd"));
        let group = ours.as_deref().and_then(|fields| fields.get(2)?.parse().ok());
        Me {
            user: user.map(|user| self.user(user)).unwrap_or_default(),
            root: user == Some(0),
            group_exists: group.is_some(),
            in_group: group.is_some_and(|group: u32| groups.contains(&group)),
        }
    }

    fn user(&self, id: u32) -> String {
        self.name_of("etc/passwd", id)
    }

    fn group(&self, id: u32) -> String {
        self.name_of("etc/group", id)
    }

    /// The name of a number in a file of the form of passwd(5), or the number.
    fn name_of(&self, file: &str, id: u32) -> String {
        let id = id.to_string();
        let found = self.lookup(file, |fields| fields.get(2) == Some(&id.as_str()));
        found.and_then(|fields| fields.into_iter().next()).unwrap_or(id)
    }

    /// The first line of such a file that fits.
    fn lookup(&self, file: &str, fits: impl Fn(&[&str]) -> bool) -> Option<Vec<String>> {
        let all = text(&self.path(file))?;
        let mut lines = all.lines().map(|line| line.split(':').collect::<Vec<_>>());
        Some(lines.find(|fields| fits(fields))?.into_iter().map(str::to_owned).collect())
    }
}

fn ask_pcscd() -> Readers {
    match readers() {
        Ok(readers) => Readers::Listed(readers),
        Err(TransportError::AccessDenied { detail }) => Readers::Denied(detail),
        Err(TransportError::ServiceUnavailable { detail }) => Readers::Silent(detail),
        Err(error) => Readers::Silent(error.to_string()),
    }
}

/// The names in a directory, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().to_str().map(str::to_owned)).collect();
    names.sort_by(|a, b| (a.len(), OsStr::new(a)).cmp(&(b.len(), OsStr::new(b))));
    names
}

fn text(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn hex(path: &Path) -> Option<u16> {
    u16::from_str_radix(&text(path)?, 16).ok()
}

/// Vendor and product of `HID_ID=BUS:VENDOR:PRODUCT`, each in hexadecimal.
fn hid_id(uevent: &str) -> Option<(u16, u16)> {
    let id = uevent.lines().find_map(|line| line.strip_prefix("HID_ID="))?;
    let mut parts = id.split(':').skip(1).map(|part| u32::from_str_radix(part, 16).ok());
    let (vendor, product) = (parts.next()??, parts.next()??);
    Some((u16::try_from(vendor).ok()?, u16::try_from(product).ok()?))
}

/// Usage page and usage of the top-level collections of a report descriptor (USB HID 1.11 §6.2.2).
fn collections(descriptor: &[u8]) -> Vec<(u16, u16)> {
    let (mut page, mut usage, mut depth) = (0_u16, None, 0_u32);
    let mut found = Vec::new();
    let mut rest = descriptor;
    while let Some((&prefix, after)) = rest.split_first() {
        // Long items are reserved: nobody knows what follows.
        if prefix == 0xFE {
            break;
        }
        let size = [0, 1, 2, 4].get(usize::from(prefix & 3)).copied().unwrap_or_default();
        let Some((data, next)) = after.split_at_checked(size) else { break };
        let value = data.iter().rev().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
        match prefix & 0xFC {
            0x04 => page = value as u16,
            0x08 if usage.is_none() => usage = Some(value),
            0xA0 => {
                if let (0, Some(usage)) = (depth, usage) {
                    // A usage of four bytes brings its page along.
                    let page = if size_of_usage(usage) { (usage >> 16) as u16 } else { page };
                    found.push((page, usage as u16));
                }
                (depth, usage) = (depth + 1, None);
            }
            0xC0 => depth = depth.saturating_sub(1),
            // Main items forget what was local to them.
            0x80 | 0x90 | 0xB0 => usage = None,
            _ => {}
        }
        rest = next;
    }
    found
}

fn size_of_usage(usage: u32) -> bool {
    usage > 0xFFFF
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collections_of_a_report_descriptor_are_read() {
        // A keyboard, a vendor's own collection with one inside, FIDO.
        let keyboard = [0x05, 0x01, 0x09, 0x06, 0xA1, 0x01, 0x05, 0x07, 0x19, 0xE0, 0x81, 0x02, 0xC0];
        assert_eq!(collections(&keyboard), [(1, 6)]);
        let vendor = [0x06, 0x00, 0xFF, 0x09, 0x01, 0xA1, 0x01, 0x09, 0x02, 0xA1, 0x00, 0xC0, 0xC0];
        let fido = [0x06, 0xD0, 0xF1, 0x09, 0x01, 0xA1, 0x01, 0xC0];
        assert_eq!(collections(&[&vendor[..], &fido[..]].concat()), [(0xFF00, 1), (0xF1D0, 1)]);
        assert_eq!(collections(&[0x0B, 0x02, 0x00, 0xAB, 0xFF, 0xA1, 0x01]), [(0xFFAB, 2)]);
        for broken in [&[][..], &[0x06], &[0x06, 0xD0], &[0xA1], &[0xFE, 3, 0], &[0xC0, 0xC0, 0xA1, 1]] {
            assert_eq!(collections(broken), [], "{broken:?}");
        }
    }

    #[test]
    fn ids_are_read_from_what_the_kernel_tells_of_a_hid_device() {
        let uevent = "DRIVER=hid-generic\nHID_ID=0003:00001050:00000407\nHID_NAME=Yubico\n";
        assert_eq!(hid_id(uevent), Some((0x1050, 0x0407)));
        for none in ["", "HID_ID=", "HID_ID=0003:1050", "HID_ID=0003:x:y", "HID_ID=0003:FFFFFFFF:1"] {
            assert_eq!(hid_id(none), None, "{none}");
        }
    }
}
