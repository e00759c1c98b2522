//! The `nave-hub` binary.
fn main() {}
