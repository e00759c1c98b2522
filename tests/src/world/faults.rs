//! The faults of a world, drawn from its seed: what they are, how often, how long, and what they touch.

use std::collections::BTreeMap;
use std::time::Duration;

use nave_sim::Failing;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::World;
use super::hosts::HUB;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Agent and hub cannot reach each other, and what was under way is lost.
    Partition,
    /// What the agent sends does not reach the hub.
    OneWayUp,
    /// What the hub sends does not reach the agent.
    OneWayDown,
    /// What agent and hub send each other arrives late, all at once.
    Delay,
    /// The line between agent and hub breaks now and then.
    Drop,
    /// The line between agent and hub is slow.
    Slow,
    /// The agent dies, and comes back with its disk.
    AgentCrash,
    /// The agent dies, and comes back with an empty disk.
    AgentDiskLost,
    /// The hub dies, and comes back with its store.
    HubCrash,
    /// The API server is down while its workloads live.
    ApiDown,
    /// The API server refuses a third of all requests.
    ApiErrors,
    /// The API server answers late.
    ApiSlow,
    /// Every connection to the API server breaks.
    ApiCut,
    /// The line between agent and API server stands still.
    ApiDelay,
    /// The whole region is dark: the agent is dead and its API server down; workloads live.
    Dark,
}

/// Every kind, and how often it is drawn against the others.
pub const KINDS: [(Kind, u32); 15] = [
    (Kind::Partition, 6),
    (Kind::OneWayUp, 3),
    (Kind::OneWayDown, 3),
    (Kind::Delay, 3),
    (Kind::Drop, 2),
    (Kind::Slow, 2),
    (Kind::AgentCrash, 4),
    (Kind::AgentDiskLost, 2),
    (Kind::HubCrash, 2),
    (Kind::ApiDown, 4),
    (Kind::ApiErrors, 2),
    (Kind::ApiSlow, 2),
    (Kind::ApiCut, 2),
    (Kind::ApiDelay, 2),
    (Kind::Dark, 4),
];

/// What a fault acts on; one fault at a time acts on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The hub's process.
    Hub,
    /// The line between a spoke's agent and the hub.
    Line(usize),
    /// A spoke's agent.
    Agent(usize),
    /// A spoke's API server.
    Api(usize),
}

/// A fault that lasts.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// What it is.
    pub kind: Kind,
    /// The spoke that it strikes; the hub's own faults strike none.
    pub spoke: usize,
    /// When it ends, in milliseconds since the world began.
    pub until_ms: u64,
}

impl Fault {
    /// Draws one for a world with so many spokes.
    pub fn draw(random: &mut StdRng, spokes: usize, now_ms: u64) -> Self {
        let total: u32 = KINDS.iter().map(|(_, weight)| weight).sum();
        let mut ticket = random.random_range(0..total);
        let mut kind = Kind::Partition;
        for (candidate, weight) in KINDS {
            kind = candidate;
            if ticket < weight {
                break;
            }
            ticket -= weight;
        }
        // Some are shorter than a lease, some much longer.
        let seconds: u64 = match random.random_range(0..3) {
            0 => random.random_range(1..8),
            1 => random.random_range(8..25),
            _ => random.random_range(25..90),
        };
        let spoke = random.random_range(0..spokes);
        Self { kind, spoke, until_ms: now_ms + seconds * 1000 }
    }

    /// What it acts on.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let spoke = self.spoke;
        match self.kind {
            Kind::Partition | Kind::OneWayUp | Kind::OneWayDown | Kind::Delay | Kind::Drop | Kind::Slow => {
                vec![Part::Line(spoke)]
            }
            Kind::AgentCrash | Kind::AgentDiskLost => vec![Part::Agent(spoke)],
            Kind::HubCrash => vec![Part::Hub],
            Kind::ApiDown | Kind::ApiErrors | Kind::ApiSlow | Kind::ApiCut | Kind::ApiDelay => {
                vec![Part::Api(spoke)]
            }
            Kind::Dark => vec![Part::Agent(spoke), Part::Api(spoke)],
        }
    }

    /// The spoke whose cluster it disturbs.
    #[must_use]
    pub fn disturbs(&self) -> Option<usize> {
        (self.kind != Kind::HubCrash).then_some(self.spoke)
    }
}

