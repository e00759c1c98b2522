//! What waits after a restore: which applications are held, what their agents said of them, and what may still be done.
//!
//! A restored hub knows less than its agents may have seen. So every application that the backup knew is held: it is
//! neither planned nor sent, and nothing Exclusive of it is granted or renewed, until every agent concerned has said that
//! it has what the backup says, or a person has decided. Agents go on with what they have meanwhile. This module only
//! answers questions about the picture; [`crate::backup::release`] ends holds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use nave_common::assignment::{Assignment, Desired, Generation};
use nave_common::failover::FailoverMode;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::status::{ApplicationStatus, SyncState};
use nave_common::time::Timestamp;

use super::World;
use super::entry::Stored;
use super::interest::Effect;
use super::state::State;
use crate::plan::assign::Told;
use crate::records::{HoldRecord, RestoredRecord};

/// Clusters that a reason names one by one.
const NAMED_CLUSTERS: usize = 3;

/// Clusters that are remembered though the backup did not know them.
const MAX_STRANGERS: usize = 1000;

/// What an agent's Hello said, after a restore, of the applications that are held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The highest generation that the agent has seen, where this hub cannot have told it.
    pub ahead: Option<Generation>,
    /// What is not there as the backup says. Of what is not named here the agent has exactly what the backup says.
    pub found: BTreeMap<ApplicationKey, Finding>,
}

/// How an application in a cluster differs from what the backup says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    /// The agent was told something else after the backup was made, or before.
    Differs,
    /// The agent was told to remove it.
    Removed,
    /// The agent has nothing of it.
    Missing,
    /// The agent runs it, and the backup does not say so.
    Extra,
    /// The agent has seen more than this hub: it would refuse whatever it were sent.
    Ahead,
    /// The cluster has a certificate of this fleet and is not in the backup.
    Stranger,
}

impl Finding {
    /// For people: what the cluster does.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Differs => "has something else than the backup says",
            Self::Removed => "was told to remove it",
            Self::Missing => "has nothing of it",
            Self::Extra => "runs it, and the backup does not say so",
            Self::Ahead => "has seen a higher term or generation than this hub",
            Self::Stranger => "is not in the backup and may run it",
        }
    }
}

/// How a held application stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// When the hub was restored.
    pub since: Timestamp,
    /// Whether a person has said that what runs stays.
    pub is_kept: bool,
    /// Clusters whose agents have said nothing since.
    pub silent: Vec<ClusterName>,
    /// Clusters in which it is not as the backup says.
    pub differing: Vec<(ClusterName, Finding)>,
}

impl Holding {
    /// For people: what it waits for and what to do.
    #[must_use]
    pub fn reason(&self) -> String {
        let since = self.since;
        if self.is_kept {
            return format!("kept as it runs since the restore of {since}: apply it to change it");
        }
        let mut text = format!("held after the restore of {since}: ");
        if let Some((cluster, finding)) = self.differing.first() {
            let _ = write!(text, "{cluster} {}", finding.text());
            if self.differing.len() > 1 {
                let _ = write!(text, ", and {} more clusters differ", self.differing.len() - 1);
            }
            text.push_str("; say nave hub release with --keep-running or --apply-backup");
            return text;
        }
        if self.silent.is_empty() {
            text.push_str("every agent has it, it is released at once");
            return text;
        }
        let names: Vec<&str> = self.silent.iter().take(NAMED_CLUSTERS).map(ClusterName::as_str).collect();
        let _ = write!(text, "waits for {}", names.join(", "));
        if self.silent.len() > NAMED_CLUSTERS {
            let _ = write!(text, " and {} more clusters", self.silent.len() - NAMED_CLUSTERS);
        }
        text.push_str(", or for nave hub release");
        text
    }

    /// Says in an application's status that it is held.
    pub(super) fn put_on(&self, status: &mut ApplicationStatus) {
        status.sync = match (self.is_kept, self.differing.is_empty()) {
            (true, _) => SyncState::Suspended,
            (false, true) => SyncState::Unknown,
            (false, false) => SyncState::OutOfSync,
        };
        status.reason = self.reason();
    }
}

impl World {
    /// Takes what an agent's Hello says of what is held; `None` where nothing is.
    pub fn set_report(&self, cluster: &ClusterName, report: Option<Report>) {
        self.change(|state, effects| {
            match report.as_ref().and_then(|report| report.ahead) {
                Some(ahead) => state.agents_ahead.insert(cluster.clone(), ahead),
                None => state.agents_ahead.remove(cluster),
            };
            let Some((entry, _)) = state.cluster_mut(cluster) else { return };
            if entry.observed.report.as_deref() != report.as_ref() {
                entry.observed.report = report.map(Arc::new);
                effects.push(Effect::Cluster(cluster.clone()));
            }
        });
    }
}

impl World {
    /// Notes that the agent of a cluster came that has a certificate of this fleet, and that the backup did not know.
    pub fn set_stranger(&self, cluster: &ClusterName) {
        self.change(|state, effects| {
            let is_room = !state.holds.is_empty() && state.strangers.len() < MAX_STRANGERS;
            if is_room && state.strangers.insert(cluster.clone()) {
                effects.push(Effect::Cluster(cluster.clone()));
            }
        });
    }
}

impl State {
    /// What is held after a restore.
    #[must_use]
    pub fn holds(&self) -> &BTreeMap<ApplicationKey, Stored<HoldRecord>> {
        &self.holds
    }

    /// From which backup this hub was restored; `None` where it was not.
    #[must_use]
    pub fn restored(&self) -> Option<&Stored<RestoredRecord>> {
        self.restored.as_ref()
    }

    /// Whether an application waits after a restore: nothing Exclusive of it is granted or renewed.
    #[must_use]
    pub fn is_held(&self, key: &ApplicationKey) -> bool {
        self.holds.contains_key(key)
    }

