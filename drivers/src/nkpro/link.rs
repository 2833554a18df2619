//! One command and its reply over the wire.
//!
//! After a request the device is left alone for 10 ms, then asked until it answers *this* request, at growing
//! distances up to 100 ms. (The maker's library waits 100 ms, 40 ms on a Storage, before it asks at all.) What is
//! damaged or stale is read again, since a reply stays in the device. If none comes in the command's patience,
//! commands that change nothing are sent again, twice at most: another program may have put its own request in
//! between. The others are never sent twice.

use std::time::Duration;

use super::commands::Command;
use super::frame::{self, NotYet, REPORT, Reply, Request};
use super::status;
use crate::error::Error;
use crate::token::Attendant;
use crate::transport::{HidConnection, TransportError};

/// The first pause after a request.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How often a command that changes nothing is sent.
const SENDS: u32 = 3;

/// The wire to an open device.
pub(super) struct Link {
    hid: Box<dyn HidConnection>,
    last_crc: Option<[u8; 4]>,
}

impl Link {
    pub(super) fn new(hid: Box<dyn HidConnection>) -> Self {
        Self { hid, last_crc: None }
    }

    /// Runs a command. The attendant may cancel before it is sent, and while it runs if it changes nothing.
    ///
    /// # Errors
    /// What its status means (`status.rs`), or the wire's.
    pub(super) fn call<C: Command>(
        &mut self,
        command: &C,
        attendant: &dyn Attendant,
    ) -> Result<C::Response, Error> {
        let reply = self.exchange::<C>(command.request(), command.changes(), attendant)?;
        if let Some(error) = status::error(C::NAME, reply.status) {
            return Err(error);
        }
        command.decode(&reply.payload)
    }

    fn exchange<C: Command>(
        &mut self,
        mut request: Request,
        changes: bool,
        attendant: &dyn Attendant,
    ) -> Result<Reply, Error> {
        let sends = if changes { 1 } else { SENDS };
        let mut why = NotYet::Stale;
        for _ in 0..sends {
            if attendant.cancelled() {
                return Err(Error::Cancelled);
            }
            if self.last_crc == Some(request.crc()) {
                request.vary();
            }
            self.last_crc = Some(request.crc());
            self.hid.set_feature(&request.report())?;
            match self.await_reply(&request, C::PATIENCE, changes, attendant)? {
                Ok(reply) => return Ok(reply),
                Err(not_yet) => why = not_yet,
            }
        }
        Err(TransportError::Failed { call: C::NAME, detail: why.text().to_owned() }.into())
    }

    fn await_reply(
        &mut self,
        request: &Request,
        patience: Duration,
        changes: bool,
        attendant: &dyn Attendant,
    ) -> Result<Result<Reply, NotYet>, Error> {
        let (mut waited, mut pause) = (Duration::ZERO, FIRST_PAUSE);
        loop {
            self.hid.pause(pause);
            waited += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match frame::read(&self.hid.get_feature(REPORT)?, request) {
                Ok(reply) => return Ok(Ok(reply)),
                Err(not_yet) if waited >= patience => return Ok(Err(not_yet)),
                Err(_) if !changes && attendant.cancelled() => return Err(Error::Cancelled),
                Err(_) => {}
            }
        }
    }
}
