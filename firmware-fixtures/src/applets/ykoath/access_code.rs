//! The access code of the OATH applet: SET CODE and VALIDATE (YKOATH, "Authentication").
//!
//! The device never sees the password: the host derives 16 bytes from it and the device's id, and both sides
//! prove with HMAC-SHA-1 over the other's challenge that they have them. There is no retry counter.

use super::{YkOath, challenge, tag};
use crate::credential::Hash;
use crate::otp;
use crate::status::Status;
use crate::tlv::{Reader, push};

/// The access code as the device keeps it.
#[derive(Clone, Copy)]
pub(super) struct AccessCode {
    /// Type/algorithm byte as the host wrote it, told back in SELECT.
    pub(super) algorithm: u8,
    key: [u8; 16],
}

impl AccessCode {
    fn answer(&self, challenge: &[u8]) -> Vec<u8> {
        otp::hmac(Hash::Sha1, &self.key, challenge)
    }
}

impl YkOath {
    /// The 16-byte access key, if a code is set.
    #[must_use]
    pub fn access_key(&self) -> Option<[u8; 16]> {
        self.code.map(|code| code.key)
    }

    /// Sets or removes the access key past the protocol, as another program would have.
    pub fn set_access_key(&mut self, key: Option<[u8; 16]>) {
        self.code = key.map(|key| AccessCode { algorithm: 0x21, key });
        self.unlocked = key.is_none();
    }

    /// SET CODE: the host proves with one response that it knows the key it sets; an empty key removes it.
    pub(super) fn set_code(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        let mut reader = Reader::new(data);
        let (algorithm, key) = match reader.expect(tag::KEY)? {
            [] => {
                reader.finish()?;
                if self.firmware.quirks.needs_code {
                    return Err(Status::CONDITIONS);
                }
                self.code = None;
                return Ok(Vec::new());
            }
            [algorithm, key @ ..] => (*algorithm, key.try_into().map_err(|_| Status::WRONG_DATA)?),
        };
        let challenge = challenge(&mut reader)?;
        let response = reader.expect(tag::RESPONSE)?;
        reader.finish()?;
        if algorithm & 0x0F != 0x01 {
            return Err(Status::WRONG_DATA);
        }
        let code = AccessCode { algorithm, key };
        if response != code.answer(challenge) {
            return Err(self.firmware.quirks.code_mismatch);
        }
        self.code = Some(code);
        if self.firmware.set_code_locks {
            self.unlocked = false;
            self.challenge = None;
        }
        Ok(Vec::new())
    }

    /// VALIDATE: the host answers the challenge of the last SELECT, the device the host's.
    pub(super) fn validate(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        let quirks = self.firmware.quirks;
        let code = self.code.ok_or(quirks.no_code)?;
        let mut reader = Reader::new(data);
        let response = reader.expect(tag::RESPONSE)?;
        let host_challenge = challenge(&mut reader)?;
        reader.finish()?;
        let challenge = self.challenge;
        if quirks.unlocks_once {
            // The next challenge is told by the next SELECT only.
            self.challenge = Some(self.entropy.draw());
        }
        match challenge {
            Some(own) if response == code.answer(&own) => {
                self.unlocked = true;
                let mut out = Vec::new();
                push(&mut out, tag::RESPONSE, &code.answer(host_challenge));
                Ok(out)
            }
            _ => {
                self.unlocked &= !quirks.stays_unlocked;
                Err(Status::WRONG_DATA)
            }
        }
    }
}
