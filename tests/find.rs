//! `token/find` through the whole server: which token shows this passcode, what is told of it, and what it costs.

use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use serde_json::{Value as Json, json};

use crate::support::client::Client;
use crate::support::in_process::InProcess;
use crate::support::{alice, alice_is_let_in, furnish, give_alice_a_token, import_hotp, product};

/// Secrets of fobs that nobody else has: the number is the first byte.
fn secret(number: u8) -> Vec<u8> {
    let mut secret = b"12345678901234567890".to_vec();
    secret[0] = number;
    secret
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the fob with that number shows, computed by the emulated device's own code.
fn shows(number: u8, factor: u64) -> String {
    use firmware_fixtures::card::VirtualCard;
    use firmware_fixtures::credential::Credential;
    use firmware_fixtures::firmware::Firmware;
    let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 1);
    card.install(Credential::totp("oracle", &secret(number)));
    card.show("oracle", factor).expect("the emulated device computes")
}

/// Alice has the HOTP token 1001; 2000 to 2019 are in stock, and 3000 is a TOTP token.
fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    let client = &server.client;
    furnish(client);
    give_alice_a_token(client, "1001");
    let stock: String =
        (0..20).map(|n: u8| format!("{},{}\n", 2000 + u32::from(n), hex(&secret(n)))).collect();
    import_hotp(client, &stock);
    let data = format!("3000,{},totp,6,30\n", hex(&secret(200)));
    client.ok("token/import", json!({"attrs": {"product": product("OT"), "data": data}}));
    server
}

fn find(client: &Client, credential: &str) -> Json {
    client.ok("token/find", json!({ "credential": credential }))
}

fn rows(found: &Json) -> Vec<(&str, i64)> {
    let rows = found["rows"].as_array().unwrap().iter();
    rows.map(|row| (row["serial"].as_str().unwrap(), row["ahead"].as_i64().unwrap())).collect()
}

const STEP: u64 = 1_767_225_600 / 30;

#[test]
fn a_fob_is_found_by_what_it_shows_with_its_product_its_user_and_how_far_it_is_ahead() {
    let server = server();
    let client = &server.client;
    let found = find(client, &shows(7, 4));
    assert_eq!(rows(&found), [("2007", 4)]);
    assert_eq!((&found["searched"], &found["secondPasscodeWanted"]), (&json!(22), &json!(false)));
    // 21 counters from 0 that were tried eleven times each, and a clock that was tried at 21 steps.
    assert_eq!(found["expectedByChance"], json!(0.000252));
    let row = find(client, "287082")["rows"][0].clone();
    let expected = json!({
        "id": row["id"], "serial": "1001", "product": "YubiKey OATH HOTP", "repository": "Default",
        "status": "ACTIVE", "users": ["acme\\alice"], "ahead": 1, "seconds": null,
    });
    assert_eq!(row, expected);
    let behind = find(client, &shows(200, STEP - 8));
    assert_eq!(rows(&behind), [("3000", -8)]);
    assert_eq!(behind["rows"][0]["seconds"], -240);
    assert_eq!(rows(&find(client, &shows(9, 12))), []);
    let wide = json!({"credential": shows(9, 12), "window": 20});
    assert_eq!(rows(&client.ok("token/find", wide)), [("2009", 12)]);
}

#[test]
fn nothing_is_spent_and_what_was_spent_is_found_all_the_same() {
    let server = server();
    let client = &server.client;
    let state = || client.ok("token/search", json!({"return": ["*"], "max": 100}))["rows"].clone();
    let before = state();
    assert_eq!(rows(&find(client, "755224")), [("1001", 0)]);
    assert_eq!(state(), before);
    assert!(alice_is_let_in(client, "1234755224"), "it is still good");
    assert_eq!(rows(&find(client, "755224")), [("1001", -1)]);
}

#[test]
fn two_consecutive_passcodes_decide_between_tokens_that_show_the_same_one() {
    let server = server();
    let client = &server.client;
    // A copy of a secret stands for a match by chance.
    import_hotp(client, &format!("2100,{}\n", hex(&secret(5))));
    let at_5 = json!({"token": {"serial": "2100"}, "attrs": {"counter": 1}});
    client.ok("token/reset", at_5);
    let one = find(client, &shows(5, 3));
    assert_eq!(rows(&one), [("2100", 2), ("2005", 3)]);
    assert_eq!(one["secondPasscodeWanted"], true);
    let pair = find(client, &format!("{},{}", shows(6, 3), shows(6, 4)));
    assert_eq!((rows(&pair), &pair["secondPasscodeWanted"]), (vec![("2006", 3)], &json!(false)));
    let not_consecutive = format!("{},{}", shows(6, 3), shows(6, 5));
    assert_eq!(rows(&find(client, &not_consecutive)), []);
}

