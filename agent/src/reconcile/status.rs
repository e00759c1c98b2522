//! What is told of an application, from its state. Pure.

use std::sync::Arc;
use std::time::Duration;

use nave_common::health::{Health, HealthReport};
use nave_common::manifest::ObjectKey;
use nave_common::status::{AssignmentStatus, MAX_REPORTED_OBJECTS, ObjectStatus, SyncState};
use nave_common::time::{HumanDuration, Timestamp};

use super::application::{Application, Past};
use super::object::{Live, Need, Object, Role};

/// From when on a reason says how long it has been so, and after which times it says so anew.
const STEPS: [u64; 10] = [60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400];

/// The status of an application. `blind` names kinds that cannot be followed.
#[must_use]
pub fn status(application: &Application, blind: &[String], now: Timestamp) -> Option<AssignmentStatus> {
    let work = application.work.as_ref()?;
    let shown = application.objects.iter().filter(|(_, object)| object.role != Role::Share);
    // What stays though it is no longer wanted is shown, and does not count for the whole.
    let (kept, counted): (Vec<_>, Vec<_>) =
        shown.partition(|(_, object)| matches!(object.role, Role::Retain(_)));
    let show = |(key, object): (&Arc<ObjectKey>, &Object)| object_status(application, key, object, now);
    let mut objects: Vec<_> = counted.into_iter().map(show).collect();
    objects.extend(application.unresolved.iter().map(|unresolved| ObjectStatus {
        object: unresolved.key.clone(),
        sync: SyncState::Failed,
        health: Health::Missing,
        reason: unresolved.reason.clone(),
        since: Some(application.since),
    }));
    let object_count = u32::try_from(objects.len()).unwrap_or(u32::MAX);
    let healthy = objects.iter().filter(|object| object.health == Health::Healthy).count();
    let (sync, why) = worst_sync(application, &objects);
    let worst = objects.iter().max_by_key(|object| object.health);
    let health = worst.map_or(Health::Healthy, |object| object.health);
    let mut reason = reason(application, blind, sync, why, worst);
    if reason.is_empty() && application.removed && !application.left_behind.is_empty() {
        reason = application.left_behind.join("; ");
    }
    objects.extend(kept.into_iter().map(show));
    objects.retain(|object| object.sync != SyncState::Synced || object.health != Health::Healthy);
    objects.sort_by(|left, right| {
        (right.sync, right.health).cmp(&(left.sync, left.health)).then_with(|| left.object.cmp(&right.object))
    });
    objects.truncate(MAX_REPORTED_OBJECTS);
    Some(AssignmentStatus {
        application: application.key.clone(),
        generation: work.assignment.generation,
        applied: application.applied.filter(|_| !application.is_leaving()),
        removed: application.removed,
        sync,
        health,
        reason,
        object_count,
        healthy_count: u32::try_from(healthy).unwrap_or(u32::MAX),
        drift_count: application.drift_count,
        objects,
        observed_at: now,
    })
}

fn worst_sync(application: &Application, objects: &[ObjectStatus]) -> (SyncState, Option<String>) {
    if let Some(refusal) = &application.refusal {
        return (SyncState::OutOfSync, Some(refusal.clone()));
    }
    if application.removed {
        return (SyncState::Synced, None);
    }
    if application.is_suspended() {
        let differing =
            application.objects.values().filter(|object| matches!(object.need(), Need::Apply(_))).count();
        let why = match differing {
            0 => "suspended: nothing is written".to_owned(),
            count => format!("suspended: nothing is written, and {count} objects differ from what is wanted"),
        };
        return (SyncState::Suspended, Some(why));
    }
    if application.past == Past::Unknown {
        let why = "looking for what was applied before, because its inventory is not there".to_owned();
        return (SyncState::Syncing, Some(why));
    }
    let mut worst = (SyncState::Synced, None);
    for object in objects {
        if object.sync <= worst.0 {
            continue;
        }
        let why = if object.reason.is_empty() { object.sync.to_string() } else { object.reason.clone() };
        worst = (object.sync, Some(format!("{}: {why}", object.object)));
    }
    if let Some(problem) = &application.record.problem {
        let why = format!("the inventory cannot be written, so nothing new is made: {problem}");
        worst = worst.max((SyncState::Failed, Some(why)));
    }
    if let Some(problem) = &application.discovering.problem
        && worst.0 < SyncState::Failed
    {
        worst =
            (SyncState::Failed, Some(format!("the API server cannot say which kinds it serves: {problem}")));
    }
    let open = application.pass_since.is_some() || application.discovering.busy || application.is_leaving();
    if open && worst.0 < SyncState::Syncing {
        worst = (SyncState::Syncing, None);
    }
    worst
}

