//! A JSON-RPC caller on one kept connection, as lean as can be: it shares the cores with the server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use serde_json::{Value as Json, json};

use crate::data::PASSWORD;

/// One connection.
pub struct Caller {
    stream: BufReader<TcpStream>,
    /// Of every request, after its first line.
    head: String,
}

impl Caller {
    /// Connects as an operator.
    pub fn connect(address: &str, operator: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{operator}:{PASSWORD}"));
        let head =
            format!("Host: bench\r\nAuthorization: Basic {login}\r\nContent-Type: application/json\r\n");
        Self { stream: BufReader::new(stream), head }
    }

    /// Calls a method that must succeed.
    pub fn call(&mut self, method: &str, params: &Json) -> Json {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let answer: Json = serde_json::from_slice(&self.post(&body)).unwrap();
        assert!(answer.get("result").is_some(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    /// Posts a body; returns that of the answer.
    pub fn post(&mut self, body: &str) -> Vec<u8> {
        self.exchange("POST /rpc", body)
    }

    /// One of the figures that the server counts of itself.
    pub fn figure(&mut self, name: &str) -> f64 {
        let text = String::from_utf8(self.exchange("GET /metrics", "")).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{name} is not in {text}"))
    }

    fn exchange(&mut self, target: &str, body: &str) -> Vec<u8> {
        let request =
            format!("{target} HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n{body}", self.head, body.len());
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut line, mut length) = (String::new(), 0);
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).unwrap();
        answer
    }
}
