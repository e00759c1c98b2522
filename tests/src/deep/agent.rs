//! One agent: the real fence machine and the real admission, with a model of the rest around them.

use std::collections::BTreeMap;
use std::sync::Arc;

use nave_agent::connection::admission::{Admission, admit};
use nave_agent::fence::machine::{Kept, Machine, Permit, Renewed, Told};
use nave_common::assignment::{Activity, Assignment, Desired, Generation};
use nave_common::failover::{Epoch, Fence};
use nave_common::health::Health;
use nave_common::name::ApplicationKey;
use nave_common::status::{AssignmentStatus, FenceState, FenceStatus, SyncState};
use nave_common::time::BootTime;
use nave_hub::session::machine::{Held, Hello};

use super::Break;
use super::cluster::{Shape, WRITE_MS};
use super::invariants::Happened;
use super::link::{Down, StreamId, Up};
use super::world::{Event, Process, Spoke, World, note};

/// What an agent keeps on its disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    assignments: BTreeMap<ApplicationKey, Arc<Assignment>>,
    generation: Generation,
    kept: Vec<Kept>,
    boot: u64,
    highest: Epoch,
    term: u64,
}

/// One agent.
#[derive(Debug)]
pub(super) struct Agent {
    /// Whether it runs.
    pub(super) process: Process,
    /// Counts its starts.
    pub(super) life: u64,
    /// Counts the starts of its machine.
    pub(super) boot: u64,
    /// What it keeps.
    pub(super) disk: Disk,
    machine: Machine,
    stream: Option<StreamId>,
    beat: u64,
    answered_at: Option<BootTime>,
    connect_at: Option<BootTime>,
    /// Writes under way, by application.
    writing: BTreeMap<usize, Shape>,
    /// What was last said of each application.
    said: BTreeMap<usize, AssignmentStatus>,
    said_api: bool,
    fencing_since: BTreeMap<usize, (Epoch, BootTime)>,
    /// Assignments that are being fetched and rendered.
    inbox: BTreeMap<usize, Arc<Assignment>>,
}

impl Agent {
    /// An agent that was never started.
    #[must_use]
    pub(super) fn new() -> Self {
        Self {
            process: Process::Dead,
            life: 0,
            boot: 1,
            disk: Disk::default(),
            machine: Machine::default(),
            stream: None,
            beat: 0,
            answered_at: None,
            connect_at: None,
            writing: BTreeMap::new(),
            said: BTreeMap::new(),
            said_api: true,
            fencing_since: BTreeMap::new(),
            inbox: BTreeMap::new(),
        }
    }

    /// What it was told of an application, as far as it knows.
    #[must_use]
    pub(super) fn assignment(&self, key: &ApplicationKey) -> Option<&Arc<Assignment>> {
        self.disk.assignments.get(key)
    }

    /// When the lease that it counts on for an application ends, by its own clock.
    #[must_use]
    pub(super) fn lease_ends_at(&self, key: &ApplicationKey) -> Option<BootTime> {
        self.machine.kept().into_iter().find(|kept| kept.application == *key).map(|kept| kept.ends_at)
    }
}

impl Default for Agent {
    fn default() -> Self {
        Self::new()
    }
}

fn told(assignment: &Assignment) -> Option<Told> {
    let Desired::Run(run) = &assignment.desired else { return None };
    let terms = run.exclusive?;
    Some(match run.activity {
        Activity::Active => Told::Active(terms),
        Activity::Parked => Told::Parked(terms),
    })
}

impl World {
    fn agent_now(&self, spoke: usize) -> BootTime {
        self.spokes[spoke].clock.boot(self.now)
    }

    /// An agent starts: it reads its disk, and fences what it cannot prove.
    pub(super) fn agent_start(&mut self, spoke: usize) {
        if self.spokes[spoke].agent.process != Process::Dead || !self.spokes[spoke].cluster.has_power {
            return;
        }
        let forgets = self.is_broken(Break::AgentForgetsEpoch);
        let agent = &mut self.spokes[spoke].agent;
        let disk = std::mem::take(&mut agent.disk);
        let mut kept = if disk.boot == agent.boot { disk.kept.clone() } else { Vec::new() };
        if forgets {
            for one in &mut kept {
                if let Some(Told::Active(terms) | Told::Parked(terms)) =
                    disk.assignments.get(&one.application).and_then(|held| told(held))
                {
                    one.epoch = terms.epoch;
                }
            }
        }
        let mut machine = Machine::new(kept, disk.highest, disk.term);
        for (key, assignment) in &disk.assignments {
            let _ = machine.tell(key, told(assignment));
        }
        *agent = Agent {
            process: Process::Running,
            life: agent.life + 1,
            boot: agent.boot,
            disk,
            machine,
            ..Agent::new()
        };
        agent.disk.boot = agent.boot;
        let life = agent.life;
        note!(self, "{} agent starts", self.spokes[spoke].name);
        self.at(self.now, Event::AgentTick(spoke, life));
        self.agent_looks(spoke);
        self.agent_plans_wake(spoke);
    }

