//! A stage for tests of failover: clusters with agents as simple as can be, and one application that is decided again
//! and again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use nave_common::application::Application;
use nave_common::assignment::{Activity, Assignment, Desired, Generation};
use nave_common::digest::Digest;
use nave_common::failover::state::{Cause, FailoverState, MovePhase, Order, OrderKind};
use nave_common::failover::{Epoch, Fence, Frozen, grantor_lease, holder_lease};
use nave_common::health::Health;
use nave_common::name::ClusterName;
use nave_common::resources::Resources;
use nave_common::revision::Revision;
use nave_common::status::{FenceState, FenceStatus, Liveness};
use nave_common::time::{BootTime, Timestamp};
use serde_json::json;

use super::{Decision, Inputs, Limits, Now, Seen, Signal, Stand, decide};
use crate::plan::assign::{self, Change, Told};
use crate::plan::fleet::{Candidate, Fleet};
use crate::plan::placement::{self, Problem, Steer};

/// A cluster as it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Spoke {
    /// When it was last heard, and since when it is not.
    pub(super) silent_since: Option<u64>,
    pub(super) sick_since: Option<u64>,
    pub(super) degraded_since: Option<u64>,
    pub(super) well_since: Option<u64>,
    /// The generation that its agent has taken in.
    taken: Option<Generation>,
    taken_at: u64,
    /// What its agent runs now, under which token.
    pub(super) runs: Option<Epoch>,
    /// How long the lease of what it runs lasts, if nothing renews it.
    lease_ends: Duration,
    pub(super) fence: Option<FenceStatus>,
    was_healthy: bool,
    /// Its agent takes nothing in, though it is heard.
    pub(super) is_slow: bool,
}

impl Spoke {
    /// Nothing runs there any more, and nothing comes back by itself.
    pub(super) fn unplug(&mut self) {
        self.runs = None;
        self.lease_ends = Duration::ZERO;
    }
}

#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) application: Application,
    pub(super) revision: u64,
    pub(super) fleet: Fleet,
    pub(super) spokes: BTreeMap<ClusterName, Spoke>,
    pub(super) told: Told,
    pub(super) state: FailoverState,
    pub(super) now: u64,
    pub(super) frozen: Option<Frozen>,
    pub(super) is_held: bool,
    pub(super) moves: u32,
    pub(super) counter: u64,
    closed: Option<(Epoch, BootTime)>,
    renewed_at: u64,
    pub(super) last: Option<Decision>,
}

pub(super) const LOST_AFTER: u64 = 10;

pub(super) fn name(text: &str) -> ClusterName {
    text.parse().unwrap()
}

fn boot(seconds: u64) -> BootTime {
    BootTime::from_duration(Duration::from_secs(seconds))
}

pub(super) fn wall(seconds: u64) -> Timestamp {
    // 2026-01-01T10:00:00Z
    Timestamp::EPOCH.plus(Duration::from_secs(1_767_261_600 + seconds))
}

impl Stage {
    /// Clusters whose region is what stands before the dash.
    pub(super) fn new(spec: serde_json::Value, clusters: &[&str]) -> Self {
        let mut spec = spec;
        spec["source"] = json!({"bundle": {"digest": Digest::of(b"bundle")}});
        let application: Application =
            serde_json::from_value(json!({"metadata": {"name": "shop"}, "spec": spec})).unwrap();
        application.spec.failover.check(&application.spec.placement).unwrap();
        let candidate = |text: &&str| {
            let (region, _) = text.split_once('-').unwrap();
            let labels = [("region".to_owned(), region.to_owned())].into();
            Candidate { labels: Arc::new(labels), ..Candidate::new(name(text)) }
        };
        Self {
            state: FailoverState::new(application.key()),
            application,
            revision: 1,
            fleet: clusters.iter().map(candidate).collect(),
            spokes: clusters
                .iter()
                .map(|text| (name(text), Spoke { well_since: Some(0), ..Spoke::default() }))
                .collect(),
            told: Told::new(),
            now: 0,
            frozen: None,
            is_held: false,
            moves: 100,
            counter: 1,
            closed: None,
            renewed_at: 0,
            last: None,
        }
    }

    pub(super) fn spoke(&mut self, cluster: &str) -> &mut Spoke {
        self.spokes.get_mut(&name(cluster)).unwrap()
    }

