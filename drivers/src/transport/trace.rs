//! Traces of what crosses a wire, for people who look for a fault: a connection that writes each exchange down and
//! passes it on.
//!
//! A trace is made to be sent to others, so it shows no more than it must: of a command its header and its length, of
//! an answer its length and its status, of a report its length. What else may be shown, the driver lists as data
//! ([`Disclosure`]); by default that is nothing, so that a new driver gives nothing away.
//!
//! One line each: seconds since the trace began, the number of the connection, `>` to the device, `<` from it, `!` an
//! error, `=` anything else.

mod redact;

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use redact::{CommandDisclosure, Disclosure, Reveal};
use redact::{Redactor, report};

use super::{
    Candidate, CardConnection, CardTransaction, Connection, HidConnection, Interface, TransportError,
};

/// Where traces go. Connections of several threads share it.
pub struct Trace {
    began: Instant,
    out: Mutex<Box<dyn Write + Send>>,
    connections: AtomicU64,
    /// Something could not be written; said once.
    broken: AtomicBool,
}

impl Trace {
    /// Begins a trace.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            out: Mutex::new(out),
            connections: AtomicU64::new(0),
            broken: AtomicBool::new(false),
        })
    }

    /// Whether a line could not be written; what came after it is missing as well.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Writes down what crosses a connection from now on.
    #[must_use]
    pub fn wrap(
        self: &Arc<Self>,
        driver: &str,
        disclosure: Disclosure,
        candidate: &Candidate,
        connection: Connection,
    ) -> Connection {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let lines = Lines { trace: Arc::clone(self), number };
        let place: String = candidate.to_string().chars().filter(|c| !c.is_control()).collect();
        lines.line('=', &format!("open by {driver}: {place}"));
        match connection {
            Connection::Card(inner) => {
                Connection::Card(Box::new(TracedCard { inner, redactor: Redactor::new(disclosure), lines }))
            }
            Connection::Hid(inner) => Connection::Hid(Box::new(TracedHid { inner, disclosure, lines })),
        }
    }
}

/// The lines of one connection.
struct Lines {
    trace: Arc<Trace>,
    number: u64,
}

impl Lines {
    fn line(&self, mark: char, text: &str) {
        if self.trace.is_broken() {
            return;
        }
        let seconds = self.trace.began.elapsed().as_secs_f64();
        let mut out = self.trace.out.lock().unwrap_or_else(PoisonError::into_inner);
        let written = writeln!(out, "{seconds:.3} #{} {mark} {text}", self.number).and_then(|()| out.flush());
        if written.is_err() {
            self.trace.broken.store(true, Ordering::Relaxed);
        }
    }

    /// Passes a result on, and says what went wrong.
    fn pass<T>(&self, result: Result<T, TransportError>) -> Result<T, TransportError> {
        if let Err(error) = &result {
            self.line('!', &error.to_string());
        }
        result
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.line('=', "close");
    }
}

struct TracedCard {
    inner: Box<dyn CardConnection>,
    redactor: Redactor,
    lines: Lines,
}

impl CardConnection for TracedCard {
    fn interface(&self) -> Interface {
        self.inner.interface()
    }

    fn begin(&mut self) -> Result<Box<dyn CardTransaction + '_>, TransportError> {
        let Self { inner, redactor, lines } = self;
        let inner = lines.pass(inner.begin())?;
        redactor.begin();
        Ok(Box::new(TracedTransaction { inner, redactor, lines }))
    }

    fn pause(&mut self, time: Duration) {
        self.lines.line('=', &format!("pause of {} ms", time.as_millis()));
        self.inner.pause(time);
    }
}

struct TracedTransaction<'c> {
    inner: Box<dyn CardTransaction + 'c>,
    redactor: &'c mut Redactor,
    lines: &'c Lines,
}

impl CardTransaction for TracedTransaction<'_> {
    fn reset_at_end(&mut self) {
        self.lines.line('=', "reset at the end");
        self.inner.reset_at_end();
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.lines.line('>', &self.redactor.command(command));
        let answer = self.lines.pass(self.inner.transmit(command))?;
        self.lines.line('<', &self.redactor.response(&answer));
        Ok(answer)
    }
}

struct TracedHid {
    inner: Box<dyn HidConnection>,
    disclosure: Disclosure,
    lines: Lines,
}

impl TracedHid {
    fn show(&self, mark: char, what: &str, bytes: &[u8]) {
        self.lines.line(mark, &format!("{what} {}", report(&self.disclosure, bytes)));
    }
}

impl HidConnection for TracedHid {
    fn set_feature(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.show('>', "feature", bytes);
        self.lines.pass(self.inner.set_feature(bytes))
    }

    fn get_feature(&mut self, length: usize) -> Result<Vec<u8>, TransportError> {
        let bytes = self.lines.pass(self.inner.get_feature(length))?;
        self.show('<', "feature", &bytes);
        Ok(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.show('>', "output", bytes);
        self.lines.pass(self.inner.write(bytes))
    }

    fn read(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        let bytes = self.lines.pass(self.inner.read(timeout))?;
        match &bytes {
            Some(bytes) => self.show('<', "input", bytes),
            None => self.lines.line('<', &format!("no input in {} ms", timeout.as_millis())),
        }
        Ok(bytes)
    }

    fn pause(&mut self, time: Duration) {
        self.lines.line('=', &format!("pause of {} ms", time.as_millis()));
        self.inner.pause(time);
    }
}
