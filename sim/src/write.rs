//! Create, update, patch and server-side apply.
//!
//! One path for all of them: make the new object, decode it, track who owns what, let the rules of its kind
//! prepare it, validate, store. A write that changes nothing is answered with the object as it is.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::apply::{self, Ignored};
use crate::custom;
use crate::decode::decode;
use crate::defaults;
use crate::managers::{self, Entry, Operation, Writer};
use crate::meta;
use crate::patch as patches;
use crate::read::{View, find};
use crate::state::{Call, Reply, State};
use crate::status::{Cause, Failure, Result};
use crate::store::Key;
use crate::typed;
use crate::validate;

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

/// The body as an object of the kind that the path names.
fn body_object(call: &Call<'_>) -> Result<Value> {
    let body: Value = parse_body(call)?;
    let (version, kind) = (call.api_version(), call.resource.kind.as_str());
    if !body.is_object() {
        return Err(Failure::bad_request("the body of the request is no object"));
    }
    let mut body = body;
    for (field, wanted) in [("apiVersion", version.as_str()), ("kind", kind)] {
        match body[field].as_str() {
            Some(found) if found == wanted => {}
            None | Some("") => body[field] = Value::from(wanted),
            Some(found) => {
                return Err(Failure::bad_request(format!(
                    "the {field} in the data ({found}) does not match the expected {field} ({wanted})"
                )));
            }
        }
    }
    Ok(body)
}

/// The body, JSON or YAML.
pub(crate) fn parse_body(call: &Call<'_>) -> Result<Value> {
    let body = &call.request.body;
    serde_json::from_slice(body).or_else(|error| {
        if call.request.content_type.contains("yaml") {
            let text = std::str::from_utf8(body).map_err(|error| Failure::bad_request(error.to_string()))?;
            serde_saphyr::from_str(text)
                .map_err(|error| Failure::bad_request(format!("error decoding YAML: {error}")))
        } else {
            Err(Failure::bad_request(format!("error decoding JSON: {error}")))
        }
    })
}

/// Puts the object where the path says, or refuses.
fn settle_place(call: &Call<'_>, object: &mut Value) -> Result<()> {
    let namespace = call.path.namespace.as_deref().unwrap_or_default();
    let given = meta::namespace(object).to_owned();
    if !given.is_empty() && given != namespace && call.resource.namespaced {
        return Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let metadata = meta::metadata_mut(object);
    if call.resource.namespaced {
        metadata.insert("namespace".to_owned(), Value::from(namespace));
    } else {
        metadata.remove("namespace");
    }
    if let Some(name) = &call.path.name {
        let given = meta::name(object).to_owned();
        if !given.is_empty() && given != *name {
            return Err(Failure::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
        meta::metadata_mut(object).insert("name".to_owned(), Value::from(name.as_str()));
    }
    Ok(())
}

/// Decodes, defaults and reports what was unknown.
fn decode_object(call: &Call<'_>, object: &mut Value) -> Result<Vec<String>> {
    let found = decode(&call.version.ty, object);
    if let Some(wrong) = found.wrong
        && !call.resource.custom
    {
        let (kind, version) = (&call.resource.kind, &call.version.name);
        return Err(Failure::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: {wrong}"
        )));
    }
    if call.request.parameter("fieldValidation") == "Strict" && !found.unknown.is_empty() {
        let list: Vec<String> = found.unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
        let (kind, version) = (&call.resource.kind, &call.version.name);
        return Err(Failure::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {}",
            list.join(", ")
        )));
    }
    if let Some(schema) = &call.version.openapi {
        custom::fill_defaults(schema, object);
    }
    defaults::fill(&call.resource, object);
    if call.request.parameter("fieldValidation") == "Ignore" {
        return Ok(Vec::new());
    }
    Ok(found.unknown.into_iter().map(|path| format!("unknown field {path:?}")).collect())
}

/// An object of this kind with nothing in it, as creation is compared with.
fn empty_object(call: &Call<'_>) -> Value {
    let mut empty = json!({"apiVersion": call.api_version(), "kind": call.resource.kind});
    decode(&call.version.ty, &mut empty);
    empty
}

pub(crate) fn create(state: &mut State, call: &Call<'_>) -> Result<Reply> {
    if call.path.name.is_some() {
        return Err(Failure::method_not_allowed());
    }
    let mut object = body_object(call)?;
    settle_place(call, &mut object)?;
    if !meta::text(&object, "resourceVersion").is_empty() {
        return Err(Failure::bad_request("resourceVersion should not be set on objects to be created"));
    }
    let warnings = decode_object(call, &mut object)?;
    let entries = if managers::is_reset(&object) { Vec::new() } else { managers::read(&object) };
    managers::strip(&mut object);
    let now = meta::time_text(call.now);
    let writer = writer(call, Operation::Update);
    let ty = &call.version.ty;
    let entries = apply::track(ty, &empty_object(call), &object, entries, &writer, ignored(call), &now);
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
            let subject = crate::status::Subject {
                group: "",
                plural: "namespaces",
                kind: "Namespace",
                name: namespace,
            };
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
        View::new(&call.resource, &call.version, &call.request.accept).bytes(&stored)
    };
    Ok(Reply::Whole { code, content_type: "application/json", body, warnings })
}

