//! Reads an audit log from its beginning and names the first row that is not what it must be.
//!
//! Rows come one by one, in the order in which they stand; memory does not grow with them. After the first row that
//! does not fit the rest is still looked at: it tells whether that row was changed, taken out, put in or moved.
//!
//! What can be shown without a signed head from elsewhere is that the rows fit each other. Who can write the file can
//! cut off its end with the heads in it, and who has the signing key can write another log: only a head that was
//! kept elsewhere says how far the log went. Up to it, nothing can have been changed.

use super::chain::{Hash, Node, Row};
use super::head::{PublicKey, SignedHead};

/// How many rows taken out in one piece, with those behind them numbered anew, are recognised as such.
const MOST_SHIFTED: i64 = 64;

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its content or its hash is another one.
    Changed,
    /// It is not there, nor are those up to this one.
    Missing(i64),
    /// It was put in.
    Inserted,
    /// It stands elsewhere: after this row.
    Moved(i64),
    /// The log ends before it; a head proves that it went on to this one.
    Truncated(i64),
    /// It, or one after it up to this one, is another than when the head was signed; all hashes were made anew.
    Rewritten(i64),
    /// A head or a cut says that it is signed for this row, and is not.
    Unsigned,
}

/// The first bad row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its sequence.
    pub row: i64,
    /// What is wrong with it.
    pub fault: Fault,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let row = self.row;
        match self.fault {
            Fault::Changed => write!(f, "row {row} was changed"),
            Fault::Missing(until) if until == row => write!(f, "row {row} is missing"),
            Fault::Missing(until) => write!(f, "rows {row} to {until} are missing"),
            Fault::Inserted => write!(f, "row {row} was inserted"),
            Fault::Moved(after) => write!(f, "row {row} was moved: it stands after row {after}"),
            Fault::Truncated(until) if until == row => write!(f, "row {row} was cut off the end"),
            Fault::Truncated(until) => write!(f, "rows {row} to {until} were cut off the end"),
            Fault::Rewritten(until) if until == row => {
                write!(f, "row {row} is another one than when the head was signed")
            }
            Fault::Rewritten(until) => {
                write!(f, "rows {row} to {until} are others than when the head was signed")
            }
            Fault::Unsigned => write!(f, "the head of row {row} is not signed by the server's key"),
        }
    }
}

impl Fault {
    /// One word for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing(_) => "missing",
            Self::Inserted => "inserted",
            Self::Moved(_) => "reordered",
            Self::Truncated(_) => "truncated",
            Self::Rewritten(_) => "rewritten",
            Self::Unsigned => "unsigned",
        }
    }
}

/// Where a log begins.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Who has written it, in order.
    pub nodes: Vec<Node>,
    /// The row before the first one, where that is not the beginning of a node.
    pub after: Option<(i64, Hash)>,
    /// The newest row that was pruned.
    pub cut: Option<SignedHead>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Rows that were there and right.
    pub rows: u64,
    /// The newest of them.
    pub last: Option<i64>,
    /// Heads in the log that were right.
    pub heads: u64,
    /// The newest row that a head from elsewhere proves.
    pub proven: Option<i64>,
    /// The newest row that a head in the log itself names.
    pub signed: Option<i64>,
    /// The first bad row.
    pub finding: Option<Finding>,
}

/// A head that is still to be compared.
struct Awaited {
    signed: SignedHead,
    from_elsewhere: bool,
}

/// Checks a log.
pub struct Checker {
    nodes: Vec<Node>,
    /// Index of the node that the next row belongs to.
    node: usize,
    /// The key that must have signed.
    trusted: Option<PublicKey>,
    /// Rows up to here were given up.
    cut: i64,
    last: i64,
    previous: Hash,
    /// By sequence, the next one last.
    awaited: Vec<Awaited>,
    report: Report,
    suspect: Option<Suspect>,
}

