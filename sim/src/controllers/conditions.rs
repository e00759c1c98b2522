//! Conditions of a status.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::meta;

/// One condition to set.
pub(crate) struct Condition<'a> {
    pub(crate) kind: &'a str,
    pub(crate) holds: bool,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
}

/// Sets a condition. Its transition time moves only when its status does.
pub(crate) fn set(status: &mut Value, condition: &Condition<'_>, now: Timestamp, with_update_time: bool) {
    let holds = if condition.holds { "True" } else { "False" };
    set_as(status, condition, holds, now, with_update_time);
}

/// Sets a condition of which nothing is known.
pub(crate) fn set_unknown(status: &mut Value, condition: &Condition<'_>, now: Timestamp) {
    set_as(status, condition, "Unknown", now, true);
}

fn set_as(
    status: &mut Value,
    condition: &Condition<'_>,
    holds: &str,
    now: Timestamp,
    with_update_time: bool,
) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let time = meta::time_text(now);
    let Some(list) = status["conditions"].as_array_mut() else { return };
    let place = list.iter().position(|have| have["type"] == condition.kind);
    let old = place.and_then(|place| list.get(place)).cloned().unwrap_or(Value::Null);
    let same = old["status"] == holds;
    let equal = same && old["reason"] == condition.reason && old["message"] == condition.message;
    let mut fresh = Map::new();
    fresh.insert("type".to_owned(), Value::from(condition.kind));
    fresh.insert("status".to_owned(), Value::from(holds));
    let keep = |field: &str, keep: bool| match old.get(field) {
        Some(old) if keep => old.clone(),
        _ => Value::from(time.as_str()),
    };
    if with_update_time {
        fresh.insert("lastUpdateTime".to_owned(), keep("lastUpdateTime", equal));
    }
    fresh.insert("lastTransitionTime".to_owned(), keep("lastTransitionTime", same));
    for (field, text) in [("reason", condition.reason), ("message", condition.message)] {
        if !text.is_empty() {
            fresh.insert(field.to_owned(), Value::from(text));
        }
    }
    match place.and_then(|place| list.get_mut(place)) {
        Some(slot) => *slot = Value::Object(fresh),
        None => list.push(Value::Object(fresh)),
    }
}

/// Does the condition hold?
pub(crate) fn holds(status: &Value, kind: &str) -> bool {
    find(status, kind).is_some_and(|condition| condition["status"] == "True")
}

/// The condition of this type.
pub(crate) fn find<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}
