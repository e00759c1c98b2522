//! Applying: what is wanted is there, and nothing is written that needs not be.

use std::time::Duration;

use nave_agent::reconcile::Config;
use nave_common::health::Health;
use nave_common::status::SyncState;
use serde_json::{Value, json};

use super::agent::Wish;
use super::{TestAgent, TestCluster};

/// A ConfigMap.
#[must_use]
pub fn config_map(namespace: &str, name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"key": value}})
}

/// A Deployment.
#[must_use]
pub fn deployment(namespace: &str, name: &str, replicas: u32, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": image, "ports": [{"containerPort": 80}],
                    "resources": {"requests": {"cpu": "0.010", "memory": "1024Ki"}}}]}
            }
        }
    })
}

/// A definition of a kind `Widget` in a group of its own, and one object of it.
#[must_use]
pub fn widget(namespace: &str, group: &str) -> (Value, Value) {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object",
                "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}}}]}
    });
    let object = json!({"apiVersion": format!("{group}/v1"), "kind": "Widget",
        "metadata": {"name": "one", "namespace": namespace}, "spec": {"size": 3}});
    (definition, object)
}

/// Objects of many kinds, in the wrong order, arrive with labels and namespace.
pub async fn everything_is_applied_and_labelled(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.name("everything");
    let application = cluster.name("shop");
    let objects = vec![
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart"},
            "spec": deployment("", "cart", 2, "cart:1")["spec"]}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart"},
            "spec": {"selector": {"app": "cart"}, "ports": [{"port": 80}]}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "cart"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "cart"},
            "subjects": [{"kind": "ServiceAccount", "name": "cart"}]}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "cart"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "cart"}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cart"}, "data": {"password": "aHVudGVyMg=="}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
    ];
    let wish = Wish::new(objects.clone()).with(|wish| {
        wish.namespace = Some(namespace.clone());
        wish.create_namespace = true;
    });
    let key = agent.tell(&format!("retail/{application}"), &wish);
    let status = agent.wait_synced(&key).await;
    assert_eq!(status.object_count, 7, "{status:#?}");
    for mut object in objects {
        if object["kind"] != "Namespace" {
            object["metadata"]["namespace"] = namespace.as_str().into();
        }
        let live = cluster.get(&object).await.unwrap_or_else(|| panic!("{object:#} is missing"));
        assert_eq!(live["metadata"]["labels"]["nave.dev/application"], application.as_str());
        assert_eq!(live["metadata"]["labels"]["nave.dev/project"], "retail");
    }
    agent.wait(&key, "healthy", |status| status.health == Health::Healthy && status.healthy_count == 7).await;
    agent.stop().await;
}

/// A custom resource whose kind is defined in the same bundle works at once.
pub async fn custom_resources_come_with_their_definition(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("custom").await;
    let group = format!("{}.example.com", cluster.name("widgets"));
    let (definition, object) = widget(&namespace, &group);
    let key = agent.tell(&cluster.name("custom"), &Wish::new(vec![object.clone(), definition]));
    agent.wait_synced(&key).await;
    assert_eq!(cluster.get(&object).await.expect("it is there")["spec"]["size"], 3);
    agent.stop().await;
}

/// A new generation of the same, and a quiet while, cause no write and no read of an object.
pub async fn a_pass_in_which_nothing_changed_writes_nothing(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("quiet").await;
    let objects = (0..20).map(|number| config_map(&namespace, &format!("c{number}"), "a")).collect();
    let wish = Wish::new(objects);
    let name = cluster.name("quiet");
    let key = agent.tell(&name, &wish);
    agent.wait_synced(&key).await;
    settle(&agent).await;
    agent.requests.take();
    let key = agent.tell(&name, &wish);
    agent.wait_synced(&key).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let (writes, reads, lists) =
        (agent.requests.count("write"), agent.requests.count("get"), agent.requests.count("list"));
    assert_eq!((writes, reads, lists), (0, 0, 0), "{:#?}", agent.requests.take());
    agent.stop().await;
}

/// Waits until an agent has nothing more to ask.
pub async fn settle(agent: &TestAgent) {
    let total =
        || ["write", "get", "list", "discover"].map(|verb| agent.requests.count(verb)).iter().sum::<u64>();
    let mut last = total();
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        if total() == last {
            return;
        }
        last = total();
    }
}

/// Of many objects only the one that changed is written.
pub async fn one_change_is_one_write(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("one-change").await;
    let mut objects: Vec<_> =
        (0..50).map(|number| config_map(&namespace, &format!("c{number}"), "a")).collect();
    let name = cluster.name("one-change");
    let key = agent.tell(&name, &Wish::new(objects.clone()));
    agent.wait_synced(&key).await;
    settle(&agent).await;
    agent.requests.take();
    objects[17]["data"]["key"] = "b".into();
    let key = agent.tell(&name, &Wish::new(objects.clone()));
    agent.wait_synced(&key).await;
    assert_eq!(cluster.get(&objects[17]).await.expect("it is there")["data"]["key"], "b");
    settle(&agent).await;
    assert_eq!(agent.requests.count("write"), 1, "{:#?}", agent.requests.take());
    agent.stop().await;
}

/// However rarely an application is reported, that a pass is over is reported at once.
pub async fn end_of_a_pass_is_told_at_once(cluster: &TestCluster) {
    let rarely = Config { status_interval: Duration::from_secs(3600), ..Config::default() };
    let mut agent = TestAgent::start_as(cluster, rarely);
    let namespace = cluster.namespace("told").await;
    let name = cluster.name("told");
    let key = agent.tell(&name, &Wish::new(vec![config_map(&namespace, "a", "a")]));
    agent.wait_synced(&key).await;
    let key = agent.tell(&name, &Wish::new(vec![config_map(&namespace, "a", "b")]));
    agent.wait_synced(&key).await;
    agent.stop().await;
}

