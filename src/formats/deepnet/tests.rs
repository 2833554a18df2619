use super::*;
use crate::formats::limited::MAX_RECORD_BYTES;

const SEED: &str = "3132333435363738393031323334353637383930";
const HEADER: &str = "<header><manufacturerCode>DN</manufacturerCode><productCode>ST</productCode>\
                      <encrypt>NONE</encrypt><encode>HEX</encode></header>";

fn read(file: impl AsRef<[u8]>) -> Vec<Result<ImportedCredential, FormatError>> {
    Records::new(file.as_ref()).collect()
}

fn file(header: &str, tokens: &str) -> String {
    format!("<?xml version=\"1.0\"?>\n<data>\n {header}\n <tokens>{tokens}</tokens>\n</data>\n")
}

fn token(serial: &str, seed: &str) -> String {
    format!("<token><serial>{serial}</serial><seed>{seed}</seed></token>")
}

/// The header with these fields besides.
fn header_with(fields: &str) -> String {
    HEADER.replace("</header>", &format!("{fields}</header>"))
}

fn one(file: &str) -> ImportedCredential {
    let [Ok(imported)] = &read(file)[..] else { panic!("not one credential in {file}") };
    imported.clone()
}

/// The credential that a plain token under [`HEADER`] gives.
fn plain() -> ImportedCredential {
    let codes = ProductCodes { manufacturer: "DN".into(), product: "ST".into() };
    ImportedCredential {
        product_codes: Some(codes),
        ..ImportedCredential::new(Location::Token(1), "1001".into(), Secret::from_hex(SEED).unwrap())
    }
}

/// The problem of the first token, which must not keep the second from being read.
fn problem(token_text: &str) -> Problem {
    let records = read(file(HEADER, &format!("{token_text}{}", token("1002", SEED))));
    let [Err(FormatError { location: Location::Token(1), problem }), Ok(second)] = &records[..] else {
        panic!("{records:?} of {token_text}")
    };
    assert_eq!((second.location, second.serial.as_str()), (Location::Token(2), "1002"));
    problem.clone()
}

/// The one error of a file of which nothing is read.
fn refusal(file: impl AsRef<[u8]>) -> Problem {
    let records = read(file);
    let [Err(FormatError { location: Location::File, problem })] = &records[..] else {
        panic!("{records:?}")
    };
    problem.clone()
}

/// The problem that ends the file.
fn end(file: impl AsRef<[u8]>) -> Problem {
    read(file).last().unwrap().as_ref().unwrap_err().problem.clone()
}

#[test]
fn a_token_gives_what_the_header_says() {
    assert_eq!(one(&file(HEADER, &token("1001", SEED))), plain());
    let header = header_with("<digits>8</digits><timeWindow>60</timeWindow><crypto>HmacSHA256</crypto>");
    let text =
        token("1001", SEED).replace("</token>", "<description> for\n the\tdesk </description></token>");
    let expected = ImportedCredential {
        kind: Some(ImportedKind::Totp),
        digits: Some(Digits::EIGHT),
        time_step: Some(TimeStep::SECONDS_60),
        algorithm: Some(Algorithm::Sha256),
        description: Some("for the desk".into()),
        ..plain()
    };
    assert_eq!(one(&file(&header, &text)), expected);
}

#[test]
fn without_a_time_window_the_product_says_whether_it_is_totp() {
    assert_eq!(one(&file(&header_with("<timeWindow/>"), &token("1001", SEED))).kind, None);
    let header = header_with("<crypto>HmacSHA1</crypto><digits>6</digits>");
    let imported = one(&file(&header, &token("1001", SEED)));
    assert_eq!((imported.kind, imported.algorithm), (None, Some(Algorithm::Sha1)));
}

