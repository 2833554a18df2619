//! The document's requests in their repaired form, one after another, over both envelopes, and its leniences.

use firmware_fixtures::attach::VirtualBus;
use serde_json::{Value as Json, json};

use crate::support::client::Client;
use crate::support::in_process::InProcess;

/// Asks in one of the two envelopes; both must lead to the same.
#[derive(Clone, Copy, Debug)]
enum Envelope {
    JsonRpc,
    Das5,
}

const BOTH: [Envelope; 2] = [Envelope::JsonRpc, Envelope::Das5];

impl Envelope {
    /// The result; `null` where the document prints none.
    fn ask(self, client: &Client, method: &str, params: &Json) -> Json {
        match self {
            Self::JsonRpc => {
                let result = client.ok(method, params.clone());
                if result == json!({}) { Json::Null } else { result }
            }
            Self::Das5 => {
                let answer = client.das5(method, params);
                assert_eq!(answer["error"], json!(0), "{method}: {answer}");
                answer["result"].clone()
            }
        }
    }
}

/// A fresh server with the objects that the document names: domain, user, products.
fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    let client = &server.client;
    client.ok("domain/create", json!({"attrs": {"name": "domain.com"}}));
    client.ok("domain/create", json!({"attrs": {"name": "test domain"}}));
    for domain in ["domain.com", "test domain"] {
        client.ok("user/create", json!({"attrs": {"domain.name": domain, "loginName": "john.smith"}}));
    }
    server
}

fn id_of(client: &Client, method: &str, conditions: Json) -> Json {
    client.ok(method, json!({"match": conditions, "return": ["id"]}))["rows"][0]["id"].clone()
}

const RFC_HEX: &str = "3132333435363738393031323334353637383930";

#[test]
fn every_request_of_the_document_succeeds_over_both_envelopes() {
    for envelope in BOTH {
        let server = server();
        let client = &server.client;
        let ask = |method: &str, params: Json| envelope.ask(client, method, &params);
        let mobile_id = id_of(
            client,
            "product/search",
            json!([["manufacturerCode", "=", "DN"], ["productCode", "=", "MT"]]),
        );
        let user = id_of(client, "user/search", json!([["domain.name", "=", "domain.com"]]));

        // 1: ids in dotted paths.
        let first = ask(
            "token/create",
            json!({"attrs": {"product.id": mobile_id, "user.id": user, "pin": "tokenpin"}}),
        );
        assert_eq!(first.as_object().map(serde_json::Map::len), Some(1), "{first}");
        // 2: codes and names, with the slip that every printed version has.
        let second = ask(
            "token/create",
            json!({"attrs": {
                "product": {"manufacturerCode": "DN", "productCode": "MT"},
                "user": {"domain.name": "domain.com", "loginNam": "john.smith"},
                "pin": "tokenpin",
            }}),
        );
        assert_ne!(first["id"], second["id"]);

        // 3: with a user it only unassigns, and all members must agree.
        let domain = id_of(client, "domain/search", json!([["name", "=", "domain.com"]]));
        let other = id_of(client, "domain/search", json!([["name", "=", "test domain"]]));
        let unassign = |domain: &Json| json!({"id": first["id"], "user": {"id": user, "domain.id": domain, "loginName": "john.smith"}});
        assert_eq!(client.error("token/delete", unassign(&other)).kind, "user.not_found");
        assert_eq!(ask("token/delete", unassign(&domain)), Json::Null);
        let left = client.ok("token/get", json!({"id": first["id"], "return": ["users"]}));
        assert_eq!(left["users"]["elements"], json!([]));
        assert_eq!(ask("token/delete", json!({"id": first["id"]})), Json::Null);
        assert_eq!(client.error("token/get", json!({"id": first["id"]})).kind, "token.not_found");

        // 7: import, before there is a token 10000000 to reset.
        let product = id_of(
            client,
            "product/search",
            json!([["manufacturerCode", "=", "OATH"], ["productCode", "=", "HOTP"]]),
        );
        let repository = id_of(client, "repository/search", json!([["name", "=", "Default"]]));
        let data = format!("1001,{RFC_HEX}\n1002,{RFC_HEX}\n10000000,{RFC_HEX}\n");
        let imported = ask(
            "token/import",
            json!({
                "attrs": {"product.id": product, "repository.id": repository, "data": data},
                "return": ["id", "serial"],
            }),
        );
        assert_eq!(imported["total"], json!(3));
        let serials: Vec<&Json> =
            imported["rows"].as_array().unwrap().iter().map(|row| &row["serial"]).collect();
        assert_eq!(serials, ["1001", "1002", "10000000"]);

        let token = json!({"token": {"serial": "10000000"}});
        // 4: reset; the counter is 0 already, so nothing has to be synced.
        let reset = json!({"token": {"serial": "10000000"}, "attrs": {"counter": 0}});
        assert_eq!(ask("token/reset", reset), Json::Null);
        assert_eq!(ask("token/reset", token.clone()), Json::Null);
        // 5 and 6.
        assert_eq!(ask("token/confine", token.clone()), Json::Null);
        assert_eq!(ask("token/release", token.clone()), Json::Null);
        // 8: sync, for the user who has the token.
        client.ok("token/assign", json!({"token": {"serial": "10000000"}, "user": {"id": user}}));
        let sync =
            json!({"user": {"id": user}, "token": {"serial": "10000000"}, "credential": "969429,338314"});
        assert_eq!(ask("token/syncToken", sync), Json::Null);

        // 9: batch assignment, with the blank before each quote as printed.
        client.ok("token/create", json!({"attrs": {"product.id": mobile_id, "serial": "10000"}}));
        let csv = "domain,loginName,manufacturerCode,productCode,serial,status,pin\n\
                   \"test domain\", \"john.smith\", \"DN\", \"MT\", \"10000\", \"ACTIVE\", \"1234\"";
        assert_eq!(
            ask("token/batchAssignTokens", json!({"attrs": {"csv": csv, "charset": "UTF-8"}})),
            Json::Null
        );
        let assigned = client.ok(
            "tokenAssignment/search",
            json!({
                "match": [["token.serial", "=", "10000"]],
                "return": ["status", "hasPin", "user.loginName", "user.domain.name"],
            }),
        );
        let expected = json!({
            "status": "ACTIVE", "hasPin": true,
            "user.loginName": "john.smith", "user.domain.name": "test domain",
        });
        assert_eq!(assigned, json!({"total": 1, "rows": [expected]}));
    }
}

