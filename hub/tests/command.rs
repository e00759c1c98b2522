//! The binary's answers to whoever types something wrong, or something twice.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::path::Path;
use std::process::Command;

/// The exit code, standard output and standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_nave-hub")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn wrong_flags_and_settings_are_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("hub");
    let file = folder.path().join("hub.yaml");
    std::fs::write(&file, "advertise: [foo]\n").unwrap();
    let (data, file) = (text(&data), text(&file));
    for (arguments, part) in [
        (&["init", "--data-dir", data, "--address", "foo"] as &[&str], "--address"),
        (&["run", "--data-dir", data, "--address", "foo"], "--address"),
        (&["run", "--data-dir", data, "--config", file], "advertise"),
        (&["run", "--data-dir", data, "--heartbeat-interval", "1ms"], "heartbeatInterval"),
        (&["run", "--data-dir", data, "--log", "a=b=c"], "log filter"),
        (&["run"], "--data-dir"),
    ] {
        let (code, _, said) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.starts_with("error: ") && said.contains(part), "{arguments:?}: {said}");
    }
    let (code, _, said) = run(&["run", "--data-dir", data]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.lines().any(|line| line.starts_with("error: ") && line.contains("nave-hub init")), "{said}");
}

#[test]
fn a_folder_that_is_ready_already_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("hub");
    let (code, said, _) = run(&["init", "--data-dir", text(&data)]);
    assert!(code == Some(0) && said.contains("is ready."), "{said}");
    let (code, said, _) = run(&["init", "--data-dir", text(&data)]);
    assert!(code == Some(0) && said.contains("was ready already."), "{said}");
}
