//! The names that the Kubernetes API has for a kind, and the paths that they make.

use std::fmt::{self, Write as _};

/// A kind in one version of its group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvk {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version, such as `v1`.
    pub version: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
}

impl Gvk {
    /// From an object's `apiVersion` and `kind`.
    #[must_use]
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// The `apiVersion` of an object of this kind.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

impl fmt::Display for Gvk {
    /// `Deployment of apps/v1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.kind, self.api_version())
    }
}

/// A kind as the API server serves it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// The kind.
    pub gvk: Gvk,
    /// The name in paths, such as `deployments`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// A resource that every API server has.
    #[must_use]
    pub fn core(kind: &str, plural: &str, namespaced: bool) -> Self {
        Self { gvk: Gvk::new("v1", kind), plural: plural.to_owned(), namespaced }
    }

    /// The path of all its objects: in `namespace`, or in the whole cluster.
    #[must_use]
    pub fn collection_path(&self, namespace: Option<&str>) -> String {
        let mut path = self.prefix();
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path.push_str("/namespaces/");
            escape_into(&mut path, namespace);
        }
        path.push('/');
        path.push_str(&self.plural);
        path
    }

    /// The path of one object.
    #[must_use]
    pub fn object_path(&self, namespace: Option<&str>, name: &str) -> String {
        let mut path = self.collection_path(namespace);
        path.push('/');
        escape_into(&mut path, name);
        path
    }

    fn prefix(&self) -> String {
        if self.gvk.group.is_empty() {
            format!("/api/{}", self.gvk.version)
        } else {
            format!("/apis/{}/{}", self.gvk.group, self.gvk.version)
        }
    }
}

/// Appends `text` as one path segment or query value (RFC 3986: all but unreserved characters is escaped).
pub fn escape_into(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte as char);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api_server() {
        let deployments = Resource {
            gvk: Gvk::new("apps/v1", "Deployment"),
            plural: "deployments".into(),
            namespaced: true,
        };
        assert_eq!(deployments.collection_path(None), "/apis/apps/v1/deployments");
        assert_eq!(
            deployments.object_path(Some("shop"), "cart"),
            "/apis/apps/v1/namespaces/shop/deployments/cart"
        );
        let namespaces = Resource::core("Namespace", "namespaces", false);
        assert_eq!(namespaces.object_path(Some("ignored"), "shop"), "/api/v1/namespaces/shop");
        let roles = Resource {
            gvk: Gvk::new("rbac.authorization.k8s.io/v1", "ClusterRole"),
            plural: "clusterroles".into(),
            namespaced: false,
        };
        assert_eq!(
            roles.object_path(None, "system:a/b?"),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aa%2Fb%3F"
        );
    }
}
