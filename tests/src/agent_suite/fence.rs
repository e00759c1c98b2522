//! Exclusive work: it runs under its lease and never without, and its end is told only once it is known.

use nave_common::assignment::Activity;
use nave_common::health::Health;
use nave_common::name::ApplicationKey;
use nave_common::status::{FenceState, SyncState};
use serde_json::{Value, json};

use super::TestCluster;
use super::agent::Wish;
use super::applying::deployment;
use super::fenced::FencedAgent;

/// A Deployment and a volume of its own.
fn ledger(namespace: &str) -> (Value, Value) {
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "books", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    (deployment(namespace, "ledger", 2, "ledger:1"), claim)
}

fn replicas(object: &Value) -> i64 {
    object["spec"]["replicas"].as_i64().unwrap_or(-1)
}

/// A pod that is deleted while it gets its node is removed by force by the API server itself, so cases wait for all.
fn is_ready(object: &Value) -> bool {
    replicas(object) == 2
        && is_observed(object)
        && object["status"]["readyReplicas"] == 2
        && object["status"]["updatedReplicas"] == 2
}

fn is_observed(object: &Value) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

/// An agent that runs a ledger under epoch 7.
async fn running(
    cluster: &TestCluster,
    prefix: &str,
) -> (FencedAgent, ApplicationKey, String, Wish, Value, Value) {
    let namespace = cluster.namespace(prefix).await;
    let (workload, claim) = ledger(&namespace);
    let wish = Wish::new(vec![workload.clone(), claim.clone()]);
    let name = cluster.name(prefix);
    let mut agent = FencedAgent::start(cluster);
    let key = agent.tell(&name, &wish, Activity::Active, 7);
    agent.renew(&key, 7).await;
    agent.wait_running(&key).await;
    cluster.wait(&workload, "running", is_ready).await;
    (agent, key, name, wish, workload, claim)
}

/// Told to park, it scales to zero, keeps what is there and confirms; told to run under a new epoch, it runs again.
pub async fn parking_keeps_everything_and_confirms(cluster: &TestCluster) {
    let (mut agent, key, name, wish, workload, claim) = running(cluster, "park").await;
    let template = cluster.get(&workload).await.expect("it is there")["spec"]["template"].clone();
    assert_eq!(template["metadata"]["annotations"]["nave.dev/epoch"], "7");
    let uid = cluster.get(&claim).await.expect("it is there")["metadata"]["uid"].clone();

    agent.tell(&name, &wish, Activity::Parked, 7);
    let fence = agent.wait_fence(&key, FenceState::Confirmed).await;
    assert_eq!(fence.epoch.number(), 7);
    assert_eq!(replicas(&cluster.get(&workload).await.expect("it is there")), 0);
    assert_eq!(cluster.get(&claim).await.expect("it is there")["metadata"]["uid"], uid);
    let is_well = |status: &nave_common::status::AssignmentStatus| {
        status.health == Health::Healthy && status.sync == SyncState::Synced
    };
    let status = agent.wait(&key, "well", is_well).await;
    assert!(status.reason.starts_with("parked"), "{status:#?}");
    // Told the same in a newer generation, it answers in that.
    agent.tell(&name, &wish, Activity::Parked, 7);
    agent.wait_fence(&key, FenceState::Confirmed).await;

    agent.tell(&name, &wish, Activity::Active, 9);
    agent.renew(&key, 9).await;
    agent.wait_running(&key).await;
    let live = cluster.get(&workload).await.expect("it is there");
    assert_eq!(replicas(&live), 2);
    assert_eq!(live["spec"]["template"]["metadata"]["annotations"]["nave.dev/epoch"], "9");
    agent.stop().await;
}

