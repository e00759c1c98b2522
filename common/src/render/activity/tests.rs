//! Parking and marking: each kind by its rule, and what holds of all of them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::bundle::Bundle;
use crate::failover::Epoch;
use crate::overrides::Override;
use crate::render::{Inputs, Rendering, park, render};

fn workload(api_version: &str, kind: &str, spec: impl std::borrow::Borrow<Value>) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": kind.to_lowercase()},
        "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "ledger:1"}]}}}});
    json_patch::merge(&mut object["spec"], spec.borrow());
    object
}

fn bundle(objects: Vec<Value>) -> Bundle {
    Bundle::new(objects.into_iter().map(|object| Manifest::new(object).unwrap()).collect()).unwrap()
}

fn rendered(objects: Vec<Value>, activity: Activity, rules: &[ParkRule], epoch: Option<u64>) -> Rendering {
    let (application, override_) = ("bank/ledger".parse().unwrap(), Override::default());
    let exclusive =
        epoch.map(|epoch| ExclusiveMark { application: &application, epoch: Epoch::from_number(epoch) });
    let inputs = Inputs { activity, park: rules, exclusive, ..Inputs::plain(&override_) };
    render(&bundle(objects), inputs).unwrap()
}

fn parked(object: Value) -> Value {
    rendered(vec![object], Activity::Parked, &[], None).manifests[0].object().clone()
}

fn kinds() -> Vec<Value> {
    let mut all: Vec<Value> = SCALED
        .iter()
        .map(|(group, kind)| {
            let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
            workload(&api_version, kind, json!({"replicas": 3}))
        })
        .collect();
    all.push(workload("apps/v1", "DaemonSet", json!({})));
    all.push(workload("batch/v1", "Job", json!({"parallelism": 2})));
    let template = json!({"spec": {"containers": [{"name": "main", "image": "ledger:1"}]}});
    all.push(json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
        "spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}}}));
    all.push(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"},
        "spec": template["spec"]}));
    all.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}));
    all
}

