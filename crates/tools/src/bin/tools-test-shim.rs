//! The shim of this crate's tests: hands its arguments to the supervisor's own entry. Never shipped.

use std::process::ExitCode;

fn main() -> ExitCode {
    mykeeper_supervise::shim_main(std::env::args_os().skip(1))
}
