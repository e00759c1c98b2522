//! Tests of rendering: variables, images, replicas, patches, and the properties that hold of all of them.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn bundle(objects: impl IntoIterator<Item = Value>) -> Bundle {
    Bundle::new(objects.into_iter().map(|object| Manifest::new(object).unwrap()).collect()).unwrap()
}

fn shop() -> Bundle {
    let deployment = |name: &str, image: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"region": "${nave:REGION}"}},
        "spec": {"template": {"spec": {
            "initContainers": [{"name": "wait", "image": "busybox:1"}],
            "containers": [{"name": name, "image": image, "env": [{"name": "R", "value": "in ${nave:REGION}, $${nave:REGION}"}]}],
        }}}})
    };
    bundle([
        deployment("frontend", "registry:5000/shop/frontend:1.8"),
        deployment("cart", "shop/cart@sha256:00"),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}}),
    ])
}

fn changes(value: Value) -> Override {
    serde_json::from_value(value).unwrap()
}

/// `value` with a value for the variable of the shop.
fn in_eu(mut value: Value) -> Override {
    value["variables"] = json!({"REGION": "eu"});
    changes(value)
}

fn rendered(override_: &Override) -> Result<Rendering, String> {
    render(&shop(), Inputs::plain(override_)).map_err(|error| error.0)
}

fn refusal(override_: &Override) -> String {
    rendered(override_).unwrap_err()
}

#[test]
fn variables_are_filled_in_in_string_values_and_can_be_escaped() {
    let rendering = rendered(&in_eu(json!({}))).unwrap();
    let frontend = rendering.manifests[0].object();
    assert_eq!(frontend["metadata"]["labels"]["region"], "eu");
    assert_eq!(
        frontend["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"],
        "in eu, ${nave:REGION}"
    );
}

#[test]
fn an_undefined_variable_is_named_with_its_place() {
    assert_eq!(
        refusal(&changes(json!({"variables": {"REGIO": "eu"}}))),
        "Deployment frontend: metadata.labels.region: the variable \"REGION\" is not defined for this cluster; did you mean \"REGIO\"?"
    );
}

#[test]
fn a_variable_s_value_must_be_legal_where_it_lands() {
    let error = refusal(&changes(json!({"variables": {"REGION": "no label"}})));
    assert!(
        error.starts_with("Deployment frontend: after the changes: metadata.labels[\"region\"]: label value"),
        "{error}"
    );
}

#[test]
fn a_variable_cannot_fill_the_memory() {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
                        "data": {"a": "${nave:X}".repeat(100_000)}});
    let override_ = changes(json!({"variables": {"X": "x".repeat(1_000_000)}}));
    let error = render(&bundle([object]), Inputs::plain(&override_));
    assert!(error.unwrap_err().0.contains("grows past"));
}

#[test]
fn images_are_set_by_container_or_by_repository() {
    let rendering = rendered(&in_eu(json!({"images": {
        "registry:5000/shop/frontend": "eu/frontend:1.9", "cart": "eu/cart:2", "shop/cart": "not taken", "busybox": "eu/busybox:2",
    }})))
    .unwrap();
    let images: Vec<&str> = rendering.manifests.iter().flat_map(Manifest::images).collect();
    assert_eq!(images, ["eu/frontend:1.9", "eu/busybox:2", "eu/cart:2", "eu/busybox:2"]);
}

#[test]
fn replicas_are_set_by_kind_and_name() {
    let rendering = rendered(&in_eu(json!({"replicas": {"Deployment/cart": 6}}))).unwrap();
    assert_eq!(rendering.manifests[1].object()["spec"]["replicas"], 6);
}

#[test]
fn patches_are_applied_in_order_to_what_their_target_names() {
    let rendering = rendered(&in_eu(json!({"replicas": {"Deployment/cart": 6}, "patches": [
        {"target": {"kind": "Deployment"}, "merge": {"spec": {"paused": true}}},
        {"target": {"kind": "Deployment", "name": "cart"}, "json": [
            {"op": "test", "path": "/spec/replicas", "value": 6}, {"op": "remove", "path": "/spec/paused"}]},
    ]})))
    .unwrap();
    assert_eq!(rendering.manifests[0].object()["spec"]["paused"], true);
    assert!(rendering.manifests[1].object()["spec"].get("paused").is_none());
}

