//! How an application stands beside what is waited for.

use nave_common::application::{Application, ApplicationSpec, Sync};
use nave_common::assignment::{Assignment, Desired, Generation};
use nave_common::failover::Failover;
use nave_common::metadata::ApplicationMetadata;
use nave_common::placement::Placement;
use nave_common::source::{InlineSource, Source};
use nave_common::status::{ApplicationStatus, AssignmentStatus};
use nave_common::time::Timestamp;

use super::*;

fn application(status: ApplicationStatus) -> Application {
    Application {
        metadata: ApplicationMetadata::new("shop".parse().unwrap()),
        spec: ApplicationSpec {
            source: Source::Inline(InlineSource { manifests: Vec::new() }),
            namespace: None,
            create_namespace: false,
            placement: Placement::default(),
            overrides: Vec::new(),
            sync: Sync::default(),
            failover: Failover::default(),
            revision_history_limit: 10,
        },
        status: Some(status),
    }
}

fn status(sync: SyncState, health: Health) -> ApplicationStatus {
    ApplicationStatus { cluster_count: 2, synced_count: 2, sync, health, ..ApplicationStatus::default() }
}

fn view(application: Option<Application>) -> View {
    View { application: application.map(Box::new), is_complete: true }
}

#[test]
fn healthy_is_in_sync_and_healthy_everywhere() {
    let stands = |sync, health| standing(&application(status(sync, health)), true);
    assert_eq!(stands(SyncState::Synced, Health::Healthy), Standing::Met("2 clusters".into()));
    assert_eq!(stands(SyncState::Synced, Health::Suspended), Standing::Met("2 clusters".into()));
    assert!(matches!(stands(SyncState::Synced, Health::Progressing), Standing::NotYet(_)));
    assert!(matches!(stands(SyncState::Syncing, Health::Healthy), Standing::NotYet(_)));
    assert!(matches!(stands(SyncState::Unknown, Health::Unknown), Standing::NotYet(_)));
    assert!(matches!(stands(SyncState::Synced, Health::Degraded), Standing::Troubled(_)));
    assert!(matches!(stands(SyncState::Failed, Health::Healthy), Standing::Troubled(_)));
    assert!(matches!(stands(SyncState::Suspended, Health::Healthy), Standing::Hopeless(_)));
}

#[test]
fn what_was_degraded_before_the_change_is_no_trouble_of_the_change() {
    let standing = standing(&application(status(SyncState::Syncing, Health::Degraded)), true);
    assert!(matches!(standing, Standing::NotYet(_)), "{standing:?}");
}

#[test]
fn in_sync_does_not_ask_for_health() {
    let standing = standing(&application(status(SyncState::Synced, Health::Degraded)), false);
    assert_eq!(standing, Standing::Met("2 clusters".into()));
}

#[test]
fn nowhere_is_not_healthy() {
    let nowhere = ApplicationStatus { cluster_count: 0, ..status(SyncState::Synced, Health::Healthy) };
    assert!(matches!(standing(&application(nowhere), true), Standing::NotYet(_)));
    let unplaced = ApplicationStatus { unplaced_count: 1, ..status(SyncState::Synced, Health::Healthy) };
    assert!(matches!(standing(&application(unplaced), true), Standing::NotYet(_)));
}

#[test]
fn what_the_hub_said_before_the_write_does_not_count() {
    let mut old = application(status(SyncState::Synced, Health::Healthy));
    old.metadata.sequence = 6;
    let view = view(Some(old));
    assert!(matches!(view.standing(WaitFor::Healthy, 7), Standing::NotYet(_)));
    assert!(matches!(view.standing(WaitFor::Healthy, 6), Standing::Met(_)));
}

#[test]
fn what_is_not_there_is_deleted_and_nothing_else() {
    assert_eq!(view(None).standing(WaitFor::Deleted, 0), Standing::Met(String::new()));
    assert_eq!(view(None).standing(WaitFor::Healthy, 0), Standing::NotThere);
    assert!(matches!(View::default().standing(WaitFor::Deleted, 0), Standing::NotYet(_)));
    let mut leaving = application(status(SyncState::Synced, Health::Healthy));
    leaving.metadata.deleted_at = Timestamp::from_millis(1).ok();
    assert!(matches!(view(Some(leaving.clone())).standing(WaitFor::Deleted, 0), Standing::NotYet(_)));
    assert!(matches!(view(Some(leaving)).standing(WaitFor::Healthy, 0), Standing::Hopeless(_)));
}

#[test]
fn who_has_not_let_go_is_named_with_why() {
    let view = |cluster: &str, liveness, status: Option<AssignmentStatus>| AssignmentView {
        assignment: Assignment {
            application: "shop".parse().unwrap(),
            cluster: cluster.parse().unwrap(),
            generation: Generation::default(),
            change_id: String::new(),
            desired: Desired::Remove,
        },
        status,
        liveness,
    };
    let says = |removed, reason: &str| AssignmentStatus {
        application: "shop".parse().unwrap(),
        generation: Generation::default(),
        applied: None,
        removed,
        sync: SyncState::Syncing,
        health: Health::Healthy,
        reason: reason.to_owned(),
        object_count: 1,
        healthy_count: 1,
        drift_count: 0,
        objects: Vec::new(),
        fence: None,
        observed_at: Timestamp::from_millis(1).unwrap(),
    };
    let views = [
        view("ap-1", Liveness::Alive, Some(says(true, ""))),
        view("eu-1", Liveness::Alive, Some(says(false, "a finalizer"))),
        view("eu-2", Liveness::Alive, None),
        view("us-1", Liveness::Lost, Some(says(false, ""))),
    ];
    assert_eq!(holders(&views), "eu-1: Syncing (a finalizer), eu-2: not heard of it yet, us-1: Lost");
    let many = vec![views[3].clone(); 12];
    assert!(holders(&many).ends_with("us-1: Lost, and 2 more"), "{}", holders(&many));
}
