//! The tokens on the disk: what they are, and how their clients ask for them.

use std::time::{SystemTime, UNIX_EPOCH};

use fobd::otp::algorithm::Algorithm;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::client::Client;
use crate::otp_oracle::passcode;

/// The PIN that every token with a PIN begins with.
pub const FIRST_PIN: &str = "1000";
const TOKENS: usize = 40;
/// So many that among thousands of spent passcodes none is, by chance, also that of a factor in reach.
const DIGITS: u32 = 10;
/// Short, so that a time-based token is used more than once in a run.
const TIME_STEP: u64 = 10;

/// A token by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Token(pub usize);

impl Token {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TOKENS).map(Self)
    }

    /// Every fifth is time-based.
    pub fn is_timed(self) -> bool {
        self.0 % 5 == 1
    }

    /// Every fifth, another one, belongs to nobody and has no PIN.
    pub fn has_pin(self) -> bool {
        !self.0.is_multiple_of(5)
    }

    pub fn serial(self) -> String {
        format!("T{:04}", self.0)
    }

    /// The token with that serial.
    pub fn of_serial(serial: &str) -> Option<Self> {
        serial.strip_prefix('T')?.parse().ok().map(Self)
    }

    pub fn selector(self) -> Json {
        json!({"serial": self.serial()})
    }

    pub fn user(self) -> Json {
        json!({"domain": {"name": "acme"}, "loginName": format!("owner{}", self.0)})
    }

    fn secret(self) -> String {
        format!("secret of token {:04}", self.0)
    }

    pub fn passcode(self, factor: u64) -> String {
        passcode(self.secret().as_bytes(), Algorithm::Sha1, DIGITS, factor)
    }

    /// What its holder sends to log in.
    pub fn question(self, pin: &str, factor: u64) -> Json {
        let passcode = self.passcode(factor);
        if self.has_pin() {
            json!({"user": self.user(), "credential": {"otp": format!("{pin}{passcode}")}})
        } else {
            json!({"token": self.selector(), "credential": {"otp": passcode}})
        }
    }

    /// The factor that it shows next if no factor from `unused` on was sent; `None` if its next one is too far in the
    /// future to be taken, with `ahead` steps allowed.
    pub fn next_factor(self, unused: u64, ahead: u64) -> Option<u64> {
        if !self.is_timed() {
            return Some(unused);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / TIME_STEP;
        (unused <= now + ahead).then_some(unused.max(now))
    }
}

/// Makes users, products and tokens.
pub fn prepare(client: &Client) {
    client.ok("domain/create", json!({"attrs": {"name": "acme"}}));
    for (code, algorithm) in [("OH", "OATH HOTP"), ("OT", "OATH TOTP")] {
        let mut attrs = json!({
            "name": algorithm, "manufacturerCode": "YK", "productCode": code, "algorithm": algorithm,
            "digits": DIGITS,
        });
        let timed = code == "OT";
        if timed {
            attrs["timer"] = TIME_STEP.into();
        }
        client.ok("product/create", json!({ "attrs": attrs }));
        let hex = |secret: String| secret.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        let tokens = Token::all().filter(|token| token.is_timed() == timed);
        let rows = tokens.map(|token| format!("{},{}\n", token.serial(), hex(token.secret())));
        import(client, code, &rows.collect::<String>());
    }
    for token in Token::all().filter(|token| token.has_pin()) {
        client.ok("user/create", json!({"attrs": token.user()}));
        let assign = json!({"token": token.selector(), "user": token.user(), "attrs": {"pin": FIRST_PIN}});
        client.ok("token/assign", assign);
    }
}

fn import(client: &Client, code: &str, rows: &str) {
    let product = json!({"manufacturerCode": "YK", "productCode": code});
    client.ok("token/import", json!({"attrs": {"product": product, "data": rows}}));
}
