//! Discovery: which kinds the API server serves, and whether they live in namespaces.
//!
//! One request per group and version, kept until a kind is missing or a CRD changes. It never decides what a missing
//! kind means.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use nave_common::runtime::backoff::retry;
use serde_json::Value;
use tokio::time::Instant;

use crate::api::{Api, Error, Gvk, Resource};

/// How often a group is asked for that cannot be read for the moment.
const MAX_ATTEMPTS: u32 = 5;

/// What was found out, shared by its clones.
#[derive(Debug, Clone)]
pub struct Discovery {
    api: Api,
    cache: Arc<Mutex<HashMap<String, Known>>>,
    /// Held by the one that asks, so that many that want to know the same ask once.
    asking: Arc<tokio::sync::Mutex<()>>,
}

/// The kinds of one group and version.
type Kinds = Arc<[Arc<Resource>]>;

/// What is known of one group and version.
#[derive(Debug, Clone)]
struct Known {
    kinds: Kinds,
    asked_at: Instant,
}

impl Discovery {
    /// With nothing found out yet.
    #[must_use]
    pub fn new(api: Api) -> Self {
        Self { api, cache: Arc::default(), asking: Arc::default() }
    }

    /// A kind that was found before; no request is made.
    #[must_use]
    pub fn known(&self, gvk: &Gvk) -> Option<Arc<Resource>> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        find(&cache.get(&gvk.api_version())?.kinds, gvk)
    }

    /// Asks for every kind of an `apiVersion` and remembers the answer. An `apiVersion` that is not served has none. The
    /// answer to a question that someone asked after `since` will do.
    ///
    /// # Errors
    /// [`Error`] where the API server cannot say.
    pub async fn refresh(&self, api_version: &str, since: Instant) -> Result<Arc<[Arc<Resource>]>, Error> {
        let _asking = self.asking.lock().await;
        let known = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(api_version).cloned();
        if let Some(known) = known.filter(|known| known.asked_at >= since) {
            return Ok(known.kinds);
        }
        let asked_at = Instant::now();
        let path = if api_version.contains('/') {
            format!("/apis/{api_version}")
        } else {
            format!("/api/{api_version}")
        };
        let kinds: Kinds = match self.api.get_path(&path).await {
            Ok(list) => read(&list, api_version).into(),
            Err(error) if error.is_not_found() => Arc::new([]),
            Err(error) => return Err(error),
        };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(api_version.to_owned(), Known { kinds: Arc::clone(&kinds), asked_at });
        Ok(kinds)
    }

    /// Every kind of every group in the version that the API server prefers, as far as its objects can be listed.
    ///
    /// # Errors
    /// [`Error`] where the API server cannot say which groups there are. A single group that cannot be read (its
    /// aggregated server is down) is left out and named in the second part.
    pub async fn all(&self) -> Result<(Vec<Arc<Resource>>, Vec<String>), Error> {
        let started_at = Instant::now();
        let groups = self.api.get_path("/apis").await?;
        let preferred = groups["groups"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|group| group["preferredVersion"]["groupVersion"].as_str());
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for api_version in std::iter::once("v1").chain(preferred) {
            match retry(MAX_ATTEMPTS, Error::is_transient, || self.refresh(api_version, started_at)).await {
                Ok(resources) => found.extend(resources.iter().cloned()),
                Err(error) if error.is_unreachable() => return Err(error),
                Err(_) => missing.push(api_version.to_owned()),
            }
        }
        Ok((found, missing))
    }

    /// Forgets a group, because a CRD of it has come, changed or gone.
    pub fn forget_group(&self, group: &str) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|api_version, _| Gvk::new(api_version, "").group != group);
    }
}

fn find(resources: &[Arc<Resource>], gvk: &Gvk) -> Option<Arc<Resource>> {
    resources.iter().find(|resource| resource.gvk == *gvk).cloned()
}

/// Reads an `APIResourceList`. Subresources, and kinds that cannot be listed, such as reviews, are left out.
fn read(list: &Value, api_version: &str) -> Vec<Arc<Resource>> {
    let mut resources = Vec::new();
    for item in list["resources"].as_array().into_iter().flatten() {
        let (Some(plural), Some(kind)) = (item["name"].as_str(), item["kind"].as_str()) else { continue };
        let can_list = item["verbs"].as_array().is_some_and(|verbs| verbs.iter().any(|verb| verb == "list"));
        if plural.contains('/') || !can_list {
            continue;
        }
        resources.push(Arc::new(Resource {
            gvk: Gvk::new(api_version, kind),
            plural: plural.to_owned(),
            namespaced: item["namespaced"].as_bool().unwrap_or(false),
        }));
    }
    resources
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn subresources_and_reviews_are_no_kinds_of_their_own() {
        let list = json!({"resources": [
            {"name": "deployments", "kind": "Deployment", "namespaced": true, "verbs": ["get", "list"]},
            {"name": "deployments/scale", "kind": "Scale", "namespaced": true, "verbs": ["get", "list"]},
            {"name": "tokenreviews", "kind": "TokenReview", "namespaced": false, "verbs": ["create"]},
        ]});
        let resources = read(&list, "apps/v1");
        assert_eq!(resources.len(), 1);
        assert_eq!(resources[0].gvk, Gvk::new("apps/v1", "Deployment"));
        assert!(find(&resources, &Gvk::new("apps/v1", "Deployment")).is_some_and(|found| found.namespaced));
        assert!(find(&resources, &Gvk::new("apps/v1beta1", "Deployment")).is_none());
    }
}
