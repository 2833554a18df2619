//! The hexadecimal here is what Nitrokey's own SDK (0.5.0) sends and what the app answers to it.

use super::*;
use crate::iso7816::apdu::{Header, encode};
use proptest::prelude::*;

const SEED: &[u8] = b"12345678901234567890";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn apdu<C: Command>(command: &C) -> Vec<u8> {
    let mut data = Vec::new();
    command.encode(&mut data);
    let (p1, p2) = command.p1_p2();
    let apdus = encode(Header { ins: C::INS, p1, p2 }, &data);
    assert_eq!(apdus.len(), 1, "{} is short", C::NAME);
    apdus[0].to_vec()
}

fn put() -> Put<'static> {
    Put {
        name: b"rfc",
        kind: Kind::Hotp,
        algorithm: Algorithm::Sha1,
        digits: 6,
        secret: SEED,
        touch: false,
        pin: false,
        counter: 0,
    }
}

#[test]
fn commands_are_those_of_the_sdk_byte_for_byte() {
    let seed = "3132333435363738393031323334353637383930";
    assert_eq!(apdu(&Select), hex("00a4040007a0000005272101"));
    assert_eq!(apdu(&List::<true>), hex("00a100000101"));
    assert_eq!(apdu(&put()), hex(&format!("0001000025 7103726663 7316 1106 {seed} 7800 7a0400000000")));
    let totp = Put { name: b"t", kind: Kind::Totp, algorithm: Algorithm::Sha256, digits: 8, ..put() };
    let touched = Put { touch: true, counter: 7, ..totp };
    assert_eq!(apdu(&touched), hex(&format!("000100001d 710174 7316 2208 {seed} 7802")));
    assert_eq!(apdu(&Put { pin: true, ..totp }), hex(&format!("000100001d 710174 7316 2208 {seed} 7804")));
    assert_eq!(
        apdu(&Calculate { name: b"rfc", step: 0 }),
        hex("00a200010f 7103726663 7408 0000000000000000")
    );
    assert_eq!(apdu(&Calculate { name: b"t", step: 1 }), hex("00a200010d 710174 7408 0000000000000001"));
    assert_eq!(apdu(&SetPin(b"1234")), hex("00b4000006 8004 31323334"));
    assert_eq!(apdu(&VerifyPin(b"1234")), hex("00b2000006 8004 31323334"));
    assert_eq!(
        apdu(&ChangePin { old: b"1234", new: b"5678" }),
        hex("00b300000c 8004 31323334 8104 35363738")
    );
    assert_eq!(apdu(&Delete { name: b"rfc" }), hex("0002000005 7103726663"));
    // Without the Le that a card is sent.
    assert_eq!(apdu(&Reset)[..4], hex("0004dead"));
}

#[test]
fn the_longest_put_still_fits_one_short_apdu() {
    let longest = Put { name: &[b'x'; 127], secret: &[0xAA; 64], ..put() };
    assert_eq!(apdu(&longest).len(), 5 + 129 + 68 + 2 + 6);
}

#[test]
fn select_tells_version_serial_and_pin() {
    let decode = |text: &str| Select::decode(&hex(text));
    let version = Version(4, 16, 0);
    let serial = Some([0xDE, 0xAD, 0xBE, 0xEF]);
    let plain = Selected { version, pin: PinState::Unset, serial };
    assert_eq!(decode("7903041000 71080102030405060708 8f04deadbeef"), Ok(plain));
    let pin = PinState::Set { attempts: Some(8) };
    assert_eq!(decode("7903041000 820108 8f04deadbeef"), Ok(Selected { pin, ..plain }));
    let untold = PinState::Set { attempts: None };
    assert_eq!(decode("7903041000 8200 8f04deadbeef"), Ok(Selected { pin: untold, ..plain }));
    let old = decode("7903040a00 71080102030405060708").unwrap();
    assert_eq!((old.version, old.serial, old.is_nitrokey()), (Version(4, 10, 0), None, false));
    assert_eq!(decode(""), Err(Malformed::new("version is missing", 0)));
    assert_eq!(decode("79020410"), Err(Malformed::new("version is not 3 bytes", 0)));
    assert_eq!(decode("7903041000 8f0101"), Err(Malformed::new("serial is not 4 bytes", 5)));
}

