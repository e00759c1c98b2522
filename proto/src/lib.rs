//! Nave proto.
