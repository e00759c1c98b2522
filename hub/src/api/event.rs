//! Events: what happened lately.

use nave_common::event::Event;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_proto::v1;

use super::read;
use crate::error::Error;
use crate::parts::Parts;

/// How many events an answer has where the request does not say.
const DEFAULT_EVENTS: usize = 100;
/// The most events in one answer.
const MAX_EVENTS: usize = 1000;

/// The newest events, oldest first.
///
/// # Errors
/// Where the request is not valid.
pub(super) fn list(parts: &Parts, request: v1::ListEventsRequest) -> Result<v1::ListEventsResponse, Error> {
    let filter = Filter {
        application: read::key_or_none(request.application)?,
        cluster: read::cluster_or_none("cluster", &request.cluster)?,
    };
    let limit = match usize::try_from(request.limit).unwrap_or(MAX_EVENTS) {
        0 => DEFAULT_EVENTS,
        limit => limit.min(MAX_EVENTS),
    };
    let mut events: Vec<v1::Event> = parts.world.read(|state| {
        let newest = state.events().values().rev().filter(|event| filter.wants(event));
        newest.take(limit).map(|event| (&**event).into()).collect()
    });
    events.reverse();
    Ok(v1::ListEventsResponse { events })
}

/// Which events are asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    /// Only about this application.
    pub application: Option<ApplicationKey>,
    /// Only about this cluster.
    pub cluster: Option<ClusterName>,
}

impl Filter {
    /// Whether an event is one of them.
    #[must_use]
    pub(super) fn wants(&self, event: &Event) -> bool {
        self.application.as_ref().is_none_or(|wanted| event.application.as_ref() == Some(wanted))
            && self.cluster.as_ref().is_none_or(|wanted| event.cluster.as_ref() == Some(wanted))
    }
}
