//! The big database: made once by the store's own functions, kept, and copied for each part that writes.
//!
//! Token `n` (from 1) has a serial that looks random, a secret that follows from `n`, and belongs to user `u<n>` with
//! the PIN 1234 as long as `n` is at most [`USERS`]. One token in a thousand is DISABLED; those of the last product
//! are DECEASED but for one in a thousand.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use fobd::access::password;
use fobd::model::id::{ProductId, RepositoryId};
use fobd::model::role::Role;
use fobd::model::status::{AssignmentStatus, TokenStatus, UserStatus};
use fobd::otp::credential::{Credential, Parameters};
use fobd::otp::secret::Secret;
use fobd::otp::time::{Clock, Timestamp};
use fobd::store::assignments::NewAssignment;
use fobd::store::catalogue::{DEFAULT_REPOSITORY, NewProduct};
use fobd::store::directory::{NewDomain, NewUser};
use fobd::store::tokens::{NewToken, TokenChanges};
use fobd::store::{Location, Store, StoreError, Synchronous, Tx};
use rusqlite::Connection;

/// Password of the operators `admin` and `verifier`.
pub const PASSWORD: &str = "correct-horse-battery";
/// PIN of every user.
pub const PIN: &str = "1234";
/// Most users.
pub const USERS: u64 = 100_000;
/// Products with the codes `M<n % 3>`, `C<n>`, from 1.
pub const PRODUCTS: u64 = 8;
/// Repositories besides the default one.
const REPOSITORIES: u64 = 5;
/// Tokens added in one commit.
const AT_ONCE: u64 = 5000;

/// A time that stands still.
pub struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000)
    }
}

/// The database.
pub struct Data {
    /// Its tokens.
    pub tokens: u64,
    root: PathBuf,
}

impl Data {
    /// Takes the one that is there, if it has the tables of this program, or makes it.
    pub fn prepare(tokens: u64) -> Self {
        let target = Path::new(env!("CARGO_BIN_EXE_fobd")).parent().unwrap().parent().unwrap();
        let root = target.join("bench-data").join(tokens.to_string());
        let this = Self { tokens, root };
        let fresh = this.root.join("fresh");
        let _ = fs::remove_dir_all(&fresh);
        create(&fresh, |_| Ok(()));
        let whole = this.root.join("whole");
        if !whole.exists() || tables(&whole) != tables(&fresh) {
            let _ = fs::remove_dir_all(&whole);
            let unfinished = this.root.join("unfinished");
            let _ = fs::remove_dir_all(&unfinished);
            eprintln!("filling a database with {tokens} tokens");
            let started = Instant::now();
            this.fill(&unfinished);
            fs::rename(&unfinished, &whole).unwrap();
            eprintln!("filled in {:.0} s", started.elapsed().as_secs_f64());
        }
        this
    }

    /// The database, to be read only.
    pub fn location(&self) -> Location {
        location(&self.root.join("whole"))
    }

    /// A copy to write into.
    pub fn copy(&self) -> Location {
        let from = self.location();
        let to = location(&self.root.join("copy"));
        let _ = fs::remove_dir_all(&to.data_dir);
        fs::create_dir_all(to.key_file.parent().unwrap()).unwrap();
        fs::copy(from.database(), to.database()).unwrap();
        fs::copy(&from.key_file, &to.key_file).unwrap();
        to
    }

    /// How many users there are.
    pub fn users(&self) -> u64 {
        USERS.min(self.tokens)
    }

