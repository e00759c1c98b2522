//! Assignments: one application in one cluster.

use nave_common::assignment::Desired;
use nave_common::health::Health;
use nave_common::status::{AssignmentView, Liveness, SyncState};
use serde_json::Value;

use super::{key_cells, key_columns};
use crate::exit::Outcome;
use crate::output::{Cell, Row, Shape, Tone, age, as_resource};

impl Row for AssignmentView {
    fn columns(shape: &Shape) -> Vec<&'static str> {
        let mut columns = key_columns(shape, "APPLICATION");
        columns.extend(["CLUSTER", "REVISION", "SYNC", "HEALTH", "OBJECTS", "REPORTED", "REASON"]);
        if shape.wide {
            columns.extend(["LIVENESS", "GENERATION", "RENDERING", "DRIFT", "CHANGE"]);
        }
        columns
    }

    fn cells(&self, shape: &Shape) -> Vec<Cell> {
        let status = self.status.as_ref();
        let (revision, rendering) = match &self.assignment.desired {
            Desired::Run(run) => (run.revision.to_string(), run.rendering.short()),
            Desired::Remove => ("removing".to_owned(), String::new()),
        };
        let (sync, health) = shown_state(self);
        let reason = match (status, self.liveness) {
            (Some(status), _) if !status.reason.is_empty() => status.reason.clone(),
            (_, liveness @ (Liveness::Lost | Liveness::Unheard)) => format!("the cluster is {liveness}"),
            (None, _) => "nothing heard of it yet".to_owned(),
            (Some(_), _) => String::new(),
        };
        let objects = status.map(|status| format!("{}/{}", status.healthy_count, status.object_count));
        let mut cells = key_cells(&self.assignment.application, shape);
        cells.extend([
            Cell::new(self.assignment.cluster.as_str()),
            Cell::new(revision),
            Cell::state(sync),
            match (&self.assignment.desired, health) {
                // Nothing runs there, so nothing of it is healthy.
                (Desired::Run(run), Health::Healthy) if !run.activity.is_active() => {
                    Cell::toned("Parked", Tone::Dim)
                }
                _ => Cell::state(health),
            },
            Cell::new(objects.unwrap_or_default()),
            Cell::new(age(status.map(|status| status.observed_at), shape.now)),
            Cell::toned(reason, if health == Health::Healthy { Tone::Dim } else { Tone::Plain }),
        ]);
        if shape.wide {
            cells.extend([
                Cell::state(self.liveness),
                Cell::new(self.assignment.generation.to_string()),
                Cell::new(rendering),
                Cell::new(status.map(|status| status.drift_count.to_string()).unwrap_or_default()),
                Cell::new(self.assignment.change_id.as_str()),
            ]);
        }
        cells
    }

    fn name(&self) -> String {
        format!("assignment/{}/{}", self.assignment.application, self.assignment.cluster)
    }

    fn document(&self) -> Outcome<Value> {
        as_resource("Assignment", self)
    }
}

/// What was last seen, as far as it can still be believed: of a cluster that is not heard, nothing is known.
fn shown_state(view: &AssignmentView) -> (SyncState, Health) {
    match (&view.status, view.liveness) {
        (Some(status), Liveness::Alive | Liveness::Suspect) => {
            let is_current = status.generation == view.assignment.generation;
            // What an agent says of an older wish says nothing of this one.
            (if is_current { status.sync } else { status.sync.max(SyncState::Syncing) }, status.health)
        }
        (None, Liveness::Alive | Liveness::Suspect) => (SyncState::Syncing, Health::Unknown),
        (_, Liveness::Lost | Liveness::Unheard) => (SyncState::Unknown, Health::Unknown),
    }
}
