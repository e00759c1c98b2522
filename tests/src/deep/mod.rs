//! The deep and fast simulation of failover: discrete events from one seed, with the real pure machines inside.
//!
//! Real are the planner ([`nave_hub::plan`]), the leases and the session machine of the hub, the fence machine and the
//! admission of the agent. Modelled around them are the store, processes, streams, clusters with their nodes and pods,
//! clocks, a storage that refuses old epochs, and people. [`invariants`] is the list of promises that simulations of
//! every depth share.
//!
//! Everything follows from the seed: the same seed gives the same trace, line by line.

mod agent;
mod approvals;
mod basics;
mod cluster;
mod doubt;
mod faults;
mod hub;
mod hub_plan;
pub mod invariants;
mod link;
mod observe;
mod people;
mod setup;
mod store;
mod world;

use std::collections::BTreeMap;

use invariants::Violation;

/// How the protocol is broken on purpose, to show that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Break {
    /// Agents do not stop work whose lease is over.
    NoSelfFence,
    /// The hub waits for a lease without the drift margin.
    HubIgnoresMargin,
    /// An agent does not know under which epoch a lease was given and its pods run: it counts any lease for what it is
    /// told now, and finds nothing to stop up to a token.
    AgentForgetsEpoch,
    /// The hub renews what is asked for, also while it takes the grant back.
    BlanketRenewal,
    /// A longer lease is promised without being written down.
    PromiseNotDurable,
    /// A restored hub goes on in the term of the backup.
    TermNotRaised,
}

/// How a seed is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How many lines of the trace are kept.
    pub trace_lines: usize,
    /// How the protocol is broken.
    pub broken: Option<Break>,
    /// Whether people approve and give up moves too, and some applications wait for them (mode `Manual`). A seed has
    /// another trace with it than without it; seeds that found something before it was there are kept without.
    pub has_approvals: bool,
}

/// How a seed went.
#[derive(Debug)]
pub struct Report {
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// The last lines of the trace.
    pub trace: Vec<String>,
    /// How many faults of each kind there were, and what they led to.
    pub counts: BTreeMap<&'static str, u64>,
    /// How many events there were.
    pub event_count: u64,
}

/// Runs one seed: a storm of faults, then calm, in which everything has to come to rest.
#[must_use]
pub fn run(seed: u64, options: Options) -> Report {
    let mut world = setup::world(seed, &options);
    let mut event_count = 0;
    let storm_ms = world.storm_ms();
    let mut outcome = Ok(());
    for until in [storm_ms, storm_ms + setup::CALM_MS] {
        while outcome.is_ok()
            && let Some(event) = world.next(until)
        {
            event_count += 1;
            outcome = world.step(&event);
        }
        world.is_stormy = false;
        if outcome.is_ok() && until == storm_ms {
            world.calms();
        }
    }
    let outcome = outcome.and_then(|()| world.is_at_rest());
    let mut counts = std::mem::take(&mut world.counts);
    *counts.entry("applications excused").or_default() += world.checker.excused().len() as u64;
    Report { violation: outcome.err(), trace: world.trace.into_lines(), counts, event_count }
}
