//! Reading: get, list and the start of a watch.
//!
//! Answers are made of stored bytes; an object is parsed only for another version, for metadata alone, or
//! for a field selector that needs it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::selector::Selector;
use crate::state::{Call, Reply, State};
use crate::status::{Cause, Failure, Result};
use crate::store::Object;
use crate::view::View;
use crate::watch::{self, Watch};

pub(crate) fn get(state: &State, call: &Call<'_>) -> Result<Reply> {
    let object = find(state, call)?;
    let view = View::new(call);
    Ok(Reply::bytes(200, view.bytes(&object)))
}

/// The object that the path names.
pub(crate) fn find(state: &State, call: &Call<'_>) -> Result<Arc<Object>> {
    let name = call.path.name.as_deref().unwrap_or_default();
    state.store.get(&call.key(name)).ok_or_else(|| Failure::not_found(call.subject(name)))
}

pub(crate) fn log(state: &State, call: &Call<'_>) -> Result<Reply> {
    find(state, call)?;
    Ok(Reply::text(200, ""))
}

pub(crate) fn selector(call: &Call<'_>) -> Result<Selector> {
    let request = call.request;
    let mut fields = request.parameter("fieldSelector").to_owned();
    if let Some(name) = &call.path.name {
        fields = format!("metadata.name={name}");
    }
    Selector::parse(request.parameter("labelSelector"), &fields).map_err(Failure::bad_request)
}

pub(crate) fn matches(selector: &Selector, object: &Object) -> bool {
    selector.matches_labels(&object.labels)
        && selector.matches_key(&object.key.namespace, &object.key.name)
        && (!selector.needs_object() || selector.matches_object(&object.value()))
}

pub(crate) fn list(state: &State, call: &Call<'_>) -> Result<Reply> {
    if call.request.flag("sendInitialEvents") {
        let cause = Cause::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
        return Err(Failure::bad_option("ListOptions", cause));
    }
    let selector = selector(call)?;
    let limit: usize = call.request.parameter("limit").parse().unwrap_or(0);
    let start = continue_token(call)?;
    let revision = start.as_ref().map_or(state.store.revision(), |(revision, ..)| *revision);
    let view = View::new(call);
    let mut chosen: Vec<Arc<Object>> = state
        .store
        .list(call.resource.id, call.path.namespace.as_deref())
        .into_iter()
        .filter(|object| {
            start.as_ref().is_none_or(|(_, namespace, name)| {
                (&*object.key.namespace, &*object.key.name) > (namespace.as_str(), name.as_str())
            })
        })
        .filter(|object| matches(&selector, object))
        .collect();
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if call.resource.custom {
        metadata["continue"] = Value::from("");
    }
    if limit > 0 && chosen.len() > limit {
        let remaining = chosen.len() - limit;
        chosen.truncate(limit);
        if let Some(last) = chosen.last() {
            metadata["continue"] = Value::from(encode_token(revision, &last.key.namespace, &last.key.name));
        }
        if selector.is_empty() {
            metadata["remainingItemCount"] = Value::from(remaining);
        }
    }
    Ok(Reply::bytes(200, view.list(&metadata, &chosen)))
}

fn encode_token(revision: u64, namespace: &str, name: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("{revision}/{namespace}/{name}"))
}

fn continue_token(call: &Call<'_>) -> Result<Option<(u64, String, String)>> {
    use base64::Engine as _;
    let text = call.request.parameter("continue");
    if text.is_empty() {
        return Ok(None);
    }
    let decode = || {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let mut parts = text.splitn(3, '/');
        let revision = parts.next()?.parse().ok()?;
        Some((revision, parts.next()?.to_owned(), parts.next()?.to_owned()))
    };
    decode().map(Some).ok_or_else(|| Failure::bad_request("continue key is not valid"))
}

pub(crate) fn watch(state: &State, call: &Call<'_>) -> Result<Reply> {
    let request = call.request;
    let selector = selector(call)?;
    let view = View::new(call);
    let initial = request.flag("sendInitialEvents");
    if initial && request.parameter("resourceVersionMatch") != "NotOlderThan" {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        return Err(Failure::bad_option("ListOptions", Cause::forbidden("resourceVersionMatch", why)));
    }
    let from = match request.parameter("resourceVersion") {
        "" | "0" => None,
        text => Some(text.parse::<u64>().map_err(|_| {
            Failure::internal(format!(
                "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        })?),
    };
    let timeout = request.parameter("timeoutSeconds").parse::<u64>().ok();
    let start = watch::Start {
        resource: call.resource.id,
        namespace: call.path.namespace.clone(),
        selector,
        view,
        from,
        initial,
        bookmarks: request.flag("allowWatchBookmarks"),
        timeout,
    };
    Ok(Reply::Watch(Box::new(Watch::new(state, start, call.now))))
}
