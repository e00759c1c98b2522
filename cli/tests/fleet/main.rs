//! `nave` against a hub in this process, with agents that say what a test wants them to say: every verb, from the
//! command line to the hub and back.

#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod apply;
mod change;
mod doctor;
mod failover;
mod harness;
mod moves;
mod read;
mod tokens;
