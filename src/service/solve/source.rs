//! Where the seed to be solved comes from: a token of the inventory with those that came with it, or a text that is not
//! imported, with its other rows.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::{Subject, Way};
use crate::formats::seed::{self, Encoding, Reading};
use crate::formats::{self, detect};
use crate::model::id::TokenId;
use crate::otp::credential::Credential;
use crate::otp::secret::Secret;
use crate::service::error::{Error, Kind};
use crate::service::inventory::Selector;
use crate::store::objects;
use crate::store::{Reader, Store};

/// Most other rows that are looked at.
const MOST_OTHERS: usize = 10_000;

/// A seed and what stands beside it.
#[derive(Default)]
pub(super) struct Source {
    /// The token, if it is in the inventory.
    pub(super) token: Option<TokenId>,
    /// What it has now.
    pub(super) kept: Option<Credential>,
    /// Its counter.
    pub(super) counter: u64,
    /// The texts that the seed may have been.
    seeds: Vec<Seed>,
    /// The other rows of the file or the import.
    others: Others,
}

/// A text that a seed may have been.
pub(super) struct Seed {
    /// It was read already, and is spelled again.
    pub(super) spelled: Option<Encoding>,
    /// The column of its row.
    pub(super) column: Option<usize>,
    text: Zeroizing<String>,
}

/// The other rows.
enum Others {
    /// Rows of a text.
    Rows(Vec<Zeroizing<String>>),
    /// Seeds that were read already.
    Secrets(Vec<Secret>),
}

impl Default for Others {
    fn default() -> Self {
        Self::Secrets(Vec::new())
    }
}

impl Source {
    /// Every way to read the seed: as it is kept first, then the likeliest of each text.
    pub(super) fn readings(&self) -> impl Iterator<Item = (Option<&Seed>, Option<Reading>, Secret)> {
        let kept = self.kept.iter().map(|kept| (None, None, kept.secret.clone()));
        let again = Reading::all().flat_map(|reading| {
            self.seeds
                .iter()
                .filter_map(move |seed| Some((Some(seed), Some(reading), reading.read(&seed.text)?)))
        });
        kept.chain(again)
    }

    /// How many other rows there are.
    pub(super) fn others(&self) -> usize {
        match &self.others {
            Others::Rows(rows) => rows.len(),
            Others::Secrets(secrets) => secrets.len(),
        }
    }

    /// How many of them can be read in the same way, and come to a secret of the same length.
    pub(super) fn others_fit(&self, way: &Way) -> usize {
        let length = way.credential.secret.expose().len();
        let fits = |secret: Option<Secret>| secret.is_some_and(|secret| secret.expose().len() == length);
        match &self.others {
            Others::Rows(rows) => {
                let text = |row: &str| {
                    way.column.and_then(|column| seed::columns(row).nth(column).map(str::to_owned))
                };
                let read = |row: &str| way.reading?.read(&Zeroizing::new(text(row)?));
                rows.iter().filter(|row| fits(read(row))).count()
            }
            Others::Secrets(secrets) => {
                secrets.iter().filter(|secret| fits(read_again(secret, way.spelled, way.reading))).count()
            }
        }
    }
}

/// Reads a secret again in another way; the first spelling of that kind which can be.
pub(super) fn read_again(
    secret: &Secret,
    spelled: Option<Encoding>,
    reading: Option<Reading>,
) -> Option<Secret> {
    let (Some(spelled), Some(reading)) = (spelled, reading) else { return Some(secret.clone()) };
    let spellings = seed::spellings(secret);
    spellings
        .iter()
        .filter(|spelling| spelling.encoding == spelled)
        .find_map(|spelling| reading.read(&spelling.text))
}

fn spelled_again(secret: &Secret) -> Vec<Seed> {
    let seed = |spelling: seed::Spelling| Seed {
        spelled: Some(spelling.encoding),
        column: None,
        text: spelling.text,
    };
    seed::spellings(secret).into_iter().map(seed).collect()
}

