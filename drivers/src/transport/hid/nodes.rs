//! The nodes `/dev/hidrawN`: which there are, whose they are, and when that changes.
//!
//! `/sys/class/hidraw/hidrawN/device` leads to a HID device named `BUS:VENDOR:PRODUCT.INSTANCE`, in hexadecimal. The
//! kernel counts INSTANCE up for every HID device since it started (`hid_add_device`), whatever node that gets, so it
//! tells one attachment from the next.
//!
//! A node is made after its device is complete in sysfs, and removed before anything of it is (`device_add`,
//! `device_del`). So a device is there exactly while its node is, and a change of nodes is the last thing to wait
//! for.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use std::os::fd::AsFd;

use crate::transport::TransportError;

const NODES: &str = "/dev";
const CLASS: &str = "/sys/class/hidraw";
const PREFIX: &str = "hidraw";

/// All nodes with the attachments they stand for, by path.
pub(super) fn attachments() -> Vec<(String, u32)> {
    // No such directory: no HID device since the start.
    let entries = fs::read_dir(CLASS).into_iter().flatten().flatten();
    let paths = entries.filter_map(|entry| Some(format!("{NODES}/{}", entry.file_name().to_str()?)));
    let mut found: Vec<_> = paths.filter_map(|path| attachment(&path).map(|number| (path, number))).collect();
    found.sort();
    found
}

/// The attachment that a node stands for, if there is such a node.
pub(super) fn attachment(path: &str) -> Option<u32> {
    let node = Path::new(path);
    let device = fs::read_link(Path::new(CLASS).join(node.file_name()?).join("device")).ok()?;
    node.exists().then(|| instance(device.file_name()?.to_str()?)).flatten()
}

fn instance(device: &str) -> Option<u32> {
    let (_, number) = device.rsplit_once('.')?;
    u32::from_str_radix(number, 16).ok()
}

/// A wait as poll(2) wants it: rounded up, so that a short one is no busy loop, and never endless.
pub(super) fn milliseconds(time: Duration) -> i32 {
    i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

/// Tells when nodes change.
pub(super) struct Changes {
    inotify: Inotify,
}

impl Changes {
    /// Nodes that come and go.
    pub(super) fn of_nodes() -> Result<Self, TransportError> {
        Self::watch(
            AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_MOVED_FROM
                | AddWatchFlags::IN_MOVED_TO,
        )
    }

    /// Nodes whose owner or permissions change, or that go.
    pub(super) fn of_access() -> Result<Self, TransportError> {
        Self::watch(AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_DELETE)
    }

    fn watch(flags: AddWatchFlags) -> Result<Self, TransportError> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(|errno| failed("inotify_init", errno))?;
        inotify.add_watch(NODES, flags).map_err(|errno| failed("inotify_add_watch", errno))?;
        Ok(Self { inotify })
    }

    /// Drops what has happened until now.
    pub(super) fn forget(&self) -> Result<(), TransportError> {
        while !self.read()?.is_empty() {}
        Ok(())
    }

    /// Waits until something happens to a node (`true`) or the time has passed.
    pub(super) fn wait(&self, timeout: Duration) -> Result<bool, TransportError> {
        let start = Instant::now();
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            let limit = PollTimeout::try_from(milliseconds(left)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)], limit) {
                Ok(0) => return Ok(false),
                Ok(_) if self.read()?.iter().any(concerns_hidraw) => return Ok(true),
                // Another node, or a signal.
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed("poll", errno)),
            }
        }
    }

    fn read(&self) -> Result<Vec<InotifyEvent>, TransportError> {
        match self.inotify.read_events() {
            Err(Errno::EAGAIN) => Ok(Vec::new()),
            events => events.map_err(|errno| failed("read of inotify", errno)),
        }
    }
}

fn concerns_hidraw(event: &InotifyEvent) -> bool {
    let lost = AddWatchFlags::IN_Q_OVERFLOW | AddWatchFlags::IN_IGNORED;
    event.mask.intersects(lost)
        || event.name.as_ref().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
}

fn failed(call: &'static str, errno: Errno) -> TransportError {
    TransportError::Failed { call, detail: format!("{errno:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instance_is_the_end_of_the_devices_name() {
        assert_eq!(instance("0003:1050:0407.0007"), Some(7));
        assert_eq!(instance("0003:1050:0407.1FFFF"), Some(0x1_FFFF));
        for other in ["", "0003:1050:0407", "0003:1050:0407.", "0003:1050:0407.X", "."] {
            assert_eq!(instance(other), None, "{other}");
        }
    }

    #[test]
    fn waits_are_rounded_up_and_have_an_end() {
        let cases = [
            (Duration::ZERO, 0),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(250), 250),
            (Duration::from_micros(250_001), 251),
            (Duration::MAX, i32::MAX),
        ];
        for (time, expected) in cases {
            assert_eq!(milliseconds(time), expected, "{time:?}");
        }
    }

    #[test]
    fn waiting_ends_without_a_change() {
        let changes = Changes::of_nodes().unwrap();
        assert_eq!(changes.wait(Duration::from_millis(5)), Ok(false));
    }
}
