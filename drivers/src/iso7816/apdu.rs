//! Command and response APDUs in short form (ISO/IEC 7816-4 §5.2).
//!
//! | case | bytes |
//! |---|---|
//! | 2, or 1 with an explicit Le | `CLA INS P1 P2 Le` |
//! | 3, or 4 with Le left out | `CLA INS P1 P2 Lc data` |
//! | 3 extended | `CLA INS P1 P2 00 Lc Lc data` |
//!
//! The applets here are spoken to as their makers do; [`Form`] says how. Most want class 00, Le `00` without data
//! and no Le after data.

use zeroize::Zeroizing;

use super::status::StatusWord;

/// Longest data field of a short APDU.
pub const MAX_DATA: usize = 255;

/// Bit of CLA that announces a further part of the same command (§5.4.1).
const CHAINING: u8 = 0x10;

/// Header of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Instruction byte.
    pub ins: u8,
    /// First parameter byte.
    pub p1: u8,
    /// Second parameter byte.
    pub p2: u8,
}

/// How an applet wants its commands written, where that differs from maker to maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Le of a command without data; `None` leaves it out (case 1).
    pub le: Option<u8>,
    /// Le of a command with data. `None` leaves it out, as T=0 wants it.
    pub le_after_data: Option<u8>,
    /// Whether more than 255 bytes of data go out in one extended command instead of being chained.
    pub extended: bool,
}

impl Form {
    /// Le `00` without data, no Le after data, chaining.
    pub const ISO: Self = Self { le: Some(0x00), le_after_data: None, extended: false };
}

/// Encodes a command with class 00: one APDU, or several linked by command chaining if the data is longer
/// than one can carry. The buffers are wiped when dropped.
#[must_use]
pub fn encode(header: Header, data: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    encode_as(0x00, header, data)
}

/// The same with another class.
#[must_use]
pub fn encode_as(class: u8, header: Header, data: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    encode_in(Form::ISO, class, header, data)
}

/// The same in another form. More than 65,535 bytes of extended data cannot be said and are cut; no caller
/// comes near.
#[must_use]
pub fn encode_in(form: Form, class: u8, header: Header, data: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let Header { ins, p1, p2 } = header;
    if data.is_empty() {
        let mut apdu = Zeroizing::new(vec![class, ins, p1, p2]);
        apdu.extend(form.le);
        return vec![apdu];
    }
    if form.extended && data.len() > MAX_DATA {
        let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
        let [high, low] = length.to_be_bytes();
        let mut apdu = Zeroizing::new(Vec::with_capacity(7 + data.len()));
        apdu.extend_from_slice(&[class, ins, p1, p2, 0x00, high, low]);
        apdu.extend(data.iter().take(usize::from(length)));
        return vec![apdu];
    }
    let last = data.len().div_ceil(MAX_DATA).saturating_sub(1);
    data.chunks(MAX_DATA)
        .enumerate()
        .map(|(index, chunk)| {
            let cla = if index == last { class } else { class | CHAINING };
            let mut apdu = Zeroizing::new(Vec::with_capacity(5 + MAX_DATA + 1));
            apdu.extend_from_slice(&[cla, ins, p1, p2]);
            // A chunk has 1 to 255 bytes.
            apdu.push(u8::try_from(chunk.len()).unwrap_or(u8::MAX));
            apdu.extend_from_slice(chunk);
            apdu.extend(form.le_after_data.filter(|_| index == last));
            apdu
        })
        .collect()
}

/// The same command with another Le, as a card asks for with `6Cxx`. Le replaces the fifth byte of a command
/// without data and is appended to one with data: a data byte is never touched.
#[must_use]
pub fn with_le(apdu: &[u8], le: u8) -> Zeroizing<Vec<u8>> {
    let mut again = Zeroizing::new(Vec::with_capacity(apdu.len() + 1));
    match apdu {
        [cla, ins, p1, p2] | [cla, ins, p1, p2, _] => again.extend_from_slice(&[*cla, *ins, *p1, *p2, le]),
        // Extended: Le has two bytes after data.
        [_, _, _, _, 0x00, _, _, _, ..] => {
            again.extend_from_slice(apdu);
            again.extend_from_slice(&[0x00, le]);
        }
        _ => {
            again.extend_from_slice(apdu);
            // Lc says how long the command is without Le; one byte more is an Le that was there already.
            let lc = apdu.get(4).copied().map_or(0, usize::from);
            if apdu.len() == 5 + lc + 1 {
                again.pop();
            }
            again.push(le);
        }
    }
    again
}

