//! Writing a credential: what is checked first, and in which order an entry of the same name makes room.
//!
//! From version 4.13 PUT overwrites nothing. So PUT is tried; refused for the name alone, it is followed by LIST (what
//! is it that is there?), DELETE and the same PUT again. Before 4.13 PUT overwrites whatever is there, and so LIST goes
//! first; what only the PIN would show is then not risked.
//!
//! The alternatives are worse. Renaming the old entry first, or writing the new one under another name, takes one more
//! touch, and leaves two entries instead of one behind if somebody walks away.

use super::commands::{Delete, Put};
use super::credential::Written;
use super::entry::{Entry, slot_name};
use super::token::Memory;
use super::wire::{Failure, Session, Touch};
use crate::error::{Error, SlotState};
use crate::token::{Capabilities, SlotConfig, SlotId};

/// A credential to be written, checked before the first exchange.
pub(super) struct Order<'a> {
    slot: &'a str,
    config: &'a SlotConfig,
    written: Written,
}

impl<'a> Order<'a> {
    /// Checks what can be checked without the key.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Unsupported`].
    pub(super) fn check(
        slot: &'a SlotId,
        config: &'a SlotConfig,
        capabilities: &Capabilities,
    ) -> Result<Self, Error> {
        let slot = slot_name(slot)?;
        Ok(Self { slot, config, written: Written::check(slot, config, capabilities)? })
    }

    /// Writes it; `state` says at any time what an error would leave of the slot.
    ///
    /// # Errors
    /// Whatever the key says.
    pub(super) fn carry_out(
        &self,
        session: &mut Session<'_>,
        memory: &mut Memory,
        state: &mut SlotState,
    ) -> Result<(), Error> {
        // A touch for a PUT that will be refused would be asked for in vain.
        let look_first = !memory.features.refuses_to_overwrite()
            || self.config.touch
            || memory.stored(self.slot).is_some();
        if look_first {
            memory.look(session)?;
        }
        if memory.stored(self.slot).is_none() {
            if !memory.features.refuses_to_overwrite()
                && let locked @ Error::Locked = memory.missing(self.slot)
            {
                return Err(locked);
            }
            match self.put(session, memory, false, state) {
                Ok(()) => return Ok(()),
                Err(failure) if Put::is_in_use(&failure.source) => {
                    if !look_first {
                        memory.look(session)?;
                    }
                }
                // Room is asked for first; an entry that is replaced makes it.
                Err(Failure { source: Error::Full, .. }) if !look_first => {
                    memory.look(session)?;
                    memory.stored(self.slot).ok_or(Error::Full)?;
                }
                Err(failure) => return Err(failure.source),
            }
        }
        self.replace(session, memory, state)
    }

    /// Writes it over the entry that has its name.
    fn replace(
        &self,
        session: &mut Session<'_>,
        memory: &mut Memory,
        state: &mut SlotState,
    ) -> Result<(), Error> {
        if memory.stored(self.slot).is_none() && memory.pin.is_some() {
            // Another program wrote it since the PIN was proven.
            memory.verify(session)?;
            memory.look_with_pin(session)?;
        }
        let old = memory.stored(self.slot).cloned().ok_or_else(|| match memory.missing(self.slot) {
            Error::Locked => Error::Locked,
            // There is none, says the key, and it is in use.
            _ => crate::iso7816::status::StatusWord(0x6983).refused("PUT"),
        })?;
        old.check_loss()?;
        let encrypted = old.is_encrypted();
        if encrypted {
            memory.verify(session)?;
        }
        if !memory.features.refuses_to_overwrite() {
            match self.put(session, memory, encrypted, state) {
                // Room is asked for first here, too.
                Err(Failure { source: Error::Full, .. }) if !encrypted => {}
                written => return Ok(written?),
            }
        }
        *state = SlotState::Unknown;
        let delete = Delete { name: self.slot.as_bytes() };
        match session.call_once(&delete, Touch::maybe(memory.features.touch_to_delete())) {
            Ok(()) => {
                memory.known.retain(|entry| entry.name != old.name);
                if encrypted {
                    memory.verify(session)?;
                }
                // Whatever happens now, the old credential is gone.
                let written = self.put(session, memory, encrypted, state);
                if written.is_err() {
                    *state = SlotState::Unknown;
                }
                Ok(written?)
            }
            // Another program was faster.
            Err(Failure { source: Error::SlotEmpty { .. }, .. }) => {
                Ok(self.put(session, memory, encrypted, state)?)
            }
            Err(failure) => {
                if !failure.carried_out {
                    *state = SlotState::Unchanged;
                }
                Err(failure.source)
            }
        }
    }

    fn put(
        &self,
        session: &mut Session<'_>,
        memory: &mut Memory,
        pin: bool,
        state: &mut SlotState,
    ) -> Result<(), Failure> {
        let Self { config, written, .. } = self;
        let put = Put {
            name: self.slot.as_bytes(),
            kind: written.kind,
            algorithm: config.algorithm,
            digits: config.digits,
            secret: &written.key,
            touch: config.touch,
            pin,
            counter: written.counter,
        };
        let overwrites = memory.stored(self.slot).is_some();
        let touch = (config.touch && !pin) || memory.features.touch_to_put();
        *state = SlotState::Unknown;
        if let Err(failure) = session.call_once(&put, Touch::maybe(touch)) {
            // Before 4.13 the old entry is deleted first, and then there may still be no room for the new one.
            if !(failure.carried_out || overwrites && matches!(failure.source, Error::Full)) {
                *state = SlotState::Unchanged;
                session.nothing_happened();
            }
            return Err(failure);
        }
        memory.known.retain(|entry| entry.name != put.name);
        memory.known.push(Entry {
            name: put.name.to_vec(),
            kind: Some(put.kind),
            algorithm: Some(put.algorithm),
            touch: Some(put.touch),
            pin: Some(pin),
            safe: false,
            digits: Some(put.digits),
        });
        Ok(())
    }
}
