//! Failover: its rules, how an application stands in it, and the reports of it.

use std::collections::BTreeMap;
use std::time::Duration;

use nave_common::failover::state::{
    Cause, FailoverState, Fenced, Flaps, Grant, Move, MovePhase, MoveTimes, Order, OrderKind, Parked, Release,
};
use nave_common::failover::{
    DEFAULT_FAILBACK_AFTER, DEFAULT_FENCE_TIMEOUT, DEFAULT_LEASE_DURATION, DEFAULT_PRIORITY, Epoch,
    Exclusive, Failback, FailbackMode, Failover, FailoverMode, FailoverPlan, FailoverTarget, FailoverView,
    Fence, Frozen, HubFailover, ParkRule, PlannedMove, PretendedLoss,
};
use nave_common::field::FieldError;
use nave_common::name::ClusterName;
use nave_common::time::HumanDuration;

use super::{
    by_value, enumerated, enumerated_or_none, filled, instant, instant_or_none, json, json_bytes, list,
    millis, optional, parsed, parsed_or_none, required, same_enum, text_of, wire_list,
};
use crate::v1;

impl TryFrom<v1::Failover> for Failover {
    type Error = FieldError;

    fn try_from(wire: v1::Failover) -> Result<Self, FieldError> {
        Ok(Self {
            mode: enumerated_or_none::<v1::FailoverMode, _>(wire.mode, "mode")?.unwrap_or_default(),
            prefer: list(wire.prefer, "prefer")?,
            priority: wire.priority.unwrap_or(DEFAULT_PRIORITY),
            degraded_after: duration_or_none(wire.degraded_after_ms),
            failback: optional(wire.failback, "failback")?.unwrap_or_default(),
            standby_count: wire.standby_count,
            park: list(wire.park, "park")?,
            exclusive: optional(wire.exclusive, "exclusive")?,
        })
    }
}

