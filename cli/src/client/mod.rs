//! The hub as a client sees it: domain types in, domain types out. Only this part of the command line names wire types.

mod applications;
mod backup;
mod bundles;
mod clusters;
mod connect;
mod error;
mod failover;
mod history;
mod tokens;
mod types;
mod watch;

use std::time::Duration;

use nave_common::context::Context;
use nave_proto::v1::GetHubRequest;
use nave_proto::v1::fleet_service_client::FleetServiceClient;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::args::Global;
use crate::exit::Outcome;
pub(crate) use backup::BackupStream;
pub(crate) use bundles::upload;
pub(crate) use types::{Applied, ClusterDiff, HubInfo, ObjectDiff, Token};
pub(crate) use watch::{Change, Watch, WatchWhat};

/// The generated client of a hub.
pub(crate) type Fleet = FleetServiceClient<Channel>;

/// A connection to a hub.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    client: Fleet,
    /// The address that answered, for messages.
    address: String,
    request_timeout: Duration,
}

/// The most items asked for in one page; the hub's own bound may be lower.
const PAGE_SIZE: u32 = 500;
/// The most pages of one list: a hub that hands out page tokens forever does not hold a client forever.
const MAX_PAGES: usize = 10_000;
/// The largest answer that is read, in bytes: a page of applications with inline manifests.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Connects to the hub of a context, for what speaks the wire's own language.
pub(crate) async fn connect(context: &Context) -> Outcome<Fleet> {
    connect::dial(context).await.map(|(channel, _)| fleet(channel))
}

fn fleet(channel: Channel) -> Fleet {
    FleetServiceClient::new(channel)
        .accept_compressed(tonic::codec::CompressionEncoding::Zstd)
        .max_decoding_message_size(MAX_ANSWER_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES)
}

impl Hub {
    /// Connects to the hub that the command line means.
    pub(crate) async fn connect(global: &Global) -> Outcome<Self> {
        Self::of(&crate::context::chosen(global)?, global.request_timeout()).await
    }

    /// Connects to the hub of a context.
    pub(crate) async fn of(context: &Context, request_timeout: Duration) -> Outcome<Self> {
        let (channel, address) = connect::dial(context).await?;
        Ok(Self { client: fleet(channel), address, request_timeout })
    }

    /// Which hub this is.
    pub(crate) async fn info(&self) -> Outcome<HubInfo> {
        let mut client = self.client.clone();
        let answer = self.unary(GetHubRequest {}, async |request| client.get_hub(request).await).await?;
        let failover = self.hub_failover_in(answer.failover.clone())?;
        HubInfo::read(answer, failover, &self.address)
    }

    /// One request and its answer, within the time that one may take.
    async fn unary<Message, Answer>(
        &self,
        message: Message,
        call: impl AsyncFnOnce(Request<Message>) -> Result<Response<Answer>, Status>,
    ) -> Outcome<Answer> {
        let mut request = Request::new(message);
        request.set_timeout(self.request_timeout);
        match tokio::time::timeout(self.request_timeout, call(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(error::failure(&status, &self.address)),
            Err(_) => Err(error::too_slow(&self.address, self.request_timeout)),
        }
    }

    /// Every item of a list, page by page.
    async fn pages<Item>(
        &self,
        mut page: impl AsyncFnMut(String) -> Outcome<(Vec<Item>, String)>,
    ) -> Outcome<Vec<Item>> {
        let (mut items, mut token) = (Vec::new(), String::new());
        for _ in 0..MAX_PAGES {
            let (more, next) = page(token).await?;
            items.extend(more);
            if next.is_empty() {
                return Ok(items);
            }
            token = next;
        }
        Err(error::endless(&self.address))
    }
}
