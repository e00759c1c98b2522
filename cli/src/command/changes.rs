//! What a command changed, as people and programs want to read it.

use serde_json::{Value, json};

use crate::args::ChangeFormat;
use crate::exit::Outcome;
use crate::output::{Printer, as_resource, json_text, yaml_text};

/// The changes of one command. Lines are printed as they happen; a document at the end.
#[derive(Debug)]
pub(super) struct Changes {
    format: ChangeFormat,
    dry_run: bool,
    items: Vec<Value>,
}

impl Changes {
    pub(super) fn new(format: ChangeFormat, dry_run: bool) -> Self {
        Self { format, dry_run, items: Vec::new() }
    }

    pub(super) fn is_document(&self) -> bool {
        matches!(self.format, ChangeFormat::Json | ChangeFormat::Yaml)
    }

    /// One change: `name` such as `application/shop`, `verb` such as `created`, and for programs what else is known.
    pub(super) fn tell(&mut self, printer: &mut Printer, name: &str, verb: &str, more: Value) -> Outcome<()> {
        match self.format {
            ChangeFormat::Text if printer.is_quiet() => {}
            ChangeFormat::Text => {
                let dry_run = if self.dry_run { " (dry run)" } else { "" };
                printer.line(&format!("{name} {verb}{dry_run}"))?;
                printer.flush()?;
            }
            ChangeFormat::Name => {
                printer.line(name)?;
                printer.flush()?;
            }
            ChangeFormat::Json | ChangeFormat::Yaml => {
                let mut item = json!({"name": name, "result": verb});
                if let (Value::Object(item), Value::Object(more)) = (&mut item, more) {
                    item.extend(more.into_iter().filter(|(_, value)| !is_nothing(value)));
                }
                self.items.push(item);
            }
        }
        Ok(())
    }

    /// A line that is for people alone.
    pub(super) fn note(&self, printer: &mut Printer, text: &str) -> Outcome<()> {
        if self.format == ChangeFormat::Text && !printer.is_quiet() {
            printer.line(text)?;
            printer.flush()?;
        }
        Ok(())
    }

    /// Prints the document, where one is wanted; also of a command that failed halfway.
    pub(super) fn finish(self, printer: &mut Printer) -> Outcome<()> {
        if !self.is_document() {
            return Ok(());
        }
        let document = as_resource("Result", &json!({"dryRun": self.dry_run, "items": self.items}))?;
        let text =
            if self.format == ChangeFormat::Json { json_text(&document) } else { yaml_text(&document)? };
        printer.raw(&text)?;
        Ok(())
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
