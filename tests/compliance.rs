//! Each test that docs/compliance.md names is there.

use std::fs;
use std::path::Path;

#[test]
fn every_demand_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/compliance.md")).unwrap();
    let (mut missing, mut named) = (Vec::new(), 0);
    for row in page.lines().filter(|line| line.starts_with("| §")) {
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
    assert!(named > 30, "only {named} tests were found on the page");
}
