//! The hub as its clients see it: in this process, over real TLS sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod agent;
mod applications;
mod audit;
mod backup;
mod bundles;
mod changes;
mod enrolment;
mod exclusive;
mod failover;
mod harness;
mod identities;
mod leases;
mod lists;
mod restarts;
mod retire;
mod revocation;
mod scale;
mod sessions;
mod watches;
mod web;