#[test]
fn the_search_is_narrowed_by_what_is_asked_and_by_what_the_caller_sees() {
    let server = server();
    let client = &server.client;
    client.ok("repository/create", json!({"attrs": {"name": "Berlin"}}));
    client.ok("token/set", json!({"token": {"serial": "2003"}, "attrs": {"repository": {"name": "Berlin"}}}));
    client.ok("token/disable", json!({"token": {"serial": "2004"}}));
    let of = |number: u8, conditions: Json| {
        let found = client.ok("token/find", json!({"credential": shows(number, 1), "match": conditions}));
        (found["total"].as_i64().unwrap(), found["searched"].as_i64().unwrap())
    };
    assert_eq!(of(3, json!([["repository.name", "=", "Berlin"]])), (1, 1));
    assert_eq!(of(4, json!([["repository.name", "=", "Berlin"]])), (0, 1));
    assert_eq!(of(4, json!([["status", "=", "DISABLED"]])), (1, 1));
    assert_eq!(of(4, json!([["product.productCode", "=", "OH"]])), (1, 21));
    assert_eq!(
        client.error("token/find", json!({"credential": "123456", "match": [["pin", "=", "1"]]})).kind,
        "attribute.unknown"
    );

    let attrs = json!({
        "name": "berlin", "role": "helpdesk", "password": "correct-horse-battery",
        "domains": [{"name": "acme"}], "repositories": [{"name": "Berlin"}],
    });
    client.ok("operator/create", json!({ "attrs": attrs }));
    let berlin = Client::as_operator(&client.base, "berlin", "correct-horse-battery");
    assert_eq!(rows(&find(&berlin, &shows(3, 1))), [("2003", 1)]);
    assert_eq!(find(&berlin, &shows(5, 1))["searched"], 1);
    assert_eq!(rows(&find(&berlin, &shows(5, 1))), []);
}

#[test]
fn it_is_audited_with_the_number_of_matches_and_never_with_the_passcode() {
    let server = server();
    let passcode = shows(7, 4);
    find(&server.client, &passcode);
    find(&server.client, &format!("{},{}", shows(8, 0), shows(8, 1)));
    let log = server.client.ok("audit/search", json!({"action": "token/find", "order": "asc"}));
    let entries: Vec<(&str, &str, &str)> = log["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let text = |value: &'static str| row[value].as_str().unwrap();
            (row["token"]["serial"].as_str().unwrap(), text("outcome"), text("detail"))
        })
        .collect();
    let expected = [
        ("2007", "found", "1 of 22 tokens by one passcode"),
        ("2008", "found", "1 of 22 tokens by two passcodes"),
    ];
    assert_eq!(entries, expected);
    let files = server.files();
    assert!(!files.windows(passcode.len()).any(|window| window == passcode.as_bytes()));
}

#[test]
fn it_may_be_asked_twenty_times_and_then_every_three_seconds_by_each_caller() {
    let server = server();
    let desk = server.with_role("helpdesk");
    let ask = |client: &Client| {
        client.call("token/find", json!({"credential": "000000"})).map_err(|error| error.kind)
    };
    for _ in 0..20 {
        assert!(ask(&desk).is_ok());
    }
    assert_eq!(ask(&desk), Err("caller.too_often".to_owned()));
    assert!(ask(&server.client).is_ok(), "another caller");
    server.clock.advance(Duration::from_secs(3));
    assert!(ask(&desk).is_ok());
    assert_eq!(ask(&desk), Err("caller.too_often".to_owned()));
}

#[test]
fn what_cannot_be_a_passcode_is_refused_and_not_repeated() {
    let server = server();
    for credential in ["", "12345", "1234755224x", "755224,755224", "755224,00000000", "1,2,3,4"] {
        let error = server.client.error("token/find", json!({ "credential": credential }));
        assert_eq!(error.kind, "request.invalid");
        assert!(error.message.starts_with("`credential` must be"), "{}", error.message);
        assert!(credential.is_empty() || !error.message.contains(credential));
    }
    let far = json!({"credential": "755224", "window": 101});
    assert_eq!(server.client.error("token/find", far).kind, "request.invalid");
    let user = json!({"user": alice(), "credential": {"otp": "1234287082"}});
    assert_eq!(server.client.ok("auth/verify", user)["accepted"], true);
}
