//! Applications that move: on an order, out of a drained cluster, away from a lost one.

use std::time::Duration;

use nave_hub::Config;

use super::failover::once;
use super::harness::{Fleet, Spoke, json};

const SPOKES: [(&str, &str); 3] = [("ap-1", "ap"), ("eu-1", "eu"), ("us-1", "us")];

/// An application with one copy, which prefers region eu, then us.
fn preferring(name: &str, failover: &str) -> String {
    once(name, &format!("  failover: {{prefer: [{{region: eu}}, {{region: us}}], {failover}}}\n"))
}

/// A hub that notices quickly and does not doubt itself, with spokes.
async fn quick() -> (Fleet, Vec<Spoke>) {
    let (fleet, spokes) = Fleet::start_with(&SPOKES, |config: &mut Config| {
        config.heartbeat_interval = Duration::from_millis(500);
        config.liveness_lease = Duration::from_secs(2);
    })
    .await;
    assert_eq!(fleet.nave(&["failover", "thaw", "-q"]).await.code, 0);
    (fleet, spokes)
}

async fn apply(fleet: &Fleet, document: &str) {
    fleet.write("application.yaml", document);
    let ran = fleet.nave(&["apply", "-f", "application.yaml", "--wait"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
}

/// The newest move of an application, as a document.
async fn newest_move(fleet: &Fleet, name: &str) -> serde_json::Value {
    let ran = fleet.nave(&["failover", "history", name, "-o", "json"]).await;
    json(&ran)["items"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordered_move_is_waited_for_and_told_of() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    apply(&fleet, &preferring("shop", "mode: Overlap")).await;
    let dry = fleet.nave(&["failover", "run", "shop", "--to", "us-1", "--dry-run"]).await;
    assert_eq!(
        (dry.code, dry.out.as_str()),
        (0, "application/shop move to us-1 ordered (dry run)\n"),
        "{}",
        dry.err
    );
    let ran = fleet.nave(&["failover", "run", "shop", "--to", "us-1", "--wait", "--timeout", "30s"]).await;
    let expected = "application/shop move to us-1 ordered\napplication/shop moved to us-1\n";
    assert_eq!((ran.code, ran.out.as_str()), (0, expected), "{}", ran.err);
    let it = newest_move(&fleet, "shop").await;
    assert_eq!((&it["kind"], &it["number"], &it["cause"]), (&"Move".into(), &1.into(), &"Ordered".into()));
    assert_eq!((&it["from"], &it["to"], &it["phase"]), (&"eu-1".into(), &"us-1".into(), &"Done".into()));
    for step in ["decided", "applied", "healthy", "ended"] {
        assert!(it["offsetsMs"][step].is_u64(), "{step}: {it}");
    }
    let rows = fleet.nave(&["failover", "history", "shop"]).await.out;
    let cells: Vec<Vec<&str>> = rows.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[0][..6], ["APPLICATION", "MOVE", "FROM", "TO", "CAUSE", "PHASE"], "{rows}");
    assert_eq!(cells[1][..6], ["shop", "1", "eu-1", "us-1", "Ordered", "Done"], "{rows}");
    let assignments = fleet.nave(&["get", "assignments", "shop", "--cluster", "eu-1"]).await.out;
    assert!(assignments.contains("Parked"), "{assignments}");
    let status = fleet.nave(&["failover", "status", "shop"]).await.out;
    assert!(status.contains("us-1") && status.contains("Parked in:"), "{status}");
    // There it runs already.
    let again = fleet.nave(&["failover", "run", "shop", "--to", "us-1"]).await;
    assert!(again.code == 1 && again.err.contains("runs in us-1 already"), "{again:?}");
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_cluster_is_empty_and_can_leave_the_fleet() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    apply(&fleet, &preferring("shop", "mode: Overlap")).await;
    apply(&fleet, &preferring("ledger", "mode: Exclusive")).await;
    let held = fleet.nave(&["delete", "cluster", "eu-1"]).await;
    assert!(
        held.code == 1 && held.err.contains("default/ledger is Exclusive and may still run in cluster eu-1"),
        "{held:?}"
    );
    let ran = fleet.nave(&["drain", "eu-1", "--wait", "--timeout", "40s"]).await;
    let expected = "cluster/eu-1 draining\ncluster/eu-1 drained: nothing runs there\n";
    assert_eq!((ran.code, ran.out.as_str()), (0, expected), "{}", ran.err);
    for name in ["shop", "ledger"] {
        let it = newest_move(&fleet, name).await;
        assert_eq!(
            (&it["from"], &it["to"], &it["cause"]),
            (&"eu-1".into(), &"us-1".into(), &"Drained".into())
        );
    }
    fleet.until(&["failover", "history", "ledger"], "Done").await;
    fleet.until(&["failover", "history", "shop"], "Done").await;
    let ran = fleet.nave(&["delete", "cluster", "eu-1"]).await;
    let expected = "cluster/eu-1 deleted (what is left of ledger, shop stays in it)\n";
    assert_eq!((ran.code, ran.out.as_str()), (0, expected), "{}", ran.err);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_work_is_switched_over_under_a_higher_epoch() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    apply(&fleet, &preferring("ledger", "mode: Exclusive")).await;
    let view =
        async || json(&fleet.nave(&["failover", "status", "ledger", "-o", "json"]).await)["items"][0].clone();
    let before = view().await;
    assert_eq!(
        (&before["active"][0], &before["state"]["grant"]["cluster"]),
        (&"eu-1".into(), &"eu-1".into())
    );
    assert!(before["leaseEndsAt"].is_string(), "{before}");
    let page = fleet.nave(&["failover", "status", "ledger"]).await.out;
    assert!(page.contains("Exclusive (fence Agent, lease 1m, stops within 2m)"), "{page}");
    assert!(page.contains("its lease ends in"), "{page}");
    let ran = fleet.nave(&["failover", "run", "ledger", "--wait", "--timeout", "40s"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let after = view().await;
    let epoch = |view: &serde_json::Value| view["state"]["grant"]["epoch"].as_u64();
    assert_eq!(after["active"], serde_json::json!(["us-1"]), "{after}");
    assert!(epoch(&after) > epoch(&before), "{before} {after}");
    let it = newest_move(&fleet, "ledger").await;
    assert!(it["offsetsMs"]["fenced"].as_u64() <= it["offsetsMs"]["applied"].as_u64(), "{it}");
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_moves_by_itself_and_the_report_says_how_long_it_took() {
    let (fleet, mut spokes) = quick().await;
    apply(&fleet, &preferring("shop", "mode: Overlap")).await;
    drop(spokes.remove(1));
    fleet.until(&["failover", "history", "shop"], "Done").await;
    let it = newest_move(&fleet, "shop").await;
    assert_eq!((&it["from"], &it["to"], &it["cause"]), (&"eu-1".into(), &"us-1".into(), &"Lost".into()));
    let offset = |step: &str| it["offsetsMs"][step].as_u64().unwrap_or_default();
    assert!(offset("detected") >= 1000 && offset("detected") <= offset("healthy"), "{it}");
    let ran = fleet.nave(&["delete", "cluster", "eu-1", "--force"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_says_that_an_old_copy_is_dead() {
    let (fleet, mut spokes) = quick().await;
    apply(&fleet, &preferring("ledger", "mode: Exclusive, exclusive: {leaseDuration: 1s}")).await;
    let confirm = ["failover", "confirm-fenced", "ledger", "--cluster", "eu-1"];
    let early = fleet.nave(&[&confirm[..], &["--yes"]].concat()).await;
    assert!(early.code == 1 && early.err.contains("nothing takes it away"), "{early:?}");
    drop(spokes.remove(1));
    fleet.until(&["failover", "status", "ledger"], "is not known to be dead yet").await;
    let page = fleet.nave(&["failover", "status", "ledger"]).await.out;
    assert!(page.contains("nave failover confirm-fenced"), "{page}");
    let listed = fleet.until(&["get", "applications"], "FAILOVER").await;
    assert!(listed.trim_end().ends_with("moving from eu-1 to us-1: Fencing"), "{listed}");
    let held = fleet.nave(&["delete", "cluster", "eu-1", "--force"]).await;
    assert!(held.code == 1 && held.err.contains("confirm-fenced default/ledger"), "{held:?}");
    let other = fleet.nave(&["failover", "confirm-fenced", "ledger", "--cluster", "us-1", "--yes"]).await;
    assert!(other.code == 1 && other.err.contains("held by eu-1, not by us-1"), "{other:?}");
    let unasked = fleet.nave(&confirm).await;
    assert_eq!((unasked.code, unasked.out.as_str()), (2, ""), "{unasked:?}");
    assert!(unasked.err.contains("give --yes"), "{}", unasked.err);
    let ran = fleet.nave(&[&confirm[..], &["--yes"]].concat()).await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "application/ledger confirmed dead in eu-1\n"),
        "{}",
        ran.err
    );
    fleet.until(&["failover", "history", "ledger"], "Done").await;
    let it = newest_move(&fleet, "ledger").await;
    assert_eq!((&it["to"], &it["cause"]), (&"us-1".into(), &"Lost".into()), "{it}");
    let ran = fleet.nave(&["delete", "cluster", "eu-1", "--force"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposed_move_waits_for_approval_and_can_be_given_up() {
    let (fleet, mut spokes) = quick().await;
    apply(&fleet, &preferring("shop", "mode: Manual")).await;
    drop(spokes.remove(1));
    let table = fleet.until(&["failover", "status"], "Proposed").await;
    assert!(table.contains("eu-1->"), "{table}");
    let ran = fleet.nave(&["failover", "approve", "shop"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "application/shop move 1 approved\n"), "{}", ran.err);
    fleet.until(&["failover", "history", "shop"], "Done").await;
    let again = fleet.nave(&["failover", "approve", "shop", "1"]).await;
    assert!(again.code == 1 && again.err.contains("move 1 (from eu-1 to us-1, Done)"), "{again:?}");
    let abort = fleet.nave(&["failover", "abort", "shop", "1"]).await;
    assert!(abort.code == 1 && abort.err.contains("is over"), "{abort:?}");
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_what_would_move_and_a_drill_fails_where_something_has_no_place() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    apply(&fleet, &preferring("shop", "mode: Overlap, priority: 500")).await;
    apply(&fleet, &preferring("ledger", "mode: Exclusive")).await;
    apply(&fleet, &super::harness::application("everywhere", "a")).await;
    let plan = fleet.nave(&["failover", "plan", "--region", "eu"]).await;
    assert_eq!(plan.code, 0, "{}", plan.err);
    let lines: Vec<&str> = plan.out.lines().collect();
    assert_eq!(lines[..3], ["If these were lost: eu-1", "2 would move", ""], "{}", plan.out);
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(cells(lines[3]), ["PROJECT", "APPLICATION", "MODE", "FROM", "TO", "CAUSE", "REASON"]);
    assert_eq!(cells(lines[4])[..6], ["default", "shop", "Overlap", "eu-1", "us-1", "Lost"], "{}", plan.out);
    assert_eq!(cells(lines[5])[..6], ["default", "ledger", "Exclusive", "eu-1", "us-1", "Lost"]);
    assert!(lines[5].contains("nave failover confirm-fenced"), "{}", plan.out);
    let document = json(&fleet.nave(&["failover", "plan", "--cluster", "eu-1", "-o", "json"]).await);
    assert_eq!(
        (&document["kind"], &document["lost"]),
        (&"FailoverPlan".into(), &serde_json::json!(["eu-1"]))
    );
    let first = serde_json::json!({
        "application": {"project": "default", "name": "shop"},
        "mode": "Overlap", "from": "eu-1", "to": "us-1", "cause": "Lost",
    });
    assert_eq!(document["moves"][0], first, "{document}");
    let passed = fleet.nave(&["failover", "drill", "--region", "eu"]).await;
    assert_eq!(passed.code, 0, "{}", passed.err);
    assert!(passed.out.starts_with("Exercise: these are lost: eu-1\n"), "{}", passed.out);
    assert!(passed.err.contains("exercise passed"), "{}", passed.err);
    // It may run nowhere else.
    let tied = once("tied", "").replace("{count: 1}", "{count: 1, regions: [eu]}");
    apply(&fleet, &tied).await;
    let failed = fleet.nave(&["failover", "drill", "--region", "eu"]).await;
    assert_eq!(failed.code, 4, "{failed:?}");
    assert!(failed.out.contains("2 would move, 1 would have no place to go"), "{}", failed.out);
    assert!(failed.err.contains("1 of 3 would have no place to go: tied"), "{}", failed.err);
    let frozen = fleet.nave(&["failover", "drill", "--region", "eu", "--region", "us", "-q"]).await;
    assert!(frozen.code == 4 && frozen.err.contains("the hub would freeze"), "{frozen:?}");
    let unknown = fleet.nave(&["failover", "plan", "--region", "eux"]).await;
    assert!(unknown.code == 1 && unknown.err.contains("did you mean \"eu\"?"), "{unknown:?}");
    let moved = fleet.nave(&["failover", "history"]).await;
    assert_eq!(moved.out, "", "nothing was changed");
    fleet.hub.shutdown().await;
}
