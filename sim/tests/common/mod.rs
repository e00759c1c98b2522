//! What the tests of the simulated cluster share.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Client, Config as ClientConfig};
use nave_sim::{Cluster, Config};
use serde_json::Value;

pub async fn start() -> (Cluster, Client) {
    start_with(Config { ready_delay: Duration::from_millis(60), ..Config::default() }).await
}

pub async fn start_with(config: Config) -> (Cluster, Client) {
    let cluster = Cluster::start(config).await.unwrap();
    let client = client(&cluster);
    (cluster, client)
}

pub fn client(cluster: &Cluster) -> Client {
    let mut config = ClientConfig::new(cluster.url().parse().unwrap());
    config.default_retry = false; // Tests count requests.
    Client::try_from(config).unwrap()
}

pub fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

pub fn namespaced(client: &Client, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, resource)
}

pub async fn apply(
    api: &Api<DynamicObject>,
    object: &Value,
    manager: &str,
    force: bool,
) -> kube::Result<DynamicObject> {
    let mut parameters = PatchParams::apply(manager);
    if force {
        parameters = parameters.force();
    }
    let name = object["metadata"]["name"].as_str().unwrap();
    api.patch(name, &parameters, &Patch::Apply(object)).await
}

/// The object as JSON.
pub fn json(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap()
}

/// What a manager owns.
pub fn owned(object: &Value, manager: &str) -> Value {
    let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    list.into_iter()
        .find(|entry| entry["manager"] == manager)
        .map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

/// The code and message of a failed request.
pub fn failure(error: kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.message.clone()),
        other => panic!("not an answer of the API: {other:?}"),
    }
}

/// Waits until the condition holds, for five seconds.
pub async fn eventually<F, R>(what: &str, mut check: F)
where
    F: FnMut() -> R,
    R: Future<Output = bool>,
{
    for _ in 0..250 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never happened: {what}");
}
