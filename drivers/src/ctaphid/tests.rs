//! One script of reports at a time, byte for byte.

use std::cell::Cell;
use std::collections::VecDeque;

use super::packet::PACKET;
use super::*;
use crate::token::Unattended;

/// What the device is expected to get, and what it says.
enum Step {
    Out(Vec<u8>),
    /// INIT on this channel; its nonce is what [`Step::Welcome`] gives back.
    Init(u32),
    In(Vec<u8>),
    /// The answer to INIT: on which channel, and what follows the nonce.
    Welcome(u32, [u8; 9]),
    /// The connection fails.
    Fails,
}

struct Script {
    steps: VecDeque<Step>,
    nonce: [u8; 8],
}

impl HidConnection for Script {
    fn set_feature(&mut self, _: &[u8]) -> Result<(), TransportError> {
        panic!("CTAPHID has no feature reports");
    }

    fn get_feature(&mut self, _: usize) -> Result<Vec<u8>, TransportError> {
        panic!("CTAPHID has no feature reports");
    }

    fn write(&mut self, report: &[u8]) -> Result<(), TransportError> {
        match self.steps.pop_front() {
            Some(Step::Out(expected)) => assert_eq!(report, expected),
            Some(Step::Init(channel)) => {
                assert_eq!(report[..4], channel.to_be_bytes());
                assert_eq!((&report[4..7], &report[15..]), (&[0x86, 0, 8][..], &[0; 49][..]));
                self.nonce = report[7..15].try_into().unwrap();
            }
            Some(Step::Fails) => {
                return Err(TransportError::Failed { call: "write", detail: "EIO".to_owned() });
            }
            _ => panic!("not expected: {report:02x?}"),
        }
        Ok(())
    }

    fn read(&mut self, _: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        match self.steps.front() {
            Some(Step::In(report)) => {
                let report = report.clone();
                self.steps.pop_front();
                Ok(Some(report))
            }
            Some(Step::Welcome(channel, told)) => {
                let report = packet(*channel, &[&[0x86, 0, 17], &self.nonce[..], &told[..]].concat());
                self.steps.pop_front();
                Ok(Some(report))
            }
            _ => Ok(None),
        }
    }

    fn pause(&mut self, _: Duration) {}
}

impl Drop for Script {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.steps.len(), 0, "steps left");
        }
    }
}

fn packet(channel: u32, rest: &[u8]) -> Vec<u8> {
    let mut packet = [&channel.to_be_bytes()[..], rest].concat();
    packet.resize(PACKET, 0);
    packet
}

const TOLD: [u8; 9] = [0, 0, 0, 1, 2, 1, 8, 0, 5];

/// A device with channel 1, then these steps.
fn device(steps: Vec<Step>) -> CtapHid {
    let mut all = VecDeque::from([Step::Init(BROADCAST), Step::Welcome(BROADCAST, TOLD)]);
    all.extend(steps);
    CtapHid::open(Box::new(Script { steps: all, nonce: [0; 8] }), &Unattended).unwrap()
}

fn out(rest: &[u8]) -> Step {
    Step::Out(packet(1, rest))
}

fn says(rest: &[u8]) -> Step {
    Step::In(packet(1, rest))
}

const LIST: &[u8] = &[0x00, 0xA1, 0x00, 0x00, 0x01, 0x01];
const LIST_PACKET: &[u8] = &[0xF0, 0, 6, 0x00, 0xA1, 0x00, 0x00, 0x01, 0x01];
const OK: &[u8] = &[0xF0, 0, 2, 0x90, 0x00];
const BUSY: &[u8] = &[0xBF, 0, 1, 0x06];

fn list(device: &mut CtapHid) -> Result<Vec<u8>, TransactionError> {
    device.transact("LIST", 0x70, LIST, PATIENCE, &Unattended).map(|answer| answer.to_vec())
}

/// Somebody who counts prompts, and cancels when asked for the n-th time.
struct Hand {
    prompts: Cell<u32>,
    asked: Cell<u32>,
    cancel_at: u32,
}

impl Hand {
    fn cancelling_at(cancel_at: u32) -> Self {
        Self { prompts: Cell::new(0), asked: Cell::new(0), cancel_at }
    }
}

impl Attendant for Hand {
    fn touch_needed(&self) {
        self.prompts.set(self.prompts.get() + 1);
    }

    fn cancelled(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.asked.get() > self.cancel_at
    }
}

#[test]
fn a_channel_is_asked_for_first() {
    let device = device(vec![]);
    assert_eq!(device.channel, 1);
    assert_eq!(device.device(), Device { protocol: 2, version: [1, 8, 0], capabilities: 5 });
}

