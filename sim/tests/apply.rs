//! Server-side apply: who owns what, conflicts, what is taken away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::needless_pass_by_value)]

mod common;

use common::{apply, failure, json, namespaced, owned, resource, start};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

fn deployments(client: &kube::Client) -> Api<DynamicObject> {
    namespaced(client, "default", &resource("apps", "v1", "Deployment", "deployments"))
}

fn web(replicas: Value, image: &str) -> Value {
    let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web",
        "labels": {"app": "web"}}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image,
            "ports": [{"containerPort": 80}], "resources": {"requests": {"cpu": "1000m"}}}]}}}});
    if replicas.is_null() {
        object["spec"].as_object_mut().unwrap().remove("replicas");
    }
    object
}

#[tokio::test]
async fn applying_owns_what_was_applied_and_again_writes_nothing() {
    let (cluster, client) = start().await;
    let api = deployments(&client);
    let made = json(&apply(&api, &web(json!(2), "nginx:1"), "nave", false).await.unwrap());
    assert_eq!(
        owned(&made, "nave"),
        json!({"f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {
                "f:metadata": {"f:labels": {"f:app": {}}},
                "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {},
                    "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                    "f:resources": {"f:requests": {"f:cpu": {}}}}}}}}})
    );
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!(
        (&entry["operation"], &entry["apiVersion"], &entry["fieldsType"]),
        (&json!("Apply"), &json!("apps/v1"), &json!("FieldsV1"))
    );
    let container = &made["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"]["requests"]["cpu"], "1");
    assert_eq!(container["ports"][0]["protocol"], "TCP");

    common::eventually("it is settled", || async {
        api.get("web").await.unwrap().data["status"]["availableReplicas"] == 2
    })
    .await;
    let before = api.get("web").await.unwrap();
    let writes = cluster.stored_writes();
    let again = apply(&api, &web(json!(2), "nginx:1"), "nave", false).await.unwrap();
    assert_eq!(again, before);
    assert_eq!(cluster.stored_writes(), writes);
}

#[tokio::test]
async fn conflicts_name_the_field_and_the_manager() {
    let (_cluster, client) = start().await;
    let api = deployments(&client);
    apply(&api, &web(json!(2), "nginx:1"), "nave", false).await.unwrap();
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:9"}]}}}});
    let by = PatchParams { field_manager: Some("kubectl-set".to_owned()), ..PatchParams::default() };
    api.patch("web", &by, &Patch::Strategic(&image)).await.unwrap();
    let by = PatchParams { field_manager: Some("kubectl".to_owned()), ..PatchParams::default() };
    api.patch_scale("web", &by, &Patch::Merge(json!({"spec": {"replicas": 5}}))).await.unwrap();
    let now = json(&api.get("web").await.unwrap());
    assert_eq!(owned(&now, "nave")["f:spec"].get("f:replicas"), None);
    assert_eq!(owned(&now, "kubectl"), json!({"f:spec": {"f:replicas": {}}}));
    let scaled = now["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["manager"] == "kubectl")
        .unwrap();
    assert_eq!((&scaled["subresource"], &scaled["operation"]), (&json!("scale"), &json!("Update")));

    let error = apply(&api, &web(json!(2), "nginx:1"), "nave", false).await.unwrap_err();
    let kube::Error::Api(status) = error else { panic!("an answer") };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let mut causes: Vec<(String, String, String)> = status
        .details
        .clone()
        .unwrap()
        .causes
        .into_iter()
        .map(|cause| (cause.field, cause.reason, cause.message))
        .collect();
    causes.sort();
    assert_eq!(
        causes,
        [
            (
                ".spec.replicas".to_owned(),
                "FieldManagerConflict".to_owned(),
                "conflict with \"kubectl\" with subresource \"scale\" using apps/v1".to_owned()
            ),
            (
                ".spec.template.spec.containers[name=\"c\"].image".to_owned(),
                "FieldManagerConflict".to_owned(),
                "conflict with \"kubectl-set\" using apps/v1".to_owned()
            ),
        ]
    );
    assert!(status.message.starts_with("Apply failed with 2 conflicts: "), "{}", status.message);

    let forced = json(&apply(&api, &web(json!(2), "nginx:1"), "nave", true).await.unwrap());
    assert_eq!(forced["spec"]["replicas"], 2);
    assert_eq!((owned(&forced, "kubectl"), owned(&forced, "kubectl-set")), (Value::Null, Value::Null));
}

#[tokio::test]
async fn what_is_no_longer_applied_goes_unless_somebody_owns_it() {
    let (_cluster, client) = start().await;
    let api = namespaced(&client, "default", &resource("", "v1", "ConfigMap", "configmaps"));
    let map = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data});
    apply(&api, &map(json!({"a": "1", "b": "1", "c": "1"})), "nave", false).await.unwrap();
    apply(&api, &map(json!({"b": "1"})), "other", false).await.unwrap();
    let now = json(&apply(&api, &map(json!({"a": "1"})), "nave", false).await.unwrap());
    assert_eq!(now["data"], json!({"a": "1", "b": "1"}));
    assert_eq!(owned(&now, "nave"), json!({"f:data": {"f:a": {}}}));
    let (code, message) =
        failure(apply(&api, &map(json!({"a": "1", "b": "2"})), "nave", false).await.unwrap_err());
    assert_eq!(
        (code, message.as_str()),
        (409, "Apply failed with 1 conflict: conflict with \"other\": .data.b")
    );

    let api = deployments(&client);
    apply(&api, &web(json!(4), "nginx:1"), "nave", false).await.unwrap();
    let now = json(&apply(&api, &web(Value::Null, "nginx:1"), "nave", false).await.unwrap());
    assert_eq!(now["spec"]["replicas"], 1, "back to the default");
    assert_eq!(now["metadata"]["generation"], 2);
}