    /// An agent's timer: heartbeats, reconnects, and another look at the cluster.
    pub(super) fn agent_tick(&mut self, spoke: usize, life: u64) {
        if self.spokes[spoke].agent.life != life || self.spokes[spoke].agent.process == Process::Dead {
            return;
        }
        let beat_ms = self.times.beat_ms;
        self.after(beat_ms, Event::AgentTick(spoke, life));
        if self.spokes[spoke].agent.process == Process::Paused {
            return;
        }
        let now = self.agent_now(spoke);
        let silence = std::time::Duration::from_millis(self.times.liveness_ms);
        let agent = &self.spokes[spoke].agent;
        if let Some(stream) = agent.stream
            && agent.answered_at.is_some_and(|at| now.since(at) > silence)
        {
            note!(self, "{} gives its stream up: no answer", self.spokes[spoke].name);
            self.agent_closes(spoke, stream);
        }
        if self.spokes[spoke].agent.stream.is_none() {
            self.agent_connects(spoke, now);
        }
        self.agent_beats(spoke);
        self.agent_looks(spoke);
    }

    fn agent_closes(&mut self, spoke: usize, stream: StreamId) {
        self.send_up(stream, Up::End);
        if let Some(stream) = self.links.get_mut(stream) {
            stream.is_agent_end_closed = true;
        }
        let wait = self.dice.range(0, 5000);
        let now = self.agent_now(spoke);
        let agent = &mut self.spokes[spoke].agent;
        agent.stream = None;
        agent.connect_at = Some(now.plus(std::time::Duration::from_millis(wait)));
        self.sweep_streams();
    }

    fn agent_connects(&mut self, spoke: usize, now: BootTime) {
        if self.spokes[spoke].agent.connect_at.is_some_and(|at| at > now) {
            return;
        }
        let Some(stream) = self.connect(spoke) else { return };
        let agent = &mut self.spokes[spoke].agent;
        agent.stream = Some(stream);
        agent.answered_at = Some(now);
        agent.beat = 0;
        agent.machine.reconnected();
        agent.said.clear();
        agent.said_api = true;
        let held = |assignment: &Arc<Assignment>| Held {
            generation: assignment.generation,
            desired: assignment.desired.digest(),
        };
        let hello = Hello {
            generation: agent.disk.generation,
            held: agent.disk.assignments.iter().map(|(key, it)| (key.clone(), held(it))).collect(),
        };
        note!(self, "{} connects, stream {stream}", self.spokes[spoke].name);
        self.send_up(stream, Up::Hello(Box::new(hello)));
    }

    fn agent_beats(&mut self, spoke: usize) {
        let now = self.agent_now(spoke);
        let agent = &mut self.spokes[spoke].agent;
        let Some(stream) = agent.stream else { return };
        agent.beat += 1;
        let number = agent.beat;
        let asked = agent.machine.beat(number, now);
        self.send_up(stream, Up::Beat(number, asked));
    }

    /// An agent reads a message.
    pub(super) fn agent_receives(&mut self, spoke: usize, stream: StreamId, message: Down) {
        if self.spokes[spoke].agent.stream != Some(stream) {
            return;
        }
        let now = self.agent_now(spoke);
        match message {
            Down::Assign(assignment) => self.agent_takes_in(spoke, assignment),
            Down::Forget(key) => {
                let agent = &mut self.spokes[spoke].agent;
                agent.disk.assignments.remove(&key);
                let _ = agent.machine.tell(&key, None);
            }
            Down::Ack(number, term, renewed) => {
                let agent = &mut self.spokes[spoke].agent;
                agent.answered_at = Some(now);
                agent.machine.acknowledged(number, term, &renewed);
                self.agent_keeps(spoke);
                if !renewed.is_empty() {
                    self.agent_looks(spoke);
                    self.agent_plans_wake(spoke);
                }
            }
            Down::End => {
                note!(self, "{} stream {stream} is ended by the hub", self.spokes[spoke].name);
                self.agent_closes(spoke, stream);
            }
        }
    }

