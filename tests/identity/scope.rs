//! An operator who is narrowed to a domain and a repository: what is outside is answered as if it did not exist,
//! whatever method names it, and nothing of it changes.

use std::collections::BTreeSet;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::VirtualCard;
use firmware_fixtures::firmware::Firmware;
use fobd::model::role::Role;
use fobd::rpc::methods::METHODS;
use schemars::SchemaGenerator;
use serde_json::{Value as Json, json};

use crate::support::RFC_SECRET_HEX;
use crate::support::client::{Client, PASSWORD};
use crate::support::in_process::InProcess;

/// Passcodes of RFC 4226 appendix D, by counter.
const RFC: [&str; 3] = ["755224", "287082", "359152"];

struct World {
    server: InProcess,
    /// A helpdesk that sees the domain `here` and the repository `Here`.
    desk: Client,
    /// A verifier that sees the same.
    gate: Client,
    device: String,
}

/// | token | repository | whose |
/// |---|---|---|
/// | HH | Here | alice@here |
/// | AA | Away | bob@away |
/// | HA | Here | bob@away |
/// | AH | Away | alice@here |
/// | H0, A0 | Here, Away | nobody |
fn world() -> World {
    let server = InProcess::start(VirtualBus::new());
    let admin = &server.client;
    for domain in ["here", "away"] {
        admin.ok("domain/create", json!({"attrs": {"name": domain}}));
    }
    for (domain, login) in [("here", "alice"), ("away", "bob")] {
        admin.ok("user/create", json!({"attrs": {"domain.name": domain, "loginName": login}}));
    }
    admin.ok("repository/create", json!({"attrs": {"name": "Away"}}));
    admin.ok("repository/create", json!({"attrs": {"name": "Here", "parent": {"name": "Away"}}}));
    let product = json!({"manufacturerCode": "OATH", "productCode": "HOTP"});
    for (repository, serials) in [("Here", ["HH", "HA", "H0"]), ("Away", ["AA", "AH", "A0"])] {
        let data: String = serials.iter().map(|serial| format!("{serial},{RFC_SECRET_HEX}\n")).collect();
        let attrs = json!({"product": product, "repository": {"name": repository}, "data": data});
        admin.ok("token/import", json!({ "attrs": attrs }));
    }
    for (serial, domain, login) in
        [("HH", "here", "alice"), ("AH", "here", "alice"), ("HA", "away", "bob"), ("AA", "away", "bob")]
    {
        let user = json!({"domain.name": domain, "loginName": login});
        admin.ok("token/assign", json!({"token": {"serial": serial}, "user": user}));
    }
    for (name, role) in [("desk", "helpdesk"), ("gate", "verifier"), ("watch", "auditor")] {
        let attrs = json!({
            "name": name, "role": role, "password": PASSWORD,
            "domains": [{"name": "here"}], "repositories": [{"name": "Here"}],
        });
        admin.ok("operator/create", json!({ "attrs": attrs }));
    }
    let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 12_345_678);
    let device = server.plug_in(&card);
    let key = json!({"manufacturerCode": "YK", "productCode": "HOTP"});
    let attrs = json!({"repository": {"name": "Away"}});
    let job =
        admin.ok("device/program", json!({"device": device, "product": key, "attrs": attrs, "wait": 30}));
    assert_eq!(job["state"], "ready", "{job}");
    let desk = Client::as_operator(&admin.base, "desk", PASSWORD);
    let gate = Client::as_operator(&admin.base, "gate", PASSWORD);
    World { server, desk, gate, device }
}

/// All that is there, as an admin sees it.
fn all(admin: &Client) -> Vec<Json> {
    ["domain", "user", "repository", "token", "tokenAssignment", "job"]
        .map(|object| admin.ok(&format!("{object}/search"), json!({"return": ["*"]})))
        .to_vec()
}

