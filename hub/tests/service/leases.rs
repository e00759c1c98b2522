//! Exclusive leases over real streams, and the webhook that is asked where a holder is silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Json;
use axum::routing::post;
use nave_common::assignment::{Activity, Assignment, Desired};
use nave_common::failover::{Epoch, Failover};
use nave_common::status::{AssignmentStatus, FenceState, FenceStatus};
use nave_common::time::Timestamp;
use nave_hub::config::{StoreConfig, WebhookConfig};
use nave_proto::v1;
use nave_proto::v1::sync_request::Message as Said;
use nave_proto::v1::sync_response::Message as Heard;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::agent::{Agent, Disk, hello, status};
use crate::harness::{Fleet, TestHub, application, apply, eventually, key};

fn ledger(fence: &str) -> v1::Application {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "ledger"},
        "spec": {
            "selector": {"matchLabels": {"app": "ledger"}},
            "template": {
                "metadata": {"labels": {"app": "ledger"}},
                "spec": {"containers": [{"name": "ledger", "image": "ledger:1"}]},
            },
        },
    });
    let failover: Failover = serde_json::from_value(json!({
        "mode": "Exclusive", "prefer": [{"cluster": "eu-1"}],
        "exclusive": {"fence": fence, "leaseDuration": "1s"},
    }))
    .unwrap();
    let mut ledger = application("ledger", &[deployment]);
    let spec = ledger.spec.as_mut().unwrap();
    spec.placement = Some(v1::Placement { count: Some(1), ..Default::default() });
    spec.failover = Some((&failover).into());
    ledger
}

/// What an agent was told last: whether it runs, and under which token.
async fn told(agent: &mut Agent) -> (bool, Epoch) {
    loop {
        if let Heard::Assignments(batch) = agent.next().await
            && let Some(assignment) = batch.assignments.into_iter().next()
        {
            let assignment: Assignment = assignment.try_into().unwrap();
            let Desired::Run(run) = &assignment.desired else { panic!("{assignment:?}") };
            let said = (run.activity == Activity::Active, run.exclusive.unwrap().epoch);
            agent.disk.insert(assignment.application.clone(), assignment);
            return said;
        }
    }
}

/// What a heartbeat renews.
async fn beat(agent: &mut Agent, number: u64, asked: &[Epoch]) -> Vec<(Epoch, u64)> {
    let held = |epoch: &Epoch| v1::HeldEpoch { application: key("ledger"), epoch: epoch.number() };
    let epochs = asked.iter().map(held).collect();
    agent.say(Said::Heartbeat(v1::Heartbeat { number, epochs })).await;
    loop {
        if let Heard::Heartbeat(ack) = agent.next().await
            && ack.number == number
        {
            let renewed = ack.renewed.into_iter();
            return renewed.map(|it| (Epoch::from_number(it.epoch), it.duration_ms)).collect();
        }
    }
}

async fn report(agent: &Agent, fence: Option<FenceStatus>) {
    let of = |assignment: &Assignment| AssignmentStatus { fence: fence.clone(), ..status(assignment) };
    let assignments = agent.disk.values().map(|assignment| (&of(assignment)).into()).collect();
    agent.say(Said::Status(v1::Status { assignments, cluster: None, full: true })).await;
}

async fn order(fleet: &mut Fleet, what: v1::order::What) {
    let order = Some(v1::Order { what: Some(what), ..Default::default() });
    let request = v1::OrderFailoverRequest { application: key("ledger"), order, dry_run: false };
    fleet.order_failover(request).await.unwrap();
}

#[tokio::test]
async fn only_the_holder_is_renewed_and_not_once_it_is_told_to_stop() {
    let hub = TestHub::start().await;
    let (eu, us) = (hub.enroll("eu-1", &[]).await, hub.enroll("us-1", &[]).await);
    let mut eu = Agent::connect(&hub, &eu, "eu-1", Disk::new()).await;
    let mut us = Agent::connect(&hub, &us, "us-1", Disk::new()).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, ledger("Agent")).await;
    let (is_active, epoch) = told(&mut eu).await;
    assert!(is_active && epoch > Epoch::default());
    assert!(!told(&mut us).await.0);
    assert_eq!(beat(&mut eu, 1, &[epoch]).await, [(epoch, 1000)]);
    assert_eq!(beat(&mut eu, 2, &[]).await, [], "only what is asked for by name");
    assert_eq!(beat(&mut eu, 3, &[Epoch::from_number(epoch.number() + 1)]).await, []);
    assert_eq!(beat(&mut us, 1, &[epoch]).await, [], "somebody else's");
    report(&eu, None).await;

    order(&mut admin, v1::order::What::Move(v1::OrderMove { to: "us-1".into(), ..Default::default() })).await;
    let (is_active, stops) = told(&mut eu).await;
    assert_eq!((is_active, stops), (false, epoch));
    assert_eq!(beat(&mut eu, 4, &[epoch]).await, []);
    let since = Timestamp::now();
    let stopping = FenceStatus { epoch, state: FenceState::Stopping, reason: String::new(), since };
    report(&eu, Some(stopping.clone())).await;
    us.silence().await;
    report(&eu, Some(FenceStatus { state: FenceState::Confirmed, ..stopping })).await;
    let (is_active, next) = told(&mut us).await;
    assert!(is_active && next > epoch);
    assert_eq!(beat(&mut us, 2, &[next]).await, [(next, 1000)]);
    assert_eq!(beat(&mut eu, 5, &[epoch]).await, []);
}

