//! What a command changed, as people and programs want to read it.

use serde_json::{Map, Value, json};

use crate::args::ChangeFormat;
use crate::exit::Outcome;
use crate::output::{Printer, as_resource, json_text, list, yaml_text};

/// The changes of one command. Lines are printed as they happen; a document at the end: of one resource a `Result`, of
/// several a `List` of them, as `nave get` does it.
#[derive(Debug)]
pub(super) struct Changes {
    format: ChangeFormat,
    dry_run: bool,
    items: Vec<Map<String, Value>>,
}

impl Changes {
    pub(super) fn new(format: ChangeFormat, dry_run: bool) -> Self {
        Self { format, dry_run, items: Vec::new() }
    }

    /// One change: `name` such as `application/shop`, `verb` such as `created`, and for programs what else is known.
    pub(super) fn tell(&mut self, printer: &mut Printer, name: &str, verb: &str, more: Value) -> Outcome<()> {
        self.line(printer, name, verb)?;
        let item = self.item(name);
        item.insert("result".to_owned(), verb.into());
        if let Value::Object(more) = more {
            item.extend(more.into_iter().filter(|(_, value)| !is_nothing(value)));
        }
        Ok(())
    }

    /// How waiting for something ended; for programs beside what was said of it before.
    pub(super) fn tell_waited(
        &mut self,
        printer: &mut Printer,
        name: &str,
        line: Option<&str>,
        wait: Value,
    ) -> Outcome<()> {
        if let Some(line) = line {
            self.line(printer, name, line)?;
        }
        self.item(name).insert("wait".to_owned(), wait);
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

    fn line(&self, printer: &mut Printer, name: &str, verb: &str) -> Outcome<()> {
        let is_known = self.items.iter().any(|item| item.get("name").is_some_and(|known| known == name));
        match self.format {
            ChangeFormat::Text => {
                let dry_run = if self.dry_run { " (dry run)" } else { "" };
                self.note(printer, &format!("{name} {verb}{dry_run}"))
            }
            ChangeFormat::Name if !is_known => {
                printer.line(name)?;
                Ok(printer.flush()?)
            }
            ChangeFormat::Name | ChangeFormat::Json | ChangeFormat::Yaml => Ok(()),
        }
    }

    fn item(&mut self, name: &str) -> &mut Map<String, Value> {
        let is_this = |item: &Map<String, Value>| item.get("name").is_some_and(|known| known == name);
        let place = self.items.iter().position(is_this).unwrap_or_else(|| {
            let mut item = Map::new();
            item.insert("name".to_owned(), name.into());
            if self.dry_run {
                item.insert("dryRun".to_owned(), true.into());
            }
            self.items.push(item);
            self.items.len() - 1
        });
        &mut self.items[place]
    }

    /// Prints the document, where one is wanted; also of a command that failed halfway.
    pub(super) fn finish(self, printer: &mut Printer) -> Outcome<()> {
        if !matches!(self.format, ChangeFormat::Json | ChangeFormat::Yaml) {
            return Ok(());
        }
        let mut documents = self
            .items
            .into_iter()
            .map(|item| as_resource("Result", &json!(item)))
            .collect::<Outcome<Vec<_>>>()?;
        let document = match documents.pop() {
            Some(only) if documents.is_empty() => only,
            last => {
                documents.extend(last);
                list(documents)
            }
        };
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
