//! Conflicts of server-side apply: what is done about fields that another manager owns. Pure.

use std::fmt;

use crate::api::Refusal;
use crate::ownership::exclusion::Exclusion;
use crate::ownership::{self, hash};

/// One field that another manager owns, with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Its path as the API server writes it.
    pub path: String,
    /// The manager.
    pub manager: String,
    /// The subresource through which it wrote; empty for the object itself.
    pub subresource: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is owned by {:?}", self.path, self.manager)
    }
}

/// Why Nave applies, as far as conflicts are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It has applied the object before, from another manifest: it may take back what it owned.
    Owner,
    /// It has applied this very manifest before: it owned every path of it.
    Same,
    /// It takes the object over, and what the tools of a person owned with it.
    Adoption,
}

/// Whose fields an apply may take besides those that are Nave's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Taking {
    /// Nobody's.
    #[default]
    Nothing,
    /// The replicas, whoever scales: the object is parked.
    Replicas,
    /// Everybody's: it makes pods of Exclusive work that is to stop.
    Everything,
}

/// What is done about a refused apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Apply again with force.
    Force,
    /// Leave these to their owners and apply again.
    Yield {
        /// An autoscaler has the replicas.
        replicas: bool,
        /// Bits of the ignored fields.
        ignored: u64,
    },
    /// Nothing more: these belong to others.
    Refuse(Vec<Conflict>),
}

/// Tools by which people and their pipelines make objects before Nave takes them over.
const TOOLS: [&str; 5] =
    ["kubectl-client-side-apply", "kubectl-edit", "kubectl-create", "helm", "before-first-apply"];

/// The conflicts that a refusal names.
#[must_use]
pub fn conflicts(refusal: &Refusal) -> Vec<Conflict> {
    refusal
        .causes
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| {
            // conflict with "kubectl" with subresource "scale" using apps/v1
            let mut quoted = cause.message.split('"').skip(1).step_by(2);
            let manager = quoted.next().unwrap_or_default().to_owned();
            let has_subresource = cause.message.contains("with subresource");
            let subresource = quoted.next().filter(|_| has_subresource).unwrap_or_default().to_owned();
            Conflict { path: cause.field.clone(), manager, subresource }
        })
        .collect()
}

/// Decides about conflicts. `last` holds the hashes of the paths that Nave owned after its own last apply.
#[must_use]
pub fn resolve(
    conflicts: &[Conflict],
    claim: Claim,
    taking: Taking,
    last: &[u64],
    ignored: &[Exclusion],
) -> Resolution {
    let mut yields = (false, 0_u64);
    let mut foreign = Vec::new();
    for conflict in conflicts {
        if let Some(bit) = ignored.iter().take(64).position(|exclusion| exclusion.covers_path(&conflict.path))
        {
            yields.1 |= 1 << bit;
        } else if takes(taking, conflict) {
            continue;
        } else if is_scaling(conflict) {
            yields.0 = true;
        } else if !may_take(conflict, claim, last) {
            foreign.push(conflict.clone());
        }
    }
    if !foreign.is_empty() {
        Resolution::Refuse(foreign)
    } else if yields != (false, 0) {
        Resolution::Yield { replicas: yields.0, ignored: yields.1 }
    } else {
        Resolution::Force
    }
}

fn takes(taking: Taking, conflict: &Conflict) -> bool {
    match taking {
        Taking::Nothing => false,
        Taking::Replicas => Exclusion::replicas().covers_path(&conflict.path),
        Taking::Everything => true,
    }
}

fn is_scaling(conflict: &Conflict) -> bool {
    conflict.subresource == "scale"
        && ownership::is_autoscaler(&conflict.manager)
        && Exclusion::replicas().covers_path(&conflict.path)
}

fn may_take(conflict: &Conflict, claim: Claim, last: &[u64]) -> bool {
    match claim {
        Claim::Owner => last.binary_search(&hash(&conflict.path)).is_ok(),
        Claim::Same | Claim::Adoption => true,
    }
}

