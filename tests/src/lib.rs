//! Nave tests.

pub mod store_conformance;
