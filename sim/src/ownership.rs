//! Field ownership: server-side apply, and the tracking of every other write.
//!
//! Pure functions over a live object, a new one and the entries of `managedFields`. They decide who owns
//! what and what the merged object is; defaults, validation and storing are the caller's.

use std::sync::LazyLock;

use serde_json::Value;

use crate::fields::{Element, Set, path_text};
use crate::managers::{Entry, Operation, Writer};
use crate::schema::Type;
use crate::status::{Failure, Result};
use crate::typed::{self, Comparison, compare, field_set, with_named_fields};

/// A name for what an object had before its first apply, when nobody was tracked.
pub(crate) const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// The server keeps at most this many entries of updaters apart.
const UPDATE_MANAGERS_MAX: usize = 10;

/// What the server sets itself and nobody owns.
static STRIPPED: LazyLock<Set> = LazyLock::new(|| {
    let mut set = Set::default();
    for name in ["apiVersion", "kind", "metadata"] {
        set.insert(&[Element::field(name)]);
    }
    for name in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        set.insert(&[Element::field("metadata"), Element::field(name)]);
    }
    set
});

/// Parts of an object that a request cannot write: `status` on the main path, the rest on `status`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ignored<'a> {
    /// Top fields that are left out of every set.
    pub fields: &'a [&'a str],
}

impl Ignored<'_> {
    fn filter(&self, set: &Set) -> Set {
        self.fields.iter().fold(set.clone(), |set, field| match field.split_once('.') {
            Some((first, second)) => set.without_below(&[Element::field(first), Element::field(second)]),
            None => set.without_below(&[Element::field(field)]),
        })
    }

    fn filter_all(&self, comparison: Comparison) -> Comparison {
        if self.fields.is_empty() {
            return comparison;
        }
        Comparison {
            added: self.filter(&comparison.added),
            modified: self.filter(&comparison.modified),
            removed: self.filter(&comparison.removed),
        }
    }
}

/// Who writes what kind of object, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tracking<'a> {
    /// The type of the object.
    pub ty: &'a Type,
    /// Who writes.
    pub writer: &'a Writer,
    /// What this path cannot write.
    pub ignored: Ignored<'a>,
    /// The present time, as objects carry it.
    pub now: &'a str,
}

/// What applying gives.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The merged object, not yet decoded and defaulted; `None` if the live one is not changed.
    pub object: Option<Value>,
    /// Who owns what now.
    pub entries: Vec<Entry>,
}

/// Applies a configuration onto a live object.
///
/// # Errors
/// A conflict, if others own what it changes and `force` is not set.
pub(crate) fn apply(
    tracking: Tracking<'_>,
    live: &Value,
    config: &Value,
    mut entries: Vec<Entry>,
    force: bool,
) -> Result<Applied> {
    let Tracking { ty, writer, ignored, now } = tracking;
    let merged = typed::merge(ty, live, config);
    let last = take(&mut entries, writer);
    let set = ignored.filter(&field_set(ty, config));
    let others = entries;
    let pruned = match &last {
        Some(last) if !last.set.is_empty() => prune(ty, &merged, &last.set, &others, &set),
        _ => merged,
    };
    let comparison = ignored.filter_all(compare(ty, live, &pruned));
    let mut entries = yield_to(&comparison, others, force)?;
    let unchanged = *live == pruned;
    let time = match last {
        Some(last) if unchanged => last.time,
        _ if unchanged => None,
        _ => Some(now.to_owned()),
    };
    let set = set.difference(&STRIPPED);
    if !set.is_empty() {
        entries.push(Entry {
            manager: writer.manager.clone(),
            operation: writer.operation,
            api_version: writer.api_version.clone(),
            subresource: writer.subresource.clone(),
            time,
            set,
        });
    }
    Ok(Applied { object: (!unchanged).then_some(pruned), entries })
}

fn take(entries: &mut Vec<Entry>, writer: &Writer) -> Option<Entry> {
    let place = entries.iter().position(|entry| entry.is_of(writer))?;
    Some(entries.remove(place))
}

/// Takes out of the merged object what the manager applied before and not now, unless somebody else owns it.
fn prune(ty: &Type, merged: &Value, last: &Set, others: &[Entry], current: &Set) -> Value {
    let last = with_named_fields(ty, last);
    let pruned = typed::remove(ty, merged, &last);
    let merged_set = with_named_fields(ty, &field_set(ty, merged));
    let owned = others.iter().fold(current.clone(), |owned, entry| owned.union(&entry.set));
    let kept = with_named_fields(ty, &field_set(ty, &pruned)).union(&with_named_fields(ty, &owned));
    let pruned = typed::remove(ty, merged, &merged_set.difference(&kept));
    let pruned_set = with_named_fields(ty, &field_set(ty, &pruned));
    typed::remove(ty, merged, &merged_set.difference(&pruned_set).intersection(&last))
}

/// Takes what changed away from the others, or says who is in the way.
fn yield_to(comparison: &Comparison, entries: Vec<Entry>, force: bool) -> Result<Vec<Entry>> {
    let touched = comparison.modified.union(&comparison.added);
    let conflicts: Vec<(String, Set)> = entries
        .iter()
        .map(|entry| (entry.describe(), entry.set.intersection(&touched)))
        .filter(|(_, set)| !set.is_empty())
        .collect();
    if !force && !conflicts.is_empty() {
        return Err(conflict_failure(&conflicts));
    }
    let gone = touched.union(&comparison.removed);
    Ok(entries
        .into_iter()
        .map(|entry| Entry { set: entry.set.difference(&gone), ..entry })
        .filter(|entry| !entry.set.is_empty())
        .collect())
}

