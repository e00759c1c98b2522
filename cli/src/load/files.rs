//! Finding and reading files: bounded, in a fixed order, YAML and JSON only.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use nave_common::bundle::MAX_BUNDLE_OBJECTS;
use nave_common::yaml::MAX_FILE_BYTES;

use super::shown;
use crate::exit::{Failure, Outcome};

/// The most files of one folder, with all its folders: as many as a bundle may have objects.
const MAX_FILES: usize = MAX_BUNDLE_OBJECTS;

/// One file that was read.
#[derive(Debug)]
pub(super) struct TextFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// Whether it was named itself, and not just found in a folder that was.
    pub(super) is_named: bool,
}

impl TextFile {
    pub(super) fn name(&self) -> String {
        shown(&self.path)
    }

    /// The folder to which the paths in it are relative.
    pub(super) fn folder(&self) -> PathBuf {
        if is_stdin(&self.path) {
            return PathBuf::from(".");
        }
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        }
    }
}

pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads files, and folders with all their folders, in the order of their names.
pub(super) fn read_all(paths: &[PathBuf]) -> Outcome<Vec<TextFile>> {
    if paths.iter().filter(|path| is_stdin(path)).count() > 1 {
        return Err(Failure::usage("-f - is there twice; standard input can be read once"));
    }
    let mut files = Vec::new();
    for path in paths {
        if is_stdin(path) {
            files.push(TextFile { path: path.clone(), text: read_stdin()?, is_named: true });
            continue;
        }
        let is_folder = fs::metadata(path).map_err(|error| unreadable(path, &error))?.is_dir();
        if !is_folder {
            files.push(TextFile { path: path.clone(), text: read(path)?, is_named: true });
            continue;
        }
        let mut found = Vec::new();
        find(path, &mut found)?;
        if found.is_empty() {
            return Err(Failure::failed(format!("{} holds no .yaml, .yml or .json file", path.display())));
        }
        for path in found {
            files.push(TextFile { text: read(&path)?, path, is_named: false });
        }
    }
    Ok(files)
}

/// The files of a folder and of all its folders. Hidden ones are left out; links to folders are not followed, so that
/// there is no way round in a circle.
fn find(folder: &Path, found: &mut Vec<PathBuf>) -> Outcome<()> {
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    for path in paths {
        let kind = fs::symlink_metadata(&path).map_err(|error| unreadable(&path, &error))?;
        if kind.is_dir() {
            find(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
            && fs::metadata(&path).map_err(|error| unreadable(&path, &error))?.is_file()
        {
            if found.len() >= MAX_FILES {
                return Err(Failure::failed(format!(
                    "{} holds more than {MAX_FILES} files",
                    folder.display()
                )));
            }
            found.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Outcome<String> {
    let file = fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    read_text(file, &path.display().to_string())
}

fn read_stdin() -> Outcome<String> {
    read_text(std::io::stdin().lock(), "standard input")
}

/// Reads a text, but no more than a file may hold.
fn read_text(reader: impl std::io::Read, name: &str) -> Outcome<String> {
    let mut text = String::new();
    let limit = MAX_FILE_BYTES as u64 + 1;
    reader.take(limit).read_to_string(&mut text).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => Failure::failed(format!("{name} is no text in UTF-8")),
        _ => Failure::failed(format!("cannot read {name}: {error}")),
    })?;
    if text.len() > MAX_FILE_BYTES {
        return Err(Failure::failed(format!("{name} is larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::failed(format!("cannot read {}: {error}", path.display()));
    if error.kind() == std::io::ErrorKind::NotFound {
        return failure
            .hint("check the path, which is relative to where you are or to the file that names it");
    }
    failure
}
