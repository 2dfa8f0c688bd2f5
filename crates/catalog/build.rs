//! The migrations are embedded at compile time: a new file among them is a reason to compile again.

#[expect(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]
fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