pub(crate) fn update(state: &mut State, call: &Call<'_>) -> Result<Reply> {
    let live = live_value(state, call)?;
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
        other => Err(Failure::unsupported_media(other)),
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
        let now = meta::time_text(call.now);
        let writer = writer(call, Operation::Update);
        apply::track(&call.version.ty, &before, &object, entries, &writer, ignored(call), &now)
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
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {live_uid}");
        return Err(Failure::conflict(subject, &why));
    }
    Ok(())
}

/// What a writer cannot change in `metadata`.
fn keep_system_metadata(live: &Value, object: &mut Value) {
    let metadata = meta::metadata_mut(object);
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
        "resourceVersion",
        "generateName",
    ] {
        match live["metadata"].get(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
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
        let view = View::new(&call.resource, &call.version, &call.request.accept);
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

fn keep_other_parts(call: &Call<'_>, live: &Value, object: &mut Value) {
    let keep = |object: &mut Value, field: &str| match live.get(field) {
        Some(value) => object[field] = value.clone(),
        None => {
            if let Value::Object(map) = object {
                map.remove(field);
            }
        }
    };
    match call.subresource() {
        "status" => {
            let fields: Vec<String> = live
                .as_object()
                .into_iter()
                .chain(object.as_object())
                .flat_map(|map| map.keys().cloned())
                .filter(|field| field != "status")
                .collect();
            for field in fields {
                keep(object, &field);
            }
        }
        "finalize" => keep(object, "status"),
        _ if call.version.status => keep(object, "status"),
        _ => {}
    }
}

fn bump_generation(live: &Value, object: &mut Value) {
    let desired = |value: &Value| -> Vec<(String, Value)> {
        let mut parts: Vec<(String, Value)> = value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(field, _)| !matches!(field.as_str(), "apiVersion" | "kind" | "metadata" | "status"))
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect();
        parts.sort_by(|a, b| a.0.cmp(&b.0));
        parts
    };
    if desired(live) != desired(object) {
        let generation = live["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        meta::metadata_mut(object).insert("generation".to_owned(), Value::from(generation));
    }
}

/// Equal, apart from when managers last wrote.
fn same_but_times(live: &Value, object: &Value) -> bool {
    let without = |value: &Value| {
        let mut entries = managers::read(value);
        for entry in &mut entries {
            entry.time = None;
        }
        entries.sort_by(|a, b| {
            (a.operation, &a.manager, &a.api_version, &a.subresource).cmp(&(
                b.operation,
                &b.manager,
                &b.api_version,
                &b.subresource,
            ))
        });
        let mut value = value.clone();
        managers::strip(&mut value);
        (value, entries)
    };
    live == object || without(live) == without(object)
}

pub(crate) fn apply(state: &mut State, call: &Call<'_>) -> Result<Reply> {
    if call.request.parameter("fieldManager").is_empty() {
        return Err(Failure::other(
            422,
            "Invalid",
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ));
    }
    let mut config = apply_config(call)?;
    settle_place(call, &mut config)?;
    let live = match find(state, call) {
        Ok(object) => Some(object.value()),
        Err(failure) if call.subresource() == "status" => return Err(failure),
        Err(_) => None,
    };
    let problems = typed::validate(&call.version.ty, &config);
    if !problems.is_empty() {
        return Err(Failure::internal(format!(
            "failed to create typed patch object ({}/{}; {}, Kind={}): {}",
            meta::namespace(&config),
            meta::name(&config),
            call.api_version(),
            call.resource.kind,
            typed::problems_text(&problems)
        )));
    }
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
    let given = config["apiVersion"].as_str().unwrap_or_default();
    if given != version {
        return Err(Failure::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {given}, expected: {version}"
        )));
    }
    if config["kind"].as_str() != Some(kind) {
        let given = config["kind"].as_str().unwrap_or_default();
        return Err(Failure::bad_request(format!(
            "the kind in the data ({given}) does not match the expected kind ({kind})"
        )));
    }
    if config["metadata"].get("managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    Ok(config)
}

fn apply_new(state: &mut State, call: &Call<'_>, config: &Value) -> Result<Reply> {
    let name = meta::name(config);
    if !meta::text(config, "resourceVersion").is_empty() || !meta::uid(config).is_empty() {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Failure::conflict(call.subject(name), why));
    }
    let live = json!({"apiVersion": call.api_version(), "kind": call.resource.kind});
    let applied = run_apply(call, &live, config, Vec::new())?;
    let mut object = applied.object.unwrap_or(live);
    let warnings = decode_object(call, &mut object)?;
    finish_create(state, call, object, applied.entries, warnings)
}