#[test]
fn the_init_of_another_program_is_passed_over() {
    let steps = VecDeque::from([
        Step::Init(BROADCAST),
        Step::In(packet(BROADCAST, &[&[0x86, 0, 17][..], &[9; 8], &[0, 0, 0, 7]].concat())),
        Step::In(packet(7, BUSY)),
        Step::Welcome(BROADCAST, TOLD),
    ]);
    let device = CtapHid::open(Box::new(Script { steps, nonce: [0; 8] }), &Unattended).unwrap();
    assert_eq!(device.channel, 1);
}

#[test]
fn a_device_without_a_channel_to_give_is_refused() {
    for (steps, problem) in [
        (vec![], "INIT: no answer in time"),
        (vec![Step::Welcome(BROADCAST, [0; 9])], "INIT: malformed reply: no channel at byte 8"),
        (vec![Step::In(packet(BROADCAST, &[0xBF, 0, 1, 0x01]))], "INIT refused: 0001 (invalid command)"),
    ] {
        let steps = [Step::Init(BROADCAST)].into_iter().chain(steps).collect();
        let opened = CtapHid::open(Box::new(Script { steps, nonce: [0; 8] }), &Unattended);
        assert_eq!(opened.err().map(|error| error.to_string()).as_deref(), Some(problem));
    }
}

#[test]
fn one_packet_goes_out_and_one_comes_back() {
    let mut device = device(vec![out(LIST_PACKET), says(OK)]);
    assert_eq!(list(&mut device).unwrap(), [0x90, 0x00]);
}

#[test]
fn long_messages_go_in_packets_both_ways() {
    let sent: Vec<u8> = (0..79).collect();
    let answer: Vec<u8> = (100..200).collect();
    let mut device = device(vec![
        out(&[&[0xF0, 0, 79][..], &sent[..57]].concat()),
        out(&[&[0][..], &sent[57..]].concat()),
        says(&[&[0xF0, 0, 100][..], &answer[..57]].concat()),
        Step::In(packet(2, &[0, 1, 2, 3])),
        says(&[&[0][..], &answer[57..]].concat()),
    ]);
    let got = device.transact("PUT", 0x70, &sent, PATIENCE, &Unattended).unwrap();
    assert_eq!(*got, answer);
}

#[test]
fn keepalives_are_passed_over_and_a_touch_is_announced_once() {
    let processing = &[0xBB, 0, 1, 1];
    let touch = &[0xBB, 0, 1, 2];
    let steps = [out(LIST_PACKET), says(processing), says(touch), says(touch), says(processing), says(OK)];
    let mut device = device(steps.into());
    let hand = Hand::cancelling_at(u32::MAX);
    device.transact("LIST", 0x70, LIST, PATIENCE, &hand).unwrap();
    assert_eq!(hand.prompts.get(), 1);
}

#[test]
fn keepalives_without_end_come_to_an_end() {
    let steps = [out(LIST_PACKET)].into_iter().chain((0..=MAX_KEEPALIVES).map(|_| says(&[0xBB, 0, 1, 1])));
    let failure = list(&mut device(steps.collect())).unwrap_err();
    assert_eq!((failure.to_string().as_str(), failure.carried_out), ("LIST: no answer in time", true));
}

#[test]
fn a_busy_device_is_asked_again() {
    let mut device =
        device(vec![out(LIST_PACKET), says(BUSY), out(LIST_PACKET), says(BUSY), out(LIST_PACKET), says(OK)]);
    assert_eq!(list(&mut device).unwrap(), [0x90, 0x00]);
}

#[test]
fn a_busy_device_may_refuse_every_packet_of_a_long_message() {
    let message = [7; 60];
    let send = || [out(&[&[0xF0, 0, 60][..], &[7; 57]].concat()), out(&[0, 7, 7, 7])];
    let steps = send().into_iter().chain([says(BUSY), says(BUSY)]).chain(send()).chain([says(OK)]);
    let mut device = device(steps.collect());
    assert_eq!(*device.transact("PUT", 0x70, &message, PATIENCE, &Unattended).unwrap(), [0x90, 0x00]);
}

#[test]
fn a_device_that_stays_busy_is_given_up() {
    let steps = (0..BUSY_TRIES).flat_map(|_| [out(LIST_PACKET), says(BUSY)]);
    let failure = list(&mut device(steps.collect())).unwrap_err();
    assert!(matches!(failure.source, Error::Transport(TransportError::Busy)), "{failure}");
    assert!(!failure.carried_out);
}

#[test]
fn a_device_that_was_reset_gives_a_new_channel() {
    let mut device = device(vec![
        out(LIST_PACKET),
        says(&[0xBF, 0, 1, 0x0B]),
        Step::Init(BROADCAST),
        Step::Welcome(BROADCAST, [0, 0, 0, 5, 2, 1, 8, 0, 5]),
        Step::Out(packet(5, LIST_PACKET)),
        Step::In(packet(5, OK)),
    ]);
    assert_eq!(list(&mut device).unwrap(), [0x90, 0x00]);
}

