//! Defects that a review found, each as the fact that holds now.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::VirtualCard;
use firmware_fixtures::firmware::Firmware;
use fobd::access::Caller;
use fobd::model::id::{AssignmentId, TokenId, UserId};
use fobd::model::role::Role;
use fobd::model::status::AssignmentStatus;
use fobd::service::erase::{self, EraseRequest};
use fobd::service::error::Error;
use fobd::service::inventory::Selector;
use fobd::service::program::{self, ProgramRequest, Target};
use fobd::store::assignments::NewAssignment;
use serde_json::{Value as Json, json};

use crate::support::client::Client;
use crate::support::in_process::InProcess;
use crate::support::{
    RFC_SECRET_HEX, alice, alice_is_let_in, furnish, give_alice_a_token, import_hotp, product,
    token_is_let_in, wait_for_job,
};

/// Passcodes of RFC 4226 appendix D, by counter.
const RFC: [&str; 10] =
    ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];

fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    server
}

fn token(serial: &str) -> Json {
    json!({"token": {"serial": serial}})
}

fn make_bob(client: &Client) -> Json {
    client.ok("user/create", json!({"attrs": {"domain.name": "acme", "loginName": "bob"}}));
    json!({"domain": {"name": "acme"}, "loginName": "bob"})
}

#[test]
fn no_reset_takes_the_resync_off_a_token_that_was_set_back() {
    let server = server();
    give_alice_a_token(&server.client, "1001");
    assert!(alice_is_let_in(&server.client, &format!("1234{}", RFC[0])));
    server.client.ok("token/reset", json!({"token": {"serial": "1001"}, "attrs": {"counter": 0}}));
    server.with_role("helpdesk").ok("token/reset", token("1001"));
    assert!(!alice_is_let_in(&server.client, &format!("1234{}", RFC[0])), "a spent passcode");
    server
        .with_role("helpdesk")
        .ok("token/reset", json!({"token": {"serial": "1001"}, "attrs": {"counter": 0}}));
    assert!(!alice_is_let_in(&server.client, &format!("1234{}", RFC[0])), "a spent passcode");
}

#[test]
fn wrong_pins_and_resyncs_count_on_the_source_as_well() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let source = |number: u8| format!("192.0.2.{number}");
    let change = |old: &str, source: String| {
        let attrs = json!({"oldPin": old, "pin": "5678"});
        let params = json!({"token": {"serial": "1001"}, "user": alice(), "attrs": attrs, "source": source});
        client.call("token/changePin", params).map_err(|error| error.kind)
    };
    let sync = |credential: String, source: String| {
        let params = json!({"token": {"serial": "1001"}, "credential": credential, "source": source});
        client.call("token/syncToken", params).map_err(|error| error.kind)
    };
    let refused = |kind: &str| Err(kind.to_owned());
    // Staff keep the token and its user open, and not where the guesses come from.
    let open = || client.ok("token/reset", token("1001"));
    for _ in 0..10 {
        assert_eq!(change("0000", source(1)), refused("credentials.incorrect"));
        assert_eq!(sync("000000,000001".to_owned(), source(2)), refused("token.sync_failed"));
        open();
    }
    assert_eq!(change("1234", source(1)), refused("credentials.incorrect"), "locked");
    assert_eq!(sync(format!("{},{}", RFC[0], RFC[1]), source(2)), refused("token.locked"));
    assert_eq!(sync(format!("{},{}", RFC[0], RFC[1]), source(3)), Ok(json!({})));
    assert_eq!(change("1234", source(3)), Ok(json!({})));
    assert_eq!(change("5678", "x".repeat(65)), refused("request.invalid"));
}

#[test]
fn a_deceased_token_is_not_brought_back_by_setting_its_status() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let set = |status: &str| {
        client.call("token/set", json!({"token": {"serial": "1001"}, "attrs": {"status": status}}))
    };
    assert_eq!(set("DECEASED"), Ok(json!({})));
    assert_eq!(set("ACTIVE").unwrap_err().kind, "object.in_use");
    assert_eq!(set("DISABLED").unwrap_err().kind, "object.in_use");
    assert_eq!(set("DECEASED"), Ok(json!({})));
    assert!(!alice_is_let_in(client, &format!("1234{}", RFC[0])));
}

