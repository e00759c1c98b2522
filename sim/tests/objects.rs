//! Objects as clients write and read them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::needless_pass_by_value)]

mod common;

use common::{failure, start};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use serde_json::json;

fn config_map(name: &str, labels: serde_json::Value) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}, "data": {"k": "v"}})).unwrap()
}

fn deployment(name: &str, image: &str) -> Deployment {
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "c", "image": image}]}}}}))
    .unwrap()
}

#[tokio::test]
async fn objects_are_created_read_replaced_and_deleted() {
    let (cluster, client) = start().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let made = maps.create(&PostParams::default(), &config_map("a", json!({"x": "1"}))).await.unwrap();
    assert!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
    let (code, message) =
        failure(maps.create(&PostParams::default(), &config_map("a", json!({}))).await.unwrap_err());
    assert_eq!((code, message.as_str()), (409, "configmaps \"a\" already exists"));

    let mut stale = made.clone();
    let mut fresh = made.clone();
    fresh.data = Some([("k".to_owned(), "w".to_owned())].into());
    let fresh = maps.replace("a", &PostParams::default(), &fresh).await.unwrap();
    assert_ne!(fresh.metadata.resource_version, made.metadata.resource_version);
    stale.data = None;
    let (code, message) = failure(maps.replace("a", &PostParams::default(), &stale).await.unwrap_err());
    assert_eq!(code, 409);
    assert!(
        message
            .starts_with("Operation cannot be fulfilled on configmaps \"a\": the object has been modified")
    );

    let same = maps.replace("a", &PostParams::default(), &fresh).await.unwrap();
    assert_eq!(same.metadata.resource_version, fresh.metadata.resource_version, "nothing changed");

    let other_uid = DeleteParams::default()
        .preconditions(kube::api::Preconditions { uid: Some("no".to_owned()), resource_version: None });
    assert_eq!(failure(maps.delete("a", &other_uid).await.unwrap_err()).0, 409);
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    let (code, message) = failure(maps.get("a").await.unwrap_err());
    assert_eq!((code, message.as_str()), (404, "configmaps \"a\" not found"));
    cluster.stop().await;
}

#[tokio::test]
async fn names_namespaces_and_dry_runs_are_checked() {
    let (_cluster, client) = start().await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let (code, message) =
        failure(maps.create(&PostParams::default(), &config_map("Bad_Name", json!({}))).await.unwrap_err());
    assert_eq!(code, 422);
    assert!(message.starts_with("ConfigMap \"Bad_Name\" is invalid: metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain"), "{message}");
    let mut generated = config_map("", json!({}));
    generated.metadata.name = None;
    generated.metadata.generate_name = Some("gen-".to_owned());
    let made = maps.create(&PostParams::default(), &generated).await.unwrap();
    assert_eq!(made.metadata.name.unwrap().len(), "gen-".len() + 5);

    let nowhere: Api<ConfigMap> = Api::namespaced(client.clone(), "nowhere");
    let (code, message) =
        failure(nowhere.create(&PostParams::default(), &config_map("a", json!({}))).await.unwrap_err());
    assert_eq!((code, message.as_str()), (404, "namespaces \"nowhere\" not found"));

    let dry = PostParams { dry_run: true, ..PostParams::default() };
    maps.create(&dry, &config_map("dry", json!({}))).await.unwrap();
    assert_eq!(failure(maps.get("dry").await.unwrap_err()).0, 404);
}

#[tokio::test]
async fn lists_are_selected_and_paged() {
    let (_cluster, client) = start().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    for (name, app) in [("a", "web"), ("b", "web"), ("c", "api")] {
        maps.create(&PostParams::default(), &config_map(name, json!({"app": app}))).await.unwrap();
    }
    let names = |list: kube::core::ObjectList<ConfigMap>| -> Vec<String> {
        list.items.into_iter().filter_map(|item| item.metadata.name).collect()
    };
    let select = |labels: &str| ListParams::default().labels(labels);
    assert_eq!(names(maps.list(&select("app=web")).await.unwrap()), ["a", "b"]);
    assert_eq!(names(maps.list(&select("app in (api,db),app!=web")).await.unwrap()), ["c"]);
    assert_eq!(names(maps.list(&ListParams::default().fields("metadata.name=b")).await.unwrap()), ["b"]);
    let first = maps.list(&select("app").limit(2)).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    assert_eq!(names(first), ["a", "b"]);
    let rest = maps.list(&select("app").limit(2).continue_token(&token)).await.unwrap();
    assert_eq!((rest.metadata.continue_.clone(), names(rest)), (None, vec!["c".to_owned()]));
    maps.delete_collection(&DeleteParams::default(), &select("app=web")).await.unwrap();
    assert_eq!(names(maps.list(&select("app")).await.unwrap()), ["c"]);
}