#[test]
fn a_change_that_finds_nothing_is_refused_with_what_was_meant() {
    for (change, expected) in [
        (
            json!({"images": {"fronted": "x"}}),
            "images[\"fronted\"]: no container and no image has this name; did you mean \"frontend\"?",
        ),
        (
            json!({"images": {"cart": "${nave:REGION}/x"}}),
            "images[\"cart\"]: variables are filled in in manifests only; expected an image",
        ),
        (
            json!({"replicas": {"Deployment/kart": 1}}),
            "replicas[\"Deployment/kart\"]: is not among the manifests; did you mean \"Deployment/cart\"?",
        ),
        (
            json!({"replicas": {"DaemonSet/cart": 1}}),
            "replicas[\"DaemonSet/cart\"]: has no replica count; expected Deployment/NAME, StatefulSet/NAME or ReplicaSet/NAME",
        ),
        (
            json!({"patches": [{"target": {"kind": "Deployment", "name": "crt"}, "merge": {}}]}),
            "patches[0]: target: no manifest is Deployment crt and otherwise as the target wants; did you mean \"cart\"?",
        ),
        (
            json!({"patches": [{"target": {"kind": "Deploymnt"}, "merge": {}}]}),
            "patches[0]: target: no manifest is of kind \"Deploymnt\" and otherwise as the target wants; did you mean \"Deployment\"?",
        ),
        (
            json!({"patches": [{"target": {"kind": "ConfigMap"}, "json": [{"op": "remove", "path": "/spec/x"}]}]}),
            "patches[0]: ConfigMap settings: json[0]: path is invalid at \"/spec/x\"",
        ),
        (
            json!({"patches": [{"target": {"kind": "ConfigMap"}, "merge": {"metadata": {"name": "x"}}}]}),
            "patches[0]: ConfigMap settings: changes metadata.name; expected what identifies an object to stay",
        ),
        (
            json!({"patches": [{"target": {"kind": "ConfigMap"}, "json": [{"op": "replace", "path": "", "value": 1}]}]}),
            "patches[0]: ConfigMap settings: changes apiVersion; expected what identifies an object to stay",
        ),
        (
            json!({"patches": [{"target": {"kind": "ConfigMap"}, "merge": {"data": {"a": 1}}}]}),
            "ConfigMap settings: after the changes: data[\"a\"]: is a number; expected a string; quote it",
        ),
    ] {
        assert_eq!(refusal(&in_eu(change)), expected);
    }
}

#[test]
fn copies_in_a_patch_cannot_fill_the_memory() {
    let copies: Vec<Value> =
        (0..60).map(|i| json!({"op": "copy", "from": "", "path": format!("/x{i}")})).collect();
    let override_ = in_eu(json!({"patches": [{"target": {"kind": "ConfigMap"}, "json": copies}]}));
    assert!(refusal(&override_).contains("makes the object larger than"));
}

#[test]
fn the_namespace_is_made_first_unless_it_is_there() {
    let namespace = NamespaceName::new("shop").unwrap();
    let override_ = in_eu(json!({"patches": [
        {"target": {"kind": "Namespace"}, "merge": {"metadata": {"labels": {"team": "retail"}}}}]}));
    let inputs = Inputs { namespace: Some(&namespace), create_namespace: true, ..Inputs::plain(&override_) };
    let rendering = render(&shop(), inputs).unwrap();
    assert_eq!(rendering.manifests[0].key().to_string(), "Namespace shop");
    assert_eq!(rendering.manifests[0].object()["metadata"]["labels"]["team"], "retail");

    let there = bundle([json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})]);
    assert_eq!(render(&there, inputs).unwrap().manifests.len(), 1);
}

#[test]
fn two_manifests_that_meet_in_the_default_namespace_are_refused() {
    let map = |metadata: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    let bundle = bundle([map(json!({"name": "a"})), map(json!({"name": "a", "namespace": "shop"}))]);
    let namespace = NamespaceName::new("shop").unwrap();
    let override_ = Override::default();
    let inputs = Inputs { namespace: Some(&namespace), ..Inputs::plain(&override_) };
    assert_eq!(
        render(&bundle, inputs).unwrap_err().0,
        "ConfigMap a and ConfigMap shop/a are the same object: what names no namespace is in \"shop\""
    );
    assert!(render(&bundle, Inputs { namespace: None, ..inputs }).is_ok());
}

