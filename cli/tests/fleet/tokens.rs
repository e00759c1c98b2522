//! Tokens, joining, versions; and a hub that does not answer.

use super::harness::{Fleet, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_printed_once_and_listed_without_its_secret() {
    let (fleet, _spokes) = Fleet::start(&[]).await;
    let arguments =
        ["token", "create", "--ttl", "30m", "--uses", "3", "--cluster", "eu-1", "--label", "region=eu"];
    let created = fleet.nave(&arguments).await;
    assert_eq!((created.code, created.out.lines().count()), (0, 1), "{created:?}");
    let text = created.out.trim();
    assert!(!created.err.contains(text), "hints do not repeat it");
    let listed = json(&fleet.nave(&["token", "list", "-o", "json"]).await);
    let token = &listed["items"][0];
    assert_eq!(
        (&token["usesLeft"], &token["cluster"], &token["labels"]["region"]),
        (&3.into(), &"eu-1".into(), &"eu".into())
    );
    assert!(!listed.to_string().contains(text), "{listed}");
    let id = token["id"].as_str().expect("an id");
    let deleted = fleet.nave(&["token", "delete", id]).await;
    assert_eq!((deleted.code, deleted.out), (0, format!("token/{id} deleted\n")), "{}", deleted.err);
    assert_eq!(fleet.nave(&["get", "tokens", "-o", "name"]).await.out, "");
    assert_eq!(fleet.nave(&["delete", "token", id]).await.code, 1);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn join_prints_manifests_with_the_token_in_a_secret() {
    let (fleet, _spokes) = Fleet::start(&[]).await;
    let token = fleet.nave(&["token", "create", "-q"]).await.out;
    let arguments = [
        "join",
        "--name",
        "eu-1",
        "--token",
        token.trim(),
        "--label",
        "region=eu",
        "--image",
        "agent:1",
        "--print",
    ];
    let ran = fleet.nave(&arguments).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("where no pod can reach it"), "{}", ran.err);
    let kinds: Vec<&str> = ran.out.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
    let expected = [
        "Namespace",
        "ServiceAccount",
        "ClusterRoleBinding",
        "Secret",
        "PersistentVolumeClaim",
        "Deployment",
    ];
    assert_eq!(kinds, expected);
    for part in ["image: agent:1", "--name=eu-1", "--label=region=eu"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_of_both_are_told() {
    let (fleet, _spokes) = Fleet::start(&[]).await;
    let version = json(&fleet.nave(&["version", "-o", "json"]).await);
    assert_eq!(version["client"], env!("CARGO_PKG_VERSION"));
    assert!(
        version["hub"]["version"].is_string() && version["hub"]["generation"]["term"].is_u64(),
        "{version}"
    );
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_address_that_does_not_answer_is_named_and_one_that_does_is_enough() {
    let (fleet, _spokes) = Fleet::start(&[]).await;
    let ran = fleet.nave(&["get", "clusters", "--hub", "127.0.0.1:1", "--hub", "127.0.0.1:2"]).await;
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    for expected in ["127.0.0.1:1 (", "127.0.0.1:2 (", "Connection refused", "check that the hub runs"] {
        assert!(ran.err.contains(expected), "{expected}: {}", ran.err);
    }
    let address = fleet.hub.listen_address().to_string();
    let ran = fleet.nave(&["get", "clusters", "--hub", &format!("127.0.0.1:1,{address}")]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_the_context_does_not_trust_is_refused() {
    let (fleet, _spokes) = Fleet::start(&[]).await;
    let (other, _spokes) = Fleet::start(&[]).await;
    let address = other.hub.listen_address().to_string();
    let ran = fleet.nave(&["get", "clusters", "--hub", &address]).await;
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
    assert!(ran.err.contains("is not the hub that this context trusts"), "{}", ran.err);
    fleet.hub.shutdown().await;
    other.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn join_applies_the_agent_to_the_cluster_of_a_kubeconfig() {
    let (fleet, _spokes) = Fleet::start(&[]).await;
    let cluster = nave_sim::Cluster::start(nave_sim::Config::default()).await.expect("a simulated cluster");
    fleet.write("kubeconfig", &cluster.kubeconfig());
    let token = fleet.nave(&["token", "create", "-q"]).await.out;
    let join = ["join", "--name", "eu-1", "--token", token.trim(), "--kubeconfig", "kubeconfig"];
    let dry = fleet.nave(&[&join[..], &["--dry-run"]].concat()).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(dry.out.contains("# Namespace nave-system applied (dry run)"), "{}", dry.out);
    let joined = fleet.nave(&join).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    assert!(joined.out.contains("# Deployment nave-system/nave-agent applied\n"), "{}", joined.out);
    assert!(joined.out.contains("***") && !joined.out.contains(token.trim()), "{}", joined.out);
    for hint in ["nave get cluster eu-1 --watch", "describe pod"] {
        assert!(joined.err.contains(hint), "{}", joined.err);
    }
    assert_eq!(fleet.nave(&join).await.code, 0, "doing it twice is fine");
    cluster.stop().await;
    let gone = fleet.nave(&[&join[..], &["-q"]].concat()).await;
    assert_eq!((gone.code, gone.err.lines().count()), (1, 1), "{gone:?}");
    assert!(gone.err.contains("cannot reach the cluster"), "{}", gone.err);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_the_hub_does_not_know_is_said_to_be_refused() {
    let (fleet, _spokes) = Fleet::start(&[]).await;
    let (other, _spokes) = Fleet::start(&[]).await;
    let mut foreign = other.hub.admin_context().expect("a context");
    let own = fleet.hub.admin_context().expect("a context");
    (foreign.authority, foreign.addresses) = (own.authority, own.addresses);
    let mut contexts = nave_common::context::Contexts::default();
    contexts.put(foreign);
    let file = fleet.write("foreign.yaml", "");
    contexts.save(&file).expect("written");
    let ran = fleet.command(&["get", "clusters"]).env("NAVE_CONFIG", file).output().await.expect("nave ends");
    let err = String::from_utf8_lossy(&ran.stderr);
    assert_eq!((ran.status.code(), err.lines().count()), (Some(1), 1), "{err}");
    assert!(
        err.contains("refuses") && err.contains("certificate") && err.contains("nave context import"),
        "{err}"
    );
    fleet.hub.shutdown().await;
    other.hub.shutdown().await;
}
