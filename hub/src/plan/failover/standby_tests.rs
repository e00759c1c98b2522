//! Scenes of standbys: what a person lowers is removed, as far as that is safe, and nothing else is.

use nave_common::failover::state::OrderKind;
use serde_json::json;

use super::super::stage::{Stage, name};

/// Exclusive work in eu-1, with two standbys.
fn with_two() -> Stage {
    let spec = json!({
        "placement": {"count": 1},
        "failover": {"mode": "Exclusive", "prefer": [{"region": "eu"}, {"region": "us"}], "standbyCount": 2},
    });
    let mut stage = Stage::new(spec, &["ap-1", "eu-1", "us-1"]);
    stage.settle();
    assert_eq!(stage.picture(), "t=0: ap-1 parked; eu-1 runs; us-1 parked;");
    stage
}

fn want(stage: &mut Stage, count: u32) {
    stage.application.spec.failover.standby_count = Some(count);
}

#[test]
fn a_lower_number_removes_the_standby_that_is_liked_least() {
    let mut stage = with_two();
    want(&mut stage, 1);
    stage.wait(1);
    assert_eq!(stage.picture(), "t=1: eu-1 runs; us-1 parked;");
    assert!(!stage.told.contains_key(&name("ap-1")), "it was told to remove it");
    want(&mut stage, 0);
    stage.wait(1);
    assert_eq!(stage.picture(), "t=2: eu-1 runs;");
    want(&mut stage, 2);
    stage.wait(1);
    assert_eq!(stage.picture(), "t=3: ap-1 parked; eu-1 runs; us-1 parked;");
}

#[test]
fn a_silent_standby_goes_when_it_is_back_and_known_to_have_stopped() {
    let mut stage = with_two();
    stage.lose("us-1");
    stage.wait(10);
    want(&mut stage, 1);
    stage.wait(1);
    assert_eq!(stage.picture(), "t=11: ap-1 parked; eu-1 runs; us-1 parked;", "what is well is kept");
    stage.wait(1000);
    assert!(stage.state.surplus.contains(&name("us-1")), "{:?}", stage.state.surplus);
    stage.heal("us-1");
    stage.wait(1);
    assert_eq!(stage.picture(), "t=1012: ap-1 parked; eu-1 runs;");
    assert!(stage.state.surplus.is_empty());
}

#[test]
fn a_cluster_that_was_left_and_may_still_run_it_is_told_to_stop_and_not_to_remove() {
    let mut stage = with_two();
    stage.order(OrderKind::Move { from: None, to: Some(name("us-1")) });
    stage.now += 1;
    let _ = stage.plan();
    stage.spoke("eu-1").is_slow = true;
    want(&mut stage, 0);
    stage.wait(1);
    assert!(stage.state.parked.contains_key(&name("eu-1")), "{}", stage.picture());
    assert!(stage.active().is_empty(), "its agent has not confirmed: {}", stage.picture());
    stage.spoke("eu-1").is_slow = false;
    stage.wait(1);
    assert_eq!(stage.active(), ["us-1"], "{}", stage.picture());
}

#[test]
fn home_is_kept_though_no_standby_is_wanted() {
    let mut stage = with_two();
    let rules = stage.application.spec.failover.exclusive.get_or_insert_default();
    rules.fence = nave_common::failover::Fence::Storage;
    stage.lose("eu-1");
    stage.wait(10);
    assert_eq!(stage.picture(), "t=10: ap-1 parked; eu-1 home; us-1 runs;");
    want(&mut stage, 0);
    stage.wait(1);
    assert_eq!(stage.picture(), "t=11: eu-1 home; us-1 runs;");
    stage.heal("eu-1");
    stage.wait(1000);
    assert_eq!(stage.picture(), "t=1011: eu-1 home; us-1 runs;");
}

#[test]
fn what_is_more_than_wanted_without_an_edit_stays() {
    let mut stage = with_two();
    stage.order(OrderKind::Move { from: None, to: Some(name("us-1")) });
    stage.wait(1);
    stage.order(OrderKind::Move { from: None, to: Some(name("eu-1")) });
    stage.wait(1000);
    assert_eq!(stage.picture(), "t=1001: ap-1 parked; eu-1 runs; us-1 parked;");
    // One that is needed after all stays.
    stage.lose("ap-1");
    stage.wait(10);
    want(&mut stage, 1);
    stage.wait(1);
    stage.heal("ap-1");
    stage.lose("us-1");
    stage.wait(20);
    assert_eq!(stage.picture(), "t=1032: ap-1 parked; eu-1 runs; us-1 parked;");
    assert!(stage.state.surplus.is_empty(), "{:?}", stage.state.surplus);
}
