//! Drift: foreign changes of what is Nave's are undone, and of what is not, not.

use std::time::Duration;

use nave_common::application::{Adopt, IgnoreFields};
use nave_common::overrides::Target;
use nave_common::status::SyncState;
use serde_json::{Value, json};

use super::agent::Wish;
use super::applying::{config_map, deployment, settle, widget};
use super::{TestAgent, TestCluster};

/// An application of one object that is applied and followed.
async fn applied(
    cluster: &TestCluster,
    prefix: &str,
    object: &Value,
) -> (TestAgent, nave_common::name::ApplicationKey) {
    let mut agent = TestAgent::start(cluster);
    let key = agent.tell(&cluster.name(prefix), &Wish::new(vec![object.clone()]));
    agent.wait_synced(&key).await;
    settle(&agent).await;
    (agent, key)
}

/// A value that someone edits is put back.
pub async fn changed_values_are_put_back(cluster: &TestCluster) {
    let namespace = cluster.namespace("edited").await;
    let object = config_map(&namespace, "a", "wanted");
    let (agent, key) = applied(cluster, "edited", &object).await;
    cluster.edit(&object, "kubectl-edit", json!({"data": {"key": "else"}})).await;
    cluster.wait(&object, "put back", |object| object["data"]["key"] == "wanted").await;
    let status = agent.wait(&key, "counted", |status| status.drift_count == 1).await;
    assert_eq!(status.sync, SyncState::Synced);
    agent.stop().await;
}

