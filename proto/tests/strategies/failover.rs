//! Strategies for failover: its rules, its state, its reports.

use std::time::Duration;

use nave_common::assignment::ExclusiveTerms;
use nave_common::failover::state::{
    Cause, FailoverState, Fenced, Flaps, Grant, Move, MovePhase, MoveTimes, Order, OrderKind, Parked, Release,
};
use nave_common::failover::{
    Epoch, Exclusive, Failback, FailbackMode, Failover, FailoverMode, FailoverPlan, FailoverTarget,
    FailoverView, Fence, Frozen, HubFailover, ParkRule, PlannedMove,
};
use nave_common::status::{FenceState, FenceStatus};
use nave_common::time::{HumanDuration, Timestamp};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::{application_key, cluster_name, json, name, some_time, text};

fn epoch() -> impl Strategy<Value = Epoch> {
    any::<u64>().prop_map(Epoch::from_number)
}

/// Never zero, which stands for nothing on the wire.
fn duration() -> impl Strategy<Value = HumanDuration> {
    (1..u64::from(u32::MAX)).prop_map(|millis| HumanDuration(Duration::from_millis(millis)))
}

fn mode() -> impl Strategy<Value = FailoverMode> {
    prop_oneof![Just(FailoverMode::Overlap), Just(FailoverMode::Exclusive), Just(FailoverMode::Manual)]
}

fn fence() -> impl Strategy<Value = Fence> {
    prop_oneof![Just(Fence::Agent), Just(Fence::Storage), Just(Fence::Manual)]
}

pub(crate) fn park_rule() -> impl Strategy<Value = ParkRule> {
    (of(text()), text(), json()).prop_map(|(group, kind, merge)| ParkRule { group, kind, merge })
}

pub(crate) fn exclusive_terms() -> impl Strategy<Value = ExclusiveTerms> {
    (epoch(), fence(), any::<u64>()).prop_map(|(epoch, fence, fence_timeout_ms)| ExclusiveTerms {
        epoch,
        fence,
        fence_timeout_ms,
    })
}

pub(crate) fn fence_status() -> impl Strategy<Value = FenceStatus> {
    let state =
        prop_oneof![Just(FenceState::Stopping), Just(FenceState::Confirmed), Just(FenceState::Unconfirmed)];
    (epoch(), state, text(), some_time()).prop_map(|(epoch, state, reason, since)| FenceStatus {
        epoch,
        state,
        reason,
        since,
    })
}

pub(crate) fn failover() -> impl Strategy<Value = Failover> {
    let target = prop_oneof![
        name().prop_map(FailoverTarget::Region),
        cluster_name().prop_map(FailoverTarget::Cluster)
    ];
    let failback =
        prop_oneof![Just(FailbackMode::Auto), Just(FailbackMode::Manual), Just(FailbackMode::Never)];
    let failback = (of(failback), duration()).prop_map(|(mode, after)| Failback { mode, after });
    let exclusive = (duration(), fence(), duration(), of(duration())).prop_map(
        |(lease_duration, fence, fence_timeout, assume_fenced_after)| Exclusive {
            lease_duration,
            fence,
            fence_timeout,
            assume_fenced_after,
        },
    );
    let lists = (vec(target, 0..3), vec(park_rule(), 0..3));
    (mode(), lists, any::<u32>(), of(duration()), failback, of(any::<u32>()), of(exclusive)).prop_map(
        |(mode, (prefer, park), priority, degraded_after, failback, standby_count, exclusive)| Failover {
            mode,
            prefer,
            priority,
            degraded_after,
            failback,
            standby_count,
            park,
            exclusive,
        },
    )
}

fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(Cause::Lost),
        Just(Cause::Sick),
        Just(Cause::Degraded),
        Just(Cause::Drained),
        Just(Cause::Placement),
        Just(Cause::Ordered),
        Just(Cause::Failback),
    ]
}

