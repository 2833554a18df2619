//! Results as text. Pure but for [`report`].
//!
//! Columns are aligned by characters, a column that is empty in every row is left out, nothing is coloured and
//! nothing cut off. Whatever comes from the server is stripped of control characters, since serials, names and
//! error texts may come from devices and files of others, and a terminal obeys them.

use std::io::Write;

use serde_json::{Value, json};

use super::error::CliError;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Its heading.
    pub(crate) title: &'static str,
    /// The attribute in it; `product.name` is looked up as a key and then as a path.
    pub(crate) path: &'static str,
}

/// Makes a column.
pub(crate) const fn column(title: &'static str, path: &'static str) -> Column {
    Column { title, path }
}

/// A text that does nothing to a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_direction(c) { '\u{FFFD}' } else { c }).collect()
}

/// The invisible characters that turn the direction of the text round them.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The rows as lines of text, headings first.
pub(crate) fn table(columns: &[Column], rows: &[Value]) -> String {
    let filled: Vec<(&Column, Vec<String>)> = columns
        .iter()
        .map(|column| (column, rows.iter().map(|row| cell(row, column.path)).collect()))
        .filter(|(_, cells): &(_, Vec<String>)| rows.is_empty() || cells.iter().any(|cell| !cell.is_empty()))
        .collect();
    let mut lines = vec![String::new(); rows.len() + 1];
    for (column, cells) in filled {
        let cells: Vec<&str> = std::iter::once(column.title)
            .chain(cells.iter().map(|cell| if cell.is_empty() { "-" } else { cell }))
            .collect();
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        for (line, cell) in lines.iter_mut().zip(cells) {
            line.push_str(&format!("{cell:<width$}  "));
        }
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The attributes of one object, one a line; those named first come first, empty ones not at all.
pub(crate) fn details(object: &Value, first: &[&str]) -> String {
    let Some(members) = object.as_object() else { return format!("{}\n", text(object)) };
    let others = members.keys().map(String::as_str).filter(|name| !first.contains(name));
    let named: Vec<(&str, String)> = first
        .iter()
        .copied()
        .chain(others)
        .map(|name| (name, cell(object, name)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let width = named.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    named.iter().map(|(name, value)| format!("{:<width$}  {value}\n", printable(name))).collect()
}

fn cell(row: &Value, path: &str) -> String {
    let nested = || path.split('.').try_fold(row, |value, name| value.get(name));
    row.get(path).or_else(nested).map(text).unwrap_or_default()
}

/// A value in a few words: of an object its serial, name or login if it has one.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => printable(text),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(members) => match members.get("elements") {
            Some(elements) => text(elements),
            None => object_text(value),
        },
    }
}

fn object_text(object: &Value) -> String {
    let login = cell(object, "loginName");
    if !login.is_empty() {
        let domain = cell(object, "domain.name");
        return if domain.is_empty() { login } else { format!("{domain}\\{login}") };
    }
    let told = ["serial", "name", "id"].iter().map(|name| cell(object, name)).find(|told| !told.is_empty());
    told.unwrap_or_else(|| printable(&object.to_string()))
}

/// Reports a failure: a line for people and one with a hint, or one line of JSON.
pub(crate) fn report(error: &CliError, as_json: bool, notes: &mut dyn Write) {
    let _ = notes.write_all(describe(error, as_json).as_bytes());
}

fn describe(error: &CliError, as_json: bool) -> String {
    if !as_json {
        let hint = error.hint().map(|hint| format!("hint: {}\n", printable(&hint)));
        return format!("error: {}\n{}", printable(&error.to_string()), hint.unwrap_or_default());
    }
    let mut described = json!({ "message": error.to_string(), "exit": error.code() });
    if let Some(hint) = error.hint() {
        described["hint"] = hint.into();
    }
    if let CliError::Client(refused) | CliError::Following { source: refused, .. } = error
        && let super::client::ClientError::Refused { code, kind, .. } = refused
    {
        described["code"] = (*code).into();
        described["kind"] = kind.clone().into();
    }
    format!("{}\n", json!({ "error": described }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::ClientError;

    #[test]
    fn columns_are_aligned_and_those_without_a_value_left_out() {
        let columns = [
            column("SERIAL", "serial"),
            column("PRODUCT", "product.name"),
            column("NOTE", "note"),
            column("PROGRAMMED", "programmed"),
            column("DIGITS", "digits"),
        ];
        let rows = [
            json!({"serial": "1", "product.name": "Schlüssel", "programmed": true, "digits": 6}),
            json!({"serial": "12345678", "product": {"name": "Fob"}, "programmed": false, "digits": null}),
        ];
        let expected = "SERIAL    PRODUCT    PROGRAMMED  DIGITS\n\
                        1         Schlüssel  yes         6\n\
                        12345678  Fob        no          -\n";
        assert_eq!(table(&columns, &rows), expected);
    }

    #[test]
    fn an_empty_list_still_shows_its_headings() {
        assert_eq!(table(&[column("SERIAL", "serial"), column("STATUS", "status")], &[]), "SERIAL  STATUS\n");
    }

    #[test]
    fn objects_are_told_by_their_names() {
        let token = json!({
            "status": "ACTIVE",
            "serial": "77",
            "product.name": "Fob",
            "description": "",
            "lockedUntil": null,
            "users": {"elements": [{"loginName": "alice", "domain.name": "acme"}, {"loginName": "bob"}]},
            "repository": {"id": "r1"},
        });
        let expected = "serial        77\n\
                        product.name  Fob\n\
                        repository    r1\n\
                        status        ACTIVE\n\
                        users         acme\\alice, bob\n";
        assert_eq!(details(&token, &["serial", "absent"]), expected);
    }

    #[test]
    fn nothing_from_a_server_reaches_the_terminal_as_a_command() {
        let rows = [json!({"serial": "1\u{1b}[2J\n\u{202e}2"})];
        assert_eq!(table(&[column("S", "serial")], &rows), "S\n1\u{FFFD}[2J\u{FFFD}\u{FFFD}2\n");
    }

    #[test]
    fn a_failure_is_a_line_and_a_hint_or_an_object() {
        let refused = ClientError::Refused {
            method: "token/get".to_owned(),
            code: 1022,
            message: "token not found.".to_owned(),
            kind: Some("token.not_found".to_owned()),
        };
        let following = CliError::Following { job: "j7".to_owned(), source: refused };
        let expected = "error: token/get: token not found. (1022, token.not_found)\n\
                        hint: the job goes on in the server: `fobd job show j7` tells how it stands\n";
        assert_eq!(describe(&following, false), expected);
        let object: Value = serde_json::from_str(&describe(&following, true)).unwrap();
        let error = &object["error"];
        assert_eq!(
            (&error["code"], &error["kind"], &error["exit"]),
            (&json!(1022), &json!("token.not_found"), &json!(3))
        );
        let plain: Value = serde_json::from_str(&describe(&CliError::NotConfirmed, true)).unwrap();
        assert_eq!(plain["error"]["exit"], 2);
    }
}
