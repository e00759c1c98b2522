//! `nave demo` on simulated clusters: how it ends where it is interrupted, and what it says.

#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A demo whose temporary folders lie in `folder`.
fn demo(folder: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_nave"))
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nave starts")
}

fn terminate(child: &Child) {
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
}

/// Reads what it says up to a line that holds a text, sends SIGTERM, and tells what it said later and its exit code.
fn interrupted_after(text: &str, mut child: Child) -> (String, Option<i32>) {
    let mut said = BufReader::new(child.stderr.take().expect("its standard error"));
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(said.read_line(&mut line).expect("a line") > 0, "it never said {text:?}");
    }
    terminate(&child);
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("the rest");
    (rest, child.wait().expect("it ends").code())
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("a folder").next().is_none()
}

#[test]
fn a_signal_ends_a_step_and_everything_is_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    // The step after `drift` stops the hub, which is needed again for the removal.
    for text in ["done   healthy", "done   drift"] {
        let (rest, code) = interrupted_after(text, demo(folder.path(), &[]));
        assert_eq!(code, Some(1), "{rest}");
        assert!(rest.contains("  interrupted\n") && rest.contains("done   removed"), "{rest}");
        assert!(is_empty(folder.path()), "{rest}");
    }
}

#[test]
fn what_is_held_is_removed_at_a_signal() {
    let folder = tempfile::tempdir().expect("a folder");
    let (rest, code) = interrupted_after("nave describe application", demo(folder.path(), &["--hold"]));
    assert_eq!(code, Some(0), "{rest}");
    assert!(rest.contains("done   removed"), "{rest}");
    assert!(is_empty(folder.path()), "{rest}");
}

#[test]
fn a_quiet_demo_says_nothing_but_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = demo(folder.path(), &["-q"]).wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let output =
        demo(folder.path(), &["-q", "--kubeconfig", "/nowhere"]).wait_with_output().expect("it ends");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), err.lines().count()), (Some(1), 1), "{err}");
    assert!(err.starts_with("error: step clusters: "), "{err}");
    assert_eq!(err.matches("No such file").count(), 1, "{err}");
}
