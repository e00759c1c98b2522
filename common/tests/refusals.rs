//! Every file under `data/refused` is refused, with the message that its first line states.
//!
//! `UPDATE=1 cargo test -p nave-common --test refusals` writes the messages as they are now; read the difference before
//! you commit it.

#![allow(clippy::unwrap_used, reason = "a test file, and clippy knows only test functions")]

use std::path::{Path, PathBuf};

const MARK: &str = "# refused: ";

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/refused").join(kind)
}

/// Runs each file of a folder through a loader, and compares what it says with what the file says.
fn check(kind: &str, refusal: impl Fn(&str, &str) -> Option<String>) -> usize {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder(kind)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut wrong = Vec::new();
    for path in &paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let expected = first.strip_prefix(MARK).unwrap_or_else(|| panic!("{name} begins with {MARK:?}"));
        let said = refusal(&text, name).unwrap_or_else(|| "taken".to_owned());
        let said = said.strip_prefix(name).unwrap_or(&said).trim_start_matches(':').to_owned();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, format!("{MARK}{said}\n{rest}")).unwrap();
        } else if said != expected {
            wrong.push(format!("{kind}/{name}\n  expected {expected}\n  but said {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    paths.len()
}

#[test]
fn refused_documents_say_where_and_why() {
    let count =
        check("documents", |text, name| Some(nave_common::document::load(text, name).err()?.to_string()));
    assert!(count >= 60, "{count}");
}

#[test]
fn refused_manifests_say_where_and_why() {
    let load = |text: &str, name: &str| nave_common::bundle::load_manifests(&[(name, text)]);
    let count = check("manifests", |text, name| Some(load(text, name).err()?.to_string()));
    assert!(count >= 20, "{count}");
}
