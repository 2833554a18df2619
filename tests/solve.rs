//! `token/solve` through the whole server: how was a seed meant whose passcodes do not fit?

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::VirtualCard;
use firmware_fixtures::credential::Credential;
use firmware_fixtures::firmware::Firmware;
use serde_json::{Value as Json, json};

use crate::support::in_process::InProcess;
use crate::support::{RFC_SECRET_HEX, furnish, product, token_is_let_in};

const SECRET: &[u8] = b"12345678901234567890";
const BASE32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    server
}

/// What a fob with that secret shows (SHA-1, 6 digits), by the emulated device's own code.
fn shows(secret: &[u8], factor: u64) -> String {
    let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 1);
    card.install(Credential::totp("oracle", secret));
    card.show("oracle", factor).expect("the emulated device computes")
}

fn pair(secret: &[u8], factor: u64) -> String {
    format!("{},{}", shows(secret, factor), shows(secret, factor + 1))
}

fn solve(server: &InProcess, data: &str, credential: &str) -> Json {
    server.client.ok("token/solve", json!({"data": data, "credential": credential}))
}

#[test]
fn a_row_is_read_in_the_one_way_that_shows_the_passcodes_and_an_import_reads_it_so() {
    let server = server();
    let now = 1_767_225_600 / 30;
    let reversed: Vec<u8> = SECRET.iter().rev().copied().collect();
    let hex_of = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let cases = [
        (format!("1001;{RFC_SECRET_HEX}"), SECRET, 7, "hex", "OATH HOTP", Json::Null),
        (format!("1002,{BASE32}"), SECRET, 900, "base32", "OATH HOTP", Json::Null),
        ("1003,12345678901234567890".to_owned(), SECRET, now - 100, "text", "OATH TOTP", json!(30)),
        (format!("1004,{}", hex_of(&reversed)), SECRET, now + 20, "hex+reversed", "OATH TOTP", json!(30)),
        (format!("1005,{BASE32}"), SECRET, now / 2, "base32", "OATH TOTP", json!(60)),
    ];
    for (row, secret, factor, reading, algorithm, timer) in cases {
        let solved = solve(&server, &row, &pair(secret, factor));
        assert_eq!(solved["total"], 1, "{row}: {solved}");
        let attrs = &solved["rows"][0]["attrs"];
        let expected =
            json!({"reading": reading, "algorithm": algorithm, "hash": "SHA1", "digits": 6, "timer": timer});
        assert_eq!(*attrs, expected, "{row}");
        // What it says is what an import takes.
        let mut import = attrs.as_object().unwrap().clone();
        import.retain(|_, value| !value.is_null());
        import.insert("product".to_owned(), product("OH"));
        import.insert("data".to_owned(), row.replace(';', ",").into());
        server.client.ok("token/import", json!({ "attrs": import }));
        let serial = &row[..4];
        let last = if algorithm == "OATH HOTP" { factor + 1 } else { factor };
        server.client.ok(
            "token/syncToken",
            json!({"token": {"serial": serial}, "credential": pair(secret, last + 1)}),
        );
        assert!(token_is_let_in(&server.client, serial, &shows(secret, last + 3)), "{row}");
    }
}

#[test]
fn the_other_rows_of_a_file_tell_whether_it_is_read_right_as_a_whole() {
    let server = server();
    let file = format!(
        "# batch 7\n2001,{BASE32}\n2002,MZXW6YTBOIQGEYLSEBRGC6RAOF2XQIDR\n2003,0123456789abcdef0123\n"
    );
    let params = json!({"data": file, "serial": "2001", "credential": pair(SECRET, 0)});
    let solved = server.client.ok("token/solve", params);
    let row = &solved["rows"][0];
    assert_eq!((&row["others"], &row["othersFit"]), (&json!(2), &json!(1)));
    assert_eq!(row["nextCounter"], 2);
    let none = json!({"data": file, "serial": "2009", "credential": "755224"});
    assert_eq!(server.client.error("token/solve", none).kind, "request.invalid");
    let which = json!({"data": file, "credential": "755224"});
    assert_eq!(server.client.error("token/solve", which).kind, "request.invalid");
}

#[test]
fn one_passcode_tells_what_chance_has_to_do_with_it() {
    let server = server();
    let solved = solve(&server, &format!("1001,{BASE32}"), &shows(SECRET, 3));
    assert!(solved["total"].as_u64().unwrap() >= 1);
    assert!(solved["expectedByChance"].as_f64().unwrap() > 0.01, "{solved}");
    assert_eq!(solved["secondPasscodeWanted"], true);
    let nothing = solve(&server, &format!("1001,{BASE32}"), "000000,000001");
    assert_eq!((&nothing["total"], &nothing["secondPasscodeWanted"]), (&json!(0), &json!(false)));
}

/// Three tokens from a PSKC file whose maker wrote hexadecimal where base 64 belongs: it was read as base 64.
fn misread(server: &InProcess) {
    let package = |serial: &str, seed: &str| {
        format!(
            "<KeyPackage><DeviceInfo><SerialNo>{serial}</SerialNo></DeviceInfo><Key Id=\"{serial}\" \
             Algorithm=\"urn:ietf:params:xml:ns:keyprov:pskc:hotp\"><AlgorithmParameters><ResponseFormat \
             Length=\"6\" Encoding=\"DECIMAL\"/></AlgorithmParameters><Data><Secret><PlainValue>{seed}</PlainValue>\
             </Secret></Data></Key></KeyPackage>"
        )
    };
    let packages =
        [("3001", RFC_SECRET_HEX), ("3002", &RFC_SECRET_HEX.replace('1', "2")), ("3003", RFC_SECRET_HEX)];
    let packages: String = packages.iter().map(|(serial, seed)| package(serial, seed)).collect();
    let file = format!(
        "<KeyContainer Version=\"1.0\" xmlns=\"urn:ietf:params:xml:ns:keyprov:pskc\">{packages}</KeyContainer>"
    );
    server.client.ok("token/import", json!({"attrs": {"product": product("OH"), "data": file}}));
}

