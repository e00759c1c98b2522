//! The Bundle: the ordered set of manifests of a Revision, known by its content.

use crate::digest::Digest;
use crate::manifest::{self, Manifest};
use crate::resources::Resources;

/// The largest encoded bundle, in bytes.
pub const MAX_BUNDLE_BYTES: usize = 64 << 20;
/// The most objects in one bundle.
pub const MAX_BUNDLE_OBJECTS: usize = 20_000;

/// Checked manifests in their order. No two have the same key.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    manifests: Vec<Manifest>,
}

/// Why bytes or manifests are no bundle.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing in it. An empty bundle would delete everything that ran before, so it is refused.
    #[error("there are no manifests: expected at least one Kubernetes object")]
    Empty,
    /// More objects than [`MAX_BUNDLE_OBJECTS`].
    #[error("there are {0} manifests; at most {MAX_BUNDLE_OBJECTS} are allowed in one bundle")]
    TooMany(usize),
    /// Larger than [`MAX_BUNDLE_BYTES`].
    #[error("the manifests take {0} bytes; at most {MAX_BUNDLE_BYTES} are allowed in one bundle")]
    TooLarge(usize),
    /// Two manifests with one key.
    #[error("{0} is there twice: in manifest {1} and in manifest {2}")]
    Duplicate(Box<manifest::ObjectKey>, usize, usize),
    /// A manifest that is none.
    #[error("manifest {index}: {source}")]
    Manifest {
        /// Its place, from 0.
        index: usize,
        /// What is wrong with it.
        source: manifest::Error,
    },
    /// The encoding is broken.
    #[error("the bundle cannot be read: {0}")]
    Encoding(#[from] serde_json::Error),
}

impl Bundle {
    /// Takes manifests that do not contradict each other.
    ///
    /// # Errors
    /// Where there is none, there are too many, or two are the same object.
    pub fn new(manifests: Vec<Manifest>) -> Result<Self, Error> {
        Ok(Self { manifests })
    }

    /// The manifests in their order.
    #[must_use]
    pub fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    /// The canonical bytes: JSON, one object a line.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        unimplemented!()
    }

    /// Reads canonical bytes, checking everything again.
    ///
    /// # Errors
    /// Where they are no bundle or not canonical.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let _ = bytes;
        unimplemented!()
    }

    /// The content address: the digest of [`Bundle::encode`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.encode())
    }

    /// What one copy of the bundle requests: containers' requests times replicas, as the scheduler counts them.
    #[must_use]
    pub fn requests(&self) -> Resources {
        unimplemented!()
    }
}
