//! The shipped program behind a real pcscd with an emulated key, beside other programs that use the same key.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use firmware_fixtures::card::VirtualCard;
use firmware_fixtures::credential::Credential;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::firmware::Firmware;
use firmware_fixtures::pcscd::PrivatePcscd;
use firmware_fixtures::vpcd::VpcdCard;
use serde_json::{Value as Json, json};

use crate::support::client::Client;
use crate::support::program::{Installation, Server, fobd, python_tool, run};
use crate::support::{
    alice, alice_is_let_in, eventually, furnish, product, token_is_let_in, wait_for_device,
};

const DEVICE: &str = "ykoath:12345678";
const HOTP: &str = "fobd:12345678";
const TOTP: &str = "fobd:12345678-2";

/// A running server that sees an emulated key behind a pcscd of its own.
struct Bench {
    server: Server,
    installation: Installation,
    pcscd: PrivatePcscd,
    card: VirtualCard,
    inserted: VpcdCard,
}

impl Bench {
    fn start() -> Self {
        Self::start_with(|installation| installation)
    }

    /// The same with a server that is told more.
    fn start_with(tell: impl FnOnce(Installation) -> Installation) -> Self {
        let pcscd = PrivatePcscd::start(&["Yubico YubiKey OTP+FIDO+CCID 0"]).expect("a pcscd of its own");
        let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 12_345_678);
        let inserted = VpcdCard::insert(&card, pcscd.port(0)).expect("the card goes in");
        let installation = tell(Installation::new()).environment("PCSCLITE_CSOCK_NAME", pcscd.socket());
        let server = installation.start();
        furnish(&server.client);
        wait_for_device(&server.client, DEVICE);
        Self { server, installation, pcscd, card, inserted }
    }

    fn client(&self) -> &Client {
        &self.server.client
    }

    /// Programs a new token and waits for the end of the job.
    fn program(&self, code: &str, attrs: Json) {
        let params = json!({"device": DEVICE, "product": product(code), "attrs": attrs, "wait": 30});
        let job = self.client().ok("device/program", params);
        assert_eq!(job["state"], "ready", "{job}");
    }

    /// Programs the token again that lives in the key.
    fn program_again(&self) -> Json {
        let params = json!({"device": DEVICE, "token": {"serial": "12345678"}, "wait": 30});
        self.client().ok("device/program", params)["state"].clone()
    }

    fn press(&self) -> String {
        self.card.press(HOTP).expect("the key holds it")
    }

    fn hotp_is_let_in(&self) -> bool {
        token_is_let_in(self.client(), "12345678", &self.press())
    }

    /// Another program on the same key.
    fn other_program(&self, name: &str) -> Command {
        let mut command = python_tool(name);
        command
            .env("PCSCLITE_CSOCK_NAME", self.pcscd.socket())
            .env("HOME", self.installation.scratch())
            .env_remove("XDG_DATA_HOME");
        command
    }

    fn reader(&self) -> String {
        self.pcscd.reader(0).expect("a reader")
    }

    /// Runs `ykman oath accounts ...` and returns what it prints.
    fn ykman(&self, words: &[&str]) -> String {
        let mut command = self.other_program("ykman");
        command.args(["--reader", &self.reader(), "oath", "accounts"]).args(words);
        run(&mut command)
    }
}

/// The TOTP step of 30 s that the system's clock is in.
fn step() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs() / 30
}

#[test]
fn a_trace_tells_what_crossed_the_wire_and_no_secret() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("trace");
    let bench = Bench::start_with(|installation| installation.argument("--trace-device").argument(&path));
    bench.program("OH", json!({}));
    let secret = bench.card.credential(HOTP).expect("the key holds it").secret;
    let trace = std::fs::read_to_string(&path).expect("the trace");
    let mode = std::fs::metadata(&path).expect("the trace").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(trace.contains(&format!("= open by ykoath: {}", bench.reader())), "{trace}");
    assert!(trace.contains("> 00010000 ["), "no PUT in {trace}");
    let hex: String = secret.iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(hex.len(), 40);
    assert!((0..=hex.len() - 8).all(|at| !trace.contains(&hex[at..at + 8])), "{trace}");
}

