//! Pruning: what is no longer wanted goes, and nothing else does.

use std::time::{Duration, Instant};

use nave_common::application::Adopt;
use nave_common::health::Health;
use nave_common::status::SyncState;
use serde_json::{Value, json};

use super::agent::Wish;
use super::applying::{config_map, deployment, settle};
use super::{TestAgent, TestCluster};

/// An object that a new revision no longer holds is deleted.
pub async fn what_is_no_longer_wanted_is_deleted(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("prune").await;
    let (kept, dropped) = (config_map(&namespace, "kept", "a"), deployment(&namespace, "dropped", 0, "a:1"));
    let name = cluster.name("prune");
    let key = agent.tell(&name, &Wish::new(vec![kept.clone(), dropped.clone()]));
    agent.wait_synced(&key).await;
    // One that looks like Nave's and is not in its inventory.
    let mut lookalike = config_map(&namespace, "lookalike", "a");
    lookalike["metadata"]["labels"] =
        cluster.get(&kept).await.expect("it is there")["metadata"]["labels"].clone();
    cluster.create(&lookalike, "someone").await;
    let key = agent.tell(&name, &Wish::new(vec![kept.clone()]));
    cluster.wait_gone(&dropped).await;
    let status = agent.wait_synced(&key).await;
    assert_eq!(status.object_count, 1);
    assert!(cluster.get(&kept).await.is_some());
    assert!(cluster.get(&lookalike).await.is_some());
    agent.stop().await;
}

/// `nave.dev/prune: disabled` keeps an object, and so does another owner's label.
pub async fn protected_objects_stay(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("protected").await;
    let mut protected = config_map(&namespace, "protected", "a");
    protected["metadata"]["annotations"] = json!({"nave.dev/prune": "disabled"});
    let kept = config_map(&namespace, "kept", "a");
    let name = cluster.name("protected");
    let key = agent.tell(&name, &Wish::new(vec![protected.clone(), kept.clone()]));
    agent.wait_synced(&key).await;
    let key = agent.tell(&name, &Wish::new(vec![kept]));
    let shown = |status: &nave_common::status::AssignmentStatus| {
        status
            .objects
            .iter()
            .any(|object| object.object.name == "protected" && object.reason.contains("nave.dev/prune"))
    };
    let status = agent.wait(&key, "kept", shown).await;
    assert_eq!(status.sync, SyncState::Synced, "what stays on purpose is no lack: {status:#?}");
    assert!(cluster.get(&protected).await.is_some());
    agent.stop().await;
}

/// With `prune: false` nothing is deleted, and what stays is told.
pub async fn pruning_can_be_turned_off(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("no-prune").await;
    let (kept, dropped) = (config_map(&namespace, "kept", "a"), config_map(&namespace, "dropped", "a"));
    let name = cluster.name("no-prune");
    let key = agent.tell(&name, &Wish::new(vec![kept.clone(), dropped.clone()]));
    agent.wait_synced(&key).await;
    let key = agent.tell(&name, &Wish::new(vec![kept.clone()]).with(|wish| wish.sync.prune = false));
    let status = agent.wait_synced(&key).await;
    assert!(status.objects.iter().any(|object| object.reason.contains("sync.prune")), "{status:#?}");
    settle(&agent).await;
    assert!(cluster.get(&dropped).await.is_some());
    // Turned on again, it goes.
    let key = agent.tell(&name, &Wish::new(vec![kept]));
    agent.wait_synced(&key).await;
    cluster.wait_gone(&dropped).await;
    agent.stop().await;
}

/// Manifests without any object delete nothing.
pub async fn nothing_wanted_deletes_nothing(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("empty").await;
    let object = config_map(&namespace, "a", "a");
    let name = cluster.name("empty");
    let key = agent.tell(&name, &Wish::new(vec![object.clone()]));
    agent.wait_synced(&key).await;
    agent.tell(&name, &Wish::new(Vec::new()));
    agent
        .wait(&key, "told", |status| {
            status.objects.iter().any(|object| object.reason.contains("deletes nothing"))
        })
        .await;
    settle(&agent).await;
    assert!(cluster.get(&object).await.is_some());
    agent.stop().await;
}

