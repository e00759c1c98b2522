//! Tests of manifests: canonical form, what is refused and where, and masking.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn refusal(object: Value) -> String {
    Manifest::new(object).unwrap_err().to_string()
}

#[expect(clippy::needless_pass_by_value, reason = "literals read better")]
fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart", "namespace": "shop"},
           "spec": {"template": {"spec": spec}}})
}

#[test]
fn a_key_is_everything_but_the_version() {
    let manifest = Manifest::new(deployment(json!({}))).unwrap();
    assert_eq!(manifest.key().to_string(), "Deployment shop/cart");
    assert_eq!(manifest.key().group, "apps");
    assert_eq!(manifest.api_version(), "apps/v1");
}

#[test]
fn what_only_a_server_sets_and_nulls_are_dropped_and_the_rest_stays() {
    let manifest = Manifest::new(json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "status": {"x": 1}, "extra": null, "weight": 1.0, "list": [null],
        "metadata": {"name": "a", "namespace": "", "uid": "u", "resourceVersion": "1", "generation": 3, "creationTimestamp": null,
                     "selfLink": "/x", "managedFields": [{}], "finalizers": ["a/b"], "ownerReferences": [{"uid": "u"}]},
    }))
    .unwrap();
    let expected = json!({"apiVersion": "v1", "kind": "ServiceAccount", "weight": 1, "list": [null],
        "metadata": {"name": "a", "finalizers": ["a/b"], "ownerReferences": [{"uid": "u"}]}});
    assert_eq!(*manifest.object(), expected);
    assert_eq!(Manifest::new(manifest.object().clone()).unwrap(), manifest, "canonical form is stable");
}

#[test]
fn identity_that_no_api_server_takes_is_refused_by_path() {
    for (object, expected) in [
        (json!([]), "is no Kubernetes object: expected a map with apiVersion, kind and metadata"),
        (json!({}), "apiVersion: is missing; expected a group and version, such as apps/v1"),
        (json!({"apiVersion": 1}), "apiVersion: is a number; expected a string; quote it"),
        (
            json!({"apiVersion": "apps/v1/x"}),
            "apiVersion: \"apps/v1/x\" is not valid; expected a group and version such as apps/v1, or v1 for the core group",
        ),
        (json!({"apiVersion": "v1"}), "kind: is missing; expected a kind, such as Deployment"),
        (
            json!({"apiVersion": "v1", "kind": "A/B"}),
            "kind: \"A/B\" is not valid; expected a kind, such as Deployment",
        ),
        (json!({"apiVersion": "v1", "kind": "Pod"}), "metadata: is missing; expected a map with a name"),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": []}),
            "metadata: is a list; expected a map with a name",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}}),
            "metadata.name: is missing; expected the object's name",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 8}}),
            "metadata.name: is a number; expected a string; quote it",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a/b"}}),
            "metadata.name: \"a/b\" is not valid: '/', '%', \".\" and \"..\" are not allowed",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a-${nave:X}"}}),
            "metadata.name: variables are not allowed in what identifies an object",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "A"}}),
            "metadata.namespace: \"A\" is not valid: 'A' is not allowed; expected lower-case letters, digits and '-'",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-"}}),
            "metadata.generateName: is not taken: what is kept as it is wanted needs a fixed name; expected metadata.name",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMapList", "items": []}),
            "kind: is ConfigMapList, a list of objects; expected one object (files may hold lists, patches and inline manifests may not)",
        ),
    ] {
        assert_eq!(refusal(object), expected);
    }
}

#[test]
fn names_of_rbac_and_crds_are_taken() {
    for name in ["system:node", "routes.gateway.example.com", "UPPER_case", &"x".repeat(253)] {
        let object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}});
        assert!(Manifest::new(object).is_ok(), "{name}");
    }
}

