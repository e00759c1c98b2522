//! What people say of failover: orders, freezes, maintenance, cordons; and what they are shown.

use nave_common::failover::HubFailover;
use nave_proto::v1;
use serde_json::{Value, json};
use tonic::Code;

use crate::agent::{Agent, Disk};
use crate::harness::{Fleet, TestHub, application, apply, assert_refused, config_map, eventually, key};

/// An application that wants `count` clusters.
pub(crate) fn counted(name: &str, count: u32, manifests: &[Value]) -> v1::Application {
    let mut application = application(name, manifests);
    let spec = application.spec.as_mut().unwrap();
    spec.placement = Some(v1::Placement { count: Some(count), ..Default::default() });
    application
}

/// An application with this failover section.
pub(crate) fn with_failover(mut application: v1::Application, failover: Value) -> v1::Application {
    let failover: nave_common::failover::Failover = serde_json::from_value(failover).unwrap();
    application.spec.as_mut().unwrap().failover = Some((&failover).into());
    application
}

pub(crate) fn move_order(from: &str, to: &str) -> v1::order::What {
    v1::order::What::Move(v1::OrderMove { from: from.into(), to: to.into() })
}

pub(crate) fn order(name: &str, what: v1::order::What) -> v1::OrderFailoverRequest {
    let order = v1::Order { what: Some(what), ..Default::default() };
    v1::OrderFailoverRequest { application: key(name), order: Some(order), dry_run: false }
}

pub(crate) async fn standing(fleet: &mut Fleet, name: &str) -> v1::FailoverView {
    let answer = fleet.get_failover(v1::GetFailoverRequest { application: key(name) }).await.unwrap();
    answer.into_inner().failover.unwrap()
}

/// Clusters that are connected.
pub(crate) async fn joined(hub: &TestHub, names: &[&str]) -> Vec<Agent> {
    let mut agents = Vec::new();
    for name in names {
        let own = hub.enroll(name, &[("region", &name[..2])]).await;
        agents.push(Agent::connect(hub, &own, name, Disk::new()).await);
    }
    agents
}

#[tokio::test]
async fn a_move_that_makes_no_sense_is_refused_with_what_does() {
    let hub = TestHub::start().await;
    let _agents = joined(&hub, &["eu-1"]).await;
    hub.enroll("us-1", &[]).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, application("everywhere", &[config_map("a", "1")])).await;
    apply(&mut admin, counted("shop", 1, &[config_map("a", "1")])).await;
    eventually("shop runs", || {
        let mut admin = admin.clone();
        async move { standing(&mut admin, "shop").await.active == ["eu-1"] }
    })
    .await;
    let refused = |code: Code, request: v1::OrderFailoverRequest, part: &'static str| {
        let mut admin = admin.clone();
        async move { assert_refused(admin.order_failover(request).await, code, part) }
    };
    let failed = Code::FailedPrecondition;
    refused(Code::NotFound, order("none", move_order("", "")), "there is no application").await;
    refused(failed, order("everywhere", move_order("", "")), "set spec.placement.count").await;
    refused(failed, order("shop", move_order("us-1", "")), "does not run in us-1; it runs in eu-1").await;
    refused(failed, order("shop", move_order("", "eu-1")), "runs in eu-1 already").await;
    refused(Code::NotFound, order("shop", move_order("", "mars-1")), "there is no cluster mars-1").await;
    refused(failed, order("shop", move_order("eu-1", "us-1")), "us-1 is Unheard").await;
    refused(Code::InvalidArgument, order("shop", move_order("EU", "")), "order.move.from: ").await;
    let approve = v1::order::What::Approve(v1::OrderApprove { number: 7 });
    refused(Code::NotFound, order("shop", approve), "has no move 7: nothing of it moves").await;
    let abort = v1::order::What::Abort(v1::OrderAbort { number: 1 });
    refused(Code::NotFound, order("shop", abort), "has no move 1").await;
    let dead = v1::OrderConfirmFenced { cluster: "eu-1".into(), epoch: 9, by_webhook: false };
    refused(failed, order("shop", v1::order::What::ConfirmFenced(dead)), "holds no exclusive lease").await;
    let none = v1::OrderFailoverRequest { application: key("shop"), order: None, dry_run: false };
    refused(Code::InvalidArgument, none, "order: is missing").await;
    assert_eq!(standing(&mut admin, "shop").await.state.unwrap().orders, [], "nothing was ordered");
}

