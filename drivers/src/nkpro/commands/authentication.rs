//! Commands about PINs. A PIN is a C string in 25 bytes; a Storage's own commands have 20 for it, after an `A` for
//! the admin.

use std::time::Duration;

use super::{CARD, Command, RESET, malformed};
use crate::error::Error;
use crate::nkpro::frame::{Payload, Request};
use crate::nkpro::pin::{FIELD, Temporary};
use crate::token::SecretBytes;

/// A counter that makes no sense is none: the firmware tells FF if the card does not answer.
const MOST_RETRIES: u8 = 15;

/// `GET_PASSWORD_RETRY_COUNT` (admin PIN) or `GET_USER_PASSWORD_RETRY_COUNT`.
pub(in crate::nkpro) struct RetryCount<const ID: u8>;

impl<const ID: u8> Command for RetryCount<ID> {
    const NAME: &'static str =
        if ID == 0x09 { "GET_PASSWORD_RETRY_COUNT" } else { "GET_USER_PASSWORD_RETRY_COUNT" };
    const ID: u8 = ID;
    const PATIENCE: Duration = CARD;
    type Response = u8;

    fn fill(&self, _request: &mut Request) {}

    fn changes(&self) -> bool {
        false
    }

    fn decode(&self, payload: &Payload) -> Result<u8, Error> {
        match payload.byte(0) {
            count @ 0..=MOST_RETRIES => Ok(count),
            _ => Err(malformed::<Self>("no count of attempts", 0)),
        }
    }
}

/// `FIRST_AUTHENTICATE`: the admin PIN, and what stands in for it from now on.
pub(in crate::nkpro) struct FirstAuthenticate<'a> {
    pub(in crate::nkpro) pin: &'a SecretBytes,
    pub(in crate::nkpro) temporary: &'a Temporary,
}

/// `USER_AUTHENTICATE`: the same for the user PIN.
pub(in crate::nkpro) struct UserAuthenticate<'a> {
    pub(in crate::nkpro) pin: &'a SecretBytes,
    pub(in crate::nkpro) temporary: &'a Temporary,
}

macro_rules! two_fields {
    ($command:ident, $name:literal, $id:literal, $first:ident, $second:ident) => {
        impl Command for $command<'_> {
            const NAME: &'static str = $name;
            const ID: u8 = $id;
            const PATIENCE: Duration = CARD;
            type Response = ();

            fn fill(&self, request: &mut Request) {
                request.put(1, self.$first.expose());
                request.put(1 + FIELD, self.$second.expose());
            }

            fn changes(&self) -> bool {
                // A refused PIN costs an attempt.
                true
            }

            fn decode(&self, _payload: &Payload) -> Result<(), Error> {
                Ok(())
            }
        }
    };
}

two_fields!(FirstAuthenticate, "FIRST_AUTHENTICATE", 0x07, pin, temporary);
two_fields!(UserAuthenticate, "USER_AUTHENTICATE", 0x0E, pin, temporary);

/// `CHANGE_ADMIN_PIN`, not on a Storage.
pub(in crate::nkpro) struct ChangeAdminPin<'a> {
    pub(in crate::nkpro) old: &'a SecretBytes,
    pub(in crate::nkpro) new: &'a SecretBytes,
}

two_fields!(ChangeAdminPin, "CHANGE_ADMIN_PIN", 0x15, old, new);

/// `AUTHORIZE`: the CRC of the command that may run next. Up to 0.7, Storage 0.53.
pub(in crate::nkpro) struct Authorize<'a> {
    pub(in crate::nkpro) crc: [u8; 4],
    pub(in crate::nkpro) temporary: &'a Temporary,
}

/// `USER_AUTHORIZE`: the same for `GET_CODE`.
pub(in crate::nkpro) struct UserAuthorize<'a> {
    pub(in crate::nkpro) crc: [u8; 4],
    pub(in crate::nkpro) temporary: &'a Temporary,
}

macro_rules! authorize {
    ($command:ident, $name:literal, $id:literal) => {
        impl Command for $command<'_> {
            const NAME: &'static str = $name;
            const ID: u8 = $id;
            type Response = ();

            fn fill(&self, request: &mut Request) {
                request.put(1, &self.crc);
                request.put(5, self.temporary.expose());
            }

            fn changes(&self) -> bool {
                // It may use the temporary password up.
                true
            }

            fn decode(&self, _payload: &Payload) -> Result<(), Error> {
                Ok(())
            }
        }
    };
}

