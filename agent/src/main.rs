//! The `nave-agent` binary.
fn main() {}
