//! Applications: apply, get, list, delete, suspend, explain, diff, render; and their assignments and events.

use nave_common::application::Application;
use nave_common::event::Event;
use nave_common::field::FieldError;
use nave_common::name::{ApplicationKey, ClusterName, ProjectName};
use nave_common::selector::Selector;
use nave_common::status::{AssignmentView, PlacementReport};
use nave_proto::v1;

use super::error::{incomplete, unreadable};
use super::types::{Applied, ClusterDiff, Deletion, Rendered, Verb, json};
use super::{Hub, PAGE_SIZE};
use crate::exit::Outcome;

impl Hub {
    pub(crate) async fn apply_application(
        &self,
        application: &Application,
        dry_run: bool,
    ) -> Outcome<Applied<Application>> {
        let request = v1::ApplyApplicationRequest { application: Some(application.into()), dry_run };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.apply_application(request).await).await?;
        Ok(Applied {
            verb: Verb::read(answer.outcome, &self.address)?,
            resource: self.application_in(answer.application)?,
            change_id: answer.change_id,
            warnings: answer.warnings,
            placement: self.optional(answer.placement)?,
        })
    }

    pub(crate) async fn application(&self, key: &ApplicationKey) -> Outcome<Application> {
        let request = v1::GetApplicationRequest { application: Some(key.into()) };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.get_application(request).await).await?;
        self.application_in(answer.application)
    }

    /// Every application of one project, or of all.
    pub(crate) async fn applications(
        &self,
        project: Option<&ProjectName>,
        selector: Option<&Selector>,
    ) -> Outcome<Vec<Application>> {
        self.pages(async |page_token| {
            let request = v1::ListApplicationsRequest {
                project: project.map(ToString::to_string).unwrap_or_default(),
                selector: selector.map(Into::into),
                page_size: PAGE_SIZE,
                page_token,
            };
            let mut client = self.client.clone();
            let answer = self.unary(request, async |request| client.list_applications(request).await).await?;
            Ok((self.all(answer.applications)?, answer.next_page_token))
        })
        .await
    }

    pub(crate) async fn delete_application(&self, key: &ApplicationKey, dry_run: bool) -> Outcome<Deletion> {
        let request = v1::DeleteApplicationRequest { application: Some(key.into()), sequence: 0, dry_run };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.delete_application(request).await).await?;
        Ok(Deletion { change_id: answer.change_id, clusters: answer.clusters })
    }

    /// Stops or lets go on all writes, everywhere or in some clusters. The answer is the change's identifier.
    pub(crate) async fn suspend_application(
        &self,
        key: &ApplicationKey,
        suspended: bool,
        clusters: &[ClusterName],
    ) -> Outcome<String> {
        let request = v1::SuspendApplicationRequest {
            application: Some(key.into()),
            suspended,
            clusters: clusters.iter().map(ToString::to_string).collect(),
        };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.suspend_application(request).await).await?;
        Ok(answer.change_id)
    }

    pub(crate) async fn explain_placement(&self, key: &ApplicationKey) -> Outcome<PlacementReport> {
        let request = v1::ExplainPlacementRequest { application: Some(key.into()) };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.explain_placement(request).await).await?;
        Ok(self.optional(answer.placement)?.unwrap_or_default())
    }

    pub(crate) async fn diff_application(
        &self,
        application: &Application,
        clusters: &[ClusterName],
    ) -> Outcome<Vec<ClusterDiff>> {
        let request = v1::DiffApplicationRequest {
            application: Some(application.into()),
            clusters: clusters.iter().map(ToString::to_string).collect(),
        };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.diff_application(request).await).await?;
        answer.diffs.into_iter().map(|diff| ClusterDiff::read(diff, &self.address)).collect()
    }

    /// What a cluster runs of an application that the hub has.
    pub(crate) async fn render_key(&self, key: &ApplicationKey, cluster: &ClusterName) -> Outcome<Rendered> {
        self.render(v1::render_application_request::What::Key(key.into()), cluster).await
    }

    /// What a cluster would run of an application as it would be applied.
    pub(crate) async fn render_application(
        &self,
        application: &Application,
        cluster: &ClusterName,
    ) -> Outcome<Rendered> {
        self.render(v1::render_application_request::What::Application(application.into()), cluster).await
    }

    async fn render(
        &self,
        what: v1::render_application_request::What,
        cluster: &ClusterName,
    ) -> Outcome<Rendered> {
        let request = v1::RenderApplicationRequest { what: Some(what), cluster: cluster.to_string() };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.render_application(request).await).await?;
        let manifests = answer.manifests.iter().map(|bytes| json(bytes, "manifests", &self.address));
        Ok(Rendered { manifests: manifests.collect::<Result<_, _>>()? })
    }

    /// What is assigned, of one application or of all, to one cluster or to all.
    pub(crate) async fn assignments(
        &self,
        application: Option<&ApplicationKey>,
        cluster: Option<&ClusterName>,
    ) -> Outcome<Vec<AssignmentView>> {
        self.pages(async |page_token| {
            let request = v1::ListAssignmentsRequest {
                application: application.map(Into::into),
                cluster: cluster.map(ToString::to_string).unwrap_or_default(),
                page_size: PAGE_SIZE,
                page_token,
            };
            let mut client = self.client.clone();
            let answer = self.unary(request, async |request| client.list_assignments(request).await).await?;
            Ok((self.all(answer.assignments)?, answer.next_page_token))
        })
        .await
    }

    /// The newest events, oldest first.
    pub(crate) async fn events(
        &self,
        application: Option<&ApplicationKey>,
        cluster: Option<&ClusterName>,
        limit: u32,
    ) -> Outcome<Vec<Event>> {
        let request = v1::ListEventsRequest {
            application: application.map(Into::into),
            cluster: cluster.map(ToString::to_string).unwrap_or_default(),
            limit,
        };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.list_events(request).await).await?;
        self.all(answer.events)
    }

    pub(super) fn application_in(&self, application: Option<v1::Application>) -> Outcome<Application> {
        self.optional(application)?.ok_or_else(|| incomplete(&self.address, "application"))
    }

    pub(super) fn optional<Wire, Domain>(&self, message: Option<Wire>) -> Outcome<Option<Domain>>
    where
        Domain: TryFrom<Wire, Error = FieldError>,
    {
        message.map(Domain::try_from).transpose().map_err(unreadable(&self.address))
    }

    pub(super) fn all<Wire, Domain>(&self, messages: Vec<Wire>) -> Outcome<Vec<Domain>>
    where
        Domain: TryFrom<Wire, Error = FieldError>,
    {
        messages
            .into_iter()
            .map(Domain::try_from)
            .collect::<Result<_, _>>()
            .map_err(unreadable(&self.address))
    }
}
