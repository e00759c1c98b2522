//! Failover: what people see of it and say about it.

use super::harness::{Fleet, application, json};

const SPOKES: [(&str, &str); 2] = [("eu-1", "eu"), ("us-1", "us")];

/// An application that runs in one of its clusters.
pub(crate) fn once(name: &str, more: &str) -> String {
    application(name, "a").replace("spec:\n", &format!("spec:\n  placement: {{count: 1}}\n{more}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_of_failover_is_a_table_a_page_and_a_document() {
    let (fleet, _spokes) = Fleet::start(&SPOKES[..1]).await;
    fleet.write("shop.yaml", &once("shop", ""));
    fleet.write("everywhere.yaml", &application("everywhere", "a"));
    assert_eq!(fleet.nave(&["apply", "-f", "shop.yaml", "-f", "everywhere.yaml", "--wait"]).await.code, 0);
    assert_eq!(fleet.nave(&["failover", "thaw"]).await.code, 0);
    let table = fleet.nave(&["failover", "status"]).await;
    let rows: Vec<Vec<&str>> = table.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows,
        [
            vec!["NAME", "MODE", "ACTIVE", "PARKED", "EPOCH", "LEASE", "MOVE", "PHASE", "REASON"],
            vec!["shop", "Overlap", "eu-1", "-", "-", "-", "-", "-", "-"],
        ],
        "{}",
        table.err
    );
    let page = fleet.nave(&["failover", "status", "shop"]).await;
    for expected in ["Application:", "default/shop", "Mode:", "Overlap", "Active in:", "eu-1"] {
        assert!(page.out.contains(expected), "{expected}: {page:?}");
    }
    let document = json(&fleet.nave(&["failover", "status", "-o", "json"]).await);
    assert_eq!(document["kind"], "FailoverStatus");
    assert_eq!(document["hub"], serde_json::json!({}));
    let item = &document["items"][0];
    assert_eq!((&item["kind"], &item["active"]), (&"Failover".into(), &serde_json::json!(["eu-1"])));
    assert_eq!(
        (&item["state"]["application"]["name"], &item["failover"]["mode"]),
        (&"shop".into(), &"Overlap".into())
    );
    let names = fleet.nave(&["failover", "status", "-o", "name"]).await;
    assert_eq!(names.out, "application/shop\n");
    let history = fleet.nave(&["failover", "history", "shop"]).await;
    assert_eq!(
        (history.code, history.out.as_str(), history.err.as_str()),
        (0, "", "nothing has moved yet\n")
    );
    let described = fleet.nave(&["describe", "app", "shop"]).await;
    assert!(described.out.contains("\nFailover\n  Mode:"), "{}", described.out);
    let described = fleet.nave(&["describe", "app", "everywhere"]).await;
    assert!(!described.out.contains("\nFailover\n"), "{}", described.out);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_make_no_sense_are_refused_in_one_line() {
    let (fleet, _spokes) = Fleet::start(&SPOKES[..1]).await;
    fleet.write("shop.yaml", &once("shop", ""));
    fleet.write("everywhere.yaml", &application("everywhere", "a"));
    assert_eq!(fleet.nave(&["apply", "-f", "shop.yaml", "-f", "everywhere.yaml", "--wait"]).await.code, 0);
    for (arguments, expected) in [
        (&["failover", "run", "none"][..], "there is no application default/none"),
        (&["failover", "run", "everywhere"], "set spec.placement.count"),
        (&["failover", "run", "shop", "--to", "eu-1"], "runs in eu-1 already"),
        (&["failover", "approve", "shop"], "no move of application shop waits for approval"),
        (&["failover", "approve", "shop", "7"], "has no move 7"),
        (&["failover", "abort", "shop"], "nothing of application shop moves"),
        (&["failover", "confirm-fenced", "shop", "--cluster", "eu-1", "--yes"], "holds no exclusive lease"),
        (&["delete", "cluster", "eu-1"], "cluster eu-1 still has"),
        (&["delete", "cluster", "eu-1", "--force"], "force is only for clusters that are lost"),
        (&["delete", "cluster", "mars-1"], "there is no cluster mars-1"),
        (&["drain", "eu-1", "mars-1"], "there is no cluster mars-1"),
        (&["cordon", "--region", "mars"], "no cluster matches"),
        (&["hub", "maintenance", "--for", "25h"], "expected at most 86400"),
    ] {
        let ran = fleet.nave(arguments).await;
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(expected) && ran.err.lines().count() == 1, "{arguments:?}: {}", ran.err);
    }
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_is_said_wherever_one_looks_until_a_thaw() {
    let (fleet, _spokes) = Fleet::start(&SPOKES[..1]).await;
    let ran = fleet.nave(&["failover", "freeze"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "failover frozen\n"), "{}", ran.err);
    let status = fleet.nave(&["failover", "status"]).await;
    assert!(status.out.contains("failover is frozen since") && status.out.contains("admin"), "{status:?}");
    let clusters = fleet.nave(&["get", "clusters"]).await;
    assert!(clusters.err.starts_with("warning: failover is frozen since"), "{clusters:?}");
    let hub = json(&fleet.nave(&["hub", "status", "-o", "json"]).await);
    assert_eq!(hub["kind"], "Hub");
    assert!(hub["failover"]["frozen"]["reason"].as_str().is_some_and(|it| it.contains("admin")), "{hub}");
    let ran = fleet.nave(&["failover", "thaw", "-o", "json"]).await;
    let thawed = json(&ran);
    assert_eq!((&thawed["kind"], &thawed["result"]), (&"Result".into(), &"thawed".into()), "{}", ran.err);
    let hub = fleet.until(&["hub", "status"], "failover is ready").await;
    assert!(hub.contains("1 clusters, 0 applications"), "{hub}");
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_maintenance_begins_is_said_and_ends() {
    let (fleet, _spokes) = Fleet::start(&[]).await;
    let ran = fleet.nave(&["hub", "maintenance", "--for", "30m"]).await;
    assert!(ran.code == 0 && ran.out.starts_with("hub in maintenance until 2"), "{ran:?}");
    assert!(ran.err.contains("heartbeats"), "{}", ran.err);
    let status = fleet.nave(&["failover", "status"]).await;
    assert!(status.out.contains("no Exclusive work moves by itself until"), "{status:?}");
    let ran = fleet.nave(&["hub", "maintenance", "--end"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "hub not in maintenance\n"), "{}", ran.err);
    let status = fleet.nave(&["failover", "status"]).await;
    assert!(!status.out.contains("maintenance"), "{status:?}");
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_are_cordoned_drained_and_opened_again() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    let ran = fleet.nave(&["cordon", "--region", "eu"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "cluster/eu-1 cordoned\n"), "{}", ran.err);
    assert_eq!(fleet.nave(&["cordon", "eu-1"]).await.out, "cluster/eu-1 cordoned already\n");
    let state = async |name: &str| {
        let ran = fleet.nave(&["get", "cluster", name]).await;
        ran.out.lines().nth(1).and_then(|line| line.split_whitespace().nth(2)).map(str::to_owned)
    };
    assert_eq!(state("eu-1").await.as_deref(), Some("Alive,Cordoned"));
    let ran = fleet.nave(&["drain", "-l", "region=eu", "--wait"]).await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "cluster/eu-1 draining\ncluster/eu-1 drained: nothing runs there\n"),
        "{}",
        ran.err
    );
    assert_eq!(state("eu-1").await.as_deref(), Some("Alive,Drained"));
    let page = fleet.nave(&["describe", "cluster", "eu-1"]).await;
    assert!(page.out.contains("Drained:") && page.out.contains("nave uncordon"), "{}", page.out);
    let document = fleet.write(
        "eu-1.yaml",
        "apiVersion: nave.dev/v1alpha1\nkind: Cluster\nmetadata: {name: eu-1, labels: {region: eu}}\n",
    );
    assert_eq!(fleet.nave(&["apply", "-f", document.to_str().expect("a path")]).await.code, 0);
    assert_eq!(state("eu-1").await.as_deref(), Some("Alive,Drained"), "an apply ends no drain");
    let ran = fleet.nave(&["uncordon", "eu-1", "us-1", "-o", "json"]).await;
    let items = json(&ran)["items"].clone();
    let results: Vec<&str> =
        items.as_array().expect("items").iter().filter_map(|item| item["result"].as_str()).collect();
    assert_eq!(results, ["uncordoned", "not cordoned"], "{}", ran.err);
    assert_eq!(state("eu-1").await.as_deref(), Some("Alive"));
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_that_takes_too_long_says_what_is_left_and_why() {
    let (fleet, _spokes) = Fleet::start(&SPOKES[..1]).await;
    fleet.write("shop.yaml", &application("shop", "a"));
    assert_eq!(fleet.nave(&["apply", "-f", "shop.yaml", "--wait"]).await.code, 0);
    let ran = fleet.nave(&["drain", "eu-1", "--wait", "--timeout", "1s"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (3, "cluster/eu-1 draining\n"), "{}", ran.err);
    let last = ran.err.lines().last().unwrap_or_default();
    let expected = "error: not drained after 1s: cluster/eu-1 still has shop (";
    assert!(last.starts_with(expected) && last.ends_with("`nave uncordon` ends it"), "{}", ran.err);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_cluster_leaves_the_fleet() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    let dry = fleet.nave(&["delete", "cluster", "eu-1", "--dry-run"]).await;
    assert_eq!((dry.code, dry.out.as_str()), (0, "cluster/eu-1 deleted (dry run)\n"), "{}", dry.err);
    let ran = fleet.nave(&["delete", "cluster/eu-1"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "cluster/eu-1 deleted\n"), "{}", ran.err);
    assert!(ran.err.contains("its agent is refused"), "{}", ran.err);
    assert_eq!(fleet.nave(&["get", "clusters", "-o", "name"]).await.out, "cluster/us-1\n");
    assert_eq!(fleet.nave(&["delete", "cluster", "eu-1", "--ignore-not-found"]).await.code, 0);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_whole_and_its_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (fleet, _spokes) = Fleet::start(&[]).await;
    let path = fleet.write("old.nave", "older than the backup");
    let ran = fleet.nave(&["hub", "backup", "-o", "old.nave"]).await;
    assert!(ran.code == 0 && ran.out.starts_with("old.nave written ("), "{ran:?}");
    let metadata = std::fs::metadata(&path).expect("the archive");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let piped = fleet.nave_bytes(&["hub", "backup", "-o", "-"]).await;
    assert!(!piped.is_empty() && metadata.len() > 100);
    let ran = fleet.nave(&["hub", "backup", "-o", "no/such/folder/hub.nave"]).await;
    assert!(ran.code == 1 && ran.err.contains("cannot write no/such/folder/hub.nave"), "{ran:?}");
    fleet.hub.shutdown().await;
}
