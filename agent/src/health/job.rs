//! Kinds that run to an end.

use nave_common::health::HealthReport;
use serde_json::Value;

use super::{conditions, count, degraded, healthy, progressing, suspended};

pub(super) fn job(object: &Value) -> HealthReport {
    let (spec, status) = (&object["spec"], &object["status"]);
    if conditions::is_true(object, "Complete").is_some() {
        return healthy();
    }
    for failed in ["Failed", "FailureTarget"] {
        if let Some(condition) = conditions::is_true(object, failed) {
            return degraded(condition.text());
        }
    }
    if spec["suspend"] == true {
        return suspended("the Job is suspended (spec.suspend)");
    }
    let wanted = spec["completions"].as_i64().unwrap_or(1);
    let (done, active, failed) =
        (count(&status["succeeded"]), count(&status["active"]), count(&status["failed"]));
    progressing(format!("{done} of {wanted} completed, {active} active, {failed} failed"))
}

pub(super) fn cron_job(object: &Value) -> HealthReport {
    if object["spec"]["suspend"] == true {
        return suspended("the CronJob is suspended (spec.suspend)");
    }
    healthy()
}
