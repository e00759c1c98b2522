//! One hub: the real leases and the real session machine, with a model of streams, signals and commits around them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nave_common::assignment::{Activity, Desired};
use nave_common::failover::Epoch;
use nave_common::health::Health;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::status::{AssignmentStatus, Liveness};
use nave_common::time::{BootTime, Timestamp};
use nave_hub::plan::failover::Now;
use nave_hub::session::leases::{Leases, Promise, Renewal};
use nave_hub::session::machine::{Hello, Machine, Step, Wanted};

use super::Break;
use super::agent::renewed;
use super::basics::Clock;
use super::hub_plan::Pending;
use super::link::{Down, StreamId, Up};
use super::store::Records;
use super::world::{Event, Process, World, note};

/// One hub, and its store.
#[derive(Debug)]
pub(super) struct Hub {
    /// Whether it runs.
    pub(super) process: Process,
    /// Counts its starts.
    pub(super) life: u64,
    /// The clock of its machine.
    pub(super) clock: Clock,
    /// What is durable.
    pub(super) store: Records,
    /// What the process has read of it.
    pub(super) view: Records,
    /// Whether people have made sure that it never starts again.
    pub(super) is_retired: bool,
    /// Whether commits fail at present.
    pub(super) is_store_sick: bool,
    pub(super) leases: Leases,
    pub(super) started_at: BootTime,
    pub(super) sessions: BTreeMap<usize, Session>,
    pub(super) heard_at: BTreeMap<usize, BootTime>,
    pub(super) liveness: BTreeMap<usize, Liveness>,
    pub(super) well_since: BTreeMap<usize, BootTime>,
    pub(super) sick_since: BTreeMap<usize, BootTime>,
    pub(super) reported: BTreeSet<usize>,
    pub(super) differing: BTreeSet<(ApplicationKey, usize)>,
    pub(super) ahead: bool,
    pub(super) statuses: BTreeMap<(ApplicationKey, usize), AssignmentStatus>,
    pub(super) degraded_since: BTreeMap<(ApplicationKey, usize), BootTime>,
    pub(super) was_healthy: BTreeSet<(ApplicationKey, usize)>,
    pub(super) drained_since: BTreeMap<usize, BootTime>,
    pub(super) dirty: BTreeSet<ApplicationKey>,
    pub(super) wakes: BTreeMap<ApplicationKey, BootTime>,
    pub(super) pending: Option<Pending>,
    pub(super) plan_at: Option<u64>,
    pub(super) doubt: super::doubt::Doubt,
}

/// One agent's stream, as the hub has it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) stream: StreamId,
    machine: Machine,
    term: u64,
}

impl Hub {
    /// A hub that was never started.
    #[must_use]
    pub(super) fn new(store: Records, clock: Clock) -> Self {
        let zero = BootTime::from_duration(Duration::ZERO);
        Self {
            process: Process::Dead,
            life: 0,
            clock,
            view: store.clone(),
            store,
            is_retired: false,
            is_store_sick: false,
            leases: Leases::new(zero),
            started_at: zero,
            sessions: BTreeMap::new(),
            heard_at: BTreeMap::new(),
            liveness: BTreeMap::new(),
            well_since: BTreeMap::new(),
            sick_since: BTreeMap::new(),
            reported: BTreeSet::new(),
            differing: BTreeSet::new(),
            ahead: false,
            statuses: BTreeMap::new(),
            degraded_since: BTreeMap::new(),
            was_healthy: BTreeSet::new(),
            drained_since: BTreeMap::new(),
            dirty: BTreeSet::new(),
            wakes: BTreeMap::new(),
            pending: None,
            plan_at: None,
            doubt: super::doubt::Doubt::started(Now { boot: zero, wall: Timestamp::EPOCH }, Duration::ZERO),
        }
    }
}

/// What may be promised of an application: what the hub has read of its store.
fn promise(
    view: &Records,
    key: &ApplicationKey,
    lease: Duration,
    hold: Option<Duration>,
    broken: Option<Break>,
) -> Option<Promise> {
    let grant = view.states.get(key)?.grant.as_ref()?;
    let is_blanket = broken == Some(Break::BlanketRenewal);
    if view.held.contains_key(key) || (grant.release.is_some() && !is_blanket) {
        return None;
    }
    let told = view.told.get(key)?.get(&grant.cluster)?;
    let Desired::Run(run) = &told.desired else { return None };
    let is_told = run.activity == Activity::Active && run.exclusive.is_some_and(|it| it.epoch == grant.epoch);
    if !is_told && !is_blanket {
        return None;
    }
    let wanted = hold.map_or(lease, |rest| rest.max(lease));
    let is_durable = broken != Some(Break::PromiseNotDurable);
    let duration = if is_durable { wanted.min(grant.promised()) } else { wanted };
    Some(Promise { cluster: grant.cluster.clone(), epoch: grant.epoch, duration })
}

