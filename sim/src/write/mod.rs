//! Create, update, patch and server-side apply.
//!
//! One path for all of them: make the new object, decode it, track who owns what, let the rules of its kind
//! prepare it, validate, store. A write that changes nothing is answered with the object as it is.

mod apply;
mod body;
mod inside;
mod keep;

use serde_json::Value;

use crate::custom;
use crate::defaults;
use crate::managers::{self, Entry, Operation, Writer};
use crate::meta;
use crate::ownership::{self, Ignored, Tracking};
use crate::patch as patches;
use crate::read::find;
use crate::state::{Call, Reply, State};
use crate::status::{Cause, Failure, Result, Subject};
use crate::store::Key;
use crate::validate;
use crate::view::View;

pub(crate) use apply::apply;
pub(crate) use body::parse_body;

use body::{body_object, decode_object, empty_object, settle_place};
use keep::{bump_generation, keep_other_parts, keep_system_metadata, same_but_times};

/// What the main path of a resource with a status cannot write.
const STATUS: &[&str] = &["status"];
/// What the status path cannot write.
const ALL_BUT_STATUS: &[&str] =
    &["spec", "metadata.labels", "metadata.deletionTimestamp", "metadata.ownerReferences"];
const ALL_BUT_STATUS_CUSTOM: &[&str] = &["spec", "metadata"];

fn ignored(call: &Call<'_>) -> Ignored<'static> {
    let fields = match (call.subresource(), call.version.status) {
        ("status", _) if call.resource.custom => ALL_BUT_STATUS_CUSTOM,
        ("status", _) => ALL_BUT_STATUS,
        (_, true) => STATUS,
        _ => &[],
    };
    Ignored { fields }
}

fn writer(call: &Call<'_>, operation: Operation) -> Writer {
    Writer {
        manager: call.request.manager(),
        operation,
        api_version: call.api_version(),
        subresource: call.subresource().to_owned(),
    }
}

/// Tracks what this call changes, other than by apply.
fn track(call: &Call<'_>, writer: &Writer, live: &Value, new: &Value, entries: Vec<Entry>) -> Vec<Entry> {
    let now = meta::time_text(call.now);
    let tracking = Tracking { ty: &call.version.ty, writer, ignored: ignored(call), now: &now };
    ownership::track(tracking, live, new, entries)
}

pub(crate) fn create(state: &mut State, call: &Call<'_>) -> Result<Reply> {
    if call.path.name.is_some() {
        return Err(Failure::method_not_allowed());
    }
    create_from(state, call)
}

/// Makes the object of the body.
fn create_from(state: &mut State, call: &Call<'_>) -> Result<Reply> {
    let mut object = body_object(call)?;
    settle_place(call, &mut object)?;
    if !meta::text(&object, "resourceVersion").is_empty() {
        return Err(Failure::internal("resourceVersion should not be set on objects to be created"));
    }
    let warnings = decode_object(call, &mut object)?;
    let entries = if managers::is_reset(&object) { Vec::new() } else { managers::read(&object) };
    managers::strip(&mut object);
    let writer = writer(call, Operation::Update);
    let entries = track(call, &writer, &empty_object(call), &object, entries);
    finish_create(state, call, object, entries, warnings)
}

/// The part of creation that apply shares.
fn finish_create(
    state: &mut State,
    call: &Call<'_>,
    mut object: Value,
    entries: Vec<Entry>,
    warnings: Vec<String>,
) -> Result<Reply> {
    settle_name(state, call, &mut object)?;
    let name = meta::name(&object).to_owned();
    check_namespace(state, call, &name)?;
    let key = call.key(&name);
    if state.store.get(&key).is_some() {
        return Err(Failure::already_exists(call.subject(&name)));
    }
    let uid = state.random.uid();
    let metadata = meta::metadata_mut(&mut object);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
        metadata.remove(field);
    }
    metadata.insert("uid".to_owned(), Value::from(uid));
    metadata.insert("creationTimestamp".to_owned(), Value::from(meta::time_text(call.now)));
    if call.resource.generation || call.resource.custom {
        metadata.insert("generation".to_owned(), Value::from(1));
    }
    defaults::prepare_create(state, &call.resource, call.version.status, &mut object);
    managers::write(&mut object, entries);
    let mut causes = validate::create(&call.resource, &object);
    custom_causes(call, &object, &mut causes);
    if !causes.is_empty() {
        return Err(Failure::invalid(call.subject(&name), &causes));
    }
    store(state, call, &key, object, 201, warnings)
}

fn custom_causes(call: &Call<'_>, object: &Value, causes: &mut Vec<Cause>) {
    if let Some(schema) = &call.version.openapi {
        custom::check(schema, object, causes);
    }
}

fn settle_name(state: &mut State, call: &Call<'_>, object: &mut Value) -> Result<()> {
    let prefix = meta::text(object, "generateName").to_owned();
    if meta::name(object).is_empty() && !prefix.is_empty() {
        let name = format!("{prefix}{}", state.random.suffix());
        meta::metadata_mut(object).insert("name".to_owned(), Value::from(name));
    }
    if meta::name(object).is_empty() {
        let cause = Cause::required("metadata.name", "name or generateName is required");
        return Err(Failure::invalid(call.subject(""), &[cause]));
    }
    Ok(())
}

fn check_namespace(state: &State, call: &Call<'_>, name: &str) -> Result<()> {
    let Some(namespace) = call.path.namespace.as_deref() else { return Ok(()) };
    let resource = state.id("", "namespaces");
    match state.store.get(&Key::new(resource, "", namespace)) {
        None => {
            let subject = Subject { group: "", plural: "namespaces", kind: "Namespace", name: namespace };
            Err(Failure::not_found(subject))
        }
        Some(object) if object.deleting => Err(Failure::terminating(call.subject(name), namespace)),
        Some(_) => Ok(()),
    }
}

