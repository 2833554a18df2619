//! Whole commands against a server that plays prepared replies: what is sent, printed and returned.

use clap::{CommandFactory as _, Parser as _};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Command;
use super::ask::Ask;
use super::client::{Client, ClientError, Endpoint, Trusted};
use super::error::{CliError, Outcome};
use super::playback::{Playback, refusal, reply, result};
use super::session::Session;

/// The shape of the real program, without the server's commands.
#[derive(clap::Parser)]
#[command(name = "fobd")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// People who have their answers ready.
#[derive(Default)]
struct Script {
    answers: Vec<&'static str>,
    attended: bool,
}

impl Script {
    fn next(&mut self) -> Option<Zeroizing<String>> {
        (!self.answers.is_empty()).then(|| Zeroizing::new(self.answers.remove(0).to_owned()))
    }
}

impl Ask for Script {
    fn hidden(&mut self, _: &str) -> std::io::Result<Zeroizing<String>> {
        self.next().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    fn line(&mut self, _: &str) -> std::io::Result<Option<Zeroizing<String>>> {
        Ok(self.next())
    }

    fn rest(&mut self) -> std::io::Result<Zeroizing<String>> {
        Ok(self.next().unwrap_or_default())
    }

    fn attended(&self) -> bool {
        self.attended
    }
}

/// What a command did.
struct Run {
    outcome: Result<Outcome, CliError>,
    out: String,
    notes: String,
    calls: Vec<(String, Value)>,
}

fn run_with(line: &[&str], script: Script, replies: Vec<String>) -> Run {
    run_on(line, script, replies, false)
}

/// The same, `live` with the stream of events as the first reply.
fn run_on(line: &[&str], mut script: Script, replies: Vec<String>, live: bool) -> Run {
    let server = Playback::start(replies);
    let cli = Cli::try_parse_from(std::iter::once("fobd").chain(line.iter().copied())).unwrap();
    let client =
        Client::new(Endpoint::parse(&server.url(), false).unwrap(), "admin", "password", Trusted::public());
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let mut session = Session::new(client, &mut out, &mut notes, &mut script, cli.command.globals().json);
    (session.poll, session.live) = (std::time::Duration::ZERO, live);
    let outcome = cli.command.run(&mut session);
    let call = |request: super::playback::Request| {
        let method = request.body["method"].as_str().unwrap_or(request.head.lines().next().unwrap());
        (method.to_owned(), request.body["params"].clone())
    };
    let calls = server.requests().into_iter().map(call).collect();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { outcome, out: text(out), notes: text(notes), calls }
}

fn run(line: &[&str], replies: Vec<String>) -> Run {
    run_with(line, Script::default(), replies)
}

fn answering(answers: &[&'static str]) -> Script {
    Script { answers: answers.to_vec(), attended: false }
}

fn file(name: &str, content: &[u8]) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("fobd-cli-{}-{name}", std::process::id()));
    std::fs::write(&path, content).unwrap();
    path
}

