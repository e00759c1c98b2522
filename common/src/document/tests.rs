//! Tests of documents: what is taken and how it is printed again.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const DESIGN: &str = "\
apiVersion: nave.dev/v1alpha1
kind: Application
metadata: {name: shop, project: retail, labels: {team: retail}}
spec:
  source: {bundle: {path: deploy/prod}}
  namespace: shop
  createNamespace: true
  placement:
    clusters: {matchLabels: {env: prod}}
    spread: [{by: region, minDomains: 2}]
    count: 4
    tolerations: [{key: maintenance, operator: Exists}]
  overrides:
    - clusters: {matchLabels: {region: eu}}
      variables: {REGION: eu}
      images: {frontend: registry.eu.example.com/shop/frontend:1.9}
      replicas: {Deployment/frontend: 6}
      patches: [{target: {kind: Deployment, name: frontend}, merge: {spec: {paused: false}}}]
  sync: {prune: true, adopt: IfNoDiff, ignoreFields: [{target: {kind: Deployment, name: cart}, paths: [/spec/replicas]}]}
---
# The second document needs no apiVersion.
kind: Cluster
metadata: {name: eu-1, labels: {region: eu}}
spec: {taints: [{key: maintenance, effect: NoSchedule}]}
";

#[test]
fn a_file_holds_documents_of_several_kinds() {
    let loaded = load(DESIGN, "shop.yaml").unwrap();
    assert_eq!(
        loaded.iter().map(|located| (located.value.kind(), located.line)).collect::<Vec<_>>(),
        [("Application", 1), ("Cluster", 22)]
    );
    let Document::Application(application) = &loaded[0].value else { panic!("{loaded:?}") };
    assert_eq!(application.key().to_string(), "retail/shop");
    assert!(load("# nothing\n", "empty.yaml").unwrap().is_empty());
}

#[test]
fn what_is_printed_begins_with_what_it_is() {
    let loaded = load(DESIGN, "shop.yaml").unwrap();
    let text = yaml::to_string(&loaded[0].value).unwrap();
    assert!(
        text.starts_with("apiVersion: nave.dev/v1alpha1\nkind: Application\nmetadata:\n  name: shop\n"),
        "{text}"
    );
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,40}", "[yn0-9:._-]{1,6}", any::<String>()]
}

fn any_labels() -> impl Strategy<Value = serde_json::Value> {
    proptest::collection::btree_map("[a-z]{1,5}(/[a-z]{1,5})?", "[a-zA-Z0-9]{0,5}", 0..3)
        .prop_map(|labels| json!(labels))
}

prop_compose! {
    fn any_application()(
        name in "[a-z0-9]{1,10}",
        labels in any_labels(),
        clusters in any_labels(),
        annotation in any_text(),
        variable in any_text(),
        data in any_text(),
        count in proptest::option::of(1_u32..50),
        replicas in 0_u32..9,
        is_inline in any::<bool>(),
    ) -> serde_json::Value {
        let source = if is_inline {
            json!({"inline": {"manifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"d": data}}]}})
        } else {
            json!({"bundle": {"path": data}})
        };
        json!({
            "apiVersion": API_VERSION, "kind": "Application",
            "metadata": {"name": name, "labels": labels, "annotations": {"note": annotation}},
            "spec": {
                "source": source,
                "placement": {"clusters": {"matchLabels": clusters}, "count": count},
                "overrides": [{
                    "variables": {"V": variable},
                    "replicas": {format!("Deployment/{name}"): replicas},
                    "patches": [{"target": {"kind": "Deployment"}, "merge": {"spec": {"x": [1, "2", null, {"y": 0.5}]}}}],
                }],
            },
        })
    }
}

proptest! {
    #[test]
    fn a_document_that_is_printed_reads_back_equal(value in any_application()) {
        let document = Document::from_value(value).unwrap();
        let text = yaml::to_string(&document).unwrap();
        let loaded = load(&text, "printed.yaml").unwrap();
        prop_assert_eq!(&loaded[0].value, &document, "{}", text);
        let json = serde_json::to_value(&document).unwrap();
        prop_assert_eq!(Document::from_value(json).unwrap(), document);
    }
}
