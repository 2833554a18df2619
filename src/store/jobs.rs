//! The provisioning journal: what was about to be done to which slot, and how far it came.
//!
//! Whoever shows jobs to people as they move on is told of each move after its commit ([`Observer`]).
//!
//! A new secret lives here, sealed, from before the first byte goes to the device until the device has proved
//! it (then it becomes the token's) or the job has ended otherwise.

use rusqlite::OptionalExtension as _;
use serde_json::{Value as Json, json};

use super::hot::{one_row, parameter_columns, read_parameters, read_text, unseal_secret};
use super::sealing::Place;
use super::{Reader, StoreError, Tx, objects};
use crate::model::id::{AssignmentId, JobId, TokenId};
use crate::model::status::JobState;
use crate::otp::credential::Credential;

/// A job as the API shows it: all its attributes, and id and serial of its token.
pub type Row = Json;

/// Is told of jobs that were begun or moved on.
pub type Observer = Box<dyn Fn(Vec<Row>) + Send + Sync>;

/// Most unfinished jobs that are listed.
const MOST_UNFINISHED: i64 = 1000;

/// What a job does to its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes a new credential.
    Program,
    /// Empties the slot.
    Erase,
}

impl Action {
    /// The text in the table and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Erase => "erase",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Program, Self::Erase].into_iter().find(|action| action.as_str() == text)
    }
}

/// What a job that gives up before the device changed has to take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// Nothing: the token was there and keeps its place.
    Nothing,
    /// The token was there, but had no place.
    Place,
    /// The token was made for this job.
    Token,
}

impl Undo {
    fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Place => "place",
            Self::Token => "token",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Nothing, Self::Place, Self::Token].into_iter().find(|undo| undo.as_str() == text)
    }
}

/// A job to be.
pub struct NewJob<'a> {
    /// What it does.
    pub action: Action,
    /// The token that gets the credential.
    pub token: Option<TokenId>,
    /// `driver:serial`.
    pub device: &'a str,
    /// The slot.
    pub slot: &'a str,
    /// The credential to write, for [`Action::Program`].
    pub credential: Option<&'a Credential>,
    /// Whether each passcode will need a touch.
    pub touch: bool,
    /// What giving up takes back.
    pub undo: Undo,
    /// The assignment made for this job; giving up takes it back as well.
    pub assignment: Option<AssignmentId>,
    /// Who asked for it.
    pub operator: &'a str,
}

/// A job as the use cases need it.
pub struct Job {
    /// What it does.
    pub action: Action,
    /// The token that gets the credential.
    pub token: Option<TokenId>,
    /// `driver:serial`.
    pub device: String,
    /// The slot.
    pub slot: String,
    /// Where it stands.
    pub state: JobState,
    /// The credential, as long as it is not proven.
    pub credential: Option<Credential>,
    /// Who asked for it.
    pub operator: String,
}

fn secret_place(job: i64) -> Place {
    Place { column: "jobs.secret", row: job }
}