/// Without answers from a hub the work stops when the lease is over, and runs again once it is renewed.
pub async fn work_stops_when_its_lease_is_over(cluster: &TestCluster) {
    let (mut agent, key, _, _, workload, _) = running(cluster, "lease").await;
    agent.clock().pass(58);
    agent.renew(&key, 7).await;
    agent.clock().pass(58);
    assert!(agent.status(&key).is_some_and(|status| status.fence.is_none()));
    agent.clock().pass(1);
    cluster.wait(&workload, "stopped", |object| replicas(object) == 0).await;
    cluster.wait(&workload, "seen", |object| replicas(object) == 0 && is_observed(object)).await;
    agent.wait_fence(&key, FenceState::Confirmed).await;
    agent.renew(&key, 7).await;
    agent.wait_running(&key).await;
    cluster.wait(&workload, "running", |object| replicas(object) == 2).await;
    agent.stop().await;
}

/// Who scales up what is parked has it scaled down again, every time: a fence does not give way.
pub async fn what_is_parked_stays_so_whoever_scales(cluster: &TestCluster) {
    let (mut agent, key, name, wish, workload, _) = running(cluster, "stubborn").await;
    agent.tell(&name, &wish, Activity::Parked, 7);
    agent.wait_fence(&key, FenceState::Confirmed).await;
    for round in 0..12 {
        // The HorizontalPodAutoscaler's controller writes under the first of these names.
        let manager = if round % 2 == 0 { "kube-controller-manager" } else { "kubectl" };
        cluster.scale(&workload, manager, 3).await;
        cluster.wait(&workload, "stopped again", |object| replicas(object) == 0).await;
    }
    agent.wait_fence(&key, FenceState::Confirmed).await;
    agent.stop().await;
}

/// Replicas that an autoscaler has are taken for parking, remembered in the object, and given back.
pub async fn replicas_of_an_autoscaler_come_back_after_parking(cluster: &TestCluster) {
    let namespace = cluster.namespace("scaled-park").await;
    let (workload, _) = ledger(&namespace);
    let autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "ledger", "namespace": namespace},
        "spec": {"minReplicas": 1, "maxReplicas": 9,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "ledger"}}});
    let wish = Wish::new(vec![workload.clone(), autoscaler]);
    let name = cluster.name("scaled-park");
    let mut agent = FencedAgent::start(cluster);
    let key = agent.tell(&name, &wish, Activity::Active, 7);
    agent.renew(&key, 7).await;
    agent.wait_running(&key).await;
    cluster.scale(&workload, "kube-controller-manager", 5).await;
    let is_left = |object: &Value| {
        replicas(object) == 5 && {
            let entries = object["metadata"]["managedFields"].as_array();
            let nave = entries.into_iter().flatten().find(|entry| entry["manager"] == "nave");
            nave.is_some_and(|entry| entry["fieldsV1"]["f:spec"]["f:replicas"].is_null())
        }
    };
    cluster.wait(&workload, "left to the autoscaler", is_left).await;

    agent.tell(&name, &wish, Activity::Parked, 7);
    agent.wait_fence(&key, FenceState::Confirmed).await;
    let live = cluster.get(&workload).await.expect("it is there");
    assert_eq!(live["metadata"]["annotations"]["nave.dev/parked-replicas"], "5");
    // It is remembered by the object, not by the agent.
    let disk = agent.stop().await;
    let mut agent = FencedAgent::start_on(cluster, disk);
    agent.wait_fence(&key, FenceState::Confirmed).await;
    agent.tell(&name, &wish, Activity::Active, 9);
    agent.renew(&key, 9).await;
    agent.wait_running(&key).await;
    cluster.wait(&workload, "as the autoscaler left it", |object| replicas(object) == 5).await;
    cluster.scale(&workload, "kube-controller-manager", 6).await;
    let is_back = |object: &Value| {
        replicas(object) == 6 && object["metadata"]["annotations"]["nave.dev/parked-replicas"].is_null()
    };
    cluster.wait(&workload, "the autoscaler's again", is_back).await;
    agent.stop().await;
}