/// Finds the seed.
pub(super) async fn load(store: &Store, of: Subject) -> Result<Source, Error> {
    match of {
        Subject::Token(token) => store.read(move |reader| of_token(reader, &token)).await,
        Subject::Data { data, serial } => {
            tokio::task::spawn_blocking(move || of_text(&data, serial.as_deref()))
                .await
                .map_err(|_| Error::new(Kind::Internal, "reading the file ended early"))?
        }
    }
}

fn of_token(reader: &Reader<'_>, token: &Selector) -> Result<Source, Error> {
    let token = TokenId(token.find(reader, &objects::TOKEN)?);
    let no_secret = || Error::new(Kind::NoSecret, "the token has no secret yet: program or import it first");
    let (kept, counter) = reader.credential_of(token)?.ok_or_else(no_secret)?;
    let others: BTreeSet<TokenId> = reader.came_with(token, MOST_OTHERS)?.into_iter().collect();
    let mut secrets = Vec::new();
    if let (Some(first), Some(last)) = (others.first(), others.last()) {
        objects::secrets(reader, &[], None, first.0..=last.0, |other| {
            if others.contains(&other.token) {
                secrets.push(other.credential.secret);
            }
        })?;
    }
    let seeds = spelled_again(&kept.secret);
    Ok(Source { token: Some(token), kept: Some(kept), counter, seeds, others: Others::Secrets(secrets) })
}

fn of_text(data: &str, serial: Option<&str>) -> Result<Source, Error> {
    let data = data.trim_start_matches('\u{feff}');
    if data.trim_start().starts_with('<') { of_document(data, serial) } else { of_rows(data, serial) }
}

/// A text of rows, each with a serial and a seed in columns of its own.
fn of_rows(data: &str, serial: Option<&str>) -> Result<Source, Error> {
    let rows = || data.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#'));
    let is_it = |row: &str| serial.is_none_or(|serial| seed::columns(row).any(|column| column == serial));
    let mut fitting = rows().filter(|row| is_it(row));
    let row = match (fitting.next(), fitting.next()) {
        (Some(row), None) => row,
        (None, _) => return Err(Error::invalid("serial", "stands in no row of `data`")),
        (Some(_), Some(_)) => return Err(Error::invalid("serial", "must name one row of `data`")),
    };
    let seeds: Vec<Seed> = seed::seed_columns(row)
        .into_iter()
        .filter(|(_, text)| serial != Some(*text))
        .map(|(column, text)| Seed {
            spelled: None,
            column: Some(column),
            text: Zeroizing::new(text.to_owned()),
        })
        .collect();
    if seeds.is_empty() {
        return Err(Error::invalid("data", "has no column that can be a seed in that row"));
    }
    let others = rows().filter(|other| *other != row).filter(|other| !seed::seed_columns(other).is_empty());
    let others = others.take(MOST_OTHERS).map(|other| Zeroizing::new(other.to_owned())).collect();
    Ok(Source { seeds, others: Others::Rows(others), ..Source::default() })
}

/// A document that says how its seeds are written, or thinks so.
fn of_document(data: &str, serial: Option<&str>) -> Result<Source, Error> {
    let refused = |error: formats::error::FormatError| Error::new(Kind::ImportRefused, error.to_string());
    let format = detect::detect(data.as_bytes()).map_err(refused)?;
    let (mut found, mut others) = (None, Vec::new());
    for row in formats::read(data.as_bytes(), format) {
        let row = row.map_err(refused)?;
        if found.is_none() && serial.is_none_or(|serial| serial == row.serial) {
            found = Some(row);
        } else if serial.is_none() {
            return Err(Error::invalid("serial", "must name one row of `data`"));
        } else if others.len() < MOST_OTHERS {
            others.push(row.secret);
        }
    }
    let row = found.ok_or_else(|| Error::invalid("serial", "stands in no row of `data`"))?;
    let mut seeds = vec![];
    seeds.extend(spelled_again(&row.secret));
    Ok(Source {
        counter: row.counter.unwrap_or(0),
        seeds,
        others: Others::Secrets(others),
        ..Source::default()
    })
}
