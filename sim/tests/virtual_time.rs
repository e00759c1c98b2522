//! The core without a network: time is an argument, and the same requests give the same cluster.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::needless_pass_by_value)]

use std::time::Duration;

use jiff::Timestamp;
use nave_sim::{Config, Reply, Request, State};
use serde_json::{Value, json};

/// A cluster and its clock.
struct World {
    state: State,
    now: Timestamp,
}

impl World {
    fn new(config: Config) -> World {
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        let mut world = World { state: State::new(config, now), now };
        world.state.run(now);
        world
    }

    /// Lets this much time go by, with every timer at its time.
    fn advance(&mut self, by: Duration) {
        let end = self.now.checked_add(by).unwrap();
        while let Some(at) = self.state.run(self.now).filter(|at| *at <= end) {
            self.now = at;
        }
        self.now = end;
        self.state.run(end);
    }

    fn send(&mut self, method: &str, path: &str, content_type: &str, body: Value) -> (u16, Value) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query,
            content_type: content_type.to_owned(),
            body: if body.is_null() { Vec::new().into() } else { body.to_string().into() },
            ..Request::default()
        };
        match self.state.handle(&request, self.now) {
            Reply::Whole { code, body, .. } => (code, serde_json::from_slice(&body).unwrap_or(Value::Null)),
            Reply::Watch(_) => panic!("no watch was asked for"),
        }
    }

    fn apply(&mut self, path: &str, body: Value) -> Value {
        let path = format!("{path}?fieldManager=nave&force=true");
        let (code, value) = self.send("PATCH", &path, "application/apply-patch+yaml", body);
        assert!(code < 300, "{value}");
        value
    }

    fn get(&mut self, path: &str) -> Value {
        self.send("GET", path, "", Value::Null).1
    }
}

const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";

fn web(image: &str, replicas: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": replicas, "progressDeadlineSeconds": 60, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": image}]}}}})
}

