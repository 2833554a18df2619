//! Use cases, one file per verb. The only room that sees the core, the store and the devices together.

pub mod assign;
pub mod catalogue;
pub mod chunks;
pub mod create;
pub mod delete;
pub mod device;
pub mod error;
pub mod import;
pub mod inventory;
pub mod lifecycle;
pub mod pin;
pub mod program;
pub mod random;
pub mod reset;
pub mod set;
pub mod sync;
pub mod verify;

use crate::access::Caller;
use crate::store::audit;

impl Caller {
    /// Starts an audit row for something this caller did.
    fn did(&self, action: &'static str) -> audit::Entry {
        audit::Entry {
            operator: self.name.clone(),
            action,
            token: None,
            user: None,
            outcome: "done",
            detail: String::new(),
        }
    }
}
