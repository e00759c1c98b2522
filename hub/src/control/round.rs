//! One round: a snapshot, the plans of some dirty applications, their commit.

use std::collections::BTreeSet;

use nave_common::assignment::{Assignment, Generation};
use nave_common::failover::state::FailoverState;
use nave_common::name::ApplicationKey;
use nave_common::time::BootTime;

use super::commit::{self, Base, Batch};
use super::draft::{self, Drafted, Kept, Rules};
use super::rendering;
use super::signals::Looking;
use super::snapshot::{Cause, Job, Snapshot};
use super::{Control, Error, events, moves};
use crate::plan::assign::{Change, Plan, Renderings};
use crate::plan::failover::{Decision, Now};
use crate::plan::fleet::Fleet;
use crate::records::{self, Name, Record};
use crate::store::Expect;
use crate::world::PlacementOutcome;

/// Applications planned on one snapshot: few enough that an urgent one never waits long.
const MAX_APPLICATIONS: usize = 64;
/// Clusters told in one commit, about: it bounds the memory that waits for the disk.
const MAX_CLUSTERS: usize = 8192;

/// One planned application on its way to the store.
#[derive(Debug)]
struct Planned {
    job: Job,
    decision: Decision,
    kept: Kept,
    plan: Plan,
    batch: Batch,
}

impl Control {
    /// Plans and commits some of what is dirty. What was not committed is dirty again.
    pub(super) async fn round(&mut self) -> Result<(), Error> {
        let taken = self.dirty.take(MAX_APPLICATIONS);
        let keys: Vec<ApplicationKey> = taken.iter().map(|(key, _)| key.clone()).collect();
        let now = self.world.now();
        let (snapshot, hold_until) = self.snapshot(&taken, now);
        let rules = Rules {
            grants: self.grants.clone(),
            verdict: self.doubts.verdict().clone(),
            moves: self.turns.available(now.boot),
            hold_until,
            now,
        };
        let planned: BTreeSet<&ApplicationKey> = snapshot.jobs.iter().map(|job| &job.key).collect();
        for key in keys.iter().filter(|key| !planned.contains(key)) {
            self.dirty.forget(key);
        }
        let done = self.plan(snapshot, rules).await;
        if done.is_err() {
            for key in keys {
                self.dirty.again(key);
            }
        }
        done
    }

    /// The world, and what keeps the hub from moving anything, as of the same moment: a fleet that fell silent is never
    /// planned by doubts that do not know of it.
    fn snapshot(&mut self, taken: &[(ApplicationKey, Cause)], now: Now) -> (Snapshot, Option<BootTime>) {
        loop {
            let late_at = self.vigil.look(self.world.now().boot);
            let looking = Looking { options: self.world.options(), now };
            let snapshot = self.world.read(|state| {
                let hold_until = state.hold_until(now.boot);
                let is_current = self.doubts.is_current(state, late_at);
                is_current.then(|| (Snapshot::take(state, taken.iter().cloned(), looking), hold_until))
            });
            match snapshot {
                Some(snapshot) => return snapshot,
                None => self.judge(now),
            }
        }
    }

    async fn plan(&mut self, snapshot: Snapshot, rules: Rules) -> Result<(), Error> {
        let term = snapshot.generation.term;
        let mut base = Base { counter: snapshot.generation.counter, sequence: snapshot.generation_sequence };
        let fleet = snapshot.fleet.clone();
        let (drafts, begun_count) = tokio::task::spawn_blocking(move || rules.draft_all(snapshot)).await?;
        self.turns.take(begun_count, self.world.now().boot);
        self.waits_for_thaw.extend(draft::frozen(&drafts).cloned());
        for slice in slices(drafts) {
            let wanted = rendering::distinct(slice.iter().flat_map(|it| it.draft.wanted()));
            let renderings = self.renderings.get(wanted, &*self.bundles).await?;
            self.later.extend(renderings.unavailable(&slice));
            let generation = Generation { term, counter: base.counter + 1 };
            let fleet = fleet.clone();
            let work = move || finish_all(slice, &fleet, &renderings.digests, generation);
            let planned = tokio::task::spawn_blocking(work).await??;
            base = self.commit(planned, base).await?;
        }
        Ok(())
    }

    async fn commit(&mut self, mut planned: Vec<Planned>, base: Base) -> Result<Base, Error> {
        let now = self.world.clock().now();
        let news = &mut self.news;
        self.world.read(|state| {
            for one in &mut planned {
                one.batch.writes.extend(events::writes(&one.job, &one.plan, state, news, now)?);
                let steps = moves::steps(&one.job.state(), &one.decision.state);
                one.batch.writes.extend(events::of_moves(&one.job, steps, news, now)?);
            }
            Ok::<_, records::Error>(())
        })?;
        let raise = planned.iter().any(|one| !one.plan.changes.is_empty() || one.is_granted());
        let batches = planned.iter_mut().map(|one| {
            let writes = std::mem::take(&mut one.batch.writes);
            let Batch { key, sequence, failover, .. } = &one.batch;
            Batch { key: key.clone(), sequence: *sequence, failover: *failover, writes }
        });
        let batches: Vec<Batch> = batches.filter(|batch| !batch.writes.is_empty()).collect();
        let write_count: usize = batches.iter().map(|batch| batch.writes.len()).sum();
        let committed = commit::commit(&**self.world.store(), base, raise, batches).await?;
        if write_count > 0 {
            let generation = committed.base.counter;
            let conflict_count = committed.conflicted.len();
            tracing::debug!(
                applications = planned.len(),
                write_count,
                conflict_count,
                generation,
                "plans committed"
            );
        }
        self.world.caught_up(committed.seen).await?;
        self.note_committed(planned, &committed.conflicted);
        Ok(committed.base)
    }

