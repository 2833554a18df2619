//! `fobd backup`: a copy of the database of a running server, checked before it gets its name.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::client::Download;
use super::error::{CliError, Outcome};
use super::output::printable;
use super::session::Session;
use crate::audit::hex;
use crate::files::sync_directory_of;
use crate::store::StoreError;
use crate::store::backup::{About, check, digest};
use crate::store::objects::iso;

/// `fobd backup`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:
  fobd backup fobd-2026-11-30.backup

The copy holds all secrets, sealed. The master key is not in it: keep a copy of that elsewhere, one that fits.
`fobd restore` makes a database of it again.")]
pub struct BackupArgs {
    /// File to write, which must not be there yet
    file: PathBuf,
}

/// A file under a temporary name; gone unless it was given its own.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl BackupArgs {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        let failed = |source| CliError::Write { path: self.file.clone(), source };
        if self.file.exists() {
            return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
        }
        let part = Unfinished(beside(&self.file));
        let options = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).clone();
        let mut file = options.open(&part.0).map_err(failed)?;
        session.progress("copying", "the server makes a copy");
        let Download { bytes, sha256, mut reader } = session.client().download("/backup")?;
        receive(session, &mut reader, &mut file, bytes, failed)?;
        file.sync_all().map_err(failed)?;
        // Read again from the file: what is compared is what was kept.
        let kept = File::open(&part.0).and_then(|mut file| digest(&mut file)).map_err(failed)?;
        if kept != (bytes, sha256) {
            return Err(CliError::CutOff);
        }
        let About { version, master_key, newest } =
            check(&part.0).map_err(|error| named(error, &self.file))?;
        put_in_place(&part.0, &self.file).and_then(|()| sync_directory_of(&self.file)).map_err(failed)?;
        let result = json!({
            "file": self.file.display().to_string(), "bytes": bytes, "sha256": hex(&sha256), "version": version,
            "keyId": master_key, "auditRow": newest.map(|(row, _)| row), "time": newest.map(|(_, at)| iso(at)),
        });
        let shown = printable(&self.file.display().to_string());
        Ok(session.show(&result, |_| {
            format!("{shown}: {bytes} bytes, checked; it opens with master key {}\n", printable(&master_key))
        }))
    }
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    name.into()
}

/// Writes down what comes, and tells each tenth of it.
fn receive(
    session: &mut Session<'_>,
    reader: &mut impl Read,
    file: &mut File,
    bytes: u64,
    failed: impl Fn(std::io::Error) -> CliError,
) -> Result<(), CliError> {
    let (mut block, mut written, mut told) = (vec![0; 64 * 1024], 0_u64, 0);
    loop {
        let read = reader.read(&mut block).map_err(|_| CliError::CutOff)?;
        if read == 0 {
            return Ok(());
        }
        file.write_all(&block[..read]).map_err(&failed)?;
        written += read as u64;
        let tenths = written * 10 / bytes.max(1);
        if tenths > told {
            told = tenths;
            session.progress("copying", &format!("{written} of {bytes} bytes"));
        }
    }
}

/// Gives a file its name, unless another one has it by now.
fn put_in_place(part: &Path, file: &Path) -> std::io::Result<()> {
    match fs::hard_link(part, file) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(error),
        // A file system without links.
        Err(_) if !file.exists() => fs::rename(part, file),
        Err(error) => Err(error),
    }
}

/// An error by the name that the file was to have.
fn named(error: StoreError, file: &Path) -> StoreError {
    let path = file.to_owned();
    match error {
        StoreError::Damaged { source, .. } => StoreError::Damaged { path, source },
        StoreError::Unusable { problem, .. } => StoreError::Unusable { path, problem },
        StoreError::Newer { found, known, .. } => StoreError::Newer { path, found, known },
        error => error,
    }
}
