//! A card that takes commands: encodes one, sends it, collects the whole answer, checks its status.
//!
//! Three things of ISO/IEC 7816-4 are dealt with here so that no driver has to: command chaining (§5.3.3),
//! a response in parts (`61xx`: GET RESPONSE, or the instruction the applet uses in its place), and a wrong Le
//! (`6Cxx`: the same command again, once). A response of more than 64 KiB, or one that announces more and
//! never delivers, is refused.

use zeroize::Zeroizing;

use super::apdu::{self, Header};
use super::status::StatusWord;
use super::{Command, Malformed};
use crate::error::Error;
use crate::transport::{CardTransaction, TransportError};

/// GET RESPONSE (ISO/IEC 7816-4 §11.8.1).
pub const GET_RESPONSE: u8 = 0xC0;

/// Most bytes a response may have in all its parts.
const MAX_RESPONSE: usize = 0x1_0000;
/// Most parts a response may have: 64 KiB in parts of 256 bytes.
const MAX_PARTS: usize = 256;

/// A card during one transaction.
pub struct Card<'c> {
    transaction: Box<dyn CardTransaction + 'c>,
    /// Instruction that fetches the rest of a response.
    more: u8,
    /// Whether a long response has to be followed by an empty command; see [`Card::set_dummy_after_long`].
    dummy_after_long: bool,
    dummy_due: bool,
}

impl<'c> Card<'c> {
    /// Uses a transaction; `more` is the instruction that fetches the rest of a response in parts.
    #[must_use]
    pub fn new(transaction: Box<dyn CardTransaction + 'c>, more: u8) -> Self {
        Self { transaction, more, dummy_after_long: false, dummy_due: false }
    }

    /// Fetches the rest of a response with this instruction from now on: applets differ, so set it before another
    /// one is selected.
    pub fn fetch_with(&mut self, more: u8) {
        self.more = more;
    }

    /// Sends an empty command before the next one now, and after each response of more than 54 bytes in
    /// all its parts (between parts it would lose the rest). `YubiKey` firmware 4.2.0 to 4.2.6 drops a command
    /// there otherwise (over USB, within two seconds).
    pub fn set_dummy_after_long(&mut self) {
        self.dummy_after_long = true;
        self.dummy_due = true;
    }

    /// Asks that the card be reset when the transaction ends, so that what was unlocked is locked again.
    pub fn reset_at_end(&mut self) {
        self.transaction.reset_at_end();
    }

    /// Sends one command and reads its answer.
    ///
    /// # Errors
    /// [`Error::Transport`] from the wire, [`Error::Malformed`] if the answer cannot be read, otherwise what
    /// the command says of the status, [`Error::Refused`] by default.
    pub fn call<C: Command>(&mut self, command: &C) -> Result<C::Response, Error> {
        let mut data = Zeroizing::new(Vec::with_capacity(apdu::MAX_DATA + 1));
        command.encode(&mut data);
        let (p1, p2) = command.p1_p2();
        if std::mem::take(&mut self.dummy_due) {
            self.transaction.transmit(&[0x00; 5])?;
        }
        let (response, status) = self.exchange::<C>(Header { ins: C::INS, p1, p2 }, &data)?;
        self.dummy_due = self.dummy_after_long && response.len() > 54;
        if C::succeeds(status) {
            return C::decode(&response).map_err(|malformed| malformed.of(C::NAME));
        }
        Err(command.refusal(status).unwrap_or_else(|| status.refused(C::NAME)))
    }

    fn exchange<C: Command>(
        &mut self,
        header: Header,
        data: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, StatusWord), Error> {
        let mut answer = (Zeroizing::new(Vec::new()), StatusWord::SUCCESS);
        let parts = apdu::encode_in(C::FORM, C::CLA, header, data);
        for (index, part) in parts.iter().enumerate() {
            answer = self.send(C::NAME, part)?;
            if let Some(le) = answer.1.correct_le() {
                answer = self.send(C::NAME, &apdu::with_le(part, le))?;
            }
            // A refusal of one part of a chain is the refusal of the command.
            if index + 1 < parts.len() && answer.1 != StatusWord::SUCCESS {
                return Ok(answer);
            }
        }
        let (mut response, mut status) = answer;
        for _ in 0..MAX_PARTS {
            let Some(waiting) = status.more() else { return Ok((response, status)) };
            // GET RESPONSE asks for what was announced, since T=0 takes no other Le.
            let le = if self.more == GET_RESPONSE { waiting } else { 0x00 };
            let (part, next) = self.send(C::NAME, &[0x00, self.more, 0x00, 0x00, le])?;
            if response.len() + part.len() > MAX_RESPONSE {
                break;
            }
            response = join(&response, &part);
            status = next;
        }
        Err(Malformed::new("response without end", response.len()).of(C::NAME))
    }

    /// One APDU out, one in.
    fn send(
        &mut self,
        command: &'static str,
        apdu: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, StatusWord), Error> {
        let mut response = Zeroizing::new(self.transaction.transmit(apdu)?);
        let Some((data, status)) = apdu::split(&response) else {
            // A transport promises two bytes; a reader that answers with none lost the card (see pcsc.rs).
            return Err(
                TransportError::Failed { call: command, detail: "response without status".into() }.into()
            );
        };
        let length = data.len();
        response.truncate(length);
        Ok((response, status))
    }
}

