//! The inventory in the cluster: ConfigMaps in Nave's own namespace, from which an agent that lost its disk knows what
//! it made; and how a lost inventory is found again.
//!
//! **Invariant:** an inventory that is not there, or not there in full, is never taken for an empty one.

pub mod shard;
pub mod store;
pub mod sweep;
