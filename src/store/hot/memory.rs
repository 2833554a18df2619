//! What the writer remembers between commits: rows used lately, states that are newer than their tables, and how far
//! these have been folded.
//!
//! In one commit: the decisions move states in memory; a piece of folding; then the decision log gets what moved. If the
//! commit fails, memory is worth nothing: all of it is dropped, and what the log on the disk says is written into the
//! tables before anything else happens. Between any two steps a crash leaves the tables as they were and a log that
//! brings them up to date, because rows of the log go only in the commit that folds the last state of theirs.
//!
//! A round of folding begins with many states, or when nobody asks for anything, and takes them in the order of their
//! tables, so that many of them share a page.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::super::StoreError;
use super::super::names::Names;
use super::super::policies::{self, Policies};
use super::super::sealing::Vault;
use super::cache::Cache;
use super::columns::{self, Key, Moving, Throttled};
use super::journal::{self, Moves};
use super::load::{Loader, Of};
use super::overlay::Overlay;
use super::touched::{Listener, Touched};
use super::unfolded::Unfolded;
use super::{AssignmentRow, Keys, Rows, TokenRow, UserRow, one_row, views};
use crate::model::id::{AssignmentId, TokenId, UserId};
use crate::otp::repeats::Repeats;
use crate::otp::time::Timestamp;

/// States with which a round of folding begins. The more there are, the more of them share a page; each takes some 150
/// bytes here and for the readers, and until the round ends there are half as many more.
const FOLD_FROM: usize = 32_768;

/// Fewest memories of what was typed that are worth looking through.
const TIDY_AT_LEAST: usize = 4096;
/// Longer than any window in which a repeated string is not counted twice.
const REPEATS_KEPT: Duration = Duration::from_secs(3600);

/// How much of a round goes into a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Pace {
    /// Beside so many decisions: a round ends while half as many states have moved again.
    Beside(usize),
    /// Nobody waits: for as long as this.
    Alone(Duration),
}

/// The memory.
pub(in crate::store) struct Memory {
    unfolded: Arc<Unfolded>,
    overlay: Arc<Overlay>,
    names: Arc<Names>,
    /// Whether this commit has changed what users and tokens are named by, or may have.
    renamed: bool,
    listener: Listener,
    loader: Loader,
    cache: Cache,
    /// What was typed in the last minute, per assignment (or token without one, as a negative id).
    repeats: HashMap<i64, Repeats>,
    /// The policies that are in force; none until they are read.
    policies: Option<Arc<Policies>>,
    /// At this many, memories that are too old to matter are thrown away.
    tidy_at: usize,
    /// Whose state has moved in this commit, or was settled in it.
    moved: BTreeSet<Key>,
    /// What this commit has written into the log.
    moves: Moves,
    /// What this commit has folded.
    folded: Vec<Key>,
    /// The newest row of the log.
    sequence: i64,
    /// Whether the log has rows.
    logged: bool,
    round: Option<Round>,
    /// A commit failed: memory and file may differ.
    failed: bool,
    fold_from: usize,
}

struct Round {
    /// The rows of the log up to this one go with the end of the round.
    until: i64,
    keys: std::vec::IntoIter<Key>,
}

/// What a decision found.
#[derive(Default)]
struct Before {
    users: Vec<(UserId, Throttled)>,
    tokens: Vec<(TokenId, Moving)>,
    assignments: Vec<(AssignmentId, i64)>,
    source: Option<Throttled>,
}

fn found<K: PartialEq, V: Copy>(before: &[(K, V)], key: &K) -> Option<V> {
    before.iter().find(|(known, _)| known == key).map(|(_, value)| *value)
}

impl Memory {
    /// Begins with the connection of the writer, whose tables are up to date.
    pub(in crate::store) fn new(
        connection: &mut Connection,
        overlay: Arc<Overlay>,
        names: Arc<Names>,
    ) -> Result<Self, StoreError> {
        let listener = Listener::default();
        listener.listen(connection)?;
        let unfolded = Arc::new(Unfolded::default());
        views::install(connection, Arc::clone(&unfolded))?;
        Ok(Self {
            unfolded,
            overlay,
            names,
            renamed: false,
            listener,
            loader: Loader::default(),
            cache: Cache::default(),
            repeats: HashMap::new(),
            policies: None,
            tidy_at: 0,
            moved: BTreeSet::new(),
            moves: Moves::new(),
            folded: Vec::new(),
            sequence: 0,
            logged: false,
            round: None,
            failed: false,
            fold_from: FOLD_FROM,
        })
    }