#[test]
fn each_kind_is_stopped_by_its_rule_and_keeps_everything_else() {
    for (group, kind) in SCALED {
        let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        for spec in [json!({"replicas": 3, "paused": true}), json!({"paused": true})] {
            let object = parked(workload(&api_version, kind, spec));
            assert_eq!((&object["spec"]["replicas"], &object["spec"]["paused"]), (&json!(0), &json!(true)));
        }
    }
    assert_eq!(parked(workload("batch/v1", "Job", json!({})))["spec"]["suspend"], true);
    assert_eq!(parked(kinds()[7].clone())["spec"]["suspend"], true);
    let set = parked(workload(
        "apps/v1",
        "DaemonSet",
        json!({"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}),
    ));
    let selector = json!({"disk": "ssd", "nave.dev/parked": "true"});
    assert_eq!(set["spec"]["template"]["spec"]["nodeSelector"], selector);
    let keda = |kind: &str| {
        let object =
            json!({"apiVersion": "keda.sh/v1alpha1", "kind": kind, "metadata": {"name": "s"}, "spec": {}});
        parked(object)["metadata"]["annotations"].clone()
    };
    assert_eq!(keda("ScaledObject"), json!({"autoscaling.keda.sh/paused-replicas": "0"}));
    assert_eq!(keda("ScaledJob"), json!({"autoscaling.keda.sh/paused": "true"}));
    let map = kinds().pop().unwrap();
    assert_eq!(parked(map.clone()), map);
}

#[test]
fn a_bare_pod_goes_and_a_rule_of_the_application_comes_first() {
    let pod = kinds()[8].clone();
    assert!(rendered(vec![pod], Activity::Parked, &[], None).manifests.is_empty());
    let rule = |kind: &str, merge: Value| ParkRule { group: None, kind: kind.to_owned(), merge };
    let database = json!({"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "books"}, "spec": {"on": true}});
    let rules = [rule("Database", json!({"spec": {"on": false}})), rule("Deployment", json!({}))];
    let objects = vec![database, workload("apps/v1", "Deployment", json!({"replicas": 3}))];
    let rendering = rendered(objects, Activity::Parked, &rules, None);
    assert_eq!(rendering.manifests[0].object()["spec"]["on"], false);
    assert_eq!(
        rendering.manifests[1].object()["spec"]["replicas"],
        3,
        "the application says that it runs nothing"
    );
    assert!(
        is_stopped(rendering.manifests[0].key(), &rules) && !is_stopped(rendering.manifests[1].key(), &rules)
    );
    assert_eq!(unseen(&rendering.manifests, &rules).unwrap().kind, "Database");
}

#[test]
fn what_nobody_knows_how_to_stop_is_named() {
    let manifests = |object: Value| vec![Manifest::new(object).unwrap()];
    let database =
        manifests(json!({"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "books"}}));
    assert!(unstoppable(&database, &[]).unwrap().contains("add a rule for Database"));
    let rule = ParkRule { group: Some("example.com".into()), kind: "Database".into(), merge: json!({}) };
    assert_eq!(unstoppable(&database, &[rule]), None);
    assert!(unstoppable(&manifests(kinds()[8].clone()), &[]).unwrap().contains("without deleting it"));
    for object in kinds().into_iter().filter(|object| object["kind"] != "Pod") {
        assert_eq!(unstoppable(&manifests(object), &[]), None);
    }
}

#[test]
fn pods_of_each_kind_carry_label_and_epoch() {
    let rendering = rendered(kinds(), Activity::Active, &[], Some(7));
    let label = pod_label(&"bank/ledger".parse().unwrap());
    for manifest in &rendering.manifests {
        let template =
            template_path(manifest.key()).iter().try_fold(manifest.object(), |at, field| at.get(field));
        let Some(template) = template else { continue };
        assert_eq!(template["metadata"]["labels"][EXCLUSIVE_LABEL], label, "{}", manifest.key());
        assert_eq!(template["metadata"]["annotations"][EPOCH_ANNOTATION], "7");
        let variable = &template["spec"]["containers"][0]["env"][0];
        assert_eq!(variable["name"], EPOCH_VARIABLE);
        let is_job = manifest.key().kind == "Job";
        let path = "metadata.annotations['nave.dev/epoch']";
        assert!(if is_job {
            variable["valueFrom"]["fieldRef"]["fieldPath"] == path
        } else {
            variable["value"] == "7"
        });
    }
    assert_eq!(unseen(&rendering.manifests, &[]), None);
    assert_eq!(label.len(), 16);
}

#[test]
fn marking_again_changes_only_the_epoch() {
    let first = rendered(kinds(), Activity::Active, &[], Some(7));
    let objects = || first.manifests.iter().map(|manifest| manifest.object().clone()).collect();
    assert_eq!(rendered(objects(), Activity::Active, &[], Some(7)), first);
    assert_eq!(
        rendered(objects(), Activity::Active, &[], Some(8)),
        rendered(kinds(), Activity::Active, &[], Some(8))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parked_runs_nothing_and_marked_runs_as_before(chosen in prop::collection::btree_map(0_usize..10, 0_u64..5, 1..8), epoch in prop::option::of(1_u64..1000)) {
        let chosen: BTreeMap<usize, u64> = chosen;
        let all = kinds();
        let objects: Vec<Value> = chosen.iter().map(|(kind, replicas)| {
            let mut object = all[*kind].clone();
            if !object["spec"]["replicas"].is_null() {
                object["spec"]["replicas"] = (*replicas).into();
            }
            object
        }).collect();
        let active = rendered(objects.clone(), Activity::Active, &[], epoch);
        let count = |rendering: &Rendering| rendering.manifests.iter().map(Manifest::pod_count).sum::<u64>();
        prop_assert_eq!(count(&active), count(&rendered(objects.clone(), Activity::Active, &[], None)));
        let direct = rendered(objects, Activity::Parked, &[], epoch);
        prop_assert_eq!(count(&direct), 0);
        prop_assert_eq!(&park(&active, &[]).unwrap(), &direct);
        prop_assert_eq!(park(&direct, &[]).unwrap(), direct);
    }
}
