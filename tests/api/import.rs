//! Import over the API: the line and the field of a mistake are named, and nothing of such a file comes in.

use serde_json::{Value as Json, json};

use super::{server, totals};
use crate::support::{RFC_SECRET_HEX, import_hotp, product};

#[test]
fn a_mistake_in_the_last_line_keeps_the_whole_file_out_and_is_named() {
    let server = server();
    let client = &server.client;
    let before = totals(client);
    let good = format!("1001,{RFC_SECRET_HEX}\n1002,{RFC_SECRET_HEX}\n");
    let bad = [
        ("1003,3132zz\n".to_owned(), "line 3", "key"),
        ("1003,\n".to_owned(), "line 3", "key"),
        (format!(",{RFC_SECRET_HEX}\n"), "line 3", "serial"),
        (format!("1003,{RFC_SECRET_HEX},hotp,11\n"), "line 3", "digits"),
        (format!("1003,{RFC_SECRET_HEX},hotp,6,many\n"), "line 3", "counter"),
        (format!("1003,{RFC_SECRET_HEX},totp,6,0\n"), "line 3", "time step"),
        (format!("1003,{RFC_SECRET_HEX},carrier pigeon\n"), "line 3", "type"),
        (format!("1001,{RFC_SECRET_HEX}\n"), "line 3", "line 1"),
        (format!("1003,{RFC_SECRET_HEX}\n\n1003,{RFC_SECRET_HEX}\n"), "line 5", "line 3"),
    ];
    for (line, place, field) in bad {
        let params = json!({"attrs": {"product": product("OH"), "data": format!("{good}{line}")}});
        let error = client.error("token/import", params);
        assert_eq!((error.kind.as_str(), error.code), ("import.refused", 1050), "{line}");
        assert!(error.message.contains(place) && error.message.contains(field), "{line}: {}", error.message);
        assert!(!error.message.contains("3132"), "{line}: {}", error.message);
    }
    assert_eq!(totals(client), before);
}

#[test]
fn what_is_no_seed_file_is_refused() {
    let server = server();
    let client = &server.client;
    let before = totals(client);
    for data in ["", "\n", "serial,key\n", "\u{0}\u{1}", "{\"a\": 1}", "<html/>"] {
        let params = json!({"attrs": {"product": product("OH"), "data": data}});
        assert_eq!(client.error("token/import", params).kind, "import.refused", "{data:?}");
    }
    assert_eq!(totals(client), before);
}

#[test]
fn a_serial_that_is_known_keeps_the_whole_file_out_and_overwrites_nothing() {
    let server = server();
    let client = &server.client;
    import_hotp(client, &format!("1002,{RFC_SECRET_HEX},hotp,6,7\n"));
    let before = totals(client);
    let other = "00".repeat(20);
    let data = format!("1001,{other}\n1002,{other}\n1003,{other}\n");
    let params = json!({"attrs": {"product": product("OH"), "data": data}});
    let error = client.error("token/import", params.clone());
    assert_eq!((error.kind.as_str(), error.code), ("object.exists", 1030));
    assert!(error.message.contains("line 2") && error.message.contains("1002"), "{}", error.message);
    assert_eq!(totals(client), before);
    let kept = client.ok("token/get", json!({"token": {"serial": "1002"}, "return": ["counter"]}));
    assert_eq!(kept, json!({"counter": 7}));
    // Without the known one, the rest comes in: nothing was left behind.
    let data = format!("1001,{other}\n1003,{other}\n");
    assert_eq!(import_hotp(client, &data)["total"], 2);
}

#[test]
fn a_file_goes_into_the_product_and_repository_that_are_named() {
    let server = server();
    let client = &server.client;
    client.ok("repository/create", json!({"attrs": {"name": "London"}}));
    let line = format!("1001,{RFC_SECRET_HEX}\n");
    let import =
        |attrs: Json| client.call("token/import", json!({ "attrs": attrs })).map_err(|error| error.kind);
    let refused = import(json!({"product": product("NO"), "data": line}));
    assert_eq!(refused, Err("product.not_found".to_owned()));
    let refused = import(json!({"product": product("OH"), "repository.name": "NO", "data": line}));
    assert_eq!(refused, Err("repository.not_found".to_owned()));
    let wrong = client.error(
        "token/import",
        json!({"attrs": {"product": product("OH"), "data": line}, "return": ["shoeSize"]}),
    );
    assert_eq!(wrong.kind, "attribute.unknown");
    assert_eq!(client.ok("token/search", json!({}))["total"], 0, "nothing came in by these");
    import(json!({"product": product("OT"), "repository.name": "London", "data": line})).expect("imported");
    let shown = client.ok(
        "token/get",
        json!({"token": {"serial": "1001"}, "return": ["repository.name", "product.productCode", "algorithm"]}),
    );
    let expected =
        json!({"repository.name": "London", "product.productCode": "OT", "algorithm": "OATH TOTP"});
    assert_eq!(shown, expected);
}
