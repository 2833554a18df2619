//! The memory over a real file: whatever is done, a copy of the file as a crash would leave it, opened again, says what
//! stood after the last commit, and so do those who read meanwhile.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use tempfile::TempDir;

use super::*;
use crate::model::id::{DomainId, ProductId, RepositoryId};
use crate::model::scope;
use crate::model::status::UserStatus;
use crate::otp::credential::{Credential, Parameters};
use crate::otp::secret::Secret;
use crate::store::assignments::NewAssignment;
use crate::store::catalogue::{DEFAULT_REPOSITORY, NewProduct};
use crate::store::directory::{NewDomain, NewUser};
use crate::store::hot::{FACTOR_COLUMNS, ReaderView, UserRow, newer_factor, read_factor};
use crate::store::sealing::MasterKey;
use crate::store::tokens::{NewToken, TokenChanges};
use crate::store::{Location, Store, Synchronous, Tx, schema};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const TOKENS: i64 = 12;

/// A file with tokens, each with its user.
struct Bench {
    dir: TempDir,
    connection: Connection,
    vault: Vault,
    memory: Memory,
    overlay: Arc<Overlay>,
}

fn location(dir: &Path) -> Location {
    Location { data_dir: dir.to_owned(), key_file: dir.join("key") }
}

fn product() -> NewProduct {
    NewProduct {
        name: "P".to_owned(),
        manufacturer_code: "M".to_owned(),
        product_code: "C".to_owned(),
        parameters: Parameters::HOTP,
        driver: String::new(),
        software: false,
    }
}

fn user(number: i64) -> NewUser {
    NewUser {
        domain: DomainId(1),
        login_name: format!("u{number}"),
        first_name: String::new(),
        last_name: String::new(),
        email: String::new(),
        mobile: String::new(),
        telephone: String::new(),
        principal_name: String::new(),
        status: UserStatus::Active,
    }
}

fn token(number: i64) -> NewToken {
    NewToken {
        serial: format!("T{number}"),
        identifier: String::new(),
        product: ProductId(1),
        repository: RepositoryId(1),
        description: String::new(),
        import: None,
    }
}

fn assignment(number: i64) -> NewAssignment {
    NewAssignment {
        token: TokenId(number),
        user: UserId(number),
        status: crate::model::status::AssignmentStatus::Active,
        is_owner: true,
        import: None,
    }
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let location = location(dir.path());
        Store::create(&location, NOW, |tx| {
            tx.insert_domain(&NewDomain { name: "d".to_owned(), description: String::new() })?;
            tx.insert_repository(DEFAULT_REPOSITORY, "", None)?;
            tx.insert_product(&product())?;
            for number in 1..=TOKENS {
                let secret = Secret::new(vec![number as u8; 20]).unwrap();
                let credential = Credential { secret, parameters: Parameters::HOTP };
                tx.insert_token_with(&token(number), &credential, 0)?;
                tx.insert_user(&user(number))?;
                tx.insert_assignment(&assignment(number))?;
            }
            Ok(())
        })
        .unwrap();
        let mut connection = schema::open(&location.database()).unwrap();
        let vault = Vault::open(&connection, &MasterKey::load(&location.key_file).unwrap()).unwrap();
        schema::prepare_writer(&mut connection, &location.database(), Synchronous::Off).unwrap();
        let overlay = Arc::new(Overlay::default());
        let memory = Memory::new(&mut connection, Arc::clone(&overlay), Arc::default()).unwrap();
        Self { dir, connection, vault, memory, overlay }
    }

    /// One commit; `false` undoes it as a failed one is undone.
    fn commit(&mut self, stands: bool, pace: Pace, work: impl FnOnce(&mut Memory, &Connection, &Vault)) {
        self.memory.begin(&mut self.connection).unwrap();
        let transaction = self.connection.transaction().unwrap();
        work(&mut self.memory, &transaction, &self.vault);
        self.memory.fold(&transaction, pace).unwrap();
        self.memory.log(&transaction).unwrap();
        if stands {
            transaction.commit().unwrap();
            self.memory.publish();
        } else {
            transaction.rollback().unwrap();
            self.memory.forget();
        }
    }

    /// What the tables say once what a crash leaves now was opened again.
    fn after_a_crash(&self) -> Vec<(u64, u32)> {
        let copy = tempfile::tempdir().unwrap();
        for name in ["fobd.db", "fobd.db-wal"] {
            let from = self.dir.path().join(name);
            if from.exists() {
                std::fs::copy(from, copy.path().join(name)).unwrap();
            }
        }
        let path = location(copy.path()).database();
        let mut connection = schema::open(&path).unwrap();
        schema::prepare_writer(&mut connection, &path, Synchronous::Off).unwrap();
        let left: i64 =
            connection.query_row("SELECT count(*) FROM decision_log", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
        states(&connection)
    }

    /// What one who comes now reads.
    fn read(&self) -> Vec<(u64, u32)> {
        let connection = schema::open_reader(&location(self.dir.path()).database()).unwrap();
        let (overlay, epoch) = (Arc::clone(&self.overlay), Arc::new(AtomicU64::new(0)));
        views::install(&connection, ReaderView { overlay, epoch: Arc::clone(&epoch) }).unwrap();
        let visit = self.overlay.enter();
        epoch.store(visit.epoch, Ordering::Relaxed);
        let states = states(&connection);
        let factors: Vec<u64> = states.iter().map(|(factor, _)| *factor).collect();
        assert_eq!(factors_beside_the_view(&connection), factors);
        states
    }
}

