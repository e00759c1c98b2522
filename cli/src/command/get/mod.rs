//! `nave get`: what there is, once; `watch` goes on with what changes.

mod watch;

use nave_common::application::Application;
use nave_common::name::{ApplicationKey, ClusterName, ProjectName};

use super::failover::hub_lines;
use super::target::{self, Kind};
use crate::args::{Format, Get, Global};
use crate::client::{Hub, WatchWhat};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Printer, Row, Shape, now, show};

pub(super) async fn run(global: &Global, get: &Get, printer: &mut Printer) -> Outcome {
    let (kind, names) = target::parse(&get.what)?;
    let asked = Asked { get, names, shape: shape(get)? };
    asked.check(kind)?;
    let hub = Hub::connect(global).await?;
    if get.watch {
        return match kind {
            Kind::Application => watch::run(&hub, &asked.watched_applications()?, &asked, printer).await,
            Kind::Cluster => {
                let what = WatchWhat::Clusters { selector: get.selector.clone() };
                watch::run(&hub, &what, &asked, printer).await
            }
            Kind::Assignment => {
                let (application, cluster) = (asked.application()?, get.cluster.clone());
                watch::run(&hub, &WatchWhat::Assignments { application, cluster }, &asked, printer).await
            }
            Kind::Event => {
                let (application, cluster) = (asked.application()?, get.cluster.clone());
                watch::run(&hub, &WatchWhat::Events { application, cluster }, &asked, printer).await
            }
            Kind::Revision | Kind::Token => Err(Failure::usage("revisions and tokens cannot be watched")),
        };
    }
    match kind {
        Kind::Application => asked.applications(&hub, printer).await,
        Kind::Cluster => asked.clusters(&hub, printer).await,
        Kind::Assignment => asked.assignments(&hub, printer).await,
        Kind::Event => asked.events(&hub, printer).await,
        Kind::Revision => asked.revisions(&hub, printer).await,
        Kind::Token => asked.tokens(&hub, printer).await,
    }?;
    Ok(Exit::Done)
}

fn shape(get: &Get) -> Outcome<Shape> {
    Ok(Shape {
        wide: get.output == Format::Wide,
        with_project: get.all_projects,
        now: now()?,
        with_failover: get.watch,
    })
}

/// What was asked for, with the names that were given.
struct Asked<'a> {
    get: &'a Get,
    names: Vec<String>,
    shape: Shape,
}