#[test]
fn a_deceased_token_gets_no_user_and_no_secret() {
    let server = server();
    let client = &server.client;
    let device = server.plug_in(&VirtualCard::new(Firmware::YUBIKEY_5_4_3, 12_345_678));
    import_hotp(client, &format!("1001,{RFC_SECRET_HEX}\n"));
    client.ok("token/retire", token("1001"));
    let assign = json!({"token": {"serial": "1001"}, "user": alice()});
    assert_eq!(client.error("token/assign", assign).kind, "object.in_use");
    let csv = "domain,loginName,manufacturerCode,productCode,serial\nacme,alice,YK,OH,1001\n";
    let refused = client.error("token/batchAssignTokens", json!({"attrs": {"csv": csv}}));
    assert_eq!(refused.rows, json!([{"line": 2, "problem": "serial: the token is DECEASED"}]));
    let program = json!({"device": device, "token": {"serial": "1001"}});
    assert_eq!(client.error("device/program", program).kind, "object.in_use");
    let shown =
        client.ok("token/get", json!({"token": {"serial": "1001"}, "return": ["programmed", "users"]}));
    assert_eq!(shown, json!({"programmed": false, "users": {"elements": []}}));
}

#[test]
fn a_link_is_worth_nothing_once_its_user_has_lost_the_token() {
    let server = server();
    let client = &server.client;
    let bob = make_bob(client);
    let mobile = json!({"manufacturerCode": "DN", "productCode": "MT"});
    client.ok("token/create", json!({"attrs": {"product": mobile, "serial": "APP", "user": alice()}}));
    let link = client.ok("token/getDownloadUrl", json!({"token": {"serial": "APP"}, "user": alice()}));
    client.ok("token/unassign", json!({"token": {"serial": "APP"}, "user": alice()}));
    client.ok("token/assign", json!({"token": {"serial": "APP"}, "user": bob}));
    let path = link.as_str().unwrap().strip_prefix(&client.base).unwrap().to_owned();
    let (status, text) = client.get(&path).unwrap();
    assert_eq!((status, text.contains("secret")), (410, false), "{text}");
}

#[test]
fn a_look_at_the_head_of_a_link_does_not_spend_it() {
    let server = server();
    let client = &server.client;
    let mobile = json!({"manufacturerCode": "DN", "productCode": "MT"});
    client.ok("token/create", json!({"attrs": {"product": mobile, "serial": "APP"}}));
    let link = client.ok("token/getDownloadUrl", token("APP"));
    let link = link.as_str().unwrap();
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let head = ureq::Agent::from(config).head(link).call().unwrap();
    assert_eq!(head.status().as_u16(), 405);
    assert_eq!(client.get(link.strip_prefix(&client.base).unwrap()).unwrap().0, 200);
}

#[test]
fn a_wrong_return_list_is_found_out_before_anything_is_spent_or_made() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let question = json!({
        "user": alice(), "credential": {"otp": format!("1234{}", RFC[0])}, "return": ["nonsense"]
    });
    assert_eq!(client.error("auth/verify", question).kind, "attribute.unknown");
    assert!(alice_is_let_in(client, &format!("1234{}", RFC[0])));

    import_hotp(client, &format!("1002,{RFC_SECRET_HEX}\n"));
    let assign = json!({"attrs": {"token": {"serial": "1002"}, "user": alice()}, "return": ["nonsense"]});
    assert_eq!(client.error("tokenAssignment/create", assign).kind, "attribute.unknown");
    assert_eq!(client.ok("tokenAssignment/search", json!({}))["total"], 1);
}

#[test]
fn the_answers_of_a_batch_are_bounded() {
    let server = server();
    let calls: Vec<Json> =
        (0..1000).map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "rpc.discover"})).collect();
    let body = Json::from(calls).to_string();
    let client = server.with_role("station");
    let (status, answers) = client.post("/rpc", &body).unwrap();
    let answers = answers.as_array().unwrap();
    assert_eq!((status, answers.len()), (200, 1000));
    assert!(answers[0]["result"].is_object());
    let last = &answers[999]["error"];
    assert_eq!((&last["data"]["kind"], &answers[999]["id"]), (&json!("answer.too_large"), &json!(999)));
}