#[test]
fn labels_and_annotations_are_strings_with_legal_keys() {
    let with = |metadata: Value| {
        let mut object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
        json_patch::merge(&mut object["metadata"], &metadata);
        object
    };
    for (metadata, expected) in [
        (
            json!({"annotations": {"a": 1}}),
            "metadata.annotations[\"a\"]: is a number; expected a string; quote it",
        ),
        (
            json!({"labels": {"a": true}}),
            "metadata.labels[\"a\"]: is true or false; expected a string; quote it",
        ),
        (json!({"labels": []}), "metadata.labels: is a list; expected a map of strings"),
        (
            json!({"labels": {"nave.dev/project": "x"}}),
            "metadata.labels[\"nave.dev/project\"]: is set by Nave itself; expected it to be left out",
        ),
    ] {
        assert_eq!(refusal(with(metadata)), expected);
    }
    assert!(
        refusal(with(json!({"labels": {"a": "b c"}})))
            .starts_with("metadata.labels[\"a\"]: label value \"b c\"")
    );
    assert!(
        refusal(with(json!({"annotations": {"a b": ""}}))).contains("annotation key \"a b\" is not valid")
    );
    assert!(
        Manifest::new(with(
            json!({"labels": {"a": "${nave:X}"}, "annotations": {"Example.com/A": "any thing"}})
        ))
        .is_ok()
    );
}

#[test]
fn lists_with_keys_hold_each_key_once() {
    let container = |fields: Value| {
        let mut container = json!({"name": "app"});
        json_patch::merge(&mut container, &fields);
        deployment(json!({"containers": [container]}))
    };
    let under = "spec.template.spec";
    for (object, expected) in [
        (
            deployment(json!({"containers": [{"name": "a"}, {"name": "a"}]})),
            "containers[1]: has name \"a\" again, like containers[0]; expected it once",
        ),
        (
            deployment(json!({"initContainers": [{"image": "a"}]})),
            "initContainers[0].name: is missing; expected a value, which tells the items apart",
        ),
        (
            container(json!({"ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]})),
            "containers[0].ports[1]: has containerPort 80 and protocol \"TCP\" again, like ports[0]; expected it once",
        ),
        (
            container(json!({"env": [{"name": "A"}, {"name": "B"}, {"name": "A"}]})),
            "containers[0].env[2]: has name \"A\" again, like env[0]; expected it once",
        ),
        (
            container(
                json!({"volumeMounts": [{"name": "a", "mountPath": "/x"}, {"name": "b", "mountPath": "/x"}]}),
            ),
            "containers[0].volumeMounts[1]: has mountPath \"/x\" again, like volumeMounts[0]; expected it once",
        ),
        (
            container(json!({"env": [{"name": "PORT", "value": 8080}]})),
            "containers[0].env[0].value: is a number; expected a string; quote it",
        ),
        (
            container(json!({"args": ["--port", 80]})),
            "containers[0].args[1]: is a number; expected a string; quote it",
        ),
        (
            deployment(json!({"volumes": [{"name": "v"}, {"name": "v"}]})),
            "volumes[1]: has name \"v\" again, like volumes[0]; expected it once",
        ),
        (
            deployment(json!({"imagePullSecrets": [{}, {"name": ""}]})),
            "imagePullSecrets[1]: has name \"\" again, like imagePullSecrets[0]; expected it once",
        ),
        (deployment(json!({"containers": {}})), "containers: is a map; expected a list"),
        (deployment(json!({"containers": ["a"]})), "containers[0]: is a string; expected a map"),
    ] {
        assert_eq!(refusal(object), format!("{under}.{expected}"));
    }
    let two_protocols = json!([{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53}]);
    assert!(Manifest::new(container(json!({"ports": two_protocols}))).is_ok());
}

#[test]
fn pod_templates_are_found_in_every_workload() {
    let twice = json!({"containers": [{"name": "a"}, {"name": "a"}]});
    for (api_version, kind, path) in [
        ("v1", "Pod", "/spec"),
        ("apps/v1", "StatefulSet", "/spec/template/spec"),
        ("apps/v1", "DaemonSet", "/spec/template/spec"),
        ("apps/v1", "ReplicaSet", "/spec/template/spec"),
        ("batch/v1", "Job", "/spec/template/spec"),
        ("batch/v1", "CronJob", "/spec/jobTemplate/spec/template/spec"),
    ] {
        let body = path
            .rsplit('/')
            .filter(|part| !part.is_empty())
            .fold(twice.clone(), |inner, part| json!({part: inner}));
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}});
        json_patch::merge(&mut object, &body);
        let at = path[1..].replace('/', ".");
        assert!(refusal(object).starts_with(&format!("{at}.containers[1]: ")), "{kind}");
    }
}

#[test]
fn keyed_lists_outside_of_pods_are_checked_too() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"},
        "spec": {"ports": [{"port": 80}, {"port": 80}]}});
    assert!(refusal(service).starts_with("spec.ports[1]: has port 80 and protocol \"TCP\" again"));
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "a.b.c"}, "spec": {"versions": [{"name": "v1"}, {"name": "v1"}]}});
    assert!(refusal(crd).starts_with("spec.versions[1]: has name \"v1\" again"));
}

