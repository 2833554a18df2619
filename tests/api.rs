//! The token API over both envelopes: one good call of each method, selectors, and what is refused.

mod hostile;
mod import;
mod search;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::{Human, VirtualCard};
use firmware_fixtures::firmware::Firmware;
use serde_json::{Value as Json, json};

use crate::support::client::Client;
use crate::support::in_process::InProcess;
use crate::support::{alice, alice_is_let_in, furnish, give_alice_a_token, import_hotp, product};

/// Passcodes of RFC 4226 appendix D, by counter.
const RFC: [&str; 10] =
    ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];

fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    server
}

/// The same call over the other envelope, which must succeed.
fn das5(client: &Client, method: &str, params: &Json) -> Json {
    let mut answer = client.das5(method, params);
    assert_eq!(answer["error"], 0, "{method}: {answer}");
    answer.as_object_mut().and_then(|answer| answer.remove("result")).unwrap_or_default()
}

/// Asks over both envelopes for what changes nothing; they must agree.
fn both(client: &Client, method: &str, params: Json) -> Json {
    let result = client.ok(method, params.clone());
    assert_eq!(das5(client, method, &params), result, "{method}");
    result
}

/// The kind of error that a call ends in, in both envelopes.
fn kind(client: &Client, method: &str, params: &Json) -> String {
    let error = client.error(method, params.clone());
    let answer = client.das5(method, params);
    assert_eq!(
        (&answer["message"], &answer["data"]["kind"], &answer["severity"], answer.get("result")),
        (&json!(error.message), &json!(error.kind), &json!("ERROR"), None),
        "{method}"
    );
    assert!(answer["error"].as_i64().is_some_and(|number| number > 0), "{answer}");
    error.kind
}

/// How much of everything there is.
fn totals(client: &Client) -> Vec<Json> {
    ["domain", "user", "product", "repository", "token", "tokenAssignment", "job"]
        .map(|object| client.ok(&format!("{object}/search"), json!({}))["total"].clone())
        .to_vec()
}

#[test]
fn directory_and_catalogue_are_filled_over_both_envelopes() {
    let server = InProcess::start(VirtualBus::new());
    let client = &server.client;
    let create = |method: &str, first: Json, second: Json| {
        let made = client.ok(method, json!({ "attrs": first }));
        assert_eq!(
            das5(client, method, &json!({"attrs": second, "return": ["id"]}))
                .as_object()
                .map(|made| made.len()),
            Some(1)
        );
        made
    };
    let named = |name: &str| json!({"name": name, "description": "made by a test"});
    assert_eq!(create("domain/create", named("acme"), named("beta")), json!({"id": "d1"}));
    let user =
        |login: &str| json!({"domain.name": "acme", "loginName": login, "firstName": "Al", "email": "a@b.c"});
    assert_eq!(create("user/create", user("alice"), user("bob")), json!({"id": "u1"}));
    let model = |code: &str| json!({"name": "key", "manufacturerCode": "ZZ", "productCode": code, "algorithm": "OATH TOTP", "timer": 60});
    create("product/create", model("A"), model("B"));
    create("repository/create", named("London"), named("Paris"));
    for (method, matched, row) in [
        ("domain/search", ["name", "=", "acme"], json!({"name": "acme", "description": "made by a test"})),
        (
            "user/search",
            ["loginName", "=", "alice"],
            json!({"loginName": "alice", "firstName": "Al", "lastName": "", "email": "a@b.c", "status": "ACTIVE"}),
        ),
        (
            "product/search",
            ["productCode", "=", "A"],
            json!({
                "name": "key", "manufacturerCode": "ZZ", "productCode": "A", "algorithm": "OATH TOTP",
                "timer": 60, "hash": "SHA1", "digits": 6, "driver": "",
            }),
        ),
        (
            "repository/search",
            ["name", "=", "London"],
            json!({"name": "London", "description": "made by a test"}),
        ),
    ] {
        let wanted: Vec<&String> = row.as_object().expect("an object").keys().collect();
        let found = both(client, method, json!({"match": [matched], "return": wanted}));
        assert_eq!(found, json!({"total": 1, "rows": [row]}), "{method}");
    }
}

