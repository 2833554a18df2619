use super::*;

const HEADER: &str = "domain,loginName,manufacturerCode,productCode,serial,status,pin";
const PRINTED: &str = "\"test domain\", \"john.smith\", \"DN\", \"MT\", \"10000\", \"ACTIVE\", \"1234\"";

fn read(text: &str) -> Vec<Result<AssignRow, FormatError>> {
    rows(text).collect()
}

/// The row that the document prints, on some line.
fn printed(line: u64) -> AssignRow {
    AssignRow {
        line,
        domain: "test domain".into(),
        login_name: "john.smith".into(),
        manufacturer_code: "DN".into(),
        product_code: "MT".into(),
        serial: "10000".into(),
        status: Some("ACTIVE".into()),
        pin: Some(Zeroizing::new("1234".into())),
    }
}

fn one(row: &str) -> AssignRow {
    let [Ok(row)] = &read(&format!("{HEADER}\n{row}"))[..] else { panic!("not one row in {row}") };
    row.clone()
}

/// The problem of a bad row, which must not keep the next from being read.
fn problem(row: &str) -> Problem {
    let rows = read(&format!("{HEADER}\n{row}\n{PRINTED}\n"));
    let [Err(FormatError { location: Location::Line(2), problem }), Ok(next)] = &rows[..] else {
        panic!("{rows:?} of {row}")
    };
    assert_eq!(next, &printed(3));
    problem.clone()
}

/// The problem of a header, which ends the file.
fn header_problem(header: &str) -> Problem {
    let rows = read(&format!("\n{header}\n{PRINTED}\n"));
    let [Err(FormatError { location: Location::Line(2), problem })] = &rows[..] else { panic!("{rows:?}") };
    problem.clone()
}

#[test]
fn the_file_that_the_document_prints_is_read() {
    assert_eq!(read(&format!("{HEADER}\n{PRINTED}\n")), [Ok(printed(2))]);
    assert_eq!(
        read(&format!("\u{feff}{HEADER}\r\n\r\n{PRINTED}\r\n \r\n{PRINTED}")),
        [Ok(printed(3)), Ok(printed(5))]
    );
}

#[test]
fn blanks_and_quotes_around_a_field_mean_nothing() {
    for row in [
        "test domain,john.smith,DN,MT,10000,ACTIVE,1234",
        "  test domain  ,\tjohn.smith , \"DN\" ,\t\"MT\"\t,10000,ACTIVE, 1234 ",
        "\" test domain\",\"john.smith \",DN,MT,\" 10000\",ACTIVE,\"1234\"  ",
        "test domain,john.smith,DN,MT,10000,ACTIVE,1234,,",
        "test domain,john.smith,DN,MT,10000,ACTIVE,1234, \"\" ,",
    ] {
        assert_eq!(one(row), printed(2), "{row}");
    }
}

#[test]
fn a_quoted_field_may_hold_commas_and_doubled_quotes() {
    let row = one("\"Smith, Jones \"\"& Co\"\"\",\"\"\"j\"\"\",DN,MT,10000,,\"12,34\"");
    assert_eq!((row.domain.as_str(), row.login_name.as_str()), ("Smith, Jones \"& Co\"", "\"j\""));
    assert_eq!(row.pin.as_ref().map(|pin| pin.as_str()), Some("12,34"));
}

#[test]
fn blanks_within_quotes_belong_to_the_pin() {
    let pin = |text: &str| one(&format!("d,u,DN,MT,1,,{text}")).pin.map(|pin| pin.to_string());
    assert_eq!(pin("\" 12 34 \""), Some(" 12 34 ".into()));
    assert_eq!(pin(" 12 34 "), Some("12 34".into()));
    assert_eq!(pin("\"0012\""), Some("0012".into()));
    for empty in ["", " ", "\"\"", " \"\" "] {
        assert_eq!(pin(empty), None, "{empty:?}");
    }
}

#[test]
fn status_and_pin_may_be_left_out() {
    let expected = AssignRow { status: None, pin: None, ..printed(2) };
    let row = "test domain,john.smith,DN,MT,10000";
    assert_eq!(one(row), expected);
    assert_eq!(one(&format!("{row},\"\",")), expected);
    let header = HEADER.strip_suffix(",status,pin").unwrap();
    assert_eq!(read(&format!("{header}\n{row}")), [Ok(expected)]);
}