fn conflict_failure(conflicts: &[(String, Set)]) -> Box<Failure> {
    let mut causes: Vec<(String, String)> = Vec::new();
    for (manager, set) in conflicts {
        causes.extend(set.paths().iter().map(|path| (manager.clone(), path_text(path))));
    }
    let message = match causes.as_slice() {
        [(manager, field)] => format!("Apply failed with 1 conflict: conflict with {manager}: {field}"),
        _ => {
            let mut managers: Vec<&String> = conflicts.iter().map(|(manager, _)| manager).collect();
            managers.sort();
            managers.dedup();
            let texts: Vec<String> = managers
                .iter()
                .map(|manager| {
                    let fields: Vec<String> = causes
                        .iter()
                        .filter(|(of, _)| of == *manager)
                        .map(|(_, field)| format!("- {field}"))
                        .collect();
                    format!("conflicts with {manager}:\n{}", fields.join("\n"))
                })
                .collect();
            format!("Apply failed with {} conflicts: {}", causes.len(), texts.join("\n"))
        }
    };
    Failure::apply_conflict(message, &causes)
}

/// Tracks a write that is not an apply: what it changed is its own from now on.
#[must_use]
pub(crate) fn track(tracking: Tracking<'_>, live: &Value, new: &Value, entries: Vec<Entry>) -> Vec<Entry> {
    let Tracking { ty, writer, ignored, now } = tracking;
    let comparison = ignored.filter_all(compare(ty, live, new));
    let entries = yield_to(&comparison, entries, true).unwrap_or_default();
    let taken = comparison.modified.union(&comparison.added).difference(&STRIPPED);
    let mut entries = entries;
    if taken.is_empty() {
        return entries;
    }
    let previous = take(&mut entries, writer).map(|entry| entry.set).unwrap_or_default();
    entries.push(Entry {
        manager: writer.manager.clone(),
        operation: Operation::Update,
        api_version: writer.api_version.clone(),
        subresource: writer.subresource.clone(),
        time: Some(now.to_owned()),
        set: previous.union(&taken),
    });
    cap(entries)
}

/// Joins the oldest updaters once there are too many of them.
fn cap(mut entries: Vec<Entry>) -> Vec<Entry> {
    let updates = entries.iter().filter(|entry| entry.operation == Operation::Update).count();
    if updates <= UPDATE_MANAGERS_MAX {
        return entries;
    }
    entries.sort_by(|a, b| (a.operation, &a.time).cmp(&(b.operation, &b.time)));
    let first = entries.iter().position(|entry| entry.operation == Operation::Update).unwrap_or(0);
    let older = entries.remove(first);
    if let Some(oldest) = entries.get_mut(first) {
        oldest.set = oldest.set.union(&older.set);
        oldest.manager = "ancient-changes".to_owned();
        oldest.subresource = String::new();
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin;
    use proptest::prelude::*;
    use serde_json::json;

    fn writer(manager: &str) -> Writer {
        Writer {
            manager: manager.to_owned(),
            operation: Operation::Apply,
            api_version: "v1".to_owned(),
            subresource: String::new(),
        }
    }

    fn step(live: &Value, entries: Vec<Entry>, manager: &str, config: &Value) -> Applied {
        let ty = builtin().find("core.v1.Pod").unwrap_or(Type::Any);
        let writer = writer(manager);
        let tracking = Tracking { ty: &ty, writer: &writer, ignored: Ignored::default(), now: "now" };
        apply(tracking, live, config, entries, true).unwrap()
    }

    /// A pod spec with some environment variables and labels, as managers may apply them.
    fn config() -> impl Strategy<Value = Value> {
        let values = || proptest::collection::btree_map("[a-c]", "[12]", 1..3);
        (values(), values()).prop_map(|(labels, env)| {
            let env: Vec<Value> =
                env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "env": env}]}})
        })
    }

    proptest! {
        #[test]
        fn what_was_applied_is_there_and_owned_and_again_changes_nothing(
            steps in proptest::collection::vec((prop_oneof!["one", "two", "three"], config()), 1..8)
        ) {
            let ty = builtin().find("core.v1.Pod").unwrap();
            let (mut live, mut entries) = (json!({"apiVersion": "v1", "kind": "Pod"}), Vec::new());
            for (manager, config) in steps {
                let applied = step(&live, entries, &manager, &config);
                live = applied.object.unwrap_or(live);
                entries = applied.entries;
                let wanted = field_set(&ty, &config);
                prop_assert!(wanted.difference(&field_set(&ty, &live)).is_empty());
                prop_assert!(compare(&ty, &config, &live).modified.is_empty());
                let own = entries.iter().find(|entry| entry.manager == manager);
                prop_assert_eq!(own.map(|entry| entry.set.clone()), Some(wanted.difference(&STRIPPED)));
                let again = step(&live, entries.clone(), &manager, &config);
                prop_assert!(again.object.is_none());
                prop_assert_eq!(&again.entries.len(), &entries.len());
                for entry in &entries {
                    prop_assert_eq!(Set::from_json(&entry.set.to_json()), Some(entry.set.clone()));
                }
            }
        }
    }
}
