use super::*;
use crate::formats::ImportedKind;
use crate::formats::limited::MAX_RECORD_BYTES;
use crate::otp::algorithm::Algorithm;
use crate::otp::passcode::Digits;
use crate::otp::secret::{Secret, SecretError};
use crate::otp::totp::TimeStep;

const SECRET: &str = "<Secret><PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue></Secret>";

fn read(file: impl AsRef<[u8]>) -> Vec<Result<ImportedCredential, FormatError>> {
    Records::new(file.as_ref()).collect()
}

fn container(packages: &str) -> String {
    format!(
        "<KeyContainer Version=\"1.0\" xmlns=\"urn:ietf:params:xml:ns:keyprov:pskc\">{packages}</KeyContainer>"
    )
}

/// A package with a serial, these algorithm parameters, this data and this policy.
fn package(parameters: &str, data: &str, policy: &str) -> String {
    format!(
        "<KeyPackage><DeviceInfo><SerialNo>987654321</SerialNo></DeviceInfo>\
         <Key Id=\"1\" Algorithm=\"urn:ietf:params:xml:ns:keyprov:pskc:hotp\">\
         <AlgorithmParameters>{parameters}</AlgorithmParameters><Data>{data}</Data><Policy>{policy}</Policy>\
         </Key></KeyPackage>"
    )
}

fn one(packages: &str) -> ImportedCredential {
    let [Ok(imported)] = &read(container(packages))[..] else { panic!("not one credential in {packages}") };
    imported.clone()
}

/// The problem of the first package, which must not keep the second from being read.
fn problem(package_text: &str) -> Problem {
    let records = read(container(&format!("{package_text}{}", package("", SECRET, ""))));
    let [Err(FormatError { location: Location::KeyPackage(1), problem }), Ok(second)] = &records[..] else {
        panic!("{records:?} of {package_text}")
    };
    assert_eq!(second.location, Location::KeyPackage(2));
    problem.clone()
}

/// The problem that ends the document.
fn end(document: impl AsRef<[u8]>) -> Problem {
    read(document).last().unwrap().as_ref().unwrap_err().problem.clone()
}

#[test]
fn a_package_gives_all_that_it_says() {
    let text = package(
        "<Suite>HMAC-SHA256</Suite><ResponseFormat Length=\"8\" Encoding=\"DECIMAL\"/>",
        &format!("{SECRET}<Counter><PlainValue> 42\n</PlainValue></Counter>"),
        "<ExpiryDate>2031-01-01T00:00:00Z</ExpiryDate><KeyUsage>OTP</KeyUsage>",
    )
    .replace(
        "<SerialNo>",
        "<Manufacturer>oath.Example &amp; Co</Manufacturer><Model>M<!-- -->1</Model><SerialNo>",
    );
    let secret = Secret::new(b"12345678901234567890".to_vec()).unwrap();
    let expected = ImportedCredential {
        kind: Some(ImportedKind::Hotp),
        counter: Some(42),
        algorithm: Some(Algorithm::Sha256),
        digits: Some(Digits::EIGHT),
        manufacturer: Some("oath.Example & Co".into()),
        model: Some("M1".into()),
        valid_until: Some("2031-01-01T00:00:00Z".into()),
        ..ImportedCredential::new(Location::KeyPackage(1), "987654321".into(), secret)
    };
    assert_eq!(one(&text), expected);
}

#[test]
fn totp_has_a_time_step() {
    let data = format!(
        "{SECRET}<Time><PlainValue>0</PlainValue></Time><TimeInterval><PlainValue>60</PlainValue></TimeInterval>"
    );
    let imported = one(&package("", &data, "").replace("pskc:hotp", "pskc:totp"));
    assert_eq!(imported.kind, Some(ImportedKind::Totp));
    assert_eq!(imported.time_step, Some(TimeStep::SECONDS_60));
    assert_eq!((imported.counter, imported.digits), (None, None));
}

#[test]
fn the_suite_names_the_hash_and_without_one_it_is_sha_1() {
    for (suite, algorithm) in [
        ("", Algorithm::Sha1),
        ("<Suite/>", Algorithm::Sha1),
        ("<Suite>SHA1</Suite>", Algorithm::Sha1),
        ("<Suite> HMAC-SHA512 </Suite>", Algorithm::Sha512),
        ("<Suite hashalgo=\"sha256\"/>", Algorithm::Sha256),
    ] {
        let imported = one(&package(suite, SECRET, ""));
        assert_eq!(imported.algorithm, Some(algorithm), "{suite}");
    }
}

