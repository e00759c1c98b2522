//! The fence between what is told and what is handed on, on a clock that the test moves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nave_common::assignment::{Assignment, Run, SyncPolicy};
use nave_common::failover::{Fence as Fencing, holder_lease};
use nave_common::manifest::Manifest;
use nave_common::overrides::Override;
use nave_common::render::Rendering;
use nave_common::status::FenceState;
use serde_json::json;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Hand(AtomicU64);

impl Hand {
    fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn boot(&self) -> BootTime {
        BootTime::from_duration(Duration::from_secs(self.0.load(Ordering::Relaxed)))
    }

    fn boot_id(&self) -> Option<String> {
        Some("boot".to_owned())
    }
}

fn ledger() -> ApplicationKey {
    "ledger".parse().unwrap()
}

fn work(counter: u64, activity: Activity, epoch: u64, fence: Fencing) -> Arc<Work> {
    let manifest = Manifest::new(json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "ledger"}, "spec": {"replicas": 1}}))
    .unwrap();
    let rendering = render::render(
        &nave_common::bundle::Bundle::new(vec![manifest]).unwrap(),
        render::Inputs { activity, ..render::Inputs::plain(&Override::default()) },
    )
    .unwrap();
    let run = Run {
        revision: 1,
        bundle: rendering.digest,
        override_: Override::default(),
        rendering: rendering.digest,
        namespace: None,
        create_namespace: false,
        sync: SyncPolicy {
            prune: true,
            adopt: nave_common::application::Adopt::default(),
            prune_adopted: false,
            ignore_fields: Vec::new(),
            suspended: false,
        },
        activity,
        park: Vec::new(),
        exclusive: Some(ExclusiveTerms { epoch: Epoch::from_number(epoch), fence, fence_timeout_ms: 1000 }),
    };
    let assignment = Assignment {
        application: ledger(),
        cluster: "eu-1".parse().unwrap(),
        generation: Generation { term: 1, counter },
        change_id: String::new(),
        desired: Desired::Run(Box::new(run)),
    };
    Arc::new(Work { assignment, rendering: Some(Arc::new(rendering)) })
}

fn set(work: Arc<Work>) -> WorkSet {
    Arc::new(BTreeMap::from([(ledger(), work)]))
}

struct Bench {
    _folder: tempfile::TempDir,
    clock: Arc<Hand>,
    reports: Reports,
    fence: Fence,
}

impl Bench {
    fn new(told: &WorkSet) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, reports) = (Arc::new(Hand::default()), Reports::new());
        let fence = open(folder.path(), &clock, &reports, told);
        Self { _folder: folder, clock, reports, fence }
    }

    /// The replicas of what is handed on.
    fn replicas(&self) -> i64 {
        let set = self.fence.subscribe().borrow().clone();
        let rendering: &Rendering = set[&ledger()].rendering.as_ref().unwrap();
        rendering.manifests[0].object()["spec"]["replicas"].as_i64().unwrap()
    }

    fn renew(&self, number: u64, epoch: u64) {
        let _ = self.fence.beat(number);
        let renewed = Renewed { application: ledger(), epoch: Epoch::from_number(epoch), duration: MINUTE };
        self.fence.acknowledged(number, 1, &[renewed]);
    }

    fn fence_state(&self) -> Option<FenceState> {
        self.fence.shared.lock().entries[&ledger()].exclusive.as_ref()?.stop.as_ref().map(|stop| stop.state)
    }
}

fn open(folder: &Path, clock: &Arc<Hand>, reports: &Reports, told: &WorkSet) -> Fence {
    let clock: Arc<dyn Clock> = Arc::<Hand>::clone(clock);
    Fence::open(folder, clock, told, Generation { term: 1, counter: 1 }, reports.clone())
}

#[test]
fn nothing_runs_before_its_lease_and_nothing_after_it() {
    let bench = Bench::new(&set(work(2, Activity::Active, 7, Fencing::Agent)));
    assert_eq!((bench.replicas(), bench.fence_state()), (0, Some(FenceState::Stopping)));
    bench.clock.set(10);
    bench.renew(1, 7);
    assert_eq!((bench.replicas(), bench.fence_state()), (1, None));
    bench.clock.set(10 + holder_lease(MINUTE).as_secs());
    bench.fence.shared.refresh();
    assert_eq!(bench.replicas(), 1, "its last second");
    bench.clock.set(11 + holder_lease(MINUTE).as_secs());
    bench.fence.shared.refresh();
    assert_eq!((bench.replicas(), bench.fence_state()), (0, Some(FenceState::Stopping)));
    bench.renew(2, 7);
    assert_eq!(bench.replicas(), 1, "the hub is back, and nobody else was granted it");
}