#[test]
fn the_doctor_sees_the_reader_and_what_the_server_sees() {
    let bench = Bench::start();
    let doctor = |more: &[&std::ffi::OsStr]| {
        let mut doctor = fobd();
        doctor.args(["device", "doctor", "--json", "--server", &bench.client().base]).args(more);
        let output = doctor.env("PCSCLITE_CSOCK_NAME", bench.pcscd.socket()).output().expect("fobd runs");
        let told: Json = serde_json::from_slice(&output.stdout).expect("JSON");
        let rows = told["findings"].as_array().expect("findings").clone();
        let codes = move |about: String| -> Vec<String> {
            let of_it = rows.iter().filter(|row| row["about"] == about.as_str());
            of_it.map(|row| row["code"].as_str().expect("a code").to_owned()).collect()
        };
        (output.status.code(), codes)
    };
    let password = bench.installation.password_file();
    let (code, codes) = doctor(&["--password-file".as_ref(), password.as_ref()]);
    assert_eq!(codes(format!("reader {}", bench.reader())), ["card_ready"]);
    assert_eq!(codes(format!("{DEVICE} in the server")), ["server_sees"]);
    assert_eq!(code, Some(0));
    let (reader, pcscd) = (bench.reader(), bench.pcscd.socket().to_owned());
    bench.inserted.remove();
    // Without a password nobody is asked, and without pcscd nobody answers.
    let empty = eventually("an empty reader", || {
        let output = fobd().args(["device", "doctor"]).env("PCSCLITE_CSOCK_NAME", &pcscd).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.contains(&format!("note reader {reader}: no card is in it\n")).then_some(text)
    });
    assert!(!empty.contains("in the server"), "{empty}");
    let output = fobd()
        .args(["device", "doctor"])
        .env("PCSCLITE_CSOCK_NAME", "/nonexistent")
        .output()
        .expect("fobd runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("note pcscd: it is not running") && text.contains("-> sudo apt install pcscd"),
        "{text}"
    );
}

#[test]
fn the_main_job_is_done_with_the_shipped_program() {
    let bench = Bench::start();
    let client = bench.client();
    let listed = wait_for_device(client, DEVICE);
    assert_eq!(
        (&listed["model"], &listed["firmware"], &listed["transport"], &listed["place"]),
        (&json!("YubiKey 5 NFC"), &json!("5.4.3"), &json!("pcsc"), &json!(bench.reader()))
    );
    bench.program("OH", json!({}));
    bench.program("OT", json!({}));
    client.ok(
        "token/assign",
        json!({"token": {"serial": "12345678"}, "user": alice(), "attrs": {"pin": "4711"}}),
    );

    let typed = format!("4711{}", bench.press());
    assert!(alice_is_let_in(client, &typed));
    assert!(!alice_is_let_in(client, &typed), "replayed");
    let totp = bench.card.show(TOTP, step()).expect("the key holds it");
    assert!(token_is_let_in(client, "12345678-2", &totp));
    assert!(!token_is_let_in(client, "12345678-2", &totp), "replayed");

    for _ in 0..30 {
        bench.press();
    }
    assert!(!alice_is_let_in(client, &format!("4711{}", bench.press())), "30 presses ahead");
    let pair = format!("{},{}", bench.press(), bench.press());
    let sync = json!({"token": {"serial": "12345678"}, "user": alice(), "credential": pair});
    client.ok("token/syncToken", sync.clone());
    assert_eq!(client.error("token/syncToken", sync).kind, "token.sync_failed", "replayed");
    assert!(alice_is_let_in(client, &format!("4711{}", bench.press())));
    bench.server.stop();
}

#[test]
fn what_was_accepted_stays_spent_when_the_program_is_killed() {
    let bench = Bench::start();
    bench.program("OH", json!({"user": alice(), "pin": "4711"}));
    let typed = format!("4711{}", bench.press());
    assert!(alice_is_let_in(bench.client(), &typed));
    let Bench { server, installation, card, .. } = bench;
    server.kill_9();
    let server = installation.start();
    assert!(!alice_is_let_in(&server.client, &typed));
    let next = card.press(HOTP).expect("the key holds it");
    assert!(alice_is_let_in(&server.client, &format!("4711{next}")));
}

#[test]
fn a_key_that_is_pulled_is_gone_and_works_when_it_is_back() {
    let mut bench = Bench::start();
    bench.program("OH", json!({}));
    bench.inserted.remove();
    let client = bench.server.client.clone();
    // Nobody is told when pcscd has noticed. Until then the call meets a dead card, afterwards none.
    eventually("the key is not found", || {
        let error = client.error("device/slots", json!({"device": DEVICE}));
        assert!(
            ["device.gone", "device.not_found", "device.failed"].contains(&error.kind.as_str()),
            "{error:?}"
        );
        (error.kind == "device.not_found").then_some(())
    });
    assert_eq!(client.ok("device/list", json!({}))["rows"], json!([]));
    let program = json!({"device": DEVICE, "token": {"serial": "12345678"}});
    assert_eq!(client.error("device/program", program).kind, "device.not_found");
    bench.inserted = VpcdCard::insert(&bench.card, bench.pcscd.port(0)).expect("the card goes in");
    wait_for_device(&client, DEVICE);
    assert!(bench.hotp_is_let_in());
    assert_eq!(bench.program_again(), "ready");
    assert!(bench.hotp_is_let_in());
}

