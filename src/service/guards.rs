//! What watches over verification beside the core: the server's clock, sources that spray, and requests that are sent
//! again. They live as long as the server.

use std::sync::Arc;

use super::clock::Watch;
use super::error::Error;
use super::spraying::Sprays;
use crate::otp::resend::ResendKey;
use crate::otp::time::Clock;
use crate::store::Store;

/// All of them.
pub struct Guards {
    /// Whether the time can be trusted.
    pub clock: Watch,
    /// Who tries many users.
    pub sprays: Sprays,
    /// Marks requests that have a name.
    pub(super) resends: ResendKey,
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
}
