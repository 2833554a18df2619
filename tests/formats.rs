//! Seed files: the samples as whole values, and hostile ones. Batch assignment: whatever is written reads back.

use std::io::Read;

use fobd::formats::assign_csv;
use fobd::formats::charset::decode;
use fobd::formats::detect::detect;
use fobd::formats::error::FormatError;
use fobd::formats::{Format, ImportedCredential, ImportedKind, Location, ProductCodes, read};
use fobd::otp::algorithm::Algorithm;
use fobd::otp::hotp::Generator;
use fobd::otp::passcode::Digits;
use fobd::otp::secret::Secret;
use fobd::otp::totp::TimeStep;
use proptest::prelude::*;

const OATH_CSV: &[u8] = include_bytes!("samples/oath.csv");
const PSKC_HOTP: &[u8] = include_bytes!("samples/pskc-hotp.xml");
const PSKC_TOTP: &[u8] = include_bytes!("samples/pskc-totp.xml");
const DEEPNET: &[u8] = include_bytes!("samples/deepnet.xml");

const ASSIGNMENTS: &str = "domain,loginName,manufacturerCode,productCode,serial,status,pin\n\
    \"test domain\", \"john.smith\", \"DN\", \"MT\", \"10000\", \"ACTIVE\", \"87654321\"\n\
    \"test domain\", \"jane.smith\", \"DN\", \"MT\", \"10001\", \"ACTIVE\", \"87654321\"\n";

type Row = Result<ImportedCredential, FormatError>;

fn rows(file: &[u8]) -> Vec<ImportedCredential> {
    read(file, detect(file).unwrap()).map(Result::unwrap).collect()
}

/// The secret of the RFCs for a hash of so many bytes.
fn secret(bytes: usize) -> Secret {
    Secret::new(b"1234567890".iter().copied().cycle().take(bytes).collect()).unwrap()
}

fn imported(location: Location, serial: &str, secret: Secret) -> ImportedCredential {
    ImportedCredential {
        location,
        serial: serial.into(),
        secret,
        kind: None,
        counter: None,
        time_step: None,
        algorithm: Some(Algorithm::Sha1),
        digits: None,
        manufacturer: None,
        model: None,
        valid_from: None,
        valid_until: None,
        description: None,
        product_codes: None,
    }
}

#[test]
fn the_oath_csv_sample_gives_its_six_tokens() {
    let line = |line, serial: &str, bytes| imported(Location::Line(line), serial, secret(bytes));
    let (hotp, totp) = (Some(ImportedKind::Hotp), Some(ImportedKind::Totp));
    let (six, eight) = (Some(Digits::SIX), Some(Digits::EIGHT));
    let (half_minute, minute) = (Some(TimeStep::SECONDS_30), Some(TimeStep::SECONDS_60));
    let expected = [
        ImportedCredential { algorithm: None, ..line(3, "TEST0001", 20) },
        ImportedCredential {
            kind: hotp,
            digits: six,
            counter: Some(5),
            algorithm: None,
            ..line(4, "TEST0002", 20)
        },
        ImportedCredential { kind: totp, digits: eight, time_step: half_minute, ..line(5, "TEST0003", 20) },
        ImportedCredential {
            kind: totp,
            digits: eight,
            time_step: minute,
            algorithm: None,
            ..line(6, "TEST0004", 32)
        },
        ImportedCredential {
            kind: totp,
            digits: eight,
            time_step: half_minute,
            algorithm: Some(Algorithm::Sha512),
            ..line(7, "TEST0005", 64)
        },
        ImportedCredential { kind: hotp, digits: eight, ..line(8, "TEST0006", 20) },
    ];
    assert_eq!(rows(OATH_CSV), expected);
}

