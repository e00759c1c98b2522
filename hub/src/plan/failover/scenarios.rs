//! What an operator sees, scene by scene: the loss of a region and the way home, drains, orders, each kind of fence, a
//! hub that starts anew.

use nave_common::failover::Frozen;
use nave_common::failover::state::{MovePhase, OrderKind};
use serde_json::json;

use super::stage::{Stage, name, wall};

const FLEET: [&str; 4] = ["ap-1", "eu-1", "eu-2", "us-1"];

fn overlap() -> Stage {
    let spec = json!({
        "placement": {"count": 2, "spread": [{"by": "region", "minDomains": 1}]},
        "failover": {"prefer": [{"region": "eu"}, {"region": "us"}]},
    });
    let mut stage = Stage::new(spec, &FLEET);
    // Spread comes before preference; what the scenes need is a known start.
    stage.application.spec.placement.spread.clear();
    stage.settle();
    assert_eq!(stage.active(), ["eu-1", "eu-2"]);
    stage
}

fn exclusive(fence: &str) -> Stage {
    let spec = json!({
        "placement": {"count": 1},
        "failover": {"mode": "Exclusive", "prefer": [{"region": "eu"}, {"region": "us"}],
            "exclusive": {"fence": fence}},
    });
    let mut stage = Stage::new(spec, &["ap-1", "eu-1", "us-1"]);
    stage.settle();
    assert_eq!(stage.picture(), "t=0: eu-1 runs; us-1 parked;");
    stage
}

fn frozen() -> Frozen {
    Frozen { reason: "the hub started".into(), since: wall(0), until: None }
}

#[test]
fn a_region_is_lost_and_its_work_comes_home() {
    let mut stage = overlap();
    stage.lose("eu-1");
    stage.lose("eu-2");
    stage.wait(9);
    assert_eq!(stage.active(), ["eu-1", "eu-2"]);
    stage.wait(1);
    assert_eq!(stage.picture(), "t=10: ap-1 runs; eu-1 home; eu-2 home; us-1 runs;");
    let lines = stage.why();
    assert!(
        lines
            .contains(&"eu-1 NotNow parked since 10:00: eu-1 was lost; runs in ap-1; is its home".to_owned()),
        "{lines:#?}"
    );
    let ended = stage.state.history[0].times;
    assert_eq!(ended.began_at, Some(wall(0)));
    assert_eq!(ended.decided_at, Some(wall(10)));
    stage.wait(30);
    stage.heal("eu-1");
    stage.heal("eu-2");
    stage.wait(299);
    assert_eq!(stage.picture(), "t=339: ap-1 runs; eu-1 home; eu-2 home; us-1 runs;");
    stage.wait(1);
    assert_eq!(stage.picture(), "t=340: ap-1 parked; eu-1 runs; eu-2 runs; us-1 parked;");
    assert_eq!(stage.state.history.len(), 4);
}

#[test]
fn a_home_that_fails_again_has_to_be_well_for_twice_as_long() {
    let mut stage = overlap();
    for (loss, well_for) in [(1, 300), (2, 600), (3, 1200)] {
        stage.lose("eu-1");
        stage.wait(10);
        assert_eq!(stage.active().len(), 2, "{}", stage.picture());
        assert!(!stage.active().contains(&"eu-1"));
        stage.heal("eu-1");
        stage.wait(well_for - 1);
        assert!(!stage.active().contains(&"eu-1"), "loss {loss}: {}", stage.picture());
        stage.wait(1);
        assert_eq!(stage.active(), ["eu-1", "eu-2"], "loss {loss}: {}", stage.picture());
    }
}

#[test]
fn a_cluster_that_is_back_before_its_lease_is_over_moves_nothing() {
    let mut stage = overlap();
    stage.lose("eu-1");
    stage.wait(9);
    stage.heal("eu-1");
    stage.wait(100);
    assert_eq!(stage.active(), ["eu-1", "eu-2"]);
    assert_eq!(stage.state.move_count, 0);
}