    /// Makes memory and file the same again, if a commit has failed.
    pub(in crate::store) fn begin(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        if !self.failed {
            return Ok(());
        }
        journal::recover(connection)?;
        self.listener.take();
        self.unfolded.clear();
        self.overlay.end_all();
        self.logged = false;
        self.failed = false;
        Ok(())
    }

    /// The commit failed: nothing of it stands, and nothing that was remembered counts.
    pub(in crate::store) fn forget(&mut self) {
        self.failed = true;
        self.policies = None;
        self.cache = Cache::default();
        self.repeats = HashMap::new();
        self.renamed = false;
        self.moved.clear();
        self.moves.clear();
        self.folded.clear();
        self.round = None;
    }

    /// The commit stands: readers may see it.
    pub(in crate::store) fn publish(&mut self) {
        if std::mem::take(&mut self.renamed) {
            self.names.forget();
        }
        self.overlay.publish(std::mem::take(&mut self.moves), std::mem::take(&mut self.folded));
    }

    /// The states that a change settles.
    pub(in crate::store) fn unfolded(&self) -> &Unfolded {
        &self.unfolded
    }

    /// Lets somebody decide on rows.
    pub(in crate::store) fn decide<R>(
        &mut self,
        connection: &Connection,
        vault: &Vault,
        keys: &Keys,
        now: Timestamp,
        decide: impl FnOnce(&mut Rows) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let mut rows = self.take(connection, vault, keys)?;
        let before = Before {
            users: rows.users.iter().map(|(id, row)| (*id, columns::of_user(row))).collect(),
            tokens: rows.tokens.iter().map(|(id, row)| (*id, columns::of_token(row))).collect(),
            assignments: rows.assignments.iter().map(|(id, row)| (*id, row.used)).collect(),
            source: keys.source.as_ref().and_then(|name| rows.sources.get(name)).map(columns::of_throttle),
        };
        let decided = decide(&mut rows)?;
        self.put_back(connection, rows, &before, now)?;
        Ok(decided)
    }

    fn take(&mut self, connection: &Connection, vault: &Vault, keys: &Keys) -> Result<Rows, StoreError> {
        let policies = match &self.policies {
            Some(policies) => Arc::clone(policies),
            None => Arc::clone(self.policies.insert(Arc::new(policies::load(connection)?))),
        };
        let mut rows = Rows { repeats: std::mem::take(&mut self.repeats), policies, ..Rows::default() };
        for of in [keys.user.map(Of::User), keys.token.map(Of::Token)].into_iter().flatten() {
            self.take_assignments(connection, of, &mut rows)?;
        }
        let users: BTreeSet<_> =
            keys.user.into_iter().chain(rows.assignments.values().map(|row| row.user)).collect();
        let tokens: BTreeSet<_> =
            keys.token.into_iter().chain(rows.assignments.values().map(|row| row.token)).collect();
        for id in users {
            if let Some(row) = self.take_user(connection, id)? {
                rows.users.insert(id, row);
            }
        }
        for id in tokens {
            if let Some(row) = self.take_token(connection, vault, id)? {
                rows.tokens.insert(id, row);
            }
        }
        if let Some(name) = &keys.source {
            let throttle = match self.cache.sources.take(name) {
                Some(throttle) => throttle,
                None => match self.unfolded.get(&Key::Source(name.clone())) {
                    Some(state) => columns::throttle(&read(&state)?)?,
                    None => self.loader.source(connection, name)?,
                },
            };
            rows.sources.insert(name.clone(), throttle);
        }
        if let Some(request) = &keys.request {
            rows.resends.load(connection, request)?;
        }
        Ok(rows)
    }

