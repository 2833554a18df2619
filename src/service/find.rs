//! Find: which token shows this passcode? For a fob that lies on the floor, or whose serial has worn off.
//!
//! The inventory is searched in ranges of ids, by short reads, by as many workers as there are cores and readers to
//! spare; one search at a time, so that logins go on beside it. It ends when the client goes away. Nothing
//! is spent. What it was asked for is counted (`service/pace.rs`) and audited with the number of matches, never with the
//! passcode: whoever may ask without limit learns passcodes.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::error::{Error, Kind};
use super::pace::Pace;
use crate::access::Caller;
use crate::app::App;
use crate::model::id::TokenId;
use crate::otp::find::{Sighting, Sought};
use crate::otp::time::Timestamp;
use crate::store::objects::{self, Condition, Held, TOKEN};
use crate::store::policies::Policies;
use crate::store::{Reader, Store};

/// How far a search reaches unless it is told otherwise: presses ahead, or steps either side.
const USUAL_WINDOW: u32 = 10;
/// How far it may be told to reach by one passcode: further, and chance finds more than the search.
const MOST_WINDOW: u32 = 100;
/// The same by two.
const MOST_WINDOW_OF_PAIR: u32 = 1000;
/// Ids that a worker takes at once.
const RANGE: i64 = 1000;
/// How long one read goes on to take more of them.
const READ: Duration = Duration::from_millis(10);
/// Most workers: two readers stay free for everybody else.
const MOST_WORKERS: usize = 2;
/// How long a search may take, the wait for others included.
const LIMIT: Duration = Duration::from_secs(10);
/// Most matches that are shown.
const MOST_SHOWN: usize = 100;
/// More matches by chance than this, and a second passcode is wanted.
const DOUBT: f64 = 0.01;

/// What searches by what tokens show have in common.
pub struct Searches {
    pace: Pace,
    place: Semaphore,
}

impl Default for Searches {
    fn default() -> Self {
        Self { pace: Pace::default(), place: Semaphore::new(1) }
    }
}

impl Searches {
    /// Counts the question and waits for the ones before it.
    ///
    /// # Errors
    /// [`Kind::TooOften`]; [`Kind::Unavailable`] if those before it take too long.
    pub(super) async fn enter(&self, caller: &Caller, now: Timestamp) -> Result<SemaphorePermit<'_>, Error> {
        self.pace.ask(&caller.name, now)?;
        match tokio::time::timeout(LIMIT, self.place.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => {
                Err(Error::new(Kind::Unavailable, "other searches take too long: try again later"))
            }
        }
    }
}

/// What to find.
pub struct FindRequest {
    /// One passcode as the token shows it, or two consecutive ones.
    pub passcodes: Vec<Zeroizing<String>>,
    /// Only tokens that fulfil all of these.
    pub conditions: Vec<Condition>,
    /// How far from what is expected of a token.
    pub window: Option<u32>,
}

/// The tokens that show a passcode.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct FoundShown {
    /// How many tokens show it.
    total: usize,
    /// These tokens, the one nearest to what is expected of it first; at most 100.
    rows: Vec<FoundTokenShown>,
    /// How many tokens have passcodes of that length, and were asked.
    searched: u64,
    /// How many of them would show it by chance, on the average.
    expected_by_chance: f64,
    /// Whether one of the rows may be there by chance, so that a second passcode, the next one, is wanted.
    second_passcode_wanted: bool,
}

/// A token that shows the passcode.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct FoundTokenShown {
    /// Id of the token.
    id: String,
    /// Its serial number.
    serial: String,
    /// Name of its product.
    product: String,
    /// Name of its repository.
    repository: String,
    /// `ACTIVE`, `DISABLED` or `DECEASED`.
    status: String,
    /// Who has it, each as `DOMAIN\LOGIN`.
    users: Vec<String>,
    /// How far it is ahead of what is expected of it: presses of an HOTP token (-1 is the passcode used last), time
    /// steps of a TOTP token; negative is behind.
    ahead: i64,
    /// TOTP: the same in seconds.
    seconds: Option<i64>,
}

/// Finds the tokens of the inventory that show these passcodes, as far as the caller sees it.
///
/// # Errors
/// [`Kind::Invalid`] for what is no passcode, [`Kind::TooOften`], [`Kind::TooSlow`]; the kinds of a search for wrong
/// conditions.
pub async fn find(app: &App, caller: &Caller, request: FindRequest) -> Result<Json, Error> {
    let sought = sought("credential", &request.passcodes)?;
    let most = if sought.is_pair() { MOST_WINDOW_OF_PAIR } else { MOST_WINDOW };
    let reach = request.window.unwrap_or(USUAL_WINDOW);
    if reach > most {
        let most = format!("must be at most {MOST_WINDOW}, or {MOST_WINDOW_OF_PAIR} with two passcodes");
        return Err(Error::invalid("window", &most));
    }
    let _place = app.searches.enter(caller, app.clock.now()).await?;
    let search = Arc::new(Search {
        sought,
        reach,
        now: app.clock.now(),
        conditions: request.conditions,
        next: AtomicI64::new(1),
        tally: Mutex::default(),
    });
    let all = tokio::time::timeout(LIMIT, search_all(&app.store, &search)).await;
    all.map_err(|_| Error::new(Kind::TooSlow, "the search takes too long: narrow it by `match`"))??;
    let mut tally = std::mem::take(&mut *search.tally.lock().unwrap_or_else(PoisonError::into_inner));
    tally.found.sort_by_key(|found| (found.sighting.ahead.unsigned_abs(), found.token));
    let expected = tally.tried as f64 * search.sought.chance();
    audit(app, caller, &search.sought, &tally).await?;
    let Tally { found, searched, .. } = tally;
    let total = found.len();
    let shown = found.into_iter().take(MOST_SHOWN);
    let rows = app
        .store
        .read(move |reader| {
            shown.filter_map(|found| show(reader, &found).transpose()).collect::<Result<_, _>>()
        })
        .await?;
    let in_doubt = total > 1 || expected > DOUBT;
    Ok(json!(FoundShown {
        total,
        rows,
        searched,
        expected_by_chance: rounded(expected),
        second_passcode_wanted: total > 0 && in_doubt && !search.sought.is_pair(),
    }))
}

