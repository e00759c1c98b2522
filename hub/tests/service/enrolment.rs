//! Enrolment: who may join with which token, under which name.

use nave_common::identity::{self, Identity};
use nave_common::runtime::tls;
use nave_proto::v1;
use tonic::Code;
use zeroize::Zeroizing;

use crate::harness::{TestHub, assert_refused};

#[tokio::test]
async fn a_token_lets_a_cluster_join_and_its_name_is_its_identity() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[("region", "eu")]).await;
    let certificate = tls::certificates(&own.certificate_pem).unwrap().remove(0);
    assert_eq!(identity::from_certificate(&certificate).unwrap(), Identity::Cluster("eu-1".parse().unwrap()));
    let request = v1::GetClusterRequest { name: "eu-1".into() };
    let cluster = hub.admin().await.get_cluster(request).await.unwrap().into_inner().cluster.unwrap();
    let (metadata, spec) = (cluster.metadata.unwrap(), cluster.spec.unwrap());
    assert_eq!(metadata.labels.get("region").map(String::as_str), Some("eu"));
    assert_eq!(spec.uid, "uid-eu-1");
    assert!(metadata.created_at_ms > 0 && metadata.sequence > 0);
}

#[tokio::test]
async fn a_token_is_refused_when_it_is_wrong_expired_used_up_or_for_others() {
    let hub = TestHub::start().await;
    let once = hub.token(v1::CreateTokenRequest::default()).await;
    let mut wrong = once.clone();
    wrong.secret = Zeroizing::new("guess".into());
    let mut unknown = once.clone();
    unknown.id = "feedfacefeedface".into();
    for (bad, why) in [(&wrong, "token is wrong"), (&unknown, "knows no such token")] {
        assert_refused(hub.enroll_with(bad, "eu-1", "u", &[]).await, Code::PermissionDenied, why);
    }
    hub.enroll_with(&once, "eu-1", "u1", &[]).await.unwrap();
    assert_refused(hub.enroll_with(&once, "eu-2", "u2", &[]).await, Code::PermissionDenied, "used up");

    let short = hub.token(v1::CreateTokenRequest { lifetime_seconds: 1, ..Default::default() }).await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_refused(hub.enroll_with(&short, "eu-2", "u2", &[]).await, Code::PermissionDenied, "expired");

    let labels = [("env".to_owned(), "prod".to_owned())].into();
    let bound = v1::CreateTokenRequest { uses: 5, cluster: "eu-3".into(), labels, ..Default::default() };
    let bound = hub.token(bound).await;
    let other = hub.enroll_with(&bound, "eu-4", "u4", &[]).await;
    assert_refused(other, Code::PermissionDenied, "for cluster eu-3");
    let other = hub.enroll_with(&bound, "eu-3", "u3", &[("env", "dev")]).await;
    assert_refused(other, Code::PermissionDenied, "env=prod");
    hub.enroll_with(&bound, "eu-3", "u3", &[("zone", "a")]).await.unwrap();
}

#[tokio::test]
async fn a_name_stays_with_the_cluster_that_took_it() {
    let hub = TestHub::start().await;
    let token = hub.token(v1::CreateTokenRequest { uses: 5, ..Default::default() }).await;
    hub.enroll_with(&token, "eu-1", "first", &[]).await.unwrap();
    let thief = hub.enroll_with(&token, "eu-1", "second", &[]).await;
    assert_refused(thief, Code::FailedPrecondition, "another UID");
    hub.enroll_with(&token, "eu-1", "first", &[]).await.unwrap();
    let left = hub.admin().await.list_tokens(v1::ListTokensRequest {}).await.unwrap().into_inner().tokens;
    assert_eq!(left.first().map(|token| token.uses_left), Some(3), "a refused enrolment spends nothing");
}

#[tokio::test]
async fn a_cluster_is_in_the_fleet_under_one_name() {
    let hub = TestHub::start().await;
    let token = hub.token(v1::CreateTokenRequest { uses: 5, ..Default::default() }).await;
    hub.enroll_with(&token, "eu-1", "same", &[]).await.unwrap();
    let again = hub.enroll_with(&token, "eu-2", "same", &[]).await;
    assert_refused(again, Code::FailedPrecondition, "in the fleet already as eu-1");
    hub.enroll_with(&token, "eu-1", "same", &[]).await.unwrap();
    let left = hub.admin().await.list_tokens(v1::ListTokensRequest {}).await.unwrap().into_inner().tokens;
    assert_eq!(left.first().map(|token| token.uses_left), Some(3), "a refused enrolment spends nothing");
}

#[tokio::test]
async fn of_many_who_come_at_once_as_many_join_as_the_token_lets_in() {
    let hub = TestHub::start().await;
    let token = hub.token(v1::CreateTokenRequest { uses: 30, ..Default::default() }).await;
    let names: Vec<String> = (0..40).map(|index| format!("c-{index}")).collect();
    let all = names.iter().map(|name| hub.enroll_with(&token, name, name, &[]));
    let joined = futures::future::join_all(all).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(joined, 30);
}

#[tokio::test]
async fn tokens_are_listed_without_their_secret_and_taken_back() {
    let hub = TestHub::start().await;
    let token = hub.token(v1::CreateTokenRequest::default()).await;
    let mut admin = hub.admin().await;
    let listed = admin.list_tokens(v1::ListTokensRequest {}).await.unwrap().into_inner().tokens;
    assert_eq!(listed.len(), 1);
    assert!(!format!("{listed:?}").contains(token.secret.as_str()));
    assert_eq!(listed[0].created_by, "admin");
    admin.delete_token(v1::DeleteTokenRequest { id: token.id.clone() }).await.unwrap();
    assert_refused(hub.enroll_with(&token, "eu-1", "u", &[]).await, Code::PermissionDenied, "no such token");
    let again = admin.delete_token(v1::DeleteTokenRequest { id: token.id.clone() }).await;
    assert_refused(again, Code::NotFound, "nave token list");
}
