//! The clocks of tokens as staff see them.

use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use fobd::otp::algorithm::Algorithm;
use serde_json::{Value as Json, json};

use crate::otp_oracle::passcode;
use crate::support::client::Client;
use crate::support::in_process::InProcess;
use crate::support::{furnish, product, token_is_let_in};

const START: i64 = 1_767_225_600;
const DAY: i64 = 86_400;

/// Imports so many TOTP tokens; each has its serial, filled up, as its secret.
fn import(client: &Client, serials: &[String]) {
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let data: String =
        serials.iter().map(|serial| format!("{serial},{},totp,6,30\n", hex(&secret(serial)))).collect();
    client.ok("token/import", json!({"attrs": {"product": product("OT"), "data": data}}));
}

fn secret(serial: &str) -> String {
    format!("{serial:0>20}")
}

/// What the token shows so many seconds after the start, if it gains so many ppm.
fn shown(serial: &str, seconds: i64, ppm: f64) -> String {
    let there = (START + seconds) as f64 + ppm * 1e-6 * seconds as f64;
    passcode(secret(serial).as_bytes(), Algorithm::Sha1, 6, there as u64 / 30)
}

fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    server
}

fn clock(client: &Client, serial: &str) -> Json {
    client.ok("token/clock", json!({"token": {"serial": serial}}))
}

#[test]
fn a_fob_that_gains_is_let_in_at_once_after_a_year_and_a_half_in_a_drawer() {
    let server = server();
    let client = &server.client;
    import(client, &["F1".to_owned()]);
    let mut seconds = 0;
    for _ in 0..20 {
        seconds += 6 * DAY;
        server.clock.advance(Duration::from_secs(6 * DAY as u64));
        assert!(token_is_let_in(client, "F1", &shown("F1", seconds, 50.0)));
    }
    let known = clock(client, "F1");
    assert_eq!((&known["successes"], &known["rateCounts"]), (&json!(20), &json!(true)));
    assert!((known["ratePpm"].as_f64().unwrap() - 50.0).abs() < 3.0, "{known}");
    server.clock.advance(Duration::from_secs(548 * DAY as u64));
    seconds += 548 * DAY;
    let known = clock(client, "F1");
    assert!(known["windowSteps"].as_u64().unwrap() <= 10, "{known}");
    assert!(known["offsetSeconds"].as_f64().unwrap() > 2_500.0, "{known}");
    assert!(token_is_let_in(client, "F1", &shown("F1", seconds, 50.0)));
}

#[test]
fn a_clock_is_set_frozen_and_forgotten_and_the_log_says_so() {
    let server = server();
    let client = &server.client;
    import(client, &["F1".to_owned()]);
    let set = |attrs: Json| client.ok("token/setClock", json!({"token": {"serial": "F1"}, "attrs": attrs}));
    set(json!({"offsetSeconds": 3600.0, "ratePpm": -20.5, "frozen": true}));
    let known = clock(client, "F1");
    let members = ["offsetSeconds", "ratePpm", "frozen", "rateGiven"].map(|name| known[name].clone());
    assert_eq!(json!(members), json!([3600.0, -20.5, true, true]));
    let typed = passcode(secret("F1").as_bytes(), Algorithm::Sha1, 6, (START as u64 + 3600) / 30);
    assert!(token_is_let_in(client, "F1", &typed), "an hour ahead");
    assert_eq!(clock(client, "F1")["successes"], 0, "frozen");
    client.ok("token/reset", json!({"token": {"serial": "F1"}}));
    assert_eq!(clock(client, "F1")["offsetSeconds"], 3600.0, "a reset leaves what was set");
    set(json!({"reset": true}));
    let known = clock(client, "F1");
    assert_eq!((&known["offsetSeconds"], &known["frozen"]), (&json!(0.0), &json!(false)));
    assert!(!token_is_let_in(client, "F1", &shown("F1", 0, 0.0)), "the floor stays an hour ahead");
    let rows = client.ok("audit/search", json!({"action": "token/setClock", "order": "asc"}))["rows"].clone();
    assert_eq!(rows[0]["detail"], "offset 3600000 ms, rate -20500 ppb, frozen");
    assert_eq!((&rows[1]["detail"], &rows[1]["outcome"]), (&json!("forgotten"), &json!("set")));
}

#[test]
fn what_cannot_be_set_is_named() {
    let server = server();
    let client = &server.client;
    import(client, &["F1".to_owned()]);
    crate::support::import_hotp(client, &format!("H1,{}\n", crate::support::RFC_SECRET_HEX));
    let error = |serial: &str, attrs: Json| {
        let params = json!({"token": {"serial": serial}, "attrs": attrs});
        client.error("token/setClock", params).message
    };
    assert_eq!(error("F1", json!({"ratePpm": 100.5})), "`attrs.ratePpm` must be from -100 to 100");
    assert_eq!(
        error("F1", json!({"offsetSeconds": 1e12})),
        "`attrs.offsetSeconds` must be at most ten years either way"
    );
    assert_eq!(error("F1", json!({})), "`attrs` must say what to set");
    assert_eq!(error("H1", json!({"frozen": true})), "`token` is HOTP: it counts, and has no clock");
    let shown = client.error("token/clock", json!({"token": {"serial": "H1"}}));
    assert_eq!(shown.kind, "request.invalid");
}

#[test]
fn a_batch_whose_clocks_leave_the_curve_of_their_product_is_reported() {
    let server = server();
    let client = &server.client;
    let serials = |batch: &str| (0..4).map(|n| format!("{batch}{n}")).collect::<Vec<_>>();
    // Three imports; the clocks of the last one are 60 ppm fast, and one fob of the first is broken.
    let rate = |serial: &str| match serial {
        "A3" => 75.0,
        serial if serial.starts_with('C') => 60.0,
        serial => f64::from(serial.as_bytes()[1] - b'0'),
    };
    for batch in ["A", "B", "C"] {
        import(client, &serials(batch));
    }
    let mut seconds = 0;
    for _ in 0..7 {
        seconds += 6 * DAY;
        server.clock.advance(Duration::from_secs(6 * DAY as u64));
        for serial in ["A", "B", "C"].iter().flat_map(|batch| serials(batch)) {
            assert!(token_is_let_in(client, &serial, &shown(&serial, seconds, rate(&serial))), "{serial}");
        }
    }
    let report = client.ok("product/clocks", json!({"product": product("OT")}));
    assert_eq!(report["tokens"], 12);
    let batches = report["batches"].as_array().unwrap();
    let leaving: Vec<_> =
        batches.iter().map(|batch| (batch["example"].clone(), batch["leaves"].clone())).collect();
    assert_eq!(json!(leaving), json!([["A0", false], ["B0", false], ["C0", true]]), "{report}");
    let alone: Vec<_> =
        report["leaving"].as_array().unwrap().iter().map(|row| row["serial"].clone()).collect();
    assert!(alone.contains(&json!("A3")), "{report}");
    let other = client.ok("product/clocks", json!({"product": product("OH")}));
    assert_eq!(other, json!({"tokens": 0, "ratePpm": null, "spreadPpm": null, "batches": [], "leaving": []}));
}