impl Tx<'_> {
    /// Writes a job in state `reserved`.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn insert_job(&self, job: &NewJob<'_>) -> Result<JobId, StoreError> {
        job.token.map_or(Ok(()), |token| self.guard(token))?;
        let connection = self.connection();
        let mut insert = connection.prepare_cached(
            "INSERT INTO jobs (action, token_id, device, slot, state, kind, hash, digits, time_step_seconds,
             touch, undo, assignment_id, error, operator, created_ms, updated_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, '', ?13, ?14, ?14)",
        )?;
        let columns = job.credential.map(|credential| parameter_columns(&credential.parameters));
        let id = insert.insert((
            job.action.as_str(),
            job.token.map(|id| id.0),
            job.device,
            job.slot,
            JobState::Reserved.as_str(),
            columns.map(|c| c.0),
            columns.map(|c| c.1),
            columns.map(|c| c.2),
            columns.and_then(|c| c.3),
            job.touch,
            job.undo.as_str(),
            job.assignment.map(|id| id.0),
            job.operator,
            self.now().as_millis(),
        ))?;
        if let Some(credential) = job.credential {
            let sealed = self.vault().seal(secret_place(id), credential.secret.expose())?;
            let mut put = connection.prepare_cached("UPDATE jobs SET secret = ?2 WHERE id = ?1")?;
            one_row(put.execute((id, sealed))?)?;
        }
        self.note_move(JobId(id));
        Ok(JobId(id))
    }

    fn note_move(&self, job: JobId) {
        let mut moved = self.moved_jobs.borrow_mut();
        if !moved.contains(&job) {
            moved.push(job);
        }
    }

    /// Moves a job on. The secret is dropped once the token has it, or the device cannot have it.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such job.
    pub fn move_job(&self, job: JobId, state: JobState, error: &str) -> Result<(), StoreError> {
        let mut update = self.connection().prepare_cached(
            "UPDATE jobs SET state = ?2, error = ?3, updated_ms = ?4,
             secret = CASE WHEN ?5 THEN NULL ELSE secret END WHERE id = ?1",
        )?;
        self.note_move(job);
        let drop_secret = matches!(state, JobState::Ready | JobState::Undone);
        one_row(update.execute((job.0, state.as_str(), error, self.now().as_millis(), drop_secret))?)
    }

    /// Ends a job of which the device never saw anything, and takes back what was reserved for it.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such job.
    pub fn undo_job(&self, job: JobId, error: &str) -> Result<(), StoreError> {
        let connection = self.connection();
        let (token, undo, assignment): (Option<i64>, Undo, Option<i64>) = connection
            .prepare_cached("SELECT token_id, undo, assignment_id FROM jobs WHERE id = ?1")?
            .query_row([job.0], |row| Ok((row.get(0)?, read_text(row, 1, Undo::parse)?, row.get(2)?)))?;
        self.move_job(job, JobState::Undone, error)?;
        if let Some(assignment) = assignment {
            self.delete_assignment(AssignmentId(assignment))?;
        }
        match (token, undo) {
            (Some(token), Undo::Token) => self.delete_token(TokenId(token)),
            (Some(token), Undo::Place) => {
                let mut clear = connection
                    .prepare_cached("UPDATE tokens SET device = NULL, slot = NULL WHERE id = ?1")?;
                one_row(clear.execute([token])?)
            }
            (_, Undo::Nothing) | (None, _) => Ok(()),
        }
    }

    /// Settles the jobs that an earlier run of the server left behind: what was never sent is undone, what was
    /// confirmed by the device waits for a passcode, and of the rest only a passcode could tell what the device
    /// holds. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn settle_orphaned_jobs(&self) -> Result<usize, StoreError> {
        const WHY: &str = "the server stopped before the job was done";
        let mut select = self.connection().prepare(
            "SELECT id, state, action FROM jobs
             WHERE state IN ('reserved', 'writing', 'proving', 'awaiting_touch')",
        )?;
        let orphans = select
            .query_map([], |row| {
                Ok((
                    JobId(row.get(0)?),
                    read_text(row, 1, JobState::parse)?,
                    read_text(row, 2, Action::parse)?,
                ))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for &(job, state, action) in &orphans {
            match (state, action) {
                (JobState::Reserved, _) => self.undo_job(job, WHY)?,
                (JobState::Proving | JobState::AwaitingTouch, Action::Program) => {
                    self.move_job(job, JobState::AwaitingPasscode, WHY)?;
                }
                _ => self.move_job(job, JobState::WipeBeforeUse, WHY)?,
            }
        }
        Ok(orphans.len())
    }
}

impl Reader<'_> {
    /// Reads a job.
    ///
    /// # Errors
    /// [`StoreError`] if its secret does not open.
    pub fn job(&self, job: JobId) -> Result<Option<Job>, StoreError> {
        if !self.scope.is_all() && !objects::sees(self, &objects::JOB, job.0)? {
            return Ok(None);
        }
        let mut select = self.connection.prepare_cached(
            "SELECT secret, kind, hash, digits, time_step_seconds, action, token_id, device, slot, state, operator
             FROM jobs WHERE id = ?1",
        )?;
        let mut rows = select.query([job.0])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let credential = match row.get::<_, Option<Vec<u8>>>(0)? {
            Some(sealed) => Some(Credential {
                secret: unseal_secret(self.vault, secret_place(job.0), &sealed)?,
                parameters: read_parameters(row, 1)?,
            }),
            None => None,
        };
        Ok(Some(Job {
            action: read_text(row, 5, Action::parse)?,
            token: row.get::<_, Option<i64>>(6)?.map(TokenId),
            device: row.get(7)?,
            slot: row.get(8)?,
            state: read_text(row, 9, JobState::parse)?,
            credential,
            operator: row.get(10)?,
        }))
    }

    /// Shows a job; `null` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn job_row(&self, job: JobId) -> Result<Row, StoreError> {
        let wanted = [json!("*"), json!({"token": ["id", "serial"]})];
        match objects::get(self, &objects::JOB, job.0, &wanted) {
            Ok(row) => Ok(row),
            Err(objects::QueryError::Store(error)) => Err(error),
            // What is asked for stands above, and the table has it.
            Err(_) => Err(StoreError::Unreadable { place: "jobs" }),
        }
    }

    /// The jobs that have not come to their end, oldest first; at most 1000, the newest ones.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn unfinished_jobs(&self) -> Result<Vec<JobId>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT id FROM (SELECT id FROM jobs WHERE state NOT IN ('ready', 'undone', 'wipe_before_use')
             ORDER BY id DESC LIMIT ?1) ORDER BY id",
        )?;
        let ids = select.query_map([MOST_UNFINISHED], |row| row.get(0).map(JobId))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    /// The unfinished job on a slot, if there is one, and where it stands.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn unfinished_job_at(
        &self,
        device: &str,
        slot: &str,
    ) -> Result<Option<(JobId, JobState)>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, state FROM jobs WHERE device = ?1 AND slot = ?2
             AND state NOT IN ('ready', 'undone', 'wipe_before_use')",
        )?;
        let read = |row: &rusqlite::Row<'_>| Ok((JobId(row.get(0)?), read_text(row, 1, JobState::parse)?));
        Ok(select.query_row((device, slot), read).optional()?)
    }
}
