//! `fobd token explain` and `fobd user explain`: why somebody was not let in, and what to do.

use serde_json::Value;

use super::error::{CliError, Outcome};
use super::output::{Column, column, printable};
use super::session::Session;

const ATTEMPTS: &[Column] = &[
    column("TIME", "time"),
    column("TOKEN", "token"),
    column("USER", "user"),
    column("WHAT", "text"),
    column("WHAT TO DO", "advice"),
];

/// Shows what is known of the last attempts.
pub(super) fn run(session: &mut Session<'_>, params: &Value) -> Result<Outcome, CliError> {
    let method = "token/explain";
    let result = session.call(method, params)?;
    let locks = result["locks"].as_array().ok_or(CliError::Reply { method, member: "locks" })?.clone();
    let outcome = session.table(method, &result, ATTEMPTS)?;
    for lock in &locks {
        session.note(&locked(lock));
    }
    if result["total"] == 0 {
        session.note("no failed attempt is known; `fobd audit search` shows all decisions");
    }
    Ok(outcome)
}

/// A lock and the attempts that led to it.
fn locked(lock: &Value) -> String {
    let text = |value: &Value| printable(value.as_str().unwrap_or_default());
    let attempts: Vec<String> = lock["attempts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|attempt| {
            format!(
                "{} {} (by {})",
                text(&attempt["time"]),
                text(&attempt["outcome"]),
                text(&attempt["operator"])
            )
        })
        .collect();
    let until = match text(&lock["until"]) {
        until if until.is_empty() => "until somebody unlocks it".to_owned(),
        until => format!("until {until}"),
    };
    let failures = lock["failures"].as_i64().unwrap_or_default();
    format!(
        "{} {} is locked {until} after {failures} failures: {}",
        text(&lock["what"]),
        text(&lock["name"]),
        attempts.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lock_is_told_with_the_attempts_that_led_to_it() {
        let lock = json!({
            "what": "user", "name": "acme\\alice", "until": "2026-01-01T00:01:00Z", "failures": 10,
            "attempts": [{"time": "2026-01-01T00:00:00Z", "operator": "vpn", "outcome": "wrong_pin"}],
        });
        let expected = "user acme\\alice is locked until 2026-01-01T00:01:00Z after 10 failures: \
                        2026-01-01T00:00:00Z wrong_pin (by vpn)";
        assert_eq!(locked(&lock), expected);
    }
}
