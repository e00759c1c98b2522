//! What holds of failover whatever happens: random clusters that come and go, orders, doubts, edits, and time. A failing
//! run is shrunk and printed by proptest.

use std::collections::BTreeMap;
use std::time::Duration;

use nave_common::assignment::Desired;
use nave_common::failover::state::{Cause, Move, MovePhase, OrderKind};
use nave_common::failover::{FailoverMode, Fence, Frozen};
use nave_common::name::ClusterName;
use nave_common::status::FenceState;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Stand;
use super::stage::{Stage, name, wall};
use super::work::is_by_itself;

const CLUSTERS: [&str; 5] = ["ap-1", "eu-1", "eu-2", "us-1", "us-2"];

#[derive(Debug, Clone)]
enum Event {
    Lose(usize),
    Heal(usize),
    Sick(usize),
    Degrade(usize),
    Slow(usize, bool),
    Cordon(usize, bool),
    Drain(usize, bool),
    /// The placement lets it in, or not.
    Admit(usize, bool),
    Full(usize, bool),
    Pass(u64),
    Agents,
    Freeze(bool),
    Hold(bool),
    Moves(u32),
    Order(Option<usize>, Option<usize>),
    Approve,
    Abort,
    Confirm,
    Revise,
    Count(u32),
    Standbys(u32),
    RestartHub,
    /// It is decided, and the commit fails.
    Conflict,
}

fn event() -> impl Strategy<Value = Event> {
    let cluster = 0..CLUSTERS.len();
    let of = |make: fn(usize) -> Event| cluster.clone().prop_map(make);
    let toggled = |make: fn(usize, bool) -> Event| {
        (cluster.clone(), any::<bool>()).prop_map(move |(cluster, on)| make(cluster, on))
    };
    let maybe = prop::option::of(cluster.clone());
    prop_oneof![
        6 => of(Event::Lose),
        8 => of(Event::Heal),
        2 => of(Event::Sick),
        2 => of(Event::Degrade),
        2 => toggled(Event::Slow),
        1 => toggled(Event::Cordon),
        2 => toggled(Event::Drain),
        1 => toggled(Event::Admit),
        1 => toggled(Event::Full),
        8 => prop_oneof![1_u64..15, 50_u64..90, 300_u64..700].prop_map(Event::Pass),
        8 => Just(Event::Agents),
        2 => any::<bool>().prop_map(Event::Freeze),
        1 => any::<bool>().prop_map(Event::Hold),
        1 => (0_u32..3).prop_map(Event::Moves),
        3 => (maybe.clone(), maybe).prop_map(|(from, to)| Event::Order(from, to)),
        2 => Just(Event::Approve),
        1 => Just(Event::Abort),
        4 => Just(Event::Confirm),
        1 => Just(Event::Revise),
        1 => (1_u32..4).prop_map(Event::Count),
        2 => (0_u32..4).prop_map(Event::Standbys),
        1 => Just(Event::RestartHub),
        1 => Just(Event::Conflict),
    ]
}

impl Event {
    /// Whether people changed what is wanted, so that something may be removed.
    fn is_edit(&self) -> bool {
        matches!(self, Self::Admit(..) | Self::Count(_) | Self::Standbys(_))
    }

    fn happen(&self, stage: &mut Stage) {
        let now = stage.now;
        match *self {
            Self::Lose(cluster) => stage.lose(CLUSTERS[cluster]),
            Self::Heal(cluster) => stage.heal(CLUSTERS[cluster]),
            Self::Sick(cluster) => {
                stage.spoke(CLUSTERS[cluster]).sick_since.get_or_insert(now);
                stage.spoke(CLUSTERS[cluster]).well_since = None;
            }
            Self::Degrade(cluster) => {
                stage.spoke(CLUSTERS[cluster]).degraded_since.get_or_insert(now);
                stage.spoke(CLUSTERS[cluster]).well_since = None;
            }
            Self::Slow(cluster, on) => stage.spoke(CLUSTERS[cluster]).is_slow = on,
            Self::Cordon(cluster, on) => stage.change(CLUSTERS[cluster], |it| it.is_cordoned = on),
            Self::Drain(cluster, on) => stage.change(CLUSTERS[cluster], |it| it.is_drained = on),
            Self::Admit(cluster, on) => stage.change(CLUSTERS[cluster], |it| {
                let labels = std::sync::Arc::make_mut(&mut it.labels);
                labels.insert("env".to_owned(), if on { "prod" } else { "dev" }.to_owned());
            }),
            Self::Full(cluster, on) => stage.change(CLUSTERS[cluster], |it| {
                it.allocatable = on.then(nave_common::resources::Resources::default);
            }),
            Self::Pass(seconds) => stage.pass(seconds),
            Self::Agents => stage.agents(),
            Self::Freeze(on) => {
                let frozen = Frozen { reason: "it started".into(), since: wall(now), until: None };
                stage.frozen = on.then_some(frozen);
            }
            Self::Hold(on) => stage.is_held = on,
            Self::Moves(count) => stage.moves = if count == 2 { 100 } else { count },
            Self::Order(from, to) => {
                let named = |place: Option<usize>| place.map(|place| name(CLUSTERS[place]));
                stage.order(OrderKind::Move { from: named(from), to: named(to) });
            }
            Self::Approve => {
                let number = stage.state.moves.last().map_or(1, |it| it.number);
                stage.order(OrderKind::Approve { number });
            }
            Self::Abort => {
                let number = stage.state.moves.last().map_or(1, |it| it.number);
                stage.order(OrderKind::Abort { number });
            }
            Self::Confirm => confirm(stage),
            Self::Revise => stage.revision += 1,
            Self::Count(count) => {
                if stage.application.spec.failover.mode != FailoverMode::Exclusive {
                    stage.application.spec.placement.count = Some(count);
                }
            }
            Self::Standbys(count) => stage.application.spec.failover.standby_count = Some(count),
            Self::RestartHub => stage.restart_hub(),
            Self::Conflict => drop(stage.look()),
        }
    }
}