/// A namespace that Nave made stays as long as someone else's object is in it.
pub async fn namespace_that_holds_others_stays(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.name("held");
    let home = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    let object = config_map(&namespace, "a", "a");
    let name = cluster.name("held");
    let key = agent.tell(&name, &Wish::new(vec![home.clone(), object.clone()]));
    agent.wait_synced(&key).await;
    let guest = config_map(&namespace, "guest", "theirs");
    cluster.create(&guest, "someone").await;
    agent.tell_removal(&key);
    let status = agent.wait(&key, "removed", |status| status.removed).await;
    assert!(status.reason.contains("guest"), "{status:#?}");
    cluster.wait_gone(&object).await;
    assert!(cluster.get(&guest).await.is_some());
    let live = cluster.get(&home).await.expect("the namespace stays");
    assert_eq!(live["metadata"]["deletionTimestamp"], Value::Null);
    assert_eq!(live["metadata"]["labels"]["nave.dev/application"], Value::Null, "it is let go of");
    agent.stop().await;
}

/// A namespace waits for what is on its way out of it, and goes soon after that is gone.
pub async fn namespace_goes_soon_after_what_it_held(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.name("lingering");
    let home = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    let name = cluster.name("lingering");
    let key = agent.tell(&name, &Wish::new(vec![home.clone(), config_map(&namespace, "a", "a")]));
    agent.wait_synced(&key).await;
    let mut guest = config_map(&namespace, "guest", "theirs");
    guest["metadata"]["finalizers"] = json!(["example.com/wait"]);
    cluster.create(&guest, "someone").await;
    cluster.delete(&guest).await;
    agent.tell_removal(&key);
    agent
        .wait(&key, "waiting for the guest", |status| {
            status.objects.iter().any(|object| object.reason.contains("waits until ConfigMap guest is gone"))
        })
        .await;
    cluster.edit(&guest, "someone", json!({"metadata": {"finalizers": null}})).await;
    let free_at = Instant::now();
    // How long it goes then is the cluster's: Kubernetes lets every namespace be for 5 s first.
    let is_going = |live: &Value| live.is_null() || !live["metadata"]["deletionTimestamp"].is_null();
    cluster.wait(&home, "to be deleted", is_going).await;
    let took = free_at.elapsed();
    assert!(took < Duration::from_secs(4), "it was noticed after {took:?}");
    agent.wait(&key, "removed", |status| status.removed).await;
    assert_eq!(cluster.get(&home).await, None);
    agent.stop().await;
}

/// A removal deletes all that Nave made for the application and the inventory, and says so.
pub async fn removal_takes_everything_and_nothing_else(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.name("removal");
    let home = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    let mut objects = vec![home.clone(), deployment(&namespace, "cart", 1, "cart:1")];
    objects.extend((0..10).map(|number| config_map(&namespace, &format!("c{number}"), "a")));
    let other = config_map(&cluster.namespace("bystander").await, "other", "a");
    let name = cluster.name("removal");
    let key = agent.tell(&name, &Wish::new(objects.clone()));
    let bystander = agent.tell(&cluster.name("bystander"), &Wish::new(vec![other.clone()]));
    agent.wait_synced(&key).await;
    agent.wait_synced(&bystander).await;
    agent.tell_removal(&key);
    let status = agent.wait(&key, "removed", |status| status.removed).await;
    assert_eq!(
        (status.object_count, status.applied, status.sync),
        (0, None, SyncState::Synced),
        "{status:#?}"
    );
    assert_eq!(status.health, Health::Healthy);
    for object in &objects {
        cluster.wait_gone(object).await;
    }
    let inventory = super::inventory::config_map_of(&key);
    assert_eq!(cluster.get(&inventory).await, None);
    assert!(cluster.get(&other).await.is_some());
    // Told again, the answer is the same, at once.
    agent.tell_removal(&key);
    agent.wait(&key, "removed", |status| status.removed).await;
    agent.stop().await;
}

