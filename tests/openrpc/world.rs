//! The few objects that the examples of the method table speak of.

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::{Human, VirtualCard};
use firmware_fixtures::credential::Credential;
use firmware_fixtures::firmware::Firmware;
use rcgen::KeyPair;
use serde_json::{Value as Json, json};

use crate::support::RFC_SECRET_HEX;
use crate::support::agents;
use crate::support::client::Client;
use crate::support::in_process::InProcess;

/// A server with that world, and the key whose job waits for a passcode.
pub struct World {
    pub server: InProcess,
    waiting: VirtualCard,
    /// The hash of the group `O=Head Office, L=London, C=GB`.
    group: String,
    /// A pre-auth token for `O=Helpdesk, L=London, C=GB`.
    token: String,
    /// The agent `O=Front Desk, L=Berlin, C=DE`.
    agent: Client,
}

impl World {
    /// Puts into an example what is another one each time.
    pub fn fill_in(&self, method: &str, params: &mut Json) {
        let request = || agents::request(&KeyPair::generate().expect("a key"));
        match method {
            "job/confirm" => {
                params["passcode"] = self.waiting.press("fobd:87654321").expect("a passcode").into();
            }
            "agent/register" => {
                params["group"] = self.group.as_str().into();
                params["token"] = self.token.as_str().into();
                params["request"] = request().into();
            }
            "agent/renew" => params["request"] = request().into(),
            _ => {}
        }
    }

    /// Who calls a method: the admin, but for what agents do for themselves, and what needs no login.
    pub fn client(&self, method: &str) -> Client {
        match method {
            "agent/renew" => self.agent.clone(),
            "agent/register" => Client::stranger(&self.server.client.base),
            _ => self.server.client.clone(),
        }
    }

    /// - `john.smith` has the token 10000001 with the PIN 1234.
    /// - `jane.doe` has 10000007 to 10000012 and 10000017 with the same PIN, and the app `APP-1`.
    /// - The tokens 10000001 to 10000020 have the secret of the RFCs.
    /// - There is a group with the agent `O=Front Desk, L=Berlin, C=DE`.
    /// - A YubiKey with a foreign credential is plugged in; another one was, and its job waits.
    pub fn make() -> Self {
        let server = InProcess::start(VirtualBus::new());
        let client = &server.client;
        client.ok("domain/create", json!({"attrs": {"name": "example.com", "description": "Head office"}}));
        client.ok("domain/create", json!({"attrs": {"name": "old.example.com"}}));
        for (login, email) in [("john.smith", "john.smith@example.com"), ("jane.doe", ""), ("left.early", "")]
        {
            let attrs = json!({"domain.name": "example.com", "loginName": login, "email": email});
            client.ok("user/create", json!({ "attrs": attrs }));
        }
        for code in ["CARD", "OLD"] {
            let attrs = json!({
                "name": "Card", "manufacturerCode": "EX", "productCode": code, "algorithm": "OATH TOTP",
            });
            client.ok("product/create", json!({ "attrs": attrs }));
        }
        for (name, description) in [("Berlin", "Second floor"), ("Old cupboard", "")] {
            let attrs = json!({"name": name, "description": description});
            client.ok("repository/create", json!({ "attrs": attrs }));
        }
        let file: String =
            (1..=20).map(|number| format!("{},{RFC_SECRET_HEX}\n", 10_000_000 + number)).collect();
        let hotp = json!({"manufacturerCode": "OATH", "productCode": "HOTP"});
        client.ok("token/import", json!({"attrs": {"product": hotp, "data": file}}));
        let user = |login: &str| json!({"domain.name": "example.com", "loginName": login});
        let assign = |serial: &str, login: &str, attrs: Json| {
            let params = json!({"token": {"serial": serial}, "user": user(login), "attrs": attrs});
            client.ok("token/assign", params);
        };
        assign("10000001", "john.smith", json!({"pin": "1234"}));
        for number in [7, 8, 9, 10, 11, 12, 17] {
            assign(&(10_000_000 + number).to_string(), "jane.doe", json!({"pin": "1234"}));
        }
        let app = json!({"manufacturerCode": "DN", "productCode": "MT"});
        client.ok(
            "token/create",
            json!({"attrs": {"product": app, "serial": "APP-1", "user": user("jane.doe")}}),
        );
        client.ok("token/disable", json!({"token": {"serial": "10000011"}}));

        let waiting = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 87_654_321);
        waiting.set_human(Human::NeverTouches);
        let device = server.plug_in(&waiting);
        let key = json!({"manufacturerCode": "YK", "productCode": "HOTP"});
        client.ok(
            "device/program",
            json!({"device": device, "product": key, "attrs": {"touch": true}, "wait": 30}),
        );
        server.pull_out(&waiting);
        let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 12_345_678);
        card.install(Credential::hotp("Example:john", b"12345678901234567890", 0));
        server.plug_in(&card);
        let group = agents::group(&server.client, "O=Head Office, L=London, C=GB");
        let token = agents::preauth(&server.client, &group, "O=Helpdesk, L=London, C=GB", None);
        let desk = "O=Front Desk, L=Berlin, C=DE";
        let first = agents::preauth(&server.client, &group, desk, None);
        let agent = agents::register(&server.client.base, &group, desk, &first).expect("an agent");
        let agent = agent.client(&server.over_tls());
        Self { server, waiting, group, token, agent }
    }
}
