//! The faults, and how often they come.

use super::agent::Disk;
use super::cluster::NODE_COUNT;
use super::hub::Hub;
use super::invariants::Happened;
use super::world::{Event, Process, World, note};

/// A fault that begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Another fault is chosen.
    Next,
    /// A way between a cluster and the hub is cut in one direction or both, and mended.
    Cut(usize, bool, bool),
    /// See [`Fault::Cut`].
    Mend(usize, bool, bool),
    /// Messages take long.
    Slow(usize),
    /// See [`Fault::Slow`].
    Quick(usize),
    /// Streams break.
    Break(usize),
    /// An agent's process is stopped and goes on.
    PauseAgent(usize),
    /// See [`Fault::PauseAgent`].
    ResumeAgent(usize),
    /// An agent's process dies, with its disk or without.
    KillAgent(usize, bool),
    /// See [`Fault::KillAgent`].
    AgentBack(usize),
    /// An API server dies; workloads live.
    ApiDown(usize),
    /// See [`Fault::ApiDown`].
    ApiUp(usize),
    /// A node is cut off; its pods live.
    CutNode(usize, usize),
    /// See [`Fault::CutNode`].
    MendNode(usize, usize),
    /// A cluster loses its power.
    PowerOff(usize),
    /// Power is back: pods start, and the agent some time after.
    PowerOn(usize),
    /// An application does not get well in a cluster.
    Sore(usize, usize),
    /// See [`Fault::Sore`].
    Heal(usize, usize),
    /// A hub's process is stopped and goes on.
    PauseHub,
    /// See [`Fault::PauseHub`].
    ResumeHub(usize),
    /// A hub's process dies and starts again.
    KillHub,
    /// The hub's store fails now and then.
    SickStore,
    /// See [`Fault::SickStore`].
    WellStore(usize),
    /// A wall clock jumps.
    Jump(Option<usize>),
    /// The store is backed up.
    Backup,
    /// The backup is put back, in another hub; the old one is dead, or still alive.
    Restore(bool),
}

/// Which faults a seed has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    /// Only what every fence stands, `assumeFencedAfter` among them: the ways, clocks and the hub.
    Ways,
    /// All of it.
    All,
    /// What is aimed at the end of a lease: work is ordered away just when its cluster is cut off, or the store fails.
    Edge,
}

impl World {
    /// Chooses the next fault.
    fn next_fault(&mut self) {
        if !self.is_stormy {
            return;
        }
        let pause =
            if self.dice.chance(30) { self.dice.range(100, 4000) } else { self.dice.range(4000, 60_000) };
        self.after(pause, Event::Fault(Fault::Next));
        let spoke = self.dice.index(self.spokes.len());
        if self.weather == Weather::Edge && self.dice.chance(70) {
            return self.edge();
        }
        let most = if self.weather == Weather::All { 99 } else { 59 };
        let fault = match self.dice.range(0, most) {
            0..18 => {
                let (up, down) =
                    [(true, true), (true, true), (true, false), (false, true)][self.dice.index(4)];
                Fault::Cut(spoke, up, down)
            }
            18..24 => Fault::Slow(spoke),
            24..32 => Fault::Break(spoke),
            32..37 => Fault::PauseHub,
            37..46 => Fault::KillHub,
            46..50 => Fault::SickStore,
            50..53 => Fault::Jump(self.dice.chance(50).then_some(spoke)),
            53..56 => Fault::Backup,
            56..60 => Fault::Restore(self.dice.chance(50)),
            60..66 => Fault::PauseAgent(spoke),
            66..74 => Fault::KillAgent(spoke, self.dice.chance(80)),
            74..81 => Fault::ApiDown(spoke),
            81..87 => Fault::CutNode(spoke, self.dice.index(NODE_COUNT)),
            87..93 => Fault::PowerOff(spoke),
            _ => Fault::Sore(spoke, self.dice.index(self.works.len())),
        };
        self.fault(fault);
    }