#[test]
fn tokens_are_made_shown_changed_and_deleted_over_both_envelopes() {
    let server = server();
    let client = &server.client;
    let before = totals(client);
    let attrs = json!({"product": product("OH"), "serial": "S1", "description": "blue"});
    let wanted = json!(["id", "serial", "product.name"]);
    assert_eq!(
        client.ok("token/create", json!({"attrs": attrs, "return": wanted})),
        json!({"id": "t1", "serial": "S1", "product.name": "YubiKey OATH HOTP"})
    );
    assert_eq!(
        das5(client, "token/create", &json!({"attrs": {"product": product("OT")}})),
        json!({"id": "t2"})
    );
    let shown = both(client, "token/get", json!({"id": "t1", "return": ["serial", "status", "programmed"]}));
    assert_eq!(shown, json!({"serial": "S1", "status": "ACTIVE", "programmed": false}));
    let set = |id: &str, status: &str| json!({"id": id, "attrs": {"status": status, "description": "red"}});
    assert_eq!(client.ok("token/set", set("t1", "DISABLED")), json!({}));
    assert_eq!(client.das5("token/set", &set("t2", "DISABLED")), json!({"error": 0}));
    let disabled = json!({"match": [["status", "=", "DISABLED"]], "return": ["id", "description"]});
    let rows = json!([{"id": "t1", "description": "red"}, {"id": "t2", "description": "red"}]);
    assert_eq!(both(client, "token/search", disabled), json!({"total": 2, "rows": rows}));
    let assign = |id: &str| json!({"token": id, "user": alice(), "attrs": {"pin": "1234"}});
    assert_eq!(client.ok("token/assign", assign("t1")), json!({"id": "a1"}));
    assert_eq!(das5(client, "token/assign", &assign("t2")), json!({"id": "a2"}));
    let assignments = json!({"return": ["status", "hasPin", "token.id", "user.loginName"], "max": 1});
    let row = json!({"status": "ACTIVE", "hasPin": true, "token.id": "t1", "user.loginName": "alice"});
    assert_eq!(both(client, "tokenAssignment/search", assignments), json!({"total": 2, "rows": [row]}));
    assert_eq!(client.ok("token/delete", json!({"id": "t1"})), json!({}));
    assert_eq!(client.das5("token/delete", &json!({"token": {"id": "t2"}})), json!({"error": 0}));
    assert_eq!(totals(client), before);
}

#[test]
fn tokens_are_imported_verified_synced_and_reset_over_both_envelopes() {
    let server = server();
    let client = &server.client;
    let secret = crate::support::RFC_SECRET_HEX;
    assert_eq!(
        import_hotp(client, &format!("1001,{secret}\n")),
        json!({"total": 1, "rows": [{"id": "t1", "serial": "1001"}]})
    );
    let data = format!("1002,{secret}\n1003,{secret}\n");
    let import = json!({"attrs": {"product": product("OH"), "data": data}, "return": ["serial"]});
    assert_eq!(
        das5(client, "token/import", &import),
        json!({"total": 2, "rows": [{"serial": "1002"}, {"serial": "1003"}]})
    );
    let verify = |otp: &str| json!({"token": {"serial": "1001"}, "credential": {"otp": otp}});
    assert_eq!(client.ok("auth/verify", verify(RFC[0])), json!({"accepted": true}));
    assert_eq!(client.das5("auth/verify", &verify(RFC[1])), json!({"error": 0}));
    let mut telling = verify(RFC[2]);
    telling["return"] = json!(["serial", "counter"]);
    let told = json!({"accepted": true, "serial": "1001", "counter": 3});
    assert_eq!(client.ok("auth/verify", telling.clone()), told);
    telling["credential"]["otp"] = json!(RFC[3]);
    assert_eq!(das5(client, "auth/verify", &telling), json!({"serial": "1001", "counter": 4}));
    assert_eq!(client.ok("auth/verify", verify(RFC[3])), json!({"accepted": false}));
    assert_eq!(client.das5("auth/verify", &verify(RFC[3]))["error"], 1010);
    let sync =
        |first: usize| json!({"token": "t1", "credential": format!("{},{}", RFC[first], RFC[first + 1])});
    assert_eq!(client.ok("token/syncToken", sync(4)), json!({}));
    assert_eq!(client.das5("token/syncToken", &sync(6)), json!({"error": 0}));
    assert_eq!(client.ok("token/reset", json!({"token": "t1"})), json!({}));
    assert_eq!(
        client.das5("token/reset", &json!({"token": "t1", "attrs": {"counter": 9}})),
        json!({"error": 0})
    );
    assert_eq!(both(client, "token/get", json!({"id": "t1", "return": ["counter"]})), json!({"counter": 9}));
    assert_eq!(client.ok("auth/verify", verify(RFC[9])), json!({"accepted": true}));
}

