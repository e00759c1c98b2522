//! What a Namespace or a CRD holds, asked before it is deleted: deleting it would delete that, too.

use std::collections::{BTreeMap, BTreeSet};

use nave_common::manifest::ObjectKey;
use serde_json::Value;

use crate::api::list::Query;
use crate::api::{Api, Error, Gvk, Resource, Target};
use crate::discovery::Discovery;

/// How many of the objects in the way are named.
const MAX_NAMED: usize = 3;

/// What an object holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// Nothing; or it is no object that could.
    Empty,
    /// Only what is on its way out; this is what.
    Going(String),
    /// Something that stays; this is what.
    Outside(String),
}

/// What the object with this key and UID holds.
///
/// # Errors
/// [`Error`] where that cannot be found out.
pub async fn of(api: &Api, discovery: &Discovery, key: &ObjectKey, uid: &str) -> Result<Contents, Error> {
    match (key.group.as_str(), key.kind.as_str()) {
        ("", "Namespace") => {
            let (kinds, mut unread) = discovery.all().await?;
            unread.retain(|api_version| !is_view(&Gvk::new(api_version, "").group));
            if !unread.is_empty() {
                return Ok(Contents::Outside(format!(
                    "it cannot be told what it holds: {} cannot be read",
                    unread.join(", ")
                )));
            }
            let mut items = Vec::new();
            for resource in kinds.iter().filter(|resource| resource.namespaced && holds_data(resource)) {
                let query = Query::all(resource).within(Some(&key.name)).metadata();
                for item in api.list(query).await? {
                    items.push(Item::read(resource, &item));
                }
            }
            Ok(judge(&items, "it"))
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(api, key, uid).await,
        _ => Ok(Contents::Empty),
    }
}

async fn definition(api: &Api, key: &ObjectKey, uid: &str) -> Result<Contents, Error> {
    let definitions = Resource {
        gvk: Gvk::new("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        plural: "customresourcedefinitions".into(),
        namespaced: false,
    };
    let target = Target { resource: &definitions, namespace: None, name: &key.name };
    let object = match api.get(target).await {
        Ok(object) if object["metadata"]["uid"] == uid => object,
        Ok(_) => return Ok(Contents::Empty),
        Err(error) if error.is_not_found() => return Ok(Contents::Empty),
        Err(error) => return Err(error),
    };
    let Some(resource) = served(&object) else { return Ok(Contents::Empty) };
    let items = match api.list(Query::all(&resource).metadata()).await {
        Ok(items) => items,
        // It was never established, so nobody made one.
        Err(error) if error.is_not_found() => return Ok(Contents::Empty),
        Err(error) => return Err(error),
    };
    let items: Vec<_> = items.iter().map(|item| Item::read(&resource, item)).collect();
    Ok(judge(&items, "its kind"))
}

/// The kind that a CRD defines, in a version that is served.
#[must_use]
pub fn served(definition: &Value) -> Option<Resource> {
    let spec = &definition["spec"];
    let versions = spec["versions"].as_array()?;
    let version = versions.iter().find(|version| version["served"] == true)?["name"].as_str()?;
    let api_version = format!("{}/{version}", spec["group"].as_str()?);
    Some(Resource {
        gvk: Gvk::new(&api_version, spec["names"]["kind"].as_str()?),
        plural: spec["names"]["plural"].as_str()?.to_owned(),
        namespaced: spec["scope"] == "Namespaced",
    })
}

/// Kinds whose objects come and go with others, or are only a view of something.
fn holds_data(resource: &Resource) -> bool {
    let (group, kind) = (resource.gvk.group.as_str(), resource.gvk.kind.as_str());
    !is_view(group)
        && !matches!(
            (group, kind),
            ("", "Event" | "Endpoints") | ("events.k8s.io", _) | ("coordination.k8s.io", "Lease")
        )
}

/// Groups of metrics, which nobody can delete.
fn is_view(group: &str) -> bool {
    group == "metrics.k8s.io" || group.ends_with(".metrics.k8s.io")
}

/// One object in a namespace.
#[derive(Debug, Clone)]
struct Item {
    kind: String,
    name: String,
    uid: String,
    deleting: bool,
    owners: Vec<String>,
}

impl Item {
    fn read(resource: &Resource, item: &Value) -> Self {
        let metadata = &item["metadata"];
        let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
        Self {
            kind: resource.gvk.kind.clone(),
            name: metadata["name"].as_str().unwrap_or_default().to_owned(),
            uid: metadata["uid"].as_str().unwrap_or_default().to_owned(),
            deleting: !metadata["deletionTimestamp"].is_null(),
            owners: owners.filter_map(|owner| owner["uid"].as_str().map(str::to_owned)).collect(),
        }
    }

    /// What every namespace gets by itself.
    fn is_automatic(&self) -> bool {
        matches!(
            (self.kind.as_str(), self.name.as_str()),
            ("ServiceAccount", "default") | ("ConfigMap", "kube-root-ca.crt")
        )
    }

    fn describe(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}

/// What others own stands and falls with its owner: it counts for nothing while that is here, and is on its way out
/// once that is gone.
fn judge(items: &[Item], holder: &str) -> Contents {
    let present: BTreeSet<&str> = items.iter().map(|item| item.uid.as_str()).collect();
    let mut outside: BTreeMap<&str, String> = BTreeMap::new();
    let mut going: Option<String> = None;
    for item in items.iter().filter(|item| !item.is_automatic()) {
        let owned_here = item.owners.iter().any(|owner| present.contains(owner.as_str()));
        if item.deleting || (!item.owners.is_empty() && !owned_here) {
            going.get_or_insert_with(|| item.describe());
        } else if item.owners.is_empty() {
            outside.insert(&item.uid, item.describe());
        }
    }
    if !outside.is_empty() {
        let named: Vec<_> = outside.values().take(MAX_NAMED).cloned().collect();
        let more = outside.len() - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return Contents::Outside(format!(
            "{holder} still holds {}{more}, which would be deleted with it",
            named.join(", ")
        ));
    }
    going.map_or(Contents::Empty, |what| Contents::Going(format!("it waits until {what} is gone")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(kind: &str, name: &str, owners: &[&str], deleting: bool) -> Item {
        Item {
            kind: kind.into(),
            name: name.into(),
            uid: name.into(),
            deleting,
            owners: owners.iter().map(|&owner| owner.to_owned()).collect(),
        }
    }

    #[test]
    fn what_stays_keeps_its_namespace() {
        let automatic = [
            item("ServiceAccount", "default", &[], false),
            item("ConfigMap", "kube-root-ca.crt", &[], false),
        ];
        assert_eq!(judge(&automatic, "it"), Contents::Empty);
        let volume = [item("PersistentVolumeClaim", "data-0", &[], false), item("Pod", "p", &["set"], false)];
        assert_eq!(
            judge(&volume, "it"),
            Contents::Outside(
                "it still holds PersistentVolumeClaim data-0, which would be deleted with it".into()
            )
        );
    }

    #[test]
    fn what_belongs_to_something_that_is_gone_is_going() {
        let pods =
            [item("ReplicaSet", "r", &["deployment-that-is-gone"], false), item("Pod", "p", &["r"], false)];
        assert_eq!(judge(&pods, "it"), Contents::Going("it waits until ReplicaSet r is gone".into()));
        assert_eq!(
            judge(&[item("Pod", "p", &[], true)], "it"),
            Contents::Going("it waits until Pod p is gone".into())
        );
        // With its owner still here, the owner is what counts.
        let kept = [item("Deployment", "d", &[], false), item("ReplicaSet", "r", &["d"], false)];
        assert!(
            matches!(judge(&kept, "it"), Contents::Outside(why) if why.contains("Deployment d,") && !why.contains("ReplicaSet"))
        );
    }

    #[test]
    fn kind_of_a_definition_is_read_in_a_version_that_is_served() {
        let definition = json!({"spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Database", "plural": "databases"},
            "versions": [{"name": "v1alpha1", "served": false}, {"name": "v1", "served": true}]}});
        let resource = served(&definition).unwrap();
        assert_eq!(resource.collection_path(None), "/apis/example.com/v1/databases");
        assert!(resource.namespaced);
    }
}
