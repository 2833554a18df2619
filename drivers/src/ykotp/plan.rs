//! From what is wished for to what is written. All that can be refused without asking the key is refused here.

use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::config::{Config, FIXED, HMAC_KEY, IMF_MAX, IMF_UNIT};
use super::features::Features;
use super::flags::{self, Flags, cfg, tkt};
use super::status::Slot;
use super::{identifier, keys};
use crate::error::Error;
use crate::token::task::{ChallengeMethod, Password, Typing};
use crate::token::{Algorithm, FactorConfig, SecretBytes, SlotConfig, SlotId};

/// Block of SHA-1: a key that is longer is hashed first (RFC 2104 §2).
const BLOCK: usize = 64;

pub(super) fn invalid(field: &'static str, problem: impl Into<String>) -> Error {
    Error::Invalid { field, problem: problem.into() }
}

fn unsupported(what: &'static str, needs: impl Into<String>) -> Error {
    Error::Unsupported { what, needs: needs.into() }
}

/// The slot that is meant.
pub(super) fn slot(slot: &SlotId, features: Features) -> Result<Slot, Error> {
    match slot {
        SlotId::Index(1) => Ok(Slot::One),
        SlotId::Index(2) if features.slots() == 2 => Ok(Slot::Two),
        SlotId::Index(2) => Err(unsupported("slot 2", "firmware 2.0")),
        _ => Err(invalid("slot", "it has to be 1 or 2")),
    }
}

/// An OATH credential: HOTP, or a key for challenges that are time steps.
pub(super) fn credential(
    config: &SlotConfig,
    identifier: &str,
    typing: &Typing,
    slot: Slot,
    features: Features,
) -> Result<Config, Error> {
    if config.algorithm != Algorithm::Sha1 {
        return Err(unsupported("this hash function", "SHA-1, the only one of these slots"));
    }
    if !matches!(config.digits, 6 | 8) {
        return Err(unsupported("this passcode length", "6 or 8 digits"));
    }
    if config.touch && !features.touch() {
        return Err(unsupported(
            "a touch",
            "firmware 2.2 and USB: in the field of a reader no touch is waited for",
        ));
    }
    let key = hmac_key(&config.secret)?;
    match config.factor {
        FactorConfig::Hotp { counter } => {
            if !features.hotp() {
                return Err(unsupported("HOTP", "firmware 2.1"));
            }
            if !counter.is_multiple_of(IMF_UNIT) || counter > IMF_MAX {
                return Err(invalid("counter", "it has to be a multiple of 16, 1048560 at most"));
            }
            if counter != 0 && !features.initial_counter() {
                return Err(unsupported("a counter other than 0", "firmware 2.2"));
            }
            let (identifier, modhex) = identifier::parse(identifier)?;
            let typing = typed(typing, slot, features)?;
            let eight = if config.digits == 8 { cfg::OATH_HOTP8 } else { 0 };
            let flags =
                Flags { tkt: typing.tkt | tkt::OATH_HOTP, cfg: typing.cfg | modhex | eight, ..typing };
            Ok(Config::of_hotp(&key, counter, identifier, flags))
        }
        FactorConfig::Totp { time_step: 0 } => Err(invalid("time_step", "it is 0")),
        FactorConfig::Totp { .. } => {
            let flags = answering(typing, slot, config.touch, cfg::CHAL_HMAC | cfg::HMAC_LT64, features)?;
            Ok(Config::of_hmac_key(&key, flags))
        }
    }
}

/// A Yubico OTP credential.
pub(super) fn yubico_otp(
    public_id: &[u8],
    private_id: &SecretBytes,
    key: &SecretBytes,
    flags: Flags,
) -> Result<Config, Error> {
    if public_id.len() > FIXED {
        return Err(invalid("public_id", "it has more than 16 bytes"));
    }
    let mut config = Config { fixed: Zeroizing::new(public_id.to_vec()), ..Config::of_flags(flags) };
    *config.uid = private_id.expose().try_into().map_err(|_| invalid("private_id", "it has not 6 bytes"))?;
    *config.key = key.expose().try_into().map_err(|_| invalid("key", "it has not 16 bytes"))?;
    Ok(config)
}

/// A password.
pub(super) fn password(
    password: &Password,
    typing: &Typing,
    slot: Slot,
    features: Features,
) -> Result<Config, Error> {
    if !features.scan_codes() {
        return Err(unsupported("a password", "firmware 2.0"));
    }
    let codes = keys::of_password(password)?;
    let typing = typed(typing, slot, features)?;
    Ok(Config::of_scan_codes(&codes, Flags { cfg: typing.cfg | cfg::SHORT_TICKET, ..typing }))
}

