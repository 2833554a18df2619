//! Server-sent events on the client's side (HTML Living Standard §9.2): a stream as messages, `fobd device watch`, and
//! an ear for what a command at work has to tell people meanwhile.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::error::{CliError, Outcome};
use super::output;
use super::session::Session;

/// The longest line taken.
const LONGEST_LINE: u64 = 64 << 20;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    /// Its place in the stream.
    pub(super) id: String,
    /// Its kind.
    pub(super) event: String,
    /// What it tells.
    pub(super) data: Value,
}

impl Message {
    /// Whether that device waits for a touch.
    pub(super) fn is_touch_of(&self, device: &str) -> bool {
        self.event == "touch" && self.data["device"] == device
    }
}

/// A stream of events.
pub(super) struct Stream<R> {
    lines: BufReader<R>,
}

impl<R: Read> Stream<R> {
    pub(super) fn new(body: R) -> Self {
        Self { lines: BufReader::new(body) }
    }

    /// The next event; `None` at the end, however it came. Comments, hints and what is no JSON are passed over.
    pub(super) fn next(&mut self) -> Option<Message> {
        let mut message = Message { id: String::new(), event: String::new(), data: Value::Null };
        let mut data = String::new();
        loop {
            let mut line = String::new();
            let read = self.lines.by_ref().take(LONGEST_LINE).read_line(&mut line).ok()?;
            if read == 0 || !line.ends_with('\n') {
                return None;
            }
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                match serde_json::from_str(&data) {
                    Ok(value) if !message.event.is_empty() => {
                        return Some(Message { data: value, ..message });
                    }
                    _ => {
                        data.clear();
                        message.event.clear();
                        continue;
                    }
                }
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut message.event),
                "id" => value.clone_into(&mut message.id),
                "data" => {
                    if !data.is_empty() {
                        data.push('\n');
                    }
                    data.push_str(value);
                }
                _ => {}
            }
        }
    }
}

/// `fobd device watch`: each event on a line, until the server ends the stream.
pub(super) fn watch(session: &mut Session<'_>) -> Result<Outcome, CliError> {
    let mut stream = session.client().follow()?;
    while let Some(message) = stream.next() {
        session.line(
            &json!({ "event": message.event, "id": message.id, "data": message.data }),
            &text(&message),
        );
    }
    session.note("the server has ended the stream");
    Ok(Outcome::Done)
}

/// An event in words; of a snapshot a line for each device and job.
fn text(message: &Message) -> String {
    let data = &message.data;
    let line = |what: &str, parts: &[String]| {
        let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        format!("{what:<9} {}\n", parts.join("  "))
    };
    let of = |value: &Value, name: &str| output::printable(value[name].as_str().unwrap_or_default());
    let place = |value: &Value| vec![of(value, "transport"), of(value, "place")];
    let device = |what: &str, row: &Value| {
        let mut parts = vec![of(row, "id"), of(row, "state")];
        if what == "opened" {
            let all: Vec<String> =
                row["interfaces"].as_array().into_iter().flatten().map(|way| place(way).join(" ")).collect();
            parts.extend([of(row, "model"), of(row, "firmware"), all.join(", ")]);
        }
        line(what, &[parts, vec![of(row, "error")]].concat())
    };
    let job = |row: &Value| {
        let slot = format!("slot {}", of(row, "slot"));
        line("job", &[of(row, "job"), of(row, "state"), of(row, "device"), slot, of(row, "error")])
    };
    let rows = |value: &Value| value.as_array().cloned().unwrap_or_default();
    match message.event.as_str() {
        "snapshot" => {
            let reason = match data["reason"].as_str() {
                Some("start") => String::new(),
                _ => line("missed", &["events: this is how it stands now".to_owned()]),
            };
            let devices = rows(&data["devices"]["rows"]).iter().map(|row| device("opened", row)).collect();
            let jobs = rows(&data["jobs"]).iter().map(job).collect();
            [reason, devices, jobs].concat()
        }
        "opened" | "state" => device(&message.event, data),
        "touch" => line("touch", &[of(data, "device"), "touch it now".to_owned()]),
        "job" => job(data),
        "detached" => {
            let ids = rows(&data["devices"]);
            let ids: Vec<String> =
                ids.iter().map(|id| output::printable(id.as_str().unwrap_or_default())).collect();
            line("detached", &[place(data), ids].concat())
        }
        event => line(&output::printable(event), &place(data)),
    }
}

