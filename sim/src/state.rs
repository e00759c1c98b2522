//! One cluster without its HTTP: the objects, the kinds and what a request does to them.
//!
//! Everything here is synchronous. The time is an argument and randomness comes from a seed, so that a
//! simulation can drive it as well as the server in `http`. It never sleeps and never reads a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hyper::body::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use crate::Config;
use crate::delete;
use crate::discovery;
use crate::kinds::{Registry, Resource, Version};
use crate::random::Random;
use crate::read;
use crate::request::{Request, ResourcePath, Verb, resource_path, verb};
use crate::reviews;
use crate::scale;
use crate::status::{Failure, Result, Subject};
use crate::store::{Key, Store};
use crate::watch::Watch;
use crate::write;

/// A cluster's state.
#[derive(Debug)]
pub struct State {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) random: Random,
    pub(crate) timers: BTreeMap<Timestamp, BTreeSet<Key>>,
    pub(crate) pods_due: BTreeMap<Key, Timestamp>,
    pub(crate) addresses: u32,
    counts: BTreeMap<Verb, u64>,
}

/// An answer.
#[derive(Debug)]
pub enum Reply {
    /// A whole body.
    Whole {
        /// The HTTP status code.
        code: u16,
        /// The `Content-Type`.
        content_type: &'static str,
        /// The body.
        body: Bytes,
        /// `Warning` headers.
        warnings: Vec<String>,
    },
    /// A stream: poll it with [`State::poll_watch`].
    Watch(Box<Watch>),
}

impl Reply {
    /// A JSON answer.
    #[must_use]
    pub fn json(code: u16, value: &Value) -> Reply {
        Reply::bytes(code, Bytes::from(serde_json::to_vec(value).unwrap_or_default()))
    }

    /// An answer that is JSON already.
    #[must_use]
    pub fn bytes(code: u16, body: Bytes) -> Reply {
        Reply::Whole { code, content_type: "application/json", body, warnings: Vec::new() }
    }

    /// A text answer.
    #[must_use]
    pub fn text(code: u16, text: &str) -> Reply {
        let body = Bytes::copy_from_slice(text.as_bytes());
        Reply::Whole { code, content_type: "text/plain; charset=utf-8", body, warnings: Vec::new() }
    }
}

/// A resource request with everything looked up.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) request: &'a Request,
    pub(crate) path: &'a ResourcePath,
    pub(crate) resource: Arc<Resource>,
    pub(crate) version: Version,
    pub(crate) verb: Verb,
    pub(crate) now: Timestamp,
}

impl Call<'_> {
    pub(crate) fn subject<'b>(&'b self, name: &'b str) -> Subject<'b> {
        Subject {
            group: &self.resource.group,
            plural: &self.resource.plural,
            kind: &self.resource.kind,
            name,
        }
    }

    pub(crate) fn api_version(&self) -> String {
        self.resource.api_version(&self.version.name)
    }

    pub(crate) fn subresource(&self) -> &str {
        self.path.subresource.as_deref().unwrap_or_default()
    }

    pub(crate) fn key(&self, name: &str) -> Key {
        Key::new(self.resource.id, self.path.namespace.as_deref().unwrap_or_default(), name)
    }
}

impl State {
    /// A cluster with its first objects.
    #[must_use]
    pub fn new(config: Config, now: Timestamp) -> State {
        let mut state = State {
            store: Store::new(config.history),
            registry: Registry::default(),
            random: Random::new(config.seed),
            timers: BTreeMap::new(),
            pods_due: BTreeMap::new(),
            addresses: 1,
            counts: BTreeMap::new(),
            config,
        };
        crate::bootstrap::fill(&mut state, now);
        state
    }

    /// Answers one request.
    pub fn handle(&mut self, request: &Request, now: Timestamp) -> Reply {
        match self.answer(request, now) {
            Ok(reply) => reply,
            Err(failure) if failure.code == 404 && failure.reason.is_empty() => {
                Reply::text(404, "404 page not found\n")
            }
            Err(failure) => Reply::json(failure.code, &failure.to_json()),
        }
    }