#[test]
fn what_nothing_can_take_stays_and_is_said() {
    let spec = json!({"placement": {"count": 2, "clusters": {"matchLabels": {"region": "eu"}}}});
    let mut stage = Stage::new(spec, &FLEET);
    stage.settle();
    stage.lose("eu-1");
    stage.wait(10);
    assert_eq!(
        stage.picture(),
        "t=10: eu-1 runs; eu-2 runs;\n  Unplaced #1 eu-1 -> - (Lost): nothing can take it: 2 clusters are wanted, 1 \
         can be had: 2 match, eu-1 is left"
    );
    stage.heal("eu-1");
    stage.wait(1);
    assert_eq!(stage.ended(), "Aborted eu-1 -> - (Lost): eu-1 is well again; nothing had moved");
}

#[test]
fn a_drain_starts_elsewhere_before_it_stops_here() {
    let mut stage = overlap();
    stage.spoke("us-1").is_slow = true;
    stage.change("eu-2", |it| it.is_drained = true);
    stage.wait(1);
    assert_eq!(
        stage.picture(),
        "t=1: eu-1 runs; eu-2 runs; us-1 runs;\n  Applying #1 eu-2 -> us-1 (Drained): waits until us-1 has applied it"
    );
    stage.spoke("us-1").is_slow = false;
    stage.wait(1);
    assert_eq!(stage.picture(), "t=2: eu-1 runs; eu-2 home; us-1 runs;");
    assert_eq!(stage.ended(), "Done eu-2 -> us-1 (Drained): eu-2 was drained; runs in us-1");
    stage.change("eu-2", |it| it.is_drained = false);
    stage.wait(400);
    assert_eq!(stage.picture(), "t=402: eu-1 runs; eu-2 runs; us-1 parked;");
}

#[test]
fn a_cordoned_cluster_keeps_what_it_has_and_gets_nothing_new() {
    let mut stage = overlap();
    stage.change("eu-1", |it| it.is_cordoned = true);
    stage.change("us-1", |it| it.is_cordoned = true);
    stage.wait(1);
    assert_eq!(stage.active(), ["eu-1", "eu-2"]);
    stage.lose("eu-2");
    stage.wait(10);
    assert_eq!(stage.active(), ["ap-1", "eu-1"]);
}

#[test]
fn while_the_hub_doubts_itself_only_orders_and_drains_move() {
    let mut stage = overlap();
    stage.frozen = Some(frozen());
    stage.lose("eu-1");
    stage.wait(20);
    assert_eq!(stage.active(), ["eu-1", "eu-2"]);
    let problems = &stage.last.as_ref().unwrap().problems;
    assert_eq!(*problems, ["eu-1 is lost; nothing moves: the hub started"]);
    stage.order(OrderKind::Move { from: Some(name("eu-2")), to: Some(name("us-1")) });
    stage.wait(1);
    assert_eq!(stage.active(), ["eu-1", "us-1"]);
    stage.frozen = None;
    stage.wait(1);
    assert_eq!(stage.active(), ["eu-2", "us-1"]);
}

#[test]
fn manual_asks_first() {
    let mut stage = overlap();
    stage.application.spec.failover.mode = nave_common::failover::FailoverMode::Manual;
    stage.lose("eu-1");
    stage.wait(10);
    assert_eq!(
        stage.picture(),
        "t=10: eu-1 runs; eu-2 runs;\n  Proposed #1 eu-1 -> - (Lost): eu-1 is lost; `nave failover approve default/shop 1` \
         moves it"
    );
    stage.order(OrderKind::Approve { number: 1 });
    stage.wait(1);
    assert_eq!(stage.active(), ["eu-2", "us-1"]);
}

#[test]
fn a_proposal_that_a_person_gave_up_is_not_made_again_for_the_same_loss() {
    let mut stage = overlap();
    stage.application.spec.failover.mode = nave_common::failover::FailoverMode::Manual;
    stage.lose("eu-1");
    stage.wait(10);
    stage.order(OrderKind::Abort { number: 1 });
    stage.wait(1);
    assert_eq!(stage.ended(), "Aborted eu-1 -> - (Lost): given up by alice");
    assert!(stage.state.moves.is_empty());
    stage.heal("eu-1");
    stage.wait(5);
    stage.lose("eu-1");
    stage.wait(10);
    assert!(stage.has_phase(MovePhase::Proposed), "{}", stage.picture());
}