/// What comes while a command is at work.
pub(super) enum Heard {
    /// An event.
    Event(Message),
    /// The answer to the call under way.
    Answer(Result<Value, ClientError>),
    /// Nothing in that time.
    Silence,
    /// There will be no more events.
    Over,
}

/// Listens while a command is at work.
pub(super) struct Ear {
    sender: SyncSender<Heard>,
    heard: Receiver<Heard>,
}

impl Ear {
    /// Listens from now on. Without a stream (an older server, too many listeners) a command does without.
    pub(super) fn open(client: &Client) -> Option<Self> {
        let mut stream = client.follow().ok()?;
        let (sender, heard) = sync_channel(256);
        let tell = sender.clone();
        let listen = move || {
            while let Some(message) = stream.next() {
                if tell.send(Heard::Event(message)).is_err() {
                    return;
                }
            }
            let _ = tell.send(Heard::Over);
        };
        // Nobody joins it: it lives as long as the client.
        std::thread::Builder::new().name("events".to_owned()).spawn(listen).ok()?;
        Some(Self { sender, heard })
    }

    /// Waits for what comes next.
    pub(super) fn next(&self, at_most: Duration) -> Heard {
        self.heard.recv_timeout(at_most).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => Heard::Silence,
            RecvTimeoutError::Disconnected => Heard::Over,
        })
    }

    /// Makes a call whose answer is heard among the events. Without a thread it is made here.
    pub(super) fn call(&self, client: &Arc<Client>, method: &'static str, params: &Value) {
        let (client, params, tell) = (Arc::clone(client), params.clone(), self.sender.clone());
        let call = move || drop(tell.send(Heard::Answer(client.call(method, &params))));
        if let Err(failed) = std::thread::Builder::new().name("call".to_owned()).spawn(call.clone()) {
            tracing::debug!(%failed, "no thread for a call");
            call();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<(String, String, Value)> {
        let mut stream = Stream::new(text.as_bytes());
        std::iter::from_fn(|| stream.next()).map(|m| (m.event, m.id, m.data)).collect()
    }

    #[test]
    fn events_are_read_and_everything_else_is_passed_over() {
        let text = ": hello\nretry: 3000\n\nevent: touch\nid: r-1\ndata: {\"device\":\"a:1\"}\n\n: heartbeat\n\n\
                    event:x\r\ndata:[1,\r\ndata: 2]\r\n\r\nevent: odd\ndata: no json\n\ndata: {}\n\n\
                    event: cut\ndata: {}\n";
        let expected = [
            ("touch".to_owned(), "r-1".to_owned(), json!({"device": "a:1"})),
            ("x".to_owned(), String::new(), json!([1, 2])),
        ];
        assert_eq!(messages(text), expected);
    }

    #[test]
    fn each_kind_of_event_has_words() {
        let words =
            |event: &str, data: Value| text(&Message { id: String::new(), event: event.to_owned(), data });
        let row = json!({"id": "ykotp:7", "state": "ready", "model": "YubiKey 5", "firmware": "5.4.3",
            "interfaces": [{"transport": "hid", "place": "/dev/hidraw3"}, {"transport": "pcsc", "place": "A 00"}]});
        let job = json!({"job": "j1", "state": "undone", "device": "ykotp:7", "slot": "2", "error": "gone"});
        assert_eq!(
            words("attached", json!({"transport": "pcsc", "place": "A 00"})),
            "attached  pcsc  A 00\n"
        );
        assert_eq!(words("state", row.clone()), "state     ykotp:7  ready\n");
        assert_eq!(words("touch", json!({"device": "ykotp:7"})), "touch     ykotp:7  touch it now\n");
        assert_eq!(words("job", job.clone()), "job       j1  undone  ykotp:7  slot 2  gone\n");
        let gone = json!({"transport": "pcsc", "place": "A\u{1b}", "devices": ["ykotp:7"]});
        assert_eq!(words("detached", gone), "detached  pcsc  A\u{FFFD}  ykotp:7\n");
        let opened = "opened    ykotp:7  ready  YubiKey 5  5.4.3  hid /dev/hidraw3, pcsc A 00\n";
        assert_eq!(words("opened", row.clone()), opened);
        let snapshot = json!({"reason": "start", "devices": {"rows": [row]}, "jobs": [job]});
        assert_eq!(
            words("snapshot", snapshot),
            format!("{opened}job       j1  undone  ykotp:7  slot 2  gone\n")
        );
        let lagged = json!({"reason": "lagged", "devices": {"rows": []}, "jobs": []});
        assert_eq!(words("snapshot", lagged), "missed    events: this is how it stands now\n");
    }
}