    pub(super) fn change(&mut self, cluster: &str, change: impl FnOnce(&mut Candidate)) {
        let mut candidate = self.fleet.find(&name(cluster)).unwrap().clone();
        change(&mut candidate);
        self.fleet.put(candidate);
    }

    pub(super) fn lose(&mut self, cluster: &str) {
        let now = self.now;
        self.spoke(cluster).silent_since.get_or_insert(now);
        self.spoke(cluster).well_since = None;
    }

    pub(super) fn heal(&mut self, cluster: &str) {
        let now = self.now;
        let spoke = self.spoke(cluster);
        (spoke.silent_since, spoke.sick_since, spoke.degraded_since) = (None, None, None);
        spoke.well_since.get_or_insert(now);
    }

    pub(super) fn order(&mut self, what: OrderKind) {
        let (by, at) = ("alice".to_owned(), wall(self.now));
        self.state.orders.push(Order { what, by, at, change_id: String::new() });
    }

    fn signal(&self, cluster: &ClusterName, spoke: &Spoke) -> Option<Signal> {
        let signal = |cause, since: u64, dwell: u64| Signal {
            cause,
            began_at: wall(since),
            due_at: boot(since + dwell),
        };
        if let Some(since) = spoke.silent_since.filter(|since| self.now >= since + LOST_AFTER) {
            return Some(signal(Cause::Lost, since, LOST_AFTER));
        }
        // Only what its agent says of what it is told now.
        let told = self.told.get(cluster);
        let is_current = told
            .is_some_and(|told| matches!(&told.desired, Desired::Run(run) if run.revision == self.revision));
        let is_taken = is_current && spoke.taken == told.map(|told| told.generation);
        let degraded = spoke.degraded_since.filter(|_| is_taken && self.is_told_active(cluster));
        let degraded = degraded.map(|since| since.max(spoke.taken_at));
        let sick = spoke.sick_since.map(|since| signal(Cause::Sick, since, 60));
        sick.or(degraded.map(|since| signal(Cause::Degraded, since, 60)))
    }

    pub(super) fn is_told_active(&self, cluster: &ClusterName) -> bool {
        self.told.get(cluster).is_some_and(
            |told| matches!(&told.desired, Desired::Run(run) if run.activity == Activity::Active),
        )
    }

    pub(super) fn seen(&self) -> BTreeMap<ClusterName, Seen> {
        let spokes = self.spokes.iter().filter(|(cluster, _)| self.told.contains_key(*cluster));
        let seen = spokes.map(|(cluster, spoke)| {
            let signal = self.signal(cluster, spoke);
            let told = self.told.get(cluster).map(|told| told.generation);
            let is_current = told.is_some() && spoke.taken == told;
            let health = match spoke.degraded_since {
                Some(_) => Health::Degraded,
                None if self.is_told_active(cluster) => Health::Healthy,
                None => Health::Suspended,
            };
            let seen = Seen {
                well_since: spoke.well_since.filter(|_| signal.is_none()).map(boot),
                is_applied: is_current,
                health: if is_current { health } else { Health::Unknown },
                was_healthy: spoke.was_healthy,
                fence: spoke.fence.clone().filter(|_| is_current),
                is_heard: spoke.silent_since.is_none_or(|since| self.now < since + LOST_AFTER),
                signal,
            };
            (cluster.clone(), seen)
        });
        seen.collect()
    }

    fn hear(&mut self) {
        for (cluster, spoke) in &self.spokes {
            let is_lost = spoke.silent_since.is_some_and(|since| self.now >= since + LOST_AFTER);
            let liveness = if is_lost { Liveness::Lost } else { Liveness::Alive };
            self.fleet.update(cluster, |seen| {
                *seen.liveness = liveness;
                *seen.is_sick = spoke.sick_since.is_some();
            });
        }
    }

