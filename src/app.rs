//! Everything that lives as long as the server. Nothing else is global.

use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::access::login::Logins;
use crate::devices::handle::Devices;
use crate::metrics::Metrics;
use crate::model::scope::Scope;
use crate::otp::repeats::RepeatKey;
use crate::otp::time::{Clock, Timestamp};
use crate::otp::verify::Keys;
use crate::service::error::Error;
use crate::service::events::Events;
use crate::service::find::Searches;
use crate::service::guards::Guards;
use crate::service::key::{self, KeyChange};
use crate::service::{audit, catalogue, chunks, random, server_clock, verify};
use crate::store::Store;

/// How long a stop waits for what is under way at a device. A touch takes its time.
const DEVICE_PATIENCE: Duration = Duration::from_secs(20);

/// How long a stop waits for work in the background.
const KEEPER_PATIENCE: Duration = Duration::from_secs(5);

/// The running server, without its sockets, as somebody sees it.
pub struct App {
    /// The database, as far as it is seen.
    pub store: Store,
    shared: Arc<Shared>,
}

/// What is the same for all who see the server.
pub struct Shared {
    /// What is plugged in.
    pub devices: Devices,
    /// What happens to devices and jobs.
    pub events: Arc<Events>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When it was started.
    pub started: Timestamp,
    /// What it counts of itself.
    pub metrics: Arc<Metrics>,
    /// What all verifies share.
    pub rules: verify::Rules,
    /// What watches over them.
    pub guards: Guards,
    /// Searches by what tokens show: one at a time, and not too often.
    pub searches: Searches,
    /// Who is logged in.
    pub logins: Arc<Logins>,
    /// Held while a backup is made.
    pub backup: Arc<tokio::sync::Mutex<()>>,
    /// How a change of keys stands.
    pub key_change: KeyChange,
    /// The address under which clients reach this server, once it is known.
    pub public_url: OnceLock<String>,
    /// SHA-256 of the certificate that the server shows, if it speaks TLS.
    fingerprint: Mutex<Option<String>>,
    /// Work that outlives the request that started it.
    tasks: Mutex<JoinSet<()>>,
    /// Work that lasts as long as the server.
    keepers: Mutex<JoinSet<()>>,
    /// Whether those are to end.
    stopping: watch::Sender<bool>,
}

impl App {
    /// Puts the server together and settles what an earlier run left behind.
    ///
    /// # Errors
    /// If the store cannot be written or the system gives no random bytes.
    pub async fn start(store: Store, devices: Devices, clock: Arc<dyn Clock>) -> Result<Arc<Self>, Error> {
        let guards = Guards::prepare(&store, &clock).await?;
        let settled = store.write(|tx| Ok::<_, Error>(tx.settle_orphaned_jobs()?)).await?;
        if settled > 0 {
            tracing::warn!(jobs = settled, "provisioning jobs were cut off: see `fobd call job/search`");
        }
        let products = catalogue::products();
        store.write(move |tx| Ok::<_, Error>(tx.add_catalogue(&products)?)).await?;
        store.write(|tx| Ok::<_, Error>(tx.add_first_policy()?)).await?;
        for import in store.write(|tx| Ok::<_, Error>(tx.unfinished_imports()?)).await? {
            tracing::warn!("an import was cut off: taking back what it had written");
            chunks::sweep(&store, import).await?;
        }
        let events = Events::new()?;
        devices.listen(events.clone());
        let followed = Arc::clone(&events);
        store.observe_jobs(Box::new(move |rows| followed.jobs_moved(&rows)));
        let metrics = Arc::new(Metrics::new(store.commits()));
        let rules = verify::Rules {
            metrics: Arc::clone(&metrics),
            keys: Arc::new(Keys { pin: store.pin_key().clone(), repeat: RepeatKey::new(random::bytes()?) }),
        };
        let logins = Arc::new(Logins::new(random::bytes()?));
        let shared = Shared {
            devices,
            events,
            started: clock.now(),
            clock,
            metrics,
            rules,
            guards,
            searches: Searches::default(),
            logins,
            backup: Arc::default(),
            key_change: KeyChange::default(),
            public_url: OnceLock::new(),
            fingerprint: Mutex::default(),
            tasks: Mutex::default(),
            keepers: Mutex::default(),
            stopping: watch::Sender::new(false),
        };
        let app = Arc::new(Self { store, shared: Arc::new(shared) });
        app.keep(audit::indexing::run);
        app.keep(server_clock::run);
        key::resume(&app).await?;
        Ok(app)
    }

    /// The same server for a caller who sees only a part of its inventory.
    #[must_use]
    pub fn seen_by(self: &Arc<Self>, scope: &Scope) -> Arc<Self> {
        if scope.is_all() {
            return Arc::clone(self);
        }
        Arc::new(Self { store: self.store.seen_by(scope), shared: Arc::clone(&self.shared) })
    }

    /// The same server with all of its inventory: for work that a caller has started and the server finishes.
    #[must_use]
    pub fn whole(&self) -> Arc<Self> {
        Arc::new(Self { store: self.store.whole(), shared: Arc::clone(&self.shared) })
    }

    /// SHA-256 of the certificate that the server shows, as browsers show it; `None` if it speaks plain HTTP.
    #[must_use]
    pub fn fingerprint(&self) -> Option<String> {
        self.fingerprint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says which certificate the server shows from now on.
    pub fn shows(&self, fingerprint: String) {
        *self.fingerprint.lock().unwrap_or_else(PoisonError::into_inner) = Some(fingerprint);
    }

    /// Starts work that lasts until the server stops and is told when that is.
    pub fn keep<F>(self: &Arc<Self>, work: impl FnOnce(Arc<Self>, watch::Receiver<bool>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work = work(Arc::clone(self), self.stopping.subscribe());
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner).spawn(work);
    }

    /// Runs work to its end even if the request that started it goes away.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Forgets those that are done.
        while tasks.try_join_next().is_some() {}
        // What it logs belongs to the request that started it.
        tasks.spawn(work.in_current_span());
    }

    /// Finishes what is under way, then closes the devices and the store.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DEVICE_PATIENCE, all).await.is_err() {
            tracing::warn!("a device did not finish in time; its job is settled at the next start");
        }
        self.devices.stop();
        // The last head goes out with the last rows.
        if let Err(error) = self.store.sign_audit().await {
            tracing::warn!(%error, "the end of the audit log could not be signed");
        }
        self.stopping.send_replace(true);
        let mut keepers = std::mem::take(&mut *self.keepers.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while keepers.join_next().await.is_some() {} };
        if tokio::time::timeout(KEEPER_PATIENCE, all).await.is_err() {
            tracing::warn!("work in the background did not end in time");
        }
        self.store.stop();
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}
