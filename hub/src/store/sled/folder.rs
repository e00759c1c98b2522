//! The store's folder: who may use it, and what it says it is.
//!
//! `STORE` is the marker: it names the format, and whether the store was ever finished. Without it a folder whose
//! journal was lost would look new, and the hub would begin an empty life where it had a full one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::segment::corrupt;
use crate::store::{Error, disk};

/// The newest format that this release reads and the one it writes. 1: journal of frames, sled table with record.
pub const FORMAT: u32 = 1;

const MARKER: &str = "STORE";
const LOCK: &str = "lock";

/// The store's folder, locked for as long as this lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Dropping it releases the lock.
    _lock: File,
}

/// What the marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// There is no store, or one whose making was interrupted: nothing was ever acknowledged in it.
    New,
    /// There is a store.
    Ready,
}

impl Folder {
    /// Makes the folder where it is missing, and takes its lock.
    pub(super) fn lock(path: &Path) -> Result<Self, Error> {
        disk::create_folder(path)?;
        let lock_path = path.join(LOCK);
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).to_owned();
        let mut lock = options.open(&lock_path).map_err(Error::io("opening the lock", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(Error::io("locking", &lock_path)(error)),
        }
        let holder = format!("process {} ({})\n", std::process::id(), executable());
        let noted = lock.set_len(0).and_then(|()| lock.write_all(holder.as_bytes()));
        // On a full disk the note is lost and the lock is not.
        if let Err(error) = noted {
            tracing::warn!(path = %lock_path.display(), %error, "cannot note who holds the store");
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    pub(super) fn table(&self) -> PathBuf {
        self.path.join("table")
    }

    /// Reads the marker. Fails with [`Error::NewerFormat`], and with [`Error::Corrupt`] where the marker and the rest
    /// of the folder do not fit together.
    pub(super) fn state(&self) -> Result<State, Error> {
        let marker = self.path.join(MARKER);
        let text = match fs::read_to_string(&marker) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return if self.journal().exists() || self.table().exists() {
                    Err(corrupt(format!(
                        "the store in {}, whose file {MARKER} is missing,",
                        self.path.display()
                    )))
                } else {
                    Ok(State::New)
                };
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => String::new(),
            Err(error) => return Err(Error::io("reading", &marker)(error)),
        };
        let damaged = || corrupt(format!("the file {}", marker.display()));
        let (content, check) = text.trim_end().rsplit_once('\n').ok_or_else(damaged)?;
        if check != check_line(content) {
            return Err(damaged());
        }
        let value = |name| content.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let found: u32 = value("format:").and_then(|number| number.parse().ok()).ok_or_else(damaged)?;
        if found > FORMAT {
            let what = format!("the store in {}", self.path.display());
            return Err(Error::NewerFormat { what, found, known: FORMAT });
        }
        match value("state:") {
            Some("new") => Ok(State::New),
            Some("ready") if self.journal().is_dir() && self.table().is_dir() => Ok(State::Ready),
            Some("ready") => {
                Err(corrupt(format!("the store in {}, whose journal or table is gone,", self.path.display())))
            }
            _ => Err(damaged()),
        }
    }

    /// Writes the marker, durably.
    pub(super) fn set_state(&self, state: State) -> Result<(), Error> {
        let state = match state {
            State::New => "new",
            State::Ready => "ready",
        };
        let version = env!("CARGO_PKG_VERSION");
        let content =
            format!("A store of the Nave hub.\nformat: {FORMAT}\nstate: {state}\nversion: {version}");
        let text = format!("{content}\n{}\n", check_line(&content));
        disk::replace_file(&self.path.join(MARKER), text.as_bytes())
    }
}

fn check_line(content: &str) -> String {
    format!("check: {:08x}", crc32fast::hash(content.as_bytes()))
}

fn locked(folder: &Path, lock: &mut File) -> Error {
    let mut holder = String::new();
    // A holder that has not yet written who it is stays unknown.
    let _ = lock.take(256).read_to_string(&mut holder);
    let holder = holder.trim();
    let holder = if holder.is_empty() { "another process" } else { holder };
    Error::Locked { folder: folder.to_owned(), holder: holder.to_owned() }
}

fn executable() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "unknown".to_owned())
}
