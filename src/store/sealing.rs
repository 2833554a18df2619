//! Secrets at rest: AES-256-GCM under a data key that is wrapped by a master key outside the database.
//!
//! | part of a sealed value | bytes |
//! |---|---|
//! | form, always 1 | 1 |
//! | number of the data key | 4, big-endian |
//! | nonce, random | 12 |
//! | ciphertext | as the plaintext |
//! | tag | 16 |
//!
//! Associated data is the place of the value (`table.column` and row id), so that a sealed value copied into
//! another row does not open. The database keeps the master key's id and a check value: a wrong key file stops
//! the start. Backups of the database never hold the master key.
//!
//! New values are sealed under the data key with the highest number; values under an older one open as long as it is
//! there. How keys are changed is in `store/rotation.rs`.

mod master;

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use rusqlite::{Connection, OptionalExtension as _};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

pub use self::master::{KeyError, MasterKey};
use super::StoreError;
use crate::otp::pin::PinKey;

const FORM: u8 = 1;
/// What stands in a wrapped key where a sealed value has the number of its data key.
const WRAPPED: u32 = 1;
const FIRST_DATA_KEY: u32 = 1;
const NONCE_BYTES: usize = 12;
const HEAD_BYTES: usize = 1 + 4 + NONCE_BYTES;

/// Names of keys that a master key wraps which is to follow the present one.
pub(super) const NEXT: &str = "next/";

type KeyBytes = Zeroizing<[u8; 32]>;

/// Where a sealed value lives; its associated data.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// `table.column`.
    pub column: &'static str,
    /// Row id.
    pub row: i64,
}

impl Place {
    fn associated_data(self) -> Vec<u8> {
        let mut data = self.column.as_bytes().to_vec();
        data.push(0);
        data.extend_from_slice(&self.row.to_be_bytes());
        data
    }
}

/// The keys of an open database.
pub struct Vault {
    ring: RwLock<Ring>,
    pin: PinKey,
}

/// What seals and opens. While the data key is changed there are two.
struct Ring {
    master: Aes256Gcm,
    data: BTreeMap<u32, Aes256Gcm>,
}

/// A data key that was made and is not in use yet, with the master key that wraps it.
pub(super) struct Fresh {
    number: u32,
    data: Aes256Gcm,
    master: Aes256Gcm,
}

impl Vault {
    /// Makes the keys of a new database and writes them, wrapped, into it.
    pub(super) fn create(connection: &Connection, master: &MasterKey) -> Result<(), StoreError> {
        put_master(connection, "", master)?;
        put_wrapped(connection, &data_key(FIRST_DATA_KEY), &cipher(&master.key), &random_key()?[..])?;
        put_wrapped(connection, "pin_key", &cipher(&master.key), &random_key()?[..])
    }

    /// Unwraps the keys of a database.
    pub(super) fn open(connection: &Connection, master: &MasterKey) -> Result<Self, StoreError> {
        let set = set_of(connection, master)?;
        let master = cipher(&master.key);
        let mut data = BTreeMap::new();
        let mut pin = None;
        for (name, wrapped) in wrapped_keys(connection, set)? {
            let key = unwrap(&master, &name, &wrapped)?;
            match number_of_data_key(&name) {
                Some(number) => drop(data.insert(number, cipher(&key))),
                None => pin = Some(PinKey::new(*key)),
            }
        }
        if data.is_empty() {
            return Err(KeyError::Missing("data_key").into());
        }
        let pin = pin.ok_or(KeyError::Missing("pin_key"))?;
        Ok(Self { ring: RwLock::new(Ring { master, data }), pin })
    }

    /// Seals a secret for one place.
    pub(super) fn seal(&self, place: Place, secret: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.look(|ring| {
            let (number, data) = ring.data.last_key_value().ok_or(KeyError::Missing("data_key"))?;
            Ok(seal(data, *number, place, secret)?)
        })
    }

    /// Opens what was sealed for that place.
    pub(super) fn open_sealed(&self, place: Place, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.look(|ring| {
            let number = number_of(sealed).unwrap_or_default();
            let data = ring.data.get(&number).ok_or_else(|| does_not_open(place))?;
            Ok(open(data, number, place, sealed)?)
        })
    }

    /// The key under which PINs are kept.
    #[must_use]
    pub fn pin_key(&self) -> &PinKey {
        &self.pin
    }

    /// The number of the data key that seals.
    pub(super) fn current(&self) -> u32 {
        self.look(|ring| ring.data.last_key_value().map_or(FIRST_DATA_KEY, |(number, _)| *number))
    }

