//! A buffered stream that stops a single record from growing without end.
//!
//! The parsers gather a whole record before they hand it out. Each time one is done, [`Limited::refill`] grants the
//! next so many bytes; a record that needs more ends the stream with an error.

use std::io::{self, BufRead, BufReader, Read};

/// Most bytes of one record. Of XML that is one tag or one run of text; signatures and certificates are the largest.
pub(super) const MAX_RECORD_BYTES: usize = 256 * 1024;

/// A stream with an allowance.
pub(super) struct Limited<R> {
    inner: BufReader<R>,
    left: usize,
    exceeded: bool,
}

impl<R: Read> Limited<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner: BufReader::new(inner), left: MAX_RECORD_BYTES, exceeded: false }
    }

    /// Grants the next record its bytes.
    pub(super) const fn refill(&mut self) {
        self.left = MAX_RECORD_BYTES;
    }

    /// Whether the last error was that a record was too long.
    pub(super) const fn exceeded(&self) -> bool {
        self.exceeded
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer.iter_mut().zip(available).for_each(|(to, from)| *to = *from);
        self.consume(length);
        Ok(length)
    }
}

impl<R: Read> BufRead for Limited<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let available = self.inner.fill_buf()?;
        if self.left == 0 && !available.is_empty() {
            self.exceeded = true;
            return Err(io::Error::other("record too long"));
        }
        Ok(available.get(..self.left).unwrap_or(available))
    }

    fn consume(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(amount);
        self.inner.consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_unchanged_as_long_as_it_is_refilled() {
        let data: Vec<u8> = (0..3 * MAX_RECORD_BYTES).map(|n| n as u8).collect();
        let (mut limited, mut read) = (Limited::new(&data[..]), Vec::new());
        for _ in 0..3 {
            (&mut limited).take(MAX_RECORD_BYTES as u64).read_to_end(&mut read).unwrap();
            limited.refill();
        }
        assert_eq!(limited.read(&mut [0; 10]).unwrap(), 0);
        assert!(read == data && !limited.exceeded());
    }

    #[test]
    fn a_record_that_never_ends_is_an_error_and_not_the_end() {
        let mut limited = Limited::new(io::repeat(b'x'));
        let mut read = Vec::new();
        assert!(limited.read_to_end(&mut read).is_err());
        assert_eq!(read.len(), MAX_RECORD_BYTES);
        assert!(limited.exceeded());
    }

    #[test]
    fn a_record_of_exactly_the_limit_at_the_end_is_fine() {
        let mut limited = Limited::new(io::repeat(b'x').take(MAX_RECORD_BYTES as u64));
        assert_eq!(limited.read_to_end(&mut Vec::new()).unwrap(), MAX_RECORD_BYTES);
    }
}
