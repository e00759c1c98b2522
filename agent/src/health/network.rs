//! Services.

use nave_common::health::HealthReport;
use serde_json::Value;

use super::{healthy, progressing};

pub(super) fn service(object: &Value) -> HealthReport {
    if object["spec"]["type"] != "LoadBalancer" {
        return healthy();
    }
    let addresses = object["status"]["loadBalancer"]["ingress"].as_array();
    if addresses.is_some_and(|addresses| !addresses.is_empty()) {
        healthy()
    } else {
        progressing("its load balancer has no address yet")
    }
}