/// Counters of the tokens and failures of the users, in their order.
fn states(connection: &Connection) -> Vec<(u64, u32)> {
    let mut select = connection
        .prepare(
            "SELECT t.next_factor, u.failures FROM token_states t LEFT JOIN user_states u ON u.user_id = t.token_id
             ORDER BY t.token_id",
        )
        .unwrap();
    let rows = select.query_map([], |row| {
        Ok((row.get::<_, i64>(0)? as u64, row.get::<_, Option<u32>>(1)?.unwrap_or(u32::MAX)))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// The factors as a search by passcodes reads them: from the table, unless there is something newer.
fn factors_beside_the_view(connection: &Connection) -> Vec<u64> {
    let text = format!(
        "SELECT unfolded_token(s.token_id), {FACTOR_COLUMNS} FROM main.token_states s ORDER BY s.token_id"
    );
    let mut select = connection.prepare(&text).unwrap();
    let factors =
        select.query_map([], |row| Ok(newer_factor(row, 0)?.map_or_else(|| read_factor(row, 1), Ok)?.next));
    factors.unwrap().map(Result::unwrap).collect()
}

/// A small generator of the `SplitMix64` kind.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn verify(memory: &mut Memory, connection: &Connection, vault: &Vault, number: i64, right: bool) -> u64 {
    let keys = Keys { user: Some(UserId(number)), ..Keys::default() };
    let decide = |rows: &mut Rows| {
        let token = rows.tokens.get_mut(&TokenId(number)).unwrap();
        let user: &mut UserRow = rows.users.get_mut(&UserId(number)).unwrap();
        if right {
            token.factor.next += 1;
            user.throttle.clear();
        } else {
            user.throttle.failures += 1;
        }
        Ok(token.factor.next)
    };
    memory.decide(connection, vault, &keys, NOW, decide).unwrap()
}

/// A change by other means, as the writer runs one.
fn change(
    memory: &mut Memory,
    connection: &Connection,
    vault: &Vault,
    keep: bool,
    work: impl FnOnce(&Tx<'_>),
) {
    connection.execute_batch("SAVEPOINT work").unwrap();
    let tx = Tx::new(connection, vault, NOW, &scope::ALL, memory.unfolded());
    work(&tx);
    let touched = memory.touched();
    assert!(memory.is_settled(&touched));
    if keep {
        tx.finish().unwrap();
        connection.execute_batch("RELEASE work").unwrap();
        memory.absorb(connection, touched).unwrap();
    } else {
        tx.unsettle();
        connection.execute_batch("ROLLBACK TO work; RELEASE work").unwrap();
    }
}

#[test]
fn whatever_is_done_a_crash_and_a_reader_find_what_stood_after_the_last_commit() {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_130_u64);
    eprintln!("SEED={seed}");
    let mut dice = seed;
    let mut bench = Bench::new();
    bench.memory.fold_from = 5;
    let mut model = vec![(0_u64, 0_u32); TOKENS as usize];
    let (mut folded, mut failed) = (0, 0);
    for _ in 0..400 {
        let stands = !random(&mut dice).is_multiple_of(10);
        let pace = match random(&mut dice) % 6 {
            0 => Pace::Alone(Duration::ZERO),
            1 => Pace::Alone(Duration::MAX),
            _ => Pace::Beside(1),
        };
        let mut next = model.clone();
        bench.commit(stands, pace, |memory, connection, vault| {
            for _ in 0..random(&mut dice) % 4 {
                let number = 1 + (random(&mut dice) % TOKENS as u64) as i64;
                let place = (number - 1) as usize;
                let (counter, failures) = next[place];
                match random(&mut dice) % 8 {
                    0 => {
                        let keep = random(&mut dice).is_multiple_of(2);
                        change(memory, connection, vault, keep, |tx| {
                            tx.clear_user_failures(UserId(number)).unwrap();
                        });
                        next[place].1 = if keep { 0 } else { failures };
                    }
                    1 => {
                        // A new secret begins where it is told to, whatever the log says of the old one.
                        let start = random(&mut dice) % 1000;
                        change(memory, connection, vault, true, |tx| {
                            let (credential, seen) =
                                tx.reader().credential_of(TokenId(number)).unwrap().unwrap();
                            assert_eq!(seen, counter, "a change sees what decisions have moved");
                            tx.put_credential(TokenId(number), &credential, start).unwrap();
                        });
                        next[place].0 = start;
                    }
                    2 => change(memory, connection, vault, true, |tx| {
                        tx.change_token(TokenId(number), &TokenChanges::default()).unwrap();
                    }),
                    right @ 3..6 => {
                        assert_eq!(
                            verify(memory, connection, vault, number, right > 3),
                            next[place].0 + u64::from(right > 3)
                        );
                        next[place] = if right > 3 { (counter + 1, 0) } else { (counter, failures + 1) };
                    }
                    _ => {
                        assert_eq!(verify(memory, connection, vault, number, true), counter + 1);
                        next[place] = (counter + 1, 0);
                    }
                }
            }
        });
        if stands {
            model = next;
        } else {
            failed += 1;
        }
        folded += usize::from(bench.memory.is_folded());
        assert_eq!(bench.after_a_crash(), model);
        assert_eq!(bench.read(), model);
    }
    assert!(folded > 10 && failed > 10, "{folded} folded, {failed} failed");
}

#[test]
fn a_deleted_row_stays_deleted_whatever_the_log_says_of_it() {
    let mut bench = Bench::new();
    bench.commit(true, Pace::Beside(1), |memory, connection, vault| {
        verify(memory, connection, vault, 3, true);
    });
    bench.commit(true, Pace::Beside(0), |memory, connection, vault| {
        change(memory, connection, vault, true, |tx| {
            tx.delete_user(UserId(3)).unwrap();
            tx.delete_token(TokenId(3)).unwrap();
        });
    });
    assert_eq!(bench.after_a_crash().len(), TOKENS as usize - 1);
    bench.commit(true, Pace::Beside(0), |memory, connection, vault| {
        let keys = Keys { user: Some(UserId(3)), token: Some(TokenId(3)), ..Keys::default() };
        let seen = |rows: &mut Rows| Ok(rows.users.len() + rows.tokens.len() + rows.assignments.len());
        assert_eq!(memory.decide(connection, vault, &keys, NOW, seen).unwrap(), 0);
    });
}

#[test]
fn a_decision_sees_assignments_come_move_and_go() {
    let mut bench = Bench::new();
    let seen = |memory: &mut Memory, connection: &Connection, vault: &Vault, number| {
        let keys = Keys { user: Some(UserId(number)), ..Keys::default() };
        let tokens = |rows: &mut Rows| Ok(rows.tokens.keys().map(|token| token.0).collect::<Vec<_>>());
        memory.decide(connection, vault, &keys, NOW, tokens).unwrap()
    };
    bench.commit(true, Pace::Beside(1), |memory, connection, vault| {
        assert_eq!(seen(memory, connection, vault, 1), [1]);
        let mut extra = AssignmentId(0);
        change(memory, connection, vault, true, |tx| {
            extra = tx.insert_assignment(&NewAssignment { user: UserId(1), ..assignment(2) }).unwrap();
        });
        assert_eq!(seen(memory, connection, vault, 1), [1, 2]);
        change(memory, connection, vault, true, |tx| tx.move_assignment(extra, TokenId(5)).unwrap());
        assert_eq!(seen(memory, connection, vault, 1), [1, 5]);
        change(memory, connection, vault, true, |tx| tx.delete_assignment(extra).unwrap());
        assert_eq!(seen(memory, connection, vault, 1), [1]);
    });
}

#[test]
fn a_decision_sees_a_token_identifier_come_and_go_also_where_the_change_is_undone() {
    let mut bench = Bench::new();
    let seen = |memory: &mut Memory, connection: &Connection, vault: &Vault| {
        let keys = Keys { token: Some(TokenId(3)), ..Keys::default() };
        let identifier = |rows: &mut Rows| Ok(rows.tokens[&TokenId(3)].token_identifier.clone());
        memory.decide(connection, vault, &keys, NOW, identifier).unwrap()
    };
    // By this table alone, whatever else a change of it touches.
    let put = |identifier: Option<&'static str>| {
        move |tx: &Tx<'_>| {
            let update = "UPDATE credentials SET token_identifier = ?1 WHERE token_id = 3";
            assert_eq!(tx.connection().execute(update, [identifier]).unwrap(), 1);
        }
    };
    bench.commit(true, Pace::Beside(1), |memory, connection, vault| {
        assert_eq!(seen(memory, connection, vault), None);
        change(memory, connection, vault, true, put(Some("ubhe11032475")));
        assert_eq!(seen(memory, connection, vault).as_deref(), Some("ubhe11032475"));
        change(memory, connection, vault, false, put(None));
        assert_eq!(seen(memory, connection, vault).as_deref(), Some("ubhe11032475"));
    });
    bench.commit(false, Pace::Beside(1), |memory, connection, vault| {
        change(memory, connection, vault, true, put(None));
        assert_eq!(seen(memory, connection, vault), None);
    });
    bench.commit(true, Pace::Beside(1), |memory, connection, vault| {
        assert_eq!(seen(memory, connection, vault).as_deref(), Some("ubhe11032475"));
        // What another secret types is not known.
        change(memory, connection, vault, true, |tx| {
            let (credential, _) = tx.reader().credential_of(TokenId(3)).unwrap().unwrap();
            tx.put_credential(TokenId(3), &credential, 0).unwrap();
        });
        assert_eq!(seen(memory, connection, vault), None);
    });
}

