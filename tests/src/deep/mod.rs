//! The deep and fast simulation of failover: discrete events from one seed, with the real pure machines inside.
//!
//! [`invariants`] is the list of promises that simulations of every depth share.

pub mod invariants;