#[tokio::test]
async fn a_cluster_that_takes_nothing_new_is_no_target() {
    let hub = TestHub::start().await;
    let _agents = joined(&hub, &["eu-1", "us-1"]).await;
    let mut admin = hub.admin().await;
    let mut cordoned = cluster(&mut admin, "us-1").await;
    cordoned.spec.as_mut().unwrap().cordoned = true;
    apply_cluster(&mut admin, cordoned).await;
    let mut shop = counted("shop", 1, &[config_map("a", "1")]);
    let only_eu = v1::Placement { count: Some(1), regions: vec!["eu".into()], ..Default::default() };
    shop.spec.as_mut().unwrap().placement = Some(only_eu);
    apply(&mut admin, shop).await;
    eventually("shop runs", || {
        let mut admin = admin.clone();
        async move { standing(&mut admin, "shop").await.active == ["eu-1"] }
    })
    .await;
    let refused = admin.order_failover(order("shop", move_order("", "us-1"))).await;
    assert_refused(refused, Code::FailedPrecondition, "us-1 is cordoned: nothing new comes there");
    let mut open = cluster(&mut admin, "us-1").await;
    open.spec.as_mut().unwrap().cordoned = false;
    apply_cluster(&mut admin, open).await;
    let refused = admin.order_failover(order("shop", move_order("", "us-1"))).await;
    assert_refused(refused, Code::FailedPrecondition, "cannot run in cluster us-1: ");
}

async fn cluster(fleet: &mut Fleet, name: &str) -> v1::Cluster {
    fleet
        .get_cluster(v1::GetClusterRequest { name: name.into() })
        .await
        .unwrap()
        .into_inner()
        .cluster
        .unwrap()
}

async fn apply_cluster(fleet: &mut Fleet, cluster: v1::Cluster) -> v1::Cluster {
    let request = v1::ApplyClusterRequest { cluster: Some(cluster), dry_run: false };
    fleet.apply_cluster(request).await.unwrap().into_inner().cluster.unwrap()
}

#[tokio::test]
async fn a_drain_outlives_an_apply_that_says_nothing_of_it() {
    let hub = TestHub::start().await;
    hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    let mut drained = cluster(&mut admin, "eu-1").await;
    drained.spec.as_mut().unwrap().drained = true;
    apply_cluster(&mut admin, drained).await;
    let labels = [("region".to_owned(), "eu".to_owned())].into();
    let metadata = v1::ClusterMetadata { name: "eu-1".into(), labels, ..Default::default() };
    let blind = v1::Cluster { metadata: Some(metadata), ..Default::default() };
    let shown = apply_cluster(&mut admin, blind).await;
    assert!(shown.spec.as_ref().unwrap().drained, "who has not looked ends no drain");
    let mut looked = shown;
    looked.spec.as_mut().unwrap().drained = false;
    assert!(!apply_cluster(&mut admin, looked).await.spec.unwrap().drained);
    let events = admin.list_events(v1::ListEventsRequest { cluster: "eu-1".into(), ..Default::default() });
    let reasons: Vec<String> =
        events.await.unwrap().into_inner().events.into_iter().map(|event| event.reason).collect();
    for reason in ["ClusterDrained", "ClusterChanged", "ClusterUncordoned"] {
        assert!(reasons.iter().any(|it| it == reason), "{reasons:?}");
    }
}

