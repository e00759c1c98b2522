//! Tables as `kubectl` prints them: columns three spaces apart, nothing cut off, easy to take apart with awk.

use std::io;

use super::encode::printable;
use super::{Cell, Printer, Tone};

const GAP: usize = 3;

/// A table that may go on growing (`--watch`): columns get wider with what comes, never narrower.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<&'static str>,
    widths: Vec<usize>,
    rows: Vec<Vec<Cell>>,
    header_is_printed: bool,
    indent: usize,
}

impl Table {
    pub(crate) fn new(columns: Vec<&'static str>) -> Self {
        let widths = columns.iter().map(|column| column.chars().count()).collect();
        Self { columns, widths, rows: Vec::new(), header_is_printed: false, indent: 0 }
    }

    /// A table whose columns need no names.
    pub(crate) fn without_header(column_count: usize) -> Self {
        Self { header_is_printed: true, ..Self::new(vec![""; column_count]) }
    }

    /// The same table, so many spaces to the right.
    #[must_use]
    pub(crate) fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    pub(crate) fn push(&mut self, cells: Vec<Cell>) {
        let cells: Vec<Cell> =
            cells.into_iter().map(|cell| Cell { text: printable(&cell.text), ..cell }).collect();
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = cell.text.chars().count().max(*width);
        }
        self.rows.push(cells);
    }

    /// Prints what has come since the last time.
    pub(crate) fn print(&mut self, printer: &mut Printer) -> io::Result<()> {
        if !self.header_is_printed && !self.rows.is_empty() {
            self.header_is_printed = true;
            let header = self.columns.iter().map(|column| Cell::toned(*column, Tone::Heading)).collect();
            self.rows.insert(0, header);
        }
        for row in std::mem::take(&mut self.rows) {
            let line = self.layout(printer, &row);
            printer.raw(&line)?;
        }
        Ok(())
    }

    fn layout(&self, printer: &Printer, row: &[Cell]) -> String {
        let mut line = " ".repeat(self.indent);
        for (index, (cell, width)) in row.iter().zip(&self.widths).enumerate() {
            line.push_str(&printer.paint(cell.tone, &cell.text));
            if index + 1 < row.len() {
                line.push_str(&" ".repeat(width.saturating_sub(cell.text.chars().count()) + GAP));
            }
        }
        line.push('\n');
        line
    }
}
