//! What must never be written down: after a session that uses passwords, seeds, PINs and passcodes, right ones and
//! wrong ones, in good and in broken requests, none of them is in the log, the audit log or any file.

use std::fs;

use fobd::otp::algorithm::Algorithm;
use serde_json::json;

use crate::otp_oracle::passcode;
use crate::support::client::{ADMIN, Client, PASSWORD};
use crate::support::program::Installation;
use crate::support::{alice, furnish};

const SEED: &[u8; 20] = b"\x9d\x1e\xfa\x07\x66\xc3\x58\x8b\x11\xe0\x42\x7f\xd5\x29\xb4\x90\x3a\x6c\xee\x01";
const PIN: &str = "83417692";
const WRONG_PIN: &str = "60259914";
const WRONG_PASSWORD: &str = "tr0ub4dor-and-3-more";

/// Everything that must not be found, with a name for the report.
fn secrets() -> Vec<(String, Vec<u8>)> {
    let text = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
    let hex: String = SEED.iter().map(|byte| format!("{byte:02x}")).collect();
    let base32 = base32::encode(base32::Alphabet::Rfc4648 { padding: false }, SEED);
    let mut all = vec![
        text("password", PASSWORD),
        text("wrong password", WRONG_PASSWORD),
        text("PIN", PIN),
        text("wrong PIN", WRONG_PIN),
        text("seed in hexadecimal", &hex),
        text("seed in capital hexadecimal", &hex.to_uppercase()),
        text("seed in base32", &base32),
        ("seed".to_owned(), SEED.to_vec()),
        text("half the seed in hexadecimal", &hex[..20]),
        ("half the seed".to_owned(), SEED[..10].to_vec()),
    ];
    all.extend((0..40).map(|counter| text(&format!("passcode {counter}"), &code(counter))));
    all
}

/// Eight digits: six are found by chance in the fractions of a second of a log.
fn code(counter: u64) -> String {
    passcode(SEED, Algorithm::Sha1, 8, counter)
}

/// Uses all of them; what was answered to the wrong and broken requests.
fn use_them_all(client: &Client) -> String {
    let mut answers = Vec::new();
    let hex: String = SEED.iter().map(|byte| format!("{byte:02x}")).collect();
    furnish(client);
    let product = json!({"manufacturerCode": "YK", "productCode": "OH"});
    let import =
        |data: &str| client.call("token/import", json!({"attrs": {"product": product, "data": data}}));
    import(&format!("S1,{hex},hotp,8\n")).expect("an import");
    // Files that are wrong, before, in and behind the seed.
    for data in [
        format!("S1,{hex},hotp,8\n"),
        format!("S2,{hex}xx,hotp,8\n"),
        format!("S2,{hex},hotp,99\n"),
        format!("S2,{hex},nonsense,8\n"),
        format!("{hex}\n"),
        format!("<?xml version=\"1.0\"?><KeyContainer><Secret>{hex}</Secret>"),
        format!("{{\"seed\": \"{hex}\"}}"),
    ] {
        answers.push(import(&data).expect_err("a wrong file").message);
    }
    let token = json!({"serial": "S1"});
    client.ok("token/assign", json!({"token": token, "user": alice(), "attrs": {"pin": PIN}}));
    let ask =
        |typed: String| client.call("auth/verify", json!({"user": alice(), "credential": {"otp": typed}}));
    let answer = |accepted: bool| Ok(json!({ "accepted": accepted }));
    assert_eq!(ask(format!("{PIN}{}", code(0))), answer(true));
    assert_eq!(ask(format!("{PIN}{}", code(0))), answer(false));
    assert_eq!(ask(format!("{WRONG_PIN}{}", code(1))), answer(false));
    assert_eq!(ask(format!("{PIN}{}", code(39))), answer(false));
    let pair = format!("{},{}", code(30), code(31));
    client.ok("token/syncToken", json!({"token": token, "credential": pair}));
    let pair = format!("{},{}", code(20), code(21));
    client.error("token/syncToken", json!({"token": token, "credential": pair}));
    client.ok("token/reset", json!({"token": token}));

    // Broken requests, in which something secret stands where it does not belong.
    let typed = format!("{PIN}{}", code(32));
    for params in [
        json!({"user": alice(), "credential": typed}),
        json!({"user": alice(), "credential": {"otp": [typed]}}),
        json!({"user": alice(), "credential": {"otp": {"pin": PIN}}}),
        json!({"user": typed, "credential": {"otp": 1}}),
        json!({"user": alice(), "credential": {"otp": typed}, "source": typed.repeat(10)}),
        json!({"token": {"serial": typed}, "credential": typed}),
    ] {
        answers.push(client.error("auth/verify", params.clone()).message);
        let answer = client.das5("auth/verify", &params);
        assert_ne!(answer["error"], json!(0));
        answers.push(answer.to_string());
    }
    let wrong = json!({"token": token, "user": alice(), "attrs": {"pin": [PIN]}});
    answers.push(client.error("token/assign", wrong).message);
    for body in [format!("{{\"otp\": \"{typed}\" broken"), format!("\"{typed}\""), format!("[{typed}]")] {
        for path in ["/rpc", "/das5/rest/auth/verify"] {
            answers.push(client.post(path, &body).expect("an answer").1.to_string());
        }
    }
    let intruder = Client::as_operator(&client.base, ADMIN, WRONG_PASSWORD);
    assert_eq!(intruder.post("/rpc", "{}").expect("an answer").0, 401);
    // People type their password into the field for the name.
    let mistaken = Client::as_operator(&client.base, PASSWORD, "");
    assert_eq!(mistaken.post("/rpc", "{}").expect("an answer").0, 401);
    answers.join("\n")
}

