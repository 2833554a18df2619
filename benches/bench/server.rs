//! The shipped program, serving a copy of the database.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fobd::store::Location;

/// A running server. Dropping it kills it.
pub struct Server {
    child: Child,
    /// `ADDRESS:PORT`.
    pub address: String,
}

impl Server {
    /// Starts it and waits until it listens.
    pub fn start(location: &Location) -> Self {
        // No readers, whatever is plugged in.
        Self::start_with(location, Path::new("/nonexistent"))
    }

    /// The same, with the pcscd that listens on this socket.
    pub fn start_with(location: &Location, pcscd: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fobd"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&location.data_dir)
            .env("PCSCLITE_CSOCK_NAME", pcscd)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect("the server starts").to_owned();
        Self { child, address }
    }

    /// A line of /proc/PID/status in MiB: `VmHWM` is the most memory it ever had, `VmRSS` what it has.
    pub fn memory(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
