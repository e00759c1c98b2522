//! What people do: orders and edits at random, and looking after what waits for a person. They never lie, and they
//! never say that something is dead without having made sure.

use std::sync::Arc;

use nave_common::assignment::Generation;
use nave_common::failover::state::{Order, OrderKind};
use nave_common::failover::{Epoch, Fence};
use nave_common::name::ApplicationKey;
use nave_hub::records::FrozenBy;

use super::cluster::Shape;
use super::invariants::Happened;
use super::store::{Commit, Write};
use super::world::{Event, Process, World, note};

impl World {
    /// Writes to the hub that has the address, as its API does; whether it took it.
    fn asks(&mut self, writes: Vec<Write>) -> bool {
        let hub = self.address;
        let fails = self.hubs[hub].is_store_sick && self.dice.chance(70);
        if self.hubs[hub].process != Process::Running || fails {
            return false;
        }
        let is_made = self.hubs[hub].store.commit(&Commit { expects: Vec::new(), writes });
        self.hubs[hub].view = self.hubs[hub].store.clone();
        self.hub_doubts_all(hub);
        is_made
    }

    pub(super) fn orders(&mut self, work: usize, what: OrderKind) -> bool {
        let hub = self.address;
        let key = self.works[work].key.clone();
        let Some(state) = self.hubs[hub].store.states.get(&key) else { return false };
        let mut state = (**state).clone();
        if self.hubs[hub].store.held.contains_key(&key) {
            return false;
        }
        let at = self.hubs[hub].clock.wall(self.now);
        note!(self, "person orders of {key}: {what:?}");
        state.orders.push(Order { what, by: "person".into(), at, change_id: String::new() });
        self.asks(vec![Write::State(Box::new(state))])
    }

    pub(super) fn ordered(&mut self) {
        for work in 0..self.works.len() {
            self.happened.push(Happened::Ordered(self.works[work].key.clone()));
        }
        self.is_changed = true;
    }

    /// A person does something at random.
    pub(super) fn person(&mut self) {
        if !self.is_stormy {
            return;
        }
        let pause = self.dice.range(5000, 60_000);
        self.after(pause, Event::Person);
        let work = self.dice.index(self.works.len());
        let spoke = self.dice.index(self.spokes.len());
        match self.dice.range(0, 9) {
            0..5 => {
                // Mostly people want it away from where something is wrong.
                let work = self.troubled().filter(|_| self.dice.chance(70)).unwrap_or(work);
                let to = self.dice.chance(60).then(|| self.spokes[spoke].name.clone());
                if self.orders(work, OrderKind::Move { from: None, to }) {
                    self.count("moves ordered");
                    self.ordered();
                }
            }
            5 => self.person_drains(spoke),
            6 => self.person_freezes(),
            7 => self.person_holds(),
            _ => self.person_edits(work, spoke),
        }
    }

    /// A person orders an application away from where it is.
    pub(super) fn order_away(&mut self, work: usize) {
        if self.is_stormy && self.orders(work, OrderKind::Move { from: None, to: None }) {
            self.count("moves ordered");
            self.ordered();
        }
    }

    /// An Exclusive application in whose cluster something is wrong.
    fn troubled(&self) -> Option<usize> {
        let states = &self.hubs[self.address].store.states;
        (0..self.works.len()).find(|work| {
            let grant = states.get(&self.works[*work].key).and_then(|state| state.grant.as_ref());
            let holder = grant.and_then(|grant| self.spokes.iter().find(|spoke| spoke.name == grant.cluster));
            holder.is_some_and(|spoke| spoke.fault_count > 0)
        })
    }

    fn person_drains(&mut self, spoke: usize) {
        let name = self.spokes[spoke].name.clone();
        let mut set = self.hubs[self.address].store.clusters.get(&name).copied().unwrap_or_default();
        set.is_drained = !set.is_drained;
        set.is_cordoned = set.is_drained;
        note!(self, "person sets {name} {set:?}");
        if self.asks(vec![Write::Cluster(name, set)]) {
            self.count(if set.is_drained { "drains" } else { "uncordons" });
            self.ordered();
        }
    }

    fn person_freezes(&mut self) {
        let hub = self.address;
        let mut record = self.hubs[hub].store.hub.clone();
        let since = self.hubs[hub].clock.wall(self.now);
        if record.frozen.take().is_none() {
            record.frozen = Some(FrozenBy { by: "person".into(), since });
        } else {
            record.thawed_at = Some(since);
        }
        note!(self, "person freezes: {}", record.frozen.is_some());
        self.count("freezes and thaws");
        let _ = self.asks(vec![Write::Hub(Box::new(record))]);
    }