#[tokio::test]
async fn defaults_and_canonical_values_come_back() {
    let (_cluster, client) = start().await;
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    let service: Service = serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {
        "type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}]}}))
    .unwrap();
    let spec = services.create(&PostParams::default(), &service).await.unwrap().spec.unwrap();
    let port = &spec.ports.unwrap()[0];
    assert_eq!(port.protocol.as_deref(), Some("TCP"));
    assert!(port.node_port.is_some_and(|port| (30_000..32_768).contains(&port)));
    assert_eq!(spec.session_affinity.as_deref(), Some("None"));
    assert!(spec.cluster_ip.unwrap().starts_with("10.96."));
    common::eventually("the load balancer has an address", || async {
        let status = services.get("web").await.unwrap().status.unwrap().load_balancer.unwrap();
        status.ingress.is_some_and(|list| list[0].ip.is_some())
    })
    .await;

    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    let mut wanted = deployment("web", "nginx:1.27");
    let spec = wanted.spec.template.spec.as_mut().unwrap();
    spec.containers[0].resources =
        serde_json::from_value(json!({"requests": {"cpu": "1000m", "memory": "1024Mi"}})).unwrap();
    let made = deployments.create(&PostParams::default(), &wanted).await.unwrap();
    let spec = made.spec;
    assert_eq!((spec.replicas, spec.progress_deadline_seconds), (Some(1), Some(600)));
    let pod = spec.template.spec.unwrap();
    assert_eq!(pod.restart_policy.as_deref(), Some("Always"));
    assert_eq!(pod.containers[0].image_pull_policy.as_deref(), Some("IfNotPresent"));
    let requests = pod.containers[0].resources.clone().unwrap().requests.unwrap();
    assert_eq!((requests["cpu"].0.as_str(), requests["memory"].0.as_str()), ("1", "1Gi"));

    let secrets: Api<Secret> = Api::namespaced(client, "default");
    let secret: Secret =
        serde_json::from_value(json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}})).unwrap();
    let made = secrets.create(&PostParams::default(), &secret).await.unwrap();
    assert_eq!(made.data.unwrap()["k"].0, b"v");
    assert_eq!((made.type_.as_deref(), made.string_data), (Some("Opaque"), None));
}

#[tokio::test]
async fn bad_objects_are_refused_as_the_server_does() {
    let (_cluster, client) = start().await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    let mut wrong = deployment("web", "nginx");
    wrong.spec.selector.match_labels = Some([("app".to_owned(), "x".to_owned())].into());
    let (code, message) = failure(deployments.create(&PostParams::default(), &wrong).await.unwrap_err());
    assert_eq!(code, 422);
    assert!(message.contains("spec.template.metadata.labels: Invalid value"), "{message}");
    assert!(message.contains("`selector` does not match template `labels`"), "{message}");

    deployments.create(&PostParams::default(), &deployment("web", "nginx")).await.unwrap();
    let patch = json!({"spec": {"selector": {"matchLabels": {"app": "y"}},
        "template": {"metadata": {"labels": {"app": "y"}}}}});
    let (code, message) =
        failure(deployments.patch("web", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap_err());
    assert_eq!(code, 422);
    assert!(message.contains("field is immutable"), "{message}");

    let dynamic =
        common::namespaced(&client, "default", &common::resource("apps", "v1", "Deployment", "deployments"));
    let bad = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bad"},
        "spec": {"replicas": "three"}});
    let (code, message) = failure(common::apply(&dynamic, &bad, "nave", false).await.unwrap_err());
    assert_eq!(code, 500);
    assert_eq!(
        message,
        "failed to create typed patch object (/bad; apps/v1, Kind=Deployment): .spec.replicas: expected \
         numeric (int or float), got string"
    );
    let gone = common::namespaced(&client, "default", &common::resource("no.io", "v1", "No", "nos"));
    let (code, _) = failure(gone.list(&ListParams::default()).await.unwrap_err());
    assert_eq!(code, 404);
}

