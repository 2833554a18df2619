//! What watches over verification beside the core: the server's clock, sources that spray, and requests that are sent
//! again. They live as long as the server.

use std::sync::Arc;

use super::error::{Error, Kind};
use super::server_clock::Watch;
use super::spraying::Sprays;
use crate::access::Caller;
use crate::otp::resend::{Mark, ResendKey};
use crate::otp::time::Clock;
use crate::store::Store;

/// All of them.
pub struct Guards {
    /// Whether the time can be trusted.
    pub clock: Watch,
    /// Who tries many users.
    pub sprays: Sprays,
    /// Marks requests that have a name.
    resends: ResendKey,
}

impl Guards {
    /// Prepares them, before anything of this start is written.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub async fn prepare(store: &Store, clock: &Arc<dyn Clock>) -> Result<Self, Error> {
        Ok(Self {
            clock: Watch::begin(store, Arc::clone(clock)).await?,
            sprays: Sprays::new(Arc::clone(clock)),
            resends: ResendKey::of(store.pin_key()),
        })
    }

    /// Marks a request by its caller and name, and by the method and what is asked of it.
    pub(super) fn mark(&self, caller: &Caller, name: &str, content: &[&[u8]], typed: &str) -> Mark {
        let operator = caller.operator.map_or(0, |id| id.0).to_be_bytes();
        self.resends.mark(&[&operator, caller.name.as_bytes()], name, content, typed)
    }
}

/// The name of a request was given to another one.
pub(super) fn reused() -> Error {
    let text = "`requestId` was used for another request within the last minute: give each its own";
    Error::new(Kind::RequestReused, text)
}
