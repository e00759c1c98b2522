//! The applications of a world: one for each way in which work may be placed and moved.

use nave_common::application::Application;
use nave_common::failover::Fence;
use nave_common::name::ApplicationKey;
use serde_json::{Value, json};

use crate::deep::invariants::Subject;

/// How long an exclusive lease lasts in a world, in seconds: short, so that a scenario sees many of them end.
pub const LEASE_SECONDS: u64 = 15;

/// An application, and what is expected of it.
#[derive(Debug, Clone)]
pub struct Work {
    /// Its name.
    pub name: &'static str,
    /// In how many clusters it runs; `None` in all.
    pub count: Option<usize>,
    /// Its pods in each of them.
    pub replicas: u64,
    /// Its fence; `None` where it is not Exclusive.
    pub fence: Option<Fence>,
    /// What it says of failover.
    failover: Value,
}

impl Work {
    /// By what it is known.
    ///
    /// # Panics
    /// Never: the names stand in this file.
    #[must_use]
    pub fn key(&self) -> ApplicationKey {
        self.name.parse().unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// What a checker has to know of it.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject { fence: self.fence }
    }

    /// The application as a person applies it, in clusters of `regions` or in all where there are none.
    ///
    /// # Panics
    /// Where what stands in this file is no application.
    #[must_use]
    pub fn application(&self, regions: &[&str]) -> Application {
        let name = self.name;
        let mut placement = json!({"regions": regions});
        if let Some(count) = self.count {
            placement["count"] = json!(count);
        }
        let application = json!({"metadata": {"name": name}, "spec": {
        "namespace": name, "createNamespace": true, "placement": placement, "failover": self.failover,
        "source": {"inline": {"manifests": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"of": name}},
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
                "replicas": self.replicas, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": "main", "image": "registry.example/work:1"}]}}}},
        ]}}}});
        serde_json::from_value(application).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Work> {
    let failback = json!({"mode": "Auto", "after": "20s"});
    let lease = format!("{LEASE_SECONDS}s");
    let exclusive = |fence: Fence| {
        json!({"mode": "Exclusive", "failback": failback, "exclusive": {
            "leaseDuration": lease, "fence": fence, "fenceTimeout": "30s"}})
    };
    let overlap = json!({"failback": failback});
    let manual = json!({"mode": "Manual", "failback": failback});
    let work = |name, count, replicas, fence, failover| Work { name, count, replicas, fence, failover };
    vec![
        work("one", Some(1), 2, None, overlap.clone()),
        work("two", Some(2), 2, None, overlap.clone()),
        work("everywhere", None, 1, None, overlap),
        work("ledger", Some(1), 1, Some(Fence::Agent), exclusive(Fence::Agent)),
        work("vault", Some(1), 1, Some(Fence::Storage), exclusive(Fence::Storage)),
        work("asked", Some(1), 1, None, manual),
    ]
}