fn job(state: &str) -> String {
    result(&json!({"job": "j7", "state": state, "token": {"id": "t1", "serial": "12345678"}}))
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn each_command_shows_an_example() {
    fn check(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() {
            command
                .get_subcommands()
                .filter(|sub| sub.get_name() != "help")
                .for_each(|sub| check(sub, &path));
        } else {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{path} has no example");
        }
    }
    check(&Cli::command(), "");
}

#[test]
fn devices_are_a_table_for_people_and_the_result_for_programs() {
    let rows = json!([
        {"id": "ykoath:12345678", "driver": "ykoath", "serial": "12345678", "model": "YubiKey 5 NFC",
         "firmware": "5.4.3", "transport": "pcsc", "place": "Yubico YubiKey 00 00", "station": null,
         "state": "ready", "error": null},
        {"id": "ykoath:?2", "driver": "ykoath", "model": null, "firmware": null, "transport": "pcsc",
         "place": "ACS ACR122U 00 00", "state": "failed", "error": "no driver recognises it"},
    ]);
    let devices = json!({"total": 2, "rows": rows});
    let shown = run(&["device", "list"], vec![result(&devices)]);
    let expected = "\
DEVICE           MODEL          FIRMWARE  BUS   PLACE                 STATE   ERROR
ykoath:12345678  YubiKey 5 NFC  5.4.3     pcsc  Yubico YubiKey 00 00  ready   -
ykoath:?2        -              -         pcsc  ACS ACR122U 00 00     failed  no driver recognises it
";
    assert_eq!((shown.out.as_str(), shown.notes.as_str()), (expected, ""));
    assert_eq!(shown.calls, [("device/list".to_owned(), json!({}))]);
    let shown = run(&["device", "list", "--json"], vec![result(&devices)]);
    assert_eq!(serde_json::from_str::<Value>(&shown.out).unwrap(), devices);
}

#[test]
fn slots_name_the_token_whose_credential_they_hold() {
    let rows = json!([{"slot": "vpn", "name": "vpn", "type": "HOTP", "algorithm": "SHA1", "digits": 6,
        "timer": null, "touch": false, "inUse": true, "token": {"id": "t1", "serial": "77"}}]);
    let code = file("access", b"open sesame\r\n");
    let line = ["device", "slots", "ykoath:1", "--access-code-file", code.to_str().unwrap()];
    let shown = run(&line, vec![result(&json!({"total": 1, "rows": rows}))]);
    std::fs::remove_file(code).unwrap();
    let expected = "\
SLOT  IN USE  TYPE  ALGORITHM  DIGITS  TOUCH  TOKEN
vpn   yes     HOTP  SHA1       6       no     77
";
    assert_eq!(shown.out, expected);
    assert_eq!(shown.calls[0].1, json!({"device": "ykoath:1", "accessCode": "open sesame"}));
}

#[test]
fn programming_tells_each_state_once_and_ends_with_the_token() {
    let pin = file("pin", b"1234\n");
    let line = [
        "device",
        "program",
        "ykoath:1",
        "--product",
        "YK/HOTP",
        "--user",
        "acme\\alice",
        "--touch",
        "--slot",
        "vpn",
        "--pin-file",
        pin.to_str().unwrap(),
    ];
    let replies = ["reserved", "writing", "writing", "awaiting_touch", "proving", "ready"].map(job).to_vec();
    let done = run(&line, replies);
    std::fs::remove_file(pin).unwrap();
    assert_eq!(done.outcome.unwrap(), Outcome::Done);
    assert_eq!(done.out, "ready: token 12345678\n");
    let told =
        "reserved\nwriting to the token\ntouch the token now\nproving: the token computes a passcode\n";
    assert_eq!(done.notes, told);
    let params = json!({
        "device": "ykoath:1", "slot": "vpn", "wait": 0,
        "product": {"manufacturerCode": "YK", "productCode": "HOTP"},
        "attrs": {"pin": "1234", "touch": true, "user": {"domain": {"name": "acme"}, "loginName": "alice"}},
    });
    assert_eq!(done.calls[0], ("device/program".to_owned(), params));
    assert_eq!(done.calls[1], ("job/get".to_owned(), json!({"job": "j7"})));
}

#[test]
fn a_job_that_awaits_a_passcode_asks_again_for_a_mistyped_one() {
    let script = Script { answers: vec!["000000", " 755224 "], attended: true };
    let replies = vec![
        job("awaiting_passcode"),
        refusal(1081, "job.not_proven", "this is no passcode of the new credential"),
        result(&json!({"state": "ready"})),
        job("ready"),
    ];
    let done = run_with(&["device", "program", "ykoath:1", "--token", "77"], script, replies);
    assert_eq!(done.outcome.unwrap(), Outcome::Done);
    assert_eq!(done.calls[0].1["token"], json!({"serial": "77"}));
    assert_eq!(done.calls[2], ("job/confirm".to_owned(), json!({"job": "j7", "passcode": "755224"})));
    assert!(!done.notes.contains("755224"), "{}", done.notes);
}

/// A stream of these events that ends then.
fn stream(events: &[(&str, Value)]) -> String {
    let body: String =
        events.iter().map(|(event, data)| format!("event: {event}\nid: r-1\ndata: {data}\n\n")).collect();
    format!(
        "HTTP/1.1 200 Played\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n\
         {body}",
        body.len()
    )
}

#[test]
fn a_job_is_heard_of_on_the_stream_and_asked_for_only_when_that_is_over() {
    let moved = |state: &str| ("job", json!({"job": "j7", "device": "ykoath:1", "state": state}));
    let events = [
        ("snapshot", json!({"reason": "start", "devices": {}, "jobs": []})),
        moved("reserved"),
        ("touch", json!({"device": "ykoath:2"})),
        ("job", json!({"job": "j8", "device": "ykoath:2", "state": "awaiting_touch"})),
        moved("writing"),
        moved("proving"),
        ("touch", json!({"device": "ykoath:1"})),
        moved("awaiting_touch"),
    ];
    let begun = result(&json!({"job": "j7", "state": "writing", "device": "ykoath:1"}));
    let line = ["device", "program", "ykoath:1", "--token", "77"];
    let done = run_on(&line, Script::default(), vec![stream(&events), begun, job("ready")], true);
    assert_eq!(done.outcome.unwrap(), Outcome::Done);
    let told =
        "reserved\nwriting to the token\nproving: the token computes a passcode\ntouch the token now\n";
    assert_eq!((done.notes.as_str(), done.out.as_str()), (told, "ready: token 12345678\n"));
    let calls: Vec<&str> = done.calls.iter().map(|(method, _)| method.as_str()).collect();
    assert_eq!(calls, ["GET /rpc/device/events HTTP/1.1", "device/program", "job/get"]);
}

#[test]
fn who_has_to_touch_a_token_that_computes_is_told_so() {
    let events = [("touch", json!({"device": "ykoath:1"})), ("touch", json!({"device": "ykoath:2"}))];
    let replies = vec![stream(&events), result(&json!({"passcode": "007890"}))];
    let told = run_on(&["device", "calculate", "ykoath:1", "vpn"], Script::default(), replies, true);
    assert_eq!((told.out.as_str(), told.outcome.unwrap()), ("007890\n", Outcome::Done));
    // The answer may come before the prompt: then nobody needs it any more.
    assert!(["", "touch the token now\n"].contains(&told.notes.as_str()), "{}", told.notes);
}

#[test]
fn watching_prints_each_event_until_the_server_ends_the_stream() {
    let events =
        [("attached", json!({"transport": "pcsc", "place": "A 00"})), ("touch", json!({"device": "a:1"}))];
    let shown = run(&["device", "watch"], vec![stream(&events)]);
    assert_eq!(shown.out, "attached  pcsc  A 00\ntouch     a:1  touch it now\n");
    assert_eq!(shown.notes, "the server has ended the stream\n");
    let shown = run(&["device", "watch", "--json"], vec![stream(&events)]);
    let lines: Vec<Value> = shown.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[1], json!({"event": "touch", "id": "r-1", "data": {"device": "a:1"}}));
    assert_eq!((lines.len(), shown.notes.as_str()), (2, ""));
    for (status, code) in [(401, 5), (403, 5), (503, 4), (404, 4)] {
        let refused = run(&["device", "watch"], vec![reply(status, "")]);
        assert_eq!(refused.outcome.unwrap_err().code(), code, "{status}");
    }
}

