//! Searching a large stock: which index finds a page, which rows nobody sees yet, and that the counters are right.

use std::collections::BTreeMap;

use firmware_fixtures::attach::VirtualBus;
use fobd::model::id::{ProductId, RepositoryId, TokenId, UserId};
use fobd::model::status::AssignmentStatus;
use fobd::otp::credential::{Credential, Parameters};
use fobd::otp::secret::Secret;
use fobd::service::chunks;
use fobd::service::error::Error;
use fobd::store::assignments::NewAssignment;
use fobd::store::imports::ImportId;
use fobd::store::objects::{self, Condition, Search};
use fobd::store::tokens::NewToken;
use fobd::store::{StoreError, Tx};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value as Json, json};

use crate::support::client::Client;
use crate::support::in_process::InProcess;
use crate::support::program::Installation;
use crate::support::{
    RFC_SECRET_HEX, alice, eventually, furnish, give_alice_a_token, import_hotp, product, token_is_let_in,
};

/// The first passcode of the RFC secret.
const FIRST: &str = "755224";

fn server() -> InProcess {
    let server = InProcess::start(VirtualBus::new());
    furnish(&server.client);
    server.client.ok("repository/create", json!({"attrs": {"name": "Stock"}}));
    server
}

/// The row id behind an id on the wire.
fn row_id(client: &Client, method: &str, selector: Json) -> i64 {
    let object = method.split('/').next().unwrap();
    let shown = client.ok(method, json!({object: selector, "return": ["id"]}));
    shown["id"].as_str().unwrap()[1..].parse().unwrap()
}

fn a_token(server: &InProcess, serial: &str, import: Option<ImportId>) -> NewToken {
    NewToken {
        serial: serial.to_owned(),
        identifier: serial.to_owned(),
        product: ProductId(row_id(&server.client, "product/get", product("OH"))),
        repository: RepositoryId(row_id(&server.client, "repository/get", json!({"name": "Default"}))),
        description: String::new(),
        import,
    }
}

fn rfc_credential() -> Credential {
    let secret = Secret::new(b"12345678901234567890".to_vec()).unwrap();
    Credential { secret, parameters: Parameters::HOTP }
}

fn write<T: Send + 'static>(
    server: &InProcess,
    work: impl FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> T {
    server.block_on(server.app.store.write(work)).unwrap()
}

fn conditions(triples: &Json) -> Vec<Condition> {
    let triples = triples.as_array().unwrap().iter();
    triples
        .map(|triple| Condition {
            path: triple[0].as_str().unwrap().to_owned(),
            operator: triple[1].as_str().unwrap().to_owned(),
            value: triple[2].clone(),
        })
        .collect()
}

/// The plan of a search for the first 20 tokens, as a user interface asks for them.
fn plan(server: &InProcess, triples: &Json, sort: Option<&str>) -> Vec<String> {
    let search = Search {
        conditions: conditions(triples),
        wanted: vec![json!("id"), json!("serial"), json!("status"), json!({"product": ["name"]})],
        sort: sort.map(str::to_owned),
        descending: sort.is_some(),
        max: Some(20),
        offset: 0,
    };
    let explain = server
        .app
        .store
        .read(move |reader| objects::explain(reader, &objects::TOKEN, &search).map_err(Error::from));
    server.block_on(explain).unwrap()
}

#[test]
fn an_index_finds_the_first_page_in_its_order_and_the_counters_know_the_total() {
    let server = server();
    let by_product = "SEARCH token USING INDEX tokens_by_product (product_id=?)";
    let by_repository = "SEARCH token USING INDEX tokens_by_repository (repository_id=?)";
    let cases = [
        (json!([]), None, "SCAN token"),
        (json!([["status", "=", "ACTIVE"]]), None, "SEARCH token USING INDEX tokens_by_status (status=?)"),
        (json!([["product.id", "=", "p1"]]), None, by_product),
        (
            json!([["product.manufacturerCode", "=", "YK"], ["product.productCode", "=", "OH"]]),
            None,
            by_product,
        ),
        (json!([["product.name", "like", "YubiKey OATH H%"]]), None, by_product),
        (json!([["repository.name", "=", "Stock"]]), None, by_repository),
        (
            json!([["status", "=", "ACTIVE"], ["product.productCode", "=", "OH"]]),
            None,
            "SEARCH token USING INDEX tokens_by_product_status (product_id=? AND status=?)",
        ),
        (
            json!([["repository.name", "=", "Stock"], ["status", "=", "ACTIVE"]]),
            None,
            "SEARCH token USING INDEX tokens_by_repository_status (repository_id=? AND status=?)",
        ),
        (json!([]), Some("serial"), "SCAN token USING INDEX sqlite_autoindex_tokens_1"),
        (json!([]), Some("status"), "SCAN token USING INDEX tokens_by_status"),
    ];
    for (triples, sort, found_by) in cases {
        let plan = plan(&server, &triples, sort);
        let rows = format!("rows: {found_by}");
        assert!(plan.contains(&rows), "{triples} {sort:?}: {plan:#?}");
        assert!(plan.iter().all(|step| !step.contains("TEMP B-TREE")), "{triples} {sort:?}: {plan:#?}");
        let counted: Vec<&String> = plan.iter().filter(|step| step.starts_with("total: ")).collect();
        let by_counters = "total: SEARCH token USING PRIMARY KEY (import_id=?";
        assert!(counted.len() == 1 && counted[0].starts_with(by_counters), "{triples}: {plan:#?}");
    }
}

