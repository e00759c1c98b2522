//! The course of a world: it comes up, faults strike, they end, it comes to rest; and it is looked at all the while.

use nave_common::assignment::{Activity, Desired};
use nave_common::failover::Fence;
use nave_common::name::ApplicationKey;

use super::applications::{self, Work};
use super::eyes::Contents;
use super::faults::{Fault, STORM_MS};
use super::hosts::HUB;
use super::report::{Failure, Report};
use super::{World, cluster_name};
use crate::deep::invariants::{Happened, Observation, Running, Told};

/// How often a world is looked at, in milliseconds.
const LOOK_MS: u64 = 250;
/// How long a world may take to come up, and to come to rest after the last fault, in milliseconds. After a restart the
/// hub moves nothing for a minute, and flaps make failback wait.
const REST_MS: u64 = 420_000;
/// How long it has to stay as it should be, in milliseconds: longer than a liveness lease.
const CALM_MS: u64 = 15_000;
/// How long work has after that to come home undisturbed, in milliseconds.
const WAY_HOME_MS: u64 = 120_000;
/// How long a hub that has just started moves nothing, in milliseconds, and a little more.
const WARM_UP_MS: u64 = 70_000;
/// How long after a fault what is not up is put down to it, in milliseconds.
const AFTERSHOCK_MS: u64 = 45_000;
/// How much of what happened a failure shows.
const MAX_TRACE: usize = 400;

/// Runs the world of a seed to its end.
///
/// # Errors
/// The promise that did not hold, or what did not come to rest.
pub fn run(seed: u64) -> Result<Report, Box<Failure>> {
    World::new(seed, applications::all()).run()
}

