//! Strict YAML: unknown fields, wrong types, duplicate keys and unbounded anchors are refused, with file and line.
//!
//! YAML 1.2, as a superset of JSON, with two habits of kubectl: `0644` is an octal number, and `<<` merges maps. What
//! YAML 1.1 read as booleans, `yes`, `no`, `on` and `off`, are strings here, so that `env: {value: yes}` is what it looks
//! like. There are no includes. Aliases and nesting are bounded, and so is everything they expand to.
//!
//! A file is read once; only for an error is it read again, to find the line of the field that is wrong.

mod position;
mod strict;
mod syntax;
mod words;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{MessageFormatter, Spanned};

use crate::field::FieldError;

/// The largest file, in bytes.
pub const MAX_FILE_BYTES: usize = 128 << 20;
/// The most documents in one file.
pub const MAX_DOCUMENTS: usize = 40_000;
/// How deep maps and lists may stand in each other: above what [`crate::manifest`] takes, whose error names the field.
const MAX_DEPTH: usize = 80;
/// How much anchors and aliases may hold and expand to, in values.
const MAX_ALIAS_NODES: usize = 300_000;
/// The stack on which a file is read, in bytes. The parser recurses, and takes some 80 KiB a level where it is not
/// optimised; the threads of a runtime have 2 MiB.
const STACK_BYTES: usize = 16 << 20;
/// The most values in one file, after aliases are expanded.
const MAX_NODES: usize = 10_000_000;

/// Something that stands in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// What it is.
    pub value: T,
    /// The name of the file, as given to the loader.
    pub file: String,
    /// The line on which it begins, from 1.
    pub line: usize,
}

/// What is wrong in a file, as `FILE:LINE:COLUMN: FIELD.PATH: problem; expected …`, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The name of the file, as given to the loader.
    pub file: String,
    /// Line and column, from 1.
    pub at: Option<(usize, usize)>,
    /// The field, where one is known, and the problem.
    pub field: FieldError,
}

impl Error {
    /// A problem of a file as a whole.
    pub fn of_file(file: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self { file: file.into(), at: None, field: FieldError::new("", problem) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.field)
    }
}

/// One document of a YAML or JSON file.
#[derive(Debug, Clone, PartialEq)]
pub struct YamlDocument<'t> {
    /// What it holds.
    pub value: Value,
    /// The line on which its content begins, from 1.
    pub line: usize,
    file: &'t str,
    text: &'t str,
    index: usize,
}

impl YamlDocument<'_> {
    /// The name of the file, as given to [`documents`].
    #[must_use]
    pub fn file(&self) -> &str {
        self.file
    }

    /// The error for a field of this document, with the line on which the field stands. Where there is no such field,
    /// the line of the closest one around it.
    #[must_use]
    pub fn error(&self, field: FieldError) -> Error {
        let at = position::find(self.text, self.index, &field.path).unwrap_or((self.line, 1));
        Error { file: self.file.to_owned(), at: Some(at), field }
    }
}

/// Reads the documents of a file; empty ones are skipped.
///
/// # Errors
/// Where the text is no YAML, holds a key twice, or is larger or deeper than is allowed.
pub fn documents<'t>(text: &'t str, name: &'t str) -> Result<Vec<YamlDocument<'t>>, Error> {
    if text.len() > MAX_FILE_BYTES {
        let problem = format!("has {} bytes; at most {MAX_FILE_BYTES} are allowed", text.len());
        return Err(Error::of_file(name, problem));
    }
    let read: Vec<Spanned<Value>> = parse(text).map_err(|error| match error {
        Failure::Thread(error) => Error::of_file(name, format!("cannot be read: {error}")),
        Failure::Yaml(error) => refusal(&error, text, name),
    })?;
    let document = |(index, root): (usize, Spanned<Value>)| YamlDocument {
        line: usize::try_from(root.referenced.line()).unwrap_or(usize::MAX),
        value: root.value,
        file: name,
        text,
        index,
    };
    Ok(read.into_iter().enumerate().map(document).collect())
}

