//! Dumps of a real server by the real mydumper.
//!
//! `MYKEEPER_TEST_MYDUMPER=/path/to/mydumper` runs them with another one than the installed.

mod accounts;
mod damage;
mod faults;
mod locks;
mod packed;
mod strays;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod whole;