    /// Decides once, without taking in what was decided.
    pub(super) fn look(&mut self) -> Decision {
        self.hear();
        let mut lease_over_at = self.closed_until();
        loop {
            let seen = self.seen();
            let inputs = Inputs {
                application: &self.application,
                revision: Some(self.revision),
                requests: Resources { cpu_millicores: 1, ..Resources::default() },
                told: &self.told,
                fleet: &self.fleet,
                state: &self.state,
                seen: &seen,
                lease_over_at,
                limits: Limits { frozen: self.frozen.as_ref(), is_held: self.is_held, moves: self.moves },
                generation: Generation { term: 1, counter: self.counter },
                now: Now { boot: boot(self.now), wall: wall(self.now) },
            };
            let decision = decide(&inputs);
            let Some(epoch) = decision.close else { return decision };
            assert!(lease_over_at.is_none(), "it is closed already");
            let grant = self.state.grant.as_ref().filter(|grant| grant.epoch == epoch).unwrap();
            let over_at = boot(self.renewed_at).plus(grantor_lease(grant.promised()));
            self.closed = Some((epoch, over_at));
            lease_over_at = Some(over_at);
        }
    }

    fn closed_until(&self) -> Option<BootTime> {
        let epoch = self.state.grant.as_ref()?.epoch;
        self.closed.filter(|(closed, _)| *closed == epoch).map(|(_, over_at)| over_at)
    }

    /// Decides and takes in what was decided, as control does.
    pub(super) fn plan(&mut self) -> Decision {
        let decision = self.look();
        let had_grant = self.state.grant.clone();
        self.state = decision.state.clone();
        let revision = Revision {
            application: self.application.key(),
            number: self.revision,
            bundle: Digest::of(b"bundle"),
            origin: "test".into(),
            object_count: 1,
            requests: Resources::default(),
            created_at: wall(0),
            created_by: "test".into(),
        };
        let removed = BTreeSet::new();
        let inputs = assign::Inputs {
            application: &self.application,
            revision: Some(&revision),
            revisions: &[self.revision],
            told: &self.told,
            removed: &removed,
            fleet: &self.fleet,
        };
        let draft = assign::draft(&inputs, &decision);
        let renderings = draft.wanted().map(|(key, _)| (key.clone(), Ok(Digest::of(b"rendering")))).collect();
        let changes = draft.finish(&inputs, &renderings).changes;
        if !changes.is_empty() || had_grant != self.state.grant {
            self.counter += 1;
        }
        let generation = Generation { term: 1, counter: self.counter };
        for change in changes {
            match change {
                Change::Forget(cluster) => drop(self.told.remove(&cluster)),
                Change::Tell(cluster, desired) => {
                    let application = self.application.key();
                    let told = Assignment {
                        application,
                        cluster: cluster.clone(),
                        generation,
                        change_id: String::new(),
                        desired,
                    };
                    self.told.insert(cluster, Arc::new(told));
                }
            }
        }
        if had_grant.map(|grant| grant.epoch) != self.state.grant.as_ref().map(|grant| grant.epoch) {
            self.renewed_at = self.now;
        }
        self.last = Some(decision.clone());
        decision
    }

    /// Agents take in what they are told, renew what they may, and stop what they may not.
    pub(super) fn agents(&mut self) {
        let rules = self.application.spec.failover.exclusive_rules();
        let mut gone = Vec::new();
        for (cluster, spoke) in &mut self.spokes {
            let now = Duration::from_secs(self.now);
            if spoke.silent_since.is_none() && !spoke.is_slow && spoke.sick_since.is_none() {
                let told = self.told.get(cluster);
                let taken = told.map(|told| told.generation);
                if taken != spoke.taken {
                    (spoke.taken, spoke.taken_at) = (taken, self.now);
                }
                match told.map(|told| &told.desired) {
                    Some(Desired::Run(run)) if run.activity.is_active() => {
                        let epoch = run.exclusive.map(|terms| terms.epoch);
                        let grant = self.state.grant.as_ref().filter(|grant| grant.release.is_none());
                        let may_renew = grant.is_some_and(|grant| {
                            Some(grant.epoch) == epoch
                                && self.closed.is_none_or(|(closed, _)| closed != grant.epoch)
                        });
                        if may_renew {
                            self.renewed_at = self.now;
                            spoke.lease_ends =
                                now + holder_lease(grant.map(|it| it.promised()).unwrap_or_default());
                        }
                        if epoch.is_none() || may_renew || now < spoke.lease_ends {
                            spoke.runs = Some(epoch.unwrap_or_default());
                            spoke.was_healthy |= spoke.degraded_since.is_none();
                        }
                        spoke.fence = None;
                    }
                    Some(Desired::Run(run)) => {
                        spoke.runs = None;
                        spoke.fence = run.exclusive.map(|terms| FenceStatus {
                            epoch: terms.epoch,
                            state: FenceState::Confirmed,
                            reason: String::new(),
                            since: wall(self.now),
                        });
                    }
                    Some(Desired::Remove) => {
                        spoke.runs = None;
                        gone.push(cluster.clone());
                    }
                    None => spoke.runs = None,
                }
            }
            let ends = rules.as_ref().is_some_and(|rules| rules.fence == Fence::Agent);
            if ends && spoke.runs.is_some_and(|epoch| epoch != Epoch::default()) && now >= spoke.lease_ends {
                spoke.runs = None;
            }
        }
        for cluster in gone {
            self.told.remove(&cluster);
        }
    }