/// A call that names what is outside, in every place where a method takes a selector. `AA`, `away`, `bob` and `Away`
/// are outside.
fn calls(device: &str) -> Vec<(&'static str, Json)> {
    let bob = json!({"domain.name": "away", "loginName": "bob"});
    let alice = json!({"domain.name": "here", "loginName": "alice"});
    let aa = json!({"serial": "AA"});
    let hh = json!({"serial": "HH"});
    let oath = json!({"manufacturerCode": "OATH", "productCode": "HOTP"});
    let key = json!({"manufacturerCode": "YK", "productCode": "HOTP"});
    let pin = json!({"pin": "1234"});
    let away = json!({"name": "Away"});
    let both = json!({"token": hh, "user": bob});
    vec![
        ("domain/get", json!({"domain": {"name": "away"}})),
        ("domain/set", json!({"domain": {"name": "away"}, "attrs": {"description": "x"}})),
        ("domain/delete", json!({"domain": {"name": "away"}})),
        ("user/create", json!({"attrs": {"domain": {"name": "away"}, "loginName": "eve"}})),
        ("user/get", json!({ "user": bob })),
        ("user/get", json!({"match": [["loginName", "=", "bob"]]})),
        ("user/set", json!({"user": bob, "attrs": {"mobile": "1"}})),
        ("user/delete", json!({ "user": bob })),
        ("repository/get", json!({ "repository": away })),
        ("token/create", json!({"attrs": {"product": oath, "repository": away}})),
        ("token/create", json!({"attrs": {"product": oath, "repository": {"name": "Here"}, "user": bob}})),
        ("token/get", json!({ "token": aa })),
        ("token/get", json!({"match": [["serial", "=", "AA"]]})),
        ("token/get", json!({"match": [["serial", "=", "HH"], ["repository.name", "=", "Away"]]})),
        ("token/set", json!({"token": aa, "attrs": {"description": "x"}})),
        ("token/set", json!({"token": hh, "attrs": {"repository": away}})),
        ("token/reset", json!({ "token": aa })),
        ("token/clock", json!({ "token": aa })),
        ("token/setClock", json!({"token": aa, "attrs": {"frozen": true}})),
        ("policy/get", json!({ "token": aa })),
        ("policy/search", json!({ "token": aa })),
        ("policy/set", json!({"token": aa, "attrs": {"totpAccept": 1}})),
        ("token/syncToken", json!({"token": aa, "credential": "359152,969429"})),
        ("token/syncToken", json!({"token": hh, "user": bob, "credential": "359152,969429"})),
        ("token/explain", json!({ "token": aa })),
        ("token/explain", json!({ "user": bob })),
        ("token/solve", json!({"token": aa, "credential": "359152,969429"})),
        (
            "token/import",
            json!({"attrs": {"product": oath, "repository": away, "data": format!("N1,{RFC_SECRET_HEX}\n")}}),
        ),
        ("token/assign", json!({"token": aa, "user": alice})),
        ("token/assign", json!({"token": {"serial": "H0"}, "user": bob})),
        ("token/unassign", json!({"token": aa, "user": alice})),
        ("token/unassign", both.clone()),
        ("token/setPin", json!({"token": aa, "user": alice, "attrs": pin})),
        ("token/setPin", json!({"token": hh, "user": bob, "attrs": pin})),
        ("token/changePin", json!({"token": aa, "user": alice, "attrs": {"oldPin": "1", "pin": "2"}})),
        ("token/changePin", json!({"token": hh, "user": bob, "attrs": {"oldPin": "1", "pin": "2"}})),
        ("token/unlock", json!({"token": aa, "user": alice})),
        ("token/unlock", both.clone()),
        ("token/enable", json!({ "token": aa })),
        ("token/disable", json!({ "token": aa })),
        ("token/lost", json!({ "token": aa })),
        ("token/lost", json!({"token": hh, "replacement": {"serial": "A0"}})),
        ("token/retire", json!({ "token": aa })),
        ("token/confine", json!({ "token": aa })),
        ("tokenAssignment/create", json!({"attrs": {"token": aa, "user": alice}})),
        ("tokenAssignment/create", json!({"attrs": {"token": {"serial": "H0"}, "user": bob}})),
        ("tokenAssignment/get", json!({"token": aa, "user": bob})),
        ("tokenAssignment/get", both.clone()),
        ("tokenAssignment/set", json!({"token": aa, "user": bob, "attrs": {"priority": 3}})),
        ("tokenAssignment/sort", json!({"ids": [{"token": aa, "user": bob}]})),
        ("tokenAssignment/delete", json!({"token": aa, "user": bob})),
        ("auth/verify", json!({"user": bob, "credential": {"otp": RFC[0]}})),
        ("auth/verify", json!({"token": aa, "credential": {"otp": RFC[0]}})),
        ("auth/listTokens", json!({ "user": bob })),
        ("auth/listTokenAssignments", json!({ "user": bob })),
        ("auth/listTokenAssignments", json!({"user": alice, "token": aa})),
        ("audit/search", json!({ "token": aa })),
        ("device/program", json!({"device": device, "token": aa})),
        ("device/program", json!({"device": device, "product": key, "attrs": {"repository": away}})),
    ]
}

