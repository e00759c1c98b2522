//! Custom resource definitions, discovery and garbage collection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::needless_pass_by_value)]

mod common;

use common::{apply, failure, json as plain, namespaced, owned, resource, start};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, PostParams, PropagationPolicy};
use serde_json::{Value, json};

fn definition() -> CustomResourceDefinition {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "required": ["size"], "properties": {
            "size": {"type": "integer", "minimum": 1},
            "color": {"type": "string", "default": "red", "enum": ["red", "blue"]},
            "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"}, "count": {"type": "integer"}}}},
            "whole": {"type": "array", "items": {"type": "string"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}}}});
    serde_json::from_value(json!({"metadata": {"name": "widgets.demo.io"}, "spec": {
        "group": "demo.io", "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
        "versions": [
            {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}}},
            {"name": "v1beta1", "served": true, "storage": false, "schema": {"openAPIV3Schema": schema}}]}}))
    .unwrap()
}

async fn established(client: &kube::Client) -> Api<CustomResourceDefinition> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &definition()).await.unwrap();
    common::eventually("the definition is established", || async {
        let found = definitions.get("widgets.demo.io").await.unwrap();
        let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
        conditions.iter().any(|one| {
            let one = serde_json::to_value(one).unwrap();
            one["type"] == "Established" && one["status"] == "True"
        })
    })
    .await;
    definitions
}

fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "demo.io/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn a_custom_kind_is_served_checked_and_taken_away_with_its_objects() {
    let (_cluster, client) = start().await;
    let widgets = namespaced(&client, "default", &resource("demo.io", "v1", "Widget", "widgets"));
    assert_eq!(failure(widgets.list(&ListParams::default()).await.unwrap_err()).0, 404);
    let definitions = established(&client).await;
    let group = client.list_api_group_resources("demo.io/v1").await.unwrap();
    let names: Vec<&str> = group.resources.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, ["widgets", "widgets/status"]);

    let made = plain(&apply(&widgets, &widget("a", json!({"size": 3})), "nave", false).await.unwrap());
    assert_eq!(made["spec"], json!({"size": 3, "color": "red"}));
    assert_eq!((&made["metadata"]["generation"], made.get("status")), (&json!(1), None));
    let (code, message) =
        failure(apply(&widgets, &widget("b", json!({"color": "red"})), "nave", false).await.unwrap_err());
    assert_eq!((code, message.as_str()), (422, "Widget.demo.io \"b\" is invalid: spec.size: Required value"));
    let (code, message) = failure(
        apply(&widgets, &widget("b", json!({"size": 1, "odd": 1})), "nave", false).await.unwrap_err(),
    );
    assert_eq!(code, 500);
    assert!(message.ends_with(".spec.odd: field not declared in schema"), "{message}");
    let posted = serde_json::from_value(widget("c", json!({"size": 1, "odd": 1, "free": {"x": 1}}))).unwrap();
    let posted = plain(&widgets.create(&PostParams::default(), &posted).await.unwrap());
    assert_eq!(
        posted["spec"],
        json!({"size": 1, "color": "red", "free": {"x": 1}}),
        "unknown fields are pruned"
    );

    let beta = namespaced(&client, "default", &resource("demo.io", "v1beta1", "Widget", "widgets"));
    assert_eq!(plain(&beta.get("a").await.unwrap())["apiVersion"], "demo.io/v1beta1");

    let status = json!({"apiVersion": "demo.io/v1", "kind": "Widget", "metadata": {"name": "a"},
        "status": {"phase": "Done"}});
    let by = kube::api::PatchParams::apply("controller");
    let now = plain(&widgets.patch_status("a", &by, &kube::api::Patch::Apply(&status)).await.unwrap());
    assert_eq!((&now["status"]["phase"], &now["metadata"]["generation"]), (&json!("Done"), &json!(1)));
    assert_eq!(owned(&now, "controller"), json!({"f:status": {"f:phase": {}}}));

    definitions.delete("widgets.demo.io", &DeleteParams::default()).await.unwrap();
    common::eventually("the definition is gone", || async {
        definitions.get_opt("widgets.demo.io").await.unwrap().is_none()
    })
    .await;
    assert_eq!(failure(widgets.list(&ListParams::default()).await.unwrap_err()).0, 404);
}

