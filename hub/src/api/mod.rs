//! FleetService: what people, pipelines and tools call.
//!
//! Place in the flow: `api -> store`. One file per noun. Each call is: who may, what is asked, then either a look into
//! the world, or a write with compare that is answered once it is durable and the world shows it. Nothing here decides
//! where anything runs.

mod application;
mod apply;
mod asked;
mod assignment;
mod backup;
mod bundle;
pub mod call;
mod change;
mod cluster;
mod event;
mod exclusive;
mod failover;
mod hub;
mod named;
mod order;
mod page;
mod pretend;
mod preview;
mod read;
mod render;
mod retire;
mod revision;
mod source;
mod token;
mod view;
mod watch;
mod watched;

use std::sync::Arc;

use nave_proto::v1;
use nave_proto::v1::fleet_service_server::FleetService;
use tonic::{Request, Response, Status, Streaming};

use crate::auth::access::Verb;
use crate::error::Error;
use crate::parts::Parts;
use asked::Asked;
use call::Call;

/// FleetService.
#[derive(Debug, Clone)]
pub struct Fleet {
    parts: Arc<Parts>,
}

impl Fleet {
    /// The service of one hub.
    #[must_use]
    pub fn new(parts: Arc<Parts>) -> Self {
        Self { parts }
    }
}

fn answer<T>(result: Result<T, Error>) -> Result<Response<T>, Status> {
    Ok(Response::new(result?))
}

