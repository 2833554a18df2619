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

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use hmac::{Hmac, Mac as _};
use rusqlite::{Connection, OptionalExtension as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::StoreError;
use crate::otp::pin::PinKey;

const FORM: u8 = 1;
const FIRST_DATA_KEY: u32 = 1;
const NONCE_BYTES: usize = 12;
const HEAD_BYTES: usize = 1 + 4 + NONCE_BYTES;

type KeyBytes = Zeroizing<[u8; 32]>;

/// Why a master key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Reading or writing the key file failed.
    #[error("key file {}: {source}", path.display())]
    File {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("key file {}: {problem}", path.display())]
    Malformed {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The key belongs to another database.
    #[error("key file {} does not belong to this database: it needs the key with id {needed}, this is {found}", path.display())]
    Wrong {
        /// The key file.
        path: PathBuf,
        /// Id that the database asks for.
        needed: String,
        /// Id of the key given.
        found: String,
    },
    /// The operating system gave no random bytes.
    #[error("the system's random generator failed: {0}")]
    Random(getrandom::Error),
    /// A sealed value did not open: it was changed, moved to another row, or sealed by another key.
    #[error("the sealed value of {place} does not open: it was damaged or moved")]
    DoesNotOpen {
        /// Table, column and row.
        place: String,
    },
    /// The database names no master key.
    #[error("the database lacks its key table ({0})")]
    Missing(&'static str),
}

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

/// The key outside the database.
pub struct MasterKey {
    path: PathBuf,
    key: KeyBytes,
}

impl MasterKey {
    /// Makes a key file, readable by its owner only and on the disk before this returns. A file that is there
    /// already is taken as it is: an earlier start may have been cut off after making it.
    ///
    /// # Errors
    /// [`KeyError::File`] if it cannot be written, [`KeyError::Malformed`] if one is there that is no key.
    pub fn make(path: &Path) -> Result<Self, KeyError> {
        if path.exists() {
            return Self::load(path);
        }
        let at = |source| KeyError::File { path: path.to_owned(), source };
        let key = random_key()?;
        let mut text = Zeroizing::new(String::with_capacity(65));
        for byte in key.iter() {
            use std::fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
        let unfinished = path.with_extension("new");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)
            .map_err(at)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(at)?;
        fs::rename(&unfinished, path).map_err(at)?;
        sync_directory_of(path).map_err(at)?;
        Ok(Self { path: path.to_owned(), key })
    }

    /// Reads a key file: 64 hexadecimal digits and a line end.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] also if others may read the file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let at = |source| KeyError::File { path: path.to_owned(), source };
        let malformed = |problem| KeyError::Malformed { path: path.to_owned(), problem };
        let file = fs::File::open(path).map_err(at)?;
        if file.metadata().map_err(at)?.permissions().mode() & 0o077 != 0 {
            return Err(malformed("it may be read by others than its owner (chmod 600 it)"));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(1024).read_to_string(&mut text).map_err(at)?;
        let digits = text.trim_end().as_bytes();
        if digits.len() != 64 {
            return Err(malformed("it must hold 64 hexadecimal digits"));
        }
        let mut key = KeyBytes::default();
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = std::str::from_utf8(pair)
                .ok()
                .filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()))
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or_else(|| malformed("it must hold 64 hexadecimal digits"))?;
        }
        Ok(Self { path: path.to_owned(), key })
    }

    /// Tells one key from another without telling the key: 16 hexadecimal digits.
    fn id(&self) -> String {
        hex(&self.derive(b"fobd master key id")[..8])
    }

    fn check_value(&self) -> [u8; 32] {
        self.derive(b"fobd master key check")
    }

    fn derive(&self, label: &[u8]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&*self.key)
            .expect("HMAC takes keys of any length");
        mac.update(label);
        mac.finalize().into_bytes().into()
    }
}

/// The keys of an open database.
pub struct Vault {
    data: Aes256Gcm,
    pin: PinKey,
}

impl Vault {
    /// Makes the keys of a new database and writes them, wrapped, into it.
    pub(super) fn create(connection: &Connection, master: &MasterKey) -> Result<(), StoreError> {
        let wrapper = cipher(&master.key);
        let mut put = connection.prepare("INSERT INTO meta (key, value) VALUES (?1, ?2)")?;
        put.execute(("master_key_id", master.id().as_bytes()))?;
        put.execute(("master_key_check", &master.check_value()[..]))?;
        for name in ["data_key_1", "pin_key"] {
            put.execute((name, seal(&wrapper, meta_place(name), &random_key()?[..])?))?;
        }
        Ok(())
    }

