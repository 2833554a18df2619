//! Whoever edits the file is found out, at the row: random edits of a real database, with and without care for the
//! numbers of the other rows.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use fobd::audit::SignedHead;
use fobd::audit::check::{Fault, Finding};
use fobd::cli::audit::verify::check_file;
use proptest::prelude::*;
use rusqlite::Connection;

use super::chain::Log;

const ROWS: i64 = 60;

/// A database of 60 rows with heads of the rows 20 and 60, and what was kept elsewhere of it.
struct Specimen {
    log: Log,
    head: SignedHead,
}

static SPECIMEN: LazyLock<Specimen> = LazyLock::new(|| {
    let log = Log::new();
    let store = log.open();
    log.write(&store, 19);
    log.sign(&store);
    for _ in 0..20 {
        // No two rows say the same: they could not be told apart.
        log.clock.0.fetch_add(1, Ordering::SeqCst);
        log.write(&store, 2);
    }
    let head = log.sign(&store);
    drop(store);
    assert_eq!(head.head.sequence, ROWS);
    Specimen { log, head }
});

/// A copy to be edited.
fn copy(scratch: &Path) -> PathBuf {
    let path = scratch.join("copy.db");
    std::fs::copy(SPECIMEN.log.location.database(), &path).unwrap();
    path
}

/// What is found after an edit, with the head and the key from elsewhere, and with nothing.
fn found_after(edit: impl Fn(&Connection)) -> [Option<Finding>; 2] {
    let scratch = tempfile::tempdir().unwrap();
    let path = copy(scratch.path());
    let database = Connection::open(&path).unwrap();
    // Nothing is left beside the file.
    database.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    edit(&database);
    drop(database);
    let head = SPECIMEN.head;
    let check = |heads: &[SignedHead], key| check_file(&path, heads, key, &mut |_, _| {}).unwrap().finding;
    [check(&[head], Some(head.key)), check(&[], None)]
}

fn both(row: i64, fault: Fault) -> [Option<Finding>; 2] {
    [Some(Finding { row, fault }); 2]
}

fn run(database: &Connection, sql: &str) {
    database.execute_batch(sql).unwrap();
}

/// Moves all rows from there on.
fn renumber(database: &Connection, from: i64, by: i64) {
    run(database, &format!("UPDATE audit SET sequence = -(sequence + {by}) WHERE sequence >= {from}"));
    run(database, "UPDATE audit SET sequence = -sequence WHERE sequence < 0");
}

#[test]
fn the_file_itself_is_intact_and_proven() {
    let scratch = tempfile::tempdir().unwrap();
    let before = std::fs::read(copy(scratch.path())).unwrap();
    let path = scratch.path().join("copy.db");
    let report = check_file(&path, &[SPECIMEN.head], Some(SPECIMEN.head.key), &mut |_, _| {}).unwrap();
    assert_eq!((report.rows, report.heads, report.proven, report.finding), (60, 2, Some(60), None));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing is left beside the file");
    assert!(std::fs::read(&path).unwrap() == before, "the file is as it was");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_changed_column_is_found_at_its_row(row in 1..=ROWS, what in 0..8_usize) {
        let change = [
            "at_ms = at_ms - 1",
            "operator = 'nobody'",
            "action = 'auth/verify'",
            "token_id = 9",
            "user_id = 0",
            "outcome = ''",
            "detail = detail || ' '",
            "hash = zeroblob(32)",
        ][what];
        let found = found_after(|db| run(db, &format!("UPDATE audit SET {change} WHERE sequence = {row}")));
        prop_assert_eq!(found, both(row, Fault::Changed));
    }

    #[test]
    fn rows_taken_out_are_found(row in 1..=50_i64, count in 1..=8_i64, anew: bool) {
        let found = found_after(|db| {
            run(db, &format!("DELETE FROM audit WHERE sequence >= {row} AND sequence < {row} + {count}"));
            if anew {
                renumber(db, row + count, -count);
            }
        });
        prop_assert_eq!(found, both(row, Fault::Missing(row + count - 1)));
    }

    #[test]
    fn a_row_put_in_is_found(row in 1..=58_i64) {
        let found = found_after(|db| {
            renumber(db, row, 1);
            run(db, &format!(
                "INSERT INTO audit SELECT {row}, at_ms, 'intruder', action, token_id, user_id, outcome, detail, hash
                 FROM audit WHERE sequence = {row} + 1"
            ));
        });
        prop_assert_eq!(found, both(row, Fault::Inserted));
    }

    #[test]
    fn rows_that_changed_places_are_found(one in 1..=ROWS, other in 1..=ROWS) {
        prop_assume!(one < other);
        let found = found_after(|db| {
            run(db, &format!("UPDATE audit SET sequence = -1 WHERE sequence = {one}"));
            run(db, &format!("UPDATE audit SET sequence = {one} WHERE sequence = {other}"));
            run(db, &format!("UPDATE audit SET sequence = {other} WHERE sequence = -1"));
        });
        prop_assert_eq!(found, both(one, Fault::Moved(other - 1)));
    }

    #[test]
    fn an_end_cut_off_with_its_heads_is_found_by_the_head_alone(left in 0..ROWS) {
        let found = found_after(|db| {
            run(db, &format!("DELETE FROM audit WHERE sequence > {left}; DELETE FROM audit_heads WHERE sequence > {left}"));
        });
        let truncated = Finding { row: left + 1, fault: Fault::Truncated(ROWS) };
        prop_assert_eq!(found, [Some(truncated), None]);
    }

    #[test]
    fn any_damaged_byte_is_refused_or_found_or_of_no_matter(at in 0..100_000_usize, bits in 1..=255_u8) {
        let scratch = tempfile::tempdir().unwrap();
        let path = copy(scratch.path());
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= bits;
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(report) = check_file(&path, &[SPECIMEN.head], Some(SPECIMEN.head.key), &mut |_, _| {}) {
            prop_assert!(report.finding.is_some() || (report.rows, report.proven) == (60, Some(60)));
        }
    }
}

#[test]
fn heads_that_were_changed_with_the_rows_are_found() {
    // Who has the file has no signing key: heads cannot be made for other rows.
    let found = found_after(|db| run(db, "UPDATE audit_heads SET hash = zeroblob(32) WHERE sequence = 20"));
    assert_eq!(found, both(20, Fault::Unsigned));
    let found = found_after(|db| run(db, "UPDATE audit_nodes SET public_key = zeroblob(32)"));
    assert_eq!(found[0].map(|finding| finding.fault), Some(Fault::Unsigned));
    assert!(found[1].is_some());
}