/// Stores unless it is a dry run, and answers with the object.
fn store(
    state: &mut State,
    call: &Call<'_>,
    key: &Key,
    object: Value,
    code: u16,
    warnings: Vec<String>,
) -> Result<Reply> {
    let body = if call.request.dry_run() {
        serde_json::to_vec(&object).unwrap_or_default().into()
    } else {
        let stored = state.store.put(key, object);
        View::new(call).bytes(&stored)
    };
    Ok(Reply::Whole { code, content_type: "application/json", body, warnings })
}

pub(crate) fn update(state: &mut State, call: &Call<'_>) -> Result<Reply> {
    let live = match live_value(state, call) {
        Err(_) if call.resource.created_by_update && call.subresource().is_empty() => {
            return create_from(state, call);
        }
        other => other?,
    };
    let mut object = body_object(call)?;
    settle_place(call, &mut object)?;
    finish_update(state, call, &live, object)
}

/// The live object in the version of the call.
fn live_value(state: &State, call: &Call<'_>) -> Result<Value> {
    let mut live = find(state, call)?.value();
    live["apiVersion"] = Value::from(call.api_version());
    Ok(live)
}

pub(crate) fn patch(state: &mut State, call: &Call<'_>) -> Result<Reply> {
    let live = live_value(state, call)?;
    let body: Value = parse_body(call)?;
    let mut object = live.clone();
    change(call, &mut object, &body)?;
    if meta::name(&object) != meta::name(&live) || meta::namespace(&object) != meta::namespace(&live) {
        let name = meta::name(&live);
        let cause = Cause::invalid("metadata.name", &Value::from(meta::name(&object)), "field is immutable");
        return Err(Failure::invalid(call.subject(name), &[cause]));
    }
    finish_update(state, call, &live, object)
}

/// Applies a patch that is not server-side apply.
pub(crate) fn change(call: &Call<'_>, object: &mut Value, body: &Value) -> Result<()> {
    match call.request.content_type.split(';').next().unwrap_or_default().trim() {
        "application/json-patch+json" => patches::json_patch(object, body),
        "application/merge-patch+json" => {
            patches::merge_patch(object, body);
            Ok(())
        }
        "application/strategic-merge-patch+json" if !call.resource.custom => {
            patches::strategic_patch(&call.version.ty, object, body);
            Ok(())
        }
        "application/strategic-merge-patch+json" => Err(Failure::other(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: \
             application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        )),
        _ => Err(Failure::unsupported_media()),
    }
}

/// The part of updating that patch shares: tracking, then storing.
fn finish_update(state: &mut State, call: &Call<'_>, live: &Value, mut object: Value) -> Result<Reply> {
    check_preconditions(call, live, &object)?;
    let warnings = decode_object(call, &mut object)?;
    let entries = match managers::is_reset(&object) && call.subresource().is_empty() {
        true => Vec::new(),
        false => {
            let given = managers::read(&object);
            if given.is_empty() || !call.subresource().is_empty() { managers::read(live) } else { given }
        }
    };
    managers::strip(&mut object);
    let mut before = live.clone();
    managers::strip(&mut before);
    keep_system_metadata(&before, &mut object);
    let entries = if entries.is_empty() {
        entries // Nobody is tracked before the first apply, unless from creation on.
    } else {
        track(call, &writer(call, Operation::Update), &before, &object, entries)
    };
    finish_write(state, call, live, object, entries, warnings)
}

fn check_preconditions(call: &Call<'_>, live: &Value, object: &Value) -> Result<()> {
    let subject = call.subject(meta::name(live));
    let revision = meta::text(object, "resourceVersion");
    if !revision.is_empty() && revision != meta::text(live, "resourceVersion") {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Failure::conflict(subject, why));
    }
    let (uid, live_uid) = (meta::uid(object), meta::uid(live));
    if !uid.is_empty() && uid != live_uid {
        let (plural, namespace, name) = (&call.resource.plural, meta::namespace(live), meta::name(live));
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{plural}/{namespace}/{name}, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {live_uid}"
        );
        return Err(Failure::conflict(subject, &why));
    }
    Ok(())
}

/// Puts back what this path cannot write, bumps the generation, validates and stores.
fn finish_write(
    state: &mut State,
    call: &Call<'_>,
    live: &Value,
    mut object: Value,
    entries: Vec<Entry>,
    warnings: Vec<String>,
) -> Result<Reply> {
    let name = meta::name(live).to_owned();
    keep_other_parts(call, live, &mut object);
    defaults::prepare_update(state, &call.resource, live, &mut object);
    if call.resource.generation || call.resource.custom {
        bump_generation(live, &mut object);
    }
    managers::write(&mut object, entries);
    let mut causes = validate::update(&call.resource, live, &object);
    custom_causes(call, &object, &mut causes);
    if !causes.is_empty() {
        return Err(Failure::invalid(call.subject(&name), &causes));
    }
    let key = call.key(&name);
    if same_but_times(live, &object) {
        let object = find(state, call)?;
        let view = View::new(call);
        let body = view.bytes(&object);
        return Ok(Reply::Whole { code: 200, content_type: "application/json", body, warnings });
    }
    if crate::delete::is_done(&object) && meta::is_deleting(live) && !call.request.dry_run() {
        state.store.put(&key, object.clone());
        state.store.remove(&key);
        return Ok(Reply::json(200, &object));
    }
    store(state, call, &key, object, 200, warnings)
}