/// A field of which someone else has become the owner, as by `kubectl scale` and `kubectl set image`, is taken back.
pub async fn taken_fields_are_taken_back(cluster: &TestCluster) {
    let namespace = cluster.namespace("taken").await;
    let object = deployment(&namespace, "cart", 2, "cart:1");
    let (agent, key) = applied(cluster, "taken", &object).await;
    cluster.scale(&object, "kubectl", 5).await;
    cluster.wait(&object, "scaled back", |object| object["spec"]["replicas"] == 2).await;
    let containers = json!([{"name": "main", "image": "cart:2", "ports": [{"containerPort": 80}],
        "resources": {"requests": {"cpu": "10m", "memory": "1Mi"}}}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    cluster.edit(&object, "kubectl-set", patch).await;
    let image = |object: &Value| object["spec"]["template"]["spec"]["containers"][0]["image"] == "cart:1";
    cluster.wait(&object, "image put back", image).await;
    agent.wait(&key, "counted", |status| status.drift_count >= 2).await;
    // And it is quiet afterwards.
    settle(&agent).await;
    agent.requests.take();
    settle(&agent).await;
    assert_eq!(agent.requests.count("write"), 0, "{:#?}", agent.requests.take());
    agent.stop().await;
}

/// An object that someone deletes is made again.
pub async fn deleted_objects_are_made_again(cluster: &TestCluster) {
    let namespace = cluster.namespace("deleted").await;
    let object = config_map(&namespace, "a", "a");
    let (agent, key) = applied(cluster, "deleted", &object).await;
    let first = cluster.get(&object).await.expect("it is there")["metadata"]["uid"].clone();
    cluster.delete(&object).await;
    cluster
        .wait(&object, "made again", |object| !object.is_null() && object["metadata"]["uid"] != first)
        .await;
    agent.wait(&key, "counted", |status| status.drift_count == 1 && status.sync == SyncState::Synced).await;
    agent.stop().await;
}

/// Labels by which the agent sees an object come back when someone takes them off.
pub async fn removed_labels_come_back(cluster: &TestCluster) {
    let namespace = cluster.namespace("labels").await;
    let object = config_map(&namespace, "a", "a");
    let (agent, _) = applied(cluster, "labels", &object).await;
    let uid = cluster.get(&object).await.expect("it is there")["metadata"]["uid"].clone();
    cluster
        .edit(&object, "kubectl-label", json!({"metadata": {"labels": {"nave.dev/application": null}}}))
        .await;
    let live = cluster
        .wait(&object, "labelled again", |object| {
            object["metadata"]["labels"]["nave.dev/application"].is_string()
        })
        .await;
    assert_eq!(live["metadata"]["uid"], uid);
    agent.stop().await;
}

/// What others add is theirs.
pub async fn foreign_fields_are_left_alone(cluster: &TestCluster) {
    let namespace = cluster.namespace("foreign").await;
    let object = deployment(&namespace, "cart", 1, "cart:1");
    let (agent, key) = applied(cluster, "foreign", &object).await;
    agent.requests.take();
    let patch = json!({"metadata": {"annotations": {"team": "gold"}}, "spec": {"minReadySeconds": 1}});
    cluster.edit(&object, "someone", patch).await;
    settle(&agent).await;
    assert_eq!(agent.requests.count("write"), 0, "{:#?}", agent.requests.take());
    let live = cluster.get(&object).await.expect("it is there");
    assert_eq!(live["metadata"]["annotations"]["team"], "gold");
    assert_eq!(live["spec"]["minReadySeconds"], 1);
    assert_eq!(agent.status(&key).map(|status| status.drift_count), Some(0));
    agent.stop().await;
}

/// A field that another manager owned before Nave came to want it is not taken; the status names both.
pub async fn fields_of_others_are_reported(cluster: &TestCluster) {
    let namespace = cluster.namespace("conflict").await;
    let mut object = config_map(&namespace, "a", "a");
    let mut agent = TestAgent::start(cluster);
    let name = cluster.name("conflict");
    let key = agent.tell(&name, &Wish::new(vec![object.clone()]));
    agent.wait_synced(&key).await;
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": object["metadata"], "data": {"other": "theirs"}});
    cluster.apply(&theirs, "other-controller").await;
    object["data"]["other"] = "ours".into();
    let key = agent.tell(&name, &Wish::new(vec![object.clone()]));
    let status = agent.wait(&key, "out of sync", |status| status.sync == SyncState::OutOfSync).await;
    assert!(
        status.reason.contains(".data.other") && status.reason.contains("other-controller"),
        "{status:#?}"
    );
    assert_eq!(cluster.get(&object).await.expect("it is there")["data"]["other"], "theirs");
    // Once the other lets go, it is applied without anybody's doing.
    let bare = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": object["metadata"]});
    cluster.apply(&bare, "other-controller").await;
    agent.wait_synced(&key).await;
    assert_eq!(cluster.get(&object).await.expect("it is there")["data"]["other"], "ours");
    agent.stop().await;
}

/// Two that undo each other's work: after ten rounds the agent says so and leaves the object alone for a while.
pub async fn contested_field_is_reported_and_left_alone(cluster: &TestCluster) {
    let namespace = cluster.namespace("contested").await;
    let object = config_map(&namespace, "a", "wanted");
    let (agent, key) = applied(cluster, "contested", &object).await;
    for round in 0..9 {
        cluster.edit(&object, "fighter", json!({"data": {"key": format!("else {round}")}})).await;
        cluster.wait(&object, "put back", |object| object["data"]["key"] == "wanted").await;
    }
    settle(&agent).await;
    cluster.edit(&object, "fighter", json!({"data": {"key": "else"}})).await;
    let status = agent.wait(&key, "contested", |status| status.sync == SyncState::OutOfSync).await;
    assert!(status.reason.contains(".data.key") && status.reason.contains("fighter"), "{status:#?}");
    settle(&agent).await;
    assert_eq!(cluster.get(&object).await.expect("it is there")["data"]["key"], "else");
    agent.stop().await;
}

/// Once an autoscaler sets the replicas they are its own, through every later change.
pub async fn replicas_are_left_to_an_autoscaler(cluster: &TestCluster) {
    let namespace = cluster.namespace("scaled").await;
    let mut object = deployment(&namespace, "cart", 2, "cart:1");
    let mut agent = TestAgent::start(cluster);
    let name = cluster.name("scaled");
    let key = agent.tell(&name, &Wish::new(vec![object.clone()]));
    agent.wait_synced(&key).await;
    settle(&agent).await;
    // The HorizontalPodAutoscaler's controller writes under this name.
    cluster.scale(&object, "kube-controller-manager", 4).await;
    settle(&agent).await;
    assert_eq!(cluster.get(&object).await.expect("it is there")["spec"]["replicas"], 4);
    object["spec"]["template"]["spec"]["containers"][0]["image"] = "cart:2".into();
    object["spec"]["replicas"] = 3.into();
    let key = agent.tell(&name, &Wish::new(vec![object.clone()]));
    agent.wait_synced(&key).await;
    let live = cluster.get(&object).await.expect("it is there");
    assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["image"], "cart:2");
    assert_eq!(live["spec"]["replicas"], 4);
    settle(&agent).await;
    agent.requests.take();
    cluster.scale(&object, "kube-controller-manager", 6).await;
    settle(&agent).await;
    assert_eq!(agent.requests.count("write"), 0, "{:#?}", agent.requests.take());
    agent.stop().await;
}

/// `sync.ignoreFields`: applied at first, then whoever changes it has it.
pub async fn ignored_fields_are_left_alone(cluster: &TestCluster) {
    let namespace = cluster.namespace("ignored").await;
    let mut object = config_map(&namespace, "a", "first");
    object["data"]["other"] = "a".into();
    let wish = |object: &Value| {
        Wish::new(vec![object.clone()]).with(|wish| {
            let target = Target { kind: "ConfigMap".into(), ..Target::default() };
            wish.sync.ignore_fields = vec![IgnoreFields { target, paths: vec!["/data/key".into()] }];
        })
    };
    let mut agent = TestAgent::start(cluster);
    let name = cluster.name("ignored");
    let key = agent.tell(&name, &wish(&object));
    agent.wait_synced(&key).await;
    assert_eq!(cluster.get(&object).await.expect("it is there")["data"]["key"], "first");
    settle(&agent).await;
    agent.requests.take();
    cluster.edit(&object, "someone", json!({"data": {"key": "theirs"}})).await;
    settle(&agent).await;
    assert_eq!(agent.requests.count("write"), 0, "{:#?}", agent.requests.take());
    object["data"]["key"] = "second".into();
    object["data"]["other"] = "b".into();
    let key = agent.tell(&name, &wish(&object));
    agent.wait_synced(&key).await;
    let live = cluster.get(&object).await.expect("it is there");
    assert_eq!((&live["data"]["key"], &live["data"]["other"]), (&json!("theirs"), &json!("b")));
    agent.stop().await;
}

/// An annotation on the live object stops put-back, until it is taken off.
pub async fn suspended_object_is_left_alone(cluster: &TestCluster) {
    let namespace = cluster.namespace("by-hand").await;
    let object = config_map(&namespace, "a", "wanted");
    let (agent, key) = applied(cluster, "by-hand", &object).await;
    let suspend = |value: Value| json!({"metadata": {"annotations": {"nave.dev/suspend": value}}});
    cluster.edit(&object, "kubectl-annotate", suspend("true".into())).await;
    let status = agent.wait(&key, "suspended", |status| status.sync == SyncState::Suspended).await;
    assert!(status.reason.contains("nave.dev/suspend"), "{status:#?}");
    cluster.edit(&object, "kubectl-edit", json!({"data": {"key": "mended"}})).await;
    settle(&agent).await;
    assert_eq!(cluster.get(&object).await.expect("it is there")["data"]["key"], "mended");
    cluster.edit(&object, "kubectl-annotate", suspend(Value::Null)).await;
    cluster.wait(&object, "put back", |object| object["data"]["key"] == "wanted").await;
    agent.wait_synced(&key).await;
    agent.stop().await;
}

/// Someone who clears `managedFields` takes nothing away from Nave for long.
pub async fn cleared_ownership_is_taken_back(cluster: &TestCluster) {
    let namespace = cluster.namespace("cleared").await;
    let object = config_map(&namespace, "a", "wanted");
    let (agent, _) = applied(cluster, "cleared", &object).await;
    cluster.edit(&object, "someone", json!({"metadata": {"managedFields": [{}]}})).await;
    let owned = |object: &Value| {
        let entries = object["metadata"]["managedFields"].as_array();
        entries.is_some_and(|entries| entries.iter().any(|entry| entry["manager"] == "nave"))
    };
    cluster.wait(&object, "owned again", owned).await;
    cluster.edit(&object, "someone", json!({"data": {"key": "else"}})).await;
    cluster.wait(&object, "put back", |object| object["data"]["key"] == "wanted").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    agent.stop().await;
}

/// A namespace that someone deletes, with everything in it, comes back with everything in it.
pub async fn deleted_namespace_comes_back(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.name("home");
    let home = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    let mut objects = vec![home.clone(), deployment(&namespace, "cart", 1, "cart:1")];
    objects.extend((0..5).map(|number| config_map(&namespace, &format!("c{number}"), "a")));
    let key = agent.tell(&cluster.name("home"), &Wish::new(objects.clone()));
    agent.wait_synced(&key).await;
    settle(&agent).await;
    let uid = cluster.get(&home).await.expect("it is there")["metadata"]["uid"].clone();
    cluster.delete(&home).await;
    let is_back = |home: &Value| !home.is_null() && home["metadata"]["uid"] != uid;
    cluster.wait(&home, "made again", is_back).await;
    for object in &objects {
        let is_there =
            |object: &Value| !object.is_null() && object["metadata"]["deletionTimestamp"].is_null();
        cluster.wait(object, "made again", is_there).await;
    }
    agent.wait_synced(&key).await;
    agent.stop().await;
}

/// A definition that someone deletes, and with it every object of its kind, comes back with those that are wanted.
pub async fn deleted_definition_comes_back(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("kind").await;
    let group = format!("{}.example.com", cluster.name("kind"));
    let (definition, object) = widget(&namespace, &group);
    let key = agent.tell(&cluster.name("kind"), &Wish::new(vec![definition.clone(), object.clone()]));
    agent.wait_synced(&key).await;
    settle(&agent).await;
    let uid = cluster.get(&object).await.expect("it is there")["metadata"]["uid"].clone();
    cluster.delete(&definition).await;
    let is_back = |object: &Value| !object.is_null() && object["metadata"]["uid"] != uid;
    cluster.wait(&object, "made again", is_back).await;
    agent.wait_synced(&key).await;
    agent.stop().await;
}

/// Someone who deletes an object and makes another of its name has made a foreign object: with `adopt: Never` it is
/// reported, and not overwritten.
pub async fn replaced_object_is_not_overwritten(cluster: &TestCluster) {
    let namespace = cluster.namespace("replaced").await;
    let object = config_map(&namespace, "a", "wanted");
    let mut agent = TestAgent::start(cluster);
    let wish = Wish::new(vec![object.clone()]).adopting(Adopt::Never);
    let key = agent.tell(&cluster.name("replaced"), &wish);
    agent.wait_synced(&key).await;
    settle(&agent).await;
    let (told, counter) = agent.stop().await;
    cluster.delete(&object).await;
    let theirs = config_map(&namespace, "a", "theirs");
    cluster.create(&theirs, "someone").await;
    let agent = TestAgent::start_again(cluster, told, counter);
    let status = agent.wait(&key, "refused", |status| status.sync == SyncState::OutOfSync).await;
    assert!(status.reason.contains("someone"), "{status:#?}");
    assert_eq!(cluster.get(&object).await.expect("it is there")["data"]["key"], "theirs");
    agent.stop().await;
}
