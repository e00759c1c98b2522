//! Certificates that no longer count: of clusters that were deleted, of those that enrolled again, and of another
//! cluster under the same name.

use std::time::{Duration, Instant};

use nave_common::runtime::tls::Credentials;
use nave_hub::Config;
use nave_hub::records::{Name, Record};
use nave_hub::store::sled::{Options, SledStore};
use nave_hub::store::{Store as _, Transaction};
use nave_proto::v1;
use nave_proto::v1::agent_service_client::AgentServiceClient;
use tonic::Code;

use crate::agent::{Agent, Disk, hello};
use crate::harness::{TestHub, assert_refused, eventually};

/// The longest that a revoked certificate's stream may go on.
const CUT_WITHIN: Duration = Duration::from_secs(1);

async fn delete(hub: &TestHub, name: &str) {
    let request = v1::DeleteClusterRequest { name: name.into(), force: false, dry_run: false };
    hub.admin().await.delete_cluster(request).await.unwrap();
}

/// Reads a stream until it ends, and says why and when.
async fn end_of(mut agent: Agent) -> (tonic::Status, Instant) {
    loop {
        if let Err(status) = agent.try_next().await {
            return (status, Instant::now());
        }
    }
}

async fn assert_revoked(hub: &TestHub, own: &Credentials, name: &str) {
    let opened = Agent::open(hub, own, hello(name, &Disk::new())).await;
    let (status, _) = end_of(opened.unwrap()).await;
    assert_refused::<()>(Err(status), Code::PermissionDenied, "was revoked");
    let fetched = AgentServiceClient::new(hub.channel(Some(own)).await)
        .fetch_bundle(v1::FetchBundleRequest { digest: format!("sha256:{}", "0".repeat(64)), offset: 0 })
        .await;
    assert_refused(fetched.map(|_| ()), Code::PermissionDenied, "was revoked");
}

/// The hub once took any certificate of a name that was in the fleet.
#[tokio::test]
async fn a_deleted_cluster_s_certificate_stays_dead_when_its_name_joins_anew() {
    let hub = TestHub::start().await;
    let old = hub.enroll("eu-1", &[]).await;
    let agent = Agent::connect(&hub, &old, "eu-1", Disk::new()).await;
    let started = Instant::now();
    delete(&hub, "eu-1").await;
    let (status, ended) = end_of(agent).await;
    assert_refused::<()>(Err(status), Code::PermissionDenied, "not in this hub's fleet");
    assert!(ended - started < CUT_WITHIN, "{:?}", ended - started);

    let new = hub.enroll("eu-1", &[]).await;
    assert_revoked(&hub, &old, "eu-1").await;
    Agent::connect(&hub, &new, "eu-1", Disk::new()).await;
}

#[tokio::test]
async fn to_enrol_again_cuts_the_older_certificate_s_stream_and_survives_a_restart() {
    let hub = TestHub::start_with(|_| {}).await;
    let old = hub.enroll("eu-1", &[]).await;
    let agent = Agent::connect(&hub, &old, "eu-1", Disk::new()).await;
    let started = Instant::now();
    let new = hub.enroll("eu-1", &[]).await;
    let (status, ended) = end_of(agent).await;
    assert_refused::<()>(Err(status), Code::PermissionDenied, "was revoked");
    assert!(ended - started < CUT_WITHIN, "{:?}", ended - started);
    let hub = hub.restart().await;
    assert_revoked(&hub, &old, "eu-1").await;
    Agent::connect(&hub, &new, "eu-1", Disk::new()).await;
}

#[tokio::test]
async fn another_cluster_under_a_name_is_refused_and_both_sides_are_told() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    for _ in 0..3 {
        let other = v1::Hello { cluster_uid: "uid-of-a-copy".into(), ..hello("eu-1", &Disk::new()) };
        let (status, _) = end_of(Agent::open(&hub, &own, other).await.unwrap()).await;
        assert_refused::<()>(Err(status), Code::PermissionDenied, "bound to another cluster");
    }
    let mut admin = hub.admin().await;
    let request = v1::ListEventsRequest { limit: 100, ..Default::default() };
    let told = async |admin: &mut crate::harness::Fleet| {
        let events = admin.list_events(request.clone()).await.unwrap().into_inner().events;
        events.iter().filter(|event| event.reason == "OtherCluster").count()
    };
    eventually("people are told", || {
        let mut admin = admin.clone();
        let told = &told;
        async move { told(&mut admin).await > 0 }
    })
    .await;
    assert_eq!(told(&mut admin).await, 1, "once, however often it comes");
    agent.say(v1::sync_request::Message::Heartbeat(v1::Heartbeat { number: 1, epochs: Vec::new() })).await;
    assert!(matches!(agent.next().await, v1::sync_response::Message::Heartbeat(_)), "the right one goes on");
}

/// Takes the binding out of a stored cluster, as if an older hub had written it.
async fn forget_enrolment(config: &Config, name: &str) {
    let store = SledStore::open(Options::new(config.data_dir.join("store"))).await.unwrap();
    let key = Name::Cluster(name.parse().unwrap()).key().unwrap();
    let entry = store.get(&key).await.unwrap().unwrap();
    let Some(Record::Cluster(mut record)) = Record::parse(&entry.key, &entry.value).unwrap() else {
        panic!("no cluster")
    };
    record.enrolment = None;
    let mut transaction = Transaction::new();
    transaction.writes.push(Record::Cluster(record).write().unwrap());
    store.commit(transaction).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_record_of_an_older_hub_is_bound_to_the_certificate_that_comes_first() {
    let hub = TestHub::start_with(|_| {}).await;
    let older = hub.enroll("eu-1", &[]).await;
    let newer = hub.enroll("eu-1", &[]).await;
    let hub = hub.restart_after(async |config: &Config| forget_enrolment(config, "eu-1").await).await;
    let agent = Agent::connect(&hub, &newer, "eu-1", Disk::new()).await;
    assert_revoked(&hub, &older, "eu-1").await;
    drop(agent);
    let hub = hub.restart().await;
    assert_revoked(&hub, &older, "eu-1").await;
    Agent::connect(&hub, &newer, "eu-1", Disk::new()).await;
}
