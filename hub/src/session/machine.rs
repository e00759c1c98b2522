//! What one agent has and what it has to be told: pure, no I/O, no clock.
//!
//! The machine remembers, of every application, what the agent holds on its disk or was sent on this stream, and
//! compares that with what the hub wants. It never keeps what is to be sent: that is read from the world at the moment
//! when there is room on the wire, so that the newest wins and a slow agent costs nothing more.
//!
//! **Invariant:** nothing older than what the agent has seen is ever sent. An agent that knows more than the hub is
//! reported, and left as it is.

use std::collections::{BTreeMap, BTreeSet};

use nave_common::assignment::{Assignment, Desired, Generation};
use nave_common::digest::Digest;
use nave_common::name::ApplicationKey;

/// One application as an agent says it holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// When in the hub's order it was decided.
    pub generation: Generation,
    /// [`Desired::digest`].
    pub desired: Digest,
}

/// What an agent says first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// The highest generation it has seen.
    pub generation: Generation,
    /// What it has of each application.
    pub held: BTreeMap<ApplicationKey, Held>,
}

/// What the hub wants of one application.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// When in the hub's order it was decided.
    pub generation: Generation,
    /// What is wanted.
    pub desired: &'a Desired,
}

impl<'a> From<&'a Assignment> for Wanted<'a> {
    fn from(assignment: &'a Assignment) -> Self {
        Self { generation: assignment.generation, desired: &assignment.desired }
    }
}

/// What a Hello leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opening {
    /// What is to be looked at with [`Machine::look`] and, where that says so, sent.
    pub pending: BTreeSet<ApplicationKey>,
    /// Applications that the agent runs and the hub has never heard of.
    pub unknown: BTreeSet<ApplicationKey>,
    /// What the agent knows and the hub does not know yet.
    pub ahead: Option<Ahead>,
}

/// How far an agent is ahead of the hub: an older state of the hub was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// The highest that the agent has seen.
    pub agent: Generation,
    /// The highest of the hub.
    pub hub: Generation,
    /// The applications of which the agent has something newer.
    pub applications: BTreeSet<ApplicationKey>,
}

/// What is to be done about one application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is sent.
    Send,
    /// The agent may drop its tombstone.
    Forget,
    /// The agent has it, or something newer, or nothing can be said about it.
    Nothing,
}

/// The state of one stream.
#[derive(Debug)]
pub struct Machine {
    /// The hub's.
    term: u64,
    /// Where the agent is ahead of the hub, the highest that it has seen: nothing up to it is sent.
    floor: Option<Generation>,
    known: BTreeMap<ApplicationKey, Known>,
}

/// What an agent holds, or was sent on this stream.
#[derive(Debug, Clone, Copy)]
struct Known {
    generation: Generation,
    is_tombstone: bool,
}

impl Machine {
    /// Begins a stream: what the agent says it has, against what the hub wants of its cluster.
    pub fn open<'a>(
        hello: Hello,
        hub: Generation,
        wanted: impl Iterator<Item = (&'a ApplicationKey, Wanted<'a>)>,
    ) -> (Self, Opening) {
        let removed = Desired::Remove.digest();
        let known = |had: &Held| Known { generation: had.generation, is_tombstone: had.desired == removed };
        let mut opening = Opening::default();
        let mut newer = BTreeSet::new();
        let mut held = hello.held;
        let mut machine = Self { term: hub.term, floor: None, known: BTreeMap::new() };
        for (key, wanted) in wanted {
            let Some(had) = held.remove(key) else {
                opening.pending.insert(key.clone());
                continue;
            };
            if had.generation < wanted.generation {
                opening.pending.insert(key.clone());
            } else if had.desired != wanted.desired.digest() {
                newer.insert(key.clone());
            }
            // The world's own key, so that ten thousand sessions share one name.
            machine.known.insert(key.clone(), known(&had));
        }
        for (key, had) in held {
            // A tombstone that is gone on the hub was confirmed by this agent before; only the word of it was lost.
            let set = if had.desired == removed { &mut opening.pending } else { &mut opening.unknown };
            set.insert(key.clone());
            machine.known.insert(key, known(&had));
        }
        let is_behind = hello.generation > hub;
        if is_behind {
            machine.floor = Some(hello.generation);
        }
        if is_behind || !newer.is_empty() {
            opening.ahead = Some(Ahead { agent: hello.generation, hub, applications: newer });
        }
        (machine, opening)
    }

    /// What is to be done about one application, now that the hub wants this of it.
    #[must_use]
    pub fn look(&self, key: &ApplicationKey, wanted: Option<Generation>) -> Step {
        let known = self.known.get(key);
        let Some(wanted) = wanted else {
            // A removal that another incarnation of the hub asked for may not be complete: only that one knows.
            let is_done = known.is_some_and(|had| had.is_tombstone && had.generation.term == self.term);
            return if is_done { Step::Forget } else { Step::Nothing };
        };
        let is_seen = known.is_some_and(|had| had.generation >= wanted);
        if is_seen || self.floor.is_some_and(|floor| wanted <= floor) { Step::Nothing } else { Step::Send }
    }

    /// Remembers that this was sent: within one stream, what was sent arrives.
    pub fn sent(&mut self, key: ApplicationKey, sent: Wanted<'_>) {
        let is_tombstone = matches!(sent.desired, Desired::Remove);
        self.known.insert(key, Known { generation: sent.generation, is_tombstone });
    }

    /// Remembers that the agent was told to drop its tombstone.
    pub fn forgotten(&mut self, key: &ApplicationKey) {
        self.known.remove(key);
    }

    /// The applications that are remembered.
    pub fn known(&self) -> impl Iterator<Item = &ApplicationKey> {
        self.known.keys()
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