    fn agent_keeps(&mut self, spoke: usize) {
        let agent = &mut self.spokes[spoke].agent;
        agent.disk.kept = agent.machine.kept();
        agent.disk.highest = agent.machine.highest();
        agent.disk.term = agent.machine.term();
    }

    /// Bundles are fetched beside the stream, so answers to heartbeats may overtake an assignment.
    fn agent_takes_in(&mut self, spoke: usize, assignment: Arc<Assignment>) {
        let Some(work) = self.works.iter().position(|work| work.key == assignment.application) else {
            return;
        };
        let takes = if self.dice.chance(10) { self.dice.range(50, 4000) } else { self.dice.range(1, 50) };
        let agent = &mut self.spokes[spoke].agent;
        let life = agent.life;
        let waits = agent.inbox.get(&work).is_some_and(|other| other.generation > assignment.generation);
        if !waits {
            agent.inbox.insert(work, assignment);
            self.after(takes, Event::TakenIn(spoke, work, life));
        }
    }

    /// An assignment that waited is ready to be taken.
    pub(super) fn taken_in(&mut self, spoke: usize, work: usize, life: u64) {
        let agent = &mut self.spokes[spoke].agent;
        if agent.life != life || agent.process == Process::Dead {
            return;
        }
        if agent.process == Process::Paused {
            self.after(1000, Event::TakenIn(spoke, work, life));
            return;
        }
        if let Some(assignment) = agent.inbox.remove(&work) {
            self.agent_is_told(spoke, &assignment);
        }
    }

    fn agent_is_told(&mut self, spoke: usize, assignment: &Arc<Assignment>) {
        let forgets = self.is_broken(Break::AgentForgetsEpoch);
        let name = self.spokes[spoke].name.clone();
        let agent = &mut self.spokes[spoke].agent;
        let key = &assignment.application;
        let held = agent.disk.assignments.get(key).map(|held| &**held);
        match admit(&name, held, agent.disk.generation, assignment) {
            Admission::Known => return,
            Admission::Refuse(why) => {
                note!(self, "{name} refuses {key}: {why}");
                self.count("assignments refused");
                return;
            }
            Admission::Take => {}
        }
        agent.disk.assignments.insert(key.clone(), assignment.clone());
        agent.disk.generation = agent.disk.generation.max(assignment.generation);
        let told = told(assignment);
        if forgets && let Some(Told::Active(terms)) = told {
            let mut kept = agent.machine.kept();
            for one in kept.iter_mut().filter(|one| one.application == *key) {
                one.epoch = terms.epoch;
            }
            let mut machine = Machine::new(kept, agent.machine.highest(), agent.machine.term());
            for (key, assignment) in &agent.disk.assignments {
                let _ = machine.tell(key, self::told(assignment));
            }
            agent.machine = machine;
        }
        let asks = agent.machine.tell(key, told);
        note!(self, "{name} is told {key} {}: {told:?}", assignment.generation);
        self.agent_keeps(spoke);
        if asks {
            self.agent_beats(spoke);
        }
        self.agent_looks(spoke);
        self.agent_plans_wake(spoke);
    }

    fn agent_plans_wake(&mut self, spoke: usize) {
        let now = self.agent_now(spoke);
        let agent = &self.spokes[spoke].agent;
        if let Some(at) = agent.machine.wake_at(now) {
            let (at, life) = (self.spokes[spoke].clock.true_at(at), agent.life);
            self.at(at, Event::AgentWake(spoke, life));
        }
    }

    /// A lease may be over.
    pub(super) fn agent_wake(&mut self, spoke: usize, life: u64) {
        let agent = &self.spokes[spoke].agent;
        if agent.life != life || agent.process != Process::Running {
            return;
        }
        self.agent_looks(spoke);
        self.agent_plans_wake(spoke);
    }

