//! An open OnlyKey as a [`Token`].

use super::frame::{self, Field, MAX_KEY};
use super::link::{Asked, FEW_SLOTS, Link, MANY_SLOTS, refusal};
use crate::error::{Error, ProgramError, SlotState};
use crate::iso7816::Malformed;
use crate::token::{
    Addressing, Algorithm, Attendant, Capabilities, FactorConfig, LockCode, MovingFactor, Passcode,
    SlotConfig, SlotId, SlotInfo, Token, TokenInfo, UnixTime,
};

/// The label of a slot that is programmed without one: it would look empty otherwise.
const NAMELESS: &str = "TOTP";

pub(super) struct OnlyKeyToken {
    link: Link,
    info: TokenInfo,
    /// Labels as last told, from slot 1 on; empty until the token is unlocked.
    labels: Vec<String>,
}

impl OnlyKeyToken {
    pub(super) fn new(link: Link, serial: Option<String>, asked: Asked) -> Self {
        let info = TokenInfo {
            maker: "CryptoTrust".to_owned(),
            model: "OnlyKey".to_owned(),
            serial,
            firmware: "unknown".to_owned(),
            locked: false,
            capabilities: Capabilities {
                algorithms: vec![Algorithm::Sha1],
                digits: vec![6],
                hotp: false,
                totp: true,
                calculate: false,
                hotp_by_hand: false,
                first_counter: 0,
                touch: false,
                max_slots: None,
                max_secret_bytes: MAX_KEY,
                #[allow(clippy::reversed_empty_ranges)]
                addressing: Addressing::Numbered { hotp: 1..=0, totp: 1..=1 },
                time_steps: vec![30],
                clock: true,
            },
        };
        let mut token = Self { link, info, labels: Vec::new() };
        token.size_up(FEW_SLOTS);
        // What it says instead of labels is known by now, and told again when it is asked again.
        let _ = token.learn(asked);
        token
    }

    fn size_up(&mut self, slots: usize) {
        let slots = u8::try_from(slots).unwrap_or(u8::MAX);
        self.info.model = if slots > 12 { "OnlyKey Duo" } else { "OnlyKey" }.to_owned();
        self.info.capabilities.max_slots = Some(slots.into());
        if let Addressing::Numbered { totp, .. } = &mut self.info.capabilities.addressing {
            *totp = 1..=slots;
        }
    }

    fn learn(&mut self, asked: Asked) -> Result<(), Error> {
        match asked {
            Asked::Labels(labels) => {
                self.info.locked = false;
                self.size_up(labels.len());
                self.labels = labels;
                Ok(())
            }
            Asked::Otherwise(said) => {
                if let frame::Said::Locked { duo } = said {
                    self.info.locked = true;
                    if duo == Some(true) {
                        self.size_up(MANY_SLOTS);
                    }
                }
                Err(refusal(&said).unwrap_or_else(|| Malformed::new("no label", 0).of("GETLABELS")))
            }
        }
    }

    fn number(&self, slot: &SlotId) -> Result<u8, Error> {
        let invalid = |problem: String| Err(Error::Invalid { field: "slot", problem });
        let Addressing::Numbered { totp, .. } = &self.info.capabilities.addressing else {
            return invalid("the token has none".to_owned());
        };
        match slot {
            SlotId::Index(number) if totp.contains(number) => Ok(*number),
            SlotId::Index(number) => {
                invalid(format!("the token has slots 1 to {}, and no {number}", totp.end()))
            }
            SlotId::Name(_) => invalid("the slots of this token have numbers, not names".to_owned()),
        }
    }

    fn connect(&mut self, now: u32) -> Result<(), Error> {
        let (firmware, duo) = self.link.connect(now).inspect_err(|error| {
            self.info.locked |= matches!(error, Error::Locked);
        })?;
        self.info.locked = false;
        if !firmware.is_empty() {
            self.info.firmware = firmware;
        }
        if duo {
            self.size_up(MANY_SLOTS);
        }
        Ok(())
    }

    fn remember(&mut self, number: u8, label: &str) {
        let known = usize::from(number).checked_sub(1).and_then(|index| self.labels.get_mut(index));
        if let Some(known) = known {
            label.clone_into(known);
        }
    }

