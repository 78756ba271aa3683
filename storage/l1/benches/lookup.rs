//! lookup
fn main() {}