#[test]
fn a_token_of_the_inventory_is_read_anew_and_its_passcodes_are_spent() {
    let server = server();
    let client = &server.client;
    misread(&server);
    let token = json!({"serial": "3001"});
    let ask = |apply: &str, factor| {
        client
            .call("token/solve", json!({"token": token, "credential": pair(SECRET, factor), "apply": apply}))
    };
    let solved = ask("nothing", 20).unwrap();
    let row = &solved["rows"][0];
    assert_eq!((&solved["total"], &solved["changed"]), (&json!(1), &json!(0)), "{solved}");
    assert_eq!((&row["spelled"], &row["attrs"]["reading"]), (&json!("base64"), &json!("hex")));
    assert_eq!((&row["others"], &row["othersFit"]), (&json!(2), &json!(2)));
    assert!(!token_is_let_in(client, "3001", &shows(SECRET, 0)));
    let one = json!({"token": token, "credential": shows(SECRET, 20), "apply": "token"});
    assert_eq!(client.error("token/solve", one).kind, "request.invalid");

    assert_eq!(ask("token", 20).unwrap()["changed"], 1);
    for spent in [0, 20, 21] {
        assert!(!token_is_let_in(client, "3001", &shows(SECRET, spent)), "{spent}");
    }
    assert!(token_is_let_in(client, "3001", &shows(SECRET, 22)));
    assert!(!token_is_let_in(client, "3003", &shows(SECRET, 0)), "the others are as they were");
    let again = ask("token", 30).unwrap_err();
    assert_eq!(again.kind, "token.not_solved");
    assert!(again.message.contains("right already"), "{}", again.message);
}

#[test]
fn what_came_with_it_is_read_anew_unless_somebody_was_let_in_with_it() {
    let server = server();
    let client = &server.client;
    misread(&server);
    // 3002 was put right by hand, so to say: it has a counter.
    client.ok("token/reset", json!({"token": {"serial": "3002"}, "attrs": {"counter": 5}}));
    for serial in ["3001", "3003"] {
        let attrs = json!({"tokenIdentifier": "ubhe11032475"});
        client.ok("token/set", json!({"token": {"serial": serial}, "attrs": attrs}));
    }
    let apply = json!({"token": {"serial": "3001"}, "credential": pair(SECRET, 1), "apply": "import"});
    assert_eq!(client.ok("token/solve", apply)["changed"], 2);
    let typed = |factor| format!("ubhe11032475{}", shows(SECRET, factor));
    assert!(token_is_let_in(client, "3001", &typed(3)), "what it types stays");
    assert!(token_is_let_in(client, "3003", &typed(0)));
    let log = client.ok("audit/search", json!({"action": "token/solve", "outcome": "read_anew"}));
    assert_eq!(log["rows"].as_array().unwrap().len(), 2);
}

#[test]
fn a_rule_that_was_wrong_is_put_right_and_used_passcodes_stay_used() {
    let server = server();
    let client = &server.client;
    let data = format!("4001,{RFC_SECRET_HEX},totp,6,60\n4002,{RFC_SECRET_HEX},hotp,8,0\n");
    client.ok("token/import", json!({"attrs": {"product": product("OH"), "data": data}}));
    let now = 1_767_225_600 / 30;
    let solve = |serial: &str, credential: String| {
        client.call(
            "token/solve",
            json!({"token": {"serial": serial}, "credential": credential, "apply": "token"}),
        )
    };
    let solved = solve("4001", pair(SECRET, now - 40)).unwrap();
    assert_eq!(
        (&solved["rows"][0]["attrs"]["timer"], &solved["rows"][0]["attrs"]["reading"]),
        (&json!(30), &Json::Null)
    );
    assert!(!token_is_let_in(client, "4001", &shows(SECRET, now - 39)));
    assert!(
        token_is_let_in(client, "4001", &shows(SECRET, now - 38)),
        "it has learned how far behind the clock is"
    );

    client.ok("token/reset", json!({"token": {"serial": "4002"}, "attrs": {"counter": 10}}));
    let used = solve("4002", pair(SECRET, 3)).unwrap_err();
    assert_eq!(used.kind, "token.not_solved");
    assert!(used.message.contains("used before"), "{}", used.message);
    assert_eq!(solve("4002", pair(SECRET, 12)).unwrap()["changed"], 1);
    assert!(token_is_let_in(client, "4002", &shows(SECRET, 14)));
}

#[test]
fn no_answer_error_or_audit_row_shows_a_seed_or_a_passcode() {
    let server = server();
    misread(&server);
    let seen = [
        solve(&server, &format!("1001,{BASE32}"), &pair(SECRET, 3)).to_string(),
        solve(&server, &format!("1001,{BASE32}"), "000000").to_string(),
        format!(
            "{:?}",
            server
                .client
                .error("token/solve", json!({"data": BASE32, "serial": "x", "credential": "755224"}))
        ),
        format!("{:?}", server.client.error("token/solve", json!({"data": BASE32, "credential": "75522x"}))),
        server.client.ok("audit/search", json!({"action": "token/solve"})).to_string(),
    ];
    for text in seen {
        for secret in [BASE32, RFC_SECRET_HEX, "12345678901234567890", "755224", &shows(SECRET, 3)] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
