//! The cable: a socket pair, on whose other end the kernel's `vhci_hcd` asks for transfers.
//!
//! Each message begins with 48 bytes, numbers big-endian (`Documentation/usb/usbip_protocol.rst`):
//!
//! | offset | in every message | `SUBMIT` | `RET_SUBMIT` | `UNLINK` | `RET_UNLINK` |
//! |---|---|---|---|---|---|
//! | 0 | command | 1 | 3 | 2 | 4 |
//! | 4 | sequence number | | | | |
//! | 8 | device id, 0 in replies | | | | |
//! | 12 | direction, 1 towards the host | | | | |
//! | 16 | endpoint | | | | |
//! | 20 | | flags | status | number of the transfer | status |
//! | 24 | | length of the buffer | bytes moved | | |
//! | 40 | | setup packet | | | |
//!
//! Data follows a `SUBMIT` away from the host, and a `RET_SUBMIT` towards it. A status is 0 or a negative errno. A
//! transfer stays open until it is completed or the host takes it back, as a device does that answers NAK.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Direction bit of an endpoint address: towards the host.
pub(super) const IN: u8 = 0x80;

/// The device stalls.
pub(super) const EPIPE: i32 = 32;
/// The device does not answer, not even with NAK (`Documentation/driver-api/usb/error-codes.rst`).
const EPROTO: i32 = 71;
/// The transfer was taken back.
const ECONNRESET: i32 = 104;

const SUBMIT: u32 = 1;
const UNLINK: u32 = 2;
const RET_SUBMIT: u32 = 3;
const RET_UNLINK: u32 = 4;
const HEADER: usize = 48;

/// Longest buffer that is believed.
const MAX_TRANSFER: usize = 1 << 20;

/// A transfer that the host asks for (a USB request block).
pub(super) struct Urb {
    number: u32,
    /// Endpoint number, with [`IN`].
    pub(super) endpoint: u8,
    /// Setup packet, on endpoint 0.
    pub(super) setup: [u8; 8],
    /// What the host sends.
    pub(super) data: Vec<u8>,
    length: usize,
}

/// The device's end of the cable.
pub(super) struct Wire {
    socket: UnixStream,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: Vec<Open>,
    /// What no transfer has asked for yet, by endpoint.
    queued: VecDeque<(u8, Vec<u8>)>,
    closed: bool,
}

/// A transfer that waits for its end.
#[derive(Clone, Copy)]
struct Open {
    number: u32,
    endpoint: u8,
    length: usize,
}

