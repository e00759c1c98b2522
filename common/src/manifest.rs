//! The Manifest: one Kubernetes object as it is wanted, checked, in canonical form.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::field::FieldError;

/// The largest manifest, in bytes of JSON: what a Kubernetes API server takes (etcd's limit of 1.5 MiB, less room for
/// managed fields).
pub const MAX_MANIFEST_BYTES: usize = 1_400_000;

/// What makes two manifests the same object: everything but the API version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectKey {
    /// The API group; empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
    /// The namespace; `None` for cluster-wide objects, and in manifests that leave it to the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    /// `Deployment shop/cart`, `Namespace shop`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// One Kubernetes object as it is wanted. Its JSON form is canonical: maps are sorted, a Secret's `stringData` is folded
/// into `data`, and there is no `status`, no `managedFields` and no other field that only a server sets.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    key: ObjectKey,
    api_version: String,
    object: Value,
}

/// Why an object is no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A field is missing or has no legal value.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Larger than [`MAX_MANIFEST_BYTES`].
    #[error("the object takes {0} bytes as JSON; at most {MAX_MANIFEST_BYTES} are allowed")]
    TooLarge(usize),
}

impl Manifest {
    /// Checks an object and brings it into canonical form.
    ///
    /// # Errors
    /// Where apiVersion, kind or name are missing or illegal, where a list with keys (containers, ports, env, volumes)
    /// holds one key twice, which server-side apply would refuse, or where the object is too large.
    pub fn new(object: Value) -> Result<Self, Error> {
        let _ = object;
        unimplemented!()
    }

    /// What object it is.
    #[must_use]
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// The API version, such as `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> &str {
        &self.api_version
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// The digest of the canonical JSON.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.object.to_string().as_bytes())
    }
}
