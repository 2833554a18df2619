//! Groups that agents are in, each with the authority that issues their certificates. Its private key is sealed.

use rusqlite::{OptionalExtension as _, Row};
use zeroize::Zeroizing;

use super::hot::one_row;
use super::sealing::Place;
use super::{Reader, StoreError, Tx};
use crate::model::id::GroupId;
use crate::otp::time::Timestamp;

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Row id.
    pub id: GroupId,
    /// Its X.500 name, in its one form.
    pub name: String,
    /// Tells it from every other group there ever was.
    pub uuid: String,
    /// The hash by which requests name it.
    pub hash: String,
    /// The certificate of its authority, in PEM.
    pub authority: String,
    /// When it was made.
    pub created: Timestamp,
}

const COLUMNS: &str = "id, name, uuid, hash, ca_certificate, created_ms";

fn key_place(group: GroupId) -> Place {
    Place { column: "agent_groups.ca_key", row: group.0 }
}

impl Tx<'_> {
    /// Adds a group.
    ///
    /// # Errors
    /// [`StoreError`] also if name, UUID or hash is taken.
    pub fn insert_group(
        &self,
        name: &str,
        uuid: &str,
        hash: &str,
        authority: &str,
        authority_key: &[u8],
    ) -> Result<GroupId, StoreError> {
        let connection = self.connection();
        let mut insert = connection.prepare_cached(
            "INSERT INTO agent_groups (name, uuid, hash, ca_certificate, ca_key, created_ms)
             VALUES (?1, ?2, ?3, ?4, x'', ?5)",
        )?;
        let group = GroupId(insert.insert((name, uuid, hash, authority, self.now().as_millis()))?);
        // A sealed value is bound to its row, which has a number only now.
        let sealed = self.vault().seal(key_place(group), authority_key)?;
        let mut update = connection.prepare_cached("UPDATE agent_groups SET ca_key = ?2 WHERE id = ?1")?;
        one_row(update.execute((group.0, sealed))?)?;
        Ok(group)
    }

    /// The private key of a group's authority, PKCS#8 in DER.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such group, or if the key does not open.
    pub fn authority_key(&self, group: GroupId) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let mut select = self.connection().prepare_cached("SELECT ca_key FROM agent_groups WHERE id = ?1")?;
        let sealed: Vec<u8> = select.query_row([group.0], |row| row.get(0))?;
        self.vault().open_sealed(key_place(group), &sealed)
    }
}

impl Reader<'_> {
    /// Reads a group.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn group(&self, group: GroupId) -> Result<Option<Group>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM agent_groups WHERE id = ?1");
        Ok(self.connection.prepare_cached(&sql)?.query_row([group.0], read_group).optional()?)
    }

    /// Reads a group by its hash, which is in capitals.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn group_by_hash(&self, hash: &str) -> Result<Option<Group>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM agent_groups WHERE hash = ?1");
        Ok(self.connection.prepare_cached(&sql)?.query_row([hash], read_group).optional()?)
    }
}

fn read_group(row: &Row<'_>) -> rusqlite::Result<Group> {
    Ok(Group {
        id: GroupId(row.get(0)?),
        name: row.get(1)?,
        uuid: row.get(2)?,
        hash: row.get(3)?,
        authority: row.get(4)?,
        created: Timestamp::from_millis(row.get(5)?),
    })
}
