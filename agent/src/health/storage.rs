//! Volumes.

use nave_common::health::HealthReport;
use serde_json::Value;

use super::{degraded, healthy, progressing};

pub(super) fn claim(object: &Value) -> HealthReport {
    match object["status"]["phase"].as_str().unwrap_or_default() {
        "Bound" => healthy(),
        "Lost" => degraded("its volume is lost"),
        _ => match object["spec"]["storageClassName"].as_str() {
            Some(class) => progressing(format!("not bound to a volume yet (storage class {class})")),
            None => progressing("not bound to a volume yet"),
        },
    }
}
