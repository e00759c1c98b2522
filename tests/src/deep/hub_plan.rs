//! How a simulated hub plans and commits: as control does, one application at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nave_common::assignment::{Assignment, Desired, Generation, Run};
use nave_common::digest::Digest;
use nave_common::failover::state::{Cause, FailoverState, MovePhase};
use nave_common::failover::{DRIFT_PARTS, Epoch};
use nave_common::health::Health;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::resources::Resources;
use nave_common::revision::Revision;
use nave_common::status::Liveness;
use nave_common::time::{BootTime, Timestamp};
use nave_hub::plan::assign::{self, Change};
use nave_hub::plan::failover::{self, Decision, Inputs, Limits, Seen, Signal};
use nave_hub::plan::fleet::{Candidate, Fleet};

use super::Break;
use super::faults::Weather;
use super::invariants::Happened;
use super::store::{Commit, Slot, Write};
use super::world::{Event, Process, World, note};

/// The revision of every application.
pub(super) const REVISION: u64 = 1;

/// A transaction on its way to the disk, and what it means.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    key: ApplicationKey,
    commit: Commit,
    tells: BTreeSet<ClusterName>,
    happened: Vec<Happened>,
    counts: Vec<&'static str>,
}

impl World {
    /// What is given to the planner of the clusters.
    fn hub_fleet(&self, hub: usize) -> Fleet {
        let candidate = |(index, spoke): (usize, &super::world::Spoke)| {
            let mut candidate = Candidate::new(spoke.name.clone());
            let labels = [("region".to_owned(), spoke.region.clone())];
            candidate.labels = Arc::new(labels.into());
            candidate.liveness = self.hub_hears(hub, index);
            let set = self.hubs[hub].view.clusters.get(&spoke.name).copied().unwrap_or_default();
            (candidate.is_cordoned, candidate.is_drained) = (set.is_cordoned, set.is_drained);
            candidate
        };
        self.spokes.iter().enumerate().map(candidate).collect()
    }

    /// What stands against a cluster, or the application in it.
    fn hub_signal(&self, hub: usize, key: &ApplicationKey, spoke: usize) -> Option<Signal> {
        let it = &self.hubs[hub];
        let lease = Duration::from_millis(self.times.liveness_ms);
        let signal = |cause, since: BootTime, dwell: Duration| Signal {
            cause,
            began_at: self.hub_ago(hub, since),
            due_at: since.plus(dwell),
        };
        match self.hub_hears(hub, spoke) {
            Liveness::Lost => return Some(signal(Cause::Lost, *it.heard_at.get(&spoke)?, lease)),
            Liveness::Unheard => {
                return Some(signal(Cause::Lost, it.started_at, lease + self.startup_freeze()));
            }
            Liveness::Alive | Liveness::Suspect => {}
        }
        let dwell = Duration::from_millis(self.times.sick_dwell_ms);
        let sick = it.sick_since.get(&spoke).map(|since| signal(Cause::Sick, *since, dwell));
        let drained =
            it.drained_since.get(&spoke).map(|since| signal(Cause::Drained, *since, Duration::ZERO));
        let now = self.hub_now(hub);
        let against = match (sick, drained) {
            (Some(sick), Some(drained)) => Some(if sick.due_at <= now { sick } else { drained }),
            (sick, drained) => sick.or(drained),
        };
        against.or_else(|| {
            let place = (key.clone(), spoke);
            let after = it.view.applications.get(key)?.spec.failover.degraded_after?;
            let since = it.degraded_since.get(&place).filter(|_| it.was_healthy.contains(&place))?;
            Some(signal(Cause::Degraded, *since, after.0))
        })
    }

    fn hub_sees(&self, hub: usize, key: &ApplicationKey, spoke: usize) -> Seen {
        let it = &self.hubs[hub];
        let name = &self.spokes[spoke].name;
        let signal = self.hub_signal(hub, key, spoke);
        let told = it.view.told.get(key).and_then(|told| told.get(name));
        let status = it.statuses.get(&(key.clone(), spoke));
        // What was said of something else says nothing of what it is told now.
        let status = status.filter(|status| told.is_some_and(|told| told.generation == status.generation));
        let run = told.and_then(|told| match &told.desired {
            Desired::Run(run) => Some(run),
            Desired::Remove => None,
        });
        let is_parked = run.is_some_and(|run| !run.activity.is_active());
        let applied = status.and_then(|status| status.applied);
        let is_heard = matches!(self.hub_hears(hub, spoke), Liveness::Alive | Liveness::Suspect);
        Seen {
            signal,
            well_since: it.well_since.get(&spoke).copied().filter(|_| signal.is_none()),
            is_applied: applied.is_some() && applied == run.map(|run| run.rendering),
            health: status.filter(|_| is_heard).map_or(Health::Unknown, |status| status.health),
            was_healthy: it.was_healthy.contains(&(key.clone(), spoke)),
            fence: status.filter(|_| is_parked).and_then(|status| status.fence.clone()),
            is_heard,
        }
    }