    fn note_committed(&mut self, planned: Vec<Planned>, conflicted: &BTreeSet<ApplicationKey>) {
        let mut outcomes = Vec::with_capacity(planned.len());
        let mut is_room_freed = false;
        for Planned { job, decision, kept, plan, .. } in planned {
            if conflicted.contains(&job.key) {
                self.dirty.again(job.key);
                continue;
            }
            is_room_freed |= plan.changes.iter().any(|change| events::leaves(change, &job.told));
            if plan.is_gone {
                self.dirty.forget(&job.key);
                self.wakes.set(&job.key, None);
                self.grants.forget(&job.key);
                continue;
            }
            if plan.changes.iter().any(|change| matches!(change, Change::Forget(_))) {
                // A deleted application whose last tombstone went now goes itself.
                self.dirty.again(job.key.clone());
            }
            let priority = job.application.value.spec.failover.priority;
            self.dirty.set_waits(job.key.clone(), plan.waits, priority);
            self.wakes.set(&job.key, decision.wake_at);
            if kept.is_rated {
                self.turns.wait(priority, job.key.clone());
            }
            moves::count(&self.metrics.failover, &job.state(), &decision.state);
            let problems = plan.placement_problems.into_iter().chain(plan.rendering_problems).collect();
            let outcome = PlacementOutcome {
                sequence: job.application.sequence,
                unplaced_count: plan.unplaced_count,
                problems,
            };
            outcomes.push((job.key, outcome));
        }
        self.world.set_placements(outcomes);
        if is_room_freed {
            self.dirty.room_freed();
        }
    }
}

/// Cuts drafts so that each slice is about as many clusters as one commit should tell.
fn slices(drafts: Vec<Drafted>) -> Vec<Vec<Drafted>> {
    let mut slices = vec![Vec::new()];
    let mut cluster_count = 0;
    for drafted in drafts {
        cluster_count += drafted.draft.cluster_count();
        if let Some(slice) = slices.last_mut() {
            slice.push(drafted);
        }
        if cluster_count >= MAX_CLUSTERS {
            slices.push(Vec::new());
            cluster_count = 0;
        }
    }
    slices.retain(|slice| !slice.is_empty());
    slices
}

fn finish_all(
    drafts: Vec<Drafted>,
    fleet: &Fleet,
    renderings: &Renderings,
    generation: Generation,
) -> Result<Vec<Planned>, Error> {
    let finish = |Drafted { job, decision, draft, kept }: Drafted| {
        let plan = draft.finish(&job.inputs(fleet), renderings);
        let writes = writes(&job, &decision, &plan, generation)?;
        let batch = Batch {
            key: job.key.clone(),
            sequence: job.application.sequence,
            failover: job.failover.as_ref().map_or(Expect::Absent, |it| Expect::Sequence(it.sequence)),
            writes,
        };
        Ok(Planned { job, decision, kept, plan, batch }.or_refused())
    };
    drafts.into_iter().map(finish).collect()
}

impl Planned {
    /// Whether somebody is granted an exclusive lease: its token is the generation of this commit, so that rises even
    /// where nobody can be told yet.
    fn is_granted(&self) -> bool {
        let epoch = |state: &FailoverState| state.grant.as_ref().map(|grant| grant.epoch);
        epoch(&self.decision.state) != epoch(&self.job.state())
    }

    /// Itself, or, where the store can never take it, nothing to write and the problem said.
    fn or_refused(mut self) -> Self {
        if let Some(write) = self.batch.oversized() {
            let problem = format!(
                "{} would take {} bytes, more than the store takes; make its overrides smaller",
                write.key(),
                write.size_bytes()
            );
            self.plan.rendering_problems.push(problem);
            self.plan.changes.clear();
            self.batch.writes.clear();
            self.decision.state = self.job.state().into_owned();
        }
        self
    }
}

fn writes(
    job: &Job,
    decision: &Decision,
    plan: &Plan,
    generation: Generation,
) -> Result<Vec<crate::store::Write>, records::Error> {
    let mut writes = Vec::with_capacity(plan.changes.len() + 1);
    // First: the commit keeps it together with what follows.
    writes.extend(standing(job, decision, plan)?);
    for change in &plan.changes {
        writes.push(match change {
            Change::Tell(cluster, desired) => Record::Assignment(Box::new(Assignment {
                application: job.key.clone(),
                cluster: cluster.clone(),
                generation,
                change_id: job.change_id.to_string(),
                desired: desired.clone(),
            }))
            .write()?,
            Change::Forget(cluster) => Name::Assignment(cluster.clone(), job.key.clone()).delete()?,
        });
    }
    for number in &plan.trimmed {
        writes.push(Name::Revision(job.key.clone(), *number).delete()?);
    }
    if plan.is_gone {
        writes.push(Name::Application(job.key.clone()).delete()?);
    }
    Ok(writes)
}

/// The write of how the application stands in failover from now on, where that changes.
fn standing(
    job: &Job,
    decision: &Decision,
    plan: &Plan,
) -> Result<Option<crate::store::Write>, records::Error> {
    let before = job.failover.as_ref().map(|stored| &*stored.value);
    let after = Some(&decision.state).filter(|it| !it.is_empty() && !plan.is_gone);
    match (before, after) {
        // Where the application is gone, its agents have confirmed that everything is removed, so nothing of it can run.
        (Some(_), None) => Name::Failover(job.key.clone()).delete().map(Some),
        (before, Some(after)) if before != Some(after) => {
            Record::Failover(Box::new(after.clone())).write().map(Some)
        }
        _ => Ok(None),
    }
}