/// A key that answers challenges.
pub(super) fn challenge_response(
    method: &ChallengeMethod,
    touch: bool,
    typing: &Typing,
    slot: Slot,
    features: Features,
) -> Result<Config, Error> {
    match method {
        ChallengeMethod::HmacSha1 { key, variable_length } => {
            let length = if *variable_length { cfg::HMAC_LT64 } else { 0 };
            let flags = answering(typing, slot, touch, cfg::CHAL_HMAC | length, features)?;
            Ok(Config::of_hmac_key(&hmac_key(key)?, flags))
        }
        ChallengeMethod::YubicoOtp { private_id, key } => {
            let flags = answering(typing, slot, touch, cfg::CHAL_YUBICO, features)?;
            yubico_otp(&[], private_id, key, flags)
        }
    }
}

/// The flags of a slot that types.
pub(super) fn typed(typing: &Typing, slot: Slot, features: Features) -> Result<Flags, Error> {
    known(flags::of_typing(typing), slot, features)
}

/// The flags of a slot that answers challenges in this way.
fn answering(
    typing: &Typing,
    slot: Slot,
    touch: bool,
    method: u8,
    features: Features,
) -> Result<Flags, Error> {
    if !features.challenges() {
        return Err(unsupported("challenge-response", "firmware 2.2"));
    }
    if touch && !features.touch() {
        return Err(unsupported("a touch", "USB: in the field of a reader no touch is waited for"));
    }
    let touch = if touch { cfg::CHAL_BTN_TRIG } else { 0 };
    let behaviour = known(flags::of_behaviour(typing), slot, features)?;
    Ok(Flags { tkt: behaviour.tkt | tkt::CHAL_RESP, cfg: method | touch, ..behaviour })
}

/// Flags that the firmware knows. What is on unless it is switched off is left out silently where the firmware is
/// older, what somebody switched on is not.
fn known(flags: Flags, slot: Slot, features: Features) -> Result<Flags, Error> {
    let usual = flags::of_typing(&Typing::default()).ext;
    if flags.ext & !usual & !features.known_ext() != 0 {
        return Err(unsupported("one of these settings", "newer firmware: 2.2 to 2.4, by setting"));
    }
    if flags.tkt & tkt::PROTECT_CFG2 != 0 && slot == Slot::Two {
        return Err(invalid("protect_second", "it is a setting of slot 1"));
    }
    Ok(features.trim(flags))
}

