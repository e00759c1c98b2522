//! The hub itself: which it is, and what people say of failover as a whole.

use std::time::Duration;

use nave_common::event::{Event, Severity};
use nave_common::failover::{Frozen, HubFailover};
use nave_common::time::{BootTime, HumanDuration};
use nave_proto::v1;

use super::call::Call;
use super::change::Attempts;
use crate::error::Error;
use crate::events;
use crate::parts::Parts;
use crate::records::{FrozenBy, HubFailoverRecord, Name, Record};
use crate::store::{Expect, Transaction};
use crate::world::{MAX_MAINTENANCE, State};

/// Which hub this is.
#[must_use]
pub(super) fn get(parts: &Parts) -> v1::GetHubResponse {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let now = parts.world.now().boot;
    parts.world.read(|state| v1::GetHubResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        term: state.generation().term,
        generation: Some(state.generation().into()),
        sequence: state.sequence().0,
        started_at_ms: parts.started_at.as_millis(),
        cluster_count: count(state.clusters().len()),
        application_count: count(state.applications().len()),
        failover: Some(failover(state, now).into()),
        held_count: count(state.waiting_count()),
        now_ms: parts.now().as_millis(),
    })
}

/// How failover stands as a whole.
fn failover(state: &State, now: BootTime) -> HubFailover {
    let said = &state.hub_failover().value;
    let by_a_person = said.frozen.as_ref().map(|frozen| Frozen {
        reason: format!("{} froze failover; `nave failover thaw` ends it", frozen.by),
        since: frozen.since,
        until: None,
    });
    // The planner's last word may be older than what a person said since.
    let thawed_at = state.thawed_at().map(|at| state.steady(at));
    let is_open = |frozen: &&Frozen| thawed_at.is_none_or(|thawed_at| frozen.since > thawed_at);
    let by_itself = state.failover_view().frozen.as_ref().filter(is_open).cloned();
    HubFailover {
        frozen: by_a_person.or(by_itself),
        maintenance_until: said.maintenance_until.filter(|_| state.hold_until(now).is_some()),
    }
}

/// Stops all moves that nobody ordered, or lets them go on.
///
/// # Errors
/// Where the store fails.
pub(super) async fn set_freeze(
    parts: &Parts,
    call: &Call,
    request: v1::SetFreezeRequest,
) -> Result<v1::SetFreezeResponse, Error> {
    let now = parts.now();
    let by = call.user.to_string();
    let failover = if request.frozen {
        let edit = |record: &mut HubFailoverRecord| {
            record.frozen.get_or_insert_with(|| FrozenBy { by: by.clone(), since: now });
        };
        let message = format!("{by} froze failover: nothing moves that nobody orders");
        change(parts, call, edit, "FailoverFrozen", message).await?
    } else {
        let edit = |record: &mut HubFailoverRecord| {
            record.frozen = None;
            record.thawed_at = Some(now);
        };
        let message = format!("{by} let failover go on, whatever the hub doubts of itself");
        change(parts, call, edit, "FailoverThawed", message).await?
    };
    Ok(v1::SetFreezeResponse { failover: Some(failover.into()) })
}

/// Promises holders of exclusive leases that the hub may be away for a while, or ends that.
///
/// # Errors
/// Where the time is too long, or the store fails.
pub(super) async fn set_maintenance(
    parts: &Parts,
    call: &Call,
    request: v1::SetMaintenanceRequest,
) -> Result<v1::SetMaintenanceResponse, Error> {
    let duration = Duration::from_secs(request.seconds);
    if duration > MAX_MAINTENANCE {
        return Err(Error::field(
            "seconds",
            format!(
                "is {}; expected at most {}: for so long Exclusive work stays where it is, even if its cluster is lost",
                request.seconds,
                MAX_MAINTENANCE.as_secs()
            ),
        ));
    }
    let by = &call.user;
    let until = (!duration.is_zero()).then(|| parts.now().plus(duration));
    let (reason, message) = match until {
        Some(until) => (
            "MaintenanceBegan",
            format!(
                "{by} began maintenance for {}: until {until} no Exclusive work moves by itself",
                HumanDuration(duration)
            ),
        ),
        None => ("MaintenanceEnded", format!("{by} ended maintenance")),
    };
    let edit = |record: &mut HubFailoverRecord| {
        record.maintenance_until = until;
        record.maintenance_ms = until.map(|_| request.seconds.saturating_mul(1000));
    };
    let failover = change(parts, call, edit, reason, message).await?;
    Ok(v1::SetMaintenanceResponse { failover: Some(failover.into()) })
}

/// Changes what people said of failover as a whole. Durable, and shown by the world, when this returns.
async fn change(
    parts: &Parts,
    call: &Call,
    edit: impl Fn(&mut HubFailoverRecord),
    reason: &'static str,
    message: String,
) -> Result<HubFailover, Error> {
    let mut attempts = Attempts::of(parts, "failover of the hub".into());
    let event = Event {
        at: parts.now(),
        severity: Severity::Normal,
        reason: reason.into(),
        message,
        application: None,
        cluster: None,
        change_id: call.change_id.clone(),
    };
    while let Err(error) = try_change(parts, &edit, &event).await {
        attempts.after(error).await?;
    }
    tracing::info!(change_id = call.change_id, user = %call.user, reason, "failover of the hub changed");
    let now = parts.world.now().boot;
    Ok(parts.world.read(|state| failover(state, now)))
}

async fn try_change(
    parts: &Parts,
    edit: impl Fn(&mut HubFailoverRecord),
    event: &Event,
) -> Result<(), Error> {
    let name = Name::HubFailover.key()?;
    let entry = parts.store.get(&name).await?;
    let mut record = HubFailoverRecord::default();
    if let Some(entry) = &entry
        && let Some(Record::HubFailover(found)) = Record::parse(&entry.key, &entry.value)?
    {
        record = *found;
    }
    let before = record.clone();
    edit(&mut record);
    if let Some(entry) = entry.as_ref().filter(|_| record == before) {
        return parts.caught_up(entry.sequence).await;
    }
    let mut transaction = Transaction::new().expect(name, Expect::same_as(entry.as_ref()));
    transaction.writes.push(Record::HubFailover(Box::new(record)).write()?);
    transaction.writes.push(events::record(event.clone()).write()?);
    parts.commit(transaction).await?;
    Ok(())
}