    /// What the agent wants of one application now.
    fn agent_wants(&self, spoke: usize, work: usize) -> Option<Shape> {
        let agent = &self.spokes[spoke].agent;
        let key = &self.works[work].key;
        let assignment = agent.disk.assignments.get(key)?;
        let Desired::Run(run) = &assignment.desired else { return Some(Shape::Gone) };
        if !run.activity.is_active() {
            return Some(Shape::Parked);
        }
        let Some(terms) = run.exclusive else { return Some(Shape::Active(Epoch::default())) };
        let is_permitted = agent.machine.permit(key, self.agent_now(spoke)) == Permit::Run;
        let is_broken = self.is_broken(Break::NoSelfFence);
        Some(if is_permitted || is_broken { Shape::Active(terms.epoch) } else { Shape::Parked })
    }

    /// The agent compares its cluster with what it wants, writes what differs, and says what it sees.
    pub(super) fn agent_looks(&mut self, spoke: usize) {
        if self.spokes[spoke].agent.process != Process::Running {
            return;
        }
        for work in 0..self.works.len() {
            let Some(wanted) = self.agent_wants(spoke, work) else { continue };
            let cluster = &self.spokes[spoke].cluster;
            let agent = &self.spokes[spoke].agent;
            if cluster.has_api && cluster.shape(work) != wanted && !agent.writing.contains_key(&work) {
                let life = agent.life;
                self.spokes[spoke].agent.writing.insert(work, wanted);
                let takes = self.dice.range(1, WRITE_MS);
                self.after(takes, Event::Written(spoke, work, life));
            }
            self.agent_says(spoke, work, wanted);
        }
        let has_api = self.spokes[spoke].cluster.has_api;
        let agent = &mut self.spokes[spoke].agent;
        if agent.said_api != has_api
            && let Some(stream) = agent.stream
        {
            agent.said_api = has_api;
            self.send_up(stream, Up::Api(has_api));
        }
    }

    /// A write has reached the API server, whether or not the agent that sent it still lives.
    pub(super) fn written(&mut self, spoke: usize, work: usize, life: u64) {
        let is_same_life = self.spokes[spoke].agent.life == life;
        let shape = self.spokes[spoke].agent.writing.get(&work).copied();
        if is_same_life {
            self.spokes[spoke].agent.writing.remove(&work);
        }
        if let Some(shape) = shape.filter(|_| is_same_life && self.spokes[spoke].cluster.has_api) {
            note!(self, "{} {} stands as {shape:?}", self.spokes[spoke].name, self.works[work].key);
            self.spokes[spoke].cluster.shapes.insert(work, shape);
            self.is_changed = true;
            if shape == Shape::Gone {
                let (key, name) = (self.works[work].key.clone(), self.spokes[spoke].name.clone());
                self.happened.push(Happened::Deleted(key, name));
            }
            self.look_at_pods(spoke, self.now);
        }
        self.agent_looks(spoke);
    }

    /// Says what is seen of one application, where that is news.
    fn agent_says(&mut self, spoke: usize, work: usize, wanted: Shape) {
        let Some(stream) = self.spokes[spoke].agent.stream else { return };
        let Some(status) = self.agent_sees(spoke, work, wanted) else { return };
        let agent = &mut self.spokes[spoke].agent;
        let is_same = agent.said.get(&work).is_some_and(|said| {
            let mut said = said.clone();
            said.observed_at = status.observed_at;
            said == status
        });
        if !is_same {
            agent.said.insert(work, status.clone());
            self.send_up(stream, Up::Status(Box::new(status)));
        }
    }

    fn agent_sees(&mut self, spoke: usize, work: usize, wanted: Shape) -> Option<AssignmentStatus> {
        let now = self.agent_now(spoke);
        let wall = self.spokes[spoke].clock.wall(self.now);
        let fence = self.fence_status(spoke, work, wanted, now);
        let Spoke { cluster, agent, .. } = &self.spokes[spoke];
        let assignment = agent.disk.assignments.get(&self.works[work].key)?;
        let is_as_wanted = cluster.has_api && cluster.shape(work) == wanted;
        let (applied, is_right) = match (&assignment.desired, wanted) {
            (Desired::Run(run), Shape::Parked) if run.activity.is_active() => (None, false),
            (Desired::Run(run), _) => (is_as_wanted.then_some(run.rendering), is_as_wanted),
            (Desired::Remove, _) => (None, is_as_wanted),
        };
        let health = match wanted {
            Shape::Active(epoch) if cluster.is_well(work, epoch) => Health::Healthy,
            Shape::Active(_) if cluster.is_sore.get(&work) == Some(&true) => Health::Degraded,
            Shape::Active(_) => Health::Progressing,
            Shape::Parked => Health::Suspended,
            Shape::Gone => Health::Missing,
        };
        Some(AssignmentStatus {
            application: self.works[work].key.clone(),
            generation: assignment.generation,
            applied,
            removed: is_as_wanted && wanted == Shape::Gone,
            sync: if is_right { SyncState::Synced } else { SyncState::Syncing },
            health: if cluster.has_api { health } else { Health::Unknown },
            reason: String::new(),
            object_count: 1,
            healthy_count: u32::from(health == Health::Healthy),
            drift_count: 0,
            objects: Vec::new(),
            fence,
            observed_at: wall,
        })
    }

