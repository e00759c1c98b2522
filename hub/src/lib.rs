//! The hub: holds desired state, decides where it runs, and streams it to agents.
//!
//! The flow, left to right: [`api`] -> [`store`] -> [`world`] -> [`control`] -> [`plan`] -> assignments -> [`session`]
//! -> agent, and status back from [`session`] into the [`world`]. [`hub`] puts everything together.

pub mod api;
pub mod audit;
pub mod auth;
pub mod backup;
pub mod bundles;
pub mod cache;
pub mod clock;
pub mod config;
pub mod control;
pub mod error;
pub mod events;
pub mod fencing;
pub mod hub;
pub mod init;
pub mod listen;
pub mod metrics;
pub mod parts;
pub mod plan;
pub mod records;
pub mod server;
pub mod session;
pub mod store;
pub mod web;
pub mod world;

pub use config::Config;
pub use hub::Hub;