impl Wire {
    /// A cable, and its other end.
    pub(super) fn pair() -> io::Result<(Self, UnixStream)> {
        let (socket, other) = UnixStream::pair()?;
        Ok((Self { socket, state: Mutex::default(), changed: Condvar::new() }, other))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pulls the plug. Transfers under way fail first, as a host controller lets them; by itself `vhci_hcd` keeps
    /// those on endpoint 0 until their time limit.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        for Open { number, .. } in std::mem::take(&mut state.open) {
            let _ = returned(&self.socket, number, -EPROTO, 0, &[]);
        }
        drop(state);
        self.changed.notify_all();
        // The kernel may have closed it already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// The next transfer. Those towards the host are served from what is queued, if something is.
    pub(super) fn receive(&self) -> io::Result<Urb> {
        loop {
            let mut header = [0; HEADER];
            (&self.socket).read_exact(&mut header)?;
            let number = word(&header, 4);
            match word(&header, 0) {
                UNLINK => self.take_back(number, word(&header, 20))?,
                SUBMIT => {
                    let length = word(&header, 24) as usize;
                    if length > MAX_TRANSFER {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    let inwards = word(&header, 12) != 0;
                    let endpoint = word(&header, 16) as u8 | if inwards { IN } else { 0 };
                    let mut data = vec![0; if inwards { 0 } else { length }];
                    (&self.socket).read_exact(&mut data)?;
                    let mut setup = [0; 8];
                    setup.copy_from_slice(&header[40..]);
                    let mut state = self.state();
                    state.open.push(Open { number, endpoint, length });
                    state.serve(&self.socket, endpoint)?;
                    self.changed.notify_all();
                    return Ok(Urb { number, endpoint, setup, data, length });
                }
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    fn take_back(&self, number: u32, unlinked: u32) -> io::Result<()> {
        let mut state = self.state();
        let status = if state.close(unlinked) { -ECONNRESET } else { 0 };
        message(&self.socket, &[RET_UNLINK, number, 0, 0, 0, status as u32], &[])
    }

    /// Ends a transfer with what goes to the host, or with an errno. Too late is no harm.
    pub(super) fn complete(&self, urb: &Urb, result: Result<Vec<u8>, i32>) {
        let mut state = self.state();
        if !state.close(urb.number) {
            return;
        }
        let (status, mut data) = match result {
            Ok(data) => (0, data),
            Err(errno) => (-errno, Vec::new()),
        };
        data.truncate(urb.length);
        let moved = match urb.endpoint & IN {
            0 if status == 0 => urb.length,
            0 => 0,
            _ => data.len(),
        };
        // If that fails, the cable is cut, and whoever reads will notice.
        let _ = returned(&self.socket, urb.number, status, moved, &data);
    }

    /// Sends this to the host as soon as it asks at this endpoint.
    pub(super) fn push(&self, endpoint: u8, data: Vec<u8>) {
        let mut state = self.state();
        state.queued.push_back((endpoint, data));
        let _ = state.serve(&self.socket, endpoint);
    }

    /// Waits until the host asks for something at this endpoint that it could not be given. `false` once the plug
    /// is pulled.
    pub(super) fn wait_for_reader(&self, endpoint: u8) -> bool {
        let idle =
            |state: &mut State| !state.closed && !state.open.iter().any(|open| open.endpoint == endpoint);
        let state = self.changed.wait_while(self.state(), idle).unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }
}

impl State {
    /// Whether this transfer was open; it is not any more.
    fn close(&mut self, number: u32) -> bool {
        let position = self.open.iter().position(|open| open.number == number);
        position.map(|position| self.open.remove(position)).is_some()
    }

    /// Gives what is queued for an endpoint to the transfers that wait there, oldest first.
    fn serve(&mut self, socket: &UnixStream, endpoint: u8) -> io::Result<()> {
        loop {
            let queued = self.queued.iter().position(|(at, _)| *at == endpoint);
            let open = self.open.iter().position(|open| open.endpoint == endpoint);
            let (Some(queued), Some(open)) = (queued, open) else { return Ok(()) };
            let Open { number, length, .. } = self.open.remove(open);
            let Some((_, mut data)) = self.queued.remove(queued) else { return Ok(()) };
            if data.len() > length {
                self.queued.insert(queued, (endpoint, data.split_off(length)));
            }
            returned(socket, number, 0, data.len(), &data)?;
        }
    }
}

fn returned(socket: &UnixStream, number: u32, status: i32, moved: usize, data: &[u8]) -> io::Result<()> {
    message(socket, &[RET_SUBMIT, number, 0, 0, 0, status as u32, moved as u32], data)
}

fn message(mut socket: &UnixStream, words: &[u32], data: &[u8]) -> io::Result<()> {
    let mut message: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    message.resize(HEADER, 0);
    message.extend_from_slice(data);
    socket.write_all(&message)
}

fn word(header: &[u8; HEADER], at: usize) -> u32 {
    header[at..].iter().take(4).fold(0, |word, byte| word << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submit(number: u32, inwards: u32, endpoint: u32, length: u32) -> Vec<u8> {
        let words = [SUBMIT, number, 1, inwards, endpoint, 0, length, 0, 0, 0, 0, 0];
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// Command, number, status and length of a reply, and its data.
    fn reply(mut host: &UnixStream) -> ([u32; 4], Vec<u8>) {
        let mut header = [0; HEADER];
        host.read_exact(&mut header).unwrap();
        let fields = [word(&header, 0), word(&header, 4), word(&header, 20), word(&header, 24)];
        let mut data = vec![0; if fields[0] == RET_SUBMIT { fields[3] as usize } else { 0 }];
        host.read_exact(&mut data).unwrap();
        (fields, data)
    }

    #[test]
    fn what_is_pushed_waits_for_the_host_and_is_cut_to_what_it_asks_for() {
        let (wire, mut host) = Wire::pair().unwrap();
        wire.push(0x81, vec![1, 2, 3]);
        for number in [10, 11] {
            host.write_all(&submit(number, 1, 1, 2)).unwrap();
            wire.receive().unwrap();
        }
        assert_eq!(reply(&host), ([RET_SUBMIT, 10, 0, 2], vec![1, 2]));
        assert_eq!(reply(&host), ([RET_SUBMIT, 11, 0, 1], vec![3]));
    }

    #[test]
    fn a_transfer_taken_back_is_not_completed() {
        let (wire, mut host) = Wire::pair().unwrap();
        host.write_all(&submit(1, 1, 0, 8)).unwrap();
        let first = wire.receive().unwrap();
        let unlink: Vec<u8> = [UNLINK, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
            .iter()
            .flat_map(|word: &u32| word.to_be_bytes())
            .collect();
        host.write_all(&unlink).unwrap();
        host.write_all(&submit(3, 0, 0, 0)).unwrap();
        let third = wire.receive().unwrap();
        wire.complete(&first, Ok(vec![1]));
        wire.complete(&third, Err(EPIPE));
        assert_eq!(reply(&host), ([RET_UNLINK, 2, (-ECONNRESET) as u32, 0], Vec::new()));
        assert_eq!(reply(&host), ([RET_SUBMIT, 3, (-EPIPE) as u32, 0], Vec::new()));
    }

    #[test]
    fn pulling_the_plug_ends_every_wait_and_every_transfer() {
        let (wire, mut host) = Wire::pair().unwrap();
        host.write_all(&submit(1, 1, 2, 8)).unwrap();
        wire.receive().unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| wire.wait_for_reader(0x81));
            let bus = scope.spawn(|| wire.receive().is_err());
            wire.close();
            assert!(!reader.join().unwrap() && bus.join().unwrap());
        });
        assert!(wire.is_closed());
        assert_eq!(reply(&host), ([RET_SUBMIT, 1, (-EPROTO) as u32, 0], Vec::new()));
        assert_eq!((&host).read(&mut [0; 1]).unwrap(), 0);
    }
}
