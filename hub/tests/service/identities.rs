//! Identities: who may call what.

use nave_proto::v1;
use nave_proto::v1::agent_service_client::AgentServiceClient;
use nave_proto::v1::fleet_service_client::FleetServiceClient;
use tokio_stream::StreamExt;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::harness::{TestHub, assert_refused};

#[tokio::test]
async fn agents_and_people_are_refused_on_each_other_s_service() {
    let hub = TestHub::start().await;
    let agent = hub.channel(Some(&hub.enroll("eu-1", &[]).await)).await;
    let refused = FleetServiceClient::new(agent.clone()).get_hub(v1::GetHubRequest {}).await;
    assert_refused(refused, Code::PermissionDenied, "FleetService is for people");
    let person = hub.admin_channel().await;
    let refused = AgentServiceClient::new(person.clone()).sync(tokio_stream::empty()).await;
    assert_refused(refused.map(|_| ()), Code::PermissionDenied, "AgentService is for agents");
    let refused = AgentServiceClient::new(person).fetch_bundle(v1::FetchBundleRequest::default()).await;
    assert_refused(refused.map(|_| ()), Code::PermissionDenied, "AgentService is for agents");
    let refused = HealthClient::new(agent).check(HealthCheckRequest::default()).await;
    assert_refused(refused, Code::PermissionDenied, "");
}

#[tokio::test]
async fn nobody_may_only_enroll() {
    let hub = TestHub::start().await;
    let nobody = hub.channel(None).await;
    let refused = FleetServiceClient::new(nobody.clone()).get_hub(v1::GetHubRequest {}).await;
    assert_refused(refused, Code::Unauthenticated, "no certificate");
    let refused = AgentServiceClient::new(nobody.clone()).sync(tokio_stream::empty()).await;
    assert_refused(refused.map(|_| ()), Code::Unauthenticated, "no certificate");
    let refused = AgentServiceClient::new(nobody).enroll(v1::EnrollRequest::default()).await;
    assert_refused(refused, Code::InvalidArgument, "cluster");
}

#[tokio::test]
async fn health_and_reflection_answer_people() {
    let hub = TestHub::start().await;
    let person = hub.admin_channel().await;
    let request = HealthCheckRequest { service: "nave.v1.FleetService".into() };
    let health = HealthClient::new(person.clone()).check(request).await.unwrap().into_inner();
    assert_eq!(health.status, 1);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol("nave.v1.AgentService".into())),
    };
    let mut answers = ServerReflectionClient::new(person)
        .server_reflection_info(Request::new(tokio_stream::once(request)))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.next().await.unwrap().unwrap();
    assert!(format!("{:?}", answer.message_response).contains("FileDescriptorResponse"));
}
