//! The key outside the database: its file, and what tells it from another.
//!
//! A key that is to follow it is written in full beside it (`master.key.next`) and on the disk before the database
//! hears of it; it takes the place of the old one by a rename. So the file is always one whole key.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{KeyBytes, random};
use crate::files::sync_directory_of;

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

/// The key outside the database.
pub struct MasterKey {
    path: PathBuf,
    pub(super) key: KeyBytes,
}

impl MasterKey {
    /// Makes a key file, readable by its owner only and on the disk before this returns. A file that is there
    /// already is taken as it is: an earlier start may have been cut off after making it.
    ///
    /// # Errors
    /// [`KeyError::File`] if it cannot be written, [`KeyError::Malformed`] if one is there that is no key.
    pub fn make(path: &Path) -> Result<Self, KeyError> {
        if path.exists() { Self::load(path) } else { Self::write_new(path) }
    }

    /// Makes the key that is to follow the one in this file, in a file beside it. One that is there already was left
    /// by a change that nothing came of.
    ///
    /// # Errors
    /// [`KeyError::File`] if it cannot be written.
    pub fn make_successor(path: &Path) -> Result<Self, KeyError> {
        Self::write_new(&successor(path))
    }

    /// The key that was made to follow the one in this file, if there is one.
    ///
    /// # Errors
    /// As of [`Self::load`].
    pub fn load_successor(path: &Path) -> Result<Option<Self>, KeyError> {
        let path = successor(path);
        if path.exists() { Self::load(&path).map(Some) } else { Ok(None) }
    }

    /// Puts the key that was made to follow the one in this file into its place.
    ///
    /// # Errors
    /// [`KeyError::File`] if that cannot be done.
    pub fn install_successor(path: &Path) -> Result<(), KeyError> {
        // The file itself, and not a link that leads to it.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let at = |source| KeyError::File { path: path.clone(), source };
        fs::rename(successor(&path), &path).and_then(|()| sync_directory_of(&path)).map_err(at)
    }

    fn write_new(path: &Path) -> Result<Self, KeyError> {
        let at = |source| KeyError::File { path: path.to_owned(), source };
        let key: KeyBytes = random()?;
        let mut text = Zeroizing::new(String::with_capacity(65));
        for byte in key.iter() {
            use std::fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
        let unfinished = with_suffix(path, ".new");
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
        // Nothing else is opened: a pipe would be waited for.
        if !fs::metadata(path).map_err(at)?.is_file() {
            return Err(malformed("it is not a file"));
        }
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

    /// Where it was read from or written to.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells one key from another without telling the key: 16 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        hex(&self.derive(b"fobd master key id")[..8])
    }

    pub(super) fn check_value(&self) -> [u8; 32] {
        self.derive(b"fobd master key check")
    }

    fn derive(&self, label: &[u8]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&*self.key)
            .expect("HMAC takes keys of any length");
        mac.update(label);
        mac.finalize().into_bytes().into()
    }
}

/// Where the key is that is to follow the one in this file. A link is followed, as the rename will.
fn successor(path: &Path) -> PathBuf {
    with_suffix(&fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()), ".next")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_successor_takes_the_place_of_a_key_and_a_link_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("master.key"), dir.path().join("link"));
        let old = MasterKey::make(&path).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(MasterKey::load_successor(&link).unwrap().is_none());
        let next = MasterKey::make_successor(&link).unwrap();
        assert_ne!(next.id(), old.id());
        assert_eq!(MasterKey::load(&path).unwrap().id(), old.id());
        assert_eq!(MasterKey::load_successor(&path).unwrap().unwrap().id(), next.id());
        MasterKey::install_successor(&link).unwrap();
        assert_eq!(MasterKey::load(&link).unwrap().id(), next.id());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(MasterKey::load_successor(&path).unwrap().is_none());
    }
}