    /// A hub plans what is dirty, until something is to be written.
    pub(super) fn hub_plan(&mut self, hub: usize, life: u64) {
        let it = &mut self.hubs[hub];
        if it.life != life {
            return;
        }
        it.plan_at = None;
        if it.process != Process::Running || it.pending.is_some() {
            return;
        }
        // Whoever decides looks first whether the hub was away.
        self.hub_doubts(hub);
        let fleet = self.hub_fleet(hub);
        while let Some(key) = self.hubs[hub].dirty.pop_first() {
            if self.hubs[hub].view.held.contains_key(&key) {
                continue;
            }
            if let Some(pending) = self.hub_decides(hub, &key, &fleet) {
                let takes = self.dice.range(1, 20);
                self.hubs[hub].pending = Some(pending);
                self.after(takes, Event::HubCommitted(hub, life));
                return;
            }
        }
    }

    fn hub_decides(&mut self, hub: usize, key: &ApplicationKey, fleet: &Fleet) -> Option<Pending> {
        let application = self.hubs[hub].view.applications.get(key)?.clone();
        let now = self.hub_both(hub);
        let state = self.hubs[hub].view.states.get(key).cloned();
        let state = state.map_or_else(|| FailoverState::new(key.clone()), |state| (*state).clone());
        let lease_over_at = self.hub_lease_over_at(hub, &state);
        let told = self.hubs[hub].view.told.get(key).cloned().unwrap_or_default();
        let seen: BTreeMap<ClusterName, Seen> = (0..self.spokes.len())
            .map(|spoke| (self.spokes[spoke].name.clone(), self.hub_sees(hub, key, spoke)))
            .collect();
        let is_exclusive = application.spec.failover.exclusive_rules().is_some();
        let doubt = &self.hubs[hub].doubt;
        let frozen = if is_exclusive { doubt.exclusive.clone() } else { doubt.any.clone() };
        let moves = doubt.rate.available(now.boot);
        let limits = Limits { frozen: frozen.as_ref(), is_held: self.hub_hold(hub).is_some(), moves };
        let mut inputs = Inputs {
            application: &application,
            revision: Some(REVISION),
            requests: Resources::default(),
            told: &told,
            fleet,
            state: &state,
            seen: &seen,
            lease_over_at,
            limits,
            generation: self.hubs[hub].view.generation(),
            now,
        };
        let mut decision = failover::decide(&inputs);
        if let Some(epoch) = decision.close {
            let promised = state.grant.as_ref().map(|grant| grant.promised()).unwrap_or_default();
            let _ = self.hubs[hub].leases.close(key, epoch, promised);
            note!(self, "hub {hub} closes the lease of {key} under {epoch}");
            inputs.lease_over_at = self.hub_lease_over_at(hub, &state);
            decision = failover::decide(&inputs);
        }
        self.hub_promises(hub, &state, &mut decision.state);
        self.hubs[hub].doubt.rate.take(decision.begun_count, now.boot);
        self.hub_pends(hub, key, &inputs, &decision)
    }

    /// What may be promised is made durable with the decision; it never falls within one epoch.
    fn hub_promises(&self, hub: usize, before: &FailoverState, state: &mut FailoverState) {
        let lease = self.works.iter().find(|work| work.key == state.application);
        let lease = lease.and_then(|work| work.exclusive.as_ref()).map(|rules| rules.lease_duration.0);
        let hold = self.hub_hold(hub).filter(|_| !self.is_broken(Break::PromiseNotDurable));
        if let (Some(grant), Some(lease)) = (&mut state.grant, lease)
            && grant.release.is_none()
        {
            let longest = hold.map_or(lease, |rest| rest.max(lease));
            let longest_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
            let before = before.grant.as_ref().filter(|it| it.epoch == grant.epoch);
            grant.promised_ms = grant.promised_ms.max(longest_ms).max(before.map_or(0, |it| it.promised_ms));
        }
    }

    /// When the lease of a grant is over, where it is closed. What is being taken back was closed by this process, or by
    /// one before it.
    fn hub_lease_over_at(&mut self, hub: usize, state: &FailoverState) -> Option<BootTime> {
        let grant = state.grant.as_ref()?;
        let leases = &mut self.hubs[hub].leases;
        let promised = grant.promised();
        if grant.release.is_none() && !leases.is_closed(&state.application, grant.epoch) {
            return None;
        }
        let over_at = leases.close(&state.application, grant.epoch, promised).over_at;
        let is_broken = self.is_broken(Break::HubIgnoresMargin);
        Some(if is_broken { over_at.minus(promised / DRIFT_PARTS) } else { over_at })
    }

