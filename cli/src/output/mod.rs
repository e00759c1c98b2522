//! What people and programs read: tables, YAML, JSON, names; progress and hints on standard error.

mod age;
mod cell;
mod encode;
mod printer;
mod progress;
mod row;
mod rows;
mod table;

pub(crate) use age::{age, ago, now};
pub(crate) use cell::{Cell, Tone};
pub(crate) use encode::{as_resource, json_line, json_text, list, yaml_text};
pub(crate) use printer::{Printer, complain};
pub(crate) use progress::Progress;
pub(crate) use row::{Row, Shape, show};
pub(crate) use rows::{Movement, application_name, cluster_state, lease_text, way};
pub(crate) use table::Table;
