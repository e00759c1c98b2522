//! Streams of agents: deltas out, status in, liveness. It never decides where anything runs.
//!
//! Place in the flow: `assignments -> session -> agent`, and status back into the world. A session is one task that
//! reads what its agent says, and a stream that the connection asks for messages when the wire has room
//! ([`outbox`]); what is to be said is worked out by the pure [`machine`].

pub mod fetch;
pub mod grants;
pub mod intake;
pub mod leases;
pub mod machine;
pub mod outbox;
pub mod registry;
mod report;
pub mod service;
mod stream;
