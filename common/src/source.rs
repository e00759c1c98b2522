//! Where an application's manifests come from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::manifest::masked;

/// Where the manifests come from: exactly one of the kinds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The manifests stand in the Application itself.
    Inline(InlineSource),
    /// The manifests were uploaded as a bundle.
    Bundle(BundleSource),
}

/// Manifests that stand in the Application itself.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InlineSource {
    /// The objects, in the order in which they stand.
    pub manifests: Vec<serde_json::Value>,
}

impl Source {
    /// The source as it may be shown: without the values of Secrets.
    #[must_use]
    pub fn masked(&self) -> Self {
        match self {
            Self::Inline(inline) => Self::Inline(inline.masked()),
            Self::Bundle(bundle) => Self::Bundle(bundle.clone()),
        }
    }
}

impl InlineSource {
    fn masked(&self) -> Self {
        Self { manifests: self.manifests.iter().map(masked).collect() }
    }
}

impl fmt::Debug for InlineSource {
    /// Without the values of Secrets, since it ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineSource").field("manifests", &self.masked().manifests).finish()
    }
}

/// An uploaded bundle, named by a path before `nave apply` has read it and by a digest after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleSource {
    /// A file or directory, relative to the document that names it. The hub keeps it for display only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The bundle; the hub refuses an Application without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}