fn reason(
    application: &Application,
    blind: &[String],
    sync: SyncState,
    why: Option<String>,
    worst: Option<&ObjectStatus>,
) -> String {
    if let Some(why) = why {
        return why;
    }
    if let Some(object) = worst.filter(|object| object.health != Health::Healthy && !object.reason.is_empty())
    {
        return format!("{}: {}", object.object, object.reason);
    }
    if sync == SyncState::Synced && !application.removed && !blind.is_empty() {
        return format!("changes cannot be seen at the moment: {}", blind.join("; "));
    }
    String::new()
}

fn object_status(
    application: &Application,
    key: &ObjectKey,
    object: &Object,
    now: Timestamp,
) -> ObjectStatus {
    let (sync, why) = sync_of(application, object);
    let health = health_of(object);
    let reason = why.unwrap_or_else(|| {
        let mut reason = health.reason.clone();
        if health.health != Health::Healthy && !reason.is_empty() {
            reason.push_str(&for_how_long(now.since(object.health_since)));
            if let Some(diagnosis) = &object.diagnosis {
                reason.push_str(": ");
                reason.push_str(diagnosis);
            }
        }
        reason
    });
    let since = object.problem.as_ref().map_or(object.health_since, |problem| problem.since);
    ObjectStatus { object: key.clone(), sync, health: health.health, reason, since: Some(since) }
}

fn health_of(object: &Object) -> HealthReport {
    let leaving = matches!(object.role, Role::Retain(_) | Role::HandOver(_));
    match (&object.live, &object.health) {
        _ if leaving && object.health.is_none() => HealthReport::default(),
        (Live::Absent, _) => HealthReport::new(Health::Missing, ""),
        (_, Some(health)) => health.clone(),
        (Live::Unknown, None) if object.entry.as_ref().is_some_and(|entry| entry.uid.is_some()) => {
            HealthReport::new(Health::Unknown, "")
        }
        (_, None) => HealthReport::new(Health::Missing, ""),
    }
}

fn sync_of(application: &Application, object: &Object) -> (SyncState, Option<String>) {
    if let Role::Retain(why) = &object.role {
        return (SyncState::Suspended, Some(why.clone()));
    }
    if let Role::HandOver(to) = &object.role {
        return (SyncState::Syncing, Some(format!("application {to} takes it over")));
    }
    if let Some(problem) = &object.problem {
        return (problem.sync, Some(problem.reason.clone()));
    }
    if object.is_suspended() {
        let why = "nothing is written to it: it has the annotation nave.dev/suspend: \"true\"".to_owned();
        return (SyncState::Suspended, Some(why));
    }
    match object.need() {
        Need::Nothing if !object.busy => (SyncState::Synced, None),
        Need::Wait if object.awaits_kind => {
            (SyncState::Syncing, Some("it waits until its CustomResourceDefinition is established".into()))
        }
        // Not seen yet since the agent started: nothing says that it is not as it was left.
        Need::Wait if object.live == Live::Unknown => (SyncState::Syncing, None),
        Need::Wait => {
            (SyncState::Syncing, Some("someone deletes it; it is made again once it is gone".into()))
        }
        _ if application.is_suspended() => (SyncState::Suspended, None),
        _ => (SyncState::Syncing, None),
    }
}

/// ` for 2m`, in steps, so that a status is not news every second.
fn for_how_long(time: Duration) -> String {
    match STEPS.iter().rev().find(|step| time.as_secs() >= **step) {
        Some(step) => format!(" for {}", HumanDuration(Duration::from_secs(*step))),
        None => String::new(),
    }
}

/// After how long the status of an object that has been unwell for `time` says something new.
#[must_use]
pub fn next_step(time: Duration) -> Option<Duration> {
    let next = STEPS.iter().map(|step| Duration::from_secs(*step)).find(|step| *step > time)?;
    Some(next - time)
}
