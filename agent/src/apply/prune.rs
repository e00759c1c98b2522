//! Carries out one deletion or release, looking at the live object first: only the very object that Nave made, and only
//! while its labels still say so.

use std::sync::Arc;

use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;
use serde_json::{Value, json};

use super::contents::{self, Contents};
use crate::api::{Api, Deleted, Error, Resource, Target};
use crate::discovery::Discovery;
use crate::observation::{ADOPTED_ANNOTATION, APPLICATION_LABEL, Identity, PROJECT_LABEL};
use crate::ownership;

/// How often a deletion is tried when the object changes between the look and the deletion.
const MAX_ATTEMPTS: usize = 5;

/// One object that Nave lets go of.
#[derive(Debug, Clone)]
pub struct Request {
    /// The application that it belonged to.
    pub application: ApplicationKey,
    /// Its key.
    pub key: Arc<ObjectKey>,
    /// Its kind.
    pub resource: Arc<Resource>,
    /// Its UID; `None` where the answer to its create was never seen.
    pub uid: Option<String>,
    /// Whether a person's wish that nothing be written to it counts. Not where the whole application is to go.
    pub may_be_suspended: bool,
}

/// How it went.
#[derive(Debug)]
pub enum Outcome {
    /// It is gone, or Nave's mark on it is.
    Done,
    /// It goes; this is what it waits for.
    Going(String),
    /// It stays; this is why.
    Kept(String),
    /// It is another object now, or another's; nothing was done to it.
    NotOurs(String),
    /// It did not work.
    Failed(Error),
}

impl Request {
    fn target(&self) -> Target<'_> {
        Target { resource: &self.resource, namespace: self.key.namespace.as_deref(), name: &self.key.name }
    }

    /// Whether the live object is the one that is meant, and still the application's; else what to say.
    fn check(&self, live: &Identity) -> Option<Outcome> {
        match &live.owner {
            Some(owner) if *owner == self.application => {}
            Some(owner) => return Some(Outcome::NotOurs(format!("it belongs to application {owner} now"))),
            None => {
                return Some(Outcome::NotOurs("it no longer has Nave's labels, so it is left alone".into()));
            }
        }
        if self.uid.as_ref() == Some(&live.uid) {
            return None;
        }
        // Its answer was never seen, or it was made again and that was never recorded: then it has Nave's fields.
        if !live.applied_by_nave {
            return Some(Outcome::NotOurs("another object has its name now; that one is left alone".into()));
        }
        None
    }
}

/// Deletes the object.
pub async fn prune(api: &Api, discovery: &Discovery, request: &Request) -> Outcome {
    for _ in 0..MAX_ATTEMPTS {
        let metadata = match api.get_metadata(request.target()).await {
            Ok(metadata) => metadata,
            Err(error) if error.is_not_found() => return Outcome::Done,
            Err(error) => return Outcome::Failed(error),
        };
        let live = Identity::of(&metadata, api.field_manager());
        if let Some(outcome) = request.check(&live) {
            return outcome;
        }
        if live.deleting {
            return Outcome::Going(waits_for(&metadata));
        }
        if live.adopted && request.uid.as_ref() != Some(&live.uid) {
            // That it was there before was never recorded, but it is marked so.
            return release(api, request).await;
        }
        if live.suspended && request.may_be_suspended {
            return Outcome::Kept("it has the annotation nave.dev/suspend: \"true\"".into());
        }
        if live.keep {
            return Outcome::Kept("it is protected by its annotation nave.dev/prune: disabled".into());
        }
        match contents::of(api, discovery, &request.key, &live.uid).await {
            Ok(Contents::Empty) => {}
            Ok(Contents::Going(what)) => return Outcome::Going(what),
            Ok(Contents::Outside(what)) => return Outcome::Kept(what),
            Err(error) => return Outcome::Failed(error),
        }
        let version = metadata["metadata"]["resourceVersion"].as_str();
        match api.delete(request.target(), Some(&live.uid), version).await {
            Ok(Deleted::Gone) => return Outcome::Done,
            Ok(Deleted::Going) => return Outcome::Going("it is being deleted".into()),
            Err(error) if error.is_not_found() => return Outcome::Done,
            // It changed since the look: look again.
            Err(error) if error.code() == 409 => {}
            Err(error) => return Outcome::Failed(error),
        }
    }
    Outcome::Going("it changes faster than it can be deleted; it is tried again".into())
}

