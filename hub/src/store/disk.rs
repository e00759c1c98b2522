//! The folder-and-file chores that the backends on disk share: private folders, syncing, free space, blocking work.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Error;

/// Tells how many bytes are free on the disk of a folder.
type Measure = dyn Fn(&Path) -> std::io::Result<u64> + Send + Sync;

/// How much room a backend leaves on its disk, and how that is measured.
///
/// Refusing early is what keeps a full disk harmless: nothing is ever half-written, and what must go on (the
/// background work of the database, logs, leases of other processes) still finds room.
#[derive(Clone)]
pub struct FreeSpace {
    /// Bytes that must stay free.
    pub reserve_bytes: u64,
    measure: Arc<Measure>,
}

impl FreeSpace {
    /// Leaves `reserve_bytes` free, as the file system counts for unprivileged users.
    #[must_use]
    pub fn reserve(reserve_bytes: u64) -> Self {
        Self::measured_by(reserve_bytes, |folder| {
            let found = rustix::fs::statvfs(folder)?;
            Ok(found.f_bavail.saturating_mul(found.f_frsize))
        })
    }

    /// Leaves `reserve_bytes` free of what `measure` says is free; for tests.
    pub fn measured_by(
        reserve_bytes: u64,
        measure: impl Fn(&Path) -> std::io::Result<u64> + Send + Sync + 'static,
    ) -> Self {
        Self { reserve_bytes, measure: Arc::new(measure) }
    }

    /// Fails with [`Error::Full`] where `bytes` more would eat into the reserve.
    pub(crate) fn check(&self, folder: &Path, bytes: u64) -> Result<(), Error> {
        let free_bytes = (self.measure)(folder).map_err(Error::io("measuring the free space of", folder))?;
        if free_bytes < self.reserve_bytes.saturating_add(bytes) {
            Err(self.full_with(folder, free_bytes))
        } else {
            Ok(())
        }
    }

    /// The error as [`Error::Full`] if no room was its cause, else as it is.
    pub(crate) fn full_or(&self, folder: &Path, error: Error) -> Error {
        if error.is_full() { self.full(folder) } else { error }
    }

    /// The error that there is no room, with what is free now.
    pub(crate) fn full(&self, folder: &Path) -> Error {
        self.full_with(folder, (self.measure)(folder).unwrap_or(0))
    }

    fn full_with(&self, folder: &Path, free_bytes: u64) -> Error {
        Error::Full { folder: folder.to_owned(), free_bytes, reserve_bytes: self.reserve_bytes }
    }
}

impl fmt::Debug for FreeSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreeSpace").field("reserve_bytes", &self.reserve_bytes).finish_non_exhaustive()
    }
}

/// Runs `work` where it may block. A panic in it becomes an error: the database underneath panics on some damage.
pub(crate) async fn run<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let advice = "look for a panic in the log, restart the hub, and report it";
        Err(Error::Backend { doing: doing.to_owned(), advice, source: Arc::new(error) })
    })
}

/// Makes the folder, and those above it, for this user alone.
pub(crate) fn create_folder(folder: &Path) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder).map_err(Error::io("creating the folder", folder))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
        .map_err(Error::io("restricting the folder", folder))
}

/// Restricts a file to this user.
pub(crate) fn restrict_file(path: &Path) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(Error::io("restricting the file", path))
}

/// Makes the names in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(Error::io("syncing the folder", folder))
}

/// The plain files directly in `folder`, in no order.
pub(crate) fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for item in fs::read_dir(folder).map_err(Error::io("listing the folder", folder))? {
        let item = item.map_err(Error::io("listing the folder", folder))?;
        if item.file_type().map_err(Error::io("looking at", &item.path()))?.is_file() {
            files.push(item.path());
        }
    }
    Ok(files)
}

/// Writes a small file so that either the old or the new content is there, whatever happens.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<(), Error> {
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, content).map_err(Error::io("writing", &unfinished))?;
    restrict_file(&unfinished)?;
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(Error::io("syncing", &unfinished))?;
    fs::rename(&unfinished, path).map_err(Error::io("naming", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}
