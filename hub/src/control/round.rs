//! One round: a snapshot, the plans of some dirty applications, their commit.

use std::collections::BTreeSet;
use std::sync::Arc;

use nave_common::assignment::{Assignment, Generation};
use nave_common::name::ApplicationKey;

use super::commit::{self, Base, Batch};
use super::rendering;
use super::snapshot::{Job, Snapshot};
use super::{Control, Error, events};
use crate::plan::assign::{self, Change, Draft, Plan, Renderings};
use crate::plan::fleet::Fleet;
use crate::records::{self, Name, Record};
use crate::world::PlacementOutcome;

/// Applications planned on one snapshot: few enough that an urgent one never waits long.
const MAX_APPLICATIONS: usize = 64;
/// Clusters told in one commit, about: it bounds the memory that waits for the disk.
const MAX_CLUSTERS: usize = 8192;

/// One planned application on its way to the store.
#[derive(Debug)]
struct Planned {
    job: Job,
    plan: Plan,
    batch: Batch,
}

impl Control {
    /// Plans and commits some of what is dirty. What was not committed is dirty again.
    pub(super) async fn round(&mut self) -> Result<(), Error> {
        let taken = self.dirty.take(MAX_APPLICATIONS);
        let keys: Vec<ApplicationKey> = taken.iter().map(|(key, _)| key.clone()).collect();
        let snapshot = self.world.read(|state| Snapshot::take(state, taken));
        let planned: BTreeSet<&ApplicationKey> = snapshot.jobs.iter().map(|job| &job.key).collect();
        for key in keys.iter().filter(|key| !planned.contains(key)) {
            self.dirty.forget(key);
        }
        let done = self.plan(snapshot).await;
        if done.is_err() {
            for key in keys {
                self.dirty.again(key);
            }
        }
        done
    }

    async fn plan(&mut self, snapshot: Snapshot) -> Result<(), Error> {
        let term = snapshot.generation.term;
        let mut base = Base { counter: snapshot.generation.counter, sequence: snapshot.generation_sequence };
        let fleet = snapshot.fleet.clone();
        let drafts = tokio::task::spawn_blocking(move || draft_all(snapshot)).await?;
        for slice in slices(drafts) {
            let wanted = rendering::distinct(slice.iter().flat_map(|(_, draft)| draft.wanted()));
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
            }
            Ok::<_, records::Error>(())
        })?;
        let raise = planned.iter().any(|one| !one.plan.changes.is_empty());
        let batches = planned.iter_mut().map(|one| {
            let writes = std::mem::take(&mut one.batch.writes);
            Batch { key: one.job.key.clone(), sequence: one.batch.sequence, writes }
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
        for Planned { job, plan, .. } in planned {
            if conflicted.contains(&job.key) {
                self.dirty.again(job.key);
                continue;
            }
            is_room_freed |= plan.changes.iter().any(|change| events::leaves(change, &job.told));
            if plan.is_gone {
                self.dirty.forget(&job.key);
                continue;
            }
            if plan.changes.iter().any(|change| matches!(change, Change::Forget(_))) {
                // A deleted application whose last tombstone went now goes itself.
                self.dirty.again(job.key.clone());
            }
            self.dirty.set_waits(job.key.clone(), plan.waits);
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

/// Drafts every job in turn; each sees the room that those before it take.
fn draft_all(snapshot: Snapshot) -> Vec<(Job, Draft)> {
    let mut fleet = snapshot.fleet;
    let mut drafts = Vec::with_capacity(snapshot.jobs.len());
    for job in snapshot.jobs {
        let decision = job.decide(&fleet);
        let draft = assign::draft(&job.inputs(&fleet), &decision);
        if let Some(revision) = &job.revision
            && revision.requests != nave_common::resources::Resources::default()
        {
            for cluster in draft.arrivals(&job.told) {
                Arc::make_mut(&mut fleet)
                    .update(cluster, |seen| *seen.requested = seen.requested.plus(revision.requests));
            }
        }
        drafts.push((job, draft));
    }
    drafts
}

/// Cuts drafts so that each slice is about as many clusters as one commit should tell.
fn slices(drafts: Vec<(Job, Draft)>) -> Vec<Vec<(Job, Draft)>> {
    let mut slices = vec![Vec::new()];
    let mut cluster_count = 0;
    for (job, draft) in drafts {
        cluster_count += draft.cluster_count();
        if let Some(slice) = slices.last_mut() {
            slice.push((job, draft));
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
    drafts: Vec<(Job, Draft)>,
    fleet: &Fleet,
    renderings: &Renderings,
    generation: Generation,
) -> Result<Vec<Planned>, Error> {
    let finish = |(job, draft): (Job, Draft)| {
        let plan = draft.finish(&job.inputs(fleet), renderings);
        let writes = writes(&job, &plan, generation)?;
        let batch = Batch { key: job.key.clone(), sequence: job.application.sequence, writes };
        Ok(Planned { job, plan, batch }.or_refused())
    };
    drafts.into_iter().map(finish).collect()
}

impl Planned {
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
        }
        self
    }
}

fn writes(
    job: &Job,
    plan: &Plan,
    generation: Generation,
) -> Result<Vec<crate::store::Write>, records::Error> {
    let mut writes = Vec::with_capacity(plan.changes.len());
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