#[test]
fn a_broken_revision_does_not_march_through_the_fleet() {
    let mut stage = overlap();
    for cluster in FLEET {
        stage.spoke(cluster).degraded_since = Some(0);
    }
    stage.wait(200);
    // It was Healthy in both before; only one of them is left, once.
    assert_eq!(stage.state.move_count, 1, "{}", stage.picture());
}

#[test]
fn an_order_that_cannot_be_carried_out_is_remembered_with_why() {
    let mut stage = overlap();
    stage.change("us-1", |it| it.is_cordoned = true);
    stage.order(OrderKind::Move { from: Some(name("eu-1")), to: Some(name("us-1")) });
    stage.wait(1);
    let why = "ordered by alice: us-1 is cordoned or being drained";
    assert_eq!(stage.ended(), format!("Aborted eu-1 -> us-1 (Ordered): {why}"));
    stage.order(OrderKind::Move { from: None, to: Some(name("ap-1")) });
    stage.wait(1);
    assert!(
        stage.ended().contains("it runs in 2 clusters (eu-1, eu-2); say which it leaves"),
        "{}",
        stage.ended()
    );
}

#[test]
fn storage_refuses_the_old_epoch_so_silence_is_enough() {
    let mut stage = exclusive("Storage");
    let old = stage.state.grant.clone().unwrap();
    stage.lose("eu-1");
    stage.wait(10);
    assert_eq!(stage.picture(), "t=10: ap-1 parked; eu-1 home; us-1 runs;");
    let new = stage.state.grant.clone().unwrap();
    assert!(new.epoch > old.epoch);
    assert_eq!(stage.state.history[0].times.fenced_at, Some(wall(10)));
    // It comes back with its old copy, and is told to stop.
    stage.heal("eu-1");
    stage.wait(1);
    assert_eq!(stage.spoke("eu-1").runs, None);
    // Home is a person's to say.
    stage.wait(1000);
    assert_eq!(stage.active(), ["us-1"]);
    stage.order(OrderKind::Move { from: None, to: Some(name("eu-1")) });
    stage.wait(1);
    assert_eq!(stage.picture(), "t=1012: ap-1 parked; eu-1 runs; us-1 parked;");
}

#[test]
fn with_an_agents_fence_silence_waits_for_somebody_to_look() {
    let mut stage = exclusive("Agent");
    stage.lose("eu-1");
    stage.wait(10);
    assert_eq!(
        stage.picture(),
        "t=10: eu-1 runs; us-1 parked;\n  Fencing #1 eu-1 -> us-1 (Lost): eu-1 is lost; it may still come back and go \
         on: nothing is taken from it before its lease of 1m is over"
    );
    stage.wait(62);
    assert_eq!(
        stage.picture(),
        "t=72: eu-1 home; us-1 parked;\n  Fencing #1 eu-1 -> us-1 (Lost): eu-1 is silent, so nobody can \
         say that nothing of it runs there; make sure that it does not, then `nave failover confirm-fenced default/shop \
         --cluster eu-1`"
    );
    stage.wait(1000);
    assert!(stage.active().is_empty());
    let epoch = stage.state.grant.as_ref().unwrap().epoch;
    stage.order(OrderKind::ConfirmFenced { cluster: name("eu-1"), epoch, by_webhook: false });
    stage.wait(1);
    assert_eq!(stage.active(), ["us-1"]);
}

#[test]
fn an_agent_that_is_back_in_time_keeps_its_work() {
    let mut stage = exclusive("Agent");
    let old = stage.state.grant.clone();
    stage.lose("eu-1");
    stage.wait(60);
    stage.heal("eu-1");
    stage.wait(1);
    assert_eq!(stage.active(), ["eu-1"]);
    assert_eq!(stage.state.grant, old);
    assert_eq!(stage.ended(), "Aborted eu-1 -> us-1 (Lost): eu-1 is well again; nothing had moved");
}