#[test]
fn a_job_that_awaits_a_passcode_from_nobody_is_left_to_the_server() {
    let left = run(&["device", "program", "ykoath:1", "--token", "77"], vec![job("awaiting_passcode")]);
    assert_eq!(left.outcome.unwrap(), Outcome::Unfinished);
    assert!(left.notes.ends_with("job j7 waits for a passcode: fobd job confirm j7\n"), "{}", left.notes);
}

#[test]
fn patience_that_is_over_leaves_the_job_to_the_server() {
    let line = ["device", "program", "ykoath:1", "--token", "77", "--wait", "0"];
    let left = run(&line, vec![job("writing")]);
    assert_eq!(left.outcome.unwrap(), Outcome::Unfinished);
    assert!(left.notes.ends_with("job j7 goes on in the server: fobd job show j7\n"), "{}", left.notes);
}

#[test]
fn a_job_that_failed_is_an_error_with_the_servers_words() {
    let ended = json!({"job": "j7", "state": "wipe_before_use", "error": "device `ykoath:1` is gone"});
    let failed =
        run(&["device", "program", "ykoath:1", "--token", "77"], vec![job("writing"), result(&ended)]);
    let error = failed.outcome.unwrap_err();
    assert_eq!(error.to_string(), "job j7 ended as wipe_before_use: device `ykoath:1` is gone");
    assert_eq!(error.code(), 3);
}

