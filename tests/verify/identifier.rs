//! Tokens that type an identifier before each passcode (OATH token identifier).

use serde_json::{Value as Json, json};

use super::{RFC, fobd_test_passcode, server};
use crate::support::client::Client;
use crate::support::{
    RFC_SECRET_HEX, alice_is_let_in, give_alice_a_token, import_hotp, product, token_is_let_in,
};

const IDENTIFIER: &str = "ubhe11032475";

fn token() -> Json {
    json!({"serial": "1001"})
}

fn set(client: &Client, identifier: Json) {
    client.ok("token/set", json!({"token": token(), "attrs": {"tokenIdentifier": identifier}}));
}

fn identifier(client: &Client) -> Json {
    client.ok("token/get", json!({"token": token(), "return": ["tokenIdentifier"]}))["tokenIdentifier"]
        .clone()
}

#[test]
fn it_is_required_before_the_passcode_from_when_it_is_set_until_it_is_taken_away() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    assert_eq!(identifier(client), Json::Null);
    assert!(!alice_is_let_in(client, &format!("1234{IDENTIFIER}{}", RFC[0])), "none is set");
    assert!(alice_is_let_in(client, &format!("1234{}", RFC[1])));

    set(client, json!(IDENTIFIER));
    assert_eq!(identifier(client), IDENTIFIER);
    assert!(!alice_is_let_in(client, &format!("1234{}", RFC[2])), "without it");
    assert!(alice_is_let_in(client, &format!("1234{IDENTIFIER}{}", RFC[3])));
    assert!(alice_is_let_in(client, &format!("1234{}{}", IDENTIFIER.to_uppercase(), RFC[4])));
    assert!(!alice_is_let_in(client, &format!("1235{IDENTIFIER}{}", RFC[5])), "with a wrong PIN");

    // What else is set leaves it.
    client.ok("token/set", json!({"token": token(), "attrs": {"description": "of the reception"}}));
    assert_eq!(identifier(client), IDENTIFIER);
    set(client, Json::Null);
    assert_eq!(identifier(client), Json::Null);
    assert!(alice_is_let_in(client, &format!("1234{}", RFC[6])));
    let rows = client.ok("audit/search", json!({"action": "token/set", "max": 3}))["rows"].clone();
    let details: Vec<&str> =
        rows.as_array().unwrap().iter().filter_map(|row| row["detail"].as_str()).collect();
    assert_eq!(details, ["token identifier", "", "token identifier"], "the log tells, and not what it is");
}

#[test]
fn a_resync_takes_passcodes_with_and_without_it() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let typed = |factor| format!("{IDENTIFIER}{}", fobd_test_passcode(factor));
    let sync = |first: String, second: String| {
        let params = json!({"token": token(), "credential": format!("{first},{second}")});
        client.call("token/syncToken", params).map_err(|error| error.kind)
    };
    assert_eq!(sync(typed(500), typed(501)).unwrap_err(), "token.sync_failed", "none is set");
    set(client, json!(IDENTIFIER));
    assert_eq!(sync(typed(500), typed(501)), Ok(json!({})));
    assert_eq!(sync(typed(500), typed(501)).unwrap_err(), "token.sync_failed", "replayed");
    assert_eq!(sync(fobd_test_passcode(600), fobd_test_passcode(601)), Ok(json!({})));
    assert_eq!(sync(typed(700).to_uppercase(), fobd_test_passcode(701)), Ok(json!({})));
    assert!(alice_is_let_in(client, &format!("1234{}", typed(702))));
}

#[test]
fn tokens_are_found_by_it_and_one_without_a_pin_types_it_all_alone() {
    let server = server();
    let client = &server.client;
    import_hotp(client, &format!("1001,{RFC_SECRET_HEX}\n1002,{RFC_SECRET_HEX}\n"));
    set(client, json!(IDENTIFIER));
    let found = |triple: Json| {
        client.ok("token/search", json!({"match": [triple], "return": ["serial"]}))["rows"].clone()
    };
    assert_eq!(found(json!(["tokenIdentifier", "=", IDENTIFIER])), json!([token()]));
    assert_eq!(found(json!(["tokenIdentifier", "like", "ubhe%"])), json!([token()]));
    assert!(token_is_let_in(client, "1001", &format!("{IDENTIFIER}{}", RFC[0])));
    assert!(token_is_let_in(client, "1002", RFC[0]), "the other token types none");
}

#[test]
fn what_cannot_be_one_is_refused_and_changes_nothing() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    set(client, json!(IDENTIFIER));
    for bad in ["", "ubhe 1103", "ubhe-1103", "übhe", "0123456789abcdefg"] {
        let attrs = json!({"tokenIdentifier": bad, "description": "changed"});
        let refused = client.error("token/set", json!({"token": token(), "attrs": attrs}));
        let problem = "`attrs.tokenIdentifier` must be 1 to 16 ASCII letters and digits";
        assert_eq!((&*refused.kind, &*refused.message), ("request.invalid", problem), "{bad}");
    }
    assert_eq!(identifier(client), IDENTIFIER);
    set(client, json!("0123456789abcdeF"));

    client.ok("token/create", json!({"attrs": {"product": product("OH"), "serial": "stock"}}));
    let stock = json!({"serial": "stock"});
    for attr in [json!(IDENTIFIER), Json::Null] {
        let attrs = json!({"tokenIdentifier": attr, "description": "changed"});
        let refused = client.error("token/set", json!({"token": stock, "attrs": attrs}));
        assert_eq!(refused.kind, "token.no_secret");
    }
    let shown = client.ok("token/get", json!({"token": stock, "return": ["description", "tokenIdentifier"]}));
    assert_eq!(shown, json!({"description": "", "tokenIdentifier": null}));
}