#[test]
fn a_long_return_list_is_refused_before_it_is_spelled_out() {
    let server = server();
    let stars = vec!["*"; 300_000];
    let started = std::time::Instant::now();
    let error = server.client.error("token/search", json!({ "return": stars }));
    assert_eq!(error.message, "`return` may have at most 500 attributes");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn sorting_takes_so_many_assignments_only_that_the_writer_is_not_kept_busy() {
    let server = server();
    give_alice_a_token(&server.client, "1001");
    let ids = |count: usize| json!({ "ids": vec!["a1"; count] });
    server.client.ok("tokenAssignment/sort", ids(1000));
    assert_eq!(
        server.client.error("tokenAssignment/sort", ids(1001)).message,
        "`ids` may have at most 1000 elements"
    );
}

#[test]
fn a_login_name_with_a_backslash_is_not_set_either() {
    let server = server();
    let params = json!({"user": alice(), "attrs": {"loginName": "acme\\bob"}});
    assert_eq!(server.client.error("user/set", params).kind, "request.invalid");
}

#[test]
fn no_product_is_both_in_an_app_and_in_a_device() {
    let server = server();
    let client = &server.client;
    let both = json!({
        "name": "Both", "manufacturerCode": "EX", "productCode": "BOTH", "algorithm": "OATH HOTP",
        "driver": "ykoath", "software": true,
    });
    let problem = "`attrs.driver` must be empty: the secrets of a software product can be handed out";
    assert_eq!(client.error("product/create", json!({ "attrs": both })).message, problem);
    let mobile = json!({"manufacturerCode": "DN", "productCode": "MT"});
    let set =
        |driver: &str| client.call("product/set", json!({"product": mobile, "attrs": {"driver": driver}}));
    assert_eq!(set("ykoath").unwrap_err().message, problem);
    assert_eq!(set(""), Ok(json!({})));
}

#[test]
fn every_text_that_is_kept_has_a_limit() {
    let server = server();
    let client = &server.client;
    let long = "x".repeat(256);
    for name in ["firstName", "lastName", "email", "mobile", "telephone", "userPrincipalName"] {
        let attrs = json!({"domain.name": "acme", "loginName": "bob", name: long});
        let problem = format!("`attrs.{name}` must have at most 255 characters");
        assert_eq!(client.error("user/create", json!({ "attrs": attrs })).message, problem);
        let params = json!({"user": alice(), "attrs": {name: long}});
        assert_eq!(client.error("user/set", params).message, problem);
    }
    let device = server.plug_in(&VirtualCard::new(Firmware::YUBIKEY_5_4_3, 12_345_678));
    let error = client.error("device/erase", json!({"device": device, "slot": long}));
    assert_eq!(error.message, "`slot` must have at most 255 characters");
    assert_eq!(client.ok("job/search", json!({}))["total"], 0);
}

#[test]
fn a_verifier_is_not_shown_who_the_users_are() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    client.ok("user/set", json!({"user": alice(), "attrs": {"mobile": "+49 170 1"}}));
    let verifier = server.with_role("verifier");
    for wanted in [
        json!(["user.mobile"]),
        json!([{"user": ["mobile"]}]),
        json!(["user"]),
        json!(["token.serial", "user.domain.name"]),
    ] {
        let asked = json!({"user": alice(), "return": wanted});
        assert_eq!(verifier.error("auth/listTokenAssignments", asked).kind, "permission.denied", "{wanted}");
    }
    let question = json!({
        "user": alice(), "credential": {"otp": format!("1234{}", RFC[0])},
        "return": ["serial", {"users": [{"elements": ["mobile"]}]}]
    });
    assert_eq!(verifier.error("auth/verify", question.clone()).kind, "permission.denied");
    assert_eq!(client.ok("auth/verify", question)["users"], json!({"elements": [{"mobile": "+49 170 1"}]}));
    let shown =
        verifier.ok("auth/listTokens", json!({"user": alice(), "return": ["serial", "product.name"]}));
    assert_eq!(shown["rows"], json!([{"serial": "1001", "product.name": "YubiKey OATH HOTP"}]));
}