#[tokio::test]
async fn deployments_roll_out_scale_and_go_with_their_pods() {
    let (_cluster, client) = start().await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let mut wanted = deployment("web", "nginx:1");
    wanted.spec.replicas = Some(3);
    deployments.create(&PostParams::default(), &wanted).await.unwrap();
    let available = |count: i32| {
        let deployments = deployments.clone();
        move || {
            let deployments = deployments.clone();
            async move {
                let found = deployments.get("web").await.unwrap();
                let status = found.status.unwrap_or_default();
                status.observed_generation == found.metadata.generation
                    && status.available_replicas == Some(count)
                    && status.updated_replicas == Some(count)
                    && status.replicas == Some(count)
            }
        }
    };
    common::eventually("three are available", available(3)).await;
    let found = deployments.get("web").await.unwrap();
    let conditions = found.status.unwrap().conditions.unwrap();
    assert!(conditions.iter().any(|c| c.type_.as_deref() == Some("Progressing")
        && c.reason.as_deref() == Some("NewReplicaSetAvailable")));
    assert_eq!(found.metadata.annotations.unwrap()["deployment.kubernetes.io/revision"], "1");

    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}});
    deployments.patch("web", &PatchParams::default(), &Patch::Strategic(&image)).await.unwrap();
    common::eventually("the new image is out", available(3)).await;
    common::eventually("only new pods are left", || async {
        let list = pods.list(&ListParams::default()).await.unwrap();
        list.items.len() == 3
            && list
                .items
                .iter()
                .all(|pod| pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("nginx:2"))
    })
    .await;

    deployments
        .patch_scale("web", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 1}})))
        .await
        .unwrap();
    common::eventually("one is left", available(1)).await;
    assert_eq!(deployments.get_scale("web").await.unwrap().spec.unwrap().replicas, Some(1));

    deployments
        .delete(
            "web",
            &DeleteParams {
                propagation_policy: Some(PropagationPolicy::Foreground),
                ..DeleteParams::default()
            },
        )
        .await
        .unwrap();
    common::eventually("everything is gone", || async {
        pods.list(&ListParams::default()).await.unwrap().items.is_empty()
            && deployments.get_opt("web").await.unwrap().is_none()
    })
    .await;
}

#[tokio::test]
async fn broken_images_never_get_ready() {
    let (_cluster, client) = start().await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    let pods: Api<Pod> = Api::namespaced(client, "default");
    deployments.create(&PostParams::default(), &deployment("web", "shop/web:broken")).await.unwrap();
    common::eventually("the pod says why", || async {
        pods.list(&ListParams::default().labels("app=web")).await.unwrap().items.iter().any(|pod| {
            let status = pod.status.clone().unwrap_or_default();
            let waiting = status.container_statuses.unwrap_or_default().into_iter().next();
            let waiting = waiting.and_then(|container| container.state).and_then(|state| state.waiting);
            waiting.is_some_and(|waiting| {
                waiting.reason.as_deref() == Some("ImagePullBackOff")
                    && waiting.message.is_some_and(|message| message.contains("shop/web:broken"))
            })
        })
    })
    .await;
    let status = deployments.get("web").await.unwrap().status.unwrap();
    assert_eq!((status.available_replicas, status.unavailable_replicas), (None, Some(1)));
}

#[tokio::test]
async fn a_namespace_takes_its_content_along() {
    let (_cluster, client) = start().await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "shop"}})).unwrap();
    let made = namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    assert_eq!(made.metadata.labels.unwrap()["kubernetes.io/metadata.name"], "shop");
    let maps: Api<ConfigMap> = Api::namespaced(client, "shop");
    let mut held = config_map("held", json!({}));
    held.metadata.finalizers = Some(vec!["demo.io/hold".to_owned()]);
    maps.create(&PostParams::default(), &held).await.unwrap();
    namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
    common::eventually("only the held one is left", || async {
        maps.list(&ListParams::default()).await.unwrap().items.len() == 1
    })
    .await;
    let found = namespaces.get("shop").await.unwrap();
    assert_eq!(found.status.unwrap().phase.as_deref(), Some("Terminating"));
    let (code, message) =
        failure(maps.create(&PostParams::default(), &config_map("late", json!({}))).await.unwrap_err());
    assert_eq!(code, 403);
    assert!(message.contains("because it is being terminated"), "{message}");
    let release = json!({"metadata": {"finalizers": null}});
    maps.patch("held", &PatchParams::default(), &Patch::Merge(&release)).await.unwrap();
    common::eventually("the namespace is gone", || async {
        namespaces.get_opt("shop").await.unwrap().is_none()
    })
    .await;
}

/// The shop's cache could not be applied: its container mounts what the claim template names, and no volume does.
#[tokio::test]
async fn a_stateful_set_may_mount_its_claims() {
    let (_cluster, client) = start().await;
    let sets = common::namespaced(
        &client,
        "default",
        &common::resource("apps", "v1", "StatefulSet", "statefulsets"),
    );
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "cache"}, "spec": {
        "serviceName": "cache", "selector": {"matchLabels": {"app": "cache"}},
        "template": {"metadata": {"labels": {"app": "cache"}}, "spec": {"containers": [
            {"name": "c", "image": "cache:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}});
    common::apply(&sets, &set, "nave", false).await.unwrap();
}
