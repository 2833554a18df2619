//! Inside the kernel that will be killed: mounts the disk, starts the shipped program on it, compares it with what the
//! clients were told before, and lets clients loose on it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::check::check;
use super::history::{Deed, Fault, History, Known, Line};
use super::load::load;
use super::tokens::Token;
use crate::client::Client;
use crate::program::fobd;

/// The first console, which is the output of the kernel's own process: what was written there is out of the guest. A
/// pipe on the way would take its last lines down with it.
const CONSOLE: &str = "/dev/tty0";
/// Where the disk is mounted.
const DISK: &str = "/run/disk";
/// What the server logs; shown when the test fails.
const SERVER_LOG: &str = "/run/server.log";
/// How long the server may take to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the host wants of a boot; it goes into the environment.
pub mod order {
    /// The file with all lines so far.
    pub const HISTORY: &str = "POWER_HISTORY";
    /// The seed of the load.
    pub const SEED: &str = "POWER_SEED";
    /// The server must not sync.
    pub const NO_SYNC: &str = "POWER_NO_SYNC";
    /// No load: compare, stop the server and power off.
    pub const LAST: &str = "POWER_LAST";
}

/// Whether this is the guest.
pub fn is_here() -> bool {
    std::env::var_os("RIG_GUEST").is_some()
}

/// What the clients share.
pub struct Guest {
    pub client: Client,
    console: Mutex<Console>,
}

struct Console {
    screen: File,
    history: History,
}

impl Console {
    fn open() -> Self {
        let before = std::env::var(order::HISTORY).expect("a history");
        let history = History::read(&std::fs::read_to_string(before).expect("the history"));
        Self { screen: File::options().write(true).open(CONSOLE).expect("the console"), history }
    }

    fn say(&mut self, line: Line) {
        self.screen.write_all(line.text().as_bytes()).expect("the console");
        self.history.note(line);
    }
}

impl Guest {
    fn console(&self) -> MutexGuard<'_, Console> {
        self.console.lock().unwrap()
    }

    /// Writes a line.
    pub fn say(&self, line: Line) {
        self.console().say(line);
    }

    /// The server was caught.
    pub fn found(&self, fault: Fault, what: String) {
        self.say(Line::Found(fault, what));
    }

    /// What is known from all lines so far.
    pub fn recall<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.console().history)
    }

    pub fn known(&self, token: Token) -> Known {
        self.recall(|history| history.tokens[token.0].clone())
    }

    /// Sends a call that must succeed, with a line before it and one after it.
    pub fn does(&self, deed: Deed, method: &str, params: Json) {
        self.say(Line::Asked(deed.clone()));
        self.client.ok(method, params);
        self.say(Line::Told(deed));
    }

    /// Asks for a log-in, with a line before it, and one after it if it is granted.
    pub fn is_let_in(&self, token: Token, pin: &str, factor: u64) -> bool {
        let deed = Deed::Verify { token, factor };
        self.say(Line::Asked(deed.clone()));
        let accepted = self.is_accepted(token, pin, factor);
        if accepted {
            self.say(Line::Told(deed));
        }
        accepted
    }

    /// Works until the power is cut. A client that fails says so where it is seen after the cut too.
    pub fn for_ever(&self, mut work: impl FnMut()) {
        struct Failing<'g>(&'g Guest);
        impl Drop for Failing<'_> {
            fn drop(&mut self) {
                self.0.found(Fault::Wrong, "a client has failed".to_owned());
            }
        }
        let _failing = Failing(self);
        loop {
            work();
        }
    }

    /// Whether a passcode is accepted, without a line.
    pub fn is_accepted(&self, token: Token, pin: &str, factor: u64) -> bool {
        self.client.ok("auth/verify", token.question(pin, factor))["accepted"] == true
    }
}

/// What the guest does, until the power is cut or it is told to stop.
pub fn run() {
    let mut console = Console::open();
    std::fs::create_dir_all(DISK).expect("a mount point");
    command(Command::new("mount").args(["-t", "ext4", "/dev/ubda", DISK]));
    console.say(Line::Mounted);
    let data = Path::new(DISK).join("data");
    let database = data.join("fobd.db");
    if let Err(said) = verify_log(&database, &console.history) {
        console.say(Line::Found(Fault::Lost, format!("fobd audit verify: {said}")));
    }
    let (server, base) = match start(&data) {
        Ok(started) => started,
        Err(said) => {
            console.say(Line::Found(Fault::Lost, format!("fobd serve: {said}")));
            return console.say(Line::Checked);
        }
    };
    let guest = Guest { client: Client::new(&base), console: Mutex::new(console) };
    check(&guest);
    guest.say(Line::Checked);
    if std::env::var_os(order::LAST).is_none() {
        let seed = std::env::var(order::SEED).expect("a seed").parse().expect("a number");
        // Ends with the power only.
        load(&guest, seed);
    }
    server.stop();
    guest.recall(|history| verify_log(&database, history)).expect("an intact log");
    command(Command::new("umount").arg(DISK));
}

/// Starts the server; the error is what it says.
fn start(data: &Path) -> Result<(Server, String), String> {
    let log = Path::new(SERVER_LOG);
    let mut serve = fobd();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
    if std::env::var_os(order::NO_SYNC).is_some() {
        serve.arg("--unsafe-no-sync");
    }
    // It is to see no reader.
    serve.env("PCSCLITE_CSOCK_NAME", "/nonexistent");
    serve.stdout(Stdio::piped()).stderr(File::create(log).expect("a log file"));
    let mut child = serve.spawn().expect("fobd serve runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    match line.trim().strip_prefix("listening on ") {
        Some(base) => Ok((Server(child), base.to_owned())),
        None => Err(std::fs::read_to_string(log).expect("the log")),
    }
}

/// A running server.
struct Server(Child);

impl Server {
    fn stop(mut self) {
        command(Command::new("kill").args(["-TERM", &self.0.id().to_string()]));
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.0.try_wait().expect("wait") {
                Some(status) => return assert!(status.success(), "fobd serve ended with {status}"),
                None => assert!(Instant::now() < deadline, "fobd serve does not stop"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server said:\n{}", std::fs::read_to_string(SERVER_LOG).unwrap_or_default());
        }
    }
}

/// Whether the audit log of a database or of an export is a chain, with every head in it that a client was given. The
/// error is what `fobd audit verify` finds.
pub fn verify_log(file: &Path, history: &History) -> Result<(), String> {
    let mut verify = fobd();
    verify.args(["audit", "verify"]).arg(file);
    if !history.heads.is_empty() {
        let heads = Path::new("/run/heads.jsonl");
        std::fs::write(heads, history.heads.join("\n")).expect("the heads");
        verify.arg("--head").arg(heads);
    }
    let output = verify.output().expect("fobd audit verify runs");
    // 7: intact, as far as can be told without a head.
    let intact = if history.heads.is_empty() { 7 } else { 0 };
    if output.status.code() == Some(intact) {
        return Ok(());
    }
    Err([output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat())
}

/// Runs a program that must succeed.
fn command(command: &mut Command) {
    let status = command.status().expect("the program runs");
    assert!(status.success(), "{command:?}: {status}");
}
