//! A cluster to test on, and a client of it that counts.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::client::Body;
use serde_json::{Value, json};

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster, as a person or another controller uses it.
pub struct TestCluster {
    client: kube::Client,
    config: kube::Config,
    numbers: AtomicU64,
}

impl fmt::Debug for TestCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCluster").field("url", &self.config.cluster_url).finish_non_exhaustive()
    }
}

/// What was asked of an API server.
#[derive(Debug, Default)]
pub struct Requests {
    by_verb: Mutex<BTreeMap<&'static str, u64>>,
    paths: Mutex<Vec<String>>,
}

impl Requests {
    fn note<B>(&self, request: &Request<B>) {
        let query = request.uri().query().unwrap_or_default();
        let verb = match *request.method() {
            Method::GET if query.contains("watch=true") => "watch",
            Method::GET if query.contains("limit=") => "list",
            Method::GET if is_discovery(request.uri().path()) => "discover",
            Method::GET => "get",
            _ => "write",
        };
        *self.by_verb.lock().unwrap_or_else(PoisonError::into_inner).entry(verb).or_default() += 1;
        let line = format!("{} {}", request.method(), request.uri());
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// How many requests of a kind there were: `write`, `get`, `list`, `watch`, `discover`.
    #[must_use]
    pub fn count(&self, verb: &str) -> u64 {
        self.by_verb.lock().unwrap_or_else(PoisonError::into_inner).get(verb).copied().unwrap_or(0)
    }

    /// Forgets everything, and what was asked until then.
    pub fn take(&self) -> Vec<String> {
        self.by_verb.lock().unwrap_or_else(PoisonError::into_inner).clear();
        std::mem::take(&mut *self.paths.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn is_discovery(path: &str) -> bool {
    // /version, /api/v1, /apis, /apis/GROUP, /apis/GROUP/VERSION
    let segments = path.trim_matches('/').split('/').count();
    path == "/version"
        || (path.starts_with("/apis") && segments <= 3)
        || (path.starts_with("/api/") && segments <= 2)
}

#[derive(Clone)]
struct Counting {
    client: kube::Client,
    requests: Arc<Requests>,
}

impl tower::Service<Request<Body>> for Counting {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, kube::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.requests.note(&request);
        let client = self.client.clone();
        Box::pin(async move { client.send(request).await })
    }
}

impl TestCluster {
    /// The cluster behind a configuration.
    ///
    /// # Panics
    /// Where no client can be made of it.
    #[must_use]
    pub fn new(mut config: kube::Config) -> Self {
        config.read_timeout = None;
        config.default_retry = false;
        let client = kube::Client::try_from(config.clone()).expect("a client");
        Self { client, config, numbers: AtomicU64::new(0) }
    }

    /// A client for an agent, on connections of its own, that counts what is asked.
    ///
    /// # Panics
    /// Where no client can be made.
    #[must_use]
    pub fn counted_client(&self) -> (kube::Client, Arc<Requests>) {
        let requests = Arc::new(Requests::default());
        let client = kube::Client::try_from(self.config.clone()).expect("a client");
        let counting = Counting { client, requests: Arc::clone(&requests) };
        (kube::Client::new(counting, "default"), requests)
    }

    /// A client.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// A name that no other case has.
    #[must_use]
    pub fn name(&self, prefix: &str) -> String {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}-{}-{number}", std::process::id() % 10_000)
    }

    /// Makes a namespace with a name of its own, as a person would.
    ///
    /// # Panics
    /// Where that does not work.
    pub async fn namespace(&self, prefix: &str) -> String {
        let name = self.name(prefix);
        self.create(
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
            "kubectl-create",
        )
        .await;
        name
    }

    fn api(&self, reference: &Value) -> (Api<DynamicObject>, String) {
        let api_version = reference["apiVersion"].as_str().expect("apiVersion");
        let kind = reference["kind"].as_str().expect("kind");
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let plural = match kind {
            "Ingress" => "ingresses".to_owned(),
            "NetworkPolicy" => "networkpolicies".to_owned(),
            _ => format!("{}s", kind.to_lowercase()),
        };
        let resource = ApiResource {
            group: group.into(),
            version: version.into(),
            api_version: api_version.into(),
            kind: kind.into(),
            plural,
        };
        let name = reference["metadata"]["name"].as_str().expect("name").to_owned();
        let api = match reference["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        (api, name)
    }

    /// Creates an object under the name of a manager.
    ///
    /// # Panics
    /// Where that does not work.
    pub async fn create(&self, object: &Value, manager: &str) {
        let (api, name) = self.api(object);
        let object: DynamicObject = serde_json::from_value(object.clone()).expect("an object");
        let params = PostParams { field_manager: Some(manager.into()), ..PostParams::default() };
        api.create(&params, &object).await.unwrap_or_else(|error| panic!("create {name}: {error}"));
    }

    /// Reads an object; `None` where there is none.
    ///
    /// # Panics
    /// Where that does not work.
    pub async fn get(&self, reference: &Value) -> Option<Value> {
        let (api, name) = self.api(reference);
        match api.get(&name).await {
            Ok(object) => Some(serde_json::to_value(object).expect("an object has a JSON form")),
            // The object, or its kind, is not there.
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("read {name}: {error}"),
        }
    }

    /// Changes an object by a merge patch under the name of a manager, as `kubectl edit` does.
    ///
    /// # Panics
    /// Where that does not work.
    pub async fn edit(&self, reference: &Value, manager: &str, patch: Value) -> Value {
        let (api, name) = self.api(reference);
        let params = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
        let changed = api.patch(&name, &params, &Patch::Merge(patch)).await;
        let changed = changed.unwrap_or_else(|error| panic!("edit {name}: {error}"));
        serde_json::to_value(changed).expect("an object has a JSON form")
    }

    /// Applies an object under the name of a manager, with force.
    ///
    /// # Panics
    /// Where that does not work.
    pub async fn apply(&self, object: &Value, manager: &str) {
        let (api, name) = self.api(object);
        let params = PatchParams::apply(manager).force();
        api.patch(&name, &params, &Patch::Apply(object))
            .await
            .unwrap_or_else(|error| panic!("apply {name}: {error}"));
    }

    /// Scales a workload through its scale subresource under the name of a manager.
    ///
    /// # Panics
    /// Where that does not work.
    pub async fn scale(&self, reference: &Value, manager: &str, replicas: u32) {
        let (api, name) = self.api(reference);
        let params = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        api.patch_scale(&name, &params, &patch).await.unwrap_or_else(|error| panic!("scale {name}: {error}"));
    }

    /// Deletes an object; one that is gone already is no problem.
    ///
    /// # Panics
    /// Where that does not work.
    pub async fn delete(&self, reference: &Value) {
        let (api, name) = self.api(reference);
        match api.delete(&name, &DeleteParams::background()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => panic!("delete {name}: {error}"),
        }
    }

    /// Changes an object's status by a merge patch, as its controller does.
    ///
    /// # Panics
    /// Where that does not work.
    pub async fn edit_status(&self, reference: &Value, manager: &str, patch: Value) {
        let (api, name) = self.api(reference);
        let params = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
        let changed = api.patch_status(&name, &params, &Patch::Merge(patch)).await;
        changed.unwrap_or_else(|error| panic!("edit the status of {name}: {error}"));
    }

    /// Deletes an object at once, without waiting for whoever is to end it.
    ///
    /// # Panics
    /// Where that does not work.
    pub async fn delete_by_force(&self, reference: &Value) {
        let (api, name) = self.api(reference);
        let params = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        api.delete(&name, &params).await.unwrap_or_else(|error| panic!("delete {name}: {error}"));
    }

    /// Like [`Self::edit`], whether it works or not: the server may be away, or the object.
    pub async fn try_edit(&self, reference: &Value, manager: &str, patch: Value) {
        let (api, name) = self.api(reference);
        let params = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
        let _ = api.patch(&name, &params, &Patch::Merge(patch)).await;
    }

    /// Like [`Self::delete`], whether it works or not.
    pub async fn try_delete(&self, reference: &Value) {
        let (api, name) = self.api(reference);
        let _ = api.delete(&name, &DeleteParams::background()).await;
    }

    /// The names of all objects of a core kind in a namespace.
    ///
    /// # Panics
    /// Where they cannot be listed.
    pub async fn names(&self, kind: &str, namespace: &str) -> Vec<String> {
        let reference =
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "any", "namespace": namespace}});
        let (api, _) = self.api(&reference);
        let list = api.list(&kube::api::ListParams::default()).await;
        let list = list.unwrap_or_else(|error| panic!("list {kind} in {namespace}: {error}"));
        list.items.into_iter().filter_map(|item| item.metadata.name).collect()
    }

    /// Waits until an object is as it should be.
    ///
    /// # Panics
    /// Where that takes too long; the message holds the object.
    pub async fn wait(&self, reference: &Value, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let object = self.get(reference).await.unwrap_or(Value::Null);
            if is_so(&object) {
                return object;
            }
            assert!(tokio::time::Instant::now() < deadline, "{what}: still {object:#}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until an object is gone.
    ///
    /// # Panics
    /// Where that takes too long.
    pub async fn wait_gone(&self, reference: &Value) {
        self.wait(reference, "to be gone", Value::is_null).await;
    }
}