#[tokio::test]
async fn list_items_merge_by_their_keys() {
    let (_cluster, client) = start().await;
    let api = deployments(&client);
    let with = |env: Value| {
        let mut object = web(json!(1), "nginx:1");
        object["spec"]["template"]["spec"]["containers"][0]["env"] = env;
        object
    };
    apply(&api, &with(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "1"}])), "nave", false)
        .await
        .unwrap();
    let sidecar = json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"},
        {"name": "c", "env": [{"name": "Z", "value": "9"}]}]}}}});
    api.patch("web", &PatchParams::default(), &Patch::Strategic(&sidecar)).await.unwrap();
    let now = json(&apply(&api, &with(json!([{"name": "B", "value": "2"}])), "nave", false).await.unwrap());
    let containers = now["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 2);
    let own = containers.iter().find(|container| container["name"] == "c").unwrap();
    assert_eq!(own["env"], json!([{"name": "Z", "value": "9"}, {"name": "B", "value": "2"}]));
}

#[tokio::test]
async fn an_object_nobody_applied_has_its_creator_as_owner() {
    let (_cluster, client) = start().await;
    let api = namespaced(&client, "default", &resource("", "v1", "Service", "services"));
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}});
    let by = kube::api::PostParams { field_manager: Some("creator".to_owned()), ..Default::default() };
    let made = json(&api.create(&by, &serde_json::from_value(service.clone()).unwrap()).await.unwrap());
    assert_eq!(
        owned(&made, "creator"),
        json!({"f:spec": {"f:internalTrafficPolicy": {}, "f:ports": {".": {},
            "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}}},
            "f:selector": {}, "f:sessionAffinity": {}, "f:type": {}}})
    );
    let mut changed = service.clone();
    changed["spec"]["ports"][0]["targetPort"] = json!(8080);
    let (code, message) = failure(apply(&api, &changed, "nave", false).await.unwrap_err());
    assert_eq!(code, 409);
    assert_eq!(
        message,
        "Apply failed with 1 conflict: conflict with \"creator\" using v1: .spec.ports[port=80,protocol=\"TCP\"].targetPort"
    );
}
