//! What watches over verification: the server's clock, sources that try many users, and requests that are sent again.

mod clock;
mod kill;
mod resend;
mod spraying;

use fobd::otp::algorithm::Algorithm;
use serde_json::{Value as Json, json};

use crate::otp_oracle::passcode;
use crate::support::client::Client;

/// The passcode of the RFC secret at a counter or time step.
fn code(factor: u64) -> String {
    passcode(b"12345678901234567890", Algorithm::Sha1, 6, factor)
}

/// Outcomes of the rows of a method in the audit log, oldest first, with their details.
fn outcomes(client: &Client, action: &str) -> Vec<(String, String)> {
    let found = client.ok("audit/search", json!({"action": action, "order": "asc", "max": 1000}));
    let text = |value: &Json| value.as_str().expect("a text").to_owned();
    let rows = found["rows"].as_array().expect("rows");
    rows.iter().map(|row| (text(&row["outcome"]), text(&row["detail"]))).collect()
}

/// How many rows of a method ended so.
fn count(client: &Client, action: &str, outcome: &str) -> usize {
    outcomes(client, action).iter().filter(|(found, _)| found == outcome).count()
}

/// Where a token stands.
fn state(client: &Client, serial: &str) -> (u64, u64) {
    let shown =
        client.ok("token/get", json!({"token": {"serial": serial}, "return": ["counter", "failCount"]}));
    (shown["counter"].as_u64().unwrap_or(0), shown["failCount"].as_u64().expect("a number"))
}