#[test]
fn devices_and_jobs_are_driven_over_both_envelopes() {
    let server = server();
    let client = &server.client;
    let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 7);
    server.plug_in(&card);
    assert_eq!(both(client, "device/list", json!({}))["rows"][0]["id"], "ykoath:7");
    let program = |code: &str, attrs: Json| json!({"device": "ykoath:7", "product": product(code), "attrs": attrs, "wait": 30});
    assert_eq!(client.ok("device/program", program("OH", json!({})))["state"], "ready");
    assert_eq!(das5(client, "device/program", &program("OT", json!({})))["state"], "ready");
    assert_eq!(both(client, "device/slots", json!({"device": "ykoath:7"}))["total"], 2);
    let now = json!({"device": "ykoath:7", "slot": "fobd:7-2", "time": 59});
    assert_eq!(both(client, "device/calculate", now), json!({"passcode": card.show("fobd:7-2", 1)}));
    card.set_human(Human::NeverTouches);
    for over_rpc in [true, false] {
        let touch = program("OH", json!({"touch": true}));
        let job = if over_rpc {
            client.ok("device/program", touch)
        } else {
            das5(client, "device/program", &touch)
        };
        assert_eq!(job["state"], "awaiting_passcode");
        assert_eq!(both(client, "job/get", json!({"job": job["job"]})), job);
        let passcode = card.press(job["slot"].as_str().expect("a slot")).expect("a passcode");
        let confirm = json!({"job": job["job"], "passcode": passcode});
        let confirmed =
            if over_rpc { client.ok("job/confirm", confirm) } else { das5(client, "job/confirm", &confirm) };
        assert_eq!(confirmed["state"], "ready");
    }
    assert_eq!(both(client, "job/search", json!({"match": [["state", "=", "ready"]]}))["total"], 4);
    let erase = |slot: &str| json!({"device": "ykoath:7", "slot": slot});
    assert_eq!(client.ok("device/erase", erase("fobd:7"))["state"], "ready");
    assert_eq!(das5(client, "device/erase", &erase("fobd:7-2"))["state"], "ready");
    assert_eq!(card.credentials().len(), 2);
}

#[test]
fn an_object_is_selected_by_id_nested_dotted_or_misspelt_attributes() {
    let server = server();
    let client = &server.client;
    client.ok("domain/create", json!({"attrs": {"name": "other"}}));
    client.ok("user/create", json!({"attrs": {"domain": "d2", "loginName": "alice"}}));
    import_hotp(client, &format!("1001,{}\n", crate::support::RFC_SECRET_HEX));
    let users = [
        json!("u1"),
        json!({"id": "u1"}),
        json!({"domain": {"name": "acme"}, "loginName": "alice"}),
        json!({"domain.name": "acme", "loginName": "alice"}),
        json!({"domain.name": "ACME", "loginName": "Alice"}),
        json!({"domain.id": "d1", "loginNam": "alice"}),
        json!({"domain": {"id": "d1"}, "loginName": "alice"}),
        json!({"loginName": "acme\\alice"}),
        json!({"loginNam": "ACME\\ALICE"}),
        json!({"id": "u1", "domain.name": "acme", "loginName": "alice"}),
    ];
    for user in users {
        let assigned = client.call("token/assign", json!({"token": "t1", "user": user}));
        assert_eq!(assigned, Ok(json!({"id": "a1"})), "{user}");
    }
    for token in [
        json!("t1"),
        json!({"serial": "1001"}),
        json!({"product": product("OH")}),
        json!({"product.productCode": "OH"}),
    ] {
        assert_eq!(both(client, "token/get", json!({"token": token, "return": ["id"]})), json!({"id": "t1"}));
    }
    let matched = json!({"match": [["serial", "=", "1001"], ["product.manufacturerCode", "=", "YK"]]});
    assert_eq!(both(client, "token/get", matched), json!({"id": "t1"}));
    let very_dotted = json!({"attrs.product.productCode": "OH", "attrs": [{"product.manufacturerCode": "YK"}, {"serial": "S2"}]});
    assert_eq!(client.ok("token/create", very_dotted), json!({"id": "t2"}));
}