#[test]
fn columns_are_found_by_name_in_any_order() {
    let text = "PIN, \"Serial\" ,productcode,MANUFACTURERCODE,loginname,domain,status,,\n\
                1234,10000,MT,DN,john.smith,test domain,ACTIVE\n";
    assert_eq!(read(text), [Ok(printed(2))]);
}

#[test]
fn an_unknown_and_a_missing_column_are_named() {
    let unknown = |number, name: &str| Problem::UnknownColumn { number, name: name.into() };
    for (header, expected) in [
        (HEADER.replace("productCode", "product"), unknown(4, "product")),
        (format!("{HEADER},remark"), unknown(8, "remark")),
        (HEADER.replace("status", &"s".repeat(100)), unknown(6, &"s".repeat(40))),
        (HEADER.replace("serial,", ""), Problem::MissingColumn { name: "serial" }),
        (HEADER.replace("domain,", ""), Problem::MissingColumn { name: "domain" }),
        (HEADER.replace("pin", "serial"), Problem::Duplicate { field: "serial" }),
        (HEADER.replace("pin", "\"pin"), Problem::UnclosedQuote { field: "header" }),
        (HEADER.replace(',', ";"), Problem::NoHeader),
        (PRINTED.to_owned(), Problem::NoHeader),
        (format!("{HEADER}\rtest,1234"), Problem::ControlCharacter { field: "line" }),
    ] {
        assert_eq!(header_problem(&header), expected, "{header}");
    }
    let error = FormatError::new(Location::Line(1), unknown(4, "product\u{7}"));
    assert_eq!(error.to_string(), "line 1: column 4 of the header, \"product\\u{7}\", is not known");
}

#[test]
fn each_field_is_checked() {
    let long = "x".repeat(129);
    for (row, expected) in [
        (",u,DN,MT,1,,", Problem::Missing { field: "domain" }),
        ("d,\" \",DN,MT,1,,", Problem::Missing { field: "loginName" }),
        ("d,u,,MT,1,,", Problem::Missing { field: "manufacturerCode" }),
        ("d,u,DN,,1,,", Problem::Missing { field: "productCode" }),
        ("d,u,DN,MT", Problem::Missing { field: "serial" }),
        ("d,u,DN,MT,1.0E+12,,", Problem::SpreadsheetNumber { field: "serial" }),
        (&format!("d,{long},DN,MT,1,,"), Problem::TooLong { field: "loginName", limit: 128 }),
        (&format!("d,u,DN,MT,1,,{long}"), Problem::TooLong { field: "pin", limit: 64 }),
        ("d,u,DN,MT,1,,12\u{7}34", Problem::ControlCharacter { field: "pin" }),
        ("d,u,DN,MT,1,,1234,5678", Problem::NamelessColumn { number: 8 }),
        ("d,u\rx,DN,MT,1,,", Problem::ControlCharacter { field: "line" }),
        ("d,u,DN,MT,1,,\"1234", Problem::UnclosedQuote { field: "pin" }),
        ("d,u,DN,MT,1,,\"1234\"\"", Problem::UnclosedQuote { field: "pin" }),
        ("d,u,DN,MT,1,,\"12\"34", Problem::StrayQuote { field: "pin" }),
        ("d,u,DN,MT,1,,12\"34", Problem::StrayQuote { field: "pin" }),
        ("d,u,DN,MT,1,,1234,\"", Problem::UnclosedQuote { field: "row" }),
    ] {
        assert_eq!(problem(row), expected, "{row}");
    }
}

#[test]
fn every_bad_row_is_named_at_once() {
    let text = format!("{HEADER}\n{PRINTED}\nd,u\n{PRINTED}\n\nd,u,DN,MT,\"1\n{PRINTED}");
    let told: Vec<_> = read(&text)
        .into_iter()
        .map(|row| row.map_or_else(|error| error.to_string(), |row| format!("{} is fine", row.line)))
        .collect();
    let expected = [
        "2 is fine",
        "line 3: manufacturerCode: missing",
        "4 is fine",
        "line 6: serial: a quote is opened and not closed",
        "7 is fine",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_file_without_rows_is_an_error() {
    let error = FormatError::new(Location::File, Problem::NoRows);
    for text in ["", "\u{feff}", "\r\n\r\n", HEADER, &format!("{HEADER}\n\n")] {
        assert_eq!(read(text), [Err(error.clone())], "{text}");
    }
}

#[test]
fn debug_shows_no_pin() {
    let text = format!("{:?}", printed(2));
    assert!(text.contains("john.smith") && text.contains("[redacted]") && !text.contains("1234"), "{text}");
}
