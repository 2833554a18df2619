//! What one change may do to the others in its commit: nothing.
//!
//! The batches here are sure to be one: a first change holds the writer until all others are waiting, and the clock
//! moves with each look at it, so that changes of the same time are changes of the same commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use fobd::model::id::TokenId;
use fobd::otp::credential::{Credential, Parameters};
use fobd::otp::repeats::Repeats;
use fobd::otp::secret::Secret;
use fobd::otp::time::{Clock, Timestamp};
use fobd::store::catalogue::NewProduct;
use fobd::store::hot::{Decision, Keys, Rows};
use fobd::store::tokens::NewToken;
use fobd::store::{Location, Store, StoreError, Synchronous, Tx, audit, objects};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// One millisecond later at each look.
struct TickingClock(AtomicI64);

impl Clock for TickingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

struct Bench {
    store: Store,
    token: TokenId,
    runtime: Runtime,
    location: Location,
    _dir: tempfile::TempDir,
}

fn entry(detail: &str) -> audit::Entry {
    audit::Entry {
        operator: "test".to_owned(),
        action: "auth/verify",
        token: None,
        user: None,
        outcome: "done",
        detail: detail.to_owned(),
    }
}

/// A store with one token, whose counter is 0.
fn bench() -> Bench {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let location = Location { data_dir: dir.path().to_owned(), key_file: dir.path().join("master.key") };
    let mut token = None;
    Store::create(&location, Timestamp::from_secs(1), |tx| {
        token = Some(fill(tx)?);
        Ok(())
    })
    .expect("a new store");
    let clock = Arc::new(TickingClock(AtomicI64::new(1_000_000)));
    let store = Store::open(&location, Synchronous::Full, clock).expect("the store");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    Bench { store, token: token.expect("a token"), runtime, location, _dir: dir }
}

fn fill(tx: &Tx<'_>) -> Result<TokenId, StoreError> {
    let product = tx.insert_product(&NewProduct {
        name: "Key".to_owned(),
        manufacturer_code: "K".to_owned(),
        product_code: "1".to_owned(),
        parameters: Parameters::HOTP,
        driver: String::new(),
        software: false,
    })?;
    let token = tx.insert_token(&NewToken {
        serial: "1".to_owned(),
        identifier: "1".to_owned(),
        product,
        repository: tx.insert_repository("Default", "", None)?,
        description: String::new(),
        import: None,
    })?;
    let secret = Secret::new(b"12345678901234567890".to_vec()).expect("a secret");
    tx.put_credential(token, &Credential { secret, parameters: Parameters::HOTP }, 0)?;
    Ok(token)
}

/// Spends the next passcode, and tells what it saw: the time of the commit, the counter before, and how many
/// memories of typed texts there were.
struct Advance {
    token: TokenId,
    panics: bool,
}

impl Decision for Advance {
    type Reply = (Timestamp, u64, usize);

    fn keys(&self) -> Keys {
        Keys { token: Some(self.token), ..Keys::default() }
    }

    fn decide(&self, rows: &mut Rows, now: Timestamp) -> (Self::Reply, audit::Entry) {
        let memories = rows.repeats.len();
        let memory: &mut Repeats = rows.repeats.entry(self.token.0).or_default();
        memory.seen_recently([7; 32], now, Duration::from_secs(60));
        let row = rows.tokens.get_mut(&self.token).expect("the token is loaded");
        let before = row.factor.next;
        row.factor.spend(before);
        assert!(!self.panics, "a decision breaks down on purpose");
        ((now, before, memories), entry("advanced"))
    }
}