#[test]
fn an_agent_that_is_back_late_confirms_and_runs_it_again() {
    let mut stage = exclusive("Agent");
    let old = stage.state.grant.clone().unwrap();
    stage.lose("eu-1");
    stage.wait(200);
    stage.heal("eu-1");
    stage.wait(1);
    assert_eq!(stage.active(), ["eu-1"], "{}", stage.picture());
    assert!(stage.state.grant.as_ref().unwrap().epoch > old.epoch);
    assert!(stage.ended().ends_with("eu-1 came back before it had started elsewhere, and runs it again"));
}

#[test]
fn what_may_be_assumed_dead_is_so_after_the_time_that_was_set() {
    let mut stage = exclusive("Agent");
    if let Some(rules) = &mut stage.application.spec.failover.exclusive {
        rules.assume_fenced_after = Some("2m".parse().unwrap());
    }
    stage.lose("eu-1");
    stage.wait(180);
    assert!(stage.active().is_empty());
    stage.wait(2);
    assert_eq!(stage.active(), ["us-1"], "{}", stage.picture());
}

#[test]
fn a_fence_by_people_moves_on_their_word_alone() {
    let mut stage = exclusive("Manual");
    stage.lose("eu-1");
    stage.wait(500);
    assert!(stage.active().is_empty());
    let epoch = stage.state.grant.as_ref().unwrap().epoch;
    stage.order(OrderKind::ConfirmFenced { cluster: name("eu-1"), epoch, by_webhook: true });
    let decision = stage.plan();
    assert!(decision.state.moves.iter().all(|it| it.times.fenced_at.is_some()));
    assert_eq!(stage.active(), ["us-1"]);
}

#[test]
fn a_persons_word_need_not_wait_for_the_lease() {
    let mut stage = exclusive("Agent");
    stage.lose("eu-1");
    stage.wait(12);
    let epoch = stage.state.grant.as_ref().unwrap().epoch;
    stage.order(OrderKind::ConfirmFenced { cluster: name("eu-1"), epoch, by_webhook: false });
    stage.wait(1);
    assert_eq!(stage.active(), ["us-1"]);
}

#[test]
fn a_planned_switchover_stops_confirms_and_starts() {
    for fence in ["Agent", "Storage", "Manual"] {
        let mut stage = exclusive(fence);
        stage.change("eu-1", |it| it.is_drained = true);
        stage.now += 1;
        let _ = stage.plan();
        assert!(stage.active().is_empty(), "{fence}: {}", stage.picture());
        assert_eq!(stage.state.grant.as_ref().unwrap().release.as_ref().unwrap().fenced, None);
        stage.agents();
        let _ = stage.plan();
        assert_eq!(stage.active(), ["us-1"], "{fence}");
        stage.settle();
        assert_eq!(stage.ended(), "Done eu-1 -> us-1 (Drained): eu-1 was drained; runs in us-1");
    }
}

#[test]
fn a_hub_that_starts_anew_goes_on_where_it_was() {
    let mut stage = exclusive("Agent");
    stage.lose("eu-1");
    stage.wait(100);
    let before = stage.state.clone();
    stage.restart_hub();
    stage.wait(1);
    assert_eq!(stage.state, before);
    let epoch = stage.state.grant.as_ref().unwrap().epoch;
    stage.order(OrderKind::ConfirmFenced { cluster: name("eu-1"), epoch, by_webhook: false });
    stage.wait(1);
    assert_eq!(stage.active(), ["us-1"]);
}

#[test]
fn a_lease_that_was_closed_for_nothing_is_granted_anew() {
    let mut stage = exclusive("Storage");
    let old = stage.state.grant.clone().unwrap();
    stage.lose("eu-1");
    stage.now += 10;
    // Closed and decided, and then the commit fails.
    let _ = stage.look();
    stage.heal("eu-1");
    stage.wait(1);
    let new = stage.state.grant.clone().unwrap();
    assert_eq!((new.cluster, new.release), (old.cluster, None));
    assert!(new.epoch > old.epoch);
}