/// An object that moves from one application to another is the same object all the time.
pub async fn object_moves_between_applications(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("moves").await;
    let (object, rest, own) = (
        config_map(&namespace, "moving", "a"),
        config_map(&namespace, "rest", "a"),
        config_map(&namespace, "own", "a"),
    );
    let (from, to) = (cluster.name("zz-from"), cluster.name("aa-to"));
    let from_key = agent.tell(&from, &Wish::new(vec![object.clone(), rest.clone()]));
    let to_key = agent.tell(&to, &Wish::new(vec![own.clone()]));
    agent.wait_synced(&from_key).await;
    agent.wait_synced(&to_key).await;
    let uid = cluster.get(&object).await.expect("it is there")["metadata"]["uid"].clone();
    agent.tell_all(&[(&from, &Wish::new(vec![rest])), (&to, &Wish::new(vec![own, object.clone()]))]);
    agent.wait_synced(&from_key).await;
    agent.wait_synced(&to_key).await;
    let is_handed_over = |object: &Value| object["metadata"]["labels"]["nave.dev/application"] == to.as_str();
    let live = cluster.wait(&object, "handed over", is_handed_over).await;
    assert_eq!(live["metadata"]["uid"], uid, "it was never deleted");
    settle(&agent).await;
    // The old owner's end does not touch it.
    agent.tell_removal(&from_key);
    agent.wait(&from_key, "removed", |status| status.removed).await;
    assert_eq!(cluster.get(&object).await.expect("it is there")["metadata"]["uid"], uid);
    agent.stop().await;
}

/// Two applications that want one object: who has it keeps it, the other says so, naming both.
pub async fn two_claims_are_refused_with_both_names(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("claims").await;
    let object = config_map(&namespace, "wanted-by-two", "first");
    let (first, second) = (cluster.name("zz-first"), cluster.name("aa-second"));
    let first_key = agent.tell(&first, &Wish::new(vec![object.clone()]));
    agent.wait_synced(&first_key).await;
    let wish = Wish::new(vec![config_map(&namespace, "wanted-by-two", "second")]).adopting(Adopt::Always);
    let second_key = agent.tell(&second, &wish);
    let status = agent.wait(&second_key, "refused", |status| status.sync == SyncState::OutOfSync).await;
    assert!(status.reason.contains(&first) && status.reason.contains(&second), "{status:#?}");
    assert_eq!(cluster.get(&object).await.expect("it is there")["data"]["key"], "first");
    // When the first lets go, the second has it.
    agent.tell_removal(&first_key);
    agent.wait_synced(&second_key).await;
    cluster.wait(&object, "the second's", |object| object["data"]["key"] == "second").await;
    agent.stop().await;
}

/// Two applications in one namespace that both ask for it to be made are no conflict.
pub async fn shared_namespace_is_no_conflict(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.name("shared");
    let home = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    let wish = |name: &str| {
        Wish::new(vec![home.clone(), config_map(&namespace, name, "a")]).with(|wish| {
            wish.namespace = Some(namespace.clone());
            wish.create_namespace = true;
        })
    };
    let (one, two) = (cluster.name("one"), cluster.name("two"));
    let (one_wish, two_wish) = (wish("a"), wish("b"));
    agent.tell_all(&[(&one, &one_wish), (&two, &two_wish)]);
    let (one, two) = (one.parse().expect("a name"), two.parse().expect("a name"));
    agent.wait_synced(&one).await;
    agent.wait_synced(&two).await;
    // The end of one leaves the other's home standing.
    agent.tell_removal(&one);
    agent.wait(&one, "removed", |status| status.removed).await;
    settle(&agent).await;
    assert!(cluster.get(&config_map(&namespace, "b", "")).await.is_some());
    agent.stop().await;
}

/// As long as something that is wanted cannot be applied, nothing that is no longer wanted is deleted.
pub async fn failing_application_prunes_nothing(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("hold").await;
    let old = deployment(&namespace, "old", 0, "a:1");
    let name = cluster.name("hold");
    let key = agent.tell(&name, &Wish::new(vec![old.clone()]));
    agent.wait_synced(&key).await;
    let mut new = deployment(&namespace, "new", 0, "a:1");
    new["spec"]["selector"]["matchLabels"]["app"] = "other".into();
    let key = agent.tell(&name, &Wish::new(vec![new.clone()]));
    agent.wait(&key, "failed", |status| status.sync == SyncState::Failed).await;
    settle(&agent).await;
    assert!(cluster.get(&old).await.is_some());
    new["spec"]["selector"]["matchLabels"]["app"] = "new".into();
    let key = agent.tell(&name, &Wish::new(vec![new]));
    agent.wait_synced(&key).await;
    cluster.wait_gone(&old).await;
    agent.stop().await;
}
