//! minijob
fn main() {}
