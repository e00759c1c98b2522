//! Holds: what is withheld, planned, granted and settled, by what agents have said.

use std::time::Duration;

use nave_common::application::{Application, ApplicationSpec};
use nave_common::assignment::{Activity, ExclusiveTerms, Run, SyncPolicy};
use nave_common::cluster::{Cluster, ClusterSpec};
use nave_common::digest::Digest;
use nave_common::failover::state::{FailoverState, Grant};
use nave_common::failover::{Epoch, Fence};
use nave_common::overrides::Override;
use nave_common::source::{InlineSource, Source};
use nave_common::time::BootTime;

use super::super::state::Update;
use super::*;
use crate::backup::compare::compare;
use crate::records::{ApplicationRecord, ClusterRecord, KeptBy, Record};
use crate::session::grants;
use crate::session::machine::{Held, Hello};
use crate::store::Sequence;

const UP_TO: Generation = Generation { term: 2, counter: 9 };

fn ledger() -> ApplicationKey {
    "ledger".parse().unwrap()
}

fn name(text: &str) -> ClusterName {
    text.parse().unwrap()
}

fn at() -> Timestamp {
    Timestamp::from_millis(1_769_860_800_000).unwrap()
}

fn epoch() -> Epoch {
    Epoch::of(Generation { term: 1, counter: 5 }).unwrap()
}

/// A restored hub: the clusters, and `ledger` held, which is told to run in the first of them.
struct World {
    state: State,
    sequence: u64,
}

impl World {
    fn restored(mode: FailoverMode, clusters: &[&str]) -> Self {
        let mut world = Self { state: State::default(), sequence: 0 };
        world.put(Record::Term(UP_TO.term));
        world.put(Record::Generation(UP_TO.counter));
        for cluster in clusters {
            let metadata = serde_json::from_value(serde_json::json!({"name": cluster})).unwrap();
            let cluster = Cluster { metadata, spec: ClusterSpec::default(), status: None };
            world.put(Record::Cluster(Box::new(ClusterRecord::new(cluster))));
        }
        world.apply(mode);
        world.tell(clusters[0], Generation { term: 2, counter: 5 }, "backup");
        let mut failover = FailoverState::new(ledger());
        if mode == FailoverMode::Exclusive {
            let (cluster, granted_at) = (name(clusters[0]), at());
            let grant = Grant { cluster, epoch: epoch(), promised_ms: 60_000, granted_at, release: None };
            failover.grant = Some(grant);
            world.put(Record::Failover(Box::new(failover)));
        }
        world.hold(None);
        world.put(Record::Restored(Box::new(RestoredRecord {
            at: at(),
            term: 2,
            taken_at: at(),
            from_term: 1,
            from_sequence: 100,
        })));
        world
    }

    fn put(&mut self, record: Record) {
        self.sequence += 1;
        self.state.apply(Sequence(self.sequence), vec![Update::Put(record)], &mut Vec::new());
    }

    fn apply(&mut self, mode: FailoverMode) {
        let metadata = serde_json::from_value(serde_json::json!({"name": "ledger"})).unwrap();
        let source = Source::Inline(InlineSource { manifests: Vec::new() });
        let mut spec: ApplicationSpec =
            serde_json::from_value(serde_json::json!({"source": source})).unwrap();
        spec.failover.mode = mode;
        spec.placement.count = Some(1);
        let application = Application { metadata, spec, status: None };
        let record = ApplicationRecord { application, change_id: String::new() };
        self.put(Record::Application(Box::new(record)));
    }

    fn tell(&mut self, cluster: &str, generation: Generation, content: &str) {
        self.put(Record::Assignment(Box::new(Assignment {
            application: ledger(),
            cluster: name(cluster),
            generation,
            change_id: String::new(),
            desired: run(content),
        })));
    }

    fn hold(&mut self, kept: Option<KeptBy>) {
        let hold = HoldRecord { application: ledger(), up_to: UP_TO, since: at(), kept };
        self.put(Record::Hold(Box::new(hold)));
    }

    fn keep(&mut self) {
        self.hold(Some(KeptBy { by: "anna".into(), at: at() }));
    }

    /// An agent connects with this content of `ledger`, or with nothing of it.
    fn hear(&mut self, cluster: &str, content: Option<&str>) {
        let generation = Generation { term: 1, counter: 8 };
        let held = content.map(|content| (ledger(), Held { generation, desired: run(content).digest() }));
        let hello = Hello { generation, held: held.into_iter().collect() };
        let report = compare(&self.state, &name(cluster), &hello);
        let (entry, _) = self.state.cluster_mut(&name(cluster)).unwrap();
        entry.observed.report = report.map(Arc::new);
    }

    fn is_withheld(&self, cluster: &str) -> bool {
        let assignment = self.state.assignment(&name(cluster), &ledger()).unwrap().assignment.clone();
        self.state.is_withheld(&assignment)
    }

    fn is_promised(&self, cluster: &str) -> bool {
        let asked = [(ledger(), epoch())];
        let promises =
            grants::promises(&self.state, &name(cluster), &asked, BootTime::from_duration(Duration::ZERO));
        promises.get(&ledger()).is_some_and(|promise| promise.duration == Duration::from_secs(60))
    }