    fn take_assignments(
        &mut self,
        connection: &Connection,
        of: Of,
        rows: &mut Rows,
    ) -> Result<(), StoreError> {
        let known = match of {
            Of::User(user) => self.cache.of_user.take(&user),
            Of::Token(token) => self.cache.of_token.take(&token),
        };
        let ids = match known {
            Some(ids) => {
                for &id in &ids {
                    if rows.assignments.contains_key(&id) {
                        continue;
                    }
                    let row = match self.cache.assignments.take(&id) {
                        Some(row) => Some(row),
                        None => self.loader.assignment(connection, id)?,
                    };
                    if let Some(row) = row {
                        rows.assignments.insert(id, row);
                    }
                }
                ids
            }
            None => {
                let found = self.loader.assignments(connection, of)?;
                let ids = found.iter().map(|(id, _)| *id).collect();
                for (id, row) in found {
                    let row = self.cache.assignments.take(&id).unwrap_or(row);
                    rows.assignments.entry(id).or_insert(row);
                }
                ids
            }
        };
        match of {
            Of::User(user) => self.cache.of_user.put(user, ids),
            Of::Token(token) => self.cache.of_token.put(token, ids),
        }
        Ok(())
    }

    fn take_user(&mut self, connection: &Connection, id: UserId) -> Result<Option<UserRow>, StoreError> {
        if let Some(row) = self.cache.users.take(&id) {
            return Ok(Some(row));
        }
        let Some(mut row) = self.loader.user(connection, id)? else { return Ok(None) };
        if let Some(state) = self.unfolded.get(&Key::User(id)) {
            row.throttle = columns::throttle(&read(&state)?)?;
        }
        Ok(Some(row))
    }

    fn take_token(
        &mut self,
        connection: &Connection,
        vault: &Vault,
        id: TokenId,
    ) -> Result<Option<Box<TokenRow>>, StoreError> {
        if let Some(row) = self.cache.tokens.take(&id) {
            return Ok(Some(row));
        }
        let Some(mut row) = self.loader.token(connection, vault, id)? else { return Ok(None) };
        if let Some(state) = self.unfolded.get(&Key::Token(id)) {
            let columns: Moving =
                read(&state)?.try_into().map_err(|_| columns::unreadable("token_states"))?;
            (row.factor, row.throttle) = columns::token(&columns)?;
        }
        Ok(Some(row))
    }

    /// Keeps what a decision left, and notes what of it moved.
    fn put_back(
        &mut self,
        connection: &Connection,
        rows: Rows,
        before: &Before,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for (id, row) in rows.users {
            let after = columns::of_user(&row);
            if found(&before.users, &id) != Some(after) {
                self.moved(Key::User(id), &after);
            }
            self.cache.users.put(id, row);
        }
        for (id, row) in rows.tokens {
            let after = columns::of_token(&row);
            if found(&before.tokens, &id) != Some(after) {
                self.moved(Key::Token(id), &after);
            }
            self.cache.tokens.put(id, row);
        }
        for (name, throttle) in rows.sources {
            let after = columns::of_throttle(&throttle);
            if before.source != Some(after) {
                self.moved(Key::Source(name.clone()), &after);
            }
            self.cache.sources.put(name, throttle);
        }
        for (id, row) in rows.assignments {
            let used = found(&before.assignments, &id) != Some(row.used);
            if used || row.pin_changed {
                // These are few: they go into their table at once.
                write_assignment(connection, id, &row, used, now)?;
                // What else the statement changed is read again.
                self.listener.take();
            } else {
                self.cache.assignments.put(id, row);
            }
        }
        rows.resends.flush(connection, now)?;
        self.repeats = rows.repeats;
        if self.repeats.len() > self.tidy_at {
            self.repeats.retain(|_, memory| !memory.is_stale(now, REPEATS_KEPT));
            self.tidy_at = (2 * self.repeats.len()).max(TIDY_AT_LEAST);
        }
        Ok(())
    }

    fn moved(&mut self, key: Key, after: &[Option<i64>]) {
        self.unfolded.put(key.clone(), columns::encode(after));
        self.moved.insert(key);
    }

    /// What the change that has just run has touched.
    pub(in crate::store) fn touched(&self) -> Touched {
        self.listener.take()
    }

    /// Whether a change has settled every row whose state it wrote. One that has not has written over a table that was
    /// too old, and must be taken back.
    pub(in crate::store) fn is_settled(&self, touched: &Touched) -> bool {
        let unsettled = touched.states.iter().find(|key| self.unfolded.has(key));
        if let Some(key) = unsettled {
            tracing::error!(table = key.table().name, "a change did not settle the row whose state it wrote");
        }
        unsettled.is_none()
    }

