//! The audit log as a chain that proves itself. Pure: no I/O, no clock, no SQL.
//!
//! Each row carries a hash over itself and the hash of the row before ([`chain`]). From time to time the server signs
//! the hash of the newest row ([`head`]); whoever keeps such a head can tell later whether the log still is what it
//! was. [`check`] reads a log from its beginning and names the first row that is not what it must be; [`mod@line`] is
//! the form in which a log leaves the server, [`syslog`] that of RFC 5424.
//!
//! What this does not show: whether the server told the truth when it wrote a row, and what happened after the
//! newest head that the reader of the log has from elsewhere.

pub mod chain;
pub mod check;
pub mod head;
pub mod line;
pub mod syslog;

pub use self::chain::{Hash, Node, NodeId, Row};
pub use self::head::{Head, PublicKey, SignedHead, Signer};

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads hexadecimal digits; `None` if they are not exactly `N` bytes.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