impl Checker {
    /// Begins. Heads are those from elsewhere; `trusted` is the key that must have signed, if it is known.
    #[must_use]
    pub fn new(start: Start, heads: &[SignedHead], trusted: Option<PublicKey>) -> Self {
        let report = Report { rows: 0, last: None, heads: 0, proven: None, signed: None, finding: None };
        let first = start.nodes.first();
        let (last, previous) = match (&start.cut, start.after) {
            (Some(cut), None) => (cut.head.sequence, cut.head.hash),
            (Some(cut), Some((after, _))) if after < cut.head.sequence => (cut.head.sequence, cut.head.hash),
            (_, Some(after)) => after,
            (None, None) => (first.map_or(0, |node| node.first - 1), [0; 32]),
        };
        let from_beginning = start.after.is_none() && start.cut.is_none();
        let node = start.nodes.iter().rposition(|node| node.first <= last).unwrap_or(0);
        let mut checker = Self {
            nodes: start.nodes,
            node,
            trusted,
            cut: last,
            last,
            previous,
            awaited: Vec::new(),
            report,
            suspect: None,
        };
        if from_beginning && let Some(first) = checker.nodes.first() {
            checker.previous = first.beginning(None);
            checker.cut = i64::MIN;
        }
        let unknown = trusted.is_some_and(|key| checker.nodes.iter().all(|node| node.key != key));
        if unknown {
            checker.found(last, Fault::Unsigned);
        }
        if let Some(cut) = start.cut {
            if checker.is_signed(&cut) {
                checker.report.heads += 1;
            } else {
                checker.found(cut.head.sequence, Fault::Unsigned);
            }
        }
        for head in heads {
            checker.await_head(*head, true);
        }
        checker
    }

    /// Takes a head that is in the log itself.
    pub fn head(&mut self, signed: SignedHead) {
        self.await_head(signed, false);
        self.compare_heads();
    }

    fn await_head(&mut self, signed: SignedHead, from_elsewhere: bool) {
        if !self.is_signed(&signed) {
            self.found(signed.head.sequence, Fault::Unsigned);
            return;
        }
        let at = self.awaited.partition_point(|other| other.signed.head.sequence > signed.head.sequence);
        self.awaited.insert(at, Awaited { signed, from_elsewhere });
    }

    /// Whether a node of the log signed it, and one with the trusted key if there is one. That of a node before the
    /// trusted one is proven by the chain.
    fn is_signed(&self, signed: &SignedHead) -> bool {
        let Some(at) = self.nodes.iter().position(|node| node.id == signed.head.node) else { return false };
        let trusted_at = self.nodes.iter().rposition(|node| Some(node.key) == self.trusted);
        let fits = match (self.trusted, trusted_at) {
            (None, _) => true,
            (Some(_), Some(trusted_at)) => at <= trusted_at,
            (Some(_), None) => false,
        };
        fits && self.nodes.get(at).is_some_and(|node| signed.is_signed_by(&node.key))
    }

    fn found(&mut self, row: i64, fault: Fault) {
        self.report.finding.get_or_insert(Finding { row, fault });
    }

    /// Takes the next row as it stands.
    pub fn row(&mut self, row: &Row) {
        if let Some(suspect) = &mut self.suspect {
            suspect.look(row);
            return;
        }
        if self.report.finding.is_some() || (row.sequence <= self.cut && self.report.last.is_none()) {
            // What a pruning that was cut off has left is given up already.
            return;
        }
        let expected = self.last + 1;
        let Some(node) = self.node_of(expected) else {
            self.found(row.sequence, Fault::Inserted);
            return;
        };
        let computed = row.content().hash(&self.previous, &node, expected);
        if row.sequence == expected && computed == row.hash {
            self.last = expected;
            self.previous = row.hash;
            self.report.rows += 1;
            self.report.last = Some(expected);
            self.compare_heads();
        } else {
            self.suspect = Some(Suspect::new(
                row.clone(),
                Expected { sequence: expected, previous: self.previous, node, computed },
            ));
        }
    }

    /// The node of the next row; steps over to the next node where that begins.
    fn node_of(&mut self, expected: i64) -> Option<super::NodeId> {
        if let Some(next) = self.nodes.get(self.node + 1)
            && next.first == expected
        {
            self.previous = next.beginning(Some(&self.previous));
            self.node += 1;
        }
        self.nodes.get(self.node).map(|node| node.id)
    }

    fn compare_heads(&mut self) {
        while let Some(next) = self.awaited.last() {
            let head = next.signed.head;
            if head.sequence > self.last {
                break;
            }
            let from_elsewhere = next.from_elsewhere;
            self.awaited.pop();
            if head.sequence < self.last {
                // Of a row before this log begins, or out of its place: it says nothing here.
                continue;
            }
            if head.hash != self.previous {
                let good = self.report.proven.max(self.report.signed).unwrap_or(self.cut.max(0));
                self.found(good + 1, Fault::Rewritten(head.sequence));
                continue;
            }
            if from_elsewhere {
                self.report.proven = Some(head.sequence);
            } else {
                self.report.heads += 1;
                self.report.signed = Some(head.sequence);
            }
        }
    }

    /// Takes a row that cannot even be read.
    pub fn unreadable(&mut self) {
        if self.suspect.is_none() {
            self.found(self.last + 1, Fault::Changed);
        }
    }

