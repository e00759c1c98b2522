//! Bundles: from blobs to checked manifests, and to the compressed bodies that agents fetch.
//!
//! Each is made once for however many ask at the same time, and kept while memory allows. A blob that is damaged is an
//! error to whoever asks, never an empty bundle.

pub mod collect;
mod pins;
mod shelf;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use nave_common::bundle::Bundle;
use nave_common::digest::Digest;

use self::pins::Pins;
pub use self::pins::{KeepAll, Pin};
use self::shelf::Shelf;
use crate::control::{BundleError, BundleSource};
use crate::error::{Error, with_causes};
use crate::store::blob::Blobs;

/// zstd's own default: manifests are text and shrink to a tenth; higher levels cost much and gain little.
const COMPRESSION_LEVEL: i32 = 3;
/// A decoded bundle takes about this many times its bytes.
const DECODED_FACTOR: usize = 4;

/// All bundles of a hub. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bundles {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    blobs: Arc<dyn Blobs>,
    decoded: Shelf<Arc<Bundle>>,
    compressed: Shelf<Bytes>,
    pins: Arc<Pins>,
}

impl Bundles {
    /// The bundles kept in `blobs`, with `cache_bytes` of memory for those that are read often.
    #[must_use]
    pub fn new(blobs: Arc<dyn Blobs>, cache_bytes: usize) -> Self {
        let (decoded, compressed) = (Shelf::new(cache_bytes / 4 * 3), Shelf::new(cache_bytes / 4));
        Self { inner: Arc::new(Inner { blobs, decoded, compressed, pins: Arc::default() }) }
    }

    /// Keeps a bundle from being collected as long as the pin lives: while it is not yet named by anything that lasts.
    ///
    /// # Errors
    /// [`Error::Unavailable`] at the very moment when it is being collected.
    pub fn pin(&self, digest: Digest) -> Result<Pin, Error> {
        self.inner.pins.pin(digest)
    }

    /// Keeps every bundle from being collected as long as the answer lives. One that is being collected at this moment is
    /// named by nothing, and nothing can begin to name it.
    #[must_use]
    pub fn keep_all(&self) -> KeepAll {
        self.inner.pins.keep_all()
    }

    /// The size in bytes of a bundle as it is kept; `None` where it is not there.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        Ok(self.inner.blobs.size(digest).await?)
    }

    /// At most `length` bytes of a bundle as it is kept, from `offset` on; whoever joins them checks the digest.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not there; else where the disk fails.
    pub async fn read_range(&self, digest: &Digest, offset: u64, length: usize) -> Result<Bytes, Error> {
        let piece = self.inner.blobs.read_range(digest, offset, length).await?;
        piece.ok_or_else(|| missing(digest))
    }

    /// Keeps a checked bundle, durably.
    ///
    /// # Errors
    /// Where the disk is full or fails.
    pub async fn put(&self, bundle: Arc<Bundle>, encoded: Bytes) -> Result<Digest, Error> {
        let size_bytes = encoded.len();
        let digest = Digest::of(&encoded);
        let _pin = self.pin(digest)?;
        // An agent will ask for its compressed form as soon as it is told of it. Made while the disk works, nobody waits
        // for that; where it cannot be made, whoever fetches it is told.
        let compressed = self.inner.compressed.get_or_make(digest, compress(digest, encoded.clone()));
        let (kept, _) = tokio::join!(self.inner.blobs.put(encoded), compressed);
        kept?;
        self.inner.decoded.keep(digest, bundle, size_bytes * DECODED_FACTOR);
        Ok(digest)
    }

    /// Whether there is such a bundle.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn contains(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(self.inner.blobs.contains(digest).await?)
    }

    /// The bundle of that digest.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none; else where it cannot be read.
    pub async fn get(&self, digest: &Digest) -> Result<Arc<Bundle>, Error> {
        let digest = *digest;
        self.inner
            .decoded
            .get_or_make(digest, async {
                let bytes = self.read(&digest).await?;
                let size_bytes = bytes.len() * DECODED_FACTOR;
                let bundle = blocking(move || Bundle::decode(&bytes)).await?.map_err(|error| {
                    // It was checked when it came; so it was written by a release with other rules.
                    Error::Internal(format!(
                        "the stored bundle {digest} cannot be read: {error}; upload it again"
                    ))
                })?;
                Ok((Arc::new(bundle), size_bytes))
            })
            .await
    }

    /// The body of that digest as agents fetch it: compressed with zstd.
    ///
    /// # Errors
    /// As [`Bundles::get`].
    pub async fn compressed(&self, digest: &Digest) -> Result<Bytes, Error> {
        let digest = *digest;
        self.inner
            .compressed
            .get_or_make(digest, async {
                let bytes = self.read(&digest).await?;
                compress(digest, bytes).await
            })
            .await
    }

    async fn read(&self, digest: &Digest) -> Result<Bytes, Error> {
        let bytes = self.inner.blobs.get(digest).await?;
        bytes.ok_or_else(|| missing(digest))
    }
}

