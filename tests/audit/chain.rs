//! How the chain comes to be: by the writer, with the commit, and for the rows of older versions.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use fobd::audit::SignedHead;
use fobd::otp::time::{Clock, Timestamp};
use fobd::store::audit::Entry;
use fobd::store::{Location, Store, StoreError, Synchronous};
use rusqlite::Connection;
use tokio::runtime::Runtime;

use super::assert_intact;

pub struct Settable(pub AtomicI64);

impl Clock for Settable {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

pub struct Log {
    pub location: Location,
    pub clock: Arc<Settable>,
    runtime: Runtime,
    _dir: tempfile::TempDir,
}

fn entry(detail: &str) -> Entry {
    Entry {
        operator: "test".to_owned(),
        action: "test/row",
        token: None,
        user: None,
        outcome: "done",
        detail: detail.to_owned(),
    }
}

impl Log {
    /// A new database with one row.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let location = Location { data_dir: dir.path().to_owned(), key_file: dir.path().join("master.key") };
        Store::create(&location, Timestamp::from_secs(1), |tx| {
            tx.audit(entry("first"));
            Ok(())
        })
        .expect("a new store");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { location, clock: Arc::new(Settable(AtomicI64::new(2_000))), runtime, _dir: dir }
    }

    pub fn open(&self) -> Store {
        Store::open(&self.location, Synchronous::Full, self.clock.clone()).expect("the store")
    }

    pub fn write(&self, store: &Store, rows: usize) {
        let work = store.write(move |tx| {
            (0..rows).for_each(|row| tx.audit(entry(&format!("row {row}"))));
            Ok::<_, StoreError>(())
        });
        self.runtime.block_on(work).expect("rows");
    }

    pub fn sign(&self, store: &Store) -> SignedHead {
        self.runtime.block_on(store.sign_audit()).expect("a signature").expect("a row")
    }

    fn database(&self) -> Connection {
        Connection::open(self.location.database()).unwrap()
    }