#[expect(clippy::needless_pass_by_value, reason = "literals read better")]
fn secret(fields: Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    json_patch::merge(&mut object, &fields);
    object
}

#[test]
fn string_data_is_folded_into_data_and_wins() {
    let manifest =
        Manifest::new(secret(json!({"data": {"a": "b2xk", "b": "\nb2\nxk\n"}, "stringData": {"a": "new"}})))
            .unwrap();
    assert_eq!(manifest.object()["data"], json!({"a": "bmV3", "b": "b2xk"}));
    assert!(manifest.object().get("stringData").is_none());
}

#[test]
fn no_error_and_no_debug_output_quotes_a_secret() {
    for fields in [
        json!({"data": {"a": "hunter2!"}}),
        json!({"stringData": {"a": ["hunter2!"]}}),
        json!({"stringData": {"a": "hunter2!${nave:X}"}}),
        json!({"data": "hunter2!"}),
        json!({"data": {"a": {"hunter2!": 1}}}),
    ] {
        let error = Manifest::new(secret(fields.clone())).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?} of {fields}");
    }
    let manifest = Manifest::new(secret(json!({"stringData": {"a": "hunter2!"}}))).unwrap();
    assert!(format!("{manifest:?}").contains("\"a\":\"***\""), "{manifest:?}");
}

#[test]
fn masks_show_that_a_value_changed_but_not_the_value() {
    let before = secret(json!({"data": {"same": "eA==", "gone": "eA==", "other": "eA=="}}));
    let after = secret(json!({"data": {"same": "eA==", "new": "eA==", "other": "eQ=="}}));
    let (shown_before, shown_after) = masked_pair(&before, &after);
    assert_eq!(shown_before["data"], json!({"same": "***", "gone": "***", "other": "***"}));
    assert_eq!(shown_after["data"], json!({"same": "***", "new": "***", "other": "*** (changed)"}));
    let list = json!({"kind": "List", "items": [after, {"kind": "ConfigMap", "data": {"a": "b"}}]});
    assert_eq!(masked(&list)["items"][0]["data"]["other"], MASK);
    assert_eq!(masked(&list)["items"][1]["data"]["a"], "b");
}

#[test]
fn the_last_applied_annotation_of_a_secret_is_masked() {
    let mut object = secret(json!({}));
    object["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": "{\"data\": 1}", "a": "b"});
    assert_eq!(
        masked(&object)["metadata"]["annotations"],
        json!({"kubectl.kubernetes.io/last-applied-configuration": "***", "a": "b"})
    );
}

#[test]
fn size_and_depth_are_bounded() {
    let large = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
        "data": {"a": "x".repeat(MAX_MANIFEST_BYTES)}});
    assert!(matches!(Manifest::new(large), Err(Error::TooLarge(_))));
    let deep = (0..200).fold(json!(1), |inner, _| json!({"a": inner}));
    assert!(refusal(deep).ends_with("stands more than 64 levels deep"));
}

#[test]
fn pods_request_what_the_scheduler_counts() {
    let requests = |cpu: &str, memory: &str| json!({"requests": {"cpu": cpu, "memory": memory}});
    let mut object = deployment(json!({
        "containers": [
            {"name": "a", "resources": requests("100m", "64Mi")},
            {"name": "b", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": 0.5}}},
        ],
        "initContainers": [
            {"name": "sidecar", "restartPolicy": "Always", "resources": requests("50m", "16Mi")},
            {"name": "migrate", "resources": requests("2", "32Mi")},
        ],
    }));
    object["spec"]["replicas"] = json!(3);
    let requests = Manifest::new(object).unwrap().requests();
    assert_eq!(requests.cpu_millicores, 3 * 2050, "the init container beside the sidecar needs most");
    assert_eq!(requests.memory_bytes, 3 * ((64 + 1024 + 16) << 20));
    assert_eq!(requests.pods, 3);
}

#[test]
fn pods_are_counted_by_kind() {
    let count = |api_version: &str, kind: &str, spec: Value| {
        let object =
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, "spec": spec});
        Manifest::new(object).unwrap().pod_count()
    };
    assert_eq!(count("apps/v1", "Deployment", json!({})), 1);
    assert_eq!(count("apps/v1", "StatefulSet", json!({"replicas": 0})), 0);
    assert_eq!(count("apps/v1", "DaemonSet", json!({})), 0);
    assert_eq!(count("batch/v1", "Job", json!({"parallelism": 4})), 4);
    assert_eq!(count("batch/v1", "CronJob", json!({"jobTemplate": {"spec": {"parallelism": 2}}})), 2);
    assert_eq!(count("batch/v1", "CronJob", json!({"suspend": true})), 0);
    assert_eq!(count("v1", "Pod", json!({})), 1);
    assert_eq!(count("v1", "Service", json!({})), 0);
}

