//! Applications.

use nave_common::application::Application;
use nave_common::manifest::masked;
use nave_common::source::Source;
use nave_common::status::SyncState;
use serde_json::Value;

use super::{application_name, key_cells, key_columns, labels_text};
use crate::exit::Outcome;
use crate::output::{Cell, Row, Shape, Tone, age, as_resource};

/// What the column SYNC says: what people asked for stands before what was seen.
trait SyncCell {
    fn sync_cell(&self, seen: SyncState) -> Cell;
}

impl SyncCell for Application {
    fn sync_cell(&self, seen: SyncState) -> Cell {
        if self.metadata.deleted_at.is_some() {
            return Cell::toned("Deleting", Tone::Busy);
        }
        let is_suspended = self.spec.sync.suspended && seen < SyncState::OutOfSync;
        Cell::state(if is_suspended { SyncState::Suspended } else { seen })
    }
}

impl Row for Application {
    fn columns(shape: &Shape) -> Vec<&'static str> {
        let mut columns = key_columns(shape, "NAME");
        columns.extend(["REVISION", "CLUSTERS", "SYNC", "HEALTH", "AGE"]);
        if shape.with_failover && !shape.wide {
            columns.push("FAILOVER");
        }
        if shape.wide {
            columns.extend(["PARKED", "FAILOVER", "HEARD", "NAMESPACE", "ORIGIN", "LABELS", "REASON"]);
        }
        columns
    }

    fn cells(&self, shape: &Shape) -> Vec<Cell> {
        let status = self.status.clone().unwrap_or_default();
        let wanted = status.cluster_count.saturating_add(status.unplaced_count);
        let is_met = status.synced_count == wanted;
        let mut cells = key_cells(&self.key(), shape);
        cells.extend([
            Cell::new(if status.revision == 0 { String::new() } else { status.revision.to_string() }),
            Cell::toned(
                format!("{}/{wanted}", status.synced_count),
                if is_met { Tone::Plain } else { Tone::Busy },
            ),
            self.sync_cell(status.sync),
            Cell::state(status.health),
            Cell::new(age(self.metadata.created_at, shape.now)),
        ]);
        let failover = Cell::toned(status.failover.as_str(), Tone::Busy);
        if shape.with_failover && !shape.wide {
            // What it waits for is a sentence: `nave failover status` has it.
            let short: Vec<&str> = status.failover.splitn(3, ": ").take(2).collect();
            cells.push(Cell::toned(short.join(": "), Tone::Busy));
        }
        if shape.wide {
            cells.extend([
                Cell::new(if status.parked_count == 0 {
                    String::new()
                } else {
                    status.parked_count.to_string()
                }),
                failover,
                Cell::new(age(status.observed_at, shape.now)),
                Cell::new(self.spec.namespace.as_ref().map(ToString::to_string).unwrap_or_default()),
                Cell::new(status.origin),
                Cell::new(labels_text(&self.metadata.labels)),
                Cell::new(status.reason),
            ]);
        }
        cells
    }

    fn name(&self) -> String {
        format!("application/{}", application_name(&self.key()))
    }

    /// With the values of Secrets that stand in it masked.
    fn document(&self) -> Outcome<Value> {
        let mut shown = self.clone();
        if let Source::Inline(inline) = &mut shown.spec.source {
            for manifest in &mut inline.manifests {
                *manifest = masked(manifest);
            }
        }
        as_resource("Application", &shown)
    }
}
