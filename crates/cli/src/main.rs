//! The one binary, `mykeeper`.
fn main() {}
