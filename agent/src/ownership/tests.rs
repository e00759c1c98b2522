//! Tests of ownership: field sets, digests, and what is drift.

use serde_json::json;

use super::exclusion::Exclusion;
use super::*;

/// A Deployment as a real API server gave it back.
fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "d", "namespace": "default", "labels": {"nave.dev/application": "x"},
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "managedFields": [
                {"manager": "nave", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:nave.dev/application": {}}},
                    "f:spec": {
                        "f:replicas": {}, "f:selector": {},
                        "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                            ".": {}, "f:args": {}, "f:image": {}, "f:name": {}, "f:resources": {},
                            "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}
                        }}}}
                    }
                }},
                {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status",
                 "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, "f:deployment.kubernetes.io/revision": {}}},
                              "f:status": {"f:replicas": {}}}}
            ]
        },
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "d"}},
            "template": {"spec": {"containers": [
                {"name": "c", "image": "nginx:1", "args": ["a", "b"], "resources": {}, "terminationMessagePath": "/x",
                 "ports": [{"containerPort": 80, "protocol": "TCP"}]}
            ]}}
        },
        "status": {"replicas": 2}
    })
}

fn own(object: &Value) -> Digest {
    of(object, "nave", &[]).unwrap().digest
}

fn container(object: &mut Value) -> &mut Value {
    &mut object["spec"]["template"]["spec"]["containers"][0]
}

