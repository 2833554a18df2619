use super::*;
use crate::otp::passcode::Digits;
use crate::otp::secret::SecretError;
use crate::otp::totp::TimeStep;

const KEY: &str = "3132333435363738393031323334353637383930";

fn read(file: impl AsRef<[u8]>) -> Vec<Result<ImportedCredential, FormatError>> {
    Records::new(file.as_ref()).collect()
}

fn one(line: &str) -> ImportedCredential {
    let [Ok(imported)] = &read(line)[..] else { panic!("not one credential in {line}") };
    imported.clone()
}

/// The problem of a file of one line.
fn problem(line: &str) -> Problem {
    let [Err(FormatError { location: Location::Line(1), problem })] = &read(line)[..] else {
        panic!("not one error in line 1 of {line}")
    };
    problem.clone()
}

fn serials_and_lines(file: &str) -> Vec<(String, Location)> {
    read(file).into_iter().map(Result::unwrap).map(|imported| (imported.serial, imported.location)).collect()
}

#[test]
fn serial_and_key_are_enough() {
    let secret = Secret::from_hex(KEY).unwrap();
    let expected = ImportedCredential::new(Location::Line(1), "F1".into(), secret);
    for line in [format!("F1,{KEY}"), format!(" F1 ,\t{KEY} , , ,,\r\n"), format!("\"F1\",\"{KEY}\"\n")] {
        assert_eq!(one(&line), expected, "{line}");
    }
}

#[test]
fn the_fifth_column_is_a_counter_or_a_time_step() {
    let hotp = one(&format!("F1,{KEY},hotp,8,500"));
    assert_eq!(hotp.kind, Some(ImportedKind::Hotp));
    assert_eq!((hotp.digits, hotp.counter, hotp.time_step), (Some(Digits::EIGHT), Some(500), None));

    let totp = one(&format!("F1,{KEY},TOTP,6,60"));
    assert_eq!(totp.kind, Some(ImportedKind::Totp));
    assert_eq!((totp.digits, totp.counter), (Some(Digits::SIX), None));
    assert_eq!(totp.time_step, Some(TimeStep::SECONDS_60));
}

#[test]
fn in_a_line_of_linotp_for_hotp_it_means_nothing() {
    let imported = one(&format!("F1,{KEY},hotp,6,30,sha256"));
    assert_eq!((imported.counter, imported.time_step), (None, None));
    assert_eq!(imported.algorithm, Some(Algorithm::Sha256));
}

#[test]
fn the_length_of_the_key_tells_nothing_of_the_hash() {
    for bytes in [16, 20, 32, 64] {
        assert_eq!(one(&format!("F1,{}", "ab".repeat(bytes))).algorithm, None, "{bytes}");
    }
}

#[test]
fn lines_are_counted_through_comments_headers_and_empty_lines() {
    let file = format!("# a comment, \"with\" commas,,,,,,\n\nSerial No,Key\n\nF1,{KEY}\n  \n#\nF2,{KEY}");
    let expected = vec![("F1".to_owned(), Location::Line(5)), ("F2".to_owned(), Location::Line(8))];
    assert_eq!(serials_and_lines(&file), expected);
    assert_eq!(serials_and_lines(&file.replace('\n', "\r\n")), expected);
    assert_eq!(serials_and_lines(&format!("\u{feff}{file}")), expected);
    assert_eq!(serials_and_lines(&format!("\u{feff}F1,{KEY}")), [("F1".to_owned(), Location::Line(1))]);
}

#[test]
fn a_bad_line_is_named_and_the_next_is_read() {
    let lines = read(format!("F1,{KEY}\nF2,31323g\nF3,{KEY}\n"));
    assert_eq!(lines.len(), 3);
    assert!(lines[0].is_ok() && lines[2].is_ok());
    let error = lines[1].as_ref().unwrap_err();
    assert_eq!(error.to_string(), "line 2: key: the secret is not hexadecimal: see character 6");
}

