//! A pcscd of its own for a test or a demo: private socket, private configuration, virtual readers.
//!
//! It needs the Debian packages pcscd and vsmartcard-vpcd (setpriv and unshare are always there), and either
//! root or user namespaces. Each reader name gets two slots, hence two TCP ports; cards enter by
//! [`crate::vpcd::VpcdCard`]. Several run beside each other. It dies with the process that started it, even if
//! that is killed, and takes its directory with it when dropped.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const SCRIPT: &str = include_str!("../pcscd-private.sh");

/// What must be installed, and the Debian package that has it.
const NEEDED: [(&str, &str); 2] =
    [("/usr/sbin/pcscd", "pcscd"), ("/usr/lib/pcsc/drivers/serial/libifdvpcd.so", "vsmartcard-vpcd")];

/// Readers per pcscd (`PCSCLITE_MAX_READERS_CONTEXTS` is 16), two to a name.
const MAX_NAMES: usize = 8;

/// Bytes in `sun_path` without its NUL.
const MAX_SOCKET_PATH: usize = 107;

/// How long pcscd may take until it listens; it takes 0.05 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ports are taken from here: above the well-known ones, below those for outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Why there is no private pcscd.
#[derive(Debug, thiserror::Error)]
pub enum PcscdError {
    /// Something is not installed.
    #[error("{file} is missing: install the package {package}")]
    Missing {
        /// The file that was looked for.
        file: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// There must be 1 to 8 reader names, of printable characters other than `"`, `\` and `$`.
    #[error("a private pcscd takes 1 to 8 plain reader names")]
    Names,
    /// The directory's path is too long for a socket in it.
    #[error("{} is too long for the path of a socket", .dir.display())]
    PathTooLong {
        /// The directory.
        dir: PathBuf,
    },
    /// No row of free ports was found.
    #[error("no free TCP ports for virtual readers")]
    NoPorts,
    /// A step of the start failed.
    #[error("{step}: {source}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// It ended before it listened.
    #[error("pcscd ended at once ({status}): {log}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// What it printed.
        log: String,
    },
    /// It runs but does not listen.
    #[error("pcscd does not listen after {} s", PATIENCE.as_secs())]
    NotListening,
}

fn step(step: &'static str) -> impl Fn(io::Error) -> PcscdError {
    move |source| PcscdError::Io { step, source }
}

/// What to start; `None` means "choose".
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Where socket and configuration go; made if absent. Short: the socket's path has at most 107 bytes.
    pub dir: Option<PathBuf>,
    /// First of the TCP ports, two per reader name.
    pub port_base: Option<u16>,
    /// Reader names without the numbers that pcscd appends.
    pub readers: Vec<String>,
}

/// A running (or killed) private pcscd.
pub struct PrivatePcscd {
    dir: PathBuf,
    port_base: u16,
    readers: Vec<String>,
    running: Option<Running>,
}

impl PrivatePcscd {
    /// Starts one with these readers, in a directory and on ports of its choice, and waits until it listens.
    ///
    /// # Errors
    /// [`PcscdError::Missing`] where the packages are not installed; otherwise any [`PcscdError`].
    pub fn start(readers: &[&str]) -> Result<Self, PcscdError> {
        let readers = readers.iter().map(|name| (*name).to_owned()).collect();
        Self::start_with(Setup { readers, ..Setup::default() })
    }

    /// Starts one as described, and waits until it listens.
    ///
    /// # Errors
    /// Like [`PrivatePcscd::start`].
    pub fn start_with(setup: Setup) -> Result<Self, PcscdError> {
        for (file, package) in NEEDED {
            if !Path::new(file).exists() {
                return Err(PcscdError::Missing { file, package });
            }
        }
        if !(1..=MAX_NAMES).contains(&setup.readers.len()) || !setup.readers.iter().all(|name| is_plain(name))
        {
            return Err(PcscdError::Names);
        }
        let dir = setup.dir.unwrap_or_else(fresh_dir);
        if socket_in(&dir).as_os_str().len() > MAX_SOCKET_PATH {
            return Err(PcscdError::PathTooLong { dir });
        }
        let port_base = match setup.port_base {
            Some(port) => port,
            None => free_ports(setup.readers.len() as u16 * 2).ok_or(PcscdError::NoPorts)?,
        };
        fs::create_dir_all(&dir).map_err(step("making the directory"))?;
        // pcscd's namespace sees the same tree, but not necessarily from the same working directory.
        let dir = dir.canonicalize().map_err(step("resolving the directory"))?;
        let mut pcscd = Self { dir, port_base, readers: setup.readers, running: None };
        pcscd.restart()?;
        Ok(pcscd)
    }