#[tokio::test]
async fn nothing_is_renewed_of_what_an_agent_knows_more_of() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, ledger("Storage")).await;
    let (_, epoch) = told(&mut agent).await;
    assert_eq!(beat(&mut agent, 1, &[epoch]).await, [(epoch, 1000)]);
    let mut said = hello("eu-1", &agent.disk);
    said.epoch = epoch.number() + 1_000_000;
    let mut agent = Agent::open(&hub, &own, said).await.unwrap();
    assert_eq!(beat(&mut agent, 1, &[epoch]).await, []);
    eventually("it is told", || async {
        let request = v1::ListEventsRequest { cluster: "eu-1".into(), ..Default::default() };
        let events = hub.admin().await.list_events(request).await.unwrap().into_inner().events;
        events.iter().any(|event| event.reason == "AgentAhead" && event.message.contains("epoch"))
    })
    .await;
    admin.set_freeze(v1::SetFreezeRequest { frozen: false }).await.unwrap();
    assert_eq!(beat(&mut agent, 2, &[epoch]).await, [(epoch, 1000)], "a person has decided");
}

/// A webhook that says twice that the copy still runs, and then that it is dead.
async fn webhook(asked: Arc<AtomicUsize>) -> String {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let answer = move |Json(question): Json<Value>| async move {
        assert_eq!(
            (&question["application"], &question["cluster"]),
            (&json!("default/ledger"), &json!("eu-1"))
        );
        assert!(question["epoch"].is_u64() && question["requestedAt"].is_string(), "{question}");
        Json(json!({"fenced": asked.fetch_add(1, Ordering::SeqCst) >= 2}))
    };
    tokio::spawn(async move {
        axum::serve(socket, axum::Router::new().route("/fence", post(answer))).await.unwrap();
    });
    format!("http://{address}/fence")
}

#[tokio::test]
async fn a_silent_holder_is_fenced_by_the_webhook() {
    let asked = Arc::<AtomicUsize>::default();
    let url = webhook(asked.clone()).await;
    let hub = TestHub::start_with(|config| {
        config.store = StoreConfig::Memory;
        config.heartbeat_interval = Duration::from_millis(100);
        config.liveness_lease = Duration::from_secs(1);
        config.failover.startup_freeze = Some(Duration::ZERO);
        config.failover.fencing_webhook = Some(WebhookConfig { url, ca_file: None });
    })
    .await;
    let (eu, us) =
        (hub.enroll("eu-1", &[("region", "eu")]).await, hub.enroll("us-1", &[("region", "us")]).await);
    let mut eu = Agent::connect(&hub, &eu, "eu-1", Disk::new()).await;
    let mut us = Agent::connect(&hub, &us, "us-1", Disk::new()).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, ledger("Manual")).await;
    let (_, epoch) = told(&mut eu).await;
    assert!(!told(&mut us).await.0);
    drop(eu);
    // It goes on being heard while the other one is silent.
    let mut number = 0;
    let granted = loop {
        number += 1;
        us.say(Said::Heartbeat(v1::Heartbeat { number, epochs: Vec::new() })).await;
        match us.next().await {
            Heard::Assignments(batch) => break batch,
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let granted: Assignment = granted.assignments.into_iter().next().unwrap().try_into().unwrap();
    let Desired::Run(run) = &granted.desired else { panic!("{granted:?}") };
    assert!(run.activity.is_active() && run.exclusive.unwrap().epoch > epoch);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let events = admin.list_events(v1::ListEventsRequest::default()).await.unwrap().into_inner().events;
    assert!(events.iter().any(|event| event.reason == "FencedByWebhook"));
}