    fn answer(&mut self, request: &Request, now: Timestamp) -> Result<Reply> {
        let path = resource_path(&request.path);
        let verb = verb(request, path.as_ref());
        *self.counts.entry(verb).or_default() += 1;
        if request.content_type.contains("protobuf") || request.content_type.contains("cbor") {
            return Err(Failure::unsupported_media());
        }
        let Some(path) = path else { return discovery::answer(self, request) };
        if let Some(reply) = reviews::answer(request, &path) {
            return reply;
        }
        let resource = self.registry.find(&path.group, &path.plural).ok_or_else(Failure::no_such_path)?;
        let version = resource.version(&path.version).cloned().ok_or_else(Failure::no_such_path)?;
        if path.namespace.is_some() && !resource.namespaced {
            return Err(Failure::no_such_path());
        }
        let call = Call { request, path: &path, resource, version, verb, now };
        if call.resource.namespaced && call.path.namespace.is_none() && call.path.name.is_some() {
            return Err(Failure::no_such_path());
        }
        self.dispatch(&call)
    }

    fn dispatch(&mut self, call: &Call<'_>) -> Result<Reply> {
        match call.subresource() {
            "" => match call.verb {
                Verb::Get => read::get(self, call),
                Verb::List => read::list(self, call),
                Verb::Watch => read::watch(self, call),
                Verb::Create => write::create(self, call),
                Verb::Update => write::update(self, call),
                Verb::Patch => write::patch(self, call),
                Verb::Apply => write::apply(self, call),
                Verb::Delete => delete::delete(self, call),
                Verb::DeleteCollection if call.resource.is("", "namespaces") => {
                    Err(Failure::method_not_allowed())
                }
                Verb::DeleteCollection => delete::delete_collection(self, call),
                Verb::Discover => Err(Failure::no_such_path()),
            },
            "status" if call.version.status => match call.verb {
                Verb::Get => read::get(self, call),
                Verb::Update => write::update(self, call),
                Verb::Patch => write::patch(self, call),
                Verb::Apply => write::apply(self, call),
                _ => Err(Failure::method_not_allowed()),
            },
            "finalize" if call.resource.is("", "namespaces") => write::update(self, call),
            "scale" if call.version.scale.is_some() => scale::answer(self, call),
            "eviction" if call.resource.is("", "pods") => delete::evict(self, call),
            "log" if call.resource.is("", "pods") => read::log(self, call),
            _ => Err(Failure::no_such_subresource()),
        }
    }

    /// How many requests there were, by verb.
    #[must_use]
    pub fn request_counts(&self) -> BTreeMap<String, u64> {
        self.counts.iter().map(|(verb, count)| (verb.name().to_owned(), *count)).collect()
    }

    /// How many requests asked to write, dry runs and those that changed nothing included.
    #[must_use]
    pub fn write_count(&self) -> u64 {
        self.counts.iter().filter(|(verb, _)| verb.writes()).map(|(_, count)| count).sum()
    }

    /// How many writes the store has made, those of controllers included.
    #[must_use]
    pub fn stored_writes(&self) -> u64 {
        self.store.writes()
    }

    /// The newest resource version.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.store.revision()
    }

    /// Forgets the history of changes: watches from an older resource version are answered with 410.
    pub fn forget_history(&mut self) {
        self.store.forget_history();
    }

    /// The id of a built-in resource.
    pub(crate) fn id(&self, group: &str, plural: &str) -> u32 {
        self.registry.find(group, plural).map_or(u32::MAX, |resource| resource.id)
    }

    /// The next step of a pod's life is at that time.
    pub(crate) fn pod_due(&mut self, key: &Key, at: Timestamp) {
        self.pods_due.insert(key.clone(), at);
        self.wake(key.clone(), at);
    }

    /// Reconciles this object again at that time.
    pub(crate) fn wake(&mut self, key: Key, at: Timestamp) {
        self.timers.entry(at).or_default().insert(key);
    }
}
