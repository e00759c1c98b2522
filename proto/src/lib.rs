//! The wire: the generated types of `nave.v1`, and their conversion to and from the domain model.
//!
//! Only the edges name these types: the hub's api and session, the agent's connection, the command line's client.

/// The generated types, services and clients of `nave.v1`.
#[allow(missing_docs, clippy::all, reason = "generated from proto/nave/v1")]
pub mod v1 {
    tonic::include_proto!("nave.v1");

    /// The compiled descriptors, for gRPC reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/nave.v1.descriptors.bin"));
}

pub mod convert;