#[test]
fn a_key_that_is_pulled_in_the_middle_leaves_its_job_in_a_true_state() {
    let mut bench = Bench::start();
    let client = bench.server.client.clone();
    // SELECT and LIST to look, then SELECT, LIST, PUT, SELECT, CALCULATE.
    for (at, kind, state, written) in [
        (2, FaultKind::UnplugBefore, "undone", false),
        (4, FaultKind::UnplugBefore, "wipe_before_use", false),
        (4, FaultKind::UnplugAfter, "wipe_before_use", true),
        (6, FaultKind::UnplugBefore, "awaiting_passcode", true),
        (6, FaultKind::UnplugAfter, "awaiting_passcode", true),
    ] {
        bench.card.plan(Fault { at, kind });
        let params = json!({"device": DEVICE, "product": product("OH"), "wait": 30});
        let job = client.ok("device/program", params);
        assert_eq!(job["state"], state, "{kind:?} at {at}: {job}");
        assert_eq!(bench.card.credential(HOTP).is_some(), written, "{kind:?} at {at}");
        eventually("the key is not found", || {
            (client.error("device/slots", json!({"device": DEVICE})).kind == "device.not_found").then_some(())
        });
        bench.inserted = VpcdCard::insert(&bench.card, bench.pcscd.port(0)).expect("the card goes in");
        wait_for_device(&client, DEVICE);
        match state {
            "undone" => assert_eq!(client.ok("token/search", json!({}))["total"], 0),
            "awaiting_passcode" => {
                let confirm = json!({"job": job["job"], "passcode": bench.press()});
                assert_eq!(client.ok("job/confirm", confirm)["state"], "ready");
            }
            _ => assert_eq!(bench.program_again(), "ready"),
        }
        if state != "undone" {
            assert!(bench.hotp_is_let_in(), "{kind:?} at {at}");
            assert_eq!(client.ok("device/erase", json!({"device": DEVICE, "slot": HOTP}))["state"], "ready");
            client.ok("token/delete", json!({"token": {"serial": "12345678"}}));
        }
    }
}

#[test]
fn another_key_in_the_same_reader_is_another_device() {
    let mut bench = Bench::start();
    bench.program("OH", json!({}));
    bench.inserted.remove();
    let client = bench.server.client.clone();
    eventually("the key is not found", || {
        (client.error("device/slots", json!({"device": DEVICE})).kind == "device.not_found").then_some(())
    });
    let other = VirtualCard::new(Firmware::YUBIKEY_5_7_1, 87_654_321);
    bench.inserted = VpcdCard::insert(&other, bench.pcscd.port(0)).expect("the card goes in");
    wait_for_device(&client, "ykoath:87654321");
    let erase = json!({"device": DEVICE, "slot": HOTP});
    assert_eq!(client.error("device/erase", erase).kind, "device.not_found");
    let params = json!({"device": "ykoath:87654321", "product": product("OH"), "wait": 30});
    assert_eq!(client.ok("device/program", params)["token"]["serial"], "87654321");
    assert_eq!(other.credentials().len(), 1);
}

#[test]
fn devices_come_back_when_pcscd_does() {
    let mut bench = Bench::start();
    bench.program("OH", json!({}));
    for _ in 0..2 {
        bench.pcscd.kill();
        let client = bench.server.client.clone();
        let error = client.error("device/slots", json!({"device": DEVICE}));
        assert!(["device.gone", "device.failed"].contains(&error.kind.as_str()), "{error:?}");
        let program = json!({"device": DEVICE, "token": {"serial": "12345678"}, "wait": 30});
        let error = client.error("device/program", program);
        assert!(["device.gone", "device.failed"].contains(&error.kind.as_str()), "{error:?}");
        assert!(bench.hotp_is_let_in(), "a verify needs no device");
        bench.pcscd.restart().expect("pcscd starts again");
        bench.inserted = VpcdCard::insert(&bench.card, bench.pcscd.port(0)).expect("the card goes in");
        wait_for_device(&client, DEVICE);
        assert_eq!(bench.program_again(), "ready");
        assert!(bench.hotp_is_let_in());
    }
}

