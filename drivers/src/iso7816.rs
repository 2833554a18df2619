//! Smart-card commands as ISO/IEC 7816-4 defines them: encoding, decoding, status words, chaining.
//!
//! A command is a struct that knows its own reply ([`Command`]); [`card::Card`] is the only thing that sends
//! one. Everything else here is pure: bytes in, values out. Short APDUs only: at most 255 bytes of data go
//! out in one piece, longer data is split by command chaining (§5.3.3). Lengths are bytes.
//!
//! Replies come from a device and are input like any other: nothing here panics on them.

pub mod apdu;
pub mod card;
pub mod status;
pub mod tlv;

use crate::error::Error;
use status::StatusWord;

/// One command of a smart-card application, together with what it answers.
pub trait Command {
    /// The name in the words of its document, for errors: `CALCULATE`.
    const NAME: &'static str;
    /// Class byte, without the bit for chaining. Cards that are one program instead of applets have their own.
    const CLA: u8 = 0x00;
    /// Instruction byte.
    const INS: u8;
    /// How its maker wants it written.
    const FORM: apdu::Form = apdu::Form::ISO;
    /// What a successful answer says.
    type Response;

    /// Parameter bytes P1 and P2.
    fn p1_p2(&self) -> (u8, u8) {
        (0x00, 0x00)
    }

    /// Appends the command data field. The buffer is wiped afterwards, so secrets may go here.
    fn encode(&self, _data: &mut Vec<u8>) {}

    /// Reads the complete response data field, status word removed.
    ///
    /// # Errors
    /// [`Malformed`] if the data does not follow the document.
    fn decode(data: &[u8]) -> Result<Self::Response, Malformed>;

    /// Whether a status word says that it was done. Some cards have one for "done, once a button is pressed".
    fn succeeds(status: StatusWord) -> bool {
        status == StatusWord::SUCCESS
    }

    /// What a status word other than success means to this command, where that is more than its ISO meaning.
    fn refusal(&self, _status: StatusWord) -> Option<Error> {
        None
    }
}

/// A reply that does not follow its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub what: &'static str,
    /// Where, counted from 0 in the response data field.
    pub offset: usize,
}

impl Malformed {
    /// States what is wrong, and where.
    #[must_use]
    pub fn new(what: &'static str, offset: usize) -> Self {
        Self { what, offset }
    }

    /// Adds the name of the command that was answered so.
    #[must_use]
    pub fn of(self, command: &'static str) -> Error {
        Error::Malformed { command, what: self.what, offset: self.offset }
    }
}

/// Refuses data where the document has none.
///
/// # Errors
/// [`Malformed`] if there is any.
pub fn nothing(data: &[u8]) -> Result<(), Malformed> {
    if data.is_empty() { Ok(()) } else { Err(Malformed::new("data where none belongs", 0)) }
}