/// Somebody looks, and says the truth: nothing of it runs there.
fn confirm(stage: &mut Stage) {
    let Some(grant) = stage.state.grant.clone() else { return };
    let spoke = stage.spokes.get_mut(&grant.cluster).unwrap();
    if spoke.silent_since.is_some() {
        // He pulls its plug.
        spoke.unplug();
    } else if spoke.runs.is_some() {
        return;
    }
    stage.order(OrderKind::ConfirmFenced { cluster: grant.cluster, epoch: grant.epoch, by_webhook: false });
}

fn spec(mode: &str) -> Value {
    let mut spec = json!({
        "placement": {"count": 2, "clusters": {"matchExpressions": [
            {"key": "env", "operator": "NotIn", "values": ["dev"]}]}},
        "failover": {"mode": mode, "prefer": [{"region": "eu"}], "degradedAfter": "60s",
            "failback": {"mode": "Auto"}},
    });
    if let Some(fence) =
        ["Agent", "Storage", "Manual"].iter().find(|fence| mode.ends_with(&format!(":{fence}")))
    {
        spec["placement"]["count"] = json!(1);
        spec["failover"]["mode"] = json!("Exclusive");
        spec["failover"]["exclusive"] = json!({"fence": fence});
    }
    spec
}

/// One run: the events one after the other, with a look after each.
fn run(mode: &str, events: &[Event]) -> Result<Stage, TestCaseError> {
    let mut stage = Stage::new(spec(mode), &CLUSTERS);
    stage.settle();
    let mut degraded: BTreeMap<u64, u64> = BTreeMap::new();
    for event in events {
        let before = stage.clone();
        event.happen(&mut stage);
        let world = stage.clone();
        let decision = stage.plan();
        never_two(&world, &stage)?;
        only_what_has_stopped_is_surplus(&world, &stage)?;
        nothing_is_removed(event, &world, &stage)?;
        within_limits(&before, &world, &stage)?;
        for it in begun(&world, &stage).filter(|it| it.cause == Cause::Degraded) {
            let first = *degraded.entry(stage.revision).or_insert(it.number);
            prop_assert_eq!(first, it.number, "a Revision moves once because it is Degraded");
        }
        for it in stage.state.moves.iter().filter(|it| it.phase == MovePhase::Unplaced) {
            let is_kept = matches!(decision.stands.get(&it.from), Some(Stand::Active(_)));
            let is_stopped = stage.state.grant.as_ref().is_some_and(|grant| grant.release.is_some());
            prop_assert!(is_kept || is_stopped, "what nothing can take stays: {}", stage.picture());
        }
        // Only what runs is said to be Degraded, so parking itself changes what is seen.
        if stage.spokes.values().any(|spoke| spoke.degraded_since.is_some()) {
            continue;
        }
        // To look again changes nothing.
        let mut again = stage.clone();
        again.moves = stage.moves.saturating_sub(decision.begun_count);
        let second = again.look();
        prop_assert_eq!(&second.state, &stage.state, "after {:?}: {}", event, world.picture());
        prop_assert_eq!(&second.stands, &decision.stands, "after {:?}: {}", event, world.picture());
    }
    Ok(stage)
}