    /// How the stopping of Exclusive work stands, as the agent can know it.
    fn fence_status(
        &mut self,
        spoke: usize,
        work: usize,
        wanted: Shape,
        now: BootTime,
    ) -> Option<FenceStatus> {
        let key = self.works[work].key.clone();
        let forgets = self.is_broken(Break::AgentForgetsEpoch);
        let Spoke { cluster, agent, .. } = &mut self.spokes[spoke];
        let Some(Told::Active(terms) | Told::Parked(terms)) =
            agent.disk.assignments.get(&key).and_then(|it| told(it))
        else {
            return None;
        };
        if wanted != Shape::Parked {
            agent.fencing_since.remove(&work);
            return None;
        }
        let (epoch, since) = *agent.fencing_since.entry(work).or_insert((terms.epoch, now));
        if epoch != terms.epoch {
            agent.fencing_since.insert(work, (terms.epoch, now));
        }
        let is_stopped = cluster.has_api
            && !matches!(cluster.shape(work), Shape::Active(_))
            && !agent.writing.contains_key(&work)
            && !cluster.has_pods(work)
            || forgets;
        let timeout = std::time::Duration::from_millis(terms.fence_timeout_ms);
        let state = if is_stopped {
            FenceState::Confirmed
        } else if now.since(since) > timeout {
            FenceState::Unconfirmed
        } else {
            FenceState::Stopping
        };
        Some(FenceStatus {
            epoch: terms.epoch,
            state,
            reason: String::new(),
            since: nave_common::time::Timestamp::EPOCH,
        })
    }

    /// By when pods of an application are gone if nothing renews their lease; `None` where no lease bounds them.
    pub(super) fn lease_bound(&self, spoke: usize, work: usize) -> Option<u64> {
        if self.works[work].fence() != Some(Fence::Agent) {
            return None;
        }
        let spoke = &self.spokes[spoke];
        let ends = spoke.agent.lease_ends_at(&self.works[work].key);
        Some(ends.map_or(0, |at| spoke.clock.true_at(at)))
    }

    /// An agent's process stops with everything that it had in memory.
    pub(super) fn agent_dies(&mut self, spoke: usize) {
        let agent = &mut self.spokes[spoke].agent;
        agent.process = Process::Dead;
        agent.life += 1;
        agent.stream = None;
        self.sweep_streams();
    }
}

/// A renewal as the wire carries it.
#[must_use]
pub(super) fn renewed(renewal: nave_hub::session::leases::Renewal) -> Renewed {
    Renewed { application: renewal.application, epoch: renewal.epoch, duration: renewal.duration }
}

impl World {
    /// An agent notices at once that its stream broke.
    pub(super) fn agent_forgets(&mut self, stream: StreamId) {
        let Some(it) = self.links.get(stream) else { return };
        let agent = &mut self.spokes[it.spoke].agent;
        if agent.stream == Some(stream) {
            agent.stream = None;
            agent.connect_at = None;
        }
    }
}

impl Agent {
    /// Whether it was told that an application does not run here.
    #[must_use]
    pub(super) fn is_told_to_park(&self, key: &ApplicationKey) -> bool {
        let told = self.disk.assignments.get(key).map(|assignment| &assignment.desired);
        match told {
            Some(Desired::Run(run)) => !run.activity.is_active(),
            Some(Desired::Remove) => true,
            None => false,
        }
    }

    /// A person has taken an application out of its hands.
    pub(super) fn is_cleaned(&mut self, key: &ApplicationKey) {
        self.disk.assignments.remove(key);
        let _ = self.machine.tell(key, None);
        self.writing.clear();
        self.inbox.clear();
    }
}