#[test]
fn a_serial_and_its_beginning_are_found_by_an_index() {
    let server = server();
    for (triples, found_by) in [
        (json!([["serial", "=", "1001"]]), "SEARCH token USING INDEX sqlite_autoindex_tokens_1 (serial=?)"),
        (
            json!([["serial", "like", "10%"]]),
            "SEARCH token USING INDEX tokens_by_serial (serial>? AND serial<?)",
        ),
    ] {
        let plan = plan(&server, &triples, None);
        let counted = found_by.replace("USING INDEX", "USING COVERING INDEX");
        assert!(plan.contains(&format!("rows: {found_by}")), "{triples}: {plan:#?}");
        assert!(plan.contains(&format!("total: {counted}")), "{triples}: {plan:#?}");
        assert!(plan.iter().all(|step| !step.contains("SCAN token")), "{triples}: {plan:#?}");
    }
}

#[test]
fn what_fits_many_tokens_is_not_sorted_but_skipped_in_the_order_of_the_page() {
    let server = server();
    let token = a_token(&server, "", None);
    write(&server, move |tx| {
        for number in 0..10_001 {
            let serial = format!("M{number:05}");
            tx.insert_token(&NewToken { serial, ..token.clone() })?;
        }
        Ok(())
    });
    for (triples, sort, walked) in [
        (json!([["serial", "like", "m%"]]), None, "SCAN token"),
        (json!([["status", "in", ["ACTIVE", "DISABLED"]]]), None, "SCAN token"),
        (
            json!([["status", "=", "ACTIVE"]]),
            Some("serial"),
            "SCAN token USING INDEX sqlite_autoindex_tokens_1",
        ),
    ] {
        let plan = plan(&server, &triples, sort);
        assert!(plan.contains(&format!("rows: {walked}")), "{triples} {sort:?}: {plan:#?}");
        assert!(plan.iter().all(|step| !step.contains("TEMP B-TREE")), "{triples} {sort:?}: {plan:#?}");
    }
    let found = server.client.ok(
        "token/search",
        json!({"match": [["serial", "like", "m%"]], "max": 2, "offset": 10_000, "return": ["serial"]}),
    );
    assert_eq!(found, json!({"total": 10_001, "rows": [{"serial": "M10000"}]}));
}

/// Starts an import that stays unfinished, of one token that is assigned to alice.
fn begin(server: &InProcess, serial: &str) -> ImportId {
    let user = UserId(row_id(&server.client, "user/get", alice()));
    let token = a_token(server, serial, None);
    write(server, move |tx| {
        let begun = tx.begin_import("test")?;
        let import = Some(begun);
        let token = tx.insert_token_with(&NewToken { import, ..token }, &rfc_credential(), 0)?;
        let status = AssignmentStatus::Active;
        tx.insert_assignment(&NewAssignment { token, user, status, is_owner: true, import })?;
        Ok(begun)
    })
}

