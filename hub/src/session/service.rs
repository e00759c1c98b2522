//! AgentService: what agents call. Each call is who-may first, then handed on.

use std::sync::Arc;

use nave_common::assignment::Assignment;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_proto::v1;
use nave_proto::v1::agent_service_server::AgentService;
use tonic::{Request, Response, Status, Streaming};

use super::outbox::{Outgoing, Shared, View};
use super::{fetch, stream};
use crate::auth::{enroll, peer, renew};
use crate::parts::Parts;
use crate::world::World;

/// AgentService.
#[derive(Debug, Clone)]
pub struct Agents {
    parts: Arc<Parts>,
    fetches: Arc<fetch::Counts>,
}

impl Agents {
    /// The service of one hub.
    #[must_use]
    pub fn new(parts: Arc<Parts>) -> Self {
        Self { parts, fetches: Arc::default() }
    }
}

#[tonic::async_trait]
impl AgentService for Agents {
    async fn enroll(
        &self,
        request: Request<v1::EnrollRequest>,
    ) -> Result<Response<v1::EnrollResponse>, Status> {
        let address = peer::address(&request);
        let answer = enroll::enroll(&self.parts, address, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        let agent = peer::renewing_agent(&request)?;
        Ok(Response::new(renew::renew(&self.parts, &agent, request.get_ref()).await?))
    }

    type SyncStream = Outgoing<ClusterView>;

    async fn sync(
        &self,
        request: Request<Streaming<v1::SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let agent = peer::agent(&request)?;
        let outbox = Shared::new(self.parts.metrics.clone());
        let view = ClusterView { world: self.parts.world.clone(), cluster: agent.cluster.clone() };
        tokio::spawn(stream::run(self.parts.clone(), agent, request.into_inner(), outbox.clone()));
        Ok(Response::new(Outgoing::new(outbox, view)))
    }

    type FetchBundleStream = fetch::Chunks;

    async fn fetch_bundle(
        &self,
        request: Request<v1::FetchBundleRequest>,
    ) -> Result<Response<Self::FetchBundleStream>, Status> {
        let agent = peer::agent(&request)?;
        let chunks = fetch::fetch(&self.parts, &self.fetches, agent, &request.into_inner()).await?;
        Ok(Response::new(chunks))
    }
}

/// What one cluster is told, as the world has it now.
#[derive(Debug)]
pub struct ClusterView {
    world: World,
    cluster: ClusterName,
}

impl View for ClusterView {
    fn wanted(&self, key: &ApplicationKey) -> Option<Arc<Assignment>> {
        self.world.read(|state| Some(state.assignment(&self.cluster, key)?.assignment.clone()))
    }

    fn is_withheld(&self, wanted: &Assignment) -> bool {
        self.world.read(|state| state.is_withheld(wanted))
    }
}