#[test]
fn a_list_tells_kind_name_and_properties() {
    let told = |entries: Vec<Entry>| -> Vec<_> {
        entries.into_iter().map(|e| (e.address(), e.kind, e.algorithm, e.touch, e.pin, e.safe)).collect()
    };
    let (sha1, sha256) = (Some(Algorithm::Sha1), Some(Algorithm::Sha256));
    let listed =
        List::<true>::decode(&hex("7204 11 7077 04 7203 22 74 01 7203 31 72 02 7202 f1 00")).unwrap();
    assert_eq!(
        told(listed),
        [
            ("pw".to_owned(), Some(Kind::Hotp), sha1, Some(false), Some(false), true),
            ("t".to_owned(), Some(Kind::Totp), sha256, Some(true), Some(false), false),
            ("r".to_owned(), None, sha1, Some(false), Some(true), false),
            (String::new(), None, sha1, Some(false), Some(false), false),
        ]
    );
    let listed = List::<false>::decode(&hex("7203 11 7077 7202 21 74")).unwrap();
    assert_eq!(
        told(listed),
        [
            ("pw".to_owned(), Some(Kind::Hotp), sha1, None, None, false),
            ("t".to_owned(), Some(Kind::Totp), sha1, None, None, false),
        ]
    );
    assert_eq!(List::<true>::decode(&[]), Ok(vec![]));
}

#[test]
fn lengths_in_a_list_are_plain_bytes() {
    let name = [b'x'; 128];
    let data = [&[0x72, 0x82, 0x11][..], &name, &[0x01], &[0x72, 0x03, 0x11, b'y', 0x00]].concat();
    let names: Vec<_> = List::<true>::decode(&data).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, [name.to_vec(), b"y".to_vec()]);
}

#[test]
fn a_list_that_makes_no_sense_is_refused() {
    for (data, what, offset) in [
        ("72", "data object is cut off", 0),
        ("7203 11 61", "data object is cut off", 0),
        ("7203 11 61 00 7103 116100", "another tag than expected", 5),
        ("7200", "type and algorithm are missing", 0),
        ("7201 11", "properties are missing", 0),
    ] {
        assert_eq!(List::<true>::decode(&hex(data)), Err(Malformed::new(what, offset)), "{data}");
    }
}

#[test]
fn calculate_gives_the_passcodes_of_rfc_4226() {
    for (reply, passcode) in [
        ("7605064c93cf18", "755224"),
        ("76050641397eea", "287082"),
        ("76050841397eea", "94287082"),
        ("760506c1397eea", "287082"),
        ("7605063610f84c", "081804"),
    ] {
        assert_eq!(Calculate::decode(&hex(reply)).unwrap().passcode(), passcode, "{reply}");
    }
    for (reply, what) in [
        ("76040641397e", "truncated value is not 5 bytes"),
        ("76050341397eea", "passcode length is not 4 to 10"),
        ("76050b41397eea", "passcode length is not 4 to 10"),
        ("76050641397eea00", "data after the end"),
        ("7700", "another tag than expected"),
        ("", "data object is missing"),
    ] {
        assert_eq!(Calculate::decode(&hex(reply)).err().map(|error| error.what), Some(what), "{reply}");
    }
}

#[test]
fn a_status_means_what_its_command_says() {
    assert!(matches!(put().refusal(StatusWord(0x6A84)), Some(Error::Full)));
    assert!(put().refusal(StatusWord(0x6983)).is_none());
    assert!(Put::is_in_use(&StatusWord(0x6983).refused("PUT")));
    assert!(matches!(Delete { name: b"x" }.refusal(StatusWord(0x6A82)), Some(Error::SlotEmpty { .. })));
    assert!(matches!(VerifyPin(b"x").refusal(StatusWord(0x6300)), Some(Error::WrongLockCode { .. })));
    assert!(Select::means_absent(&StatusWord(0x6A82).refused("SELECT")));
    assert!(!Select::means_absent(&StatusWord(0x6F00).refused("SELECT")));
}

proptest! {
    #[test]
    fn no_reply_makes_a_decoder_panic(data in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Select::decode(&data);
        let _ = List::<true>::decode(&data);
        let _ = List::<false>::decode(&data);
        let _ = Calculate::decode(&data).map(Truncated::passcode);
    }
}
