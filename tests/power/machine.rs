//! The machine whose power is cut: a user-mode kernel with a disk, each boot of it a process tree of the host.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::guest::order;
use super::history::{Fault, History, Line};
use super::tokens;
use crate::program::Installation;

/// How long anything may take, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of the disk, most of which are never written.
const DISK_BYTES: u64 = 256 << 20;

/// A disk with an installation on it, and what its clients were told.
pub struct Machine {
    /// Below the build directory, which the guest sees too.
    dir: tempfile::TempDir,
    kernel: PathBuf,
    no_sync: bool,
    /// All lines of all consoles.
    pub console: String,
    pub findings: Vec<(Fault, String)>,
}

/// A running one. Dropping it cuts its power.
pub struct Boot<'m> {
    machine: &'m mut Machine,
    runner: Child,
    lines: Receiver<String>,
}

impl Machine {
    /// Makes a disk with tokens and users on it.
    pub fn new(no_sync: bool) -> Self {
        let installation = Installation::new();
        let server = installation.start();
        tokens::prepare(&server.client);
        server.stop();
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
        let made = Self { kernel: kernel(), dir, no_sync, console: String::new(), findings: Vec::new() };
        // What is in `content` is at the top of the disk.
        let content = installation.scratch().join("content");
        fs::create_dir(&content).expect("a directory");
        fs::rename(installation.data_dir(), content.join("data")).expect("the data directory");
        File::create(made.disk()).and_then(|disk| disk.set_len(DISK_BYTES)).expect("a disk");
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.env("PATH", path).args(["-q", "-F", "-d"]).arg(content).arg(made.disk());
        run(&mut mkfs);
        made
    }

    fn disk(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Switches it on.
    pub fn boot(&mut self, seed: u64, last: bool) -> Boot<'_> {
        let history = self.dir.path().join("history");
        fs::write(&history, &self.console).expect("the history");
        let errors = File::create(self.errors()).expect("a file");
        let mut command = Command::new(project().join("scripts/kernel/run.sh"));
        // The runner's way out of the guest is a pipe, in which lines are lost; they go to the console instead.
        command.args(["sh", "-c", "exec \"$0\" \"$@\" >/dev/null"]);
        command.arg(std::env::current_exe().expect("this program"));
        command.args([super::cuts::IN_THE_GUEST, "--exact", "--nocapture"]);
        command.current_dir(self.dir.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        command.env("RIG_LINUX", &self.kernel).env("RIG_TIMEOUT", PATIENCE.as_secs().to_string());
        command.env("RIG_ARGS", format!("ubd0={}", self.disk().display()));
        command.env(order::HISTORY, history).env(order::SEED, seed.to_string());
        // A thread that fails takes all others with it: one message will do.
        command.env("RUST_BACKTRACE", "0");
        for (name, _) in [(order::NO_SYNC, self.no_sync), (order::LAST, last)].iter().filter(|(_, set)| *set)
        {
            command.env(name, "1");
        }
        let mut runner = command.spawn().expect("run.sh runs");
        let mut output = BufReader::new(runner.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
                line.clear();
            }
        });
        Boot { machine: self, runner, lines }
    }

    fn errors(&self) -> PathBuf {
        self.dir.path().join("errors")
    }

    /// The server was not caught, and no client has failed.
    #[track_caller]
    pub fn assert_sound(&self) {
        assert!(self.findings.is_empty(), "{:#?}\n{}", self.findings, self.said());
    }

    /// What programs of the newest boot have complained about.
    fn said(&self) -> String {
        fs::read_to_string(self.errors()).unwrap_or_default()
    }

    /// All that the clients know.
    pub fn history(&self) -> History {
        History::read(&self.console)
    }
}

impl Boot<'_> {
    /// Waits until a line comes of which `is_it` says so, and takes all before it too.
    pub fn wait_for(&mut self, what: &str, mut is_it: impl FnMut(&Line) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(text) => {
                    let line = self.take(&text);
                    if line.as_ref().is_some_and(&mut is_it) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("{what}: not in time\n{}", self.machine.said()),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{what}: the guest ended\n{}", self.machine.said())
                }
            }
        }
    }

    fn take(&mut self, text: &str) -> Option<Line> {
        let line = Line::read(text)?;
        self.machine.console.push_str(text);
        if let Line::Found(fault, what) = &line {
            self.machine.findings.push((*fault, what.clone()));
        }
        Some(line)
    }

    /// Kills the kernel and all that belongs to it, and takes what was still on its way to the screen.
    pub fn cut_power(mut self) {
        self.kill();
        while let Ok(text) = self.lines.recv_timeout(PATIENCE) {
            self.take(&text);
        }
    }

    /// Waits until it is off by itself; it must end well.
    pub fn wait_for_end(mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(text) => drop(self.take(&text)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not power off\n{}", self.machine.said()),
            }
        }
        let status = self.runner.wait().expect("run.sh ends");
        assert!(status.success(), "{status}\n{}", self.machine.said());
    }

    /// The kernel is the child of a child of the runner (of `timeout`), and has a process group of its own, in which are
    /// all processes that belong to it: one signal reaches them at once. The runner lives on and cleans up. The disk
    /// is free once they are all gone.
    fn kill(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let mut killed = Vec::new();
        while self.runner.try_wait().expect("wait").is_none() || killed.iter().any(|group| lives(*group)) {
            let all: Vec<Process> = processes().filter(|process| !process.is_dead).collect();
            let is_child = |of: u32| all.iter().any(|one| one.id == of && one.parent == self.runner.id());
            // Before it has made its group, it has nobody to share its fate.
            for kernel in all.iter().filter(|process| process.group == process.id && is_child(process.parent))
            {
                killed.push(kernel.group);
                let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", kernel.group)]).status();
            }
            assert!(Instant::now() < deadline, "the guest cannot be killed");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Boot<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process of this machine, as /proc/PID/stat has it.
struct Process {
    id: u32,
    parent: u32,
    group: u32,
    /// Nobody has asked yet how it ended.
    is_dead: bool,
}

fn processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let text = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name, in parentheses, may have any characters in it.
        let mut fields = text.rsplit_once(") ")?.1.split(' ');
        let is_dead = matches!(fields.next()?, "Z" | "X");
        Some(Process {
            id,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            is_dead,
        })
    })
}

fn lives(group: u32) -> bool {
    processes().any(|process| process.group == group && !process.is_dead)
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The kernel; it is built if nobody has done so.
fn kernel() -> PathBuf {
    let path = run(&mut Command::new(project().join("scripts/kernel/build.sh")));
    PathBuf::from(path.trim())
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
