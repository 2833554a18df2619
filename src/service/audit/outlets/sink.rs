//! The way to a syslog receiver. It is opened when there is something to send, and again after it broke.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};

use crate::audit::syslog::framed;

/// How long a connection may take to come up, and a message to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where syslog is, as in `udp:log.example:514`, `tcp:log.example:601` or `unix:/dev/log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Datagrams over UDP (RFC 5426).
    Udp(String),
    /// A stream over TCP (RFC 6587).
    Tcp(String),
    /// A socket of this machine, for datagrams or a stream.
    Unix(PathBuf),
}

/// A text names no receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syslog is written udp:HOST:PORT, tcp:HOST:PORT or unix:PATH")]
pub struct ParseTargetError;

impl FromStr for Target {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, place) = text.split_once(':').ok_or(ParseTargetError)?;
        let place = place.strip_prefix("//").unwrap_or(place);
        let has_port = place
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
        match scheme {
            "udp" if has_port => Ok(Self::Udp(place.to_owned())),
            "tcp" if has_port => Ok(Self::Tcp(place.to_owned())),
            "unix" if place.starts_with('/') => Ok(Self::Unix(PathBuf::from(place))),
            _ => Err(ParseTargetError),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(place) => write!(f, "udp:{place}"),
            Self::Tcp(place) => write!(f, "tcp:{place}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// The system refused.
    #[error("{target}: {source}")]
    System {
        /// The receiver.
        target: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nobody took it in time.
    #[error("the receiver takes nothing")]
    Slow,
    /// The log itself could not be read.
    #[error("the database cannot be read")]
    Unreadable,
}

enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

pub(super) struct Sink {
    target: Target,
    way: Option<Way>,
}

impl Sink {
    pub(super) fn new(target: Target) -> Self {
        Self { target, way: None }
    }

    /// Sends one message.
    pub(super) async fn send(&mut self, message: &str) -> Result<(), SendError> {
        let sent = tokio::time::timeout(PATIENCE, self.try_send(message)).await;
        let failure = match sent {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(source)) => SendError::System { target: self.target.to_string(), source },
            Err(_) => SendError::Slow,
        };
        // A part of it may be on the way: the next one needs a stream of its own.
        self.way = None;
        Err(failure)
    }

    async fn try_send(&mut self, message: &str) -> std::io::Result<()> {
        // Taken out while it works: a message that is given up half way must not be followed by another one.
        let mut way = match self.way.take() {
            Some(way) => way,
            None => self.open().await?,
        };
        match &mut way {
            Way::Udp(socket) => drop(socket.send(message.as_bytes()).await?),
            Way::Datagram(socket) => drop(socket.send(message.as_bytes()).await?),
            Way::Tcp(stream) => {
                // A receiver that went away is seen before another message is lost to it.
                if is_closed(stream) {
                    return Err(std::io::ErrorKind::ConnectionReset.into());
                }
                stream.write_all(framed(message).as_bytes()).await?;
            }
            Way::Stream(stream) => stream.write_all(framed(message).as_bytes()).await?,
        }
        self.way = Some(way);
        Ok(())
    }

    async fn open(&self) -> std::io::Result<Way> {
        match &self.target {
            Target::Udp(place) => {
                let mut last = None;
                for address in tokio::net::lookup_host(place).await? {
                    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                    let socket = UdpSocket::bind(any).await?;
                    match socket.connect(address).await {
                        Ok(()) => return Ok(Way::Udp(socket)),
                        Err(error) => last = Some(error),
                    }
                }
                Err(last.unwrap_or_else(|| std::io::ErrorKind::NotFound.into()))
            }
            Target::Tcp(place) => Ok(Way::Tcp(TcpStream::connect(place).await?)),
            Target::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                match socket.connect(path) {
                    Ok(()) => Ok(Way::Datagram(socket)),
                    Err(_) => Ok(Way::Stream(UnixStream::connect(path).await?)),
                }
            }
        }
    }
}

fn is_closed(stream: &TcpStream) -> bool {
    let mut byte = [0; 1];
    matches!(stream.try_read(&mut byte), Ok(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_survives_its_text_and_what_is_none_is_refused() {
        for text in ["udp:log.example:514", "tcp:[::1]:601", "unix:/dev/log"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert_eq!("tcp://h:1".parse(), Ok(Target::Tcp("h:1".to_owned())));
        for text in
            ["", "log.example:514", "udp:log.example", "udp::514", "tcp:h:0", "tcp:h:70000", "unix:log"]
        {
            assert_eq!(text.parse::<Target>(), Err(ParseTargetError), "{text}");
        }
    }
}