    fn release(&mut self) {
        self.sequence += 1;
        let gone = Update::Delete(crate::records::Name::Hold(ledger()));
        self.state.apply(Sequence(self.sequence), vec![gone], &mut Vec::new());
    }
}

fn run(content: &str) -> Desired {
    if content == "removed" {
        return Desired::Remove;
    }
    Desired::Run(Box::new(Run {
        revision: 1,
        bundle: Digest::of(content.as_bytes()),
        override_: Override::default(),
        rendering: Digest::of(content.as_bytes()),
        namespace: None,
        create_namespace: false,
        sync: SyncPolicy {
            prune: true,
            adopt: nave_common::application::Adopt::default(),
            prune_adopted: false,
            ignore_fields: Vec::new(),
            suspended: false,
        },
        activity: Activity::Active,
        park: Vec::new(),
        exclusive: Some(ExclusiveTerms { epoch: epoch(), fence: Fence::Agent, fence_timeout_ms: 1000 }),
    }))
}

#[test]
fn what_the_agent_has_is_settled_and_everything_else_waits() {
    let cases: [(Option<&str>, Option<Finding>); 4] = [
        (Some("backup"), None),
        (Some("later"), Some(Finding::Differs)),
        (Some("removed"), Some(Finding::Removed)),
        (None, Some(Finding::Missing)),
    ];
    for (content, found) in cases {
        let mut world = World::restored(FailoverMode::Overlap, &["eu-1", "us-1"]);
        assert!(world.is_withheld("eu-1") && !world.state.may_plan(&ledger()));
        assert!(!world.state.is_settled(&ledger()), "nobody has said anything");
        world.hear("eu-1", content);
        let differing: Vec<Finding> =
            world.state.holding(&ledger()).unwrap().differing.iter().map(|(_, found)| *found).collect();
        assert_eq!(differing, found.into_iter().collect::<Vec<_>>(), "{content:?}");
        assert_eq!(world.state.is_settled(&ledger()), found.is_none(), "{content:?}");
        assert!(world.is_withheld("eu-1"), "a hold ends in the store and nowhere else");
    }
}

#[test]
fn a_copy_that_the_backup_does_not_know_waits_for_a_person() {
    let mut world = World::restored(FailoverMode::Overlap, &["eu-1", "us-1"]);
    world.hear("eu-1", Some("backup"));
    world.hear("us-1", Some("backup"));
    let holding = world.state.holding(&ledger()).unwrap();
    assert_eq!(holding.differing, [(name("us-1"), Finding::Extra)]);
    assert!(
        holding.reason().contains("us-1 runs it, and the backup does not say so"),
        "{}",
        holding.reason()
    );
}

#[test]
fn no_lease_is_renewed_before_every_possible_holder_has_reported() {
    let mut world = World::restored(FailoverMode::Exclusive, &["eu-1", "us-1"]);
    assert!(!world.is_promised("eu-1"));
    world.hear("eu-1", Some("backup"));
    assert!(!world.state.is_settled(&ledger()), "us-1 may hold it since");
    assert!(!world.is_promised("eu-1"));
    world.hear("us-1", None);
    assert!(world.state.is_settled(&ledger()));
    assert!(!world.is_promised("eu-1"), "settled is not released");
    world.release();
    assert!(world.is_promised("eu-1") && !world.is_promised("us-1"));
}

#[test]
fn what_is_kept_is_planned_only_after_a_change_and_then_told_anew() {
    let mut world = World::restored(FailoverMode::Overlap, &["eu-1"]);
    world.hear("eu-1", Some("later"));
    world.keep();
    assert!(!world.state.may_plan(&ledger()) && world.is_withheld("eu-1"));
    assert_eq!(world.state.waiting_count(), 0);
    world.apply(FailoverMode::Overlap);
    assert!(world.state.may_plan(&ledger()) && world.is_withheld("eu-1"));
    let told = world.state.told_for_planning(&ledger());
    assert_ne!(told[&name("eu-1")].desired, run("backup"), "it differs from all that can be wanted");
    assert!(!world.state.is_settled(&ledger()));
    world.tell("eu-1", Generation { term: 2, counter: 10 }, "backup");
    assert!(!world.is_withheld("eu-1") && world.state.is_settled(&ledger()));
}

#[test]
fn an_agent_ahead_settles_nothing() {
    let mut world = World::restored(FailoverMode::Overlap, &["eu-1"]);
    let generation = Generation { term: 7, counter: 1 };
    let held = Held { generation, desired: run("backup").digest() };
    let hello = Hello { generation, held: [(ledger(), held)].into() };
    let report = compare(&world.state, &name("eu-1"), &hello);
    assert_eq!(report.as_ref().unwrap().ahead, Some(generation));
    let (entry, _) = world.state.cluster_mut(&name("eu-1")).unwrap();
    entry.observed.report = report.map(Arc::new);
    assert!(!world.state.is_settled(&ledger()));
    assert_eq!(world.state.holding(&ledger()).unwrap().differing, [(name("eu-1"), Finding::Ahead)]);
}
