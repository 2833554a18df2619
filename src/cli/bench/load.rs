//! Connections that verify fresh, right passcodes with PIN, each as soon as it has the answer to the one before.
//!
//! As lean as can be, since it shares the processors with the server: two threads, plain HTTP/1.1 on connections that are
//! kept, and of the answers nothing is read but their length and whether they say yes. Users are picked at random,
//! each connection among its own, so that no two ask for one at the same time.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use base64::Engine as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::otp::credential::{Credential, Parameters};
use crate::otp::secret::Secret;

/// Threads of the load.
const THREADS: usize = 2;
/// Largest answer.
const MOST_ANSWER_BYTES: usize = 16 * 1024;

/// Whom passcodes are asked for: user `n` has the login name `u<n>`, from 1.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    /// The domain of all of them.
    pub domain: &'static str,
    /// The PIN of each.
    pub pin: &'static str,
    /// How many there are.
    pub users: u64,
    /// The secret of the only token of a user: HOTP, SHA-1, six digits.
    pub secret: fn(u64) -> Vec<u8>,
}

/// The connections.
pub struct Load {
    workers: Vec<Worker>,
    runtimes: Vec<tokio::runtime::Runtime>,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Answers {
    /// Sorted times from request to answer.
    times: Vec<Duration>,
    lasted: Duration,
}

impl Answers {
    /// Answers in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.lasted.as_secs_f64()
    }

    /// The time within which this part (0 to 1) of the answers came.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Duration {
        let last = self.times.len().saturating_sub(1);
        self.times.get((last as f64 * part).round() as usize).copied().unwrap_or_default()
    }
}

impl Load {
    /// Connects as an operator, by name and password.
    ///
    /// # Errors
    /// If the server is not there, or does not let the operator in.
    pub fn connect(
        address: &str,
        (operator, password): (&str, &str),
        population: Population,
        connections: u64,
    ) -> io::Result<Self> {
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{operator}:{password}"));
        let head = format!(
            "POST /rpc HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic {login}\r\nContent-Type: application/json\r\n"
        );
        let runtimes = (0..THREADS.min(usize::try_from(connections).unwrap_or(1)))
            .map(|_| tokio::runtime::Builder::new_current_thread().enable_io().build())
            .collect::<io::Result<Vec<_>>>()?;
        let mut workers = (0..connections)
            .map(|number| {
                let runtime = runtimes.get(number as usize % runtimes.len()).ok_or(io::ErrorKind::Other)?;
                let stream = runtime.block_on(TcpStream::connect(address))?;
                stream.set_nodelay(true)?;
                Ok(Worker {
                    stream,
                    head: head.clone(),
                    population,
                    number,
                    connections,
                    counters: HashMap::new(),
                    dice: number,
                    buffer: Vec::with_capacity(MOST_ANSWER_BYTES),
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        // The server knows the password again after this one. If all of them came with it at once, it would let only
        // some of them queue for argon2.
        if let (Some(runtime), Some(first)) = (runtimes.first(), workers.first_mut()) {
            runtime.block_on(first.verify())?;
        }
        Ok(Self { workers, runtimes })
    }

    /// Asks for so long.
    ///
    /// # Errors
    /// If a connection breaks, or an answer is anything but yes.
    pub fn run(&mut self, lasting: Duration) -> io::Result<Answers> {
        let begun = Instant::now();
        let end = begun + lasting;
        let threads = self.runtimes.len();
        let mut groups: Vec<Vec<Worker>> = (0..threads).map(|_| Vec::new()).collect();
        for worker in self.workers.drain(..) {
            groups[worker.number as usize % threads].push(worker);
        }
        let mut times = Vec::new();
        let runs: Vec<io::Result<Vec<Run>>> = std::thread::scope(|scope| {
            let running: Vec<_> = self
                .runtimes
                .iter()
                .zip(groups)
                .map(|(runtime, group)| scope.spawn(move || runtime.block_on(run_all(group, end))))
                .collect();
            let broken = |_| Err(io::Error::other("a thread of the load broke down"));
            running.into_iter().map(|thread| thread.join().unwrap_or_else(broken)).collect()
        });
        for run in runs {
            for (worker, more) in run? {
                self.workers.push(worker);
                times.extend(more);
            }
        }
        times.sort_unstable();
        Ok(Answers { times, lasted: begun.elapsed() })
    }
}

/// A connection with the times of its answers.
type Run = (Worker, Vec<Duration>);

async fn run_all(group: Vec<Worker>, end: Instant) -> io::Result<Vec<Run>> {
    let mut tasks = tokio::task::JoinSet::new();
    for mut worker in group {
        tasks.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                times.push(worker.verify().await?);
            }
            io::Result::Ok((worker, times))
        });
    }
    let mut done = Vec::new();
    while let Some(task) = tasks.join_next().await {
        done.push(task.map_err(io::Error::other)??);
    }
    Ok(done)
}

/// One connection.
struct Worker {
    stream: TcpStream,
    head: String,
    population: Population,
    number: u64,
    connections: u64,
    counters: HashMap<u64, u64>,
    dice: u64,
    buffer: Vec<u8>,
}

impl Worker {
    async fn verify(&mut self) -> io::Result<Duration> {
        let request = self.request()?;
        let begun = Instant::now();
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let answer = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(body) = whole_body(&self.buffer) {
                break body;
            }
            if self.buffer.len() > MOST_ANSWER_BYTES {
                return Err(io::Error::other("an answer is too long"));
            }
        };
        let took = begun.elapsed();
        if find(answer, b"\"accepted\":true").is_none() {
            let answer = String::from_utf8_lossy(answer);
            return Err(io::Error::other(format!("a right passcode was not accepted: {answer}")));
        }
        Ok(took)
    }