#[test]
fn a_change_that_forgets_to_settle_a_row_is_found_out() {
    let mut bench = Bench::new();
    bench.commit(true, Pace::Beside(1), |memory, connection, vault| {
        verify(memory, connection, vault, 3, true);
        connection.execute("UPDATE main.token_states SET failures = 1 WHERE token_id = 4", []).unwrap();
        assert!(memory.is_settled(&memory.touched()));
        connection.execute("UPDATE main.token_states SET failures = 1 WHERE token_id = 3", []).unwrap();
        assert!(!memory.is_settled(&memory.touched()));
        // The plain name is the view, which nobody can write to.
        assert!(connection.execute("UPDATE token_states SET failures = 1", []).is_err());
    });
}

#[test]
fn a_damaged_log_is_not_read() {
    let mut bench = Bench::new();
    bench.commit(true, Pace::Beside(1), |memory, connection, vault| {
        verify(memory, connection, vault, 3, true);
        verify(memory, connection, vault, 4, true);
    });
    bench
        .connection
        .execute("UPDATE decision_log SET changes = substr(changes, 1, length(changes) - 8)", [])
        .unwrap();
    assert!(matches!(journal::recover(&mut bench.connection), Err(StoreError::Unreadable { .. })));
}

/// SQLite tells of no change in a table `WITHOUT ROWID`.
#[test]
fn every_table_that_decisions_read_tells_of_its_changes() {
    let mut bench = Bench::new();
    let read = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let noted = Arc::clone(&read);
    let note = move |context: AuthContext<'_>| {
        if let AuthAction::Read { table_name, .. } = context.action {
            noted.lock().unwrap().insert(table_name.to_owned());
        }
        Authorization::Allow
    };
    bench.connection.authorizer(Some(note)).unwrap();
    for statement in Loader::default().statements() {
        bench.connection.prepare(statement).unwrap();
    }
    policies::load(&bench.connection).unwrap();
    let read = read.lock().unwrap().clone();
    assert!(read.contains("users") && read.contains("imports") && read.contains("policies"), "{read:?}");
    for table in read {
        let has_rowid = bench.connection.prepare(&format!("SELECT rowid FROM main.{table}")).is_ok();
        assert!(has_rowid || table == "source_states", "{table}");
    }
}
