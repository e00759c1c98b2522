//! Deletion: preconditions, finalizers, grace, the three propagation policies, collections, eviction.
//!
//! An object with finalizers only gets its `deletionTimestamp` here; `garbage` and the controllers finish it.

use serde_json::{Value, json};

use crate::controllers::{CLEANUP, Condition, set_condition};
use crate::managers;
use crate::meta;
use crate::read::{find, matches, selector};
use crate::state::{Call, Reply, State};
use crate::status::{Cause, Failure, Result, Subject, success};
use crate::store::{Key, Object};
use crate::watch::later;

/// Added while dependents have to go first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Added while dependents have to be let go of.
pub(crate) const ORPHAN: &str = "orphan";
/// The grace that a pod without its own gets.
const GRACE_DEFAULT_SECONDS: i64 = 30;

/// What `DeleteOptions` ask for.
#[derive(Debug, Default)]
struct Options {
    policy: String,
    grace_seconds: Option<i64>,
    uid: String,
    revision: String,
    dry_run: bool,
}

fn options(call: &Call<'_>) -> Result<Options> {
    let body: Value = if call.request.body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&call.request.body).map_err(|error| Failure::bad_request(error.to_string()))?
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut policy = text(&body["propagationPolicy"]);
    if policy.is_empty() {
        policy = call.request.parameter("propagationPolicy").to_owned();
    }
    if policy.is_empty() && body["orphanDependents"] == true {
        policy = "Orphan".to_owned();
    }
    if policy.is_empty() && call.resource.is("batch", "jobs") {
        policy = "Orphan".to_owned(); // The server's own default for this kind, kept for old clients.
    }
    if !matches!(policy.as_str(), "" | "Background" | "Foreground" | "Orphan") {
        let allowed = ["Foreground", "Background", "Orphan", "nil"];
        let cause = Cause::unsupported("propagationPolicy", &Value::from(policy), &allowed);
        return Err(Failure::bad_option("DeleteOptions", cause));
    }
    let given = call.request.parameter("gracePeriodSeconds").parse().ok();
    Ok(Options {
        policy,
        grace_seconds: body["gracePeriodSeconds"].as_i64().or(given),
        uid: text(&body["preconditions"]["uid"]),
        revision: text(&body["preconditions"]["resourceVersion"]),
        dry_run: call.request.dry_run() || body["dryRun"] == json!(["All"]),
    })
}

pub(crate) fn delete(state: &mut State, call: &Call<'_>) -> Result<Reply> {
    let options = options(call)?;
    let object = find(state, call)?;
    check(call, &object, &options)?;
    match remove(state, call, &object, &options) {
        Some(left) => Ok(Reply::json(200, &left)),
        None if call.resource.returned_by_delete => Ok(Reply::json(200, &object.value())),
        None => Ok(Reply::json(200, &success(call.subject(&object.key.name), &object.uid))),
    }
}

fn check(call: &Call<'_>, object: &Object, options: &Options) -> Result<()> {
    let subject = call.subject(&object.key.name);
    // Here the server names the kind where it names the resource elsewhere.
    let by_kind = Subject { plural: &call.resource.kind, ..subject };
    if !options.uid.is_empty() && *options.uid != *object.uid {
        let (wanted, found) = (&options.uid, &object.uid);
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({found}). The object might \
             have been deleted and then recreated"
        );
        return Err(Failure::conflict(by_kind, &why));
    }
    if !options.revision.is_empty() && options.revision != object.revision.to_string() {
        let (wanted, found) = (&options.revision, object.revision);
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
             ({found}). The object might have been modified"
        );
        return Err(Failure::conflict(by_kind, &why));
    }
    if call.resource.is("", "namespaces")
        && matches!(&*object.key.name, "default" | "kube-system" | "kube-public")
    {
        return Err(Failure::forbidden(subject, "this namespace may not be deleted"));
    }
    Ok(())
}

/// Deletes or marks. What is left of the object, if it is not gone at once.
fn remove(state: &mut State, call: &Call<'_>, object: &Object, options: &Options) -> Option<Value> {
    let key = object.key.clone();
    let mut value = object.value();
    let mut finalizers = meta::finalizers(&value);
    let wanted = match options.policy.as_str() {
        "Foreground" => Some(FOREGROUND),
        "Orphan" => Some(ORPHAN),
        _ => None,
    };
    if let Some(wanted) = wanted
        && !finalizers.iter().any(|have| have == wanted)
    {
        finalizers.retain(|have| have != FOREGROUND && have != ORPHAN);
        finalizers.push(wanted.to_owned());
    }
    if is_definition(call) && !finalizers.iter().any(|have| have == CLEANUP) {
        finalizers.push(CLEANUP.to_owned());
    }
    let grace = grace_seconds(call, &value, options);
    let held = !finalizers.is_empty() || grace > 0 || call.resource.is("", "namespaces");
    if !held {
        if !options.dry_run {
            state.store.remove(&key);
        }
        return None;
    }
    let sooner = value["metadata"]["deletionGracePeriodSeconds"].as_i64().is_some_and(|have| grace < have);
    if meta::is_deleting(&value) && finalizers == meta::finalizers(&value) && !sooner {
        return Some(value);
    }
    meta::set_finalizers(&mut value, &finalizers);
    mark_deleting(&mut value, call, grace);
    if options.dry_run {
        return Some(value);
    }
    let object = state.store.put(&key, value);
    if grace > 0 {
        let wait = state.config.ready_delay.min(std::time::Duration::from_secs(grace.unsigned_abs()));
        state.pod_due(&key, later(call.now, wait));
    }
    Some(object.value())
}

