//! One thread per bus. It lists and does nothing else: opening is the workers' business.
//!
//! A watch that fails is dropped, and another one started after a pause that grows from a quarter of a second
//! to 15 s. What a bus cannot do is logged when that changes, not at each attempt.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use fobd_drivers::transport::{Bus, TransportError, Watch};

use super::registry::Sighting;
use super::shared::Shared;
use super::worker::matching;

/// The longest a watch blocks before it looks whether the server stops.
const LOOK: Duration = Duration::from_secs(1);

/// First and longest pause before another watch.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// Why a watch ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("the watch of this bus broke down")]
    Panicked,
}

/// The thread of one bus.
pub(super) struct Watcher {
    pub(super) shared: Arc<Shared>,
    pub(super) index: usize,
    pub(super) bus: Arc<dyn Bus>,
}

impl Watcher {
    /// Watches until the server stops.
    pub(super) fn run(self) {
        let mut trouble = None;
        let mut pause = PAUSE.0;
        while !self.shared.stopping() {
            let watched = catch_unwind(AssertUnwindSafe(|| self.watch(&mut trouble, &mut pause)));
            let Err(error) = watched.unwrap_or(Err(WatchError::Panicked)) else { return };
            if trouble.as_ref() != Some(&error) {
                tracing::warn!(bus = self.bus.name(), %error, "bus cannot be watched");
            }
            self.shared.report(|registry| registry.unwatched(self.index, error.to_string()));
            trouble = Some(error);
            self.shared.pause(pause);
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// One watch, until it fails (an error) or the server stops.
    fn watch(&self, trouble: &mut Option<WatchError>, pause: &mut Duration) -> Result<(), WatchError> {
        let mut watch = self.bus.watch()?;
        self.list(watch.as_mut(), true)?;
        if trouble.take().is_some() {
            tracing::info!(bus = self.bus.name(), "bus is watched again");
        }
        *pause = PAUSE.0;
        while !self.shared.stopping() {
            if watch.wait_for_change(LOOK)? {
                self.list(watch.as_mut(), false)?;
            }
        }
        Ok(())
    }

    fn list(&self, watch: &mut dyn Watch, fresh: bool) -> Result<(), WatchError> {
        let driven = watch.candidates()?.into_iter().filter_map(|candidate| {
            let driver = matching(self.shared.drivers, &candidate).next()?.name();
            Some(Sighting { candidate, driver })
        });
        let sightings: Vec<_> = driven.collect();
        self.shared.seen((self.index, &self.bus), &sightings, fresh);
        Ok(())
    }
}
