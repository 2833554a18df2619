//! What a code of PC/SC means, by the call that it answers: the one table.
//!
//! Only the calls that this transport makes are here, and the codes that pcsc-lite and its drivers were seen to
//! give. A code without a row becomes [`TransportError::Failed`] with its name.

use pcsc::Error;

use crate::transport::TransportError;

/// The call that failed: the same code means different things to different calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Establish,
    List,
    Status,
    Connect,
    Reconnect,
    Begin,
    Transmit,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Establish => "SCardEstablishContext",
            Self::List => "SCardListReaders",
            Self::Status => "SCardGetStatusChange",
            Self::Connect => "SCardConnect",
            Self::Reconnect => "SCardReconnect",
            Self::Begin => "SCardBeginTransaction",
            Self::Transmit => "SCardTransmit",
        }
    }

    /// Calls on a card that was open already.
    fn uses_card(self) -> bool {
        matches!(self, Self::Reconnect | Self::Begin | Self::Transmit)
    }
}

/// What to do next, by what the system said. Seen with pcsc-lite 1.9.9 and libccid 1.5.2:
///
/// | event | said |
/// |---|---|
/// | card or reader pulled | `REMOVED_CARD`, `NO_SMARTCARD`, `NOT_TRANSACTED`, `READER_UNAVAILABLE`, `UNKNOWN_READER`, then `INVALID_VALUE` for ever |
/// | another program reset the card | `RESET_CARD` |
/// | another program is exclusive | `SHARING_VIOLATION` |
/// | pcscd died while a card was open | `SECURITY_VIOLATION`, later `NO_SERVICE`, `INVALID_HANDLE` |
/// | polkit said no | `SECURITY_VIOLATION` when connecting |
pub(super) fn failure(call: Call, error: Error) -> TransportError {
    let detail = format!("{}: {}", call.name(), code(error));
    match error {
        Error::RemovedCard
        | Error::NoSmartcard
        | Error::NotTransacted
        | Error::ReaderUnavailable
        | Error::UnknownReader => TransportError::Gone { detail },
        Error::InvalidValue if call.uses_card() => TransportError::Gone { detail },
        Error::ResetCard => TransportError::Reset,
        Error::SharingViolation => TransportError::Busy,
        Error::SecurityViolation | Error::NoAccess if !call.uses_card() => {
            TransportError::AccessDenied { detail }
        }
        Error::SecurityViolation
        | Error::NoService
        | Error::ServiceStopped
        | Error::Shutdown
        | Error::CommError
        | Error::InvalidHandle
        | Error::InvalidValue => TransportError::ServiceUnavailable { detail },
        _ => TransportError::Failed { call: call.name(), detail: code(error) },
    }
}

/// The name of a code in the words of PC/SC.
fn code(error: Error) -> String {
    let name = match error {
        Error::RemovedCard => "SCARD_W_REMOVED_CARD",
        Error::ResetCard => "SCARD_W_RESET_CARD",
        Error::SecurityViolation => "SCARD_W_SECURITY_VIOLATION",
        Error::UnresponsiveCard => "SCARD_W_UNRESPONSIVE_CARD",
        Error::UnpoweredCard => "SCARD_W_UNPOWERED_CARD",
        Error::UnsupportedCard => "SCARD_W_UNSUPPORTED_CARD",
        Error::NoSmartcard => "SCARD_E_NO_SMARTCARD",
        Error::NotTransacted => "SCARD_E_NOT_TRANSACTED",
        Error::ReaderUnavailable => "SCARD_E_READER_UNAVAILABLE",
        Error::UnknownReader => "SCARD_E_UNKNOWN_READER",
        Error::SharingViolation => "SCARD_E_SHARING_VIOLATION",
        Error::NoService => "SCARD_E_NO_SERVICE",
        Error::ServiceStopped => "SCARD_E_SERVICE_STOPPED",
        Error::InvalidHandle => "SCARD_E_INVALID_HANDLE",
        Error::InvalidValue => "SCARD_E_INVALID_VALUE",
        Error::ProtoMismatch => "SCARD_E_PROTO_MISMATCH",
        Error::InsufficientBuffer => "SCARD_E_INSUFFICIENT_BUFFER",
        Error::Timeout => "SCARD_E_TIMEOUT",
        Error::NoAccess => "SCARD_E_NO_ACCESS",
        Error::CommError => "SCARD_F_COMM_ERROR",
        Error::InternalError => "SCARD_F_INTERNAL_ERROR",
        _ => return format!("{error} ({error:?})"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(call: Call, error: Error) -> &'static str {
        match failure(call, error) {
            TransportError::Gone { .. } => "gone",
            TransportError::Reset => "reset",
            TransportError::Busy => "busy",
            TransportError::ServiceUnavailable { .. } => "service",
            TransportError::AccessDenied { .. } => "denied",
            TransportError::Failed { .. } => "failed",
        }
    }

    #[test]
    fn each_code_says_what_to_do_next() {
        for (call, error, expected) in [
            (Call::Connect, Error::NoSmartcard, "gone"),
            (Call::Connect, Error::UnknownReader, "gone"),
            (Call::Connect, Error::SharingViolation, "busy"),
            (Call::Connect, Error::SecurityViolation, "denied"),
            (Call::Connect, Error::UnresponsiveCard, "failed"),
            (Call::Establish, Error::SecurityViolation, "denied"),
            (Call::Establish, Error::NoService, "service"),
            (Call::List, Error::NoService, "service"),
            (Call::Status, Error::InvalidHandle, "service"),
            (Call::Begin, Error::ResetCard, "reset"),
            (Call::Begin, Error::InvalidValue, "gone"),
            (Call::Transmit, Error::NotTransacted, "gone"),
            (Call::Transmit, Error::RemovedCard, "gone"),
            (Call::Transmit, Error::ReaderUnavailable, "gone"),
            (Call::Transmit, Error::InvalidValue, "gone"),
            (Call::Transmit, Error::SecurityViolation, "service"),
            (Call::Transmit, Error::InvalidHandle, "service"),
            (Call::Transmit, Error::UnsupportedFeature, "failed"),
        ] {
            assert_eq!(kind(call, error), expected, "{call:?} {error:?}");
        }
    }

    #[test]
    fn a_code_is_named_as_pcsc_names_it() {
        assert_eq!(
            failure(Call::Transmit, Error::RemovedCard).to_string(),
            "the token is gone (SCardTransmit: SCARD_W_REMOVED_CARD)"
        );
    }
}
