//! The objects of one cluster: by kind, namespace and name, with a bounded history for watches.
//!
//! Objects are kept as the JSON bytes that answers are made of, which is several times smaller than parsed
//! ones. The store counts resource versions, keeps indexes of UIDs and owners and remembers which objects
//! changed. It decides nothing: what may be written is `write`'s.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::Value;

use crate::kinds::ResourceId;
use crate::meta;

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Its resource.
    pub resource: ResourceId,
    /// Its namespace; empty for cluster-wide objects.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl Key {
    /// A key.
    #[must_use]
    pub(crate) fn new(resource: ResourceId, namespace: &str, name: &str) -> Key {
        Key { resource, namespace: Box::from(namespace), name: Box::from(name) }
    }
}

/// A version of an object.
#[derive(Debug)]
pub(crate) struct Object {
    /// Where it is.
    pub key: Key,
    /// Its resource version.
    pub revision: u64,
    /// Its UID.
    pub uid: Box<str>,
    /// The `apiVersion` that it was written in.
    pub api_version: Box<str>,
    /// Its kind.
    pub kind: Box<str>,
    /// Its labels, sorted.
    pub labels: Vec<(String, String)>,
    /// The UIDs of its owners.
    pub owners: Vec<String>,
    /// It is on its way out.
    pub deleting: bool,
    /// The JSON without `apiVersion` and `kind`: items of lists are without them.
    pub bytes: Bytes,
}

impl Object {
    /// The parsed object.
    #[must_use]
    pub(crate) fn value(&self) -> Value {
        let mut value: Value = serde_json::from_slice(&self.bytes).unwrap_or(Value::Null);
        value["apiVersion"] = Value::from(&*self.api_version);
        value["kind"] = Value::from(&*self.kind);
        value
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It came.
    Added,
    /// It changed.
    Modified,
    /// It went.
    Deleted,
}

/// A change, as watches read it.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// The resource version of the change.
    pub revision: u64,
    /// What happened.
    pub change: Change,
    /// The object after it, or the last one.
    pub object: Arc<Object>,
    /// The object before it.
    pub previous: Option<Arc<Object>>,
}

/// The objects of one resource.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// By namespace and name.
    pub objects: BTreeMap<(Box<str>, Box<str>), Arc<Object>>,
    /// The newest changes.
    pub events: VecDeque<Event>,
    /// Changes up to this revision are forgotten.
    pub forgotten: u64,
    /// The revision of the newest change.
    pub latest: u64,
}

/// The objects of one cluster.
#[derive(Debug)]
pub(crate) struct Store {
    revision: u64,
    history: usize,
    tables: BTreeMap<ResourceId, Table>,
    by_uid: HashMap<Box<str>, Key>,
    by_owner: HashMap<String, BTreeSet<Key>>,
    dirty: BTreeSet<Key>,
    writes: u64,
    floor: u64,
}

impl Store {
    /// An empty store that remembers this many changes of each resource.
    #[must_use]
    pub(crate) fn new(history: usize) -> Store {
        Store {
            revision: 1,
            history: history.max(1),
            tables: BTreeMap::new(),
            by_uid: HashMap::new(),
            by_owner: HashMap::new(),
            dirty: BTreeSet::new(),
            writes: 0,
            floor: 0,
        }
    }

    /// The newest resource version.
    #[must_use]
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// How many writes there were, those of controllers included.
    #[must_use]
    pub(crate) fn writes(&self) -> u64 {
        self.writes
    }

    /// The table of a resource.
    #[must_use]
    pub(crate) fn table(&self, resource: ResourceId) -> Option<&Table> {
        self.tables.get(&resource)
    }

