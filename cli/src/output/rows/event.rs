//! Events.

use nave_common::event::{Event, Severity};
use serde_json::Value;

use super::application_name;
use crate::exit::Outcome;
use crate::output::{Cell, Row, Shape, Tone, age, as_resource};

impl Row for Event {
    fn columns(shape: &Shape) -> Vec<&'static str> {
        let mut columns = vec!["AGE", "TYPE", "REASON", "ABOUT", "MESSAGE"];
        if shape.wide {
            columns.extend(["AT", "CHANGE"]);
        }
        columns
    }

    fn cells(&self, shape: &Shape) -> Vec<Cell> {
        let application = self.application.as_ref().map(application_name);
        let about = match (application, &self.cluster) {
            (Some(application), Some(cluster)) => format!("{application} in {cluster}"),
            (Some(application), None) => application,
            (None, Some(cluster)) => cluster.to_string(),
            (None, None) => String::new(),
        };
        let tone = if self.severity == Severity::Warning { Tone::Busy } else { Tone::Plain };
        let mut cells = vec![
            Cell::new(age(Some(self.at), shape.now)),
            Cell::toned(self.severity.to_string(), tone),
            Cell::new(self.reason.as_str()),
            Cell::new(about),
            Cell::new(self.message.as_str()),
        ];
        if shape.wide {
            cells.extend([Cell::new(self.at.to_string()), Cell::new(self.change_id.as_str())]);
        }
        cells
    }

    /// Events have no names of their own; time and reason tell one from the other.
    fn name(&self) -> String {
        format!("event/{}/{}", self.at, self.reason)
    }

    fn document(&self) -> Outcome<Value> {
        as_resource("Event", self)
    }
}