impl Bench {
    /// Holds the writer until `batch` has queued all it has to say, and lets it go.
    fn at_once<T>(&self, batch: impl Future<Output = T>) -> T {
        let (entered, is_held) = oneshot::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let hold = self.store.write(move |_| {
            entered.send(()).expect("the test waits");
            released.recv().expect("the test lets go");
            Ok::<_, StoreError>(())
        });
        let rest = async {
            is_held.await.expect("the writer is held");
            // Everything in `batch` is queued when it is polled for the first time.
            tokio::join!(batch, async { release.send(()).expect("the writer waits") }).0
        };
        let (held, done) = self.runtime.block_on(async { tokio::join!(hold, rest) });
        held.expect("holding the writer changes nothing");
        done
    }

    fn advance(&self, panics: bool) -> Advance {
        Advance { token: self.token, panics }
    }

    async fn make_domain(&self, name: &'static str) -> Result<Timestamp, StoreError> {
        let domain = move |tx: &Tx<'_>| {
            insert_domain(tx, name)?;
            Ok(tx.now())
        };
        self.store.write(domain).await
    }

    fn domains(&self) -> Vec<String> {
        let search = objects::Search { wanted: vec![json!("name")], ..objects::Search::default() };
        let found = self.runtime.block_on(self.store.read(move |reader| {
            Ok::<_, StoreError>(objects::search(reader, &objects::DOMAIN, &search).expect("a search"))
        }));
        let found = found.expect("the store can be read");
        found["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Details of the audit rows, in their order. Each must follow the one before.
    fn audited(&self) -> Vec<String> {
        crate::audit::assert_intact(&self.location.database());
        let database = rusqlite::Connection::open(self.location.database()).unwrap();
        let mut select = database.prepare("SELECT detail FROM audit ORDER BY sequence").unwrap();
        let rows = select.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    /// Makes the database refuse: `inside` at a statement of the work, otherwise at its commit.
    fn refuse_domain(&self, name: &str, inside: bool) {
        let refuse = if inside { "SELECT raise(ABORT, 'refused');" } else { "INSERT INTO child VALUES (1);" };
        let database = rusqlite::Connection::open(self.location.database()).unwrap();
        database
            .execute_batch(&format!(
                "CREATE TABLE parent (id INTEGER PRIMARY KEY);
                 CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
                 CREATE TRIGGER refuse AFTER INSERT ON domains WHEN new.name = '{name}' BEGIN {refuse} END;"
            ))
            .unwrap();
    }
}

fn insert_domain(tx: &Tx<'_>, name: &str) -> Result<(), StoreError> {
    let domain = fobd::store::directory::NewDomain { name: name.to_owned(), description: String::new() };
    tx.insert_domain(&domain)?;
    tx.audit(entry(name));
    Ok(())
}

#[test]
fn work_that_panics_or_fails_undoes_its_own_changes_and_no_others() {
    let bench = bench();
    let store = &bench.store;
    let (before, panicked, first, failed, second, after) = bench.at_once(async {
        tokio::join!(
            biased;
            bench.make_domain("before"),
            store.write(|tx| -> Result<(), StoreError> {
                insert_domain(tx, "panicked")?;
                panic!("work breaks down on purpose")
            }),
            store.decide(bench.advance(false)),
            store.write(|tx| -> Result<(), StoreError> {
                insert_domain(tx, "failed")?;
                Err(StoreError::Overloaded)
            }),
            store.decide(bench.advance(false)),
            bench.make_domain("after"),
        )
    });
    assert!(matches!(panicked, Err(StoreError::Panicked)));
    assert!(matches!(failed, Err(StoreError::Overloaded)));
    let now = before.unwrap();
    assert_eq!(after.unwrap(), now, "one commit");
    // The second sees what the first did, on both sides of the work that failed.
    assert_eq!((first.unwrap(), second.unwrap()), ((now, 0, 0), (now, 1, 1)));
    assert_eq!(bench.domains(), ["before", "after"]);
    assert_eq!(bench.audited(), ["before", "advanced", "advanced", "after"]);
    assert!(store.is_healthy());
}

#[test]
fn a_statement_that_the_database_refuses_costs_its_own_work_only() {
    let bench = bench();
    bench.refuse_domain("refused", true);
    let (before, refused, after) = bench.at_once(async {
        tokio::join!(
            biased;
            bench.store.decide(bench.advance(false)),
            bench.make_domain("refused"),
            bench.make_domain("after"),
        )
    });
    assert!(matches!(refused, Err(StoreError::Sqlite(_))));
    assert_eq!(before.unwrap().0, after.unwrap(), "one commit");
    assert_eq!(bench.domains(), ["after"]);
    assert_eq!(bench.audited(), ["advanced", "after"]);
}

#[test]
fn a_commit_that_fails_fails_all_of_its_batch_and_forgets_what_it_had_in_memory() {
    let bench = bench();
    let store = &bench.store;
    bench.refuse_domain("broken", false);
    let (decided, broken, failed, made) = bench.at_once(async {
        tokio::join!(
            biased;
            store.decide(bench.advance(false)),
            bench.make_domain("broken"),
            // A refusal may rest on what another one in the batch did: it does not stand either.
            store.write(|_| Err::<(), _>(StoreError::Overloaded)),
            bench.make_domain("beside"),
        )
    });
    assert!(matches!(decided, Err(StoreError::NotCommitted(_))), "{decided:?}");
    assert!(matches!(broken, Err(StoreError::NotCommitted(_))), "{broken:?}");
    assert!(matches!(failed, Err(StoreError::NotCommitted(_))), "{failed:?}");
    assert!(matches!(made, Err(StoreError::NotCommitted(_))), "{made:?}");
    assert!(!store.is_healthy());
    assert_eq!((bench.domains(), bench.audited()), (Vec::new(), Vec::new()));
    // The next one finds the counter of the disk, and no memory of the failed batch.
    let (_, before, memories) = bench.runtime.block_on(store.decide(bench.advance(false))).unwrap();
    assert_eq!((before, memories), (0, 0));
    assert!(store.is_healthy());
}

#[test]
fn a_decision_that_panics_fails_its_batch_and_the_writer_goes_on() {
    let bench = bench();
    let store = &bench.store;
    let (first, panicked, made) = bench.at_once(async {
        tokio::join!(
            biased;
            store.decide(bench.advance(false)),
            store.decide(bench.advance(true)),
            bench.make_domain("beside"),
        )
    });
    for outcome in [first, panicked] {
        assert!(outcome.as_ref().is_err_and(StoreError::is_passing), "{outcome:?}");
    }
    assert!(made.as_ref().is_err_and(StoreError::is_passing), "{made:?}");
    assert_eq!((bench.domains(), bench.audited()), (Vec::new(), Vec::new()));
    let (_, before, memories) = bench.runtime.block_on(store.decide(bench.advance(false))).unwrap();
    assert_eq!((before, memories), (0, 0), "what it had half changed is gone");
    assert!(store.is_healthy());
}

#[test]
fn after_a_failed_commit_a_probe_tells_whether_the_disk_takes_changes_again() {
    let bench = bench();
    bench.refuse_domain("broken", false);
    assert!(bench.runtime.block_on(bench.make_domain("broken")).is_err());
    assert!(!bench.store.is_healthy());
    bench.runtime.block_on(bench.store.probe()).unwrap();
    assert!(bench.store.is_healthy());
}

#[test]
fn the_log_is_folded_into_the_database_while_changes_go_on() {
    let bench = bench();
    let log = bench.location.database().with_extension("db-wal");
    let mut largest = 0;
    for _ in 0..3000 {
        let change = bench.store.write(|tx| {
            tx.audit(entry("one commit"));
            tx.audit(entry("with two rows"));
            Ok::<_, StoreError>(())
        });
        bench.runtime.block_on(change).unwrap();
        largest = largest.max(std::fs::metadata(&log).unwrap().len());
    }
    // Each commit adds a page or more: never folded, they would be 12 MiB.
    assert!(largest < 8 << 20, "{largest} bytes");
}
