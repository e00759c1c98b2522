//! Nave hub.

pub mod store;
