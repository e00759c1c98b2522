//! Malformed input, kept as data in `data/bad-input`: each is refused, with exactly the message that stands beside it.
//!
//! A file holds cases, one after the other: a line `=== NAME`, a line `--> MESSAGE`, and the input up to the next
//! `===`. In an input `<<N*TEXT>>` stands for TEXT, N times, and `<<xFF>>` for the byte FF. Files that begin with
//! `documents` go through what reads Nave's documents, `manifests` through what reads bundles, `text-KIND` line by line
//! through what reads one word of a command line, and `command` through `nave apply` itself.
//!
//! `NAVE_BLESS=1 cargo test -p nave-tests --test bad_input` writes the messages as they are now; read the difference
//! before you commit it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nave_common::digest::Digest;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::selector::Selector;
use nave_common::time::{HumanDuration, Timestamp};
use nave_common::token::TokenText;
use nave_common::{bundle, document};

/// What a loader says where it refuses nothing.
const TAKEN: &str = "TAKEN";
/// Longer than any refusal may take, on a loaded machine without optimisation.
const SLOW: Duration = Duration::from_secs(20);

struct Case {
    name: String,
    expected: String,
    /// As it stands in the file.
    written: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/bad-input")
}

fn cases(text: &str, file: &str) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for block in format!("\n{text}").split("\n=== ").skip(1) {
        let (name, rest) = block.split_once('\n').with_context(|| format!("{file}: a name and no more"))?;
        let (expected, written) = rest.split_once('\n').unwrap_or((rest, ""));
        let expected = expected.strip_prefix("-->").with_context(|| format!("{file}: {name}: no -->"))?;
        cases.push(Case { name: name.into(), expected: expected.trim().into(), written: written.into() });
    }
    Ok(cases)
}

/// The bytes that a written input stands for.
fn expand(written: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = written;
    while let Some((before, after)) = rest.split_once("<<") {
        bytes.extend_from_slice(before.as_bytes());
        let (inside, next) = after.split_once(">>").context("<< without >>")?;
        if let Some(hex) = inside.strip_prefix('x') {
            bytes.push(u8::from_str_radix(hex, 16)?);
        } else {
            let (count, text) = inside.split_once('*').with_context(|| format!("<<{inside}>>"))?;
            bytes.extend(text.repeat(count.parse()?).into_bytes());
        }
        rest = next;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

fn said<T, E: std::fmt::Display>(result: Result<T, E>) -> String {
    result.map_or_else(|error| error.to_string(), |_| TAKEN.to_owned())
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(text: &str) -> String {
    said(text.trim_end_matches('\n').parse::<T>())
}

/// What the reader of this kind of input says of it.
fn refusal(kind: &str, input: &[u8]) -> anyhow::Result<String> {
    if kind == "command" {
        return applied(input);
    }
    let text = std::str::from_utf8(input)?;
    Ok(match kind {
        "documents" => said(document::load(text, "in.yaml")),
        "manifests" => said(bundle::load_manifests(&[("in.yaml", text)])),
        "text-selector" => parsed::<Selector>(text),
        "text-duration" => parsed::<HumanDuration>(text),
        "text-time" => parsed::<Timestamp>(text),
        "text-digest" => parsed::<Digest>(text),
        "text-cluster" => parsed::<ClusterName>(text),
        "text-application" => parsed::<ApplicationKey>(text),
        "text-token" => said(TokenText::parse(text)),
        other => anyhow::bail!("{other} is no kind of input"),
    })
}

/// What `nave apply` prints of a file. No hub listens, and none is asked: what is wrong with a file is said before.
fn applied(input: &[u8]) -> anyhow::Result<String> {
    let here = tempfile::tempdir()?;
    std::fs::write(here.path().join("in.yaml"), input)?;
    let output = Command::new(nave_tests::processes::binary("nave")?)
        .args(["apply", "-f", "in.yaml"])
        .current_dir(here.path())
        .env("HOME", here.path())
        .output()?;
    anyhow::ensure!(!output.status.success(), "it was applied");
    Ok(String::from_utf8(output.stderr)?.trim().replace('\n', " | "))
}

/// Whether what is said of a file names the line. What is said of a bundle as a whole has none.
fn names_a_place(kind: &str, message: &str) -> bool {
    match kind {
        "documents" | "manifests" => {
            let line = message.strip_prefix("in.yaml:").and_then(|rest| rest.split([':', ' ']).next());
            line.is_some_and(|line| line.parse::<usize>().is_ok())
                || message.starts_with("there are no manifests")
        }
        _ => true,
    }
}

#[test]
fn malformed_inputs_are_refused_with_the_message_kept_beside_them() -> anyhow::Result<()> {
    let bless = std::env::var_os("NAVE_BLESS").is_some();
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder())?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    let (mut count, mut wrong) = (0, String::new());
    for path in paths {
        let file = path.file_name().context("a file has a name")?.to_string_lossy().into_owned();
        let stem = file.strip_suffix(".cases").with_context(|| format!("{file} is no .cases"))?;
        let kind = if stem.starts_with("text-") { stem } else { stem.split('-').next().unwrap_or(stem) };
        let mut blessed = String::new();
        for case in cases(&std::fs::read_to_string(&path)?, &file)? {
            count += 1;
            let began = Instant::now();
            let input = expand(&case.written).with_context(|| format!("{file}: {}", case.name))?;
            let message = refusal(kind, &input).with_context(|| format!("{file}: {}", case.name))?;
            let took = began.elapsed();
            writeln!(blessed, "=== {}\n--> {message}\n{}", case.name, case.written.trim_end_matches('\n'))?;
            if message == TAKEN || took > SLOW || !names_a_place(kind, &message) {
                writeln!(wrong, "{file}: {}: {message} (in {took:?})", case.name)?;
            } else if message != case.expected && !bless {
                writeln!(wrong, "{file}: {}\n  expected {}\n  but said {message}", case.name, case.expected)?;
            }
        }
        if bless {
            std::fs::write(&path, blessed)?;
        }
    }
    println!("{count} malformed inputs");
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(count >= 200, "{count} cases");
    Ok(())
}
