//! Failover from a lost cluster to assignments elsewhere, on virtual time: store, world and control are real, agents are
//! told of by tasks that do what agents do.

use nave_common::assignment::{Activity, ExclusiveTerms};
use nave_common::failover::Epoch;
use nave_common::failover::state::{Cause, FailoverState, MovePhase, Order, OrderKind};
use nave_common::status::{FenceState, FenceStatus};
use tokio::task::AbortHandle;

use super::*;
use crate::records::{FrozenBy, HubFailoverRecord};
use crate::session::grants;
use crate::world::World;

/// How often an agent in these tests speaks.
const BEAT: Duration = Duration::from_millis(500);

/// What agents do, shared with their tasks.
#[derive(Debug, Clone)]
struct Conduct {
    health: Health,
    problem: Option<String>,
    /// Whether what is stopped is confirmed as stopped.
    confirms: bool,
}

/// A hub and its agents.
struct Fleet {
    scene: Scene,
    agents: BTreeMap<String, (AbortHandle, Arc<Mutex<Conduct>>)>,
}

impl Fleet {
    /// A hub that is past its startup freeze, with a cluster in each of three regions.
    async fn new() -> Self {
        let mut fleet = Self { scene: Scene::new().await, agents: BTreeMap::new() };
        for name in ["ap-1", "eu-1", "us-1"] {
            fleet.scene.put_cluster(name, json!({"region": &name[..2]})).await;
            fleet.hear(name);
        }
        fleet.pass(Duration::from_secs(61)).await;
        fleet
    }

    /// The cluster's agent connects.
    fn hear(&mut self, name: &str) {
        let conduct =
            Arc::new(Mutex::new(Conduct { health: Health::Healthy, problem: None, confirms: true }));
        let agent =
            act(self.scene.world.clone(), self.scene.shared.clone(), name.parse().unwrap(), conduct.clone());
        self.agents.insert(name.to_owned(), (tokio::spawn(agent).abort_handle(), conduct));
    }

    /// Nothing is heard of the cluster any more.
    fn lose(&mut self, name: &str) {
        self.agents.remove(name).unwrap().0.abort();
    }

