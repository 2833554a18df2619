//! Who may import what, checked on the sources themselves.

use std::fs;
use std::path::{Path, PathBuf};

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Lines of code that contain one of `words` as a word, in files for which `allowed` says no. Comments and
/// strings do not count as code; lines are cut at `//`.
fn offences(folder: &Path, words: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let files = rust_files(folder);
    assert!(!files.is_empty(), "no sources in {}", folder.display());
    for file in files {
        let name = file.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
        if allowed(&name) {
            continue;
        }
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| has_word(code, word)) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '"';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part))
}

fn drivers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn words_are_found_as_words_only() {
    assert!(has_word("use pcsc::Card;", "pcsc"));
    assert!(has_word("    pcsc::Error", "pcsc"));
    assert!(!has_word("use libpcsc;", "pcsc"));
    assert!(!has_word("\"pcsc\"", "pcsc"));
    assert!(!has_word("mod pcscd;", "pcsc"));
}

#[test]
fn only_one_file_names_each_transport_library() {
    // transport.rs declares the module of the same name.
    let allowed = |name: &str| name == "transport.rs" || name.starts_with("transport/pcsc");
    assert_eq!(offences(&drivers(), &["pcsc"], allowed), Vec::<String>::new());
    let declaration = fs::read_to_string(drivers().join("transport.rs")).unwrap();
    assert!(!declaration.contains("use pcsc") && !declaration.contains("pcsc::"));
    assert_eq!(
        offences(&drivers(), &["hidapi"], |name| name.starts_with("transport/hid")),
        Vec::<String>::new()
    );
}

#[test]
fn drivers_know_nothing_of_servers_and_fixtures() {
    let words = ["tokio", "rusqlite", "axum", "fobd", "firmware_fixtures"];
    // The rules name the group of the server.
    assert_eq!(offences(&drivers(), &words, |name| name == "models/udev.rs"), Vec::<String>::new());
}

#[test]
fn drivers_sleep_and_spawn_nothing_and_read_no_clock() {
    // Only the transports may wait.
    let words = ["sleep", "spawn", "SystemTime", "Instant"];
    let allowed = |name: &str| name.starts_with("transport");
    assert_eq!(offences(&drivers(), &words, allowed), Vec::<String>::new());
}

#[test]
fn emulated_devices_do_not_use_the_driver_crate() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware-fixtures/src");
    assert_eq!(
        offences(&fixtures, &["fobd_drivers"], |name| name.starts_with("attach")),
        Vec::<String>::new()
    );
}

#[test]
fn every_driver_and_every_model_is_in_the_readme() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for driver in fobd_drivers::DRIVERS {
        assert!(readme.contains(&format!("`{}`", driver.name())), "{} is not in README.md", driver.name());
    }
    for model in fobd_drivers::models::MODELS {
        assert!(readme.contains(model.model), "{} is not in README.md", model.model);
    }
}
