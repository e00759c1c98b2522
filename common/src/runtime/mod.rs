//! What runs: the only part of this crate with I/O, clocks and randomness.

pub mod context;
