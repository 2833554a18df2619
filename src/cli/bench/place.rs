//! A database that is made for a measurement, and a server on it. Both go when they are dropped.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::super::init::location;
use super::super::system_clock::SystemClock;
use super::load::scatter;
use crate::access::password;
use crate::model::id::{DomainId, ProductId, RepositoryId};
use crate::model::role::Role;
use crate::model::status::{AssignmentStatus, UserStatus};
use crate::otp::credential::{Credential, Parameters};
use crate::otp::secret::Secret;
use crate::otp::time::Clock as _;
use crate::store::assignments::NewAssignment;
use crate::store::catalogue::{DEFAULT_REPOSITORY, NewProduct};
use crate::store::directory::{NewDomain, NewUser};
use crate::store::tokens::NewToken;
use crate::store::{Store, StoreError, Synchronous, Tx};

pub(super) const DOMAIN: &str = "bench";
pub(super) const PIN: &str = "1234";
pub(super) const OPERATOR: &str = "verifier";
/// Of an operator of a database that nobody else sees, on this machine's own address.
pub(super) const PASSWORD: &str = "correct-horse-battery";

/// Tokens added in one commit.
const AT_ONCE: u64 = 5000;

/// The secret of a user's token.
pub(super) fn secret(user: u64) -> Vec<u8> {
    (1..4).flat_map(|part| scatter(user ^ part << 40).to_be_bytes()).take(20).collect()
}

/// The directory.
pub(super) struct Place(PathBuf);

impl Place {
    /// Makes the database.
    pub(super) fn make(parent: &Path, users: u64) -> anyhow::Result<Self> {
        let dir = parent.join(format!("fobd-bench-{}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("cannot make {}", dir.display()))?;
        // From here on it goes, whatever comes.
        let this = Self(dir);
        this.fill(users)?;
        Ok(this)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn fill(&self, users: u64) -> anyhow::Result<()> {
        let location = location(&self.0, None);
        fs::DirBuilder::new().mode(0o700).create(self.0.join("keys"))?;
        let hash = password::hash(PASSWORD.as_bytes());
        Store::create(&location, SystemClock.now(), |tx| {
            tx.insert_operator(OPERATOR, &hash, Role::Verifier)?;
            tx.insert_repository(DEFAULT_REPOSITORY, "", None)?;
            tx.insert_domain(&NewDomain { name: DOMAIN.to_owned(), description: String::new() })?;
            tx.insert_product(&NewProduct {
                name: "Bench".to_owned(),
                manufacturer_code: "B".to_owned(),
                product_code: "B".to_owned(),
                parameters: Parameters::HOTP,
                driver: String::new(),
                software: false,
            })?;
            Ok(())
        })?;
        // The copy on the disk is complete once the store is stopped; nobody counts on it before.
        let store = Store::open(&location, Synchronous::Off, Arc::new(SystemClock))?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        for first in (1..=users).step_by(AT_ONCE as usize) {
            let numbers = first..=(first + AT_ONCE - 1).min(users);
            let added = store.write(move |tx| {
                for number in numbers {
                    add(tx, number)?;
                }
                Ok::<_, StoreError>(())
            });
            runtime.block_on(added)?;
        }
        store.stop();
        Ok(())
    }

    /// Starts a server on the database, with this program.
    pub(super) fn serve(&self) -> anyhow::Result<Serving> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&self.0)
            // No readers, whatever is plugged in.
            .env("PCSCLITE_CSOCK_NAME", self.0.join("nobody"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start a server")?;
        let out = child.stdout.take();
        let mut serving = Serving { child, address: String::new() };
        let mut line = String::new();
        if let Some(out) = out {
            BufReader::new(out).read_line(&mut line).context("the server says nothing")?;
        }
        let Some(address) = line.trim().strip_prefix("listening on http://") else {
            bail!("the server did not start");
        };
        address.clone_into(&mut serving.address);
        Ok(serving)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} is left over: {error}", self.0.display());
        }
    }
}

fn add(tx: &Tx<'_>, number: u64) -> Result<(), StoreError> {
    let serial = format!("BN{:016X}", scatter(number));
    let token = NewToken {
        identifier: serial.clone(),
        serial,
        product: ProductId(1),
        repository: RepositoryId(1),
        description: String::new(),
        import: None,
    };
    let secret = Secret::new(secret(number)).map_err(|_| StoreError::Unreadable { place: "a secret" })?;
    let token = tx.insert_token_with(&token, &Credential { secret, parameters: Parameters::HOTP }, 0)?;
    let user = tx.insert_user(&NewUser {
        domain: DomainId(1),
        login_name: format!("u{number}"),
        first_name: String::new(),
        last_name: String::new(),
        email: String::new(),
        mobile: String::new(),
        telephone: String::new(),
        principal_name: String::new(),
        status: UserStatus::Active,
    })?;
    let assignment = tx.insert_assignment(&NewAssignment {
        token,
        user,
        status: AssignmentStatus::Active,
        is_owner: true,
        import: None,
    })?;
    tx.put_pin(assignment, Some(&tx.vault().pin_key().record(assignment.0, [7; 16], PIN)))
}

/// A server that runs.
pub(super) struct Serving {
    child: Child,
    /// `ADDRESS:PORT`.
    pub(super) address: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