    fn try_program(
        &mut self,
        slot: &SlotId,
        config: &SlotConfig,
        attendant: &dyn Attendant,
        sent: &mut bool,
    ) -> Result<(), Error> {
        let number = self.number(slot)?;
        check(config)?;
        let key = frame::key(&config.secret)?;
        let now = time(config.now)?;
        check_cancelled(attendant)?;
        self.connect(now)?;
        check_cancelled(attendant)?;
        self.link.set(number, Field::TotpKey, &key, sent)?;
        let known = usize::from(number).checked_sub(1).and_then(|index| self.labels.get(index));
        let label = match config.label.as_deref().map(frame::cut_label) {
            Some(label) if !label.is_empty() => label,
            _ if known.is_some_and(|known| !known.is_empty()) => return Ok(()),
            _ => NAMELESS,
        };
        self.link.set(number, Field::Label, label.as_bytes(), sent)?;
        let label = label.to_owned();
        self.remember(number, &label);
        Ok(())
    }
}

/// Checks what the token has no choice about.
fn check(config: &SlotConfig) -> Result<(), Error> {
    let unsupported = |what, needs: &str| Err(Error::Unsupported { what, needs: needs.to_owned() });
    match config.factor {
        FactorConfig::Hotp { .. } => return unsupported("HOTP", "a token that counts: this has a clock"),
        FactorConfig::Totp { time_step: 30 } => {}
        FactorConfig::Totp { .. } => return unsupported("this time step", "30 seconds"),
    }
    if config.algorithm != Algorithm::Sha1 {
        return unsupported("this hash function", "SHA-1");
    }
    if config.digits != 6 {
        return unsupported("passcodes of this length", "6 digits");
    }
    if config.touch {
        return unsupported("touch", "a choice: it types at the press of a button, and only then");
    }
    Ok(())
}

fn time(now: UnixTime) -> Result<u32, Error> {
    u32::try_from(now.0)
        .map_err(|_| Error::Invalid { field: "now", problem: "its clock ends in the year 2106".to_owned() })
}

fn check_cancelled(attendant: &dyn Attendant) -> Result<(), Error> {
    if attendant.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
}

fn on_its_buttons(what: &'static str) -> Error {
    Error::Unsupported { what, needs: "its owner's fingers on its own buttons".to_owned() }
}

impl Token for OnlyKeyToken {
    fn info(&self) -> &TokenInfo {
        &self.info
    }

    fn unlock(&mut self, _code: &LockCode) -> Result<(), Error> {
        Err(on_its_buttons("unlocking by its host"))
    }

    fn forget_code(&mut self) {}

    fn set_lock_code(&mut self, _code: Option<&LockCode>) -> Result<(), Error> {
        Err(on_its_buttons("a change of its PIN by its host"))
    }

    fn slots(&mut self) -> Result<Vec<SlotInfo>, Error> {
        let known = Some(self.labels.len()).filter(|slots| *slots > 0);
        let asked = self.link.labels(known)?;
        self.learn(asked)?;
        Ok((1..)
            .zip(&self.labels)
            .map(|(number, label)| SlotInfo {
                slot: SlotId::Index(number),
                in_use: !label.is_empty(),
                kind: None,
                algorithm: None,
                digits: None,
                time_step: None,
                touch: None,
            })
            .collect())
    }

    fn program(
        &mut self,
        slot: &SlotId,
        config: &SlotConfig,
        attendant: &dyn Attendant,
    ) -> Result<(), ProgramError> {
        let mut sent = false;
        self.try_program(slot, config, attendant, &mut sent).map_err(|source| ProgramError {
            slot: if sent { SlotState::Unknown } else { SlotState::Unchanged },
            source,
        })
    }

    /// Takes away the key, the second factor and the label; what else its owner keeps in the slot stays.
    fn erase(&mut self, slot: &SlotId, attendant: &dyn Attendant) -> Result<(), Error> {
        let number = self.number(slot)?;
        check_cancelled(attendant)?;
        // Writing a key makes the slot a TOTP slot, even an empty one, so that comes first.
        for field in [Field::TotpKey, Field::SecondFactor, Field::Label] {
            self.link.set(number, field, &[], &mut false)?;
        }
        self.remember(number, "");
        Ok(())
    }

    fn calculate(
        &mut self,
        _slot: &SlotId,
        _factor: MovingFactor,
        _attendant: &dyn Attendant,
    ) -> Result<Passcode, Error> {
        Err(on_its_buttons("a passcode for its host"))
    }

    fn set_clock(&mut self, now: UnixTime) -> Result<(), Error> {
        self.connect(time(now)?)
    }

    fn reset(&mut self, _attendant: &dyn Attendant) -> Result<(), Error> {
        Err(on_its_buttons("a reset by its host"))
    }
}