#[test]
fn what_an_unfinished_import_has_written_is_seen_by_nobody_and_its_serials_are_taken() {
    let server = server();
    let client = &server.client;
    let import = begin(&server, "1001");
    let counted = json!({"match": [["status", "=", "ACTIVE"]]});
    let scanned = json!({"match": [["serial", "like", "1%"]]});
    let of_alice = json!({"user": alice(), "return": [{"tokens": [{"elements": ["serial"]}]},
        {"tokenAssignments": [{"elements": ["status"]}]}]});
    let nothing = json!({"total": 0, "rows": []});
    for search in [&counted, &scanned] {
        assert_eq!(client.ok("token/search", search.clone()), nothing);
    }
    assert_eq!(client.ok("tokenAssignment/search", json!({})), nothing);
    assert_eq!(
        client.ok("user/get", of_alice.clone()),
        json!({"tokens": {"elements": []}, "tokenAssignments": {"elements": []}})
    );
    let named = json!({"token": {"serial": "1001"}});
    for method in ["token/get", "token/delete", "token/disable", "token/reset"] {
        assert_eq!(client.error(method, named.clone()).kind, "token.not_found", "{method}");
    }
    assert!(!token_is_let_in(client, "1001", FIRST));
    let by_user = json!({"user": alice(), "credential": {"otp": FIRST}});
    assert_eq!(client.ok("auth/verify", by_user), json!({"accepted": false}));
    let attrs = json!({"product": product("OH"), "serial": "1001"});
    assert_eq!(client.error("token/create", json!({ "attrs": attrs })).kind, "object.exists");
    let data = format!("1001,{RFC_SECRET_HEX}\n");
    let attrs = json!({"product": product("OH"), "data": data});
    assert_eq!(client.error("token/import", json!({ "attrs": attrs })).kind, "object.exists");

    write(&server, move |tx| tx.publish_import(import));
    for search in [&counted, &scanned] {
        assert_eq!(client.ok("token/search", search.clone())["total"], json!(1));
    }
    assert_eq!(
        client.ok("user/get", of_alice),
        json!({"tokens": {"elements": [{"serial": "1001"}]},
               "tokenAssignments": {"elements": [{"status": "ACTIVE"}]}})
    );
    assert!(token_is_let_in(client, "1001", FIRST));
}

#[test]
fn an_assignment_of_an_unfinished_batch_is_not_shown_with_its_token_either() {
    let server = server();
    let client = &server.client;
    import_hotp(client, &format!("1001,{RFC_SECRET_HEX}\n"));
    let token = TokenId(row_id(client, "token/get", json!({"serial": "1001"})));
    let user = UserId(row_id(client, "user/get", alice()));
    write(&server, move |tx| {
        let import = Some(tx.begin_import("test")?);
        let status = AssignmentStatus::Active;
        tx.insert_assignment(&NewAssignment { token, user, status, is_owner: true, import })
    });
    let wanted = ["users", "assignedUsers", "sharedUsers", "tokenAssignments"];
    let shown = client.ok("token/get", json!({"token": {"serial": "1001"}, "return": wanted}));
    for name in wanted {
        assert_eq!(shown[name], json!({"elements": []}), "{name}");
    }
}

/// The total of a search by the counters, and by counting rows: `serial` is not among what is counted.
fn totals(client: &Client, triples: &[Json]) -> (Json, Json) {
    let total =
        |triples: &[Json]| client.ok("token/search", json!({"match": triples, "max": 0}))["total"].clone();
    let recounted: Vec<Json> = triples.iter().cloned().chain([json!(["serial", "like", "%"])]).collect();
    (total(triples), total(&recounted))
}

fn assert_counters(client: &Client, after: &str) {
    let statuses = ["ACTIVE", "DISABLED", "DECEASED"].map(|status| json!(["status", "=", status]));
    let products = ["OH", "OT"].map(|code| json!(["product.productCode", "=", code]));
    let repositories = ["Default", "Stock"].map(|name| json!(["repository.name", "=", name]));
    let mut asked: Vec<Vec<Json>> = vec![vec![]];
    for status in &statuses {
        for product in &products {
            for repository in &repositories {
                asked.push(vec![status.clone(), product.clone(), repository.clone()]);
            }
        }
    }
    for triples in asked {
        let (counted, recounted) = totals(client, &triples);
        assert_eq!(counted, recounted, "{triples:?} after {after}");
    }
}