/// An object that the API server refuses is reported with the reason; the others are there.
pub async fn one_failing_object_stops_no_other(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("failing").await;
    let mut bad = deployment(&namespace, "bad", 1, "a:1");
    bad["spec"]["selector"]["matchLabels"]["app"] = "other".into();
    let good = config_map(&namespace, "good", "a");
    let later = deployment(&namespace, "later", 0, "a:1");
    let name = cluster.name("failing");
    let key = agent.tell(&name, &Wish::new(vec![bad.clone(), good.clone(), later.clone()]));
    let status = agent.wait(&key, "failed", |status| status.sync == SyncState::Failed).await;
    assert!(status.reason.contains("bad") && status.reason.contains("selector"), "{status:#?}");
    assert_eq!(status.objects[0].sync, SyncState::Failed);
    assert_eq!(status.applied, None);
    cluster.wait(&later, "applied", |object| !object.is_null()).await;
    cluster.wait(&good, "applied", |object| !object.is_null()).await;
    bad["spec"]["selector"]["matchLabels"]["app"] = "bad".into();
    let key = agent.tell(&name, &Wish::new(vec![bad.clone(), good, later]));
    agent.wait_synced(&key).await;
    assert!(cluster.get(&bad).await.is_some());
    agent.stop().await;
}

/// A kind that nobody has defined is reported; once somebody has, its object is applied.
pub async fn unknown_kind_is_reported_and_applied_once_it_is_known(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("unknown").await;
    let group = format!("{}.example.com", cluster.name("late"));
    let (definition, object) = widget(&namespace, &group);
    let other = config_map(&namespace, "other", "a");
    let key = agent.tell(&cluster.name("unknown"), &Wish::new(vec![object.clone(), other.clone()]));
    let status = agent.wait(&key, "failed", |status| status.sync == SyncState::Failed).await;
    assert!(
        status.reason.contains("Widget") && status.reason.contains("CustomResourceDefinition"),
        "{status:#?}"
    );
    cluster.wait(&other, "applied", |object| !object.is_null()).await;
    cluster.create(&definition, "someone").await;
    agent.wait_synced(&key).await;
    assert!(cluster.get(&object).await.is_some());
    agent.stop().await;
}

/// What is older than what this cluster has acted on is refused, also by an agent with an empty disk.
pub async fn older_generation_is_refused(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("older").await;
    let object = config_map(&namespace, "a", "new");
    let name = cluster.name("older");
    let key = agent.tell_at(&name, &Wish::new(vec![object.clone()]), 900);
    agent.wait_synced(&key).await;
    let old = Wish::new(vec![config_map(&namespace, "a", "old"), config_map(&namespace, "b", "old")]);
    let refused = |status: &nave_common::status::AssignmentStatus| {
        status.sync == SyncState::OutOfSync && status.reason.contains("1.900")
    };
    agent.tell_at(&name, &old, 899);
    agent.wait(&key, "refused", refused).await;
    agent.stop().await;
    let mut agent = TestAgent::start(cluster);
    agent.tell_at(&name, &old, 899);
    agent.wait(&key, "refused", refused).await;
    assert_eq!(cluster.get(&object).await.expect("it is there")["data"]["key"], "new");
    assert_eq!(cluster.get(&config_map(&namespace, "b", "")).await, None);
    agent.stop().await;
}

/// An application that is told of no longer is left as it is.
pub async fn absence_changes_nothing(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("absence").await;
    let object = config_map(&namespace, "a", "a");
    let name = cluster.name("absence");
    let wish = Wish::new(vec![object.clone()]);
    let key = agent.tell(&name, &wish);
    agent.wait_synced(&key).await;
    settle(&agent).await;
    agent.requests.take();
    agent.tell_nothing(&key);
    settle(&agent).await;
    assert_eq!(agent.requests.count("write"), 0, "{:#?}", agent.requests.take());
    assert!(cluster.get(&object).await.is_some());
    // Told again, it is known as before, and nothing has to be written.
    let key = agent.tell(&name, &wish);
    agent.wait_synced(&key).await;
    settle(&agent).await;
    assert_eq!(agent.requests.count("write"), 0, "{:#?}", agent.requests.take());
    agent.stop().await;
}

/// Suspended work is not written, and what differs is told; resumed, it is caught up with.
pub async fn suspended_work_is_not_written(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("suspended").await;
    let object = config_map(&namespace, "a", "a");
    let name = cluster.name("suspended");
    let key = agent.tell(&name, &Wish::new(vec![object.clone()]));
    agent.wait_synced(&key).await;
    let new = vec![config_map(&namespace, "a", "b"), config_map(&namespace, "c", "c")];
    let suspended = Wish::new(new.clone()).with(|wish| wish.sync.suspended = true);
    agent.tell(&name, &suspended);
    agent.wait(&key, "suspended", |status| status.sync == SyncState::Suspended).await;
    settle(&agent).await;
    agent.requests.take();
    cluster.edit(&object, "kubectl-edit", json!({"data": {"key": "by hand"}})).await;
    settle(&agent).await;
    assert_eq!(agent.requests.count("write"), 0, "{:#?}", agent.requests.take());
    let status = agent.status(&key).expect("a status");
    assert!(status.reason.contains("differ"), "{status:#?}");
    let key = agent.tell(&name, &Wish::new(new));
    agent.wait_synced(&key).await;
    assert_eq!(cluster.get(&object).await.expect("it is there")["data"]["key"], "b");
    agent.stop().await;
}
