//! What a world tells of itself: how much happened in it, and what went wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use nave_common::failover::state::{Cause, FailoverState, Grant, Move, MovePhase};
use nave_common::name::{ApplicationKey, ClusterName};

use super::faults::{Counts, KINDS};

/// How much happened.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Worlds that were run to their end.
    pub worlds: u64,
    /// Faults, by kind.
    pub faults: Counts,
    /// Moves that a fault caused and that were done.
    pub failovers: u64,
    /// Old copies that were known to be dead before another was let in, by why they were left.
    pub fences: BTreeMap<Cause, u64>,
    /// Moves home that were done.
    pub failbacks: u64,
    /// Exclusive leases granted.
    pub grants: u64,
    /// Transactions that the hub's full disk refused.
    pub refused_writes: u64,
    /// Virtual time, in milliseconds.
    pub virtual_ms: u64,
}

impl Report {
    /// Takes in what another world tells.
    pub fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        for (kind, count) in &other.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        for (how, count) in &other.fences {
            *self.fences.entry(*how).or_default() += count;
        }
        self.failovers += other.failovers;
        self.failbacks += other.failbacks;
        self.grants += other.grants;
        self.refused_writes += other.refused_writes;
        self.virtual_ms += other.virtual_ms;
    }

    /// What did not happen even once, though it is what a world is for; empty where all of it did.
    #[must_use]
    pub fn idle(&self) -> Vec<String> {
        let unseen = KINDS.iter().filter(|(kind, _)| !self.faults.contains_key(kind));
        let mut idle: Vec<String> = unseen.map(|(kind, _)| format!("no fault {kind:?}")).collect();
        for (what, count) in [
            ("failover", self.failovers),
            ("failback", self.failbacks),
            ("fence", self.fences.values().sum()),
            ("grant", self.grants),
            ("refused write", self.refused_writes),
        ] {
            if count == 0 {
                idle.push(format!("no {what}"));
            }
        }
        idle
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.faults.values().sum();
        writeln!(
            f,
            "{} worlds, {} s of virtual time, {faults} faults:",
            self.worlds,
            self.virtual_ms / 1000
        )?;
        for (kind, count) in &self.faults {
            writeln!(f, "  {count:>5} {kind:?}")?;
        }
        writeln!(
            f,
            "{} failovers, {} failbacks, {} grants, {} writes refused by a full disk; fences:",
            self.failovers, self.failbacks, self.grants, self.refused_writes
        )?;
        for (how, count) in &self.fences {
            writeln!(f, "  {count:>5} {how}")?;
        }
        Ok(())
    }
}

/// Counts moves, grants and fences as they come up in the hub's records.
#[derive(Debug, Default)]
pub(super) struct Tally {
    moves: BTreeSet<(ApplicationKey, u64)>,
    begun: BTreeSet<(ApplicationKey, u64)>,
    grants: BTreeSet<(ApplicationKey, u64)>,
    fences: BTreeSet<(ApplicationKey, u64)>,
}

/// What is new in a record.
#[derive(Debug, Default)]
pub(super) struct News {
    /// In words.
    pub(super) words: Vec<String>,
    /// Whether its grant is new.
    pub(super) is_granted: bool,
    /// Moves that began: the cluster that is left, and why.
    pub(super) begun: Vec<(ClusterName, Cause)>,
}

impl Tally {
    /// Takes in a record, and returns what is new in it.
    pub(super) fn take(&mut self, state: &FailoverState, report: &mut Report) -> News {
        let mut news = News::default();
        for one in state.moves.iter().chain(&state.history) {
            self.take_move(&state.application, one, report, &mut news);
        }
        if let Some(grant) = &state.grant {
            self.take_grant(&state.application, grant, report, &mut news);
        }
        news
    }

    fn take_move(&mut self, key: &ApplicationKey, one: &Move, report: &mut Report, news: &mut News) {
        let id = (key.clone(), one.number);
        let to = one.to.as_ref().map_or("nowhere yet", |to| to.as_str());
        if self.begun.insert(id.clone()) {
            let (number, from, cause, phase) = (one.number, &one.from, one.cause, one.phase);
            news.words
                .push(format!("{key}: move {number} from {from} to {to} ({cause}) {phase}: {}", one.reason));
            // What is proposed to a person has not begun to move.
            if phase != MovePhase::Proposed {
                news.begun.push((from.clone(), cause));
            }
        }
        if one.times.fenced_at.is_some() && self.fences.insert(id.clone()) {
            news.words.push(format!("{key}: move {}: {} is fenced", one.number, one.from));
            *report.fences.entry(one.cause).or_default() += 1;
        }
        if one.phase.is_over() && self.moves.insert(id) {
            news.words.push(format!("{key}: move {} to {to} is {}: {}", one.number, one.phase, one.reason));
            match one.phase {
                MovePhase::Done if one.cause == Cause::Failback => report.failbacks += 1,
                MovePhase::Done if !one.cause.is_planned() => report.failovers += 1,
                _ => {}
            }
        }
    }

    fn take_grant(&mut self, key: &ApplicationKey, grant: &Grant, report: &mut Report, news: &mut News) {
        let id = (key.clone(), grant.epoch.number());
        if self.grants.insert(id) {
            report.grants += 1;
            news.is_granted = true;
            news.words.push(format!("{key}: granted to {} with {}", grant.cluster, grant.epoch));
        }
    }
}

/// A world that went wrong.
#[derive(Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// When, in milliseconds since it began.
    pub at_ms: u64,
    /// What is wrong.
    pub what: String,
    /// What happened before, oldest first.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} after {} ms: {}", self.seed, self.at_ms, self.what)?;
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        write!(f, "again: NAVE_SEED={} cargo test -p nave-tests --test simulation -- --nocapture", self.seed)
    }
}
