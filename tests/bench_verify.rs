//! `fobd bench verify`: what it says is measured, and nothing of it is left behind.

use std::process::{Command, Output};

use serde_json::Value as Json;

fn bench(dir: &std::path::Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fobd"))
        .args(["bench", "verify", "--json", "--seconds", "1", "--tokens", "1000"])
        .args(arguments)
        .arg("--dir")
        .arg(dir)
        .output()
        .expect("the program starts")
}

#[test]
fn a_measurement_is_of_accepted_passcodes_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let output = bench(dir.path(), &["--connections", "4"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((result["tokens"].as_u64(), result["connections"].as_u64()), (Some(1000), Some(4)));
    for figure in ["verifiesPerSecond", "p50Milliseconds", "p99Milliseconds", "fdatasyncMilliseconds"] {
        assert!(result[figure].as_f64().unwrap() > 0.0, "{figure}: {result}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let output = bench(std::path::Path::new("/nonexistent"), &[]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("cannot make /nonexistent/fobd-bench-"), "{told}");
}