/// A key of at most 20 bytes; one of more than a block is hashed to that.
fn hmac_key(secret: &SecretBytes) -> Result<Zeroizing<Vec<u8>>, Error> {
    let bytes = secret.expose();
    match bytes.len() {
        0 => Err(invalid("secret", "it is empty")),
        1..=HMAC_KEY => Ok(Zeroizing::new(bytes.to_vec())),
        length if length > BLOCK => Ok(Zeroizing::new(Sha1::digest(bytes).to_vec())),
        _ => Err(unsupported("a secret of 21 to 64 bytes", "a slot for more than 20 bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::UnixTime;
    use crate::token::task::Pacing;
    use crate::yubikey::Version;

    const FIVE: Features = Features::of(Version(5, 4, 3));

    fn wish(factor: FactorConfig) -> SlotConfig {
        SlotConfig {
            factor,
            algorithm: Algorithm::Sha1,
            digits: 6,
            secret: SecretBytes::new(b"12345678901234567890".to_vec()),
            touch: false,
            label: None,
            now: UnixTime(0),
        }
    }

    fn plan(wish: &SlotConfig, features: Features) -> Result<Flags, String> {
        let config = credential(wish, "", &Typing::default(), Slot::One, features);
        config.map(|config| config.flags).map_err(|error| error.to_string())
    }

    const HOTP: FactorConfig = FactorConfig::Hotp { counter: 0 };
    const TOTP: FactorConfig = FactorConfig::Totp { time_step: 30 };

    #[test]
    fn flags_are_those_of_yubikit() {
        assert_eq!(plan(&wish(HOTP), FIVE), Ok(Flags { ext: 0x34, tkt: 0x60, cfg: 0x00 }));
        let eight = SlotConfig { digits: 8, ..wish(HOTP) };
        assert_eq!(plan(&eight, FIVE), Ok(Flags { ext: 0x34, tkt: 0x60, cfg: 0x02 }));
        assert_eq!(plan(&wish(TOTP), FIVE), Ok(Flags { ext: 0x24, tkt: 0x40, cfg: 0x26 }));
        let touch = SlotConfig { touch: true, ..wish(TOTP) };
        assert_eq!(plan(&touch, FIVE), Ok(Flags { ext: 0x24, tkt: 0x40, cfg: 0x2E }));
        let old = Features::of(Version(2, 1, 0));
        assert_eq!(plan(&wish(HOTP), old), Ok(Flags { ext: 0x00, tkt: 0x60, cfg: 0x00 }));
    }

    #[test]
    fn what_a_slot_cannot_hold_is_refused() {
        let secret = |length| SecretBytes::new(vec![1; length]);
        let hotp = |counter| wish(FactorConfig::Hotp { counter });
        let old = |minor| Features::of(Version(2, minor, 0));
        for (wish, features, works) in [
            (hotp(1_048_560), FIVE, true),
            (hotp(1_048_576), FIVE, false),
            (hotp(8), FIVE, false),
            (hotp(u64::MAX), FIVE, false),
            (hotp(16), old(1), false),
            (hotp(0), old(1), true),
            (hotp(0), old(0), false),
            (wish(TOTP), old(1), false),
            (wish(TOTP), old(2), true),
            (wish(FactorConfig::Totp { time_step: 0 }), FIVE, false),
            (SlotConfig { digits: 7, ..wish(TOTP) }, FIVE, false),
            (SlotConfig { algorithm: Algorithm::Sha256, ..wish(TOTP) }, FIVE, false),
            (SlotConfig { secret: secret(0), ..wish(TOTP) }, FIVE, false),
            (SlotConfig { secret: secret(20), ..wish(TOTP) }, FIVE, true),
            (SlotConfig { secret: secret(21), ..wish(TOTP) }, FIVE, false),
            (SlotConfig { secret: secret(64), ..wish(HOTP) }, FIVE, false),
            (SlotConfig { secret: secret(65), ..wish(HOTP) }, FIVE, true),
            (SlotConfig { touch: true, ..wish(TOTP) }, Features::new(Version(5, 4, 3), true), false),
        ] {
            assert_eq!(plan(&wish, features).is_ok(), works, "{wish:?} {features:?}");
        }
    }

    #[test]
    fn settings_of_newer_firmware_are_refused_only_if_somebody_wants_them() {
        let old = Features::of(Version(2, 2, 0));
        let usual = Typing::default();
        assert_eq!(typed(&usual, Slot::One, old).unwrap().ext, 0x04);
        for typing in [
            Typing { dormant: true, ..usual },
            Typing { numeric_keypad: true, ..usual },
            Typing { inverted_light: true, ..usual },
        ] {
            assert!(typed(&typing, Slot::One, old).is_err(), "{typing:?}");
            assert!(typed(&typing, Slot::One, FIVE).is_ok(), "{typing:?}");
        }
        let protecting = Typing { protect_second: true, pacing: Pacing::Ms10, ..usual };
        assert_eq!(typed(&protecting, Slot::One, old).unwrap(), Flags { ext: 0x04, tkt: 0xA0, cfg: 0x04 });
        assert!(typed(&protecting, Slot::Two, FIVE).is_err());
    }

    #[test]
    fn other_configurations_have_the_lengths_of_their_parts() {
        let secret = |length| SecretBytes::new(vec![1; length]);
        for (public, private, key, works) in
            [(16, 6, 16, true), (0, 6, 16, true), (17, 6, 16, false), (6, 5, 16, false), (6, 6, 15, false)]
        {
            let config = yubico_otp(&vec![2; public], &secret(private), &secret(key), Flags::default());
            assert_eq!(config.is_ok(), works, "{public} {private} {key}");
        }
        let method = ChallengeMethod::HmacSha1 { key: secret(20), variable_length: false };
        let config = challenge_response(&method, true, &Typing::default(), Slot::Two, FIVE).unwrap();
        assert_eq!(config.flags, Flags { ext: 0x24, tkt: 0x40, cfg: 0x2A });
        let method = ChallengeMethod::YubicoOtp { private_id: secret(6), key: secret(16) };
        let config = challenge_response(&method, false, &Typing::default(), Slot::Two, FIVE).unwrap();
        assert_eq!(config.flags, Flags { ext: 0x24, tkt: 0x40, cfg: 0x20 });
    }
}