#[test]
fn the_key_id_stands_in_for_a_missing_serial() {
    let text = package("", SECRET, "");
    assert_eq!(one(&text.replace("<SerialNo>987654321</SerialNo>", "")).serial, "1");
    assert_eq!(one(&text.replace("987654321", "  ")).serial, "1");
    let neither = text.replace("987654321", "").replace("Id=\"1\"", "");
    assert_eq!(problem(&neither), Problem::Missing { field: "serial" });
}

#[test]
fn any_prefix_or_none_will_do() {
    let plain = container(&package("", SECRET, ""));
    let prefixed = plain
        .replace("</", "\u{1}")
        .replace('<', "<p:")
        .replace('\u{1}', "</p:")
        .replace("xmlns=", "xmlns:p=");
    assert!(prefixed.starts_with("<p:KeyContainer"));
    assert_eq!(read(prefixed), read(plain));
}

#[test]
fn what_is_around_the_packages_does_not_disturb() {
    let document = format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?><?pi?>\n<KeyContainer><!-- < & -->\
         <EncryptionKey><KeyName>x</KeyName></EncryptionKey><MACMethod/>{}\
         <Signature><Data><Secret><PlainValue>no</PlainValue></Secret></Data></Signature></KeyContainer>\n<!-- -->\n",
        package("", SECRET, "")
    );
    let records = read(document);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].as_ref().unwrap().serial, "987654321");
}

#[test]
fn a_secret_may_be_wrapped_and_in_cdata() {
    let expected = one(&package("", SECRET, "")).secret;
    for value in [
        "\n  MTIzNDU2Nzg5MDEy\r\n\tMzQ1Njc4OTA=\n",
        "<![CDATA[MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=]]>",
        "&#77;TIzNDU2Nzg5MDEy<!-- -->MzQ1Njc4OTA&#x3d;",
    ] {
        let data = format!("<Secret><PlainValue>{value}</PlainValue></Secret>");
        assert_eq!(one(&package("", &data, "")).secret, expected, "{value}");
    }
}

#[test]
fn encrypted_values_are_refused_by_name() {
    let encrypted = |name: &str| format!("<{name}><EncryptedValue><x>AAAA</x></EncryptedValue></{name}>");
    assert_eq!(problem(&package("", &encrypted("Secret"), "")), Problem::Encrypted { field: "secret" });
    let data = format!("{SECRET}{}", encrypted("Counter"));
    assert_eq!(problem(&package("", &data, "")), Problem::Encrypted { field: "counter" });
}

