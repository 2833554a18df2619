//! `fobd audit verify`: is the log what it was? Reads a copy of the database or an export; needs no key and no server.
//!
//! Says of the first bad row what is wrong with it. A log without a bad row is proven only as far as a head says that
//! was kept elsewhere ([`crate::audit::check`]).

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal as _, Read as _, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::audit::check::{Checker, Fault, Report, Start};
use crate::audit::line::{Beginning, Line, Place};
use crate::audit::{PublicKey, SignedHead, unhex};
use crate::cli::error::{CliError, Outcome};
use crate::cli::output::printable;
use crate::store::audit::copy::AuditCopy;

/// How every SQLite database begins.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";

/// The file and the proofs.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// Copy of the database, or an export; `-` reads an export from standard input.
    file: PathBuf,
    /// A head that was kept elsewhere, or a file of such, one a line.
    #[arg(long, value_name = "HEAD|FILE")]
    head: Vec<String>,
    /// The public key of the log (`fobd audit key`), or a file with it.
    #[arg(long, value_name = "KEY|FILE")]
    key: Option<String>,
}

/// Told now and then: rows so far, and how many there are if that is known.
pub type Progress<'p> = &'p mut dyn FnMut(u64, Option<u64>);

impl VerifyArgs {
    pub(super) fn run(
        &self,
        as_json: bool,
        out: &mut dyn Write,
        notes: &mut dyn Write,
    ) -> Result<Outcome, CliError> {
        let mut heads = Vec::new();
        for given in &self.head {
            heads.extend(read_heads(given)?);
        }
        let key = self.key.as_deref().map(read_key).transpose()?;
        let shown = !as_json && std::io::stderr().is_terminal();
        let mut progress = |rows: u64, of: Option<u64>| {
            if shown {
                let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
                let _ = write!(notes, "\r{rows}{of} rows ");
            }
        };
        let report = check_file(&self.file, &heads, key, &mut progress)?;
        if shown {
            let _ = write!(notes, "\r\x1b[K");
        }
        let text = if as_json {
            format!("{:#}\n", to_json(&report, key.is_some()))
        } else {
            printable_lines(&to_text(&report, key.is_some()))
        };
        let _ = out.write_all(text.as_bytes());
        Ok(match (&report.finding, report.proven) {
            (Some(_), _) => Outcome::NotIntact,
            (None, None) => Outcome::NotProven,
            (None, Some(_)) => Outcome::Done,
        })
    }
}

fn printable_lines(text: &str) -> String {
    text.lines().map(|line| printable(line) + "\n").collect()
}

/// Checks a file.
///
/// # Errors
/// If it cannot be read, or is neither a database nor an export.
pub fn check_file(
    file: &Path,
    heads: &[SignedHead],
    key: Option<PublicKey>,
    progress: Progress<'_>,
) -> Result<Report, CliError> {
    if file == Path::new("-") {
        return check_lines(file, std::io::stdin().lock(), heads, key, progress);
    }
    let read = |source| CliError::Read { path: file.to_owned(), source };
    let mut beginning = Vec::new();
    let opened = File::open(file).map_err(read)?;
    (&opened).take(SQLITE.len() as u64).read_to_end(&mut beginning).map_err(read)?;
    if beginning == SQLITE {
        return check_database(file, heads, key, progress);
    }
    let reader = beginning.as_slice().chain(opened);
    check_lines(file, BufReader::new(reader), heads, key, progress)
}

fn check_database(
    file: &Path,
    heads: &[SignedHead],
    key: Option<PublicKey>,
    progress: Progress<'_>,
) -> Result<Report, CliError> {
    let copy = AuditCopy::open(file)?;
    let (start, stored, count) = copy.begin()?;
    let mut checker = Checker::new(start, heads, key);
    stored.into_iter().for_each(|head| checker.head(head));
    let (mut after, mut seen) = (i64::MIN, 0);
    loop {
        let page = copy.rows(after)?;
        let Some(last) = page.last() else { break };
        after = last.sequence;
        page.iter().for_each(|row| checker.row(row));
        seen += page.len() as u64;
        progress(seen, Some(count));
    }
    Ok(checker.finish())
}

