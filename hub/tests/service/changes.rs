//! Suspending and undoing.

use nave_common::assignment::{Assignment, Desired};
use nave_proto::v1;
use tonic::Code;

use crate::agent::{Agent, Disk};
use crate::harness::{TestHub, application, apply, assert_refused, config_map, key};

fn is_suspended(assignment: &Assignment) -> bool {
    let Desired::Run(run) = &assignment.desired else { panic!("it runs") };
    run.sync.suspended
}

#[tokio::test]
async fn suspending_reaches_the_named_clusters_and_no_other() {
    let hub = TestHub::start().await;
    let (one, two) = (hub.enroll("eu-1", &[]).await, hub.enroll("eu-2", &[]).await);
    let mut one = Agent::connect(&hub, &one, "eu-1", Disk::new()).await;
    let mut two = Agent::connect(&hub, &two, "eu-2", Disk::new()).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, application("shop", &[config_map("a", "1")])).await;
    assert!(!is_suspended(&one.assignment().await) && !is_suspended(&two.assignment().await));
    let suspend = |suspended: bool, clusters: &[&str]| v1::SuspendApplicationRequest {
        application: key("shop"),
        suspended,
        clusters: clusters.iter().map(|name| (*name).to_owned()).collect(),
    };
    admin.suspend_application(suspend(true, &["eu-1"])).await.unwrap();
    assert!(is_suspended(&one.assignment().await));
    two.silence().await;
    admin.suspend_application(suspend(true, &[])).await.unwrap();
    assert!(is_suspended(&two.assignment().await));
    let partly = admin.suspend_application(suspend(false, &["eu-1"])).await;
    assert_refused(partly, Code::FailedPrecondition, "everywhere");
    admin.suspend_application(suspend(false, &[])).await.unwrap();
    assert!(!is_suspended(&one.assignment().await) && !is_suspended(&two.assignment().await));
    assert_refused(admin.suspend_application(suspend(true, &["eu-9"])).await, Code::NotFound, "eu-9");
}

/// A pipeline's apply let go on what a person had stopped by hand.
#[tokio::test]
async fn an_apply_does_not_end_a_suspension() {
    let hub = TestHub::start().await;
    let mut admin = hub.admin().await;
    apply(&mut admin, application("shop", &[config_map("a", "1")])).await;
    let suspend =
        v1::SuspendApplicationRequest { application: key("shop"), suspended: true, clusters: Vec::new() };
    admin.suspend_application(suspend.clone()).await.unwrap();
    let applied = apply(&mut admin, application("shop", &[config_map("a", "2")])).await;
    let told: Vec<&String> =
        applied.warnings.iter().filter(|warning| warning.contains("suspended")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(applied.application.unwrap().spec.unwrap().sync.unwrap().suspended);
    assert!(applied.warnings.iter().any(|warning| warning.contains("nave resume")), "{:?}", applied.warnings);
    let resume = v1::SuspendApplicationRequest { suspended: false, ..suspend };
    let resumed = admin.suspend_application(resume).await.unwrap().into_inner().application.unwrap();
    assert!(!resumed.spec.unwrap().sync.unwrap().suspended);
}

#[tokio::test]
async fn undo_goes_back_as_a_new_revision() {
    let hub = TestHub::start().await;
    let mut admin = hub.admin().await;
    let undo = |to_revision: u64| v1::UndoApplicationRequest {
        application: key("shop"),
        to_revision,
        dry_run: false,
    };
    apply(&mut admin, application("shop", &[config_map("a", "1")])).await;
    let only = admin.undo_application(undo(0)).await;
    assert_refused(only, Code::FailedPrecondition, "only one revision");
    apply(&mut admin, application("shop", &[config_map("a", "2")])).await;
    apply(&mut admin, application("shop", &[config_map("a", "3")])).await;
    let back = admin.undo_application(undo(1)).await.unwrap().into_inner().revision.unwrap();
    assert_eq!((back.number, back.origin.as_str()), (4, "undo to 1"));
    let same = admin.undo_application(undo(1)).await;
    assert_refused(same, Code::FailedPrecondition, "already has");
    assert_refused(admin.undo_application(undo(77)).await, Code::NotFound, "nave history");
    let request = v1::ListRevisionsRequest { application: key("shop") };
    let revisions = admin.list_revisions(request).await.unwrap().into_inner().revisions;
    assert_eq!(revisions.first().map(|it| &it.bundle), revisions.last().map(|it| &it.bundle));
    // What was undone can be applied again.
    let again = apply(&mut admin, application("shop", &[config_map("a", "3")])).await;
    assert_eq!(again.application.unwrap().status.unwrap().revision, 5);
}

#[tokio::test]
async fn the_history_keeps_as_much_as_it_is_told() {
    let hub = TestHub::start().await;
    let mut admin = hub.admin().await;
    for value in 1..=5 {
        let mut shop = application("shop", &[config_map("a", &value.to_string())]);
        shop.spec.as_mut().unwrap().revision_history_limit = 2;
        apply(&mut admin, shop).await;
    }
    let request = v1::ListRevisionsRequest { application: key("shop") };
    let revisions = admin.list_revisions(request).await.unwrap().into_inner().revisions;
    let numbers: Vec<u64> = revisions.iter().map(|revision| revision.number).collect();
    assert_eq!(numbers, [5, 4]);
}