    /// Wraps every key of the database by another master key too. From the commit on, both open it.
    pub(super) fn wrap_for(&self, connection: &Connection, next: &MasterKey) -> Result<(), StoreError> {
        put_master(connection, NEXT, next)?;
        let wrapper = cipher(&next.key);
        for (name, wrapped) in wrapped_keys(connection, "")? {
            let key = self.look(|ring| unwrap(&ring.master, &name, &wrapped))?;
            put_wrapped(connection, &format!("{NEXT}{name}"), &wrapper, &key[..])?;
        }
        Ok(())
    }

    /// Drops what the present master key wraps, puts the other one into its place, and makes another data key.
    pub(super) fn adopt(connection: &Connection, next: &MasterKey) -> Result<Fresh, StoreError> {
        if set_of(connection, next)? != NEXT {
            return Err(KeyError::Missing("next/master_key_check").into());
        }
        overwriting(connection, || {
            connection.execute(
                "DELETE FROM meta WHERE key IN ('master_key_id', 'master_key_check', 'pin_key')
                 OR key GLOB 'data_key_*'",
                [],
            )?;
            // The name of a wrapped key is a part of its seal, without the mark of what is to come.
            let renamed = "UPDATE meta SET key = substr(key, ?1) WHERE key GLOB 'next/*'";
            Ok(connection.execute(renamed, [NEXT.len() as i64 + 1]).map(drop)?)
        })?;
        let master = cipher(&next.key);
        let numbers = wrapped_keys(connection, "")?;
        let newest = numbers.iter().filter_map(|(name, _)| number_of_data_key(name)).max();
        let number = newest.unwrap_or(FIRST_DATA_KEY) + 1;
        let key = random_key()?;
        put_wrapped(connection, &data_key(number), &master, &key[..])?;
        Ok(Fresh { number, data: cipher(&key), master })
    }

