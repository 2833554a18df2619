//! Agents: registered clients of the API, and stations.
//!
//! An agent that is retired stays retired; its certificates, the sessions that were opened for it and the list of who
//! may open one go in the same commit.

use std::collections::BTreeSet;

use rusqlite::OptionalExtension as _;

use super::hot::one_row;
use super::{Reader, StoreError, Tx};
use crate::model::id::{AgentId, GroupId, OperatorId, RepositoryId};
use crate::model::scope::Scope;
use crate::otp::time::Timestamp;

/// An agent that is not retired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Row id.
    pub id: AgentId,
    /// The group that it is in.
    pub group: GroupId,
    /// Its X.500 name, in its one form.
    pub name: String,
}

const ACTIVE: &str = "ACTIVE";
const RETIRED: &str = "RETIRED";

impl Tx<'_> {
    /// Adds an agent to a group; its first certificate is to follow in the same commit.
    ///
    /// # Errors
    /// [`StoreError`] also if an agent of that name is active.
    pub fn insert_agent(&self, group: GroupId, name: &str, hash: &str) -> Result<AgentId, StoreError> {
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO agents (group_id, name, hash, status, expires_ms, created_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        )?;
        Ok(AgentId(insert.insert((group.0, name, hash, ACTIVE, self.now().as_millis()))?))
    }

    /// Lets an agent in by one more certificate, and forgets those of its own that are over.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such agent.
    pub fn add_agent_certificate(
        &self,
        agent: AgentId,
        fingerprint: &[u8; 32],
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let connection = self.connection();
        connection
            .prepare_cached("DELETE FROM agent_certificates WHERE agent_id = ?1 AND expires_ms <= ?2")?
            .execute((agent.0, self.now().as_millis()))?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO agent_certificates (fingerprint, agent_id, expires_ms) VALUES (?1, ?2, ?3)",
        )?;
        one_row(insert.execute((fingerprint, agent.0, expires.as_millis()))?)?;
        let mut update = connection.prepare_cached("UPDATE agents SET expires_ms = ?2 WHERE id = ?1")?;
        one_row(update.execute((agent.0, expires.as_millis()))?)
    }

    /// Retires an agent that is active, with all that was given out for it.
    ///
    /// # Errors
    /// [`StoreError`] also if it is not active.
    pub fn retire_agent(&self, agent: AgentId) -> Result<(), StoreError> {
        let connection = self.connection();
        let mut update = connection
            .prepare_cached("UPDATE agents SET status = ?2, retired_ms = ?3 WHERE id = ?1 AND status = ?4")?;
        one_row(update.execute((agent.0, RETIRED, self.now().as_millis(), ACTIVE))?)?;
        for table in ["agent_certificates", "agent_operators", "agent_repositories"] {
            connection.execute(&format!("DELETE FROM {table} WHERE agent_id = ?1"), [agent.0])?;
        }
        connection.execute("DELETE FROM bearers WHERE agent = ?1 AND agent <> ''", [agent.to_string()])?;
        Ok(())
    }

    /// Lets an operator open sessions for an agent. Whether that is new.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such agent or operator.
    pub fn add_agent_operator(&self, agent: AgentId, operator: OperatorId) -> Result<bool, StoreError> {
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO agent_operators (agent_id, operator_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?;
        Ok(insert.execute((agent.0, operator.0))? == 1)
    }

    /// Takes that back, and ends the sessions. Whether there was anything to take back.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn remove_agent_operator(&self, agent: AgentId, operator: OperatorId) -> Result<bool, StoreError> {
        let connection = self.connection();
        let mut delete = connection
            .prepare_cached("DELETE FROM agent_operators WHERE agent_id = ?1 AND operator_id = ?2")?;
        let removed = delete.execute((agent.0, operator.0))? == 1;
        let mut delete = connection
            .prepare_cached("DELETE FROM bearers WHERE agent = ?1 AND agent <> '' AND operator_id = ?2")?;
        delete.execute((agent.to_string(), operator.0))?;
        Ok(removed)
    }

    /// Changes which repositories an agent sees.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such agent or repository.
    pub fn set_agent_repositories(
        &self,
        agent: AgentId,
        repositories: &BTreeSet<RepositoryId>,
    ) -> Result<(), StoreError> {
        let connection = self.connection();
        connection.execute("DELETE FROM agent_repositories WHERE agent_id = ?1", [agent.0])?;
        let mut insert = connection
            .prepare_cached("INSERT INTO agent_repositories (agent_id, repository_id) VALUES (?1, ?2)")?;
        for repository in repositories {
            one_row(insert.execute((agent.0, repository.0))?)?;
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// An agent that is active.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn active_agent(&self, agent: AgentId) -> Result<Option<Agent>, StoreError> {
        let mut select = self
            .connection
            .prepare_cached("SELECT id, group_id, name FROM agents WHERE id = ?1 AND status = ?2")?;
        Ok(select.query_row((agent.0, ACTIVE), read_agent).optional()?)
    }

    /// Whether a group has an active agent of that name.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn has_active_agent(&self, group: GroupId, name: &str) -> Result<bool, StoreError> {
        let mut select = self
            .connection
            .prepare_cached("SELECT 1 FROM agents WHERE group_id = ?1 AND name = ?2 AND status = ?3")?;
        Ok(select.exists((group.0, name, ACTIVE))?)
    }

    /// Whether any agent with that hash is active; none if there never was one.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn agent_with_hash(&self, hash: &str) -> Result<Option<bool>, StoreError> {
        let mut select =
            self.connection.prepare_cached("SELECT max(status = ?2) FROM agents WHERE hash = ?1")?;
        Ok(select.query_row((hash, ACTIVE), |row| row.get(0))?)
    }

    /// The agent that a certificate was issued to, and what it sees, if it may log in by it at that time.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn agent_of_certificate(
        &self,
        fingerprint: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<(Agent, Scope)>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT agents.id, agents.group_id, agents.name
             FROM agent_certificates JOIN agents ON agents.id = agent_certificates.agent_id
             WHERE fingerprint = ?1 AND agent_certificates.expires_ms > ?2 AND agents.status = ?3",
        )?;
        let found = select.query_row((fingerprint, now.as_millis(), ACTIVE), read_agent).optional()?;
        let Some(agent) = found else { return Ok(None) };
        let mut select = self
            .connection
            .prepare_cached("SELECT repository_id FROM agent_repositories WHERE agent_id = ?1")?;
        let repositories = select.query_map([agent.id.0], |row| row.get(0).map(RepositoryId))?;
        let repositories = repositories.collect::<rusqlite::Result<_>>()?;
        // No users at all: a station has to do with tokens.
        Ok(Some((agent, Scope::new(Some(BTreeSet::new()), Some(repositories)))))
    }

    /// Whether an operator may act for an agent that is active.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn operates(&self, operator: OperatorId, agent: AgentId) -> Result<bool, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT 1 FROM agent_operators JOIN agents ON agents.id = agent_operators.agent_id
             WHERE agent_id = ?1 AND operator_id = ?2 AND agents.status = ?3",
        )?;
        Ok(select.exists((agent.0, operator.0, ACTIVE))?)
    }
}

fn read_agent(row: &rusqlite::Row<'_>) -> rusqlite::Result<Agent> {
    Ok(Agent { id: AgentId(row.get(0)?), group: GroupId(row.get(1)?), name: row.get(2)? })
}