#[test]
fn attributes_may_come_as_a_list_and_an_import_under_the_name_of_create() {
    for envelope in BOTH {
        let server = server();
        let client = &server.client;
        let listed = json!({"attrs": [
            {"product": {"manufacturerCode": "DN", "productCode": "MT"}}, {"serial": "7"},
        ], "return": ["serial", "product.name"]});
        let made = envelope.ask(client, "token/create", &listed);
        assert_eq!((&made["serial"], &made["product.name"]), (&json!("7"), &json!("MobileID")));
        let product = json!({"manufacturerCode": "OATH", "productCode": "HOTP"});
        let import =
            json!({"attrs": {"product": product, "data": format!("8,{RFC_HEX}\n")}, "return": ["serial"]});
        let imported = envelope.ask(client, "token/create", &import);
        assert_eq!(imported, json!({"total": 1, "rows": [{"serial": "8"}]}));
    }
}

fn row_and_field(row: &Json) -> (u64, String) {
    let problem = row["problem"].as_str().unwrap();
    (row["line"].as_u64().unwrap(), problem.split(':').next().unwrap().to_owned())
}

#[test]
fn a_batch_names_every_bad_row_and_assigns_nothing() {
    let server = server();
    let client = &server.client;
    let product = json!({"manufacturerCode": "DN", "productCode": "MT"});
    for serial in ["1", "2", "3"] {
        client.ok("token/create", json!({"attrs": {"product": product, "serial": serial}}));
    }
    let csv = "domain,loginName,manufacturerCode,productCode,serial,status,pin\r\n\
               domain.com,john.smith,DN,MT,1,ACTIVE,1234\r\n\
               nowhere,john.smith,DN,MT,2,ACTIVE,1234\r\n\
               domain.com,nobody,DN,MT,2,ACTIVE,1234\r\n\
               domain.com,john.smith,DN,ST,2,ACTIVE,1234\r\n\
               domain.com,john.smith,DN,MT,2,HAPPY,1234\r\n\
               domain.com,john.smith,DN,MT,1,ACTIVE,1234\r\n\
               domain.com,john.smith,DN,MT,3,ACTIVE\r\n";
    let error = client.error("token/batchAssignTokens", json!({"attrs": {"csv": csv}}));
    assert_eq!(error.kind, "batch.refused");
    let rows: Vec<(u64, String)> = error.rows.as_array().unwrap().iter().map(row_and_field).collect();
    let expected = [(3, "domain"), (4, "loginName"), (5, "serial"), (6, "status"), (7, "serial")];
    assert_eq!(rows, expected.map(|(line, field)| (line, field.to_owned())), "{}", error.rows);
    assert!(error.message.contains("line 3: domain"), "{}", error.message);
    assert!(!error.rows.to_string().contains("1234"), "a PIN is in the answer");
    assert_eq!(client.ok("tokenAssignment/search", json!({}))["total"], json!(0));
    let wrong = json!({"attrs": {"csv": csv, "charset": "EBCDIC-X"}});
    assert!(client.error("token/batchAssignTokens", wrong).message.contains("charset"));
}

