//! Solve: an imported token whose passcodes do not fit, and one or two from its display: how was its seed meant?
//!
//! Hexadecimal was taken for base 64, nobody mentioned SHA-256, it counts in 60 seconds instead of 30. The seed is read in every way of [`crate::formats::seed`], and each secret that comes out is tried in every way of
//! [`crate::otp::solve`]. It comes from a token that was imported, spelled again as its file may have had it; or from a
//! row that is not imported yet. The answer names the readings that show the passcodes, how many other rows of the file
//! can be read so as well, and what to tell an import. It never shows a seed.
//!
//! A token can be read anew at once, by two passcodes that leave one reading only. They prove it and are spent, as in a
//! resync; tokens of the same import go with it only if nobody has logged in with them yet.

mod apply;
mod source;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};
use zeroize::Zeroizing;

use self::source::Source;
use super::error::{Error, Kind};
use super::find::{rounded, sought};
use super::inventory::Selector;
use crate::access::Caller;
use crate::app::App;
use crate::formats::seed::{Encoding, Reading};
use crate::model::id::TokenId;
use crate::otp::credential::{Credential, Kind as Otp, Parameters};
use crate::otp::find::Sought;
use crate::otp::secret::Secret;
use crate::otp::solve::{self as core, Fit};
use crate::otp::time::Timestamp;

/// Most readings that are shown.
const MOST_SHOWN: usize = 20;
/// More fits by chance than this, and a second passcode is wanted.
const DOUBT: f64 = 0.01;

/// What to solve.
pub struct SolveRequest {
    /// Whose seed.
    pub of: Subject,
    /// One passcode as the token shows it, or two consecutive ones.
    pub passcodes: Vec<Zeroizing<String>>,
    /// What to read anew.
    pub apply: Apply,
}

/// Where the seed is.
pub enum Subject {
    /// In the inventory.
    Token(Selector),
    /// In a text that is not imported.
    Data {
        /// The text: a file, or a row of one.
        data: Zeroizing<String>,
        /// The serial of the row; none if there is only one row.
        serial: Option<String>,
    },
}

/// What to read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apply {
    /// Nothing.
    Nothing,
    /// The token.
    Token,
    /// The token and what came with it.
    Import,
}

/// How a seed may have been meant.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct SolvedShown {
    /// How many ways fit.
    total: usize,
    /// These ways, the likeliest first; at most 20.
    rows: Vec<WayShown>,
    /// How many passcodes were computed.
    tried: u64,
    /// How many of them would fit by chance, on the average.
    expected_by_chance: f64,
    /// Whether a way may fit by chance, so that a second passcode, the next one, is wanted.
    second_passcode_wanted: bool,
    /// How many tokens were read anew.
    changed: usize,
    /// What to do next, in words.
    advice: String,
}

/// A way that fits.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
struct WayShown {
    /// How a seed that was read already is spelled to be read again: `hex`, `base32` or `base64`; null for one that was
    /// not read yet, and for one that stays what it is.
    spelled: Option<&'static str>,
    /// Whether that is how the token is kept now: then its seed is right, and it wants a resync if anything.
    as_stored: bool,
    /// Steps ahead of the server's clock; null for HOTP.
    ahead: Option<i64>,
    /// HOTP: the counter after what it shows; null for TOTP.
    next_counter: Option<u64>,
    /// How many other rows of the file or the import there are.
    others: usize,
    /// How many of those can be read in the same way.
    others_fit: usize,
    /// Attributes of `token/import` by which the file is read so.
    attrs: ImportWayShown,
}

/// Attributes of `token/import`.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ImportWayShown {
    /// How seeds are read, such as `hex`, `base64 of hex` or `hex+reversed`; null for as they were.
    reading: Option<String>,
    /// `OATH HOTP` or `OATH TOTP`.
    algorithm: &'static str,
    /// `SHA1`, `SHA256` or `SHA512`.
    hash: &'static str,
    /// Digits of a passcode.
    digits: u8,
    /// TOTP: the time step in seconds.
    timer: Option<u32>,
}

/// Finds the ways to read a seed by which it shows these passcodes; reads it so if that is asked.
///
/// # Errors
/// [`Kind::Invalid`] for what is no passcode or no row; the not-found kinds; [`Kind::NoSecret`], [`Kind::TooOften`];
/// [`Kind::NotSolved`] if it is to be read anew and not exactly one way fits.
pub async fn solve(app: &App, caller: &Caller, request: SolveRequest) -> Result<Json, Error> {
    let SolveRequest { of, passcodes, apply } = request;
    let sought = sought("credential", &passcodes)?;
    let token_named = matches!(of, Subject::Token(_));
    if apply != Apply::Nothing && !(token_named && sought.is_pair()) {
        return Err(Error::invalid("apply", "needs `token` and two passcodes in `credential`"));
    }
    let _place = app.searches.enter(caller, app.clock.now()).await?;
    let now = app.clock.now();
    let source = source::load(&app.store, of).await?;
    let (source, solution) = tokio::task::spawn_blocking(move || {
        let solution = Solution::of(&source, &sought, now);
        (source, solution)
    })
    .await
    .map_err(|_| Error::new(Kind::Internal, "the search ended early"))?;
    let changed = match (apply, source.token) {
        (Apply::Nothing, _) | (_, None) => {
            note(app, caller, source.token, &solution).await?;
            0
        }
        (apply, Some(token)) => {
            apply::apply(app, caller, token, &source, &solution, apply, passcodes).await?
        }
    };
    Ok(json!(solution.shown(changed)))
}