fn is_definition(call: &Call<'_>) -> bool {
    call.resource.is("apiextensions.k8s.io", "customresourcedefinitions")
}

fn mark_deleting(value: &mut Value, call: &Call<'_>, grace: i64) {
    let at = later(call.now, std::time::Duration::from_secs(grace.unsigned_abs()));
    let generation = value["metadata"]["generation"].as_i64();
    let fresh = !meta::is_deleting(value);
    let metadata = meta::metadata_mut(value);
    metadata.insert("deletionTimestamp".to_owned(), Value::from(meta::time_text(at)));
    metadata.insert("deletionGracePeriodSeconds".to_owned(), Value::from(grace));
    if let Some(generation) = generation.filter(|_| fresh) {
        metadata.insert("generation".to_owned(), Value::from(generation + 1));
    }
    if call.resource.is("", "namespaces") {
        metadata.remove("deletionGracePeriodSeconds");
        value["status"]["phase"] = Value::from("Terminating");
    } else if is_definition(call) {
        metadata.remove("deletionGracePeriodSeconds");
        metadata.insert("generation".to_owned(), Value::from(generation));
        let (reason, message) = (
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        );
        let condition = Condition { kind: "Terminating", holds: true, reason, message };
        set_condition(&mut value["status"], &condition, call.now, false);
    }
}

/// Only a pod that was placed on a node gets grace.
fn grace_seconds(call: &Call<'_>, value: &Value, options: &Options) -> i64 {
    let placed = call.resource.is("", "pods") && !value["spec"]["nodeName"].is_null();
    let over = matches!(value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if !placed || over {
        return 0;
    }
    let own = value["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(GRACE_DEFAULT_SECONDS);
    options.grace_seconds.unwrap_or(own).max(0)
}

/// Nothing holds it any more.
pub(crate) fn is_done(object: &Value) -> bool {
    let held = object["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
        && object["kind"] == "Namespace";
    let grace = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    meta::is_deleting(object) && meta::finalizers(object).is_empty() && !held && grace == 0
}

pub(crate) fn delete_collection(state: &mut State, call: &Call<'_>) -> Result<Reply> {
    let (options, selector) = (options(call)?, selector(call)?);
    let mut items = Vec::new();
    for object in state.store.list(call.resource.id, call.path.namespace.as_deref()) {
        if matches(&selector, &object) {
            items.push(object.value());
            remove(state, call, &object, &options);
        }
    }
    let revision = state.store.revision().to_string();
    Ok(Reply::json(
        200,
        &json!({"kind": format!("{}List", call.resource.kind), "apiVersion": call.api_version(),
            "metadata": {"resourceVersion": revision}, "items": items}),
    ))
}

pub(crate) fn evict(state: &mut State, call: &Call<'_>) -> Result<Reply> {
    let object = find(state, call)?;
    remove(state, call, &object, &Options::default());
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Reply::json(201, &status))
}

impl State {
    /// A deletion by the cluster itself, in the background.
    pub(crate) fn delete_as(&mut self, key: &Key, now: jiff::Timestamp) {
        let Some(object) = self.store.get(key) else { return };
        if object.deleting {
            return;
        }
        let mut value = object.value();
        let grace = if key.resource == self.id("", "pods") && !value["spec"]["nodeName"].is_null() {
            value["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(GRACE_DEFAULT_SECONDS)
        } else {
            0
        };
        if meta::finalizers(&value).is_empty() && grace == 0 {
            self.store.remove(key);
            return;
        }
        let at = later(now, std::time::Duration::from_secs(grace.unsigned_abs()));
        let metadata = meta::metadata_mut(&mut value);
        metadata.insert("deletionTimestamp".to_owned(), Value::from(meta::time_text(at)));
        metadata.insert("deletionGracePeriodSeconds".to_owned(), Value::from(grace));
        self.store.put(key, value);
        if grace > 0 {
            let at = later(now, self.config.ready_delay);
            self.pod_due(key, at);
        }
    }

    /// Takes a finalizer off; the object goes if it was the last.
    pub(crate) fn drop_finalizer(&mut self, key: &Key, finalizer: &str) {
        let Some(object) = self.store.get(key) else { return };
        let mut value = object.value();
        let mut finalizers = meta::finalizers(&value);
        let count = finalizers.len();
        finalizers.retain(|have| have != finalizer);
        if finalizers.len() == count {
            return;
        }
        meta::set_finalizers(&mut value, &finalizers);
        let entries = managers::read(&value);
        managers::write(&mut value, entries);
        if is_done(&value) {
            self.store.remove(key);
        } else {
            self.store.put(key, value);
        }
    }
}
