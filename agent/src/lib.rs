//! The Nave agent: applies what its cluster should run, keeps it so, and reports health.
//!
//! Two halves meet in [`work`] and [`reports`]. The hub's half ([`connection`], [`desired`], [`cache`], [`identity`], [`renewal`])
//! learns what should run and tells what was seen; the cluster's half ([`reconcile`] and what it uses) makes it so, with
//! the hub or without. Nothing here listens for connections but [`web`], for probes, where it is asked to.

pub mod agent;
pub mod api;
pub mod apply;
pub mod cache;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod connection;
pub mod desired;
pub mod discovery;
pub mod drift;
pub mod fence;
pub mod health;
pub mod identity;
pub mod inventory;
pub mod observation;
pub mod ownership;
pub mod reconcile;
pub mod renewal;
pub mod reports;
pub mod start;
pub mod web;
pub mod work;