#[test]
fn an_error_says_whether_the_message_was_passed_on() {
    for (code, meaning, carried_out) in [
        (0x01, "LIST refused: 0001 (invalid command)", false),
        (0x03, "LIST refused: 0003 (invalid length)", false),
        (0x05, "LIST refused: 0005 (message timed out)", false),
        (0x7F, "LIST refused: 007F (unspecified error)", true),
        (0x42, "LIST refused: 0042 (unspecified error)", true),
    ] {
        let failure = list(&mut device(vec![out(LIST_PACKET), says(&[0xBF, 0, 1, code])])).unwrap_err();
        assert_eq!((failure.to_string().as_str(), failure.carried_out), (meaning, carried_out));
    }
}

#[test]
fn after_silence_the_channel_is_cleared_before_the_next_message() {
    let late = says(&[0xF0, 0, 2, 0x69, 0x82]);
    let mut device = device(vec![
        out(LIST_PACKET),
        // Nothing comes while the list is awaited.
        Step::Init(1),
        late,
        Step::Welcome(1, TOLD),
        out(LIST_PACKET),
        says(OK),
    ]);
    let failure = list(&mut device).unwrap_err();
    assert!(failure.carried_out, "{failure}");
    assert_eq!(list(&mut device).unwrap(), [0x90, 0x00]);
}

#[test]
fn a_channel_that_the_device_forgot_is_replaced_when_it_is_cleared() {
    let mut device = device(vec![
        out(LIST_PACKET),
        Step::Init(1),
        says(&[0xBF, 0, 1, 0x0B]),
        Step::Init(BROADCAST),
        Step::Welcome(BROADCAST, [0, 0, 0, 6, 2, 1, 8, 0, 5]),
        Step::Out(packet(6, LIST_PACKET)),
        Step::In(packet(6, OK)),
    ]);
    list(&mut device).unwrap_err();
    assert_eq!(list(&mut device).unwrap(), [0x90, 0x00]);
}

#[test]
fn an_answer_that_makes_no_sense_is_refused() {
    for (answer, problem) in [
        (vec![says(&[0xF1, 0, 2, 0x90, 0])], "answer to another command at byte 4"),
        (vec![says(&[0xF0, 0x40, 0])], "message is longer than 7609 bytes at byte 5"),
        (vec![says(&[0xF0, 0, 90]), says(&[1])], "packet out of sequence at byte 57"),
        (vec![Step::In(vec![0, 0, 0, 1, 0xF0, 0, 2, 0x90])], "packet is cut off at byte 0"),
    ] {
        let steps = [out(LIST_PACKET)].into_iter().chain(answer);
        let failure = list(&mut device(steps.collect())).unwrap_err();
        assert_eq!(failure.to_string(), format!("LIST: malformed reply: {problem}"));
        assert!(failure.carried_out);
    }
}

#[test]
fn only_the_last_packet_makes_a_message() {
    let message = [7; 100];
    let first = out(&[&[0xF0, 0, 100][..], &message[..57]].concat());
    for (steps, carried_out) in [(vec![Step::Fails], false), (vec![first, Step::Fails], true)] {
        let failure = device(steps).transact("PUT", 0x70, &message, PATIENCE, &Unattended).unwrap_err();
        assert_eq!(failure.carried_out, carried_out, "{failure}");
    }
}

#[test]
fn whoever_cancels_is_heard_while_the_device_waits() {
    let cancel = || out(&[0x91, 0, 0]);
    let touch = || says(&[0xBB, 0, 1, 2]);
    // Asked before sending, and after each keep-alive.
    let answered = vec![out(LIST_PACKET), touch(), touch(), cancel(), says(&[0xF0, 0, 2, 0x65, 0x00])];
    let answer = device(answered).transact("LIST", 0x70, LIST, PATIENCE, &Hand::cancelling_at(2)).unwrap();
    assert_eq!(*answer, [0x65, 0x00]);

    let silent = vec![out(LIST_PACKET), touch(), cancel()];
    let failure = device(silent).transact("LIST", 0x70, LIST, PATIENCE, &Hand::cancelling_at(1)).unwrap_err();
    assert!(matches!(failure.source, Error::Cancelled) && failure.carried_out);

    let failure = device(vec![]).transact("LIST", 0x70, LIST, PATIENCE, &Hand::cancelling_at(0)).unwrap_err();
    assert!(matches!(failure.source, Error::Cancelled) && !failure.carried_out);
}

#[test]
fn a_message_that_is_too_long_is_not_sent() {
    let failure = device(vec![]).transact("PUT", 0x70, &[0; 7610], PATIENCE, &Unattended).unwrap_err();
    assert_eq!(failure.to_string(), "message: 7610 bytes, 7609 can be sent");
    assert!(!failure.carried_out);
}
