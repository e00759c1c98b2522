//! From a bundle and one cluster's changes to the manifests for that cluster: the same pure function on hub, agent and
//! command line.

use crate::bundle::Bundle;
use crate::digest::Digest;
use crate::manifest::Manifest;
use crate::name::NamespaceName;
use crate::overrides::Override;

/// What the rendering depends on besides the bundle.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The cluster's changes.
    pub override_: &'a Override,
    /// The namespace that `create_namespace` makes.
    pub namespace: Option<&'a NamespaceName>,
    /// Whether a Namespace object is added where the bundle holds none.
    pub create_namespace: bool,
}

/// The manifests for one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendering {
    /// In the bundle's order.
    pub manifests: Vec<Manifest>,
    /// The digest of all of them, in order.
    pub digest: Digest,
}

/// Why a bundle cannot be rendered with some changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// Renders a bundle for one cluster: variables, images, replicas, patches, in this order.
///
/// # Errors
/// Where a variable is undefined, a change finds nothing to change, or a patch does not apply; the message names the
/// object, the change and what was expected.
pub fn render(bundle: &Bundle, inputs: Inputs<'_>) -> Result<Rendering, Error> {
    let _ = (bundle, inputs);
    unimplemented!()
}
