//! Pods.

use std::time::Duration;

use nave_common::health::HealthReport;
use nave_common::time::Timestamp;
use serde_json::Value;

use super::{conditions, degraded, healthy, progressing};

/// How long a pod may wait for a node before that counts as a problem and not as a start.
const SCHEDULING_GRACE: Duration = Duration::from_secs(60);

pub(super) fn pod(object: &Value, now: Timestamp) -> HealthReport {
    let status = &object["status"];
    match status["phase"].as_str().unwrap_or_default() {
        "Succeeded" => return healthy(),
        "Failed" => {
            let trouble = trouble(object).unwrap_or_else(|| {
                let text = |name: &str| status[name].as_str().unwrap_or_default();
                format!("it failed: {} {}", text("reason"), text("message"))
                    .trim_end_matches([' ', ':'])
                    .into()
            });
            return degraded(trouble);
        }
        _ => {}
    }
    if conditions::is_true(object, "Ready").is_some() {
        return healthy();
    }
    if let Some(scheduled) = conditions::find(object, "PodScheduled").filter(conditions::Condition::is_false)
    {
        let reason = format!("no node takes it: {}", scheduled.text());
        return if scheduled.age(now) < SCHEDULING_GRACE { progressing(reason) } else { degraded(reason) };
    }
    match trouble(object) {
        Some(trouble) => degraded(trouble),
        None => progressing(waiting(object).unwrap_or_else(|| "not ready yet".into())),
    }
}

/// Reasons why a container waits that do not pass by themselves.
const BAD_REASONS: [&str; 8] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// Init containers first: they run first.
fn containers(object: &Value) -> impl Iterator<Item = &Value> {
    let status = &object["status"];
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|field| status[field].as_array().into_iter().flatten())
}

/// How a container is named where there are others, and not where it is the only one.
fn prefix(object: &Value, container: &Value) -> String {
    match (containers(object).count(), container["name"].as_str()) {
        (0 | 1, _) | (_, None) => String::new(),
        (_, Some(name)) => format!("container {name}: "),
    }
}

/// What is wrong with a pod's containers, if something is: `image cart:1.9 not found (ImagePullBackOff)`.
#[must_use]
pub fn trouble(object: &Value) -> Option<String> {
    containers(object).find_map(|container| {
        let prefix = prefix(object, container);
        let waiting = &container["state"]["waiting"];
        let reason = waiting["reason"].as_str().unwrap_or_default();
        if BAD_REASONS.contains(&reason) {
            return Some(format!("{prefix}{}", explain(container, reason)));
        }
        let ended = &container["state"]["terminated"];
        let code = ended["exitCode"].as_i64().unwrap_or(0);
        (code != 0).then(|| format!("{prefix}{}", ended_text(ended)))
    })
}

fn explain(container: &Value, reason: &str) -> String {
    let image = container["image"].as_str().unwrap_or_default();
    let message = container["state"]["waiting"]["message"].as_str().unwrap_or_default();
    match reason {
        "ImagePullBackOff" | "ErrImagePull" => {
            let low = message.to_lowercase();
            let why = if low.contains("not found") || low.contains("manifest unknown") {
                "not found"
            } else if low.contains("unauthorized") || low.contains("denied") || low.contains("forbidden") {
                "cannot be pulled: access denied"
            } else {
                "cannot be pulled"
            };
            format!("image {image} {why} ({reason})")
        }
        "CrashLoopBackOff" => {
            let last = &container["lastState"]["terminated"];
            let restarts = container["restartCount"].as_i64().unwrap_or(0);
            let why = if last.is_null() { "it ended".into() } else { ended_text(last) };
            format!("{why}, {restarts} restarts ({reason})")
        }
        _ if message.is_empty() => reason.to_owned(),
        _ => format!("{message} ({reason})"),
    }
}

fn ended_text(ended: &Value) -> String {
    let code = ended["exitCode"].as_i64().unwrap_or(0);
    match ended["reason"].as_str() {
        Some("OOMKilled") => "out of memory (OOMKilled)".into(),
        Some(reason) if reason != "Error" => format!("exit code {code} ({reason})"),
        _ => format!("exit code {code}"),
    }
}

/// What a pod that is in no trouble waits for.
#[must_use]
pub fn waiting(object: &Value) -> Option<String> {
    containers(object).find_map(|container| {
        let name = container["name"].as_str().unwrap_or_default();
        let waiting = container["state"]["waiting"]["reason"].as_str();
        if let Some(reason) = waiting {
            return Some(format!("container {name} waits: {reason}"));
        }
        let running = !container["state"]["running"].is_null();
        (running && container["ready"] == false)
            .then(|| format!("container {name} runs and is not ready yet"))
    })
}