#[test]
fn each_field_is_checked() {
    let value =
        |name: &str, value: &str| format!("{SECRET}<{name}><PlainValue>{value}</PlainValue></{name}>");
    let secret = |value: &str| format!("<Secret><PlainValue>{value}</PlainValue></Secret>");
    let response = |attributes: &str| package(&format!("<ResponseFormat {attributes}/>"), SECRET, "");
    let good = package("", SECRET, "");
    for (text, expected) in [
        (package("", "", ""), Problem::Missing { field: "secret" }),
        (package("", &secret(""), ""), Problem::Secret(SecretError::Empty)),
        (package("", &secret("MTIz!"), ""), Problem::Secret(SecretError::NotBase64)),
        (package("", &format!("{SECRET}{SECRET}"), ""), Problem::Duplicate { field: "secret" }),
        (package("", &value("Counter", "-1"), ""), Problem::NotANumber { field: "counter" }),
        (
            package("", &value("TimeInterval", "0"), ""),
            Problem::TimeStep(TimeStep::from_secs(0).unwrap_err()),
        ),
        (package("", &value("Time", "soon"), ""), Problem::NotANumber { field: "time" }),
        (package("<Suite>MD5</Suite>", SECRET, ""), Problem::UnknownAlgorithm),
        (
            package("<Suite>OCRA-1:HOTP-SHA1-6:QN08</Suite>", SECRET, ""),
            Problem::Unsupported(Unsupported::Ocra),
        ),
        (response("Length=\"5\" Encoding=\"DECIMAL\""), Problem::Digits(Digits::new(5).unwrap_err())),
        (
            response("Length=\"6\" Encoding=\"HEXADECIMAL\""),
            Problem::Unsupported(Unsupported::ResponseEncoding),
        ),
        (response("Length=\"6\" CheckDigits=\"true\""), Problem::Unsupported(Unsupported::CheckDigits)),
        (response("Length=\"6\" Length=\"8\""), Problem::Malformed { offset: 0 }),
        (good.replace("pskc:hotp", "pskc:pin"), Problem::Unsupported(Unsupported::KeyAlgorithm)),
        (
            good.replace("urn:ietf:params:xml:ns:keyprov:pskc:hotp", "hotp"),
            Problem::Unsupported(Unsupported::KeyAlgorithm),
        ),
        (good.replace("987654321", &"9".repeat(65)), Problem::TooLong { field: "serial", limit: 64 }),
        (good.replace("987654321", &"9".repeat(5000)), Problem::TooLong { field: "serial", limit: 4096 }),
        (good.replace("987654321", "9&#7;8"), Problem::ControlCharacter { field: "serial" }),
        (good.replace("</Key>", "</Key><Key></Key>"), Problem::Duplicate { field: "key" }),
    ] {
        let mut found = problem(&text);
        if let Problem::Malformed { offset } = &mut found {
            *offset = 0;
        }
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_policy_that_cannot_be_kept_forbids_the_key() {
    for policy in [
        "<NumberOfTransactions>5</NumberOfTransactions>",
        "<x:Unheard xmlns:x=\"y\"/>",
        "<KeyUsage>CR</KeyUsage>",
    ] {
        let expected = Problem::Unsupported(Unsupported::Policy);
        assert_eq!(problem(&package("", SECRET, policy)), expected, "{policy}");
    }
    one(&package("", SECRET, "<KeyUsage>CR</KeyUsage><KeyUsage>OTP</KeyUsage><PINPolicy MinLength=\"4\"/>"));
}

#[test]
fn document_types_and_entities_are_refused() {
    let good = container(&package("", SECRET, ""));
    assert_eq!(end(format!("<!DOCTYPE k [<!ENTITY s \"x\">]>{good}")), Problem::Dtd);
    assert_eq!(end(good.replace("987654321", "&s;")), Problem::Dtd);
    assert_eq!(problem(&package("", SECRET, "").replace("Id=\"1\"", "Id=\"&s;\"")), Problem::Dtd);
}

#[test]
fn an_unfinished_document_is_an_error_after_what_could_be_read() {
    let good = container(&package("", SECRET, ""));
    let records = read(good.strip_suffix("</KeyContainer>").unwrap());
    assert!(records[0].is_ok());
    assert_eq!(records[1], Err(FormatError::new(Location::KeyPackage(1), Problem::Unfinished)));
    for length in 1..good.len() {
        let records = read(&good[..length]);
        assert!(records.last().unwrap().is_err(), "cut at {length}: {records:?}");
        assert!(records.len() <= 2);
    }
}

#[test]
fn what_is_not_pskc_is_refused() {
    assert_eq!(end("<Tokens/>"), Problem::Unsupported(Unsupported::OtherXml));
    assert_eq!(end("<KeyContainer><Device/></KeyContainer>"), Problem::Unsupported(Unsupported::PskcDialect));
    assert_eq!(end("<KeyContainer/>"), Problem::NoKeys);
    assert_eq!(end("<KeyContainer></KeyContainer>"), Problem::NoKeys);
    assert_eq!(end(""), Problem::Unfinished);
    assert_eq!(end(b"<KeyContainer>\xe9</KeyContainer>"), Problem::NotUtf8);
    let good = container(&package("", SECRET, ""));
    for junk in ["<KeyContainer/>", "junk"] {
        assert!(matches!(end(format!("{good}{junk}")), Problem::Malformed { .. }), "{junk}");
    }
    assert!(matches!(end(good.replace("</Data>", "</Date>")), Problem::Malformed { .. }));
    assert!(matches!(end(format!("junk{good}")), Problem::Malformed { .. }));
}

#[test]
fn depth_and_size_are_limited() {
    let deep = container(&format!("<KeyPackage>{}", "<a>".repeat(100_000)));
    assert_eq!(end(deep), Problem::TooDeep { limit: 32 });
    let long = container(&package("", SECRET, "").replace("987654321", &"9".repeat(MAX_RECORD_BYTES)));
    assert_eq!(end(long), Problem::RecordTooLong { limit: MAX_RECORD_BYTES });
    let tag = format!("<KeyContainer a=\"{}\">", "x".repeat(MAX_RECORD_BYTES));
    assert_eq!(end(tag), Problem::RecordTooLong { limit: MAX_RECORD_BYTES });
    let in_pieces = container(&package("", SECRET, "").replace("987654321", &"9<!-- -->".repeat(5_000)));
    assert_eq!(end(in_pieces), Problem::TooLong { field: "serial", limit: 4096 });
}

#[test]
fn text_that_is_not_looked_at_may_be_long() {
    let text = package("", SECRET, "")
        .replace("<Data>", &format!("<FriendlyName>{}</FriendlyName><Data>", "x".repeat(100_000)));
    assert_eq!(one(&text).serial, "987654321");
}

#[test]
fn markup_within_a_field_is_refused_rather_than_half_of_it_read() {
    let broken = SECRET.replace("MTIz", "MTIz<x/>");
    assert_eq!(problem(&package("", &broken, "")), Problem::Unsupported(Unsupported::OtherXml));
}
