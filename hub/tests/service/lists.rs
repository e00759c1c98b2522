//! Lists, in pages; and clusters, which people change but do not make.

use nave_proto::v1;
use tonic::Code;

use crate::agent::{Agent, Disk};
use crate::harness::{TestHub, application, apply, assert_refused, config_map, eventually};

#[tokio::test]
async fn pages_hold_everything_once() {
    let hub = TestHub::start().await;
    let mut admin = hub.admin().await;
    for index in 0..7 {
        apply(&mut admin, application(&format!("p-{}/a-{index}", index % 2), &[config_map("a", "1")])).await;
    }
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListApplicationsRequest { page_size: 3, page_token, ..Default::default() };
        let answer = admin.list_applications(request).await.unwrap().into_inner();
        assert!(answer.applications.len() <= 3);
        names.extend(answer.applications.into_iter().map(|it| it.metadata.unwrap().name));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["a-0", "a-2", "a-4", "a-6", "a-1", "a-3", "a-5"]);
    let request = v1::ListApplicationsRequest { project: "p-1".into(), ..Default::default() };
    assert_eq!(admin.list_applications(request).await.unwrap().into_inner().applications.len(), 3);
    let request = v1::ListApplicationsRequest { page_token: "x".into(), ..Default::default() };
    assert_refused(admin.list_applications(request).await, Code::InvalidArgument, "pageToken");
}

#[tokio::test]
async fn selectors_narrow_lists() {
    let hub = TestHub::start().await;
    hub.enroll("eu-1", &[("region", "eu")]).await;
    hub.enroll("us-1", &[("region", "us")]).await;
    let mut admin = hub.admin().await;
    let selector =
        v1::Selector { match_labels: [("region".to_owned(), "eu".to_owned())].into(), ..Default::default() };
    let request = v1::ListClustersRequest { selector: Some(selector), ..Default::default() };
    let clusters = admin.list_clusters(request).await.unwrap().into_inner().clusters;
    assert_eq!(clusters.len(), 1);
    let selector =
        v1::Selector { match_labels: [("a b".to_owned(), String::new())].into(), ..Default::default() };
    let request = v1::ListClustersRequest { selector: Some(selector), ..Default::default() };
    assert_refused(admin.list_clusters(request).await, Code::InvalidArgument, "selector.matchLabels");
}

#[tokio::test]
async fn assignments_are_listed_by_cluster_and_by_application() {
    let hub = TestHub::start().await;
    let mut agents = Vec::new();
    for name in ["eu-1", "eu-2", "us-1"] {
        let own = hub.enroll(name, &[]).await;
        agents.push(Agent::connect(&hub, &own, name, Disk::new()).await);
    }
    let mut admin = hub.admin().await;
    for name in ["shop", "cart"] {
        apply(&mut admin, application(name, &[config_map("a", "1")])).await;
    }
    eventually("everything is assigned", || async {
        let request = v1::ListAssignmentsRequest::default();
        hub.admin().await.list_assignments(request).await.unwrap().into_inner().assignments.len() == 6
    })
    .await;
    let request = v1::ListAssignmentsRequest { cluster: "eu-2".into(), ..Default::default() };
    assert_eq!(admin.list_assignments(request).await.unwrap().into_inner().assignments.len(), 2);
    let unknown = v1::ListAssignmentsRequest { cluster: "eu-9".into(), ..Default::default() };
    assert_refused(admin.list_assignments(unknown).await, Code::NotFound, "eu-9");
    let unknown = v1::DiffApplicationRequest {
        application: Some(application("shop", &[config_map("a", "2")])),
        clusters: vec!["eu-1".into(), "eu-9".into()],
    };
    assert_refused(admin.diff_application(unknown).await, Code::NotFound, "eu-9");
    let application = Some(v1::ApplicationKey { project: String::new(), name: "shop".into() });
    let mut request = v1::ListAssignmentsRequest { application, page_size: 2, ..Default::default() };
    let first = admin.list_assignments(request.clone()).await.unwrap().into_inner();
    assert_eq!(first.assignments.len(), 2);
    request.page_token = first.next_page_token;
    let second = admin.list_assignments(request).await.unwrap().into_inner();
    assert_eq!((second.assignments.len(), second.next_page_token.as_str()), (1, ""));
}

#[tokio::test]
async fn a_cluster_s_labels_can_be_changed_and_its_uid_cannot() {
    let hub = TestHub::start().await;
    hub.enroll("eu-1", &[("region", "eu")]).await;
    let mut admin = hub.admin().await;
    let cluster = |name: &str, labels: &[(&str, &str)], uid: &str| v1::ApplyClusterRequest {
        cluster: Some(v1::Cluster {
            metadata: Some(v1::ClusterMetadata {
                name: name.into(),
                labels: labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
                ..Default::default()
            }),
            spec: Some(v1::ClusterSpec { uid: uid.into(), weight: Some(7), ..Default::default() }),
            status: None,
        }),
        dry_run: false,
    };
    let answer =
        admin.apply_cluster(cluster("eu-1", &[("region", "eu-west")], "")).await.unwrap().into_inner();
    assert_eq!(answer.outcome(), v1::Outcome::Configured);
    let changed = answer.cluster.unwrap();
    assert_eq!(changed.metadata.unwrap().labels["region"], "eu-west");
    assert_eq!(changed.spec.unwrap().uid, "uid-eu-1");
    let answer =
        admin.apply_cluster(cluster("eu-1", &[("region", "eu-west")], "")).await.unwrap().into_inner();
    assert_eq!(answer.outcome(), v1::Outcome::Unchanged);
    let thief = admin.apply_cluster(cluster("eu-1", &[], "another")).await;
    assert_refused(thief, Code::InvalidArgument, "spec.uid");
    let missing = admin.apply_cluster(cluster("eu-9", &[], "")).await;
    assert_refused(missing, Code::NotFound, "nave token create");
}

#[tokio::test]
async fn events_tell_what_happened_and_to_what() {
    let hub = TestHub::start().await;
    hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, application("shop", &[config_map("a", "1")])).await;
    let request = v1::ListEventsRequest { cluster: "eu-1".into(), limit: 50, ..Default::default() };
    let events = admin.list_events(request).await.unwrap().into_inner().events;
    assert!(events.iter().any(|event| event.reason == "ClusterJoined"), "{events:?}");
    let application = Some(v1::ApplicationKey { project: String::new(), name: "shop".into() });
    let request = v1::ListEventsRequest { application, ..Default::default() };
    let events = admin.list_events(request).await.unwrap().into_inner().events;
    assert!(
        events.iter().any(|event| event.reason == "Applied" && !event.change_id.is_empty()),
        "{events:?}"
    );
    let about = admin.get_hub(v1::GetHubRequest {}).await.unwrap().into_inner();
    assert_eq!((about.cluster_count, about.application_count, about.term), (1, 1, 1));
}