/// The moves that were decided between two states.
fn begun<'a>(before: &'a Stage, after: &'a Stage) -> impl Iterator<Item = &'a Move> {
    let decided = |stage: &Stage, number: u64| {
        let mut all = stage.state.moves.iter().chain(&stage.state.history);
        all.any(|it| it.number == number && it.times.decided_at.is_some())
    };
    let all = after.state.moves.iter().chain(&after.state.history);
    all.filter(move |it| it.times.decided_at.is_some() && !decided(before, it.number))
}

fn never_two(before: &Stage, after: &Stage) -> Result<(), TestCaseError> {
    let Some(rules) = after.application.spec.failover.exclusive_rules() else { return Ok(()) };
    prop_assert!(after.active().len() <= 1, "{}", after.picture());
    let (old, new) = (before.state.grant.as_ref(), after.state.grant.as_ref());
    if let (Some(old), Some(new)) = (old, new) {
        prop_assert!(new.epoch >= old.epoch);
        if new.epoch == old.epoch {
            prop_assert_eq!(&new.cluster, &old.cluster);
            prop_assert!(new.promised_ms >= old.promised_ms);
            prop_assert!(old.release.is_none() || new.release.is_some(), "what is released stays so");
        } else if new.cluster != old.cluster {
            let runs = before.spokes[&old.cluster].runs;
            prop_assert!(
                rules.fence == Fence::Storage || runs.is_none(),
                "granted while {} runs it:\n{}",
                old.cluster,
                before.picture()
            );
            let is_said = after.state.moves.iter().chain(&after.state.history).any(|it| {
                it.from == old.cluster && it.epoch == Some(new.epoch) && it.times.fenced_at.is_some()
            });
            prop_assert!(is_said, "the report says when the old copy was known to be dead");
        }
    }
    prop_assert!(!(old.is_some() && new.is_none()), "a grant does not vanish");
    if rules.fence == Fence::Agent {
        let running: Vec<&ClusterName> =
            after.spokes.iter().filter(|(_, spoke)| spoke.runs.is_some()).map(|(name, _)| name).collect();
        prop_assert!(running.len() <= 1, "{running:?} run it");
    }
    Ok(())
}

fn nothing_is_removed(event: &Event, before: &Stage, after: &Stage) -> Result<(), TestCaseError> {
    if event.is_edit() {
        return Ok(());
    }
    for (cluster, told) in &before.told {
        let is_admitted = before.application.spec.placement.clusters.matches(&{
            let found = before.fleet.find(cluster);
            found.map(|it| (*it.labels).clone()).unwrap_or_default()
        });
        // What an edit wanted gone may go later, when it is known to have stopped.
        let is_surplus = before.state.surplus.contains(cluster);
        if !matches!(told.desired, Desired::Run(_)) || !is_admitted || is_surplus {
            continue;
        }
        let stays = after.told.get(cluster).is_some_and(|it| matches!(it.desired, Desired::Run(_)));
        prop_assert!(stays, "{cluster} is removed after {event:?}: {}", before.picture());
    }
    Ok(())
}

/// A standby that nobody wants any more is neither home nor the holder, and goes only once nothing of it runs there.
fn only_what_has_stopped_is_surplus(before: &Stage, after: &Stage) -> Result<(), TestCaseError> {
    let holder = after.state.grant.as_ref().map(|grant| &grant.cluster);
    for cluster in &after.state.surplus {
        let is_standby = after.state.parked.get(cluster).is_some_and(|parked| !parked.is_home);
        prop_assert!(is_standby && holder != Some(cluster), "{cluster} is surplus: {}", after.picture());
    }
    let is_admitted = |cluster: &ClusterName| {
        let found = after.fleet.find(cluster).map(|it| (*it.labels).clone()).unwrap_or_default();
        after.application.spec.placement.clusters.matches(&found)
    };
    let stands =
        |cluster: &ClusterName| after.last.as_ref().is_some_and(|it| it.stands.contains_key(cluster));
    for (cluster, parked) in before.state.parked.iter().filter(|(cluster, _)| is_admitted(cluster)) {
        if stands(cluster) {
            continue;
        }
        prop_assert!(!parked.is_home, "its home {cluster} is removed: {}", before.picture());
        let spoke = &before.spokes[cluster];
        let said = spoke.fence.as_ref().map(|fence| fence.state);
        let has_stopped = spoke.runs.is_none() && said.is_none_or(|said| said == FenceState::Confirmed);
        let was_told = before.told.contains_key(cluster);
        prop_assert!(has_stopped || !was_told, "{cluster} is removed while it runs it: {}", before.picture());
    }
    Ok(())
}