async fn hub_failover(fleet: &mut Fleet) -> HubFailover {
    let hub = fleet.get_hub(v1::GetHubRequest {}).await.unwrap().into_inner();
    hub.failover.unwrap().try_into().unwrap()
}

#[tokio::test]
async fn a_freeze_and_a_maintenance_are_durable_and_said_by_the_hub() {
    let hub = TestHub::start_with(|_| {}).await;
    let mut admin = hub.admin().await;
    let frozen = admin.set_freeze(v1::SetFreezeRequest { frozen: true }).await.unwrap().into_inner();
    assert!(frozen.failover.unwrap().frozen.unwrap().reason.contains("admin"));
    let too_long = admin.set_maintenance(v1::SetMaintenanceRequest { seconds: 86_401 }).await;
    assert_refused(too_long, Code::InvalidArgument, "expected at most 86400");
    admin.set_maintenance(v1::SetMaintenanceRequest { seconds: 1800 }).await.unwrap();
    let hub = hub.restart().await;
    let mut admin = hub.admin().await;
    let said = hub_failover(&mut admin).await;
    assert!(said.frozen.is_some_and(|frozen| frozen.reason.contains("admin")));
    assert!(said.maintenance_until.is_some());
    let ended = admin.set_maintenance(v1::SetMaintenanceRequest { seconds: 0 }).await.unwrap().into_inner();
    assert_eq!(ended.failover.unwrap().maintenance_until_ms, 0);
    let thawed = admin.set_freeze(v1::SetFreezeRequest { frozen: false }).await.unwrap().into_inner();
    assert!(thawed.failover.unwrap().frozen.is_none_or(|frozen| !frozen.reason.contains("admin")));
}

#[tokio::test]
async fn applications_that_can_move_are_listed_in_pages() {
    let hub = TestHub::start().await;
    hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, application("everywhere", &[config_map("a", "1")])).await;
    for name in ["a", "b", "retail/c"] {
        apply(&mut admin, counted(name, 1, &[config_map("a", "1")])).await;
    }
    let said = with_failover(application("d", &[config_map("a", "1")]), json!({"priority": 7}));
    apply(&mut admin, said).await;
    let mut names = Vec::new();
    let mut request = v1::ListFailoversRequest { page_size: 2, ..Default::default() };
    loop {
        let page = admin.list_failovers(request.clone()).await.unwrap().into_inner();
        names.extend(page.failovers.into_iter().map(|it| it.state.unwrap().application.unwrap().name));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "d", "c"]);
    let retail = v1::ListFailoversRequest { project: "retail".into(), ..Default::default() };
    assert_eq!(admin.list_failovers(retail).await.unwrap().into_inner().failovers.len(), 1);
    let none = admin.get_failover(v1::GetFailoverRequest { application: key("none") }).await;
    assert_refused(none, Code::NotFound, "there is no application default/none");
}