#[test]
fn the_secret_of_a_software_token_is_handed_out_by_a_link_that_works_once() {
    let server = server();
    let client = &server.client;
    let product = json!({"manufacturerCode": "GG", "productCode": "GT"});
    let user = json!({"domain": {"name": "domain.com"}, "loginName": "john.smith"});
    client.ok("token/create", json!({"attrs": {"product": product, "serial": "app", "user": user}}));
    let token = json!({"token": {"serial": "app"}});
    let url = client.ok("token/getDownloadUrl", token.clone());
    let path = url.as_str().and_then(|url| url.strip_prefix(client.base.as_str())).unwrap().to_owned();
    let (status, text) = client.get(&path).unwrap();
    assert_eq!(status, 200, "{text}");
    let fetched: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(fetched, client.ok("token/retrieveCredential", token.clone()));
    assert!(fetched["uri"].as_str().unwrap().starts_with("otpauth://totp/"));
    assert_eq!(client.get(&path).unwrap().0, 410, "a link works once");

    // The secret really is the token's: its passcode lets the user in.
    let secret =
        base32::decode(base32::Alphabet::Rfc4648 { padding: false }, fetched["secret"].as_str().unwrap())
            .unwrap();
    let step = 1_767_225_600 / 30;
    let card =
        firmware_fixtures::card::VirtualCard::new(firmware_fixtures::firmware::Firmware::YUBIKEY_5_4_3, 1);
    card.install(firmware_fixtures::credential::Credential::totp("app", &secret));
    let passcode = card.show("app", step).unwrap();
    let question = json!({"user": user, "credential": {"otp": passcode}});
    assert_eq!(client.ok("auth/verify", question), json!({"accepted": true}));

    let late = client.ok("token/getDownloadUrl", token.clone());
    server.clock.advance(std::time::Duration::from_secs(10 * 60));
    let path = late.as_str().unwrap().strip_prefix(client.base.as_str()).unwrap().to_owned();
    assert_eq!(client.get(&path).unwrap().0, 410, "a link is good for ten minutes");

    client.ok("token/confine", token.clone());
    for method in ["token/getDownloadUrl", "token/retrieveCredential"] {
        assert_eq!(client.error(method, token.clone()).kind, "token.confined");
    }
    assert_eq!(
        server.with_role("helpdesk").error("token/retrieveCredential", token).kind,
        "permission.denied"
    );
}

#[test]
fn the_secret_of_hardware_is_never_handed_out() {
    let server = server();
    let client = &server.client;
    let product = json!({"manufacturerCode": "OATH", "productCode": "HOTP"});
    let import = json!({"attrs": {"product": product, "data": format!("1001,{RFC_HEX}\n")}});
    client.ok("token/import", import);
    let user = json!({"domain": {"name": "domain.com"}, "loginName": "john.smith"});
    let assigned = client.ok("token/assign", json!({"token": {"serial": "1001"}, "user": user}));
    let token = json!({"token": {"serial": "1001"}});
    for method in ["token/getDownloadUrl", "token/retrieveCredential"] {
        assert_eq!(client.error(method, token.clone()).kind, "token.not_exportable");
    }
    let picture = json!({"id": assigned["id"]});
    assert_eq!(client.error("tokenAssignment/getTokenQRCode", picture).kind, "token.not_exportable");
}

