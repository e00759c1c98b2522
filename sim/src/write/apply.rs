//! Server-side apply of a request: the rules of ownership are in `ownership`.

use serde_json::{Value, json};

use super::body::{decode_object, empty_object, kind_text, parse_body, settle_place};
use super::keep::keep_system_metadata;
use super::{check_preconditions, finish_create, finish_write, ignored, track, writer};
use crate::managers::{self, Entry, Operation, Writer};
use crate::meta;
use crate::ownership::{self, Tracking};
use crate::read::find;
use crate::state::{Call, Reply, State};
use crate::status::{Cause, Failure, Result};
use crate::typed;

pub(crate) fn apply(state: &mut State, call: &Call<'_>) -> Result<Reply> {
    if call.request.parameter("fieldManager").is_empty() {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(Failure::bad_option("PatchOptions", cause));
    }
    let mut config = apply_config(call)?;
    let problems = typed::validate(&call.version.ty, &config);
    if !problems.is_empty() {
        return Err(Failure::internal(format!(
            "failed to create typed patch object ({}/{}; {}): {}",
            meta::namespace(&config),
            meta::name(&config),
            kind_text(call),
            typed::problems_text(&problems)
        )));
    }
    settle_place(call, &mut config)?;
    let live = match find(state, call) {
        Ok(object) => Some(object.value()),
        Err(failure) if call.subresource() == "status" => return Err(failure),
        Err(_) => None,
    };
    match live {
        Some(live) => apply_onto(state, call, live, &config),
        None => apply_new(state, call, &config),
    }
}

fn apply_config(call: &Call<'_>) -> Result<Value> {
    let config: Value = parse_body(call)?;
    let (version, kind) = (call.api_version(), &call.resource.kind);
    if !config.is_object() {
        return Err(Failure::bad_request("error decoding YAML: the patch is no object"));
    }
    let text = |field: &str| config[field].as_str().unwrap_or_default();
    if text("apiVersion") != version || text("kind") != kind {
        let (group, version) = text("apiVersion").rsplit_once('/').unwrap_or(("", text("apiVersion")));
        let given = format!("{group}/{version}, Kind={}", text("kind"));
        return Err(Failure::bad_request(format!("invalid object type: {given}")));
    }
    if config["metadata"].get("managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    Ok(config)
}

fn apply_new(state: &mut State, call: &Call<'_>, config: &Value) -> Result<Reply> {
    let name = meta::name(config);
    if !meta::uid(config).is_empty() {
        let cause = Cause::invalid("metadata.uid", &Value::from(meta::uid(config)), "field is immutable");
        return Err(Failure::invalid(call.subject(name), &[cause]));
    }
    let live = json!({"apiVersion": call.api_version(), "kind": call.resource.kind});
    let applied = run_apply(call, &live, config, Vec::new())?;
    let mut object = applied.object.unwrap_or(live);
    let warnings = decode_object(call, &mut object)?;
    finish_create(state, call, object, applied.entries, warnings)
}

fn apply_onto(state: &mut State, call: &Call<'_>, mut live: Value, config: &Value) -> Result<Reply> {
    live["apiVersion"] = Value::from(call.api_version());
    let uid = meta::uid(config);
    if !uid.is_empty() && uid != meta::uid(&live) {
        let cause = Cause::invalid("metadata.uid", &Value::from(uid), "field is immutable");
        return Err(Failure::invalid(call.subject(meta::name(&live)), &[cause]));
    }
    check_preconditions(call, &live, config)?;
    let mut entries = managers::read(&live);
    let mut before = live.clone();
    managers::strip(&mut before);
    if entries.is_empty() {
        let writer =
            Writer { manager: ownership::BEFORE_FIRST_APPLY.to_owned(), ..writer(call, Operation::Update) };
        entries = track(call, &writer, &empty_object(call), &before, entries);
    }
    let applied = run_apply(call, &before, config, entries)?;
    let mut object = applied.object.unwrap_or_else(|| before.clone());
    let warnings = decode_object(call, &mut object)?;
    keep_system_metadata(&before, &mut object);
    finish_write(state, call, &live, object, applied.entries, warnings)
}

fn run_apply(
    call: &Call<'_>,
    live: &Value,
    config: &Value,
    entries: Vec<Entry>,
) -> Result<ownership::Applied> {
    let now = meta::time_text(call.now);
    let force = call.request.flag("force");
    let writer = writer(call, Operation::Apply);
    let tracking = Tracking { ty: &call.version.ty, writer: &writer, ignored: ignored(call), now: &now };
    ownership::apply(tracking, live, config, entries, force)
}
