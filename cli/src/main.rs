//! The command line `ddpo`.
fn main() {}