    /// What has to be written for a decision; `None` where nothing has.
    fn hub_pends(
        &mut self,
        hub: usize,
        key: &ApplicationKey,
        inputs: &Inputs<'_>,
        decision: &Decision,
    ) -> Option<Pending> {
        match decision.wake_at {
            Some(at) => {
                self.hubs[hub].wakes.insert(key.clone(), at);
                let (at, life) = (self.hubs[hub].clock.true_at(at), self.hubs[hub].life);
                self.at(at, Event::HubWake(hub, life));
            }
            None => drop(self.hubs[hub].wakes.remove(key)),
        }
        let it = &self.hubs[hub];
        let generation = Generation { term: it.view.term, counter: it.view.counter + 1 };
        let mut pending = Pending {
            key: key.clone(),
            commit: Commit::default(),
            tells: BTreeSet::new(),
            happened: Vec::new(),
            counts: Vec::new(),
        };
        let writes = &mut pending.commit.writes;
        for change in self.hub_changes(hub, inputs, decision) {
            pending.tells.insert(change.cluster().clone());
            match change {
                Change::Tell(cluster, desired) => writes.push(Write::Tell(Arc::new(Assignment {
                    application: key.clone(),
                    cluster,
                    generation,
                    change_id: String::new(),
                    desired,
                }))),
                Change::Forget(cluster) => writes.push(Write::Forget(key.clone(), cluster)),
            }
        }
        let stored = it.view.states.get(key);
        let is_state_same = stored.is_some_and(|stored| **stored == decision.state)
            || (stored.is_none() && decision.state.is_empty());
        if !is_state_same {
            writes.push(Write::State(Box::new(decision.state.clone())));
        }
        if writes.is_empty() {
            return None;
        }
        writes.push(Write::Counter(generation.counter));
        for slot in [Slot::Counter, Slot::Application(key.clone()), Slot::State(key.clone()), Slot::Hub] {
            let version = it.view.version(&slot);
            pending.commit.expects.push((slot, version));
        }
        news(&mut pending, inputs, decision);
        note!(self, "hub {hub} decides {key}: {}", brief(decision));
        Some(pending)
    }

    /// What clusters are told anew.
    fn hub_changes(&self, hub: usize, inputs: &Inputs<'_>, decision: &Decision) -> Vec<Change> {
        let key = inputs.application.key();
        let statuses = &self.hubs[hub].statuses;
        let is_removed = |told: &Assignment| {
            let spoke = self.spokes.iter().position(|spoke| spoke.name == told.cluster);
            let status = spoke.and_then(|spoke| statuses.get(&(key.clone(), spoke)));
            status.is_some_and(|status| status.removed && status.generation == told.generation)
        };
        let removed =
            inputs.told.values().filter(|told| is_removed(told)).map(|told| told.cluster.clone()).collect();
        let revision = revision(inputs);
        let assigning = assign::Inputs {
            application: inputs.application,
            revision: Some(&revision),
            revisions: &[REVISION],
            told: inputs.told,
            removed: &removed,
            fleet: inputs.fleet,
        };
        let draft = assign::draft(&assigning, decision);
        let rendered =
            |(key, _): (&assign::RenderKey, _)| (key.clone(), Ok(Digest::of(format!("{key:?}").as_bytes())));
        let renderings = draft.wanted().map(rendered).collect();
        draft.finish(&assigning, &renderings).changes
    }

    /// A transaction is through: made, refused, or failed with nobody knowing which.
    pub(super) fn hub_committed(&mut self, hub: usize, life: u64) {
        if self.hubs[hub].life != life || self.hubs[hub].process == Process::Dead {
            return;
        }
        if self.hubs[hub].process == Process::Paused {
            self.after(1000, Event::HubCommitted(hub, life));
            return;
        }
        let Some(pending) = self.hubs[hub].pending.take() else { return };
        let percent = if self.weather == Weather::Edge { 95 } else { 70 };
        let fails = self.hubs[hub].is_store_sick && self.dice.chance(percent);
        let is_made = if fails {
            self.count("commits failed");
            note!(self, "hub {hub} commit of {} fails", pending.key);
            // Now and then it was made all the same, and only the word of it was lost.
            self.dice.chance(100 - percent) && self.hub_makes(hub, &pending)
        } else {
            self.hub_makes(hub, &pending)
        };
        let it = &mut self.hubs[hub];
        it.view = it.store.clone();
        it.dirty.insert(pending.key.clone());
        if is_made {
            let keys = [pending.key.clone()].into();
            for spoke in 0..self.spokes.len() {
                if pending.tells.contains(&self.spokes[spoke].name) {
                    self.hub_sends(hub, spoke, &keys);
                }
            }
        }
        if fails {
            // As control does after a failure of the store.
            let wait = self.now + self.dice.range(100, 1000);
            self.hubs[hub].plan_at = Some(wait);
            self.at(wait, Event::HubPlan(hub, life));
        } else {
            self.hub_plans_soon(hub);
        }
    }