#[tonic::async_trait]
impl FleetService for Fleet {
    async fn get_hub(
        &self,
        request: Request<v1::GetHubRequest>,
    ) -> Result<Response<v1::GetHubResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(Ok(hub::get(&self.parts)))
    }

    async fn apply_application(
        &self,
        request: Request<v1::ApplyApplicationRequest>,
    ) -> Result<Response<v1::ApplyApplicationResponse>, Status> {
        let asked = Asked::open(&self.parts, &request, Verb::Deploy).await?;
        let decided = apply::apply(&self.parts, &asked.call, request.into_inner()).await;
        asked.answer(decided)
    }

    async fn get_application(
        &self,
        request: Request<v1::GetApplicationRequest>,
    ) -> Result<Response<v1::GetApplicationResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(application::get(&self.parts, request.into_inner()))
    }

    async fn list_applications(
        &self,
        request: Request<v1::ListApplicationsRequest>,
    ) -> Result<Response<v1::ListApplicationsResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(application::list(&self.parts, request.into_inner()))
    }

    async fn delete_application(
        &self,
        request: Request<v1::DeleteApplicationRequest>,
    ) -> Result<Response<v1::DeleteApplicationResponse>, Status> {
        let asked = Asked::open(&self.parts, &request, Verb::Deploy).await?;
        let decided = application::delete(&self.parts, &asked.call, request.into_inner()).await;
        asked.answer(decided)
    }

    async fn suspend_application(
        &self,
        request: Request<v1::SuspendApplicationRequest>,
    ) -> Result<Response<v1::SuspendApplicationResponse>, Status> {
        let asked = Asked::open(&self.parts, &request, Verb::Deploy).await?;
        let decided = application::suspend(&self.parts, &asked.call, request.into_inner()).await;
        asked.answer(decided)
    }

    async fn explain_placement(
        &self,
        request: Request<v1::ExplainPlacementRequest>,
    ) -> Result<Response<v1::ExplainPlacementResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(application::explain(&self.parts, request.into_inner()))
    }

    async fn diff_application(
        &self,
        request: Request<v1::DiffApplicationRequest>,
    ) -> Result<Response<v1::DiffApplicationResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(render::diff(&self.parts, request.into_inner()).await)
    }

    async fn render_application(
        &self,
        request: Request<v1::RenderApplicationRequest>,
    ) -> Result<Response<v1::RenderApplicationResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(render::render(&self.parts, request.into_inner()).await)
    }

    async fn list_revisions(
        &self,
        request: Request<v1::ListRevisionsRequest>,
    ) -> Result<Response<v1::ListRevisionsResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(revision::list(&self.parts, request.into_inner()))
    }

    async fn undo_application(
        &self,
        request: Request<v1::UndoApplicationRequest>,
    ) -> Result<Response<v1::UndoApplicationResponse>, Status> {
        let asked = Asked::open(&self.parts, &request, Verb::Deploy).await?;
        let decided = revision::undo(&self.parts, &asked.call, request.into_inner()).await;
        asked.answer(decided)
    }

    async fn upload_bundle(
        &self,
        request: Request<Streaming<v1::UploadBundleRequest>>,
    ) -> Result<Response<v1::UploadBundleResponse>, Status> {
        let asked = Asked::open(&self.parts, &request, Verb::Deploy).await?;
        let decided = bundle::upload(&self.parts, request.into_inner()).await;
        asked.answer(decided)
    }

    async fn apply_cluster(
        &self,
        request: Request<v1::ApplyClusterRequest>,
    ) -> Result<Response<v1::ApplyClusterResponse>, Status> {
        let asked = Asked::open(&self.parts, &request, Verb::Administer).await?;
        let decided = cluster::apply(&self.parts, &asked.call, request.into_inner()).await;
        asked.answer(decided)
    }

    async fn get_cluster(
        &self,
        request: Request<v1::GetClusterRequest>,
    ) -> Result<Response<v1::GetClusterResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(cluster::get(&self.parts, request.get_ref()))
    }

    async fn list_clusters(
        &self,
        request: Request<v1::ListClustersRequest>,
    ) -> Result<Response<v1::ListClustersResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(cluster::list(&self.parts, request.into_inner()))
    }

    async fn list_assignments(
        &self,
        request: Request<v1::ListAssignmentsRequest>,
    ) -> Result<Response<v1::ListAssignmentsResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(assignment::list(&self.parts, request.into_inner()))
    }

    type WatchStream = watch::Responses;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(watch::watch(&self.parts, request.into_inner()))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(event::list(&self.parts, request.into_inner()))
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let asked = Asked::open(&self.parts, &request, Verb::Administer).await?;
        let decided = token::create(&self.parts, &asked.call, request.into_inner()).await;
        asked.answer(decided)
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(Ok(token::list(&self.parts)))
    }

    async fn delete_token(
        &self,
        request: Request<v1::DeleteTokenRequest>,
    ) -> Result<Response<v1::DeleteTokenResponse>, Status> {
        let asked = Asked::open(&self.parts, &request, Verb::Administer).await?;
        let decided = token::delete(&self.parts, &asked.call, request.into_inner())
            .await
            .map(|()| v1::DeleteTokenResponse {});
        asked.answer(decided)
    }

    async fn delete_cluster(
        &self,
        request: Request<v1::DeleteClusterRequest>,
    ) -> Result<Response<v1::DeleteClusterResponse>, Status> {
        let asked = Asked::open(&self.parts, &request, Verb::Administer).await?;
        let decided = retire::delete(&self.parts, &asked.call, request.into_inner()).await;
        asked.answer(decided)
    }

    async fn get_failover(
        &self,
        request: Request<v1::GetFailoverRequest>,
    ) -> Result<Response<v1::GetFailoverResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(failover::get(&self.parts, request.into_inner()))
    }

    async fn list_failovers(
        &self,
        request: Request<v1::ListFailoversRequest>,
    ) -> Result<Response<v1::ListFailoversResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(failover::list(&self.parts, request.get_ref()))
    }

    async fn plan_failover(
        &self,
        request: Request<v1::PlanFailoverRequest>,
    ) -> Result<Response<v1::PlanFailoverResponse>, Status> {
        Call::open(&request, Verb::Read)?;
        answer(pretend::plan(&self.parts, request.into_inner()).await)
    }

    async fn order_failover(
        &self,
        request: Request<v1::OrderFailoverRequest>,
    ) -> Result<Response<v1::OrderFailoverResponse>, Status> {
        let asked = Asked::open(&self.parts, &request, Verb::Deploy).await?;
        let decided = order::order(&self.parts, &asked.call, request.into_inner()).await;
        asked.answer(decided)
    }

    async fn set_freeze(
        &self,
        request: Request<v1::SetFreezeRequest>,
    ) -> Result<Response<v1::SetFreezeResponse>, Status> {
        let asked = Asked::open(&self.parts, &request, Verb::Administer).await?;
        let decided = hub::set_freeze(&self.parts, &asked.call, request.into_inner()).await;
        asked.answer(decided)
    }

    async fn set_maintenance(
        &self,
        request: Request<v1::SetMaintenanceRequest>,
    ) -> Result<Response<v1::SetMaintenanceResponse>, Status> {
        let asked = Asked::open(&self.parts, &request, Verb::Administer).await?;
        let decided = hub::set_maintenance(&self.parts, &asked.call, request.into_inner()).await;
        asked.answer(decided)
    }

    async fn release_held(
        &self,
        request: Request<v1::ReleaseHeldRequest>,
    ) -> Result<Response<v1::ReleaseHeldResponse>, Status> {
        let asked = Asked::open(&self.parts, &request, Verb::Deploy).await?;
        let decided = backup::release_held(&self.parts, &asked.call, request.into_inner()).await;
        asked.answer(decided)
    }

    type BackupStream = backup::Chunks;

    async fn backup(
        &self,
        request: Request<v1::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let asked = Asked::open(&self.parts, &request, Verb::Administer).await?;
        let decided = backup::begin(&self.parts, asked.call.clone()).await;
        asked.answer(decided)
    }
}
