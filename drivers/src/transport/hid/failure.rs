//! What an error number means, by what to do next: the one table.
//!
//! hidapi tells errors of system calls as text that ends in the system's, which comes in two forms: `... (os error 19)`
//! from the standard library, and `ioctl (GFEATURE): ENODEV: No such device` from nix. [`said`] gets the name back.
//! A text without either is kept as it is.

use std::io;

use hidapi::HidError;
use nix::errno::Errno;

use crate::transport::TransportError;

/// hidapi's words when poll(2) reports that the device hung up.
const HUNG_UP: &str = "device disconnected";

/// The name of the error number, for example `ENODEV`, or else what the crate said.
pub(super) fn said(error: &HidError) -> String {
    match error {
        HidError::IoError { error } => errno(error),
        HidError::HidApiError { message } => in_text(message),
        other => other.to_string(),
    }
}

/// The name of an error number of the system.
pub(super) fn errno(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), name)
}

fn name(number: i32) -> String {
    format!("{:?}", Errno::from_raw(number))
}

fn in_text(message: &str) -> String {
    if message.contains(HUNG_UP) {
        return name(Errno::ENODEV as i32);
    }
    let number = message.rsplit_once("(os error ").and_then(|(_, rest)| rest.strip_suffix(')')?.parse().ok());
    if let Some(number) = number {
        return name(number);
    }
    let is_name = |word: &&str| {
        word.len() > 1
            && word.starts_with('E')
            && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    message.split(": ").find(is_name).unwrap_or(message).to_owned()
}

/// What to do next, by the name of the error number. Linux 6.12:
///
/// | event | said |
/// |---|---|
/// | unplugged | `ENODEV` from ioctl and write, `EIO` from read, `ENXIO` and `ENOENT` from open |
/// | being unplugged, before the hub noticed | `EPROTO`, `EILSEQ`, `ETIME`, `ESHUTDOWN` (Documentation/driver-api/usb/error-codes.rst) |
/// | the device refuses the transfer | `EPIPE` |
/// | it does not answer within 5 s | `ETIMEDOUT` |
///
/// A bad cable looks like an unplug too; the token is opened again then, if it is still there. A device that a
/// program makes (uhid) has `EIO` for everything.
pub(super) fn failure(call: &'static str, said: &str) -> TransportError {
    match said {
        "ENODEV" | "ENXIO" | "ENOENT" | "EIO" | "EPROTO" | "EILSEQ" | "ETIME" | "ESHUTDOWN" => {
            TransportError::Gone { detail: format!("{call}: {said}") }
        }
        "EACCES" | "EPERM" => TransportError::AccessDenied { detail: format!("{call}: {said}") },
        "EBUSY" => TransportError::Busy,
        _ => TransportError::Failed { call, detail: said.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(detail: &str) -> TransportError {
        TransportError::Gone { detail: detail.to_owned() }
    }

    fn failed(detail: &str) -> TransportError {
        TransportError::Failed { call: "call", detail: detail.to_owned() }
    }

    #[test]
    fn every_text_of_the_crate_gives_its_error_number() {
        let text = |message: &str| HidError::HidApiError { message: message.to_owned() };
        for (error, expected) in [
            (text("ioctl (GFEATURE): ENODEV: No such device"), "ENODEV"),
            (text("ioctl (GFEATURE): EPIPE: Broken pipe"), "EPIPE"),
            (text("ioctl (SOUTPUT): ETIMEDOUT: Connection timed out"), "ETIMEDOUT"),
            (text("ioctl(GRDESCSIZE) error for /dev/E: EIO: I/O error"), "EIO"),
            (text("failed to open device with path /dev/hidraw0: Permission denied (os error 13)"), "EACCES"),
            (
                text("failed to open device with path /dev/hidraw0: No such device or address (os error 6)"),
                "ENXIO",
            ),
            (text("unexpected poll error (device disconnected)"), "ENODEV"),
            (text("what a later version says"), "what a later version says"),
            (text(""), ""),
            (HidError::IoError { error: io::Error::from_raw_os_error(4) }, "EINTR"),
            (HidError::IoError { error: Errno::EIO.into() }, "EIO"),
            (
                HidError::IncompleteSendError { sent: 3, all: 9 },
                "Failed to send all data: only sent 3 out of 9 bytes",
            ),
        ] {
            assert_eq!(said(&error), expected);
        }
    }

    #[test]
    fn an_error_number_says_what_to_do_next() {
        for unplugged in ["ENODEV", "ENXIO", "ENOENT", "EIO", "EPROTO", "EILSEQ", "ETIME", "ESHUTDOWN"] {
            assert_eq!(failure("call", unplugged), gone(&format!("call: {unplugged}")));
        }
        for other in ["EPIPE", "ETIMEDOUT", "EINVAL", "what a later version says", ""] {
            assert_eq!(failure("call", other), failed(other));
        }
        assert_eq!(failure("call", "EBUSY"), TransportError::Busy);
        let denied = TransportError::AccessDenied { detail: "open: EACCES".to_owned() };
        assert_eq!(failure("open", "EACCES"), denied);
    }
}