/// Splits a response into data and status word. `None` if it is too short to have one.
#[must_use]
pub fn split(response: &[u8]) -> Option<(&[u8], StatusWord)> {
    let (data, [sw1, sw2]) = response.split_last_chunk::<2>()?;
    Some((data, StatusWord(u16::from_be_bytes([*sw1, *sw2]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: Header = Header { ins: 0xA1, p1: 0x00, p2: 0x00 };

    #[test]
    fn a_command_without_data_has_five_bytes() {
        let apdus = encode(LIST, &[]);
        assert_eq!(apdus.len(), 1);
        assert_eq!(*apdus[0], [0x00, 0xA1, 0x00, 0x00, 0x00]);
    }

    #[test]
    fn data_is_preceded_by_its_length_and_followed_by_nothing() {
        let apdus = encode(Header { ins: 0xA4, p1: 0x04, p2: 0x00 }, &[0xA0, 0x00]);
        assert_eq!(apdus.len(), 1);
        assert_eq!(*apdus[0], [0x00, 0xA4, 0x04, 0x00, 0x02, 0xA0, 0x00]);
    }

    #[test]
    fn long_data_is_chained_and_only_the_last_part_has_class_00() {
        for (length, parts) in [(1, 1), (255, 1), (256, 2), (510, 2), (511, 3)] {
            let data: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let apdus = encode(LIST, &data);
            assert_eq!(apdus.len(), parts, "{length} bytes");
            let classes: Vec<u8> = apdus.iter().map(|apdu| apdu[0]).collect();
            assert!(classes[..parts - 1].iter().all(|cla| *cla == 0x10), "{length} bytes: {classes:?}");
            assert_eq!(classes[parts - 1], 0x00);
            let joined: Vec<u8> = apdus.iter().flat_map(|apdu| apdu[5..].to_vec()).collect();
            assert_eq!(joined, data);
            assert!(apdus.iter().all(|apdu| usize::from(apdu[4]) == apdu.len() - 5));
        }
    }

    #[test]
    fn another_class_is_kept_in_every_part() {
        let classes: Vec<u8> = encode_as(0x84, LIST, &[0; 300]).iter().map(|apdu| apdu[0]).collect();
        assert_eq!(classes, [0x94, 0x84]);
        assert_eq!(*encode_as(0x80, LIST, &[])[0], [0x80, 0xA1, 0x00, 0x00, 0x00]);
    }

    #[test]
    fn makers_have_forms_of_their_own() {
        let form = Form { le: None, le_after_data: Some(0x00), extended: true };
        assert_eq!(*encode_in(form, 0x80, LIST, &[])[0], [0x80, 0xA1, 0x00, 0x00]);
        assert_eq!(*encode_in(form, 0x80, LIST, &[7])[0], [0x80, 0xA1, 0x00, 0x00, 0x01, 0x07, 0x00]);
        let with_le = Form { le: Some(0x40), ..form };
        assert_eq!(*encode_in(with_le, 0x80, LIST, &[])[0], [0x80, 0xA1, 0x00, 0x00, 0x40]);
        let long = encode_in(form, 0x80, LIST, &[7; 256]);
        assert_eq!((long.len(), long[0].len()), (1, 7 + 256));
        assert_eq!(long[0][..8], [0x80, 0xA1, 0x00, 0x00, 0x00, 0x01, 0x00, 0x07]);
        let chained = encode_in(Form { extended: false, ..form }, 0x80, LIST, &[7; 256]);
        assert_eq!(chained.iter().map(|apdu| apdu[0]).collect::<Vec<_>>(), [0x90, 0x80]);
        assert_eq!((chained[0].len(), chained[1].len()), (5 + 255, 5 + 1 + 1));
    }

    #[test]
    fn a_corrected_le_never_overwrites_data() {
        assert_eq!(*with_le(&[0, 0xA1, 0, 0], 0x10), [0, 0xA1, 0, 0, 0x10]);
        assert_eq!(*with_le(&[0, 0xA1, 0, 0, 0], 0x10), [0, 0xA1, 0, 0, 0x10]);
        assert_eq!(*with_le(&[0, 0xA2, 0, 1, 2, 0x74, 0], 0x07), [0, 0xA2, 0, 1, 2, 0x74, 0, 0x07]);
        assert_eq!(*with_le(&[0, 0xA2, 0, 1, 2, 0x74, 0, 0xFF], 0x07), [0, 0xA2, 0, 1, 2, 0x74, 0, 0x07]);
        assert_eq!(*with_le(&[0, 0xA2, 0, 1, 0, 0, 1, 0x74], 0x07), [0, 0xA2, 0, 1, 0, 0, 1, 0x74, 0, 0x07]);
    }

    #[test]
    fn a_response_needs_two_bytes() {
        assert_eq!(split(&[]), None);
        assert_eq!(split(&[0x90]), None);
        assert_eq!(split(&[0x90, 0x00]), Some((&[][..], StatusWord(0x9000))));
        assert_eq!(split(&[1, 2, 0x61, 0x05]), Some((&[1, 2][..], StatusWord(0x6105))));
    }
}