#[tokio::test]
async fn custom_lists_merge_as_their_schema_says() {
    let (_cluster, client) = start().await;
    established(&client).await;
    let widgets = namespaced(&client, "default", &resource("demo.io", "v1", "Widget", "widgets"));
    let of = |parts: Value, whole: Value| widget("a", json!({"size": 1, "parts": parts, "whole": whole}));
    apply(&widgets, &of(json!([{"name": "x", "count": 1}]), json!(["a"])), "nave", false).await.unwrap();
    let other = widget("a", json!({"size": 1, "parts": [{"name": "y", "count": 2}]}));
    let now = plain(&apply(&widgets, &other, "other", false).await.unwrap());
    assert_eq!(now["spec"]["parts"], json!([{"name": "x", "count": 1}, {"name": "y", "count": 2}]));
    assert_eq!(
        owned(&now, "other")["f:spec"]["f:parts"],
        json!({"k:{\"name\":\"y\"}": {".": {}, "f:count": {}, "f:name": {}}})
    );
    let other = widget("a", json!({"size": 1, "whole": ["b"]}));
    let (code, message) = failure(apply(&widgets, &other, "third", false).await.unwrap_err());
    assert_eq!(
        (code, message.as_str()),
        (409, "Apply failed with 1 conflict: conflict with \"nave\": .spec.whole")
    );
}

#[tokio::test]
async fn discovery_answers_plain_and_aggregated() {
    let (_cluster, client) = start().await;
    assert_eq!(client.apiserver_version().await.unwrap().git_version, "v1.37.2");
    let groups = client.list_api_groups().await.unwrap();
    assert!(groups.groups.iter().any(|group| group.name == "apps"));
    let discovery = kube::discovery::Discovery::new(client.clone()).run().await.unwrap();
    let aggregated = kube::discovery::Discovery::new(client).run_aggregated().await.unwrap();
    for found in [discovery, aggregated] {
        let (resource, capabilities) = found
            .resolve_gvk(&kube::core::GroupVersionKind::gvk("apps", "v1", "Deployment"))
            .expect("deployments are served");
        assert_eq!(resource.plural, "deployments");
        assert!(capabilities.subresources.iter().any(|(of, _)| of.plural == "scale"));
        assert!(found.resolve_gvk(&kube::core::GroupVersionKind::gvk("", "v1", "Namespace")).is_some());
    }
}

fn dependent(name: &str, owner: &ConfigMap) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "ownerReferences": [{"apiVersion": "v1",
        "kind": "ConfigMap", "name": owner.metadata.name, "uid": owner.metadata.uid, "blockOwnerDeletion": true}]}}))
    .unwrap()
}

#[tokio::test]
async fn dependents_follow_their_owner_as_the_policy_says() {
    let (_cluster, client) = start().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let owner: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "owner"}})).unwrap();
    for (policy, stays) in [
        (PropagationPolicy::Background, false),
        (PropagationPolicy::Foreground, false),
        (PropagationPolicy::Orphan, true),
    ] {
        let owner = maps.create(&PostParams::default(), &owner).await.unwrap();
        maps.create(&PostParams::default(), &dependent("child", &owner)).await.unwrap();
        let how = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        maps.delete("owner", &how).await.unwrap();
        common::eventually("the owner is gone", || async { maps.get_opt("owner").await.unwrap().is_none() })
            .await;
        if stays {
            let child = maps.get("child").await.unwrap();
            assert_eq!(child.metadata.owner_references, None);
        } else {
            common::eventually("the child is gone", || async {
                maps.get_opt("child").await.unwrap().is_none()
            })
            .await;
        }
    }
    let mut lost = owner;
    lost.metadata.uid = Some("00000000-0000-4000-8000-000000000000".to_owned());
    maps.create(&PostParams::default(), &dependent("lost", &lost)).await.unwrap();
    common::eventually("a child of nobody is gone", || async {
        maps.get_opt("lost").await.unwrap().is_none()
    })
    .await;
}