/// One row, before anybody is told.
async fn note(app: &App, caller: &Caller, token: Option<TokenId>, solution: &Solution) -> Result<(), Error> {
    let mut entry = caller.did("token/solve");
    entry.token = token;
    entry.outcome = if solution.ways.is_empty() { "not_solved" } else { "solved" };
    entry.detail = format!("{} readings fit", solution.ways.len());
    app.store
        .write(move |tx| {
            tx.audit(entry);
            Ok::<_, Error>(())
        })
        .await
}

/// A way that fits.
struct Way {
    /// How a seed that was read already is spelled to be read again.
    spelled: Option<Encoding>,
    /// The column of the row that it stands in.
    column: Option<usize>,
    /// How it is read; `None` for as it was.
    reading: Option<Reading>,
    credential: Credential,
    fit: Fit,
    as_stored: bool,
    others: usize,
    others_fit: usize,
}

/// What came of a search.
struct Solution {
    ways: Vec<Way>,
    tried: u64,
    expected: f64,
    pair: bool,
    stored: bool,
}

impl Solution {
    fn of(source: &Source, sought: &Sought, now: Timestamp) -> Self {
        let (mut ways, mut tried) = (Vec::new(), 0);
        // Many readings come to the same bytes: each secret is tried once, as the first of them.
        let mut seen: Vec<Secret> = Vec::new();
        for (seed, reading, secret) in source.readings() {
            if seen.contains(&secret) {
                continue;
            }
            let (fits, computed) = core::fits(&secret, sought, source.counter, now);
            tried += computed;
            for fit in fits {
                let credential = Credential { secret: secret.clone(), parameters: fit.parameters };
                ways.push(Way {
                    spelled: seed.and_then(|seed| seed.spelled),
                    column: seed.and_then(|seed| seed.column),
                    reading,
                    as_stored: source.kept.as_ref() == Some(&credential),
                    credential,
                    fit,
                    others: 0,
                    others_fit: 0,
                });
            }
            // Two passcodes do not fit by chance: what would be found later is the same by another name.
            if sought.is_pair() && !ways.is_empty() {
                break;
            }
            seen.push(secret);
        }
        for way in ways.iter_mut().take(MOST_SHOWN) {
            way.others = source.others();
            way.others_fit = source.others_fit(way);
        }
        let expected = tried as f64 * sought.chance();
        Self { ways, tried, expected, pair: sought.is_pair(), stored: source.kept.is_some() }
    }

    /// The one way that it can be, if chance is ruled out.
    fn only(&self) -> Option<&Way> {
        match self.ways.as_slice() {
            [only] if self.expected < DOUBT => Some(only),
            _ => None,
        }
    }

    fn in_doubt(&self) -> bool {
        self.ways.len() > 1 || self.expected > DOUBT
    }

    fn advice(&self, changed: usize) -> String {
        let text = match (self.ways.first(), self.only()) {
            _ if changed > 0 => "read anew: both passcodes are spent, the next one is good",
            (None, _) if self.stored => {
                "no reading of the stored secret shows this: try the row of the file, or it is another token"
            }
            (None, _) => "no reading of the seed shows this: it is another token's, or encrypted",
            (Some(way), _) if way.as_stored => "the seed is read right: sync the token",
            (_, None) if !self.pair => "give the next passcode too: chance may have found this",
            (_, None) => "several readings fit: try again with two other passcodes",
            (_, Some(_)) if self.stored => {
                "apply it to the token, or import the file again with these attributes"
            }
            (_, Some(_)) => "import the file with these attributes",
        };
        text.to_owned()
    }

    fn shown(&self, changed: usize) -> SolvedShown {
        SolvedShown {
            total: self.ways.len(),
            rows: self.ways.iter().take(MOST_SHOWN).map(Way::shown).collect(),
            tried: self.tried,
            expected_by_chance: rounded(self.expected),
            second_passcode_wanted: !self.ways.is_empty() && self.in_doubt() && !self.pair,
            changed,
            advice: self.advice(changed),
        }
    }
}

impl Way {
    fn shown(&self) -> WayShown {
        let Parameters { kind, algorithm, digits } = self.fit.parameters;
        let (name, timer) = match kind {
            Otp::Hotp => ("OATH HOTP", None),
            Otp::Totp { time_step } => ("OATH TOTP", Some(time_step.as_secs())),
        };
        WayShown {
            spelled: self.spelled.map(Encoding::name),
            as_stored: self.as_stored,
            ahead: timer.map(|_| self.fit.sighting.ahead),
            next_counter: timer.is_none().then(|| self.fit.sighting.last.saturating_add(1)),
            others: self.others,
            others_fit: self.others_fit,
            attrs: ImportWayShown {
                reading: self.reading.map(|reading| reading.to_string()),
                algorithm: name,
                hash: algorithm.as_str(),
                digits: digits.get(),
                timer,
            },
        }
    }
}