/// Joins two parts in a new buffer, so that no copy is left unwiped by a growing vector.
fn join(first: &[u8], second: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut both = Zeroizing::new(Vec::with_capacity(first.len() + second.len()));
    both.extend_from_slice(first);
    both.extend_from_slice(second);
    both
}

/// SELECT by application identifier (ISO/IEC 7816-4 §11.1.1); answers with the applet's own words.
#[derive(Clone, Copy, Debug)]
pub struct Select<'a> {
    /// RID and PIX.
    pub aid: &'a [u8],
}

impl Command for Select<'_> {
    const NAME: &'static str = "SELECT";
    const INS: u8 = 0xA4;
    type Response = Vec<u8>;

    fn p1_p2(&self) -> (u8, u8) {
        (0x04, 0x00)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(self.aid);
    }

    fn decode(data: &[u8]) -> Result<Self::Response, Malformed> {
        Ok(data.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Expects these commands and gives these responses, in order.
    struct Script(VecDeque<(Vec<u8>, Vec<u8>)>);

    impl CardTransaction for Script {
        fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
            let (expected, response) = self.0.pop_front().expect("one more command than expected");
            assert_eq!(command, expected);
            Ok(response)
        }
    }

    fn card(script: &[(&[u8], &[u8])]) -> Card<'static> {
        let steps = script.iter().map(|(command, response)| (command.to_vec(), response.to_vec())).collect();
        Card::new(Box::new(Script(steps)), 0xA5)
    }

    const SELECT: &[u8] = &[0x00, 0xA4, 0x04, 0x00, 0x01, 0xA0];

    #[test]
    fn a_response_in_parts_is_fetched_with_the_given_instruction_and_joined() {
        let more: &[u8] = &[0x00, 0xA5, 0x00, 0x00, 0x00];
        let mut card =
            card(&[(SELECT, &[1, 2, 0x61, 0xFF]), (more, &[3, 0x61, 0x01]), (more, &[4, 0x90, 0x00])]);
        assert_eq!(card.call(&Select { aid: &[0xA0] }).unwrap(), [1, 2, 3, 4]);
    }

    #[test]
    fn get_response_asks_for_what_was_announced() {
        let mut card = card(&[
            (SELECT, &[0x61, 0x03]),
            (&[0x00, 0xC0, 0x00, 0x00, 0x03], &[1, 2, 3, 0x61, 0x00]),
            (&[0x00, 0xC0, 0x00, 0x00, 0x00], &[4, 0x90, 0x00]),
        ]);
        card.fetch_with(GET_RESPONSE);
        assert_eq!(card.call(&Select { aid: &[0xA0] }).unwrap(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_wrong_le_is_corrected_once() {
        let again: &[u8] = &[0x00, 0xA4, 0x04, 0x00, 0x01, 0xA0, 0x02];
        let mut card = card(&[(SELECT, &[0x6C, 0x02]), (again, &[0x6C, 0x02])]);
        let error = card.call(&Select { aid: &[0xA0] }).unwrap_err();
        assert_eq!(error.to_string(), "SELECT refused: 6C02 (wrong Le field)");
    }

    #[test]
    fn an_endless_response_is_given_up() {
        let more: &[u8] = &[0x00, 0xA5, 0x00, 0x00, 0x00];
        let mut script: Vec<(&[u8], &[u8])> = vec![(SELECT, &[0x61, 0x00])];
        script.extend(vec![(more, &[0x61, 0x00][..]); MAX_PARTS]);
        let error = card(&script).call(&Select { aid: &[0xA0] }).unwrap_err();
        assert_eq!(error.to_string(), "SELECT: malformed reply: response without end at byte 0");
    }

    #[test]
    fn a_response_without_status_is_an_error() {
        for response in [&[][..], &[0x90]] {
            let error = card(&[(SELECT, response)]).call(&Select { aid: &[0xA0] }).unwrap_err();
            assert_eq!(error.to_string(), "SELECT: response without status");
        }
    }

    #[test]
    fn a_refused_part_of_a_chain_stops_it() {
        let aid = [0xA0; 256];
        let mut first = vec![0x10, 0xA4, 0x04, 0x00, 0xFF];
        first.extend_from_slice(&aid[..255]);
        let error = card(&[(&first, &[0x68, 0x84])]).call(&Select { aid: &aid }).unwrap_err();
        assert_eq!(error.to_string(), "SELECT refused: 6884 (command chaining not supported)");
    }

    #[test]
    fn the_dummy_command_follows_long_responses_only() {
        let more: &[u8] = &[0x00, 0xA5, 0x00, 0x00, 0x00];
        let long = [vec![0; 55], vec![0x61, 0x00]].concat();
        let dummy: &[u8] = &[0; 5];
        let mut card = card(&[
            (dummy, &[0x6D, 0x00]),
            (SELECT, &long),
            (more, &[0x90, 0x00]),
            (dummy, &[0x6D, 0x00]),
            (SELECT, &[0x90, 0x00]),
            (SELECT, &[0x90, 0x00]),
        ]);
        card.set_dummy_after_long();
        for length in [55, 0, 0] {
            assert_eq!(card.call(&Select { aid: &[0xA0] }).unwrap().len(), length);
        }
    }
}
