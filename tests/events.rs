//! The stream of events, as `curl` gets it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::{Human, VirtualCard, Waits};
use firmware_fixtures::firmware::Firmware;
use serde_json::{Value as Json, json};

use crate::support::client::{ADMIN, PASSWORD};
use crate::support::in_process::InProcess;
use crate::support::program::{Installation, fobd};
use crate::support::{furnish, product};

/// An event as it came.
#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    data: Json,
}

impl Event {
    /// Name and what matters, in few words.
    fn brief(&self) -> String {
        let text = |name: &str| self.data[name].as_str().unwrap_or_default();
        let rest = match self.name.as_str() {
            "snapshot" => format!("{} {}", text("reason"), self.data["devices"]["total"]),
            "attached" => text("place").to_owned(),
            "detached" => format!("{} {}", text("place"), self.data["devices"]),
            "touch" => text("device").to_owned(),
            "job" => format!("{} {}", text("job"), text("state")),
            _ => format!("{} {}", text("id"), text("state")),
        };
        format!("{} {rest}", self.name)
    }
}

/// A running `curl`.
struct Curl {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Curl {
    fn start(base: &str, last: Option<&str>) -> Self {
        let mut command = Command::new("curl");
        command.args(["--silent", "--no-buffer", "--noproxy", "*", "--max-time", "60", "--fail"]);
        command.arg("--user").arg(format!("{ADMIN}:{PASSWORD}"));
        if let Some(last) = last {
            command.arg("--header").arg(format!("Last-Event-ID: {last}"));
        }
        let mut child = command
            .arg(format!("{base}/rpc/device/events"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, lines }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        (self.lines.read_line(&mut line).expect("a line") > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event; comments and hints are passed over.
    fn next(&mut self) -> Option<Event> {
        let mut event = Event { id: String::new(), name: String::new(), data: Json::Null };
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some(("event", name)) => event.name = name.trim().to_owned(),
                Some(("id", id)) => event.id = id.trim().to_owned(),
                Some(("data", data)) => event.data = serde_json::from_str(data).expect("data is JSON"),
                None if line.is_empty() && !event.name.is_empty() => return Some(event),
                _ => {}
            }
        }
    }

    /// Events up to one that begins like this.
    fn until(&mut self, last: &str) -> Vec<String> {
        let mut all = Vec::new();
        while !all.last().is_some_and(|brief: &String| brief.starts_with(last)) {
            match self.next() {
                Some(event) => all.push(event.brief()),
                None => panic!("the stream ended after {all:?}"),
            }
        }
        all
    }

    /// How it ended.
    fn exit_code(mut self) -> Option<i32> {
        self.child.wait().expect("curl ends").code()
    }
}

impl Drop for Curl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const READER: &str = "Yubico YubiKey OTP+FIDO+CCID 00 00";

fn yubikey() -> VirtualCard {
    VirtualCard::new(Firmware::YUBIKEY_5_4_3, 12_345_678)
}

#[test]
fn who_follows_sees_a_key_come_work_and_go() {
    let server = InProcess::start(VirtualBus::with_waits(Waits::Real));
    furnish(&server.client);
    let card = yubikey();
    card.set_human(Human::NeverTouches);
    let mut curl = Curl::start(&server.client.base, None);
    assert_eq!(curl.until("snapshot"), ["snapshot start 0"]);
    server.plug_in(&card);
    let opened = [format!("attached {READER}"), "opened ykoath:12345678 ready".to_owned()];
    assert_eq!(curl.until("opened"), opened);
    let params = json!({"device": "ykoath:12345678", "product": product("OH"), "attrs": {"touch": true}});
    let job = server.client.ok("device/program", params);
    // A device that waits says so before the journal does.
    let begun = curl.until("job j1 awaiting_touch");
    let jobs: Vec<&String> = begun.iter().filter(|brief| brief.starts_with("job")).collect();
    let states = ["job j1 reserved", "job j1 writing", "job j1 proving", "job j1 awaiting_touch"];
    assert_eq!(jobs, states);
    let others: Vec<&String> = begun.iter().filter(|brief| !brief.starts_with("job")).collect();
    let (busy, ready) = ("state ykoath:12345678 busy", "state ykoath:12345678 ready");
    assert_eq!(others, [busy, ready, busy, ready, busy, "touch ykoath:12345678"]);
    assert!(card.wait_for_touch_requests(1, Duration::from_secs(20)));
    card.touch();
    assert_eq!(curl.until("job j1 ready").last().map(String::as_str), Some("job j1 ready"));
    server.pull_out(&card);
    let gone = format!("detached {READER} [\"ykoath:12345678\"]");
    assert_eq!(curl.until("detached").last(), Some(&gone));
    assert_eq!(job["job"], "j1");
}

#[test]
fn the_row_of_a_job_and_of_a_device_are_those_of_the_methods() {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    server.plug_in(&yubikey());
    let mut curl = Curl::start(&server.client.base, None);
    let first = curl.next().expect("a snapshot");
    assert_eq!(first.data["devices"], server.client.ok("device/list", json!({})));
    let params = json!({"device": "ykoath:12345678", "product": product("OH"), "wait": 30});
    let done = server.client.ok("device/program", params);
    let mut last = Json::Null;
    while last["state"] != "ready" || last["job"].is_null() {
        last = curl.next().expect("an event").data;
    }
    assert_eq!(last, done);
}

#[test]
fn who_comes_back_with_the_last_id_gets_what_was_missed_and_nothing_twice() {
    let server = InProcess::start(VirtualBus::new());
    let card = yubikey();
    let mut curl = Curl::start(&server.client.base, None);
    let snapshot = curl.next().expect("a snapshot");
    server.plug_in(&card);
    let attached = curl.next().expect("an event");
    assert_eq!(attached.name, "attached");
    drop(curl);
    server.pull_out(&card);
    let mut again = Curl::start(&server.client.base, Some(&attached.id));
    let missed =
        ["opened ykoath:12345678 ready".to_owned(), format!("detached {READER} [\"ykoath:12345678\"]")];
    assert_eq!(again.until("detached"), missed);
    // From the snapshot on it is the same and one more.
    assert_eq!(Curl::start(&server.client.base, Some(&snapshot.id)).until("detached").len(), 3);
    let strange = Curl::start(&server.client.base, Some("0badf00d-3")).until("snapshot");
    assert_eq!(strange, ["snapshot missed 0"]);
}

#[test]
fn only_who_may_see_devices_may_follow_them() {
    let server = InProcess::start(VirtualBus::new());
    let status = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--noproxy", "*", "--max-time", "20", "--output", "/dev/null"]);
        curl.args(["--write-out", "%{http_code}"]).args(arguments);
        let output =
            curl.arg(format!("{}/rpc/device/events", server.client.base)).output().expect("curl runs");
        String::from_utf8(output.stdout).expect("a status")
    };
    let login = |role: &str| format!("{role}:{PASSWORD}");
    assert_eq!(status(&[]), "401");
    assert_eq!(status(&["--user", "admin:wrong"]), "401");
    for role in ["verifier", "station"] {
        assert_eq!(status(&["--user", &login(role)]), "403", "{role}");
    }
    let admin = login(ADMIN);
    assert_eq!(status(&["--user", &admin, "--header", "Origin: https://evil.example"]), "403");
    assert_eq!(status(&["--user", &admin, "--request", "POST"]), "405");
    assert_eq!(status(&["--user", &admin, "--head"]), "405");
    for role in ["helpdesk", "auditor"] {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--no-buffer", "--noproxy", "*", "--max-time", "20", "--user", &login(role)]);
        let mut child = curl
            .arg(format!("{}/rpc/device/events", server.client.base))
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut curl = Curl { child, lines };
        assert_eq!(curl.until("snapshot"), ["snapshot start 0"], "{role}");
    }
}

#[test]
fn a_stream_ends_well_when_the_server_stops() {
    let installation = Installation::new();
    let server = installation.start();
    let mut following: Vec<Curl> = (0..4).map(|_| Curl::start(&server.client.base, None)).collect();
    for curl in &mut following {
        assert_eq!(curl.until("snapshot"), ["snapshot start 0"]);
    }
    let mut watch = fobd();
    watch.args(["device", "watch", "--json", "--server", &server.client.base, "--operator", ADMIN]);
    watch.arg("--password-file").arg(installation.password_file());
    let mut watch = watch.stdout(Stdio::piped()).spawn().expect("fobd runs");
    let mut lines = BufReader::new(watch.stdout.take().expect("a pipe"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    let first: Json = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&first["event"], &first["data"]["reason"]), (&json!("snapshot"), &json!("start")));
    server.stop();
    assert!(watch.wait().expect("fobd ends").success());
    for mut curl in following {
        assert!(curl.next().is_none());
        // 18 would be an answer that broke off.
        assert_eq!(curl.exit_code(), Some(0));
    }
}
