//! Convergence under chaos: whatever happens to agent, API server and objects, once it is over exactly what is wanted is
//! there, nothing of anybody else's was touched, and nothing more is written. Seeded; a failure prints its seed.

#![expect(clippy::expect_used, reason = "a test says what it expected")]

use std::collections::BTreeMap;
use std::time::Duration;

use nave_common::application::Adopt;
use nave_common::status::{AssignmentStatus, SyncState};
use nave_sim::Failing;
use nave_tests::agent_suite::agent::Wish;
use nave_tests::agent_suite::applying::{config_map, settle};
use nave_tests::agent_suite::{TestAgent, TestCluster};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

const NAMESPACES: [&str; 2] = ["blue", "green"];
const APPLICATIONS: [&str; 3] = ["one", "two", "three"];
const NAMES: u32 = 12;
const STEPS: usize = 60;

struct Chaos {
    random: StdRng,
    sim: nave_sim::Cluster,
    cluster: TestCluster,
    agent: TestAgent,
    /// What each application wants; `None` where it was told to go.
    wanted: BTreeMap<&'static str, Option<Vec<Value>>>,
    foreign: Vec<Value>,
    counter: u32,
}

impl Chaos {
    async fn start(seed: u64) -> Self {
        let sim = nave_sim::Cluster::start(nave_sim::Config { seed, ..nave_sim::Config::default() });
        let sim = sim.await.expect("the sim starts");
        let cluster = TestCluster::new(kube::Config::new(sim.url().parse().expect("a URL")));
        let mut foreign = Vec::new();
        for namespace in NAMESPACES {
            let home = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            cluster.create(&home, "someone").await;
            let theirs = config_map(namespace, "theirs", "theirs");
            cluster.create(&theirs, "someone").await;
            foreign.push(theirs);
        }
        let agent = TestAgent::start(&cluster);
        let wanted = BTreeMap::new();
        Self { random: StdRng::seed_from_u64(seed), sim, cluster, agent, wanted, foreign, counter: 0 }
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.random_range(0..of.len())]
    }

    /// A new wish for an application. Names are its own, so that no two want the same.
    fn wish(&mut self, application: &str) -> Vec<Value> {
        let mut objects = Vec::new();
        for number in 0..NAMES {
            if self.random.random_bool(0.6) {
                let namespace = self.pick(&NAMESPACES);
                let value = format!("v{}", self.random.random_range(0..4));
                objects.push(config_map(namespace, &format!("{application}-{number}"), &value));
            }
        }
        if objects.is_empty() {
            objects.push(config_map("blue", &format!("{application}-0"), "v0"));
        }
        objects
    }

    async fn step(mut self) -> Self {
        match self.random.random_range(0..14) {
            0..=3 => {
                let application = self.pick(&APPLICATIONS);
                let objects = self.wish(application);
                self.agent.tell(application, &Wish::new(objects.clone()).adopting(Adopt::Always));
                self.wanted.insert(application, Some(objects));
            }
            4 => {
                let application = self.pick(&APPLICATIONS);
                if self.wanted.contains_key(application) {
                    self.agent.tell_removal(&application.parse().expect("a name"));
                    self.wanted.insert(application, None);
                }
            }
            5..=6 => {
                // By someone who edits what is there.
                if let Some(object) = self.some_object() {
                    self.counter += 1;
                    let patch = json!({"data": {"key": format!("edited {}", self.counter)}});
                    self.cluster.try_edit(&object, "someone", patch).await;
                }
            }
            7..=8 => {
                if let Some(object) = self.some_object() {
                    self.cluster.try_delete(&object).await;
                }
            }
            9 => {
                let away = json!({"metadata": {"labels": {"nave.dev/application": null}}});
                if let Some(object) = self.some_object() {
                    self.cluster.try_edit(&object, "someone", away).await;
                }
            }
            10 => self.agent = self.agent.crash(&self.cluster).await,
            11 => self.sim.faults().set_error_rate(0.2, Failing::code(503)),
            12 => {
                self.sim.faults().cut_connections();
                self.sim.forget_history();
            }
            _ => {
                self.sim.faults().take_down();
                tokio::time::sleep(Duration::from_millis(30)).await;
                self.sim.faults().bring_up();
            }
        }
        let pause = self.random.random_range(0..40);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        self
    }

    fn some_object(&mut self) -> Option<Value> {
        let all: Vec<Value> = self.wanted.values().flatten().flatten().cloned().collect();
        if all.is_empty() { None } else { Some(all[self.random.random_range(0..all.len())].clone()) }
    }

    /// Waits until every application is as it should be. Names the objects that are reported instead: contested ones,
    /// and those in which someone has a field that, after crashes, nobody can tell was Nave's.
    async fn converge(&mut self, seed: u64) -> Vec<String> {
        self.sim.faults().clear();
        self.cluster = TestCluster::new(kube::Config::new(self.sim.url().parse().expect("a URL")));
        let mut reported = Vec::new();
        for (application, wanted) in &self.wanted {
            let key = application.parse().expect("a name");
            let is_done = |status: &AssignmentStatus| match wanted {
                Some(_) => {
                    let is_report =
                        |reason: &str| reason.contains("contested") || reason.contains("is owned by");
                    status.sync == SyncState::Synced
                        || (status.sync == SyncState::OutOfSync && is_report(&status.reason))
                }
                None => status.removed,
            };
            let status = self.agent.wait(&key, &format!("converged (seed {seed})"), is_done).await;
            let differing = status.objects.iter().filter(|object| object.sync != SyncState::Synced);
            reported.extend(differing.map(|object| object.object.name.clone()));
        }
        if !reported.is_empty() {
            eprintln!("agent_chaos: seed {seed}: reported, not applied: {reported:?}");
        }
        reported
    }

    async fn check(mut self, seed: u64) {
        let reported = self.converge(seed).await;
        settle(&self.agent).await;
        let wanted: Vec<&Value> = self.wanted.values().flatten().flatten().collect();
        for object in
            wanted.iter().filter(|object| !reported.iter().any(|name| object["metadata"]["name"] == *name))
        {
            let live = self.cluster.get(object).await;
            let value = live.as_ref().map(|live| &live["data"]["key"]);
            assert_eq!(value, Some(&object["data"]["key"]), "seed {seed}: {object:#}");
        }
        for object in &self.foreign {
            let live = self.cluster.get(object).await.expect("what is others' is there");
            assert_eq!(live["data"], object["data"], "seed {seed}");
        }
        for namespace in NAMESPACES {
            let names = self.cluster.names("ConfigMap", namespace).await;
            for name in names.iter().filter(|name| *name != "theirs" && *name != "kube-root-ca.crt") {
                let is_wanted = wanted.iter().any(|object| {
                    object["metadata"]["name"] == name.as_str()
                        && object["metadata"]["namespace"] == namespace
                });
                let live = self.cluster.get(&config_map(namespace, name, "")).await.unwrap_or_default();
                // One that lost its label in the moment in which it was to go is nobody's, and so left alone.
                let is_marked = !live["metadata"]["labels"]["nave.dev/application"].is_null();
                assert!(
                    is_wanted || !is_marked,
                    "seed {seed}: {namespace}/{name} is there and nobody wants it"
                );
            }
        }
        self.agent.requests.take();
        settle(&self.agent).await;
        assert_eq!(self.agent.requests.count("write"), 0, "seed {seed}: {:#?}", self.agent.requests.take());
        self.agent.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agent_converges_whatever_happens() {
    let seeds = match std::env::var("NAVE_SEED") {
        Ok(seed) => vec![seed.parse().expect("NAVE_SEED is a number")],
        Err(_) => (1..=4).collect(),
    };
    let _ = nave_common::runtime::telemetry::init(
        "text",
        &std::env::var("RUST_LOG").unwrap_or_else(|_| "off".into()),
    );
    for seed in seeds {
        eprintln!("agent_chaos: seed {seed}");
        let mut chaos = Chaos::start(seed).await;
        for _ in 0..STEPS {
            chaos = Box::pin(chaos.step()).await;
        }
        Box::pin(chaos.check(seed)).await;
    }
}