    fn fill(&self, dir: &Path) {
        let mut homes = Vec::new();
        create(dir, |tx| {
            tx.insert_domain(&NewDomain { name: "bench".to_owned(), description: String::new() })?;
            for number in 1..=PRODUCTS {
                let product = NewProduct {
                    name: format!("Product {number}"),
                    manufacturer_code: format!("M{}", number % 3),
                    product_code: format!("C{number}"),
                    parameters: Parameters::HOTP,
                    driver: String::new(),
                    software: false,
                };
                homes.push(tx.insert_product(&product)?);
            }
            for number in 1..=REPOSITORIES {
                tx.insert_repository(&format!("Stock {number}"), "", None)?;
            }
            Ok(())
        });
        let store = Store::open(&location(dir), Synchronous::Off, Arc::new(Noon)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let users = self.users();
        for first in (1..=self.tokens).step_by(AT_ONCE as usize) {
            let (numbers, homes) = (first..=(first + AT_ONCE - 1).min(self.tokens), homes.clone());
            let added = store.write(move |tx| {
                for number in numbers {
                    add(tx, number, &homes, number <= users)?;
                }
                Ok::<_, StoreError>(())
            });
            runtime.block_on(added).unwrap();
        }
        store.stop();
    }
}

fn add(tx: &Tx<'_>, number: u64, products: &[ProductId], assigned: bool) -> Result<(), StoreError> {
    let dice = scatter(number);
    let product = (dice % PRODUCTS) as usize;
    let serial = serial(number);
    let token = NewToken {
        identifier: serial.clone(),
        serial,
        product: products[product],
        repository: RepositoryId(1 + (dice >> 8) as i64 % (REPOSITORIES as i64 + 1)),
        description: String::new(),
        import: None,
    };
    let secret = Secret::new(secret(number)).unwrap();
    let token = tx.insert_token_with(&token, &Credential { secret, parameters: Parameters::HOTP }, 0)?;
    let rare = (dice >> 16).is_multiple_of(1000);
    let status = match (assigned, product as u64 == PRODUCTS - 1, rare) {
        (false, true, false) => Some(TokenStatus::Deceased),
        (false, false, true) => Some(TokenStatus::Disabled),
        _ => None,
    };
    if status.is_some() {
        tx.change_token(token, &TokenChanges { status, ..TokenChanges::default() })?;
    }
    if assigned {
        let user = tx.insert_user(&NewUser {
            domain: fobd::model::id::DomainId(1),
            login_name: format!("u{number}"),
            first_name: String::new(),
            last_name: String::new(),
            email: String::new(),
            mobile: String::new(),
            telephone: String::new(),
            principal_name: String::new(),
            status: UserStatus::Active,
        })?;
        let status = AssignmentStatus::Active;
        let assignment =
            tx.insert_assignment(&NewAssignment { token, user, status, is_owner: true, import: None })?;
        tx.put_pin(assignment, Some(&tx.vault().pin_key().record(assignment.0, [7; 16], PIN)))?;
    }
    Ok(())
}

fn location(dir: &Path) -> Location {
    Location { data_dir: dir.to_owned(), key_file: dir.join("keys").join("master.key") }
}

fn create(dir: &Path, fill: impl FnOnce(&Tx<'_>) -> Result<(), StoreError>) {
    let location = location(dir);
    fs::create_dir_all(location.key_file.parent().unwrap()).unwrap();
    Store::create(&location, Noon.now(), |tx| {
        let hash = password::hash(PASSWORD.as_bytes());
        tx.insert_operator("admin", &hash, Role::Admin)?;
        tx.insert_operator("verifier", &hash, Role::Verifier)?;
        tx.insert_repository(DEFAULT_REPOSITORY, "", None)?;
        fill(tx)
    })
    .unwrap();
}

/// What the database says of its tables.
fn tables(dir: &Path) -> Vec<String> {
    let database = Connection::open(location(dir).database()).unwrap();
    let mut select =
        database.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY sql").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Another number that looks random (splitmix64).
pub fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The serial of a token.
pub fn serial(number: u64) -> String {
    format!("BN{:016X}", scatter(number))
}

/// The secret of a token.
pub fn secret(number: u64) -> Vec<u8> {
    (0..3).flat_map(|part| scatter(number ^ (part + 1) << 40).to_be_bytes()).take(20).collect()
}
