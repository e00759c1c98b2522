//! Watching: everything that is there, a mark, then every change.

use nave_common::application::Application;
use nave_common::cluster::Cluster;
use nave_common::event::Event;
use nave_common::name::{ApplicationKey, ClusterName, ProjectName};
use nave_common::selector::Selector;
use nave_common::status::AssignmentView;
use nave_proto::v1;
use nave_proto::v1::watch_response::Change as WireChange;
use tonic::Streaming;

use super::Hub;
use super::error::{failure, incomplete, unreadable};
use crate::exit::{Failure, Outcome};

/// What is watched.
#[derive(Debug, Clone)]
pub(crate) enum WatchWhat {
    Applications { project: Option<ProjectName>, selector: Option<Selector>, key: Option<ApplicationKey> },
    Clusters { selector: Option<Selector> },
    Assignments { application: Option<ApplicationKey>, cluster: Option<ClusterName> },
    Events { application: Option<ApplicationKey>, cluster: Option<ClusterName> },
}

/// One change.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Application(Box<Application>),
    Cluster(Box<Cluster>),
    Assignment(Box<AssignmentView>),
    Event(Event),
    /// What is named is gone: an application, a cluster, or (both) an assignment.
    Deleted {
        application: Option<ApplicationKey>,
        cluster: Option<String>,
    },
    /// Everything that was there when the watch began has been told.
    Synced,
}

/// A watch that is open.
pub(crate) struct Watch {
    stream: Streaming<v1::WatchResponse>,
    address: String,
}

impl Hub {
    pub(crate) async fn watch(&self, what: &WatchWhat) -> Outcome<Watch> {
        let mut client = self.client.clone();
        // No deadline: a watch lasts until one side has enough.
        let opened = tokio::time::timeout(self.request_timeout, client.watch(request(what)));
        let stream = match opened.await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Err(failure(&status, &self.address)),
            Err(_) => return Err(super::error::too_slow(&self.address, self.request_timeout)),
        };
        Ok(Watch { stream, address: self.address.clone() })
    }
}

impl Watch {
    /// The next change, whenever it comes.
    pub(crate) async fn next(&mut self) -> Outcome<Change> {
        match self.stream.message().await {
            Ok(Some(message)) => self.read(message),
            Ok(None) => {
                let problem = format!("the hub at {} ended the watch", self.address);
                Err(Failure::failed(problem).hint("try again"))
            }
            Err(status) => Err(failure(&status, &self.address)),
        }
    }

    fn read(&self, message: v1::WatchResponse) -> Outcome<Change> {
        let change = match message.change {
            Some(WireChange::Application(application)) => {
                application.try_into().map(|application| Change::Application(Box::new(application)))
            }
            Some(WireChange::Cluster(cluster)) => {
                cluster.try_into().map(|cluster| Change::Cluster(Box::new(cluster)))
            }
            Some(WireChange::Assignment(view)) => {
                view.try_into().map(|view| Change::Assignment(Box::new(view)))
            }
            Some(WireChange::Event(event)) => event.try_into().map(Change::Event),
            Some(WireChange::Deleted(deleted)) => {
                let cluster = Some(deleted.cluster).filter(|cluster| !cluster.is_empty());
                let application = deleted.application.map(ApplicationKey::try_from).transpose();
                application.map(|application| Change::Deleted { application, cluster })
            }
            Some(WireChange::Synced(_)) => Ok(Change::Synced),
            None => return Err(incomplete(&self.address, "change")),
        };
        change.map_err(unreadable(&self.address))
    }
}

fn request(what: &WatchWhat) -> v1::WatchRequest {
    let cluster_name =
        |cluster: &Option<ClusterName>| cluster.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut request = v1::WatchRequest::default();
    match what {
        WatchWhat::Applications { project, selector, key } => {
            request.kind = v1::Kind::Application.into();
            request.project = project.as_ref().map(ToString::to_string).unwrap_or_default();
            request.selector = selector.as_ref().map(Into::into);
            request.application = key.as_ref().map(Into::into);
        }
        WatchWhat::Clusters { selector } => {
            request.kind = v1::Kind::Cluster.into();
            request.selector = selector.as_ref().map(Into::into);
        }
        WatchWhat::Assignments { application, cluster } => {
            request.kind = v1::Kind::Assignment.into();
            request.application = application.as_ref().map(Into::into);
            request.cluster = cluster_name(cluster);
        }
        WatchWhat::Events { application, cluster } => {
            request.kind = v1::Kind::Event.into();
            request.application = application.as_ref().map(Into::into);
            request.cluster = cluster_name(cluster);
        }
    }
    request
}