#[test]
fn a_selector_that_fits_nothing_or_too_much_or_cannot_be_read_is_refused() {
    let server = server();
    let client = &server.client;
    client.ok("domain/create", json!({"attrs": {"name": "other"}}));
    client.ok("user/create", json!({"attrs": {"domain": "d2", "loginName": "alice"}}));
    for serial in ["S1", "S2"] {
        client.ok("token/create", json!({"attrs": {"product": product("OH"), "serial": serial}}));
    }
    let before = totals(client);
    let user = |user: Json| kind(client, "token/assign", &json!({"token": "t1", "user": user}));
    for (selector, expected) in [
        (json!({"loginName": "alice"}), "selector.ambiguous"),
        (json!({"loginName": "nobody"}), "user.not_found"),
        (json!({"loginName": "acme\\nobody"}), "user.not_found"),
        (json!({"loginName": "nowhere\\alice"}), "domain.not_found"),
        (json!({"domain.name": "nowhere", "loginName": "alice"}), "domain.not_found"),
        (json!({"id": "u1", "domain.id": "d2"}), "user.not_found"),
        (json!("u99"), "user.not_found"),
        (json!("t1"), "user.not_found"),
        (json!(""), "user.not_found"),
        (json!({"shoeSize": 43}), "attribute.unknown"),
        (json!({"domain.shoeSize": 43}), "attribute.unknown"),
        (json!({"loginName": 4711}), "request.invalid"),
        (json!({"loginName": null}), "request.invalid"),
        (json!({"loginName": ["alice"]}), "request.invalid"),
        (json!({}), "request.invalid"),
        (json!([]), "request.invalid"),
        (json!(4711), "request.invalid"),
        (json!({"domain.name": "acme", "domain": {"name": "other"}}), "request.invalid"),
        (json!({"domain": "d1", "domain.id": "d1"}), "request.invalid"),
    ] {
        assert_eq!(user(selector.clone()), expected, "{selector}");
    }
    let token = |token: Json| kind(client, "token/get", &json!({ "token": token }));
    assert_eq!(token(json!({"product": product("OH")})), "selector.ambiguous");
    assert_eq!(token(json!({"serial": "S3"})), "token.not_found");
    let mixed = json!({"token": "t1", "id": "t1"});
    assert_eq!(kind(client, "token/get", &mixed), "request.invalid");
    assert_eq!(kind(client, "token/get", &json!({})), "request.invalid");
    let ambiguous = json!({"match": [["product.productCode", "=", "OH"]]});
    assert_eq!(kind(client, "token/get", &ambiguous), "selector.ambiguous");
    let create = |attrs: Json| kind(client, "token/create", &json!({ "attrs": attrs }));
    assert_eq!(create(json!({"product": product("NO")})), "product.not_found");
    assert_eq!(create(json!({"product": product("OH"), "repository.name": "NO"})), "repository.not_found");
    assert_eq!(create(json!({"product": product("OH"), "user": "u99"})), "user.not_found");
    assert_eq!(create(json!({"product.manufacturerCode": "YK"})), "selector.ambiguous");
    assert_eq!(totals(client), before);
}

