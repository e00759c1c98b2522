//! The hub's picture of everything, as a plain struct: what the store holds, and what agents say.
//!
//! [`State::apply`] takes the store's changes in their order and says what they affected; nothing in here waits, locks
//! or asks for the time. What agents say is kept here only and never stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nave_common::application::Application;
use nave_common::assignment::{Assignment, Desired, Generation};
use nave_common::cluster::Cluster;
use nave_common::digest::Digest;
use nave_common::event::Event;
use nave_common::failover::HubFailover;
use nave_common::failover::state::FailoverState;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::resources::Resources;
use nave_common::revision::Revision;
use nave_common::token::JoinToken;

use super::ahead::Ahead;
use super::entry::{AssignmentEntry, ClusterEntry, PlacementOutcome, Stored};
use super::facts::{Times, WorkFacts};
use super::interest::Effect;
use super::said::Said;
use crate::plan::failover::Now;
use crate::plan::fleet::{Candidate, DEFAULT_WEIGHT, Fleet};
use crate::records::{EventId, HoldRecord, HubFailoverRecord, MAX_EVENT_COUNT, Name, Record, RestoredRecord};
use crate::store::Sequence;

/// One change of the store, read.
#[derive(Debug, Clone)]
pub(super) enum Update {
    /// A record is there now.
    Put(Record),
    /// A record is gone.
    Delete(Name),
}

/// Everything the hub knows.
#[derive(Debug, Clone, Default)]
pub struct State {
    sequence: Sequence,
    term: u64,
    counter: u64,
    counter_sequence: Sequence,
    clusters: BTreeMap<ClusterName, ClusterEntry>,
    applications: BTreeMap<ApplicationKey, Stored<Application>>,
    revisions: BTreeMap<ApplicationKey, BTreeMap<u64, Arc<Revision>>>,
    // The two indexes hold the same assignments. The one by application is shared with snapshots.
    by_application: BTreeMap<ApplicationKey, Arc<BTreeMap<ClusterName, Arc<Assignment>>>>,
    by_cluster: BTreeMap<ClusterName, BTreeMap<ApplicationKey, AssignmentEntry>>,
    tokens: BTreeMap<String, Stored<JoinToken>>,
    events: BTreeMap<EventId, Arc<Event>>,
    placements: BTreeMap<ApplicationKey, Arc<PlacementOutcome>>,
    failovers: BTreeMap<ApplicationKey, Stored<FailoverState>>,
    hub_failover: Stored<HubFailoverRecord>,
    said: Said,
    pub(super) holds: BTreeMap<ApplicationKey, Stored<HoldRecord>>,
    pub(super) restored: Option<Stored<RestoredRecord>>,
    /// Agents that have seen a higher generation than this hub's when they connected.
    pub(super) agents_ahead: BTreeMap<ClusterName, Generation>,
    /// Clusters whose agents came after a restore and that the backup did not know.
    pub(super) strangers: BTreeSet<ClusterName>,
    failover_view: Arc<HubFailover>,
    ahead: Ahead,
    /// Counts the changes of which clusters there are and whether they are heard.
    silence_version: u64,
    times: Times,
    fleet: Arc<Fleet>,
}

impl State {
    /// The last commit that is part of this picture.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// The newest generation.
    #[must_use]
    pub fn generation(&self) -> Generation {
        Generation { term: self.term, counter: self.counter }
    }

    /// The commit that wrote `meta/generation`; zero where there is none.
    #[must_use]
    pub fn generation_sequence(&self) -> Sequence {
        self.counter_sequence
    }

    /// Every cluster that has joined.
    #[must_use]
    pub fn clusters(&self) -> &BTreeMap<ClusterName, ClusterEntry> {
        &self.clusters
    }

    /// Every application, those being deleted among them.
    #[must_use]
    pub fn applications(&self) -> &BTreeMap<ApplicationKey, Stored<Application>> {
        &self.applications
    }

    /// An application's Revisions by number, oldest first.
    pub fn revisions(&self, key: &ApplicationKey) -> impl DoubleEndedIterator<Item = &Arc<Revision>> {
        self.revisions.get(key).into_iter().flat_map(BTreeMap::values)
    }

    /// One Revision of an application.
    #[must_use]
    pub fn revision(&self, key: &ApplicationKey, number: u64) -> Option<&Arc<Revision>> {
        self.revisions.get(key)?.get(&number)
    }

    /// The Revision that is wanted: the newest.
    #[must_use]
    pub fn latest_revision(&self, key: &ApplicationKey) -> Option<&Arc<Revision>> {
        self.revisions.get(key)?.values().next_back()
    }