/// A bundle without variables, of a few ConfigMaps and Deployments.
fn any_bundle() -> impl Strategy<Value = Bundle> {
    let value = proptest::string::string_regex("[a-z $\\{\\}:é\n]{0,12}").unwrap();
    let entry = (any::<bool>(), value, 0_u32..5);
    proptest::collection::vec(entry, 1..6).prop_map(|entries| {
        bundle(entries.into_iter().enumerate().map(|(index, (is_map, text, replicas))| {
            let name = format!("o{index}");
            if is_map {
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"t": text}})
            } else {
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
                    "replicas": replicas, "template": {"spec": {"containers": [{"name": "c", "image": format!("i{index}:1")}]}}}})
            }
        }))
    })
}

proptest! {
    #[test]
    fn no_change_is_the_bundle_itself(bundle in any_bundle()) {
        let override_ = Override::default();
        let inputs = Inputs::plain(&override_);
        let rendering = render(&bundle, inputs).unwrap();
        prop_assert_eq!(&rendering.manifests[..], bundle.manifests());
        prop_assert_eq!(rendering.requests(), bundle.requests());
        prop_assert_eq!(rendering.digest, render(&bundle, inputs).unwrap().digest);
    }

    #[test]
    fn equal_changes_render_equal_wherever_they_are_made(bundle in any_bundle(), region in "[a-z]{1,8}", count in 0_u32..9) {
        // As an agent does it: the bundle from bytes, the changes from JSON.
        let replicas: serde_json::Map<String, Value> = bundle.manifests().iter()
            .filter(|m| m.key().kind == "Deployment")
            .map(|m| (format!("Deployment/{}", m.key().name), json!(count)))
            .collect();
        let override_ = changes(json!({"variables": {"REGION": region}, "replicas": replicas}));
        let copy: Override = serde_json::from_str(&serde_json::to_string(&override_).unwrap()).unwrap();
        let sent = Arc::new(Bundle::decode(&bundle.encode()).unwrap());
        let here = render(&bundle, Inputs::plain(&override_)).unwrap();
        let there = render(&sent, Inputs::plain(&copy)).unwrap();
        prop_assert_eq!(&here, &there);
        let again = Bundle::new(here.manifests.clone()).unwrap();
        let twice = render(&again, Inputs::plain(&changes(json!({"replicas": override_.replicas})))).unwrap();
        prop_assert_eq!(here.digest, twice.digest);
    }

    #[test]
    fn the_order_of_rules_that_touch_different_things_does_not_matter(bundle in any_bundle(), order in Just(vec![0, 1, 2]).prop_shuffle()) {
        let deployment = bundle.manifests().iter().find(|m| m.key().kind == "Deployment").cloned();
        let mut rules = vec![json!({"variables": {"A": "1"}}), json!({"variables": {"B": "2"}}), json!({})];
        if let Some(deployment) = deployment {
            let name = &deployment.key().name;
            rules[1] = json!({"replicas": {format!("Deployment/{name}"): 7}});
            rules[2] = json!({"patches": [{"target": {"kind": "Deployment", "name": name}, "merge": {"spec": {"paused": true}}}]});
        }
        let rules: Vec<crate::overrides::OverrideRule> =
            rules.into_iter().map(|rule| serde_json::from_value(rule).unwrap()).collect();
        let shuffled: Vec<_> = order.iter().map(|index: &usize| rules[*index].clone()).collect();
        let labels = crate::metadata::Labels::new();
        let [one, other] = [rules, shuffled].map(|rules| Override::for_cluster(&rules, &labels));
        prop_assert_eq!(
            render(&bundle, Inputs::plain(&one)).unwrap(),
            render(&bundle, Inputs::plain(&other)).unwrap()
        );
    }

    #[test]
    fn no_changes_make_the_renderer_panic(
        path in "(/[a-z0-9~-]{0,12}){0,5}", from in "(/[a-z0-9]{0,12}){0,3}", op in 0_usize..6, text in "[a-z${}:]{0,20}",
    ) {
        let op = ["add", "remove", "replace", "move", "copy", "test"][op];
        let override_ = changes(json!({
            "variables": {"REGION": text},
            "patches": [
                {"target": {"kind": "Deployment"}, "json": [{"op": op, "path": path, "from": from, "value": text}]},
                {"target": {"kind": "ConfigMap"}, "merge": {"data": {text: null}, "x": [null, {"y": path}]}},
            ],
        }));
        if let Ok(rendering) = rendered(&override_) {
            prop_assert_eq!(rendering.manifests.len(), 3);
            prop_assert_eq!(rendered(&override_).unwrap(), rendering);
        }
    }
}
