//! The planner that the simulated hub asks.

use std::collections::BTreeMap;

use nave_common::assignment::{Activity, Desired, Generation};
use nave_common::failover::state::{
    Cause, Fenced, Flaps, Grant, Move, MovePhase, MoveTimes, OrderKind, Parked, Release,
};
use nave_common::failover::{Epoch, FailbackMode, Fence};
use nave_common::health::Health;
use nave_common::name::ClusterName;
use nave_common::status::FenceState;
use nave_hub::plan::failover::{Decision, Inputs, Stand};
use nave_hub::plan::placement::Waits;

/// Decides.
pub(super) fn decide(inputs: &Inputs<'_>) -> Decision {
    let mut state = inputs.state.clone();
    let mut close = None;
    let mut wake_at = None;
    let matching = inputs.fleet.matching(&inputs.application.spec.placement.clusters);
    let heard = |cluster: &ClusterName| {
        inputs.seen.get(cluster).is_some_and(|seen| seen.is_heard && seen.signal.is_none())
    };
    let mut names: Vec<ClusterName> =
        matching.iter().filter_map(|slot| inputs.fleet.get(slot).map(|it| it.name.clone())).collect();
    names.sort();
    let mut ordered: Option<Option<ClusterName>> = None;
    let mut confirmed: Vec<(ClusterName, Epoch, String)> = Vec::new();
    for order in std::mem::take(&mut state.orders) {
        match order.what {
            OrderKind::Move { to, .. } => ordered = Some(to),
            OrderKind::ConfirmFenced { cluster, epoch, .. } => confirmed.push((cluster, epoch, order.by)),
            _ => {}
        }
    }
    let mut stands = BTreeMap::new();
    let rules = inputs.application.spec.failover.exclusive_rules();
    let next_epoch =
        Epoch::of(Generation { term: inputs.generation.term, counter: inputs.generation.counter + 1 });
    let Some(rules) = rules else {
        let count = inputs.application.spec.placement.count.map_or(names.len(), |count| count as usize);
        let mut active: Vec<ClusterName> = inputs
            .told
            .iter()
            .filter(|(cluster, told)| {
                names.contains(cluster)
                    && matches!(&told.desired, Desired::Run(run) if run.activity == Activity::Active)
            })
            .map(|(cluster, _)| cluster.clone())
            .collect();
        if inputs.limits.frozen.is_none() {
            let lost: Vec<ClusterName> = active
                .iter()
                .filter(|cluster| {
                    inputs
                        .seen
                        .get(*cluster)
                        .and_then(|seen| seen.signal)
                        .is_some_and(|signal| signal.due_at <= inputs.now.boot)
                })
                .cloned()
                .collect();
            for cluster in lost {
                let Some(to) = names.iter().find(|name| !active.contains(name) && heard(name)).cloned()
                else {
                    continue;
                };
                active.retain(|name| *name != cluster);
                active.push(to.clone());
                let cause =
                    inputs.seen.get(&cluster).and_then(|seen| seen.signal).map_or(Cause::Lost, |it| it.cause);
                begin(&mut state, inputs, cluster.clone(), cause, Some(to.clone()));
                state
                    .parked
                    .insert(cluster, Parked { since: inputs.now.wall, is_home: true, replaced_by: Some(to) });
            }
        }
        for name in &names {
            if active.len() < count && !active.contains(name) && (heard(name)) {
                active.push(name.clone());
            }
        }
        for name in inputs.told.keys().filter(|name| names.contains(name)) {
            stands.insert(name.clone(), Stand::Parked(None));
        }
        for name in active {
            state.parked.remove(&name);
            stands.insert(name, Stand::Active(None));
        }
        settle(&mut state, inputs);
        return done(state, stands, close, wake_at);
    };
    if let Some(grant) = &mut state.grant {
        let seen = inputs.seen.get(&grant.cluster).cloned().unwrap_or_default();
        if grant.release.is_none() {
            let signal = seen
                .signal
                .filter(|signal| signal.due_at <= inputs.now.boot && inputs.limits.frozen.is_none());
            if let Some(signal) = seen.signal {
                wake_at = Some(signal.due_at);
            }
            let holder = grant.cluster.clone();
            let other = names.iter().any(|name| *name != holder && heard(name));
            let cause = if ordered.is_some() { Some(Cause::Ordered) } else { signal.map(|it| it.cause) };
            let cause = cause.filter(|_| other && !inputs.limits.is_held);
            let must_regrant = inputs.lease_over_at.is_some();
            if cause.is_some() || must_regrant {
                let may_wait = rules.fence != Fence::Storage && cause == Some(Cause::Lost);
                match inputs.lease_over_at {
                    None if may_wait
                        && seen.well_since.is_none()
                        && seen.signal.is_some_and(|signal| {
                            signal.due_at.plus(rules.lease_duration.0) > inputs.now.boot
                        }) =>
                    {
                        wake_at = Some(inputs.now.boot.plus(rules.lease_duration.0));
                    }
                    None => close = Some(grant.epoch),
                    Some(_) => {
                        let storage =
                            rules.fence == Fence::Storage && cause.is_some_and(|cause| !cause.is_planned());
                        grant.release = Some(Release {
                            since: inputs.now.wall,
                            fenced: storage.then_some(Fenced::Storage),
                        });
                        let to = ordered.clone().flatten();
                        begin(&mut state, inputs, holder, cause.unwrap_or(Cause::Placement), to);
                    }
                }
            }
        }
    }
    if let Some(grant) = &mut state.grant
        && let Some(release) = &mut grant.release
        && release.fenced.is_none()
    {
        let seen = inputs.seen.get(&grant.cluster).cloned().unwrap_or_default();
        let is_confirmed =
            seen.fence.is_some_and(|it| it.state == FenceState::Confirmed && it.epoch >= grant.epoch);
        match inputs.lease_over_at {
            None => close = Some(grant.epoch),
            Some(over_at) => {
                let assumed = rules.assume_fenced_after.map(|after| over_at.plus(after.0));
                let person = confirmed
                    .iter()
                    .find(|(cluster, epoch, _)| *cluster == grant.cluster && *epoch >= grant.epoch);
                if is_confirmed {
                    release.fenced = Some(Fenced::Confirmed);
                } else if let Some((_, _, by)) = person {
                    release.fenced = Some(Fenced::Person(by.clone()));
                } else if let Some(at) = assumed {
                    if at <= inputs.now.boot {
                        release.fenced = Some(Fenced::Assumed)
                    } else {
                        wake_at = Some(at)
                    }
                }
            }
        }
    }
    let may_grant =
        state.grant.as_ref().is_none_or(|grant| grant.release.as_ref().is_some_and(|it| it.fenced.is_some()));
    if may_grant && close.is_none() {
        let wished = state.moves.last().and_then(|it| it.to.clone()).filter(|to| heard(to));
        let old = state.grant.as_ref().map(|grant| grant.cluster.clone());
        let best = wished
            .or_else(|| names.iter().find(|name| heard(name) && Some(*name) != old.as_ref()).cloned())
            .or_else(|| old.filter(heard));
        if let (Some(best), Ok(epoch)) = (best, next_epoch) {
            state.grant = Some(Grant {
                cluster: best.clone(),
                epoch,
                granted_at: inputs.now.wall,
                release: None,
                promised_ms: u64::try_from(rules.lease_duration.0.as_millis()).unwrap_or(0),
            });
            for it in &mut state.moves {
                it.to = Some(best.clone());
                it.phase = MovePhase::Applying;
                it.epoch = Some(epoch);
            }
        }
    }
    let newest = |cluster: &ClusterName| match inputs.told.get(cluster).map(|told| &told.desired) {
        Some(Desired::Run(run)) => run.exclusive.map(|it| it.epoch).unwrap_or_default(),
        _ => Epoch::default(),
    };
    for name in names.iter().filter(|name| inputs.told.contains_key(*name)) {
        stands.insert(name.clone(), Stand::Parked(Some(newest(name))));
    }
    if let Some(grant) = &state.grant {
        let stand = if grant.release.is_none() {
            Stand::Active(Some(grant.epoch))
        } else {
            Stand::Parked(Some(grant.epoch))
        };
        stands.insert(grant.cluster.clone(), stand);
    }
    settle(&mut state, inputs);
    let _ = FailbackMode::Never;
    done(state, stands, close, wake_at)
}

