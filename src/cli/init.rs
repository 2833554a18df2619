//! `fobd init`: a new data directory with its database, its keys and the first admin.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

use super::system_clock::SystemClock;
use crate::access::password;
use crate::files::{directory_of, sync_directory_of};
use crate::model::role::Role;
use crate::otp::time::Clock as _;
use crate::service::random;
use crate::store::catalogue::DEFAULT_REPOSITORY;
use crate::store::{Location, Store, StoreError, audit};

/// Makes a data directory with a new database, its keys, and the first admin.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  fobd init --data-dir /var/lib/fobd --admin alice
      prints a random password for alice, once
  fobd init --data-dir /var/lib/fobd --admin alice --password-file alice.password
      takes the first line of the file")]
pub struct InitArgs {
    /// Directory of the database; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Master key, outside the database [default: DIR/keys/master.key]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Name of the first admin
    #[arg(long, value_name = "NAME")]
    pub admin: String,
    /// File whose first line is the admin's password; without it a random one is printed once
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// Where the store of a data directory lives.
#[must_use]
pub fn location(data_dir: &Path, key_file: Option<&Path>) -> Location {
    Location {
        data_dir: data_dir.to_owned(),
        key_file: key_file.map_or_else(|| data_dir.join("keys").join("master.key"), Path::to_owned),
    }
}

/// Runs the command.
///
/// # Errors
/// Whatever keeps the data directory from being made; a later run starts afresh.
pub fn run(args: &InitArgs) -> anyhow::Result<()> {
    if args.admin.is_empty() || args.admin.contains(':') || args.admin.chars().any(char::is_control) {
        bail!("--admin: a name must not be empty and must not contain a colon");
    }
    let (password, made) = match &args.password_file {
        Some(path) => (read_password(path)?, false),
        None => (Zeroizing::new(random::password()?), true),
    };
    let location = location(&args.data_dir, args.key_file.as_deref());
    if location.database().exists() {
        // Before anything is made, the directory of a key included.
        return Err(StoreError::AlreadyThere(location.database()).into());
    }
    make_private(&location.data_dir)?;
    make_private(directory_of(&location.key_file))?;
    let hash = password::hash(password.as_bytes());
    Store::create(&location, SystemClock.now(), |tx| {
        tx.insert_operator(&args.admin, &hash, Role::Admin)?;
        tx.insert_repository(DEFAULT_REPOSITORY, "Tokens that were given no other", None)?;
        tx.audit(audit::Entry {
            operator: "init".to_owned(),
            action: "operator/create",
            token: None,
            user: None,
            outcome: "created",
            detail: format!("{} as admin", args.admin),
        });
        Ok(())
    })?;
    println!("database    {}", location.database().display());
    println!("master key  {} (keep a copy of it elsewhere)", location.key_file.display());
    println!("admin       {}", args.admin);
    if made {
        println!("password    {}   (shown this once)", password.as_str());
    }
    Ok(())
}

pub(super) fn make_private(dir: &Path) -> anyhow::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let missing: Vec<&Path> =
        dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.is_dir()).collect();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o700)))
        .and_then(|()| missing.iter().try_for_each(|made| sync_directory_of(made)))
        .with_context(|| format!("cannot make {}", dir.display()))
}

/// Reads the first line of a password file.
///
/// # Errors
/// If it cannot be read or the password is too short.
pub fn read_password(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    fs::File::open(path)
        .and_then(|file| file.take(4096).read_to_string(&mut text))
        .with_context(|| format!("cannot read {}", path.display()))?;
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() < password::SHORTEST {
        bail!("{}: the password must have at least {} characters", path.display(), password::SHORTEST);
    }
    Ok(Zeroizing::new(line.to_owned()))
}
