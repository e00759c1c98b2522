//! Streams between agents and hubs: in order within a stream, as TCP has it, and in any order between two.
//!
//! A direction that is cut keeps what is sent until it is mended, or until one end gives the stream up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use nave_agent::fence::machine::Renewed;
use nave_common::assignment::Assignment;
use nave_common::failover::Epoch;
use nave_common::name::ApplicationKey;
use nave_common::status::AssignmentStatus;
use nave_hub::session::machine::Hello;

use super::world::{Event, Process, World, note};

/// Tells streams apart.
pub(super) type StreamId = u64;

/// From an agent to a hub.
#[derive(Debug, Clone)]
pub(super) enum Up {
    /// What it has.
    Hello(Box<Hello>),
    /// A heartbeat with what it asks to be renewed.
    Beat(u64, Vec<(ApplicationKey, Epoch)>),
    /// What it sees of an application.
    Status(Box<AssignmentStatus>),
    /// Whether its API server can be used.
    Api(bool),
    /// The stream is over.
    End,
}

/// From a hub to an agent.
#[derive(Debug, Clone)]
pub(super) enum Down {
    /// What to run.
    Assign(Arc<Assignment>),
    /// A tombstone may go.
    Forget(ApplicationKey),
    /// The answer to a heartbeat: its number, the hub's term and what it renews.
    Ack(u64, u64, Vec<Renewed>),
    /// The stream is over.
    End,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// The agent's cluster.
    pub(super) spoke: usize,
    /// Which life of the agent opened it.
    pub(super) agent_life: u64,
    /// The hub.
    pub(super) hub: usize,
    /// Which life of the hub took it.
    pub(super) hub_life: u64,
    up: VecDeque<(u64, Up)>,
    down: VecDeque<(u64, Down)>,
    up_at: u64,
    down_at: u64,
    /// From when on the hub has given it up: a newer one took its place, or nothing was heard for too long.
    pub(super) hub_closes_at: Option<u64>,
    /// The agent has given it up.
    pub(super) is_agent_end_closed: bool,
}

/// All streams.
#[derive(Debug, Default)]
pub(super) struct Links {
    streams: BTreeMap<StreamId, Stream>,
    count: u64,
}

impl Links {
    /// The stream, if it is there.
    #[must_use]
    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(&id)
    }

    /// The stream, if it is there.
    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.streams.get_mut(&id)
    }

    /// The streams of a cluster's agent.
    #[must_use]
    pub(super) fn of_spoke(&self, spoke: usize) -> Vec<StreamId> {
        self.streams.iter().filter(|(_, stream)| stream.spoke == spoke).map(|(id, _)| *id).collect()
    }

    /// The streams of a hub.
    #[must_use]
    pub(super) fn of_hub(&self, hub: usize) -> Vec<StreamId> {
        self.streams.iter().filter(|(_, stream)| stream.hub == hub).map(|(id, _)| *id).collect()
    }
}

impl World {
    /// Opens a stream from an agent to the hub that has the address, where both directions work.
    pub(super) fn connect(&mut self, spoke: usize) -> Option<StreamId> {
        let hub = self.address;
        let from = &self.spokes[spoke];
        if from.is_up_cut || from.is_down_cut || self.hubs[hub].process == Process::Dead {
            return None;
        }
        self.links.count += 1;
        let id = self.links.count;
        let stream = Stream {
            spoke,
            agent_life: from.agent.life,
            hub,
            hub_life: self.hubs[hub].life,
            up: VecDeque::new(),
            down: VecDeque::new(),
            up_at: self.now,
            down_at: self.now,
            hub_closes_at: None,
            is_agent_end_closed: false,
        };
        self.links.streams.insert(id, stream);
        Some(id)
    }

    /// Sends from an agent.
    pub(super) fn send_up(&mut self, id: StreamId, message: Up) {
        let Some(stream) = self.links.streams.get(&id) else { return };
        let delay = self.dice.range(1, self.spokes[stream.spoke].delay_ms.max(1));
        let Some(stream) = self.links.streams.get_mut(&id) else { return };
        stream.up_at = stream.up_at.max(self.now + delay);
        let at = stream.up_at;
        stream.up.push_back((at, message));
        self.at(at, Event::Arrive(id, true));
    }

    /// Sends from a hub.
    pub(super) fn send_down(&mut self, id: StreamId, message: Down) {
        let Some(stream) = self.links.streams.get(&id) else { return };
        let delay = self.dice.range(1, self.spokes[stream.spoke].delay_ms.max(1));
        let Some(stream) = self.links.streams.get_mut(&id) else { return };
        stream.down_at = stream.down_at.max(self.now + delay);
        let at = stream.down_at;
        stream.down.push_back((at, message));
        self.at(at, Event::Arrive(id, false));
    }

    /// A stream breaks: what is in flight is lost, and either end notices after a while.
    pub(super) fn cut_stream(&mut self, id: StreamId) {
        if self.links.streams.remove(&id).is_some() {
            note!(self, "stream {id} breaks");
        }
    }

    /// What was held back may be read again: a direction is mended, or a process goes on.
    pub(super) fn flow(&mut self, ids: Vec<StreamId>) {
        for id in ids {
            self.at(self.now, Event::Arrive(id, true));
            self.at(self.now, Event::Arrive(id, false));
        }
    }

    /// Reads what has arrived on one direction of a stream.
    pub(super) fn arrive(&mut self, id: StreamId, is_up: bool) {
        while let Some(stream) = self.links.streams.get(&id) {
            let from = &self.spokes[stream.spoke];
            let (is_cut, process, is_same_life) = if is_up {
                let hub = &self.hubs[stream.hub];
                (from.is_up_cut, hub.process, hub.life == stream.hub_life)
            } else {
                (from.is_down_cut, from.agent.process, from.agent.life == stream.agent_life)
            };
            if process == Process::Dead || !is_same_life {
                self.links.streams.remove(&id);
                return;
            }
            if is_cut || process == Process::Paused {
                return;
            }
            let now = self.now;
            let (spoke, hub) = (stream.spoke, stream.hub);
            let Some(stream) = self.links.streams.get_mut(&id) else { return };
            if is_up {
                let Some((_, message)) = stream.up.pop_front_if(|(at, _)| *at <= now) else { return };
                if stream.hub_closes_at.is_none_or(|at| at > now) {
                    self.hub_receives(hub, spoke, id, message);
                }
            } else {
                let Some((_, message)) = stream.down.pop_front_if(|(at, _)| *at <= now) else { return };
                if !stream.is_agent_end_closed {
                    self.agent_receives(spoke, id, message);
                }
            }
        }
    }

    /// Streams with nobody at either end go.
    pub(super) fn sweep_streams(&mut self) {
        let dead: BTreeSet<StreamId> = self
            .links
            .streams
            .iter()
            .filter(|(_, stream)| {
                let (hub, agent) = (&self.hubs[stream.hub], &self.spokes[stream.spoke].agent);
                let closed = stream.hub_closes_at.is_some_and(|at| at <= self.now);
                let hub_gone = closed || hub.life != stream.hub_life || hub.process == Process::Dead;
                let agent_gone = stream.is_agent_end_closed
                    || agent.life != stream.agent_life
                    || agent.process == Process::Dead;
                hub_gone && agent_gone
            })
            .map(|(id, _)| *id)
            .collect();
        self.links.streams.retain(|id, _| !dead.contains(id));
    }
}
