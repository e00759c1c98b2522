//! Planners: functions from a snapshot to decisions. This is where the thinking lives.
//!
//! Place in the flow: `control` takes a snapshot of the world, calls in here, and commits what comes back.
//!
//! **Invariant:** no I/O, no clock, no randomness, no async in here. Equal input gives equal output, and planning again
//! on what was decided changes nothing.

pub mod assign;
pub mod bits;
pub mod explain;
pub mod failover;
pub mod fleet;
mod history;
pub mod placement;
mod rank;
mod spread;
