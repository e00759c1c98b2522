//! What people are shown, computed from the picture: nothing that was not heard of lately is ever green.

use std::cmp::Reverse;

use nave_common::application::Application;
use nave_common::assignment::{Assignment, Desired, Run};
use nave_common::cluster::Cluster;
use nave_common::failover::state::FailoverState;
use nave_common::health::Health;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::status::{
    ApplicationStatus, AssignmentStatus, AssignmentView, ClusterStatus, Liveness, SyncState,
};
use nave_common::time::{HumanDuration, Timestamp};

use super::entry::{AssignmentEntry, Observed};
use super::state::State;

impl State {
    /// What is known of an application over all its clusters.
    #[must_use]
    pub fn application_status(&self, key: &ApplicationKey, now: Timestamp) -> ApplicationStatus {
        let mut status = ApplicationStatus::default();
        if let Some(revision) = self.latest_revision(key) {
            status.revision = revision.number;
            status.origin.clone_from(&revision.origin);
        }
        let mut worst = Worst::default();
        for (cluster, assignment) in self.assignments_of(key).into_iter().flat_map(|told| told.iter()) {
            match &assignment.desired {
                Desired::Remove => status.removing_count += 1,
                // What is parked is told apart: nothing of it runs, so nothing of it is healthy or not.
                Desired::Run(run) if !run.activity.is_active() => status.parked_count += 1,
                Desired::Run(run) => {
                    let seen = self.seen(cluster, assignment, run, now);
                    status.cluster_count += 1;
                    status.synced_count += u32::from(seen.sync == SyncState::Synced);
                    status.healthy_count += u32::from(seen.health == Health::Healthy);
                    worst.add(cluster, seen);
                }
            }
        }
        if let Some(placement) = self.placement(key) {
            status.unplaced_count = placement.unplaced_count;
            status.placement_problems.clone_from(&placement.problems);
        }
        worst.finish(&mut status);
        if let Some(failover) = self.failovers().get(key) {
            status.failover = moving(&failover.value);
        }
        let is_planned = self.placement(key).is_some_and(|placement| {
            self.applications().get(key).is_none_or(|stored| placement.sequence >= stored.sequence)
        });
        if !is_planned && status.sync < SyncState::Syncing {
            // What is assigned is not yet what was asked for last.
            status.sync = SyncState::Syncing;
            status.reason = "the last change is being planned".into();
        }
        if let Some(holding) = self.holding(key).filter(|_| !self.may_plan(key)) {
            holding.put_on(&mut status);
        }
        status
    }

    /// What is known of a cluster; `None` where none of that name has joined.
    #[must_use]
    pub fn cluster_status(&self, name: &ClusterName) -> Option<ClusterStatus> {
        let observed = &self.clusters().get(name)?.observed;
        let told = self.assignments_in(name).into_iter().flat_map(|entries| entries.values());
        let running = told.filter(|entry| matches!(entry.assignment.desired, Desired::Run(_))).count();
        Some(ClusterStatus {
            liveness: observed.liveness,
            last_heard_at: observed.beat.heard_at(),
            observed: observed.observation.as_deref().cloned(),
            application_count: u32::try_from(running).unwrap_or(u32::MAX),
            requested: self.fleet().find(name).map(|candidate| candidate.requested).unwrap_or_default(),
            unknown_applications: observed.unknown_applications.clone(),
        })
    }

    /// What one cluster is told about an application beside what its agent said last.
    #[must_use]
    pub fn assignment_view(&self, cluster: &ClusterName, key: &ApplicationKey) -> Option<AssignmentView> {
        let entry = self.assignment(cluster, key)?;
        let liveness = self.clusters().get(cluster).map(|entry| entry.observed.liveness);
        let liveness = liveness.unwrap_or_default();
        let mut status = entry.status.as_deref().cloned();
        if let Some(status) = &mut status
            && liveness != Liveness::Alive
        {
            status.health = Health::Unknown;
            status.sync = SyncState::Unknown;
            status.reason = self.silence(cluster, None);
        }
        Some(AssignmentView { assignment: Assignment::clone(&entry.assignment), status, liveness })
    }

    /// An application with its status, as it is shown.
    #[must_use]
    pub fn application_view(&self, key: &ApplicationKey, now: Timestamp) -> Option<Application> {
        let mut application = Application::clone(&self.applications().get(key)?.value);
        application.status = Some(self.application_status(key, now));
        Some(application)
    }

    /// A cluster with its status, as it is shown.
    #[must_use]
    pub fn cluster_view(&self, name: &ClusterName) -> Option<Cluster> {
        let mut cluster = Cluster::clone(&self.clusters().get(name)?.record.value);
        cluster.status = self.cluster_status(name);
        Some(cluster)
    }