#[test]
fn what_is_handed_on_is_what_the_hub_would_render_parked() {
    let bench = Bench::new(&set(work(2, Activity::Active, 7, Fencing::Agent)));
    let handed_on = bench.fence.subscribe().borrow()[&ledger()].clone();
    let parked = work(2, Activity::Parked, 7, Fencing::Agent);
    assert_eq!(handed_on.assignment.desired, {
        let mut desired = parked.assignment.desired.clone();
        if let (Desired::Run(run), Desired::Run(ours)) = (&mut desired, &handed_on.assignment.desired) {
            run.bundle = ours.bundle;
        }
        desired
    });
    assert_eq!(handed_on.rendering, parked.rendering);
}

#[test]
fn told_to_park_it_parks_at_once_and_another_epoch_needs_its_own_lease() {
    let bench = Bench::new(&set(work(2, Activity::Active, 7, Fencing::Agent)));
    bench.renew(1, 7);
    bench.fence.shared.take(&set(work(3, Activity::Parked, 7, Fencing::Agent)));
    assert_eq!((bench.replicas(), bench.fence_state()), (0, Some(FenceState::Stopping)));
    bench.renew(2, 7);
    assert_eq!(bench.replicas(), 0, "a late answer");
    bench.fence.shared.take(&set(work(4, Activity::Active, 9, Fencing::Agent)));
    assert_eq!(bench.replicas(), 0);
    bench.renew(3, 9);
    assert_eq!(bench.replicas(), 1);
    assert_eq!(bench.fence.highest(), Epoch::from_number(9));
}

#[tokio::test]
async fn a_new_grant_asks_for_its_lease_at_once() {
    let bench = Bench::new(&set(work(2, Activity::Parked, 0, Fencing::Agent)));
    bench.fence.shared.take(&set(work(3, Activity::Active, 7, Fencing::Agent)));
    bench.fence.beat_wanted().await;
}

#[test]
fn with_storage_or_a_person_as_fence_nothing_ends_with_a_lease() {
    for fence in [Fencing::Storage, Fencing::Manual] {
        let bench = Bench::new(&set(work(2, Activity::Active, 7, fence)));
        bench.clock.set(1_000_000);
        bench.fence.shared.refresh();
        assert_eq!(bench.replicas(), 1, "{fence}");
        bench.fence.shared.take(&set(work(3, Activity::Parked, 7, fence)));
        assert_eq!(bench.replicas(), 0, "{fence}");
    }
}

#[test]
fn a_restart_with_a_proven_lease_touches_nothing_and_one_without_parks_first() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, reports) = (Arc::new(Hand::default()), Reports::new());
    let told = set(work(2, Activity::Active, 7, Fencing::Agent));
    let fence = open(folder.path(), &clock, &reports, &told);
    let bench = |fence: Fence| Bench {
        _folder: tempfile::tempdir().unwrap(),
        clock: Arc::clone(&clock),
        reports: reports.clone(),
        fence,
    };
    let first = bench(fence);
    clock.set(100);
    first.renew(1, 7);
    let (machine, tracker) = first.fence.shared.to_be_kept();
    first.fence.shared.file.write(&machine).unwrap();
    first.fence.shared.remember(&tracker);
    clock.set(120);
    let again = bench(open(folder.path(), &clock, &reports, &told));
    assert_eq!((again.replicas(), again.fence_state()), (1, None));
    clock.set(200);
    let late = bench(open(folder.path(), &clock, &reports, &told));
    assert_eq!((late.replicas(), late.fence_state()), (0, Some(FenceState::Stopping)));
    let elsewhere = bench(open(tempfile::tempdir().unwrap().path(), &clock, &reports, &told));
    assert_eq!(elsewhere.replicas(), 0);
    assert!(elsewhere.reports.all().0.is_empty());
}

#[test]
fn what_is_removed_or_no_longer_exclusive_is_of_no_concern() {
    let bench = Bench::new(&set(work(2, Activity::Active, 7, Fencing::Agent)));
    let mut removal = Work::clone(&work(3, Activity::Active, 7, Fencing::Agent));
    removal.assignment.desired = Desired::Remove;
    removal.rendering = None;
    bench.fence.shared.take(&set(Arc::new(removal)));
    assert!(bench.fence.subscribe().borrow()[&ledger()].run().is_none());
    bench.fence.shared.take(&WorkSet::default());
    assert!(bench.fence.subscribe().borrow().is_empty());
    assert!(bench.fence.beat(1).is_empty());
}
