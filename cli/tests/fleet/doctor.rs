//! `nave doctor`: what is well, what is not, and the exit code that says so.

use super::harness::{Fleet, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_that_is_well_passes_and_a_dead_address_is_warned_of() {
    let (fleet, _spokes) = Fleet::start(&[("eu-1", "eu")]).await;
    let ran = fleet.nave(&["doctor"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for expected in [
        "ok    context: ",
        "ok    certificate: ",
        "ok    clock: ",
        "TLS verifies",
        "ok    versions: ",
        "clusters: ",
    ] {
        assert!(ran.out.contains(expected), "{expected}: {}", ran.out);
    }
    let both = format!("{},127.0.0.1:1", fleet.hub.listen_address());
    let report = json(&fleet.nave(&["doctor", "-o", "json", "--hub", &both]).await);
    let dead =
        report["checks"].as_array().expect("checks").iter().find(|it| it["check"] == "hub at 127.0.0.1:1");
    let dead = dead.expect("the dead address");
    assert_eq!(dead["result"], "warn", "{report}");
    assert!(dead["found"].as_str().expect("why").contains("refused"), "{dead}");
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_is_away_fails_and_says_what_to_do() {
    let (fleet, _spokes) = Fleet::start(&[]).await;
    let ran = fleet.nave(&["doctor", "--hub", "127.0.0.1:1"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out.contains("fail  hub at 127.0.0.1:1: ") && ran.out.contains("check that the hub runs"),
        "{ran:?}"
    );
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_hub_is_told_of() {
    let (fleet, _spokes) = Fleet::start(&[]).await;
    assert_eq!(fleet.nave(&["failover", "freeze"]).await.code, 0);
    let ran = fleet.nave(&["doctor"]).await;
    assert!(ran.out.contains("warn  failover: frozen since") && ran.code == 0, "{ran:?}");
    fleet.hub.shutdown().await;
}
