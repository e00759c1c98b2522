//! What every kind of resource says of itself: its columns, its name, its document.

use nave_common::time::Timestamp;
use serde_json::Value;

use super::encode::{json_text, list, yaml_text};
use super::{Cell, Printer, Table};
use crate::args::Format;
use crate::exit::Outcome;

/// How a table is to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) wide: bool,
    /// Whether the projects of applications are shown: where several can be in one table.
    pub(crate) with_project: bool,
    /// What ages are counted to.
    pub(crate) now: Timestamp,
    /// Whether applications say what failover does with them: where it does anything with one of them.
    pub(crate) with_failover: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { wide: false, with_project: false, now: Timestamp::EPOCH, with_failover: false }
    }
}

/// A resource that can be shown.
pub(crate) trait Row {
    /// The columns of its table.
    fn columns(shape: &Shape) -> Vec<&'static str>;

    /// What stands in these columns.
    fn cells(&self, shape: &Shape) -> Vec<Cell>;

    /// `application/shop`.
    fn name(&self) -> String;

    /// The resource in full, as `nave apply` takes it where it takes its kind.
    fn document(&self) -> Outcome<Value>;
}

/// Prints resources. `single` says that exactly one was asked for by name, which is then no list.
pub(crate) fn show<R: Row>(
    printer: &mut Printer,
    resources: &[R],
    format: Format,
    shape: Shape,
    single: bool,
) -> Outcome<()> {
    match format {
        Format::Table | Format::Wide => {
            let shape = Shape { wide: format == Format::Wide, ..shape };
            let mut table = Table::new(R::columns(&shape));
            for resource in resources {
                table.push(resource.cells(&shape));
            }
            table.print(printer)?;
        }
        Format::Name => {
            for resource in resources {
                printer.line(&resource.name())?;
            }
        }
        Format::Json | Format::Yaml => {
            let mut documents = resources.iter().map(Row::document).collect::<Result<Vec<_>, _>>()?;
            let whole = match documents.pop() {
                Some(only) if single && documents.is_empty() => only,
                last => {
                    documents.extend(last);
                    list(documents)
                }
            };
            let text = if format == Format::Json { json_text(&whole) } else { yaml_text(&whole)? };
            printer.raw(&text)?;
        }
    }
    Ok(())
}
