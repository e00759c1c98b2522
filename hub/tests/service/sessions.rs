//! Streams of agents: the difference and nothing else, whatever the order of things.

use std::time::Duration;

use nave_common::assignment::Desired;
use nave_proto::v1;
use nave_proto::v1::sync_request::Message as Said;
use nave_proto::v1::sync_response::Message as Heard;
use tonic::Code;

use crate::agent::{Agent, Disk, far_ahead, hello, status};
use crate::harness::{TestHub, application, apply, assert_refused, config_map, eventually, get, key};

async fn cluster(hub: &TestHub, name: &str) -> v1::ClusterStatus {
    let request = v1::GetClusterRequest { name: name.into() };
    hub.admin().await.get_cluster(request).await.unwrap().into_inner().cluster.unwrap().status.unwrap()
}

#[tokio::test]
async fn an_agent_is_told_each_change_once_and_nothing_when_it_comes_back() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, application("shop", &[config_map("a", "1")])).await;
    apply(&mut admin, application("cart", &[config_map("b", "1")])).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    while agent.disk.len() < 2 {
        agent.assignments().await;
    }
    agent.report(true).await;
    agent.silence().await;
    let disk = std::mem::take(&mut agent.disk);
    let mut again = Agent::connect(&hub, &own, "eu-1", disk).await;
    again.silence().await;
    apply(&mut admin, application("shop", &[config_map("a", "2")])).await;
    let changed = again.assignment().await;
    assert_eq!(changed.application.to_string(), "default/shop");
    again.silence().await;
    // What changed while it was away comes with the next Hello, and nothing else.
    let disk = std::mem::take(&mut again.disk);
    drop(again);
    apply(&mut admin, application("cart", &[config_map("b", "2")])).await;
    eventually("the change is planned", || async {
        let now = get(&mut hub.admin().await, "cart").await.unwrap().status.unwrap();
        now.revision == 2
    })
    .await;
    let mut back = Agent::connect(&hub, &own, "eu-1", disk).await;
    assert_eq!(back.assignment().await.application.to_string(), "default/cart");
    back.silence().await;
}

#[tokio::test]
async fn what_an_agent_reports_is_the_application_s_status() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, application("shop", &[config_map("a", "1")])).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    agent.assignment().await;
    agent.report(true).await;
    eventually("the application is healthy", || async {
        let status = get(&mut hub.admin().await, "shop").await.unwrap().status.unwrap();
        status.health() == v1::Health::Healthy && status.sync() == v1::SyncState::Synced
    })
    .await;
    drop(agent);
    eventually("what is not heard is not green", || async {
        get(&mut hub.admin().await, "shop").await.unwrap().status.unwrap().health() == v1::Health::Unknown
    })
    .await;
}

#[tokio::test]
async fn two_agents_under_one_name_are_told_of_once() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut rivals = Vec::new();
    for _ in 0..8 {
        rivals.push(Agent::connect(&hub, &own, "eu-1", Disk::new()).await);
    }
    eventually("it is told", || async {
        let request = v1::ListEventsRequest { cluster: "eu-1".into(), limit: 50, ..Default::default() };
        let events = hub.admin().await.list_events(request).await.unwrap().into_inner().events;
        let told: Vec<_> = events.iter().filter(|event| event.reason == "TwoAgents").collect();
        assert!(told.len() <= 1, "{told:?}");
        told.first().is_some_and(|event| event.message == "two agents run as cluster eu-1; stop one of them")
    })
    .await;
}

#[tokio::test]
async fn a_removal_is_confirmed_then_forgotten() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, application("shop", &[config_map("a", "1")])).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    agent.assignment().await;
    let request = v1::DeleteApplicationRequest { application: key("shop"), ..Default::default() };
    admin.delete_application(request).await.unwrap();
    let asked = agent.assignment().await;
    assert_eq!(asked.desired, Desired::Remove);
    agent.silence().await;
    agent.report(false).await;
    let (told, forgotten) = agent.assignments().await;
    assert!(told.is_empty());
    assert_eq!(forgotten, ["shop".parse().unwrap()]);
    eventually("it is gone", || async { get(&mut hub.admin().await, "shop").await.is_none() }).await;
    // An agent that missed the last word is told again.
    let mut disk = Disk::new();
    let old = nave_common::assignment::Assignment {
        application: "shop".parse().unwrap(),
        cluster: "eu-1".parse().unwrap(),
        generation: asked.generation,
        change_id: String::new(),
        desired: Desired::Remove,
    };
    disk.insert(old.application.clone(), old);
    let mut late = Agent::connect(&hub, &own, "eu-1", disk).await;
    assert_eq!(late.assignments().await.1, ["shop".parse().unwrap()]);
}

#[tokio::test]
async fn an_application_that_the_hub_never_heard_of_is_reported_and_left_alone() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, application("shop", &[config_map("a", "1")])).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    let mut stray = agent.assignment().await;
    stray.application = "stray".parse().unwrap();
    let mut disk = std::mem::take(&mut agent.disk);
    disk.insert(stray.application.clone(), stray);
    let mut agent = Agent::connect(&hub, &own, "eu-1", disk).await;
    agent.silence().await;
    let unknown = cluster(&hub, "eu-1").await.unknown_applications;
    assert_eq!(unknown.into_iter().map(|key| key.name).collect::<Vec<_>>(), ["stray"]);
    let request = v1::ListEventsRequest { cluster: "eu-1".into(), ..Default::default() };
    let events = admin.list_events(request).await.unwrap().into_inner().events;
    assert!(events.iter().any(|event| event.reason == "UnknownApplications"), "{events:?}");
}

