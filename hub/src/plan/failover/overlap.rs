//! Overlap and Manual: two clusters may run it for a while, so it starts elsewhere at once.
//!
//! What is lost, sick or Degraded is left at once: the new cluster runs it from now on, and the old one is told to stop
//! when it hears anything. What is left on purpose runs until its replacement is Healthy. Where nothing can take it, it
//! stays as it is. An application that runs in every cluster that matches has nowhere to go, and nothing of it moves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nave_common::failover::state::{Cause, Move, MovePhase, Parked};
use nave_common::name::ClusterName;

use super::work::{Against, MAX_STEPS, Work, is_by_itself, is_running};
use super::{Decision, Stand, words};

/// When to ask again whether one may come home, where too many moves have begun: nobody else waits for its turn.
pub(super) const TURN: Duration = Duration::from_millis(500);

pub(super) fn decide(mut work: Work<'_>) -> Decision {
    work.drop_grant();
    if work.placement().count.is_none() {
        work.begin_step();
        work.all_of_them();
    } else {
        for _ in 0..MAX_STEPS {
            let before = (work.state.clone(), work.active.clone());
            work.begin_step();
            work.step();
            if before.0 == work.state && before.1 == work.active {
                break;
            }
        }
    }
    let stands = work.stands();
    work.into_decision(stands)
}

