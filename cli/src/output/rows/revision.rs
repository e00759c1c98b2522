//! Revisions.

use nave_common::revision::Revision;
use serde_json::Value;

use super::application_name;
use crate::exit::Outcome;
use crate::output::{Cell, Row, Shape, age, as_resource};

impl Row for Revision {
    fn columns(shape: &Shape) -> Vec<&'static str> {
        let mut columns = vec!["REVISION", "ORIGIN", "OBJECTS", "BUNDLE", "BY", "AGE"];
        if shape.wide {
            columns.extend(["CPU", "MEMORY", "AT"]);
        }
        columns
    }

    fn cells(&self, shape: &Shape) -> Vec<Cell> {
        let mut cells = vec![
            Cell::new(self.number.to_string()),
            Cell::new(self.origin.as_str()),
            Cell::new(self.object_count.to_string()),
            Cell::new(self.bundle.short()),
            Cell::new(self.created_by.as_str()),
            Cell::new(age(Some(self.created_at), shape.now)),
        ];
        if shape.wide {
            cells.extend([
                Cell::new(format!("{}m", self.requests.cpu_millicores)),
                Cell::new(format!("{}Mi", self.requests.memory_bytes >> 20)),
                Cell::new(self.created_at.to_string()),
            ]);
        }
        cells
    }

    fn name(&self) -> String {
        format!("revision/{}/{}", application_name(&self.application), self.number)
    }

    fn document(&self) -> Outcome<Value> {
        as_resource("Revision", self)
    }
}
