//! What a watch is of: which resources, how they are found in the world, and how they are shown.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use nave_common::name::{ApplicationKey, ClusterName, ProjectName};
use nave_common::selector::Selector;
use nave_common::time::Timestamp;
use nave_proto::v1::{self, watch_response::Change};

use super::assignment::pairs;
use super::event::Filter;
use super::page::Pair;
use super::{read, view};
use crate::error::Error;
use crate::records::EventId;
use crate::world::{Changes, Interest, Kinds, State};

/// How much later than a newer one an event may come.
const EVENT_DISORDER_MS: i64 = 10_000;

/// One resource of a watch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    Application(ApplicationKey),
    Cluster(ClusterName),
    Assignment(ClusterName, ApplicationKey),
    Event(EventId),
}

impl Item {
    /// The word that it is gone; events do not go.
    pub(super) fn deleted(&self) -> Option<v1::Deleted> {
        let (application, cluster) = match self {
            Self::Application(key) => (Some(key.into()), String::new()),
            Self::Cluster(name) => (None, name.to_string()),
            Self::Assignment(name, key) => (Some(key.into()), name.to_string()),
            Self::Event(_) => return None,
        };
        Some(v1::Deleted { application, cluster })
    }
}

/// What a watch is of.
#[derive(Debug)]
pub(super) enum Watched {
    Applications {
        selector: Selector,
        project: Option<ProjectName>,
        only: Option<ApplicationKey>,
    },
    Clusters {
        selector: Selector,
        only: Option<ClusterName>,
    },
    Assignments {
        application: Option<ApplicationKey>,
        cluster: Option<ClusterName>,
    },
    /// With the newest events that were looked at.
    Events {
        filter: Filter,
        seen: Mutex<BTreeSet<EventId>>,
    },
}

impl Watched {
    pub(super) fn read(request: v1::WatchRequest) -> Result<Self, Error> {
        let kind = request.kind();
        let selector = read::selector(request.selector)?;
        let application = read::key_or_none(request.application)?;
        let cluster = read::cluster_or_none("cluster", &request.cluster)?;
        let project = read::project_or_none(&request.project)?;
        Ok(match kind {
            v1::Kind::Application => Self::Applications { selector, project, only: application },
            v1::Kind::Cluster => Self::Clusters { selector, only: cluster },
            v1::Kind::Assignment => Self::Assignments { application, cluster },
            v1::Kind::Event => {
                Self::Events { filter: Filter { application, cluster }, seen: Mutex::default() }
            }
            v1::Kind::Unspecified => {
                return Err(Error::field(
                    "kind",
                    "is not specified; expected one of Application, Cluster, Assignment, Event",
                ));
            }
        })
    }

    /// What to subscribe to. What is shown of applications and assignments depends on whether their clusters are heard.
    pub(super) fn interests(&self) -> Vec<Interest> {
        let clusters = Interest::All(Kinds::CLUSTERS);
        match self {
            Self::Applications { only: Some(key), .. } | Self::Assignments { application: Some(key), .. } => {
                vec![Interest::Application(key.clone()), clusters]
            }
            Self::Applications { .. } => {
                vec![Interest::All(Kinds::APPLICATIONS.and(Kinds::OBSERVED).and(Kinds::CLUSTERS))]
            }
            Self::Assignments { .. } => {
                vec![Interest::All(Kinds::ASSIGNMENTS.and(Kinds::OBSERVED).and(Kinds::CLUSTERS))]
            }
            Self::Clusters { .. } => vec![clusters],
            Self::Events { .. } => vec![Interest::All(Kinds::EVENTS)],
        }
    }

    /// Whether what is watched can go away.
    pub(super) fn has_ends(&self) -> bool {
        !matches!(self, Self::Events { .. })
    }

    /// The names of all that is there.
    pub(super) fn items(&self, state: &State) -> Vec<Item> {
        match self {
            Self::Applications { .. } => {
                let all = state.applications().keys().filter(|key| self.wants_application(state, key));
                all.map(|key| Item::Application(key.clone())).collect()
            }
            Self::Clusters { .. } => {
                let all = state.clusters().keys().filter(|name| self.wants_cluster(state, name));
                all.map(|name| Item::Cluster(name.clone())).collect()
            }
            Self::Assignments { application, cluster } => {
                let all = pairs(state, application.as_ref(), cluster.as_ref(), None, usize::MAX);
                all.into_iter().map(|Pair(name, key)| Item::Assignment(name, key)).collect()
            }
            Self::Events { .. } => self.new_events(state),
        }
    }