impl World {
    pub(super) fn hub_now(&self, hub: usize) -> BootTime {
        self.hubs[hub].clock.boot(self.now)
    }

    /// A hub starts on what its store holds.
    pub(super) fn hub_start(&mut self, hub: usize) {
        if self.hubs[hub].process != Process::Dead || self.hubs[hub].is_retired {
            return;
        }
        let now = self.hub_now(hub);
        let old = &mut self.hubs[hub];
        let store = old.store.clone();
        let (clock, life) = (old.clock, old.life + 1);
        *old = Hub::new(store, clock);
        old.process = Process::Running;
        old.life = life;
        old.leases = Leases::new(now);
        old.started_at = now;
        old.dirty = old.store.applications.keys().cloned().collect();
        let longest =
            old.store.states.values().filter_map(|it| it.grant.as_ref()).map(|it| it.promised()).max();
        let both = Now { boot: now, wall: old.clock.wall(self.now) };
        old.doubt = super::doubt::Doubt::started(both, longest.unwrap_or_default());
        note!(self, "hub {hub} starts, term {}", self.hubs[hub].store.term);
        self.is_changed = true;
        self.at(self.now, Event::HubTick(hub, life));
    }

    /// A hub's process stops with everything that it had in memory; what it was committing is made, or not.
    pub(super) fn hub_dies(&mut self, hub: usize) {
        if let Some(pending) = self.hubs[hub].pending.take()
            && self.dice.chance(50)
        {
            self.hub_makes(hub, &pending);
        }
        let old = &mut self.hubs[hub];
        old.process = Process::Dead;
        old.life += 1;
        self.is_changed = true;
        self.sweep_streams();
    }

    /// A hub reads a message.
    pub(super) fn hub_receives(&mut self, hub: usize, spoke: usize, stream: StreamId, message: Up) {
        let now = self.hub_now(hub);
        if !matches!(message, Up::End) {
            self.hubs[hub].heard_at.insert(spoke, now);
        }
        match message {
            Up::Hello(hello) => self.hub_greets(hub, spoke, stream, *hello),
            Up::Beat(number, asked) => self.hub_answers(hub, spoke, stream, number, &asked),
            Up::Status(status) => self.hub_notes(hub, spoke, *status),
            Up::Api(is_up) => {
                if is_up {
                    self.hubs[hub].sick_since.remove(&spoke);
                } else {
                    self.hubs[hub].sick_since.entry(spoke).or_insert(now);
                }
                self.hub_doubts_all(hub);
            }
            Up::End => {
                if self.hubs[hub].sessions.get(&spoke).is_some_and(|session| session.stream == stream) {
                    self.hubs[hub].sessions.remove(&spoke);
                }
                if let Some(stream) = self.links.get_mut(stream) {
                    stream.hub_closes_at = Some(self.now);
                }
            }
        }
    }

    fn hub_greets(&mut self, hub: usize, spoke: usize, stream: StreamId, hello: Hello) {
        // The older stream of that cluster ends by itself; what it has read by then still counts.
        if let Some(older) = self.hubs[hub].sessions.remove(&spoke) {
            let linger = self.dice.range(0, 50);
            self.send_down(older.stream, Down::End);
            if let Some(older) = self.links.get_mut(older.stream) {
                older.hub_closes_at = Some(self.now + linger);
            }
        }
        let name = self.spokes[spoke].name.clone();
        let view = self.hubs[hub].view.clone();
        let mine = |(key, told): (&ApplicationKey, &std::sync::Arc<BTreeMap<ClusterName, _>>)| {
            let told: Option<&std::sync::Arc<nave_common::assignment::Assignment>> = told.get(&name);
            told.filter(|_| !view.held.contains_key(key)).cloned()
        };
        let told: Vec<_> = view.told.iter().filter_map(mine).collect();
        let wanted = told.iter().map(|assignment| (&assignment.application, Wanted::from(&**assignment)));
        self.hub_hears_of(hub, spoke, &hello);
        let (machine, opening) = Machine::open(hello, view.generation(), wanted);
        let session = Session { stream, machine, term: view.term };
        let it = &mut self.hubs[hub];
        it.sessions.insert(spoke, session);
        it.sick_since.remove(&spoke);
        it.reported.insert(spoke);
        self.hub_sends(hub, spoke, &opening.pending);
        self.hub_doubts_all(hub);
    }