    pub(super) fn person_holds(&mut self) {
        let hub = self.address;
        let mut record = self.hubs[hub].store.hub.clone();
        let millis = self.dice.range(60_000, 300_000);
        let until = self.hubs[hub].clock.wall(self.now).plus(std::time::Duration::from_millis(millis));
        record.maintenance_until = if record.maintenance_until.is_some() { None } else { Some(until) };
        note!(self, "person holds until {:?}", record.maintenance_until);
        self.count("maintenance holds");
        let _ = self.asks(vec![Write::Hub(Box::new(record))]);
    }

    /// An edit of the placement leaves one cluster out, or lets all in again.
    fn person_edits(&mut self, work: usize, spoke: usize) {
        let key = self.works[work].key.clone();
        let hub = self.address;
        let Some(before) = self.hubs[hub].store.applications.get(&key).cloned() else { return };
        let mut after = (*before).clone();
        let left_out = self.spokes[spoke].name.clone();
        let is_back = !after.spec.placement.clusters.is_empty();
        let text = if is_back { String::new() } else { format!("name!={left_out}") };
        let Ok(selector) = text.parse() else { return };
        after.spec.placement.clusters = selector;
        note!(self, "person edits {key}: {text:?}");
        if !self.asks(vec![Write::Application(key.clone(), Some(Arc::new(after)))]) {
            return;
        }
        self.count("placement edits");
        self.ordered();
        for it in &self.spokes {
            let happened = if is_back {
                // What was told before the edit may still be on its way.
                continue;
            } else if it.name == left_out {
                Happened::AskedAway(key.clone(), it.name.clone())
            } else {
                continue;
            };
            self.happened.push(happened);
        }
    }

    /// A person looks at what waits for one.
    pub(super) fn caretaker(&mut self) {
        let pause = self.dice.range(5000, 20_000);
        self.after(pause, Event::Caretaker);
        let hub = self.address;
        if self.hubs[hub].process != Process::Running {
            return;
        }
        self.cares_for_held();
        for work in 0..self.works.len() {
            let key = self.works[work].key.clone();
            let Some(state) = self.hubs[hub].store.states.get(&key) else { continue };
            let Some(grant) = state.grant.clone() else { continue };
            if grant.release.as_ref().is_none_or(|release| release.fenced.is_some()) {
                continue;
            }
            let Some(spoke) = self.spokes.iter().position(|spoke| spoke.name == grant.cluster) else {
                continue;
            };
            if self.is_dead_for_good(spoke, work) {
                let what = OrderKind::ConfirmFenced {
                    cluster: grant.cluster,
                    epoch: grant.epoch,
                    by_webhook: false,
                };
                if self.orders(work, what) {
                    self.count("fences confirmed by people");
                }
            }
        }
    }

    /// Whether nothing of an application runs in a cluster, and nothing can start it again. A person may see to that.
    fn is_dead_for_good(&mut self, spoke: usize, work: usize) -> bool {
        let it = &self.spokes[spoke];
        if !it.cluster.has_power {
            // Its loss is made final.
            if self.dice.chance(50) {
                self.condemned.insert(spoke);
            }
            return self.condemned.contains(&spoke);
        }
        let is_stopped = !it.cluster.has_pods(work) && !matches!(it.cluster.shape(work), Shape::Active(_));
        // Under `Manual` the agent would start it again, so a person must not say so while the agent does not know.
        let key = &self.works[work].key;
        let told = self.hubs[self.address].store.told.get(key).and_then(|told| told.get(&it.name));
        let knows = it.agent.assignment(key) == told && it.agent.is_told_to_park(key);
        let may_run = self.works[work].fence() != Some(Fence::Agent) && !knows;
        // As the hub shows it: a renewal may still be on its way until then.
        let hub = &self.hubs[self.address];
        let grant = hub.store.states.get(key).and_then(|state| state.grant.as_ref());
        let over_at = grant.map(|grant| hub.leases.over_at(key, grant.promised()).over_at);
        let is_over = over_at.is_none_or(|at| at <= self.hub_now(self.address));
        is_stopped && !may_run && is_over && self.lease_is_over(spoke, work)
    }

    /// Whether no lease lets an agent start an application again.
    fn lease_is_over(&self, spoke: usize, work: usize) -> bool {
        self.lease_bound(spoke, work).is_none_or(|until| until <= self.now)
    }