    /// Seals under a new data key from now on; its commit stands.
    pub(super) fn take(&self, fresh: Fresh) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.data.insert(fresh.number, fresh.data);
        ring.master = fresh.master;
    }

    /// Drops every data key from the file but the newest one. No value may need them any more.
    pub(super) fn drop_old(&self, connection: &Connection) -> Result<(), StoreError> {
        let current = data_key(self.current());
        overwriting(connection, || {
            let delete = "DELETE FROM meta WHERE key GLOB 'data_key_*' AND key <> ?1";
            Ok(connection.execute(delete, [current]).map(drop)?)
        })
    }

    /// Forgets every data key but the newest one; that they are gone from the file stands.
    pub(super) fn forget_old(&self) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        let newest = ring.data.pop_last();
        ring.data = newest.into_iter().collect();
    }

    fn look<T>(&self, look: impl FnOnce(&Ring) -> T) -> T {
        look(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The number of the data key that sealed a value.
pub(super) fn number_of(sealed: &[u8]) -> Option<u32> {
    let (form, rest) = sealed.split_first()?;
    let number: [u8; 4] = rest.get(..4)?.try_into().ok()?;
    (*form == FORM).then(|| u32::from_be_bytes(number))
}

/// The ids of the master key and of the one that is to follow it.
pub(super) fn master_ids(connection: &Connection) -> Result<(String, Option<String>), StoreError> {
    let id = |set: &str| -> Result<Option<String>, StoreError> {
        let value = meta(connection, &format!("{set}master_key_id"))?;
        Ok(value.map(|id| String::from_utf8_lossy(&id).into_owned()))
    };
    Ok((id("")?.ok_or(KeyError::Missing("master_key_id"))?, id(NEXT)?))
}

/// Forgets the master key that was to follow.
pub(super) fn drop_next(connection: &Connection) -> Result<(), StoreError> {
    overwriting(connection, || {
        Ok(connection.execute("DELETE FROM meta WHERE key GLOB 'next/*'", []).map(drop)?)
    })
}

/// Deletes so that nothing of it is left in the pages of the file.
fn overwriting(
    connection: &Connection,
    delete: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    connection.pragma_update(None, "secure_delete", true)?;
    let outcome = delete();
    connection.pragma_update(None, "secure_delete", false)?;
    outcome
}

fn meta(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(select.query_row([name], |row| row.get(0)).optional()?)
}

/// Which of the two sets of wrapped keys a master key opens: the present one or the one that is to follow.
fn set_of(connection: &Connection, master: &MasterKey) -> Result<&'static str, StoreError> {
    for set in ["", NEXT] {
        let check = meta(connection, &format!("{set}master_key_check"))?;
        match check {
            Some(check) if bool::from(check.ct_eq(&master.check_value()[..])) => return Ok(set),
            None if set.is_empty() => return Err(KeyError::Missing("master_key_check").into()),
            _ => {}
        }
    }
    let (id, next) = master_ids(connection)?;
    let needed = next.map(|next| format!("{id} or {next}")).unwrap_or(id);
    Err(KeyError::Wrong { path: master.path().to_owned(), needed, found: master.id() }.into())
}

/// The wrapped keys of a set, by their names without its mark.
fn wrapped_keys(connection: &Connection, set: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let mut select = connection.prepare(
        "SELECT substr(key, ?2), value FROM meta WHERE key = ?1 || 'pin_key' OR key GLOB ?1 || 'data_key_*'",
    )?;
    let rows = select.query_map((set, set.len() as i64 + 1), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn data_key(number: u32) -> String {
    format!("data_key_{number}")
}

fn number_of_data_key(name: &str) -> Option<u32> {
    name.strip_prefix("data_key_")?.parse().ok()
}

fn put_master(connection: &Connection, set: &str, master: &MasterKey) -> Result<(), StoreError> {
    let mut put = connection.prepare("INSERT INTO meta (key, value) VALUES (?1, ?2)")?;
    put.execute((format!("{set}master_key_id"), master.id().as_bytes()))?;
    put.execute((format!("{set}master_key_check"), &master.check_value()[..]))?;
    Ok(())
}

fn put_wrapped(
    connection: &Connection,
    name: &str,
    wrapper: &Aes256Gcm,
    key: &[u8],
) -> Result<(), StoreError> {
    let wrapped = seal(wrapper, WRAPPED, meta_place(name), key)?;
    connection.prepare("INSERT INTO meta (key, value) VALUES (?1, ?2)")?.execute((name, wrapped))?;
    Ok(())
}

fn unwrap(master: &Aes256Gcm, name: &str, wrapped: &[u8]) -> Result<KeyBytes, StoreError> {
    let place = meta_place(name);
    let key = open(master, WRAPPED, place, wrapped)?;
    let key: [u8; 32] = key.as_slice().try_into().map_err(|_| does_not_open(place))?;
    Ok(Zeroizing::new(key))
}

fn cipher(key: &KeyBytes) -> Aes256Gcm {
    Aes256Gcm::new((&**key).into())
}

/// Where a wrapped key lives, whatever set it is in.
fn meta_place(name: &str) -> Place {
    match number_of_data_key(name.strip_prefix(NEXT).unwrap_or(name)) {
        // The name that the first one always had.
        Some(FIRST_DATA_KEY) => Place { column: "data_key_1", row: 0 },
        Some(number) => Place { column: "data_key", row: i64::from(number) },
        None => Place { column: "pin_key", row: 0 },
    }
}

fn does_not_open(place: Place) -> KeyError {
    KeyError::DoesNotOpen { place: format!("{} {}", place.column, place.row) }
}

fn seal(cipher: &Aes256Gcm, number: u32, place: Place, secret: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(KeyError::Random)?;
    let mut head = vec![FORM];
    head.extend_from_slice(&number.to_be_bytes());
    head.extend_from_slice(&nonce);
    let body = cipher
        .encrypt(&Nonce::from(nonce), Payload { msg: secret, aad: &place.associated_data() })
        .expect("AES-GCM seals anything shorter than 64 GiB");
    head.extend_from_slice(&body);
    Ok(head)
}

fn open(
    cipher: &Aes256Gcm,
    number: u32,
    place: Place,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let refused = || does_not_open(place);
    if number_of(sealed) != Some(number) {
        return Err(refused());
    }
    let (head, body) = sealed.split_at_checked(HEAD_BYTES).ok_or_else(refused)?;
    let nonce: [u8; NONCE_BYTES] = head[HEAD_BYTES - NONCE_BYTES..].try_into().map_err(|_| refused())?;
    cipher
        .decrypt(&Nonce::from(nonce), Payload { msg: body, aad: &place.associated_data() })
        .map(Zeroizing::new)
        .map_err(|_| refused())
}

fn random_key() -> Result<KeyBytes, KeyError> {
    random()
}

/// Random bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, KeyError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).map_err(KeyError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { column: "credentials.secret", row: 7 };

    fn a_cipher() -> Aes256Gcm {
        cipher(&Zeroizing::new([7; 32]))
    }

    #[test]
    fn a_sealed_value_opens_only_in_its_place() {
        let sealed = seal(&a_cipher(), 1, PLACE, b"12345678901234567890").unwrap();
        assert_eq!(&open(&a_cipher(), 1, PLACE, &sealed).unwrap()[..], b"12345678901234567890");
        for place in [Place { row: 8, ..PLACE }, Place { column: "jobs.secret", ..PLACE }] {
            let refused = open(&a_cipher(), 1, place, &sealed).unwrap_err();
            assert!(matches!(refused, KeyError::DoesNotOpen { .. }));
        }
    }

    #[test]
    fn a_sealed_value_with_any_bit_changed_does_not_open() {
        let sealed = seal(&a_cipher(), 1, PLACE, b"secret").unwrap();
        for byte in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[byte] ^= 1;
            assert!(open(&a_cipher(), 1, PLACE, &changed).is_err(), "byte {byte}");
            assert!(open(&a_cipher(), 1, PLACE, &sealed[..byte]).is_err(), "cut at {byte}");
        }
    }
}
