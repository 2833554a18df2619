//! The audit log as lines of JSON, in which it leaves the server whole and can be checked elsewhere.
//!
//! | line | what it says |
//! |---|---|
//! | `log`, the first | version, nodes, where the log begins: `after` the row that the reader asked for, or at a `cut` |
//! | `row` | one row, in order |
//! | `head` | a signed head of the row before it |
//! | `end`, the last | the newest row: without it the export was cut off |
//!
//! Unknown members are refused: what no hash covers must not be taken for proven.

use serde::{Deserialize, Serialize};

use super::chain::{Hash, Node, Row};
use super::head::{PublicKey, SignedHead};
use super::{hex, unhex};
use crate::model::id::{TokenId, UserId};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Line {
    /// The first line.
    Log(Beginning),
    /// A row.
    Row(RowLine),
    /// A signed head.
    Head(SignedHead),
    /// The last line.
    End(Place),
}

/// Where a log begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beginning {
    /// Always 1.
    pub version: u8,
    /// Who has written it, in order.
    pub nodes: Vec<NodeLine>,
    /// The rows up to here are in another export.
    pub after: Option<Place>,
    /// The rows up to here were pruned.
    pub cut: Option<SignedHead>,
}

/// A row by its number and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Sequence of the row.
    pub sequence: i64,
    /// Its hash in hexadecimal.
    pub hash: String,
}

impl Place {
    /// A row by its number and hash.
    #[must_use]
    pub fn new(sequence: i64, hash: &Hash) -> Self {
        Self { sequence, hash: hex(hash) }
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeLine {
    node: String,
    first: i64,
    key: String,
}

impl From<&Node> for NodeLine {
    fn from(node: &Node) -> Self {
        Self { node: hex(&node.id), first: node.first, key: hex(&node.key.0) }
    }
}

impl NodeLine {
    /// Reads it; `None` if a part has the wrong form.
    #[must_use]
    pub fn node(&self) -> Option<Node> {
        Some(Node { id: unhex(&self.node)?, first: self.first, key: PublicKey(unhex(&self.key)?) })
    }
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowLine {
    /// Its place, from 1, without gaps.
    pub sequence: i64,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Name of the operator who called.
    pub operator: String,
    /// The API method.
    pub action: String,
    /// Id of the token, if one was named or found.
    pub token: Option<String>,
    /// Id of the user, if one was named or found.
    pub user: Option<String>,
    /// How it ended.
    pub outcome: String,
    /// Facts for the reader.
    pub detail: String,
    /// The hash of the row in hexadecimal.
    pub hash: String,
}

impl From<Row> for RowLine {
    fn from(row: Row) -> Self {
        Self {
            sequence: row.sequence,
            at_ms: row.at_ms,
            operator: row.operator,
            action: row.action,
            token: row.token.map(|id| TokenId(id).to_string()),
            user: row.user.map(|id| UserId(id).to_string()),
            outcome: row.outcome,
            detail: row.detail,
            hash: hex(&row.hash),
        }
    }
}

impl RowLine {
    /// Reads it. What has a form that the server never writes becomes a value that no hash fits, so that the row is
    /// found to be a bad one and not the file to be unreadable.
    #[must_use]
    pub fn row(self) -> Row {
        let number = |id: Option<String>, letter| id.map(|id| parse_id(&id, letter));
        Row {
            sequence: self.sequence,
            at_ms: self.at_ms,
            operator: self.operator,
            action: self.action,
            token: number(self.token, TokenId::LETTER),
            user: number(self.user, UserId::LETTER),
            outcome: self.outcome,
            detail: self.detail,
            hash: unhex(&self.hash).unwrap_or_default(),
        }
    }
}

/// Wider than the ids of the API: a damaged log may hold any number.
fn parse_id(id: &str, letter: char) -> i64 {
    let number = id.strip_prefix(letter).and_then(|number| number.parse::<i64>().ok());
    // One text for one number: `t07` is no form of `t7`.
    number.filter(|number| id[1..] == number.to_string()).unwrap_or(i64::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            sequence: 5,
            at_ms: -1,
            operator: "a\n\"".to_owned(),
            action: "auth/verify".to_owned(),
            token: Some(7),
            user: Some(-3),
            outcome: "accepted".to_owned(),
            detail: String::new(),
            hash: [0xab; 32],
        }
    }

    #[test]
    fn a_row_survives_its_line() {
        let text = serde_json::to_string(&Line::Row(row().into())).unwrap();
        assert!(
            !text.contains('\n') && text.contains("\"type\":\"row\"") && text.contains("\"t7\""),
            "{text}"
        );
        let Line::Row(read) = serde_json::from_str(&text).unwrap() else { panic!("no row") };
        assert_eq!(read.row(), row());
    }

    #[test]
    fn a_member_that_no_hash_covers_is_refused_and_another_form_of_an_id_fits_nothing() {
        let text = serde_json::to_string(&Line::Row(row().into())).unwrap();
        let more = text.replacen("\"at_ms\"", "\"note\":1,\"at_ms\"", 1);
        assert!(serde_json::from_str::<Line>(&more).is_err());
        let Line::Row(read) = serde_json::from_str(&text.replace("\"t7\"", "\"t07\"")).unwrap() else {
            panic!("no row")
        };
        assert_eq!(read.row().token, Some(i64::MIN));
    }
}
