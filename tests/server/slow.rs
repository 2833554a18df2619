//! Clients that make others wait: they are dropped, and the others are served meanwhile.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use firmware_fixtures::attach::VirtualBus;
use fobd::http::Limits;

use crate::support::in_process::InProcess;

fn server() -> InProcess {
    let quick = Duration::from_millis(300);
    let limits = Limits { head: quick, unread: quick, connections: 4, ..Limits::default() };
    InProcess::with_limits(VirtualBus::new(), limits)
}

fn connect(server: &InProcess) -> TcpStream {
    let stream = TcpStream::connect(server.client.base.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

#[test]
fn who_never_finishes_a_head_is_dropped() {
    let server = server();
    let mut slow = connect(&server);
    slow.write_all(b"POST /rpc HTTP/1.1\r\nHost: ").unwrap();
    let mut rest = Vec::new();
    // The end of the stream, with or without a word; not the time limit of this test.
    slow.read_to_end(&mut rest).expect("the server hangs up");
}

#[test]
fn silent_connections_do_not_keep_others_out_for_long() {
    let server = server();
    let silent: Vec<TcpStream> = (0..12).map(|_| connect(&server)).collect();
    assert_eq!(server.client.get("/healthz").unwrap(), (200, "ok\n".to_owned()));
    drop(silent);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let server = server();
    let mut client = connect(&server);
    let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(100_000));
    // The server may hang up before it has read everything.
    let _ = client.write_all(head.as_bytes());
    let mut answer = [0; 12];
    if client.read_exact(&mut answer).is_ok() {
        assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
}