/// How many faults of each kind there were.
pub type Counts = BTreeMap<Kind, u64>;

impl World<'_> {
    /// Lets a fault begin.
    pub(super) fn strike(&mut self, fault: Fault) {
        let (agent, kube) = (self.agent_host(fault.spoke), self.spokes[fault.spoke].kube_host.clone());
        match fault.kind {
            Kind::Partition => self.sim.partition(agent, HUB),
            Kind::OneWayUp => self.sim.partition_oneway(agent, HUB),
            Kind::OneWayDown => self.sim.partition_oneway(HUB, agent),
            Kind::Delay => self.sim.hold(agent, HUB),
            Kind::Drop => self.sim.set_link_fail_rate(agent, HUB, 0.02),
            Kind::Slow => {
                self.sim.set_link_max_message_latency(agent, HUB, Duration::from_millis(900));
            }
            Kind::AgentCrash => self.sim.crash(agent),
            Kind::AgentDiskLost => {
                self.sim.crash(agent);
                self.spokes[fault.spoke].forget();
            }
            Kind::HubCrash => self.sim.crash(HUB),
            Kind::ApiDown => self.with_api(fault.spoke, nave_sim::Faults::take_down),
            Kind::ApiErrors => {
                self.with_api(fault.spoke, |faults| faults.set_error_rate(0.3, Failing::code(503)));
            }
            Kind::ApiSlow => self.with_api(fault.spoke, |faults| {
                faults.set_latency(Duration::from_millis(300), Duration::from_millis(900));
            }),
            Kind::ApiCut => self.with_api(fault.spoke, nave_sim::Faults::cut_connections),
            Kind::ApiDelay => self.sim.hold(agent, kube),
            Kind::Dark => {
                self.sim.crash(agent);
                self.with_api(fault.spoke, nave_sim::Faults::take_down);
            }
        }
    }

    /// Ends a fault.
    pub(super) fn heal(&mut self, fault: Fault) {
        let (agent, kube) = (self.agent_host(fault.spoke), self.spokes[fault.spoke].kube_host.clone());
        match fault.kind {
            Kind::Partition => self.sim.repair(agent, HUB),
            Kind::OneWayUp => self.sim.repair_oneway(agent, HUB),
            Kind::OneWayDown => self.sim.repair_oneway(HUB, agent),
            Kind::Delay => self.sim.release(agent, HUB),
            Kind::Drop => {
                self.sim.set_link_fail_rate(agent.clone(), HUB, 0.0);
                self.sim.release(agent, HUB);
            }
            Kind::Slow => {
                self.sim.set_link_max_message_latency(agent, HUB, super::MAX_LATENCY);
            }
            Kind::AgentCrash | Kind::AgentDiskLost => self.sim.bounce(agent),
            Kind::HubCrash => self.sim.bounce(HUB),
            Kind::ApiErrors | Kind::ApiSlow => self.with_api(fault.spoke, nave_sim::Faults::clear),
            Kind::ApiDown => self.with_api(fault.spoke, nave_sim::Faults::bring_up),
            Kind::ApiCut => {}
            Kind::ApiDelay => self.sim.release(agent, kube),
            Kind::Dark => {
                self.with_api(fault.spoke, nave_sim::Faults::bring_up);
                self.sim.bounce(agent);
            }
        }
    }

    fn with_api(&self, spoke: usize, act: impl FnOnce(&nave_sim::Faults)) {
        if let Some(cluster) = self.spokes[spoke].cluster.get() {
            act(cluster.faults());
        }
    }

    fn agent_host(&self, spoke: usize) -> String {
        format!("agent-{}", self.spokes[spoke].name)
    }
}
