//! Applications: applied, looked at, refused, deleted.

use nave_proto::v1;
use serde_json::json;
use tonic::{Code, Request};

use crate::agent::{Agent, Disk};
use crate::harness::{
    TestHub, application, apply, assert_refused, config_map, eventually, get, key, try_apply,
};

#[tokio::test]
async fn an_apply_creates_then_changes_then_leaves_alone() {
    let hub = TestHub::start().await;
    hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    let first = apply(&mut admin, application("retail/shop", &[config_map("a", "1")])).await;
    assert_eq!(first.outcome(), v1::Outcome::Created);
    let created = first.application.unwrap();
    assert_eq!(created.status.as_ref().unwrap().revision, 1);
    assert_eq!(created.status.as_ref().unwrap().origin, "inline");
    let again = apply(&mut admin, application("retail/shop", &[config_map("a", "1")])).await;
    assert_eq!(again.outcome(), v1::Outcome::Unchanged);
    let sequence = |answer: &v1::Application| answer.metadata.as_ref().unwrap().sequence;
    assert_eq!(sequence(again.application.as_ref().unwrap()), sequence(&created), "unchanged writes nothing");
    let changed = apply(&mut admin, application("retail/shop", &[config_map("a", "2")])).await;
    assert_eq!(changed.outcome(), v1::Outcome::Configured);
    assert_eq!(changed.application.unwrap().status.unwrap().revision, 2);
    let mut labelled = application("retail/shop", &[config_map("a", "2")]);
    labelled.metadata.as_mut().unwrap().labels.insert("team".into(), "retail".into());
    let labelled = apply(&mut admin, labelled).await;
    assert_eq!(labelled.outcome(), v1::Outcome::Configured);
    assert_eq!(labelled.application.unwrap().status.unwrap().revision, 2, "the manifests are the same");
}

#[tokio::test]
async fn the_change_s_identifier_reaches_the_agent() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    let mut admin = hub.admin().await;
    let shop = application("shop", &[config_map("a", "1")]);
    let mut request =
        Request::new(v1::ApplyApplicationRequest { application: Some(shop.clone()), dry_run: false });
    request.metadata_mut().insert("nave-change-id", "build-7".parse().unwrap());
    let answer = admin.apply_application(request).await.unwrap().into_inner();
    assert_eq!(answer.change_id, "build-7");
    assert_eq!(agent.assignment().await.change_id, "build-7");
    let mut request = Request::new(v1::ApplyApplicationRequest { application: Some(shop), dry_run: false });
    request.metadata_mut().insert("nave-change-id", "a b".parse().unwrap());
    assert_refused(admin.apply_application(request).await, Code::InvalidArgument, "nave-change-id");
}

#[tokio::test]
async fn what_is_refused_names_the_field_and_changes_nothing() {
    let hub = TestHub::start().await;
    hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    let none = try_apply(&mut admin, application("shop", &[])).await;
    assert_refused(none, Code::InvalidArgument, "spec.source.inline.manifests: ");
    let bad = try_apply(&mut admin, application("shop", &[json!({"kind": "ConfigMap"})])).await;
    assert_refused(bad, Code::InvalidArgument, "spec.source.inline.manifests[0].apiVersion");
    let twice =
        try_apply(&mut admin, application("shop", &[config_map("a", "1"), config_map("a", "2")])).await;
    assert_refused(twice, Code::InvalidArgument, "twice");
    let undefined = try_apply(&mut admin, application("shop", &[config_map("a", "${nave:REGION}")])).await;
    assert_refused(undefined, Code::InvalidArgument, "cluster eu-1");
    let mut bundle = application("shop", &[]);
    let digest = format!("sha256:{}", "0".repeat(64));
    let kind = v1::source::Kind::Bundle(v1::BundleSource { path: String::new(), digest });
    bundle.spec.as_mut().unwrap().source = Some(v1::Source { kind: Some(kind) });
    assert_refused(
        try_apply(&mut admin, bundle).await,
        Code::FailedPrecondition,
        "spec.source.bundle.digest",
    );
    assert_eq!(get(&mut admin, "shop").await, None);
}

#[tokio::test]
async fn an_old_copy_does_not_overwrite_a_newer_one() {
    let hub = TestHub::start().await;
    let mut admin = hub.admin().await;
    let first = apply(&mut admin, application("shop", &[config_map("a", "1")])).await.application.unwrap();
    apply(&mut admin, application("shop", &[config_map("a", "2")])).await;
    let mut stale = application("shop", &[config_map("a", "3")]);
    stale.metadata.as_mut().unwrap().sequence = first.metadata.unwrap().sequence;
    assert_refused(try_apply(&mut admin, stale).await, Code::Aborted, "based on sequence");
    let mut fresh = application("shop", &[config_map("a", "3")]);
    fresh.metadata.as_mut().unwrap().sequence =
        get(&mut admin, "shop").await.unwrap().metadata.unwrap().sequence;
    assert_eq!(apply(&mut admin, fresh).await.outcome(), v1::Outcome::Configured);
}

