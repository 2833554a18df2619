//! The machine that the tests run on, one test at a time: they share its devices.

use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fobd_drivers::transport::{
    Bus, Candidate, Connection, HidCandidate, HidConnection, TransportError, Watch,
};

/// Longest that anything may take to come up or to be noticed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Longest until a driver must know that its token was pulled out.
pub(super) const PULL: Duration = Duration::from_secs(2);

static MACHINE: Mutex<()> = Mutex::new(());

/// The right to use the machine.
pub(super) struct Guest {
    _alone: MutexGuard<'static, ()>,
}

impl Guest {
    /// Waits for the other tests.
    pub(super) fn enter() -> Self {
        assert_eq!(
            std::env::var("RIG_GUEST").as_deref(),
            Ok("1"),
            "this test runs in the user-mode kernel only: make test-kernel"
        );
        Self { _alone: MACHINE.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// A pcscd that finds readers by udev, with libccid as its only driver.
pub(super) struct Pcscd(Child);

impl Pcscd {
    pub(super) fn start(_: &Guest) -> Self {
        const SOCKET: &str = "/run/pcscd/pcscd.comm";
        std::fs::create_dir_all("/run/pcscd/no-configuration").unwrap();
        let mut command = Command::new("pcscd");
        command.args(["--foreground", "--config", "/run/pcscd/no-configuration"]);
        let log = std::fs::File::create("/run/pcscd.log").unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().expect("pcscd is installed");
        let start = Instant::now();
        // There is nothing to wait on for a daemon that begins to listen: try.
        while UnixStream::connect(SOCKET).is_err() {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none() && start.elapsed() < PATIENCE, "pcscd does not listen ({ended:?})");
            thread::sleep(Duration::from_millis(5));
        }
        Self(child)
    }
}

impl Drop for Pcscd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        // A PID file whose number belongs to a living process makes the next one refuse to start.
        let _ = std::fs::remove_dir_all("/run/pcscd");
    }
}

/// Waits on the watch until `found` finds something among the candidates.
pub(super) fn wait<T>(
    watch: &mut dyn Watch,
    what: &str,
    mut found: impl FnMut(&[Candidate]) -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        let candidates = watch.candidates().unwrap();
        if let Some(found) = found(&candidates) {
            return found;
        }
        let left = PATIENCE.saturating_sub(start.elapsed());
        if !watch.wait_for_change(left).unwrap() {
            let now = watch.candidates().unwrap();
            panic!("{what} was never told; told were {candidates:?}, now there are {now:?}");
        }
    }
}

/// Waits until so many candidates are listed.
pub(super) fn wait_for(watch: &mut dyn Watch, count: usize) -> Vec<Candidate> {
    wait(watch, &format!("{count} candidates"), |now| (now.len() == count).then(|| now.to_vec()))
}

pub(super) fn hid(candidate: &Candidate) -> &HidCandidate {
    let Candidate::Hid(hid) = candidate else { panic!("{candidate} is no HID interface") };
    hid
}

pub(super) fn open(bus: &dyn Bus, candidate: &Candidate) -> Box<dyn HidConnection> {
    match bus.open(candidate) {
        Ok(Connection::Hid(connection)) => connection,
        Ok(Connection::Card(_)) => panic!("{candidate} is a card"),
        Err(error) => panic!("{candidate}: {error}"),
    }
}

/// The error of opening what cannot be opened.
pub(super) fn refusal(bus: &dyn Bus, candidate: &Candidate) -> TransportError {
    bus.open(candidate).err().unwrap_or_else(|| panic!("{candidate} was opened"))
}

pub(super) fn is_gone<T>(result: &Result<T, TransportError>) -> bool {
    matches!(result, Err(TransportError::Gone { .. }))
}

/// Runs `work`, which must not take longer than a driver may take to notice a pull.
pub(super) fn at_once<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    let took = start.elapsed();
    println!("{what}: {took:?}");
    assert!(took < PULL, "{what} took {took:?}");
    result
}
