//! Bodies: reading them, checking that they fit the path, decoding them with defaults.

use serde_json::{Value, json};

use crate::custom;
use crate::decode::decode;
use crate::defaults;
use crate::meta;
use crate::request::Verb;
use crate::state::Call;
use crate::status::{Failure, Result};

/// The body as an object of the kind that the path names.
pub(super) fn body_object(call: &Call<'_>) -> Result<Value> {
    let (version, kind) = (call.api_version(), call.resource.kind.as_str());
    let mut body: Value = match serde_json::from_slice(&call.request.body) {
        Ok(body @ Value::Object(_)) => body,
        Ok(_) => return Err(Failure::bad_request("the body of the request is no object")),
        Err(_) if call.request.content_type.contains("yaml") => parse_body(call)?,
        Err(error) => {
            let text = String::from_utf8_lossy(&call.request.body);
            return Err(Failure::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json \
                 parse error: {error} ({text})"
            )));
        }
    };
    for (field, wanted) in [("apiVersion", version.as_str()), ("kind", kind)] {
        match body[field].as_str() {
            Some(found) if found == wanted => {}
            None | Some("") => body[field] = Value::from(wanted),
            Some(_) => return Err(wrong_kind(call, &body)),
        }
    }
    Ok(body)
}

pub(super) fn wrong_kind(call: &Call<'_>, body: &Value) -> Box<Failure> {
    let text = |field: &str| body[field].as_str().unwrap_or_default();
    let (given, wanted) = (text("kind"), &call.resource.kind);
    let version = text("apiVersion").rsplit('/').next().unwrap_or_default();
    let group = match call.resource.group.as_str() {
        "" => "core",
        group => group.split('.').next().unwrap_or(group),
    };
    Failure::bad_request(format!(
        "{given} in version {version:?} cannot be handled as a {wanted}: converting ({version}.{given}) to \
         ({group}.{wanted}): unknown conversion"
    ))
}

/// Group, version and kind as messages show them; the core group is empty.
pub(super) fn kind_text(call: &Call<'_>) -> String {
    format!("{}/{}, Kind={}", call.resource.group, call.version.name, call.resource.kind)
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
pub(super) fn settle_place(call: &Call<'_>, object: &mut Value) -> Result<()> {
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
pub(super) fn decode_object(call: &Call<'_>, object: &mut Value) -> Result<Vec<String>> {
    let found = decode(&call.version.ty, object);
    if let Some(wrong) = found.wrong
        && !call.resource.custom
    {
        let (kind, version) = (&call.resource.kind, &call.version.name);
        if call.verb == Verb::Apply {
            let shown = kind_text(call);
            return Err(Failure::internal(format!(
                "failed to convert new object ({}/{}; {shown}) to proper version: unable to convert unstructured \
                 object to {shown}: {wrong}",
                meta::namespace(object),
                meta::name(object),
            )));
        }
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
pub(super) fn empty_object(call: &Call<'_>) -> Value {
    let mut empty = json!({"apiVersion": call.api_version(), "kind": call.resource.kind});
    decode(&call.version.ty, &mut empty);
    empty
}
