//! Get, describe, watch.

use super::harness::{Fleet, Says, application, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

const SPOKES: [(&str, &str); 2] = [("eu-1", "eu"), ("us-1", "us")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_have_the_columns_that_people_know() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    fleet.write("shop.yaml", &application("shop", "a"));
    assert_eq!(fleet.nave(&["apply", "-f", "shop.yaml", "--wait"]).await.code, 0);
    let rows = async |arguments: &[&str]| -> Vec<Vec<String>> {
        let ran = fleet.nave(arguments).await;
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.err);
        ran.out.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let applications = rows(&["get", "applications"]).await;
    assert_eq!(applications[0], ["NAME", "REVISION", "CLUSTERS", "SYNC", "HEALTH", "AGE"]);
    assert_eq!(applications[1][..5], ["shop", "1", "2/2", "Synced", "Healthy"]);
    let clusters = rows(&["get", "cl"]).await;
    assert_eq!(clusters[0][..5], ["NAME", "REGION", "STATUS", "HEARD", "NODES"]);
    assert_eq!(clusters[1][..3], ["eu-1", "eu", "Alive"]);
    assert_eq!(clusters[1][4..7], ["3/3", "v1.37.0", "1"]);
    let assignments = rows(&["get", "assignments", "shop"]).await;
    assert_eq!(assignments[1][..6], ["shop", "eu-1", "1", "Synced", "Healthy", "1/1"]);
    let all = rows(&["get", "apps", "-A", "-l", "team=retail"]).await;
    assert_eq!(all[0][..2], ["PROJECT", "NAME"]);
    assert_eq!(all[1][..2], ["default", "shop"]);
    assert_eq!(rows(&["get", "apps", "-p", "other"]).await.len(), 0);
    assert!(rows(&["get", "events", "shop"]).await.len() > 1);
    assert_eq!(rows(&["get", "revisions", "shop"]).await[1][..2], ["1", "inline"]);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_printed_as_yaml_can_be_applied_again() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    for name in ["one", "two"] {
        fleet.write("app.yaml", &application(name, "a"));
        assert_eq!(fleet.nave(&["apply", "-f", "app.yaml"]).await.code, 0);
    }
    let list = fleet.nave(&["get", "applications", "-o", "yaml"]).await;
    assert!(list.out.contains("kind: List"), "{}", list.out);
    let again = fleet.nave_reading(&["apply", "-f", "-"], &list.out).await;
    assert_eq!(again.out, "application/one unchanged\napplication/two unchanged\n", "{}", again.err);
    let single = json(&fleet.nave(&["get", "application/one", "-o", "json"]).await);
    assert_eq!((&single["kind"], &single["metadata"]["name"]), (&"Application".into(), &"one".into()));
    let names = fleet.nave(&["get", "applications", "-o", "name"]).await;
    assert_eq!(names.out, "application/one\napplication/two\n");
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_exit_code_1() {
    let (fleet, _spokes) = Fleet::start(&SPOKES[..1]).await;
    for arguments in [["get", "app", "nope"], ["get", "cluster", "nope"], ["describe", "app", "nope"]] {
        let ran = fleet.nave(&arguments).await;
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains("nope"), "{}", ran.err);
    }
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn describe_says_where_why_and_what_is_wrong() {
    let (fleet, spokes) = Fleet::start(&SPOKES).await;
    spokes[1].say(Says::degraded("0 of 3 ready: image cart:1.9 not found"));
    let shop = application("shop", "a")
        .replace("spec:\n", "spec:\n  placement: {clusters: {matchLabels: {region: us}}}\n");
    fleet.write("shop.yaml", &shop);
    assert_eq!(fleet.nave(&["apply", "-f", "shop.yaml"]).await.code, 0);
    let page = fleet.until(&["describe", "application", "shop"], "image cart:1.9 not found").await;
    let section = |name: &str| {
        let rest = page.split_once(&format!("\n{name}\n")).unwrap_or_else(|| panic!("{name}: {page}")).1;
        rest.split("\n\n").next().unwrap_or_default().to_owned()
    };
    let why = section("Why these clusters");
    assert!(why.contains("us-1   chosen") && why.contains("eu-1   excluded"), "{page}");
    let wrong = section("What is not healthy");
    assert!(wrong.contains("us-1   Deployment shop/cart   Degraded"), "{page}");
    assert!(page.contains("Placement:") && page.contains("clusters with region=us"), "{page}");
    let cluster = fleet.nave(&["describe", "cluster", "us-1"]).await;
    assert_eq!(cluster.code, 0, "{}", cluster.err);
    for expected in ["region=us", "Alive, last heard", "3 of 3 are ready", "REQUESTED", "shop"] {
        assert!(cluster.out.contains(expected), "{expected}: {}", cluster.out);
    }
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_what_is_there_and_then_what_changes() {
    let (fleet, _spokes) = Fleet::start(&SPOKES[..1]).await;
    fleet.write("one.yaml", &application("one", "a"));
    assert_eq!(fleet.nave(&["apply", "-f", "one.yaml", "--wait"]).await.code, 0);
    let mut watching =
        fleet.command(&["get", "applications", "--watch", "-o", "json"]).spawn().expect("nave starts");
    let mut lines = BufReader::new(watching.stdout.take().expect("its output")).lines();
    let mut next = async || -> serde_json::Value {
        let line = tokio::time::timeout(std::time::Duration::from_secs(30), lines.next_line()).await;
        let line = line.expect("a line in time").expect("a line").expect("not the end");
        serde_json::from_str(&line).expect("JSON")
    };
    let first = next().await;
    assert_eq!((&first["type"], &first["object"]["metadata"]["name"]), (&"Applied".into(), &"one".into()));
    fleet.write("two.yaml", &application("two", "a"));
    assert_eq!(fleet.nave(&["apply", "-f", "two.yaml"]).await.code, 0);
    while next().await["object"]["metadata"]["name"] != "two" {}
    assert_eq!(fleet.nave(&["delete", "app", "two"]).await.code, 0);
    loop {
        let change = next().await;
        if change["type"] == "Deleted" {
            assert_eq!(change["object"]["name"], "application/two");
            break;
        }
    }
    watching.kill().await.expect("it ends");
    fleet.hub.shutdown().await;
}
