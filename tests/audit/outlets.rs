//! What leaves the server by itself: heads to the log and a file, rows to syslog; and a receiver that is away.

use std::io::{BufReader, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use fobd::audit::SignedHead;
use serde_json::json;

use crate::support::eventually;
use crate::support::program::{Installation, Server};

const PATIENCE: Duration = Duration::from_secs(20);

/// Makes a domain; its id, with which the row of that ends.
fn make_domain(server: &Server, name: &str) -> String {
    let made = server.client.ok("domain/create", json!({"attrs": {"name": name}}));
    made["id"].as_str().expect("an id").to_owned()
}

/// The next message of a stream: its length in digits, a space, and itself.
fn framed(reader: &mut impl Read) -> String {
    let mut length = 0;
    loop {
        let mut byte = [0];
        reader.read_exact(&mut byte).expect("a message");
        match byte[0] {
            b' ' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
    }
    let mut message = vec![0; length];
    reader.read_exact(&mut message).expect("a message");
    String::from_utf8(message).expect("UTF-8")
}

/// Reads until a row about that domain.
fn read_until(next: &mut dyn FnMut() -> String, domain: &str) -> String {
    loop {
        let message = next();
        if message.contains(" audit [") && message.ends_with(&format!("] {domain}")) {
            return message;
        }
    }
}

fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    let (stream, _) = listener.accept().expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    BufReader::new(stream)
}

fn sequence(message: &str) -> i64 {
    let (_, rest) = message.split_once("sequence=\"").expect("a sequence");
    rest.split('"').next().unwrap().parse().expect("a number")
}

#[test]
fn syslog_over_tcp_goes_on_where_it_stopped_when_the_receiver_was_away() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp:{}", listener.local_addr().unwrap());
    let installation = Installation::new()
        .argument("--audit-syslog")
        .argument(&target)
        .argument("--audit-head-every")
        .argument("1");
    let server = installation.start();
    let one = make_domain(&server, "one.example");
    let mut stream = accept(&listener);
    let first = read_until(&mut || framed(&mut stream), &one);
    assert!(first.starts_with("<109>1 2") && first.contains("action=\"domain/create\""), "{first}");
    // Its head follows within a second.
    let head = loop {
        let message = framed(&mut stream);
        if message.starts_with("<110>1 ") {
            break message;
        }
    };
    let (_, text) = head.split_once(" - ").expect("a message");
    let head: SignedHead = serde_json::from_str(text).expect("a head");
    assert!(head.is_signed_by(&head.key) && head.head.sequence >= sequence(&first));

    // The receiver goes away and comes back at the same place.
    let address = listener.local_addr().unwrap();
    drop((stream, listener));
    let two = make_domain(&server, "two.example");
    let three = make_domain(&server, "three.example");
    let log = || std::fs::read_to_string(installation.log_file()).unwrap();
    eventually("a warning", || log().contains("audit rows do not reach syslog").then_some(()));
    let listener = eventually("the port", || TcpListener::bind(address).ok());
    let mut stream = accept(&listener);
    let second = read_until(&mut || framed(&mut stream), &two);
    let third = read_until(&mut || framed(&mut stream), &three);
    assert_eq!(
        (sequence(&second), sequence(&third)),
        (sequence(&first) + 1, sequence(&first) + 2),
        "none is lost"
    );
    server.stop();
}

#[test]
fn syslog_over_datagrams_sends_what_was_written_while_it_was_down() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    let target = format!("udp:{}", udp.local_addr().unwrap());
    let installation = Installation::new().argument("--audit-syslog").argument(&target);
    let server = installation.start();
    let one = make_domain(&server, "one.example");
    let mut receive = || {
        let mut buffer = vec![0; 65_536];
        let length = udp.recv(&mut buffer).expect("a message");
        String::from_utf8(buffer[..length].to_vec()).expect("UTF-8")
    };
    let first = read_until(&mut receive, &one);
    // The last head goes out with the stop.
    server.stop();
    loop {
        if receive().contains(" audit-head - {") {
            break;
        }
    }
    // A second run goes on behind what the first one has sent.
    let server = installation.start();
    let two = make_domain(&server, "two.example");
    let second = read_until(&mut receive, &two);
    assert_eq!(sequence(&second), sequence(&first) + 1);
    server.stop();
}

#[test]
fn syslog_over_a_socket_of_the_machine() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let installation =
        Installation::new().argument("--audit-syslog").argument(format!("unix:{}", path.display()));
    let server = installation.start();
    let one = make_domain(&server, "one.example");
    let mut receive = || {
        let mut buffer = vec![0; 65_536];
        let length = socket.recv(&mut buffer).expect("a message");
        String::from_utf8(buffer[..length].to_vec()).expect("UTF-8")
    };
    assert!(read_until(&mut receive, &one).contains("operator=\"admin\""));
    server.stop();
}

#[test]
fn a_receiver_that_is_not_there_holds_nothing_up() {
    let installation = Installation::new().argument("--audit-syslog").argument("tcp:127.0.0.1:1");
    let server = installation.start();
    for number in 0..20 {
        make_domain(&server, &format!("{number}.example"));
    }
    server.stop();
    let log = std::fs::read_to_string(installation.log_file()).unwrap();
    assert!(log.contains("audit rows do not reach syslog"), "{log}");
}

#[test]
fn heads_go_to_the_log_and_to_the_file() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("heads.jsonl");
    let installation = Installation::new().argument("--audit-head-file").argument(&file);
    let server = installation.start();
    make_domain(&server, "one.example");
    server.stop();
    let server = installation.start();
    make_domain(&server, "two.example");
    server.stop();
    let heads: Vec<SignedHead> = std::fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).expect("a head"))
        .collect();
    let report = super::check(&installation.database(), &heads, Some(heads[0].key));
    assert_eq!((report.finding, report.proven), (None, report.last));
    assert!(heads.len() >= 2, "{heads:?}");
    let log = std::fs::read_to_string(installation.log_file()).unwrap();
    let last = serde_json::to_string(heads.last().unwrap()).unwrap();
    let plain: String = last.chars().filter(|c| *c != '\\').collect();
    assert!(log.replace('\\', "").contains(&plain), "{log}");
}