#[test]
fn what_becomes_exclusive_stops_everywhere_else_first() {
    let mut stage = overlap();
    stage.application.spec.placement.count = Some(1);
    stage.application.spec.failover.mode = nave_common::failover::FailoverMode::Exclusive;
    stage.spoke("eu-2").is_slow = true;
    stage.wait(5);
    assert_eq!(stage.state.grant, None);
    stage.spoke("eu-2").is_slow = false;
    stage.wait(1);
    let grant = stage.state.grant.clone().unwrap();
    assert_eq!(stage.active(), [grant.cluster.as_str()]);
    assert_eq!(stage.spoke("eu-2").runs, None);
}

#[test]
fn a_maintenance_hold_moves_no_exclusive_work_by_itself() {
    let mut stage = exclusive("Storage");
    stage.is_held = true;
    stage.lose("eu-1");
    stage.wait(100);
    assert_eq!(stage.active(), ["eu-1"]);
    stage.is_held = false;
    stage.wait(1);
    assert_eq!(stage.active(), ["us-1"]);
    assert_eq!(stage.state.history[0].epoch, stage.state.grant.as_ref().map(|grant| grant.epoch));
}

#[test]
fn a_stand_in_runs_until_home_has_applied_it() {
    let mut stage = overlap();
    stage.lose("eu-1");
    stage.wait(10);
    assert_eq!(stage.active(), ["eu-2", "us-1"]);
    stage.heal("eu-1");
    stage.now += 300;
    let _ = stage.plan();
    // Home says that it has applied what it was told before: to stand parked.
    assert_eq!(stage.active(), ["eu-1", "eu-2", "us-1"]);
    let _ = stage.plan();
    assert_eq!(stage.active(), ["eu-1", "eu-2", "us-1"]);
    stage.settle();
    assert_eq!(stage.active(), ["eu-1", "eu-2"]);
}

#[test]
fn a_pretended_loss_says_what_would_move_and_what_would_not() {
    use super::pretend::{FleetProblem, Standing, plan};
    let (shop, ledger) = (overlap(), exclusive("Agent"));
    let mut narrow = Stage::new(json!({"placement": {"count": 1, "regions": ["eu"]}}), &["eu-1"]);
    narrow.settle();
    let mut stages = [shop, ledger, narrow];
    for (stage, name) in stages.iter_mut().zip(["shop", "ledger", "local"]) {
        stage.application.metadata.name = name.parse().unwrap();
    }
    stages[1].application.spec.failover.priority = 200;
    let fleet = stages[0].fleet.clone();
    let problem = FleetProblem {
        fleet: &fleet,
        applications: stages
            .iter()
            .map(|it| Standing {
                application: &it.application,
                revision: Some(1),
                requests: nave_common::resources::Resources::default(),
                told: &it.told,
                state: Some(&it.state),
            })
            .collect(),
        frozen: None,
        generation: nave_common::assignment::Generation { term: 1, counter: 9 },
        now: stages[0].time(),
    };
    let loss = nave_common::failover::PretendedLoss { regions: vec!["eu".into()], ..Default::default() };
    let would = plan(&problem, &loss);
    let line = |it: &nave_common::failover::PlannedMove| {
        let to = it.to.as_ref().map_or("-", |to| to.as_str());
        format!("{} {} -> {to} {}", it.application.name, it.from, it.reason)
    };
    let lines: Vec<String> = would.moves.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "ledger eu-1 -> us-1 when its agent is back and has stopped it, or on `nave failover confirm-fenced \
             default/ledger --cluster eu-1`",
            "local eu-1 -> - nothing can take it: 1 cluster is wanted, 0 can be had: 2 match, eu-1 is left, eu-2 is \
             not heard",
            "shop eu-1 -> ap-1 ",
            "shop eu-2 -> us-1 ",
        ]
    );
    assert_eq!(would.lost.len(), 2);
}
