//! What may be shown of an exchange. Pure; input is whatever crosses a wire, and never panics.
//!
//! A command APDU (ISO/IEC 7816-4 §5.1) is shown as CLA INS P1 P2 and the length of what follows; a response as the
//! length of its data and SW1 SW2. A driver may reveal data by instruction: all of it, or the values of some tags of
//! data objects with one byte of tag and one of length. Data that comes in parts is not revealed: a part need not begin
//! at a data object. A HID report is its length, and the bytes at the offsets that the driver names.

use std::fmt::Write as _;

/// What a driver allows to be shown of its exchanges besides headers and lengths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disclosure {
    /// Card commands; those of other instructions show nothing.
    pub commands: &'static [CommandDisclosure],
    /// Offsets in HID reports, both ways.
    pub report: &'static [usize],
}

/// What may be shown of a command and its response.
#[derive(Clone, Copy, Debug)]
pub struct CommandDisclosure {
    /// INS.
    pub ins: u8,
    /// Of the command data.
    pub command: Reveal,
    /// Of the response data.
    pub response: Reveal,
}

/// What may be shown of data.
#[derive(Clone, Copy, Debug)]
pub enum Reveal {
    /// Its length.
    Nothing,
    /// All of it.
    Everything,
    /// The values of these tags; of others tag and length.
    Tags(&'static [u8]),
}

impl Disclosure {
    /// Headers and lengths only.
    pub const NOTHING: Self = Self { commands: &[], report: &[] };
}

/// Commands and responses of one card, in their order.
pub(super) struct Redactor {
    disclosure: Disclosure,
    /// The last command was not the last of its chain.
    chained: bool,
    /// What may be shown of the response to come.
    response: Reveal,
}

impl Redactor {
    pub(super) fn new(disclosure: Disclosure) -> Self {
        Self { disclosure, chained: false, response: Reveal::Nothing }
    }

    /// A new transaction begins.
    pub(super) fn begin(&mut self) {
        (self.chained, self.response) = (false, Reveal::Nothing);
    }

    pub(super) fn command(&mut self, apdu: &[u8]) -> String {
        let Some((header, body)) = apdu.split_at_checked(4) else {
            return format!("[{} bytes]", apdu.len());
        };
        let &[cla, ins, ..] = header else { return String::new() };
        // CLA bit 5: more of this command follows (§5.4.1).
        let part = self.chained || cla & 0x10 != 0;
        self.chained = cla & 0x10 != 0;
        let listed = self.disclosure.commands.iter().find(|listed| listed.ins == ins && !part);
        let (command, response) =
            listed.map_or((Reveal::Nothing, Reveal::Nothing), |listed| (listed.command, listed.response));
        self.response = response;
        let mut text = hex(header);
        match data(body) {
            _ if body.is_empty() => {}
            Some(data) => {
                let _ = write!(text, " {}", shown(command, data));
            }
            // Only Le, or a form that is not looked into.
            None => {
                let _ = write!(text, " [{} bytes]", body.len());
            }
        }
        text
    }

