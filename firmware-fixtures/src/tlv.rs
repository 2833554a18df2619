//! Tag-length-value fields with one byte of tag and one of length.
//!
//! No field of the emulated applets reaches 128 bytes, so the BER long form (`81 xx`) is refused: the NEO
//! misreads it, and a driver that sends it would only work elsewhere.

use crate::status::Status;

/// Reads fields in the order in which the protocol wants them.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// The value of the next field, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<&'a [u8], Status> {
        self.optional(tag)?.ok_or(Status::WRONG_DATA)
    }

    /// The value of the next field if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Status> {
        match self.rest {
            [t, length @ 0..=0x7F, rest @ ..] if *t == tag => {
                let (value, rest) = rest.split_at_checked(usize::from(*length)).ok_or(Status::WRONG_DATA)?;
                self.rest = rest;
                Ok(Some(value))
            }
            [t, ..] if *t == tag => Err(Status::WRONG_DATA),
            _ => Ok(None),
        }
    }

    /// The byte after a tag that has no length (YKOATH's property).
    pub(crate) fn optional_bare(&mut self, tag: u8) -> Result<Option<u8>, Status> {
        match self.rest {
            [t, value, rest @ ..] if *t == tag => {
                self.rest = rest;
                Ok(Some(*value))
            }
            [t] if *t == tag => Err(Status::WRONG_DATA),
            _ => Ok(None),
        }
    }

    /// Refuses what is left over.
    pub(crate) fn finish(self) -> Result<(), Status> {
        if self.rest.is_empty() { Ok(()) } else { Err(Status::WRONG_DATA) }
    }
}

/// Appends one field. Values come from the emulated device itself and are under 128 bytes.
pub(crate) fn push(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    debug_assert!(value.len() < 0x80);
    out.extend([tag, value.len() as u8]);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_runs_past_the_end_is_refused() {
        assert_eq!(Reader::new(&[0x71, 3, 1, 2]).expect(0x71), Err(Status::WRONG_DATA));
        assert_eq!(Reader::new(&[0x71]).expect(0x71), Err(Status::WRONG_DATA));
    }

    #[test]
    fn the_long_form_of_a_length_is_refused() {
        assert_eq!(Reader::new(&[0x71, 0x81, 1, 7]).expect(0x71), Err(Status::WRONG_DATA));
    }

    #[test]
    fn a_property_has_no_length() {
        let mut reader = Reader::new(&[0x78, 0x02, 0x7A, 0]);
        assert_eq!(reader.optional_bare(0x78), Ok(Some(0x02)));
        assert_eq!(reader.expect(0x7A), Ok(&[][..]));
        assert_eq!(reader.finish(), Ok(()));
    }
}
