//! The moves of one application: how they begin, how far they are, how they end, and what is remembered of them.

use std::time::Duration;

use nave_common::failover::FailbackMode;
use nave_common::failover::state::{Cause, Flaps, MAX_HISTORY, Move, MovePhase, MoveTimes, Parked};
use nave_common::health::Health;
use nave_common::name::ClusterName;

use super::words;
use super::work::{Against, Work, is_running};

/// An application that left a cluster so long ago does not count as having left it of late.
pub(super) const FLAP_MEMORY: Duration = Duration::from_secs(6 * 3600);

impl Work<'_> {
    /// The move under way from a cluster that has gone nowhere yet.
    pub(super) fn pending(&self, from: &ClusterName) -> Option<usize> {
        self.state.moves.iter().position(|it| it.from == *from && !is_running(it))
    }

    /// Clusters that are left as soon as their replacement is Healthy: they run it, and hold no place.
    pub(super) fn leaving(&self) -> Vec<ClusterName> {
        let moves = self.state.moves.iter().filter(|it| is_running(it));
        moves.map(|it| it.from.clone()).filter(|from| self.active.contains(from)).collect()
    }

    /// Whether a cluster is about to take over from one that still runs it.
    pub(super) fn is_arriving(&self, cluster: &ClusterName) -> bool {
        let mut moves = self.state.moves.iter().filter(|it| is_running(it));
        moves.any(|it| it.to.as_ref() == Some(cluster) && self.active.contains(&it.from))
    }

    /// Notes a move that has gone nowhere yet, or what has become of it.
    pub(super) fn note(
        &mut self,
        from: &ClusterName,
        against: Against,
        phase: MovePhase,
        reason: String,
    ) -> usize {
        let index = self.pending(from).unwrap_or_else(|| {
            self.state.move_count += 1;
            self.state.moves.push(Move {
                number: self.state.move_count,
                from: from.clone(),
                to: None,
                cause: against.cause,
                phase,
                reason: String::new(),
                epoch: None,
                times: MoveTimes {
                    began_at: against.began_at,
                    detected_at: Some(self.wall()),
                    ..MoveTimes::default()
                },
            });
            self.state.moves.len() - 1
        });
        let it = &mut self.state.moves[index];
        it.phase = phase;
        it.reason = reason;
        if it.cause != Cause::Ordered && it.cause != against.cause {
            it.cause = against.cause;
            it.to = None;
            it.times.began_at = against.began_at;
        }
        index
    }

    /// Notes that a move has been decided: what is counted for it, and what ends by it. Returns where it stands then.
    pub(super) fn decided(&mut self, index: usize) -> usize {
        let wall = self.wall();
        let it = &mut self.state.moves[index];
        it.times.decided_at = it.times.decided_at.or(Some(wall));
        let (number, from, cause) = (it.number, it.from.clone(), it.cause);
        if super::work::is_by_itself(cause) && !self.is_manual() {
            self.begun_count += 1;
        }
        if !cause.is_planned() {
            self.count_flap(&from);
        }
        if cause == Cause::Degraded {
            self.state.degraded_revision = self.inputs.revision;
        }
        // What was to bring it to the cluster that it now leaves has come to nothing.
        let before = |it: &Move| it.to.as_ref() == Some(&from) && it.number != number && is_running(it);
        while let Some(place) = self.state.moves.iter().position(before) {
            let reason = format!("it left {from} before it was Healthy there: see move {number}");
            self.end(place, MovePhase::Aborted, reason);
        }
        self.state.moves.iter().position(|it| it.number == number).unwrap_or(index)
    }

    /// Whether a cluster is where the application belongs, and no stand-in for another.
    pub(super) fn is_home(&self, cluster: &ClusterName) -> bool {
        let stands_in = |parked: &Parked| parked.is_home && parked.replaced_by.as_ref() == Some(cluster);
        !self.state.parked.values().any(stands_in)
    }

    /// Parks a cluster that was left for `to`.
    pub(super) fn park(&mut self, from: &ClusterName, to: Option<&ClusterName>, cause: Cause) {
        let moves_home = matches!(cause, Cause::Ordered | Cause::Failback)
            || self.rules().failback_mode() == FailbackMode::Never;
        let is_home = !moves_home && self.is_home(from) && to.is_none_or(|to| self.is_home(to));
        let parked = Parked { since: self.wall(), is_home, replaced_by: to.cloned() };
        self.state.parked.insert(from.clone(), parked);
    }

    /// What was replaced by one cluster is replaced by another from now on.
    pub(super) fn hand_over(&mut self, from: &ClusterName, to: &ClusterName, cause: Cause) {
        for parked in self.state.parked.values_mut() {
            if parked.replaced_by.as_ref() == Some(from) {
                parked.replaced_by = Some(to.clone());
                // Whoever orders it elsewhere than home says where its home is.
                parked.is_home &= cause != Cause::Ordered;
            }
        }
    }

    /// A cluster that was left runs it again: what was to take it away from there has come to its end.
    pub(super) fn unpark(&mut self, cluster: &ClusterName) -> Option<Parked> {
        let parked = self.state.parked.remove(cluster)?;
        while let Some(index) = self.state.moves.iter().position(|it| it.from == *cluster && is_running(it)) {
            let it = &self.state.moves[index];
            let is_done = it.times.healthy_at.is_some();
            let phase = if is_done { MovePhase::Done } else { MovePhase::Aborted };
            self.end(index, phase, format!("{cluster} runs it again"));
        }
        Some(parked)
    }

    /// Takes the application to a cluster, in a mode in which two may run it for a while.
    pub(super) fn take_to(&mut self, index: usize, to: &ClusterName) {
        let it = &mut self.state.moves[index];
        it.to = Some(to.clone());
        it.phase = MovePhase::Applying;
        it.reason = format!("waits until {to} has applied it");
        let (from, cause) = (it.from.clone(), it.cause);
        let index = self.decided(index);
        let is_stand_in = !self.is_home(&from);
        let number = self.state.moves[index].number;
        let stood_in = self.unpark(to).filter(|parked| parked.is_home);
        let index = self.state.moves.iter().position(|it| it.number == number).unwrap_or_default();
        let stood_in = stood_in.and_then(|parked| parked.replaced_by);
        self.active.insert(to.clone());
        if !cause.is_planned() || !self.is_heard(&from) {
            self.active.remove(&from);
            // A stand-in that is left is no home. Where another's home takes it, that one is home again, and its stand-in
            // stands in for what was left.
            let instead = stood_in.filter(|instead| *instead != from && self.active.contains(instead));
            let instead = instead.as_ref().unwrap_or(to);
            self.hand_over(&from, instead, cause);
            self.park(&from, Some(instead), if is_stand_in { Cause::Failback } else { cause });
            return;
        }
        self.hand_over(&from, to, cause);
        if stood_in.as_ref() == Some(&from) {
            self.state.moves[index].cause = Cause::Failback;
        }
    }

    /// Ends a move and remembers it.
    pub(super) fn end(&mut self, index: usize, phase: MovePhase, reason: String) {
        let mut it = self.state.moves.remove(index);
        it.phase = phase;
        it.reason = reason;
        it.times.ended_at = Some(self.wall());
        self.remember(it);
    }

    fn remember(&mut self, it: Move) {
        self.state.history.insert(0, it);
        self.state.history.truncate(MAX_HISTORY);
    }

    /// Remembers an order that could not be carried out.
    pub(super) fn refuse(&mut self, from: ClusterName, to: Option<ClusterName>, reason: String) {
        self.state.move_count += 1;
        let times =
            MoveTimes { decided_at: Some(self.wall()), ended_at: Some(self.wall()), ..MoveTimes::default() };
        let number = self.state.move_count;
        let (cause, phase) = (Cause::Ordered, MovePhase::Aborted);
        self.remember(Move { number, from, to, cause, phase, reason, epoch: None, times });
    }

    fn count_flap(&mut self, from: &ClusterName) {
        let wall = self.wall();
        let flaps = self.state.flaps.entry(from.clone()).or_insert(Flaps { count: 0, last_at: wall });
        let is_old = wall.since(flaps.last_at) > FLAP_MEMORY;
        flaps.count = if is_old { 1 } else { flaps.count.saturating_add(1) };
        flaps.last_at = wall;
        // As many clusters as there are could pile up; what is forgotten need not be kept.
        self.state.flaps.retain(|_, flaps| wall.since(flaps.last_at) <= FLAP_MEMORY);
    }

    /// Whether a person gave up this move, and what led to it still lasts.
    pub(super) fn was_given_up(&self, from: &ClusterName, against: Against) -> bool {
        let last = self.state.history.iter().find(|it| it.from == *from && it.cause == against.cause);
        last.is_some_and(|it| {
            it.phase == MovePhase::Aborted
                && it.reason.starts_with(words::ABORTED_BY)
                && it.times.began_at == against.began_at
        })
    }

    /// Notes how far the new cluster of a running move is. True once it is Healthy there.
    pub(super) fn progress(&mut self, index: usize) -> bool {
        let wall = self.wall();
        let Some(to) = self.state.moves[index].to.clone() else { return false };
        // What it says while it is still told something else is about that.
        let is_told = self.told(&to).is_some_and(|run| {
            run.activity.is_active()
                && run.exclusive.map(|terms| terms.epoch) == self.state.moves[index].epoch
        });
        let seen = self.seen(&to).filter(|_| is_told);
        let it = &mut self.state.moves[index];
        if !seen.is_some_and(|seen| seen.is_applied) {
            return it.times.healthy_at.is_some();
        }
        if it.times.applied_at.is_none() {
            it.times.applied_at = Some(wall);
            it.phase = MovePhase::Settling;
        }
        let health = seen.map(|seen| seen.health).unwrap_or_default();
        // What is suspended on purpose gets no healthier.
        if it.times.healthy_at.is_none() && matches!(health, Health::Healthy | Health::Suspended) {
            it.times.healthy_at = Some(wall);
        }
        let is_healthy = it.times.healthy_at.is_some();
        it.reason = if is_healthy {
            format!("runs in {to}; waits until {} has stopped it", it.from)
        } else {
            format!("waits until it is Healthy in {to}; it is {health} there")
        };
        is_healthy
    }

    /// Whether the cluster that was left has let go, as far as it can be asked.
    pub(super) fn has_let_go(&self, from: &ClusterName) -> bool {
        !self.is_heard(from)
            || self.seen(from).is_none_or(|seen| seen.signal.is_some())
            || (self.is_told_parked(from) && self.seen(from).is_some_and(|seen| seen.is_applied))
            || !self.state.parked.contains_key(from)
    }

    /// Ends a move that is through.
    pub(super) fn done(&mut self, index: usize) {
        let it = &self.state.moves[index];
        let to = it.to.as_ref().map_or("", |to| to.as_str());
        let reason = format!("{} {}; runs in {to}", it.from, words::left(it.cause));
        self.end(index, MovePhase::Done, reason);
    }
}
