use proptest::prelude::*;

use super::*;
use crate::audit::{NodeId, Signer};

const ROWS: i64 = 40;

fn signer(node: u8) -> Signer {
    Signer::new([node; 16], &[node; 32]).unwrap()
}

fn row(sequence: i64, node: &NodeId, previous: &Hash) -> Row {
    let mut row = Row {
        sequence,
        at_ms: 1_767_225_600_000 + sequence,
        operator: "admin".to_owned(),
        action: "auth/verify".to_owned(),
        token: Some(sequence % 5),
        user: None,
        outcome: "accepted".to_owned(),
        detail: format!("row {sequence}"),
        hash: [0; 32],
    };
    row.hash = row.content().hash(previous, node, sequence);
    row
}

/// A log of one node.
fn log() -> (Start, Vec<Row>) {
    let signer = signer(7);
    let node = Node { id: *signer.node(), first: 1, key: signer.public_key() };
    let mut previous = node.beginning(None);
    let mut rows = Vec::new();
    for sequence in 1..=ROWS {
        let row = row(sequence, &node.id, &previous);
        previous = row.hash;
        rows.push(row);
    }
    (Start { nodes: vec![node], ..Start::default() }, rows)
}

fn head_of(rows: &[Row], sequence: i64) -> SignedHead {
    signer(7).sign(sequence, rows[usize::try_from(sequence).unwrap() - 1].hash, 0)
}

fn check(start: Start, rows: &[Row], heads: &[SignedHead]) -> Report {
    let mut checker = Checker::new(start, heads, Some(signer(7).public_key()));
    rows.iter().for_each(|row| checker.row(row));
    checker.finish()
}

fn finding(start: Start, rows: &[Row], heads: &[SignedHead]) -> Option<(i64, Fault)> {
    check(start, rows, heads).finding.map(|finding| (finding.row, finding.fault))
}

/// Numbers the rows anew from 1, as a database does that has no gaps.
fn renumber(rows: &mut [Row]) {
    for (sequence, row) in (1..).zip(rows) {
        row.sequence = sequence;
    }
}

fn at(row: i64) -> usize {
    usize::try_from(row).unwrap() - 1
}