    /// The names of what changed, as far as it is watched.
    pub(super) fn changed(&self, state: &State, changes: Changes) -> Vec<Item> {
        match self {
            Self::Applications { only, .. } => {
                let mut keys = changes.applications;
                // Of one application, also what is assigned and observed is told, by the name of the assignment.
                if only.is_some() {
                    keys.extend(changes.assignments.into_iter().map(|(_, key)| key));
                }
                keys.extend(told_in(state, &changes.clusters).map(|(_, key)| key));
                keys.into_iter()
                    .filter(|key| only.as_ref().is_none_or(|only| only == key))
                    .map(Item::Application)
                    .collect()
            }
            Self::Clusters { .. } => changes.clusters.into_iter().map(Item::Cluster).collect(),
            Self::Assignments { application, cluster } => {
                let mut all = changes.assignments;
                all.extend(told_in(state, &changes.clusters));
                let wanted = all.into_iter().filter(|(name, key)| {
                    application.as_ref().is_none_or(|wanted| wanted == key)
                        && cluster.as_ref().is_none_or(|wanted| wanted == name)
                });
                wanted.map(|(name, key)| Item::Assignment(name, key)).collect()
            }
            Self::Events { .. } => self.new_events(state),
        }
    }

    /// One resource as it is now; `None` where it is gone, or no longer what is watched.
    pub(super) fn view(&self, state: &State, item: &Item, now: Timestamp) -> Option<Change> {
        match item {
            Item::Application(key) if self.wants_application(state, key) => {
                state.application_view(key, now).map(view::application).map(Change::Application)
            }
            Item::Cluster(name) if self.wants_cluster(state, name) => {
                state.cluster_view(name).map(|cluster| Change::Cluster(cluster.into()))
            }
            Item::Assignment(name, key) => {
                state.assignment_view(name, key).map(|assignment| Change::Assignment(assignment.into()))
            }
            Item::Event(id) => state.events().get(id).map(|event| Change::Event((&**event).into())),
            Item::Application(_) | Item::Cluster(_) => None,
        }
    }

    fn wants_application(&self, state: &State, key: &ApplicationKey) -> bool {
        let Self::Applications { selector, project, only } = self else { return false };
        project.as_ref().is_none_or(|project| *project == key.project)
            && only.as_ref().is_none_or(|only| only == key)
            && state.applications().get(key).is_some_and(|it| selector.matches(&it.value.metadata.labels))
    }

    fn wants_cluster(&self, state: &State, name: &ClusterName) -> bool {
        let Self::Clusters { selector, only } = self else { return false };
        only.as_ref().is_none_or(|only| only == name)
            && state.clusters().get(name).is_some_and(|it| selector.matches(&it.record.value.metadata.labels))
    }

    /// Events that were not looked at before.
    fn new_events(&self, state: &State) -> Vec<Item> {
        let Self::Events { filter, seen } = self else { return Vec::new() };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        // An event is dated before it is written, so a newer one may come before it.
        let floor = |newest: &EventId| EventId { at: earlier(newest.at), nonce: 0 };
        let start = seen.last().map_or(Bound::Unbounded, |newest| Bound::Included(floor(newest)));
        let new: Vec<_> =
            state.events().range((start, Bound::Unbounded)).filter(|(id, _)| !seen.contains(id)).collect();
        seen.extend(new.iter().map(|(id, _)| **id));
        if let Some(floor) = seen.last().map(floor) {
            *seen = seen.split_off(&floor);
        }
        new.into_iter().filter(|(_, event)| filter.wants(event)).map(|(id, _)| Item::Event(*id)).collect()
    }
}

/// What these clusters are told.
fn told_in<'a>(
    state: &'a State,
    clusters: &'a BTreeSet<ClusterName>,
) -> impl Iterator<Item = (ClusterName, ApplicationKey)> + 'a {
    clusters.iter().flat_map(|name| {
        let told = state.assignments_in(name).into_iter().flat_map(|entries| entries.keys());
        told.map(|key| (name.clone(), key.clone()))
    })
}

fn earlier(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis().saturating_sub(EVENT_DISORDER_MS)).unwrap_or(Timestamp::EPOCH)
}
