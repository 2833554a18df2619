//! Batch assignment: many tokens to many users from one CSV text. All rows or none, and every bad row is named.
//!
//! Every row is judged first, on read connections, so that a mistake in the last one costs the writer nothing.
//! Then the assignments are written in small pieces that nobody sees, and published by one last commit. What
//! another request changes in between is found while writing, and takes everything back.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::error::{BadRow, Error, Kind};
use super::inventory::Selector;
use super::{chunks, pin};
use crate::access::Caller;
use crate::app::App;
use crate::formats::assign_csv::{self, AssignRow};
use crate::formats::{Location, charset};
use crate::model::id::{TokenId, UserId};
use crate::model::status::{AssignmentStatus, TokenStatus};
use crate::store::assignments::NewAssignment;
use crate::store::imports::ImportId;
use crate::store::{Reader, Tx, objects};

/// Most rows of one batch.
const MOST_ROWS: usize = 200_000;
/// Rows judged in one go.
const JUDGED_AT_ONCE: usize = 1000;

/// A row that can be written.
struct Planned {
    line: u64,
    token: TokenId,
    user: UserId,
    status: AssignmentStatus,
    pin: Option<Zeroizing<String>>,
}

/// Assigns tokens by the rows of a CSV text. Answers with their number.
///
/// # Errors
/// [`Kind::BatchRefused`] names every bad row with its line and field; nothing is assigned then.
pub async fn assign(
    app: &Arc<App>,
    caller: &Caller,
    csv: Zeroizing<String>,
    charset: &str,
) -> Result<usize, Error> {
    charset::check(charset).map_err(|error| Error::invalid("attrs.charset", &error.problem.to_string()))?;
    let (rows, mut problems) = tokio::task::spawn_blocking(move || read(&csv))
        .await
        .map_err(|_| Error::new(Kind::Internal, "reading the text ended early"))?;
    let mut planned = Vec::with_capacity(rows.len());
    let mut rows = rows.into_iter();
    while rows.len() > 0 {
        let page: Vec<AssignRow> = rows.by_ref().take(JUDGED_AT_ONCE).collect();
        let judged = app
            .store
            .read(move |reader| page.into_iter().map(|row| judge(reader, row)).collect::<Result<Vec<_>, _>>())
            .await?;
        for row in judged {
            match row {
                Ok(row) => planned.push(row),
                Err(problem) => problems.push(problem),
            }
        }
    }
    problems.extend(twice(&planned));
    if !problems.is_empty() {
        return Err(refused(problems));
    }
    let (total, by) = (planned.len(), caller.clone());
    chunks::write_all(app, "token/batchAssignTokens", planned.into_iter(), write, move |tx, _| {
        let mut entry = by.did("token/batchAssignTokens");
        entry.outcome = "assigned";
        entry.detail = format!("{total} tokens");
        tx.audit(entry);
        Ok(())
    })
    .await?;
    Ok(total)
}

/// Says which rows are wrong: all of them in the data, as many as fit in the text.
fn refused(mut rows: Vec<BadRow>) -> Error {
    rows.sort();
    rows.dedup();
    let texts: Vec<String> = rows.iter().map(|row| format!("line {}: {}", row.line, row.problem)).collect();
    let text = format!("{} rows are wrong, nothing was assigned: {}", rows.len(), texts.join("; "));
    Error { rows, ..Error::new(Kind::BatchRefused, text) }
}

fn read(csv: &str) -> (Vec<AssignRow>, Vec<BadRow>) {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for row in assign_csv::rows(csv) {
        match row {
            Ok(row) if rows.len() < MOST_ROWS => rows.push(row),
            Ok(row) => {
                problems.push(BadRow {
                    line: row.line,
                    problem: format!("one batch may hold at most {MOST_ROWS} rows"),
                });
                break;
            }
            Err(error) => {
                let line = match error.location {
                    Location::Line(line) => line,
                    Location::File | Location::KeyPackage(_) | Location::Token(_) => 1,
                };
                problems.push(BadRow { line, problem: error.problem.to_string() });
            }
        }
    }
    (rows, problems)
}

/// Finds what a row names. The inner error is one of the row, the outer one of the store.
fn judge(reader: &Reader<'_>, row: AssignRow) -> Result<Result<Planned, BadRow>, Error> {
    let line = row.line;
    let bad = |field: &str, problem: &str| Ok(Err(BadRow { line, problem: format!("{field}: {problem}") }));
    let status = match row.status.as_deref() {
        None | Some("") => AssignmentStatus::Active,
        Some(text) => match AssignmentStatus::parse(text) {
            Some(status) => status,
            None => return bad("status", "must be ACTIVE, INACTIVE, LOCKED or DISABLED"),
        },
    };
    let user = select(&[("domain.name", &row.domain), ("loginName", &row.login_name)]);
    let user = match user.find(reader, &objects::USER) {
        Ok(id) => UserId(id),
        Err(error) => {
            return match error.kind {
                Kind::DomainNotFound => bad("domain", "there is no such domain"),
                Kind::UserNotFound => bad("loginName", "there is no such user in the domain"),
                _ => Err(error),
            };
        }
    };
    let codes =
        [("product.manufacturerCode", &row.manufacturer_code), ("product.productCode", &row.product_code)];
    let token = select(&[codes[0], codes[1], ("serial", &row.serial)]);
    let token = match token.find(reader, &objects::TOKEN) {
        Ok(id) => TokenId(id),
        Err(error) if error.kind == Kind::TokenNotFound => {
            return bad("serial", "there is no such token of that product");
        }
        Err(error) => return Err(error),
    };
    if reader.status_of(token)? == TokenStatus::Deceased {
        return bad("serial", "the token is DECEASED");
    }
    if !reader.assignments_of(token)?.is_empty() {
        return bad("serial", "the token is assigned already");
    }
    if let Some(new_pin) = &row.pin
        && let Err(refusal) = pin::judge(reader, token, user, new_pin)?
    {
        return bad("pin", &refusal.to_string());
    }
    Ok(Ok(Planned { line, token, user, status, pin: row.pin }))
}

fn select(attributes: &[(&str, &String)]) -> Selector {
    let members = attributes.iter().map(|(path, value)| ((*path).to_owned(), Json::from(value.as_str())));
    Selector::Attributes(members.collect())
}

/// Tokens that stand in two rows.
fn twice(planned: &[Planned]) -> Vec<BadRow> {
    let mut first: HashMap<TokenId, u64> = HashMap::new();
    let mut problems = Vec::new();
    for row in planned {
        let line = *first.entry(row.token).or_insert(row.line);
        if line != row.line {
            let problem = format!("serial: the token stands in line {line} already");
            problems.push(BadRow { line: row.line, problem });
        }
    }
    problems
}

fn write(tx: &Tx<'_>, import: ImportId, row: Planned) -> Result<(), Error> {
    let Planned { line, token, user, status, pin } = row;
    let changed = |text: &str| refused(vec![BadRow { line, problem: text.to_owned() }]);
    if !tx.reader().assignments_of(token)?.is_empty() {
        return Err(changed("serial: the token has been assigned meanwhile"));
    }
    if !tx.reader().exists_both(token, user)? {
        return Err(changed("the token or the user has been deleted meanwhile"));
    }
    let assignment =
        tx.insert_assignment(&NewAssignment { token, user, status, is_owner: true, import: Some(import) })?;
    if let Some(new_pin) = pin {
        pin::put(tx, assignment, &new_pin)?;
    }
    Ok(())
}
