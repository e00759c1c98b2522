//! Applying 1,000 objects to one real API server, beside what that server takes at best, in one run; the pass in which
//! nothing changed; and one change on its way from the hub to a cluster.
//!
//! Prints medians. The budget: the objects are applied at no less than 90 % of the rate of a bare client at its best
//! concurrency, both from the first request to the last answer; no write where nothing changed; a change live in 10 ms at
//! the median and 50 ms at the 99th percentile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use nave_agent::agent::{Agent, Options};
use nave_agent::connection::dial::Credentials;
use nave_common::bundle::Bundle;
use nave_common::manifest::Manifest;
use nave_common::token::TokenText;
use nave_hub::{Config, Hub};
use nave_proto::v1;
use nave_proto::v1::fleet_service_client::FleetServiceClient;
use nave_tests::kube::{ControlPlane, Unavailable};
use serde_json::{Value, json};
use tonic::transport::Channel;

const OBJECTS: usize = 1000;
/// The objects of an application of ordinary size.
const SMALL: usize = 10;
const VALUE_BYTES: usize = 1000;
const ROUNDS: usize = 5;
const CHANGES: usize = 100;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if let Ok(filter) = std::env::var("NAVE_LOG") {
        nave_common::runtime::telemetry::init("text", &filter)?;
    }
    let tools = match ControlPlane::build() {
        Ok(tools) => tools,
        Err(Unavailable::NoGo(why)) => {
            println!("skipped: {why}");
            return Ok(());
        }
        Err(failed) => return Err(failed.into()),
    };
    let plane = ControlPlane::start(&tools, 1).await?;
    let mut bench = Bench::start(&plane).await?;
    bench.thousand_objects(&plane).await?;
    bench.nothing_changed().await?;
    let namespace = bench.namespace("small").await?;
    bench.apply("small", &namespace, SMALL).await?;
    bench.one_change("small", &namespace, SMALL).await?;
    bench.one_change("objects-0", "bench-nave-0", OBJECTS).await?;
    bench.stop_agent().await;
    bench.hub.shutdown().await;
    Ok(())
}

