//! Rows, and the hash that binds each to the one before.
//!
//! The hash of a row is SHA-256 over these bytes. Integers are big-endian; texts are UTF-8 behind their length in
//! bytes; a token or user that is absent is one byte 0, one that is there a byte 1 and its number.
//!
//! | part | bytes |
//! |---|---|
//! | `fobd audit row 1` and a byte 0 | 17 |
//! | hash of the row before; for the first row of a node its beginning | 32 |
//! | node | 16 |
//! | sequence | 8 |
//! | time in milliseconds since the Unix epoch, two's complement | 8 |
//! | token | 1 or 9 |
//! | user | 1 or 9 |
//! | operator, action, outcome, detail: each length and text | 4 + n |
//!
//! The beginning of a node is SHA-256 over `fobd audit node 1` and a byte 0, the node (16), the sequence of its first
//! row (8), its public key (32), and the hash of the last row of the node before it in the same file, or 32 bytes 0.
//! Another form will have another number in these texts; this one stays as it is.

use sha2::{Digest as _, Sha256};

use super::head::PublicKey;

/// A SHA-256 hash.
pub type Hash = [u8; 32];
/// Tells one server from another: 16 random bytes.
pub type NodeId = [u8; 16];

const ROW: &[u8] = b"fobd audit row 1\0";
const NODE: &[u8] = b"fobd audit node 1\0";

/// Who writes a chain, and from which row on. A database that was restored goes on as a new node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// Sequence of its first row.
    pub first: i64,
    /// What its heads are signed with.
    pub key: PublicKey,
}

impl Node {
    /// What stands before its first row; `previous` is the last hash of the node before it.
    #[must_use]
    pub fn beginning(&self, previous: Option<&Hash>) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update(NODE);
        hasher.update(self.id);
        hasher.update(self.first.to_be_bytes());
        hasher.update(self.key.0);
        hasher.update(previous.unwrap_or(&[0; 32]));
        hasher.finalize().into()
    }
}

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content<'a> {
    /// Time in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Name of the operator who called.
    pub operator: &'a str,
    /// The API method.
    pub action: &'a str,
    /// The token, if one was named or found.
    pub token: Option<i64>,
    /// The user, if one was named or found.
    pub user: Option<i64>,
    /// How it ended.
    pub outcome: &'a str,
    /// Facts for the reader.
    pub detail: &'a str,
}

impl Content<'_> {
    /// The hash of a row with this content at a place in a chain.
    #[must_use]
    pub fn hash(&self, previous: &Hash, node: &NodeId, sequence: i64) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update(ROW);
        hasher.update(previous);
        hasher.update(node);
        hasher.update(sequence.to_be_bytes());
        hasher.update(self.at_ms.to_be_bytes());
        for number in [self.token, self.user] {
            match number {
                None => hasher.update([0]),
                Some(number) => {
                    hasher.update([1]);
                    hasher.update(number.to_be_bytes());
                }
            }
        }
        for text in [self.operator, self.action, self.outcome, self.detail] {
            // No text of the log comes near 4 GiB: requests end at 16 MiB.
            hasher.update(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.finalize().into()
    }
}

/// A row as it stands in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its place, from 1, without gaps.
    pub sequence: i64,
    /// Time in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Name of the operator who called.
    pub operator: String,
    /// The API method.
    pub action: String,
    /// The token, if one was named or found.
    pub token: Option<i64>,
    /// The user, if one was named or found.
    pub user: Option<i64>,
    /// How it ended.
    pub outcome: String,
    /// Facts for the reader.
    pub detail: String,
    /// The hash that the row carries.
    pub hash: Hash,
}

impl Row {
    /// What it says.
    #[must_use]
    pub fn content(&self) -> Content<'_> {
        Content {
            at_ms: self.at_ms,
            operator: &self.operator,
            action: &self.action,
            token: self.token,
            user: self.user,
            outcome: &self.outcome,
            detail: &self.detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::hex;

    const CONTENT: Content<'_> = Content {
        at_ms: 1_767_225_600_123,
        operator: "admin",
        action: "auth/verify",
        token: Some(7),
        user: None,
        outcome: "accepted",
        detail: "café",
    };

    #[test]
    fn the_hash_is_over_the_documented_bytes() {
        let bytes: Vec<u8> = [
            &b"fobd audit row 1\0"[..],
            &[0x11; 32],
            &[0x22; 16],
            &[0, 0, 0, 0, 0, 0, 1, 2],
            &[0, 0, 1, 0x9b, 0x76, 0xda, 0xa8, 0x7b],
            &[1, 0, 0, 0, 0, 0, 0, 0, 7],
            &[0],
            b"\0\0\0\x05admin",
            b"\0\0\0\x0bauth/verify",
            b"\0\0\0\x08accepted",
            b"\0\0\0\x05caf\xc3\xa9",
        ]
        .concat();
        let expected: Hash = Sha256::digest(&bytes).into();
        assert_eq!(CONTENT.hash(&[0x11; 32], &[0x22; 16], 258), expected);
        assert_eq!(1_767_225_600_123_i64.to_be_bytes(), [0, 0, 1, 0x9b, 0x76, 0xda, 0xa8, 0x7b]);
        // Frozen: another value would make every log in the field a broken one.
        assert_eq!(hex(&expected), FROZEN);
    }

    const FROZEN: &str = "74ccbb3a5a577cdae7f1fb031711ba9262c581bc8a31282d7c1af4438917b9fa";

    #[test]
    fn every_part_of_a_row_is_in_its_hash() {
        let all = [
            CONTENT,
            Content { at_ms: -1, ..CONTENT },
            Content { operator: "adminauth", action: "/verify", ..CONTENT },
            Content { token: None, user: Some(7), ..CONTENT },
            Content { token: None, ..CONTENT },
            Content { outcome: "", ..CONTENT },
            Content { detail: "cafe", ..CONTENT },
        ];
        let mut hashes: Vec<Hash> = all.iter().map(|content| content.hash(&[1; 32], &[2; 16], 3)).collect();
        hashes.push(CONTENT.hash(&[0; 32], &[2; 16], 3));
        hashes.push(CONTENT.hash(&[1; 32], &[0; 16], 3));
        hashes.push(CONTENT.hash(&[1; 32], &[2; 16], 4));
        let count = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }
}
