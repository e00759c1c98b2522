//! The faults of a world, drawn from its seed: what they are, how often, how long, and what they touch.

use std::collections::BTreeMap;
use std::time::Duration;

use nave_sim::{Cluster, Failing, Reply, Request};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::hosts::HUB;
use super::{SPOKES, World};

/// How long faults strike, in milliseconds.
pub const STORM_MS: u64 = 300_000;
/// The most faults at once.
const MAX_FAULTS: usize = 2;

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
    /// The cluster's nodes are cut off from its API server: none is Ready, and their pods live.
    NodesDown,
    /// The whole region is dark: the agent is dead and its API server down; workloads live.
    Dark,
    /// The region loses its power: agent, API server, nodes and pods stop. When it is back, the API server is up and pods
    /// start at once, and the agent some seconds later.
    PowerLost,
    /// The hub's disk is full: it reads, and nothing is written.
    StoreFull,
    /// Somebody sets the hub's time of day, by up to half an hour either way.
    WallJump,
}

/// Every kind, and how often it is drawn against the others.
pub const KINDS: [(Kind, u32); 19] = [
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
    (Kind::NodesDown, 3),
    (Kind::Dark, 4),
    (Kind::PowerLost, 3),
    (Kind::StoreFull, 2),
    (Kind::WallJump, 1),
];

/// What a fault acts on; one fault at a time acts on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The hub's process.
    Hub,
    /// The hub's store.
    Store,
    /// The line between a spoke's agent and the hub.
    Line(usize),
    /// A spoke's agent.
    Agent(usize),
    /// A spoke's API server.
    Api(usize),
    /// The hub's time of day.
    Wall,
}

/// A fault that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What it is.
    pub kind: Kind,
    /// The spoke that it strikes; the hub's own faults strike none.
    pub spoke: usize,
    /// When it begins, in milliseconds since faults began to strike.
    pub from_ms: u64,
    /// When it ends.
    pub until_ms: u64,
    /// How much, where there is a how much: such as the milliseconds of a jump.
    pub size: i64,
}

/// What happens to a world, and when: all that its seed decides but for the network's latencies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The faults, in the order in which they begin.
    pub faults: Vec<Fault>,
    /// When a person takes an application out of a region, in milliseconds since faults began to strike; in half of all
    /// worlds after their end, and so never.
    pub edit_ms: u64,
    /// What people wish besides, and when, in milliseconds since faults began to strike.
    pub wishes: Vec<(u64, Wish)>,
    /// By how much each spoke's clock runs fast, and last the hub's, in parts per million.
    pub drifts: [i32; SPOKES.len() + 1],
}

/// What a person wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The application at this place in the list moves to this spoke.
    Move(usize, usize),
    /// A spoke is drained, or that is over.
    Drain(usize, bool),
}

/// How many applications there are to move.
const MOVABLE: usize = 6;

/// Clocks run fast or slow by so much at most, in parts per million: two that go apart stay within the margin of
/// [`nave_common::failover::DRIFT_PARTS`].
const MAX_DRIFT_PPM: i32 = 9_000;
/// How far the time of day is set at most, in milliseconds.
const MAX_JUMP_MS: i64 = 1_800_000;

impl Schedule {
    /// The schedule of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        // A hub that has just started moves nothing for a while: in half of all worlds it does not die.
        let hub_dies = random.random_bool(0.5);
        let edit_ms = random.random_range(0..2 * STORM_MS);
        let drifts = std::array::from_fn(|_| random.random_range(-MAX_DRIFT_PPM..=MAX_DRIFT_PPM));
        let mut faults: Vec<Fault> = Vec::new();
        let mut from_ms = 0;
        while from_ms < STORM_MS {
            let fault = Fault::draw(&mut random, from_ms);
            let going: Vec<_> = faults.iter().filter(|other| other.until_ms > from_ms).collect();
            let is_free =
                going.iter().flat_map(|other| other.parts()).all(|part| !fault.parts().contains(&part));
            if is_free && going.len() < MAX_FAULTS && (hub_dies || fault.kind != Kind::HubCrash) {
                faults.push(fault);
            }
            from_ms += random.random_range(2_000..20_000);
        }
        Self { faults, edit_ms, wishes: wishes(&mut random), drifts }
    }
}

fn wishes(random: &mut StdRng) -> Vec<(u64, Wish)> {
    let mut wishes = Vec::new();
    for _ in 0..random.random_range(0..3) {
        let wish = Wish::Move(random.random_range(0..MOVABLE), random.random_range(0..SPOKES.len()));
        wishes.push((random.random_range(0..STORM_MS), wish));
    }
    if random.random_bool(0.3) {
        let (spoke, at) = (random.random_range(0..SPOKES.len()), random.random_range(0..STORM_MS / 2));
        wishes.push((at, Wish::Drain(spoke, true)));
        wishes.push((at + random.random_range(30_000..STORM_MS / 2), Wish::Drain(spoke, false)));
    }
    wishes.sort_by_key(|(at, _)| *at);
    wishes
}