impl From<&Failover> for v1::Failover {
    fn from(failover: &Failover) -> Self {
        Self {
            mode: v1::FailoverMode::from(failover.mode).into(),
            prefer: wire_list(&failover.prefer),
            priority: Some(failover.priority),
            degraded_after_ms: duration_ms(failover.degraded_after),
            failback: Some((&failover.failback).into()),
            standby_count: failover.standby_count,
            park: wire_list(&failover.park),
            exclusive: failover.exclusive.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::FailoverTarget> for FailoverTarget {
    type Error = FieldError;

    fn try_from(wire: v1::FailoverTarget) -> Result<Self, FieldError> {
        match wire.kind {
            Some(v1::failover_target::Kind::Region(region)) => Ok(Self::Region(region)),
            Some(v1::failover_target::Kind::Cluster(name)) => Ok(Self::Cluster(parsed(&name, "cluster")?)),
            None => Err(FieldError::new("", "is empty; expected one of region, cluster")),
        }
    }
}

impl From<&FailoverTarget> for v1::FailoverTarget {
    fn from(target: &FailoverTarget) -> Self {
        let kind = match target {
            FailoverTarget::Region(region) => v1::failover_target::Kind::Region(region.clone()),
            FailoverTarget::Cluster(name) => v1::failover_target::Kind::Cluster(name.to_string()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::Failback> for Failback {
    type Error = FieldError;

    fn try_from(wire: v1::Failback) -> Result<Self, FieldError> {
        Ok(Self {
            mode: enumerated_or_none::<v1::FailbackMode, _>(wire.mode, "mode")?,
            after: wire.after_ms.map_or(HumanDuration(DEFAULT_FAILBACK_AFTER), duration),
        })
    }
}

impl From<&Failback> for v1::Failback {
    fn from(failback: &Failback) -> Self {
        Self {
            mode: failback.mode.map_or(0, |mode| v1::FailbackMode::from(mode).into()),
            after_ms: Some(duration_ms(Some(failback.after))),
        }
    }
}

impl TryFrom<v1::ParkRule> for ParkRule {
    type Error = FieldError;

    fn try_from(wire: v1::ParkRule) -> Result<Self, FieldError> {
        Ok(Self { group: wire.group, kind: wire.kind, merge: json(&wire.merge, "merge")? })
    }
}

impl From<&ParkRule> for v1::ParkRule {
    fn from(rule: &ParkRule) -> Self {
        Self { group: rule.group.clone(), kind: rule.kind.clone(), merge: json_bytes(&rule.merge) }
    }
}

impl TryFrom<v1::Exclusive> for Exclusive {
    type Error = FieldError;

    fn try_from(wire: v1::Exclusive) -> Result<Self, FieldError> {
        let or = |millis, default| duration_or_none(millis).unwrap_or(HumanDuration(default));
        Ok(Self {
            lease_duration: or(wire.lease_duration_ms, DEFAULT_LEASE_DURATION),
            fence: enumerated_or_none::<v1::Fence, _>(wire.fence, "fence")?.unwrap_or_default(),
            fence_timeout: or(wire.fence_timeout_ms, DEFAULT_FENCE_TIMEOUT),
            assume_fenced_after: duration_or_none(wire.assume_fenced_after_ms),
        })
    }
}

impl From<&Exclusive> for v1::Exclusive {
    fn from(exclusive: &Exclusive) -> Self {
        Self {
            lease_duration_ms: duration_ms(Some(exclusive.lease_duration)),
            fence: v1::Fence::from(exclusive.fence).into(),
            fence_timeout_ms: duration_ms(Some(exclusive.fence_timeout)),
            assume_fenced_after_ms: duration_ms(exclusive.assume_fenced_after),
        }
    }
}

impl TryFrom<v1::FailoverView> for FailoverView {
    type Error = FieldError;

    fn try_from(wire: v1::FailoverView) -> Result<Self, FieldError> {
        Ok(Self {
            failover: optional(wire.failover, "failover")?.unwrap_or_default(),
            state: required(wire.state, "state")?,
            active: names(&wire.active, "active")?,
            lease_ends_at: instant_or_none(wire.lease_ends_at_ms, "leaseEndsAt")?,
        })
    }
}

impl From<&FailoverView> for v1::FailoverView {
    fn from(view: &FailoverView) -> Self {
        Self {
            failover: Some((&view.failover).into()),
            state: Some((&view.state).into()),
            lease_ends_at_ms: millis(view.lease_ends_at),
            active: view.active.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<v1::FailoverState> for FailoverState {
    type Error = FieldError;

    fn try_from(wire: v1::FailoverState) -> Result<Self, FieldError> {
        Ok(Self {
            application: required(wire.application, "application")?,
            parked: by_cluster(wire.parked, "parked")?,
            grant: optional(wire.grant, "grant")?,
            moves: list(wire.moves, "moves")?,
            history: list(wire.history, "history")?,
            flaps: by_cluster(wire.flaps, "flaps")?,
            degraded_revision: wire.degraded_revision,
            orders: list(wire.orders, "orders")?,
            move_count: wire.move_count,
            standby_count: wire.standby_count,
            surplus: names(&wire.surplus, "surplus")?.into_iter().collect(),
        })
    }
}

impl From<&FailoverState> for v1::FailoverState {
    fn from(state: &FailoverState) -> Self {
        Self {
            application: Some((&state.application).into()),
            parked: state.parked.iter().map(|(name, parked)| (name.to_string(), parked.into())).collect(),
            grant: state.grant.as_ref().map(Into::into),
            moves: wire_list(&state.moves),
            history: wire_list(&state.history),
            flaps: state.flaps.iter().map(|(name, flaps)| (name.to_string(), flaps.into())).collect(),
            degraded_revision: state.degraded_revision,
            orders: wire_list(&state.orders),
            move_count: state.move_count,
            standby_count: state.standby_count,
            surplus: state.surplus.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<v1::Parked> for Parked {
    type Error = FieldError;

    fn try_from(wire: v1::Parked) -> Result<Self, FieldError> {
        Ok(Self {
            since: instant(wire.since_ms, "since")?,
            is_home: wire.is_home,
            replaced_by: parsed_or_none(&wire.replaced_by, "replacedBy")?,
        })
    }
}

impl From<&Parked> for v1::Parked {
    fn from(parked: &Parked) -> Self {
        Self {
            since_ms: parked.since.as_millis(),
            is_home: parked.is_home,
            replaced_by: text_of(parked.replaced_by.as_ref()),
        }
    }
}

impl TryFrom<v1::Grant> for Grant {
    type Error = FieldError;

    fn try_from(wire: v1::Grant) -> Result<Self, FieldError> {
        Ok(Self {
            cluster: parsed(&wire.cluster, "cluster")?,
            epoch: Epoch::from_number(wire.epoch),
            promised_ms: wire.promised_ms,
            granted_at: instant(wire.granted_at_ms, "grantedAt")?,
            release: optional(wire.release, "release")?,
        })
    }
}

impl From<&Grant> for v1::Grant {
    fn from(grant: &Grant) -> Self {
        Self {
            cluster: grant.cluster.to_string(),
            epoch: grant.epoch.number(),
            promised_ms: grant.promised_ms,
            granted_at_ms: grant.granted_at.as_millis(),
            release: grant.release.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::Release> for Release {
    type Error = FieldError;

    fn try_from(wire: v1::Release) -> Result<Self, FieldError> {
        Ok(Self { since: instant(wire.since_ms, "since")?, fenced: optional(wire.fenced, "fenced")? })
    }
}

impl From<&Release> for v1::Release {
    fn from(release: &Release) -> Self {
        Self { since_ms: release.since.as_millis(), fenced: release.fenced.as_ref().map(Into::into) }
    }
}

impl TryFrom<v1::Fenced> for Fenced {
    type Error = FieldError;

    fn try_from(wire: v1::Fenced) -> Result<Self, FieldError> {
        use v1::fenced::By;
        Ok(match wire.by {
            Some(By::Confirmed(_)) => Self::Confirmed,
            Some(By::Storage(_)) => Self::Storage,
            Some(By::Person(who)) => Self::Person(who),
            Some(By::Webhook(_)) => Self::Webhook,
            Some(By::Assumed(_)) => Self::Assumed,
            None => return Err(FieldError::new("", "is empty; expected who says so")),
        })
    }
}

impl From<&Fenced> for v1::Fenced {
    fn from(fenced: &Fenced) -> Self {
        use v1::fenced::By;
        let by = match fenced {
            Fenced::Confirmed => By::Confirmed(v1::FencedConfirmed {}),
            Fenced::Storage => By::Storage(v1::FencedStorage {}),
            Fenced::Person(who) => By::Person(who.clone()),
            Fenced::Webhook => By::Webhook(v1::FencedWebhook {}),
            Fenced::Assumed => By::Assumed(v1::FencedAssumed {}),
        };
        Self { by: Some(by) }
    }
}

impl TryFrom<v1::Move> for Move {
    type Error = FieldError;

    fn try_from(wire: v1::Move) -> Result<Self, FieldError> {
        Ok(Self {
            number: wire.number,
            from: parsed(&wire.from, "from")?,
            to: parsed_or_none(&wire.to, "to")?,
            cause: enumerated::<v1::Cause, _>(wire.cause, "cause")?,
            phase: enumerated::<v1::MovePhase, _>(wire.phase, "phase")?,
            reason: wire.reason,
            epoch: wire.epoch.map(Epoch::from_number),
            times: optional(wire.times, "times")?.unwrap_or_default(),
        })
    }
}

impl From<&Move> for v1::Move {
    fn from(it: &Move) -> Self {
        Self {
            number: it.number,
            from: it.from.to_string(),
            to: text_of(it.to.as_ref()),
            cause: v1::Cause::from(it.cause).into(),
            phase: v1::MovePhase::from(it.phase).into(),
            reason: it.reason.clone(),
            epoch: it.epoch.map(Epoch::number),
            times: Some((&it.times).into()),
        }
    }
}

impl TryFrom<v1::MoveTimes> for MoveTimes {
    type Error = FieldError;

    fn try_from(wire: v1::MoveTimes) -> Result<Self, FieldError> {
        Ok(Self {
            began_at: instant_or_none(wire.began_at_ms, "beganAt")?,
            detected_at: instant_or_none(wire.detected_at_ms, "detectedAt")?,
            decided_at: instant_or_none(wire.decided_at_ms, "decidedAt")?,
            fenced_at: instant_or_none(wire.fenced_at_ms, "fencedAt")?,
            applied_at: instant_or_none(wire.applied_at_ms, "appliedAt")?,
            healthy_at: instant_or_none(wire.healthy_at_ms, "healthyAt")?,
            traffic_at: instant_or_none(wire.traffic_at_ms, "trafficAt")?,
            ended_at: instant_or_none(wire.ended_at_ms, "endedAt")?,
        })
    }
}

impl From<&MoveTimes> for v1::MoveTimes {
    fn from(times: &MoveTimes) -> Self {
        Self {
            began_at_ms: millis(times.began_at),
            detected_at_ms: millis(times.detected_at),
            decided_at_ms: millis(times.decided_at),
            fenced_at_ms: millis(times.fenced_at),
            applied_at_ms: millis(times.applied_at),
            healthy_at_ms: millis(times.healthy_at),
            traffic_at_ms: millis(times.traffic_at),
            ended_at_ms: millis(times.ended_at),
        }
    }
}

impl TryFrom<v1::Flaps> for Flaps {
    type Error = FieldError;

    fn try_from(wire: v1::Flaps) -> Result<Self, FieldError> {
        Ok(Self { count: wire.count, last_at: instant(wire.last_at_ms, "lastAt")? })
    }
}

impl From<&Flaps> for v1::Flaps {
    fn from(flaps: &Flaps) -> Self {
        Self { count: flaps.count, last_at_ms: flaps.last_at.as_millis() }
    }
}

impl TryFrom<v1::Order> for Order {
    type Error = FieldError;

    fn try_from(wire: v1::Order) -> Result<Self, FieldError> {
        use v1::order::What;
        let what = match wire.what {
            Some(What::Move(order)) => OrderKind::Move {
                from: parsed_or_none(&order.from, "move.from")?,
                to: parsed_or_none(&order.to, "move.to")?,
            },
            Some(What::Approve(order)) => OrderKind::Approve { number: order.number },
            Some(What::Abort(order)) => OrderKind::Abort { number: order.number },
            Some(What::ConfirmFenced(order)) => OrderKind::ConfirmFenced {
                cluster: parsed(&order.cluster, "confirmFenced.cluster")?,
                epoch: Epoch::from_number(order.epoch),
                by_webhook: order.by_webhook,
            },
            None => {
                let expected = "is empty; expected one of move, approve, abort, confirmFenced";
                return Err(FieldError::new("", expected));
            }
        };
        Ok(Self { what, by: wire.by, at: instant(wire.at_ms, "at")?, change_id: wire.change_id })
    }
}

impl From<&Order> for v1::Order {
    fn from(order: &Order) -> Self {
        use v1::order::What;
        let what = match &order.what {
            OrderKind::Move { from, to } => {
                What::Move(v1::OrderMove { from: text_of(from.as_ref()), to: text_of(to.as_ref()) })
            }
            OrderKind::Approve { number } => What::Approve(v1::OrderApprove { number: *number }),
            OrderKind::Abort { number } => What::Abort(v1::OrderAbort { number: *number }),
            OrderKind::ConfirmFenced { cluster, epoch, by_webhook } => {
                What::ConfirmFenced(v1::OrderConfirmFenced {
                    cluster: cluster.to_string(),
                    epoch: epoch.number(),
                    by_webhook: *by_webhook,
                })
            }
        };
        Self {
            what: Some(what),
            by: order.by.clone(),
            at_ms: order.at.as_millis(),
            change_id: order.change_id.clone(),
        }
    }
}

impl TryFrom<v1::PlanFailoverRequest> for PretendedLoss {
    type Error = FieldError;

    fn try_from(wire: v1::PlanFailoverRequest) -> Result<Self, FieldError> {
        Ok(Self { clusters: names(&wire.clusters, "clusters")?, regions: wire.regions })
    }
}

impl From<&PretendedLoss> for v1::PlanFailoverRequest {
    fn from(loss: &PretendedLoss) -> Self {
        Self {
            clusters: loss.clusters.iter().map(ToString::to_string).collect(),
            regions: loss.regions.clone(),
        }
    }
}

impl TryFrom<v1::FailoverPlan> for FailoverPlan {
    type Error = FieldError;

    fn try_from(wire: v1::FailoverPlan) -> Result<Self, FieldError> {
        Ok(Self {
            lost: names(&wire.lost, "lost")?,
            moves: list(wire.moves, "moves")?,
            frozen: optional(wire.frozen, "frozen")?,
        })
    }
}

impl From<&FailoverPlan> for v1::FailoverPlan {
    fn from(plan: &FailoverPlan) -> Self {
        Self {
            lost: plan.lost.iter().map(ToString::to_string).collect(),
            moves: wire_list(&plan.moves),
            frozen: plan.frozen.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::PlannedMove> for PlannedMove {
    type Error = FieldError;

    fn try_from(wire: v1::PlannedMove) -> Result<Self, FieldError> {
        Ok(Self {
            application: required(wire.application, "application")?,
            mode: enumerated::<v1::FailoverMode, _>(wire.mode, "mode")?,
            from: parsed(&wire.from, "from")?,
            to: parsed_or_none(&wire.to, "to")?,
            cause: enumerated::<v1::Cause, _>(wire.cause, "cause")?,
            reason: wire.reason,
        })
    }
}

impl From<&PlannedMove> for v1::PlannedMove {
    fn from(it: &PlannedMove) -> Self {
        Self {
            application: Some((&it.application).into()),
            mode: v1::FailoverMode::from(it.mode).into(),
            from: it.from.to_string(),
            to: text_of(it.to.as_ref()),
            cause: v1::Cause::from(it.cause).into(),
            reason: it.reason.clone(),
        }
    }
}

impl TryFrom<v1::Frozen> for Frozen {
    type Error = FieldError;

    fn try_from(wire: v1::Frozen) -> Result<Self, FieldError> {
        Ok(Self {
            reason: filled(wire.reason, "reason", "why nothing moves")?,
            since: instant(wire.since_ms, "since")?,
            until: instant_or_none(wire.until_ms, "until")?,
        })
    }
}

impl From<&Frozen> for v1::Frozen {
    fn from(frozen: &Frozen) -> Self {
        Self {
            reason: frozen.reason.clone(),
            since_ms: frozen.since.as_millis(),
            until_ms: millis(frozen.until),
        }
    }
}

impl TryFrom<v1::HubFailover> for HubFailover {
    type Error = FieldError;

    fn try_from(wire: v1::HubFailover) -> Result<Self, FieldError> {
        Ok(Self {
            frozen: optional(wire.frozen, "frozen")?,
            maintenance_until: instant_or_none(wire.maintenance_until_ms, "maintenanceUntil")?,
        })
    }
}

impl From<&HubFailover> for v1::HubFailover {
    fn from(failover: &HubFailover) -> Self {
        Self {
            frozen: failover.frozen.as_ref().map(Into::into),
            maintenance_until_ms: millis(failover.maintenance_until),
        }
    }
}

fn duration(millis: u64) -> HumanDuration {
    HumanDuration(Duration::from_millis(millis))
}

fn duration_or_none(millis: u64) -> Option<HumanDuration> {
    (millis != 0).then(|| duration(millis))
}

fn duration_ms(duration: Option<HumanDuration>) -> u64 {
    duration.map_or(0, |it| u64::try_from(it.0.as_millis()).unwrap_or(u64::MAX))
}

fn names(texts: &[String], path: &str) -> Result<Vec<ClusterName>, FieldError> {
    texts.iter().enumerate().map(|(index, name)| parsed(name, &format!("{path}[{index}]"))).collect()
}

fn by_cluster<Wire, Domain>(
    items: std::collections::HashMap<String, Wire>,
    path: &str,
) -> Result<BTreeMap<ClusterName, Domain>, FieldError>
where
    Domain: TryFrom<Wire, Error = FieldError>,
{
    let item = |(name, item): (String, Wire)| {
        let at = format!("{path}[{name:?}]");
        Ok((parsed(&name, &at)?, Domain::try_from(item).map_err(|error| error.under(&at))?))
    };
    items.into_iter().map(item).collect()
}

same_enum!(v1::FailoverMode, FailoverMode, [Overlap, Exclusive, Manual]);
same_enum!(v1::FailbackMode, FailbackMode, [Auto, Manual, Never]);
same_enum!(v1::Fence, Fence, [Agent, Storage, Manual]);
same_enum!(v1::Cause, Cause, [Lost, Sick, Degraded, Drained, Placement, Ordered, Failback]);
same_enum!(v1::MovePhase, MovePhase, [Proposed, Fencing, Unplaced, Applying, Settling, Done, Aborted]);

by_value!(
    Failover => v1::Failover,
    FailoverView => v1::FailoverView,
    FailoverState => v1::FailoverState,
    FailoverPlan => v1::FailoverPlan,
    PretendedLoss => v1::PlanFailoverRequest,
    HubFailover => v1::HubFailover,
    Order => v1::Order,
);
