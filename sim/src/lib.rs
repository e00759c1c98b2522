//! A Kubernetes API server in this process, good enough that an unchanged client works on it.
//!
//! For demos, tests and runs with very many clusters. [`Cluster::start`] serves plain HTTP/1.1 on loopback;
//! [`State`] is the same cluster without a network or a clock, for deterministic simulation.
//!
//! What is as on the real server (v1.37): discovery, the types of all built-in kinds it serves, server-side
//! apply with `managedFields`, conflicts and pruning, tracking of other writes, defaulting of the common
//! kinds, canonical quantities, resource versions, watches with bookmarks and 410, finalizers, owner
//! references, namespaces, custom resource definitions.
//!
//! What is not:
//! - Nobody is authenticated and everything is allowed. There is no admission, so webhooks, policies, quotas
//!   and limit ranges are stored and never act.
//! - Validation covers what people run into (names, selectors, required fields, immutable fields) and no more.
//!   Custom resources: types, required, enums, bounds; no patterns, no CEL. Conversion is `None`.
//! - A list with `limit` is continued on the present objects, not on a snapshot; a list at an old resource
//!   version gives the newest.
//! - Field selectors take any path. Protobuf and CBOR are not spoken (so `kubectl create` of built-in
//!   kinds is refused, `kubectl apply` works), OpenAPI has no schemas; `exec`, `attach`, `port-forward`
//!   and `proxy` are not there.
//! - Controllers are miniatures: pods are ready after a delay unless the image tag is `broken`, cron jobs
//!   never fire, autoscalers and ingresses do nothing, services have no endpoints.
//! - Each kind is served in one version, apart from custom ones.

mod bootstrap;
mod cluster;
mod config;
mod controllers;
mod custom;
mod decode;
mod defaults;
mod delete;
mod discovery;
mod faults;
mod fields;
mod garbage;
mod http;
mod kinds;
mod managers;
mod meta;
mod openapi;
mod ownership;
mod patch;
mod quantity;
mod random;
mod read;
pub mod relay;
mod request;
mod reviews;
mod scale;
mod schema;
mod selector;
mod state;
mod status;
mod store;
mod table;
mod typed;
mod validate;
mod view;
mod watch;
mod write;

pub use cluster::{Clock, Cluster};
pub use config::Config;
pub use faults::{Failing, Faults, Matcher};
pub use request::Request;
pub use state::{Reply, State};
pub use watch::{Frames, Watch};
