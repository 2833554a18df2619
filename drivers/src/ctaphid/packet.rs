//! CTAPHID packets: a message taken apart into reports of 64 bytes, and put together again (CTAP 2.1 §11.2.4).
//!
//! | packet | bytes |
//! |---|---|
//! | initialization | CID (4), command with bit 7 set, length of the message (2), up to 57 bytes of it |
//! | continuation | CID (4), sequence 00 to 7F, up to 59 bytes |
//!
//! Numbers have their most significant byte first, the unused end of a packet is zero. So a message has 7609 bytes
//! at most. Pure: bytes in, values out.

use zeroize::Zeroizing;

use crate::iso7816::Malformed;

/// Length of a report, both ways.
pub(super) const PACKET: usize = 64;
/// Most bytes a message may have.
pub(super) const MAX_MESSAGE: usize = FIRST + 0x80 * NEXT;

/// Payload of an initialization packet.
const FIRST: usize = PACKET - 7;
/// Payload of a continuation packet.
const NEXT: usize = PACKET - 5;

/// Bit of the fifth byte that tells an initialization packet.
const INITIALIZATION: u8 = 0x80;

/// The packets of a message, wiped when dropped. `None` if it is too long.
pub(super) fn packets(channel: u32, command: u8, message: &[u8]) -> Option<Vec<Zeroizing<[u8; PACKET]>>> {
    let length = u16::try_from(message.len()).ok().filter(|length| usize::from(*length) <= MAX_MESSAGE)?;
    let (first, rest) = message.split_at_checked(FIRST).unwrap_or((message, &[]));
    let [high, low] = length.to_be_bytes();
    let mut packets = vec![packet(channel, &[command | INITIALIZATION, high, low], first)];
    for (sequence, part) in (0..=u8::MAX).zip(rest.chunks(NEXT)) {
        packets.push(packet(channel, &[sequence], part));
    }
    Some(packets)
}

fn packet(channel: u32, header: &[u8], payload: &[u8]) -> Zeroizing<[u8; PACKET]> {
    let mut packet = Zeroizing::new([0; PACKET]);
    let bytes = channel.to_be_bytes();
    let filled = bytes.iter().chain(header).chain(payload);
    for (to, from) in packet.iter_mut().zip(filled) {
        *to = *from;
    }
    packet
}

