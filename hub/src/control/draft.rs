//! Drafting: the failover planner first, then where each cluster's assignment comes from, one application after the other.

use std::sync::Arc;

use nave_common::assignment::Generation;
use nave_common::failover::FailoverMode;
use nave_common::failover::state::FailoverState;
use nave_common::name::ApplicationKey;
use nave_common::resources::Resources;
use nave_common::time::BootTime;

use super::doubts::Verdict;
use super::snapshot::{Job, Snapshot};
use crate::plan::assign::{self, Draft};
use crate::plan::failover::{self, Decision, Limits, Now};
use crate::plan::fleet::Fleet;
use crate::session::grants::{self, Grants};

/// How often one application is decided at most in one round: each time a lease was closed in between.
const MAX_DECISIONS: usize = 3;

/// What one round's drafting goes by.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) grants: Arc<Grants>,
    pub(super) verdict: Verdict,
    /// How many moves that nobody ordered may begin.
    pub(super) moves: u32,
    /// Until when a maintenance hold runs.
    pub(super) hold_until: Option<BootTime>,
    pub(super) now: Now,
}

/// One application on its way.
#[derive(Debug)]
pub(super) struct Drafted {
    pub(super) job: Job,
    /// How it stands from now on, and when it is to be looked at again.
    pub(super) decision: Decision,
    pub(super) draft: Draft,
    /// Why it was not moved though there is reason to.
    pub(super) kept: Kept,
}

/// What kept an application that has reason to move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The hub is frozen.
    pub(super) is_frozen: bool,
    /// It is not its turn.
    pub(super) is_rated: bool,
}

impl Rules {
    /// Drafts every job in turn; each sees the room that those before it take. Returns how many moves begin.
    pub(super) fn draft_all(&self, snapshot: Snapshot) -> (Vec<Drafted>, u32) {
        let mut fleet = snapshot.fleet.clone();
        let mut begun_count = 0;
        let mut drafts = Vec::with_capacity(snapshot.jobs.len());
        for job in snapshot.jobs {
            let left = self.moves - begun_count;
            let Some(decision) = self.decide(&job, &fleet, snapshot.generation, left) else { continue };
            let kept = self.kept(&job, &decision, left);
            begun_count += decision.begun_count.min(left);
            let draft = assign::draft(&job.inputs(&fleet), &decision);
            take_room(&mut fleet, &job, &draft);
            drafts.push(Drafted { job, decision, draft, kept });
        }
        (drafts, begun_count)
    }

    /// Decides one application's failover. A lease that is to be closed is closed here, and only then is it read when
    /// it is over: nothing of a release is committed, or even decided, before its lease is closed.
    fn decide(&self, job: &Job, fleet: &Fleet, generation: Generation, moves: u32) -> Option<Decision> {
        let is_exclusive = job.application.value.spec.failover.mode == FailoverMode::Exclusive;
        let state = job.state();
        let mut lease_over_at = state.grant.as_ref().and_then(|grant| {
            // What is being taken back was closed by this process, or by one before it.
            match grant.release {
                Some(_) => Some(self.grants.close(&job.key, grant)),
                None => self.grants.closed_until(&job.key, grant),
            }
        });
        let mut decided = None;
        for _ in 0..MAX_DECISIONS {
            let inputs = failover::Inputs {
                application: &job.application.value,
                revision: job.revision.as_ref().map(|revision| revision.number),
                requests: job.revision.as_ref().map(|revision| revision.requests).unwrap_or_default(),
                told: &job.told,
                fleet,
                state: &state,
                seen: &job.seen,
                lease_over_at,
                limits: Limits {
                    frozen: self.verdict.frozen(is_exclusive),
                    is_held: self.hold_until.is_some(),
                    moves,
                },
                generation,
                now: self.now,
            };
            let decision = failover::decide(&inputs);
            let to_close =
                decision.close.and_then(|epoch| state.grant.as_ref().filter(|it| it.epoch == epoch));
            let Some(grant) = to_close else {
                decided = Some(decision);
                break;
            };
            lease_over_at = Some(self.grants.close(&job.key, grant));
        }
        let Some(mut decision) = decided else {
            tracing::error!(application = %job.key, "a lease was to be closed again and again; nothing is decided");
            return None;
        };
        self.promise(job, &mut decision.state);
        Some(decision)
    }

    /// Makes durable what may be promised to the holder: it rises with a longer lease and with a maintenance hold, and
    /// never falls within one epoch.
    fn promise(&self, job: &Job, state: &mut FailoverState) {
        let rules = job.application.value.spec.failover.exclusive_rules();
        if let (Some(grant), Some(rules)) = (&mut state.grant, rules)
            && grant.release.is_none()
        {
            let longest = grants::lease_duration(&rules, self.hold_until, self.now.boot);
            let longest_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
            let before = job.failover.as_ref().and_then(|stored| stored.value.grant.as_ref());
            let before_ms = before.filter(|it| it.epoch == grant.epoch).map_or(0, |it| it.promised_ms);
            grant.promised_ms = grant.promised_ms.max(longest_ms).max(before_ms);
        }
    }

    fn kept(&self, job: &Job, decision: &Decision, moves: u32) -> Kept {
        let is_due = |seen: &failover::Seen| seen.signal.is_some_and(|signal| signal.due_at <= self.now.boot);
        let has_reason = job.seen.values().any(is_due);
        let is_exclusive = job.application.value.spec.failover.mode == FailoverMode::Exclusive;
        Kept {
            is_frozen: has_reason && self.verdict.frozen(is_exclusive).is_some(),
            is_rated: has_reason && moves <= decision.begun_count,
        }
    }
}

/// Takes the room that an application is about to take.
fn take_room(fleet: &mut Arc<Fleet>, job: &Job, draft: &Draft) {
    let Some(revision) = job.revision.as_ref().filter(|it| it.requests != Resources::default()) else {
        return;
    };
    for cluster in draft.arrivals(&job.told) {
        Arc::make_mut(fleet).update(cluster, |seen| *seen.requested = seen.requested.plus(revision.requests));
    }
}

/// Applications that are to be planned again when something that keeps them ends.
pub(super) fn frozen(drafts: &[Drafted]) -> impl Iterator<Item = &ApplicationKey> {
    drafts.iter().filter(|it| it.kept.is_frozen).map(|it| &it.job.key)
}