#[test]
fn a_seed_is_written_as_the_header_says() {
    for (encoding, seed) in [
        ("hex", SEED),
        ("BASE32", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
        (" Base64 ", "MTIzNDU2Nzg5MDEy\n MzQ1Njc4OTA="),
        ("BASE64", "<![CDATA[MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=]]>"),
    ] {
        let header = HEADER.replace("<encode>HEX", &format!("<encode>{encoding}"));
        assert_eq!(one(&file(&header, &token(" 1001 ", seed))), plain(), "{encoding}");
    }
}

#[test]
fn what_dualshield_writes_besides_is_passed_over() {
    let header =
        header_with("<synchronisation>30</synchronisation><syncsize>2</syncsize><x><encode>?</encode></x>");
    let text = token("1001", SEED)
        .replace("<seed>", "<deviceId>9</deviceId><deviceModel><serial>8</serial></deviceModel><seed>");
    assert_eq!(one(&file(&header, &text)), plain());
    assert_eq!(one(&file(&HEADER.replace("<encrypt>NONE</encrypt>", ""), &token("1001", SEED))), plain());
}

#[test]
fn a_header_without_a_field_is_refused_by_its_name() {
    for field in ["manufacturerCode", "productCode", "encode"] {
        let renamed = HEADER.replace(&format!("{field}>"), "other>");
        assert_eq!(refusal(file(&renamed, &token("1", SEED))), Problem::Missing { field }, "{field}");
    }
    assert_eq!(refusal(file("", &token("1", SEED))), Problem::Missing { field: "header" });
    let late = format!("<data><tokens>{}</tokens>{HEADER}</data>", token("1", SEED));
    assert_eq!(refusal(late), Problem::Missing { field: "header" });
}

#[test]
fn each_field_of_the_header_is_checked() {
    let missing_encode = HEADER.replace("<encode>HEX</encode>", "");
    let with_encode =
        |encode: &str| missing_encode.replace("</header>", &format!("<encode>{encode}</encode></header>"));
    for (header, expected) in [
        (with_encode("OCTAL"), Problem::UnknownEncoding),
        (with_encode(" "), Problem::Missing { field: "encode" }),
        (header_with("<encode>HEX</encode>"), Problem::Duplicate { field: "encode" }),
        (HEADER.replace("NONE", "AES256"), Problem::Unsupported(Unsupported::EncryptedSeeds)),
        (HEADER.replace("NONE", "ROT13"), Problem::UnknownEncryption),
        (header_with("<digits>5</digits>"), Problem::Digits(Digits::new(5).unwrap_err())),
        (header_with("<digits>six</digits>"), Problem::NotANumber { field: "digits" }),
        (header_with("<timeWindow>0</timeWindow>"), Problem::TimeStep(TimeStep::from_secs(0).unwrap_err())),
        (header_with("<crypto>HmacMD5</crypto>"), Problem::UnknownAlgorithm),
        (HEADER.replace("DN", &"D".repeat(129)), Problem::TooLong { field: "manufacturerCode", limit: 128 }),
        (HEADER.replace("ST", &"S".repeat(5000)), Problem::TooLong { field: "productCode", limit: 4096 }),
        (format!("{HEADER}{HEADER}"), Problem::Duplicate { field: "header" }),
    ] {
        assert_eq!(refusal(file(&header, &token("1", SEED))), expected, "{header}");
    }
}

#[test]
fn each_field_of_a_token_is_checked() {
    let good = token("1001", SEED);
    for (text, expected) in [
        ("<token/>".to_owned(), Problem::Missing { field: "serial" }),
        (token("", SEED), Problem::Missing { field: "serial" }),
        (token("1.0E+12", SEED), Problem::SpreadsheetNumber { field: "serial" }),
        (token(&"9".repeat(65), SEED), Problem::TooLong { field: "serial", limit: 64 }),
        (token("1001", " "), Problem::Missing { field: "seed" }),
        ("<token><serial>1001</serial></token>".to_owned(), Problem::Missing { field: "seed" }),
        (token("1001", "313"), Problem::Secret(SecretError::OddHex)),
        (token("1001", "GEZDGNBV"), Problem::Secret(SecretError::NotHex { position: 1 })),
        (token("1001", &"31".repeat(129)), Problem::Secret(SecretError::TooLong)),
        (token("1001", &"31".repeat(3000)), Problem::TooLong { field: "seed", limit: 4096 }),
        (good.replace("</token>", "<seed>00</seed></token>"), Problem::Duplicate { field: "seed" }),
        (good.replace("</token>", "<serial>2</serial></token>"), Problem::Duplicate { field: "serial" }),
        (
            good.replace("</token>", &format!("<description>{}</description></token>", "x".repeat(257))),
            Problem::TooLong { field: "description", limit: 256 },
        ),
    ] {
        assert_eq!(problem(&text), expected, "{text}");
    }
}

#[test]
fn a_seed_in_the_wrong_encoding_is_named_by_its_token_and_never_shown() {
    let base32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ8";
    for (encoding, seed, expected) in [
        ("HEX", base32, "token 2: key: the secret is not hexadecimal: see character 1"),
        ("BASE32", base32, "token 2: key: the secret is not base32: see character 32"),
        ("BASE64", "MTIz!NDU2", "token 2: key: the secret is not base64"),
    ] {
        let header = HEADER.replace("<encode>HEX", &format!("<encode>{encoding}"));
        let good = match encoding {
            "BASE32" => "GEZDGNBVGY3TQOJQ",
            _ => "31323334",
        };
        let records = read(file(&header, &format!("{}{}", token("1", good), token("2", seed))));
        assert!(records[0].is_ok());
        let error = records[1].as_ref().unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains(seed));
    }
}