#[tokio::test]
async fn many_writers_of_one_application_all_get_through() {
    let hub = TestHub::start().await;
    let admin = hub.admin().await;
    let writers = (0..6).map(|index| {
        let mut admin = admin.clone();
        async move { try_apply(&mut admin, application("shop", &[config_map("a", &index.to_string())])).await }
    });
    for answer in futures::future::join_all(writers).await {
        answer.unwrap();
    }
    let request = v1::ListRevisionsRequest { application: key("shop") };
    let revisions = hub.admin().await.list_revisions(request).await.unwrap().into_inner().revisions;
    let numbers: Vec<u64> = revisions.iter().map(|revision| revision.number).collect();
    assert_eq!(numbers, [6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn a_dry_run_says_everything_and_changes_nothing() {
    let hub = TestHub::start().await;
    hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    let mut shop = application("shop", &[config_map("a", "1")]);
    shop.spec.as_mut().unwrap().namespace = String::new();
    let request = v1::ApplyApplicationRequest { application: Some(shop), dry_run: true };
    let answer = admin.apply_application(request).await.unwrap().into_inner();
    assert_eq!(answer.outcome(), v1::Outcome::Created);
    assert_eq!(answer.placement.unwrap().decisions[0].cluster, "eu-1");
    assert!(answer.warnings.iter().any(|warning| warning.contains("namespace")), "{:?}", answer.warnings);
    assert_eq!(get(&mut admin, "shop").await, None);
}

#[tokio::test]
async fn secrets_are_masked_wherever_they_are_shown() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let _agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    let mut admin = hub.admin().await;
    let secret = |value: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": value}});
    // "hunter2" in base64 is "aHVudGVyMg==".
    let shop = application("shop", &[secret("hunter2")]);
    let mut shown = format!("{:?}", apply(&mut admin, shop.clone()).await);
    shown.push_str(&format!("{:?}", get(&mut admin, "shop").await));
    let what = Some(v1::render_application_request::What::Application(shop));
    let request = v1::RenderApplicationRequest { what, cluster: "eu-1".into() };
    let rendered = admin.render_application(request).await.unwrap().into_inner();
    assert_eq!(rendered.manifests.len(), 1);
    shown.push_str(&format!("{rendered:?}"));
    let changed = application("shop", &[secret("other")]);
    let request = v1::DiffApplicationRequest { application: Some(changed), clusters: Vec::new() };
    eventually("the cluster is assigned", || async {
        let request = v1::ListAssignmentsRequest::default();
        !hub.admin().await.list_assignments(request).await.unwrap().into_inner().assignments.is_empty()
    })
    .await;
    let diff = admin.diff_application(request).await.unwrap().into_inner().diffs;
    assert_eq!(diff[0].clusters, ["eu-1"]);
    let after = String::from_utf8_lossy(&diff[0].objects[0].after).into_owned();
    assert!(after.contains("(changed)"), "{after}");
    shown.push_str(&after);
    for hidden in ["hunter2", "aHVudGVyMg", "b3RoZXI"] {
        assert!(!shown.contains(hidden), "{hidden}");
    }
}

#[tokio::test]
async fn a_deleted_application_is_refused_until_it_is_gone() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, application("shop", &[config_map("a", "1")])).await;
    agent.assignment().await;
    let request = v1::DeleteApplicationRequest { application: key("shop"), ..Default::default() };
    let answer = admin.delete_application(request.clone()).await.unwrap().into_inner();
    assert_eq!(answer.clusters, ["eu-1"]);
    assert!(answer.application.unwrap().metadata.unwrap().deleted_at_ms > 0);
    let refused = try_apply(&mut admin, application("shop", &[config_map("a", "2")])).await;
    assert_refused(refused, Code::FailedPrecondition, "being deleted");
    admin.delete_application(request).await.unwrap();
    agent.assignment().await;
    agent.report(false).await;
    eventually("the application is gone", || async { get(&mut hub.admin().await, "shop").await.is_none() })
        .await;
    let missing = v1::DeleteApplicationRequest { application: key("shop"), ..Default::default() };
    assert_refused(admin.delete_application(missing).await, Code::NotFound, "nave get applications");
}