/// A pod on a node that is not Ready and that somebody removes by force may still run: that is said, with its name.
pub async fn pod_that_is_removed_by_force_is_unconfirmed(cluster: &TestCluster) {
    let (mut agent, key, name, wish, _, _) = running(cluster, "forced").await;
    let namespace = wish.objects[0]["metadata"]["namespace"].as_str().expect("a namespace").to_owned();
    let node = cluster.name("dead");
    cluster.create(&dead_node(&node), "kubelet").await;
    let label = nave_common::render::activity::pod_label(&key);
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "lost", "namespace": namespace, "labels": {"nave.dev/exclusive": label}},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "ledger:1"}],
            "terminationGracePeriodSeconds": 30}});
    cluster.create(&pod, "kubectl-create").await;
    let ran = json!({"status": {"phase": "Running", "containerStatuses": [{"name": "main", "image": "ledger:1",
        "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}}]}});
    cluster.edit_status(&pod, "kubelet", ran).await;
    agent.tell(&name, &wish, Activity::Parked, 7);
    let names_it = |status: &nave_common::status::AssignmentStatus| {
        status.fence.as_ref().is_some_and(|fence| fence.reason.contains("/lost on node"))
    };
    agent.wait(&key, "the pod is named", names_it).await;
    cluster.delete_by_force(&pod).await;
    let fence = agent.wait_fence(&key, FenceState::Unconfirmed).await;
    assert!(fence.reason.contains("/lost on node") && fence.reason.contains(&node), "{fence:#?}");
    // A restart does not forget it.
    let disk = agent.stop().await;
    let mut agent = FencedAgent::start_on(cluster, disk);
    let fence = agent.wait_fence(&key, FenceState::Unconfirmed).await;
    assert!(fence.reason.contains("/lost on node"), "{fence:#?}");
    // A new grant is made only once the old one is dead.
    agent.tell(&name, &wish, Activity::Active, 9);
    agent.renew(&key, 9).await;
    agent.wait_running(&key).await;
    cluster.wait(&wish.objects[0], "running", is_ready).await;
    agent.tell(&name, &wish, Activity::Parked, 9);
    agent.wait_fence(&key, FenceState::Confirmed).await;
    agent.stop().await;
    cluster.delete(&dead_node(&node)).await;
}

fn dead_node(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady"}]}})
}

/// Work that does not end in time is told with the names of its pods, and a late end still counts.
pub async fn work_that_does_not_end_in_time_is_named(cluster: &TestCluster) {
    let (mut agent, key, name, wish, _, _) = running(cluster, "late").await;
    let namespace = wish.objects[0]["metadata"]["namespace"].as_str().expect("a namespace").to_owned();
    let label = nave_common::render::activity::pod_label(&key);
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "late", "namespace": namespace, "labels": {"nave.dev/exclusive": label},
            "finalizers": ["example.com/slow"]},
        "spec": {"containers": [{"name": "main", "image": "ledger:1"}],
            "nodeSelector": {"example.com/none": "true"}}});
    cluster.create(&pod, "kubectl-create").await;
    agent.tell(&name, &wish, Activity::Parked, 7);
    let fence = agent.wait_fence(&key, FenceState::Stopping).await;
    assert_eq!(fence.epoch.number(), 7);
    agent.clock().pass(31);
    let fence = agent.wait_fence(&key, FenceState::Unconfirmed).await;
    assert!(fence.reason.contains("fenceTimeout"), "{fence:#?}");
    cluster.delete(&pod).await;
    cluster.edit(&pod, "someone", json!({"metadata": {"finalizers": null}})).await;
    agent.wait_fence(&key, FenceState::Confirmed).await;
    agent.stop().await;
}

/// An agent that is started anew within its lease goes on without touching anything; one that cannot prove a lease stops
/// first, whatever it was told.
pub async fn restart_goes_on_with_a_proven_lease_and_stops_without(cluster: &TestCluster) {
    let (mut agent, key, _, _, workload, _) = running(cluster, "again").await;
    cluster.wait(&workload, "seen by its controller", is_observed).await;
    let before = cluster.get(&workload).await.expect("it is there")["metadata"]["generation"].clone();
    agent.clock().pass(5);
    agent.renew(&key, 7).await;
    let disk = agent.stop().await;
    disk.clock.pass(20);
    let agent = FencedAgent::start_on(cluster, disk);
    agent.wait_running(&key).await;
    let live = cluster.get(&workload).await.expect("it is there");
    assert_eq!((replicas(&live), &live["metadata"]["generation"]), (2, &before));
    let disk = agent.stop().await;
    disk.clock.reboot();
    let mut agent = FencedAgent::start_on(cluster, disk);
    cluster.wait(&workload, "stopped", |object| replicas(object) == 0).await;
    agent.wait_fence(&key, FenceState::Confirmed).await;
    agent.renew(&key, 7).await;
    agent.wait_running(&key).await;
    agent.stop().await;
}

/// A suspension stops put-back and nothing else: Exclusive work stops all the same, and only that is written.
pub async fn suspended_work_stops_all_the_same(cluster: &TestCluster) {
    let namespace = cluster.namespace("hands-off").await;
    let (workload, _) = ledger(&namespace);
    let map = super::applying::config_map(&namespace, "settings", "wanted");
    let wish = Wish::new(vec![workload.clone(), map.clone()]);
    let name = cluster.name("hands-off");
    let mut agent = FencedAgent::start(cluster);
    let key = agent.tell(&name, &wish, Activity::Active, 7);
    agent.renew(&key, 7).await;
    agent.wait_running(&key).await;
    let suspended = wish.with(|wish| wish.sync.suspended = true);
    agent.tell(&name, &suspended, Activity::Active, 7);
    agent.wait(&key, "suspended", |status| status.sync == SyncState::Suspended).await;
    cluster.edit(&map, "kubectl-edit", json!({"data": {"key": "by hand"}})).await;
    let suspend = json!({"metadata": {"annotations": {"nave.dev/suspend": "true"}}});
    cluster.edit(&workload, "kubectl-annotate", suspend).await;
    agent.clock().pass(60);
    agent.wait_fence(&key, FenceState::Confirmed).await;
    assert_eq!(replicas(&cluster.get(&workload).await.expect("it is there")), 0);
    assert_eq!(cluster.get(&map).await.expect("it is there")["data"]["key"], "by hand");
    agent.stop().await;
}

/// A Job that a CronJob has started is stopped with it.
pub async fn jobs_of_cron_jobs_are_stopped(cluster: &TestCluster) {
    let namespace = cluster.namespace("nightly").await;
    let template = json!({"spec": {"template": {"spec": {"restartPolicy": "Never",
        "nodeSelector": {"example.com/none": "true"},
        "containers": [{"name": "main", "image": "ledger:1"}]}}}});
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "nightly", "namespace": namespace},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": template}});
    let wish = Wish::new(vec![cron.clone()]);
    let name = cluster.name("nightly");
    let mut agent = FencedAgent::start(cluster);
    let key = agent.tell(&name, &wish, Activity::Active, 7);
    agent.renew(&key, 7).await;
    agent.wait_running(&key).await;
    // As the CronJob's controller makes it.
    let live = cluster.get(&cron).await.expect("it is there");
    let job = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "nightly-1", "namespace": namespace, "ownerReferences": [{"apiVersion": "batch/v1",
            "kind": "CronJob", "name": "nightly", "uid": live["metadata"]["uid"], "controller": true}]},
        "spec": live["spec"]["jobTemplate"]["spec"]});
    cluster.create(&job, "kube-controller-manager").await;
    let has_pod = |object: &Value| object["status"]["active"] == 1;
    cluster.wait(&job, "running", has_pod).await;
    agent.tell(&name, &wish, Activity::Parked, 7);
    agent.wait_fence(&key, FenceState::Confirmed).await;
    cluster.wait_gone(&job).await;
    assert_eq!(cluster.get(&cron).await.expect("it is there")["spec"]["suspend"], true);
    agent.wait(&key, "well", |status| status.health == Health::Healthy).await;
    agent.stop().await;
}