/// Whether a manager is a tool whose fields come along when an object is taken over.
#[must_use]
pub fn is_tool(manager: &str) -> bool {
    TOOLS.contains(&manager)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conflict(path: &str, manager: &str, subresource: &str) -> Conflict {
        Conflict { path: path.into(), manager: manager.into(), subresource: subresource.into() }
    }

    #[test]
    fn conflicts_are_read_with_manager_and_subresource() {
        let body = json!({"reason": "Conflict", "details": {"causes": [
            {"reason": "FieldManagerConflict", "field": ".spec.replicas",
             "message": "conflict with \"kubectl\" with subresource \"scale\" using apps/v1"},
            {"reason": "FieldManagerConflict", "field": ".data.a",
             "message": "conflict with \"other\" using v1 at 2026-01-01T00:00:00Z"},
            {"reason": "Else", "field": ".x", "message": "y"}]}});
        let refusal = Refusal::read("apply", 409, body.to_string().as_bytes(), None);
        assert_eq!(
            conflicts(&refusal),
            [conflict(".spec.replicas", "kubectl", "scale"), conflict(".data.a", "other", "")]
        );
    }

    #[test]
    fn only_what_nave_owned_is_taken_back() {
        let mut last = vec![hash(".data.a"), hash(".spec.replicas")];
        last.sort_unstable();
        let ours = conflict(".data.a", "kubectl-edit", "");
        let theirs = conflict(".data.b", "other", "");
        assert_eq!(
            resolve(std::slice::from_ref(&ours), Claim::Owner, Taking::Nothing, &last, &[]),
            Resolution::Force
        );
        assert_eq!(
            resolve(&[ours, theirs.clone()], Claim::Owner, Taking::Nothing, &last, &[]),
            Resolution::Refuse(vec![theirs.clone()])
        );
        assert_eq!(resolve(&[theirs], Claim::Adoption, Taking::Nothing, &last, &[]), Resolution::Force);
    }

    #[test]
    fn replicas_are_left_to_an_autoscaler_and_not_to_a_person() {
        let last = [hash(".spec.replicas")];
        let hpa = conflict(".spec.replicas", "kube-controller-manager", "scale");
        let person = conflict(".spec.replicas", "kubectl", "scale");
        let expected = Resolution::Yield { replicas: true, ignored: 0 };
        assert_eq!(resolve(std::slice::from_ref(&hpa), Claim::Owner, Taking::Nothing, &last, &[]), expected);
        assert_eq!(resolve(&[hpa], Claim::Adoption, Taking::Nothing, &last, &[]), expected);
        assert_eq!(resolve(&[person], Claim::Owner, Taking::Nothing, &last, &[]), Resolution::Force);
    }

    #[test]
    fn what_is_parked_takes_its_replicas_and_what_is_fenced_takes_everything() {
        let hpa = conflict(".spec.replicas", "kube-controller-manager", "scale");
        let theirs = conflict(".spec.template", "other", "");
        let resolve = |conflicts: &[Conflict], taking| resolve(conflicts, Claim::Owner, taking, &[], &[]);
        assert_eq!(resolve(std::slice::from_ref(&hpa), Taking::Replicas), Resolution::Force);
        let both = [hpa, theirs.clone()];
        assert_eq!(resolve(&both, Taking::Replicas), Resolution::Refuse(vec![theirs]));
        assert_eq!(resolve(&both, Taking::Everything), Resolution::Force);
    }

    #[test]
    fn ignored_fields_are_left_to_whoever_has_them() {
        let ignored = [Exclusion::new("/data/x", &json!({})), Exclusion::new("/data/b", &json!({}))];
        let theirs = conflict(".data.b", "other", "");
        assert_eq!(
            resolve(&[theirs], Claim::Owner, Taking::Nothing, &[], &ignored),
            Resolution::Yield { replicas: false, ignored: 0b10 }
        );
    }
}