fn apply_onto(state: &mut State, call: &Call<'_>, mut live: Value, config: &Value) -> Result<Reply> {
    live["apiVersion"] = Value::from(call.api_version());
    check_preconditions(call, &live, config)?;
    let mut entries = managers::read(&live);
    let mut before = live.clone();
    managers::strip(&mut before);
    if entries.is_empty() {
        let writer =
            Writer { manager: apply::BEFORE_FIRST_APPLY.to_owned(), ..writer(call, Operation::Update) };
        let now = meta::time_text(call.now);
        let (ty, empty) = (&call.version.ty, empty_object(call));
        entries = apply::track(ty, &empty, &before, entries, &writer, ignored(call), &now);
    }
    let applied = run_apply(call, &before, config, entries)?;
    let mut object = applied.object.unwrap_or_else(|| before.clone());
    let warnings = decode_object(call, &mut object)?;
    keep_system_metadata(&before, &mut object);
    finish_write(state, call, &live, object, applied.entries, warnings)
}

fn run_apply(call: &Call<'_>, live: &Value, config: &Value, entries: Vec<Entry>) -> Result<apply::Applied> {
    let now = meta::time_text(call.now);
    let force = call.request.flag("force");
    let writer = writer(call, Operation::Apply);
    apply::apply(&call.version.ty, live, config, entries, &writer, force, ignored(call), &now)
}

impl State {
    /// A write by the cluster itself: a controller's change of an object or of its status.
    ///
    /// Nothing is stored if the change changes nothing.
    pub(crate) fn change_as(
        &mut self,
        key: &Key,
        manager: &str,
        subresource: &str,
        now: Timestamp,
        change: impl FnOnce(&mut Value),
    ) {
        let (Some(stored), Some(resource)) = (self.store.get(key), self.registry.get(key.resource)) else {
            return;
        };
        let live = stored.value();
        let mut object = live.clone();
        managers::strip(&mut object);
        let mut before = object.clone();
        change(&mut object);
        let api_version = live["apiVersion"].as_str().unwrap_or_default().to_owned();
        let version = api_version.rsplit('/').next().unwrap_or_default();
        let Some(version) = resource.version(version).or(resource.versions.first()) else { return };
        decode(&version.ty, &mut object);
        decode(&version.ty, &mut before);
        if object == before {
            return;
        }
        let writer = Writer {
            manager: manager.to_owned(),
            operation: Operation::Update,
            api_version,
            subresource: subresource.to_owned(),
        };
        let (entries, time) = (managers::read(&live), meta::time_text(now));
        let entries =
            apply::track(&version.ty, &before, &object, entries, &writer, Ignored::default(), &time);
        if subresource.is_empty() && resource.generation {
            bump_generation(&before, &mut object);
        }
        managers::write(&mut object, entries);
        if meta::is_deleting(&live) && crate::delete::is_done(&object) {
            self.store.remove(key);
            return;
        }
        self.store.put(key, object);
    }

    /// An object made by the cluster itself, such as a controller's pods.
    pub(crate) fn create_as(&mut self, manager: &str, mut object: Value, now: Timestamp) -> Option<Key> {
        let api_version = object["apiVersion"].as_str()?.to_owned();
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
        let kind = object["kind"].as_str()?.to_owned();
        let resource =
            self.registry.all().find(|resource| resource.group == group && resource.kind == kind)?.clone();
        let version = resource.version(version)?.clone();
        decode(&version.ty, &mut object);
        defaults::fill(&resource, &mut object);
        let mut empty = json!({"apiVersion": api_version, "kind": kind});
        decode(&version.ty, &mut empty);
        let writer = Writer {
            manager: manager.to_owned(),
            operation: Operation::Update,
            api_version,
            subresource: String::new(),
        };
        let time = meta::time_text(now);
        let ignored = Ignored { fields: STATUS };
        let entries = apply::track(&version.ty, &empty, &object, Vec::new(), &writer, ignored, &time);
        let prefix = meta::text(&object, "generateName").to_owned();
        if meta::name(&object).is_empty() {
            let name = format!("{prefix}{}", self.random.suffix());
            meta::metadata_mut(&mut object).insert("name".to_owned(), Value::from(name));
        }
        let key = Key::new(resource.id, meta::namespace(&object), meta::name(&object));
        if self.store.get(&key).is_some() {
            return None;
        }
        let uid = self.random.uid();
        let metadata = meta::metadata_mut(&mut object);
        metadata.insert("uid".to_owned(), Value::from(uid));
        metadata.insert("creationTimestamp".to_owned(), Value::from(time));
        if resource.generation {
            metadata.insert("generation".to_owned(), Value::from(1));
        }
        defaults::prepare_create(self, &resource, version.status, &mut object);
        managers::write(&mut object, entries);
        self.store.put(&key, object);
        Some(key)
    }
}
