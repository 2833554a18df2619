//! PUT: `71` name, `73` type digits secret, and if wanted `78` property (a byte without length) and `7A` IMF, in this
//! order (YKOATH, "Put instruction"; for JavaCards the published applet).

use super::{YkOath, name, tag};
use crate::credential::{Credential, Hash, Kind, parse_type};
use crate::status::Status;
use crate::tlv::Reader;

const ONLY_INCREASING: u8 = 0x01;
const REQUIRE_TOUCH: u8 = 0x02;
const SECRET_MAX: usize = 64;

impl YkOath {
    pub(super) fn put(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        let quirks = self.firmware.quirks;
        if quirks.needs_code && self.code.is_none() {
            return Err(Status::CONDITIONS);
        }
        let mut credential =
            if quirks.reads_past_the_end { self.read_past_the_end(data)? } else { self.read(data)? };
        if !quirks.overwrites && self.position(&credential.name).is_ok() {
            return Err(Status::CONDITIONS);
        }
        let others = self.credentials.iter().filter(|other| other.name != credential.name);
        let names = others.map(|other| other.name.len()).chain([credential.name.len()]);
        if !self.firmware.capacity.holds(names) {
            return Err(Status::NO_SPACE);
        }
        if quirks.counts_first && credential.kind == Kind::Hotp {
            credential.counter += 1;
        }
        self.install(credential);
        Ok(Vec::new())
    }

    fn read(&self, data: &[u8]) -> Result<Credential, Status> {
        let quirks = self.firmware.quirks;
        let mut reader = Reader::new(data);
        let mut credential = self.read_key(&mut reader)?;
        let property = reader.optional_bare(tag::PROPERTY)?.unwrap_or(0);
        let imf = reader.optional(tag::IMF)?;
        reader.finish()?;
        // That firmware without touch refuses the bit, and all firmware an unknown one, is assumed.
        let touch = property & REQUIRE_TOUCH != 0;
        let refused = (touch && !self.firmware.touch && !quirks.ignores_touch)
            || property & !(ONLY_INCREASING | REQUIRE_TOUCH) != 0
            || (imf.is_some() && credential.kind == Kind::Totp && !quirks.imf_for_totp)
            || !(self.firmware.secret_min..=SECRET_MAX).contains(&credential.secret.len());
        if refused {
            return Err(Status::WRONG_DATA);
        }
        if let Some(imf) = imf {
            credential.counter = u32::from_be_bytes(imf.try_into().map_err(|_| Status::WRONG_DATA)?).into();
        }
        credential.touch = touch && !quirks.ignores_touch;
        credential.only_increasing = property & ONLY_INCREASING != 0;
        Ok(credential)
    }

    /// What the published JavaCard applet makes of a PUT: it reads on in the buffer. By the time it refuses what it
    /// finds there it has switched the credential of that name off.
    fn read_past_the_end(&mut self, data: &[u8]) -> Result<Credential, Status> {
        let mut buffer = data.to_vec();
        buffer.extend_from_slice(self.buffer.get(5 + data.len()..).unwrap_or_default());
        let mut reader = Reader::new(&buffer);
        let mut credential = self.read_key(&mut reader)?;
        let rest = (|| {
            let property = reader.optional_bare(tag::PROPERTY)?.unwrap_or(0);
            let imf = reader.optional(tag::IMF)?.unwrap_or(&[0; 4]);
            let imf = u32::from_be_bytes(imf.try_into().map_err(|_| Status::WRONG_DATA)?);
            if credential.secret.len() > SECRET_MAX { Err(Status::WRONG_DATA) } else { Ok((property, imf)) }
        })();
        let (property, imf) = rest.inspect_err(|_| {
            self.credentials.retain(|old| old.name != credential.name);
        })?;
        credential.counter = imf.into();
        credential.only_increasing = property & ONLY_INCREASING != 0;
        Ok(credential)
    }

    /// Name and key.
    fn read_key(&self, reader: &mut Reader<'_>) -> Result<Credential, Status> {
        let name = name(reader)?;
        let [type_byte, digits, secret @ ..] = reader.expect(tag::KEY)? else {
            return Err(Status::WRONG_DATA);
        };
        let (kind, hash) = parse_type(*type_byte).ok_or(Status::WRONG_DATA)?;
        let (shortest, longest) = self.firmware.quirks.digits;
        if (hash == Hash::Sha512 && !self.firmware.sha512) || !(shortest..=longest).contains(digits) {
            return Err(Status::WRONG_DATA);
        }
        Ok(Credential {
            name: name.to_vec(),
            kind,
            hash,
            digits: *digits,
            secret: secret.to_vec(),
            counter: 0,
            touch: false,
            only_increasing: false,
            last_challenge: Vec::new(),
        })
    }
}
