//! Join tokens, without their secrets: the hub itself keeps only their hashes.

use serde_json::Value;

use super::labels_text;
use crate::client::Token;
use crate::exit::Outcome;
use crate::output::{Cell, Row, Shape, Tone, age, as_resource};

impl Row for Token {
    fn columns(_: &Shape) -> Vec<&'static str> {
        vec!["ID", "USES", "EXPIRES", "CLUSTER", "LABELS", "BY", "AGE"]
    }

    fn cells(&self, shape: &Shape) -> Vec<Cell> {
        let expires = match self.expires_at {
            Some(at) if at > shape.now => Cell::new(format!("in {}", age(Some(shape.now), at))),
            Some(_) => Cell::toned("expired", Tone::Bad),
            None => Cell::new(""),
        };
        vec![
            Cell::new(self.id.as_str()),
            Cell::new(self.uses_left.to_string()),
            expires,
            Cell::new(self.cluster.as_str()),
            Cell::new(labels_text(&self.labels)),
            Cell::new(self.created_by.as_str()),
            Cell::new(age(self.created_at, shape.now)),
        ]
    }

    fn name(&self) -> String {
        format!("token/{}", self.id)
    }

    fn document(&self) -> Outcome<Value> {
        as_resource("JoinToken", self)
    }
}