/// Assigns token t1 to user u1 as a batch does that is still under way.
fn begin_batch(server: &InProcess) -> AssignmentId {
    server
        .block_on(server.app.store.write(|tx| {
            let import = tx.begin_import("token/batchAssignTokens")?;
            let (token, user, status) = (TokenId(1), UserId(1), AssignmentStatus::Active);
            let assignment = NewAssignment { token, user, status, is_owner: true, import: Some(import) };
            Ok::<_, Error>(tx.insert_assignment(&assignment)?)
        }))
        .unwrap()
}

#[test]
fn the_assignments_of_a_batch_under_way_are_neither_shown_nor_changed() {
    let server = server();
    let client = &server.client;
    import_hotp(client, &format!("1001,{RFC_SECRET_HEX}\n1002,{RFC_SECRET_HEX}\n"));
    begin_batch(&server);
    let users = ["users", "assignedUsers", "sharedUsers", "tokenAssignments"];
    let none = json!({"elements": []});
    assert_eq!(
        client.ok("token/get", json!({"token": "t1", "return": users})),
        json!({"users": none, "assignedUsers": none, "sharedUsers": none, "tokenAssignments": none})
    );
    assert_eq!(client.ok("auth/listTokens", json!({"user": alice()})), json!({"total": 0, "rows": []}));
    let both = json!({"token": "t1", "user": "u1"});
    for method in ["token/unassign", "token/unlock"] {
        assert_eq!(client.error(method, both.clone()).kind, "assignment.not_found", "{method}");
    }
    let pin = json!({"token": "t1", "user": "u1", "attrs": {"pin": "1"}});
    assert_eq!(client.error("token/setPin", pin).kind, "assignment.not_found");
    let lost = json!({"token": "t1", "replacement": "t2"});
    assert_eq!(client.error("token/lost", lost).kind, "object.in_use");
    assert_eq!(client.error("token/retire", json!({"token": "t1"})).kind, "object.in_use");
}

fn admin() -> Caller {
    Caller::without_operator("admin", Role::Admin)
}

/// Lets a request get as far as the writer, which is busy, gives the request up there, and lets the writer go on.
fn give_up_while_it_is_saved<T>(server: &InProcess, request: impl Future<Output = T>) {
    let (go, wait) = channel::<()>();
    let (app, behind) = (Arc::clone(&server.app), Arc::clone(&server.app));
    server.block_on(async move {
        let (begun, busy) = tokio::sync::oneshot::channel();
        let writer = tokio::spawn(async move {
            let work = app.store.write(move |_| {
                let _ = begun.send(());
                let _ = wait.recv();
                Ok::<_, Error>(())
            });
            work.await
        });
        busy.await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(3), request).await.is_err(), "it must wait");
        drop(go);
        writer.await.unwrap().unwrap();
        // The writer takes one after the other: what the request asked of it is done before this.
        behind.store.write(|_| Ok::<_, Error>(())).await.unwrap();
    });
}

#[test]
fn a_job_comes_to_its_end_though_its_caller_goes_away_while_it_is_reserved() {
    let server = server();
    let client = &server.client;
    let id = server.plug_in(&VirtualCard::new(Firmware::YUBIKEY_5_4_3, 12_345_678));
    let Json::Object(model) = product("OH") else { panic!("an object") };
    let request = ProgramRequest {
        device: id.parse().unwrap(),
        slot: None,
        target: Target::Product(Selector::Attributes(model), None),
        user: None,
        pin: None,
        touch: false,
        unlock: None,
        wait: Duration::ZERO,
    };
    give_up_while_it_is_saved(&server, program::program(&server.app, &admin(), request));
    wait_for_job(client, &json!("j1"), "ready");
    let request =
        EraseRequest { device: id.parse().unwrap(), slot: "fobd:12345678".to_owned(), unlock: None };
    give_up_while_it_is_saved(&server, erase::erase(&server.app, &admin(), request));
    wait_for_job(client, &json!("j2"), "ready");
    assert!(!token_is_let_in(client, "12345678", RFC[0]));
}
