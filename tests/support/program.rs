//! The shipped program `fobd`, with a data directory of its own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::client::{ADMIN, Client, PASSWORD};

/// How long the program may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A data directory made by `fobd init`. Its server can be started, killed and started again.
pub struct Installation {
    dir: tempfile::TempDir,
    environment: Vec<(OsString, OsString)>,
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
}

/// A running server. Dropping it kills it.
pub struct Server {
    child: Child,
    /// A client that is logged in as the admin.
    pub client: Client,
    log: PathBuf,
}

impl Installation {
    /// Runs `fobd init`.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("password"), format!("{PASSWORD}\n")).expect("the password file");
        let this = Self { dir, environment: Vec::new(), wrapper: Vec::new(), arguments: Vec::new() };
        let made = fobd()
            .args(["init", "--admin", ADMIN, "--data-dir"])
            .arg(this.data_dir())
            .arg("--password-file")
            .arg(this.password_file())
            .output()
            .expect("fobd init runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // By default a test sees no reader, whatever is plugged into the machine it runs on.
        this.environment("PCSCLITE_CSOCK_NAME", "/nonexistent")
    }

    /// Gives the server one more environment variable.
    pub fn environment(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Starts the server through another program, such as `strace`.
    pub fn wrapper<A: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = A>) -> Self {
        self.wrapper = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// Gives `fobd serve` one more argument.
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// The directory of the database.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A place for other files of a test.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.data_dir().join("fobd.db")
    }

    /// The file with the admin's password.
    pub fn password_file(&self) -> PathBuf {
        self.dir.path().join("password")
    }

    /// What the servers of this installation have logged; shown when a test fails.
    pub fn log_file(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    /// The master key.
    pub fn key_file(&self) -> PathBuf {
        self.data_dir().join("keys/master.key")
    }

    /// Starts the server and waits until it listens.
    pub fn start(&self) -> Server {
        let mut child = self.spawn();
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("a line of output");
        let Some(base) = line.trim().strip_prefix("listening on ") else {
            let _ = child.kill();
            let log = fs::read_to_string(self.log_file()).unwrap_or_default();
            panic!("fobd serve did not start: {line:?}\n{log}");
        };
        Server { client: Client::new(base), child, log: self.log_file() }
    }

    /// Starts the server and does not wait for anything.
    pub fn spawn(&self) -> Child {
        self.serve().spawn().expect("fobd serve starts")
    }

    /// Starts the server, which must refuse to start; what it says.
    pub fn refused(&self) -> String {
        let mut child = self.serve().stderr(Stdio::piped()).spawn().expect("fobd serve runs");
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("the end of the output");
        if !line.is_empty() {
            let _ = child.kill();
            panic!("fobd serve must refuse to start, and says {line:?}");
        }
        let ended = child.wait_with_output().expect("fobd serve ends");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{}: {said}", ended.status);
        said
    }

    fn serve(&self) -> Command {
        let mut command = match self.wrapper.split_first() {
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words).arg(env!("CARGO_BIN_EXE_fobd"));
                command
            }
            None => fobd(),
        };
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(self.data_dir())
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped());
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file());
        command.stderr(log.expect("the log file"));
        command
    }
}

impl Server {
    /// Ends it as a power cut would, as far as a process can: SIGKILL.
    pub fn kill_9(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Asks it to stop (SIGTERM) and waits; it must end well.
    pub fn stop(mut self) {
        self.signal("TERM");
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().expect("wait") {
                Some(status) => break assert!(status.success(), "fobd serve ended with {status}"),
                None if Instant::now() > deadline => panic!("fobd serve does not stop"),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Sends a signal by name, and does not wait.
    pub fn signal(&self, name: &str) {
        // The shell's own: the program of that name is not on every machine.
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status()
            .expect("kill runs");
        assert!(sent.success());
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server said:\n{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// The program under test.
pub fn fobd() -> Command {
    Command::new(env!("CARGO_BIN_EXE_fobd"))
}

/// A program that `scripts/setup.sh test` has installed into the Python environment of the tests.
pub fn python_tool(name: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/venv/bin").join(name);
    assert!(path.exists(), "{} is missing: run `make setup`", path.display());
    Command::new(path)
}

/// The program from crates.io that `scripts/setup.sh test` has built for the tests with Token2's tokens.
pub fn keyroostctl() -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/keyroost/bin/keyroostctl");
    assert!(path.exists(), "{} is missing: run `make setup`", path.display());
    Command::new(path)
}

/// Node.js, about to run a script of `tests/clients` with the packages that `scripts/setup.sh test` has installed.
pub fn node_tool(script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let node = root.join(".cache/node/bin/node");
    assert!(node.exists(), "{} is missing: run `make setup`", node.display());
    let mut command = Command::new(node);
    command.env("NODE_PATH", root.join(".cache/node/node_modules")).arg(client_script(script));
    command
}

/// Runs a program that must succeed, and returns what it prints.
pub fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Runs a program that reads `input`. Whether it ends well, and what it prints.
pub fn feed(command: &mut Command, input: &[u8]) -> (bool, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("its input is ours");
    stdin.write_all(input).expect("it reads all");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), said + &String::from_utf8_lossy(&output.stderr))
}

/// A client in another language.
pub fn client_script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}
