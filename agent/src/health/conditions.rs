//! Conditions, and the health of kinds of which nothing but their conditions is known.

use std::time::Duration;

use nave_common::health::HealthReport;
use nave_common::time::Timestamp;
use serde_json::Value;

use super::{degraded, healthy, is_unobserved, progressing, unobserved};

/// One of an object's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition<'a> {
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    /// The word for machines.
    pub reason: &'a str,
    /// The sentence for people.
    pub message: &'a str,
    /// When the status last changed.
    pub changed_at: Option<Timestamp>,
}

impl Condition<'_> {
    /// Whether its status is `True`.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Whether its status is `False`.
    #[must_use]
    pub fn is_false(&self) -> bool {
        self.status == "False"
    }

    /// Message and reason as one text.
    #[must_use]
    pub fn text(&self) -> String {
        match (self.message.trim(), self.reason) {
            ("", reason) => reason.to_owned(),
            (message, "") => message.to_owned(),
            (message, reason) => format!("{message} ({reason})"),
        }
    }

    /// For how long its status has been what it is.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        self.changed_at.map_or(Duration::ZERO, |at| now.since(at))
    }
}

/// The condition of a type.
#[must_use]
pub fn find<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    let text = |name: &str| found[name].as_str().unwrap_or_default();
    Some(Condition {
        status: text("status"),
        reason: text("reason"),
        message: text("message"),
        changed_at: text("lastTransitionTime").parse().ok(),
    })
}

/// The condition of a type, if it is `True`.
#[must_use]
pub fn is_true<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    find(object, kind).filter(Condition::is_true)
}

/// Kinds of which nothing else is known: by the conditions that controllers agree on. An object without any is there,
/// and that is all that is asked of it.
pub(super) fn generic(object: &Value) -> HealthReport {
    if is_unobserved(object) {
        return unobserved();
    }
    for bad in ["Stalled", "Failed", "Degraded"] {
        if let Some(condition) = is_true(object, bad) {
            return degraded(condition.text());
        }
    }
    if let Some(condition) = is_true(object, "Reconciling") {
        return progressing(condition.text());
    }
    for good in ["Ready", "Available", "Healthy"] {
        match find(object, good) {
            Some(condition) if condition.is_true() => return healthy(),
            Some(condition) => {
                return progressing(format!("not {}: {}", good.to_lowercase(), condition.text()));
            }
            None => {}
        }
    }
    healthy()
}