    /// What clusters are told about an application, tombstones among it; `None` where no cluster is told anything.
    #[must_use]
    pub fn assignments_of(
        &self,
        key: &ApplicationKey,
    ) -> Option<&Arc<BTreeMap<ClusterName, Arc<Assignment>>>> {
        self.by_application.get(key)
    }

    /// What a cluster is told; `None` where it is told nothing.
    #[must_use]
    pub fn assignments_in(
        &self,
        cluster: &ClusterName,
    ) -> Option<&BTreeMap<ApplicationKey, AssignmentEntry>> {
        self.by_cluster.get(cluster)
    }

    /// What a cluster is told about an application, and what it says of it.
    #[must_use]
    pub fn assignment(&self, cluster: &ClusterName, key: &ApplicationKey) -> Option<&AssignmentEntry> {
        self.by_cluster.get(cluster)?.get(key)
    }

    /// Every cluster's assignments, by cluster.
    #[must_use]
    pub fn assignments(&self) -> &BTreeMap<ClusterName, BTreeMap<ApplicationKey, AssignmentEntry>> {
        &self.by_cluster
    }

    /// The join tokens by id.
    #[must_use]
    pub fn tokens(&self) -> &BTreeMap<String, Stored<JoinToken>> {
        &self.tokens
    }

    /// The newest events, oldest first.
    #[must_use]
    pub fn events(&self) -> &BTreeMap<EventId, Arc<Event>> {
        &self.events
    }

    /// How the last planning of an application went; `None` before the first since the hub started.
    #[must_use]
    pub fn placement(&self, key: &ApplicationKey) -> Option<&Arc<PlacementOutcome>> {
        self.placements.get(key)
    }

    /// How applications stand in failover; those that failover has nothing to do with are not in it.
    #[must_use]
    pub fn failovers(&self) -> &BTreeMap<ApplicationKey, Stored<FailoverState>> {
        &self.failovers
    }

    /// What people said of failover as a whole; sequence zero where nobody has said anything.
    #[must_use]
    pub fn hub_failover(&self) -> &Stored<HubFailoverRecord> {
        &self.hub_failover
    }

    /// How failover stands on the hub as a whole, as control last found it.
    #[must_use]
    pub fn failover_view(&self) -> &Arc<HubFailover> {
        &self.failover_view
    }

    /// When this hub began to look.
    #[must_use]
    pub fn started(&self) -> Now {
        self.times.started
    }

    /// When this picture was last changed.
    pub(super) fn now(&self) -> Now {
        self.times.now
    }

    /// Changes whenever it does which clusters there are, what they are, or whether they are heard.
    #[must_use]
    pub fn silence_version(&self) -> u64 {
        self.silence_version
    }

    pub(super) fn note_silence(&mut self) {
        self.silence_version += 1;
    }

    pub(super) fn said(&self) -> &Said {
        &self.said
    }

    pub(super) fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    pub(super) fn ahead_mut(&mut self) -> &mut Ahead {
        &mut self.ahead
    }

    /// Begins to look.
    pub(super) fn start(&mut self, now: Now) {
        self.times = Times { started: now, now };
        self.said = Said::at_start(&self.hub_failover.value, now);
    }

    /// The time goes on; only the newest counts.
    pub(super) fn set_now(&mut self, now: Now) {
        self.times.now = now;
    }

    pub(super) fn set_failover_view(&mut self, view: HubFailover, effects: &mut Vec<Effect>) {
        if *self.failover_view != view {
            self.failover_view = Arc::new(view);
            effects.push(Effect::HubFailover);
        }
    }

    /// The clusters as planners see them; cheap to clone.
    #[must_use]
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// Takes what one commit changed, and says what it affected.
    pub(super) fn apply(&mut self, sequence: Sequence, updates: Vec<Update>, effects: &mut Vec<Effect>) {
        for update in updates {
            match update {
                Update::Put(record) => self.put(sequence, record, effects),
                Update::Delete(name) => self.delete(&name, effects),
            }
        }
        self.sequence = self.sequence.max(sequence);
    }