#[test]
fn a_server_that_goes_away_in_the_middle_of_a_job_says_how_to_find_it_again() {
    let lost = run(&["device", "program", "ykoath:1", "--token", "77"], vec![job("writing"), reply(502, "")]);
    let error = lost.outcome.unwrap_err();
    assert_eq!(error.code(), 4);
    assert!(error.hint().unwrap().contains("fobd job show j7"));
}

#[test]
fn programming_needs_a_product_or_a_token_and_not_both() {
    for line in [vec![], vec!["--product", "A/B", "--token", "1"]] {
        let line = ["fobd", "device", "program", "ykoath:1"].into_iter().chain(line);
        assert!(Cli::try_parse_from(line).is_err());
    }
}

#[test]
fn erasing_asks_first_and_does_nothing_without_a_yes() {
    for (attended, answers) in [(true, vec!["no"]), (true, vec![]), (false, vec!["yes"])] {
        let script = Script { answers, attended };
        let refused = run_with(&["device", "erase", "ykoath:1", "vpn"], script, vec![]);
        assert!(matches!(refused.outcome, Err(CliError::NotConfirmed)));
        assert_eq!(refused.calls, []);
    }
    let script = Script { answers: vec!["yes"], attended: true };
    let erased = run_with(&["device", "erase", "ykoath:1", "vpn"], script, vec![job("ready")]);
    assert_eq!(erased.out, "erased slot vpn of ykoath:1\n");
    assert_eq!(erased.calls[0].1, json!({"device": "ykoath:1", "slot": "vpn"}));
}

#[test]
fn a_calculated_passcode_is_the_only_output() {
    let told = run(&["device", "calculate", "ykoath:1", "vpn"], vec![result(&json!({"passcode": "007890"}))]);
    assert_eq!((told.out.as_str(), told.notes.as_str()), ("007890\n", ""));
}

#[test]
fn the_clock_is_shown_and_accepted_after_its_time_was_read_out() {
    let trusted = json!({"time": "2026-01-01T00:00:00Z", "trusted": true, "problem": null, "since": null});
    let status = run(&["clock", "status"], vec![result(&trusted)]);
    assert_eq!(
        (status.out.as_str(), status.outcome.unwrap()),
        ("2026-01-01T00:00:00Z: the clock is trusted\n", Outcome::Done)
    );
    let attended = |answer| Script { answers: vec![answer], attended: true };
    let mut suspect = trusted.clone();
    suspect["trusted"] = false.into();
    suspect["problem"] = "it was set back by 90 s while the machine was running".into();
    suspect["since"] = "2026-01-01T00:00:00Z".into();
    let status = run(&["clock", "status"], vec![result(&suspect)]);
    assert!(status.out.contains("suspect: it was set back by 90 s"), "{}", status.out);
    assert_eq!(status.outcome.unwrap(), Outcome::Trouble);
    let refused = run_with(&["clock", "accept"], attended("no"), vec![result(&suspect)]);
    assert!(matches!(refused.outcome, Err(CliError::NotConfirmed)));
    let accepted = run_with(&["clock", "accept"], attended("yes"), vec![result(&suspect), result(&trusted)]);
    assert_eq!(
        accepted.calls.iter().map(|call| call.0.as_str()).collect::<Vec<_>>(),
        ["clock/get", "clock/accept"]
    );
}

#[test]
fn verify_sends_the_typed_line_and_answers_by_its_exit_code() {
    let line = ["verify", "acme\\alice", "--token", "77"];
    for (accepted, word, outcome) in
        [(true, "accepted\n", Outcome::Done), (false, "rejected\n", Outcome::Rejected)]
    {
        let reply = result(&json!({"accepted": accepted}));
        let verified = run_with(&line, answering(&["1234 755224"]), vec![reply]);
        assert_eq!((verified.out.as_str(), verified.outcome.unwrap()), (word, outcome));
        let params = json!({
            "user": {"domain": {"name": "acme"}, "loginName": "alice"},
            "token": {"serial": "77"},
            "credential": {"otp": "1234 755224"},
        });
        assert_eq!(verified.calls, [("auth/verify".to_owned(), params)]);
    }
    let silent = run(&line, vec![]);
    assert!(matches!(silent.outcome, Err(CliError::Empty { .. })));
}

