//! Commands over the byte protocol T=0 (ISO/IEC 7816-3 §12.2, ISO/IEC 7816-4 §5.2).
//!
//! T=0 knows commands that send or that fetch, never both. So a command with data goes out without Le, the card
//! answers `61xx`, and GET RESPONSE fetches what it has to say; a command without anything gets a fifth byte.
//! An applet's own `61xx` comes with data in front of it, or after a GET RESPONSE, and is passed on.

use crate::iso7816::apdu;
use crate::transport::TransportError;

/// Sends one command and fetches its response.
pub(super) fn transmit(
    command: &[u8],
    mut send: impl FnMut(&[u8]) -> Result<Vec<u8>, TransportError>,
) -> Result<Vec<u8>, TransportError> {
    let response = match command {
        [cla, ins, p1, p2] => send(&[*cla, *ins, *p1, *p2, 0x00])?,
        _ => send(without_le(command))?,
    };
    let [0x61, available] = *response else { return Ok(response) };
    let get_response = [command.first().copied().unwrap_or_default() & 0xEF, 0xC0, 0x00, 0x00, available];
    let response = send(&get_response)?;
    match *response {
        [0x6C, le] => send(&apdu::with_le(&get_response, le)),
        _ => Ok(response),
    }
}

/// Drops the Le that follows data (case 4).
fn without_le(command: &[u8]) -> &[u8] {
    let lc = command.get(4).copied().map_or(0, usize::from);
    match command.split_last() {
        Some((_, shorter)) if lc > 0 && command.len() == 5 + lc + 1 => shorter,
        _ => command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs one command against a card that must be sent exactly these APDUs.
    fn run(command: &[u8], script: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut steps = script.iter();
        let response = transmit(command, |apdu| {
            let (expected, response) = steps.next().expect("one more command than expected");
            assert_eq!(apdu, *expected);
            Ok(response.to_vec())
        });
        assert_eq!(steps.len(), 0, "commands not sent");
        response.unwrap()
    }

    const GET: &[u8] = &[0, 0xC0, 0, 0, 2];

    #[test]
    fn le_after_data_is_left_out_and_the_response_fetched() {
        let short: &[u8] = &[0, 0xA4, 4, 0, 1, 0xA0];
        let with_le = [short, &[0x00]].concat();
        for command in [short, &with_le] {
            assert_eq!(run(command, &[(short, &[0x61, 2]), (GET, &[7, 8, 0x90, 0])]), [7, 8, 0x90, 0]);
        }
    }

    #[test]
    fn a_command_of_four_bytes_gets_a_fifth() {
        assert_eq!(run(&[0, 0xA1, 0, 0], &[(&[0, 0xA1, 0, 0, 0], &[0x90, 0])]), [0x90, 0]);
    }

    #[test]
    fn get_response_is_corrected_by_6c() {
        let list: &[u8] = &[0, 0xA1, 0, 0, 0];
        let script: &[(&[u8], &[u8])] =
            &[(list, &[0x61, 2]), (GET, &[0x6C, 1]), (&[0, 0xC0, 0, 0, 1], &[7, 0x90, 0])];
        assert_eq!(run(list, script), [7, 0x90, 0]);
    }

    #[test]
    fn an_applets_own_61_is_passed_on() {
        let list: &[u8] = &[0, 0xA1, 0, 0, 0];
        assert_eq!(run(list, &[(list, &[1, 0x61, 0xFF])]), [1, 0x61, 0xFF]);
        assert_eq!(run(list, &[(list, &[0x61, 2]), (GET, &[1, 2, 0x61, 5])]), [1, 2, 0x61, 5]);
    }
}