fn missing(digest: &Digest) -> Error {
    Error::NotFound(format!("there is no bundle {digest}; upload it first (nave apply does that)"))
}

/// The compressed form of a bundle, and its size.
async fn compress(digest: Digest, bytes: Bytes) -> Result<(Bytes, usize), Error> {
    let compressed = blocking(move || zstd::bulk::compress(&bytes, COMPRESSION_LEVEL)).await?;
    let compressed = compressed
        .map_err(|error| Error::Internal(format!("bundle {digest} cannot be compressed: {error}")))?;
    let size_bytes = compressed.len();
    Ok((Bytes::from(compressed), size_bytes))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Internal(format!("work on a bundle was broken off: {error}")))
}

#[async_trait]
impl BundleSource for Bundles {
    async fn bundle(&self, digest: &Digest) -> Result<Arc<Bundle>, BundleError> {
        self.get(digest).await.map_err(|error| BundleError(with_causes(&error)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::blob::folder::FolderBlobs;
    use crate::store::disk::FreeSpace;

    async fn bundles(folder: &std::path::Path) -> Bundles {
        let blobs = FolderBlobs::open(folder, FreeSpace::reserve(0)).await.unwrap();
        Bundles::new(Arc::new(blobs), 1 << 20)
    }

    fn bundle() -> Bundle {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
        Bundle::from_objects([object]).unwrap()
    }

    #[tokio::test]
    async fn a_bundle_is_kept_read_and_compressed() {
        let folder = tempfile::tempdir().unwrap();
        let encoded = Bytes::from(bundle().encode());
        let digest = bundles(folder.path()).await.put(Arc::new(bundle()), encoded.clone()).await.unwrap();
        let again = bundles(folder.path()).await;
        let (one, other) = tokio::join!(again.get(&digest), again.get(&digest));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(Arc::ptr_eq(&one, &other) && *one == bundle());
        let compressed = again.compressed(&digest).await.unwrap();
        assert_eq!(zstd::bulk::decompress(&compressed, 1 << 20).unwrap(), encoded);
    }

    #[tokio::test]
    async fn a_bundle_is_compressed_by_the_time_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (bundles, encoded) = (bundles(folder.path()).await, Bytes::from(bundle().encode()));
        let digest = bundles.put(Arc::new(bundle()), encoded.clone()).await.unwrap();
        // Nothing is read for it any more.
        assert!(bundles.inner.blobs.delete(&digest).await.unwrap());
        let compressed = bundles.compressed(&digest).await.unwrap();
        assert_eq!(zstd::bulk::decompress(&compressed, 1 << 20).unwrap(), encoded);
    }

    #[tokio::test]
    async fn a_bundle_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Digest::of(b"nothing");
        let error = bundles(folder.path()).await.get(&missing).await.unwrap_err();
        assert!(matches!(&error, Error::NotFound(text) if text.contains(&missing.to_string())), "{error}");
    }
}