    /// Goes on until nothing changes any more, for at most a minute's worth of looks at the same moment.
    pub(super) fn settle(&mut self) {
        for _ in 0..20 {
            self.agents();
            let before = (self.state.clone(), self.told.clone());
            let _ = self.plan();
            if before == (self.state.clone(), self.told.clone()) {
                return;
            }
        }
        panic!("it does not come to rest: {}", self.picture());
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        self.pass(seconds);
        self.settle();
    }

    /// Time goes by, with agents that renew.
    pub(super) fn pass(&mut self, mut seconds: u64) {
        while seconds > 0 {
            let step = seconds.min(5);
            self.now += step;
            seconds -= step;
            self.agents();
        }
    }

    /// A hub that starts anew: it knows only what is durable.
    pub(super) fn restart_hub(&mut self) {
        self.closed = None;
        self.renewed_at = self.now;
    }

    /// How it stands, for people.
    pub(super) fn picture(&self) -> String {
        let mut text = format!("t={}:", self.now);
        let stands = self.last.as_ref().map(|decision| decision.stands.clone()).unwrap_or_default();
        for (cluster, stand) in &stands {
            let word = match stand {
                Stand::Active(_) => "runs",
                Stand::Parked(_) if self.state.parked.get(cluster).is_some_and(|it| it.is_home) => "home",
                Stand::Parked(_) => "parked",
            };
            let _ = write!(text, " {cluster} {word};");
        }
        for it in &self.state.moves {
            let to = it.to.as_ref().map_or("-", |to| to.as_str());
            let _ = write!(
                text,
                "\n  {:?} #{} {} -> {to} ({}): {}",
                it.phase, it.number, it.from, it.cause, it.reason
            );
        }
        text
    }

    /// Why it is where it is, cluster by cluster.
    pub(super) fn why(&self) -> Vec<String> {
        let current: Vec<ClusterName> = self.active().into_iter().map(name).collect();
        let avoid: Vec<ClusterName> = self.state.parked.keys().cloned().collect();
        let mut report = placement::place(&Problem {
            application: &self.application.key(),
            placement: &self.application.spec.placement,
            requests: Resources::default(),
            current: &current,
            fleet: &self.fleet,
            steer: Steer { avoid: &avoid, ..Steer::default() },
        });
        super::words::explain(&mut report, &self.state);
        report.decisions.iter().map(|it| format!("{} {:?} {}", it.cluster, it.verdict, it.reason)).collect()
    }

    pub(super) fn time(&self) -> Now {
        Now { boot: boot(self.now), wall: wall(self.now) }
    }

    /// The last move that ended, for people.
    pub(super) fn ended(&self) -> String {
        self.state.history.first().map_or_else(String::new, |it| {
            format!(
                "{:?} {} -> {} ({}): {}",
                it.phase,
                it.from,
                it.to.as_ref().map_or("-", |to| to.as_str()),
                it.cause,
                it.reason
            )
        })
    }

    pub(super) fn active(&self) -> Vec<&str> {
        let stands = self.last.iter().flat_map(|decision| &decision.stands);
        stands.filter(|(_, stand)| matches!(stand, Stand::Active(_))).map(|(name, _)| name.as_str()).collect()
    }

    pub(super) fn has_phase(&self, phase: MovePhase) -> bool {
        self.state.moves.iter().any(|it| it.phase == phase)
    }
}
