//! Blobs: large immutable bodies by their SHA-256, beside the store.
//!
//! This module owns how a body is kept and found again. It never knows who refers to a blob: what is unreferenced is
//! found and deleted by its owner. Backends: [`folder::FolderBlobs`]; buckets can follow behind the same trait.

pub mod folder;

use async_trait::async_trait;
use bytes::Bytes;
use nave_common::digest::Digest;

use super::Error;

/// The largest blob, in bytes.
pub const MAX_BLOB_BYTES: u64 = 256 << 20;
/// The most blobs in one page of a listing.
pub const MAX_BLOB_PAGE: usize = 1000;

/// A blob in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The blob's digest.
    pub digest: Digest,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// When it was last put; what a grace time before deletion is counted from.
    pub put_at: std::time::SystemTime,
}

/// A part of a listing of blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobPage {
    /// The blobs, ordered by digest.
    pub blobs: Vec<Listed>,
    /// What to give as `after` for the next page; `None` at the end.
    pub next: Option<Digest>,
}

/// Bodies by digest. Used as `Arc<dyn Blobs>`.
///
/// Every method may fail with [`Error::Io`] and [`Error::Backend`].
#[async_trait]
pub trait Blobs: Send + Sync + std::fmt::Debug {
    /// Keeps `bytes`, durably, and returns their digest. Putting what is there changes nothing but its `put_at`;
    /// putting what is there but damaged mends it. Fails with [`Error::TooLarge`] past [`MAX_BLOB_BYTES`] and with
    /// [`Error::Full`] where there is no room.
    async fn put(&self, bytes: Bytes) -> Result<Digest, Error>;

    /// The whole blob, checked against its digest; `None` where it is not there. Fails with [`Error::Corrupt`] where
    /// the bytes are not those that were put.
    async fn get(&self, digest: &Digest) -> Result<Option<Bytes>, Error>;

    /// At most `length` bytes from `offset` on, fewer where the blob ends before; `None` where there is no such blob.
    /// A part cannot be checked against the digest: whoever joins the parts must do that.
    async fn read_range(&self, digest: &Digest, offset: u64, length: usize) -> Result<Option<Bytes>, Error>;

    /// The blob's size in bytes; `None` where it is not there.
    async fn size(&self, digest: &Digest) -> Result<Option<u64>, Error>;

    /// True where there is such a blob.
    async fn contains(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(self.size(digest).await?.is_some())
    }

    /// Removes the blob, durably; returns whether it was there.
    async fn delete(&self, digest: &Digest) -> Result<bool, Error>;

    /// The blobs after `after`, ordered by digest: at most `limit` (and [`MAX_BLOB_PAGE`]).
    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<BlobPage, Error>;
}