/// One hub, one agent on one real API server, and a count of what the agent asks of it.
struct Bench {
    hub: Hub,
    agent: Option<Agent>,
    agent_client: kube::Client,
    options: Box<dyn Fn() -> Options>,
    fleet: FleetServiceClient<Channel>,
    bare: kube::Client,
    requests: Arc<Requests>,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start(plane: &ControlPlane) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let hub = Hub::start(Config::local(folder.path().join("hub"))).await?;
        let mut fleet = nave_tests::clients::fleet(&hub).await?;
        let text = fleet.create_token(v1::CreateTokenRequest::default()).await?.into_inner().text;
        let bare = nave_agent::start::kube_client(Some(plane.kubeconfig())).await?;
        let requests = Arc::new(Requests::default());
        let agent_client = nave_tests::clients::counted(plane.kubeconfig(), requests.clone()).await?;
        let uid = nave_agent::start::cluster_uid(&bare).await?;
        let token = TokenText::parse(&text)?;
        let identity = nave_agent::identity::enroll(&token, "eu-1".parse()?, Default::default(), uid).await?;
        let data_dir = folder.path().join("agent");
        let options = Box::new(move || Options {
            dial: Arc::new(Credentials::of(&identity)),
            identity: identity.clone(),
            data_dir: data_dir.clone(),
            reconcile: nave_agent::reconcile::Config::default(),
            clock: Arc::new(nave_agent::clock::SystemClock),
        });
        let agent = Some(Agent::start(agent_client.clone(), options())?);
        Ok(Self { hub, agent, agent_client, options, fleet, bare, requests, _folder: folder })
    }

    async fn thousand_objects(&mut self, plane: &ControlPlane) -> anyhow::Result<()> {
        let (mut whole, mut kubectl) = (Vec::new(), Vec::new());
        let (mut before, mut applying, mut after) = (Vec::new(), Vec::new(), Vec::new());
        let mut ceilings = [8, 16, 32].map(|concurrency| (concurrency, Vec::new()));
        for round in 0..ROUNDS {
            for (concurrency, times) in &mut ceilings {
                let namespace = self.namespace(&format!("bare-{concurrency}-{round}")).await?;
                times.push(self.bare_apply(&namespace, *concurrency).await?);
                self.empty(&namespace).await?;
            }
            let namespace = self.namespace(&format!("kubectl-{round}")).await?;
            kubectl.push(kubectl_apply(plane, &namespace).await?);
            self.empty(&namespace).await?;
            let namespace = self.namespace(&format!("nave-{round}")).await?;
            self.requests.start_span();
            let (from, to) = self.apply(&format!("objects-{round}"), &namespace, OBJECTS).await?;
            let (first, last) = self.requests.span().context("no object was applied")?;
            whole.push(to - from);
            before.push(first - from);
            applying.push(last - first);
            after.push(to.saturating_duration_since(last));
        }
        println!("{OBJECTS} ConfigMaps of {VALUE_BYTES} bytes to one real API server, medians of {ROUNDS}");
        let mut best = Duration::MAX;
        for (concurrency, times) in &mut ceilings {
            let time = median(times);
            best = best.min(time);
            println!("  bare client, {concurrency:>2} in flight      {}", seconds(time));
        }
        println!("  kubectl apply --server-side     {}", seconds(median(&mut kubectl)));
        let percent = |time: Duration| 100.0 * best.as_secs_f64() / time.as_secs_f64();
        let (whole, applying) = (median(&mut whole), median(&mut applying));
        println!(
            "  nave, first object to last      {}   {:.0} % of the bare client's best (budget 90 %)",
            seconds(applying),
            percent(applying)
        );
        println!(
            "  nave, apply to in sync on hub   {}   {:.0} %: {} before the first object (hub, wire, inventory), {} after the last",
            seconds(whole),
            percent(whole),
            millis(median(&mut before)),
            millis(median(&mut after)),
        );
        Ok(())
    }

    /// An agent that restarts and finds everything as it should be.
    async fn nothing_changed(&mut self) -> anyhow::Result<()> {
        self.stop_agent().await;
        let before = self.requests.snapshot();
        self.agent = Some(Agent::start(self.agent_client.clone(), (self.options)())?);
        self.in_sync(ROUNDS).await?;
        let (reads, writes) = self.requests.since(before);
        println!(
            "a pass over {} objects in which nothing changed: {writes} writes (budget 0), {reads} reads",
            ROUNDS * OBJECTS
        );
        let last = self.requests.last_write.lock().map(|last| last.clone()).unwrap_or_default();
        ensure!(writes == 0, "a pass in which nothing changed wrote {writes} times, last {last}");
        Ok(())
    }

    /// One object of an application is changed on the hub and watched in the cluster.
    async fn one_change(&mut self, name: &str, namespace: &str, objects: usize) -> anyhow::Result<()> {
        let api: Api<ConfigMap> = Api::namespaced(self.bare.clone(), namespace);
        // From the upload on, from the apply on, and from the hub's answer to it on, which follows its commit.
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for change in 1..=CHANGES {
            let wanted = change.to_string();
            let list = api.list(&ListParams::default().limit(1)).await?;
            let from = list.metadata.resource_version.context("the list has no resourceVersion")?;
            let mut events =
                api.watch(&WatchParams::default().fields("metadata.name=object-0"), &from).await?.boxed();
            let writes = self.requests.snapshot();
            let bundle = bundle(&wanted, objects)?;
            let upload_at = Instant::now();
            let request = self.request(name, namespace, &bundle).await?;
            let apply_at = Instant::now();
            let mut fleet = self.fleet.clone();
            let answered_at = async move {
                fleet.apply_application(request).await?;
                anyhow::Ok(Instant::now())
            };
            let live_at = async {
                while let Some(event) = events.next().await {
                    if let WatchEvent::Modified(object) = event?
                        && object.data.is_some_and(|data| data.get("version") == Some(&wanted))
                    {
                        break;
                    }
                }
                anyhow::Ok(Instant::now())
            };
            let (answered_at, live_at) = futures::future::try_join(answered_at, live_at).await?;
            for (times, since) in times.iter_mut().zip([upload_at, apply_at, answered_at]) {
                times.push(live_at.saturating_duration_since(since));
            }
            self.in_sync(ROUNDS + 1).await?;
            let count = self.requests.since(writes).1;
            ensure!(count <= 3, "one changed object took {count} writes");
        }
        println!("one object of {objects} changed, until it is live in the cluster, {CHANGES} times");
        let names =
            ["upload, apply, live", "apply, live", "committed and answered, live (budget 10 ms, 50 ms)"];
        for (name, mut times) in names.iter().zip(times) {
            times.sort();
            let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
            println!("  {name:<50}  p50 {:>5}  p99 {:>5}", millis(p50), millis(p99));
        }
        Ok(())
    }

    async fn stop_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.stop().await;
        }
    }

    async fn namespace(&self, name: &str) -> anyhow::Result<String> {
        let name = format!("bench-{name}");
        let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.bare.clone());
        let object = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        api.create(&PostParams::default(), &object).await?;
        Ok(name)
    }

    async fn empty(&self, namespace: &str) -> anyhow::Result<()> {
        let api: Api<ConfigMap> = Api::namespaced(self.bare.clone(), namespace);
        api.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        Ok(())
    }

    async fn bare_apply(&self, namespace: &str, concurrency: usize) -> anyhow::Result<Duration> {
        let api: Api<ConfigMap> = Api::namespaced(self.bare.clone(), namespace);
        let by = PatchParams::apply("bench");
        let objects: Vec<Value> = (0..OBJECTS).map(|index| object(index, "0")).collect();
        let started = Instant::now();
        let mut answers = futures::stream::iter(&objects)
            .map(|object| {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                let (api, by) = (api.clone(), by.clone());
                async move { api.patch(name, &by, &Patch::Apply(object)).await }
            })
            .buffer_unordered(concurrency);
        while let Some(answer) = answers.next().await {
            answer?;
        }
        Ok(started.elapsed())
    }

    /// When the hub was asked, and when it showed all in sync.
    async fn apply(
        &mut self,
        name: &str,
        namespace: &str,
        objects: usize,
    ) -> anyhow::Result<(Instant, Instant)> {
        let request = self.request(name, namespace, &bundle("0", objects)?).await?;
        let started = Instant::now();
        self.fleet.apply_application(request).await?;
        let count = self.fleet.list_applications(v1::ListApplicationsRequest::default()).await?;
        self.in_sync(count.into_inner().applications.len()).await?;
        Ok((started, Instant::now()))
    }

    /// Uploads the bundle and makes the request that names it.
    async fn request(
        &mut self,
        name: &str,
        namespace: &str,
        bundle: &Bundle,
    ) -> anyhow::Result<v1::ApplyApplicationRequest> {
        nave_tests::clients::upload(&mut self.fleet, bundle).await?;
        let source = json!({"bundle": {"digest": bundle.digest().to_string()}});
        let application: nave_common::application::Application = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"source": source, "namespace": namespace},
        }))?;
        Ok(v1::ApplyApplicationRequest { application: Some(application.into()), dry_run: false })
    }

    /// Waits until the hub shows `count` applications and all of them in sync.
    async fn in_sync(&mut self, count: usize) -> anyhow::Result<()> {
        let synced = |application: &&v1::Application| {
            let status = application.status.as_ref();
            status.is_some_and(|status| status.cluster_count == 1 && status.sync() == v1::SyncState::Synced)
        };
        // Watched, and not asked for again and again: that would take processor time from those that are measured.
        let request = v1::WatchRequest { kind: v1::Kind::Application.into(), ..Default::default() };
        let mut changes = self.fleet.watch(request).await?.into_inner();
        let mut is_synced = std::collections::BTreeMap::new();
        while let Some(change) = changes.message().await? {
            if let Some(v1::watch_response::Change::Application(application)) = change.change {
                let name = application.metadata.as_ref().map(|it| it.name.clone()).unwrap_or_default();
                is_synced.insert(name, synced(&&application));
            }
            if is_synced.values().filter(|synced| **synced).count() == count {
                return Ok(());
            }
        }
        anyhow::bail!("the hub ended the watch")
    }
}

