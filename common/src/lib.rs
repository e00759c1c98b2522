//! The domain model of Nave: what the words of the design mean, in types.
//!
//! Hub, agent and command line share these types and the pure functions over them ([`render`], [`selector`],
//! [`manifest`]). Everything outside [`runtime`] is free of I/O, clocks and randomness: times and identifiers are
//! arguments. The serde shape of these types is the YAML and JSON that users write and read; the wire types of
//! `nave-proto` convert to and from them at the edges, and nothing inside handles a wire type or a raw name.

pub mod application;
pub mod assignment;
pub mod bundle;
pub mod cluster;
pub mod context;
pub mod digest;
pub mod document;
pub mod event;
pub mod failover;
pub mod field;
pub mod health;
pub mod identity;
pub mod inventory;
pub mod manifest;
pub mod metadata;
pub mod name;
pub mod overrides;
pub mod placement;
pub mod quantity;
pub mod render;
pub mod resources;
pub mod revision;
pub mod runtime;
pub mod selector;
pub mod source;
pub mod status;
pub mod suggest;
pub mod time;
pub mod token;
pub mod yaml;

/// The `apiVersion` of every document that Nave defines.
pub const API_VERSION: &str = "nave.dev/v1alpha1";

/// The server-side-apply field manager under which agents write.
pub const FIELD_MANAGER: &str = "nave";

/// The namespace in which an agent keeps its inventory.
pub const SYSTEM_NAMESPACE: &str = "nave-system";

/// The DNS name in every hub's certificate. Clients check this name and not the address that they dialled, so that a
/// hub's addresses can change, and several be used, without new certificates.
pub const HUB_TLS_NAME: &str = "nave-hub";
