//! The house rules of docs/architecture.md, checked on the sources themselves: who may import what, and what a
//! reader of the README may rely on.

use std::fs;
use std::path::{Path, PathBuf};

use fobd_drivers::models::{MODELS, Sight};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

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

/// The files of a room of `src`: `NAME.rs` and what is below `NAME/`.
fn room(name: &str) -> Vec<PathBuf> {
    let mut files = vec![root().join("src").join(name).with_extension("rs")];
    files.extend(rust_files(&root().join("src").join(name)));
    files
}

/// Lines of code in `files` that hold one of `words`. Unit tests at the end of a file may do what they like.
fn offences(files: &[PathBuf], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        for (number, line) in text.lines().enumerate() {
            if line.starts_with("#[cfg(test)]") {
                break;
            }
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| code.contains(word)) {
                let name = file.strip_prefix(root()).unwrap().display();
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

/// All sources of the server, but for those of some rooms.
fn all_but(rooms: &[&str]) -> Vec<PathBuf> {
    let exempt: Vec<PathBuf> = rooms.iter().flat_map(|name| room(name)).collect();
    let files = rust_files(&root().join("src"));
    assert!(files.len() > 50, "the sources were not found");
    files.into_iter().filter(|file| !exempt.contains(file)).collect()
}

const NONE: Vec<String> = Vec::new();

#[test]
fn the_core_and_the_formats_do_no_io_and_read_no_clock() {
    let words = [
        "std::fs",
        "std::net",
        "std::env",
        "SystemTime",
        "Instant",
        "tokio",
        "tracing",
        "getrandom",
        "rusqlite",
        "println!",
        "crate::store",
        "crate::service",
        "crate::devices",
        "crate::model",
        "crate::app",
    ];
    assert_eq!(offences(&room("otp"), &words), NONE);
    assert_eq!(offences(&room("formats"), &words), NONE);
    // Of the model it knows the form of ids.
    let words: Vec<&str> = words.into_iter().filter(|word| *word != "crate::model").collect();
    assert_eq!(offences(&room("audit"), &words), NONE);
    assert_eq!(offences(&room("otp"), &["crate::formats"]), NONE);
}

#[test]
fn the_model_knows_no_other_room() {
    let words =
        ["crate::store", "crate::service", "crate::devices", "crate::rpc", "crate::otp", "fobd_drivers"];
    assert_eq!(offences(&room("model"), &words), NONE);
}

#[test]
fn the_counters_know_no_room_and_nothing_that_is_global() {
    let metrics = [root().join("src/metrics.rs")];
    assert_eq!(offences(&metrics, &["crate::", "LazyLock", "OnceLock", "thread_local"]), NONE);
    assert!(!offences(&metrics, &["prometheus_client"]).is_empty());
}

#[test]
fn only_the_store_speaks_sql() {
    assert_eq!(offences(&all_but(&["store"]), &["rusqlite", "SELECT ", "INSERT INTO", "UPDATE "]), NONE);
    let words =
        ["crate::service", "crate::devices", "crate::rpc", "crate::http", "crate::access", "fobd_drivers"];
    assert_eq!(offences(&room("store"), &words), NONE);
}

#[test]
fn only_http_speaks_http_and_only_the_client_calls_out() {
    assert_eq!(offences(&all_but(&["http"]), &["axum"]), NONE);
    assert_eq!(offences(&all_but(&["cli"]), &["ureq"]), NONE);
}

#[test]
fn only_the_devices_and_their_use_cases_know_drivers() {
    assert_eq!(offences(&all_but(&["devices", "service", "cli"]), &["fobd_drivers"]), NONE);
    let words = ["crate::store", "crate::service", "crate::otp", "crate::rpc"];
    assert_eq!(offences(&room("devices"), &words), NONE);
}

#[test]
fn only_the_use_cases_see_core_store_and_devices_together() {
    let sees_all = |file: &PathBuf| {
        let one = std::slice::from_ref(file);
        ["crate::otp", "crate::store", "crate::devices"].iter().all(|word| !offences(one, &[word]).is_empty())
    };
    // These two put the server together.
    let builders = [root().join("src/app.rs"), root().join("src/cli/serve.rs")];
    let found: Vec<PathBuf> =
        all_but(&["service"]).into_iter().filter(|file| !builders.contains(file) && sees_all(file)).collect();
    assert_eq!(found, Vec::<PathBuf>::new());
}

#[test]
fn a_handler_touches_no_table_and_no_device() {
    let words = ["crate::store::hot", "crate::store::tokens", "crate::store::jobs", "crate::otp::verify"];
    assert_eq!(offences(&room("rpc"), &words), NONE);
}

#[test]
fn every_word_that_is_searched_for_can_be_found() {
    let rooms = [("store", "rusqlite"), ("http", "axum"), ("cli", "ureq"), ("devices", "fobd_drivers")];
    for (name, word) in rooms {
        assert!(!offences(&room(name), &[word]).is_empty(), "{word} is not even in {name}");
    }
}

#[test]
fn the_readme_is_short_and_names_targets_that_exist_and_the_reference_names_every_method() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.lines().count() <= 200);
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for target in ["demo", "test"] {
        assert!(readme.contains(&format!("make {target}")) && makefile.contains(&format!("\n{target}: ##")));
    }
    assert!(readme.contains("(docs/api.md)"));
    let reference = fs::read_to_string(root().join("docs/api.md")).unwrap();
    for method in fobd::rpc::methods::METHODS {
        let heading = format!("\n### `{}`\n", method.name);
        assert!(reference.contains(&heading), "docs/api.md does not name {}", method.name);
    }
}