    fn conduct(&self, name: &str, change: impl FnOnce(&mut Conduct)) {
        change(&mut self.agents[name].1.lock().unwrap());
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn until(&self, within: u64, expected: &str) {
        let now = || self.scene.world.read(stands);
        let waiting = async {
            while now() != expected {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(within), waiting).await.is_err() {
            panic!(
                "not {expected} but {} within {within} s: {:#?} {:#?}",
                now(),
                self.state(),
                self.scene.events()
            );
        }
    }

    /// What clusters are told stays as it is for so many seconds.
    async fn stays(&self, seconds: u64, expected: &str) {
        for _ in 0..seconds * 5 {
            assert_eq!(self.scene.world.read(stands), expected, "{:#?}", self.state());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn state(&self) -> Option<FailoverState> {
        self.scene.world.read(|state| Some((*state.failovers().get(&shop())?.value).clone()))
    }

    fn epoch(&self) -> Epoch {
        self.state().unwrap().grant.unwrap().epoch
    }

    async fn say(&self, record: HubFailoverRecord) {
        self.scene.write([Record::HubFailover(Box::new(record))]).await;
    }

    async fn order(&self, what: OrderKind) {
        let mut state = self.state().unwrap();
        let at = self.scene.world.clock().now();
        state.orders.push(Order { what, by: "alice".into(), at, change_id: String::new() });
        self.scene.write([Record::Failover(Box::new(state))]).await;
    }

    async fn exclusive(&self, exclusive: Value) {
        let spec = json!({
            "placement": {"count": 1},
            "failover": {"mode": "Exclusive", "prefer": [{"region": "eu"}, {"region": "us"}], "exclusive": exclusive},
        });
        self.scene.apply(spec, deployment()).await;
        self.until(2, "eu-1 active, us-1 parked").await;
    }
}

fn deployment() -> Value {
    json!([{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {
        "replicas": 1, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}}])
}

/// An agent whose cluster does what it is told.
async fn act(world: World, shared: Shared, cluster: ClusterName, conduct: Arc<Mutex<Conduct>>) {
    let link = world.connected(&cluster).unwrap();
    loop {
        link.heard();
        let now = conduct.lock().unwrap().clone();
        let told = world.read(|state| {
            let told = state.assignments_in(&cluster).into_iter().flat_map(BTreeMap::values);
            told.map(|entry| entry.assignment.clone()).collect::<Vec<_>>()
        });
        let mut asked = Vec::new();
        let statuses = told.iter().map(|assignment| {
            let Desired::Run(run) = &assignment.desired else {
                return AssignmentStatus { removed: true, ..status(assignment) };
            };
            let is_active = run.activity == Activity::Active;
            if let (true, Some(terms)) = (is_active, run.exclusive) {
                asked.push((assignment.application.clone(), terms.epoch));
            }
            let fence = run.exclusive.filter(|_| !is_active).map(|terms: ExclusiveTerms| FenceStatus {
                epoch: terms.epoch,
                state: if now.confirms { FenceState::Confirmed } else { FenceState::Stopping },
                reason: String::new(),
                since: Timestamp::EPOCH,
            });
            let health = if is_active { now.health } else { Health::Suspended };
            AssignmentStatus { applied: Some(run.rendering), health, fence, ..status(assignment) }
        });
        let statuses = statuses.collect();
        let observation = ClusterObservation {
            problem: now.problem,
            node_count: 3,
            ready_node_count: 3,
            allocatable: Resources { cpu_millicores: 1000, memory_bytes: 1 << 30, pods: 100 },
            ..ClusterObservation::default()
        };
        world.observe(&cluster, statuses, true, Some(observation));
        let promises = world.read(|state| grants::promises(state, &cluster, &asked, world.now().boot));
        shared.grants.renew(&cluster, &asked, &promises, world.now().boot);
        tokio::time::sleep(BEAT).await;
    }
}

fn status(assignment: &nave_common::assignment::Assignment) -> AssignmentStatus {
    AssignmentStatus {
        application: assignment.application.clone(),
        generation: assignment.generation,
        applied: None,
        removed: false,
        sync: SyncState::Synced,
        health: Health::Healthy,
        reason: String::new(),
        object_count: 1,
        healthy_count: 1,
        drift_count: 0,
        objects: Vec::new(),
        fence: None,
        observed_at: Timestamp::EPOCH,
    }
}

/// `eu-1 active, us-1 parked`.
fn stands(state: &State) -> String {
    let told = state.assignments_of(&shop()).map(|told| (**told).clone()).unwrap_or_default();
    let one = |(cluster, assignment): (&ClusterName, &Arc<nave_common::assignment::Assignment>)| {
        let word = match &assignment.desired {
            Desired::Run(run) if run.activity.is_active() => "active",
            Desired::Run(_) => "parked",
            Desired::Remove => "removed",
        };
        format!("{cluster} {word}")
    };
    told.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[tokio::test(start_paused = true)]
async fn work_of_a_lost_cluster_runs_elsewhere_within_the_lease_and_comes_home_when_that_is_well() {
    let mut fleet = Fleet::new().await;
    let spec =
        json!({"placement": {"count": 1}, "failover": {"prefer": [{"region": "eu"}, {"region": "us"}]}});
    fleet.scene.apply(spec, deployment()).await;
    fleet.until(2, "eu-1 active").await;
    fleet.pass(Duration::from_secs(2)).await;
    assert_eq!(fleet.state(), None, "what moves nowhere leaves no record");

    fleet.lose("eu-1");
    fleet.until(11, "eu-1 parked, us-1 active").await;
    fleet.pass(Duration::from_secs(2)).await;
    let moved = fleet.state().unwrap();
    assert_eq!((moved.moves.len(), moved.history.len()), (0, 1), "{moved:#?}");
    let report = &moved.history[0];
    assert_eq!((report.cause, report.phase), (Cause::Lost, MovePhase::Done));
    let times = report.times;
    let took = times.applied_at.unwrap().since(times.detected_at.unwrap());
    assert!(took <= Duration::from_secs(1), "{took:?}");
    for step in ["FailoverDecided", "FailoverApplied", "FailoverHealthy", "FailoverDone"] {
        assert!(fleet.scene.events().iter().any(|event| event.starts_with(step)), "{step}");
    }
    let view = |state: &State| state.application_status(&shop(), Timestamp::EPOCH);
    let view = fleet.scene.world.read(view);
    assert_eq!((view.cluster_count, view.parked_count, view.health), (1, 1, Health::Healthy));

    fleet.hear("eu-1");
    fleet.stays(200, "eu-1 parked, us-1 active").await;
    fleet.until(600, "eu-1 active, us-1 parked").await;
}

#[tokio::test(start_paused = true)]
async fn exclusive_work_whose_storage_refuses_old_epochs_moves_when_its_cluster_is_lost() {
    let mut fleet = Fleet::new().await;
    fleet.exclusive(json!({"fence": "Storage", "leaseDuration": "30s"})).await;
    let before = fleet.epoch();
    fleet.pass(Duration::from_secs(5)).await;
    fleet.lose("eu-1");
    fleet.until(11, "ap-1 parked, eu-1 parked, us-1 active").await;
    let after = fleet.state().unwrap();
    let grant = after.grant.clone().unwrap();
    assert!(grant.epoch > before && grant.cluster.as_str() == "us-1", "{after:#?}");
    let parked = fleet.scene.world.read(|state| {
        let assignment = state.assignment(&"eu-1".parse().unwrap(), &shop()).unwrap().assignment.clone();
        let Desired::Run(run) = &assignment.desired else { panic!("parked") };
        run.exclusive.unwrap().epoch
    });
    assert_eq!(parked, before, "it stops everything up to its own token when it comes back");
}

#[tokio::test(start_paused = true)]
async fn exclusive_work_whose_agent_stops_it_waits_until_somebody_says_that_it_is_dead() {
    let mut fleet = Fleet::new().await;
    fleet.exclusive(json!({"fence": "Agent", "leaseDuration": "30s"})).await;
    let before = fleet.epoch();
    fleet.lose("eu-1");
    // It may come back and go on until its lease is over.
    fleet.stays(39, "eu-1 active, us-1 parked").await;
    fleet.until(3, "eu-1 parked, us-1 parked").await;
    fleet.stays(120, "eu-1 parked, us-1 parked").await;
    let waiting = fleet.state().unwrap();
    assert_eq!(waiting.moves.first().map(|it| it.phase), Some(MovePhase::Fencing), "{waiting:#?}");
    assert!(waiting.grant.as_ref().unwrap().release.is_some());
    let said = fleet.scene.world.read(|state| state.application_status(&shop(), Timestamp::EPOCH).failover);
    assert!(said.starts_with("moving from eu-1") && said.contains("confirm-fenced"), "{said}");
    let cluster = "eu-1".parse().unwrap();
    fleet.order(OrderKind::ConfirmFenced { cluster, epoch: before, by_webhook: false }).await;
    fleet.until(2, "ap-1 parked, eu-1 parked, us-1 active").await;
    fleet.pass(Duration::from_secs(2)).await;
    let told = fleet.scene.events();
    let steps = told.iter().filter_map(|it| it.split_once(": ").map(|(reason, _)| reason));
    let steps: Vec<&str> = steps.filter(|it| it.starts_with("Failover")).collect();
    let hub = ["FailoverFrozen", "FailoverThawed"];
    assert_eq!(steps[..2], hub);
    assert_eq!(steps[2..5], ["FailoverDecided", "FailoverFencing", "FailoverFencing"], "{told:#?}");
    let last = ["FailoverFenced", "FailoverApplied", "FailoverHealthy", "FailoverDone"];
    assert_eq!(steps[5..], last, "{told:#?}");
    assert!(told.iter().any(|it| it.contains("alice said so")), "{told:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_heard_stops_and_confirms_before_anybody_else_runs() {
    let fleet = Fleet::new().await;
    fleet.exclusive(json!({"fence": "Agent", "leaseDuration": "30s"})).await;
    fleet.conduct("eu-1", |conduct| conduct.confirms = false);
    fleet.order(OrderKind::Move { from: None, to: "us-1".parse().ok() }).await;
    fleet.until(2, "eu-1 parked, us-1 parked").await;
    fleet.stays(60, "eu-1 parked, us-1 parked").await;
    fleet.conduct("eu-1", |conduct| conduct.confirms = true);
    fleet.until(2, "eu-1 parked, us-1 active").await;
    fleet.pass(Duration::from_secs(3)).await;
    assert_eq!(fleet.state().unwrap().history[0].cause, Cause::Ordered);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_started_waits_for_what_an_earlier_one_promised() {
    let mut fleet = Fleet::new().await;
    fleet.exclusive(json!({"fence": "Storage", "leaseDuration": "5m"})).await;
    let before = fleet.epoch();
    for name in ["ap-1", "eu-1", "us-1"] {
        fleet.lose(name);
    }
    fleet.scene = fleet.scene.restarted().await;
    for name in ["ap-1", "us-1"] {
        fleet.hear(name);
    }
    fleet.stays(295, "eu-1 active, us-1 parked").await;
    assert_eq!(fleet.epoch(), before);
    fleet.until(30, "ap-1 parked, eu-1 parked, us-1 active").await;
}

#[tokio::test(start_paused = true)]
async fn a_maintenance_hold_lengthens_leases_and_keeps_exclusive_work_where_it_is() {
    let mut fleet = Fleet::new().await;
    fleet.exclusive(json!({"fence": "Storage", "leaseDuration": "30s"})).await;
    let until = fleet.scene.world.clock().now().plus(Duration::from_secs(1800));
    fleet.say(HubFailoverRecord { maintenance_until: Some(until), ..Default::default() }).await;
    fleet.pass(Duration::from_secs(2)).await;
    let grant = fleet.state().unwrap().grant.unwrap();
    assert!(grant.promised() > Duration::from_secs(1790), "{grant:?}");
    let asked = [(shop(), grant.epoch)];
    let now = fleet.scene.world.now().boot;
    let promised = fleet.scene.world.read(|state| grants::promises(state, &grant.cluster, &asked, now));
    assert!(promised[&shop()].duration > Duration::from_secs(1780), "{promised:?}");
    fleet.lose("eu-1");
    fleet.stays(600, "eu-1 active, us-1 parked").await;
    fleet.until(1300, "ap-1 parked, eu-1 parked, us-1 active").await;
    assert!(fleet.scene.world.clock().now() >= until);
}

#[tokio::test(start_paused = true)]
async fn most_of_the_fleet_silent_at_once_freezes_until_a_person_thaws() {
    let mut fleet = Fleet::new().await;
    let spec = json!({"placement": {"count": 1}, "failover": {"prefer": [{"region": "eu"}]}});
    fleet.scene.apply(spec, deployment()).await;
    fleet.until(2, "eu-1 active").await;
    // The one that falls silent last holds the work.
    fleet.lose("us-1");
    fleet.pass(BEAT).await;
    fleet.lose("eu-1");
    fleet.stays(60, "eu-1 active").await;
    let frozen = fleet.scene.world.hub_failover_view().frozen.clone().unwrap();
    assert!(frozen.reason.contains("2 of 3 regions"), "{frozen:?}");
    let thawed_at = Some(fleet.scene.world.clock().now());
    fleet.say(HubFailoverRecord { thawed_at, ..Default::default() }).await;
    fleet.until(2, "ap-1 active, eu-1 parked").await;
    fleet.pass(Duration::from_secs(2)).await;
    assert_eq!(fleet.scene.world.hub_failover_view().frozen, None);
    for event in ["FailoverFrozen", "FailoverThawed"] {
        assert!(fleet.scene.events().iter().any(|it| it.starts_with(event)), "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_freezes_and_what_was_kept_moves_when_that_ends() {
    let mut fleet = Fleet::new().await;
    fleet
        .scene
        .apply(json!({"placement": {"count": 1}, "failover": {"prefer": [{"region": "eu"}]}}), deployment())
        .await;
    fleet.until(2, "eu-1 active").await;
    let since = fleet.scene.world.clock().now();
    let frozen = Some(FrozenBy { by: "alice".into(), since });
    fleet.say(HubFailoverRecord { frozen, ..Default::default() }).await;
    fleet.lose("eu-1");
    fleet.stays(60, "eu-1 active").await;
    fleet.say(HubFailoverRecord::default()).await;
    fleet.pass(Duration::from_secs(2)).await;
    let told = fleet.scene.world.read(stands);
    assert!(told.starts_with("ap-1 active, eu-1 parked") || told == "eu-1 parked, us-1 active", "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_was_paused_waits_before_it_believes_what_it_sees() {
    let mut fleet = Fleet::new().await;
    fleet
        .scene
        .apply(json!({"placement": {"count": 1}, "failover": {"prefer": [{"region": "eu"}]}}), deployment())
        .await;
    fleet.until(2, "eu-1 active").await;
    fleet.lose("eu-1");
    fleet.scene.clock.skip(Duration::from_secs(30));
    fleet.stays(55, "eu-1 active").await;
    let frozen = fleet.scene.world.hub_failover_view().frozen.clone().unwrap();
    assert!(frozen.reason.contains("paused"), "{frozen:?}");
    fleet.pass(Duration::from_secs(7)).await;
    assert_ne!(fleet.scene.world.read(stands), "eu-1 active");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_sick_for_a_while_is_left() {
    let fleet = Fleet::new().await;
    fleet
        .scene
        .apply(
            json!({"placement": {"count": 1}, "failover": {"prefer": [{"region": "eu"}, {"region": "us"}]}}),
            deployment(),
        )
        .await;
    fleet.until(2, "eu-1 active").await;
    fleet.conduct("eu-1", |conduct| conduct.problem = Some("connection refused".into()));
    fleet.stays(58, "eu-1 active").await;
    fleet.until(5, "eu-1 parked, us-1 active").await;
    assert_eq!(fleet.state().map(|state| state.move_count), Some(1));
}

#[tokio::test(start_paused = true)]
async fn work_that_was_healthy_leaves_a_cluster_in_which_it_is_degraded_and_only_once() {
    let fleet = Fleet::new().await;
    let failover = json!({"degradedAfter": "2m", "prefer": [{"region": "eu"}, {"region": "us"}]});
    fleet.scene.apply(json!({"placement": {"count": 1}, "failover": failover}), deployment()).await;
    fleet.until(2, "eu-1 active").await;
    fleet.pass(Duration::from_secs(2)).await;
    for name in ["ap-1", "eu-1", "us-1"] {
        fleet.conduct(name, |conduct| conduct.health = Health::Degraded);
    }
    fleet.stays(115, "eu-1 active").await;
    fleet.until(10, "eu-1 parked, us-1 active").await;
    fleet.stays(400, "eu-1 parked, us-1 active").await;
}

#[tokio::test(start_paused = true)]
async fn nothing_exclusive_is_granted_that_an_agent_knows_more_of_until_a_person_thaws() {
    let fleet = Fleet::new().await;
    let eu: ClusterName = "eu-1".parse().unwrap();
    fleet.scene.world.set_epoch_ahead(&eu, Epoch::from_number(u64::MAX), [shop()].into());
    let failover = json!({"mode": "Exclusive", "prefer": [{"region": "eu"}, {"region": "us"}]});
    fleet.scene.apply(json!({"placement": {"count": 1}, "failover": failover}), deployment()).await;
    fleet.stays(30, "").await;
    let thawed_at = Some(fleet.scene.world.clock().now());
    fleet.say(HubFailoverRecord { thawed_at, ..Default::default() }).await;
    fleet.until(2, "eu-1 active, us-1 parked").await;
}

#[tokio::test(start_paused = true)]
async fn the_record_of_a_deleted_application_goes_once_nothing_of_it_can_run() {
    let mut fleet = Fleet::new().await;
    fleet.exclusive(json!({"fence": "Storage"})).await;
    let mut application = fleet.scene.world.read(|state| (*state.applications()[&shop()].value).clone());
    application.metadata.deleted_at = Some(Timestamp::from_millis(1).unwrap());
    fleet.lose("eu-1");
    fleet.scene.write([record(&application)]).await;
    fleet.until(2, "eu-1 removed").await;
    assert!(fleet.state().is_some(), "it may still run where nobody has confirmed");
    fleet.hear("eu-1");
    fleet.until(2, "").await;
    fleet.pass(Duration::from_secs(1)).await;
    assert_eq!(fleet.state(), None);
    assert!(fleet.scene.world.read(|state| state.applications().is_empty()));
}
