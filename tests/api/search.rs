//! Searching: `return`, `match`, `sort`, `order`, `max` and `offset`.

use serde_json::{Value as Json, json};

use super::{both, kind, server};
use crate::support::client::Client;
use crate::support::in_process::InProcess;
use crate::support::{RFC_SECRET_HEX, alice, import_hotp, product};

const NOW: &str = "2026-01-01T00:00:00Z";

/// Five tokens A1 to A5: A1 is alice's, A2 is disabled, A5 is TOTP and stock. Counters are 0, 10, 20, 30.
fn stocked() -> InProcess {
    let server = server();
    let client = &server.client;
    let lines: String = (1..=4).map(|n| format!("A{n},{RFC_SECRET_HEX},hotp,6,{}\n", (n - 1) * 10)).collect();
    import_hotp(client, &lines);
    client.ok(
        "token/create",
        json!({"attrs": {"product": product("OT"), "serial": "A5", "description": "50% off_"}}),
    );
    client.ok("token/assign", json!({"token": "t1", "user": alice(), "attrs": {"pin": "1234"}}));
    client.ok("token/set", json!({"id": "t2", "attrs": {"status": "DISABLED"}}));
    server
}

/// The serials that a search finds; the total must be their number.
fn serials(client: &Client, conditions: Json) -> String {
    let found =
        both(client, "token/search", json!({"match": conditions, "return": ["serial"], "sort": "serial"}));
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(found["total"], rows.len(), "{conditions}");
    rows.iter().filter_map(|row| row["serial"].as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_comparison_finds_what_it_says() {
    let server = stocked();
    let client = &server.client;
    for (condition, found) in [
        (json!(["serial", "=", "A3"]), "A3"),
        (json!(["serial", "=", "a3"]), ""),
        (json!(["serial", "!=", "A3"]), "A1 A2 A4 A5"),
        (json!(["serial", "<", "A3"]), "A1 A2"),
        (json!(["serial", "<=", "A3"]), "A1 A2 A3"),
        (json!(["serial", ">", "A3"]), "A4 A5"),
        (json!(["serial", ">=", "A3"]), "A3 A4 A5"),
        (json!(["serial", "in", ["A1", "A5", "A9"]]), "A1 A5"),
        (json!(["serial", "in", []]), ""),
        (json!(["serial", "like", "A%"]), "A1 A2 A3 A4 A5"),
        (json!(["serial", "like", "_3"]), "A3"),
        (json!(["description", "like", "50\\%%"]), "A5"),
        (json!(["description", "like", "%off\\_"]), "A5"),
        (json!(["description", "like", "\\%"]), ""),
        (json!(["counter", "=", 10]), "A2"),
        (json!(["counter", ">", 9]), "A2 A3 A4"),
        (json!(["counter", "in", [0, 30]]), "A1 A4 A5"),
        (json!(["id", "=", "t4"]), "A4"),
        (json!(["id", "in", ["t1", "t5", "u1", "x"]]), "A1 A5"),
        (json!(["id", "=", "u1"]), ""),
        (json!(["programmed", "=", true]), "A1 A2 A3 A4"),
        (json!(["programmed", "!=", true]), "A5"),
        (json!(["status", "=", "DISABLED"]), "A2"),
        (json!(["status", "!=", "DISABLED"]), "A1 A3 A4 A5"),
        (json!(["digits", "=", 6]), "A1 A2 A3 A4"),
        // What a token does not have differs from everything.
        (json!(["digits", "!=", 8]), "A1 A2 A3 A4 A5"),
        (json!(["device", "!=", "ykoath:1"]), "A1 A2 A3 A4 A5"),
        (json!(["product.productCode", "=", "OT"]), "A5"),
        (json!(["product.productCode", "like", "o%"]), "A1 A2 A3 A4 A5"),
        (json!(["dateCreated", "=", NOW]), "A1 A2 A3 A4 A5"),
        (json!(["dateCreated", ">=", "2026-01-01T01:00:00+01:00"]), "A1 A2 A3 A4 A5"),
        (json!(["dateCreated", "<", NOW]), ""),
    ] {
        assert_eq!(serials(client, json!([condition])), found, "{condition}");
    }
    let all = json!([["serial", ">", "A1"], ["product.productCode", "=", "OH"], ["status", "=", "ACTIVE"]]);
    assert_eq!(serials(client, all), "A3 A4");
    assert_eq!(serials(client, json!([])), "A1 A2 A3 A4 A5");
}

#[test]
fn names_of_domains_and_users_are_the_same_in_any_case() {
    let server = server();
    let client = &server.client;
    client.ok("domain/create", json!({"attrs": {"name": "Ärzte"}}));
    for condition in [
        json!(["name", "=", "äRZTE"]),
        json!(["name", "like", "ÄR%"]),
        json!(["name", "like", "är%"]),
        json!(["name", "in", ["x", "ärzte"]]),
        json!(["name", ">", "z"]),
    ] {
        let found = both(client, "domain/search", json!({"match": [condition], "return": ["name"]}));
        assert_eq!(found, json!({"total": 1, "rows": [{"name": "Ärzte"}]}), "{condition}");
    }
}

#[test]
fn what_cannot_be_compared_is_refused_by_name() {
    let server = stocked();
    let client = &server.client;
    let refused = |conditions: Json| kind(client, "token/search", &json!({ "match": conditions }));
    for attribute in [
        "shoeSize",
        "product.shoeSize",
        "shoe.size",
        "product",
        "users",
        "users.id",
        "*",
        "",
        ".",
        "secret",
        "pin",
    ] {
        assert_eq!(refused(json!([[attribute, "=", "x"]])), "attribute.unknown", "{attribute}");
    }
    for operator in ["==", "LIKE", "", "is", "= '' or 1 =", "not in", "between"] {
        assert_eq!(refused(json!([["serial", operator, "x"]])), "request.invalid", "{operator}");
    }
    for condition in [
        json!(["counter", "like", "1%"]),
        json!(["id", "like", "t%"]),
        json!(["programmed", "like", "1"]),
        json!(["dateCreated", "like", "2026%"]),
        json!(["serial", "in", ["A1", 2]]),
        json!(["serial", "=", null]),
        json!(["serial", "=", ["A1"]]),
        json!(["counter", "=", 1.5]),
        json!(["programmed", "=", 1]),
        json!(["serial", "="]),
        json!(["serial", "=", "A1", "A2"]),
        json!("serial"),
        json!({"serial": "A1"}),
    ] {
        assert_eq!(refused(json!([condition])), "request.invalid", "{condition}");
    }
}

#[test]
fn a_return_list_shows_what_it_names_and_nothing_else() {
    let server = stocked();
    let client = &server.client;
    let get = |wanted: Json| both(client, "token/get", json!({"id": "t1", "return": wanted}));
    assert_eq!(both(client, "token/get", json!({"id": "t1"})), json!({"id": "t1"}));
    assert_eq!(get(json!([])), json!({"id": "t1"}));
    assert_eq!(
        get(json!(["serial", "product.name", "product.productCode", "repository.id"])),
        json!({
            "serial": "A1", "product.name": "YubiKey OATH HOTP", "product.productCode": "OH",
            "repository.id": "r1",
        })
    );
    assert_eq!(
        get(json!([{"product": ["name", "digits"]}, "counter"])),
        json!({"product": {"name": "YubiKey OATH HOTP", "digits": 6}, "counter": 0})
    );
    let everything = get(json!(["*"]));
    for (name, value) in [
        ("id", json!("t1")),
        ("serial", json!("A1")),
        ("identifier", json!("A1")),
        ("status", json!("ACTIVE")),
        ("programmed", json!(true)),
        ("algorithm", json!("OATH HOTP")),
        ("hash", json!("SHA1")),
        ("digits", json!(6)),
        ("timer", json!(null)),
        ("counter", json!(0)),
        ("needsSync", json!(false)),
        ("failCount", json!(0)),
        ("lockedUntil", json!(null)),
        ("dateCreated", json!(NOW)),
    ] {
        assert_eq!(everything[name], value, "{name}");
    }
    let members = everything.as_object().expect("an object");
    assert!(members.values().all(|value| !value.is_object() && !value.is_array()), "simple ones only");
    assert!(members.keys().all(|name| !name.contains("secret") && !name.contains("pin")), "{everything}");
    assert_eq!(get(json!(["*", "product"]))["product"]["productCode"], "OH");
    assert_eq!(get(json!(["users"])), json!({"users": {"elements": [{"id": "u1"}]}}));
    let collections = json!([
        {"users": [{"elements": ["loginName", "domain.name"]}]},
        {"tokenAssignments": [{"elements": ["id", "hasPin", {"user": ["loginName"]}]}]},
    ]);
    assert_eq!(
        get(collections),
        json!({
            "users": {"elements": [{"loginName": "alice", "domain.name": "acme"}]},
            "tokenAssignments": {"elements": [{"id": "a1", "hasPin": true, "user": {"loginName": "alice"}}]},
        })
    );
    let of_user =
        json!({"match": [["loginName", "=", "alice"]], "return": [{"tokens": [{"elements": ["serial"]}]}]});
    let row = json!({"tokens": {"elements": [{"serial": "A1"}]}});
    assert_eq!(both(client, "user/search", of_user), json!({"total": 1, "rows": [row]}));
}

#[test]
fn a_return_list_that_names_what_is_not_there_is_refused_even_if_nothing_is_found() {
    let server = stocked();
    let client = &server.client;
    let refused = |wanted: Json| {
        let params = json!({"match": [["serial", "=", "none"]], "return": wanted});
        kind(client, "token/search", &params)
    };
    for wanted in [
        json!(["shoeSize"]),
        json!(["product.shoeSize"]),
        json!(["users.id"]),
        json!(["secret"]),
        json!(["pin"]),
        json!([{"product": ["shoeSize"]}]),
        json!([{"shoes": ["size"]}]),
        json!([{"users": [{"elements": ["shoeSize"]}]}]),
        json!([{"users": [{"elements": ["password"]}]}]),
        json!([{"product": [{"users": [{"elements": ["id"]}]}]}]),
    ] {
        assert_eq!(refused(wanted.clone()), "attribute.unknown", "{wanted}");
    }
    for wanted in [
        json!("serial"),
        json!({"product": ["name"]}),
        json!([{"product": "name"}]),
        json!([{"users": ["id"]}]),
        json!([{"users": [{"elements": "id"}]}]),
        json!([1]),
        json!([["serial"]]),
        json!([null]),
    ] {
        assert_eq!(refused(wanted.clone()), "request.invalid", "{wanted}");
    }
}

#[test]
fn rows_come_in_order_and_page_by_page() {
    let server = stocked();
    let client = &server.client;
    let search = |more: Json| {
        let mut params = json!({"return": ["serial"]});
        params.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let found = both(client, "token/search", params);
        assert_eq!(found["total"], 5, "of all pages");
        let rows = found["rows"].as_array().expect("rows").clone();
        rows.iter().filter_map(|row| row["serial"].as_str().map(str::to_owned)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(search(json!({})), "A1 A2 A3 A4 A5");
    assert_eq!(search(json!({"order": "desc"})), "A5 A4 A3 A2 A1");
    assert_eq!(search(json!({"sort": "serial", "order": "desc", "max": 2})), "A5 A4");
    assert_eq!(search(json!({"sort": "serial", "order": "desc", "max": 2, "offset": 2})), "A3 A2");
    assert_eq!(search(json!({"sort": "serial", "max": 2, "offset": 4})), "A5");
    assert_eq!(search(json!({"offset": 5})), "");
    assert_eq!(search(json!({"max": 0})), "");
    assert_eq!(search(json!({"max": u64::MAX, "offset": 3})), "A4 A5");
    assert_eq!(search(json!({"offset": u64::MAX})), "");
    // Equal ones stay in the order of their ids, forwards and backwards.
    assert_eq!(search(json!({"sort": "status"})), "A1 A3 A4 A5 A2");
    assert_eq!(search(json!({"sort": "product.productCode", "order": "desc"})), "A5 A4 A3 A2 A1");
    assert_eq!(search(json!({"sort": "counter", "max": 3})), "A1 A5 A2");
    let sort = |by: &str| kind(client, "token/search", &json!({ "sort": by }));
    for by in ["shoeSize", "product", "users", "*", "", "serial desc", "serial; drop table tokens"] {
        assert_eq!(sort(by), "attribute.unknown", "{by}");
    }
}
