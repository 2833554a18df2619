//! Signed heads: what the log was at some time, for whoever keeps them elsewhere.
//!
//! A head names the newest row and its hash. It is signed with Ed25519 (RFC 8032) over these bytes; integers are
//! big-endian:
//!
//! | part | bytes |
//! |---|---|
//! | `fobd audit head 1` and a byte 0 | 18 |
//! | node | 16 |
//! | sequence | 8 |
//! | hash of that row | 32 |
//! | time of signing in milliseconds since the Unix epoch | 8 |
//!
//! On the wire a head is one line of JSON, binary parts in hexadecimal.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::chain::{Hash, NodeId};
use super::{hex, unhex};

const HEAD: &[u8] = b"fobd audit head 1\0";

/// An Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

/// What the log was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Who says so.
    pub node: NodeId,
    /// The newest row.
    pub sequence: i64,
    /// Its hash.
    pub hash: Hash,
    /// When it was signed, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

impl Head {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = HEAD.to_vec();
        bytes.extend_from_slice(&self.node);
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.hash);
        bytes.extend_from_slice(&self.at_ms.to_be_bytes());
        bytes
    }
}

/// A head with its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct SignedHead {
    /// What is signed.
    pub head: Head,
    /// The key that it was signed with, as the signer says.
    pub key: PublicKey,
    /// The signature.
    pub signature: [u8; 64],
}

impl SignedHead {
    /// Whether the holder of that key signed it.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        UnparsedPublicKey::new(&ED25519, &key.0).verify(&self.head.bytes(), &self.signature).is_ok()
    }
}

/// The form of a head on the wire.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u8,
    node: String,
    sequence: i64,
    hash: String,
    at_ms: i64,
    key: String,
    signature: String,
}

impl From<SignedHead> for Wire {
    fn from(signed: SignedHead) -> Self {
        Self {
            version: 1,
            node: hex(&signed.head.node),
            sequence: signed.head.sequence,
            hash: hex(&signed.head.hash),
            at_ms: signed.head.at_ms,
            key: hex(&signed.key.0),
            signature: hex(&signed.signature),
        }
    }
}

impl TryFrom<Wire> for SignedHead {
    type Error = &'static str;

    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        if wire.version != 1 {
            return Err("a head of a version that this program does not know");
        }
        Ok(Self {
            head: Head {
                node: unhex(&wire.node).ok_or("`node` must be 32 hexadecimal digits")?,
                sequence: wire.sequence,
                hash: unhex(&wire.hash).ok_or("`hash` must be 64 hexadecimal digits")?,
                at_ms: wire.at_ms,
            },
            key: PublicKey(unhex(&wire.key).ok_or("`key` must be 64 hexadecimal digits")?),
            signature: unhex(&wire.signature).ok_or("`signature` must be 128 hexadecimal digits")?,
        })
    }
}

/// Signs heads. The key never leaves it.
pub struct Signer {
    node: NodeId,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// Takes a seed of 32 random bytes.
    #[must_use]
    pub fn new(node: NodeId, seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(|pair| Self { node, pair })
    }

    /// The node that it signs for.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// What others check its signatures with.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(key)
    }

    /// Signs.
    #[must_use]
    pub fn sign(&self, sequence: i64, hash: Hash, at_ms: i64) -> SignedHead {
        let head = Head { node: self.node, sequence, hash, at_ms };
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(&head.bytes()).as_ref());
        SignedHead { head, key: self.public_key(), signature }
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("node", &hex(&self.node)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> SignedHead {
        Signer::new([9; 16], &[7; 32]).unwrap().sign(12, [3; 32], 1_767_225_600_000)
    }

    #[test]
    fn a_head_with_anything_changed_is_signed_by_nobody() {
        let good = signed();
        assert!(good.is_signed_by(&good.key));
        assert!(!good.is_signed_by(&Signer::new([9; 16], &[8; 32]).unwrap().public_key()));
        let changes: [fn(&mut SignedHead); 5] = [
            |signed| signed.head.node[0] ^= 1,
            |signed| signed.head.sequence += 1,
            |signed| signed.head.hash[31] ^= 1,
            |signed| signed.head.at_ms -= 1,
            |signed| signed.signature[5] ^= 1,
        ];
        for change in changes {
            let mut changed = good;
            change(&mut changed);
            assert!(!changed.is_signed_by(&good.key), "{changed:?}");
        }
    }

    #[test]
    fn a_head_survives_the_wire_and_a_damaged_one_is_refused() {
        let text = serde_json::to_string(&signed()).unwrap();
        assert_eq!(serde_json::from_str::<SignedHead>(&text).unwrap(), signed());
        for (from, to) in [("\"version\":1", "\"version\":2"), ("0909", "09"), ("0303", "xy03")] {
            let damaged = text.replacen(from, to, 1);
            assert!(damaged != text && serde_json::from_str::<SignedHead>(&damaged).is_err(), "{damaged}");
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let signer = Signer::new([9; 16], &[7; 32]).unwrap();
        assert!(!format!("{signer:?}").contains("0707"));
    }
}
