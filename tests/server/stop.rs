//! SIGTERM: what was accepted is answered, and one file is left behind.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fobd::otp::algorithm::Algorithm;
use serde_json::{Value as Json, json};

use crate::otp_oracle::passcode;
use crate::support::client::{ADMIN, PASSWORD};
use crate::support::program::Installation;
use crate::support::raw::{Raw, post};
use crate::support::{RFC_SECRET_HEX, furnish, import_hotp};

const CONNECTIONS: usize = 32;

/// Waits until the server has read every byte that its clients have sent, by the kernel's table of sockets.
fn wait_until_all_is_read(base: &str, connections: usize) {
    let port: u16 = base.rsplit_once(':').expect("a port").1.parse().expect("a port");
    let local = format!("0100007F:{port:04X}");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let table = fs::read_to_string("/proc/net/tcp").expect("the table of sockets");
        let queues: Vec<&str> = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|columns| columns[1] == local && columns[3] == "01")
            .map(|columns| columns[4].split_once(':').expect("two queues").1.to_owned())
            .map(|queue| if queue == "00000000" { "read" } else { "waiting" })
            .collect();
        if queues.len() == connections && queues.iter().all(|queue| *queue == "read") {
            return;
        }
        assert!(Instant::now() < deadline, "{queues:?}");
    }
}

/// Whether something can be read without waiting.
fn is_answered(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("non-blocking");
    let read = stream.peek(&mut [0]).is_ok();
    stream.set_nonblocking(false).expect("blocking");
    read
}

#[test]
fn requests_under_way_at_a_sigterm_are_answered_and_the_log_is_folded() {
    let installation = Installation::new();
    let server = installation.start();
    furnish(&server.client);
    let rows = (0..CONNECTIONS).map(|n| format!("S{n},{RFC_SECRET_HEX}\n"));
    import_hotp(&server.client, &rows.collect::<String>());
    server.stop();

    // The second start remembers no login, so that each request waits for its argon2, two at a time.
    let server = installation.start();
    let base = server.client.base.clone();
    let mut connections: Vec<Raw> = (0..CONNECTIONS).map(|_| Raw::connect(&base)).collect();
    for connection in &mut connections {
        connection.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        assert_eq!(connection.answer().status, 200);
    }
    for (n, connection) in connections.iter_mut().enumerate() {
        let typed = passcode(b"12345678901234567890", Algorithm::Sha1, 6, 0);
        let question = json!({"token": {"serial": format!("S{n}")}, "credential": {"otp": typed}});
        let body =
            json!({"jsonrpc": "2.0", "id": n, "method": "auth/verify", "params": question}).to_string();
        let head = post("/rpc", ADMIN, PASSWORD, body.len());
        connection.send(format!("{head}{body}")).unwrap();
    }
    wait_until_all_is_read(&base, CONNECTIONS);
    server.signal("TERM");
    let answered = connections.iter().filter(|connection| is_answered(&connection.0)).count();
    assert!(answered < CONNECTIONS, "nothing was under way any more");
    for (n, connection) in connections.iter_mut().enumerate() {
        let answer = connection.answer();
        let body: Json = serde_json::from_str(&answer.body).unwrap();
        let expected = json!({"jsonrpc": "2.0", "id": n, "result": {"accepted": true}});
        assert_eq!((answer.status, body), (200, expected));
    }
    server.stop();

    let wal = installation.data_dir().join("fobd.db-wal");
    assert_eq!(fs::metadata(&wal).map_or(0, |wal| wal.len()), 0, "the database is one file");
    let copy = installation.scratch().join("copy.db");
    fs::copy(installation.database(), &copy).unwrap();
    let accepted: u32 = rusqlite::Connection::open(&copy)
        .unwrap()
        .query_row("SELECT count(*) FROM audit WHERE outcome = 'accepted'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(accepted, CONNECTIONS as u32);
    assert!(TcpStream::connect(base.strip_prefix("http://").unwrap()).is_err(), "nobody listens");
    installation.start().stop();
}

#[test]
fn a_client_that_sends_half_a_request_does_not_keep_the_server_from_stopping() {
    let installation = Installation::new();
    let server = installation.start();
    let mut silent = Raw::connect(&server.client.base);
    let mut half_head = Raw::connect(&server.client.base);
    half_head.send("POST /rpc HTTP/1.1\r\nHost: loc").unwrap();
    wait_until_all_is_read(&server.client.base, 2);
    let told = Instant::now();
    server.stop();
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    assert!(silent.try_answer().is_err() && half_head.try_answer().is_err());
}

#[test]
fn a_running_server_is_alive_and_ready() {
    let installation = Installation::new();
    let server = installation.start();
    assert_eq!(server.client.get("/healthz").unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(server.client.get("/readyz").unwrap(), (200, "ready\n".to_owned()));
    server.stop();
}
