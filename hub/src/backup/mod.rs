//! Backup and restore: one archive of everything a hub knows, a hub put back from it, and what becomes of its
//! applications until their agents have said what they have.

pub mod archive;
pub mod compare;
pub mod make;
pub mod release;
pub mod restore;
