//! The Work: what this cluster has been told, as the connection hands it to [`crate::reconcile`].
//!
//! It is state, not commands: each set replaces the one before. An application that is absent from a set is one of
//! which nothing is known, and nothing about it is changed; to remove it, the set must hold a `Remove`.

use std::collections::BTreeMap;
use std::sync::Arc;

use nave_common::assignment::{Assignment, Desired, Run};
use nave_common::name::ApplicationKey;
use nave_common::render::Rendering;

/// One assignment and the manifests that it means in this cluster.
#[derive(Debug, Clone)]
pub struct Work {
    /// What the hub said.
    pub assignment: Assignment,
    /// The manifests; `None` only where the application is to be removed.
    pub rendering: Option<Arc<Rendering>>,
}

/// Everything that this cluster has been told, removals included.
pub type WorkSet = Arc<BTreeMap<ApplicationKey, Arc<Work>>>;

impl Work {
    /// What runs and how; `None` where the application is to be removed.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        match &self.assignment.desired {
            Desired::Run(run) => Some(run),
            Desired::Remove => None,
        }
    }

    /// Whether nothing of it is to run.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.run().is_some_and(|run| !run.activity.is_active())
    }
}