    /// Work is ordered away from a cluster that is cut off a little before or after, at times with a store that fails.
    fn edge(&mut self) {
        let work = self.dice.index(self.works.len());
        let states = &self.hubs[self.address].store.states;
        let grant = states.get(&self.works[work].key).and_then(|state| state.grant.as_ref());
        let Some(holder) = grant.map(|grant| grant.cluster.clone()) else { return };
        let Some(spoke) = self.spokes.iter().position(|spoke| spoke.name == holder) else { return };
        let cut = Event::Fault(Fault::Cut(spoke, true, true));
        if self.dice.chance(20) {
            // A long promise, and a hub that has to know of it after it died.
            self.person_holds();
            self.after(5000, cut);
            self.after(6000, Event::Fault(Fault::KillHub));
            self.after(50_000, Event::HubStart(self.address));
            let wait = self.dice.range(51_000, 90_000);
            self.after(wait, Event::OrderAway(work));
        } else if self.dice.chance(50) {
            self.at(self.now, cut);
            let wait = self.dice.range(0, 40_000);
            self.after(wait, Event::OrderAway(work));
        } else {
            self.at(self.now, Event::OrderAway(work));
            self.at(self.now, Event::Fault(Fault::SickStore));
            let wait = self.dice.range(500, 30_000);
            self.after(wait, cut);
        }
    }

    /// How long a fault lasts: mostly as long as leases, sometimes much longer.
    fn lasts(&mut self) -> u64 {
        match self.dice.range(0, 9) {
            _ if self.weather == Weather::Edge && self.dice.chance(50) => self.dice.range(60_000, 150_000),
            0..3 => self.dice.range(200, 9000),
            3..8 => self.dice.range(9000, 90_000),
            _ => self.dice.range(90_000, 300_000),
        }
    }

    fn begins(&mut self, spoke: usize, what: &'static str, end: Fault) {
        self.count(what);
        self.spokes[spoke].fault_count += 1;
        let name = self.spokes[spoke].name.clone();
        self.happened.push(Happened::Disturbed(name));
        self.is_changed = true;
        let lasts = self.lasts();
        self.after(lasts, Event::Fault(end));
    }

    fn ends(&mut self, spoke: usize) {
        let it = &mut self.spokes[spoke];
        it.fault_count = it.fault_count.saturating_sub(1);
        let name = it.name.clone();
        self.happened.push(Happened::Disturbed(name));
        self.is_changed = true;
    }

    /// From now on silence says less than `assumeFencedAfter` takes it to.
    fn excuse_assumed(&mut self, spoke: usize, why: &'static str) {
        for work in 0..self.works.len() {
            let key = self.works[work].key.clone();
            let is_here = self.spokes[spoke].cluster.has_pods(work)
                || self.spokes[spoke].agent.assignment(&key).is_some()
                || self.hubs[self.address]
                    .store
                    .states
                    .get(&key)
                    .and_then(|it| it.grant.as_ref())
                    .is_some_and(|grant| grant.cluster == self.spokes[spoke].name);
            if self.works[work].is_assumed() && is_here {
                self.happened.push(Happened::Excused(key, why));
            }
        }
    }

    /// A fault begins or ends.
    pub(super) fn fault(&mut self, fault: Fault) {
        if fault != Fault::Next {
            note!(self, "fault {fault:?}");
        }
        match fault {
            Fault::Next => self.next_fault(),
            Fault::Cut(..) | Fault::Mend(..) | Fault::Slow(_) | Fault::Quick(_) | Fault::Break(_) => {
                self.way_fault(fault)
            }
            Fault::PauseAgent(_) | Fault::ResumeAgent(_) | Fault::KillAgent(..) | Fault::AgentBack(_) => {
                self.agent_fault(fault);
            }
            Fault::ApiDown(_) | Fault::ApiUp(_) | Fault::CutNode(..) | Fault::MendNode(..) => {
                self.cluster_fault(fault)
            }
            Fault::PowerOff(spoke) => self.power_off(spoke),
            Fault::PowerOn(spoke) => self.power_on(spoke),
            Fault::Sore(spoke, work) => {
                self.spokes[spoke].cluster.is_sore.insert(work, true);
                self.begins(spoke, "applications that do not get well", Fault::Heal(spoke, work));
                self.agent_looks(spoke);
            }
            Fault::Heal(spoke, work) => {
                self.spokes[spoke].cluster.is_sore.remove(&work);
                self.ends(spoke);
                self.agent_looks(spoke);
            }
            _ => self.hub_fault(fault),
        }
    }