    /// Sends what an agent has to be told of these applications.
    pub(super) fn hub_sends(&mut self, hub: usize, spoke: usize, keys: &BTreeSet<ApplicationKey>) {
        let name = self.spokes[spoke].name.clone();
        let mut messages = Vec::new();
        let it = &mut self.hubs[hub];
        let Some(session) = it.sessions.get_mut(&spoke) else { return };
        for key in keys.iter().filter(|key| !it.view.held.contains_key(*key)) {
            let told = it.view.told.get(key).and_then(|told| told.get(&name));
            match session.machine.look(key, told.map(|assignment| assignment.generation)) {
                Step::Send => {
                    let Some(assignment) = told else { continue };
                    session.machine.sent(key.clone(), Wanted::from(&**assignment));
                    messages.push(Down::Assign(assignment.clone()));
                }
                Step::Forget => {
                    session.machine.forgotten(key);
                    messages.push(Down::Forget(key.clone()));
                }
                Step::Nothing => {}
            }
        }
        let stream = session.stream;
        for message in messages {
            self.send_down(stream, message);
        }
    }

    fn hub_answers(
        &mut self,
        hub: usize,
        spoke: usize,
        stream: StreamId,
        number: u64,
        asked: &[(ApplicationKey, Epoch)],
    ) {
        let received_at = self.hub_now(hub);
        let name = self.spokes[spoke].name.clone();
        let hold = self.hub_hold(hub);
        let broken = self.broken;
        let leases: BTreeMap<&ApplicationKey, Duration> = self
            .works
            .iter()
            .filter_map(|work| Some((&work.key, work.exclusive.as_ref()?.lease_duration.0)))
            .collect();
        let it = &mut self.hubs[hub];
        let view = &it.view;
        let promised = |key: &ApplicationKey| promise(view, key, *leases.get(key)?, hold, broken);
        let renewals: Vec<Renewal> = if broken == Some(Break::BlanketRenewal) {
            let blanket = |(key, epoch): &(ApplicationKey, Epoch)| {
                let promise = promised(key)?;
                let holds = promise.cluster == name && promise.epoch == *epoch;
                holds.then(|| Renewal { application: key.clone(), epoch: *epoch, duration: promise.duration })
            };
            let asked_pairs = asked.iter().map(|(key, epoch)| (key, *epoch));
            let _ = it.leases.renew(&name, asked_pairs, promised, received_at);
            asked.iter().filter_map(blanket).collect()
        } else {
            let asked_pairs = asked.iter().map(|(key, epoch)| (key, *epoch));
            it.leases.renew(&name, asked_pairs, promised, received_at)
        };
        let term = it.sessions.get(&spoke).map_or(it.view.term, |session| session.term);
        let renewed = renewals.into_iter().map(renewed).collect();
        self.send_down(stream, Down::Ack(number, term, renewed));
    }

    fn hub_notes(&mut self, hub: usize, spoke: usize, status: AssignmentStatus) {
        let now = self.hub_now(hub);
        let key = status.application.clone();
        let it = &mut self.hubs[hub];
        if status.health == Health::Healthy {
            it.was_healthy.insert((key.clone(), spoke));
        }
        if status.health == Health::Degraded {
            it.degraded_since.entry((key.clone(), spoke)).or_insert(now);
        } else {
            it.degraded_since.remove(&(key.clone(), spoke));
        }
        it.statuses.insert((key.clone(), spoke), status);
        it.dirty.insert(key);
        self.hub_plans_soon(hub);
    }

    /// Everything is to be planned again.
    pub(super) fn hub_doubts_all(&mut self, hub: usize) {
        let it = &mut self.hubs[hub];
        it.dirty.extend(it.view.applications.keys().cloned());
        self.hub_plans_soon(hub);
    }

    /// Whether a hub has a promise to move no Exclusive work, and for how long yet.
    pub(super) fn hub_hold(&self, hub: usize) -> Option<Duration> {
        let it = &self.hubs[hub];
        let until = it.view.hub.maintenance_until?;
        let rest = until.since(it.clock.wall(self.now));
        (!rest.is_zero()).then_some(rest)
    }

    /// Whether a cluster is heard.
    pub(super) fn hub_hears(&self, hub: usize, spoke: usize) -> Liveness {
        let it = &self.hubs[hub];
        let lease = Duration::from_millis(self.times.liveness_ms);
        let Some(heard_at) = it.heard_at.get(&spoke) else {
            return Liveness::Unheard;
        };
        if self.hub_now(hub).since(*heard_at) >= lease {
            Liveness::Lost
        } else if it.sessions.contains_key(&spoke) {
            Liveness::Alive
        } else {
            Liveness::Suspect
        }
    }

