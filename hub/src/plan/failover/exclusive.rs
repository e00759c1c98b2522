//! Exclusive: never active in two clusters.
//!
//! The grant says who may run it. It is taken back in steps, each of them durable before the next: its lease is closed
//! to renewal, it is released, the old copy is known to be dead ([`Fenced`]), and only then somebody else is granted it,
//! under a higher epoch. Nothing is taken back for which there is no other place, and nothing from a silent cluster as
//! long as its lease may still be renewed when it comes back.

use std::collections::BTreeMap;

use nave_common::assignment::{Desired, Generation};
use nave_common::failover::state::{Cause, Fenced, Grant, MovePhase, Parked, Release};
use nave_common::failover::{Epoch, Exclusive, Fence, grantor_lease};
use nave_common::name::ClusterName;
use nave_common::status::FenceState;
use nave_common::time::BootTime;

use super::work::{Against, MAX_STEPS, Work, is_by_itself, is_running};
use super::{Decision, Stand, words};
use crate::plan::assign;

pub(super) fn decide(mut work: Work<'_>, rules: &Exclusive) -> Decision {
    let ran: Vec<ClusterName> = std::mem::take(&mut work.active).into_iter().collect();
    for _ in 0..MAX_STEPS {
        let before = work.state.clone();
        work.begin_step();
        work.exclusive_step(rules, &ran);
        // What was granted is durable before anything more is decided of it.
        let is_granted =
            work.state.grant.as_ref().map(|it| it.epoch) != before.grant.as_ref().map(|it| it.epoch);
        if work.close.is_some() || is_granted || before == work.state {
            break;
        }
    }
    work.prune_parked();
    let stands = work.exclusive_stands(&ran);
    work.into_decision(stands)
}