#[test]
fn the_form_of_uap_version_3_is_refused_by_name() {
    let error = FormatError::new(Location::File, refusal("<tokenList><tokenInfo/></tokenList>"));
    assert_eq!(
        error.to_string(),
        "file: the tokenList of Deepnet UAP version 3, the form before DualShield 5, cannot be read"
    );
}

#[test]
fn other_elements_are_refused_where_tokens_could_hide_in_them() {
    let other = Problem::Unsupported(Unsupported::OtherXml);
    assert_eq!(refusal("<Data/>"), other);
    assert_eq!(refusal("<data><rows/></data>"), other);
    assert_eq!(refusal(file(HEADER, "<Token/>")), other);
    assert_eq!(problem(&token("1001", "3132<b>33</b>34")), other);
    assert_eq!(refusal(file(&HEADER.replace("DN", "D<b/>N"), "")), other);
    let records = read(file(HEADER, &format!("{}<fob/>", token("1001", SEED))));
    assert_eq!(records[..], [Ok(plain()), Err(FormatError::new(Location::Token(1), other))]);
}

#[test]
fn document_types_and_entities_are_refused() {
    let good = file(HEADER, &token("1001", SEED));
    let dtd = "<!DOCTYPE data [<!ENTITY s \"31\">]><data>";
    assert_eq!(refusal(good.replace("<data>", dtd)), Problem::Dtd);
    assert_eq!(end(good.replace(SEED, "&s;")), Problem::Dtd);
    assert_eq!(refusal(good.replace("DN", "&s;")), Problem::Dtd);
    assert_eq!(one(&good.replace("DN", "D&#78;")), plain());
}

#[test]
fn a_file_cut_short_or_without_tokens_is_an_error() {
    let good = file(HEADER, &token("1001", SEED));
    for length in 0..good.trim_end().len() {
        let records = read(&good[..length]);
        assert!(records.last().unwrap().is_err(), "cut at {length}: {records:?}");
    }
    for empty in [file(HEADER, ""), format!("<data>{HEADER}</data>"), "<data/>".to_owned()] {
        assert_eq!(refusal(empty), Problem::NoKeys);
    }
    let long = file(HEADER, &token("1001", &"3".repeat(MAX_RECORD_BYTES)));
    assert_eq!(end(long), Problem::RecordTooLong { limit: MAX_RECORD_BYTES });
    assert_eq!(end(file(HEADER, &"<token>".repeat(100))), Problem::TooDeep { limit: 32 });
}