#[test]
fn a_wrong_value_is_named_by_its_member_and_never_repeated() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let wrong = [
        ("token/assign", json!({"token": "t1", "user": "u1", "attrs": {"pin": 471_147}}), "attrs.pin"),
        ("token/assign", json!({"token": "t1", "user": "u1", "attrs": {"pin": ["471147"]}}), "attrs.pin"),
        ("token/assign", json!({"token": "t1", "user": 471_147}), "user"),
        ("token/assign", json!({"token": "t1", "user": {"loginName": 471_147}}), "loginName"),
        ("token/assign", json!({"token": "t1", "user": "u1", "attrs": "471147"}), "attrs"),
        ("token/set", json!({"id": "t1", "attrs": {"status": "471147"}}), "attrs.status"),
        ("auth/verify", json!({"user": "u1", "credential": {"otp": 471_147}}), "credential.otp"),
        ("auth/verify", json!({"user": "u1", "credential": "471147"}), "credential"),
        ("auth/verify", json!({"credential": {"otp": "471147"}}), "user"),
        ("token/syncToken", json!({"token": "t1", "credential": 471_147}), "credential"),
        ("token/syncToken", json!({"token": "t1", "credential": "471147"}), "credential"),
        ("token/reset", json!({"token": "t1", "attrs": {"counter": "471147"}}), "attrs.counter"),
        ("token/reset", json!({"token": "t1", "attrs": {"counter": -471_147}}), "attrs.counter"),
        ("token/reset", json!({"token": "t1", "attrs": {"counter": 471_147.5}}), "attrs.counter"),
        ("token/search", json!({"max": "471147"}), "max"),
        ("token/search", json!({"max": -471_147}), "max"),
        ("token/search", json!({"order": "471147"}), "order"),
        ("token/search", json!({"match": [["counter", "=", "471147"]]}), "counter"),
        ("token/search", json!({"match": [["serial", "=", 471_147]]}), "serial"),
        ("token/search", json!({"match": [["needsSync", "=", "471147"]]}), "needsSync"),
        ("token/search", json!({"match": [["dateCreated", "<", "471147"]]}), "dateCreated"),
        ("token/search", json!({"match": [["serial", "in", "471147"]]}), "serial"),
        ("token/search", json!({"match": [["serial", "like", 471_147]]}), "serial"),
        ("token/search", json!({"match": "471147"}), "match"),
        ("token/search", json!({"match": [["471147"]]}), "match"),
        ("token/search", json!({"return": "471147"}), "return"),
        ("token/search", json!({"return": [471_147]}), "return"),
        (
            "product/create",
            json!({"attrs": {"name": "a", "manufacturerCode": "a", "productCode": "a",
            "algorithm": "471147"}}),
            "attrs.algorithm",
        ),
        (
            "product/create",
            json!({"attrs": {"name": "a", "manufacturerCode": "a", "productCode": "a",
            "algorithm": "OATH HOTP", "digits": 471_147}}),
            "attrs.digits",
        ),
        (
            "product/create",
            json!({"attrs": {"name": "a", "manufacturerCode": "a", "productCode": "a",
            "algorithm": "OATH HOTP", "hash": "471147"}}),
            "attrs.hash",
        ),
        (
            "product/create",
            json!({"attrs": {"name": "a", "manufacturerCode": "a", "productCode": "a",
            "algorithm": "OATH HOTP", "driver": "471147"}}),
            "attrs.driver",
        ),
        ("device/slots", json!({"device": "471147"}), "device"),
        ("device/program", json!({"device": "ykoath:1", "product": "p1", "wait": "471147"}), "wait"),
        ("device/calculate", json!({"device": "ykoath:1", "slot": "a", "time": "471147"}), "time"),
        ("job/get", json!({"job": 471_147}), "job"),
    ];
    for (method, params, member) in wrong {
        let error = client.error(method, params.clone());
        assert_eq!(error.kind, "request.invalid", "{method} {params}: {error:?}");
        assert!(error.message.contains(&format!("`{member}")), "{method} {params}: {}", error.message);
        assert!(!error.message.contains("471147"), "{method} {params}: {}", error.message);
        for of_rust in ["u64", "i64", "u32", "u8", "f64", "enum", "struct", "untagged", "tuple"] {
            assert!(!error.message.contains(of_rust), "{method} {params}: {}", error.message);
        }
    }
    assert!(alice_is_let_in(client, &format!("1234{}", RFC[0])), "nothing was changed");
}

#[test]
fn names_that_must_differ_are_refused_the_second_time() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    client.ok("repository/create", json!({"attrs": {"name": "London"}}));
    let before = totals(client);
    let again = [
        ("domain/create", json!({"name": "acme"})),
        ("domain/create", json!({"name": "ACME"})),
        ("user/create", json!({"domain.name": "acme", "loginName": "alice"})),
        ("user/create", json!({"domain.name": "acme", "loginName": "ALICE"})),
        (
            "product/create",
            json!({"name": "x", "manufacturerCode": "YK", "productCode": "OH", "algorithm": "OATH TOTP"}),
        ),
        ("repository/create", json!({"name": "London"})),
        ("token/create", json!({"product": product("OT"), "serial": "1001"})),
        (
            "token/import",
            json!({"product": product("OT"), "data": format!("1001,{}\n", crate::support::RFC_SECRET_HEX)}),
        ),
    ];
    for (method, attrs) in again {
        assert_eq!(kind(client, method, &json!({ "attrs": attrs })), "object.exists", "{method} {attrs}");
    }
    assert_eq!(totals(client), before);
    client.ok("domain/create", json!({"attrs": {"name": "other"}}));
    client.ok("user/create", json!({"attrs": {"domain.name": "other", "loginName": "alice"}}));
    let bob = json!({"domain.name": "other", "loginName": "alice"});
    assert_eq!(kind(client, "token/assign", &json!({"token": "t1", "user": bob})), "object.in_use");
}