#[test]
fn the_pskc_samples_give_their_tokens() {
    let package = |number, serial: &str, bytes| imported(Location::KeyPackage(number), serial, secret(bytes));
    let expected = [
        ImportedCredential {
            kind: Some(ImportedKind::Hotp),
            counter: Some(7),
            digits: Some(Digits::EIGHT),
            manufacturer: Some("Example Tokens".into()),
            model: Some("Button & Display".into()),
            valid_from: Some("2026-01-01T00:00:00Z".into()),
            valid_until: Some("2031-01-01T00:00:00Z".into()),
            ..package(1, "2600000000001", 20)
        },
        ImportedCredential { kind: Some(ImportedKind::Hotp), ..package(2, "key-without-a-device", 20) },
    ];
    assert_eq!(rows(PSKC_HOTP), expected);

    let expected = [
        ImportedCredential {
            kind: Some(ImportedKind::Totp),
            digits: Some(Digits::SIX),
            time_step: Some(TimeStep::SECONDS_60),
            manufacturer: Some("Example Tokens".into()),
            ..package(1, "2600000000101", 20)
        },
        ImportedCredential {
            kind: Some(ImportedKind::Totp),
            algorithm: Some(Algorithm::Sha256),
            digits: Some(Digits::EIGHT),
            time_step: Some(TimeStep::SECONDS_30),
            ..package(2, "2600000000102", 32)
        },
    ];
    assert_eq!(rows(PSKC_TOTP), expected);
}

#[test]
fn the_dualshield_sample_gives_its_two_tokens() {
    let token = |number, serial: &str| ImportedCredential {
        kind: Some(ImportedKind::Totp),
        algorithm: Some(Algorithm::Sha256),
        digits: Some(Digits::EIGHT),
        time_step: Some(TimeStep::SECONDS_30),
        product_codes: Some(ProductCodes { manufacturer: "DN".into(), product: "ST".into() }),
        ..imported(Location::Token(number), serial, secret(32))
    };
    let expected = [
        token(1, "10000001"),
        ImportedCredential { description: Some("Spare & reserve".into()), ..token(2, "10000002") },
    ];
    assert_eq!(rows(DEEPNET), expected);
}

#[test]
fn an_imported_secret_makes_the_passcodes_of_the_rfc() {
    let token = &rows(PSKC_TOTP)[1];
    let parameters = token.parameters(fobd::otp::credential::Parameters::HOTP);
    let generator = Generator::new(&token.secret, parameters.algorithm, parameters.digits);
    assert_eq!(generator.at(1).as_str(), "46119246");
}

#[test]
fn a_hundred_thousand_lines_are_read_without_holding_them() {
    struct Lines(u32, Vec<u8>);
    impl Read for Lines {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.1.is_empty() && self.0 < 100_000 {
                self.0 += 1;
                self.1 = format!("F{},3132333435363738393031323334353637383930\n", self.0).into_bytes();
            }
            let length = self.1.len().min(buffer.len());
            buffer[..length].copy_from_slice(&self.1[..length]);
            self.1.drain(..length);
            Ok(length)
        }
    }
    let last = read(Lines(0, Vec::new()), Format::OathCsv).map(Result::unwrap).last().unwrap();
    assert_eq!((last.serial.as_str(), last.location), ("F100000", Location::Line(100_000)));
}

/// Gives a file in pieces of these sizes, over and over.
struct Pieces<'f> {
    file: &'f [u8],
    sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = self.sizes.next().unwrap_or(1).min(buffer.len()).min(self.file.len());
        let (piece, rest) = self.file.split_at(size);
        buffer[..size].copy_from_slice(piece);
        self.file = rest;
        Ok(size)
    }
}

