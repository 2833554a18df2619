//! Each test that docs/compliance.md and docs/security.md name is there.

use std::fs;
use std::path::Path;

/// Looks for the tests that a page names in the last column of its tables: `file::function`. In which rows they stand
/// says `is_claim`; each of them must name one.
fn check(page: &str, is_claim: fn(&str) -> bool) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs").join(page)).unwrap();
    let (mut missing, mut named) = (Vec::new(), 0);
    for row in page.lines().filter(|line| is_claim(line)) {
        let tests = row.rsplit('|').nth(1).unwrap();
        let of_row: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!of_row.is_empty(), "no test in: {row}");
        for test in of_row {
            let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("no file in {test}"));
            let source = fs::read_to_string(root.join(file)).unwrap_or_default();
            let function = format!("fn {name}(");
            let there = source
                .split("#[test]")
                .skip(1)
                .any(|part| part.find("fn ").is_some_and(|start| part[start..].starts_with(&function)));
            named += 1;
            if !there {
                missing.push(test.to_owned());
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    named
}

#[test]
fn every_demand_names_tests_that_exist() {
    let named = check("compliance.md", |line| line.starts_with("| §"));
    assert!(named > 30, "only {named} tests were found on the page");
}

#[test]
fn every_claim_of_security_names_tests_that_exist() {
    let named = check("security.md", |line| line.starts_with("| ") && line != "| claim | tests |");
    assert!(named > 40, "only {named} tests were found on the page");
}
