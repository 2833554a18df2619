//! A server for tests that plays prepared replies, one per connection, and keeps the requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::Value;

/// A request as it came.
pub(super) struct Request {
    /// Request line and headers.
    pub(super) head: String,
    /// The body.
    pub(super) body: Value,
}

/// A running player.
pub(super) struct Playback {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    player: JoinHandle<Vec<Request>>,
}

/// A reply with a JSON body.
pub(super) fn reply(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Played\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// A successful reply with this result.
pub(super) fn result(result: &Value) -> String {
    reply(200, &serde_json::json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string())
}

/// An error object.
pub(super) fn refusal(code: i64, kind: &str, message: &str) -> String {
    let error = serde_json::json!({ "code": code, "message": message, "data": { "kind": kind } });
    reply(200, &serde_json::json!({ "jsonrpc": "2.0", "id": 1, "error": error }).to_string())
}

impl Playback {
    /// Plays these replies and stops.
    pub(super) fn start(replies: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let play = move |reply: String| {
            let (stream, _) = listener.accept().unwrap();
            assert!(!ended.load(Ordering::SeqCst), "never asked for: {reply}");
            let request = read(&stream);
            (&stream).write_all(reply.as_bytes()).unwrap();
            request
        };
        let player = std::thread::spawn(move || replies.into_iter().map(play).collect());
        Self { address, over, player }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests. All replies must have been played.
    pub(super) fn requests(self) -> Vec<Request> {
        self.over.store(true, Ordering::SeqCst);
        // Wakes a player that still waits; one that is done has closed the port.
        drop(TcpStream::connect(self.address));
        self.player.join().unwrap()
    }
}

fn read(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "the request ended early: {head}");
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Request { head, body }
}
