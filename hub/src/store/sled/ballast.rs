//! The ballast: disk that the store owns and does not need, given up on the day the disk is full.
//!
//! The reserve of [`FreeSpace`](crate::store::disk::FreeSpace) is only measured: others can still fill the disk to its
//! last byte. Then sled can finish nothing, and even reads fail. Dropping the ballast gives it room for what was
//! already acknowledged, so that reads go on while writes are refused.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::store::Error;

/// Enough for sled to write what may be unapplied ([`MAX_UNAPPLIED_BYTES`](super::recent::MAX_UNAPPLIED_BYTES)): it
/// writes up to three times the bytes it is given.
pub(super) const DEFAULT_BYTES: u64 = 32 << 20;

#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    pub(super) fn new(folder: &Path, bytes: u64) -> Self {
        Self { path: folder.join("ballast"), bytes }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// True where the room is taken already.
    pub(super) fn is_taken(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| found.len() >= self.bytes)
    }

    /// Takes the room, if it is not taken yet.
    pub(super) fn take(&self) -> Result<(), Error> {
        if self.is_taken() {
            return Ok(());
        }
        let options = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).to_owned();
        let file = options.open(&self.path).map_err(Error::io("creating the ballast", &self.path))?;
        let taken = self.allocate(&file);
        if taken.is_err() {
            self.release();
        }
        taken
    }

    fn allocate(&self, file: &File) -> Result<(), Error> {
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, self.bytes) {
            Err(rustix::io::Errno::OPNOTSUPP) => {
                tracing::warn!(path = %self.path.display(), "this file system cannot set room aside for a full disk");
                file.set_len(self.bytes).map_err(Error::io("sizing the ballast", &self.path))
            }
            taken => taken.map_err(|error| Error::io("allocating the ballast", &self.path)(error.into())),
        }
    }

    /// Gives the room up; returns whether there was any.
    pub(super) fn release(&self) -> bool {
        match fs::remove_file(&self.path) {
            Ok(()) => true,
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    tracing::warn!(path = %self.path.display(), %error, "cannot give up the ballast");
                }
                false
            }
        }
    }
}