    /// Takes what the log itself says of its newest row; `None` if it should say that and does not.
    pub fn end(&mut self, last: Option<i64>) {
        if self.suspect.is_none() && last.is_none_or(|last| last > self.last) {
            let from = self.last + 1;
            self.found(from, Fault::Truncated(last.unwrap_or(from)));
        }
    }

    /// Ends: nothing follows.
    #[must_use]
    pub fn finish(mut self) -> Report {
        // A head from elsewhere may name the very row that the log begins after.
        self.compare_heads();
        if let Some(suspect) = self.suspect.take() {
            let finding = suspect.verdict();
            self.found(finding.row, finding.fault);
        }
        if let Some(furthest) = self.awaited.first().filter(|_| self.report.finding.is_none()) {
            let until = furthest.signed.head.sequence;
            self.found(self.last + 1, Fault::Truncated(until));
        }
        self.report
    }
}

/// What the row should have been.
struct Expected {
    sequence: i64,
    previous: Hash,
    node: super::NodeId,
    /// The hash that the row should carry if its content is right.
    computed: Hash,
}

impl Expected {
    /// Whether a row is the one that was expected, wherever it stands.
    fn is(&self, row: &Row) -> bool {
        row.content().hash(&self.previous, &self.node, self.sequence) == row.hash
    }
}

/// A row that does not fit, and what the rows after it say of it.
struct Suspect {
    row: Row,
    expected: Expected,
    /// Rows after it.
    seen: u64,
    /// The row that stands before the one that is looked at.
    before: i64,
    /// The expected row was found there: its hash, what it stands after, how many rows after the suspect.
    found: Option<(Hash, i64, u64)>,
    verdict: Option<Finding>,
}

impl Suspect {
    fn new(row: Row, expected: Expected) -> Self {
        let before = row.sequence;
        Self { row, expected, seen: 0, before, found: None, verdict: None }
    }

    fn look(&mut self, next: &Row) {
        self.seen += 1;
        if self.verdict.is_none() {
            self.verdict = self.judge(next);
        }
        self.before = next.sequence;
    }

    /// What this row tells of the suspect, if that settles it.
    fn judge(&mut self, next: &Row) -> Option<Finding> {
        let Expected { sequence, node, .. } = self.expected;
        let finding = |row, fault| Some(Finding { row, fault });
        if let Some((hash, after, distance)) = self.found {
            // Where all behind it have moved on as well, rows were put in.
            let shifted = next.content().hash(&hash, &node, sequence + 1) == next.hash;
            return if shifted && next.sequence != sequence + 1 {
                finding(sequence, Fault::Inserted)
            } else if distance == 1 && self.row.sequence > sequence {
                finding(self.row.sequence, Fault::Moved(sequence - 1))
            } else {
                finding(sequence, Fault::Moved(after))
            };
        }
        if self.expected.is(next) {
            let swapped = self.row.content().hash(&next.hash, &node, sequence + 1) == self.row.hash;
            if swapped {
                return finding(sequence, Fault::Moved(self.before));
            }
            if next.sequence == sequence && self.row.sequence < sequence {
                // The suspect is one that stood before already.
                return finding(self.row.sequence, Fault::Inserted);
            }
            self.found = Some((next.hash, self.before, self.seen));
            return None;
        }
        if self.seen > 1 || self.row.sequence != sequence {
            return None;
        }
        let continues = |hash: &Hash, place: i64| next.content().hash(hash, &node, place) == next.hash;
        if next.sequence == sequence + 1
            && (continues(&self.row.hash, next.sequence) || continues(&self.expected.computed, next.sequence))
        {
            return finding(sequence, Fault::Changed);
        }
        let shift = (1..=MOST_SHIFTED).find(|shift| continues(&self.row.hash, next.sequence + shift))?;
        finding(sequence, Fault::Missing(sequence + shift - 1))
    }

    fn verdict(self) -> Finding {
        let sequence = self.expected.sequence;
        let fault = match (self.verdict, self.found) {
            (Some(finding), _) => return finding,
            (None, Some((_, after, _))) if self.row.sequence == sequence => {
                if self.seen == 1 {
                    Fault::Inserted
                } else {
                    Fault::Moved(after)
                }
            }
            (None, Some((_, _, 1))) if self.row.sequence > sequence => {
                return Finding { row: self.row.sequence, fault: Fault::Moved(sequence - 1) };
            }
            (None, Some((_, after, _))) => Fault::Moved(after),
            (None, None) if self.row.sequence > sequence => Fault::Missing(self.row.sequence - 1),
            (None, None) if self.row.sequence < sequence => {
                return Finding { row: self.row.sequence, fault: Fault::Inserted };
            }
            (None, None) => Fault::Changed,
        };
        Finding { row: sequence, fault }
    }
}

#[cfg(test)]
mod tests;
