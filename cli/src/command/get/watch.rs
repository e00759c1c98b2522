//! `nave get --watch`: what is there, then every change, until one side has enough.

use serde_json::{Value, json};

use super::Asked;
use crate::args::Format;
use crate::client::{Change, Hub, WatchWhat};
use crate::exit::Outcome;
use crate::output::{Cell, Printer, Row, Shape, Table, Tone, application_name, json_line, now, yaml_text};

pub(super) async fn run(hub: &Hub, what: &WatchWhat, asked: &Asked<'_>, printer: &mut Printer) -> Outcome {
    let mut watch = hub.watch(what).await?;
    let columns = columns(what, &asked.shape);
    let mut view = View { asked, table: Table::new(columns), is_synced: false };
    loop {
        let change = watch.next().await?;
        view.take(&change, printer)?;
    }
}

fn columns(what: &WatchWhat, shape: &Shape) -> Vec<&'static str> {
    use nave_common::{application::Application, cluster::Cluster, event::Event, status::AssignmentView};
    match what {
        WatchWhat::Applications { .. } => Application::columns(shape),
        WatchWhat::Clusters { .. } => Cluster::columns(shape),
        WatchWhat::Assignments { .. } => AssignmentView::columns(shape),
        WatchWhat::Events { .. } => Event::columns(shape),
    }
}

struct View<'a> {
    asked: &'a Asked<'a>,
    table: Table,
    /// Whether everything that was there has come: until then rows wait, so that columns are as wide as they have to be.
    is_synced: bool,
}

impl View<'_> {
    fn take(&mut self, change: &Change, printer: &mut Printer) -> Outcome<()> {
        match change {
            Change::Application(application) => {
                let key = application.key();
                if self.is_asked_for(key.name.as_str(), Some(&key.to_string())) {
                    self.applied(application.as_ref(), printer)?;
                }
            }
            Change::Cluster(cluster) if self.is_asked_for(cluster.metadata.name.as_str(), None) => {
                self.applied(cluster.as_ref(), printer)?;
            }
            Change::Assignment(view) => self.applied(view.as_ref(), printer)?,
            Change::Event(event) => self.applied(event, printer)?,
            Change::Deleted { application, cluster } => {
                let name = match (application.as_ref().map(application_name), cluster) {
                    (Some(application), None) => format!("application/{application}"),
                    (None, Some(cluster)) => format!("cluster/{cluster}"),
                    (Some(application), Some(cluster)) => format!("assignment/{application}/{cluster}"),
                    (None, None) => return Ok(()),
                };
                self.deleted(&name, printer)?;
            }
            Change::Synced => self.is_synced = true,
            Change::Cluster(_) => {}
        }
        if self.is_synced {
            self.table.print(printer)?;
            printer.flush()?;
        }
        Ok(())
    }

    /// The hub knows one name at most; of several, the others are left out here.
    fn is_asked_for(&self, name: &str, full_name: Option<&str>) -> bool {
        let names = &self.asked.names;
        names.is_empty() || names.iter().any(|asked| asked == name || Some(asked.as_str()) == full_name)
    }

    fn applied<R: Row>(&mut self, resource: &R, printer: &mut Printer) -> Outcome<()> {
        match self.asked.get.output {
            Format::Table | Format::Wide => {
                self.table.push(resource.cells(&Shape { now: now()?, ..self.asked.shape }));
                Ok(())
            }
            Format::Name => Ok(printer.line(&resource.name())?),
            Format::Json | Format::Yaml => self.document("Applied", &resource.document()?, printer),
        }
    }

    fn deleted(&mut self, name: &str, printer: &mut Printer) -> Outcome<()> {
        match self.asked.get.output {
            Format::Table | Format::Wide => {
                let short = name.split_once('/').map_or(name, |(_, short)| short);
                self.table.push(vec![Cell::toned(short, Tone::Dim), Cell::toned("deleted", Tone::Dim)]);
                Ok(())
            }
            Format::Name => Ok(printer.line(&format!("{name} deleted"))?),
            Format::Json | Format::Yaml => self.document("Deleted", &json!({"name": name}), printer),
        }
    }

    fn document(&self, kind: &str, object: &Value, printer: &mut Printer) -> Outcome<()> {
        let change = json!({"type": kind, "object": object});
        if self.asked.get.output == Format::Json {
            printer.raw(&json_line(&change))?;
        } else {
            printer.raw(&format!("---\n{}", yaml_text(&change)?))?;
        }
        Ok(())
    }
}
