//! What a seed's world is made of.

use std::sync::Arc;
use std::time::Duration;

use nave_common::application::{Application, ApplicationSpec};
use nave_common::failover::{Exclusive, Failback, FailbackMode, Failover, FailoverMode, Fence};
use nave_common::metadata::ApplicationMetadata;
use nave_common::name::{ApplicationKey, ApplicationName, ClusterName, ProjectName};
use nave_common::placement::Placement;
use nave_common::source::{InlineSource, Source};
use nave_common::time::HumanDuration;

use super::Options;
use super::agent::Agent;
use super::basics::{Clock, Dice};
use super::cluster::{Cluster, NODE_COUNT, WRITE_MS};
use super::faults::{Fault, Weather};
use super::hub::Hub;
use super::store::{Commit, Records, Write};
use super::world::{Event, Process, Spoke, Work, World, note};

/// How long everything has to come to rest, in milliseconds.
pub(super) const CALM_MS: u64 = 900_000;

fn millis(millis: u64) -> HumanDuration {
    HumanDuration(Duration::from_millis(millis))
}

/// The world of a seed, with everything about to start.
#[must_use]
pub(super) fn world(seed: u64, options: &Options) -> World {
    let mut dice = Dice::new(seed);
    let count = dice.range(3, 5);
    let spokes: Vec<Spoke> = (0..count).map(|index| spoke(&mut dice, index)).collect();
    let weather = [Weather::Ways, Weather::All, Weather::Edge][dice.index(3)];
    let works: Vec<Work> = (0..dice.range(2, 4)).map(|index| work(&mut dice, index, weather)).collect();
    let mut world = World::empty(seed, options, works, spokes, dice);
    world.weather = weather;
    if options.has_approvals {
        super::approvals::begin(&mut world);
    }
    for index in 0..world.spokes.len() {
        let drift = world.drift();
        world.spokes[index].clock = Clock::new(0, drift);
        let wait = world.dice.range(0, 3000);
        world.at(wait, Event::AgentStart(index));
    }
    let mut store = Records { term: 1, ..Records::default() };
    let writes = world
        .works
        .iter()
        .map(|it| Write::Application(it.key.clone(), Some(Arc::new(it.application.clone()))));
    let _ = store.commit(&Commit { expects: Vec::new(), writes: writes.collect() });
    let drift = world.drift();
    world.hubs.push(Hub::new(store, Clock::new(0, drift)));
    world.at(0, Event::HubStart(0));
    world.at(0, Event::StorageWrites);
    let first = world.dice.range(20_000, 130_000);
    world.at(first, Event::Fault(Fault::Next));
    world.at(first, Event::Person);
    world.at(first, Event::Caretaker);
    note!(world, "{} clusters, {:?}", world.spokes.len(), world.weather);
    for index in 0..world.works.len() {
        note!(world, "{} {:?}", world.works[index].key, world.works[index].application.spec.failover);
    }
    world
}

fn spoke(dice: &mut Dice, index: u64) -> Spoke {
    let region = format!("r{}", dice.range(1, 3));
    let name = ClusterName::new(format!("c{index}")).unwrap_or_else(|error| unreachable!("{error}"));
    Spoke {
        name,
        region,
        cluster: Cluster::new(),
        agent: Agent::new(),
        clock: Clock::new(0, 0),
        is_up_cut: false,
        is_down_cut: false,
        delay_ms: 40,
        fault_count: 0,
    }
}

/// One application: mostly Exclusive, of every fence.
fn work(dice: &mut Dice, index: u64, weather: Weather) -> Work {
    let grace_ms = [0, 200, 3000][dice.index(3)];
    let lease_ms = [10_000, 20_000, 60_000][dice.index(3)];
    let (mode, fence, is_assumed) = match dice.range(0, 9) {
        _ if weather == Weather::Edge => (FailoverMode::Exclusive, Fence::Agent, true),
        0..2 => (FailoverMode::Exclusive, Fence::Agent, false),
        2..5 => (FailoverMode::Exclusive, Fence::Agent, true),
        5 | 6 => (FailoverMode::Exclusive, Fence::Storage, false),
        7 => (FailoverMode::Exclusive, Fence::Manual, false),
        _ => (FailoverMode::Overlap, Fence::Agent, false),
    };
    let exclusive = (mode == FailoverMode::Exclusive).then(|| Exclusive {
        lease_duration: millis(lease_ms),
        fence,
        fence_timeout: millis(grace_ms.max(1000) * 2),
        // As short as it can be: one write, and the pods' time to end.
        assume_fenced_after: is_assumed.then(|| millis(WRITE_MS + grace_ms + 1)),
    });
    let failover = Failover {
        mode,
        degraded_after: dice.chance(50).then(|| millis(15_000)),
        failback: Failback { mode: dice.chance(50).then_some(FailbackMode::Auto), after: millis(20_000) },
        exclusive: exclusive.clone(),
        ..Failover::default()
    };
    let count = if exclusive.is_some() { 1 } else { u32::try_from(dice.range(1, 2)).unwrap_or(1) };
    let name = ApplicationName::new(format!("a{index}")).unwrap_or_else(|error| unreachable!("{error}"));
    let key = ApplicationKey::new(ProjectName::default(), name);
    let spec = ApplicationSpec {
        source: Source::Inline(InlineSource { manifests: Vec::new() }),
        namespace: None,
        create_namespace: false,
        placement: Placement { count: Some(count), ..Placement::default() },
        overrides: Vec::new(),
        sync: nave_common::application::Sync::default(),
        failover,
        revision_history_limit: 10,
    };
    let application = Application { metadata: ApplicationMetadata::new(key.clone()), spec, status: None };
    Work { key, application, exclusive, grace_ms }
}

impl World {
    /// How long faults come.
    pub(super) fn storm_ms(&mut self) -> u64 {
        self.dice.range(300_000, 900_000)
    }

    /// All faults end, and people take back what they set.
    pub(super) fn calms(&mut self) {
        note!(self, "calm");
        for index in 0..self.spokes.len() {
            self.fault(Fault::Mend(index, false, false));
            self.fault(Fault::Quick(index));
            self.fault(Fault::ResumeAgent(index));
            self.fault(Fault::ApiUp(index));
            for node in 0..NODE_COUNT {
                self.fault(Fault::MendNode(index, node));
            }
            self.fault(Fault::PowerOn(index));
            for work in 0..self.works.len() {
                self.fault(Fault::Heal(index, work));
            }
            self.after(1000, Event::AgentStart(index));
            self.spokes[index].fault_count = 0;
        }
        for hub in 0..self.hubs.len() {
            self.fault(Fault::ResumeHub(hub));
            self.fault(Fault::WellStore(hub));
            if hub != self.address {
                if self.hubs[hub].process != Process::Dead {
                    self.hub_dies(hub);
                }
                self.hubs[hub].is_retired = true;
            }
        }
        self.at(self.now, Event::HubStart(self.address));
        let hub = self.address;
        self.after(3000, Event::Calmed(hub));
    }
}