#[test]
fn a_shared_token_lets_each_user_in_with_an_own_pin_and_each_passcode_only_once() {
    let server = server();
    let client = &server.client;
    let product = json!({"manufacturerCode": "OATH", "productCode": "HOTP"});
    client.ok("token/import", json!({"attrs": {"product": product, "data": format!("1001,{RFC_HEX}\n")}}));
    let user = |domain: &str| json!({"domain": {"name": domain}, "loginName": "john.smith"});
    let (owner, other) = (user("domain.com"), user("test domain"));
    let token = json!({"serial": "1001"});
    client.ok("token/assign", json!({"token": token, "user": owner, "attrs": {"pin": "1111"}}));
    assert_eq!(client.error("token/assign", json!({"token": token, "user": other})).kind, "object.in_use");
    let shared = json!({"attrs": {"token": token, "user": other, "pin": "2222", "isOwner": false}});
    client.ok("tokenAssignment/create", shared);
    let is_let_in = |user: &Json, typed: &str| {
        client.ok("auth/verify", json!({"user": user, "credential": {"otp": typed}}))["accepted"]
            == json!(true)
    };
    assert!(is_let_in(&owner, "1111755224"));
    assert!(!is_let_in(&other, "2222755224"), "spent by the owner");
    assert!(!is_let_in(&other, "1111287082"), "the owner's PIN");
    assert!(is_let_in(&other, "2222359152"));
    let shown = client.ok("token/get", json!({"token": token, "return": [
        {"assignedUsers": [{"elements": ["domain.name"]}]}, {"sharedUsers": [{"elements": ["domain.name"]}]},
    ]}));
    let one = |name: &str| json!({"elements": [{"domain.name": name}]});
    assert_eq!(shown, json!({"assignedUsers": one("domain.com"), "sharedUsers": one("test domain")}));
}

#[test]
fn a_lost_token_is_replaced_with_its_user_and_pin() {
    let server = server();
    let client = &server.client;
    let product = json!({"manufacturerCode": "OATH", "productCode": "HOTP"});
    let data = format!("1001,{RFC_HEX}\n1002,{RFC_HEX}\n");
    client.ok("token/import", json!({"attrs": {"product": product, "data": data}}));
    let user = json!({"domain": {"name": "domain.com"}, "loginName": "john.smith"});
    client.ok("token/assign", json!({"token": {"serial": "1001"}, "user": user, "attrs": {"pin": "4711"}}));
    let is_let_in = |typed: &str| {
        let question = json!({"user": user, "credential": {"otp": typed}});
        client.ok("auth/verify", question)["accepted"] == json!(true)
    };
    assert!(is_let_in("4711755224"));
    client.ok("token/lost", json!({"token": {"serial": "1001"}, "replacement": {"serial": "1002"}}));
    assert!(is_let_in("4711755224"), "the same PIN, and the first passcode of the new token");
    let shown = client.ok("token/get", json!({"token": {"serial": "1001"}, "return": ["status", "users"]}));
    assert_eq!(shown, json!({"status": "DISABLED", "users": {"elements": []}}));
}

#[test]
fn a_pin_is_changed_by_who_knows_the_old_one_and_a_wrong_one_counts() {
    let server = server();
    let client = &server.client;
    let product = json!({"manufacturerCode": "OATH", "productCode": "HOTP"});
    client.ok("token/import", json!({"attrs": {"product": product, "data": format!("1001,{RFC_HEX}\n")}}));
    let user = json!({"domain": {"name": "domain.com"}, "loginName": "john.smith"});
    let token = json!({"serial": "1001"});
    client.ok("token/assign", json!({"token": token, "user": user}));
    let first = json!({"token": token, "user": user, "attrs": {"oldPin": "", "pin": "0815"}});
    assert_eq!(client.error("token/changePin", first).kind, "credentials.incorrect", "there is no old one");
    client.ok("token/reset", json!({"token": token}));
    client.ok("token/assign", json!({"token": token, "user": user, "attrs": {"pin": "4711"}}));
    let change = |old: &str, new: &str| {
        client.call(
            "token/changePin",
            json!({"token": token, "user": user, "attrs": {"oldPin": old, "pin": new}}),
        )
    };
    assert_eq!(change("4712", "0815").unwrap_err().kind, "credentials.incorrect");
    assert_eq!(change("4711", "0815"), Ok(json!({})));
    assert_eq!(change("4711", "0816").unwrap_err().kind, "credentials.incorrect");
    let shown = client.ok("token/get", json!({"token": token, "return": ["failCount"]}));
    assert_eq!(shown, json!({"failCount": 2}));
    let question = json!({"user": user, "credential": {"otp": "0815755224"}});
    assert_eq!(client.ok("auth/verify", question), json!({"accepted": true}));
    for _ in 0..10 {
        assert!(change("0000", "0817").is_err());
    }
    assert!(change("0815", "0817").is_err(), "locked");
    client.ok("token/unlock", json!({"token": token, "user": user}));
    assert_eq!(change("0815", "0817"), Ok(json!({})));
}

