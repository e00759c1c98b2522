//! The Bundle: the ordered set of manifests of a Revision, known by its content.
//!
//! Its bytes are canonical: one set of manifests in one order has one encoding and one digest, whoever encodes it.

mod load;

use std::collections::HashMap;

use crate::digest::Digest;
use crate::manifest::{self, Manifest, ObjectKey};
use crate::resources::Resources;

pub use load::{LoadError, load_manifests};

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
    /// The bytes are not those that [`Bundle::encode`] gives, so that their digest would not be the bundle's.
    #[error("manifest {0} is not in canonical form")]
    NotCanonical(usize),
}

impl Bundle {
    /// Takes manifests that do not contradict each other.
    ///
    /// # Errors
    /// Where there is none, there are too many, or two are the same object.
    pub fn new(manifests: Vec<Manifest>) -> Result<Self, Error> {
        if manifests.is_empty() {
            return Err(Error::Empty);
        }
        if manifests.len() > MAX_BUNDLE_OBJECTS {
            return Err(Error::TooMany(manifests.len()));
        }
        let byte_count = encoded_bytes(&manifests);
        if byte_count > MAX_BUNDLE_BYTES {
            return Err(Error::TooLarge(byte_count));
        }
        let mut seen: HashMap<&ObjectKey, usize> = HashMap::with_capacity(manifests.len());
        for (index, manifest) in manifests.iter().enumerate() {
            if let Some(first) = seen.insert(manifest.key(), index) {
                return Err(Error::Duplicate(Box::new(manifest.key().clone()), first, index));
            }
        }
        Ok(Self { manifests })
    }

    /// Takes objects, such as those of an inline source, in their order.
    ///
    /// # Errors
    /// As [`Bundle::new`], and where an object is no manifest.
    pub fn from_objects(objects: impl IntoIterator<Item = serde_json::Value>) -> Result<Self, Error> {
        let checked =
            |(index, object)| Manifest::new(object).map_err(|source| Error::Manifest { index, source });
        Self::new(objects.into_iter().enumerate().map(checked).collect::<Result<_, _>>()?)
    }

    /// The manifests in their order.
    #[must_use]
    pub fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    /// The canonical bytes: JSON, one object a line, each line ended by a line feed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(encoded_bytes(&self.manifests));
        for manifest in &self.manifests {
            bytes.extend_from_slice(manifest.object().to_string().as_bytes());
            bytes.push(b'\n');
        }
        bytes
    }

    /// Reads canonical bytes, checking everything again.
    ///
    /// # Errors
    /// Where they are no bundle or not canonical.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Self::decode_sharing(bytes, &[])
    }

    /// As [`Bundle::decode`], where some of the manifests are likely `known`, such as those of the revision before: a line
    /// that is one of them is neither read nor checked again, and shares its memory. Most of a new revision is as before,
    /// and to take a digest is twenty times as fast as to read an object.
    ///
    /// # Errors
    /// As [`Bundle::decode`].
    pub fn decode_sharing(bytes: &[u8], known: &[Manifest]) -> Result<Self, Error> {
        if bytes.len() > MAX_BUNDLE_BYTES {
            return Err(Error::TooLarge(bytes.len()));
        }
        let line_count = bytes.iter().filter(|byte| **byte == b'\n').count();
        if line_count > MAX_BUNDLE_OBJECTS {
            return Err(Error::TooMany(line_count));
        }
        // A manifest's digest is that of its canonical JSON, so a line with that digest is that JSON.
        let known: HashMap<Digest, &Manifest> =
            known.iter().map(|manifest| (manifest.digest(), manifest)).collect();
        let mut manifests = Vec::with_capacity(line_count);
        for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let Some(text) = line.strip_suffix(b"\n") else {
                serde_json::from_slice::<serde_json::Value>(line)?;
                return Err(Error::NotCanonical(index));
            };
            let digest = Digest::of(text);
            if let Some(manifest) = known.get(&digest) {
                manifests.push(Manifest::clone(manifest));
                continue;
            }
            let object = serde_json::from_slice(text)?;
            let manifest = Manifest::new(object).map_err(|source| Error::Manifest { index, source })?;
            if manifest.digest() != digest {
                return Err(Error::NotCanonical(index));
            }
            manifests.push(manifest);
        }
        Self::new(manifests)
    }

    /// The content address: the digest of [`Bundle::encode`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.encode())
    }

    /// What one copy of the bundle requests: containers' requests times replicas, as the scheduler counts them. How each
    /// kind counts stands at [`Manifest::pod_count`].
    #[must_use]
    pub fn requests(&self) -> Resources {
        self.manifests.iter().map(Manifest::requests).fold(Resources::default(), Resources::plus)
    }
}

/// How many bytes the encoding takes.
fn encoded_bytes(manifests: &[Manifest]) -> usize {
    manifests.iter().map(|manifest| manifest.byte_count() + 1).sum()
}

#[cfg(test)]
mod tests;
