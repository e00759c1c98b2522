//! What no compiler checks of the source: file heads, file lengths, dependency bans, and what must not stand in the repo.

use std::path::{Path, PathBuf};

/// A file longer than this holds more than one subject.
const MAX_LINES: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// Every file of ours with this ending.
fn files(ending: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && !matches!(name.as_str(), "target" | ".git" | "node_modules") {
                folders.push(path);
            } else if name.ends_with(ending)
                && let Ok(text) = std::fs::read_to_string(&path)
            {
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no file ends with {ending}");
    found
}

#[test]
fn every_module_says_what_it_is_for() {
    for (path, text) in files(".rs") {
        assert!(text.starts_with("//!"), "{} does not begin with a //! comment", path.display());
    }
}

#[test]
fn no_file_holds_many_subjects() {
    for (path, text) in files(".rs") {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines; split it by subject", path.display());
    }
}

#[test]
fn planners_do_no_io_and_read_no_clock() {
    for (path, text) in files(".rs") {
        let name = path.to_string_lossy();
        let is_test = name.ends_with("_tests.rs") || name.ends_with("_properties.rs");
        if is_test || !name.contains("/hub/src/plan/") {
            continue;
        }
        for banned in ["async fn", "tokio::", "std::fs", "Instant::now", "SystemTime", "rand::", "HashMap"] {
            assert!(!text.contains(banned), "{} contains {banned}; planners are pure", path.display());
        }
    }
}

#[test]
fn there_is_one_tls_stack_and_no_retired_crate() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    for banned in ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "serde_yaml"] {
        assert!(
            !lock.contains(&format!("name = \"{banned}\"\n")),
            "{banned} came in; see deny.toml for why not"
        );
    }
    for once in ["rustls", "tonic", "hyper", "prost", "tokio", "kube"] {
        let copies = lock.matches(&format!("name = \"{once}\"\n")).count();
        assert_eq!(copies, 1, "there are {copies} versions of {once}");
    }
}

#[test]
fn only_backoff_s_own_file_uses_backoff() {
    for (path, text) in files(".rs") {
        let own = path.ends_with("common/src/runtime/backoff.rs") || path.ends_with("tests/tests/tidy.rs");
        assert!(own || !text.contains("use backoff::"), "{} uses backoff", path.display());
    }
}
