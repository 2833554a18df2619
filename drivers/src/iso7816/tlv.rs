//! Data objects: a tag of one byte, a length, a value (ISO/IEC 7816-4 §5.2.2).
//!
//! Lengths are encoded as short as they can be: one byte below 80, then `81 xx`, then `82 xxxx`. The reader
//! takes all three, in any case that fits the data. Tags of more than one byte are not used by any applet here.

use super::Malformed;

/// Appends one data object. A value of more than 65,535 bytes cannot be said and is cut; no caller comes near.
pub fn push(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    match length {
        0x00..=0x7F => out.push(low),
        0x80..=0xFF => out.extend_from_slice(&[0x81, low]),
        _ => out.extend_from_slice(&[0x82, high, low]),
    }
    out.extend(value.iter().take(usize::from(length)));
}

/// Reads data objects one after another.
#[derive(Clone, Debug)]
pub struct Reader<'d> {
    rest: &'d [u8],
    offset: usize,
}

impl<'d> Reader<'d> {
    /// Reads from the start of `data`.
    #[must_use]
    pub fn new(data: &'d [u8]) -> Self {
        Self { rest: data, offset: 0 }
    }

    /// Where the next object begins.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The next object, or `None` at the end.
    ///
    /// # Errors
    /// [`Malformed`] if it is cut off.
    pub fn read(&mut self) -> Result<Option<(u8, &'d [u8])>, Malformed> {
        let (tag, length, header) = match *self.rest {
            [] => return Ok(None),
            [tag, length @ 0x00..=0x7F, ..] => (tag, usize::from(length), 2),
            [tag, 0x81, length, ..] => (tag, usize::from(length), 3),
            [tag, 0x82, high, low, ..] => (tag, usize::from(u16::from_be_bytes([high, low])), 4),
            _ => return Err(Malformed::new("no length this reader knows", self.offset + 1)),
        };
        let body = self.rest.get(header..).unwrap_or_default();
        let Some((value, rest)) = body.split_at_checked(length) else {
            return Err(Malformed::new("data object is cut off", self.offset));
        };
        self.rest = rest;
        self.offset += header + length;
        Ok(Some((tag, value)))
    }

    /// The next object, which must have this tag.
    ///
    /// # Errors
    /// [`Malformed`] if it has not, or is cut off.
    pub fn expect(&mut self, tag: u8) -> Result<&'d [u8], Malformed> {
        let offset = self.offset;
        match self.read()? {
            Some((found, value)) if found == tag => Ok(value),
            Some(_) => Err(Malformed::new("another tag than expected", offset)),
            None => Err(Malformed::new("data object is missing", offset)),
        }
    }

    /// Makes sure that nothing follows.
    ///
    /// # Errors
    /// [`Malformed`] if something does.
    pub fn finish(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::new("data after the end", self.offset)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_short_as_they_can_be_and_come_back() {
        for (length, header) in [
            (0usize, vec![0x71, 0x00]),
            (127, vec![0x71, 0x7F]),
            (128, vec![0x71, 0x81, 0x80]),
            (255, vec![0x71, 0x81, 0xFF]),
            (256, vec![0x71, 0x82, 0x01, 0x00]),
        ] {
            let value = vec![0xAA; length];
            let mut out = Vec::new();
            push(&mut out, 0x71, &value);
            assert_eq!(out[..header.len()], header);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.expect(0x71), Ok(&value[..]));
            assert_eq!(reader.finish(), Ok(()));
            assert_eq!(reader.offset(), out.len());
        }
    }

    #[test]
    fn every_way_of_being_cut_off_is_refused() {
        for (data, offset) in [
            (&[0x71][..], 1),
            (&[0x71, 0x02, 0x00], 0),
            (&[0x71, 0x81], 1),
            (&[0x71, 0x81, 0x01], 0),
            (&[0x71, 0x82, 0x00], 1),
            (&[0x71, 0x83, 0x00, 0x00, 0x01, 0x00], 1),
        ] {
            assert_eq!(Reader::new(data).read().unwrap_err().offset, offset, "{data:02X?}");
        }
    }

    #[test]
    fn another_tag_is_named_with_its_place() {
        let mut reader = Reader::new(&[0x71, 0x00, 0x72, 0x00, 0x00]);
        assert_eq!(reader.expect(0x71), Ok(&[][..]));
        assert_eq!(reader.clone().expect(0x73), Err(Malformed::new("another tag than expected", 2)));
        assert_eq!(reader.expect(0x72), Ok(&[][..]));
        assert_eq!(reader.finish(), Err(Malformed::new("data after the end", 4)));
    }
}