impl Work<'_> {
    fn exclusive_step(&mut self, rules: &Exclusive, ran: &[ClusterName]) {
        self.prune_parked();
        self.take_orders();
        self.follow_grant();
        match self.state.grant.clone() {
            None => self.grant_first(rules, ran),
            Some(grant) if grant.release.is_none() => self.hold(rules, &grant),
            Some(grant) => self.release(rules, &grant),
        }
        if let Some(grant) = &self.state.grant {
            let running = [grant.cluster.clone()];
            self.keep_standbys(&running);
        }
    }

    fn exclusive_stands(&self, ran: &[ClusterName]) -> BTreeMap<ClusterName, Stand> {
        let parked = |cluster: &ClusterName| (cluster.clone(), Stand::Parked(Some(self.last_epoch(cluster))));
        let mut stands: BTreeMap<ClusterName, Stand> = self.state.parked.keys().map(parked).collect();
        match &self.state.grant {
            Some(grant) if grant.release.is_none() => {
                stands.insert(grant.cluster.clone(), Stand::Active(Some(grant.epoch)));
            }
            Some(_) => {}
            // It ran before it was Exclusive, and nobody may run it as such yet.
            None => stands.extend(
                ran.iter()
                    .filter(|cluster| !self.state.parked.contains_key(*cluster))
                    .map(|cluster| (cluster.clone(), Stand::Active(None))),
            ),
        }
        stands
    }

    /// The newest token that a cluster ever had; zero where it never had one.
    fn last_epoch(&self, cluster: &ClusterName) -> Epoch {
        let told = self.told(cluster).and_then(|run| run.exclusive).map(|terms| terms.epoch);
        let granted = self.state.grant.as_ref().filter(|it| it.cluster == *cluster).map(|it| it.epoch);
        told.max(granted).unwrap_or_default()
    }

    fn next_epoch(&self) -> Option<Epoch> {
        let told = assign::running(self.inputs.told).filter_map(|(_, run)| run.exclusive);
        let newest = told.map(|terms| terms.epoch).max();
        let newest = newest.max(self.state.grant.as_ref().map(|grant| grant.epoch)).unwrap_or_default();
        let at = self.inputs.generation.max(newest.generation());
        Epoch::of(Generation { counter: at.counter + 1, ..at }).ok()
    }

    fn prune_parked(&mut self) {
        let holder = self.state.grant.as_ref().map(|grant| grant.cluster.clone());
        // Where the old copy is not known to be dead it goes on being told to stop.
        let is_kept = |cluster: &ClusterName| {
            self.matches(cluster) || (Some(cluster) == holder.as_ref() && self.candidate(cluster).is_some())
        };
        let gone: Vec<ClusterName> =
            self.state.parked.keys().filter(|cluster| !is_kept(cluster)).cloned().collect();
        for cluster in gone {
            self.state.parked.remove(&cluster);
        }
        for parked in self.state.parked.values_mut() {
            // Whoever stood in for it was taken away on purpose.
            parked.is_home &= parked.replaced_by.is_none() || parked.replaced_by == holder || {
                self.state.moves.iter().any(|it| it.to == parked.replaced_by)
            };
        }
    }

    /// Notes how far the holder is with what it was granted.
    fn follow_grant(&mut self) {
        let holder = self.state.grant.as_ref().map(|grant| grant.cluster.clone());
        let other = |it: &nave_common::failover::state::Move| is_running(it) && it.to != holder;
        while let Some(index) = self.state.moves.iter().position(other) {
            self.end(index, MovePhase::Aborted, "another cluster holds the exclusive lease".into());
        }
        let Some(index) = self.state.moves.iter().position(is_running) else { return };
        let from = self.state.moves[index].from.clone();
        if self.progress(index) && self.has_let_go(&from) {
            self.done(index);
        }
    }

    /// The first grant: to where it runs, or the placement's best. Other clusters in which it ran before it was
    /// Exclusive have to stop first.
    fn grant_first(&mut self, rules: &Exclusive, ran: &[ClusterName]) {
        let avoid: Vec<ClusterName> =
            self.signalled().into_iter().filter(|cluster| !ran.contains(cluster)).collect();
        let placed = self.place(ran, &avoid);
        let Some(to) = self.names(&placed).into_iter().next() else {
            self.unplaced_count = placed.unplaced_count;
            self.waits = self.waits.or(placed.waits);
            self.problems.extend(placed.problems);
            return;
        };
        let mut running = Vec::new();
        for (cluster, told) in self.inputs.told {
            let is_dead = match &told.desired {
                Desired::Run(run) if run.activity.is_active() => false,
                Desired::Run(_) => self.has_stopped(cluster),
                Desired::Remove => false,
            };
            if *cluster == to || is_dead || self.candidate(cluster).is_none() {
                continue;
            }
            if matches!(told.desired, Desired::Run(_)) {
                let parked = Parked { since: self.wall(), is_home: false, replaced_by: Some(to.clone()) };
                self.state.parked.entry(cluster.clone()).or_insert(parked);
            }
            running.push(cluster.as_str());
        }
        if !running.is_empty() {
            let names = running.join(", ");
            self.problems.push(format!(
                "it ran in {names} before it was Exclusive: it has to stop there first; a cluster that is gone for \
                 good is let go of with `nave delete cluster`"
            ));
            return;
        }
        while !self.state.moves.is_empty() {
            self.end(0, MovePhase::Aborted, "it is Exclusive now".into());
        }
        self.grant(rules, &to);
    }

    fn grant(&mut self, rules: &Exclusive, to: &ClusterName) {
        let Some(epoch) = self.next_epoch() else {
            self.problems.push("the hub's generation is too high for another epoch".into());
            return;
        };
        self.state.parked.remove(to);
        self.state.grant = Some(Grant {
            cluster: to.clone(),
            epoch,
            promised_ms: millis(rules),
            granted_at: self.wall(),
            release: None,
        });
        self.lease_over_at = None;
    }

    /// Somebody holds the lease: is there anything for which it is to be taken back?
    fn hold(&mut self, rules: &Exclusive, grant: &Grant) {
        if let Some(held) = self.state.grant.as_mut() {
            // What was promised once may be counted on.
            held.promised_ms = held.promised_ms.max(millis(rules));
        }
        let from = grant.cluster.clone();
        let Some(against) = self.against_holder(&from) else {
            if let Some(index) = self.pending(&from) {
                self.end(index, MovePhase::Aborted, format!("{from} is well again; nothing had moved"));
            }
            if self.lease_over_at.is_some() {
                // It was closed for a move that is no longer needed: only a new epoch can be renewed.
                self.grant(rules, &from);
            }
            return;
        };
        if self.was_given_up(&from, against) {
            return;
        }
        if self.waits_for_thaw(against.cause) {
            return self.say_frozen(&from, against);
        }
        if self.inputs.limits.is_held && !matches!(against.cause, Cause::Ordered | Cause::Drained) {
            let stands = words::stands(against.cause);
            return self.problems.push(format!("{from} {stands}; nothing moves during the maintenance hold"));
        }
        let chosen = self.pending(&from).and_then(|index| self.state.moves[index].to.clone());
        let target = match chosen.filter(|to| *to != from && self.refusal(to).is_none()) {
            Some(to) => Ok(to),
            None => self.find(&[], std::slice::from_ref(&from)),
        };
        match target {
            Ok(to) => self.begin_to_leave(rules, grant, against, &to),
            Err(why) => {
                self.unplaced_count = 1;
                self.note(&from, against, MovePhase::Unplaced, format!("nothing can take it: {why}"));
            }
        }
    }

    /// What stands against the holder, an order and the way home among it.
    fn against_holder(&mut self, holder: &ClusterName) -> Option<Against> {
        let now = self.now();
        let pending = self.pending(holder).map(|index| self.state.moves[index].clone());
        let due = if self.matches(holder) {
            self.due(holder)
        } else {
            Some(Against { cause: Cause::Placement, began_at: None, due_at: now })
        };
        if let Some(it) = pending.as_ref().filter(|it| it.cause == Cause::Ordered) {
            return Some(Against { cause: Cause::Ordered, began_at: it.times.began_at, due_at: now });
        }
        if due.is_some() {
            return due;
        }
        // What was granted only now is not taken back before it was taken in.
        if self.state.moves.iter().any(|it| is_running(it) && it.times.applied_at.is_none()) {
            return None;
        }
        let homes: Vec<ClusterName> = self.state.parked.keys().cloned().collect();
        for home in homes {
            if self.comes_home_to(&home).as_ref() != Some(holder) {
                continue;
            }
            let is_noted = pending.as_ref().is_some_and(|it| it.cause == Cause::Failback);
            if !is_noted {
                // Nothing has moved yet: first the old copy has to be dead.
                let index = self.may_come_home(&home, holder)?;
                self.state.moves[index].phase = MovePhase::Fencing;
            }
            return Some(Against { cause: Cause::Failback, began_at: None, due_at: now });
        }
        None
    }

    /// Takes the grant back as far as that is safe now.
    fn begin_to_leave(&mut self, rules: &Exclusive, grant: &Grant, against: Against, to: &ClusterName) {
        let from = &grant.cluster;
        let begun = self.pending(from).map(|index| &self.state.moves[index]);
        let is_begun = begun.is_some_and(|it| it.times.decided_at.is_some());
        if !is_begun && is_by_itself(against.cause) && self.moves_left() == 0 {
            let stands = words::stands(against.cause);
            self.problems.push(format!("{from} {stands}; others move first, so many at a time"));
            // The way home is no signal, for which the next turn would be given out.
            return self.wake(self.now().plus(super::overlap::TURN));
        }
        let mut index = self.note(from, against, MovePhase::Fencing, String::new());
        self.state.moves[index].to = Some(to.clone());
        if !is_begun {
            index = self.decided(index);
        }
        let is_silent = !self.is_heard(from);
        let is_storage = rules.fence == Fence::Storage && (is_silent || !against.cause.is_planned());
        if is_silent && !is_storage && self.confirmed.is_none() {
            let safe_at = self.safe_at(grant, against);
            if safe_at > self.now() {
                self.state.moves[index].reason = format!(
                    "{from} {}; it may still come back and go on: nothing is taken from it before its lease of {} \
                     is over",
                    words::stands(against.cause),
                    nave_common::time::HumanDuration(grant.promised()),
                );
                return self.wake(safe_at);
            }
        }
        if self.lease_over_at.is_none() {
            self.close = Some(grant.epoch);
            return;
        }
        let said = self.confirmed.take();
        let fenced = said.or_else(|| is_storage.then_some(Fenced::Storage));
        let since = self.wall();
        if let Some(held) = self.state.grant.as_mut() {
            held.release = Some(Release { since, fenced });
        }
        let cause = if self.is_home(from) { against.cause } else { Cause::Failback };
        self.park(from, Some(to), cause);
        self.state.moves[index].reason = self.waiting(rules, from);
    }

    /// When the lease of a silent holder is over, if it was not heard since it was found silent.
    fn safe_at(&self, grant: &Grant, against: Against) -> BootTime {
        let is_there = self.candidate(&grant.cluster).is_some();
        let signal = self.seen(&grant.cluster).and_then(|seen| seen.signal);
        match signal {
            // A person that orders it away does not want it to come back.
            _ if against.cause == Cause::Ordered || !is_there => self.now(),
            Some(signal) => signal.due_at.plus(grantor_lease(grant.promised())),
            None => against.due_at.plus(grantor_lease(grant.promised())),
        }
    }

    /// The grant is being taken back: is the old copy dead, and who is next?
    fn release(&mut self, rules: &Exclusive, grant: &Grant) {
        let Some(over_at) = self.lease_over_at else {
            // A hub that started anew has to close it again before it counts on anything.
            self.close = Some(grant.epoch);
            return;
        };
        let from = &grant.cluster;
        let index = self.pending(from).unwrap_or_else(|| {
            let against = Against { cause: Cause::Placement, began_at: None, due_at: self.now() };
            self.note(from, against, MovePhase::Fencing, String::new())
        });
        let fenced = grant.release.as_ref().and_then(|release| release.fenced.clone());
        let Some(fenced) = fenced.or_else(|| self.fenced(rules, grant, index, over_at)) else {
            let reason = self.waiting(rules, from);
            let it = &mut self.state.moves[index];
            it.phase = MovePhase::Fencing;
            it.reason = reason;
            self.unplaced_count = 1;
            return;
        };
        if let Some(release) = self.state.grant.as_mut().and_then(|grant| grant.release.as_mut()) {
            release.fenced = Some(fenced);
        }
        let wall = self.wall();
        let it = &mut self.state.moves[index];
        it.times.fenced_at = it.times.fenced_at.or(Some(wall));
        self.grant_next(rules, from, index);
    }

    /// How it is known that the old copy is dead; `None` while it is not.
    fn fenced(
        &mut self,
        rules: &Exclusive,
        grant: &Grant,
        index: usize,
        over_at: BootTime,
    ) -> Option<Fenced> {
        let from = &grant.cluster;
        let cause = self.state.moves[index].cause;
        let is_heard = self.is_heard(from);
        // Only what it says after it was told to stop: before, it may have stopped for a while and gone on since.
        let is_told = self.is_told_parked(from);
        let fence = self.seen(from).and_then(|seen| seen.fence.as_ref()).filter(|_| is_heard && is_told);
        if fence.is_some_and(|it| it.state == FenceState::Confirmed && it.epoch >= grant.epoch) {
            return Some(Fenced::Confirmed);
        }
        let doubts = self.inputs.limits.frozen.is_some();
        if rules.fence == Fence::Storage && (!cause.is_planned() || (!is_heard && !doubts)) {
            return Some(Fenced::Storage);
        }
        let is_ours = self.is_ours(grant);
        let assumed = rules
            .assume_fenced_after
            .filter(|_| rules.fence == Fence::Agent && !is_heard && !doubts && is_ours)?;
        let at = over_at.plus(assumed.0);
        if at > self.now() {
            self.wake(at);
            return None;
        }
        Some(Fenced::Assumed)
    }

    /// Whether this incarnation of the hub granted it. What an older one promised after its backup is not known, so
    /// nothing is counted on the end of its leases.
    fn is_ours(&self, grant: &Grant) -> bool {
        grant.epoch.generation().term == self.inputs.generation.term
    }

    /// What a move waits for until the old copy is known to be dead, and what a person can do.
    fn waiting(&self, rules: &Exclusive, from: &ClusterName) -> String {
        let confirm = words::confirm(&self.key, from);
        if !self.is_heard(from) {
            let is_ours = self.state.grant.as_ref().is_some_and(|grant| self.is_ours(grant));
            let assumed = rules.assume_fenced_after.filter(|_| rules.fence == Fence::Agent && is_ours);
            let assumed = assumed.map_or_else(String::new, |after| {
                format!(", or {after} after the end of its lease it is taken for dead")
            });
            return format!(
                "{from} is silent, so nobody can say that nothing of it runs there; make sure that it does not, then \
                 {confirm}{assumed}"
            );
        }
        match self.seen(from).and_then(|seen| seen.fence.as_ref()) {
            Some(fence) if fence.state == FenceState::Unconfirmed => format!(
                "{from} cannot say that everything ended: {}; look there, then {confirm}",
                fence.reason
            ),
            Some(fence) if !fence.reason.is_empty() => {
                format!("waits until it has stopped in {from}: {}", fence.reason)
            }
            _ => format!("waits until its agent has seen everything end in {from}"),
        }
    }

    /// The old copy is dead: grants it to whoever is next.
    fn grant_next(&mut self, rules: &Exclusive, from: &ClusterName, index: usize) {
        let it = self.state.moves[index].clone();
        let is_back =
            matches!(it.cause, Cause::Lost | Cause::Sick) && self.can_run(from) && self.is_seen(from);
        let chosen = it.to.filter(|to| to != from && self.refusal(to).is_none());
        let next = match chosen {
            _ if is_back => Err(String::new()),
            Some(to) => Ok(to),
            None => self.find(&[], std::slice::from_ref(from)),
        };
        match next {
            Ok(to) => {
                self.hand_over(from, &to, it.cause);
                if let Some(parked) = self.state.parked.get_mut(from) {
                    parked.replaced_by = Some(to.clone());
                }
                self.grant(rules, &to);
                let epoch = self.state.grant.as_ref().map(|grant| grant.epoch);
                let it = &mut self.state.moves[index];
                it.to = Some(to.clone());
                it.epoch = epoch;
                it.phase = MovePhase::Applying;
                it.reason = format!("waits until {to} has applied it");
            }
            Err(_) if self.can_run(from) => {
                let reason = if is_back {
                    format!("{from} came back before it had started elsewhere, and runs it again")
                } else {
                    format!("nothing else can take it any more; {from} runs it again")
                };
                self.grant(rules, from);
                self.end(index, MovePhase::Aborted, reason);
            }
            Err(why) => {
                let it = &mut self.state.moves[index];
                it.phase = MovePhase::Unplaced;
                it.reason = format!("it has stopped in {from}, and nothing can take it: {why}");
                self.unplaced_count = 1;
            }
        }
    }

    fn can_run(&self, cluster: &ClusterName) -> bool {
        self.is_well(cluster) && self.obstacle(cluster).is_none()
    }

    fn is_seen(&self, cluster: &ClusterName) -> bool {
        self.seen(cluster).is_some_and(|seen| seen.is_heard)
    }
}

fn millis(rules: &Exclusive) -> u64 {
    u64::try_from(rules.lease_duration.0.as_millis()).unwrap_or(u64::MAX)
}