    pub(super) fn response(&mut self, answer: &[u8]) -> String {
        let reveal = std::mem::replace(&mut self.response, Reveal::Nothing);
        let Some((data, status)) = answer.split_last_chunk::<2>() else {
            return format!("[{} bytes]", answer.len());
        };
        // `61xx`: this is a part, and what comes next is the rest of it.
        let reveal = if status.first() == Some(&0x61) { Reveal::Nothing } else { reveal };
        if data.is_empty() { hex(status) } else { format!("{} {}", shown(reveal, data), hex(status)) }
    }
}

/// The data of a short command; `None` if it has none, or is extended.
fn data(body: &[u8]) -> Option<&[u8]> {
    let (&length, rest) = body.split_first()?;
    if length == 0 { None } else { rest.get(..usize::from(length)) }
}

fn shown(reveal: Reveal, data: &[u8]) -> String {
    match reveal {
        Reveal::Nothing => format!("[{} bytes]", data.len()),
        Reveal::Everything => format!("{{{}}}", hex(data)),
        Reveal::Tags(tags) => format!("{{{}}}", objects(tags, data)),
    }
}

/// Data objects, one after another, until something is none.
fn objects(tags: &[u8], mut data: &[u8]) -> String {
    let mut parts = Vec::new();
    while let Some((&[tag, length], rest)) = data.split_first_chunk::<2>() {
        // Longer forms of length (X.690 §8.1.3.5) are not looked into.
        let Some((value, rest)) = rest.split_at_checked(usize::from(length)).filter(|_| length < 0x80) else {
            break;
        };
        let value = if tags.contains(&tag) { hex(value) } else { format!("[{} bytes]", value.len()) };
        parts.push(format!("{tag:02X} {length:02X} {value}"));
        data = rest;
    }
    if !data.is_empty() {
        parts.push(format!("[{} bytes]", data.len()));
    }
    parts.join(" ")
}

/// A report with the bytes that may be shown, in their places.
pub(super) fn report(disclosure: &Disclosure, bytes: &[u8]) -> String {
    let length = format!("[{} bytes]", bytes.len());
    let some = disclosure.report.iter().filter_map(|offset| Some((offset, bytes.get(*offset)?)));
    some.fold(length, |mut text, (offset, byte)| {
        let _ = write!(text, " {offset}:{byte:02X}");
        text
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOME: Disclosure = Disclosure {
        commands: &[
            CommandDisclosure { ins: 0xA4, command: Reveal::Everything, response: Reveal::Tags(&[0x79]) },
            CommandDisclosure { ins: 0x01, command: Reveal::Tags(&[0x71]), response: Reveal::Nothing },
        ],
        report: &[0, 7],
    };

    /// A command and its response, as they are shown.
    fn exchange(redactor: &mut Redactor, command: &[u8], answer: &[u8]) -> (String, String) {
        (redactor.command(command), redactor.response(answer))
    }

    fn told(command: &str, answer: &str) -> (String, String) {
        (command.to_owned(), answer.to_owned())
    }

    #[test]
    fn without_a_list_a_command_is_its_header_and_an_answer_its_status() {
        let mut redactor = Redactor::new(Disclosure::NOTHING);
        let select = [0x00, 0xA4, 0x04, 0x00, 0x03, 1, 2, 3];
        let shown = exchange(&mut redactor, &select, &[9, 9, 0x90, 0x00]);
        assert_eq!(shown, told("00A40400 [3 bytes]", "[2 bytes] 9000"));
        let shown = exchange(&mut redactor, &[0x00, 0xA5, 0x00, 0x00], &[0x6A, 0x82]);
        assert_eq!(shown, told("00A50000", "6A82"));
        // Le alone, extended length, and no APDU at all.
        assert_eq!(redactor.command(&[0, 0xA5, 0, 0, 0]), "00A50000 [1 bytes]");
        assert_eq!(redactor.command(&[0, 1, 0, 0, 0, 1, 0, 7, 7]), "00010000 [5 bytes]");
        assert_eq!(redactor.command(&[7, 7, 7]), "[3 bytes]");
        assert_eq!(redactor.response(&[7]), "[1 bytes]");
    }

    #[test]
    fn what_a_driver_lists_is_shown_by_instruction_and_tag() {
        let mut redactor = Redactor::new(SOME);
        let select = [0x00, 0xA4, 0x04, 0x00, 0x02, 0xA0, 0x00];
        let answer = [0x79, 3, 5, 4, 3, 0x71, 2, 1, 2, 0x90, 0x00];
        let shown = exchange(&mut redactor, &select, &answer);
        assert_eq!(shown, told("00A40400 {A000}", "{79 03 050403 71 02 [2 bytes]} 9000"));
        let put = [0x00, 0x01, 0x00, 0x00, 9, 0x71, 1, 0x61, 0x73, 3, 7, 7, 7, 0x78];
        let shown = exchange(&mut redactor, &put, &[0x90, 0x00]);
        assert_eq!(shown, told("00010000 {71 01 61 73 03 [3 bytes] [1 bytes]}", "9000"));
    }

    #[test]
    fn parts_of_a_chain_and_of_a_long_answer_show_nothing() {
        let mut redactor = Redactor::new(SOME);
        let part = |cla| [cla, 0x01, 0, 0, 3, 0x71, 1, 0x61];
        assert_eq!(redactor.command(&part(0x10)), "10010000 [3 bytes]");
        assert_eq!(redactor.command(&part(0x00)), "00010000 [3 bytes]", "the end of the chain");
        assert_eq!(redactor.command(&part(0x00)), "00010000 {71 01 61}");
        redactor.command(&part(0x10));
        redactor.begin();
        assert_eq!(redactor.command(&part(0x00)), "00010000 {71 01 61}", "a new transaction");
        redactor.command(&[0x00, 0xA4, 0x04, 0x00]);
        assert_eq!(redactor.response(&[0x79, 1, 5, 0x61, 0x10]), "[3 bytes] 6110");
        assert_eq!(redactor.response(&[0x79, 1, 5, 0x90, 0x00]), "[3 bytes] 9000", "nobody asked for it");
    }

    #[test]
    fn a_value_that_does_not_fit_its_length_is_not_shown() {
        assert_eq!(objects(&[0x71], &[0x71, 3, 1, 2]), "[4 bytes]");
        assert_eq!(objects(&[0x71], &[0x71, 0x81, 1, 2]), "[4 bytes]");
        assert_eq!(objects(&[0x71], &[0x73, 1, 9, 0x71]), "73 01 [1 bytes] [1 bytes]");
    }

    #[test]
    fn of_a_report_the_listed_bytes_are_shown() {
        assert_eq!(report(&SOME, &[1, 2, 3, 4, 5, 6, 7, 8]), "[8 bytes] 0:01 7:08");
        assert_eq!(report(&SOME, &[1, 2]), "[2 bytes] 0:01");
        assert_eq!(report(&Disclosure::NOTHING, &[1, 2]), "[2 bytes]");
    }

    proptest! {
        #[test]
        fn anything_can_be_shown(exchanges: Vec<(Vec<u8>, Vec<u8>)>) {
            let mut redactor = Redactor::new(SOME);
            for (command, answer) in exchanges {
                redactor.command(&command);
                redactor.response(&answer);
                report(&SOME, &command);
            }
        }

        #[test]
        fn without_a_list_two_commands_of_one_length_look_alike(body: Vec<u8>, other in 1_u8..) {
            let show = |body: &[u8]| Redactor::new(Disclosure::NOTHING).command(&[&[0, 1, 0, 0], body].concat());
            // The first byte is Lc, which tells how much is shown to be there.
            let changed: Vec<u8> =
                body.iter().enumerate().map(|(at, byte)| if at == 0 { *byte } else { byte ^ other }).collect();
            prop_assert_eq!(show(&body), show(&changed));
        }
    }
}
