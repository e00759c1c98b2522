//! What is told of an application, from its state. Pure.

use std::sync::Arc;
use std::time::Duration;

use nave_common::health::Health;
use nave_common::manifest::ObjectKey;
use nave_common::status::{AssignmentStatus, MAX_REPORTED_OBJECTS, ObjectStatus, SyncState};
use nave_common::time::{HumanDuration, Timestamp};

use super::application::{Application, Past};
use super::object::{Live, Need, Object, Role};

/// Why nothing runs, where all is well.
const PARKED: &str = "parked: its objects stand ready, and nothing of it is to run here";
/// From when on a reason says how long it has been so, and after which times it says so anew.
const STEPS: [u64; 10] = [60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400];

/// The status of an application. `blind` names kinds that cannot be followed.
#[must_use]
pub fn status(application: &Application, blind: &[String], now: Timestamp) -> Option<AssignmentStatus> {
    let work = application.work.as_ref()?;
    let mut lines: Vec<Line<'_>> =
        application.objects.iter().filter_map(|it| line(application, it)).collect();
    lines.extend(application.unresolved.iter().map(|unresolved| Line {
        key: &unresolved.key,
        object: None,
        sync: SyncState::Failed,
        health: Health::Missing,
        why: Some(&unresolved.reason),
        counts: true,
    }));
    let counted = || lines.iter().filter(|line| line.counts);
    let object_count = u32::try_from(counted().count()).unwrap_or(u32::MAX);
    let healthy = counted().filter(|line| line.health == Health::Healthy).count();
    let worst =
        counted().max_by(|left, right| left.health.cmp(&right.health).then_with(|| right.key.cmp(left.key)));
    let health = worst.map_or(Health::Healthy, |line| line.health);
    let worst = worst.filter(|line| line.health != Health::Healthy).map(|line| line.show(application, now));
    let least_synced =
        counted().max_by(|left, right| left.sync.cmp(&right.sync).then_with(|| right.key.cmp(left.key)));
    let least_synced = least_synced.map(|line| line.show(application, now));
    let (sync, why) = worst_sync(application, least_synced.as_ref());
    let mut reason = reason(application, blind, sync, why, worst.as_ref());
    if reason.is_empty() && application.is_parked() && sync == SyncState::Synced && health == Health::Healthy
    {
        reason = PARKED.to_owned();
    }
    if reason.is_empty() && application.removed && !application.left_behind.is_empty() {
        reason = application.left_behind.join("; ");
    }
    lines.retain(|line| line.sync != SyncState::Synced || line.health != Health::Healthy);
    lines.sort_by(|left, right| {
        (right.sync, right.health).cmp(&(left.sync, left.health)).then_with(|| left.key.cmp(right.key))
    });
    lines.truncate(MAX_REPORTED_OBJECTS);
    let objects = lines.iter().map(|line| line.show(application, now)).collect();
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
        fence: None,
        observed_at: now,
    })
}

/// One object as it will be shown; its words are made only for those that are.
struct Line<'a> {
    key: &'a ObjectKey,
    object: Option<&'a Object>,
    sync: SyncState,
    health: Health,
    why: Option<&'a str>,
    /// Whether it counts for the whole: what stays though it is no longer wanted does not.
    counts: bool,
}

fn line<'a>(application: &Application, (key, object): (&'a Arc<ObjectKey>, &'a Object)) -> Option<Line<'a>> {
    if object.role == Role::Share {
        return None;
    }
    let (sync, why) = sync_of(application, object);
    let counts = !matches!(object.role, Role::Retain(_));
    let health = match health_of(object) {
        // It is to stand still, and nothing will use it before it runs again.
        Health::Suspended | Health::Progressing if application.is_parked() && waits_for_pods(key, object) => {
            Health::Healthy
        }
        health => health,
    };
    Some(Line { key, object: Some(object), sync, health, why, counts })
}

