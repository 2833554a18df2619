//! How tokens that are no `YubiKey` say who they are.
//!
//! | token | applet | command | answer |
//! |---|---|---|---|
//! | CanoKey | admin, `F000000000` | `32`, P1 P2 0 | serial, 4 bytes, shown as 8 hexadecimal digits |
//! | Solo 2 | admin, `A00000084700000001` | `62` | UUID, 16 bytes, shown as 32 hexadecimal digits |
//! | | | `61` | firmware version, 4 bytes: 10 bits, 16 bits, 6 bits |
//! | `VivoKey` | none | | |
//!
//! Sources: canokey-core, `applets/admin`; admin-app and solo2-cli of `SoloKeys`; apex-totp of `VivoKey`.

use super::features::Family;
use super::identity::Identity;
use crate::error::Error;
use crate::iso7816::card::{Card, Select};
use crate::iso7816::{Command, Malformed};

const CANOKEY_ADMIN_AID: &[u8] = &[0xF0, 0x00, 0x00, 0x00, 0x00];
const SOLO_ADMIN_AID: &[u8] = &[0xA0, 0x00, 0x00, 0x08, 0x47, 0x00, 0x00, 0x00, 0x01];

pub(super) fn from_canokey(card: &mut Card<'_>) -> Result<Identity, Error> {
    card.call(&Select { aid: CANOKEY_ADMIN_AID })?;
    let serial = card.call(&ReadSerial)?;
    Ok(Identity {
        maker: "CanoKeys",
        model: "CanoKey".to_owned(),
        serial: Some(format!("{serial:08X}")),
        firmware: None,
        family: Family::CanoKey,
    })
}

pub(super) fn from_solo(card: &mut Card<'_>) -> Result<Identity, Error> {
    card.call(&Select { aid: SOLO_ADMIN_AID })?;
    let uuid = card.call(&GetUuid)?;
    let version = card.call(&GetVersion)?;
    Ok(Identity {
        maker: "SoloKeys",
        model: "Solo 2".to_owned(),
        serial: Some(format!("{uuid:032X}")),
        firmware: Some(version),
        family: Family::Solo,
    })
}

/// The only applet that counts its versions so. It tells no serial.
pub(super) fn vivokey() -> Identity {
    Identity {
        maker: "VivoKey",
        model: "Apex OTP".to_owned(),
        serial: None,
        firmware: None,
        family: Family::JavaCard,
    }
}

struct ReadSerial;

impl Command for ReadSerial {
    const NAME: &'static str = "READ SN";
    const INS: u8 = 0x32;
    type Response = u32;

    fn decode(data: &[u8]) -> Result<u32, Malformed> {
        data.try_into().map(u32::from_be_bytes).map_err(|_| Malformed::new("serial is not 4 bytes", 0))
    }
}

struct GetUuid;

impl Command for GetUuid {
    const NAME: &'static str = "UUID";
    const INS: u8 = 0x62;
    type Response = u128;

    fn decode(data: &[u8]) -> Result<u128, Malformed> {
        data.try_into().map(u128::from_be_bytes).map_err(|_| Malformed::new("UUID is not 16 bytes", 0))
    }
}

struct GetVersion;

impl Command for GetVersion {
    const NAME: &'static str = "VERSION";
    const INS: u8 = 0x61;
    type Response = String;

    fn decode(data: &[u8]) -> Result<String, Malformed> {
        let bits = data.try_into().map_err(|_| Malformed::new("version is not 4 bytes", 0))?;
        let bits = u32::from_be_bytes(bits);
        Ok(format!("{}.{}.{}", bits >> 22, bits >> 6 & 0xFFFF, bits & 0x3F))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_and_versions_are_read_from_their_bytes() {
        assert_eq!(ReadSerial::decode(&[0x00, 0xAB, 0xCD, 0xEF]), Ok(0x00AB_CDEF));
        assert_eq!(GetUuid::decode(&[0x11; 16]), Ok(0x1111_1111_1111_1111_1111_1111_1111_1111));
        assert_eq!(GetVersion::decode(&[0x00, 0x80, 0xF1, 0x02]), Ok("2.964.2".to_owned()));
    }

    #[test]
    fn answers_of_another_length_are_refused() {
        for length in (0..40).filter(|length| *length != 4) {
            assert!(ReadSerial::decode(&vec![0; length]).is_err());
            assert!(GetVersion::decode(&vec![0; length]).is_err());
            assert_eq!(GetUuid::decode(&vec![0; length]).is_ok(), length == 16);
        }
    }
}