/// What a client asked of an API server.
#[derive(Default)]
pub struct Requests {
    reads: AtomicU64,
    writes: AtomicU64,
    /// For the message where there was one too many.
    last_write: Mutex<String>,
    /// When the first object was sent, and the last answered.
    span: Mutex<Option<(Instant, Instant)>>,
}

impl nave_tests::clients::Count for Requests {
    fn count(&self, method: &http::Method, target: &http::Uri) {
        if method == http::Method::GET {
            self.reads.fetch_add(1, Ordering::Relaxed);
        } else {
            self.writes.fetch_add(1, Ordering::Relaxed);
            if let Ok(mut last) = self.last_write.lock() {
                *last = format!("{method} {target}");
            }
            self.note(target);
        }
    }

    fn answered(&self, method: &http::Method, target: &http::Uri) {
        if method != http::Method::GET {
            self.note(target);
        }
    }
}

impl Requests {
    /// Notes that an object is being written, or was: objects are in namespaces of the benchmark, inventories are not.
    fn note(&self, target: &http::Uri) {
        if target.path().contains("/namespaces/bench-")
            && let Ok(mut span) = self.span.lock()
        {
            let now = Instant::now();
            *span = Some((span.map_or(now, |(first, _)| first), now));
        }
    }

    fn start_span(&self) {
        if let Ok(mut span) = self.span.lock() {
            *span = None;
        }
    }

    fn span(&self) -> Option<(Instant, Instant)> {
        *self.span.lock().ok()?
    }

    fn snapshot(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }

    fn since(&self, before: (u64, u64)) -> (u64, u64) {
        let now = self.snapshot();
        (now.0 - before.0, now.1 - before.1)
    }
}

async fn kubectl_apply(plane: &ControlPlane, namespace: &str) -> anyhow::Result<Duration> {
    let file = tempfile::NamedTempFile::with_suffix(".json")?;
    let items: Vec<Value> = (0..OBJECTS).map(|index| object(index, "0")).collect();
    std::fs::write(file.path(), json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())?;
    let path = file.path().display().to_string();
    let started = Instant::now();
    let output = plane.kubectl(["apply", "--server-side", "-n", namespace, "-f", &path]).await?;
    ensure!(output.status.success(), "kubectl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(started.elapsed())
}

/// Of `objects` objects, the first of which is in this version.
fn bundle(version: &str, objects: usize) -> anyhow::Result<Bundle> {
    let manifests: Result<Vec<Manifest>, _> = (0..objects)
        .map(|index| Manifest::new(object(index, if index == 0 { version } else { "0" })))
        .collect();
    Ok(Bundle::new(manifests?)?)
}

fn object(index: usize, version: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": format!("object-{index}")},
        "data": {"version": version, "value": "x".repeat(VALUE_BYTES)},
    })
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn seconds(time: Duration) -> String {
    format!("{:>6.2} s", time.as_secs_f64())
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