/// Whether an object of a parked application is as well as it can be while nothing runs.
fn waits_for_pods(key: &ObjectKey, object: &Object) -> bool {
    let health = object.health.as_ref().map(|report| report.health);
    health == Some(Health::Suspended)
        || matches!(
            (key.group.as_str(), key.kind.as_str()),
            ("", "PersistentVolumeClaim")
                | ("autoscaling", "HorizontalPodAutoscaler")
                | ("policy", "PodDisruptionBudget")
                | ("keda.sh", _)
        )
}

impl Line<'_> {
    fn show(&self, application: &Application, now: Timestamp) -> ObjectStatus {
        let reason = match (self.why, self.object) {
            (Some(why), _) => why.to_owned(),
            (None, Some(object)) => health_reason(object, now),
            (None, None) => String::new(),
        };
        let since = match self.object {
            Some(object) => object.problem.as_ref().map_or(object.health_since, |problem| problem.since),
            None => application.since,
        };
        ObjectStatus {
            object: self.key.clone(),
            sync: self.sync,
            health: self.health,
            reason,
            since: Some(since),
        }
    }
}

fn health_reason(object: &Object, now: Timestamp) -> String {
    if let Role::HandOver(to) = &object.role {
        return format!("application {to} takes it over");
    }
    let Some(health) = object.health.as_ref().filter(|_| object.live != Live::Absent) else {
        return String::new();
    };
    let mut reason = health.reason.clone();
    if health.health != Health::Healthy && !reason.is_empty() {
        reason.push_str(&for_how_long(now.since(object.health_since)));
        if let Some(diagnosis) = &object.diagnosis {
            reason.push_str(": ");
            reason.push_str(diagnosis);
        }
    }
    reason
}

fn health_of(object: &Object) -> Health {
    let leaving = matches!(object.role, Role::Retain(_) | Role::HandOver(_));
    let is_made = object.entry.as_ref().is_some_and(|entry| entry.uid.is_some());
    match (&object.live, &object.health) {
        (_, None) if leaving => Health::Unknown,
        (Live::Absent, _) => Health::Missing,
        (_, Some(health)) => health.health,
        (Live::Unknown, None) if is_made => Health::Unknown,
        (_, None) => Health::Missing,
    }
}

/// Why nothing is written to an object that a person has annotated.
const SUSPENDED: &str = "nothing is written to it: it has the annotation nave.dev/suspend: \"true\"";

fn sync_of<'a>(application: &Application, object: &'a Object) -> (SyncState, Option<&'a str>) {
    if let Role::Retain(why) = &object.role {
        return (SyncState::Suspended, Some(why));
    }
    if matches!(object.role, Role::HandOver(_)) {
        return (SyncState::Syncing, None);
    }
    if let Some(problem) = &object.problem {
        return (problem.sync, Some(&problem.reason));
    }
    if object.is_suspended() {
        return (SyncState::Suspended, Some(SUSPENDED));
    }
    match object.need() {
        Need::Nothing if !object.busy => (SyncState::Synced, None),
        Need::Wait if object.awaits_kind => {
            (SyncState::Syncing, Some("it waits until its CustomResourceDefinition is established"))
        }
        // Not seen yet since the agent started: nothing says that it is not as it was left.
        Need::Wait if object.live == Live::Unknown => (SyncState::Syncing, None),
        Need::Wait => (SyncState::Syncing, Some("someone deletes it; it is made again once it is gone")),
        _ if application.is_suspended() => (SyncState::Suspended, None),
        _ => (SyncState::Syncing, None),
    }
}

fn worst_sync(application: &Application, object: Option<&ObjectStatus>) -> (SyncState, Option<String>) {
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
    let mut worst = match object.filter(|object| object.sync > SyncState::Synced) {
        Some(object) if object.reason.is_empty() => (object.sync, None),
        Some(object) => (object.sync, Some(format!("{}: {}", object.object, object.reason))),
        None => (SyncState::Synced, None),
    };
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