    fn way_fault(&mut self, fault: Fault) {
        match fault {
            Fault::Cut(spoke, up, down) => {
                let it = &mut self.spokes[spoke];
                if it.is_up_cut || it.is_down_cut {
                    return;
                }
                (it.is_up_cut, it.is_down_cut) = (up, down);
                let what = if up && down { "ways cut" } else { "ways cut in one direction" };
                self.begins(spoke, what, Fault::Mend(spoke, up, down));
            }
            Fault::Mend(spoke, ..) => {
                let it = &mut self.spokes[spoke];
                (it.is_up_cut, it.is_down_cut) = (false, false);
                self.ends(spoke);
                let streams = self.links.of_spoke(spoke);
                self.flow(streams);
            }
            Fault::Slow(spoke) => {
                self.spokes[spoke].delay_ms = self.dice.range(500, 15_000);
                self.begins(spoke, "slow ways", Fault::Quick(spoke));
            }
            Fault::Quick(spoke) => {
                self.spokes[spoke].delay_ms = 40;
                self.ends(spoke);
            }
            Fault::Break(spoke) => {
                self.count("streams broken");
                let name = self.spokes[spoke].name.clone();
                self.happened.push(Happened::Disturbed(name));
                for stream in self.links.of_spoke(spoke) {
                    if self.dice.chance(50) {
                        self.hub_forgets(stream);
                    }
                    self.agent_forgets(stream);
                    self.cut_stream(stream);
                }
            }
            _ => {}
        }
    }

    #[allow(clippy::collapsible_match, reason = "whether a fault can happen now is no part of which it is")]
    fn agent_fault(&mut self, fault: Fault) {
        match fault {
            Fault::PauseAgent(spoke) => {
                if self.spokes[spoke].agent.process == Process::Running {
                    self.excuse_assumed(spoke, "its agent was paused");
                    self.spokes[spoke].agent.process = Process::Paused;
                    self.begins(spoke, "agents paused", Fault::ResumeAgent(spoke));
                }
            }
            Fault::ResumeAgent(spoke) => {
                self.ends(spoke);
                if self.spokes[spoke].agent.process == Process::Paused {
                    self.spokes[spoke].agent.process = Process::Running;
                    let streams = self.links.of_spoke(spoke);
                    self.flow(streams);
                    let life = self.spokes[spoke].agent.life;
                    self.at(self.now, Event::AgentWake(spoke, life));
                }
            }
            Fault::KillAgent(spoke, keeps_disk) => {
                if self.spokes[spoke].agent.process == Process::Dead {
                    return;
                }
                self.excuse_assumed(spoke, "its agent died");
                self.agent_dies(spoke);
                if !keeps_disk {
                    self.spokes[spoke].agent.disk = Disk::default();
                }
                let what = if keeps_disk { "agents killed" } else { "agents killed without their disk" };
                self.begins(spoke, what, Fault::AgentBack(spoke));
            }
            Fault::AgentBack(spoke) => {
                self.ends(spoke);
                self.agent_start(spoke);
            }
            _ => {}
        }
    }

    #[allow(clippy::collapsible_match, reason = "whether a fault can happen now is no part of which it is")]
    fn cluster_fault(&mut self, fault: Fault) {
        match fault {
            Fault::ApiDown(spoke) => {
                if self.spokes[spoke].cluster.has_api {
                    self.excuse_assumed(spoke, "its API server died");
                    self.spokes[spoke].cluster.has_api = false;
                    self.begins(spoke, "API servers down", Fault::ApiUp(spoke));
                    self.agent_looks(spoke);
                }
            }
            Fault::ApiUp(spoke) => {
                self.ends(spoke);
                if self.spokes[spoke].cluster.has_power {
                    self.spokes[spoke].cluster.has_api = true;
                    self.look_at_pods(spoke, self.now);
                    self.agent_looks(spoke);
                }
            }
            Fault::CutNode(spoke, node) => {
                if !self.spokes[spoke].cluster.is_node_cut[node] {
                    self.excuse_assumed(spoke, "a node was cut off");
                    self.spokes[spoke].cluster.is_node_cut[node] = true;
                    self.begins(spoke, "nodes cut off", Fault::MendNode(spoke, node));
                }
            }
            Fault::MendNode(spoke, node) => {
                self.ends(spoke);
                self.spokes[spoke].cluster.is_node_cut[node] = false;
                self.look_at_pods(spoke, self.now);
            }
            _ => {}
        }
    }

    /// A cluster loses its power: everything in it stops, and nothing of what etcd holds is lost.
    fn power_off(&mut self, spoke: usize) {
        if !self.spokes[spoke].cluster.has_power {
            return;
        }
        self.excuse_assumed(spoke, "it lost its power");
        if self.spokes[spoke].agent.process != Process::Dead {
            self.agent_dies(spoke);
        }
        let it = &mut self.spokes[spoke];
        it.agent.boot += 1;
        let cluster = &mut it.cluster;
        (cluster.has_power, cluster.has_api, cluster.look_at) = (false, false, None);
        for pod in cluster.pods.values_mut().flatten() {
            pod.is_powered = false;
        }
        self.begins(spoke, "power lost", Fault::PowerOn(spoke));
    }