impl Work<'_> {
    /// What was Exclusive and is no longer is not fenced any more.
    fn drop_grant(&mut self) {
        if self.state.grant.take().is_some() {
            while let Some(index) = self.state.moves.iter().position(|it| !is_running(it)) {
                self.end(index, MovePhase::Aborted, "it is no longer Exclusive".into());
            }
        }
    }

    /// It runs wherever it may.
    fn all_of_them(&mut self) {
        self.state.orders.clear();
        while !self.state.moves.is_empty() {
            self.end(0, MovePhase::Aborted, "it runs in all matching clusters now".into());
        }
        let parked = std::mem::take(&mut self.state.parked);
        self.active.extend(parked.into_keys());
        let current: Vec<ClusterName> = self.active.iter().cloned().collect();
        let placed = self.place(&current, &[]);
        self.active = self.names(&placed).into_iter().collect();
        self.unplaced_count = placed.unplaced_count;
        self.problems = placed.problems;
        self.waits = placed.waits;
    }

    fn step(&mut self) {
        self.prune();
        self.follow_moves();
        self.take_orders();
        self.give_up_what_is_over();
        self.begin_moves();
        self.come_home();
        let running: Vec<ClusterName> = self.active.iter().cloned().collect();
        self.keep_standbys(&running);
    }

    fn stands(&self) -> BTreeMap<ClusterName, Stand> {
        let active = self.active.iter().map(|cluster| (cluster.clone(), Stand::Active(None)));
        let parked = self.state.parked.keys().map(|cluster| (cluster.clone(), Stand::Parked(None)));
        parked.chain(active).collect()
    }

    /// What the placement no longer lets in is not failover's any more.
    fn prune(&mut self) {
        let active: BTreeSet<ClusterName> =
            self.active.iter().filter(|cluster| self.matches(cluster)).cloned().collect();
        self.active = active;
        let gone: Vec<ClusterName> =
            self.state.parked.keys().filter(|cluster| !self.matches(cluster)).cloned().collect();
        for cluster in gone {
            self.state.parked.remove(&cluster);
        }
        for parked in self.state.parked.values_mut() {
            // Whoever stood in for it was taken away on purpose.
            let is_kept = parked.replaced_by.as_ref().is_some_and(|instead| self.active.contains(instead));
            parked.is_home &= is_kept;
        }
        while let Some(index) = self.state.moves.iter().position(|it| self.is_moot(it)) {
            let it = &self.state.moves[index];
            let cluster = it.to.as_ref().filter(|_| is_running(it)).unwrap_or(&it.from);
            let reason = format!("{cluster} is no longer among the clusters of its placement");
            self.end(index, MovePhase::Aborted, reason);
        }
    }

    /// Whether the cluster on which a move depends is no longer there.
    fn is_moot(&self, it: &Move) -> bool {
        match &it.to {
            Some(to) if is_running(it) => !self.active.contains(to),
            _ => !self.active.contains(&it.from),
        }
    }

    fn follow_moves(&mut self) {
        let numbers: Vec<u64> =
            self.state.moves.iter().filter(|it| is_running(it)).map(|it| it.number).collect();
        for number in numbers {
            let Some(index) = self.state.moves.iter().position(|it| it.number == number) else { continue };
            let (from, cause) = (self.state.moves[index].from.clone(), self.state.moves[index].cause);
            let Some(to) = self.state.moves[index].to.clone() else { continue };
            let still_runs = self.active.contains(&from);
            if still_runs && self.is_heard(&from) && self.spoils(&to) {
                self.turn_back(index);
                continue;
            }
            let is_healthy = self.progress(index);
            if still_runs && (is_healthy || !self.is_heard(&from)) {
                self.active.remove(&from);
                self.park(&from, Some(&to), cause);
            }
            if is_healthy && self.has_let_go(&from) {
                self.done(index);
            }
        }
    }

    /// Whether a new cluster turned out bad before it took over.
    fn spoils(&mut self, to: &ClusterName) -> bool {
        self.due(to).is_some_and(|against| !self.waits_for_thaw(against.cause))
    }

    /// The cluster that was to be left still runs it, and goes on doing so.
    pub(super) fn turn_back(&mut self, index: usize) {
        let it = &self.state.moves[index];
        let (from, cause, to) = (it.from.clone(), it.cause, it.to.clone());
        let Some(to) = to else { return };
        let why = self.against(&to).map(|against| against.cause);
        if why == Some(Cause::Degraded) {
            self.state.degraded_revision = self.inputs.revision;
        }
        let reason = words::turned_back(&to, why.unwrap_or(Cause::Ordered), &from);
        self.active.remove(&to);
        for parked in self.state.parked.values_mut() {
            if parked.replaced_by.as_ref() == Some(&to) {
                parked.replaced_by = Some(from.clone());
            }
        }
        let parked =
            Parked { since: self.wall(), is_home: cause == Cause::Failback, replaced_by: Some(from) };
        self.state.parked.insert(to.clone(), parked);
        self.end(index, MovePhase::Aborted, reason);
    }

    /// A cause that went away before anything moved moves nothing.
    fn give_up_what_is_over(&mut self) {
        let waiting: Vec<u64> =
            self.state.moves.iter().filter(|it| !is_running(it)).map(|it| it.number).collect();
        for number in waiting {
            let Some(index) = self.state.moves.iter().position(|it| it.number == number) else { continue };
            let it = &self.state.moves[index];
            let (from, cause, to) = (it.from.clone(), it.cause, it.to.clone());
            let reason = match cause {
                Cause::Failback => {
                    let home = to.filter(|home| self.comes_home_to(home).as_ref() == Some(&from));
                    home.is_none().then(|| "home is not well for long enough any more".to_owned())
                }
                _ => self.due(&from).is_none().then(|| format!("{from} is well again; nothing had moved")),
            };
            if let Some(reason) = reason {
                self.end(index, MovePhase::Aborted, reason);
            }
        }
    }

    /// Begins what is due, and asks the placement for the rest.
    fn begin_moves(&mut self) {
        let leaving = self.leaving();
        let wants = self.wants(&leaving);
        let stays: Vec<ClusterName> = self
            .active
            .iter()
            .filter(|cluster| !leaving.contains(cluster) && !wants.iter().any(|(from, _)| from == *cluster))
            .cloned()
            .collect();
        let mut avoid: Vec<ClusterName> =
            self.signalled().into_iter().filter(|cluster| !stays.contains(cluster)).collect();
        avoid.extend(leaving.iter().cloned());
        avoid.extend(wants.iter().map(|(from, _)| from.clone()));
        // Coming home is for failback to say, unless nothing else is left, or its own stand-in is left.
        let is_apart = |(_, parked): &(&ClusterName, &Parked)| {
            let instead = parked.replaced_by.as_ref();
            wants.is_empty() || parked.is_home && !wants.iter().any(|(from, _)| Some(from) == instead)
        };
        let apart = self.state.parked.iter().filter(is_apart).map(|(cluster, _)| cluster.clone());
        let without: Vec<ClusterName> = avoid.iter().cloned().chain(apart).collect();
        let mut placed = self.place(&stays, &without);
        if placed.unplaced_count > 0 && without.len() > avoid.len() {
            placed = self.place(&stays, &avoid);
        }
        let chosen = self.names(&placed);
        let new: Vec<ClusterName> = chosen.iter().filter(|name| !stays.contains(name)).cloned().collect();
        let (wants, takers) = self.pair(wants, new);
        let can_take = takers.len();
        let stuck = wants.len() - can_take;
        if stuck > 0 {
            let left: Vec<ClusterName> = wants[can_take..].iter().map(|(from, _)| from.clone()).collect();
            self.waits = self.waits.or(placed.waits);
            let why = placed.problems.join("; ");
            for (from, against) in &wants[can_take..] {
                self.note(from, *against, MovePhase::Unplaced, format!("nothing can take it: {why}"));
            }
            // What cannot leave keeps its place.
            let current: Vec<ClusterName> = chosen.iter().chain(&left).cloned().collect();
            avoid.retain(|cluster| !current.contains(cluster));
            placed = self.place(&current, &avoid);
        }
        self.active = self.names(&placed).into_iter().filter(|name| !takers.contains(name)).collect();
        self.active.extend(leaving);
        let again: Vec<ClusterName> =
            self.active.iter().filter(|name| self.state.parked.contains_key(*name)).cloned().collect();
        for name in again {
            self.unpark(&name);
        }
        self.active.extend(wants[..can_take].iter().map(|(from, _)| from.clone()));
        for ((from, against), to) in wants[..can_take].iter().zip(&takers) {
            let index = self.note(from, *against, MovePhase::Applying, String::new());
            self.take_to(index, to);
        }
        self.unplaced_count = placed.unplaced_count;
        self.waits = self.waits.or(placed.waits);
        self.problems.extend(placed.problems);
    }

    /// Who takes what: each home from its own stand-in, the others in the order of their names. What is taken comes
    /// first.
    fn pair(
        &self,
        mut wants: Vec<(ClusterName, Against)>,
        mut new: Vec<ClusterName>,
    ) -> (Vec<(ClusterName, Against)>, Vec<ClusterName>) {
        let mut takers = Vec::new();
        let can_take = new.len().min(wants.len());
        for place in 0..can_take {
            let home_of = |from: &ClusterName| {
                new.iter().position(|name| {
                    let parked = self.state.parked.get(name).filter(|parked| parked.is_home);
                    parked.is_some_and(|parked| parked.replaced_by.as_ref() == Some(from))
                })
            };
            let found = (place..wants.len()).find_map(|want| Some((want, home_of(&wants[want].0)?)));
            let (want, taker) = found.unwrap_or((place, 0));
            wants.swap(place, want);
            takers.push(new.remove(taker));
        }
        (wants, takers)
    }

    /// The clusters that are to be left now, and why; of those that the hub leaves by itself as many as may.
    fn wants(&mut self, leaving: &[ClusterName]) -> Vec<(ClusterName, Against)> {
        let clusters: Vec<ClusterName> =
            self.active.iter().filter(|cluster| !leaving.contains(cluster)).cloned().collect();
        let mut wants: Vec<(ClusterName, Against)> = Vec::new();
        let mut turns = self.moves_left();
        for from in clusters {
            let Some(against) = self.due(&from).filter(|_| !self.is_arriving(&from)) else { continue };
            let is_second = wants.iter().any(|(_, other)| other.cause == Cause::Degraded);
            if against.cause == Cause::Degraded && is_second || self.was_given_up(&from, against) {
                continue;
            }
            let phase = self.pending(&from).map(|index| self.state.moves[index].phase);
            let is_approved = self.is_manual() && phase == Some(MovePhase::Unplaced);
            if !is_approved && self.waits_for_thaw(against.cause) {
                self.say_frozen(&from, against);
                continue;
            }
            if self.is_manual() && !is_approved {
                let number =
                    self.pending(&from).map_or(self.state.move_count + 1, |at| self.state.moves[at].number);
                let key = &self.key;
                let reason = format!(
                    "{from} {}; `nave failover approve {key} {number}` moves it",
                    words::stands(against.cause)
                );
                self.note(&from, against, MovePhase::Proposed, reason);
                continue;
            }
            if is_by_itself(against.cause) && !is_approved {
                if turns == 0 {
                    self.problems.push(format!(
                        "{from} {}; others move first, so many at a time",
                        words::stands(against.cause)
                    ));
                    continue;
                }
                turns -= 1;
            }
            wants.push((from, against));
        }
        wants
    }

    /// Says that a move waits until the hub trusts itself again.
    pub(super) fn say_frozen(&mut self, from: &ClusterName, against: Against) {
        if let Some(frozen) = self.inputs.limits.frozen {
            let stands = words::stands(against.cause);
            self.problems.push(format!("{from} {stands}; nothing moves: {}", frozen.reason));
        }
    }
}