fn begin(
    state: &mut nave_common::failover::state::FailoverState,
    inputs: &Inputs<'_>,
    from: ClusterName,
    cause: Cause,
    to: Option<ClusterName>,
) {
    state.move_count += 1;
    state.flaps.insert(from.clone(), Flaps { count: 1, last_at: inputs.now.wall });
    state.moves.push(Move {
        number: state.move_count,
        from,
        to,
        cause,
        phase: MovePhase::Fencing,
        reason: String::new(),
        epoch: None,
        times: MoveTimes::default(),
    });
}

fn settle(state: &mut nave_common::failover::state::FailoverState, inputs: &Inputs<'_>) {
    let is_done = |it: &Move| {
        let seen = it.to.as_ref().and_then(|to| inputs.seen.get(to));
        let is_released = state.grant.as_ref().is_some_and(|grant| grant.release.is_some());
        !is_released && seen.is_some_and(|seen| seen.is_applied && seen.health == Health::Healthy)
    };
    let (ended, open): (Vec<Move>, Vec<Move>) = state.moves.iter().cloned().partition(is_done);
    state.moves = open;
    for mut it in ended {
        it.phase = MovePhase::Done;
        state.history.insert(0, it);
    }
    state.history.truncate(20);
}

fn done(
    state: nave_common::failover::state::FailoverState,
    stands: BTreeMap<ClusterName, Stand>,
    close: Option<Epoch>,
    wake_at: Option<nave_common::time::BootTime>,
) -> Decision {
    Decision {
        state,
        stands,
        unplaced_count: 0,
        problems: Vec::new(),
        waits: Waits::default(),
        close,
        begun_count: 0,
        wake_at,
    }
}
