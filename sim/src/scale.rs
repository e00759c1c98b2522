//! The `scale` subresource: the replica count of a workload, by itself.

use serde_json::{Value, json};

use crate::kinds::Scale;
use crate::meta;
use crate::read::find;
use crate::request::Verb;
use crate::state::{Call, Reply, State};
use crate::status::{Failure, Result};
use crate::write::{change, parse_body};

pub(crate) fn answer(state: &mut State, call: &Call<'_>) -> Result<Reply> {
    let Some(scale) = call.version.scale.clone() else { return Err(Failure::no_such_path()) };
    let live = find(state, call)?.value();
    let mut view = view(&scale, &live);
    match call.verb {
        Verb::Get => return Ok(Reply::json(200, &view)),
        Verb::Update => view = parse_body(call)?,
        Verb::Patch => {
            let body = parse_body(call)?;
            change(call, &mut view, &body)?;
        }
        Verb::Apply => crate::patch::merge_patch(&mut view, &parse_body(call)?),
        _ => return Err(Failure::method_not_allowed()),
    }
    let revision = meta::text(&view, "resourceVersion");
    if !revision.is_empty() && revision != meta::text(&live, "resourceVersion") {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Failure::conflict(call.subject(meta::name(&live)), why));
    }
    let replicas = view["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let cause = crate::status::Cause::invalid(
            "spec.replicas",
            &Value::from(replicas),
            "must be greater than or equal to 0",
        );
        return Err(Failure::invalid(call.subject(meta::name(&live)), &[cause]));
    }
    if !call.request.dry_run() {
        let key = call.key(meta::name(&live));
        state.change_as(&key, &call.request.manager(), "scale", call.now, |object| {
            meta::set_at_path(object, &scale.spec_path, Value::from(replicas));
            if meta::at_path(&live, &scale.spec_path).as_i64() != Some(replicas) {
                let generation = live["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
                meta::metadata_mut(object).insert("generation".to_owned(), Value::from(generation));
            }
        });
    }
    let mut after = self::view(&scale, &find(state, call)?.value());
    after["spec"]["replicas"] = Value::from(replicas);
    Ok(Reply::json(200, &after))
}

fn view(scale: &Scale, object: &Value) -> Value {
    let metadata = &object["metadata"];
    let mut spec = json!({});
    if let Some(replicas) = meta::at_path(object, &scale.spec_path).as_i64().filter(|count| *count != 0) {
        spec["replicas"] = Value::from(replicas);
    }
    let mut status = json!({"replicas": meta::at_path(object, &scale.status_path).as_i64().unwrap_or(0)});
    let selector = match &scale.selector_path {
        Some(path) => meta::at_path(object, path).as_str().unwrap_or_default().to_owned(),
        None => selector_text(&object["spec"]["selector"]),
    };
    if !selector.is_empty() {
        status["selector"] = Value::from(selector);
    }
    let mut out = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {
        "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
        "creationTimestamp": metadata["creationTimestamp"]}, "spec": spec, "status": status});
    meta::drop_null(&mut out["metadata"], "namespace");
    out
}

fn selector_text(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().or(selector.as_object());
    let mut parts: Vec<String> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    parts.sort();
    parts.join(",")
}
