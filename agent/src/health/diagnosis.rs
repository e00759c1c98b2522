//! Diagnosis: why a workload is not ready, read from a few of its pods. Pure; the pods are fetched elsewhere.

use serde_json::Value;

use super::{conditions, pod};

/// The most pods that are looked at for one workload.
pub const MAX_PODS: u32 = 50;

/// The longest reason, so that a pod's lengthy message does not fill a status.
const MAX_REASON_CHARS: usize = 300;

/// The selector of a workload's pods as a query writes it; `None` where it has none, or one that is not just labels.
#[must_use]
pub fn selector(manifest: &Value) -> Option<String> {
    let selector = &manifest["spec"]["selector"];
    let labels = match manifest["kind"].as_str()? {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => {
            if selector["matchExpressions"].as_array().is_some_and(|expressions| !expressions.is_empty()) {
                return None;
            }
            selector["matchLabels"].as_object()?
        }
        "Job" => {
            let name = manifest["metadata"]["name"].as_str()?;
            return Some(format!("batch.kubernetes.io/job-name={name}"));
        }
        _ => return None,
    };
    let terms: Vec<_> =
        labels.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    (!terms.is_empty()).then(|| terms.join(","))
}

/// What is wrong with one of the pods that are not ready, the most telling first.
#[must_use]
pub fn diagnose(pods: &[Value]) -> Option<String> {
    let mut best: Option<(u8, String)> = None;
    for object in pods {
        if !object["metadata"]["deletionTimestamp"].is_null()
            || conditions::is_true(object, "Ready").is_some()
        {
            continue;
        }
        let unscheduled = conditions::find(object, "PodScheduled").filter(conditions::Condition::is_false);
        let (rank, what) = if let Some(trouble) = pod::trouble(object) {
            (0, trouble)
        } else if let Some(condition) = unscheduled {
            (1, format!("no node takes it: {}", condition.text()))
        } else if let Some(waiting) = pod::waiting(object) {
            (2, waiting)
        } else {
            continue;
        };
        if best.as_ref().is_none_or(|(best, _)| rank < *best) {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            best = Some((rank, format!("pod {name}: {what}")));
        }
    }
    best.map(|(_, reason)| shorten(&reason))
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= MAX_REASON_CHARS {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(MAX_REASON_CHARS).collect();
    short.push('…');
    short
}
