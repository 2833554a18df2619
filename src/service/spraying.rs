//! Sources that try a few passcodes on each of many users wait their turn, and the first time it is told in the log.
//!
//! [`crate::otp::spraying`] decides who does that. Who waits holds no thread and no place in the store. What is known of them lives in memory only: after a restart a source has to be noticed again.

use std::hash::{BuildHasher as _, RandomState};
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use crate::otp::policy::Policy;
use crate::otp::spraying::{Admission, Alarm, FAILED_USERS, Spraying, WINDOW};
use crate::otp::time::{Clock, Timestamp};
use crate::store::audit::Entry;
use crate::store::{Store, StoreError};

/// Most attempts that wait for their turn, of all sources: each holds a connection.
const MOST_WAITING: usize = 128;

/// Watches the sources.
pub struct Sprays {
    clock: Arc<dyn Clock>,
    spraying: Mutex<Spraying>,
    hasher: RandomState,
    waiting: Semaphore,
    alarms: AtomicU64,
}

/// One attempt of a source on a user.
pub(super) struct Attempt {
    pub(super) source: String,
    pub(super) user: u64,
}

impl Sprays {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            spraying: Mutex::default(),
            hasher: RandomState::new(),
            waiting: Semaphore::new(MOST_WAITING),
            alarms: AtomicU64::new(0),
        }
    }

    /// How many sources are slowed now.
    #[must_use]
    pub fn slowed(&self) -> usize {
        self.state().slowed(self.now())
    }

    /// How often a source was found spraying since the start.
    #[must_use]
    pub fn alarms(&self) -> u64 {
        self.alarms.load(Ordering::Relaxed)
    }

    /// A number for a user, or for a name that nobody has.
    pub(super) fn user(&self, name: impl std::hash::Hash) -> u64 {
        self.hasher.hash_one(name)
    }

    /// Waits for the turn of an attempt whose source is slowed.
    pub(super) async fn admit(&self, attempt: &Attempt) -> Admission {
        let admission = self.state().admit(&attempt.source, attempt.user, self.now(), &Policy::default());
        if let Admission::Late(wait) = admission
            && !wait.is_zero()
        {
            let Ok(_waiting) = self.waiting.try_acquire() else { return Admission::TurnedAway };
            tokio::time::sleep(wait).await;
        }
        admission
    }

    /// Counts what became of an attempt.
    pub(super) async fn count(&self, store: &Store, operator: &str, attempt: &Attempt, accepted: bool) {
        let now = self.now();
        if accepted {
            self.state().succeeded(&attempt.source, attempt.user, now);
            return;
        }
        let alarm = self.state().failed(&attempt.source, attempt.user, now);
        if let Some(alarm) = alarm {
            self.tell(store, operator, &attempt.source, alarm).await;
        }
    }

    async fn tell(&self, store: &Store, operator: &str, source: &str, alarm: Alarm) {
        self.alarms.fetch_add(1, Ordering::Relaxed);
        let Alarm { attempts, accepted } = alarm;
        let minutes = WINDOW.as_secs() / 60;
        tracing::warn!(
            source,
            attempts,
            accepted,
            "a source tries many users: {FAILED_USERS} failed within {minutes} minutes; it is slowed until that ends"
        );
        let entry = Entry {
            operator: operator.to_owned(),
            action: "auth/verify",
            token: None,
            user: None,
            outcome: "spraying",
            detail: format!(
                "source {source}: {FAILED_USERS} users failed within {minutes} minutes, {accepted} of {attempts} \
                 attempts were accepted; it is slowed"
            ),
        };
        let written = store.write(move |tx| {
            tx.audit(entry);
            Ok::<_, StoreError>(())
        });
        if let Err(error) = written.await {
            tracing::error!(%error, "the alarm cannot be written down");
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::default().saturating_add(self.clock.since_boot())
    }

    fn state(&self) -> MutexGuard<'_, Spraying> {
        self.spraying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of an IPv6 address the first half names the source: whoever has one address has the whole network.
pub(super) fn name_of(source: &str) -> String {
    match source.parse::<Ipv6Addr>() {
        Ok(address) if address.to_ipv4_mapped().is_none() => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => source.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_source() {
        assert_eq!(name_of("2001:db8:1:2:3:4:5:6"), name_of("2001:db8:1:2:ffff::1"));
        assert_ne!(name_of("2001:db8:1:2::1"), name_of("2001:db8:1:3::1"));
        assert_eq!(name_of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(name_of("gate 3"), "gate 3");
    }
}
