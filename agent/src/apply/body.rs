//! From a manifest to what is sent: Nave's labels, the namespace by scope, less what is left to others.

use nave_common::manifest::{Manifest, ObjectKey};
use nave_common::name::ApplicationKey;
use serde_json::{Map, Value};

use crate::observation::{
    ADOPTED_ANNOTATION, APPLICATION_LABEL, PARKED_REPLICAS_ANNOTATION, PROJECT_LABEL, Yields,
};
use crate::ownership::exclusion::Exclusion;

/// What an applied object depends on besides its manifest.
#[derive(Debug, Clone, Copy)]
pub struct Dressing<'a> {
    /// The application that it belongs to.
    pub application: &'a ApplicationKey,
    /// The object's key, with the namespace that it gets.
    pub key: &'a ObjectKey,
    /// The UID that the object must have; an object without it, or with another, is refused by the API server.
    pub uid: Option<&'a str>,
    /// Whether it was there before and was taken over.
    pub adopted: bool,
    /// What is left to others.
    pub yields: Yields,
    /// The replicas with which an autoscaler begins again, or once it is no longer parked, begins: remembered in the object
    /// until the autoscaler has them.
    pub scaled: Option<u32>,
    /// Whether it is parked.
    pub is_parked: bool,
    /// What `sync.ignoreFields` names of it.
    pub ignored: &'a [Exclusion],
}

/// The object to apply.
#[must_use]
pub fn dress(manifest: &Manifest, dressing: Dressing<'_>) -> Value {
    let mut object = manifest.object().clone();
    if dressing.yields.replicas {
        Exclusion::replicas().remove_from(&mut object);
    }
    for (bit, exclusion) in dressing.ignored.iter().enumerate().take(64) {
        if dressing.yields.ignored & (1 << bit) != 0 {
            exclusion.remove_from(&mut object);
        }
    }
    if let Some(replicas) = dressing.scaled.filter(|_| !dressing.is_parked) {
        object["spec"]["replicas"] = replicas.into();
    }
    // A manifest is always an object, and so is its metadata.
    if let Some(metadata) = object.as_object_mut().and_then(|fields| map_at(fields, "metadata")) {
        dress_metadata(metadata, dressing);
    }
    object
}

fn dress_metadata(metadata: &mut Map<String, Value>, dressing: Dressing<'_>) {
    match &dressing.key.namespace {
        Some(namespace) => metadata.insert("namespace".into(), namespace.as_str().into()),
        None => metadata.remove("namespace"),
    };
    if let Some(uid) = dressing.uid {
        metadata.insert("uid".into(), uid.into());
    }
    if let Some(labels) = map_at(metadata, "labels") {
        labels.insert(APPLICATION_LABEL.into(), dressing.application.name.as_str().into());
        labels.insert(PROJECT_LABEL.into(), dressing.application.project.as_str().into());
    }
    if let (Some(replicas), Some(annotations)) =
        (dressing.scaled, dressing.scaled.and_then(|_| map_at(metadata, "annotations")))
    {
        annotations.insert(PARKED_REPLICAS_ANNOTATION.into(), replicas.to_string().into());
    }
    if let Some(annotations) = dressing.adopted.then(|| map_at(metadata, "annotations")).flatten() {
        annotations.insert(ADOPTED_ANNOTATION.into(), "true".into());
    }
}

/// The map in a field; an empty one is made where there is none.
fn map_at<'a>(fields: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    let value = fields.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn object_gets_labels_namespace_and_uid_and_loses_what_is_left_to_others() {
        let manifest = Manifest::new(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "cart", "labels": {"tier": "gold"}},
            "spec": {"replicas": 3, "paused": true}
        }))
        .unwrap();
        let key = ObjectKey { namespace: Some("shop".into()), ..manifest.key().clone() };
        let application = "retail/shop".parse().unwrap();
        let ignored = [Exclusion::new("/spec/paused", manifest.object())];
        let object = dress(
            &manifest,
            Dressing {
                application: &application,
                key: &key,
                uid: Some("u-1"),
                adopted: true,
                yields: Yields { replicas: true, ignored: 1 },
                scaled: None,
                is_parked: false,
                ignored: &ignored,
            },
        );
        assert_eq!(
            object,
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "cart", "namespace": "shop", "uid": "u-1",
                    "annotations": {"nave.dev/adopted": "true"},
                    "labels": {"tier": "gold", "nave.dev/application": "shop", "nave.dev/project": "retail"}},
                "spec": {}
            })
        );
    }

    #[test]
    fn object_of_the_whole_cluster_has_no_namespace() {
        let manifest = Manifest::new(json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "namespace": "oops"}
        }))
        .unwrap();
        let key = ObjectKey { namespace: None, ..manifest.key().clone() };
        let application = "shop".parse().unwrap();
        let dressing = Dressing {
            application: &application,
            key: &key,
            uid: None,
            adopted: false,
            yields: Yields::default(),
            scaled: None,
            is_parked: false,
            ignored: &[],
        };
        assert_eq!(dress(&manifest, dressing)["metadata"].get("namespace"), None);
    }
}
