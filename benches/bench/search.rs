//! `token/search`: the first page of 20 rows, beside the plainest page that SQLite can read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fobd::store::objects::{self, Condition, Search};
use fobd::store::{Location, Store, StoreError, Synchronous};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

use crate::caller::Caller;
use crate::data::{self, Data, Noon};
use crate::server::Server;
use crate::table::{Limit, Table, quantile};

/// Rows of a page.
const PAGE: u64 = 20;
/// A first page must be there within so many milliseconds, as the median.
const LIMIT: Limit = Limit::AtMost(20.0);

/// Prints its rows.
pub fn run(data: &Data, table: &mut Table) {
    let location = data.location();
    let reference = bare(&location);
    let store = Store::open(&location, Synchronous::Full, Arc::new(Noon)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let serial = data::serial(data.tokens / 2);
    // About one in 65536, and one in 256.
    let (few, many) = (format!("{}%", &serial[..6]), format!("{}%", &serial[..4]));
    let [active, disabled, deceased] =
        ["ACTIVE", "DISABLED", "DECEASED"].map(|status| equal("status", json!(status)));
    let [codes_2, codes_8] = ["C2", "C8"].map(|code| equal("product.productCode", json!(code)));
    let (maker, product) = (equal("product.manufacturerCode", json!("M2")), equal("product.id", json!("p3")));
    let repository = equal("repository.id", json!("r2"));
    let cases = [
        case("no condition", &[]),
        case("no condition, id desc", &[]).last_first(),
        case("status = ACTIVE", &[&active]),
        case("status = DISABLED (0.1 %)", &[&disabled]),
        case("product.id", &[&product]),
        case("repository.id", &[&repository]),
        case("product.manufacturerCode + productCode", &[&maker, &codes_2]),
        case("status + product", &[&active, &product]),
        case("status + product, few though each is common", &[&active, &codes_8]).last_first(),
        case("status + repository", &[&deceased, &repository]),
        case("product + repository", &[&product, &repository]),
        case("serial = x", &[&equal("serial", json!(serial))]),
        case("sort by serial desc", &[]).by_serial().last_first(),
        case("status = ACTIVE, sort by serial", &[&active]).by_serial(),
        case("serial like 'x%', few", &[&like("serial", &few)]),
        case("serial like 'x%', 0.4 %", &[&like("serial", &many)]),
        case("serial like 'x%', all", &[&like("serial", "bn%")]).unlimited(),
        case("serial like '%x' (scans)", &[&like("serial", "%ABC")]).unlimited(),
        case("failCount > 0 (scans)", &[&compare("failCount", ">", json!(0))]).unlimited(),
    ];
    for Case { name, search, limit } in cases {
        let what = format!("search: {name}");
        match median(|| find(&runtime, &store, &search)) {
            Some((found, total)) => {
                table.row(&format!("{what} [{total}]"), "ms", found, Some(reference), limit);
            }
            None => println!("{what:<58} | search.too_slow"),
        }
    }
    // Lets go of the directory: one server at a time.
    drop(store);
    over_http(&location, reference, table);
}

/// One search.
struct Case {
    name: &'static str,
    search: Search,
    limit: Limit,
}

fn case(name: &'static str, conditions: &[&Condition]) -> Case {
    let conditions = conditions.iter().map(|condition| (*condition).clone()).collect();
    let search = Search { conditions, wanted: wanted(), max: Some(PAGE), ..Search::default() };
    Case { name, search, limit: LIMIT }
}

impl Case {
    fn last_first(mut self) -> Self {
        self.search.descending = true;
        self
    }

    fn by_serial(mut self) -> Self {
        self.search.sort = Some("serial".to_owned());
        self
    }

    /// It reads all that fit, however many.
    fn unlimited(self) -> Self {
        Self { limit: Limit::None, ..self }
    }
}

fn over_http(location: &Location, reference: f64, table: &mut Table) {
    let server = Server::start(location);
    let mut caller = Caller::connect(&server.address, "admin");
    let params = json!({"return": wanted(), "max": PAGE});
    let found = median(|| {
        let answer = caller.call("token/search", &params);
        Some(answer["total"].as_i64().unwrap())
    });
    let (found, total) = found.unwrap();
    table.row(&format!("search: no condition, over HTTP [{total}]"), "ms", found, Some(reference), LIMIT);
}

fn wanted() -> Vec<Json> {
    vec![json!("id"), json!("serial"), json!("status"), json!({"product": ["name"]})]
}

fn equal(path: &str, value: Json) -> Condition {
    Condition::equal(path, value)
}

fn like(path: &str, pattern: &str) -> Condition {
    compare(path, "like", json!(pattern))
}

fn compare(path: &str, operator: &str, value: Json) -> Condition {
    Condition { path: path.to_owned(), operator: operator.to_owned(), value }
}

/// The total; none if the search takes too long.
fn find(runtime: &Runtime, store: &Store, search: &Search) -> Option<i64> {
    let search = search.clone();
    let found = runtime.block_on(store.read(move |reader| {
        objects::search(reader, &objects::TOKEN, &search).map_err(|error| match error {
            objects::QueryError::Store(error) => error,
            error => panic!("{error}"),
        })
    }));
    match found {
        Ok(found) => Some(found["total"].as_i64().unwrap()),
        Err(StoreError::TooSlow) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Median of up to 200 times in milliseconds, within about a second; and what came out the last time.
fn median<T>(mut work: impl FnMut() -> Option<T>) -> Option<(f64, T)> {
    let mut last = work()?;
    let (started, mut times) = (Instant::now(), Vec::new());
    while times.len() < 5 || (times.len() < 200 && started.elapsed() < Duration::from_secs(1)) {
        let begun = Instant::now();
        last = work()?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Some((quantile(&times, 0.5), last))
}

/// The reference: id and serial of the first 20 rows, without the store.
fn bare(location: &Location) -> f64 {
    let database =
        Connection::open_with_flags(location.database(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let page = || {
        let mut select =
            database.prepare_cached("SELECT id, serial FROM tokens ORDER BY id LIMIT 20").unwrap();
        let rows = select.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))).unwrap();
        Some(rows.map(Result::unwrap).count())
    };
    median(page).unwrap().0
}