    /// After a restore: what every agent has as the backup says goes on; else a person takes the backup's word, having
    /// seen to it that nothing else runs it.
    fn cares_for_held(&mut self) {
        let hub = self.address;
        let held: Vec<ApplicationKey> = self.hubs[hub].store.held.keys().cloned().collect();
        for key in held {
            let Some(work) = self.works.iter().position(|work| work.key == key) else { continue };
            if self.hubs[hub].reported.len() < self.spokes.len() {
                continue;
            }
            let differs =
                self.hubs[hub].ahead || self.hubs[hub].differing.iter().any(|(other, _)| *other == key);
            let mut writes = vec![Write::Release(key.clone())];
            if differs {
                if !self.sees_to_it_alone(work) {
                    continue;
                }
                writes.extend(self.granted_anew(&key));
            }
            if self.asks(writes) {
                note!(self, "{key} is no longer held; it differed: {differs}");
                self.count(if differs { "backups applied" } else { "holds released" });
                let hub = &self.hubs[self.address];
                if differs
                    && let Some(grant) = hub.store.states.get(&key).and_then(|state| state.grant.clone())
                {
                    self.happened.push(Happened::Granted(key.clone(), grant.cluster, grant.epoch));
                }
                self.ordered();
                for spoke in 0..self.spokes.len() {
                    self.hub_sends(self.address, spoke, &[key.clone()].into());
                }
            }
        }
    }

    /// The backup's grant under an epoch of its own, as the hub's release of what is held makes it.
    fn granted_anew(&self, key: &ApplicationKey) -> Vec<Write> {
        let store = &self.hubs[self.address].store;
        let next = Generation { term: store.term, counter: store.counter + 1 };
        let Some(mut state) = store.states.get(key).map(|state| (**state).clone()) else { return Vec::new() };
        let (Some(grant), Ok(epoch)) = (&mut state.grant, Epoch::of(next)) else { return Vec::new() };
        let before = std::mem::replace(&mut grant.epoch, epoch);
        for it in state.moves.iter_mut().filter(|it| it.epoch == Some(before)) {
            it.epoch = Some(epoch);
        }
        vec![Write::State(Box::new(state)), Write::Counter(next.counter)]
    }

    /// Whether nothing that the backup does not say runs an application, nor can start it. A person may see to that.
    fn sees_to_it_alone(&mut self, work: usize) -> bool {
        let key = self.works[work].key.clone();
        let store = self.hubs[self.address].store.clone();
        let told = store.told.get(&key).cloned().unwrap_or_default();
        let holder = store.states.get(&key).and_then(|state| state.grant.clone()).map(|grant| grant.cluster);
        let mut is_alone = true;
        for spoke in 0..self.spokes.len() {
            let name = self.spokes[spoke].name.clone();
            let is_unknown = !told.contains_key(&name) && self.spokes[spoke].agent.assignment(&key).is_some();
            let is_rival = self.works[work].fence() == Some(Fence::Manual) && holder.as_ref() != Some(&name);
            if is_unknown || (is_rival && self.spokes[spoke].cluster.has_pods(work)) {
                is_alone = false;
                self.cleans(spoke, work);
            }
            if self.works[work].exclusive.is_some() && holder.as_ref() != Some(&name) {
                let is_stopped =
                    !self.spokes[spoke].cluster.has_pods(work) && self.lease_is_over(spoke, work);
                is_alone &= is_stopped || self.works[work].fence() == Some(Fence::Storage);
            }
        }
        is_alone
    }

    /// A person takes an application out of a cluster by hand, and out of its agent.
    fn cleans(&mut self, spoke: usize, work: usize) {
        let it = &mut self.spokes[spoke];
        if !it.cluster.has_api || it.agent.process == Process::Paused {
            return;
        }
        let key = self.works[work].key.clone();
        it.agent.is_cleaned(&key);
        it.cluster.shapes.remove(&work);
        note!(self, "person takes {key} out of {}", self.spokes[spoke].name);
        self.look_at_pods(spoke, self.now);
    }

    /// People take back what they set, as soon as the hub takes orders.
    pub(super) fn calmed(&mut self, hub: usize) {
        let mut writes = vec![Write::Hub(Box::default())];
        let clusters: Vec<_> = self.hubs[hub].store.clusters.keys().cloned().collect();
        writes.extend(
            clusters.into_iter().map(|name| Write::Cluster(name, super::store::ClusterSet::default())),
        );
        let keys: Vec<ApplicationKey> = self.works.iter().map(|work| work.key.clone()).collect();
        for key in keys {
            let Some(before) = self.hubs[hub].store.applications.get(&key).cloned() else { continue };
            let mut after = (*before).clone();
            after.spec.placement.clusters = nave_common::selector::Selector::default();
            writes.push(Write::Application(key, Some(Arc::new(after))));
        }
        self.ordered();
        if !self.asks(writes) {
            self.after(1000, Event::Calmed(hub));
        }
    }
}