    fn power_on(&mut self, spoke: usize) {
        self.ends(spoke);
        if self.spokes[spoke].cluster.has_power {
            return;
        }
        let is_condemned = self.condemned.remove(&spoke);
        let drift = self.drift();
        let now = self.now;
        let it = &mut self.spokes[spoke];
        it.clock = super::basics::Clock::new(now, drift);
        let cluster = &mut it.cluster;
        (cluster.has_power, cluster.has_api) = (true, true);
        if is_condemned {
            // It was rebuilt: nothing of what it was is left.
            cluster.shapes.clear();
            cluster.pods.clear();
            it.agent.disk = Disk::default();
        }
        for pod in cluster.pods.values_mut().flatten() {
            pod.is_powered = true;
        }
        self.is_changed = true;
        self.look_at_pods(spoke, now);
        let wait = self.dice.range(0, 15_000);
        self.after(wait, Event::AgentStart(spoke));
    }

    /// How much faster or slower a clock runs: within the margin, and often at its edge.
    pub(super) fn drift(&mut self) -> i64 {
        let most = 19_000;
        match self.dice.range(0, 2) {
            0 => most,
            1 => -most,
            _ => i64::try_from(self.dice.range(0, 38_000)).unwrap_or(0) - most,
        }
    }

    #[allow(clippy::collapsible_match, reason = "whether a fault can happen now is no part of which it is")]
    fn hub_fault(&mut self, fault: Fault) {
        let hub = self.address;
        match fault {
            Fault::PauseHub => {
                if self.hubs[hub].process == Process::Running {
                    self.count("hubs paused");
                    self.hubs[hub].process = Process::Paused;
                    let lasts = self.lasts();
                    self.after(lasts, Event::Fault(Fault::ResumeHub(hub)));
                }
            }
            Fault::ResumeHub(hub) => {
                if self.hubs[hub].process == Process::Paused {
                    self.hubs[hub].process = Process::Running;
                    let streams = self.links.of_hub(hub);
                    self.flow(streams);
                    if !self.hubs[hub].dirty.is_empty() {
                        self.hub_plans_soon(hub);
                    }
                }
            }
            Fault::KillHub => {
                if self.hubs[hub].process != Process::Dead {
                    self.count("hubs killed");
                    self.hub_dies(hub);
                    let lasts = self.lasts();
                    self.after(lasts, Event::HubStart(hub));
                }
            }
            Fault::SickStore => {
                self.count("stores sick");
                self.hubs[hub].is_store_sick = true;
                let lasts = self.lasts();
                self.after(lasts, Event::Fault(Fault::WellStore(hub)));
            }
            Fault::WellStore(hub) => self.hubs[hub].is_store_sick = false,
            Fault::Jump(spoke) => {
                self.count("wall clocks that jumped");
                // A hold runs to a wall-clock time, so a clock that jumps back makes it longer; not longer than calm.
                let is_held = self.hubs[hub].store.hub.maintenance_until.is_some();
                let most = if is_held { 60_000 } else { 3_600_000 };
                let by = i64::try_from(self.dice.range(0, 2 * most)).unwrap_or(0)
                    - i64::try_from(most).unwrap_or(0);
                match spoke {
                    Some(spoke) => self.spokes[spoke].clock.wall_off_ms += by,
                    None => self.hubs[hub].clock.wall_off_ms += by,
                }
            }
            Fault::Backup => self.backup = Some(self.hubs[hub].store.clone()),
            Fault::Restore(lives) => self.restore(lives),
            _ => {}
        }
    }

    /// An older state of the store is put back, in a hub of its own that takes over the address.
    fn restore(&mut self, old_lives: bool) {
        if self.hubs.len() > 2 {
            return;
        }
        let Some(mut store) = self.backup.take() else { return };
        self.count(if old_lives { "restores beside a hub that lives" } else { "restores" });
        let old = self.address;
        if !old_lives && self.hubs[old].process != Process::Dead {
            self.hub_dies(old);
        }
        if !old_lives {
            self.hubs[old].is_retired = true;
        }
        store.put_back(!self.is_broken(super::Break::TermNotRaised), self.hubs[old].store.term);
        let drift = self.drift();
        let clock = super::basics::Clock::new(self.now, drift);
        self.hubs.push(Hub::new(store, clock));
        self.address = self.hubs.len() - 1;
        self.happened.push(Happened::Restored);
        let starts = Event::HubStart(self.address);
        let wait = self.dice.range(500, 20_000);
        self.after(wait, starts);
    }
}