#[test]
fn an_assignment_is_good_only_in_its_time_and_for_so_many_passcodes() {
    let server = server();
    let client = &server.client;
    let product = json!({"manufacturerCode": "OATH", "productCode": "HOTP"});
    client.ok("token/import", json!({"attrs": {"product": product, "data": format!("1001,{RFC_HEX}\n")}}));
    let user = json!({"domain": {"name": "domain.com"}, "loginName": "john.smith"});
    let token = json!({"serial": "1001"});
    client.ok("token/assign", json!({"token": token, "user": user}));
    let set = |attrs: Json| {
        client.ok("tokenAssignment/set", json!({"token": token, "user": user, "attrs": attrs}));
    };
    let is_let_in = |typed: &str| {
        let question = json!({"user": user, "credential": {"otp": typed}});
        client.ok("auth/verify", question)["accepted"] == json!(true)
    };
    set(json!({"starts": "2026-01-01T00:01:00Z", "expires": "2026-01-01T00:02:00Z"}));
    assert!(!is_let_in("755224"), "too early");
    server.clock.advance(std::time::Duration::from_secs(60));
    assert!(is_let_in("755224"));
    server.clock.advance(std::time::Duration::from_secs(60));
    assert!(!is_let_in("287082"), "too late");
    set(json!({"expires": null, "usageLimit": 1}));
    assert!(is_let_in("287082"));
    assert!(!is_let_in("359152"), "the limit is used up");
    set(json!({"usageLimit": 0}));
    assert!(is_let_in("969429"));
}

#[test]
fn a_token_file_of_the_original_system_is_told_by_its_content_and_imported() {
    let server = server();
    let client = &server.client;
    let import = |codes: (&str, &str)| {
        let product = json!({"manufacturerCode": codes.0, "productCode": codes.1});
        let attrs = json!({"product": product, "data": include_str!("samples/deepnet.xml")});
        client.call("token/import", json!({"attrs": attrs, "return": ["serial", "timer", "programmed"]}))
    };
    let error = import(("OATH", "HOTP")).unwrap_err();
    assert_eq!(error.kind, "import.refused");
    assert!(error.message.contains("DN/ST"), "{}", error.message);
    let imported = import(("DN", "ST")).unwrap();
    let rows = imported["rows"].as_array().unwrap();
    assert_eq!(json!(rows.len()), imported["total"]);
    assert!(rows.iter().all(|row| row["programmed"] == json!(true) && row["timer"] == json!(30)), "{rows:?}");
    let again = import(("DN", "ST")).unwrap_err();
    assert_eq!(again.kind, "object.exists", "an existing serial refuses the whole import");
    assert_eq!(client.ok("token/search", json!({}))["total"], imported["total"]);
}

#[test]
fn the_qr_code_of_a_software_token_is_a_picture() {
    let server = server();
    let client = &server.client;
    let user = json!({"domain": {"name": "domain.com"}, "loginName": "john.smith"});
    let product = json!({"manufacturerCode": "DN", "productCode": "MT"});
    client.ok("token/create", json!({"attrs": {"product": product, "serial": "app", "user": user}}));
    let picture =
        client.ok("tokenAssignment/getTokenQRCode", json!({"user": user, "token": {"serial": "app"}}));
    let bytes = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        picture.as_str().expect("base64 text"),
    )
    .unwrap();
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
}
