//! The simulated world: true time, the queue of events, and everything that takes part.

use std::collections::{BTreeMap, BTreeSet};

use nave_common::application::Application;
use nave_common::failover::{Epoch, Exclusive, Fence};
use nave_common::name::{ApplicationKey, ClusterName};

use super::agent::Agent;
use super::basics::{Clock, Dice, Trace};
use super::cluster::Cluster;
use super::hub::Hub;
use super::invariants::{Checker, Happened, Violation};
use super::link::{Links, StreamId};
use super::{Break, Options};

/// Writes a line into the trace, where anybody reads it.
macro_rules! note {
    ($world:expr, $($format:tt)*) => {
        if $world.trace.is_on() {
            let line = format!($($format)*);
            $world.trace.push($world.now, &line);
        }
    };
}
pub(super) use note;

/// A process: an agent's or a hub's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// It runs.
    Running,
    /// It is stopped and will go on where it was.
    Paused,
    /// It is gone with all that it had in memory.
    Dead,
}

/// Something that is due at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The first message of one direction of a stream may be read.
    Arrive(StreamId, bool),
    /// An agent's timer: a heartbeat, or another attempt to connect.
    AgentTick(usize, u64),
    /// A lease of an agent is over.
    AgentWake(usize, u64),
    /// An agent's write has reached the API server.
    Written(usize, usize, u64),
    /// An assignment is fetched and rendered.
    TakenIn(usize, usize, u64),
    /// Controllers and kubelets of a cluster look at their pods.
    Pods(usize),
    /// The pods of a cluster write to their storage.
    StorageWrites,
    /// A hub's timer.
    HubTick(usize, u64),
    /// Something that a hub decided is to be decided again.
    HubWake(usize, u64),
    /// A hub plans what is dirty.
    HubPlan(usize, u64),
    /// A hub's transaction is through.
    HubCommitted(usize, u64),
    /// A fault begins or ends.
    Fault(super::faults::Fault),
    /// A person does something at random.
    Person,
    /// A person orders an application away from where it is.
    OrderAway(usize),
    /// A person looks at what waits for one.
    Caretaker,
    /// A person looks at moves that are proposed or under way.
    Approver,
    /// People take back what they set.
    Calmed(usize),
    /// An agent starts.
    AgentStart(usize),
    /// A hub starts.
    HubStart(usize),
}

/// One application of the simulation.
#[derive(Debug, Clone)]
pub(super) struct Work {
    /// Its name.
    pub(super) key: ApplicationKey,
    /// As it was first applied.
    pub(super) application: Application,
    /// The rules of Exclusive work.
    pub(super) exclusive: Option<Exclusive>,
    /// How long stopping its pods takes at most, in milliseconds.
    pub(super) grace_ms: u64,
}

impl Work {
    /// Who makes sure that an old copy is dead.
    #[must_use]
    pub(super) fn fence(&self) -> Option<Fence> {
        self.exclusive.as_ref().map(|rules| rules.fence)
    }

    /// Whether silence alone lets it move, after a while.
    #[must_use]
    pub(super) fn is_assumed(&self) -> bool {
        self.exclusive.as_ref().is_some_and(|rules| rules.assume_fenced_after.is_some())
    }
}

/// One cluster with its agent and its way to the hub.
#[derive(Debug)]
pub(super) struct Spoke {
    /// Its name.
    pub(super) name: ClusterName,
    /// Its region.
    pub(super) region: String,
    /// Kubernetes.
    pub(super) cluster: Cluster,
    /// The agent.
    pub(super) agent: Agent,
    /// The clock of the machine on which the agent runs.
    pub(super) clock: Clock,
    /// Nothing gets from the agent to a hub.
    pub(super) is_up_cut: bool,
    /// Nothing gets from a hub to the agent.
    pub(super) is_down_cut: bool,
    /// How long a message takes, in milliseconds, at most.
    pub(super) delay_ms: u64,
    /// How many faults there are in it now.
    pub(super) fault_count: u32,
}

/// The simulated world.
#[derive(Debug)]
pub(super) struct World {
    /// True time in milliseconds.
    pub(super) now: u64,
    /// Chance.
    pub(super) dice: Dice,
    /// What happened.
    pub(super) trace: Trace,
    /// How the protocol is broken on purpose.
    pub(super) broken: Option<Break>,
    /// The applications.
    pub(super) works: Vec<Work>,
    /// The clusters.
    pub(super) spokes: Vec<Spoke>,
    /// The hubs: more than one after a restore.
    pub(super) hubs: Vec<Hub>,
    /// The hub to which agents connect.
    pub(super) address: usize,
    /// Streams between agents and hubs.
    pub(super) links: Links,
    /// The highest epoch that each application's storage has seen.
    pub(super) storage: BTreeMap<usize, Epoch>,
    /// What happened since the last observation.
    pub(super) happened: Vec<Happened>,
    /// Whether there is anything new to observe.
    pub(super) is_changed: bool,
    /// The promises.
    pub(super) checker: Checker,
    /// How many faults of each kind there were, and what they led to.
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// Which faults come.
    pub(super) weather: super::faults::Weather,
    /// Whether faults still come.
    pub(super) is_stormy: bool,
    queue: BTreeMap<(u64, u64), Event>,
    queued_count: u64,
    /// A state of the store that was backed up.
    pub(super) backup: Option<super::store::Records>,
    /// When the liveness lease is over, and how often agents beat, in milliseconds.
    pub(super) times: Times,
    /// Clusters whose loss a person has made final: nothing of them comes back.
    pub(super) condemned: BTreeSet<usize>,
}

