//! A server in this process: the real router, a real database file, a virtual bus, and a clock that only the
//! test moves.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::VirtualCard;
use fobd::access::password;
use fobd::app::App;
use fobd::devices::handle::{Deadlines, Devices};
use fobd::devices::{DeviceState, DeviceView};
use fobd::http::tls::{self, Files, Identity};
use fobd::http::{self, Limits, Listener, Protection};
use fobd::model::role::Role;
use fobd::otp::time::{Clock, Timestamp};
use fobd::store::catalogue::DEFAULT_REPOSITORY;
use fobd::store::{Location, Store, Synchronous};
use fobd_drivers::token::Driver;
use fobd_drivers::transport::Bus;
use fobd_drivers::transport::trace::Trace;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::client::{ADMIN, Client, PASSWORD};

/// How long a device may take to appear or to go.
const PATIENCE: Duration = Duration::from_secs(20);

/// Clocks that stand still until they are moved.
pub struct ManualClock {
    wall_ms: AtomicI64,
    boot_ms: AtomicI64,
}

impl ManualClock {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).expect("a test moves the clock by less than an age");
        self.boot_ms.fetch_add(millis, Ordering::SeqCst);
        self.wall_ms.fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the wall clock ahead, or back, by so many seconds; no time passes.
    pub fn set(&self, secs: i64) {
        self.wall_ms.fetch_add(secs * 1000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall_ms.load(Ordering::SeqCst))
    }

    fn since_boot(&self) -> Duration {
        Duration::from_millis(self.boot_ms.load(Ordering::SeqCst).unsigned_abs())
    }
}

/// A running server.
pub struct InProcess {
    /// A client that is logged in as the admin.
    pub client: Client,
    /// The time.
    pub clock: Arc<ManualClock>,
    /// What is plugged in.
    pub bus: VirtualBus,
    /// The server itself.
    pub app: Arc<App>,
    stop: Option<oneshot::Sender<()>>,
    runtime: Runtime,
    dir: tempfile::TempDir,
}

impl InProcess {
    /// Starts a server with that bus, at 2026-01-01T00:00:00Z.
    pub fn start(bus: VirtualBus) -> Self {
        Self::start_as(bus, &[], fobd_drivers::DRIVERS, Limits::default(), None)
    }

    /// The same, with other limits on what clients can make wait.
    pub fn with_limits(bus: VirtualBus, limits: Limits) -> Self {
        Self::start_as(bus, &[], fobd_drivers::DRIVERS, limits, None)
    }

    /// The same, with more buses and with other drivers.
    pub fn start_with(
        bus: VirtualBus,
        more: &[Arc<dyn Bus>],
        drivers: &'static [&'static dyn Driver],
    ) -> Self {
        Self::start_as(bus, more, drivers, Limits::default(), None)
    }

    /// The same with all drivers, and with a trace of what crosses the wires.
    pub fn start_traced(bus: VirtualBus, more: &[Arc<dyn Bus>], trace: Arc<Trace>) -> Self {
        Self::start_as(bus, more, fobd_drivers::DRIVERS, Limits::default(), Some(trace))
    }

    fn start_as(
        bus: VirtualBus,
        more: &[Arc<dyn Bus>],
        drivers: &'static [&'static dyn Driver],
        limits: Limits,
        trace: Option<Arc<Trace>>,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let location = Location { data_dir: dir.path().to_owned(), key_file: dir.path().join("master.key") };
        let clock = Arc::new(ManualClock {
            wall_ms: AtomicI64::new(1_767_225_600_000),
            boot_ms: AtomicI64::new(1_000_000),
        });
        // One hash for all: it is slow on purpose.
        let hash = password::hash(PASSWORD.as_bytes());
        Store::create(&location, clock.now(), |tx| {
            for (role, name) in Role::ALL {
                let name = if *role == Role::Admin { ADMIN } else { name };
                tx.insert_operator(name, &hash, *role)?;
            }
            tx.insert_repository(DEFAULT_REPOSITORY, "", None)?;
            Ok(())
        })
        .expect("a new store");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let (stop, stopped) = oneshot::channel::<()>();
        let mut buses: Vec<Arc<dyn Bus>> = vec![Arc::new(bus.clone())];
        buses.extend_from_slice(more);
        let (app, address) = runtime.block_on(async {
            let shared: Arc<dyn Clock> = clock.clone();
            let store = Store::open(&location, Synchronous::Full, Arc::clone(&shared)).expect("the store");
            let devices = Devices::start_with(buses, drivers, Deadlines::default(), trace);
            let app = App::start(store, devices, shared).await.expect("the server");
            let listener = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Protection::Loopback)
                .await
                .expect("a listening socket");
            let address = listener.address();
            tokio::spawn(http::serve(Arc::clone(&app), listener, limits, async move {
                let _ = stopped.await;
            }));
            (app, address)
        });
        let client = Client::new(&format!("http://{address}"));
        Self { client, clock, bus, app, stop: Some(stop), runtime, dir }
    }

    /// Serves the same over TLS as well. Returns the address, `https://...`.
    pub fn over_tls(&self) -> String {
        let files = Files {
            certificate: self.dir.path().join("certificate.pem"),
            key: self.dir.path().join("key.pem"),
        };
        let names = ["localhost".to_owned()];
        tls::make_unless_there(&files, &names, jiff::civil::date(2026, 1, 1)).expect("a certificate");
        let identity = Identity::load(files).expect("the certificate");
        self.block_on(async {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let listener = Listener::bind(address, Protection::Tls(identity)).await.expect("a socket");
            let url = listener.url();
            let serving =
                http::serve(Arc::clone(&self.app), listener, Limits::default(), std::future::pending());
            tokio::spawn(serving);
            url
        })
    }

    /// A client that is logged in with a role; each role has an operator of its name.
    pub fn with_role(&self, role: &str) -> Client {
        Client::as_operator(&self.client.base, role, PASSWORD)
    }

    /// Plugs a card in and waits until it takes calls. Returns its id.
    pub fn plug_in(&self, card: &VirtualCard) -> String {
        self.bus.attach(card);
        let id = format!("ykoath:{}", card.serial());
        self.wait_for_devices(|devices| {
            devices.iter().any(|device| {
                device.id.to_string() == id
                    && matches!(device.state, DeviceState::Ready | DeviceState::Locked)
            })
        });
        id
    }

    /// Pulls a card out, if it is in, and waits until the server has noticed.
    pub fn pull_out(&self, card: &VirtualCard) {
        self.bus.detach(card);
        let id = format!("ykoath:{}", card.serial());
        self.wait_for_devices(|devices| devices.iter().all(|device| device.id.to_string() != id));
    }

    /// Waits until the list of devices is as wanted.
    pub fn wait_for_devices(&self, wanted: impl Fn(&[DeviceView]) -> bool) {
        let devices = &self.app.devices;
        let mut revision = devices.subscribe();
        let met = self.block_on(async {
            let waiting = revision.wait_for(|_| wanted(&devices.list()));
            tokio::time::timeout(PATIENCE, waiting).await.is_ok_and(|met| met.is_ok())
        });
        assert!(met, "the devices are {:?}", devices.list());
    }

    /// All that is in its files, but for the master key.
    pub fn files(&self) -> Vec<u8> {
        let entries = std::fs::read_dir(self.dir.path()).expect("its folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let files = paths.filter(|path| path.is_file() && !path.ends_with("master.key"));
        files.flat_map(|path| std::fs::read(path).expect("a file")).collect()
    }

    /// Runs something on the server's own runtime.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}