fn progressing(deployment: &Value) -> (String, String) {
    let conditions = deployment["status"]["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|condition| condition["type"] == "Progressing").unwrap();
    (found["status"].as_str().unwrap().to_owned(), found["reason"].as_str().unwrap().to_owned())
}

#[test]
fn pods_are_ready_after_their_delay_and_not_before() {
    let mut world = World::new(Config { ready_delay: Duration::from_secs(5), ..Config::default() });
    world.apply(WEB, web("nginx:1", 2));
    world.advance(Duration::from_millis(4_990));
    assert_eq!(world.get(WEB)["status"].get("readyReplicas"), None);
    world.advance(Duration::from_millis(20));
    assert_eq!(world.get(WEB)["status"]["readyReplicas"], 2);
}

#[test]
fn a_broken_rollout_keeps_the_old_pods_and_misses_its_deadline() {
    let mut world = World::new(Config::default());
    world.apply(WEB, web("nginx:1", 4));
    world.advance(Duration::from_secs(5));
    assert_eq!(progressing(&world.get(WEB)), ("True".to_owned(), "NewReplicaSetAvailable".to_owned()));
    world.apply(WEB, web("nginx:broken", 4));
    world.advance(Duration::from_secs(30));
    let stuck = world.get(WEB);
    assert_eq!(stuck["status"]["availableReplicas"], 3, "one of four may be unavailable");
    assert_eq!(stuck["status"]["updatedReplicas"], 2, "one in the room that is left, one surging");
    assert_eq!(progressing(&stuck), ("True".to_owned(), "ReplicaSetUpdated".to_owned()));
    world.advance(Duration::from_secs(60));
    assert_eq!(progressing(&world.get(WEB)), ("False".to_owned(), "ProgressDeadlineExceeded".to_owned()));
    world.apply(WEB, web("nginx:1", 4));
    world.advance(Duration::from_secs(10));
    let back = world.get(WEB);
    assert_eq!(back["status"]["availableReplicas"], 4);
    assert_eq!(progressing(&back), ("True".to_owned(), "NewReplicaSetAvailable".to_owned()));
}

#[test]
fn workloads_of_every_kind_settle() {
    let mut world = World::new(Config { nodes: 2, ..Config::default() });
    let template = |app: &str, policy: &str| {
        json!({"metadata": {"labels": {"app": app}},
            "spec": {"restartPolicy": policy, "containers": [{"name": "c", "image": "a:1"}]}})
    };
    let apps = "/apis/apps/v1/namespaces/default";
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"}, "spec": {
        "replicas": 3, "serviceName": "s", "selector": {"matchLabels": {"app": "s"}},
        "template": template("s", "Always"),
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}}]}});
    world.apply(&format!("{apps}/statefulsets/s"), set.clone());
    let daemons = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"app": "d"}}, "template": template("d", "Always")}});
    world.apply(&format!("{apps}/daemonsets/d"), daemons);
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {
        "completions": 3, "parallelism": 2, "ttlSecondsAfterFinished": 60, "template": template("j", "Never")}});
    world.apply("/apis/batch/v1/namespaces/default/jobs/j", job);
    world.advance(Duration::from_secs(10));
    let found = world.get(&format!("{apps}/statefulsets/s"));
    assert_eq!(
        (&found["status"]["readyReplicas"], &found["status"]["currentReplicas"]),
        (&json!(3), &json!(3))
    );
    let claims = world.get("/api/v1/namespaces/default/persistentvolumeclaims");
    let names: Vec<&str> = claims["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|claim| claim["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["data-s-0", "data-s-1", "data-s-2"]);
    assert!(claims["items"].as_array().unwrap().iter().all(|claim| claim["status"]["phase"] == "Bound"));
    assert_eq!(world.get(&format!("{apps}/daemonsets/d"))["status"]["numberAvailable"], 2);
    let done = world.get("/apis/batch/v1/namespaces/default/jobs/j");
    assert_eq!(done["status"]["succeeded"], 3);
    assert!(done["status"]["conditions"].as_array().unwrap().iter().any(|one| one["type"] == "Complete"));
    world.advance(Duration::from_secs(60));
    assert_eq!(world.get("/apis/batch/v1/namespaces/default/jobs/j")["code"], 404, "its time is over");

    let mut fewer = set;
    fewer["spec"]["replicas"] = json!(1);
    fewer["spec"]["template"]["spec"]["containers"][0]["image"] = json!("a:2");
    world.apply(&format!("{apps}/statefulsets/s"), fewer);
    world.advance(Duration::from_secs(10));
    let pods = world.get("/api/v1/namespaces/default/pods?labelSelector=app%3Ds");
    let found = world.get(&format!("{apps}/statefulsets/s"));
    assert_eq!(
        (&found["status"]["replicas"], &found["status"]["updatedReplicas"]),
        (&json!(1), &json!(1)),
        "{pods}"
    );
}

#[test]
fn the_same_requests_give_the_same_cluster() {
    let run = |seed: u64| {
        let mut world = World::new(Config { seed, ..Config::default() });
        world.apply(WEB, web("nginx:1", 3));
        world.advance(Duration::from_secs(2));
        world.apply(WEB, web("nginx:2", 2));
        world.advance(Duration::from_secs(7));
        [WEB, "/api/v1/pods", "/apis/apps/v1/replicasets"].map(|path| world.get(path))
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// A pod for which no node was Ready stayed without one for ever.
#[test]
fn a_pod_that_found_no_node_gets_one_when_a_node_is_ready_again() {
    let mut world = World::new(Config { nodes: 1, ..Config::default() });
    let node = world.get("/api/v1/nodes")["items"][0].clone();
    let path = format!("/api/v1/nodes/{}/status", node["metadata"]["name"].as_str().unwrap());
    let ready = |world: &mut World, status: &str| {
        let conditions = json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
        let (code, answer) = world.send("PATCH", &path, "application/merge-patch+json", conditions);
        assert!(code < 300, "{answer}");
    };
    ready(&mut world, "Unknown");
    world.apply(WEB, web("web:1", 1));
    world.advance(Duration::from_secs(60));
    assert_eq!(world.get(WEB)["status"]["readyReplicas"], Value::Null);
    ready(&mut world, "True");
    world.advance(Duration::from_secs(60));
    assert_eq!(world.get(WEB)["status"]["readyReplicas"], 1);
}