#[test]
fn the_counters_equal_a_recount_whatever_happens_to_tokens() {
    let server = server();
    let client = &server.client;
    let mut dice = 0x5eed_u64;
    let mut roll = |end: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % end
    };
    let (mut serials, mut open): (Vec<String>, Vec<ImportId>) = (vec!["N0".to_owned()], Vec::new());
    client.ok("token/create", json!({"attrs": {"product": product("OH"), "serial": "N0"}}));
    let mut history: BTreeMap<&str, usize> = BTreeMap::new();
    for step in 1..=160 {
        let one = serials[roll(serials.len())].clone();
        let named = json!({"serial": one});
        let (code, stock) = (["OH", "OT"][roll(2)], ["Default", "Stock"][roll(2)]);
        let file = |last: &str| {
            let lines =
                format!("N{step}a,{RFC_SECRET_HEX}\nN{step}b,{RFC_SECRET_HEX}\n{last},{RFC_SECRET_HEX}\n");
            json!({"attrs": {"product": product(code), "repository": {"name": stock}, "data": lines}})
        };
        let what = match roll(11) {
            0 | 1 => {
                let attrs = json!({"product": product(code), "repository": {"name": stock}, "serial": format!("N{step}")});
                client.ok("token/create", json!({ "attrs": attrs }));
                serials.push(format!("N{step}"));
                "create"
            }
            2 => {
                client.ok("token/import", file(&format!("N{step}c")));
                serials.extend(["a", "b", "c"].map(|end| format!("N{step}{end}")));
                "import"
            }
            3 => {
                assert_eq!(client.error("token/import", file(&one)).kind, "object.exists");
                "failed import"
            }
            4 => {
                let status = ["ACTIVE", "DISABLED", "DECEASED"][roll(3)];
                // One that is DECEASED stays so.
                match client.call("token/set", json!({"token": named, "attrs": {"status": status}})) {
                    Err(error) => assert_eq!(error.kind, "object.in_use"),
                    Ok(done) => assert_eq!(done, json!({})),
                }
                "set status"
            }
            5 => {
                client.ok("token/set", json!({"token": named, "attrs": {"repository": {"name": stock}}}));
                "set repository"
            }
            6 if serials.len() > 1 => {
                client.ok("token/delete", json!({ "token": named }));
                serials.retain(|serial| *serial != one);
                "delete"
            }
            7 => {
                // A token that is out of service refuses both, and nothing is counted.
                let _ = client.call("token/lost", json!({ "token": named }));
                "lost"
            }
            8 => {
                let _ = client.call("token/retire", json!({ "token": named }));
                "retire"
            }
            9 => {
                open.push(begin(&server, &format!("N{step}")));
                "begin"
            }
            _ => match open.pop() {
                Some(import) if roll(2) == 0 => {
                    server.block_on(chunks::sweep(&server.app.store, import)).unwrap();
                    "sweep"
                }
                Some(import) => {
                    write(&server, move |tx| tx.publish_import(import));
                    "publish"
                }
                None => continue,
            },
        };
        *history.entry(what).or_default() += 1;
        assert_counters(client, what);
    }
    assert_eq!(history.len(), 11, "not everything has happened: {history:?}");
}

/// Rows of unfinished imports in a database file.
fn hidden_rows(database: &std::path::Path) -> i64 {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT count(*) FROM tokens WHERE import_id IN (SELECT id FROM imports)";
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn an_import_that_is_killed_half_way_is_taken_back_at_the_next_start() {
    let installation = Installation::new();
    let server = installation.start();
    furnish(&server.client);
    give_alice_a_token(&server.client, "1001");
    let file: String = (0..20_000).map(|number| format!("K{number},{RFC_SECRET_HEX}\n")).collect();
    let params = json!({"attrs": {"product": product("OH"), "data": file}});
    let client = server.client.clone();
    let importing = std::thread::spawn(move || client.try_call("token/import", &params));
    eventually("rows of the import", || (hidden_rows(&installation.database()) > 0).then_some(()));
    server.kill_9();
    assert!(importing.join().unwrap().is_err(), "the import was answered before the kill");
    assert!(hidden_rows(&installation.database()) > 0, "the import left nothing to take back");

    let server = installation.start();
    let client = &server.client;
    assert_eq!(hidden_rows(&installation.database()), 0);
    assert_eq!(totals(client, &[]), (json!(1), json!(1)));
    let of_product = [json!(["product.productCode", "=", "OH"]), json!(["status", "=", "ACTIVE"])];
    assert_eq!(totals(client, &of_product), (json!(1), json!(1)));
    assert_eq!(client.error("token/get", json!({"token": {"serial": "K0"}})).kind, "token.not_found");
    assert!(!token_is_let_in(client, "K0", FIRST));
    // The serials are free again.
    import_hotp(client, &format!("K0,{RFC_SECRET_HEX}\n"));
    assert_eq!(totals(client, &[]), (json!(2), json!(2)));
    assert!(token_is_let_in(client, "K0", FIRST));
}

#[test]
fn a_search_that_takes_too_long_is_ended_and_the_server_goes_on() {
    let server = server();
    let client = &server.client;
    give_alice_a_token(client, "1001");
    let token = NewToken { description: format!("{}b", "a".repeat(254)), ..a_token(&server, "", None) };
    write(&server, move |tx| {
        for number in 0..1000 {
            tx.insert_token(&NewToken { serial: format!("S{number}"), ..token.clone() })?;
        }
        Ok(())
    });
    // Each of these compares some ten thousand characters, a hundred times for each of a thousand rows.
    let slow = json!(["description", "like", format!("%{}b", "a".repeat(127))]);
    let all: Vec<Json> = std::iter::repeat_n(slow, 100).collect();
    let error = client.error("token/search", json!({ "match": all }));
    assert_eq!((error.kind.as_str(), error.code), ("search.too_slow", 1008));
    assert_eq!(totals(client, &[]), (json!(1001), json!(1001)));
    assert!(token_is_let_in(client, "1001", &format!("1234{FIRST}")));
}
