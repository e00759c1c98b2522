//! What an apply of an application that fails over asks for.

use nave_proto::v1;
use serde_json::{Value, json};
use tonic::Code;

use crate::failover::{counted, joined, with_failover};
use crate::harness::{TestHub, application, apply, assert_refused, config_map, eventually, try_apply};

fn deployment(grace_seconds: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "db"},
        "spec": {"selector": {"matchLabels": {"app": "db"}}, "template": {
            "metadata": {"labels": {"app": "db"}},
            "spec": {"terminationGracePeriodSeconds": grace_seconds,
                     "containers": [{"name": "db", "image": "db:1"}]}}}
    })
}

fn ledger(manifests: &[Value], exclusive: &Value) -> v1::Application {
    with_failover(counted("ledger", 1, manifests), json!({"mode": "Exclusive", "exclusive": exclusive}))
}

#[tokio::test]
async fn what_cannot_be_stopped_is_not_exclusive() {
    let hub = TestHub::start().await;
    hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db"},
                     "spec": {"containers": [{"name": "db", "image": "db:1"}]}});
    let refused = try_apply(&mut admin, ledger(&[pod], &json!({}))).await;
    assert_refused(refused, Code::InvalidArgument, "spec.failover.mode: is Exclusive, and ");
    let database = json!({"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "db"}});
    let refused = try_apply(&mut admin, ledger(std::slice::from_ref(&database), &json!({}))).await;
    assert_refused(refused, Code::InvalidArgument, "add a rule for Database to failover.park");
    let rule = json!([{"kind": "Database", "merge": {"spec": {"paused": true}}}]);
    let ruled = with_failover(counted("ledger", 1, &[database]), json!({"mode": "Exclusive", "park": rule}));
    apply(&mut admin, ruled).await;
    let everywhere = with_failover(application("x", &[config_map("a", "1")]), json!({"mode": "Exclusive"}));
    let refused = try_apply(&mut admin, everywhere).await;
    assert_refused(
        refused,
        Code::InvalidArgument,
        "placement.count: is missing; expected 1, as failover.mode is Exclusive",
    );
}

#[tokio::test]
async fn stopped_work_gets_the_time_that_it_needs() {
    let hub = TestHub::start().await;
    hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    let short = ledger(&[deployment(&json!(300))], &json!({"fenceTimeout": "2m"}));
    let path = "spec.failover.exclusive.fenceTimeout: is 2m, and pods of ";
    assert_refused(try_apply(&mut admin, short).await, Code::InvalidArgument, path);
    let default = ledger(&[deployment(&Value::Null)], &json!({"fenceTimeout": "10s"}));
    assert_refused(try_apply(&mut admin, default).await, Code::InvalidArgument, "may take 30s to end");
    apply(&mut admin, ledger(&[deployment(&json!(300))], &json!({"fenceTimeout": "5m"}))).await;
}

#[tokio::test]
async fn a_dead_hub_that_would_stop_work_is_warned_about() {
    let hub = TestHub::start().await;
    hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    let warned = |answer: &v1::ApplyApplicationResponse, part: &str| {
        answer.warnings.iter().any(|warning| warning.contains(part))
    };
    let by_agent = apply(&mut admin, ledger(&[config_map("a", "1")], &json!({}))).await;
    assert!(warned(&by_agent, "that hub's death would stop it"), "{:?}", by_agent.warnings);
    assert!(warned(&by_agent, "only 1 clusters match its placement"), "{:?}", by_agent.warnings);
    let by_storage = apply(&mut admin, ledger(&[config_map("a", "1")], &json!({"fence": "Storage"}))).await;
    assert!(!warned(&by_storage, "death"), "{:?}", by_storage.warnings);
    let idle = with_failover(application("idle", &[config_map("a", "1")]), json!({"mode": "Manual"}));
    let idle = apply(&mut admin, idle).await;
    assert!(warned(&idle, "spec.failover can do nothing"), "{:?}", idle.warnings);
}

#[tokio::test]
async fn what_runs_in_several_clusters_does_not_become_exclusive() {
    let hub = TestHub::start().await;
    let mut agents = joined(&hub, &["eu-1", "us-1"]).await;
    let mut admin = hub.admin().await;
    let manifests = [config_map("a", "1")];
    apply(&mut admin, counted("ledger", 2, &manifests)).await;
    for agent in &mut agents {
        agent.assignment().await;
        agent.report(false).await;
    }
    let refused = try_apply(&mut admin, ledger(&manifests, &json!({}))).await;
    let part = "spec.failover.mode: cannot become Exclusive now: it may run in 2 clusters (eu-1, us-1)";
    assert_refused(refused, Code::InvalidArgument, part);
    apply(&mut admin, counted("ledger", 1, &manifests)).await;
    // One of them is told to remove it, and may run it until it has said that it did.
    let refused = try_apply(&mut admin, ledger(&manifests, &json!({}))).await;
    assert_refused(refused, Code::InvalidArgument, "it may run in 2 clusters");
    for agent in &mut agents {
        if tokio::time::timeout(std::time::Duration::from_millis(300), agent.assignments()).await.is_ok() {
            agent.report(false).await;
        }
    }
    eventually("it becomes Exclusive where it runs", || {
        let (mut admin, manifests) = (admin.clone(), manifests.clone());
        async move {
            match try_apply(&mut admin, ledger(&manifests, &json!({}))).await {
                Ok(answer) => {
                    answer.warnings.iter().any(|it| it.contains("it becomes Exclusive where it runs, in "))
                }
                Err(_) => false,
            }
        }
    })
    .await;
    let back = apply(&mut admin, counted("ledger", 1, &manifests)).await;
    assert!(back.warnings.iter().any(|it| it.contains("no longer Exclusive")), "{:?}", back.warnings);
}
