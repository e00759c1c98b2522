//! Kinds that shape the cluster: namespaces and definitions of kinds.

use std::time::Duration;

use nave_common::health::HealthReport;
use nave_common::time::Timestamp;
use serde_json::Value;

use super::{conditions, degraded, healthy, progressing};

/// How long the server behind an APIService may take to come up.
const API_SERVICE_GRACE: Duration = Duration::from_secs(60);

pub(super) fn namespace(object: &Value) -> HealthReport {
    if object["status"]["phase"] == "Terminating" { progressing("it is being deleted") } else { healthy() }
}

pub(super) fn definition(object: &Value) -> HealthReport {
    if let Some(refused) = conditions::find(object, "NamesAccepted").filter(conditions::Condition::is_false) {
        return degraded(refused.text());
    }
    if let Some(terminating) = conditions::is_true(object, "Terminating") {
        return progressing(terminating.text());
    }
    match conditions::find(object, "Established") {
        Some(condition) if condition.is_true() => healthy(),
        Some(condition) => progressing(condition.text()),
        None => progressing("the API server does not serve its kind yet"),
    }
}

pub(super) fn api_service(object: &Value, now: Timestamp) -> HealthReport {
    match conditions::find(object, "Available") {
        Some(condition) if condition.is_true() => healthy(),
        Some(condition) if condition.age(now) < API_SERVICE_GRACE => progressing(condition.text()),
        Some(condition) => degraded(condition.text()),
        None => progressing("its server was not asked yet"),
    }
}
