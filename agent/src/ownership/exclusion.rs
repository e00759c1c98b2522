//! Exclusions: fields that Nave leaves to others, found in objects whose lists may be ordered differently.

use nave_common::application::IgnoreFields;
use nave_common::manifest::ObjectKey;
use serde_json::Value;

use super::fields;
use crate::work::Work;

/// One place that Nave leaves to others.
#[derive(Debug, Clone, PartialEq)]
pub struct Exclusion {
    /// The JSON pointer (RFC 6901) as it was written.
    pub pointer: String,
    /// The same as steps from the object's root.
    pub steps: Vec<Step>,
}

/// One step of an exclusion.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A field.
    Field(String),
    /// A list item: known by what it is in the manifest, or by its place where it is not there.
    Item {
        /// Its place in the manifest.
        index: usize,
        /// What it is in the manifest.
        item: Option<Value>,
    },
}

impl Step {
    /// Whether a field set's step leads to the same place.
    #[must_use]
    pub fn matches(&self, step: &fields::Step) -> bool {
        match (self, step) {
            (Self::Field(name), fields::Step::Field(other)) => name == other,
            (Self::Item { item: Some(item), .. }, fields::Step::Key(key)) => {
                // A key field that the manifest leaves out, such as a port's protocol, was filled in by the server.
                key.iter().all(|(name, value)| item.get(name).is_none_or(|present| present == value))
            }
            (Self::Item { item: Some(item), .. }, fields::Step::Item(value)) => item == value,
            (Self::Item { index, .. }, fields::Step::Index(other)) => index == other,
            _ => false,
        }
    }
}

impl Exclusion {
    /// What `pointer` means in `manifest`.
    #[must_use]
    pub fn new(pointer: &str, manifest: &Value) -> Self {
        let mut steps = Vec::new();
        let mut at = Some(manifest);
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let index = token.parse::<usize>().ok().filter(|_| at.is_none_or(|value| !value.is_object()));
            match index {
                Some(index) => {
                    at = at.and_then(|value| value.get(index));
                    steps.push(Step::Item { index, item: at.cloned() });
                }
                None => {
                    at = at.and_then(|value| value.get(&token));
                    steps.push(Step::Field(token));
                }
            }
        }
        Self { pointer: pointer.to_owned(), steps }
    }

    /// The place of the replica count, which autoscalers set.
    #[must_use]
    pub fn replicas() -> Self {
        let field = |name: &str| Step::Field(name.to_owned());
        Self { pointer: "/spec/replicas".into(), steps: vec![field("spec"), field("replicas")] }
    }

    /// Whether a path, as the API server writes it in a conflict, is at or below this place.
    #[must_use]
    pub fn covers_path(&self, path: &str) -> bool {
        let mut rest = path;
        for step in &self.steps {
            let stripped = match step {
                Step::Field(name) => rest.strip_prefix('.').and_then(|rest| rest.strip_prefix(name.as_str())),
                // What is in the brackets was matched already where it matters: a conflict names only fields of ours.
                Step::Item { .. } => {
                    rest.strip_prefix('[').and_then(|rest| Some(&rest[rest.find(']')? + 1..]))
                }
            };
            match stripped {
                Some(after) if after.is_empty() || after.starts_with(['.', '[']) => rest = after,
                _ => return false,
            }
        }
        true
    }

    /// Takes the field out of an object that is about to be applied.
    pub fn remove_from(&self, object: &mut Value) {
        let Some((parent, last)) = self.pointer.rsplit_once('/') else { return };
        let last = last.replace("~1", "/").replace("~0", "~");
        // An item of a list stays: taking it out would shift the places of the others.
        if let Some(Value::Object(fields)) = object.pointer_mut(parent) {
            fields.remove(&last);
        }
    }
}

/// What parking sets in the kinds that it knows: while it does, this is nobody else's.
const PARKED_FIELDS: [&str; 3] = ["/spec/replicas", "/spec/suspend", "/spec/template/spec/nodeSelector"];

/// The exclusions that an assignment makes for the object `key`, whose manifest is given. Each keeps its place in the list
/// whether it holds at the moment or not.
#[must_use]
pub fn of_work(work: &Work, key: &ObjectKey, manifest: &Value) -> Vec<Exclusion> {
    let mut exclusions = of_rules(work.run().map_or(&[][..], |run| &run.sync.ignore_fields), key, manifest);
    for exclusion in exclusions.iter_mut().filter(|_| work.is_parked()) {
        let stops = |field: &&str| {
            field
                .strip_prefix(exclusion.pointer.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if PARKED_FIELDS.iter().any(stops) {
            // No object has a field without a name.
            *exclusion = Exclusion::new("/", manifest);
        }
    }
    exclusions
}

/// The exclusions that `rules` make for the object `key`, whose manifest is given.
#[must_use]
fn of_rules(rules: &[IgnoreFields], key: &ObjectKey, manifest: &Value) -> Vec<Exclusion> {
    let is_or_any = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
    rules
        .iter()
        .filter(|rule| {
            rule.target.kind == key.kind
                && is_or_any(&rule.target.group, &key.group)
                && is_or_any(&rule.target.name, &key.name)
                && is_or_any(&rule.target.namespace, key.namespace.as_deref().unwrap_or_default())
        })
        .flat_map(|rule| rule.paths.iter().map(|path| Exclusion::new(path, manifest)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pointer_finds_its_place_whatever_the_order_of_the_list() {
        let manifest = json!({"spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443}]}});
        let exclusion = Exclusion::new("/spec/ports/1/nodePort", &manifest);
        let key = |port: u16| {
            let key = json!({"port": port, "protocol": "TCP"});
            fields::Step::Key(key.as_object().unwrap().clone())
        };
        assert!(exclusion.steps[2].matches(&key(443)));
        assert!(!exclusion.steps[2].matches(&key(80)));
        assert!(exclusion.covers_path(r#".spec.ports[port=443,protocol="TCP"].nodePort"#));
    }

    #[test]
    fn conflict_paths_are_covered_at_and_below_the_place() {
        let exclusion = Exclusion::new("/metadata/annotations/a.b~1c", &json!({}));
        assert!(exclusion.covers_path(".metadata.annotations.a.b/c"));
        assert!(!exclusion.covers_path(".metadata.annotations.a.b/cd"));
        assert!(Exclusion::new("/spec", &json!({})).covers_path(".spec.replicas"));
        assert!(Exclusion::replicas().covers_path(".spec.replicas"));
        assert!(!Exclusion::replicas().covers_path(".spec.replicasets"));
    }

    #[test]
    fn field_is_taken_out_of_the_object() {
        let mut object = json!({"spec": {"replicas": 3, "paused": true}});
        Exclusion::replicas().remove_from(&mut object);
        assert_eq!(object, json!({"spec": {"paused": true}}));
        Exclusion::new("/no/where", &object.clone()).remove_from(&mut object);
        assert_eq!(object, json!({"spec": {"paused": true}}));
    }
}
