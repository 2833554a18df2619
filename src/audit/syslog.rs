//! Rows and heads as syslog messages (RFC 5424), and how they are framed.
//!
//! Facility is log audit (13); severity notice (5) for rows, informational (6) for heads. What a row says is structured
//! data `fobd@32473` (32473 is the number that RFC 5612 keeps for examples: none is registered for this program),
//! its detail the message. A stream is framed by octet counting (RFC 6587 §3.4.1), a datagram is one message. Control
//! characters are replaced, so that no text of a row can pass for another message.

use super::chain::Row;
use super::head::SignedHead;
use super::hex;
use crate::model::id::{TokenId, UserId};

/// What stands in front of every message.
#[derive(Clone, Debug)]
pub struct Origin {
    /// HOSTNAME; `-` if unknown.
    pub host: String,
    /// PROCID.
    pub process: u32,
}

const ROW_PRIORITY: u8 = 13 * 8 + 5;
const HEAD_PRIORITY: u8 = 13 * 8 + 6;

/// A row as a message. `time` is in RFC 3339, or `-`.
#[must_use]
pub fn row(origin: &Origin, time: &str, row: &Row) -> String {
    let mut data = format!("[fobd@32473 sequence=\"{}\" hash=\"{}\"", row.sequence, hex(&row.hash));
    let token = row.token.map(|id| TokenId(id).to_string());
    let user = row.user.map(|id| UserId(id).to_string());
    let members = [
        ("operator", Some(row.operator.as_str())),
        ("action", Some(row.action.as_str())),
        ("outcome", Some(row.outcome.as_str())),
        ("token", token.as_deref()),
        ("user", user.as_deref()),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            data.push_str(&format!(" {name}=\"{}\"", escaped(value)));
        }
    }
    data.push(']');
    message(origin, ROW_PRIORITY, time, "audit", &data, &row.detail)
}

/// A head as a message.
#[must_use]
pub fn head(origin: &Origin, time: &str, signed: &SignedHead) -> String {
    let text = serde_json::to_string(signed).unwrap_or_default();
    message(origin, HEAD_PRIORITY, time, "audit-head", "-", &text)
}

fn message(origin: &Origin, priority: u8, time: &str, id: &str, data: &str, text: &str) -> String {
    let mut message = format!("<{priority}>1 {time} {} fobd {} {id} {data}", origin.host, origin.process);
    if !text.is_empty() {
        message.push(' ');
        message.push_str(&plain(text));
    }
    message
}

/// A message on a stream.
#[must_use]
pub fn framed(message: &str) -> String {
    format!("{} {message}", message.len())
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// A value of structured data (RFC 5424 §6.3.3).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in plain(text).chars() {
        if matches!(c, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_message_whatever_is_in_it() {
        let origin = Origin { host: "host.example".to_owned(), process: 42 };
        let row_ = Row {
            sequence: 7,
            at_ms: 0,
            operator: "a\"]\\\n<13>1".to_owned(),
            action: "auth/verify".to_owned(),
            token: Some(3),
            user: None,
            outcome: "accepted".to_owned(),
            detail: "two\nlines".to_owned(),
            hash: [0xab; 32],
        };
        let expected = format!(
            "<109>1 1970-01-01T00:00:00Z host.example fobd 42 audit [fobd@32473 sequence=\"7\" hash=\"{}\" \
             operator=\"a\\\"\\]\\\\\u{FFFD}<13>1\" action=\"auth/verify\" outcome=\"accepted\" token=\"t3\"] \
             two\u{FFFD}lines",
            "ab".repeat(32)
        );
        let message = row(&origin, "1970-01-01T00:00:00Z", &row_);
        assert_eq!(message, expected);
        assert_eq!(framed("abcé"), "5 abcé");
    }
}