fn check_lines(
    file: &Path,
    reader: impl BufRead,
    heads: &[SignedHead],
    key: Option<PublicKey>,
    progress: Progress<'_>,
) -> Result<Report, CliError> {
    let read = |source| CliError::Read { path: file.to_owned(), source };
    let no_export = || CliError::NotAProof {
        what: file.display().to_string(),
        problem: "neither a database nor an export of the audit log".to_owned(),
    };
    let mut lines = reader.split(b'\n');
    let first = lines.next().ok_or_else(no_export)?.map_err(read)?;
    let Ok(Line::Log(beginning)) = serde_json::from_slice(&first) else { return Err(no_export()) };
    let mut checker = Checker::new(start_of(&beginning).ok_or_else(no_export)?, heads, key);
    let mut end: Option<Place> = None;
    for (seen, line) in (1_u64..).zip(lines) {
        let line = line.map_err(read)?;
        match serde_json::from_slice(&line) {
            Ok(Line::Row(row)) => checker.row(&row.row()),
            Ok(Line::Head(head)) => checker.head(head),
            Ok(Line::End(place)) if end.is_none() => end = Some(place),
            Ok(_) | Err(_) => checker.unreadable(),
        }
        if seen.is_multiple_of(10_000) {
            progress(seen, None);
        }
    }
    checker.end(end.map(|place| place.sequence));
    Ok(checker.finish())
}

fn start_of(beginning: &Beginning) -> Option<Start> {
    let nodes = beginning.nodes.iter().map(crate::audit::line::NodeLine::node).collect::<Option<_>>()?;
    let after = match &beginning.after {
        Some(place) => Some((place.sequence, unhex(&place.hash)?)),
        None => None,
    };
    (beginning.version == 1).then_some(Start { nodes, after, cut: beginning.cut })
}

/// Reads heads from an argument or from a file, one a line.
pub(in crate::cli) fn read_heads(given: &str) -> Result<Vec<SignedHead>, CliError> {
    let (what, text) = if given.trim_start().starts_with('{') {
        ("--head".to_owned(), given.to_owned())
    } else {
        (given.to_owned(), text_of(given)?)
    };
    let read = |line: &str| {
        serde_json::from_str(line)
            .map_err(|error| CliError::NotAProof { what: what.clone(), problem: error.to_string() })
    };
    let heads: Vec<SignedHead> =
        text.lines().filter(|line| !line.trim().is_empty()).map(read).collect::<Result<_, _>>()?;
    if heads.is_empty() {
        return Err(CliError::NotAProof { what, problem: "there is no head in it".to_owned() });
    }
    Ok(heads)
}

fn read_key(given: &str) -> Result<PublicKey, CliError> {
    let text =
        if given.len() == 64 && unhex::<32>(given).is_some() { given.to_owned() } else { text_of(given)? };
    unhex(text.trim()).map(PublicKey).ok_or_else(|| CliError::NotAProof {
        what: given.to_owned(),
        problem: "a key has 64 hexadecimal digits".to_owned(),
    })
}

fn text_of(file: &str) -> Result<String, CliError> {
    std::fs::read_to_string(file).map_err(|source| CliError::Read { path: PathBuf::from(file), source })
}

fn to_text(report: &Report, key_given: bool) -> String {
    let mut lines = vec![match report.last {
        Some(last) => format!("{} rows, the last of them row {last}", report.rows),
        None => "no rows".to_owned(),
    }];
    if let Some(finding) = &report.finding {
        lines.push(format!("NOT INTACT: {finding}"));
        return lines.join("\n");
    }
    lines.push("every row follows the one before".to_owned());
    if let Some(signed) = report.signed {
        lines.push(format!("{} signed heads are in it, the newest of row {signed}", report.heads));
    }
    if !key_given {
        lines.push(
            "the key that these heads are signed with is taken from the log itself: see --key".to_owned(),
        );
    }
    lines.push(match (report.proven, report.last) {
        (None, _) => "tail not proven: rows may have been cut off its end; see --head".to_owned(),
        (Some(proven), Some(last)) if last > proven => {
            format!("proven up to row {proven}; the head given is older than rows {} to {last}", proven + 1)
        }
        (Some(proven), _) => format!("proven up to row {proven}, the last"),
    });
    lines.join("\n")
}

fn to_json(report: &Report, key_given: bool) -> Value {
    let finding = report.finding.map(|finding| {
        let mut shown =
            json!({ "row": finding.row, "fault": finding.fault.name(), "message": finding.to_string() });
        match finding.fault {
            Fault::Missing(until) | Fault::Truncated(until) | Fault::Rewritten(until) => {
                shown["until"] = until.into();
            }
            Fault::Moved(after) => shown["after"] = after.into(),
            Fault::Changed | Fault::Inserted | Fault::Unsigned => {}
        }
        shown
    });
    json!({
        "intact": report.finding.is_none(),
        "rows": report.rows,
        "last": report.last,
        "heads": report.heads,
        "signed": report.signed,
        "proven": report.proven,
        "tail": if report.proven.is_some() { "proven" } else { "not proven" },
        "key": if key_given { "given" } else { "of the log itself" },
        "finding": finding,
    })
}
