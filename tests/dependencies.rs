//! What is linked in: the rules of deny.toml, for machines without cargo-deny.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

fn packages() -> Vec<Json> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        // What other systems would link in was never downloaded.
        .args(["--filter-platform", &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

/// The quoted words between `start` and the next `]` of deny.toml.
fn quoted_after(start: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml")).unwrap();
    let (_, rest) = text.split_once(start).expect("deny.toml has that list");
    let list = rest.split(']').next().unwrap_or_default();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression of OR and AND can be satisfied with the allowed licences.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace('/', " OR ");
    expression.split(" OR ").any(|alternative| {
        alternative.split(" AND ").all(|licence| {
            let licence = licence.trim().trim_matches(['(', ')']).trim();
            let plain = licence.split(" WITH ").next().unwrap_or(licence);
            allowed.iter().any(|name| name == plain)
        })
    })
}

#[test]
fn every_licence_is_permissive() {
    let allowed = quoted_after("allow = [");
    assert!(is_allowed("MIT OR GPL-3.0", &allowed) && !is_allowed("MIT AND GPL-3.0", &allowed));
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence, &allowed), "{}: {licence}", package["name"]);
    }
}

#[test]
fn every_dependency_comes_from_the_registry_and_none_is_banned() {
    let banned = quoted_after("deny = [");
    assert!(banned.contains(&"openssl".to_owned()));
    for package in packages() {
        let name = package["name"].as_str().unwrap_or_default();
        assert!(!banned.iter().any(|word| word == name), "{name} is banned");
        if let Some(source) = package["source"].as_str() {
            assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{name}");
        }
    }
}
