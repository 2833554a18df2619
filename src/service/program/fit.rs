//! Whether a device can hold a credential: what a product asks for beside what a model and firmware can do. Pure, and
//! asked before anything is stored or sent.

use fobd_drivers::token::{Algorithm as Hash, Capabilities, Kind as Factor, TokenInfo};

use crate::otp::credential::{Kind as Otp, Parameters};
use crate::service::device::{algorithm_name, to_driver};
use crate::service::error::{Error, Kind};

/// The shortest secret that is made, in bytes (RFC 4226 §4 R6).
const LEAST_SECRET: usize = 16;

/// HOTP or TOTP, in the words of the drivers.
pub(super) fn factor(parameters: &Parameters) -> Factor {
    match parameters.kind {
        Otp::Hotp => Factor::Hotp,
        Otp::Totp { .. } => Factor::Totp,
    }
}

/// Checks what a product asks for.
///
/// # Errors
/// [`Kind::DeviceUnsupported`] names the field of the product (or of the request) and what the device can do.
pub(super) fn check(info: &TokenInfo, parameters: &Parameters, touch: bool) -> Result<(), Error> {
    let can = &info.capabilities;
    let refuse = |field: &str, asked: &str, takes: String| {
        let (device, takes) = (named(info), if takes.is_empty() { "none".to_owned() } else { takes });
        let text = format!("`{field}` is {asked}, and {device} can do {takes}");
        Err(Error::new(Kind::DeviceUnsupported, text))
    };
    let (possible, asked) = match factor(parameters) {
        Factor::Hotp => (can.hotp, "OATH HOTP"),
        Factor::Totp => (can.totp, "OATH TOTP"),
    };
    if !possible {
        return refuse("algorithm", asked, kinds(can));
    }
    let hash = to_driver(parameters.algorithm);
    if !can.algorithms.contains(&hash) {
        return refuse(
            "hash",
            algorithm_name(hash),
            list(&can.algorithms, |hash: &Hash| algorithm_name(*hash)),
        );
    }
    let digits = parameters.digits.get();
    if !can.digits.contains(&digits) {
        return refuse("digits", &digits.to_string(), list(&can.digits, u8::to_string));
    }
    if let Otp::Totp { time_step } = parameters.kind
        && !can.time_steps.is_empty()
        && !can.time_steps.contains(&time_step.as_secs())
    {
        return refuse("timer", &time_step.as_secs().to_string(), list(&can.time_steps, u32::to_string));
    }
    if touch && !can.touch {
        let text = format!("`attrs.touch`: {} asks for no touch", named(info));
        return Err(Error::new(Kind::DeviceUnsupported, text));
    }
    if can.max_secret_bytes < LEAST_SECRET {
        let text = format!("{} takes secrets of {} bytes only", named(info), can.max_secret_bytes);
        return Err(Error::new(Kind::DeviceUnsupported, text));
    }
    Ok(())
}

fn named(info: &TokenInfo) -> String {
    if info.firmware.is_empty() { info.model.clone() } else { format!("{} ({})", info.model, info.firmware) }
}

fn kinds(can: &Capabilities) -> String {
    let kinds = [(can.hotp, "OATH HOTP"), (can.totp, "OATH TOTP")];
    let some: Vec<&str> = kinds.iter().filter(|(can, _)| *can).map(|(_, kind)| *kind).collect();
    some.join(", ")
}

fn list<T, S: AsRef<str>>(values: &[T], text: impl Fn(&T) -> S) -> String {
    values.iter().map(|value| text(value).as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::fake;
    use crate::otp::algorithm::Algorithm;
    use crate::otp::passcode::Digits;
    use crate::otp::totp::TimeStep;

    fn display() -> TokenInfo {
        let mut info = fake::info(Some("1"));
        info.capabilities = Capabilities {
            algorithms: vec![Hash::Sha1, Hash::Sha256],
            digits: vec![6, 8],
            hotp: false,
            touch: false,
            time_steps: vec![30, 60],
            ..info.capabilities
        };
        info
    }

    fn totp(algorithm: Algorithm, digits: u8, seconds: u32) -> Parameters {
        let time_step = TimeStep::from_secs(seconds).unwrap();
        Parameters { kind: Otp::Totp { time_step }, algorithm, digits: Digits::new(digits).unwrap() }
    }

    fn refusal(parameters: &Parameters, touch: bool) -> String {
        let error = check(&display(), parameters, touch).unwrap_err();
        assert_eq!(error.kind, Kind::DeviceUnsupported);
        error.message
    }

    #[test]
    fn what_the_device_can_do_passes() {
        for (algorithm, digits, seconds) in [(Algorithm::Sha1, 6, 30), (Algorithm::Sha256, 8, 60)] {
            check(&display(), &totp(algorithm, digits, seconds), false).unwrap();
        }
        let mut any_step = display();
        any_step.capabilities.time_steps.clear();
        check(&any_step, &totp(Algorithm::Sha1, 6, 45), false).unwrap();
    }

    #[test]
    fn what_it_cannot_do_is_named_with_what_it_can() {
        let cases = [
            (Parameters::HOTP, "`algorithm` is OATH HOTP, and Fob (1.0.0) can do OATH TOTP"),
            (totp(Algorithm::Sha512, 6, 30), "`hash` is SHA512, and Fob (1.0.0) can do SHA1, SHA256"),
            (totp(Algorithm::Sha1, 7, 30), "`digits` is 7, and Fob (1.0.0) can do 6, 8"),
            (totp(Algorithm::Sha1, 6, 45), "`timer` is 45, and Fob (1.0.0) can do 30, 60"),
        ];
        for (parameters, expected) in cases {
            assert_eq!(refusal(&parameters, false), expected);
        }
        let touch = refusal(&totp(Algorithm::Sha1, 6, 30), true);
        assert_eq!(touch, "`attrs.touch`: Fob (1.0.0) asks for no touch");
    }
}