#[test]
fn a_name_must_say_something_and_fit_on_a_line() {
    let server = server();
    let client = &server.client;
    let before = totals(client);
    for name in ["", " ", " acme", "acme ", "a\nb", "a\u{0}b", "a\u{1b}[2J", &"x".repeat(256)] {
        for (method, attrs) in [
            ("domain/create", json!({ "name": name })),
            ("repository/create", json!({ "name": name })),
            ("user/create", json!({"domain.name": "acme", "loginName": name})),
            ("token/create", json!({"product": product("OH"), "serial": name})),
        ] {
            assert_eq!(
                kind(client, method, &json!({ "attrs": attrs })),
                "request.invalid",
                "{method} {name:?}"
            );
        }
    }
    let backslash = json!({"attrs": {"domain.name": "acme", "loginName": "a\\b"}});
    assert_eq!(kind(client, "user/create", &backslash), "request.invalid");
    assert_eq!(totals(client), before);
    let longest = "ü".repeat(255);
    client.ok("domain/create", json!({"attrs": {"name": longest}}));
    let found = client.ok("domain/search", json!({"match": [["name", "=", longest.to_uppercase()]]}));
    assert_eq!(found["total"], 1);
}

/// The requests as the document of that API prints them, where their methods exist.
#[test]
fn the_documented_requests_work_over_both_envelopes() {
    let server = server();
    let client = &server.client;
    let secret = crate::support::RFC_SECRET_HEX;
    let found = client.ok(
        "product/search",
        json!({"match": [["productCode", "=", "OH"], ["manufacturerCode", "=", "YK"]]}),
    );
    let id = found["rows"][0]["id"].clone();
    let call = |over_rpc: bool, method: &str, params: Json| {
        if over_rpc { client.ok(method, params) } else { das5(client, method, &params) }
    };
    for (round, over_rpc) in [true, false].into_iter().enumerate() {
        let create = json!({"attrs": {"product.id": id, "user.id": "u1", "pin": "tokenpin"}});
        let made = call(over_rpc, "token/create", create)["id"].clone();
        let user = json!({"domain.name": "acme", "loginNam": "alice"});
        let create = json!({"attrs": {"product": product("OT"), "user": user, "pin": "tokenpin"}});
        let other = call(over_rpc, "token/create", create)["id"].clone();
        assert_ne!(made, other);

        let user = json!({"id": "u1", "domain.id": "d1", "loginName": "alice"});
        call(over_rpc, "token/delete", json!({"id": made, "user": user}));
        let left = json!({"id": made, "return": ["id", {"users": [{"elements": ["id"]}]}]});
        assert_eq!(client.ok("token/get", left), json!({"id": made, "users": {"elements": []}}));
        let again = client.error("token/delete", json!({"id": made, "user": user}));
        assert_eq!(again.kind, "tokenAssignment.not_found".replace("tokenAssignment", "assignment"));
        call(over_rpc, "token/delete", json!({ "id": made }));
        assert_eq!(client.error("token/get", json!({ "id": made })).kind, "token.not_found");

        let serials =
            [1001 + 100 * round, 1002 + 100 * round, 1003 + 100 * round].map(|serial| serial.to_string());
        let data: String = serials.iter().map(|serial| format!("{serial},{secret}\n")).collect();
        let import = json!({
            "attrs": {"product.id": id, "repository.id": "r1", "data": data}, "return": ["id", "serial"],
        });
        let imported = call(over_rpc, "token/import", import);
        assert_eq!(imported["total"], 3);
        let found: Vec<&str> = imported["rows"]
            .as_array()
            .expect("rows")
            .iter()
            .filter_map(|row| row["serial"].as_str())
            .collect();
        assert_eq!(found, serials);

        client.ok("token/assign", json!({"token": {"serial": serials[0]}, "user": "u1"}));
        let credential = format!("{},{}", RFC[4], RFC[5]);
        let sync = json!({"user": {"id": "u1"}, "token": {"serial": serials[0]}, "credential": credential});
        call(over_rpc, "token/syncToken", sync);
        call(over_rpc, "token/reset", json!({"token": {"serial": serials[0]}, "attrs": {"counter": 0}}));
        let rewound = json!({"token": {"serial": serials[0]}, "return": ["counter", "needsSync"]});
        assert_eq!(client.ok("token/get", rewound), json!({"counter": 0, "needsSync": true}));
        call(over_rpc, "token/reset", json!({"token": {"serial": serials[1]}}));
    }
}