/// The table of models as README.md has it: each token once, with its drivers and how these reach it.
fn tokens() -> String {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for model in MODELS {
        let how = match model.sight {
            Sight::Card { .. } => format!("smart card, USB or NFC (`{}`)", model.driver),
            Sight::Hid { .. } => format!("USB HID (`{}`)", model.driver),
        };
        let name = model.full_name();
        match rows.iter_mut().find(|(known, _)| *known == name) {
            Some((_, ways)) if ways.contains(&how) => {}
            Some((_, ways)) => ways.push(how),
            None => rows.push((name, vec![how])),
        }
    }
    let rows: String =
        rows.iter().map(|(name, ways)| format!("| {name} | {} |\n", ways.join(", "))).collect();
    format!("\n| token | reached as |\n|---|---|\n{rows}")
}

#[test]
fn the_readme_lists_the_tokens_of_the_table_of_models() {
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (head, rest) = readme.split_once("<!-- models").unwrap();
    let (mark, rest) = rest.split_once("-->").unwrap();
    let (kept, tail) = rest.split_once("<!-- /models -->").unwrap();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{head}<!-- models{mark}-->{}<!-- /models -->{tail}", tokens())).unwrap();
    } else {
        assert!(kept == tokens(), "run `UPDATE=1 cargo test --test main the_readme_lists`");
    }
}

#[test]
fn every_file_that_the_documents_name_exists() {
    for document in ["README.md", "docs/architecture.md", "docs/api.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let named = text.split('`').filter(|word| word.ends_with(".rs") && word.contains('/'));
        for path in named {
            let places = [root().to_owned(), root().join("src"), root().join("drivers/src")];
            assert!(places.iter().any(|place| place.join(path).exists()), "{document} names {path}");
        }
    }
}

#[test]
fn no_file_names_a_place_outside_the_project() {
    for folder in ["src", "drivers", "firmware-fixtures/src", "scripts", "docs", ".ci"] {
        let mut files = Vec::new();
        let mut folders = vec![root().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        for file in files {
            let text = fs::read_to_string(&file).unwrap_or_default();
            for word in [concat!("/", "work/"), concat!("../", "shared"), concat!("/", "root/")] {
                assert!(!text.contains(word), "{} names {word}", file.display());
            }
        }
    }
}