    /// Where it listens: the value for `PCSCLITE_CSOCK_NAME` in the environment of clients.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_in(&self.dir)
    }

    /// TCP port of the first slot of a reader, counted from 0; the second slot is on the next port.
    #[must_use]
    pub fn port(&self, reader: u16) -> u16 {
        self.port_base.saturating_add(reader.saturating_mul(2))
    }

    /// Kills it with SIGKILL and waits for its end, as a crash would. Cards fall out.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again in the same place and with the same readers, after killing it if need be.
    ///
    /// # Errors
    /// Any [`PcscdError`] but those about the setup.
    pub fn restart(&mut self) -> Result<(), PcscdError> {
        self.kill();
        let log = self.dir.join("pcscd.log");
        let mut running = Running::spawn(self.command(&log)?)?;
        let start = Instant::now();
        loop {
            // There is nothing to wait on for a daemon that begins to listen: try.
            if UnixStream::connect(self.socket()).is_ok() {
                break;
            }
            if let Some(status) = running.child.try_wait().map_err(step("watching pcscd"))? {
                let log = fs::read_to_string(log).unwrap_or_default().trim().to_owned();
                return Err(PcscdError::Ended { status, log });
            }
            if start.elapsed() > PATIENCE {
                return Err(PcscdError::NotListening);
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.running = Some(running);
        Ok(())
    }

    fn command(&self, log: &Path) -> Result<Command, PcscdError> {
        let script = self.dir.join("pcscd-private.sh");
        fs::write(&script, SCRIPT).map_err(step("writing the start script"))?;
        let log = File::create(log).map_err(step("making the log"))?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "sh"])
            .arg(script)
            .arg(&self.dir)
            .arg(self.port_base.to_string());
        command.args(&self.readers).stdin(Stdio::null());
        command.stdout(log.try_clone().map_err(step("making the log"))?).stderr(log);
        Ok(command)
    }
}

impl Drop for PrivatePcscd {
    fn drop(&mut self) {
        self.kill();
        // Only what was made here goes, and the directory only if nothing else is in it.
        for tree in ["conf", "drivers", "run"] {
            let _ = fs::remove_dir_all(self.dir.join(tree));
        }
        for file in ["pcscd-private.sh", "pcscd.log"] {
            let _ = fs::remove_file(self.dir.join(file));
        }
        let _ = fs::remove_dir(&self.dir);
    }
}

/// The process, and the thread that started it. The kernel kills the process when that thread ends, not only
/// when the whole program does; a test's own thread would be gone too early.
struct Running {
    child: Child,
    keeper: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Running {
    fn spawn(mut command: Command) -> Result<Self, PcscdError> {
        let (keep, kept) = mpsc::channel::<()>();
        let (report, started) = mpsc::channel();
        let thread = thread::spawn(move || {
            if report.send(command.spawn()).is_ok() {
                let _ = kept.recv();
            }
        });
        let child = started.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        Ok(Self { child: child.map_err(step("starting pcscd"))?, keeper: Some((keep, thread)) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is only the zombie to bury.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some((keep, thread)) = self.keeper.take() {
            drop(keep);
            let _ = thread.join();
        }
    }
}

/// Whether a name can stand between quotes in the reader configuration.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| (c.is_ascii_graphic() || c == ' ') && !"\"\\$`".contains(c))
}

fn socket_in(dir: &Path) -> PathBuf {
    dir.join("run").join("pcscd.comm")
}

/// Numbers what this process makes, so that its tests do not meet.
static MADE: AtomicU32 = AtomicU32::new(0);

fn fresh_dir() -> PathBuf {
    let name = format!("pcscd-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let dir = std::env::temp_dir().join(&name);
    // A long TMPDIR has no room for a socket.
    if socket_in(&dir).as_os_str().len() > MAX_SOCKET_PATH { Path::new("/tmp").join(name) } else { dir }
}

/// A row of ports that nobody listens on. Each process begins elsewhere, and no two calls give the same row.
fn free_ports(count: u16) -> Option<u16> {
    let rows = u32::from(PORTS.end - PORTS.start) / u32::from(MAX_NAMES as u16 * 2);
    (0..rows).find_map(|_| {
        let row =
            std::process::id().wrapping_mul(7).wrapping_add(MADE.fetch_add(1, Ordering::Relaxed)) % rows;
        let first = PORTS.start + row as u16 * MAX_NAMES as u16 * 2;
        let free = |port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
        (first..first + count).all(free).then_some(first)
    })
}