/// Reads passcodes; `field` is where they stood.
pub(super) fn sought(field: &str, passcodes: &[Zeroizing<String>]) -> Result<Sought, Error> {
    let typed: Vec<&str> = passcodes.iter().map(|passcode| passcode.as_str()).collect();
    Sought::parse(&typed).map_err(|error| Error::invalid(field, &error.to_string()))
}

/// An expectation without digits that mean nothing.
pub(super) fn rounded(expected: f64) -> f64 {
    (expected * 1e9).round() / 1e9
}

/// One search under way.
struct Search {
    sought: Sought,
    reach: u32,
    now: Timestamp,
    conditions: Vec<Condition>,
    /// The first id that no worker has taken.
    next: AtomicI64,
    tally: Mutex<Tally>,
}

/// What came of it so far.
#[derive(Default)]
struct Tally {
    found: Vec<Found>,
    searched: u64,
    tried: u64,
}

/// A token that shows the passcode.
struct Found {
    token: TokenId,
    sighting: Sighting,
    seconds: Option<i64>,
}

async fn search_all(store: &Store, search: &Arc<Search>) -> Result<(), Error> {
    let last = store.read(|reader| Ok::<_, Error>(reader.last_token_id()?)).await?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // Dropped with the request of a client that went away, it ends its workers: each after the range it is at.
    let mut workers: JoinSet<Result<(), Error>> = JoinSet::new();
    for _ in 0..cores.min(MOST_WORKERS) {
        let (store, search) = (store.clone(), Arc::clone(search));
        workers.spawn(async move {
            loop {
                let search = Arc::clone(&search);
                if store.read(move |reader| search.go_on(reader, last)).await? {
                    return Ok(());
                }
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.map_err(|_| Error::new(Kind::Internal, "the search ended early"))??;
    }
    Ok(())
}

impl Search {
    /// Searches one range of ids after the other for as long as a read may take. Returns whether it was the last one.
    fn go_on(&self, reader: &Reader<'_>, last: i64) -> Result<bool, Error> {
        let (begun, policies) = (Instant::now(), reader.policies()?);
        while begun.elapsed() < READ {
            let first = self.next.fetch_add(RANGE, Ordering::Relaxed);
            if first > last {
                return Ok(true);
            }
            self.range(reader, &policies, first)?;
        }
        Ok(false)
    }

    /// Searches the tokens of one range of ids.
    fn range(&self, reader: &Reader<'_>, policies: &Policies, first: i64) -> Result<(), Error> {
        let mut part = Tally::default();
        let ids = first..=first.saturating_add(RANGE - 1);
        let digits = Some(self.sought.digits());
        objects::secrets(reader, &self.conditions, digits, ids, |held| {
            let Held { token, product, credential, factor } = held;
            let policy = policies.of(token, product);
            let look = self.sought.look(&credential, &factor, self.now, policy, self.reach);
            part.searched += 1;
            part.tried += look.tried;
            if let Some(sighting) = look.sighting {
                let seconds = credential.parameters.kind.seconds_of(sighting.ahead);
                part.found.push(Found { token, sighting, seconds });
            }
        })?;
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.found.append(&mut part.found);
        tally.searched += part.searched;
        tally.tried += part.tried;
        Ok(())
    }
}

/// One row, before anybody is told; a single match is named.
async fn audit(app: &App, caller: &Caller, sought: &Sought, tally: &Tally) -> Result<(), Error> {
    let mut entry = caller.did("token/find");
    entry.outcome = if tally.found.is_empty() { "not_found" } else { "found" };
    let passcodes = if sought.is_pair() { "two passcodes" } else { "one passcode" };
    entry.detail = format!("{} of {} tokens by {passcodes}", tally.found.len(), tally.searched);
    if let [only] = tally.found.as_slice() {
        entry.token = Some(only.token);
    }
    app.store
        .write(move |tx| {
            tx.audit(entry);
            Ok::<_, Error>(())
        })
        .await
}

/// What is told of a match; `None` if it was deleted meanwhile.
fn show(reader: &Reader<'_>, found: &Found) -> Result<Option<FoundTokenShown>, Error> {
    let users = json!({ "users": [{ "elements": ["loginName", "domain.name"] }] });
    let wanted = ["id", "serial", "status", "product.name", "repository.name"].map(Json::from);
    let token = objects::get(reader, &TOKEN, found.token.0, &[&wanted[..], &[users]].concat())?;
    if token.is_null() {
        return Ok(None);
    }
    let text = |name: &str| token[name].as_str().unwrap_or_default().to_owned();
    let users = token["users"]["elements"].as_array().into_iter().flatten();
    let name = |user: &Json| {
        let part = |name: &str| user[name].as_str().unwrap_or_default();
        format!("{}\\{}", part("domain.name"), part("loginName"))
    };
    Ok(Some(FoundTokenShown {
        id: text("id"),
        serial: text("serial"),
        product: text("product.name"),
        repository: text("repository.name"),
        status: text("status"),
        users: users.map(name).collect(),
        ahead: found.sighting.ahead,
        seconds: found.seconds,
    }))
}