    /// Forgets what a change has touched.
    pub(in crate::store) fn absorb(
        &mut self,
        connection: &Connection,
        touched: Touched,
    ) -> Result<(), StoreError> {
        if self.logged || !self.moved.is_empty() {
            self.moved.extend(touched.states);
        }
        self.renamed |= touched.other || !touched.users.is_empty() || !touched.tokens.is_empty();
        if touched.other {
            self.policies = None;
            self.cache = Cache::default();
            return Ok(());
        }
        for id in &touched.users {
            self.cache.users.take(id);
        }
        for id in &touched.tokens {
            self.cache.tokens.take(id);
        }
        for (id, new) in touched.assignments {
            match self.cache.assignments.take(&id) {
                Some(row) => self.forget_ends(row.token, row.user),
                None if new => {}
                // Nobody knows any more in whose list it was.
                None => {
                    self.cache = Cache::default();
                    return Ok(());
                }
            }
            if let Some((token, user)) = self.loader.ends(connection, id)? {
                self.forget_ends(token, user);
            }
        }
        Ok(())
    }

    fn forget_ends(&mut self, token: TokenId, user: UserId) {
        self.cache.of_token.take(&token);
        self.cache.of_user.take(&user);
    }

    /// Whether all tables are up to date, and the log empty.
    pub(in crate::store) fn is_folded(&self) -> bool {
        !self.logged && self.unfolded.len() == 0
    }

    /// Folds a piece, within the commit that is under way.
    pub(in crate::store) fn fold(&mut self, connection: &Connection, pace: Pace) -> Result<(), StoreError> {
        if self.round.is_none() {
            let begins = match pace {
                Pace::Beside(_) => self.unfolded.len() >= self.fold_from,
                Pace::Alone(_) => !self.is_folded(),
            };
            if !begins {
                return Ok(());
            }
            self.round = Some(Round { until: self.sequence, keys: self.unfolded.keys().into_iter() });
        }
        let Some(round) = &mut self.round else { return Ok(()) };
        let (most, patience) = match pace {
            Pace::Beside(decided) => (2 * decided + 2, Duration::MAX),
            Pace::Alone(patience) => (usize::MAX, patience),
        };
        let begun = Instant::now();
        for key in round.keys.by_ref().take(most) {
            // One that was settled since is gone from here.
            if self.unfolded.settle(connection, &key)?.is_some() {
                self.folded.push(key);
            }
            if begun.elapsed() >= patience {
                break;
            }
        }
        if round.keys.len() == 0 {
            journal::drop_until(connection, round.until)?;
            self.logged = self.sequence > round.until;
            self.round = None;
        }
        self.listener.take();
        Ok(())
    }

    /// Writes what has moved into the log, as the last of a commit.
    pub(in crate::store) fn log(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let moved = std::mem::take(&mut self.moved);
        let moves: Moves = moved.into_iter().map(|key| (key.clone(), self.unfolded.get(&key))).collect();
        if moves.values().any(Option::is_some) || self.logged && !moves.is_empty() {
            self.sequence += 1;
            journal::append(connection, self.sequence, &moves)?;
            self.logged = true;
        }
        self.moves = moves;
        Ok(())
    }
}

fn read(state: &[u8]) -> Result<Vec<Option<i64>>, StoreError> {
    columns::decode(state).ok_or(columns::unreadable("a state in memory"))
}

fn write_assignment(
    connection: &Connection,
    id: AssignmentId,
    row: &AssignmentRow,
    used: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    if used {
        let mut put = connection.prepare_cached("UPDATE assignments SET used = ?2 WHERE id = ?1")?;
        one_row(put.execute((id.0, row.used))?)?;
    }
    if row.pin_changed {
        let mut put = connection.prepare_cached(
            "UPDATE assignments SET pin_salt = ?2, pin_mac = ?3, must_change_pin = 0, last_change_pin_ms = ?4,
             updated_ms = ?4 WHERE id = ?1",
        )?;
        let (salt, mac) = (row.pin.map(|pin| pin.salt), row.pin.map(|pin| pin.mac));
        one_row(put.execute((id.0, salt, mac, now.as_millis()))?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
