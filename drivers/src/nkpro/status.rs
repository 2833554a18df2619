//! What the status of a command means.

use crate::error::Error;

/// The slot is not programmed.
pub(super) const NOT_PROGRAMMED: u8 = 3;

/// The error for a status; `None` for OK.
pub(super) fn error(command: &'static str, status: u8) -> Option<Error> {
    match status {
        0 => None,
        4 => Some(Error::WrongLockCode { attempts_left: None }),
        5 => Some(Error::Locked),
        status => Some(Error::Refused { command, status: status.into(), meaning: meaning(status) }),
    }
}

fn meaning(status: u8) -> &'static str {
    match status {
        1 => "wrong CRC",
        2 => "wrong slot",
        NOT_PROGRAMMED => "slot not programmed",
        6 => "timestamp warning",
        7 => "no slot name",
        8 => "not supported",
        9 => "unknown command",
        10 => "AES decryption failed",
        11 => "AES key not created",
        12 => "error changing the user PIN",
        13 => "error changing the admin PIN",
        14 => "error unblocking the user PIN",
        100 => "unknown error",
        _ => "not documented",
    }
}

/// Whether an error says that the slot is empty.
pub(super) fn is_not_programmed(error: &Error) -> bool {
    matches!(error, Error::Refused { status, .. } if *status == u16::from(NOT_PROGRAMMED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_but_ok_is_an_error() {
        assert!(error("ERASE_SLOT", 0).is_none());
        for status in 1..=u8::MAX {
            assert!(error("ERASE_SLOT", status).is_some(), "{status}");
        }
        let text = |status| error("ERASE_SLOT", status).unwrap().to_string();
        assert_eq!(text(2), "ERASE_SLOT refused: 0002 (wrong slot)");
        assert_eq!(text(99), "ERASE_SLOT refused: 0063 (not documented)");
    }
}
