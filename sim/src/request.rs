//! A request as the core reads it: method, path and parameters, without HTTP.

use hyper::body::Bytes;

/// What arrives.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path, percent-decoded.
    pub path: String,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// The `Content-Type`.
    pub content_type: String,
    /// The `Accept`.
    pub accept: String,
    /// The `User-Agent`.
    pub user_agent: String,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// A parameter; empty if it is not there.
    #[must_use]
    pub fn parameter(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    /// A parameter that is set.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.parameter(name), "true" | "1" | "True")
    }

    /// The writing manager, as the server names it.
    #[must_use]
    pub fn manager(&self) -> String {
        let named = match self.parameter("fieldManager") {
            "" => self.user_agent.split('/').next().unwrap_or_default(),
            manager => manager,
        };
        if named.is_empty() { "unknown".to_owned() } else { named.chars().take(128).collect() }
    }

    /// Nothing is to be kept.
    #[must_use]
    pub fn dry_run(&self) -> bool {
        self.query.iter().any(|(key, value)| key == "dryRun" && value == "All")
    }
}

/// The verbs, as audit logs and RBAC name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    /// Reads one object.
    Get,
    /// Reads many.
    List,
    /// Follows changes.
    Watch,
    /// Makes one.
    Create,
    /// Replaces one.
    Update,
    /// Changes one by a patch.
    Patch,
    /// Changes or makes one by server-side apply.
    Apply,
    /// Removes one.
    Delete,
    /// Removes many.
    DeleteCollection,
    /// Asks what is served, or for health.
    Discover,
}

impl Verb {
    /// Its name.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Apply => "apply",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
            Verb::Discover => "discover",
        }
    }

    /// Does it write?
    #[must_use]
    pub(crate) fn writes(self) -> bool {
        !matches!(self, Verb::Get | Verb::List | Verb::Watch | Verb::Discover)
    }
}

/// A path below a group and version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    /// The API group; empty for core.
    pub group: String,
    /// The version.
    pub version: String,
    /// The plural.
    pub plural: String,
    /// The namespace, if the path has one.
    pub namespace: Option<String>,
    /// The name, if the path has one.
    pub name: Option<String>,
    /// The subresource, if the path has one.
    pub subresource: Option<String>,
}

/// Splits the path of a resource; `None` for every other path.
#[must_use]
pub(crate) fn resource_path(path: &str) -> Option<ResourcePath> {
    let mut steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
    let (group, version) = match steps.first().copied() {
        Some("api") if steps.len() > 2 => (String::new(), steps.remove(1)),
        Some("apis") if steps.len() > 3 => (steps.remove(1).to_owned(), steps.remove(1)),
        _ => return None,
    };
    steps.remove(0);
    let mut out = ResourcePath { group, version: version.to_owned(), ..ResourcePath::default() };
    let inside = steps.len() > 2 && !matches!(steps.get(2), Some(&("status" | "finalize")));
    if steps.first() == Some(&"namespaces") && inside {
        out.namespace = steps.get(1).map(|step| (*step).to_owned());
        steps.drain(..2);
    }
    let mut steps = steps.into_iter().map(str::to_owned);
    out.plural = steps.next()?;
    out.name = steps.next();
    out.subresource = steps.next();
    Some(out)
}

/// What the request asks for, as far as its path and method tell.
#[must_use]
pub(crate) fn verb(request: &Request, path: Option<&ResourcePath>) -> Verb {
    let Some(path) = path else { return Verb::Discover };
    let named = path.name.is_some();
    match request.method.as_str() {
        "POST" => Verb::Create,
        "PUT" => Verb::Update,
        "PATCH" if request.content_type.starts_with("application/apply-patch") => Verb::Apply,
        "PATCH" => Verb::Patch,
        "DELETE" if named => Verb::Delete,
        "DELETE" => Verb::DeleteCollection,
        _ if request.flag("watch") => Verb::Watch,
        _ if named => Verb::Get,
        _ => Verb::List,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_split_into_their_parts() {
        let path = resource_path("/apis/apps/v1/namespaces/shop/deployments/web/scale").unwrap();
        assert_eq!(
            (path.group.as_str(), path.version.as_str(), path.plural.as_str()),
            ("apps", "v1", "deployments")
        );
        assert_eq!(path.namespace.as_deref(), Some("shop"));
        assert_eq!((path.name.as_deref(), path.subresource.as_deref()), (Some("web"), Some("scale")));
        let path = resource_path("/api/v1/namespaces/shop").unwrap();
        assert_eq!(
            (path.plural.as_str(), path.name.as_deref(), path.namespace),
            ("namespaces", Some("shop"), None)
        );
        let path = resource_path("/api/v1/namespaces/shop/status").unwrap();
        assert_eq!((path.plural.as_str(), path.subresource.as_deref()), ("namespaces", Some("status")));
        let path = resource_path("/api/v1/namespaces/shop/pods").unwrap();
        assert_eq!((path.plural.as_str(), path.name), ("pods", None));
        assert_eq!(resource_path("/apis/apps/v1"), None);
        assert_eq!(resource_path("/api/v1"), None);
    }
}