    /// The next user of this connection, with a fresh passcode.
    fn request(&mut self) -> io::Result<String> {
        let Population { domain, pin, users, secret } = self.population;
        let own = (users / self.connections).max(1);
        self.dice = scatter(self.dice.wrapping_add(self.number));
        let user = 1 + self.number * own + self.dice % own;
        let counter = self.counters.entry(user).or_default();
        let secret = Secret::new(secret(user)).map_err(io::Error::other)?;
        let passcode = Credential { secret, parameters: Parameters::HOTP }.generator().at(*counter);
        *counter += 1;
        let body = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"auth/verify\",\"params\":{{\"user\":{{\"domain\":{{\"name\":\
             \"{domain}\"}},\"loginName\":\"u{user}\"}},\"credential\":{{\"otp\":\"{pin}{}\"}}}}}}",
            passcode.as_str()
        );
        Ok(format!("{}Content-Length: {}\r\n\r\n{body}", self.head, body.len()))
    }
}

/// The body of an answer, once all of it is there.
fn whole_body(bytes: &[u8]) -> Option<&[u8]> {
    const LENGTH: &[u8] = b"content-length: ";
    let end = find(bytes, b"\r\n\r\n")?;
    let (head, body) = bytes.split_at_checked(end + 4)?;
    let digits = head.get(find(head, LENGTH)? + LENGTH.len()..)?;
    let length = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |length: usize, digit| length.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
    body.get(..length)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Another number that looks random (splitmix64).
#[must_use]
pub fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_once_all_of_it_is_there() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\r\nyes!";
        assert!((0..answer.len()).all(|length| whole_body(&answer[..length]).is_none()));
        assert_eq!(whole_body(answer), Some(&b"yes!"[..]));
        assert_eq!(whole_body(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"), Some(&b""[..]));
    }

    #[test]
    fn the_part_of_the_answers_is_that_of_their_order() {
        let times = (0..=100).map(Duration::from_millis).collect();
        let answers = Answers { times, lasted: Duration::from_secs(2) };
        assert_eq!(answers.quantile(0.5), Duration::from_millis(50));
        assert_eq!(answers.quantile(0.99), Duration::from_millis(99));
        assert_eq!(answers.rate(), 50.5);
        assert_eq!(Answers::default().quantile(0.5), Duration::ZERO);
    }
}