fn a_move() -> impl Strategy<Value = Move> {
    let phase = prop_oneof![
        Just(MovePhase::Proposed),
        Just(MovePhase::Fencing),
        Just(MovePhase::Unplaced),
        Just(MovePhase::Applying),
        Just(MovePhase::Settling),
        Just(MovePhase::Done),
        Just(MovePhase::Aborted),
    ];
    let times =
        proptest::array::uniform8(of(some_time())).prop_map(|times: [Option<Timestamp>; 8]| MoveTimes {
            began_at: times[0],
            detected_at: times[1],
            decided_at: times[2],
            fenced_at: times[3],
            applied_at: times[4],
            healthy_at: times[5],
            traffic_at: times[6],
            ended_at: times[7],
        });
    (any::<u64>(), cluster_name(), of(cluster_name()), cause(), phase, text(), of(epoch()), times).prop_map(
        |(number, from, to, cause, phase, reason, epoch, times)| Move {
            number,
            from,
            to,
            cause,
            phase,
            reason,
            epoch,
            times,
        },
    )
}

pub(crate) fn order() -> impl Strategy<Value = Order> {
    let what = prop_oneof![
        (of(cluster_name()), of(cluster_name())).prop_map(|(from, to)| OrderKind::Move { from, to }),
        any::<u64>().prop_map(|number| OrderKind::Approve { number }),
        any::<u64>().prop_map(|number| OrderKind::Abort { number }),
        (cluster_name(), epoch(), any::<bool>()).prop_map(|(cluster, epoch, by_webhook)| {
            OrderKind::ConfirmFenced { cluster, epoch, by_webhook }
        }),
    ];
    (what, text(), some_time(), text()).prop_map(|(what, by, at, change_id)| Order {
        what,
        by,
        at,
        change_id,
    })
}

fn state() -> impl Strategy<Value = FailoverState> {
    let parked = (some_time(), any::<bool>(), of(cluster_name()))
        .prop_map(|(since, is_home, replaced_by)| Parked { since, is_home, replaced_by });
    let fenced = prop_oneof![
        Just(Fenced::Confirmed),
        Just(Fenced::Storage),
        text().prop_map(Fenced::Person),
        Just(Fenced::Webhook),
        Just(Fenced::Assumed),
    ];
    let release = (some_time(), of(fenced)).prop_map(|(since, fenced)| Release { since, fenced });
    let grant = (cluster_name(), epoch(), any::<u64>(), some_time(), of(release)).prop_map(
        |(cluster, epoch, promised_ms, granted_at, release)| Grant {
            cluster,
            epoch,
            promised_ms,
            granted_at,
            release,
        },
    );
    let flaps = (any::<u32>(), some_time()).prop_map(|(count, last_at)| Flaps { count, last_at });
    let maps = (btree_map(cluster_name(), parked, 0..3), btree_map(cluster_name(), flaps, 0..3));
    let lists = (vec(a_move(), 0..3), vec(a_move(), 0..3), vec(order(), 0..3));
    let standbys = (any::<u32>(), proptest::collection::btree_set(cluster_name(), 0..3));
    let counts = (of(any::<u64>()), any::<u64>());
    (application_key(), maps, of(grant), lists, counts, standbys).prop_map(
        |(application, (parked, flaps), grant, (moves, history, orders), counts, standbys)| {
            let ((degraded_revision, move_count), (standby_count, surplus)) = (counts, standbys);
            FailoverState {
                application,
                parked,
                grant,
                moves,
                history,
                flaps,
                degraded_revision,
                orders,
                move_count,
                standby_count,
                surplus,
            }
        },
    )
}

pub(crate) fn failover_view() -> impl Strategy<Value = FailoverView> {
    let active = vec(cluster_name(), 0..3);
    (failover(), state(), active, of(some_time())).prop_map(|(failover, state, active, lease_ends_at)| {
        FailoverView { failover, state, active, lease_ends_at }
    })
}

fn frozen() -> impl Strategy<Value = Frozen> {
    (name(), some_time(), of(some_time())).prop_map(|(reason, since, until)| Frozen { reason, since, until })
}

pub(crate) fn hub_failover() -> impl Strategy<Value = HubFailover> {
    (of(frozen()), of(some_time()))
        .prop_map(|(frozen, maintenance_until)| HubFailover { frozen, maintenance_until })
}

pub(crate) fn failover_plan() -> impl Strategy<Value = FailoverPlan> {
    let planned = (application_key(), mode(), cluster_name(), of(cluster_name()), cause(), text()).prop_map(
        |(application, mode, from, to, cause, reason)| PlannedMove {
            application,
            mode,
            from,
            to,
            cause,
            reason,
        },
    );
    (vec(cluster_name(), 0..3), vec(planned, 0..3), of(frozen()))
        .prop_map(|(lost, moves, frozen)| FailoverPlan { lost, moves, frozen })
}
