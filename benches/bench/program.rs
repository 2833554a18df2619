//! Programming a YubiKey through the real pcscd: fobd's whole `device/program` (reserve, write, let the key compute a
//! passcode, check it, each step on disk) beside `ykman oath accounts add`, which only writes. Both talk to the same
//! emulated card.
//!
//! ykman starts anew for each credential, since that is how it is used; most of its time is Python's.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use firmware_fixtures::card::VirtualCard;
use firmware_fixtures::firmware::{Capacity, Firmware};
use firmware_fixtures::pcscd::PrivatePcscd;
use firmware_fixtures::vpcd::VpcdCard;
use serde_json::json;

use crate::caller::Caller;
use crate::data::Data;
use crate::server::Server;
use crate::table::{Limit, Table};

/// Credentials that fobd programs.
const FOBD: u32 = 100;
/// Credentials that ykman adds; each takes it about a second.
const YKMAN: u32 = 10;

/// Prints its rows.
pub fn run(data: &Data, table: &mut Table) {
    let pcscd = PrivatePcscd::start(&["Yubico YubiKey OTP+FIDO+CCID"]).expect("pcscd and vpcd are installed");
    let card =
        VirtualCard::new(Firmware { capacity: Capacity::Credentials(500), ..Firmware::YUBIKEY_5_4_3 }, 4242);
    let _inserted = VpcdCard::insert(&card, pcscd.port(0)).unwrap();
    let server = Server::start_with(&data.copy(), &pcscd.socket());
    let mut caller = Caller::connect(&server.address, "admin");
    wait_for_the_card(&mut caller);

    let before = card.exchanges();
    let begun = Instant::now();
    for number in 0..FOBD {
        let job = caller.call(
            "device/program",
            &json!({"device": "ykoath:4242", "slot": format!("bench:{number}"), "wait": 30,
                    "product": {"manufacturerCode": "YK", "productCode": "HOTP"}}),
        );
        assert_eq!(job["state"], "ready", "{job}");
    }
    let fobd = begun.elapsed().as_secs_f64() / f64::from(FOBD);
    let exchanges = (card.exchanges() - before) as f64 / f64::from(FOBD);
    drop(server);

    let begun = Instant::now();
    for number in 0..YKMAN {
        add_by_ykman(&pcscd, &format!("ykman:{number}"));
    }
    let ykman = begun.elapsed().as_secs_f64() / f64::from(YKMAN);
    table.row(
        "program: a credential, proven, on disk; beside ykman add",
        "s",
        fobd,
        Some(ykman),
        Limit::TimesAtMost(1.0),
    );
    table.row("program: exchanges with the card", "", exchanges, None, Limit::None);
}

/// The server lists a card a moment after it starts; `device/list` waits for the first sweep.
fn wait_for_the_card(caller: &mut Caller) {
    let begun = Instant::now();
    loop {
        let devices = caller.call("device/list", &json!({}));
        if devices["rows"].as_array().is_some_and(|rows| rows.iter().any(|row| row["state"] == "ready")) {
            return;
        }
        assert!(begun.elapsed().as_secs() < 10, "the card is not listed: {devices}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn add_by_ykman(pcscd: &PrivatePcscd, name: &str) {
    let ykman = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/venv/bin/ykman");
    let status = Command::new(&ykman)
        .args(["--reader", &pcscd.reader(0).expect("a reader")])
        .args(["oath", "accounts", "add", "--force", name])
        .arg("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
        .env("PCSCLITE_CSOCK_NAME", pcscd.socket())
        .stdout(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{}: {error}: run `make setup`", ykman.display()));
    assert!(status.success(), "ykman: {status}");
}
