//! The smart-card reader inside a USB key (USB CCID 1.1 §6): one slot that always holds its card.
//!
//! A message begins with ten bytes: type, length of the data (four bytes, little-endian), slot, sequence number, and
//! three that depend on the type; in replies status, error and one more. APDUs pass whole.
//!
//! | command | | reply | |
//! |---|---|---|---|
//! | 62 | `IccPowerOn` | 80 | `DataBlock` with the answer to reset |
//! | 6F | `XfrBlock` | 80 | `DataBlock` with the response APDU |
//! | 63, 65, 72 | `IccPowerOff`, `GetSlotStatus`, `Abort` | 81 | `SlotStatus` |
//! | 61, 6C, 6D | `SetParameters`, `GetParameters`, `ResetParameters` | 82 | `Parameters` |
//!
//! While the card thinks, or waits to be touched, the reader asks the host for more time.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::wire::Wire;
use crate::card::{Exchange, VirtualCard, Waits};

/// How often the host is asked for more time; it gives up after some seconds without.
const TIME_EXTENSION: Duration = Duration::from_secs(1);

const HEADER: usize = 10;
const DATA_BLOCK: u8 = 0x80;
const SLOT_STATUS: u8 = 0x81;
const PARAMETERS: u8 = 0x82;

/// bmICCStatus: the card has power, or not.
const ACTIVE: u8 = 0;
const INACTIVE: u8 = 1;
/// bmCommandStatus: failed, or more time needed.
const FAILED: u8 = 0x40;
const MORE_TIME: u8 = 0x80;

/// T=1 with IFSC 254 (USB CCID 1.1 §6.2.3).
const T1: [u8; 7] = [0x11, 0x10, 0x00, 0x15, 0x00, 0xFE, 0x00];

/// Serves messages until the device is pulled out.
pub(super) fn serve(wire: &Wire, bulk: (u8, u8), card: &VirtualCard, messages: &Receiver<Vec<u8>>) {
    let (to_card, commands) = channel::<Vec<u8>>();
    let (from_card, responses) = channel();
    // The channel to the card ends with the messages, and so does its thread.
    thread::scope(move |scope| {
        scope.spawn(move || {
            for command in commands {
                if from_card.send(exchange(card, &command)).is_err() {
                    return;
                }
            }
        });
        let mut status = INACTIVE;
        for message in messages {
            let Some((header, data)) = parse(&message) else { continue };
            let reply = |kind, status, extra, data: &[u8]| {
                wire.push(bulk.1, reply(header, kind, status, extra, data))
            };
            match header[0] {
                0x62 => {
                    card.power_on();
                    status = ACTIVE;
                    reply(DATA_BLOCK, status, [0, 0], card.face().atr);
                }
                0x63 => {
                    card.power_off();
                    status = INACTIVE;
                    reply(SLOT_STATUS, status, [0, 0], &[]);
                }
                0x65 | 0x72 => reply(SLOT_STATUS, status, [0, 0], &[]),
                0x61 | 0x6C | 0x6D => reply(PARAMETERS, status, [0, 1], &T1),
                0x6F if status == ACTIVE => {
                    if to_card.send(data.to_vec()).is_err() {
                        return;
                    }
                    let answer = loop {
                        match responses.recv_timeout(TIME_EXTENSION) {
                            Ok(answer) => break answer,
                            // One more of the card's waiting times.
                            Err(RecvTimeoutError::Timeout) => {
                                reply(DATA_BLOCK, status | MORE_TIME, [1, 0], &[])
                            }
                            Err(RecvTimeoutError::Disconnected) => break None,
                        }
                    };
                    // The card was pulled out, and with it the device.
                    let Some(answer) = answer else { return };
                    reply(DATA_BLOCK, status, [0, 0], &answer);
                }
                // Error 0: this command is not supported.
                _ => reply(SLOT_STATUS, status | FAILED, [0, 0], &[]),
            }
        }
    });
}

/// `None` if the card is to be pulled. Nobody but the host resets it here, so after a reset it takes the command.
fn exchange(card: &VirtualCard, command: &[u8]) -> Option<Vec<u8>> {
    match card.exchange(command, Waits::Real) {
        Exchange::Answer(answer) => Some(answer),
        Exchange::Reset => exchange(card, command),
        Exchange::Unplugged | Exchange::Silence => None,
    }
}

/// The header, and as much data as it says.
fn parse(message: &[u8]) -> Option<(&[u8; HEADER], &[u8])> {
    let (header, data) = message.split_first_chunk::<HEADER>()?;
    let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    Some((header, data.get(..length as usize)?))
}

fn reply(to: &[u8; HEADER], kind: u8, status: u8, extra: [u8; 2], data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u32).to_le_bytes();
    [&[kind], length.as_slice(), &to[5..7], &[status], &extra, data].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_repeats_slot_and_sequence_number() {
        let command = [0x6F, 2, 0, 0, 0, 0, 7, 0, 0, 0, 0xAA, 0xBB];
        let (header, data) = parse(&command).unwrap();
        assert_eq!(data, [0xAA, 0xBB]);
        assert_eq!(
            reply(header, DATA_BLOCK, ACTIVE, [0, 0], &[0x90, 0x00]),
            [0x80, 2, 0, 0, 0, 0, 7, 0, 0, 0, 0x90, 0x00]
        );
    }

    #[test]
    fn a_message_shorter_than_it_says_is_none() {
        assert_eq!(parse(&[0x6F, 0, 0, 0, 0, 0, 7, 0, 0]), None);
        assert_eq!(parse(&[0x6F, 3, 0, 0, 0, 0, 7, 0, 0, 0, 0xAA, 0xBB]), None);
    }
}