authorize!(Authorize, "AUTHORIZE", 0x08);
authorize!(UserAuthorize, "USER_AUTHORIZE", 0x10);

/// `FACTORY_RESET`: empties everything, card included.
pub(in crate::nkpro) struct FactoryReset<'a> {
    pub(in crate::nkpro) pin: &'a SecretBytes,
}

impl Command for FactoryReset<'_> {
    const NAME: &'static str = "FACTORY_RESET";
    const ID: u8 = 0x13;
    const PATIENCE: Duration = RESET;
    type Response = ();

    fn fill(&self, request: &mut Request) {
        request.put(1, self.pin.expose());
    }

    fn changes(&self) -> bool {
        true
    }

    fn decode(&self, _payload: &Payload) -> Result<(), Error> {
        Ok(())
    }
}

/// `SEND_PASSWORD` of a Storage: the PIN to be changed.
pub(in crate::nkpro) struct SendPassword<'a> {
    pub(in crate::nkpro) pin: &'a SecretBytes,
}

/// `SEND_NEW_PASSWORD` of a Storage: what it is to be.
pub(in crate::nkpro) struct SendNewPassword<'a> {
    pub(in crate::nkpro) pin: &'a SecretBytes,
}

macro_rules! send_password {
    ($command:ident, $name:literal, $id:literal) => {
        impl Command for $command<'_> {
            const NAME: &'static str = $name;
            const ID: u8 = $id;
            const PATIENCE: Duration = CARD;
            type Response = ();

            fn fill(&self, request: &mut Request) {
                request.put(1, b"A");
                request.put(2, self.pin.expose());
            }

            fn changes(&self) -> bool {
                true
            }

            fn decode(&self, _payload: &Payload) -> Result<(), Error> {
                Ok(())
            }
        }
    };
}

send_password!(SendPassword, "SEND_PASSWORD", 0x32);
send_password!(SendNewPassword, "SEND_NEW_PASSWORD", 0x33);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nkpro::commands::tests::{frame_of, owned, reply_to};

    fn pin(text: &str) -> SecretBytes {
        SecretBytes::new(text.as_bytes().to_vec())
    }

    #[test]
    fn pins_go_out_as_the_maker_s_library_sends_them() {
        let temporary = &Temporary::from_text("TMPPW");
        let good = FirstAuthenticate { pin: &pin("12345678"), temporary };
        let frame = "0731323334353637380000000000000000000000000000000000544d505057";
        assert_eq!(frame_of(&good), owned((frame, "a1478ef1")));
        assert_eq!(reply_to(&good, "0007a1478ef1", "f9fdbcb5"), Ok(()));
        let wrong = FirstAuthenticate { pin: &pin("wrong"), temporary };
        let frame = "0777726f6e670000000000000000000000000000000000000000544d505057";
        assert_eq!(frame_of(&wrong), owned((frame, "22e7f574")));
        let refused = reply_to(&wrong, "000722e7f57404", "2cb48033");
        assert_eq!(refused, Err("the token refused the access code".to_owned()));
    }

    #[test]
    fn attempts_are_counted() {
        assert_eq!(frame_of(&RetryCount::<0x09>), owned(("09", "92c23abc")));
        assert_eq!(reply_to(&RetryCount::<0x09>, "000992c23abc0002", "2b5b1448"), Ok(2));
    }

    #[test]
    fn the_other_fields_are_where_the_firmware_reads_them() {
        let temporary = &Temporary::from_text("TMPPW");
        let authorize = Authorize { crc: [1, 2, 3, 4], temporary };
        assert_eq!(frame_of(&authorize).0, "0801020304544d505057");
        let change = ChangeAdminPin { old: &pin("12345678"), new: &pin("87654321") };
        let frame = "15313233343536373800000000000000000000000000000000003837363534333231";
        assert_eq!(frame_of(&change).0, frame);
        assert_eq!(frame_of(&FactoryReset { pin: &pin("12345678") }).0, "133132333435363738");
        assert_eq!(frame_of(&SendPassword { pin: &pin("12345678") }).0, "32413132333435363738");
        assert_eq!(frame_of(&SendNewPassword { pin: &pin("12345678") }).0, "33413132333435363738");
    }
}