    /// The sequences that have a signed head.
    fn signed(&self) -> Vec<i64> {
        let database = self.database();
        let mut select = database.prepare("SELECT sequence FROM audit_heads ORDER BY sequence").unwrap();
        let rows = select.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

#[test]
fn a_head_is_signed_after_a_thousand_rows_after_a_minute_and_at_the_end() {
    let log = Log::new();
    let store = log.open();
    log.write(&store, 998);
    assert_eq!(log.signed(), Vec::<i64>::new());
    log.write(&store, 1);
    assert_eq!(log.signed(), [1000]);
    log.write(&store, 1);
    // Well before the minute: the writer waits for the rest of it by a clock that nobody sets.
    log.clock.0.fetch_add(40_000, Ordering::SeqCst);
    log.write(&store, 1);
    assert_eq!(log.signed(), [1000]);
    log.clock.0.fetch_add(20_000, Ordering::SeqCst);
    log.write(&store, 1);
    assert_eq!(log.signed(), [1000, 1003]);
    log.write(&store, 1);
    drop(store);
    assert_eq!(log.signed(), [1000, 1003, 1004]);
    let report = assert_intact(&log.location.database());
    assert_eq!((report.rows, report.heads, report.signed), (1004, 3, Some(1004)));
}

#[test]
fn a_head_is_asked_for_once_and_told_again_while_nothing_is_new() {
    let log = Log::new();
    let store = log.open();
    let head = log.sign(&store);
    assert_eq!((head.head.sequence, head.head.at_ms), (1, 2_000));
    assert!(head.is_signed_by(&head.key));
    log.clock.0.fetch_add(5, Ordering::SeqCst);
    assert_eq!(log.sign(&store), head);
    log.write(&store, 2);
    assert_eq!(log.sign(&store).head.sequence, 3);
}

#[test]
fn a_failed_commit_leaves_no_trace_in_the_chain() {
    let log = Log::new();
    let store = log.open();
    log.write(&store, 2);
    log.database()
        .execute_batch(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY);
             CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER refuse AFTER INSERT ON audit WHEN new.detail = 'refused' BEGIN INSERT INTO child VALUES (1); END;",
        )
        .unwrap();
    let refused = store.write(|tx| {
        tx.audit(entry("before"));
        tx.audit(entry("refused"));
        Ok::<_, StoreError>(())
    });
    assert!(matches!(log.runtime.block_on(refused), Err(StoreError::NotCommitted(_))));
    log.write(&store, 1);
    assert_eq!(assert_intact(&log.location.database()).rows, 4);
}

#[test]
fn rows_of_a_file_without_hashes_get_them_when_it_is_opened() {
    let log = Log::new();
    drop(log.open());
    // What version 3 left behind: without what came later.
    for column in
        log.database().prepare("SELECT name FROM pragma_table_info('token_states') WHERE name LIKE 'clock%' OR name LIKE 'pending%'")
            .unwrap()
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap()
    {
        log.database().execute_batch(&format!("ALTER TABLE token_states DROP COLUMN {}", column.unwrap())).unwrap();
    }
    log.database()
        .execute_batch(
            "DROP TABLE findings; DROP TABLE policies; DROP TABLE server_clock; DROP TABLE resends;
             ALTER TABLE credentials DROP COLUMN token_identifier; DROP INDEX bearers_by_agent;
             DROP TABLE agent_repositories; DROP TABLE agent_operators; DROP TABLE agent_certificates;
             DROP TABLE agents; DROP TABLE preauth_tokens; DROP TABLE agent_groups;",
        )
        .unwrap();
    log.database()
        .execute_batch(
            "DROP TABLE audit_index; DROP TABLE audit_progress; DROP TABLE audit_heads; DROP TABLE audit_cuts;
             DROP TABLE audit_nodes; DROP TABLE decision_log;
             ALTER TABLE audit DROP COLUMN hash; PRAGMA user_version = 3;
             INSERT INTO audit (at_ms, operator, action, token_id, user_id, outcome, detail)
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2500)
             SELECT 1500 + n, 'old', 'auth/verify', n, NULL, 'accepted', 'row ' || n FROM n;",
        )
        .unwrap();
    let store = log.open();
    log.write(&store, 1);
    drop(store);
    let report = assert_intact(&log.location.database());
    assert_eq!((report.rows, report.signed), (2502, Some(2502)));
}

#[test]
fn rows_that_were_changed_before_their_head_was_signed_are_told_in_the_log_itself() {
    let log = Log::new();
    let store = log.open();
    log.write(&store, 5);
    log.sign(&store);
    log.write(&store, 5);
    // As a crash leaves it, and somebody else after that.
    let copy = log.location.data_dir.join("copy");
    let files = ["fobd.db", "fobd.db-wal"];
    std::fs::create_dir(&copy).unwrap();
    for name in files {
        std::fs::copy(log.location.data_dir.join(name), copy.join(name)).unwrap();
    }
    drop(store);
    let location = Location { data_dir: copy, key_file: log.location.key_file.clone() };
    let database = Connection::open(location.database()).unwrap();
    database.execute("UPDATE audit SET outcome = 'other' WHERE sequence = 8", []).unwrap();
    drop(database);
    let store = Store::open(&location, Synchronous::Full, log.clock.clone()).expect("the store");
    log.runtime.block_on(store.sign_audit()).expect("a head");
    drop(store);
    let database = Connection::open(location.database()).unwrap();
    let told: (String, String) = database
        .query_row("SELECT outcome, detail FROM audit WHERE sequence = 12", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(told, ("broken".to_owned(), "row 8 was changed".to_owned()));
    let finding = super::check(&location.database(), &[], None).finding.expect("a finding");
    assert_eq!(finding.to_string(), "row 8 was changed");
}

#[test]
fn an_idle_server_signs_the_newest_rows_in_time() {
    let log = Log::new();
    let store = log.open();
    store.sign_audit_after(Duration::from_millis(1));
    log.write(&store, 1);
    crate::support::eventually("a signed head", || (log.signed() == [2]).then_some(()));
}