    fn put(&mut self, sequence: Sequence, record: Record, effects: &mut Vec<Effect>) {
        match record {
            Record::Term(term) => self.term = term,
            Record::Generation(counter) => (self.counter, self.counter_sequence) = (counter, sequence),
            Record::HubFailover(record) => {
                self.said.take(&self.hub_failover.value, &record, self.times.now);
                self.hub_failover = Stored::new(*record, "", sequence);
                effects.push(Effect::HubFailover);
            }
            Record::Restored(record) => self.restored = Some(Stored::new(*record, "", sequence)),
            Record::Hold(hold) => {
                let key = hold.application.clone();
                self.holds.insert(key.clone(), Stored::new(*hold, "", sequence));
                self.hold_changed(&key, effects);
            }
            Record::Failover(state) => {
                let key = state.application.clone();
                self.failovers.insert(key.clone(), Stored::new(*state, "", sequence));
                effects.push(Effect::Failover(key));
            }
            Record::Cluster(record) => {
                let mut cluster = record.cluster;
                cluster.metadata.sequence = sequence.0;
                let name = cluster.metadata.name.clone();
                self.put_cluster(Stored::new(cluster, &record.change_id, sequence), record.enrolment);
                effects.push(Effect::Cluster(name));
            }
            Record::Application(record) => {
                let mut application = record.application;
                application.metadata.sequence = sequence.0;
                let key = application.key();
                self.applications.insert(key.clone(), Stored::new(application, &record.change_id, sequence));
                effects.push(Effect::Application(key));
            }
            Record::Revision(revision) => {
                let key = revision.application.clone();
                let revisions = self.revisions.entry(key.clone()).or_default();
                revisions.insert(revision.number, Arc::new(*revision));
                effects.push(Effect::Application(key));
            }
            Record::Assignment(assignment) => {
                effects.push(Effect::Assignment(assignment.cluster.clone(), assignment.application.clone()));
                self.put_assignment(Arc::new(*assignment));
            }
            Record::Token(token) => {
                self.tokens.insert(token.id.clone(), Stored::new(*token, "", sequence));
            }
            Record::Event(id, event) => {
                self.events.insert(id, Arc::new(*event));
                // Control deletes what is past the count kept; this only bounds memory where it cannot.
                if self.events.len() > 2 * MAX_EVENT_COUNT {
                    self.events.pop_first();
                }
                effects.push(Effect::Event);
            }
        }
    }

    fn delete(&mut self, name: &Name, effects: &mut Vec<Effect>) {
        match name {
            // None of them is ever deleted.
            Name::Term | Name::Generation | Name::Restored => {}
            Name::Hold(key) => {
                self.holds.remove(key);
                self.hold_changed(key, effects);
            }
            Name::HubFailover => {
                self.said = Said::default();
                self.hub_failover = Stored::default();
                effects.push(Effect::HubFailover);
            }
            Name::Failover(key) => {
                self.failovers.remove(key);
                effects.push(Effect::Failover(key.clone()));
            }
            Name::Cluster(name) => {
                self.clusters.remove(name);
                self.ahead.forget(name);
                self.note_silence();
                Arc::make_mut(&mut self.fleet).remove(name);
                effects.push(Effect::Cluster(name.clone()));
            }
            Name::Application(key) => {
                self.applications.remove(key);
                self.placements.remove(key);
                effects.push(Effect::Application(key.clone()));
            }
            Name::Revision(key, number) => {
                if let Some(revisions) = self.revisions.get_mut(key) {
                    revisions.remove(number);
                    if revisions.is_empty() {
                        self.revisions.remove(key);
                    }
                }
                effects.push(Effect::Application(key.clone()));
            }
            Name::Assignment(cluster, key) => {
                self.delete_assignment(cluster, key);
                effects.push(Effect::Assignment(cluster.clone(), key.clone()));
            }
            Name::Token(id) => {
                self.tokens.remove(id);
            }
            Name::Event(id) => {
                self.events.remove(id);
            }
        }
    }

    fn put_cluster(&mut self, record: Stored<Cluster>, enrolment: Option<Digest>) {
        let name = record.value.metadata.name.clone();
        let before = self.clusters.remove(&name);
        let was_drained = before.as_ref().map(|entry| entry.record.value.spec.drained);
        let mut observed = before.map(|entry| entry.observed).unwrap_or_default();
        if let Some(was_drained) = was_drained {
            observed.facts.note_drained(was_drained, record.value.spec.drained, self.times.now);
        }
        let load = self.by_cluster.get(&name).into_iter().flat_map(BTreeMap::values);
        Arc::make_mut(&mut self.fleet).put(Candidate {
            labels: Arc::new(record.value.metadata.labels.clone()),
            taints: record.value.spec.taints.as_slice().into(),
            weight: record.value.spec.weight.unwrap_or(DEFAULT_WEIGHT),
            liveness: observed.liveness,
            allocatable: observed.allocatable(),
            requested: load.fold(Resources::default(), |sum, entry| sum.plus(entry.counted)),
            is_cordoned: record.value.spec.cordoned,
            is_drained: record.value.spec.drained,
            is_sick: observed.facts.sick_since.is_some(),
            name: name.clone(),
        });
        self.note_silence();
        self.clusters.insert(name, ClusterEntry { record, enrolment, observed });
    }