/// The log as it leaves the server.
fn rows_of_export(installation: &Installation) -> String {
    let server = installation.start();
    let exported = server.client.get_as("/audit/export").expect("an export").1;
    server.stop();
    exported
}

/// What of all that is in there.
fn found_in(content: &[u8]) -> Vec<String> {
    let holds = |secret: &[u8]| content.windows(secret.len()).any(|window| window == secret);
    secrets().into_iter().filter(|(_, secret)| holds(secret)).map(|(name, _)| name).collect()
}

#[test]
fn no_secret_is_in_an_error_the_log_the_audit_log_or_any_file() {
    look_for_secrets(&Installation::new());
}

#[test]
fn nor_are_they_where_everything_is_logged_as_json() {
    let arguments = ["--log-format", "json", "--log-level", "trace"];
    let talkative = arguments.into_iter().fold(Installation::new(), Installation::argument);
    look_for_secrets(&talkative);
    let log = fs::read_to_string(talkative.log_file()).expect("the log");
    assert!(log.matches("\"answered\"").count() > 20, "each request is in it: {log}");
}

fn look_for_secrets(installation: &Installation) {
    let server = installation.start();
    let answers = use_them_all(&server.client);
    assert_eq!(found_in(answers.as_bytes()), Vec::<String>::new(), "{answers}");
    // The write-ahead log holds every version of every page that was written.
    server.kill_9();
    let mut read = Vec::new();
    for name in ["fobd.db", "fobd.db-wal", "fobd.db-shm", "../server.log"] {
        let content = fs::read(installation.data_dir().join(name)).expect(name);
        assert_eq!(found_in(&content), Vec::<String>::new(), "{name}");
        read.push((name, content));
    }
    let holds = |name: &str, text: &str| {
        let content = &read.iter().find(|(known, _)| *known == name).expect(name).1;
        content.windows(text.len()).any(|window| window == text.as_bytes())
    };
    assert!(
        holds("fobd.db-wal", "wrong_pin") && holds("../server.log", "a login was refused"),
        "searching works"
    );

    installation.start().stop();
    let database = rusqlite::Connection::open(installation.database()).unwrap();
    let mut select = database
        .prepare("SELECT concat_ws('|', operator, action, token_id, user_id, outcome, detail) FROM audit")
        .unwrap();
    let rows: Vec<String> = select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(found_in(rows.join("\n").as_bytes()), Vec::<String>::new());
    let exported = rows_of_export(installation);
    assert_eq!(found_in(exported.as_bytes()), Vec::<String>::new());
    assert_eq!(exported.matches("\"type\":\"row\"").count(), rows.len());
    let outcomes = ["imported", "accepted", "repeated", "wrong_pin", "wrong_passcode"];
    for outcome in outcomes {
        assert!(rows.iter().any(|row| row.contains(&format!("|{outcome}|"))), "{outcome}: {rows:#?}");
    }
    // Once folded, the database holds all that the log did.
    assert_eq!(found_in(&fs::read(installation.database()).unwrap()), Vec::<String>::new());
}