#[test]
fn pcscd_may_start_after_the_program() {
    let mut pcscd = PrivatePcscd::start(&["Yubico YubiKey OTP+FIDO+CCID 0"]).expect("a pcscd of its own");
    pcscd.kill();
    let installation = Installation::new().environment("PCSCLITE_CSOCK_NAME", pcscd.socket());
    let server = installation.start();
    let listed = server.client.ok("device/list", json!({}));
    assert_eq!(listed["rows"], json!([]));
    let why = listed["buses"][0]["error"].as_str().unwrap_or_default();
    assert!(why.contains("smart card service"), "{listed}");
    pcscd.restart().expect("pcscd starts");
    let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 12_345_678);
    let _inserted = VpcdCard::insert(&card, pcscd.port(0)).expect("the card goes in");
    wait_for_device(&server.client, DEVICE);
}

#[test]
fn another_program_may_reset_the_key_or_leave_it_without_power() {
    let bench = Bench::start();
    bench.program("OH", json!({}));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/let_go.py");
    for how in ["reset", "unpower"] {
        let interfere = || run(bench.other_program("python").args([script, &bench.reader(), how]));
        interfere();
        let slots = bench.client().ok("device/slots", json!({"device": DEVICE}));
        assert_eq!((&slots["total"], &slots["rows"][0]["slot"]), (&json!(1), &json!(HOTP)), "{how}");
        interfere();
        assert_eq!(bench.program_again(), "ready", "{how}");
        interfere();
        let passcode = bench.client().ok("device/calculate", json!({"device": DEVICE, "slot": HOTP}));
        let passcode = passcode["passcode"].as_str().expect("a passcode");
        assert!(token_is_let_in(bench.client(), "12345678", passcode), "{how}");
    }
}

#[test]
fn ykman_shows_what_fobd_programmed_and_its_passcodes_log_in() {
    let bench = Bench::start();
    bench.program("OH", json!({}));
    bench.program("OT", json!({}));
    assert_eq!(bench.ykman(&["list"]), format!("{HOTP}\n{TOTP}\n"));
    let hotp = bench.ykman(&["code", "--single", HOTP]);
    assert!(token_is_let_in(bench.client(), "12345678", hotp.trim()), "{hotp}");
    let hotp = bench.ykman(&["code", "--single", HOTP]);
    assert!(token_is_let_in(bench.client(), "12345678", hotp.trim()), "{hotp}");
    let earliest = step();
    let totp = bench.ykman(&["code", "--single", TOTP]);
    let computed: Vec<_> = (earliest..=step()).filter_map(|step| bench.card.show(TOTP, step)).collect();
    assert!(computed.iter().any(|passcode| passcode == totp.trim()), "{totp}");
    assert!(token_is_let_in(bench.client(), "12345678-2", totp.trim()), "{totp}");
    assert!(!token_is_let_in(bench.client(), "12345678-2", totp.trim()), "replayed");
}

#[test]
fn what_ykman_added_is_shown_without_a_token_and_never_overwritten() {
    let bench = Bench::start();
    bench.program("OH", json!({}));
    bench.ykman(&["add", "--oath-type", "HOTP", "Acme:bob", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"]);
    let added = Credential::hotp("Acme:bob", b"12345678901234567890", 0);
    assert_eq!(bench.card.credential("Acme:bob"), Some(added.clone()));
    let slots = bench.client().ok("device/slots", json!({"device": DEVICE}));
    let foreign = json!({
        "slot": "Acme:bob", "name": "Acme:bob", "type": "HOTP", "algorithm": "SHA1", "digits": 6,
        "timer": null, "touch": null, "inUse": true, "token": null,
    });
    assert_eq!((&slots["total"], &slots["rows"][1]), (&json!(2), &foreign));
    let params = json!({"device": DEVICE, "product": product("OH"), "slot": "Acme:bob", "wait": 30});
    assert_eq!(bench.client().error("device/program", params).kind, "slot.in_use");
    assert_eq!(bench.card.credential("Acme:bob"), Some(added));
    // What ykman deletes behind the server's back is programmed again without further ado.
    bench.ykman(&["delete", "--force", HOTP]);
    assert_eq!(bench.program_again(), "ready");
    assert!(bench.hotp_is_let_in());
}

#[test]
fn an_access_code_set_by_ykman_is_asked_for_and_works() {
    let bench = Bench::start();
    let mut command = bench.other_program("ykman");
    command.args(["--reader", &bench.reader(), "oath", "access", "change", "--new-password", "open sesame"]);
    run(&mut command);
    let slots = |code: Option<&str>| {
        let params = match code {
            Some(code) => json!({"device": DEVICE, "accessCode": code}),
            None => json!({"device": DEVICE}),
        };
        bench.client().call("device/slots", params).map_err(|error| error.kind)
    };
    assert_eq!(slots(None), Err("device.locked".to_owned()));
    assert_eq!(slots(Some("open barley")), Err("device.wrong_code".to_owned()));
    assert_eq!(slots(Some("open sesame")), Ok(json!({"total": 0, "rows": []})));
}