#[test]
fn whatever_names_something_outside_is_answered_as_if_it_did_not_exist() {
    let world = world();
    let before = all(&world.server.client);
    for (method, params) in calls(&world.device) {
        // The same with names that nobody has: the answers must not differ.
        let elsewhere = params.to_string().replace("\"AA\"", "\"ZZ\"").replace("\"A0\"", "\"Z0\"");
        let elsewhere = elsewhere.replace("\"away\"", "\"nowhere\"").replace("\"Away\"", "\"Nowhere\"");
        let elsewhere: Json = serde_json::from_str(&elsewhere.replace("\"bob\"", "\"nobody\"")).unwrap();
        for client in [&world.desk, &world.gate] {
            let given = client.call(method, params.clone());
            assert_eq!(given, client.call(method, elsewhere.clone()), "{method} {params}");
            match given {
                Ok(answer) => assert_eq!((method, answer), ("auth/verify", json!({"accepted": false}))),
                Err(error) => {
                    let expected = error.kind.ends_with(".not_found") || error.kind == "permission.denied";
                    assert!(expected, "{method} {params}: {error:?}");
                }
            }
        }
    }
    assert_eq!(all(&world.server.client), before, "nothing was changed");
}

#[test]
fn every_method_that_takes_a_selector_is_in_that_list() {
    let listed: BTreeSet<&str> = calls("x").into_iter().map(|(method, _)| method).collect();
    let narrowed = [Role::Helpdesk, Role::Auditor, Role::Verifier, Role::Station];
    let missing: Vec<&str> = METHODS
        .iter()
        .filter(|method| narrowed.iter().any(|role| role.grants(method.permission)))
        .filter(|method| {
            let mut generator = SchemaGenerator::default();
            let schema = (method.params)(&mut generator);
            let all = json!([schema, generator.take_definitions(true)]).to_string();
            all.contains("/Selector\"")
        })
        .map(|method| method.name)
        // Products belong to nobody.
        .filter(|method| !listed.contains(method) && !method.starts_with("product/"))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn a_search_finds_what_is_inside_and_shows_nothing_of_what_is_linked_outside() {
    let world = world();
    let desk = &world.desk;
    let total = |object: &str| desk.ok(&format!("{object}/search"), json!({}))["total"].as_i64().unwrap();
    let totals = ["domain", "user", "repository", "token", "tokenAssignment", "job"].map(total);
    assert_eq!(totals, [1, 1, 1, 3, 1, 0]);
    let matched = |conditions: Json| desk.ok("token/search", json!({ "match": conditions }))["total"].clone();
    assert_eq!(matched(json!([["status", "=", "ACTIVE"]])), 3, "the counted total too");
    assert_eq!(matched(json!([["repository.name", "=", "Away"]])), 0);
    assert_eq!(matched(json!([["serial", "like", "A%"]])), 0);
    let wanted = json!(["serial", {"users": [{"elements": ["loginName"]}]}, {"tokenAssignments": [{"elements": ["id"]}]}]);
    let rows = desk.ok("token/search", json!({"return": wanted, "sort": "serial"}))["rows"].clone();
    let seen: Vec<(&str, usize, usize)> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let count = |name: &str| row[name]["elements"].as_array().unwrap().len();
            (row["serial"].as_str().unwrap(), count("users"), count("tokenAssignments"))
        })
        .collect();
    assert_eq!(seen, [("H0", 0, 0), ("HA", 0, 0), ("HH", 1, 1)]);
    let alice = json!({"domain.name": "here", "loginName": "alice"});
    let tokens = json!([{"tokens": [{"elements": ["serial"]}]}]);
    let shown = desk.ok("user/get", json!({"user": alice, "return": tokens}));
    assert_eq!(shown, json!({"tokens": {"elements": [{"serial": "HH"}]}}));
    assert_eq!(world.gate.ok("auth/listTokens", json!({ "user": alice }))["total"], 1);
    let parent = desk.ok("repository/search", json!({"return": ["name", "parent.name"]}));
    assert_eq!(parent["rows"], json!([{"name": "Here", "parent.name": null}]));
    let by_parent = json!({"match": [["parent.name", "=", "Away"]]});
    assert_eq!(desk.ok("repository/search", by_parent)["total"], 0);
    let watch = Client::as_operator(&desk.base, "watch", PASSWORD);
    assert_eq!(watch.ok("token/search", json!({}))["total"], 3);
}

#[test]
fn a_verifier_lets_nobody_in_by_a_token_outside_and_spends_nothing_of_it() {
    let world = world();
    let ask = |client: &Client, params: Json, otp: &str| {
        let mut question = params;
        question["credential"] = json!({ "otp": otp });
        client.ok("auth/verify", question)["accepted"].as_bool().unwrap()
    };
    let alice = json!({"user": {"domain.name": "here", "loginName": "alice"}});
    let bob = json!({"user": {"domain.name": "away", "loginName": "bob"}});
    assert!(ask(&world.gate, json!({"token": {"serial": "HH"}}), RFC[0]));
    // Alice's HH is past counter 0; her other token, outside, is not.
    assert!(!ask(&world.gate, alice.clone(), RFC[0]));
    assert!(!ask(&world.gate, bob.clone(), RFC[0]));
    // A token inside whose user is outside is nobody's here.
    assert!(ask(&world.gate, json!({"token": {"serial": "HA"}}), RFC[0]));
    let admin = &world.server.client;
    assert!(ask(admin, alice, RFC[0]), "AH was not touched");
    assert!(ask(admin, bob, RFC[0]), "AA was not touched");
}

