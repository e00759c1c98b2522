//! The order in which kinds are applied; deletion goes the other way.
//!
//! Within one rank everything goes at once. An object waits only until everything of a lower rank was tried, not until
//! it worked: what is really needed first makes the later one fail and be tried again.

/// A place in the order; lower ranks are applied first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(u8);

/// How many ranks there are.
pub const RANK_COUNT: usize = 7;

/// Definitions of kinds.
pub const DEFINITIONS: Rank = Rank(0);
/// Namespaces.
pub const NAMESPACES: Rank = Rank(1);
/// What others refer to and what needs nothing itself: accounts, roles, classes, quotas.
pub const BASES: Rank = Rank(2);
/// What workloads need to start: configuration, secrets, volumes, services, bindings of roles.
pub const SUPPORTS: Rank = Rank(3);
/// What runs, and every built-in kind that is not named elsewhere.
pub const WORKLOADS: Rank = Rank(4);
/// Objects of other groups: they go after, and are deleted before, the workloads that may be their controllers.
pub const CUSTOM: Rank = Rank(5);
/// What stands in the way of other writes, and so comes last and goes first.
pub const GATES: Rank = Rank(6);

impl Rank {
    /// Its place, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The rank of a kind.
#[must_use]
pub fn rank(group: &str, kind: &str) -> Rank {
    match (group, kind) {
        ("apiextensions.k8s.io", "CustomResourceDefinition") => DEFINITIONS,
        ("", "Namespace") => NAMESPACES,
        ("", "ServiceAccount" | "ResourceQuota" | "LimitRange" | "PersistentVolume")
        | ("rbac.authorization.k8s.io", "Role" | "ClusterRole")
        | ("scheduling.k8s.io", "PriorityClass")
        | ("storage.k8s.io", "StorageClass" | "CSIDriver")
        | ("node.k8s.io", "RuntimeClass")
        | ("networking.k8s.io", "IngressClass" | "NetworkPolicy")
        | ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy") => BASES,
        ("", "ConfigMap" | "Secret" | "PersistentVolumeClaim" | "Service" | "Endpoints")
        | ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding")
        | ("discovery.k8s.io", "EndpointSlice") => SUPPORTS,
        ("admissionregistration.k8s.io", _) | ("apiregistration.k8s.io", "APIService") => GATES,
        (group, _) if is_built_in(group) => WORKLOADS,
        _ => CUSTOM,
    }
}

/// Whether a group is one of Kubernetes itself.
#[must_use]
pub fn is_built_in(group: &str) -> bool {
    matches!(group, "" | "apps" | "batch" | "autoscaling" | "policy" | "extensions")
        || group.ends_with(".k8s.io")
}

/// Whether a group's kinds are ones that a CRD defines, as far as a name can tell.
#[must_use]
pub fn may_be_custom(group: &str) -> bool {
    // Groups such as gateway.networking.k8s.io and snapshot.storage.k8s.io are Kubernetes' own, and still CRDs.
    !group.is_empty() && group.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_before_what_needs_it() {
        let order = [
            ("apiextensions.k8s.io", "CustomResourceDefinition"),
            ("", "Namespace"),
            ("", "ServiceAccount"),
            ("rbac.authorization.k8s.io", "RoleBinding"),
            ("apps", "Deployment"),
            ("example.com", "Database"),
            ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ];
        let ranks: Vec<_> = order.iter().map(|(group, kind)| rank(group, kind)).collect();
        assert!(ranks.is_sorted() && ranks.windows(2).all(|pair| pair[0] < pair[1]), "{ranks:?}");
        assert_eq!(ranks.len(), RANK_COUNT);
    }

    #[test]
    fn a_policy_does_nothing_before_its_binding() {
        let group = "admissionregistration.k8s.io";
        assert_eq!(rank(group, "ValidatingAdmissionPolicy"), BASES);
        assert_eq!(rank(group, "ValidatingAdmissionPolicyBinding"), GATES);
        assert_eq!(rank("batch", "Job"), WORKLOADS);
        assert_eq!(rank("networking.k8s.io", "Ingress"), WORKLOADS);
        assert_eq!(rank("", "Secret"), SUPPORTS);
    }
}