#[test]
fn a_log_as_it_was_written_is_proven_up_to_the_head() {
    let (start, rows) = log();
    let expected =
        Report { rows: 40, last: Some(40), heads: 0, proven: Some(30), signed: None, finding: None };
    assert_eq!(check(start, &rows, &[head_of(&rows, 30), head_of(&rows, 10)]), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_row_is_named(row in 1..=ROWS, what in 0..8) {
        let (start, mut rows) = log();
        let changed = &mut rows[at(row)];
        match what {
            0 => changed.at_ms += 1,
            1 => changed.operator.push('x'),
            2 => changed.action = "token/get".to_owned(),
            3 => changed.token = None,
            4 => changed.user = Some(0),
            5 => changed.outcome = "rejected".to_owned(),
            6 => changed.detail.clear(),
            _ => changed.hash[9] ^= 4,
        }
        prop_assert_eq!(finding(start, &rows, &[]), Some((row, Fault::Changed)));
    }

    #[test]
    fn rows_taken_out_are_named_whether_or_not_the_others_are_numbered_anew(
        row in 1..=30_i64, count in 1..=5_i64, anew: bool,
    ) {
        let (start, mut rows) = log();
        rows.drain(at(row)..at(row + count));
        if anew {
            renumber(&mut rows);
        }
        prop_assert_eq!(finding(start, &rows, &[]), Some((row, Fault::Missing(row + count - 1))));
    }

    #[test]
    fn rows_put_in_are_named(place in 1..=39_i64, count in 1..=3_usize) {
        let (start, mut rows) = log();
        for _ in 0..count {
            let put_in = row(place, &[7; 16], &[1; 32]);
            rows.insert(at(place), put_in);
        }
        renumber(&mut rows);
        let expected = if place == 40 { Fault::Changed } else { Fault::Inserted };
        let found = finding(start, &rows, &[]);
        prop_assert_eq!(found.map(|(row, _)| row), Some(place));
        if place < 39 {
            prop_assert_eq!(found, Some((place, expected)));
        }
    }

    #[test]
    fn a_copy_of_a_row_is_named(original in 1..=ROWS, place in 2..=ROWS) {
        prop_assume!(original < place);
        let (start, mut rows) = log();
        let copy = rows[at(original)].clone();
        rows.insert(at(place), copy);
        prop_assert_eq!(finding(start, &rows, &[]), Some((original, Fault::Inserted)));
    }

    #[test]
    fn rows_that_change_places_are_named(one in 1..=ROWS, other in 1..=ROWS) {
        prop_assume!(one < other);
        let (start, mut rows) = log();
        rows.swap(at(one), at(other));
        // In a table the places keep their numbers, in a file of lines the rows do.
        let found = finding(start.clone(), &rows, &[]);
        prop_assert_eq!(found.map(|found| found.0), Some(one));
        prop_assert!(matches!(found, Some((_, Fault::Moved(_)))), "{:?}", found);
        renumber(&mut rows);
        let found = finding(start, &rows, &[]);
        prop_assert_eq!(found.map(|found| found.0), Some(one));
        prop_assert!(matches!(found, Some((_, Fault::Moved(_)))), "{:?}", found);
    }

    #[test]
    fn a_moved_line_is_named(from in 1..=ROWS, to in 1..=ROWS) {
        prop_assume!(from != to);
        let (start, mut rows) = log();
        let moved = rows.remove(at(from));
        rows.insert(at(to), moved);
        let (row, fault) = finding(start, &rows, &[]).unwrap();
        prop_assert!(matches!(fault, Fault::Moved(_)), "{:?}", fault);
        // Of two neighbours that changed places, either may be called the one that moved.
        let named = if from.abs_diff(to) == 1 { from.min(to) } else { from };
        prop_assert_eq!(row, named);
    }

    #[test]
    fn a_log_that_was_cut_off_is_found_with_a_head_and_only_then(left in 0..ROWS) {
        let (start, mut rows) = log();
        let head = head_of(&rows, ROWS);
        rows.truncate(usize::try_from(left).unwrap());
        prop_assert_eq!(finding(start.clone(), &rows, &[]), None);
        prop_assert_eq!(finding(start, &rows, &[head]), Some((left + 1, Fault::Truncated(ROWS))));
    }

    #[test]
    fn a_log_written_anew_from_some_row_on_is_found_between_two_heads(row in 11..=20_i64) {
        let (start, mut rows) = log();
        let heads: Vec<SignedHead> = [10, 20, 30].map(|sequence| head_of(&rows, sequence)).to_vec();
        rows[at(row)].outcome = "rejected".to_owned();
        for index in at(row)..rows.len() {
            let previous = rows[index - 1].hash;
            let (sequence, content) = (rows[index].sequence, rows[index].content());
            rows[index].hash = content.hash(&previous, &[7; 16], sequence);
        }
        prop_assert_eq!(finding(start.clone(), &rows, &[]), None);
        prop_assert_eq!(finding(start, &rows, &heads), Some((11, Fault::Rewritten(20))));
    }
}

#[test]
fn a_log_goes_on_after_a_cut_and_a_false_cut_is_found() {
    let (start, rows) = log();
    let cut = Start { cut: Some(head_of(&rows, 15)), ..start.clone() };
    let report = check(cut.clone(), &rows[15..], &[head_of(&rows, 40)]);
    assert_eq!((report.rows, report.proven, report.finding), (25, Some(40), None));
    // A pruning that is under way.
    assert_eq!(finding(cut.clone(), &rows[7..], &[]), None);
    assert_eq!(finding(cut, &rows[16..], &[]), Some((16, Fault::Missing(16))));
    let mut forged = head_of(&rows, 15);
    forged.head.sequence = 20;
    let cut = Start { cut: Some(forged), ..start.clone() };
    assert_eq!(finding(cut, &rows[20..], &[]), Some((20, Fault::Unsigned)));
    assert_eq!(finding(start, &rows[15..], &[]), Some((1, Fault::Missing(15))));
}

#[test]
fn a_node_goes_on_where_another_one_ended() {
    let (mut start, mut rows) = log();
    rows.truncate(20);
    let later = signer(8);
    let node = Node { id: *later.node(), first: 21, key: later.public_key() };
    let mut previous = node.beginning(Some(&rows[19].hash));
    for sequence in 21..=30 {
        let row = row(sequence, &node.id, &previous);
        previous = row.hash;
        rows.push(row);
    }
    start.nodes.push(node);
    let head = later.sign(30, rows[29].hash, 0);
    let mut checker = Checker::new(start.clone(), &[head], Some(later.public_key()));
    rows.iter().for_each(|row| checker.row(row));
    let report = checker.finish();
    assert_eq!((report.rows, report.proven, report.finding), (30, Some(30), None));
    // Who knows the first key only is told that the second one is not known.
    assert_eq!(finding(start, &rows, &[head]), Some((30, Fault::Unsigned)));
}

#[test]
fn a_head_of_somebody_else_proves_nothing() {
    let (start, rows) = log();
    let stranger = Signer::new([7; 16], &[9; 32]).unwrap();
    let head = stranger.sign(40, rows[39].hash, 0);
    assert_eq!(finding(start.clone(), &rows, &[head]), Some((40, Fault::Unsigned)));
    let mut checker = Checker::new(start, &[], Some(stranger.public_key()));
    rows.iter().for_each(|row| checker.row(row));
    assert_eq!(checker.finish().finding, Some(Finding { row: 0, fault: Fault::Unsigned }));
}