#[test]
fn an_image_s_repository_has_neither_tag_nor_digest() {
    for (image, expected) in [
        ("nginx", "nginx"),
        ("nginx:1.9", "nginx"),
        ("registry:5000/shop/cart", "registry:5000/shop/cart"),
        ("registry:5000/shop/cart:1@sha256:ab", "registry:5000/shop/cart"),
    ] {
        assert_eq!(repository(image), expected);
    }
}

#[test]
fn an_application_is_shown_without_the_values_of_its_secrets() {
    let application: crate::application::Application = serde_json::from_value(json!({
        "metadata": {"name": "shop"},
        "spec": {
            "source": {"inline": {"manifests": [secret(json!({"stringData": {"a": "hunter2"}}))]}},
            "overrides": [{"patches": [
                {"target": {"kind": "Secret"}, "merge": {"stringData": {"a": "hunter2"}}},
                {"target": {"kind": "Secret"}, "json": [{"op": "add", "path": "/data/a", "value": "hunter2"}]},
                {"target": {"kind": "ConfigMap"}, "merge": {"data": {"a": "shown"}}},
            ]}],
        },
    }))
    .unwrap();
    let shown = serde_json::to_string(&application.masked()).unwrap();
    assert!(!shown.contains("hunter2") && shown.contains("shown"), "{shown}");
    let debug = format!("{application:?}");
    assert!(!debug.contains("hunter2") && debug.contains("shown"), "{debug}");
}

/// Objects that are manifests or nearly so.
fn any_object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zA-Z0-9=${}: \n]{0,12}".prop_map(Value::from),
    ];
    let words = [
        "name",
        "data",
        "stringData",
        "spec",
        "template",
        "containers",
        "env",
        "value",
        "ports",
        "containerPort",
        "labels",
        "metadata",
        "replicas",
        "x",
    ];
    let field = proptest::sample::select(words.to_vec()).prop_map(str::to_owned);
    let body = leaf.prop_recursive(6, 48, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(field.clone(), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    let kinds = [
        ("v1", "Secret"),
        ("v1", "ConfigMap"),
        ("v1", "Pod"),
        ("apps/v1", "Deployment"),
        ("example.com/v1", "A"),
    ];
    (proptest::sample::select(kinds.to_vec()), body).prop_map(|((api_version, kind), body)| {
        let mut object = json!({});
        if body.is_object() {
            object = body;
        }
        json_patch::merge(
            &mut object,
            &json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}}),
        );
        object
    })
}

proptest! {
    #[test]
    fn the_canonical_form_is_its_own_and_survives_bytes(object in any_object()) {
        if let Ok(manifest) = Manifest::new(object) {
            let again = Manifest::new(manifest.object().clone()).unwrap();
            prop_assert_eq!(&again, &manifest);
            let bundle = crate::bundle::Bundle::new(vec![manifest]).unwrap();
            prop_assert_eq!(crate::bundle::Bundle::decode(&bundle.encode()).unwrap(), bundle);
        }
    }
}

#[test]
fn objects_are_ordered_by_group_kind_namespace_and_name() {
    let texts = ["", "a", "b"];
    let mut keys = Vec::new();
    for group in texts {
        for namespace in [None, Some(""), Some("a")] {
            for name in texts {
                let namespace = namespace.map(str::to_owned);
                keys.push(ObjectKey { group: group.into(), kind: "K".into(), namespace, name: name.into() });
            }
        }
    }
    let fields =
        |key: &ObjectKey| (key.group.clone(), key.kind.clone(), key.namespace.clone(), key.name.clone());
    for left in &keys {
        for right in &keys {
            assert_eq!(left.cmp(right), fields(left).cmp(&fields(right)), "{left:?} {right:?}");
        }
    }
}