/// A good file with a few bytes overwritten, cut out or doubled.
fn spoilt() -> impl Strategy<Value = (Vec<u8>, Format)> {
    let good = prop::sample::select(vec![
        (OATH_CSV, Format::OathCsv),
        (PSKC_HOTP, Format::Pskc),
        (PSKC_TOTP, Format::Pskc),
        (DEEPNET, Format::Deepnet),
    ]);
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(b"<>&;\"'#,\n\r\0/!?-[]=".to_vec()),
        prop::sample::select(vec![0xff_u8, 0xef, 0xc3])
    ];
    let change = (any::<prop::sample::Index>(), 0..40_usize, prop::option::of(byte), any::<bool>());
    (good, prop::collection::vec(change, 1..4)).prop_map(|((file, format), changes)| {
        let mut file = file.to_vec();
        for (at, length, byte, double) in changes {
            let at = at.index(file.len());
            let end = (at + length).min(file.len());
            match (byte, double) {
                (Some(byte), _) => file[at] = byte,
                (None, true) => {
                    let copy = file[at..end].to_vec();
                    file.splice(at..at, copy);
                }
                (None, false) => drop(file.drain(at..end)),
            }
            if file.is_empty() {
                file.push(b' ');
            }
        }
        (file, format)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_reader_panic(file in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = detect(&file);
        for format in [Format::OathCsv, Format::Pskc, Format::Deepnet] {
            // Each record takes at least a byte, and the end may be one error more.
            prop_assert!(read(&file[..], format).count() <= file.len() + 1);
        }
    }

    #[test]
    fn a_spoilt_file_gives_credentials_or_errors_and_an_end((file, format) in spoilt()) {
        let _ = detect(&file);
        let rows: Vec<Row> = read(&file[..], format).take(1000).collect();
        prop_assert!(!rows.is_empty() && rows.len() < 1000);
        for row in rows {
            match row {
                Ok(imported) => prop_assert!(!imported.serial.is_empty()),
                Err(error) => {
                    // Debug too: no error holds what its message leaves out.
                    let told = format!("{error} {error:?}");
                    for secret in ["MTIzNDU2", "31323334", "GEZDGNBV", "gezd gnbv"] {
                        prop_assert!(!told.contains(secret), "{}", told);
                    }
                }
            }
        }
    }

    #[test]
    fn the_pieces_a_stream_comes_in_do_not_matter(
        (file, format) in spoilt(),
        // The first one must hold a byte order mark.
        sizes in prop::collection::vec(4..200_usize, 1..8),
    ) {
        let whole: Vec<Row> = read(&file[..], format).collect();
        let pieces = Pieces { file: &file, sizes: sizes.into_iter().cycle() };
        prop_assert_eq!(read(pieces, format).collect::<Vec<Row>>(), whole);
    }

    #[test]
    fn any_assignment_reads_back_as_it_was_written(
        words in prop::collection::vec("[a-c0-9é\",;'#]([a-c0-9é\",;'# ]{0,20}[a-c0-9é\",;'#])?", 5),
        pin in "[a-c0-9é\",;'# ]{1,20}",
        blanks in "[ \t]{0,3}",
    ) {
        let [domain, login_name, manufacturer_code, product_code, serial] = &words[..] else { panic!() };
        let quoted = |text: &String| format!("{blanks}\"{}\"{blanks}", text.replace('"', "\"\""));
        let cells: Vec<_> = words.iter().chain([&pin]).map(quoted).collect();
        let text =
            format!("domain,loginName,manufacturerCode,productCode,serial,pin\r\n{}\r\n", cells.join(","));
        let rows: Vec<_> = assign_csv::rows(&text).map(Result::unwrap).collect();
        let [row] = &rows[..] else { panic!("{} rows", rows.len()) };
        prop_assert_eq!(
            [&row.domain, &row.login_name, &row.manufacturer_code, &row.product_code, &row.serial],
            [domain, login_name, manufacturer_code, product_code, serial],
        );
        prop_assert_eq!(row.pin.as_ref().map(|pin| pin.as_str()), Some(pin.as_str()));
    }

    #[test]
    fn a_spoilt_assignment_gives_rows_or_errors_without_a_pin(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut file = ASSIGNMENTS.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        for charset in ["UTF-8", "windows-1252", "UTF-16LE", "GB18030"] {
            let Ok(text) = decode(&file, charset) else { continue };
            let rows: Vec<_> = assign_csv::rows(&text).collect();
            prop_assert!(!rows.is_empty() && rows.len() <= text.lines().count());
            for error in rows.into_iter().filter_map(Result::err) {
                let told = format!("{error} {error:?}");
                prop_assert!(!told.contains("87654321"), "{}", told);
            }
        }
    }
}
