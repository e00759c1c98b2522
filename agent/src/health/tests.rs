//! Tables of health: objects as API servers give them, and what is said of them.

use serde_json::json;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn check(object: &Value, health: Health, reason: &str) {
    let now = at("2026-01-01T00:10:00Z");
    let report = assess(object, now);
    assert_eq!((report.health, report.reason.as_str()), (health, reason), "{object}");
}

fn deployment(status: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart", "generation": 2},
           "spec": {"replicas": 3}, "status": status})
}

#[test]
fn deployments_by_replicas_and_conditions() {
    let full = json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3});
    let with = |changes: Value| {
        let mut status = full.clone();
        for (name, value) in changes.as_object().unwrap() {
            status[name] = value.clone();
        }
        deployment(&status)
    };
    for (object, health, reason) in [
        (with(json!({})), Health::Healthy, ""),
        (
            with(json!({"observedGeneration": 1})),
            Health::Progressing,
            "its controller has not seen the latest change yet",
        ),
        (deployment(&json!({})), Health::Progressing, "its controller has not seen the latest change yet"),
        (with(json!({"readyReplicas": 1})), Health::Progressing, "1 of 3 ready"),
        (with(json!({"updatedReplicas": 2})), Health::Progressing, "2 of 3 updated"),
        (with(json!({"replicas": 4})), Health::Progressing, "1 of the old replicas are still there"),
        (with(json!({"availableReplicas": 2})), Health::Progressing, "2 of 3 available"),
        (
            with(
                json!({"readyReplicas": 0, "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}),
            ),
            Health::Degraded,
            "0 of 3 ready: its progress deadline is exceeded",
        ),
        (
            with(
                json!({"readyReplicas": 0, "conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}]}),
            ),
            Health::Degraded,
            "0 of 3 ready: exceeded quota (FailedCreate)",
        ),
    ] {
        check(&object, health, reason);
    }
    let mut paused = deployment(&full);
    paused["spec"]["paused"] = true.into();
    check(&paused, Health::Suspended, "the rollout of this Deployment is paused (spec.paused)");
    let mut none = deployment(&json!({"observedGeneration": 2}));
    none["spec"]["replicas"] = 0.into();
    check(&none, Health::Healthy, "");
}

#[test]
fn other_sets_of_pods() {
    let object = |kind: &str, spec: Value, status: Value| json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "a", "generation": 1}, "spec": spec, "status": status});
    for (object, health, reason) in [
        (
            object(
                "StatefulSet",
                json!({"replicas": 2}),
                json!({"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "currentRevision": "a", "updateRevision": "a"}),
            ),
            Health::Healthy,
            "",
        ),
        (
            object(
                "StatefulSet",
                json!({"replicas": 2}),
                json!({"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}),
            ),
            Health::Progressing,
            "1 of 2 updated",
        ),
        (
            object(
                "StatefulSet",
                json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}}),
                json!({"observedGeneration": 1, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}),
            ),
            Health::Healthy,
            "",
        ),
        (
            object(
                "DaemonSet",
                json!({}),
                json!({"observedGeneration": 1, "desiredNumberScheduled": 4, "numberReady": 3}),
            ),
            Health::Progressing,
            "3 of 4 ready",
        ),
        (
            object(
                "DaemonSet",
                json!({}),
                json!({"observedGeneration": 1, "desiredNumberScheduled": 4, "numberReady": 4, "numberAvailable": 4, "updatedNumberScheduled": 4}),
            ),
            Health::Healthy,
            "",
        ),
        (
            object("ReplicaSet", json!({"replicas": 1}), json!({"observedGeneration": 1})),
            Health::Progressing,
            "0 of 1 ready",
        ),
    ] {
        check(&object, health, reason);
    }
}

#[test]
fn jobs_are_healthy_when_done() {
    let job = |spec: Value, status: Value| json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": spec, "status": status});
    let done = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    let failed = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}]});
    check(&job(json!({}), done), Health::Healthy, "");
    check(
        &job(json!({}), failed),
        Health::Degraded,
        "Job has reached the specified backoff limit (BackoffLimitExceeded)",
    );
    check(
        &job(json!({"completions": 4}), json!({"active": 2, "succeeded": 1})),
        Health::Progressing,
        "1 of 4 completed, 2 active, 0 failed",
    );
    check(
        &job(json!({"suspend": true}), json!({})),
        Health::Suspended,
        "the Job is suspended (spec.suspend)",
    );
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"suspend": true}});
    check(&cron, Health::Suspended, "the CronJob is suspended (spec.suspend)");
}

fn pod(name: &str, status: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "status": status})
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"phase": "Pending", "containerStatuses": [{"name": "cart", "image": "cart:1.9", "ready": false,
        "restartCount": 4, "state": {"waiting": {"reason": reason, "message": message}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]})
}