impl World<'_> {
    /// Runs it to its end.
    ///
    /// # Errors
    /// The promise that did not hold, or what did not come to rest.
    pub fn run(mut self) -> Result<Report, Box<Failure>> {
        self.apply_all();
        self.pass(WARM_UP_MS)?;
        self.come_to_rest("everything is up")?;
        self.storm()?;
        while let Some(fault) = self.faults.pop() {
            self.end(fault);
        }
        self.come_to_rest("the last fault is over")?;
        self.pass(WAY_HOME_MS)?;
        self.come_to_rest("everything had time to come home")?;
        self.report.worlds = 1;
        self.report.refused_writes = self.hub.store.refused_count();
        self.report.virtual_ms = self.time.millis();
        Ok(self.report)
    }

    /// Lets faults strike and end.
    fn storm(&mut self) -> Result<(), Box<Failure>> {
        let start_ms = self.time.millis();
        let mut coming = self.schedule.faults.clone().into_iter().peekable();
        let mut wishes = self.schedule.wishes.clone().into_iter().peekable();
        while self.time.millis() < start_ms + STORM_MS {
            let now = self.time.millis() - start_ms;
            while let Some(place) = self.faults.iter().position(|fault| fault.until_ms <= now) {
                let fault = self.faults.swap_remove(place);
                self.end(fault);
            }
            self.restore_power(now);
            while let Some(fault) = coming.next_if(|fault| fault.from_ms <= now) {
                self.begin(fault);
            }
            while let Some((_, wish)) = wishes.next_if(|(at_ms, _)| *at_ms <= now) {
                self.wish(wish);
            }
            if now >= self.schedule.edit_ms && !self.people.has_edited {
                self.edit();
            }
            self.pass(LOOK_MS)?;
        }
        Ok(())
    }

    fn begin(&mut self, fault: Fault) {
        *self.report.faults.entry(fault.kind).or_default() += 1;
        let seconds = (fault.until_ms - fault.from_ms) / 1000;
        self.note(&format!("{:?} strikes {} for {seconds} s", fault.kind, self.spokes[fault.spoke].name));
        self.strike(fault);
        self.faults.push(fault);
    }

    fn end(&mut self, fault: Fault) {
        self.note(&format!("{:?} of {} ends", fault.kind, self.spokes[fault.spoke].name));
        self.heal(fault);
        self.disturbed(fault);
    }

    fn disturbed(&mut self, fault: Fault) {
        if let Some(spoke) = fault.disturbs() {
            self.happened.push(Happened::Disturbed(cluster_name(spoke)));
        }
    }

    /// Lets time go by until everything is as it should be, and stays so for a while.
    fn come_to_rest(&mut self, since: &str) -> Result<(), Box<Failure>> {
        let deadline_ms = self.time.millis() + REST_MS;
        let mut rests_since = None;
        loop {
            let Some(problem) = self.unsettled() else {
                let since_ms = *rests_since.get_or_insert(self.time.millis());
                if self.time.millis() >= since_ms + CALM_MS {
                    self.calm_from_ms = self.calm_from_ms.or(Some(0));
                    self.note("at rest");
                    return Ok(());
                }
                self.pass(1000)?;
                continue;
            };
            rests_since = None;
            if self.time.millis() > deadline_ms {
                let what =
                    format!("convergence does not hold: {} s after {since}, {problem}", REST_MS / 1000);
                return Err(self.failure(what));
            }
            self.pass(1000)?;
        }
    }

    /// Lets time go by, looking now and then.
    fn pass(&mut self, millis: u64) -> Result<(), Box<Failure>> {
        let end_ms = self.time.millis() + millis;
        while self.time.millis() < end_ms {
            let look_ms = (self.time.millis() + LOOK_MS).min(end_ms);
            while self.time.millis() < look_ms {
                if let Err(error) = self.sim.step() {
                    return Err(self.failure(format!("a host broke: {error}")));
                }
                self.time.set(self.sim.elapsed());
            }
            self.look()?;
            self.attend();
        }
        Ok(())
    }

    /// Looks at everything, and checks every promise.
    fn look(&mut self) -> Result<(), Box<Failure>> {
        for (spoke, contents) in self.spokes.iter().zip(&mut self.contents) {
            if let Some(cluster) = spoke.cluster.get() {
                contents.look(cluster, &self.names);
            }
        }
        for fault in self.faults.clone() {
            self.disturbed(fault);
        }
        self.look_at_people();
        self.look_at_records();
        self.look_for_deletes();
        self.look_at_storage();
        let observation = Observation {
            at_ms: self.time.millis(),
            running: self.running(),
            told: self.told(),
            is_hub_up: self.sim.is_host_running(HUB),
            happened: std::mem::take(&mut self.happened),
        };
        match self.checker.observe(observation) {
            Ok(()) => self.look_for_gaps(),
            Err(violation) => Err(self.failure(violation.to_string())),
        }
    }

    /// Where two may run for a while, a planned move leaves no gap: without faults, something of it is always up.
    fn look_for_gaps(&mut self) -> Result<(), Box<Failure>> {
        let now = self.time.millis();
        if !self.faults.is_empty() {
            self.calm_from_ms = Some(now + AFTERSHOCK_MS);
        }
        if self.calm_from_ms.is_none_or(|from_ms| now < from_ms) {
            return Ok(());
        }
        let is_up = |name: &str| {
            let pods = self.powered().flat_map(|(_, contents)| &contents.pods);
            pods.filter(|pod| pod.application == name).any(|pod| pod.is_ready)
        };
        let gap = self.work.iter().find(|work| work.fence.is_none() && !is_up(work.name));
        match gap.map(Work::key) {
            Some(key) => {
                let what =
                    format!("make before break does not hold: nothing of {key} is up, and there is no fault");
                Err(self.failure(what))
            }
            None => Ok(()),
        }
    }

    fn look_at_records(&mut self) {
        let before = std::mem::replace(&mut self.frozen, self.hub.frozen());
        let mut news = Vec::new();
        for state in self.durable.look() {
            let new = self.tally.take(&state, &mut self.report);
            let key = &state.application;
            if let Some(grant) = &state.grant
                && new.is_granted
            {
                self.happened.push(Happened::Granted(key.clone(), grant.cluster.clone(), grant.epoch));
            }
            for (from, cause) in new.begun {
                // Between two looks it may have thawed and frozen again; the same freeze at both lasted all the while.
                let is_frozen = before.is_some() && before == self.frozen;
                self.happened.push(Happened::Began(key.clone(), from, cause, is_frozen));
            }
            news.extend(new.words);
        }
        for line in news {
            self.note(&line);
        }
    }

    /// Objects that an application asked for and that are no longer there.
    fn look_for_deletes(&mut self) {
        let mut gone = Vec::new();
        self.objects.retain(|uid, (spoke, owner)| {
            let is_there = self.contents[*spoke].objects.contains_key(uid);
            if !is_there {
                gone.push((*spoke, owner.clone()));
            }
            is_there
        });
        for (spoke, owner) in gone {
            self.note(&format!("an object of {owner} in {} is gone", self.spokes[spoke].name));
            self.happened.push(Happened::Deleted(key(&owner), cluster_name(spoke)));
        }
        for (spoke, contents) in self.contents.iter().enumerate() {
            for (uid, (_, owner)) in &contents.objects {
                if !self.objects.contains_key(uid) {
                    self.objects.insert(uid.clone(), (spoke, owner.clone()));
                }
            }
        }
    }

    /// Each pod that is up writes to the storage of its application, which refuses a token older than one it has seen.
    fn look_at_storage(&mut self) {
        let guarded = self.work.iter().filter(|work| work.fence == Some(Fence::Storage));
        for work in guarded.map(|work| work.name).collect::<Vec<_>>() {
            for (spoke, contents) in self.contents.iter().enumerate() {
                if self.unpowered.contains(&spoke) {
                    continue;
                }
                for pod in contents.pods.iter().filter(|pod| pod.application == work && pod.is_ready) {
                    let newest = self.storage.entry(work.to_owned()).or_default();
                    let is_taken = pod.epoch >= *newest;
                    *newest = pod.epoch.max(*newest);
                    let wrote = Happened::Wrote(key(work), cluster_name(spoke), pod.epoch, is_taken);
                    self.happened.push(wrote);
                }
            }
        }
    }

    /// The clusters whose machines have power: what stands in etcd of the pods of others does not run.
    fn powered(&self) -> impl Iterator<Item = (usize, &Contents)> {
        let spokes = self.contents.iter().enumerate();
        spokes.filter(|(spoke, _)| !self.unpowered.contains(spoke))
    }

    fn running(
        &self,
    ) -> std::collections::BTreeMap<(ApplicationKey, nave_common::name::ClusterName), Running> {
        let mut running = std::collections::BTreeMap::new();
        for (spoke, contents) in self.powered() {
            for pod in &contents.pods {
                let Some(work) = self.work.iter().find(|work| work.name == pod.application) else { continue };
                // Under this fence the agent stops it with its lease, which nobody out here can see.
                let until_ms = (work.fence == Some(Fence::Agent)).then_some(0);
                let seen = running
                    .entry((work.key(), cluster_name(spoke)))
                    .or_insert(Running { epoch: pod.epoch, until_ms });
                seen.epoch = seen.epoch.max(pod.epoch);
            }
        }
        running
    }

    fn told(&self) -> std::collections::BTreeMap<(ApplicationKey, nave_common::name::ClusterName), Told> {
        let told = |desired: &Desired| match desired {
            Desired::Run(run) if run.activity == Activity::Active => {
                Told::Active(run.exclusive.as_ref().map(|exclusive| exclusive.epoch))
            }
            Desired::Run(_) => Told::Parked,
            Desired::Remove => Told::Removed,
        };
        self.durable.assignments.iter().map(|(place, one)| (place.clone(), told(&one.desired))).collect()
    }

    /// Remembers something that happened, for whoever has to find out why.
    pub(super) fn note(&mut self, what: &str) {
        let line = format!("{:>9} ms  {what}", self.time.millis());
        if std::env::var_os("NAVE_FULL_TRACE").is_some() {
            println!("{line}");
        }
        self.trace.push_back(line);
        if self.trace.len() > MAX_TRACE {
            self.trace.pop_front();
        }
    }

    fn failure(&mut self, what: String) -> Box<Failure> {
        let places: Vec<_> = self.durable.assignments.keys().cloned().collect();
        for (application, cluster) in places {
            if let Some(heard) = self.hub.heard(&cluster, &application) {
                self.note(&format!("{application} in {cluster}: {heard}"));
            }
        }
        Box::new(Failure {
            seed: self.seed,
            at_ms: self.time.millis(),
            what,
            trace: std::mem::take(&mut self.trace).into(),
        })
    }
}

fn key(name: &str) -> ApplicationKey {
    name.parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}