#[test]
fn a_change_that_would_reach_outside_is_not_made() {
    let world = world();
    let before = all(&world.server.client);
    let desk = &world.desk;
    let refused = |method: &str, params: Json| desk.error(method, params).kind;
    let ha = json!({"serial": "HA"});
    // Bob's assignment goes with these.
    assert_eq!(refused("token/retire", json!({ "token": ha })), "assignment.not_found");
    let lost = json!({"token": ha, "replacement": {"serial": "H0"}});
    assert_eq!(refused("token/lost", lost), "assignment.not_found");
    // Alice has a token outside.
    let alice = json!({"domain.name": "here", "loginName": "alice"});
    assert_eq!(refused("user/delete", json!({ "user": alice })), "assignment.not_found");
    // What it made it would not see.
    assert_eq!(refused("domain/create", json!({"attrs": {"name": "new"}})), "permission.denied");
    let csv = "domain,loginName,manufacturerCode,productCode,serial,status,pin\n\
               here,alice,OATH,HOTP,A0,ACTIVE,\naway,bob,OATH,HOTP,H0,ACTIVE,\n";
    let batch = desk.error("token/batchAssignTokens", json!({"attrs": {"csv": csv}}));
    let rows = json!([
        {"line": 2, "problem": "serial: there is no such token of that product"},
        {"line": 3, "problem": "domain: there is no such domain"},
    ]);
    assert_eq!(batch.rows, rows);
    assert_eq!(all(&world.server.client), before, "nothing was changed");
    // A name that is taken outside is taken.
    let taken = json!({"domain": {"name": "here"}, "attrs": {"name": "away"}});
    assert_eq!(refused("domain/set", taken), "object.exists");
    assert_eq!(
        desk.ok("token/assign", json!({"token": {"serial": "H0"}, "user": alice})),
        json!({"id": "a5"})
    );
}

#[test]
fn a_slot_that_holds_a_token_from_outside_is_neither_shown_nor_erased() {
    let world = world();
    let desk = &world.desk;
    let slots = desk.ok("device/slots", json!({"device": world.device}));
    assert_eq!((&slots["total"], &slots["rows"][0]["token"]), (&json!(1), &Json::Null));
    let slot = slots["rows"][0]["slot"].clone();
    let erase = json!({"device": world.device, "slot": slot});
    assert_eq!(desk.error("device/erase", erase.clone()).kind, "token.not_found");
    assert_eq!(desk.error("job/get", json!({"job": "j1"})).kind, "job.not_found");
    assert_eq!(desk.error("job/confirm", json!({"job": "j1", "passcode": "000000"})).kind, "job.not_found");
    let slots = world.server.client.ok("device/slots", json!({"device": world.device}));
    assert_eq!(slots["rows"][0]["token"]["serial"], "12345678", "it is still there");
    assert_eq!(world.server.client.ok("device/erase", erase)["state"], "ready");
}

#[test]
fn a_narrowed_operator_programs_into_its_own_repository_and_sees_its_job() {
    let world = world();
    let key = json!({"manufacturerCode": "YK", "productCode": "HOTP"});
    let attrs =
        json!({"repository": {"name": "Here"}, "user": {"domain.name": "here", "loginName": "alice"}});
    let job = world.desk.ok(
        "device/program",
        json!({"device": world.device, "slot": "second", "product": key, "attrs": attrs, "wait": 30}),
    );
    assert_eq!(job["state"], "ready", "{job}");
    assert_eq!(world.desk.ok("job/get", json!({"job": job["job"]})), job);
    let erased = world.desk.ok("device/erase", json!({"device": world.device, "slot": "second"}));
    assert_eq!(erased["state"], "ready");
}

#[test]
fn a_deleted_domain_leaves_the_scope_smaller_and_never_wider() {
    let world = world();
    let admin = &world.server.client;
    admin.ok("domain/create", json!({"attrs": {"name": "empty"}}));
    let narrow = json!({"operator": {"name": "desk"}, "attrs": {"domains": [{"name": "empty"}]}});
    admin.ok("operator/set", narrow);
    assert_eq!(world.desk.ok("domain/search", json!({}))["total"], 1);
    admin.ok("domain/delete", json!({"domain": {"name": "empty"}}));
    assert_eq!(world.desk.ok("domain/search", json!({}))["total"], 0);
    assert_eq!(world.desk.ok("user/search", json!({}))["total"], 0);
}