#[test]
fn pods_say_what_is_wrong_with_them() {
    let unscheduled = |since: &str| {
        json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available", "lastTransitionTime": since}]})
    };
    for (status, health, reason) in [
        (
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
            Health::Healthy,
            "",
        ),
        (json!({"phase": "Succeeded"}), Health::Healthy, ""),
        (
            json!({"phase": "Failed", "reason": "Evicted", "message": "node was low on memory"}),
            Health::Degraded,
            "it failed: Evicted node was low on memory",
        ),
        (
            waiting("ImagePullBackOff", "Back-off: manifest unknown"),
            Health::Degraded,
            "image cart:1.9 not found (ImagePullBackOff)",
        ),
        (
            waiting("ErrImagePull", "unauthorized"),
            Health::Degraded,
            "image cart:1.9 cannot be pulled: access denied (ErrImagePull)",
        ),
        (
            waiting("CrashLoopBackOff", "back-off"),
            Health::Degraded,
            "out of memory (OOMKilled), 4 restarts (CrashLoopBackOff)",
        ),
        (
            waiting("CreateContainerConfigError", "configmap \"x\" not found"),
            Health::Degraded,
            "configmap \"x\" not found (CreateContainerConfigError)",
        ),
        (waiting("ContainerCreating", ""), Health::Progressing, "container cart waits: ContainerCreating"),
        (
            unscheduled("2026-01-01T00:09:59Z"),
            Health::Progressing,
            "no node takes it: 0/3 nodes are available (Unschedulable)",
        ),
        (
            unscheduled("2026-01-01T00:00:00Z"),
            Health::Degraded,
            "no node takes it: 0/3 nodes are available (Unschedulable)",
        ),
    ] {
        check(&pod("p", &status), health, reason);
    }
}

#[test]
fn diagnosis_names_the_most_telling_pod() {
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    let pods = [
        pod("cart-1", &ready),
        pod("cart-2", &waiting("ContainerCreating", "")),
        pod("cart-3", &waiting("ImagePullBackOff", "not found")),
    ];
    assert_eq!(
        diagnosis::diagnose(&pods).as_deref(),
        Some("pod cart-3: image cart:1.9 not found (ImagePullBackOff)")
    );
    assert_eq!(diagnosis::diagnose(&pods[..1]), None);
    let deployment =
        json!({"kind": "Deployment", "spec": {"selector": {"matchLabels": {"app": "cart", "tier": "web"}}}});
    assert_eq!(diagnosis::selector(&deployment).as_deref(), Some("app=cart,tier=web"));
    assert_eq!(diagnosis::selector(&json!({"kind": "Service"})), None);
}

#[test]
fn storage_network_and_cluster_kinds() {
    let core = |kind: &str, spec: Value, status: Value| json!({"apiVersion": "v1", "kind": kind, "spec": spec, "status": status});
    check(&core("PersistentVolumeClaim", json!({}), json!({"phase": "Bound"})), Health::Healthy, "");
    check(
        &core("PersistentVolumeClaim", json!({"storageClassName": "ssd"}), json!({"phase": "Pending"})),
        Health::Progressing,
        "not bound to a volume yet (storage class ssd)",
    );
    check(&core("Service", json!({"type": "ClusterIP"}), json!({})), Health::Healthy, "");
    check(
        &core("Service", json!({"type": "LoadBalancer"}), json!({})),
        Health::Progressing,
        "its load balancer has no address yet",
    );
    check(
        &core(
            "Service",
            json!({"type": "LoadBalancer"}),
            json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}),
        ),
        Health::Healthy,
        "",
    );
    check(&core("Namespace", json!({}), json!({"phase": "Active"})), Health::Healthy, "");
    let definition = |conditions: Value| json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "status": {"conditions": conditions}});
    check(&definition(json!([{"type": "Established", "status": "True"}])), Health::Healthy, "");
    check(&definition(json!([])), Health::Progressing, "the API server does not serve its kind yet");
    check(
        &definition(
            json!([{"type": "NamesAccepted", "status": "False", "reason": "PluralConflict", "message": "taken"}]),
        ),
        Health::Degraded,
        "taken (PluralConflict)",
    );
    let api = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "status": {"conditions": [
        {"type": "Available", "status": "False", "reason": "MissingEndpoints", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    check(&api, Health::Degraded, "MissingEndpoints");
    let hpa = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "status": {"conditions": [
        {"type": "AbleToScale", "status": "True"}, {"type": "ScalingActive", "status": "False", "reason": "ScalingDisabled"}]}});
    check(&hpa, Health::Suspended, "ScalingDisabled");
}

#[test]
fn unknown_kinds_by_their_conditions() {
    let object = |conditions: Value| {
        json!({"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"generation": 1},
               "status": {"observedGeneration": 1, "conditions": conditions}})
    };
    check(&object(json!([])), Health::Healthy, "");
    check(&object(json!([{"type": "Ready", "status": "True"}])), Health::Healthy, "");
    check(
        &object(json!([{"type": "Ready", "status": "False", "reason": "Creating", "message": "wait"}])),
        Health::Progressing,
        "not ready: wait (Creating)",
    );
    check(
        &object(
            json!([{"type": "Stalled", "status": "True", "reason": "Bad"}, {"type": "Ready", "status": "True"}]),
        ),
        Health::Degraded,
        "Bad",
    );
    check(
        &object(json!([{"type": "Reconciling", "status": "True", "message": "soon"}])),
        Health::Progressing,
        "soon",
    );
    let going = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"deletionTimestamp": "x", "finalizers": ["a/b"]}});
    check(&going, Health::Progressing, "it is being deleted and waits for its finalizers: a/b");
}