#[test]
fn each_field_is_checked() {
    let line = |rest: &str| format!("F1,{KEY},{rest}");
    for (line, expected) in [
        (format!(",{KEY}"), Problem::Missing { field: "serial" }),
        ("F1".to_owned(), Problem::Missing { field: "key" }),
        (format!("1.23E+12,{KEY}"), Problem::SpreadsheetNumber { field: "serial" }),
        (format!("{},{KEY}", "x".repeat(65)), Problem::TooLong { field: "serial", limit: 64 }),
        ("F1,313".into(), Problem::Secret(SecretError::OddHex)),
        (format!("F1,{}", "31".repeat(129)), Problem::Secret(SecretError::TooLong)),
        (line("motp"), Problem::UnknownType),
        (line("ocra2,OCRA-1:HOTP-SHA1-6:QN08"), Problem::Unsupported(Unsupported::Ocra)),
        (line("tan,111111 222222"), Problem::Unsupported(Unsupported::Tan)),
        (line("hotp,5"), Problem::Digits(Digits::new(5).unwrap_err())),
        (line("hotp,six"), Problem::NotANumber { field: "digits" }),
        (line("hotp,256"), Problem::OutOfRange { field: "digits" }),
        (line("hotp,6,-1"), Problem::NotANumber { field: "counter" }),
        (line("hotp,6,18446744073709551616"), Problem::OutOfRange { field: "counter" }),
        (line("hotp,6,x,sha1"), Problem::NotANumber { field: "time step" }),
        (line("totp,6,0"), Problem::TimeStep(TimeStep::from_secs(0).unwrap_err())),
        (line(",,30"), Problem::Missing { field: "type" }),
        (line("totp,6,30,md5"), Problem::UnknownAlgorithm),
        (line("totp,6,30,sha1,x"), Problem::TooManyColumns { limit: 6 }),
    ] {
        assert_eq!(problem(&line), expected, "{line}");
    }
    assert_eq!(read(b"F\xe9,3132")[0].as_ref().unwrap_err().problem, Problem::NotUtf8);
}

#[test]
fn version_2_with_its_user_columns_is_refused_at_its_line() {
    let error = FormatError::new(Location::Line(1), Problem::Unsupported(Unsupported::CsvVersion));
    assert_eq!(read(format!("# version: 2\nhans,res,realm,F1,{KEY}\n")), [Err(error)]);
    assert!(read(format!("#Version: 1\nF1,{KEY}\n"))[0].is_ok());
}

#[test]
fn a_header_is_taken_for_one_in_the_first_line_only() {
    let error = Problem::Secret(SecretError::NotHex { position: 1 });
    let lines = read(format!("F1,{KEY}\nserial,key\n"));
    assert_eq!(lines[1].as_ref().unwrap_err().problem, error);
}

#[test]
fn a_quote_that_is_never_closed_swallows_nothing() {
    let lines = read(format!("F1,{KEY}\nF2,\"{KEY}\n# \"\nF3,{KEY}\n"));
    let error = Problem::Secret(SecretError::NotHex { position: 1 });
    assert_eq!(lines[1], Err(FormatError::new(Location::Line(2), error)));
    assert_eq!(lines[2].as_ref().unwrap().location, Location::Line(4));
    assert_eq!(lines.len(), 3);
}

#[test]
fn the_line_ends_of_an_old_mac_are_an_error() {
    assert_eq!(problem(&format!("F1,{KEY}\rF2,{KEY}\r")), Problem::ControlCharacter { field: "line" });
}

#[test]
fn a_comment_may_be_in_any_encoding() {
    assert!(read([b"# Schl\xfcssel\n", format!("F1,{KEY}").as_bytes()].concat())[0].is_ok());
}

#[test]
fn a_file_without_keys_is_an_error() {
    let error = FormatError::new(Location::File, Problem::NoKeys);
    for file in ["", "\n\n", "# nothing\n", "serial,key\n"] {
        assert_eq!(read(file), [Err(error.clone())], "{file}");
    }
}

#[test]
fn a_line_without_end_ends_the_file() {
    let mut file = format!("F1,{KEY}\n").into_bytes();
    file.resize(2 * MAX_RECORD_BYTES, b'x');
    let lines = read(&file);
    assert_eq!(lines.len(), 2);
    assert!(lines[0].is_ok());
    assert_eq!(lines[1].as_ref().unwrap_err().problem, Problem::RecordTooLong { limit: MAX_RECORD_BYTES });
}

#[test]
fn a_stream_that_fails_is_not_taken_for_its_end() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
    }
    let line = format!("F1,{KEY}\n");
    let lines: Vec<_> = Records::new(line.as_bytes().chain(Failing)).collect();
    assert!(lines[0].is_ok());
    assert_eq!(lines[1].as_ref().unwrap_err().problem, Problem::Read(std::io::ErrorKind::ConnectionReset));
    assert_eq!(lines.len(), 2);
}
