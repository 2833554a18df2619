//! The door through a real pcscd: a client of vsmartcard's virtual reader driver (vpcd).
//!
//! vpcd listens on a TCP port per slot and the card connects; closing the connection pulls the card. Messages
//! both ways are two big-endian bytes of length and so many bytes (vsmartcard, `virtualsmartcard/doc/api`):
//!
//! | message of one byte | meaning | answer |
//! |---|---|---|
//! | 00, 01, 02 | power off, power on, reset | none |
//! | 04 | asks for the ATR, also to see whether the card is there | the ATR |
//!
//! Anything longer is a command APDU. Touches and delays take real time here. Planned faults strike as in
//! process, with one difference: no card can make pcscd believe that another program reset it, so
//! [`crate::fault::FaultKind::Reset`] only makes the card forget its selection before it takes the command.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::linux::net::TcpStreamExt;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::card::{Exchange, VirtualCard, Waits};

const POWER_OFF: u8 = 0x00;
const POWER_ON: u8 = 0x01;
const RESET: u8 = 0x02;
const GET_ATR: u8 = 0x04;

/// How long [`VpcdCard::insert`] waits for pcscd to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A card in a slot of vpcd. Dropping it pulls the card.
pub struct VpcdCard {
    card: VirtualCard,
    stream: TcpStream,
    thread: Option<JoinHandle<()>>,
}

impl VpcdCard {
    /// Inserts a card into the slot that listens on this port of the local machine, as soon as pcscd does.
    /// Programs see it when pcscd has looked again, up to 0.4 s later.
    ///
    /// # Errors
    /// The error of the last attempt, if nobody listens within 10 s.
    pub fn insert(card: &VirtualCard, port: u16) -> io::Result<Self> {
        let stream = connect(port, PATIENCE)?;
        stream.set_nodelay(true)?;
        let mut wire = Wire { stream: stream.try_clone()?, card: card.clone() };
        let thread = thread::Builder::new().name(format!("vpcd card on port {port}")).spawn(move || {
            // Whatever ends the talk, the card is out: that is all there is to know.
            let _ = wire.serve();
            let _ = wire.stream.shutdown(Shutdown::Both);
            wire.card.power_off();
        })?;
        Ok(Self { card: card.clone(), stream, thread: Some(thread) })
    }

    /// Whether the card is still in: a fault pulls it, and so does the end of pcscd.
    #[must_use]
    pub fn is_inserted(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Pulls the card and returns when it is out. The device can be inserted again.
    pub fn remove(self) {}
}

impl Drop for VpcdCard {
    fn drop(&mut self) {
        // It may be out already.
        let _ = self.stream.shutdown(Shutdown::Both);
        // Ends a wait for a touch.
        self.card.power_off();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Tries until somebody listens; there is nothing to wait on for that.
fn connect(port: u16, patience: Duration) -> io::Result<TcpStream> {
    let start = Instant::now();
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Err(_) if start.elapsed() < patience => thread::sleep(Duration::from_millis(5)),
            result => return result,
        }
    }
}

struct Wire {
    stream: TcpStream,
    card: VirtualCard,
}

impl Wire {
    fn serve(&mut self) -> io::Result<()> {
        loop {
            let message = self.receive()?;
            match message.as_slice() {
                [POWER_OFF] => self.card.power_off(),
                [POWER_ON | RESET] => self.card.power_on(),
                [GET_ATR] => self.send(self.card.face().atr)?,
                [] | [_] => {}
                command => match self.exchange(command) {
                    Some(answer) => self.send(&answer)?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// `None` if the card is to be pulled.
    fn exchange(&self, command: &[u8]) -> Option<Vec<u8>> {
        match self.card.exchange(command, Waits::Real) {
            Exchange::Answer(answer) => Some(answer),
            Exchange::Reset => self.exchange(command),
            Exchange::Unplugged | Exchange::Silence => None,
        }
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 2];
        self.read_exact(&mut length)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.read_exact(&mut message)?;
        Ok(message)
    }

    /// vpcd writes length and bytes apart. Without a quick ACK for the first, Nagle's algorithm at its end waits
    /// for the delayed one at ours: 40 ms per command.
    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.stream.set_quickack(true)?;
        self.stream.read_exact(buffer)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u16::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        self.stream.write_all(&[&length.to_be_bytes(), bytes].concat())
    }
}