    /// Makes a transaction durable, where it still holds; whether it does.
    pub(super) fn hub_makes(&mut self, hub: usize, pending: &Pending) -> bool {
        let is_made = self.hubs[hub].store.commit(&pending.commit);
        if !is_made {
            self.count("commits that conflicted");
            return false;
        }
        if hub == self.address {
            self.happened.extend(pending.happened.iter().cloned());
            for count in &pending.counts {
                self.count(count);
            }
        }
        self.is_changed = true;
        true
    }
}

/// The revision that every application has.
fn revision(inputs: &Inputs<'_>) -> Revision {
    Revision {
        application: inputs.application.key(),
        number: REVISION,
        bundle: Digest::of(b"bundle"),
        origin: String::new(),
        object_count: 1,
        requests: Resources::default(),
        created_at: Timestamp::EPOCH,
        created_by: String::new(),
    }
}

/// What a decision means to those who watch.
fn news(pending: &mut Pending, inputs: &Inputs<'_>, decision: &Decision) {
    let (before, after) = (inputs.state, &decision.state);
    let key = &pending.key;
    if let Some(grant) = &after.grant
        && before.grant.as_ref().is_none_or(|old| old.epoch != grant.epoch)
    {
        pending.happened.push(Happened::Granted(key.clone(), grant.cluster.clone(), grant.epoch));
        pending.counts.push("grants");
    }
    let fenced = |state: &FailoverState| {
        state.grant.as_ref().and_then(|grant| grant.release.as_ref()).is_some_and(|it| it.fenced.is_some())
    };
    let is_taken = before.grant.is_some()
        && after.grant.as_ref().map(|grant| grant.epoch) != before.grant.as_ref().map(|grant| grant.epoch);
    if !fenced(before) && (fenced(after) || is_taken) {
        pending.counts.push("fences");
    }
    for begun in after.moves.iter().chain(&after.history).filter(|it| it.number > before.move_count) {
        let is_frozen = inputs.limits.frozen.is_some();
        pending.happened.push(Happened::Began(key.clone(), begun.from.clone(), begun.cause, is_frozen));
        note_cause(&mut pending.counts, begun.cause);
    }
    let was_open =
        |number: u64| before.moves.iter().any(|it| it.number == number) || number > before.move_count;
    for done in after.history.iter().filter(|it| was_open(it.number)) {
        let counted = match (done.phase, done.cause) {
            (MovePhase::Done, Cause::Failback) => "failbacks done",
            (MovePhase::Done, cause) if cause.is_planned() => "switchovers done",
            (MovePhase::Done, _) => "failovers done",
            _ => "moves aborted",
        };
        pending.counts.push(counted);
    }
}

fn note_cause(counts: &mut Vec<&'static str>, cause: Cause) {
    counts.push(match cause {
        Cause::Lost => "moves begun: Lost",
        Cause::Sick => "moves begun: Sick",
        Cause::Degraded => "moves begun: Degraded",
        Cause::Drained => "moves begun: Drained",
        Cause::Placement => "moves begun: Placement",
        Cause::Ordered => "moves begun: Ordered",
        Cause::Failback => "moves begun: Failback",
    });
}

fn brief(decision: &Decision) -> String {
    let grant = decision.state.grant.as_ref().map(|grant| {
        let release = grant.release.as_ref().map(|it| &it.fenced);
        format!("{} {} {}ms {release:?}", grant.cluster, grant.epoch, grant.promised_ms)
    });
    let moves: Vec<String> = decision
        .state
        .moves
        .iter()
        .map(|it| format!("#{} {} -> {:?} {} {}", it.number, it.from, it.to, it.cause, it.phase))
        .collect();
    let stands: Vec<String> =
        decision.stands.iter().map(|(cluster, stand)| format!("{cluster} {stand:?}")).collect();
    let home = |(cluster, parked): (&ClusterName, &nave_common::failover::state::Parked)| {
        parked
            .is_home
            .then(|| format!("{cluster} instead {:?}", parked.replaced_by.as_ref().map(ClusterName::as_str)))
    };
    let homes: Vec<String> = decision.state.parked.iter().filter_map(home).collect();
    let problems = &decision.problems;
    format!("grant {grant:?}; moves {moves:?}; stands {stands:?}; homes {homes:?}; {problems:?}")
}

/// The token that a stand carries.
#[must_use]
pub(super) fn epoch_of(run: &Run) -> Epoch {
    run.exclusive.map(|terms| terms.epoch).unwrap_or_default()
}