#[test]
fn foreign_changes_elsewhere_are_no_drift() {
    let before = own(&deployment());
    let mut changed = deployment();
    changed["status"]["replicas"] = 1.into();
    changed["metadata"]["resourceVersion"] = "9".into();
    changed["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "2".into();
    container(&mut changed)["terminationMessagePath"] = "/y".into();
    let sidecar = json!({"name": "proxy", "image": "envoy"});
    let containers = changed["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
    containers.insert(0, sidecar);
    assert_eq!(own(&changed), before);
}

#[test]
fn every_change_of_an_owned_value_is_drift() {
    let before = own(&deployment());
    let changes: [fn(&mut Value); 6] = [
        |d| d["spec"]["replicas"] = 3.into(),
        |d| d["spec"]["selector"]["matchLabels"]["app"] = "e".into(),
        |d| container(d)["args"] = json!(["b", "a"]),
        |d| container(d)["ports"] = json!([]),
        |d| d["metadata"]["labels"] = json!({}),
        |d| {
            container(d).as_object_mut().unwrap().remove("image");
        },
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut changed = deployment();
        change(&mut changed);
        assert_ne!(own(&changed), before, "change {index}");
    }
}

#[test]
fn field_that_was_taken_out_of_the_set_is_drift_and_named() {
    let last = of(&deployment(), "nave", &[]).unwrap();
    let mut edited = deployment();
    let managed = edited["metadata"]["managedFields"].as_array_mut().unwrap();
    managed[0]["fieldsV1"]["f:spec"].as_object_mut().unwrap().remove("f:replicas");
    managed.push(json!({"manager": "kubectl", "operation": "Update", "subresource": "scale",
                        "fieldsV1": {"f:spec": {"f:replicas": {}}}}));
    // The value is the same, and still the field is no longer Nave's.
    assert_ne!(own(&edited), last.digest);
    assert_eq!(
        taken(&edited, "nave", &last.paths),
        [Taken { path: ".spec.replicas".into(), manager: "kubectl".into() }]
    );
    assert_eq!(taken(&deployment(), "nave", &last.paths), []);
}

#[test]
fn what_was_taken_while_nobody_looked_is_found_by_the_digest() {
    let last = of(&deployment(), "nave", &[]).unwrap();
    let mut edited = deployment();
    let managed = edited["metadata"]["managedFields"].as_array_mut().unwrap();
    managed[0]["fieldsV1"]["f:spec"].as_object_mut().unwrap().remove("f:replicas");
    managed.push(json!({"manager": "kubectl", "operation": "Update",
                        "fieldsV1": {"f:spec": {"f:replicas": {}, "f:paused": {}}}}));
    edited["spec"]["replicas"] = 9.into();
    let now = of(&edited, "nave", &[]).unwrap();
    assert_eq!(restore(&edited, "nave", &now, &last.digest), Some(last.paths));
}

#[test]
fn what_others_put_into_a_map_that_was_applied_empty_is_theirs() {
    let before = own(&deployment());
    let mut limited = deployment();
    container(&mut limited)["resources"] = json!({"limits": {"cpu": "1"}});
    assert_ne!(own(&limited), before, "while nobody is known to own what is in it, it counts");
    let managed = limited["metadata"]["managedFields"].as_array_mut().unwrap();
    managed.push(
        json!({"manager": "vpa", "operation": "Update", "fieldsV1": {"f:spec": {"f:template": {"f:spec":
        {"f:containers": {"k:{\"name\":\"c\"}": {"f:resources": {"f:limits": {"f:cpu": {}}}}}}}}}}),
    );
    assert_eq!(own(&limited), before);
}

#[test]
fn excluded_fields_do_not_count() {
    let replicas = [Exclusion::replicas()];
    let before = of(&deployment(), "nave", &replicas).unwrap();
    let mut scaled = deployment();
    scaled["spec"]["replicas"] = 7.into();
    assert_eq!(of(&scaled, "nave", &replicas).unwrap(), before);
    assert!(!is_owned_by_other(&scaled, "nave", &replicas[0]));
    assert_eq!(scaler(&scaled), None);

    let managed = scaled["metadata"]["managedFields"].as_array_mut().unwrap();
    managed.push(json!({"manager": "kube-controller-manager", "operation": "Update", "subresource": "scale",
                        "fieldsV1": {"f:spec": {"f:replicas": {}}}}));
    assert!(is_owned_by_other(&scaled, "nave", &replicas[0]));
    assert_eq!(scaler(&scaled), Some("kube-controller-manager"));
}

#[test]
fn scaling_by_hand_is_no_autoscaler() {
    let mut scaled = deployment();
    let managed = scaled["metadata"]["managedFields"].as_array_mut().unwrap();
    managed.push(json!({"manager": "kubectl", "operation": "Update", "subresource": "scale",
                        "fieldsV1": {"f:spec": {"f:replicas": {}}}}));
    assert_eq!(scaler(&scaled), None);
    // The controller manager's status entry says nothing of the spec.
    assert_eq!(scaler(&deployment()), None);
}

#[test]
fn objects_without_managed_fields_are_compared_by_what_the_manifest_fills() {
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}}
    });
    let mut bare = deployment();
    bare["metadata"].as_object_mut().unwrap().remove("managedFields");
    assert_eq!(of(&bare, "nave", &[]), None);
    let before = by_shape(&bare, &manifest, &[]);
    let containers = bare["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
    containers.insert(0, json!({"name": "proxy"}));
    assert_eq!(by_shape(&bare, &manifest, &[]), before);
    bare["spec"]["replicas"] = 3.into();
    assert_ne!(by_shape(&bare, &manifest, &[]), before);
    assert_eq!(
        by_shape(&bare, &manifest, &[Exclusion::replicas()]).digest,
        by_shape(&deployment(), &manifest, &[Exclusion::replicas()]).digest
    );
}

#[test]
fn paths_are_written_as_in_conflicts() {
    let mut paths = Vec::new();
    let object = deployment();
    let own = entries(&object).next().unwrap().fields;
    fields::walk(own, &object, &[], &mut |path, _| paths.push(path.to_owned()));
    for expected in [
        ".spec.replicas",
        r#".spec.template.spec.containers[name="c"].image"#,
        r#".spec.template.spec.containers[name="c"].ports[containerPort=80,protocol="TCP"].containerPort"#,
        ".metadata.labels.nave.dev/application",
    ] {
        assert!(paths.iter().any(|path| path == expected), "{expected} in {paths:?}");
    }
}