    /// A hub's timer: liveness, and what was to be planned by now.
    pub(super) fn hub_tick(&mut self, hub: usize, life: u64) {
        if self.hubs[hub].life != life || self.hubs[hub].process == Process::Dead {
            return;
        }
        self.after(500, Event::HubTick(hub, life));
        if self.hubs[hub].process == Process::Paused {
            return;
        }
        self.hub_looks_around(hub);
        self.hub_wakes(hub, life);
    }

    /// What was to be decided again by now is.
    pub(super) fn hub_wakes(&mut self, hub: usize, life: u64) {
        let now = self.hub_now(hub);
        let it = &mut self.hubs[hub];
        if it.life != life || it.process != Process::Running {
            return;
        }
        let due: Vec<ApplicationKey> =
            it.wakes.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            it.wakes.remove(&key);
            it.dirty.insert(key);
        }
        if !it.dirty.is_empty() {
            self.hub_plans_soon(hub);
        }
    }

    /// Which clusters are heard, and what that says of the hub itself.
    fn hub_looks_around(&mut self, hub: usize) {
        let now = self.hub_now(hub);
        let mut is_changed = false;
        for spoke in 0..self.spokes.len() {
            let heard = self.hub_hears(hub, spoke);
            if self.hubs[hub].liveness.insert(spoke, heard) != Some(heard) {
                is_changed = true;
                note!(self, "hub {hub} hears {}: {heard}", self.spokes[spoke].name);
            }
            if heard == Liveness::Lost
                && let Some(session) = self.hubs[hub].sessions.remove(&spoke)
            {
                self.send_down(session.stream, Down::End);
                if let Some(stream) = self.links.get_mut(session.stream) {
                    stream.hub_closes_at = Some(self.now);
                }
            }
            let set = self.hubs[hub].view.clusters.get(&self.spokes[spoke].name);
            let is_drained = set.is_some_and(|set| set.is_drained);
            let drained_since = &mut self.hubs[hub].drained_since;
            is_changed |= is_drained != drained_since.contains_key(&spoke);
            if is_drained {
                drained_since.entry(spoke).or_insert(now);
            } else {
                drained_since.remove(&spoke);
            }
            let is_well = matches!(heard, Liveness::Alive | Liveness::Suspect)
                && !self.hubs[hub].sick_since.contains_key(&spoke);
            if is_well {
                self.hubs[hub].well_since.entry(spoke).or_insert(now);
            } else {
                self.hubs[hub].well_since.remove(&spoke);
            }
        }
        is_changed |= self.hub_doubts(hub);
        if is_changed {
            self.hub_doubts_all(hub);
        }
    }

    /// Has a hub plan in a moment.
    pub(super) fn hub_plans_soon(&mut self, hub: usize) {
        let it = &self.hubs[hub];
        if it.plan_at.is_none() && it.pending.is_none() {
            let (at, life) = (self.now + 2, it.life);
            self.hubs[hub].plan_at = Some(at);
            self.at(at, Event::HubPlan(hub, life));
        }
    }
}

impl World {
    /// A hub notices at once that a stream broke.
    pub(super) fn hub_forgets(&mut self, stream: StreamId) {
        let Some(it) = self.links.get(stream) else { return };
        let (hub, spoke) = (it.hub, it.spoke);
        let sessions = &mut self.hubs[hub].sessions;
        if sessions.get(&spoke).is_some_and(|session| session.stream == stream) {
            sessions.remove(&spoke);
        }
    }

    /// What a Hello says of the applications that wait after a restore.
    fn hub_hears_of(&mut self, hub: usize, spoke: usize, hello: &Hello) {
        let name = self.spokes[spoke].name.clone();
        let it = &mut self.hubs[hub];
        if it.view.held.is_empty() {
            return;
        }
        let keys: Vec<ApplicationKey> = it.view.held.keys().cloned().collect();
        for key in keys {
            let wanted = it.view.told.get(&key).and_then(|told| told.get(&name));
            let had = hello.held.get(&key);
            let is_same = match (wanted, had) {
                (Some(wanted), Some(had)) => wanted.desired.digest() == had.desired,
                (None, None) => true,
                _ => false,
            };
            if is_same {
                it.differing.remove(&(key, spoke));
            } else {
                it.differing.insert((key, spoke));
            }
        }
        it.ahead |= hello.generation.term >= it.view.term && hello.generation > it.view.generation();
    }
}