/// A packet as it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'p> {
    /// Which channel it belongs to.
    pub(super) channel: u32,
    pub(super) body: Body<'p>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body<'p> {
    /// Begins a message. The command without bit 7.
    Initialization { command: u8, length: usize, data: &'p [u8] },
    /// Goes on with one.
    Continuation { sequence: u8, data: &'p [u8] },
}

impl<'p> Packet<'p> {
    /// Takes a report apart; `None` if it is too short to be a packet.
    pub(super) fn parse(report: &'p [u8]) -> Option<Self> {
        let (channel, rest) = report.split_first_chunk::<4>()?;
        let body = match *rest {
            [command, high, low, ref data @ ..] if command & INITIALIZATION != 0 => Body::Initialization {
                command: command & !INITIALIZATION,
                length: usize::from(u16::from_be_bytes([high, low])),
                data,
            },
            [sequence, ref data @ ..] if sequence & INITIALIZATION == 0 => {
                Body::Continuation { sequence, data }
            }
            _ => return None,
        };
        Some(Self { channel: u32::from_be_bytes(*channel), body })
    }
}

/// A message of several packets on its way in.
pub(super) struct Assembly {
    length: usize,
    message: Zeroizing<Vec<u8>>,
    next: u8,
}

impl Assembly {
    /// Begins with the content of an initialization packet.
    ///
    /// # Errors
    /// [`Malformed`] if the message would be too long, or the packet too short for it.
    pub(super) fn begin(length: usize, data: &[u8]) -> Result<Self, Malformed> {
        if length > MAX_MESSAGE {
            return Err(Malformed::new("message is longer than 7609 bytes", 5));
        }
        let mut assembly = Self { length, message: Zeroizing::new(Vec::with_capacity(length)), next: 0 };
        assembly.take(data, FIRST)?;
        Ok(assembly)
    }

    /// Goes on with the content of a continuation packet.
    ///
    /// # Errors
    /// [`Malformed`] if it is not the next one.
    pub(super) fn go_on(&mut self, sequence: u8, data: &[u8]) -> Result<(), Malformed> {
        if sequence != self.next {
            return Err(Malformed::new("packet out of sequence", self.message.len()));
        }
        self.next = self.next.saturating_add(1);
        self.take(data, NEXT)
    }

    fn take(&mut self, data: &[u8], room: usize) -> Result<(), Malformed> {
        let wanted = (self.length - self.message.len()).min(room);
        let data = data.get(..wanted).ok_or(Malformed::new("packet is cut off", self.message.len()))?;
        self.message.extend_from_slice(data);
        Ok(())
    }

    /// Whether all of it is there.
    pub(super) fn is_complete(&self) -> bool {
        self.message.len() == self.length
    }

    /// The message.
    pub(super) fn message(self) -> Zeroizing<Vec<u8>> {
        self.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn padded(text: &str) -> Vec<u8> {
        let mut bytes = hex(text);
        bytes.resize(PACKET, 0);
        bytes
    }

    fn split(channel: u32, command: u8, message: &[u8]) -> Vec<Vec<u8>> {
        packets(channel, command, message).unwrap().iter().map(|packet| packet.to_vec()).collect()
    }

    #[test]
    fn a_short_message_is_one_packet() {
        assert_eq!(
            split(0xFFFF_FFFF, 0x06, &hex("0102030405060708")),
            [padded("ffffffff 86 0008 0102030405060708")]
        );
        assert_eq!(split(1, 0x70, &hex("00a100000101")), [padded("00000001 f0 0006 00a100000101")]);
        assert_eq!(split(1, 0x11, &[]), [padded("00000001 91 0000")]);
    }

    #[test]
    fn a_long_message_goes_on_with_numbered_packets() {
        let message: Vec<u8> = (0..79).collect();
        let parts = split(1, 0x70, &message);
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0], [&hex("00000001 f0 004f")[..], &message[..57]].concat());
        assert_eq!(parts[1], padded(&format!("00000001 00 {}", hex_of(&message[57..]))));
        for (length, count) in [(57, 1), (58, 2), (116, 2), (117, 3), (MAX_MESSAGE, 129)] {
            assert_eq!(split(1, 0x70, &vec![7; length]).len(), count, "{length} bytes");
        }
        assert_eq!(split(1, 0x70, &[7; MAX_MESSAGE])[128][4], 0x7F);
        assert!(packets(1, 0x70, &[7; MAX_MESSAGE + 1]).is_none());
    }

    fn hex_of(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_packet_out_of_sequence_or_cut_off_is_refused() {
        assert_eq!(Assembly::begin(7610, &[0; 57]).err().map(|error| error.offset), Some(5));
        assert_eq!(Assembly::begin(2, &[0]).err().map(|error| error.what), Some("packet is cut off"));
        let mut assembly = Assembly::begin(60, &[1; 57]).unwrap();
        assert_eq!(assembly.go_on(1, &[2; 59]).unwrap_err(), Malformed::new("packet out of sequence", 57));
        assert_eq!(assembly.go_on(0, &[2; 2]).unwrap_err(), Malformed::new("packet is cut off", 57));
    }

    #[test]
    fn what_is_too_short_is_no_packet() {
        assert_eq!(Packet::parse(&[]), None);
        assert_eq!(Packet::parse(&[0, 0, 0, 1]), None);
        assert_eq!(Packet::parse(&[0, 0, 0, 1, 0x86, 0]), None);
        let short = Packet::parse(&[0, 0, 0, 1, 0x86, 0, 1]).unwrap();
        assert_eq!(short.body, Body::Initialization { command: 0x06, length: 1, data: &[] });
    }

    proptest! {
        #[test]
        fn a_message_comes_back_from_its_packets(
            channel: u32, command in 0_u8..0x80, message in proptest::collection::vec(any::<u8>(), 0..400)
        ) {
            let mut assembly = None;
            for report in packets(channel, command, &message).unwrap() {
                let packet = Packet::parse(&*report).unwrap();
                prop_assert_eq!(packet.channel, channel);
                match (packet.body, &mut assembly) {
                    (Body::Initialization { command: told, length, data }, None) => {
                        prop_assert_eq!(told, command);
                        assembly = Some(Assembly::begin(length, data).unwrap());
                    }
                    (Body::Continuation { sequence, data }, Some(assembly)) => {
                        prop_assert!(!assembly.is_complete());
                        assembly.go_on(sequence, data).unwrap();
                    }
                    other => prop_assert!(false, "{:?}", other.0),
                }
            }
            let assembly = assembly.unwrap();
            prop_assert!(assembly.is_complete());
            prop_assert_eq!(&*assembly.message(), &message);
        }

        #[test]
        fn no_report_makes_it_panic(reports in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..70), 0..8)) {
            let mut assembly: Option<Assembly> = None;
            for report in &reports {
                match Packet::parse(report).map(|packet| packet.body) {
                    Some(Body::Initialization { length, data, .. }) => assembly = Assembly::begin(length, data).ok(),
                    Some(Body::Continuation { sequence, data }) => {
                        if let Some(assembly) = &mut assembly {
                            let _ = assembly.go_on(sequence, data);
                        }
                    }
                    None => {}
                }
            }
        }
    }
}