#[test]
fn a_refused_sync_is_a_rejection_and_other_refusals_are_errors() {
    let line = ["token", "sync", "77", "287082", "359152", "--user", "acme\\alice"];
    let synced = run(&line, vec![result(&json!({}))]);
    assert_eq!((synced.out.as_str(), synced.outcome.unwrap()), ("token 77 is in sync\n", Outcome::Done));
    let params = json!({
        "token": {"serial": "77"},
        "user": {"domain": {"name": "acme"}, "loginName": "alice"},
        "credential": "287082,359152",
    });
    assert_eq!(synced.calls, [("token/syncToken".to_owned(), params)]);
    let refused = run(&line, vec![refusal(1041, "token.sync_failed", "these do not follow each other")]);
    assert_eq!(refused.outcome.unwrap(), Outcome::Rejected);
    assert!(refused.out.starts_with("rejected: "), "{}", refused.out);
    let unknown = run(&line, vec![refusal(1022, "token.not_found", "token not found.")]);
    assert_eq!(unknown.outcome.unwrap_err().code(), 3);
}

#[test]
fn sync_takes_two_lines_where_no_passcodes_are_given_and_never_one() {
    let synced =
        run_with(&["token", "sync", "77"], answering(&["287082", "359152"]), vec![result(&json!({}))]);
    assert_eq!(synced.calls[0].1["credential"], "287082,359152");
    assert!(Cli::try_parse_from(["fobd", "token", "sync", "77", "287082"]).is_err());
}

