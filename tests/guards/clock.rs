//! A clock that was set, by a test that sets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::VirtualCard;
use firmware_fixtures::firmware::Firmware;
use fobd::otp::time::{Clock, Timestamp};
use fobd::service::guards::Guards;
use fobd::store::{Location, Store, Synchronous};
use serde_json::json;

use super::{code, count, outcomes, state};
use crate::support::client::{ADMIN, Client, PASSWORD};
use crate::support::in_process::InProcess;
use crate::support::{
    RFC_SECRET_HEX, alice, alice_is_let_in, furnish, give_alice_a_token, product, token_is_let_in,
};

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 86_400;

/// With the TOTP tokens 2001 and 2002, which nobody has, and alice's HOTP token 1001 with the PIN 1234.
fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    let data = format!("2001,{RFC_SECRET_HEX},totp,6,30\n2002,{RFC_SECRET_HEX},totp,6,30\n");
    server.client.ok("token/import", json!({"attrs": {"product": product("OT"), "data": data}}));
    give_alice_a_token(&server.client, "1001");
    server
}

/// The time step by the wall clock.
fn step(server: &InProcess) -> u64 {
    u64::try_from(server.clock.now().as_secs() / 30).unwrap()
}

fn ready(server: &InProcess) -> (u16, String) {
    server.client.get("/readyz").expect("an answer")
}

#[test]
fn totp_is_refused_while_the_clock_is_suspect_and_hotp_goes_on() {
    let server = server();
    let client = &server.client;
    assert!(token_is_let_in(client, "2001", &code(step(&server))));
    server.clock.set(HOUR);
    let now = step(&server);
    let question = json!({"token": {"serial": "2001"}, "credential": {"otp": code(now)}});
    assert_eq!(client.ok("auth/verify", question.clone()), json!({"accepted": false}));
    assert_eq!(client.das5("auth/verify", &question)["error"], json!(1010));
    for _ in 0..12 {
        assert!(!token_is_let_in(client, "2001", "000000"));
    }
    assert_eq!(state(client, "2001").1, 0, "nothing was judged, so nothing counts");
    assert_eq!(count(client, "auth/verify", "clock_suspect"), 14);
    assert!(alice_is_let_in(client, &format!("1234{}", code(0))), "a counter needs no clock");

    let pair = format!("{},{}", code(now), code(now + 1));
    let sync = |serial: &str, pair: &str| {
        client.call("token/syncToken", json!({"token": {"serial": serial}, "credential": pair}))
    };
    assert_eq!(sync("2001", &pair).unwrap_err().kind, "clock.suspect");
    assert_eq!(sync("1001", &format!("{},{}", code(50), code(51))), Ok(json!({})));

    let problem = "it was set ahead by 3600 s while the machine was running";
    assert_eq!(ready(&server), (503, format!("the clock is suspect: {problem}\n")));
    let shown = client.ok("clock/get", json!({}));
    assert_eq!((&shown["trusted"], &shown["problem"]), (&json!(false), &json!(problem)));
    assert_eq!(
        outcomes(client, "clock/check"),
        [("clock_suspect".to_owned(), problem.to_owned())],
        "told once"
    );

    server.clock.set(-HOUR);
    assert_eq!(ready(&server).0, 200);
    assert!(token_is_let_in(client, "2001", &code(step(&server) + 1)), "the wrong time has spent nothing");
    assert_eq!(count(client, "clock/check", "clock_right"), 1);
}

#[test]
fn a_user_with_both_kinds_of_tokens_is_judged_by_the_counter_and_guesses_count() {
    let server = server();
    let client = &server.client;
    client
        .ok("token/assign", json!({"token": {"serial": "2001"}, "user": alice(), "attrs": {"pin": "1234"}}));
    server.clock.set(HOUR);
    assert!(alice_is_let_in(client, &format!("1234{}", code(0))));
    assert!(!alice_is_let_in(client, "1234000000"));
    let user = client.ok("user/get", json!({"user": alice(), "return": ["failCount"]}));
    assert_eq!(user["failCount"], 1, "a clock that is wrong makes no free guesses");
    assert_eq!(count(client, "auth/verify", "clock_suspect"), 1);
}

#[test]
fn an_admin_accepts_the_clock_as_it_is_and_nobody_else_does() {
    let server = server();
    let client = &server.client;
    server.clock.set(-HOUR);
    assert!(!token_is_let_in(client, "2001", &code(step(&server))));
    assert_eq!(server.with_role("helpdesk").error("clock/accept", json!({})).kind, "permission.denied");
    assert_eq!(client.ok("clock/accept", json!({}))["trusted"], true);
    assert_eq!(ready(&server).0, 200);
    assert!(token_is_let_in(client, "2001", &code(step(&server))));
    let accepted = ("done".to_owned(), "it was set back by 3600 s while the machine was running".to_owned());
    assert_eq!(outcomes(client, "clock/accept"), [accepted]);
    server.clock.set(HOUR);
    assert_eq!(ready(&server).0, 503, "what was right before is wrong now");
}

