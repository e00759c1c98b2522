//! Bundles: uploaded by people, fetched by the agents that are told to run them.

use nave_common::bundle::Bundle;
use nave_common::digest::Digest;
use nave_common::runtime::tls::Credentials;
use nave_proto::v1;
use nave_proto::v1::agent_service_client::AgentServiceClient;
use nave_proto::v1::upload_bundle_request::Part;
use rand::{RngExt as _, SeedableRng as _};
use tonic::{Code, Status};

use crate::agent::{Agent, Disk};
use crate::harness::{Fleet, TestHub, application, apply, assert_refused, config_map};

/// A bundle that does not compress well, of about `size_bytes`.
fn large(size_bytes: usize) -> Bundle {
    let mut random = rand::rngs::SmallRng::seed_from_u64(7);
    let mut text = || -> String { (0..size_bytes / 8).map(|_| random.random_range('a'..='z')).collect() };
    Bundle::from_objects((0..8).map(|index| config_map(&format!("c{index}"), &text()))).unwrap()
}

async fn upload(
    fleet: &mut Fleet,
    digest: Digest,
    size_bytes: usize,
    bytes: &[u8],
) -> Result<v1::UploadBundleResponse, Status> {
    let open = v1::UploadBundleOpen { digest: digest.to_string(), size_bytes: size_bytes as u64 };
    let mut parts = vec![v1::UploadBundleRequest { part: Some(Part::Open(open)) }];
    for chunk in bytes.chunks(100_000) {
        parts.push(v1::UploadBundleRequest { part: Some(Part::Chunk(chunk.to_vec().into())) });
    }
    Ok(fleet.upload_bundle(tokio_stream::iter(parts)).await?.into_inner())
}

async fn fetch(
    hub: &TestHub,
    own: &Credentials,
    digest: &str,
    offset: u64,
) -> Result<(Vec<u8>, u64, usize), Status> {
    let mut client = AgentServiceClient::new(hub.channel(Some(own)).await);
    let request = v1::FetchBundleRequest { digest: digest.into(), offset };
    let mut stream = client.fetch_bundle(request).await?.into_inner();
    let (mut body, mut size_bytes, mut count) = (Vec::new(), 0, 0);
    while let Some(part) = stream.message().await? {
        body.extend_from_slice(&part.chunk);
        size_bytes = part.compressed_bytes;
        count += 1;
    }
    Ok((body, size_bytes, count))
}

fn with_bundle(name: &str, digest: Digest) -> v1::Application {
    let mut application = application(name, &[]);
    let kind =
        v1::source::Kind::Bundle(v1::BundleSource { path: "deploy/prod".into(), digest: digest.to_string() });
    application.spec.as_mut().unwrap().source = Some(v1::Source { kind: Some(kind) });
    application
}

#[tokio::test]
async fn an_uploaded_bundle_reaches_the_agent_that_runs_it_also_after_a_cut() {
    let hub = TestHub::start().await;
    let (runs, other) = (hub.enroll("eu-1", &[("env", "prod")]).await, hub.enroll("eu-2", &[]).await);
    let mut admin = hub.admin().await;
    let bundle = large(1 << 20);
    let bytes = bundle.encode();
    let answer = upload(&mut admin, bundle.digest(), bytes.len(), &bytes).await.unwrap();
    assert_eq!(answer.object_count, 8);
    let mut shop = with_bundle("shop", bundle.digest());
    let selector =
        v1::Selector { match_labels: [("env".to_owned(), "prod".to_owned())].into(), ..Default::default() };
    shop.spec.as_mut().unwrap().placement =
        Some(v1::Placement { clusters: Some(selector), ..Default::default() });
    let applied = apply(&mut admin, shop).await;
    assert_eq!(applied.application.unwrap().status.unwrap().origin, "bundle deploy/prod");
    Agent::connect(&hub, &runs, "eu-1", Disk::new()).await.assignment().await;
    let digest = bundle.digest().to_string();
    let (whole, size_bytes, count) = fetch(&hub, &runs, &digest, 0).await.unwrap();
    assert_eq!(whole.len() as u64, size_bytes);
    assert!(count > 1, "{count}");
    assert_eq!(zstd::bulk::decompress(&whole, 4 << 20).unwrap(), bytes);
    let (rest, _, _) = fetch(&hub, &runs, &digest, 300_000).await.unwrap();
    assert_eq!(rest, whole[300_000..]);
    assert_eq!(fetch(&hub, &runs, &digest, size_bytes).await.unwrap(), (Vec::new(), size_bytes, 1));
    assert_refused(fetch(&hub, &runs, &digest, size_bytes + 1).await, Code::InvalidArgument, "offset");
    assert_refused(fetch(&hub, &other, &digest, 0).await, Code::PermissionDenied, "no assignment");
    assert_refused(fetch(&hub, &runs, "sha256:0", 0).await, Code::InvalidArgument, "digest");
}

#[tokio::test]
async fn an_upload_that_is_not_what_it_says_is_not_kept() {
    let hub = TestHub::start().await;
    let mut admin = hub.admin().await;
    let bundle = large(100_000);
    let bytes = bundle.encode();
    let (digest, size_bytes) = (bundle.digest(), bytes.len());
    let wrong = Digest::of(b"other");
    assert_refused(upload(&mut admin, wrong, size_bytes, &bytes).await, Code::InvalidArgument, "open.digest");
    let short = upload(&mut admin, digest, size_bytes, &bytes[..50_000]).await;
    assert_refused(short, Code::InvalidArgument, "announced");
    let long = upload(&mut admin, digest, size_bytes - 1, &bytes).await;
    assert_refused(long, Code::InvalidArgument, "announced");
    let huge = upload(&mut admin, digest, 1 << 40, &bytes).await;
    assert_refused(huge, Code::InvalidArgument, "open.sizeBytes");
    let none = upload(&mut admin, Digest::of(b"{}"), 2, b"{}").await;
    assert_refused(none, Code::InvalidArgument, "chunk");
    let refused = crate::harness::try_apply(&mut admin, with_bundle("shop", digest)).await;
    assert_refused(refused, Code::FailedPrecondition, "upload it first");
}