#[tokio::test]
async fn an_order_is_the_caller_s_whatever_it_says_and_is_told_of() {
    let hub = TestHub::start().await;
    let mut agents = joined(&hub, &["eu-1", "us-1"]).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, counted("shop", 1, &[config_map("a", "1")])).await;
    let active = |admin: &Fleet, wanted: &'static [&'static str]| {
        let mut admin = admin.clone();
        async move { standing(&mut admin, "shop").await.active == wanted }
    };
    eventually("shop runs", || async { !active(&admin, &[]).await }).await;
    let from = standing(&mut admin, "shop").await.active[0].clone();
    let (here, there) = if from == "eu-1" { (0, 1) } else { (1, 0) };
    agents[here].assignment().await;
    agents[here].report(false).await;
    let mut forged = order("shop", move_order("", ""));
    let inner = forged.order.as_mut().unwrap();
    (inner.by, inner.at_ms, inner.change_id) = ("mallory".into(), 1, "forged".into());
    let dry = v1::OrderFailoverRequest { dry_run: true, ..forged.clone() };
    admin.order_failover(dry).await.unwrap();
    let mut request = tonic::Request::new(forged);
    request.metadata_mut().insert("nave-change-id", "night-7".parse().unwrap());
    let answer = admin.order_failover(request).await.unwrap().into_inner();
    assert_eq!(answer.change_id, "night-7");
    let request = v1::ListEventsRequest { application: key("shop"), ..Default::default() };
    let events = admin.list_events(request).await.unwrap().into_inner().events;
    let ordered: Vec<&v1::Event> = events.iter().filter(|event| event.reason == "FailoverOrdered").collect();
    assert_eq!(ordered.len(), 1, "a dry run orders nothing");
    assert_eq!(ordered[0].message, format!("admin ordered: it leaves {from}"));
    assert_eq!(ordered[0].change_id, "night-7");
    // Made before it breaks: while the new copy is not Healthy, the old one runs, and the move can be given up.
    agents[there].assignment().await;
    let again = admin.order_failover(order("shop", move_order(&from, ""))).await;
    assert_refused(again, Code::FailedPrecondition, "is under way; wait until it is done");
    let approve = v1::order::What::Approve(v1::OrderApprove { number: 1 });
    let approve = admin.order_failover(order("shop", approve)).await;
    assert_refused(approve, Code::FailedPrecondition, "needs no approval");
    let abort = v1::order::What::Abort(v1::OrderAbort { number: 1 });
    admin.order_failover(order("shop", abort.clone())).await.unwrap();
    eventually("it is given up", || async {
        !standing(&mut admin.clone(), "shop").await.state.unwrap().history.is_empty()
    })
    .await;
    let over = admin.order_failover(order("shop", abort)).await;
    assert_refused(over, Code::FailedPrecondition, "Aborted) of application default/shop is over");
}

#[tokio::test]
async fn a_drain_is_ended_by_an_uncordon_and_not_by_giving_moves_up() {
    let hub = TestHub::start().await;
    let _agents = joined(&hub, &["eu-1", "us-1"]).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, counted("shop", 1, &[config_map("a", "1")])).await;
    eventually("shop runs", || {
        let mut admin = admin.clone();
        async move { !standing(&mut admin, "shop").await.active.is_empty() }
    })
    .await;
    let from = standing(&mut admin, "shop").await.active[0].clone();
    let mut drained = cluster(&mut admin, &from).await;
    drained.spec.as_mut().unwrap().drained = true;
    apply_cluster(&mut admin, drained).await;
    eventually("it moves", || {
        let mut admin = admin.clone();
        async move { !standing(&mut admin, "shop").await.state.unwrap().moves.is_empty() }
    })
    .await;
    let abort = v1::order::What::Abort(v1::OrderAbort { number: 1 });
    let refused = admin.order_failover(order("shop", abort)).await;
    assert_refused(refused, Code::FailedPrecondition, &format!("nave uncordon {from} ends the drain"));
}

#[tokio::test]
async fn a_pretended_loss_names_what_is_there() {
    let hub = TestHub::start().await;
    let _agents = joined(&hub, &["eu-1", "us-1"]).await;
    let mut admin = hub.admin().await;
    let none = admin.plan_failover(v1::PlanFailoverRequest::default()).await;
    assert_refused(none, Code::InvalidArgument, "say what is lost");
    let request = v1::PlanFailoverRequest { clusters: vec!["mars-1".into()], regions: Vec::new() };
    assert_refused(admin.plan_failover(request).await, Code::NotFound, "there is no cluster mars-1");
    let request = v1::PlanFailoverRequest { clusters: Vec::new(), regions: vec!["mars".into()] };
    assert_refused(admin.plan_failover(request).await, Code::NotFound, "no cluster is in region \"mars\"");
    let request = v1::PlanFailoverRequest { clusters: Vec::new(), regions: vec!["eu".into()] };
    let plan = admin.plan_failover(request).await.unwrap().into_inner().plan.unwrap();
    assert_eq!((plan.lost, plan.moves.len()), (vec!["eu-1".to_owned()], 0));
}