    /// Every table.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (ResourceId, &Table)> {
        self.tables.iter().map(|(id, table)| (*id, table))
    }

    /// The object at a key.
    #[must_use]
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.tables.get(&key.resource)?.objects.get(&(key.namespace.clone(), key.name.clone())).cloned()
    }

    /// The objects of a resource, in one namespace or in all.
    pub(crate) fn list(&self, resource: ResourceId, namespace: Option<&str>) -> Vec<Arc<Object>> {
        let Some(table) = self.tables.get(&resource) else { return Vec::new() };
        match namespace {
            None => table.objects.values().cloned().collect(),
            Some(namespace) => table
                .objects
                .range((Box::from(namespace), Box::from(""))..)
                .take_while(|((of, _), _)| &**of == namespace)
                .map(|(_, object)| object.clone())
                .collect(),
        }
    }

    /// The key of this UID.
    #[must_use]
    pub(crate) fn find_uid(&self, uid: &str) -> Option<&Key> {
        self.by_uid.get(uid)
    }

    /// The objects that name this UID as an owner.
    #[must_use]
    pub(crate) fn dependents(&self, uid: &str) -> Vec<Key> {
        self.by_owner.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Writes an object and gives it its resource version.
    pub(crate) fn put(&mut self, key: &Key, mut value: Value) -> Arc<Object> {
        self.revision += 1;
        self.writes += 1;
        meta::metadata_mut(&mut value)
            .insert("resourceVersion".to_owned(), Value::from(self.revision.to_string()));
        let object = Arc::new(build(key, self.revision, value));
        let previous = self.get(key);
        if let Some(previous) = &previous {
            self.unindex(previous);
        }
        self.by_uid.insert(object.uid.clone(), key.clone());
        for owner in &object.owners {
            self.by_owner.entry(owner.clone()).or_default().insert(key.clone());
        }
        let table = self.tables.entry(key.resource).or_default();
        table.objects.insert((key.namespace.clone(), key.name.clone()), object.clone());
        let change = if previous.is_some() { Change::Modified } else { Change::Added };
        self.record(Event { revision: self.revision, change, object: object.clone(), previous });
        object
    }

    /// Takes an object away; its last state carries the resource version of the deletion.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let table = self.tables.get_mut(&key.resource)?;
        let previous = table.objects.remove(&(key.namespace.clone(), key.name.clone()))?;
        self.revision += 1;
        self.writes += 1;
        self.unindex(&previous);
        let mut value = previous.value();
        meta::metadata_mut(&mut value)
            .insert("resourceVersion".to_owned(), Value::from(self.revision.to_string()));
        let object = Arc::new(build(key, self.revision, value));
        for dependent in self.dependents(&previous.uid) {
            self.dirty.insert(dependent);
        }
        self.record(Event {
            revision: self.revision,
            change: Change::Deleted,
            object: object.clone(),
            previous: Some(previous),
        });
        Some(object)
    }

    fn unindex(&mut self, object: &Object) {
        self.by_uid.remove(&object.uid);
        for owner in &object.owners {
            if let Some(keys) = self.by_owner.get_mut(owner) {
                keys.remove(&object.key);
                if keys.is_empty() {
                    self.by_owner.remove(owner);
                }
            }
        }
    }

    fn record(&mut self, event: Event) {
        self.dirty.insert(event.object.key.clone());
        for owner in &event.object.owners {
            if let Some(key) = self.by_uid.get(owner.as_str()) {
                self.dirty.insert(key.clone());
            }
        }
        let history = self.history;
        let table = self.tables.entry(event.object.key.resource).or_default();
        table.latest = event.revision;
        table.events.push_back(event);
        while table.events.len() > history {
            if let Some(event) = table.events.pop_front() {
                table.forgotten = event.revision;
            }
        }
    }

    /// Takes the next changed object.
    pub(crate) fn take_dirty(&mut self) -> Option<Key> {
        self.dirty.pop_first()
    }

    /// Marks an object as if it had changed.
    pub(crate) fn mark(&mut self, key: Key) {
        self.dirty.insert(key);
    }

    /// Forgets the history, so that every watch from before now is answered with 410.
    pub(crate) fn forget_history(&mut self) {
        self.floor = self.revision;
        self.revision += 1;
        for table in self.tables.values_mut() {
            table.events.clear();
        }
    }

    /// Changes of this resource up to this revision are forgotten.
    #[must_use]
    pub(crate) fn forgotten(&self, resource: ResourceId) -> u64 {
        self.tables.get(&resource).map_or(0, |table| table.forgotten).max(self.floor)
    }
}

fn build(key: &Key, revision: u64, mut value: Value) -> Object {
    let mut take = |field: &str| match value.as_object_mut().and_then(|map| map.remove(field)) {
        Some(Value::String(text)) => Box::from(text),
        _ => Box::from(""),
    };
    let (api_version, kind) = (take("apiVersion"), take("kind"));
    Object {
        key: key.clone(),
        revision,
        uid: Box::from(meta::uid(&value)),
        api_version,
        kind,
        labels: meta::labels(&value),
        owners: meta::owner_uids(&value),
        deleting: meta::is_deleting(&value),
        bytes: Bytes::from(serde_json::to_vec(&value).unwrap_or_default()),
    }
}