    /// How many applications wait, for their agents or for a person.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        self.holds.values().filter(|hold| hold.value.kept.is_none()).count()
    }

    /// Agents that have seen more than this hub: while there is one, nothing Exclusive is granted.
    pub fn clusters_ahead(&self) -> impl Iterator<Item = (&ClusterName, Generation)> {
        let ahead = self.agents_ahead.iter().map(|(name, ahead)| (name, *ahead));
        // A hub that was set back in its own term passes them in time; one that left the fleet counts no more.
        ahead.filter(|(name, ahead)| *ahead > self.generation() && self.clusters().contains_key(*name))
    }

    /// Whether an application may be planned: it is not held, or a person deleted it since the restore, or applied it
    /// anew after saying that what runs stays.
    #[must_use]
    pub fn may_plan(&self, key: &ApplicationKey) -> bool {
        let Some(hold) = self.holds.get(key) else { return true };
        let Some(application) = self.applications().get(key) else { return true };
        let is_deleted = application.value.metadata.deleted_at.is_some();
        let is_newer = self.restored().is_some_and(|restored| application.sequence > restored.sequence);
        is_newer && (is_deleted || hold.value.kept.is_some())
    }

    /// Whether an assignment is kept from its agent: it is from the backup, and its application is held.
    #[must_use]
    pub fn is_withheld(&self, assignment: &Assignment) -> bool {
        let Some(hold) = self.holds.get(&assignment.application) else { return false };
        let is_removal = assignment.desired == Desired::Remove;
        assignment.generation <= hold.value.up_to && !(is_removal && self.may_plan(&assignment.application))
    }

    /// What clusters are told about an application, for its planner: what the backup says and no agent was sent differs
    /// from everything that can be wanted, so that it is told anew.
    #[must_use]
    pub fn told_for_planning(&self, key: &ApplicationKey) -> Arc<Told> {
        let told = self.assignments_of(key).cloned().unwrap_or_default();
        let Some(hold) = self.holds.get(key) else { return told };
        let mut marked = Told::clone(&told);
        for assignment in marked.values_mut().filter(|it| it.generation <= hold.value.up_to) {
            if let Desired::Run(run) = &mut Arc::make_mut(assignment).desired {
                // Revisions count from 1.
                run.revision = 0;
            }
        }
        Arc::new(marked)
    }

    /// How a held application stands; `None` where it is not held.
    #[must_use]
    pub fn holding(&self, key: &ApplicationKey) -> Option<Holding> {
        let hold = &self.holds.get(key)?.value;
        let mut holding = Holding {
            since: hold.since,
            is_kept: hold.kept.is_some(),
            silent: Vec::new(),
            differing: Vec::new(),
        };
        for (cluster, said) in self.said_of(key) {
            match said {
                None => holding.silent.push(cluster.clone()),
                Some(Some(finding)) => holding.differing.push((cluster.clone(), finding)),
                Some(None) => {}
            }
        }
        Some(holding)
    }

    /// Whether nothing holds an application any more: it is gone, or everything that the backup said was told anew, or
    /// every agent concerned has exactly that.
    #[must_use]
    pub fn is_settled(&self, key: &ApplicationKey) -> bool {
        let Some(hold) = self.holds.get(key) else { return false };
        if !self.applications().contains_key(key) {
            return true;
        }
        let is_old = |assignment: &Arc<Assignment>| self.is_withheld(assignment);
        let is_told_anew = hold.value.kept.is_some()
            && self.may_plan(key)
            && !self.assignments_of(key).is_some_and(|told| told.values().any(is_old));
        is_told_anew || self.said_of(key).all(|(_, said)| said == Some(None))
    }

    /// What the agents concerned said of a held application: `None` of one that has said nothing, `Some(None)` of one
    /// that has exactly what the backup says. Concerned is every cluster that is told something of it, and every cluster
    /// that was found to have it; of Exclusive work, which may have moved anywhere since, and of what was not placed yet
    /// when the backup was made, every cluster there is; of Exclusive work also those that came without being in it.
    fn said_of<'a>(
        &'a self,
        key: &'a ApplicationKey,
    ) -> impl Iterator<Item = (&'a ClusterName, Option<Option<Finding>>)> {
        let is_exclusive = self
            .applications()
            .get(key)
            .is_some_and(|stored| stored.value.spec.failover.mode == FailoverMode::Exclusive)
            || self.failovers().get(key).is_some_and(|stored| stored.value.grant.is_some());
        let told = self.assignments_of(key);
        let may_be_anywhere = is_exclusive || told.is_none();
        let is_stranger = move |name: &&ClusterName| is_exclusive && !self.clusters().contains_key(*name);
        let strangers = self.strangers.iter().filter(is_stranger);
        let known = self.clusters().iter().filter_map(move |(name, entry)| {
            let report = entry.observed.report.as_deref();
            let said = report.map(|report| match report.ahead {
                Some(_) => Some(Finding::Ahead),
                None => report.found.get(key).copied(),
            });
            let has_it = report.is_some_and(|report| report.found.contains_key(key));
            (may_be_anywhere || has_it || told.is_some_and(|told| told.contains_key(name)))
                .then_some((name, said))
        });
        known.chain(strangers.map(|name| (name, Some(Some(Finding::Stranger)))))
    }

    /// Says of everything that a hold touches that it changed.
    pub(super) fn hold_changed(&self, key: &ApplicationKey, effects: &mut Vec<Effect>) {
        effects.push(Effect::Application(key.clone()));
        for cluster in self.assignments_of(key).into_iter().flat_map(|told| told.keys()) {
            effects.push(Effect::Assignment(cluster.clone(), key.clone()));
        }
    }
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