fn within_limits(before: &Stage, world: &Stage, after: &Stage) -> Result<(), TestCaseError> {
    let decision = after.last.as_ref().unwrap();
    let is_manual = after.application.spec.failover.mode == FailoverMode::Manual;
    prop_assert!(decision.begun_count <= world.moves);
    let by_itself = begun(world, after).filter(|it| is_by_itself(it.cause)).count();
    if !is_manual {
        // What was ordered home is told as a way home, and counts as ordered.
        prop_assert!(by_itself >= decision.begun_count as usize);
    }
    let is_new = |it: &&Move| it.number > world.state.move_count && is_by_itself(it.cause);
    let is_asked = before.state.orders.is_empty() && world.state.orders.is_empty();
    if world.frozen.is_some() && is_asked {
        let drains = world.fleet.iter().any(|(_, it)| it.is_drained);
        let new = after.state.moves.iter().chain(&after.state.history).find(is_new);
        prop_assert!(new.is_none() || drains, "frozen, and yet {new:?}");
    }
    for it in begun(world, after).filter(|it| it.cause == Cause::Failback) {
        let Some(home) = &it.to else { continue };
        let drained = world.fleet.find(&it.from).is_some_and(|it| it.is_drained);
        if !is_asked || drained || is_manual {
            continue;
        }
        let well = world.spokes[home].well_since.map_or(0, |since| world.now - since);
        prop_assert!(Duration::from_secs(well) >= Duration::from_secs(300), "home after {well} s");
    }
    Ok(())
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(event(), 1..40)
}

/// All is well again, and everybody is home.
fn recover(stage: &mut Stage) {
    stage.frozen = None;
    stage.is_held = false;
    stage.moves = 100;
    // A Revision that was Degraded at home does not go back there.
    stage.revision += 1;
    for cluster in CLUSTERS {
        stage.heal(cluster);
        stage.spoke(cluster).is_slow = false;
        stage.change(cluster, |it| {
            it.is_cordoned = false;
            it.is_drained = false;
            it.allocatable = None;
        });
    }
    // Longer than a home that flapped has to be well.
    for _ in 0..40 {
        stage.wait(600);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn overlap_holds_whatever_happens(events in events()) {
        run("Overlap", &events)?;
    }

    #[test]
    fn manual_holds_whatever_happens(events in events()) {
        run("Manual", &events)?;
    }

    #[test]
    fn exclusive_holds_whatever_happens(fence in 0_usize..3, events in events()) {
        run(["Exclusive:Agent", "Exclusive:Storage", "Exclusive:Manual"][fence], &events)?;
    }

    #[test]
    fn after_all_is_well_it_runs_as_often_as_wanted(mode in 0_usize..3, events in events()) {
        let calm: Vec<Event> = events.into_iter().filter(|it| !it.is_edit()).collect();
        let mut stage = run(["Overlap", "Exclusive:Agent", "Exclusive:Storage"][mode], &calm)?;
        recover(&mut stage);
        let wanted = stage.application.spec.placement.count.unwrap_or_default();
        prop_assert_eq!(stage.active().len(), wanted as usize, "{}", stage.picture());
        prop_assert!(stage.state.moves.is_empty(), "{}", stage.picture());
        prop_assert!(!stage.state.parked.values().any(|parked| parked.is_home), "{}", stage.picture());
    }

    #[test]
    fn losses_alone_bring_it_home_exactly(events in prop::collection::vec(prop_oneof![
        (0..CLUSTERS.len()).prop_map(Event::Lose),
        (0..CLUSTERS.len()).prop_map(Event::Heal),
        (1_u64..400).prop_map(Event::Pass),
        Just(Event::Agents),
    ], 1..30)) {
        let mut stage = Stage::new(spec("Overlap"), &CLUSTERS);
        stage.settle();
        let home: Vec<String> = stage.active().into_iter().map(str::to_owned).collect();
        let mut stage = run("Overlap", &events)?;
        recover(&mut stage);
        prop_assert_eq!(stage.active(), home);
    }

    #[test]
    fn a_cluster_that_has_nothing_of_it_moves_nothing(cluster in 0..CLUSTERS.len()) {
        let mut stage = Stage::new(spec("Overlap"), &CLUSTERS);
        stage.settle();
        if !stage.told.contains_key(&name(CLUSTERS[cluster])) {
            let (state, told) = (stage.state.clone(), stage.told.clone());
            stage.lose(CLUSTERS[cluster]);
            stage.wait(100);
            prop_assert_eq!((&stage.state, &stage.told), (&state, &told));
            stage.heal(CLUSTERS[cluster]);
            stage.wait(1000);
            prop_assert_eq!((&stage.state, &stage.told), (&state, &told));
        }
    }
}