impl Fault {
    fn draw(random: &mut StdRng, from_ms: u64) -> Self {
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
        let spoke = random.random_range(0..SPOKES.len());
        let size = random.random_range(-MAX_JUMP_MS..=MAX_JUMP_MS);
        Self { kind, spoke, from_ms, until_ms: (from_ms + seconds * 1000).min(STORM_MS), size }
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
            Kind::ApiDown
            | Kind::ApiErrors
            | Kind::ApiSlow
            | Kind::ApiCut
            | Kind::ApiDelay
            | Kind::NodesDown => {
                vec![Part::Api(spoke)]
            }
            Kind::WallJump => vec![Part::Wall],
            Kind::StoreFull => vec![Part::Store],
            Kind::Dark | Kind::PowerLost => vec![Part::Agent(spoke), Part::Api(spoke)],
        }
    }

    /// Whether it is a loss of power that is over but for the agent, which starts when the fault ends: after up to half
    /// of it, and up to fifteen seconds.
    fn power_is_back(&self, now_ms: u64) -> bool {
        let agent_waits_ms = (self.size.unsigned_abs() % 15_000).min((self.until_ms - self.from_ms) / 2);
        self.kind == Kind::PowerLost && now_ms + agent_waits_ms >= self.until_ms
    }

    /// The spoke whose cluster it disturbs.
    #[must_use]
    pub fn disturbs(&self) -> Option<usize> {
        (!matches!(self.kind, Kind::HubCrash | Kind::StoreFull | Kind::WallJump)).then_some(self.spoke)
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
            Kind::NodesDown => self.set_nodes(fault.spoke, "Unknown"),
            Kind::WallJump => self.hub.wall.jump(fault.size),
            Kind::Dark => {
                self.sim.crash(agent);
                self.with_api(fault.spoke, nave_sim::Faults::take_down);
            }
            Kind::PowerLost => {
                self.sim.crash(agent);
                self.with_api(fault.spoke, nave_sim::Faults::take_down);
                self.unpowered.insert(fault.spoke);
            }
            Kind::StoreFull => self.hub.store.set_full(true),
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
            Kind::ApiCut | Kind::WallJump => {}
            Kind::NodesDown => self.set_nodes(fault.spoke, "True"),
            Kind::ApiDelay => self.sim.release(agent, kube),
            Kind::Dark => {
                self.with_api(fault.spoke, nave_sim::Faults::bring_up);
                self.sim.bounce(agent);
            }
            Kind::PowerLost => {
                self.power_on(fault.spoke);
                self.sim.bounce(agent);
            }
            Kind::StoreFull => self.hub.store.set_full(false),
        }
    }

    /// Power is back where it is time for it: pods start with the token that they had.
    pub(super) fn restore_power(&mut self, now_ms: u64) {
        for fault in self.faults.clone() {
            if fault.power_is_back(now_ms) && self.unpowered.contains(&fault.spoke) {
                self.note(&format!("power is back in {}", self.spokes[fault.spoke].name));
                self.power_on(fault.spoke);
            }
        }
    }

    fn power_on(&mut self, spoke: usize) {
        self.unpowered.remove(&spoke);
        self.with_api(spoke, nave_sim::Faults::bring_up);
    }

    fn with_api(&self, spoke: usize, act: impl FnOnce(&nave_sim::Faults)) {
        if let Some(cluster) = self.spokes[spoke].cluster.get() {
            act(cluster.faults());
        }
    }

    /// The cluster's own controller says of every node whether it is Ready.
    fn set_nodes(&self, spoke: usize, status: &str) {
        let Some(cluster) = self.spokes[spoke].cluster.get() else { return };
        for mut node in super::eyes::items(cluster, "/api/v1/nodes") {
            let Some(conditions) = node["status"]["conditions"].as_array_mut() else { continue };
            for condition in conditions.iter_mut().filter(|condition| condition["type"] == "Ready") {
                condition["status"] = Value::from(status);
            }
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            let merge = json!({"status": {"conditions": node["status"]["conditions"]}});
            patch(cluster, &format!("/api/v1/nodes/{name}/status"), &merge);
        }
    }

    fn agent_host(&self, spoke: usize) -> String {
        format!("agent-{}", self.spokes[spoke].name)
    }
}

/// Changes an object from within the cluster, past every fault of its API server.
fn patch(cluster: &Cluster, path: &str, merge: &Value) {
    let reply = cluster.handle(&Request {
        method: "PATCH".into(),
        path: path.to_owned(),
        content_type: "application/merge-patch+json".into(),
        user_agent: "node-controller".into(),
        body: merge.to_string().into(),
        ..Request::default()
    });
    if let Reply::Whole { code, body, .. } = reply {
        assert!(code < 300, "{path}: {code} {}", String::from_utf8_lossy(&body));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_faults_again_and_another_seed_others() {
        assert_eq!(Schedule::of(7), Schedule::of(7));
        assert_ne!(Schedule::of(7), Schedule::of(8));
    }

    #[test]
    fn no_two_faults_act_on_the_same_part_at_once() {
        for seed in 0..200 {
            let faults = Schedule::of(seed).faults;
            assert!(faults.len() > 5, "seed {seed} has only {faults:?}");
            for (place, fault) in faults.iter().enumerate() {
                let later = &faults[place + 1..];
                let clash = later.iter().find(|other| {
                    other.from_ms < fault.until_ms
                        && other.parts().iter().any(|part| fault.parts().contains(part))
                });
                assert_eq!(clash, None, "seed {seed}: {fault:?}");
            }
        }
    }
}