#[tokio::test]
async fn an_agent_ahead_of_the_hub_is_reported_and_sent_nothing_older() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, application("shop", &[config_map("a", "1")])).await;
    let mut ahead = hello("eu-1", &Disk::new());
    ahead.generation = Some(far_ahead().into());
    let mut agent = Agent::open(&hub, &own, ahead).await.unwrap();
    assert!(matches!(agent.next().await, Heard::Welcome(_)));
    agent.silence().await;
    let request = v1::ListEventsRequest { cluster: "eu-1".into(), ..Default::default() };
    let events = admin.list_events(request).await.unwrap().into_inner().events;
    assert!(events.iter().any(|event| event.reason == "AgentAhead"), "{events:?}");
}

#[tokio::test]
async fn a_refusal_is_shown_with_its_reason() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, application("shop", &[config_map("a", "1")])).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    let told = agent.assignment().await;
    let refused = v1::Refused {
        application: key("shop"),
        generation: Some(told.generation.into()),
        reason: "its rendering differs".into(),
    };
    agent.say(Said::Accepted(v1::Accepted { applications: Vec::new(), refused: vec![refused] })).await;
    eventually("the refusal is the reason", || async {
        let status = get(&mut hub.admin().await, "shop").await.unwrap().status.unwrap();
        status.sync() == v1::SyncState::Failed && status.reason.contains("its rendering differs")
    })
    .await;
}

#[tokio::test]
async fn heartbeats_are_answered_with_their_number() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    agent.say(Said::Heartbeat(v1::Heartbeat { number: 7, epochs: Vec::new() })).await;
    assert_eq!(
        agent.next().await,
        Heard::Heartbeat(v1::HeartbeatAck { number: 7, term: 1, renewed: Vec::new() })
    );
}

#[tokio::test]
async fn a_newer_stream_replaces_the_older_and_the_cluster_stays_alive() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut old = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    let mut new = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    assert_refused(old.try_next().await, Code::Aborted, "newer stream");
    drop(old);
    new.silence().await;
    assert_eq!(cluster(&hub, "eu-1").await.liveness(), v1::Liveness::Alive);
    drop(new);
    eventually("the cluster is suspect", || async {
        cluster(&hub, "eu-1").await.liveness() == v1::Liveness::Suspect
    })
    .await;
}

#[tokio::test]
async fn silence_costs_a_cluster_its_stream_and_then_its_life() {
    let hub = TestHub::start_with(|config| {
        config.heartbeat_interval = Duration::from_millis(100);
        config.liveness_lease = Duration::from_millis(400);
    })
    .await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    assert_refused(agent.try_next().await, Code::DeadlineExceeded, "liveness lease");
    eventually("the cluster is lost", || async {
        cluster(&hub, "eu-1").await.liveness() == v1::Liveness::Lost
    })
    .await;
}

#[tokio::test]
async fn a_stream_begins_with_a_hello_of_the_right_cluster() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut other = Agent::open(&hub, &own, hello("other", &Disk::new())).await.unwrap();
    assert_refused(other.try_next().await, Code::PermissionDenied, "another UID");
    let mut twice = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    twice.say(Said::Hello(hello("eu-1", &Disk::new()))).await;
    assert_refused(twice.try_next().await, Code::InvalidArgument, "hello");
}

#[tokio::test]
async fn a_part_of_a_status_that_cannot_be_read_costs_only_itself() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, application("shop", &[config_map("a", "1")])).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    let told = agent.assignment().await;
    let broken = v1::AssignmentStatus { health: 99, ..(&status(&told)).into() };
    let assignments = vec![broken, (&status(&told)).into()];
    agent.say(Said::Status(v1::Status { assignments, cluster: None, full: true })).await;
    eventually("the rest is taken", || async {
        get(&mut hub.admin().await, "shop").await.unwrap().status.unwrap().healthy_count == 1
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_does_not_read_delays_no_other() {
    let hub = TestHub::start().await;
    let (slow, quick) = (hub.enroll("eu-1", &[]).await, hub.enroll("eu-2", &[]).await);
    let _slow = Agent::connect(&hub, &slow, "eu-1", Disk::new()).await;
    let mut quick = Agent::connect(&hub, &quick, "eu-2", Disk::new()).await;
    let mut admin = hub.admin().await;
    // Far more than the slow one's windows hold.
    let big = || (0..40).map(|index| (format!("V{index}"), "x".repeat(8 << 10))).collect();
    for round in 0..12 {
        let mut shop = application(&format!("shop-{round}"), &[config_map("a", &round.to_string())]);
        let changes = v1::Override { variables: big(), ..Default::default() };
        shop.spec.as_mut().unwrap().overrides =
            vec![v1::OverrideRule { clusters: None, changes: Some(changes) }];
        apply(&mut admin, shop).await;
        let (told, _) = quick.assignments().await;
        assert_eq!(told.len(), 1, "round {round}");
    }
}
