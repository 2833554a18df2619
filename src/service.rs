//! Use cases, one file per verb. The only room that sees the core, the store and the devices together.

pub mod agent;
pub mod assign;
pub mod audit;
pub mod backup;
pub mod batch;
pub mod catalogue;
pub mod chunks;
pub mod client;
pub mod clock;
pub mod create;
pub mod delete;
pub mod device;
pub mod erase;
pub mod error;
pub mod events;
pub mod export;
pub mod find;
pub mod group;
pub mod guards;
pub mod import;
pub mod inventory;
pub mod job;
pub mod key;
pub mod lifecycle;
pub mod metrics;
pub mod named;
pub mod operator;
mod pace;
pub mod pin;
pub mod policy;
pub mod preauth;
pub mod program;
pub mod random;
pub mod register;
pub mod reset;
pub mod server_clock;
pub mod session;
pub mod set;
pub mod shown;
mod slots;
pub mod solve;
pub mod spraying;
pub mod sync;
pub mod user_token;
pub mod verify;

use crate::access::Caller;
use crate::model::role::Role;
use crate::store::audit::Entry;

impl Caller {
    /// Somebody who holds a link and is otherwise unknown.
    fn by_link() -> Self {
        Self::without_operator("(link)", Role::Station)
    }

    /// Starts an audit row for something this caller did.
    fn did(&self, action: &'static str) -> Entry {
        Entry {
            operator: self.name.clone(),
            action,
            token: None,
            user: None,
            outcome: "done",
            detail: String::new(),
        }
    }
}