/// Takes Nave's labels and Nave's ownership off the object; its fields stay as they are.
pub async fn release(api: &Api, request: &Request) -> Outcome {
    for _ in 0..MAX_ATTEMPTS {
        let metadata = match api.get_metadata(request.target()).await {
            Ok(metadata) => metadata,
            Err(error) if error.is_not_found() => return Outcome::Done,
            Err(error) => return Outcome::Failed(error),
        };
        let live = Identity::of(&metadata, api.field_manager());
        if let Some(outcome) = request.check(&live) {
            return outcome;
        }
        match api.json_patch(request.target(), &release_patch(&metadata, api.field_manager())).await {
            Ok(_) => return Outcome::Done,
            Err(error) if error.is_not_found() => return Outcome::Done,
            // The test of the version failed: look again. Which status says so differs between servers.
            Err(error) if matches!(error.code(), 409 | 422) => {}
            Err(error) => return Outcome::Failed(error),
        }
    }
    Outcome::Going("it changes faster than it can be released; it is tried again".into())
}

/// Removes the labels, the mark and the entry in `managedFields`, if the object is still in the version that was seen.
fn release_patch(metadata: &Value, field_manager: &str) -> Value {
    let version = &metadata["metadata"]["resourceVersion"];
    let mut patch = vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})];
    let places =
        [("labels", APPLICATION_LABEL), ("labels", PROJECT_LABEL), ("annotations", ADOPTED_ANNOTATION)];
    for (map, name) in places {
        if !metadata["metadata"][map][name].is_null() {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            patch.push(json!({"op": "remove", "path": format!("/metadata/{map}/{escaped}")}));
        }
    }
    let managed = metadata["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
    let mut kept: Vec<Value> = managed
        .iter()
        .zip(ownership::entries(metadata))
        .filter(|(_, entry)| !entry.is_apply_of(field_manager))
        .map(|(value, _)| value.clone())
        .collect();
    if kept.is_empty() {
        // An empty list is put down to a client that knows nothing of the field; one empty entry clears it.
        kept.push(json!({}));
    }
    if !managed.is_empty() {
        patch.push(json!({"op": "replace", "path": "/metadata/managedFields", "value": kept}));
    }
    Value::Array(patch)
}

fn waits_for(metadata: &Value) -> String {
    let finalizers: Vec<_> = metadata["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if finalizers.is_empty() {
        "it is being deleted".into()
    } else {
        format!("its deletion waits for its finalizers: {}", finalizers.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uid: Option<&str>) -> Request {
        Request {
            application: "shop".parse().unwrap(),
            key: Arc::new(ObjectKey {
                group: String::new(),
                kind: "ConfigMap".into(),
                namespace: None,
                name: "a".into(),
            }),
            resource: Arc::new(Resource::core("ConfigMap", "configmaps", true)),
            uid: uid.map(str::to_owned),
            may_be_suspended: true,
        }
    }

    #[test]
    fn only_the_very_object_with_the_labels_is_let_go() {
        let live = |uid: &str, owner: Option<&str>, applied_by_nave| Identity {
            uid: uid.into(),
            owner: owner.map(|key| key.parse().unwrap()),
            applied_by_nave,
            ..Identity::default()
        };
        let ours = live("u", Some("shop"), true);
        assert!(request(Some("u")).check(&ours).is_none());
        assert!(request(None).check(&ours).is_none());
        assert!(request(Some("older")).check(&ours).is_none(), "made again, and not recorded");
        for (request, live) in [
            (request(Some("u")), live("other", Some("shop"), false)),
            (request(Some("u")), live("u", Some("cart"), true)),
            (request(Some("u")), live("u", None, true)),
            (request(None), live("u", Some("shop"), false)),
        ] {
            assert!(matches!(request.check(&live), Some(Outcome::NotOurs(_))), "{live:?}");
        }
    }

    #[test]
    fn release_takes_only_what_is_naves() {
        let metadata = json!({"metadata": {"resourceVersion": "7",
            "labels": {"nave.dev/application": "shop", "nave.dev/project": "default", "tier": "gold"},
            "managedFields": [{"manager": "nave", "operation": "Apply"}, {"manager": "nave", "operation": "Update"}]}});
        assert_eq!(
            release_patch(&metadata, "nave"),
            json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
                {"op": "remove", "path": "/metadata/labels/nave.dev~1application"},
                {"op": "remove", "path": "/metadata/labels/nave.dev~1project"},
                {"op": "replace", "path": "/metadata/managedFields",
                 "value": [{"manager": "nave", "operation": "Update"}]},
            ])
        );
    }
}
