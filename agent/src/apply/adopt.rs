//! Adoption: whether an object that is there already may become Nave's. Pure.

use nave_common::application::Adopt;
use nave_common::name::ApplicationKey;
use serde_json::Value;

use crate::observation::Identity;

/// What is done about a wanted object that the inventory does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It is Nave's and this application's already: the inventory was lost, or the answer to its create was.
    Ours,
    /// It is taken over.
    TakeOver,
    /// It is taken over if nothing would change in it.
    Compare,
    /// It stays as it is, and that is no problem.
    Leave,
    /// It stays as it is; this is why.
    Refuse(String),
}

/// What a judgement depends on besides the object.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The application that wants the object.
    pub application: &'a ApplicationKey,
    /// Its rule.
    pub adopt: Adopt,
    /// Whether the object is the namespace that `createNamespace` makes where it is missing, and nothing more.
    pub bare_namespace: bool,
}

/// Judges a live object. `managers` name whoever owns its fields, for people.
#[must_use]
pub fn judge(live: &Identity, managers: &[String], situation: Situation<'_>) -> Judgement {
    if live.belongs_to(situation.application) {
        return Judgement::Ours;
    }
    match &live.owner {
        Some(_) | None if situation.bare_namespace && situation.adopt == Adopt::Never => Judgement::Leave,
        Some(owner) if situation.bare_namespace && owner != situation.application => Judgement::Leave,
        Some(owner) if owner != situation.application => {
            Judgement::Refuse(claimed_by(owner, situation.application))
        }
        Some(_) | None => match situation.adopt {
            Adopt::Never => Judgement::Refuse(format!(
                "it was there before and Nave did not make it ({}); delete it, or set sync.adopt to IfNoDiff or Always",
                made_by(managers)
            )),
            Adopt::IfNoDiff => Judgement::Compare,
            Adopt::Always => Judgement::TakeOver,
        },
    }
}

/// Why an object that belongs to one application is not applied for another.
#[must_use]
pub fn claimed_by(owner: &ApplicationKey, application: &ApplicationKey) -> String {
    format!(
        "it belongs to application {owner}, so application {application} does not apply it; name it in one only"
    )
}

fn made_by(managers: &[String]) -> String {
    match managers {
        [] => "nobody is named as its owner".into(),
        some => format!("its fields belong to {}", some.join(", ")),
    }
}

/// How many differing fields are named.
const MAX_NAMED_FIELDS: usize = 5;

/// The fields in which an object would change by being taken over, given what the API server says that it would be.
/// Nave's own labels and annotations do not count, nor what every write changes.
#[must_use]
pub fn differences(live: &Value, would_be: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    compare(Some(live), Some(would_be), &mut String::new(), &mut paths);
    paths
}

/// Why an object that would change is not taken over.
#[must_use]
pub fn differs(fields: &[String]) -> String {
    let mut named = fields.iter().take(MAX_NAMED_FIELDS).map(String::as_str).collect::<Vec<_>>().join(", ");
    if fields.len() > MAX_NAMED_FIELDS {
        named.push_str(&format!(" and {} more", fields.len() - MAX_NAMED_FIELDS));
    }
    format!(
        "it was there before and differs from what is wanted in {named}; make them equal, or set sync.adopt to Always"
    )
}

fn is_bookkeeping(path: &str) -> bool {
    matches!(
        path,
        ".metadata.managedFields"
            | ".metadata.resourceVersion"
            | ".metadata.generation"
            | ".metadata.uid"
            | ".status"
    ) || path.starts_with(".metadata.labels.nave.dev/")
        || path.starts_with(".metadata.annotations.nave.dev/")
}

fn compare(left: Option<&Value>, right: Option<&Value>, path: &mut String, paths: &mut Vec<String>) {
    if left == right || is_bookkeeping(path) {
        return;
    }
    let empty = Value::Object(serde_json::Map::new());
    match (left.unwrap_or(&empty), right.unwrap_or(&empty)) {
        (Value::Object(left), Value::Object(right)) => {
            let names = left.keys().chain(right.keys().filter(|name| !left.contains_key(*name)));
            for name in names {
                let length = path.len();
                path.push('.');
                path.push_str(name);
                compare(left.get(name), right.get(name), path, paths);
                path.truncate(length);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                let length = path.len();
                path.push_str(&format!("[{index}]"));
                compare(Some(left), Some(right), path, paths);
                path.truncate(length);
            }
        }
        _ => paths.push(path.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(owner: Option<&str>, applied_by_nave: bool) -> Identity {
        Identity { owner: owner.map(|key| key.parse().unwrap()), applied_by_nave, ..Identity::default() }
    }

    #[test]
    fn what_may_be_taken_over_depends_on_owner_and_rule() {
        let shop: ApplicationKey = "retail/shop".parse().unwrap();
        let situation = |adopt, bare_namespace| Situation { application: &shop, adopt, bare_namespace };
        let judge = |live: &Identity, adopt, bare| judge(live, &["helm".into()], situation(adopt, bare));

        let ours = live(Some("retail/shop"), true);
        let lookalike = live(Some("retail/shop"), false);
        let other = live(Some("retail/cart"), true);
        let foreign = live(None, false);
        assert_eq!(judge(&ours, Adopt::Never, false), Judgement::Ours);
        assert_eq!(judge(&lookalike, Adopt::IfNoDiff, false), Judgement::Compare);
        assert_eq!(judge(&foreign, Adopt::IfNoDiff, false), Judgement::Compare);
        assert_eq!(judge(&foreign, Adopt::Always, false), Judgement::TakeOver);
        for refused in [judge(&foreign, Adopt::Never, false), judge(&other, Adopt::Always, false)] {
            let Judgement::Refuse(why) = refused else { panic!("{refused:?}") };
            assert!(
                why.contains("helm") || (why.contains("retail/cart") && why.contains("retail/shop")),
                "{why}"
            );
        }
        assert_eq!(judge(&other, Adopt::Always, true), Judgement::Leave);
        assert_eq!(judge(&foreign, Adopt::Never, true), Judgement::Leave);
        assert_eq!(judge(&foreign, Adopt::IfNoDiff, true), Judgement::Compare);
    }

    #[test]
    fn only_real_changes_are_differences() {
        let live = json!({"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {"replicas": 2, "ports": [1, 2]}});
        let same = json!({"metadata": {"name": "a", "resourceVersion": "2", "managedFields": [],
            "labels": {"nave.dev/application": "x"}}, "spec": {"replicas": 2, "ports": [1, 2]}});
        assert_eq!(differences(&live, &same), Vec::<String>::new());
        let other =
            json!({"metadata": {"name": "a", "labels": {"b": "c"}}, "spec": {"replicas": 3, "ports": [1]}});
        let found = differences(&live, &other);
        assert_eq!(found, [".metadata.labels.b", ".spec.ports", ".spec.replicas"]);
        assert!(differs(&found).contains(".spec.replicas"));
    }
}
