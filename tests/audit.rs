//! The audit log proves itself: as a chain in a real file, against whoever edits that file, and across a crash.

mod api;
mod chain;
mod edits;
mod outlets;

use std::path::Path;

use fobd::audit::check::Report;
use fobd::audit::{PublicKey, SignedHead};
use fobd::cli::audit::verify::check_file;

/// Checks the log of a database file.
pub fn check(database: &Path, heads: &[SignedHead], key: Option<PublicKey>) -> Report {
    check_file(database, heads, key, &mut |_, _| {}).expect("a log")
}

/// Every row of the log must follow the one before, and every head must fit.
#[track_caller]
pub fn assert_intact(database: &Path) -> Report {
    let report = check(database, &[], None);
    assert_eq!(report.finding, None, "{report:?}");
    report
}
