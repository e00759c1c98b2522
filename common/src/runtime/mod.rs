//! What runs: the only part of this crate with I/O, clocks and randomness.

pub mod backoff;
pub mod clock;
pub mod context;
pub mod files;
pub mod random;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
