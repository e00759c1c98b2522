//! The columns of every kind, one file per noun.

mod application;
mod assignment;
mod cluster;
mod event;
mod failover;
mod movement;
mod revision;
mod token;

pub(crate) use cluster::cluster_state;
pub(crate) use failover::{lease_text, way};
pub(crate) use movement::Movement;
use nave_common::metadata::Labels;
use nave_common::name::{ApplicationKey, ProjectName};

use super::{Cell, Shape};

/// `shop`, or `retail/shop` where the project is another than `default`: what can be typed again.
pub(crate) fn application_name(key: &ApplicationKey) -> String {
    if key.project == ProjectName::default() { key.name.to_string() } else { key.to_string() }
}

/// `region=eu,zone=a`
fn labels_text(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// The cells of an application's key: with its project before it where several projects are shown.
fn key_cells(key: &ApplicationKey, shape: &Shape) -> Vec<Cell> {
    let mut cells = Vec::new();
    if shape.with_project {
        cells.push(Cell::new(key.project.as_str()));
    }
    cells.push(Cell::new(key.name.as_str()));
    cells
}

fn key_columns(shape: &Shape, name: &'static str) -> Vec<&'static str> {
    if shape.with_project { vec!["PROJECT", name] } else { vec![name] }
}
