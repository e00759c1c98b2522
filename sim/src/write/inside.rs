//! Writes by the cluster itself: what controllers and the server make and change.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::STATUS;
use super::keep::bump_generation;
use crate::decode::decode;
use crate::defaults;
use crate::managers::{self, Entry, Operation, Writer};
use crate::meta;
use crate::ownership::{self, Ignored, Tracking};
use crate::state::State;
use crate::store::Key;

/// The server forgets the time of what was written through `scale`.
fn without_scale_times(mut entries: Vec<Entry>) -> Vec<Entry> {
    for entry in entries.iter_mut().filter(|entry| entry.subresource == "scale") {
        entry.time = None;
    }
    entries
}

impl State {
    /// A write by the cluster itself: a controller's change of an object or of its status.
    ///
    /// Nothing is stored if the change changes nothing.
    pub(crate) fn change_as(
        &mut self,
        key: &Key,
        manager: &str,
        subresource: &str,
        now: Timestamp,
        change: impl FnOnce(&mut Value),
    ) {
        let (Some(stored), Some(resource)) = (self.store.get(key), self.registry.get(key.resource)) else {
            return;
        };
        let live = stored.value();
        let mut object = live.clone();
        managers::strip(&mut object);
        let mut before = object.clone();
        change(&mut object);
        let api_version = live["apiVersion"].as_str().unwrap_or_default().to_owned();
        let version = api_version.rsplit('/').next().unwrap_or_default();
        let Some(version) = resource.version(version).or(resource.versions.first()) else { return };
        decode(&version.ty, &mut object);
        decode(&version.ty, &mut before);
        if object == before {
            return;
        }
        let writer = Writer {
            manager: manager.to_owned(),
            operation: Operation::Update,
            api_version,
            subresource: subresource.to_owned(),
        };
        let (entries, time) = (managers::read(&live), meta::time_text(now));
        let tracking = Tracking { ty: &version.ty, writer: &writer, ignored: Ignored::default(), now: &time };
        let entries = ownership::track(tracking, &before, &object, entries);
        let entries = without_scale_times(entries);
        if subresource.is_empty() && resource.generation {
            bump_generation(&before, &mut object);
        }
        managers::write(&mut object, entries);
        if meta::is_deleting(&live) && crate::delete::is_done(&object) {
            self.store.remove(key);
            return;
        }
        self.store.put(key, object);
    }

    /// An object made by the cluster itself, such as a controller's pods.
    pub(crate) fn create_as(&mut self, manager: &str, mut object: Value, now: Timestamp) -> Option<Key> {
        let api_version = object["apiVersion"].as_str()?.to_owned();
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
        let kind = object["kind"].as_str()?.to_owned();
        let resource =
            self.registry.all().find(|resource| resource.group == group && resource.kind == kind)?.clone();
        let version = resource.version(version)?.clone();
        decode(&version.ty, &mut object);
        defaults::fill(&resource, &mut object);
        let mut empty = json!({"apiVersion": api_version, "kind": kind});
        decode(&version.ty, &mut empty);
        let writer = Writer {
            manager: manager.to_owned(),
            operation: Operation::Update,
            api_version,
            subresource: String::new(),
        };
        let time = meta::time_text(now);
        let ignored = Ignored { fields: STATUS };
        let tracking = Tracking { ty: &version.ty, writer: &writer, ignored, now: &time };
        let entries = ownership::track(tracking, &empty, &object, Vec::new());
        let prefix = meta::text(&object, "generateName").to_owned();
        if meta::name(&object).is_empty() {
            let name = format!("{prefix}{}", self.random.suffix());
            meta::metadata_mut(&mut object).insert("name".to_owned(), Value::from(name));
        }
        let key = Key::new(resource.id, meta::namespace(&object), meta::name(&object));
        if self.store.get(&key).is_some() {
            return None;
        }
        let uid = self.random.uid();
        let metadata = meta::metadata_mut(&mut object);
        metadata.insert("uid".to_owned(), Value::from(uid));
        metadata.insert("creationTimestamp".to_owned(), Value::from(time));
        if resource.generation {
            metadata.insert("generation".to_owned(), Value::from(1));
        }
        defaults::prepare_create(self, &resource, version.status, &mut object);
        managers::write(&mut object, entries);
        self.store.put(&key, object);
        Some(key)
    }
}