#[test]
fn an_import_sends_the_text_of_the_file() {
    let path = file("import", "serial,sécret\n".as_bytes());
    let line = ["token", "import", path.to_str().unwrap(), "--product", "DN/ST", "--repository", "stock"];
    let imported = run(&line, vec![result(&json!({"total": 3, "rows": []}))]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(imported.out, "3 tokens imported\n");
    let attrs = json!({
        "product": {"manufacturerCode": "DN", "productCode": "ST"},
        "repository": {"name": "stock"},
        "data": "serial,sécret\n",
    });
    assert_eq!(
        imported.calls,
        [("token/import".to_owned(), json!({"attrs": attrs, "return": ["id", "serial"]}))]
    );
}

#[test]
fn files_that_cannot_be_sent_are_refused_before_any_call() {
    let latin = file("latin1", b"s\xe9cret");
    let empty = file("empty", b"");
    for path in [latin.clone(), empty.clone(), "/nowhere/at/all".into()] {
        let refused = run(&["token", "import", path.to_str().unwrap()], vec![]);
        let error = refused.outcome.unwrap_err();
        assert_eq!(error.code(), 2, "{error}");
    }
    std::fs::remove_file(latin).unwrap();
    std::fs::remove_file(empty).unwrap();
}

#[test]
fn a_list_tells_how_many_more_there_are() {
    let found = json!({"total": 231, "rows": [{"id": "t1", "serial": "77", "product.name": "Fob", "status": "ACTIVE"}]});
    let line = ["token", "list", "--product", "DN/ST", "--status", "active", "--max", "1", "--offset", "4"];
    let listed = run(&line, vec![result(&found)]);
    assert_eq!(listed.out, "SERIAL  PRODUCT  STATUS\n77      Fob      ACTIVE\n");
    assert_eq!(listed.notes, "1 of 231 shown: --max and --offset show others\n");
    let params = &listed.calls[0].1;
    let matches = json!([
        ["product.manufacturerCode", "=", "DN"],
        ["product.productCode", "=", "ST"],
        ["status", "=", "ACTIVE"],
    ]);
    assert_eq!((&params["match"], &params["max"], &params["offset"]), (&matches, &json!(1), &json!(4)));
    assert_eq!(params["sort"], "serial");
}

#[test]
fn a_token_is_assigned_with_a_pin_that_was_typed_twice_alike() {
    let line = ["token", "assign", "77", "acme\\alice", "--ask-pin"];
    let assigned = run_with(&line, answering(&["1234", "1234"]), vec![result(&json!({}))]);
    assert_eq!(assigned.out, "token 77 is assigned to acme\\alice\n");
    assert_eq!(assigned.calls[0].1["attrs"], json!({"pin": "1234"}));
    let differing = run_with(&line, answering(&["1234", "1243"]), vec![]);
    assert!(matches!(differing.outcome, Err(CliError::PinsDiffer)));
}

#[test]
fn what_is_created_is_named_with_its_id() {
    let made = result(&json!({"id": "x1"}));
    let user = run(&["user", "add", "acme\\alice", "--email", "a@b"], vec![made.clone()]);
    assert_eq!(user.out, "user acme\\alice added (x1)\n");
    let attrs = json!({"domain": {"name": "acme"}, "loginName": "alice", "email": "a@b"});
    assert_eq!(user.calls, [("user/create".to_owned(), json!({"attrs": attrs, "return": ["id"]}))]);
    let line = ["product", "add", "YK/T", "Key", "--type", "totp", "--digits", "8", "--timer", "60"];
    let product = run(&line, vec![made.clone()]);
    let attrs = json!({"manufacturerCode": "YK", "productCode": "T", "name": "Key", "algorithm": "OATH TOTP",
        "digits": 8, "timer": 60});
    assert_eq!(product.calls[0].1["attrs"], attrs);
    let domain = run(&["domain", "add", "acme"], vec![made.clone()]);
    assert_eq!(
        domain.calls[0],
        ("domain/create".to_owned(), json!({"attrs": {"name": "acme"}, "return": ["id"]}))
    );
    let repository = run(&["repository", "add", "stock"], vec![made]);
    assert_eq!(repository.calls[0].0, "repository/create");
}

#[test]
fn any_method_can_be_called_with_parameters_from_either_place() {
    let called = run(&["call", "x/y", r#"{"a":1}"#], vec![result(&json!([1]))]);
    assert_eq!(
        (called.out.as_str(), &called.calls[0]),
        ("[\n  1\n]\n", &("x/y".to_owned(), json!({"a": 1})))
    );
    let called = run_with(&["call", "x/y", "-"], answering(&[r#"{"pin":"1"}"#]), vec![result(&json!(null))]);
    assert_eq!(called.calls[0].1, json!({"pin": "1"}));
    let refused = run(&["call", "x/y", "{"], vec![]);
    assert!(matches!(refused.outcome, Err(CliError::Parameters(_))));
}

#[test]
fn refusals_of_the_server_have_their_own_exit_codes() {
    let coded = |played: String| run(&["device", "list"], vec![played]).outcome.unwrap_err().code();
    assert_eq!(coded(refusal(1022, "token.not_found", "token not found.")), 3);
    assert_eq!(coded(reply(200, "<html>")), 4);
    assert_eq!(coded(reply(401, "")), 5);
    assert_eq!(coded(reply(403, "")), 5);
    let odd = run(&["device", "list"], vec![result(&json!({"total": 1}))]).outcome.unwrap_err();
    assert_eq!(
        (odd.code(), odd.to_string().as_str()),
        (4, "the server's answer to device/list lacks `rows`")
    );
    let plain = CliError::from(ClientError::PlainHttp { server: "http://fobd".to_owned() });
    assert_eq!(plain.code(), 2);
}

#[test]
fn the_server_may_be_named_before_or_after_the_verb() {
    let before = ["fobd", "device", "--server", "http://[::1]:1", "list"];
    let after = ["fobd", "device", "list", "--server", "http://[::1]:1"];
    let verb = ["fobd", "call", "x/y", "--server", "http://[::1]:1"];
    for cli in [Cli::try_parse_from(before), Cli::try_parse_from(after), Cli::try_parse_from(verb)] {
        assert_eq!(cli.unwrap().command.globals().server, "http://[::1]:1");
    }
}

#[test]
fn settings_go_out_as_what_they_are_and_default_leaves_one_to_the_level_above() {
    let line = [
        "policy",
        "set",
        "--product",
        "DN/ST",
        "totpAccept=1",
        "autoResync=true",
        "maxFailures=default",
        "pinPlacement=suffix",
    ];
    let set = run(&line, vec![result(&json!({"version": 7}))]);
    assert_eq!((set.out.as_str(), set.outcome.unwrap()), ("policy 7 holds from now on\n", Outcome::Done));
    let params = json!({
        "product": {"manufacturerCode": "DN", "productCode": "ST"},
        "attrs": {"totpAccept": 1, "autoResync": true, "maxFailures": null, "pinPlacement": "suffix"},
    });
    assert_eq!(set.calls, [("policy/set".to_owned(), params)]);
    for wrong in [
        vec!["policy", "set"],
        vec!["policy", "set", "totpAccept"],
        vec!["policy", "show", "--product", "A/B", "--token", "1"],
    ] {
        assert!(
            Cli::try_parse_from(std::iter::once("fobd").chain(wrong.iter().copied())).is_err(),
            "{wrong:?}"
        );
    }
}

#[test]
fn a_policy_is_shown_with_a_mark_at_what_its_own_level_says() {
    let policy = json!({
        "version": 7, "level": "token", "changed": 6, "own": {"totpAccept": 1},
        "settings": {"hotpLookAhead": 10, "pinPlacement": "prefix", "totpAccept": 1},
    });
    let shown = run(&["policy", "show", "--token", "77", "--version", "7"], vec![result(&policy)]);
    let expected = "policy 7 (token)\n  hotpLookAhead  10\n  pinPlacement   prefix\n* totpAccept     1\n";
    assert_eq!(shown.out, expected);
    assert_eq!(shown.calls[0].1, json!({"token": {"serial": "77"}, "version": 7}));
}

#[test]
fn the_versions_of_a_policy_are_a_table() {
    let rows = json!([{"version": 2, "own": {"maxFailures": 5}, "operator": "admin", "dateCreated": "2026-01-01T00:00:00Z"}]);
    let listed = run(&["policy", "history"], vec![result(&json!({"total": 1, "rows": rows}))]);
    let expected = "\
VERSION  MADE                  BY     SETTINGS
2        2026-01-01T00:00:00Z  admin  {\"maxFailures\":5}
";
    assert_eq!(listed.out, expected);
}

#[test]
fn a_clock_is_set_by_what_is_named() {
    let set = run(&["token", "set-clock", "77", "--offset", "-75.5", "--freeze"], vec![result(&json!({}))]);
    assert_eq!(set.out, "the clock of token 77 is set\n");
    let params = json!({"token": {"serial": "77"}, "attrs": {"offsetSeconds": -75.5, "frozen": true}});
    assert_eq!(set.calls, [("token/setClock".to_owned(), params)]);
    assert!(Cli::try_parse_from(["fobd", "token", "set-clock", "77"]).is_err());
}

#[test]
fn a_batch_whose_clocks_leave_the_curve_is_shown_as_such() {
    let report = json!({
        "tokens": 8, "ratePpm": 1.5, "spreadPpm": 2.0, "leaving": [{"id": "t9", "serial": "S9", "ratePpm": 90.0}],
        "batches": [{"import": 3, "example": "S1", "tokens": 4, "ratePpm": 45.0, "fromOthersPpm": 44.0, "leaves": true}],
    });
    let shown = run(&["product", "clocks", "DN/ST"], vec![result(&report)]);
    let expected = "\
8 tokens, 1.5 ppm, spread 2.0 ppm

IMPORT  FOR EXAMPLE  TOKENS  PPM   FROM OTHERS  LEAVES
3       S1           4       45.0  44.0         yes

SERIAL  PPM
S9      90.0
";
    assert_eq!(shown.out, expected);
}

#[test]
fn who_must_change_a_pin_is_told_how_and_the_new_one_goes_with_the_next_passcode() {
    let due = json!({"accepted": false, "pinChangeRequired": true});
    let told = run_with(&["verify", "acme\\alice"], answering(&["1234755224"]), vec![result(&due)]);
    assert_eq!((told.out.as_str(), told.outcome.unwrap()), ("rejected\n", Outcome::Rejected));
    assert!(told.notes.contains("--new-pin-file"), "{}", told.notes);
    let pin = file("new-pin", b"5678\n");
    let line = ["verify", "acme\\alice", "--new-pin-file", pin.to_str().unwrap()];
    let changed = run_with(&line, answering(&["1234287082"]), vec![result(&json!({"accepted": true}))]);
    std::fs::remove_file(pin).unwrap();
    assert_eq!((&changed.calls[0].1["newPin"], changed.out.as_str()), (&json!("5678"), "accepted\n"));
}

#[test]
fn a_pin_of_its_own_field_comes_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let pin = dir.path().join("pin");
    std::fs::write(&pin, "1234\n").unwrap();
    let line = ["verify", "acme\\alice", "--pin-file", pin.to_str().unwrap()];
    let verified = run_with(&line, answering(&["755224"]), vec![result(&json!({"accepted": true}))]);
    assert_eq!(verified.calls[0].1["credential"], json!({"otp": "755224", "pin": "1234"}));
}