#[test]
fn six_seconds_behind_is_suspect_until_the_time_has_come_again() {
    let server = server();
    assert_eq!(ready(&server).0, 200);
    server.clock.set(-6);
    let behind = "the clock is suspect: it is 6 s behind the newest time in the database\n";
    assert_eq!(ready(&server), (503, behind.to_owned()));
    assert!(!token_is_let_in(&server.client, "2001", &code(step(&server))));
    server.clock.advance(Duration::from_secs(1));
    assert!(token_is_let_in(&server.client, "2001", &code(step(&server))));
}

#[test]
fn no_time_based_credential_is_written_or_confirmed_by_a_suspect_clock() {
    let server = server();
    let client = &server.client;
    let device = server.plug_in(&VirtualCard::new(Firmware::YUBIKEY_5_4_3, 7));
    server.clock.set(HOUR);
    let program = |code: &str| json!({"device": device, "product": product(code), "wait": 30});
    let before = client.ok("token/search", json!({}))["total"].clone();
    assert_eq!(client.error("device/program", program("OT")).kind, "clock.suspect");
    assert_eq!(client.ok("token/search", json!({}))["total"], before, "nothing is reserved");
    assert_eq!(client.ok("device/program", program("OH"))["state"], "ready");
    server.clock.set(-HOUR);
    assert_eq!(client.ok("device/program", program("OT"))["state"], "ready");
}

#[test]
fn nothing_that_a_clock_a_year_ahead_has_locked_or_given_lasts_a_year() {
    let server = server();
    let client = &server.client;
    server.clock.set(YEAR);
    for wrong in 0..10 {
        assert!(!alice_is_let_in(client, &format!("1234{wrong:06}")));
    }
    let body = json!({"Username": ADMIN, "Password": PASSWORD, "AgentId": ""}).to_string();
    let headers = [("Content-Type", "application/json")];
    let (status, token) = client.raw("POST", "/Authentication/V1/Tokens", &headers, &body);
    assert_eq!(status, 200, "{token}");
    let token: String = serde_json::from_str(&token).unwrap();
    let session = Client::with_authorization(&client.base, &format!("FCF {token}"));
    assert!(session.is_let_in());
    server.clock.set(-YEAR);
    assert!(!session.is_let_in(), "an hour of that clock is a year by now");
    assert!(!alice_is_let_in(client, &format!("1234{}", code(0))), "locked as any other");
    server.clock.advance(Duration::from_secs(3600));
    assert!(alice_is_let_in(client, &format!("1234{}", code(0))), "no lock is longer than an hour");
}

/// Clocks of a machine that is started again.
struct Machine {
    wall_ms: AtomicI64,
    boot_ms: AtomicU64,
    run: AtomicU64,
}

impl Machine {
    fn pass(&self, secs: u64) {
        self.boot_ms.fetch_add(secs * 1000, Ordering::SeqCst);
        self.set(i64::try_from(secs).unwrap());
    }

    fn set(&self, secs: i64) {
        self.wall_ms.fetch_add(secs * 1000, Ordering::SeqCst);
    }

    fn restart(&self) {
        self.run.fetch_add(1, Ordering::SeqCst);
        self.boot_ms.store(5_000, Ordering::SeqCst);
    }
}

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall_ms.load(Ordering::SeqCst))
    }

    fn since_boot(&self) -> Duration {
        Duration::from_millis(self.boot_ms.load(Ordering::SeqCst))
    }

    fn boot_id(&self) -> Option<String> {
        Some(self.run.load(Ordering::SeqCst).to_string())
    }
}

#[test]
fn neither_a_restart_of_the_server_nor_of_the_machine_makes_a_wrong_clock_right() {
    let dir = tempfile::tempdir().unwrap();
    let location = Location { data_dir: dir.path().to_owned(), key_file: dir.path().join("master.key") };
    let machine = Arc::new(Machine {
        wall_ms: AtomicI64::new(1_767_225_600_000),
        boot_ms: AtomicU64::new(100_000),
        run: AtomicU64::new(1),
    });
    Store::create(&location, machine.now(), |_| Ok(())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // What is wrong with the clock after a start of the server.
    let start = || {
        runtime.block_on(async {
            let clock: Arc<dyn Clock> = machine.clone();
            let store = Store::open(&location, Synchronous::Full, Arc::clone(&clock)).unwrap();
            let guards = Guards::prepare(&store, &clock).await.unwrap();
            guards.clock.problem(&store).await
        })
    };
    assert_eq!(start(), None);
    machine.pass(100);
    machine.set(7200);
    let moved = "it was set ahead by 7200 s while the machine was running";
    assert_eq!(start().as_deref(), Some(moved));
    assert_eq!(start().as_deref(), Some(moved), "the second start knows no less");
    machine.set(-7200);
    assert_eq!(start(), None, "the rows of the wrong time prove nothing");
    machine.pass(100);
    machine.restart();
    machine.set(-3600);
    assert_eq!(start().as_deref(), Some("it is 3500 s behind the newest time in the database"));
    assert!(start().is_some());
    machine.set(3700);
    assert_eq!(start(), None, "a clock that was wrong from the start is set right");
}
