//! What a slot does besides OATH, and how it types.
//!
//! UPDATE takes some flags and the access code and leaves secret and counter. Two of the flags it takes mean something
//! else for a slot that answers challenges (touch, length), so such a slot is left alone.

use super::flags::{Flags, cfg, tkt};
use super::ndef;
use super::plan::{self, invalid};
use super::status::{Effect, Slot, Status};
use super::token::{Known, OtpToken, empty, unsupported};
use super::wire::{Request, Written, unchanged};
use crate::error::{Error, ProgramError, SlotState};
use crate::token::task::{NdefRecord, Task, Typing};
use crate::token::{Attendant, FactorConfig, SlotId};

impl OtpToken {
    /// Does a task; what can be refused without asking the key is refused first.
    pub(super) fn do_task(&mut self, task: &Task, attendant: &dyn Attendant) -> Result<(), ProgramError> {
        let features = self.features;
        let at = |slot: &SlotId| plan::slot(slot, features);
        let planned = match task {
            Task::TypedHotp { slot, config, identifier, typing } => {
                if !matches!(config.factor, FactorConfig::Hotp { .. }) {
                    return Err(unchanged(invalid("factor", "it has to be HOTP")));
                }
                return self.write_credential(slot, config, identifier, typing, attendant);
            }
            Task::UpdateTyping { slot, typing } => return self.update_typing(slot, typing, attendant),
            Task::Swap => return self.swap(attendant),
            Task::Ndef { slot, record } => return self.write_ndef(slot, record, attendant),
            Task::YubicoOtp { slot, public_id, private_id, key, typing } => at(slot).and_then(|slot| {
                let flags = plan::typed(typing, slot, features)?;
                Ok((slot, plan::yubico_otp(public_id, private_id, key, flags)?))
            }),
            Task::StaticPassword { slot, password, typing } => {
                at(slot).and_then(|slot| Ok((slot, plan::password(password, typing, slot, features)?)))
            }
            Task::ChallengeResponse { slot, method, touch, typing } => at(slot).and_then(|slot| {
                Ok((slot, plan::challenge_response(method, *touch, typing, slot, features)?))
            }),
        };
        let (slot, config) = planned.map_err(unchanged)?;
        self.configure_slot(slot, &config, Known::default(), attendant)
    }

    fn update_typing(
        &mut self,
        slot: &SlotId,
        typing: &Typing,
        attendant: &dyn Attendant,
    ) -> Result<(), ProgramError> {
        let features = self.features;
        let planned = || {
            if !features.updates() {
                return Err(unsupported("an update", "firmware 2.3"));
            }
            if typing.protect_second {
                return Err(invalid("protect_second", "it is set when the slot is written, not later"));
            }
            let slot = plan::slot(slot, features)?;
            Ok((slot, plan::typed(typing, slot, features)?))
        };
        let (slot, flags) = planned().map_err(unchanged)?;
        let status = self.look(attendant).map_err(unchanged)?;
        let old = slot.of(self.known).flags;
        let types = match old {
            Some(old) => !old.answers(),
            // A challenge that wants a touch looks like a slot that types: the caller says that it does.
            None => status.by_touch(slot, features) != Some(false) || !status.in_use(slot, features),
        };
        if !types {
            let meaning = "the slot answers challenges and types nothing";
            return Err(unchanged(Error::Rejected { command: "UPDATE SLOT", meaning }));
        }
        let code = slot.of([&self.codes[0], &self.codes[1]]).clone();
        self.update(slot, flags, code.as_ref(), attendant).map_err(|error| match error.source {
            // The key does not tell which it was.
            Error::Locked | Error::WrongLockCode { .. } => unchanged(Error::Rejected {
                command: "UPDATE SLOT",
                meaning: "the slot does not allow updates, or asks for another access code",
            }),
            source => ProgramError { source, ..error },
        })?;
        let kept = |old: Flags| Flags {
            ext: flags.ext,
            tkt: old.tkt & !tkt::UPDATE | flags.tkt & tkt::UPDATE,
            cfg: old.cfg & !cfg::UPDATE | flags.cfg & cfg::UPDATE,
        };
        let known = self.known_mut(slot);
        known.flags = known.flags.map(kept);
        Ok(())
    }

    fn swap(&mut self, attendant: &dyn Attendant) -> Result<(), ProgramError> {
        let features = self.features;
        if !features.updates() {
            return Err(unchanged(unsupported("swapping slots", "firmware 2.3")));
        }
        let mut plan = |status: Status| {
            if Slot::BOTH.iter().any(|slot| status.in_use(*slot, features)) {
                Ok((Request::swap(), Effect::Hidden))
            } else {
                Err(empty(Slot::One))
            }
        };
        match self.wire.write(features, &mut plan, attendant) {
            Ok(Written::Done(status)) => {
                self.note(status);
                self.known.swap(0, 1);
                self.codes.swap(0, 1);
                Ok(())
            }
            Err(error) => {
                if error.slot == SlotState::Unknown {
                    self.known = [Known::default(); 2];
                }
                Err(error)
            }
            Ok(Written::Refused) => Err(unchanged(Error::Rejected {
                command: "SWAP SLOTS",
                meaning: "one of the slots is protected by an access code",
            })),
        }
    }

    fn write_ndef(
        &mut self,
        slot: &SlotId,
        record: &NdefRecord,
        attendant: &dyn Attendant,
    ) -> Result<(), ProgramError> {
        let features = self.features;
        let planned = || {
            if !features.ndef() {
                return Err(unsupported("an NDEF record", "a YubiKey NEO or a YubiKey 5 with NFC"));
            }
            ndef::payload(record, None)?;
            plan::slot(slot, features)
        };
        let slot = planned().map_err(unchanged)?;
        self.write(slot, Effect::Hidden, attendant, |status, current, _| {
            if !status.in_use(slot, features) {
                return Err(empty(slot));
            }
            Ok(Request::ndef(slot, ndef::payload(record, current)?))
        })
    }
}