    fn put_assignment(&mut self, assignment: Arc<Assignment>) {
        let (cluster, key) = (assignment.cluster.clone(), assignment.application.clone());
        let counted = match &assignment.desired {
            // What is parked takes no room.
            Desired::Run(run) if run.activity.is_active() => {
                self.revision(&key, run.revision).map_or_else(Resources::default, |r| r.requests)
            }
            Desired::Run(_) | Desired::Remove => Resources::default(),
        };
        let told = Arc::make_mut(self.by_application.entry(key.clone()).or_default());
        told.insert(cluster.clone(), assignment.clone());
        let entries = self.by_cluster.entry(cluster.clone()).or_default();
        let before = entries.remove(&key);
        let before_counted = before.as_ref().map_or_else(Resources::default, |entry| entry.counted);
        let (status, facts) =
            before.map_or((None, WorkFacts::default()), |entry| (entry.status, entry.facts));
        entries.insert(key, AssignmentEntry { assignment, status, facts, counted });
        self.move_load(&cluster, before_counted, counted);
    }

    fn delete_assignment(&mut self, cluster: &ClusterName, key: &ApplicationKey) {
        if let Some(told) = self.by_application.get_mut(key) {
            Arc::make_mut(told).remove(cluster);
            if told.is_empty() {
                self.by_application.remove(key);
            }
        }
        if let Some(entries) = self.by_cluster.get_mut(cluster) {
            let before = entries.remove(key);
            if entries.is_empty() {
                self.by_cluster.remove(cluster);
            }
            if let Some(before) = before {
                self.move_load(cluster, before.counted, Resources::default());
            }
        }
    }

    fn move_load(&mut self, cluster: &ClusterName, taken_off: Resources, added: Resources) {
        // The fleet is copied by a change while a planner holds it, so nothing is changed for nothing.
        if taken_off != added {
            Arc::make_mut(&mut self.fleet).update(cluster, |candidate| {
                *candidate.requested = candidate.requested.minus(taken_off).plus(added);
            });
        }
    }

    pub(super) fn cluster_mut(&mut self, name: &ClusterName) -> Option<(&mut ClusterEntry, &mut Arc<Fleet>)> {
        Some((self.clusters.get_mut(name)?, &mut self.fleet))
    }

    pub(super) fn entries_mut(
        &mut self,
        name: &ClusterName,
    ) -> Option<&mut BTreeMap<ApplicationKey, AssignmentEntry>> {
        self.by_cluster.get_mut(name)
    }

    pub(super) fn set_placement(
        &mut self,
        key: &ApplicationKey,
        outcome: PlacementOutcome,
    ) -> Option<Effect> {
        let same = self.placements.get(key).is_some_and(|before| **before == outcome);
        if same || !self.applications.contains_key(key) {
            return None;
        }
        self.placements.insert(key.clone(), Arc::new(outcome));
        Some(Effect::Placement(key.clone()))
    }

    /// Takes over from `before` what only agents and planners can say, after the store was read anew.
    pub(super) fn take_over(&mut self, before: &Self) {
        for (name, entry) in &before.clusters {
            let Some((mine, fleet)) = self.cluster_mut(name) else { continue };
            mine.observed = entry.observed.clone();
            Arc::make_mut(fleet).update(name, |candidate| {
                *candidate.liveness = entry.observed.liveness;
                *candidate.allocatable = entry.observed.allocatable();
                *candidate.is_sick = entry.observed.facts.sick_since.is_some();
            });
        }
        for (name, entries) in &before.by_cluster {
            let Some(mine) = self.by_cluster.get_mut(name) else { continue };
            for (key, entry) in entries {
                if let Some(mine) = mine.get_mut(key) {
                    mine.status.clone_from(&entry.status);
                    mine.facts = entry.facts;
                }
            }
        }
        self.ahead.clone_from(&before.ahead);
        self.silence_version = before.silence_version + 1;
        self.strangers.clone_from(&before.strangers);
        self.agents_ahead.clone_from(&before.agents_ahead);
        self.times = before.times;
        self.said = before.said;
        self.said.take(&before.hub_failover.value, &self.hub_failover.value, self.times.now);
        self.failover_view.clone_from(&before.failover_view);
        self.placements.clone_from(&before.placements);
        let applications = &self.applications;
        self.placements.retain(|key, _| applications.contains_key(key));
    }
}
