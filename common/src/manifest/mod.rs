//! The Manifest: one Kubernetes object as it is wanted, checked, in canonical form.
//!
//! Everything that reaches a bundle or a cluster has gone through [`Manifest::new`]. What an API server would refuse for
//! sure and what server-side apply cannot take is refused here, with the field's path; everything else is left to the
//! API server, which knows the schema. No error text and no Debug output holds a value of a Secret.

mod canonical;
mod lists;
mod mask;
mod meta;
mod pod;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::field::FieldError;

pub use mask::{MASK, MASK_CHANGED, masked, masked_pair};
pub(crate) use mask::{masked_json_patch, masked_secret};
pub use meta::{APPLICATION_LABEL, PROJECT_LABEL};
pub(crate) use pod::{pod_spec, pod_spec_mut, repository};

/// The largest manifest, in bytes of JSON: what a Kubernetes API server takes (etcd's limit of 1.5 MiB, less room for
/// managed fields).
pub const MAX_MANIFEST_BYTES: usize = 1_400_000;

/// How every variable in a manifest begins; [`crate::render`] replaces `${nave:NAME}`.
pub const VARIABLE_START: &str = "${nave:";

/// What makes two manifests the same object: everything but the API version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

impl Ord for ObjectKey {
    /// By group, kind, namespace, name. Written out because of the core group: an empty string has no memory of its own,
    /// and comparing two of them as bytes takes a hundred times as long as any other comparison on processors where
    /// the C library loads before it looks at the length. Maps of objects compare millions of times.
    fn cmp(&self, other: &Self) -> Ordering {
        let text = |left: &str, right: &str| match (left.is_empty(), right.is_empty()) {
            (false, false) => left.cmp(right),
            (left, right) => right.cmp(&left),
        };
        text(&self.group, &other.group)
            .then_with(|| self.kind.cmp(&other.kind))
            .then_with(|| self.namespace.cmp(&other.namespace))
            .then_with(|| self.name.cmp(&other.name))
    }
}

impl PartialOrd for ObjectKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
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
///
/// Cheap to clone: a thousand renderings of one bundle share what they have in common.
#[derive(Clone)]
pub struct Manifest(Arc<Checked>);

struct Checked {
    key: ObjectKey,
    api_version: String,
    object: Value,
    byte_count: usize,
    digest: Digest,
    has_variables: bool,
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
    /// Fields whose value is null are dropped, as are `status` and what only a server sets in `metadata`.
    /// `metadata.ownerReferences` and `metadata.finalizers` stay.
    ///
    /// # Errors
    /// Where apiVersion, kind or name are missing or illegal, where a list with keys (containers, ports, env, volumes)
    /// holds one key twice, which server-side apply would refuse, or where the object is too large.
    pub fn new(mut object: Value) -> Result<Self, Error> {
        canonical::tidy(&mut object, 0)?;
        let Value::Object(fields) = &mut object else {
            return Err(FieldError::new(
                "",
                "is no Kubernetes object: expected a map with apiVersion, kind and metadata",
            )
            .into());
        };
        canonical::remove_idle_fields(fields);
        let (api_version, key) = meta::check(fields)?;
        canonical::check_data(&key, fields)?;
        lists::check(&key, &object)?;
        let text = object.to_string();
        if text.len() > MAX_MANIFEST_BYTES {
            return Err(Error::TooLarge(text.len()));
        }
        Ok(Self(Arc::new(Checked {
            key,
            api_version,
            byte_count: text.len(),
            digest: Digest::of(text.as_bytes()),
            has_variables: text.contains(VARIABLE_START),
            object,
        })))
    }

    /// What object it is.
    #[must_use]
    pub fn key(&self) -> &ObjectKey {
        &self.0.key
    }

    /// The API version, such as `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> &str {
        &self.0.api_version
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.0.object
    }

    /// The digest of the canonical JSON.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// How many bytes the canonical JSON takes.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        self.0.byte_count
    }

    /// Whether `${nave:` stands anywhere in it, so that a rendering has to look closer.
    #[must_use]
    pub fn has_variables(&self) -> bool {
        self.0.has_variables
    }
}

impl PartialEq for Manifest {
    /// By digest: everything else follows from the canonical JSON. Revisions of a thousand objects are compared at every
    /// change of one.
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}

impl fmt::Debug for Manifest {
    /// The object, with the values of a Secret masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifest({})", masked(self.object()))
    }
}

/// `a map`, `a number`: what a value is, for errors, which never quote the value itself.
pub(crate) fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests;
