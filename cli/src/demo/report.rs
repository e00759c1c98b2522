//! What a demo did: one line a step for people, one JSON document for machines.

use std::time::Duration;

use serde::Serialize;

use super::region::MoveReport;
use crate::exit::told;

/// The outcome of a whole demo.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Whether every step went well.
    pub(crate) ok: bool,
    /// How long all of it took, in milliseconds.
    pub(crate) ms: f64,
    /// The clusters, by name.
    pub(crate) clusters: Vec<String>,
    /// The steps, in order.
    pub(crate) steps: Vec<Step>,
    /// How long a cluster counted as alive since it was last heard, in milliseconds.
    pub(crate) liveness_lease_ms: f64,
    /// How applications moved when a region was lost, and came home.
    pub(crate) moves: Vec<MoveReport>,
}

/// The outcome of one step.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    /// Its name, the same in every run.
    pub(crate) name: &'static str,
    /// Whether it went well.
    pub(crate) ok: bool,
    /// How long it took, in milliseconds.
    pub(crate) ms: f64,
    /// What happened, for people; why not, where it did not go well.
    pub(crate) detail: String,
}

impl Report {
    pub(crate) fn new(clusters: Vec<String>) -> Self {
        Self { ok: true, ms: 0.0, clusters, steps: Vec::new(), liveness_lease_ms: 0.0, moves: Vec::new() }
    }

    pub(crate) fn add(
        &mut self,
        name: &'static str,
        took: Duration,
        outcome: &anyhow::Result<String>,
    ) -> &Step {
        let (ok, detail) = match outcome {
            Ok(detail) => (true, detail.clone()),
            Err(error) => (false, told(error.as_ref())),
        };
        self.ok &= ok;
        self.steps.push(Step { name, ok, ms: millis(took), detail });
        &self.steps[self.steps.len() - 1]
    }
}

/// Milliseconds with three places, as a number for JSON.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// A duration for people: `8.4 ms`, `1.25 s`.
pub(crate) fn shown(millis: f64) -> String {
    if millis < 1000.0 { format!("{millis:.1} ms") } else { format!("{:.2} s", millis / 1000.0) }
}