/// Durations of the simulated hub, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// How often agents beat.
    pub(super) beat_ms: u64,
    /// How long a cluster counts as alive.
    pub(super) liveness_ms: u64,
    /// How long a cluster must have been sick.
    pub(super) sick_dwell_ms: u64,
}

impl World {
    /// A world without anything in it.
    #[must_use]
    pub(super) fn empty(
        seed: u64,
        options: &Options,
        works: Vec<Work>,
        spokes: Vec<Spoke>,
        dice: Dice,
    ) -> Self {
        let subject = |work: &Work| (work.key.clone(), super::invariants::Subject { fence: work.fence() });
        let checker = Checker::new(works.iter().map(subject).collect());
        let mut world = Self {
            now: 0,
            dice,
            trace: Trace::new(options.trace_lines),
            broken: options.broken,
            works,
            spokes,
            hubs: Vec::new(),
            address: 0,
            links: Links::default(),
            storage: BTreeMap::new(),
            happened: Vec::new(),
            is_changed: true,
            checker,
            counts: BTreeMap::new(),
            weather: super::faults::Weather::All,
            is_stormy: true,
            queue: BTreeMap::new(),
            queued_count: 0,
            backup: None,
            times: Times { beat_ms: 2000, liveness_ms: 10_000, sick_dwell_ms: 20_000 },
            condemned: BTreeSet::new(),
        };
        note!(world, "seed {seed}");
        world
    }

    /// Puts an event into the queue.
    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.queued_count += 1;
        self.queue.insert((at.max(self.now), self.queued_count), event);
    }

    /// Puts an event into the queue, so many milliseconds from now.
    pub(super) fn after(&mut self, millis: u64, event: Event) {
        self.at(self.now + millis, event);
    }

    /// Counts something.
    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Whether the protocol is broken in this way.
    #[must_use]
    pub(super) fn is_broken(&self, how: Break) -> bool {
        self.broken == Some(how)
    }

    /// The next event at or before `until`.
    pub(super) fn next(&mut self, until: u64) -> Option<Event> {
        let entry = self.queue.first_entry()?;
        if entry.key().0 > until {
            return None;
        }
        let ((at, _), event) = entry.remove_entry();
        self.now = at;
        Some(event)
    }

    /// Handles one event and checks the promises.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub(super) fn step(&mut self, event: &Event) -> Result<(), Violation> {
        match *event {
            Event::Arrive(stream, is_up) => self.arrive(stream, is_up),
            Event::AgentTick(spoke, life) => self.agent_tick(spoke, life),
            Event::AgentWake(spoke, life) => self.agent_wake(spoke, life),
            Event::Written(spoke, work, life) => self.written(spoke, work, life),
            Event::TakenIn(spoke, work, life) => self.taken_in(spoke, work, life),
            Event::Pods(spoke) => self.pods(spoke),
            Event::StorageWrites => self.storage_writes(),
            Event::HubTick(hub, life) => self.hub_tick(hub, life),
            Event::HubWake(hub, life) => self.hub_wakes(hub, life),
            Event::HubPlan(hub, life) => self.hub_plan(hub, life),
            Event::HubCommitted(hub, life) => self.hub_committed(hub, life),
            Event::Fault(fault) => self.fault(fault),
            Event::Person => self.person(),
            Event::OrderAway(work) => self.order_away(work),
            Event::Caretaker => self.caretaker(),
            Event::Approver => self.approver(),
            Event::Calmed(hub) => self.calmed(hub),
            Event::AgentStart(spoke) => self.agent_start(spoke),
            Event::HubStart(hub) => self.hub_start(hub),
        }
        self.observe()
    }

    /// The pods of every application with a storage write to it.
    fn storage_writes(&mut self) {
        for spoke in 0..self.spokes.len() {
            for work in 0..self.works.len() {
                if self.works[work].fence() != Some(Fence::Storage) {
                    continue;
                }
                let epochs: Vec<Epoch> = self.spokes[spoke].cluster.running_epochs(work).collect();
                for epoch in epochs {
                    self.storage_write(spoke, work, epoch);
                }
            }
        }
        let pause = self.dice.range(1500, 3000);
        self.after(pause, Event::StorageWrites);
    }

    fn storage_write(&mut self, spoke: usize, work: usize, epoch: Epoch) {
        let highest = self.storage.entry(work).or_default();
        let is_accepted = epoch >= *highest;
        *highest = epoch.max(*highest);
        if !is_accepted {
            self.count("writes refused by a storage");
        }
        let (key, name) = (self.works[work].key.clone(), self.spokes[spoke].name.clone());
        self.happened.push(Happened::Wrote(key, name, epoch, is_accepted));
        self.is_changed = true;
    }
}
