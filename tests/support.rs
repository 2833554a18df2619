//! The shipped program under test, and a server in this process whose clock a test moves.

pub mod agents;
pub mod client;
pub mod in_process;
pub mod program;
pub mod raw;
pub mod scripted;

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use self::client::Client;

/// Secret of the RFC 4226 test vectors, in hexadecimal: `12345678901234567890`.
pub const RFC_SECRET_HEX: &str = "3132333435363738393031323334353637383930";

/// A domain `acme` with the user `alice`, and a product `YK/OH` (HOTP, 6 digits, driver ykoath) and `YK/OT` (TOTP,
/// 30 s).
pub fn furnish(client: &Client) {
    client.ok("domain/create", json!({"attrs": {"name": "acme"}}));
    client.ok("user/create", json!({"attrs": {"domain.name": "acme", "loginName": "alice"}}));
    for (code, algorithm) in [("OH", "OATH HOTP"), ("OT", "OATH TOTP")] {
        let attrs = json!({
            "name": format!("YubiKey {algorithm}"), "manufacturerCode": "YK", "productCode": code,
            "algorithm": algorithm, "driver": "ykoath",
        });
        client.ok("product/create", json!({ "attrs": attrs }));
    }
}

/// Imports an HOTP token with the RFC secret and assigns it to alice with the PIN 1234.
pub fn give_alice_a_token(client: &Client, serial: &str) {
    import_hotp(client, &format!("{serial},{RFC_SECRET_HEX}\n"));
    let assign = json!({"token": {"serial": serial}, "user": alice(), "attrs": {"pin": "1234"}});
    client.ok("token/assign", assign);
}

/// The selector of one of the products.
pub fn product(code: &str) -> Json {
    json!({"manufacturerCode": "YK", "productCode": code})
}

/// Imports HOTP tokens from lines `serial,hexkey`.
pub fn import_hotp(client: &Client, csv: &str) -> Json {
    client.ok(
        "token/import",
        json!({"attrs": {"product": product("OH"), "data": csv}, "return": ["id", "serial"]}),
    )
}

/// The selector of alice.
pub fn alice() -> Json {
    json!({"domain": {"name": "acme"}, "loginName": "alice"})
}

/// Asks for alice; `true` if she is let in.
pub fn alice_is_let_in(client: &Client, typed: &str) -> bool {
    let answer = client.ok("auth/verify", json!({"user": alice(), "credential": {"otp": typed}}));
    answer["accepted"].as_bool().expect("auth/verify must say whether it accepted")
}

/// Asks for a token by its serial; `true` if its holder is let in.
pub fn token_is_let_in(client: &Client, serial: &str, typed: &str) -> bool {
    let question = json!({"token": {"serial": serial}, "credential": {"otp": typed}});
    let answer = client.ok("auth/verify", question);
    answer["accepted"].as_bool().expect("auth/verify must say whether it accepted")
}

/// Asks until there is an answer. Only for what tells nobody when it has happened, such as another process.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a job is in a state, and returns it.
pub fn wait_for_job(client: &Client, job: &Json, state: &str) -> Json {
    let mut last = Json::Null;
    eventually(&format!("job {job} in state {state}"), || {
        last = client.ok("job/get", json!({ "job": job }));
        (last["state"] == state).then(|| last.clone())
    })
}

/// Waits until a device takes calls.
pub fn wait_for_device(client: &Client, id: &str) -> Json {
    eventually(&format!("device {id}"), || {
        let list = client.ok("device/list", json!({}));
        let rows = list["rows"].as_array().expect("a list").clone();
        rows.into_iter().find(|row| row["id"] == id && row["state"] == "ready")
    })
}

/// Looks again and again, for at most 20 s, until `look` finds something.
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: never seen");
        std::thread::sleep(Duration::from_millis(10));
    }
}