    /// Unwraps the keys of a database.
    pub(super) fn open(connection: &Connection, master: &MasterKey) -> Result<Self, StoreError> {
        let meta = |key: &'static str| -> Result<Vec<u8>, StoreError> {
            connection
                .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
                .optional()?
                .ok_or(StoreError::Key(KeyError::Missing(key)))
        };
        let needed = String::from_utf8_lossy(&meta("master_key_id")?).into_owned();
        let check: [u8; 32] = meta("master_key_check")?
            .try_into()
            .map_err(|_| StoreError::Key(KeyError::Missing("master_key_check")))?;
        if !bool::from(check.ct_eq(&master.check_value())) {
            return Err(StoreError::Key(KeyError::Wrong {
                path: master.path.clone(),
                needed,
                found: master.id(),
            }));
        }
        let wrapper = cipher(&master.key);
        let unwrap_key = |name: &'static str| -> Result<KeyBytes, StoreError> {
            let bytes = open(&wrapper, meta_place(name), &meta(name)?)?;
            let key: [u8; 32] = bytes
                .as_slice()
                .try_into()
                .map_err(|_| StoreError::Key(KeyError::DoesNotOpen { place: name.to_owned() }))?;
            Ok(Zeroizing::new(key))
        };
        Ok(Self { data: cipher(&unwrap_key("data_key_1")?), pin: PinKey::new(*unwrap_key("pin_key")?) })
    }

    /// Seals a secret for one place.
    pub(super) fn seal(&self, place: Place, secret: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok(seal(&self.data, place, secret)?)
    }

    /// Opens what was sealed for that place.
    pub(super) fn open_sealed(&self, place: Place, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        Ok(open(&self.data, place, sealed)?)
    }

    /// The key under which PINs are kept.
    #[must_use]
    pub fn pin_key(&self) -> &PinKey {
        &self.pin
    }
}

fn cipher(key: &KeyBytes) -> Aes256Gcm {
    Aes256Gcm::new((&**key).into())
}

fn meta_place(name: &'static str) -> Place {
    Place { column: name, row: 0 }
}

fn seal(cipher: &Aes256Gcm, place: Place, secret: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(KeyError::Random)?;
    let mut head = vec![FORM];
    head.extend_from_slice(&FIRST_DATA_KEY.to_be_bytes());
    head.extend_from_slice(&nonce);
    let body = cipher
        .encrypt(&Nonce::from(nonce), Payload { msg: secret, aad: &place.associated_data() })
        .expect("AES-GCM seals anything shorter than 64 GiB");
    head.extend_from_slice(&body);
    Ok(head)
}

fn open(cipher: &Aes256Gcm, place: Place, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let refused = || KeyError::DoesNotOpen { place: format!("{} {}", place.column, place.row) };
    let (head, body) = sealed.split_at_checked(HEAD_BYTES).ok_or_else(refused)?;
    let (form_and_key, nonce) = head.split_at(HEAD_BYTES - NONCE_BYTES);
    if form_and_key[0] != FORM || form_and_key[1..] != FIRST_DATA_KEY.to_be_bytes() {
        return Err(refused());
    }
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| refused())?;
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

/// Makes the name of a new file or directory durable: the directory it is in has to reach the disk as well.
pub(crate) fn sync_directory_of(path: &Path) -> std::io::Result<()> {
    fs::File::open(directory_of(path))?.sync_all()
}

/// The directory that a path is in; a bare name is in the current one.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
        let sealed = seal(&a_cipher(), PLACE, b"12345678901234567890").unwrap();
        assert_eq!(&open(&a_cipher(), PLACE, &sealed).unwrap()[..], b"12345678901234567890");
        for place in [Place { row: 8, ..PLACE }, Place { column: "jobs.secret", ..PLACE }] {
            let refused = open(&a_cipher(), place, &sealed).unwrap_err();
            assert!(matches!(refused, KeyError::DoesNotOpen { .. }));
        }
    }

    #[test]
    fn a_sealed_value_with_any_bit_changed_does_not_open() {
        let sealed = seal(&a_cipher(), PLACE, b"secret").unwrap();
        for byte in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[byte] ^= 1;
            assert!(open(&a_cipher(), PLACE, &changed).is_err(), "byte {byte}");
            assert!(open(&a_cipher(), PLACE, &sealed[..byte]).is_err(), "cut at {byte}");
        }
    }

    #[test]
    fn a_key_file_is_private_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let made = MasterKey::make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(MasterKey::load(&path).unwrap().id(), made.id());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(MasterKey::load(&path), Err(KeyError::Malformed { .. })));
    }
}
