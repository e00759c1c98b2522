//! What can go wrong in a store: what was being done, to what, why, and what to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Expect, Key, Sequence};

/// An error of a store or of its blobs. Cheap to clone, since one failed group of writes fails many writers.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request can never succeed as it stands.
    #[error("{what} is refused: {why}")]
    Invalid {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody else wrote first: read again, decide again, commit again.
    #[error("commit conflicts at {key}: expected {expected}, found {}; read it again and retry", found_text(*.found))]
    Conflict {
        /// The key whose compare did not hold; the first one in the order given.
        key: Key,
        /// What the transaction expected.
        expected: Expect,
        /// The sequence found there; `None` where the key is absent.
        found: Option<Sequence>,
    },
    /// The log no longer reaches back far enough: list everything, then watch from there.
    #[error(
        "cannot watch from sequence {from}: the log is compacted up to {oldest}; list everything again and watch from there"
    )]
    Compacted {
        /// The sequence asked for.
        from: Sequence,
        /// The lowest sequence from which a watch can begin.
        oldest: Sequence,
    },
    /// The reader knows more than the store: an older store was put in its place.
    #[error(
        "cannot watch from sequence {from}: the last commit is {last}, so an older store was restored; list everything again"
    )]
    Ahead {
        /// The sequence asked for.
        from: Sequence,
        /// The last commit.
        last: Sequence,
    },
    /// More bytes than a store takes.
    #[error("{what} has {size_bytes} bytes, the limit is {limit_bytes}; large bodies belong in blobs")]
    TooLarge {
        /// What was too large.
        what: String,
        /// Its size, in bytes.
        size_bytes: u64,
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// Stored bytes are not what was written. Nothing was changed or dropped.
    #[error("{what} is damaged; {advice}")]
    Corrupt {
        /// What is damaged, and how that was seen.
        what: String,
        /// What to do.
        advice: String,
    },
    /// A newer release wrote this.
    #[error(
        "{what} has format {found}, this release knows up to {known}; start the release that wrote it, or a newer one"
    )]
    NewerFormat {
        /// What has the newer format.
        what: String,
        /// Its format number.
        found: u32,
        /// The newest format that this release knows.
        known: u32,
    },
    /// Another process has the store open.
    #[error("cannot open the store in {}: it is in use by {holder}; stop that one first", .folder.display())]
    Locked {
        /// The store's folder.
        folder: PathBuf,
        /// Who holds it, as it said itself.
        holder: String,
    },
    /// The disk has no room. Reads go on; writes are taken again as soon as there is room.
    #[error(
        "cannot write to {}: {free_bytes} bytes are free, {reserve_bytes} must stay free; make room, writes then go on by themselves",
        .folder.display()
    )]
    Full {
        /// The folder on the full disk.
        folder: PathBuf,
        /// Bytes free when the write was refused.
        free_bytes: u64,
        /// Bytes that must stay free.
        reserve_bytes: u64,
    },
    /// The store is closed, or closes.
    #[error("{doing}: the store is closed")]
    Closed {
        /// What was being done.
        doing: &'static str,
    },
    /// The file system refused.
    #[error("{doing} {} failed", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The backend refused.
    #[error("{doing} failed; {advice}")]
    Backend {
        /// What was being done, to what.
        doing: String,
        /// What to do.
        advice: &'static str,
        /// Why.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Wraps an I/O error with what was being done to which path.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source: Arc::new(source) }
    }

    /// True where the disk had no room, whichever way that was noticed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Io { source, .. } => is_full(source),
            _ => false,
        }
    }
}

/// True for the I/O errors of a disk or quota without room.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

fn found_text(found: Option<Sequence>) -> String {
    found.map_or_else(|| "no entry".to_owned(), |sequence| format!("sequence {sequence}"))
}