/// Reads a value into a type, strictly.
///
/// # Errors
/// The first field that is unknown, missing or of the wrong type, with its path and what was expected.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(strict::Strict(value)).map_err(|error| words::field_error(&error))
}

/// Writes a value as YAML, for people: block style, fields in the order of the type, line feeds as such.
///
/// # Errors
/// Where the value has no YAML form, which no type of this crate lacks.
pub fn to_string(value: &impl Serialize) -> Result<String, serde_saphyr::ser_error::Error> {
    // Folding a long line at its spaces would help nobody who searches for it.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: MAX_FILE_BYTES };
    serde_saphyr::to_string_with_options(value, options)
}

/// Why a text was not parsed.
enum Failure {
    Yaml(serde_saphyr::Error),
    Thread(std::io::Error),
}

/// Parses all documents of a text, on a stack that is large enough for it.
fn parse<T: DeserializeOwned + Send>(text: &str) -> Result<Vec<T>, Failure> {
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new()
            .name("yaml".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || {
                serde_saphyr::from_multiple_with_options(text, options()).map_err(Failure::Yaml)
            })
            .map_err(Failure::Thread)?;
        parser.join().unwrap_or_else(|_| Err(Failure::Thread(std::io::Error::other("the parser panicked"))))
    })
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: MAX_DOCUMENTS,
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 3 * MAX_NODES,
            max_total_scalar_bytes: MAX_FILE_BYTES,
            max_recorded_anchor_events: MAX_ALIAS_NODES,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIAS_NODES },
        legacy_octal_numbers: true,
        strict_booleans: true,
        emit_comments: false,
        // A snippet would quote lines, and lines of a Secret hold secrets.
        with_snippet: false,
    }
}

fn refusal(error: &serde_saphyr::Error, text: &str, name: &str) -> Error {
    use serde_saphyr::Error as E;
    let error = error.without_snippet();
    let at = error
        .location()
        .map(|at| (at.line(), at.column()))
        .filter(|at| *at != (0, 0))
        .map(|(line, column)| (usize::try_from(line).unwrap_or(0), usize::try_from(column).unwrap_or(0)));
    let mut cause = error;
    while let E::AliasError { error, .. } = cause {
        cause = error;
    }
    let mut problem = match cause {
        E::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key {:?} is there twice; expected it once", shortened(key))
        }
        E::UnknownAnchor { .. } => "this alias has no anchor before it".to_owned(),
        E::NonFiniteFloat { .. } => "is no finite number; expected one, or quotes around a text".to_owned(),
        E::Unexpected { expected, .. } if *expected == "string scalar" => {
            "a key must be plain text; expected a word, or quotes around it".to_owned()
        }
        E::NullIntoString { .. } => "a key must not be empty or null".to_owned(),
        E::Budget { .. }
        | E::AliasReplayLimitExceeded { .. }
        | E::AliasReplayStackDepthExceeded { .. }
        | E::AliasExpansionLimitExceeded { .. } => too_much(),
        other => match serde_saphyr::UserMessageFormatter.format_message(other).into_owned() {
            message if message.contains("recursion limit") => too_much(),
            message => syntax::in_words(message),
        },
    };
    let line = at.and_then(|(line, _)| text.lines().nth(line.checked_sub(1)?));
    if line.is_some_and(|line| line.contains("{{")) {
        problem.push_str(" (a template of Helm? expected what `helm template` makes of it)");
    }
    Error { file: name.to_owned(), at, field: FieldError::new("", problem) }
}

fn too_much() -> String {
    format!(
        "is more than a file may hold: expected at most {MAX_DEPTH} levels, {MAX_DOCUMENTS} documents, and {MAX_ALIAS_NODES} values out of aliases"
    )
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