    fn seen<'a>(
        &'a self,
        cluster: &ClusterName,
        assignment: &Assignment,
        run: &Run,
        now: Timestamp,
    ) -> Seen<'a> {
        let observed = self.clusters().get(cluster).map(|entry| &entry.observed);
        let heard_at = observed.and_then(Observed::last_heard_at);
        let entry = self.assignment(cluster, &assignment.application);
        let status = entry.and_then(|entry: &AssignmentEntry| entry.status.as_deref());
        if observed.is_none_or(|observed| observed.liveness != Liveness::Alive) {
            let reason = self.silence(cluster, Some(now));
            return Seen {
                sync: SyncState::Unknown,
                health: Health::Unknown,
                reason: Reason::Own(reason),
                heard_at,
            };
        }
        let Some(status) = status else {
            let reason = Reason::Fixed("the agent has said nothing of it yet");
            return Seen { sync: SyncState::Syncing, health: Health::Unknown, reason, heard_at };
        };
        let (sync, reason) = judge(assignment, run, status);
        Seen { sync, health: status.health, reason, heard_at }
    }

    /// Since when a cluster is silent; with `now`, for how long.
    fn silence(&self, cluster: &ClusterName, now: Option<Timestamp>) -> String {
        let Some(entry) = self.clusters().get(cluster) else { return "no such cluster has joined".into() };
        let liveness = entry.observed.liveness;
        match (entry.observed.last_heard_at(), now) {
            (Some(at), Some(now)) => {
                // Whole seconds are what people read.
                let age = std::time::Duration::from_secs(now.since(at).as_secs());
                format!("{liveness}: last heard {} ago", HumanDuration(age))
            }
            (Some(at), None) => format!("{liveness}: last heard at {at}"),
            (None, _) => format!("{liveness}: not heard since the hub started"),
        }
    }
}

/// What failover is about at the moment: the oldest move, what it waits for, and how many more there are.
fn moving(state: &FailoverState) -> String {
    let Some(first) = state.moves.first() else { return String::new() };
    let to = first.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
    let mut text = format!("moving from {}{to}: {}", first.from, first.phase);
    if !first.reason.is_empty() {
        text = format!("{text}: {}", first.reason);
    }
    match state.moves.len() - 1 {
        0 => text,
        more => format!("{text}; and {more} more"),
    }
}

/// Whether what an agent says is about what is wanted now.
fn judge<'a>(assignment: &Assignment, run: &Run, status: &'a AssignmentStatus) -> (SyncState, Reason<'a>) {
    if status.generation != assignment.generation {
        return (
            status.sync.max(SyncState::Syncing),
            Reason::Fixed("the agent has not yet acted on the last change"),
        );
    }
    if status.sync == SyncState::Synced && status.applied != Some(run.rendering) {
        return (SyncState::Syncing, Reason::Fixed("being applied"));
    }
    (status.sync, Reason::Said(&status.reason))
}

/// One application in one cluster, as it counts.
#[derive(Debug)]
struct Seen<'a> {
    sync: SyncState,
    health: Health,
    reason: Reason<'a>,
    heard_at: Option<Timestamp>,
}

/// Why; made into text only for the worst.
#[derive(Debug)]
enum Reason<'a> {
    Fixed(&'static str),
    Said(&'a str),
    Own(String),
}

/// The worst of many.
#[derive(Debug, Default)]
struct Worst<'a> {
    sync: Option<SyncState>,
    health: Option<Health>,
    /// The rank of the reason that is kept, and the cluster that gave it.
    reason: Option<((Health, SyncState), ClusterName, Reason<'a>)>,
    oldest: Option<Timestamp>,
    silent: bool,
}

impl<'a> Worst<'a> {
    fn add(&mut self, cluster: &ClusterName, seen: Seen<'a>) {
        self.sync = self.sync.max(Some(seen.sync));
        self.health = self.health.max(Some(seen.health));
        match seen.heard_at {
            Some(at) => self.oldest = Some(self.oldest.map_or(at, |oldest| oldest.min(at))),
            None => self.silent = true,
        }
        let rank = (seen.health, seen.sync);
        let is_bad = seen.sync != SyncState::Synced || seen.health != Health::Healthy;
        let is_worse = self.reason.as_ref().is_none_or(|(kept, ..)| Reverse(rank) < Reverse(*kept));
        if is_bad && is_worse {
            self.reason = Some((rank, cluster.clone(), seen.reason));
        }
    }

    fn finish(self, status: &mut ApplicationStatus) {
        status.sync = self.sync.unwrap_or_default();
        status.health = self.health.unwrap_or_default();
        // Where one was never heard, no age is old enough.
        status.observed_at = if self.silent { None } else { self.oldest };
        status.reason = match self.reason {
            Some((_, cluster, reason)) => {
                let why = match &reason {
                    Reason::Fixed(text) | Reason::Said(text) => text,
                    Reason::Own(text) => text.as_str(),
                };
                if why.is_empty() { cluster.to_string() } else { format!("{cluster}: {why}") }
            }
            None if status.cluster_count == 0 => {
                status.placement_problems.first().cloned().unwrap_or_default()
            }
            None => String::new(),
        };
    }
}
