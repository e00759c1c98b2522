//! What the tests and benchmarks share: real binaries and real control planes to run, and suites that are written once and
//! run on several backends.

pub mod agent_suite;
pub mod clients;
pub mod deep;
pub mod kube;
pub mod processes;
pub mod store_conformance;
pub mod world;
