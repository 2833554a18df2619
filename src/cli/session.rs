//! What every command works with: the server, the streams, the people, and the form of the output.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::ask::Ask;
use super::client::{Client, ClientError};
use super::doctor::DoctorArgs;
use super::error::{CliError, Outcome};
use super::events::{Ear, Heard};
use super::output::{self, Column};

/// Between two looks at what is heard; the answer itself is heard at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// What people are told who are to touch a token.
pub(crate) const TOUCH_NOW: &str = "touch the token now";

/// One command at work.
pub(crate) struct Session<'a> {
    client: Arc<Client>,
    out: &'a mut dyn Write,
    notes: &'a mut dyn Write,
    pub(crate) ask: &'a mut dyn Ask,
    json: bool,
    /// Between two looks at a job.
    pub(crate) poll: Duration,
    /// Whether to listen for touches and states while a command is at work.
    pub(crate) live: bool,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        client: Client,
        out: &'a mut dyn Write,
        notes: &'a mut dyn Write,
        ask: &'a mut dyn Ask,
        json: bool,
    ) -> Self {
        Self { client: Arc::new(client), out, notes, ask, json, poll: Duration::from_millis(250), live: true }
    }

    /// Calls a method.
    pub(crate) fn call(&self, method: &str, params: &Value) -> Result<Value, ClientError> {
        self.client.call(method, params)
    }

    /// The way to the server.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Looks at this machine, and at what the server sees.
    pub(crate) fn examine(&mut self, doctor: &DoctorArgs) -> Outcome {
        doctor.run(Some(&*self.client), self.json, self.out)
    }

    /// Listens to the server, if that is wanted and possible.
    pub(crate) fn ear(&self) -> Option<Ear> {
        if self.live { Ear::open(&self.client) } else { None }
    }

    /// Calls a method that may wait for a touch of that device, and says so to whoever is to touch it.
    pub(crate) fn call_prompting(
        &mut self,
        method: &'static str,
        params: &Value,
        device: &str,
    ) -> Result<Value, ClientError> {
        let Some(ear) = self.ear() else { return self.call(method, params) };
        ear.call(&self.client, method, params);
        loop {
            match ear.next(PATIENCE) {
                Heard::Answer(answer) => return answer,
                Heard::Event(message) if message.is_touch_of(device) => {
                    self.progress("awaiting_touch", TOUCH_NOW);
                }
                Heard::Event(_) | Heard::Silence | Heard::Over => {}
            }
        }
    }

    /// Prints one line of many: the text for people, or the JSON on one line.
    pub(crate) fn line(&mut self, value: &Value, text: &str) {
        let shown = if self.json { format!("{value}\n") } else { text.to_owned() };
        let _ = self.out.write_all(shown.as_bytes()).and_then(|()| self.out.flush());
    }

    /// Gets a page; `None` if the server has nothing to say.
    pub(crate) fn get(&self, path: &str) -> Result<Option<impl std::io::Read + use<>>, ClientError> {
        self.client.get(path)
    }

    /// Where results go.
    pub(crate) fn out(&mut self) -> &mut dyn Write {
        self.out
    }

    /// Prints a result: the text for people, or the JSON.
    pub(crate) fn show(&mut self, result: &Value, text: impl FnOnce(&Value) -> String) -> Outcome {
        let shown = if self.json { format!("{result:#}\n") } else { text(result) };
        // A reader who has seen enough (`| head`) is no error.
        let _ = self.out.write_all(shown.as_bytes()).and_then(|()| self.out.flush());
        Outcome::Done
    }

    /// Tells people something beside the result.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.json {
            let _ = writeln!(self.notes, "{}", output::printable(text));
        }
    }

    /// Tells where a job stands, to programs too.
    pub(crate) fn progress(&mut self, state: &str, text: &str) {
        let line = if self.json { json!({ "state": state }).to_string() } else { output::printable(text) };
        let _ = writeln!(self.notes, "{line}");
    }

    /// Prints `{total, rows}` as a table, and how many more there are.
    pub(crate) fn table(
        &mut self,
        method: &'static str,
        result: &Value,
        columns: &[Column],
    ) -> Result<Outcome, CliError> {
        let missing = CliError::Reply { method, member: "rows" };
        let rows = result.get("rows").and_then(Value::as_array).ok_or(missing)?;
        let outcome = self.show(result, |_| output::table(columns, rows));
        let total = result.get("total").and_then(Value::as_u64).unwrap_or(0);
        if total > rows.len() as u64 {
            self.note(&format!("{} of {total} shown: --max and --offset show others", rows.len()));
        }
        Ok(outcome)
    }

    /// Searches and prints a table.
    pub(crate) fn search(
        &mut self,
        method: &'static str,
        matches: &[Value],
        page: &Page,
        columns: &[Column],
    ) -> Result<Outcome, CliError> {
        let wanted: Vec<&str> =
            std::iter::once("id").chain(columns.iter().map(|column| column.path)).collect();
        let mut params =
            json!({ "return": wanted, "sort": page.sort, "max": page.max, "offset": page.offset });
        if !matches.is_empty() {
            params["match"] = Value::from(matches);
        }
        let result = self.call(method, &params)?;
        self.table(method, &result, columns)
    }

    /// Creates an object and tells its id.
    pub(crate) fn create(
        &mut self,
        method: &'static str,
        attrs: Map<String, Value>,
        what: &str,
    ) -> Result<Outcome, CliError> {
        let result = self.call(method, &json!({ "attrs": attrs, "return": ["id"] }))?;
        let id = result.get("id").and_then(Value::as_str).ok_or(CliError::Reply { method, member: "id" })?;
        let done = format!("{} added ({})\n", output::printable(what), output::printable(id));
        Ok(self.show(&result, |_| done))
    }
}

/// The part of a search result that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) sort: &'static str,
    pub(crate) max: u32,
    pub(crate) offset: u32,
}

/// Which part of a list to show.
#[derive(Clone, Debug, clap::Args)]
pub struct PageArgs {
    /// Show at most this many.
    #[arg(long, default_value_t = 100, value_name = "N")]
    max: u32,
    /// Leave out this many first.
    #[arg(long, default_value_t = 0, value_name = "N")]
    offset: u32,
}

impl PageArgs {
    pub(crate) fn sorted_by(&self, sort: &'static str) -> Page {
        Page { sort, max: self.max, offset: self.offset }
    }
}

/// One comparison of a search.
pub(crate) fn equal(attribute: &str, value: impl Into<Value>) -> Value {
    Value::Array(vec![attribute.into(), "=".into(), value.into()])
}

/// Adds an attribute if there is a value for it.
pub(crate) fn put(attrs: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        attrs.insert(name.to_owned(), value.into());
    }
}