impl Asked<'_> {
    /// Refuses what would silently do nothing.
    fn check(&self, kind: Kind) -> Outcome<()> {
        let has_labels = matches!(kind, Kind::Application | Kind::Cluster);
        if self.get.selector.is_some() && !has_labels {
            return Err(Failure::usage("--selector is for applications and clusters"));
        }
        if self.get.selector.is_some() && !self.names.is_empty() {
            return Err(Failure::usage("names and --selector exclude each other"));
        }
        if self.get.all_projects && !self.names.is_empty() {
            return Err(Failure::usage("names and --all-projects exclude each other"));
        }
        if self.get.cluster.is_some() && !matches!(kind, Kind::Assignment | Kind::Event) {
            return Err(Failure::usage("--cluster is for assignments and events"));
        }
        Ok(())
    }

    fn project(&self) -> Option<&ProjectName> {
        (!self.get.all_projects).then_some(&self.get.project.project)
    }

    fn keys(&self) -> Outcome<Vec<ApplicationKey>> {
        self.names.iter().map(|name| target::application(name, &self.get.project.project)).collect()
    }

    fn cluster_names(&self) -> Outcome<Vec<ClusterName>> {
        self.names.iter().map(|name| name.parse().map_err(Failure::usage)).collect()
    }

    /// The application whose assignments, events or revisions are asked for.
    fn application(&self) -> Outcome<Option<ApplicationKey>> {
        match self.keys()?.as_slice() {
            [] => Ok(None),
            [key] => Ok(Some(key.clone())),
            _ => Err(Failure::usage("expected the name of one application")),
        }
    }

    fn watched_applications(&self) -> Outcome<WatchWhat> {
        let key = match self.keys()?.as_slice() {
            [key] => Some(key.clone()),
            _ => None,
        };
        let project = if key.is_some() { None } else { self.project().cloned() };
        Ok(WatchWhat::Applications { project, selector: self.get.selector.clone(), key })
    }

    fn show<R: Row>(&self, printer: &mut Printer, resources: &[R], none: &str) -> Outcome<()> {
        self.show_in(self.shape, printer, resources, none)
    }

    fn show_in<R: Row>(
        &self,
        shape: Shape,
        printer: &mut Printer,
        resources: &[R],
        none: &str,
    ) -> Outcome<()> {
        show(printer, resources, self.get.output, shape, self.names.len() == 1)?;
        if resources.is_empty() && matches!(self.get.output, Format::Table | Format::Wide) {
            printer.hint(none);
        }
        Ok(())
    }

    async fn applications(&self, hub: &Hub, printer: &mut Printer) -> Outcome<()> {
        if self.names.is_empty() {
            let applications = hub.applications(self.project(), self.get.selector.as_ref()).await?;
            let none = match self.project() {
                Some(project) => format!("there are no such applications in project {project} (-A: in all)"),
                None => "there are no such applications".to_owned(),
            };
            return self.show_applications(printer, &applications, &none);
        }
        let mut applications = Vec::new();
        for key in self.keys()? {
            applications.push(hub.application(&key).await?);
        }
        self.show_applications(printer, &applications, "")
    }

    /// With a column for failover where one of them moves.
    fn show_applications(
        &self,
        printer: &mut Printer,
        applications: &[Application],
        none: &str,
    ) -> Outcome<()> {
        let moves = |application: &Application| {
            application.status.as_ref().is_some_and(|status| !status.failover.is_empty())
        };
        let shape = Shape { with_failover: applications.iter().any(moves), ..self.shape };
        self.show_in(shape, printer, applications, none)
    }

    async fn clusters(&self, hub: &Hub, printer: &mut Printer) -> Outcome<()> {
        if matches!(self.get.output, Format::Table | Format::Wide) {
            for line in hub_lines(&hub.info().await?.failover, self.shape.now) {
                printer.warning(&line);
            }
        }
        if self.names.is_empty() {
            let clusters = hub.clusters(self.get.selector.as_ref()).await?;
            return self.show(printer, &clusters, "no such clusters have joined (see `nave token create`)");
        }
        let mut clusters = Vec::new();
        for name in self.cluster_names()? {
            clusters.push(hub.cluster(&name).await?);
        }
        self.show(printer, &clusters, "")
    }

    async fn assignments(&self, hub: &Hub, printer: &mut Printer) -> Outcome<()> {
        let application = self.application()?;
        let mut assignments = hub.assignments(application.as_ref(), self.get.cluster.as_ref()).await?;
        if let (None, Some(project)) = (&application, self.project()) {
            assignments.retain(|view| view.assignment.application.project == *project);
        }
        show(printer, &assignments, self.get.output, self.shape, false)?;
        if assignments.is_empty() {
            printer.hint("nothing is assigned");
        }
        Ok(())
    }

    async fn events(&self, hub: &Hub, printer: &mut Printer) -> Outcome<()> {
        let application = self.application()?;
        let events = hub.events(application.as_ref(), self.get.cluster.as_ref(), self.get.limit).await?;
        show(printer, &events, self.get.output, self.shape, false)?;
        Ok(())
    }

    async fn revisions(&self, hub: &Hub, printer: &mut Printer) -> Outcome<()> {
        let Some(key) = self.application()? else {
            return Err(Failure::usage("expected an application: nave get revisions NAME"));
        };
        show(printer, &hub.revisions(&key).await?, self.get.output, self.shape, false)
    }

    async fn tokens(&self, hub: &Hub, printer: &mut Printer) -> Outcome<()> {
        let mut tokens = hub.tokens().await?;
        tokens.retain(|token| self.names.is_empty() || self.names.contains(&token.id));
        self.show(printer, &tokens, "there are no tokens (see `nave token create`)")
    }
}
